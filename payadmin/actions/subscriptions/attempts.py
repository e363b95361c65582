"""Opening attempts: what is due gets a row with its key, committed before any worker may talk to a provider."""

import datetime as dt
import secrets
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, update

from payadmin import outbox
from payadmin.actions.subscriptions.planning import GRACE_DAYS, business_day, settle_date
from payadmin.actions.subscriptions.reminders import remind
from payadmin.actions.subscriptions.terms import Terms, joined, may_run, terms_of, with_terms
from payadmin.audit import Event
from payadmin.db import among
from payadmin.models.subscriptions import (
    RETRIED,
    ChargeAttempt,
    ChargeStatus,
    Purpose,
    ScheduledCharge,
    SubscriptionStatus,
)
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

ENQUEUE_AT_ONCE = 200
ONLY_REMINDS_NOW = "It was declined, and the subscription only reminds now, so it is not tried again."


@use_case(Permission.SYSTEM_JOB_RUN)
def enqueue_due(work: Work, *, zone: ZoneInfo, limit: int = ENQUEUE_AT_ONCE) -> int:
    """Open an attempt for up to `limit` dates that are due, and send the reminders among them; how many were taken.

    Dates of active subscriptions and what batches ordered are taken, on their day or within the grace window; a date
    that was declined is tried again after its subscription has expired too. If it only reminds by then, its date has
    passed: the charge is given up, and no reminder is sent late.
    """
    today, now = business_day(work, zone), outbox.database_now(work.session)
    scheduled = (
        ScheduledCharge.status == ChargeStatus.SCHEDULED,
        ScheduledCharge.due_date.between(today - dt.timedelta(days=GRACE_DAYS), today),
    )
    rows, again = _take(work, (SubscriptionStatus.ACTIVE,), *scheduled, limit=limit), []
    if len(rows) < limit:
        waiting = (among(ScheduledCharge.status, (ChargeStatus.RETRY_WAIT,)), ScheduledCharge.next_attempt_at <= now)
        again = _take(work, RETRIED, *waiting, limit=limit - len(rows))
    reminders = [row for row in rows if row[1].purpose is Purpose.REMINDER]
    given_up = [charge.id for charge, terms in again if terms.purpose is Purpose.REMINDER]
    _open_attempts(work, [row for row in rows + again if row[1].purpose is Purpose.RECURRING], now)
    for charge, terms in reminders:
        assert terms.subscription is not None
        remind(work, charge, terms.subscription)
    for charge_id in given_up:
        settle_date(work, charge_id, ChargeStatus.FAILED, Event.CHARGE_FAILED, ONLY_REMINDS_NOW)
    return len(rows) + len(again)


def open_attempt(work: Work, charge: ScheduledCharge, terms: Terms) -> bool:
    """Open an attempt to make one charge now; False when it has moved on meanwhile."""
    if not work.change(
        ScheduledCharge,
        charge.id,
        status=ChargeStatus.ENQUEUED,
        attempts=ScheduledCharge.attempts + 1,
        next_attempt_at=None,
    ):
        return False
    work.session.add(_attempt(charge, terms, charge.attempts, outbox.database_now(work.session)))
    return True


def _take(
    work: Work, statuses: tuple[SubscriptionStatus, ...], *conditions: ColumnElement[bool], limit: int
) -> list[tuple[ScheduledCharge, Terms]]:
    found = (
        joined(with_terms().select_from(ScheduledCharge))
        .where(*conditions, may_run(*statuses))
        .order_by(ScheduledCharge.due_date, ScheduledCharge.id)
        .limit(limit)
        .with_for_update(of=ScheduledCharge, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return [(charge, terms_of(charge, *rows)) for charge, *rows in work.session.execute(found)]


def _open_attempts(work: Work, rows: list[tuple[ScheduledCharge, Terms]], now: dt.datetime) -> None:
    if not rows:
        return
    work.session.add_all([_attempt(charge, terms, charge.attempts + 1, now) for charge, terms in rows])
    enqueued = (
        update(ScheduledCharge)
        .where(
            ScheduledCharge.id.in_([charge.id for charge, _ in rows]),
            ScheduledCharge.status.in_(ScheduledCharge.machine.sources(ChargeStatus.ENQUEUED)),
        )
        .values(
            status=ChargeStatus.ENQUEUED,
            attempts=ScheduledCharge.attempts + 1,
            next_attempt_at=None,
            updated_at=work.now,
            version=ScheduledCharge.version + 1,
        )
    )
    work.session.execute(enqueued.execution_options(synchronize_session=False, explained=True))
    work.session.flush()
    work.session.expire_all()


def _attempt(charge: ScheduledCharge, terms: Terms, seq: int, now: dt.datetime) -> ChargeAttempt:
    return ChargeAttempt(
        scheduled_charge_id=charge.id,
        seq=seq,
        provider=terms.provider,
        provider_key=secrets.token_hex(16),
        reference=charge.reference,
        act_at=now,
    )
