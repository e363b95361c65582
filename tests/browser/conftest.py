"""A real demo and a real Chromium, once for all browser tests: what staff see, with nothing replaced."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import FLAGS, Codes, Demo, Desk, Watched, chromium_path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    found = Demo(tmp_path_factory.mktemp("demo") / "home")
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def codes() -> Codes:
    return Codes()


@pytest.fixture(scope="session")
def sessions() -> dict[str, Any]:
    """The cookies of whoever has signed in already: a sign-in costs a code, and a code comes twice a minute."""
    return {}


@pytest.fixture
def desk(demo: Demo, chromium: Browser, codes: Codes, sessions: dict[str, Any]) -> Iterator[Desk]:
    """The demo in a browser. Any complaint of the browser, its content policy included, fails the test."""
    found = Desk(demo, chromium, codes, sessions, Watched())
    try:
        yield found
    finally:
        found.close()
    assert not found.watched.unexpected()
