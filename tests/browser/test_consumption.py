"""Home of a partner in a real browser: charts under the content policy, hover, tables, numbers, dark; and a key."""

import json
import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.support.browser import Desk
from tests.support.charts import drawn, hovered

pytestmark = [pytest.mark.browser, pytest.mark.once]


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_a_partner_reads_the_consumption_of_the_own_organization(desk: Desk) -> None:
    page = desk.page("partner")
    expect(page.get_by_text("Consumption of the client services of Meridian Transit")).to_be_visible()
    drawn(page, "operations-a-month")
    assert "Ticket wallet" in hovered(page, "operations-a-month", 0.25)
    drawn(page, "operations-a-day")
    assert "Loyalty points" in hovered(page, "operations-a-day", 0.5)

    # The table says what the chart shows, and each number leads to what adds up to it.
    page.get_by_text("Show as a table").nth(1).click()
    table = page.get_by_role("region", name="Operations a day, as a table")
    expect(table.locator("tbody tr")).to_have_count(30)
    link = table.locator("tbody tr").nth(3).get_by_role("link")
    shown = number(link.inner_text())
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage")
    expect(page.locator("#total")).to_have_attribute("data-total", str(shown))
    page.locator("#side").get_by_role("link", name="Home", exact=True).click()
    shown = number(page.locator("#operations a").inner_text())
    page.locator("#operations a").click()
    expect(page.locator("#total")).to_have_attribute("data-total", str(shown))
    page.locator("#side").get_by_role("link", name="Home", exact=True).click()
    expect(page.locator("#services a")).to_have_text("5")
    page.locator("#services a").click()
    expect(page.locator("tbody tr")).to_have_count(5)
    expect(page.get_by_text("Boarding passes")).to_have_count(0)


def test_charts_change_with_the_page_to_dark(desk: Desk) -> None:
    page = desk.page("issuer")
    drawn(page, "operations-a-month")
    with page.expect_response(re.compile("operations-a-month.*theme=dark")):
        page.get_by_role("button", name=re.compile("[Dd]ark|theme")).first.click()
    drawn(page, "operations-a-month")
    expect(page.get_by_text("Active client services")).to_be_visible()
    page.get_by_role("button", name=re.compile("[Ll]ight|theme")).first.click()


def test_a_key_is_made_shown_once_used_and_revoked(desk: Desk) -> None:
    desk.watched.expect_status(422)
    page = desk.page("admin", "api-keys/new/")
    page.get_by_label("Name", exact=False).first.fill("Browser meter")
    page.get_by_role("combobox", name="Organization").press_sequentially("Meridian")
    page.get_by_role("option", name=re.compile("Meridian Transit")).click()
    page.get_by_label("Report usage of client services").check()
    page.get_by_label("Authenticator code").fill("000000")
    page.get_by_role("button", name="Make and show the key").click()
    expect(page.get_by_text("That code is wrong")).to_be_visible()
    expect(page.get_by_label("Report usage of client services")).to_be_checked()
    page.get_by_label("Authenticator code").fill(desk.code("admin"))
    page.get_by_role("button", name="Make and show the key").click()
    key = page.get_by_label("API key").input_value()

    body = {"entries": [{"service": "MT-PLANNER", "operation": "browse", "day": "2026-01-01", "count": 77}]}
    sent = urllib.request.Request(
        f"{desk.demo.address}api/v1/usage",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(sent) as answer:
        assert json.load(answer) == {"created": 1, "replaced": 0, "unchanged": 0}

    page.get_by_role("link", name="I have kept it").click()
    expect(page.locator("main")).not_to_contain_text(key)
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_label("Reason").fill("Tried out.")
    page.get_by_label("Authenticator code").fill(desk.code("admin"))
    page.get_by_role("button", name="Revoke for good").click()
    expect(page.get_by_text("The key was revoked, and opens nothing.")).to_be_visible()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(sent)
