"""The bank in a real browser: a transfer leaves in a file that another person releases; a statement settles it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

FUNDED = (
    "SELECT w.number, w.customer_id FROM wallet w JOIN ledger_balance b ON b.account_id = w.account_id"
    " WHERE w.customer_id IS NOT NULL AND w.status = 'OPEN' AND w.unit = ?"
    " GROUP BY w.id HAVING SUM(b.balance_minor) <= -300 ORDER BY w.id LIMIT 1"
)
STATEMENT = """<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
<GrpHdr><MsgId>{name}</MsgId></GrpHdr><Stmt><Id>{name}</Id><Acct><Id><IBAN>{account}</IBAN></Id></Acct>
<Ntry><Amt Ccy="{unit}">1.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>2026-03-02</Dt></BookgDt>
</Ntry></Stmt></BkToCstmrStmt></Document>"""


def unit_of(desk: Desk) -> str:
    """A currency in which a customer has money."""
    return next(unit for unit in ("GBP", "EUR", "USD") if desk.demo.rows(FUNDED, unit))


def approved(desk: Desk, unit: str) -> None:
    """A transfer of 1.00 that a cashier entered and an accountant approved."""
    number, customer = desk.demo.rows(FUNDED, unit)[0]
    desk.demo.write("UPDATE customer SET status = 'ACTIVE', identification = 'IDENTIFIED' WHERE id = ?", customer)
    cashier, accountant = desk.page("cashier"), desk.page("accountant")
    cashier.goto("redeem-requests/new/")
    cashier.get_by_role("combobox", name="Wallet").fill(number)
    cashier.locator("[role=option]").first.click()
    cashier.get_by_label("Amount").fill("1.00")
    cashier.get_by_label("Paid by").select_option("BANK_TRANSFER")
    cashier.get_by_label("Account holder").fill("Ada Lovelace")
    cashier.get_by_label("IBAN").fill("NL30 MOCK 0000 0000 05")
    cashier.get_by_role("button", name="Continue").click()
    cashier.get_by_role("button", name="Enter the request").click()
    expect(cashier.get_by_role("heading", name=re.compile(r"^Redeem request no\."))).to_be_visible()
    accountant.goto(cashier.url)
    accountant.get_by_role("link", name="Approve…").click()
    accountant.get_by_role("button", name="Approve", exact=True).click()
    expect(accountant.get_by_text("The request is approved.")).to_be_visible()


def made(desk: Desk, unit: str) -> Page:
    """The page of a file that an accountant made."""
    page = desk.page("accountant", "payment-files/")
    page.get_by_role("link", name=f"Make a file in {unit}…").click()
    expect(page.get_by_role("heading", name="Make a payment file")).to_be_visible()
    page.get_by_role("button", name="Make the file").click()
    expect(page.get_by_role("heading", name=re.compile(r"^PA-[0-9A-F]{12}$"))).to_be_visible()
    return page


def test_a_file_is_made_released_by_another_and_settled_by_a_statement(desk: Desk, tmp_path: Path) -> None:
    unit = unit_of(desk)
    approved(desk, unit)
    page = made(desk, unit)
    expect(page.get_by_text("You made it, so somebody else has to release it.")).to_be_visible()
    expect(page.get_by_role("link", name="Release…")).to_have_count(0)

    other = desk.page("cfo")
    other.goto(page.url)
    other.get_by_role("link", name="Release…").click()
    expect(other.get_by_text("leaves our account")).to_be_visible()
    other.get_by_role("textbox", name="Authenticator code").fill(desk.code("cfo"))
    other.get_by_role("button", name="Release", exact=True).click()
    expect(other.get_by_text("There is no connection to a bank")).to_be_visible()
    other.get_by_role("button", name="The bank has it").click()
    expect(other.get_by_text("Download the file first, then give it to the bank.", exact=True)).to_be_visible()
    with other.expect_download() as given:
        other.get_by_role("button", name="Download").click()
    content = Path(given.value.path()).read_text()
    assert f'<InstdAmt Ccy="{unit}">1.00</InstdAmt>' in content
    other.get_by_role("button", name="The bank has it").click()
    expect(other.get_by_text("has not said yet what it thinks of it")).to_be_visible()

    account = re.findall(r"<IBAN>(\w+)</IBAN>", content)[0]
    file = tmp_path / "statement.xml"
    name = f"S-{page.url.rstrip('/').rpartition('/')[2]}"
    file.write_text(STATEMENT.format(name=name, account=account, unit=unit))
    page.goto("bank-statements/")
    page.get_by_role("link", name="Upload a file of the bank…").first.click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()

    line = unmatched(page, name)
    page.goto(line)
    expect(page.get_by_text("It names no reference.")).to_be_visible()
    page.get_by_role("combobox", name="Payment").select_option(index=1)
    page.get_by_label("How you know").fill("The bank told us by telephone")
    page.get_by_role("button", name="Match and book").click()
    expect(page.get_by_text("It settled this payment:")).to_be_visible()
    page.get_by_role("link", name="Open the request").click()
    expect(page.get_by_role("link", name="J19 Redeem paid by bank")).to_be_visible()


def unmatched(page: Page, name: str) -> str:
    """The address of the line of a statement, once a worker has looked at it."""
    row = page.get_by_role("row").filter(has_text=name).filter(has_text="Unmatched")
    for _turn in range(60):
        page.goto(f"bank-statements/?search={name}")
        if row.count():
            return row.get_by_role("link").first.get_attribute("href") or ""
        page.wait_for_timeout(500)
    raise AssertionError("no worker looked at the line")
