"""Monitoring: the machines, the database, the work behind the pages, errors and backups, with thirty days of lines."""

import datetime as dt
import json
import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, abort, current_app, render_template, request
from werkzeug.wrappers import Response

from payadmin import outbox
from payadmin.actions.subscriptions.planning import GRACE_DAYS
from payadmin.db import db
from payadmin.jobs.system import FIRST_LOOK_SECONDS, here, measure
from payadmin.kernel.errors import Forbidden
from payadmin.kernel.text import _, day_text
from payadmin.permissions import Permission
from payadmin.queries import system as asked
from payadmin.queries import workers
from payadmin.views.language import speech
from payadmin.views.security import current_actor
from payadmin.views.system.lines import Line, drawn
from payadmin.views.workers import KINDS, ago, capped

blueprint = Blueprint("monitoring", __name__, url_prefix="/monitoring")

LATELY = dt.timedelta(minutes=5)
KEPT_SECONDS = 30
LATE_BACKUP = dt.timedelta(days=2)
LINES = {
    "cpu": Line("CPU", "%", 10),
    "memory": Line(_("Memory"), "%", 10),
    "disk": Line(_("Disk"), "%", 10),
    "load": Line(_("Load"), "", 100),
    "database_bytes": Line(_("Database"), "MB", 2**20),
    "connections": Line(_("Connections"), "", 1),
    "waiting": Line(_("Promised work that waits"), "", 1),
    "overdue_seconds": Line(_("Oldest promise waits"), "s", 1),
    "requests": Line(_("Requests"), "", 1),
    "errors": Line(_("Errors"), "", 1),
    "milliseconds": Line(_("Time of a request"), "ms", 1),
}
RANGES = ((1, _("Day")), (7, _("Week")), (30, _("30 days")))


@dataclass(frozen=True)
class Machine:
    """One machine as it is now, in per mille; the load times a hundred."""

    name: str
    cpu: int
    memory: int
    disk: int
    load: int
    at: dt.datetime


@blueprint.get("/")
def index() -> str:
    """The page; its figures bring themselves up to date."""
    return render_template("system/monitoring.html", **_state(), lines=LINES, ranges=RANGES, days=_days())


@blueprint.get("/status/")
def status() -> str:
    """What changes: the fragment that the page asks for every few seconds."""
    return render_template("system/_status.html", **_state())


@blueprint.get("/lines/<name>/")
def line(name: str) -> Response:
    """One line as BokehJS draws it."""
    if name not in LINES:
        abort(404)
    dark = request.args.get("theme") == "dark"
    kept: dict[Any, tuple[float, str]] = current_app.extensions.setdefault("payadmin.lines", {})
    place = (name, _days(), dark, id(speech()))
    if place not in kept or kept[place][0] < time.monotonic() or current_app.testing:
        made = json.dumps(drawn(LINES[name], _points(name, _days()), dark=dark))
        kept[place] = (time.monotonic() + KEPT_SECONDS, made)
    return Response(kept[place][1], mimetype="application/json")


@blueprint.before_request
def _guard() -> None:
    if not current_actor().may(Permission.SYSTEM_MONITORING_READ):
        raise Forbidden("Your role does not include this page.")


def _days() -> int:
    given = request.args.get("days", "1")
    if given not in {str(days) for days, _words in RANGES}:
        abort(400)
    return int(given)


def _points(name: str, days: int) -> list[tuple[int, int]]:
    session = db.session()
    since, seconds = outbox.database_now(session) - dt.timedelta(days=days), asked.SPANS[days]
    if name in {"requests", "errors", "milliseconds"}:
        place = ("requests", "errors", "milliseconds").index(name) + 1
        return [(row[0], row[place]) for row in asked.answered(session, since=since, seconds=seconds)]
    return asked.line(session, name, since=since, seconds=seconds)


def _state() -> dict[str, Any]:
    session, settings = db.session(), current_app.extensions["payadmin.settings"]
    now = outbox.database_now(session)
    today = now.astimezone(settings.zone).date()
    first = today - dt.timedelta(days=GRACE_DAYS)
    known = {each.host: each for each in asked.newest_samples(session, now - LATELY)}
    own = known.pop(here(), None)
    # The CPU of the last whole minute says more than that of a moment.
    values = measure(settings, seconds=None if own else FIRST_LOOK_SECONDS) | ({"cpu": own.cpu} if own else {})
    machines = [Machine(here(), **values, at=now)]
    machines += [Machine(each.host, each.cpu, each.memory, each.disk, each.load, each.at) for each in known.values()]
    lately = asked.answered(session, since=now - dt.timedelta(hours=1), seconds=3_600)
    backups = asked.newest_backups(session)
    return {
        "now": now,
        "machines": machines,
        "database": asked.database_facts(session),
        "promises": workers.promises(session, now),
        "charges": workers.charges(session, now, first=first, today=today),
        "oldest_charge": asked.oldest_due_charge(session, first=first, today=today),
        "signs": workers.signs_of_life(session, now),
        "kinds": KINDS,
        "answers": sum(row[1] for row in lately),
        "errors": sum(row[2] for row in lately),
        "backups": backups,
        "backup_is_late": not backups or now - backups[0].at > LATE_BACKUP,
        "share": share,
        "day_text": day_text,
        "ago": ago,
        "capped": capped,
        "size": asked.megabytes,
    }


def share(permille: int) -> str:
    """A share as people read it."""
    return f"{speech().amount(permille, 1)} %"


def init_monitoring(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"monitoring": "monitoring.index"}
