"""Migrations, models and the database's own constraints are one thing, and the check that says so sees everything."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from payadmin.migrations import VERSIONS, downgrade, head, revision, upgrade
from payadmin.migrations.catalog import Catalog
from payadmin.migrations.check import catalog_of, compare, connected, differences, scratch

GOLDEN = Path(__file__).parents[1] / "golden" / "schema.sql"

# What is wrong · how it comes about in SQLite · in PostgreSQL · what the sentence must name.
IN_SQLITE = "UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE name = '{table}'"


def rewrite(table: str, old: str, new: str) -> str:
    """A change that SQLite has no ALTER for: its own record of the table, rewritten."""
    return IN_SQLITE.format(table=table, old=old, new=new)


# What is wrong · how it comes about in SQLite · in PostgreSQL (None: the same) · what a sentence must name.
PLANTED: tuple[tuple[str, str, str | None, str], ...] = (
    ("an extra table", "CREATE TABLE stray (id INTEGER)", None, "table stray"),
    ("a lost table", "DROP TABLE heartbeat", None, "table heartbeat"),
    ("an extra column", "ALTER TABLE note ADD COLUMN stray TEXT", None, "column note.stray"),
    (
        "another type",
        rewrite("note", "body TEXT", "body VARCHAR(9)"),
        "ALTER TABLE note ALTER COLUMN body TYPE varchar(9)",
        "column note.body",
    ),
    (
        "a column that may be empty",
        rewrite("note", "body TEXT NOT NULL", "body TEXT"),
        "ALTER TABLE note ALTER COLUMN body DROP NOT NULL",
        "column note.body",
    ),
    (
        "a default",
        rewrite("note", "body TEXT NOT NULL", "body TEXT DEFAULT 7 NOT NULL"),
        "ALTER TABLE note ALTER COLUMN body SET DEFAULT 7",
        "column note.body",
    ),
    (
        "another primary key",
        rewrite("heartbeat", "PRIMARY KEY (name)", "PRIMARY KEY (name, kind)"),
        "ALTER TABLE heartbeat DROP CONSTRAINT pk_heartbeat, ADD CONSTRAINT pk_heartbeat PRIMARY KEY (name, kind)",
        "heartbeat",
    ),
    (
        "a lost foreign key",
        rewrite("note", "FOREIGN KEY(payment_id) REFERENCES payment (id)", "CHECK (1)"),
        "ALTER TABLE note DROP CONSTRAINT fk_note_payment_id",
        "foreign key",
    ),
    (
        "a lost unique constraint",
        (
            "DROP TABLE user_preference; CREATE TABLE user_preference (id INTEGER NOT NULL, staff_id INTEGER NOT NULL, "
            "name VARCHAR(80) NOT NULL, value JSON NOT NULL, CONSTRAINT pk_user_preference PRIMARY KEY (id))"
        ),
        "ALTER TABLE user_preference DROP CONSTRAINT uq_user_preference_staff_id_name",
        "unique constraint",
    ),
    ("a lost index", "DROP INDEX ix_payment_card_last4_id", None, "index ix_payment_card_last4_id"),
    (
        "columns of an index in another order",
        "DROP INDEX ix_payment_card_last4_id; CREATE INDEX ix_payment_card_last4_id ON payment (id, card_last4)",
        None,
        "index ix_payment_card_last4_id",
    ),
    (
        "a partial index without its condition",
        "DROP INDEX uq_void_request_alive; CREATE UNIQUE INDEX uq_void_request_alive ON void_request (payment_id)",
        None,
        "index uq_void_request_alive",
    ),
    (
        "a lost CHECK",
        rewrite("refund", "CONSTRAINT ck_refund_amount_positive CHECK (amount_minor > 0)", "CHECK (1)"),
        "ALTER TABLE refund DROP CONSTRAINT ck_refund_amount_positive",
        "check ck_refund_amount_positive",
    ),
    (
        "a weaker CHECK",
        rewrite("refund", "(amount_minor > 0)", "(amount_minor >= 0)"),
        (
            "ALTER TABLE refund DROP CONSTRAINT ck_refund_amount_positive; "
            "ALTER TABLE refund ADD CONSTRAINT ck_refund_amount_positive CHECK (amount_minor >= 0)"
        ),
        "check ck_refund_amount_positive",
    ),
    (
        "a lost trigger",
        "DROP TRIGGER audit_event_no_update",
        "DROP TRIGGER audit_event_append_only ON audit_event",
        "trigger audit_event",
    ),
    (
        "a trigger that lets everything through",
        (
            "DROP TRIGGER audit_event_no_update; "
            "CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event BEGIN SELECT 1; END"
        ),
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "",
    ),
)


def run(url: str, script: str) -> None:
    with connected(url) as connection:
        driver: Any = connection.connection.driver_connection
        if connection.dialect.name == "sqlite":
            driver.executescript(f"PRAGMA writable_schema = ON; {script}; PRAGMA writable_schema = RESET")
        else:
            driver.execute(script)


def test_models_and_migrations_and_the_database_agree(app: Flask) -> None:
    assert differences(app.config["SQLALCHEMY_DATABASE_URI"]) == []


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted[0])
def test_every_kind_of_difference_is_seen_and_named(
    app: Flask, dialect: str, planted: tuple[str, str, str | None, str]
) -> None:
    _, in_sqlite, in_postgresql, named = planted
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    run(url, in_sqlite if dialect == "sqlite" else in_postgresql or in_sqlite)
    found = differences(url)
    assert any(named in sentence for sentence in found), found
    assert all("the database has" in sentence and sentence.endswith(".") for sentence in found)


def test_models_that_say_more_than_the_migrations_are_seen_and_named() -> None:
    models: Catalog = {
        "column payment.tip": "BIGINT NULL",
        "check ck_payment_tip": "tip > 0",
        "table payment": "present",
    }
    migrated: Catalog = {"column payment.tip": "BIGINT NOT NULL", "table payment": "present"}
    assert compare(migrated, models, "the migrations make", "the models say") == [
        "check ck_payment_tip: the models say it (tip > 0), but nothing of the kind is what the migrations make.",
        "column payment.tip: the migrations make BIGINT NOT NULL, but the models say BIGINT NULL.",
    ]


def test_a_database_without_a_schema_is_told_what_to_do(app: Flask) -> None:
    with scratch(app.config["SQLALCHEMY_DATABASE_URI"]) as url:
        with connected(url):
            pass
        assert differences(url) == [
            f"The database is at revision none, the code at {head()}: run `payadmin db upgrade`."
        ]


@pytest.mark.once
def test_a_database_that_is_not_there_is_not_created_by_the_check(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    assert differences(f"sqlite:///{file}") == [f"There is no database at {file}: run `payadmin db upgrade`."]
    assert not file.exists()


def test_going_back_leaves_nothing_and_coming_again_makes_the_same(app: Flask) -> None:
    with scratch(app.config["SQLALCHEMY_DATABASE_URI"]) as url:
        upgrade(url)
        made = catalog_of(url)
        downgrade(url, "base")
        assert catalog_of(url) == {}
        upgrade(url)
        assert catalog_of(url) == made


def test_what_a_batch_ordered_is_not_lost_by_going_back(app: Flask) -> None:
    with scratch(app.config["SQLALCHEMY_DATABASE_URI"]) as url:
        upgrade(url, "0003")
        made = catalog_of(url)
        orphan = (
            "INSERT INTO scheduled_charge (id, due_date, invoice_number, status, amount_minor, unit, attempts, "
            "is_touched, needs_staff, batch_id, batch_row_id, created_at, updated_at, version) VALUES (1, "
            "'2026-11-22', 'B-1', 'SCHEDULED', 100, 'EUR', 0, {no}, {no}, 1, 1, "
            "'2026-11-22 10:00:00', '2026-11-22 10:00:00', 1)"
        )
        with connected(url) as connection:
            driver: Any = connection.connection.driver_connection
            if connection.dialect.name == "sqlite":
                driver.executescript("PRAGMA foreign_keys = OFF; " + orphan.format(no=0))
            else:
                driver.execute("SET session_replication_role = replica; " + orphan.format(no="false"))
        with pytest.raises(RuntimeError, match="1 rows of scheduled_charge have no subscription_id"):
            downgrade(url, "0002")
        assert catalog_of(url) == made


def test_the_trail_tells_when_subscriptions_were_inactivated_before_that_was_kept(app: Flask) -> None:
    with scratch(app.config["SQLALCHEMY_DATABASE_URI"]) as url:
        upgrade(url, "0012")
        rows = [
            (
                "INSERT INTO subscription (id, subscription_id, billing_number, status, customer_id, merchant_id, "
                "amount_minor, unit, method, provider, created_at, updated_at, version) VALUES "
                f"({number}, 'S-{number}', 'B-{number}', 'INACTIVE', 1, 1, 100, 'EUR', 'card', 'simulator', "
                "'2026-01-01 10:00:00', '2026-01-01 10:00:00', 1)"
            )
            for number in (1, 12)
        ]
        rows += [
            (
                "INSERT INTO audit_event (id, at, actor_name, roles, event, outcome, entity, entity_id) VALUES "
                f"({number}, '2026-03-0{number} 10:00:00', 'operator', '', 'subscriptions.subscription.inactivated', "
                f"'{outcome}', 'subscription', '1')"
            )
            for number, outcome in ((1, "done"), (2, "done"), (3, "refused"))
        ]
        script = "; ".join(rows)
        with connected(url) as connection:
            driver: Any = connection.connection.driver_connection
            if connection.dialect.name == "sqlite":
                driver.executescript(f"PRAGMA foreign_keys = OFF; {script}")
            else:
                driver.execute(f"SET TIME ZONE 'UTC'; SET session_replication_role = replica; {script}")
        upgrade(url)
        with connected(url) as connection:
            found = connection.execute(text("SELECT inactivated_at FROM subscription ORDER BY id")).scalars().all()
        assert [str(moment)[:19] if moment else None for moment in found] == ["2026-03-02 10:00:00", None]


@pytest.mark.once
def test_exactly_one_migration_is_the_newest_and_the_numbers_have_no_gap() -> None:
    numbers = sorted(file.name[:4] for file in VERSIONS.glob("[0-9]*.py"))
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert head() == numbers[-1]


@pytest.mark.once
def test_a_new_revision_starts_from_the_models_and_says_what_it_cannot_see(tmp_path: Path) -> None:
    file, left = revision("Nothing has changed", tmp_path)
    assert file == tmp_path / f"{int(head()) + 1:04}_nothing_has_changed.py"
    assert f'down_revision = "{head()}"' in file.read_text().replace("'", '"')
    assert file.read_text().count("    pass") == 2
    assert left == []


def dump(url: str) -> str:
    """The schema as SQLite keeps it, one statement after the other, in the order of names."""
    with connected(url) as connection:
        rows = connection.execute(
            text(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version' "
                "ORDER BY tbl_name, type = 'table' DESC, name"
            )
        )
        lines = [line.rstrip() for sql in rows.scalars() for line in f"{sql};".splitlines()]
    return "\n".join(lines) + "\n"


@pytest.mark.once
def test_the_golden_schema_is_what_the_migrations_make(app: Flask, request: pytest.FixtureRequest) -> None:
    made = dump(app.config["SQLALCHEMY_DATABASE_URI"])
    if request.config.getoption("--renew-golden"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text(), "see what changed, then `pytest tests/meta --renew-golden`"
