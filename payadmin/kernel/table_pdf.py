"""A table as a PDF, drawn as invoices are: the same fonts inside, text never interpreted as markup, the same bytes."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payadmin.kernel.pdf import BOLD, HAIR, INK, QUIET, REGULAR, Style, one_at_a_time, register_fonts, width_of
from payadmin.kernel.text import one_line

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

# A document is drawn in memory; more than this is a file for machines, and those have no limit.
MOST_ROWS: Final = 5_000
_WIDTH, _HEIGHT, _MARGIN, _FLOOR, _LINE = 841.89, 595.28, 36.0, 52.0, 14.0
_SIZE = 8.0


@dataclass(frozen=True, slots=True)
class PdfColumn:
    """A column: its heading, its share of the width, and whether it holds amounts, which stand at the right."""

    label: str
    share: int
    right: bool = False


@dataclass(frozen=True, slots=True)
class PdfTable:
    """What a document says, as text.

    Attributes:
        facts: label and value of what stands above the table.
        sums: a last row in bold.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    columns: Sequence[PdfColumn]
    rows: Iterable[Sequence[str]]
    sums: Sequence[str] = ()


def render_table(table: PdfTable) -> bytes:
    """The table on A4 pages on their side, with the headings on each."""
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415  (50 ms that only documents should pay)

    with one_at_a_time:
        register_fonts()
        buffer = io.BytesIO()
        canvas = Canvas(
            buffer,
            pagesize=(_WIDTH, _HEIGHT),
            invariant=1,
            pageCompression=1,
            initialFontName=REGULAR,  # type: ignore[arg-type]  # the stubs say float
        )
        canvas.setTitle(one_line(table.title))
        canvas.setCreator("payadmin")
        _Writer(canvas, table).write()
        canvas.save()
        return buffer.getvalue()


class _Writer:
    def __init__(self, canvas: "Canvas", table: PdfTable) -> None:
        self.canvas = canvas
        self.table = table
        whole = sum(column.share for column in table.columns)
        wide = _WIDTH - 2 * _MARGIN
        self.edges: list[tuple[float, float]] = []
        left = _MARGIN
        for column in table.columns:
            width = wide * column.share / whole
            self.edges.append((left, left + width))
            left += width
        self.page = 0
        self.y = 0.0

    def write(self) -> None:
        self._begin()
        for row in self.table.rows:
            self._line(row, REGULAR, INK)
        if self.table.sums:
            self._line(self.table.sums, BOLD, INK)
        self.canvas.showPage()

    def _begin(self) -> None:
        self.page += 1
        self._text(_MARGIN, 28, f"{self.table.title} · {self.page}", REGULAR, QUIET)
        self.y = _HEIGHT - _MARGIN
        if self.page == 1:
            self.canvas.setFillColor(INK)
            self.canvas.setFont(BOLD, 14)
            self.canvas.drawString(_MARGIN, self.y - 8, one_line(self.table.title))
            self.y -= 30
            for label, value in self.table.facts:
                self._text(_MARGIN, self.y, label, REGULAR, QUIET)
                self._text(_MARGIN + 150, self.y, value, REGULAR, INK)
                self.y -= _LINE
            self.y -= 8
        self._row([column.label for column in self.table.columns], BOLD, QUIET)

    def _line(self, cells: Sequence[str], font: str, colour: str) -> None:
        if self.y < _FLOOR:
            self.canvas.showPage()
            self._begin()
        self._row(cells, font, colour)

    def _row(self, cells: Sequence[str], font: str, colour: str) -> None:
        for (left, right), column, cell in zip(self.edges, self.table.columns, cells, strict=True):
            if column.right:
                self.canvas.setFillColor(colour)
                self.canvas.setFont(font, _SIZE)
                self.canvas.drawRightString(right - 6, self.y, one_line(cell))
            else:
                self._text(left, self.y, _cut(one_line(cell), font, right - left - 8), font, colour)
        self.canvas.setStrokeColor(HAIR)
        self.canvas.setLineWidth(0.4)
        self.canvas.line(_MARGIN, self.y - 4, _WIDTH - _MARGIN, self.y - 4)
        self.y -= _LINE

    def _text(self, x: float, y: float, text: str, font: str, colour: str) -> None:
        self.canvas.setFillColor(colour)
        self.canvas.setFont(font, _SIZE)
        self.canvas.drawString(x, y, one_line(text))


def _cut(text: str, font: str, width: float) -> str:
    style = Style(font, _SIZE, INK)
    shown = text
    while shown and width_of(shown, style) > width:
        shown = f"{shown[:-2]}…"
    return shown
