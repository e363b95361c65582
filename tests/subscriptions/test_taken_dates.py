"""A date that a worker took is charged or dropped as a whole: never both cancelled and sent, never left halfway."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from payadmin.actions.subscriptions import (
    cancel_scheduled,
    cancel_subscription,
    change_purpose,
)
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.charging import Report, book_charges, claim_charges
from payadmin.actions.subscriptions.planning import settle_date
from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.models.subscriptions import AttemptState, ChargeAttempt, ChargeStatus, Purpose, ScheduledCharge
from payadmin.permissions import Permission
from payadmin.providers import Answer, Outcome, provider_for
from payadmin.work import SYSTEM, Work, use_case
from tests.support.billing import Office, pass_time

C = ChargeStatus
LEASE = dt.timedelta(seconds=4)
WINDOWS = {"simulator": dt.timedelta(hours=20)}


def test_no_act_settles_a_date_that_a_worker_has(office: Office) -> None:
    charge = office.due()
    assert enqueue_due(SYSTEM, zone=office.zone) == 1

    @use_case(Permission.SYSTEM_JOB_RUN)
    def settle(work: Work) -> bool:
        return settle_date(work, charge.id, C.CANCELLED, Event.CHARGE_CANCELLED, "Too late")

    assert not settle(SYSTEM)
    assert office.status(charge.id) is C.ENQUEUED


@pytest.mark.parametrize("act", ["date", "subscription"])
def test_cancelling_while_a_worker_takes_the_date_never_leaves_it_cancelled_and_sent(
    office: Office, dialect: str, act: str
) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite lets one writer in at a time")
    charge = office.due()
    charge_id, subscription_id = charge.id, charge.subscription_id
    actor = office.operator()
    form = office.confirm(actor, [charge_id])
    db.session.rollback()
    acts: dict[str, Callable[[], Any]] = {
        "date": lambda: cancel_scheduled(actor, charge_ids=[charge_id], reason="Why", **form),
        "subscription": lambda: cancel_subscription(actor, subscription_id, version=1),
    }

    def in_thread() -> None:
        with office.app.app_context():
            acts[act]()

    thread = threading.Thread(target=in_thread)
    with db.engine.begin() as worker:
        taken = update(ScheduledCharge).where(ScheduledCharge.id == charge_id)
        worker.execute(taken.values(status=C.ENQUEUED, attempts=1))
        values = {"scheduled_charge_id": charge_id, "seq": 1, "provider": "simulator", "provider_key": "k1"}
        values |= {"reference": charge.invoice_number, "state": AttemptState.DUE, "fence": 0, "checks": 0}
        worker.execute(insert(ChargeAttempt).values(act_at=utcnow(), created_at=utcnow(), **values))
        thread.start()
        thread.join(0.7)
        assert thread.is_alive(), "it waits for the worker"
    thread.join(10)
    db.session.rollback()
    office.settle()
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    assert office.status(charge_id) is C.SUCCEEDED


def test_a_charge_turned_away_at_the_door_is_dropped_whole_when_the_subscription_only_reminds(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["err429"])
    office.work()
    assert office.attempts(charge.id) == ["DUE"]
    change_purpose(SYSTEM, charge.subscription_id, version=1, purpose=Purpose.REMINDER)
    office.settle()
    assert office.attempts(charge.id) == ["CANCELLED"]
    assert office.status(charge.id) is C.FAILED
    assert office.simulator.captured(charge.invoice_number) == []


def test_a_success_that_the_date_cannot_take_any_more_is_left_to_staff_and_holds_up_no_other(office: Office) -> None:
    broken, sound = office.due(), office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    claims = claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    with db.engine.begin() as connection:  # what only a hand in the database could do
        connection.execute(update(ScheduledCharge).where(ScheduledCharge.id == broken.id).values(status=C.CANCELLED))
    reports = [
        Report(claim, Answer(Outcome.SUCCEEDED, provider_id=f"ch_{claim.attempt_id}", amount_minor=10_00, unit="EUR"))
        for claim in claims
    ]
    day = dt.timedelta(days=1)
    assert book_charges(SYSTEM, reports=reports, key_window=day, quiet=dt.timedelta()) == 1
    assert office.status(sound.id) is C.SUCCEEDED
    row = office.charge(broken.id)
    assert (row.status, row.needs_staff) == (C.CANCELLED, True)
    assert "ch_" in (row.message or "")
    assert office.attempts(broken.id) == ["MANUAL"]
    pass_time(minutes=5)
    assert office.work() == 0


def test_a_look_up_that_names_another_currency_is_left_to_staff(office: Office) -> None:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    [claim] = claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    provider = provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=5)
    provider.charge(
        key="other", reference=claim.reference, amount_minor=10_00, unit="USD", token="tok_visa", metadata={}
    )
    office.settle()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff) == (C.UNKNOWN, True)
    assert office.payments() == []
    assert db.session.scalar(select(ChargeAttempt.state)) is AttemptState.MANUAL
