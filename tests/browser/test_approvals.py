"""Approvals in a real browser: asked for by one person, decided by another, done by a worker."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import PHONE, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

LARGE = (
    "SELECT id, transaction_id FROM payment WHERE status = 'PAID' AND mode = 'LIVE' AND unit = 'GBP' "
    "AND reserved_minor = 0 AND in_flight IS NULL AND amount_minor > 120000 AND subscription_id IS NULL "
    "ORDER BY id DESC LIMIT 1"
)


def ask(desk: Desk, username: str, amount: str) -> tuple[int, str]:
    """A refund of a large payment, asked for on its page; the payment and its transaction ID."""
    ((payment_id, transaction_id),) = desk.demo.rows(LARGE)
    page = desk.page(username, f"transactions/{payment_id}/")
    page.locator("#main").get_by_role("link", name="Refund", exact=True).click()
    form = page.locator("#dlg[open]")
    form.get_by_label("Amount to refund").fill(amount)
    form.get_by_label("Reason").select_option(label="Goods not delivered")
    form.get_by_label("Authenticator code").fill(desk.code(username))
    form.get_by_role("button", name=f"Refund {amount} GBP").click()
    expect(page.get_by_text(f"Pending change by {username}")).to_be_visible()
    expect(page.get_by_text(re.compile("waits for a second person's approval")).first).to_be_visible()
    held = desk.demo.rows("SELECT reserved_minor, refunded_minor FROM payment WHERE id = ?", payment_id)
    assert held == [(round(float(amount.replace(",", "")) * 100), 0)]
    return payment_id, transaction_id


def test_a_large_refund_is_asked_for_by_one_person_and_made_when_another_approves(desk: Desk):
    payment_id, transaction_id = ask(desk, "operator", "1,100.00")
    checker = desk.page("cfo", "approvals/?queue=to-decide")
    for _ in range(25):  # the menu remembers its numbers for some seconds
        if "1" in checker.get_by_role("link", name="Approvals inbox").inner_text():
            break
        checker.wait_for_timeout(1000)
        checker.reload()
    expect(checker.get_by_role("link", name="Approvals inbox")).to_contain_text("1")
    checker.get_by_role("link", name=f"Refund 1,100.00 GBP of {transaction_id}").click()
    expect(checker.get_by_text("1,100.00 GBP go back to the customer.")).to_be_visible()
    checker.get_by_role("link", name="Approve…").click()
    form = checker.locator("#dlg[open]")
    form.get_by_label("Authenticator code").fill("000000")
    desk.watched.expect_status(422)
    form.get_by_role("button", name="Approve and do it").click()
    expect(form.get_by_label("Authenticator code")).to_have_attribute("aria-invalid", "true")
    form.get_by_label("Authenticator code").fill(desk.code("cfo"))
    form.get_by_role("button", name="Approve and do it").click()
    expect(checker.get_by_text("Done in the name of operator.")).to_be_visible()

    page = desk.page("operator", f"transactions/{payment_id}/")
    expect(page.locator(".hero")).to_contain_text("Partially refunded")
    orders = page.get_by_role("region", name="Refunds and voids", exact=True)
    expect(orders).to_contain_text("Succeeded")
    expect(orders).to_contain_text("by operator")
    expect(page.get_by_text("Approval given")).to_be_visible()
    booked = desk.demo.rows("SELECT status, refunded_minor, reserved_minor FROM payment WHERE id = ?", payment_id)
    assert booked == [("PARTIALLY_REFUNDED", 1_100_00, 0)]


def test_ones_own_request_cannot_be_approved_but_taken_back(desk: Desk):
    payment_id, _ = ask(desk, "admin", "1,050.00")
    page = desk.page("admin", f"transactions/{payment_id}/", viewport=PHONE)
    page.get_by_role("link", name="Open the request").click()
    expect(page.get_by_text("You asked for this yourself")).to_be_visible()
    expect(page.get_by_role("link", name="Approve…")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    request_id = page.url.rstrip("/").rpartition("/")[2]
    page.goto(f"{desk.demo.address}approvals/{request_id}/decide/approve/")
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has to decide it")

    page.goto(f"{desk.demo.address}approvals/{request_id}/")
    page.get_by_role("link", name="Cancel request…").click()
    form = page.locator("#dlg[open]")
    form.get_by_label("Reason").fill("The customer keeps the goods")
    form.get_by_role("button", name="Cancel the request").click()
    expect(page.get_by_text("Cancelled by its maker; nothing was done.").first).to_be_visible()
    free = desk.demo.rows("SELECT status, reserved_minor FROM payment WHERE id = ?", payment_id)
    assert free == [("PAID", 0)]
