"""The Billing dashboard in a real browser: charts under the content policy, periods, numbers that lead to lists."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Desk

pytestmark = pytest.mark.browser

# The sample's payments end early in 2018.
THEN = "billing/dashboard/?period=month&day=2017-10-10&unit=GBP"
DRAWN = ("all-transactions", "single-payment")


def drawn(page: Page) -> None:
    """Wait until the charts of the sample's payments are there."""
    for name in DRAWN:
        chart = page.locator(f"#chart-{name}")
        chart.scroll_into_view_if_needed()
        expect(chart).not_to_have_attribute("aria-busy", "true", timeout=30_000)
        expect(chart.locator(".bk-Figure").first).to_be_visible()


def test_charts_are_drawn_and_say_their_numbers_when_hovered(desk: Desk) -> None:
    page = desk.page("operator", THEN)
    drawn(page)
    box = page.locator("#chart-all-transactions").bounding_box()
    assert box is not None
    page.locator("#chart-all-transactions").scroll_into_view_if_needed()
    box = page.locator("#chart-all-transactions").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 150)
    page.mouse.move(box["x"] + box["width"] / 2 + 2, box["y"] + 154)
    tip = page.locator(".bk-Tooltip:visible").first
    expect(tip).to_contain_text("Success")
    said = str(tip.evaluate("tip => (tip.shadowRoot ?? tip).textContent"))
    assert re.search(r"\d+ Oct 2017", said), said


def test_weeks_and_months_follow_each_other_and_the_days_are_printed(desk: Desk) -> None:
    page = desk.page("operator", THEN)
    range_ = page.locator("#range")
    expect(range_).to_have_text("1 Oct 2017 to 31 Oct 2017")
    page.get_by_role("link", name="Previous").click()
    expect(range_).to_have_text("1 Sep 2017 to 30 Sep 2017")
    page.get_by_role("link", name="Next").click()
    expect(range_).to_have_text("1 Oct 2017 to 31 Oct 2017")
    page.get_by_role("link", name="Weekly").click()
    expect(range_).to_have_text("25 Sep 2017 to 1 Oct 2017")
    page.get_by_role("button", name="Day", exact=True).click()
    page.get_by_label("Any day of the period").fill("2017-10-11")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(range_).to_have_text("9 Oct 2017 to 15 Oct 2017")


def test_numbers_lead_to_lists_with_as_many_rows(desk: Desk) -> None:
    page = desk.page("operator", THEN)
    for place in (1, 2):
        number = page.locator(".kpi .v a").nth(place).inner_text()
        page.locator(".kpi .v a").nth(place).click()
        if number != "0":
            expect(page.locator("[data-announce]")).to_contain_text(f"{number} transaction")
        page.go_back()
    page.locator(".chart-card", has=page.locator("#chart-all-transactions")).get_by_text("Show as a table").click()
    cell = page.get_by_role("region", name="All transactions").locator("tbody td a").first
    number = cell.inner_text()
    cell.click()
    if number != "0":
        expect(page.locator("[data-announce]")).to_contain_text(f"{number} transaction")


def test_a_phone_is_wide_enough(desk: Desk) -> None:
    page = desk.page("operator", THEN, viewport=PHONE)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
