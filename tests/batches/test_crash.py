"""Dying in the middle: at every commit, after every piece, and again and again; every row exactly once."""

import contextlib
import datetime as dt
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select, update

from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict
from payadmin.models.batches import Batch, BatchKind, BatchPart, BatchStatus
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import OPEN_ATTEMPTS, ChargeAttempt
from payadmin.work import Actor
from tests.support import billing, desk
from tests.support.batches import BatchRoom
from tests.support.crash import Doomed, survives_any_crash

_cases = itertools.count(1)


@dataclass
class Case:
    name: str
    actor: Actor
    rows: list[dict[str, str]]


def pass_time() -> None:
    """Longer than any lease lasts."""
    billing.pass_time(minutes=3)
    desk.pass_time(minutes=3)


def end_leases() -> None:
    """What dead workers had in hand is free at once."""
    db.session.rollback()
    past = utcnow() - dt.timedelta(seconds=1)
    with db.engine.connect() as plain, plain.execution_options(immediate=True) as connection, connection.begin():
        taken = update(ChargeAttempt).where(ChargeAttempt.state.in_(OPEN_ATTEMPTS), ChargeAttempt.act_at > past)
        connection.execute(taken.values(act_at=past))
        connection.execute(update(OutboxMessage).where(OutboxMessage.due_at > past).values(due_at=past))


def batch_named(room: BatchRoom, name: str) -> Batch:
    batch_id = db.session.scalars(select(Batch.id).where(Batch.file_name == name)).one()
    return room.batch(batch_id)


def captures(room: BatchRoom, batch_id: int) -> Counter[int]:
    """How many rows of a batch the provider captured how often."""
    ledger = room.office.simulator.ledger()["captured"]
    return Counter(len(ledger.get(charge.reference, [])) for charge in room.charges(batch_id))


def test_a_batch_of_payments_survives_a_crash_at_every_commit(room: BatchRoom) -> None:
    def begin() -> Case:
        number = next(_cases)
        rows = [room.payment(1, invoice_number=f"CASE-{number}-{n}") for n in range(3)]
        return Case(f"case-{number}.csv", room.operator(), rows)

    def scenario(case: Case) -> None:
        with contextlib.suppress(Conflict):  # after a crash the operator finds the file taken in already
            room.upload(case.rows, name=case.name, actor=case.actor)
        room.office.work()
        batch = batch_named(room, case.name)
        with contextlib.suppress(Conflict):  # or being processed already
            room.process(batch.id, actor=case.actor)
        room.office.settle()

    def world(case: Case) -> object:
        batch = batch_named(room, case.name)
        paid = db.session.scalar(select(func.count()).where(Payment.batch_id == batch.id))
        return (
            batch.status,
            (batch.rows_valid, batch.rows_done, batch.rows_refused, batch.totals),
            room.statuses(batch.id),
            paid,
            captures(room, batch.id),
            db.session.scalar(select(func.count()).where(BatchPart.batch_id == batch.id)),
        )

    assert survives_any_crash(begin, scenario, world, meanwhile=pass_time) >= 20


def test_a_batch_of_registrations_survives_a_crash_at_every_commit(room: BatchRoom) -> None:
    def begin() -> Case:
        number = next(_cases)
        rows = [room.registration(1, billing_number=f"CASE-{number}-{n}") for n in range(3)]
        rows.append(room.registration(1, billing_number=f"CASE-{number}-x", amount="x"))
        return Case(f"case-{number}.csv", room.operator(), rows)

    def scenario(case: Case) -> None:
        with contextlib.suppress(Conflict):
            room.upload(case.rows, name=case.name, actor=case.actor, kind=BatchKind.REGISTRATION)
        room.office.work()
        batch = batch_named(room, case.name)
        with contextlib.suppress(Conflict):
            room.process(batch.id, actor=case.actor)
        room.office.work()

    def world(case: Case) -> object:
        batch = batch_named(room, case.name)
        registered = Counter(row.billing_number.rpartition("-")[2] for row in room.subscriptions(batch.id))
        return (batch.status, batch.rows_done, batch.rows_invalid, room.statuses(batch.id), registered)

    assert survives_any_crash(begin, scenario, world, meanwhile=pass_time) >= 12


@pytest.mark.parametrize("point", ["checked a piece", "processed a piece"])
def test_a_worker_killed_after_a_piece_is_followed_by_one_that_goes_on(room: BatchRoom, point: str) -> None:
    rows = [room.payment(1 + n % 20, invoice_number=f"K-{n}", card_no="", card_token="tok_visa") for n in range(1_200)]
    later = room.office.day(3).isoformat()
    batch_id = room.upload([row | {"execute_date": later} for row in rows])
    if point == "processed a piece":
        room.office.work()
        room.process(batch_id)
    worker = Doomed(room.office.app, point)
    worker.wait_for(point)
    worker.kill()
    db.session.rollback()
    batch = room.batch(batch_id)
    half = batch.rows_checked if point == "checked a piece" else batch.rows_done
    assert 0 < half < 1_200
    pass_time()
    room.office.work()
    if point == "checked a piece":
        room.process(batch_id)
        room.office.work()
    batch = room.batch(batch_id)
    assert (batch.status, batch.rows_checked, batch.rows_done) == (BatchStatus.PROCESSED, 1_200, 1_200)
    assert room.statuses(batch_id) == {"DONE": 1_200}
    assert len({charge.invoice_number for charge in room.charges(batch_id)}) == 1_200


def test_workers_killed_twenty_times_charge_every_row_of_a_large_batch_exactly_once(room: BatchRoom) -> None:
    many, kills, dice = 2_000, 20, random.Random(2_000)
    rows = [room.payment(1 + n % 20, invoice_number=f"L-{n}", card_no="", card_token="tok_visa") for n in range(many)]
    batch_id = room.upload(rows)
    killed, confirmed, open_attempts = 0, False, select(ChargeAttempt.id).where(ChargeAttempt.state.in_(OPEN_ATTEMPTS))
    deadline = time.monotonic() + 240
    while True:
        assert time.monotonic() < deadline
        db.session.rollback()
        batch = room.batch(batch_id)
        if batch.status is BatchStatus.READY and not confirmed:
            room.process(batch_id)
            confirmed = True
        db.session.rollback()
        if killed == kills:
            break
        worker = Doomed(room.office.app, "never")
        worker.wait_for("ready")
        time.sleep(dice.uniform(0.05, 0.7))
        worker.kill()
        killed += 1
        end_leases()
    room.office.work()
    if not confirmed:
        room.process(batch_id)
    end_leases()
    room.office.settle(seconds=180)
    batch = room.batch(batch_id)
    assert (batch.status, batch.rows_done, batch.rows_refused) == (BatchStatus.PROCESSED, many, 0)
    assert db.session.scalar(open_attempts.limit(1)) is None
    assert {charge.status.name for charge in room.charges(batch_id)} == {"SUCCEEDED"}
    assert captures(room, batch_id) == {1: many}
    assert db.session.scalar(select(func.count()).where(Payment.batch_id == batch_id)) == many
