"""What tests of accounts share: forms posted without their token, and mails that may carry links."""

from collections.abc import Iterator

import pytest
from flask import Flask
from limits.storage import MemoryStorage

from payadmin.views.gate import limiter
from tests.support.desk import told


@pytest.fixture(autouse=True)
def _fresh_addresses(app: Flask) -> Iterator[None]:
    """Every test comes from an address that has not tried anything yet: together they would have to wait."""
    _forget_addresses()
    yield
    _forget_addresses()


def _forget_addresses() -> None:
    # An application of a test may have left a Redis behind that is down on purpose.
    if isinstance(limiter.storage, MemoryStorage):
        limiter.storage.reset()


@pytest.fixture
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def links(app: Flask) -> Iterator[None]:
    """An installation that knows its own address, so that it can mail links."""
    with told(app, public_url="https://pay.example.com"):
        yield
