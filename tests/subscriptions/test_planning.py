"""Planning makes each due date once, never brings a cancelled one back, and never runs the past by itself."""

import datetime as dt

import pytest

from payadmin.actions.subscriptions import (
    activate_subscription,
    cancel_scheduled,
    cancel_subscription,
    catch_up,
    change_purpose,
    choose_retry_policy,
    delete_subscription,
    edit_schedule,
    inactivate_subscription,
    let_go,
    register_subscription,
    save_retry_policy,
)
from payadmin.actions.subscriptions.planning import HORIZON_DAYS
from payadmin.actions.subscriptions.policies import delete_retry_policy
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind
from payadmin.models.subscriptions import ChargeStatus, OnExhausted, Purpose, SubscriptionStatus
from tests.support.billing import DAILY, Office
from tests.support.desk import trail

C = ChargeStatus
WEEKLY = Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=7, anchor=dt.date(2026, 1, 1))


def test_a_plan_reaches_sixty_days_and_planning_again_adds_nothing(office: Office) -> None:
    daily = office.subscription()
    weekly = office.subscription(WEEKLY, expiration_date=office.day(20))
    imported = office.subscription(schedule=None)
    office.plan()
    office.plan()
    assert office.dates(daily.id) == [office.day(number) for number in range(HORIZON_DAYS + 1)]
    assert 2 <= len(office.dates(weekly.id)) <= 3
    assert office.dates(weekly.id)[-1] <= office.day(20)
    assert office.dates(imported.id) == []


def test_an_edit_plans_anew_but_leaves_what_staff_decided_and_what_runs(office: Office) -> None:
    subscription = office.subscription()
    office.plan()
    actor = office.operator()
    charges = {row.due_date: row for row in rows(office, subscription.id)}
    chosen = [charges[office.day(3)].id, charges[office.day(4)].id]
    outcome = cancel_scheduled(actor, charge_ids=chosen, reason="Holiday", **office.confirm(actor, chosen))
    assert outcome.done == sorted(chosen)
    office.work()
    version = office.subscription_now(subscription.id).version
    even = Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=2, anchor=office.day(2))
    edit_schedule(
        actor, subscription.id, version=version, schedule=even, start_date=office.today, expiration_date=None,
        zone=office.zone,
    )  # fmt: skip
    office.plan()
    assert office.dates(subscription.id, C.SUCCEEDED) == [office.today]
    assert office.dates(subscription.id, C.CANCELLED) == [office.day(3), office.day(4)]
    assert office.dates(subscription.id, C.SCHEDULED) == [office.day(2), *(office.day(n) for n in range(6, 61, 2))]
    with pytest.raises(Conflict, match="Somebody else changed"):
        edit_schedule(
            actor, subscription.id, version=version, schedule=DAILY, start_date=office.today, expiration_date=None,
            zone=office.zone,
        )  # fmt: skip


def test_a_schedule_that_never_runs_is_refused_and_nothing_changes(office: Office) -> None:
    subscription = office.subscription()
    with pytest.raises(Invalid) as refused:
        edit_schedule(
            office.operator(), subscription.id, version=1, schedule=DAILY, start_date=office.day(5),
            expiration_date=office.day(4), zone=office.zone,
        )  # fmt: skip
    assert refused.value.field == "expiration_date"
    assert office.subscription_now(subscription.id).version == 1


def test_dates_while_inactive_are_skipped_and_activating_never_runs_the_past(office: Office) -> None:
    subscription = office.subscription(schedule=None)
    actor = office.operator()
    inactivate_subscription(actor, subscription.id, version=1, reason="Asked by phone")
    past = office.due(subscription, days=-1)
    today = office.due(subscription)
    tomorrow = office.due(subscription, days=1)
    office.plan()
    assert office.work() == 0
    assert [office.status(row.id) for row in (past, today, tomorrow)] == [C.SKIPPED, C.SKIPPED, C.SCHEDULED]
    version = office.subscription_now(subscription.id).version
    activate_subscription(actor, subscription.id, version=version, zone=office.zone)
    assert office.work() == 0
    assert office.subscription_now(subscription.id).status is SubscriptionStatus.ACTIVE


def test_cancelling_ends_every_date_that_has_not_begun_and_no_other(office: Office) -> None:
    subscription = office.subscription(schedule=None)
    done = office.due(subscription)
    office.work()
    planned = [office.due(subscription, days=number) for number in (1, 2)]
    actor = office.operator()
    assert cancel_subscription(actor, subscription.id, version=1, reason="Moved away") == 2
    assert [office.status(row.id) for row in (done, *planned)] == [C.SUCCEEDED, C.CANCELLED, C.CANCELLED]
    with pytest.raises(Conflict):
        cancel_subscription(actor, subscription.id, version=office.subscription_now(subscription.id).version)
    version = office.subscription_now(subscription.id).version
    assert delete_subscription(actor, subscription.id, version=version) == 0
    assert office.subscription_now(subscription.id).deleted_at is not None
    assert [entry.event for entry in trail(entity="subscription", outcome="done")] == [
        "subscriptions.subscription.cancelled",
        "subscriptions.subscription.deleted",
    ]


def test_dates_that_could_not_run_in_time_are_missed_and_caught_up_only_by_people_a_few_at_a_time(
    office: Office,
) -> None:
    subscription = office.subscription(schedule=None)
    late = [office.due(subscription, days=-days) for days in (7, 6, 5, 4, 3)]
    in_time = office.due(subscription, days=-2)
    office.plan()
    assert [office.status(row.id) for row in (*late, in_time)] == [*[C.MISSED] * 5, C.SCHEDULED]
    assert office.work() == 1, "the grace window still runs by itself"
    actor = office.operator()
    outcome = catch_up(actor, charge_ids=[row.id for row in reversed(late)])
    assert outcome.done == [row.id for row in late[:3]]
    assert set(outcome.refused) == {row.id for row in late[3:]}
    assert office.work() == 3
    let_go(actor, late[3].id, reason="Too old")
    assert [office.status(row.id) for row in late] == [*[C.SUCCEEDED] * 3, C.SKIPPED, C.MISSED]
    assert catch_up(actor, charge_ids=[late[0].id]).refused[late[0].id] == "It is succeeded, not missed."


def test_an_expired_subscription_ends_by_itself(office: Office) -> None:
    over = office.subscription(start_date=office.day(-30), expiration_date=office.day(-1))
    last_day = office.subscription(start_date=office.day(-30), expiration_date=office.today)
    office.plan()
    assert office.subscription_now(over.id).status is SubscriptionStatus.EXPIRED
    assert office.subscription_now(last_day.id).status is SubscriptionStatus.ACTIVE
    assert office.dates(last_day.id) == [office.today]


def test_cancelling_dates_needs_the_code_and_refuses_what_has_begun_one_by_one(office: Office) -> None:
    subscription = office.subscription(schedule=None)
    begun, planned = office.due(subscription), office.due(subscription, days=1)
    actor = office.operator()
    chosen = [begun.id, planned.id]
    form = office.confirm(actor, chosen)
    with pytest.raises(Invalid) as refused:
        cancel_scheduled(actor, charge_ids=chosen, reason="Why", **(form | {"code": "000000"}))
    assert refused.value.field == "code"
    assert office.status(planned.id) is C.SCHEDULED
    office.work()
    outcome = cancel_scheduled(actor, charge_ids=chosen, reason="Why", **form)
    assert (outcome.done, outcome.refused) == ([planned.id], {begun.id: "It was already charged."})
    with pytest.raises(Invalid):
        cancel_scheduled(actor, charge_ids=chosen, reason="Why", **form)


def test_registering_refuses_what_makes_no_sense_and_plans_the_rest(office: Office) -> None:
    values = {
        "billing_number": "B-1",
        "customer_id": office.make.customer().id,
        "merchant_id": office.make.organization().id,
        "amount_minor": 9_99,
        "unit": office.make.unit().code,
        "method": office.make.method().code,
        "provider": "simulator",
        "card_token": "tok_visa",
        "schedule": Schedule(ScheduleKind.DATE, days=(1, 15), months=ALL_MONTHS),
        "start_date": office.today,
        "expiration_date": None,
        "zone": office.zone,
    }
    actor = office.operator()
    made = register_subscription(actor, **values)
    office.plan()
    assert office.subscription_now(made.id).status is SubscriptionStatus.ACTIVE
    assert all(date.day in {1, 15} for date in office.dates(made.id))
    for change, field in (
        ({"billing_number": "B-1"}, "billing_number"),
        ({"billing_number": ""}, "billing_number"),
        ({"amount_minor": 0}, "amount"),
        ({"unit": "XXX"}, "unit"),
        ({"card_token": None}, "card_token"),
        ({"start_date": office.day(-1)}, "start_date"),
        ({"expiration_date": office.day(-1)}, "expiration_date"),
    ):
        with pytest.raises((Invalid, Conflict)) as refused:
            register_subscription(actor, **({**values, "billing_number": "B-2"} | change))
        assert refused.value.field == field


def test_a_policy_in_use_stays_and_a_changed_type_or_policy_is_recorded(office: Office) -> None:
    subscription = office.subscription()
    actor = office.operator()
    values = {"delays_days": [1], "max_attempts": 2, "retryable_codes": [], "on_exhausted": OnExhausted.ON_HOLD}
    policy = save_retry_policy(actor, name="Twice", **values)
    choose_retry_policy(actor, subscription.id, version=1, retry_policy_id=policy.id)
    with pytest.raises(Conflict):
        delete_retry_policy(actor, policy.id)
    with pytest.raises(Conflict):
        save_retry_policy(actor, name="Twice", **values)
    with pytest.raises(Invalid):
        save_retry_policy(actor, name="Never", **(values | {"delays_days": []}))
    changed = save_retry_policy(actor, name="Two", policy_id=policy.id, version=1, **values)
    assert changed.name == "Two"
    version = office.subscription_now(subscription.id).version
    change_purpose(actor, subscription.id, version=version, purpose=Purpose.REMINDER)
    choose_retry_policy(actor, subscription.id, version=version + 1, retry_policy_id=None)
    delete_retry_policy(actor, policy.id)
    assert len(trail(entity="subscription")) == 3


def rows(office: Office, subscription_id: int):  # type: ignore[no-untyped-def]
    from sqlalchemy import select

    from payadmin.db import db
    from payadmin.models.subscriptions import ScheduledCharge

    return db.session.scalars(select(ScheduledCharge).where(ScheduledCharge.subscription_id == subscription_id)).all()
