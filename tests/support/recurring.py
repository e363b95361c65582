"""What tests of recurring charges in a browser share: a subscription of the demo each, and the parts of its pages."""

import datetime as dt
import time
from dataclasses import dataclass

from playwright.sync_api import Locator, Page

from tests.support.browser import PHONE, Demo

# The worker books within seconds; a busy machine takes longer.
WORK_SECONDS = 60
# Active, charged by a card that the simulator likes, with dates to come. Ids that end in other digits are others'.
LIVE = (
    "SELECT s.id, s.subscription_id, s.billing_number, c.external_id, min(d.due_date) AS due, count(*) AS number "
    "FROM subscription s JOIN customer c ON c.id = s.customer_id JOIN scheduled_charge d ON d.subscription_id = s.id "
    "WHERE s.status = 'ACTIVE' AND s.purpose = 'RECURRING' AND s.deleted_at IS NULL "
    "AND s.card_token IN ('tok_visa', 'tok_mastercard', 'tok_amex') "
    "AND s.schedule_kind IN ('INTERVAL', 'DATE') AND s.id % 10 = ? AND s.card_expires_on > date('now', '+300 days') "
    "AND d.status = 'SCHEDULED' GROUP BY s.id HAVING count(*) >= 2 AND min(d.due_date) > date('now', '+3 days') "
    "ORDER BY s.id LIMIT 1"
)


@dataclass(frozen=True)
class Sub:
    """A subscription that a test acts on."""

    id: int
    name: str
    billing: str
    customer: str
    due: str
    number: int


def until(demo: Demo, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What the statement finds once it finds something: workers and the scheduler take their time."""
    end = time.monotonic() + WORK_SECONDS
    while not (found := demo.rows(statement, *values)):
        assert time.monotonic() < end, f"nothing in {WORK_SECONDS} seconds: {statement}"
        time.sleep(0.1)
    return found


def live(demo: Demo, digit: int) -> Sub:
    """A subscription for one test alone: no other asks for the same digit."""
    return Sub(*until(demo, LIVE, digit)[0])  # type: ignore[arg-type]


def state(demo: Demo, subscription: Sub) -> tuple[str, str]:
    """Its status and its type."""
    [found] = demo.rows("SELECT status, purpose FROM subscription WHERE id = ?", subscription.id)
    return tuple(found)  # type: ignore[return-value]


def dialog(page: Page) -> Locator:
    return page.locator("#dlg[open]")


def toasts(page: Page) -> Locator:
    return page.locator("#toasts")


def day(text: str) -> str:
    """A date as pages show it."""
    found = dt.date.fromisoformat(text)
    return f"{found.day} {found:%b %Y}"


def look_up(page: Page, field: str, words: str, option: str) -> None:
    """Choose a row in a look-up, as somebody who types."""
    page.locator(f"#{field}-ts-control").click()
    page.locator(f"#{field}-ts-control").press_sequentially(words)
    page.locator(f"#{field}-ts-dropdown").get_by_role("option", name=option).first.click()


def fits(page: Page) -> None:
    """Nothing is wider than the phone, and what is open lies on its screen."""
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for box in page.locator("#dlg[open], [popover]:popover-open").all():
        found = box.bounding_box()
        assert found is not None
        assert found["x"] >= 0
        assert found["x"] + found["width"] <= PHONE["width"]
