"""The invoice as a PDF: facts in, the same bytes out every time; text is drawn, never interpreted as markup."""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from payadmin.kernel.text import one_line

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

FONTS: Final = Path(__file__).with_name("fonts")
LAYOUT: Final = 1  # raised whenever the drawing below changes, so that cached files are drawn again

_REGULAR, _BOLD = "DejaVuSans", "DejaVuSans-Bold"
_WIDTH, _HEIGHT, _MARGIN, _FLOOR = 595.28, 841.89, 52.0, 78.0
_RIGHT = _WIDTH - _MARGIN
_INK, _QUIET, _HAIR, _PANEL, _ACCENT, _WARN = "#1c2430", "#5b6675", "#d5dae1", "#f4f6f9", "#444ce7", "#b42318"
_AMOUNT_WIDTH, _DATE_WIDTH = 150.0, 80.0


class _Style(NamedTuple):
    font: str
    size: float
    colour: str


_LABEL = _Style(_BOLD, 7.5, _QUIET)
_NAME = _Style(_BOLD, 11, _INK)
_BODY = _Style(_REGULAR, 9, _INK)
_SOFT = _Style(_REGULAR, 9, _QUIET)
_SMALL = _Style(_REGULAR, 7.5, _QUIET)

# The fonts are parsed once and shared; reportlab wants one document at a time per font.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One row of the invoice's table; the amount is already formatted."""

    text: str
    date: str
    amount: str


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """Everything an invoice says, as text. Two invoices with equal facts are the same file.

    Args:
        customer: the customer's name, then what else stands below it.
        refunds: what was given back so far, one line each.
        test: the payment was made in test mode; the page says so.
    """

    number: str
    issued: str
    seller: str
    merchant: str
    customer: tuple[str, ...]
    transaction_id: str
    invoice_number: str
    paid_on: str
    method: str
    lines: tuple[InvoiceLine, ...]
    refunds: tuple[InvoiceLine, ...]
    paid: str
    refunded: str
    kept: str
    test: bool


def render_invoice(facts: InvoiceFacts) -> bytes:
    """The invoice as an A4 PDF with its fonts inside."""
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415  (50 ms that only invoices should pay)

    with _one_at_a_time:
        _register_fonts()
        pages = _Layout(facts).pages
        buffer = io.BytesIO()
        canvas = Canvas(
            buffer,
            pagesize=(_WIDTH, _HEIGHT),
            invariant=1,
            pageCompression=1,
            initialFontName=_REGULAR,  # type: ignore[arg-type]  # the stubs say float
            lang="en",
        )
        canvas.setTitle(one_line(f"Invoice {facts.number}"))
        canvas.setAuthor(one_line(facts.seller))
        canvas.setSubject(one_line(f"Payment {facts.transaction_id}"))
        canvas.setCreator("payadmin")
        for number, page in enumerate(pages, 1):
            if facts.test:
                _draw_watermark(canvas)
            for mark in page:
                mark.draw(canvas)
            _draw_footer(canvas, facts, number, len(pages))
            canvas.showPage()
        canvas.save()
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    style: _Style
    right: bool

    def draw(self, canvas: "Canvas") -> None:
        canvas.setFillColor(self.style.colour)
        canvas.setFont(self.style.font, self.style.size)
        (canvas.drawRightString if self.right else canvas.drawString)(self.x, self.y, self.text)


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    colour: str

    def draw(self, canvas: "Canvas") -> None:
        canvas.setFillColor(self.colour)
        canvas.rect(self.x, self.y, self.width, self.height, stroke=0, fill=1)


@dataclass(slots=True)
class _Layout:
    """Places the facts on as many pages as they need, from the top down."""

    facts: InvoiceFacts
    pages: list[list[_Text | _Box]] = field(default_factory=list)
    y: float = 0

    def __post_init__(self) -> None:
        self._first_page()
        self._parties()
        self._details()
        self._table()
        self._totals()

    def _first_page(self) -> None:
        self._new_page(84)
        left = (_RIGHT - _MARGIN) * 0.6
        lowest = self._column(_MARGIN, self.y, left, (self.facts.seller, _Style(_BOLD, 15, _INK)))
        self._text(_RIGHT, self.y + 1, "INVOICE", _Style(_BOLD, 9, _ACCENT), right=True)
        self._text(_RIGHT, self.y - 18, self.facts.number, _Style(_BOLD, 13, _INK), right=True)
        below = self.y - 33
        if self.facts.test:
            self._text(_RIGHT, below, "TEST: no money was moved", _Style(_BOLD, 8.5, _WARN), right=True)
            below -= 14
        self.y = min(lowest, below) - 16

    def _new_page(self, top: float) -> None:
        self.pages.append([_Box(0, _HEIGHT - 7, _WIDTH, 7, _ACCENT)])
        self.y = _HEIGHT - top

    def _parties(self) -> None:
        facts, gap = self.facts, 24
        width = (_RIGHT - _MARGIN - gap) / 2
        name, *more = facts.customer
        below = [(line, _SOFT) for line in more]
        merchant = self._column(_MARGIN, self.y, width, ("PAID TO", _LABEL), (facts.merchant, _NAME))
        customer = self._column(_MARGIN + width + gap, self.y, width, ("BILLED TO", _LABEL), (name, _NAME), *below)
        self.y = min(merchant, customer) - 14

    def _details(self) -> None:
        facts = self.facts
        short = (("Issued", facts.issued), ("Paid on", facts.paid_on), ("Method", facts.method))
        long = (("Transaction ID", facts.transaction_id), ("Merchant's invoice number", facts.invoice_number))
        for row in (short, long):
            width = (_RIGHT - _MARGIN - 28) / len(row)
            height = 20 + 12 * max(len(_wrap(value, _BODY, width - 10)) for _, value in row)
            self.pages[-1].append(_Box(_MARGIN, self.y - height, _RIGHT - _MARGIN, height, _PANEL))
            for place, (label, value) in enumerate(row):
                x = _MARGIN + 14 + place * width
                self._text(x, self.y - 13, label, _SMALL)
                self._column(x, self.y - 26, width - 10, (value, _BODY))
            self.y -= height
        self.y -= 30

    def _table(self) -> None:
        self._table_head()
        for line in self.facts.lines:
            self._row(line, _INK)
        for line in self.facts.refunds:
            self._row(line, _QUIET)

    def _table_head(self) -> None:
        self._text(_MARGIN, self.y, "DESCRIPTION", _LABEL)
        self._text(_RIGHT - _AMOUNT_WIDTH - _DATE_WIDTH, self.y, "DATE", _LABEL)
        self._text(_RIGHT, self.y, "AMOUNT", _LABEL, right=True)
        self._hair(self.y - 8, _QUIET)
        self.y -= 24

    def _row(self, line: InvoiceLine, colour: str) -> None:
        style = _Style(_REGULAR, 9.5, colour)
        width = _RIGHT - _MARGIN - _AMOUNT_WIDTH - _DATE_WIDTH - 16
        if self.y - 13 * len(_wrap(line.text, style, width)) < _FLOOR:
            self._new_page(70)
            self._table_head()
        self._text(_RIGHT - _AMOUNT_WIDTH - _DATE_WIDTH, self.y, line.date, _Style(_REGULAR, 9, colour))
        self._amount(line.amount, style, _AMOUNT_WIDTH - 6)
        bottom = self._column(_MARGIN, self.y, width, (line.text, style))
        self._hair(bottom + 3, _HAIR)
        self.y = bottom - 12

    def _totals(self) -> None:
        if self.y - 84 < _FLOOR:
            self._new_page(70)
        left = _RIGHT - 270
        self.y -= 6
        for label, amount in (("Paid", self.facts.paid), ("Refunded so far", self.facts.refunded)):
            self._text(left, self.y, label, _Style(_REGULAR, 9.5, _QUIET))
            self._amount(amount, _Style(_REGULAR, 9.5, _INK), 170)
            self.y -= 18
        self.pages[-1].append(_Box(left - 12, self.y - 14, _RIGHT - left + 22, 26, _PANEL))
        self.y -= 5
        self._text(left, self.y, "Total", _NAME)
        self._amount(self.facts.kept, _NAME, 200)

    def _text(self, x: float, y: float, text: str, style: _Style, *, right: bool = False) -> None:
        self.pages[-1].append(_Text(x, y, one_line(text), style, right))

    def _amount(self, text: str, style: _Style, width: float) -> None:
        """An amount at the right edge, drawn smaller rather than into its neighbour."""
        wide = _width(one_line(text), style)
        if wide > width:
            style = style._replace(size=style.size * width / wide)
        self._text(_RIGHT, self.y, text, style, right=True)

    def _column(self, x: float, y: float, width: float, *parts: tuple[str, _Style]) -> float:
        """Texts below each other, wrapped; returns where the next one would stand."""
        for text, style in parts:
            for line in _wrap(text, style, width):
                self._text(x, y, line, style)
                y -= style.size * 1.27 + 1
            if style is _LABEL:
                y -= 5
        return y

    def _hair(self, y: float, colour: str) -> None:
        self.pages[-1].append(_Box(_MARGIN, y, _RIGHT - _MARGIN, 0.6, colour))


def _draw_watermark(canvas: "Canvas") -> None:
    canvas.saveState()
    canvas.setFillColor(_WARN, alpha=0.07)
    canvas.setFont(_BOLD, 190)
    canvas.translate(_WIDTH / 2, _HEIGHT / 2)
    canvas.rotate(52)
    canvas.drawCentredString(0, -66, "TEST")
    canvas.restoreState()


def _draw_footer(canvas: "Canvas", facts: InvoiceFacts, page: int, pages: int) -> None:
    _Box(_MARGIN, 52, _RIGHT - _MARGIN, 0.6, _HAIR).draw(canvas)
    _Text(_MARGIN, 38, _wrap(f"{facts.number} · {facts.seller}", _SMALL, 380)[0], _SMALL, right=False).draw(canvas)
    _Text(_RIGHT, 38, f"Page {page} of {pages}", _SMALL, right=True).draw(canvas)


@cache
def _register_fonts() -> None:
    from reportlab.pdfbase.pdfmetrics import registerFont  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    for name in (_REGULAR, _BOLD):
        registerFont(TTFont(name, str(FONTS / f"{name}.ttf")))


def _width(text: str, style: _Style) -> float:
    from reportlab.pdfbase.pdfmetrics import stringWidth  # noqa: PLC0415

    return float(stringWidth(text, style.font, style.size))


def _wrap(text: str, style: _Style, width: float) -> list[str]:
    """The text in lines of at most `width`, broken between words, or inside a word that alone is too long."""
    lines = [""]
    for piece in _pieces(one_line(text), style, width):
        longer = f"{lines[-1]} {piece}".lstrip()
        if _width(longer, style) <= width:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def _pieces(text: str, style: _Style, width: float) -> Iterator[str]:
    for word in text.split(" "):
        piece = ""
        for char in word:
            if piece and _width(piece + char, style) > width:
                yield piece
                piece = ""
            piece += char
        yield piece
