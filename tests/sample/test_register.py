"""The telephone company's customers as subscriptions: as the file says, as a use case would write them, never twice."""

import datetime as dt
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import func, inspect, select

from payadmin.actions.subscriptions import (
    cancel_subscription,
    inactivate_subscription,
    register_subscription,
    save_endpoint,
    save_retry_policy,
)
from payadmin.db import db, utcnow
from payadmin.jobs.subscriptions import keep_plans
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    OnExhausted,
    Purpose,
    RetryPolicy,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    WebhookEndpoint,
)
from payadmin.reference import load_reference
from payadmin.sample import register
from payadmin.sample.recurring import PATIENT, STRICT, Registration, Trouble, registration
from payadmin.sample.register import connect_endpoint, register_telco
from payadmin.sample.source import TELCO_CUSTOMERS, TelcoRow, telco_rows
from payadmin.work import SYSTEM
from tests.support.make import Make

ZONE = ZoneInfo("Europe/London")
KEYS = (b"k" * 32,)
OTHERWISE = {
    "signature",
    "id",
    "created_at",
    "updated_at",
    "inactivated_at",
    "at",
    "customer_id",
    "entity_id",
    "planned_until",
}
MONDAY = dt.date(2026, 11, 23)


def a_row(number: int = 1, **values: Any) -> TelcoRow:
    said = {
        "customer_id": f"0000-TEST{number}",
        "tenure": 5,
        "contract": "Month-to-month",
        "is_paperless": True,
        "method": "Credit card (automatic)",
        "monthly": "29.85",
        "has_left": False,
    }
    return TelcoRow(number=number, **said | values)


def registered(row: TelcoRow, today: dt.date = MONDAY) -> Registration:
    return registration(row, dt.datetime.combine(today, dt.time(9), dt.UTC), today)


def contents(model: type, *conditions: object) -> list[dict[str, Any]]:
    names = [column.key for column in inspect(model).column_attrs if column.key not in OTHERWISE]
    found = db.session.scalars(select(model).where(*conditions).order_by(model.id)).all()
    return [{name: getattr(row, name) for name in names} for row in found]


def trail_of(subscription: Subscription) -> list[dict[str, Any]]:
    found = contents(AuditEvent, AuditEvent.entity == "subscription", AuditEvent.entity_id == str(subscription.id))
    for entry in found:
        entry["keys"] = {name: value for name, value in entry["keys"].items() if name != "customer_id"}
    return found


def count(model: type, *conditions: object) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model).where(*conditions))


@pytest.mark.once
def test_every_customer_of_the_file_becomes_a_registration_that_makes_sense():
    rows = list(telco_rows())
    assert len(rows) == len({row.customer_id for row in rows}) == TELCO_CUSTOMERS == 7_043
    kinds: Counter[str] = Counter()
    for row in rows:
        found = registered(row)
        said = found.arguments
        kinds[found.status.name] += 1
        kinds[said["schedule"].kind.name] += 1
        kinds.update({one.trouble.name for one in found.past})
        assert said["billing_number"] == found.customer["external_id"] == row.customer_id
        assert (said["purpose"] is Purpose.RECURRING) == row.method.endswith("(automatic)")
        assert (said["card_token"] is not None) == (said["purpose"] is Purpose.RECURRING)
        assert (found.status in {SubscriptionStatus.CANCELLED, SubscriptionStatus.INACTIVE}) == row.has_left
        assert found.created_at <= found.changed_at
        months = (MONDAY.year - said["start_date"].year) * 12 + MONDAY.month - said["start_date"].month
        assert months == row.tenure or (row.tenure == 0 and said["start_date"] > MONDAY)
    assert set(kinds) == {
        *("ACTIVE", "INACTIVE", "CANCELLED", "ON_HOLD"),
        *("DAY", "DATE", "FULL_DATE", "INTERVAL"),
        *(trouble.name for trouble in Trouble),
    }
    assert kinds["CANCELLED"] + kinds["INACTIVE"] == 1_869


@pytest.mark.once
def test_the_amount_is_the_monthly_charge_or_as_much_over_a_year():
    runs = {7: 52, 14: 26, 1: 12, 3: 4, 12: 1}
    for row in telco_rows():
        found = registered(row).arguments
        schedule = found["schedule"]
        a_year = 4 if schedule.dates else 52 if schedule.weekdays else runs.get(schedule.interval_count, 12)
        assert abs(found["amount_minor"] * a_year - row.minor * 12) <= a_year // 2
        assert found["unit"] == "USD"


@pytest.mark.once
def test_amounts_of_the_file_are_cents():
    assert [a_row(monthly=text).minor for text in ("29.85", "20.5", "70")] == [2985, 2050, 7000]


@pytest.mark.once
def test_the_same_row_on_the_same_day_tells_the_same():
    assert registered(a_row()) == registered(a_row())


@pytest.mark.parametrize("has_left", [False, True])
def test_a_bulk_row_is_the_row_that_registering_and_cancelling_write(app: Flask, make: Make, has_left: bool):
    load_reference(db.engine)
    today = utcnow().astimezone(ZONE).date()
    # New customers, whose start lies ahead: the only ones that a use case accepts too.
    rows = [
        a_row(number, tenure=0, has_left=has_left, contract=contract, method=method)
        for number, (contract, method) in enumerate(
            (contract, method)
            for contract in ("Month-to-month", "One year", "Two year") * 4
            for method in ("Credit card (automatic)", "Bank transfer (automatic)", "Mailed check")
        )
    ]
    found = [registration(row, utcnow(), today) for row in rows]
    merchants = [make.organization(name).id for name in ("One by one", "In bulk")]
    policies = dict.fromkeys((PATIENT, STRICT), _policy())
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        register.register(connection, found, merchant_id=merchants[1], policies=policies)
    db.session.rollback()
    stories = []
    for one in found:
        customer_id = db.session.scalar(select(Customer.id).where(Customer.external_id == one.customer["external_id"]))
        subscription = register_subscription(
            SYSTEM,
            customer_id=customer_id,
            merchant_id=merchants[0],
            zone=ZONE,
            retry_policy_id=policies[one.policy] if one.policy else None,
            **one.arguments,
        )
        if one.status is not SubscriptionStatus.ACTIVE:
            leave = inactivate_subscription if one.status is SubscriptionStatus.INACTIVE else cancel_subscription
            leave(SYSTEM, subscription.id, version=subscription.version, reason=one.reason)
        alone = contents(Subscription, Subscription.id == subscription.id)
        bulk = db.session.scalars(select(Subscription).where(Subscription.subscription_id == one.subscription_id)).one()
        named = {"subscription_id": one.subscription_id, "merchant_id": merchants[1]}
        assert [row | named for row in alone] == contents(Subscription, Subscription.id == bulk.id)
        left = one.status is SubscriptionStatus.INACTIVE
        assert [each.inactivated_at is not None for each in (subscription, bulk)] == [left, left]
        trail = trail_of(subscription)
        for entry in trail:
            entry["keys"]["subscription_id"] = one.subscription_id
        assert trail == trail_of(bulk)
        stories.append(len(trail))
    assert set(stories) == {2 if has_left else 1}


def test_the_short_sample_is_registered_once_and_all_of_it_on_request(app: Flask):
    load_reference(db.engine)
    assert register_telco(db.engine, zone=ZONE) == 1_000
    assert register_telco(db.engine, zone=ZONE) == 0
    assert count(Subscription) == count(Customer) == 1_000
    assert count(RetryPolicy) == 2
    registered_events = count(AuditEvent, AuditEvent.event == "subscriptions.subscription.registered")
    assert registered_events == 1_000
    steps: list[tuple[int, int]] = []
    assert register_telco(db.engine, zone=ZONE, full=True, progress=lambda *step: steps.append(step)) == 6_043
    assert steps[-1] == (7_043, 7_043)
    assert count(Subscription) == 7_043
    assert count(RetryPolicy) == 2


def test_troubles_become_what_staff_are_to_decide_once_the_day_is_planned(app: Flask):
    load_reference(db.engine)
    register_telco(db.engine, zone=ZONE)
    late = count(ScheduledCharge, ScheduledCharge.status == ChargeStatus.SCHEDULED)
    assert late > 0
    keep_plans(ZONE)
    missed = count(ScheduledCharge, ScheduledCharge.status == ChargeStatus.MISSED)
    assert missed == late
    undecided = select(ScheduledCharge).where(ScheduledCharge.needs_staff.is_(True))
    for charge in db.session.scalars(undecided):
        attempt = db.session.scalars(select(ChargeAttempt).where(ChargeAttempt.scheduled_charge_id == charge.id)).one()
        assert (charge.status, attempt.state) == (ChargeStatus.UNKNOWN, AttemptState.MANUAL)
    held = count(Subscription, Subscription.status == SubscriptionStatus.ON_HOLD)
    assert held == count(ScheduledCharge, ScheduledCharge.status == ChargeStatus.FAILED) > 0
    assert count(ChargeAttempt, ChargeAttempt.state == AttemptState.DECLINED) == 3 * held
    today = utcnow().astimezone(ZONE).date()
    due = (ScheduledCharge.status == ChargeStatus.SCHEDULED, ScheduledCharge.due_date == today)
    assert count(ScheduledCharge, *due) > 0
    soon = today + dt.timedelta(days=92)
    assert count(Subscription, Subscription.card_expires_on.between(today, soon)) > 0


def test_reminders_go_to_the_simulator_wherever_it_listens_and_to_no_place_staff_did_not_choose(app: Flask):
    load_reference(db.engine)
    connect_endpoint("http://127.0.0.1:1", KEYS)
    assert count(WebhookEndpoint) == 0
    register_telco(db.engine, zone=ZONE)

    def url() -> str:
        db.session.rollback()
        return db.session.scalars(select(WebhookEndpoint.url)).one()

    connect_endpoint("http://127.0.0.1:1", KEYS)
    sealed = db.session.scalars(select(WebhookEndpoint.sealed_secret)).one()
    connect_endpoint("http://127.0.0.1:2", KEYS)
    assert url() == "http://127.0.0.1:2/merchant/webhook"
    assert db.session.scalars(select(WebhookEndpoint.sealed_secret)).one() == sealed
    db.session.rollback()
    endpoint = db.session.scalars(select(WebhookEndpoint)).one()
    known = {"merchant_id": endpoint.merchant_id, "version": endpoint.version}
    save_endpoint(SYSTEM, url="https://shop.example/hook", enabled=False, keys=KEYS, **known)
    connect_endpoint("http://127.0.0.1:3", KEYS)
    assert url() == "https://shop.example/hook"


def _policy() -> int:
    policy = save_retry_policy(
        SYSTEM, name="Any", delays_days=(1,), max_attempts=2, retryable_codes=(), on_exhausted=OnExhausted.ABORTED
    )
    return policy.id
