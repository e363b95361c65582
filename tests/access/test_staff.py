"""Accounts: who may make and change whom, passwords that pass, second factors at rest, the demo's accounts."""

import dataclasses

import pytest
from flask import Flask
from sqlalchemy import text

from payadmin import create_worker_app, step_up
from payadmin.actions import access
from payadmin.actions.access import Browser
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel import passwords, totp, vault
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.access import RecoveryCode, SecondFactor, StaffStatus, StaffUser
from payadmin.permissions import GRANTABLE, Role
from payadmin.work import SYSTEM, Actor
from tests.support.signin import PASSWORD, make_staff, secret_of

STRANGER = access.stranger("127.0.0.1", "request-1")


def person(staff: StaffUser) -> Actor:
    return Actor(staff_id=staff.id, name=staff.username, roles=staff.roles, permissions=staff.permissions)


@pytest.mark.parametrize("maker", [Role.ADMIN, Role.CFO, Role.COMPLIANCE, Role.SUPPORT_MANAGER, Role.CASHIER])
def test_the_grant_matrix_decides_who_makes_whom(app: Flask, maker: Role):
    actor = person(make_staff(maker))
    for role in Role:
        name = f"new-{role.name.lower()}"
        details = {"username": name, "full_name": "New", "email": f"{name}@example.com", "roles": {role}}
        if role in GRANTABLE.get(maker, frozenset()):
            assert access.create_staff(actor, **details).username == name
        else:
            with pytest.raises(Forbidden):
                access.create_staff(actor, **details)
            assert db.session.query(StaffUser).filter_by(username=name).count() == 0


def test_nobody_manages_themselves_or_somebody_with_more_rights(app: Flask):
    admin, manager = make_staff(Role.ADMIN), make_staff(Role.SUPPORT_MANAGER)
    both = make_staff(Role.SUPPORT_AGENT, Role.ADMIN)
    for actor, staff in ((admin, admin), (manager, admin), (manager, both), (manager, manager)):
        for act in (access.lock_staff, access.unlock_staff, access.reset_password, access.reset_authenticator):
            with pytest.raises(Forbidden):
                act(person(actor), staff.id, reason="No.")
        with pytest.raises(Forbidden):
            access.change_roles(person(actor), staff.id, roles={Role.SUPPORT_AGENT}, reason="No.")
    with pytest.raises(Forbidden):
        access.change_roles(person(manager), make_staff(Role.SUPPORT_AGENT).id, roles={Role.ADMIN}, reason="No.")


def test_a_second_account_is_no_way_to_raise_ones_own_rights(app: Flask):
    first = make_staff(Role.CFO)
    second = make_staff(Role.CASHIER, person_id=first.id)
    third = make_staff(Role.ADMIN, person_id=first.id)
    for acting, other in ((first, second), (first, third), (third, first), (third, second)):
        with pytest.raises(Forbidden, match="Somebody else"):
            access.change_roles(person(acting), other.id, roles=[Role.ADMIN], reason="More")
        with pytest.raises(Forbidden, match="Somebody else"):
            access.reset_authenticator(person(acting), other.id, reason="Lost")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"username": "a"}, "username"),
        ({"username": "<script>"}, "username"),
        ({"email": "nobody"}, "email"),
        ({"full_name": " "}, "full_name"),
        ({"roles": set()}, "roles"),
        ({"menu_access": ["no-such-page"]}, "menu_access"),
    ],
)
def test_bad_accounts_are_refused_at_the_field(app: Flask, values, field: str):
    details = {"username": "new", "full_name": "New", "email": "new@example.com", "roles": {Role.CASHIER}}
    with pytest.raises(Invalid) as refusal:
        access.create_staff(SYSTEM, **details | values)
    assert refusal.value.field == field
    assert db.session.query(StaffUser).count() == 0


def test_a_user_name_is_taken_in_any_spelling(app: Flask):
    access.create_staff(SYSTEM, username="Elena", full_name="E", email="e@example.com", roles={Role.CASHIER})
    with pytest.raises(Conflict):
        access.create_staff(SYSTEM, username=" eLENA", full_name="E", email="f@example.com", roles={Role.CASHIER})


@pytest.mark.once
@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short1", "at least 12"),
        ("x1" * 65, "at most 128"),
        ("no digits in here", "one letter and one digit"),
        ("123456789012", "one letter and one digit"),
        ("my-elena-is-1st", "user name"),
        ("1qaz2wsx3edc", "too common"),
        ("Password12345!", "too common"),
        ("dragon-20262026", "too common"),
        ("tab\tand 1 letter", "typed and shown"),
        ("maple harbour 77 lamp", None),
        ("Ω" * 12 + "7", None),
        ("x7" * 64, None),
    ],
)
def test_the_password_rule(password: str, complaint: str | None):
    found = passwords.complaint(password, username="elena")
    assert (found is None) if complaint is None else (complaint in found)


@pytest.mark.once
def test_hashes_are_argon2id_with_the_agreed_cost():
    hashed = passwords.hash_password("maple harbour 77 lamp")
    assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert passwords.matches(hashed, "maple harbour 77 lamp")
    assert not passwords.matches(None, "maple harbour 77 lamp")
    assert not passwords.outdated(hashed)


def test_a_weaker_hash_is_renewed_at_sign_in(app: Flask):
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    staff = make_staff(Role.ADMIN, username="elena", password_hash=weak)
    assert access.check_password(STRANGER, username="elena", password=PASSWORD, device=None) is not None
    db.session.expire_all()
    assert "m=47104" in db.session.get_one(StaffUser, staff.id).password_hash


def test_the_last_four_passwords_cannot_come_back(app: Flask):
    actor, used = person(make_staff(Role.ADMIN)), [PASSWORD]
    here = Browser(ip="", agent="")
    for number in range(4):
        access.change_password(actor, current=used[-1], password=f"maple harbour lamp {number}", browser=here)
        used.append(f"maple harbour lamp {number}")
        with pytest.raises(Invalid, match="used this password before"):
            access.change_password(actor, current=used[-1], password=used[max(0, number - 2)], browser=here)
    access.change_password(actor, current=used[-1], password=PASSWORD, browser=here)  # the fifth last


# ------------------------------------------------------------------------------------------ second factors at rest


def test_a_dump_of_the_database_holds_no_usable_factor(app: Flask):
    accounts = access.create_demo_staff("seven green chairs 42")
    secrets = [account.secret for account in accounts]
    dump = []
    for table in ("staff_user", "second_factor", "recovery_code", "password_history", "user_session", "audit_event"):
        dump += [str(tuple(row)) for row in db.session.execute(text(f"SELECT * FROM {table}"))]
    everything = "\n".join(dump)
    assert len(secrets) == len(set(secrets)) == len(access.DEMO_STAFF)
    for hidden in [*secrets, "seven green chairs 42"]:
        assert hidden not in everything


def test_a_secret_moved_to_another_account_opens_nothing(app: Flask):
    victim, attacker = make_staff(Role.ADMIN, username="victim"), make_staff(Role.CASHIER)
    known = secret_of(attacker.id)
    rows = {row.staff_id: row for row in db.session.query(SecondFactor)}
    rows[victim.id].sealed = rows[attacker.id].sealed
    db.session.commit()
    ticket = access.check_password(STRANGER, username="victim", password=PASSWORD, device=None)
    with pytest.raises(vault.Unreadable):
        access.check_code(
            STRANGER, victim.id, ticket=ticket, code=totp.code_at(known, utcnow()), browser=Browser("", "")
        )


def test_keys_rotate_without_a_new_enrolment(app: Flask, settings: Settings):
    staff_id = make_staff(Role.ADMIN, username="elena").id
    secret = secret_of(staff_id)
    before = db.session.query(SecondFactor).one().sealed
    db.session.remove()
    rotated = create_worker_app(dataclasses.replace(settings, totp_keys=(b"n" * 32, *settings.totp_keys)))
    with rotated.app_context():
        ticket = access.check_password(STRANGER, username="elena", password=PASSWORD, device=None)
        code = totp.code_at(secret, utcnow())
        assert access.check_code(STRANGER, staff_id, ticket=ticket, code=code, browser=Browser("", "")) is not None
        assert db.session.query(SecondFactor).one().sealed != before
        db.session.remove()
        db.engine.dispose()
    only_new = create_worker_app(dataclasses.replace(settings, totp_keys=(b"n" * 32,)))
    with only_new.app_context():
        assert step_up.unseal(staff_id, db.session.query(SecondFactor).one().sealed) == secret
        db.session.remove()
        db.engine.dispose()


def test_a_new_phone_takes_over_only_when_it_is_confirmed(app: Flask):
    staff = make_staff(Role.ADMIN)
    actor, old = person(staff), secret_of(staff.id)
    with pytest.raises(Invalid):
        access.offer_new_authenticator(actor, code="000000")
    access.offer_new_authenticator(actor, code=totp.code_at(old, utcnow()))
    factor = db.session.query(SecondFactor).one()
    fresh = access.pending_secret(actor, factor)
    assert fresh not in {None, old}
    assert secret_of(staff.id) == old
    with pytest.raises(Invalid):
        access.confirm_new_authenticator(actor, code="000000", browser=Browser("", ""))
    access.confirm_new_authenticator(actor, code=totp.code_at(fresh, utcnow()), browser=Browser("", ""))
    db.session.expire_all()
    assert secret_of(staff.id) == fresh


def test_a_new_phone_that_is_withdrawn_leaves_the_old_one_working(app: Flask):
    staff = make_staff(Role.ADMIN)
    actor, old = person(staff), secret_of(staff.id)
    access.offer_new_authenticator(actor, code=totp.code_at(old, utcnow()))
    fresh = access.pending_secret(actor, db.session.query(SecondFactor).one())
    access.withdraw_new_authenticator(actor)
    access.withdraw_new_authenticator(actor)
    assert access.pending_secret(actor, db.session.query(SecondFactor).one()) is None
    with pytest.raises(Invalid):
        access.confirm_new_authenticator(actor, code=totp.code_at(fresh, utcnow()), browser=Browser("", ""))
    assert secret_of(staff.id) == old


def test_recovery_codes_are_hashed_and_the_old_ones_die(app: Flask):
    staff = make_staff(Role.ADMIN)
    actor = person(staff)
    codes = access.renew_recovery_codes(actor, code=totp.code_at(secret_of(staff.id), utcnow()))
    stored = {row.code_hash for row in db.session.query(RecoveryCode)}
    assert len(codes) == len(stored) == 10
    assert stored == {totp.recovery_hash(staff.id, code) for code in codes}
    assert not stored & {totp.recovery_hash(staff.id + 1, code) for code in codes}


def test_the_demo_has_ready_accounts_for_each_role_and_keeps_them(app: Flask):
    accounts = access.create_demo_staff("seven green chairs 42")
    assert {role for account in accounts for role in account.roles} == set(Role)
    assert {staff.status for staff in db.session.query(StaffUser)} == {StaffStatus.ACTIVE}
    ticket = access.check_password(STRANGER, username="operator", password="seven green chairs 42", device=None)
    secret = next(account.secret for account in accounts if account.username == "operator")
    opened = access.check_code(
        STRANGER, ticket.staff_id, ticket=ticket, code=totp.code_at(secret, utcnow()), browser=Browser("", "")
    )
    assert opened is not None
    assert access.create_demo_staff("seven green chairs 42") == accounts
