"""My figures: saved views that somebody has pinned, each as a card with its numbers or as a chart over days.

A pin is no copy of a list: it is read through the list's own page, so it has the rows, the filters and the masks that
its reader finds there. However large a list is, no more of its rows are looked at than the count above the list does.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import func, literal, select
from werkzeug.datastructures import MultiDict

from payadmin.actions import saved_views
from payadmin.actions.saved_views import PINS, Pin, pins_in, readable_by
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, Invalid, NotFound
from payadmin.kernel.text import _
from payadmin.models.payments import Mode
from payadmin.models.system import PinKind, SavedView, UserPreference
from payadmin.queries.reporting import ONE_DAY, Span, business_day, moments
from payadmin.views import charts, lists
from payadmin.views.base import PayAdminModelView
from payadmin.views.charts import Plot, Series, chart
from payadmin.views.columns import Column, Kind, Scales, is_hidden, zone
from payadmin.views.drawing import Shape
from payadmin.views.filters import BadAddress, row_id_of
from payadmin.views.language import say, speech
from payadmin.views.lists import COUNT_CAP
from payadmin.views.saved_views import may_pin
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from sqlalchemy import Select
    from werkzeug.wrappers import Response

PAGE: Final = "my-figures"
DAYS: Final = 30

blueprint = Blueprint("my_figures", __name__, url_prefix="/my-figures")


@dataclass(frozen=True)
class Pinned:
    """A pinned view with the list that it is about.

    Attributes:
        asked: what the list is asked for; None for a view that no longer fits it.
        problem: then why.
    """

    view_id: int
    kind: PinKind
    name: str
    page: PayAdminModelView
    asked: lists.Request | None
    problem: str = ""

    @property
    def url(self) -> str:
        """The list that has just these rows."""
        if self.asked is None:
            return f"{self.page.address}views/"
        return f"{self.page.address}{replace(self.asked, view=self.view_id).query_string()}"

    @property
    def rows(self) -> "Select[Any]":
        """The rows of that list, in no order."""
        assert self.asked is not None
        return lists.narrow(self.asked, self.page.get_query())

    @property
    def money(self) -> Column | None:
        """What the list adds up, unless it is hidden from the reader."""
        column = self.page.summed
        return None if column is None or is_hidden(column.attr) else column

    @property
    def measures(self) -> tuple[Any, Any]:
        """The unit and the amount of each row, for lists without amounts none."""
        column = self.money
        if column is None:
            return literal("").label("unit"), literal(0).label("minor")
        unit = getattr(self.page.model, str(column.unit_key))
        return unit.label("unit"), func.coalesce(column.attr, 0).label("minor")


@dataclass(frozen=True)
class Number:
    """The numbers of a card: how many rows, and their sum in each unit if all of them could be looked at."""

    count: str
    sums: tuple[tuple[str, str], ...]
    exact: bool


# ---- numbers ---------------------------------------------------------------------------------------------------------


def number_of(pin: Pinned) -> Number:
    """How many rows a pinned view has, and their sum in each unit: one statement, never more rows than the cap."""
    few = pin.rows.with_only_columns(*pin.measures, maintain_column_froms=True).order_by(None)
    part = few.limit(COUNT_CAP + 1).subquery()
    found = db.session.execute(
        select(part.c.unit, func.count(), func.sum(part.c.minor)).group_by(part.c.unit).order_by(part.c.unit)
    ).all()
    rows = sum(int(count) for _unit, count, _sum in found)
    if rows > COUNT_CAP:  # the sum of some of the rows is nobody's number
        return Number(f"{speech().grouped(COUNT_CAP)}+", (), exact=False)
    scales = Scales()
    sums = [(speech().amount(int(total), scales[unit] or 0), unit) for unit, _count, total in found if unit]
    return Number(speech().grouped(rows), tuple(sums), exact=True)


@chart(
    PAGE,
    _("Pinned view"),
    about=_("How many rows of the view each day has. The table says the same, with the sum in each currency."),
    empty=_("No days to draw: the view has no rows, or more on a single day than are counted at once."),
)
def pinned(asked: Pinned) -> Plot | None:
    """How many rows of a view each of thirty days has: up to today, or up to the last day that has any."""
    column = asked.page.shape.time
    if asked.asked is None or column is None:
        return None
    span = _days(asked, column)
    found = list(_by_day(asked, column, span))
    if sum(count for _day, _unit, count, _sum in found) > COUNT_CAP:
        # The newest rows were looked at: the earliest of their days is not whole.
        span = Span(min(day for day, *_rest in found) + ONE_DAY, span.last)
        if span.days < 1:
            return None
    days = tuple(span)
    counts, sums = dict.fromkeys(days, 0), dict[str, dict[dt.date, int]]()
    for day, unit, count, total in found:
        if day in counts:
            counts[day] += count
            if unit:
                sums.setdefault(unit, dict.fromkeys(days, 0))[day] += total
    scales, money = Scales(), asked.money
    amounts = [
        Series(money.label, tuple(of_day.values()), unit, scales[unit] or 0, drawn=False)
        for unit, of_day in sorted(sums.items())
        if money is not None
    ]
    return Plot(Shape.LINE, days, (Series(_("Rows"), tuple(counts.values())), *amounts), average=True)


def _days(pin: Pinned, column: Column) -> Span:
    """Thirty days up to today; for a view whose rows are all older, up to the last of them."""
    newest = pin.rows.with_only_columns(column.attr, maintain_column_froms=True).where(column.attr.is_not(None))
    latest = db.session.scalar(newest.order_by(column.attr.desc(), pin.page.model.id.desc()).limit(1))
    last = lists.today()
    if latest is not None:
        day = latest.astimezone(zone()).date() if column.kind is Kind.MOMENT else latest
        last = last if last - ONE_DAY * DAYS < day <= last else day
    return Span(last - ONE_DAY * (DAYS - 1), last)


def _by_day(pin: Pinned, column: Column, span: Span) -> Iterator[tuple[dt.date, str, int, int]]:
    """The newest rows of these days, as many as are looked at, by day and unit."""
    at = column.attr
    moment = column.kind is Kind.MOMENT
    begin, end = moments(zone(), span) if moment else (span.first, span.last + ONE_DAY)
    newest = pin.rows.where(at >= begin, at < end).order_by(None).order_by(at.desc(), pin.page.model.id.desc())
    few = newest.with_only_columns(at.label("at"), *pin.measures, maintain_column_froms=True)
    part = few.limit(COUNT_CAP + 1).subquery()
    day = business_day(db.session(), part.c.at, zone(), span) if moment else part.c.at
    rows = select(day.label("day"), part.c.unit, part.c.minor).subquery()
    found = select(rows.c.day, rows.c.unit, func.count(), func.sum(rows.c.minor)).group_by(rows.c.day, rows.c.unit)
    for each, unit, count, total in db.session.execute(found):
        yield each, unit or "", int(count), int(total)


def _read(args: "MultiDict[str, str]", *, mode: Mode) -> Pinned:  # noqa: ARG001 - the list's page knows the mode
    view_id = row_id_of(args.get("view", ""))
    if set(args) != {"view"} or len(args.getlist("view")) != 1 or view_id is None:
        raise BadAddress("A chart of a view is asked for by the view's number.")
    found = next((pin for pin in pins() if pin.view_id == view_id and pin.kind is PinKind.CHART), None)
    if found is None:
        raise NotFound("There is no such figure among yours.")
    return found


charts.read_with(PAGE, _read)


# ---- the page --------------------------------------------------------------------------------------------------------


def pins() -> list[Pinned]:
    """What the person signed in has pinned and may see now, in their order.

    What is no longer shared with them is left out, and so is what is on a list that they may not open.
    """
    actor = current_actor()
    kept = select(UserPreference.value).where(UserPreference.staff_id == actor.staff_id, UserPreference.name == PINS)
    wanted = pins_in(db.session.scalar(kept))
    if not wanted:
        return []
    ids = {view_id for view_id, _kind in wanted}
    views = db.session.scalars(select(SavedView).where(SavedView.id.in_(ids), readable_by(actor)))
    known = {view.id: view for view in views}
    pages = _pages()
    return [
        _pinned(pin, known[pin[0]], pages[known[pin[0]].page])
        for pin in wanted
        if pin[0] in known and known[pin[0]].page in pages
    ]


def _pinned(pin: Pin, view: SavedView, page: PayAdminModelView) -> Pinned:
    try:
        asked, problem = lists.read(page.shape, MultiDict(parse_qsl(view.query))), ""
    except BadAddress as refusal:
        asked, problem = None, refusal.sentence
    return Pinned(view.id, pin[1], view.name, page, asked, problem)


def _pages() -> dict[str, PayAdminModelView]:
    """The lists that the person signed in may open, by the name under which views keep them."""
    views = current_app.extensions["admin"][0]._views  # noqa: SLF001 - Flask-Admin keeps them nowhere else
    return {view.endpoint: view for view in views if isinstance(view, PayAdminModelView) and view.is_accessible()}


@blueprint.route("/", methods=("GET", "POST"))
def index() -> Any:
    """The page; a post pins, unpins or moves."""
    if not may_pin(current_actor()):
        raise Forbidden("Your role does not include this page.")
    if request.method == "POST":
        return _change()
    found = pins()
    return render_template(
        "reporting/my_figures.html",
        cards=[(pin, number_of(pin) if pin.asked else None) for pin in found if pin.kind is PinKind.CARD],
        charts=[(pin, _chart(pin)) for pin in found if pin.kind is PinKind.CHART],
        most=saved_views.MOST_PINS,
        cap=speech().grouped(COUNT_CAP),
    )


def _chart(pin: Pinned) -> charts.Card | None:
    """The chart of a view, under the view's name; None for a view that no longer fits its list."""
    if pin.asked is None or pin.page.shape.time is None:
        return None
    made = charts.cards(PAGE, pin, {"view": str(pin.view_id)})["pinned"]
    about = say(_("%(view)s: how many rows each day has. The table says the same.", view=pin.name))
    return replace(made, name=f"view-{pin.view_id}", title=pin.name, about=about)


def _change() -> "Response":
    actor, form = current_actor(), request.form
    view_id, op = row_id_of(form.get("id", "")) or 0, form.get("op", "")
    kind = PinKind.CHART if "chart" in (op, form.get("kind")) else PinKind.CARD
    match op:
        case "card" | "chart":
            _check(view_id, kind)
            saved_views.pin_view(actor, view_id, kind=kind)
            flash("The view is among your figures.", "success")
        case "unpin":
            saved_views.unpin_view(actor, view_id, kind=kind)
            flash("The figure is unpinned. The view stays with its list.", "success")
        case "earlier" | "later":
            saved_views.move_pin(actor, view_id, kind=kind, earlier=op == "earlier")
        case _:
            raise BadAddress("This form is not complete. Open it again.")
    return redirect(url_for("my_figures.index"), 303)


def _check(view_id: int, kind: PinKind) -> None:
    """Refuse what could not be shown: a list that is not theirs to open, a chart of what has no days."""
    endpoint = db.session.scalar(select(SavedView.page).where(SavedView.id == view_id, readable_by(current_actor())))
    page = _pages().get(endpoint or "")
    if page is None:
        raise NotFound("There is no such view. Perhaps it was deleted, or is no longer shared with you.")
    if kind is PinKind.CHART and page.shape.time is None:
        raise Invalid("The rows of this list have no day to draw them by. Pin it as a card.")


def init_pins(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {PAGE: "my_figures.index"}
