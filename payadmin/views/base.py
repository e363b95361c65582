"""`PayAdminModelView`: the page a model gets. Declare what differs; the rest is read from the model."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import current_app, redirect, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import inspect, select
from werkzeug.datastructures import MultiDict

from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.queries.approvals import pending_about
from payadmin.views import lists
from payadmin.views.columns import (
    PAGE_OF,
    REVEALED,
    Column,
    Kind,
    Scales,
    is_hidden,
    masked,
    renderer,
    title_attr,
    titles_of,
    whole,
)
from payadmin.views.core import NUMBERS
from payadmin.views.filters import Active, Filter
from payadmin.views.language import say, speech
from payadmin.views.notes import notes_of
from payadmin.views.reveals import RevealPages
from payadmin.views.rows import Head, Line, print_rows
from payadmin.views.search import leads

HISTORY_LENGTH = 50
RELATED_LENGTH = 20
RELATED_COLUMNS = 5
INPUTS_SECONDS = 60  # a new currency or method is offered a minute later


@dataclass(frozen=True)
class Related:
    """Rows of another page that point to this one."""

    label: str
    heads: Sequence[Head]
    rows: Markup
    all_url: str | None


class PayAdminModelView(RevealPages):
    """A model's page: list, filters, search, details, forms, actions and exports, behind one gate."""

    # --- the list -----------------------------------------------------------------------------------------------------

    @expose("/")
    def index_view(self) -> Any:
        """The list, or the canonical address of what a form's separate inputs ask for."""
        if not request.args and (first := self.first_view()) is not None:
            return self._opened(first)
        asked = lists.read(self.shape, request.args or self.opening())
        if any("." in key or not all(values) for key, values in request.args.lists()):
            return redirect(f"{self.address}{asked.query_string(at=asked.at)}")
        scope = self.get_query()
        shown = self.visible_columns()
        page = lists.fetch(asked, scope, self._needed(shown))
        names = self.names_for(shown, page.rows)
        heads, lines = self._heads(asked, shown), self._lines(shown, page.rows, names)
        many = [action for action in self.allowed_actions() if action.bulk]
        count = lists.count(asked, scope)
        counts = lists.tab_counts(self.shape, scope, self.tab_list) if self.tab_list else []
        return self.render(
            self.list_template,
            asked=asked,
            count=count,
            heads=heads,
            rows=print_rows(heads, lines, self.address, choose=bool(many), menu=True) if lines else None,
            page=page,
            address=self.address,
            tabs=[self._tab(asked, tab, counts[place]) for place, tab in enumerate(self.tab_list)],
            filters=[
                (each, on := asked.active.get(key), self.filter_inputs(each, on))
                for key, each in self.shape.filters.items()
            ],
            choosable=self.choosable_columns(),
            chosen={column.key for column in shown},
            **self.views_context(),
            menu_actions=[entry | {"label": say(entry["label"])} for entry in self.menu_actions()],
            bulk_actions=many,
            truncated=asked.found is not None and asked.found.truncated,
            sizes=lists.SIZES,
            dated=asked.sort.column.kind in {Kind.MOMENT, Kind.DAY},
        )

    def opening(self) -> MultiDict[str, str]:
        """What the list asks for when its address asks for nothing; override it for a page that is a queue."""
        return MultiDict()

    def filter_inputs(self, each: Filter, on: Active | None) -> Markup:
        """The inputs of a filter's form. While it is not in use they are the same for everybody, so they are kept."""
        kept: dict[tuple[str, str, int], tuple[float, Markup]] = current_app.extensions.setdefault(
            "payadmin.inputs", {}
        )
        place = (self.endpoint, each.key, id(speech()))
        if on is None and place in kept and kept[place][0] > time.monotonic() and not current_app.testing:
            return kept[place][1]
        inputs = current_app.jinja_env.get_template("admin/model/_filters.html").module.inputs  # type: ignore[attr-defined]
        made: Markup = inputs(each, on, lists.presets())
        if on is None:
            kept[place] = (time.monotonic() + INPUTS_SECONDS, made)
        return made

    def _needed(self, shown: Iterable[Column]) -> list[str]:
        names = [name for column in shown for name in (column.name, column.unit_key) if name]
        if self.summed is not None:
            names += [self.summed.name, str(self.summed.unit_key)]
        title = self._title_name
        return [*names, *self.list_also, *([title] if title else [])]

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """The names behind the links and codes of these rows: one query a column, whatever the number of rows."""
        links = [column for column in shown if column.kind in {Kind.LINK, Kind.CODE}]
        return {column.key: titles_of(column, {getattr(row, column.name) for row in rows} - {None}) for column in links}

    def _heads(self, asked: lists.Request | None, shown: Iterable[Column]) -> list[Head]:
        heads = []
        shown = list(shown)
        opener = self._opener(shown)
        for column in shown:
            direction, url = None, None
            sortable = column.key in self.shape.sortable and not is_hidden(column.attr)
            can_sort = sortable and (column.kind is not Kind.MONEY or (asked and asked.unit))
            if asked is not None and can_sort:
                on = asked.sort.column is column
                direction = ("descending" if asked.sort.descending else "ascending") if on else None
                sort = lists.Sort(column, not asked.sort.descending if on else column.kind is not Kind.TEXT)
                url = f"{self.address}{asked.query_string(sort=sort)}"
            css = " ".join(filter(None, ("end" if column.kind in NUMBERS else "", self.phone_.get(column.key, ""))))
            heads.append(Head(column.key, say(column.label), css, url, direction, opens=column is opener))
        return heads

    def _opener(self, shown: Sequence[Column]) -> Column | None:
        """Which cell of a row is the link that opens it: its name, or the first that is no link itself."""
        named = (column for column in shown if column.name == self._title_name)
        return next(named, next((column for column in shown if column.kind is not Kind.LINK), None))

    def _lines(self, shown: Sequence[Column], rows: Sequence[Any], names: dict[str, dict[int, str]]) -> list[Line]:
        cells = [self.cell(column, names.get(column.key, {})) for column in shown]
        title, sums, off = self._title_name, self.summed, self.offers()
        scales, singular = Scales(), say(self.singular_)
        attr = title_attr(self.model)
        name_of = masked(attr.property.columns[0].info.get("mask") if attr is not None else None)
        return [
            Line(
                row.id,
                name_of(getattr(row, title)) if title else f"{singular} {row.id}",
                [cell(row) for cell in cells],
                _sum_of(row, sums, scales) if sums is not None else None,
                off(row) if off is not None else None,
            )
            for row in rows
        ]

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """A function from a row to one cell; override it for a column that looks different on this page."""
        return renderer(column, names, self.links_for(column) if column.kind is Kind.LINK else None)

    def _tab(self, asked: lists.Request, tab: lists.Tab, count: str) -> tuple[str, str, str, bool]:
        keys = {key for other in self.tab_list for key in other.args}
        on = lists.is_on(asked, tab) if tab.args else not keys & asked.active.keys()
        return say(tab.label), count, f"{self.address}{asked.query_string(without=keys, **tab.args)}", on

    @property
    def _title_name(self) -> str | None:
        attr = title_attr(self.model)
        return str(attr.key) if attr is not None and attr.key in {c.name for c in self.columns.values()} else None

    @property
    def summed(self) -> Column | None:
        """The money column that the rows are added up by, for each unit."""
        if self.sum_column is not None:
            return self.columns[self.sum_column]
        shown = (self.columns[key] for key in self.shown)
        return next((found for found in shown if found.kind is Kind.MONEY and found.worked_out is None), None)

    # --- one row ------------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/")
    def details_view(self, row_id: int) -> Any:
        """Everything about one row: its fields by section, what points to it, and its story."""
        row = self.get_row(row_id)
        reveal = self.revealing(row)
        notes = notes_of(self, row) if self.notes else {}
        with self.unmasked(reveal):
            return self.render(self.details_template, reveal=reveal, **notes, **self.details_context(row))

    def details_context(self, row: Any) -> dict[str, Any]:
        """What the details template shows; override to add to it."""
        return {
            "row": row,
            "title": self.describe(row),
            "back": self.list_address(),
            "sections": self._sections(row),
            "related": list(self._related(row)),
            "history": self.history_of(row),
            "waiting": pending_about(db.session(), inspect(self.model).local_table.name, row.id),
            "actions": self.actions_for(row),
            "edit_url": url_for(f"{self.endpoint}.edit_view", row_id=row.id) if self.may("edit") else None,
            "delete_url": url_for(f"{self.endpoint}.delete_view", row_id=row.id) if self.may("delete") else None,
        }

    def _sections(self, row: Any) -> list[tuple[str, list[tuple[str, Any]]]]:
        sections = self.detail_sections or {"Details": list(self.columns)}
        names = self.names_for(self.columns.values(), [row])

        def fact(key: str) -> tuple[str, Any]:
            column = self.columns[key]
            return say(column.label), whole(column, self.cell(column, names.get(key, {})))(row)

        return [(say(heading), [fact(key) for key in keys]) for heading, keys in sections.items()]

    def _related(self, row: Any) -> Iterable[Related]:
        pages: dict[Any, PayAdminModelView] = current_app.extensions[PAGE_OF]
        for page in pages.values():
            if not page.is_accessible():
                continue
            table = inspect(page.model).local_table
            links = [
                column
                for column in page.columns.values()
                if column.target is self.model
                and column.kind is Kind.LINK
                and column.info.get("related", True)
                and leads(table, column, page.pinned)
            ]
            for link in links:
                related = page.related_to(row, link)
                # Two ways to point here are told apart by the name of the column.
                yield replace(related, label=f"{related.label} · {say(link.label)}") if len(links) > 1 else related

    def related_to(self, row: Any, link: Column) -> Related:
        """This page's rows that point to `row` by `link`: the newest few, masked although `row` may be revealed."""
        revealed = request.environ.pop(REVEALED, None)
        try:
            return self._related_masked(row, link)
        finally:
            if revealed:
                request.environ[REVEALED] = revealed

    def _related_masked(self, row: Any, link: Column) -> Related:
        shown = [self.columns[key] for key in self.shown if key != link.key][:RELATED_COLUMNS]
        names = dict.fromkeys(["id", *self._needed(shown)])
        statement = self.get_query().where(link.attr == row.id).order_by(self.model.id.desc()).limit(RELATED_LENGTH)
        wanted = (getattr(self.model, name) for name in names)
        rows = db.session.execute(statement.with_only_columns(*wanted, maintain_column_froms=True)).all()
        heads, lines = self._heads(None, shown), self._lines(shown, rows, self.names_for(shown, rows))
        return Related(
            label=say(self.plural_),
            heads=heads,
            rows=print_rows(heads, lines, self.address, choose=False, menu=False),
            all_url=f"{self.address}?{link.key}={row.id}" if link.key in self.shape.filters else None,
        )

    def history_of(self, row: Any) -> Sequence[AuditEvent]:
        """The newest entries of the audit trail about `row`."""
        table = inspect(self.model).local_table.name
        return db.session.scalars(
            select(AuditEvent)
            .where(AuditEvent.entity == table, AuditEvent.entity_id == str(row.id))
            .order_by(AuditEvent.id.desc())
            .limit(HISTORY_LENGTH)
        ).all()


def _sum_of(row: Any, column: Column, scales: Scales) -> tuple[str, int, int] | None:
    minor, unit = getattr(row, column.name), getattr(row, str(column.unit_key))
    scale = scales[unit] if unit else None
    return (unit, minor, scale) if minor is not None and scale is not None else None
