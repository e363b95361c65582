"""Charts: a function that says what is drawn, and one line that puts it on a page.

The rest comes with it: the drawing under the strict content policy, hover, a file with the same numbers, a picture, a
table that says the same to whoever cannot see it, dark mode, and a word when there is nothing to draw. `docs/charts.md`
shows how.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

from flask import Blueprint, Flask, Response, abort, current_app, request, url_for
from werkzeug.datastructures import MultiDict

from payadmin.kernel.errors import Forbidden
from payadmin.kernel.money import decimal_text
from payadmin.kernel.sheets import csv_rows
from payadmin.kernel.text import _
from payadmin.models.payments import Mode
from payadmin.permissions import Permission
from payadmin.queries.reporting import Span
from payadmin.views import periods
from payadmin.views.core import menu_item
from payadmin.views.drawing import Shape, draw
from payadmin.views.language import say, speech
from payadmin.views.security import current_actor
from payadmin.views.shell import OWN_ITEMS, current_mode

Drawer = Callable[[Any], "Plot | None"]

MOST_DRAWN: Final = 200
# Arguments of a chart's address that are no question about its numbers.
APART: Final = frozenset({"theme", "token", "narrow"})
_DRAWN: Final = "payadmin.charts"

blueprint = Blueprint("charts", __name__, url_prefix="/charts")


@dataclass(frozen=True)
class Series:
    """One line, or one part of every bar.

    Attributes:
        label: what it is called.
        values: whole numbers: counts, or minor units of `unit`; as many as there are places.
        unit: the unit of its amounts; None for counts.
        scale: the unit's decimals; of counts too, for shares in tenths.
        drawn: False: said by the hover, the table and the file, but not drawn.
    """

    label: str
    values: tuple[int, ...]
    unit: str | None = None
    scale: int = 0
    drawn: bool = True

    def text(self, value: int) -> str:
        """A value as people read it."""
        shown = speech().amount(value, self.scale) if self.scale else speech().grouped(value)
        return f"{shown} {self.unit}" if self.unit and self.unit != "%" else f"{shown}{self.unit or ''}"

    @property
    def head(self) -> str:
        """Its name in a table, with the unit."""
        return f"{say(self.label)} ({self.unit})" if self.unit else say(self.label)


@dataclass(frozen=True)
class Plot:
    """What a chart shows: places, days or names, and what is at each of them. It says nothing about colours or sizes.

    Attributes:
        shape: a line over days, bars over days one upon the other, or bars for names, the longest first.
        places: the first day of each place, or the name of each.
        series: at least one.
        span: days of a place (1, 7) or None for months; only for days.
        average: a dashed line at the mean of the first series; its places without any payment count too.
        window: the days that are seen first; the rest is reached by the strip below the chart.
        from_zero: whether the scale begins at zero, as it does for amounts and counts; a rate is compared with itself.
    """

    shape: Shape
    places: tuple[dt.date, ...] | tuple[str, ...]
    series: tuple[Series, ...]
    average: bool = False
    window: Span | None = None
    head: str = _("Day")
    from_zero: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.places or not any(any(one.values) for one in self.series)

    @property
    def seen(self) -> Iterator[int]:
        """The places that are seen first, as positions."""
        for position, place in enumerate(self.places):
            window = self.window
            if window is None or not isinstance(place, dt.date) or window.first <= place <= window.last:
                yield position

    def place_text(self, position: int) -> str:
        """A place as people read it."""
        place = self.places[position]
        return speech().day(place) if isinstance(place, dt.date) else say(place)

    @cached_property
    def mean(self) -> int:
        """The mean of the first series over the places that are seen, in its own whole units, half up."""
        values = [self.series[0].values[position] for position in self.seen]
        return (2 * sum(values) + len(values)) // (2 * len(values)) if values else 0


class Reader(Protocol):
    """What a page with charts understands of its address."""

    def __call__(self, args: "MultiDict[str, str]", *, mode: Mode) -> Any:
        """What was asked for; equal for equal addresses. BadAddress when it makes no sense."""


@dataclass(frozen=True)
class Chart:
    """A chart as it was declared."""

    page: str
    name: str
    title: str
    about: str
    drawer: Drawer
    empty: str

    def plot(self, asked: Any) -> Plot | None:
        """What it shows."""
        return self.drawer(asked)


@dataclass
class Page:
    """The charts of one page, and how its address is read."""

    charts: dict[str, Chart] = field(default_factory=dict)
    reader: Reader | None = None


PAGES: dict[str, Page] = {}


def chart(page: str, title: str, *, about: str = "", empty: str = "") -> Callable[[Drawer], Drawer]:
    """Put a chart on a page: `@chart("transactions", "Payments a day")` above a function that returns a `Plot`.

    Args:
        page: the key of the page's menu item; for a model's page under a heading of its own, the page's endpoint.
        title: the heading.
        about: a sentence for those who do not see the chart; without it, the title says enough.
        empty: what is said when there is nothing to draw.
    """

    def mark(drawer: Drawer) -> Drawer:
        name = drawer.__name__.strip("_").replace("_", "-")
        made = Chart(page, name, title, about, drawer, empty)
        PAGES.setdefault(page, Page()).charts[name] = made
        return drawer

    return mark


def read_with(page: str, reader: Reader) -> None:
    """Say how a page's address is read; without this, the last thirty days in the usual unit are drawn.

    Args:
        page: as for `chart`.
        reader: from the arguments to what the functions of its charts take.
    """
    PAGES.setdefault(page, Page()).reader = reader


# ---- on a page -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """A chart as a template shows it (macros/charts.html)."""

    name: str
    title: str
    about: str
    empty: str
    plot: Plot | None
    json_url: str
    csv_url: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return self.plot is None or self.plot.is_empty

    @property
    def heads(self) -> list[str]:
        """The heads of the table that says the same."""
        assert self.plot is not None
        return [say(self.plot.head), *(one.head for one in self.plot.series)]

    @property
    def rows(self) -> list[list[str]]:
        """The rows of that table: what is seen first."""
        assert self.plot is not None
        return [
            [self.plot.place_text(position), *(_bare(one, one.values[position]) for one in self.plot.series)]
            for position in self.plot.seen
        ]


def _bare(series: Series, value: int) -> str:
    return speech().amount(value, series.scale) if series.scale else speech().grouped(value)


def cards(
    page: str, asked: Any, pairs: Mapping[str, str], *, address: Callable[..., str] | None = None
) -> dict[str, Card]:
    """The charts of a page by name, ready for its template.

    Args:
        page: as for `chart`.
        asked: what the page's reader made of the address.
        pairs: the arguments of the address, which lead to the same numbers again.
        address: where drawing and file are, for pages that are seen elsewhere: from `kind` and the arguments.
    """
    where = address or _own_address
    found = {}
    for name, one in PAGES.get(page, Page()).charts.items():
        parts: dict[str, Any] = {"page": page, "name": name, **pairs}
        found[name] = Card(
            name,
            say(one.title),
            say(one.about or one.title),
            say(one.empty) if one.empty else "",
            one.plot(asked),
            where(kind="json", **parts),
            where(kind="csv", **parts),
        )
    return found


def _own_address(*, kind: str, **parts: Any) -> str:
    return url_for("charts.drawn" if kind == "json" else "charts.file", **parts)


def cards_of_list(page: str) -> list[Card]:
    """The charts of a model's page, drawn for the last thirty days in the usual unit."""
    if page not in PAGES or PAGES[page].reader is not None:
        return []
    return list(cards(page, periods.usual(Mode[current_mode()]), {}).values())


# ---- their addresses -------------------------------------------------------------------------------------------------


@blueprint.get("/<page>/<name>.json")
def drawn(page: str, name: str) -> Response:
    """A chart as BokehJS draws it."""
    _guard(page)
    return drawing_of(page, name, Mode[current_mode()])


@blueprint.get("/<page>/<name>.csv")
def file(page: str, name: str) -> Response:
    """The numbers of a chart as a file."""
    _guard(page)
    return file_of(page, name, Mode[current_mode()])


def drawing_of(page: str, name: str, mode: Mode) -> Response:
    """A chart for BokehJS, of what the address asks for."""
    one, plot = _plot(page, name, mode)
    dark, narrow = request.args.get("theme") == "dark", request.args.get("narrow") == "1"
    kept: dict[Any, str] = current_app.extensions.setdefault(_DRAWN, {})
    # Kept by what is drawn, so that it is never older than the numbers.
    key = (plot, one.title, dark, narrow, id(speech()))
    if key not in kept:
        if len(kept) >= MOST_DRAWN:
            kept.clear()
        # Not jsonify: it sorts keys, and BokehJS takes each reference only after what it refers to.
        kept[key] = json.dumps(draw(plot, say(one.title), dark=dark, narrow=narrow))
    return Response(kept[key], mimetype="application/json")


def file_of(page: str, name: str, mode: Mode) -> Response:
    """The numbers of a chart: plain, whatever the language, with all the places that the strip reaches."""
    _one, plot = _plot(page, name, mode)
    head = [plot.head, *(f"{each.label} ({each.unit})" if each.unit else each.label for each in plot.series)]
    rows = (
        [
            place.isoformat() if isinstance(place, dt.date) else str(place),
            *(decimal_text(each.values[position], each.scale) for each in plot.series),
        ]
        for position, place in enumerate(plot.places)
    )
    headers = {"Content-Disposition": f'attachment; filename="{page}-{name}.csv"'}
    return Response(csv_rows(head, rows), mimetype="text/csv", headers=headers)


def _plot(page: str, name: str, mode: Mode) -> tuple[Chart, Plot]:
    found = PAGES.get(page)
    if found is None or name not in found.charts:
        abort(404)
    one = found.charts[name]
    args = MultiDict((key, value) for key, value in request.args.items(multi=True) if key not in APART)
    plot = one.plot(periods.usual(mode) if found.reader is None else found.reader(args, mode=mode))
    if plot is None:
        abort(404)
    return one, plot


def _guard(page: str) -> None:
    """A chart is for whoever may open its page."""
    actor = current_actor()
    if page not in PAGES:
        abort(404)
    permission = permission_of(page)
    if permission is None or not actor.may(permission) or not actor.opens(page):
        raise Forbidden("Your role does not include this page.")


def permission_of(page: str) -> Permission | None:
    """What reading a page needs; None for a page that is not in the menu."""
    item = menu_item(page)
    own = [each for items in current_app.extensions.get(OWN_ITEMS, {}).values() for each in items if each.key == page]
    return item.permission if item is not None else own[0].permission if own else None


def init_charts(app: Flask) -> None:
    """Give charts their addresses, and lists the charts of their page."""
    app.register_blueprint(blueprint)
    app.jinja_env.globals.update(charts_of_list=cards_of_list)


__all__ = ["PAGES", "Card", "Chart", "Plot", "Series", "Shape", "cards", "chart", "init_charts", "read_with"]
