"""The grant matrix, everywhere: use cases, pages and addresses; nobody raises own rights, an administrator is left."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin import step_up
from payadmin.actions import access
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from payadmin.models.access import StaffStatus, StaffUser, UserSession
from payadmin.models.audit import AuditEvent
from payadmin.permissions import GRANTABLE, MENU_KEYS, Permission, Role, permissions_of, within_menu
from tests.support.make import Make
from tests.support.people import code_for, id_of, person
from tests.support.signin import enter_as, make_staff

pytestmark = pytest.mark.usefixtures("no_csrf")

MAKERS = (Role.ADMIN, Role.CFO, Role.COMPLIANCE, Role.SUPPORT_MANAGER)
ADDRESSES = (
    "",
    "edit/",
    "rights/",
    "lock/",
    "unlock/",
    "lift-pause/",
    "reset-password/",
    "reset-authenticator/",
    "secret-key/",
    "end-sessions/",
    "disable/",
)


def contents() -> list[tuple]:
    """What could be changed about accounts."""
    db.session.rollback()
    found = [tuple(row) for row in db.session.execute(select(StaffUser.__table__).order_by(StaffUser.id))]
    ends = [tuple(row) for row in db.session.execute(select(UserSession.id, UserSession.ended_at))]
    db.session.rollback()
    return found + ends


@pytest.mark.parametrize("role", list(Role))
def test_no_address_of_an_account_opens_for_somebody_who_may_not_manage_it(app: Flask, make: Make, role: Role) -> None:
    client = make.browse(role)
    others = {target: make_staff(target).id for target in Role}
    session_of = {}
    for target, staff_id in others.items():
        enter_as(app, staff_id)
        session_of[target] = db.session.scalars(select(UserSession.id).where(UserSession.staff_id == staff_id)).one()
    before = contents()
    form = {
        "reason": "x",
        "full_name": "Eve",
        "email": "eve@example.com",
        "roles": "ADMIN",
        "seen": "",
        "code": "000000",
    }
    for target, staff_id in others.items():
        mine = target in GRANTABLE.get(role, ()) and not (target is Role.SUPPORT_AGENT and role is Role.SUPPORT_MANAGER)
        for path in ADDRESSES:
            answer = client.get(f"/staff/{staff_id}/{path}")
            assert answer.status_code == (200 if mine else (404 if role in MAKERS else 403)), (target, path)
            if not mine and path:
                assert client.post(f"/staff/{staff_id}/{path}", data=form).status_code in {403, 404}, (target, path)
        if not mine:
            path = f"/staff/{staff_id}/sessions/{session_of[target]}/end/"
            assert client.post(path).status_code in {403, 404}
    assert contents() == before


@pytest.mark.parametrize("role", MAKERS)
def test_a_session_cannot_be_ended_through_somebody_elses_address(app: Flask, make: Make, role: Role) -> None:
    client = make.browse(role)
    target = min(GRANTABLE[role])
    mine = make_staff(target, manager_id=id_of(client) if target is Role.SUPPORT_AGENT else None).id
    other = make_staff(Role.CASHIER).id
    enter_as(app, other)
    theirs = db.session.scalars(select(UserSession.id).where(UserSession.staff_id == other)).one()
    assert client.get(f"/staff/{mine}/").status_code == 200
    assert client.post(f"/staff/{mine}/sessions/{theirs}/end/").status_code == 404
    db.session.rollback()
    assert db.session.get_one(UserSession, theirs).ended_at is None


def test_a_support_manager_has_only_their_own_team(app: Flask, make: Make) -> None:
    client = make.browse(Role.SUPPORT_MANAGER)
    mine = make_staff(Role.SUPPORT_AGENT, manager_id=id_of(client), full_name="Amir Haddad").id
    other = make_staff(Role.SUPPORT_AGENT, manager_id=make_staff(Role.SUPPORT_MANAGER).id, full_name="Bea Other").id
    listed = client.get("/staff/").text
    assert "Amir Haddad" in listed, "those one manages are not masked"
    assert "Bea Other" not in listed
    assert client.get(f"/staff/{mine}/").status_code == 200
    assert client.get(f"/staff/{other}/").status_code == 404
    manager = person(db.session.get_one(StaffUser, id_of(client)))
    with pytest.raises(Forbidden, match="another support manager"):
        access.lock_staff(manager, other, reason="No.")
    made = access.create_staff(
        manager, username="new-agent", full_name="New", email="n@example.com", roles={Role.SUPPORT_AGENT}, manager_id=1
    )
    assert db.session.get_one(StaffUser, made.staff_id).manager_id == manager.staff_id, "never somebody else's"


@pytest.mark.parametrize("role", MAKERS)
def test_nobody_changes_their_own_account_by_user_management(make: Make, role: Role) -> None:
    client = make.browse(role)
    own = f"/staff/{id_of(client)}"
    before = contents()
    for path in ADDRESSES[1:]:
        form = {"reason": "x", "roles": [each.name for each in Role], "full_name": "E", "email": "e@example.com"}
        assert client.post(f"{own}/{path}", data=form).status_code in {403, 404, 422}, path
    actor = person(db.session.get_one(StaffUser, id_of(client)))
    for act in (access.lock_staff, access.disable_staff, access.reset_authenticator, access.end_sessions):
        with pytest.raises(Forbidden):
            act(actor, actor.staff_id, reason="x")
    for change in ({"roles": [Role.ADMIN]}, {"roles": ["ADMIN", "CFO"]}):
        with pytest.raises(Forbidden):
            access.change_roles(actor, actor.staff_id, reason="x", **change)
    with pytest.raises(Forbidden):
        access.change_menu_access(actor, actor.staff_id, menu_access=[], reason="x")
    assert contents()[: len(before)] == before


def test_fields_that_a_form_does_not_have_change_nothing(app: Flask, make: Make) -> None:
    """Mass assignment: whatever is stuffed into a form, only what it shows is read."""
    stuffing = {
        "id": "1", "version": "99", "status": "ACTIVE", "is_locked": "0", "password_hash": "x", "session_epoch": "77",
        "must_change_password": "", "parent_id": "1", "person_id": "1", "username": "root", "permissions": "all",
        "roles": ["ADMIN", "CFO"], "menu_access": ["staff"], "role_rows": "ADMIN", "organization_id": "999",
    }  # fmt: skip
    client = make.browse(Role.COMPLIANCE)
    staff_id = make_staff(Role.ANTI_FRAUD, username="fred", status=StaffStatus.LOCKED).id
    page = client.get(f"/staff/{staff_id}/edit/").text
    form = {
        "full_name": "Fred Fox",
        "email": "fred@example.com",
        "mobile": "",
        "seen": page.split('name="seen"')[1].split('value="')[1][:32],
    }
    answer = client.post(f"/staff/{staff_id}/edit/", data=stuffing | form | {"organization_id": ""})
    assert answer.status_code == 302, answer.text
    db.session.rollback()
    fred = db.session.get_one(StaffUser, staff_id)
    assert (fred.full_name, fred.username, fred.status) == ("Fred Fox", "fred", StaffStatus.LOCKED)
    assert (fred.roles, fred.menu_access, fred.session_epoch) == ({Role.ANTI_FRAUD}, [], 1)

    created = client.post(
        "/staff/new/",
        data=stuffing
        | {"username": "gina", "full_name": "G", "email": "g@example.com", "mobile": "", "organization_id": ""},
    )
    assert created.status_code == 422, "a role beyond the matrix is not even on the list"
    own = {"full_name": "Me Myself", "mobile": ""}
    assert client.post("/account/details", data=stuffing | own).status_code == 302
    db.session.rollback()
    me = db.session.get_one(StaffUser, id_of(client))
    assert (me.full_name, me.roles, me.menu_access) == ("Me Myself", {Role.COMPLIANCE}, [])
    assert db.session.scalar(select(func.count()).select_from(StaffUser)) == 2


def test_rights_are_changed_with_a_code_and_end_the_sessions(app: Flask, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    staff_id = make_staff(Role.CASHIER).id
    theirs = enter_as(app, staff_id)
    page = client.get(f"/staff/{staff_id}/rights/").text
    offer, seen = (page.split(f'name="{name}"')[1].split('value="')[1].split('"')[0] for name in ("offer", "seen"))
    form = {
        "roles": ["PAYMENTS_OPERATOR"],
        "menu_access": ["void", "transactions"],
        "reason": "Moved.",
        "offer": offer,
        "seen": seen,
        "manager_id": "",
    }
    for code in ("", "000000"):
        refused = client.post(f"/staff/{staff_id}/rights/", data=form | {"code": code})
        assert refused.status_code == 422
        assert "wrong or was already used" in refused.text
    assert theirs.get("/account/").status_code == 200
    code = code_for(id_of(client))
    done = client.post(f"/staff/{staff_id}/rights/", data=form | {"code": code})
    assert done.status_code == 302, done.text
    db.session.rollback()
    staff = db.session.get_one(StaffUser, staff_id)
    assert (staff.roles, staff.menu_access) == ({Role.PAYMENTS_OPERATOR}, ["transactions", "void"])
    assert theirs.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "access.staff.changed")).one()
    assert entry.before == {"roles": ["CASHIER"], "menu_access": []}
    assert entry.after == {"roles": ["PAYMENTS_OPERATOR"], "menu_access": ["transactions", "void"]}
    replayed = client.post(f"/staff/{staff_id}/rights/", data=form | {"code": code, "roles": ["CFO"]})
    assert replayed.status_code in {409, 422}, "neither the offer nor what was seen counts twice"


def test_the_offer_for_one_account_confirms_nothing_about_another(app: Flask, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    actor = person(db.session.get_one(StaffUser, id_of(client)))
    one, other = make_staff(Role.CASHIER).id, make_staff(Role.CASHIER).id
    with app.test_request_context():
        offer = step_up.offer(actor, access.RIGHTS_ACT, {"staff": one})
    for staff_id, act in ((other, "rights"), (one, "secret-key")):
        form = {"roles": ["CFO"], "reason": "x", "offer": offer, "code": code_for(id_of(client)), "seen": ""}
        assert client.post(f"/staff/{staff_id}/{act}/", data=form).status_code in {409, 422}
    db.session.rollback()
    assert db.session.get_one(StaffUser, other).roles == {Role.CASHIER}
    assert db.session.scalar(select(func.count()).where(AuditEvent.event == "access.secret_key.shown")) == 0


# ------------------------------------------------------------------------------------------ the last administrator


def test_the_last_active_administrator_stays(app: Flask) -> None:
    cfo, admin = person(make_staff(Role.CFO)), make_staff(Role.ADMIN)
    make_staff(Role.ADMIN, status=StaffStatus.LOCKED)
    make_staff(Role.ADMIN, menu_access=["monitoring"])  # an administrator in name only
    for act in (
        lambda: access.lock_staff(cfo, admin.id, reason="x"),
        lambda: access.disable_staff(cfo, admin.id, reason="x"),
        lambda: access.change_roles(cfo, admin.id, roles={Role.CASHIER}, reason="x"),
        lambda: access.change_menu_access(cfo, admin.id, menu_access=["monitoring"], reason="x"),
    ):
        with pytest.raises(Conflict, match="last administrator"):
            act()
    access.change_menu_access(cfo, admin.id, menu_access=["staff", "monitoring"], reason="x")
    make_staff(Role.ADMIN)
    access.lock_staff(cfo, admin.id, reason="x")
    assert db.session.get_one(StaffUser, admin.id).status is StaffStatus.LOCKED


def test_two_administrators_who_lock_each_other_at_once_do_not_both_win(app: Flask) -> None:
    for _ in range(3):
        one, other = make_staff(Role.ADMIN), make_staff(Role.ADMIN)
        pairs = [(person(one), other.id), (person(other), one.id)]
        db.session.remove()
        start = threading.Barrier(2)

        def run(pair: tuple, start: threading.Barrier = start) -> str:
            with app.app_context():
                start.wait()
                try:
                    access.lock_staff(pair[0], pair[1], reason="x")
                except Refusal as refusal:
                    return refusal.code
                return "locked"

        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(run, pairs))
        assert outcomes == ["conflict", "locked"]
        db.session.rollback()
        left = db.session.scalars(select(StaffUser).where(StaffUser.status == StaffStatus.ACTIVE)).one()
        left_id = left.id
        # The one who is left makes room for the next round.
        access.lock_staff(person(make_staff(Role.ADMIN)), left_id, reason="x")
        spare = db.session.scalars(select(StaffUser).where(StaffUser.status == StaffStatus.ACTIVE)).one()
        spare.status = StaffStatus.LOCKED
        db.session.info["payadmin.explained"] = {("staff_user", str(spare.id))}
        db.session.commit()


# ------------------------------------------------------------------------------------------ menu access


def test_menu_access_takes_the_acts_of_a_page_away_with_it() -> None:
    allowed = permissions_of({Role.ADMIN})
    assert within_menu(allowed, []) == allowed
    left = within_menu(allowed, ["monitoring"])
    assert Permission.SYSTEM_MONITORING_WRITE in left
    assert not {p for p in left if p.startswith(("access:staff", "payments:payment", "parties:"))} - {
        Permission.PARTIES_PERSONAL_READ
    }
    assert within_menu(allowed, MENU_KEYS) == allowed
    for key in MENU_KEYS:
        assert within_menu(allowed, [key]) <= allowed


def test_a_page_that_is_not_ticked_is_neither_in_the_menu_nor_on_the_server(app: Flask, make: Make) -> None:
    whole = make.browse(Role.PAYMENTS_OPERATOR)
    ticked = make.browse(Role.PAYMENTS_OPERATOR, menu_access=["transactions", "needs-attention"])
    for path, opens in (
        ("/transactions/", True),
        ("/needs-attention/", True),
        ("/scheduled-charges/", False),  # the same permission as needs-attention, another entry
        ("/subscriptions/", False),
        ("/void/", False),
        ("/refund/", False),
        ("/batch-transaction/", False),
        ("/customers/", False),
        ("/account/", True),
        ("/", True),
    ):
        assert whole.get(path).status_code == 200, path
        assert ticked.get(path).status_code == (200 if opens else 403), path
        if path != "/account/":
            assert (f'href="{path}"' in ticked.get("/").text) is opens
    payment = make.payment()
    assert ticked.get(f"/transactions/{payment.id}/action/refund/").status_code == 403


def test_menu_access_never_adds(make: Make) -> None:
    cashier = make.browse(Role.CASHIER, menu_access=["staff", "transactions", "cash-register-day"])
    assert cashier.get("/staff/").status_code == 403
    assert cashier.get("/transactions/").status_code == 403


def test_a_manager_without_the_menu_entry_manages_nobody(app: Flask) -> None:
    admin = person(make_staff(Role.ADMIN, menu_access=["monitoring"]))
    with pytest.raises(Forbidden):
        access.lock_staff(admin, make_staff(Role.CASHIER).id, reason="x")


def test_roles_of_a_stored_request_are_given_by_name_and_refused_when_made_up(app: Flask) -> None:
    admin, staff = person(make_staff(Role.ADMIN)), make_staff(Role.CASHIER)
    access.change_roles(admin, staff.id, roles=["CFO", "ACCOUNTANT"], reason="As approved.")
    assert db.session.get_one(StaffUser, staff.id).roles == {Role.CFO, Role.ACCOUNTANT}
    with pytest.raises(Invalid):
        access.change_roles(admin, staff.id, roles=["ROOT"], reason="x")
    with pytest.raises(Invalid, match="no menu entry"):
        access.change_menu_access(admin, staff.id, menu_access=["everything"], reason="x")
