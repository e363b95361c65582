"""A table as a PDF, drawn as invoices are: the same fonts inside, text never interpreted as markup, the same bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Final

from payadmin.kernel.pdf import (
    BOLD,
    HAIR,
    INK,
    QUIET,
    REGULAR,
    Box,
    Document,
    Mark,
    Style,
    TextMark,
    render,
    width_of,
)
from payadmin.kernel.text import one_line

# A document is drawn in memory; more than this is a file for machines, and those have no limit.
MOST_ROWS: Final = 5_000
_WIDTH, _HEIGHT, _MARGIN, _FLOOR, _LINE = 841.89, 595.28, 36.0, 52.0, 14.0
_TITLE, _CELL, _STRONG = Style(BOLD, 14, INK), Style(REGULAR, 8, INK), Style(BOLD, 8, INK)
_HEAD, _QUIET = Style(BOLD, 8, QUIET), Style(REGULAR, 8, QUIET)


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
    document = Document((_WIDTH, _HEIGHT), table.title, test=False)
    return render(document, lambda: _Layout(table).pages, partial(_footer, table))


class _Layout:
    def __init__(self, table: PdfTable) -> None:
        self.table = table
        share = (_WIDTH - 2 * _MARGIN) / sum(column.share for column in table.columns)
        ends = list(accumulate((column.share * share for column in table.columns), initial=_MARGIN))
        self.edges = list(pairwise(ends))
        self.pages: list[list[Mark]] = []
        self._new_page()
        for row in table.rows:
            self._line(row, _CELL)
        if table.sums:
            self._line(table.sums, _STRONG)

    def _new_page(self) -> None:
        self.pages.append([])
        self.y = _HEIGHT - _MARGIN
        if len(self.pages) == 1:
            self._text(_MARGIN, self.y - 8, self.table.title, _TITLE)
            self.y -= 30
            for label, value in self.table.facts:
                self._text(_MARGIN, self.y, label, _QUIET)
                self._text(_MARGIN + 150, self.y, value, _CELL)
                self.y -= _LINE
            self.y -= 8
        self._row([column.label for column in self.table.columns], _HEAD)

    def _line(self, cells: Sequence[str], style: Style) -> None:
        if self.y < _FLOOR:
            self._new_page()
        self._row(cells, style)

    def _row(self, cells: Sequence[str], style: Style) -> None:
        for (left, right), column, cell in zip(self.edges, self.table.columns, cells, strict=True):
            if column.right:
                self._text(right - 6, self.y, cell, style, right=True)
            else:
                self._text(left, self.y, _cut(one_line(cell), style, right - left - 8), style)
        self.pages[-1].append(Box(_MARGIN, self.y - 4, _WIDTH - 2 * _MARGIN, 0.4, HAIR))
        self.y -= _LINE

    def _text(self, x: float, y: float, text: str, style: Style, *, right: bool = False) -> None:
        self.pages[-1].append(TextMark(x, y, one_line(text), style, right))


def _footer(table: PdfTable, page: int, pages: int) -> tuple[Mark, ...]:
    return (
        TextMark(_MARGIN, 28, one_line(table.title), _QUIET, right=False),
        TextMark(_WIDTH - _MARGIN, 28, f"Page {page} of {pages}", _QUIET, right=True),
    )


def _cut(text: str, style: Style, width: float) -> str:
    shown = text
    while shown and width_of(shown, style) > width:
        shown = f"{shown[:-2]}…"
    return shown
