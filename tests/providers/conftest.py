from collections.abc import Iterator

import pytest

from payadmin.providers.simulator import SimulatorProvider
from tests.support.simulator import Simulator

TIMEOUT_SECONDS = 0.8


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.reset()
    running.config(slow_s=1.2, late_s=1.2, pending_s=0.3)
    return running


@pytest.fixture
def provider(simulator: Simulator) -> Iterator[SimulatorProvider]:
    adapter = SimulatorProvider(simulator.url, timeout_seconds=TIMEOUT_SECONDS)
    yield adapter
    adapter.close()
