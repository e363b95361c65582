"""Wallets are opened for an owner and a unit, and closed when nothing is left in them (S3:45)."""

from typing import Final

from sqlalchemy import select

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.ledger import chart
from payadmin.ledger.posting import open_account
from payadmin.models.ledger import LedgerAccount
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.wallets import MoveStatus, Wallet, WalletStatus, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.blocks import organization_block, refuse
from payadmin.queries.tariffs import active_units
from payadmin.queries.wallets import amounts_of
from payadmin.work import Work, use_case

WRITE: Final = Permission.WALLETS_WALLET_WRITE
STALE = "Somebody else changed this wallet meanwhile. Look at what changed, then try again."


@use_case(WRITE)
def open_wallet(work: Work, *, unit: str, organization_id: int | None = None, customer_id: int | None = None) -> Wallet:
    """Open a wallet of an organization or a customer in a unit; a closed one is opened again, with its history.

    Raises:
        Invalid: no owner or two, or a unit that cannot be used.
        Conflict: the owner is closed or blocked, or has an open wallet in this unit.
    """
    if (organization_id is None) == (customer_id is None):
        raise Invalid("A wallet belongs to one organization or one customer.", field="owner")
    if unit not in active_units(work.session):
        raise Invalid(_("%(unit)s is no unit that can be used.", unit=unit), field="unit")
    if organization_id is not None:
        if work.get(Organization, organization_id).status is not OrganizationStatus.ACTIVE:
            raise Conflict("The organization is closed.", field="owner")
        refuse(organization_block(work.session, organization_id))
        owner = chart.organization(organization_id)
    else:
        if work.get(Customer, customer_id).status is not CustomerStatus.ACTIVE:
            raise Conflict("The customer is blocked.", field="owner")
        owner = chart.customer(customer_id or 0)
    there = _of_account(work, f"2010:{owner}:{unit}")
    if there is not None:
        return _open_again(work, there)
    number = open_account(work.session, chart.wallet(owner, unit))
    wallet: Wallet = work.one(select(Wallet).where(Wallet.account_id == number))
    work.record(
        Event.WALLET_OPENED,
        wallet,
        after={"number": wallet.number, "unit": unit, "organization_id": organization_id, "customer_id": customer_id},
        wallet_number=wallet.number,
    )
    return wallet


@use_case(WRITE, about=Wallet)
def close_wallet(work: Work, wallet_id: int, *, version: int) -> None:
    """Close a wallet of which nothing is left and nothing waits. Its entries stay in the books.

    What a provider pays for a payment is the owner's money even then: it is booked, and the wallet can be opened again.

    Raises:
        Conflict: there is money in it or set aside of it, it is not open, or somebody else changed it meanwhile.
    """
    wallet = work.get(Wallet, wallet_id, lock=True)
    if wallet.version != version:
        raise Conflict(STALE, now=wallet.version)
    if wallet.status is not WalletStatus.OPEN:
        raise Conflict("Only an open wallet can be closed.")
    found = amounts_of(work.session, [wallet])[wallet.id]
    if found.held_minor or work.exists(
        WalletTransaction.from_wallet_id == wallet.id, WalletTransaction.status == MoveStatus.HELD
    ):
        raise Conflict("Money of this wallet is set aside for a decision. It can be closed when that is taken.")
    if found.available_minor:
        raise Conflict("There is money in this wallet. Transfer it first: only an empty wallet can be closed.")
    if not work.change(Wallet, wallet_id, when=(Wallet.version == version,), status=WalletStatus.CLOSED):
        raise Conflict(STALE)
    work.record(
        Event.WALLET_CLOSED,
        work.get(Wallet, wallet_id),
        before={"status": WalletStatus.OPEN},
        after={"status": WalletStatus.CLOSED},
        wallet_number=wallet.number,
    )


def _of_account(work: Work, code: str) -> Wallet | None:
    found: Wallet | None = work.one(
        select(Wallet)
        .join(LedgerAccount, LedgerAccount.id == Wallet.account_id)
        .where(LedgerAccount.code == code)
        .with_for_update(of=Wallet, key_share=True)
    )
    return found


def _open_again(work: Work, wallet: Wallet) -> Wallet:
    if wallet.status is not WalletStatus.CLOSED:
        raise Conflict(
            _("There is a wallet in this unit already: %(wallet)s.", wallet=wallet.number),
            field="unit",
            there=wallet.id,
        )
    if not work.change(Wallet, wallet.id, when=(Wallet.version == wallet.version,), status=WalletStatus.OPEN):
        raise Conflict(STALE)
    work.record(
        Event.WALLET_OPENED,
        work.get(Wallet, wallet.id),
        before={"status": WalletStatus.CLOSED},
        after={"status": WalletStatus.OPEN},
        wallet_number=wallet.number,
    )
    return wallet
