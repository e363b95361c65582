"""Recurring charges: is anything due now, and what is planned."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from payadmin.db import among
from payadmin.kernel.schedules import next_dates
from payadmin.kernel.text import _
from payadmin.models.batches import Batch, BatchRow
from payadmin.models.parties import Customer, CustomerStatus
from payadmin.models.subscriptions import (
    IN_HAND,
    NOT_BEGUN,
    OPEN_ATTEMPTS,
    RETRIED,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    schedule_columns,
    schedule_of,
)

# Longer than any grace window: what is planned earlier than this is about to be settled.
RECENT = dt.timedelta(days=31)
RUNS = (SubscriptionStatus.ACTIVE, SubscriptionStatus.ON_HOLD)


# What a charge is known by, whether its subscription or a row of a batch ordered it.
BILLING_NUMBER = func.coalesce(Subscription.billing_number, BatchRow.billing_number)
CUSTOMER_ID = func.coalesce(Subscription.customer_id, BatchRow.customer_id)


def with_orders(statement: Any) -> "Select[Any]":
    """Join what ordered each scheduled charge: one of the two is always missing."""
    of_subscription = Subscription.id == ScheduledCharge.subscription_id
    joined: Select[Any] = statement.outerjoin(Subscription, of_subscription)
    return joined.outerjoin(BatchRow, BatchRow.id == ScheduledCharge.batch_row_id)


def charges_waiting(session: Session, *, now: dt.datetime, first: dt.date, today: dt.date) -> bool:
    """Whether a worker would find something to charge, to try again or to ask about.

    Args:
        now: the database's time.
        first: the earliest date that may still run.
        today: the business day.
    """
    due = (ScheduledCharge.status == ChargeStatus.SCHEDULED) & ScheduledCharge.due_date.between(first, today)
    again = among(ScheduledCharge.status, (ChargeStatus.RETRY_WAIT,)) & (ScheduledCharge.next_attempt_at <= now)
    own = select(Subscription.id).where(Subscription.id == ScheduledCharge.subscription_id)
    # What a batch ordered asks no subscription.
    # What is held back because its customer is blocked waits for staff, not for a worker.
    payer = select(Customer.id).where(Customer.id == Subscription.customer_id, Customer.status == CustomerStatus.ACTIVE)
    own = own.where(payer.exists())
    active = or_(
        own.where(Subscription.status == SubscriptionStatus.ACTIVE).exists(), ScheduledCharge.batch_row_id.is_not(None)
    )
    retried = own.where(Subscription.status.in_(RETRIED)).exists()
    open_attempts = select(ChargeAttempt.id).where(
        among(ChargeAttempt.state, OPEN_ATTEMPTS), ChargeAttempt.act_at <= now
    )
    first_due = select(ScheduledCharge.id).where(due, active)
    first_again = select(ScheduledCharge.id).where(again, retried)
    return any(session.scalar(found.limit(1)) is not None for found in (open_attempts, first_due, first_again))


# ---- what pages show ---------------------------------------------------------------------------------------------


def next_payment_dates(session: Session, subscription_ids: Collection[int], *, today: dt.date) -> dict[int, dt.date]:
    """When each subscription that runs pays next: its earliest planned date (SB4); one query, whatever their number.

    A date beyond what is planned so far is worked out from the rule. What is inactive or has ended pays no more, so it
    has no next date. Only recent dates are looked at: an older one is settled as missed or skipped, so years of history
    cost nothing.
    """
    if not subscription_ids:
        return {}
    planned = (
        select(func.min(ScheduledCharge.due_date))
        .where(
            ScheduledCharge.subscription_id == Subscription.id,
            ScheduledCharge.due_date >= today - RECENT,
            ScheduledCharge.status == ChargeStatus.SCHEDULED,
        )
        .scalar_subquery()
    )
    names = ("id", "start_date", "expiration_date", "planned_until", *schedule_columns())
    found = select(planned.label("planned"), *(getattr(Subscription, name) for name in names)).where(
        Subscription.id.in_(subscription_ids), Subscription.status.in_(RUNS)
    )
    dates = ((row.id, row.planned or _beyond_plan(row, today)) for row in session.execute(found))
    return {row_id: date for row_id, date in dates if date is not None}


def _beyond_plan(row: Any, today: dt.date) -> dt.date | None:
    schedule = schedule_of(row)
    if schedule is None:
        return None
    day = dt.timedelta(days=1)
    after = max(row.planned_until or today - day, today - day, row.start_date - day)
    return next(iter(next_dates(schedule, after, 1, until=row.expiration_date)), None)


def schedules_in_words(session: Session, subscription_ids: Collection[int]) -> dict[int, str]:
    """What the schedule of each subscription says; imported history has none. One query, whatever their number."""
    if not subscription_ids:
        return {}
    columns = (getattr(Subscription, name) for name in schedule_columns())
    wanted = Subscription.id.in_(subscription_ids), Subscription.schedule_kind.is_not(None)
    found = session.execute(select(Subscription.id, *columns).where(*wanted))
    return {row.id: str(schedule_of(row) or _("Cannot be read")) for row in found}


def batches_of(session: Session, subscription_ids: Collection[int]) -> dict[int, tuple[int, str]]:
    """The batch file that each subscription was registered by, as its id and name; one query, whatever their number."""
    if not subscription_ids:
        return {}
    found = (
        select(Subscription.id, Batch.id, Batch.file_name)
        .join(BatchRow, BatchRow.id == Subscription.batch_row_id)
        .join(Batch, Batch.id == BatchRow.batch_id)
        .where(Subscription.id.in_(subscription_ids))
    )
    return {row_id: (batch_id, name) for row_id, batch_id, name in session.execute(found)}


def providers_in_use(session: Session) -> list[str]:
    """Every provider that a subscription names, found by jumping from one to the next in the index."""
    first = select(func.min(Subscription.provider).label("code")).cte("known", recursive=True)
    later = select(func.min(Subscription.provider)).where(Subscription.provider > first.c.code).scalar_subquery()
    known = first.union_all(select(later).where(first.c.code.is_not(None)))
    return list(session.scalars(select(known.c.code).where(known.c.code.is_not(None))).all())


@dataclass(frozen=True)
class Plan:
    """What is planned for one subscription and what is on its way.

    Attributes:
        waiting: how many dates have not begun; ending the subscription cancels them.
        in_hand: the charges that a worker or the provider has; they finish whatever happens.
        upcoming: the next dates, earliest first.
    """

    waiting: int
    in_hand: Sequence[ScheduledCharge]
    upcoming: Sequence[ScheduledCharge]


def charges_in_hand(session: Session, subscription_id: int) -> Sequence[ScheduledCharge]:
    """The charges of a subscription that a worker or the provider has, earliest first."""
    own = (ScheduledCharge.subscription_id == subscription_id, ScheduledCharge.status.in_(IN_HAND))
    return session.scalars(select(ScheduledCharge).where(*own).order_by(ScheduledCharge.due_date)).all()


def plan_of(session: Session, subscription_id: int, *, most: int) -> Plan:
    """The open dates of a subscription.

    Args:
        subscription_id: whose.
        most: how many upcoming dates are wanted.
    """
    waiting = (ScheduledCharge.subscription_id == subscription_id, ScheduledCharge.status.in_(NOT_BEGUN))
    first = select(ScheduledCharge).where(*waiting).order_by(ScheduledCharge.due_date).limit(most)
    return Plan(
        waiting=session.scalar(select(func.count()).where(*waiting)) or 0,
        in_hand=charges_in_hand(session, subscription_id),
        upcoming=session.scalars(first).all(),
    )
