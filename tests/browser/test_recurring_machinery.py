"""Retry policies, reminder endpoints and the Workers page in a real browser on the real demo."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import PHONE, Desk

pytestmark = [pytest.mark.browser, pytest.mark.once]

STATUS = "**/workers/status/"
LOOKS_AWAY = "Object.defineProperty(document, 'hidden', { get: () => window.looksAway === true })"


def test_a_retry_policy_tells_what_it_will_do_while_it_is_typed(desk: Desk):
    page = desk.page("operator", "retry-policies/new/")
    story = page.locator("#story")
    expect(story).to_contain_text("what will happen is told here")
    page.get_by_label("Name").fill("Patient browser")
    page.get_by_label("Attempts", exact=False).first.fill("4")
    page.get_by_label("Days to wait").fill("1, 3, 7")
    expect(story).to_contain_text("11 days in all")
    page.get_by_label("When no attempt is left").select_option("ABORTED")
    expect(story).to_contain_text("the subscription is aborted")
    page.get_by_label("Not enough money in the account").check()
    expect(story).to_contain_text("Any refusal that is not on the list")
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(re.compile(r"/retry-policies/\d+/$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Patient browser")
    page.get_by_role("button", name="Delete").click()
    page.locator("#dlg[open]").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile(r"/retry-policies/$"))


def test_a_policy_that_is_followed_cannot_be_deleted_and_says_why(desk: Desk):
    [(policy_id,)] = desk.demo.rows("SELECT id FROM retry_policy WHERE name = 'Three tries in a week'")
    page = desk.page("operator", f"retry-policies/{policy_id}/")
    away = page.get_by_role("link", name="Delete")
    expect(away).to_have_attribute("aria-disabled", "true")
    expect(away).to_have_attribute("title", re.compile("subscriptions follow it"))


def test_a_secret_is_shown_once_and_a_test_message_arrives(desk: Desk):
    [(endpoint_id,)] = desk.demo.rows("SELECT min(id) FROM webhook_endpoint")
    page = desk.page("operator", f"reminder-endpoints/{endpoint_id}/")
    page.get_by_role("link", name="New secret…").click()
    expect(page.get_by_text("The old secret stops counting at once.")).to_be_visible()
    page.get_by_role("button", name="Make and show the new secret").click()
    secret = page.locator("#secret").inner_text()
    assert re.fullmatch(r"whsec_\S{32}", secret)
    page.get_by_role("link", name="I have kept it").click()
    expect(page.get_by_role("heading", name="How messages are signed")).to_be_visible()
    assert secret not in page.content()
    page.get_by_role("button", name="Send a test").click()
    expect(page).to_have_url(re.compile(r"/reminder-deliveries/\d+/$"))

    def arrived() -> bool:
        page.reload()
        return "Delivered" in page.locator("#main .alert").inner_text()

    for _ in range(20):
        if arrived():
            break
        page.wait_for_timeout(500)
    expect(page.locator("#main .alert")).to_contain_text("Delivered")
    expect(page.locator("#main")).to_contain_text("The endpoint answered 200.")


def test_the_workers_page_brings_itself_up_to_date_and_keeps_the_focus(desk: Desk):
    desk.demo.write(
        "INSERT INTO outbox_message (job, args, state, due_at, fence, failures, error, created_at) VALUES "
        "('deliver_webhook', ?, 'DEAD', '2026-01-01', 11, 11, 'UnicodeError: label too long', '2026-01-01')",
        json.dumps({"delivery_id": 999_999}),
    )
    page = desk.page("admin", "workers/")
    row = page.get_by_role("row", name=re.compile("UnicodeError: label too long"))
    again = row.get_by_role("button")
    expect(page.locator("#signs")).to_contain_text("Scheduler")
    again.focus()
    name = page.evaluate("document.activeElement.id")
    page.evaluate("document.querySelector('#signs h2').textContent = 'old'")
    expect(page.locator("#signs h2")).to_have_text("Signs of life")
    assert page.evaluate("document.activeElement.id") == name
    again.click()
    expect(page.locator("#toasts, #messages").filter(has_text="It is tried again.").first).to_be_visible()
    expect(row).to_have_count(0)


def test_the_workers_page_rests_while_nobody_looks(desk: Desk):
    page = desk.page("admin")
    page.add_init_script(LOOKS_AWAY)
    page.clock.install()
    page.goto(f"{desk.demo.address}workers/")
    with page.expect_request(STATUS):
        page.clock.run_for(6_000)
    page.evaluate("window.looksAway = true")
    page.clock.run_for(6_000)
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_request(STATUS):
        page.evaluate("window.looksAway = false; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize(
    "path", ["workers/", "retry-policies/", "retry-policies/new/", "reminder-endpoints/1/", "reminder-deliveries/1/"]
)
def test_nothing_is_wider_than_a_phone(desk: Desk, path: str):
    page = desk.page("admin", path, viewport=PHONE)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
