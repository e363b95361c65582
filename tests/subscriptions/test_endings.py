"""No due date is left behind, and none is charged, when its subscription ends, is held, is deleted or comes back."""

import datetime as dt

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from payadmin.actions.subscriptions import (
    activate_subscription,
    cancel_subscription,
    catch_up,
    change_purpose,
    delete_subscription,
    inactivate_subscription,
    save_retry_policy,
)
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.charging import Report, book_charges, claim_charges
from payadmin.db import db
from payadmin.models.subscriptions import (
    ChargeStatus,
    OnExhausted,
    Purpose,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    WebhookDelivery,
)
from payadmin.providers import Answer, Outcome
from payadmin.work import SYSTEM
from tests.support.billing import Office, pass_time

C, S = ChargeStatus, SubscriptionStatus
LEASE = dt.timedelta(seconds=4)


def patient(delays: tuple[int, ...] = (1, 3)) -> int:
    return save_retry_policy(
        SYSTEM, name="Patient", delays_days=delays, max_attempts=3, retryable_codes=[], on_exhausted=OnExhausted.ON_HOLD
    ).id


def waiting_to_retry(office: Office, **values: object) -> ScheduledCharge:
    charge = office.due(office.subscription(schedule=None, retry_policy_id=patient(), **values))
    office.simulator.script(charge.invoice_number, ["decline", "ok"])
    office.work()
    assert office.status(charge.id) is C.RETRY_WAIT
    return charge


def becomes(subscription_id: int, **values: object) -> None:
    """What passing days do to a subscription."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(Subscription).where(Subscription.id == subscription_id).values(**values))


def test_a_date_that_could_not_run_on_the_last_day_still_runs_before_the_subscription_expires(office: Office) -> None:
    subscription = office.subscription(schedule=None, start_date=office.day(-30), expiration_date=office.day(-1))
    last = office.due(subscription, days=-1)
    office.plan()
    assert office.work() == 1
    assert office.status(last.id) is C.SUCCEEDED
    office.plan()
    assert office.subscription_now(subscription.id).status is S.EXPIRED


def test_a_last_date_that_nobody_ran_in_time_is_missed_and_then_the_subscription_expires(office: Office) -> None:
    subscription = office.subscription(schedule=None, start_date=office.day(-30), expiration_date=office.day(-3))
    last = office.due(subscription, days=-3)
    office.plan()
    office.plan()
    assert office.status(last.id) is C.MISSED
    assert office.subscription_now(subscription.id).status is S.EXPIRED


def test_a_missed_last_date_is_charged_after_all_although_the_subscription_has_expired(office: Office) -> None:
    subscription = office.subscription(schedule=None, start_date=office.day(-30), expiration_date=office.day(-3))
    last = office.due(subscription, days=-3)
    office.plan()
    office.plan()
    assert office.subscription_now(subscription.id).status is S.EXPIRED
    assert catch_up(office.operator(), charge_ids=[last.id]).done == [last.id]
    office.settle()
    assert office.status(last.id) is C.SUCCEEDED
    assert office.simulator.captured(last.invoice_number) == [10_00]


@pytest.mark.parametrize("status", [S.INACTIVE, S.ON_HOLD, S.ABORTED, S.CANCELLED])
def test_a_missed_date_of_a_subscription_that_may_not_be_charged_is_refused(
    office: Office, status: SubscriptionStatus
) -> None:
    missed = office.due(office.subscription(schedule=None, status=status), days=-5, status=C.MISSED)
    refused = catch_up(office.operator(), charge_ids=[missed.id]).refused
    assert refused == {missed.id: f"The subscription is {status.value.lower()}."}


def test_a_declined_charge_of_what_only_reminds_now_is_given_up_and_no_reminder_comes_late(office: Office) -> None:
    charge = waiting_to_retry(office)
    change_purpose(
        SYSTEM, charge.subscription_id, version=office.subscription_now(charge.subscription_id).version,
        purpose=Purpose.REMINDER,
    )  # fmt: skip
    pass_time(days=1.1)
    office.work()
    row = office.charge(charge.id)
    assert (row.status, row.next_attempt_at, row.needs_staff) == (C.FAILED, None, False)
    assert row.message == "It was declined, and the subscription only reminds now, so it is not tried again."
    assert office.attempts(charge.id) == ["DECLINED"]
    assert db.session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    assert office.simulator.captured(charge.invoice_number) == []
    assert office.work() == 0


def test_the_database_refuses_a_try_without_a_time(office: Office) -> None:
    charge = waiting_to_retry(office)
    with pytest.raises(IntegrityError), db.engine.begin() as connection:
        connection.execute(update(ScheduledCharge).where(ScheduledCharge.id == charge.id).values(next_attempt_at=None))


def test_a_declined_last_date_is_tried_again_although_the_subscription_has_expired(office: Office) -> None:
    charge = waiting_to_retry(office, start_date=office.day(-30), expiration_date=office.today)
    becomes(charge.subscription_id, expiration_date=office.day(-1))
    office.plan()
    assert office.subscription_now(charge.subscription_id).status is S.EXPIRED
    pass_time(days=1.1)
    assert office.work() == 1
    assert office.status(charge.id) is C.SUCCEEDED


@pytest.mark.parametrize("status", [S.INACTIVE, S.ON_HOLD, S.ABORTED, S.CANCELLED])
def test_a_try_that_falls_due_while_nothing_may_be_charged_is_given_up_and_never_made_later(
    office: Office, status: SubscriptionStatus
) -> None:
    charge = waiting_to_retry(office)
    becomes(charge.subscription_id, status=status)
    office.plan()
    assert office.status(charge.id) is C.RETRY_WAIT, "its day has not come"
    pass_time(days=1.1)
    assert office.work() == 0
    office.plan()
    row = office.charge(charge.id)
    assert (row.status, row.next_attempt_at) == (C.FAILED, None)
    if status is not S.CANCELLED:
        version = office.subscription_now(charge.subscription_id).version
        activate_subscription(SYSTEM, charge.subscription_id, version=version, zone=office.zone)
    assert office.work() == 0
    assert office.simulator.captured(charge.invoice_number) == []


def test_a_subscription_that_comes_back_before_the_day_of_the_next_try_is_tried_again(office: Office) -> None:
    charge = waiting_to_retry(office)
    version = office.subscription_now(charge.subscription_id).version
    inactivate_subscription(SYSTEM, charge.subscription_id, version=version)
    office.plan()
    version = office.subscription_now(charge.subscription_id).version
    activate_subscription(SYSTEM, charge.subscription_id, version=version, zone=office.zone)
    pass_time(days=1.1)
    assert office.work() == 1
    assert office.status(charge.id) is C.SUCCEEDED


def test_activating_never_makes_a_try_that_fell_due_while_no_scheduler_ran(office: Office) -> None:
    charge = waiting_to_retry(office)
    becomes(charge.subscription_id, status=S.ON_HOLD)
    pass_time(days=1.1)
    version = office.subscription_now(charge.subscription_id).version
    activate_subscription(SYSTEM, charge.subscription_id, version=version, zone=office.zone)
    assert office.work() == 0
    assert office.status(charge.id) is C.FAILED


def test_dates_that_fell_due_on_hold_are_left_to_people_when_it_comes_back(office: Office) -> None:
    subscription = office.subscription(schedule=None, status=S.ON_HOLD)
    yesterday, today = office.due(subscription, days=-1), office.due(subscription)
    office.plan()
    assert office.work() == 0
    activate_subscription(SYSTEM, subscription.id, version=1, zone=office.zone)
    assert office.work() == 1
    assert [office.status(row.id) for row in (yesterday, today)] == [C.MISSED, C.SUCCEEDED]


def test_a_charge_on_its_way_when_its_subscription_is_cancelled_finishes_and_is_not_tried_again(office: Office) -> None:
    charge = office.due(office.subscription(schedule=None, retry_policy_id=patient()))
    enqueue_due(SYSTEM, zone=office.zone)
    [claim] = claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows={"simulator": dt.timedelta(hours=20)})
    cancel_subscription(SYSTEM, charge.subscription_id, version=1)
    report = Report(claim, Answer(Outcome.DECLINED, code="generic_decline"))
    book_charges(SYSTEM, reports=[report], key_window=dt.timedelta(hours=20), quiet=dt.timedelta(seconds=11))
    assert office.status(charge.id) is C.FAILED
    assert office.subscription_now(charge.subscription_id).status is S.CANCELLED


def test_deleting_an_expired_subscription_ends_its_open_dates_too(office: Office) -> None:
    charge = waiting_to_retry(office)
    missed = office.due(office.subscription_now(charge.subscription_id), days=-9, status=C.MISSED)
    becomes(charge.subscription_id, status=S.EXPIRED)
    version = office.subscription_now(charge.subscription_id).version
    assert delete_subscription(SYSTEM, charge.subscription_id, version=version) == 2
    assert [office.status(row.id) for row in (charge, missed)] == [C.CANCELLED, C.CANCELLED]
    pass_time(days=2)
    assert office.work() == 0
