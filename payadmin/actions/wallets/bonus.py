"""Bonus units: brought into being on a wallet, and taken out of the world again (J28 and its reverse)."""

from typing import Any, Final

from sqlalchemy import select

from payadmin.actions.wallets.moving import BUSINESS, keep_units, names
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR, Money
from payadmin.kernel.text import _
from payadmin.ledger import chart, recipes
from payadmin.ledger.posting import Posting, open_account, post
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.models.wallets import NOTE_LENGTH, MoveStatus, Wallet, WalletKind, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.wallets import trouble
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
    """Bring bonus units into being on a wallet; the number of the wallet transaction. The same key does it once.

    The owner's wallet is opened if there is none.

    Args:
        amount_minor: how many, in the smallest part of the unit.
        reason: why; it stands beside the transaction for good.
        key: made when the form was shown.
        organization_id, customer_id: whose wallet; one of the two.

    Raises:
        Invalid: no amount, no reason, no wallet or two, or a unit that is no bonus unit.
        Conflict: the unit is retired, the wallet is closed, its owner is closed or blocked, or the key stands for
            something else.
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
    """Take bonus units from a wallet and out of the world; the number of the wallet transaction. Once for a key.

    Args:
        amount_minor: how many, in the smallest part of the unit; no more than the wallet holds.
        reason: why; it stands beside the transaction for good.
        key: made when the form was shown.
        organization_id, customer_id: whose wallet; one of the two.

    Raises:
        Invalid: no amount, no reason, no wallet or two, or a unit that is no bonus unit.
        Conflict: the wallet holds less, is closed or blocked, the unit is retired, the owner is closed or blocked, or
            the key stands for something else.
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
    unit = work.get(Unit, unit_id)
    keep_units(work, unit.code)
    work.session.refresh(unit)
    words = " ".join(reason.split())
    if unit.kind is not UnitKind.BONUS:
        raise Invalid("Only bonus units are issued and redeemed.")
    if not 0 < amount_minor <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    if not words or len(words) > NOTE_LENGTH or not words.isprintable():
        raise Invalid(_("Write a reason of at most %(most)s characters.", most=NOTE_LENGTH), field="reason")
    if not key or len(key) > LONGEST_KEY:
        raise Invalid("The form is not whole. Open it again.")
    if unit.status is not UnitStatus.ACTIVE:
        raise Conflict("This unit is retired. Use it again first.")
    owner, name = _owner(work, organization_id, customer_id)
    wallet = _wallet(work, owner, unit.code)
    kind = WalletKind.BONUS_ISSUE if is_issued else WalletKind.BONUS_REDEEM
    asked = {"from_wallet_id": None if is_issued else wallet.id, "to_wallet_id": wallet.id if is_issued else None}
    fact = f"unit:{unit_id}:{'issued' if is_issued else 'redeemed'}:{key}"
    before: WalletTransaction | None = work.one(select(WalletTransaction).where(WalletTransaction.key == fact))
    if before is not None:
        return _same(before, asked | {"amount_minor": amount_minor})
    field = "organization" if organization_id is not None else "customer"
    if (refusal := trouble(work.session, wallet, pays=not is_issued, field=field)) is not None:
        raise refusal
    row = work.add(
        WalletTransaction(
            key=fact,
            kind=kind,
            unit=unit.code,
            amount_minor=amount_minor,
            paid_minor=amount_minor,
            to_unit=unit.code,
            received_minor=amount_minor,
            day=work.now.astimezone(current_settings().zone).date(),
            status=MoveStatus.EXECUTED,
            note=words,
            author_id=work.actor.staff_id,
            **asked,
        )
    )
    recipe = recipes.bonus_issued(unit=unit.code, owner=owner, amount=amount_minor)
    recipe = recipe if is_issued else recipe.reversed()
    post(work, [Posting(f"{BUSINESS}:{row.id}", recipe, BUSINESS, row.id, row.day, memo=words)])
    work.record(
        Event.UNIT_ISSUED if is_issued else Event.UNIT_REDEEMED,
        unit,
        also=[row],
        after={"amount": str(Money(amount_minor, unit.code, unit.scale)), "owner": name},
        reason=words,
        unit=unit.code,
        **names(row, wallet),
    )
    return row.id


def _same(row: WalletTransaction, asked: dict[str, Any]) -> int:
    if any(getattr(row, name) != value for name, value in asked.items()):
        raise Conflict("This form was used for another order already. Open it again.")
    return row.id


def _wallet(work: Work, owner: str, unit: str) -> Wallet:
    """The owner's wallet in a unit, opened if there is none, and held until the end of the transaction."""
    account_id = open_account(work.session, chart.wallet(owner, unit))
    return work.get(Wallet, work.one(select(Wallet.id).where(Wallet.account_id == account_id)), lock=True)


def _owner(work: Work, organization_id: int | None, customer_id: int | None) -> tuple[str, str]:
    """How the owner of the wallet owns accounts, and its name."""
    if (organization_id is None) == (customer_id is None):
        raise Invalid("Choose an organization or a customer, one of the two.", field="organization")
    if organization_id is not None:
        return chart.organization(organization_id), work.get(Organization, organization_id).name
    assert customer_id is not None
    return chart.customer(customer_id), work.get(Customer, customer_id).external_id
