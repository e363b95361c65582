"""What the details of a subscription show beside its own fields: what is to come, and what happened."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import url_for
from sqlalchemy import and_, exists, or_, select

from payadmin.db import db
from payadmin.kernel.text import _, day_text
from payadmin.models.parties import Customer
from payadmin.models.payments import DISPLAY_STATUS, Mode, Payment
from payadmin.models.subscriptions import (
    PLANNED,
    ChargeAttempt,
    ChargeStatus,
    Purpose,
    RetryPolicy,
    ScheduledCharge,
    Subscription,
)
from payadmin.permissions import Permission
from payadmin.queries.subscriptions import RECENT, charges_in_hand, next_payment_dates
from payadmin.views import lists, ui
from payadmin.views.columns import enum_cell, masked, money_cell, tone_of, zone
from payadmin.views.filters import day_of, moment_of
from payadmin.views.payments import status_cell as payment_status
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode
from payadmin.views.subscriptions import acts
from payadmin.views.subscriptions.rows import status_cell

PAGE = 50
UPCOMING = 12
SOON = dt.timedelta(days=30)
CALLED_OFF = (ChargeStatus.CANCELLED, ChargeStatus.SKIPPED)


@dataclass
class Entry:
    """One line of the History: a date that was decided, with its payment; or a payment without a planned date."""

    day: dt.date
    charge: ScheduledCharge | None
    payment: Any
    attempts: list[ChargeAttempt] = field(default_factory=list)

    @property
    def tone(self) -> str:
        """The tone of a charge's badge."""
        if self.charge is None:
            return "plain"
        return {"NOTIFIED": "ok", "MISSED": "warn"}.get(self.charge.status.name, tone_of(self.charge.status))


def context(row: Subscription, *, before: str) -> dict[str, Any]:
    """What `subscriptions/details.html` reads.

    Args:
        row: the subscription.
        before: the day before which the History goes on, as the address says it; empty for the newest.
    """
    today, session = lists.today(), db.session()
    entries, older = history(row, today, before=day_of(before, "History") if before else None)
    actor = current_actor()
    may_write = actor.may(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
    policy = session.get(RetryPolicy, row.retry_policy_id) if row.retry_policy_id is not None else None
    return {
        "customer": session.get_one(Customer, row.customer_id),
        "show": {kind: masked(kind) for kind in ("name", "email", "phone")},
        "status_word": status_cell(row),
        "schedule": row.schedule,
        "next_date": next_payment_dates(session, [row.id], today=today).get(row.id),
        "policy": policy,
        "in_hand": charges_in_hand(session, row.id),
        "upcoming": _upcoming(row, today),
        "is_planned_soon": row.schedule is not None and row.planned_until is None and row.status in PLANNED,
        "entries": entries,
        "older": older,
        "before": before,
        "today": today,
        "card_warning": _card_warning(row, today),
        "possible": [(act, acts.why_not(act, row)) for act in acts.ACTS] if may_write else [],
        "may_write": may_write,
        "may_open": actor.may(Permission.PAYMENTS_PAYMENT_READ),
        "day_text": day_text,
        "state": enum_cell,
        "tone": tone_of,
        "money": money_cell,
        "payment_word": lambda payment: DISPLAY_STATUS[payment.status],
        "payment_status": payment_status,
        "zone_name": str(zone()),
        "transactions": f"{url_for('transactions.index_view')}?subscription={row.id}",
        "badge": ui.badge,
    }


def history(row: Subscription, today: dt.date, *, before: dt.date | None) -> tuple[list[Entry], dt.date | None]:
    """What happened, newest first, a page of whole days; and the day before which it goes on.

    Scheduled charges whose date is decided, and payments that belong to no scheduled charge (imported history). Each is
    read from its index by date, so years of daily charges cost no more than one page.
    """
    charges = _charges(row, today, before)
    payments = _payments_alone(row, before)
    entries = [Entry(charge.due_date, charge, payment) for charge, payment in charges]
    entries += [Entry(payment.created_at.astimezone(zone()).date(), None, payment) for payment in payments]
    entries.sort(key=lambda entry: entry.day, reverse=True)
    more = max(len(charges), len(payments), len(entries)) > PAGE
    older = None
    if more:
        # Whole days, so that the next page can begin before a day; a day with more than a page is cut.
        last = entries[PAGE].day
        entries = [entry for entry in entries[:PAGE] if entry.day > last] or entries[:PAGE]
        older = entries[-1].day
    _put_attempts(entries)
    return entries, older


def _is_to_come(today: dt.date) -> Any:
    """Planned, or called off before its day has come."""
    called_off = and_(ScheduledCharge.due_date > today, ScheduledCharge.status.in_(CALLED_OFF))
    return or_(ScheduledCharge.status == ChargeStatus.SCHEDULED, called_off)


def _upcoming(row: Subscription, today: dt.date) -> Sequence[ScheduledCharge]:
    statement = (
        select(ScheduledCharge)
        .where(
            ScheduledCharge.subscription_id == row.id,
            ScheduledCharge.due_date >= today - RECENT,
            _is_to_come(today),
        )
        .order_by(ScheduledCharge.due_date)
        .limit(UPCOMING)
    )
    return db.session.scalars(statement).all()


def _charges(row: Subscription, today: dt.date, before: dt.date | None) -> Sequence[Any]:
    statement = (
        select(ScheduledCharge, Payment)
        .outerjoin(Payment, Payment.id == ScheduledCharge.payment_id)
        .where(ScheduledCharge.subscription_id == row.id, ~_is_to_come(today))
        .order_by(ScheduledCharge.due_date.desc())
        .limit(PAGE + 1)
    )
    if before is not None:
        statement = statement.where(ScheduledCharge.due_date < before)
    return db.session.execute(statement).all()


def _payments_alone(row: Subscription, before: dt.date | None) -> Sequence[Payment]:
    statement = (
        select(Payment)
        .where(
            Payment.subscription_id == row.id,
            Payment.mode == Mode[current_mode()],
            ~exists().where(ScheduledCharge.payment_id == Payment.id),
        )
        .order_by(Payment.created_at.desc(), Payment.id.desc())
        .limit(PAGE + 1)
    )
    if before is not None:
        statement = statement.where(Payment.created_at < moment_of(before))
    return db.session.scalars(statement).all()


def _put_attempts(entries: list[Entry]) -> None:
    by_charge = {entry.charge.id: entry for entry in entries if entry.charge is not None}
    if not by_charge:
        return
    found = select(ChargeAttempt).where(ChargeAttempt.scheduled_charge_id.in_(by_charge))
    for attempt in db.session.scalars(found.order_by(ChargeAttempt.scheduled_charge_id, ChargeAttempt.seq)):
        by_charge[attempt.scheduled_charge_id].attempts.append(attempt)


def _card_warning(row: Subscription, today: dt.date) -> str | None:
    if row.card_expires_on is None or row.purpose is not Purpose.RECURRING or row.status not in PLANNED:
        return None
    if row.card_expires_on < today:
        return _(
            "The card expired on %(card_expires_on)s: charges will probably be declined.",
            card_expires_on=day_text(row.card_expires_on),
        )
    if row.card_expires_on <= today + SOON:
        return _(
            "The card expires on %(card_expires_on)s. Ask the customer for a new one.",
            card_expires_on=day_text(row.card_expires_on),
        )
    return None
