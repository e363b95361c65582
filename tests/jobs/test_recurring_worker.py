"""`payadmin worker` and recurring charges as real processes: what is in hand is finished and booked, and only that."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from payadmin import outbox
from payadmin.db import db
from payadmin.models.outbox import Heartbeat
from payadmin.models.subscriptions import ChargeStatus
from tests.support.billing import Office, pass_time
from tests.support.crash import ROOT, environment
from tests.support.desk import told
from tests.support.make import Make
from tests.support.simulator import Simulator
from tests.support.workers import Valkey, WorkerProcess, until

Start = Callable[..., WorkerProcess]
C = ChargeStatus


@pytest.fixture
def office(app: Flask, make: Make, simulator: Simulator, bell: Valkey) -> Iterator[Office]:
    """The billing office with a bell that real workers hear."""
    with told(app, simulator_url=simulator.url, redis_url=bell.url, provider_timeout_seconds=10):
        yield Office(app, make, simulator)


def in_the_call(office: Office, bell: Valkey, start_worker: Start, *, threads: int = 1) -> tuple[WorkerProcess, int]:
    """A worker that waits for the provider, which has captured already and answers in two seconds."""
    worker = start_worker(WORKER_THREADS=str(threads))
    until(lambda: bell.client.scard("rq:workers"), what="the worker's start")
    charge = office.due()
    charge_id, number = charge.id, charge.invoice_number
    office.simulator.config(slow=1.0, slow_s=2.0)
    outbox.ring()
    until(lambda: office.simulator.ledger()["captured"].get(number), what="the call")
    office.simulator.config(slow=0.0)
    db.session.rollback()  # what the worker committed is to be seen
    return worker, charge_id


def test_a_stopped_worker_books_the_charge_in_hand_and_takes_no_other(
    office: Office, bell: Valkey, start_worker: Start
) -> None:
    worker, charge_id = in_the_call(office, bell, start_worker)
    assert office.status(charge_id) is C.PROCESSING
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    other_id = office.due().id
    assert worker.process.wait(20) == 0
    db.session.rollback()
    assert (office.status(charge_id), office.attempts(charge_id)) == (C.SUCCEEDED, ["SUCCEEDED"])
    assert len(office.payments()) == 1
    assert (office.status(other_id), office.attempts(other_id)) == (C.SCHEDULED, [])
    assert db.session.query(Heartbeat).filter_by(kind="worker").count() == 0


def test_a_killed_worker_leaves_the_charge_to_the_next_which_asks_and_never_sends_twice(
    office: Office, bell: Valkey, start_worker: Start
) -> None:
    worker, charge_id = in_the_call(office, bell, start_worker)
    for horse in worker.horses:
        horse.kill()
    worker.process.kill()
    worker.process.wait()
    db.session.rollback()
    assert office.status(charge_id) is C.PROCESSING
    pass_time(minutes=3)
    office.settle()
    charge = office.charge(charge_id)
    assert charge.status is C.SUCCEEDED
    assert office.simulator.stats()["posts_by_reference"] == {charge.invoice_number: 1}
    assert len(office.payments()) == 1


@pytest.mark.once
def test_a_workers_parent_has_imported_all_that_its_jobs_need(app: Flask) -> None:
    """A horse that had to import SQLAlchemy or httpx would start ten times slower (P13)."""
    code = """
import sys
from payadmin.cli import _settings, _worker_app
from payadmin.jobs import runner
started = {}
class Worker:
    def __init__(self, *args, **kwargs): pass
    sign = "worker"
    def work(self, **kwargs): started.update(sys.modules)
runner.PayadminWorker = Worker
app = _worker_app(_settings())
runner.work(app, "unix:///nowhere")
with app.app_context():
    runner.drain(seconds=1)
print(sorted(name for name in sys.modules if name not in started))
"""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, cwd=ROOT, env=environment(app), capture_output=True, text=True, check=True)
    later = answer.stdout.strip().splitlines()[-1]
    for name in ("payadmin", "sqlalchemy.", "httpx", "flask", "redis", "smtplib", "email", "json"):
        assert f"'{name}" not in later, later
