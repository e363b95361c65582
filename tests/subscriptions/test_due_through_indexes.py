"""What every tick and every claim asks is answered through an index, however long history and plans are."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from payadmin.actions.subscriptions import charging, planning
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.db import db
from payadmin.jobs.runner import _charges_waiting, renew_statistics
from payadmin.models.subscriptions import AttemptState, ChargeAttempt, ChargeStatus, ScheduledCharge, Subscription
from payadmin.work import SYSTEM
from tests.support.billing import Office

LEASE = dt.timedelta(seconds=4)


def test_no_tick_and_no_claim_walks_a_table(office: Office, dialect: str) -> None:
    if dialect != "sqlite":
        pytest.skip("PostgreSQL walks small tables, and rightly")
    fill(office)
    renew_statistics()
    walked: list[str] = []

    def look(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE")) and not many:
            other = cursor.connection.cursor()
            plan = other.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            other.close()
            tables = ("SCAN subscription", "SCAN scheduled_charge", "SCAN charge_attempt")
            walked.extend(f"{row[-1]}: {statement}" for row in plan if row[-1] in tables)

    event.listen(db.engine, "before_cursor_execute", look)
    try:
        planning.expire_some(SYSTEM, zone=office.zone)
        planning.plan_some(SYSTEM, zone=office.zone)
        planning.sweep_dates(SYSTEM, zone=office.zone)
        _charges_waiting(office.app)
        enqueue_due(SYSTEM, zone=office.zone)
        claims = charging.claim_charges(SYSTEM, limit=2, lease=LEASE, key_windows={})
        charging.hold_charges(SYSTEM, claims=claims, lease=LEASE)
    finally:
        event.remove(db.engine, "before_cursor_execute", look)
        db.session.rollback()
    assert claims
    assert walked == []


def fill(office: Office) -> None:
    """A year of history and plans of many subscriptions, three of them due today."""
    values = {"expiration_date": office.day(300), "planned_until": office.day(planning.HORIZON_DAYS)}
    row = rest(Subscription, office.subscription(**values).id)
    names = [{"subscription_id": f"S{n}", "billing_number": f"N{n}"} for n in range(2_000)]
    with db.engine.begin() as connection:
        connection.execute(insert(Subscription), [row | name for name in names])
        ids = connection.scalars(select(Subscription.id).where(Subscription.billing_number.like("N%"))).all()
    done = office.due(status=ChargeStatus.FAILED)
    attempt = rest(ChargeAttempt, office.make.charge_attempt(done, state=AttemptState.DECLINED).id)
    charge = rest(ScheduledCharge, done.id)
    later = {"status": ChargeStatus.SCHEDULED, "due_date": office.day(20)}
    with db.engine.begin() as connection:
        many = [charge | {"subscription_id": number, "invoice_number": f"I{number}"} for number in ids]
        many += [charge | later | {"subscription_id": number, "invoice_number": f"L{number}"} for number in ids]
        connection.execute(insert(ScheduledCharge), many)
        past = connection.scalars(select(ScheduledCharge.id).where(ScheduledCharge.invoice_number.like("I%"))).all()
        attempts = [attempt | {"scheduled_charge_id": number, "provider_key": f"k{number}"} for number in past]
        connection.execute(insert(ChargeAttempt), attempts)
    for _ in range(3):
        office.due()


def rest(model: type[Any], row_id: int) -> dict[str, Any]:
    """A row's values, all but its id."""
    table = model.__table__
    with db.engine.connect() as connection:
        found = connection.execute(select(table).where(table.c.id == row_id)).one()
    return {name: value for name, value in found._mapping.items() if name != "id"}
