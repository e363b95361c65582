"""Refunds: give back part or all of a paid payment. The request reserves; the worker sends; the answer books."""

import secrets
from collections.abc import Mapping
from typing import Any

from payadmin import step_up
from payadmin.actions.payments import approval
from payadmin.actions.payments.orders import add_event, check_request, confirmed_facts, keys_of
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid, ProviderDeclined, ProviderUnknown
from payadmin.kernel.text import _
from payadmin.ledger.payments import follow
from payadmin.models.payments import REFUNDABLE, InFlight, OrderStatus, Payment, Refund, RefundReason
from payadmin.permissions import Permission
from payadmin.queries.blocks import payment_block, refuse
from payadmin.work import Unfinished, Work, use_case

ACT = "payments.refund"


@use_case(Permission.PAYMENTS_PAYMENT_REFUND, about=Payment, gate=approval.REFUND_GATE)
def request_refund(
    work: Work,
    payment_id: int,
    *,
    amount_minor: int,
    unit: str,
    reason: RefundReason,
    note: str | None,
    key: str,
    offer: str = "",
    code: str = "",
) -> Refund:
    """Promise to give back `amount_minor` of a payment. The same `key` promises once, whoever posts it how often.

    The money is reserved here, by one conditional UPDATE, and given back by the worker (PY3-PY6).

    Args:
        payment_id: the payment; it must be paid, with that much left, and nothing else on its way.
        amount_minor: minor units of `unit`, above zero.
        unit: the payment's own unit: a refund in another one is refused.
        note: for the trail; required when the reason is OTHER.
        key: made when the form was shown.
        offer: the step-up offer that the form carried (`step_up.offer(actor, ACT, confirmed_facts(payment))`).
        code: the authenticator's code.

    Raises:
        Invalid: an amount, unit, note or code that makes no sense.
        Conflict: the payment cannot be refunded by that much now, or the form was sent before with another amount;
            nothing was changed.
        NeedsApproval: a policy asks for a second person; the money is set aside until they decide (PY4).
    """
    payment = work.get(Payment, payment_id, lock=True)
    if already := _refund_with(work, key, payment_id):
        if (already.amount_minor, already.unit) != (amount_minor, unit):
            raise Conflict("This form was already sent, with another amount. Open it again to refund more.")
        return already
    if why := payment.why_not_refundable:
        raise Conflict(why)
    refuse(payment_block(work.session, payment_id))
    step_up.spend(work, offer, code, ACT, confirmed_facts(payment))
    return _reserve(work, payment, amount_minor=amount_minor, unit=unit, reason=reason, note=note, key=key)


@use_case(Permission.PAYMENTS_PAYMENT_REFUND, about=Payment, gate=approval.RUN_GATE)
def refund_in_run(
    work: Work, payment_id: int, *, key: str, run_data: Mapping[str, Any], row_data: Mapping[str, Any]
) -> str | Unfinished:
    """Refund one payment of a bulk run, whose start spent the step-up for all of them (PY8).

    Asked again with the same key, it tells what became of the refund instead of making another.

    Args:
        key: the run's token and the row, so a run that is taken up again refunds nothing twice.
        run_data: `reason` (a RefundReason's name) and `note`, asked once.
        row_data: `amount` in minor units of the payment's unit; without it all that is left is refunded (P-23).

    Returns:
        The sentence that the outcome page shows; `Unfinished` until the provider has answered.

    Raises:
        Conflict: the payment cannot be refunded by that much any more.
        ProviderDeclined: the provider refused; the reserve was given back.
        ProviderUnknown: nobody knows, and a person has to ask the provider.
        NeedsApproval: a policy asks for a second person, for this refund, its payment or the total of its run.
    """
    payment = work.get(Payment, payment_id, lock=True)
    refund = _refund_with(work, key, payment_id)
    if refund is None:
        amount = row_data.get("amount")
        refund = _reserve(
            work,
            payment,
            amount_minor=payment.refundable_minor if amount is None else int(amount),
            unit=payment.unit,
            reason=RefundReason[run_data["reason"]],
            note=run_data.get("note"),
            key=key,
        )
    if refund.status is OrderStatus.SUCCEEDED:
        return f"Refunded as {refund.reference}."
    if refund.status is OrderStatus.FAILED:
        raise ProviderDeclined(refund.message or _("The provider refused the refund."))
    if refund.needs_staff:
        raise ProviderUnknown(refund.message or _("The outcome is unknown; ask the provider."))
    return Unfinished(refund.message or f"Accepted as {refund.reference}; the provider is being asked.")


def _refund_with(work: Work, key: str, payment_id: int) -> Refund | None:
    found = work.session.query(Refund).filter(Refund.key == key).one_or_none()
    if found is not None and found.payment_id != payment_id:
        raise Conflict("This form was already used for another payment. Reload the page and try again.")
    return found


def _reserve(
    work: Work, payment: Payment, *, amount_minor: int, unit: str, reason: RefundReason, note: str | None, key: str
) -> Refund:
    text = check_request(payment, kind="refund", reason=reason, note=note)
    if unit != payment.unit:
        raise Invalid(_("This payment was made in %(unit)s: refund it in %(unit)s.", unit=payment.unit), field="amount")
    if why := payment.why_not_refundable:
        raise Conflict(why)
    refuse(payment_block(work.session, payment.id))
    if amount_minor <= 0:
        raise Invalid("Enter an amount above zero.", field="amount")
    left = Payment.captured_minor - Payment.refunded_minor - Payment.reserved_minor
    if amount_minor > payment.refundable_minor or not work.change(
        Payment,
        payment.id,
        when=(
            Payment.status.in_(REFUNDABLE),
            Payment.in_flight.is_(None),
            Payment.reserved_minor == 0,
            left >= amount_minor,
        ),
        reserved_minor=Payment.reserved_minor + amount_minor,
        in_flight=InFlight.REFUND,
    ):
        raise Conflict("That is more than is left to refund on this payment.", field="amount")
    refund = work.add(
        Refund(
            payment_id=payment.id,
            amount_minor=amount_minor,
            unit=payment.unit,
            reason=reason,
            note=text,
            key=key,
            provider_key=secrets.token_hex(16),
            reference=f"rf-{secrets.token_hex(10)}",
            requested_by_id=work.actor.staff_id,
            requested_by=work.actor.name,
        )
    )
    refund.status = OrderStatus.QUEUED
    add_event(work, payment, "Refund requested", minor=amount_minor, detail=reason.value)
    work.record(
        Event.REFUND_REQUESTED,
        refund,
        also=(payment,),
        after={"amount_minor": amount_minor, "unit": payment.unit, "reason": reason},
        reason=text or reason.value,
        reference=refund.reference,
        **keys_of(payment),
    )
    follow(work, [payment.id])
    work.promise("settle_order", kind="refund", order_id=refund.id)
    return refund
