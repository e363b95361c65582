"""The bell in the header: how many notices wait unread, counted once a request through their own index."""

from typing import Any

from flask import Flask, g, has_request_context, request
from sqlalchemy import select
from werkzeug.local import LocalProxy

from payadmin.db import db
from payadmin.notices import MOST_COUNTED, unread_of
from payadmin.views.security import current_actor

_UNREAD = "payadmin.unread"


def remember_unread(number: int) -> None:
    """Keep what a statement of this request has counted, so that the header need not ask again."""
    request.environ[_UNREAD] = number


def unread_now() -> int:
    """How many notices of the person signed in wait unread, up to 100."""
    if _UNREAD not in request.environ:
        remember_unread(db.session.scalar(select(unread_of(current_actor().staff_id))) or 0)
    number: int = request.environ[_UNREAD]
    return number


def unread_text(number: int) -> str:
    """The number on the bell; nothing when nothing waits."""
    return "" if not number else f"{MOST_COUNTED}+" if number > MOST_COUNTED else str(number)


def init_bell(app: Flask) -> None:
    """Let every template ask what the bell says; only those that show it do."""

    @app.context_processor
    def bell() -> dict[str, Any]:
        return {"bell": LocalProxy(_text)}


def _text() -> str:
    return unread_text(unread_now()) if has_request_context() and g.get("actor") else ""
