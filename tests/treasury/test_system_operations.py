"""System operations: asked for by an accountant, booked when a CFO confirms, never by one person (CA9, CA10)."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from payadmin.actions import treasury
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.models.system import StaffNotice
from payadmin.models.treasury import (
    CashDesk,
    CashSource,
    DayStatus,
    DeskStatus,
    SystemKind,
    SystemOperation,
    SystemStatus,
)
from payadmin.permissions import Role
from payadmin.work import Actor
from tests.support.approvals import join
from tests.support.make import Make
from tests.support.races import at_once
from tests.support.treasury import Treasury

INPUT, COLLECTION, INVESTMENT = SystemKind.CASH_INPUT, SystemKind.CASH_COLLECTION, SystemKind.INVESTMENT
S = SystemStatus


@pytest.fixture
def office(app: Flask, make: Make) -> Treasury:
    return Treasury(app, make)


def told(staff_id: int | None) -> list[str]:
    db.session.rollback()
    return list(
        db.session.scalars(select(StaffNotice.title).where(StaffNotice.staff_id == staff_id).order_by(StaffNotice.id))
    )


def booked(office: Treasury, number: int) -> list[str]:
    return office.journals("system_operation", number)


def silently(statement: Any) -> None:
    """Change something behind everybody's back."""
    with db.engine.begin() as connection:
        connection.execute(statement)


# ---- what is booked --------------------------------------------------------------------------------------------------


def test_nothing_moves_before_a_cfo_confirms(office: Treasury) -> None:
    desk = office.desk(code="D1")
    first = office.initiate(INPUT, 500_00)
    assert (office.balance("1120"), booked(office, first)) == (0, [])
    with pytest.raises(Conflict, match=r"0\.00 EUR is in transit, and 200\.00 EUR would leave it"):
        office.initiate(INVESTMENT, 200_00, desk)
    office.confirm(first)
    assert (office.balance("1120"), office.balance("1010"), booked(office, first)) == (
        500_00,
        -500_00,
        ["J13"],
    )
    second = office.moved(INVESTMENT, 200_00, desk)
    assert (office.balance("1120"), office.lies(desk), booked(office, second)) == (
        300_00,
        200_00,
        ["J15"],
    )
    third = office.moved(COLLECTION, 50_00, desk)
    assert (office.balance("1120"), office.lies(desk), booked(office, third)) == (
        350_00,
        150_00,
        ["J14"],
    )
    assert office.unsound() == []


def test_cash_of_the_owner_comes_from_the_owner(office: Treasury) -> None:
    number = treasury.initiate(
        office.accountant, kind=INPUT, unit="JPY", amount_minor=9_000, key="o", source=CashSource.OWNER, note="Founders"
    ).id
    office.confirm(number)
    assert (office.balance("1120", "JPY"), office.balance("3010", "JPY"), office.balance("1010", "JPY")) == (
        9_000, -9_000, 0,
    )  # fmt: skip


def test_the_open_day_of_the_desk_is_kept_and_no_day_is_none(office: Treasury) -> None:
    desk = office.desk(office.cashier)
    office.moved(INPUT, 500_00)
    before = office.moved(INVESTMENT, 100_00, desk)
    day = office.open(desk)
    within = office.moved(INVESTMENT, 100_00, desk)
    assert [office.get(SystemOperation, number).day_id for number in (before, within)] == [None, day]


@pytest.mark.parametrize("status", [DayStatus.CLOSE_REQUESTED, DayStatus.RETURNED])
def test_a_desk_that_is_counted_is_left_alone(office: Treasury, status: DayStatus) -> None:
    desk = office.desk(office.cashier)
    office.moved(INPUT, 500_00)
    number = office.initiate(INVESTMENT, 100_00, desk)
    day = office.open(desk)
    office.count(day)
    if status is DayStatus.RETURNED:
        office.give_back(day)
    with pytest.raises(Conflict, match="is being counted"):
        office.confirm(number)
    assert (office.lies(desk), office.get(SystemOperation, number).status) == (0, S.INITIATED)
    if status is DayStatus.RETURNED:
        office.count(day)
    office.close(day)
    assert office.confirm(number).day_id is None
    assert office.lies(desk) == 100_00


def test_what_moved_since_the_form_of_the_count_was_opened_is_not_counted_unseen(office: Treasury) -> None:
    desk = office.desk(office.cashier)
    office.moved(INPUT, 500_00)
    day = office.open(desk)
    version = office.day(day).version
    office.moved(INVESTMENT, 100_00, desk)
    with pytest.raises(Conflict):
        office.count(day, version=version, counts={"EUR": 100_00})
    office.count(day)
    office.close(day)
    assert office.units(day) == {"EUR": (0, 100_00, 100_00)}
    assert office.unsound() == []


# ---- what is not there any more --------------------------------------------------------------------------------------


def test_what_is_not_there_any_more_is_out_of_date(office: Treasury) -> None:
    first, second = office.desk(code="D1"), office.desk(code="D2")
    office.moved(INPUT, 100_00)
    one, two = office.initiate(INVESTMENT, 80_00, first), office.initiate(INVESTMENT, 80_00, second)
    office.confirm(one)
    row = office.confirm(two)
    assert (row.status, row.reason) == (S.STALE, "20.00 EUR is in transit, and 80.00 EUR would leave it.")
    assert (booked(office, two), office.balance("1120"), office.lies(second)) == ([], 20_00, 0)
    assert any("Out of date" in line for line in told(office.accountant.staff_id))
    version = office.get(SystemOperation, two).version
    with pytest.raises(Conflict):
        treasury.confirm(office.cfo, two, version=version)
    cancelled = treasury.cancel(office.accountant, two, reason="Too late", version=version)
    assert cancelled.status is S.CANCELLED
    assert office.unsound() == []


def test_a_collection_of_more_than_lies_in_the_desk(office: Treasury) -> None:
    desk = office.desk(code="D1")
    office.moved(INPUT, 100_00)
    office.moved(INVESTMENT, 40_00, desk)
    with pytest.raises(Conflict, match=r"Desk D1 holds 40\.00 EUR, and 40\.01 EUR would leave it") as caught:
        office.initiate(COLLECTION, 40_01, desk)
    assert caught.value.field == "amount"


# ---- who may ---------------------------------------------------------------------------------------------------------


def test_nobody_confirms_their_own_with_whichever_account(office: Treasury) -> None:
    both = office.person(Role.ACCOUNTANT, Role.CFO)
    mine = office.initiate(INPUT, 100_00, actor=both)
    with pytest.raises(Forbidden, match="You initiated this yourself"):
        office.confirm(mine, actor=both)
    with pytest.raises(Forbidden):
        treasury.reject(both, mine, reason="No", version=1)
    other = office.person(Role.CFO)
    join(office, both, other)
    with pytest.raises(Forbidden, match="another of yours"):
        office.confirm(mine, actor=other)
    assert office.balance("1120") == 0
    office.confirm(mine)
    assert office.balance("1120") == 100_00


def test_the_database_refuses_one_account_too(office: Treasury) -> None:
    number = office.initiate(INPUT, 100_00)
    with pytest.raises(Exception, match="decided_by_another"):
        silently(
            update(SystemOperation)
            .where(SystemOperation.id == number)
            .values(status=S.CONFIRMED, decided_at=utcnow(), decided_by_id=office.accountant.staff_id)
        )


def test_accountants_initiate_and_cfos_confirm(office: Treasury) -> None:
    with pytest.raises(Forbidden):
        office.initiate(INPUT, 100_00, actor=office.cfo)
    number = office.initiate(INPUT, 100_00)
    for actor in (office.accountant, office.cashier, office.admin):
        with pytest.raises(Forbidden):
            office.confirm(number, actor=actor)
    with pytest.raises(Forbidden):
        treasury.cancel(office.cfo, number, reason="No", version=1)
    assert office.get(SystemOperation, number).status is S.INITIATED


def test_deciders_and_initiator_are_told_by_the_bell(office: Treasury) -> None:
    desk = office.desk(office.cashier, code="D1")
    office.moved(INPUT, 100_00)
    number = office.initiate(INVESTMENT, 10_00, desk)
    assert told(office.cfo.staff_id)[-1] == (
        f"{office.accountant.name} asks you to confirm: Investment no. {number}, desk D1."
    )
    assert told(office.cashier.staff_id) == []
    office.confirm(number)
    assert told(office.accountant.staff_id)[-1].startswith("Confirmed, by")
    assert told(office.cashier.staff_id) == [f"Acknowledge it: Investment no. {number}, desk D1."]


# ---- decisions -------------------------------------------------------------------------------------------------------


def test_reject_and_cancel_need_a_reason_and_book_nothing(office: Treasury) -> None:
    first, second = office.initiate(INPUT, 100_00), office.initiate(INPUT, 100_00)
    for act, actor in ((treasury.reject, office.cfo), (treasury.cancel, office.accountant)):
        with pytest.raises(Invalid) as caught:
            act(actor, first, reason=" ", version=1)
        assert caught.value.field == "reason"
    assert treasury.reject(office.cfo, first, reason="Not now", version=1).status is S.REJECTED
    assert treasury.reject(office.cfo, first, reason="Not now", version=1).reason == "Not now"  # sent twice
    assert treasury.cancel(office.accountant, second, reason="Mistyped", version=1).status is S.CANCELLED
    for number in (first, second):
        with pytest.raises(Conflict, match="already"):
            office.confirm(number)
    assert (office.balance("1120"), office.balance("1010")) == (0, 0)


def test_a_decision_is_about_what_was_looked_at(office: Treasury) -> None:
    number = office.initiate(INPUT, 100_00)
    with pytest.raises(Conflict, match="Look at it again"):
        treasury.confirm(office.cfo, number, version=7)


def test_everything_stands_in_the_trail(office: Treasury) -> None:
    number = office.moved(INPUT, 100_00)
    db.session.rollback()
    lines = db.session.execute(
        select(AuditEvent.event, AuditEvent.actor_name)
        .where(AuditEvent.entity == "system_operation", AuditEvent.entity_id == str(number))
        .order_by(AuditEvent.id)
    ).all()
    assert [tuple(line) for line in lines] == [
        ("treasury.system_operation.initiated", office.accountant.name),
        ("treasury.system_operation.confirmed", office.cfo.name),
    ]


# ---- orders ----------------------------------------------------------------------------------------------------------


def test_the_same_order_that_comes_again_is_one(office: Treasury) -> None:
    number = office.initiate(INPUT, 100_00, key="same")
    assert office.initiate(INPUT, 100_00, key="same") == number
    with pytest.raises(Conflict, match="another operation"):
        office.initiate(INPUT, 100_01, key="same")
    assert office.count_of(SystemOperation) == 1


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        (INPUT, {"amount_minor": 0}, "amount"),
        (INPUT, {"amount_minor": -5}, "amount"),
        (INPUT, {"amount_minor": 2**63}, "amount"),
        (INPUT, {"source": None}, "source"),
        (COLLECTION, {"source": None}, "desk"),
        (INVESTMENT, {"desk_id": 1, "source": CashSource.BANK}, None),
        (INPUT, {"note": "x" * 301}, "note"),
        (INPUT, {"key": ""}, None),
    ],
)
def test_what_makes_no_sense_is_refused(
    office: Treasury, kind: SystemKind, values: dict[str, Any], field: str | None
) -> None:
    office.desk(code="D1")
    usual: dict[str, Any] = {"unit": "EUR", "amount_minor": 1_00, "key": "k", "source": CashSource.BANK}
    with pytest.raises(Invalid) as caught:
        treasury.initiate(office.accountant, kind=kind, **usual | values)
    assert caught.value.field == field
    assert office.count_of(SystemOperation) == 0


def test_locked_and_closed_desks_and_retired_units(office: Treasury) -> None:
    desk = office.desk(code="D1")
    office.moved(INPUT, 100_00)
    office.moved(INVESTMENT, 50_00, desk)
    waits = office.initiate(INVESTMENT, 10_00, desk)
    silently(update(CashDesk).values(status=DeskStatus.LOCKED))
    with pytest.raises(Conflict, match="locked"):
        office.confirm(waits)
    office.moved(COLLECTION, 50_00, desk)
    silently(update(CashDesk).values(status=DeskStatus.CLOSED))
    with pytest.raises(Conflict, match="closed"):
        office.initiate(COLLECTION, 1_00, desk)
    silently(update(Unit).where(Unit.code == "EUR").values(status=UnitStatus.RETIRED))
    with pytest.raises(Conflict, match="no currency that can be used"):
        office.initiate(INPUT, 1_00)


def test_there_is_no_cash_of_what_is_no_currency(office: Treasury) -> None:
    waits = office.initiate(INPUT, 1_00)
    silently(update(Unit).where(Unit.code == "EUR").values(kind=UnitKind.BONUS))
    with pytest.raises(Conflict, match="there is no cash of it"):
        office.initiate(INPUT, 1_00)
    with pytest.raises(Conflict, match="there is no cash of it"):
        office.confirm(waits)


# ---- taken back ------------------------------------------------------------------------------------------------------


def test_a_confirmed_operation_is_taken_back_once_by_two_people(office: Treasury) -> None:
    desk = office.desk(code="D1")
    office.moved(INPUT, 100_00)
    number = office.moved(INVESTMENT, 60_00, desk)
    back = treasury.reverse(office.accountant, number, reason="The wrong desk", key="b").id
    assert treasury.reverse(office.accountant, number, reason="The wrong desk", key="b").id == back
    with pytest.raises(Conflict, match="already"):
        treasury.reverse(office.accountant, number, reason="Again", key="c")
    assert (office.lies(desk), office.get(SystemOperation, number).status) == (60_00, S.CONFIRMED)
    office.confirm(back)
    assert (office.lies(desk), office.balance("1120")) == (0, 100_00)
    assert [office.get(SystemOperation, each).status for each in (number, back)] == [S.REVERSED, S.CONFIRMED]
    for again in (number, back):
        with pytest.raises(Conflict):
            treasury.reverse(office.accountant, again, reason="Again", key=f"d{again}")
    assert office.unsound() == []


def test_a_reversal_that_was_rejected_can_be_asked_for_again(office: Treasury) -> None:
    number = office.moved(INPUT, 100_00)
    first = treasury.reverse(office.accountant, number, reason="Mistake", key="b").id
    treasury.reject(office.cfo, first, reason="Not sure", version=1)
    office.confirm(treasury.reverse(office.accountant, number, reason="Sure", key="c").id)
    assert (office.balance("1120"), office.balance("1010")) == (0, 0)


def test_a_reversal_whose_money_is_gone_is_out_of_date(office: Treasury) -> None:
    desk = office.desk(code="D1")
    number = office.moved(INPUT, 100_00)
    back = treasury.reverse(office.accountant, number, reason="Mistake", key="b").id
    office.moved(INVESTMENT, 1_00, desk)
    assert office.confirm(back).status is S.STALE
    assert (office.balance("1120"), office.get(SystemOperation, number).status) == (99_00, S.CONFIRMED)
    with pytest.raises(Conflict, match="is in transit"):
        treasury.reverse(office.accountant, number, reason="Mistake", key="c")


# ---- cashiers --------------------------------------------------------------------------------------------------------


def test_the_cashier_of_the_desk_acknowledges_once(office: Treasury) -> None:
    desk = office.desk(office.cashier, code="D1")
    second, elsewhere = office.person(Role.CASHIER), office.person(Role.CASHIER)
    office.assign(desk, second)
    office.desk(elsewhere)
    office.moved(INPUT, 100_00)
    number = office.initiate(INVESTMENT, 10_00, desk)
    with pytest.raises(Conflict, match="nothing has moved yet"):
        treasury.acknowledge(office.cashier, number)
    office.confirm(number)
    for stranger in (elsewhere, office.person(Role.CASHIER)):
        with pytest.raises(Forbidden):
            treasury.acknowledge(stranger, number)
    row = treasury.acknowledge(office.cashier, number)
    assert row.acknowledged_by_id == office.cashier.staff_id
    assert treasury.acknowledge(office.cashier, number).acknowledged_at == row.acknowledged_at
    with pytest.raises(Conflict, match="Another cashier"):
        treasury.acknowledge(second, number)


# ---- at once ---------------------------------------------------------------------------------------------------------


def outcomes(app: Flask, *acts: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    answers = at_once(app, acts)
    failed = [each for each in answers if isinstance(each, Exception)]
    assert all(isinstance(each, Refusal) for each in failed), failed
    return [each for each in answers if not isinstance(each, Exception)], failed


def test_confirm_and_reject_at_once_is_one_of_them(app: Flask, office: Treasury) -> None:
    other = office.person(Role.CFO)
    reached = 0
    for _turn in range(8):
        number = office.initiate(INPUT, 1_00)

        def confirm(number: int = number) -> SystemStatus:
            return treasury.confirm(office.cfo, number, version=1).status

        def reject(number: int = number) -> SystemStatus:
            return treasury.reject(other, number, reason="No", version=1).status

        def cancel(number: int = number) -> SystemStatus:
            return treasury.cancel(office.accountant, number, reason="No", version=1).status

        done, failed = outcomes(app, confirm, reject, cancel)
        assert (len(done), len(failed)) == (1, 2)
        assert office.get(SystemOperation, number).status is done[0]
        reached += 1_00 if done == [S.CONFIRMED] else 0
    assert office.balance("1120") == reached
    assert office.unsound() == []


def test_two_confirms_at_once_book_once(app: Flask, office: Treasury) -> None:
    other = office.person(Role.CFO)
    number = office.initiate(INPUT, 1_00)
    done, failed = outcomes(
        app,
        *(lambda actor=actor: treasury.confirm(actor, number, version=1).id for actor in (office.cfo, other, other)),
    )
    assert len(done) + len(failed) == 3
    assert done
    assert (office.balance("1120"), booked(office, number)) == (1_00, ["J13"])


def test_investments_at_once_take_what_is_there_and_no_more(app: Flask, office: Treasury) -> None:
    office.moved(INPUT, 100_00)
    desks = [office.desk(code=f"D{number}") for number in range(4)]
    numbers = [office.initiate(INVESTMENT, 40_00, desk) for desk in desks]

    def act(number: int) -> Callable[[], SystemStatus]:
        return lambda: treasury.confirm(office.cfo, number, version=1).status

    done, failed = outcomes(app, *(act(number) for number in numbers))
    assert (sorted(done), failed) == (sorted([S.CONFIRMED] * 2 + [S.STALE] * 2), [])
    assert office.balance("1120") == 20_00
    assert office.unsound() == []


def test_one_reversal_of_many_asked_for_at_once(app: Flask, office: Treasury) -> None:
    number = office.moved(INPUT, 100_00)

    def act(key: str) -> Callable[[], int]:
        return lambda: treasury.reverse(office.accountant, number, reason="Mistake", key=key).id

    done, failed = outcomes(app, *(act(f"k{turn}") for turn in range(4)))
    assert (len(done), len(failed)) == (1, 3)


def test_one_order_sent_many_times_at_once(app: Flask, office: Treasury) -> None:
    def act() -> int:
        return treasury.initiate(
            office.accountant, kind=INPUT, unit="EUR", amount_minor=1_00, key="one", source=CashSource.BANK
        ).id

    done, failed = outcomes(app, *[act] * 5)
    assert (len(done), len(set(done)), failed) == (5, 1, [])


def test_confirming_while_the_desk_is_counted_is_before_or_after_the_count(app: Flask, office: Treasury) -> None:
    """Whoever is first wins: it moves and the count is asked for again, or it waits until the day is closed."""
    office.moved(INPUT, 100_00)
    for _turn in range(6):
        cashier = office.person(Role.CASHIER)
        desk = office.desk(cashier)
        day = office.open(desk, cashier)
        number = office.initiate(INVESTMENT, 10_00, desk)
        version = office.day(day).version
        db.session.rollback()

        def confirm(number: int = number) -> SystemStatus:
            return treasury.confirm(office.cfo, number, version=1).status

        def count(day: int = day, version: int = version, cashier: Actor = cashier) -> DayStatus:
            return treasury.request_close(cashier, day, counts={}, version=version).status

        done, failed = outcomes(app, confirm, count)
        assert (len(done), len(failed)) == (1, 1), (done, failed)
        assert office.lies(desk) == (10_00 if done == [S.CONFIRMED] else 0)
        if done == [S.CONFIRMED]:
            office.count(day, cashier)
        office.close(day)
        assert office.unsound() == []
