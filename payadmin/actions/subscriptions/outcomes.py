"""Outcomes: what each answer of the provider makes of an attempt, its charge, its subscription, and the payment."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import bindparam, or_, update

from payadmin.actions.subscriptions.terms import Terms
from payadmin.audit import Event
from payadmin.kernel.text import _
from payadmin.ledger.payments import follow
from payadmin.models.payments import Channel, Payment, PaymentEvent, PaymentStatus
from payadmin.models.subscriptions import (
    OPEN_ATTEMPTS,
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    OnExhausted,
    RetryPolicy,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
)
from payadmin.providers import Answer, Outcome
from payadmin.work import Work

if TYPE_CHECKING:
    from sqlalchemy import Table

_CHARGE = cast("Table", ScheduledCharge.__table__)
CHECK_AFTER_SECONDS = (1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 300, 600, 1800, 3600)
# The breaker spares a provider that is silent; what became of a charge is found out soon after it speaks again.
SILENT_AT_MOST_SECONDS = 10
SEND_AFTER_SECONDS = (1, 2, 4, 8, 15, 30, 60)
TOO_OLD = "The provider has no trace of this charge and its key is too old to send again. Check with the provider."
OTHER_AMOUNT = "The provider reports this charge with another amount or currency. Check with the provider."
AFTER_ALL = "The provider reports success although the attempt was closed. Check with the provider."
TWICE = "The provider reports two charges for this date. Check with the provider."
NO_ANSWER = "The provider has not said for long what became of this charge. Check with the provider."
SILENT = "The provider did not answer; it is being asked what happened."
WORKING = "The provider is working on it."
MESSAGE_LENGTH = 300
# A provider that forgets keys at once is still given this long to answer before people are called.
PATIENCE = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Booking:
    """One answer and the rows it is about, as they are now, locked."""

    attempt: ChargeAttempt
    charge: ScheduledCharge
    terms: Terms
    fence: int
    answer: Answer | None
    now: dt.datetime
    key_window: dt.timedelta
    quiet: dt.timedelta

    @property
    def keys(self) -> dict[str, Any]:
        """The identifiers by which staff find it in the trail."""
        return {
            "invoice_number": self.charge.invoice_number,
            "billing_number": self.terms.billing_number,
            "customer_id": self.terms.customer_id,
            "attempt": self.attempt.seq,
            **self.terms.keys,
        }


def book_together(work: Work, bookings: Sequence[Booking]) -> int:
    """Book several answers; how many payments were made of them."""
    paid: list[tuple[Booking, Payment]] = []
    for booking in bookings:
        answer = booking.answer
        if answer is not None and answer.outcome is Outcome.SUCCEEDED:
            if _is_payable(work, booking, answer):
                paid.append((booking, _payment(booking, answer)))
                subscription = booking.terms.subscription
                if subscription is not None and subscription.consecutive_failures:
                    work.change(Subscription, subscription.id, consecutive_failures=0)
        else:
            _book_other(work, booking)
    if paid:
        _pay(work, paid)
    return len(paid)


def book_found(work: Work, booking: Booking, answer: Answer) -> None:
    """Book a success that staff accept, whatever became of its attempt meanwhile."""
    _pay(work, [(booking, _payment(booking, answer))])


def _book_other(work: Work, booking: Booking) -> None:
    answer, attempt = booking.answer, booking.attempt
    if attempt.fence != booking.fence or attempt.state not in (AttemptState.SENDING, AttemptState.UNKNOWN):
        return  # the claim is over: somebody else asks, or knows
    if answer is None:
        _no_trace(work, booking)
    elif answer.outcome is Outcome.DECLINED:
        _decline(work, booking, answer)
    elif answer.outcome is Outcome.NOT_SENT:
        _send_later(booking, answer)
    else:
        _ask_later(work, booking, answer)


def _is_payable(work: Work, booking: Booking, answer: Answer) -> bool:
    """Whether this success makes a payment; staff are called to one that should not be."""
    attempt, charge = booking.attempt, booking.charge
    if attempt.state is AttemptState.SUCCEEDED:
        if answer.provider_id != attempt.provider_id:
            _call_staff(work, booking, TWICE)
        return False
    if attempt.state not in (*OPEN_ATTEMPTS, AttemptState.MANUAL):
        _call_staff(work, booking, AFTER_ALL)
        return False
    if (answer.amount_minor, answer.unit) != (charge.amount_minor, charge.unit) or not answer.provider_id:
        attempt.state = AttemptState.MANUAL
        _call_staff(work, booking, OTHER_AMOUNT)
        return False
    if not ScheduledCharge.machine.allows(charge.status, ChargeStatus.SUCCEEDED):
        attempt.state = AttemptState.MANUAL
        _call_staff(work, booking, AFTER_ALL)
        return False
    return True


def _pay(work: Work, paid: Sequence[tuple[Booking, Payment]]) -> None:
    """Write the payments and their stories, each table in one go: most of a worker's time is spent here."""
    work.session.add_all([payment for _booking, payment in paid])
    work.session.flush()
    for booking, payment in paid:
        attempt = booking.attempt
        attempt.state = AttemptState.SUCCEEDED
        attempt.provider_id = payment.provider_payment_id
        attempt.done_at = booking.now
        attempt.code = attempt.message = None
        work.session.add(
            PaymentEvent(
                payment_id=payment.id,
                at=work.now,
                status=PaymentStatus.PAID,
                event="Payment executed",
                actor_name=work.actor.name,
                detail=payment.description,
            )
        )
    succeeded = (
        update(_CHARGE)
        .where(
            _CHARGE.c.id == bindparam("charge_id"),
            or_(*(_CHARGE.c.status == source for source in ScheduledCharge.machine.sources(ChargeStatus.SUCCEEDED))),
        )
        .values(
            status=ChargeStatus.SUCCEEDED,
            payment_id=bindparam("made"),
            needs_staff=False,
            message=None,
            version=_CHARGE.c.version + 1,
            updated_at=work.now,
        )
    )
    pairs = [{"charge_id": booking.charge.id, "made": payment.id} for booking, payment in paid]
    if work.session.connection().execute(succeeded, pairs).rowcount != len(pairs):
        msg = f"a charge among {[pair['charge_id'] for pair in pairs]} cannot be booked from where it is"
        raise RuntimeError(msg)
    for booking, payment in paid:
        also, keys = (payment, *booking.terms.rows), booking.keys | {"transaction_id": payment.transaction_id}
        after: dict[str, object] = {"status": ChargeStatus.SUCCEEDED, "payment_id": payment.id}
        work.record(Event.CHARGE_SUCCEEDED, booking.charge, also=also, after=after, **keys)
    for booking, _answer in paid:
        work.session.expire(booking.charge)
    follow(work, [payment.id for _booking, payment in paid])


def _payment(booking: Booking, answer: Answer) -> Payment:
    attempt, charge, terms = booking.attempt, booking.charge, booking.terms
    assert answer.amount_minor is not None
    assert answer.unit is not None
    suffix = f"-{attempt.seq}" if attempt.seq > 1 else ""
    return Payment(
        transaction_id=attempt.reference,
        invoice_number=f"{charge.invoice_number}{suffix}",
        billing_number=terms.billing_number,
        customer_id=terms.customer_id,
        channel=Channel.API,
        provider=attempt.provider,
        amount_minor=answer.amount_minor,
        captured_minor=answer.amount_minor,
        unit=answer.unit,
        status=PaymentStatus.PAID,
        provider_payment_id=answer.provider_id,
        card_token=terms.card_token or None,
        **terms.shown,
    )


def _decline(work: Work, booking: Booking, answer: Answer) -> None:
    attempt, charge, subscription = booking.attempt, booking.charge, booking.terms.subscription
    keys, message = booking.keys, (answer.message or _("The provider refused the charge."))[:MESSAGE_LENGTH]
    attempt.state = AttemptState.DECLINED
    attempt.code, attempt.message = answer.code, message
    attempt.done_at = booking.now
    # A single payment of a batch is tried once: its file said so, and another file may order it again.
    policy_id = subscription.retry_policy_id if subscription is not None else None
    policy = work.get(RetryPolicy, policy_id) if policy_id else None
    is_over = subscription is not None and subscription.status is SubscriptionStatus.CANCELLED
    delay = policy.delay_after(attempt.seq, answer.code) if policy and not is_over else None
    if delay is not None:
        status, event = ChargeStatus.RETRY_WAIT, Event.CHARGE_DECLINED
        values: dict[str, Any] = {"next_attempt_at": booking.now + delay}
    else:
        status, event, values = ChargeStatus.FAILED, Event.CHARGE_FAILED, {}
    # The partial unique index counts the attempt until it is declined.
    work.session.flush()
    work.change(ScheduledCharge, charge.id, status=status, message=message, **values)
    after: dict[str, object] = {"status": status, **values}
    if subscription is not None:
        changes: dict[str, Any] = {"consecutive_failures": Subscription.consecutive_failures + 1}
        work.change(Subscription, subscription.id, **changes)
        if delay is None and policy is not None:
            after["subscription"] = _exhausted(work, subscription, policy)
    work.record(event, charge, also=booking.terms.rows, after=after, reason=message, code=answer.code, **keys)


def _exhausted(work: Work, subscription: Subscription, policy: RetryPolicy) -> SubscriptionStatus | None:
    held = policy.on_exhausted is OnExhausted.ON_HOLD
    status = SubscriptionStatus.ON_HOLD if held else SubscriptionStatus.ABORTED
    return status if work.change(Subscription, subscription.id, status=status) else None


def _send_later(booking: Booking, answer: Answer) -> None:
    attempt = booking.attempt
    wait = SEND_AFTER_SECONDS[min(attempt.checks, len(SEND_AFTER_SECONDS) - 1)]
    if attempt.first_sent_at == attempt.last_sent_at:
        # It never reached the provider at all, so the provider's memory of keys has not begun to fade.
        attempt.first_sent_at = None
    attempt.state = AttemptState.DUE
    attempt.checks += 1
    attempt.act_at = booking.now + dt.timedelta(seconds=wait)
    attempt.code, attempt.message = answer.code, answer.message


def _ask_later(work: Work, booking: Booking, answer: Answer) -> None:
    attempt, charge = booking.attempt, booking.charge
    is_pending = answer.outcome is Outcome.PENDING
    wait = CHECK_AFTER_SECONDS[min(attempt.checks, len(CHECK_AFTER_SECONDS) - 1)]
    if not is_pending:
        wait = min(wait, SILENT_AT_MOST_SECONDS)
    sentence = WORKING if is_pending else SILENT
    attempt.state = AttemptState.UNKNOWN
    attempt.checks += 1
    attempt.act_at = booking.now + dt.timedelta(seconds=wait)
    attempt.code, attempt.message = answer.code, sentence
    keys = booking.keys
    if work.change(
        ScheduledCharge,
        charge.id,
        when=(ScheduledCharge.status == ChargeStatus.PROCESSING,),
        status=ChargeStatus.UNKNOWN,
        message=sentence,
    ):
        work.record(Event.CHARGE_UNKNOWN, charge, reason=sentence, outcome="failed", **keys)
    since = attempt.first_sent_at
    silent_for = booking.now - since if since and answer.outcome is Outcome.UNKNOWN else dt.timedelta()
    if silent_for >= max(booking.key_window, PATIENCE) and not charge.needs_staff:
        # It is still asked about by itself; people are told because nothing can be sent again any more.
        _call_staff(work, booking, NO_ANSWER)


def _no_trace(work: Work, booking: Booking) -> None:
    """The provider knows of no such charge: believed once it has been quiet, then sent again with the same key."""
    attempt, now = booking.attempt, booking.now
    sent, first = attempt.last_sent_at, attempt.first_sent_at
    if sent is not None and now - sent < booking.quiet:
        attempt.act_at = sent + booking.quiet
        attempt.checks += 1
        return
    if first is None or now - first < booking.key_window:
        attempt.state = AttemptState.DUE
        attempt.act_at = now
        return
    attempt.state = AttemptState.MANUAL
    _call_staff(work, booking, TOO_OLD)


def _call_staff(work: Work, booking: Booking, sentence: str) -> None:
    keys, answer = booking.keys, booking.answer
    if answer is not None and answer.provider_id:
        sentence = f"{sentence} It is known there as {answer.provider_id}."[:MESSAGE_LENGTH]
    booking.attempt.message = sentence
    work.change(ScheduledCharge, booking.charge.id, needs_staff=True, message=sentence)
    work.record(Event.CHARGE_NEEDS_DECISION, booking.charge, reason=sentence, outcome="failed", **keys)
