"""A process of the recurring benchmark: it plans everything (`plan`), or only calls and inserts (`bare`)."""

import http.client
import itertools
import json
import re
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from payadmin.db import db, make_engine

TABLE = "CREATE TABLE IF NOT EXISTS bare_charge (reference VARCHAR(64) PRIMARY KEY, provider_id VARCHAR(64), body TEXT)"
INSERT = "INSERT INTO bare_charge (reference, provider_id, body) VALUES (%s, %s, %s)"


def say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def peak_mb() -> float:
    """The most memory that this process ever held (`ru_maxrss` would count what its parent held before the fork)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def plan(url: str) -> None:
    """Plan every subscription as a scheduler's tick does, and once more."""
    from sqlalchemy import func, select

    from payadmin import create_worker_app
    from payadmin.jobs.subscriptions import keep_plans
    from payadmin.models.subscriptions import ScheduledCharge, Subscription
    from tests.bench.list import bench_settings

    settings = bench_settings(url, Path("/nonexistent"))
    with create_worker_app(settings).app_context():
        count, idle = select(func.count()).select_from(ScheduledCharge), peak_mb()
        start = time.monotonic()
        keep_plans(settings.zone)
        seconds, peak = time.monotonic() - start, peak_mb()
        dates = db.session.scalar(count) or 0
        planned = db.session.scalar(select(func.count()).where(Subscription.planned_until.is_not(None)))
        keep_plans(settings.zone)
        again = (db.session.scalar(count) or 0) - dates
    say(subscriptions=planned, dates=dates, again=again, seconds=seconds, peak_mb=peak, idle_mb=idle)


def bare(url: str, provider: str, threads: int, charges: int, name: str) -> None:
    """Make `charges` calls by `threads` threads, each followed by one insert and one commit."""
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
    numbers, done = itertools.count(), itertools.count()
    sqlite = engine.dialect.name == "sqlite"
    # SQLite has one writer: waiting in line here is faster than being sent away and trying again.
    writer: AbstractContextManager[Any] = threading.Lock() if sqlite else nullcontext()
    statement = INSERT.replace("%s", "?") if sqlite else INSERT
    start = threading.Barrier(threads + 1)

    def run() -> None:
        address = urlsplit(provider)
        calls = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        connection = engine.raw_connection()
        start.wait()
        while (number := next(numbers)) < charges:
            reference = f"{name}-{number}"
            body = {"amount": 10_00, "currency": "EUR", "token": "tok_visa", "reference": reference, "metadata": {}}
            calls.request("POST", "/v1/charges", json.dumps(body), {"Idempotency-Key": reference})
            answer = json.loads(calls.getresponse().read())
            with writer:
                connection.cursor().execute(statement, (reference, answer["id"], json.dumps(answer)))
                connection.commit()
            next(done)

    crew = [threading.Thread(target=run) for _ in range(threads)]
    for thread in crew:
        thread.start()
    say(ready=True)
    sys.stdin.readline()
    start.wait()
    for thread in crew:
        thread.join()
    say(done=next(done))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "plan":
        plan(arguments[0])
    else:
        bare(arguments[0], arguments[1], int(arguments[2]), int(arguments[3]), arguments[4])
