"""The refund desk: operators with authenticators, payments the provider knows, and time that passes when told to."""

import dataclasses
import datetime as dt
import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from payadmin import step_up
from payadmin.actions.payments import REFUND_ACT, VOID_ACT, confirmed_facts, request_refund, request_void
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.kernel import totp
from payadmin.models.access import SecondFactor
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import Payment, Refund, RefundReason, VoidRequest
from payadmin.permissions import Role, permissions_of
from payadmin.providers.simulator import SimulatorProvider
from payadmin.work import Actor
from tests.support.make import Make, writing
from tests.support.signin import make_staff, secret_of
from tests.support.simulator import Simulator

_numbers = itertools.count(1)
ORDER_TIMES = ("lease_until", "first_sent_at", "last_sent_at")


@contextmanager
def told(app: Flask, **changes: Any) -> Iterator[None]:
    """Give the application other settings for a while."""
    kept = app.extensions["payadmin.settings"]
    app.extensions["payadmin.settings"] = dataclasses.replace(kept, **changes)
    try:
        yield
    finally:
        app.extensions["payadmin.settings"] = kept


class Desk:
    """Everything a test of refunds and voids does, in the words of the people who do it."""

    def __init__(self, app: Flask, make: Make, simulator: Simulator) -> None:
        self.app = app
        self.make = make
        self.simulator = simulator

    def operator(self) -> Actor:
        """A payments operator with an authenticator."""
        writing()
        staff = make_staff(Role.PAYMENTS_OPERATOR)
        roles = frozenset({Role.PAYMENTS_OPERATOR})
        return Actor(staff_id=staff.id, name=staff.username, roles=roles, permissions=permissions_of(roles))

    def paid(self, **values: Any) -> Payment:
        """A paid payment that the provider has captured."""
        reference = f"T-{next(_numbers):08}"
        amount, unit = values.get("amount_minor", 100_00), values.get("unit", "EUR")
        provider = SimulatorProvider(self.simulator.url, timeout_seconds=10)
        try:
            charge = provider.charge(
                key=f"pay-{reference}",
                reference=reference,
                amount_minor=amount,
                unit=unit,
                token="tok_visa",
                metadata={},
            )
        finally:
            provider.close()
        assert charge.provider_id, charge
        return self.make.payment(transaction_id=reference, provider_payment_id=charge.provider_id, **values)

    def confirm(self, actor: Actor, act: str, payment_id: int) -> dict[str, str]:
        """What the operator's form carries: an offer and the code that the authenticator shows now."""
        assert actor.staff_id is not None
        with db.engine.begin() as connection:  # half a minute has passed since the last code
            connection.execute(update(SecondFactor).where(SecondFactor.staff_id == actor.staff_id).values(last_step=0))
        with self.app.test_request_context():
            payment = db.session.get(Payment, payment_id, populate_existing=True)
            about = {"payment": payment_id} if payment is None else confirmed_facts(payment)
            offer = step_up.offer(actor, act, about)
        code = totp.code_at(secret_of(actor.staff_id), utcnow())
        db.session.rollback()
        return {"offer": offer, "code": code}

    def refund(self, payment_id: int, amount_minor: int, *, actor: Actor | None = None, **values: Any) -> Refund:
        """Request a refund as an operator does."""
        actor = actor or self.operator()
        defaults = {
            "unit": "EUR",
            "reason": RefundReason.DUPLICATE,
            "note": None,
            "key": secrets.token_urlsafe(18),
            **({} if "offer" in values else self.confirm(actor, REFUND_ACT, payment_id)),
        }
        return request_refund(actor, payment_id, amount_minor=amount_minor, **(defaults | values))

    def void(self, payment_id: int, *, actor: Actor | None = None, **values: Any) -> VoidRequest:
        """Request a void as an operator does."""
        actor = actor or self.operator()
        defaults = {
            "reason": RefundReason.DUPLICATE,
            "note": None,
            "key": secrets.token_urlsafe(18),
            **({} if "offer" in values else self.confirm(actor, VOID_ACT, payment_id)),
        }
        return request_void(actor, payment_id, **(defaults | values))

    def work(self) -> int:
        """Let a worker do what is due."""
        done = runner.drain()
        db.session.rollback()
        return done

    def settle(self, *, rounds: int = 12) -> None:
        """Let workers work and minutes pass until nothing is promised any more."""
        for _ in range(rounds):
            self.work()
            if db.session.scalar(select(OutboxMessage.id).where(OutboxMessage.done_at.is_(None)).limit(1)) is None:
                return
            pass_time(minutes=5)
        raise AssertionError("promises are still open")

    def money(self, payment_id: int) -> tuple[str, int, int, str | None]:
        """Where the money of a payment is: status, reserved, refunded, what is on its way."""
        db.session.rollback()  # what others committed is to be seen
        row = db.session.get(Payment, payment_id)
        assert row is not None
        return row.status.name, row.reserved_minor, row.refunded_minor, row.in_flight and row.in_flight.name

    def refunds_at_provider(self, reference: str) -> list[int]:
        """The amounts that the provider's journal gave back under a reference."""
        return [item["amount"] for item in self.simulator.ledger()["refunded"].get(reference, [])]

    def posts(self, reference: str) -> int:
        """How often the provider was asked to move money under a reference."""
        return self.simulator.stats()["posts_by_reference"].get(reference, 0)


def pass_time(**span: float) -> None:
    """Move every lease, send and due date into the past, as if `span` had passed."""
    delta = dt.timedelta(**span)
    with db.engine.connect() as plain, plain.execution_options(immediate=True) as connection, connection.begin():
        for model in (Refund, VoidRequest):
            table = model.__table__
            for row in connection.execute(select(table.c.id, *(table.c[name] for name in ORDER_TIMES))).all():
                older = {name: value - delta for name, value in row._mapping.items() if name != "id" and value}
                if older:
                    connection.execute(update(table).where(table.c.id == row.id).values(older))
        messages = OutboxMessage.__table__
        for row in connection.execute(select(messages.c.id, messages.c.due_at)).all():
            connection.execute(update(messages).where(messages.c.id == row.id).values(due_at=row.due_at - delta))
    db.session.rollback()


def trail(**by: Any) -> list[AuditEvent]:
    """What the audit trail says, oldest first."""
    db.session.rollback()
    return db.session.query(AuditEvent).filter_by(**by).order_by(AuditEvent.id).all()
