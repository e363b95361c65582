"""Pages for links that were mailed to staff: a forgotten password, and the two yeses to another address."""

from typing import Any

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from flask_limiter import RateLimitExceeded
from werkzeug.wrappers import Response

from payadmin.actions import access
from payadmin.db import db
from payadmin.kernel import passwords
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import Text
from payadmin.views.gate import limiter
from payadmin.views.login import PER_ADDRESS, chosen_password
from payadmin.views.security import request_id

SENT = (
    "If there is an active account with this user name or e-mail address, a mail with a link is on its way. "
    "The link works once, for 30 minutes."
)

forgotten = Blueprint("forgotten", __name__)


def init_forgotten(app: Flask) -> None:
    """Add the pages of mailed links to `app`."""
    # Looking counts too: every link that opens nothing leaves a word in the trail.
    limiter.limit(PER_ADDRESS, per_method=True)(forgotten)
    app.register_blueprint(forgotten)


@forgotten.route("/forgotten", methods=("GET", "POST"))
def ask() -> Any:
    """Ask for a link; the answer is the same whoever asks for whom."""
    settings = current_app.extensions["payadmin.settings"]
    can_mail = bool(settings.public_url)
    if request.method == "POST" and can_mail:
        access.ask_for_password_link(_stranger(), name=request.form.get("name", ""))
    sent = SENT if request.method == "POST" else None
    is_demo = settings.demo and not settings.smtp_url
    return render_template("auth/forgotten.html", sent=sent, can_mail=can_mail, is_demo=is_demo)


@forgotten.route("/forgotten/<token>", methods=("GET", "POST"))
def choose(token: str) -> Any:
    """An own password in place of the forgotten one; the sign-in that follows asks for the second factor."""
    error = None
    try:
        _, username = access.owner_of_password_link(_stranger(), token=token)
        if request.method == "POST":
            access.choose_forgotten_password(_stranger(), token=token, password=chosen_password())
            flash("Your new password is set, and you are signed out everywhere. Sign in with it.", "success")
            return redirect(url_for("login.login"), 303)
    except NotFound as refusal:
        return _gone(refusal.sentence)
    except (Invalid, Conflict) as refusal:
        db.session.rollback()
        error = refusal
    page = render_template("auth/choose_password.html", username=username, error=error, rule=passwords.RULE)
    return (page, error.status) if error else page


@forgotten.route("/confirm-address/<token>", methods=("GET", "POST"))
def confirm_address(token: str) -> Any:
    """One mailbox's yes to another address, or the old one's no. Opening the link changes nothing yet."""
    problem = None
    try:
        step = access.address_step(_stranger(), token=token)
        if request.method == "POST":
            return _answered(token)
    except NotFound as refusal:
        return _gone(refusal.sentence)
    except Conflict as refusal:
        db.session.rollback()
        problem = refusal
    page = render_template("auth/confirm_address.html", step=step, problem=problem.sentence if problem else None)
    return (page, problem.status) if problem else page


def _answered(token: str) -> str:
    if "stop" in request.form:
        access.stop_email_change(_stranger(), token=token)
        return render_template("auth/address_answered.html", outcome="stopped")
    done = access.confirm_email_change(_stranger(), token=token)
    return render_template("auth/address_answered.html", outcome="changed" if done else "waiting")


@forgotten.errorhandler(RateLimitExceeded)
def too_many(_error: RateLimitExceeded) -> Response | tuple[str, int]:
    """One address asked too often: it waits, whoever it is."""
    return render_template("auth/gone.html", sentence=Text("Too many tries from your network. Wait a minute.")), 429


def _gone(sentence: str) -> tuple[str, int]:
    db.session.rollback()
    return render_template("auth/gone.html", sentence=sentence), 404


def _stranger() -> Any:
    return access.stranger(request.remote_addr, request_id())
