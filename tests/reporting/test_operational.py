"""The operational report: periods beside each other, files with the same numbers, and who may see it."""

import csv
import datetime as dt
import html
import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from payadmin.db import db, utcnow
from payadmin.jobs.reporting import keep_rollups
from payadmin.models.payments import Mode, PaymentStatus
from payadmin.permissions import Role
from tests.support.make import Make

Browse = Callable[..., Any]
S = PaymentStatus
ADDRESS = "/operational-report/"
MARCH = "?period=month&current=2025-03-17&periods=2&unit=EUR"
FIGURES = 9


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(hour=12, tzinfo=dt.UTC)


def some(make: Make) -> None:
    """March, February and (nothing in) January 2025, and what must not count."""
    customer = make.customer(created_at=at("2025-02-03")).id
    merchant = make.organization().id

    def pay(day: str, minor: int, status: S = S.PAID, **more: Any) -> None:
        make.payment(
            created_at=at(day), amount_minor=minor, status=status, customer_id=customer, merchant_id=merchant, **more
        )

    pay("2025-03-01", 30_00)
    pay("2025-03-31", 50_00)
    pay("2025-03-10", 20_00, S.PARTIALLY_REFUNDED, refunded_minor=5_00)
    pay("2025-03-11", 99_00, S.FAILED)
    pay("2025-02-28", 40_00)
    pay("2025-02-01", 10_00, S.CHARGED_BACK)
    pay("2025-04-01", 1_00)
    pay("2025-03-05", 7_000, unit="JPY")
    pay("2025-03-05", 1_000_00, mode=Mode.TEST)


def cells(page: str) -> list[list[str]]:
    """The table of the page, as text."""
    body = page.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    return [
        [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def links(page: str) -> list[tuple[int, str]]:
    """Each number of the table with the list that it leads to."""
    body = page.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    found = re.findall(r'<a href="([^"]+)">([\d.,]+)</a>', body)
    return [(int(re.sub(r"\D", "", text)), html.unescape(url)) for url, text in found]


def rows_of(client: Any, url: str) -> int:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    found = re.search(r"data-announce>\s*([\d,]+) ", answer.text)
    assert found, "the list says no number"
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("folded", [False, True])
def test_the_current_period_stands_beside_those_before_it(make: Make, browse: Browse, app: Flask, folded: bool) -> None:
    some(make)
    if folded:
        keep_rollups(app.extensions["payadmin.settings"].zone)
    march, february, january = cells(browse(Role.ADMIN).get(f"{ADDRESS}{MARCH}").text)
    assert march[0].startswith("March 2025")
    assert march[1:8] == ["4", "3", "1", "0", "100.00", "5.00", "95.00"]
    assert february[0].startswith("February 2025")
    assert [cell.split()[0] for cell in february[1:8]] == ["2", "2", "0", "1", "50.00", "0.00", "50.00"]
    assert february[1] == "2 current is higher by 100.0%"
    assert february[2] == "2 current is higher by 50.0%"
    assert february[3] == "0 nothing to compare"
    assert february[4] == "1 current is lower by 100.0%"
    assert february[8] == "1 current is lower by 100.0%"
    assert january[1] == "0 nothing to compare"


def test_every_number_leads_to_the_list_that_has_just_that_many_rows(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.ADMIN)
    page = client.get(f"{ADDRESS}{MARCH}").text
    found = links(page)
    assert len(found) == 3 * FIGURES
    for place, (number, url) in enumerate(found):
        if place % FIGURES not in (4, 5, 6):  # amounts: the list has the payments that they are the sum of
            assert rows_of(client, url) == number, url
    assert all("unit" in url or "amount=EUR" in url for place, (_, url) in enumerate(found) if place % FIGURES < 7)


@pytest.mark.parametrize("role", [Role.FINANCIAL_SPECIALIST, Role.ACCOUNTANT])
def test_who_may_not_open_the_lists_reads_plain_numbers(make: Make, browse: Browse, role: Role) -> None:
    some(make)
    page = browse(role).get(f"{ADDRESS}{MARCH}").text
    assert cells(page)[0][1:3] == ["4", "3"]
    # Accountants have a list of their own: what cashiers did.
    theirs = {"/cash-operations/"} if role is Role.ACCOUNTANT else set()
    assert {url.partition("?")[0] for _number, url in links(page)} == theirs


def test_a_financial_specialist_can_make_this_report_and_no_other(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.FINANCIAL_SPECIALIST)
    for kind in ("csv", "xlsx", "pdf"):
        assert client.get(f"{ADDRESS}report.{kind}{MARCH}").status_code == 200
    assert client.get(f"/charts/operational-report/captured.json{MARCH}").status_code == 200
    for other in ("/analytics/", "/my-figures/", "/charts/analytics/daily.json", "/transactions/"):
        assert client.get(other).status_code == 403
    menu = client.get("/").text
    assert ADDRESS in menu
    assert "/my-figures/" not in menu


@pytest.mark.parametrize("role", [Role.CASHIER, Role.SUPPORT_AGENT, Role.PAYMENTS_OPERATOR, Role.ISSUER])
def test_others_do_not_see_it(browse: Browse, role: Role) -> None:
    client = browse(role)
    for address in (ADDRESS, f"{ADDRESS}report.csv", "/charts/operational-report/captured.csv"):
        assert client.get(address).status_code == 403
    assert ADDRESS not in client.get("/").text


def test_menu_access_takes_it_away(browse: Browse) -> None:
    client = browse(Role.CFO, menu_access=["analytics"])
    assert client.get(ADDRESS).status_code == 403
    assert client.get(f"{ADDRESS}report.pdf").status_code == 403


def test_files_hold_the_same_numbers(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.CFO)
    answer = client.get(f"{ADDRESS}report.csv{MARCH}")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="operational-report-2025-03-EUR.csv"'
    head, march, february, _january = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert head[:5] == ["Period", "From", "To", "Payments", "Payments: current against this, %"]
    assert "Captured amount (EUR)" in head
    assert march[:5] == ["2025-03", "2025-03-01", "2025-03-31", "4", ""]
    assert march[head.index("Captured amount (EUR)")] == "100.00"
    assert february[3:5] == ["2", "100.0"]
    book = zipfile.ZipFile(io.BytesIO(client.get(f"{ADDRESS}report.xlsx{MARCH}").data))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<v>100.00</v>" in sheet
    assert "2025-02" in sheet
    document = client.get(f"{ADDRESS}report.pdf{MARCH}")
    assert document.mimetype == "application/pdf"
    assert document.data.startswith(b"%PDF-")
    assert client.get(f"{ADDRESS}report.ods{MARCH}").status_code == 404


def test_files_are_english_with_plain_numbers_whoever_reads_them(make: Make, browse: Browse) -> None:
    some(make)
    english = browse(Role.CFO).get(f"{ADDRESS}report.csv{MARCH}").text
    assert browse(Role.CFO, language="it").get(f"{ADDRESS}report.csv{MARCH}").text == english


@pytest.mark.parametrize("length", ["day", "week", "month", "quarter", "year"])
def test_each_length_of_period_is_drawn_and_listed(make: Make, browse: Browse, length: str) -> None:
    some(make)
    client = browse(Role.ADMIN)
    query = f"?period={length}&current=2025-03-10&periods=5&unit=EUR"
    page = client.get(f"{ADDRESS}{query}")
    assert page.status_code == 200
    assert len(cells(page.text)) == 6
    lines = list(csv.reader(io.StringIO(client.get(f"/charts/operational-report/captured.csv{query}").text)))
    assert len(lines) == 7
    assert client.get(f"/charts/operational-report/captured.json{query}").status_code == 200


def test_a_period_that_is_not_over_says_so(browse: Browse) -> None:
    client = browse(Role.ADMIN)
    assert "The current period is not over" in client.get(f"{ADDRESS}?period=year").text or utcnow().month == 12
    assert "The current period is not over" not in client.get(f"{ADDRESS}?period=year&current=2024-05-05").text


def test_without_any_payment_the_page_says_what_to_do(browse: Browse) -> None:
    page = browse(Role.ADMIN).get(f"{ADDRESS}?current=2011-01-01")
    assert page.status_code == 200
    assert "Nothing happened in these periods" in page.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("periods=0", "Compare with 1 to 24 earlier periods"),
        ("periods=10000", "Compare with 1 to 24 earlier periods"),
        ("periods=-1", "Compare with 1 to 24 earlier periods"),
        ("periods=2.5", "Compare with 1 to 24 earlier periods"),
        ("periods=%D9%A3", "Compare with 1 to 24 earlier periods"),
        ("periods=" + "9" * 60, "Compare with 1 to 24 earlier periods"),
        ("period=year&periods=11", "Compare with 1 to 10 earlier periods"),
        ("period=fortnight", "There is no period called “fortnight”"),
        ("current=2199-01-01", "lies in the future"),
        ("current=2025-02-30", "write days as 2026-01-31"),
        ("current=0001-01-01", "write days as 2026-01-31"),
        ("current=1970-02-01", "The report reaches back to"),
        ("unit=XXX", "is not a known currency"),
        ("colour=red", "This page knows no such argument"),
        ("periods=2&periods=3", "This page knows no such argument"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_with_a_sentence(
    make: Make, browse: Browse, query: str, sentence: str
) -> None:
    some(make)
    client = browse(Role.ADMIN)
    answer = client.get(f"{ADDRESS}?{query}")
    assert answer.status_code == 400
    assert sentence in html.unescape(answer.text)
    assert 'name="periods"' in answer.text  # the form stays, to put it right
    assert client.get(f"{ADDRESS}report.csv?{query}").status_code == 400
    assert client.get(f"/charts/operational-report/captured.json?{query}").status_code == 400


def test_the_questions_grow_neither_with_payments_nor_with_periods(make: Make, browse: Browse, app: Flask) -> None:
    client = browse(Role.ADMIN)
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    def questions(periods: int) -> int:
        asked.clear()
        assert client.get(f"{ADDRESS}?current=2025-03-17&periods={periods}&unit=EUR").status_code == 200
        return len(asked)

    make.payment(created_at=at("2025-03-01"))
    questions(1)
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        few = questions(1)
        some(make)
        assert questions(24) == few
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
