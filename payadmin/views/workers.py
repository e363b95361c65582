"""Workers: who lives, what waits, what was given up. The database is asked first, so the page works without Redis."""

import datetime as dt
from typing import Any

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from redis.exceptions import RedisError
from werkzeug.wrappers import Response

from payadmin import outbox
from payadmin.actions import system
from payadmin.actions.subscriptions.planning import GRACE_DAYS
from payadmin.db import db
from payadmin.jobs import rings
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.kernel.text import _, _n
from payadmin.models.subscriptions import AttemptState
from payadmin.permissions import Permission
from payadmin.providers import CONNECTED
from payadmin.queries import workers as asked
from payadmin.views.columns import json_text
from payadmin.views.filters import row_id_of
from payadmin.views.language import speech
from payadmin.views.security import current_actor

MOST_HEX = 512
JOB_WORDS = {
    "deliver_webhook": _("Reminder to a merchant"),
    "mail_reminder": _("Reminder e-mail"),
    "run_item": _("Row of a bulk action"),
    "send_notification": _("E-mail to a customer"),
    "settle_order": _("Refund or void"),
}
ATTEMPT_WORDS = {
    AttemptState.DUE: _("About to be sent"),
    AttemptState.SENDING: _("At the provider"),
    AttemptState.UNKNOWN: _("Being checked"),
}
KINDS = {"worker": _("Worker"), "scheduler": _("Scheduler"), "planner": _("Planner")}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

blueprint = Blueprint("workers", __name__, url_prefix="/workers")


@blueprint.get("/")
def index() -> str:
    """The page; it brings itself up to date from `status`."""
    return render_template("workers/index.html", **_state())


@blueprint.get("/status/")
def status() -> str:
    """What changes: the fragment that the page asks for every few seconds."""
    return render_template("workers/_status.html", **_state())


@blueprint.post("/messages/<int:message_id>/again/")
def again(message_id: int) -> Response:
    """Try a message again that was given up."""
    try:
        system.revive_message(current_actor(), message_id, fence=row_id_of(request.form.get("fence", "")) or 0)
    except Conflict as refusal:
        flash(refusal.sentence, "error")
    else:
        flash("It is tried again.", "success")
    return redirect(url_for("workers.index"), 303)


@blueprint.post("/rings/")
def take_out() -> Response:
    """Take a failed job out of Redis; for a doorbell the workers are rung anew. Nothing found there is ever run."""
    key, url = request.form.get("key", "")[:MOST_HEX], _redis_url()
    seen = rings.look(url) if url else None
    found = next((each for each in seen.newest_failed if each.key == key), None) if seen is not None else None
    if found is None:
        flash("Somebody else has seen to it already, or Redis does not answer. Reload the page.", "error")
        return redirect(url_for("workers.index"), 303)
    system.note_ring(current_actor(), asked_for=found.function, again=found.is_doorbell)
    try:
        rings.take_out(url, key)
    except RedisError:
        flash("Redis does not answer any more. What is due is done all the same.", "error")
    else:
        flash("The workers were rung." if found.is_doorbell else "The job was removed.", "success")
    return redirect(url_for("workers.index"), 303)


@blueprint.before_request
def _guard() -> None:
    needed = Permission.SYSTEM_MONITORING_WRITE if request.method == "POST" else Permission.SYSTEM_MONITORING_READ
    if not current_actor().may(needed):
        raise Forbidden("Your role does not include this page.")


def _redis_url() -> str:
    url: str = current_app.extensions["payadmin.settings"].redis_url
    return url


def _state() -> dict[str, Any]:
    session, settings = db.session(), current_app.extensions["payadmin.settings"]
    now = outbox.database_now(session)
    today = now.astimezone(settings.zone).date()
    signs = asked.signs_of_life(session, now)
    breakers = {row.provider: row for row in asked.breakers(session)}
    url = _redis_url()
    state = {
        "now": now,
        "signs": signs,
        "missing": [KINDS[kind] for kind in ("scheduler", "worker") if not _lives(signs, kind, url)],
        "promises": asked.promises(session, now),
        "charges": asked.charges(session, now, first=today - dt.timedelta(days=GRACE_DAYS), today=today),
        "providers": [(code, breakers.get(code)) for code in sorted(CONNECTED | breakers.keys())],
        "may_act": current_actor().may(Permission.SYSTEM_MONITORING_WRITE),
        "has_redis": bool(url),
        "ago": ago,
        "capped": capped,
        "kinds": KINDS,
        "job_words": JOB_WORDS,
        "attempt_words": ATTEMPT_WORDS,
        "args_text": json_text,
    }
    # Nothing is held open while Redis thinks.
    db.session.expunge_all()
    db.session.rollback()
    return state | {"rings": rings.look(url) if url else None}


def _lives(signs: list[asked.Sign], kind: str, redis_url: str) -> bool:
    """Whether one of a kind gave a sign in time; without Redis nobody needs workers."""
    return any(sign.kind == kind and not sign.is_late for sign in signs) or (kind == "worker" and not redis_url)


def ago(age: dt.timedelta) -> str:
    """How long ago something was, in words."""
    seconds = int(age.total_seconds())
    if seconds < _MINUTE:
        return _("%(number)s s ago", number=seconds)
    if seconds < _HOUR:
        return _("%(number)s min ago", number=seconds // _MINUTE)
    if seconds < _DAY:
        return _("%(number)s h ago", number=seconds // _HOUR)
    return _n("%(number)s day ago", "%(number)s days ago", seconds // _DAY)


def capped(number: int) -> str:
    """A count as pages say it; beyond the cap nobody counts."""
    grouped = speech().grouped
    return f"{grouped(asked.COUNT_CAP)}+" if number > asked.COUNT_CAP else grouped(number)


def init_workers(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"workers": "workers.index"}
