"""The wallets room: owners with wallets and money in them, contracts and rates, people who move money."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin.actions import tariffs, wallets
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.tariffs import Term
from payadmin.ledger import checks, recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.parties import Customer, Organization
from payadmin.models.wallets import LimitApplication, Wallet, WalletTransaction
from payadmin.permissions import Role
from payadmin.queries.wallets import Amounts, amounts_of
from payadmin.work import SYSTEM
from tests.support.approvals import Room
from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.make import Make, writing

UNITS = ("EUR", "GBP", "USD", "JPY", "KWD")


@dataclass
class _Pen:
    session: Any
    actor: Any = SYSTEM
    now: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Purses(Room):
    """Everything a test of wallets does, in short words."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        for code in UNITS:
            make.unit(code)
        self.admin = self.person(Role.ADMIN)
        self.cfo = self.person(Role.CFO)
        self.fraud = self.person(Role.ANTI_FRAUD)
        self._facts = 0

    def wallet(self, owner: Organization | Customer | str = "Corner Shop", unit: str = "EUR", funds: int = 0) -> int:
        """A wallet with money in it."""
        if isinstance(owner, str):
            owner = self.make.organization(owner)
        owner_id = owner.id
        whose = {"organization_id" if isinstance(owner, Organization) else "customer_id": owner_id}
        wallet = wallets.open_wallet(self.admin, unit=unit, **whose)
        wallet_id = wallet.id
        if funds:
            self.fund(wallet_id, funds)
        return wallet_id

    def fund(self, wallet_id: int, amount: int) -> None:
        """Money comes in, as from a payment."""
        wallet = self.get(Wallet, wallet_id)
        owner, unit = wallet.owner_key, wallet.unit
        self._facts += 1
        recipe = recipes.payment_paid(unit=unit, provider="simulator", merchant=owner, amount=amount)
        writing()
        day = utcnow().astimezone(current_settings().zone).date()
        post(_Pen(db.session(), now=utcnow()), [Posting(f"fund:{self._facts}", recipe, "test", 1, day)])
        db.session.commit()

    def amounts(self, wallet_id: int) -> Amounts:
        """What a wallet comes to now."""
        return amounts_of(db.session(), [self.get(Wallet, wallet_id)])[wallet_id]

    def get(self, model: Any, row_id: int) -> Any:
        """A row as it is now."""
        db.session.rollback()
        return db.session.get_one(model, row_id, populate_existing=True)

    def transfer(self, from_id: int, to_id: int, amount: int, **more: Any) -> WalletTransaction:
        """A transfer by the administrator, each with a key of its own unless told otherwise."""
        self._facts += 1
        more = {"key": f"t{self._facts}"} | more
        return wallets.transfer(self.admin, from_id, to_id=to_id, amount_minor=amount, **more)

    def exchange(self, from_id: int, to_id: int, amount: int, **more: Any) -> WalletTransaction:
        """An exchange by the administrator."""
        self._facts += 1
        more = {"key": f"x{self._facts}"} | more
        return wallets.exchange(self.admin, from_id, to_id=to_id, amount_minor=amount, **more)

    def contract(self, name: str, *terms: Term) -> int:
        """A contract in force now, of an organization."""
        contract_id = tariffs.open_contract(self.cfo, code=f"C-{name.upper()}", name=name, terms=terms, note=None)
        organization_id = self.make.organization(name).id
        tariffs.assign_contract(self.cfo, organization_id, contract_id=contract_id)
        return contract_id

    def rate(self, base: str, quote: str, rate: str) -> None:
        """A System rate from now on."""
        tariffs.add_rate(self.cfo, base=base, quote=quote, rate=Decimal(rate), is_sure=True)

    def journals(self, row_id: int) -> list[str]:
        """The templates that a transaction is booked by."""
        db.session.rollback()
        wanted = select(LedgerTransaction.template).where(
            LedgerTransaction.business == "wallet_transaction", LedgerTransaction.business_id == row_id
        )
        return list(db.session.scalars(wanted.order_by(LedgerTransaction.id)))

    def application(self, row_id: int) -> LimitApplication:
        """What waits because of a transaction."""
        db.session.rollback()
        return db.session.scalars(select(LimitApplication).where(LimitApplication.transaction_id == row_id)).one()

    def count(self, model: Any) -> int:
        """How many rows there are."""
        db.session.rollback()
        return db.session.scalar(select(func.count()).select_from(model)) or 0

    def unsound(self) -> list[str]:
        """What breaks an invariant, but for what providers owe: tests fund wallets without payments."""
        db.session.rollback()
        results: Iterable[checks.Result] = checks.run(db.session(), ())
        found = [row["sentence"] for each in results if each.number != "I7" for row in each.rows]
        db.session.rollback()
        return found


@pytest.fixture
def purses(app: Flask, make: Make) -> Purses:
    return Purses(app, make)


__all__ = ["Purses", "desk", "provider_process", "purses", "simulator"]
