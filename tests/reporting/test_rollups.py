"""Rollups say what the payments say: after every kind of change, in every zone, whoever folds and rebuilds."""

import datetime as dt
import threading
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import delete, func, insert, select, text, update

from payadmin.actions import reporting as upkeep
from payadmin.db import db
from payadmin.jobs.reporting import compare, keep_rollups, rebuild
from payadmin.models.payments import Channel, Mode, Payment, PaymentStatus, PaymentType
from payadmin.models.reporting import PaymentChange, PaymentDay, Slice
from payadmin.queries import reporting
from payadmin.queries.reporting import Cut, Scope, Span, Sums
from payadmin.work import SYSTEM
from tests.support.make import Make

LONDON = ZoneInfo("Europe/London")
ZONES = [LONDON, ZoneInfo("Pacific/Apia"), ZoneInfo("America/Havana"), ZoneInfo("Asia/Kathmandu")]
# Clocks go forward on 29 March 2026 in London: half past midnight is still the 29th there.
SPRING = dt.date(2026, 3, 29)
S = PaymentStatus


def nothing(_done: int, _total: int) -> None:
    pass


WEEK = Span(SPRING - dt.timedelta(3), SPRING + dt.timedelta(3))
ALL = Cut()


def scope(**values: Any) -> Scope:
    return Scope(**{"mode": Mode.LIVE, "unit": "EUR", "span": WEEK, "zone": LONDON} | values)


def sums(asked: Scope, cut: Cut = ALL) -> Sums:
    db.session.rollback()
    return reporting.read(db.session(), asked, [cut]).total(cut)


def wrong(zone: ZoneInfo = LONDON) -> list[str]:
    db.session.rollback()
    return [str(each) for each in compare(zone, step=nothing)[1]]


def change(payment_id: int, **values: Any) -> None:
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(update(Payment.__table__).where(Payment.__table__.c.id == payment_id).values(**values))


def at(hour: int, minute: int = 0, day: dt.date = SPRING) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.UTC)


def some_payments(make: Make) -> None:
    for place in range(40):
        make.payment(
            created_at=at(0) + dt.timedelta(minutes=77 * (place - 20)),
            unit=("EUR", "JPY")[place % 2],
            status=list(S)[place % len(S)],
            method=("card", "wallet")[place % 2],
            channel=list(Channel)[place % len(Channel)],
            type=list(PaymentType)[place % 3],
            mode=Mode.LIVE if place % 7 else Mode.TEST,
            card_issuer=(None, "Bank A", "Bank B")[place % 3],
            failure_message="No funds" if place % 5 == 0 else None,
            amount_minor=1_00 + place,
        )


def journal() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(PaymentChange)) or 0


def test_without_any_upkeep_figures_come_from_the_payments(app: Flask, make: Make) -> None:
    make.payment(created_at=at(12), amount_minor=5_00)
    answer = reporting.read(db.session(), scope(), [Cut()])
    assert not answer.from_rollups
    assert answer.total(Cut()) == Sums(1, 5_00, 5_00, 0)


def test_what_is_not_folded_yet_counts_already(app: Flask, make: Make) -> None:
    keep_rollups(LONDON)
    make.payment(created_at=at(12), amount_minor=5_00)
    answer = reporting.read(db.session(), scope(), [Cut()])
    assert answer.from_rollups
    assert answer.total(Cut()) == Sums(1, 5_00, 5_00, 0)
    assert wrong() == []
    assert keep_rollups(LONDON) == 1
    assert journal() == 0
    assert sums(scope()) == Sums(1, 5_00, 5_00, 0)
    assert wrong() == []


@pytest.mark.parametrize("fold", [False, True])
def test_a_change_of_status_a_refund_and_a_deletion_move_the_figures(app: Flask, make: Make, fold: bool) -> None:
    keep_rollups(LONDON)
    payment = make.payment(created_at=at(12), amount_minor=5_00, status=S.CREATED)
    row_id = payment.id

    def look() -> None:
        if fold:
            keep_rollups(LONDON)
        assert wrong() == []

    look()
    assert sums(scope(), Cut(statuses=(S.PAID,))) == Sums()
    change(row_id, status=S.PAID, captured_minor=5_00)
    look()
    assert sums(scope(), Cut(statuses=(S.PAID,))) == Sums(1, 5_00, 5_00, 0)
    assert sums(scope(), Cut(statuses=(S.CREATED,))) == Sums()
    change(row_id, status=S.PARTIALLY_REFUNDED, refunded_minor=2_00)
    change(row_id, refunded_minor=3_00)
    look()
    assert sums(scope()) == Sums(1, 5_00, 5_00, 3_00)
    assert sums(scope()).net_minor == 2_00
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(delete(Payment.__table__).where(Payment.__table__.c.id == row_id))
    look()
    assert sums(scope()) == Sums()


def test_a_change_that_no_figure_shows_writes_nothing(app: Flask, make: Make) -> None:
    row_id = make.payment().id
    before = journal()
    change(row_id, description="other", settled_at=at(1))
    assert journal() == before


def test_many_rows_of_one_statement_are_all_noted(app: Flask, make: Make) -> None:
    keep_rollups(LONDON)
    first = make.payment(created_at=at(12))
    names = [column.name for column in Payment.__table__.columns if column.name != "id"]
    values = dict(db.session.execute(select(*(Payment.__table__.c[name] for name in names))).mappings().one())
    db.session.rollback()
    rows = [values | {"transaction_id": f"M-{n}", "created_at": at(n % 24)} for n in range(500)]
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(insert(Payment.__table__), rows)
        connection.execute(
            update(Payment.__table__).where(Payment.__table__.c.id > first.id).values(channel=Channel.API)
        )
    assert wrong() == []
    assert sums(scope()).count == 501
    assert upkeep.fold_changes(SYSTEM, zone=LONDON, limit=700) == 700
    assert wrong() == []
    keep_rollups(LONDON)
    assert wrong() == []
    assert sums(scope(), Cut(Slice.CHANNEL, by_key=True)).count == 501


@pytest.mark.parametrize("zone", ZONES, ids=lambda zone: zone.key)
@pytest.mark.parametrize("rebuilt", [False, True])
def test_days_are_those_of_the_business_zone(app: Flask, make: Make, zone: ZoneInfo, rebuilt: bool) -> None:
    if not rebuilt:
        keep_rollups(zone)
    some_payments(make)
    keep_rollups(zone)
    assert wrong(zone) == []
    cut = Cut(by_day=True)
    asked = scope(zone=zone)
    lines = reporting.read(db.session(), asked, [cut]).lines[cut]
    expected: dict[dt.date, int] = {}
    for row in db.session.scalars(select(Payment).where(Payment.mode == Mode.LIVE, Payment.unit == "EUR")):
        day = row.created_at.astimezone(zone).date()
        expected[day] = expected.get(day, 0) + 1
    assert {line.day: line.sums.count for line in lines} == expected


def test_another_zone_is_built_anew_and_meanwhile_the_payments_are_counted(app: Flask, make: Make) -> None:
    some_payments(make)
    keep_rollups(LONDON)
    apia = ZONES[1]
    before = sums(scope(zone=apia))
    upkeep.begin_rebuild(SYSTEM, zone=apia)
    assert not reporting.read(db.session(), scope(zone=apia), [Cut()]).from_rollups
    assert upkeep.fold_changes(SYSTEM, zone=apia) == 0
    keep_rollups(apia)
    assert reporting.read(db.session(), scope(zone=apia), [Cut()]).from_rollups
    assert sums(scope(zone=apia)) == before
    assert wrong(apia) == []


def test_a_rebuild_goes_on_where_it_stopped_while_payments_change(app: Flask, make: Make) -> None:
    some_payments(make)
    old = make.payment(created_at=at(9, day=dt.date(2019, 1, 1)))
    keep_rollups(LONDON)
    make.payment(created_at=at(9, day=dt.date(2020, 2, 29)))
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(text("UPDATE payment_day SET count = count + 1"))
        connection.execute(
            text(
                "INSERT INTO payment_day SELECT mode, slice, unit, '2019-06-01', status, key, count, "
                "amount_minor, captured_minor, refunded_minor FROM payment_day WHERE day = '2019-01-01'"
            )
        )
    assert len(wrong()) > 20
    upkeep.begin_rebuild(SYSTEM, zone=LONDON)
    left = upkeep.rebuild_days(SYSTEM, zone=LONDON)
    assert left is not None
    assert left.first == dt.date(2020, 2, 29)
    change(old.id, refunded_minor=1)
    keep_rollups(LONDON)
    rebuild(LONDON, afresh=False, step=nothing)
    keep_rollups(LONDON)
    assert wrong() == []
    assert db.session.scalar(select(func.count()).where(PaymentDay.day == dt.date(2019, 6, 1))) == 0


@pytest.mark.parametrize("zone", ZONES[:2], ids=lambda zone: zone.key)
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_day_whose_last_payment_is_gone_is_rebuilt_with_what_waits_to_be_folded(
    app: Flask, make: Make, zone: ZoneInfo, gone: int
) -> None:
    rows = [
        make.payment(created_at=at(12, day=SPRING + dt.timedelta(60 * place)), billing_number=f"N-{place}").id
        for place in range(3)
    ]
    keep_rollups(LONDON)
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(delete(Payment.__table__).where(Payment.__table__.c.id == rows[gone]))
    upkeep.begin_rebuild(SYSTEM, zone=zone)
    while upkeep.rebuild_days(SYSTEM, zone=zone) is not None:
        pass
    assert journal() == 1
    year = Span(SPRING - dt.timedelta(10), SPRING + dt.timedelta(200))
    assert sums(scope(zone=zone, span=year)).count == 2
    assert wrong(zone) == []
    keep_rollups(zone)
    assert sums(scope(zone=zone, span=year)).count == 2
    assert wrong(zone) == []


def test_folders_and_writers_at_the_same_time_lose_nothing(app: Flask, make: Make) -> None:
    keep_rollups(LONDON)
    rows = [make.payment(created_at=at(12), status=S.CREATED).id for _ in range(6)]
    stop = threading.Event()
    failed: list[BaseException] = []

    def folds() -> None:
        with app.app_context():
            while not stop.is_set():
                try:
                    keep_rollups(LONDON)
                except BaseException as error:  # noqa: BLE001 - told to the test
                    failed.append(error)
                    return
            db.session.remove()

    crew = [threading.Thread(target=folds) for _ in range(2)]
    for each in crew:
        each.start()
    for place in range(60):
        change(rows[place % 6], captured_minor=place + 1)
        if place % 10 == 0:
            assert sums(scope()).count == 6
    stop.set()
    for each in crew:
        each.join()
    assert failed == []
    assert wrong() == []
    keep_rollups(LONDON)
    assert wrong() == []
