"""What every answer carries and what none may tell: headers, hosts, secrets in settings, logs and error pages."""

import dataclasses
import logging

import pytest
from flask import Flask, request
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.system import ActionRun
from payadmin.permissions import Role
from tests.support.make import Make

CARD = "4111 1111 1111 1111"
HASH = "what-a-column-holds"


@pytest.mark.once
def test_a_foreign_host_gets_one_plain_refusal(settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, trusted_hosts=("pay.example.com",), secure_cookies=True))
    client = app.test_client()
    for host in ("evil.example", "pay.example.com.evil.example", "evil.example:443", "a@pay.example.com"):
        for path in ("/login", "/", "/nowhere", "/static/css/payadmin.css"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == 400, (host, path, answer.status)
            assert "evil.example" not in answer.text
            assert "Content-Security-Policy" in answer.headers
    mine = client.get("/login", base_url="https://pay.example.com")
    assert mine.status_code == 200
    assert "Strict-Transport-Security" in mine.headers
    assert mine.headers["Set-Cookie"].startswith("__Host-payadmin=")


@pytest.mark.once
def test_forwarded_headers_count_only_behind_a_proxy(settings: Settings) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example", "X-Request-ID": "chosen-by-me"}
    for hops, trusted in ((0, False), (1, True)):
        app = create_app(dataclasses.replace(settings, proxy_hops=hops, trusted_hosts=("localhost",)))
        seen: list[str | None] = []

        @app.before_request
        def note(seen: list[str | None] = seen) -> None:
            seen.append(request.remote_addr)

        answer = app.test_client().get("/login", headers=forged)
        assert answer.status_code == 200
        assert (seen[0] == "6.6.6.6") is trusted
        assert (answer.headers["X-Request-ID"] == "chosen-by-me") is trusted


@pytest.mark.once
def test_settings_never_print_a_password(settings: Settings) -> None:
    told = dataclasses.replace(
        settings,
        database_url="postgresql+psycopg://u:hunter2@db/x",
        redis_url="redis://:hunter2@redis/0",
        smtp_url="smtp://u:hunter2@mail",
        simulator_url="http://u:hunter2@provider",
        secret_key="hunter2" * 8,
    )
    assert "hunter2" not in repr(told)
    assert "hunter2" not in str(told)


def test_logs_hold_no_card_and_no_values_of_statements(app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    log = logging.getLogger("payadmin.test.secrets")
    log.addHandler(handler)
    try:
        log.error("asked for /transactions/?search=%s", CARD.replace(" ", "%20"))
        try:
            db.session.execute(text("SELECT * FROM no_such_table WHERE x = :x"), {"x": HASH})
        except SQLAlchemyError:
            log.exception("failed with card %s", CARD)
    finally:
        log.removeHandler(handler)
        db.session.rollback()
    said = capfd.readouterr().err
    assert "no_such_table" in said
    assert HASH not in said
    assert CARD not in said
    assert CARD.replace(" ", "%20") not in said


@pytest.mark.usefixtures("no_csrf")
def test_card_numbers_are_kept_nowhere(make: Make) -> None:
    payment = make.payment()
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    form = {"name": f"Ada {CARD}", "kind": "INDIVIDUAL", "locale": "en", "phone": "", "seen_version": "1"}
    answer = operator.post(f"/customers/{payment.customer_id}/edit/", data=form)
    assert answer.status_code == 422
    assert "card number" in answer.text
    db.session.rollback()
    assert "4111" not in db.session.scalars(select(Customer.name)).one()

    listed = f"search={CARD.replace(' ', '')}"
    chosen = {"action": "refund", "id": str(payment.id), "list": listed}
    assert operator.post("/transactions/action/", data=chosen).status_code == 302
    kept = db.session.scalars(select(ActionRun.chosen)).one() or ""
    assert CARD.replace(" ", "") not in kept


def test_a_broken_page_tells_its_number_and_nothing_else(
    app: Flask, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make.browse(Role.PAYMENTS_OPERATOR)

    def broken(*_: object, **__: object) -> None:
        db.session.execute(text("SELECT secret_thing FROM no_such_table"))

    monkeypatch.setattr("payadmin.views.lists.fetch", broken)
    for headers in ({}, {"X-Partial": "dialog"}, {"Accept": "application/json"}):
        answer = operator.get("/transactions/", headers=headers)
        assert answer.status_code == 500
        assert answer.headers["X-Request-ID"] in answer.text
        for word in ("SELECT", "secret_thing", "no_such_table", "Traceback", "sqlalchemy", "psycopg", "sqlite"):
            assert word not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_whoever_a_page_turns_away_stands_in_the_trail(make: Make) -> None:
    cashier = make.browse(Role.CASHIER)

    assert cashier.get("/transactions/").status_code == 403

    refused = db.session.scalars(select(AuditEvent).where(AuditEvent.outcome == "refused")).all()
    assert [entry.event for entry in refused] == ["transactions.index_view"]
    assert refused[0].actor_name
