"""What an accountant asks for and a CFO confirms, in short words, and what stands in the books of cash."""

from typing import Any

from sqlalchemy import func, select

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.models.ledger import LedgerAccount, LedgerBalance
from payadmin.models.treasury import CashSource, SystemKind, SystemOperation
from payadmin.work import Actor
from tests.support.cash_office import CashOffice


class Treasury(CashOffice):
    """A cash office that gets its cash by system operations."""

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
        row = treasury.initiate(
            actor or self.accountant,
            kind=kind,
            unit=unit,
            amount_minor=minor,
            key=key or f"s{next(self._numbers)}",
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
        wanted: Any = select(func.coalesce(func.sum(LedgerBalance.balance_minor), 0)).join(
            LedgerAccount, LedgerAccount.id == LedgerBalance.account_id
        )
        wanted = wanted.where(LedgerAccount.number == number, LedgerAccount.unit == unit)
        if owner is not None:
            wanted = wanted.where(LedgerAccount.owner == owner)
        return int(db.session.scalar(wanted) or 0)

    def lies(self, desk_id: int, unit: str = "EUR") -> int:
        """What lies in a desk."""
        return self.in_desk(desk_id).get(unit, 0)
