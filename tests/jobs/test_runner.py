"""Promised work: drained from the database, whatever Redis does, and given up only in the open."""

import datetime as dt
import threading
import time
from typing import Any

import pytest
from flask import Flask

from payadmin import outbox
from payadmin.db import db, utcnow
from payadmin.jobs import JOBS, Later, runner
from payadmin.kernel.errors import Conflict, Forbidden, NotFound
from payadmin.models.outbox import Heartbeat, OutboxMessage, OutboxState
from payadmin.models.payments import OrderStatus
from payadmin.permissions import Permission
from payadmin.work import SYSTEM, Work, use_case
from tests.support.desk import Desk, pass_time, told
from tests.support.workers import Valkey, ringing, until

S = OutboxState


@use_case(Permission.SYSTEM_JOB_RUN)
def promise_it(work: Work, job: str, *, after: dt.timedelta | None = None, refuse: bool = False, **args: Any) -> None:
    work.promise(job, after=after, **args)
    if refuse:
        raise Conflict("No.")


class Notebook:
    """What test jobs wrote down, and how they answer."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.answer: Any = None

    def job(self, **args: Any) -> Later | None:
        self.ran.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


@pytest.fixture
def notebook(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook()
    monkeypatch.setitem(JOBS, "write_down", made.job)
    return made


def the_message() -> OutboxMessage:
    db.session.rollback()
    [message] = db.session.query(OutboxMessage).all()
    return message


# ---- the drain -----------------------------------------------------------------------------------------------------


def test_a_promise_is_kept_once_it_is_committed(notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down", row_id=7)
    assert notebook.ran == []
    assert (runner.drain(), runner.drain()) == (1, 0)
    assert notebook.ran == [{"row_id": 7}]
    message = the_message()
    assert (message.state, message.fence, message.error) == (S.DONE, 1, None)
    assert message.done_at is not None


def test_a_promise_of_refused_work_was_never_made(notebook: Notebook) -> None:
    with pytest.raises(Conflict):
        promise_it(SYSTEM, "write_down", refuse=True)
    assert (runner.drain(), notebook.ran) == (0, [])


def test_a_promise_for_later_waits(notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down", after=dt.timedelta(minutes=5))
    assert (outbox.waiting(db.session()), runner.drain()) == (False, 0)
    pass_time(minutes=5)
    assert (outbox.waiting(db.session()), runner.drain()) == (True, 1)


def test_a_job_that_answers_later_runs_again_then(notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down")
    notebook.answer = Later(30)
    assert runner.drain() == 1
    message = the_message()
    assert (message.state, message.failures) == (S.DUE, 0)
    assert dt.timedelta(seconds=25) < message.due_at - utcnow() <= dt.timedelta(seconds=30)
    assert runner.drain() == 0
    pass_time(seconds=30)
    notebook.answer = None
    assert runner.drain() == 1
    assert (the_message().state, len(notebook.ran)) == (S.DONE, 2)


def test_a_failing_job_is_tried_less_and_less_often_and_then_given_up_in_the_open(notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down")
    notebook.answer = ZeroDivisionError("a bug")
    for failures, seconds in enumerate(outbox.BACKOFF_SECONDS, start=1):
        assert runner.drain() == 1
        message = the_message()
        assert (message.state, message.failures) == (S.DUE, failures)
        assert abs((message.due_at - utcnow()).total_seconds() - seconds) < 5
        pass_time(seconds=seconds)
    assert outbox.dead(db.session()) == 0
    assert runner.drain() == 1
    message = the_message()
    assert (message.state, message.error) == (S.DEAD, "ZeroDivisionError: a bug")
    pass_time(days=30)
    assert (runner.drain(), outbox.dead(db.session())) == (0, 1)


def test_a_job_nobody_knows_is_tried_again_because_another_version_may(notebook: Notebook) -> None:
    promise_it(SYSTEM, "job_of_tomorrow")
    assert runner.drain() == 1
    message = the_message()
    assert (message.state, message.error) == (S.DUE, "KeyError: 'job_of_tomorrow'")


@pytest.mark.parametrize("refusal", [Conflict("Already done."), NotFound("Gone.")])
def test_what_the_world_refuses_is_done(refusal: Exception, notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down")
    notebook.answer = refusal
    assert runner.drain() == 1
    message = the_message()
    assert (message.state, message.error) == (S.DONE, str(refusal))


def test_what_a_job_may_not_do_is_a_bug_and_not_done(notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down")
    notebook.answer = Forbidden("Your role does not allow this.")
    runner.drain()
    assert (the_message().state, the_message().failures) == (S.DUE, 1)


def test_one_failing_job_keeps_no_other_from_running(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "fail", lambda: 1 // 0)
    for _ in range(3):
        promise_it(SYSTEM, "fail")
        promise_it(SYSTEM, "write_down")
    assert (runner.drain(), len(notebook.ran)) == (6, 3)


def test_a_slow_job_does_not_keep_new_work_waiting(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert release.wait(20)

    monkeypatch.setitem(JOBS, "slow", slow)
    promise_it(SYSTEM, "slow")
    app = runner.current_app._get_current_object()  # type: ignore[attr-defined]

    def drain() -> None:
        with app.app_context():
            runner.drain()

    worker = threading.Thread(target=drain)
    worker.start()
    try:
        assert begun.wait(20)
        promise_it(SYSTEM, "write_down")
        until(lambda: notebook.ran, what="the second job", seconds=10)
        assert worker.is_alive()
    finally:
        release.set()
        worker.join()


def test_what_charging_promises_with_its_last_breath_is_done_by_the_same_drain(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, charged, claim = threading.Event(), threading.Event(), runner._claim

    def charge(app: Flask, **_: Any) -> int:
        with app.app_context():
            if not charged.is_set() and looked.wait(20):
                promise_it(SYSTEM, "write_down")
        charged.set()
        return 0

    def claim_slowly(app: Flask, limit: int) -> list[Any]:
        found = claim(app, limit)
        if not looked.is_set():
            looked.set()
            assert charged.wait(20)
            time.sleep(0.1)  # its future is done a moment later
        return found

    monkeypatch.setattr(runner, "drain_charges", charge)
    monkeypatch.setattr(runner, "_claim", claim_slowly)
    assert (runner.drain(), len(notebook.ran)) == (1, 1)


def test_a_drain_that_is_told_to_stop_finishes_what_is_in_hand(notebook: Notebook, app: Flask) -> None:
    stop = threading.Event()
    for _ in range(20):
        promise_it(SYSTEM, "write_down")
    JOBS["stop_now"] = stop.set
    try:
        promise_it(SYSTEM, "stop_now")
        with told(app, worker_threads=1), db.engine.begin() as connection:
            messages = OutboxMessage.__table__
            stopping = messages.c.job == "stop_now"
            connection.execute(messages.update().where(stopping).values(due_at=utcnow() - dt.timedelta(hours=1)))
        with told(app, worker_threads=1):
            assert runner.drain(stop=stop) == 1
    finally:
        del JOBS["stop_now"]
    db.session.rollback()
    assert db.session.query(OutboxMessage).filter_by(state=S.DUE).count() == 20


# ---- leases ----------------------------------------------------------------------------------------------------------


def test_the_message_of_a_dead_worker_is_taken_again_and_its_late_word_does_not_count(notebook: Notebook) -> None:
    promise_it(SYSTEM, "write_down")
    [claimed] = outbox.claim(db.session(), limit=10)
    message_id, fence = claimed.id, claimed.fence
    db.session.commit()
    assert runner.drain() == 0
    pass_time(seconds=outbox.LEASE.total_seconds() + 1)
    assert runner.drain() == 1
    assert the_message().fence == fence + 1
    assert outbox.settle(db.session(), message_id, fence, state=S.DEAD) is False
    db.session.commit()
    assert the_message().state is S.DONE


def test_heartbeats_are_kept_for_a_day(app: Flask) -> None:
    runner.beat("worker old", "worker")
    with db.engine.begin() as connection:
        connection.execute(Heartbeat.__table__.update().values(at=utcnow() - dt.timedelta(hours=25)))
    for _ in range(2):
        runner.beat("worker new", "worker")
    assert [(beat.name, beat.kind) for beat in db.session.query(Heartbeat)] == [("worker new", "worker")]


# ---- the doorbell ----------------------------------------------------------------------------------------------------


def test_without_redis_the_scheduler_does_the_work(notebook: Notebook, app: Flask) -> None:
    promise_it(SYSTEM, "write_down")
    assert outbox.ring() is False
    _tick_until(app, lambda: notebook.ran and "scheduler" in _kinds())
    assert _kinds() == ["planner"]  # a scheduler that ends in good order is not looked for


def _kinds() -> list[str]:
    db.session.rollback()
    return sorted(beat.kind for beat in db.session.query(Heartbeat))


def test_with_redis_down_requests_are_taken_at_once_and_the_work_is_done_all_the_same(desk: Desk) -> None:
    with ringing(desk.app, "unix:///nowhere/valkey.sock"):
        payment_id = desk.paid().id
        actor = desk.operator()
        form = desk.confirm(actor, "payments.refund", payment_id)
        began = time.monotonic()
        refund = desk.refund(payment_id, 30_00, actor=actor, **form)
        assert time.monotonic() - began < 2
        assert refund.status is OrderStatus.QUEUED
        _tick_until(desk.app, lambda: desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 30_00, None))


def test_the_bell_rings_once_for_many_promises(notebook: Notebook, bell: Valkey) -> None:
    for _ in range(20):
        promise_it(SYSTEM, "write_down")
    assert bell.client.llen("rq:queue:payadmin") == runner.RINGS_AT_MOST


def test_a_flushed_redis_loses_nothing_because_the_scheduler_rings_again(
    notebook: Notebook, bell: Valkey, app: Flask
) -> None:
    promise_it(SYSTEM, "write_down")
    bell.client.flushall()
    _tick_until(app, lambda: bell.client.llen("rq:queue:payadmin"))
    assert notebook.ran == []


def test_a_duty_that_fails_keeps_the_scheduler_from_nothing_else(
    notebook: Notebook, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError("files/exports")

    for duty in ("sweep_files", "keep_exports", "reconcile_days"):
        monkeypatch.setattr(runner, duty, fail)
    promise_it(SYSTEM, "write_down")
    _tick_until(app, lambda: notebook.ran)


def _tick_until(app: Flask, true: Any) -> None:
    stop = threading.Event()
    scheduler = threading.Thread(target=runner.tick, args=(app, stop), kwargs={"every_seconds": 0.1})
    scheduler.start()
    try:
        until(true)
    finally:
        stop.set()
        scheduler.join()
    db.session.rollback()
