"""A success that came too late or with another amount: staff accept it, on the provider's word and on no other."""

import datetime as dt
from typing import Any

from sqlalchemy import or_, select

from payadmin import outbox
from payadmin.actions.subscriptions.approval import PAID_GATE
from payadmin.actions.subscriptions.outcomes import Booking, book_found
from payadmin.actions.subscriptions.scheduled import REASON_LENGTH
from payadmin.actions.subscriptions.terms import terms_now
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.models.payments import Payment, Unit
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
)
from payadmin.permissions import Permission
from payadmin.providers import Answer, Outcome
from payadmin.work import Work, use_case

NOT_CONFIRMED = "The provider does not confirm that this date was charged, so nothing was booked."
NOT_WAITING = "No success of the provider waits to be booked for this date."
MOVED_ON = "This charge has moved on meanwhile. Look at it again."


def is_bookable(charge: ScheduledCharge, attempt: ChargeAttempt | None) -> bool:
    """Whether staff may book a charge as paid, if the provider says so when it is asked about `attempt`, its last."""
    return (
        charge.needs_staff
        and charge.payment_id is None
        and ScheduledCharge.machine.allows(charge.status, ChargeStatus.SUCCEEDED)
        and attempt is not None
        and attempt.state in (AttemptState.MANUAL, AttemptState.UNKNOWN, AttemptState.DECLINED)
    )


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=ScheduledCharge, gate=PAID_GATE)
def book_as_paid(work: Work, charge_id: int, *, version: int, answer: Answer | None, reason: str) -> None:
    """Book what the provider says it took for a date that waits for staff, with the amount that it reports.

    Args:
        version: what the charge was when the provider was asked.
        answer: what the provider answered just now about the reference of the last attempt.
        reason: why it is accepted.

    Raises:
        Invalid: no reason.
        Conflict: the provider does not confirm a success that can be booked, the charge has moved on or waits for
            nothing like this, or what the provider took is booked already.
        NeedsApproval: a policy asks for a second person.
    """
    text = reason.strip()
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(
            _("Say why, in at most %(reason_length)s characters.", reason_length=REASON_LENGTH), field="reason"
        )
    # A subscription is held before its dates, and a date before its attempts, as workers do.
    subscription_id = work.get(ScheduledCharge, charge_id).subscription_id
    if subscription_id is not None:
        work.get(Subscription, subscription_id, lock=True)
    charge = work.get(ScheduledCharge, charge_id, lock=True)
    if charge.version != version:
        raise Conflict(MOVED_ON)
    last = select(ChargeAttempt).where(ChargeAttempt.scheduled_charge_id == charge_id)
    attempt: ChargeAttempt | None = work.one(last.order_by(ChargeAttempt.seq.desc()).with_for_update())
    if attempt is None or not is_bookable(charge, attempt):
        raise Conflict(NOT_WAITING)
    if answer is None or answer.outcome is not Outcome.SUCCEEDED or not answer.provider_id or not answer.amount_minor:
        raise Conflict(NOT_CONFIRMED)
    if answer.unit is None or not work.exists(Unit.code == answer.unit):
        raise Conflict("The provider reports a currency that payadmin does not know, so nothing was booked.")
    if work.exists(
        or_(Payment.provider_payment_id == answer.provider_id, Payment.transaction_id == attempt.reference)
    ) or work.exists(ChargeAttempt.provider_id == answer.provider_id, ChargeAttempt.id != attempt.id):
        raise Conflict(
            _(
                "%(provider_id)s is booked already as a payment, so nothing was booked again.",
                provider_id=answer.provider_id,
            )
        )
    before: dict[str, object] = {"status": charge.status, "amount_minor": charge.amount_minor, "unit": charge.unit}
    never, now = dt.timedelta(), outbox.database_now(work.session)
    book_found(
        work, Booking(attempt, charge, terms_now(work, charge_id), attempt.fence, answer, now, never, never), answer
    )
    taken: dict[str, Any] = {"amount_minor": answer.amount_minor, "unit": answer.unit}
    work.change(ScheduledCharge, charge_id, message=_("Booked by staff: %(text)s", text=text), **taken)
    work.record(
        Event.CHARGE_BOOKED_BY_STAFF,
        charge,
        before=before,
        after={"status": ChargeStatus.SUCCEEDED, **taken},
        reason=text,
        invoice_number=charge.invoice_number,
        provider_id=answer.provider_id,
    )
