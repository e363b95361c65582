"""What a form says before anything is asked for: that the policy table will hold the act for a second person."""

from collections.abc import Sequence

from sqlalchemy import select

from payadmin.actions.payments.approval import was_refunded
from payadmin.approvals import KINDS
from payadmin.db import db
from payadmin.kernel.text import Text, _
from payadmin.models.approvals import ApprovalPolicy
from payadmin.models.payments import Payment
from payadmin.views.columns import money_text

HELD = _("This needs a second person: it will be asked for, not done.")
HELD_FROM = _("From %(amount)s on, this needs a second person: it will be asked for, not done.")
HELD_ROWS = _(
    "Rows of %(amount)s and more need a second person: they will be asked for, not done. The others are done."
)
HELD_AGAIN = _("A further refund of the same payment needs a second person: it will be asked for, not done.")
HELD_TOGETHER = _("Together from %(amount)s on, every row needs a second person: each will be asked for, not done.")


def refund_warning(payment: Payment) -> Text | None:
    """Whether a refund of this payment will wait: whatever its amount, or from which amount on; None if it never will.

    Amounts beyond what is left are not mentioned: no refund reaches them.
    """
    lines = _lines("refund")
    if "refund_again" in lines and was_refunded(db.session(), payment.id):
        return HELD_AGAIN
    return _from(lines.get("refund", {}).get(payment.unit), payment.refundable_minor, payment.unit)


def void_warning(payment: Payment) -> Text | None:
    """Whether a void of this payment will wait; the whole payment is taken back, so it is known."""
    amount = payment.captured_minor or payment.amount_minor
    threshold = _lines("void").get("void", {}).get(payment.unit)
    return HELD if threshold is not None and amount >= threshold else None


def run_warnings(amounts: Sequence[tuple[int, str]]) -> list[Text]:
    """What the confirmation of a bulk run of refunds says of each of its currencies.

    Args:
        amounts: what would go back for each row, in minor units, and its unit.
    """
    lines, found = _lines("refund"), []
    for unit in sorted({unit for _minor, unit in amounts}):
        minors = [minor for minor, each in amounts if each == unit]
        together, threshold = lines.get("refund_bulk", {}).get(unit), lines.get("refund", {}).get(unit)
        if together is not None and sum(minors) >= together:
            found.append(HELD_TOGETHER.of(amount=money_text(together, unit)))
        elif threshold is not None and min(minors) < threshold <= max(minors):
            found.append(HELD_ROWS.of(amount=money_text(threshold, unit)))
        elif (warning := _from(threshold, max(minors), unit)) is not None:
            found.append(warning)
    return found


def _from(threshold: int | None, most: int, unit: str) -> Text | None:
    if threshold is None or most < threshold:
        return None
    return HELD_FROM.of(amount=money_text(threshold, unit)) if threshold > 1 else HELD


def _lines(kind: str) -> dict[str, dict[str | None, int]]:
    """The policies of a kind that are on: rule → unit → threshold."""
    names = [rule.name for rule in KINDS[kind].rules]
    wanted = select(ApprovalPolicy).where(ApprovalPolicy.rule.in_(names), ApprovalPolicy.is_on)
    found: dict[str, dict[str | None, int]] = {}
    for policy in db.session.scalars(wanted):
        found.setdefault(policy.rule, {})[policy.unit] = policy.threshold_minor or 0
    return found
