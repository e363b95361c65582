"""Text that people and files wrote is shown as text, wherever it is shown: no page makes an element or a script of it.

Every text column of every record that pages show is filled with markup, behind the application's back; then a browser
opens every page that links lead to. The content policy would stop the script, so what is looked for is the element.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import Enum, String

from payadmin import models
from payadmin.db import Base
from tests.support.browser import Codes, Demo, Desk, Watched

pytestmark = [pytest.mark.browser, pytest.mark.once]

MARK = """<img src=x onerror="window.pwned=1">'"><svg onload=window.pwned=1>&lt;b&gt;"""
# What the machine reads: another word there stops it, instead of showing the word.
READ_BY_MACHINES = {
    ("approval_policy", "rule"), ("notification", "message_id"), ("organization", "code"), ("payment", "channel"),
    ("scheduled_charge", "reference"), ("staff_user", "password_hash"), ("staff_user", "username"),
    ("subscription", "provider"), ("webhook_endpoint", "sealed_secret"), ("webhook_endpoint", "url"),
}  # fmt: skip
SHOWN = (
    "approval_request", "batch", "customer", "export", "export_schedule", "note", "notification", "organization",
    "payment", "payment_event", "refund", "registration_link", "retry_policy", "saved_view", "scheduled_charge",
    "staff_notice", "staff_user", "subscription", "void_request", "webhook_delivery", "webhook_endpoint",
)  # fmt: skip
# Files are not shown by the browser, and signing out ends the visit.
NOT_VISITED = re.compile(r"/(export|file|download|invoice|template|logout|static|status|live)\b|\.(csv|json|pdf|xlsx)$")
MOST_PAGES = 320
FOUND = "() => document.querySelectorAll('[onerror], [onload]').length + (window.pwned || 0)"
LINKS = (
    "() => [...document.querySelectorAll('a[href], [data-dialog]')].map(a => a.getAttribute('href')).filter(Boolean)"
)


def poison(demo: Demo) -> int:
    """Fill the text columns; how many of them."""
    models.load_models()
    columns = 0
    with contextlib.closing(sqlite3.connect(demo.home / "payadmin.db", timeout=30)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.create_function("mark", 1, lambda row_id: f"{MARK}{row_id}")
        for table in Base.metadata.sorted_tables:
            if table.name not in SHOWN:
                continue
            texts = [
                column.name
                for column in table.columns
                if isinstance(column.type, String)
                and not isinstance(column.type, Enum)
                and not column.foreign_keys
                and not column.info.get("secret")
                and (table.name, column.name) not in READ_BY_MACHINES
                and not column.name.endswith(("_hash", "_key", "fingerprint", "unit", "method", "provider", "page"))
            ]
            for name in texts:
                newest = f"SELECT id FROM {table.name} ORDER BY id DESC LIMIT 100"
                with contextlib.suppress(sqlite3.IntegrityError), connection:  # a trigger keeps some rows as they are
                    connection.execute(f"UPDATE {table.name} SET {name} = mark(id) WHERE id IN ({newest})")
                    columns += 1
    return columns


@pytest.fixture
def poisoned(tmp_path_factory: pytest.TempPathFactory, chromium: Browser, codes: Codes) -> Iterator[tuple[Desk, int]]:
    """A demo of its own, whose every text is markup."""
    demo = Demo(tmp_path_factory.mktemp("stored") / "home")
    try:
        demo.start()
        desk = Desk(demo, chromium, codes, {}, Watched())
        desk.page("admin")
        desk.page("operator")
        yield desk, poison(demo)
        desk.close()
    finally:
        demo.stop()


def shape_of(path: str) -> str:
    """Addresses that differ only in which row they are about are one page."""
    return re.sub(r"/[0-9]+(?=/|$)", "/N", path)


def test_no_page_makes_an_element_of_what_people_wrote(poisoned: tuple[Desk, int]):
    desk, columns = poisoned
    assert columns > 60
    seen: set[str] = set()
    for username in ("admin", "operator"):
        page, broken = desk.page(username), []
        waiting, known = ["/"], {"/"}
        while waiting and len(known) <= MOST_PAGES:
            path = waiting.pop(0)
            visit(page, path)
            seen.add(shape_of(path))
            if page.evaluate(FOUND):
                broken.append(path)
            for link in links_of(page, desk.demo.address):
                if shape_of(link) not in known and not NOT_VISITED.search(link):
                    known.add(shape_of(link))
                    waiting.append(link)
        assert broken == []
    assert {"/customers/N/", "/subscriptions/N/", "/transactions/N/", "/staff/N/", "/scheduled-charges/N/"} <= seen
    marked = desk.page("admin", "customers/")
    assert MARK.partition(" ")[0] in marked.locator("#list").inner_text(), "the markup is there, as text"
    assert marked.evaluate(FOUND) == 0
    marked.evaluate("mark => document.body.insertAdjacentHTML('beforeend', mark)", MARK)
    assert marked.evaluate(FOUND) > 0, "an element made of it would be seen"


def visit(page: Page, path: str) -> None:
    answer = page.goto(path)
    assert answer is not None
    assert answer.status < 500, (path, answer.status)


def links_of(page: Page, address: str) -> Iterator[str]:
    """Where the page leads to, within payadmin, without questions."""
    links: Any = page.evaluate(LINKS)
    for link in links:
        parts = urlsplit(urljoin(page.url, link))
        if f"{parts.scheme}://{parts.netloc}/" == address and parts.path != "/logout":
            yield parts.path
