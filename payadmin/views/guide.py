"""Help: what a page is and its rules, from docs/help/<page>.md, made into HTML once when the application starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, current_app, g, render_template, request, url_for
from markdown_it import MarkdownIt
from markupsafe import Markup
from werkzeug.local import LocalProxy

from payadmin.kernel.errors import NotFound

_PACKAGE = Path(__file__).resolve().parents[1]
# As with the templates: beside the package in a checkout, inside it in a wheel.
FOLDER = next((path for path in (_PACKAGE.parent / "docs" / "help", _PACKAGE / "help") if path.is_dir()), None)

# Pages whose help is not called as their blueprint is.
NAMES = {
    "cash_operations": "cash-register-day",
    "finder": "search",
    "orders.refund_search": "refund",
    "orders.void_search": "void",
    "shell": "home",
}

blueprint = Blueprint("help", __name__)


@dataclass(frozen=True)
class Text:
    """One page's help."""

    title: str
    body: Markup


@blueprint.get("/help/<name>/")
def show(name: str) -> str:
    """The help of one page: in a panel, or as a page of its own."""
    text = texts().get(name)
    if text is None:
        raise NotFound("There is no help of this name.")
    return render_template("help/index.html", text=text)


def read_texts(folder: Path) -> dict[str, Text]:
    """Every help text in `folder` by its name. HTML in a text stays text, and links lead only to sensible places."""
    made = MarkdownIt("commonmark", {"html": False})
    found = {}
    for file in sorted(folder.glob("*.md")):
        title, _, body = file.read_text(encoding="utf-8").partition("\n")
        html = made.render(body)
        found[file.stem] = Text(title.removeprefix("#").strip(), Markup(html))  # noqa: S704 - ours, and escaped by the renderer
    return found


def texts() -> Mapping[str, Text]:
    """Every help text by its name."""
    found: Mapping[str, Text] = current_app.extensions["payadmin.help"]
    return found


def name_for(endpoint: str | None) -> str | None:
    """The help of the page that answers `endpoint`; None when it has none."""
    if endpoint is None:
        return None
    part = endpoint.partition(".")[0]
    name = NAMES.get(endpoint) or NAMES.get(part) or part.replace("_", "-")
    return name if name in texts() else None


def init_guide(app: Flask) -> None:
    """Read the texts, add their page, and let the header ask which one is about the page that is shown."""
    app.extensions["payadmin.help"] = read_texts(FOLDER) if FOLDER else {}
    app.register_blueprint(blueprint)

    @app.context_processor
    def helped() -> dict[str, Any]:
        return {"help_url": LocalProxy(_address)}


def _address() -> str:
    name = name_for(request.endpoint) if g.get("actor") else None
    return url_for("help.show", name=name) if name else ""
