from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.workers import Valkey, WorkerProcess, ringing, valkey

__all__ = ["desk", "provider_process", "simulator"]


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
def bell(app: Flask, valkey_process: Valkey) -> Iterator[Valkey]:
    """An empty Valkey that the application rings through."""
    if valkey_process.process is None:
        valkey_process.start()
    valkey_process.client.flushall()
    with ringing(app, valkey_process.url):
        yield valkey_process


@pytest.fixture
def start_worker(app: Flask) -> Iterator[Callable[..., WorkerProcess]]:
    """Start `payadmin worker` processes; what a test leaves running is ended."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, **changes: str) -> WorkerProcess:
        started.append(WorkerProcess(app, *arguments, **changes))
        return started[-1]

    yield start
    for worker in started:
        worker.end()
