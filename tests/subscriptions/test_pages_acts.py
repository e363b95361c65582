"""What staff do to a subscription in the browser: each act, each refusal, and two people at once."""

import datetime as dt
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin.actions import subscriptions as acts
from payadmin.db import db, utcnow
from payadmin.kernel.schedules import ALL_MONTHS, Schedule, ScheduleKind
from payadmin.models.audit import AuditEvent
from payadmin.models.subscriptions import (
    ChargeStatus,
    OnExhausted,
    Purpose,
    RetryPolicy,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    schedule_values,
)
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.pages import post

S, C = SubscriptionStatus, ChargeStatus
MONTHLY = Schedule(ScheduleKind.DATE, days=(5,), months=ALL_MONTHS)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def today(app: Flask) -> dt.date:
    return utcnow().astimezone(app.extensions["payadmin.settings"].zone).date()


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def now(row_id: int) -> Subscription:
    return db.session.get_one(Subscription, row_id, populate_existing=True)


def facts(row_id: int) -> tuple[Any, ...]:
    """Everything of a subscription, and the state of each of its dates."""
    row = db.session.execute(select(*Subscription.__table__.columns).where(Subscription.id == row_id)).one()
    charges = select(ScheduledCharge.id, ScheduledCharge.status).where(ScheduledCharge.subscription_id == row_id)
    return (tuple(row), tuple(map(tuple, db.session.execute(charges.order_by(ScheduledCharge.id)))))


def statuses(row_id: int) -> list[str]:
    found = select(ScheduledCharge.status).where(ScheduledCharge.subscription_id == row_id)
    return [status.name for status in db.session.scalars(found.order_by(ScheduledCharge.due_date))]


def planned(make: Make, today: dt.date, **values: Any) -> Subscription:
    """A subscription with three dates to come."""
    row = make.subscription(**{"start_date": today, **schedule_values(MONTHLY)} | values)
    for offset in (3, 10, 17):
        make.scheduled_charge(row, due_date=today + days(offset))
    return row


# ---- cancel and delete -------------------------------------------------------------------------------------------


def test_cancel_says_how_many_dates_go_which_charges_finish_and_that_it_is_for_good(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = planned(make, today)
    charge = make.scheduled_charge(row, due_date=today, status=C.PROCESSING)

    page = operator.get(f"/subscriptions/{row.id}/cancel/").text

    assert re.search(r"3 execute dates, from [^,]+ on, are cancelled\.", page)
    assert charge.invoice_number in page
    assert "will finish" in page
    assert "cannot be undone" in page


def test_cancel_ends_it_with_every_date_that_has_not_begun(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = planned(make, today)
    make.scheduled_charge(row, due_date=today, status=C.PROCESSING)

    answer = post(operator, f"/subscriptions/{row.id}/cancel/", version="1", reason="The customer left")

    assert answer.status_code == 303
    assert answer.location.endswith(f"/subscriptions/{row.id}/")
    assert now(row.id).status is S.CANCELLED
    assert statuses(row.id) == ["PROCESSING", "CANCELLED", "CANCELLED", "CANCELLED"]
    page = operator.get(f"/subscriptions/{row.id}/").text
    assert "The subscription is cancelled, with 3 execute dates." in page
    assert "The customer left" in page
    assert "A subscription that is cancelled cannot become" in operator.get(f"/subscriptions/{row.id}/activate/").text
    assert "It is cancelled already" in operator.get(f"/subscriptions/{row.id}/cancel/").text


def test_delete_takes_it_off_the_lists_and_keeps_its_history(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = planned(make, today)
    page = operator.get(f"/subscriptions/{row.id}/delete/").text
    assert "disappears from every list" in page
    assert re.search(r"3 execute dates, from [^,]+ on, are cancelled\.", page)

    answer = post(operator, f"/subscriptions/{row.id}/delete/", version="1")

    assert answer.location.endswith("/subscriptions/")
    assert now(row.id).deleted_at is not None
    assert statuses(row.id) == ["CANCELLED"] * 3
    assert row.subscription_id not in operator.get("/subscriptions/").text
    assert post(operator, f"/subscriptions/{row.id}/delete/", version="2").status_code == 404


# ---- inactivate, activate, type, policy --------------------------------------------------------------------------


def test_inactivate_and_activate_from_manage_recurring_lead_back_to_its_search(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = planned(make, today, billing_number="BILL-1")
    back = {"via": "manage", "list": "billing_number=BILL-1"}

    answer = post(operator, f"/subscriptions/{row.id}/inactivate/", version="1", **back)
    assert answer.location.endswith("/manage-recurring/?billing_number=BILL-1")
    assert now(row.id).status is S.INACTIVE

    version = str(now(row.id).version)
    post(operator, f"/subscriptions/{row.id}/activate/", version=version, **back)
    assert now(row.id).status is S.ACTIVE
    assert statuses(row.id) == ["SCHEDULED"] * 3


def test_the_way_back_never_leaves_the_site(operator: FlaskClient, make: Make) -> None:
    row = make.subscription()
    answer = post(
        operator, f"/subscriptions/{row.id}/inactivate/", version="1", via="manage", list="//evil.example/?x\r\nA: b"
    )
    assert answer.location.endswith("/manage-recurring/")
    assert "evil" not in answer.location


def test_activate_warns_of_an_expired_card(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = make.subscription(status=S.ON_HOLD, consecutive_failures=2, card_expires_on=today - days(1))
    page = operator.get(f"/subscriptions/{row.id}/activate/").text
    assert "Its card expired on" in page
    assert "2 failed charges in a row are forgotten" in page


def test_change_type_goes_to_the_other_type_and_says_what_that_means(operator: FlaskClient, make: Make) -> None:
    row = make.subscription()
    assert "charges nothing" in operator.get(f"/subscriptions/{row.id}/change-type/").text
    post(operator, f"/subscriptions/{row.id}/change-type/", version="1")
    assert now(row.id).purpose is Purpose.REMINDER
    assert "it charges 10.00 EUR" in operator.get(f"/subscriptions/{row.id}/change-type/").text


def test_a_reminder_without_a_card_cannot_be_made_to_charge(operator: FlaskClient, make: Make) -> None:
    row = make.subscription(purpose=Purpose.REMINDER, card_token=None)
    before = facts(row.id)
    answer = post(operator, f"/subscriptions/{row.id}/change-type/", version="1")
    assert answer.status_code == 422
    assert "A recurring charge needs a stored card." in answer.text
    assert facts(row.id) == before


def test_the_retry_policy_is_chosen_on_the_page_and_shown_in_full(operator: FlaskClient, make: Make) -> None:
    policy = make._save(
        RetryPolicy(
            name="Patient", delays_days=[3, 7], max_attempts=3, retryable_codes=[], on_exhausted=OnExhausted.ON_HOLD
        )
    )
    row = make.subscription()
    assert "Patient" in operator.get(f"/subscriptions/{row.id}/retry-policy/").text

    post(operator, f"/subscriptions/{row.id}/retry-policy/", version="1", policy=str(policy.id))
    assert now(row.id).retry_policy_id == policy.id
    page = operator.get(f"/subscriptions/{row.id}/").text
    for words in ("Patient", "3, 7", "Put the subscription on hold"):
        assert words in page

    post(operator, f"/subscriptions/{row.id}/retry-policy/", version=str(now(row.id).version), policy="")
    assert now(row.id).retry_policy_id is None
    for junk in ("999999", "x", "-1", "9" * 30):
        answer = post(operator, f"/subscriptions/{row.id}/retry-policy/", version=str(now(row.id).version), policy=junk)
        assert answer.status_code == 404
    assert now(row.id).retry_policy_id is None


# ---- refusals ----------------------------------------------------------------------------------------------------

REFUSABLE = ("cancel", "delete", "inactivate", "change-type", "retry-policy")


@pytest.mark.parametrize("name", REFUSABLE)
def test_a_stale_form_does_nothing_and_shows_who_was_faster(
    operator: FlaskClient, make: Make, today: dt.date, name: str
) -> None:
    row = planned(make, today)
    other = make.actor(name="the other one")
    acts.edit_schedule(
        other,
        row.id,
        version=1,
        schedule=Schedule(ScheduleKind.DATE, days=(9,), months=ALL_MONTHS),
        start_date=today,
        expiration_date=None,
        zone=dt.UTC,  # type: ignore[arg-type]
    )
    before = facts(row.id)

    answer = post(operator, f"/subscriptions/{row.id}/{name}/", version="1", reason="Typed with care")

    assert answer.status_code == 409
    assert facts(row.id) == before
    assert "Somebody else changed this subscription meanwhile" in answer.text
    assert "the other one" in answer.text
    assert "On the 9th of every month" in answer.text
    assert f'name="version" type="hidden" value="{now(row.id).version}"' in answer.text
    if name in {"cancel", "delete", "inactivate"}:
        assert "Typed with care" in answer.text


def test_sending_a_stale_form_again_applies_to_what_is_now_shown(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = planned(make, today)
    acts.change_purpose(make.actor(), row.id, version=1, purpose=Purpose.REMINDER)
    assert post(operator, f"/subscriptions/{row.id}/cancel/", version="1").status_code == 409
    assert post(operator, f"/subscriptions/{row.id}/cancel/", version=str(now(row.id).version)).status_code == 303
    assert now(row.id).status is S.CANCELLED


def test_of_two_operators_one_wins_and_the_other_is_told(make: Make, today: dt.date) -> None:
    row = planned(make, today)
    ann, bob = make.browse(Role.PAYMENTS_OPERATOR), make.browse(Role.PAYMENTS_OPERATOR)
    assert post(ann, f"/subscriptions/{row.id}/inactivate/", version="1").status_code == 303
    answer = post(bob, f"/subscriptions/{row.id}/inactivate/", version="1")
    assert answer.status_code == 409
    assert "It is inactive already." in answer.text
    events = select(AuditEvent).where(AuditEvent.event == "subscriptions.subscription.inactivated")
    assert len(db.session.scalars(events).all()) <= 1


@pytest.mark.parametrize("version", ["", "0", "-1", "x", "9" * 40, "\uff12"])
def test_a_form_without_its_version_does_nothing(
    operator: FlaskClient, make: Make, today: dt.date, version: str
) -> None:
    row = planned(make, today)
    before = facts(row.id)
    for name in (*REFUSABLE, "dates"):
        form = {"kind": "DATE", "days": "1", "all_months": "y", "start_date": today.isoformat()}
        answer = post(operator, f"/subscriptions/{row.id}/{name}/", version=version, **form)
        assert answer.status_code == 409, name
    assert facts(row.id) == before


def test_a_reason_too_long_or_with_a_card_number_is_refused_and_kept(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = planned(make, today)
    before = facts(row.id)
    for reason in ("x" * 501, "paid with 4111 1111 1111 1111"):
        answer = post(operator, f"/subscriptions/{row.id}/cancel/", version="1", reason=reason)
        assert answer.status_code == 422
        assert reason in answer.text
    assert facts(row.id) == before


def test_a_dialog_gets_the_form_alone_and_is_told_where_to_go(operator: FlaskClient, make: Make) -> None:
    row = make.subscription()
    part = {"X-Partial": "dialog"}
    page = operator.get(f"/subscriptions/{row.id}/inactivate/", headers=part).text
    assert "<html" not in page
    assert "Inactivate" in page
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    answer = operator.post(
        f"/subscriptions/{row.id}/inactivate/", data={"csrf_token": token, "version": "1"}, headers=part
    )
    assert (answer.status_code, answer.headers["Location"]) == (204, f"/subscriptions/{row.id}/")


# ---- edit date ---------------------------------------------------------------------------------------------------


def test_edit_date_starts_with_the_dates_as_they_are(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = planned(make, today)
    page = operator.get(f"/subscriptions/{row.id}/dates/").text
    assert "Now: On the 5th of every month" in page
    assert 'name="kind" value="DATE" checked' in page
    assert 'name="days" value="5" checked' in page
    assert 'id="all_months" checked' in page
    assert "Europe/London" in page
    assert "12 runs in the twelve months" in page


def test_edit_date_saves_the_new_dates_and_plans_anew(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = planned(make, today)
    form = {"kind": "DAY", "weekdays": ["1", "3"], "months": ["12", "1"], "start_date": today.isoformat()}

    answer = post(operator, f"/subscriptions/{row.id}/dates/", version="1", **form)

    assert answer.status_code == 303
    assert now(row.id).schedule == Schedule(ScheduleKind.DAY, weekdays=(1, 3), months=(1, 12))
    dates = db.session.scalars(select(ScheduledCharge.due_date).where(ScheduledCharge.subscription_id == row.id)).all()
    assert {(date.month in {1, 12}, date.isoweekday() in {1, 3}) for date in dates} <= {(True, True)}


def test_edit_date_keeps_what_was_typed_when_somebody_was_faster(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = planned(make, today)
    acts.inactivate_subscription(make.actor(name="the other one"), row.id, version=1)
    before = facts(row.id)
    form = {"kind": "DATE", "days": ["7", "21"], "all_months": "y", "start_date": today.isoformat()}

    answer = post(operator, f"/subscriptions/{row.id}/dates/", version="1", **form)

    assert answer.status_code == 409
    assert facts(row.id) == before
    assert "the other one" in answer.text
    assert 'name="days" value="21" checked' in answer.text
    assert post(operator, f"/subscriptions/{row.id}/dates/", version="2", **form).status_code == 303
    assert now(row.id).schedule == Schedule(ScheduleKind.DATE, days=(7, 21), months=ALL_MONTHS)


def test_the_dates_of_what_has_ended_cannot_be_edited(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = planned(make, today, status=S.CANCELLED)
    before = facts(row.id)
    assert "cannot be changed any more" in operator.get(f"/subscriptions/{row.id}/dates/").text
    form = {"kind": "DATE", "days": "7", "all_months": "y", "start_date": today.isoformat()}
    answer = post(operator, f"/subscriptions/{row.id}/dates/", version="1", **form)
    assert answer.status_code == 409
    assert facts(row.id) == before


def test_what_has_no_card_gets_no_dates_to_charge_on(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = make.subscription(card_token=None)
    before = facts(row.id)
    for path in ("", "dates/"):
        assert "no stored card to charge" in operator.get(f"/subscriptions/{row.id}/{path}").text
    form = {"kind": "DATE", "days": "7", "all_months": "y", "start_date": today.isoformat()}
    answer = post(operator, f"/subscriptions/{row.id}/dates/", version="1", **form)
    assert answer.status_code == 409
    assert facts(row.id) == before
