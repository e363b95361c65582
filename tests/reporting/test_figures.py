"""Every number of every page leads to the list that has exactly that many rows and that sum (G9)."""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask, g

from payadmin import create_app, views
from payadmin.config import Settings
from payadmin.db import db
from payadmin.jobs.reporting import keep_rollups
from payadmin.models import load_models
from payadmin.models.payments import Channel, Mode, PaymentStatus, PaymentType
from payadmin.models.reporting import Period, Slice
from payadmin.models.treasury import CashOperation
from payadmin.permissions import Role, permissions_of
from payadmin.queries.billing import Frame
from payadmin.queries.reporting import Span
from payadmin.views.figures import FIGURES, Asked, Fact, Measure, PaymentFigure, change, facts, listed, shares
from payadmin.views.registry import discover
from payadmin.views.reporting.billing_figures import BillingAsked
from payadmin.views.usage.home import HomeAsked
from payadmin.work import Actor
from tests.support.make import Make
from tests.support.signin import TestBrowser, sign_in

load_models()
discover(views)  # every page says at its top which figures it has

S = PaymentStatus
ZONES = ["Europe/London", "America/New_York"]
# Clocks change within it in both zones: on 8 and on 29 March 2026.
ADMIN = Actor(None, "admin", frozenset({Role.ADMIN}), permissions_of({Role.ADMIN}))
SPAN = Span(dt.date(2026, 3, 1), dt.date(2026, 4, 5))


@pytest.fixture
def there(app: Flask, settings: Settings) -> Iterator[Any]:
    """`there(zone)` is the application in another business time zone, on the same database."""
    made: list[Flask] = []

    def build(zone: str) -> Flask:
        other = create_app(dataclasses.replace(settings, business_tz=zone))
        other.testing = True
        other.test_client_class = TestBrowser
        made.append(other)
        return other

    yield build
    for other in made:
        with other.app_context():
            db.session.remove()
            db.engine.dispose()


def around_midnight(make: Make) -> None:
    """Payments in the hours around the ends of days, in both zones: when clocks change, and where the span ends."""
    place = 0
    customer, merchant = make.customer().id, make.organization().id
    for day in (SPAN.first, dt.date(2026, 3, 8), dt.date(2026, 3, 29), SPAN.last):
        for hour in (-6, -5, -4, -1, 0, 1, 2, 3, 12, 23, 24, 25, 28, 29, 30):
            place += 1
            status = list(S)[place % len(S)]
            make.payment(
                created_at=dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(hours=hour, minutes=-1),
                customer_id=customer, merchant_id=merchant, unit=("EUR", "EUR", "JPY")[place % 3], status=status,
                method=("card", "wallet", "transfer")[place % 3], channel=list(Channel)[place % 5],
                type=list(PaymentType)[place % 3], amount_minor=100 + place,
                refunded_minor={S.PARTIALLY_REFUNDED: 40, S.TOTALLY_REFUNDED: 100 + place}.get(status, 0),
                card_issuer=(None, "Bank A", "Bank, B & Co")[place % 3],
                failure_message="No funds, try again" if status is S.FAILED else None,
                billing_number=(None, "B-1", "B-2", "B-3")[place % 4],
                mode=Mode.TEST if place % 11 == 0 else Mode.LIVE,
            )  # fmt: skip


def registered_around_midnight(make: Make) -> None:
    """Subscriptions that were registered and inactivated in the hours around midnight."""
    customer, merchant = make.customer().id, make.organization().id
    for place, hour in enumerate((-5, -1, 0, 4, 23, 24, 28)):
        moment = dt.datetime(2026, 3, 29, tzinfo=dt.UTC) + dt.timedelta(hours=hour, minutes=1)
        make.subscription(
            created_at=moment, inactivated_at=moment + dt.timedelta(hours=20) if place % 2 else None,
            customer_id=customer, merchant_id=merchant, unit=("EUR", "EUR", "JPY")[place % 3],
            deleted_at=moment if place == 1 else None,
        )  # fmt: skip


def asked_of(zone: str, **values: Any) -> Asked:
    return Asked(**{"mode": Mode.LIVE, "span": SPAN, "unit": "EUR", "scale": 2, "zone": ZoneInfo(zone)} | values)


# Every way to tell payments apart, whichever page shows it.
SLICES = [PaymentFigure(slice_.value, measure=Measure.AMOUNT, by=slice_) for slice_ in Slice if slice_ is not Slice.ALL]


def week_or_month(usual: Asked) -> BillingAsked:
    """The Billing dashboard's: the month that a span begins in, or the week of a single day."""
    frame = Frame.of(Period.WEEK if usual.span.days == 1 else Period.MONTH, usual.span.first)
    return BillingAsked(usual.mode, frame.span, usual.unit, usual.scale, usual.zone, period=frame.period)


# Pages that are asked for more than days and unit: how their functions' argument is made from `asked_of`'s.
ASKED: dict[str, Callable[[Asked], Any]] = {
    "billing-dashboard": week_or_month,
    "home": lambda usual: HomeAsked(ADMIN.organization_id, ADMIN.roles, usual.span.last),
}


def rows_of(client: Any, url: str) -> int:
    """What the list itself says at its foot."""
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    found = re.search(r"data-announce>\s*([\d,]+) ", answer.text)
    assert found, "the list says no number"
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("folded", [False, True], ids=["counted", "folded"])
@pytest.mark.parametrize("page", [*sorted(FIGURES), "slices"])
def test_each_figure_is_the_number_of_rows_and_the_sum_of_its_list(
    app: Flask, make: Make, there: Any, page: str, zone: str, folded: bool
) -> None:
    around_midnight(make)
    registered_around_midnight(make)
    other = there(zone)
    with other.app_context():
        if folded:
            keep_rollups(ZoneInfo(zone))
            make.payment(created_at=dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC))
        client = sign_in(other, Role.ADMIN)
        db.session.remove()
    numbers: list[tuple[Fact, str]] = []
    for changes in ({"net": True}, {"unit": "JPY", "scale": 0}, {"span": Span(SPAN.first, SPAN.first)}, {}):
        with other.test_request_context():
            g.actor, g._login_user = ADMIN, SimpleNamespace(is_authenticated=True, texts_serial=None, language=None)
            asked = ASKED.get(page, lambda usual: usual)(asked_of(zone, **changes))
            found = [fact for several in facts(asked, FIGURES.get(page, SLICES)).values() for fact in several]
            assert found
            for fact in found:
                rows, total = listed(fact.model, fact.args, fact.columns)
                assert rows == fact.rows, fact
                assert fact.number == (total if fact.columns else rows), fact
            # Lists of cash open for those who look after it: tests/treasury/test_figures.py goes there.
            numbers = [(fact, url) for fact in found if (url := fact.url) is not None]
            assert all(fact.model is CashOperation for fact in found if fact.url is None)
            db.session.remove()
    for fact, url in numbers:
        assert rows_of(client, url) == fact.rows, fact


def test_shares_add_up_to_exactly_one_hundred() -> None:
    assert shares([1, 1, 1]) == [334, 333, 333]
    assert shares([0, 0]) == [0, 0]
    assert shares([1]) == [1000]
    assert shares([999_999, 1]) == [1000, 0]
    for numbers in ([7, 11, 13, 17], [1] * 7, [3, 0, 5], [2**62, 1, 2**61]):
        assert sum(shares(numbers)) == 1000


@pytest.mark.parametrize(
    ("now", "before", "tenths"),
    [(120, 100, 200), (80, 100, -200), (0, 100, -1000), (5, 0, None), (0, 0, None), (1, 3, -667), (10_005, 10_000, 0),
     (10_015, 10_000, 2)],
)  # fmt: skip
def test_a_change_is_rounded_half_to_even_and_says_when_there_is_nothing_to_compare_with(
    now: int, before: int, tenths: int | None
) -> None:
    assert change(now, before).tenths == tenths
