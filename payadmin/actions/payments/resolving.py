"""Resolving: a person says what became of a refund or void whose outcome no answer can tell any more (PY5)."""

from payadmin import step_up
from payadmin.actions.payments.approval import OUTCOME_GATE
from payadmin.actions.payments.orders import ORDERS, resolve
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import _
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

RESOLVE_ACT = "payments.resolve"
REASON_LENGTH = 200


def resolved_facts(kind: str, order_id: int) -> dict[str, object]:
    """What a code confirms: which order; what became of it is said beside the code."""
    return {"kind": kind, "order": order_id}


@use_case(Permission.PAYMENTS_PAYMENT_REFUND, gate=OUTCOME_GATE)
def resolve_order(
    work: Work, order_id: int, *, kind: str, succeeded: bool, reason: str, offer: str = "", code: str = ""
) -> None:
    """Say what became of a refund or void that waits for a person, after the provider was asked by other means.

    Args:
        kind: "refund" or "void".
        succeeded: whether the provider gave the money back.
        reason: how that is known.
        offer: the step-up offer that the form carried (`step_up.offer(actor, RESOLVE_ACT, resolved_facts(…))`).
        code: the authenticator's code.

    Raises:
        Invalid: no reason, or a wrong code.
        Conflict: its outcome is known, or the provider is still being asked.
        NeedsApproval: a policy asks for a second person.
    """
    if kind not in ORDERS:
        raise Invalid("There are refunds and voids.")
    if kind == "void" and not work.actor.may(Permission.PAYMENTS_PAYMENT_VOID):
        raise Forbidden("Your role does not allow this.")
    text = mask_pan_in_text(reason.strip())
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(_("Say how you know, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    step_up.spend(work, offer, code, RESOLVE_ACT, resolved_facts(kind, order_id))
    resolve(work, order_id, kind=kind, succeeded=succeeded, reason=text)
