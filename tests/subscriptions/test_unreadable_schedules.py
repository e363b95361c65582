"""A subscription whose dates cannot be worked out is shown to staff and holds up no other, nor any charge."""

import datetime as dt
import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from payadmin.actions.subscriptions import edit_schedule
from payadmin.db import db
from payadmin.jobs import runner
from payadmin.models.outbox import Heartbeat
from payadmin.models.subscriptions import ChargeStatus, Subscription
from payadmin.permissions import Role
from tests.support.billing import DAILY, Office
from tests.support.desk import trail
from tests.support.make import Make

C = ChargeStatus


def broken(subscription_id: int, **values: Any) -> None:
    """What only a hand in the database, or an older release, could write."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(Subscription).where(Subscription.id == subscription_id).values(**values))


def test_one_that_cannot_be_read_is_left_to_staff_and_the_others_are_planned_and_charged(
    office: Office, make: Make
) -> None:
    unreadable, sound = office.subscription(), office.subscription()
    due = office.due(unreadable)
    broken(unreadable.id, schedule_weekdays=["Monday"])
    office.plan()  # it ends, although one subscription stays unplanned
    office.plan()
    assert len(office.dates(sound.id)) == 61
    assert office.dates(unreadable.id) == [office.today], "what was planned already stays"
    assert office.work() == 2
    assert office.status(due.id) is C.SUCCEEDED
    [entry] = trail(event="subscriptions.subscription.not_planned")
    assert (entry.entity_id, entry.reason) == (
        str(unreadable.id), "Its schedule cannot be read, so no new dates are planned. Edit its dates.",
    )  # fmt: skip
    client = make.browse(Role.PAYMENTS_OPERATOR)
    page = client.get("/needs-attention/?group=unplanned").text
    assert unreadable.billing_number in page
    assert sound.billing_number not in page
    assert "No new dates are planned." in client.get(f"/subscriptions/{unreadable.id}/").text
    assert "Cannot be read" in client.get(f"/subscriptions/{unreadable.id}/").text
    for address in ("/subscriptions/", "/manage-recurring/", f"/subscriptions/{unreadable.id}/dates/"):
        assert client.get(address).status_code == 200, address


def test_new_dates_by_staff_settle_it_at_once(office: Office) -> None:
    subscription = office.subscription()
    broken(subscription.id, schedule_weekdays=None)
    office.plan()
    assert office.subscription_now(subscription.id).plan_failed_at is not None
    edit_schedule(
        office.operator(), subscription.id, version=office.subscription_now(subscription.id).version, schedule=DAILY,
        start_date=office.today, expiration_date=None, zone=office.zone,
    )  # fmt: skip
    row = office.subscription_now(subscription.id)
    assert (row.plan_failed_at, len(office.dates(row.id))) == (None, 61)


def test_it_is_tried_again_an_hour_later_without_another_word(office: Office) -> None:
    subscription = office.subscription()
    broken(subscription.id, schedule_months=[13])
    office.plan()
    first = office.subscription_now(subscription.id).plan_failed_at
    assert first is not None
    broken(subscription.id, plan_failed_at=first - dt.timedelta(minutes=61))
    office.plan()
    second = office.subscription_now(subscription.id).plan_failed_at
    assert second is not None
    assert second >= first
    assert len(trail(event="subscriptions.subscription.not_planned")) == 1
    broken(subscription.id, plan_failed_at=first - dt.timedelta(minutes=61), schedule_months=list(range(1, 13)))
    office.plan()
    row = office.subscription_now(subscription.id)
    assert (row.plan_failed_at, len(office.dates(row.id))) == (None, 61)


def test_a_tick_whose_planning_fails_altogether_still_charges_and_the_planner_falls_silent(
    app: Flask, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = office.due()
    charge_id = charge.id

    def fail(_zone: object) -> None:
        raise LookupError("a rule from another release")

    monkeypatch.setattr(runner, "keep_plans", fail)
    stop = threading.Event()
    thread = threading.Thread(target=runner.tick, args=(app, stop), kwargs={"every_seconds": 0.1})
    db.session.rollback()
    thread.start()
    for _ in range(100):
        thread.join(0.2)
        db.session.rollback()
        if office.status(charge_id) is C.SUCCEEDED:
            break
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    db.session.rollback()
    assert office.status(charge_id) is C.SUCCEEDED
    assert db.session.get(Heartbeat, "planner") is None
