"""Posting: once, in order, guarded, corrected by reversal only; and a database that refuses what Python forgot."""

import datetime as dt
from collections.abc import Callable

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.ledger import recipes
from payadmin.ledger.posting import first_open_day, reverse
from payadmin.models.ledger import (
    AccountingPeriod,
    LedgerBalance,
    LedgerEntry,
    LedgerHold,
    LedgerTransaction,
    LedgerTurnover,
)
from tests.ledger.conftest import TODAY, Books, fact, transfer

WALLET = "2010:customer:1:EUR"


def test_a_posting_makes_entries_balances_and_turnovers(books: Books) -> None:
    number = books.fund("customer:1", 10_00)
    entries = db.session.scalars(select(LedgerEntry).order_by(LedgerEntry.leg)).all()
    assert [(each.transaction_id, each.leg, each.amount_minor) for each in entries] in (
        [(number, 1, 10_00), (number, 2, -10_00)],
        [(number, 1, -10_00), (number, 2, 10_00)],
    )
    assert [each.account_id for each in entries] == sorted(each.account_id for each in entries)
    assert books.balance(WALLET) == -10_00
    turnover = db.session.scalars(select(LedgerTurnover).where(LedgerTurnover.credit_minor > 0)).one()
    assert (turnover.day, turnover.debit_minor, turnover.credit_minor, turnover.entries) == (TODAY, 0, 10_00, 1)


def test_the_same_fact_is_booked_once_and_another_content_is_refused(books: Books) -> None:
    first = books.fund("customer:1", 10_00, key="f")
    later = fact("f", recipes.payment_paid(unit="EUR", provider="simulator", merchant="customer:1", amount=10_00))
    assert books.post(later) == {"f": first}
    other = fact("f", recipes.payment_paid(unit="EUR", provider="simulator", merchant="customer:1", amount=10_01))
    with pytest.raises(Conflict, match="another content"):
        books.post(other)
    assert books.entries() == 2


def test_a_fact_that_is_repeated_after_midnight_is_the_same_fact(books: Books) -> None:
    recipe = recipes.payment_paid(unit="EUR", provider="simulator", merchant="customer:1", amount=5)
    first = books.post(fact("f", recipe))
    assert books.post(fact("f", recipe, on=TODAY + dt.timedelta(days=1))) == first


def test_no_wallet_passes_zero_and_nothing_of_the_refused_call_stays(books: Books) -> None:
    books.fund("customer:1", 10_00)
    before = books.entries()
    with pytest.raises(Conflict, match="not enough money"):
        books.post(transfer("a", "customer:1", "customer:2", 4_00), transfer("b", "customer:1", "customer:2", 6_01))
    assert (books.entries(), books.balance(WALLET)) == (before, -10_00)
    books.post(transfer("c", "customer:1", "customer:2", 10_00))
    assert books.balance(WALLET) == 0


@pytest.mark.parametrize(
    "recipe",
    [
        recipes.cash_withdrawal(unit="EUR", desk="1", owner="customer:1", amount=5_00),
        recipes.investment(unit="EUR", desk="1", amount=5_00),
        recipes.refund_succeeded(unit="EUR", provider="simulator", amount=5_00),
        recipes.given_back(unit="EUR", owner="customer:1", amount=5_00),
    ],
    ids=["cash desk", "money in transit", "refund payable", "hold"],
)
def test_desks_money_in_transit_holds_and_payables_do_not_pass_zero_either(
    books: Books, recipe: recipes.Recipe
) -> None:
    books.fund("customer:1", 10_00)
    with pytest.raises(Conflict, match="not enough money"):
        books.post(fact("x", recipe))


def test_a_transaction_is_reversed_once_and_exactly(books: Books) -> None:
    number = books.fund("customer:1", 10_00)
    with books.writing() as pen:
        back = reverse(pen, number, key="back", on=TODAY, memo="Booked for the wrong customer.")
        assert reverse(pen, number, key="back", on=TODAY, memo="Booked for the wrong customer.") == back
    assert books.balance(WALLET) == 0
    for again in (number, back):
        with books.writing() as pen, pytest.raises(Conflict, match="reverse"):
            reverse(pen, again, key="again", on=TODAY, memo="x")
    opposite = db.session.get(LedgerTransaction, back)
    assert opposite is not None
    assert (opposite.reverses_id, opposite.template) == (number, "J01")


def test_a_transaction_whose_money_is_spent_cannot_be_reversed(books: Books) -> None:
    number = books.fund("customer:1", 10_00)
    books.post(transfer("t", "customer:1", "customer:2", 1))
    with books.writing() as pen, pytest.raises(Conflict, match="not enough money"):
        reverse(pen, number, key="back", on=TODAY, memo="x")


def test_what_is_set_aside_cannot_be_spent_and_is_ended_once(books: Books) -> None:
    books.fund("customer:1", 10_00)
    books.post(fact("h", recipes.set_aside(unit="EUR", owner="customer:1", amount=8_00), holds=True))
    with pytest.raises(Conflict, match="not enough money"):
        books.post(transfer("t", "customer:1", "customer:2", 3_00))
    taken = recipes.executed(recipes.transfer(unit="EUR", payer="customer:1", payee="customer:2", amount=8_00))
    books.post(fact("done", taken, ends="h"))
    hold = db.session.scalars(select(LedgerHold)).one()
    assert hold.ended_id is not None
    books.fund("customer:1", 9_00)
    books.post(fact("h2", recipes.set_aside(unit="EUR", owner="customer:1", amount=8_00), holds=True))
    with pytest.raises(Conflict, match="used or given back"):
        books.post(fact("back", recipes.given_back(unit="EUR", owner="customer:1", amount=8_00), ends="h"))
    with books.writing() as pen, pytest.raises(Conflict, match="ending it"):
        reverse(pen, hold.placed_id, key="r", on=TODAY, memo="x")


def test_a_hold_and_its_end_may_be_booked_together(books: Books) -> None:
    books.fund("customer:1", 10_00)
    books.post(
        fact("h", recipes.set_aside(unit="EUR", owner="customer:1", amount=8_00), holds=True),
        fact("e", recipes.given_back(unit="EUR", owner="customer:1", amount=8_00), ends="h"),
    )
    assert books.balance("2020:customer:1:EUR") == 0


def close(books: Books, last: dt.date) -> None:
    with books.writing():
        db.session.add(
            AccountingPeriod(first_day=dt.date(2026, 1, 1), last_day=last, closed_by="x", reason="y", transactions=0)
        )


def test_what_belongs_to_a_closed_period_is_booked_on_the_first_open_day(books: Books) -> None:
    close(books, TODAY)
    assert first_open_day(db.session()) == TODAY + dt.timedelta(days=1)
    number = books.fund("customer:1", 10_00)
    found = db.session.get(LedgerTransaction, number)
    assert found is not None
    assert found.effective_on == TODAY + dt.timedelta(days=1)


# ---- nine attacks on the database itself ---------------------------------------------------------------------------

LEGS = '[[1, "EUR", 5], [2, "EUR", -5]]'


def transaction(key: str, legs: str, day: str = "2026-11-20", reverses: str = "NULL") -> str:
    return (
        "INSERT INTO ledger_transaction (key, template, business, business_id, effective_on, posted_at, posted_by, "
        f"reverses_id, legs) VALUES ('{key}', 'J01', 'test', 1, '{day}', '2026-11-20 10:00:00', 'x', {reverses}, "
        f"'{legs}')"
    )


ATTACKS = {
    "an unbalanced transaction": transaction("x", '[[1, "EUR", 5], [2, "EUR", -4]]'),
    "a transaction of one leg": transaction("x", '[[1, "EUR", 5]]'),
    "two units that balance only together": transaction("x", '[[1, "EUR", 5], [2, "JPY", -5]]'),
    "a unit that is not the account's": transaction("x", '[[1, "JPY", 5], [2, "JPY", -5]]'),
    "a key that is taken": transaction("fund", LEGS),
    "an account that is not there": transaction("x", '[[1, "EUR", 5], [99, "EUR", -5]]'),
    "an overdraft": transaction("x", '[[1, "EUR", -900], [2, "EUR", 900]]'),
    "amounts that are not whole": transaction("x", '[[1, "EUR", 5.5], [2, "EUR", -5.5]]'),
    "a leg of zero": transaction("x", '[[1, "EUR", 0], [2, "EUR", 0]]'),
    "a reversal that is not the opposite": transaction("x", LEGS, reverses="1"),
    "a closed period": transaction("x", LEGS, day="2025-01-31"),
    "an entry of nothing": (
        "INSERT INTO ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on) "
        "VALUES (1, 3, 1, 'EUR', 5, '2026-11-20')"
    ),
    "an entry changed": "UPDATE ledger_entry SET amount_minor = amount_minor * 2",
    "an entry deleted": "DELETE FROM ledger_entry",
    "a transaction changed": "UPDATE ledger_transaction SET memo = 'x'",
    "a transaction deleted": "DELETE FROM ledger_transaction",
    "a balance changed": "UPDATE ledger_balance SET balance_minor = balance_minor + 1",
    "a balance deleted": "DELETE FROM ledger_balance",
    "a turnover changed": "UPDATE ledger_turnover SET debit_minor = debit_minor + 1",
    "a turnover deleted": "DELETE FROM ledger_turnover",
    "a guard lifted": "UPDATE ledger_account SET guard = 0",
    "a wallet without a guard": (
        "INSERT INTO ledger_account (code, number, owner, unit, guard, created_at) "
        "VALUES ('x', '2010', 'customer:9', 'EUR', 0, '2026-11-20 10:00:00')"
    ),
    "an account outside the chart": (
        "INSERT INTO ledger_account (code, number, owner, unit, guard, created_at) "
        "VALUES ('x', '7777', '', 'EUR', 0, '2026-11-20 10:00:00')"
    ),
    "a hold of nothing": "INSERT INTO ledger_hold (account_id, amount_minor, placed_id) VALUES (1, 5, 1)",
    "a period over a closed one": (
        "INSERT INTO accounting_period (first_day, last_day, closed_by, reason, transactions, created_at) "
        "VALUES ('2025-01-15', '2025-02-15', 'x', 'y', 0, '2026-11-20 10:00:00')"
    ),
    "a period reopened": "DELETE FROM accounting_period",
    "a period moved": "UPDATE accounting_period SET last_day = '2020-01-01'",
}
ON_SQLITE = {
    "a transaction written over": "INSERT OR REPLACE INTO ledger_transaction (id, key, template, business, "
    "business_id, effective_on, posted_at, posted_by, legs) VALUES (1, 'fund', 'J01', 'test', 1, '2026-11-20', "
    f"'2026-11-20 10:00:00', 'x', '{LEGS}')",
    "an entry written over": "INSERT OR REPLACE INTO ledger_entry (id, transaction_id, leg, account_id, unit, "
    "amount_minor, effective_on) VALUES (1, 1, 1, 1, 'EUR', 7, '2026-11-20')",
    "a balance written over": "INSERT OR REPLACE INTO ledger_balance (account_id, slot, guard, balance_minor, "
    "last_entry_id) VALUES (1, 0, 0, 0, 0)",
}

ON_POSTGRESQL = {
    f"{table} emptied": f"TRUNCATE {table} CASCADE"
    for table in ("ledger_transaction", "ledger_entry", "ledger_balance", "ledger_turnover", "ledger_hold",
                  "ledger_account", "accounting_period")
}  # fmt: skip


@pytest.fixture
def attacked(books: Books) -> Callable[[], object]:
    """A wallet with 5.00, a closed January 2025, and everything that the books hold, to be compared."""
    books.fund("customer:1", 5_00, key="fund")
    with books.writing():
        period = {"first_day": dt.date(2025, 1, 1), "last_day": dt.date(2025, 1, 31)}
        db.session.add(AccountingPeriod(**period, closed_by="x", reason="y", transactions=0))

    def everything() -> object:
        db.session.rollback()
        tables = ("ledger_account", "ledger_transaction", "ledger_entry", "ledger_balance", "ledger_turnover",
                  "ledger_hold", "accounting_period")  # fmt: skip
        return [db.session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables]

    return everything


@pytest.mark.parametrize("statement", ATTACKS.values(), ids=ATTACKS)
def test_the_database_itself_refuses(attacked: Callable[[], object], statement: str) -> None:
    before = attacked()
    with pytest.raises(DatabaseError):
        db.session.execute(text(statement.replace(":", "\\:")))
    assert attacked() == before


@pytest.mark.parametrize("statement", ON_SQLITE.values(), ids=ON_SQLITE)
def test_sqlite_refuses_to_write_over(attacked: Callable[[], object], dialect: str, statement: str) -> None:
    if dialect != "sqlite":
        pytest.skip("only SQLite writes over rows")
    before = attacked()
    with pytest.raises(DatabaseError):
        db.session.execute(text(statement.replace(":", "\\:")))
    assert attacked() == before


@pytest.mark.parametrize("statement", ON_POSTGRESQL.values(), ids=ON_POSTGRESQL)
def test_postgresql_refuses_to_empty_the_books(attacked: Callable[[], object], dialect: str, statement: str) -> None:
    if dialect != "postgresql":
        pytest.skip("SQLite does not know the word")
    before = attacked()
    with pytest.raises(DatabaseError):
        db.session.execute(text(statement))
    assert attacked() == before


def test_a_balance_cannot_be_taken_for_an_entry_that_is_counted(books: Books) -> None:
    books.fund("customer:1", 5_00)
    last = db.session.scalars(select(LedgerEntry.id).order_by(LedgerEntry.id.desc())).first()
    with pytest.raises(DatabaseError):
        db.session.execute(
            update(LedgerBalance).values(balance_minor=LedgerBalance.balance_minor - 5_00, last_entry_id=last)
        )
    db.session.rollback()
