"""Under a role of its own the application posts whole transactions, and can touch no balance otherwise (P20)."""

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from payadmin.db import db
from payadmin.ledger import recipes
from payadmin.ledger.posting import post
from payadmin.migrations.grants import grants
from tests.ledger.conftest import Books, Pen, fact, transfer

ROLE = "payadmin_books"
ATTACKS = (
    "UPDATE ledger_balance SET balance_minor = 0",
    "INSERT INTO ledger_balance (account_id, slot, guard, balance_minor, last_entry_id) VALUES (1, 7, 0, 5, 0)",
    "DELETE FROM ledger_balance",
    "UPDATE ledger_entry SET amount_minor = 1",
    (
        "INSERT INTO ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on) "
        "VALUES (1, 3, 1, 'EUR', 5, '2026-11-20')"
    ),
    "DELETE FROM ledger_entry",
    "UPDATE ledger_turnover SET debit_minor = 0",
    "UPDATE ledger_transaction SET memo = 'x'",
    "DELETE FROM ledger_transaction",
    "TRUNCATE ledger_transaction CASCADE",
    "UPDATE ledger_account SET guard = 0",
    "UPDATE ledger_hold SET amount_minor = 1",
    "DELETE FROM accounting_period",
    "ALTER TABLE ledger_transaction DISABLE TRIGGER USER",
    "DROP TRIGGER ledger_transaction_post ON ledger_transaction",
    "CREATE OR REPLACE FUNCTION ledger_post() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
    "SET session_replication_role = replica",
)


def refusal(statement: str) -> str:
    with pytest.raises(DBAPIError) as refused, db.engine.begin() as connection:  # noqa: PT012 - the role, then its act
        connection.execute(text(f"SET LOCAL ROLE {ROLE}"))
        connection.execute(text(statement.replace(":", "\\:")))
    return str(refused.value)


def test_the_role_posts_and_cannot_touch_a_balance(app: Flask, books: Books, dialect: str) -> None:
    if dialect != "postgresql":
        pytest.skip("SQLite has no roles")
    books.fund("customer:1", 10_00)
    db.session.remove()
    with db.engine.begin() as connection:
        connection.execute(text(f"DROP ROLE IF EXISTS {ROLE}"))
        connection.execute(text(f"CREATE ROLE {ROLE}"))
        for statement in grants(ROLE):
            connection.execute(text(statement))
    try:
        session = db.session()
        session.execute(text(f"SET LOCAL ROLE {ROLE}"))
        # A table of the same name in the caller's own temporary schema does not catch what the books write.
        session.execute(text("CREATE TEMPORARY TABLE ledger_balance (account_id bigint, slot smallint, guard smallint, "
                             "balance_minor bigint, last_entry_id bigint)"))  # fmt: skip
        aside = recipes.set_aside(unit="EUR", owner="customer:1", amount=1_00)
        back = recipes.given_back(unit="EUR", owner="customer:1", amount=1_00)
        pen = Pen(session)
        post(pen, [transfer("t", "customer:1", "customer:2", 3_00), fact("h", aside, holds=True)])
        post(pen, [fact("e", back, ends="h")])
        session.commit()
        session.execute(text("DROP TABLE pg_temp.ledger_balance"))
        session.commit()
        assert books.balance("2010:customer:1:EUR") == -7_00
        assert books.balance("2010:customer:2:EUR") == -3_00
        for statement in ATTACKS:
            said = refusal(statement)
            assert "permission denied" in said or "must be owner" in said, statement
        assert books.balance("2010:customer:1:EUR") == -7_00
        assert "a hold is what its transactions moved" in refusal(
            "CREATE TEMPORARY TABLE ledger_entry AS SELECT 1 AS id, 1 AS transaction_id, 1 AS account_id, "
            "-5 AS amount_minor; INSERT INTO ledger_hold (account_id, amount_minor, placed_id) VALUES (1, 5, 1)"
        )
    finally:
        db.session.remove()
        with db.engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {ROLE}"))
            connection.execute(text(f"DROP ROLE {ROLE}"))
