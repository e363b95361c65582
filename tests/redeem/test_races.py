"""Many at once: a request is decided once, paid once, and what is set aside leaves or goes back once."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from payadmin.actions import redeem, treasury
from payadmin.actions.redeem import requests
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict
from payadmin.kernel.tariffs import Term, TransactionType
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.redeem import RedeemRequest, RedeemStatus
from payadmin.models.treasury import (
    CashDesk,
    CashDeskAssignment,
    CashOperation,
    CashSource,
    SystemKind,
    SystemOperation,
)
from payadmin.models.wallets import Wallet
from payadmin.permissions import Role
from payadmin.queries.treasury.days import payable_requests
from payadmin.work import SYSTEM, Actor
from tests.redeem.conftest import BANK, Redeeming, by_the_bank
from tests.support.crash import Crash
from tests.support.make import writing
from tests.support.races import together


def counter(room: Redeeming, code: str, cash: int = 500_00) -> Actor:
    """A cashier at a desk of their own, with an open day and cash in it."""
    cashier = room.person(Role.CASHIER)
    organization = room.make.organization("Cash Office").id
    writing()
    desk = CashDesk(code=code, name=f"Desk {code}", organization_id=organization)
    db.session.add(desk)
    db.session.flush()
    db.session.add(CashDeskAssignment(desk_id=desk.id, cashier_id=cashier.staff_id, begins_at=utcnow()))
    db.session.flush()
    desk_id = desk.id
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    treasury.open_day(cashier, desk_id)
    for kind, where in ((SystemKind.CASH_INPUT, None), (SystemKind.INVESTMENT, desk_id)):
        source = CashSource.BANK if where is None else None
        asked = treasury.initiate(
            room.accountant,
            kind=kind,
            unit="EUR",
            amount_minor=cash,
            key=f"{code}:{kind}",
            desk_id=where,
            source=source,
        ).id
        treasury.confirm(room.cfo, asked, version=room.get(SystemOperation, asked).version)
    return cashier


def approved(room: Redeeming, wallet: int, amount: int = 40_00, **more: Any) -> int:
    number = room.submit(wallet, amount, **more)
    room.approve(number)
    return number


def test_approve_and_cancel_at_once_one_wins(app: Flask, room: Redeeming) -> None:
    wallet = room.customer(100_00)
    for _turn in range(5):
        number = room.submit(wallet, 10_00)
        version = room.row(number).version

        def approve(number: int = number, version: int = version) -> str:
            redeem.approve(room.accountant, number, version=version)
            return "approved"

        def cancel(number: int = number, version: int = version) -> str:
            redeem.cancel(room.other, number, reason="No", version=version)
            return "cancelled"

        done, refused = together(app, approve, cancel, approve, cancel)
        assert len(set(done)) == 1
        assert {type(each) for each in refused} == {Conflict}
        if done[0] == "approved":
            room.cancel(number)
    assert room.amounts(wallet).available_minor == 100_00
    assert room.open_holds() == 0
    assert room.unsound() == []


def test_two_desks_pay_a_request_once(app: Flask, room: Redeeming) -> None:
    wallet = room.customer(100_00)
    first, second = counter(room, "D1"), counter(room, "D2")
    number = approved(room, wallet)

    def pay(cashier: Actor) -> Callable[[], Any]:
        return lambda: treasury.pay_redeem(cashier, number, key=f"p:{cashier.staff_id}").id

    done, refused = together(app, pay(first), pay(second), pay(first), pay(second))
    assert len(set(done)) == 1
    assert {type(each) for each in refused} == {Conflict}
    assert room.count(CashOperation) == 1
    assert room.row(number).status is RedeemStatus.PAID
    assert (room.amounts(wallet).balance_minor, room.open_holds()) == (60_00, 0)
    assert room.unsound() == []


def test_a_request_is_paid_or_cancelled_never_both(app: Flask, room: Redeeming) -> None:
    wallet = room.customer(500_00)
    cashier = counter(room, "D1")
    for turn in range(5):
        number = approved(room, wallet)
        version = room.row(number).version
        before = room.amounts(wallet).balance_minor

        def pay(number: int = number, turn: int = turn) -> str:
            treasury.pay_redeem(cashier, number, key=f"p:{turn}")
            return "paid"

        def cancel(number: int = number, version: int = version) -> str:
            redeem.cancel(room.accountant, number, reason="No", version=version)
            return "cancelled"

        done, refused = together(app, pay, cancel)
        assert (len(done), [type(each) for each in refused]) == (1, [Conflict])
        left = 40_00 if done == ["paid"] else 0
        assert room.amounts(wallet).balance_minor == before - left
    assert room.open_holds() == 0
    assert room.unsound() == []


def test_requests_at_once_spend_a_wallet_and_a_limit_only_once(app: Flask, room: Redeeming) -> None:
    poor, limited = room.customer(10_00), room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(TransactionType.CASH_WITHDRAWAL, "EUR", limit_day_minor=10_00))
    for wallet in (poor, limited):

        def ask(turn: int, wallet: int = wallet) -> Callable[[], Any]:
            return lambda: room.submit(wallet, 4_00, key=f"{wallet}:{turn}")

        done, refused = together(app, *(ask(turn) for turn in range(6)))
        assert (len(done), {type(each) for each in refused}) == (2, {Conflict})
        assert room.amounts(wallet).held_minor == 8_00
    assert room.unsound() == []


def test_the_same_form_sent_many_times_at_once_is_one_request(app: Flask, room: Redeeming) -> None:
    wallet = room.customer(100_00)
    done, refused = together(app, *[lambda: room.submit(wallet, 4_00, BANK, key="one")] * 5)
    assert (len(done), len(set(done)), refused) == (5, 1, [])
    assert room.amounts(wallet).held_minor == 4_00


def test_the_bank_and_an_accountant_at_once(app: Flask, room: Redeeming) -> None:
    """Either it went to the bank, or it was cancelled before."""
    wallet = room.customer(100_00)
    for _turn in range(5):
        number = approved(room, wallet, channel=BANK)
        version = room.row(number).version

        def send(number: int = number) -> str:
            by_the_bank(SYSTEM, redeem.sent, number)
            return "sent"

        def cancel(number: int = number, version: int = version) -> str:
            redeem.cancel(room.accountant, number, reason="No", version=version)
            return "cancelled"

        done, refused = together(app, send, cancel)
        assert (len(done), [type(each) for each in refused]) == (1, [Conflict])
        if done == ["sent"]:
            room.bank(redeem.failed, number, code="AC04")
            room.cancel(number)
    assert room.amounts(wallet).available_minor == 100_00
    assert room.unsound() == []


def test_an_answer_of_the_bank_that_comes_twice_at_once_is_booked_once(app: Flask, room: Redeeming) -> None:
    wallet = room.customer(100_00)
    number = approved(room, wallet, channel=BANK)
    room.bank(redeem.sent, number)
    at = utcnow()
    _done, refused = together(app, *[lambda: by_the_bank(SYSTEM, redeem.paid_by_bank, number, at=at)] * 4)
    assert refused == []
    _done, refused = together(app, *[lambda: by_the_bank(SYSTEM, redeem.returned, number, code="AC04", at=at)] * 4)
    assert refused == []
    assert room.booked(number) == ["J18", "J19", "J19", "J21"]
    assert room.amounts(wallet).available_minor == 100_00
    assert room.unsound() == []


@pytest.mark.parametrize("where", ["post", "names"])
def test_a_crash_between_leaves_nothing_or_everything(
    room: Redeeming, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    wallet = room.customer(100_00)
    waiting = room.submit(wallet, 10_00)
    journals, version = room.count(LedgerTransaction), room.row(waiting).version

    def dies(*_args: Any, **_kwargs: Any) -> None:
        raise Crash

    acts: tuple[Callable[[], Any], ...] = (
        lambda: room.submit(wallet, 20_00, key="k"),
        lambda: redeem.cancel(room.accountant, waiting, reason="No", version=version),
    )
    for act in acts:
        with monkeypatch.context() as patch:
            patch.setattr(requests, where, dies)
            with pytest.raises(Crash):
                act()
        assert (room.count(RedeemRequest), room.count(LedgerTransaction)) == (1, journals)
    for act in acts:
        act()
    assert (room.amounts(wallet).available_minor, room.amounts(wallet).held_minor) == (80_00, 20_00)
    assert room.unsound() == []


def test_a_desk_finds_what_it_may_pay_of_a_customer_or_by_a_number(room: Redeeming) -> None:
    wallet, other = room.customer(500_00), room.customer(500_00)
    numbers = [approved(room, wallet), approved(room, wallet, 60_00)]
    waiting, by_bank = room.submit(wallet, 1_00), approved(room, wallet, 2_00, channel=BANK)
    approved(room, other)
    customer = room.get(Wallet, wallet).customer_id
    assert customer is not None
    found = payable_requests(db.session(), customer_ids=[customer])
    assert [each.id for each in found] == numbers
    for number, is_payable in ((numbers[1], True), (waiting, False), (by_bank, False)):
        by_number = payable_requests(db.session(), number=number)
        assert [each.id for each in by_number] == ([number] if is_payable else [])
