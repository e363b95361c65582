"""Desks that look things up: a customer by phone, e-mail or user name, beside one look-up through a unique index.

Each part prepares what it needs and measures it; a further part is one more line in `PARTS`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from payadmin import create_app
from payadmin.db import db
from payadmin.kernel.phones import phone_key
from payadmin.models.parties import Customer
from payadmin.queries.support import MOST_FOUND, find_customers
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.history import build
from tests.bench.list import bench_settings
from tests.bench.summary import summary

REPEATS = 200
# A search asks two or three indexes where the look-up asks one, and reads the rows that it found.
LIMIT = 8.0
COUNTRY = "44"
Part = Callable[[Report, Flask, int, Say], None]


@click.command()
@click.option(
    "--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Customers, and payments."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, as_json: bool, kind: str) -> None:
    """Searches of customers against a unique look-up, and a deep page of the summary against its first."""
    say = Say()
    report = Report("support", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        build(url, rows, say)
        app = create_app(bench_settings(url, Path(folder)))
        with app.app_context():
            for part in PARTS:
                part(report, app, rows, say)
            db.session.remove()
            db.engine.dispose()
    report.show(as_json=as_json)


# ---- customers -----------------------------------------------------------------------------------------------------


def customers(report: Report, _app: Flask, rows: int, say: Say) -> None:
    """Whole values and beginnings of phones, e-mails and user names; every search must find what it should."""
    say(f"making {rows:,} customers; statistics follow")
    fill(rows)
    session = db.session()
    numbers = [1 + place * (rows - 1) // REPEATS for place in range(REPEATS)]

    def unique(number: int) -> int:
        return len(session.scalars(select(Customer).where(Customer.external_id == f"C{number:09}")).all())

    def searched(term: Callable[[int], str]) -> Callable[[int], int]:
        return lambda number: len(find_customers(session, term(number), country=COUNTRY).rows)

    asked: dict[str, Callable[[int], int]] = {
        "phone": searched(lambda number: f"+44 (0)7{number:09}"),
        "phone_national": searched(lambda number: f"07{number:09}"),
        "phone_beginning": searched(lambda number: f"+447{number:09}"[:-1]),
        "email": searched(lambda number: f"Person{number:09}@Example.com"),
        "email_beginning": searched(lambda number: f"person{number:09}@"),
        "username": searched(lambda number: f"User.{number:09}"),
        "username_beginning": searched(lambda number: f"user.{number:09}"[:-1]),
    }
    bare = timed(session, unique, numbers, 1)
    report.figures["unique_look_up"] = {"ms": shorter(bare * 1000)}
    for name, ask in asked.items():
        most = MOST_FOUND if name.endswith("_beginning") and name != "email_beginning" else 1
        took = timed(session, ask, numbers, most)
        report.figures[name] = {"ms": shorter(took * 1000)}
        report.ratios[name] = shorter(took / bare)
        say(f"{name}: {took * 1000:.2f} ms, {took / bare:.1f} look-ups")
    exact = max(report.ratios[name] for name in ("phone", "email", "username"))
    report.goals["slowest_search_over_unique"] = Goal(exact, LIMIT)
    report.notes.append(f"Medians of {REPEATS} different terms; a beginning finds up to {MOST_FOUND} customers.")


def timed(session: Session, ask: Callable[[int], int], numbers: list[int], most: int) -> float:
    """The median time of one question; each finds somebody, and no more than it may."""
    taken = []
    for number in numbers:
        begun = time.perf_counter()
        found = ask(number)
        taken.append(time.perf_counter() - begun)
        assert 1 <= found <= most, f"number {number} found {found}"
        session.rollback()
    return statistics.median(taken)


def fill(rows: int) -> None:
    """Customers 1 to `rows`, made by the database itself; their keys are what the application makes of such values."""
    assert phone_key("+44 (0)7000000001") == "+447000000001"
    is_sqlite = db.engine.dialect.name == "sqlite"
    series = (
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :rows) SELECT n FROM s)"
        if is_sqlite
        else "generate_series(1, :rows)"
    )
    padded = "printf('%09d', n)" if is_sqlite else "lpad(n::text, 9, '0')"
    now = "datetime('now')" if is_sqlite else "now()"
    values = {
        "external_id": f"'C' || {padded}",
        "kind": "'INDIVIDUAL'",
        "name": f"'Person ' || {padded}",
        "username": f"'user.' || {padded}",
        "username_key": f"'user.' || {padded}",
        "email": f"'person' || {padded} || '@example.com'",
        "email_key": f"'person' || {padded} || '@example.com'",
        "phone": f"'+44 7' || {padded}",
        "phone_key": f"'+447' || {padded}",
        "notification_channels": "'[\"email\"]'",
        "locale": "'en'",
        "status": "'ACTIVE'",
        "created_at": now,
        "updated_at": now,
        "version": "1",
    }
    source = f"{series} AS t(n)" if not is_sqlite else series
    statement = f"INSERT INTO customer ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {source}"
    with db.engine.connect() as connection:
        connection.execute(text(statement), {"rows": rows})
        connection.commit()
        connection.exec_driver_sql("ANALYZE customer")
        connection.commit()


PARTS: tuple[Part, ...] = (customers, summary)
