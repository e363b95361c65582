"""The dashboards from rollups beside the plain GROUP BY of the same payments; and what keeping rollups costs."""

import datetime as dt
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import Engine, func, insert, select, text, update

from payadmin import create_app
from payadmin.actions import reporting
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.jobs.reporting import compare, rebuild
from payadmin.kernel.lengths import Length
from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.models.reporting import TRIGGERS, PaymentChange, Period
from payadmin.permissions import Role
from payadmin.queries.billing import Frame
from payadmin.queries.reporting import Span, moments
from payadmin.work import SYSTEM
from tests.bench import history
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.list import ask, bench_settings
from tests.support.signin import sign_in

PAGE_LIMIT, YEAR_LIMIT, UPKEEP_LIMIT = 1.0, 3.0, 1.1
MONTH_LIMIT = 3.0
REPEATS, ROUNDS = 9, 9
# What the page says, asked plainly.
CHARTS = ("daily", "status", "by-method", "by-channel")
QUESTIONS = ("day", "status", "method", "channel")


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Payments.")
@click.option("--writes", default=400, show_default=True, help="Payments of each round of writing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, writes: int, as_json: bool, kind: str) -> None:
    """Server time of Analytics from rollups and of the raw GROUP BY, and the cost of upkeep for each payment."""
    say = Say()
    say("starting")
    report = Report("analytics", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        history.build(url, rows, say)
        settings = bench_settings(url, Path(folder))
        app = create_app(settings)
        with app.app_context():
            build(report, settings, say)
            pages(report, app, settings, say)
            upkeep(report, settings, writes, say)
            prove(report, settings, say)
            db.session.remove()
            db.engine.dispose()
    report.notes += [
        "Pages: the whole answer by test client, charts' tables included; raw: plain GROUP BYs of the same days.",
        "Payments are those of 24 months; a year is half of them.",
        f"Upkeep: a payment made, then paid, each durably: the quietest of {ROUNDS} rounds of {writes}.",
        "Folding is what the scheduler does for it afterwards.",
    ]
    report.show(as_json=as_json)


def build(report: Report, settings: Settings, say: Say) -> None:
    """Count every day from the payments; what the triggers noted meanwhile is not needed."""
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(text("DELETE FROM payment_change" if _is_sqlite() else "TRUNCATE payment_change"))
    began = time.monotonic()
    days = rebuild(settings.zone, afresh=True, step=lambda _done, _total: None)
    report.figures["rebuild"] = {"days": days, "seconds": shorter(time.monotonic() - began)}
    with db.engine.connect().execution_options(**({} if _is_sqlite() else {"isolation_level": "AUTOCOMMIT"})) as conn:
        conn.exec_driver_sql(
            "ANALYZE payment_day" if _is_sqlite() else "VACUUM ANALYZE payment_day, payment_change, billing_period"
        )
    say(f"rebuilt {days} days in {report.figures['rebuild']['seconds']} s")


def pages(report: Report, app: Flask, settings: Settings, say: Say) -> None:
    """Time the page for a week, a month, a quarter and a year, each beside plain SQL."""
    client = sign_in(app, Role.ADMIN)
    db.session.remove()
    today = utcnow().astimezone(settings.zone).date()
    for name, days in (("week", 7), ("month", 30), ("quarter", 90), ("year", 365)):
        first = today - dt.timedelta(days=days - 1)
        address = f"/analytics/?range=custom&from={first}&to={today}&unit=EUR"
        timing = ask(client, address, db.engine, most=REPEATS)
        raw = _raw(settings, first, today)
        report.figures[name] = timing.figures() | {"raw_ms": shorter(raw * 1000)}
        report.ratios[f"{name}_over_raw"] = shorter(timing.p50_ms / (raw * 1000))
        say(f"{name}: {timing.p50_ms} ms, raw {raw * 1000:.0f} ms")
    for name in CHARTS:
        address = (
            f"/charts/analytics/{name}.json?range=custom&from={today - dt.timedelta(days=364)}&to={today}&unit=EUR"
        )
        timing = ask(client, address, db.engine, most=REPEATS)
        report.figures[f"chart_{name}"] = timing.figures()
    billing(report, client, settings, say)
    operational(report, client, settings, say)
    week, year = report.figures["week"]["p50_ms"], report.figures["year"]["p50_ms"]
    report.ratios["year_over_week"] = shorter(year / week)
    report.goals["year_over_raw"] = Goal(report.ratios["year_over_raw"], PAGE_LIMIT)
    report.goals["year_over_week"] = Goal(report.ratios["year_over_week"], YEAR_LIMIT)


def billing(report: Report, client: Any, settings: Settings, say: Say) -> None:
    """Time the Billing dashboard for a whole week and a whole month, each beside plain SQL of the same days."""
    today = utcnow().astimezone(settings.zone).date()
    for period in Period:
        frame = Frame.of(period, today).before
        name = period.name.lower()
        timing = ask(client, f"/billing/dashboard/?period={name}&day={frame.first}&unit=EUR", db.engine, most=REPEATS)
        raw = _raw_billing(settings, frame)
        report.figures[f"billing_{name}"] = timing.figures() | {"raw_ms": shorter(raw * 1000)}
        report.ratios[f"billing_{name}_over_raw"] = shorter(timing.p50_ms / (raw * 1000))
        say(f"billing {name}: {timing.p50_ms} ms, raw {raw * 1000:.0f} ms")
    week, month = (report.figures[f"billing_{name}"]["p50_ms"] for name in ("week", "month"))
    report.ratios["billing_month_over_week"] = shorter(month / week)
    report.goals["billing_month_over_week"] = Goal(report.ratios["billing_month_over_week"], MONTH_LIMIT)


def _raw_billing(settings: Settings, frame: Frame) -> float:
    """Seconds of the plain questions about a week or month, and about the one before for what is compared."""
    seconds = 0.0
    for one, questions in ((frame, ("status", "type", "failure_message", "card_issuer")), (frame.before, ("status",))):
        start, end = moments(settings.zone, one.span)
        part = (Payment.mode == Mode.LIVE, Payment.unit == "EUR", Payment.created_at >= start, Payment.created_at < end)
        asked: list[Any] = [select(func.count(Payment.billing_number.distinct())).where(*part)]
        for question in questions:
            column = getattr(Payment, question)
            asked.append(select(column, func.count(), func.sum(Payment.captured_minor)).where(*part).group_by(column))
        for each in asked:
            db.session.rollback()
            began = time.perf_counter()
            db.session.execute(each).all()
            seconds += time.perf_counter() - began
    db.session.rollback()
    return seconds


def operational(report: Report, client: Any, settings: Settings, say: Say) -> None:
    """Time the operational report of months and of years, each beside one plain question for each period."""
    today = utcnow().astimezone(settings.zone).date()
    for length, before in ((Length.MONTH, 6), (Length.YEAR, 1)):
        name = length.name.lower()
        address = f"/operational-report/?period={name}&current={today}&periods={before}&unit=EUR"
        timing = ask(client, address, db.engine, most=REPEATS)
        raw, first = 0.0, length.first(today)
        for _place in range(before + 1):
            start, end = moments(settings.zone, Span(first, length.last(first)))
            days = (Payment.created_at >= start, Payment.created_at < end)
            sums = (func.count(), func.sum(Payment.captured_minor), func.sum(Payment.refunded_minor))
            asked = select(Payment.status, *sums).where(Payment.mode == Mode.LIVE, Payment.unit == "EUR", *days)
            db.session.rollback()
            began = time.perf_counter()
            db.session.execute(asked.group_by(Payment.status)).all()
            raw += time.perf_counter() - began
            first = length.before(first)
        db.session.rollback()
        report.figures[f"operational_{name}"] = timing.figures() | {"raw_ms": shorter(raw * 1000)}
        report.ratios[f"operational_{name}_over_raw"] = shorter(timing.p50_ms / (raw * 1000))
        say(f"operational report of {before + 1} {name}s: {timing.p50_ms} ms, raw {raw * 1000:.0f} ms")


def _raw(settings: Settings, first: dt.date, last: dt.date) -> float:
    """Seconds of the plain questions: the same days and as many before, as somebody would write them by hand."""
    start = dt.datetime.combine(first, dt.time(), settings.zone).astimezone(dt.UTC)
    end = dt.datetime.combine(last + dt.timedelta(days=1), dt.time(), settings.zone).astimezone(dt.UTC)
    day: Any = (
        func.business_day(Payment.created_at, settings.zone.key)
        if _is_sqlite()
        else func.date_trunc("day", func.timezone(settings.zone.key, Payment.created_at))
    )
    part = (
        select(
            day.label("day"),
            Payment.status,
            Payment.method,
            Payment.channel,
            Payment.captured_minor,
            Payment.refunded_minor,
        )
        .where(Payment.mode == Mode.LIVE, Payment.unit == "EUR", Payment.created_at >= start, Payment.created_at < end)
        .subquery()
    )
    sums = (func.count(), func.sum(part.c.captured_minor), func.sum(part.c.refunded_minor))
    seconds = 0.0
    for question in QUESTIONS:
        db.session.rollback()
        began = time.perf_counter()
        db.session.execute(select(part.c[question], *sums).group_by(part.c[question])).all()
        seconds += time.perf_counter() - began
    db.session.rollback()
    return seconds


# ---- upkeep ----------------------------------------------------------------------------------------------------------


def upkeep(report: Report, settings: Settings, writes: int, say: Say) -> None:
    """Time payments that are made and paid, with the triggers and without, in turns."""
    names = [column.name for column in Payment.__table__.columns if column.name not in {"id", "provider_payment_id"}]
    kept = db.session.execute(select(*(Payment.__table__.c[name] for name in names)).limit(1)).mappings().one()
    db.session.remove()
    values = dict(kept) | {
        "status": PaymentStatus.CREATED,
        "captured_minor": 0,
        "refunded_minor": 0,
        "reserved_minor": 0,
    }
    found: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(ROUNDS):
        for on in (True, False) if turn % 2 else (False, True):
            _switch(db.engine, on=on)
            found[on].append(_write(values, f"W-{turn}-{int(on)}", writes))
    _switch(db.engine, on=True)
    rebuild(settings.zone, afresh=True, step=lambda _done, _total: None)  # what was written without them
    # The quietest round of each: what else the machine does is nobody's upkeep.
    off, on = (min(found[key]) * 1e6 for key in (False, True))
    pending = db.session.scalar(select(func.count()).select_from(PaymentChange)) or 0
    db.session.remove()
    began = time.perf_counter()
    folded = 0
    while some := reporting.fold_changes(SYSTEM, zone=settings.zone):
        folded += some
    fold = (time.perf_counter() - began) * 1e6 / max(folded, 1)
    report.figures["write"] = {
        "without_us": shorter(off), "with_us": shorter(on), "fold_us_per_change": shorter(fold),
        "folded": folded, "pending": pending,
    }  # fmt: skip
    report.ratios["write_with_over_without"] = shorter(on / off)
    # A payment that is made and paid is three changes: one more, one less, one more.
    report.ratios["write_and_fold_over_without"] = shorter((on + 3 * fold) / off)
    report.goals["write_with_over_without"] = Goal(report.ratios["write_with_over_without"], UPKEEP_LIMIT)
    say(f"writes: {report.figures['write']}")


def _write(values: dict[str, Any], prefix: str, writes: int) -> float:
    """Seconds of one payment that is made and then paid, each in a transaction of its own: the median of several."""
    table: Any = Payment.__table__
    took = []
    with db.engine.connect().execution_options(immediate=True) as connection:
        for number in range(writes):
            made = insert(table).values(values | {"transaction_id": f"{prefix}-{number}", "created_at": utcnow()})
            began = time.perf_counter()
            with connection.begin():
                row_id = connection.execute(made).inserted_primary_key[0]
            paid = update(table).where(table.c.id == row_id, table.c.status == PaymentStatus.CREATED)
            with connection.begin():
                connection.execute(paid.values(status=PaymentStatus.PAID, captured_minor=values["amount_minor"]))
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def _switch(engine: Engine, *, on: bool) -> None:
    """Switch the triggers."""
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        if not _is_sqlite():
            for name in ("payment_added", "payment_changed"):
                connection.execute(text(f"ALTER TABLE payment {'ENABLE' if on else 'DISABLE'} TRIGGER {name}"))
            return
        for name in ("payment_added", "payment_changed", "payment_deleted"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        for statement in TRIGGERS["sqlite"] if on else ():
            connection.exec_driver_sql(statement)


def prove(report: Report, settings: Settings, say: Say) -> None:
    """Compare every day with the payments: figures that are fast and wrong are worth nothing."""
    db.session.remove()
    days, wrong = compare(settings.zone, step=lambda _done, _total: None)
    report.figures["compared"] = {"days": days, "differences": len(wrong)}
    report.goals["differences"] = Goal(len(wrong), 0)
    say(f"compared {days} days: {len(wrong)} differences")


def _is_sqlite() -> bool:
    return db.engine.dialect.name == "sqlite"
