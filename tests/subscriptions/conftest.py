from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.support.billing import Office
from tests.support.desk import told
from tests.support.door import Received, door
from tests.support.make import Make
from tests.support.simulator import Simulator


@pytest.fixture(scope="session")
def billing_process(folder: Path) -> Iterator[Simulator]:
    with Simulator(folder / "billing-journal.jsonl") as simulator:
        yield simulator


@pytest.fixture
def simulator(billing_process: Simulator) -> Simulator:
    billing_process.reset()
    billing_process.config(slow_s=1.3, late_s=1.3, pending_s=0.3)
    return billing_process


@pytest.fixture
def office(app: Flask, make: Make, simulator: Simulator) -> Iterator[Office]:
    """The billing office, with the provider's simulator in a process of its own."""
    with told(app, simulator_url=simulator.url, provider_timeout_seconds=1):
        yield Office(app, make, simulator)


@pytest.fixture
def merchant() -> Iterator[tuple[str, Received]]:
    """A merchant's endpoint: its address and what it received."""
    with door() as found:
        yield found
