"""`payadmin import rates`: the ECB's file, and those of exchange offices, from the command line; all rates or none."""

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from payadmin.cli import main
from payadmin.db import db
from payadmin.models.parties import OrganizationKind
from payadmin.models.tariffs import ExchangeRate, RateSource
from tests.support.approvals import Room
from tests.support.crash import environment

FILE = "Date,USD,JPY,CYP,\n2026-10-30,1.0842,163.27,0.58,\n2026-10-29,1.08,N/A,N/A,\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "eurofxref-hist.csv.gz"
    path.write_bytes(gzip.compress(FILE.encode()))
    return path


def run(app: Flask, *arguments: str) -> Result:
    db.session.rollback()
    return CliRunner().invoke(main, list(arguments), env=environment(app))


def test_the_ecbs_file_is_imported_once(app: Flask, room: Room, file: Path) -> None:
    first = run(app, "import", "rates", str(file))
    assert (first.exit_code, first.output.splitlines()) == (
        0,
        ["3 rates added; 0 were known.", "Left out, because they are no units here: CYP."],
    )
    again = run(app, "import", "rates", str(file))
    assert again.output.startswith("0 rates added; 3 were known.")
    assert {row.source for row in db.session.query(ExchangeRate)} == {RateSource.ECB}


def test_a_file_with_an_error_adds_nothing_and_names_the_line(app: Flask, room: Room, file: Path) -> None:
    file.write_text(FILE + "2026-10-28,zero,1,1,\n")
    refused = run(app, "import", "rates", str(file))
    assert refused.exit_code == 1
    assert "Line 4" in refused.output
    assert db.session.query(ExchangeRate).count() == 0


def test_an_offices_file_is_imported_once_and_far_rates_are_asked_about(app: Flask, room: Room, tmp_path: Path) -> None:
    room.make.organization("Exchange Ltd", kind=OrganizationKind.EXCHANGE_OFFICE)
    file = tmp_path / "office.csv"
    file.write_text("base,quote,rate,valid_from\nEUR,USD,1.07,2026-10-23T09:00\n")
    command = ("import", "rates", str(file), "--office")
    assert run(app, *command, "Exchange Ltd").output.splitlines() == ["1 rates added; 0 were known."]
    assert run(app, *command, "Exchange Ltd").output.splitlines() == ["0 rates added; 1 were known."]
    unknown = run(app, *command, "Nobody")
    assert (unknown.exit_code, "no exchange office called Nobody" in unknown.output) == (1, True)
    file.write_text("base,quote,rate,valid_from\nEUR,USD,1070,2026-10-24T09:00\n")
    far = run(app, *command, "Exchange Ltd")
    assert (far.exit_code, "EUR/USD 1070" in far.output) == (1, True)
    assert run(app, *command, "Exchange Ltd", "--sure").exit_code == 0
    assert {row.source for row in db.session.query(ExchangeRate)} == {RateSource.OFFICE}
