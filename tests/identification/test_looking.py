"""A look counts only when there was something to see, and what compliance says of somebody stays with compliance."""

import io

import pytest
from flask import Flask
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from payadmin.actions import identification
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.papers import MAX_BYTES
from payadmin.models.identification import UploadLinkStatus
from payadmin.permissions import Role
from tests.identification.conftest import K, Office
from tests.identification.test_links import address_of, ask, link_row
from tests.support.desk import trail
from tests.support.pages import post, token_of

REASON = "The passport is a forgery"


def test_a_page_that_could_not_be_shown_was_not_opened(
    app: Flask, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    for path in (current_settings().files_folder / "documents").glob("*/*"):
        path.unlink()
    client = office.make.browse(Role.COMPLIANCE)
    address = f"/identification/{customer_id}/documents/{documents[0]}"
    assert client.get(f"{address}/pages/1/").status_code == 409
    assert post(client, f"{address}/download/").status_code == 409
    answer = post(client, f"/identification/{customer_id}/identify/", version=str(office.version(customer_id)))
    assert answer.status_code == 409, "nobody identifies by documents that nobody could open"
    assert not trail(event="identification.document.looked_at")
    assert not trail(event="identification.document.downloaded")


@pytest.mark.parametrize("role", [Role.SUPPORT_AGENT, Role.ANTI_FRAUD, Role.PAYMENTS_OPERATOR, Role.ADMIN])
def test_why_somebody_was_rejected_stands_on_no_other_page(office: Office, role: Role) -> None:
    officer = office.officer()
    customer_id, _documents = office.complete(officer)
    identification.reject_customer(officer, customer_id, version=office.version(customer_id), reason=REASON)
    assert REASON in office.make.browse(Role.COMPLIANCE).get(f"/identification/{customer_id}/").text
    page = office.make.browse(role).get(f"/customers/{customer_id}/")
    assert page.status_code == 200
    assert REASON not in page.text


@pytest.mark.parametrize("role", [Role.SUPPORT_AGENT, Role.ANTI_FRAUD, Role.ADMIN])
def test_what_compliance_was_refused_stands_on_no_other_page(office: Office, role: Role) -> None:
    officer = office.officer()
    customer_id, _documents = office.complete(officer)
    identification.reject_customer(officer, customer_id, version=office.version(customer_id), reason=REASON)
    with pytest.raises(Conflict) as refused:
        identification.reject_customer(officer, customer_id, version=office.version(customer_id), reason=REASON)
    assert "rejected" in refused.value.sentence
    page = office.make.browse(role).get(f"/customers/{customer_id}/").text
    assert "rejected" not in page
    assert refused.value.sentence in office.make.browse(Role.COMPLIANCE).get(f"/customers/{customer_id}/").text


def test_anti_fraud_learns_only_whether_somebody_is_identified(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    version = office.version(customer_id)
    identification.reject_document(officer, documents[0], customer_id=customer_id, version=version, reason=REASON)
    identification.reject_customer(officer, customer_id, version=office.version(customer_id), reason=REASON)
    page = office.make.browse(Role.ANTI_FRAUD).get(f"/blocks/activity/?customer={customer_id}").text
    assert REASON not in page
    assert "Rejected" not in page
    assert "Unidentified" in page


def test_anti_fraud_reads_which_documents_were_accepted_of_somebody_identified_only(office: Office) -> None:
    officer, fraud = office.officer(), office.make.browse(Role.ANTI_FRAUD)
    customer_id, documents = office.complete(officer)
    address = f"/blocks/activity/?customer={customer_id}"
    assert "Passport" not in fraud.get(address).text
    office.look(officer, customer_id, documents[0])
    identification.identify(officer, customer_id, version=office.version(customer_id))
    page = fraud.get(address).text
    assert "Proof of address, Passport" in page
    assert f"/identification/{customer_id}" not in page, "what they show compliance alone sees"
    identification.revoke_identification(
        officer, customer_id, version=office.version(customer_id), reason="A tip from the bank"
    )
    page = fraud.get(address).text
    assert "Passport" not in page
    assert "A tip from the bank" not in page


def test_noise_on_every_page_does_not_fill_the_memory(office: Office) -> None:
    """A small file whose drawings are large: the same picture of noise on each of its pages."""
    out, noise = io.BytesIO(), Image.effect_noise((1_600, 1_600), 400).convert("RGB")
    canvas = Canvas(out, pagesize=(1_000, 1_000))
    shown = ImageReader(io.BytesIO(_jpeg(noise)))
    for _number in range(20):
        canvas.drawImage(shown, 0, 0, 1_000, 1_000)
        canvas.showPage()
    canvas.save()
    sent = [identification.Sent(K.PASSPORT, "noise.pdf", out.getvalue(), "files")]
    assert len(out.getvalue()) < MAX_BYTES
    with pytest.raises(Invalid, match="more time or memory"):
        identification.receive(office.officer(), office.customer(), sent, current_settings())
    assert office.kept() == []


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def test_words_in_place_of_a_file_are_no_file(app: Flask, office: Office) -> None:
    link_id = ask(office, customer_id := office.customer())
    address, customer = address_of(office, link_id, customer_id), app.test_client()
    data = {"csrf_token": token_of(customer, address), "address_files": "not a file"}
    assert customer.post(address, data=data).status_code == 422
    assert link_row(link_id).status is UploadLinkStatus.OPEN
    client = office.make.browse(Role.COMPLIANCE)
    upload = f"/identification/{customer_id}/documents/new/"
    data = {"csrf_token": token_of(client, upload), "kind": "PASSPORT", "files": "not a file"}
    assert client.post(upload, data=data).status_code == 422
