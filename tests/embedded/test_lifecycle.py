"""`payadmin up` as a real process: it starts everything, ends everything, and can be started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = pytest.mark.once

CLI = [sys.executable, "-m", "payadmin.cli"]
PATIENCE = 60


class Up:
    """One `payadmin up` on a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> psutil.Process:
        env = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
        # A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit what is ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [*CLI, "up", "--home", str(self.home), "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=env,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/login", timeout=2).status_code == 200:
                    return psutil.Process(self.process.pid)
            except httpx.HTTPError:
                assert self.process.poll() is None, self.process.stdout.read()
                time.sleep(0.2)
        pytest.fail("payadmin up did not answer in time")

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None:
            self.process.stdout.close()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    home = tmp_path / "home"
    made = subprocess.run(
        [
            *CLI,
            "user",
            "create-admin",
            "--username",
            "boss",
            "--full-name",
            "B",
            "--email",
            "b@e.it",
            "--home",
            str(home),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={key: value for key, value in os.environ.items() if key != "DATABASE_URL"},
    )
    assert "boss" in made.stdout
    found = Up(home)
    yield found
    found.end()


def family(parent: psutil.Process) -> list[psutil.Process]:
    """The children once all four are there."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        children = parent.children(recursive=True)
        lines = " | ".join(" ".join(child.cmdline()) for child in children if child.is_running())
        if all(word in lines for word in ("simulator", "valkey-server", "worker", "scheduler")):
            return children
        time.sleep(0.1)
    pytest.fail(f"only these children came up: {lines}")


def gone(children: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(children, timeout=30)
    return not alive


def test_a_home_is_used_once_heals_itself_stops_politely_and_goes_on(up: Up) -> None:
    parent = up.start()
    worker = next(child for child in family(parent) if child.cmdline()[-1:] == ["worker"])

    second = subprocess.run(
        [*CLI, "up", "--home", str(up.home), "--port", "0"], capture_output=True, text=True, check=False
    )
    assert second.returncode != 0
    assert f"http://127.0.0.1:{up.port}/" in second.stderr

    worker.kill()
    psutil.wait_procs([worker], timeout=30)
    children = family(parent)

    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(PATIENCE) == 0
    assert gone(children)
    up.process.stdout.close()

    children = family(up.start())
    up.process.send_signal(signal.SIGINT)
    up.process.wait(PATIENCE)
    assert gone(children)


def test_the_sudden_death_of_the_parent_ends_every_part(up: Up) -> None:
    children = family(up.start())

    up.process.kill()

    assert gone(children)
