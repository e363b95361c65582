"""The Workers page over HTTP: who lives, what waits, what was given up; with Redis, without it, and lied to by it."""

import datetime as dt
import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from rq import Queue
from rq.registry import FailedJobRegistry
from rq.serializers import PickleSerializer
from sqlalchemy import update

from payadmin.actions.system import revive_message
from payadmin.db import db, utcnow
from payadmin.jobs import JOBS, rings, runner
from payadmin.kernel.errors import Conflict, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import Heartbeat, OutboxMessage, OutboxState
from payadmin.models.subscriptions import AttemptState, ChargeStatus, ProviderBreaker
from payadmin.permissions import Role
from payadmin.queries import workers
from payadmin.views.workers import ago
from tests.support.desk import told
from tests.support.make import Make, writing
from tests.support.pages import post, token_of
from tests.support.workers import Valkey, WorkerProcess, ringing, until


@pytest.fixture
def admin(make: Make) -> FlaskClient:
    return make.browse(Role.ADMIN)


def page(client: FlaskClient, address: str = "/workers/status/") -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(answer.get_data(as_text=True).split())


def add(*rows: Any) -> list[int]:
    writing()
    db.session.add_all(rows)
    db.session.flush()
    ids = [getattr(row, "id", 0) for row in rows]
    db.session.commit()
    return ids


def given_up(**values: Any) -> int:
    defaults = {"job": "write_down", "args": {"order_id": 7}, "state": OutboxState.DEAD, "failures": 11, "fence": 11}
    [message_id] = add(OutboxMessage(**(defaults | {"error": "ZeroDivisionError: a bug"} | values)))
    return message_id


def message(message_id: int) -> OutboxMessage:
    db.session.rollback()
    return db.session.get_one(OutboxMessage, message_id, populate_existing=True)


def said(event: str) -> list[AuditEvent]:
    db.session.rollback()
    return db.session.query(AuditEvent).filter_by(event=event).all()


# ---- the database's side -------------------------------------------------------------------------------------------


def test_signs_of_life_are_told_in_words_and_the_silent_are_late(admin: FlaskClient) -> None:
    now = utcnow()
    add(
        Heartbeat(name="worker quick", kind="worker", at=now - dt.timedelta(seconds=20)),
        Heartbeat(name="worker gone", kind="worker", at=now - dt.timedelta(minutes=5)),
        Heartbeat(name="scheduler host 7", kind="scheduler", at=now - dt.timedelta(seconds=2)),
        Heartbeat(name="planner", kind="planner", at=now - dt.timedelta(seconds=31)),
    )
    seen = page(admin, "/workers/")
    signs = {sign.name: sign.is_late for sign in workers.signs_of_life(db.session(), now)}
    assert signs == {"worker quick": False, "worker gone": True, "scheduler host 7": False, "planner": False}
    assert "5 min ago" in seen
    assert seen.count(">Late<") == 1
    assert "gives a sign of life" not in seen


def test_a_missing_scheduler_and_a_missing_worker_are_said_loudly(admin: FlaskClient, app: Flask) -> None:
    with told(app, redis_url="unix:///nowhere/valkey.sock"):
        assert "No scheduler and no worker gives a sign of life." in page(admin)
        add(Heartbeat(name="scheduler a", kind="scheduler", at=utcnow()))
        assert "No worker gives a sign of life." in page(admin)
    # Without Redis the scheduler does all the work, so no worker is missed.
    seen = page(admin)
    assert "gives a sign of life" not in seen
    assert "No Redis is configured" in seen


def test_what_waits_is_counted(admin: FlaskClient, make: Make, app: Flask) -> None:
    now, today = utcnow(), utcnow().astimezone(app.extensions["payadmin.settings"].zone).date()
    for wait, state in ((-90, "DUE"), (-5, "DUE"), (3600, "DUE"), (60, "RUNNING"), (-1, "DONE")):
        add(OutboxMessage(job="x", args={}, state=OutboxState[state], due_at=now + dt.timedelta(seconds=wait)))
    make.scheduled_charge(make.subscription(), due_date=today)
    make.scheduled_charge(make.subscription(), due_date=today + dt.timedelta(days=1))
    make.scheduled_charge(
        make.subscription(), due_date=today - dt.timedelta(days=1), status=ChargeStatus.RETRY_WAIT,
        next_attempt_at=now - dt.timedelta(minutes=1),
    )  # fmt: skip
    for state in (AttemptState.SENDING, AttemptState.UNKNOWN, AttemptState.UNKNOWN, AttemptState.DECLINED):
        charge = make.scheduled_charge(make.subscription(), due_date=today, status=ChargeStatus.PROCESSING)
        make.charge_attempt(charge, state=state)
    asked = workers.promises(db.session(), now)
    assert (asked.due, asked.later, asked.running, asked.given_up) == (2, 1, 1, 0)
    charges = workers.charges(db.session(), now, first=today - dt.timedelta(days=3), today=today)
    assert (charges.due, charges.to_retry, charges.undecided) == (1, 1, 0)
    counted = {state: number for state, (number, _) in charges.in_hand.items()}
    assert counted == {AttemptState.SENDING: 1, AttemptState.UNKNOWN: 2}
    seen = page(admin)
    assert "oldest from 1 min ago" in seen
    assert "At the provider" in seen


def test_a_paused_provider_is_shown_with_its_failures(admin: FlaskClient) -> None:
    assert "Calls go through" in page(admin)
    add(ProviderBreaker(provider="simulator", failures=6, open_until=utcnow() + dt.timedelta(seconds=15)))
    seen = page(admin)
    assert "Paused" in seen
    assert "after 6 failures in a row" in seen


def test_what_was_given_up_is_tried_again_once_and_the_trail_says_by_whom(
    admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    monkeypatch.setitem(JOBS, "write_down", lambda *, order_id: ran.append(order_id))
    message_id = given_up()
    seen = page(admin)
    assert "ZeroDivisionError: a bug" in seen
    assert "order_id: 7" in seen
    address = f"/workers/messages/{message_id}/again/"
    assert post(admin, address, fence="11").status_code == 303
    assert (message(message_id).state, message(message_id).failures) == (OutboxState.DUE, 0)
    twice = admin.post(address, data={"csrf_token": token_of(admin), "fence": "11"}, follow_redirects=True)
    assert "Somebody else has seen to it already" in twice.get_data(as_text=True)
    runner.drain()
    assert ran == [7]
    assert message(message_id).state is OutboxState.DONE
    [entry] = said("system.message.revived")
    assert (entry.entity, entry.entity_id) == ("outbox_message", str(message_id))
    assert entry.after == {"state": "DUE", "job": "write_down", "args": {"order_id": 7}}


def test_a_message_given_up_anew_since_the_page_was_loaded_is_not_tried_blindly(make: Make) -> None:
    message_id = given_up(fence=12)
    admin = make.actor(Role.ADMIN)
    with pytest.raises(Conflict):
        revive_message(admin, message_id, fence=11)
    with pytest.raises(NotFound):
        revive_message(admin, message_id + 1, fence=12)
    db.session.rollback()
    for state in (OutboxState.DUE, OutboxState.RUNNING, OutboxState.DONE):
        writing()
        db.session.execute(update(OutboxMessage).values(state=state))
        db.session.commit()
        with pytest.raises(Conflict):
            revive_message(admin, message_id, fence=12)
        assert message(message_id).state is state


def test_only_those_who_may_look_see_it_and_only_those_who_may_act_are_offered_to(make: Make) -> None:
    message_id = given_up()
    assert make.browse(Role.PAYMENTS_OPERATOR).get("/workers/").status_code == 403
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    assert post(operator, f"/workers/messages/{message_id}/again/", fence="11").status_code == 403
    assert post(operator, "/workers/rings/", key="aa").status_code == 403
    assert message(message_id).state is OutboxState.DEAD


def test_asking_for_the_state_again_and_again_is_nobodys_act(admin: FlaskClient) -> None:
    answer = admin.get("/workers/status/", headers={"X-Partial": "status"})
    assert answer.status_code == 200
    assert "<html" not in answer.get_data(as_text=True)
    parts = [line for line in answer.get_data(as_text=True).splitlines() if line.startswith(("<div", "<section"))]
    assert parts
    assert all(' id="' in line for line in parts), "a part without an id would always be replaced"


def test_hostile_errors_and_arguments_stay_text(admin: FlaskClient) -> None:
    given_up(job="<b>x</b>", args={"<i>": "<script>alert(1)</script>"}, error="<img src=x onerror=alert(2)>")
    add(Heartbeat(name="worker <script>alert(3)</script>", kind="worker", at=utcnow()))
    seen = page(admin, "/workers/")
    for junk in ("<script>alert", "<img src=x", "<b>x</b>", "<i>"):
        assert junk not in seen


@pytest.mark.once
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (86_400, "1 day ago"),
        (2e5, "2 days ago"),
    ],
)
def test_ages_are_told_in_words(seconds: float, words: str) -> None:
    assert ago(dt.timedelta(seconds=seconds)) == words


# ---- Redis ---------------------------------------------------------------------------------------------------------


def test_with_redis_down_the_page_says_so_and_shows_the_rest(admin: FlaskClient, app: Flask) -> None:
    given_up()
    with ringing(app, "unix:///nowhere/valkey.sock"):
        seen = page(admin, "/workers/")
        assert "Redis does not answer." in seen
        assert "ZeroDivisionError: a bug" in seen
        answer = admin.post("/workers/rings/", data={"csrf_token": token_of(admin), "key": "aa"}, follow_redirects=True)
        assert "Redis does not answer" in answer.get_data(as_text=True)


def test_rings_and_listening_workers_are_counted(
    admin: FlaskClient, bell: Valkey, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker()
    until(lambda: bell.client.scard("rq:workers"), what="the worker's start")
    until(lambda: "worker" in [beat.kind for beat in _beats()], what="the sign of life")
    found = rings.look(bell.url)
    assert found is not None
    assert (len(found.workers), found.failed) == (1, 0)
    seen = page(admin)
    assert "Idle" in seen
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    assert _beats() == [], "a worker that ends in good order is not looked for"


def test_a_failed_doorbell_is_rung_anew_and_never_put_back(admin: FlaskClient, bell: Valkey) -> None:
    job_id = fail(
        bell, ["payadmin.jobs.doorbell", None, [], {}], "Traceback\n  secret\nOSError: no card 4242424242424242"
    )
    seen = page(admin)
    assert "Doorbell" in seen
    assert "OSError: no card" in seen
    assert "4242424242424242" not in seen
    assert "  secret" not in seen
    key = job_id.encode().hex()
    post(admin, "/workers/rings/", key=key)
    queue = runner.queue_of(bell.client)
    assert FailedJobRegistry(queue=queue).get_job_ids() == []
    assert queue.count == 1
    assert queue.get_job_ids() != [job_id]
    assert not bell.client.exists(f"rq:job:{job_id}")
    post(admin, "/workers/rings/", key=key)
    assert queue.count == 1
    [entry] = said("system.doorbell.rung")
    assert entry.keys == {"asked_for": "payadmin.jobs.doorbell", "again": True}


@pytest.mark.parametrize(
    "data",
    [
        ["os.system", None, ["touch /tmp/x"], {}],
        ["payadmin.jobs.doorbell", None, ["x"], {}],
        ["payadmin.jobs.doorbell", "an instance", [], {}],
        ["<script>alert(1)</script>", None, [], {}],
        ["x" * 100_000, None, [], {}],
        "nonsense",
        [[[[]]]],
    ],
)
def test_what_does_not_belong_there_is_only_ever_removed(admin: FlaskClient, bell: Valkey, data: Any) -> None:
    job_id = fail(bell, data, "<script>alert(2)</script>")
    seen = page(admin)
    assert "Not ours" in seen
    assert "Ring again" not in seen
    assert "<script>alert" not in seen
    post(admin, "/workers/rings/", key=job_id.encode().hex())
    queue = runner.queue_of(bell.client)
    assert (queue.count, FailedJobRegistry(queue=queue).get_job_ids()) == (0, [])
    [entry] = said("system.doorbell.rung")
    assert entry.keys["again"] is False


def test_pickles_bombs_and_bytes_that_are_no_text_are_never_unpacked(
    admin: FlaskClient, bell: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pickle.loads", _explode)
    fail(bell, b"cos\nsystem\n(S'touch /tmp/x'\ntR.", "x")
    fail(bell, zlib.compress(b"[" * 50_000_000), "y")
    fail(bell, b"\xff\xfe\x00", "z")
    registry = FailedJobRegistry(queue=runner.queue_of(bell.client)).key
    bell.client.zadd(registry, {b"\xff\x00<script>": 1, b"no such job": 2})
    bell.client.set("rq:job:another kind", "of value")
    bell.client.zadd(registry, {"another kind": 3})
    bell.client.sadd("rq:workers", "rq:worker:<script>alert(1)</script>", "nonsense")
    bell.client.xadd("rq:results:no such job", {"exc_string": b64encode(zlib.compress(b"a" * 50_000_000))})
    Queue("payadmin", connection=bell.client, serializer=PickleSerializer).enqueue("os.getpid", b"x")
    found = rings.look(bell.url)
    assert found is not None
    assert (found.failed, found.waiting, len(found.workers)) == (6, 1, 1)
    assert {each.function for each in found.newest_failed} == {"unreadable"}
    assert "<script>" not in page(admin)
    for each in found.newest_failed:
        assert rings.take_out(bell.url, each.key) is True
        assert rings.take_out(bell.url, each.key) is False
    assert rings.take_out(bell.url, "no hex") is False


def _explode(*_: object, **__: object) -> None:
    raise AssertionError("something was unpickled")


def fail(bell: Valkey, data: Any, trace: str) -> str:
    """Put a failed job into Redis as RQ, or somebody else, would."""
    job_id = f"job-{bell.client.incr('test:jobs')}"
    raw = data if isinstance(data, bytes) else zlib.compress(json.dumps(data).encode())
    ended = utcnow().isoformat(timespec="microseconds").replace("+00:00", "Z")
    bell.client.hset(f"rq:job:{job_id}", mapping={"data": raw, "ended_at": ended, "origin": "payadmin"})
    packed = b64encode(zlib.compress(trace.encode()))
    bell.client.xadd(f"rq:results:{job_id}", {"type": 2, "exc_string": packed})
    FailedJobRegistry(queue=runner.queue_of(bell.client)).connection.zadd(
        FailedJobRegistry(queue=runner.queue_of(bell.client)).key, {job_id: utcnow().timestamp() + 3600}
    )
    return job_id


def _beats() -> list[Heartbeat]:
    db.session.rollback()
    return db.session.query(Heartbeat).filter_by(kind="worker").all()
