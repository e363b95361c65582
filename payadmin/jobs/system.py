"""Measuring the machine: every minute, on each host where a scheduler or a worker runs."""

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import psutil

from payadmin import outbox
from payadmin.actions import system
from payadmin.db import db
from payadmin.queries.system import connections, database_bytes
from payadmin.queries.workers import promises
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

EVERY_SECONDS = 60
FIRST_LOOK_SECONDS = 0.2
_due = 0.0
_one = threading.Lock()


def here() -> str:
    """What this machine is called."""
    return socket.gethostname()[:60]


def measure(settings: "Settings", *, seconds: float | None = None) -> dict[str, int]:
    """How this machine is doing, with shares per mille and the load times a hundred.

    Args:
        seconds: how long the CPU is watched; without it, since the last time that this process asked.
    """
    folder = settings.files_folder
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return {
        "cpu": int(psutil.cpu_percent(seconds) * 10),
        "memory": int(psutil.virtual_memory().percent * 10),
        "disk": int(psutil.disk_usage(str(folder)).percent * 10),
        "load": int(os.getloadavg()[0] * 100),
    }


def keep_measure(settings: "Settings") -> None:
    """Keep the measure of this minute, if that is not done."""
    global _due
    with _one:
        if time.monotonic() < _due:
            return
        is_first, _due = _due == 0, time.monotonic() + EVERY_SECONDS
    session = db.session()
    now = outbox.database_now(session)
    open_now = promises(session, now)
    oldest = open_now.oldest_due_at
    overdue = max(int((now - oldest).total_seconds()), 0) if oldest is not None else 0
    values = measure(settings, seconds=FIRST_LOOK_SECONDS if is_first else None) | {
        "database_bytes": database_bytes(session),
        "connections": connections(session),
        "waiting": open_now.due + open_now.running,
        "overdue_seconds": overdue,
    }
    session.rollback()
    system.keep_sample(SYSTEM, host=here(), values=values)
