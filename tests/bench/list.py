"""The list of payments at any size: its pages, filters and searches, beside stock Flask-Admin in the same run."""

import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from flask import Flask
from sqlalchemy import Engine, event, func, select
from werkzeug.test import Client

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db
from payadmin.models.parties import Customer
from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.permissions import Role
from payadmin.views import lists
from payadmin.views.core import PAGE_OF
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.history import build, transaction_id
from tests.bench.peers import floor, stock_app
from tests.support.signin import sign_in

ADDRESS = "/transactions/"
REPEATS, STOCK_REPEATS, SLOW_SECONDS = 15, 5, 2.0
FLAT_LIMIT = 1.5
_SHOWN = re.compile(r"T-1\d{7}")


@dataclass(frozen=True)
class Case:
    """The same question to both lists; stock's address is written with the best operator that stock has for it."""

    name: str
    ours: str
    stock: str


@dataclass
class Timing:
    """One list's answers to one case."""

    seconds: list[float]
    cpu: list[float]
    body: str
    queries: int

    @property
    def p50_ms(self) -> float:
        return shorter(statistics.median(self.seconds) * 1_000)

    @property
    def cpu_ms(self) -> float:
        return shorter(statistics.median(self.cpu) * 1_000)

    @property
    def kb(self) -> float:
        return shorter(len(self.body.encode()) / 1_024)

    @property
    def shown(self) -> set[str]:
        return set(_SHOWN.findall(self.body))

    def figures(self) -> dict[str, float]:
        return {"p50_ms": self.p50_ms, "app_cpu_ms": self.cpu_ms, "kb": self.kb, "queries": self.queries}


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Payments to make.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, as_json: bool, kind: str) -> None:
    """First, middle and last page, status filter and searches, each beside stock Flask-Admin."""
    say = Say()
    say("starting")
    report = Report("list", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        build(url, rows, say)
        app = create_app(bench_settings(url, Path(folder)))
        with app.app_context():
            measure(report, app, url, rows, say)
            db.engine.dispose()
    report.show(as_json=as_json)


def bench_settings(url: str, folder: Path) -> Settings:
    """Settings of an application that nobody else can reach."""
    return Settings(
        database_url=url,
        secret_key="benchmark-secret-that-is-long-enough",
        totp_keys=(b"b" * 32,),
        files_folder=folder / "files",
        secure_cookies=False,
        simulator_url="http://127.0.0.1:9",
        export_job_rows=1_000_000_000,  # the export is measured as it is streamed
    )


def measure(report: Report, app: Flask, url: str, rows: int, say: Say) -> None:
    """Ask both lists everything, check that they show the same payments, and write down what it took."""
    stock, view = stock_app(url)
    client, stock_client = sign_in(app, Role.PAYMENTS_OPERATOR), stock.test_client()
    with stock.app_context():
        stock_engine = db.engine
    ours: dict[str, Timing] = {}
    addresses: dict[str, str] = {}
    for case in cases(app, rows, view.filter_argument("equals")):
        mine = ask(client, case.ours, db.engine, most=REPEATS)
        theirs = ask(stock_client, case.stock, stock_engine, most=STOCK_REPEATS)
        check(case, mine, theirs)
        ours[case.name], addresses[case.name] = mine, case.ours
        report.figures[case.name] = mine.figures() | {"stock": theirs.figures()}
        report.ratios[case.name] = shorter(theirs.p50_ms / mine.p50_ms)
        say(f"{case.name}: {mine.p50_ms} ms, stock {theirs.p50_ms} ms")
    cold = ask(client, ADDRESS, db.engine, most=REPEATS, before=app.extensions.pop)
    report.figures["first_page_counts_not_remembered"] = cold.figures()
    bare = ask(Client(floor(db.engine)), "/", db.engine, most=REPEATS)
    report.figures["floor"] = bare.figures()
    report.ratios["first_page_over_floor"] = shorter(ours["first_page"].p50_ms / bare.p50_ms)
    for name, share in over_first(client, addresses).items():
        report.ratios[f"{name}_over_first"] = share
    report.goals["last_page_over_first"] = Goal(report.ratios["last_page_over_first"], FLAT_LIMIT)
    report.notes += [
        "Ratios: stock Flask-Admin 2.2.1's p50 over payadmin's, unless the name says otherwise.",
        "Both lists: test client, 50 rows, 8 columns, live payments newest first, the same indexes, one process.",
        "stock searches transaction ID, invoice number and e-mail, with its own operators for “is” and “begins with”.",
    ]
    with stock.app_context():
        db.engine.dispose()


def cases(app: Flask, rows: int, equals: str) -> Iterator[Case]:
    """What is asked of both."""
    live = Payment.mode == Mode.LIVE
    count = db.session.scalar(select(func.count()).select_from(Payment).where(live)) or 0
    middle = rows // 2 // lists.SIZE
    shape = app.extensions[PAGE_OF][Payment].shape
    before = db.session.execute(
        select(Payment.id, Payment.created_at)
        .where(live)
        .order_by(Payment.created_at.desc(), Payment.id.desc())
        .offset(middle * lists.SIZE - 1)
        .limit(1)
    ).one()
    someone = select(Customer.email).join(Payment, Payment.customer_id == Customer.id).where(live)
    email = db.session.scalar(someone.where(Payment.transaction_id >= transaction_id(rows // 3)).limit(1))
    wanted = db.session.scalar(select(Payment.transaction_id).where(live, Payment.id >= rows // 2).limit(1))
    db.session.rollback()
    assert wanted is not None
    after = lists.encode(before, shape.default_sort, shape)
    last = (count - 1) // lists.SIZE
    asked: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("first_page", {}, {}),
        ("page_at_middle", {"after": after}, {"page": middle}),
        ("last_page", {"last": 1}, {"page": last}),
        ("status_filter", {"status": PaymentStatus.FAILED.name}, {equals: PaymentStatus.FAILED.name}),
        ("exact_id_search", {"search": wanted}, {"search": f"={wanted}"}),
        ("prefix_search", {"search": wanted[:-2]}, {"search": f"^{wanted[:-2]}"}),
        ("email_search", {"search": email}, {"search": f"={email}"}),
    )
    for name, ours, theirs in asked:
        yield Case(name, f"{ADDRESS}?{urlencode(ours)}", f"/admin/payment/?{urlencode(theirs)}")


def ask(
    client: Any, address: str, engine: Engine, *, most: int, before: Callable[[str, None], Any] | None = None
) -> Timing:
    """Time one address: a warm-up, then repeats, fewer where one takes seconds.

    Args:
        before: called before each repeat to forget what the application remembers.
    """
    timing = Timing([], [], "", 0)
    with counted(engine) as statements:
        for repeat in range(most + 1):
            if before is not None:
                before("payadmin.tab_counts", None)
            statements.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            answer = client.get(address)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            assert answer.status_code == 200, f"{address} answered {answer.status_code}"
            if repeat or wall > SLOW_SECONDS:  # a warm-up that takes seconds warms nothing worth knowing
                timing.seconds.append(wall)
                timing.cpu.append(cpu)
            if sum(timing.seconds) > 3 * SLOW_SECONDS:
                break
        timing.body, timing.queries = answer.text, len(statements)
    return timing


def over_first(client: Any, addresses: Mapping[str, str]) -> dict[str, float]:
    """What the middle and the last page cost over the first: asked in turns, so that other work slows all alike.

    The fastest answers are compared: other work on the machine only ever adds.
    """
    names = ("first_page", "page_at_middle", "last_page")
    best = dict.fromkeys(names, float("inf"))
    for _ in range(2 * REPEATS):
        for name in names:
            start = time.perf_counter()
            assert client.get(addresses[name]).status_code == 200
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: shorter(best[name] / best["first_page"]) for name in names[1:]}


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that `engine` executes, without the transaction's own."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def check(case: Case, ours: Timing, stock: Timing) -> None:
    """A time counts only for the right answer: both show the same payments.

    Stock's order has no tie-breaker, so payments of the same second may fall on either side of a page's end; its last
    page is a part of ours, which is full.
    """
    assert ours.shown, f"{case.name}: payadmin shows nothing"
    assert stock.shown, f"{case.name}: stock shows nothing"
    common = len(ours.shown & stock.shown)
    assert common >= 0.8 * min(len(ours.shown), len(stock.shown)), f"{case.name}: {common} payments in common"
