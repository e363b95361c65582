"""Notifications: what the bell opens, the page with all of them, and where each leads."""

from collections.abc import Sequence

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.routing import BuildError
from werkzeug.wrappers import Response

from payadmin.actions import notices
from payadmin.db import db
from payadmin.kernel.errors import NotFound
from payadmin.models.system import NoticeKind, StaffNotice
from payadmin.notices import KEPT, KEPT_DAYS
from payadmin.views.bell import remember_unread, unread_now, unread_text
from payadmin.views.filters import row_id_of
from payadmin.views.security import current_actor

SHOWN = 8
PICTURES = {
    NoticeKind.READY: ("download", "ok"),
    NoticeKind.DONE: ("circle-check", "ok"),
    NoticeKind.FAILED: ("circle-x", "bad"),
    NoticeKind.ATTENTION: ("alert-triangle", "warn"),
    NoticeKind.APPROVAL: ("shield-check", "info"),
}

blueprint = Blueprint("notices", __name__, url_prefix="/notices")


@blueprint.get("/")
def index() -> str:
    """All that is kept: the newest 200, for 90 days; so one page holds them."""
    found = newest(KEPT)
    return render_template("notices/index.html", notices=found, pictures=PICTURES, kept=KEPT, days=KEPT_DAYS)


@blueprint.get("/bell/")
def bell() -> str:
    """What the bell opens: the newest few."""
    return render_template("notices/_bell.html", notices=newest(SHOWN), pictures=PICTURES, unread=unread_now())


@blueprint.get("/count/")
def count() -> Response:
    """How many wait unread: what open pages ask for once a minute, by one look into one index."""
    return current_app.response_class(unread_text(unread_now()), mimetype="text/plain")


@blueprint.get("/<int:row_id>/")
def opened(row_id: int) -> Response:
    """Where a notice leads; it is read by being opened."""
    notice = db.session.get(StaffNotice, row_id)
    if notice is None or notice.staff_id != current_actor().staff_id:
        raise NotFound("There is no such notice. Notices are kept for a while, then forgotten.")
    target = target_of(notice)
    notices.read_notice(current_actor(), row_id)
    return redirect(target)


@blueprint.post("/read/")
def read_all() -> Response:
    """Mark as read what the page showed."""
    notices.read_all_notices(current_actor(), row_id_of(request.form.get("newest", "")) or 0)
    remember_unread(0)
    flash("All notices are marked as read.", "success")
    return redirect(url_for("notices.index"), 303)


def newest(most: int) -> Sequence[StaffNotice]:
    """The newest notices of the person signed in."""
    own = select(StaffNotice).where(StaffNotice.staff_id == current_actor().staff_id)
    return db.session.scalars(own.order_by(StaffNotice.created_at.desc(), StaffNotice.id.desc()).limit(most)).all()


def target_of(notice: StaffNotice) -> str:
    """The address that a notice leads to; the list of notices when its page is gone."""
    page = notice.page or "notices.index"
    if "." not in page:
        page = f"{page}.details_view" if notice.row_id else f"{page}.index_view"
    try:
        return url_for(page, row_id=notice.row_id) if notice.row_id else url_for(page)
    except BuildError:
        return url_for("notices.index")


def init_notices(app: Flask) -> None:
    """Add the pages of notices."""
    app.register_blueprint(blueprint)
