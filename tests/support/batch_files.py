"""Batch files for a demo in a browser: rows about its own merchant and customers, and the form that sends them."""

import datetime as dt
import itertools
from typing import Any

from playwright.sync_api import Page

from payadmin.kernel.sheets import csv_rows
from tests.support.browser import Demo

_numbers = itertools.count(1)
_PAYMENT = ("billing_number", "invoice_number", "amount", "currency", "card_no", "card_holder_name", "execute_date")
_REGISTRATION = ("customer_id", "billing_number", "amount", "currency", "card_token", "type", "schedule", "days",
                 "months", "start_date")  # fmt: skip


class BatchFiles:
    """Files that differ from each other each time."""

    def __init__(self, demo: Demo) -> None:
        busiest = (
            "SELECT o.id, o.name FROM organization o JOIN subscription s ON s.merchant_id = o.id "
            "WHERE o.kind = 'MERCHANT' AND o.status = 'ACTIVE' GROUP BY o.id ORDER BY count(*) DESC LIMIT 1"
        )
        ((merchant_id, self.merchant_name),) = demo.rows(busiest)
        numbers = (
            "SELECT s.billing_number FROM subscription s JOIN customer c ON c.id = s.customer_id "
            "WHERE s.merchant_id = ? AND c.status = 'ACTIVE' LIMIT 20"
        )
        self._billing = [number for (number,) in demo.rows(numbers, merchant_id)]
        customers = "SELECT external_id FROM customer WHERE status = 'ACTIVE' ORDER BY id LIMIT 20"
        self._customers = [number for (number,) in demo.rows(customers)]
        self._today = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)  # no time zone is past it

    def payments(self, many: int, *, wrong: int = 0, today: dt.date | None = None) -> dict[str, Any]:
        """Single payments, the first few with an amount that is none."""
        day, tag = (today or self._today).isoformat(), next(_numbers)
        rows = [
            [self._billing[n], f"WEB-{tag}-{n}", "12O.50" if n < wrong else "12.50", "EUR", "4242424242424242",
             "Ana Lopez", day]
            for n in range(many)
        ]  # fmt: skip
        return _file(f"payments-{tag}.csv", _PAYMENT, rows)

    def registrations(self, many: int, *, wrong: int = 0) -> dict[str, Any]:
        """Registrations, the first few of a customer whom nobody knows."""
        tag = next(_numbers)
        rows = [
            ["C-NOBODY" if n < wrong else self._customers[n], f"WEB-{tag}-{n}", "9.90", "EUR", "tok_visa", "RECURRING",
             "DATE", "1; 15", "ALL", self._today.isoformat()]
            for n in range(many)
        ]  # fmt: skip
        return _file(f"registrations-{tag}.csv", _REGISTRATION, rows)


def _file(name: str, head: tuple[str, ...], rows: list[list[str]]) -> dict[str, Any]:
    return {"name": name, "mimeType": "text/csv", "buffer": "".join(csv_rows(head, rows)).encode()}


def choose_merchant(page: Page, name: str) -> None:
    """Choose the merchant by typing, and a method, unless the form offers the last ones again."""
    method = page.get_by_label("Method")
    if not method.input_value():
        method.select_option(index=1)
    page.locator(".ts-wrapper").wait_for()
    if page.locator(".ts-wrapper .item").count() == 0:
        page.get_by_role("combobox", name="Merchant").press_sequentially(name[:12])
        page.get_by_role("option", name=name).click()


def upload_batch(page: Page, kind: str, merchant: str, file: Any, *, waits: bool = True) -> None:
    """Send a file of one kind, and wait until its rows are checked."""
    page.goto(f"/batch-transaction/?kind={kind}")
    choose_merchant(page, merchant)
    page.locator("#file").set_input_files(file)
    page.get_by_role("button", name="Upload and check").click()
    if waits:
        page.wait_for_url("**/batches/*/")
        page.locator("#batch-figures dd", has_text="Has errors").or_(
            page.locator("#batch-figures dd", has_text="Ready to process")
        ).wait_for(timeout=30_000)
