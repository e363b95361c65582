"""What a benchmark says: progress on standard error, one report on standard output, exit status 1 for a missed goal."""

import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

DATABASES = ("postgresql", "sqlite")


@dataclass(frozen=True)
class Goal:
    """A figure and the most it may be."""

    value: float
    limit: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


def this_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


@dataclass
class Report:
    """Figures of this machine, ratios to a peer or a limit measured in the same run, and goals."""

    name: str
    rows: int
    database: str
    figures: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, Goal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=this_machine)

    def show(self, *, as_json: bool) -> None:
        """Print the report and end the process, with status 1 when a goal is missed."""
        body = {
            "name": self.name,
            "machine": {**self.machine, "database": self.database},
            "rows": self.rows,
            "figures": self.figures,
            "ratios": self.ratios,
            "goals": {
                name: {"value": goal.value, "limit": goal.limit, "met": goal.met} for name, goal in self.goals.items()
            },
            "notes": self.notes,
        }
        click.echo(json.dumps(body) if as_json else _text(body))
        sys.exit(0 if all(goal.met for goal in self.goals.values()) else 1)


class Say:
    """Progress on standard error, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, what: str) -> None:
        click.echo(f"{time.monotonic() - self._start:7.1f} s  {what}", err=True)


@contextlib.contextmanager
def database_of(kind: str) -> Iterator[str]:
    """The address of an empty database of its own, gone afterwards. PostgreSQL keeps fsync on, as in production."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
            yield f"sqlite:///{Path(folder) / 'bench.db'}"
        return
    from tests.support.postgres import embedded_postgres

    with embedded_postgres(durable=True) as url:
        yield url


def shorter(value: float) -> float:
    """Three digits are all that a benchmark knows."""
    return float(f"{value:.3g}")


def _text(body: dict[str, Any]) -> str:
    lines = [f"{body['name']}, {body['rows']:,} rows, {body['machine']}"]
    for part in ("figures", "ratios"):
        lines += ["", part]
        lines += [f"  {key:28} {value}" for key, value in body[part].items()]
    lines += ["", "goals"]
    lines += [
        f"  {key:28} {goal['value']} of at most {goal['limit']}: {'met' if goal['met'] else 'MISSED'}"
        for key, goal in body["goals"].items()
    ]
    return "\n".join([*lines, "", *body["notes"]])
