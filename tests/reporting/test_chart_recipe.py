"""A chart is one function and one line; everything else comes with it (docs/charts.md)."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from payadmin.db import utcnow
from payadmin.permissions import Role
from payadmin.queries.reporting import Cut
from payadmin.views import charts
from payadmin.views.charts import Plot, Series, Shape, chart
from payadmin.views.figures import Asked
from tests.support.make import Make

Browse = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test puts on a page is gone after it."""
    monkeypatch.setattr(charts, "PAGES", dict(charts.PAGES))


def put_on_transactions() -> None:
    @chart("transactions", "Payments a day")  # the one line
    def payments_a_day(asked: Asked) -> Plot:
        """How many payments each day has."""
        cut = Cut(by_day=True)
        found = {line.day: line.sums.count for line in asked.read(cut).lines[cut]}
        days = tuple(asked.span)
        return Plot(Shape.LINE, days, (Series("=Payments", tuple(found.get(day, 0) for day in days)),))


def test_one_function_and_one_line_put_a_chart_with_everything_on_a_list(make: Make, browse: Browse) -> None:
    put_on_transactions()
    make.payment(created_at=utcnow())
    client = browse(Role.PAYMENTS_OPERATOR)
    page = client.get("/transactions/").text
    assert 'data-chart="/charts/transactions/payments-a-day.json"' in page
    assert 'role="img" aria-label="Payments a day"' in page
    assert 'data-chart-png="chart-payments-a-day"' in page
    assert "Show as a table" in page
    assert page.count('<th scope="row">') >= 30
    for theme in ("light", "dark"):
        answer = client.get(f"/charts/transactions/payments-a-day.json?theme={theme}")
        assert json.loads(answer.text)["root_id"]
    rows = list(csv.reader(io.StringIO(client.get("/charts/transactions/payments-a-day.csv").text)))
    assert rows[-1][1] == "1"
    assert len(rows) == 31
    assert rows[0][1] == "'=Payments", "a label is no formula for Excel"


def test_its_permission_is_that_of_the_page(make: Make, browse: Browse) -> None:
    put_on_transactions()
    client = browse(Role.CASHIER)
    assert client.get("/charts/transactions/payments-a-day.json").status_code == 403


def test_nothing_to_draw_says_so(browse: Browse) -> None:
    put_on_transactions()
    assert "Nothing to draw" in browse(Role.PAYMENTS_OPERATOR).get("/transactions/").text


def test_a_page_without_charts_is_as_it_was(make: Make, browse: Browse) -> None:
    assert "data-chart" not in browse(Role.PAYMENTS_OPERATOR).get("/transactions/").text
