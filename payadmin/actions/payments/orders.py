"""Orders to the provider: the part that refunds and voids share after they were requested.

Three short transactions, and nothing is locked while the provider thinks: the request reserved the money; `claim` says
whose turn it is and commits; the job calls the provider; `book` writes what came of it. An order whose answer did not
come is UNKNOWN: the provider is asked by our reference, and the same key is sent again only while the provider still
remembers keys (reliability section 3, PY4–PY7).
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from payadmin import outbox
from payadmin.audit import Event
from payadmin.models.payments import (
    OrderStatus,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Refund,
    VoidRequest,
)
from payadmin.permissions import Permission
from payadmin.providers import Answer, Outcome
from payadmin.work import Work, use_case

ORDERS: dict[str, type[Refund | VoidRequest]] = {"refund": Refund, "void": VoidRequest}

# Longer than any provider call may take (settings cap it), so a live worker never loses its claim.
CLAIM_LEASE = dt.timedelta(seconds=60)
CHECK_AFTER_SECONDS = (2, 3, 5, 10, 15, 30, 60, 120, 300, 300, 300, 600, 1800, 3600)

EVENTS: dict[str, dict[Outcome, Event]] = {
    "refund": {Outcome.SUCCEEDED: Event.REFUND_SUCCEEDED, Outcome.DECLINED: Event.REFUND_FAILED},
    "void": {Outcome.SUCCEEDED: Event.VOID_SUCCEEDED, Outcome.DECLINED: Event.VOID_FAILED},
}


class Turn(StrEnum):
    """What the worker that claimed an order does next."""

    SEND = "send"
    ASK = "ask"
    WAIT = "wait"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Claim:
    """Everything a worker needs to know of an order; it touches no row while it talks to the provider."""

    turn: Turn
    kind: str
    order_id: int
    fence: int = 0
    wait_seconds: int = 0
    provider: str = ""
    provider_key: str = ""
    reference: str = ""
    amount_minor: int = 0
    unit: str = ""
    payment_id: int = 0
    transaction_id: str = ""
    charge_id: str | None = None
    card_token: str | None = None
    captured_minor: int = 0
    first_sent_at: dt.datetime | None = None
    last_sent_at: dt.datetime | None = None


def add_event(work: Work, payment: Payment, event: str, *, minor: int | None = None, detail: str | None = None) -> None:
    """Add a line to a payment's history, with the status the payment has now."""
    work.session.add(
        PaymentEvent(
            payment_id=payment.id,
            at=work.now,
            status=payment.status,
            event=event,
            refunded_minor=minor,
            actor_name=work.actor.name,
            detail=detail,
        )
    )


@use_case(Permission.SYSTEM_JOB_RUN)
def claim_order(work: Work, order_id: int, *, kind: str) -> Claim:
    """Take an order for one worker and say what to do with it. Committed before the provider hears anything.

    Args:
        kind: "refund" or "void".

    Returns:
        SEND the first time; ASK when an earlier call's answer is unknown (or its worker died); WAIT while another
        worker holds the claim; NOTHING when the outcome is known or staff must decide.
    """
    model = ORDERS[kind]
    order = work.get(model, order_id, lock=True)
    payment = work.get(Payment, order.payment_id)
    now = outbox.database_now(work.session)
    if not order.is_open or order.needs_staff:
        return Claim(Turn.NOTHING, kind, order_id)
    if order.status is not OrderStatus.QUEUED and order.lease_until and order.lease_until > now:
        return Claim(Turn.WAIT, kind, order_id, wait_seconds=int((order.lease_until - now).total_seconds()) + 1)
    first = order.status is OrderStatus.QUEUED
    values: dict[str, object] = {"fence": order.fence + 1, "lease_until": now + CLAIM_LEASE}
    if first:
        values |= {"status": OrderStatus.SUBMITTED, "first_sent_at": now, "last_sent_at": now}
    elif order.status is OrderStatus.SUBMITTED:
        values |= {"status": OrderStatus.UNKNOWN}
    if not work.change(model, order_id, when=(model.fence == order.fence,), **values):
        return Claim(Turn.WAIT, kind, order_id, wait_seconds=1)
    order = work.get(model, order_id)
    if first:
        work.record(Event.REFUND_SENT if kind == "refund" else Event.VOID_SENT, order, reference=order.reference)
    else:
        work.record(Event.REFUND_UNKNOWN if kind == "refund" else Event.VOID_UNKNOWN, order, checks=order.checks)
    return Claim(
        turn=Turn.SEND if first else Turn.ASK,
        kind=kind,
        order_id=order_id,
        fence=order.fence,
        provider=payment.provider,
        provider_key=order.provider_key,
        reference=order.reference,
        amount_minor=order.amount_minor if isinstance(order, Refund) else payment.captured_minor,
        unit=payment.unit,
        payment_id=payment.id,
        transaction_id=payment.transaction_id,
        charge_id=payment.provider_payment_id,
        card_token=payment.card_token,
        captured_minor=payment.captured_minor or payment.amount_minor,
        first_sent_at=order.first_sent_at,
        last_sent_at=order.last_sent_at,
    )


@use_case(Permission.SYSTEM_JOB_RUN)
def resend_order(work: Work, order_id: int, *, kind: str, fence: int) -> bool:
    """Note that the same key is about to be sent again; False when the claim is over and nothing may be sent."""
    model = ORDERS[kind]
    now = outbox.database_now(work.session)
    won = work.change(
        model,
        order_id,
        when=(model.fence == fence, model.status == OrderStatus.UNKNOWN),
        last_sent_at=now,
        lease_until=now + CLAIM_LEASE,
    )
    if won:
        order = work.get(model, order_id)
        work.record(Event.REFUND_SENT if kind == "refund" else Event.VOID_SENT, order, reference=order.reference)
    return won


@use_case(Permission.SYSTEM_JOB_RUN)
def introduce_payment(work: Work, payment_id: int, *, provider_payment_id: str) -> None:
    """Note under which ID the provider knows an imported payment. Saying it twice changes nothing."""
    if work.change(
        Payment, payment_id, when=(Payment.provider_payment_id.is_(None),), provider_payment_id=provider_payment_id
    ):
        payment = work.get(Payment, payment_id)
        work.record(
            Event.PAYMENT_INTRODUCED,
            payment,
            after={"provider_payment_id": provider_payment_id},
            transaction_id=payment.transaction_id,
        )


@use_case(Permission.SYSTEM_JOB_RUN)
def book_order(work: Work, order_id: int, *, kind: str, fence: int, answer: Answer) -> int | None:
    """Write what came of an order. Booking the same answer again changes nothing.

    A success is a fact and is booked whoever brings it; every other answer counts only from the worker whose claim
    (`fence`) still stands.

    Returns:
        Seconds after which the provider should be asked again, or None when there is nothing more to do.
    """
    model = ORDERS[kind]
    order = work.get(model, order_id, lock=True)
    if not order.is_open:
        return None
    if answer.outcome is not Outcome.SUCCEEDED and order.fence != fence:
        return None
    if answer.outcome in {Outcome.SUCCEEDED, Outcome.DECLINED}:
        _close(work, order, kind, answer)
        return None
    return _leave_unknown(work, order, kind, answer)


@use_case(Permission.SYSTEM_JOB_RUN)
def leave_to_staff(work: Work, order_id: int, *, kind: str, fence: int) -> None:
    """Stop asking: the provider has no trace of the order and may have forgotten its key, so a person decides."""
    model = ORDERS[kind]
    sentence = "The provider has no trace of this order and its key is too old to send again. Check with the provider."
    if work.change(model, order_id, when=(model.fence == fence,), needs_staff=True, message=sentence):
        order = work.get(model, order_id)
        payment = work.get(Payment, order.payment_id)
        add_event(work, payment, f"{kind.capitalize()} needs a decision", detail=sentence)
        work.record(
            Event.REFUND_UNKNOWN if kind == "refund" else Event.VOID_UNKNOWN, order, reason=sentence, outcome="failed"
        )


def _close(work: Work, order: Refund | VoidRequest, kind: str, answer: Answer) -> None:
    succeeded = answer.outcome is Outcome.SUCCEEDED
    payment = work.get(Payment, order.payment_id, lock=True)
    before: dict[str, object] = {"status": payment.status, "refunded_minor": payment.refunded_minor}
    if order.status is OrderStatus.QUEUED:
        # Only a success that was found without ever being sent by us could arrive here: refuse to guess.
        msg = f"{kind} {order.id} was answered before it was sent"
        raise RuntimeError(msg)
    closed = work.change(
        type(order),
        order.id,
        status=OrderStatus.SUCCEEDED if succeeded else OrderStatus.FAILED,
        provider_id=answer.provider_id if succeeded else None,
        lease_until=None,
        code=answer.code,
        message=(answer.message or "")[:300] or None,
    )
    amount = order.amount_minor if isinstance(order, Refund) else 0
    values: dict[str, object] = {"in_flight": None}
    if amount:
        values["reserved_minor"] = Payment.reserved_minor - amount
    if succeeded and amount:
        total = payment.refunded_minor + amount == payment.captured_minor
        values["refunded_minor"] = Payment.refunded_minor + amount
        values["status"] = PaymentStatus.TOTALLY_REFUNDED if total else PaymentStatus.PARTIALLY_REFUNDED
        event = "Total refund executed" if total else "Partial refund executed"
    elif succeeded:
        values["status"] = PaymentStatus.VOIDED
        event = "Void executed"
    else:
        event = f"{kind.capitalize()} failed"
    if not (closed and work.change(Payment, payment.id, when=(Payment.reserved_minor >= amount,), **values)):
        msg = f"{kind} {order.id} cannot be booked: payment {payment.id} is {payment.status}"
        raise RuntimeError(msg)
    payment = work.get(Payment, payment.id)
    order = work.get(type(order), order.id)
    add_event(work, payment, event, minor=amount or None, detail=order.message)
    work.record(
        EVENTS[kind][answer.outcome],
        order,
        also=(payment,),
        before=before,
        after={"status": payment.status, "refunded_minor": payment.refunded_minor},
        reason=order.message,
        transaction_id=payment.transaction_id,
        invoice_number=payment.invoice_number,
        billing_number=payment.billing_number,
    )


def _leave_unknown(work: Work, order: Refund | VoidRequest, kind: str, answer: Answer) -> int:
    wait = CHECK_AFTER_SECONDS[min(order.checks, len(CHECK_AFTER_SECONDS) - 1)]
    first = order.status is OrderStatus.SUBMITTED
    sentence = {
        Outcome.PENDING: "The provider is working on it.",
        Outcome.NOT_SENT: "The provider cannot be reached; the order will be sent again.",
    }.get(answer.outcome, "The provider did not answer; it is being asked what happened.")
    model = type(order)
    values: dict[str, object] = {"checks": order.checks + 1, "lease_until": None, "message": sentence}
    if first:
        values["status"] = OrderStatus.UNKNOWN
    if answer.outcome is Outcome.NOT_SENT:
        values["last_sent_at"] = None
    work.change(model, order.id, when=(model.fence == order.fence,), **values)
    order = work.get(model, order.id)
    payment = work.get(Payment, order.payment_id)
    if first:
        add_event(work, payment, f"{kind.capitalize()} being checked", detail=sentence)
    work.record(
        Event.REFUND_UNKNOWN if kind == "refund" else Event.VOID_UNKNOWN,
        order,
        reason=sentence,
        outcome="failed",
        transaction_id=payment.transaction_id,
    )
    return wait

