"""The first day of a demo: what is due is charged at the simulator, what reminds is sent there, and nothing is left."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select

from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.jobs.subscriptions import keep_plans
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import (
    ChargeStatus,
    DeliveryState,
    Purpose,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    WebhookDelivery,
)
from payadmin.reference import load_reference
from payadmin.sample.register import connect_endpoint, register_telco
from tests.support.desk import told
from tests.support.simulator import Simulator

C = ChargeStatus
REFUSED = "chargeDeclined"


@pytest.fixture
def simulator(app: Flask, folder: Path) -> Iterator[Simulator]:
    with (
        Simulator(folder / "first-day.jsonl", pending_s=0.2) as found,
        told(app, simulator_url=found.url, webhook_private_addresses=True),
    ):
        yield found


def due_today(zone: ZoneInfo, subscriptions: Sequence[int]) -> list[tuple[ScheduledCharge, Subscription]]:
    db.session.rollback()
    today = utcnow().astimezone(zone).date()
    found = (
        select(ScheduledCharge, Subscription)
        .join(Subscription, Subscription.id == ScheduledCharge.subscription_id)
        .where(ScheduledCharge.due_date == today, Subscription.id.in_(subscriptions))
        .execution_options(populate_existing=True)
    )
    return [(charge, subscription) for charge, subscription in db.session.execute(found)]


def work_until_settled(zone: ZoneInfo, subscriptions: Sequence[int]) -> list[tuple[ScheduledCharge, Subscription]]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        runner.drain()
        rows = due_today(zone, subscriptions)
        if not {charge.status for charge, _ in rows} & {C.SCHEDULED, C.ENQUEUED, C.PROCESSING, C.UNKNOWN}:
            return rows
        time.sleep(0.2)
    raise AssertionError("some charges of today are still open")


def test_what_is_due_is_charged_once_at_the_simulator_and_reminders_arrive(app: Flask, simulator: Simulator):
    settings = app.extensions["payadmin.settings"]
    load_reference(db.engine)
    register_telco(db.engine, zone=settings.zone)
    connect_endpoint(simulator.url, settings.totp_keys)
    keep_plans(settings.zone)
    # Inactive ones and those that are on hold are not charged.
    active = db.session.scalars(select(Subscription.id).where(Subscription.status == SubscriptionStatus.ACTIVE)).all()
    before = Counter(subscription.purpose for _, subscription in due_today(settings.zone, active))
    assert min(before[Purpose.RECURRING], before[Purpose.REMINDER]) > 5

    rows = work_until_settled(settings.zone, active)
    told_by = {charge.invoice_number: (charge, subscription) for charge, subscription in rows}
    for charge, subscription in rows:
        if subscription.purpose is Purpose.REMINDER:
            assert charge.status is C.NOTIFIED
        elif REFUSED in (subscription.card_token or ""):
            assert charge.status in {C.RETRY_WAIT, C.FAILED}
        else:
            assert charge.status is C.SUCCEEDED
    paid = {charge.invoice_number: charge.amount_minor for charge, _ in rows if charge.status is C.SUCCEEDED}
    assert {payment.transaction_id: payment.amount_minor for payment in db.session.scalars(select(Payment))} == paid
    captured = simulator.ledger()["captured"]
    assert {reference: [item["amount"] for item in items] for reference, items in captured.items()} == {
        reference: [amount] for reference, amount in paid.items()
    }
    assert set(captured) <= set(told_by)
    states = Counter(db.session.scalars(select(WebhookDelivery.state)))
    assert states == {DeliveryState.DELIVERED: before[Purpose.REMINDER]}
