"""Checkout rules in a real browser: ordered by keyboard, button and mouse; written, tested, replayed, activated."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Demo, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

ORDER = "items => items.map(item => item.dataset.name)"


def names(page: Page) -> list[str]:
    found: list[str] = page.locator("#rules [data-order-item]").evaluate_all(ORDER)
    return found


def wait_for_order(page: Page, *first: str) -> None:
    expect(page.locator("#rules [data-order-item] .link").first).to_have_text(first[0])
    expect(page.locator("#rules [data-order-item] .link").nth(1)).to_have_text(first[1])


def new_draft(desk: Desk, user: str = "admin") -> Page:
    page = desk.page(user)
    page.goto("adaptive-checkout/")
    page.get_by_role("button", name="Change the rules").click()
    page.get_by_role("heading", name=re.compile(r"^Version \d+$")).wait_for()
    # The list answers once its script has come.
    page.wait_for_load_state("networkidle")
    return page


def test_rules_are_put_in_order_by_keyboard_by_button_and_by_mouse(desk: Desk) -> None:
    page = new_draft(desk)
    before = names(page)
    assert len(before) >= 3
    one, two, three = before[:3]

    grip = page.locator(f'[data-name="{one}"] [data-grip]')
    grip.focus()
    page.keyboard.press("ArrowDown")
    wait_for_order(page, two, one)
    expect(page.locator(f'[data-name="{one}"] [data-grip]')).to_be_focused()
    expect(page.locator("#announce")).to_have_text(f"{one} is number 2 of {len(before)}")

    page.get_by_role("button", name=f"Move “{one}” up").press("Enter")
    wait_for_order(page, one, two)
    expect(page.get_by_role("button", name=f"Move “{one}” up")).to_be_focused()

    held = page.locator(f'[data-name="{three}"] [data-grip]').bounding_box()
    target = page.locator(f'[data-name="{one}"]').bounding_box()
    assert held is not None
    assert target is not None
    page.mouse.move(held["x"] + 8, held["y"] + 8)
    page.mouse.down()
    page.mouse.move(held["x"] + 10, held["y"] - 20, steps=5)
    page.mouse.move(target["x"] + 60, target["y"] + 8, steps=15)
    page.mouse.move(target["x"] + 62, target["y"] + 6, steps=3)
    page.mouse.up()
    # The row is where it was dropped at once; the order is kept when that is said.
    expect(page.locator("#announce")).to_have_text(f"{three} is number 1 of {len(before)}")
    page.reload()
    assert names(page)[:3] == [three, one, two], "the order is kept"


@pytest.mark.parametrize("way", [180, 250, 268, 330])
def test_what_a_drag_shows_is_kept_wherever_it_ends(desk: Desk, way: int) -> None:
    page = new_draft(desk)
    before = names(page)
    held = page.locator(f'[data-name="{before[0]}"] [data-grip]').bounding_box()
    assert held is not None
    x, y = held["x"] + 8, held["y"] + 8
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 2, y + 20, steps=3)
    page.mouse.move(x, y + way, steps=10)
    page.mouse.move(x, y + way, steps=1)
    shown = names(page)
    assert shown != before
    page.mouse.up()
    place = shown.index(before[0]) + 1
    expect(page.locator("#announce")).to_have_text(f"{before[0]} is number {place} of {len(before)}")
    page.reload()
    assert names(page) == shown


def test_a_rule_is_written_row_by_row_and_its_methods_are_put_in_order(desk: Desk, demo: Demo) -> None:
    page = new_draft(desk)
    page.get_by_role("link", name="New rule").click()
    desk.watched.expect_status(422)
    page.get_by_label("ID", exact=True).fill("from-the-browser")
    page.wait_for_load_state("networkidle")
    page.get_by_label("What", exact=True).select_option("amount")
    page.get_by_label("Comparison").focus()
    page.get_by_label("Comparison").select_option("greater_or_equal_than")
    expect(page.get_by_label("Comparison")).to_be_focused()
    page.locator("#c-0-value").fill("1.234")
    page.get_by_role("button", name="Add a condition").click()
    expect(page.locator("#c-1-key")).to_be_focused()
    page.locator("#c-1-key").select_option("channel")
    page.locator("#c-1-operator").select_option("in")
    expect(page.locator("#c-1-operator")).to_be_focused()
    page.locator('[name="c-1-value"][value="WEB"]').check()
    page.locator("#main").get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#c-0-value-error")).to_contain_text("too many decimals")
    expect(page.locator("#methods-error")).to_have_text("A rule offers at least one payment method.")
    expect(page.locator("#id")).to_have_value("from-the-browser")

    page.locator("#c-0-value").fill("12.34")
    for code in ("simulator:VISA", "simulator:PAYPAL"):
        page.locator("#method-new").select_option(code)
        page.get_by_role("button", name="Add", exact=True).click()
        page.locator(f'[name="method"][value="{code}"]').wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    page.locator('.offer[data-order-item="simulator:VISA"] [data-grip]').focus()
    page.keyboard.press("ArrowDown")
    page.locator("#main").get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="from-the-browser", exact=True).wait_for()
    [(conditions, methods)] = demo.rows(
        "SELECT conditions, methods FROM checkout_rule WHERE name = 'from-the-browser' ORDER BY id DESC LIMIT 1"
    )
    assert '"amount_minor": 1234' in conditions
    assert methods.index("PAYPAL") < methods.index("VISA")


def test_the_test_panel_answers_while_one_types_and_a_replay_tells_what_would_change(desk: Desk) -> None:
    page = new_draft(desk)
    page.get_by_role("link", name="New rule").click()
    page.get_by_label("ID", exact=True).fill("all-of-the-web")
    page.get_by_label("Priority").fill("1")
    page.wait_for_load_state("networkidle")
    page.get_by_label("What", exact=True).select_option("channel")
    page.locator("#c-0-value").select_option("WEB")
    page.locator("#method-new").select_option("simulator:PAYPAL")
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("#main").get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="all-of-the-web", exact=True).wait_for()
    page.wait_for_load_state("networkidle")

    page.locator("#f-amount").fill("50")
    page.locator("#f-channel").select_option("WEB")
    expect(page.locator("#verdict")).to_contain_text("“all-of-the-web” decides.")
    page.locator("#f-channel").select_option("CALL_CENTRE")
    expect(page.locator("#verdict")).to_contain_text("Channel is Web: it is Call centre")

    page.locator("#days").fill("3660")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.get_by_text("The replay is over").wait_for(timeout=60_000)
    page.get_by_role("link", name="List of payments").click()
    expect(page.locator("#list tbody tr").first).to_contain_text("all-of-the-web")


def test_a_draft_is_activated_after_its_differences_were_shown(desk: Desk, demo: Demo) -> None:
    page = new_draft(desk)
    page.locator("#rules .rule").last.get_by_role("link", name="default", exact=True).click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name=re.compile("^Remove “")).first.click()
    page.locator("#main").get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Activate…").click()
    expect(page.get_by_role("heading", name=re.compile("^What changes against version"))).to_be_visible()
    expect(page.locator(".diff del")).to_have_count(1)
    page.get_by_label("Reason").fill("Fewer methods")
    page.get_by_role("button", name=re.compile(r"^Activate version \d+$")).click()
    page.get_by_role("heading", name="Adaptive checkout").wait_for()
    assert demo.rows("SELECT count(*) FROM checkout_ruleset WHERE status = 'ACTIVE'") == [(1,)]
