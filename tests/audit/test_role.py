"""Under a role of its own the application can add to the trail and change nothing in it, even without triggers."""

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from payadmin.cli import main
from payadmin.db import db
from payadmin.jobs.audit import keep_seals
from tests.audit.test_seals import write

ROLE = "payadmin_app"


def statements() -> list[str]:
    answer = CliRunner().invoke(main, ["db", "grants", ROLE])
    assert answer.exit_code == 0
    return answer.output.splitlines()


def refusal(statement: str) -> str:
    """What the database answers to the role."""
    with pytest.raises(DBAPIError) as refused, db.engine.begin() as connection:  # noqa: PT012 - the role, then its act
        connection.execute(text(f"SET LOCAL ROLE {ROLE}"))
        connection.execute(text(statement))
    return str(refused.value)


@pytest.mark.once
def test_a_name_with_a_quote_stays_a_name() -> None:
    answer = CliRunner().invoke(main, ["db", "grants", 'x"; DROP TABLE payment; --'])
    assert '"x""; DROP TABLE payment; --"' in answer.output


def test_the_role_adds_to_the_trail_and_changes_nothing_in_it(app: Flask, dialect: str) -> None:
    if dialect != "postgresql":
        pytest.skip("SQLite has no roles")
    settings = app.extensions["payadmin.settings"]
    write(3)
    keep_seals(settings)
    db.session.remove()
    with db.engine.begin() as connection:
        connection.execute(text(f"DROP ROLE IF EXISTS {ROLE}"))
        connection.execute(text(f"CREATE ROLE {ROLE}"))
        for statement in statements():
            connection.execute(text(statement))
    add = (
        "INSERT INTO audit_event (at, actor_name, roles, event, outcome, keys) "
        "VALUES (now(), 'x', '', 'a.b.c', 'done', jsonb_build_object('n', 'K-1'))"
    )
    try:
        with db.engine.begin() as connection:
            connection.execute(text(f"SET LOCAL ROLE {ROLE}"))
            connection.execute(text(add))
            assert connection.scalar(text("SELECT count(*) FROM audit_key WHERE value = 'K-1'")) == 1
        for refused in (
            "UPDATE audit_event SET reason = 'x'",
            "DELETE FROM audit_event",
            "TRUNCATE audit_event",
            "UPDATE audit_seal SET mac = 'x'",
            "DELETE FROM audit_seal",
            "DELETE FROM audit_key",
            "ALTER TABLE audit_event DISABLE TRIGGER USER",
            "DROP TRIGGER audit_event_append_only ON audit_event",
            "SET session_replication_role = replica",
        ):
            assert "permission denied" in refusal(refused) or "must be owner" in refusal(refused), refused
    finally:
        with db.engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {ROLE}"))
            connection.execute(text(f"DROP ROLE {ROLE}"))
