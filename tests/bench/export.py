"""The export of a whole list as CSV and XLSX: time, first byte and memory, beside stock Flask-Admin in the same run."""

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import click
import psutil
from sqlalchemy import func, select

from payadmin import create_app
from payadmin.db import db
from payadmin.models.payments import Mode, Payment
from payadmin.permissions import Role
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.history import build
from tests.bench.list import bench_settings
from tests.support.signin import make_staff

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("csv", "xlsx")
STOCK_ROWS = 50_000  # stock keeps everything in memory: about 3 GB for a million rows
MEMORY_LIMIT_MB = 150
LOOK_SECONDS = 0.02


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Payments to make.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, as_json: bool, kind: str) -> None:
    """CSV and XLSX of every live payment through the real endpoint, each by a fresh process."""
    say = Say()
    say("starting")
    report = Report("export", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        build(url, rows, say)
        measure(report, url, Path(folder), say)
    report.show(as_json=as_json)


def measure(report: Report, url: str, folder: Path, say: Say) -> None:
    """Export with payadmin, then with stock Flask-Admin; check the files, and write down what they took."""
    app = create_app(bench_settings(url, folder))
    with app.app_context():
        staff_id = make_staff(Role.ADMIN).id
        live = db.session.scalar(select(func.count()).select_from(Payment).where(Payment.mode == Mode.LIVE)) or 0
        db.session.remove()
        db.engine.dispose()
    few = min(STOCK_ROWS, live)
    for kind in KINDS:
        ours = export("payadmin", kind, url, folder, staff_id, live)
        say(f"{kind}: {ours['seconds']} s, {ours['memory_mb']} MB above idle")
        stock = export("stock", kind, url, folder, staff_id, few)
        say(f"{kind} by stock, {few:,} rows: {stock['seconds']} s, {stock['memory_mb']} MB above idle")
        report.figures[kind] = ours
        report.figures[f"stock_{kind}"] = stock
        for ratio, key in (("seconds", "seconds"), ("cpu", "cpu_seconds")):
            share = (stock[key] / few) / (ours[key] / live)
            report.ratios[f"{kind}_{ratio}_a_row"] = shorter(share)
        report.ratios[f"{kind}_memory"] = shorter(stock["memory_mb"] / max(ours["memory_mb"], 1))
        report.goals[f"{kind}_memory_mb"] = Goal(ours["memory_mb"], MEMORY_LIMIT_MB)
    report.notes += [
        f"Ratios: stock Flask-Admin 2.2.1 over payadmin; times are a row's: stock exported {few:,}, payadmin {live:,}.",
        "payadmin's files hold more columns; the confirmation with a fresh code is part of its time.",
        "Each export ran in a process of its own; memory is the most above idle, without files that are only mapped.",
    ]


def export(name: str, kind: str, url: str, folder: Path, staff_id: int, rows: int) -> dict[str, Any]:
    """Run one export in a child process, watch its memory, and check the file."""
    file = folder / f"{name}.{kind}"
    command = [sys.executable, "-m", "tests.bench.export_child", name, kind, url, str(staff_id), str(file), str(rows)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline() or "{}").get("ready"), f"{name} {kind} did not start"
        process = psutil.Process(child.pid)
        idle = peak = private(process)
        child.stdin.write("go\n")
        child.stdin.flush()
        while child.poll() is None:
            try:
                peak = max(peak, private(process))
            except psutil.Error:
                break
            time.sleep(LOOK_SECONDS)
        told = json.loads(child.stdout.readline() or "{}")
    assert child.returncode == 0, f"{name} {kind} failed"
    found = rows_in(file)
    assert found == rows, f"{name} {kind}: {found:,} rows instead of {rows:,}"
    size = file.stat().st_size
    file.unlink()
    return {
        "rows": rows,
        "seconds": shorter(told["seconds"]),
        "first_byte_seconds": shorter(told["first_byte"]),
        "cpu_seconds": shorter(told["cpu_seconds"]),
        "memory_mb": shorter((peak - idle) / 2**20),
        "idle_mb": shorter(idle / 2**20),
        "file_mb": shorter(size / 2**20),
    }


def private(process: psutil.Process) -> int:
    """The memory that only this process uses: what is mapped from files (SQLite maps its database) can be dropped."""
    found = process.memory_info()
    return int(found.rss - getattr(found, "shared", 0))


def rows_in(file: Path) -> int:
    """The rows in a file, without its heading."""
    if file.suffix == ".csv":
        with file.open("rb") as lines:
            return sum(1 for _ in lines) - 1
    count = 0
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/"):
                rest = b""
                with archive.open(name) as sheet:
                    while block := sheet.read(1 << 20):
                        text = rest + block
                        count += text.count(b"</row>")
                        rest = text[text.rfind(b"<") :] if text.rfind(b">") < text.rfind(b"<") else b""
                count -= 1
    return count
