"""Talking to the provider about refunds and voids. Nothing here is trusted to survive: every step can be repeated."""

import datetime as dt
from typing import TYPE_CHECKING

from flask import current_app

from payadmin.actions.payments import orders
from payadmin.actions.payments.orders import Claim, Turn
from payadmin.jobs import Later, job
from payadmin.providers import Answer, Outcome, Provider, connected, provider_for
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

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
    if not connected(claim.provider):
        orders.leave_to_staff(SYSTEM, order_id, kind=kind, fence=claim.fence, sentence=orders.NOT_CONNECTED)
        return None
    settings: Settings = current_app.extensions["payadmin.settings"]
    timeout_seconds = settings.provider_timeout_seconds
    provider = provider_for(claim.provider, simulator_url=settings.simulator_url, timeout_seconds=timeout_seconds)
    if claim.turn is Turn.SEND:
        answer: Answer | None = _send(provider, claim)
    else:
        # A request that we gave up may still be on its way for as long as the provider says.
        answer = _ask(provider, claim, quiet=provider.capabilities.settle + dt.timedelta(seconds=timeout_seconds))
    if answer is None:
        orders.leave_to_staff(SYSTEM, order_id, kind=kind, fence=claim.fence, sentence=orders.TOO_OLD)
        return None
    again = orders.book_order(SYSTEM, order_id, kind=kind, fence=claim.fence, answer=answer)
    return None if again is None else Later(again)


def _ask(provider: Provider, claim: Claim, *, quiet: dt.timedelta) -> Answer | None:
    """What the provider knows of the order; sends it again where that is safe; None when a person must decide."""
    found = _find(provider, claim)
    if found is not None:
        return found
    if claim.since_last_send is not None and claim.since_last_send < quiet:
        # It may still be on its way: silence this early proves nothing.
        return Answer(Outcome.UNKNOWN)
    if claim.since_first_send is not None and claim.since_first_send > provider.capabilities.key_window:
        return None
    answer = _send(provider, claim)
    if answer.outcome is Outcome.DECLINED:
        # "Too much" may mean that the first send went through after all, unseen so far: look once more.
        return _find(provider, claim) or answer
    return answer


def _find(provider: Provider, claim: Claim) -> Answer | None:
    if claim.charge_id is None:
        # The provider never heard of the payment, so it was never asked to give anything back.
        return None
    if claim.kind == "refund":
        return provider.find_refund(claim.reference)
    return provider.find_void(claim.reference, claim.charge_id)


def _send(provider: Provider, claim: Claim) -> Answer:
    charge_id = claim.charge_id
    if charge_id is None:
        seen = _introduce(provider, claim)
        if seen.outcome is not Outcome.SUCCEEDED or seen.provider_id is None:
            # The order itself has certainly not been sent.
            return seen if seen.outcome is Outcome.DECLINED else Answer(Outcome.NOT_SENT)
        charge_id = seen.provider_id
        orders.introduce_payment(SYSTEM, claim.payment_id, provider_payment_id=charge_id)
    # The first send follows its claim at once; before any other the claim must still be ours.
    first = claim.turn is Turn.SEND and charge_id == claim.charge_id
    if not first and not orders.hold_order(SYSTEM, claim.order_id, kind=claim.kind, fence=claim.fence):
        return Answer(Outcome.UNKNOWN)
    if claim.kind == "refund":
        return provider.refund(
            key=claim.provider_key, reference=claim.reference, charge_id=charge_id, amount_minor=claim.amount_minor
        )
    return provider.void(key=claim.provider_key, reference=claim.reference, charge_id=charge_id)


def _introduce(provider: Provider, claim: Claim) -> Answer:
    """Make the simulator know a payment of imported history, once: by our reference, and by key where it is new."""
    known = provider.find_charge(claim.transaction_id)
    if known is not None:
        return known
    return provider.charge(
        key=f"introduce-{claim.payment_id}",
        reference=claim.transaction_id,
        amount_minor=claim.captured_minor,
        unit=claim.unit,
        token=claim.card_token or INTRODUCTION_TOKEN,
        metadata={"imported": "yes"},
    )
