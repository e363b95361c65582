"""Desks and who works at them: set up, changed, locked, closed; a cashier is at one desk at a time."""

from typing import Any

import pytest
from sqlalchemy import select

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import OrganizationStatus
from payadmin.models.treasury import CashDesk, CashDeskAssignment, CashSource, DeskStatus, SystemKind
from payadmin.permissions import Permission, Role
from payadmin.queries.treasury import balances, desk_of, open_day_of, transit
from tests.support.cash_office import CashOffice
from tests.support.make import writing


def version(office: CashOffice, desk_id: int) -> int:
    return int(office.get(CashDesk, desk_id).version)


def test_a_desk_is_set_up_with_a_code_of_its_own(office: CashOffice) -> None:
    organization = office.make.organization().id

    def create(**values: Any) -> int:
        given = {"code": "CENTRE-1", "name": "Centre", "organization_id": organization} | values
        return treasury.create_desk(office.cfo, **given).id

    create()
    for values, kind, field in (
        ({"code": "centre 1"}, Invalid, "code"),
        ({"code": "X" * 25}, Invalid, "code"),
        ({"code": ""}, Invalid, "code"),
        ({"code": "B", "name": " "}, Invalid, "name"),
        ({"name": "Other"}, Conflict, "code"),
        ({"code": "B"}, Conflict, "name"),
    ):
        with pytest.raises(kind) as caught:
            create(**values)
        assert caught.value.field == field
    closed = office.make.organization("Closed", status=OrganizationStatus.CLOSED).id
    with pytest.raises(Conflict, match="organization is closed"):
        create(code="B", name="B", organization_id=closed)
    assert office.count_of(CashDesk) == 1


def test_only_cfo_and_accountant_set_up_desks(office: CashOffice) -> None:
    for role in Role:
        may = Permission.CASH_DESK_WRITE in office.person(role).permissions
        assert may is (role in {Role.CFO, Role.ACCOUNTANT})
    with pytest.raises(Forbidden):
        treasury.create_desk(office.cashier, code="A", name="A", organization_id=1)


def test_a_desk_is_renamed_by_whoever_saw_it_as_it_is(office: CashOffice) -> None:
    first, second = office.desk(), office.desk()
    shop = office.get(CashDesk, first).organization_id
    seen = version(office, first)
    treasury.change_desk(office.accountant, first, name="North", organization_id=shop, version=seen)
    with pytest.raises(Conflict, match="Somebody else"):
        treasury.change_desk(office.accountant, first, name="South", organization_id=shop, version=seen)
    with pytest.raises(Conflict, match="this name"):
        treasury.change_desk(
            office.accountant, second, name="North", organization_id=shop, version=version(office, second)
        )
    treasury.change_desk(office.accountant, first, name="North", organization_id=shop, version=version(office, first))
    assert (office.get(CashDesk, first).name, version(office, first)) == ("North", seen + 1)


def test_a_desk_does_not_change_hands_while_its_day_is_open(office: CashOffice) -> None:
    desk = office.desk(office.cashier)
    other = office.make.organization("Other").id
    office.open(desk)

    def give() -> None:
        treasury.change_desk(office.cfo, desk, name="X", organization_id=other, version=version(office, desk))

    with pytest.raises(Conflict, match="not closed") as caught:
        give()
    assert caught.value.field == "organization"
    day = open_day_of(db.session(), desk)
    assert day is not None
    office.count(day.id)
    office.close(day.id)
    give()
    assert office.get(CashDesk, desk).organization_id == other


def test_a_cashier_is_at_one_desk_and_a_desk_has_several(office: CashOffice) -> None:
    other = office.person(Role.CASHIER)
    here, there = office.desk(office.cashier, other), office.desk()
    with pytest.raises(Conflict, match=r"works at Desk-\d already") as caught:
        office.assign(there, office.cashier)
    assert caught.value.field == "cashier"
    with pytest.raises(Conflict, match="already"):
        office.assign(here, office.cashier)
    rows = db.session.scalars(select(CashDeskAssignment).order_by(CashDeskAssignment.id)).all()
    number = rows[0].id
    assert len(rows) == 2
    treasury.end_assignment(office.accountant, number)
    with pytest.raises(Conflict, match="ended already"):
        treasury.end_assignment(office.accountant, number)
    office.assign(there, office.cashier)
    found = desk_of(db.session(), office.cashier.staff_id or 0)
    assert found is not None
    assert found.id == there
    assert desk_of(db.session(), office.accountant.staff_id or 0) is None


def test_only_a_cashier_whose_account_works_is_assigned(office: CashOffice) -> None:
    desk = office.desk()
    with pytest.raises(Conflict, match="no cashier") as caught:
        office.assign(desk, office.accountant)
    assert caught.value.field == "cashier"
    writing()
    db.session.get_one(StaffUser, office.cashier.staff_id).status = StaffStatus.LOCKED
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    with pytest.raises(Conflict, match="locked"):
        office.assign(desk, office.cashier)
    assert office.count_of(CashDeskAssignment) == 0


def test_a_locked_desk_opens_no_day_and_takes_nobody(office: CashOffice) -> None:
    desk = office.desk(office.cashier)
    with pytest.raises(Invalid) as caught:
        treasury.lock_desk(office.cfo, desk, reason="  ", version=version(office, desk))
    assert caught.value.field == "reason"
    treasury.lock_desk(office.cfo, desk, reason="Alarm", version=version(office, desk))
    with pytest.raises(Conflict, match="is locked"):
        office.open(desk)
    with pytest.raises(Conflict, match="active desks only"):
        office.assign(desk, office.person(Role.CASHIER))
    with pytest.raises(Conflict):
        treasury.lock_desk(office.cfo, desk, reason="Again", version=version(office, desk))
    treasury.unlock_desk(office.cfo, desk, version=version(office, desk))
    office.open(desk)


def test_only_an_empty_desk_with_a_closed_day_is_closed_and_its_cashiers_leave(office: CashOffice) -> None:
    desk = office.desk(office.cashier, money={"EUR": 5_00})

    def close() -> None:
        treasury.close_desk(office.cfo, desk, version=version(office, desk))

    with pytest.raises(Conflict, match="money in this desk"):
        close()
    day = office.open(desk)
    with pytest.raises(Conflict, match="day of this desk"):
        close()
    office.collect(desk, "EUR", 5_00)
    office.count(day)
    office.close(day)
    office.moved(SystemKind.CASH_INPUT, "EUR", 5_00, source=CashSource.BANK)
    waits = treasury.initiate(
        office.accountant, kind=SystemKind.INVESTMENT, unit="EUR", amount_minor=5_00, key="w", desk_id=desk
    )
    number, seen = waits.id, waits.version
    with pytest.raises(Conflict, match="waits for the CFO"):
        close()
    treasury.reject(office.cfo, number, reason="No", version=seen)
    close()
    assert office.get(CashDesk, desk).status is DeskStatus.CLOSED
    assert desk_of(db.session(), office.cashier.staff_id or 0) is None
    with pytest.raises(Conflict):
        close()
    assert office.unsound() == []


def test_balances_of_all_desks_are_one_question_and_every_unit_stands_alone(office: CashOffice) -> None:
    first = office.desk(money={"EUR": 5_00, "JPY": 700})
    second = office.desk(money={"EUR": 1_00})
    third = office.desk()
    desks = [office.get(CashDesk, each) for each in (first, second, third)]
    found = balances(db.session(), desks)
    assert found == {first: {"EUR": 5_00, "JPY": 700}, second: {"EUR": 1_00}, third: {}}
    office.moved(SystemKind.CASH_INPUT, "EUR", 9_00, source=CashSource.OWNER)
    assert transit(db.session()) == {"EUR": 9_00, "JPY": 0}


def test_everything_about_desks_stands_in_the_trail(office: CashOffice) -> None:
    desk = office.desk(office.cashier)
    treasury.lock_desk(office.cfo, desk, reason="Alarm", version=version(office, desk))
    treasury.unlock_desk(office.cfo, desk, version=version(office, desk))
    treasury.close_desk(office.cfo, desk, version=version(office, desk))
    db.session.rollback()
    events = db.session.scalars(
        select(AuditEvent.event).where(AuditEvent.event.like("treasury.%")).order_by(AuditEvent.id)
    ).all()
    assert events == [
        "treasury.desk.opened",
        "treasury.assignment.begun",
        "treasury.desk.locked",
        "treasury.desk.unlocked",
        "treasury.desk.closed",
        "treasury.assignment.ended",
    ]
