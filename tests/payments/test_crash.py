"""Dying in the middle: at every commit, at every step of a real process, and again and again (P16)."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from payadmin.actions.payments import REFUND_ACT, VOID_ACT, refund_in_run
from payadmin.db import db
from payadmin.models.payments import OrderStatus, Payment, PaymentEvent, Refund, VoidRequest
from payadmin.work import Actor
from tests.support.crash import Doomed, survives_any_crash
from tests.support.desk import Desk, pass_time, trail

AMOUNT = 30_00


@dataclass
class Case:
    payment_id: int
    transaction_id: str
    actor: Actor
    form: dict[str, str]


def _moved(desk: Desk, reference: str) -> list[tuple[str, int]]:
    """What the provider's journal on disk says was moved under a reference."""
    assert desk.simulator.journal is not None
    lines = [json.loads(line) for line in desk.simulator.journal.read_bytes().splitlines()]
    since_reset = lines[max((n for n, line in enumerate(lines) if line.get("reset")), default=-1) + 1 :]
    movements = [movement for line in since_reset for movement in line["movements"]]
    return [(found["object"], found["amount"]) for found in movements if found["reference"] == reference]


# ---- at every commit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["known to the provider", "imported history"])
def test_a_refund_survives_a_crash_at_every_commit(known: bool, desk: Desk) -> None:
    actor = desk.operator()

    def begin() -> Case:
        payment = desk.paid() if known else desk.make.payment(transaction_id=f"IMPORTED-{time.monotonic_ns()}")
        form = {"key": f"form-{payment.id}"} | desk.confirm(actor, REFUND_ACT, payment.id)
        return Case(payment.id, payment.transaction_id, actor, form)

    def scenario(case: Case) -> None:
        desk.refund(case.payment_id, AMOUNT, actor=case.actor, **case.form)
        desk.work()
        db.session.rollback()

    def world(case: Case) -> object:
        [refund] = db.session.query(Refund).filter_by(payment_id=case.payment_id)
        told = [
            line.event
            for line in db.session.query(PaymentEvent).filter_by(payment_id=case.payment_id).order_by(PaymentEvent.id)
        ]
        return (
            desk.money(case.payment_id),
            refund.status,
            _moved(desk, refund.reference),
            _moved(desk, case.transaction_id),
            [event for event in told if event != "Refund being checked"],
            len(trail(event="payments.refund.requested", entity_id=str(refund.id))),
            len(trail(event="payments.refund.succeeded", entity_id=str(refund.id))),
        )

    survived = survives_any_crash(begin, scenario, world, meanwhile=lambda: pass_time(minutes=3))
    assert survived >= (10 if known else 14)


def test_a_void_survives_a_crash_at_every_commit(desk: Desk) -> None:
    actor = desk.operator()

    def begin() -> Case:
        payment = desk.paid()
        form = {"key": f"form-{payment.id}"} | desk.confirm(actor, VOID_ACT, payment.id)
        return Case(payment.id, payment.transaction_id, actor, form)

    def scenario(case: Case) -> None:
        desk.void(case.payment_id, actor=case.actor, **case.form)
        desk.work()

    def world(case: Case) -> object:
        [void] = db.session.query(VoidRequest).filter_by(payment_id=case.payment_id)
        return (desk.money(case.payment_id), void.status, _moved(desk, void.reference))

    survived = survives_any_crash(begin, scenario, world, meanwhile=lambda: pass_time(minutes=3))
    assert survived >= 10


def test_a_declined_refund_survives_a_crash_at_every_commit(desk: Desk) -> None:
    actor = desk.operator()
    desk.simulator.config(decline=1.0)

    def begin() -> Case:
        payment = desk.make.payment(provider_payment_id=f"ch_{time.monotonic_ns()}")
        form = {"key": f"form-{payment.id}"} | desk.confirm(actor, REFUND_ACT, payment.id)
        return Case(payment.id, payment.transaction_id, actor, form)

    def scenario(case: Case) -> None:
        desk.refund(case.payment_id, AMOUNT, actor=case.actor, **case.form)
        desk.work()

    def world(case: Case) -> object:
        [refund] = db.session.query(Refund).filter_by(payment_id=case.payment_id)
        return (desk.money(case.payment_id), refund.status, _moved(desk, refund.reference))

    survived = survives_any_crash(begin, scenario, world, meanwhile=lambda: pass_time(minutes=3))
    assert survived >= 10


# ---- real processes, really killed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "asked"),
    [("claimed", 0), ("in the call", 1), ("answered", 1), ("booked", 1)],
)
def test_a_worker_killed_at_any_point_refunds_exactly_once(point: str, asked: int, desk: Desk) -> None:
    payment_id = desk.paid().id
    reference = desk.refund(payment_id, AMOUNT).reference
    if point == "in the call":
        # The provider has acted and keeps the worker waiting for its answer.
        desk.simulator.config(slow_s=30)
        desk.simulator.script(reference, ["slow"])
        worker = Doomed(desk.app, "never")
        _until(lambda: desk.refunds_at_provider(reference) == [AMOUNT])
    else:
        worker = Doomed(desk.app, point)
        worker.wait_for(point)
    worker.kill()
    db.session.rollback()
    assert desk.posts(reference) == asked
    booked = ("PARTIALLY_REFUNDED", 0, AMOUNT, None)
    assert desk.money(payment_id) == (booked if point == "booked" else ("PAID", AMOUNT, 0, "REFUND"))

    assert desk.work() == 0  # the dead worker's lease still stands
    pass_time(minutes=3)
    desk.settle()
    assert desk.money(payment_id) == booked
    assert _moved(desk, reference) == [("refund", AMOUNT)]
    assert len(trail(event="payments.refund.succeeded")) == 1


@pytest.mark.parametrize("point", ["claimed", "answered"])
def test_a_worker_killed_in_a_void_voids_exactly_once(point: str, desk: Desk) -> None:
    payment_id = desk.paid().id
    reference = desk.void(payment_id).reference
    worker = Doomed(desk.app, point)
    worker.wait_for(point)
    worker.kill()
    pass_time(minutes=3)
    desk.settle()
    assert desk.money(payment_id) == ("VOIDED", 0, 0, None)
    assert _moved(desk, reference) == [("void", 100_00)]


def test_workers_killed_again_and_again_with_a_faulty_provider_refund_exactly_once(desk: Desk) -> None:
    # Time runs 60 times faster than the leases allow for, so that living workers meet their own successors too.
    rng = random.Random(16)
    actor = desk.make.actor()
    ids = [desk.paid(amount_minor=AMOUNT).id for _ in range(30)]
    for payment_id in ids:
        refund_in_run(actor, payment_id, key=str(payment_id), run_data={"reason": "DUPLICATE"}, row_data={})
    faults = ("drop_before", "drop_after", "err500_before", "err500_after", "err429", "late", "slow", "pending")
    desk.simulator.config(seed=16, late_s=1.2, slow_s=1.2, pending_s=0.5, **dict.fromkeys(faults, 0.07))
    workers = [Doomed(desk.app, "never") for _ in range(3)]
    kills, until = 0, time.monotonic() + 5
    while time.monotonic() < until:
        time.sleep(0.5)
        pass_time(seconds=30)
        if rng.random() < 0.5:
            victim = rng.randrange(len(workers))
            workers[victim].kill()
            workers[victim] = Doomed(desk.app, "never")
            kills += 1
    for worker in workers:
        worker.kill()
    desk.simulator.config(**dict.fromkeys(faults, 0.0))
    time.sleep(1.2)
    pass_time(minutes=3)
    desk.settle(rounds=30)
    refunds = db.session.query(Refund).all()
    assert {refund.status for refund in refunds} == {OrderStatus.SUCCEEDED}
    assert [_moved(desk, refund.reference) for refund in refunds] == [[("refund", AMOUNT)]] * 30
    assert {desk.money(payment_id) for payment_id in ids} == {("TOTALLY_REFUNDED", 0, AMOUNT, None)}
    assert db.session.query(Payment).filter(Payment.reserved_minor > 0).count() == 0
    assert len(trail(event="payments.refund.succeeded")) == 30
    assert kills > 0


def _until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
