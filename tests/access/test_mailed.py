"""What is mailed to staff: credentials, links for a forgotten password, two yeses to another address; each once."""

import base64
import datetime as dt
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import func, select, text, update

from payadmin import guard
from payadmin.actions import access
from payadmin.actions.access import Browser
from payadmin.actions.access.letters import PLACE
from payadmin.cli import main
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.jobs.notifications import _body
from payadmin.kernel import passwords, totp
from payadmin.kernel.errors import Conflict, Invalid, NotFound, Refusal
from payadmin.models.access import AccountLink, EmailChange, LinkPurpose, StaffStatus, StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import Notification
from payadmin.permissions import Role
from payadmin.work import SYSTEM
from tests.support.desk import told
from tests.support.mail import Inbox, MailServer, free_port
from tests.support.make import Make
from tests.support.people import code_for, mailed, person, work_off
from tests.support.signin import PASSWORD, enter_as, make_staff, secret_of

pytestmark = pytest.mark.usefixtures("no_csrf")
NEW = "maple harbour 77 lamp"
STRANGER = access.stranger("127.0.0.1", "request-1")


def first_step(username: str, password: str) -> access.Ticket | None:
    return access.check_password(STRANGER, username=username, password=password, device=None)


def letters() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(Notification.subject).order_by(Notification.id)))


def age_links(**span: float) -> None:
    """Time passes for every link."""
    db.session.rollback()
    gone = dt.timedelta(**span)
    for link in db.session.scalars(select(AccountLink)):
        link.expires_at -= gone
        link.created_at -= gone
    for change in db.session.scalars(select(EmailChange)):
        change.expires_at -= gone
    db.session.commit()


# ------------------------------------------------------------------------------------------ credentials


def test_credentials_go_out_by_mail_and_are_kept_nowhere(app: Flask, make: Make) -> None:
    port, inbox = free_port(), Inbox()
    server = MailServer(inbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        with told(app, smtp_url=f"smtp://127.0.0.1:{port}"):
            admin = make.browse(Role.ADMIN)
            form = {
                "username": "Zoe",
                "full_name": "Zoe New",
                "email": "Zoe@Example.com",
                "roles": ["PAYMENTS_OPERATOR"],
            }
            form |= {
                "mobile": "+44 7700 900123",
                "menu_access": ["transactions"],
                "organization_id": "",
                "manager_id": "",
            }
            answer = admin.post("/staff/new/", data=form)
            assert answer.status_code == 303, answer.text
            work_off()
    finally:
        server.stop()
    zoe = db.session.scalars(select(StaffUser).where(StaffUser.username == "zoe")).one()
    assert (zoe.email, zoe.mobile, zoe.menu_access) == ("zoe@example.com", "+447700900123", ["transactions"])
    password = mailed(LinkPurpose.CREDENTIALS, zoe.id)
    [mail] = inbox.mails
    assert mail["To"] == "zoe@example.com"
    assert password in mail.get_content()
    assert "zoe" in mail.get_content()
    everything = "\n".join(
        str(tuple(row))
        for table in ("staff_user", "notification", "account_link", "outbox_message", "audit_event", "password_history")
        for row in db.session.execute(text(f"SELECT * FROM {table}"))
    )
    assert PLACE in everything
    assert password not in everything
    ticket = first_step("zoe", password)
    assert ticket is not None
    assert ticket.must_change_password, "it must be changed at the first sign-in"
    assert not ticket.has_authenticator


def test_without_a_mail_server_credentials_are_shown_once(make: Make) -> None:
    admin = make.browse(Role.ADMIN)
    form = {"username": "zoe", "full_name": "Zoe", "email": "zoe@example.com", "roles": ["CASHIER"]}
    shown = admin.post("/staff/new/", data=form)
    zoe = db.session.scalars(select(StaffUser.id).where(StaffUser.username == "zoe")).one()
    password = mailed(LinkPurpose.CREDENTIALS, zoe)
    assert password in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    assert password not in admin.get(f"/staff/{zoe}/").text
    assert first_step("zoe", password) is not None


def test_a_reset_password_replaces_the_one_before_and_keeps_the_authenticator(app: Flask, make: Make) -> None:
    admin, staff = make.browse(Role.ADMIN), make_staff(Role.CASHIER, username="carl")
    theirs = enter_as(app, staff.id)
    for _ in range(2):
        answer = admin.post(f"/staff/{staff.id}/reset-password/", data={"reason": "Forgotten."})
        assert answer.status_code == 200
    last = mailed(LinkPurpose.CREDENTIALS, staff.id)
    assert last in answer.text
    assert theirs.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    assert first_step("carl", PASSWORD) is None
    links = db.session.scalars(select(AccountLink).order_by(AccountLink.id)).all()
    assert [link.ended_at is None for link in links] == [False, True]
    earlier = access.secret_of(links[0], app.extensions["payadmin.settings"])
    assert first_step("carl", earlier) is None
    ticket = first_step("carl", last)
    assert ticket is not None
    assert ticket.must_change_password
    assert ticket.has_authenticator
    boss = person(make_staff(Role.ADMIN))
    access.disable_staff(boss, staff.id, reason="Left.")
    with pytest.raises(Conflict):
        access.reset_password(boss, staff.id, reason="x")


def test_a_mail_that_comes_too_late_brings_no_secret(app: Flask) -> None:
    staff = make_staff(Role.CASHIER)
    access.reset_password(person(make_staff(Role.ADMIN)), staff.id, reason="x")
    told_of = app.extensions["payadmin.settings"]
    row = db.session.scalars(select(Notification)).one()
    assert PLACE in row.body
    assert PLACE not in (_body(row, told_of) or "")
    age_links(hours=25)
    assert _body(db.session.scalars(select(Notification)).one(), told_of) is None


@pytest.mark.once
def test_temporary_passwords_satisfy_the_rule_and_come_from_secret_and_nonce() -> None:
    made = {passwords.password_of("s" * 32, f"nonce-{number}") for number in range(500)}
    assert len(made) == 500
    assert all(passwords.complaint(password, username="\0") is None for password in made)
    assert passwords.password_of("a" * 32, "n") != passwords.password_of("b" * 32, "n")
    assert passwords.password_of("a" * 32, "n") == passwords.password_of("a" * 32, "n")


@pytest.mark.once
def test_a_password_does_not_hold_its_owners_name() -> None:
    names = ("Elena Weber-Nowak", "elena.weber")
    for password in ("My Weber house 77", "0-NOWAK-street-12"):
        assert "name or e-mail" in (passwords.complaint(password, username="ew1", names=names) or "")
    assert passwords.complaint("maple harbour 77 lamp", username="ew1", names=names) is None


# ------------------------------------------------------------------------------------------ show secret key


def test_show_secret_key_takes_a_code_and_replaces_a_key_in_use(app: Flask, make: Make) -> None:
    admin, staff = make.browse(Role.ADMIN), make_staff(Role.CASHIER, username="carl")
    old, theirs = secret_of(staff.id), enter_as(app, staff.id)
    page = admin.get(f"/staff/{staff.id}/secret-key/").text
    assert old not in page.replace(" ", "")
    offer = page.split('name="offer"')[1].split('value="')[1].split('"')[0]
    form = {"reason": "Lost phone, called back.", "offer": offer}
    refused = admin.post(f"/staff/{staff.id}/secret-key/", data=form | {"code": "000000"})
    assert refused.status_code == 422
    assert secret_of(staff.id) == old
    code = code_for(admin.staff_id)  # type: ignore[attr-defined]
    shown = admin.post(f"/staff/{staff.id}/secret-key/", data=form | {"code": code})
    fresh = secret_of(staff.id)
    assert fresh != old
    assert totp.grouped(fresh) in shown.text
    assert old not in shown.text.replace(" ", "")
    assert theirs.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    assert letters() == ["Your payadmin authenticator key was replaced"]
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "access.secret_key.shown")).one()
    assert entry.reason == "Lost phone, called back."
    assert fresh not in str(vars(entry))
    again = admin.post(f"/staff/{staff.id}/secret-key/", data=form | {"code": code})
    assert again.status_code == 422, "neither the code nor the offer counts twice"
    ticket = first_step("carl", PASSWORD)
    assert ticket is not None
    opened = access.check_code(
        STRANGER, staff.id, ticket=ticket, code=totp.code_at(fresh, utcnow()), browser=Browser("", "")
    )
    assert opened is not None


def test_before_the_first_sign_in_the_key_that_waits_is_shown(app: Flask) -> None:
    admin = person(make_staff(Role.ADMIN))
    made = access.create_staff(admin, username="zoe", full_name="Z", email="z@example.com", roles={Role.CASHIER})

    def show() -> access.ShownSecret:
        from payadmin import step_up

        offer = step_up.offer(admin, access.SECRET_ACT, {"staff": made.staff_id})
        code = code_for(admin.staff_id or 0)
        return access.show_secret_key(admin, made.staff_id, reason="First day.", offer=offer, code=code)

    first, second = show(), show()
    assert first.secret == second.secret
    assert not first.is_new


# ------------------------------------------------------------------------------------------ forgotten password


@pytest.mark.usefixtures("links")
def test_a_forgotten_password_is_replaced_by_a_link_and_the_second_factor_is_asked_all_the_same(app: Flask) -> None:
    staff = make_staff(Role.ADMIN, username="elena", email="elena@example.com")
    theirs = enter_as(app, staff.id)
    client = app.test_client()
    asked = client.post("/forgotten", data={"name": "Elena@example.com"})
    assert asked.status_code == 200
    work_off()
    path = mailed(LinkPurpose.PASSWORD, staff.id)
    assert path.startswith("/forgotten/")
    assert client.get(path).status_code == 200
    assert "last 4" in client.post(path, data={"password": PASSWORD, "again": PASSWORD}).text
    assert client.post(path, data={"password": "Elena is 12 today", "again": "Elena is 12 today"}).status_code == 422
    assert client.post(path, data={"password": NEW, "again": NEW + "x"}).status_code == 422
    assert client.post(path, data={"password": NEW, "again": NEW}).location == "/login"
    assert theirs.get("/account/", headers={"Accept": "application/json"}).status_code == 401
    assert client.get("/account/").status_code == 302, "the link signs nobody in"
    assert first_step("elena", PASSWORD) is None
    ticket = first_step("elena", NEW)
    assert ticket is not None
    assert ticket.has_authenticator
    assert access.check_code(STRANGER, staff.id, ticket=ticket, code="000000", browser=Browser("", "")) is None
    for method in (client.get, client.post):
        assert method(path, data={"password": NEW + "1", "again": NEW + "1"}).status_code == 404, "once"
    assert letters()[-1] == "Your payadmin password was changed"


@pytest.mark.usefixtures("links")
def test_the_answer_and_what_is_written_do_not_tell_who_exists(app: Flask) -> None:
    make_staff(Role.ADMIN, username="known")
    make_staff(Role.ADMIN, username="locked", status=StaffStatus.LOCKED)
    make_staff(Role.ADMIN, username="invited", status=StaffStatus.INVITED)
    answers, written = set(), []
    for name in ("known", "locked", "invited", "nobody", "", "known'--", "x" * 5000, "\0"):
        before = db.session.scalar(select(func.count()).select_from(OutboxMessage))
        answer = app.test_client().post("/forgotten", data={"name": name})
        page = re.sub(r'name="csrf_token" value="[^"]+"', "", answer.text.split("<main")[1].split("</main>")[0])
        answers.add((answer.status_code, page))
        written.append(db.session.scalar(select(func.count()).select_from(OutboxMessage)) - before)  # type: ignore[operator]
    assert len(answers) == 1
    assert written == [1] * len(written)
    work_off()
    assert db.session.scalar(select(func.count()).select_from(AccountLink)) == 1, "only the active account gets a link"


@pytest.mark.usefixtures("links")
def test_asking_often_mails_once_in_ten_minutes_and_takes_nobodys_link_away(app: Flask) -> None:
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    for _ in range(guard.TRIES + 5):
        client.post("/forgotten", data={"name": "elena"})
    work_off()
    path = mailed(LinkPurpose.PASSWORD, staff.id)
    assert letters() == ["Choose a new payadmin password"]
    assert client.get(path).status_code == 200
    assert first_step("elena", PASSWORD) is not None, "nobody is locked out by asking"
    age_links(minutes=11)
    access.mail_password_link(SYSTEM, staff.id)
    assert len(letters()) == 2
    assert client.get(path).status_code == 404, "the newer link replaces the older one"
    age_links(minutes=31)
    assert client.get(mailed(LinkPurpose.PASSWORD, staff.id)).status_code == 404, "thirty minutes"


@pytest.mark.usefixtures("links")
def test_one_link_used_at_once_from_everywhere_sets_one_password(app: Flask) -> None:
    staff = make_staff(Role.ADMIN, username="elena")
    access.mail_password_link(SYSTEM, staff.id)
    token = mailed(LinkPurpose.PASSWORD, staff.id).rpartition("/")[2]
    db.session.remove()
    start = threading.Barrier(6)

    def run(number: int) -> str:
        with app.app_context():
            start.wait()
            try:
                access.choose_forgotten_password(STRANGER, token=token, password=f"maple harbour lamp {number}")
            except Refusal as refusal:
                return refusal.code
            return "set"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(run, range(6)))
    assert outcomes.count("set") == 1
    assert set(outcomes) <= {"set", "not_found", "conflict"}


@pytest.mark.usefixtures("links")
def test_links_are_good_for_their_purpose_and_signed(app: Flask) -> None:
    staff = make_staff(Role.ADMIN)
    access.mail_password_link(SYSTEM, staff.id)
    token = mailed(LinkPurpose.PASSWORD, staff.id).rpartition("/")[2]
    client = app.test_client()
    nonce, _, signature = token.partition(".")
    forged = [f"{nonce}.{signature[::-1]}", f"{nonce[::-1]}.{signature}", nonce, token + "x", "", "%00", "x" * 4000]
    for wrong in forged:
        for path in ("/forgotten/", "/confirm-address/"):
            assert client.get(path + wrong).status_code in {200 if wrong == "" else 404, 404}
    assert client.get(f"/confirm-address/{token}").status_code == 404
    with pytest.raises(NotFound):
        access.confirm_email_change(STRANGER, token=token)
    access.lock_staff(person(make_staff(Role.ADMIN)), staff.id, reason="x")
    assert client.get(f"/forgotten/{token}").status_code == 404, "a lock ends links on their way"


def test_without_an_address_of_its_own_an_installation_mails_no_links(app: Flask) -> None:
    staff = make_staff(Role.ADMIN, username="elena")
    client = app.test_client()
    for method in (client.get, client.post):
        assert "Ask an administrator" in method("/forgotten", data={"name": "elena"}).text
    access.mail_password_link(SYSTEM, staff.id)
    assert letters() == []
    with pytest.raises(Conflict, match="PUBLIC_URL"):
        access.request_email_change(person(staff), email="new@example.com", code=code_for(staff.id))


@pytest.mark.usefixtures("links")
def test_links_lead_to_the_configured_address_whatever_host_was_asked(app: Flask) -> None:
    staff = make_staff(Role.ADMIN, username="elena")
    app.test_client().post("/forgotten", data={"name": "elena"}, headers={"Host": "evil.example"})
    work_off()
    link = db.session.scalars(select(AccountLink).where(AccountLink.staff_id == staff.id)).one()
    assert access.secret_of(link, app.extensions["payadmin.settings"]).startswith("https://pay.example.com/forgotten/")


# ------------------------------------------------------------------------------------------ another address


def ask_for(staff: StaffUser, address: str) -> tuple[str, str]:
    """Begin a change; the tokens of the old and of the new mailbox."""
    access.request_email_change(person(staff), email=address, code=code_for(staff.id))
    old, new = (mailed(purpose, staff.id) for purpose in (LinkPurpose.OLD_ADDRESS, LinkPurpose.NEW_ADDRESS))
    return old, new


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_address_counts_when_both_mailboxes_have_said_yes(app: Flask, order: tuple[int, int]) -> None:
    staff = make_staff(Role.CASHIER, email="old@example.com")
    paths, staff_id, client = ask_for(staff, "New@Example.com"), staff.id, app.test_client()
    for path in paths:
        assert client.get(path).status_code == 200
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff_id).email == "old@example.com", "opening a link says no yes"
    assert "other address has to confirm" in client.post(paths[order[0]]).text
    assert client.post(paths[order[0]]).status_code == 404, "one mailbox cannot say yes twice"
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff_id).email == "old@example.com"
    assert "The address is changed" in client.post(paths[order[1]]).text
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff_id).email == "new@example.com"
    told_to = db.session.scalars(
        select(Notification.recipient).where(Notification.subject == "Your payadmin e-mail address was changed")
    )
    assert sorted(told_to) == ["new@example.com", "old@example.com"]


@pytest.mark.usefixtures("links")
def test_two_yeses_at_the_same_moment_see_one_another(app: Flask) -> None:
    staff = make_staff(Role.CASHIER, email="old@example.com")
    tokens = [path.rpartition("/")[2] for path in ask_for(staff, "new@example.com")]
    staff_id = staff.id
    db.session.remove()
    start = threading.Barrier(2)

    def run(token: str) -> bool:
        with app.app_context():
            start.wait()
            return access.confirm_email_change(STRANGER, token=token)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, tokens)) == [False, True]
    assert db.session.get_one(StaffUser, staff_id).email == "new@example.com"


@pytest.mark.usefixtures("links")
def test_the_old_mailbox_stops_a_change_and_the_new_one_cannot(app: Flask) -> None:
    staff = make_staff(Role.CASHIER, email="old@example.com")
    client = app.test_client()
    old, new = ask_for(staff, "thief@example.com")
    assert client.post(new, data={"stop": "1"}).status_code == 404
    assert "Nothing has changed" in client.post(old, data={"stop": "1"}).text
    for path in (old, new):
        assert client.post(path).status_code == 404
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff.id).email == "old@example.com"


@pytest.mark.usefixtures("links")
def test_a_second_wish_a_withdrawal_and_time_end_the_first_links(app: Flask, make: Make) -> None:
    client = make.browse(Role.CASHIER, email="old@example.com")
    staff = db.session.get_one(StaffUser, client.staff_id)  # type: ignore[attr-defined]
    first = ask_for(staff, "one@example.com")
    second = ask_for(staff, "two@example.com")
    assert client.get(first[1]).status_code == 404
    assert "two@example.com" in client.get("/account/").text
    client.post("/account/email/withdraw")
    assert client.get(second[0]).status_code == 404
    third = ask_for(staff, "three@example.com")
    age_links(hours=25)
    for path in third:
        assert client.get(path).status_code == 404
    fourth = ask_for(staff, "four@example.com")
    admin = person(make_staff(Role.ADMIN))
    access.edit_staff(
        admin, staff.id, full_name="X", email="five@example.com", mobile=None, organization_id=None, manager_id=None
    )
    assert client.get(fourth[0]).status_code == 404, "a manager's change ends links on their way"


@pytest.mark.usefixtures("links")
def test_an_address_is_asked_for_with_a_code_and_only_once_taken(app: Flask, make: Make) -> None:
    client = make.browse(Role.CASHIER, email="old@example.com")
    make_staff(Role.ADMIN, email="taken@example.com")
    staff_id: int = client.staff_id  # type: ignore[attr-defined]
    for form, sentence in (
        ({"email": "new@example.com", "code": "000000"}, "wrong or was already used"),
        ({"email": "nobody", "code": code_for(staff_id)}, "not an e-mail address"),
        ({"email": "OLD@example.com", "code": code_for(staff_id)}, "your address already"),
        ({"email": "taken@example.com", "code": code_for(staff_id)}, "Another account has"),
    ):
        answer = client.post("/account/email", data=form)
        assert answer.status_code in {409, 422}
        assert sentence in answer.text
    old, new = ask_for(db.session.get_one(StaffUser, staff_id), "raced@example.com")
    client.post(old)
    make_staff(Role.ADMIN, email="raced@example.com")
    assert client.post(new).status_code == 409
    db.session.rollback()
    assert db.session.get_one(StaffUser, staff_id).email == "old@example.com"


def test_links_are_never_in_a_stolen_database(app: Flask) -> None:
    with told(app, public_url="https://pay.example.com"):
        staff = make_staff(Role.ADMIN)
        access.mail_password_link(SYSTEM, staff.id)
        token = mailed(LinkPurpose.PASSWORD, staff.id).rpartition("/")[2]
    dump = "".join(
        str(tuple(row))
        for t in ("account_link", "notification")
        for row in db.session.execute(text(f"SELECT * FROM {t}"))
    )
    assert token not in dump
    with pytest.raises(Invalid):
        access.edit_own_details(person(staff), full_name="", mobile=None)
    db.session.execute(update(AccountLink).values(expires_at=utcnow()))
    db.session.rollback()


# ------------------------------------------------------------------------------------------ without a mail server


def test_no_page_shows_a_mailed_link_but_whoever_holds_the_installations_key_can_print_it(
    app: Flask, make: Make, settings: Settings
) -> None:
    env = {
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": settings.secret_key,
        "TOTP_KEYS": base64.urlsafe_b64encode(settings.totp_keys[0]).decode(),
        "PUBLIC_URL": "https://pay.example",
        "SMTP_URL": "",
    }

    def printed(**changes: str) -> Result:
        db.session.rollback()
        return CliRunner().invoke(main, ["mail", "ada"], env=env | changes)

    make_staff(Role.ADMIN, username="ada", email="ada@example.com")
    assert printed().exit_code == 1, "nothing waits yet"
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    with told(app, public_url="https://pay.example"):
        operator.post("/forgotten", data={"name": "ada"})
        work_off()
    mail = db.session.scalars(select(Notification)).one()
    shown = operator.get(f"/mailbox/{mail.id}/").text
    assert PLACE in shown
    assert "/forgotten/" not in shown
    assert "/forgotten/" not in operator.get("/mailbox/").text
    answer = printed()
    assert answer.exit_code == 0, answer.output
    link = re.search(r"https://pay\.example(/forgotten/\S+)", answer.output)
    assert link is not None
    assert link[1] not in shown
    stranger = app.test_client()
    assert "Choose a new password" in stranger.get(link[1]).text
    assert stranger.post(link[1], data={"password": NEW, "again": NEW}).status_code == 303
    again = printed()
    assert "/forgotten/" not in again.output
    assert "does not open anything any more" in again.output
    assert printed(SMTP_URL="smtp://127.0.0.1:25").exit_code == 1
