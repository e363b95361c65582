"""Signing in and out: one page for each step, the same words for every failure."""

import dataclasses
import secrets
import time

import segno
from flask import Blueprint, Flask, current_app, flash, g, redirect, render_template, request, session, url_for
from flask_limiter import RateLimitExceeded
from werkzeug.wrappers import Response

from payadmin.actions import access
from payadmin.actions.access import Opened, Ticket
from payadmin.db import db
from payadmin.kernel import passwords, totp
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.queries.access import recovery_codes_left
from payadmin.views.gate import browser, current_session_id, enter, known_device, leave, limiter, remember_device
from payadmin.views.security import request_id, safe_next
from payadmin.work import Actor

TICKET_SECONDS = 600
ISSUER = "payadmin"
PER_ADDRESS = "60 per minute;600 per hour"

WRONG_FIRST_STEP = (
    "The user name or the password is not right, or the account is not open. After 10 wrong tries, sign-in from "
    "unknown browsers pauses for 30 minutes; an administrator can lift that."
)
WRONG_CODE = (
    "That code is not right or was already used. Wait for the next one in your app and type that. After 10 wrong "
    "tries, sign-in pauses for 30 minutes."
)
WRONG_RECOVERY_CODE = (
    "That recovery code is not right or was already used. After 10 wrong tries, sign-in pauses for 30 minutes."
)
TOO_OLD = "That took more than ten minutes, or the account was changed. Please start again."

login_pages = Blueprint("login", __name__)


def init_login(app: Flask) -> None:
    """Add the login pages to `app`."""
    limiter.limit(PER_ADDRESS, methods=["POST"], per_method=True)(login_pages)
    app.register_blueprint(login_pages)


# ------------------------------------------------------------------------------------------------ steps


@login_pages.route("/login", methods=("GET", "POST"))
def login() -> Response | str | tuple[str, int]:
    """User name and password."""
    if g.actor is not None:
        return redirect(safe_next(request.args.get("next")))
    if request.method == "GET":
        return _login_page(None)
    username = request.form.get("username", "")
    ticket = access.check_password(
        access.stranger(request.remote_addr, request_id()),
        username=username,
        password=request.form.get("password", ""),
        device=known_device(username),
    )
    if ticket is None:
        return _login_page(WRONG_FIRST_STEP, username), 422
    session.clear()
    _keep(ticket, safe_next(request.args.get("next")))
    return redirect(_page_for(ticket))


@login_pages.route("/login/password", methods=("GET", "POST"))
def password() -> Response | str | tuple[str, int]:
    """An own password in place of the temporary one."""
    ticket = _ticket()
    if ticket is None or not ticket.must_change_password:
        return _elsewhere(ticket)
    error = None
    if request.method == "POST":
        try:
            changed = access.choose_password(_actor(ticket), ticket, password=chosen_password())
        except Invalid as refusal:
            error = refusal
        except Conflict:
            return _elsewhere(None)
        else:
            _keep(changed, _next())
            return redirect(_page_for(changed))
    page = render_template("auth/password.html", ticket=ticket, error=error, rule=passwords.RULE)
    return (page, 422) if error else page


@login_pages.route("/login/enrol", methods=("GET", "POST"))
def enrol() -> Response | str | tuple[str, int]:
    """A first authenticator: scan, type the code, keep the recovery codes."""
    ticket = _ticket()
    if ticket is None or ticket.must_change_password or ticket.has_authenticator:
        return _elsewhere(ticket)
    error = None
    if request.method == "POST":
        opened = access.enrol(
            _actor(ticket), ticket.staff_id, ticket=ticket, code=request.form.get("code", ""), browser=browser()
        )
        if opened is not None:
            target = _next()
            page = _enter(opened, ticket, None)
            page.set_data(render_template("auth/recovery_codes.html", codes=opened.recovery_codes, target=target))
            return page
        error = WRONG_CODE
    secret = access.read_pending_secret(_actor(ticket), ticket.staff_id, epoch=ticket.epoch)
    if secret is None:
        return _elsewhere(None)
    page_text = render_template(
        "auth/enrol.html",
        ticket=ticket,
        error=error,
        picture=qr_picture(secret, ticket.username),
        key=totp.grouped(secret),
    )
    return (page_text, 422) if error else page_text


@login_pages.route("/login/code", methods=("GET", "POST"))
def code() -> Response | str | tuple[str, int]:
    """The authenticator's code."""
    ticket = _ticket()
    if ticket is None or ticket.must_change_password or not ticket.has_authenticator:
        return _elsewhere(ticket)
    if request.method == "GET":
        return render_template("auth/code.html", ticket=ticket, error=None)
    opened = access.check_code(
        _actor(ticket), ticket.staff_id, ticket=ticket, code=request.form.get("code", ""), browser=browser()
    )
    if opened is None:
        return render_template("auth/code.html", ticket=ticket, error=WRONG_CODE), 422
    return _enter(opened, ticket, _next())


@login_pages.route("/login/recovery", methods=("GET", "POST"))
def recovery() -> Response | str | tuple[str, int]:
    """A recovery code instead of the authenticator's."""
    ticket = _ticket()
    if ticket is None or ticket.must_change_password or not ticket.has_authenticator:
        return _elsewhere(ticket)
    if request.method == "GET":
        return render_template("auth/recovery.html", ticket=ticket, error=None)
    opened = access.check_recovery_code(
        _actor(ticket), ticket.staff_id, ticket=ticket, code=request.form.get("code", "")[:64], browser=browser()
    )
    if opened is None:
        return render_template("auth/recovery.html", ticket=ticket, error=WRONG_RECOVERY_CODE), 422
    response = _enter(opened, ticket, _next())
    left = recovery_codes_left(db.session(), opened.staff_id)
    flash(
        _(
            "You signed in with a recovery code; %(left)s are left. If your phone is gone, set up a new authenticator "
            "on the page My account.",
            left=left,
        ),
        "warning",
    )
    return response


@login_pages.post("/logout")
def sign_out() -> Response:
    """End the session on the server and in this browser."""
    if g.actor is not None:
        access.sign_out(g.actor, current_session_id())
    leave()
    flash("You are signed out.", "success")
    return redirect(url_for("login.login"))


@login_pages.errorhandler(RateLimitExceeded)
def too_many(_error: RateLimitExceeded) -> tuple[str, int]:
    """One address sent too many sign-ins: it waits, whoever it is."""
    sentence = "Too many tries from your network. Wait a minute, then try again."
    return _login_page(sentence), 429


# ------------------------------------------------------------------------------------------------ parts


def chosen_password() -> str:
    """The new password of a form that asks for it twice.

    Raises:
        Invalid: the two differ; `field` is "again".
    """
    first = request.form.get("password", "")
    if first != request.form.get("again", ""):
        raise Invalid("The two passwords differ. Type the same one twice.", field="again")
    return first


def qr_picture(secret: str, username: str) -> str:
    """The QR code of an authenticator's secret, as an address for an img element."""
    found: str = segno.make(totp.address(secret, username=username, issuer=ISSUER), error="m").png_data_uri(
        scale=5, border=4
    )
    return found


def _login_page(error: str | None, username: str = "") -> str:
    demo: bool = current_app.extensions["payadmin.settings"].demo
    names = [name for name, _, _ in access.DEMO_STAFF] if demo else []
    return render_template("auth/login.html", error=error, username=username[:64], demo_names=names)


def _keep(ticket: Ticket, target: str) -> None:
    session["ticket"] = dataclasses.asdict(ticket) | {"at": int(time.time()), "next": target}


def _ticket() -> Ticket | None:
    kept = session.get("ticket")
    if not isinstance(kept, dict) or time.time() - kept["at"] > TICKET_SECONDS:
        return None
    return Ticket(**{field.name: kept[field.name] for field in dataclasses.fields(Ticket)})


def _next() -> str:
    return safe_next(session.get("ticket", {}).get("next"))


def _page_for(ticket: Ticket) -> str:
    if ticket.must_change_password:
        return url_for("login.password")
    return url_for("login.code" if ticket.has_authenticator else "login.enrol")


def _elsewhere(ticket: Ticket | None) -> Response:
    if ticket is not None:
        return redirect(_page_for(ticket))
    if g.actor is None and session.pop("ticket", None) is not None:
        flash(TOO_OLD, "warning")
    return redirect(url_for("login.login"))


def _actor(ticket: Ticket) -> Actor:
    return access.halfway(ticket, request.remote_addr, request_id())


def _enter(opened: Opened, ticket: Ticket, target: str | None) -> Response:
    enter(opened.token)
    response = Response(content_type="text/html; charset=utf-8") if target is None else redirect(target)
    remember_device(response, opened.username, ticket.device or secrets.token_urlsafe(16))
    return response
