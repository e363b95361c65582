"""The cash report: the current day by default, hand-made figures, nothing told too early, the same numbers in files."""

import csv
import datetime as dt
import io
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from payadmin.actions import treasury
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.parties import IdentificationStatus
from payadmin.models.treasury import SystemKind
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.treasury import Treasury
from tests.treasury.test_system_pages import newest

INPUT, COLLECTION, INVESTMENT = SystemKind.CASH_INPUT, SystemKind.CASH_COLLECTION, SystemKind.INVESTMENT
SignIn = Callable[..., FlaskClient]


@pytest.fixture
def office(app: Flask, make: Make) -> Treasury:
    return Treasury(app, make)


def worked(office: Treasury) -> tuple[int, int]:
    """A day with one of everything: the desk and its day."""
    desk = office.desk(office.cashier, code="D1")
    owner = office.make.customer(
        identification=IdentificationStatus.IDENTIFIED,
        organization_id=office.contracted(
            "Shop", Term(TransactionType.TOP_UP, "EUR", fixed_minor=1_00, charged_to=ChargedTo.PAYER)
        ).id,
    )
    wallet = office.wallet(owner=owner)
    office.moved(INPUT, 1_000_00)
    office.moved(INVESTMENT, 300_00, desk)
    day = office.open(desk)
    office.moved(INVESTMENT, 200_00, desk)
    office.top_up(wallet, 150_00)
    office.withdraw(wallet, 40_00)
    office.pay(office.redeem(wallet, 20_00, commission=1_00))
    office.moved(COLLECTION, 90_00, desk)
    return desk, day


def figures(page: str) -> dict[str, list[str]]:
    """The first table of the page: the amounts of each line."""
    table = page[page.index('id="h-figures"') :].partition("</table>")[0]
    found = {}
    for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]:
        label = re.search(r'<th scope="row">(.*?)</th>', row)
        assert label is not None
        found[label[1]] = [re.sub(r"<span class=\"cellsub.*?</span>|<[^>]+>", "", cell).strip()
                           for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]  # fmt: skip
    return found


def test_the_accountant_sees_the_current_day_whole(office: Treasury, browse: SignIn) -> None:
    worked(office)
    page = browse(Role.ACCOUNTANT).get("/cash-report/").text
    # 300 + 151 - 40 - 20 + 200 - 90
    assert {key: cells[0] for key, cells in figures(page).items()} == {
        "Opening": "300.00 EUR", "Top-ups": "151.00 EUR", "Withdrawals": "-40.00 EUR", "Redeem paid": "-20.00 EUR",
        "System in": "200.00 EUR", "System out": "-90.00 EUR", "Expected": "501.00 EUR", "Counted": "–",
        "Difference": "–", "Commission": "2.00 EUR",
    }  # fmt: skip
    assert all(word in page for word in ("Opened by", "Corner Shop", "D1"))


def test_a_cashier_is_told_what_was_expected_only_when_the_day_is_closed(office: Treasury, browse: SignIn) -> None:
    desk, day = worked(office)
    cashier = browse(Role.CASHIER)
    cashier_id = newest().staff_id
    assert cashier_id is not None
    accountant = browse(Role.ACCOUNTANT)
    assert "You are assigned to no desk" in cashier.get("/cash-report/").text
    assert cashier.get(f"/cash-report/?desk={desk}").status_code == 404
    treasury.assign(office.accountant, desk, cashier_id=cashier_id)
    page = cashier.get("/cash-report/").text
    assert "told when the day is closed" in page
    assert "501.00" not in page
    office.count(day, counts={"EUR": 500_00}, note="One euro is missing")
    page = cashier.get("/cash-report/").text
    assert "differs from the books" in page
    assert figures(page)["Counted"] == ["500.00 EUR"]
    assert (figures(page)["Expected"], figures(page)["Difference"]) == (["–"], ["–"])
    assert figures(accountant.get("/cash-report/").text)["Difference"] == ["-1.00 EUR"]
    assert "501.00" not in cashier.get("/cash-report/figures.csv").text
    office.close(day, reason="Accepted")
    page = cashier.get(f"/cash-report/?day={day}").text
    assert (figures(page)["Expected"], figures(page)["Difference"]) == (["501.00 EUR"], ["-1.00 EUR"])
    assert "No cash day is open" in cashier.get("/cash-report/").text


def test_a_period_adds_days_and_what_moved_between_them(office: Treasury, browse: SignIn) -> None:
    desk, day = worked(office)
    office.count(day, counts={"EUR": 500_00}, note="Missing")
    office.close(day)
    office.moved(COLLECTION, 100_00, desk)
    second = office.open(desk)
    office.moved(INVESTMENT, 25_00, desk)
    office.count(second, counts={"EUR": 427_00}, note="Too much")
    office.close(second)
    today = utcnow().astimezone(current_settings().zone).date()
    page = browse(Role.CFO).get(f"/cash-report/?desk={desk}&from={today}&to={today}").text
    # 501 - 1 short - 100 + 25 = 425, counted 427
    assert {key: cells[0] for key, cells in figures(page).items()} == {
        "Opening": "300.00 EUR", "Top-ups": "151.00 EUR", "Withdrawals": "-40.00 EUR", "Redeem paid": "-20.00 EUR",
        "System in": "225.00 EUR", "System out": "-190.00 EUR", "Short": "-1.00 EUR", "Over": "2.00 EUR",
        "Closing": "427.00 EUR", "Commission": "2.00 EUR",
    }  # fmt: skip
    assert office.lies(desk) == 427_00
    db.session.rollback()


def test_a_period_without_a_day_says_what_moved_and_not_what_lay_there(office: Treasury, browse: SignIn) -> None:
    desk = office.desk(office.cashier)
    office.moved(INPUT, 500_00)
    office.moved(INVESTMENT, 300_00, desk)
    office.moved(COLLECTION, 100_00, desk)
    today = utcnow().astimezone(current_settings().zone).date()
    page = browse(Role.CFO).get(f"/cash-report/?desk={desk}&from={today}&to={today}").text
    found = {key: cells[0] for key, cells in figures(page).items()}
    assert (found["Opening"], found["System in"], found["System out"], found["Closing"]) == (
        "–", "300.00 EUR", "-100.00 EUR", "–",
    )  # fmt: skip


def test_files_say_what_the_page_says(office: Treasury, browse: SignIn) -> None:
    worked(office)
    accountant = browse(Role.ACCOUNTANT)
    [line] = csv.DictReader(io.StringIO(accountant.get("/cash-report/figures.csv").text.lstrip("\ufeff")))
    assert {key: line[key] for key in ("Opening", "Top-ups", "Number of top-ups", "System out", "Expected")} == {
        "Opening": "300.00", "Top-ups": "151.00", "Number of top-ups": "1", "System out": "90.00", "Expected": "501.00",
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(accountant.get("/cash-report/operations.csv").text.lstrip("\ufeff"))))
    assert [(row["Kind"], row["Cash"]) for row in rows] == [
        ("Top-up", "151.00"), ("Withdrawal", "-40.00"), ("Redeem paid", "-20.00"), ("Investment", "200.00"),
        ("Cash collection", "-90.00"),
    ]  # fmt: skip
    for what in ("figures", "operations"):
        assert accountant.get(f"/cash-report/{what}.pdf").data.startswith(b"%PDF")
        assert accountant.get(f"/cash-report/{what}.xlsx").data.startswith(b"PK")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from=2026-03-02&to=2026-03-01", "The last day lies before the first"),
        ("from=yesterday", "Write days as"),
        ("from=2020-01-01&to=2026-01-01", "at most 366 days"),
        ("from=0001-01-01&to=0001-01-02", "of this century"),
        ("unit=XXX", "no such currency"),
    ],
)
def test_what_cannot_be_asked_for_is_said(office: Treasury, browse: SignIn, query: str, sentence: str) -> None:
    office.desk(office.cashier)
    answer = browse(Role.CFO).get(f"/cash-report/?{query}")
    assert (answer.status_code, sentence in answer.text) == (400, True)


def test_only_those_with_cash_to_look_after_open_it(office: Treasury, browse: SignIn) -> None:
    office.desk(office.cashier)
    for role in (Role.COMPLIANCE, Role.FINANCIAL_SPECIALIST, Role.PAYMENTS_OPERATOR):
        assert browse(role).get("/cash-report/").status_code == 403
        assert browse(role).get("/cash-report/figures.csv").status_code == 403


def test_its_questions_do_not_grow_with_its_days(office: Treasury, browse: SignIn) -> None:
    desk = office.desk(office.cashier)
    office.moved(INPUT, 1_000_00)
    accountant = browse(Role.ACCOUNTANT)
    today = utcnow().astimezone(current_settings().zone).date()
    address = f"/cash-report/?desk={desk}&from={today - dt.timedelta(days=6)}&to={today}"

    def asked() -> int:
        seen: list[str] = []
        listen = lambda _c, _k, statement, *_rest: seen.append(statement)  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listen)
        assert accountant.get(address).status_code == 200
        event.remove(db.engine, "before_cursor_execute", listen)
        return len(seen)

    numbers = []
    for turn in range(3):
        day = office.open(desk)
        office.moved(INVESTMENT, 10_00 + turn, desk)
        office.count(day)
        office.close(day)
        numbers.append(asked())
    assert numbers[1] == numbers[2]
