"""Tariffs in a real browser: proposed by the Financial specialist, decided by the CFO; rates by file and by hand."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

RETAIL = "SELECT id FROM contract WHERE code = 'RETAIL-1'"
WAITING = re.compile("waits for a second person's approval")


def contract_of(desk: Desk) -> int:
    return int(desk.demo.rows(RETAIL)[0][0])


def propose(page: Page, percent: str, *, button: str = "Propose") -> None:
    """Another percentage for payments, and away with it."""
    page.get_by_label("What changes, and why").fill(f"Payments for {percent} %")
    page.get_by_label("Percentage").first.fill(percent)
    page.get_by_role("button", name=button, exact=True).click()


def versions(desk: Desk, contract_id: int) -> list[int]:
    rows = desk.demo.rows("SELECT number FROM contract_version WHERE contract_id = ? ORDER BY number", contract_id)
    return [number for (number,) in rows]


def decide(desk: Desk, page: Page, contract: str) -> None:
    """Approve the newest request about a contract, as the CFO does."""
    page.goto(f"{desk.demo.address}requests/?queue=to-decide")
    page.get_by_role("link", name=f"New version of contract {contract}").first.click()
    page.get_by_role("link", name="Approve…").click()
    form = page.locator("#dlg[open]")
    form.get_by_label("Authenticator code").fill(desk.code("cfo"))
    form.get_by_role("button", name="Approve and do it").click()


def test_a_specialist_proposes_the_cfo_sees_the_difference_and_approves_and_later_ones_go_stale(desk: Desk) -> None:
    contract_id = contract_of(desk)
    address = f"contracts/{contract_id}/version/"
    before = versions(desk, contract_id)
    specialist = desk.page("specialist", address)
    late = desk.page("specialist", address)  # a second form, opened before anything changed
    propose(specialist, "3")
    expect(specialist.get_by_text(WAITING).first).to_be_visible()
    assert versions(desk, contract_id) == before

    desk.watched.expect_status(409)
    propose(late, "3.1")
    expect(late.get_by_role("alert")).to_contain_text("It has to be decided or cancelled first")

    cfo = desk.page("cfo", "requests/?queue=to-decide")
    cfo.get_by_role("link", name="New version of contract RETAIL-1").click()
    expect(cfo.locator("#main")).to_contain_text("2.5%")
    expect(cfo.locator("#main")).to_contain_text("3%")
    decide(desk, cfo, "RETAIL-1")
    expect(cfo.get_by_text("Done in the name of specialist.")).to_be_visible()
    assert versions(desk, contract_id) == [*before, before[-1] + 1]
    cfo.goto(f"{desk.demo.address}contracts/{contract_id}/?version={before[-1] + 1}")
    expect(cfo.locator("#h-terms")).to_contain_text(f"version {before[-1] + 1}")
    expect(cfo.locator("#main")).to_contain_text("3%")

    # The form that was opened before says what is true now, and files nothing.
    propose(late, "3.1")
    expect(late.get_by_role("alert")).to_contain_text("Somebody else changed this contract")

    # A proposal that waits goes stale when the CFO changes the contract meanwhile.
    specialist.goto(f"{desk.demo.address}{address}")
    propose(specialist, "3.2")
    expect(specialist.get_by_text(WAITING).first).to_be_visible()
    cfo.goto(f"{desk.demo.address}{address}")
    propose(cfo, "4", button="Save")
    expect(cfo.get_by_text("Saved.")).to_be_visible()
    decide(desk, cfo, "RETAIL-1")
    expect(cfo.locator("#main")).to_contain_text("Out of date")
    assert versions(desk, contract_id)[-1] == before[-1] + 2


def test_a_contract_tells_what_an_amount_would_cost_and_why(desk: Desk) -> None:
    page = desk.page("cfo", f"contracts/{contract_of(desk)}/?version=1")
    page.get_by_label("Amount").fill("125.00")
    costs = page.locator("#costs")
    expect(costs).to_contain_text("3.32 GBP")
    expect(costs).to_contain_text("2.5% of 125.00 GBP is 3.125, rounded to 3.12 GBP.")
    expect(costs).to_contain_text("With the fixed part of 0.20 GBP it is 3.32 GBP.")


def test_the_ecbs_file_is_imported_once_and_amounts_are_converted_with_the_last_earlier_day(desk: Desk) -> None:
    page = desk.page("specialist", "exchange-rates/import/")
    file = "Date,USD,XXA,\n2026-11-12,1.2500,3.5,\n"
    for said in ("1 rate added", "1 rate was known"):
        page.goto(f"{desk.demo.address}exchange-rates/import/")
        payload = {"name": "eurofxref-hist.csv", "mimeType": "text/csv", "buffer": file.encode()}
        page.get_by_label("File").set_input_files(files=[payload])
        page.get_by_role("button", name="Import").click()
        expect(page.locator("#main")).to_contain_text(said)
        expect(page.locator("#main")).to_contain_text("XXA")
    page.goto(f"{desk.demo.address}exchange-rates/pair/?base=EUR&quote=USD&amount=125.00&on=2026-11-14")
    expect(page.locator("#main")).to_contain_text("125.00 EUR = 156.25 USD")
    expect(page.locator("#main")).to_contain_text("No rate was published on that day")
    expect(page.locator("figure canvas, figure svg, .chart canvas, .bk-Figure, [data-chart]").first).to_be_visible()


def test_a_rate_that_is_far_from_the_last_is_asked_about_and_then_in_force_without_approval(desk: Desk) -> None:
    page = desk.page("specialist", "exchange-rates/new/", viewport=PHONE)
    page.get_by_label("One").select_option("EUR")
    page.get_by_label("Costs in").select_option("CHF")
    page.get_by_label("Rate").fill("919.4")
    desk.watched.expect_status(409)
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_text("far from this one")).to_be_visible()
    page.get_by_label("I looked again: the rate is right").check()
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_text("The rate is in force.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert desk.demo.rows("SELECT count(*) FROM approval_request WHERE title LIKE '%CHF%'") == [(0,)]


def test_without_requests_the_page_says_so(desk: Desk) -> None:
    page = desk.page("cfo", "requests/?kind=cashback")
    expect(page.locator("#main")).to_contain_text("0 requests")
