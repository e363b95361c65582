"""The commands of the books: what was recorded before is booked, killed or not; the books are proven or not."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import func, insert, select

from payadmin.cli import main
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel.seals import seal_keys
from payadmin.ledger import checks
from payadmin.models.ledger import LedgerCheck, LedgerTransaction
from payadmin.models.payments import Payment
from payadmin.queries.ledger import unbooked_payments
from tests.ledger.conftest import Books
from tests.support.books import by_the_owner
from tests.support.crash import ROOT, environment
from tests.support.make import Make, writing

MANY = 2_000
START_SECONDS = 60
SAME = ("merchant_id", "customer_id", "type", "channel", "provider", "method", "unit", "status")


def run(app: Flask, *arguments: str) -> Result:
    db.session.rollback()
    found = CliRunner().invoke(main, list(arguments), env=environment(app))
    db.session.rollback()
    return found


def booked() -> int:
    db.session.rollback()
    found = db.session.scalar(select(func.count()).select_from(LedgerTransaction)) or 0
    db.session.rollback()
    return found


def recorded(make: Make, number: int) -> None:
    """Payments that were paid before there were books."""
    payment = make.payment()
    same = {name: getattr(payment, name) for name in SAME}
    writing()
    rows: list[dict[str, Any]] = [
        {"transaction_id": f"B-{place}", "invoice_number": f"B-{place}", "amount_minor": 100, "captured_minor": 100}
        | same
        for place in range(number - 1)
    ]
    db.session.execute(insert(Payment.__table__).execution_options(explained=True), rows)  # type: ignore[arg-type]
    db.session.commit()


def test_what_was_recorded_before_is_booked_by_the_command_once(app: Flask, make: Make, books: Books) -> None:
    recorded(make, 3)
    first = run(app, "ledger", "backfill")
    assert (first.exit_code, first.output.splitlines()[-1]) == (0, "3 payments booked in 3 transactions.")
    again = run(app, "ledger", "backfill")
    assert again.output.splitlines()[-1] == "0 payments booked in 0 transactions."
    assert booked() == 3


def test_a_backfill_that_is_killed_is_begun_again_and_books_nothing_twice(
    app: Flask, make: Make, books: Books, settings: Settings
) -> None:
    recorded(make, MANY)
    command = [sys.executable, "-c", "from payadmin.cli import main; main()", "ledger", "backfill"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, env=environment(app), **quiet)
    until = time.monotonic() + START_SECONDS
    while not booked() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = booked()
    assert 0 < before < MANY
    assert run(app, "ledger", "backfill").exit_code == 0
    assert (booked(), unbooked_payments()) == (MANY, 0)
    db.session.rollback()
    results = list(checks.run(db.session(), seal_keys(settings.totp_keys)))
    assert [row for each in results for row in each.rows] == []
    db.session.rollback()


def test_sound_books_are_proven_with_the_figure_of_each_invariant(app: Flask, make: Make, books: Books) -> None:
    make.payment()
    run(app, "ledger", "backfill")
    found = run(app, "verify", "ledger")
    assert found.exit_code == 0, found.output
    for number in range(1, 11):
        assert f"I{number:<3}holds" in found.output.replace("\n", " ")
    assert "2 entries" in found.output
    said = json.loads(run(app, "verify", "ledger", "--json").stdout)
    assert (said["sound"], said["broken"], len(said["invariants"])) == (True, 0, 10)
    assert all(each["figures"] for each in said["invariants"])
    kept = db.session.scalars(select(LedgerCheck.broken)).all()
    assert kept == [0, 0]


@pytest.mark.parametrize("as_json", [False, True])
def test_broken_books_are_named_and_end_with_status_1(app: Flask, books: Books, make: Make, as_json: bool) -> None:
    make.payment()
    run(app, "ledger", "backfill")
    by_the_owner("UPDATE ledger_transaction SET memo = 'x'")
    found = run(app, "verify", "ledger", *(["--json"] if as_json else []))
    assert found.exit_code == 1
    assert "The books are broken in 1 places." in found.stderr
    if as_json:
        said = json.loads(found.stdout)
        broken = {each["number"]: each["rows"] for each in said["invariants"] if each["rows"]}
        assert (said["sound"], list(broken)) == (False, ["I2"])
        assert "is not as payadmin wrote it" in broken["I2"][0]["sentence"]
    else:
        assert "I2  BROKEN" in found.stdout
        assert "is not as payadmin wrote it" in found.stdout
