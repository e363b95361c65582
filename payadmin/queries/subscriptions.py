"""Recurring charges: is anything due now."""

import datetime as dt

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from payadmin.models.subscriptions import (
    OPEN_ATTEMPTS,
    RETRIED,
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
    own = select(Subscription.id).where(Subscription.id == ScheduledCharge.subscription_id)
    # What a batch ordered asks no subscription.
    active = or_(
        own.where(Subscription.status == SubscriptionStatus.ACTIVE).exists(), ScheduledCharge.batch_row_id.is_not(None)
    )
    retried = own.where(Subscription.status.in_(RETRIED)).exists()
    open_attempts = select(ChargeAttempt.id).where(ChargeAttempt.state.in_(OPEN_ATTEMPTS), ChargeAttempt.act_at <= now)
    first_due = select(ScheduledCharge.id).where(due, active)
    first_again = select(ScheduledCharge.id).where(again, retried)
    return any(session.scalar(found.limit(1)) is not None for found in (open_attempts, first_due, first_again))
