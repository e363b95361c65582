"""The invoice as a PDF: facts in, the same bytes out every time; text is drawn, never interpreted as markup."""

from dataclasses import dataclass, field
from functools import partial
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

LAYOUT: Final = 1  # raised whenever the drawing below changes, so that cached files are drawn again

_WIDTH, _HEIGHT, _MARGIN, _FLOOR = 595.28, 841.89, 52.0, 78.0
_RIGHT = _WIDTH - _MARGIN
_AMOUNT_WIDTH, _DATE_WIDTH = 150.0, 80.0

_NAME = Style(BOLD, 11, INK)
_BODY = Style(REGULAR, 9, INK)
_SOFT = Style(REGULAR, 9, QUIET)


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
    document = Document(
        (_WIDTH, _HEIGHT),
        f"Invoice {facts.number}",
        facts.test,
        author=facts.seller,
        subject=f"Payment {facts.transaction_id}",
    )
    return render(document, lambda: _Layout(facts).pages, partial(_footer, facts))


@dataclass(slots=True)
class _Layout:
    """Places the facts on as many pages as they need, from the top down."""

    facts: InvoiceFacts
    pages: list[list[Mark]] = field(default_factory=list)
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
        lowest = self._column(_MARGIN, self.y, left, (self.facts.seller, Style(BOLD, 15, INK)))
        self._text(_RIGHT, self.y + 1, "INVOICE", Style(BOLD, 9, ACCENT), right=True)
        self._text(_RIGHT, self.y - 18, self.facts.number, Style(BOLD, 13, INK), right=True)
        below = self.y - 33
        if self.facts.test:
            self._text(_RIGHT, below, "TEST: no money was moved", Style(BOLD, 8.5, WARN), right=True)
            below -= 14
        self.y = min(lowest, below) - 16

    def _new_page(self, top: float) -> None:
        self.pages.append([Box(0, _HEIGHT - 7, _WIDTH, 7, ACCENT)])
        self.y = _HEIGHT - top

    def _parties(self) -> None:
        facts, gap = self.facts, 24
        width = (_RIGHT - _MARGIN - gap) / 2
        name, *more = facts.customer
        below = [(line, _SOFT) for line in more]
        merchant = self._column(_MARGIN, self.y, width, ("PAID TO", LABEL), (facts.merchant, _NAME))
        customer = self._column(_MARGIN + width + gap, self.y, width, ("BILLED TO", LABEL), (name, _NAME), *below)
        self.y = min(merchant, customer) - 14

    def _details(self) -> None:
        facts = self.facts
        short = (("Issued", facts.issued), ("Paid on", facts.paid_on), ("Method", facts.method))
        long = (("Transaction ID", facts.transaction_id), ("Merchant's invoice number", facts.invoice_number))
        for row in (short, long):
            width = (_RIGHT - _MARGIN - 28) / len(row)
            height = 20 + 12 * max(len(wrap(value, _BODY, width - 10)) for _, value in row)
            self.pages[-1].append(Box(_MARGIN, self.y - height, _RIGHT - _MARGIN, height, PANEL))
            for place, (label, value) in enumerate(row):
                x = _MARGIN + 14 + place * width
                self._text(x, self.y - 13, label, SMALL)
                self._column(x, self.y - 26, width - 10, (value, _BODY))
            self.y -= height
        self.y -= 30

    def _table(self) -> None:
        self._table_head()
        for line in self.facts.lines:
            self._row(line, INK)
        for line in self.facts.refunds:
            self._row(line, QUIET)

    def _table_head(self) -> None:
        self._text(_MARGIN, self.y, "DESCRIPTION", LABEL)
        self._text(_RIGHT - _AMOUNT_WIDTH - _DATE_WIDTH, self.y, "DATE", LABEL)
        self._text(_RIGHT, self.y, "AMOUNT", LABEL, right=True)
        self._hair(self.y - 8, QUIET)
        self.y -= 24

    def _row(self, line: InvoiceLine, colour: str) -> None:
        style = Style(REGULAR, 9.5, colour)
        width = _RIGHT - _MARGIN - _AMOUNT_WIDTH - _DATE_WIDTH - 16
        if self.y - 13 * len(wrap(line.text, style, width)) < _FLOOR:
            self._new_page(70)
            self._table_head()
        self._text(_RIGHT - _AMOUNT_WIDTH - _DATE_WIDTH, self.y, line.date, Style(REGULAR, 9, colour))
        self._amount(line.amount, style, _AMOUNT_WIDTH - 6)
        bottom = self._column(_MARGIN, self.y, width, (line.text, style))
        self._hair(bottom + 3, HAIR)
        self.y = bottom - 12

    def _totals(self) -> None:
        if self.y - 84 < _FLOOR:
            self._new_page(70)
        left = _RIGHT - 270
        self.y -= 6
        for label, amount in (("Paid", self.facts.paid), ("Refunded so far", self.facts.refunded)):
            self._text(left, self.y, label, Style(REGULAR, 9.5, QUIET))
            self._amount(amount, Style(REGULAR, 9.5, INK), 170)
            self.y -= 18
        self.pages[-1].append(Box(left - 12, self.y - 14, _RIGHT - left + 22, 26, PANEL))
        self.y -= 5
        self._text(left, self.y, "Total", _NAME)
        self._amount(self.facts.kept, _NAME, 200)

    def _text(self, x: float, y: float, text: str, style: Style, *, right: bool = False) -> None:
        self.pages[-1].append(TextMark(x, y, one_line(text), style, right))

    def _amount(self, text: str, style: Style, width: float) -> None:
        """An amount at the right edge, drawn smaller rather than into its neighbour."""
        wide = width_of(one_line(text), style)
        if wide > width:
            style = style._replace(size=style.size * width / wide)
        self._text(_RIGHT, self.y, text, style, right=True)

    def _column(self, x: float, y: float, width: float, *parts: tuple[str, Style]) -> float:
        """Texts below each other, wrapped; returns where the next one would stand."""
        for text, style in parts:
            for line in wrap(text, style, width):
                self._text(x, y, line, style)
                y -= style.size * 1.27 + 1
            if style is LABEL:
                y -= 5
        return y

    def _hair(self, y: float, colour: str) -> None:
        self.pages[-1].append(Box(_MARGIN, y, _RIGHT - _MARGIN, 0.6, colour))


def _footer(facts: InvoiceFacts, page: int, pages: int) -> tuple[Mark, ...]:
    return (
        Box(_MARGIN, 52, _RIGHT - _MARGIN, 0.6, HAIR),
        TextMark(_MARGIN, 38, wrap(f"{facts.number} · {facts.seller}", SMALL, 380)[0], SMALL, right=False),
        TextMark(_RIGHT, 38, f"Page {page} of {pages}", SMALL, right=True),
    )
