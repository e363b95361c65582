"""The books: postings a second beside bare inserts of the same rows, what a payment pays, and checks at size."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import Engine, Table, func, insert, select, text
from sqlalchemy.orm import Session

from payadmin import create_app
from payadmin.db import db, utcnow
from payadmin.kernel.seals import seal_keys
from payadmin.ledger import checks, recipes
from payadmin.ledger.payments import follow
from payadmin.ledger.posting import Posting, post
from payadmin.migrations import upgrade
from payadmin.models.ledger import LedgerAccount, LedgerEntry, LedgerTransaction
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import Channel, Payment, PaymentMethod, PaymentStatus, PaymentType, Unit
from payadmin.queries import ledger as asked
from payadmin.work import SYSTEM, Actor
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.list import bench_settings

WRITERS, ROUNDS, WALLETS, CHUNK = (1, 8), 3, 1_000, 500
BARE_LIMIT, BALANCE_LIMIT = 2.0, 3.0
REPEATS = 30
_PAYMENT: Any = Payment.__table__


@dataclass
class Pen:
    """A writer with a transaction of its own."""

    session: Session
    actor: Actor = SYSTEM
    now: Any = field(default_factory=utcnow)


@click.command()
@click.option(
    "--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Entries of a wallet."
)
@click.option("--seconds", default=3.0, show_default=True, help="How long each way of writing is tried, three times.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, seconds: float, as_json: bool, kind: str) -> None:
    """Postings beside bare inserts, with 1 and 8 writers; then a wallet with many entries, and the checks."""
    say = Say()
    report = Report("ledger", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        upgrade(url)
        app = create_app(bench_settings(url, Path(folder)))
        with app.app_context():
            prepare(db.engine)
            write(report, app, seconds, say)
            cost(report, app, say)
            grow(report, app, rows, say)
            db.session.remove()
            db.engine.dispose()
    report.notes += [
        "A posting is one transaction of two legs and its commit: rules, entries, balances, turnovers, signature.",
        "bare: the same header and two entries into tables with the same keys and indexes, and nothing else.",
        "payment: fifty payments in one transaction, as a worker books them, with and without the books.",
    ]
    report.show(as_json=as_json)


def prepare(engine: Engine) -> None:
    """Units, wallets' owners, and the bare tables."""
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        now = utcnow()
        connection.execute(insert(Unit.__table__), [{"code": "EUR", "name": "Euro", "scale": 2}])  # type: ignore[arg-type]
        connection.execute(insert(PaymentMethod.__table__), [{"code": "card", "name": "Card"}])  # type: ignore[arg-type]
        shop = {"name": "Shop", "kind": OrganizationKind.MERCHANT, "created_at": now}
        connection.execute(insert(Organization.__table__), [shop])  # type: ignore[arg-type]
        connection.execute(insert(Customer.__table__), [{"external_id": "C-1", "name": "C"}])  # type: ignore[arg-type]
        for model in (LedgerTransaction, LedgerEntry):
            for statement in bare(model.__table__, engine.dialect.name):  # type: ignore[arg-type]
                connection.execute(text(statement))


def bare(table: Table, dialect: str) -> Iterator[str]:
    """The statements that make a table of the same columns, key and indexes, without rules."""
    key = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY" if dialect == "postgresql" else "INTEGER PRIMARY KEY"
    types = {column.name: column.type.compile(dialect=db.engine.dialect) for column in table.columns}
    columns = ", ".join(f"{name} {key if name == 'id' else kind}" for name, kind in types.items())
    yield f"CREATE TABLE bare_{table.name} ({columns})"
    for index in table.indexes:
        yield f"CREATE INDEX bare_{index.name} ON bare_{table.name} ({', '.join(c.name for c in index.columns)})"
    names = {"ledger_transaction": ("key", "reverses_id"), "ledger_entry": ("transaction_id, leg",)}[table.name]
    for place, name in enumerate(names):
        yield f"CREATE UNIQUE INDEX bare_{table.name}_{place} ON bare_{table.name} ({name})"


# ---- writing -------------------------------------------------------------------------------------------------------


def write(report: Report, app: Flask, seconds: float, say: Say) -> None:
    """Both ways of writing, alternately, with one writer and with eight."""
    for writers in WRITERS:
        rates: dict[str, list[float]] = {"posts": [], "bare": []}
        for turn in range(ROUNDS):
            for name, act in (("posts", one_post), ("bare", one_bare)):
                rates[name].append(rate(app, act, writers, seconds, f"{name}{writers}{turn}"))
        rounded = {name: statistics.median(found) for name, found in rates.items()}
        report.figures[f"{writers}_writers"] = {f"{name}_a_second": round(value) for name, value in rounded.items()}
        ratio = shorter(rounded["bare"] / rounded["posts"])
        report.ratios[f"bare_over_posts_{writers}"] = ratio
        report.goals[f"bare_over_posts_{writers}"] = Goal(ratio, BARE_LIMIT)
        say(f"{writers} writers: {rounded['posts']:.0f} posts/s, {rounded['bare']:.0f} bare/s")


def rate(app: Flask, act: Callable[[int, str], None], writers: int, seconds: float, name: str) -> float:
    """How often a second `act` is done by several threads."""
    done, errors = [0] * writers, []

    def work(number: int) -> None:
        with app.app_context():
            until = time.monotonic() + seconds
            try:
                while time.monotonic() < until:
                    act(number * 10_000_000 + done[number], f"{name}:{number}:{done[number]}")
                    done[number] += 1
            except Exception as error:  # noqa: BLE001 - told below
                errors.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(done) / (time.monotonic() - began)


def paid(number: int, key: str) -> Posting:
    """A payment to one of many merchants."""
    owner = f"organization:{number * 7 % WALLETS + 1}"
    recipe = recipes.payment_paid(unit="EUR", provider="simulator", merchant=owner, amount=10_00)
    return Posting(key, recipe, "bench", number, utcnow().date())


def writing() -> Session:
    """A session whose transaction may write from its start."""
    session = db.session()
    session.connection(execution_options={"immediate": True})
    return session


def one_post(number: int, key: str) -> None:
    """One fact, posted."""
    session = writing()
    post(Pen(session), [paid(number, key)])
    session.commit()


def one_bare(number: int, key: str) -> None:
    """The same rows, inserted."""
    session, now = writing(), utcnow()
    if session.get_bind().dialect.name == "sqlite":
        now = now.replace(tzinfo=None)
    made = session.execute(
        text(
            "INSERT INTO bare_ledger_transaction (key, template, business, business_id, effective_on, posted_at, "
            "posted_by, legs, signature) VALUES (:key, 'J01', 'bench', :number, :day, :now, 'system', :legs, "
            ":signature) "
            "RETURNING id"
        ),
        {"key": key, "number": number, "day": now.date().isoformat(), "now": now.isoformat(),
         "legs": '[[1, "EUR", 1000], [2, "EUR", -1000]]', "signature": "0" * 64},
    ).scalar_one()  # fmt: skip
    session.execute(
        text(
            "INSERT INTO bare_ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on) "
            "VALUES (:id, :leg, :account, 'EUR', :minor, :day)"
        ),
        [
            {"id": made, "leg": leg, "account": account, "minor": minor, "day": now.date().isoformat()}
            for leg, account, minor in ((1, 1, 1000), (2, number * 7 % WALLETS + 2, -1000))
        ],
    )
    session.commit()


# ---- what a payment pays -------------------------------------------------------------------------------------------


def cost(report: Report, app: Flask, say: Say) -> None:
    """Payments in fifties, with the books and without."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(REPEATS):
        for booked in (False, True):
            began = time.perf_counter()
            session = writing()
            rows = [payment_row(f"{turn}-{booked}-{place}") for place in range(50)]
            added = insert(_PAYMENT).returning(_PAYMENT.c.id).execution_options(explained=True)
            ids = list(session.scalars(added, rows))
            if booked:
                follow(Pen(session), ids)
            session.commit()
            times[booked].append(time.perf_counter() - began)
    bare_ms, with_ms = (statistics.median(times[booked]) * 1000 / 50 for booked in (False, True))
    report.figures["payment"] = {"without_ms": shorter(bare_ms), "with_ms": shorter(with_ms)}
    report.ratios["payment_with_books_over_without"] = shorter(with_ms / bare_ms)
    say(f"a payment: {bare_ms:.2f} ms without the books, {with_ms:.2f} ms with them")


def payment_row(number: str) -> dict[str, Any]:
    """A paid payment."""
    return {
        "transaction_id": f"B-{number}", "invoice_number": f"I-{number}", "merchant_id": 1, "customer_id": 1,
        "type": PaymentType.DIRECT, "channel": Channel.API, "provider": "simulator", "method": "card",
        "amount_minor": 10_00, "captured_minor": 10_00, "unit": "EUR", "status": PaymentStatus.PAID,
    }  # fmt: skip


# ---- size ----------------------------------------------------------------------------------------------------------


def grow(report: Report, app: Flask, rows: int, say: Say) -> None:
    """One wallet with many entries: its balance and its statement stay quick; the checks read everything."""
    account = wallet_of("customer:1")
    before = balance_ms(account)
    began, made = time.monotonic(), 0
    while made < rows:
        session = writing()
        facts = [
            Posting(
                f"grow:{made + place}",
                recipes.payment_paid(unit="EUR", provider="simulator", merchant="customer:1", amount=1_00),
                "bench",
                made + place,
                utcnow().date(),
            )
            for place in range(min(CHUNK, rows - made))
        ]
        post(Pen(session), facts)
        session.commit()
        made += len(facts)
        if made % 50_000 == 0:
            say(f"{made:,} entries")
    seconds = time.monotonic() - began
    say("gathering statistics")
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(text("ANALYZE"))
    after = balance_ms(account)
    session = db.session()
    row = session.get_one(LedgerAccount, account)
    today = utcnow().date()
    took = time.perf_counter()
    asked.page_of_statement(session, row, today, today)
    page_ms = (time.perf_counter() - took) * 1000
    sums = asked.sums_of(session, row, today, today)
    assert sums.entries >= rows
    session.rollback()
    took = time.perf_counter()
    keys = seal_keys(app.extensions["payadmin.settings"].totp_keys)
    results = list(checks.run(db.session(), keys))
    checked = time.perf_counter() - took
    transactions = db.session.scalar(select(func.count()).select_from(LedgerTransaction)) or 0
    broken = sum(each.broken for each in results if each.number != "I7")
    report.figures["size"] = {
        "transactions": transactions,
        "bulk_posts_a_second": round(rows / seconds),
        "balance_ms": shorter(after),
        "statement_page_ms": shorter(page_ms),
        "checks_seconds": shorter(checked),
        "checks_microseconds_a_transaction": shorter(checked / transactions * 1e6),
    }
    report.ratios["balance_at_size_over_empty"] = shorter(after / before)
    report.goals["balance_at_size_over_empty"] = Goal(shorter(after / before), BALANCE_LIMIT)
    report.goals["broken"] = Goal(broken, 0)
    say(f"{transactions:,} transactions checked in {checked:.1f} s")


def wallet_of(owner: str) -> int:
    """A wallet with one entry."""
    session = writing()
    recipe = recipes.payment_paid(unit="EUR", provider="simulator", merchant=owner, amount=1)
    post(Pen(session), [Posting(f"first:{owner}", recipe, "bench", 1, utcnow().date())])
    session.commit()
    return session.scalars(select(LedgerAccount.id).where(LedgerAccount.code == f"2010:{owner}:EUR")).one()


def balance_ms(account: int) -> float:
    """How long one balance takes, the median of many."""
    found = []
    for _ in range(REPEATS * 5):
        began = time.perf_counter()
        asked.balances(db.session(), [account])
        found.append((time.perf_counter() - began) * 1000)
        db.session.rollback()
    return statistics.median(found)
