"""Planning: turns schedules into due dates for the next weeks, and says what becomes of dates that could not run.

Everything here is safe to run twice, late, and in several schedulers at once: a due date is unique, every statement
names the state it starts from, and rows that another planner holds are left to it.
"""

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from payadmin import outbox
from payadmin.audit import Event
from payadmin.db import among
from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.schedules import dates
from payadmin.kernel.text import _
from payadmin.models.subscriptions import (
    EXPIRING,
    NOT_BEGUN,
    PLANNED,
    RETRIED,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    schedule_columns,
    schedule_of,
)
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

if TYPE_CHECKING:
    from sqlalchemy import Table

log = logging.getLogger(__name__)

HORIZON_DAYS = 60
# A date that did not run on its day may still run on the next two; after that a person decides (SC8).
GRACE_DAYS = 2
PLAN_AT_ONCE = 1_000
SWEEP_AT_ONCE = 500
# What could not be planned is tried again after this, because a new release may be able to.
PLAN_AGAIN_AFTER = dt.timedelta(hours=1)
UNREADABLE = "Its schedule cannot be read, so no new dates are planned. Edit its dates."
NOT_TRIED_AGAIN = "It was declined, and nothing could be charged on the day of the next try."

_SUBSCRIPTION = cast("Table", Subscription.__table__)
_CHARGE = cast("Table", ScheduledCharge.__table__)
_NEEDED = (
    "id",
    "amount_minor",
    "unit",
    "start_date",
    "expiration_date",
    "planned_until",
    "plan_failed_at",
    *schedule_columns(),
)


def business_day(work: Work, zone: ZoneInfo) -> dt.date:
    """Today in the business time zone, by the database's clock."""
    return outbox.database_now(work.session).astimezone(zone).date()


def invoice_number(subscription_id: int, due_date: dt.date) -> str:
    """The invoice number of a due date, and the reference under which the provider knows its charge."""
    return f"R{subscription_id:06}-{due_date:%Y%m%d}"


@use_case(Permission.SYSTEM_JOB_RUN)
def plan_some(work: Work, *, zone: ZoneInfo, limit: int = PLAN_AT_ONCE) -> int:
    """Write the due dates of up to `limit` subscriptions for the next 60 days; how many subscriptions were planned.

    What is there already stays as it is, so a date that staff cancelled is not brought back. One whose dates cannot be
    worked out is left to staff and passed over for an hour; it holds up no other, and what it has planned goes on.
    """
    today, now = business_day(work, zone), outbox.database_now(work.session)
    is_worth_it = or_(Subscription.plan_failed_at.is_(None), Subscription.plan_failed_at < now - PLAN_AGAIN_AFTER)
    horizon = today + dt.timedelta(days=HORIZON_DAYS)
    found: list[Any] = []
    # One after the other: with OR neither database finds both through the index.
    for unplanned in (Subscription.planned_until < horizon, Subscription.planned_until.is_(None)):
        wanted = (
            select(*(_SUBSCRIPTION.c[name] for name in _NEEDED))
            .where(among(Subscription.status, PLANNED), Subscription.schedule_kind.is_not(None), unplanned, is_worth_it)
            .limit(limit - len(found))
            .with_for_update(skip_locked=True)
        )
        found += work.session.execute(wanted).all()
    if not found:
        return 0
    rows: list[dict[str, Any]] = []
    planned: list[int] = []
    for row in found:
        try:
            rows += charges_of(row, today, horizon, work.now)
        except Exception as error:
            log.exception("subscription %s cannot be planned", row.id)
            _leave_unplanned(work, row, now, error)
        else:
            planned.append(row.id)
    if rows:
        _insert_missing(work, rows)
    if planned:
        values = {"planned_until": horizon, "plan_failed_at": None}
        statement = update(Subscription).where(Subscription.id.in_(planned)).values(**values)
        work.session.execute(statement.execution_options(synchronize_session=False, explained=True))
        work.record(Event.CHARGES_PLANNED, subscriptions=len(planned), dates=len(rows), through=horizon)
    return len(found)


def _leave_unplanned(work: Work, row: Any, now: dt.datetime, error: Exception) -> None:
    failed = update(Subscription).where(Subscription.id == row.id).values(plan_failed_at=now)
    work.session.execute(failed.execution_options(synchronize_session=False, explained=True))
    if row.plan_failed_at is not None:
        return  # it is known already
    subscription = work.get(Subscription, row.id)
    sentence = error.sentence if isinstance(error, Refusal) else f"Its dates could not be worked out: {error!r}"[:300]
    work.record(
        Event.SUBSCRIPTION_NOT_PLANNED,
        subscription,
        reason=sentence,
        outcome="failed",
        subscription_id=subscription.subscription_id,
        billing_number=subscription.billing_number,
    )


def charges_of(row: Any, today: dt.date, horizon: dt.date, now: dt.datetime) -> list[dict[str, Any]]:
    """The dates of one subscription up to `horizon` that its plan does not reach yet, as rows of the table.

    Raises:
        Invalid: nobody can read its schedule.
    """
    schedule = schedule_of(row)
    if schedule is None:
        raise Invalid(UNREADABLE)
    # From where the last plan ended, even if that was days ago: what nobody planned in time is missed, not forgotten.
    first = today if row.planned_until is None else row.planned_until + dt.timedelta(days=1)
    start = max(row.start_date, first)
    end = horizon if row.expiration_date is None else min(horizon, row.expiration_date)
    return [
        {
            "subscription_id": row.id,
            "due_date": date,
            "invoice_number": invoice_number(row.id, date),
            "status": ChargeStatus.SCHEDULED,
            "amount_minor": row.amount_minor,
            "unit": row.unit,
            "created_at": now,
            "updated_at": now,
        }
        for date in dates(schedule, start, end)
    ]


def plan_now(work: Work, subscription: Subscription, today: dt.date) -> None:
    """Write the dates of a subscription whose rule is new, so that no midnight comes between the rule and its dates."""
    if subscription.status not in PLANNED:
        return
    horizon = today + dt.timedelta(days=HORIZON_DAYS)
    rows = charges_of(subscription, today, horizon, work.now)
    if rows:
        _insert_missing(work, rows)
    values = {"planned_until": horizon, "plan_failed_at": None}
    planned = update(Subscription).where(Subscription.id == subscription.id).values(**values)
    work.session.execute(planned.execution_options(synchronize_session="fetch", explained=True))


def _insert_missing(work: Work, rows: list[dict[str, Any]]) -> None:
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    work.session.connection().execute(make(_CHARGE).on_conflict_do_nothing(), rows)


@use_case(Permission.SYSTEM_JOB_RUN)
def sweep_dates(work: Work, *, zone: ZoneInfo, limit: int = SWEEP_AT_ONCE) -> int:
    """Settle dates that are not to run: skipped while inactive (SC10), missed after the grace window (SC8).

    A try that falls due while its subscription may not be charged is given up: coming back never runs the past.

    Returns:
        How many rows were settled; call again while it is `limit`.
    """
    today, now = business_day(work, zone), outbox.database_now(work.session)
    scheduled = ScheduledCharge.status == ChargeStatus.SCHEDULED
    settled = 0
    for status, event, sentence, conditions in (
        (
            ChargeStatus.SKIPPED,
            Event.CHARGE_SKIPPED,
            _("The subscription was inactive on this date."),
            (scheduled, ScheduledCharge.due_date <= today, _subscription_is(SubscriptionStatus.INACTIVE)),
        ),
        (
            ChargeStatus.MISSED,
            Event.CHARGE_MISSED,
            _("This date could not run in time; decide whether to catch it up."),
            (
                scheduled,
                ScheduledCharge.due_date < today - dt.timedelta(days=GRACE_DAYS),
                or_(
                    _subscription_is(SubscriptionStatus.ACTIVE, SubscriptionStatus.ON_HOLD, SubscriptionStatus.ABORTED),
                    ScheduledCharge.batch_row_id.is_not(None),
                ),
            ),
        ),
        (
            ChargeStatus.FAILED,
            Event.CHARGE_FAILED,
            NOT_TRIED_AGAIN,
            (
                among(ScheduledCharge.status, (ChargeStatus.RETRY_WAIT,)),
                ScheduledCharge.next_attempt_at <= now,
                _subscription_is(*(status for status in SubscriptionStatus if status not in RETRIED)),
            ),
        ),
    ):
        late = (
            select(ScheduledCharge.id)
            .where(*conditions)
            .order_by(ScheduledCharge.due_date, ScheduledCharge.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        for charge_id in work.session.scalars(late).all():
            settled += settle_date(work, charge_id, status, event, sentence)
    return settled


def _subscription_is(*statuses: SubscriptionStatus) -> ColumnElement[bool]:
    return (
        select(Subscription.id)
        .where(Subscription.id == ScheduledCharge.subscription_id, Subscription.status.in_(statuses))
        .exists()
    )


def settle_date(
    work: Work,
    charge_id: int,
    status: ChargeStatus,
    event: Event,
    sentence: str,
    *,
    sources: tuple[ChargeStatus, ...] = NOT_BEGUN,
) -> bool:
    """Move one due date that has not begun to `status`, with a word in the trail; False when a worker has it.

    Args:
        sources: the states that it may leave; ENQUEUED only for whoever has taken its attempt back.
    """
    # The machine alone would let a date go that a worker has just taken, and whose attempt is about to be sent.
    not_begun = ScheduledCharge.status.in_(sources)
    values = {"status": status, "message": sentence[:300], "next_attempt_at": None}
    if not work.change(ScheduledCharge, charge_id, when=(not_begun,), **values):
        return False
    charge = work.get(ScheduledCharge, charge_id)
    work.record(
        event,
        charge,
        after={"status": status},
        reason=sentence,
        invoice_number=charge.invoice_number,
        subscription=charge.subscription_id,
    )
    return True


@use_case(Permission.SYSTEM_JOB_RUN)
def expire_some(work: Work, *, zone: ZoneInfo, limit: int = SWEEP_AT_ONCE) -> int:
    """End subscriptions whose expiration date has passed (SB3); how many.

    One that still has a date to run or to settle waits for it: nobody would look at that date any more.
    """
    today = business_day(work, zone)
    unsettled = select(ScheduledCharge.id).where(
        ScheduledCharge.subscription_id == Subscription.id, ScheduledCharge.status == ChargeStatus.SCHEDULED
    )
    found = work.session.scalars(
        select(Subscription.id)
        .where(
            Subscription.expiration_date < today,
            among(Subscription.status, EXPIRING),
            ~unsettled.exists(),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for subscription_id in found:
        if work.change(Subscription, subscription_id, status=SubscriptionStatus.EXPIRED):
            subscription = work.get(Subscription, subscription_id)
            work.record(
                Event.SUBSCRIPTION_EXPIRED,
                subscription,
                after={"status": SubscriptionStatus.EXPIRED},
                subscription_id=subscription.subscription_id,
                billing_number=subscription.billing_number,
            )
    return len(found)
