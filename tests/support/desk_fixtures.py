"""The fixtures of the refund desk, for every room that moves money."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.support.desk import Desk, told
from tests.support.make import Make
from tests.support.simulator import Simulator


@pytest.fixture(scope="session")
def provider_process(folder: Path) -> Iterator[Simulator]:
    with Simulator(folder / "provider-journal.jsonl") as simulator:
        yield simulator


@pytest.fixture
def simulator(provider_process: Simulator) -> Simulator:
    provider_process.reset()
    provider_process.config(slow_s=1.3, late_s=1.3, pending_s=0.3)
    return provider_process


@pytest.fixture
def desk(app: Flask, make: Make, simulator: Simulator) -> Iterator[Desk]:
    """The refund desk, with the provider's simulator in a process of its own."""
    with told(app, simulator_url=simulator.url, provider_timeout_seconds=1):
        yield Desk(app, make, simulator)
