"""Talking to the provider about refunds and voids. Nothing here is trusted to survive: every step can be repeated."""

from flask import current_app

from payadmin.actions.payments import orders
from payadmin.actions.payments.orders import Claim, Turn
from payadmin.db import utcnow
from payadmin.jobs import Later, job
from payadmin.providers import Answer, Outcome, Provider, provider_for
from payadmin.work import SYSTEM

# Stripe's test card that is always accepted: history that was never at the simulator is introduced with it.
INTRODUCTION_TOKEN = "tok_visa"  # noqa: S105 - a public test value


@job("settle_order")
def settle_order(*, kind: str, order_id: int) -> Later | None:
    """Bring one refund or void to its end, or answer when to look again."""
    claim = orders.claim_order(SYSTEM, order_id, kind=kind)
    if claim.turn is Turn.NOTHING:
        return None
    if claim.turn is Turn.WAIT:
        return Later(claim.wait_seconds)
    settings = current_app.extensions["payadmin.settings"]
    provider = provider_for(
        claim.provider, simulator_url=settings.simulator_url, timeout_seconds=settings.provider_timeout_seconds
    )
    answer = _send(provider, claim) if claim.turn is Turn.SEND else _ask(provider, claim)
    if answer is None:
        orders.leave_to_staff(SYSTEM, order_id, kind=kind, fence=claim.fence)
        return None
    again = orders.book_order(SYSTEM, order_id, kind=kind, fence=claim.fence, answer=answer)
    return None if again is None else Later(again)


def _send(provider: Provider, claim: Claim) -> Answer:
    charge_id = claim.charge_id
    if charge_id is None:
        # Imported history: this provider has never seen the payment. The key makes it see it once.
        seen = provider.charge(
            key=f"introduce-{claim.payment_id}",
            reference=claim.transaction_id,
            amount_minor=claim.captured_minor,
            unit=claim.unit,
            token=claim.card_token or INTRODUCTION_TOKEN,
            metadata={"imported": "yes"},
        )
        if seen.outcome is not Outcome.SUCCEEDED or seen.provider_id is None:
            # The order itself has certainly not been sent.
            return seen if seen.outcome is Outcome.DECLINED else Answer(outcome=Outcome.NOT_SENT)
        charge_id = seen.provider_id
        orders.introduce_payment(SYSTEM, claim.payment_id, provider_payment_id=charge_id)
    if claim.kind == "refund":
        return provider.refund(
            key=claim.provider_key, reference=claim.reference, charge_id=charge_id, amount_minor=claim.amount_minor
        )
    return provider.void(key=claim.provider_key, reference=claim.reference, charge_id=charge_id)


def _ask(provider: Provider, claim: Claim) -> Answer | None:
    """What the provider knows of the order; sends it again where that is safe; None when a person must decide."""
    if claim.kind == "refund":
        found = provider.find_refund(claim.reference)
    else:
        found = provider.find_void(claim.reference, claim.charge_id) if claim.charge_id else None
    if found is not None:
        return found
    now = utcnow()
    if claim.last_sent_at and now - claim.last_sent_at < provider.capabilities.settle:
        # It may still be on its way: silence this early proves nothing.
        return Answer(outcome=Outcome.UNKNOWN)
    if claim.first_sent_at and now - claim.first_sent_at > provider.capabilities.key_window:
        return None
    if not orders.resend_order(SYSTEM, claim.order_id, kind=claim.kind, fence=claim.fence):
        return Answer(outcome=Outcome.UNKNOWN)
    return _send(provider, claim)
