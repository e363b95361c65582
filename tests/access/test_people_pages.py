"""User management and My account as pages: lists, forms, files, sessions, and old tricks against signing in."""

import re

import pytest
from flask import Flask
from sqlalchemy import event, func, select

from payadmin.actions import access
from payadmin.actions.access.staff_file import MOST_ROWS
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.models.access import LinkPurpose, RecoveryCode, SecondFactor, StaffStatus, StaffUser, UserSession
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.people import code_for, id_of, mailed, person
from tests.support.signin import PASSWORD, enter_as, make_staff, secret_of

pytestmark = pytest.mark.usefixtures("no_csrf")
HEAD = "username,full_name,email,mobile,roles,menu_access,organization,support_manager\n"


def upload(client, text: str | bytes, name: str = "users.csv"):
    from io import BytesIO

    data = text.encode() if isinstance(text, str) else text
    return client.post("/staff/import/", data={"file": (BytesIO(data), name)}, content_type="multipart/form-data")


def accounts() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(StaffUser)) or 0


# ------------------------------------------------------------------------------------------ the list and forms


def test_users_are_found_by_name_address_number_role_and_state(make: Make) -> None:
    admin = make.browse(Role.ADMIN, username="boss", full_name="Big Boss", email="boss@example.com")
    make_staff(Role.CASHIER, username="chiara", full_name="Chiara Conti", email="cc@example.com", mobile="+39333123456")
    make_staff(Role.CFO, Role.CASHIER, username="carlos", status=StaffStatus.LOCKED)
    for query, found in (
        ("search=chiara", {"chiara"}),
        ("search=Chiara C", {"chiara"}),
        ("search=cc@exam", {"chiara"}),
        ("search=%2B39333123456", {"chiara"}),
        ("roles=CASHIER", {"chiara", "carlos"}),
        ("roles=CFO&roles=ADMIN", {"boss", "carlos"}),
        ("status=LOCKED", {"carlos"}),
    ):
        page = admin.get(f"/staff/?{query}").text
        listed = {
            name for name in ("boss", "chiara", "carlos") if re.search(rf'href="/staff/\d+/[^"]*"[^>]*>{name}<', page)
        }
        assert listed == found, query
    assert admin.get("/staff/?roles=ROOT").status_code == 400


def test_the_list_asks_as_often_for_forty_users_as_for_four(app: Flask, make: Make) -> None:
    admin, asked = make.browse(Role.ADMIN), []
    engine = db.engine

    def count() -> int:
        asked.clear()
        assert admin.get("/staff/").status_code == 200
        return len(asked)

    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for _ in range(4):
        make_staff(Role.CASHIER, Role.CFO)
    few = count()
    for _ in range(36):
        make_staff(Role.CASHIER, Role.CFO)
    assert count() == few


def test_a_form_that_was_open_while_somebody_else_saved_keeps_its_input(make: Make) -> None:
    admin = make.browse(Role.ADMIN)
    staff = make_staff(Role.CASHIER, full_name="Old", email="a@example.com")
    page = admin.get(f"/staff/{staff.id}/edit/").text
    seen = re.search(r'name="seen"[^>]*value="([^"]+)"', page)[1]
    form = {
        "full_name": "Mine",
        "email": "a@example.com",
        "mobile": "",
        "organization_id": "",
        "manager_id": "",
        "seen": seen,
    }
    boss = person(make_staff(Role.ADMIN))
    access.edit_staff(
        boss, staff.id, full_name="Theirs", email="a@example.com", mobile=None, organization_id=None, manager_id=None
    )
    stale = admin.post(f"/staff/{staff.id}/edit/", data=form)
    assert stale.status_code == 409
    assert "Theirs" in stale.text
    assert 'value="Mine"' in stale.text
    fresh = re.search(r'name="seen"[^>]*value="([^"]+)"', stale.text)[1]
    assert admin.post(f"/staff/{staff.id}/edit/", data=form | {"seen": fresh}).status_code == 302
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff.id).full_name == "Mine"


def test_credentials_that_went_to_a_wrong_address_die_when_it_is_corrected(app: Flask, make: Make) -> None:
    admin = make.browse(Role.ADMIN)
    boss = person(db.session.get_one(StaffUser, id_of(admin)))
    made = access.create_staff(boss, username="zoe", full_name="Zoe", email="typo@example.com", roles={Role.CASHIER})
    form = {"full_name": "Zoe", "email": "zoe@example.com", "mobile": "", "organization_id": "", "manager_id": ""}
    page = admin.get(f"/staff/{made.staff_id}/edit/").text
    form["seen"] = re.search(r'name="seen"[^>]*value="([^"]+)"', page)[1]
    answer = admin.post(f"/staff/{made.staff_id}/edit/", data=form, follow_redirects=True)
    assert "no longer works. Reset the password" in answer.text
    stranger = access.stranger("127.0.0.1", "r")
    assert access.check_password(stranger, username="zoe", password=made.password, device=None) is None
    fresh = access.reset_password(boss, made.staff_id, reason="Right address.")
    assert access.check_password(stranger, username="zoe", password=fresh.password, device=None) is not None


def test_a_sign_in_meanwhile_is_no_reason_to_refuse_a_form(app: Flask, make: Make) -> None:
    admin, staff = make.browse(Role.ADMIN), make_staff(Role.CASHIER, username="carl", email="c@example.com")
    page = admin.get(f"/staff/{staff.id}/edit/").text
    seen = re.search(r'name="seen"[^>]*value="([^"]+)"', page)[1]
    stranger = access.stranger("127.0.0.1", "r")
    ticket = access.check_password(stranger, username="carl", password=PASSWORD, device=None)
    code = totp.code_at(secret_of(staff.id), utcnow())
    assert access.check_code(stranger, staff.id, ticket=ticket, code=code, browser=access.Browser("", "")) is not None
    form = {
        "full_name": "Carl",
        "email": "c@example.com",
        "mobile": "",
        "organization_id": "",
        "manager_id": "",
        "seen": seen,
    }
    assert admin.post(f"/staff/{staff.id}/edit/", data=form).status_code == 302


@pytest.mark.parametrize(
    ("slug", "status", "event_name"),
    [
        ("lock", "LOCKED", "access.staff.locked"),
        ("disable", "DISABLED", "access.staff.disabled"),
        ("reset-authenticator", "ACTIVE", "access.factor.reset"),
        ("end-sessions", "ACTIVE", "access.session.ended"),
    ],
)
def test_acts_end_the_sessions_and_stand_in_the_trail(
    app: Flask, make: Make, slug: str, status: str, event_name: str
) -> None:
    admin, staff = make.browse(Role.ADMIN), make_staff(Role.CASHIER)
    theirs = enter_as(app, staff.id)
    assert admin.get(f"/staff/{staff.id}/{slug}/", headers={"X-Partial": "dialog"}).status_code == 200
    assert admin.post(f"/staff/{staff.id}/{slug}/", data={"reason": ""}).status_code == 422, "why is asked"
    assert theirs.get("/account/").status_code == 200
    assert admin.post(f"/staff/{staff.id}/{slug}/", data={"reason": "Because."}).status_code == 303
    assert theirs.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff.id).status.name == status
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == event_name)).one()
    assert (entry.reason, entry.entity_id) == ("Because.", str(staff.id))
    if slug == "lock":
        assert admin.post(f"/staff/{staff.id}/unlock/", data={"reason": "Back."}).status_code == 303
        assert enter_as(app, staff.id).get("/account/").status_code == 200
    if slug == "disable":
        assert admin.post(f"/staff/{staff.id}/unlock/", data={"reason": "x"}).status_code == 409


def test_a_manager_ends_one_session_of_somebody_and_the_others_go_on(app: Flask, make: Make) -> None:
    admin, staff = make.browse(Role.CFO), make_staff(Role.CASHIER)
    laptop, phone = enter_as(app, staff.id), enter_as(app, staff.id)
    mine = select(UserSession.id).where(UserSession.staff_id == staff.id)
    first = db.session.scalars(mine.order_by(UserSession.id)).first()
    assert admin.get(f"/staff/{staff.id}/").text.count('btn-sm">Sign out<') == 2
    assert admin.post(f"/staff/{staff.id}/sessions/{first}/end/").status_code == 302
    assert laptop.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    assert phone.get("/account/").status_code == 200


def test_hostile_names_stay_text_everywhere(make: Make) -> None:
    admin = make.browse(Role.ADMIN)
    nasty = "<img src=x onerror=alert(1)>"
    staff = make_staff(Role.SUPPORT_MANAGER, full_name=nasty)
    for path in (
        "/staff/",
        f"/staff/{staff.id}/",
        f"/staff/{staff.id}/lock/",
        "/staff/new/",
        f"/staff/{staff.id}/edit/",
    ):
        page = admin.get(path).text
        assert "<img src=x" not in page, path


def test_support_managers_and_compliance_get_forms_that_fit_their_matrix(make: Make) -> None:
    for role, offered in (
        (Role.SUPPORT_MANAGER, {"SUPPORT_AGENT"}),
        (Role.COMPLIANCE, {"SUPPORT_MANAGER", "ANTI_FRAUD"}),
    ):
        page = make.browse(role).get("/staff/new/").text
        assert set(re.findall(r'name="roles"[^>]*value="(\w+)"', page)) == offered
        assert 'value="staff"' not in page or role is Role.COMPLIANCE


# ------------------------------------------------------------------------------------------ users from a file


def test_a_file_invites_everybody_in_it(make: Make) -> None:
    admin = make.browse(Role.ADMIN)
    make.organization("Corner Shop")
    rows = HEAD + (
        "Zoe,Zoe New,zoe@example.com,+44 7700 900123,Cashier; accountant,Cash register day,,\n"
        "ivo,Ivo Is,ivo@example.com,,ISSUER,,Corner Shop,\n"
    )
    shown = upload(admin, rows)
    assert shown.status_code == 200, shown.text
    db.session.rollback()
    zoe = db.session.scalars(select(StaffUser).where(StaffUser.username == "zoe")).one()
    ivo = db.session.scalars(select(StaffUser).where(StaffUser.username == "ivo")).one()
    assert (zoe.roles, zoe.menu_access) == ({Role.CASHIER, Role.ACCOUNTANT}, ["cash-register-day"])
    assert ivo.organization_id is not None
    for staff in (zoe, ivo):
        password = mailed(LinkPurpose.CREDENTIALS, staff.id)
        assert password in shown.text
        stranger = access.stranger("127.0.0.1", "r")
        assert access.check_password(stranger, username=staff.username, password=password, device=None) is not None
    assert upload(admin, rows).status_code == 422, "again: the names are taken"


def test_every_wrong_cell_is_said_at_its_row_and_column_and_nobody_is_invited(make: Make) -> None:
    admin = make.browse(Role.ADMIN, username="boss")
    before = accounts()
    answer = upload(
        admin,
        HEAD
        + "good,Good One,good@example.com,,Cashier,,,\n"
        + "boss,,nobody,12,King,Nowhere,No Such Shop,nobody\n"
        + "good,Other,good@example.com,,,,,\n",
    )
    assert answer.status_code == 422
    cells = re.findall(r'<td class="end num m2">(\d+)</td>\s*<td class="mono m1">(\w+)</td>', answer.text)
    wrong = {(int(row), column) for row, column in cells}
    assert wrong == {
        (3, "username"), (3, "full_name"), (3, "email"), (3, "mobile"), (3, "roles"), (3, "menu_access"),
        (3, "organization"), (3, "support_manager"), (4, "username"), (4, "email"), (4, "roles"),
    }  # fmt: skip
    assert accounts() == before


def test_a_file_gives_no_more_than_the_grant_matrix(make: Make) -> None:
    before = {}
    for role in (Role.COMPLIANCE, Role.SUPPORT_MANAGER):
        client = make.browse(role)
        before[role] = accounts()
        answer = upload(client, HEAD + "eve,Eve,eve@example.com,,Administrator,,,\n")
        assert answer.status_code == 422
        assert "You may not give the role" in answer.text
        assert accounts() == before[role]
    manager = make.browse(Role.SUPPORT_MANAGER)
    assert upload(manager, HEAD + "amir,Amir,amir@example.com,,SCC,,,\n").status_code == 200
    db.session.rollback()
    amir = db.session.scalars(select(StaffUser).where(StaffUser.username == "amir")).one()
    assert amir.manager_id == id_of(manager)
    assert make.browse(Role.CASHIER).get("/staff/import/").status_code == 403


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "Choose a file|empty"),
        (b"username,full_name\n", "missing"),
        (HEAD.encode(), "no rows"),
        (b"username,full_name,email,roles,shoe_size\na,b,c,d,e\n", "shoe_size"),
        (b"username,full_name,email,roles\nab\x00c,b,c,d\n", "NUL"),
        (b"PK\x03\x04broken", "cannot|damaged|not"),
        (b"username,full_name,email,roles\n" + b"a,b,c,d\n" * (MOST_ROWS + 1), "more than 100 rows"),
        (b"<html><table></table></html>", "web page"),
        ("username,full_name,email,roles\nab,E\u202eve,e@example.com,Cashier\n".encode(), "hidden"),
    ],
)
def test_files_that_are_none_of_users_are_refused_whole(make: Make, data: bytes, sentence: str) -> None:
    admin = make.browse(Role.ADMIN)
    before = accounts()
    answer = upload(admin, data)
    assert answer.status_code in {409, 422}
    assert re.search(sentence, answer.text), answer.text[answer.text.find("file-error") :][:400]
    assert accounts() == before


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_template_comes_back_as_a_file_that_invites(make: Make, form: str) -> None:
    admin = make.browse(Role.ADMIN)
    template = admin.get(f"/staff/import/template.{form}")
    assert template.status_code == 200
    assert upload(admin, template.data, f"users.{form}").status_code == 200
    db.session.rollback()
    assert (
        db.session.scalars(select(StaffUser).where(StaffUser.username == "elena.weber")).one().mobile == "+447700900123"
    )


# ------------------------------------------------------------------------------------------ my account


@pytest.mark.parametrize("role", list(Role))
def test_everybody_has_an_account_page_of_their_own(make: Make, role: Role) -> None:
    client = make.browse(role)
    for path in ("/account/", "/account/details", "/account/email", "/account/password", "/account/authenticator"):
        assert client.get(path).status_code == 200, path
    assert client.post("/account/details", data={"full_name": "New Name", "mobile": "nonsense"}).status_code == 422
    assert (
        client.post("/account/details", data={"full_name": "New Name", "mobile": "+39 333 1234567"}).status_code == 302
    )
    page = client.get("/account/").text
    assert "New Name" in page
    assert "+393331234567" in page


def test_recovery_codes_are_shown_once_and_each_signs_in_once(app: Flask, make: Make) -> None:
    client = make.browse(Role.CASHIER, username="carl")
    staff_id = id_of(client)
    shown = client.post("/account/recovery-codes", data={"code": code_for(staff_id)})
    codes = re.findall(r"<li><code>([a-z0-9-]+)</code></li>", shown.text)
    assert len(codes) == 10
    assert not any(code in client.get("/account/recovery-codes").text for code in codes)
    stored = " ".join(db.session.scalars(select(RecoveryCode.code_hash)))
    assert not any(code in stored for code in codes)
    for expected in (302, 422):
        browser = app.test_client()
        browser.post("/login", data={"username": "carl", "password": PASSWORD})
        assert browser.post("/login/recovery", data={"code": codes[0]}).status_code == expected
    renewed = client.post("/account/recovery-codes", data={"code": code_for(staff_id)})
    assert renewed.status_code == 200
    browser = app.test_client()
    browser.post("/login", data={"username": "carl", "password": PASSWORD})
    assert browser.post("/login/recovery", data={"code": codes[1]}).status_code == 422, "the old ones have died"


# ------------------------------------------------------------------------------------------ old tricks


def test_a_cookie_planted_before_the_sign_in_opens_nothing_afterwards(app: Flask) -> None:
    """Session fixation: what the attacker planted is neither kept nor made worth anything."""
    staff = make_staff(Role.ADMIN, username="elena")
    attacker, victim = app.test_client(), app.test_client()
    attacker.get("/login")
    with attacker.session_transaction() as session:
        session["planted"] = "yes"
        session["_user_id"] = "chosen-by-the-attacker"
    planted = attacker.get_cookie("payadmin").value
    victim.set_cookie("payadmin", planted)
    victim.post("/login", data={"username": "elena", "password": PASSWORD})
    victim.post("/login/code", data={"code": totp.code_at(secret_of(staff.id), utcnow())})
    assert victim.get("/account/").status_code == 200
    assert victim.get_cookie("payadmin").value != planted
    with victim.session_transaction() as session:
        assert "planted" not in session
        assert session["_user_id"] != "chosen-by-the-attacker"
    assert attacker.get("/account/").status_code == 302


@pytest.mark.parametrize("where", ["/login/code", "/account/recovery-codes", "/account/authenticator/start"])
def test_a_code_that_was_used_is_refused_wherever_it_is_replayed(app: Flask, where: str) -> None:
    staff = make_staff(Role.ADMIN, username="elena")
    staff_id, code = staff.id, totp.code_at(secret_of(staff.id), utcnow())
    client = app.test_client()
    client.post("/login", data={"username": "elena", "password": PASSWORD})
    assert client.post("/login/code", data={"code": code}).status_code == 302
    thief = app.test_client()
    thief.post("/login", data={"username": "elena", "password": PASSWORD})
    replay = (thief if where == "/login/code" else client).post(where, data={"code": code})
    assert replay.status_code == 422
    assert (
        db.session.scalars(select(SecondFactor.sealed_pending).where(SecondFactor.staff_id == staff_id)).one() is None
    )


def test_guessing_pauses_strangers_and_not_the_owners_browser_nor_others(app: Flask) -> None:
    staff, other = make_staff(Role.ADMIN, username="elena"), make_staff(Role.ADMIN, username="otto")
    mine = app.test_client()
    mine.post("/login", data={"username": "elena", "password": PASSWORD})
    mine.post("/login/code", data={"code": totp.code_at(secret_of(staff.id), utcnow())})
    attacker = app.test_client()
    for number in range(30):
        attacker.post("/login", data={"username": "elena", "password": f"guess {number} of many"})
    fresh = app.test_client()
    assert fresh.post("/login", data={"username": "elena", "password": PASSWORD}).status_code == 422, "strangers wait"
    mine.post("/logout")
    assert mine.post("/login", data={"username": "elena", "password": PASSWORD}).location == "/login/code"
    assert fresh.post("/login", data={"username": other.username, "password": PASSWORD}).location == "/login/code"


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "/%09/evil.example", "javascript:alert(1)"],
)
def test_no_page_of_mine_sends_anybody_to_another_site(app: Flask, make: Make, target: str) -> None:
    admin, staff = make.browse(Role.ADMIN), make_staff(Role.CASHIER)
    for path, form in (
        (f"/staff/{staff.id}/lock/", {"reason": "x"}),
        ("/account/details", {"full_name": "X", "mobile": ""}),
        ("/account/email/withdraw", {}),
    ):
        answer = admin.post(
            path,
            data=form | {"next": target, "list": target, "back": target},
            query_string={"next": target, "list": target},
        )
        assert "evil" not in (answer.location or "").replace("list=", ""), path
        assert (answer.location or "/").startswith("/")
