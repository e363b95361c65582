"""Voids: take back a whole payment before it is settled; it never shows as refunded (T14)."""

import secrets

from payadmin import step_up
from payadmin.actions.payments import approval
from payadmin.actions.payments.orders import add_event, check_request, confirmed_facts, keys_of
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict
from payadmin.ledger.payments import follow
from payadmin.models.payments import VOIDABLE, InFlight, OrderStatus, Payment, Refund, RefundReason, VoidRequest
from payadmin.permissions import Permission
from payadmin.queries.blocks import payment_block, refuse
from payadmin.work import Work, use_case

ACT = "payments.void"


@use_case(Permission.PAYMENTS_PAYMENT_VOID, about=Payment, gate=approval.VOID_GATE)
def request_void(
    work: Work, payment_id: int, *, reason: RefundReason, note: str | None, key: str, offer: str = "", code: str = ""
) -> VoidRequest:
    """Promise to void a payment. The same `key` promises once (PY6, PY7).

    Args:
        note: for the trail; required when the reason is OTHER.
        key: made when the form was shown.
        offer: the step-up offer that the form carried (`step_up.offer(actor, ACT, confirmed_facts(payment))`).
        code: the authenticator's code.

    Raises:
        Invalid: a note or code that makes no sense.
        Conflict: settled, already refunded in part, voided, or something else is on its way; nothing was changed.
        NeedsApproval: a policy asks for a second person.
    """
    payment = work.get(Payment, payment_id, lock=True)
    already = work.session.query(VoidRequest).filter(VoidRequest.key == key).one_or_none()
    if already is not None:
        if already.payment_id != payment_id:
            raise Conflict("This form was already used for another payment. Reload the page and try again.")
        return already
    if why := payment.why_not_voidable:
        raise Conflict(why)
    refuse(payment_block(work.session, payment_id))
    step_up.spend(work, offer, code, ACT, confirmed_facts(payment))
    text = check_request(payment, kind="void", reason=reason, note=note)
    if work.exists(Refund.payment_id == payment_id):
        raise Conflict("A refund was requested for this payment, so it cannot be voided any more.")
    if not work.change(
        Payment,
        payment_id,
        when=(
            Payment.status.in_(VOIDABLE),
            Payment.in_flight.is_(None),
            Payment.settled_at.is_(None),
            Payment.refunded_minor == 0,
            Payment.reserved_minor == 0,
        ),
        in_flight=InFlight.VOID,
    ):
        raise Conflict("The payment has changed meanwhile and cannot be voided now.")
    void = work.add(
        VoidRequest(
            payment_id=payment_id,
            reason=reason,
            note=text,
            key=key,
            provider_key=secrets.token_hex(16),
            reference=f"vd-{secrets.token_hex(10)}",
            requested_by_id=work.actor.staff_id,
            requested_by=work.actor.name,
        )
    )
    void.status = OrderStatus.QUEUED
    add_event(work, payment, "Void requested", detail=reason.value)
    work.record(
        Event.VOID_REQUESTED,
        void,
        also=(payment,),
        reason=text or reason.value,
        reference=void.reference,
        **keys_of(payment),
    )
    follow(work, [payment_id])
    work.promise("settle_order", kind="void", order_id=void.id)
    return void
