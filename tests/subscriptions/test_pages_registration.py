"""Registration: every subscription by how it was registered, with its batch file, filters, search and export."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.kernel.schedules import Schedule, ScheduleKind
from payadmin.models.batches import Batch, BatchKind, BatchRow, BatchStatus, RowStatus
from payadmin.models.subscriptions import Subscription, SubscriptionOrigin, schedule_values
from payadmin.permissions import Role
from tests.support.make import Make

FIRST = Schedule(ScheduleKind.DATE, days=(1,), months=tuple(range(1, 13)))
SCRIPT = "<script>alert(1)</script>.csv"


@pytest.fixture
def registrations(app: Flask, make: Make) -> dict[SubscriptionOrigin, Subscription]:
    """One subscription of every origin; that of the batch with its row."""
    return {
        origin: make.subscription(
            origin=origin,
            billing_number=f"{origin.name}-1",
            batch_row_id=batch_row(make).id if origin is SubscriptionOrigin.BATCH else None,
            **schedule_values(FIRST),
        )
        for origin in SubscriptionOrigin
    }


def batch_row(make: Make) -> BatchRow:
    batch = make._save(
        Batch(
            kind=BatchKind.REGISTRATION,
            file_name=SCRIPT,
            format="CSV",
            content_hash="0" * 64,
            status=BatchStatus.PROCESSED,
            merchant_id=make.organization().id,
            method=make.method().code,
            provider="simulator",
            uploaded_by="operator",
            columns=["billing_number"],
            rows_total=1,
            rows_valid=1,
            rows_done=1,
        )
    )
    values = {"customer_id": make.customer().id, "billing_number": "BATCH-1", "amount_minor": 1, "unit": "EUR"}
    make.unit("EUR")
    found: BatchRow = make._save(
        BatchRow(batch_id=batch.id, row_number=2, status=RowStatus.DONE, cells=["BATCH-1"], **values)
    )
    return found


def numbers(client: FlaskClient, query: str) -> set[str]:
    page = client.get(f"/registration/?{query}")
    assert page.status_code == 200, page.text
    return set(re.findall(r">([A-Z]+)-1<", page.text))


def test_every_registration_is_listed_with_its_origin_its_schedule_and_its_batch_file(
    make: Make, registrations: dict[SubscriptionOrigin, Subscription]
) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    page = client.get("/registration/").text
    assert numbers(client, "") == {origin.name for origin in SubscriptionOrigin}
    for origin in SubscriptionOrigin:
        assert origin.value in page
    assert "On the 1st of every month" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in page
    [link] = re.findall(r'href="(/batches/\d+/)"', page)
    assert client.get(link).status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("origin=HOSTED", {"HOSTED"}),
        ("origin=BATCH&origin=API", {"BATCH", "API"}),
        ("search=BACKOFFICE", {"BACKOFFICE"}),
        ("status=CANCELLED", set()),
        ("created_at=2190-01-01..", set()),
        ("merchant=1&origin=API", {"API"}),
    ],
)
def test_registrations_are_found_by_origin_date_status_merchant_and_search(
    make: Make, registrations: dict[SubscriptionOrigin, Subscription], query: str, found: set[str]
) -> None:
    assert numbers(make.browse(Role.CFO), query) == found


def test_the_export_holds_what_the_page_shows(
    make: Make, registrations: dict[SubscriptionOrigin, Subscription]
) -> None:
    lines = make.browse(Role.PAYMENTS_OPERATOR).get("/registration/export/csv/?origin=BATCH").text.splitlines()
    assert len(lines) == 2
    for text in ("Batch file", "Schedule", "Origin"):
        assert text in lines[0]
    for text in (SCRIPT, "On the 1st of every month", "BATCH-1"):
        assert text in lines[1]


def test_a_registration_opens_its_subscription_and_only_readers_of_batches_see_the_page(
    make: Make, registrations: dict[SubscriptionOrigin, Subscription]
) -> None:
    row = registrations[SubscriptionOrigin.HOSTED]
    answer = make.browse(Role.ADMIN).get(f"/registration/{row.id}/")
    assert answer.location == f"/subscriptions/{row.id}/"
    assert make.browse(Role.SUPPORT_AGENT).get("/registration/").status_code == 403
