"""A small cash office: desks, cashiers, an accountant, a CFO, wallets with money, and what they do in short words."""

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin.actions import tariffs, treasury, wallets
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.tariffs import Term
from payadmin.ledger import checks, recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.parties import Customer, IdentificationStatus, Organization
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.treasury import CashDayUnit, CashDesk, CashDeskDay, CashOperation, CashSource, SystemKind
from payadmin.models.wallets import Wallet
from payadmin.permissions import Role
from payadmin.queries import treasury as asked
from payadmin.queries.wallets import Amounts, amounts_of
from payadmin.work import SYSTEM, Actor
from tests.support.approvals import Room
from tests.support.make import Make, writing

UNITS = ("EUR", "USD", "JPY")


@dataclass
class Pen:
    """Who writes into the books outside every use case."""

    session: Any
    now: dt.datetime
    actor: Any = SYSTEM


class CashOffice(Room):
    """Desks and people. What they do is done through the use cases; every verb answers with the row's id."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        for code in UNITS:
            make.unit(code)
        self.admin = self.person(Role.ADMIN)
        self.cfo = self.person(Role.CFO)
        self.accountant = self.person(Role.ACCOUNTANT)
        self.cashier = self.person(Role.CASHIER)
        self._numbers = itertools.count(1)

    # ---- what there is

    def desk(self, *cashiers: Actor, code: str | None = None, money: Mapping[str, int] | None = None) -> int:
        """A desk of Corner Shop at which these cashiers work, with money in it."""
        number = next(self._numbers)
        code = code or f"DESK-{number}"
        organization_id = self.make.organization().id
        desk = treasury.create_desk(self.accountant, code=code, name=code.title(), organization_id=organization_id)
        desk_id = desk.id
        for cashier in cashiers:
            self.assign(desk_id, cashier)
        for unit, minor in (money or {}).items():
            self.invest(desk_id, unit, minor)
        return desk_id

    def assign(self, desk_id: int, cashier: Actor) -> int:
        """Let a cashier work at a desk."""
        assert cashier.staff_id is not None
        return treasury.assign(self.accountant, desk_id, cashier_id=cashier.staff_id).id

    def invest(self, desk_id: int, unit: str, minor: int) -> None:
        """Cash comes to a desk from the owner, as an accountant asks for it and the CFO confirms it (J13, J15)."""
        self.moved(SystemKind.CASH_INPUT, unit, minor, source=CashSource.OWNER)
        self.moved(SystemKind.INVESTMENT, unit, minor, desk_id=desk_id)

    def collect(self, desk_id: int, unit: str, minor: int) -> None:
        """Cash is taken from a desk (J14)."""
        self.moved(SystemKind.CASH_COLLECTION, unit, minor, desk_id=desk_id)

    def moved(self, kind: SystemKind, unit: str, minor: int, **more: Any) -> int:
        """A system operation, initiated and confirmed."""
        more = {"key": f"m{next(self._numbers)}"} | more
        row = treasury.initiate(self.accountant, kind=kind, unit=unit, amount_minor=minor, **more)
        number, version = row.id, row.version
        treasury.confirm(self.cfo, number, version=version)
        return number

    def wallet(self, unit: str = "EUR", funds: int = 0, *, owner: Customer | Organization | None = None) -> int:
        """A wallet, of a new and identified customer unless told otherwise."""
        owner = owner or self.make.customer(identification=IdentificationStatus.IDENTIFIED)
        whose = {"organization_id" if isinstance(owner, Organization) else "customer_id": owner.id}
        wallet_id = wallets.open_wallet(self.admin, unit=unit, **whose).id
        if funds:
            owner_key = self.get(Wallet, wallet_id).owner_key
            recipe = recipes.payment_paid(unit=unit, provider="simulator", merchant=owner_key, amount=funds)
            self._post((f"fund:{next(self._numbers)}", recipe))
        return wallet_id

    def contracted(self, name: str, *terms: Term) -> Organization:
        """An organization whose contract has these terms."""
        contract_id = tariffs.open_contract(self.cfo, code=f"C-{name.upper()}", name=name, terms=terms, note=None)
        organization = self.make.organization(name)
        organization_id = organization.id
        tariffs.assign_contract(self.cfo, organization_id, contract_id=contract_id)
        return self.get(Organization, organization_id)

    def redeem(self, wallet_id: int, minor: int, *, commission: int = 0, **values: Any) -> int:
        """An approved redeem request for a cash desk, with its money set aside (J18)."""
        wallet = self.get(Wallet, wallet_id)
        unit, owner = wallet.unit, wallet.owner_key
        writing()
        request = RedeemRequest(
            **{
                "key": f"redeem{next(self._numbers)}",
                "wallet_id": wallet_id,
                "unit": unit,
                "amount_minor": minor,
                "commission_minor": commission,
                "channel": RedeemChannel.CASH_DESK,
                "status": RedeemStatus.APPROVED,
                "on_day": self.today(),
                "decided_at": utcnow(),
            }
            | values
        )
        db.session.add(request)
        db.session.flush()
        request_id = request.id
        aside = recipes.redeem_submitted(unit=unit, owner=owner, amount=minor, commission=commission)
        posting = Posting(request.held_as, aside, "redeem_request", request_id, self.today(), holds=True)
        post(Pen(db.session(), utcnow()), [posting])
        db.session.info.pop("payadmin.changed", None)
        db.session.commit()
        return request_id

    # ---- what people do

    def open(self, desk_id: int, cashier: Actor | None = None) -> int:
        """Open the day of a desk."""
        return treasury.open_day(cashier or self.cashier, desk_id).id

    def top_up(self, wallet_id: int, minor: int, cashier: Actor | None = None, **more: Any) -> CashOperation:
        """Cash for a wallet, each time another order."""
        more = {"key": f"k{next(self._numbers)}"} | more
        return treasury.top_up(cashier or self.cashier, wallet_id, amount_minor=minor, **more)

    def withdraw(self, wallet_id: int, minor: int, cashier: Actor | None = None, **more: Any) -> CashOperation:
        """Cash out of a wallet, each time another order."""
        more = {"key": f"k{next(self._numbers)}"} | more
        return treasury.withdraw(cashier or self.cashier, wallet_id, amount_minor=minor, **more)

    def pay(self, request_id: int, cashier: Actor | None = None, **more: Any) -> CashOperation:
        """Pay a redeem request in cash."""
        more = {"key": f"k{next(self._numbers)}"} | more
        return treasury.pay_redeem(cashier or self.cashier, request_id, **more)

    def count(self, day_id: int, cashier: Actor | None = None, **more: Any) -> None:
        """Count a day as the books have it, unless told otherwise, and ask for its closing."""
        day = self.get(CashDeskDay, day_id)
        more = {"version": day.version, "counts": self.expected(day_id)} | more
        treasury.request_close(cashier or self.cashier, day_id, **more)

    def close(self, day_id: int, accountant: Actor | None = None, **more: Any) -> None:
        """Accept what was counted."""
        more = {"version": self.get(CashDeskDay, day_id).version} | more
        treasury.close_day(accountant or self.accountant, day_id, **more)

    def give_back(self, day_id: int, reason: str = "Count again", **more: Any) -> None:
        """Return what was counted."""
        more = {"version": self.get(CashDeskDay, day_id).version} | more
        treasury.return_day(self.accountant, day_id, reason=reason, **more)

    # ---- what is

    def get(self, model: Any, row_id: int) -> Any:
        """A row as it is now."""
        db.session.rollback()
        return db.session.get_one(model, row_id, populate_existing=True)

    def day(self, day_id: int) -> CashDeskDay:
        """A day as it is now."""
        found: CashDeskDay = self.get(CashDeskDay, day_id)
        return found

    def in_desk(self, desk_id: int) -> dict[str, int]:
        """What lies in a desk, without units of which there is nothing."""
        found = asked.balances(db.session(), [self.get(CashDesk, desk_id)])[desk_id]
        return {unit: minor for unit, minor in found.items() if minor}

    def expected(self, day_id: int) -> dict[str, int]:
        """What a count of this day comes to if nothing is missing."""
        day = self.day(day_id)
        desk = db.session.get_one(CashDesk, day.desk_id)
        lying = asked.balances(db.session(), [desk])[desk.id]
        return {unit: lying.get(unit, 0) for unit in asked.units_of_day(db.session(), day, desk)}

    def units(self, day_id: int) -> dict[str, tuple[int, int | None, int | None]]:
        """Opening, expected and counted of a day, by unit."""
        db.session.rollback()
        rows = db.session.scalars(select(CashDayUnit).where(CashDayUnit.day_id == day_id))
        return {row.unit: (row.opening_minor, row.expected_minor, row.counted_minor) for row in rows}

    def amounts(self, wallet_id: int) -> Amounts:
        """What a wallet comes to."""
        return amounts_of(db.session(), [self.get(Wallet, wallet_id)])[wallet_id]

    def journals(self, business: str, row_id: int) -> list[str]:
        """The templates by which a row is booked."""
        db.session.rollback()
        wanted = select(LedgerTransaction.template).where(
            LedgerTransaction.business == business, LedgerTransaction.business_id == row_id
        )
        return list(db.session.scalars(wanted.order_by(LedgerTransaction.id)))

    def count_of(self, model: Any) -> int:
        """How many rows there are."""
        db.session.rollback()
        return db.session.scalar(select(func.count()).select_from(model)) or 0

    def unsound(self, *besides: str) -> list[str]:
        """What breaks an invariant, but for what providers owe: tests fund wallets without payments.

        Args:
            besides: other checks to leave out, by their numbers.
        """
        db.session.rollback()
        results: Iterable[checks.Result] = checks.run(db.session(), ())
        found = [row["sentence"] for each in results if each.number not in {"I7", *besides} for row in each.rows]
        db.session.rollback()
        return found

    def today(self) -> dt.date:
        """The date in business time."""
        return utcnow().astimezone(current_settings().zone).date()

    def _post(self, *facts: tuple[str, recipes.Recipe]) -> None:
        writing()
        for key, recipe in facts:
            post(Pen(db.session(), utcnow()), [Posting(key, recipe, "test", 1, self.today())])
        db.session.commit()


@pytest.fixture
def office(app: Flask, make: Make) -> CashOffice:
    """A cash office in which nothing has happened yet."""
    return CashOffice(app, make)
