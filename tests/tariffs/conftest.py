"""The tariffs room: a CFO, Financial specialists, units and merchants."""

import pytest
from flask import Flask

from tests.support.approvals import Room
from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.make import Make

__all__ = ["desk", "provider_process", "simulator"]


@pytest.fixture
def room(app: Flask, make: Make) -> Room:
    """Makers and checkers, with units to write contracts in."""
    for code in ("EUR", "GBP", "USD", "JPY", "KWD"):
        make.unit(code)
    return Room(app, make)
