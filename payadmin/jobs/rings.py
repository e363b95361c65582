"""What Redis knows of the doorbell: rings that wait, what workers do, rings that failed. Read, never trusted.

Whoever can write to Redis can put anything there. Nothing is unpickled, nothing is put back into the queue as it was
found, what is shown is short plain text, and what is compressed is unpacked only so far.
"""

import binascii
import datetime as dt
import json
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.worker import Worker

from payadmin.jobs import runner
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import one_line

TIMEOUT_SECONDS = 1
MOST_SHOWN = 50
LARGEST = 64 * 1024
LONGEST = 200
RESULTS = b"rq:results:"


@dataclass(frozen=True)
class FailedRing:
    """A job that failed; `key` names it in forms, whatever its id is made of."""

    key: str
    function: str
    is_doorbell: bool
    failed_at: dt.datetime | None
    error: str


@dataclass(frozen=True)
class Rings:
    """The queue as Redis has it; `workers` says what each worker is doing, by its name."""

    waiting: int
    running: int
    workers: Mapping[str, str]
    failed: int
    newest_failed: tuple[FailedRing, ...]


def look(url: str) -> Rings | None:
    """What Redis at `url` says about the queue; None when it does not answer."""
    connection = _connection(url)
    queue = runner.queue_of(connection)
    try:
        failed = FailedJobRegistry(queue=queue).key
        return Rings(
            waiting=queue.count,
            running=int(connection.zcard(StartedJobRegistry(queue=queue).key)),
            workers=_workers(connection),
            failed=int(connection.zcard(failed)),
            newest_failed=_newest(connection, failed),
        )
    except (RedisError, OSError):
        return None


def take_out(url: str, key: str) -> bool:
    """Remove a failed job for good; False when somebody else has, or Redis does not know it.

    Raises:
        RedisError: Redis does not answer.
    """
    try:
        job_id = bytes.fromhex(key)
    except ValueError:
        return False
    connection = _connection(url)
    if not connection.zrem(FailedJobRegistry(queue=runner.queue_of(connection)).key, job_id):
        return False
    connection.delete(_job_key(job_id), RESULTS + job_id)
    return True


@cache
def _connection(url: str) -> "Redis":
    return Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)


def _job_key(job_id: bytes) -> bytes:
    return Job.redis_job_namespace_prefix.encode() + job_id


def _newest(connection: "Redis", registry: str) -> tuple[FailedRing, ...]:
    found: Any = connection.zrange(registry, 0, MOST_SHOWN - 1, desc=True)
    job_ids = [job_id for job_id in found if isinstance(job_id, bytes)]
    keys = [_job_key(job_id) for job_id in job_ids]
    sizes = _ask(connection, [("HSTRLEN", key, "data") for key in keys])
    small = [isinstance(size, int) and size <= LARGEST for size in sizes]
    calls = _ask(connection, [("HGET", key, "data" if fits else "none") for key, fits in zip(keys, small, strict=True)])
    ends = _ask(connection, [("HGET", key, "ended_at") for key in keys])
    results = _ask(connection, [("XREVRANGE", RESULTS + job_id, "+", "-", "COUNT", 1) for job_id in job_ids])
    return tuple(
        FailedRing(job_id.hex(), *_called(call), _moment(ended), _error(result))
        for job_id, call, ended, result in zip(job_ids, calls, ends, results, strict=True)
    )


def _workers(connection: "Redis") -> dict[str, str]:
    prefix = Worker.redis_worker_namespace_prefix.encode()
    members: Any = connection.smembers(Worker.redis_workers_keys)
    names = sorted(key.removeprefix(prefix) for key in members if key.startswith(prefix))[:MOST_SHOWN]
    states = _ask(connection, [("HGET", prefix + name, "state") for name in names])
    return {_text(name): _text(state) for name, state in zip(names, states, strict=True)}


def _ask(connection: "Redis", commands: list[tuple[Any, ...]]) -> list[Any]:
    """The answers to several commands in one round trip; a key that holds something else answers with its error."""
    if not commands:
        return []
    with connection.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)


def _called(data: Any) -> tuple[str, bool]:
    """The name of the function that a job asks for, and whether it is a plain doorbell. JSON or nothing."""
    try:
        match json.loads(_unpacked(data if isinstance(data, bytes) else b"")):
            case [str(function), None, list(args), dict(kwargs)]:
                return one_line(function)[:LONGEST], function == runner.RING_JOB and not args and not kwargs
            case [str(function), *_]:
                return one_line(function)[:LONGEST], False
    except (ValueError, RecursionError):
        pass
    return "unreadable", False


def _error(entries: Any) -> str:
    """The last line of what went wrong; the log has the rest."""
    try:
        # RESP2 answers [[id, [name, value, …]]]; redis-py turns the pairs into a dictionary.
        packed = entries[0][1][b"exc_string"]
        told = _unpacked(b64decode(packed[:LARGEST])).decode("utf-8", "replace")
    except (binascii.Error, IndexError, KeyError, TypeError, ValueError):
        return ""
    lines = [line for line in told.splitlines() if line.strip()]
    return mask_pan_in_text(one_line(lines[-1]))[:LONGEST] if lines else ""


def _unpacked(data: bytes) -> bytes:
    """What RQ compressed, and no more of it than is read."""
    try:
        return zlib.decompressobj().decompress(data, LARGEST)
    except zlib.error:
        return data[:LARGEST]


def _moment(value: Any) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def _text(value: Any) -> str:
    return one_line(value.decode("utf-8", "replace"))[:LONGEST] if isinstance(value, bytes) else ""
