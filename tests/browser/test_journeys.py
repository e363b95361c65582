"""What staff do all day, done in a real browser on the real demo: worker, simulator and mail included."""

import csv
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Download, Locator, Page, expect

from tests.support.browser import PHONE, Demo, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

# Paid, in pounds, not yet given back: what a refund or an invoice can take. Each test takes its own stretch; customers
# with a failed payment belong to the bulk refund.
PAID = (
    "SELECT id, transaction_id, amount_minor FROM payment WHERE status = 'PAID' AND mode = 'LIVE' AND unit = 'GBP' "
    "AND reserved_minor = 0 AND refunded_minor = 0 AND amount_minor BETWEEN 1000 AND 90000 AND subscription_id IS NULL "
)
ALONE = "AND customer_id NOT IN (SELECT customer_id FROM payment WHERE status = 'FAILED') "


def paid(demo: Demo, number: int, *, skip: int, settled: bool = True) -> list[tuple[int, str, int]]:
    where = f"AND settled_at IS {'NOT ' if settled else ''}NULL ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"
    return demo.rows(PAID + ALONE + where, number, skip)


def pounds(minor: int) -> str:
    return f"{minor // 100:,}.{minor % 100:02}"


def dialog(page: Page) -> Locator:
    return page.locator("#dlg[open]")


def rows(page: Page) -> Locator:
    return page.locator("#list tbody tr")


def choose(page: Page, *transaction_ids: str) -> None:
    for transaction_id in transaction_ids:
        page.get_by_role("checkbox", name=f"Choose {transaction_id}").check()


def saved(download: Download, folder: Path) -> Path:
    target = folder / download.suggested_filename
    download.save_as(target)
    return target


# ---- in and out ----------------------------------------------------------------------------------------------------


def test_signing_in_takes_the_password_and_a_fresh_code(desk: Desk):
    desk.watched.expect_status(401, 422)
    page = desk.page(path="transactions/?status=FAILED")
    expect(page).to_have_url(re.compile(r"/login\?next="))
    desk.type_password(page, "antifraud")
    page.get_by_role("textbox", name="Authenticator code").fill("000000")
    page.get_by_role("button", name="Verify and sign in").click()
    expect(page.get_by_text("That code is not right or was already used.")).to_be_visible()
    desk.type_code(page, "antifraud")
    expect(page).to_have_url(re.compile(r"/transactions/\?status=FAILED$"))
    sign_out = page.get_by_role("menuitem", name="Sign out")
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="antifraud").click()
    sign_out.click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


# ---- finding -------------------------------------------------------------------------------------------------------


def test_a_payment_is_found_by_the_slash_key_and_by_any_pasted_id(desk: Desk):
    ((payment_id, transaction_id, _),) = paid(desk.demo, 1, skip=400)
    page = desk.page("admin", "transactions/")
    page.keyboard.press("/")
    page.keyboard.type(transaction_id)
    expect(rows(page)).to_have_count(1)
    expect(page.locator("#q")).to_be_focused()
    expect(page).to_have_url(re.compile(f"search={transaction_id}"))
    page.get_by_role("link", name=transaction_id).click()
    expect(page).to_have_url(re.compile(f"/transactions/{payment_id}/$"))

    ((number,),) = desk.demo.rows("SELECT invoice_number FROM payment WHERE id = ?", payment_id)
    page.goto("/customers/")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search records and pages")).to_be_focused()
    page.keyboard.insert_text(number)
    expect(page.get_by_role("gridcell", name=transaction_id).first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/transactions/{payment_id}/$"))


def test_filters_work_by_keyboard_and_the_back_button_undoes_them(desk: Desk):
    page = desk.page("admin", "transactions/?size=20")
    count = page.locator("[data-announce]")
    everything = count.inner_text()
    chip = page.get_by_role("button", name="Status")
    chip.focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="Charged back")
    expect(page.get_by_role("checkbox", name="Created")).to_be_focused()
    box.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("status=CHARGED_BACK"))
    expect(page.get_by_role("button", name="Status Charged back")).to_be_focused()
    ((number,),) = desk.demo.rows("SELECT count(*) FROM payment WHERE status = 'CHARGED_BACK' AND mode = 'LIVE'")
    expect(count).to_have_text(f"{number} transactions")
    page.go_back()
    expect(count).to_have_text(everything)
    page.go_forward()
    expect(count).to_have_text(f"{number} transactions")
    page.get_by_role("link", name="Remove the filter Status").click()
    expect(count).to_have_text(everything)


def test_a_list_is_left_and_read_on_by_pages_days_and_order(desk: Desk):
    page = desk.page("admin", "transactions/?size=20")
    top = rows(page).first.get_by_role("link").first
    first = top.inner_text()
    page.get_by_role("link", name="Next page").click()
    expect(top).not_to_have_text(first)
    page.get_by_role("link", name="Last page").click()
    expect(page.get_by_role("link", name="Next page")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="First page").click()
    expect(top).to_have_text(first)
    page.get_by_role("button", name="Go to a day").click()
    page.get_by_role("textbox", name="Day", exact=True).fill("2017-10-10")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(rows(page).first.locator("time")).to_contain_text(re.compile(r"(0[1-9]|10) Oct 2017"))
    page.get_by_role("link", name="Transaction ID").click()
    expect(page.get_by_role("columnheader", name="Transaction ID")).to_have_attribute("aria-sort", "ascending")


# ---- money ---------------------------------------------------------------------------------------------------------


def test_a_partial_refund_is_accepted_once_and_booked_by_the_worker(desk: Desk):
    ((payment_id, transaction_id, amount),) = paid(desk.demo, 1, skip=0)
    desk.watched.expect_status(422)
    page = desk.page("admin", f"transactions/{payment_id}/")
    page.locator("#main").get_by_role("link", name="Refund", exact=True).click()
    form = dialog(page)
    field = form.get_by_label("Amount to refund")
    expect(field).to_be_focused()
    expect(field).to_have_value(pounds(amount))

    field.fill(pounds(amount + 1))
    expect(form.get_by_text(f"More than the {pounds(amount)} left")).to_be_visible()
    expect(form.locator("[data-refund-submit]")).to_be_disabled()

    field.fill("4.20")
    form.get_by_label("Reason").select_option(label="Goods not delivered")
    form.get_by_label("Authenticator code").fill("000000")
    form.get_by_role("button", name="Refund 4.20 GBP").click()
    expect(form.get_by_label("Authenticator code")).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("Amount to refund")).to_have_value("4.20")
    expect(form.get_by_label("Reason")).to_have_value("NOT_DELIVERED")
    assert desk.demo.rows("SELECT count(*) FROM refund WHERE payment_id = ?", payment_id) == [(0,)]

    form.get_by_label("Authenticator code").fill(desk.code("admin"))
    form.get_by_role("button", name="Refund 4.20 GBP").click()
    expect(page.locator("#toasts")).to_contain_text("The refund of 4.20 GBP is accepted")
    # The page brings itself up to date when the worker has booked what the provider answered.
    expect(page.locator(".hero")).to_contain_text("Partially refunded")
    expect(page.get_by_role("region", name="Refunds and voids", exact=True)).to_contain_text("Succeeded")
    expect(page.get_by_role("definition").filter(has_text=pounds(amount - 420)).first).to_be_visible()
    booked = desk.demo.rows("SELECT status, refunded_minor, reserved_minor FROM payment WHERE id = ?", payment_id)
    assert booked == [("PARTIALLY_REFUNDED", 420, 0)]
    journal = (desk.demo.home / "simulator.jsonl").read_text().splitlines()
    assert sum(transaction_id in line or '"amount": 420' in line for line in journal) >= 1


def test_several_payments_are_refunded_on_one_page_with_an_outcome_for_each(desk: Desk):
    ((customer, failed),) = desk.demo.rows(
        "SELECT customer_id, max(CASE WHEN status = 'FAILED' THEN transaction_id END) FROM payment WHERE mode = 'LIVE' "
        "GROUP BY customer_id HAVING sum(status = 'FAILED') > 0 AND sum(status = 'PAID') > 8 AND count(*) < 90 "
        "ORDER BY customer_id LIMIT 1"
    )
    chosen = desk.demo.rows(PAID + "AND customer_id = ? ORDER BY id DESC LIMIT 3", customer)
    names = [name for _, name, _ in chosen]
    page = desk.page("operator", f"transactions/?customer={customer}&size=100")
    choose(page, *names, failed)
    bar = page.locator("#bulk")
    expect(bar).to_contain_text("4 selected")
    bar.get_by_role("button", name="Refund").click()

    expect(page.get_by_text("1 of 4 chosen rows are left out.")).to_be_visible()
    expect(page.get_by_role("row", name=failed)).to_contain_text("Only paid payments can be refunded")
    page.get_by_label(f"Refund, {names[0]}").fill("1.00")
    total = 100 + sum(amount for _, _, amount in chosen[1:])
    expect(page.locator("[data-totals]")).to_contain_text(pounds(total))
    page.get_by_label("Reason").select_option(label="Duplicate payment")
    page.get_by_label("Authenticator code").fill(desk.code("operator"))
    page.get_by_role("button", name="Refund 3 payments").click()

    expect(page.locator(".sumrow")).to_contain_text(re.compile(r"Done\s*3"))
    for name in names:
        expect(page.get_by_role("row", name=name)).to_contain_text("Done")
    expect(page.get_by_role("row", name=failed)).to_contain_text("Left out")
    marks = ",".join("?" * len(chosen))
    statement = f"SELECT sum(refunded_minor), sum(reserved_minor) FROM payment WHERE id IN ({marks})"
    assert desk.demo.rows(statement, *(payment_id for payment_id, _, _ in chosen)) == [(total, 0)]
    # The list is where it was.
    page.get_by_role("link", name="Back to transactions").click()
    expect(page).to_have_url(re.compile(f"customer={customer}"))


def test_an_unsettled_payment_is_voided_and_a_settled_one_says_why_not(desk: Desk):
    ((settled, _, _),) = paid(desk.demo, 1, skip=30)
    ((payment_id, _, amount),) = paid(desk.demo, 1, skip=5, settled=False)
    page = desk.page("operator", f"transactions/{settled}/")
    page.get_by_role("button", name="More actions").click()
    entry = page.get_by_role("menuitem", name="Void payment")
    expect(entry).to_have_attribute("aria-disabled", "true")
    page.goto(f"/transactions/{payment_id}/")
    page.get_by_role("button", name="More actions").click()
    entry.click()
    form = dialog(page)
    expect(form).to_contain_text(f"The whole payment of {pounds(amount)} GBP is taken back.")
    form.get_by_label("Reason").select_option(label="Requested by customer")
    form.get_by_label("Authenticator code").fill(desk.code("operator"))
    form.get_by_role("button", name="Void the payment").click()
    expect(page.locator(".hero")).to_contain_text("Voided")
    refund = page.locator("#main").get_by_role("link", name="Refund", exact=True)
    expect(refund).to_have_attribute("aria-disabled", "true")
    assert desk.demo.rows("SELECT status FROM payment WHERE id = ?", payment_id) == [("VOIDED",)]


def test_the_void_and_refund_pages_find_a_payment_by_its_numbers(desk: Desk):
    ((payment_id, transaction_id, _),) = paid(desk.demo, 1, skip=8, settled=False)
    numbers = desk.demo.rows("SELECT invoice_number, approval_code FROM payment WHERE id = ?", payment_id)[0]
    page = desk.page("operator", "void/")
    for label, number in zip(("Invoice number", "Approval code"), numbers, strict=True):
        page.get_by_label(label).fill(number)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_role("row", name=transaction_id)).to_be_visible()
        page.get_by_role("link", name="Clear").click()
    page.get_by_label("Billing number").fill("no such number")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    for kind, question in (("void", "Void payment"), ("refund", "Refund payment")):
        page.goto(f"/{kind}/?invoice_number={numbers[0]}")
        page.get_by_role("link", name=f"{kind.capitalize()}… {transaction_id}").click()
        expect(dialog(page).get_by_role("heading", name=question)).to_be_visible()
        dialog(page).get_by_role("link", name="Keep payment").click()
        expect(page.locator("#dlg")).to_be_hidden()


# ---- papers --------------------------------------------------------------------------------------------------------


def test_invoices_of_chosen_rows_come_as_one_archive_with_a_manifest(desk: Desk, tmp_path: Path):
    page = desk.page("admin", "transactions/?status=PAID&size=20")
    boxes = page.locator(".rowcheck")
    boxes.nth(2).check()
    boxes.nth(6).click(modifiers=["Shift"])
    expect(page.locator("#bulk")).to_contain_text("5 selected")
    names = [row.get_by_role("link").first.inner_text() for row in rows(page).all()[2:7]]
    button = page.get_by_role("button", name="Download invoices")
    with page.expect_download() as download:
        button.click()
    with zipfile.ZipFile(saved(download.value, tmp_path)) as archive:
        pdfs = [name for name in archive.namelist() if name.endswith(".pdf")]
        assert len(pdfs) == 5
        assert all(archive.read(name).startswith(b"%PDF-") for name in pdfs)
        (manifest,) = set(archive.namelist()) - set(pdfs)
        listed = archive.read(manifest).decode()
    assert all(name in listed for name in names)
    assert all(name in listed for name in pdfs)
    # The list stays as it is, and its buttons work again.
    expect(button).to_be_enabled(timeout=5_000)
    expect(page.locator("#bulk")).to_contain_text("5 selected")


def test_one_invoice_is_downloaded_twice_with_the_same_number(desk: Desk, tmp_path: Path):
    ((payment_id, transaction_id, _),) = paid(desk.demo, 1, skip=40)
    page = desk.page("admin", f"transactions/?search={transaction_id}")
    page.get_by_role("button", name=f"Actions for {transaction_id}").click()
    page.get_by_role("menuitem", name="Invoice").click()
    button = dialog(page).get_by_role("button", name="Download PDF")
    with page.expect_download() as first:
        button.click()
    file = saved(first.value, tmp_path)
    assert file.read_bytes().startswith(b"%PDF-")
    expect(button).to_be_enabled(timeout=5_000)
    page.goto(f"/transactions/{payment_id}/")
    button = page.get_by_role("button", name="Invoice", exact=True)
    with page.expect_download() as second:
        button.click()
    assert second.value.suggested_filename == file.name
    expect(button).to_be_enabled(timeout=5_000)


@pytest.mark.parametrize("kind", ["CSV", "Excel"])
def test_an_export_holds_exactly_the_filtered_list(desk: Desk, tmp_path: Path, kind: str):
    page = desk.page("admin", "transactions/?status=CHARGED_BACK&sort=transaction_id")
    listed = [row.get_by_role("link").first.inner_text() for row in rows(page).all()]
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=kind).click()
    file = saved(download.value, tmp_path)
    table = _csv(file) if kind == "CSV" else _xlsx(file)
    place = table[0].index("Transaction ID")
    assert [row[place] for row in table[1:]] == listed
    assert len(listed) > 10
    expect(page.locator("[data-announce]")).to_have_text(f"{len(listed)} transactions")


def _csv(file: Path) -> list[list[Any]]:
    return list(csv.reader(io.StringIO(file.read_text("utf-8-sig"))))


def _xlsx(file: Path) -> list[list[Any]]:
    import openpyxl

    book = openpyxl.load_workbook(file, read_only=True)
    table = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
    book.close()
    return table


def test_a_notification_is_kept_in_the_mailbox_and_a_note_on_the_payment(desk: Desk):
    ((payment_id, transaction_id, _),) = paid(desk.demo, 1, skip=50)
    page = desk.page("operator", f"transactions/{payment_id}/")
    page.get_by_role("button", name="Send notification").click()
    expect(dialog(page).get_by_role("button", name="Cancel")).to_be_focused()
    dialog(page).get_by_role("button", name="Send e-mail").click()
    expect(page.locator("#toasts")).to_contain_text("on its way")
    hostile = "<b>called</b> =HYPERLINK(1)"
    page.get_by_label("Add a note").fill(hostile)
    page.get_by_role("button", name="Add note").click()
    expect(page.locator("#toasts")).to_contain_text("The note is added.")
    expect(page.locator(".note")).to_contain_text(hostile)
    ((email,),) = desk.demo.rows(
        "SELECT c.email FROM payment p JOIN customer c ON c.id = p.customer_id WHERE p.id = ?", payment_id
    )
    page.goto("/mailbox/")
    row = rows(page).filter(has_text=email)
    expect(row.first).to_be_visible()
    for _ in range(50):
        if "Kept" in row.first.inner_text():
            break
        page.wait_for_timeout(200)
        page.reload()
    row.first.get_by_role("link").first.click()
    expect(page.locator(".long")).to_contain_text(re.compile(f"Dear .*Transaction: +{transaction_id}", re.DOTALL))


# ---- pages of records ----------------------------------------------------------------------------------------------


def test_an_organization_is_created_and_a_stale_form_changes_nothing(desk: Desk):
    desk.watched.expect_status(409, 422)
    page = desk.page("admin", "organizations/new/")
    page.get_by_role("button", name="Save").click()
    name = page.get_by_label("Name")
    name.fill("Zephyr & Söhne <i>GmbH</i>")
    expect(page.get_by_label("Kind")).to_have_value("")
    page.get_by_label("Kind").select_option(label="Merchant")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Zephyr & Söhne <i>GmbH</i>")
    expect(page.locator("#toasts")).to_contain_text("Organization created.")
    page.get_by_role("link", name="Edit").click()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_label("Name").fill("Zephyr of the other tab")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Zephyr of the other tab")
    name.fill("Zephyr of this tab")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    expect(page.locator("#main")).to_contain_text("Zephyr of the other tab")
    expect(name).to_have_value("Zephyr of this tab")
    assert desk.demo.rows("SELECT count(*) FROM organization WHERE name = 'Zephyr of this tab'") == [(0,)]
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Zephyr of this tab")
    expect(page.get_by_role("region", name="History")).to_contain_text("admin")


def test_the_columns_one_chooses_stay_chosen_and_can_be_given_back(desk: Desk):
    page = desk.page("agent", "transactions/?status=FAILED&size=20")
    headings = page.get_by_role("columnheader")
    expect(headings.filter(has_text="Invoice number")).to_have_count(0)
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Invoice number").check()
    page.get_by_role("checkbox", name="Channel").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(headings.filter(has_text="Invoice number")).to_have_count(1)
    expect(headings.filter(has_text="Channel")).to_have_count(0)
    expect(page).to_have_url(re.compile("status=FAILED&size=20"))
    page.goto("/transactions/")
    expect(headings.filter(has_text="Invoice number")).to_have_count(1)
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("button", name="Usual columns").click()
    expect(headings.filter(has_text="Invoice number")).to_have_count(0)


def test_test_payments_are_shown_apart_under_a_banner(desk: Desk):
    page = desk.page("cfo", "transactions/")
    live = page.locator("[data-announce]").inner_text()
    expect(page.get_by_role("region", name="Mode")).to_have_count(0)
    page.get_by_role("button", name="Live mode").click()
    expect(page.get_by_role("region", name="Mode")).to_contain_text("no real money moves")
    page.goto("/transactions/")
    ((number,),) = desk.demo.rows("SELECT count(*) FROM payment WHERE mode = 'TEST'")
    expect(page.locator("[data-announce]")).to_have_text(f"{number} transactions")
    page.get_by_role("button", name="Test mode").click()
    expect(page.get_by_role("region", name="Mode")).to_have_count(0)
    expect(page.locator("[data-announce]")).to_have_text(live)


def test_support_sees_masked_people_and_no_button_that_moves_money(desk: Desk):
    desk.watched.expect_status(403)
    ((payment_id, transaction_id, _),) = paid(desk.demo, 1, skip=60)
    ((name, email, phone),) = desk.demo.rows(
        "SELECT c.name, c.email, c.phone FROM payment p JOIN customer c ON c.id = p.customer_id WHERE p.id = ?",
        payment_id,
    )
    page = desk.page("support", f"transactions/{payment_id}/")
    for hidden in (name, email, phone):
        expect(page.locator("#main")).not_to_contain_text(hidden)
    for action in ("Refund", "Send notification", "Invoice"):
        expect(page.get_by_role("link", name=action, exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name=action, exact=True)).to_have_count(0)
    page.goto(f"/transactions/?search={transaction_id}")
    expect(page.locator("#bulk")).to_have_count(0)
    expect(rows(page)).not_to_contain_text(name)
    page.get_by_role("button", name=f"Actions for {transaction_id}").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Open"])
    page.goto("/refund/")
    expect(page.get_by_role("heading", level=1)).to_have_text("You don't have access to this page")


# ---- hands on the keyboard, eyes in the dark -----------------------------------------------------------------------


def test_the_keyboard_reaches_everything(desk: Desk):
    page = desk.page("admin", "transactions/?status=PAID&size=20")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

    button = page.locator("[data-row-menu]").nth(3)
    button.focus()
    page.keyboard.press("Enter")
    entries = page.get_by_role("menuitem")
    expect(entries.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(entries.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(entries.last).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(entries.first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#rowmenu")).to_be_hidden()
    expect(button).to_be_focused()

    page.keyboard.press("Enter")
    expect(entries.first).to_be_focused()
    page.keyboard.press("r")
    expect(entries.filter(has_text="Refund")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_label("Amount to refund")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#dlg")).to_be_hidden()

    page.keyboard.press("Control+k")
    page.keyboard.type("mailb")
    expect(page.get_by_role("gridcell", name="Mailbox").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mailbox")


def test_the_theme_one_chooses_is_there_before_the_page_is_painted(desk: Desk):
    page = desk.page("admin", "customers/")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Switch colour theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    answer = page.request.get("/customers/")
    assert 'data-theme="dark"' in answer.text()


PHONE_PAGES = (
    "",
    "transactions/",
    "transactions/?status=PAID&status=FAILED&created_at=2018-01-01..2018-01-31",
    "transactions/{payment}/",
    "transactions/{payment}/action/refund/",
    "transactions/{payment}/invoice/",
    "void/?billing_number=BN-100150",
    "refund/?billing_number=BN-100150",
    "customers/",
    "customers/{customer}/",
    "customers/{customer}/edit/",
    "organizations/",
    "organizations/{merchant}/",
    "organizations/new/",
    "subscriptions/",
    "mailbox/",
    "account/",
    "account/password",
    "account/authenticator",
    "account/recovery-codes",
)


def test_nothing_is_wider_than_a_phone(desk: Desk):
    ((payment, _, _),) = paid(desk.demo, 1, skip=70)
    ((customer, merchant),) = desk.demo.rows("SELECT customer_id, merchant_id FROM payment WHERE id = ?", payment)
    page = desk.page("admin", viewport=PHONE, has_touch=True)
    wide = {}
    for pattern in PHONE_PAGES:
        page.goto("/" + pattern.format(payment=payment, customer=customer, merchant=merchant))
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide[pattern] = width
    assert wide == {}
    page.goto("/transactions/")
    page.get_by_role("button", name="Open navigation").click()
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Customers")
