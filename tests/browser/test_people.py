"""User management in a real browser: invite, the first sign-in, narrow the menu, show the key, lock, a wrong file."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]
OWN = "maple harbour 77 lamp"


def test_a_colleague_is_invited_signs_in_is_narrowed_and_locked_out(desk: Desk) -> None:
    desk.watched.expect_status(422)
    page = desk.page("admin", "staff/new/")
    page.get_by_label("User name").fill("zoe.browser")
    page.get_by_role("textbox", name="Name", exact=False).nth(1).fill("Zoe Browser")
    page.get_by_label("E-mail").fill("zoe.browser@example.com")
    page.get_by_label("Cashier", exact=True).check()
    page.get_by_role("button", name="Invite the user").click()
    password = page.locator("code.temporary").inner_text()
    page.get_by_role("link", name="I have handed it over").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("zoe.browser")
    address = page.url

    # The first sign-in: an own password, an authenticator, recovery codes once.
    zoe = desk.page(path="login")
    zoe.get_by_label("User name", exact=True).fill("zoe.browser")
    zoe.get_by_label("Password", exact=True).fill(password)
    zoe.get_by_role("button", name="Continue").click()
    zoe.get_by_label("New password", exact=True).fill("My browser lamps 12")
    zoe.get_by_label("New password again").fill("My browser lamps 12")
    zoe.get_by_role("button").first.click()
    expect(zoe.get_by_text("Do not use your name")).to_be_visible()
    zoe.get_by_label("New password", exact=True).fill(OWN)
    zoe.get_by_label("New password again").fill(OWN)
    zoe.get_by_role("button").first.click()
    zoe.get_by_text("I cannot scan it").click()
    secret = zoe.locator(".setup-key").inner_text().replace(" ", "")
    zoe.get_by_label("Authenticator code").fill(desk.code_of(secret))
    zoe.get_by_role("button", name="Confirm and sign in").click()
    expect(zoe.locator(".codes li")).to_have_count(10)
    zoe.goto(desk.demo.address + "account/")
    expect(zoe.get_by_text("10 left")).to_be_visible()

    # Rights with a code: the session ends, and the menu is what is left.
    page.goto(address)
    expect(page.get_by_text("Chosen by the user")).to_be_visible()
    page.get_by_role("link", name="Roles and menu").click()
    page.get_by_label("Payments operator", exact=True).check()
    page.get_by_label("Customers", exact=True).check()
    page.get_by_label("Reason").fill("Helps the operators.")
    page.get_by_label("Authenticator code").fill(desk.code("admin"))
    page.get_by_role("button", name="Change the rights").click()
    expect(page.get_by_text("Cashier, Payments operator", exact=True)).to_be_visible()
    expect(page.locator("section", has_text="What the menu shows").last).to_contain_text("Customers")
    zoe.reload()
    expect(zoe.get_by_text("Your session has ended")).to_be_visible()

    # Locked in a dialog, by keyboard alone.
    page.get_by_role("button", name="More").press("Enter")
    page.get_by_role("menuitem", name=re.compile("^Lock user")).press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Lock user")).to_be_visible()
    dialog.get_by_role("button", name="Lock").click()
    expect(dialog.get_by_text("Say why.")).to_be_visible()
    dialog.get_by_label("Reason").fill("Lost laptop.")
    dialog.get_by_role("button", name="Lock").click()
    expect(page.get_by_text("Locked", exact=True).first).to_be_visible()
    zoe.goto(desk.demo.address + "login")
    zoe.get_by_label("User name", exact=True).fill("zoe.browser")
    zoe.get_by_label("Password", exact=True).fill(OWN)
    zoe.get_by_role("button", name="Continue").click()
    expect(zoe.get_by_role("alert")).to_contain_text("account is not open")


def test_a_file_with_a_wrong_cell_invites_nobody_and_says_where(desk: Desk) -> None:
    desk.watched.expect_status(422)
    page = desk.page("admin", "staff/import/")
    text = "username,full_name,email,roles\nada.file,Ada File,ada.file@example.com,Cashier\nbob.file,,nobody,King\n"
    page.locator("#file").set_input_files([{"name": "u.csv", "mimeType": "text/csv", "buffer": text.encode()}])
    page.get_by_role("button", name="Check and invite").click()
    wrong = page.get_by_role("region", name="Wrong cells")
    expect(wrong.locator("tbody tr")).to_have_count(3)
    expect(wrong).to_contain_text("There is no role “King”.")
    assert desk.demo.rows("SELECT count(*) FROM staff_user WHERE username LIKE '%.file'") == [(0,)]
