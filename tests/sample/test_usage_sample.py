"""The demo's consumption: the same story at every start, a few days longer, and never told twice."""

from flask import Flask
from sqlalchemy import func, select

from payadmin.db import db
from payadmin.models.parties import Organization
from payadmin.models.usage import ClientService, UsageDaily
from payadmin.sample.usage import DAYS, ISSUER, PARTNER, SERVICES, load_usage


def story() -> dict[tuple[str, str, str], int]:
    columns = (ClientService.code, UsageDaily.operation, UsageDaily.day, UsageDaily.operations)
    rows = db.session.execute(select(*columns).join(ClientService, UsageDaily.client_service_id == ClientService.id))
    return {(code, operation, day.isoformat()): operations for code, operation, day, operations in rows}


def test_the_consumption_is_told_once_and_always_the_same(app: Flask) -> None:
    zone = app.extensions["payadmin.settings"].zone
    belongs = load_usage(zone)
    names = {username: db.session.get_one(Organization, row_id).name for username, row_id in belongs.items()}
    assert names == {"issuer": ISSUER, "partner": PARTNER}
    told = story()
    assert db.session.scalar(select(func.count()).select_from(ClientService)) == len(SERVICES)
    assert len({day for _, _, day in told}) == DAYS
    assert all(operations > 0 for operations in told.values())
    assert load_usage(zone) == belongs
    db.session.rollback()
    assert story() == told
