"""A browser that is signed in as a new member of staff: a real session row, no shortcut in the gate."""

import itertools
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from payadmin import step_up
from payadmin.actions.access import Browser
from payadmin.actions.access.sign_in import open_session
from payadmin.db import db, utcnow
from payadmin.kernel import passwords, totp
from payadmin.models.access import PasswordMemory, SecondFactor, StaffRole, StaffStatus, StaffUser
from payadmin.permissions import Role
from payadmin.work import SYSTEM, Work


class TestBrowser(FlaskClient):
    """A client whose every request has an application context of its own, as requests in production do.

    Flask would reuse the one that a test holds, and with it `g`: one browser would get another's CSRF token and person.
    """

    __test__ = False

    def open(self, *args: Any, **kwargs: Any) -> Any:
        db.session.rollback()  # the test sees what the request changed
        with self.application.app_context():
            answer = super().open(*args, **kwargs)
        db.session.rollback()
        return answer


PASSWORD = "seven green chairs 42"
_numbers = itertools.count(1)
_hashes: dict[str, str] = {}


def make_staff(*roles: Role, password: str = PASSWORD, secret: str | None = None, **values: Any) -> StaffUser:
    """An active account with an enrolled authenticator, written straight into the database."""
    number = next(_numbers)
    hashed = _hashes.setdefault(password, passwords.hash_password(password))
    staff = StaffUser(
        **{
            "username": f"staff{number}",
            "full_name": f"Staff {number}",
            "email": f"staff{number}@example.com",
            "status": StaffStatus.ACTIVE,
            "must_change_password": False,
            "password_hash": hashed,
            "role_rows": [StaffRole(role=role) for role in sorted(roles)],
        }
        | values
    )
    db.session.add(staff)
    db.session.flush()
    sealed = step_up.seal(staff.id, secret or totp.new_secret())
    db.session.add(SecondFactor(staff_id=staff.id, sealed=sealed, confirmed_at=utcnow()))
    db.session.add(PasswordMemory(staff_id=staff.id, password_hash=hashed))
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    return staff


def secret_of(staff_id: int) -> str:
    """The secret in a person's authenticator app."""
    factor = db.session.query(SecondFactor).filter_by(staff_id=staff_id).one()
    assert factor.sealed is not None
    return step_up.unseal(staff_id, factor.sealed)


def enter_as(app: Flask, staff_id: int) -> FlaskClient:
    """A client with an open session of the account."""
    work = Work(actor=SYSTEM, session=db.session(), now=utcnow(), name="test")
    token = open_session(work, work.get(StaffUser, staff_id), Browser(ip="127.0.0.1", agent="pytest"))
    db.session.commit()
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = token
        session["_fresh"] = True
    return client


def sign_in(app: Flask, *roles: Role, **values: Any) -> FlaskClient:
    """A client signed in as a new account with `roles`; `client.staff_id` says whose."""
    staff_id = make_staff(*roles, **values).id
    client = enter_as(app, staff_id)
    client.staff_id = staff_id  # type: ignore[attr-defined]
    return client
