"""Registering a subscription, and the schedule editor with its preview."""

import datetime as dt
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from payadmin.db import db, utcnow
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind
from payadmin.models.subscriptions import Purpose, Subscription, SubscriptionOrigin, SubscriptionStatus
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.pages import post

K = ScheduleKind
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def today(app: Flask) -> dt.date:
    return utcnow().astimezone(app.extensions["payadmin.settings"].zone).date()


@pytest.fixture
def typed(make: Make, today: dt.date) -> dict[str, Any]:
    """A form that is right in every field."""
    make.unit("EUR")
    make.unit("JPY")
    return {
        "customer": str(make.customer().id),
        "merchant": str(make.organization().id),
        "billing_number": "BILL-1",
        "purpose": "RECURRING",
        "amount": "12.34",
        "unit": "EUR",
        "method": make.method().code,
        "provider": "simulator",
        "card_token": "tok_visa",
        "card_last4": "4242",
        "card_expires_on": "09/31",
        "policy": "",
        "kind": "DATE",
        "days": ["1", "15"],
        "all_months": "y",
        "start_date": today.isoformat(),
        "expiration_date": "",
    }


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def registered() -> list[Subscription]:
    return list(db.session.scalars(select(Subscription)).all())


def send(client: FlaskClient, typed: dict[str, Any], **changes: Any) -> Any:
    return post(client, "/subscriptions/new/", **typed | changes)


def error_at(page: str, field: str) -> str:
    """What the page says is wrong with a field."""
    mark = f'id="{field}-error">'
    assert mark in page, f"nothing stands at {field}"
    return page.split(mark)[1].split("</span>", maxsplit=1)[0].rsplit("</svg>", maxsplit=1)[-1]


# ---- registering -------------------------------------------------------------------------------------------------


def test_a_form_that_is_right_registers_an_active_subscription(
    operator: FlaskClient, typed: dict[str, Any], today: dt.date
) -> None:
    answer = send(operator, typed)

    [row] = registered()
    assert answer.status_code == 303
    assert answer.location.endswith(f"/subscriptions/{row.id}/")
    assert (row.status, row.origin, row.purpose) == (
        SubscriptionStatus.ACTIVE,
        SubscriptionOrigin.BACKOFFICE,
        Purpose.RECURRING,
    )
    assert (row.billing_number, row.amount_minor, row.unit) == ("BILL-1", 12_34, "EUR")
    assert (row.card_token, row.card_last4, row.card_expires_on) == ("tok_visa", "4242", dt.date(2031, 9, 30))
    assert row.schedule == Schedule(K.DATE, days=(1, 15), months=ALL_MONTHS)
    assert (row.start_date, row.expiration_date) == (today, None)
    page = operator.get(answer.location).text
    assert "is registered" in page
    assert "Its dates are being planned" not in page, "they are planned with it"


@pytest.mark.parametrize(
    ("fields", "schedule"),
    [
        (
            {"kind": "DAY", "weekdays": ["1", "5"], "months": ["12"], "all_months": ""},
            Schedule(K.DAY, weekdays=(1, 5), months=(12,)),
        ),
        (
            {"kind": "FULL_DATE", "dates": "2190-01-31, 2190-12-24\n2190-06-15"},
            Schedule(K.FULL_DATE, dates=(dt.date(2190, 1, 31), dt.date(2190, 6, 15), dt.date(2190, 12, 24))),
        ),
        (
            {"kind": "INTERVAL", "interval_count": "14", "interval_unit": "DAY", "anchor": "2190-01-31"},
            Schedule(K.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=14, anchor=dt.date(2190, 1, 31)),
        ),
    ],
)
def test_every_kind_of_schedule_can_be_registered(
    operator: FlaskClient, typed: dict[str, Any], fields: dict[str, Any], schedule: Schedule
) -> None:
    assert send(operator, typed, **fields).status_code == 303
    assert [row.schedule for row in registered()] == [schedule]


def test_a_reminder_needs_no_card(operator: FlaskClient, typed: dict[str, Any]) -> None:
    nothing = {"card_token": "", "card_last4": "", "card_expires_on": ""}
    assert send(operator, typed, purpose="REMINDER", **nothing).status_code == 303
    [row] = registered()
    assert (row.purpose, row.card_token) == (Purpose.REMINDER, None)


def test_an_amount_is_read_with_the_decimals_of_its_currency(operator: FlaskClient, typed: dict[str, Any]) -> None:
    answer = send(operator, typed, unit="JPY", amount="12.34")
    assert answer.status_code == 422
    assert "decimal" in error_at(answer.text, "amount").lower()
    assert send(operator, typed, unit="JPY", amount="1234").status_code == 303
    assert [row.amount_minor for row in registered()] == [1234]


YESTERDAY, TOMORROW = "yesterday", "tomorrow"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"customer": ""}, "customer", "needed"),
        ({"customer": "999999"}, "customer", "Choose one of the list"),
        ({"customer": "x"}, "customer", "Choose one of the list"),
        ({"merchant": "-1"}, "merchant", "Choose one of the list"),
        ({"billing_number": "  "}, "billing_number", "needed"),
        ({"billing_number": "x" * 65}, "billing_number", "64"),
        ({"billing_number": "4111111111111111"}, "billing_number", "card number"),
        ({"amount": "0"}, "amount", ""),
        ({"amount": "-1"}, "amount", ""),
        ({"amount": "1e3"}, "amount", ""),
        ({"amount": "99999999999999999999"}, "amount", ""),
        ({"unit": "XXX"}, "unit", ""),
        ({"method": "barter"}, "method", ""),
        ({"provider": "nobody"}, "provider", ""),
        ({"purpose": "GIFT"}, "purpose", "Choose one of the list"),
        ({"card_token": ""}, "card_token", "needs a stored card"),
        ({"card_token": "4242 4242 4242 4242"}, "card_token", "card number"),
        ({"card_last4": "424"}, "card_last4", "last four digits"),
        ({"card_last4": "٤٢٤٢"}, "card_last4", "last four digits"),
        ({"card_expires_on": "13/31"}, "card_expires_on", "09/28"),
        ({"card_expires_on": "01/20"}, "card_expires_on", "expired"),
        ({"start_date": ""}, "start_date", "Enter the date"),
        ({"start_date": "31.12.2190"}, "start_date", "2026-12-31"),
        ({"start_date": "9999-12-31"}, "start_date", "2026-12-31"),
        ({"start_date": YESTERDAY}, "start_date", "has passed"),
        ({"start_date": TOMORROW, "expiration_date": YESTERDAY}, "expiration_date", "before the start date"),
        ({"kind": "NEVER"}, "kind", "Choose one of the kinds"),
        ({"kind": ""}, "kind", "Choose one of the kinds"),
        ({"days": []}, "days", "at least one day"),
        ({"days": ["29"]}, "days", "missing in some months"),
        ({"days": ["5", "31"]}, "days", "missing in some months"),
        ({"days": ["0"]}, "days", "from 1 to 28"),
        ({"days": ["x"]}, "days", "Choose from what is offered"),
        ({"all_months": "", "months": []}, "months", "tick “all months”"),
        ({"all_months": "", "months": ["13"]}, "months", "from 1 to 12"),
        ({"kind": "DAY", "weekdays": []}, "weekdays", "at least one day"),
        ({"kind": "DAY", "weekdays": ["8"]}, "weekdays", "from 1 to 7"),
        ({"kind": "FULL_DATE", "dates": ""}, "dates", "from 1 to 366"),
        ({"kind": "FULL_DATE", "dates": "2020-01-01"}, "dates", "has passed"),
        ({"kind": "FULL_DATE", "dates": "2190-02-30"}, "dates", "is not a date"),
        ({"kind": "FULL_DATE", "dates": "someday"}, "dates", "is not a date"),
        ({"kind": "FULL_DATE", "dates": "2190-01-01 " * 2000}, "dates", "too many"),
        ({"kind": "INTERVAL", "interval_count": "", "anchor": "2190-01-01"}, "interval_count", "1 to 1,000"),
        ({"kind": "INTERVAL", "interval_count": "0", "anchor": "2190-01-01"}, "interval_count", "1 to 1,000"),
        ({"kind": "INTERVAL", "interval_count": "1e9", "anchor": "2190-01-01"}, "interval_count", "whole number"),
        ({"kind": "INTERVAL", "interval_count": "1", "anchor": ""}, "anchor", "first run"),
        (
            {"kind": "INTERVAL", "interval_count": "1", "interval_unit": "YEAR", "anchor": "2190-01-01"},
            "interval_unit",
            "days or months",
        ),
        ({"expiration_date": "today"}, "expiration_date", "never runs"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field_and_what_was_typed_stays(
    operator: FlaskClient, typed: dict[str, Any], today: dt.date, changes: dict[str, Any], field: str, words: str
) -> None:
    other_day = today + days(1) if today.day == 28 else today.replace(day=min(28, today.day + 1))
    if changes.get("expiration_date") == "today":  # only other days are chosen
        changes = {"expiration_date": today.isoformat(), "days": [str(min(other_day.day, 28))]}
    known = {YESTERDAY: (today - days(1)).isoformat(), TOMORROW: (today + days(1)).isoformat()}
    changes = {key: known.get(value, value) if isinstance(value, str) else value for key, value in changes.items()}

    answer = send(operator, typed, **{"billing_number": "KEPT-1", **changes})

    assert answer.status_code == 422
    assert words in error_at(answer.text, field)
    assert registered() == []
    assert 'value="tok_visa"' in answer.text or "card_token" in changes
    assert "KEPT-1" in answer.text or "billing_number" in changes


def test_a_billing_number_is_given_once_a_merchant(operator: FlaskClient, typed: dict[str, Any], make: Make) -> None:
    make.subscription(billing_number="BILL-1")
    answer = send(operator, typed)
    assert answer.status_code == 409
    assert "already" in error_at(answer.text, "billing_number")
    assert db.session.scalar(select(func.count()).select_from(Subscription)) == 1


def test_a_form_sent_twice_registers_once(operator: FlaskClient, typed: dict[str, Any]) -> None:
    assert [send(operator, typed).status_code, send(operator, typed).status_code] == [303, 409]
    assert len(registered()) == 1


def test_an_unknown_retry_policy_is_refused(operator: FlaskClient, typed: dict[str, Any]) -> None:
    for junk in ("999999", "x"):
        answer = send(operator, typed, policy=junk)
        assert answer.status_code == 404
        assert "KEPT" not in answer.text
        assert "BILL-1" in answer.text
    assert registered() == []


def test_hostile_text_stays_text_on_the_form(operator: FlaskClient, typed: dict[str, Any], make: Make) -> None:
    hostile = make.customer(name=SCRIPT)
    fields = dict.fromkeys(("billing_number", "card_token", "amount", "card_last4", "card_expires_on", "dates"), SCRIPT)
    answer = send(operator, typed, customer=str(hostile.id), **fields)
    assert answer.status_code == 422
    assert SCRIPT not in answer.text


def test_the_customer_is_looked_up_while_one_types(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(name="Ada Byron", external_id="CUST-1")
    for term in ("Ada", "CUST-1"):
        found = operator.get("/subscriptions/lookup/", query_string={"field": "customer", "q": term}).get_json()
        assert [each["id"] for each in found] == [customer.id]
    assert 'data-picker-url="/subscriptions/lookup/?field=customer"' in operator.get("/subscriptions/new/").text


# ---- the preview -------------------------------------------------------------------------------------------------


def test_the_preview_names_the_next_twelve_dates_and_the_runs_of_a_year(
    operator: FlaskClient, typed: dict[str, Any], today: dt.date
) -> None:
    form = {key: typed[key] for key in ("kind", "days", "all_months", "start_date")}
    page = post(operator, "/subscriptions/preview/", **form | {"start_date": "2190-01-02"}).text
    assert "On the 1st and 15th of every month" in page
    assert "24 runs in the twelve months from 2 Jan 2190" in page
    assert page.count("<time") == 12
    assert page.index("2190-01-15") < page.index("2190-02-01") < page.index("2190-07-01")
    assert "<html" not in page
    assert registered() == []


@pytest.mark.parametrize(
    ("fields", "runs"),
    [
        ({"kind": "DAY", "weekdays": "1", "months": "12", "start_date": "2190-01-01"}, 4),
        ({"kind": "FULL_DATE", "dates": "2190-02-28\n2192-02-29", "start_date": "2190-01-01"}, 1),
        (
            {
                "kind": "INTERVAL",
                "interval_count": "1",
                "interval_unit": "MONTH",
                "anchor": "2190-01-31",
                "start_date": "2190-01-01",
            },
            12,
        ),
    ],
)
def test_the_preview_counts_the_runs_of_each_kind(operator: FlaskClient, fields: dict[str, str], runs: int) -> None:
    page = post(operator, "/subscriptions/preview/", **fields).text
    assert f"{runs} run" in page
    if fields["kind"] == "INTERVAL":
        for date in ("2190-01-31", "2190-02-28", "2190-03-31", "2190-04-30"):
            assert date in page


def test_the_preview_says_what_is_missing(operator: FlaskClient) -> None:
    page = post(operator, "/subscriptions/preview/", kind="DATE", start_date="2190-01-01").text
    assert "Days of the month: Choose at least one day of the month." in page
    page = post(operator, "/subscriptions/preview/", kind="FULL_DATE", dates=SCRIPT, start_date="2190-01-01").text
    assert SCRIPT not in page
    assert "is not a date" in page


def test_the_preview_works_without_a_script_and_saves_nothing(
    operator: FlaskClient, typed: dict[str, Any], make: Make, today: dt.date
) -> None:
    answer = send(operator, typed, preview="1", billing_number="", card_token="KEEP-ME", days=["3"])
    assert answer.status_code == 200
    assert "On the 3rd of every month" in answer.text
    assert "KEEP-ME" in answer.text
    assert registered() == []
    row = make.subscription()
    form = {"kind": "DATE", "days": "4", "all_months": "y", "start_date": today.isoformat(), "preview": "1"}
    answer = post(operator, f"/subscriptions/{row.id}/dates/", version="1", **form)
    assert "On the 4th of every month" in answer.text
    assert db.session.get_one(Subscription, row.id).schedule is None


def test_a_schedule_that_was_accepted_before_may_have_dates_that_passed(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    past, coming = (today - days(5)).isoformat(), (today + days(5)).isoformat()
    row = make.subscription(schedule_kind=K.FULL_DATE, schedule_dates=[past, coming], start_date=today - days(9))
    form = {"kind": "FULL_DATE", "dates": f"{past} {coming}", "start_date": (today - days(9)).isoformat()}
    assert "has passed" in post(operator, "/subscriptions/preview/", **form).text
    page = post(operator, f"/subscriptions/preview/?row={row.id}", **form).text
    assert "has passed" not in page
    assert page.count("<time") == 1
    assert post(operator, "/subscriptions/preview/?row=999999", **form).status_code == 404
