"""A date is planned in the act that makes it due, so that no midnight and no outage of the scheduler loses it."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from payadmin.actions.subscriptions import edit_schedule, register_subscription
from payadmin.actions.subscriptions.planning import HORIZON_DAYS
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.schedules import IntervalUnit, Schedule, ScheduleKind, next_dates, runs_per_year
from payadmin.models.subscriptions import ChargeStatus, Purpose, Subscription
from payadmin.work import SYSTEM
from tests.support.billing import DAILY, Office

C = ChargeStatus


def registration(office: Office, **values: Any) -> dict[str, Any]:
    return {
        "billing_number": "B-1",
        "customer_id": office.make.customer().id,
        "merchant_id": office.make.organization().id,
        "amount_minor": 9_99,
        "unit": office.make.unit().code,
        "method": office.make.method().code,
        "provider": "simulator",
        "card_token": "tok_visa",
        "schedule": DAILY,
        "start_date": office.today,
        "expiration_date": None,
        "zone": office.zone,
    } | values


def test_the_first_date_is_there_before_any_scheduler_runs(office: Office) -> None:
    made = register_subscription(SYSTEM, **registration(office))
    assert office.dates(made.id) == [office.day(number) for number in range(HORIZON_DAYS + 1)]
    office.plan()
    assert len(office.dates(made.id)) == HORIZON_DAYS + 1


def test_an_edit_leaves_no_moment_without_a_plan(office: Office) -> None:
    subscription = office.subscription()
    office.plan()
    weekly = Schedule(
        ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=7, anchor=office.today
    )  # fmt: skip
    edit_schedule(
        SYSTEM, subscription.id, version=1, schedule=weekly, start_date=office.today, expiration_date=None,
        zone=office.zone,
    )  # fmt: skip
    assert office.dates(subscription.id) == [office.day(number) for number in range(0, HORIZON_DAYS + 1, 7)]


def test_dates_that_no_scheduler_lived_to_plan_are_missed_and_not_forgotten(office: Office) -> None:
    subscription = office.subscription(start_date=office.day(-200), planned_until=office.day(-5))
    office.plan()
    assert office.dates(subscription.id, C.MISSED) == [office.day(-4), office.day(-3)]
    assert office.dates(subscription.id, C.SCHEDULED)[0] == office.day(-2), "the grace window still runs"


def test_dates_while_aborted_are_not_made_up_for(office: Office) -> None:
    from payadmin.actions.subscriptions import activate_subscription
    from payadmin.models.subscriptions import SubscriptionStatus

    aborted = office.subscription(
        start_date=office.day(-200), planned_until=office.day(-90), status=SubscriptionStatus.ABORTED
    )
    activate_subscription(SYSTEM, aborted.id, version=1, zone=office.zone)
    office.plan()
    assert office.dates(aborted.id)[0] == office.today


def test_imported_history_without_a_card_gets_no_dates_to_charge(office: Office) -> None:
    imported = office.subscription(schedule=None, card_token=None)

    def edit(purpose: Purpose) -> Subscription:
        db.session.rollback()
        with db.engine.begin() as connection:
            connection.execute(update(Subscription).where(Subscription.id == imported.id).values(purpose=purpose))
        return edit_schedule(
            SYSTEM, imported.id, version=1, schedule=DAILY, start_date=office.today, expiration_date=None,
            zone=office.zone,
        )  # fmt: skip

    with pytest.raises(Conflict, match="stored card"):
        edit(Purpose.RECURRING)
    assert office.dates(imported.id) == []
    assert edit(Purpose.REMINDER).schedule_kind is ScheduleKind.DAY


@pytest.mark.parametrize(
    ("values", "field"),
    [({"provider": "nobody"}, "provider"), ({"card_token": "4242 4242 4242 4242"}, "card_token")],
)
def test_a_subscription_that_could_never_be_charged_is_refused(
    office: Office, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        register_subscription(SYSTEM, **registration(office, **values))
    assert refused.value.field == field


@pytest.mark.parametrize(
    "ask",
    [
        lambda schedule: next_dates(schedule, dt.date(9990, 1, 1), 3),
        lambda schedule: next_dates(schedule, dt.date(9999, 12, 31), 3),
        lambda schedule: runs_per_year(schedule, dt.date(9999, 6, 1)),
    ],
)
@pytest.mark.parametrize("unit", IntervalUnit)
def test_the_end_of_the_calendar_is_no_accident(unit: IntervalUnit, ask: Callable[[Schedule], Any]) -> None:
    schedule = Schedule(
        ScheduleKind.INTERVAL, interval_unit=unit, interval_count=1_000, anchor=dt.date(9990, 1, 31)
    )  # fmt: skip
    found = ask(schedule)
    assert isinstance(found, int) or len(found) <= 3


def test_the_zone_says_which_day_it_is(office: Office) -> None:
    zone = ZoneInfo("Pacific/Kiritimati") if office.today.day else office.zone
    today = dt.datetime.now(zone).date()
    made = register_subscription(SYSTEM, **registration(office, zone=zone, start_date=today))
    assert office.dates(made.id)[0] == today
