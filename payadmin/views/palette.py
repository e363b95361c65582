"""The command palette: any pasted ID, a customer's address or name, or the name of a page (Ctrl K)."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, jsonify, request
from werkzeug.wrappers import Response

from payadmin.views import finder
from payadmin.views.language import say
from payadmin.views.security import current_actor
from payadmin.views.shell import menu_for

palette = Blueprint("palette", __name__)


@palette.get("/palette/")
def search() -> Response:
    """What the palette shows for `q`: pages first when the words name one, then records (`views/finder`)."""
    given = request.args.get("q", "")
    term = finder.term_of(given)
    if given.strip() and not term:
        return jsonify([])
    return jsonify([*_pages(term), *_records(term)])


def _pages(term: str) -> Iterator[dict[str, Any]]:
    for section in menu_for(current_actor()):
        for item in section.items:
            if term.lower() in item.label.lower():
                yield {
                    "group": say("Pages"),
                    "icon": item.icon,
                    "title": item.label,
                    "sub": section.label,
                    "url": item.url,
                }


def _records(term: str) -> Iterator[dict[str, Any]]:
    for group in finder.find(term):
        for hit in group.hits:
            yield {
                "group": say(group.label),
                "icon": group.icon,
                "title": hit.title,
                "sub": hit.sub,
                "end": hit.amount,
                "url": hit.url,
                "status": {"word": say(hit.status[0]), "tone": hit.status[1]} if hit.status else None,
                "actions": hit.actions,
            }


def init_palette(app: Flask) -> None:
    """Add the palette's search to `app`."""
    app.register_blueprint(palette)
