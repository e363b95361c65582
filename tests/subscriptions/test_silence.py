"""A provider that says nothing for long, or that payadmin no longer knows, is never taken for one that said no."""

import datetime as dt

import pytest
from sqlalchemy import select, update

from payadmin import work
from payadmin.actions.subscriptions import ask_again, declare_unpaid
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.charging import Report, book_charges, claim_charges
from payadmin.db import db, utcnow
from payadmin.jobs.subscriptions import LEASE_TIMEOUTS, quiet_after
from payadmin.models.subscriptions import ChargeAttempt, ChargeStatus, ProviderBreaker
from payadmin.work import SYSTEM
from tests.support.billing import Office, pass_time
from tests.support.desk import trail

C = ChargeStatus
LEASE = dt.timedelta(seconds=4)
WINDOWS = {"simulator": dt.timedelta(hours=20)}


def test_people_are_told_once_when_nobody_answers_beyond_the_memory_of_keys(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["drop_after"])
    office.work()
    office.simulator.config(lookup_fail=1.0)
    pass_time(hours=10)
    office.work()
    assert not office.charge(charge.id).needs_staff
    for _ in range(3):
        pass_time(hours=11)
        office.work()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff) == (C.UNKNOWN, True)
    assert row.message is not None
    assert row.message.startswith("The provider has not said for long")
    assert len(trail(event="subscriptions.charge.left_to_staff")) == 1
    office.simulator.config(lookup_fail=0.0)
    pass_time(hours=1)
    office.work()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff) == (C.SUCCEEDED, False), "it was still asked about by itself"


def test_people_decide_about_a_charge_that_nobody_answers_about(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["drop_before"])
    office.work()
    office.simulator.config(lookup_fail=1.0)
    pass_time(hours=21)
    office.work()
    ask_again(SYSTEM, charge.id)
    office.work()
    assert office.charge(charge.id).needs_staff, "still no answer"
    declare_unpaid(SYSTEM, charge.id, reason="Their support says so.")
    assert office.status(charge.id) is C.FAILED
    assert office.attempts(charge.id) == ["DECLINED"]


def test_what_was_sent_to_a_provider_without_a_connection_today_is_not_called_declined(office: Office) -> None:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    claim_charges(SYSTEM, limit=1, lease=LEASE, key_windows=WINDOWS)
    with db.engine.begin() as connection:
        connection.execute(update(ChargeAttempt).values(provider="elsewhere"))
    pass_time(minutes=1)
    office.work()
    assert office.status(charge.id) is C.UNKNOWN
    assert office.attempts(charge.id) == ["UNKNOWN"]


def test_a_try_of_a_paused_provider_that_finds_nothing_to_send_is_left_to_the_next_worker(office: Office) -> None:
    with db.engine.begin() as connection:
        values = {"provider": "simulator", "failures": 9, "open_until": utcnow() - dt.timedelta(seconds=1)}
        connection.execute(ProviderBreaker.__table__.insert().values(values))
    assert claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS) == []
    office.due()
    office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    assert len(claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)) == 1
    assert claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS) == [], "one call tries it"
    assert db.session.scalars(select(ProviderBreaker.open_until)).one() > utcnow()


def test_a_try_of_one_provider_does_not_hold_up_another(office: Office) -> None:
    with db.engine.begin() as connection:
        values = {"provider": "elsewhere", "failures": 9, "open_until": utcnow() - dt.timedelta(seconds=1)}
        connection.execute(ProviderBreaker.__table__.insert().values(values))
    charges = [office.due() for _ in range(3)]
    enqueue_due(SYSTEM, zone=office.zone)
    assert len(claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)) == len(charges)


def test_no_trace_is_believed_only_when_no_worker_can_be_sending_any_more() -> None:
    settle, timeout = dt.timedelta(seconds=10), dt.timedelta(seconds=5)
    lease = LEASE_TIMEOUTS * timeout
    # The last call under a claim begins at half its lease, and is sent within three time-outs.
    last_byte = lease / 2 + 3 * timeout
    assert quiet_after(dt.timedelta(), settle, lease=lease, timeout=timeout) == last_byte + settle
    keyed = quiet_after(dt.timedelta(hours=20), settle, lease=lease, timeout=timeout)
    assert keyed == settle + timeout, "sent again with the same key it never charges twice"


def test_a_provider_without_keys_is_not_taken_at_its_word_before_the_claim_is_over(office: Office) -> None:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    [claim] = claim_charges(SYSTEM, limit=1, lease=LEASE, key_windows={})
    second = dt.timedelta(seconds=1)
    none, quiet = dt.timedelta(), quiet_after(dt.timedelta(), 10 * second, lease=LEASE, timeout=second)
    pass_time(seconds=14)
    book_charges(SYSTEM, reports=[Report(claim, None)], key_window=none, quiet=quiet)
    assert office.attempts(charge.id) == ["SENDING"], "it is asked once more"
    pass_time(seconds=2)
    book_charges(SYSTEM, reports=[Report(claim, None)], key_window=none, quiet=quiet)
    assert office.attempts(charge.id) == ["MANUAL"]


def test_a_process_whose_clock_is_wrong_writes_and_asks_by_the_databases(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid, declined, unclear = office.due(), office.due(), office.due()
    office.simulator.script(declined.invoice_number, ["decline"])
    office.simulator.script(unclear.invoice_number, ["drop_before"])
    right = utcnow()
    monkeypatch.setattr(work, "utcnow", lambda: utcnow() + dt.timedelta(hours=5))
    office.work()
    assert [office.status(row.id) for row in (paid, declined, unclear)] == [C.SUCCEEDED, C.FAILED, C.UNKNOWN]
    office.simulator.config(lookup_fail=1.0)
    pass_time(hours=21)
    office.work()
    ask_again(SYSTEM, unclear.id)
    soon = right + dt.timedelta(minutes=2)
    attempts = {row.scheduled_charge_id: row for row in db.session.scalars(select(ChargeAttempt))}
    assert attempts[unclear.id].act_at < soon, "it is asked about now, not in five hours"
    office.work()
    declare_unpaid(SYSTEM, unclear.id, reason="Their support says so.")
    db.session.expire_all()
    for row in db.session.scalars(select(ChargeAttempt)):
        assert row.done_at is not None
        assert row.done_at < soon
