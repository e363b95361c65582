"""The pages of system operations: what waits comes first, each role sees its own, forms keep what was typed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.models.access import StaffUser
from payadmin.models.treasury import SystemKind, SystemOperation, SystemStatus
from payadmin.permissions import Role, permissions_of
from payadmin.work import Actor
from tests.support.make import Make
from tests.support.pages import post
from tests.support.treasury import Treasury

INPUT, INVESTMENT = SystemKind.CASH_INPUT, SystemKind.INVESTMENT
SignIn = Callable[..., FlaskClient]


@pytest.fixture
def office(app: Flask, make: Make) -> Treasury:
    return Treasury(app, make)


def newest() -> Actor:
    """Whoever signed in last."""
    staff = db.session.scalars(select(StaffUser).order_by(StaffUser.id.desc()).limit(1)).one()
    found = Actor(staff_id=staff.id, name=staff.username, roles=staff.roles, permissions=permissions_of(staff.roles))
    db.session.rollback()
    return found


def token(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page) or re.search(
        rf'value="([^"]*)"[^>]*name="{name}"', page
    )
    assert found is not None, name
    return found[1]


def form_of(browser: FlaskClient, address: str, **values: Any) -> dict[str, Any]:
    page = browser.get(address).text
    return {"key": token(page, "key")} | values


def test_what_is_out_of_date_does_not_tell_a_cashier_what_lies_in_the_desk(office: Treasury, browse: SignIn) -> None:
    till = browse(Role.CASHIER)
    cashier = newest()
    desk = office.desk(code="D1")
    treasury.assign(office.accountant, desk, cashier_id=cashier.staff_id)
    office.moved(INPUT, 123_45)
    office.moved(INVESTMENT, 123_45, desk)
    first, second = (office.initiate(SystemKind.CASH_COLLECTION, 100_00, desk) for _each in range(2))
    office.confirm(first)
    assert office.confirm(second).status is SystemStatus.STALE
    page = till.get(f"/system-operations/{second}/").text
    assert "not enough EUR" in page
    assert "23.45" not in page


def test_an_accountant_asks_and_a_cfo_confirms(office: Treasury, browse: SignIn) -> None:
    accountant, cfo = browse(Role.ACCOUNTANT), browse(Role.CFO)
    assert "Nothing waits for your confirmation" in cfo.get("/system-operations/").text
    form = form_of(accountant, "/system-operations/new/cash-input/", source="BANK", unit="EUR", amount="100.001")
    refused = post(accountant, "/system-operations/new/cash-input/", **form)
    assert (refused.status_code, "100.001" in refused.text) == (422, True)
    form["amount"] = "100.00"
    for _twice in range(2):
        done = post(accountant, "/system-operations/new/cash-input/", **form)
        assert done.status_code == 303
    number = int(done.location.rstrip("/").rpartition("/")[2])
    assert office.count_of(SystemOperation) == 1
    page = cfo.get("/system-operations/").text
    assert "Waiting for you" in page
    assert "100.00" in page
    dialog = cfo.get(f"/system-operations/{number}/confirm/").text
    answer = post(cfo, f"/system-operations/{number}/confirm/", version=token(dialog, "version"), reason="")
    assert answer.status_code == 303
    assert office.get(SystemOperation, number).status is SystemStatus.CONFIRMED
    assert "J13" in cfo.get(f"/system-operations/{number}/").text


@pytest.mark.parametrize("act", ["confirm", "reject"])
def test_accountants_have_no_decision_and_cfos_initiate_nothing(office: Treasury, browse: SignIn, act: str) -> None:
    number = office.initiate(INPUT, 100_00)
    accountant, cfo = browse(Role.ACCOUNTANT), browse(Role.CFO)
    assert accountant.get(f"/system-operations/{number}/{act}/").status_code == 403
    assert post(accountant, f"/system-operations/{number}/{act}/", version=1, reason="x").status_code == 403
    assert cfo.get(f"/system-operations/{number}/cancel/").status_code == 403
    assert cfo.get("/system-operations/new/investment/").status_code == 403
    assert "New cash input" not in cfo.get("/system-operations/").text


def test_a_cashier_sees_the_own_desk_only(office: Treasury, browse: SignIn) -> None:
    mine, other = office.desk(code="D1"), office.desk(code="D2")
    office.moved(INPUT, 100_00)
    own, strange = office.moved(INVESTMENT, 12_34, mine), office.moved(INVESTMENT, 56_78, other)
    cashier = browse(Role.CASHIER)
    assert "12.34" not in cashier.get("/system-operations/").text
    office.assign(mine, newest())
    page = cashier.get("/system-operations/").text
    assert ("12.34" in page, "56.78" in page, "in transit" in page) == (True, False, False)
    assert cashier.get(f"/system-operations/{strange}/").status_code == 404
    assert post(cashier, f"/system-operations/{strange}/acknowledge/").status_code == 404
    assert "56.78" not in cashier.get("/system-operations/export/csv/").text
    assert post(cashier, f"/system-operations/{own}/acknowledge/").status_code == 303
    assert "Nothing to acknowledge" in cashier.get("/system-operations/").text
    assert office.get(SystemOperation, own).acknowledged_at is not None


def test_what_is_out_of_date_is_told_and_put_away(office: Treasury, browse: SignIn) -> None:
    desk = office.desk(code="D1")
    office.moved(INPUT, 100_00)
    first, second = office.initiate(INVESTMENT, 80_00, desk), office.initiate(INVESTMENT, 80_00, desk)
    office.confirm(first)
    cfo, accountant = browse(Role.CFO), browse(Role.ACCOUNTANT)
    answer = post(cfo, f"/system-operations/{second}/confirm/", version=1)
    page = cfo.get(answer.location).text
    assert "not there any more" in page
    assert "20.00 EUR is in transit" in page
    assert "Out of date: initiate again, or put away" in accountant.get("/system-operations/").text
    done = post(accountant, f"/system-operations/{second}/cancel/", version=2, reason="Too late")
    assert done.status_code == 303
    assert "Out of date: initiate" not in accountant.get("/system-operations/").text


def test_a_lost_race_is_told_in_the_form(office: Treasury, browse: SignIn) -> None:
    number = office.initiate(INPUT, 100_00)
    treasury.reject(office.cfo, number, reason="No", version=1)
    answer = post(browse(Role.CFO), f"/system-operations/{number}/confirm/", version=1)
    assert answer.status_code == 409
    assert "rejected already" in answer.text


def test_whoever_initiated_is_not_offered_to_confirm(office: Treasury, browse: SignIn) -> None:
    both = browse(Role.ACCOUNTANT, Role.CFO)
    number = office.initiate(INPUT, 100_00, actor=newest())
    page = both.get(f"/system-operations/{number}/").text
    assert "You initiated it yourself" in page
    assert f"/system-operations/{number}/confirm/" not in page
    assert "Nothing waits for your confirmation" in both.get("/system-operations/").text
    assert post(both, f"/system-operations/{number}/confirm/", version=1).status_code == 403
