"""Monitoring shows the machine, the database and the work; machines ask without a person; nothing is kept for ever."""

import datetime as dt
import json
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select

from payadmin.actions import system as acts
from payadmin.config import Settings, SettingsError
from payadmin.db import db, utcnow
from payadmin.jobs import system as jobs
from payadmin.jobs.audit import keep_seals
from payadmin.jobs.runner import beat
from payadmin.models.system import Backup, Sample, WebMinute
from payadmin.permissions import Role
from payadmin.queries import system as asked
from payadmin.views.system.monitoring import LINES, RANGES
from payadmin.views.system.requests import COUNTER, write_down
from payadmin.work import SYSTEM
from tests.support.desk import told
from tests.support.make import Make

TOKEN = "t" * 40
VALUES = {"cpu": 123, "memory": 456, "disk": 789, "load": 150, "database_bytes": 5_000_000, "connections": 3,
          "waiting": 2, "overdue_seconds": 7}  # fmt: skip


def count(model: Any) -> int:
    found = db.session.scalar(select(func.count()).select_from(model))
    db.session.rollback()
    return int(found or 0)


def test_the_page_shows_machines_database_work_errors_and_backups(app: Flask, make: Make) -> None:
    acts.keep_sample(SYSTEM, host="db-2", values=VALUES)
    beat("worker 1", "worker")
    acts.note_backup(SYSTEM, host="db-2", file="/b/x.tar", size=3_000_000, sha256="a" * 64, seconds=4, head="1:aa")
    client = make.browse(Role.ADMIN)
    for path in ("/monitoring/", "/monitoring/status/"):
        text = client.get(path).text
        for words in ("db-2", "12.3 %", "45.6 %", "78.9 %", "1.50", "/b/x.tar", "2.8 MB", "Signs of life", "On time"):
            assert words in text, (path, words)
    assert "No backup was written yet" not in text


def test_an_empty_world_says_what_to_do(app: Flask, make: Make) -> None:
    text = make.browse(Role.ADMIN).get("/monitoring/").text
    assert "payadmin backup FOLDER" in text
    assert "None lately" in text


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("days", [days for days, _ in RANGES])
def test_every_line_is_drawn_for_every_range_light_and_dark(app: Flask, make: Make, name: str, days: int) -> None:
    now = utcnow().replace(second=0, microsecond=0)
    rows = [VALUES | {"host": host, "at": now - dt.timedelta(minutes=m)} for host in "ab" for m in range(0, 30, 10)]
    answers = [{"at": now - dt.timedelta(minutes=m), "requests": 9, "errors": 1, "milliseconds": 90} for m in (1, 2)]
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(insert(Sample.__table__), rows)
        connection.execute(insert(WebMinute.__table__), [each | {"slowest": 50} for each in answers])
    client = make.browse(Role.ADMIN)
    for theme in ("light", "dark"):
        item = json.loads(client.get(f"/monitoring/lines/{name}/?days={days}&theme={theme}").text)
        assert item["root_id"]
        assert "CustomJS" not in json.dumps(item)
    assert client.get(f"/monitoring/lines/{name}/?days=2").status_code == 400
    assert client.get("/monitoring/lines/other/").status_code == 404


def test_spans_hold_their_highest_value_and_what_was_answered(app: Flask) -> None:
    start = dt.datetime(2026, 7, 1, 10, 0, tzinfo=dt.UTC)
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        for minute, cpu in ((0, 100), (4, 900), (5, 300)):
            at = start + dt.timedelta(minutes=minute)
            connection.execute(insert(Sample.__table__), [VALUES | {"host": "a", "at": at, "cpu": cpu}])
            answered = {"at": at, "requests": 10, "errors": minute, "milliseconds": 500, "slowest": 90}
            connection.execute(insert(WebMinute.__table__), [answered])
    epoch = int(start.timestamp())
    session = db.session()
    assert asked.line(session, "cpu", since=start, seconds=300) == [(epoch, 900), (epoch + 300, 300)]
    assert asked.answered(session, since=start, seconds=300) == [(epoch, 20, 4, 50), (epoch + 300, 10, 5, 50)]


def test_a_minute_is_kept_once_a_machine_and_thirty_days_long(app: Flask) -> None:
    old = utcnow() - dt.timedelta(days=31)
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(insert(Sample.__table__), [VALUES | {"host": "a", "at": old}])
        connection.execute(insert(WebMinute.__table__), [{"at": old, "requests": 1}])
    for host in ("a", "a", "b"):
        acts.keep_sample(SYSTEM, host=host, values=VALUES)
    assert count(Sample) in {2, 3}  # the minute may have changed meanwhile
    assert count(WebMinute) == 0


def test_this_machine_is_measured_once_a_minute(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_due", 0.0)
    for _ in range(3):
        jobs.keep_measure(settings)
    [sample] = db.session.scalars(select(Sample)).all()
    assert 0 <= sample.cpu <= 1000
    assert 0 < sample.memory <= 1000
    assert sample.database_bytes > 100_000
    assert sample.waiting == 0


def test_answers_of_all_processes_are_added_up_by_the_minute(app: Flask, make: Make) -> None:
    counter = app.extensions[COUNTER]
    counter.take(now=True)
    client = make.browse(Role.ADMIN)
    counter.take(now=True)
    client.get("/healthz")
    client.get("/monitoring/")
    client.get("/no-such-page")
    write_down(counter, now=True)
    counter.note(500, 70)
    write_down(counter, now=True)
    rows = db.session.scalars(select(WebMinute)).all()
    assert sum(row.requests for row in rows) == 3
    assert sum(row.errors for row in rows) == 1
    assert max(row.slowest for row in rows) >= 70
    db.session.rollback()
    counter.note(200, 1)
    assert counter.take() == {}, "it is not time yet"
    counter.take(now=True)


def test_only_administrators_see_it(app: Flask, make: Make) -> None:
    for role in Role:
        expected = 200 if role is Role.ADMIN else 403
        assert make.browse(role).get("/monitoring/").status_code == expected


# ---- machines that ask ----------------------------------------------------------------------------------------------


def test_a_process_is_alive_whatever_the_database_does(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"alive": True})


def test_a_process_is_ready_with_its_database_and_its_schema(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = app.test_client()
    body = {"ready": True, "database": "ok", "schema": "ok", "redis": "not configured"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, body)
    monkeypatch.setattr("payadmin.views.system.probes.head", lambda: "9999")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["ready"]) == (503, False)
    assert "9999" in answer.json["schema"]


def test_a_silent_redis_slows_the_work_but_stops_nothing(app: Flask) -> None:
    with told(app, redis_url="redis://127.0.0.1:9/0"):
        answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["redis"]) == (200, "no answer")


@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        ("", f"Bearer {TOKEN}", 404),
        (TOKEN, "", 401),
        (TOKEN, f"Bearer {TOKEN}x", 401),
        (TOKEN, TOKEN, 401),
        (TOKEN, "Bearer é", 401),
        (TOKEN, f"Bearer {TOKEN}", 200),
    ],
)
def test_metrics_need_their_token(app: Flask, token: str, header: str, status: int) -> None:
    with told(app, metrics_token=token):
        answer = app.test_client().get("/metrics", headers={"Authorization": header} if header else {})
    assert answer.status_code == status
    assert ("payadmin_" in answer.text) == (status == 200)


def test_metrics_come_from_the_database(app: Flask, settings: Settings, make: Make) -> None:
    beat("worker 1", "worker")
    acts.keep_sample(SYSTEM, host="db-2", values=VALUES)
    acts.count_requests(SYSTEM, minute=utcnow(), requests=7, errors=2, milliseconds=70, slowest=40)
    acts.note_backup(SYSTEM, host="h", file="/b", size=1, sha256="a", seconds=1, head="")
    keep_seals(settings)
    make.payment()
    with told(app, metrics_token=TOKEN):
        text = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    for line in (
        "payadmin_web_requests_5m 7.0",
        "payadmin_web_errors_5m 2.0",
        'payadmin_host_cpu_permille{host="db-2"} 123.0',
        'payadmin_outbox_messages{state="given_up"} 0.0',
        "payadmin_audit_unsealed_events 0.0",
        'payadmin_backup_age_seconds{backup="known"}',
        'payadmin_heartbeat_age_seconds{kind="worker"}',
    ):
        assert line in text, line
    assert count(Backup) == 1


@pytest.mark.once
def test_a_short_token_and_an_unknown_format_are_refused() -> None:
    given = {"DATABASE_URL": "sqlite:///x.db", "SECRET_KEY": "s" * 40, "TOTP_KEYS": "a" * 43 + "="}
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(given | {"METRICS_TOKEN": "short", "LOG_FORMAT": "xml"})
    assert "METRICS_TOKEN must have" in str(refused.value)
    assert "LOG_FORMAT must be" in str(refused.value)


@pytest.mark.once
def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = "import sys; from payadmin.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "print([m for m in ('bokeh', 'psutil', 'prometheus_client', 'sentry_sdk', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
