"""What the attacks share: forms posted without their token, where it is not the token that is tested."""

import pytest
from flask import Flask


@pytest.fixture
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
