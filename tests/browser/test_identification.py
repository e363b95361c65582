"""The whole day of a compliance specialist in a real browser, and a customer who sends a document from a telephone."""

import io
import re

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

STATE = "SELECT identification FROM customer WHERE id = ?"
LOOKED = "identification.document.looked_at"
LOOKS = "SELECT count(*) FROM audit_event WHERE actor_name = 'compliance' AND event = ?"
QUEUE = "SELECT id FROM customer WHERE identification = 'IN_REVIEW' ORDER BY identification_since, id"


def photo(words: str) -> bytes:
    image = Image.new("RGB", (900, 600), "white")
    ImageDraw.Draw(image).text((40, 40), f"SAMPLE {words}", fill="black")
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def looks(desk: Desk) -> int:
    return int(desk.demo.rows(LOOKS, LOOKED)[0][0])


def confirm(page: Page, verb: str, reason: str | None = None) -> None:
    """Say yes in the dialog."""
    dialog = page.get_by_role("dialog")
    if reason is not None:
        dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=verb, exact=True).click()
    expect(dialog).to_be_hidden()


def open_document(page: Page, kind: str) -> None:
    """Open a document and wait until its first page is really drawn."""
    page.locator(".ident-table").get_by_role("link", name=kind, exact=True).first.click()
    picture = page.locator(".ident-page img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


def test_a_compliance_specialists_whole_day(desk: Desk) -> None:
    # ---- the queue: whoever waits longest first
    page = desk.page("compliance", "identification/")
    expect(page.get_by_role("heading", name="Users' identification")).to_be_visible()
    page.locator("a.tab", has_text="To review").click()
    expect(page).to_have_url(re.compile(r"identification=in-review"))
    expect(page.locator("tbody tr").first).to_contain_text("in review")
    waiting = desk.demo.rows(QUEUE)
    first = page.locator("tbody tr").first.get_by_role("link").first
    expect(first).to_have_attribute("href", re.compile(rf"/identification/{waiting[0][0]}/"))

    # ---- something is missing: the customer is asked, and sends it from a telephone
    [(customer_id,)] = desk.demo.rows("SELECT customer_id FROM upload_link WHERE status = 'OPEN'")
    page.goto(f"identification/{customer_id}/")
    expect(page.get_by_text("Still missing: proof of address.").first).to_be_visible()
    expect(page.get_by_role("link", name="Identify")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="Request documents").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Proof of address")).to_be_checked()
    dialog.get_by_label("Send the link by e-mail now").uncheck()
    dialog.get_by_label("Message to the customer").fill("A bill of this summer, please.")
    confirm(page, "Request")
    page.get_by_role("button", name="Show the link").click()
    link = page.get_by_label("Link for documents").input_value()
    phone = desk.context(viewport=PHONE).new_page()
    phone.goto(link)
    expect(phone.get_by_text("A bill of this summer, please.")).to_be_visible()
    phone.get_by_label("Files").set_input_files(
        {"name": "bill.pdf", "mimeType": "application/pdf", "buffer": b"<html>"}
    )
    desk.watched.expect_status(422)
    phone.get_by_role("button", name="Send").click()
    expect(phone.get_by_text("not a PDF, a JPEG or a PNG")).to_be_visible()
    bill = {"name": "IMG_0001.jpg", "mimeType": "image/jpeg", "buffer": photo("bill")}
    phone.get_by_label("Files").set_input_files(bill)
    phone.get_by_role("button", name="Send").click()
    expect(phone.get_by_role("heading", name="Thank you")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    # ---- the document is opened, and the customer identified
    page.goto(f"identification/{customer_id}/")
    expect(page.get_by_text("Open at least one of the documents yourself").first).to_be_visible()
    before = looks(desk)
    open_document(page, "Proof of address")
    assert looks(desk) == before + 1
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename.startswith("document-")
    page.goto(f"identification/{customer_id}/")
    page.get_by_role("link", name="Identify").click()
    confirm(page, "Identify")
    expect(page.get_by_text("The customer is identified.")).to_be_visible()
    assert desk.demo.rows(STATE, customer_id) == [("IDENTIFIED",)]

    # ---- a renewed passport of somebody identified is accepted
    page.get_by_role("link", name="Add documents").click()
    page.get_by_label("What it is").select_option(label="Passport")
    new = {"name": "passport.jpg", "mimeType": "image/jpeg", "buffer": photo("renewed passport")}
    page.get_by_label("Files").set_input_files(new)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("The documents are there.")).to_be_visible()
    open_document(page, "Passport")
    page.get_by_role("link", name="Accept").click()
    confirm(page, "Accept")
    expect(page.locator(".ident-table tbody tr").first).to_contain_text("Accepted")
    expect(page.locator(".ident-table")).to_contain_text("Replaced")

    # ---- a tip comes in: the identification is taken back, and a file erased
    page.get_by_role("link", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(dialog.get_by_text("Say why.")).to_be_visible()
    confirm(page, "Revoke", "A tip from the bank")
    expect(page.get_by_text("The identification is revoked.")).to_be_visible()
    page.locator(".ident-table").get_by_role("link", name="Proof of address").first.click()
    page.get_by_role("link", name="Erase file").click()
    confirm(page, "Erase file", "Asked for by the customer")
    expect(page.locator(".ident-table")).to_contain_text("File erased")

    # ---- somebody else is rejected
    other = next(row_id for (row_id,) in waiting if row_id != customer_id)
    page.goto(f"identification/{other}/")
    page.get_by_role("link", name="Reject").click()
    confirm(page, "Reject", "The photo is of somebody else")
    expect(page.get_by_text("rejected", exact=True)).to_be_visible()
    expect(page.get_by_text("The photo is of somebody else").first).to_be_visible()
    assert desk.demo.rows(STATE, other) == [("REJECTED",)]

    # ---- what lies on the disk is sealed, and the file that was erased is gone
    kept = sorted(path for path in desk.demo.home.rglob("documents/*/*") if path.is_file())
    named = {name for (name,) in desk.demo.rows("SELECT file FROM identity_document WHERE file IS NOT NULL")}
    assert {path.name for path in kept} == named
    assert not any(mark in path.read_bytes() for path in kept for mark in (b"JFIF", b"%PDF", b"SAMPLE"))


def test_a_compliance_specialist_invites_an_anti_fraud_specialist_and_takes_it_back(desk: Desk) -> None:
    desk.watched.expect_status(403, 404)
    page = desk.page("compliance", "staff/new/")
    for role, count in (("Customer support manager", 1), ("Anti-fraud specialist", 1), ("Cashier", 0)):
        expect(page.get_by_label(role, exact=True)).to_have_count(count)
    page.get_by_label("User name").fill("ines.browser")
    page.get_by_role("textbox", name="Name", exact=False).nth(1).fill("Ines Browser")
    page.get_by_label("E-mail").fill("ines.browser@example.com")
    page.get_by_label("Anti-fraud specialist", exact=True).check()
    page.get_by_role("button", name="Invite the user").click()
    expect(page.locator("code.temporary")).to_be_visible()
    page.get_by_role("link", name="I have handed it over").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("ines.browser")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=re.compile("^Disable user")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Has left.")
    dialog.get_by_role("button", name="Disable for good").click()
    expect(page.get_by_text("Disabled", exact=True).first).to_be_visible()
    [(cashier,)] = desk.demo.rows("SELECT id FROM staff_user WHERE username = 'cashier'")
    page.goto(f"staff/{cashier}/")
    expect(page.get_by_text("cashier", exact=True)).to_have_count(0)
