"""Who may in: a right key and nothing else, whatever else the request carries."""

import dataclasses
import datetime as dt
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.guard import TRIES
from payadmin.kernel.bearers import Bearer, bearer_of, new_bearer
from payadmin.models.api import ApiKey, ApiKeyStatus
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Organization, OrganizationStatus
from payadmin.permissions import Role
from payadmin.views.api.endpoints import ENDPOINTS
from payadmin.views.gate import API
from tests.support.make import Make
from tests.support.programs import Program
from tests.support.signin import TestBrowser


def problem(answer: object, status: int, code: str) -> dict[str, object]:
    """The problem document, which every refusal is."""
    assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
    assert answer.mimetype == "application/problem+json"  # type: ignore[attr-defined]
    document = answer.get_json()  # type: ignore[attr-defined]
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:payadmin:problem:{code}"
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["X-Request-ID"]  # type: ignore[attr-defined]
    return dict(document)


def test_a_right_key_is_let_in_and_told_what_it_is(program: Program) -> None:
    answer = program.ask("/key")
    assert answer.status_code == 200
    document = answer.get_json()
    assert document.pop("expires_at").endswith("+00:00")
    assert document == {"name": "Metering", "organization": "Corner Shop", "scopes": ["usage:write"]}
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic abc", "Bearer pak_short_x", "pak_a_b", "Bearer é"])
def test_what_is_no_key_is_turned_away(app: Flask, header: str) -> None:
    answer = app.test_client().get("/api/v1/key", headers={"Authorization": header} if header else {})
    problem(answer, 401, "no_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_endpoint_turns_strangers_away(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.partition(".")[0] == API]
    assert len(rules) == len(ENDPOINTS)
    for rule in rules:
        path = app.url_map.bind("localhost").build(rule.endpoint, dict.fromkeys(rule.arguments, 1))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            problem(app.test_client().open(path, method=method), 401, "no_key")


def test_a_session_opens_nothing(app: Flask, make: Make) -> None:
    problem(make.browse(Role.ADMIN).get("/api/v1/key"), 401, "no_key")


def test_a_wrong_secret_of_a_known_key_says_no_more_than_an_unknown_key(program: Program) -> None:
    wrong = Bearer(program.bearer.prefix, new_bearer().secret)
    answers = [problem(program.ask("/key", key=str(key)), 401, "wrong_key") for key in (wrong, new_bearer())]
    assert answers[0]["detail"] == answers[1]["detail"]


def test_wrong_keys_are_counted_and_stop_while_the_right_one_still_works(program: Program) -> None:
    for _ in range(TRIES):
        problem(program.ask("/key", key=str(new_bearer())), 401, "wrong_key")
    answer = program.ask("/key", key=str(new_bearer()))
    problem(answer, 429, "too_many")
    assert int(answer.headers["Retry-After"]) == 1800
    assert program.ask("/key").status_code == 200
    told = select(func.count()).where(AuditEvent.event == "api.key.refused", AuditEvent.outcome == "failed")
    assert db.session.scalar(told) == TRIES


def test_a_revoked_key_an_expired_one_and_that_of_a_closed_organization_open_nothing(
    make: Make, another: Callable[..., Program]
) -> None:
    now = utcnow()
    revoked = another(status=ApiKeyStatus.REVOKED, revoked_at=now)
    expired = another(created_at=now - dt.timedelta(days=9), expires_at=now - dt.timedelta(seconds=1))
    closed: Organization = make.organization("Gone", status=OrganizationStatus.CLOSED)
    orphan = another(organization_id=closed.id)
    for program, word in ((revoked, "revoked"), (expired, "expired"), (orphan, "closed")):
        assert word in str(problem(program.ask("/key"), 401, "dead_key")["detail"])


def test_a_scope_that_no_longer_exists_gives_nothing(another: Callable[..., Program]) -> None:
    assert another(scopes=["everything"]).ask("/key").get_json()["scopes"] == []


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(program: Program) -> None:
    program.ask("/key")
    first = db.session.get_one(ApiKey, program.key_id)
    noted, ip, version = first.last_used_at, first.last_used_ip, first.version
    assert noted is not None
    assert ip == "127.0.0.1"
    program.ask("/key")
    again = db.session.get_one(ApiKey, program.key_id, populate_existing=True)
    assert (again.last_used_at, again.version) == (noted, version)


def test_unknown_addresses_and_methods_are_problems_too(program: Program) -> None:
    problem(program.ask("/nothing"), 404, "not_found")
    answer = program.ask("/key", "DELETE")
    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


def test_each_key_has_so_many_requests_a_minute(
    app: Flask, settings: Settings, another: Callable[..., Program]
) -> None:
    first, second = another(), another()
    slow = create_app(dataclasses.replace(settings, api_rate_per_minute=3))
    slow.testing = True
    slow.test_client_class = TestBrowser
    with slow.app_context():
        for program in (first, second):
            program.client = slow.test_client()
        # However the same key is written.
        words = ("Bearer ", "bearer ", "BEARER ", "Bearer  ", "bearer   ")
        headers = [f"{word}{first.bearer}" for word in words]
        answers = [first.ask("/key", headers={"Authorization": header}) for header in headers]
        other = second.ask("/key")
        db.session.remove()
        db.engine.dispose()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert other.status_code == 200
    document = problem(answers[-1], 429, "too_many_requests")
    assert document["detail"] == "Wait a minute, then go on more slowly."
    assert answers[-1].headers["Retry-After"] == "60"


def test_a_key_is_never_printed() -> None:
    bearer = new_bearer()
    assert bearer.secret not in repr(bearer)
    assert bearer_of(f"bearer {bearer}") == bearer
    assert bearer_of(f"Bearer {bearer}x") is None
