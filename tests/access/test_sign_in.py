"""Signing in through the pages: every step, every refusal, and what a first sign-in asks for."""

import datetime as dt
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.actions import access
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.kernel.errors import Conflict
from payadmin.models.access import StaffStatus, StaffUser, UserSession
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Role
from tests.support.signin import PASSWORD, make_staff, secret_of


def post(client: FlaskClient, url: str, **form: str):
    page = client.get(url, follow_redirects=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token, page.text
    return client.post(url, data={"csrf_token": token[1], **form})


def test_password_then_code_opens_the_page_that_was_asked_for(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    asked = client.get("/account/")
    assert (asked.status_code, asked.location) == (302, "/login?next=/account/")
    step = post(client, "/login?next=/account/", username=" ELENA ", password=PASSWORD)
    assert (step.status_code, step.location) == (302, "/login/code")
    done = post(client, "/login/code", code=totp.code_at(secret_of(staff.id), utcnow()))
    assert (done.status_code, done.location) == (302, "/account/")
    page = client.get("/account/")
    assert page.status_code == 200
    assert "elena" in page.text
    assert [event.outcome for event in db.session.query(AuditEvent).filter_by(event="access.sign_in.succeeded")] == [
        "done"
    ]


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"])
def test_nobody_is_sent_to_another_site(app: Flask, target: str):
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/login").text)
    form = {"csrf_token": token[1], "username": "elena", "password": PASSWORD}
    client.post("/login", query_string={"next": target}, data=form)
    done = post(client, "/login/code", code=totp.code_at(secret_of(staff.id), utcnow()))
    assert done.location == "/"


def test_every_failure_of_the_first_step_answers_alike(app: Flask):
    make_staff(Role.ADMIN, username="known")
    make_staff(Role.ADMIN, username="locked", status=StaffStatus.LOCKED)
    make_staff(Role.ADMIN, username="stale", must_change_password=True, password_expires_at=utcnow())
    answers = set()
    for username, password in (
        ("known", "wrong"),
        ("nobody", "wrong"),
        ("locked", PASSWORD),
        ("stale", PASSWORD),
        ("", ""),
        ("known", PASSWORD + "x" * 200),
    ):
        answer = post(app.test_client(), "/login", username=username, password=password)
        text = re.sub(r'(csrf_token" value|nonce|value|autofocus)="[^"]*"| autofocus', "", answer.text)
        answers.add((answer.status_code, re.search(r'role="alert">.*?</div></div>', text, re.DOTALL)[0]))
    assert len(answers) == 1


def test_a_code_works_once(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    code = totp.code_at(secret_of(staff.id), utcnow())
    first, second = app.test_client(), app.test_client()
    for client in (first, second):
        post(client, "/login", username="elena", password=PASSWORD)
    assert post(first, "/login/code", code=code).status_code == 302
    refused = post(second, "/login/code", code=code)
    assert refused.status_code == 422
    assert "Wait for the next one" in refused.text


def test_the_first_sign_in_asks_for_a_password_and_an_authenticator(app: Flask):
    invitation = access.create_first_admin(username="Root", full_name="Ruth Root", email="ruth@example.com")
    client = app.test_client()
    step = post(client, "/login", username="root", password=invitation.password)
    assert step.location == "/login/password"
    assert client.get("/login/code").location == "/login/password"
    assert client.get("/login/enrol").location == "/login/password"
    weak = post(client, "/login/password", password="short1", again="short1")
    assert (weak.status_code, "at least 12 characters" in weak.text) == (422, True)
    same = post(client, "/login/password", password=invitation.password, again=invitation.password)
    assert "used this password before" in same.text
    step = post(client, "/login/password", password="maple harbour 77 lamp", again="maple harbour 77 lamp")
    assert step.location == "/login/enrol"
    page = client.get("/login/enrol")
    assert 'src="data:image/png;base64,' in page.text
    secret = re.search(r'class="setup-key">([^<]+)<', page.text)[1].replace(" ", "")
    assert post(client, "/login/enrol", code="000000").status_code == 422
    done = post(client, "/login/enrol", code=totp.code_at(secret, utcnow()))
    assert done.status_code == 200
    codes = re.findall(r"<li><code>([a-z0-9-]+)</code></li>", done.text)
    assert len(set(codes)) == 10
    assert client.get("/account/").status_code == 200
    staff = db.session.query(StaffUser).one()
    assert (staff.status, staff.must_change_password) == (StaffStatus.ACTIVE, False)

    phoneless = app.test_client()
    post(phoneless, "/login", username="root", password="maple harbour 77 lamp")
    back = post(phoneless, "/login/recovery", code=codes[0].upper().replace("-", " "))
    assert back.status_code == 302
    assert "9 are left" in phoneless.get("/account/").text
    again = app.test_client()
    post(again, "/login", username="root", password="maple harbour 77 lamp")
    assert post(again, "/login/recovery", code=codes[0]).status_code == 422


def test_the_first_administrator_is_made_only_once(app: Flask):
    access.create_first_admin(username="root", full_name="Ruth", email="ruth@example.com")
    with pytest.raises(Conflict):
        access.create_first_admin(username="second", full_name="Sam", email="sam@example.com")


def test_a_temporary_password_opens_nothing_after_a_day(app: Flask):
    invitation = access.create_first_admin(username="root", full_name="Ruth", email="ruth@example.com")
    staff = db.session.get_one(StaffUser, invitation.staff_id)
    staff.password_expires_at = utcnow() - dt.timedelta(seconds=1)
    db.session.info["payadmin.explained"] = {("staff_user", str(staff.id))}
    db.session.commit()
    assert post(app.test_client(), "/login", username="root", password=invitation.password).status_code == 422


def test_logging_out_kills_the_cookie_on_the_server(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    post(client, "/login", username="elena", password=PASSWORD)
    post(client, "/login/code", code=totp.code_at(secret_of(staff.id), utcnow()))
    stolen = client.get_cookie("payadmin")
    assert stolen is not None
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/account/password").text)[1]
    assert client.post("/logout", data={"csrf_token": token}).location == "/login"
    thief = app.test_client()
    thief.set_cookie("payadmin", stolen.value)
    assert thief.get("/account/").status_code == 302
    assert thief.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    assert thief.get("/account/", headers={"X-Partial": "list"}).status_code == 401
    assert db.session.query(UserSession).one().ended_at is not None


def test_cookies_are_out_of_reach_of_scripts(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    post(client, "/login", username="elena", password=PASSWORD)
    done = post(client, "/login/code", code=totp.code_at(secret_of(staff.id), utcnow()))
    for cookie in done.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie


def test_the_trail_of_sign_ins_holds_no_secret(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    secret, client = secret_of(staff.id), app.test_client()
    post(client, "/login", username=PASSWORD, password="elena")
    post(client, "/login", username="elena", password="Wrong-guess-4711")
    post(client, "/login", username="elena", password=PASSWORD)
    code = totp.code_at(secret, utcnow())
    post(client, "/login/code", code="123456" if code != "123456" else "654321")
    post(client, "/login/code", code=code)
    rows = db.session.query(AuditEvent).order_by(AuditEvent.id).all()
    assert [(row.event, row.outcome) for row in rows] == [
        ("access.sign_in.failed", "failed"),
        ("access.sign_in.failed", "failed"),
        ("access.sign_in.failed", "failed"),
        ("access.sign_in.succeeded", "done"),
    ]
    text = " ".join(str(vars(row)) for row in rows)
    for hidden in (PASSWORD, "Wrong-guess-4711", secret, code):
        assert hidden not in text
    assert all(row.ip == "127.0.0.1" and row.request_id for row in rows)
