"""The list behind every page: what its address asks for, its rows, where it continues, and how many there are."""

import datetime as dt
import enum
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import Row, Select, exists, func, literal, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

from payadmin.db import db, utcnow
from payadmin.kernel.text import _
from payadmin.views.columns import Column, Kind, is_hidden, zone
from payadmin.views.filters import Active, BadAddress, Filter, clean, day_of, moment_of
from payadmin.views.language import say, speech
from payadmin.views.search import Found, Lookup

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

SIZES = (20, 50, 100)
SIZE = 50
COUNT_CAP = 10_000
TAB_SECONDS = 20
MOST_KEPT = 500
ARGUMENTS = frozenset({"search", "sort", "after", "before", "last", "size", "at", "view"})
RESERVED = ARGUMENTS | {"count", "index"}  # the last two are methods of the rows that lists read


@dataclass(frozen=True)
class Sort:
    """An order: one column, then the primary key in the same direction, so it is total and rows never repeat."""

    column: Column
    descending: bool

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.column.key}"


@dataclass(frozen=True)
class Shape:
    """What a page's list can do; made once per page when the application starts."""

    name: str
    model: Any
    columns: Mapping[str, Column]
    filters: Mapping[str, Filter]
    sortable: Mapping[str, Column]
    default_sort: Sort
    lookups: Sequence[Lookup]

    @property
    def time(self) -> Column | None:
        """The column that says on which day a row came: what the latest come first by, else when they were made."""
        sort = self.default_sort
        latest_first = sort.descending and sort.column.kind in {Kind.MOMENT, Kind.DAY}
        return sort.column if latest_first else self.sortable.get("created_at")


@dataclass(frozen=True)
class Request:
    """What an address asks for, fully checked."""

    shape: Shape
    sort: Sort
    size: int = SIZE
    search: str = ""
    active: Mapping[str, Active] = field(default_factory=dict)
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None
    last: bool = False
    at: dt.date | None = None
    view: int | None = None  # the saved view that the list was opened with; 0: none, although one would come first

    @cached_property
    def found(self) -> Found | None:
        """What the search finds; None without one."""
        return Found(self.shape.lookups, self.search) if self.search else None

    @property
    def narrowed(self) -> bool:
        """Whether anything but the page's own scope limits the rows."""
        return bool(self.search or self.active)

    @property
    def unit(self) -> str | None:
        """The only unit that rows can have, if a filter pins one."""
        return next((active.unit for active in self.active.values() if active.unit), None)

    def pairs(self, *, without: Iterable[str] = (), **changes: object) -> list[tuple[str, str]]:
        """The address's arguments in canonical order, without the place in the list; `changes` replaces some."""
        skip = {*without, *changes}
        pairs: list[tuple[str, str]] = []
        if self.search and "search" not in skip:
            pairs.append(("search", self.search))
        for key, active in self.active.items():
            if key not in skip:
                pairs += [(key, value) for value in active.values]
        if "sort" not in skip and self.sort != self.shape.default_sort:
            pairs.append(("sort", str(self.sort)))
        if "size" not in skip and self.size != SIZE:
            pairs.append(("size", str(self.size)))
        if self.view is not None and "view" not in skip:
            pairs.append(("view", str(self.view)))
        for key, value in changes.items():
            values = value if isinstance(value, list | tuple) else [value]
            pairs += [(key, str(item)) for item in values if item not in (None, "")]
        return pairs

    @property
    def cleared(self) -> str:
        """The end of the address of the whole list, seen with the same view."""
        return "" if self.view is None else f"?view={self.view}"

    def query_string(self, *, without: Iterable[str] = (), **changes: object) -> str:
        """`pairs` as the end of an address, with its question mark."""
        pairs = self.pairs(without=without, **changes)
        return f"?{urlencode(pairs)}" if pairs else ""


def read(shape: Shape, args: "MultiDict[str, str]") -> Request:
    """Check and understand the arguments of a list's address.

    Raises:
        BadAddress: anything unknown, repeated or senseless. Nothing is ignored: an ignored filter shows more rows than
            were asked for, and a bulk action would touch them.
    """
    values: dict[str, list[str]] = {}
    for key, given in args.lists():
        if kept := clean(given):
            values[key] = kept
        elif key.partition(".")[0] not in {*shape.filters, *ARGUMENTS}:  # a form's empty inputs ask for nothing
            raise BadAddress("This list knows no such argument.")
    values = _join_parts(shape, values)
    active = {key: each.read(values.pop(key)) for key, each in shape.filters.items() if values.get(key)}
    for key, several in list(values.items()):
        if key not in ARGUMENTS:
            raise BadAddress("This list knows no such argument.")
        if len(several) > 1:
            raise BadAddress(_("“%(key)s” is given more than once.", key=key))
    one = {key: several[0] for key, several in values.items() if several}
    if len({"after", "before", "last", "at"} & one.keys()) > 1:
        raise BadAddress("Only one place in the list can be asked for.")
    asked = Request(shape=shape, sort=_sort(shape, one.get("sort")), size=_size(one.get("size")), active=active)
    asked = replace(asked, search=one.get("search", "").strip(), last=_flag(one, "last"), at=_at(one, asked.sort))
    asked = replace(asked, view=_view(one.get("view")))
    if asked.sort.column.kind is Kind.MONEY and asked.unit is None:
        raise BadAddress(_("Filter by one currency to sort by %(column)s.", column=asked.sort.column.label))
    cursors = {key: decode(one[key], asked.sort, shape) for key in ("after", "before") if key in one}
    return replace(asked, after=cursors.get("after"), before=cursors.get("before"))


def _join_parts(shape: Shape, values: dict[str, list[str]]) -> dict[str, list[str]]:
    """Turn the separate inputs of a filter's form (`date.from`, `date.to`) into its one argument (`date`)."""
    joined: dict[str, dict[str, str]] = {}
    whole: dict[str, list[str]] = {}
    for key, several in values.items():
        base, dot, part = key.partition(".")
        if not dot:
            whole[key] = several
        elif base not in shape.filters or part not in shape.filters[base].parts or len(several) > 1:
            raise BadAddress("This list knows no such argument.")
        else:
            joined.setdefault(base, {})[part] = several[0]
    for base, parts in joined.items():
        if base in whole:
            raise BadAddress(_("“%(key)s” is given more than once.", key=base))
        whole[base] = shape.filters[base].joined(parts)
    for base, several in whole.items():
        if len(several) > 1 and base in shape.filters and not shape.filters[base].repeatable:
            raise BadAddress(_("“%(key)s” is given more than once.", key=base))
    return whole


def _sort(shape: Shape, text: str | None) -> Sort:
    if text is None:
        return shape.default_sort
    column = shape.sortable.get(text.removeprefix("-"))
    if column is None or is_hidden(column.attr):  # the order of what is masked would tell it
        raise BadAddress(_("This list cannot be sorted by “%(column)s”.", column=text[:40]))
    return Sort(column, text.startswith("-"))


def _size(text: str | None) -> int:
    if text is None:
        return SIZE
    if text not in map(str, SIZES):
        raise BadAddress(
            _("A page has %(sizes)s or %(largest)s rows.", sizes=", ".join(map(str, SIZES[:-1])), largest=SIZES[-1])
        )
    return int(text)


def _view(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - digits that every id column holds
        raise BadAddress("A view is named by its number.")
    return int(text)


def _flag(one: Mapping[str, str], key: str) -> bool:
    if one.get(key, "1") != "1":
        raise BadAddress(_("“%(key)s” is either 1 or absent.", key=key))
    return key in one


def _at(one: Mapping[str, str], sort: Sort) -> dt.date | None:
    if "at" not in one:
        return None
    if sort.column.kind not in {Kind.MOMENT, Kind.DAY}:
        raise BadAddress("Only a list in order of time has a place for a day.")
    return day_of(one["at"], "Day")


# --- where a page begins ----------------------------------------------------------------------------------------------


def _serializer(shape: Shape, sort: Sort) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=f"cursor:{shape.name}:{sort}")


def encode(row: Any, sort: Sort, shape: Shape) -> str:
    """The place of `row` in the list, signed: an address can only continue where a page ended."""
    value = getattr(row, sort.column.name)
    if isinstance(value, dt.datetime | dt.date):
        value = value.isoformat()
    elif isinstance(value, enum.Enum):
        value = value.name
    return str(_serializer(shape, sort).dumps([value, row.id]))


def decode(text: str, sort: Sort, shape: Shape) -> tuple[Any, int]:
    """The values at a place that `encode` wrote."""
    try:
        value, row_id = _serializer(shape, sort).loads(text)
    except (BadSignature, ValueError, TypeError):
        raise BadAddress("This place in the list is not known. Go back to the first page.") from None
    match sort.column.kind:
        case Kind.MOMENT:
            value = dt.datetime.fromisoformat(value)
        case Kind.DAY:
            value = dt.date.fromisoformat(value)
        case Kind.ENUM if sort.column.members:
            value = sort.column.members[value]
    return value, int(row_id)


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """The rows of one page and the cursors of its neighbours."""

    rows: Sequence[Row[Any]]
    previous: str | None
    following: str | None


def narrow(asked: Request, scope: "Select[Any]") -> "Select[Any]":
    """`scope` limited by the search and the filters: the rows of the list, in no order."""
    if asked.found is not None:
        scope = scope.where(asked.found.holds(asked.shape.model.id))
    return scope.where(*(active.where for active in asked.active.values()))


def order(asked: Request, *, backwards: bool = False) -> list[Any]:
    """The ORDER BY of the list."""
    keys = _keys(asked)
    descending = asked.sort.descending != backwards
    return [key.desc() if descending else key.asc() for key in keys]


def fetch(asked: Request, scope: "Select[Any]", names: Iterable[str]) -> Page:
    """One page of rows (only the attributes in `names`), one query; a further one only at a day jumped to."""
    model, sort = asked.shape.model, asked.sort
    wanted = dict.fromkeys(["id", sort.column.name, *names])
    base = narrow(asked, scope).with_only_columns(
        *(getattr(model, name) for name in wanted), maintain_column_froms=True
    )
    backwards = asked.before is not None or asked.last
    statement = base
    if (place := asked.after or asked.before) is not None:
        statement = statement.where(_beyond(asked, place, backwards=backwards))
    elif asked.at:
        statement = statement.where(_from_day(asked, asked.at))
    rows = db.session.execute(statement.order_by(*order(asked, backwards=backwards)).limit(asked.size + 1)).all()
    more, rows = len(rows) > asked.size, rows[: asked.size]
    if asked.before is not None and not more and len(rows) < asked.size:
        return fetch(replace(asked, before=None), scope, names)  # fewer rows than a page: this is the first page
    if backwards:
        rows = rows[::-1]
    has_previous = (
        more if backwards else asked.after is not None or (asked.at is not None and _anything_before(asked, base, rows))
    )
    has_following = asked.before is not None if backwards else more
    return Page(
        rows=rows,
        previous=encode(rows[0], sort, asked.shape) if rows and has_previous else None,
        following=encode(rows[-1], sort, asked.shape) if rows and has_following else None,
    )


def _keys(asked: Request) -> list[Any]:
    column = asked.sort.column
    return [column.attr] if column.name == "id" else [column.attr, asked.shape.model.id]


def _beyond(asked: Request, place: tuple[Any, ...], *, backwards: bool) -> Any:
    keys = _keys(asked)
    here = tuple_(*(literal(value, key.type) for key, value in zip(keys, place[-len(keys) :], strict=True)))
    return tuple_(*keys) < here if asked.sort.descending != backwards else tuple_(*keys) > here


def _from_day(asked: Request, day: dt.date) -> Any:
    attr, moment = asked.sort.column.attr, asked.sort.column.kind is Kind.MOMENT
    if asked.sort.descending:
        day += dt.timedelta(days=1)
        return attr < (moment_of(day) if moment else day)
    return attr >= (moment_of(day) if moment else day)


def _anything_before(asked: Request, base: "Select[Any]", rows: Sequence[Row[Any]]) -> bool:
    if not rows:
        return False
    place = (getattr(rows[0], asked.sort.column.name), rows[0].id)
    return bool(
        db.session.scalar(
            select(exists(base.where(_beyond(asked, place, backwards=True)).limit(1).subquery().select()))
        )
    )


# --- how many ---------------------------------------------------------------------------------------------------------


class Explain(Executable, ClauseElement):
    """PostgreSQL's plan of a statement, which says how many rows it expects."""

    inherit_cache = False

    def __init__(self, statement: "Select[Any]") -> None:
        self.statement = statement


@compiles(Explain, "postgresql")
def _explain(element: Explain, compiler: Any, **kw: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **kw)}"


@dataclass(frozen=True)
class Count:
    """How many rows there are, as far as it is worth knowing."""

    number: int
    label: str
    exact: bool


def count(asked: Request, scope: "Select[Any]") -> Count:
    """The number of rows: exact up to 10,000; beyond, an estimate for the whole list, "10,000+" for a part of it."""
    statement = narrow(asked, scope)
    if not asked.narrowed and (estimate := _estimate(scope)) > COUNT_CAP:
        digits = len(str(estimate)) - 3
        rounded = round(estimate, -digits)
        return Count(rounded, f"~{speech().grouped(rounded)}", exact=False)
    number = db.session.scalar(select(capped(statement))) or 0
    if number > COUNT_CAP:
        return Count(number, f"{speech().grouped(COUNT_CAP)}+", exact=False)
    return Count(number, speech().grouped(number), exact=True)


def capped(statement: "Select[Any]") -> Any:
    """A sub-select that counts rows, but never more than one beyond the cap."""
    few = (
        statement.with_only_columns(literal(1).label("one"), maintain_column_froms=True)
        .order_by(None)
        .limit(COUNT_CAP + 1)
    )
    return select(func.count()).select_from(few.subquery()).scalar_subquery()


def _estimate(scope: "Select[Any]") -> int:
    if db.session.get_bind().dialect.name != "postgresql":
        return 0
    plan = db.session.execute(Explain(scope.with_only_columns(literal(1), maintain_column_froms=True))).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


@dataclass(frozen=True)
class Tab:
    """A ready-made choice above the list: a word and the filter arguments it stands for."""

    label: str
    args: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def tab_counts(shape: Shape, scope: "Select[Any]", tabs: Sequence[Tab]) -> list[str]:
    """How many rows each tab holds: one statement, each count capped, remembered for a few seconds.

    The counts are those of the page's scope, whatever else is filtered, so they can be shared by everybody with that
    scope. What is remembered is found by the scope's own statement and values, so a scope can never be forgotten.
    """
    compiled = scope.with_only_columns(shape.model.id, maintain_column_froms=True).compile(db.session.get_bind())
    key = (shape.name, speech().code, str(compiled), tuple(map(str, compiled.params.items())))
    cache: dict[Any, tuple[float, list[str]]] = current_app.extensions.setdefault("payadmin.tab_counts", {})
    if (kept := cache.get(key)) and kept[0] > time.monotonic() and not current_app.testing:
        return kept[1]
    counts = []
    for place, tab in enumerate(tabs):
        conditions = [shape.filters[key].read(list(values)).where for key, values in tab.args.items()]
        counts.append(capped(scope.where(*conditions)).label(f"c{place}"))
    numbers = db.session.execute(select(*counts)).one()
    grouped = speech().grouped
    labels = [f"{grouped(COUNT_CAP)}+" if number > COUNT_CAP else grouped(number) for number in numbers]
    if len(cache) > MOST_KEPT:
        cache.clear()
    cache[key] = (time.monotonic() + TAB_SECONDS, labels)
    return labels


def is_on(asked: Request, tab: Tab) -> bool:
    """Whether the list shows exactly what the tab stands for (other filters apart)."""
    keys = tab.args.keys()
    return bool(keys) and all(
        key in asked.active and set(asked.active[key].values) == set(values) for key, values in tab.args.items()
    )


def today() -> dt.date:
    """The day it is in the business time zone."""
    return utcnow().astimezone(zone()).date()


def presets() -> list[tuple[str, str, str]]:
    """Ranges of days that filters offer: a word, the first and the last day."""
    now = today()
    spans = (
        (_("Today"), now),
        (_("7 days"), now - dt.timedelta(days=6)),
        (_("30 days"), now - dt.timedelta(days=29)),
        (_("This month"), now.replace(day=1)),
        (_("This year"), now.replace(month=1, day=1)),
    )
    return [(say(label), first.isoformat(), now.isoformat()) for label, first in spans]
