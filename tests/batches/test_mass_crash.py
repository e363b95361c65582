"""Dying in the middle of a mass payment: at every commit, after any row, again and again; every row is paid once."""

import contextlib
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select

from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.models.batches import BatchStatus
from payadmin.models.wallets import MoveStatus, WalletKind, WalletTransaction
from payadmin.work import Actor
from tests.batches.test_crash import batch_named, end_leases, pass_time
from tests.support.crash import Doomed, survives_any_crash
from tests.support.payroll import Payroll

_cases = itertools.count(1)


@dataclass
class Case:
    name: str
    actor: Actor
    rows: list[dict[str, str]]
    before: int


def payments(batch_id: int, payroll: Payroll) -> Counter[str]:
    """How often each reference of a batch was paid."""
    keys = [f"mass:{payroll.payer_id}:{row.reference}" for row in payroll.room.rows(batch_id)]
    found = select(WalletTransaction.key, func.count()).where(WalletTransaction.key.in_(keys))
    return Counter(
        {key.rpartition("-")[2]: number for key, number in db.session.execute(found.group_by(WalletTransaction.key))}
    )


def test_a_mass_payment_survives_a_crash_at_every_commit(payroll: Payroll) -> None:
    def begin() -> Case:
        number = next(_cases)
        rows = [payroll.row(n, amount="0.10", reference=f"CASE-{number}-{n}") for n in (1, 2)]
        return Case(f"mass-{number}.csv", payroll.room.operator(), rows, payroll.left())

    def scenario(case: Case) -> None:
        with contextlib.suppress(Conflict):  # after a crash the operator finds the file taken in already
            payroll.upload(case.rows, name=case.name, actor=case.actor)
        payroll.room.office.work()
        batch = batch_named(payroll.room, case.name)
        with contextlib.suppress(Conflict):  # or being processed already
            payroll.room.process(batch.id, actor=case.actor)
        payroll.room.office.work()

    def world(case: Case) -> object:
        batch = batch_named(payroll.room, case.name)
        return (
            batch.status,
            (batch.rows_valid, batch.rows_done, batch.rows_refused),
            payroll.room.statuses(batch.id),
            payments(batch.id, payroll),
            case.before - payroll.left(),
        )

    assert survives_any_crash(begin, scenario, world, meanwhile=pass_time) >= 14
    assert payroll.purses.unsound() == []


def test_a_worker_killed_after_a_row_is_followed_by_one_that_goes_on(payroll: Payroll) -> None:
    many = 6
    rows = [payroll.row(1 + n % 5, amount="1", reference=f"K-{n}") for n in range(many)]
    batch = payroll.checked(rows)
    payroll.room.process(batch.id)
    worker = Doomed(payroll.room.office.app, "paid a row")
    worker.wait_for("paid a row")
    worker.kill()
    db.session.rollback()
    assert payroll.room.batch(batch.id).rows_done == 1
    pass_time()
    payroll.room.office.work()
    done = payroll.room.batch(batch.id)
    assert (done.status, done.rows_done, done.rows_refused) == (BatchStatus.PROCESSED, many, 0)
    assert set(payments(batch.id, payroll).values()) == {1}
    assert payroll.left() == 1_000_00 - many * 1_00


def test_workers_killed_again_and_again_pay_every_row_of_a_batch_exactly_once(payroll: Payroll) -> None:
    many, kills, dice = 150, 8, random.Random(150)
    rows = [payroll.row(1 + n % 5, amount="1", reference=f"L-{n}") for n in range(many)]
    batch = payroll.checked(rows)
    payroll.room.process(batch.id)
    for _kill in range(kills):
        worker = Doomed(payroll.room.office.app, "never")
        worker.wait_for("ready")
        time.sleep(dice.uniform(0.05, 0.7))
        worker.kill()
        end_leases()
    end_leases()
    payroll.room.office.work()
    done = payroll.room.batch(batch.id)
    assert (done.status, done.rows_done, done.rows_refused) == (BatchStatus.PROCESSED, many, 0)
    paid = select(func.count()).where(
        WalletTransaction.kind == WalletKind.MASS_PAYMENT, WalletTransaction.status == MoveStatus.EXECUTED
    )
    assert db.session.scalar(paid) == many
    assert payments(batch.id, payroll) == Counter({str(n): 1 for n in range(many)})
    assert payroll.left() == 1_000_00 - many * 1_00
    assert payroll.purses.unsound() == []
