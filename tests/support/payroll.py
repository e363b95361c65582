"""The payroll room: an organization with money, customers with wallets, and files that pay them."""

from typing import Any

from sqlalchemy import select

from payadmin.actions.batches.payees import payment_key
from payadmin.db import db
from payadmin.models.batches import Batch, BatchKind
from payadmin.models.parties import Customer, OrganizationKind
from payadmin.models.wallets import MoveStatus, Wallet, WalletTransaction
from tests.support.batches import BatchRoom
from tests.wallets.conftest import Purses

MASS = BatchKind.MASS_PAYMENT


class Payroll:
    """Everything a test of mass payments does. Customers C-1 to C-5 have wallets in euros, C-1 in yen too."""

    def __init__(self, room: BatchRoom, purses: Purses, *, funds: int = 1_000_00) -> None:
        self.room = room
        self.purses = purses
        self.payer_id: int = purses.make.organization("MassPay", kind=OrganizationKind.MASSPAY).id
        self.pot = purses.wallet("MassPay", funds=funds)
        self.wallets = {number: purses.wallet(self.customer(number)) for number in range(1, 6)}

    def customer(self, number: int) -> Customer:
        """The customer C-number."""
        db.session.rollback()
        return db.session.scalars(select(Customer).where(Customer.external_id == f"C-{number}")).one()

    def number(self, wallet_id: int) -> str:
        """The number of a wallet."""
        found: Wallet = self.purses.get(Wallet, wallet_id)
        return found.number

    def row(self, number: int = 1, **cells: Any) -> dict[str, Any]:
        """A good row: ten euros for a customer."""
        return {
            "customer_id": f"C-{number}",
            "amount": "10.00",
            "currency": "EUR",
            "reference": f"R-{number}",
            "note": "January",
        } | cells

    def upload(self, rows: Any, **values: Any) -> int:
        """Upload a file that the organization pays."""
        terms = {"kind": MASS, "merchant_id": self.payer_id, "method": None, "provider": None} | values
        return self.room.upload(rows, **terms)

    def checked(self, rows: Any, **values: Any) -> Batch:
        """Upload a file and let a worker check it."""
        batch_id = self.upload(rows, **values)
        self.room.office.work()
        return self.room.batch(batch_id)

    def paid(self, rows: Any, **values: Any) -> Batch:
        """Upload a file, check it, confirm it and let workers pay it."""
        batch = self.checked(rows, **values)
        self.room.process(batch.id)
        self.room.office.work()
        return self.room.batch(batch.id)

    def moves(self, *references: str) -> list[tuple[MoveStatus, int, int]]:
        """What references of the organization paid: where it stands, what left, what arrived."""
        db.session.rollback()
        keys = [payment_key(self.payer_id, reference) for reference in references]
        found = select(WalletTransaction).where(WalletTransaction.key.in_(keys)).order_by(WalletTransaction.id)
        return [(row.status, row.paid_minor, row.received_minor) for row in db.session.scalars(found)]

    def left(self) -> int:
        """What the organization may still spend."""
        return self.purses.amounts(self.pot).available_minor

    def got(self, number: int = 1) -> int:
        """What a customer has."""
        return self.purses.amounts(self.wallets[number]).available_minor
