"""Bonus units: brought into being on a wallet, and taken out of the world again (J28 and its reverse)."""

from typing import Final

from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR, Money
from payadmin.kernel.text import _
from payadmin.ledger import chart, recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.ledger import MEMO_LENGTH, LedgerTransaction
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

WRITE: Final = Permission.WALLETS_UNIT_WRITE
LONGEST_KEY: Final = 60


@use_case(WRITE, about=Unit)
def issue_bonus(
    work: Work,
    unit_id: int,
    *,
    amount_minor: int,
    reason: str,
    key: str,
    organization_id: int | None = None,
    customer_id: int | None = None,
) -> int:
    """Bring bonus units into being on a wallet; the number of the ledger's transaction. The same key does it once.

    Args:
        amount_minor: how many, in the smallest part of the unit.
        reason: why; it stands beside the transaction for good.
        key: made when the form was shown.
        organization_id, customer_id: whose wallet; one of the two.

    Raises:
        Invalid: no amount, no reason, no wallet or two, or a unit that is no bonus unit.
        Conflict: the unit is retired, or the owner is closed or blocked.
    """
    return _book(work, unit_id, amount_minor, reason, key, organization_id, customer_id, is_issued=True)


@use_case(WRITE, about=Unit)
def redeem_bonus(
    work: Work,
    unit_id: int,
    *,
    amount_minor: int,
    reason: str,
    key: str,
    organization_id: int | None = None,
    customer_id: int | None = None,
) -> int:
    """Take bonus units from a wallet and out of the world; the number of the ledger's transaction. Once for a key.

    Args:
        amount_minor: how many, in the smallest part of the unit; no more than the wallet holds.
        reason: why; it stands beside the transaction for good.
        key: made when the form was shown.
        organization_id, customer_id: whose wallet; one of the two.

    Raises:
        Invalid: no amount, no reason, no wallet or two, or a unit that is no bonus unit.
        Conflict: the wallet holds less, the unit is retired, or the owner is closed or blocked.
    """
    return _book(work, unit_id, amount_minor, reason, key, organization_id, customer_id, is_issued=False)


def _book(
    work: Work,
    unit_id: int,
    amount_minor: int,
    reason: str,
    key: str,
    organization_id: int | None,
    customer_id: int | None,
    *,
    is_issued: bool,
) -> int:
    unit = work.get(Unit, unit_id, lock=True)
    words = " ".join(reason.split())
    if unit.kind is not UnitKind.BONUS:
        raise Invalid("Only bonus units are issued and redeemed.")
    if not 0 < amount_minor <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    if not words or len(words) > MEMO_LENGTH or not words.isprintable():
        raise Invalid(_("Write a reason of at most %(most)s characters.", most=MEMO_LENGTH), field="reason")
    if not key or len(key) > LONGEST_KEY:
        raise Invalid("The form is not whole. Open it again.")
    if unit.status is not UnitStatus.ACTIVE:
        raise Conflict("This unit is retired. Use it again first.")
    owner, name = _owner(work, organization_id, customer_id)
    recipe = recipes.bonus_issued(unit=unit.code, owner=owner, amount=amount_minor)
    fact = f"unit:{unit_id}:{'issued' if is_issued else 'redeemed'}:{key}"
    was_there = work.exists(LedgerTransaction.key == fact)
    posting = Posting(
        fact,
        recipe if is_issued else recipe.reversed(),
        "unit",
        unit_id,
        work.now.astimezone(current_settings().zone).date(),
        memo=words,
    )
    number = post(work, [posting])[fact]
    if not was_there:
        event = Event.UNIT_ISSUED if is_issued else Event.UNIT_REDEEMED
        after = {"amount": str(Money(amount_minor, unit.code, unit.scale)), "owner": name, "transaction": number}
        work.record(event, unit, after=after, reason=words, unit=unit.code)
    return number


def _owner(work: Work, organization_id: int | None, customer_id: int | None) -> tuple[str, str]:
    """How the owner of the wallet owns accounts, and its name."""
    if (organization_id is None) == (customer_id is None):
        raise Invalid("Choose an organization or a customer, one of the two.", field="organization")
    if organization_id is not None:
        organization = work.get(Organization, organization_id)
        if organization.status is not OrganizationStatus.ACTIVE:
            raise Conflict("This organization is closed.", field="organization")
        return chart.organization(organization.id), organization.name
    assert customer_id is not None
    customer = work.get(Customer, customer_id)
    if customer.status is not CustomerStatus.ACTIVE:
        raise Conflict("This customer is blocked.", field="customer")
    return chart.customer(customer.id), customer.external_id
