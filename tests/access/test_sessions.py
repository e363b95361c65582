"""Sessions end when they should: idle, old, signed out, revoked, locked, other password, other roles."""

import datetime as dt
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.actions import access
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.kernel.errors import Forbidden
from payadmin.models.access import StaffUser, UserSession
from payadmin.permissions import Permission, Role
from payadmin.work import Actor
from tests.support.signin import PASSWORD, enter_as, make_staff, secret_of


def is_in(client: FlaskClient, **headers: str) -> bool:
    answer = client.get("/account/", headers={"Accept": "application/json", **headers})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def age(session: UserSession, *, seen: int = 0, opened: int = 0) -> None:
    session.last_seen_at = utcnow() - dt.timedelta(seconds=seen)
    session.created_at = utcnow() - dt.timedelta(seconds=max(opened, seen))
    db.session.commit()


def person(staff: StaffUser) -> Actor:
    return Actor(staff_id=staff.id, name=staff.username, roles=staff.roles, permissions=staff.permissions)


def token(client: FlaskClient, url: str = "/account/password") -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', client.get(url).text)[1]


def test_a_session_ends_after_fifteen_minutes_without_an_act(app: Flask):
    client = enter_as(app, make_staff(Role.ADMIN).id)
    age(db.session.query(UserSession).one(), seen=899)
    assert is_in(client)
    age(db.session.query(UserSession).one(), seen=901)
    assert not is_in(client)


def test_whoever_idled_out_is_told_so_and_comes_back_to_the_same_page(app: Flask):
    client = enter_as(app, make_staff(Role.ADMIN).id)
    age(db.session.query(UserSession).one(), seen=901)
    answer = client.get("/account/password?x=1")
    assert answer.location == "/login?next=/account/password?x%3D1"
    assert "Your session has ended" in client.get(answer.location).text


def test_polling_is_not_an_act(app: Flask):
    client = enter_as(app, make_staff(Role.ADMIN).id)
    age(db.session.query(UserSession).one(), seen=600)
    before = db.session.query(UserSession).one().last_seen_at
    assert is_in(client, **{"X-Partial": "status"})
    assert db.session.query(UserSession).one().last_seen_at == before
    assert is_in(client)
    after = db.session.query(UserSession).one().last_seen_at
    assert after > before
    assert is_in(client)
    assert db.session.query(UserSession).one().last_seen_at == after  # at most once a minute


def test_a_session_ends_after_twelve_hours_whatever_happens(app: Flask):
    client = enter_as(app, make_staff(Role.ADMIN).id)
    age(db.session.query(UserSession).one(), opened=12 * 3600 - 5)
    assert is_in(client)
    age(db.session.query(UserSession).one(), opened=12 * 3600 + 1)
    assert not is_in(client)


def test_a_locked_account_is_out_at_the_next_request(app: Flask):
    manager = make_staff(Role.SUPPORT_MANAGER)
    staff = make_staff(Role.SUPPORT_AGENT, manager_id=manager.id)
    client = enter_as(app, staff.id)
    assert is_in(client)
    access.lock_staff(person(manager), staff.id, reason="Lost laptop.")
    assert not is_in(client)
    access.unlock_staff(person(manager), staff.id, reason="Found.")
    assert not is_in(client)
    assert is_in(enter_as(app, staff.id))


def test_other_roles_end_the_sessions_and_count_at_once(app: Flask):
    staff, admin = make_staff(Role.ADMIN), make_staff(Role.ADMIN)
    client = enter_as(app, staff.id)
    access.change_roles(person(admin), staff.id, roles={Role.CASHIER}, reason="Moved.")
    assert not is_in(client)
    assert db.session.get_one(StaffUser, staff.id).roles == {Role.CASHIER}


def test_a_new_password_ends_every_session_but_gives_this_browser_a_new_one(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    here, elsewhere = enter_as(app, staff.id), enter_as(app, staff.id)
    stolen = here.get_cookie("payadmin")
    form = {"csrf_token": token(here), "password": "maple harbour 77 lamp", "again": "maple harbour 77 lamp"}
    wrong = here.post("/account/password", data={**form, "current": "not it"})
    assert (wrong.status_code, "not your current password" in wrong.text) == (422, True)
    assert here.post("/account/password", data={**form, "current": PASSWORD}).status_code == 302
    assert is_in(here)
    assert not is_in(elsewhere)
    thief = app.test_client()
    thief.set_cookie("payadmin", stolen.value)
    assert not is_in(thief)
    reused = here.post(
        "/account/password",
        data={
            "csrf_token": token(here),
            "current": "maple harbour 77 lamp",
            "password": PASSWORD,
            "again": PASSWORD,
        },
    )
    assert "used this password before" in reused.text


def test_signing_in_makes_a_new_session_id(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    client.post("/login", data={"csrf_token": token(client, "/login"), "username": "elena", "password": PASSWORD})
    before = client.get_cookie("payadmin").value
    code = totp.code_at(secret_of(staff.id), utcnow())
    client.post("/login/code", data={"csrf_token": token(client, "/login/code"), "code": code})
    assert client.get_cookie("payadmin").value != before
    planted = app.test_client()
    planted.set_cookie("payadmin", before)
    assert not is_in(planted)


def test_owners_list_and_end_their_sessions_and_nobody_elses(app: Flask):
    staff, other = make_staff(Role.ADMIN), make_staff(Role.ADMIN)
    here, phone, foreign = enter_as(app, staff.id), enter_as(app, staff.id), enter_as(app, other.id)
    ids = [row.id for row in db.session.query(UserSession).order_by(UserSession.id)]
    form = {"csrf_token": token(here)}
    assert here.get("/account/").text.count("<tr>") == 3
    assert here.post(f"/account/sessions/{ids[2]}/end", data=form).status_code == 404
    assert is_in(foreign)
    assert here.post(f"/account/sessions/{ids[1]}/end", data=form).status_code == 302
    assert not is_in(phone)
    tablet = enter_as(app, staff.id)
    here.post("/account/sessions/end-others", data=form)
    assert not is_in(tablet)
    assert is_in(here)


def test_managers_end_sessions(app: Flask):
    staff, admin, cashier = make_staff(Role.CASHIER), make_staff(Role.ADMIN), make_staff(Role.CASHIER)
    client = enter_as(app, staff.id)
    session_id = db.session.query(UserSession).one().id
    with pytest.raises(Forbidden):
        access.end_session(person(cashier), session_id, reason="No.")
    assert is_in(client)
    access.end_session(person(admin), session_id, reason="Reported as stolen.")
    assert not is_in(client)


def test_menu_access_takes_away_and_never_adds(app: Flask):
    staff = make_staff(Role.CASHIER, menu_access=["cash-register-day", "staff"])
    assert Permission.CASH_DAY_READ in staff.permissions
    assert Permission.CASH_OPERATION_READ not in staff.permissions
    assert Permission.ACCESS_STAFF_READ not in staff.permissions
    assert Permission.HOME_PAGE_READ in staff.permissions
