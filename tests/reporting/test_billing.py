"""The Billing dashboard: a week or a month, its numbers and lists, and billing numbers that are counted once."""

import csv
import datetime as dt
import html
import io
import random
import re
from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import delete, event, func, select, text, update

from payadmin.actions import reporting as upkeep
from payadmin.actions import subscriptions as recurring
from payadmin.db import db, utcnow
from payadmin.jobs.reporting import compare, keep_rollups, rebuild
from payadmin.models.payments import Mode, Payment, PaymentStatus, PaymentType
from payadmin.models.reporting import BillingPeriod, Period
from payadmin.models.subscriptions import Subscription, SubscriptionStatus
from payadmin.permissions import Role
from payadmin.queries.billing import Frame, frames_of, unique_numbers
from payadmin.queries.reporting import moments
from payadmin.work import SYSTEM
from tests.support.make import Make

Browse = Callable[..., Any]
S = PaymentStatus
LONDON = ZoneInfo("Europe/London")
ZONES = [LONDON, ZoneInfo("America/Havana"), ZoneInfo("Pacific/Apia")]
# A Wednesday; clocks go forward on the Sunday of its week.
DAY = dt.date(2026, 3, 25)
WEEK, MONTH = Frame.of(Period.WEEK, DAY), Frame.of(Period.MONTH, DAY)
HERE = f"/billing/dashboard/?day={DAY}&unit=EUR"
CHARTS = ["all-transactions", "single-payment", "registration-recurring", "failed-message", "top-issuer"]


def at(day: dt.date, hour: int = 12) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(hour), LONDON).astimezone(dt.UTC)


@pytest.fixture(autouse=True)
def _london(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.extensions["payadmin.settings"].zone == LONDON, "the tests' business time zone"


def some(make: Make) -> None:
    """Five payments in euros in the week, one earlier in the month, one the week before; others elsewhere."""
    make.payment(created_at=at(DAY), amount_minor=30_00, billing_number="B-1", card_issuer="Bank A")
    make.payment(created_at=at(DAY), amount_minor=20_00, billing_number="B-1", type=PaymentType.SUBSCRIPTION)
    make.payment(created_at=at(DAY + dt.timedelta(4)), amount_minor=50_00, billing_number="B-2", card_issuer="Bank A")
    make.payment(
        created_at=at(DAY), status=S.FAILED, failure_message="No funds", billing_number="B-3", card_issuer="Bank B"
    )
    make.payment(created_at=at(DAY), status=S.CREATED)
    make.payment(created_at=at(DAY - dt.timedelta(20)), amount_minor=7_00, billing_number="B-1")
    make.payment(created_at=at(DAY - dt.timedelta(7)), amount_minor=80_00, billing_number="B-9")
    make.payment(created_at=at(DAY), amount_minor=7_000, unit="JPY", billing_number="B-1")
    make.payment(created_at=at(DAY), amount_minor=1_000_00, mode=Mode.TEST, billing_number="B-4")


def tiles(page: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", found).strip() for found in re.findall(r'class="v num">(.*?)</div>', page)]


def rows_of(page: str, name: str) -> dict[str, str]:
    """The numbers beside a chart, by what they are called."""
    part = page.split(f'id="h-{name}"', 1)[1].split("</section>", 1)[0]
    found = re.findall(r'class="fact-row"><span>(.*?)</span>.*?<a[^>]*>([\d,]+)</a>', part, re.DOTALL)
    return {html.unescape(label): number for label, number in found}


def link(page: str, name: str, label: str) -> str:
    part = page.split(f'id="h-{name}"', 1)[1].split("</section>", 1)[0]
    found = re.search(rf'<span>{re.escape(html.escape(label))}</span>.*?href="([^"]*)"', part, re.DOTALL)
    assert found
    return html.unescape(found[1])


def listed(client: Any, url: str) -> int:
    found = re.search(r"data-announce>\s*([\d,]+) ", client.get(url).text)
    assert found, url
    return int(found[1].replace(",", ""))


def write(*statements: Any) -> None:
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        for statement in statements:
            connection.execute(statement)


def change(row_id: int, **values: Any) -> None:
    write(update(Payment.__table__).where(Payment.__table__.c.id == row_id).values(**values))


def wrong(zone: ZoneInfo = LONDON) -> list[str]:
    db.session.rollback()
    return [str(each) for each in compare(zone, step=lambda _done, _total: None)[1]]


def numbers(*frames: Frame, unit: str = "EUR", zone: ZoneInfo = LONDON) -> list[int]:
    db.session.rollback()
    found = unique_numbers(db.session(), Mode.LIVE, unit, zone, frames)
    return [found[frame] for frame in frames]


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [False, True], ids=["counted", "folded"])
def test_the_page_shows_a_week_or_a_month_of_one_currency_and_mode(make: Make, browse: Browse, folded: bool) -> None:
    some(make)
    if folded:
        keep_rollups(LONDON)
    client = browse(Role.PAYMENTS_OPERATOR)
    week = client.get(HERE).text
    assert tiles(week) == ["100.00EUR", "5", "3"]
    assert rows_of(week, "all-transactions") == {"Success": "3", "Failed": "1", "Others": "1"}
    assert rows_of(week, "single-payment") == {"Success": "2", "Failed": "1", "Others": "1"}
    assert rows_of(week, "failed-message") == {"No funds": "1"}
    assert rows_of(week, "top-issuer") == {"Bank A": "2", "Bank B": "1"}
    assert "Week before: " in " ".join(re.sub(r"<[^>]+>", "", week).split())
    month = client.get(f"{HERE}&period=month").text
    assert tiles(month) == ["187.00EUR", "7", "4"]
    assert tiles(client.get(f"/billing/dashboard/?day={DAY}&unit=JPY").text) == ["7,000JPY", "1", "1"]


def test_the_exact_range_is_printed_and_one_goes_to_the_period_before_and_after(make: Make, browse: Browse) -> None:
    make.payment()
    client = browse(Role.CFO)

    def words(query: str) -> str:
        page = client.get(f"/billing/dashboard/{query}").text
        found = re.search(r'id="range">(.*?)</p>', page)
        assert found
        return found[1].strip()

    assert words("?day=2026-03-25&period=week") == "23 Mar 2026 to 29 Mar 2026"
    assert words("?day=2026-03-29") == "23 Mar 2026 to 29 Mar 2026"
    assert words("?day=2024-02-10&period=month") == "1 Feb 2024 to 29 Feb 2024"
    page = client.get("/billing/dashboard/?day=2026-03-25&unit=EUR").text
    assert re.search(r'rel="prev" href="\?period=week&amp;day=2026-03-16&amp;unit=EUR"', page)
    assert re.search(r'rel="next" href="\?period=week&amp;day=2026-03-30&amp;unit=EUR"', page)
    page = client.get("/billing/dashboard/?day=2026-01-31&period=month").text
    assert re.search(r'rel="prev" href="\?period=month&amp;day=2025-12-01', page)
    assert re.search(r'rel="next" href="\?period=month&amp;day=2026-02-01', page)
    now = client.get("/billing/dashboard/").text
    assert 'rel="next"' not in now
    assert "so far" in now
    assert 'rel="prev"' not in client.get("/billing/dashboard/?day=1900-01-01").text


def test_each_number_beside_a_chart_is_the_number_of_rows_of_its_list(make: Make, browse: Browse) -> None:
    some(make)
    for place in range(12):
        make.payment(created_at=at(DAY), status=S.FAILED, failure_message=f"Refused {place:02}")
    client = browse(Role.ADMIN)
    page = client.get(HERE).text
    messages = rows_of(page, "failed-message")
    assert len(messages) == 11
    assert list(messages)[-1] == "Others, or no message"
    assert messages["Others, or no message"] == "3"
    for name in ("all-transactions", "single-payment", "failed-message", "top-issuer"):
        for label, number in rows_of(page, name).items():
            assert listed(client, link(page, name, label)) == int(number), label


def test_messages_that_no_address_can_say_are_among_the_others(make: Make, browse: Browse) -> None:
    odd = ["x" * 201, "Card*", "two\nlines", "", "<script>alert(1)</script>", "No funds, & more; 100%", None]
    for message in odd:
        make.payment(created_at=at(DAY), status=S.FAILED, failure_message=message)
    client = browse(Role.PAYMENTS_OPERATOR)
    page = client.get(HERE).text
    assert "<script>alert(1)" not in page
    found = rows_of(page, "failed-message")
    assert found == {"<script>alert(1)</script>": "1", "No funds, & more; 100%": "1", "Others, or no message": "5"}
    for label, number in found.items():
        assert listed(client, link(page, "failed-message", label)) == int(number), label


def test_registrations_count_on_their_day_and_inactivations_when_they_happen(make: Make, browse: Browse) -> None:
    today = utcnow()
    old = make.subscription(created_at=at(DAY))
    make.subscription(created_at=at(DAY), unit="JPY")
    make.subscription(created_at=at(DAY), deleted_at=today)
    actor = make.actor()
    recurring.inactivate_subscription(actor, old.id, version=old.version)
    client = browse(Role.PAYMENTS_OPERATOR)
    then, now = client.get(HERE).text, client.get("/billing/dashboard/?unit=EUR").text
    assert rows_of(then, "registration-recurring") == {"Registered": "1", "Inactivated": "0"}
    assert rows_of(now, "registration-recurring") == {"Registered": "0", "Inactivated": "1"}
    assert listed(client, link(now, "registration-recurring", "Inactivated")) == 1
    assert listed(client, link(then, "registration-recurring", "Registered")) == 1
    db.session.expire_all()
    row = db.session.get_one(Subscription, old.id)
    assert row.status is SubscriptionStatus.INACTIVE
    version = row.version
    db.session.rollback()
    recurring.activate_subscription(actor, old.id, version=version, zone=LONDON)
    # What happened in a week is not undone by what comes later.
    assert rows_of(client.get("/billing/dashboard/?unit=EUR").text, "registration-recurring")["Inactivated"] == "1"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?from=2026-03-09&to=2026-03-01", "no such argument"),
        ("?day=2199-01-01", "begins in the future"),
        ("?day=2026-02-30", "write days as 2026-01-31"),
        ("?day=1899-12-31", "write days as 2026-01-31"),
        ("?day=9999-12-31", "write days as 2026-01-31"),
        ("?day=yesterday", "write days as 2026-01-31"),
        ("?period=50y", "There is no period called"),
        ("?unit=XYZ", "is not a known currency"),
        ("?unit=EUR&unit=JPY", "no such argument"),
        ("?color=red", "no such argument"),
        ("?day=%00", "control characters"),
    ],
)
def test_a_senseless_address_is_refused_with_a_sentence_and_can_be_put_right(
    make: Make, browse: Browse, query: str, sentence: str
) -> None:
    make.payment()
    client = browse(Role.ADMIN)
    answer = client.get(f"/billing/dashboard/{query}")
    assert answer.status_code == 400
    assert sentence in answer.text
    assert 'name="day"' in answer.text
    assert client.get(f"/charts/billing-dashboard/all-transactions.json{query}").status_code == 400


def test_nothing_at_all_says_so_and_where_the_last_payments_are(make: Make, browse: Browse) -> None:
    client = browse(Role.ADMIN)
    page = client.get("/billing/dashboard/").text
    assert page.count("Nothing to draw") == 5
    assert tiles(page)[1:] == ["0", "0"]
    make.payment(created_at=at(DAY))
    keep_rollups(LONDON)
    page = client.get("/billing/dashboard/?day=1976-03-25").text
    assert "The last one in EUR was made on 25 Mar 2026" in page
    assert "day=2026-03-25" in page


@pytest.mark.parametrize("query", ["", "?period=month", "?day=1976-11-22"])
def test_one_payment_is_enough_for_every_chart_and_file(make: Make, browse: Browse, query: str) -> None:
    make.payment(amount_minor=1)
    client = browse(Role.ADMIN)
    assert client.get(f"/billing/dashboard/{query}").status_code == 200
    for name in CHARTS:
        assert client.get(f"/charts/billing-dashboard/{name}.json{query}").status_code == 200
        assert client.get(f"/charts/billing-dashboard/{name}.csv{query}").status_code == 200


def test_files_hold_what_is_drawn_with_whole_names(make: Make, browse: Browse) -> None:
    some(make)
    long = "The issuing bank refused without saying why, again"
    make.payment(created_at=at(DAY), status=S.FAILED, failure_message=long)
    make.payment(created_at=at(DAY), status=S.FAILED, failure_message=f"{long}!")
    client = browse(Role.ADMIN)

    def file(name: str) -> list[list[str]]:
        answer = client.get(f"/charts/billing-dashboard/{name}.csv?day={DAY}&unit=EUR")
        return list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))

    days = file("all-transactions")
    assert days[0] == ["Day", "Success", "Failed", "Others"]
    assert days[3] == [str(DAY), "2", "3", "1"]
    assert len(days) == 8
    assert {row[0] for row in file("failed-message")[1:]} == {long, f"{long}!", "No funds"}
    assert client.get(f"/charts/billing-dashboard/failed-message.json?day={DAY}&unit=EUR").status_code == 200


@pytest.mark.parametrize("role", [Role.FINANCIAL_SPECIALIST, Role.SUPPORT_AGENT, Role.ISSUER, Role.ACCOUNTANT])
def test_others_see_neither_page_nor_charts(make: Make, browse: Browse, role: Role) -> None:
    make.payment()
    client = browse(role)
    assert client.get("/billing/dashboard/").status_code == 403
    assert client.get("/charts/billing-dashboard/top-issuer.json").status_code == 403
    assert "/billing/dashboard/" not in client.get("/").text


@pytest.mark.parametrize("role", [Role.ADMIN, Role.CFO, Role.PAYMENTS_OPERATOR])
def test_those_who_look_after_billing_find_it_in_the_menu(browse: Browse, role: Role) -> None:
    client = browse(role)
    assert 'href="/billing/dashboard/"' in client.get("/").text
    assert client.get("/billing/dashboard/").status_code == 200


def test_the_questions_do_not_grow_with_the_payments(make: Make, browse: Browse) -> None:
    client = browse(Role.ADMIN)
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    def questions() -> int:
        asked.clear()
        assert client.get(HERE).status_code == 200
        return len(asked)

    make.payment(created_at=at(DAY), billing_number="B-1")
    questions()
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        few = questions()
        for place in range(12):
            make.payment(
                created_at=at(DAY), billing_number=f"N-{place}", status=S.FAILED, failure_message=f"No {place}"
            )
        assert questions() == few
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


# ---- billing numbers are counted once --------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [False, True], ids=["in the journal", "folded"])
def test_every_kind_of_change_moves_the_numbers_of_its_week_and_month(app: Flask, make: Make, fold: bool) -> None:
    keep_rollups(LONDON)

    def look(week: int, month: int) -> None:
        if fold:
            keep_rollups(LONDON)
            assert db.session.scalar(select(func.count()).select_from(text("payment_change"))) == 0
        assert numbers(WEEK, MONTH) == [week, month]
        assert wrong() == []

    look(0, 0)
    first = make.payment(created_at=at(DAY), billing_number="B-1").id
    look(1, 1)
    second = make.payment(created_at=at(DAY, 23), billing_number="B-1").id
    look(1, 1)
    make.payment(created_at=at(DAY), billing_number=None)
    look(1, 1)
    change(first, billing_number="B-2")
    look(2, 2)
    change(first, created_at=at(DAY - dt.timedelta(20)))
    look(1, 2)
    change(second, status=S.CHARGED_BACK)
    look(1, 2)
    change(second, billing_number="B-2")
    look(1, 1)
    change(second, unit=make.unit("JPY").code)
    look(0, 1)
    assert numbers(WEEK, unit="JPY") == [1]
    change(second, mode=Mode.TEST)
    look(0, 1)
    assert numbers(WEEK, unit="JPY") == [0]
    write(delete(Payment.__table__).where(Payment.__table__.c.id == first))
    look(0, 0)


def plain(frames: Iterable[Frame], zone: ZoneInfo) -> list[int]:
    found = []
    for frame in frames:
        start, stop = moments(zone, frame.span)
        asked = select(func.count(Payment.billing_number.distinct())).where(
            Payment.mode == Mode.LIVE, Payment.unit == "EUR", Payment.created_at >= start, Payment.created_at < stop
        )
        found.append(db.session.scalar(asked) or 0)
    return found


@pytest.mark.parametrize("zone", ZONES, ids=lambda zone: zone.key)
def test_whatever_is_folded_when_the_numbers_are_those_of_the_payments(app: Flask, make: Make, zone: ZoneInfo) -> None:
    dice = random.Random(7)
    keep_rollups(zone)
    customer, merchant = make.customer().id, make.organization().id
    start = dt.datetime(2026, 2, 20, tzinfo=dt.UTC)
    ids: list[int] = []
    days = [start.date() + dt.timedelta(days) for days in range(-3, 50)]
    frames = frames_of(days)
    for turn in range(60):
        moment = start + dt.timedelta(minutes=dice.randrange(45 * 24 * 60))
        number = dice.choice(["B-1", "B-2", "B-3", "B-4", None])
        what = dice.randrange(10) if ids else 0
        if what < 6:
            row = make.payment(
                created_at=moment, billing_number=number, customer_id=customer, merchant_id=merchant,
                unit=dice.choice(["EUR", "EUR", "JPY"]), mode=dice.choice([Mode.LIVE, Mode.LIVE, Mode.TEST]),
            )  # fmt: skip
            ids.append(row.id)
        elif what < 9:
            change(dice.choice(ids), created_at=moment, billing_number=number)
        else:
            write(delete(Payment.__table__).where(Payment.__table__.c.id == ids.pop(dice.randrange(len(ids)))))
        if turn % 4 == 0:
            upkeep.fold_changes(SYSTEM, zone=zone, limit=dice.randrange(1, 9))
        if turn % 10 == 0:
            assert numbers(*frames, zone=zone) == plain(frames, zone)
            assert wrong(zone) == []
    keep_rollups(zone)
    assert numbers(*frames, zone=zone) == plain(frames, zone)
    assert wrong(zone) == []


def test_a_wrong_number_is_found_and_a_rebuild_puts_it_right_while_payments_come_in(app: Flask, make: Make) -> None:
    make.payment(created_at=at(dt.date(2019, 12, 31)), billing_number="B-1")
    make.payment(created_at=at(dt.date(2020, 1, 1)), billing_number="B-1")
    make.payment(created_at=at(dt.date(2020, 1, 31)), billing_number="B-2")
    make.payment(created_at=at(DAY), billing_number="B-3")
    keep_rollups(LONDON)
    assert wrong() == []
    write(
        text("UPDATE billing_period SET numbers = numbers + 1"),
        text(
            "INSERT INTO billing_period SELECT mode, unit, period, '2022-08-01', numbers FROM billing_period "
            "WHERE period = 'MONTH' AND first_day = '2020-01-01'"
        ),
    )
    found = wrong()
    assert any("month of 2022-08-01" in line for line in found)
    assert len(found) == 7
    upkeep.begin_rebuild(SYSTEM, zone=LONDON)
    left = upkeep.rebuild_days(SYSTEM, zone=LONDON)
    assert left is not None
    make.payment(created_at=at(dt.date(2020, 1, 2)), billing_number="B-5")
    make.payment(created_at=at(dt.date(2022, 8, 9)), billing_number="B-6")
    rebuild(LONDON, afresh=False, step=lambda _done, _total: None)
    assert wrong() == []
    keep_rollups(LONDON)
    assert wrong() == []
    assert numbers(Frame.of(Period.MONTH, dt.date(2020, 1, 1)), Frame.of(Period.MONTH, dt.date(2022, 8, 1))) == [3, 1]


def test_in_another_time_zone_the_payments_are_counted_until_all_is_built(app: Flask, make: Make) -> None:
    # Early on Monday in London it is still Sunday in Havana.
    make.payment(created_at=dt.datetime(2026, 3, 30, 1, tzinfo=dt.UTC), billing_number="B-1")
    keep_rollups(LONDON)
    havana = ZONES[1]
    assert numbers(WEEK) == [0]
    assert numbers(WEEK, zone=havana) == [1]
    keep_rollups(havana)
    assert numbers(WEEK, zone=havana) == [1]
    kept = select(BillingPeriod.numbers).where(BillingPeriod.period == "WEEK", BillingPeriod.first_day == WEEK.first)
    assert db.session.scalar(kept) == 1
    assert wrong(havana) == []


def test_weeks_begin_on_mondays_and_months_have_their_days() -> None:
    for day in (dt.date(2024, 2, 29), dt.date(2026, 1, 1), dt.date(2026, 12, 31), dt.date(2028, 2, 29)):
        week, month = Frame.of(Period.WEEK, day), Frame.of(Period.MONTH, day)
        assert week.first.weekday() == 0
        assert week.span.days == 7
        assert month.first.day == 1
        for frame in (week, month):
            assert day in set(frame.span)
            assert frame.after.before == frame
            assert frame.before.span.last + dt.timedelta(1) == frame.first
            assert Frame.of(frame.period, frame.span.last) == frame
