"""Finding things with the keyboard alone: the palette and what it offers, columns in order, views, the reveal's end."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]


def columns(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("th[scope=col]").all_inner_texts()][:2]


def test_the_palette_finds_and_acts_by_keyboard(desk: Desk) -> None:
    page = desk.page("operator")
    page.goto("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("BCC-00018")
    expect(page.locator(".pal-row .badge").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[aria-selected=true]")).to_have_id("pal-1-0")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[aria-selected=true]")).to_have_id("pal-1-1")
    page.keyboard.press("Enter")
    expect(page.locator("#dlg[open]")).to_be_visible()
    expect(page.locator("#palette[open]")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("BCC-00018")
    page.locator(".pal-row .badge").first.wait_for()
    page.get_by_text("All results on a page").click()
    expect(page.get_by_role("heading", name="Search")).to_be_visible()


def test_columns_are_ordered_by_keyboard_and_stay(desk: Desk) -> None:
    page = desk.page("operator")
    page.goto("/transactions/?size=20")
    before = columns(page)
    page.get_by_role("button", name="Columns").press("Enter")
    mover = page.get_by_role("button", name=f"Move {before[1]} up")
    mover.focus()
    page.keyboard.press("Enter")
    expect(mover).to_be_focused()
    page.locator("#colmenu").get_by_role("button", name="Save", exact=True).press("Enter")
    expect(page.locator("th[scope=col]").first).to_have_text(re.compile(before[1]))
    page.get_by_role("button", name="Columns").press("Enter")
    page.get_by_role("button", name="Usual columns").press("Enter")
    expect(page.locator("th[scope=col]").first).to_have_text(re.compile(before[0]))


def test_a_view_is_saved_opened_and_deleted(desk: Desk) -> None:
    page = desk.page("operator")
    page.goto("/transactions/?status=FAILED&size=20")
    page.get_by_role("button", name="Views").click()
    page.get_by_label("Save this list as").fill("Failed, browser")
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_role("button", name="View: Failed, browser")).to_be_visible()
    page.goto("/customers/")
    page.goto("/transactions/")
    page.get_by_role("button", name="Views").click()
    page.get_by_role("link", name="Failed, browser").click()
    expect(page).to_have_url(re.compile(r"status=FAILED&size=20&view=\d+"))
    page.goto("/transactions/views/")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete view").click()
    expect(page.get_by_text("No views yet")).to_be_visible()


def test_revealed_data_says_how_long_and_is_masked_again(desk: Desk) -> None:
    page = desk.page("support")
    page.goto("/customers/?size=20")
    page.locator("tbody tr td a").first.click()
    masked = page.locator("h1").inner_text()
    assert "•••" in masked
    page.get_by_role("link", name="Show personal data…").click()
    page.get_by_label("Why do you need to see it?").select_option("The customer is calling")
    page.get_by_role("button", name="Show for 5 minutes").click()
    expect(page.locator("[data-left]")).to_have_text(re.compile(r"\(4:\d\d left\)"))
    assert "•••" not in page.locator("h1").inner_text()
    page.get_by_role("button", name="Mask again").click()
    expect(page.locator("h1")).to_have_text(masked)
