"""The promises about recurring charges, small: what `payadmin faults …` shows at full size (docs/recurring.md)."""

import datetime as dt
import random
import threading
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from payadmin.actions.subscriptions import charging
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.charging import Report, Turn
from payadmin.actions.subscriptions.planning import HORIZON_DAYS
from payadmin.db import db
from payadmin.jobs import runner
from payadmin.jobs.subscriptions import ChargeCounter, keep_plans
from payadmin.models.subscriptions import ChargeAttempt, ChargeStatus, ScheduledCharge
from payadmin.providers import Provider, provider_for
from payadmin.work import SYSTEM
from tests.faults.races import race
from tests.faults.reconciliation import PLANTED, reconcile_planted
from tests.faults.schedules import ZONES, random_rule, wrong_dates
from tests.support.billing import DAILY, Office, pass_time
from tests.support.desk import told
from tests.support.races import together

C = ChargeStatus
LEASE = dt.timedelta(seconds=4)
WINDOWS = {"simulator": dt.timedelta(hours=20)}
QUIET = dt.timedelta(seconds=11)
TICK_SECONDS = 2


def provider_of(office: Office) -> Provider:
    return provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=1)


# ---- P3: look-ups that fail and lag, keys that are ignored ---------------------------------------------------------


@pytest.mark.parametrize("trouble", [{"lookup_fail": 0.5, "visibility_lag_s": 1.0}, {"idempotency": "none"}])
def test_neither_bad_look_ups_nor_ignored_keys_alone_charge_anybody_twice(
    office: Office, trouble: dict[str, object]
) -> None:
    charges = [office.due() for _ in range(12)]
    office.simulator.config(**trouble)
    for charge, fault in zip(charges, ("drop_before", "drop_after", "err500_before", "err500_after") * 3, strict=True):
        office.simulator.script(charge.invoice_number, [fault])
    office.settle(seconds=60)
    assert {office.status(charge.id) for charge in charges} == {C.SUCCEEDED}
    assert [office.simulator.captured(charge.invoice_number) for charge in charges] == [[10_00]] * 12


def test_a_provider_that_declares_no_keys_is_never_sent_anything_twice(office: Office) -> None:
    charges = [office.due() for _ in range(8)]
    office.simulator.config(idempotency="none")
    for charge in charges:
        office.simulator.script(charge.invoice_number, ["drop_before", "drop_after"])
    settings = office.app.extensions["payadmin.settings"]
    for _ in range(6):
        counter = ChargeCounter(settings)
        counter.key_windows = {"simulator": dt.timedelta()}
        counter.work(time.monotonic() + 30, threading.Event())
        pass_time(minutes=1)
    posts = office.simulator.stats()["posts_by_reference"]
    assert [posts[charge.invoice_number] for charge in charges] == [1] * 8
    assert [office.attempts(charge.id) for charge in charges] == [["MANUAL"]] * 8
    assert all(office.charge(charge.id).needs_staff for charge in charges)


# ---- P5, P6: Redis away, several schedulers ------------------------------------------------------------------------


def test_charges_go_on_while_redis_is_away(office: Office) -> None:
    charges = [office.due() for _ in range(5)]
    stop = threading.Event()
    with told(office.app, redis_url="redis://127.0.0.1:9/0"):
        scheduler = threading.Thread(target=runner.tick, args=(office.app, stop), kwargs={"every_seconds": 0.1})
        scheduler.start()
        try:
            wait_until(lambda: all(office.status(charge.id) is C.SUCCEEDED for charge in charges))
        finally:
            stop.set()
            scheduler.join()
    assert [office.simulator.captured(charge.invoice_number) for charge in charges] == [[10_00]] * 5


def test_three_schedulers_at_once_make_the_dates_of_one(office: Office) -> None:
    subscriptions = [office.subscription(DAILY).id for _ in range(20)]
    assert together(office.app, *[lambda: keep_plans(office.zone)] * 3)[1] == []
    db.session.rollback()
    every = [office.day(number) for number in range(HORIZON_DAYS + 1)]
    assert all(office.dates(subscription_id) == every for subscription_id in subscriptions)
    assert together(office.app, *[lambda: enqueue_due(SYSTEM, zone=office.zone)] * 3)[1] == []
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(ChargeAttempt)) == len(subscriptions)


# ---- P7: a worker that wakes up too late ---------------------------------------------------------------------------


def test_a_zombie_that_sends_after_all_captures_nothing_more_because_the_key_is_the_same(office: Office) -> None:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    [claim] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    # Frozen here, between "the claim is mine" and the send, until others have asked and charged.
    pass_time(minutes=1)
    office.settle()
    assert office.status(charge.id) is C.SUCCEEDED
    late = provider_of(office).charge(
        key=claim.provider_key, reference=claim.reference, amount_minor=claim.amount_minor, unit=claim.unit,
        token=claim.card_token, metadata={"ordered_by": claim.ordered_by},
    )  # fmt: skip
    charging.book_charges(SYSTEM, reports=[Report(claim, late)], key_window=WINDOWS["simulator"], quiet=QUIET)
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    assert len(office.payments()) == 1
    assert not office.charge(charge.id).needs_staff


def test_a_worker_that_notices_that_it_slept_sends_nothing(office: Office) -> None:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    [claim] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    counter = ChargeCounter(office.app.extensions["payadmin.settings"])
    answer = counter.call(claim, time.monotonic() - LEASE.total_seconds())
    assert (claim.turn, answer is not None and answer.code) == (Turn.SEND, "claim_too_old")
    assert charge.invoice_number not in office.simulator.stats()["posts_by_reference"]


# ---- P9: an unknown outcome is seen at once, and cleared soon after the provider can answer ------------------------


def test_an_unknown_outcome_shows_at_once_and_is_cleared_soon_after_a_long_silence(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["slow"])
    office.simulator.config(lookup_fail=1.0)
    began = time.monotonic()
    office.work()
    assert office.status(charge.id) is C.UNKNOWN
    assert time.monotonic() - began < 1 + 5, "seen within five seconds of the time-out"
    for _ in range(30):  # half an hour of silence
        pass_time(minutes=1)
        office.work()
    office.simulator.config(lookup_fail=0.0)
    pass_time(seconds=provider_of(office).capabilities.settle.total_seconds() + 2 * TICK_SECONDS)
    office.work()
    assert office.status(charge.id) is C.SUCCEEDED


# ---- P10, P11, P12 -------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_random_rules_are_planned_right_in_every_zone_whenever_the_ticks_come() -> None:
    chance = random.Random(7)
    for number in range(21):
        start = dt.date(2026, 1, 1) + dt.timedelta(days=chance.randrange(365))
        rule, zone = random_rule(chance), ZONES[number % len(ZONES)]
        planned, wrong = wrong_dates(rule, start, ZoneInfo(zone), chance)
        assert wrong == [], f"{rule} from {start} in {zone}, {planned} planned"


def test_a_date_is_taken_back_or_sent_but_never_both(office: Office) -> None:
    found = race(office, 16)
    assert (found["both"], found["neither"], found["errors"]) == (0, 0, 0)
    assert found["sent"] + found["withdrawn"] == 16


def test_each_of_many_planted_differences_is_named_as_what_it_is_and_no_other(office: Office) -> None:
    found = reconcile_planted(office, 60, random.Random(1))
    assert (found["planted"], found["named"], found["false"]) == (27, 27, 0)
    assert found["kinds"] == {kind.name: number for kind, number in PLANTED.items()}
    flagged = db.session.scalar(select(func.count()).where(ScheduledCharge.needs_staff))
    assert flagged == 27 - 4, "those unknown to us have no row of ours"


# ---- helpers --------------------------------------------------------------------------------------------------------


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        db.session.rollback()
        time.sleep(0.1)
