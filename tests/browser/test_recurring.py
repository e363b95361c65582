"""Subscriptions as staff handle them in a real browser on the real demo: registered, charged, changed, ended."""

import datetime as dt
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import PHONE, Desk
from tests.support.recurring import day, dialog, fits, live, look_up, state, toasts, until

pytestmark = [pytest.mark.browser, pytest.mark.once]


def today_of(page: Page) -> dt.date:
    """The business day, as the schedule editor proposes it."""
    return dt.date.fromisoformat(page.get_by_label("Start date").input_value())


# ---- registering and being charged ---------------------------------------------------------------------------------


def test_a_subscription_is_registered_with_a_preview_and_charged_once_today(desk: Desk):
    desk.watched.expect_status(422)
    [(customer_id, customer)] = desk.demo.rows("SELECT external_id, name FROM customer WHERE id = 20")
    [(merchant,)] = desk.demo.rows(
        "SELECT name FROM organization WHERE id = (SELECT merchant_id FROM subscription WHERE card_token = 'tok_visa')"
    )
    page = desk.page("operator", "subscriptions/new/")
    today = today_of(page)
    preview = page.locator("#schedule-preview")
    expect(preview).to_contain_text("Choose at least one day of the month")

    # Each kind has its own fields and its own reasons.
    page.get_by_role("radio", name="Single dates").check()
    page.get_by_label("Dates", exact=True).fill("2020-02-30")
    expect(preview).to_contain_text("“2020-02-30” is not a date")
    page.get_by_label("Dates", exact=True).fill("2020-01-31")
    expect(preview).to_contain_text("31 Jan 2020 has passed")
    page.get_by_role("radio", name="Days of the week").check()
    page.get_by_role("checkbox", name="Monday").check()
    expect(preview.get_by_role("listitem")).to_have_count(12)
    expect(preview).to_contain_text(re.compile(r"5[23] runs in the twelve months"))
    page.get_by_role("checkbox", name="All months").uncheck()
    expect(preview).to_contain_text("Choose at least one month")
    page.get_by_role("checkbox", name="All months").check()
    page.get_by_label("Expiration date").fill(f"{today - dt.timedelta(days=1)}")
    expect(preview).to_contain_text("The expiration date lies before the start date.")
    page.get_by_role("button", name="Register subscription").click()
    expect(page.get_by_label("Billing number")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Expiration date")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("checkbox", name="Monday")).to_be_checked()

    page.get_by_label("Expiration date").fill("")
    page.get_by_role("radio", name="Regular interval").check()
    page.get_by_role("spinbutton", name="Every").fill("1")
    page.get_by_label("Unit").select_option(label="months")
    page.get_by_label("First run").fill(today.isoformat())
    expect(preview.get_by_role("listitem")).to_have_count(12)
    expect(preview).to_contain_text("12 runs in the twelve months")
    expect(preview.get_by_role("listitem").first).to_contain_text(f"{day(today.isoformat())}{today:%A}, today")

    look_up(page, "customer", customer_id, customer)
    look_up(page, "merchant", merchant[:8], merchant)
    page.get_by_label("Billing number").fill("BROWSER-1")
    page.get_by_label("Amount of each payment").fill("12.34")
    page.get_by_label("Currency").select_option("USD")
    page.get_by_label("Method").select_option(label="Visa")
    page.get_by_label("Card token").fill("tok_visa")
    page.get_by_label("Last four digits").fill("4242")
    page.get_by_label("Card expires").fill(f"12/{today.year % 100 + 2}")
    page.get_by_label("Retry policy").select_option(label="Three tries in a week")
    page.get_by_role("button", name="Register subscription").click()
    expect(toasts(page)).to_contain_text("is registered")
    expect(page.get_by_role("heading", level=1)).to_contain_text("12.34")

    # Due today, so the worker charges it without being asked; one attempt, one payment.
    [(number, payment)] = until(
        desk.demo,
        "SELECT d.id, d.payment_id FROM scheduled_charge d JOIN subscription s ON s.id = d.subscription_id "
        "WHERE s.billing_number = 'BROWSER-1' AND d.status = 'SUCCEEDED'",
    )
    assert desk.demo.rows("SELECT count(*) FROM charge_attempt WHERE scheduled_charge_id = ?", number) == [(1,)]
    page.reload()
    history = page.get_by_role("region", name="History of this subscription")
    expect(history.get_by_role("row").nth(1)).to_contain_text("Succeeded")
    history.get_by_role("link", name="Open payment").click()
    expect(page).to_have_url(re.compile(rf"/transactions/{payment}/$"))
    expect(page.locator(".hero")).to_contain_text("Paid")
    expect(page.locator(".hero")).to_contain_text("12.34")


# ---- one subscription ----------------------------------------------------------------------------------------------


def test_dates_are_edited_and_planned_anew(desk: Desk):
    desk.watched.expect_status(422)
    chosen = live(desk.demo, 0)
    page = desk.page("operator", f"subscriptions/{chosen.id}/")
    page.get_by_role("link", name="Edit date").click()
    expect(page.locator("#schedule-preview").get_by_role("listitem").first).to_contain_text(day(chosen.due))
    page.get_by_role("radio", name="Days of the week").check()
    page.get_by_role("button", name="Save dates").click()
    expect(page.locator("#weekdays-error")).to_contain_text("Choose at least one day of the week")
    page.get_by_role("checkbox", name="Tuesday").check()
    page.get_by_role("checkbox", name="Friday").check()
    page.get_by_role("button", name="Save dates").click()
    expect(toasts(page)).to_contain_text("The dates are saved")
    upcoming = page.get_by_role("region", name="Upcoming execute dates")
    for _ in range(2):
        expect(upcoming.get_by_role("listitem")).to_have_count(12)
        expect(upcoming.get_by_role("listitem").filter(has_text=re.compile("Tuesday|Friday"))).to_have_count(12)
        page.reload()
    planned = desk.demo.rows(
        "SELECT DISTINCT strftime('%w', due_date) FROM scheduled_charge WHERE subscription_id = ? "
        "AND status = 'SCHEDULED' ORDER BY 1",
        chosen.id,
    )
    assert planned == [("2",), ("5",)]


def test_a_subscription_rests_and_goes_on_and_becomes_a_reminder(desk: Desk):
    chosen = live(desk.demo, 1)
    page = desk.page("operator", f"subscriptions/{chosen.id}/")
    page.get_by_role("link", name="Inactivate").click()
    expect(dialog(page)).to_contain_text("Execute dates that fall due meanwhile are skipped")
    dialog(page).get_by_label("Reason").fill("They are on holiday <b>")
    dialog(page).get_by_role("button", name="Inactivate").click()
    expect(page.locator(".hero")).to_contain_text("Inactive")
    expect(page.get_by_role("region", name="Audit trail")).to_contain_text("They are on holiday <b>")
    page.get_by_role("link", name="Activate", exact=True).click()
    expect(dialog(page)).to_contain_text(f"The next execute date is {day(chosen.due)}.")
    dialog(page).get_by_role("button", name="Activate").click()
    expect(page.locator(".hero")).to_contain_text("Active")
    expect(page.get_by_role("link", name="Inactivate")).to_be_visible()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Change type").click()
    expect(dialog(page)).to_contain_text("As a Reminder it charges nothing")
    dialog(page).get_by_role("button", name="Change type").click()
    expect(toasts(page)).to_contain_text("The type is now Reminder.")
    assert state(desk.demo, chosen) == ("ACTIVE", "REMINDER")


def test_cancelling_says_what_it_does_and_does_exactly_that(desk: Desk):
    chosen = live(desk.demo, 2)
    page = desk.page("operator", f"subscriptions/{chosen.id}/")
    for answer in ("Keep subscription", "Cancel subscription"):
        page.get_by_role("link", name="Cancel", exact=True).click()
        form = dialog(page)
        expect(form).to_contain_text(f"{chosen.number} execute dates, from {day(chosen.due)} on, are cancelled.")
        expect(form).to_contain_text("This cannot be undone.")
        if answer == "Keep subscription":
            form.get_by_role("link", name=answer).click()
            expect(page.locator("#dlg")).to_be_hidden()
            assert state(desk.demo, chosen)[0] == "ACTIVE"
        else:
            form.get_by_role("button", name=answer).click()
    expect(toasts(page)).to_contain_text(f"The subscription is cancelled, with {chosen.number} execute dates.")
    expect(page.locator(".hero")).to_contain_text("Cancelled")
    expect(page.get_by_role("link", name="Cancel", exact=True)).to_have_attribute("aria-disabled", "true")
    found = desk.demo.rows(
        "SELECT count(*) FROM scheduled_charge WHERE subscription_id = ? AND status = 'CANCELLED'", chosen.id
    )
    assert found == [(chosen.number,)]
    assert state(desk.demo, chosen)[0] == "CANCELLED"


def test_of_two_who_change_a_subscription_one_wins_and_the_other_is_told(desk: Desk):
    desk.watched.expect_status(409)
    chosen = live(desk.demo, 3)
    page = desk.page("operator", f"subscriptions/{chosen.id}/")
    page.get_by_role("link", name="Cancel", exact=True).click()
    expect(dialog(page).get_by_role("button", name="Cancel subscription")).to_be_visible()
    other = desk.page("admin", f"subscriptions/{chosen.id}/change-type/")
    other.get_by_role("button", name="Change type").click()
    expect(toasts(other)).to_contain_text("The type is now Reminder.")
    dialog(page).get_by_role("button", name="Cancel subscription").click()
    expect(dialog(page)).to_contain_text("Somebody else changed this subscription meanwhile; nothing was done.")
    expect(dialog(page)).to_contain_text("by admin")
    assert state(desk.demo, chosen) == ("ACTIVE", "REMINDER")


def test_who_may_only_read_sees_a_subscription_without_acts(desk: Desk):
    chosen = live(desk.demo, 4)
    page = desk.page("cfo", f"subscriptions/{chosen.id}/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for act in ("Edit date", "Inactivate", "Cancel", "More actions"):
        expect(page.get_by_role("link", name=act, exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name=act, exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Manage recurring")).to_have_count(0)


# ---- Manage recurring ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["Customer ID", "Billing number"])
def test_manage_recurring_finds_a_billing_by_either_number_and_keeps_the_search(desk: Desk, key: str):
    chosen = live(desk.demo, 5 if key == "Customer ID" else 6)
    page = desk.page("operator", "manage-recurring/")
    page.get_by_label(key).fill("no-such-number")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.get_by_label(key).fill(chosen.customer if key == "Customer ID" else chosen.billing)
    page.get_by_role("button", name="Search", exact=True).click()
    row = page.get_by_role("row").filter(has_text=chosen.name)
    expect(row).to_contain_text(day(chosen.due))
    row.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Edit date").click()
    expiry = dt.date.fromisoformat(chosen.due).replace(year=int(chosen.due[:4]) + 1).isoformat()
    page.get_by_label("Expiration date").fill(expiry)
    page.get_by_role("button", name="Save dates").click()
    expect(toasts(page)).to_contain_text("The dates are saved")
    expect(page.get_by_label(key)).not_to_have_value("")
    expect(row).to_be_visible()
    stored = desk.demo.rows("SELECT expiration_date FROM subscription WHERE id = ?", chosen.id)
    assert stored == [(expiry,)]


def test_manage_recurring_works_by_the_keyboard_alone(desk: Desk):
    chosen = live(desk.demo, 7)
    page = desk.page("operator", "manage-recurring/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    tab_to(page, page.get_by_label("Billing number"))
    page.keyboard.type(chosen.billing)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("billing_number="))
    button = page.get_by_role("button", name=f"Actions for {chosen.billing}")
    tab_to(page, button)
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Open")).to_be_focused()
    page.keyboard.press("i")
    expect(page.get_by_role("menuitem", name="Inactivate…")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, dialog(page).get_by_label("Reason"))
    page.keyboard.type("By keyboard")
    tab_to(page, dialog(page).get_by_role("button", name="Inactivate"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text=chosen.name)).to_contain_text("Not Active")
    assert state(desk.demo, chosen)[0] == "INACTIVE"


def tab_to(page: Page, wanted: Locator, most: int = 40) -> None:
    """Go on with Tab until the focus is there, as somebody without a mouse does."""
    expect(wanted).to_be_visible()
    for _ in range(most):
        if wanted.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(wanted).to_be_focused()


def test_manage_recurring_works_on_a_phone(desk: Desk):
    chosen = live(desk.demo, 8)
    page = desk.page("operator", "manage-recurring/", viewport=PHONE, has_touch=True)
    page.get_by_label("Billing number").fill(chosen.billing)
    page.get_by_role("button", name="Search", exact=True).tap()
    page.wait_for_url(re.compile("billing_number="))
    page.get_by_role("button", name=f"Actions for {chosen.billing}").tap()
    fits(page)
    page.get_by_role("menuitem", name="Delete").tap()
    expect(dialog(page)).to_contain_text("It disappears from every list.")
    fits(page)
    dialog(page).get_by_role("button", name="Delete subscription").tap()
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    assert state(desk.demo, chosen)[0] == "CANCELLED"
