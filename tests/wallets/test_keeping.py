"""Wallets are opened by hand or by the first booking, closed when empty, and corrected only by two people."""

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from payadmin.actions import wallets
from payadmin.actions.approvals import reject_request
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.tariffs import Term, TransactionType
from payadmin.ledger import chart
from payadmin.ledger.posting import open_account
from payadmin.models.approvals import ApprovalStatus
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.wallets import MoveStatus, Wallet, WalletKind, WalletStatus, WalletTransaction
from payadmin.permissions import Role
from tests.support.approvals import filed
from tests.support.books import by_the_owner
from tests.support.make import writing
from tests.wallets.conftest import Purses


def change(model: type, row_id: int, **values: object) -> None:
    writing()
    statement = update(model).where(model.id == row_id).values(**values)  # type: ignore[attr-defined]
    db.session.execute(statement.execution_options(explained=True, synchronize_session=False))
    db.session.commit()


def test_an_owner_has_one_wallet_in_each_unit(purses: Purses) -> None:
    organization_id = purses.make.organization("Alpha").id
    first = wallets.open_wallet(purses.admin, unit="EUR", organization_id=organization_id)
    number, status = first.number, first.status
    assert number.startswith("W-")
    assert status is WalletStatus.OPEN
    with pytest.raises(Conflict, match=number):
        wallets.open_wallet(purses.admin, unit="EUR", organization_id=organization_id)
    wallets.open_wallet(purses.admin, unit="USD", organization_id=organization_id)
    assert purses.count(Wallet) == 2


def test_the_first_booking_opens_the_wallet_of_whoever_is_paid(purses: Purses) -> None:
    organization_id = purses.make.organization("Alpha").id
    purses.wallet("Beta", funds=5_00)
    writing()
    open_account(db.session(), chart.wallet(chart.organization(organization_id), "JPY"))
    db.session.commit()
    found = db.session.scalars(select(Wallet).where(Wallet.organization_id == organization_id)).one()
    assert (found.unit, found.status) == ("JPY", WalletStatus.OPEN)


@pytest.mark.parametrize(
    ("unit", "both", "closed"), [("XXX", False, False), ("EUR", True, False), ("EUR", False, True)]
)
def test_a_wallet_needs_one_owner_who_may_and_a_unit_that_is_used(
    purses: Purses, unit: str, both: bool, closed: bool
) -> None:
    organization_id = purses.make.organization("Alpha").id
    customer_id = purses.make.customer().id if both else None
    if closed:
        change(Organization, organization_id, status=OrganizationStatus.CLOSED)
    with pytest.raises((Invalid, Conflict)):
        wallets.open_wallet(purses.admin, unit=unit, organization_id=organization_id, customer_id=customer_id)
    with pytest.raises(Invalid):
        wallets.open_wallet(purses.admin, unit="EUR")
    assert purses.count(Wallet) == 0


def test_a_blocked_customer_gets_no_wallet(purses: Purses) -> None:
    customer_id = purses.make.customer().id
    change(Customer, customer_id, status=CustomerStatus.BLOCKED)
    with pytest.raises(Conflict, match="blocked"):
        wallets.open_wallet(purses.admin, unit="EUR", customer_id=customer_id)


def test_only_an_empty_wallet_is_closed_and_it_can_be_opened_again(purses: Purses) -> None:
    wallet_id, other = purses.wallet("Alpha", funds=5_00), purses.wallet("Beta")
    version = purses.get(Wallet, wallet_id).version
    with pytest.raises(Conflict, match="money in this wallet"):
        wallets.close_wallet(purses.admin, wallet_id, version=version)
    purses.transfer(wallet_id, other, 5_00)
    with pytest.raises(Conflict, match="Somebody else"):
        wallets.close_wallet(purses.admin, wallet_id, version=version + 1)
    wallets.close_wallet(purses.admin, wallet_id, version=version)
    with pytest.raises(Conflict, match="closed"):
        purses.transfer(other, wallet_id, 1_00)
    organization_id = purses.get(Wallet, wallet_id).organization_id
    again = wallets.open_wallet(purses.admin, unit="EUR", organization_id=organization_id).id
    assert again == wallet_id
    purses.transfer(other, wallet_id, 1_00)


def test_a_wallet_of_which_money_is_set_aside_is_not_closed(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=50_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TransactionType.TRANSFER, "EUR", limit_single_minor=1_00))
    purses.transfer(payer, payee, 50_00)
    with pytest.raises(Conflict, match="set aside"):
        wallets.close_wallet(purses.admin, payer, version=purses.get(Wallet, payer).version)


@pytest.mark.parametrize("minor", [3_00, -3_00])
def test_a_wallet_is_adjusted_only_by_an_approved_request(purses: Purses, minor: int) -> None:
    wallet_id = purses.wallet("Alpha", funds=10_00)
    number = filed(
        lambda: wallets.adjust_wallet(purses.admin, wallet_id, amount_minor=minor, reason="Counted twice", key="a1")
    )
    assert purses.amounts(wallet_id).available_minor == 10_00
    purses.approve(purses.cfo, number)
    assert purses.request(number).status is ApprovalStatus.APPLIED
    assert purses.amounts(wallet_id).available_minor == 10_00 + minor
    row = db.session.scalars(select(WalletTransaction)).one()
    assert (row.kind, row.note) == (WalletKind.ADJUSTMENT, "Counted twice")
    assert purses.journals(row.id) == ["J00"]
    assert purses.unsound() == []


def test_a_form_that_was_used_corrects_nothing_else(purses: Purses) -> None:
    wallet_id, other = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")

    def ask(row_id: int, minor: int) -> None:
        wallets.adjust_wallet(purses.admin, row_id, amount_minor=minor, reason="Counted twice", key="a1")

    purses.approve(purses.cfo, filed(lambda: ask(wallet_id, 3_00)))
    ask(wallet_id, 3_00)
    for row_id, minor in ((wallet_id, 4_00), (wallet_id, -3_00), (other, 3_00)):
        with pytest.raises(Conflict, match="another order"):
            ask(row_id, minor)
    assert (purses.amounts(wallet_id).available_minor, purses.count(WalletTransaction)) == (13_00, 1)


def test_a_transfer_under_the_same_key_takes_no_adjustments_place(purses: Purses) -> None:
    wallet_id, other = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    number = filed(
        lambda: wallets.adjust_wallet(purses.admin, wallet_id, amount_minor=3_00, reason="Counted twice", key="a1")
    )
    purses.transfer(wallet_id, other, 1_00, key="a1")
    purses.approve(purses.cfo, number)
    assert purses.request(number).status is ApprovalStatus.APPLIED
    assert purses.amounts(wallet_id).available_minor == 12_00


def test_whoever_asks_for_an_adjustment_does_not_approve_it(purses: Purses) -> None:
    wallet_id = purses.wallet("Alpha", funds=10_00)
    number = filed(lambda: wallets.adjust_wallet(purses.admin, wallet_id, amount_minor=1, reason="Why", key="a1"))
    with pytest.raises(Forbidden):
        purses.approve(purses.admin, number)
    second = purses.person(Role.CFO, same_as=purses.admin)
    with pytest.raises(Forbidden):
        purses.approve(second, number)
    reject_request(purses.cfo, number, reason="No")
    assert purses.amounts(wallet_id).available_minor == 10_00


def test_even_the_cfo_needs_a_second_person(purses: Purses) -> None:
    wallet_id = purses.wallet("Alpha", funds=10_00)
    with pytest.raises(Forbidden):
        wallets.adjust_wallet(purses.cfo, wallet_id, amount_minor=1, reason="Why", key="a1")


@pytest.mark.parametrize(("minor", "reason"), [(0, "Why"), (1_00, "  "), (-20_00, "Too much"), (10**16, "Why")])
def test_an_adjustment_that_makes_no_sense_is_not_even_filed(purses: Purses, minor: int, reason: str) -> None:
    wallet_id = purses.wallet("Alpha", funds=10_00)
    with pytest.raises((Invalid, Conflict)) as caught:
        wallets.adjust_wallet(purses.admin, wallet_id, amount_minor=minor, reason=reason, key="a1")
    assert "request_id" not in caught.value.data
    assert purses.amounts(wallet_id).available_minor == 10_00


def test_a_transfer_is_reversed_once_by_two_people(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    row_id = purses.transfer(payer, payee, 4_00).id
    number = filed(lambda: wallets.reverse_transaction(purses.admin, row_id, reason="Wrong payee"))
    purses.approve(purses.cfo, number)
    assert purses.get(WalletTransaction, row_id).status is MoveStatus.REVERSED
    assert purses.amounts(payer).available_minor == 10_00
    assert purses.journals(row_id) == ["J22", "J22"]
    with pytest.raises(Conflict, match="already"):
        wallets.reverse_transaction(purses.admin, row_id, reason="Again")
    assert purses.unsound() == []


def test_what_was_spent_already_cannot_be_reversed(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    row_id = purses.transfer(payer, payee, 4_00).id
    purses.transfer(payee, payer, 1_00)
    with pytest.raises(Conflict, match="not enough money"):
        wallets.reverse_transaction(purses.admin, row_id, reason="Wrong payee")


def test_what_waits_is_withdrawn_and_not_reversed(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=50_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TransactionType.TRANSFER, "EUR", limit_single_minor=1_00))
    row_id = purses.transfer(payer, payee, 50_00).id
    with pytest.raises(Conflict, match="executed"):
        wallets.reverse_transaction(purses.admin, row_id, reason="Wrong")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallet SET customer_id = 1",
        "UPDATE wallet SET status = 'GONE'",
        "UPDATE wallet_transaction SET amount_minor = 0",
        "UPDATE wallet_transaction SET to_wallet_id = from_wallet_id",
        "UPDATE wallet_transaction SET paid_minor = paid_minor + 1",
        "UPDATE wallet_transaction SET to_unit = 'USD'",
        "UPDATE wallet_transaction SET to_wallet_id = NULL",
        "DELETE FROM wallet",
    ],
)
def test_the_database_refuses_what_makes_no_sense(purses: Purses, statement: str) -> None:
    purses.make.customer()
    purses.transfer(purses.wallet("Alpha", funds=10_00), purses.wallet("Beta"), 4_00)
    writing()
    with pytest.raises(DatabaseError):
        db.session.execute(text(statement))
    db.session.rollback()


GONE = (
    "DELETE FROM ledger_entry WHERE transaction_id IN (SELECT id FROM ledger_transaction WHERE key = '{key}')",
    "DELETE FROM ledger_transaction WHERE key = '{key}'",
    "UPDATE ledger_balance SET balance_minor = balance_minor - 400 WHERE account_id = {payer}",
    "UPDATE ledger_balance SET balance_minor = balance_minor + 400 WHERE account_id = {payee}",
    "UPDATE ledger_turnover SET debit_minor = debit_minor - 400 WHERE account_id = {payer}",
    "UPDATE ledger_turnover SET credit_minor = credit_minor - 400 WHERE account_id = {payee}",
)


def test_a_transfer_whose_journal_was_taken_out_of_the_books_is_missed(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    row_id = purses.transfer(payer, payee, 4_00).id
    accounts = {name: purses.get(Wallet, each).account_id for name, each in (("payer", payer), ("payee", payee))}
    by_the_owner(*(each.format(key=f"wallet_transaction:{row_id}", **accounts) for each in GONE))
    assert purses.unsound() == [f"Wallet transaction {row_id} is executed, and the books do not say so."]


def test_what_waits_without_money_set_aside_for_it_is_found(purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=50_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TransactionType.TRANSFER, "EUR", limit_single_minor=1_00))
    row_id = purses.transfer(payer, payee, 50_00).id
    assert purses.unsound() == []
    by_the_owner(f"UPDATE wallet_transaction SET status = 'RELEASED' WHERE id = {row_id}")
    assert purses.unsound() == [
        f"Wallet transaction {row_id} is released, and the books do not say so.",
        "Wallet transactions that wait hold 0 minor units of EUR, the books 5000 for them.",
    ]
