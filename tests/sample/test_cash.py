"""The demo's cash office: a week that was really worked, something that waits for everybody, and no second one."""

from flask import Flask
from sqlalchemy import func, select

from payadmin.actions import access
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.models.parties import Customer, OrganizationKind
from payadmin.models.redeem import RedeemRequest, RedeemStatus
from payadmin.models.treasury import (
    CashDeskAssignment,
    CashDeskDay,
    CashOperation,
    DayStatus,
    SystemOperation,
    SystemStatus,
)
from payadmin.queries.treasury import find_customers
from payadmin.sample.cash import CODEWORDS, DAYS, OFFICE, load_cash
from tests.support.cash_office import CashOffice
from tests.support.make import Make


def test_a_week_of_cash_is_worked_by_the_people_of_the_demo(app: Flask, make: Make) -> None:
    office = CashOffice(app, make)
    make.unit("GBP")
    make.organization(OFFICE, kind=OrganizationKind.MASSPAY)
    customers = [make.customer().id for _each in CODEWORDS]
    office.wallet("GBP", owner=db.session.get_one(Customer, customers[0]))  # one has a wallet already
    access.create_demo_staff("seven green chairs 42")
    for _twice in range(2):
        load_cash(current_settings())
    states = dict(db.session.execute(select(CashDeskDay.status, func.count()).group_by(CashDeskDay.status)).all())
    assert states == {DayStatus.CLOSED: DAYS + 3, DayStatus.OPEN: 1, DayStatus.CLOSE_REQUESTED: 1}
    assert len({day for (day,) in db.session.execute(select(CashDeskDay.business_date))}) == DAYS + 1
    assert office.count_of(CashOperation) == 2 * DAYS + 3 + 3
    waiting = select(func.count()).where(SystemOperation.status == SystemStatus.INITIATED)
    assert db.session.scalar(waiting) == 1
    staffed = select(CashDeskAssignment.desk_id).where(CashDeskAssignment.ends_at.is_(None))
    unseen = select(func.count()).where(
        SystemOperation.desk_id.in_(staffed),
        SystemOperation.status == SystemStatus.CONFIRMED,
        SystemOperation.acknowledged_at.is_(None),
    )
    assert db.session.scalar(unseen) == 0, "what came a week ago does not wait for a cashier today"
    assert set(db.session.scalars(select(RedeemRequest.status))) == {RedeemStatus.APPROVED, RedeemStatus.SUBMITTED}
    keys = current_settings().totp_keys
    assert [[row.id for row in find_customers(db.session(), word, keys)] for word in CODEWORDS] == [
        [row_id] for row_id in customers
    ]
    assert office.unsound() == []
