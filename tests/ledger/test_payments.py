"""What payments do to the books: every transition books its facts, once, whoever dies when; the past is booked too."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import event, select

from payadmin.actions import ledger
from payadmin.actions.approvals import reject_request
from payadmin.actions.payments import REFUND_ACT, VOID_ACT
from payadmin.db import db, utcnow
from payadmin.ledger import checks, recipes
from payadmin.ledger import payments as booked_payments
from payadmin.ledger.posting import Posting
from payadmin.models.ledger import LedgerCheck, LedgerTransaction
from payadmin.models.payments import Mode, Payment, PaymentStatus, Refund
from payadmin.permissions import Role
from payadmin.queries.ledger import journals_of_payment, unbooked_payments
from payadmin.work import SYSTEM
from tests.ledger.conftest import Books
from tests.support.approvals import Room, asked_refund
from tests.support.crash import survives_any_crash
from tests.support.desk import Desk, pass_time
from tests.support.make import Make
from tests.support.races import at_once


def story(payment_id: int) -> list[str]:
    """The templates that the books know of a payment, in order."""
    db.session.rollback()
    return [each.template for each in sorted(journals_of_payment(db.session(), payment_id), key=lambda one: one.id)]


def broken() -> list[str]:
    db.session.rollback()
    found = [row["sentence"] for each in checks.run(db.session(), ()) for row in each.rows]
    db.session.rollback()
    return found


def book() -> int:
    facts, last = 0, 0
    while (turn := ledger.book_recorded(SYSTEM, after_id=last, limit=2)).last_id is not None:
        facts, last = facts + turn.facts, turn.last_id
    return facts


def wallet(payment_merchant: int) -> str:
    return f"2010:organization:{payment_merchant}:EUR"


def test_a_refund_books_the_payment_its_reserve_and_what_came_of_it(desk: Desk, books: Books) -> None:
    payment = desk.paid(amount_minor=100_00)
    merchant, payment_id = wallet(payment.merchant_id), payment.id
    desk.refund(payment_id, 30_00)
    assert story(payment_id) == ["J01", "J03"]
    assert (books.balance(merchant), books.balance("2110:EUR")) == (-70_00, -30_00)
    desk.settle()
    assert story(payment_id) == ["J01", "J03", "J04"]
    assert (books.balance(merchant), books.balance("2110:EUR")) == (-70_00, 0)
    assert books.balance("1210:provider:simulator:EUR") == 70_00
    assert broken() == []


def test_a_refund_that_is_declined_gives_the_reserve_back(desk: Desk, books: Books) -> None:
    payment = desk.paid()
    merchant, payment_id = wallet(payment.merchant_id), payment.id
    desk.simulator.config(decline=1.0)
    desk.refund(payment_id, 30_00)
    desk.settle()
    assert story(payment_id) == ["J01", "J03", "J05"]
    assert books.balance(merchant) == -100_00
    assert broken() == []


def test_a_void_keeps_the_money_where_it_is_and_then_reverses_the_payment(desk: Desk, books: Books) -> None:
    payment = desk.paid()
    merchant, payment_id = wallet(payment.merchant_id), payment.id
    desk.void(payment_id)
    assert story(payment_id) == ["J01", "J25"]
    assert books.balance(merchant) == 0
    desk.settle()
    assert sorted(story(payment_id)) == ["J01", "J06", "J25", "J27"]
    undone = db.session.scalars(select(LedgerTransaction).where(LedgerTransaction.template == "J06")).one()
    assert undone.reverses_id is not None
    assert (books.balance(merchant), books.balance("1210:provider:simulator:EUR")) == (0, 0)
    assert broken() == []


@pytest.mark.parametrize("approved", [True, False], ids=["approved", "rejected"])
def test_a_refund_that_waits_for_approval_is_reserved_in_the_books(desk: Desk, books: Books, approved: bool) -> None:
    room = Room(desk.app, desk.make)
    desk.make.approval_policy(threshold_minor=50_00)
    request_id, payment_id = asked_refund(room, desk)
    merchant = wallet(db.session.get_one(Payment, payment_id).merchant_id)
    assert story(payment_id) == ["J01", "J03"]
    assert broken() == []
    checker = room.person(Role.ADMIN)
    if approved:
        room.approve(checker, request_id)
        desk.settle()
        assert story(payment_id) == ["J01", "J03", "J05", "J03", "J04"]
    else:
        reject_request(checker, request_id, reason="No.")
        assert story(payment_id) == ["J01", "J03", "J05"]
    assert books.balance(merchant) == (-40_00 if approved else -100_00)
    assert broken() == []


def test_a_refund_survives_a_crash_at_every_commit_and_is_booked_once(desk: Desk, books: Books) -> None:
    actor = desk.operator()

    def begin() -> tuple[int, dict[str, str]]:
        payment = desk.make.payment(transaction_id=f"BEFORE-{time.monotonic_ns()}")
        return payment.id, {"key": f"form-{payment.id}"} | desk.confirm(actor, REFUND_ACT, payment.id)

    def scenario(case: tuple[int, dict[str, str]]) -> None:
        desk.refund(case[0], 30_00, actor=actor, **case[1])
        desk.work()

    def world(case: tuple[int, dict[str, str]]) -> object:
        return desk.money(case[0]), story(case[0])

    survived = survives_any_crash(begin, scenario, world, meanwhile=lambda: pass_time(minutes=3))
    assert survived >= 10
    assert broken() == []


def test_a_void_survives_a_crash_at_every_commit_and_is_booked_once(desk: Desk, books: Books) -> None:
    actor = desk.operator()

    def begin() -> tuple[int, dict[str, str]]:
        payment = desk.paid()
        return payment.id, {"key": f"form-{payment.id}"} | desk.confirm(actor, VOID_ACT, payment.id)

    def scenario(case: tuple[int, dict[str, str]]) -> None:
        desk.void(case[0], actor=actor, **case[1])
        desk.work()

    def world(case: tuple[int, dict[str, str]]) -> object:
        return desk.money(case[0]), sorted(story(case[0]))

    survived = survives_any_crash(begin, scenario, world, meanwhile=lambda: pass_time(minutes=3))
    assert survived >= 10
    assert broken() == []


# ---- what was recorded before --------------------------------------------------------------------------------------


def past(make: Make) -> dict[str, int]:
    """Payments of every kind, written before there were books."""
    now = utcnow()
    found = {
        "paid": make.payment(),
        "settled": make.payment(settled_at=now),
        "voided": make.payment(status=PaymentStatus.VOIDED, captured_minor=100_00),
        "charged back": make.payment(status=PaymentStatus.CHARGED_BACK, refunded_minor=10_00),
        "refunded, nobody knows how": make.payment(status=PaymentStatus.PARTIALLY_REFUNDED, refunded_minor=10_00),
        "failed": make.payment(status=PaymentStatus.FAILED),
        "test": make.payment(mode=Mode.TEST),
    }
    return {name: payment.id for name, payment in found.items()}


def test_the_past_is_booked_once_in_turns_that_may_be_interrupted(app: Flask, make: Make, books: Books) -> None:
    ids = past(make)
    assert unbooked_payments() == 5
    db.session.rollback()
    assert ledger.book_recorded(SYSTEM, after_id=0, limit=2).payments == 2  # and then the command was stopped
    book()
    assert unbooked_payments() == 0
    db.session.rollback()
    assert {name: story(number) for name, number in ids.items()} == {
        "paid": ["J01"],
        "settled": ["J01", "J07"],
        "voided": ["J01", "J06"],
        "charged back": ["J01", "J03", "J04", "J08"],
        "refunded, nobody knows how": ["J01", "J03", "J04"],
        "failed": [],
        "test": [],
    }
    assert book() == 0
    assert broken() == []


def test_what_was_recorded_before_is_booked_with_the_first_change(desk: Desk, books: Books) -> None:
    payment_id = desk.make.payment(status=PaymentStatus.PARTIALLY_REFUNDED, refunded_minor=40_00).id
    desk.refund(payment_id, 60_00)
    desk.settle()
    assert story(payment_id) == ["J01", "J03", "J04", "J03", "J04"] or sorted(story(payment_id)) == [
        "J01", "J03", "J03", "J04", "J04",
    ]  # fmt: skip
    assert book() == 0
    assert broken() == []


def test_a_test_payment_is_no_money(desk: Desk, books: Books) -> None:
    payment_id = desk.paid(mode=Mode.TEST).id
    desk.refund(payment_id, 30_00)
    desk.settle()
    assert story(payment_id) == []
    assert db.session.scalars(select(Refund.status)).one().name == "SUCCEEDED"


# ---- checks --------------------------------------------------------------------------------------------------------


def test_a_worker_checks_the_books_and_keeps_the_result(desk: Desk, books: Books) -> None:
    desk.make.payment()
    book()
    ledger.check_books_daily(SYSTEM)
    desk.work()
    check = db.session.scalars(select(LedgerCheck)).one()
    assert check.done_at is not None
    assert check.broken == 0
    assert [each["number"] for each in check.results or []] == [f"I{number}" for number in range(1, 11)]
    ledger.check_books_daily(SYSTEM)
    assert db.session.scalars(select(LedgerCheck.id)).all() == [check.id]


def test_a_check_sees_one_moment_whatever_is_booked_meanwhile(desk: Desk, books: Books) -> None:
    """A refund is requested between the two questions of a check: neither figure has it, or both."""
    payment = desk.make.payment()
    payment_id = payment.id
    book()

    def refund() -> None:
        with desk.app.app_context():
            try:
                desk.refund(payment_id, 30_00)
            finally:
                db.session.remove()

    asked: list[str] = []

    def meanwhile(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "sum(payment.reserved_minor)" in statement and not asked:
            asked.append(statement)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(refund).result(timeout=30)

    event.listen(db.engine, "after_cursor_execute", meanwhile)
    try:
        assert broken() == []
    finally:
        event.remove(db.engine, "after_cursor_execute", meanwhile)
    assert asked
    assert story(payment_id) == ["J01", "J03"]
    assert broken() == []


def test_what_is_booked_in_turns_holds_its_accounts_before_the_first(
    app: Flask, make: Make, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first turn books on one merchant, the second on the other, whose account is before it in the order."""
    shops = [make.organization(name) for name in ("Alpha", "Beta")]
    owners = [f"organization:{shop.id}" for shop in shops]
    for owner in owners:
        books.fund(owner, 10_00)
    late, early = (make.payment(merchant_id=shop.id).id for shop in reversed(shops))
    monkeypatch.setattr(booked_payments, "BATCH", 1)
    first_is_booked, other_began = threading.Event(), threading.Event()

    def turns() -> None:
        def after(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if statement.startswith("INSERT INTO ledger_transaction") and not first_is_booked.is_set():
                first_is_booked.set()
                other_began.wait(10)
                time.sleep(0.5)  # the other one holds what it can, and waits for the rest

        with books.writing() as pen:
            event.listen(pen.session.connection(), "after_cursor_execute", after)
            booked_payments.follow(pen, [late, early])

    def transfers() -> None:
        first_is_booked.wait(10)
        other_began.set()
        recipe = recipes.transfer(unit="EUR", payer=owners[0], payee=owners[1], amount=1_00)
        books.post(Posting("across", recipe, "test", 1, utcnow().date()))

    assert at_once(app, [turns, transfers]) == [None, None]
    assert broken_but_for_what_providers_owe() == []


def broken_but_for_what_providers_owe() -> list[str]:
    db.session.rollback()
    found = [row["sentence"] for each in checks.run(db.session(), ()) if each.number != "I7" for row in each.rows]
    db.session.rollback()
    return found
