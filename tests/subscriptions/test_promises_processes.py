"""Promises about recurring charges that need real processes: they are killed, and they start fast."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rq import Queue
from rq.job import Job, JobStatus

from payadmin.jobs.runner import RING_JOB, queue_of
from tests.support.billing import Office
from tests.support.crash import ROOT
from tests.support.workers import Valkey, WorkerProcess, until, valkey

DOORBELLS = 15
OVER_AN_EMPTY_JOB_SECONDS = 0.1


@pytest.fixture
def redis() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


def test_nothing_is_lost_or_doubled_while_everything_is_killed(dialect: str) -> None:
    command = [sys.executable, "-m", "payadmin.cli", "faults", "kill-loop", "--db", dialect, "--json"]
    command += ["--charges", "30", "--kills", "4", "--freezes", "1", "--flushes", "1", "--redis-kills", "1"]
    command += ["--crashes", "1", "--pace", "0.5", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert {name: report[name] for name in ("lost", "doubled", "phantom", "disagree", "stuck")} == {
        "lost": 0, "doubled": 0, "phantom": 0, "disagree": 0, "stuck": 0,
    }, done.stderr  # fmt: skip
    assert (done.returncode, report["kills"], report["charges"]) == (0, 4, 30)


@pytest.mark.once
def test_the_doorbell_costs_little_more_than_an_empty_job_because_the_parent_has_imported_all(
    office: Office, redis: Valkey
) -> None:
    ours = WorkerProcess(office.app, REDIS_URL=redis.url)
    stock = subprocess.Popen([sys.executable, "-m", "rq.cli", "worker", "--quiet", "--url", redis.url, "empty"])
    try:
        until(lambda: redis.client.scard("rq:workers") == 2, what="the start of both workers")
        doorbell = seconds_of(queue_of(redis.client), RING_JOB)
        empty = seconds_of(Queue("empty", connection=redis.client), "operator.truth", 0)
    finally:
        ours.end()
        stock.kill()
        stock.wait()
    assert doorbell - empty <= OVER_AN_EMPTY_JOB_SECONDS, f"{doorbell:.3f} s against {empty:.3f} s"


def seconds_of(queue: Queue, name: str, *arguments: object) -> float:
    """The shortest time from the queue to the end of a job: other work on the machine only adds to it."""
    taken: list[float] = []
    for _ in range(DOORBELLS):
        job = queue.enqueue(name, *arguments)
        until(lambda job=job: ended(job), what="the end of a job")  # type: ignore[misc]
        assert job.ended_at is not None
        assert job.enqueued_at is not None
        taken.append((job.ended_at - job.enqueued_at).total_seconds())
    return min(taken)


def ended(job: Job) -> bool:
    job.refresh()
    assert job.get_status() is not JobStatus.FAILED
    return job.ended_at is not None
