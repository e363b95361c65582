"""Every invariant of the books finds what breaks it, and names it, although the rules of the database are back."""

import datetime as dt

import pytest
from sqlalchemy import select

from payadmin.actions import ledger
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel import seals
from payadmin.ledger import checks, recipes
from payadmin.models.ledger import AccountingPeriod, LedgerAccount, LedgerClosing
from payadmin.work import SYSTEM
from tests.ledger.conftest import TODAY, Books, fact, transfer
from tests.support.books import by_the_owner
from tests.support.make import Make

FIRST, SECOND, THIRD = "2010:customer:1:EUR", "2010:customer:2:EUR", "2010:customer:3:EUR"


@pytest.fixture
def story(books: Books) -> Books:
    """Money that came in, a transfer of 4.00, its like, 2.00 that are set aside, and cash in a desk."""
    for number in (1, 2, 3):
        books.fund(f"customer:{number}", 10_00, key=f"fund{number}")
    books.post(transfer("pay", "customer:1", "customer:2", 4_00))
    books.post(transfer("again", "customer:1", "customer:2", 1_00))
    books.post(fact("hold", recipes.set_aside(unit="EUR", owner="customer:1", amount=2_00), holds=True))
    books.post(fact("cash", recipes.cash_top_up(unit="EUR", desk="1", owner="customer:3", amount=5_00)))
    return books


def found(settings: Settings) -> dict[str, list[str]]:
    """What breaks each invariant; but for what providers owe where there are no payments, only journals."""
    db.session.rollback()
    results = list(checks.run(db.session(), seals.seal_keys(settings.totp_keys)))
    db.session.rollback()
    assert [each.number for each in results] == [f"I{number}" for number in range(1, 11)]
    assert all(each.figures for each in results)
    assert all(each.broken >= len(each.rows) for each in results)
    return {each.number: [row["sentence"] for row in each.rows] for each in results if each.rows}


def of(key: str) -> str:
    return f"(SELECT id FROM ledger_transaction WHERE key = '{key}')"


def account(code: str) -> str:
    return f"(SELECT id FROM ledger_account WHERE code = '{code}')"


def test_sound_books_break_nothing(story: Books, settings: Settings) -> None:
    assert found(settings).keys() <= {"I7"}


# The same transfer to somebody else, with every sum put right: entry, balances, days.
MOVED = (
    f"UPDATE ledger_entry SET account_id = {account(THIRD)} WHERE transaction_id = {of('pay')} "
    f"AND account_id = {account(SECOND)}",
    f"UPDATE ledger_balance SET balance_minor = balance_minor + 400 WHERE account_id = {account(SECOND)}",
    f"UPDATE ledger_balance SET balance_minor = balance_minor - 400 WHERE account_id = {account(THIRD)}",
    f"UPDATE ledger_turnover SET credit_minor = credit_minor - 400 WHERE account_id = {account(SECOND)}",
    f"UPDATE ledger_turnover SET credit_minor = credit_minor + 400 WHERE account_id = {account(THIRD)}",
)
SLIPPED_IN = (
    "INSERT INTO ledger_transaction (key, template, business, business_id, effective_on, posted_at, posted_by, legs{more}) "
    "SELECT 'slipped in', template, business, business_id, '2026-11-01', posted_at, posted_by, legs{values} "
    "FROM ledger_transaction WHERE key = 'pay'"
)


@pytest.mark.parametrize(
    ("number", "says", "statements"),
    [
        (
            "I1",
            "is 1 minor units of EUR out",
            [f"UPDATE ledger_entry SET amount_minor = amount_minor + 1 WHERE transaction_id = {of('pay')} AND leg = 1"],
        ),
        ("I1", "has no entries", [f"DELETE FROM ledger_entry WHERE transaction_id = {of('pay')}"]),
        ("I2", "not as payadmin wrote it", [f"UPDATE ledger_transaction SET memo = 'x' WHERE id = {of('pay')}"]),
        (
            "I2",
            "not as payadmin wrote it",
            [f"UPDATE ledger_transaction SET effective_on = '2026-11-01' WHERE id = {of('pay')}"],
        ),
        ("I2", "not the legs that were written", list(MOVED)),
        (
            "I2",
            "not the legs that were written",
            [f"DELETE FROM ledger_entry WHERE transaction_id = {of('pay')} AND leg = 2"],
        ),
        ("I2", "was not signed by payadmin", [SLIPPED_IN.format(more="", values="")]),
        ("I2", "not as payadmin wrote it", [SLIPPED_IN.format(more=", signature", values=", signature")]),
        (
            "I2",
            "not as payadmin wrote it",
            [
                f"UPDATE ledger_transaction SET key = '{after}' WHERE key = '{before}'"
                for before, after in (("pay", "-"), ("again", "pay"), ("-", "again"))
            ],
        ),
        (
            "I3",
            f"{FIRST} stands at -3",
            [f"UPDATE ledger_entry SET amount_minor = amount_minor * 10 WHERE transaction_id = {of('pay')}"],
        ),
        (
            "I5",
            f"{FIRST}: its entries come to",
            [f"UPDATE ledger_balance SET balance_minor = balance_minor - 1 WHERE account_id = {account(FIRST)}"],
        ),
        (
            "I5",
            f"{FIRST}: its entries come to",
            [f"UPDATE ledger_turnover SET credit_minor = credit_minor + 1 WHERE account_id = {account(FIRST)}"],
        ),
        ("I6", "Open holds come to 201 minor units of EUR", ["UPDATE ledger_hold SET amount_minor = amount_minor + 1"]),
        (
            "I8",
            "1110:desk:1:EUR: its days come to 501, it holds 500",
            [
                "UPDATE ledger_turnover SET debit_minor = debit_minor + 1 "
                f"WHERE account_id = {account('1110:desk:1:EUR')}"
            ],
        ),
        (
            "I10",
            "has another order",
            [
                f"UPDATE ledger_entry SET leg = {after} WHERE transaction_id = {of('pay')} AND leg = {before}"
                for before, after in ((1, 9), (2, 1), (9, 2))
            ],
        ),
    ],
)
def test_what_breaks_an_invariant_is_found_and_named(
    story: Books, settings: Settings, number: str, says: str, statements: list[str]
) -> None:
    by_the_owner(*statements)
    assert any(says in sentence for sentence in found(settings).get(number, ())), found(settings)


def test_sums_that_were_put_right_do_not_hide_an_entry_that_was_moved(story: Books, settings: Settings) -> None:
    by_the_owner(*MOVED)
    assert found(settings).keys() - {"I7"} == {"I2"}


def test_a_signature_needs_the_key(story: Books, settings: Settings) -> None:
    forged = seals.sign(b"another key", b"whatever")
    by_the_owner(f"UPDATE ledger_transaction SET signature = '{forged}' WHERE id = {of('pay')}")
    assert len(found(settings)["I2"]) == 1


def test_a_reversal_that_was_changed_is_not_the_opposite_any_more(story: Books, settings: Settings) -> None:
    from payadmin.ledger.posting import reverse

    number = story.post(transfer("wrong", "customer:1", "customer:2", 50))["wrong"]
    with story.writing() as pen:
        reverse(pen, number, key="undone", on=TODAY, memo="Wrong payee.")
    by_the_owner(f"UPDATE ledger_entry SET amount_minor = amount_minor * 2 WHERE transaction_id = {of('undone')}")
    assert any("is not the opposite of" in sentence for sentence in found(settings)["I2"])


def test_a_fact_that_is_booked_twice_is_found(story: Books, settings: Settings, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite cannot be without the key of a table")
    by_the_owner(
        "ALTER TABLE ledger_transaction DROP CONSTRAINT uq_ledger_transaction_key",
        "UPDATE ledger_transaction SET key = 'pay' WHERE key = 'again'",
    )
    assert found(settings)["I4"] == ["pay is booked 2 times."]


@pytest.mark.parametrize(
    ("number", "says", "change"),
    [
        ("I6", "Payments reserve 500 minor units of EUR, the books 0.", "reserved_minor = 500"),
        ("I7", "payments say 9999 minor units of EUR, the books 10000.", "captured_minor = captured_minor - 1"),
    ],
)
def test_payments_that_say_something_else_than_the_books_are_found(
    make: Make, books: Books, settings: Settings, number: str, says: str, change: str
) -> None:
    make.payment()
    ledger.book_recorded(SYSTEM, after_id=0)
    assert found(settings) == {}
    by_the_owner(f"UPDATE payment SET {change}")
    assert any(says in sentence for sentence in found(settings)[number])


@pytest.mark.parametrize(
    ("says", "statement"),
    [
        (
            "when the books were closed to",
            f"UPDATE ledger_entry SET amount_minor = amount_minor * 2 WHERE transaction_id = {of('pay')}",
        ),
        ("was posted after the closing", SLIPPED_IN.format(more="", values="")),
    ],
)
def test_what_was_slipped_into_a_closed_period_is_found(
    story: Books, settings: Settings, says: str, statement: str
) -> None:
    codes = [str(code) for code in db.session.scalars(select(LedgerAccount.code))]
    stood = {code: story.balance(code) for code in codes}
    with story.writing() as pen:
        period = AccountingPeriod(
            first_day=dt.date(2026, 1, 1), last_day=TODAY, closed_by="x", reason="y", transactions=7,
            created_at=pen.now,
        )  # fmt: skip
        db.session.add(period)
        db.session.flush()
        ids = dict(db.session.execute(select(LedgerAccount.code, LedgerAccount.id)).all())
        db.session.add_all(
            LedgerClosing(period_id=period.id, account_id=ids[code], balance_minor=minor)
            for code, minor in stood.items()
        )
    assert "I9" not in found(settings)
    late = "UPDATE ledger_transaction SET posted_at = '2030-01-01 00:00:00' WHERE key = 'slipped in'"
    by_the_owner(statement, late)
    assert any(says in sentence for sentence in found(settings)["I9"])
