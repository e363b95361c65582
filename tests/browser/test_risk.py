"""The day of the anti-fraud specialist in a real browser: decide, block, look up, sum up, and watch (S3:142-155)."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Desk
from tests.support.recurring import until

pytestmark = [pytest.mark.browser, pytest.mark.once]

WAITING = "SELECT id, excess_minor FROM limit_application WHERE status = 'PENDING' ORDER BY id"
# A customer who is neither blocked nor has a wallet, with payments.
SOMEBODY = (
    "SELECT c.id, c.external_id, c.email, c.name FROM customer c JOIN payment p ON p.customer_id = c.id "
    "WHERE c.status = 'ACTIVE' AND c.email IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM wallet w WHERE w.customer_id = c.id) "
    "ORDER BY c.id LIMIT 1 OFFSET 5"
)


def fits_a_phone(page: Page) -> None:
    """Nothing is wider than the phone."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"


def test_the_specialist_decides_about_applications(desk: Desk) -> None:
    page = desk.page("antifraud")
    desk.watched.expect_status(422)
    (first, excess), (second, _more), *_rest = desk.demo.rows(WAITING)

    page.locator("#main").get_by_role("link", name="Applications").click()
    expect(page.get_by_role("heading", name="Applications for operations")).to_be_visible()
    amount = (excess + 250_00) / 100
    page.goto(f"applications/?search={amount:.2f}")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(f"applications/{first}/")
    expect(page.get_by_role("heading", name="Who it is")).to_be_visible()
    page.get_by_role("link", name="Approve…").click()
    page.get_by_role("button", name="Approve and execute").click()
    expect(page.get_by_text("Approved: the money has moved.")).to_be_visible()
    page.goto(f"applications/{second}/reject/")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Say why.")).to_be_visible()
    page.get_by_label("Reason").fill("Nobody there knows of it")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Rejected: the money went back.")).to_be_visible()


def test_the_specialist_blocks_somebody_and_sums_up(desk: Desk) -> None:
    page = desk.page("antifraud")
    customer_id, number, email, name = desk.demo.rows(SOMEBODY)[0]
    page.goto("blocks/")
    page.get_by_role("link", name="Block somebody or something").click()
    page.get_by_label("ID, e-mail address or number").fill(email)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text(number).first).to_be_visible()
    expect(page.get_by_text(name)).to_have_count(0)  # masked
    page.get_by_role("link", name=re.compile("^Block… ")).first.click()
    page.get_by_label("Reason").select_option("STOLEN_CARD")
    page.get_by_label("In words").fill("Reported by the bank of the card")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.get_by_text("Blocked, at once and everywhere.")).to_be_visible()
    expect(page.get_by_role("heading", name="In hand when it began")).to_be_visible()
    block = page.url
    page.get_by_role("link", name="What they did").click()
    expect(page.get_by_role("heading", name="Latest payments")).to_be_visible()
    expect(page.get_by_text("Reported by the bank of the card").first).to_be_visible()
    assert desk.demo.rows("SELECT status FROM customer WHERE id = ?", customer_id) == [("BLOCKED",)]
    page.goto(block)
    page.get_by_role("link", name="Lift…").click()
    page.get_by_label("Reason").fill("The bank was wrong")
    page.get_by_role("button", name="Lift the block").click()
    expect(page.get_by_text("The block is lifted.")).to_be_visible()
    assert desk.demo.rows("SELECT status FROM customer WHERE id = ?", customer_id) == [("ACTIVE",)]

    # The summary: a period, a kind, the next page and back, and a file.
    [newest] = desk.demo.rows("SELECT date(max(created_at)) FROM payment WHERE mode = 'LIVE'")
    page.goto(
        f"transactions-summary/?from=2000-01-01&to={newest[0]}&size=20".replace("2000-01-01", f"{newest[0][:4]}-01-01")
    )
    expect(page.locator("[data-total]").first).to_be_visible()
    top = page.locator("tbody tr").first.inner_text()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("tbody tr").first).not_to_have_text(top)
    page.get_by_role("link", name="Previous page").click()
    assert page.locator("tbody tr").first.inner_text() == top
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="CSV").click()
    assert "transactions-" in download.value.suggested_filename


def test_the_specialist_looks_at_a_note_and_writes_a_rule(desk: Desk) -> None:
    page = desk.page("antifraud")
    page.goto("watch-notes/?status=OPEN")
    page.locator("tbody tr a").first.click()
    expect(page.get_by_role("heading", name="What the rule saw")).to_be_visible()
    page.get_by_role("link", name="Say what it came to…").click()
    page.get_by_label("What it came to").select_option("HARMLESS")
    page.get_by_label("In words").fill("Known for years")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Known for years").first).to_be_visible()
    page.goto("watch-rules/new/")
    page.get_by_label("Name").fill("Declines in a row")
    page.get_by_label("What", exact=True).select_option("declines_day")
    page.get_by_label("Comparison").select_option("greater_or_equal_than")
    page.get_by_label("Value", exact=True).fill("3")
    page.get_by_role("button", name="Save the draft").click()
    expect(page.get_by_text("Declined payments of the customer in 24 hours is at least 3")).to_be_visible()
    expect(page.get_by_role("link", name="Switch on…")).to_have_count(0)
    page.get_by_label("Days").fill("7")
    page.get_by_role("button", name="Replay").click()
    until(desk.demo, "SELECT id FROM watch_trial WHERE status = 'DONE' AND requester_id IS NOT NULL")
    page.reload()
    page.get_by_role("link", name="Switch on…").click()
    page.get_by_label("Reason").fill("Tried over a week")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_text(re.compile("Watching now"))).to_be_visible()
    page.get_by_role("link", name="Switch off…").click()
    page.get_by_label("Reason").fill("Only a test")
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("This rule is off.")).to_be_visible()


def test_the_pages_of_anti_fraud_fit_a_phone(desk: Desk) -> None:
    page = desk.page("antifraud", viewport=PHONE)
    [block] = desk.demo.rows("SELECT id FROM block ORDER BY id LIMIT 1")
    [note] = desk.demo.rows("SELECT id FROM watch_note ORDER BY id LIMIT 1")
    [rule] = desk.demo.rows("SELECT id FROM watch_rule ORDER BY id LIMIT 1")
    [application] = desk.demo.rows("SELECT id FROM limit_application ORDER BY id LIMIT 1")
    for address in (
        "applications/",
        f"applications/{application[0]}/",
        "blocks/",
        f"blocks/{block[0]}/",
        "blocks/find/?q=1",
        "transactions-summary/",
        "watch-rules/",
        f"watch-rules/{rule[0]}/",
        "watch-rules/new/",
        f"watch-notes/{note[0]}/",
    ):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        fits_a_phone(page)
