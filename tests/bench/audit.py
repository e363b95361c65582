"""The audit trail: what it costs to be audited and sealed, beside no trail and a chained one; and finding in it."""

import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import Engine, func, select, text

from payadmin import create_app
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.db import db, make_engine
from payadmin.jobs.audit import keep_seals
from payadmin.kernel.seals import seal_keys
from payadmin.migrations import upgrade
from payadmin.models.audit import APPEND_ONLY, AuditEvent
from payadmin.models.outbox import OutboxMessage, OutboxState
from payadmin.permissions import Permission, Role
from payadmin.queries.audit import Progress, Verification
from payadmin.work import SYSTEM, Work, use_case
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.list import ask, bench_settings
from tests.support.signin import sign_in

WRITERS, ROUNDS = 4, 5
# A search is written into the trail before it is answered; the first page, without a question, is not.
SEALED_LIMIT, FIND_LIMIT, LAST_LIMIT = 1.25, 5.0, 2.0
REPEATS = 15
ADDRESS = "/user-actions/"
_CHAIN = 99


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Events to search.")
@click.option("--seconds", default=2.0, show_default=True, help="How long each way of writing is tried, five times.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, seconds: float, as_json: bool, kind: str) -> None:
    """Acts a second without a trail, with it, sealed, and chained; then searches among many events."""
    say = Say()
    say("starting")
    report = Report("audit", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        upgrade(url)
        settings = bench_settings(url, Path(folder))
        app = create_app(settings)
        with app.app_context():
            write(report, app, settings, seconds, say)
            prove(report, settings, say)
            fill(db.engine, rows, say)
            find(report, app, say)
            db.engine.dispose()
    report.notes += [
        f"Writing: {WRITERS} threads, each act a use case of its own in one transaction; medians of {ROUNDS} rounds.",
        "sealed: the sealer runs in a process of its own meanwhile. chained: each act waits for the one before it.",
        "Finding: 50 rows a page by test client; ratios are to the first page of the same list.",
    ]
    report.show(as_json=as_json)


# ---- writing ---------------------------------------------------------------------------------------------------------


def _act(work: Work, *, audited: bool, chained: bool) -> None:
    message = work.add(OutboxMessage(job="bench", args={"n": 1}, state=OutboxState.DONE))
    if chained and work.session.get_bind().dialect.name == "postgresql":
        work.session.execute(select(func.pg_advisory_xact_lock(_CHAIN)))
        work.session.scalar(select(AuditEvent.signature).order_by(AuditEvent.id.desc()).limit(1))
    if audited:
        work.record(
            Event.RECORD_UPDATED, message, before={"failures": 1, "error": "none"}, after={"failures": 2, "error": "x"},
            reason="because", invoice_number=f"INV-{message.id}", customer_id=message.id,
            transaction_id=f"T-{message.id}",
        )  # fmt: skip


def write(report: Report, app: Flask, settings: Settings, seconds: float, say: Say) -> None:
    """Acts a second of each way, in turns."""
    plain = use_case(Permission.SYSTEM_JOB_RUN)(_act)
    ways: dict[str, Callable[[], Any]] = {
        "none": lambda: plain(SYSTEM, audited=False, chained=False),
        "audited": lambda: plain(SYSTEM, audited=True, chained=False),
        "sealed": lambda: plain(SYSTEM, audited=True, chained=False),
        "chained": lambda: plain(SYSTEM, audited=True, chained=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            sealer = _sealer(settings) if name == "sealed" else None
            rates[name].append(_rate(app, way, seconds))
            if sealer is not None:
                sealer.terminate()
                sealer.join()
    for name, found in rates.items():
        report.figures[f"{name}_per_second"] = shorter(statistics.median(found))
        say(f"{name}: {report.figures[f'{name}_per_second']} acts a second")
    figure = report.figures
    report.ratios["none_over_audited"] = shorter(figure["none_per_second"] / figure["audited_per_second"])
    report.ratios["audited_over_sealed"] = shorter(figure["audited_per_second"] / figure["sealed_per_second"])
    report.ratios["audited_over_chained"] = shorter(figure["audited_per_second"] / figure["chained_per_second"])
    report.goals["audited_over_sealed"] = Goal(report.ratios["audited_over_sealed"], SEALED_LIMIT)


def _rate(app: Flask, way: Callable[[], Any], seconds: float) -> float:
    done: list[int] = []
    end = time.monotonic() + seconds

    def writer() -> None:
        number = 0
        with app.app_context():
            while time.monotonic() < end:
                way()
                number += 1
            db.session.remove()
        done.append(number)

    db.session.remove()
    crew = [threading.Thread(target=writer) for _ in range(WRITERS)]
    began = time.monotonic()
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    return sum(done) / (time.monotonic() - began)


def _sealer(settings: Settings) -> Any:
    ready = multiprocessing.get_context("spawn").Event()
    process = multiprocessing.get_context("spawn").Process(target=_seal, args=(settings, ready), daemon=True)
    process.start()
    ready.wait(60)
    return process


def _seal(settings: Settings, ready: Any) -> None:
    from payadmin import create_worker_app
    from payadmin.models import load_models

    load_models()
    app = create_worker_app(settings)
    with app.app_context():
        while True:
            keep_seals(settings)
            db.session.remove()
            ready.set()
            time.sleep(0.5)


def prove(report: Report, settings: Settings, say: Say) -> None:
    """Seal the rest, and verify all of it."""
    db.session.remove()
    while keep_seals(settings):
        pass
    walk = Verification(db.session(), seal_keys(settings.totp_keys), Progress())
    began = time.monotonic()
    walk.run()
    report.figures["verified_per_second"] = shorter(walk.progress.events / (time.monotonic() - began))
    total = db.session.scalar(select(func.count()).select_from(AuditEvent)) or 0
    report.figures["events"] = {"written": total, "sealed": walk.progress.events, "broken": walk.progress.broken}
    report.goals["not_sealed_or_broken"] = Goal(total - walk.progress.events + walk.progress.broken, 0)
    db.session.remove()
    say(f"verified: {report.figures['events']}")


# ---- finding ---------------------------------------------------------------------------------------------------------

_EVENTS = """
INSERT INTO audit_event (at, actor_id, actor_name, roles, event, outcome, entity, entity_id, keys)
SELECT {at}, CASE WHEN n % 5 = 0 THEN n % 40 END, CASE WHEN n % 5 = 0 THEN 'user' || (n % 40) ELSE 'system' END, '',
  CASE n % 4 WHEN 0 THEN 'payments.refund.requested' WHEN 1 THEN 'subscriptions.charge.succeeded'
  WHEN 2 THEN 'subscriptions.charges.planned' ELSE CASE WHEN n % 997 = 0 THEN 'access.staff.locked'
  ELSE 'payments.notification.sent' END END,
  CASE WHEN n % 211 = 0 THEN 'refused' ELSE 'done' END, 'payment', CAST(n / 4 AS TEXT),
  NULL FROM {numbers}
"""
_KEYS = """
INSERT INTO audit_key (value, event_id, name)
SELECT 'INV-' || {padded}, id, 'invoice_number' FROM audit_event WHERE id > {after}
"""


def fill(engine: Engine, rows: int, say: Say) -> None:
    """Write many events of two years, as bulk as the database can; what triggers would write is written beside."""
    fast = make_engine(engine.url.render_as_string(hide_password=False))
    is_sqlite = fast.dialect.name == "sqlite"
    with fast.connect().execution_options(immediate=True) as connection, connection.begin():
        after = connection.scalar(text("SELECT coalesce(max(id), 0) FROM audit_event"))
        at = (
            "strftime('%Y-%m-%d %H:%M:%S.000000', 'now', '-' || ((:rows - n) * 63072000.0 / :rows) || ' seconds')"
            if is_sqlite
            else "now() - make_interval(secs => (:rows - n) * 63072000.0 / :rows)"
        )
        numbers = (
            "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :rows) SELECT n FROM c)"
            if is_sqlite
            else "generate_series(1, :rows) AS n"
        )
        connection.execute(text("DROP TRIGGER audit_event_fill_keys" + ("" if is_sqlite else " ON audit_event")))
        connection.execute(text(_EVENTS.format(at=at, numbers=numbers)), {"rows": rows})
        say(f"{rows:,} events")
        padded = "substr('00000000' || (id / 4), -8)" if is_sqlite else "lpad(CAST(id / 4 AS TEXT), 8, '0')"
        connection.execute(text(_KEYS.format(padded=padded, after=int(after or 0))))
    with fast.connect().execution_options(**({} if is_sqlite else {"isolation_level": "AUTOCOMMIT"})) as connection:
        for table in APPEND_ONLY:
            connection.exec_driver_sql(f"ANALYZE {table}" if is_sqlite else f"VACUUM ANALYZE {table}")
    fast.dispose()
    say("keys and statistics")


def find(report: Report, app: Flask, say: Say) -> None:
    """Ask the list of user actions everything."""
    client = sign_in(app, Role.ADMIN)
    middle = db.session.scalar(select(func.max(AuditEvent.id))) or 0
    place = f"INV-{middle // 8:08}"
    db.session.remove()
    day = db.session.scalar(select(AuditEvent.at).where(AuditEvent.id == middle // 2))
    db.session.remove()
    asked = {
        "first_page": "",
        "last_page": "?last=1",
        "user": "?actor_name=user5",
        "system": "?actor_name=system",
        "frequent_activity": "?event=payments.refund.requested",
        "rare_activity": "?event=access.staff.locked",
        "data": f"?data={place}",
        "data_beginning": f"?data={place[:-2]}*",
        "record": f"?record=payment:{middle // 8}",
        "refused": "?outcome=refused",
        "day": f"?date={day:%Y-%m-%d}" if day else "",
        "user_and_activity": "?actor_name=user20&event=payments.refund.requested",
        "search": f"?search={place}",
    }
    for name, query in asked.items():
        timing = ask(client, f"{ADDRESS}{query}", db.engine, most=REPEATS)
        report.figures[name] = timing.figures()
        say(f"{name}: {timing.p50_ms} ms, {timing.queries} questions")
    first = report.figures["first_page"]["p50_ms"]
    for name in list(asked)[1:]:
        report.ratios[f"{name}_over_first"] = shorter(report.figures[name]["p50_ms"] / first)
    report.goals["last_page_over_first"] = Goal(report.ratios["last_page_over_first"], LAST_LIMIT)
    slowest = max(ratio for name, ratio in report.ratios.items() if name.endswith("_over_first"))
    report.goals["slowest_search_over_first"] = Goal(slowest, FIND_LIMIT)
