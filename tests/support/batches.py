"""The batch room: files as people send them, confirmed as operators do, checked and processed by workers."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from payadmin import step_up
from payadmin.actions.batches import PROCESS_ACT, process_batch, process_subject, upload_batch
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.kernel.masks import luhn_ok
from payadmin.kernel.sheets import csv_rows
from payadmin.kernel.xlsx import Cell, xlsx
from payadmin.models.access import SecondFactor
from payadmin.models.batches import Batch, BatchKind, BatchRow
from payadmin.models.parties import Customer
from payadmin.models.subscriptions import ScheduledCharge, Subscription
from payadmin.providers import StoredCard
from payadmin.providers.simulator import SimulatorProvider
from payadmin.work import Actor
from tests.support.billing import Office
from tests.support.make import writing
from tests.support.signin import secret_of

PAYMENT_COLUMNS = (
    "billing_number", "customer_id", "invoice_number", "amount", "currency", "card_no", "card_token",
    "card_holder_name", "card_holder_phone", "execute_date", "description",
)  # fmt: skip
REGISTRATION_COLUMNS = (
    "customer_id", "billing_number", "customer_name", "email", "phone", "amount", "currency", "card_token", "type",
    "schedule", "days", "months", "dates", "start_date", "end_date",
)  # fmt: skip
MASS_COLUMNS = ("wallet", "customer_id", "email", "phone", "amount", "currency", "reference", "note")
COLUMNS = {
    BatchKind.SINGLE_PAYMENT: PAYMENT_COLUMNS,
    BatchKind.REGISTRATION: REGISTRATION_COLUMNS,
    BatchKind.MASS_PAYMENT: MASS_COLUMNS,
}
GOOD_CARD = "4242424242424242"


def card_number(seed: object) -> str:
    """A made-up Visa number with a good check digit."""
    body = f"4{random.Random(repr(seed)).randrange(10**14):014}"
    return next(f"{body}{digit}" for digit in range(10) if luhn_ok(f"{body}{digit}"))


def csv_file(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> bytes:
    head = list(columns or rows[0])
    return "".join(csv_rows(head, [[row.get(name, "") for name in head] for row in rows])).encode()


def xlsx_file(rows: Sequence[dict[str, Cell]], columns: Sequence[str] | None = None) -> bytes:
    head = list(columns or rows[0])
    return b"".join(xlsx(head, [[row.get(name) for name in head] for row in rows]))


class BatchRoom:
    """Everything a test of batches does. Customers C-1, C-2, … exist, with billing numbers BN-1, BN-2, …."""

    def __init__(self, office: Office, *, customers: int = 20) -> None:
        self.office = office
        self.make = office.make
        self.zone = office.zone
        self.merchant_id: int = self.make.organization().id
        for code in ("EUR", "JPY"):
            self.make.unit(code)
        self.make.method()
        self.cards: list[str] = []
        self.settings = office.app.extensions["payadmin.settings"]
        self._people(customers)

    @property
    def today(self) -> dt.date:
        return self.office.today

    def _people(self, many: int) -> None:
        writing()
        connection = db.session.connection()
        people = [
            {"external_id": f"C-{n}", "name": f"Customer {n}", "email": f"c{n}@example.com", "phone": f"+3933300{n}"}
            for n in range(1, many + 1)
        ]
        there = set(connection.scalars(select(Customer.external_id)))
        connection.execute(insert(Customer.__table__), [one for one in people if one["external_id"] not in there])
        found = select(Customer.external_id, Customer.id).where(Customer.external_id.like("C-%"))
        ids = dict(connection.execute(found).all())
        agreements = [
            {
                "subscription_id": f"S-{n}",
                "billing_number": f"BN-{n}",
                "customer_id": ids[f"C-{n}"],
                "merchant_id": self.merchant_id,
                "amount_minor": 10_00,
                "unit": "EUR",
                "method": "card",
                "provider": "simulator",
            }
            for n in range(1, many + 1)
        ]
        connection.execute(insert(Subscription.__table__), agreements)
        db.session.commit()

    def operator(self) -> Actor:
        writing()
        return self.office.operator()

    def payment(self, number: int = 1, **cells: Any) -> dict[str, Any]:
        """A good row of a file of single payments, executed today."""
        return {
            "billing_number": f"BN-{number}",
            "invoice_number": f"INV-{number}",
            "amount": "12.50",
            "currency": "EUR",
            "card_no": GOOD_CARD,
            "card_holder_name": "Ana Lopez",
            "card_holder_phone": "+44 7700 900123",
            "execute_date": self.today.isoformat(),
            "description": "Two chairs",
        } | cells

    def registration(self, number: int = 1, **cells: Any) -> dict[str, Any]:
        """A good row of a file of registrations: a monthly charge."""
        return {
            "customer_id": f"C-{number}",
            "billing_number": f"NEW-{number}",
            "amount": "9.90",
            "currency": "EUR",
            "card_token": "tok_visa",
            "type": "RECURRING",
            "schedule": "DATE",
            "days": "1; 15",
            "months": "ALL",
            "start_date": self.today.isoformat(),
        } | cells

    def store_cards(self, numbers: Sequence[str]) -> list[StoredCard] | None:
        """The provider's exchange of card numbers, remembered so that tests can look for them."""
        self.cards += numbers
        provider = SimulatorProvider(self.office.simulator.url, timeout_seconds=5)
        try:
            return provider.store_cards(numbers)
        finally:
            provider.close()

    def upload(
        self,
        rows: Sequence[dict[str, Any]] | bytes,
        *,
        kind: BatchKind = BatchKind.SINGLE_PAYMENT,
        actor: Actor | None = None,
        name: str = "file.csv",
        store_cards: Callable[[Sequence[str]], list[StoredCard] | None] | None = None,
        **values: Any,
    ) -> int:
        data = rows if isinstance(rows, bytes) else csv_file(rows, COLUMNS[kind])
        batch = upload_batch(
            actor or self.office.make.actor(),
            data,
            **{
                "name": name,
                "kind": kind,
                "merchant_id": self.merchant_id,
                "method": "card",
                "provider": "simulator",
                "store_cards": store_cards or self.store_cards,
                "keys": self.settings.totp_keys,
            }
            | values,
        )
        batch_id: int = batch.id
        db.session.rollback()
        return batch_id

    def checked(self, rows: Sequence[dict[str, Any]] | bytes, **values: Any) -> Batch:
        """Upload a file and let a worker check it."""
        batch_id = self.upload(rows, **values)
        self.office.work()
        return self.batch(batch_id)

    def confirm(self, actor: Actor, batch: Batch) -> dict[str, str]:
        """What the form of the processing carries: an offer and the code that the authenticator shows now."""
        assert actor.staff_id is not None
        with db.engine.begin() as connection:  # half a minute has passed since the last code
            connection.execute(update(SecondFactor).where(SecondFactor.staff_id == actor.staff_id).values(last_step=0))
        with self.office.app.test_request_context():
            offer = step_up.offer(actor, PROCESS_ACT, process_subject(batch))
        return {"offer": offer, "code": totp.code_at(secret_of(actor.staff_id), utcnow())}

    def process(self, batch_id: int, *, actor: Actor | None = None, **values: Any) -> None:
        """Confirm a batch as an operator does, with the counts that its page shows."""
        actor = actor or self.operator()
        batch = self.batch(batch_id)
        said = {"version": batch.version, "valid": batch.rows_valid, "skipped": batch.rows_invalid, "zone": self.zone}
        said |= {} if "offer" in values else self.confirm(actor, batch)
        db.session.rollback()
        process_batch(actor, batch_id, **(said | values))
        db.session.rollback()

    def batch(self, batch_id: int) -> Batch:
        row = db.session.get(Batch, batch_id, populate_existing=True)
        assert row is not None
        return row

    def rows(self, batch_id: int) -> list[BatchRow]:
        found = select(BatchRow).where(BatchRow.batch_id == batch_id).order_by(BatchRow.row_number)
        return list(db.session.scalars(found.execution_options(populate_existing=True)))

    def statuses(self, batch_id: int) -> Counter[str]:
        return Counter(row.status.name for row in self.rows(batch_id))

    def errors(self, batch_id: int) -> dict[int, dict[str, str]]:
        """Row → column → sentence."""
        return {
            row.row_number: {error["column"]: error["sentence"] for error in row.errors}
            for row in self.rows(batch_id)
            if row.errors
        }

    def charges(self, batch_id: int) -> list[ScheduledCharge]:
        found = select(ScheduledCharge).where(ScheduledCharge.batch_id == batch_id).order_by(ScheduledCharge.id)
        return list(db.session.scalars(found.execution_options(populate_existing=True)))

    def subscriptions(self, batch_id: int) -> list[Subscription]:
        found = select(Subscription).join(BatchRow, BatchRow.id == Subscription.batch_row_id)
        found = found.where(BatchRow.batch_id == batch_id).order_by(Subscription.id)
        return list(db.session.scalars(found.execution_options(populate_existing=True)))
