"""Analytics in a real browser: every chart is drawn under the content policy, says its numbers, and travels."""

import csv
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db
from payadmin.embedded import Home
from tests.support.browser import PHONE, Demo, Desk
from tests.support.charts import drawn, hovered

pytestmark = pytest.mark.browser

CHARTS = ("daily", "status", "by-method", "by-channel")
# The sample's payments end early in 2018.
THEN = "range=custom&from=2017-09-01&to=2017-10-10&unit=GBP"


def inks(page: Page, name: str) -> str:
    """What the picture of a chart holds, so that two can be told apart."""
    return str(page.locator(f"#chart-{name} canvas").first.evaluate("canvas => canvas.toDataURL()"))


def test_every_chart_is_drawn_and_says_its_numbers_when_hovered(desk: Desk) -> None:
    page = desk.page("operator", f"analytics/?{THEN}")
    drawn(page, *CHARTS)
    said = hovered(page, "daily")
    assert re.search(r"\d+ (Sep|Oct) 2017", said), said
    assert re.search(r"[\d,]+\.\d\d GBP", said), said
    assert re.search(r"\d+ (Sep|Oct) 2017", hovered(page, "by-method"))
    assert "GBP" in hovered(page, "by-channel")


def test_presets_currencies_and_refunds_change_what_is_shown(desk: Desk) -> None:
    page = desk.page("operator", f"analytics/?{THEN}")
    drawn(page, *CHARTS)
    gross = page.locator(".kpi .v").first.inner_text()
    picture = inks(page, "daily")
    page.get_by_role("link", name="Net of refunds").click()
    drawn(page, *CHARTS)
    assert page.locator(".kpi .v").first.inner_text() != gross
    assert inks(page, "daily") != picture
    page.get_by_role("button", name="Custom", exact=True).click()
    page.get_by_label("From").fill("2017-09-20")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".phead .sub")).to_contain_text("20 Sep 2017 to 10 Oct 2017")
    page.get_by_role("button", name="GBP").click()
    page.get_by_role("menuitem", name="EUR").click()
    expect(page.locator(".kpi .v small").first).to_have_text("EUR")
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_text("The last one in EUR was made on")).to_be_visible()


def test_a_number_leads_to_the_list_with_as_many_rows(desk: Desk) -> None:
    page = desk.page("operator", f"analytics/?{THEN}")
    row = page.locator(".fact-row", has_text="Failed")
    number = row.get_by_role("link").inner_text()
    row.get_by_role("link").click()
    expect(page.locator("[data-announce]")).to_contain_text(f"{number} transactions")


def test_colours_follow_the_theme_and_a_phone_is_wide_enough(desk: Desk) -> None:
    page = desk.page("operator", f"analytics/?{THEN}")
    drawn(page, *CHARTS)
    light = inks(page, "by-method")
    page.get_by_role("button", name="Switch colour theme").click()
    page.wait_for_timeout(1_500)
    drawn(page, *CHARTS)
    assert inks(page, "by-method") != light
    phone = desk.page("operator", f"analytics/?{THEN}", viewport=PHONE)
    drawn(phone, *CHARTS)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_picture_file_and_table_say_the_same(desk: Desk) -> None:
    page = desk.page("operator", f"analytics/?{THEN}")
    drawn(page, *CHARTS)
    for name in CHARTS:
        card = page.locator(".chart-card", has=page.locator(f"#chart-{name}"))
        with page.expect_download() as coming:
            card.get_by_role("button", name="PNG").click()
        assert coming.value.suggested_filename == f"{name}.png"
        with open(coming.value.path(), "rb") as picture:  # noqa: PTH123 - Playwright's own path
            assert picture.read(8) == b"\x89PNG\r\n\x1a\n"
    with page.expect_download() as coming:
        page.locator(".chart-card", has=page.locator("#chart-by-method")).get_by_role("link", name="CSV").click()
    with open(coming.value.path(), encoding="utf-8-sig", newline="") as file:  # noqa: PTH123
        rows = list(csv.reader(file))
    page.locator(".chart-card", has=page.locator("#chart-by-method")).get_by_text("Show as a table").click()
    table = page.get_by_role("region", name="Amount by method")
    cells = table.locator("tbody tr").nth(3).locator("td").all_inner_texts()
    assert [cell.replace(",", "") for cell in cells] == rows[4][1:]


# ---- on other sites --------------------------------------------------------------------------------------------------


@contextmanager
def site(page: Callable[[], str]) -> Iterator[str]:
    """Another site with one page; its origin."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def served(demo: Demo, ancestor: str) -> Iterator[str]:
    """The demo once more, with a site that may show it in a frame; its address."""
    home = Home(demo.home)
    told = {**home.secrets(), "DATABASE_URL": home.database_url, "SECURE_COOKIES": "no", "FRAME_ANCESTORS": ancestor}
    app = create_app(Settings.from_env(told))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    with app.app_context():
        db.engine.dispose()


def test_a_frame_of_the_named_site_shows_it_and_no_other_does(desk: Desk) -> None:
    page = desk.page("operator", "analytics/share/")
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_label("Address").input_value()
    path = link.split("/", 3)[3].replace("#/", f"&{THEN}#/")
    where = {"address": ""}

    def frame() -> str:
        return f'<!doctype html><title>Shop</title><iframe src="{where["address"]}/{path}" width="1200" height="1400">'

    with ExitStack() as stack:
        friend, stranger = stack.enter_context(site(frame)), stack.enter_context(site(frame))
        where["address"] = stack.enter_context(served(desk.demo, friend))
        watched = desk.context().new_page()
        watched.goto(friend)
        inside = watched.frame_locator("iframe")
        expect(inside.get_by_role("heading", name="Analytics")).to_be_visible()
        for name in CHARTS:
            inside.locator(f"#chart-{name}").scroll_into_view_if_needed()
            expect(inside.locator(f"#chart-{name} .bk-Figure").first).to_be_visible(timeout=30_000)
        assert inside.locator("nav").count() == 0
        assert desk.watched.unexpected() == []
        watched.goto(stranger)
        watched.wait_for_timeout(1_500)
        assert inside.get_by_role("heading", name="Analytics").count() == 0
        refused = [text for text in desk.watched.complaints if "frame-ancestors" in text]
        assert len(refused) == 1
        desk.watched.complaints.remove(refused[0])
