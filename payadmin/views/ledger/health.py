"""Ledger health: the ten invariants of the books, each with its figure and, when broken, the rows (G6)."""

from typing import Any

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from payadmin.actions import ledger
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.permissions import Permission
from payadmin.queries import ledger as asked
from payadmin.views.columns import unit_scale
from payadmin.views.security import current_actor

blueprint = Blueprint("ledger_health", __name__, url_prefix="/ledger")


@blueprint.get("/")
def index() -> str:
    """The page; while a check runs it brings itself up to date."""
    return render_template("ledger/health.html", **_state())


@blueprint.get("/status/")
def status() -> str:
    """What changes meanwhile."""
    return render_template("ledger/_health.html", **_state())


@blueprint.post("/")
def start() -> Response:
    """Check the books now, by a worker."""
    try:
        ledger.start_check(current_actor())
    except Conflict as refusal:
        flash(refusal.sentence, "error")
    else:
        flash("A worker checks the books. The result appears here.", "success")
    return redirect(url_for("ledger_health.index"), 303)


@blueprint.before_request
def _guard() -> None:
    needed = Permission.LEDGER_ENTRY_CHECK if request.method == "POST" else Permission.LEDGER_ENTRY_READ
    if not current_actor().may(needed):
        raise Forbidden("Your role does not include this page.")


def _state() -> dict[str, Any]:
    session = db.session()
    newest, done = asked.latest_check(session), asked.latest_check(session, done=True)
    results: list[dict[str, Any]] = list(done.results or []) if done is not None else []
    units = {figure["unit"] for each in results for figure in each["figures"] if figure["unit"]}
    return {
        "check": done,
        "running": newest if newest is not None and newest.done_at is None else None,
        "results": results,
        "scales": {unit: unit_scale(unit) or 0 for unit in units},
        "unbooked": asked.unbooked_payments(),
        "may_start": current_actor().may(Permission.LEDGER_ENTRY_CHECK),
        "periods": asked.periods(session)[:1],
    }


def init_health(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"ledger": "ledger_health.index"}
