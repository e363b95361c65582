"""The demo's wallets: two organizations with wallets in two currencies, and what moved between them and merchants."""

from typing import Final

from sqlalchemy import select

from payadmin.actions import records, tariffs, wallets
from payadmin.db import db, utcnow
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.tariffs import Contract
from payadmin.models.wallets import Wallet, WalletKind, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.tariffs import quoted
from payadmin.queries.wallets import amounts_of
from payadmin.work import SYSTEM

UNIT, OTHER = "GBP", "EUR"
PAYOUTS, PARTNER = "Northwind Payouts", "Lumen Partners"
CODE: Final = "WALLET-1"
_K = TransactionType
TERMS: Final = (
    Term(_K.TRANSFER, UNIT, 5_000, min_minor=10, max_minor=5_00, charged_to=ChargedTo.PAYER, limit_single_minor=250_00),
    Term(_K.EXCHANGE, UNIT, 2_500, charged_to=ChargedTo.PAYER, spread_ppm=5_000),
    Term(_K.MASS_PAYMENT, UNIT, 0, 25, charged_to=ChargedTo.PAYER, limit_day_minor=5_000_00),
)
FUNDS: Final = 900_00


def load_wallets() -> None:
    """Add what is missing; a second time nothing. Without merchants whose payments were booked it adds only wallets."""
    moved = select(WalletTransaction.id).where(WalletTransaction.kind == WalletKind.TRANSFER)
    if db.session.scalar(moved.limit(1)) is not None:
        return
    payouts = _organization(PAYOUTS, OrganizationKind.MASSPAY)
    partner = _organization(PARTNER, OrganizationKind.PARTNER)
    if db.session.scalar(select(Contract.id).where(Contract.code == CODE)) is None:
        contract = tariffs.open_contract(SYSTEM, code=CODE, name="Wallet holders", terms=TERMS, note="The first one")
        tariffs.assign_contract(SYSTEM, payouts, contract_id=contract)
    main, euros, other = _wallet(payouts, UNIT), _wallet(payouts, OTHER), _wallet(partner, UNIT)
    people = db.session.scalars(select(Customer.id).order_by(Customer.id).limit(3)).all()
    purses = [wallets.open_wallet(SYSTEM, unit=UNIT, customer_id=row_id).id for row_id in people]
    merchant = _rich_merchant(except_for={main, other})
    if merchant is None:
        return
    _move(merchant, main, FUNDS, "Payout float")
    _move(merchant, other, FUNDS // 4, "Partner's share")
    for place, purse in enumerate(purses, 1):
        _move(main, purse, 20_00 * place, "Refund of travel costs")
    if quoted(db.session(), UNIT, OTHER, utcnow()) is not None:
        wallets.exchange(SYSTEM, main, to_id=euros, amount_minor=100_00, key="sample:exchange", note="Euros for May")
    _move(main, other, 260_00, "Over the limit of one transfer")


def _organization(name: str, kind: OrganizationKind) -> int:
    found = db.session.scalar(select(Organization.id).where(Organization.name == name))
    if found is None:
        write = Permission.PARTIES_ORGANIZATION_WRITE
        records.create_record(SYSTEM, Organization, permission=write, values={"name": name, "kind": kind})
        found = db.session.scalars(select(Organization.id).where(Organization.name == name)).one()
    return found


def _wallet(organization_id: int, unit: str) -> int:
    there = select(Wallet.id).where(Wallet.organization_id == organization_id, Wallet.unit == unit)
    found = db.session.scalar(there)
    return found or wallets.open_wallet(SYSTEM, unit=unit, organization_id=organization_id).id


def _rich_merchant(*, except_for: set[int]) -> int | None:
    """The merchant's wallet, of the first ones, with the most in it, if that is enough."""
    wanted = (
        select(Wallet).where(Wallet.unit == UNIT, Wallet.organization_id.is_not(None)).order_by(Wallet.id).limit(50)
    )
    listed = [each for each in db.session.scalars(wanted) if each.id not in except_for]
    amounts = amounts_of(db.session(), listed)
    best = max(listed, key=lambda each: amounts[each.id].available_minor, default=None)
    return best.id if best is not None and amounts[best.id].available_minor >= FUNDS * 4 // 3 else None


def _move(from_id: int, to_id: int, minor: int, note: str) -> None:
    key = f"sample:{from_id}:{to_id}:{minor}"
    wallets.transfer(SYSTEM, from_id, to_id=to_id, amount_minor=minor, key=key, note=note)
