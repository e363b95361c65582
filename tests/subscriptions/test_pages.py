"""The pages of subscriptions over HTTP on a real database: what they show, and who sees it."""

import csv
import datetime as dt
import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.db import utcnow
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind
from payadmin.models.payments import Mode
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeStatus,
    Purpose,
    Subscription,
    SubscriptionStatus,
    schedule_values,
)
from payadmin.permissions import Role
from tests.meta.test_lists import asked
from tests.support.make import Make
from tests.support.pages import post

S, C = SubscriptionStatus, ChargeStatus
FIRSTS = Schedule(ScheduleKind.DATE, days=(1, 15), months=ALL_MONTHS)
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def reader(make: Make) -> FlaskClient:
    """Somebody who may read subscriptions and change none."""
    return make.browse(Role.CFO)


@pytest.fixture
def today(app: Flask) -> dt.date:
    return utcnow().astimezone(app.extensions["payadmin.settings"].zone).date()


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def file_of(client: FlaskClient, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(path).get_data(as_text=True))))


# ---- the list ----------------------------------------------------------------------------------------------------


def test_the_list_has_the_columns_of_the_source(operator: FlaskClient, make: Make) -> None:
    make.subscription(subscription_id="SUB-1", provider="simulator")

    page = operator.get("/subscriptions/").text

    head = page[page.index("<thead>") : page.index("</thead>")]
    places = [head.index(word) for word in ("Status", "Date", "Subscription ID", "Amount", "Method", "Provider")]
    assert places == sorted(places)
    assert "SUB-1" in page


@pytest.mark.parametrize(
    ("status", "word", "small"),
    [
        (S.CREATED, "Created", None),
        (S.ACTIVE, "Active", None),
        (S.ON_HOLD, "Active", "On hold: last payment failed"),
        (S.INACTIVE, "Not Active", "Inactive"),
        (S.CANCELLED, "Not Active", "Cancelled"),
        (S.EXPIRED, "Not Active", "Expired"),
        (S.ABORTED, "Not Active", "Aborted"),
    ],
)
def test_every_status_is_said_by_its_word_and_its_exact_state(
    operator: FlaskClient, make: Make, status: S, word: str, small: str | None
) -> None:
    row = make.subscription(status=status)
    for path in ("/subscriptions/", f"/subscriptions/{row.id}/"):
        page = operator.get(path).text
        assert f">{word}</span>" in page, path
        if small is not None:
            assert f">{small}</span>" in page, path


def test_a_tab_holds_every_state_of_its_word(operator: FlaskClient, make: Make) -> None:
    for status in S:
        make.subscription(subscription_id=f"IS-{status.name}", status=status)

    page = operator.get("/subscriptions/?status=INACTIVE&status=CANCELLED&status=EXPIRED&status=ABORTED").text

    assert {status.name for status in S if f"IS-{status.name}<" in page} == {
        "INACTIVE",
        "CANCELLED",
        "EXPIRED",
        "ABORTED",
    }
    assert page.count('aria-current="true"') >= 1


@pytest.mark.parametrize(
    "query",
    [
        "status=ACTIVE",
        "amount=EUR:10.00",
        "amount.unit=EUR&amount.from=9&amount.to=11",
        "provider=simulator",
        "purpose=RECURRING",
        "card_expires_on=2031-05-01..2031-05-31",
        "created_at=2000-01-01..",
    ],
)
def test_each_filter_finds_what_it_asks_for_and_nothing_else(operator: FlaskClient, make: Make, query: str) -> None:
    make.subscription(subscription_id="YES", card_expires_on=dt.date(2031, 5, 31))
    make.subscription(
        subscription_id="NO",
        status=S.CREATED,
        amount_minor=99_00,
        provider="elsewhere",
        purpose=Purpose.REMINDER,
        created_at=dt.datetime(1999, 1, 1, tzinfo=dt.UTC),
    )
    page = operator.get(f"/subscriptions/?{query}", follow_redirects=True).text
    assert ">YES<" in page
    assert ">NO<" not in page


def test_the_provider_filter_offers_the_providers_in_use(operator: FlaskClient, make: Make) -> None:
    for provider in ("zeta", "alpha", "zeta", "midway"):
        make.subscription(provider=provider)
    page = operator.get("/subscriptions/").text
    offered = [part.split('"')[0] for part in page.split('name="provider" value="')[1:]]
    assert offered == ["alpha", "midway", "zeta"]


@pytest.mark.parametrize("term", ["SUB-FIND", "BILL-9", "CUST-7", "Ada By", "ADA@exam"])
def test_search_finds_by_every_number_and_by_the_customer(operator: FlaskClient, make: Make, term: str) -> None:
    customer = make.customer(external_id="CUST-77", name="Ada Byron", email="ada@example.com")
    make.subscription(subscription_id="SUB-FIND-1", billing_number="BILL-99", customer_id=customer.id)
    make.subscription(subscription_id="OTHER")
    page = operator.get("/subscriptions/", query_string={"search": term}).text
    assert "SUB-FIND-1" in page
    assert "OTHER" not in page


def test_deleted_subscriptions_are_shown_nowhere(operator: FlaskClient, make: Make) -> None:
    gone = make.subscription(subscription_id="GONE", status=S.CANCELLED, deleted_at=utcnow())
    for path in ("/subscriptions/", "/subscriptions/?search=GONE", "/manage-recurring/", "/expiring-cards/"):
        assert ">GONE<" not in operator.get(path).text
    for path in ("", "dates/", "cancel/", "delete/", "progress/"):
        assert operator.get(f"/subscriptions/{gone.id}/{path}").status_code == 404


def test_next_date_and_schedule_are_columns_that_can_be_chosen_and_exported(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = make.subscription(subscription_id="SUB-1", **schedule_values(FIRSTS))
    make.subscription(subscription_id="SUB-2")
    for offset, status in ((-1, C.SUCCEEDED), (5, C.CANCELLED), (7, C.SCHEDULED), (9, C.SCHEDULED)):
        payment = {"payment_id": make.payment().id} if status is C.SUCCEEDED else {}
        make.scheduled_charge(row, due_date=today + days(offset), status=status, **payment)
    chosen = ["subscription_id", "next_payment_date", "schedule", "amount"]
    post(operator, "/subscriptions/columns/", column=chosen)

    page = operator.get("/subscriptions/").text
    found = {line["Subscription ID"]: line for line in file_of(operator, "/subscriptions/export/csv/")}

    assert f'datetime="{today + days(7)}"' in page
    assert "On the 1st and 15th of every month" in page
    assert found["SUB-1"]["Next payment date"] == (today + days(7)).isoformat()
    assert found["SUB-1"]["Schedule"] == "On the 1st and 15th of every month"
    assert (found["SUB-2"]["Next payment date"], found["SUB-2"]["Schedule"]) == ("", "")
    assert found["SUB-1"]["Amount"] == "10.00"
    assert operator.get("/subscriptions/export/xlsx/").data[:2] == b"PK"


@pytest.mark.parametrize(
    ("status", "planned", "expiration", "expected"),
    [
        (S.ACTIVE, 40, None, 40),
        (S.ACTIVE, None, None, 61),  # beyond what is planned so far
        (S.ON_HOLD, 40, None, 40),
        (S.ACTIVE, None, 60, None),
        (S.INACTIVE, 40, None, None),
        (S.CANCELLED, None, None, None),
    ],
)
def test_the_next_payment_date_is_the_earliest_that_will_run(
    operator: FlaskClient,
    make: Make,
    today: dt.date,
    status: S,
    planned: int | None,
    expiration: int | None,
    expected: int | None,
) -> None:
    daily = Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=1, anchor=today)
    row = make.subscription(
        status=status,
        start_date=today,
        planned_until=today + days(60),
        expiration_date=None if expiration is None else today + days(expiration),
        **schedule_values(daily),
    )
    if planned is not None:
        make.scheduled_charge(row, due_date=today + days(planned))
    post(operator, "/subscriptions/columns/", column=["subscription_id", "next_payment_date"])
    page = operator.get("/subscriptions/").text
    if expected is None:
        assert '<time datetime="20' not in page
    else:
        assert f'<time datetime="{today + days(expected)}"' in page


def test_who_may_only_read_sees_no_way_to_change_anything(reader: FlaskClient, make: Make) -> None:
    row = make.subscription()
    for path in ("/subscriptions/", f"/subscriptions/{row.id}/", "/expiring-cards/"):
        answer = reader.get(path)
        assert answer.status_code == 200
        for word in ("cancel", "delete", "dates", "inactivate", "change-type", "retry-policy", "new"):
            assert f"/{word}/" not in answer.text, (path, word)
    for word in ("dates", "inactivate", "activate", "change-type", "retry-policy", "cancel", "delete"):
        assert reader.get(f"/subscriptions/{row.id}/{word}/").status_code == 403
        assert post(reader, f"/subscriptions/{row.id}/{word}/").status_code == 403
    for path in ("/subscriptions/new/", "/manage-recurring/"):
        assert reader.get(path).status_code == 403
    assert post(reader, "/subscriptions/preview/").status_code == 403


def test_a_stranger_to_subscriptions_sees_none_of_it(make: Make) -> None:
    row = make.subscription()
    cashier = make.browse(Role.CASHIER)
    for path in ("/subscriptions/", f"/subscriptions/{row.id}/", "/expiring-cards/", "/manage-recurring/"):
        assert cashier.get(path).status_code == 403


# ---- one subscription --------------------------------------------------------------------------------------------


def test_the_details_show_overview_recurrence_customer_and_card(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(name="Ada Byron", email="ada@example.com")
    schedule = Schedule(
        ScheduleKind.INTERVAL, interval_unit=IntervalUnit.MONTH, interval_count=3, anchor=dt.date(2026, 1, 31)
    )
    row = make.subscription(
        customer_id=customer.id,
        card_expires_on=dt.date(2031, 4, 30),
        expiration_date=dt.date(2032, 1, 31),
        **schedule_values(schedule),
    )
    page = operator.get(f"/subscriptions/{row.id}/").text
    for word in (
        row.subscription_id,
        row.billing_number,
        "Ada Byron",
        "ada@example.com",
        "Recurrence period",
        "Month",
        "Every 3 months from 31 Jan 2026",
        "31 Jan 2032",
        "···· 4242",
        "04/31",
        "None: a declined charge is not tried again",
    ):
        assert word in page, word
    assert "tok_visa" not in page


def test_the_history_has_charges_with_attempts_imported_payments_and_the_way_to_each(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = make.subscription()
    paid = make.payment(transaction_id="T-PAID", subscription_id=row.id)
    make.payment(transaction_id="T-IMPORTED", subscription_id=row.id, created_at=utcnow() - days(400))
    make.payment(transaction_id="T-TEST", subscription_id=row.id, mode=Mode.TEST)
    make.scheduled_charge(row, due_date=today - days(3), status=C.SUCCEEDED, payment_id=paid.id)
    failed = make.scheduled_charge(row, due_date=today - days(2), status=C.FAILED, message="No attempt is left.")
    make.charge_attempt(failed, seq=1, state=AttemptState.DECLINED, message="Insufficient funds")
    make.charge_attempt(failed, seq=2, state=AttemptState.DECLINED, message="Stolen card")

    page = operator.get(f"/subscriptions/{row.id}/").text

    for word in ("T-PAID", "T-IMPORTED", failed.invoice_number, "2 attempts", "Insufficient funds", "Stolen card"):
        assert word in page, word
    assert page.index(failed.invoice_number) < page.index("T-PAID") < page.index("T-IMPORTED")
    assert page.count("T-PAID<") == 1
    assert "T-TEST" not in page
    assert f'href="/transactions/{paid.id}/"' in page
    assert f"/transactions/?subscription={row.id}" in page


def test_upcoming_dates_are_the_next_twelve_and_name_those_called_off(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = make.subscription(**schedule_values(FIRSTS), planned_until=today + days(60))
    for offset in range(1, 15):
        status = C.CANCELLED if offset == 2 else C.SCHEDULED
        make.scheduled_charge(row, due_date=today + days(offset), status=status)
    page = operator.get(f"/subscriptions/{row.id}/").text
    upcoming = page[page.index('id="h-upcoming"') : page.index('id="h-history"')]
    assert upcoming.count("<li>") == 12
    assert upcoming.count("Cancelled") == 1
    assert f'datetime="{today + days(12)}"' in upcoming
    assert f'datetime="{today + days(13)}"' not in upcoming


def test_a_long_history_is_read_page_by_page_and_nothing_is_lost(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = make.subscription()
    for offset in range(130):
        make.scheduled_charge(row, due_date=today - days(offset), status=C.FAILED, invoice_number=f"INV{offset:04}X")
    seen: list[str] = []
    path = f"/subscriptions/{row.id}/"
    for _ in range(5):
        page = operator.get(path).text
        page = page[page.index('id="h-history"') :]  # the menu of languages holds this page's own address
        seen += [part[:4] for part in page.split(">INV")[1:]]
        if "?before=" not in page:
            break
        path = f"/subscriptions/{row.id}/?before=" + page.split("?before=")[1][:10]
    assert seen == [f"{offset:04}" for offset in range(130)]


@pytest.mark.parametrize("junk", ["x", "2026-13-01", "%00", "9999-99-99", "0001-01-01"])
def test_junk_in_the_place_of_the_history_is_refused(operator: FlaskClient, make: Make, junk: str) -> None:
    row = make.subscription()
    assert operator.get(f"/subscriptions/{row.id}/?before={junk}").status_code == 400


def test_the_page_watches_a_charge_until_it_is_done(operator: FlaskClient, make: Make) -> None:
    row = make.subscription()
    idle = operator.get(f"/subscriptions/{row.id}/").text
    charge = make.scheduled_charge(row, status=C.PROCESSING)

    page = operator.get(f"/subscriptions/{row.id}/").text
    fragment = operator.get(f"/subscriptions/{row.id}/progress/", headers={"X-Partial": "status"}).text

    assert "data-poll=" not in idle
    assert f'data-poll="/subscriptions/{row.id}/progress/"' in page
    assert 'data-done="0"' in fragment
    assert charge.invoice_number in fragment


def test_a_card_that_ends_is_said_on_the_page(operator: FlaskClient, make: Make, today: dt.date) -> None:
    for offset, words in ((-1, "The card expired on"), (10, "The card expires on"), (200, None)):
        row = make.subscription(card_expires_on=today + days(offset))
        page = operator.get(f"/subscriptions/{row.id}/").text
        assert ("The card expire" in page) is (words is not None)
        assert words is None or words in page


# ---- expiring cards ----------------------------------------------------------------------------------------------


def test_expiring_cards_lists_who_must_be_asked_and_nobody_else(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    customer = make.customer(email="ada@example.com", phone="+393331234567")
    quiet = make.customer(email=None, phone=None)
    for name, offset in (("EXPIRED", -5), ("IN-20", 20), ("IN-50", 50), ("IN-80", 80), ("IN-100", 100)):
        make.subscription(
            subscription_id=name, card_expires_on=today + days(offset), customer_id=customer.id, billing_number=name
        )
    soon = today + days(20)
    make.subscription(subscription_id="HELD", status=S.ON_HOLD, card_expires_on=soon, customer_id=quiet.id)
    make.subscription(subscription_id="REMINDS", purpose=Purpose.REMINDER, card_expires_on=soon)
    make.subscription(subscription_id="IDLE", status=S.INACTIVE, card_expires_on=soon)
    make.subscription(subscription_id="NO-CARD")
    names = ("EXPIRED", "IN-20", "IN-50", "IN-80", "IN-100", "HELD", "REMINDS", "IDLE", "NO-CARD")

    def shown(query: str) -> list[str]:
        page = operator.get(f"/expiring-cards/{query}").text
        return [name for name in names if f">{name}<" in page]

    assert shown("") == ["EXPIRED", "IN-20", "IN-50", "IN-80", "HELD"]
    assert shown("?within=expired") == ["EXPIRED"]
    assert shown("?within=30") == ["IN-20", "HELD"]
    assert shown("?within=60") == ["IN-20", "IN-50", "HELD"]
    assert shown("?within=90") == ["IN-20", "IN-50", "IN-80", "HELD"]
    assert operator.get("/expiring-cards/?within=31").status_code == 400
    page = operator.get("/expiring-cards/").text
    assert "ada@example.com" in page
    assert "None" not in page


def test_expiring_cards_can_be_exported_with_contact_and_next_date(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    customer = make.customer(name="Ada Byron", email="ada@example.com", phone="+393331234567")
    row = make.subscription(customer_id=customer.id, card_expires_on=today + days(3))
    make.scheduled_charge(row, due_date=today + days(4))

    [line] = file_of(operator, "/expiring-cards/export/csv/?within=30")

    assert line["Card expires"] == (today + days(3)).isoformat()
    assert (line["Customer"], line["E-mail"]) == ("Ada Byron", "ada@example.com")
    assert line["Next payment date"] == (today + days(4)).isoformat()


def test_a_row_of_expiring_cards_opens_the_subscription(operator: FlaskClient, make: Make, today: dt.date) -> None:
    row = make.subscription(card_expires_on=today)
    answer = operator.get(f"/expiring-cards/{row.id}/")
    assert answer.headers["Location"].endswith(f"/subscriptions/{row.id}/")
    assert "Last day" in operator.get("/expiring-cards/").text
    assert "/expiring-cards/" in operator.get("/subscriptions/").text


# ---- manage recurring --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "customer_id=CUST-42",
        "customer_id=CUST",
        "billing_number=BILL-1",
        "billing_number=BIL",
        "customer_id=CUST&billing_number=BILL",
    ],
)
def test_manage_recurring_finds_by_customer_or_billing_number(operator: FlaskClient, make: Make, query: str) -> None:
    customer = make.customer(external_id="CUST-42")
    found = make.subscription(customer_id=customer.id, billing_number="BILL-1", **schedule_values(FIRSTS))
    make.subscription(billing_number="ELSE-1")

    page = operator.get(f"/manage-recurring/?{query}").text

    assert "BILL-1" in page
    assert "ELSE-1" not in page
    assert "On the 1st and 15th of every month" in page
    for word in ("dates", "inactivate", "change-type", "delete", "cancel"):
        assert f"/subscriptions/{found.id}/{word}/?via=manage" in page
    assert f"/subscriptions/{found.id}/activate/" not in page


def test_manage_recurring_needs_three_characters_for_a_beginning(operator: FlaskClient, make: Make) -> None:
    make.subscription(billing_number="BILL-1")
    make.subscription(billing_number="BI")
    page = operator.get("/manage-recurring/?billing_number=BI").text
    assert ">BI<" in page
    assert "BILL-1" not in page


def test_inactivate_becomes_activate(operator: FlaskClient, make: Make) -> None:
    row = make.subscription(status=S.INACTIVE)
    page = operator.get("/manage-recurring/").text
    assert f"/subscriptions/{row.id}/activate/" in page
    assert f"/subscriptions/{row.id}/inactivate/" not in page


@pytest.mark.parametrize("junk", ["%00", "x" * 300, "%27%3B--", "%F0%9F%92%A9", "%25", "___", "%5C", "%E2%80%AE"])
def test_junk_in_the_search_finds_nothing_and_breaks_nothing(operator: FlaskClient, make: Make, junk: str) -> None:
    make.subscription(billing_number="BILL-1")
    for key in ("customer_id", "billing_number"):
        answer = operator.get(f"/manage-recurring/?{key}={junk}")
        assert answer.status_code in {200, 400}
        assert "BILL-1" not in answer.text


def test_an_empty_office_says_what_to_do(operator: FlaskClient) -> None:
    assert "Nothing recurs yet" in operator.get("/manage-recurring/").text
    assert "Nothing found" in operator.get("/manage-recurring/?billing_number=NONE").text


# ---- all of them -------------------------------------------------------------------------------------------------


def test_hostile_text_stays_text_on_every_page(operator: FlaskClient, make: Make, today: dt.date) -> None:
    customer = make.customer(name=SCRIPT, external_id=SCRIPT, email=f"{SCRIPT}@example.com")
    row = make.subscription(
        customer_id=customer.id, billing_number=SCRIPT, provider=SCRIPT, card_expires_on=today, subscription_id=SCRIPT
    )
    make.scheduled_charge(row, status=C.FAILED, message=SCRIPT, invoice_number=SCRIPT)
    one = f"/subscriptions/{row.id}/"
    acts = ("dates/", "inactivate/", "change-type/", "retry-policy/", "cancel/", "delete/", "progress/")
    for path in ("/subscriptions/", one, "/manage-recurring/", "/expiring-cards/", *(one + act for act in acts)):
        answer = operator.get(path)
        assert answer.status_code == 200, path
        assert SCRIPT not in answer.text, path


@pytest.mark.once
@pytest.mark.parametrize(
    "path", ["/subscriptions/", "/manage-recurring/", "/manage-recurring/?billing_number=B-0", "/expiring-cards/"]
)
def test_a_page_asks_as_many_questions_for_thirty_rows_as_for_three(
    operator: FlaskClient, make: Make, today: dt.date, path: str
) -> None:
    def more(count: int) -> None:
        for _ in range(count):
            row = make.subscription(card_expires_on=today + days(5), **schedule_values(FIRSTS))
            make.scheduled_charge(row, due_date=today + days(3))

    chosen = ["status", "customer", "next_payment_date", "schedule", "amount"]
    post(operator, "/subscriptions/columns/", column=chosen)
    more(3)
    few = len(asked(operator, path))
    more(27)
    assert len(asked(operator, path)) == few


@pytest.mark.once
def test_the_details_ask_as_many_questions_for_a_long_history_as_for_a_short_one(
    operator: FlaskClient, make: Make, today: dt.date
) -> None:
    row = make.subscription(**schedule_values(FIRSTS))
    path = f"/subscriptions/{row.id}/"

    def more(first: int, count: int) -> None:
        for offset in range(first, first + count):
            charge = make.scheduled_charge(row, due_date=today - days(offset), status=C.FAILED)
            make.charge_attempt(charge, state=AttemptState.DECLINED)
            make.scheduled_charge(row, due_date=today + days(offset))
            make.payment(subscription_id=row.id)

    more(1, 2)
    few = len(asked(operator, path))
    more(10, 25)
    assert len(asked(operator, path)) == few
    assert few <= 30


def test_the_menu_names_the_pages_of_recurring(browse: Callable[..., FlaskClient]) -> None:
    page = browse(Role.PAYMENTS_OPERATOR).get("/subscriptions/").text
    for address in ("/subscriptions/", "/manage-recurring/", "/expiring-cards/"):
        assert f'href="{address}"' in page


def test_the_column_chooser_offers_words_not_parts_of_rules(operator: FlaskClient) -> None:
    page = operator.get("/subscriptions/").text
    offered = {part.split('"')[0] for part in page.split('name="column" value="')[1:]}
    assert {"customer", "billing_number", "purpose", "next_payment_date", "expiration_date", "schedule"} <= offered
    assert not {"schedule_weekdays", "deleted_at", "card_token", "planned_until"} & offered
    assert Subscription.__tablename__ == "subscription"
