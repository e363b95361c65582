"""My account: one's own data, password, authenticator, recovery codes and sessions."""

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from payadmin.actions import access
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel import passwords, totp
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _n
from payadmin.models.access import StaffUser
from payadmin.queries.access import factor_of, open_email_change, open_sessions, recovery_codes_left
from payadmin.views.gate import browser, current_session_id, enter, session_rule
from payadmin.views.login import chosen_password, qr_picture
from payadmin.views.security import current_actor

LONGEST_TYPED = 300

account_pages = Blueprint("account", __name__, url_prefix="/account")


def init_account(app: Flask) -> None:
    """Add the account pages to `app`."""
    app.register_blueprint(account_pages)


@account_pages.get("/")
def index() -> str:
    """What payadmin knows of its reader, and everything that signs them in."""
    staff = _me()
    return render_template(
        "account/index.html",
        staff=staff,
        factor=factor_of(db.session(), staff.id),
        wish=open_email_change(db.session(), staff.id, utcnow()),
        codes_left=recovery_codes_left(db.session(), staff.id),
        sessions=open_sessions(db.session(), staff.id, session_rule(), utcnow()),
        session_id=current_session_id(),
        rule=session_rule(),
    )


@account_pages.route("/details", methods=("GET", "POST"))
def details() -> Response | str | tuple[str, int]:
    """One's own name and mobile number."""
    staff, error = _me(), None
    form = {"full_name": staff.full_name, "mobile": staff.mobile or ""}
    if request.method == "POST":
        form = {key: request.form.get(key, "")[:LONGEST_TYPED] for key in form}
        try:
            access.edit_own_details(current_actor(), full_name=form["full_name"], mobile=form["mobile"])
        except Invalid as refusal:
            error = refusal
        else:
            flash("Saved.", "success")
            return redirect(url_for("account.index"))
    page = render_template("account/details.html", form=form, error=error)
    return (page, 422) if error else page


@account_pages.route("/email", methods=("GET", "POST"))
def email() -> Response | str | tuple[str, int]:
    """Ask for another e-mail address; both mailboxes get a link."""
    error, typed = None, ""
    if request.method == "POST":
        typed = request.form.get("email", "")[:LONGEST_TYPED]
        try:
            access.request_email_change(current_actor(), email=typed, code=request.form.get("code", "")[:64])
        except (Invalid, Conflict) as refusal:
            error = refusal
        else:
            flash("A link is on its way to both addresses. The change counts when both are confirmed.", "success")
            return redirect(url_for("account.index"))
    can_mail = bool(current_settings().public_url)
    staff = _me()
    page = render_template("account/email.html", staff=staff, typed=typed, error=error, can_mail=can_mail)
    return (page, error.status) if error else page


@account_pages.post("/email/withdraw")
def withdraw_email() -> Response:
    """Keep the present address after all."""
    access.withdraw_email_change(current_actor())
    flash("Your e-mail address stays as it is.", "success")
    return redirect(url_for("account.index"))


@account_pages.route("/password", methods=("GET", "POST"))
def password() -> Response | str | tuple[str, int]:
    """A new password; every other session ends."""
    error = None
    if request.method == "POST":
        try:
            token = access.change_password(
                current_actor(),
                current=request.form.get("current", ""),
                password=chosen_password(),
                browser=browser(),
            )
        except Invalid as refusal:
            error = refusal
        else:
            enter(token)
            flash("Your password is changed. Every other session was signed out.", "success")
            return redirect(url_for("account.index"))
    page = render_template("account/password.html", error=error, rule=passwords.RULE, username=current_actor().name)
    return (page, 422) if error else page


@account_pages.get("/authenticator")
def authenticator() -> str:
    """Set up another authenticator: prove the old one, scan, prove the new one."""
    return _authenticator_page(None)


@account_pages.post("/authenticator/start")
def start_authenticator() -> Response | tuple[str, int]:
    """Show a new secret to whoever holds the old authenticator or a recovery code."""
    try:
        access.offer_new_authenticator(current_actor(), code=request.form.get("code", "")[:64])
    except Invalid as refusal:
        return _authenticator_page(refusal.sentence), 422
    return redirect(url_for("account.authenticator"))


@account_pages.post("/authenticator/confirm")
def confirm_authenticator() -> Response | tuple[str, int]:
    """Let the new authenticator take over."""
    try:
        token = access.confirm_new_authenticator(current_actor(), code=request.form.get("code", ""), browser=browser())
    except Invalid as refusal:
        return _authenticator_page(refusal.sentence), 422
    enter(token)
    flash("The new authenticator is in use. Remove the old entry from your app.", "success")
    return redirect(url_for("account.index"))


@account_pages.post("/authenticator/cancel")
def cancel_authenticator() -> Response:
    """Keep the old authenticator."""
    access.withdraw_new_authenticator(current_actor())
    flash("Nothing was changed; your authenticator stays.", "success")
    return redirect(url_for("account.index"))


@account_pages.route("/recovery-codes", methods=("GET", "POST"))
def recovery_codes() -> str | tuple[str, int]:
    """Ten fresh recovery codes in place of the old ones."""
    if request.method == "GET":
        return render_template("account/recovery_codes.html", codes=None, error=None)
    try:
        codes = access.renew_recovery_codes(current_actor(), code=request.form.get("code", ""))
    except Invalid as refusal:
        return render_template("account/recovery_codes.html", codes=None, error=refusal.sentence), 422
    return render_template("account/recovery_codes.html", codes=codes, error=None)


@account_pages.post("/sessions/<int:session_id>/end")
def end_session(session_id: int) -> Response:
    """Sign out one other browser."""
    access.end_own_session(current_actor(), session_id)
    flash("The session was ended.", "success")
    return redirect(url_for("account.index"))


@account_pages.post("/sessions/end-others")
def end_other_sessions() -> Response:
    """Sign out every browser but this one."""
    ended = access.end_other_sessions(current_actor(), current_session_id())
    flash(_n("%(number)s other session was ended.", "%(number)s other sessions were ended.", ended), "success")
    return redirect(url_for("account.index"))


def _authenticator_page(error: str | None) -> str:
    staff = _me()
    secret = access.pending_secret(current_actor(), factor_of(db.session(), staff.id))
    return render_template(
        "account/authenticator.html",
        error=error,
        picture=None if secret is None else qr_picture(secret, staff.username),
        key=None if secret is None else totp.grouped(secret),
    )


def _me() -> StaffUser:
    return db.session.get_one(StaffUser, current_actor().staff_id)
