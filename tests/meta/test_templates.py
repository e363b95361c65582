"""Every template compiles, trusts nothing, inlines nothing; every field has a label and every form its token."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import nodes

from payadmin.permissions import Role
from payadmin.views.gate import PUBLIC
from tests.support.make import Make
from tests.support.source import ROOT

pytestmark = pytest.mark.once

FOLDER = ROOT / "templates"
TEMPLATES = sorted(FOLDER.rglob("*.html"))
EVERY = pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: str(file.relative_to(FOLDER)))


@EVERY
def test_a_template_compiles_and_what_it_builds_on_exists(app: Flask, file: Path) -> None:
    name = str(file.relative_to(FOLDER))
    app.jinja_env.get_template(name)
    syntax = app.jinja_env.parse(file.read_text())
    for node in syntax.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        if isinstance(node.template, nodes.Const):  # type: ignore[attr-defined]
            app.jinja_env.get_template(node.template.value)  # type: ignore[attr-defined]


@EVERY
def test_a_template_asks_only_for_filters_and_endpoints_that_exist(app: Flask, file: Path) -> None:
    syntax = app.jinja_env.parse(file.read_text())
    for call in syntax.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "url_for" and isinstance(call.args[0], nodes.Const):
            endpoint = call.args[0].value
            assert endpoint.startswith(".") or endpoint in app.view_functions, endpoint


@EVERY
def test_a_template_trusts_no_text_and_inlines_nothing(file: Path) -> None:
    source = re.sub(r"{#.*?#}", "", file.read_text(), flags=re.DOTALL)
    assert not re.search(r"\|\s*safe\b|autoescape\s+false", source), "text from users would become markup"
    assert not re.search(r"<[^>]*\son[a-z]+\s*=", source), "the content policy refuses inline handlers"
    assert not re.search(r"<[^>]*\sstyle\s*=", source), "the content policy refuses inline styles"
    assert not re.search(r"<(script|link|img|iframe|source)\b[^>]*(src|href)=.(https?:)?//", source), "from elsewhere"
    for tag in re.findall(r"<script\b[^>]*>|<style\b[^>]*>", source):
        assert "nonce" in tag or "src=" in tag, f"{tag} has no nonce"


@EVERY
def test_a_form_that_posts_carries_its_token(file: Path) -> None:
    source = re.sub(r"{#.*?#}", "", file.read_text(), flags=re.DOTALL)
    for form in re.findall(r"<form\b.*?</form>|<form\b.*\Z", source, flags=re.DOTALL | re.IGNORECASE):
        head = form[: form.index(">") + 1]
        if re.search(r'method="?post', head, re.IGNORECASE):
            assert re.search(r"csrf|hidden_tag|token_field", form), f"a form without a token: {head}"


class Page(HTMLParser):
    """What a page says about itself: headings, labels, fields, forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self.fields: list[dict[str, str]] = []
        self.headings = self.mains = self.in_label = self.tokens = self.posts = 0
        self.language = ""
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.headings += tag == "h1"
        self.mains += tag == "main"
        self.in_label += tag == "label"
        self.posts += tag == "form" and found.get("method", "").lower() == "post"
        self.tokens += tag == "input" and found.get("name") == "csrf_token"
        self.ids += [found["id"]] if "id" in found else []
        if tag == "html":
            self.language = found.get("lang", "")
        if tag == "label" and "for" in found:
            self.labels.add(found["for"])
        if tag in {"input", "select", "textarea"} and found.get("type") not in {"hidden", "submit", "button"}:
            self.fields.append(found | {"wrapped": "yes" if self.in_label else ""})

    def handle_endtag(self, tag: str) -> None:
        self.in_label -= tag == "label"

    def unlabelled(self) -> list[dict[str, str]]:
        """Fields that a screen reader could not name."""
        return [
            field
            for field in self.fields
            if not (
                field["wrapped"] or field.get("aria-label") or field.get("aria-labelledby")
                or field.get("id") in self.labels or field.get("title")
            )
        ]  # fmt: skip


def check(html: str, where: str) -> None:
    page = Page(html)
    assert page.language, f"{where} names no language"
    assert (page.headings, page.mains) == (1, 1), f"{where}: {page.headings} h1, {page.mains} main"
    assert page.unlabelled() == [], where
    assert page.tokens >= page.posts, f"{where}: a form without a token"
    twice = {name for name in page.ids if page.ids.count(name) > 1}
    assert not twice, f"{where}: ids used twice: {twice}"


def test_every_page_that_opens_without_further_ado_is_sound(app: Flask, make: Make) -> None:
    """Lists, forms and the pages of one's own account, with a row in each, and with nothing in them at all."""
    client = make.browse(*Role)
    for filled in (False, True):
        if filled:
            make.payment(customer_id=make.customer(name='<i id="hostile">Ann</i>').id)
            make.subscription()
        seen = 0
        for rule in app.url_map.iter_rules():
            if "GET" not in (rule.methods or ()) or rule.arguments - {"row_id"} or rule.endpoint in PUBLIC:
                continue
            path = app.url_map.bind("localhost").build(rule.endpoint, dict.fromkeys(rule.arguments, 1))
            response = client.get(path)
            assert response.status_code < 500, path
            if response.status_code == 200 and "<html" in response.text:
                check(response.text, path)
                assert '<i id="hostile"' not in response.text, f"{path} lets text become markup"
                seen += 1
        assert seen >= 5


def test_pages_for_strangers_and_mistakes_are_sound(app: Flask, make: Make) -> None:
    stranger, staff = app.test_client(), make.browse(Role.CASHIER)
    for path in ("/login",):
        check(stranger.get(path).text, path)
    for path, status in (("/nowhere", 404), ("/customers/", 403), ("/customers/?junk=1", 403)):
        response = staff.get(path)
        assert response.status_code == status
        check(response.text, path)
