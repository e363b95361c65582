"""Questions about products: whether they can be sold, who gets the money, and what became of sales."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin.kernel.text import _
from payadmin.models.parties import Organization, OrganizationStatus
from payadmin.models.products import Product, ProductStatus
from payadmin.models.wallets import MoveStatus, Wallet, WalletStatus, WalletTransaction


def provider_wallet(session: Session, provider_id: int, unit: str) -> Wallet | None:
    """The open wallet of a service provider in a unit."""
    return session.scalar(
        select(Wallet).where(
            Wallet.organization_id == provider_id, Wallet.unit == unit, Wallet.status == WalletStatus.OPEN
        )
    )


def why_unsellable(product: Product, provider: Organization, today: dt.date) -> str | None:
    """Why a product cannot be sold on a day, or None when it can."""
    names = {"product": product.name, "provider": provider.name}
    if product.status is not ProductStatus.ACTIVE:
        return _("%(product)s is not for sale.", **names)
    if today < product.valid_from:
        return _("%(product)s is sold from %(day)s on.", day=product.valid_from, **names)
    if not product.is_sold_on(today):
        return _("%(product)s was sold until %(day)s.", day=product.valid_to, **names)
    if provider.status is not OrganizationStatus.ACTIVE:
        return _("The service provider %(provider)s is closed.", **names)
    return None


def sale_states(session: Session, transaction_ids: Iterable[int]) -> dict[int, MoveStatus]:
    """How the wallet transactions of sales stand: one question for all of them."""
    rows = select(WalletTransaction.id, WalletTransaction.status).where(WalletTransaction.id.in_(set(transaction_ids)))
    return {row.id: row.status for row in session.execute(rows)}


def sale_state(transaction_id: Any) -> Any:
    """The same for one sale, as part of another statement."""
    return select(WalletTransaction.status).where(WalletTransaction.id == transaction_id).scalar_subquery()
