"""The treasury in short words: desks, cashiers, accountants and CFOs, and what lies where."""

import datetime as dt
from typing import Any

from sqlalchemy import func, select

from payadmin.actions import treasury
from payadmin.db import db, utcnow
from payadmin.models.ledger import LedgerAccount, LedgerBalance, LedgerTransaction
from payadmin.models.treasury import (
    CashDesk,
    CashDeskAssignment,
    CashDeskDay,
    CashSource,
    DayStatus,
    SystemKind,
    SystemOperation,
)
from payadmin.permissions import Role
from payadmin.work import Actor
from tests.support.make import writing
from tests.wallets.conftest import Purses


class CashOffice(Purses):
    """Everything a test of cash does; desks and days are written straight into the database."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.accountant = self.person(Role.ACCOUNTANT)
        self.cashier = self.person(Role.CASHIER)

    def desk(self, code: str = "D1", *, cashier: Actor | None = None, **values: Any) -> int:
        """A desk, with somebody at it."""
        organization = self.make.organization("Cash Office").id
        desk = self.save(CashDesk(code=code, name=f"Desk {code}", organization_id=organization, **values))
        if cashier is not None:
            self.assign(desk, cashier)
        return desk

    def assign(self, desk_id: int, cashier: Actor) -> None:
        """Somebody works there from now on."""
        self.save(CashDeskAssignment(desk_id=desk_id, cashier_id=cashier.staff_id, begins_at=utcnow()))

    def day(self, desk_id: int, status: DayStatus = DayStatus.OPEN) -> int:
        """A day of a desk in a state."""
        now = utcnow()
        later = {"close_requested_at": now} if status is not DayStatus.OPEN else {}
        if status in {DayStatus.RETURNED, DayStatus.CLOSED}:
            later |= {"decided_at": now, "decided_by_id": self.accountant.staff_id}
        day = CashDeskDay(
            desk_id=desk_id,
            business_date=dt.date(2026, 3, 2),
            opened_at=now,
            opened_by_id=self.cashier.staff_id,
            status=status,
            **later,
        )
        return self.save(day)

    def save(self, row: Any) -> int:
        """A row, arranged and not done."""
        writing()
        db.session.add(row)
        db.session.flush()
        db.session.info.pop("payadmin.changed", None)
        db.session.commit()
        found = int(row.id)
        db.session.rollback()
        return found

    def initiate(
        self,
        kind: SystemKind,
        minor: int,
        desk_id: int | None = None,
        *,
        unit: str = "EUR",
        actor: Actor | None = None,
        key: str | None = None,
    ) -> int:
        """Something asked for by the accountant, each with a key of its own unless told otherwise."""
        self._facts += 1
        row = treasury.initiate(
            actor or self.accountant,
            kind=kind,
            unit=unit,
            amount_minor=minor,
            key=key or f"s{self._facts}",
            desk_id=desk_id,
            source=CashSource.BANK if kind is SystemKind.CASH_INPUT else None,
        )
        return row.id

    def confirm(self, number: int, *, actor: Actor | None = None) -> SystemOperation:
        """Confirmed by the CFO."""
        version = self.get(SystemOperation, number).version
        db.session.rollback()
        return treasury.confirm(actor or self.cfo, number, version=version)

    def moved(self, kind: SystemKind, minor: int, desk_id: int | None = None, *, unit: str = "EUR") -> int:
        """Something asked for and confirmed."""
        number = self.initiate(kind, minor, desk_id, unit=unit)
        self.confirm(number)
        return number

    def balance(self, number: str, unit: str = "EUR", owner: str | None = None) -> int:
        """What stands on accounts, debits above zero."""
        db.session.rollback()
        wanted = select(func.coalesce(func.sum(LedgerBalance.balance_minor), 0)).join(
            LedgerAccount, LedgerAccount.id == LedgerBalance.account_id
        )
        wanted = wanted.where(LedgerAccount.number == number, LedgerAccount.unit == unit)
        if owner is not None:
            wanted = wanted.where(LedgerAccount.owner == owner)
        return int(db.session.scalar(wanted) or 0)

    def in_desk(self, code: str, unit: str = "EUR") -> int:
        """What lies in a desk."""
        return self.balance("1110", unit, f"desk:{code}")

    def templates(self, number: int) -> list[str]:
        """How an operation is booked."""
        db.session.rollback()
        wanted = select(LedgerTransaction.template).where(
            LedgerTransaction.business == "system_operation", LedgerTransaction.business_id == number
        )
        return list(db.session.scalars(wanted.order_by(LedgerTransaction.id)))
