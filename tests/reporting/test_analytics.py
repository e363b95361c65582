"""Analytics: what the page shows, for whom, and what it answers to addresses that make no sense."""

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from payadmin.db import db, utcnow
from payadmin.jobs.reporting import keep_rollups
from payadmin.models.payments import Channel, Mode, PaymentStatus
from payadmin.permissions import Role
from payadmin.queries.reporting import Span
from payadmin.views.charts import PAGES
from payadmin.views.reporting.analytics import bins
from tests.support.make import Make

Browse = Callable[..., Any]
S = PaymentStatus
CHARTS = ["daily", "status", "by-method", "by-channel"]


def days_ago(days: int) -> dt.datetime:
    return utcnow() - dt.timedelta(days=days)


def some(make: Make) -> None:
    make.payment(created_at=days_ago(1), amount_minor=30_00, channel=Channel.WEB)
    make.payment(created_at=days_ago(2), amount_minor=50_00, channel=Channel.API, method="wallet")
    make.payment(created_at=days_ago(2), amount_minor=20_00, status=S.PARTIALLY_REFUNDED, refunded_minor=5_00)
    make.payment(created_at=days_ago(3), amount_minor=99_00, status=S.FAILED)
    make.payment(created_at=days_ago(40), amount_minor=40_00)
    make.payment(created_at=days_ago(1), amount_minor=7_000, unit="JPY")
    make.payment(created_at=days_ago(1), amount_minor=1_000_00, mode=Mode.TEST)


def values(page: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", found).strip() for found in re.findall(r'class="v num">(.*?)</div>', page)]


def table(client: Any, name: str, query: str = "") -> list[list[str]]:
    answer = client.get(f"/charts/analytics/{name}.csv{query}")
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("folded", [False, True])
def test_the_page_shows_figures_of_one_currency_and_mode(make: Make, browse: Browse, app: Flask, folded: bool) -> None:
    some(make)
    if folded:
        keep_rollups(app.extensions["payadmin.settings"].zone)
    client = browse(Role.PAYMENTS_OPERATOR)
    page = client.get("/analytics/?unit=EUR").text
    assert values(page) == ["100.00EUR", "4", "33.33EUR", "25.0%"]
    assert values(client.get("/analytics/?unit=EUR&net=1").text) == ["95.00EUR", "4", "31.67EUR", "25.0%"]
    assert values(client.get("/analytics/?unit=JPY").text) == ["7,000JPY", "1", "7,000JPY", "0.0%"]
    assert "150.0%" in page  # 100.00 after 40.00 in the thirty days before


@pytest.mark.parametrize("name", CHARTS)
def test_each_chart_is_data_without_code_and_a_reference_follows_what_it_refers_to(
    make: Make, browse: Browse, name: str
) -> None:
    some(make)
    answer = browse(Role.CFO).get(f"/charts/analytics/{name}.json?range=90d&unit=EUR&theme=dark")
    assert answer.mimetype == "application/json"
    assert "CustomJS" not in answer.text
    known: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if set(part) == {"id"}:
                assert part["id"] in known
            elif "id" in part and "type" in part:
                known.add(part["id"])
            for each in part.values():
                walk(each)
        elif isinstance(part, list):
            for each in part:
                walk(each)

    walk(json.loads(answer.text)["doc"])


def test_files_hold_plain_numbers_of_what_is_drawn(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.ADMIN)
    daily = table(client, "daily", "?unit=EUR&range=7d")
    assert daily[0] == ["Day", "Amount (EUR)", "Payments"]
    assert len(daily) == 1 + 184
    assert daily[-3][1:] == ["70.00", "2"]
    assert table(client, "daily", "?unit=EUR&range=7d&net=1")[-3][1:] == ["65.00", "2"]
    status = table(client, "status", "?unit=EUR")
    assert status == [["Status", "Share (%)", "Payments"], ["Paid", "50.0", "2"], ["Failed", "25.0", "1"],
                      ["Partially refunded", "25.0", "1"]]  # fmt: skip
    assert table(client, "by-channel", "?unit=EUR")[0] == ["Day", "API (EUR)", "Web (EUR)"]
    assert sum(float(row[1]) for row in table(client, "by-method", "?unit=EUR&range=ytd")[1:]) in {50.0, 90.0}


def test_each_preset_covers_its_days(make: Make, browse: Browse, app: Flask) -> None:
    make.payment(created_at=days_ago(0))
    client = browse(Role.ADMIN)
    today = utcnow().astimezone(app.extensions["payadmin.settings"].zone).date()
    for preset, first in (
        ("7d", today - dt.timedelta(days=6)), ("30d", today - dt.timedelta(days=29)),
        ("90d", today - dt.timedelta(days=89)), ("mtd", today.replace(day=1)), ("ytd", today.replace(month=1, day=1)),
    ):  # fmt: skip
        page = client.get(f"/analytics/?range={preset}").text
        assert f"created_at={first}..{today}" in page.replace("&amp;", "&")
        assert re.search(rf'\?range={preset}[^"]*" aria-current="true"', page)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?range=custom&from=2026-03-09&to=2026-03-01", "Swap the two days"),
        ("?range=custom&from=2199-01-01&to=2199-02-01", "begins in the future"),
        ("?range=custom&from=1950-01-01&to=2000-01-01", "ten years at most"),
        ("?range=custom&from=yesterday", "write days as 2026-01-31"),
        ("?range=custom", "with which day"),
        ("?range=century", "There is no period called"),
        ("?unit=XYZ", "is not a known currency"),
        ("?unit=EUR&unit=JPY", "no such argument"),
        ("?color=red", "no such argument"),
        ("?net=2", "either 1 or absent"),
        ("?range=custom&from=2026-02-30", "write days as 2026-01-31"),
        ("?range=%00", "control characters"),
    ],
)
def test_a_senseless_address_is_refused_with_a_sentence_and_can_be_put_right(
    make: Make, browse: Browse, query: str, sentence: str
) -> None:
    make.payment()
    client = browse(Role.ADMIN)
    answer = client.get(f"/analytics/{query}")
    assert answer.status_code == 400
    assert sentence in answer.text
    assert 'name="from"' in answer.text
    assert client.get(f"/charts/analytics/daily.json{query}").status_code == 400


def test_nothing_at_all_says_so(browse: Browse) -> None:
    client = browse(Role.ADMIN)
    page = client.get("/analytics/").text
    assert page.count("Nothing to draw") == 4
    assert "No earlier data to compare" in page
    # What is not drawn on the page has an address all the same.
    for name in CHARTS:
        assert client.get(f"/charts/analytics/{name}.json").status_code in {200, 404}
        assert client.get(f"/charts/analytics/{name}.csv").status_code == 200


@pytest.mark.parametrize("query", ["", "?range=7d", "?range=ytd", "?range=custom&from=2017-01-01"])
def test_one_payment_is_enough_for_every_chart(make: Make, browse: Browse, query: str) -> None:
    make.payment(amount_minor=1)
    client = browse(Role.ADMIN)
    assert client.get(f"/analytics/{query}").status_code == 200
    for name in CHARTS:
        assert client.get(f"/charts/analytics/{name}.json{query}").status_code == 200


def test_bars_are_days_then_weeks_then_months_and_cover_every_day_once() -> None:
    start = dt.date(2024, 2, 14)
    for days, bars in ((1, 1), (70, 70), (71, 11), (800, 115), (801, 27)):
        span = Span(start, start + dt.timedelta(days=days - 1))
        starts = bins(span)
        assert starts[0] == start
        assert len(starts) == bars
        assert list(starts) == sorted(set(starts))


@pytest.mark.parametrize("role", [Role.FINANCIAL_SPECIALIST, Role.SUPPORT_AGENT, Role.ISSUER])
def test_others_see_neither_page_nor_charts(make: Make, browse: Browse, role: Role) -> None:
    make.payment()
    client = browse(role)
    assert client.get("/analytics/").status_code == 403
    assert client.get("/charts/analytics/daily.json").status_code == 403
    assert client.get("/charts/analytics/daily.csv").status_code == 403
    assert "/analytics/" not in client.get("/").text


def test_an_unknown_chart_is_not_found(browse: Browse) -> None:
    client = browse(Role.ADMIN)
    assert client.get("/charts/analytics/weather.json").status_code == 404
    assert client.get("/charts/weather/daily.json").status_code == 404


def test_every_chart_of_every_page_says_what_it_is() -> None:
    for page in PAGES.values():
        for one in page.charts.values():
            assert one.title
            assert one.plot.__doc__


def test_the_questions_do_not_grow_with_the_payments(make: Make, browse: Browse, app: Flask) -> None:
    client = browse(Role.ADMIN)
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    def questions() -> int:
        asked.clear()
        assert client.get("/analytics/?unit=EUR").status_code == 200
        return len(asked)

    make.payment()
    questions()
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        few = questions()
        for days in range(12):
            make.payment(created_at=days_ago(days), method=("card", "wallet")[days % 2])
        assert questions() == few
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
