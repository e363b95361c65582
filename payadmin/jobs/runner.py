"""Running promised work: the drain that workers perform, and the RQ worker and job classes that may touch the queue."""

import contextlib
import datetime as dt
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import Flask, current_app
from redis import Redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import Worker
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import configure_mappers

from payadmin import jobs, outbox
from payadmin.actions.audit import check_daily
from payadmin.actions.ledger import check_books_daily
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.planning import GRACE_DAYS
from payadmin.db import db, utcnow
from payadmin.jobs import JOBS, QUEUE, Later
from payadmin.jobs.approvals import expire_requests
from payadmin.jobs.audit import keep_seals
from payadmin.jobs.banking import keep_bank
from payadmin.jobs.exports import keep_exports, sweep_files
from payadmin.jobs.identification import destroy_documents, sweep_documents
from payadmin.jobs.reporting import keep_rollups
from payadmin.jobs.risk import end_blocks, keep_watch
from payadmin.jobs.subscriptions import ChargeCounter, drain_charges, keep_plans, reconcile_days
from payadmin.jobs.support import sweep_ticket_files
from payadmin.jobs.system import keep_measure
from payadmin.jobs.treasury import alert_days_left_open
from payadmin.jobs.wallets import expire_applications
from payadmin.kernel.errors import Conflict, NotFound
from payadmin.models.outbox import Heartbeat, OutboxState
from payadmin.queries.subscriptions import charges_waiting
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)

# A ring more than this many waiting jobs would only wake workers that find nothing.
RINGS_AT_MOST = 4
DRAIN_SECONDS = 120
# While one job takes longer than this, such as the writing of a file, the others must not wait for its end.
LONG_SECONDS = 30
OVERTIME_SECONDS = 240
TICK_DRAIN_SECONDS = 10
STATISTICS_SECONDS = 86_400
SWEEP_SECONDS = 600
RECONCILE_SECONDS = 600
SEAL_SECONDS = 30
CHECK_SECONDS = 3_600
LOOK_AGAIN_SECONDS = 0.5
# An idle worker wakes up, and says that it lives, this often less 15 seconds.
WORKER_TTL_SECONDS = 45
FORGET_BEATS_AFTER = dt.timedelta(days=1)
PLANNER_BEATS_EVERY = 30
RING_JOB = "payadmin.jobs.doorbell"

# Set in a work horse that is to finish what is in hand and claim nothing more.
_stopping = threading.Event()


class SafeJob(Job):
    """An RQ job that can only be the doorbell.

    Whoever can write to Redis could otherwise name any importable function, callback or webhook (RQ issue #2191), with
    the JSON serializer too. Both sides use this class: what may run is a list in the code, not a string in Redis.
    """

    ALLOWED: ClassVar[frozenset[str]] = frozenset({RING_JOB})

    def _check(self) -> None:
        if self.func_name not in self.ALLOWED or self.instance is not None or self.args or self.kwargs:
            msg = f"the queue asked for {self.func_name!r}, which is not the doorbell"
            raise PermissionError(msg)

    @property
    def func(self) -> Any:
        self._check()
        return super().func

    @property
    def success_callback(self) -> Any:
        return None

    @property
    def failure_callback(self) -> Any:
        return None

    @property
    def stopped_callback(self) -> Any:
        return None

    def perform(self) -> Any:
        self._check()
        return super().perform()

    def send_webhooks(self, *_args: object, **_kwargs: object) -> None:
        """Callbacks to addresses named in Redis are never made."""


def queue_of(connection: Redis) -> Queue:
    """The one queue, with JSON and the allow-list on this side too."""
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer, job_class=SafeJob)


def ring_queue(connection: Redis) -> None:
    """Enqueue a doorbell unless enough are waiting already."""
    queue = queue_of(connection)
    if queue.count < RINGS_AT_MOST:
        queue.enqueue(RING_JOB, job_timeout=DRAIN_SECONDS * 8, result_ttl=60, failure_ttl=3600)


class PayadminWorker(Worker):
    """An RQ worker whose parent has imported everything its jobs need, so a job starts in milliseconds.

    Its horse, the forked child that does the work, finishes what is in hand when the worker is told to stop and when
    the worker is killed; it then claims nothing more and ends.
    """

    def __init__(self, *args: Any, app: Flask, **kwargs: Any) -> None:
        self.app = app
        super().__init__(*args, **kwargs)

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        with self.app.app_context():
            # The parent's connections must not be shared with the forked child.
            db.engine.dispose(close=False)
            return bool(super().perform_job(job, queue, execution))

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()
        signal.signal(signal.SIGTERM, lambda *_: _stopping.set())
        threading.Thread(target=_stop_after, args=(self.pid,), name="worker watch", daemon=True).start()

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        super().heartbeat(*args, **kwargs)
        with self.app.app_context():
            measure_here(self.app)
            beat(self.sign, "worker")

    @property
    def sign(self) -> str:
        """The name under which it gives signs of life."""
        return f"worker {self.name[:60]}"


def _stop_after(worker_pid: int) -> None:
    while os.getppid() == worker_pid and not _stopping.is_set():
        time.sleep(0.5)
    _stopping.set()


def beat(name: str, kind: str) -> None:
    """Leave a sign of life in the database; trouble with it never stops the work."""
    now = utcnow()
    try:
        with db.session.begin():
            db.session.connection(execution_options={"immediate": True})
            db.session.merge(Heartbeat(name=name, kind=kind, at=now))
            db.session.execute(delete(Heartbeat).where(Heartbeat.at < now - FORGET_BEATS_AFTER))
    except Exception:
        # A worker that cannot say it lives still works.
        log.warning("no heartbeat written", exc_info=True)
    finally:
        db.session.remove()


def measure_here(app: Flask) -> None:
    """Keep how this machine is doing; trouble with that never stops the work."""
    try:
        keep_measure(app.extensions["payadmin.settings"])
    except Exception:
        log.warning("this machine was not measured", exc_info=True)
    finally:
        db.session.remove()


def fall_silent(name: str) -> None:
    """Take back the sign of life of a worker or scheduler that ends in good order, so that nobody looks for it."""
    try:
        with db.session.begin():
            db.session.connection(execution_options={"immediate": True})
            db.session.execute(delete(Heartbeat).where(Heartbeat.name == name))
    except Exception:
        log.warning("the sign of life of %s stays", name, exc_info=True)
    finally:
        db.session.remove()


def drain(*, seconds: float = DRAIN_SECONDS, stop: threading.Event | None = None) -> int:
    """Work on every due message and every due charge until none is left, several of each at a time.

    Args:
        seconds: after this long nothing more is claimed, so that the next horse begins afresh; later while a long job
            is in hand, because that horse must wait for its end.
        stop: set it to claim nothing more and return once what is in hand is finished.

    Returns:
        How many messages and charges were worked on.
    """
    jobs.load_jobs()
    stop = stop or _stopping
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - threads need the real one
    threads = app.extensions["payadmin.settings"].worker_threads
    end = time.monotonic() + seconds
    done, running = 0, dict[Future[None], float]()
    # A message may have ordered charges after the last look at what is due, as a batch does.
    look_again = False

    def until() -> float:
        long = any(time.monotonic() - began > LONG_SECONDS for began in running.values())
        return end + OVERTIME_SECONDS if long else end

    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="charges") as side,
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="job") as pool,
    ):
        charges = side.submit(drain_charges, app, until=until(), stop=stop)
        while True:
            charged = charges.done()  # asked before messages are claimed: charging may promise one with its last breath
            if len(running) < threads and time.monotonic() < until() and not stop.is_set():
                for message in _claim(app, threads - len(running)):
                    running[pool.submit(_run, app, message)] = time.monotonic()
            if charged:
                done += charges.result()
                if not running and not look_again:
                    return done
                look_again = False
                charges = side.submit(drain_charges, app, until=until(), stop=stop)
            # Looking again now and then: slow calls must not keep new work from the threads that are free.
            both: set[Future[Any]] = {*running, charges}
            finished, _ = wait(both, timeout=LOOK_AGAIN_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished & running.keys():
                future.result()
                del running[future]
                done += 1
                look_again = True
            if charges in finished and running:
                wait(running, timeout=LOOK_AGAIN_SECONDS, return_when=FIRST_COMPLETED)


@dataclass(frozen=True)
class _Claimed:
    id: int
    fence: int
    failures: int
    job: str
    args: dict[str, Any]


def _claim(app: Flask, limit: int) -> list[_Claimed]:
    with app.app_context():
        session = db.session()
        session.connection(execution_options={"immediate": True})
        rows = outbox.claim(session, limit=limit)
        claimed = [_Claimed(row.id, row.fence, row.failures, row.job, row.args) for row in rows]
        session.commit()
    return claimed


def _run(app: Flask, message: _Claimed) -> None:
    with app.app_context():
        try:
            answer = JOBS[message.job](**message.args)
        except (NotFound, Conflict) as refusal:
            # The world said no and the action recorded it: there is nothing to try again.
            values: dict[str, Any] = {"state": OutboxState.DONE, "done_at": utcnow(), "error": refusal.sentence}
        except Exception as error:
            log.exception("job %s %s failed", message.job, message.args)
            values = _after_failure(message.failures + 1, error)
        else:
            values = _after_success(answer)
        db.session.rollback()
        db.session.connection(execution_options={"immediate": True})
        outbox.settle(db.session(), message.id, message.fence, **values)
        db.session.commit()


def _after_success(answer: Later | None) -> dict[str, Any]:
    if answer is None:
        return {"state": OutboxState.DONE, "done_at": utcnow(), "error": None}
    return {"state": OutboxState.DUE, "due_at": utcnow() + dt.timedelta(seconds=answer.seconds), "failures": 0}


def _after_failure(failures: int, error: Exception) -> dict[str, Any]:
    text = f"{type(error).__name__}: {error}"[:500]
    if failures > len(outbox.BACKOFF_SECONDS):
        return {"state": OutboxState.DEAD, "failures": failures, "error": text}
    wait = dt.timedelta(seconds=outbox.BACKOFF_SECONDS[failures - 1])
    return {"state": OutboxState.DUE, "due_at": utcnow() + wait, "failures": failures, "error": text}


def _rehearse(app: Flask) -> None:
    """Claim nothing, once, in the worker's parent: its horses inherit the statements that this compiles."""
    try:
        _claim(app, 0)
        with app.app_context():
            settings = app.extensions["payadmin.settings"]
            ChargeCounter(settings).claim(0)
            enqueue_due(SYSTEM, zone=settings.zone, limit=0)
            db.session.remove()
            db.engine.dispose()
    except OperationalError:
        log.warning("the database is away; a worker waits for it like everybody else", exc_info=True)


def work(app: Flask, redis_url: str, *, burst: bool = False) -> None:
    """Be a worker until told to stop (SIGTERM finishes the job in hand)."""
    jobs.load_jobs()
    configure_mappers()
    _rehearse(app)
    connection = Redis.from_url(redis_url)
    worker = PayadminWorker(
        [queue_of(connection)],
        connection=connection,
        app=app,
        job_class=SafeJob,
        queue_class=Queue,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_SECONDS,
    )
    worker.work(burst=burst, logging_level="WARNING")
    with app.app_context():
        fall_silent(worker.sign)


def renew_statistics() -> None:
    """Tell SQLite how the rows are spread, as autovacuum tells PostgreSQL: about a second for 200,000 payments.

    A planner that does not know walks every payment in the list's order to find those of three customers.
    """
    if db.engine.dialect.name == "sqlite":
        with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            connection.exec_driver_sql("ANALYZE")


def _charges_waiting(app: Flask) -> bool:
    now = outbox.database_now(db.session())
    today = now.astimezone(app.extensions["payadmin.settings"].zone).date()
    return charges_waiting(db.session(), now=now, first=today - dt.timedelta(days=GRACE_DAYS), today=today)


def _went_well(duty: Callable[..., object], *args: object) -> bool:
    """Do one of a tick's duties; whether that went well. If it did not, the others are done all the same."""
    try:
        duty(*args)
    except OperationalError:
        raise  # the database is away, for everything else too
    except Exception:
        log.exception("%s failed; the rest of the tick goes on", duty.__name__)
        return False
    return True


def _went_well_each(*duties: Callable[[], object]) -> None:
    """Do several duties of a tick, whichever of them fail."""
    for duty in duties:
        _went_well(duty)


def tick(app: Flask, stop: threading.Event, *, every_seconds: float = 2.0) -> None:
    """Be a scheduler until `stop`: plan, ring for what is due, and do it here when nobody can be rung.

    Any number of copies may run.
    """
    statistics_due = sweep_due = planner_beat_due = reconcile_due = seal_due = check_due = 0.0
    name = f"scheduler {socket.gethostname()[:40]} {os.getpid()}"
    while not stop.is_set():
        with app.app_context():
            try:
                beat(name, "scheduler")
                if time.monotonic() >= statistics_due:
                    renew_statistics()
                    statistics_due = time.monotonic() + STATISTICS_SECONDS
                settings = app.extensions["payadmin.settings"]
                # Workers shows a planner that is late.
                is_planned = _went_well(keep_plans, settings.zone)
                _went_well(keep_exports, settings)
                _went_well(alert_days_left_open, settings)
                _went_well_each(expire_requests, expire_applications, keep_bank, end_blocks, keep_watch)
                if time.monotonic() >= sweep_due:
                    sweep_due = time.monotonic() + SWEEP_SECONDS
                    _went_well(sweep_files, settings)
                    _went_well(destroy_documents, settings)
                if is_planned and time.monotonic() >= planner_beat_due:
                    beat("planner", "planner")
                    planner_beat_due = time.monotonic() + PLANNER_BEATS_EVERY
                if time.monotonic() >= reconcile_due:
                    reconcile_due = time.monotonic() + RECONCILE_SECONDS
                    _went_well(reconcile_days, settings)
                _went_well(keep_measure, settings)
                _went_well(keep_rollups, settings.zone)
                if time.monotonic() >= seal_due:
                    seal_due = time.monotonic() + SEAL_SECONDS
                    _went_well(keep_seals, settings)
                if time.monotonic() >= check_due:
                    check_due = time.monotonic() + CHECK_SECONDS
                    _went_well(sweep_documents, settings)
                    _went_well(sweep_ticket_files, settings)
                    _went_well(check_daily, SYSTEM)
                    _went_well(check_books_daily, SYSTEM)
                waiting = outbox.waiting(db.session()) or _charges_waiting(app)
                db.session.remove()
                if waiting and not outbox.ring():
                    drain(seconds=TICK_DRAIN_SECONDS, stop=stop)
            except Exception:
                # The database or Redis may be restarting underneath; the next tick tries again.
                log.exception("a tick failed; the next one follows in %s s", every_seconds)
            finally:
                db.session.remove()
        stop.wait(every_seconds)
    with app.app_context():
        fall_silent(name)
