"""The frame, the headers, the error pages and the static files."""

import dataclasses
import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bokeh
import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin import TEMPLATES, create_app
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NeedsApproval, NotFound, ProviderUnknown
from payadmin.permissions import MENU, Role
from payadmin.views.security import safe_next
from payadmin.views.ui import icon_names, initials

STATIC = Path(__file__).parents[2] / "payadmin" / "static"
PAGES = ("/", "/login", "/account/", "/nowhere/")


def csp_nonce_of(policy: str) -> str:
    found = re.findall(r"'nonce-([^']+)'", policy)
    assert len(found) == 2
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
def person(browse) -> FlaskClient:
    return browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def another_app(settings) -> Iterator[Callable[..., Flask]]:
    """`another_app(trusted_hosts=…)` is an application with other settings; its connections are closed at the end."""
    made: list[Flask] = []

    def build(**changes: Any) -> Flask:
        app = create_app(dataclasses.replace(settings, **changes))
        app.config["PROPAGATE_EXCEPTIONS"] = False
        made.append(app)
        return app

    yield build
    for app in made:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def failing(another_app) -> FlaskClient:
    """An application with a page for every way to fail."""
    app = another_app()
    refusals = (
        Conflict("Somebody else was faster."),
        Forbidden("Not you."),
        Invalid("Not that.", field="amount"),
        NeedsApproval("Somebody else decides."),
        NotFound("No such payment."),
        ProviderUnknown("It is being checked."),
    )

    def fail(code: str) -> str:
        if code == "bug":
            raise ValueError("SELECT secret FROM staff")
        raise next(refusal for refusal in refusals if refusal.code == code)

    app.add_url_rule("/fail/<code>", "login.fail", fail)
    app.before_request_funcs[None] = [step for step in app.before_request_funcs[None] if step.__name__ != "_gate"]
    return app.test_client()


# ------------------------------------------------------------------------------------------------ every page


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_strict_and_accessible_in_its_frame(person, path) -> None:
    answer = person.get(path, follow_redirects=True)
    page = answer.text
    assert f'nonce="{csp_nonce_of(answer.headers["Content-Security-Policy"])}"' in page
    assert not re.search(r"<[^>]+\son[a-z]+=", page)
    assert "javascript:" not in page
    assert " style=" not in page
    assert "<style" not in page
    assert not re.search(r'<(?:link|script|img)[^>]+(?:src|href)="(?:https?:)?//', page)
    assert page.count("<h1") == 1
    assert page.count("<main") == 1
    assert '<html lang="en"' in page
    assert set(re.findall(r"icons\.svg\?v=\w+#([a-z0-9-]+)", page)) <= icon_names(STATIC / "icons.svg")


def test_every_answer_carries_the_headers(person) -> None:
    headers = person.get("/").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self' 'nonce-")
    assert headers["Content-Security-Policy"].endswith("base-uri 'none'; frame-ancestors 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "camera=()" in headers["Permissions-Policy"]
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-ID"])


def test_a_nonce_and_a_request_id_are_used_once(person) -> None:
    first, second = person.get("/"), person.get("/")
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert first.headers["Content-Security-Policy"] != second.headers["Content-Security-Policy"]


def test_production_cookies_are_bound_to_the_host(another_app) -> None:
    app = another_app(secure_cookies=True, frame_ancestors=("https://desk.example",))
    answer = app.test_client().get("/login", base_url="https://localhost")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    cookie = next(
        value for name, value in answer.headers if name == "Set-Cookie" and value.startswith("__Host-payadmin=")
    )
    assert "Secure; HttpOnly; Path=/; SameSite=Lax" in cookie


def test_an_unknown_host_is_refused_with_a_page(another_app) -> None:
    app = another_app(trusted_hosts=("pay.example",))
    answer = app.test_client().get("/login", base_url="http://evil.example")
    assert answer.status_code == 400
    assert "<h1>This request makes no sense</h1>" in answer.text


# ------------------------------------------------------------------------------------------------ addresses


@pytest.mark.once
@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/payments/?status=PAID&search=a%20b", "/payments/?status=PAID&search=a%20b"),
        ("/", "/"),
        ("/a//b", "/a//b"),
        (None, "/home"),
        ("", "/home"),
        ("//evil.com", "/home"),
        ("///evil.com", "/home"),
        ("/\\evil.com", "/home"),
        ("\\\\evil.com", "/home"),
        ("/a\\b", "/home"),
        ("http:evil.com", "/home"),
        ("http:/evil.com", "/home"),
        ("https://evil.com", "/home"),
        ("javascript:alert(1)", "/home"),
        ("evil.com", "/home"),
        ("/\t/evil.com", "/home"),
        ("/\n/evil.com", "/home"),
        ("/\r\nSet-Cookie: a=b", "/home"),
        (" /a", "/home"),
        ("/a\x00b", "/home"),
        ("/a\x7f", "/home"),
    ],
)
def test_only_a_path_on_this_site_is_followed(url, target) -> None:
    assert safe_next(url, "/home") == target


# ------------------------------------------------------------------------------------------------ the frame


def test_the_menu_shows_what_the_role_may_open_and_what_has_a_page(app, person) -> None:
    page = person.get("/").text
    links = set(re.findall(r'<li><a href="([^"]+)"', page))
    assert "/" in links
    assert len(links) <= len(app.extensions["payadmin.pages"])
    assert 'href="/" aria-current="page"' in page


@pytest.mark.once
def test_every_menu_entry_has_an_icon_in_the_sprite() -> None:
    assert {item.icon for section in MENU for item in section.items} <= icon_names(STATIC / "icons.svg")


@pytest.mark.once
def test_every_icon_a_template_names_is_in_the_sprite() -> None:
    names = icon_names(STATIC / "icons.svg")
    for template in TEMPLATES.rglob("*.html"):
        named = set(re.findall(r"icon\('([a-z0-9-]+)'\)", template.read_text(encoding="utf-8")))
        assert named <= names, template


def test_the_mode_is_switched_for_the_session_and_said_on_every_page(person) -> None:
    assert "Test mode:" not in person.get("/").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', person.get("/").text)[1]
    answer = person.post("/mode", data={"mode": "TEST", "next": "//evil.com", "csrf_token": token})
    assert answer.headers["Location"] == "/"
    assert "Test mode:" in person.get("/").text
    assert person.post("/mode", data={"mode": "BOTH", "csrf_token": token}).status_code == 400
    assert "Test mode:" in person.get("/").text


def test_switching_the_mode_needs_the_token(person) -> None:
    answer = person.post("/mode", data={"mode": "TEST"})
    assert answer.status_code == 400
    assert "This form has expired" in answer.text


def test_a_script_gets_the_page_without_its_frame(person) -> None:
    assert "<html" not in person.get("/", headers={"X-Partial": "list"}).text
    dialog = person.get("/", headers={"X-Partial": "dialog"}).text
    assert '<h2 id="dlg-title">Home</h2>' in dialog
    assert "<h1" not in dialog


def test_a_dialog_is_told_where_to_go(person) -> None:
    token = re.search(r'name="csrf_token" value="([^"]+)"', person.get("/").text)[1]
    data = {"mode": "LIVE", "next": "/account/", "csrf_token": token}
    answer = person.post("/mode", data=data, headers={"X-Partial": "dialog"})
    assert (answer.status_code, answer.headers["Location"], answer.data) == (204, "/account/", b"")


@pytest.mark.once
@pytest.mark.parametrize(("name", "letters"), [("Elena Weber", "EW"), ("elena.weber", "EW"), ("root", "R"), ("", "")])
def test_people_are_shown_by_their_initials(name, letters) -> None:
    assert initials(name) == letters


# ------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("conflict", 409, "Somebody else was faster."),
        ("forbidden", 403, "Not you."),
        ("invalid", 422, "Not that."),
        ("needs_approval", 202, "Somebody else decides."),
        ("not_found", 404, "No such payment."),
        ("provider_unknown", 502, "It is being checked."),
    ],
)
def test_a_refusal_is_a_page_a_fragment_or_json(failing, code, status, sentence) -> None:
    page = failing.get(f"/fail/{code}")
    assert (page.status_code, page.text.count("<h1")) == (status, 1)
    assert sentence in page.text
    fragment = failing.get(f"/fail/{code}", headers={"X-Partial": "dialog"})
    assert fragment.status_code == status
    assert fragment.text.startswith(f'<div class="alert bad" role="alert" data-problem="{code}">')
    data = failing.get(f"/fail/{code}", headers={"Accept": "application/json"})
    assert (data.status_code, data.json["code"], data.json["sentence"]) == (status, code, sentence)


def test_a_bug_shows_a_number_and_nothing_else(failing, caplog) -> None:
    answer = failing.get("/fail/bug")
    number = answer.headers["X-Request-ID"]
    assert answer.status_code == 500
    assert number in answer.text
    assert "SELECT" not in answer.text
    assert "Traceback" not in answer.text
    assert number in caplog.text
    assert "SELECT secret FROM staff" in caplog.text


def test_an_unknown_address_is_a_page_for_people_and_json_for_machines(person) -> None:
    assert "<h1>Page not found</h1>" in person.get("/nowhere/").text
    answer = person.get("/nowhere/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_the_wrong_method_says_which_ones_work(person) -> None:
    answer = person.get("/mode")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_a_stranger_is_sent_to_the_login_page_and_back(app) -> None:
    stranger = app.test_client()
    answer = stranger.get("/account/?a=1")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login?next=/account/?a%3D1"
    assert stranger.get("/account/", headers={"X-Partial": "list"}).status_code == 401


# ------------------------------------------------------------------------------------------------ static files


def test_the_style_sheet_is_one_file_and_may_be_kept_for_a_year(app) -> None:
    client = app.test_client()
    address = app.extensions["payadmin.assets"].url("css/payadmin.css")
    answer = client.get(address)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "@import" not in answer.text
    assert "@layer components {" in answer.text
    assert client.get("/static/css/payadmin.css?v=older").headers["Cache-Control"] == "no-cache"
    again = client.get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_modules_name_each_other_with_the_version(app) -> None:
    assets = app.extensions["payadmin.assets"]
    text = app.test_client().get(assets.url("js/parts.js")).text
    assert f'import("./refund.js?v={assets.version}")' in text


def test_text_is_packed_for_browsers_that_take_it(app) -> None:
    client = app.test_client()
    plain = client.get("/login")
    packed = client.get("/login", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "<h1>Sign in</h1>" in gzip.decompress(packed.data).decode()
    assert "Accept-Encoding" in packed.headers["Vary"]
    script = client.get("/static/js/main.js", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(script.data).startswith(b"// The front end")
    with client.get("/static/fonts/inter-latin-wght-normal.woff2", headers={"Accept-Encoding": "gzip"}) as font:
        assert "Content-Encoding" not in font.headers


@pytest.mark.parametrize("path", ["../config.py", "css/../../config.py", "nothing.css", "css"])
def test_nothing_outside_the_folder_is_served(app: Flask, path) -> None:
    assert app.test_client().get(f"/static/{path}").status_code == 404


@pytest.mark.once
def test_the_vendored_bokeh_is_the_installed_one() -> None:
    folders = [folder.name for folder in (STATIC / "vendor").glob("bokeh-*")]
    assert folders == [f"bokeh-{bokeh.__version__}"]
    assert f"vendor/bokeh-{bokeh.__version__}/" in (STATIC / "js" / "charts.js").read_text(encoding="utf-8")


@pytest.mark.once
def test_every_style_part_is_imported_and_exists() -> None:
    sheet = (STATIC / "css" / "payadmin.css").read_text(encoding="utf-8")
    named = set(re.findall(r'@import url\("([^"]+)"\)', sheet))
    parts = {path.relative_to(STATIC / "css").as_posix() for path in (STATIC / "css").rglob("*.css")}
    assert named == parts - {"payadmin.css", "pickers.css"}


@pytest.mark.once
def test_no_asset_asks_the_world_for_anything() -> None:
    for file in [*(STATIC / "css").rglob("*.css"), *(STATIC / "js").glob("*.js"), *TEMPLATES.rglob("*.html")]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"""(?:src=|<link[^>]+href=|url\()["']?(?:https?:)?//""", text), file
