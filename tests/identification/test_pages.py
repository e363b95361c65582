"""The pages of identification over HTTP: what is shown, whom, and how files leave."""

import io
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from payadmin.actions import identification
from payadmin.models.identification import DocumentStatus
from payadmin.models.parties import CustomerKind, IdentificationStatus
from payadmin.permissions import Role
from tests.identification.conftest import K, Office, pdf, picture
from tests.support.desk import trail
from tests.support.pages import post, token_of


def versioned(office: Office, customer_id: int, **data: Any) -> dict[str, Any]:
    return {"version": str(office.version(customer_id)), **data}


def upload(client: FlaskClient, address: str, *, data: bytes, name: str, **fields: Any) -> Any:
    filled = {"csrf_token": token_of(client, address), **fields}
    return client.post(
        address, data={**filled, "files": [(io.BytesIO(data), name)]}, content_type="multipart/form-data"
    )


def test_the_list_opens_with_the_queue_and_who_waits_longest_comes_first(office: Office) -> None:
    officer, client = office.officer(), office.make.browse(Role.COMPLIANCE)
    nobody = office.customer(name="Nobody Yet")
    first, _ = office.complete(officer)
    second, _ = office.complete(officer, CustomerKind.MERCHANT)
    opened = client.get("/identification/").text
    assert list(dict.fromkeys(re.findall(r'href="/identification/(\d+)/"', opened))) == [str(first), str(second)]
    assert 'href="/identification/?view=0"' in opened, "the whole list is one click away"
    page = client.get("/identification/?view=0").text
    rows = re.findall(r'href="/identification/(\d+)/"', page)
    assert list(dict.fromkeys(rows)) == [str(nobody), str(first), str(second)]
    queue = client.get("/identification/?identification=in-review").text
    assert list(dict.fromkeys(re.findall(r'href="/identification/(\d+)/"', queue))) == [str(first), str(second)]
    assert "in review" in queue
    assert "Merchant" in client.get("/identification/?kind=MERCHANT").text
    for word, number in (("identified", 0), ("unidentified", 3), ("rejected", 0)):
        found = client.get(f"/identification/?identification={word}").text
        assert len(set(re.findall(r'href="/identification/(\d+)/"', found))) == number, word
    assert client.get("/identification/?identification=perhaps").status_code == 400


def test_an_officers_day_over_http(office: Office) -> None:
    client = office.make.browse(Role.COMPLIANCE)
    customer_id = office.customer()
    address = f"/identification/{customer_id}/"
    assert "No documents yet" in client.get(address).text
    for kind, data in (("PASSPORT", picture("SAMPLE")), ("PROOF_OF_ADDRESS", pdf(3))):
        answer = upload(client, f"{address}documents/new/", data=data, name="x.pdf", kind=kind)
        assert answer.status_code == 303, answer.text
    page = client.get(address).text
    assert "Open at least one of the documents yourself" in page
    passport, bill = (document.id for document in office.documents(customer_id))
    refused = post(client, f"{address}identify/", **versioned(office, customer_id))
    assert refused.status_code == 409
    assert client.get(f"{address}documents/{bill}/").text.count("<img") == 3
    assert trail(event="identification.document.looked_at") == [], "the page itself shows nothing of a document"
    for number in (1, 2, 3):
        look = client.get(f"{address}documents/{bill}/pages/{number}/")
        assert look.status_code == 200
    assert len(trail(event="identification.document.looked_at")) == 3
    done = post(client, f"{address}identify/", **versioned(office, customer_id))
    assert done.status_code == 303
    assert office.state(customer_id) is IdentificationStatus.IDENTIFIED
    refused = post(client, f"{address}revoke/", **versioned(office, customer_id, reason=""))
    assert refused.status_code == 422
    assert "Say why." in refused.text
    assert post(client, f"{address}revoke/", **versioned(office, customer_id, reason="A tip")).status_code == 303
    assert office.state(customer_id) is IdentificationStatus.UNIDENTIFIED
    rejected = post(
        client, f"{address}documents/{passport}/reject/", **versioned(office, customer_id, reason="Not the same face")
    )
    assert rejected.status_code == 303
    assert office.documents(customer_id)[0].status is DocumentStatus.REJECTED
    page = client.get(address).text
    for words in ("Not the same face", "A tip", "Missing"):
        assert words in page


def test_pages_and_downloads_are_marked_and_can_do_nothing(office: Office) -> None:
    officer, client = office.officer(), office.make.browse(Role.COMPLIANCE)
    customer_id, [passport, bill] = office.complete(officer)
    address = f"/identification/{customer_id}/documents/"
    office.bring(officer, customer_id, K.OTHER)
    sent = [identification.Sent(K.OTHER, "letter.pdf", pdf(2), "files")]
    identification.receive(officer, customer_id, sent, office.app.extensions["payadmin.settings"])
    letter = office.documents(customer_id)[-1].id
    answers = {
        "inline": client.get(f"{address}{passport}/pages/1/"),
        "attachment": post(client, f"{address}{bill}/download/"),
        "whole": post(client, f"{address}{letter}/download/"),
    }
    for answer in answers.values():
        assert answer.status_code == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
        assert answer.headers["Cache-Control"] == "no-store, private"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answers["inline"].mimetype == answers["attachment"].mimetype == "image/jpeg"
    assert answers["inline"].headers["Content-Disposition"].startswith("inline;")
    assert answers["attachment"].headers["Content-Disposition"] == f'attachment; filename="document-{bill}.jpg"'
    assert answers["whole"].mimetype == "application/pdf"
    assert answers["whole"].data.count(b"/Type /Page\n") == 2
    told = office.app.extensions["payadmin.settings"]
    plain = identification.page_of(told, str(office.documents(customer_id)[0].file), 1)
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(answers["inline"].data)) as after:
        assert before.size == after.size
        red = [red_pixels(image) for image in (before, after)]
    assert red[0] == 0
    assert red[1] > 200, "the reader's name stands across it"
    assert [entry.entity_id for entry in trail(event="identification.document.downloaded")] == [str(bill), str(letter)]


def red_pixels(image: Image.Image) -> int:
    plain = image.convert("RGB").tobytes()
    return sum(1 for red, green in zip(plain[::3], plain[1::3], strict=True) if red - green > 20)


def addresses(customer_id: int, document_id: int, link_id: int) -> list[tuple[str, str]]:
    """Every address about documents, with its method."""
    document = f"/identification/{customer_id}/documents/{document_id}/"
    link = f"/identification/{customer_id}/links/{link_id}/"
    return [
        ("GET", document),
        ("GET", f"{document}pages/1/"),
        ("POST", f"{document}download/"),
        ("GET", f"{document}accept/"),
        ("POST", f"{document}accept/"),
        ("GET", f"{document}reject/"),
        ("POST", f"{document}reject/"),
        ("GET", f"{document}erase/"),
        ("POST", f"{document}erase/"),
        ("POST", f"{link}show/"),
        ("POST", f"{link}revoke/"),
    ]


@pytest.fixture
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate itself is tested, not the token in front of it."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


def ask(office: Office, customer_id: int) -> int:
    return identification.request_documents(
        office.officer(), customer_id, asked_for=["address"], message=None, days=3, by_mail=False,
        settings=office.app.extensions["payadmin.settings"],
    )  # fmt: skip


def test_no_other_role_and_no_stranger_opens_anything_about_a_document(office: Office, no_csrf: None) -> None:
    customer_id, [passport, _bill] = office.complete(office.officer())
    link_id = ask(office, customer_id)
    own = [
        ("GET", "/identification/"),
        ("GET", f"/identification/{customer_id}/"),
        ("GET", f"/identification/{customer_id}/documents/new/"),
        ("POST", f"/identification/{customer_id}/documents/new/"),
        *((method, f"/identification/{customer_id}/{act}/") for act in ("identify", "reject", "revoke", "request")
          for method in ("GET", "POST")),
    ]  # fmt: skip
    clients = {role: office.make.browse(role) for role in Role if role is not Role.COMPLIANCE}
    clients[None] = office.app.test_client()  # type: ignore[index]
    before = office.version(customer_id)
    for role, client in clients.items():
        for method, path in [*own, *addresses(customer_id, passport, link_id)]:
            answer = client.open(path, method=method, data={"reason": "x", "version": str(before)})
            if role is None:
                assert answer.status_code in {302, 303, 401}, path
            else:
                assert answer.status_code == 403, (role, method, path)
            for leak in (b"PASSPORT", b"Passport", b"\xff\xd8\xff", b"example.com</dd>", b"send-documents"):
                assert leak not in answer.data, (role, path)
    assert office.version(customer_id) == before
    assert trail(event="identification.document.looked_at") == []


def test_no_address_of_the_page_is_open_to_another_role(office: Office, no_csrf: None) -> None:
    """Every rule of the address map, so that an address that is added later is tried too."""
    customer_id, [passport, _bill] = office.complete(office.officer())
    values = {"row_id": customer_id, "document_id": passport, "number": 1, "link_id": ask(office, customer_id),
              "kind": "csv", "token": "x", "action": "x"}  # fmt: skip
    adapter = office.app.url_map.bind("localhost")
    tried = [
        (method, adapter.build(rule.endpoint, {key: values[key] for key in rule.arguments}, method=method))
        for rule in office.app.url_map.iter_rules()
        if rule.rule.startswith("/identification/")
        for method in sorted((rule.methods or set()) & {"GET", "POST"})
    ]
    assert set(addresses(customer_id, passport, values["link_id"])) < set(tried)  # type: ignore[arg-type]
    before = office.version(customer_id)
    for role in Role:
        if role is Role.COMPLIANCE:
            continue
        client = office.make.browse(role)
        for method, path in tried:
            answer = client.open(path, method=method, data={"reason": "x", "version": str(before)})
            assert answer.status_code in {403, 404}, (role, method, path)
            for leak in (b"PASSPORT", b"Passport", b"\xff\xd8\xff", b"send-documents"):
                assert leak not in answer.data, (role, path)
    assert office.version(customer_id) == before
    assert trail(event="identification.document.looked_at") == []


def test_a_number_of_somebody_elses_document_opens_nothing(office: Office, no_csrf: None) -> None:
    officer, client = office.officer(), office.make.browse(Role.COMPLIANCE)
    customer_id, [passport, _bill] = office.complete(officer)
    other_id, [others, _] = office.complete(officer)
    link_id = ask(office, other_id)
    for document_id in (others, 0, 999_999, 2**63 - 1, 2**64):
        for method, path in addresses(customer_id, document_id, link_id)[:-2]:
            answer = client.open(path, method=method, data={"reason": "x", "version": str(office.version(customer_id))})
            assert answer.status_code == 404, (method, path)
            assert b"\xff\xd8\xff" not in answer.data
    for path in (f"documents/{passport}/pages/0/", f"documents/{passport}/pages/2/", "documents/x/pages/1/"):
        assert client.get(f"/identification/{customer_id}/{path}").status_code == 404
    shown = client.post(f"/identification/{customer_id}/links/{link_id}/show/")
    assert "send-documents" not in shown.text
    assert client.post(f"/identification/{customer_id}/links/{link_id}/revoke/").status_code in {303, 404}
    assert all(document.status is DocumentStatus.RECEIVED for document in office.documents(other_id))
    assert trail(event="identification.link.revoked") == trail(event="identification.document.looked_at") == []


def test_refused_files_are_named_at_their_field_and_form_and_words_are_kept(office: Office) -> None:
    client, customer_id = office.make.browse(Role.COMPLIANCE), office.customer()
    address = f"/identification/{customer_id}/documents/new/"
    answer = upload(client, address, data=b"<html>", name="<b>evil</b>.pdf", kind="PROOF_OF_ADDRESS")
    assert answer.status_code == 422
    assert "&lt;b&gt;evil&lt;" in answer.text or "b&gt;.pdf" in answer.text
    assert "<b>evil" not in answer.text
    assert "not a PDF" in answer.text
    assert '<option selected value="PROOF_OF_ADDRESS">' in answer.text
    answer = client.post(address, data={"csrf_token": token_of(client), "kind": "NO_SUCH"})
    assert answer.status_code == 422
    assert office.kept() == []


def test_everybody_else_sees_only_identified_or_not(office: Office) -> None:
    officer = office.officer()
    customer_id, _documents = office.complete(officer)
    version = office.version(customer_id)
    identification.reject_customer(officer, customer_id, version=version, reason="A private suspicion")
    client = office.make.browse(Role.ADMIN)
    for address in (f"/customers/{customer_id}/", "/customers/"):
        page = client.get(address).text
        assert "In review" not in page
        assert "in review" not in page
        assert "A private suspicion" not in page
    assert "Unidentified" in client.get(f"/customers/{customer_id}/").text
    assert client.get("/customers/?identification=IN_REVIEW").status_code == 400
