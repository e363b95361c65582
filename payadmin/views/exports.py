"""Exports: what the list shows, all of it, streamed with typed cells from database to file, and written down."""

import contextlib
import hashlib
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from flask import Response, request, stream_with_context, url_for
from flask_admin import expose
from sqlalchemy import func, literal, select
from sqlalchemy.orm import aliased

from payadmin import audit, step_up
from payadmin.actions import records
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid, NotFound, Refusal
from payadmin.kernel.money import Money
from payadmin.kernel.sheets import csv_rows, defuse
from payadmin.kernel.xlsx import xlsx
from payadmin.views import lists
from payadmin.views.bulk import BulkPages
from payadmin.views.columns import Column, Kind, Scales, json_text, label_of, masked, scope_of
from payadmin.views.search import MOST_MATCHES
from payadmin.views.security import current_actor

SMALL = 1_000
TABLIB_CAP = 50_000
BATCH = 1_000
TYPES = {
    "csv": ("CSV", "text/csv; charset=utf-8"),
    "xlsx": ("Excel workbook", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "ods": ("OpenDocument sheet", "application/vnd.oasis.opendocument.spreadsheet"),
    "json": ("JSON", "application/json"),
}


class TooMany(Refusal):
    """More rows than this kind of file can hold: said, never cut off."""

    code = "too_many"
    status = 413


class ExportPages(BulkPages):
    """The files of a page."""

    export_kinds = tuple((kind, label) for kind, (label, _) in TYPES.items())

    @expose("/export/<kind>/", methods=("GET", "POST"))
    def export_view(self, kind: str) -> Any:
        """The list as a file: same rows, same order, same columns. Above 1,000 rows a fresh code is asked for."""
        if kind not in TYPES:
            raise NotFound("There is no such kind of file.")
        asked = lists.read(self.shape, request.args)
        if asked.found is not None and asked.found.truncated:
            raise Conflict(
                f"The search finds more than {MOST_MATCHES:,} rows, and the file would miss some. Narrow it."
            )
        large = self._more_than(asked, SMALL)
        if kind in {"ods", "json"} and large and self._more_than(asked, TABLIB_CAP):
            raise TooMany(
                f"{TYPES[kind][0]} files hold at most {TABLIB_CAP:,} rows. Narrow the list, or export CSV or Excel, "
                "which have no limit."
            )
        if large and request.method == "GET":
            return self._confirm_export(asked, kind, None)
        try:
            started = self._start(asked, kind, large=large)
        except Invalid as refusal:
            if refusal.field != "code":
                raise
            return self._confirm_export(asked, kind, refusal.sentence), 422
        return self._stream(asked, kind, started)

    def exported_columns(self) -> list[Column]:
        """The columns of the file: those on the screen, unless a page has a usual file of its own."""
        return self.visible_columns()

    def _more_than(self, asked: lists.Request, most: int) -> bool:
        few = lists.narrow(asked, self.get_query()).with_only_columns(literal(1), maintain_column_froms=True)
        return (db.session.scalar(select(func.count()).select_from(few.limit(most + 1).subquery())) or 0) > most

    def _act(self, asked: lists.Request, kind: str) -> tuple[str, dict[str, str]]:
        columns = ",".join(column.key for column in self.exported_columns())
        scope = "; ".join(self._scope())
        return f"{self.endpoint}.export", {
            "kind": kind,
            "list": asked.query_string(),
            "columns": columns,
            "scope": scope,
        }

    def _scope(self) -> list[str]:
        """What the page itself limits its rows to, such as live or test: part of what is confirmed and written down."""
        compiled = self.get_query().compile()
        return [f"{name.rpartition('_')[0]}={audit.plain(value)}" for name, value in sorted(compiled.params.items())]

    def _confirm_export(self, asked: lists.Request, kind: str, problem: str | None) -> str:
        act, subject = self._act(asked, kind)
        return self.render(
            "admin/model/export.html",
            title=f"Export {self.plural_.lower()}",
            kind_label=TYPES[kind][0],
            count=lists.count(asked, self.get_query()),
            small=SMALL,
            offer=step_up.offer(current_actor(), act, subject),
            code_error=problem,
            post_url=f"{url_for(f'{self.endpoint}.export_view', kind=kind)}{asked.query_string()}",
            back=f"{self.address}{asked.query_string()}",
            criteria=self.criteria(asked),
        )

    def criteria(self, asked: lists.Request) -> list[tuple[str, str]]:
        """What limits the list, in words."""
        said = [(self.shape.filters[key].label, active.summary) for key, active in asked.active.items()]
        return [("Search", asked.search), *said] if asked.search else said

    def _start(self, asked: lists.Request, kind: str, *, large: bool) -> int:
        act, subject = self._act(asked, kind)
        confirm: Callable[[Any], None] | None = None
        if large:
            offer, code = request.form.get("offer", ""), request.form.get("code", "")
            confirm = lambda work: step_up.spend(work, offer, code, act, subject)  # noqa: E731 - one call, bound here
        permission = self.permissions["export"]
        assert permission is not None
        return records.start_export(
            current_actor(),
            self.endpoint,
            permission=permission,
            confirm=confirm,
            kind=kind,
            filter=asked.query_string(),
            scope=self._scope(),
            columns=[column.key for column in self.exported_columns()],
        )

    def _stream(self, asked: lists.Request, kind: str, started: int) -> Response:
        shown = self.exported_columns()
        head, rows = self.export_table(asked, shown)
        counter = _Counter(rows)
        pieces = _WRITERS[kind](head, counter, self.plural_)
        actor, permission = current_actor(), self.permissions["export"]
        assert permission is not None
        scope = self._scope()

        def send() -> Iterator[bytes]:
            digest, size = hashlib.sha256(), 0
            with contextlib.closing(rows):  # a reader who goes away leaves no cursor open
                for piece in pieces:
                    digest.update(piece)
                    size += len(piece)
                    yield piece
            records.finish_export(
                actor,
                self.endpoint,
                permission=permission,
                started=started,
                kind=kind,
                filter=asked.query_string(),
                scope=scope,
                columns=[column.key for column in shown],
                rows=counter.count,
                bytes=size,
                sha256=digest.hexdigest(),
            )

        name = f"{self.slug_}-{lists.today():%Y-%m-%d}.{kind}"
        response = Response(stream_with_context(send()), content_type=TYPES[kind][1])
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def export_table(
        self, asked: lists.Request, shown: Sequence[Column]
    ) -> tuple[list[str], Generator[list[Any], None, None]]:
        """The headings and the rows of the file, read from a server-side cursor with no row kept."""
        model = self.model
        names = [n for column in shown for n in (column.name, column.unit_key) if n] + [asked.sort.column.name, "id"]
        base = lists.narrow(asked, self.get_query())
        wanted = (getattr(model, name) for name in dict.fromkeys(names))
        inner = base.with_only_columns(*wanted, maintain_column_froms=True).order_by(None).subquery()
        table: Any = inner
        picked: list[Any] = []
        head: list[str] = []
        makers: list[Callable[[Any], Any] | None] = []
        keys = {column.name for column in shown}
        for column in shown:
            source = inner.c[_column_name(column)]
            if column.kind in {Kind.LINK, Kind.CODE} and column.title_attr is not None:
                assert column.target_attr is not None
                assert column.target is not None
                # The same rows in scope as on the screen: what may not be known has no name here either.
                other: Any = aliased(column.target, scope_of(column).subquery())
                table = table.outerjoin(other, getattr(other, column.target_attr.key) == source)
                picked.append(getattr(other, column.title_attr.key))
                makers.append(_text_maker(column.title_attr.property.columns[0].info.get("mask")))
            else:
                picked.append(source)
                makers.append(_maker(column))
            head.append(f"{column.label} (UTC)" if column.kind is Kind.MOMENT else column.label)
            if column.kind is Kind.MONEY:
                picked.append(inner.c[str(column.unit_key)])
                makers.append(_UNIT_OF_MONEY)
                if column.unit_key not in keys:
                    head.append(f"{column.label} currency")
        order_names = dict.fromkeys([_column_name(asked.sort.column), "id"])
        order = [inner.c[name].desc() if asked.sort.descending else inner.c[name].asc() for name in order_names]
        statement = select(*picked).select_from(table).order_by(*order)
        return head, _rows(statement, shown, makers, keys)


def _rows(
    statement: Any, shown: Sequence[Column], makers: Sequence[Any], keys: set[str]
) -> Generator[list[Any], None, None]:
    plan: list[tuple[int, Any, bool]] = []
    money = {place - 1: shown_column for place, shown_column in _money_places(shown)}
    for place, maker in enumerate(makers):
        if maker is _UNIT_OF_MONEY:
            if money[place - 1].unit_key not in keys:
                plan.append((place, None, False))
        else:
            plan.append((place, maker, place in money))
    scales = Scales()
    with (
        db.engine.connect().execution_options(stream_results=True, yield_per=BATCH) as connection,
        connection.execute(statement) as result,
    ):
        for row in result:
            yield [
                _money(row[place], row[place + 1], scales)
                if is_money
                else row[place]
                if maker is None
                else maker(row[place])
                for place, maker, is_money in plan
            ]


def _money_places(shown: Sequence[Column]) -> Iterator[tuple[int, Column]]:
    place = 0
    for column in shown:
        place += 1
        if column.kind is Kind.MONEY:
            yield place, column
            place += 1


def _column_name(column: Column) -> str:
    return str(column.attr.property.columns[0].name)


def _money(minor: int | None, unit: str | None, scales: Scales) -> Any:
    if minor is None or unit is None:
        return None
    scale = scales[unit]
    return f"{minor} minor units" if scale is None else Money(minor, unit, scale)


def _UNIT_OF_MONEY(value: Any) -> Any:  # noqa: N802 - a mark, compared by identity
    return value


def _maker(column: Column) -> Callable[[Any], Any] | None:
    """How a value of the column becomes a cell; None when it already is one."""
    match column.kind:
        case Kind.ENUM:
            labels = {member: label_of(member) for member in column.members or ()}
            return labels.get
        case Kind.JSON:
            return json_text
        case Kind.UUID:
            return lambda value: None if value is None else str(value)
        case Kind.TEXT | Kind.CODE:
            return _text_maker(column.info.get("mask"))
    return None


def _text_maker(mask: str | None) -> Callable[[Any], Any] | None:
    if mask is None:
        return None
    hide = masked(mask)
    return lambda value: None if value is None else hide(value)


class _Counter:
    """Rows as they pass, counted."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Sequence[Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]], _title: str) -> Iterator[bytes]:
    return (piece.encode() for piece in csv_rows(head, rows))


def _xlsx(head: Sequence[str], rows: Iterable[Sequence[Any]], _title: str) -> Iterator[bytes]:
    return xlsx(head, rows)


def _ods(head: Sequence[str], rows: Iterable[Sequence[Any]], title: str) -> Iterator[bytes]:
    import tablib  # noqa: PLC0415 - imported where it is used

    data = tablib.Dataset(*([_ods_cell(cell) for cell in row] for row in rows), headers=list(head), title=title[:31])
    yield data.export("ods")


def _ods_cell(value: Any) -> Any:
    value = value.decimal_text if isinstance(value, Money) else value
    return "" if value is None else defuse(str(value)) if isinstance(value, str) else value


def _json(head: Sequence[str], rows: Iterable[Sequence[Any]], _title: str) -> Iterator[bytes]:
    import json  # noqa: PLC0415

    buffer = io.StringIO()
    buffer.write("[")
    for place, row in enumerate(rows):
        values = {key: _json_cell(value) for key, value in zip(head, row, strict=True)}
        buffer.write(("," if place else "") + "\n" + json.dumps(values, ensure_ascii=False))
    buffer.write("\n]\n")
    yield buffer.getvalue().encode()


def _json_cell(value: Any) -> Any:
    if isinstance(value, Money):
        return value.decimal_text
    return value if value is None or isinstance(value, bool | int | str) else value.isoformat()


_WRITERS: dict[str, Callable[[Sequence[str], Iterable[Sequence[Any]], str], Iterator[bytes]]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "ods": _ods,
    "json": _json,
}
