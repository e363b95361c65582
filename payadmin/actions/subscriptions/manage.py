"""What staff do to a subscription: register, edit dates, inactivate, activate, change its type, cancel, delete."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select

from payadmin import outbox
from payadmin.actions.subscriptions.planning import NOT_TRIED_AGAIN, business_day, plan_now, settle_date
from payadmin.actions.subscriptions.registering import keys_of, register
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.schedules import Schedule, check
from payadmin.kernel.text import Text, _
from payadmin.models.subscriptions import (
    ENDED,
    NOT_BEGUN,
    ChargeStatus,
    Purpose,
    RetryPolicy,
    ScheduledCharge,
    Subscription,
    SubscriptionOrigin,
    SubscriptionStatus,
    schedule_columns,
    schedule_values,
)
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

MOVED_ON = "Somebody else changed this subscription meanwhile. Reload it and try again."


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
def register_subscription(
    work: Work,
    *,
    billing_number: str,
    customer_id: int,
    merchant_id: int,
    amount_minor: int,
    unit: str,
    method: str,
    provider: str,
    card_token: str | None,
    schedule: Schedule,
    start_date: dt.date,
    expiration_date: dt.date | None,
    zone: ZoneInfo,
    purpose: Purpose = Purpose.RECURRING,
    origin: SubscriptionOrigin = SubscriptionOrigin.BACKOFFICE,
    card_last4: str | None = None,
    card_expires_on: dt.date | None = None,
    retry_policy_id: int | None = None,
) -> Subscription:
    """Register an active subscription, with the dates of the next weeks.

    Raises:
        NotFound: no such customer, merchant or retry policy.
        Invalid: a schedule that never runs, an amount or unit that makes no sense, a charge without a card token.
        Conflict: the merchant has this billing number already.
    """
    return register(
        work,
        billing_number=billing_number,
        customer_id=customer_id,
        merchant_id=merchant_id,
        amount_minor=amount_minor,
        unit=unit,
        method=method,
        provider=provider,
        card_token=card_token,
        schedule=schedule,
        start_date=start_date,
        expiration_date=expiration_date,
        zone=zone,
        purpose=purpose,
        origin=origin,
        card_last4=card_last4,
        card_expires_on=card_expires_on,
        retry_policy_id=retry_policy_id,
    )


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def edit_schedule(
    work: Work,
    subscription_id: int,
    *,
    version: int,
    schedule: Schedule,
    start_date: dt.date,
    expiration_date: dt.date | None,
    zone: ZoneInfo,
) -> Subscription:
    """Give a subscription other dates; planned dates that nobody decided about are planned anew (SC7).

    Charges that are already on their way, and dates that staff cancelled by themselves, stay as they are.

    Args:
        version: the version that the form showed; if the row has moved on, nothing is changed.

    Raises:
        Invalid: the schedule never runs, or its dates contradict each other.
        Conflict: the subscription has ended or has no card to charge, or somebody else changed it meanwhile.
    """
    subscription = _open(work, subscription_id)
    if subscription.purpose is Purpose.RECURRING and not subscription.card_token:
        raise Conflict("The subscription has no stored card to charge: change its type to Reminder first.")
    check(
        schedule,
        start=start_date,
        expiration=expiration_date,
        today=business_day(work, zone),
        changed=schedule != subscription.schedule,
    )
    before = _dates_of(subscription)
    after = {**schedule_values(schedule), "start_date": start_date, "expiration_date": expiration_date}
    _change(work, subscription, version, **after, planned_until=None, plan_failed_at=None)
    today = business_day(work, zone)
    forgotten = _forget_plan(work, subscription_id, today)
    plan_now(work, subscription, today)
    work.record(
        Event.SUBSCRIPTION_SCHEDULE_CHANGED,
        subscription,
        before=before,
        after=after,
        schedule=str(schedule),
        dates_planned_anew=forgotten,
        **keys_of(subscription),
    )
    return subscription


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def inactivate_subscription(work: Work, subscription_id: int, *, version: int, reason: str | None = None) -> None:
    """Stop charging until it is activated again; dates that fall due meanwhile are skipped (SC10).

    Raises:
        Conflict: it is not active, or somebody else changed it meanwhile.
    """
    _move_subscription(
        work, subscription_id, version, SubscriptionStatus.INACTIVE, event=Event.SUBSCRIPTION_INACTIVATED, reason=reason
    )


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def activate_subscription(
    work: Work, subscription_id: int, *, version: int, zone: ZoneInfo, reason: str | None = None
) -> None:
    """Charge again from today on; what fell due before is never run by itself (SC10).

    Dates that passed while it was inactive are skipped; those that passed on hold or aborted are missed, so that staff
    decide about them.

    Raises:
        Conflict: it cannot be activated from its status, or somebody else changed it meanwhile.
    """
    subscription = work.get(Subscription, subscription_id, lock=True)
    today = business_day(work, zone)
    if subscription.expiration_date is not None and subscription.expiration_date < today:
        raise Conflict("The subscription has expired: edit its expiration date first.")
    was_inactive = subscription.status is SubscriptionStatus.INACTIVE
    held_as = subscription.status.value.lower()
    _move_subscription(
        work, subscription_id, version, SubscriptionStatus.ACTIVE, event=Event.SUBSCRIPTION_ACTIVATED, reason=reason
    )
    late = (ScheduledCharge.due_date < today, ScheduledCharge.status == ChargeStatus.SCHEDULED)
    for charge_id in _charge_ids(work, subscription_id, *late):
        sentence = _("The subscription was %(held_as)s on this date.", held_as=held_as)
        if was_inactive:
            settle_date(work, charge_id, ChargeStatus.SKIPPED, Event.CHARGE_SKIPPED, sentence)
        else:
            settle_date(work, charge_id, ChargeStatus.MISSED, Event.CHARGE_MISSED, sentence)
    tries = (
        ScheduledCharge.next_attempt_at <= outbox.database_now(work.session),
        ScheduledCharge.status == ChargeStatus.RETRY_WAIT,
    )
    for charge_id in _charge_ids(work, subscription_id, *tries):
        settle_date(work, charge_id, ChargeStatus.FAILED, Event.CHARGE_FAILED, NOT_TRIED_AGAIN)
    values: dict[str, Any] = {"consecutive_failures": 0}
    if subscription.planned_until is not None and subscription.planned_until < today:
        values["planned_until"] = today - dt.timedelta(days=1)
    work.change(Subscription, subscription_id, **values)


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def change_purpose(work: Work, subscription_id: int, *, version: int, purpose: Purpose) -> None:
    """Make it charge (RECURRING) or only remind (REMINDER) from its next date on.

    Raises:
        Invalid: it would charge but has no stored card.
        Conflict: it has ended, or somebody else changed it meanwhile.
    """
    subscription = _open(work, subscription_id)
    if purpose is Purpose.RECURRING and not subscription.card_token:
        raise Invalid("A recurring charge needs a stored card.", field="purpose")
    before = subscription.purpose
    if before is purpose:
        raise Conflict(_("The subscription is of the type %(purpose)s already.", purpose=Text(purpose.value).lower()))
    _change(work, subscription, version, purpose=purpose)
    work.record(
        Event.SUBSCRIPTION_TYPE_CHANGED,
        subscription,
        before={"purpose": before},
        after={"purpose": purpose},
        **keys_of(subscription),
    )


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def cancel_subscription(work: Work, subscription_id: int, *, version: int, reason: str | None = None) -> int:
    """End a subscription for good, with every date that has not begun; charges on their way finish (SB2).

    Returns:
        How many planned dates were cancelled with it.

    Raises:
        Conflict: it has ended already, or somebody else changed it meanwhile.
    """
    return _cancel(work, subscription_id, version, reason)


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def delete_subscription(work: Work, subscription_id: int, *, version: int, reason: str | None = None) -> int:
    """Cancel a subscription and take it off the lists; its history stays (T13).

    Returns:
        How many planned dates were cancelled with it.

    Raises:
        Conflict: it is deleted already, or somebody else changed it meanwhile.
    """
    subscription = work.get(Subscription, subscription_id, lock=True)
    if subscription.deleted_at is not None:
        raise Conflict("The subscription is deleted already.")
    if subscription.status in ENDED:
        cancelled = _cancel_dates(work, subscription_id, _("The subscription was deleted."))
    else:
        cancelled = _cancel(work, subscription_id, version, reason)
        version = subscription.version
    _change(work, subscription, version, deleted_at=work.now)
    work.record(Event.SUBSCRIPTION_DELETED, subscription, reason=reason, **keys_of(subscription))
    return cancelled


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=Subscription)
def choose_retry_policy(work: Work, subscription_id: int, *, version: int, retry_policy_id: int | None) -> None:
    """Say how declined charges of a subscription are tried again; None: not at all.

    Raises:
        NotFound: no such policy.
        Conflict: it has ended, or somebody else changed it meanwhile.
    """
    subscription = _open(work, subscription_id)
    if retry_policy_id is not None:
        work.get(RetryPolicy, retry_policy_id, lock=True)
    before = subscription.retry_policy_id
    _change(work, subscription, version, retry_policy_id=retry_policy_id)
    work.record(
        Event.SUBSCRIPTION_POLICY_CHOSEN,
        subscription,
        before={"retry_policy_id": before},
        after={"retry_policy_id": retry_policy_id},
        **keys_of(subscription),
    )


def _open(work: Work, subscription_id: int) -> Subscription:
    subscription = work.get(Subscription, subscription_id, lock=True)
    if subscription.status in ENDED or subscription.deleted_at is not None:
        raise Conflict(
            _(
                "The subscription is %(status)s and cannot be changed any more.",
                status=Text(subscription.status.value).lower(),
            )
        )
    return subscription


def _change(work: Work, subscription: Subscription, version: int, **values: Any) -> None:
    if not work.change(Subscription, subscription.id, when=(Subscription.version == version,), **values):
        raise Conflict(MOVED_ON)


def _move_subscription(
    work: Work, subscription_id: int, version: int, status: SubscriptionStatus, *, event: Event, reason: str | None
) -> None:
    subscription = work.get(Subscription, subscription_id, lock=True)
    before = subscription.status
    if subscription.deleted_at is not None:
        raise Conflict("The subscription is deleted.")
    if not Subscription.machine.allows(before, status):
        raise Conflict(
            _(
                "A subscription that is %(before)s cannot become %(status)s.",
                before=Text(before.value).lower(),
                status=Text(status.value).lower(),
            )
        )
    since = {"inactivated_at": work.now} if status is SubscriptionStatus.INACTIVE else {}
    _change(work, subscription, version, status=status, **since)
    work.record(
        event, subscription, before={"status": before}, after={"status": status}, reason=reason, **keys_of(subscription)
    )


def _cancel(work: Work, subscription_id: int, version: int, reason: str | None) -> int:
    _move_subscription(
        work, subscription_id, version, SubscriptionStatus.CANCELLED, event=Event.SUBSCRIPTION_CANCELLED, reason=reason
    )
    return _cancel_dates(work, subscription_id, _("The subscription was cancelled."))


def _cancel_dates(work: Work, subscription_id: int, sentence: str) -> int:
    return sum(
        settle_date(work, charge_id, ChargeStatus.CANCELLED, Event.CHARGE_CANCELLED, sentence)
        for charge_id in _charge_ids(work, subscription_id, ScheduledCharge.status.in_(NOT_BEGUN))
    )


def _charge_ids(work: Work, subscription_id: int, *conditions: Any) -> list[int]:
    found = select(ScheduledCharge.id).where(ScheduledCharge.subscription_id == subscription_id, *conditions)
    return list(work.session.scalars(found.order_by(ScheduledCharge.due_date)).all())


def _forget_plan(work: Work, subscription_id: int, today: dt.date) -> int:
    """Remove planned dates that nobody decided about and no worker has taken: they were only a forecast."""
    planned = delete(ScheduledCharge).where(
        ScheduledCharge.subscription_id == subscription_id,
        ScheduledCharge.status == ChargeStatus.SCHEDULED,
        ScheduledCharge.due_date >= today,
        ScheduledCharge.is_touched.is_(False),
    )
    result = work.session.execute(planned.execution_options(synchronize_session=False, explained=True))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _dates_of(subscription: Subscription) -> dict[str, object]:
    names = (*schedule_columns(), "start_date", "expiration_date")
    return {name: getattr(subscription, name) for name in names}
