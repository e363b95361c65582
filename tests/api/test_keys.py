"""Keys: made with a fresh code and shown once, for one organization; revoked with another, for good."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.kernel.bearers import bearer_of
from payadmin.models.access import SecondFactor
from payadmin.models.api import ApiKey, ApiKeyStatus
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import OrganizationStatus
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.programs import Program
from tests.support.signin import secret_of

NEW = "/api-keys/new/"


def confirmed(client: FlaskClient, path: str, **fields: Any) -> dict[str, Any]:
    """What a form is sent with: its tokens, its offer, and the code that the authenticator shows now."""
    page = client.get(path).text
    hidden = dict(re.findall(r'name="(csrf_token|offer)"[^>]*value="([^"]*)"', page))
    staff_id: int = client.staff_id  # type: ignore[attr-defined]
    with db.engine.begin() as connection:  # half a minute has passed since the last code
        connection.execute(update(SecondFactor).where(SecondFactor.staff_id == staff_id).values(last_step=0))
    return hidden | {"code": totp.code_at(secret_of(staff_id), utcnow())} | fields


@pytest.fixture
def admin(make: Make) -> FlaskClient:
    return make.browse(Role.ADMIN)


def wanted(make: Make) -> dict[str, Any]:
    return {"name": "Metering", "organization": make.organization().id, "scopes": ["usage:write"], "days": "30"}


def test_a_key_is_shown_once_and_works_until_it_is_revoked(app: Flask, admin: FlaskClient, make: Make) -> None:
    answer = admin.post(NEW, data=confirmed(admin, NEW, **wanted(make)))
    assert answer.status_code == 200
    shown = re.search(r"pak_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", answer.text)
    assert shown
    bearer = bearer_of(f"Bearer {shown[0]}")
    assert bearer is not None
    key = db.session.scalars(select(ApiKey)).one()
    assert (key.prefix, key.secret_hash) == (bearer.prefix, bearer.secret_hash)
    assert (key.expires_at - key.created_at).days == 30
    program = Program(app, key.id, bearer)
    assert program.ask("/key").status_code == 200
    for path in ("/api-keys/", f"/api-keys/{key.id}/", "/user-actions/"):
        page = admin.get(path).text
        assert bearer.secret not in page
        assert key.secret_hash not in page
    assert bearer.secret not in str([entry.after for entry in db.session.scalars(select(AuditEvent))])

    path = f"/api-keys/{key.id}/revoke/"
    assert admin.post(path, data=confirmed(admin, path, reason="Leaked")).status_code == 303
    assert program.ask("/key").status_code == 401
    again = admin.post(path, data=confirmed(admin, f"/api-keys/{key.id}/"))
    assert again.status_code in {400, 422}
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "api.key.revoked")).one()
    assert (entry.reason, entry.outcome, (entry.keys or {})["api_key"]) == ("Leaked", "done", key.prefix)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": " "}, "This is needed."),
        ({"name": "4111111111111111"}, "card number"),
        ({"scopes": []}, "Choose at least one"),
        ({"scopes": ["everything"]}, "not a valid choice"),
        ({"days": "0"}, "1 to 730"),
        ({"days": "731"}, "1 to 730"),
        ({"organization": 999_999}, "hoose"),
        ({"code": "000000"}, "code is wrong"),
        ({"offer": "x"}, "does not belong"),
    ],
)
def test_what_makes_no_sense_is_said_and_no_key_is_made(
    admin: FlaskClient, make: Make, change: dict[str, Any], sentence: str
) -> None:
    answer = admin.post(NEW, data=confirmed(admin, NEW, **wanted(make)) | change)
    assert answer.status_code in {404, 422}
    if answer.status_code == 422:
        assert sentence in answer.text
    assert db.session.scalars(select(ApiKey)).all() == []


def test_a_closed_organization_gets_no_key(admin: FlaskClient, make: Make) -> None:
    closed = make.organization("Gone", status=OrganizationStatus.CLOSED)
    answer = admin.post(NEW, data=confirmed(admin, NEW, **wanted(make) | {"organization": closed.id}))
    assert answer.status_code == 409
    assert "closed" in answer.text


def test_a_code_makes_one_key(admin: FlaskClient, make: Make) -> None:
    sent = confirmed(admin, NEW, **wanted(make))
    assert admin.post(NEW, data=sent).status_code == 200
    assert admin.post(NEW, data=sent).status_code == 422
    assert len(db.session.scalars(select(ApiKey)).all()) == 1


def test_revoking_needs_a_reason_and_a_code(admin: FlaskClient, make: Make) -> None:
    key = make.api_key()
    path = f"/api-keys/{key.id}/revoke/"
    for change in ({"reason": ""}, {"code": "000000"}):
        assert admin.post(path, data=confirmed(admin, path, reason="Why") | change).status_code == 422
    assert db.session.get_one(ApiKey, key.id).status is ApiKeyStatus.ACTIVE


def test_the_list_tells_an_expired_key(admin: FlaskClient, make: Make) -> None:
    now = utcnow()
    make.api_key(name="Old", created_at=now.replace(year=2020), expires_at=now.replace(year=2021))
    assert "Expired" in admin.get("/api-keys/?state=expired").text
    assert "Old" not in admin.get("/api-keys/?state=active").text


@pytest.mark.parametrize("role", [Role.CFO, Role.PARTNER, Role.ISSUER, Role.PAYMENTS_OPERATOR])
def test_others_see_no_keys(make: Make, role: Role) -> None:
    key = make.api_key()
    client = make.browse(role)
    assert client.get("/api-keys/").status_code == 403
    assert client.get(f"/api-keys/{key.id}/").status_code == 403
