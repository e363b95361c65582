"""The search over everything that has an ID: which records a term finds, what they are, and what can be done with them.

A page takes part by one line, `find_by = ("code", …)`: columns that lead an index. All of them are asked in one
statement of small look-ups, each through its own index and for a few rows only; then each page that found any is asked
for these rows.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, current_app, render_template, request
from sqlalchemy import Select, literal, select, union_all
from sqlalchemy.orm import InstrumentedAttribute

from payadmin.db import db
from payadmin.kernel.masks import card_number_digits
from payadmin.kernel.money import format_minor
from payadmin.views.columns import Column, Kind, is_hidden, masked, title_attr, unit_scale
from payadmin.views.core import PageCore, menu_item
from payadmin.views.filters import begins_with, row_id_of
from payadmin.views.language import say
from payadmin.views.search import SHORTEST_PREFIX, has_ordered_bytes

LONGEST = 100
MOST_OF_A_KIND = 6
MOST_LOOKED_AT = 24
MOST_SHOWN = 20
MOST_TOLD = 3
_DIALLED = re.compile(r"[ ()/.-]")

blueprint = Blueprint("finder", __name__)


@dataclass(frozen=True)
class Hit:
    """One record that was found, as the person signed in may see it."""

    title: str
    sub: str
    url: str
    status: tuple[str, str] | None
    amount: str
    actions: Sequence[dict[str, Any]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Group:
    """The records of one page that were found, the exact ones first."""

    label: str
    icon: str
    hits: Sequence[Hit]
    more_url: str | None


@dataclass(frozen=True)
class Probe:
    """One look-up: a column, the value, and whether its beginning is enough."""

    page: int
    key: InstrumentedAttribute[Any]
    row_id: Any
    value: str
    is_prefix: bool
    is_through: bool


@dataclass
class Match:
    """How a row was found: by a whole value, and through which row of another table."""

    is_exact: bool = False
    through: str = ""


@blueprint.get("/search/")
def search() -> str:
    """What a term finds, grouped, with status and actions: the page behind the palette, and the one for phones."""
    term = term_of(request.args.get("q", ""))
    groups = find(term, MOST_SHOWN)
    return render_template(
        "finder/index.html", term=term, groups=groups, short=is_short(term), shortest=SHORTEST_PREFIX
    )


def term_of(text: str) -> str:
    """What is looked for: plain text of a sensible length; a full card number only by its last four digits (PY12)."""
    term = text.strip()[:LONGEST]
    if not term.isprintable():
        return ""
    digits = card_number_digits(term)
    return digits[-4:] if digits else term


def is_short(term: str) -> bool:
    """Whether the term is too short for beginnings, so that only whole values were found."""
    return 0 < len(term) < SHORTEST_PREFIX


def find(term: str, most: int = MOST_OF_A_KIND) -> list[Group]:
    """The records that `term` finds on the pages that the person signed in may open."""
    if not term:
        return []
    pages = [page for page in pages_of_search() if page.is_accessible()]
    probes = [probe for number, page in enumerate(pages) for probe in _probes(number, page, term)]
    if not probes:
        return []
    rows = db.session.execute(union_all(*map(_look, probes)))
    found: dict[int, dict[int, Match]] = {}
    for number, row_id, value, is_through in rows:
        match = found.setdefault(number, {}).setdefault(row_id, Match())
        match.is_exact |= value.lower() == term.lower()
        if is_through:
            match.through = value
    groups = (_group(pages[number], term, found[number], most) for number in sorted(found))
    return [group for group in groups if group.hits]


def pages_of_search() -> list[PageCore]:
    """The pages that take part, in the order in which they are registered."""
    views = current_app.extensions["admin"][0]._views  # noqa: SLF001 - where Flask-Admin keeps them
    return [
        view for view in views if isinstance(view, PageCore) and (view.find_by or view.find_through or view.find_number)
    ]


def looked_at(page: PageCore) -> Iterator[tuple[InstrumentedAttribute[Any], Any]]:
    """The columns by which records of `page` are found, each with the column that holds the record's id."""
    for key in page.find_by:
        yield page.columns[key].attr, page.model.id
    yield from page.find_through


def _probes(number: int, page: PageCore, term: str) -> Iterator[Probe]:
    for attr, row_id in looked_at(page):
        column = Column("", "", Kind.TEXT, attr)
        begins = len(term) >= SHORTEST_PREFIX and has_ordered_bytes(column) and not is_hidden(attr)
        for value in _spellings(attr, term):
            yield Probe(number, attr, row_id, value, begins, row_id.key != "id")
    if page.find_number and row_id_of(term.upper().removeprefix(page.find_number)) is not None:
        # Records without another name: "R-12", or "12" alone.
        yield Probe(number, page.model.id, page.model.id, term, is_prefix=False, is_through=False)


def _spellings(attr: InstrumentedAttribute[Any], term: str) -> Iterable[str]:
    """The term as the column would hold it: addresses in small letters, phones as dialled, numbers in capitals."""
    mask = attr.property.columns[0].info.get("mask")
    if mask == "email" or attr.key == "email":
        return (term.lower(),)
    if mask == "phone":
        return dict.fromkeys((term, _DIALLED.sub("", term)))
    if attr.key == "username":
        return dict.fromkeys((term, term.lower()))
    if mask == "name" or attr.key == "name":
        return dict.fromkeys((term, term.title()))
    return dict.fromkeys((term, term.upper()))


def _look(probe: Probe) -> "Select[Any]":
    if probe.key is probe.row_id:
        one = select(
            literal(probe.page).label("page"),
            probe.row_id.label("row_id"),
            literal(probe.value).label("value"),
            literal(value=False).label("is_through"),
        )
        return select(one.where(probe.row_id == row_id_of(probe.value.rpartition("-")[2])).subquery())
    where = begins_with(probe.key, probe.value) if probe.is_prefix else probe.key == probe.value
    # In the order of the index that finds them; of equal values the newest first.
    order = probe.key.asc() if probe.is_prefix else probe.key.class_.id.desc()
    few = (
        select(
            literal(probe.page).label("page"),
            probe.row_id.label("row_id"),
            probe.key.label("value"),
            literal(probe.is_through).label("is_through"),
        )
        .where(where, probe.row_id.is_not(None))
        .order_by(order)
        .limit(MOST_LOOKED_AT)
    ).subquery()
    return select(few)


def _group(page: PageCore, term: str, ids: dict[int, Match], most: int) -> Group:
    title, status, money = _title_of(page), page.status_column(), _money_of(page)
    told = [column for column in (page.columns[key] for key in page.find_by) if column.attr is not title]
    names = dict.fromkeys(["id", *page.list_also, *(column.name for column in told)])
    if title is not None:
        names[title.key] = None
    names |= dict.fromkeys([status.name] if status else [])
    names |= dict.fromkeys([money.name, str(money.unit_key)] if money else [])
    scope = page.get_query().where(page.model.id.in_(ids))
    picked = (getattr(page.model, name) for name in names)
    rows = db.session.execute(scope.with_only_columns(*picked, maintain_column_froms=True)).all()
    rows = sorted(rows, key=lambda row: (not ids[row.id].is_exact, -row.id))
    entries, off = page.menu_actions(), page.offers()
    item = menu_item(page.menu_key)
    return Group(
        label=page.found_as or page.plural_,
        icon=item.icon if item else page.found_icon,
        hits=[
            Hit(
                title=f"{say(page.singular_)} {page.find_number}{row.id}"
                if title is None
                else masked(title.property.columns[0].info.get("mask"))(getattr(row, title.key)),
                sub=" · ".join(_told(row, told, term, ids[row.id])),
                url=f"{page.address}{row.id}/",
                status=page.status_words(row) if status else None,
                amount=_amount(row, money),
                actions=_allowed(entries, row, off(row) if off else None),
            )
            for row in rows[:most]
        ],
        more_url=f"{page.address}{_query(term)}" if len(rows) > most else None,
    )


def _query(term: str) -> str:
    return f"?{urlencode({'search': term})}"


def _title_of(page: PageCore) -> InstrumentedAttribute[Any] | None:
    """What the records are called: by their name, else by what they are found by first; None: by their number."""
    return title_attr(page.model) or (page.columns[page.find_by[0]].attr if page.find_by else None)


def _told(row: Any, told: Iterable[Column], term: str, match: Match) -> list[str]:
    """A few of the other values by which the row is found: first of all the one that was."""
    values = [(str(value), column) for column in told if (value := getattr(row, column.name)) not in (None, "")]
    values.sort(key=lambda pair: not pair[0].lower().startswith(term.lower()))
    said = [masked(column.info.get("mask"))(value) for value, column in values]
    return [*([match.through] if match.through else []), *said][:MOST_TOLD]


def _money_of(page: PageCore) -> Column | None:
    return next((page.columns[key] for key in page.shown if page.columns[key].kind is Kind.MONEY), None)


def _amount(row: Any, money: Column | None) -> str:
    if money is None:
        return ""
    minor, unit = getattr(row, money.name), getattr(row, str(money.unit_key))
    scale = unit_scale(unit) if unit else None
    return f"{format_minor(minor, scale)} {unit}" if minor is not None and scale is not None else ""


def _allowed(entries: Iterable[dict[str, Any]], row: Any, off: dict[str, str] | None) -> list[dict[str, Any]]:
    """What can be done with the record right now; opening it is its link."""
    return [
        {
            "label": say(entry["label"]),
            "icon": entry["icon"],
            "url": entry["url"].replace("{id}", str(row.id)),
            "dialog": bool(entry.get("dialog")),
            "danger": bool(entry.get("danger")),
        }
        for entry in entries
        if entry["name"] != "open" and entry["name"] not in (off or {})
    ]


def init_finder(app: Flask) -> None:
    """Add the page of the search."""
    app.register_blueprint(blueprint)
