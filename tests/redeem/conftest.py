"""The redeem room: identified customers with money in wallets, who ask; accountants who decide; a bank that answers."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from payadmin.actions import redeem
from payadmin.db import db, utcnow
from payadmin.models.ledger import LedgerHold, LedgerTransaction
from payadmin.models.parties import Customer, IdentificationStatus
from payadmin.models.redeem import RedeemChannel, RedeemRequest
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM, Work, use_case
from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.make import Make, writing
from tests.wallets.conftest import Purses

CASH, BANK = RedeemChannel.CASH_DESK, RedeemChannel.BANK_TRANSFER
IBAN = "DE89 3704 0044 0532 0130 00"
TO = {"holder_name": "Ada Lovelace", "account": IBAN, "bank_code": "COBADEFFXXX"}


@use_case(Permission.SYSTEM_JOB_RUN)
def by_the_bank(work: Work, act: Any, request_id: int, **said: Any) -> None:
    """What a use case that reads the bank's answers does."""
    act(work, work.get(RedeemRequest, request_id), **said)


class Redeeming(Purses):
    """Everything a test of redeem requests does, in short words."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        self.accountant = self.person(Role.ACCOUNTANT)
        self.other = self.person(Role.ACCOUNTANT)
        self.cashier = self.person(Role.CASHIER)

    def customer(self, funds: int = 0, *, of: str | None = None, unit: str = "EUR", **columns: Any) -> int:
        """A wallet of an identified customer."""
        known = {"identification": IdentificationStatus.IDENTIFIED} | columns
        if of is not None:
            known["organization_id"] = self.make.organization(of).id
        return self.wallet(self.make.customer(**known), unit, funds)

    def submit(self, wallet_id: int, amount: int, channel: RedeemChannel = CASH, **more: Any) -> int:
        """A request that a cashier enters; its number."""
        self._facts += 1
        more = {"key": f"s{self._facts}"} | (TO if channel is BANK else {}) | more
        actor = more.pop("by", self.cashier)
        return redeem.submit(actor, wallet_id=wallet_id, amount_minor=amount, channel=channel, **more).id

    def approve(self, request_id: int, by: Any = None, **more: Any) -> RedeemRequest:
        """An accountant says yes to what is there now."""
        more = {"version": self.row(request_id).version} | more
        return redeem.approve(by or self.accountant, request_id, **more)

    def cancel(self, request_id: int, by: Any = None, **more: Any) -> RedeemRequest:
        """An accountant says no to what is there now."""
        more = {"version": self.row(request_id).version, "reason": "The customer asked for it"} | more
        return redeem.cancel(by or self.accountant, request_id, **more)

    def bank(self, act: Any, request_id: int, **said: Any) -> None:
        """The bank says something."""
        if act in {redeem.paid_by_bank, redeem.returned}:
            said = {"at": utcnow()} | said
        by_the_bank(SYSTEM, act, request_id, **said)

    def row(self, request_id: int) -> RedeemRequest:
        """A request as it is now."""
        found: RedeemRequest = self.get(RedeemRequest, request_id)
        return found

    def booked(self, request_id: int) -> list[str]:
        """The templates that a request is booked by."""
        db.session.rollback()
        wanted = select(LedgerTransaction.template).where(
            LedgerTransaction.business == "redeem_request", LedgerTransaction.business_id == request_id
        )
        return list(db.session.scalars(wanted.order_by(LedgerTransaction.id)))

    def open_holds(self) -> int:
        """How many sums are set aside."""
        db.session.rollback()
        return len(db.session.scalars(select(LedgerHold.id).where(LedgerHold.ended_id.is_(None))).all())

    def put(self, wallet_id: int, **columns: Any) -> None:
        """Change the customer of a wallet behind everybody's back."""
        from payadmin.models.wallets import Wallet

        customer_id = self.get(Wallet, wallet_id).customer_id
        writing()
        statement = update(Customer).where(Customer.id == customer_id).values(**columns)
        db.session.execute(statement.execution_options(explained=True, synchronize_session=False))
        db.session.commit()


@pytest.fixture
def room(app: Flask, make: Make) -> Redeeming:
    return Redeeming(app, make)


__all__ = ["Redeeming", "desk", "provider_process", "room", "simulator"]
