"""A date that a worker took is charged or dropped as a whole: never both cancelled and sent, never left halfway."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

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
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    ProviderBreaker,
    Purpose,
    ScheduledCharge,
)
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
    # One date is taken back from the worker before it sends it; the end of a subscription lets finish what is in hand.
    captured, status = ([], C.CANCELLED) if act == "date" else ([10_00], C.SUCCEEDED)
    assert office.simulator.captured(charge.invoice_number) == captured
    assert office.status(charge_id) is status


def test_what_waits_in_hand_while_its_provider_is_paused_can_be_cancelled(office: Office) -> None:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    with db.engine.begin() as connection:
        values = {"provider": "simulator", "failures": 9, "open_until": utcnow() + dt.timedelta(minutes=5)}
        connection.execute(insert(ProviderBreaker).values(values))
    assert claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS) == []
    actor = office.operator()
    outcome = cancel_scheduled(actor, charge_ids=[charge.id], reason="Moved away", **office.confirm(actor, [charge.id]))
    assert outcome.done == [charge.id]
    row = office.charge(charge.id)
    assert (row.status, row.is_touched, row.message) == (C.CANCELLED, True, "Moved away")
    attempt = db.session.scalars(select(ChargeAttempt)).one()
    assert (attempt.state, attempt.done_at is not None) == (AttemptState.CANCELLED, True)
    pass_time(minutes=6)
    office.settle()
    assert office.simulator.captured(charge.invoice_number) == []


def test_what_a_worker_has_claimed_or_sent_again_is_not_taken_back(office: Office) -> None:
    claimed, turned_away = office.due(), office.due()
    office.simulator.script(turned_away.invoice_number, ["err429"])
    enqueue_due(SYSTEM, zone=office.zone)
    claim_charges(SYSTEM, limit=1, lease=LEASE, key_windows=WINDOWS)
    office.work()
    ids = [claimed.id, turned_away.id]
    actor = office.operator()
    outcome = cancel_scheduled(actor, charge_ids=ids, reason="Why", **office.confirm(actor, ids))
    assert outcome.refused == dict.fromkeys(ids, "It is already being charged.")
    office.settle()
    assert [office.simulator.captured(row.invoice_number) for row in (claimed, turned_away)] == [[10_00], [10_00]]


@pytest.mark.parametrize("first", ["cancel", "claim"])
@pytest.mark.parametrize("stops_before", ["UPDATE charge_attempt", "UPDATE scheduled_charge", "COMMIT"])
def test_a_cancellation_and_a_claim_at_the_same_moment_never_both_have_the_charge(
    office: Office, first: str, stops_before: str
) -> None:
    """One of the two stops in the middle of its transaction while the other tries; SQLite lets the other wait."""
    charge = office.due()
    charge_id = charge.id
    enqueue_due(SYSTEM, zone=office.zone)
    actor = office.operator()
    form = office.confirm(actor, [charge_id])
    db.session.rollback()
    stopped, go_on = threading.Event(), threading.Event()
    acts: dict[str, Callable[[], Any]] = {
        "cancel": lambda: cancel_scheduled(actor, charge_ids=[charge_id], reason="Why", **form),
        "claim": lambda: claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS),
    }
    said: dict[str, Any] = {}

    def run(name: str) -> None:
        with office.app.app_context():
            said[name] = acts[name]()

    one = threading.Thread(target=run, args=(first,))
    other = threading.Thread(target=run, args=("claim" if first == "cancel" else "cancel",))

    def stop(*_: Any) -> None:
        if threading.current_thread() is one and not stopped.is_set():
            stopped.set()
            assert go_on.wait(10)

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(stops_before):
            stop()

    event.listen(db.engine, "before_cursor_execute", look)
    event.listen(db.engine, "commit", stop)
    try:
        one.start()
        assert stopped.wait(10)
        other.start()
        other.join(0.5)
        go_on.set()
        for thread in (one, other):
            thread.join(20)
            assert not thread.is_alive()
    finally:
        event.remove(db.engine, "before_cursor_execute", look)
        event.remove(db.engine, "commit", stop)
    db.session.rollback()
    assert set(said) == {"cancel", "claim"}, "neither was turned away by the database"
    cancelled, claims = said["cancel"], said["claim"]
    assert bool(cancelled.done) == (not claims), "exactly one of them has it"
    assert bool(cancelled.done) == (first == "cancel"), "whoever began first has it"
    assert office.status(charge_id) is (C.CANCELLED if cancelled.done else C.PROCESSING)
    pass_time(minutes=1)
    office.settle()
    assert office.simulator.captured(charge.invoice_number) == ([] if cancelled.done else [10_00])
    assert office.attempts(charge_id) == (["CANCELLED"] if cancelled.done else ["SUCCEEDED"])


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
