"""Orders to the provider: the part that refunds and voids share after they were requested.

Three short transactions, and nothing is locked while the provider thinks: the request reserved the money; `claim_order`
says whose turn it is and commits; the job calls the provider; `book_order` writes what came of it. An order whose
answer did not come is UNKNOWN: the provider is asked by our reference, and the same key is sent again only while the
provider still remembers keys (reliability section 3, PY4-PY7).
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from payadmin import outbox
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import NumberText, _
from payadmin.ledger.payments import follow
from payadmin.models.payments import (
    REFUNDABLE,
    VOIDABLE,
    OrderStatus,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Refund,
    RefundReason,
    VoidRequest,
)
from payadmin.models.system import NoticeKind
from payadmin.notices import notify
from payadmin.permissions import Permission
from payadmin.providers import Answer, Outcome, connected
from payadmin.queries.blocks import Blocked, note_stop, payment_block
from payadmin.work import Work, use_case

Order = Refund | VoidRequest
ORDERS: dict[str, type[Refund] | type[VoidRequest]] = {"refund": Refund, "void": VoidRequest}
CLAIMABLE = frozenset({OrderStatus.QUEUED, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})

# Longer than the provider calls of one turn may take (settings cap them), so a live worker keeps its claim.
CLAIM_LEASE = dt.timedelta(seconds=60)
CHECK_AFTER_SECONDS = (2, 3, 5, 10, 15, 30, 60, 120, 300, 300, 300, 600, 1800, 3600)
NOTE_LENGTH = 2_000

EVENTS: dict[str, dict[str, Event]] = {
    "refund": {
        "sent": Event.REFUND_SENT,
        "checked": Event.REFUND_CHECKED,
        "unknown": Event.REFUND_UNKNOWN,
        "succeeded": Event.REFUND_SUCCEEDED,
        "failed": Event.REFUND_FAILED,
    },
    "void": {
        "sent": Event.VOID_SENT,
        "checked": Event.VOID_CHECKED,
        "unknown": Event.VOID_UNKNOWN,
        "succeeded": Event.VOID_SUCCEEDED,
        "failed": Event.VOID_FAILED,
    },
}

TOO_OLD = "The provider has no trace of this order and its key is too old to send again. Check with the provider."
OTHER_AMOUNT = "The provider reports this order with another amount. Check with the provider."
AFTER_ALL = "The provider reports success although it had refused. Check with the provider."
STOPPED = "Sending was interrupted; the provider is being asked what happened."
NOT_CONNECTED = "payadmin has no connection to this payment's provider."


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
    since_first_send: dt.timedelta | None = None
    since_last_send: dt.timedelta | None = None


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


def keys_of(payment: Payment) -> dict[str, Any]:
    """The identifiers by which staff find an act on `payment` in the trail."""
    return {
        "transaction_id": payment.transaction_id,
        "invoice_number": payment.invoice_number,
        "billing_number": payment.billing_number,
        "customer_id": payment.customer_id,
    }


def confirmed_facts(payment: Payment) -> dict[str, object]:
    """What a code confirms about a payment: which one, and the money that the form showed.

    The amount of a refund is typed beside the code, so what binds it is what was left: if that has changed since the
    form was shown, the confirmation was given for something else.
    """
    left = payment.captured_minor - payment.refunded_minor - payment.reserved_minor
    return {"payment": payment.id, "left": left, "unit": payment.unit}


def check_request(payment: Payment, *, kind: str, reason: RefundReason, note: str | None) -> str | None:
    """Refuse a request that its provider cannot be given, or that says too little or too much; return its note.

    Raises:
        Invalid: the note is missing where the reason needs one, too long, or cannot be stored.
        Conflict: the payment's provider is not connected.
    """
    text = (note or "").strip()
    if reason is RefundReason.OTHER and not text:
        raise Invalid(_("Say in the note why you %(kind)s the payment.", kind=kind), field="note")
    if len(text) > NOTE_LENGTH or "\0" in text:
        raise Invalid(
            _("Keep the note within %(note_length)s plain characters.", note_length=NumberText(NOTE_LENGTH)),
            field="note",
        )
    if not connected(payment.provider):
        raise Conflict(NOT_CONNECTED)
    return mask_pan_in_text(text) or None


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
    order: Order = work.get(model, order_id, lock=True)
    now = outbox.database_now(work.session)
    if order.status not in CLAIMABLE or order.needs_staff:
        return Claim(Turn.NOTHING, kind, order_id)
    if order.lease_until and order.lease_until > now:
        return Claim(Turn.WAIT, kind, order_id, wait_seconds=int((order.lease_until - now).total_seconds()) + 1)
    if order.status is OrderStatus.QUEUED:
        # Held, as whoever blocks a payment holds it: what is in hand is sent, what is not never will be.
        work.get(Payment, order.payment_id, lock=True)
        if (blocked := payment_block(work.session, order.payment_id)) is not None:
            _stop(work, order, kind, blocked)
            return Claim(Turn.NOTHING, kind, order_id)
    values: dict[str, Any] = {"fence": order.fence + 1, "lease_until": now + CLAIM_LEASE}
    what = "checked"
    if order.status is OrderStatus.QUEUED:
        what = "sent"
        values |= {"status": OrderStatus.SUBMITTED, "first_sent_at": now, "last_sent_at": now}
    elif order.status is OrderStatus.SUBMITTED:
        # Its worker died between the claim and the booking.
        what = "unknown"
        values |= {"status": OrderStatus.UNKNOWN}
    first_sent_at, last_sent_at = order.first_sent_at, order.last_sent_at
    if not work.change(model, order_id, when=(model.fence == order.fence,), **values):
        return Claim(Turn.WAIT, kind, order_id, wait_seconds=1)
    payment = work.get(Payment, order.payment_id)
    if what == "unknown":
        add_event(work, payment, "Refund being checked" if kind == "refund" else "Void being checked", detail=STOPPED)
    work.record(EVENTS[kind][what], order, checks=order.checks or None, reference=order.reference, **keys_of(payment))
    return Claim(
        turn=Turn.SEND if what == "sent" else Turn.ASK,
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
        since_first_send=now - first_sent_at if first_sent_at else None,
        since_last_send=now - last_sent_at if last_sent_at else None,
    )


@use_case(Permission.SYSTEM_JOB_RUN)
def hold_order(work: Work, order_id: int, *, kind: str, fence: int) -> bool:
    """Renew a claim just before the order is sent; False when the claim is over and nothing may be sent."""
    model = ORDERS[kind]
    now = outbox.database_now(work.session)
    order: Order = work.get(model, order_id, lock=True)
    held = work.change(
        model,
        order_id,
        when=(model.fence == fence, model.status.in_((OrderStatus.SUBMITTED, OrderStatus.UNKNOWN))),
        first_sent_at=order.first_sent_at or now,
        last_sent_at=now,
        lease_until=now + CLAIM_LEASE,
    )
    if held:
        payment = work.get(Payment, order.payment_id)
        work.record(EVENTS[kind]["sent"], order, reference=order.reference, **keys_of(payment))
    return held


@use_case(Permission.SYSTEM_JOB_RUN)
def introduce_payment(work: Work, payment_id: int, *, provider_payment_id: str) -> None:
    """Note under which ID the provider knows an imported payment. Saying it twice changes nothing."""
    if work.change(
        Payment, payment_id, when=(Payment.provider_payment_id.is_(None),), provider_payment_id=provider_payment_id
    ):
        payment = work.get(Payment, payment_id)
        work.record(
            Event.PAYMENT_INTRODUCED, payment, after={"provider_payment_id": provider_payment_id}, **keys_of(payment)
        )


@use_case(Permission.SYSTEM_JOB_RUN)
def book_order(work: Work, order_id: int, *, kind: str, fence: int, answer: Answer) -> int | None:
    """Write what came of an order. Booking the same answer again changes nothing.

    A success is a fact and is booked whoever brings it; every other answer counts only from the worker whose claim
    (`fence`) still stands.

    Returns:
        Seconds after which the provider should be asked again, or None when there is nothing more to do.
    """
    order: Order = work.get(ORDERS[kind], order_id, lock=True)
    succeeded = answer.outcome is Outcome.SUCCEEDED
    if not order.is_open:
        if succeeded and order.status is OrderStatus.FAILED and not order.needs_staff:
            _call_staff(work, order, kind, AFTER_ALL)
        return None
    if not succeeded and order.fence != fence:
        return None
    if succeeded and isinstance(order, Refund) and answer.amount_minor not in {None, order.amount_minor}:
        _call_staff(work, order, kind, OTHER_AMOUNT)
        return None
    if answer.outcome in {Outcome.SUCCEEDED, Outcome.DECLINED}:
        _close(work, order, kind, answer)
        return None
    return _leave_unknown(work, order, kind, answer)


@use_case(Permission.SYSTEM_JOB_RUN)
def leave_to_staff(work: Work, order_id: int, *, kind: str, fence: int, sentence: str) -> None:
    """Stop asking: neither asking nor sending can end this order any more, so a person decides."""
    order: Order = work.get(ORDERS[kind], order_id, lock=True)
    if order.is_open and order.fence == fence:
        _call_staff(work, order, kind, sentence)


def is_unresolved(order: Order) -> bool:
    """Whether a person has to say what became of an order: neither asking nor sending can end it any more."""
    return order.is_open and order.needs_staff


def resolve(work: Work, order_id: int, *, kind: str, succeeded: bool, reason: str) -> None:
    """End an order on a person's word: its reserve becomes what was refunded, or goes back."""
    order: Order = work.get(ORDERS[kind], order_id, lock=True)
    if not is_unresolved(order):
        raise Conflict("Nobody has to say what became of this order any more.")
    message = f"{work.actor.name} says so: {reason}"
    _close(work, order, kind, Answer(Outcome.SUCCEEDED if succeeded else Outcome.DECLINED, message=message))


def _call_staff(work: Work, order: Order, kind: str, sentence: str) -> None:
    work.change(type(order), order.id, needs_staff=True, lease_until=None, message=sentence)
    payment = work.get(Payment, order.payment_id)
    add_event(
        work, payment, "Refund needs a decision" if kind == "refund" else "Void needs a decision", detail=sentence
    )
    work.record(EVENTS[kind]["unknown"], order, reason=sentence, outcome="failed", **keys_of(payment))
    notify(
        work.session,
        order.requested_by_id,
        NoticeKind.ATTENTION,
        f"Your {kind} of {payment.transaction_id} needs a decision.",
        page="transactions",
        row_id=payment.id,
        key=f"{kind}:{order.id}:staff",
    )


def _close(work: Work, order: Order, kind: str, answer: Answer) -> None:
    """End the order and, in the same transaction, move the reserve: to what was refunded, or back."""
    payment = work.get(Payment, order.payment_id, lock=True)
    before = {"status": payment.status, "refunded_minor": payment.refunded_minor}
    succeeded = answer.outcome is Outcome.SUCCEEDED
    amount = order.amount_minor if isinstance(order, Refund) else 0
    moves: dict[str, Any] = {"in_flight": None, "reserved_minor": Payment.reserved_minor - amount}
    # A payment that was charged back meanwhile keeps that status: what moved is a fact all the same.
    if not succeeded:
        event = f"{kind.capitalize()} failed"
    elif kind == "void":
        event = "Void executed"
        if payment.status in VOIDABLE:
            moves["status"] = PaymentStatus.VOIDED
    else:
        total = payment.refunded_minor + amount == payment.captured_minor
        event = "Total refund executed" if total else "Partial refund executed"
        moves["refunded_minor"] = Payment.refunded_minor + amount
        if payment.status in REFUNDABLE:
            moves["status"] = PaymentStatus.TOTALLY_REFUNDED if total else PaymentStatus.PARTIALLY_REFUNDED
    closed = work.change(
        type(order),
        order.id,
        status=OrderStatus.SUCCEEDED if succeeded else OrderStatus.FAILED,
        provider_id=answer.provider_id if succeeded else None,
        lease_until=None,
        needs_staff=False,
        code=answer.code,
        message=(answer.message or "")[:300] or None,
    )
    if not (closed and work.change(Payment, payment.id, when=(Payment.reserved_minor >= amount,), **moves)):
        msg = f"{kind} {order.id} cannot be booked: payment {payment.id} is {payment.status}"
        raise RuntimeError(msg)
    add_event(work, payment, event, minor=amount or None, detail=order.message)
    work.record(
        EVENTS[kind]["succeeded" if succeeded else "failed"],
        order,
        also=(payment,),
        before=before,
        after={"status": payment.status, "refunded_minor": payment.refunded_minor},
        reason=order.message,
        reference=order.reference,
        **keys_of(payment),
    )
    follow(work, [payment.id])


def _stop(work: Work, order: Order, kind: str, blocked: Blocked) -> None:
    """Take back an order that was never sent, because its payment is blocked; what it had reserved is free again."""
    payment = work.get(Payment, order.payment_id)
    amount = order.amount_minor if isinstance(order, Refund) else 0
    work.change(type(order), order.id, status=OrderStatus.CANCELLED, message=blocked.sentence)
    work.change(Payment, payment.id, in_flight=None, reserved_minor=Payment.reserved_minor - amount)
    add_event(
        work, payment, "Refund stopped" if kind == "refund" else "Void stopped", minor=amount or None,
        detail=blocked.sentence,
    )  # fmt: skip
    work.record(
        EVENTS[kind]["failed"],
        order,
        also=(payment,),
        after={"status": OrderStatus.CANCELLED},
        reason=blocked.sentence,
        outcome="refused",
        reference=order.reference,
        **keys_of(payment),
    )
    note_stop(
        work.session, blocked.block_id, act=f"payments.{kind}", actor_name=order.requested_by, sentence=blocked.sentence
    )
    follow(work, [payment.id])


def _leave_unknown(work: Work, order: Order, kind: str, answer: Answer) -> int:
    wait = CHECK_AFTER_SECONDS[min(order.checks, len(CHECK_AFTER_SECONDS) - 1)]
    first = order.status is OrderStatus.SUBMITTED
    sentence = {
        Outcome.PENDING: "The provider is working on it.",
        Outcome.NOT_SENT: _("The provider cannot be reached; the order will be sent again."),
    }.get(answer.outcome, "The provider did not answer; it is being asked what happened.")
    values: dict[str, Any] = {"checks": order.checks + 1, "lease_until": None, "message": sentence}
    if first:
        values["status"] = OrderStatus.UNKNOWN
    if answer.outcome is Outcome.NOT_SENT:
        values["last_sent_at"] = None
        if order.first_sent_at == order.last_sent_at:
            # It never reached the provider at all, so the provider's memory of keys has not begun to fade.
            values["first_sent_at"] = None
    work.change(type(order), order.id, **values)
    payment = work.get(Payment, order.payment_id)
    if first:
        add_event(work, payment, "Refund being checked" if kind == "refund" else "Void being checked", detail=sentence)
    work.record(EVENTS[kind]["unknown"], order, reason=sentence, outcome="failed", **keys_of(payment))
    return wait
