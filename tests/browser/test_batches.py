"""Batches in a real browser: dropped and chosen files, errors, another upload, confirmation, what became of rows."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.batch_files import BatchFiles, choose_merchant, upload_batch
from tests.support.browser import Demo, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

DATA = Path(__file__).parents[1] / "data"
DROP = """(zone, [name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: "text/csv" }));
  zone.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
  zone.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def files(demo: Demo) -> BatchFiles:
    return BatchFiles(demo)


def real_workbook(name: str) -> dict[str, Any]:
    """One of two workbooks of a city council, whose bytes differ and whose rows do not (tests/data/SOURCES.md)."""
    data = gzip.decompress((DATA / f"birmingham_upload_dup_{name}.xls.gz").read_bytes())
    return {"name": f"birmingham_upload_dup_{name}.xls", "mimeType": "application/vnd.ms-excel", "buffer": data}


def drop(page: Page, file: dict[str, Any]) -> None:
    page.locator(".drop").evaluate(DROP, [file["name"], file["buffer"].decode()])


def test_a_payment_file_with_an_error_is_corrected_and_processed_while_one_watches(desk: Desk, files: BatchFiles):
    page = desk.page("operator")
    upload_batch(page, "single-payment", files.merchant_name, files.payments(4, wrong=2))
    wrong = page.locator("#batch-rows td.cellbad")
    expect(wrong).to_have_count(2)
    expect(wrong.first).to_contain_text("is not an amount")
    assert wrong.first.evaluate("cell => getComputedStyle(cell).backgroundColor") != page.locator(
        "#batch-rows tr:not(.bad) td"
    ).first.evaluate("cell => getComputedStyle(cell).backgroundColor")
    expect(page.get_by_role("link", name=re.compile("^Process"))).to_have_count(0)
    page.get_by_role("link", name="Only errors").click()
    expect(page.locator("#batch-rows tbody tr")).to_have_count(2)

    page.get_by_role("link", name="Re-upload file").click()
    choose_merchant(page, files.merchant_name)
    drop(page, files.payments(4))
    expect(page.locator("[data-drop-name]")).to_contain_text("payments-")
    page.get_by_role("button", name="Upload and check").click()
    page.get_by_text("All rows are valid.").wait_for()
    page.get_by_role("link", name="Process 4 rows…").click()
    page.get_by_label("Authenticator code").fill(desk.code("operator"))
    page.get_by_role("button", name="Process 4 payments").click()
    expect(page.get_by_text("4 rows became scheduled charges.")).to_be_visible(timeout=30_000)
    expect(page.locator("#batch-rows").get_by_text("Scheduled", exact=True)).to_have_count(4)


def test_a_refused_file_stays_chosen_and_one_that_is_too_large_is_not_even_sent(desk: Desk, files: BatchFiles):
    desk.watched.expect_status(422)
    page = desk.page("operator", "batch-transaction/?kind=registration")
    choose_merchant(page, files.merchant_name)
    field = page.locator("#file")
    field.set_input_files({"name": "empty.csv", "mimeType": "text/csv", "buffer": b""})
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("#file-error")).to_contain_text("The file is empty.")
    expect(page.locator("[data-drop-name]")).to_have_text("empty.csv · 0 bytes")
    expect(page.locator(".ts-wrapper .item")).to_contain_text(files.merchant_name)

    page.locator("#file").set_input_files({"name": "l.csv", "mimeType": "text/csv", "buffer": b"a" * (10 * 2**20 + 1)})
    expect(page.locator("#file-error")).to_contain_text("at most 10.0 MB are read")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("button", name="Upload and check")).to_be_enabled()
    page.locator("#file").set_input_files(files.registrations(2))
    expect(page.locator("#file-error")).to_be_hidden()
    page.get_by_role("button", name="Upload and check").click()
    page.get_by_text("All rows are valid.").wait_for()


def test_the_same_rows_in_two_real_workbooks_are_recognised_and_their_columns_are_named(desk: Desk, files: BatchFiles):
    desk.watched.expect_status(409)
    page = desk.page("operator", "batch-transaction/?kind=single-payment")
    choose_merchant(page, files.merchant_name)
    page.locator("#file").set_input_files(real_workbook("a"))
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url("**/batches/*/")
    page.get_by_text("The columns are not those of the template, so no row was checked.").wait_for()
    expect(page.locator("#batch-figures")).to_contain_text("4,573")
    expect(page.locator("#batch-rows th.colbad").first).to_contain_text("is not a column of this kind of file")
    expect(page.get_by_role("link", name=re.compile("^Process"))).to_have_count(0)
    first = page.url

    page.goto("/batch-transaction/?kind=single-payment")
    choose_merchant(page, files.merchant_name)
    page.locator("#file").set_input_files(real_workbook("b"))
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("#file-error")).to_contain_text('This file says the same as "birmingham_upload_dup_a.xls"')
    page.get_by_role("link", name="Open that batch").click()
    page.wait_for_url(first)
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("button", name="Discard the batch").click()
    expect(page.get_by_text("Nothing of this file was processed.")).to_be_visible()


def test_a_file_beyond_every_limit_is_answered_with_a_sentence_without_scripts_too(desk: Desk, tmp_path: Path):
    large = tmp_path / "large.csv"
    large.write_bytes(b"a" * (40 * 2**20))
    signed_in = desk.page("operator").context.storage_state()
    page = desk.context(java_script_enabled=False, storage_state=signed_in).new_page()
    page.goto("/batch-transaction/?kind=single-payment")
    page.locator("#file").set_input_files(large)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("#file-error")).to_contain_text("The file is too large: at most 10 MB are read.")


def test_without_scripts_a_file_is_uploaded_and_its_rows_are_shown(desk: Desk, files: BatchFiles, demo: Demo):
    signed_in = desk.page("operator").context.storage_state()
    page = desk.context(java_script_enabled=False, storage_state=signed_in).new_page()
    page.goto("/batch-transaction/?kind=registration")
    ((merchant,),) = demo.rows("SELECT id FROM organization WHERE name = ?", files.merchant_name)
    page.locator("input[name=merchant]").fill(str(merchant))
    if not page.get_by_label("Method").input_value():
        page.get_by_label("Method").select_option(index=1)
    page.locator("#file").set_input_files(files.registrations(2, wrong=1))
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url("**/batches/*/")
    for _ in range(40):
        if page.locator("#batch-rows td.cellbad").count():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.locator("#batch-rows td.cellbad")).to_have_count(1)
    page.get_by_role("link", name="Process 1 valid, skip 1 invalid…").click()
    expect(page.get_by_role("button", name="Process 1 valid, skip 1 invalid")).to_be_visible()
