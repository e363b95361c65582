"""Charging: claim, call, book. Three short steps, and nothing is locked while the provider thinks.

A claim is committed before the call, counts in `fence`, and ends by the database's clock; the same claim serves the
janitor, because an attempt whose worker died is claimed to be asked about. A success is a fact and is booked whoever
brings it; every other answer counts only while the claim that asked still stands (reliability section 3).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, case, select, tuple_, update

from payadmin import outbox
from payadmin.actions.subscriptions.breaker import give_back, note_health, paused
from payadmin.actions.subscriptions.outcomes import Booking, book_together
from payadmin.actions.subscriptions.terms import Terms, joined, terms_of, with_terms
from payadmin.audit import Event
from payadmin.db import among
from payadmin.kernel.text import _
from payadmin.models.subscriptions import (
    OPEN_ATTEMPTS,
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    Purpose,
    ScheduledCharge,
    Subscription,
)
from payadmin.permissions import Permission
from payadmin.providers import Answer, Outcome
from payadmin.queries.blocks import blocked_among, note_stop
from payadmin.work import Work, use_case

CUSTOMER_BLOCKED = "The customer is blocked."
MERCHANT_BLOCKED = "The merchant is blocked."
BLOCKED_SINCE = "Its customer or merchant was blocked after it was sent; what was sent before is unknown."
REMINDERS_NEVER_CHARGE = "The subscription only reminds now; what was sent before it changed is unknown."


class Turn(StrEnum):
    """What the worker that claimed an attempt does next."""

    SEND = "send"
    ASK = "ask"


@dataclass(frozen=True)
class ChargeClaim:
    """Everything a worker needs to know of an attempt; it touches no row while it talks to the provider."""

    turn: Turn
    attempt_id: int
    fence: int
    provider: str
    provider_key: str
    reference: str
    amount_minor: int
    unit: str
    card_token: str
    purpose: Purpose
    ordered_by: str


@dataclass(frozen=True)
class Report:
    """What a worker learned: the answer to a charge or a look-up; None is the provider's "no such thing"."""

    claim: ChargeClaim
    answer: Answer | None


@use_case(Permission.SYSTEM_JOB_RUN)
def claim_charges(
    work: Work, *, limit: int, lease: dt.timedelta, key_windows: Mapping[str, dt.timedelta]
) -> list[ChargeClaim]:
    """Take up to `limit` attempts for `lease`: to send what is due, to ask about what is unknown or abandoned.

    The claim is committed before the provider hears anything.

    Args:
        key_windows: provider → how long it remembers keys; what was sent longer ago is asked about, never sent again.
    """
    now = outbox.database_now(work.session)
    pauses = paused(work, now, lease)
    claims: list[ChargeClaim] = []
    if pauses.tried:
        claims = _claimed(work, now, key_windows, 1, ChargeAttempt.provider.in_(pauses.tried))
        if not claims:
            give_back(work, pauses, now)
    if not claims:
        closed = [*pauses.stopped, *pauses.tried]
        claims = _claimed(work, now, key_windows, limit, *([ChargeAttempt.provider.not_in(closed)] if closed else []))
    _mark(work, claims, now, lease)
    return claims


def _claimed(
    work: Work, now: dt.datetime, key_windows: Mapping[str, dt.timedelta], limit: int, *whose: ColumnElement[bool]
) -> list[ChargeClaim]:
    found = (
        _attempts()
        .where(among(ChargeAttempt.state, OPEN_ATTEMPTS), ChargeAttempt.act_at <= now, *whose)
        .order_by(ChargeAttempt.act_at, ChargeAttempt.id)
        .limit(limit)
        .with_for_update(of=ChargeAttempt, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    claims: list[ChargeClaim] = []
    taken = [
        (attempt, charge, _turn(attempt, now, key_windows), terms_of(charge, *rows))
        for attempt, charge, *rows in work.session.execute(found).all()
    ]
    stopped = _blocked(work, [terms for _attempt, _charge, turn, terms in taken if turn is Turn.SEND], now)
    for attempt, charge, turn, terms in taken:
        if turn is Turn.SEND and terms.purpose is not Purpose.RECURRING:
            _never_send(work, attempt, charge, now, _("The subscription only reminds now."), REMINDERS_NEVER_CHARGE)
            continue
        party = next((each for each in _parties(terms) if each in stopped), None) if turn is Turn.SEND else None
        if party is not None:
            sentence = CUSTOMER_BLOCKED if party[0] == "customer" else MERCHANT_BLOCKED
            _never_send(work, attempt, charge, now, sentence, BLOCKED_SINCE)
            note_stop(
                work.session,
                stopped[party],
                act="subscriptions.charge",
                actor_name=work.actor.name,
                sentence=f"{charge.invoice_number}: {sentence}",
            )
            continue
        claims.append(
            ChargeClaim(
                turn=turn,
                attempt_id=attempt.id,
                fence=attempt.fence + 1,
                provider=attempt.provider,
                provider_key=attempt.provider_key,
                reference=attempt.reference,
                amount_minor=charge.amount_minor,
                unit=charge.unit,
                card_token=terms.card_token,
                purpose=terms.purpose,
                ordered_by=terms.name,
            )
        )
    return claims


def _parties(terms: Terms) -> tuple[tuple[str, int], ...]:
    return ("customer", terms.customer_id), ("organization", terms.shown["merchant_id"])


def _blocked(work: Work, all_terms: Sequence[Terms], now: dt.datetime) -> dict[tuple[str, int], int | None]:
    """Who of these is blocked. Nobody of them is blocked before this claim is committed, or it is not claimed."""
    parties = {each for terms in all_terms for each in _parties(terms)}
    return blocked_among(
        work.session,
        customers=[row_id for kind, row_id in parties if kind == "customer"],
        organizations=[row_id for kind, row_id in parties if kind == "organization"],
        now=now,
        hold=True,
    )


def _attempts() -> "Select[Any]":
    """Every attempt with its charge and the rows that hold its terms."""
    of_charge = ScheduledCharge.id == ChargeAttempt.scheduled_charge_id
    return joined(with_terms(ChargeAttempt).select_from(ChargeAttempt).join(ScheduledCharge, of_charge))


def _turn(attempt: ChargeAttempt, now: dt.datetime, key_windows: Mapping[str, dt.timedelta]) -> Turn:
    if attempt.state is not AttemptState.DUE:
        return Turn.ASK
    sent = attempt.first_sent_at
    forgotten = sent is not None and now - sent >= key_windows.get(attempt.provider, dt.timedelta())
    return Turn.ASK if forgotten else Turn.SEND


def _mark(work: Work, claims: list[ChargeClaim], now: dt.datetime, lease: dt.timedelta) -> None:
    send = [claim.attempt_id for claim in claims if claim.turn is Turn.SEND]
    ask = [claim.attempt_id for claim in claims if claim.turn is Turn.ASK]
    if send:
        _update(
            work,
            send,
            state=AttemptState.SENDING,
            first_sent_at=case((ChargeAttempt.first_sent_at.is_(None), now), else_=ChargeAttempt.first_sent_at),
            last_sent_at=now,
            act_at=now + lease,
        )
        _move_charges(work, send, ChargeStatus.PROCESSING, ChargeStatus.ENQUEUED)
    if ask:
        _update(work, ask, state=AttemptState.UNKNOWN, act_at=now + lease)
        _move_charges(work, ask, ChargeStatus.UNKNOWN, ChargeStatus.PROCESSING)


def _update(work: Work, attempt_ids: list[int], **values: Any) -> None:
    statement = update(ChargeAttempt).where(ChargeAttempt.id.in_(attempt_ids))
    statement = statement.values(fence=ChargeAttempt.fence + 1, **values)
    work.session.execute(statement.execution_options(synchronize_session=False))


def _move_charges(work: Work, attempt_ids: list[int], after: ChargeStatus, before: ChargeStatus) -> None:
    assert ScheduledCharge.machine.allows(before, after)
    charges = select(ChargeAttempt.scheduled_charge_id).where(ChargeAttempt.id.in_(attempt_ids))
    statement = (
        update(ScheduledCharge)
        .where(ScheduledCharge.id.in_(charges), ScheduledCharge.status == before)
        .values(status=after, updated_at=work.now, version=ScheduledCharge.version + 1)
    )
    work.session.execute(statement.execution_options(synchronize_session=False, explained=True))


def _never_send(
    work: Work, attempt: ChargeAttempt, charge: ScheduledCharge, now: dt.datetime, sentence: str, sent: str
) -> None:
    """An attempt that the world has overtaken: dropped if it was never sent, else left to staff.

    Args:
        sentence: why it is dropped.
        sent: what staff are told of one that may have been sent before.
    """
    if attempt.first_sent_at is None:
        attempt.state = AttemptState.CANCELLED
        attempt.done_at = now
        # One that the provider turned away at the door has begun, so it cannot be cancelled any more.
        is_fresh = charge.status is ChargeStatus.ENQUEUED
        status = ChargeStatus.CANCELLED if is_fresh else ChargeStatus.FAILED
        event = Event.CHARGE_CANCELLED if is_fresh else Event.CHARGE_FAILED
        work.change(ScheduledCharge, charge.id, status=status, message=sentence)
        work.record(event, charge, reason=sentence, invoice_number=charge.invoice_number)
        return
    attempt.state = AttemptState.MANUAL
    work.change(ScheduledCharge, charge.id, needs_staff=True, message=sent)
    work.record(Event.CHARGE_NEEDS_DECISION, charge, reason=sent, outcome="failed")


@use_case(Permission.SYSTEM_JOB_RUN)
def hold_charges(work: Work, *, claims: Sequence[ChargeClaim], lease: dt.timedelta) -> set[int]:
    """Renew claims just before they are sent; which attempts are still the caller's. The others must not be sent."""
    now = outbox.database_now(work.session)
    pairs = [(claim.attempt_id, claim.fence) for claim in claims]
    statement = (
        update(ChargeAttempt)
        .where(
            # SQLite finds rows through an index by the ids alone, not by the pairs.
            ChargeAttempt.id.in_([claim.attempt_id for claim in claims]),
            tuple_(ChargeAttempt.id, ChargeAttempt.fence).in_(pairs),
            ChargeAttempt.state == AttemptState.SENDING,
        )
        .values(act_at=now + lease, last_sent_at=now)
        .returning(ChargeAttempt.id)
    )
    return set(work.session.scalars(statement.execution_options(synchronize_session=False)).all())


@use_case(Permission.SYSTEM_JOB_RUN)
def book_charges(work: Work, *, reports: Sequence[Report], key_window: dt.timedelta, quiet: dt.timedelta) -> int:
    """Write what came of several attempts, in one transaction. Booking the same answer again changes nothing.

    Args:
        key_window: how long the provider remembers keys, with margin; zero: never send again by itself.
        quiet: how long after the claim of the last send a look-up that finds nothing is believed.

    Returns:
        How many payments were made of it.
    """
    now = outbox.database_now(work.session)
    by_id = {report.claim.attempt_id: report for report in reports}
    # Everybody holds a subscription before its dates, and a date before its attempts, so nobody waits in a circle.
    work.session.execute(
        select(Subscription.id)
        .join(ScheduledCharge, ScheduledCharge.subscription_id == Subscription.id)
        .join(ChargeAttempt, ChargeAttempt.scheduled_charge_id == ScheduledCharge.id)
        .where(ChargeAttempt.id.in_(by_id))
        .order_by(Subscription.id)
        .with_for_update(of=Subscription, key_share=True)
    ).all()
    rows = work.session.execute(
        _attempts()
        .where(ChargeAttempt.id.in_(by_id))
        .order_by(Subscription.id, ChargeAttempt.id)
        .with_for_update(of=(ScheduledCharge, ChargeAttempt), key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    bookings = [
        Booking(
            attempt,
            charge,
            terms_of(charge, *others),
            by_id[attempt.id].claim.fence,
            by_id[attempt.id].answer,
            now,
            key_window,
            quiet,
        )
        for attempt, charge, *others in rows
    ]
    paid = book_together(work, bookings)
    note_health(work, now, [(report.claim.provider, _is_sound(report.answer)) for report in reports])
    return paid


def _is_sound(answer: Answer | None) -> bool:
    """Whether the provider gave an answer at all, whatever it said."""
    return answer is None or answer.outcome in {Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.PENDING}
