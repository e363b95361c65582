"""SQLite's planner learns from the scheduler what autovacuum tells PostgreSQL's."""

from flask import Flask
from sqlalchemy import text

from payadmin.db import db
from payadmin.jobs.runner import renew_statistics
from payadmin.migrations.check import differences
from tests.support.make import Make


def test_the_planner_knows_how_payments_are_spread_and_the_schema_is_as_it_was(app: Flask, make: Make, dialect: str):
    make.payment()
    renew_statistics()
    if dialect == "sqlite":
        known = db.session.scalars(text("SELECT idx FROM sqlite_stat1 WHERE tbl = 'payment'")).all()
        assert "ix_payment_customer_id_created_at_id" in known
    assert differences(app.config["SQLALCHEMY_DATABASE_URI"]) == []
