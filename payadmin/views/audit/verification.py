"""Audit verification: how far the trail is sealed, what the last walk through it found, and what a break looks like."""

from typing import Any

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from payadmin.actions import audit
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.kernel.text import _
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Permission
from payadmin.queries.audit import BREAKS, MOST_BREAKS, latest_check, latest_seal
from payadmin.views.lists import COUNT_CAP
from payadmin.views.security import current_actor

blueprint = Blueprint("audit_verification", __name__, url_prefix="/audit-verification")

MEANINGS = (
    (
        "changed",
        _("Event 1,204"),
        _("A field of an act was edited in the database: another amount, another name, another time."),
    ),
    ("gone", _("Event 1,205"), _("The row of an act was deleted, in the middle or at the end of what is sealed.")),
    ("moved", _("Event 1,206"), _("Two rows changed places, so that the order of what happened is another.")),
    ("inserted", _("Event 1,207"), _("A row was put where the seal says that there was none.")),
    (
        "forged",
        _("Event 1,208"),
        _("A row was written by hand: payadmin signs each act as it writes it, and this one is not."),
    ),
    ("copied", _("Event 1,209"), _("A true act was written a second time, under another number.")),
    ("seal", _("Seal 17"), _("A seal was edited, or written anew by somebody who does not have TOTP_KEYS.")),
    ("seals", _("Seals 18 to 20"), _("Seals were deleted, with or without their acts.")),
    ("lost", _("Seal 21"), _("The end was deleted with its seals. Found by comparing with earlier verifications.")),
    ("cut", _("Seal 21"), _("The end was deleted with its seals. Found by comparing with a seal kept outside.")),
)


@blueprint.get("/")
def index() -> str:
    """The page; while a verification runs it brings itself up to date."""
    return render_template("audit/verification.html", **_state())


@blueprint.get("/status/")
def status() -> str:
    """What changes meanwhile."""
    return render_template("audit/_verification.html", **_state())


@blueprint.post("/")
def start() -> Response:
    """Verify the whole trail now, by a worker."""
    try:
        audit.start_check(current_actor())
    except Conflict as refusal:
        flash(refusal.sentence, "error")
    else:
        flash("A worker walks through the trail. The result appears here.", "success")
    return redirect(url_for("audit_verification.index"), 303)


@blueprint.before_request
def _guard() -> None:
    needed = Permission.AUDIT_EVENT_VERIFY if request.method == "POST" else Permission.AUDIT_EVENT_READ
    if not current_actor().may(needed):
        raise Forbidden("Your role does not include this page.")


def _state() -> dict[str, Any]:
    session = db.session()
    seal, check = latest_seal(session), latest_check(session)
    after = select(AuditEvent.id).where(AuditEvent.id > (seal.last_id if seal else 0)).limit(COUNT_CAP + 1).subquery()
    waiting = session.scalar(select(func.count()).select_from(after)) or 0
    return {
        "seal": seal,
        "check": check,
        "running": check is not None and check.done_at is None,
        "share": min(check.last_id * 100 // max(seal.last_id, 1), 99) if check and seal else 0,
        "waiting": f"{COUNT_CAP:,}+" if waiting > COUNT_CAP else f"{waiting:,}",
        "unsealed_for": utcnow() - seal.at if seal else None,
        "most": MOST_BREAKS,
        "words": BREAKS,
        "meanings": [(name, BREAKS[name].of(what=what), why) for name, what, why in MEANINGS],
        "may_start": current_actor().may(Permission.AUDIT_EVENT_VERIFY),
    }


def init_verification(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"audit-verification": "audit_verification.index"}
