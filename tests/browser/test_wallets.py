"""Wallets in a real browser: a transfer and an exchange, seen before they are confirmed, and found in the books."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]


def wallets_of(page: Page, owner: str) -> dict[str, str]:
    """The addresses of an organization's wallets, by unit."""
    page.goto("organizations/?search=" + owner)
    page.get_by_role("link", name=owner).first.click()
    rows = page.locator("section:has(#h-wallets) tbody tr")
    found = {}
    for row in rows.all():
        unit = row.locator("td").nth(1).inner_text().split()[-1]
        found[unit] = row.get_by_role("link").get_attribute("href") or ""
    return found


def figure(page: Page, label: str) -> str:
    card = page.locator(".card.kpi").filter(has=page.get_by_text(label, exact=True))
    return card.locator(".v").inner_text()


def number_of(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]


def lines_of(page: Page) -> list[tuple[int, int]]:
    """Every line of a statement: the number of its transaction, and its amount in pence, debits above zero."""
    found = []
    for row in page.locator("tbody tr").all():
        cells = row.locator("td")
        signed = [minor_of(cells.nth(3).text_content()), -minor_of(cells.nth(4).text_content())]
        found.append((int(cells.nth(1).get_by_role("link").inner_text()), sum(signed)))
    return found


def minor_of(text: str | None) -> int:
    return int(re.sub(r"\D", "", text or "") or 0)


def entries_of(desk: Desk, account_id: str) -> list[tuple[int, int]]:
    wanted = "SELECT transaction_id, amount_minor FROM ledger_entry WHERE account_id = ? ORDER BY effective_on, id"
    return [(int(number), int(minor)) for number, minor in desk.demo.rows(wanted, account_id)]


def test_a_transfer_and_an_exchange_are_seen_confirmed_and_found_in_the_books(desk: Desk) -> None:
    page = desk.page("admin")
    own, other = wallets_of(page, "Northwind Payouts"), wallets_of(page, "Lumen Partners")
    page.goto(own["GBP"])
    before = figure(page, "Available")
    page.get_by_role("link", name="Transfer").first.click()
    page.goto(f"wallet-transactions/transfer/?from={number_of(own['GBP'])}&to={number_of(other['GBP'])}")
    page.get_by_label("Amount").fill("10.00")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Confirm the transfer")).to_be_visible()
    expect(page.get_by_text("0.5% of 10.00 GBP")).to_be_visible()
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_label("Amount")).to_have_value("10.00")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name=re.compile(r"^Transfer no\."))).to_be_visible()
    page.get_by_role("link", name="J22 Transfer").click()
    page.get_by_role("link", name=re.compile(r"^Transfer no\.")).click()
    expect(page.get_by_role("heading", name=re.compile(r"^Transfer no\."))).to_be_visible()

    page.goto(f"wallet-transactions/exchange/?from={number_of(own['GBP'])}&to={number_of(own['EUR'])}")
    page.get_by_label("Amount").fill("20.00")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text(re.compile(r"One GBP costs 1\.\d+ EUR"))).to_be_visible()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("link", name="J24 Exchange")).to_be_visible()

    page.goto(own["GBP"])
    after = figure(page, "Available")
    spent = round(float(before.split()[0].replace(",", "")) - float(after.split()[0].replace(",", "")), 2)
    assert spent == 30.15, "10.00 with a commission of at least 0.10, 20.00 with one of 0.25%"
    assert figure(page, "Closing balance") == after
    page.get_by_role("link", name="Account in the books").click()
    assert figure(page, "Balance now") == after
    assert lines_of(page) == entries_of(desk, number_of(page.url))
    assert page.locator("tbody tr").last.locator("td").last.inner_text() == after
