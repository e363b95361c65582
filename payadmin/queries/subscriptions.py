"""Recurring charges: is anything due now."""

import datetime as dt

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from payadmin.models.subscriptions import (
    OPEN_ATTEMPTS,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
)


def charges_waiting(session: Session, *, now: dt.datetime, first: dt.date, today: dt.date) -> bool:
    """Whether a worker would find something to charge, to try again or to ask about.

    Args:
        now: the database's time.
        first: the earliest date that may still run.
        today: the business day.
    """
    due = (ScheduledCharge.status == ChargeStatus.SCHEDULED) & ScheduledCharge.due_date.between(first, today)
    again = (ScheduledCharge.status == ChargeStatus.RETRY_WAIT) & (ScheduledCharge.next_attempt_at <= now)
    active = exists().where(
        Subscription.id == ScheduledCharge.subscription_id, Subscription.status == SubscriptionStatus.ACTIVE
    )
    charges = select(ScheduledCharge.id).where(or_(due, again), active)
    open_attempts = select(ChargeAttempt.id).where(ChargeAttempt.state.in_(OPEN_ATTEMPTS), ChargeAttempt.act_at <= now)
    return any(session.scalar(found.limit(1)) is not None for found in (open_attempts, charges))
