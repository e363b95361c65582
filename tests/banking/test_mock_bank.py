"""The bank as it is: `mock-bank`, a process that takes our files over HTTP and answers in ISO 20022, end to end."""

from typing import Any

import pytest

from payadmin.actions import banking
from payadmin.banks import Handed, Handover
from payadmin.banks.mailbox import MailboxBank
from payadmin.db import db
from payadmin.jobs import banking as jobs
from payadmin.kernel.errors import Conflict
from tests.banking.conftest import CLOSED, Banking, MockBank
from tests.support.crash import Crash


def test_a_file_is_accepted_and_its_statement_settles_it_once(room: Banking, bank: MockBank) -> None:
    file_id, requests = room.out(10_00, 20_00)
    assert (room.file(file_id).status.name, room.requests(requests)) == ("RELEASED", ["SENT", "SENT"])
    room.work_off()
    assert (room.file(file_id).status.name, room.states(file_id)) == ("ACCEPTED", ["ACCEPTED", "ACCEPTED"])
    assert sorted(each["amount"] for each in bank.payments()) == [10_00, 20_00]
    bank.days_pass()
    for _ in range(3):  # everything is fetched again each time, and nothing is booked again
        jobs.ask_bank(turn=1)
    assert (room.states(file_id), room.requests(requests)) == (["PAID", "PAID"], ["PAID", "PAID"])
    assert [room.booked(number) for number in requests] == [["J18", "J19"], ["J18", "J19"]]
    assert [line.status.name for line in room.lines()] == ["MATCHED", "MATCHED"]
    assert len(room.messages()) == len({message.sha256 for message in room.messages()})
    assert (room.open_holds(), room.unsound()) == (0, [])


def test_a_payment_is_rejected_by_its_code_and_the_money_stays_aside(room: Banking, bank: MockBank) -> None:
    file_id, (number,) = room.out(10_00, account=CLOSED)
    room.work_off()
    file, (line,) = room.file(file_id), room.payments(file_id)
    assert (file.status.name, line.status.name, line.reason_code) == ("REJECTED", "REJECTED", "AC04")
    request = room.row(number)
    assert (request.status.name, request.failure_code, room.open_holds()) == ("FAILED", "AC04", 1)
    # Approved again it goes out in another file, under another name.
    room.approve(number)
    again = room.made()
    assert room.payments(again)[0].end_to_end_id != line.end_to_end_id
    room.cancel(number)
    assert (room.open_holds(), room.unsound()) == (0, [])
    with pytest.raises(Conflict, match="not approved"):
        room.release(again)
    assert room.file(again).status.name == "DRAFT"


def test_a_file_is_partly_rejected(room: Banking, bank: MockBank) -> None:
    good, bad = room.approved(10_00), room.approved(30_00, account=CLOSED)
    file_id = room.made()
    room.release(file_id)
    room.work_off()
    assert (room.file(file_id).status.name, room.states(file_id)) == ("PARTLY_ACCEPTED", ["ACCEPTED", "REJECTED"])
    assert (room.requests(good), room.requests(bad)) == (["SENT"], ["FAILED"])
    bank.days_pass()
    jobs.ask_bank(turn=1)
    assert (room.requests(good), room.requests(bad)) == (["PAID"], ["FAILED"])
    assert (room.file(file_id).status.name, room.open_holds(), room.unsound()) == ("PARTLY_ACCEPTED", 1, [])


def test_a_whole_file_is_rejected(room: Banking, bank: MockBank) -> None:
    bank.behave("reject-file")
    file_id, requests = room.out(10_00, 20_00)
    room.work_off()
    file = room.file(file_id)
    assert (file.status.name, file.reason_code, room.requests(requests)) == ("REJECTED", "FF01", ["FAILED", "FAILED"])
    assert bank.payments() == []
    assert room.open_holds() == 2


def test_there_is_not_enough_money_in_our_account(room: Banking, bank: MockBank) -> None:
    bank.ask("PATCH", "/_mock/accounts/ACME", {"behaviour": "insufficient-funds", "balance": 15_00})
    file_id, requests = room.out(10_00, 20_00)
    room.work_off()
    assert [line.reason_code for line in room.payments(file_id)] == [None, "AM04"]
    assert room.requests(requests) == ["SENT", "FAILED"]


def test_money_comes_back_days_later(room: Banking, bank: MockBank) -> None:
    bank.behave("return-later", days=3, reason="AC04")
    file_id, (number,) = room.out(10_00)
    wallet_id = room.row(number).wallet_id
    room.work_off()
    bank.days_pass()
    jobs.ask_bank(turn=1)
    assert room.booked(number)[:2] == ["J18", "J19"]
    bank.days_pass(7)
    jobs.ask_bank(turn=2)
    jobs.ask_bank(turn=3)
    request = room.row(number)
    assert (request.status.name, request.failure_code, room.states(file_id)) == ("RETURNED", "AC04", ["RETURNED"])
    assert [(line.is_credit, line.status.name) for line in room.lines()] == [(False, "MATCHED"), (True, "MATCHED")]
    assert room.amounts(wallet_id).available_minor == 10_00
    assert (room.open_holds(), room.unsound()) == (0, [])


def test_a_crash_between_sending_and_noting_pays_once(
    room: Banking, bank: MockBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id, requests = room.out(10_00)
    noted = banking.note_handover

    def dying(*_args: Any, **_kw: Any) -> bool:
        raise Crash

    monkeypatch.setattr(banking, "note_handover", dying)
    with pytest.raises(Crash):
        jobs.send_payment_file(file_id=file_id)
    db.session.rollback()
    monkeypatch.setattr(banking, "note_handover", noted)
    assert (room.file(file_id).status.name, room.file(file_id).attempts, len(bank.payments())) == ("RELEASED", 1, 1)
    jobs.send_payment_file(file_id=file_id)
    # The bank was asked first, and had an answer: nothing was sent a second time.
    assert room.file(file_id).status.name == "ACCEPTED"
    assert len(bank.ask("GET", "/_mock/requests?path=/payments")) == 1
    bank.days_pass()
    jobs.ask_bank(turn=1)
    assert (room.requests(requests), room.booked(requests[0]), room.unsound()) == (["PAID"], ["J18", "J19"], [])


def test_a_file_that_the_bank_has_is_refused_as_a_duplicate_and_stays_what_it_was(
    room: Banking, bank: MockBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank is silent, so asking it tells nothing: the file is sent again, and the bank says that it has it."""
    bank.behave("silent")
    file_id, requests = room.out(10_00)
    send, answers = MailboxBank.send, list[Handed]()

    def unheard(self: MailboxBank, content: bytes, *, message_id: str) -> Handed:
        answers.append(send(self, content, message_id=message_id))
        return Handed(Handover.UNKNOWN, "ReadTimeout") if len(answers) == 1 else answers[-1]

    monkeypatch.setattr(MailboxBank, "send", unheard)
    jobs.send_payment_file(file_id=file_id)
    file = room.file(file_id)
    assert (file.status.name, room.requests(requests)) == ("UNKNOWN", ["SENT"])
    assert "only once" in (file.problem or "")
    jobs.send_payment_file(file_id=file_id)
    assert [each.outcome for each in answers] == [Handover.TAKEN, Handover.KNOWN]
    assert (room.file(file_id).status.name, room.file(file_id).problem) == ("SENT", None)
    assert (len(bank.payments()), room.requests(requests)) == (1, ["SENT"])
    bank.days_pass()
    jobs.ask_bank(turn=1)
    assert (room.requests(requests), room.states(file_id)) == (["PAID"], ["PAID"])


def test_the_report_of_a_duplicate_rejects_nothing(room: Banking, bank: MockBank) -> None:
    """A second copy is refused with a report that names the same file; what was said of the first copy counts."""
    file_id, requests = room.out(10_00)
    room.work_off()
    claimed = room.file(file_id)
    content = banking.files._content(claimed)
    connector = MailboxBank(bank.url, timeout_seconds=5)
    assert connector.send(content, message_id=claimed.message_id) == Handed(Handover.KNOWN, "DUPL")
    connector.close()
    jobs.ask_bank(turn=1)
    assert "had this file before" in (room.messages()[-1].problem or "")
    assert (room.file(file_id).status.name, room.requests(requests)) == ("ACCEPTED", ["SENT"])


def test_a_bank_that_cannot_be_reached_gets_the_file_later(room: Banking, bank: MockBank) -> None:
    file_id, requests = room.out(10_00)
    bank.stop()
    again = jobs.send_payment_file(file_id=file_id)
    file = room.file(file_id)
    assert (again is not None, file.status.name, room.requests(requests)) == (True, "RELEASED", ["SENT"])
    assert "tried again" in (file.problem or "")
    with pytest.raises(Conflict, match="gives this file to the bank itself"):
        banking.download_file(room.second, file_id)


def test_a_statement_with_a_hole_is_told(room: Banking, bank: MockBank) -> None:
    bank.behave("statement-gap")
    _file_id, requests = room.out(10_00)
    room.work_off()
    bank.days_pass()
    jobs.ask_bank(turn=1)
    assert any("left something out" in (message.problem or "") for message in room.messages())
    assert room.requests(requests) == ["SENT"]


def test_other_peoples_statements_are_left_at_the_bank(room: Banking, bank: MockBank) -> None:
    bank.days_pass()
    jobs.ask_bank(turn=1)
    assert room.messages()
    assert {message.bank_id.split("-")[2] for message in room.messages()} == {"ACME"}
    bank.ask(
        "POST", "/_mock/credits", {"account": "ACME", "amount": 1180, "note": "INV-1", "debtor": {"name": "X Ltd"}}
    )
    bank.days_pass()
    jobs.ask_bank(turn=2)
    (line,) = room.lines()
    assert (line.is_credit, line.status.name, line.amount_minor) == (True, "UNMATCHED", 1180)
