"""Analytics for other sites: who may show it, what it shows, and when a link ends."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from payadmin.actions import reporting
from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Mode
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.pages import token_of

Browse = Callable[..., Any]


def shared(client: Any, days: int = 7) -> str:
    """The address of the page for another site, as the form of Analytics makes it."""
    form = {"csrf_token": token_of(client, "/analytics/share/"), "days": str(days)}
    answer = client.post("/analytics/share/", data=form)
    assert answer.status_code == 200
    found = re.search(r'id="link" readonly value="([^"]+)"', answer.text)
    assert found
    url = found[1].replace("&amp;", "&")
    assert url.endswith("#/transactions-analytics")
    return "/" + url.split("/", 3)[3].partition("#")[0]


def test_a_shared_page_shows_figures_and_charts_to_whoever_has_the_link(app: Flask, make: Make, browse: Browse) -> None:
    make.payment(amount_minor=12_34, created_at=utcnow())
    url = shared(browse(Role.CFO))
    stranger = app.test_client()
    page = stranger.get(url).text
    assert "12.34" in page
    assert "<nav" not in page
    assert "/transactions/" not in page
    for kind in ("json", "csv"):
        found = re.search(rf'(?:data-chart|href)="(/data-visualization/analytics/daily\.{kind}\?[^"]+)"', page)
        assert found
        assert stranger.get(found[1].replace("&amp;", "&")).status_code == 200
    assert 'name="token"' in page
    assert all("token=" in link for link in re.findall(r'href="(\?[^"]+)"', page))


def test_only_the_shared_page_may_be_framed_and_only_by_the_sites_of_the_settings(
    make: Make, browse: Browse, settings: Any
) -> None:
    client = browse(Role.ADMIN)
    url = shared(client)
    assert client.get(url).headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    assert client.get("/analytics/").headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")


@pytest.mark.parametrize("query", ["", "?token=", "?token=x.y", "?token=W251bGxd.abc", "?unit=EUR"])
def test_without_a_link_of_ours_nothing_is_shown(app: Flask, query: str) -> None:
    stranger = app.test_client()
    assert stranger.get(f"/data-visualization/{query}").status_code == 404
    assert stranger.get(f"/data-visualization/analytics/daily.json{query}").status_code == 404


def test_a_link_ends_after_its_days_and_with_the_account_that_made_it(app: Flask, make: Make, browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    url = shared(client, days=1)
    token = url.partition("token=")[2]
    session = db.session()
    assert reporting.shared_mode(session, token, utcnow() + dt.timedelta(hours=23)) is Mode.LIVE
    with pytest.raises(Exception, match="shows nothing"):
        reporting.shared_mode(session, token, utcnow() + dt.timedelta(hours=25))
    db.session.rollback()
    staff = db.session.get_one(StaffUser, client.staff_id)
    staff.status = StaffStatus.LOCKED
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    assert app.test_client().get(url).status_code == 404


def test_making_a_link_is_in_the_trail_and_the_link_is_not(make: Make, browse: Browse) -> None:
    client = browse(Role.ADMIN)
    token = shared(client).partition("token=")[2]
    entry = db.session.query(AuditEvent).filter_by(event=str(Event.REPORTING_ANALYTICS_SHARED)).one()
    assert entry.keys is not None
    assert entry.keys["mode"] == "LIVE"
    assert token not in str(entry.keys)


def test_another_number_of_days_is_refused(make: Make, browse: Browse) -> None:
    client = browse(Role.ADMIN)
    form = {"csrf_token": token_of(client, "/analytics/share/"), "days": "36500"}
    for days in ("36500", "²", "07", "9" * 5_000):
        answer = client.post("/analytics/share/", data=form | {"days": days})
        assert answer.status_code == 422, days
        assert "Choose for how many days" in answer.text


def test_those_without_analytics_cannot_share_it(make: Make, browse: Browse) -> None:
    assert browse(Role.FINANCIAL_SPECIALIST).get("/analytics/share/").status_code == 403


@pytest.mark.parametrize("query", ["&range=custom&from=2026-02-02&to=2026-01-01", "&unit=XYZ", "&other=1"])
def test_a_senseless_address_is_refused_there_too(app: Flask, make: Make, browse: Browse, query: str) -> None:
    make.payment()
    url = shared(browse(Role.ADMIN))
    answer = app.test_client().get(f"{url}{query}")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
