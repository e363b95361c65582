"""What payments cost and give back: by what is in force, once, undone by refunds and voids, and told on their page."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from payadmin.actions import ledger, tariffs
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.tariffs import ChargedTo, FundedBy, Term, TransactionType
from payadmin.ledger import checks
from payadmin.models.ledger import LedgerAccount, LedgerBalance
from payadmin.models.payments import Payment
from payadmin.models.tariffs import Contract, PaymentTariff
from payadmin.permissions import Role
from payadmin.queries.ledger import journals_of_payment
from payadmin.queries.tariffs import cost_of, tariff_of_payment
from payadmin.work import SYSTEM, Actor
from tests.support.approvals import Room, asked_refund
from tests.support.books import by_the_owner
from tests.support.desk import Desk

K = TransactionType
# 2.9 % and 0.30: 3.20 of 100.00.
TERM = Term(K.PAYMENT, "EUR", 29_000, 30)
RETURNS = Term(K.PAYMENT, "EUR", 29_000, 30, returns_commission=True)
DAY = dt.timedelta(days=1)
INCOME, EXPENSE = "4010:EUR", "5020:EUR"


@pytest.fixture
def cfo(room: Room) -> Actor:
    return room.person(Role.CFO)


@pytest.fixture
def shop(room: Room) -> int:
    return room.make.organization("Corner Shop").id


def contract_for(cfo: Actor, shop: int, *terms: Term, code: str = "RETAIL-1") -> int:
    contract_id: int = tariffs.open_contract(cfo, code=code, name="Retail", terms=terms)
    tariffs.assign_contract(cfo, shop, contract_id=contract_id)
    return contract_id


def profile_for(cfo: Actor, shop: int, **values: Any) -> int:
    given = {
        "name": "One percent",
        "unit": "EUR",
        "rate_ppm": 10_000,
        "cap_minor": None,
        "cap_month_minor": None,
        "funded_by": FundedBy.SYSTEM,
        "valid_from": utcnow().date() - 2 * DAY,
        "valid_to": None,
    } | values
    profile_id: int = tariffs.save_profile(cfo, **given)
    tariffs.assign_profile(cfo, shop, profile_id=profile_id)
    return profile_id


def book() -> None:
    db.session.rollback()
    last = 0
    while (turn := ledger.book_recorded(SYSTEM, after_id=last)).last_id is not None:
        last = turn.last_id


def paid(desk: Desk, **values: Any) -> Payment:
    """A payment that is made and booked now."""
    payment = desk.paid(**{"created_at": utcnow()} | values)
    book()
    return db.session.get_one(Payment, payment.id)


def balance(code: str) -> int:
    """What an account has on its credit side."""
    db.session.rollback()
    of = select(LedgerAccount.id).where(LedgerAccount.code == code).scalar_subquery()
    total = select(func.coalesce(func.sum(LedgerBalance.balance_minor), 0)).where(LedgerBalance.account_id == of)
    return -int(db.session.scalar(total) or 0)


def wallet(shop: int) -> int:
    return balance(f"2010:organization:{shop}:EUR")


def purse(payment: Payment) -> int:
    return balance(f"2010:customer:{payment.customer_id}:EUR")


def story(payment_id: int) -> list[str]:
    db.session.rollback()
    return sorted(each.template for each in journals_of_payment(db.session(), payment_id))


def broken() -> list[str]:
    db.session.rollback()
    found = [row["sentence"] for each in checks.run(db.session(), ()) for row in each.rows]
    db.session.rollback()
    return found


# --- commissions ------------------------------------------------------------------------------------------------------


def test_a_payment_costs_what_the_version_in_force_says_and_later_versions_change_nothing(
    cfo: Actor, shop: int, desk: Desk
) -> None:
    contract_id = contract_for(cfo, shop, TERM)
    payment = paid(desk, amount_minor=125_00)
    assert (wallet(shop), balance(INCOME)) == (125_00 - 3_92, 3_92)
    seen = db.session.get_one(Contract, contract_id).version
    tariffs.add_version(cfo, contract_id, terms=[Term(K.PAYMENT, "EUR", 500_000)], version=seen)
    book()
    assert (wallet(shop), balance(INCOME)) == (125_00 - 3_92, 3_92)
    found = tariff_of_payment(db.session(), payment.id)
    assert found is not None
    assert (found.contract, found.number, found.kept.commission_minor) == ("RETAIL-1", 1, 3_92)
    assert broken() == []


def test_a_payment_of_before_the_contract_or_in_a_unit_it_does_not_name_costs_nothing(
    cfo: Actor, shop: int, desk: Desk
) -> None:
    contract_for(cfo, shop, TERM)
    paid(desk, created_at=utcnow() - DAY)
    paid(desk, unit="GBP")
    assert (wallet(shop), balance(INCOME), balance("4010:GBP")) == (100_00, 0, 0)
    assert db.session.scalar(select(func.count()).select_from(PaymentTariff)) == 0


def test_a_commission_that_takes_all_can_be_booked_and_voided(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, Term(K.PAYMENT, "EUR", fixed_minor=200_00))
    payment = paid(desk)
    assert (wallet(shop), balance(INCOME)) == (0, 100_00)
    desk.void(payment.id)
    desk.settle()
    assert (wallet(shop), balance(INCOME)) == (0, 0)
    assert broken() == []


def test_a_void_gives_the_commission_back_exactly(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, TERM)
    payment = paid(desk)
    desk.void(payment.id)
    assert (wallet(shop), balance(INCOME)) == (0, 3_20)
    desk.settle()
    assert story(payment.id) == ["J01", "J06", "J25", "J27"]
    assert (wallet(shop), balance(INCOME)) == (0, 0)
    assert broken() == []


def test_a_refund_keeps_the_commission_unless_the_term_returns_it(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, TERM)
    payment = paid(desk)
    desk.refund(payment.id, 30_00)
    desk.settle()
    assert (wallet(shop), balance(INCOME)) == (100_00 - 3_20 - 30_00, 3_20)
    assert broken() == []


@pytest.mark.parametrize(("refund", "back"), [(30_00, 96), (33_33, 1_06), (100_00, 3_20)])
def test_a_term_that_returns_commission_gives_back_its_share_rounded_down(
    cfo: Actor, shop: int, desk: Desk, refund: int, back: int
) -> None:
    contract_for(cfo, shop, RETURNS)
    payment = paid(desk)
    desk.refund(payment.id, refund)
    assert (wallet(shop), balance(INCOME)) == (100_00 - 3_20 - refund + back, 3_20 - back)
    desk.settle()
    assert (wallet(shop), balance(INCOME)) == (100_00 - 3_20 - refund + back, 3_20 - back)
    assert broken() == []


def test_a_declined_refund_puts_everything_back_whatever_the_contract_says_then(
    cfo: Actor, shop: int, desk: Desk
) -> None:
    contract_for(cfo, shop, RETURNS)
    payment = paid(desk)
    desk.simulator.config(decline=1.0)
    desk.refund(payment.id, 30_00)
    tariffs.assign_contract(cfo, shop, contract_id=None)
    desk.settle()
    assert (wallet(shop), balance(INCOME)) == (100_00 - 3_20, 3_20)
    assert broken() == []


def test_a_refund_that_waits_for_approval_holds_the_same_share(cfo: Actor, shop: int, desk: Desk, room: Room) -> None:
    contract_for(cfo, shop, RETURNS)
    paid(desk)
    desk.make.approval_policy(threshold_minor=50_00)
    _payment_id, request_id = asked_refund(room, desk)
    room.approve(room.person(Role.ADMIN), request_id)
    desk.settle()
    assert broken() == []


def test_a_merchant_that_has_not_enough_is_told_and_nothing_is_refunded(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, TERM)
    payment = paid(desk)
    with pytest.raises(Conflict, match="not enough money"):
        desk.refund(payment.id, 100_00)
    assert desk.money(payment.id)[1:3] == (0, 0)
    assert wallet(shop) == 100_00 - 3_20


def test_what_a_transaction_would_cost_is_told_with_its_contract_and_limits(cfo: Actor, shop: int) -> None:
    transfer = Term(K.TRANSFER, "EUR", 5_000, charged_to=ChargedTo.PAYER, limit_day_minor=500_00)
    contract_for(cfo, shop, TERM, transfer)
    found = cost_of(db.session(), shop, K.TRANSFER, "EUR", 125_00, utcnow())
    assert (found.commission_minor, found.payer_minor, found.payee_minor) == (62, 125_62, 125_00)
    assert [str(step) for step in found.steps][:2] == [
        "By contract RETAIL-1, version 1:",
        "0.5% of 125.00 EUR is 0.625, rounded to 0.62 EUR.",
    ]
    assert found.ruling is not None
    assert found.ruling.term.limit_day_minor == 500_00
    free = cost_of(db.session(), shop, K.EXCHANGE, "EUR", 125_00, utcnow())
    assert (free.ruling, free.commission_minor, free.payee_minor) == (None, 0, 125_00)


def test_the_payer_cannot_be_charged_for_a_payment_that_was_made(cfo: Actor) -> None:
    term = Term(K.PAYMENT, "EUR", 29_000, charged_to=ChargedTo.PAYER)
    with pytest.raises(Invalid) as caught:
        tariffs.open_contract(cfo, code="RETAIL-1", name="Retail", terms=[term])
    assert (caught.value.field, caught.value.data["position"]) == ("charged_to", 0)


# --- cashback ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("funder", "shop_gets"), [(FundedBy.SYSTEM, 100_00), (FundedBy.MERCHANT, 99_00)])
def test_cashback_reaches_the_customers_wallet_once(
    cfo: Actor, shop: int, desk: Desk, funder: FundedBy, shop_gets: int
) -> None:
    profile_for(cfo, shop, funded_by=funder)
    payment = paid(desk)
    book()
    assert (purse(payment), wallet(shop)) == (1_00, shop_gets)
    assert balance(EXPENSE) == (-1_00 if funder is FundedBy.SYSTEM else 0)
    assert story(payment.id) == ["J01", "J23"]
    assert broken() == []


def test_cashback_that_was_taken_out_of_the_books_is_missed(cfo: Actor, shop: int, desk: Desk) -> None:
    profile_for(cfo, shop)
    payment_id = paid(desk).id
    number = f"(SELECT id FROM ledger_transaction WHERE key = 'payment:{payment_id}:cashback')"
    by_the_owner(
        f"DELETE FROM ledger_entry WHERE transaction_id = {number}",
        f"DELETE FROM ledger_transaction WHERE key = 'payment:{payment_id}:cashback'",
    )
    assert f"Cashback of payment {payment_id} is not in the books." in broken()


def test_caps_and_validity_are_respected(cfo: Actor, shop: int, desk: Desk, room: Room) -> None:
    customer = room.make.customer().id
    profile_for(cfo, shop, rate_ppm=100_000, cap_minor=5_00, cap_month_minor=8_00, valid_to=utcnow().date() + DAY)
    first = paid(desk, customer_id=customer)
    assert purse(first) == 5_00
    paid(desk, customer_id=customer)
    assert purse(first) == 8_00
    paid(desk, customer_id=customer)
    assert purse(first) == 8_00
    other = paid(desk)
    assert purse(other) == 5_00
    too_early = paid(desk, created_at=utcnow() - 5 * DAY)
    in_pounds = paid(desk, unit="GBP")
    assert (purse(too_early), balance(f"2010:customer:{in_pounds.customer_id}:GBP")) == (0, 0)
    assert broken() == []


def test_a_profile_that_is_off_gives_nothing(cfo: Actor, shop: int, desk: Desk) -> None:
    profile_for(cfo, shop, is_on=False)
    assert purse(paid(desk)) == 0


def test_a_merchant_never_gives_more_than_it_got(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, TERM)
    profile_for(cfo, shop, rate_ppm=1_000_000, funded_by=FundedBy.MERCHANT)
    payment = paid(desk)
    assert (purse(payment), wallet(shop), balance(INCOME)) == (96_80, 0, 3_20)


@pytest.mark.parametrize("funder", list(FundedBy))
def test_refunds_take_cashback_back_in_proportion_and_all_of_it_in_the_end(
    cfo: Actor, shop: int, desk: Desk, funder: FundedBy
) -> None:
    profile_for(cfo, shop, rate_ppm=9_990, funded_by=funder)
    paid(desk)  # so that the merchant has something besides
    payment = paid(desk)
    assert purse(payment) == 99
    left = []
    for part in (33_33, 33_33, 33_34):
        desk.refund(payment.id, part)
        desk.settle()
        left.append(purse(payment))
    assert left == [67, 34, 0]
    assert broken() == []


def test_a_void_takes_cashback_back(cfo: Actor, shop: int, desk: Desk) -> None:
    profile_for(cfo, shop)
    payment = paid(desk)
    desk.void(payment.id)
    desk.settle()
    assert (purse(payment), balance(EXPENSE), wallet(shop)) == (0, 0, 0)
    assert broken() == []


def test_cashback_that_was_spent_is_taken_back_as_far_as_the_wallet_goes(
    cfo: Actor, shop: int, desk: Desk, room: Room
) -> None:
    profile_for(cfo, shop, unit="EUR", rate_ppm=100_000)
    payment = paid(desk)
    spend(payment, 7_00)
    desk.refund(payment.id, 100_00)
    desk.settle()
    assert (purse(payment), balance(EXPENSE)) == (0, -7_00)
    assert desk.money(payment.id)[0] == "TOTALLY_REFUNDED"
    assert broken() == []


def spend(payment: Payment, amount: int) -> None:
    """The customer spends cashback."""
    from payadmin.ledger import recipes
    from payadmin.ledger.posting import Posting, post
    from tests.support.books import Pen
    from tests.support.make import writing

    owner = f"customer:{payment.customer_id}"
    recipe = recipes.transfer(unit="EUR", payer=owner, payee="customer:999", amount=amount)
    writing()
    post(Pen(db.session()), [Posting("spent", recipe, "test", 1, utcnow().date())])
    db.session.commit()


def test_what_a_payment_cost_cannot_be_changed(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, TERM)
    paid(desk)
    for statement in ("UPDATE payment_tariff SET commission_minor = 0", "DELETE FROM payment_tariff"):
        with pytest.raises(DatabaseError, match="never changed"):
            db.session.execute(text(statement))
        db.session.rollback()


def test_the_page_of_a_payment_tells_what_it_cost_and_why(cfo: Actor, shop: int, desk: Desk) -> None:
    contract_for(cfo, shop, TERM)
    profile_for(cfo, shop)
    payment_id = paid(desk).id
    page = desk.make.browse(Role.CFO).get(f"/transactions/{payment_id}/").text
    assert "RETAIL-1, version 1" in page
    assert "2.9% of 100.00 EUR is 2.90 EUR." in page
    assert "One percent" in page
