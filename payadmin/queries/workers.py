"""What the database knows of the work behind the pages: who lives, what is promised, what is due, who is paused."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, func, or_, select, text
from sqlalchemy.orm import Session

from payadmin.models.outbox import Heartbeat, OutboxMessage, OutboxState
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    ProviderBreaker,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
)

# A sign of life is missed twice before anybody is called late: workers give one every 30 seconds, schedulers at every
# tick, which may take as long as what it does itself when nobody else can be rung.
LATE_AFTER = {
    "worker": dt.timedelta(seconds=90),
    "scheduler": dt.timedelta(seconds=60),
    "planner": dt.timedelta(seconds=120),
}
COUNT_CAP = 10_000
MOST_SHOWN = 50
# As the partial indexes say it: a planner must recognise the condition before it knows the values.
_OPEN_MESSAGE = text("state IN ('DUE', 'RUNNING')")
_OPEN_ATTEMPT = text("state IN ('DUE', 'SENDING', 'UNKNOWN')")


@dataclass(frozen=True)
class Sign:
    """The last sign of life of a worker, a scheduler or the planner."""

    name: str
    kind: str
    at: dt.datetime
    age: dt.timedelta
    is_late: bool


@dataclass(frozen=True)
class Promises:
    """The outbox: how many messages wait, run, or were given up; numbers stop at `COUNT_CAP` + 1."""

    due: int
    later: int
    running: int
    oldest_due_at: dt.datetime | None
    given_up: int
    newest_given_up: Sequence[OutboxMessage]


@dataclass(frozen=True)
class Charges:
    """Recurring charges: what is due and not taken, what is in hand by state, and what staff must decide."""

    due: int
    to_retry: int
    in_hand: Mapping[AttemptState, tuple[int, dt.datetime]]
    undecided: int


def signs_of_life(session: Session, now: dt.datetime) -> list[Sign]:
    """Every worker, scheduler and planner that gave a sign lately: schedulers first, those that are silent last."""
    rows = session.scalars(select(Heartbeat).order_by(Heartbeat.kind, Heartbeat.name)).all()
    found = [
        Sign(row.name, row.kind, row.at, max(now - row.at, dt.timedelta()), now - row.at > LATE_AFTER[row.kind])
        for row in rows
        if row.kind in LATE_AFTER
    ]
    return sorted(found, key=lambda sign: (sign.kind, sign.is_late, sign.name))


def promises(session: Session, now: dt.datetime) -> Promises:
    """The outbox as it is now."""
    some = select(OutboxMessage.state, OutboxMessage.due_at).where(_OPEN_MESSAGE).limit(COUNT_CAP + 1).subquery()
    kind = case(
        (some.c.state == OutboxState.RUNNING, "running"),
        (some.c.due_at <= now, "due"),
        else_="later",
    )
    counted = {
        name: (number, oldest)
        for name, number, oldest in session.execute(select(kind, func.count(), func.min(some.c.due_at)).group_by(kind))
    }
    numbers = {name: number for name, (number, _) in counted.items()}
    given_up = text("state = 'DEAD'")
    newest = select(OutboxMessage).where(given_up).order_by(OutboxMessage.id.desc()).limit(MOST_SHOWN)
    return Promises(
        due=numbers.get("due", 0),
        later=numbers.get("later", 0),
        running=numbers.get("running", 0),
        oldest_due_at=counted["due"][1] if "due" in counted else None,
        given_up=_capped(session, select(OutboxMessage.id).where(given_up)),
        newest_given_up=session.scalars(newest.execution_options(populate_existing=True)).all(),
    )


def charges(session: Session, now: dt.datetime, *, first: dt.date, today: dt.date) -> Charges:
    """Recurring charges as they are now.

    Args:
        now: the database's time.
        first: the earliest date that may still run.
        today: the business day.
    """
    taken = select(ChargeAttempt.state, ChargeAttempt.created_at).where(_OPEN_ATTEMPT).limit(COUNT_CAP + 1).subquery()
    by_state = select(taken.c.state, func.count(), func.min(taken.c.created_at)).group_by(taken.c.state)
    active = (
        select(ScheduledCharge.id)
        .outerjoin(Subscription, Subscription.id == ScheduledCharge.subscription_id)
        .where(or_(Subscription.status == SubscriptionStatus.ACTIVE, ScheduledCharge.batch_row_id.is_not(None)))
    )
    return Charges(
        due=_capped(
            session,
            active.where(
                ScheduledCharge.status == ChargeStatus.SCHEDULED, ScheduledCharge.due_date.between(first, today)
            ),
        ),
        to_retry=_capped(
            session,
            active.where(ScheduledCharge.status == ChargeStatus.RETRY_WAIT, ScheduledCharge.next_attempt_at <= now),
        ),
        in_hand={state: (number, oldest) for state, number, oldest in session.execute(by_state)},
        undecided=_capped(session, select(ScheduledCharge.id).where(ScheduledCharge.needs_staff.is_(True))),
    )


def breakers(session: Session) -> Sequence[ProviderBreaker]:
    """What workers know together about each provider's health."""
    rows = select(ProviderBreaker).order_by(ProviderBreaker.provider).execution_options(populate_existing=True)
    return session.scalars(rows).all()


def _capped(session: Session, statement: "Select[Any]") -> int:
    return session.scalar(select(func.count()).select_from(statement.limit(COUNT_CAP + 1).subquery())) or 0
