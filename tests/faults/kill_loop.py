"""`payadmin faults kill-loop`: real workers, a provider in its own process, death at random moments (P1–P3, P7).

Subscriptions fall due while parents, work horses, whole trees and schedulers are killed or frozen, Redis is flushed and
killed, and PostgreSQL is crash-restarted. Afterwards the provider's books and ours are compared, row by row (`books`).

With `--no-keys` the provider ignores idempotency keys, with `--lookup-fail` and `--lookup-lag` its look-ups cannot be
relied on. Either alone must do no harm. Both together must: nothing but a key or a look-up can tell what was sent, so
that run shows that this one can fail.
"""

import contextlib
import random
import time
from collections.abc import Callable

import click
import psutil

from tests.faults.books import compare, subscribe, wait_until_settled
from tests.faults.stage import (
    DATABASES,
    PROVIDER_TIMEOUT_SECONDS,
    Child,
    Stage,
    conclude,
    say,
    started,
    wait_for_workers,
)

FAULTS = {
    "drop_before": 0.02, "drop_after": 0.02, "err500_before": 0.02, "err500_after": 0.02, "slow": 0.01, "late": 0.01,
    "err429": 0.02, "decline": 0.02, "pending": 0.02, "latency_s": 0.05, "slow_s": 3, "late_s": 4, "pending_s": 3,
}  # fmt: skip
HORSE_SECONDS = 8
LEASE_SECONDS = 4 * PROVIDER_TIMEOUT_SECONDS


@click.command()
@click.option("--charges", default=300, show_default=True)
@click.option("--kills", default=20, show_default=True)
@click.option("--freezes", default=0, show_default=True, help="Workers stopped past their lease, then woken up.")
@click.option("--db", "database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--workers", default=3, show_default=True)
@click.option("--flushes", default=5, show_default=True)
@click.option("--redis-kills", default=3, show_default=True)
@click.option("--crashes", default=3, show_default=True, help="Crash-restarts of PostgreSQL.")
@click.option("--keys/--no-keys", default=True, show_default=True, help="Whether the provider honours keys.")
@click.option("--lookup-fail", default=0.0, show_default=True, help="Share of the provider's look-ups that fail.")
@click.option("--lookup-lag", default=0.0, show_default=True, help="Seconds before a look-up sees a charge.")
@click.option("--seed", default=1, show_default=True)
@click.option("--pace", default=1.0, show_default=True, help="Seconds between two blows, on average.")
@click.option("--patience", default=240, show_default=True, help="Seconds to settle in after the last blow.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(
    charges: int, kills: int, freezes: int, database: str, workers: int, flushes: int, redis_kills: int, crashes: int,
    lookup_fail: float, lookup_lag: float, seed: int, pace: float, patience: int, *, keys: bool, as_json: bool,
) -> None:  # fmt: skip
    """Kill everything at random while charges fall due; none may be lost, doubled or shown wrongly."""
    chance = random.Random(seed)
    blows = ["kill"] * kills + ["freeze"] * freezes + ["flush"] * flushes + ["redis"] * redis_kills
    blows += ["crash"] * crashes if database == "postgresql" else []
    chance.shuffle(blows)
    faults = FAULTS | {"seed": seed, "lookup_fail": lookup_fail, "visibility_lag_s": lookup_lag}
    faults["idempotency"] = "strict" if keys else "none"
    with started(database, faults=faults, workers=workers) as stage:
        wait_for_workers(stage)
        begun = time.monotonic()
        strike(stage, chance, blows, charges, pace)
        last = time.monotonic()
        wait_until_settled(stage, charges, patience)
        end = time.monotonic()
        found = compare(stage)
    told = {"seconds": round(end - begun, 1), "seconds_after_last_blow": round(end - last, 1)}
    report = {
        "name": "kill-loop",
        "database": database,
        "charges": charges,
        "kills": sum(number for name, number in stage.done.items() if name.startswith("killed")),
        "seed": seed,
        "keys": keys,
        "lookup_fail": lookup_fail,
        "lookup_lag": lookup_lag,
        **found.broken,
        "figures": found.figures | dict(stage.done) | told,
    }
    conclude(report, found.examples, as_json=as_json, ok=found.is_sound)


def strike(stage: Stage, chance: random.Random, blows: list[str], charges: int, pace: float) -> None:
    """Let a few subscriptions fall due before each blow."""
    acts: dict[str, Callable[[], None]] = {
        "kill": lambda: kill_something(stage, chance),
        "freeze": lambda: freeze_something(stage, chance),
        "flush": stage.flush,
        "redis": stage.kill_redis,
        "crash": stage.crash_database,
    }
    made = 0
    for number, blow in enumerate(blows, start=1):
        upto = charges * number // len(blows)
        subscribe(stage, made, upto)
        made = upto
        time.sleep(chance.uniform(0.1, 2 * pace - 0.1))
        acts[blow]()
        if number % 10 == 0:
            say(f"{number} of {len(blows)} blows: {dict(stage.done)}")
    subscribe(stage, made, charges)


def kill_something(stage: Stage, chance: random.Random) -> None:
    """SIGKILL one parent, work horse, whole tree or scheduler."""
    kind = chance.choice(("parent", "horse", "horse", "tree", "tree", "scheduler"))
    if kind == "scheduler":
        victim: Child | None = chance.choice(stage.schedulers)
    elif kind == "parent":
        victim = chance.choice(stage.workers)
    else:  # in the middle of its work, if one is found there
        victim = at_work(stage, chance)
        kind = kind if victim else "parent"
    family = (victim or chance.choice(stage.workers)).family()
    victims = {"horse": family[1:], "tree": family[::-1]}.get(kind, family[:1])
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    stage.done[f"killed {kind}"] += bool(victims)


def freeze_something(stage: Stage, chance: random.Random) -> None:
    """SIGSTOP a worker with its horse until its lease is over and others have asked; then it wakes up as a zombie."""
    worker = at_work(stage, chance) or chance.choice(stage.workers)
    stage.done["frozen past the lease"] += stage.freeze(worker, LEASE_SECONDS * chance.uniform(1.1, 1.8))


def at_work(stage: Stage, chance: random.Random) -> Child | None:
    """A worker whose horse is in the middle of its work, if one is found in time."""
    until = time.monotonic() + HORSE_SECONDS
    while time.monotonic() < until:
        worker = chance.choice(stage.workers)
        if len(worker.family()) > 1:
            return worker
        time.sleep(0.01)
    return None
