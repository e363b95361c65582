"""The billing office: subscriptions that fall due, workers that charge them, and time that passes when told to."""

import datetime as dt
import time
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from payadmin import step_up
from payadmin.actions.subscriptions import CANCEL_ACT, cancel_subject, planning
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.jobs.subscriptions import keep_plans
from payadmin.kernel import totp
from payadmin.kernel.schedules import ALL_MONTHS, Schedule, ScheduleKind
from payadmin.models.access import SecondFactor
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import (
    OPEN_ATTEMPTS,
    ChargeAttempt,
    ChargeStatus,
    ProviderBreaker,
    ScheduledCharge,
    Subscription,
    schedule_values,
)
from payadmin.permissions import Role, permissions_of
from payadmin.work import SYSTEM, Actor
from tests.support.make import Make
from tests.support.signin import make_staff, secret_of
from tests.support.simulator import Simulator

DAILY = Schedule(ScheduleKind.DAY, weekdays=(1, 2, 3, 4, 5, 6, 7), months=ALL_MONTHS)
TIMES = {ChargeAttempt: ("act_at", "first_sent_at", "last_sent_at"), ScheduledCharge: ("next_attempt_at",)}


class Office:
    """Everything a test of recurring charges does, in the words of the people who do it."""

    def __init__(self, app: Flask, make: Make, simulator: Simulator) -> None:
        self.app = app
        self.make = make
        self.simulator = simulator
        self.zone = app.extensions["payadmin.settings"].zone

    @property
    def today(self) -> dt.date:
        return utcnow().astimezone(self.zone).date()

    def day(self, days: int) -> dt.date:
        return self.today + dt.timedelta(days=days)

    def subscription(self, schedule: Schedule | None = DAILY, **values: Any) -> Subscription:
        """An active subscription with a schedule that is not planned yet."""
        values = {"start_date": self.today, **(schedule_values(schedule) if schedule else {})} | values
        return self.make.subscription(**values)

    def due(self, subscription: Subscription | None = None, *, days: int = 0, **values: Any) -> ScheduledCharge:
        """A charge that falls due today, of a subscription that has no other dates."""
        subscription = subscription or self.subscription(schedule=None)
        due_date = self.day(days)
        number = planning.invoice_number(subscription.id, due_date)
        values = {"due_date": due_date, "invoice_number": f"{self.simulator.port}-{id(self)}-{number}"} | values
        return self.make.scheduled_charge(subscription, **values)

    def operator(self) -> Actor:
        staff = make_staff(Role.PAYMENTS_OPERATOR)
        roles = frozenset({Role.PAYMENTS_OPERATOR})
        return Actor(staff_id=staff.id, name=staff.username, roles=roles, permissions=permissions_of(roles))

    def confirm(self, actor: Actor, charge_ids: list[int]) -> dict[str, str]:
        """What the form of a cancellation carries: an offer and the code that the authenticator shows now."""
        assert actor.staff_id is not None
        with db.engine.begin() as connection:  # half a minute has passed since the last code
            connection.execute(update(SecondFactor).where(SecondFactor.staff_id == actor.staff_id).values(last_step=0))
        with self.app.test_request_context():
            offer = step_up.offer(actor, CANCEL_ACT, cancel_subject(charge_ids))
        return {"offer": offer, "code": totp.code_at(secret_of(actor.staff_id), utcnow())}

    def plan(self) -> None:
        keep_plans(self.zone)
        db.session.rollback()

    def work(self) -> int:
        """Let a worker do what is due."""
        done = runner.drain()
        db.session.rollback()
        return done

    def settle(self, *, seconds: float = 20) -> None:
        """Let workers work and time pass until no attempt is open.

        The provider lives by the real clock (what it calls pending stays so for a while), hence the real seconds.
        """
        deadline = time.monotonic() + seconds
        open_attempts = select(ChargeAttempt.id).where(ChargeAttempt.state.in_(OPEN_ATTEMPTS)).limit(1)
        while time.monotonic() < deadline:
            self.work()
            if db.session.scalar(open_attempts) is None:
                return
            time.sleep(0.1)
            pass_time(minutes=1)
        raise AssertionError("attempts are still open")

    def charge(self, charge_id: int) -> ScheduledCharge:
        row = db.session.get(ScheduledCharge, charge_id, populate_existing=True)
        assert row is not None
        return row

    def status(self, charge_id: int) -> ChargeStatus:
        return self.charge(charge_id).status

    def attempts(self, charge_id: int) -> list[str]:
        found = select(ChargeAttempt.state).where(ChargeAttempt.scheduled_charge_id == charge_id)
        return [state.name for state in db.session.scalars(found.order_by(ChargeAttempt.seq))]

    def subscription_now(self, subscription_id: int) -> Subscription:
        row = db.session.get(Subscription, subscription_id, populate_existing=True)
        assert row is not None
        return row

    def payments(self) -> list[Payment]:
        return list(db.session.scalars(select(Payment).order_by(Payment.id)))

    def dates(self, subscription_id: int, *statuses: ChargeStatus) -> list[dt.date]:
        """The due dates of a subscription, in order; of these statuses only, if any are named."""
        found = select(ScheduledCharge.due_date).where(ScheduledCharge.subscription_id == subscription_id)
        if statuses:
            found = found.where(ScheduledCharge.status.in_(statuses))
        return list(db.session.scalars(found.order_by(ScheduledCharge.due_date)))


def pass_time(**span: float) -> None:
    """Move every lease, send, look and pause into the past, as if `span` had passed."""
    delta = dt.timedelta(**span)
    db.session.rollback()
    with db.engine.begin() as connection:
        for model, names in TIMES.items():
            table = model.__table__
            for row in connection.execute(select(table.c.id, *(table.c[name] for name in names))).all():
                older = {name: value - delta for name, value in row._mapping.items() if name != "id" and value}
                if older:
                    connection.execute(update(table).where(table.c.id == row.id).values(older))
        connection.execute(update(ProviderBreaker).values(open_until=None))


__all__ = ["DAILY", "SYSTEM", "Office", "pass_time"]
