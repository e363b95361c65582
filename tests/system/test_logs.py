"""What processes say of themselves holds the request and the place, and nothing about people."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from payadmin import logs
from payadmin.config import Settings
from payadmin.db import db
from payadmin.models.parties import Customer
from payadmin.permissions import Role
from tests.support.desk import told
from tests.support.make import Make

PAN = "4111111111111111"
PERSONAL = ("ada.lovelace", "example.org", "Lovelace", PAN, "tok_visa_1", "hunter22", "s3cr3t")


@pytest.fixture
def written(app: Flask, settings: Settings) -> Iterator[io.StringIO]:
    """What the process logs, as JSON."""
    kept = logging.getLogger("payadmin").level
    with told(app, log_format="json"):
        logs.set_up(app.extensions["payadmin.settings"])
    [handler] = [each for each in logging.getLogger().handlers if each.name == "payadmin"]
    said = io.StringIO()
    handler.setStream(said)  # type: ignore[attr-defined]
    yield said
    logging.getLogger().removeHandler(handler)
    logging.getLogger("payadmin").setLevel(kept)


def lines(said: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_every_answer_is_one_line_with_the_rule_and_the_request(written: io.StringIO, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    answer = client.get("/transactions/?search=grace.hopper@example.org")
    [line] = [each for each in lines(written) if each.get("rule") == "/transactions/"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["method"], line["status"], line["logger"]) == ("GET", 200, "payadmin.access")
    assert line["milliseconds"] >= 0
    assert line["staff_id"] > 0
    assert "grace" not in written.getvalue()


def test_no_card_address_name_or_token_is_ever_written(
    written: io.StringIO, app: Flask, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make.browse(Role.ADMIN)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError(f"Ada Lovelace <ada.lovelace@example.org> paid with {PAN}, tok_visa_1")

    monkeypatch.setattr("payadmin.views.system.monitoring._state", broken)
    failed = client.get(f"/monitoring/?token=tok_visa_1&name=Lovelace&card={PAN}")
    assert failed.status_code == 500
    client.get(f"/customers/?search=Lovelace {PAN}")
    client.post("/login", data={"username": "ada.lovelace", "password": "hunter22"})
    log = logging.getLogger("payadmin.test")
    log.warning("mail to %s, card %s, password=hunter22, Bearer s3cr3t", "ada.lovelace@example.org", PAN)
    log.warning('{"token": "s3cr3t", "code=s3cr3t"}')
    values = {"name": "Ada Lovelace", "email": "ada.lovelace@example.org"}
    try:
        with db.engine.begin() as connection:
            connection.execute(insert(Customer.__table__), [values])
    except IntegrityError:
        log.exception("a customer was not stored")
    told_ = written.getvalue()
    for word in PERSONAL:
        assert word not in told_, word
    found = {each.get("error", "").partition(" ")[0]: each for each in lines(written)}
    assert "builtins.ValueError" in found
    assert "sqlalchemy.exc.IntegrityError" in found
    error = found["builtins.ValueError"]
    assert error["request_id"] == failed.headers["X-Request-ID"]
    assert any("monitoring.py" in place for place in error["places"])


@pytest.mark.once
def test_setting_up_twice_writes_once(written: io.StringIO, app: Flask) -> None:
    before = len(logging.getLogger().handlers)
    logs.set_up(app.extensions["payadmin.settings"])
    assert len(logging.getLogger().handlers) == before


@pytest.mark.once
def test_sentry_hears_of_errors_without_people(app: Flask) -> None:
    import sentry_sdk
    from sentry_sdk.transport import Transport

    heard: list[Any] = []

    class Ear(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            heard.extend(item.payload.json for item in envelope.items)

    with told(app, sentry_dsn="https://key@127.0.0.1/1"):
        logs.report_errors(app.extensions["payadmin.settings"], transport=Ear, default_integrations=False)
    try:
        try:
            int(f"Ada Lovelace ada.lovelace@example.org {PAN}")
        except ValueError as error:
            sentry_sdk.capture_exception(error)
        sentry_sdk.capture_message(f"mail to ada.lovelace@example.org with {PAN}")
        sentry_sdk.flush()
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
    text = json.dumps(heard)
    assert len(heard) == 2
    assert "ValueError" in text
    assert "test_logs.py" in text
    for word in PERSONAL:
        assert word not in text, word
    assert "server_name" not in text


@pytest.mark.once
def test_without_a_dsn_nothing_is_reported(app: Flask) -> None:
    logs.report_errors(app.extensions["payadmin.settings"])
