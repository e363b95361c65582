"""Redeem requests in a real browser: entered by a cashier, approved, cancelled, and refused with the reason."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

FUNDED = (
    "SELECT w.id, w.number, w.customer_id, w.unit FROM wallet w JOIN ledger_balance b ON b.account_id = w.account_id"
    " WHERE w.customer_id IS NOT NULL AND w.status = 'OPEN' AND w.unit IN ('EUR', 'GBP', 'USD')"
    " GROUP BY w.id HAVING SUM(b.balance_minor) <= -300 ORDER BY w.id LIMIT 1"
)
DAMAGE = "UPDATE customer SET status = ?, identification = ? WHERE id = ?"


def enter(page: Page, number: str, amount: str) -> str:
    """Enter a cash request; the address of what was made."""
    page.goto("redeem-requests/new/")
    page.get_by_role("combobox", name="Wallet").fill(number)
    page.locator("[role=option]").first.click()
    page.get_by_label("Amount").fill(amount)
    page.get_by_label("Paid by").select_option("CASH_DESK")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Confirm the redeem request")).to_be_visible()
    page.get_by_role("button", name="Enter the request").click()
    expect(page.get_by_role("heading", name=re.compile(r"^Redeem request no\."))).to_be_visible()
    return page.url


def test_a_request_is_entered_approved_cancelled_and_refused_for_a_blocked_customer(desk: Desk) -> None:
    (_wallet, number, customer, _unit) = desk.demo.rows(FUNDED)[0]
    desk.demo.write(DAMAGE, "ACTIVE", "IDENTIFIED", customer)
    cashier, accountant = desk.page("cashier"), desk.page("accountant")

    first = enter(cashier, number, "1.00")
    expect(cashier.get_by_text("are set aside in the wallet")).to_be_visible()
    expect(cashier.get_by_role("link", name="Approve…")).to_have_count(0)

    accountant.goto("redeem-requests/")
    accountant.get_by_role("row", name=re.compile(re.escape(number))).last.get_by_role("link").first.click()
    accountant.goto(first)
    accountant.get_by_role("link", name="Approve…").click()
    accountant.get_by_role("button", name="Approve", exact=True).click()
    expect(accountant.get_by_text("The request is approved.")).to_be_visible()
    accountant.get_by_role("link", name="Cancel…").click()
    accountant.get_by_label("Reason").fill("The customer changed their mind")
    accountant.get_by_role("button", name="Cancel the request").click()
    expect(accountant.get_by_text("the wallet has its money again").first).to_be_visible()
    expect(accountant.get_by_role("link", name="J21 Redeem cancelled")).to_be_visible()

    second = enter(cashier, number, "1.00")
    for status, known, words in (
        ("ACTIVE", "UNIDENTIFIED", "The customer is not identified."),
        ("BLOCKED", "IDENTIFIED", "is blocked"),
    ):
        desk.demo.write(DAMAGE, status, known, customer)
        accountant.goto(second)
        expect(accountant.get_by_role("status").get_by_text(re.compile(words)).first).to_be_visible()
        expect(accountant.locator("[aria-disabled=true]").filter(has_text="Approve…")).to_be_visible()
    desk.demo.write(DAMAGE, "ACTIVE", "IDENTIFIED", customer)
