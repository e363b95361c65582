"""Recurring charges: due charges a second by real workers beside the bare limit and RQ itself, and planning in bulk."""

import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import click
from flask import Flask
from rq import Queue
from rq.registry import FinishedJobRegistry
from sqlalchemy import Connection, Engine, func, insert, select, text

from payadmin import create_worker_app
from payadmin.config import Settings
from payadmin.db import make_engine, utcnow
from payadmin.jobs.runner import ring_queue
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind, dates
from payadmin.migrations import upgrade
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import PaymentMethod, Unit
from payadmin.models.subscriptions import (
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    schedule_values,
)
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.list import bench_settings
from tests.support.simulator import Simulator
from tests.support.workers import Valkey, WorkerProcess, until, valkey

ROOT = Path(__file__).resolve().parents[2]
PROVIDER_SECONDS = 0.05
CREWS = (1, 2)
BARE_OVER_OURS = 2.0
RQ_JOBS = 200
NOTHING = "operator.truth"
AT_ONCE = 2_000
START_SECONDS, PATIENCE = 60, 600


@click.command()
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(min=100), help="Subscriptions to plan.")
@click.option("--charges", default=3_000, show_default=True, type=click.IntRange(min=10), help="Due charges of a run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, charges: int, as_json: bool, kind: str) -> None:
    """Plan every subscription for 60 days, then charge what is due with one and with two worker processes."""
    say = Say()
    say("starting")
    report = Report("recurring", rows, kind)
    with database_of(kind) as url, valkey() as redis, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        upgrade(url)
        with Simulator(latency_s=PROVIDER_SECONDS) as provider:
            settings = replace(bench_settings(url, Path(folder)), redis_url=redis.url, simulator_url=provider.url)
            measure(report, settings, redis, rows, charges, say)
    report.show(as_json=as_json)


def measure(report: Report, settings: Settings, redis: Valkey, rows: int, charges: int, say: Say) -> None:
    """Plan, then let each crew charge the same number of due dates; write down what it took."""
    engine = make_engine(settings.database_url)
    expected = fill(engine, rows)
    say(f"{rows:,} subscriptions, {expected:,} dates to plan; tables and statistics as in daily use")
    report.figures["planning"] = plan(settings, rows, expected)
    say(f"planned: {report.figures['planning']}")
    app = create_worker_app(settings)
    for crew in CREWS:
        threads = crew * settings.worker_threads
        bare = shorter(bare_rate(settings, crew, charges))
        say(f"bare provider call and insert, {threads} threads: {bare} a second")
        ours = shorter(our_rate(app, engine, redis, crew, charges))
        say(f"payadmin, {crew} worker(s), {threads} threads: {ours} a second")
        empty = shorter(rq_rate(redis, crew))
        say(f"RQ's empty jobs, {crew} worker(s): {empty} a second")
        name = f"{crew}_worker" + "s" * (crew > 1)
        report.figures[name] = {
            "threads": threads, "charges": charges, "charges_a_second": ours, "bare_a_second": bare,
            "rq_empty_jobs_a_second": empty,
        }  # fmt: skip
        report.ratios[f"{name}_over_rq_empty_jobs"] = shorter(ours / empty)
        report.ratios[f"{name}_of_bare"] = shorter(ours / bare)
        report.goals[f"bare_over_{name}"] = Goal(shorter(bare / ours), BARE_OVER_OURS)
    engine.dispose()
    report.notes += [
        f"The provider's simulator answers in {PROVIDER_SECONDS * 1_000:.0f} ms, in a process of its own.",
        "The clock starts when the charges are planned, and stops when the last one is booked with payment and trail.",
        "Bare: as many processes and threads, each with its own connections: the call, then one insert and commit.",
        "RQ's empty jobs: stock `rq worker` on the same Valkey, a fork for each job.",
        "Memory of planning: the most that its process ever held, and the same process before it planned.",
    ]


# ---- planning --------------------------------------------------------------------------------------------------------


def rules(tomorrow: dt.date) -> list[Schedule]:
    """Ten schedules: seven monthly, two weekly, one every fortnight; nothing falls due before tomorrow."""
    monthly = [Schedule(ScheduleKind.DATE, days=(day,), months=ALL_MONTHS) for day in (1, 5, 10, 15, 20, 25, 28)]
    weekly = [Schedule(ScheduleKind.DAY, weekdays=(day,), months=ALL_MONTHS) for day in (1, 5)]
    fortnight = Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=14, anchor=tomorrow)
    return [*monthly, *weekly, fortnight]


def fill(engine: Engine, rows: int) -> int:
    """Write `rows` subscriptions that are not planned yet; how many dates their plans will have."""
    today = utcnow().date()
    tomorrow = today + dt.timedelta(days=1)
    schedules = rules(tomorrow)
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(insert(Unit), [{"code": "EUR", "name": "Euro", "scale": 2}])
        connection.execute(insert(PaymentMethod), [{"code": "card", "name": "Card"}])
        connection.execute(insert(Organization), [{"id": 1, "name": "Merchant", "kind": OrganizationKind.MERCHANT}])
        connection.execute(insert(Customer), [{"id": 1, "external_id": "C-1", "name": "Customer"}])
        columns = [schedule_values(schedule) for schedule in schedules]
        for first in range(0, rows, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, rows))
            made = [subscription(f"P-{number:07}", tomorrow, **columns[number % len(columns)]) for number in numbers]
            connection.execute(insert(Subscription), made)
    learn(engine)
    horizon = today + dt.timedelta(days=60)
    each = [len(dates(schedule, tomorrow, horizon)) for schedule in schedules]
    return sum(each[number % len(each)] for number in range(rows))


def subscription(name: str, start: dt.date, **values: Any) -> dict[str, Any]:
    return {
        "subscription_id": name, "billing_number": name, "status": SubscriptionStatus.ACTIVE, "customer_id": 1,
        "merchant_id": 1, "amount_minor": 10_00, "unit": "EUR", "method": "card", "provider": "simulator",
        "card_token": "tok_visa", "start_date": start, **values,
    }  # fmt: skip


def learn(engine: Engine) -> None:
    """Statistics as autovacuum and the scheduler keep them."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def plan(settings: Settings, rows: int, expected: int) -> dict[str, Any]:
    """Plan everything in a process of its own, and check that planning again would add nothing."""
    with child("plan", settings.database_url) as process:
        told = answer(process)
    assert (told["subscriptions"], told["dates"]) == (rows, expected), f"planned {told}, expected {expected:,} dates"
    assert told["again"] == 0, "planning again added dates"
    return {
        "subscriptions": rows, "dates": expected, "seconds": shorter(told["seconds"]),
        "peak_mb": shorter(told["peak_mb"]), "idle_mb": shorter(told["idle_mb"]),
    }  # fmt: skip


# ---- charging --------------------------------------------------------------------------------------------------------


def our_rate(app: Flask, engine: Engine, redis: Valkey, crew: int, charges: int) -> float:
    """Charges a second, from the ring to the last booking."""
    redis.client.flushall()
    fall_due(engine, f"W{crew}", charges)
    learn(engine)
    before = succeeded(engine)
    with ExitStack() as stack:
        for _ in range(crew):
            stack.callback(WorkerProcess(app).end)
        until(lambda: redis.client.scard("rq:workers") == crew, seconds=START_SECONDS, what="the workers' start")
        start = time.monotonic()
        for _ in range(crew):
            ring_queue(redis.client)
        until(lambda: succeeded(engine) == before + charges, seconds=PATIENCE, what="the last charge")
        return charges / (time.monotonic() - start)


def fall_due(engine: Engine, name: str, charges: int) -> None:
    """Planned charges of today, each of a subscription of its own."""
    today, now = utcnow().date(), utcnow()
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        first = (connection.scalar(select(func.max(Subscription.id))) or 0) + 1
        made = [{"id": first + nth} | subscription(f"{name}-{nth:07}", today) for nth in range(charges)]
        due = [
            {
                "subscription_id": row["id"], "due_date": today, "invoice_number": f"{name}-{row['id']}",
                "status": ChargeStatus.SCHEDULED, "amount_minor": 10_00, "unit": "EUR", "created_at": now,
                "updated_at": now,
            }
            for row in made
        ]  # fmt: skip
        connection.execute(insert(Subscription), made)
        connection.execute(insert(ScheduledCharge), due)


def succeeded(engine: Engine) -> int:
    def count(connection: Connection) -> int:
        found = select(func.count()).where(ScheduledCharge.status == ChargeStatus.SUCCEEDED)
        return connection.scalar(found) or 0

    with engine.connect() as connection:
        return count(connection)


def bare_rate(settings: Settings, crew: int, charges: int) -> float:
    """Calls and inserts a second by as many processes and threads that do nothing else."""
    share = charges // crew
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                child(
                    "bare", settings.database_url, settings.simulator_url, str(settings.worker_threads), str(share),
                    f"bare{crew}-{number}",
                )
            )
            for number in range(crew)
        ]  # fmt: skip
        for process in processes:
            assert answer(process)["ready"]
        start = time.monotonic()
        for process in processes:
            stdin_of(process).write("go\n")
            stdin_of(process).flush()
        done = sum(answer(process)["done"] for process in processes)
        assert done == share * crew
        return done / (time.monotonic() - start)


def rq_rate(redis: Valkey, crew: int) -> float:
    """Empty jobs a second of RQ's own worker, from the first start to the last end."""
    redis.client.flushall()
    queue = Queue("empty", connection=redis.client)
    for _ in range(RQ_JOBS):
        queue.enqueue(NOTHING, 0, result_ttl=600)
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--quiet", "--url", redis.url, "empty"]
    workers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(crew)]
    for worker in workers:
        assert worker.wait(PATIENCE) == 0
    jobs = [queue.fetch_job(job_id) for job_id in FinishedJobRegistry(queue=queue).get_job_ids()]
    starts = [job.started_at for job in jobs if job and job.started_at]
    ends = [job.ended_at for job in jobs if job and job.ended_at]
    assert len(ends) == RQ_JOBS, f"{len(ends)} of {RQ_JOBS} empty jobs ended"
    return RQ_JOBS / (max(ends) - min(starts)).total_seconds()


# ---- children --------------------------------------------------------------------------------------------------------


@contextmanager
def child(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.bench.recurring_child", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stdin_of(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdin is not None
    return process.stdin


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line that a child says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the child process failed"
    said: dict[str, Any] = json.loads(line)
    return said
