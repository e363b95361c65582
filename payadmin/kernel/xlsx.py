"""A streaming XLSX writer: typed cells, constant memory, any number of rows, and text that is never a formula."""

import enum
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from typing import IO, Any, Final, cast

from payadmin.kernel.money import Money

Cell = str | int | Decimal | datetime | date | bool | enum.Enum | Money | None

SHEET_ROWS: Final = 1_048_575  # one less than Excel's limit: the header is a row too
_SHEET_BYTES: Final = 1_800_000_000  # below 2 GiB no part needs ZIP64, which makes Excel offer a repair
_BLOCK_ROWS: Final = 500
_LONGEST_TEXT: Final = 32_767
_EXACT_DIGITS: Final = 15  # Excel keeps 15 digits: a longer number stays whole only as text
_EXACT_BELOW: Final = 10**_EXACT_DIGITS
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  (Excel's calendar knows no zone; values are UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_FIRST_SAFE_DAY: Final = 61  # before 1 March 1900 Excel counts a day that never was
_PLACES: Final = 8
_LONGEST_LIST: Final = 255  # what Excel takes as a drop-down or as a prompt
_STYLE_HEADER, _STYLE_TIME, _STYLE_DATE, _STYLE_PLACES = 1, 2, 3, 4  # _STYLE_PLACES + n: a number with n decimals
_STYLE_TEXT: Final = _STYLE_PLACES + _PLACES + 1

_UNSAFE: Final = re.compile("[&<>\x00-\x1f\ud800-\udfff\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LOOKS_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"


@dataclass(frozen=True, slots=True)
class Guide:
    """What a spreadsheet tells and offers to whoever fills in a column; its cells are kept as the text that was typed.

    Args:
        prompt: shown beside the cell.
        words: the drop-down; a list longer than Excel holds is not offered.
    """

    prompt: str
    words: Sequence[str] = ()


def xlsx(
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    widths: Sequence[int] | None = None,
    *,
    sheet_rows: int = SHEET_ROWS,
    guides: Sequence[Guide] = (),
) -> Iterator[bytes]:
    """The file in pieces, as rows arrive; a further sheet begins whenever one is full.

    Args:
        guides: for a template, one for each column.
    """
    sink = ZipSink()
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        lines, sheets, more = _lines(rows), 0, True
        while more:
            sheets += 1
            with archive.open(f"xl/worksheets/sheet{sheets}.xml", "w") as part:
                part.write(_sheet_start(head, widths, selected=sheets == 1, as_text=bool(guides)).encode())
                count = size = 0
                while block := list(islice(lines, min(_BLOCK_ROWS, sheet_rows - count))):
                    count += len(block)
                    size += part.write("".join(block).encode())
                    if ready := sink.take():
                        yield ready
                    if size > _SHEET_BYTES:
                        break
                part.write(_sheet_end(len(head), count, guides).encode())
            yield sink.take()
            following = next(lines, None)
            more = following is not None
            if following is not None:
                lines = chain((following,), lines)
        for name, text in _frame(sheets):
            archive.writestr(name, _XML + text)
    yield sink.take()


class ZipSink:
    """What zipfile writes to: it keeps the bytes until they are taken, and cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing to do: the bytes are taken, not flushed."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _lines(rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    writers = _WRITERS
    for row in rows:
        yield f"<row>{''.join([writers[type(value)](value) for value in row])}</row>"


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    if not value:
        return "<c/>"
    space = "" if value.strip() is value else ' xml:space="preserve"'
    if _UNSAFE.search(value) or len(value) > _LONGEST_TEXT:
        value = _safe(value)
    return f'<c t="inlineStr"><is><t{space}>{value}</t></is></c>'


def _safe(value: str) -> str:
    if len(value) > _LONGEST_TEXT:
        value = value[: _LONGEST_TEXT - 1] + "…"
    value = _LOOKS_ESCAPED.sub("_x005F_", _FORBIDDEN.sub("", value))
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _integer(value: int) -> str:
    return f"<c><v>{value}</v></c>" if -_EXACT_BELOW < value < _EXACT_BELOW else _text(str(value))


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        return _text(str(value))
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    whole, _, places = text.partition(".")
    if len(whole) + len(places) > _EXACT_DIGITS:
        return _text(text)
    return f'<c s="{_STYLE_PLACES + min(len(places), _PLACES)}"><v>{text}</v></c>'


def _time(value: datetime) -> str:
    past = (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value) - _EPOCH
    if past.days < _FIRST_SAFE_DAY:
        return _text(value.isoformat(" "))
    return f'<c s="{_STYLE_TIME}"><v>{past.days + past.seconds / 86_400:.9f}</v></c>'


def _date(value: date) -> str:
    days = value.toordinal() - _EPOCH_DAY
    return f'<c s="{_STYLE_DATE}"><v>{days}</v></c>' if days >= _FIRST_SAFE_DAY else _text(value.isoformat())


def _anything(value: Any) -> str:
    if isinstance(value, Money):
        return _decimal(Decimal(value.decimal_text))
    if isinstance(value, enum.Enum):
        return _text(value.value if isinstance(value.value, str) else value.name)
    return _text(str(value))


class _Writers(dict[type, Callable[[Any], str]]):
    def __missing__(self, kind: type) -> Callable[[Any], str]:
        return _anything


_WRITERS: Final = _Writers(
    {
        str: _text,
        int: _integer,
        Decimal: _decimal,
        datetime: _time,
        date: _date,
        bool: lambda value: f'<c t="b"><v>{value:d}</v></c>',
        type(None): lambda _: "<c/>",
    }
)


def _sheet_start(head: Sequence[str], widths: Sequence[int] | None, *, selected: bool, as_text: bool) -> str:
    style = f' style="{_STYLE_TEXT}"' if as_text else ""
    sizes = widths if widths is not None else [min(max(len(label) + 4, 10), 40) for label in head]
    columns = "".join(
        f'<col min="{place}" max="{place}" width="{size}"{style} customWidth="1"/>'
        for place, size in enumerate(sizes, 1)
    )
    labels = "".join(_text(label).replace("<c", f'<c s="{_STYLE_HEADER}"', 1) for label in head)
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    view = f'<sheetView tabSelected="{selected:d}" workbookViewId="0">{pane}</sheetView>'
    sizing = f"<cols>{columns}</cols>" if columns else ""
    return f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews>{view}</sheetViews>{sizing}<sheetData><row>{labels}</row>'


def _sheet_end(columns: int, rows: int, guides: Sequence[Guide]) -> str:
    area = f'<autoFilter ref="A1:{column_letters(columns)}{rows + 1}"/>' if columns and not guides else ""
    told = "".join(_guide(column_letters(place), guide) for place, guide in enumerate(guides, 1))
    if told:
        told = f'<dataValidations count="{len(guides)}">{told}</dataValidations>'
    return f"</sheetData>{area}{told}</worksheet>"


def _guide(letters: str, guide: Guide) -> str:
    place = (
        f'allowBlank="1" showInputMessage="1" prompt="{_attribute(guide.prompt)}" sqref="{letters}2:{letters}1048576"'
    )
    offered = ",".join(guide.words)
    if not offered or len(offered) > _LONGEST_LIST:
        return f"<dataValidation {place}/>"
    listed = f'<formula1>"{_safe(offered)}"</formula1>'
    return f'<dataValidation type="list" showErrorMessage="1" {place}>{listed}</dataValidation>'


def _attribute(text: str) -> str:
    return _safe(text[:_LONGEST_LIST]).replace('"', "&quot;")


def column_letters(place: int) -> str:
    """The name of the column at that place, the first being 1: A, Z, AA."""
    letters = ""
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _frame(sheets: int) -> Iterator[tuple[str, str]]:
    """The small parts that make the sheets a workbook."""
    numbers = range(1, sheets + 1)
    parts = [("/xl/workbook.xml", "sheet.main"), ("/xl/styles.xml", "styles")]
    parts += [(f"/xl/worksheets/sheet{n}.xml", "worksheet") for n in numbers]
    kinds = '<Default Extension="xml" ContentType="application/xml"/>'
    kinds += '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    kinds += "".join(f'<Override PartName="{part}" ContentType="{_TYPE}.{kind}+xml"/>' for part, kind in parts)
    yield "[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types">{kinds}</Types>'

    yield "_rels/.rels", _links([("officeDocument", "xl/workbook.xml")])
    names = "".join(f'<sheet name="Data{"" if n == 1 else f" {n}"}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    space = f'xmlns="{_MAIN}" xmlns:r="{_LINKS}"'
    yield (
        "xl/workbook.xml",
        f"<workbook {space}><bookViews><workbookView/></bookViews><sheets>{names}</sheets></workbook>",
    )
    links = [("worksheet", f"worksheets/sheet{n}.xml") for n in numbers]
    yield "xl/_rels/workbook.xml.rels", _links([*links, ("styles", "styles.xml")])
    yield "xl/styles.xml", _styles()


def _links(targets: Sequence[tuple[str, str]]) -> str:
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{_LINKS}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


def _styles() -> str:
    first = 164  # the first number Excel leaves to us
    codes = [r"yyyy\-mm\-dd\ hh:mm:ss", r"yyyy\-mm\-dd", "#,##0"]
    codes += ["#,##0." + "0" * places for places in range(1, _PLACES + 1)]
    formats = "".join(f'<numFmt numFmtId="{first + n}" formatCode="{code}"/>' for n, code in enumerate(codes))
    plain = '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    bold = '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    numbers = "".join(
        f'<xf numFmtId="{first + n}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        for n in range(len(codes))
    )
    text = plain.replace('numFmtId="0"', 'numFmtId="49"').replace("/>", ' applyNumberFormat="1"/>')
    return (
        f'<styleSheet xmlns="{_MAIN}"><numFmts count="{len(codes)}">{formats}</numFmts>'
        '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
        '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(codes) + 3}">{plain}{bold}{numbers}{text}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )
