"""What tests of accounts share: forms posted without their token, and mails that may carry links."""

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.desk import told


@pytest.fixture
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def links(app: Flask) -> Iterator[None]:
    """An installation that knows its own address, so that it can mail links."""
    with told(app, public_url="https://pay.example.com"):
        yield
