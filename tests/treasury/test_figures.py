"""What the operational report says about cash is what the list of cash operations has, row by row (G9)."""

import datetime as dt
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from flask import Flask, g
from sqlalchemy import update

from payadmin.db import db
from payadmin.models.payments import Mode
from payadmin.models.treasury import CashOperation
from payadmin.queries.reporting import Span
from payadmin.views.figures import Asked, facts, listed
from payadmin.views.reporting.operational import CASH
from tests.support.cash_office import CashOffice

ZONE = ZoneInfo("Europe/London")
DAY = dt.date(2026, 3, 29)  # clocks change


@pytest.mark.parametrize(("unit", "scale"), [("EUR", 2), ("JPY", 0)])
def test_each_cash_figure_is_the_rows_and_the_sum_of_its_list(
    app: Flask, office: CashOffice, unit: str, scale: int
) -> None:
    desk = office.desk(office.cashier, money={"EUR": 500_00, "JPY": 50_000})
    office.open(desk)
    purses = {"EUR": office.wallet("EUR", 900_00), "JPY": office.wallet("JPY", 90_000)}
    numbers = []
    for wallet in purses.values():
        numbers += [office.top_up(wallet, 1_234).id, office.top_up(wallet, 500).id, office.withdraw(wallet, 700).id]
        numbers.append(office.pay(office.redeem(wallet, 321)).id)
    with db.engine.begin() as connection:
        for place, number in enumerate(numbers):
            at = dt.datetime(2026, 3, 28, 23, 30, tzinfo=dt.UTC) + dt.timedelta(hours=7 * place)
            connection.execute(update(CashOperation).where(CashOperation.id == number).values(created_at=at))
    found = []
    for span in (Span(DAY, DAY), Span(DAY - dt.timedelta(days=1), DAY + dt.timedelta(days=3))):
        with app.test_request_context():
            g.actor, g._login_user = (
                office.cfo,
                SimpleNamespace(is_authenticated=True, texts_serial=None, language=None),
            )
            asked = Asked(Mode.LIVE, span, unit, scale, ZONE)
            for [fact] in facts(asked, CASH).values():
                rows, total = listed(fact.model, fact.args, fact.columns)
                assert (fact.rows, fact.number) == (rows, total if fact.columns else rows), fact
                assert fact.url is not None
                found.append(fact.number)
            db.session.remove()
    assert found[-6:] == [2, 1_734, 1, 700, 1, 321]
