"""`payadmin worker` as a real process: rung, stopped, killed, and lied to by whoever writes to Redis (P5, P16, P37)."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from rq import Callback, Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.serializers import JSONSerializer, PickleSerializer

from payadmin.db import db
from payadmin.jobs import runner
from payadmin.models.outbox import Heartbeat
from tests.support.crash import ROOT, environment
from tests.support.desk import Desk, pass_time
from tests.support.workers import Valkey, WorkerProcess, until

Start = Callable[..., WorkerProcess]
REFUNDED = ("PARTIALLY_REFUNDED", 0, 30_00, None)


def test_a_request_rings_a_worker_that_refunds_within_seconds(desk: Desk, bell: Valkey, start_worker: Start) -> None:
    start_worker()
    _ready(bell)
    payment_id = desk.paid().id
    began = time.monotonic()
    desk.refund(payment_id, 30_00)
    until(lambda: desk.money(payment_id) == REFUNDED, what="the refund")
    assert time.monotonic() - began < 10
    db.session.rollback()
    assert [beat.kind for beat in db.session.query(Heartbeat)] == ["worker"]


@pytest.mark.once
def test_a_worker_outlives_a_redis_that_is_killed_and_comes_back_empty(
    desk: Desk, bell: Valkey, start_worker: Start
) -> None:
    worker = start_worker()
    _ready(bell)
    bell.kill()
    payment_id = desk.paid().id
    desk.refund(payment_id, 30_00)
    bell.start()
    until(lambda: worker.process.poll() is not None or _rung(desk, payment_id), what="the refund")
    if worker.process.poll() is not None:  # it may end: its supervisor then starts it again
        start_worker()
        until(lambda: _rung(desk, payment_id), what="the refund")


def test_a_stopped_worker_finishes_the_job_in_hand_and_takes_no_other(
    desk: Desk, bell: Valkey, start_worker: Start
) -> None:
    worker, payment_id = _in_the_call(desk, bell, start_worker)
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    other_id = desk.paid().id
    desk.refund(other_id, 30_00)
    assert worker.process.wait(20) == 0
    assert desk.money(payment_id) == REFUNDED
    assert desk.money(other_id) == ("PAID", 30_00, 0, "REFUND")


def test_a_horse_whose_worker_is_killed_finishes_the_job_in_hand_and_ends(
    desk: Desk, bell: Valkey, start_worker: Start
) -> None:
    worker, payment_id = _in_the_call(desk, bell, start_worker)
    [horse] = worker.horses
    worker.process.kill()
    worker.process.wait()
    until(lambda: not _runs(horse), what="the end of the horse")
    assert desk.money(payment_id) == REFUNDED
    assert desk.work() == 0
    assert len(desk.simulator.ledger()["refunded"]) == 1


def test_a_killed_worker_and_horse_leave_the_refund_to_the_next(desk: Desk, bell: Valkey, start_worker: Start) -> None:
    worker, payment_id = _in_the_call(desk, bell, start_worker)
    for process in (*worker.horses, psutil.Process(worker.process.pid)):
        process.kill()
    worker.process.wait()
    assert desk.money(payment_id) == ("PAID", 30_00, 0, "REFUND")
    pass_time(minutes=3)
    desk.settle()
    assert desk.money(payment_id) == REFUNDED
    assert [len(found) for found in desk.simulator.ledger()["refunded"].values()] == [1]


@pytest.mark.once
def test_a_worker_and_its_horse_end_with_the_program_that_started_them(desk: Desk, bell: Valkey) -> None:
    starter = textwrap.dedent("""
        import os, subprocess, sys, time
        env = os.environ | {"PAYADMIN_PARENT": str(os.getpid())}
        child = subprocess.Popen([sys.executable, "-m", "payadmin.cli", "worker"], env=env, start_new_session=True)
        print(child.pid, flush=True)
        time.sleep(3600)
    """)
    env = environment(desk.app, PROVIDER_TIMEOUT_SECONDS="10")
    parent = subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    try:
        _ready(bell)
        payment_id = _slow_refund(desk)
        until(lambda: desk.simulator.ledger()["refunded"], what="the call")
        [horse] = worker.children()
        parent.kill()
        until(lambda: not _runs(worker) and not _runs(horse), what="the end of worker and horse")
        assert desk.money(payment_id) == REFUNDED
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        if _runs(worker):
            worker.kill()


# ---- whoever can write to Redis ------------------------------------------------------------------------------------


@pytest.mark.once
def test_nothing_but_the_doorbell_can_be_planted_in_redis(
    desk: Desk, bell: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "planted.py").write_text(
        f"from pathlib import Path\n"
        f"def touch(*_a, **_k): Path({str(mark)!r}).touch()\n"
        f"class Thing:\n    def touch(self): touch()\n"
        f"class Bomb:\n    def __reduce__(self): return (touch, ())\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import planted  # type: ignore[import-not-found]

        pickled = Queue("payadmin", connection=bell.client, serializer=PickleSerializer)
        plain = Queue("payadmin", connection=bell.client, serializer=JSONSerializer)
        planted_jobs: dict[str, Job] = {
            "pickle": pickled.enqueue(planted.touch),
            "pickled argument": pickled.enqueue("payadmin.jobs.doorbell", planted.Bomb()),
            "os.system": plain.enqueue("os.system", f"touch {mark}"),
            "any function": plain.enqueue("planted.touch"),
            "a method": pickled.enqueue(planted.Thing().touch),
            "a private door": plain.enqueue("payadmin.jobs.runner.drain"),
            "an argument for the doorbell": plain.enqueue("payadmin.jobs.doorbell", "x"),
        }
        instance = Job.create("touch", connection=bell.client, serializer=JSONSerializer, origin="payadmin")
        instance.instance = "a string that is no object"
        planted_jobs["a method by JSON"] = plain.enqueue_job(instance)
        called = {name: Callback("planted.touch") for name in ("on_success", "on_failure", "on_stopped")}
        with_callbacks = plain.enqueue("payadmin.jobs.doorbell", **called)
        also_called = plain.enqueue("planted.touch", **called)
        payment_id = desk.paid().id
        desk.refund(payment_id, 30_00)  # an honest ring behind all of them
        worker = start_worker("--burst", PYTHONPATH=str(tmp_path))
        assert worker.process.wait(60) == 0
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("planted", None)
    assert not mark.exists()
    failed = set(FailedJobRegistry(queue=plain).get_job_ids())
    assert {job.id for job in planted_jobs.values()} | {also_called.id} <= failed
    assert with_callbacks.id in FinishedJobRegistry(queue=plain).get_job_ids()
    assert desk.money(payment_id) == REFUNDED


def test_the_ringing_side_reads_nothing_that_was_planted(bell: Valkey) -> None:
    queue = runner.queue_of(bell.client)
    assert (queue.job_class, queue.serializer) == (runner.SafeJob, JSONSerializer)
    Queue("payadmin", connection=bell.client).enqueue(os.getpid)
    runner.ring_queue(bell.client)
    assert queue.count == 2
    assert [_allowed(job) for job in queue.jobs] == [False, True]


def _allowed(job: Any) -> bool:
    try:
        job._check()
    except Exception:  # noqa: BLE001 - a pickle cannot even be read
        return False
    return True


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _ready(bell: Valkey) -> None:
    until(lambda: bell.client.scard("rq:workers"), what="the worker's start")


def _rung(desk: Desk, payment_id: int) -> bool:
    """Ring, as the scheduler's tick does, until the refund is there."""
    runner.outbox.ring()
    return desk.money(payment_id) == REFUNDED


def _slow_refund(desk: Desk) -> int:
    payment_id = desk.paid().id
    actor = desk.operator()
    desk.simulator.config(slow=1.0, slow_s=2.0)
    desk.refund(payment_id, 30_00, actor=actor)
    desk.simulator.config()
    return payment_id


def _in_the_call(desk: Desk, bell: Valkey, start_worker: Start) -> tuple[WorkerProcess, int]:
    """A worker that waits for the provider, which has acted already and answers in a moment."""
    worker = start_worker()
    _ready(bell)
    payment_id = _slow_refund(desk)
    until(lambda: desk.simulator.ledger()["refunded"], what="the call")
    desk.simulator.config(slow=0.0)
    return worker, payment_id


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def _no_leftovers(bell: Valkey) -> None:
    """Every test here starts with an empty queue and no worker registered."""
