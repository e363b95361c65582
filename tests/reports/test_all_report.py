"""All Report: fourteen criteria, totals per currency, the latest first, and no card number anywhere but in the post."""

import csv
import datetime as dt
import io
import logging
import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from payadmin.db import db, utcnow
from payadmin.kernel.cards import fingerprint
from payadmin.models.audit import AuditEvent
from payadmin.models.batches import Batch, BatchKind, BatchStatus
from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.permissions import Role
from payadmin.views import lists
from payadmin.views.all_report import TEXTS
from tests.support.desk import told
from tests.support.make import Make

PAN = "4242424242424242"
NEWER = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)


@pytest.fixture
def report(app: Flask, make: Make) -> Any:
    return Report(app, make)


class Report:
    """The page as a payments operator uses it."""

    def __init__(self, app: Flask, make: Make) -> None:
        self.app = app
        self.make = make
        self.client: Any = make.browse(Role.PAYMENTS_OPERATOR)

    def batch(self, name: str, kind: BatchKind = BatchKind.SINGLE_PAYMENT) -> int:
        return int(
            self.make._save(
                Batch(
                    kind=kind,
                    file_name=name,
                    format="CSV",
                    content_hash=name.rjust(64, "0")[:64],
                    status=BatchStatus.PROCESSED,
                    merchant_id=self.make.organization().id,
                    method=self.make.method().code,
                    provider="simulator",
                    uploaded_by="operator",
                    columns=[],
                    rows_total=1,
                )
            ).id
        )

    def search(self, **fields: str) -> Any:
        """Send the form and follow it to the address that it became."""
        token = re.search(r'name="csrf_token" value="([^"]*)"', self.client.get("/all-report/").text)
        assert token
        answer = self.client.post("/all-report/search/", data={"csrf_token": token[1]} | fields)
        return self.client.get(answer.location) if answer.status_code == 303 else answer

    def found(self, **fields: str) -> list[str]:
        """The transaction IDs found, in the order of the page."""
        return ids_of(self.search(**fields).text)


def ids_of(page: str) -> list[str]:
    rows = re.findall(r'<tr data-href="/transactions/([0-9]+)/">', page)
    names = {row.id: row.transaction_id for row in db.session.execute(select(Payment.id, Payment.transaction_id))}
    return [names[int(row)] for row in rows]


def total_data(page: str) -> str:
    found = re.search(r'data-total="data"[^>]*>([^<]*)<', page)
    assert found
    return found[1]


def test_each_criterion_alone_finds_its_payment_and_no_other(report: Report) -> None:
    make, keys = report.make, report.app.extensions["payadmin.settings"].totp_keys
    batch = report.batch("march charges.csv")
    registered = report.batch("new customers.xlsx", BatchKind.REGISTRATION)
    make.payment(transaction_id="OTHER", batch_id=registered, created_at=NEWER - dt.timedelta(days=30),
                 billing_number="B-2", approval_code="A2", response_code="05", error_code="expired_card",
                 card_holder_name="BO CHEN", card_holder_phone="+442000", card_last4="1111",
                 status=PaymentStatus.FAILED)  # fmt: skip
    make.payment(transaction_id="WANTED", batch_id=batch, created_at=NEWER, billing_number="B-1",
                 invoice_number="INV-1", amount_minor=12_34, approval_code="A1", response_code="00", error_code="none",
                 card_last4="4242", card_fingerprint=fingerprint(keys, PAN), card_holder_name="ANA LOPEZ",
                 card_holder_phone="+447700900123")  # fmt: skip
    criteria: list[dict[str, str]] = [
        {"billing_number": "B-1"},
        {"invoice_number": "INV-1"},
        {"file": "march charges.csv"},
        {"amount": "12.34", "unit": "EUR"},
        {"card": "4242 4242 4242 4242"},
        {"card": "4242"},
        {"card_holder_name": "Ana Lopez"},
        {"card_holder_phone": "+44 7700 900123"},
        {"start": "2026-03-10"},
        {"start": "2026-03-01", "end": "2026-03-10"},
        {"batch_type": "SINGLE_PAYMENT"},
        {"status": "Paid"},
        {"response_code": "00"},
        {"approval_code": "A1"},
        {"error_code": "none"},
        {"billing_number": "B-1*", "invoice_number": "INV*", "file": "march*", "card_holder_name": "ana*"},
    ]
    for fields in criteria:
        assert report.found(**fields) == ["WANTED"], fields
    assert report.found(end="2026-03-09") == ["OTHER"]
    assert report.found(batch_type="REGISTRATION") == ["OTHER"]
    assert report.found(amount="12.00..13.00", unit="EUR") == ["WANTED"]
    assert report.found(batch_type="NONE") == []
    assert report.found(billing_number="B-1", response_code="05") == [], "all criteria hold together"


def test_an_amount_is_exact_and_of_its_currency(report: Report) -> None:
    report.make.payment(transaction_id="EXACT", amount_minor=100_00)
    report.make.payment(transaction_id="CENT", amount_minor=100_01)
    report.make.payment(transaction_id="YEN", amount_minor=100, unit="JPY")
    assert report.found(amount="100.00", unit="EUR") == ["EXACT"]
    assert report.found(amount="100", unit="JPY") == ["YEN"]


def test_the_header_says_criteria_total_data_and_total_amount_per_currency(report: Report) -> None:
    for amount in (10_00, 20_50):
        report.make.payment(amount_minor=amount, billing_number="B-7")
    report.make.payment(amount_minor=700, unit="JPY", billing_number="B-7")
    report.make.payment(amount_minor=999_99)
    page = report.search(billing_number="B-7").text
    assert "<dt>Billing number</dt><dd>B-7</dd>" in page
    assert total_data(page) == "3"
    assert "30.50 <small>EUR</small>" in page
    assert "700 <small>JPY</small>" in page
    assert "730" not in page, "two currencies are never added up"


def test_what_is_slow_to_add_up_comes_after_the_page(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        report.make.payment(amount_minor=10_00)
    monkeypatch.setattr(lists, "COUNT_CAP", 2)
    page = report.client.get("/all-report/?status=PAID").text
    assert 'data-poll="/all-report/totals/?status=PAID" data-poll-now' in page
    fragment = report.client.get("/all-report/totals/?status=PAID").text
    assert 'data-done="1"' in fragment
    assert total_data(fragment) == "3"
    assert "30.00 <small>EUR</small>" in fragment


def test_the_form_is_open_at_first_and_folds_away_after_a_search(report: Report) -> None:
    report.make.payment(billing_number="B-1")
    first = report.client.get("/all-report/").text
    assert '<details class="fold mb" open>' in first
    assert "every live payment" in first
    searched = report.search(billing_number="B-1").text
    assert '<details class="fold mb">' in searched
    assert "Show Search Form" in searched
    assert 'name="billing_number" value="B-1"' in searched


def test_the_latest_come_first_and_pages_continue_where_the_last_one_ended(report: Report) -> None:
    for place in range(45):
        report.make.payment(transaction_id=f"P-{place:02}", created_at=NEWER + dt.timedelta(minutes=place // 2))
    seen: list[str] = []
    address = "/all-report/?size=20"
    while address:
        page = report.client.get(address).text
        seen += ids_of(page)
        following = re.search(r'href="([^"]*)" rel="next"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == [f"P-{place:02}" for place in reversed(range(45))]


def test_a_full_card_number_stands_in_no_address_no_page_no_log_and_no_trail(
    report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = report.app.extensions["payadmin.settings"].totp_keys
    report.make.payment(transaction_id="HERS", card_fingerprint=fingerprint(keys, PAN), card_last4="4242")
    report.make.payment(transaction_id="SAME-END", card_last4="4242")
    token = re.search(r'name="csrf_token" value="([^"]*)"', report.client.get("/all-report/").text)
    assert token
    answer = report.client.post("/all-report/search/", data={"csrf_token": token[1], "card": "4242-4242-4242-4242"})
    assert PAN not in answer.location
    assert "4242-4242" not in answer.location
    page = report.client.get(answer.location).text
    assert ids_of(page) == ["HERS"]
    assert "a full number, •••4242" in page
    assert (
        report.client.get(f"/all-report/export/csv/{answer.location.partition('/all-report/')[2]}").status_code == 200
    )
    texts = [page, answer.text, answer.location, caplog.text]
    texts += [str(vars(entry)) for entry in db.session.scalars(select(AuditEvent))]
    assert not [text for text in texts if PAN in re.sub(r"[ -]", "", text)]
    assert report.client.get(f"/all-report/?card={PAN}").status_code == 400


def test_a_card_number_in_any_other_field_stops_before_it_is_an_address(report: Report) -> None:
    token = re.search(r'name="csrf_token" value="([^"]*)"', report.client.get("/all-report/").text)
    assert token
    for field in (*TEXTS, "file", "card_holder_name", "card_holder_phone"):
        sent = {"csrf_token": token[1], field: "4242 4242 4242 4242"}
        answer = report.client.post("/all-report/search/", data=sent)
        assert answer.status_code == 422, field
        assert "holds a card number" in answer.text
        assert "4242 4242 4242" not in answer.text


def test_a_card_that_was_stored_under_an_older_key_is_found(report: Report) -> None:
    old, new = b"k" * 32, b"n" * 32
    report.make.payment(transaction_id="OLD", card_fingerprint=fingerprint([old], PAN))
    report.make.payment(transaction_id="NEW", card_fingerprint=fingerprint([new], PAN))
    with told(report.app, totp_keys=(new, old)):
        assert sorted(report.found(card=PAN)) == ["NEW", "OLD"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"card": "4242424242424241"}, "whole card number"),
        ({"card": "12345"}, "whole card number"),
        ({"amount": "ten", "unit": "EUR"}, "Amount"),
        ({"amount": "1.234", "unit": "EUR"}, "Amount"),
        ({"amount": "1.00", "unit": "XXX"}, "not a known currency"),
        ({"start": "2026-02-30"}, "2026-01-31"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "first day is after"),
        ({"status": "Sold"}, "Choose one"),
        ({"batch_type": "ZIP"}, "not a value"),
        ({"file": "*"}, "not a value"),
        ({"card_holder_name": "*"}, "not a value"),
        ({"billing_number": "a\x00b"}, "control characters"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field_and_nothing_is_searched(
    report: Report, fields: dict[str, str], sentence: str
) -> None:
    answer = report.search(invoice_number="KEPT", **fields)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert 'name="invoice_number" value="KEPT"' in answer.text
    assert "open>" in answer.text
    if "card" in fields:
        assert fields["card"] not in answer.text


def test_the_file_holds_the_rows_of_the_page(report: Report) -> None:
    for place in range(3):
        report.make.payment(invoice_number=f"X-{place}", created_at=NEWER + dt.timedelta(minutes=place))
    report.make.payment(invoice_number="Y-1")
    rows = list(csv.DictReader(io.StringIO(report.client.get("/all-report/export/csv/?invoice_number=X-*").text)))
    assert [row["Invoice number"] for row in rows] == ["X-2", "X-1", "X-0"]


def test_a_large_report_becomes_a_file_of_the_exports_page(report: Report) -> None:
    for _ in range(4):
        report.make.payment(billing_number="B-1")
    with told(report.app, export_job_rows=3):
        assert "written in the background" in report.client.get("/all-report/export/xlsx/?billing_number=B-1").text


def test_live_and_test_payments_never_mix(report: Report) -> None:
    report.make.payment(transaction_id="REAL")
    report.make.payment(transaction_id="TRIAL", mode=Mode.TEST)
    assert ids_of(report.client.get("/all-report/").text) == ["REAL"]


def test_nothing_found_says_what_to_do(report: Report) -> None:
    report.make.payment(created_at=utcnow())
    page = report.search(billing_number="B-none").text
    assert "Nothing found" in page
    assert total_data(page) == "0"


def test_only_who_reads_batches_may_open_it(make: Make) -> None:
    assert make.browse(Role.SUPPORT_AGENT).get("/all-report/").status_code == 403
    for role in (Role.ADMIN, Role.CFO, Role.PAYMENTS_OPERATOR):
        assert make.browse(role).get("/all-report/").status_code == 200
