"""What the page of a payment tells about its tariffs: what it cost, by which contract and why, what it gave back."""

from dataclasses import dataclass

from flask import url_for

from payadmin.db import db
from payadmin.kernel.tariffs import commission, told
from payadmin.kernel.text import _
from payadmin.models.payments import Payment
from payadmin.permissions import Permission
from payadmin.queries.tariffs import tariff_of_payment
from payadmin.views.columns import money_text, unit_scale
from payadmin.views.language import say
from payadmin.views.security import current_actor


@dataclass(frozen=True)
class Told:
    """What a payment cost and gave back.

    Attributes:
        version: the contract's version that was in force, and `url` its page for whoever may see it.
        steps: how the commission came about.
    """

    commission: str | None
    version: str
    url: str | None
    steps: list[str]
    cashback: str | None
    profile: str | None


def tariff_told(payment: Payment) -> Told | None:
    """What was in force when a payment was booked; None where nothing was, and for whoever may not see the books."""
    if not current_actor().may(Permission.LEDGER_ENTRY_READ):
        return None
    found = tariff_of_payment(db.session(), payment.id)
    if found is None:
        return None
    steps: list[str] = []
    version = ""
    if found.term is not None:
        cost = commission(found.term, payment.captured_minor)
        steps = [say(step) for step in told(found.term, cost, unit_scale(payment.unit) or 0)]
        version = say(_("%(contract)s, version %(number)s", contract=found.contract, number=found.number))
    sees = found.contract_id is not None and current_actor().may(Permission.CONTRACTS_REQUEST_READ)
    return Told(
        commission=money_text(found.kept.commission_minor, payment.unit) if found.term is not None else None,
        version=version,
        url=url_for("contracts.details_view", row_id=found.contract_id, version=found.number) if sees else None,
        steps=steps,
        cashback=money_text(found.kept.cashback_minor, payment.unit) if found.profile is not None else None,
        profile=found.profile,
    )
