"""A large batch: taken in, checked and processed by a worker while pages are asked for, beside the bare limits."""

import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import psutil
from flask import Flask
from python_calamine import CalamineWorkbook
from sqlalchemy import Table, insert, select, text

from payadmin import create_app
from payadmin.actions.batches.reading import read_sheet
from payadmin.db import db
from payadmin.kernel.sheets import MAX_BYTES
from payadmin.migrations import upgrade
from payadmin.models.batches import CHECKED, BatchKind, BatchRow, BatchStatus
from payadmin.permissions import Role
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.list import bench_settings
from tests.support.batches import PAYMENT_COLUMNS, BatchRoom, csv_file, xlsx_file
from tests.support.billing import Office
from tests.support.crash import ROOT, environment
from tests.support.make import Make
from tests.support.signin import sign_in
from tests.support.simulator import Simulator

MEMORY_LIMIT_MB = 300
PEOPLE = 1_000
PAGE = "/scheduled-charges/"
PATIENCE = 1_800


@click.command()
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(100, 100_000), help="Rows of the file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, as_json: bool, kind: str) -> None:
    """Upload a file of single payments of next month, check and process it; nothing is charged meanwhile."""
    say = Say()
    say("starting")
    report = Report("batch", rows, kind)
    with (
        database_of(kind) as url,
        Simulator() as provider,
        tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder,
    ):
        upgrade(url)
        app = create_app(replace(bench_settings(url, Path(folder)), simulator_url=provider.url))
        with app.app_context():
            room = BatchRoom(Office(app, Make(app), provider), customers=PEOPLE)
            measure(report, app, room, rows, say)
            db.session.remove()
            db.engine.dispose()
    report.show(as_json=as_json)


def measure(report: Report, app: Flask, room: BatchRoom, rows: int, say: Say) -> None:
    """Take in, check, process; then the same rows by the bare reader and the bare insert."""
    later = room.office.day(30).isoformat()
    payments = [
        room.payment(
            1 + n % PEOPLE, invoice_number=f"I-{n:06}", execute_date=later, card_no="", card_token="tok_visa",
            card_holder_phone="", description="",
        )
        for n in range(rows)
    ]  # fmt: skip
    data = csv_file(payments, PAYMENT_COLUMNS)
    assert len(data) <= MAX_BYTES
    client: Any = sign_in(app, Role.PAYMENTS_OPERATOR)
    say(f"{rows:,} rows, {len(data) / 2**20:.1f} MB; tables and statistics as they are")
    quiet = pages(client, lambda: False, at_least=20)
    process, began = psutil.Process(), time.perf_counter()
    idle = process.memory_info().rss
    batch_id = room.upload(data)
    upload = {
        "seconds": shorter(time.perf_counter() - began),
        "memory_mb": shorter((process.memory_info().rss - idle) / 2**20),
    }
    say(f"taken in: {upload}")
    worker = Worker(app)
    try:
        checked = watch(worker, client, rows, lambda: room.batch(batch_id).status in CHECKED)
        say(f"checked: {checked}")
        assert room.batch(batch_id).rows_valid == rows
        room.process(batch_id)
        processed = watch(worker, client, rows, lambda: room.batch(batch_id).status is BatchStatus.PROCESSED)
        say(f"processed: {processed}")
        assert room.batch(batch_id).rows_done == rows
    finally:
        worker.end()
    bare = limits(room, xlsx_file(payments, PAYMENT_COLUMNS), batch_id)
    say(f"limits: {bare}")
    report.figures |= {"upload": upload, "check": checked, "process": processed, "page_quiet_ms": quiet, "bare": bare}
    report.ratios |= {
        "check_over_bare_insert": shorter(checked["seconds"] / bare["insert_seconds"]),
        "process_over_bare_insert": shorter(processed["seconds"] / bare["insert_seconds"]),
        "read_xlsx_over_calamine": shorter(bare["read_sheet_seconds"] / bare["calamine_seconds"]),
        "page_while_checking_over_quiet": shorter(checked["page_ms"] / quiet),
        "page_while_processing_over_quiet": shorter(processed["page_ms"] / quiet),
    }
    most = max(upload["memory_mb"], checked["memory_mb"], processed["memory_mb"])
    report.goals["memory_mb"] = Goal(most, MEMORY_LIMIT_MB)
    report.notes += [
        "check: from the worker's start to the last row; process: from the confirmation to the last charge ordered.",
        "bare insert: the batch's own rows, in one transaction, by the driver; calamine: the same as XLSX.",
        f"page: median of {PAGE} while the worker works, and before it.",
    ]


class Worker:
    """A worker process that does whatever is due, and the most memory it was seen with."""

    def __init__(self, app: Flask) -> None:
        command = [sys.executable, "-m", "tests.support.doomed_worker", "never"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(app), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"
        self.seen = psutil.Process(self.process.pid)
        self.idle = self.peak = self.seen.memory_info().rss

    def look(self) -> None:
        self.peak = max(self.peak, self.seen.memory_info().rss)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def watch(worker: Worker, client: Any, rows: int, done: Callable[[], bool]) -> dict[str, Any]:
    """Ask for pages until the worker is done; how long that took, and what it cost."""
    began = time.perf_counter()

    def is_done() -> bool:
        worker.look()
        assert time.perf_counter() - began < PATIENCE
        db.session.rollback()
        return done()

    page_ms = pages(client, is_done)
    seconds = time.perf_counter() - began
    return {
        "seconds": shorter(seconds),
        "rows_per_second": shorter(rows / seconds),
        "memory_mb": shorter((worker.peak - worker.idle) / 2**20),
        "page_ms": page_ms,
    }


def pages(client: Any, done: Callable[[], bool], *, at_least: int = 1) -> float:
    """The median time of a page, asked for again and again until `done`."""
    taken: list[float] = []
    while len(taken) < at_least or not done():
        began = time.perf_counter()
        assert client.get(PAGE).status_code == 200
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(0.05)
        if at_least > 1 and len(taken) >= at_least:
            break
    return shorter(statistics.median(taken))


def limits(room: BatchRoom, workbook: bytes, batch_id: int) -> dict[str, Any]:
    """What the bare reader and the bare insert take for the same rows."""
    began = time.perf_counter()
    read = sum(1 for _ in CalamineWorkbook.from_filelike(io.BytesIO(workbook)).get_sheet_by_index(0).iter_rows())
    calamine = time.perf_counter() - began
    began = time.perf_counter()
    sheet = read_sheet(workbook, "f.xlsx", BatchKind.SINGLE_PAYMENT, room.settings.totp_keys)
    ours = time.perf_counter() - began
    assert read == len(sheet.rows) + 1
    table: Any = BatchRow.__table__
    assert isinstance(table, Table)
    rows = [dict(row._mapping) for row in db.session.execute(select(table).where(table.c.batch_id == batch_id))]
    for row in rows:
        del row["id"]
        row["row_number"] += 1_000_000
    db.session.rollback()
    began = time.perf_counter()
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin() as transaction:
        for first in range(0, len(rows), 1_000):
            connection.execute(insert(table), rows[first : first + 1_000])
        connection.execute(text("SELECT 1"))
        transaction.rollback()
    return {
        "calamine_seconds": shorter(calamine),
        "read_sheet_seconds": shorter(ours),
        "insert_seconds": shorter(time.perf_counter() - began),
    }
