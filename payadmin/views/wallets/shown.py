"""What the pages of wallets share: how wallets are called, how they are looked up, and the token of an order."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select
from wtforms import HiddenField

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.parties import Customer, Organization
from payadmin.models.tariffs import Contract, ContractVersion
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.views.filters import begins_with, row_id_of
from payadmin.views.language import say
from payadmin.views.ledger.words import owner_names

MOST_FOUND = 20
LONGEST_SEARCH = 200


class KeyField(HiddenField):
    """Names one order: made with the form, and sent back with it, so that sending it twice orders once."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read what came back."""
        self.data = valuelist[0].strip() if valuelist else ""

    def process_data(self, value: Any) -> None:
        """A new one for a new form."""
        self.data = value or f"form:{secrets.token_urlsafe(18)}"


def owner_key(row: Any) -> str:
    """`Wallet.owner_key` of a row of a list, which is no wallet but its columns."""
    return f"organization:{row.organization_id}" if row.organization_id is not None else f"customer:{row.customer_id}"


def wallet_titles(ids: set[int]) -> dict[int, str]:
    """Wallets with whose they are and what is in them: “W-000012, Corner Shop, EUR”."""
    columns = (Wallet.id, Wallet.number, Wallet.unit, Wallet.organization_id, Wallet.customer_id)
    rows = db.session.execute(select(*columns).where(Wallet.id.in_(ids))).all()
    return _titles(rows)


def found_wallets(typed: str) -> list[dict[str, object]]:
    """What a picker offers for what was typed: the beginning of a number or of an owner's name, or the row's number."""
    if not typed or len(typed) > LONGEST_SEARCH or not typed.isprintable():
        return []
    organizations = select(Organization.id).where(begins_with(Organization.name, typed)).limit(MOST_FOUND)
    customers = (
        select(Customer.id)
        .where(or_(begins_with(Customer.name, typed), begins_with(Customer.external_id, typed)))
        .limit(MOST_FOUND)
    )
    where: list[Any] = [begins_with(Wallet.number, typed)]
    for link, owners in ((Wallet.organization_id, organizations), (Wallet.customer_id, customers)):
        if ids := db.session.scalars(owners).all():
            where.append(link.in_(ids))
    if (row_id := row_id_of(typed)) is not None:
        where.append(Wallet.id == row_id)
    columns = (Wallet.id, Wallet.number, Wallet.unit, Wallet.organization_id, Wallet.customer_id)
    wanted = select(*columns).where(or_(*where), Wallet.status != WalletStatus.CLOSED)
    rows = db.session.execute(wanted.order_by(Wallet.id).limit(MOST_FOUND)).all()
    return [{"id": row_id, "text": text} for row_id, text in _titles(rows).items()]


def version_titles(ids: set[int]) -> dict[int, str]:
    """Contract versions with the code of their contract."""
    wanted = select(ContractVersion.id, ContractVersion.number, Contract.code).join(
        Contract, Contract.id == ContractVersion.contract_id
    )
    found = db.session.execute(wanted.where(ContractVersion.id.in_(ids))) if ids else ()
    return {row.id: say(_("%(code)s, version %(number)s", code=row.code, number=row.number)) for row in found}


def _titles(rows: Sequence[Any]) -> dict[int, str]:
    names = owner_names({owner_key(row) for row in rows})
    return {
        row.id: say(
            _(
                "%(wallet)s, %(owner)s, %(unit)s",
                wallet=row.number,
                owner=names.get(owner_key(row), ""),
                unit=row.unit,
            )
        )
        for row in rows
    }
