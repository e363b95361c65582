"""Every page says what it is: a help text each, plain and short, and none that is about nothing."""

from pathlib import Path

import pytest
from flask import Flask

from payadmin.permissions import Role
from payadmin.views.gate import PUBLIC
from payadmin.views.guide import FOLDER, name_for, read_texts
from tests.support.make import Make

pytestmark = pytest.mark.once

# Addresses that are no pages of their own.
NO_PAGES = {
    "api": "for programs; its guide is docs/api.md",
    "charts": "answers the charts of other pages",
    "help": "the help itself",
    "pages": "there is nothing there",
    "palette": "answers the palette of every page",
}
LONGEST_WORDS = 200


def parts(app: Flask) -> dict[str, str]:
    """Every part of the application with pages for people, with one of its endpoints."""
    found = {}
    for rule in app.url_map.iter_rules():
        part = rule.endpoint.partition(".")[0]
        if "GET" in (rule.methods or ()) and rule.endpoint not in PUBLIC and part not in NO_PAGES:
            found[rule.endpoint if part == "orders" else part] = rule.endpoint
    return found


def test_every_page_has_its_help(app: Flask) -> None:
    """A new page needs docs/help/<its address>.md: what it is for, then its rules."""
    assert [part for part, endpoint in parts(app).items() if name_for(endpoint) is None] == []


def test_every_help_is_about_a_page(app: Flask) -> None:
    assert FOLDER is not None
    used = {name_for(endpoint) for endpoint in parts(app).values()}
    assert {file.stem for file in FOLDER.glob("*.md")} - used == set()


def test_help_is_short_and_begins_with_a_title() -> None:
    assert FOLDER is not None
    for file in FOLDER.glob("*.md"):
        text = file.read_text()
        assert text.startswith("# "), file.name
        assert len(text.split()) <= LONGEST_WORDS, file.name
        assert "\n#" not in text.partition("\n")[2], f"{file.name}: one title, then words and lists"


def test_help_opens_in_a_panel_and_as_a_page(app: Flask, make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    assert 'href="/help/transactions/" data-dialog' in client.get("/transactions/").text
    assert 'href="/help/void/" data-dialog' in client.get("/void/").text
    panel = client.get("/help/transactions/", headers={"X-Partial": "dialog"}).text
    assert 'id="dlg-title">Transactions: what is this?' in panel
    assert "<strong>Refund</strong>" in panel
    assert client.get("/help/transactions/").status_code == 200
    assert client.get("/help/nothing/").status_code == 404


def test_markup_in_a_help_text_stays_text(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text('# T <b>\n\n<script>alert(1)</script> [a](javascript:alert(1)) <i id="h">x</i>')
    text = read_texts(tmp_path)["x"]
    assert "<script" not in text.body
    assert "<i id" not in text.body
    assert 'href="javascript' not in text.body
    assert text.title == "T <b>"


def test_the_sign_in_page_tells_how_step_by_step(app: Flask) -> None:
    page = app.test_client().get("/login").text
    assert "How do I sign in?" in page
    assert "recovery codes" in page
