"""The table in an exported file: rows streamed from the database with typed cells, and a writer for each kind."""

import io
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import aliased

from payadmin.db import db
from payadmin.kernel.money import Money
from payadmin.kernel.sheets import csv_rows, defuse
from payadmin.kernel.xlsx import xlsx
from payadmin.views import lists
from payadmin.views.columns import Column, Kind, Scales, json_text, label_of, masked, scope_of

BATCH = 1_000
TELL_SECONDS = 1.0


def table_of(
    asked: lists.Request, scope: "Select[Any]", shown: Sequence[Column]
) -> tuple[list[str], Generator[list[Any], None, None]]:
    """The headings and the rows of a list's file, read from a server-side cursor with no row kept.

    Args:
        asked: the list: filters, search and order.
        scope: the rows that exist for whoever exports.
        shown: the columns of the file, in order.
    """
    model = asked.shape.model
    names = [n for column in shown for n in (column.name, column.unit_key) if n] + [asked.sort.column.name, "id"]
    base = lists.narrow(asked, scope)
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
            picked.append(source if column.worked_out is None else column.worked_out(source))
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
            maker: Callable[[Any], Any] = column.info.get("text", json_text)
            return maker
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


class Counter:
    """Rows as they pass, counted.

    Args:
        told: called about once a second with the number of rows so far; what it raises ends the export.
    """

    def __init__(self, rows: Iterable[Sequence[Any]], told: Callable[[int], None] | None = None) -> None:
        self._rows = rows
        self._told = told
        self.count = 0

    def __iter__(self) -> Iterator[Sequence[Any]]:
        next_word = time.monotonic()
        for row in self._rows:
            self.count += 1
            if self._told is not None and self.count % 500 == 1 and time.monotonic() >= next_word:
                self._told(self.count - 1)
                next_word = time.monotonic() + TELL_SECONDS
            yield row


def is_personal(shown: Sequence[Column]) -> bool:
    """Whether a file with these columns shows personal data to whoever may read them."""
    titles = (column.title_attr for column in shown if column.kind in {Kind.LINK, Kind.CODE})
    told = (title.property.columns[0].info for title in titles if title is not None)
    return any(info.get("mask") for info in (*(column.info for column in shown), *told))


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


WRITERS: dict[str, Callable[[Sequence[str], Iterable[Sequence[Any]], str], Iterator[bytes]]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "ods": _ods,
    "json": _json,
}
