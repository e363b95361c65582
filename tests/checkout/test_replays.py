"""Replays: exact counts, every payment once whatever is killed, and never a table in memory."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, select

from payadmin.actions import checkout
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.jobs.checkout import replay_checkout
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.checkout import CheckoutChange, CheckoutReplay, ReplayStatus
from payadmin.models.payments import Channel, Mode
from payadmin.models.system import StaffNotice
from payadmin.permissions import Role
from payadmin.work import SYSTEM
from tests.support.checkout import API, CARD, PAYPAL, WEB, WIRE, Counter, over

ROME = ZoneInfo("Europe/Rome")


def start(counter: Counter, ruleset_id: int, days: int = 1, **values: Any) -> int:
    replay = checkout.start_replay(counter.admin, ruleset_id, days=days, zone=ROME, **values)
    found = int(replay.id)
    db.session.rollback()
    return found


def replayed(counter: Counter, ruleset_id: int, **values: Any) -> CheckoutReplay:
    """A replay as it is when workers are done with it."""
    replay_id = start(counter, ruleset_id, **values)
    runner.drain()
    return fresh(replay_id)


def fresh(replay_id: int) -> CheckoutReplay:
    db.session.rollback()
    return db.session.get_one(CheckoutReplay, replay_id, populate_existing=True)


def test_a_replay_counts_lists_and_says_from_which_rule_to_which(counter: Counter) -> None:
    old = counter.active(("web", (WEB,), (CARD, PAYPAL)), ("default", (), (WIRE,)))
    new = counter.draft(old)
    counter.rule(new, "large", 5, (over(100_00),), (WIRE,))
    small, large = counter.paid(50_00), counter.paid(200_00)
    other = counter.paid(200_00, channel=Channel.API)
    counter.paid(200_00, mode=Mode.TEST)
    counter.paid(300_00, unit="USD")
    replay = replayed(counter, new)
    assert (replay.status, replay.rows_done, replay.rows_total) == (ReplayStatus.DONE, 4, 4)
    assert (replay.changed, replay.lost) == (1, 1)
    assert replay.moves == [["web", "large", 1]]
    assert replay.against_id == old
    row = db.session.scalars(select(CheckoutChange)).one()
    assert (row.payment_id, row.old_methods, row.new_methods) == (
        large,
        ["simulator:card", "simulator:paypal"],
        ["bank:wire"],
    )
    assert row.is_lost
    assert row.payment_id not in {small, other}


def test_without_an_active_version_every_answer_is_new(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    counter.paid(1_00)
    replay = replayed(counter, draft_id)
    assert (replay.against_id, replay.changed, replay.lost) == (None, 1, 0)
    assert replay.moves == [[None, "default", 1]]


def test_the_active_version_is_compared_with_the_one_before_it(counter: Counter) -> None:
    old = counter.active(("default", (), (CARD,)))
    new = counter.draft(old)
    counter.rule(new, "web", 5, (WEB,), (PAYPAL,))
    counter.activate(new)
    counter.paid(1_00)
    replay = replayed(counter, new)
    assert (replay.against_id, replay.changed) == (old, 1)
    with pytest.raises(Conflict, match="none before it"):
        start(counter, counter.active(("web", (API,), (CARD,))))


def test_days_are_business_days_and_today_is_one(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    midnight = dt.datetime.combine(utcnow().astimezone(ROME).date(), dt.time(), ROME)
    for seconds in (-1, 0):
        counter.make.payment(created_at=(midnight + dt.timedelta(seconds=seconds)).astimezone(dt.UTC))
    assert replayed(counter, draft_id, days=1).rows_done == 1
    assert replayed(counter, draft_id, days=2).rows_done == 2


def test_methods_count_as_they_were_when_the_replay_began(counter: Counter) -> None:
    old = counter.active(("default", (), (CARD, PAYPAL)))
    draft_id = counter.draft(old)
    counter.rule(draft_id, "web", 5, (WEB,), (CARD,))
    counter.paid(1_00)
    replay_id = start(counter, draft_id)
    counter.disable("simulator", "paypal")
    runner.drain()
    assert fresh(replay_id).changed == 1


def test_a_worker_that_dies_counts_nothing_twice_and_skips_nothing(counter: Counter) -> None:
    old = counter.active(("default", (), (CARD,)))
    new = counter.draft(old)
    counter.rule(new, "web", 5, (WEB,), (PAYPAL,))
    same = utcnow()
    for number in range(23):
        counter.make.payment(created_at=same if number % 2 else same - dt.timedelta(seconds=number))
    replay_id = start(counter, new)
    assert checkout.replay_some(SYSTEM, replay_id, limit=5)
    db.session.rollback()

    def die(*_args: object) -> None:
        raise RuntimeError("killed")

    event.listen(db.engine, "commit", die)
    try:
        with pytest.raises(RuntimeError, match="killed"):
            checkout.replay_some(SYSTEM, replay_id, limit=5)
    finally:
        event.remove(db.engine, "commit", die)
        db.session.remove()
        db.engine.dispose()
    assert fresh(replay_id).rows_done == 5
    while checkout.replay_some(SYSTEM, replay_id, limit=5):
        pass
    replay = fresh(replay_id)
    assert (replay.rows_done, replay.changed, replay.status) == (23, 23, ReplayStatus.DONE)
    assert len(set(db.session.scalars(select(CheckoutChange.payment_id)))) == 23
    replay_checkout(replay_id=replay_id)
    assert fresh(replay_id).rows_done == 23


def test_a_piece_reads_no_more_payments_than_it_was_told_to(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    for _ in range(7):
        counter.paid(1_00)
    replay_id = start(counter, draft_id)
    assert checkout.replay_some(SYSTEM, replay_id, limit=3)
    found = fresh(replay_id)
    assert (found.rows_done, found.rows_total, found.status) == (3, 7, ReplayStatus.RUNNING)


def test_a_draft_that_changes_while_it_is_replayed_ends_the_replay(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    counter.paid(1_00)
    replay_id = start(counter, draft_id)
    counter.rule(draft_id, "web", 5)
    runner.drain()
    replay = fresh(replay_id)
    assert replay.status is ReplayStatus.FAILED
    assert replay.reason is not None
    assert "changed while it was replayed" in replay.reason


def test_a_draft_that_becomes_active_meanwhile_is_replayed_to_the_end(counter: Counter) -> None:
    old = counter.active(("default", (), (WIRE,)))
    draft_id = counter.draft(old)
    counter.rule(draft_id, "web", 5)
    counter.paid(1_00)
    replay_id = start(counter, draft_id)
    counter.activate(draft_id)
    runner.drain()
    assert (fresh(replay_id).status, fresh(replay_id).changed) == (ReplayStatus.DONE, 1)


def test_asking_twice_is_one_replay_while_it_is_open(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    first = start(counter, draft_id)
    assert start(counter, draft_id) == first
    assert start(counter, draft_id, days=2) != first
    runner.drain()
    assert start(counter, draft_id) != first


def test_a_replay_is_stopped_once_and_stays_stopped(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    counter.paid(1_00)
    replay_id = start(counter, draft_id)
    checkout.cancel_replay(counter.admin, replay_id)
    runner.drain()
    assert (fresh(replay_id).status, fresh(replay_id).rows_done) == (ReplayStatus.CANCELLED, 0)
    with pytest.raises(Conflict, match="is cancelled"):
        checkout.cancel_replay(counter.admin, replay_id)


@pytest.mark.parametrize("days", [0, -1, 3_661, 10**9])
def test_a_number_of_days_that_makes_no_sense_is_refused_at_its_field(counter: Counter, days: int) -> None:
    with pytest.raises(Invalid) as caught:
        start(counter, counter.draft(), days=days)
    assert caught.value.field == "days"


def test_the_person_who_asked_is_told_by_the_bell(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    counter.paid(1_00)
    replayed(counter, draft_id)
    notice = db.session.scalars(select(StaffNotice).where(StaffNotice.staff_id == counter.admin.staff_id)).one()
    assert "1 of 1 payments would be offered something else" in notice.title


def test_only_those_who_read_rules_replay(counter: Counter) -> None:
    draft_id = counter.draft()
    with pytest.raises(Forbidden):
        checkout.start_replay(counter.person(Role.CFO), draft_id, days=1, zone=ROME)
