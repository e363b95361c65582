"""Single execute dates in a real browser: cancelled, caught up, let go; and reminders and cards around them."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import PHONE, Desk
from tests.support.recurring import dialog, fits, live, look_up, state, toasts, until

pytestmark = [pytest.mark.browser, pytest.mark.once]


# ---- single dates --------------------------------------------------------------------------------------------------


def test_chosen_execute_dates_are_cancelled_by_one_right_code(desk: Desk):
    desk.watched.expect_status(422)
    chosen = live(desk.demo, 9)
    page = desk.page("operator", "cancel-scheduled/")
    page.get_by_label("Billing number").fill(chosen.billing)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("[data-announce]")).to_contain_text(f"{chosen.number} can be cancelled")
    boxes = page.locator(".rowcheck")
    ids = [int(boxes.nth(place).get_attribute("value") or 0) for place in (0, 1)]
    for place in (0, 1):
        boxes.nth(place).check()
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    page.get_by_role("button", name="Cancel execute dates").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 2 execute dates")
    page.get_by_label("Reason").fill("Asked for by phone")
    page.get_by_label("Authenticator code").fill("000000")
    page.get_by_role("button", name="Cancel 2 execute dates").click()
    expect(page.get_by_label("Authenticator code")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Reason")).to_have_value("Asked for by phone")
    expect(page.get_by_text("Will be cancelled")).to_have_count(2)
    statement = f"SELECT count(*) FROM scheduled_charge WHERE id IN ({ids[0]}, {ids[1]}) AND status = ?"
    assert desk.demo.rows(statement, "SCHEDULED") == [(2,)]
    page.get_by_label("Authenticator code").fill(desk.code("operator"))
    page.get_by_role("button", name="Cancel 2 execute dates").click()
    expect(page.get_by_text("All 2 chosen dates are done.")).to_be_visible()
    assert desk.demo.rows(statement, "CANCELLED") == [(2,)]
    page.get_by_role("link", name="Back to the list").click()
    expect(page.get_by_label("Billing number")).to_have_value(chosen.billing)
    assert state(desk.demo, chosen)[0] == "ACTIVE"


MISSED = (
    "SELECT d.id, d.invoice_number FROM scheduled_charge d JOIN subscription s ON s.id = d.subscription_id "
    "WHERE d.status = 'MISSED' AND s.status = 'ACTIVE' AND s.purpose = ? ORDER BY d.due_date, d.id LIMIT 1"
)


def test_a_missed_date_is_charged_now_and_paid(desk: Desk):
    [(number, invoice)] = until(desk.demo, MISSED, "RECURRING")
    page = desk.page("operator", "needs-attention/?group=missed")
    page.get_by_role("checkbox", name=re.compile(str(invoice))).check()
    page.locator("#bulk").get_by_role("button", name="Charge now").click()
    expect(page.get_by_text("Will be charged")).to_be_visible()
    page.locator("#main form button.btn-lg").click()
    expect(page.get_by_role("row").filter(has_text=str(invoice))).to_contain_text("The charge is on its way.")
    [(payment,)] = until(
        desk.demo, "SELECT payment_id FROM scheduled_charge WHERE id = ? AND status = 'SUCCEEDED'", number
    )
    assert desk.demo.rows("SELECT status FROM payment WHERE id = ?", payment) == [("PAID",)]
    page.get_by_role("row").filter(has_text=str(invoice)).get_by_role("link").first.click()
    expect(page.locator(".hero")).to_contain_text("Succeeded")
    page.goto("/needs-attention/?group=missed")
    expect(page.get_by_role("link", name="Missed dates")).to_be_visible()
    expect(page.get_by_text(str(invoice))).to_have_count(0)


def test_a_missed_date_is_let_go_on_a_phone(desk: Desk):
    [(number, invoice)] = until(desk.demo, MISSED, "REMINDER")
    page = desk.page("operator", "needs-attention/?group=missed", viewport=PHONE, has_touch=True)
    fits(page)
    page.get_by_role("checkbox", name=re.compile(str(invoice))).tap()
    fits(page)
    page.locator("#bulk").get_by_role("button", name="Let go").tap()
    expect(page.get_by_label("Reason")).to_be_visible()
    fits(page)
    page.get_by_label("Reason").fill("The customer paid in cash")
    page.locator("#main form button.btn-lg").tap()
    expect(page.locator("#main")).to_contain_text("The customer paid in cash")
    fits(page)
    found = desk.demo.rows("SELECT status FROM scheduled_charge WHERE id = ?", number)
    assert found == [("SKIPPED",)]


def test_a_charge_that_nobody_can_decide_is_declared_unpaid_with_a_reason(desk: Desk):
    desk.watched.expect_status(422)
    [(number, invoice)] = until(
        desk.demo, "SELECT id, invoice_number FROM scheduled_charge WHERE needs_staff ORDER BY id DESC LIMIT 1"
    )
    page = desk.page("operator", "needs-attention/?group=decisions")
    row = page.get_by_role("row").filter(has_text=str(invoice))
    row.get_by_role("link", name="Declare unpaid").click()
    dialog(page).get_by_role("button", name="Declare unpaid").click()
    expect(dialog(page).get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    dialog(page).get_by_label("Reason").fill("The provider confirmed by mail")
    dialog(page).get_by_role("button", name="Declare unpaid").click()
    expect(page.locator("#dlg")).to_be_hidden()
    expect(toasts(page)).to_be_visible()
    assert desk.demo.rows("SELECT needs_staff, payment_id FROM scheduled_charge WHERE id = ?", number) == [(0, None)]


# ---- around the charges --------------------------------------------------------------------------------------------


def test_a_new_reminder_endpoint_shows_its_secret_once(desk: Desk):
    [(name,)] = desk.demo.rows(
        "SELECT name FROM organization WHERE kind = 'MERCHANT' AND id NOT IN (SELECT merchant_id FROM subscription) "
        "AND id NOT IN (SELECT merchant_id FROM webhook_endpoint) ORDER BY id LIMIT 1"
    )
    page = desk.page("operator", "reminder-endpoints/new/")
    look_up(page, "merchant", name[:12], name)
    page.get_by_role("textbox", name="Address").fill("https://merchant.example.com/hooks")
    page.get_by_role("button", name="Save and show the secret").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="I have kept it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("https://merchant.example.com/hooks")
    assert secret not in page.content()
    page.goto("/reminder-endpoints/")
    expect(page.get_by_role("row").filter(has_text="merchant.example.com")).to_contain_text(name)


def test_a_reminder_is_sent_again_with_the_same_id(desk: Desk):
    [(number, before)] = until(
        desk.demo, "SELECT id, delivered_at FROM webhook_delivery WHERE state = 'DELIVERED' ORDER BY id LIMIT 1"
    )
    page = desk.page("operator", f"reminder-deliveries/{number}/")
    expect(page.locator("#main")).to_contain_text(f"msg_{number}")
    page.get_by_role("button", name="Send again").click()
    expect(dialog(page)).to_contain_text("with the same id")
    dialog(page).get_by_role("button", name="Send again").click()
    expect(toasts(page)).to_contain_text("on its way again")
    until(desk.demo, "SELECT id FROM webhook_delivery WHERE id = ? AND delivered_at > ?", number, before)
    page.goto(f"/reminder-deliveries/{number}/")
    expect(page.get_by_role("region", name="Tries").get_by_role("listitem")).to_have_count(2)


def test_a_card_that_ends_leads_to_its_subscription_and_a_warning(desk: Desk):
    page = desk.page("operator", "expiring-cards/")
    page.get_by_role("link", name=re.compile("^Expired")).click()
    row = page.locator("#list tbody tr").first
    expect(row).to_contain_text("Expired")
    expect(row).to_contain_text("@example.com")
    name = row.get_by_role("cell", name=re.compile("^SUB-")).inner_text()
    row.get_by_role("link", name="Expired").click()
    expect(page).to_have_url(re.compile(r"/subscriptions/\d+/$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.get_by_role("alert").first).to_contain_text("expired")


def test_a_filtered_list_of_scheduled_charges_leads_to_one_and_back(desk: Desk):
    page = desk.page("operator", "scheduled-charges/")
    page.get_by_role("link", name="Coming next").click()
    expect(page).to_have_url(re.compile("status=SCHEDULED"))
    rows = page.locator("#list tbody tr")
    invoice = rows.first.get_by_role("link").first.inner_text()
    rows.first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(re.compile("status=SCHEDULED"))
    expect(rows.first).to_contain_text(invoice)
