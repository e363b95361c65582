"""Crashes: a process that dies at any commit, and real processes to be killed at one exact point."""

import base64
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from flask import Flask
from flask_sqlalchemy.session import Session

from payadmin.config import Settings
from payadmin.db import db

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
Case = TypeVar("Case")


class Crash(BaseException):
    """The process is gone. Nothing catches it, and nothing is committed after it."""


@contextmanager
def crash_at(nth: int, *, after: bool) -> Iterator[Callable[[], bool]]:
    """Die at the nth commit, before or after it reached the database; yields whether that has happened."""
    lock, state = threading.Lock(), {"commits": 0, "dead": False}
    commit = Session.commit

    def dying(self: Session) -> None:
        with lock:
            state["commits"] += 1
            mine = state["commits"] == nth
            if state["dead"]:
                raise Crash
            state["dead"] = mine
        if mine and not after:
            raise Crash
        commit(self)
        if mine:
            raise Crash

    Session.commit = dying  # type: ignore[method-assign]
    try:
        yield lambda: bool(state["dead"])
    finally:
        Session.commit = commit  # type: ignore[method-assign]


def survives_any_crash(
    begin: Callable[[], Case],
    scenario: Callable[[Case], None],
    world: Callable[[Case], object],
    *,
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Run `scenario` with a crash before and after its n-th commit, for every n, then again to its end.

    Args:
        begin: makes a fresh case.
        scenario: what happens; it is run again from its start after the crash, as a person or a job would.
        world: what is true of a case in the end; it must be the same as without a crash.
        meanwhile: what happens between the crash and the second run, such as time that passes.

    Returns:
        How many crashes were survived.
    """
    undisturbed = begin()
    scenario(undisturbed)
    expected = world(undisturbed)
    nth, survived = 0, 0
    while True:
        nth += 1
        for after in (False, True):
            case = begin()
            with crash_at(nth, after=after) as crashed:
                try:
                    scenario(case)
                except Crash:
                    db.session.rollback()
            if not crashed():
                return survived
            meanwhile()
            scenario(case)
            found = world(case)
            when = f"{'after' if after else 'before'} commit {nth}"
            assert found == expected, f"a crash {when} made {found} of {expected}"
            survived += 1


def environment(app: Flask, **changes: str) -> dict[str, str]:
    """The environment that gives a child process the settings of `app`."""
    settings: Settings = app.extensions["payadmin.settings"]
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": settings.secret_key,
        "TOTP_KEYS": ",".join(base64.urlsafe_b64encode(key).decode() for key in settings.totp_keys),
        "SIMULATOR_URL": settings.simulator_url,
        "PROVIDER_TIMEOUT_SECONDS": str(settings.provider_timeout_seconds),
        "FILES_FOLDER": str(settings.files_folder),
        "REDIS_URL": settings.redis_url,
        **changes,
    }


class Doomed:
    """A real worker process that halts at one point of its work, to be killed there (`doomed_worker.py`)."""

    def __init__(self, app: Flask, point: str) -> None:
        command = [sys.executable, "-m", "tests.support.doomed_worker", point]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(app), stdout=subprocess.PIPE, text=True)

    def wait_for(self, line: str) -> None:
        """Wait until the process says `line`."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        said = self.process.stdout.readline().strip() if readable else "nothing"
        assert said == line, f"the worker said {said!r} instead of {line!r}"

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, closed or said."""
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL
        assert self.process.stdout is not None
        self.process.stdout.close()
