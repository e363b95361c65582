from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.support.batches import BatchRoom
from tests.support.billing import Office
from tests.support.desk import told
from tests.support.make import Make
from tests.support.payroll import Payroll
from tests.support.simulator import Simulator
from tests.wallets.conftest import Purses


@pytest.fixture(scope="session")
def billing_process(folder: Path) -> Iterator[Simulator]:
    with Simulator(folder / "batches-journal.jsonl") as simulator:
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
def room(office: Office) -> BatchRoom:
    """The batch room: twenty customers with billing numbers, a merchant, euros and yen."""
    return BatchRoom(office)


@pytest.fixture
def payroll(room: BatchRoom, app: Flask, make: Make) -> Payroll:
    """The payroll room: an organization with a thousand euros, five customers with wallets."""
    return Payroll(room, Purses(app, make))
