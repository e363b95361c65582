"""Transfers and exchanges: what they cost, what they refuse, and that one order is carried out once."""

import pytest
from sqlalchemy import update

from payadmin.actions import tariffs, wallets
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import Unit, UnitStatus
from payadmin.models.tariffs import Contract
from payadmin.models.wallets import MoveStatus, Wallet, WalletStatus, WalletTransaction
from tests.support.make import writing
from tests.wallets.conftest import Purses

TRANSFER, EXCHANGE = TransactionType.TRANSFER, TransactionType.EXCHANGE


def put(model: type, row_id: int, **values: object) -> None:
    """Change a row behind everybody's back."""
    writing()
    statement = update(model).where(model.id == row_id).values(**values)  # type: ignore[attr-defined]
    db.session.execute(statement.execution_options(explained=True, synchronize_session=False))
    db.session.commit()


def test_a_transfer_moves_the_amount_and_the_books_say_so(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    row = purses.transfer(payer, payee, 30_00, note="Rent")
    assert (row.status, row.paid_minor, row.received_minor) == (MoveStatus.EXECUTED, 30_00, 30_00)
    assert purses.amounts(payer).available_minor == 70_00
    assert purses.amounts(payee).available_minor == 30_00
    assert purses.journals(row.id) == ["J22"]
    assert purses.unsound() == []


@pytest.mark.parametrize(
    ("charged_to", "paid", "received"), [(ChargedTo.PAYER, 101_00, 100_00), (ChargedTo.PAYEE, 100_00, 99_00)]
)
def test_who_pays_the_commission_of_a_transfer_is_what_the_contract_says(
    purses: Purses, charged_to: ChargedTo, paid: int, received: int
) -> None:
    payer, payee = purses.wallet("Alpha", funds=500_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", 10_000, charged_to=charged_to))
    row = purses.transfer(payer, payee, 100_00)
    assert (row.paid_minor, row.received_minor, row.commission_minor) == (paid, received, 1_00)
    assert row.contract_version_id is not None
    assert purses.amounts(payer).available_minor == 500_00 - paid
    assert purses.amounts(payee).available_minor == received
    assert purses.unsound() == []


def test_a_customer_moves_money_by_the_contract_of_the_organization_that_it_belongs_to(purses: Purses) -> None:
    purses.contract("Alpha", Term(TRANSFER, "EUR", 0, 25, charged_to=ChargedTo.PAYER))
    customer = purses.make.customer(organization_id=purses.make.organization("Alpha").id)
    payer, payee = purses.wallet(customer, funds=10_00), purses.wallet("Beta")
    assert purses.transfer(payer, payee, 5_00).paid_minor == 5_25


@pytest.mark.parametrize(
    ("term", "unit", "rate", "expected"),
    [
        # 81.25 of 16,250 yen are kept; nothing is paid on top
        (Term(EXCHANGE, "EUR", spread_ppm=5_000), "JPY", "162.5", (100_00, 16_169, 81, 0)),
        # one percent on top
        (Term(EXCHANGE, "EUR", 10_000, charged_to=ChargedTo.PAYER), "KWD", "0.33123", (101_00, 33_123, 0, 1_00)),
        # one percent taken from the amount: 99.00 are exchanged
        (Term(EXCHANGE, "EUR", 10_000), "KWD", "0.33123", (100_00, 32_791, 0, 1_00)),
        # both: 0.25 % and 10 cents on top, and half a percent of what is bought, 81.25, kept
        (
            Term(EXCHANGE, "EUR", 2_500, 10, charged_to=ChargedTo.PAYER, spread_ppm=5_000),
            "JPY",
            "162.5",
            (100_35, 16_169, 81, 35),
        ),
        # both, from the amount: 99.50 buy 16,168.75, cut to 16,168, of which 1.5 %, 242.52, are kept
        (Term(EXCHANGE, "EUR", 5_000, spread_ppm=15_000), "JPY", "162.5", (100_00, 15_925, 243, 50)),
    ],
    ids=["spread", "on top", "taken", "both", "both taken"],
)
def test_an_exchange_takes_the_rate_in_force_a_commission_and_a_spread(
    purses: Purses, term: Term, unit: str, rate: str, expected: tuple[int, int, int, int]
) -> None:
    paid, received, _spread, _commission = expected
    sold, bought = purses.wallet("Alpha", funds=paid), purses.wallet("Alpha", unit)
    purses.contract("Alpha", term)
    purses.rate("EUR", unit, rate)
    row = purses.exchange(sold, bought, 100_00)
    assert (row.paid_minor, row.received_minor, row.spread_minor, row.commission_minor) == expected
    assert row.rate == rate
    assert purses.amounts(sold).available_minor == 0
    assert purses.amounts(bought).available_minor == received
    assert purses.journals(row.id) == ["J24"]
    assert purses.unsound() == []


def test_an_order_that_comes_twice_is_carried_out_once(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    first = purses.transfer(payer, payee, 10_00, key="form").id
    assert purses.transfer(payer, payee, 10_00, key="form").id == first
    assert purses.amounts(payee).available_minor == 10_00
    with pytest.raises(Conflict, match="another order"):
        purses.transfer(payer, payee, 11_00, key="form")


def test_a_tariff_that_changed_after_the_preview_is_not_taken_unseen(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", 10_000, charged_to=ChargedTo.PAYER))
    with pytest.raises(Conflict, match="has changed"):
        purses.transfer(payer, payee, 10_00, seen=(10_00, 10_00))
    assert purses.transfer(payer, payee, 10_00, seen=(10_10, 10_00)).commission_minor == 10


def test_a_transfer_to_itself_is_refused(purses: Purses) -> None:
    payer = purses.wallet("Alpha", funds=100_00)
    with pytest.raises(Conflict, match="same one"):
        purses.transfer(payer, payer, 1_00)


def test_a_transfer_across_units_is_refused(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta", "USD")
    with pytest.raises(Conflict, match="exchange first"):
        purses.transfer(payer, payee, 1_00)


def test_more_than_is_available_is_refused_and_nothing_has_changed(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    with pytest.raises(Conflict, match=r"100\.00 EUR available, and 100\.01 EUR"):
        purses.transfer(payer, payee, 100_01)
    assert purses.count(WalletTransaction) == 0
    assert purses.amounts(payer).available_minor == 100_00


@pytest.mark.parametrize("amount", [0, -5, 10**16])
def test_an_amount_that_is_none_is_refused(purses: Purses, amount: int) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    with pytest.raises(Invalid):
        purses.transfer(payer, payee, amount)


def test_a_commission_as_large_as_the_amount_is_refused(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", 0, 5_00))
    with pytest.raises(Conflict, match="nothing would arrive"):
        purses.transfer(payer, payee, 5_00)


@pytest.mark.parametrize("side", ["payer", "payee"])
@pytest.mark.parametrize("what", ["closed", "owner closed", "owner blocked", "unit retired"])
def test_a_wallet_that_cannot_be_used_takes_no_part(purses: Purses, side: str, what: str) -> None:
    customer = purses.make.customer()
    customer_id = customer.id
    ids = {"payer": purses.wallet("Alpha", funds=100_00), "payee": purses.wallet("Beta")}
    if what == "owner blocked":
        ids[side] = purses.wallet(customer, funds=100_00 if side == "payer" else 0)
    wallet = purses.get(Wallet, ids[side])
    match what:
        case "closed":
            put(Wallet, ids[side], status=WalletStatus.CLOSED)
        case "owner closed":
            put(Organization, wallet.organization_id, status=OrganizationStatus.CLOSED)
        case "owner blocked":
            put(Customer, customer_id, status=CustomerStatus.BLOCKED)
        case "unit retired":
            put(Unit, purses.make.unit("EUR").id, status=UnitStatus.RETIRED)
    with pytest.raises(Conflict, match=r"closed|blocked|retired"):
        purses.transfer(ids["payer"], ids["payee"], 1_00)
    assert purses.count(WalletTransaction) == 0


def test_nothing_leaves_a_blocked_wallet_but_money_may_come_in(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta", funds=1_00)
    put(Wallet, payee, status=WalletStatus.BLOCKED)
    purses.transfer(payer, payee, 1_00)
    with pytest.raises(Conflict, match="nothing leaves it"):
        purses.transfer(payee, payer, 1_00)


@pytest.mark.parametrize(
    ("owner", "unit", "words"),
    [("Alpha", "EUR", "same one"), ("Beta", "EUR", "transfer"), ("Beta", "USD", "one owner")],
)
def test_an_exchange_is_between_two_units_of_one_owner(purses: Purses, owner: str, unit: str, words: str) -> None:
    sold = purses.wallet("Alpha", funds=100_00)
    bought = sold if owner == "Alpha" else purses.wallet(owner, unit)
    purses.rate("EUR", "USD", "1.1")
    with pytest.raises(Conflict, match=words):
        purses.exchange(sold, bought, 1_00)


def test_going_there_and_back_makes_no_money_out_of_rounding(purses: Purses) -> None:
    yen, euros = purses.wallet("Alpha", "JPY", funds=100), purses.wallet("Alpha")
    purses.rate("EUR", "JPY", "160")
    assert purses.exchange(yen, euros, 99).received_minor == 61
    assert purses.exchange(euros, yen, 61).received_minor == 97
    with pytest.raises(Conflict, match="exchange more"):
        purses.exchange(yen, euros, 1)
    assert purses.unsound() == []


def test_no_form_takes_the_name_of_what_another_room_pays(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    row = purses.transfer(payer, payee, 1, key="mass:1:R-1")
    assert not row.key.startswith("mass:")
    with pytest.raises(Invalid, match="out of date"):
        purses.transfer(payer, payee, 1, key="")


def test_an_exchange_without_a_rate_is_refused(purses: Purses) -> None:
    sold, bought = purses.wallet("Alpha", funds=100_00), purses.wallet("Alpha", "USD")
    with pytest.raises(Conflict, match="no rate"):
        purses.exchange(sold, bought, 1_00)


def test_an_exchange_of_so_little_that_nothing_arrives_is_refused(purses: Purses) -> None:
    sold, bought = purses.wallet("Alpha", "JPY", funds=100), purses.wallet("Alpha", "EUR")
    purses.rate("EUR", "JPY", "400")
    with pytest.raises(Conflict, match="exchange more"):
        purses.exchange(sold, bought, 1)


def test_a_role_without_the_permission_moves_nothing(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    with pytest.raises(Refusal):
        wallets.transfer(purses.cfo, payer, to_id=payee, amount_minor=1, key="x")
    with pytest.raises(Refusal):
        wallets.exchange(purses.cfo, payer, to_id=payee, amount_minor=1, key="x")
    assert purses.count(WalletTransaction) == 0


def test_a_closed_contract_version_charges_what_the_one_in_force_says(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=500_00), purses.wallet("Beta")
    contract_id = purses.contract("Alpha", Term(TRANSFER, "EUR", 10_000, charged_to=ChargedTo.PAYER))
    seen = purses.get(Contract, contract_id).version
    terms = (Term(TRANSFER, "EUR", 20_000, charged_to=ChargedTo.PAYER),)
    tariffs.add_version(purses.cfo, contract_id, terms=terms, version=seen, valid_from=None, note=None)
    assert purses.transfer(payer, payee, 100_00).commission_minor == 2_00
