"""A file written by `payadmin worker` as a real process: rung, killed in the middle, and begun anew by the next."""

import csv
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from sqlalchemy import insert

from payadmin import outbox
from payadmin.db import db, utcnow
from payadmin.jobs import JOBS, runner
from payadmin.jobs.exports import sweep_files
from payadmin.models.exports import ExportStatus
from payadmin.models.payments import Channel, Mode, Payment, PaymentStatus, PaymentType
from tests.support.make import writing
from tests.support.workers import WorkerProcess, until

Start = Callable[..., WorkerProcess]
MANY = 20_000


def many_payments(room: Any) -> None:
    known = room.make.payment()
    same = {
        "merchant_id": known.merchant_id,
        "customer_id": known.customer_id,
        "type": PaymentType.DIRECT,
        "channel": Channel.WEB,
        "provider": "simulator",
        "amount_minor": 10_00,
        "unit": known.unit,
        "method": known.method,
        "status": PaymentStatus.PAID,
        "captured_minor": 10_00,
        "mode": Mode.LIVE,
        "created_at": utcnow(),
    }
    writing()
    rows = [same | {"transaction_id": f"M-{place:06}", "invoice_number": f"MI-{place:06}"} for place in range(MANY)]
    db.session.execute(insert(Payment).execution_options(explained=True), rows)
    db.session.commit()


def test_a_worker_that_is_rung_writes_the_file_within_seconds(room: Any, bell: Any, start_worker: Start) -> None:
    assert bell
    start_worker()
    client = room.person()
    export = room.asked(client)
    until(lambda: room.export(export.id).status is ExportStatus.READY, what="the file")
    assert client.get(f"/exports/{export.id}/download/").status_code == 200


def test_a_worker_killed_in_the_middle_leaves_the_file_to_the_next_and_one_file_is_served(
    room: Any, bell: Any, start_worker: Start, pass_time: Callable[..., None]
) -> None:
    assert bell
    many_payments(room)
    client = room.person()
    worker = start_worker()
    until(lambda: bell.client.smembers("rq:workers"), what="the worker's presence")
    export = room.asked(client, "/transactions/export/xlsx/")
    until(lambda: room.export(export.id).status is ExportStatus.RUNNING and room.files(), what="the beginning")
    for process in (*worker.horses, psutil.Process(worker.process.pid)):
        process.kill()
    worker.process.wait()
    found = room.export(export.id)
    assert found.status is ExportStatus.RUNNING, "it was killed too late to prove anything"
    assert client.get(f"/exports/{export.id}/download/").status_code == 409
    half = room.files()
    assert len(half) == 1
    pass_time(minutes=3)
    start_worker()
    outbox.ring()  # as the scheduler's tick does; the promise itself is in the database
    until(lambda: room.export(export.id).status is ExportStatus.READY, what="the second attempt")
    found = room.export(export.id)
    assert (found.attempt, found.rows_done) == (2, MANY + 6)
    assert found.file not in half
    data = client.get(f"/exports/{export.id}/download/").data
    assert hashlib.sha256(data).hexdigest() == found.sha256
    for name in room.files():
        os.utime(room.folder / name, (0, 0))
    sweep_files(room.app.extensions["payadmin.settings"])
    assert not set(half) & set(room.files())


def test_a_long_job_keeps_no_other_waiting(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setitem(JOBS, "a_long_job", lambda: end.wait(30) and None)
    monkeypatch.setattr(runner, "LONG_SECONDS", 0.1)
    writing()
    outbox.promise(db.session(), "a_long_job", {})
    db.session.commit()

    def horse() -> None:
        with room.app.app_context():
            runner.drain(seconds=0.2)

    thread = threading.Thread(target=horse)
    thread.start()
    try:
        time.sleep(1)  # the usual time for claims is over
        export = room.asked(room.person())
        until(lambda: room.export(export.id).status is ExportStatus.READY, seconds=15, what="the file")
        assert thread.is_alive()
    finally:
        end.set()
        thread.join()


def test_a_cancel_stops_a_worker_in_the_middle_of_a_file(room: Any, bell: Any, start_worker: Start) -> None:
    assert bell
    many_payments(room)
    client = room.person()
    start_worker()
    export = room.asked(client, "/transactions/export/xlsx/")
    until(room.files, what="the beginning")
    room.post(client, f"/exports/{export.id}/cancel/", f"/exports/{export.id}/")
    assert room.export(export.id).status is ExportStatus.CANCELLED
    until(lambda: not room.files(), what="the end of the file")
    next_one = room.asked(client, "/transactions/export/csv/?search=T-00000")
    until(lambda: room.export(next_one.id).status is ExportStatus.READY, what="the next file")
    text = client.get(f"/exports/{next_one.id}/download/").text
    assert len(list(csv.reader(io.StringIO(text)))) == 6
