"""The pages of the bank: a file is made, released by another, given to the bank by hand, and settled by an upload."""

import io
import re
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin import step_up
from payadmin.actions import banking
from payadmin.db import db
from payadmin.models.access import StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Role
from payadmin.work import Actor
from tests.banking.conftest import Banking, entry
from tests.support.pages import post, token_of

Browse = Callable[..., FlaskClient]


def hidden(page: str) -> dict[str, str]:
    """What a page's form carries."""
    found = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    pairs = ((re.search(r'name="([^"]+)"', each), re.search(r'value="([^"]*)"', each)) for each in found)
    return {name[1]: value[1] for name, value in pairs if name and value and name[1] != "csrf_token"}


def upload(client: FlaskClient, content: bytes) -> Any:
    data = {"csrf_token": token_of(client, "/bank-statements/upload/"), "file": (io.BytesIO(content), "bank.xml")}
    return client.post("/bank-statements/upload/", data=data, content_type="multipart/form-data")


def actor_of(role: Role) -> Actor:
    """Who was signed in last with this role."""
    staff = db.session.query(StaffUser).order_by(StaffUser.id.desc()).first()
    assert staff is not None
    return Actor(staff_id=staff.id, name=staff.username)


def test_a_file_goes_from_maker_to_bank_to_books(by_hand: Banking, browse: Browse) -> None:
    requests = by_hand.approved(10_00, 20_50)
    maker = browse(Role.ACCOUNTANT)
    listed = maker.get("/payment-files/").text
    assert "Waiting for the bank" in listed
    assert "30.50" in listed
    page = maker.get("/payment-files/make/?unit=EUR").text
    form = hidden(page)
    assert (form["seen_count"], form["seen_total"]) == ("2", "3050")
    answer = post(maker, "/payment-files/make/?unit=EUR", **form)
    again = post(maker, "/payment-files/make/?unit=EUR", **form)
    assert (answer.status_code, again.location) == (303, answer.location), "sent twice, made once"
    file_id = int(answer.location.rstrip("/").rpartition("/")[2])
    shown = maker.get(answer.location).text
    assert "somebody else has to release it" in shown
    assert "release/" not in shown
    assert "NL•••" in shown, "numbers of accounts are masked"

    second = browse(Role.CFO)
    actor = actor_of(Role.CFO)
    asked = second.get(f"/payment-files/{file_id}/release/").text
    assert "30.50 EUR in all" in asked
    wrong = post(second, f"/payment-files/{file_id}/release/", **hidden(asked), code="000000")
    assert (wrong.status_code, by_hand.file(file_id).status.name) == (422, "DRAFT")
    assert post(second, f"/payment-files/{file_id}/download/").status_code == 303, "what was not released stays here"
    given = post(second, f"/payment-files/{file_id}/release/", **hidden(wrong.text), code=by_hand.code(actor))
    assert (given.status_code, by_hand.requests(requests)) == (303, ["SENT", "SENT"])
    by_hand.work_off()
    assert by_hand.file(file_id).status.name == "RELEASED", "without a bank nothing claims to be sent"
    assert "download the file" in second.get(given.location).text

    version = hidden(second.get(given.location).text)["version"]
    early = post(second, f"/payment-files/{file_id}/hand-over/", version=version)
    assert "Download the file first" in second.get(early.location).text
    assert by_hand.file(file_id).status.name == "RELEASED", "nobody has it who could have given it to the bank"
    file = post(second, f"/payment-files/{file_id}/download/")
    assert file.data.startswith(b"<?xml")
    assert b"pain.001.001.09" in file.data
    assert "no-store" in file.headers["Cache-Control"]
    version = hidden(second.get(given.location).text)["version"]
    post(second, f"/payment-files/{file_id}/hand-over/", version=version)
    assert by_hand.file(file_id).status.name == "SENT"

    lines = by_hand.payments(file_id)
    content = by_hand.statement(by_hand.debit(lines[0]), entry(reference=None, minor=20_50), name="S-7")
    assert upload(maker, content).status_code == 303
    by_hand.work_off()
    assert by_hand.requests(requests) == ["PAID", "SENT"]
    listed = maker.get("/bank-statements/?status=UNMATCHED").text
    assert "It names no reference" in listed
    number = next(line.id for line in by_hand.lines() if line.status.name == "UNMATCHED")
    page = maker.get(f"/bank-statements/{number}/").text
    assert lines[1].end_to_end_id in page
    no_reason = post(maker, f"/bank-statements/{number}/match/", payment=str(lines[1].id), seen_version="2", reason="")
    assert (no_reason.status_code, "Say why" in no_reason.text) == (422, True)
    data = {
        "payment": str(lines[1].id),
        "reason": "The bank told us",
        "seen_version": hidden(no_reason.text)["seen_version"],
    }
    assert post(maker, f"/bank-statements/{number}/match/", **data).status_code == 303
    assert by_hand.requests(requests) == ["PAID", "PAID"]
    assert post(maker, f"/bank-statements/{number}/match/", **data).status_code in {409, 422}, "decided once"
    assert "settled this payment" in maker.get(f"/bank-statements/{number}/").text
    assert "here before" in maker.get(upload(maker, content).location, follow_redirects=True).text
    assert (by_hand.open_holds(), by_hand.unsound()) == (0, [])


def test_a_file_that_is_no_message_of_a_bank_is_refused_at_its_field(by_hand: Banking, browse: Browse) -> None:
    client = browse(Role.ACCOUNTANT)
    for content, words in (
        (b"", "Choose a file"),
        (b"not xml", "no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (by_hand.statement(account="DE89370400440532013000"), "which is not ours"),
    ):
        answer = upload(client, content)
        assert answer.status_code == 422
        assert words in answer.text
    db.session.rollback()
    trail = repr([(row.reason, row.keys) for row in db.session.scalars(select(AuditEvent))])
    assert "DE••• 3000" in trail
    assert "DE89370400440532013000" not in trail, "whosever account it is, its number stands nowhere"
    assert by_hand.messages() == []


def test_a_line_that_is_not_ours_is_marked_with_a_reason(by_hand: Banking, browse: Browse) -> None:
    by_hand.receive(by_hand.statement(entry(reference="FEE-1", minor=5_00)))
    client = browse(Role.ACCOUNTANT)
    (line,) = by_hand.lines()
    page = client.get(f"/bank-statements/{line.id}/").text
    assert "No payment of ours has its reference" in page
    answer = post(client, f"/bank-statements/{line.id}/ignore/", reason="Fees", seen_version=str(line.version))
    assert (answer.status_code, by_hand.lines()[0].status.name) == (303, "IGNORED")
    assert "Fees" in client.get(f"/bank-statements/{line.id}/").text


def test_who_sees_what(by_hand: Banking, browse: Browse) -> None:
    by_hand.approved(10_00)
    file_id = by_hand.made()
    cfo = browse(Role.CFO)
    assert cfo.get("/payment-files/make/?unit=EUR").status_code == 403
    assert cfo.get("/bank-statements/upload/").status_code == 403
    assert cfo.get(f"/payment-files/{file_id}/release/").status_code == 200
    for role in (Role.CASHIER, Role.PAYMENTS_OPERATOR, Role.ADMIN):
        client = browse(role)
        assert client.get("/payment-files/").status_code == 403
        assert client.get(f"/payment-files/{file_id}/").status_code == 403
        assert client.get("/bank-statements/").status_code == 403


def test_a_bank_that_refuses_by_word_of_mouth(by_hand: Banking, browse: Browse) -> None:
    file_id, requests = by_hand.out(10_00)
    client = browse(Role.CFO)
    actor = actor_of(Role.CFO)
    page = client.get(f"/payment-files/{file_id}/give-up/").text
    with by_hand.app.test_request_context():
        other = step_up.offer(actor, banking.RELEASE_ACT, banking.release_facts(by_hand.file(file_id)))
    wrong = hidden(page) | {"offer": other}
    refused = post(
        client, f"/payment-files/{file_id}/give-up/", **wrong, reason="They say no", code=by_hand.code(actor)
    )
    assert (refused.status_code, by_hand.requests(requests)) == (422, ["SENT"]), "a code for another act"
    form = hidden(client.get(f"/payment-files/{file_id}/give-up/").text)
    done = post(client, f"/payment-files/{file_id}/give-up/", **form, reason="They say no", code=by_hand.code(actor))
    assert (done.status_code, by_hand.requests(requests), by_hand.states(file_id)) == (303, ["FAILED"], ["REJECTED"])
    assert by_hand.file(file_id).status.name == "REJECTED"
    assert by_hand.open_holds() == 1
