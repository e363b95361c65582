"""System operations in a real browser: the accountant asks, the CFO confirms, the cashier sees and acknowledges."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

NEWEST = "SELECT id, status FROM system_operation ORDER BY id DESC LIMIT 1"
BOOKED = "SELECT template FROM ledger_transaction WHERE business = 'system_operation' AND business_id = ?"


def ask(page: Page, kind: str, amount: str, *, desk: str | None = None) -> None:
    """Fill in the form of the accountant."""
    page.goto("system-operations/")
    page.get_by_role("link", name=kind, exact=True).click()
    if desk is not None:
        page.get_by_label("Desk").select_option(label=desk)
    page.get_by_label("Currency").select_option("GBP")
    page.get_by_label("Amount").fill(amount)
    page.get_by_role("button", name="Ask the CFO").click()


def test_an_investment_is_asked_for_confirmed_and_acknowledged(desk: Desk) -> None:
    accountant = desk.page("accountant")
    desk.watched.expect_status(422)
    ask(accountant, "Investment", "12.345", desk="Main hall")
    expect(accountant.get_by_label("Amount")).to_have_value("12.345")
    accountant.get_by_label("Amount").fill("12.34")
    accountant.get_by_role("button", name="Ask the CFO").click()
    expect(accountant.get_by_text("Waiting for the CFO.")).to_be_visible()
    expect(accountant.get_by_role("link", name="Confirm…")).to_have_count(0)
    number, status = desk.demo.rows(NEWEST)[0]
    assert (status, desk.demo.rows(BOOKED, number)) == ("INITIATED", [])

    cfo = desk.page("cfo", "system-operations/")
    row = cfo.locator("section:has(#h-queue-1) tr").filter(has_text="12.34")
    row.get_by_role("link", name="Confirm…").click()
    form = cfo.locator("#dlg[open]")
    expect(form).to_contain_text("12.34 GBP")
    form.get_by_role("button", name="Confirm and book it").click()
    expect(cfo.get_by_text("Confirmed and booked.")).to_be_visible()
    expect(cfo.get_by_role("link", name="J15 Investment")).to_be_visible()
    assert desk.demo.rows(BOOKED, number) == [("J15",)]

    cashier = desk.page("cashier", "system-operations/", viewport=PHONE)
    expect(cashier.get_by_role("link", name="Cash input", exact=True)).to_have_count(0)
    expect(cashier.get_by_text("North branch")).to_have_count(0)
    row = cashier.locator("section:has(#h-queue-1) tr").filter(has_text="12.34")
    row.get_by_role("button", name="Acknowledge").click()
    expect(cashier.get_by_text("Acknowledged.", exact=True)).to_be_visible()
    expect(cashier.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_a_rejected_input_says_why_and_reports_open_for_each_role(desk: Desk) -> None:
    accountant = desk.page("accountant", "system-operations/new/cash-input/")
    accountant.get_by_label("From").select_option("BANK")
    accountant.get_by_label("Currency").select_option("GBP")
    accountant.get_by_label("Amount").fill("7.77")
    accountant.get_by_role("button", name="Ask the CFO").click()
    number, _status = desk.demo.rows(NEWEST)[0]
    cfo = desk.page("cfo", f"system-operations/{number}/")
    cfo.get_by_role("link", name="Reject…").click()
    form = cfo.locator("#dlg[open]")
    form.get_by_label("Reason").fill("Not agreed with the bank")
    form.get_by_role("button", name="Reject", exact=True).click()
    expect(cfo.get_by_text("Rejected. Nothing was booked.")).to_be_visible()
    assert desk.demo.rows(BOOKED, number) == []

    for username, choosing in (("accountant", 1), ("cfo", 1), ("cashier", 0)):
        page = desk.page(username, "cash-report/")
        expect(page.get_by_role("heading", name="Cash report")).to_be_visible()
        expect(page.get_by_label("Desk", exact=True)).to_have_count(choosing)
    cashier = desk.page("cashier", "cash-report/")
    expect(cashier.get_by_text("Opened by")).to_be_visible()
    expect(cashier.get_by_text(re.compile("told when the day is closed"))).to_be_visible()
    with cashier.expect_download() as found:
        cashier.get_by_role("link", name="PDF").first.click()
    assert found.value.suggested_filename.startswith("cash-report-MAIN-")
