"""Tables that people send and take away: a strict reader of CSV, XLSX and XLS, and a CSV writer without formulas."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Final

from payadmin.kernel import workbooks
from payadmin.kernel.errors import Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.text import NumberText, _
from payadmin.kernel.xlsx import Cell, column_letters

Value = workbooks.Value
MAX_BYTES: Final = 10 * 1024 * 1024
MAX_ROWS: Final = 50_000
MAX_COLUMNS: Final = 64

_LIVE: Final = frozenset("=+-@\t\r\0＝＋－＠")  # noqa: RUF001  (spreadsheets read the fullwidth signs as formulas too)
_CHUNK_ROWS: Final = 500
_LONGEST_CELL: Final = 32_767
_DELIMITERS: Final = ",;\t|"
_HIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_QUOTED: Final = re.compile(r'"[^"]*"')


class Kind(StrEnum):
    """What the content is, whatever the name says."""

    CSV = "CSV"
    XLSX = "XLSX"
    XLS = "XLS"


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read: every row has as many values as the header; rows are numbered as a spreadsheet shows them."""

    header: tuple[str, ...]
    rows: Iterator[tuple[int, list[Value]]]
    kind: Kind
    notes: tuple[str, ...]


def defuse(value: Any) -> Any:
    """The value for a CSV cell: text that a spreadsheet would run gets a leading apostrophe, numbers stay."""
    return "'" + value if isinstance(value, str) and value[:1] in _LIVE else value


def csv_rows(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The CSV text in pieces, as rows arrive."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([defuse(label) for label in head])
    cells = _CELLS
    for count, row in enumerate(rows, 1):
        writer.writerow([cells[type(value)](value) for value in row])
        if count % _CHUNK_ROWS == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _enum_cell(value: Enum) -> str:
    return str(defuse(value.value if isinstance(value.value, str) else value.name))


class _Cells(dict[type, Callable[[Any], Any]]):
    """How a value of each type is written; a type met for the first time is remembered."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        bases = (base for base in kind.__mro__ if base in self)
        return self.setdefault(kind, _enum_cell if issubclass(kind, Enum) else self[next(bases)])


_CELLS: Final = _Cells(
    {
        type(None): lambda value: value,
        int: lambda value: value,
        Decimal: lambda value: value,
        bool: lambda value: "TRUE" if value else "FALSE",
        str: lambda value: "'" + value if value[:1] in _LIVE else value,
        datetime: lambda value: value.isoformat(" ", "seconds"),
        date: lambda value: value.isoformat(),
        Money: lambda value: value.decimal_text,
        object: lambda value: str(defuse(str(value))),
    }
)


def read_table(
    source: Path | bytes,
    name: str,
    *,
    max_rows: int = MAX_ROWS,
    max_columns: int = MAX_COLUMNS,
    max_bytes: int = MAX_BYTES,
) -> Table:
    """The table in a file that nobody vouches for; what cannot be read for certain is refused, with its place."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > max_bytes:
        raise Invalid(
            _(
                "The file has %(size)s bytes; at most %(max_bytes)s are read. Split it into smaller files.",
                size=NumberText(size),
                max_bytes=NumberText(max_bytes),
            )
        )
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data.strip():
        raise Invalid("The file is empty.")
    limits = workbooks.Limits(rows=max_rows, columns=max_columns)
    if data.startswith(b"PK\x03\x04"):
        kind, (numbered, notes) = Kind.XLSX, workbooks.read_xlsx(data, limits)
    elif data.startswith(workbooks.OLE_MAGIC):
        kind, (numbered, notes) = Kind.XLS, workbooks.read_xls(data, limits)
    else:
        kind, (numbered, notes) = Kind.CSV, _read_csv(data)
    suffix = Path(name).suffix.lower().lstrip(".")
    if suffix in {"csv", "xls", "xlsx"} and suffix != kind.lower():
        notes = (*notes, f"The name ends in .{suffix} but the content is {kind}; it was read as {kind}.")
    header = _header(numbered, max_columns)
    return Table(header, _checked(numbered, header, max_rows), kind, notes)


def content_hash(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """The fingerprint of what a table says: the same for the same rows in another format, column or row order."""
    order = sorted(range(len(header)), key=lambda place: _squeezed(header[place]).casefold())
    names = json.dumps([_squeezed(header[place]).casefold() for place in order])
    lines = sorted(
        hashlib.sha256(json.dumps([_canonical(row[place]) for place in order]).encode()).digest() for row in rows
    )
    return hashlib.sha256(names.encode() + b"".join(lines)).hexdigest()


def text_of(value: Value) -> str:
    """A cell as the text a CSV file would hold; an empty cell is empty text."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat(" ")
        case date():
            return value.isoformat()
        case _:
            return value


def _canonical(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    text = _squeezed(text_of(value))
    if _NUMBER.fullmatch(text):
        return text.rstrip("0").rstrip(".") if "." in text else text
    return text.upper() if text.lower() in {"true", "false"} else text


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _header(numbered: Iterator[tuple[int, list[Value]]], max_columns: int) -> tuple[str, ...]:
    _number, values = next(numbered, (0, []))
    labels = [_squeezed(text_of(value)) for value in values]
    while labels and not labels[-1]:
        labels.pop()
    if not labels:
        raise Invalid("The first row is empty; it must hold the names of the columns.")
    if len(labels) > max_columns:
        raise Invalid(
            _(
                "The file has %(number)s columns; at most %(max_columns)s are read.",
                number=len(labels),
                max_columns=max_columns,
            )
        )
    seen: dict[str, int] = {}
    for place, label in enumerate(labels, 1):
        if not label:
            raise Invalid(_("Column %(place)s has no name in the first row.", place=column_letters(place)), row=1)
        if _HIDDEN.search(label) or len(label) > _LONGEST_CELL:
            raise Invalid(
                _("The name of column %(place)s holds hidden characters.", place=column_letters(place)), row=1
            )
        first = seen.setdefault(label.casefold(), place)
        if first != place:
            both = f"{column_letters(first)} and {column_letters(place)}"
            raise Invalid(_('Columns %(both)s have the same name, "%(label)s".', both=both, label=_named(label)), row=1)
    return tuple(labels)


def _named(label: str) -> str:
    """A label in a sentence; in a file that begins with data it may be a card number."""
    return mask_pan_in_text(label)[:60]


def _checked(
    numbered: Iterator[tuple[int, list[Value]]], header: tuple[str, ...], max_rows: int
) -> Iterator[tuple[int, list[Value]]]:
    width, count = len(header), 0
    for number, values in numbered:
        if not any(value is not None for value in values):
            continue
        count += 1
        if count > max_rows:
            raise Invalid(
                _(
                    "The file has more than %(max_rows)s rows. Split it into smaller files.",
                    max_rows=NumberText(max_rows),
                ),
                row=number,
            )
        if len(values) > width and any(value is not None for value in values[width:]):
            raise Invalid(
                _(
                    "Row %(number)s has %(number2)s cells, but the first row names %(width)s columns.",
                    number=number,
                    number2=len(values),
                    width=width,
                ),
                row=number,
            )
        if len(values) < width:
            raise Invalid(
                _(
                    "Row %(number)s has %(number2)s cells instead of %(width)s.",
                    number=number,
                    number2=len(values),
                    width=width,
                ),
                row=number,
            )
        for place, value in enumerate(values[:width]):
            if isinstance(value, str) and (len(value) > _LONGEST_CELL or _HIDDEN.search(value)):
                trouble = "is too long" if len(value) > _LONGEST_CELL else "holds hidden control characters"
                where = f"Row {number}, column {column_letters(place + 1)} ({_named(header[place])})"
                raise Invalid(f"{where} {trouble}.", row=number, column=_named(header[place]))
        yield number, values[:width]


def _read_csv(data: bytes) -> tuple[Iterator[tuple[int, list[Value]]], tuple[str, ...]]:
    start = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Invalid("The file is UTF-16 text. Save it as CSV UTF-8.")
    if start.startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta")):
        raise Invalid("The file is a web page or XML, whatever its name says. Open it and save it as XLSX or CSV.")
    if start.startswith(
        (b"%pdf", b"\x89png", b"\xff\xd8\xff", b"gif8", b"{\\rtf", b"\x1f\x8b", b"rar!", b"7z\xbc\xaf")
    ):
        raise Invalid("The file is not a table. Send CSV, XLSX or XLS.")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise Invalid(
            _("Line %(line)s holds a NUL byte, so the file is damaged or not a CSV file.", line=line), row=line
        )
    text, notes = _decode(data)
    return _csv_records(text), notes


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError as broken:
        line = data.count(b"\n", 0, broken.start) + 1
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise Invalid(_("Line %(line)s is not UTF-8 text. Save the file as CSV UTF-8.", line=line), row=line) from None
    return text, (f"Line {line} is not UTF-8, so the file was read as Windows-1252; check accented letters.",)


def _csv_records(text: str) -> Iterator[tuple[int, list[Value]]]:
    first = _QUOTED.sub("", text.lstrip("\r\n").partition("\n")[0])
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            record = next(reader, None)
        except csv.Error as broken:
            raise Invalid(
                _("Row %(number)s cannot be read: %(broken)s", number=number, broken=_csv_trouble(broken)), row=number
            ) from None
        if record is None:
            return
        if number == 1 and not record:
            number = 0
            continue
        yield number, [cell.strip(" \t\r\n") or None for cell in record]


def _csv_trouble(broken: csv.Error) -> str:
    said = str(broken)
    if "unexpected end of data" in said:
        return "a quote that opens there is never closed."
    if "field larger" in said:
        return "a cell is too long, or a quote is never closed."
    if "expected after" in said:
        return "there is text after a closing quote."
    return "its quotes or line ends are damaged."
