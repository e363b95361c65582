"""The frame around every page: the menu a person may see, test or live mode, and the welcome page."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.local import LocalProxy

from payadmin import permissions
from payadmin.kernel.text import Text
from payadmin.views.language import say
from payadmin.views.security import safe_next

if TYPE_CHECKING:
    from collections.abc import Callable

MODES = ("LIVE", "TEST")

shell = Blueprint("shell", __name__)


class Visitor(Protocol):
    """What the frame needs to know about whoever is signed in."""

    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> frozenset[permissions.Role]: ...
    @property
    def permissions(self) -> frozenset[permissions.Permission]: ...
    @property
    def menu(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class MenuLink:
    """One page in the menu."""

    label: str
    icon: str
    url: str
    current: bool
    count: str = ""


@dataclass(frozen=True)
class MenuSection:
    """A group of pages under one heading; the first has none."""

    label: str
    items: tuple[MenuLink, ...]


# Menu key → a function that says how much waits on the page, "" for nothing. Every page asks it, so it is cheap.
COUNTS = "payadmin.counts"

# What Home shows instead of the welcome: a function that answers None for those it is not meant for.
DASHBOARD = "payadmin.dashboard"

# Menu items of pages that name a section instead of an item of `permissions.MENU`: section → items.
OWN_ITEMS = "payadmin.own_items"


def init_shell(app: Flask) -> None:
    """Put the frame on `app`; pages add themselves to `app.extensions["payadmin.pages"]` by their menu key."""
    app.extensions.setdefault("payadmin.pages", {})["home"] = "shell.home"
    app.register_blueprint(shell)
    app.context_processor(_frame)
    app.after_request(_name_next_page)


def current_mode() -> str:
    """Which payments this person is looking at: `LIVE` unless they switched to `TEST`."""
    mode = session.get("mode")
    return mode if mode in MODES else MODES[0]


def menu_for(actor: Visitor | None) -> tuple[MenuSection, ...]:
    """The sections of the menu that `actor` may open and that have a page; empty ones are left out."""
    if actor is None:
        return ()
    pages: dict[str, str] = current_app.extensions["payadmin.pages"]
    own: dict[str, list[permissions.Item]] = current_app.extensions.get(OWN_ITEMS, {})
    counts: dict[str, Callable[[], str]] = current_app.extensions.get(COUNTS, {})
    items = {section.label: [*section.items] for section in permissions.MENU}
    for label, more in own.items():
        items.setdefault(label, []).extend(more)
    sections = []
    for label, known in items.items():
        links = tuple(
            MenuLink(
                say(item.label),
                item.icon,
                url_for(pages[item.key]),
                current=_is_current(pages[item.key]),
                count=counts[item.key]() if item.key in counts else "",
            )
            for item in known
            if item.key in pages and item.permission in actor.permissions and permissions.opens(actor.menu, item.key)
        )
        if links:
            sections.append(MenuSection(say(label), links))
    return tuple(sections)


def has_page(item: permissions.Item) -> bool:
    """Whether an entry of the menu leads anywhere: an installation may leave rooms out."""
    return item.key in current_app.extensions["payadmin.pages"]


def address_of(endpoint: str) -> str | None:
    """The address of a part that may not be installed; the frame leaves out what has none."""
    return url_for(endpoint) if endpoint in current_app.view_functions else None


@shell.get("/")
def home() -> str:
    """Everybody's first page: for issuers and partners their consumption, for everybody else a welcome (C-03)."""
    if g.get("actor") is None:
        abort(401)
    dashboard: Callable[[], str | None] | None = current_app.extensions.get(DASHBOARD)
    shown = dashboard() if dashboard is not None else None
    return render_template("home.html") if shown is None else shown


@shell.post("/mode")
def set_mode() -> Response:
    """Switch between live and test payments; the choice lasts as long as the session."""
    if g.get("actor") is None:
        abort(401)
    mode = request.form.get("mode")
    if mode not in MODES:
        abort(400)
    session["mode"] = mode
    flash(
        Text("You are looking at live payments." if mode == "LIVE" else "You are looking at test payments."), "success"
    )
    return make_response(redirect(safe_next(request.form.get("next"), url_for("shell.home"))))


def _name_next_page(response: Response) -> Response:
    """Tell a dialog where to go instead of sending it there: a script that follows would eat the flashed messages."""
    if request.method == "POST" and request.headers.get("X-Partial") == "dialog" and response.status_code in {302, 303}:
        response.status_code = 204
        response.set_data(b"")
    return response


def _is_current(endpoint: str) -> bool:
    if request.endpoint in current_app.extensions["payadmin.pages"].values():
        return request.endpoint == endpoint
    blueprint, _, _ = endpoint.rpartition(".")  # a page below one of the menu
    return blueprint not in {"", "shell"} and request.blueprint == blueprint


def _frame() -> dict[str, Any]:
    # The menu is worked out only by the templates that show it.
    return {
        "actor": g.get("actor"),
        "menu": LocalProxy(lambda: menu_for(g.get("actor"))),
        "mode": current_mode(),
        "address_of": address_of,
    }
