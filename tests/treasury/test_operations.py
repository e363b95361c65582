"""Over the counter: cash in, cash out, redeem requests paid; every refusal leaves everything as it was."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import (
    Customer,
    CustomerStatus,
    IdentificationStatus,
    Organization,
    OrganizationStatus,
)
from payadmin.models.payments import Unit, UnitKind
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.treasury import CashDesk, CashDeskAssignment, CashKind, CashOperation
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.permissions import Role
from payadmin.queries.treasury import find_customers, plan_cash
from payadmin.work import Actor
from tests.support.cash_office import CashOffice
from tests.support.make import writing

IN, OUT = TransactionType.TOP_UP, TransactionType.CASH_WITHDRAWAL


def set_row(row: Any, **values: Any) -> None:
    """Change a row behind everybody's back."""
    model, row_id = type(row), row.id
    writing()
    found = db.session.get_one(model, row_id)
    for name, value in values.items():
        setattr(found, name, value)
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()


def refused(act: Callable[[], Any], kind: type[Refusal], words: str, field: str | None = None) -> Refusal:
    """What an act is refused with."""
    with pytest.raises(kind, match=words) as caught:
        act()
    db.session.rollback()
    assert caught.value.field == field
    return caught.value


def test_cash_comes_and_goes_with_the_commission_of_the_contract(office: CashOffice) -> None:
    shop = office.contracted(
        "Alpha",
        Term(IN, "EUR", rate_ppm=10_000, charged_to=ChargedTo.PAYEE),
        Term(OUT, "EUR", rate_ppm=20_000, fixed_minor=50, charged_to=ChargedTo.PAYER),
    )
    wallet = office.wallet(owner=office.make.customer(organization_id=shop.id))
    desk = office.desk(office.cashier, money={"EUR": 10_00})
    day = office.open(desk)
    first, second = office.top_up(wallet, 200_00), office.withdraw(wallet, 50_00)
    found = [(each.kind, each.receipt, each.cash_minor, each.wallet_minor) for each in (first, second)]
    assert found == [(CashKind.TOP_UP, 1, 200_00, 198_00), (CashKind.WITHDRAWAL, 2, 50_00, 51_50)]
    assert first.contract_version_id is not None
    assert [office.journals("cash_operation", each) for each in (first.id, second.id)] == [["J11"], ["J12"]]
    assert office.in_desk(desk) == {"EUR": 160_00}
    assert office.amounts(wallet).available_minor == 146_50
    assert office.day(day).last_receipt == 2
    assert office.unsound() == []


def test_a_top_up_whose_commission_the_payer_pays_takes_more_cash(office: CashOffice) -> None:
    shop = office.contracted("Alpha", Term(IN, "EUR", fixed_minor=1_00, charged_to=ChargedTo.PAYER))
    wallet = office.wallet(owner=shop)
    desk = office.desk(office.cashier)
    office.open(desk)
    row = office.top_up(wallet, 20_00)
    assert (row.cash_minor, row.wallet_minor, row.commission_minor) == (21_00, 20_00, 1_00)
    assert office.in_desk(desk) == {"EUR": 21_00}


def test_a_withdrawal_whose_commission_the_payee_pays_gives_less_cash(office: CashOffice) -> None:
    shop = office.contracted("Alpha", Term(OUT, "EUR", fixed_minor=1_00, charged_to=ChargedTo.PAYEE))
    wallet = office.wallet(owner=shop, funds=20_00)
    office.open(office.desk(office.cashier, money={"EUR": 19_00}))
    row = office.withdraw(wallet, 20_00)
    assert (row.cash_minor, row.wallet_minor, row.commission_minor) == (19_00, 20_00, 1_00)


def test_an_order_that_comes_twice_is_carried_out_once_and_answered_even_after_the_day(office: CashOffice) -> None:
    wallet = office.wallet()
    office.desk(office.cashier)
    desk = office.desk()
    other = office.person(Role.CASHIER)
    office.assign(desk, other)
    office.open(desk, other)
    first = office.top_up(wallet, 5_00, other, key="form").id
    assert office.top_up(wallet, 5_00, other, key="form").id == first
    refused(lambda: office.top_up(wallet, 6_00, other, key="form"), Conflict, "another order")
    refused(lambda: office.withdraw(wallet, 5_00, other, key="form"), Conflict, "another order")
    day = office.get(CashOperation, first).day_id
    office.count(day, other)
    assert office.top_up(wallet, 5_00, other, key="form").id == first
    assert office.in_desk(desk) == {"EUR": 5_00}


def test_limits_count_what_was_done_and_what_waits_to_be_redeemed_in_cash(office: CashOffice) -> None:
    shop = office.contracted("Alpha", Term(OUT, "EUR", limit_single_minor=50_00, limit_day_minor=80_00))
    wallet = office.wallet(owner=shop, funds=500_00)
    office.open(office.desk(office.cashier, money={"EUR": 500_00}))
    refused(lambda: office.withdraw(wallet, 50_01), Conflict, "at most 50.00 EUR at once", "amount")
    office.withdraw(wallet, 30_00)
    request = office.redeem(wallet, 30_00)
    refused(lambda: office.withdraw(wallet, 20_01), Conflict, "80.00 EUR a day, and 60.00 EUR", "amount")
    office.pay(request)
    refused(lambda: office.withdraw(wallet, 20_01), Conflict, "80.00 EUR a day, and 60.00 EUR", "amount")
    office.withdraw(wallet, 20_00)
    assert office.top_up(wallet, 500_00).receipt == 4


def test_a_plan_says_what_it_comes_to_and_why_and_is_kept_to(office: CashOffice) -> None:
    shop = office.contracted("Alpha", Term(IN, "EUR", fixed_minor=1_00, limit_single_minor=10_00))
    wallet = office.wallet(owner=shop)
    office.open(office.desk(office.cashier))
    row = office.get(Wallet, wallet)
    plan = plan_cash(db.session(), kind=CashKind.TOP_UP, wallet=row, amount_minor=20_00, at=row.created_at)
    assert (plan.cash_minor, plan.wallet_minor, plan.exceeded[0].excess_minor) == (20_00, 19_00, 10_00)
    assert "1.00 EUR" in " ".join(plan.why)
    refused(lambda: office.top_up(wallet, 5_00, seen=(5_00, 5_00)), Conflict, "changed since you looked")
    assert office.top_up(wallet, 5_00, seen=(5_00, 4_00)).receipt == 1


def test_nobody_takes_out_more_than_wallet_or_desk_hold_and_the_desk_does_not_tell(office: CashOffice) -> None:
    wallet = office.wallet(funds=100_00)
    desk = office.desk(office.cashier, money={"EUR": 40_00})
    office.open(desk)
    refused(lambda: office.withdraw(wallet, 100_01), Conflict, "has 100.00 EUR available", "amount")
    assert "40" not in refused(lambda: office.withdraw(wallet, 40_01), Conflict, "not enough EUR", "amount").sentence
    assert office.withdraw(wallet, 40_00).receipt == 1
    assert office.in_desk(desk) == {}


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, True, 1.5])
def test_an_amount_that_makes_no_sense_is_refused(office: CashOffice, amount: Any) -> None:
    wallet = office.wallet()
    office.open(office.desk(office.cashier))
    refused(lambda: office.top_up(wallet, amount), Invalid, "above zero", "amount")


def test_nothing_is_done_without_desk_or_open_day_or_by_somebody_who_left(office: CashOffice) -> None:
    wallet = office.wallet(funds=10_00)
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "no desk")
    desk = office.desk()
    number = office.assign(desk, office.cashier)
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "not open")
    day = office.open(desk)
    office.top_up(wallet, 1_00)
    treasury.lock_desk(office.accountant, desk, reason="Alarm", version=office.get(CashDesk, desk).version)
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "is locked")
    treasury.unlock_desk(office.accountant, desk, version=office.get(CashDesk, desk).version)
    office.top_up(wallet, 1_00)
    treasury.end_assignment(office.accountant, number)
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "no desk")
    office.assign(desk, office.cashier)
    office.count(day)
    for act in (office.top_up, office.withdraw):
        refused(lambda act=act: act(wallet, 1_00), Conflict, "being closed")  # type: ignore[misc]
    assert office.in_desk(desk) == {"EUR": 2_00}
    refused(lambda: office.top_up(wallet, 1_00, office.accountant), Forbidden, "does not allow")
    nobody = Actor(None, "nobody", permissions=office.cashier.permissions)
    refused(lambda: office.top_up(wallet, 1_00, nobody), Forbidden, "Only a person")


def test_wallets_customers_and_units_that_cannot_be_used_are_refused_with_the_reason(office: CashOffice) -> None:
    office.open(office.desk(office.cashier, money={"EUR": 100_00}))
    customer = office.make.customer()
    wallet = office.wallet(funds=50_00, owner=customer)
    set_row(office.get(Wallet, wallet), status=WalletStatus.BLOCKED)
    refused(lambda: office.withdraw(wallet, 1_00), Conflict, "is blocked: nothing leaves", "wallet")
    assert office.top_up(wallet, 1_00).receipt == 1  # what comes in may reach it
    set_row(office.get(Wallet, wallet), status=WalletStatus.OPEN)
    set_row(office.get(Customer, customer.id), status=CustomerStatus.BLOCKED)
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "owner of wallet .* is blocked", "wallet")
    refused(lambda: office.withdraw(wallet, 1_00), Conflict, "owner of wallet .* is blocked", "wallet")
    other = office.wallet("USD", funds=5_00)
    unit = db.session.scalars(select(Unit).where(Unit.code == "USD")).one()
    set_row(unit, kind=UnitKind.BONUS)
    refused(lambda: office.withdraw(other, 1_00), Conflict, "no cash of it", "wallet")
    shop = office.get(Organization, office.make.organization().id)
    set_row(shop, status=OrganizationStatus.CLOSED)
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "organization of desk")


def test_a_redeem_request_is_paid_out_of_what_was_set_aside(office: CashOffice) -> None:
    wallet = office.wallet(funds=100_00)
    request = office.redeem(wallet, 60_00, commission=1_00)
    desk = office.desk(office.cashier, money={"EUR": 60_00})
    office.open(desk)
    row = office.pay(request, key="form")
    assert (row.kind, row.cash_minor, row.wallet_minor, row.receipt) == (CashKind.REDEEM, 60_00, 61_00, 1)
    assert office.pay(request, key="form").id == row.id
    refused(lambda: office.pay(request), Conflict, "paid already")
    found = office.get(RedeemRequest, request)
    assert (found.status, found.paid_at is not None) == (RedeemStatus.PAID, True)
    assert (office.amounts(wallet).available_minor, office.amounts(wallet).held_minor) == (39_00, 0)
    assert (office.in_desk(desk), office.unsound()) == ({}, [])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"status": RedeemStatus.SUBMITTED}, "Only an approved"),
        ({"status": RedeemStatus.CANCELLED}, "Only an approved"),
        (
            {"channel": RedeemChannel.BANK_TRANSFER, "holder_name": "A", "account_sealed": "x", "account_shown": "y"},
            "paid by the bank",
        ),
    ],
)
def test_what_is_not_approved_for_a_desk_is_not_paid(office: CashOffice, values: dict[str, Any], words: str) -> None:
    wallet = office.wallet(funds=100_00)
    office.open(office.desk(office.cashier, money={"EUR": 60_00}))
    refused(lambda: office.pay(office.redeem(wallet, 10_00, **values)), Conflict, words)
    assert office.count_of(CashOperation) == 0


def test_a_redeem_of_somebody_blocked_or_unidentified_or_beyond_the_desk_is_refused(office: CashOffice) -> None:
    customer = office.make.customer(identification=IdentificationStatus.IDENTIFIED)
    wallet = office.wallet(funds=100_00, owner=customer)
    request = office.redeem(wallet, 60_00)
    office.open(office.desk(office.cashier, money={"EUR": 50_00}))
    refused(lambda: office.pay(request), Conflict, "not enough EUR", "amount")
    set_row(office.get(Customer, customer.id), identification=IdentificationStatus.IN_REVIEW)
    refused(lambda: office.pay(request), Conflict, "not identified")
    set_row(office.get(Customer, customer.id), status=CustomerStatus.BLOCKED)
    refused(lambda: office.pay(request), Conflict, "is blocked")
    assert (office.get(RedeemRequest, request).status, office.amounts(wallet).held_minor) == (
        RedeemStatus.APPROVED,
        60_00,
    )


def test_what_was_done_and_what_was_refused_stands_in_the_trail(office: CashOffice) -> None:
    wallet = office.wallet()
    desk = office.desk(office.cashier, code="CENTRE-1")
    day = office.open(desk)
    office.top_up(wallet, 5_00)
    refused(lambda: office.withdraw(wallet, 9_00), Conflict, "available", "amount")
    db.session.rollback()
    rows = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(2)).all()
    assert [row.event for row in rows] == ["treasury.withdraw", "treasury.top_up.done"]
    keys = rows[1].keys or {}
    assert (keys["cash_desk"], keys["cash_day"], keys["receipt"]) == ("CENTRE-1", day, 1)


def test_customers_are_found_by_what_they_say_and_by_nothing_less(office: CashOffice) -> None:
    key = b"k" * 32
    word = codewords.digests([key], "Blue Lighthouse")[0]
    ann = office.make.customer(phone="+447700900123", email="ann@example.com", codeword_digest=word).id
    same = office.make.customer(codeword_digest=word).id

    def found(said: str) -> list[int]:
        db.session.rollback()
        return [each.id for each in find_customers(db.session(), said, [key])]

    name = office.get(Customer, ann).external_id
    for said in ("+44 7700 900123", "Ann@Example.com", f" {name} ", name.lower()):
        assert found(said) == [ann]
    assert found("blue  LIGHTHOUSE") == [ann, same]
    for said in ("", "blue", "+44 7700", "ann@", "%", "Customer 1", "x" * 300):
        assert found(said) == []
    assert find_customers(db.session(), "blue lighthouse", []) == []


def test_no_two_receipts_of_a_desk_and_a_date_have_one_number(
    office: CashOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second day of one date goes on with the numbers of the first; another date, and another desk, begin anew."""
    monkeypatch.setattr("payadmin.work.utcnow", lambda: dt.datetime(2026, 10, 20, 12, tzinfo=dt.UTC))
    desk, wallet = office.desk(office.cashier), office.wallet()

    def a_day() -> list[int]:
        day = office.open(desk)
        found = [office.top_up(wallet, 1_00).receipt for _each in range(2)]
        office.count(day)
        office.close(day)
        return found

    assert (a_day(), a_day()) == ([1, 2], [3, 4])
    teller = office.person(Role.CASHIER)
    office.open(office.desk(teller), teller)
    assert office.top_up(wallet, 1_00, teller).receipt == 1
    monkeypatch.setattr("payadmin.work.utcnow", lambda: dt.datetime(2026, 10, 21, 12, tzinfo=dt.UTC))
    assert a_day() == [1, 2]


def test_an_assignment_is_the_only_way_to_a_desk(office: CashOffice) -> None:
    """Somebody who works elsewhere cannot open or work here."""
    here, there = office.desk(office.cashier), office.desk()
    refused(lambda: office.open(there), Conflict, "not assigned")
    office.open(here)
    assert office.top_up(office.wallet(), 1_00).receipt == 1
    assert office.in_desk(there) == {}
    assert office.count_of(CashDeskAssignment) == 1
