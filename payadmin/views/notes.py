"""Notes on any page's rows: a page says `notes = True`, and its details show them and take new ones."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, current_app, flash, redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from payadmin.actions import payments
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, NotFound, Refusal
from payadmin.models.payments import Note
from payadmin.permissions import Permission
from payadmin.views.columns import PAGE_OF
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from payadmin.views.base import PayAdminModelView

MOST_NOTES = 100
WRITE = Permission.PAYMENTS_NOTE_WRITE

blueprint = Blueprint("notes", __name__)


@blueprint.post("/notes/<page>/<int:row_id>/")
def add(page: str, row_id: int) -> Response:
    """Add a note to a row that the person signed in can see."""
    if not current_actor().may(WRITE):
        raise Forbidden("Your role does not allow this.")
    view = _page(page)
    view.get_row(row_id)
    body, key = request.form.get("body", ""), request.form.get("key")
    try:
        payments.add_note_about(current_actor(), row_id, model=view.model, body=body, key=key)
    except NotFound:
        raise
    except Refusal as refusal:
        flash(refusal.sentence, "error")
    else:
        flash("The note is added.", "success")
    return redirect(f"{view.address}{row_id}/", 303)


def _page(endpoint: str) -> "PayAdminModelView":
    views: dict[Any, PayAdminModelView] = current_app.extensions[PAGE_OF]
    found = next((view for view in views.values() if view.endpoint == endpoint), None)
    if found is None or not found.notes or not found.is_accessible():
        raise NotFound("There is no such page.")
    return found


def notes_of(view: "PayAdminModelView", row: Any) -> dict[str, Any]:
    """What the card of notes shows of a row."""
    return {
        "notes": _newest(view.model, row.id),
        "note_url": url_for("notes.add", page=view.endpoint, row_id=row.id) if current_actor().may(WRITE) else None,
        "note_key": secrets.token_urlsafe(18),
    }


def _newest(model: type[Any], row_id: int) -> Sequence[Note]:
    about = select(Note).where(Note.entity == model.__tablename__, Note.entity_id == row_id)
    return db.session.scalars(about.order_by(Note.id.desc()).limit(MOST_NOTES)).all()


def init_notes(app: Flask) -> None:
    """Add the address that takes notes."""
    app.register_blueprint(blueprint)
