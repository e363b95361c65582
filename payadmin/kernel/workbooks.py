"""Workbooks that nobody vouches for: what an XLSX or XLS file would cost is measured before it is opened."""

import io
import math
import re
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from payadmin.kernel import shared_strings
from payadmin.kernel.errors import Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import NumberText, _
from payadmin.kernel.xlsx import column_letters

Value = str | Decimal | date | datetime | bool | None
Numbered = tuple[Iterator[tuple[int, list[Value]]], tuple[str, ...]]

OLE_MAGIC: Final = bytes.fromhex("d0cf11e0a1b11ae1")
_MAX_PARTS: Final = 64
_MAX_UNPACKED: Final = 64 * 1024 * 1024
_MAX_RATIO: Final = 120
_SMALL: Final = 1024 * 1024  # below this a high ratio costs nothing: empty sheets compress very well
_DAMAGED: Final = _("The workbook is damaged or was not written by a spreadsheet. Save it again as XLSX.")

_REFERENCE: Final = re.compile(rb"""\br\s*=\s*["']([A-Za-z]*)([0-9]+)["']""")
_ROW: Final = re.compile(rb"<(?:[^\s<>/:]*:)?row\b")
_CELL: Final = re.compile(rb"<(?:[^\s<>/:]*:)?c[\s/>]")
_FORMULA: Final = re.compile(rb"<(?:[^\s<>/:]*:)?f[\s/>]")
_DECLARED: Final = re.compile(rb"""^\s*<\?xml[^>]*encoding\s*=\s*["']([^"']+)["']""")
_FORBIDDEN_PARTS: Final = (
    ("vba", "macros"),
    ("macrosheet", "macros"),
    ("externallink", "links to other files"),
    ("embeddings/", "embedded files"),
    ("activex", "controls"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    rows: int
    columns: int

    def check(self, row: int, column: int) -> None:
        """Refuse a sheet that reaches further than the limits; the header is one row more."""
        if row > self.rows + 1:
            raise Invalid(
                _(
                    "The sheet reaches row %(row)s; at most %(rows)s rows are read. "
                    "Delete empty formatted rows at its end, or split it.",
                    row=NumberText(row),
                    rows=NumberText(self.rows),
                )
            )
        if column > self.columns:
            raise Invalid(
                _(
                    "The sheet reaches column %(column)s; at most %(columns)s columns are read.",
                    column=column_letters(column),
                    columns=self.columns,
                )
            )


def read_xlsx(data: bytes, limits: Limits) -> Numbered:
    """The rows of the first visible sheet, after every part was unpacked once within the limits."""
    left, sheets, lengths = _MAX_UNPACKED, [], array("I")
    for part in _parts(data):
        unpacked = _unpack(data, part, left)
        left -= len(unpacked)
        if len(unpacked) > max(_SMALL, _MAX_RATIO * part.compress_size):
            raise Invalid("The workbook unpacks to suspiciously much data. Save it again, or send CSV.")
        if part.filename.lower().endswith((".xml", ".rels")):
            _check_xml(unpacked)
        # The content counts: which part is a sheet or a table of texts says another part, whatever they are called.
        if b"sheetData" in unpacked:
            _check_sheet(unpacked, limits)
            sheets.append(part)
        lengths = shared_strings.longer(lengths, shared_strings.lengths_in(unpacked))
    for part in sheets if lengths else ():
        shared_strings.check_cells(_unpack(data, part, _MAX_UNPACKED), lengths)
    return _rows(data, limits)


def _parts(data: bytes) -> list[zipfile.ZipInfo]:
    """The parts of a workbook that holds nothing but tables."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        raise Invalid(_DAMAGED) from None
    names = [part.filename.lower() for part in parts]
    if "xl/workbook.xml" not in names:
        raise Invalid("The file is a ZIP archive, not an XLSX workbook. Send CSV, XLSX or XLS.")
    if len(names) > _MAX_PARTS or len(set(names)) < len(names):
        raise Invalid(
            _(
                "The workbook has %(number)s parts; at most %(max_parts)s different ones are read.",
                number=len(names),
                max_parts=_MAX_PARTS,
            )
        )
    for mark, what in _FORBIDDEN_PARTS:
        if any(mark in name for name in names):
            raise Invalid(_("The workbook contains %(what)s. Save it as a plain XLSX or CSV file.", what=what))
    return parts


def _unpack(data: bytes, part: zipfile.ZipInfo, left: int) -> bytes:
    """The bytes of a part, counted while unpacking: the sizes that the archive declares may lie."""
    if part.flag_bits & 1:
        raise Invalid("The workbook is protected by a password. Save it without one.")
    start = part.header_offset
    if data[start : start + 4] != b"PK\x03\x04":
        raise Invalid(_DAMAGED)
    start += 30 + sum(struct.unpack_from("<HH", data, start + 26))
    packed = data[start : start + part.compress_size]
    if part.compress_type == zipfile.ZIP_STORED:
        unpacked = packed
    elif part.compress_type == zipfile.ZIP_DEFLATED:
        try:
            unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, left + 1)
        except zlib.error:
            raise Invalid(_DAMAGED) from None
    else:
        raise Invalid(_DAMAGED)
    if len(unpacked) > left:
        raise Invalid(
            _(
                "The workbook unpacks to more than %(max_unpacked)s bytes. Send CSV, or split it.",
                max_unpacked=NumberText(_MAX_UNPACKED),
            )
        )
    if len(unpacked) != part.file_size:
        raise Invalid(_DAMAGED)
    return unpacked


def _check_xml(text: bytes) -> None:
    declared = _DECLARED.search(text[:200].removeprefix(b"\xef\xbb\xbf"))
    if (declared and declared[1].lower() not in {b"utf-8", b"us-ascii"}) or b"\0" in text[:200]:
        raise Invalid(_DAMAGED)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Invalid("The workbook contains XML that spreadsheets do not write. Save it again as XLSX.")


def _check_sheet(text: bytes, limits: Limits) -> None:
    """Refuse a sheet beyond the limits as soon as it is, without keeping more than one place in it."""
    columns: dict[bytes, int] = {}
    for match in _REFERENCE.finditer(text):
        if (letters := match[1]) not in columns:
            columns[letters] = _column_number(letters)
            limits.check(0, columns[letters])
        limits.check(int(match[2][:8]), 0)
    # Rows and cells may stand without references, and then only their number tells.
    start = None
    for row, match in enumerate(_ROW.finditer(text)):
        limits.check(row + 1, _cells_between(text, start, match.start(), limits))
        start = match.start()
    limits.check(0, _cells_between(text, start, len(text), limits))
    if formula := _FORMULA.search(text):
        here = ""
        for match in _REFERENCE.finditer(text, max(0, formula.start() - 200), formula.start()):
            here = (match[1] + match[2]).decode()
        raise Invalid(_("Cell %(here)s holds a formula. Paste the values instead, and send the file again.", here=here))


def _cells_between(text: bytes, start: int | None, end: int, limits: Limits) -> int:
    """How many cells a row has; one more than the limit stands for all beyond it."""
    if start is None:
        return 0
    return sum(1 for _ in islice(_CELL.finditer(text, start, end), limits.columns + 1))


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters.upper()[:4]:
        number = number * 26 + letter - 64
    return number


def read_xls(data: bytes, limits: Limits) -> Numbered:
    """The rows of the first visible sheet of a legacy workbook, after its cell records were walked once."""
    try:
        stream = _workbook_stream(data)
        _check_records(stream, limits)
    except (struct.error, IndexError):
        raise Invalid(_DAMAGED) from None
    return _rows(data, limits)


class _Compound:
    """A compound file (the container of XLS): just enough to reach the workbook stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._sector = 1 << struct.unpack_from("<H", data, 30)[0]
        if self._sector not in {512, 4096}:
            raise Invalid(_DAMAGED)
        places = list(struct.unpack_from("<109I", data, 76))
        following, left = struct.unpack_from("<2I", data, 68)
        for _place in range(min(left, len(data) // self._sector)):
            more = self._numbers(following)
            places += more[:-1]
            following = more[-1]
        self._next: list[int] = []
        for place in places[: struct.unpack_from("<I", data, 44)[0]]:
            self._next += self._numbers(place)

    def _numbers(self, place: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{self._sector // 4}I", self._data, (place + 1) * self._sector)

    def _chain(self, place: int) -> bytes:
        pieces: list[bytes] = []
        while place < len(self._next):
            if len(pieces) > len(self._next):
                raise Invalid(_DAMAGED)
            pieces.append(self._data[(place + 1) * self._sector : (place + 2) * self._sector])
            place = self._next[place]
        return b"".join(pieces)

    def streams(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Every entry of the directory: its name in lower case, and its content on demand."""
        directory = self._chain(struct.unpack_from("<I", self._data, 48)[0])
        for at in range(0, len(directory) - 127, 128):
            length = struct.unpack_from("<H", directory, at + 64)[0]
            name = directory[at : at + max(0, min(length, 64) - 2)].decode("utf-16-le", "replace").lower()
            start, size = struct.unpack_from("<2I", directory, at + 116)
            yield name, lambda start=start, size=size: self._chain(start)[:size]  # type: ignore[misc]


def _workbook_stream(data: bytes) -> bytes:
    found = []
    for name, content in _Compound(data).streams():
        if name == "encryptedpackage":
            raise Invalid("The workbook is protected by a password. Save it without one.")
        if "vba" in name:
            raise Invalid("The workbook contains macros. Save it as a plain XLSX or CSV file.")
        if name in {"workbook", "book"}:
            found.append(content)
    if len(found) != 1:
        raise Invalid("The file is not an Excel workbook. Send CSV, XLSX or XLS.")
    return found[0]()


_FORMULA_RECORD: Final = 0x0006
_PASSWORD_RECORD: Final = 0x002F
_BEGIN_RECORD: Final = 0x0809
_SHEET_RECORD: Final = 0x0085
_TEXT_RECORD: Final = 0x00FD
_CELL_RECORDS: Final = frozenset({0x0006, 0x0203, 0x00FD, 0x027E, 0x00BD, 0x0204, 0x0205, 0x0201, 0x00BE, 0x00D6})
_MANY_RECORDS: Final = frozenset({0x00BD, 0x00BE})  # several cells in one record: the last column stands at its end


def _check_records(stream: bytes, limits: Limits) -> None:
    last_row, last_column, total = 0, 0, 0
    lengths = shared_strings.lengths_of_records(stream)
    tables, begun, sheets = 0, set(), set()
    for at, kind, size in _records(stream):
        if kind in _CELL_RECORDS:
            row, column = struct.unpack_from("<2H", stream, at + 4)
            if kind == _FORMULA_RECORD:
                cell = f"{column_letters(column + 1)}{row + 1}"
                raise Invalid(
                    _("Cell %(cell)s holds a formula. Paste the values instead, and send the file again.", cell=cell)
                )
            if kind in _MANY_RECORDS:
                column = struct.unpack_from("<H", stream, at + 2 + size)[0]
            elif kind == _TEXT_RECORD:
                place = struct.unpack_from("<I", stream, at + 10)[0]
                total += lengths[place] if place < len(lengths) else 0
            last_row, last_column = max(last_row, row + 1), max(last_column, column + 1)
        elif kind == _BEGIN_RECORD:
            begun.add(at)
        elif kind == _SHEET_RECORD:
            sheets.add(struct.unpack_from("<I", stream, at + 4)[0])
        tables += kind == shared_strings.SST
    if tables > 1 or not sheets <= begun:
        raise Invalid(_DAMAGED)  # a reader would find other records than these
    limits.check(last_row, last_column)
    if total > shared_strings.MOST_TEXT:
        raise Invalid(shared_strings.TOO_MUCH)


def _records(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each record stands, its kind and its size."""
    at, header = 0, struct.Struct("<2H")
    while at + 8 <= len(stream):
        kind, size = header.unpack_from(stream, at)
        if kind == _PASSWORD_RECORD:
            raise Invalid("The workbook is protected by a password. Save it without one.")
        yield at, kind, size
        at += 4 + size


def _rows(data: bytes, limits: Limits) -> Numbered:
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum  # noqa: PLC0415  (readers only)

    def opened() -> Any:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        visible = [sheet.name for sheet in book.sheets_metadata if sheet.visible == SheetVisibleEnum.Visible]
        if not visible:
            raise Invalid("The workbook has no visible sheet.")
        return visible, book.get_sheet_by_name(visible[0])

    visible, sheet = _guarded(opened, CalamineError)
    if not sheet.height:
        raise Invalid("The first sheet is empty.")
    limits.check(sheet.total_height + 1, sheet.total_width + 1)
    notes = (f'Only the first sheet, "{mask_pan_in_text(visible[0])}", was read; {len(visible) - 1} more were not.',)
    return _numbered(sheet), notes if len(visible) > 1 else ()


def _numbered(sheet: Any) -> Iterator[tuple[int, list[Value]]]:
    for number, cells in enumerate(sheet.iter_rows(), 1):
        yield number, [_value(cell, number, place) for place, cell in enumerate(cells, 1)]


def _guarded(read: Callable[[], Any], expected: type[Exception]) -> Any:
    try:
        return read()
    except (expected, OSError, ValueError):
        raise Invalid(_DAMAGED) from None
    except BaseException as broken:
        if type(broken).__name__ == "PanicException":  # how the Rust reader says that it met the unthinkable
            raise Invalid(_DAMAGED) from None
        raise


def _value(cell: Any, row: int, place: int) -> Value:
    if isinstance(cell, str):
        return cell.strip(" \t\r\n") or None
    if isinstance(cell, bool) or cell is None:
        return cell
    if isinstance(cell, int | float):
        if not math.isfinite(cell):
            raise Invalid(
                _("Row %(row)s, column %(place)s holds a number that is none.", row=row, place=column_letters(place)),
                row=row,
            )
        return Decimal(f"{cell:.15g}" if isinstance(cell, float) else cell)  # 15 digits: what the sheet itself keeps
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=UTC)
    if isinstance(cell, date):
        return cell
    return str(cell)
