"""Sign-in does not depend on Redis, and one address that hammers it has to wait."""

import dataclasses
import re

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Role
from tests.support.signin import PASSWORD, TestBrowser, make_staff, secret_of


def another_app(settings: Settings, **changes: object) -> Flask:
    app = create_app(dataclasses.replace(settings, **changes))
    app.testing = True
    app.test_client_class = TestBrowser
    return app


def token(client: TestBrowser, url: str) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', client.get(url).text)[1]


def test_sign_in_works_with_redis_down(app: Flask, settings: Settings):
    staff = make_staff(Role.ADMIN, username="elena")
    secret = secret_of(staff.id)
    db.session.remove()
    lonely = another_app(settings, redis_url="redis://127.0.0.1:9/0")
    with lonely.app_context():
        client = lonely.test_client()
        form = {"csrf_token": token(client, "/login"), "username": "elena", "password": PASSWORD}
        assert client.post("/login", data=form).location == "/login/code"
        form = {"csrf_token": token(client, "/login/code"), "code": totp.code_at(secret, utcnow())}
        assert client.post("/login/code", data=form).location == "/"
        assert client.get("/account/").status_code == 200
        db.session.remove()
        db.engine.dispose()


def test_one_address_that_hammers_the_login_waits(app: Flask):
    client = app.test_client()
    form = {"csrf_token": token(client, "/login")}
    answers = [client.post("/login/code", data=form, environ_base={"REMOTE_ADDR": "127.0.0.9"}) for _ in range(62)]
    assert {answer.status_code for answer in answers[:60]} == {302}
    assert answers[-1].status_code == 429
    assert "Too many tries from your network" in answers[-1].text


@pytest.mark.parametrize("address", ["/forgotten/made-up", "/confirm-address/made-up"])
def test_one_address_that_tries_made_up_links_waits_and_fills_no_trail(app: Flask, address: str):
    client, place = app.test_client(), {"REMOTE_ADDR": "127.0.0.10"}
    answers = [client.get(address, environ_base=place).status_code for _ in range(62)]
    assert answers == [404] * 60 + [429] * 2
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 60


def test_cookies_are_bound_to_the_host_and_to_https(app: Flask, settings: Settings):
    staff = make_staff(Role.ADMIN, username="elena")
    secret = secret_of(staff.id)
    db.session.remove()
    safe = another_app(settings, secure_cookies=True)
    with safe.app_context():
        client = safe.test_client()
        page = client.get("/login", base_url="https://localhost")
        form = {"username": "elena", "password": PASSWORD}
        form["csrf_token"] = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
        headers = {"Referer": "https://localhost/login"}
        client.post("/login", data=form, base_url="https://localhost", headers=headers)
        page = client.get("/login/code", base_url="https://localhost")
        form = {"code": totp.code_at(secret, utcnow())}
        form["csrf_token"] = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
        done = client.post("/login/code", data=form, base_url="https://localhost", headers=headers)
        assert done.status_code == 302
        cookies = done.headers.getlist("Set-Cookie")
        assert {cookie.split("=")[0] for cookie in cookies} == {"__Host-payadmin", "__Host-payadmin-device"}
        assert all("Secure" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)
        db.session.remove()
        db.engine.dispose()
