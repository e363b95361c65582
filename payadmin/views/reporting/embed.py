"""Analytics for other sites: the same figures and charts without menu, account and links, behind a signed link."""

from typing import Any

from flask import Blueprint, Flask, abort, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from payadmin.actions.reporting import shared_mode
from payadmin.db import db, utcnow
from payadmin.kernel.errors import NotFound
from payadmin.views import charts, periods
from payadmin.views.filters import BadAddress
from payadmin.views.gate import limiter
from payadmin.views.reporting.analytics import PAGE, content

PER_ADDRESS = "240 per minute"
# What stands in every address of a frame, and is no question about numbers.
KEPT = frozenset({"token", "theme"})

embed = Blueprint("embed", __name__, url_prefix="/data-visualization")


@embed.get("/")
@embed.get("/<page>/<name>.<any(json, csv):kind>")
def show(page: str = "", name: str = "", kind: str = "") -> Any:
    """The page, the drawing of a chart, or its numbers. The part after the # is the page's; there is only this one."""
    try:
        mode = shared_mode(db.session(), request.args.get("token", ""), utcnow())
    except NotFound as refusal:
        return render_template("reporting/embed_ended.html", sentence=refusal.sentence), 404
    if kind:
        if page != PAGE:
            abort(404)
        answer = charts.drawing_of if kind == "json" else charts.file_of
        return answer(page, name, mode)
    try:
        choice, problem = periods.read(request.args, mode=mode, extra=KEPT), None
    except BadAddress as refusal:
        kept = MultiDict((key, value) for key, value in request.args.items() if key in KEPT)
        choice, problem = periods.read(kept, mode=mode, extra=KEPT), refusal.sentence
    shown = {} if problem else content(choice, address=_address)
    page_ = render_template(
        "reporting/embed.html",
        choice=choice, problem=problem, presets=periods.PRESETS, theme=request.args.get("theme", ""), **shown,
    )  # fmt: skip
    return page_, (400 if problem else 200)


def _address(**parts: Any) -> str:
    parts.pop("theme", None)  # the drawing's script says which
    return url_for("embed.show", **parts)


def init_embed(app: Flask) -> None:
    """Add the page for other sites to `app`."""
    limiter.limit(PER_ADDRESS)(embed)
    app.register_blueprint(embed)
