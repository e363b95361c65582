"""Jobs: what workers do. Each is a name and ids, opens nothing of its own, and is safe to run twice."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask

from payadmin import outbox
from payadmin.config import Settings

QUEUE = "payadmin"
ROOMS = (
    "audit",
    "banking",
    "batches",
    "checkout",
    "exports",
    "ledger",
    "notifications",
    "payments",
    "risk",
    "runs",
    "subscriptions",
)
F = TypeVar("F", bound=Callable[..., "Later | None"])


@dataclass(frozen=True)
class Later:
    """A job's answer when the work is not finished: run it again after `seconds`."""

    seconds: int


JOBS: dict[str, Callable[..., Later | None]] = {}


def job(name: str) -> Callable[[F], F]:
    """Register a function as the job `name`, which `Work.promise(name, …)` promises."""

    def decorate(function: F) -> F:
        JOBS[name] = function
        return function

    return decorate


def load_jobs() -> None:
    """Import every room's jobs, so that `JOBS` is whole. A worker's parent calls it before it forks."""
    for room in ROOMS:
        importlib.import_module(f"payadmin.jobs.{room}")


def init_doorbell(app: Flask, settings: Settings) -> None:
    """Let committed promises ring the workers through Redis; without Redis the scheduler drains the work itself."""
    if settings.redis_url:
        app.extensions[outbox.DOORBELL] = _redis_bell(settings.redis_url)


def _redis_bell(url: str) -> Callable[[], None]:
    @functools.cache
    def connection() -> Any:
        from redis import Redis  # noqa: PLC0415 - commands that never ring need no client

        return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)

    def bell() -> None:
        from payadmin.jobs.runner import ring_queue  # noqa: PLC0415 - RQ is imported where it is used

        ring_queue(connection())

    return bell


def doorbell() -> int:
    """The one RQ job: drain what is due in the database. Returns how many messages and charges were worked on."""
    from payadmin.jobs.runner import drain  # noqa: PLC0415

    return drain()
