"""A file says the same whether it is streamed at once or written by a worker; what lies beside files harms nobody."""

import csv
import datetime as dt
import io
import os
from typing import Any

import pytest
from sqlalchemy import select

from payadmin.db import db
from payadmin.jobs.exports import FORGET_FILES_SECONDS, sweep_files
from payadmin.kernel.schedules import ALL_MONTHS, Schedule, ScheduleKind
from payadmin.models.audit import AuditEvent
from payadmin.models.exports import ExportStatus
from payadmin.models.subscriptions import schedule_values
from tests.support.desk import told

MONDAYS = Schedule(ScheduleKind.DAY, weekdays=(1,), months=ALL_MONTHS)


@pytest.mark.parametrize("page", ["transactions", "subscriptions", "registration", "all-report"])
def test_what_a_page_works_out_stands_in_both_files(room: Any, page: str) -> None:
    for _ in range(5):
        room.make.subscription(start_date=dt.date(2026, 1, 1), **schedule_values(MONDAYS))
    client, address = room.person(), f"/{page}/export/csv/"
    asked = room.asked(client, address)
    room.work()
    written = room.export(asked.id)
    assert written.status is ExportStatus.READY, written.reason
    with told(room.app, export_job_rows=1_000):
        streamed = client.get(address).text
    file = (room.folder / written.file).read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(file)))
    assert len(rows) == 6
    assert rows == list(csv.reader(io.StringIO(streamed.removeprefix("\ufeff"))))
    if page == "registration":
        assert "Every Monday" in rows[1]


def test_the_trail_of_an_export_holds_no_personal_data(room: Any) -> None:
    for _ in range(5):
        room.make.payment(card_holder_name="ANA LOPEZ", card_holder_phone="+447700900123")
    client, address = room.person(), "/all-report/export/csv/?card_holder_phone=%2B447700900123"
    asked = room.asked(client, address)
    room.work()
    assert room.export(asked.id).status is ExportStatus.READY
    assert client.get(f"/exports/{asked.id}/download/").status_code == 200
    with told(room.app, export_job_rows=1_000):
        assert client.get(address).status_code == 200
        assert client.get("/transactions/export/csv/?search=ana.lopez%40example.com").status_code == 200
    db.session.rollback()
    said = [entry.keys["filter"] for entry in db.session.scalars(select(AuditEvent)) if "filter" in (entry.keys or {})]
    assert "card_holder_phone=•••23" in said
    assert "search=a•••@example.com" in said
    assert not [words for words in said if "7700900" in words or "lopez" in words]


def test_what_was_left_behind_is_swept_and_what_cannot_be_looked_at_is_left_alone(room: Any) -> None:
    room.folder.mkdir(parents=True)
    (room.folder / "dangling").symlink_to("nowhere")
    old = room.folder / "old.csv"
    old.write_text("nobody's")
    long_ago = old.stat().st_mtime - FORGET_FILES_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    assert sweep_files(room.app.extensions["payadmin.settings"]) == 1
    assert room.files() == ["dangling"]
