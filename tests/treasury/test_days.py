"""The day of a desk: opened once, counted blind, closed or returned by somebody else, and never worked in again."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from payadmin.actions import treasury
from payadmin.actions.treasury import days
from payadmin.config import Settings
from payadmin.db import db
from payadmin.jobs.treasury import alert_days_left_open
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.models.audit import AuditEvent
from payadmin.models.system import StaffNotice
from payadmin.models.treasury import CashDayUnit, CashDesk, CashDeskDay, CashOperation, DayStatus
from payadmin.permissions import Role
from payadmin.queries.treasury import left_open
from payadmin.work import SYSTEM
from tests.support.approvals import join
from tests.support.books import by_the_owner
from tests.support.cash_office import CashOffice


def refused(act: Callable[[], Any], kind: type[Refusal], words: str, field: str | None = None) -> Refusal:
    """What an act is refused with."""
    with pytest.raises(kind, match=words) as caught:
        act()
    db.session.rollback()
    assert caught.value.field == field
    return caught.value


def notices(staff_id: int | None) -> list[str]:
    """What somebody was told by the bell about cash days."""
    db.session.rollback()
    told = select(StaffNotice.title).where(StaffNotice.staff_id == staff_id, StaffNotice.key.like("cash_day:%"))
    return list(db.session.scalars(told.order_by(StaffNotice.id)))


def test_a_day_begins_with_what_the_books_say_and_ends_with_what_was_counted(office: CashOffice) -> None:
    desk = office.desk(office.cashier, money={"EUR": 100_00, "JPY": 700})
    wallet, dollars = office.wallet(funds=50_00), office.wallet("USD")
    day = office.open(desk)
    assert (office.day(day).business_date, office.day(day).status) == (office.today(), DayStatus.OPEN)
    assert office.units(day) == {"EUR": (100_00, None, None), "JPY": (700, None, None)}
    office.top_up(wallet, 20_00)
    office.withdraw(wallet, 5_00)
    office.top_up(dollars, 9_00)
    office.collect(desk, "EUR", 50_00)
    office.count(day, counts={"EUR": 64_00, "JPY": 700, "USD": 9_50}, note="A coin rolled away")
    assert office.units(day) == {"EUR": (100_00, 65_00, 64_00), "JPY": (700, 700, 700), "USD": (0, 9_00, 9_50)}
    assert office.in_desk(desk) == {"EUR": 65_00, "JPY": 700, "USD": 9_00}  # nothing is booked before it is accepted
    office.close(day, reason="Seen")
    found = office.day(day)
    assert (found.status, found.is_forced, found.decision) == (DayStatus.CLOSED, False, "Seen")
    assert found.decided_by_id == office.accountant.staff_id
    assert sorted(office.journals("cash_desk_day", day)) == ["J16", "J17"]
    assert office.in_desk(desk) == {"EUR": 64_00, "JPY": 700, "USD": 9_50}
    after = office.open(desk)
    assert office.units(after) == {"EUR": (64_00, None, None), "JPY": (700, None, None), "USD": (9_50, None, None)}
    assert office.unsound() == []


def test_a_desk_has_one_day_that_is_not_closed(office: CashOffice) -> None:
    other = office.person(Role.CASHIER)
    desk = office.desk(office.cashier, other)
    day = office.open(desk)
    assert "opened it" in refused(lambda: office.open(desk, other), Conflict, office.cashier.name).sentence
    office.count(day, other)
    refused(lambda: office.open(desk, other), Conflict, "accountant has to close it first")
    office.give_back(day)
    refused(lambda: office.open(desk), Conflict, "accountant has to close it first")
    office.count(day)
    office.close(day)
    assert office.open(desk, other) != day


def test_a_count_is_blind_and_a_difference_needs_a_note(office: CashOffice) -> None:
    desk = office.desk(office.cashier, money={"EUR": 123_45})
    day = office.open(desk)
    found = refused(lambda: office.count(day, counts={"EUR": 1}), Invalid, "differs from the books in EUR", "note")
    assert "123" not in found.sentence
    assert office.units(day) == {"EUR": (123_45, None, None)}
    assert office.day(day).status is DayStatus.OPEN
    office.count(day, counts={"EUR": 0}, note="Stolen")
    assert (office.day(day).note, office.day(day).rounds) == ("Stolen", 1)
    trail = select(AuditEvent).where(AuditEvent.event == "treasury.day.counted")
    counted = db.session.scalars(trail).one()
    assert "12345" not in str(counted.after)
    office.close(day)
    assert office.in_desk(desk) == {}
    assert office.unsound() == []


def test_counts_that_are_tried_do_not_tell_what_the_books_say(office: CashOffice) -> None:
    desk = office.desk(office.cashier, money={"EUR": 123_45})
    day = office.open(desk)
    refused(lambda: office.count(day, counts={"EUR": 1_00}), Invalid, "differs", "note")
    # From here on a wrong count and the right one are answered alike, and neither says which it was.
    for minor in (2_00, 123_45, 123_46):
        refused(lambda minor=minor: office.count(day, counts={"EUR": minor}), Invalid, "counted before", "note")
    assert office.units(day) == {"EUR": (123_45, None, None)}
    tries = select(AuditEvent).where(AuditEvent.event == "treasury.day.miscounted")
    found = db.session.scalars(tries).one()
    told = {"rounds": 0, "counts": {"EUR": 1_00}}
    assert (found.outcome, found.after, found.entity_id) == ("refused", told, str(day))
    office.count(day, note="I had forgotten the drawer")
    # The accountant returned it, and knows: one more try is free.
    office.give_back(day)
    refused(lambda: office.count(day, counts={"EUR": 1_00}), Invalid, "differs", "note")
    refused(lambda: office.count(day), Invalid, "counted before", "note")
    office.count(day, note="The same")
    office.close(day)
    assert office.unsound() == []


@pytest.mark.parametrize(
    ("counts", "field", "words"),
    [
        ({}, "count_EUR", "Count EUR too"),
        ({"EUR": 5_00}, "count_JPY", "Count JPY too"),
        ({"EUR": 5_00, "JPY": 70, "USD": 0}, "count_USD", "had no USD"),
        ({"EUR": 5_00, "JPY": 70, "XXX": 1}, "count_XXX", "had no XXX"),
        ({"EUR": -1, "JPY": 70}, "count_EUR", "not negative"),
        ({"EUR": 5_00, "JPY": 10**15 + 1}, "count_JPY", "no amount"),
        ({"EUR": 5_00, "JPY": 1.5}, "count_JPY", "no amount"),
        ({"EUR": True, "JPY": 70}, "count_EUR", "no amount"),
    ],
)
def test_a_count_that_makes_no_sense_is_refused_at_its_unit(
    office: CashOffice, counts: dict[str, Any], field: str, words: str
) -> None:
    desk = office.desk(office.cashier, money={"EUR": 5_00, "JPY": 70})
    day = office.open(desk)
    refused(lambda: office.count(day, counts=counts, note="x"), Invalid, words, field)
    assert office.day(day).status is DayStatus.OPEN
    assert {each[1] for each in office.units(day).values()} == {None}


def test_every_unit_that_is_wrong_is_named_at_once(office: CashOffice) -> None:
    day = office.open(office.desk(office.cashier, money={"EUR": 5_00, "JPY": 70}))
    found = refused(lambda: office.count(day, counts={"EUR": -1, "USD": 1}), Invalid, "Count JPY", "count_JPY")
    assert found.data["fields"].keys() == {"count_EUR", "count_JPY", "count_USD"}


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ({"500": 1, "20": 2}, None),
        ({"500": 1, "20": 2, "10": 0}, None),
        ({"500": 1}, "do not come to"),
        ({"0": 5, "500": 1, "20": 2}, "no such note"),
        ({"-500": 1}, "no such note"),
        ({"5": -1, "500": 1}, "how many pieces"),
        ({"5": 1.5}, "how many pieces"),
        ({"5": 10**9}, "how many pieces"),
        ({}, "do not come to"),
    ],
)
def test_notes_and_coins_come_to_what_was_counted(
    office: CashOffice, pieces: dict[str, Any], words: str | None
) -> None:
    day = office.open(office.desk(office.cashier, money={"EUR": 5_40}))
    if words is not None:
        refused(lambda: office.count(day, denominations={"EUR": pieces}), Invalid, words, "count_EUR")
        return
    office.count(day, denominations={"EUR": pieces})
    row = db.session.scalars(select(CashDayUnit).where(CashDayUnit.day_id == day)).one()
    assert row.denominations == {"500": 1, "20": 2}


def test_pieces_of_a_unit_that_is_not_counted_are_refused(office: CashOffice) -> None:
    day = office.open(office.desk(office.cashier, money={"EUR": 5_00}))
    refused(lambda: office.count(day, denominations={"USD": {"100": 1}}), Invalid, "do not come", "count_USD")


def test_what_happens_while_somebody_counts_makes_the_count_out_of_date(office: CashOffice) -> None:
    other = office.person(Role.CASHIER)
    desk, wallet = office.desk(office.cashier, other), office.wallet()
    day = office.open(desk)
    seen = office.day(day).version
    office.top_up(wallet, 5_00, other)
    refused(lambda: office.count(day, version=seen, counts={}), Conflict, "changed this cash day meanwhile")
    assert office.day(day).status is DayStatus.OPEN
    office.count(day)
    assert office.units(day) == {"EUR": (0, 5_00, 5_00)}


def test_a_returned_day_is_counted_again_and_nothing_else(office: CashOffice) -> None:
    desk, wallet = office.desk(office.cashier, money={"EUR": 5_00}), office.wallet(funds=10_00)
    day = office.open(desk)
    office.count(day, counts={"EUR": 4_00}, note="Hm")
    refused(lambda: office.give_back(day, reason=" "), Invalid, "Say why", "reason")
    office.give_back(day, "Look under the drawer")
    assert office.day(day).status is DayStatus.RETURNED
    assert "Look under the drawer" in notices(office.cashier.staff_id)[-1]
    refused(lambda: office.top_up(wallet, 1_00), Conflict, "being closed")
    refused(lambda: office.close(day), Conflict, "not counted")
    refused(lambda: office.give_back(day), Conflict, "not counted")
    office.count(day)
    refused(lambda: office.count(day), Conflict, "counted already")
    office.close(day)
    assert (office.units(day), office.day(day).rounds) == ({"EUR": (5_00, 5_00, 5_00)}, 2)
    assert office.journals("cash_desk_day", day) == []
    for act in (office.close, office.give_back):
        refused(lambda act=act: act(day), Conflict, "closed already")  # type: ignore[misc]
    refused(lambda: office.count(day), Conflict, "counted already")


def test_nobody_decides_about_a_day_that_they_worked_in(office: CashOffice) -> None:
    both = office.person(Role.CASHIER, Role.ACCOUNTANT)
    other = office.person(Role.CASHIER)
    second = office.person(Role.ACCOUNTANT)
    join(office, both, second)
    desk, wallet = office.desk(both, other), office.wallet()
    for works in (
        lambda: office.open(desk, both),
        lambda: (day := office.open(desk, other), office.top_up(wallet, 1_00, both))[0] and day,
    ):
        day = works()
        refused(
            lambda day=day: treasury.force_close(  # type: ignore[misc]
                second, day, counts=office.expected(day), reason="x", version=office.day(day).version
            ),
            Forbidden,
            "worked in this day",
        )
        office.count(day, other)
        for actor in (both, second):
            refused(lambda day=day, actor=actor: office.close(day, actor), Forbidden, "worked in this day")  # type: ignore[misc]
        office.close(day)
    day = office.open(desk, other)
    office.count(day, both)
    refused(lambda: office.close(day, second), Forbidden, "worked in this day")
    # Nor when the count was returned since, and somebody else counted again or nobody did.
    office.give_back(day)
    forced = {"counts": {}, "reason": "x"}
    refused(
        lambda: treasury.force_close(second, day, version=office.day(day).version, **forced),  # type: ignore[arg-type]
        Forbidden,
        "worked in this day",
    )
    office.count(day, other)
    refused(lambda: office.close(day, second), Forbidden, "worked in this day")
    refused(lambda: office.close(day, other), Forbidden, "does not allow")
    office.close(day)
    assert office.unsound() == []


def test_who_opened_counts_even_after_leaving_and_strangers_never(office: CashOffice) -> None:
    stranger = office.person(Role.CASHIER)
    desk = office.desk()
    number = office.assign(desk, office.cashier)
    day = office.open(desk)
    treasury.end_assignment(office.accountant, number)
    treasury.lock_desk(office.cfo, desk, reason="Alarm", version=office.get(CashDesk, desk).version)
    refused(lambda: office.count(day, stranger), Conflict, "not assigned")
    refused(lambda: office.count(day, office.accountant), Forbidden, "does not allow")
    office.count(day)
    office.close(day)
    assert office.day(day).status is DayStatus.CLOSED


def test_an_accountant_closes_what_nobody_counted_with_a_count_and_a_reason(office: CashOffice) -> None:
    desk = office.desk(office.cashier, money={"EUR": 9_00})
    day = office.open(desk)

    def force(**more: Any) -> None:
        given = {"counts": {"EUR": 8_00}, "reason": "Left over night", "version": office.day(day).version}
        treasury.force_close(office.accountant, day, **given | more)

    refused(lambda: force(reason=""), Invalid, "Say why", "reason")
    refused(lambda: force(counts={}), Invalid, "Count EUR", "count_EUR")
    refused(lambda: force(version=99), Conflict, "meanwhile")
    force()
    found = office.day(day)
    assert (found.status, found.is_forced, found.decision) == (DayStatus.CLOSED, True, "Left over night")
    assert found.close_requested_by_id == found.decided_by_id == office.accountant.staff_id
    assert (office.units(day), office.in_desk(desk)) == ({"EUR": (9_00, 9_00, 8_00)}, {"EUR": 8_00})
    refused(force, Conflict, "closed already")
    after = office.open(desk)
    office.count(after)
    day = after
    refused(force, Conflict, "was counted")
    office.give_back(after)
    force()
    assert office.unsound() == []


def test_a_day_that_is_not_there_is_not_found(office: CashOffice) -> None:
    for act in (
        lambda: treasury.open_day(office.cashier, 999),
        lambda: treasury.request_close(office.cashier, 999, counts={}, version=1),
        lambda: treasury.close_day(office.accountant, 999, version=1),
        lambda: treasury.return_day(office.accountant, 999, reason="x", version=1),
        lambda: treasury.force_close(office.accountant, 999, counts={}, reason="x", version=1),
    ):
        refused(act, NotFound, "no such record")


def test_a_day_over_midnight_or_a_clock_change_stays_that_one_day(
    office: CashOffice, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """London's clocks go back at 01:00 UTC on 25 October 2026: the day that was opened before goes on."""
    wallet = office.wallet()
    desk = office.desk(office.cashier)

    def at(moment: dt.datetime) -> None:
        monkeypatch.setattr("payadmin.work.utcnow", lambda: moment)

    at(dt.datetime(2026, 10, 24, 22, 59, tzinfo=dt.UTC))  # one minute before midnight in London
    day = office.open(desk)
    office.top_up(wallet, 1_00)
    at(dt.datetime(2026, 10, 24, 23, 1, tzinfo=dt.UTC))
    office.top_up(wallet, 2_00)
    at(dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC))  # half past one, for the second time
    third = office.top_up(wallet, 3_00).id
    found = office.day(day)
    assert (found.business_date, found.last_receipt) == (dt.date(2026, 10, 24), 3)
    assert office.get(CashOperation, third).on_day == dt.date(2026, 10, 25)  # limits count the customer's date
    office.count(day)
    office.close(day)
    assert office.unsound() == []


def test_accountants_are_told_once_a_day_about_a_day_that_was_left_open(
    office: CashOffice, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = office.person(Role.ACCOUNTANT)
    desk, other = office.desk(office.cashier), office.desk(office.person(Role.CASHIER))
    day = office.open(desk)
    date = office.day(day).business_date

    def on(days_later: int) -> int:
        moment = dt.datetime.combine(date + dt.timedelta(days=days_later), dt.time(12), dt.UTC)
        monkeypatch.setattr("payadmin.work.utcnow", lambda: moment)
        monkeypatch.setattr("payadmin.jobs.treasury.utcnow", lambda: moment)
        return alert_days_left_open(settings)

    assert on(0) == 0
    assert [on(1), on(1), on(2), on(2)] == [1, 0, 1, 0]
    assert treasury.alert_left_open(SYSTEM, day) is False
    for actor in (office.accountant, second):
        assert len(notices(actor.staff_id)) == 2
        assert "is not closed: open" in notices(actor.staff_id)[0]
    assert notices(office.cashier.staff_id) == notices(office.cfo.staff_id) == []
    office.count(day)
    office.close(day)
    assert on(3) == 0
    assert left_open(db.session(), date + dt.timedelta(days=9), 10) == []
    db.session.rollback()
    assert db.session.get_one(CashDesk, other).id == other


def test_a_day_that_was_opened_before_is_closed_only_if_nothing_moved_since_its_count(office: CashOffice) -> None:
    """Whatever moved money in a counted desk behind everybody's back: the day is not closed over it."""
    desk = office.desk(office.cashier, money={"EUR": 9_00})
    day = office.open(desk)
    office.count(day)
    db.session.rollback()
    db.session.execute(text("UPDATE cash_day_unit SET expected_minor = 800"))
    db.session.commit()
    refused(lambda: office.close(day), Conflict, "moved in this desk since")
    assert office.day(day).status is DayStatus.CLOSE_REQUESTED


def test_the_accountant_hears_that_a_day_waits_and_the_cashier_that_it_is_closed(office: CashOffice) -> None:
    day = office.open(office.desk(office.cashier))
    office.count(day, counts={})
    assert "waits to be closed" in notices(office.accountant.staff_id)[0]
    office.close(day)
    assert "is closed" in notices(office.cashier.staff_id)[0]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE cash_day_unit SET expected_minor = expected_minor + 1", "opening and operations come to 600"),
        ("UPDATE cash_day_unit SET opening_minor = opening_minor + 1", "opening and operations come to 601"),
        ("UPDATE cash_day_unit SET counted_minor = counted_minor + 5", "and -100 are booked"),
        ("UPDATE cash_operation SET cash_minor = 101, amount_minor = 101, wallet_minor = 101", "Receipt 1 of cash day"),
        ("DELETE FROM cash_day_unit", "closed without a count of EUR"),
    ],
)
def test_the_health_check_names_a_closed_day_that_disagrees(office: CashOffice, statement: str, words: str) -> None:
    desk, wallet = office.desk(office.cashier, money={"EUR": 5_00}), office.wallet()
    day = office.open(desk)
    office.top_up(wallet, 1_00)
    office.count(day, counts={"EUR": 5_00}, note="One is missing")
    office.close(day)
    assert office.unsound() == []
    db.session.rollback()
    db.session.execute(text(statement))
    db.session.commit()
    found = office.unsound()
    assert any(words in sentence and f"day {day}" in sentence for sentence in found), found


def test_the_health_check_names_a_desk_that_holds_what_nobody_brought(office: CashOffice) -> None:
    desk = office.desk(office.cashier, code="CENTRE-1", money={"EUR": 5_00})
    assert office.unsound() == []
    by_the_owner("UPDATE ledger_transaction SET business = 'other' WHERE business = 'system_operation'")
    assert "1110:desk:CENTRE-1:EUR: its operations come to 0, it holds 500." in office.unsound()
    assert office.in_desk(desk) == {"EUR": 5_00}


def test_the_database_allows_one_unclosed_day_and_only_decisions_by_others(office: CashOffice) -> None:
    desk = office.desk(office.cashier)
    day = office.open(desk)
    columns = "desk_id, business_date, opened_at, opened_by_id, last_receipt, rounds, is_forced, created_at, updated_at"
    again = f"INSERT INTO cash_desk_day ({columns}, status, version) SELECT {columns}, status, 1 FROM cash_desk_day"
    own = "close_requested_at = opened_at, decided_at = opened_at, decided_by_id = opened_by_id"
    for statement in (
        again,
        f"UPDATE cash_desk_day SET {own}",
        "UPDATE cash_desk_day SET status = 'CLOSED'",
    ):
        with pytest.raises(IntegrityError):
            db.session.execute(text(statement))
        db.session.rollback()
    assert office.day(day).status is DayStatus.OPEN
    assert CashDeskDay.__tablename__ == days.BUSINESS
