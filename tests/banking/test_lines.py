"""Lines of statements and status reports: each books once, what matches nothing waits for a person with the reason."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from payadmin.actions import banking
from payadmin.actions.banking import messages
from payadmin.db import db
from payadmin.jobs import banking as jobs
from payadmin.jobs.banking import match_lines
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.banking import BankLine, BankMessage, Mismatch
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.system import StaffNotice
from payadmin.permissions import Role
from payadmin.queries import banking as queries
from payadmin.queries.banking import waiting
from payadmin.work import SYSTEM
from tests.banking.conftest import Banking, entry, report
from tests.support.approvals import join
from tests.support.crash import Crash, crash_at
from tests.support.races import together


def out(room: Banking, *amounts: int) -> tuple[int, list[int]]:
    """A file that a person gave to the bank, and its requests."""
    file_id, requests = room.out(*amounts)
    banking.download_file(room.second, file_id)
    banking.hand_over_file(room.second, file_id, version=room.file(file_id).version)
    return file_id, requests


def mismatches(room: Banking) -> list[Mismatch | None]:
    return [line.mismatch for line in room.lines()]


def test_what_matches_nothing_waits_with_its_reason_and_books_nothing(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00, 20_00)
    draft_of = by_hand.approved(5_00)
    draft = by_hand.made()
    one, two = by_hand.payments(file_id)
    (kept,) = by_hand.payments(draft)
    by_hand.receive(
        by_hand.statement(
            entry(reference=None, minor=10_00),
            entry(reference="RD-999", minor=10_00),
            by_hand.debit(one, minor=9_99),
            by_hand.debit(one, unit="GBP"),
            by_hand.debit(kept),
            by_hand.debit(one, side="CRDT", code="AC04"),
            by_hand.debit(two),
            by_hand.debit(two),
        )
    )
    assert mismatches(by_hand) == [
        Mismatch.NO_REFERENCE, Mismatch.NOTHING, Mismatch.OTHER_AMOUNT, Mismatch.OTHER_UNIT, Mismatch.NOT_RELEASED,
        Mismatch.NOT_PAID, None, Mismatch.TWICE,
    ]  # fmt: skip
    assert (by_hand.requests(requests), by_hand.requests(draft_of)) == (["SENT", "PAID"], ["APPROVED"])
    assert by_hand.booked(requests[1]) == ["J18", "J19"]
    assert by_hand.unsound() == []


def test_a_statement_that_comes_again_under_another_name_books_nothing(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00)
    (line,) = by_hand.payments(file_id)
    content = by_hand.statement(by_hand.debit(line))
    by_hand.receive(content)
    by_hand.receive(content)
    assert by_hand.count(BankMessage) == 1
    by_hand.receive(content.replace(b"<MsgId>S-1</MsgId>", b"<MsgId>S-1-COPY</MsgId>"))
    assert (by_hand.count(BankMessage), by_hand.count(BankLine)) == (2, 1)
    by_hand.receive(by_hand.statement(by_hand.debit(line, minor=99_00)))
    assert "showed otherwise" in (by_hand.messages()[-1].problem or "")
    assert (by_hand.count(BankLine), by_hand.requests(requests)) == (1, ["PAID"])


def test_money_that_comes_back_is_given_back_once(by_hand: Banking) -> None:
    file_id, (number,) = out(by_hand, 10_00)
    (line,) = by_hand.payments(file_id)
    back = by_hand.debit(line, side="CRDT", code="AC04")
    # In one statement, the way back first: what went out is looked at before what came in.
    by_hand.receive(by_hand.statement(back, by_hand.debit(line)))
    by_hand.receive(by_hand.statement(back, name="S-2"))
    by_hand.receive(by_hand.statement(by_hand.debit(line), name="S-3"))
    assert mismatches(by_hand) == [None, None, Mismatch.RETURNED_TWICE, Mismatch.TWICE]
    request = by_hand.row(number)
    assert (request.status.name, request.failure_code) == ("RETURNED", "AC04")
    assert by_hand.amounts(request.wallet_id).available_minor == 10_00
    assert (by_hand.open_holds(), by_hand.unsound()) == (0, [])


def test_a_person_matches_only_what_has_the_same_amount_and_unit(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00, 20_00)
    one, two = by_hand.payments(file_id)
    by_hand.receive(by_hand.statement(entry(reference=None, minor=10_00), entry(reference=None, minor=10_00)))
    first, second = by_hand.lines()
    say = {"note": "The bank told us", "version": first.version}
    with pytest.raises(Conflict, match="another amount"):
        banking.match_line(by_hand.accountant, first.id, payment_line_id=two.id, **say)
    with pytest.raises(Invalid, match="Say why"):
        banking.match_line(by_hand.accountant, first.id, payment_line_id=one.id, note=" ", version=first.version)
    banking.match_line(by_hand.accountant, first.id, payment_line_id=one.id, **say)
    with pytest.raises(Conflict, match="paid before"):
        banking.match_line(by_hand.accountant, second.id, payment_line_id=one.id, note="x", version=second.version)
    banking.ignore_line(by_hand.accountant, second.id, reason="Fees", version=second.version)
    with pytest.raises(Conflict, match="meanwhile"):
        banking.ignore_line(by_hand.accountant, second.id, reason="Fees", version=second.version)
    assert by_hand.requests(requests) == ["PAID", "SENT"]


def test_what_the_bank_rejected_and_paid_all_the_same_is_never_paid_again(by_hand: Banking) -> None:
    file_id, (number, other) = out(by_hand, 10_00, 20_00)
    line, _second = by_hand.payments(file_id)
    by_hand.receive(report(by_hand.file(file_id).message_id, group="RJCT", extra=""))
    by_hand.approve(other)
    assert by_hand.requests([number, other]) == ["FAILED", "APPROVED"]
    by_hand.receive(by_hand.statement(by_hand.debit(line), by_hand.debit(_second)))
    assert mismatches(by_hand) == [Mismatch.AFTER_REJECTION] * 2
    for act in (by_hand.approve, by_hand.cancel):
        with pytest.raises(Conflict, match="shows this as paid"):
            act(number)
    with pytest.raises(Conflict, match="shows this as paid"):
        by_hand.cancel(other)
    assert waiting(db.session()) == []
    with pytest.raises(Conflict, match="No approved request"):
        by_hand.made()
    for row, payment in zip(by_hand.lines(), (line, _second), strict=True):
        banking.match_line(by_hand.accountant, row.id, payment_line_id=payment.id, note="Asked", version=row.version)
    assert by_hand.requests([number, other]) == ["PAID", "PAID"]
    assert by_hand.states(file_id) == ["PAID", "PAID"]
    assert by_hand.booked(number) == ["J18", "J19"]
    by_hand.receive(by_hand.statement(by_hand.debit(line, side="CRDT", code="AC04"), name="S-2"))
    assert by_hand.requests([number]) == ["RETURNED"]
    assert (by_hand.open_holds(), by_hand.unsound()) == (0, [])


def test_a_rejected_payment_is_not_settled_while_another_file_pays_its_request(by_hand: Banking) -> None:
    file_id, (number,) = out(by_hand, 10_00)
    (line,) = by_hand.payments(file_id)
    by_hand.receive(report(by_hand.file(file_id).message_id, group="RJCT"))
    by_hand.approve(number)
    second = by_hand.made()
    by_hand.receive(by_hand.statement(by_hand.debit(line)))
    (row,) = by_hand.lines()
    say = {"payment_line_id": line.id, "note": "Asked", "version": row.version}
    with pytest.raises(Conflict, match="had rejected"):
        banking.match_line(by_hand.accountant, row.id, **say)
    with pytest.raises(Conflict, match="shows this as paid"):
        by_hand.release(second)
    banking.discard_file(by_hand.accountant, second, version=by_hand.file(second).version)
    banking.match_line(by_hand.accountant, row.id, **say)
    assert by_hand.requests([number]) == ["PAID"]
    assert (by_hand.open_holds(), by_hand.unsound()) == (0, [])


def test_nobody_gives_up_a_file_that_they_released(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00)
    third = by_hand.person(Role.ACCOUNTANT)
    join(by_hand, by_hand.second, third)
    for actor in (by_hand.second, third):
        said = by_hand.confirm_release(file_id, actor, banking.GIVE_UP_ACT)
        with pytest.raises(Forbidden, match="You released this file"):
            banking.give_up_file(actor, file_id, reason="They say no", **said)
    assert by_hand.requests(requests) == ["SENT"]
    said = by_hand.confirm_release(file_id, by_hand.accountant, banking.GIVE_UP_ACT)
    banking.give_up_file(by_hand.accountant, file_id, reason="They say no", **said)
    assert (by_hand.requests(requests), by_hand.open_holds()) == (["FAILED"], 1)


def test_every_line_of_a_long_statement_is_matched(by_hand: Banking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_PAYMENTS", 2)
    monkeypatch.setattr(messages, "_AT_ONCE", 3)
    entries = [entry(reference=None, minor=each) for each in (1_00, 2_00, 3_00, 4_00, 5_00)]
    by_hand.receive(by_hand.statement(*entries[:4]))
    by_hand.receive(by_hand.statement(*entries))  # a longer copy: what is new of it is added
    assert mismatches(by_hand) == [Mismatch.NO_REFERENCE] * len(entries)
    assert sorted((line.number, line.amount_minor) for line in by_hand.lines()) == [
        (place, place * 100) for place in range(1, 6)
    ]


def test_two_workers_and_a_person_settle_a_line_once(app: Flask, by_hand: Banking) -> None:
    file_id, requests = out(by_hand, *range(1_00, 1_08))
    content = by_hand.statement(*(by_hand.debit(line) for line in by_hand.payments(file_id)))
    receive: Callable[[], Any] = lambda: banking.receive_message(SYSTEM, content)[1]  # noqa: E731
    came, failures = together(app, receive, receive, receive)
    assert (sorted(came), failures) == ([False, False, True], [])
    _done, failures = together(app, match_lines, match_lines, match_lines)
    assert failures == []
    assert set(by_hand.requests(requests)) == {"PAID"}
    assert {line.status.name for line in by_hand.lines()} == {"MATCHED"}
    assert by_hand.unsound() == []


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True])
def test_dying_at_any_commit_of_a_statement_loses_and_doubles_nothing(by_hand: Banking, nth: int, after: bool) -> None:
    file_id, requests = out(by_hand, 10_00, 20_00)
    content = by_hand.statement(*(by_hand.debit(line) for line in by_hand.payments(file_id)))

    def take_in() -> None:
        banking.receive_message(SYSTEM, content)
        match_lines()

    with crash_at(nth, after=after), pytest.raises(Crash):
        take_in()
    db.session.rollback()
    by_hand.receive(content)
    by_hand.work_off()
    assert by_hand.requests(requests) == ["PAID", "PAID"]
    assert [by_hand.booked(number) for number in requests] == [["J18", "J19"], ["J18", "J19"]]
    assert (by_hand.open_holds(), by_hand.unsound()) == (0, [])


# ---- status reports ------------------------------------------------------------------------------------------------


def test_a_report_rejects_by_line_by_file_or_not_at_all(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00, 20_00)
    name, (one, two) = by_hand.file(file_id).message_id, by_hand.payments(file_id)
    for number, (content, problem) in enumerate(
        [
            (report("PA-UNKNOWN", group="RJCT"), "does not know"),
            (report(name, ("RD-X", "RJCT", "AC04")), "not in the file"),
            (report(name, group="RJCT", extra="<OrgnlNbOfTxs>3</OrgnlNbOfTxs>"), "another number"),
            (report(name, group="RJCT", extra="<OrgnlCtrlSum>30.01</OrgnlCtrlSum>"), "another total"),
        ]
    ):
        message = by_hand.receive(content.replace(b"R-1", f"R-{number}".encode()))
        assert problem in (message.problem or "")
    assert by_hand.states(file_id) == ["WAITING", "WAITING"]
    by_hand.receive(report(name, (one.end_to_end_id, "ACSP", None), (two.end_to_end_id, "PDNG", None), name="R-5"))
    assert (by_hand.file(file_id).status.name, by_hand.states(file_id)) == ("SENT", ["ACCEPTED", "WAITING"])
    by_hand.receive(report(name, (two.end_to_end_id, "RJCT", "AM04"), name="R-6"))
    assert (by_hand.file(file_id).status.name, by_hand.requests(requests)) == ("PARTLY_ACCEPTED", ["SENT", "FAILED"])
    by_hand.receive(by_hand.statement(by_hand.debit(one), by_hand.debit(two)))
    assert mismatches(by_hand) == [None, Mismatch.AFTER_REJECTION]
    late = by_hand.receive(report(name, (one.end_to_end_id, "RJCT", "AC04"), name="R-7"))
    assert "left as they are" in (late.problem or "")
    assert by_hand.requests(requests) == ["PAID", "FAILED"]


def test_a_report_about_a_draft_does_nothing(by_hand: Banking) -> None:
    by_hand.approved(10_00)
    file_id = by_hand.made()
    message = by_hand.receive(report(by_hand.file(file_id).message_id, group="ACCP"))
    assert "never released" in (message.problem or "")
    assert (by_hand.file(file_id).status.name, by_hand.states(file_id)) == ("DRAFT", ["WAITING"])


def test_a_line_that_the_books_refuse_does_not_keep_the_others(
    by_hand: Banking, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id, requests = out(by_hand, 10_00, 20_00)
    one, two = by_hand.payments(file_id)
    first = requests[0]
    from payadmin.actions.banking import messages

    pay = messages.paid_by_bank

    def refusing(work: Any, request: Any, **said: Any) -> Any:
        if request.id == first:
            raise Conflict("The books say no.")
        return pay(work, request, **said)

    monkeypatch.setattr(messages, "paid_by_bank", refusing)
    by_hand.receive(by_hand.statement(by_hand.debit(one), by_hand.debit(two)))
    assert by_hand.requests(requests) == ["SENT", "PAID"]
    assert [(line.status.name, line.problem) for line in by_hand.lines()] == [
        ("UNMATCHED", "The books say no."), ("MATCHED", None),
    ]  # fmt: skip
    monkeypatch.setattr(messages, "paid_by_bank", pay)
    line = by_hand.lines()[0]
    banking.match_line(by_hand.accountant, line.id, payment_line_id=one.id, note="Again", version=line.version)
    assert by_hand.requests(requests) == ["PAID", "PAID"]


def test_without_a_bank_nothing_is_asked(by_hand: Banking) -> None:
    jobs.keep_bank()
    assert banking.order_question(SYSTEM) is False


# ---- the bell ------------------------------------------------------------------------------------------------------


def told(actor: Any) -> list[tuple[str, str | None, int | None]]:
    """What the bell tells somebody: the sentence and where it leads."""
    db.session.rollback()
    wanted = select(StaffNotice.title, StaffNotice.page, StaffNotice.row_id)
    rows = db.session.execute(wanted.where(StaffNotice.staff_id == actor.staff_id).order_by(StaffNotice.id))
    return [tuple(row) for row in rows]


def test_those_who_decide_about_requests_are_told_of_what_failed_and_what_came_back(by_hand: Banking) -> None:
    bystander = by_hand.person(Role.ACCOUNTANT)
    file_id, (paid, _failed) = out(by_hand, 10_00, 20_00)
    name, (one, two) = by_hand.file(file_id).message_id, by_hand.payments(file_id)
    rejection = report(name, (two.end_to_end_id, "RJCT", "AC04"))
    for content in (rejection, rejection.replace(b"R-1", b"R-2")):
        by_hand.receive(content)
    assert told(bystander) == [(f"The bank rejected 1 of 2 payments of file {name}.", "payment_files", file_id)]
    by_hand.receive(by_hand.statement(by_hand.debit(one)))
    by_hand.receive(by_hand.statement(by_hand.debit(one, side="CRDT", code="AC04"), name="S-2"))
    sentence, *where = told(bystander)[1]
    assert (sentence.startswith(str(by_hand.row(paid))), "sent it back" in sentence) == (True, True)
    assert where == ["redeem_requests", paid]
    assert len(told(bystander)) == len(told(by_hand.accountant)) == 2
    assert told(by_hand.cashier) == []


def test_a_report_that_contradicts_an_earlier_one_is_shown_and_moves_nothing(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00, 20_00)
    name, (one, two) = by_hand.file(file_id).message_id, by_hand.payments(file_id)
    by_hand.receive(report(name, (two.end_to_end_id, "RJCT", "AC04")))
    by_hand.receive(by_hand.statement(by_hand.debit(one)))
    journals = by_hand.count(LedgerTransaction)
    said = {
        "R-2": ((two.end_to_end_id, "ACSC", None), "accepts payments that were rejected before"),
        "R-3": ((one.end_to_end_id, "RJCT", "AC04"), "rejects payments that a statement has shown as paid"),
    }
    for which, (line, problem) in said.items():
        message = by_hand.receive(report(name, line, name=which))
        assert problem in (message.problem or "")
        assert problem in (by_hand.file(file_id).problem or "")
        assert problem in told(by_hand.accountant)[-1][0]
    assert (by_hand.requests(requests), by_hand.states(file_id)) == (["PAID", "FAILED"], ["PAID", "REJECTED"])
    assert (by_hand.count(LedgerTransaction), by_hand.file(file_id).status.name) == (journals, "PARTLY_ACCEPTED")


def test_a_file_that_was_rejected_and_is_accepted_then_says_so(by_hand: Banking) -> None:
    file_id, requests = out(by_hand, 10_00)
    for number, status in enumerate(("RJCT", "ACCP", "RJCT"), start=1):
        by_hand.receive(report(by_hand.file(file_id).message_id, group=status, name=f"R-{number}"))
    file = by_hand.file(file_id)
    assert (file.status.name, by_hand.requests(requests)) == ("REJECTED", ["FAILED"])
    assert "were rejected before" in (file.problem or "")
    assert [title.startswith(f"{file.message_id}: It accepts") for title, *_to in told(by_hand.second)] == [False, True]


@pytest.mark.parametrize("paid_again", [False, True])
def test_a_debit_of_a_given_up_file_whose_request_needs_no_money_waits_for_a_person(
    by_hand: Banking, browse: Callable[..., Any], paid_again: bool
) -> None:
    file_id, (number,) = out(by_hand, 10_00)
    (line,) = by_hand.payments(file_id)
    said = by_hand.confirm_release(file_id, by_hand.accountant, banking.GIVE_UP_ACT)
    banking.give_up_file(by_hand.accountant, file_id, reason="They say no", **said)
    if paid_again:
        by_hand.approve(number)
        by_hand.release(by_hand.made())
    else:
        by_hand.cancel(number)
    state, journals = by_hand.requests([number]), by_hand.count(LedgerTransaction)
    by_hand.receive(by_hand.statement(by_hand.debit(line)))
    (kept,) = by_hand.lines()
    assert (kept.status.name, kept.mismatch) == ("UNMATCHED", Mismatch.AFTER_REJECTION)
    assert told(by_hand.accountant)[-1] == (kept.problem, "bank_statements", kept.id)
    with pytest.raises(Conflict, match="cannot be this payment"):
        banking.match_line(
            by_hand.accountant, kept.id, payment_line_id=line.id, note="It is", version=kept.version
        )  # fmt: skip
    page = browse(Role.ACCOUNTANT).get(f"/bank-statements/{kept.id}/").text
    assert "this money is too much" in page
    assert ("Match and book" in page) == paid_again, "the other payment, which waits, may be this one"
    assert (by_hand.requests([number]), by_hand.count(LedgerTransaction)) == (state, journals)
    banking.ignore_line(by_hand.accountant, kept.id, reason="The bank pays it back", version=kept.version)
    assert by_hand.unsound() == []
