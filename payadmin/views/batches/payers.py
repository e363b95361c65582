"""Organizations that can pay a mass payment, looked up by the beginning of their name."""

from sqlalchemy import or_, select

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.parties import Organization, OrganizationStatus
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.views.filters import begins_with, row_id_of
from payadmin.views.language import say
from payadmin.views.tariffs.shown import MOST_FOUND, organization_titles

LONGEST = 100


def found_payers(typed: str) -> list[dict[str, object]]:
    """What the picker offers for what was typed: active organizations that have an open wallet."""
    if not typed or len(typed) > LONGEST or not typed.isprintable():
        return []
    where = [begins_with(Organization.name, typed)]
    if (row_id := row_id_of(typed)) is not None:
        where.append(Organization.id == row_id)
    has_wallet = select(Wallet.id).where(Wallet.organization_id == Organization.id, Wallet.status == WalletStatus.OPEN)
    wanted = select(Organization.id, Organization.name).where(
        or_(*where), Organization.status == OrganizationStatus.ACTIVE, has_wallet.exists()
    )
    rows = db.session.execute(wanted.order_by(Organization.name).limit(MOST_FOUND)).all()
    return [
        {"id": row_id, "text": say(_("%(name)s (No. %(number)s)", name=name, number=row_id))} for row_id, name in rows
    ]


__all__ = ["found_payers", "organization_titles"]
