"""The operational report as a PDF: facts in, pages out; a row for each period, with its numbers beside each other.

More numbers than can be read beside each other stand in tables below each other.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final

from payadmin.kernel.pdf import (
    ACCENT,
    BOLD,
    HAIR,
    INK,
    LABEL,
    PANEL,
    QUIET,
    REGULAR,
    SMALL,
    WARN,
    Box,
    Document,
    Mark,
    Style,
    TextMark,
    render,
    width_of,
    wrap,
)
from payadmin.kernel.text import one_line

# A4, lying.
_WIDTH, _HEIGHT, _MARGIN, _FLOOR = 841.89, 595.28, 42.0, 58.0
_RIGHT = _WIDTH - _MARGIN
_FIRST: Final = 132.0  # how wide the column of names is
_GAP: Final = 8.0
_ROW: Final = 28.0
_BETWEEN: Final = 30.0  # two tables
_MOST: Final = 8  # numbers beside each other: heads keep their words whole, and millions their size

_TITLE = Style(BOLD, 15, INK)
_NUMBER = Style(REGULAR, 9, INK)
_STRONG = Style(BOLD, 9, INK)


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and a smaller one below it."""

    text: str
    below: str = ""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One period: its name and its numbers. The current one stands out."""

    name: Cell
    numbers: tuple[Cell, ...]
    current: bool = False


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything the report says, as text.

    Args:
        about: which periods.
        notes: sentences below the title.
        test: the payments are test payments; the page says so.
        heads: of the names and of each number.
    """

    title: str
    about: str
    notes: tuple[str, ...]
    test: bool
    heads: tuple[str, ...]
    rows: tuple[ReportRow, ...]


def render_report(facts: ReportFacts) -> bytes:
    """The report as a PDF with its fonts inside."""
    document = Document((_WIDTH, _HEIGHT), f"{facts.title}: {facts.about}", facts.test)
    return render(document, lambda: _Layout(facts).pages, partial(_footer, facts))


@dataclass(slots=True)
class _Layout:
    """Places the facts on as many pages as they need, from the top down."""

    facts: ReportFacts
    pages: list[list[Mark]] = field(default_factory=list)
    y: float = 0
    places: range = range(0)  # of the numbers in the table that is drawn

    def __post_init__(self) -> None:
        self._new_page()
        self._top()
        numbers = len(self.facts.heads) - 1
        tables = max(1, -(-numbers // _MOST))
        for first, last in pairwise(numbers * each // tables for each in range(tables + 1)):
            self.places = range(first, last)
            self._table()

    def _table(self) -> None:
        if self.places.start:
            self.y -= _BETWEEN
            # What does not fit below the table before begins on a page of its own.
            if self.y - _BETWEEN - _ROW * len(self.facts.rows) < _FLOOR:
                self._new_page()
        self._head()
        for row in self.facts.rows:
            if self.y - _ROW < _FLOOR:
                self._new_page()
                self._head()
            self._row(row)

    def _new_page(self) -> None:
        self.pages.append([Box(0, _HEIGHT - 7, _WIDTH, 7, ACCENT)])
        self.y = _HEIGHT - 52

    def _top(self) -> None:
        facts = self.facts
        self._text(_MARGIN, self.y, facts.title, _TITLE)
        if facts.test:
            self._text(_RIGHT, self.y, "TEST: no money was moved", Style(BOLD, 8.5, WARN), right=True)
        self.y -= 16
        self._text(_MARGIN, self.y, facts.about, _NUMBER)
        self.y -= 15
        for note in facts.notes:
            for line in wrap(note, SMALL, _RIGHT - _MARGIN):
                self._text(_MARGIN, self.y, line, SMALL)
                self.y -= 11
        self.y -= 14

    def _head(self) -> None:
        name, *numbers = self.facts.heads
        wrapped = [wrap(numbers[place], LABEL, self._wide) for place in self.places]
        height = max((len(lines) for lines in wrapped), default=1)
        self._text(_MARGIN, self.y - 10 * (height - 1), name, LABEL)
        for place, lines in enumerate(wrapped):
            for line, text in enumerate(reversed(lines)):
                self._text(self._end(place), self.y - 10 * (height - 1 - line), text, LABEL, right=True)
        self.y -= 10 * (height - 1) + 8
        self.pages[-1].append(Box(_MARGIN, self.y, _RIGHT - _MARGIN, 0.6, QUIET))

    def _row(self, row: ReportRow) -> None:
        style = _STRONG if row.current else _NUMBER
        if row.current:
            self.pages[-1].append(Box(_MARGIN - 6, self.y - _ROW + 1, _RIGHT - _MARGIN + 12, _ROW - 1, PANEL))
        cells = [(_MARGIN, row.name, False)]
        cells += [(self._end(place - self.places.start), row.numbers[place], True) for place in self.places]
        for x, cell, right in cells:
            width = self._wide if right else _FIRST - _GAP
            # In the middle of the row, unless something stands below it.
            self._fitted(x, self.y - (12 if cell.below else 17), cell.text, style, width, right=right)
            self._fitted(x, self.y - 22, cell.below, SMALL, width, right=right)
        self.y -= _ROW
        self.pages[-1].append(Box(_MARGIN, self.y, _RIGHT - _MARGIN, 0.4, HAIR))

    @property
    def _wide(self) -> float:
        return self._step - _GAP

    @property
    def _step(self) -> float:
        return (_RIGHT - _MARGIN - _FIRST) / max(1, len(self.places))

    def _end(self, place: int) -> float:
        return _MARGIN + _FIRST + self._step * (place + 1)

    def _fitted(self, x: float, y: float, text: str, style: Style, width: float, *, right: bool) -> None:
        """A text drawn smaller rather than into its neighbour."""
        wide = width_of(one_line(text), style)
        if wide > width:
            style = style._replace(size=style.size * width / wide)
        self._text(x, y, text, style, right=right)

    def _text(self, x: float, y: float, text: str, style: Style, *, right: bool = False) -> None:
        self.pages[-1].append(TextMark(x, y, one_line(text), style, right))


def _footer(facts: ReportFacts, page: int, pages: int) -> tuple[Mark, ...]:
    return (
        Box(_MARGIN, 40, _RIGHT - _MARGIN, 0.6, HAIR),
        TextMark(_MARGIN, 27, wrap(f"{facts.title} · {facts.about}", SMALL, 560)[0], SMALL, right=False),
        TextMark(_RIGHT, 27, f"Page {page} of {pages}", SMALL, right=True),
    )
