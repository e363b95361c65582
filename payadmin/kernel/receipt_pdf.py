"""The receipt of cash as a PDF for rolls of 80 mm: facts in, the same bytes out; text is drawn, never interpreted."""

from dataclasses import dataclass, field
from typing import Final

from payadmin.kernel.pdf import (
    BOLD,
    HAIR,
    INK,
    PANEL,
    QUIET,
    REGULAR,
    WARN,
    Box,
    Document,
    Mark,
    Style,
    TextMark,
    one_at_a_time,
    register_fonts,
    render,
    width_of,
    wrap,
)
from payadmin.kernel.text import one_line

_MM: Final = 72 / 25.4
_WIDTH: Final = 80 * _MM
_MARGIN: Final = 5 * _MM
_RIGHT: Final = _WIDTH - _MARGIN
_INNER: Final = _RIGHT - _MARGIN

_TITLE = Style(BOLD, 11, INK)
_NUMBER = Style(BOLD, 9, INK)
_BODY = Style(REGULAR, 8, INK)
_SOFT = Style(REGULAR, 7.5, QUIET)
_BIG = Style(BOLD, 10, INK)
_COPY = Style(BOLD, 9, WARN)


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """Everything a receipt says, as text in the reader's language. Two with equal facts are the same file.

    Attributes:
        copy: says that it is a copy; empty on the first one.
        lines: what stands beside each other, such as the desk and the customer.
        amounts: the same for amounts; the last one is what went over the counter.
        signatures: under which lines people sign.
    """

    number: str
    organization: str
    title: str
    copy: str
    lines: tuple[tuple[str, str], ...]
    amounts: tuple[tuple[str, str], ...]
    signatures: tuple[str, ...]
    foot: str


def render_receipt(facts: ReceiptFacts) -> bytes:
    """The receipt as one page, 80 mm wide and as long as it needs, with its fonts inside."""
    with one_at_a_time:
        register_fonts()
        height = -_Layout(facts).y + _MARGIN
    document = Document(
        (_WIDTH, height), one_line(f"{facts.title} {facts.number}"), test=False, author=facts.organization
    )
    return render(document, lambda: [_Layout(facts, height).marks], lambda _page, _pages: ())


@dataclass(slots=True)
class _Layout:
    """Places the facts from the top down; `y` ends below the last of them."""

    facts: ReceiptFacts
    y: float = 0
    marks: list[Mark] = field(default_factory=list)

    def __post_init__(self) -> None:
        facts = self.facts
        self.y -= 9 * _MM
        self._column(facts.organization, _TITLE)
        self._column(facts.title, _BODY)
        self.y -= 4
        self._column(facts.number, _NUMBER)
        if facts.copy:
            self._column(facts.copy, _COPY)
        self._hair()
        for label, value in facts.lines:
            self._pair(label, value, _BODY)
        self._hair()
        *others, last = facts.amounts
        for label, value in others:
            self._pair(label, value, _BODY)
        self.y -= 9
        self.marks.append(Box(_MARGIN - 4, self.y - 7, _INNER + 8, 20, PANEL))
        self._pair(last[0], last[1], _BIG)
        self.y -= 6
        for label in facts.signatures:
            self.y -= 26
            self.marks.append(Box(_MARGIN, self.y + 10, _INNER, 0.6, QUIET))
            self._column(label, _SOFT)
        self.y -= 4
        self._column(facts.foot, _SOFT)

    def _column(self, text: str, style: Style) -> None:
        for line in wrap(text, style, _INNER):
            self.marks.append(TextMark(_MARGIN, self.y, line, style, right=False))
            self.y -= style.size * 1.35

    def _pair(self, label: str, value: str, style: Style) -> None:
        """A word at the left edge and its value at the right one, below each other where both do not fit."""
        quiet = style if style is _BIG else _SOFT
        room = _INNER - width_of(one_line(label), quiet) - 8
        self.marks.append(TextMark(_MARGIN, self.y, one_line(label), quiet, right=False))
        if width_of(one_line(value), style) > room:
            self.y -= style.size * 1.35
            room = _INNER
        for line in wrap(value, style, room):
            self.marks.append(TextMark(_RIGHT, self.y, line, style, right=True))
            self.y -= style.size * 1.35
        self.y -= 2.5

    def _hair(self) -> None:
        self.y -= 1
        self.marks.append(Box(_MARGIN, self.y + 4, _INNER, 0.6, HAIR))
        self.y -= 10
