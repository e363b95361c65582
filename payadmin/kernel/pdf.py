"""What payadmin draws its PDFs with: fonts inside the file, text that is drawn and never interpreted as markup."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from payadmin.kernel.text import one_line

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

FONTS: Final = Path(__file__).with_name("fonts")
REGULAR, BOLD = "DejaVuSans", "DejaVuSans-Bold"
INK, QUIET, HAIR, PANEL, ACCENT, WARN = "#1c2430", "#5b6675", "#d5dae1", "#f4f6f9", "#444ce7", "#b42318"

# The fonts are parsed once and shared; reportlab wants one document at a time per font.
one_at_a_time = threading.Lock()


class Style(NamedTuple):
    """How a text is drawn."""

    font: str
    size: float
    colour: str


LABEL = Style(BOLD, 7.5, QUIET)
SMALL = Style(REGULAR, 7.5, QUIET)


@dataclass(frozen=True, slots=True)
class TextMark:
    """A text at a place: its left end, or its right one."""

    x: float
    y: float
    text: str
    style: Style
    right: bool

    def draw(self, canvas: "Canvas") -> None:
        """Put it on the page."""
        canvas.setFillColor(self.style.colour)
        canvas.setFont(self.style.font, self.style.size)
        (canvas.drawRightString if self.right else canvas.drawString)(self.x, self.y, self.text)


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; a thin one is a line."""

    x: float
    y: float
    width: float
    height: float
    colour: str

    def draw(self, canvas: "Canvas") -> None:
        """Put it on the page."""
        canvas.setFillColor(self.colour)
        canvas.rect(self.x, self.y, self.width, self.height, stroke=0, fill=1)


Mark = TextMark | Box


@dataclass(frozen=True, slots=True)
class Document:
    """What all of payadmin's PDFs have in common.

    Attributes:
        size: width and height of a page.
        title: what readers show as its name.
        test: no money was moved: each page says so.
    """

    size: tuple[float, float]
    title: str
    test: bool
    author: str = ""
    subject: str = ""


def render(
    document: Document, lay_out: Callable[[], Sequence[Iterable[Mark]]], footer: Callable[[int, int], Iterable[Mark]]
) -> bytes:
    """A PDF with its fonts inside: the same facts make the same bytes.

    Args:
        document: what it is.
        lay_out: the marks of each page; called when widths of texts can be asked for.
        footer: the marks at the foot of a page, from its number and how many there are.
    """
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415  (50 ms that only documents should pay)

    with one_at_a_time:
        register_fonts()
        pages = lay_out()
        buffer = io.BytesIO()
        canvas = Canvas(
            buffer,
            pagesize=document.size,
            invariant=1,
            pageCompression=1,
            initialFontName=REGULAR,  # type: ignore[arg-type]  # the stubs say float
            lang="en",
        )
        canvas.setTitle(one_line(document.title))
        if document.author:
            canvas.setAuthor(one_line(document.author))
        if document.subject:
            canvas.setSubject(one_line(document.subject))
        canvas.setCreator("payadmin")
        for number, page in enumerate(pages, 1):
            if document.test:
                _draw_watermark(canvas, *document.size)
            for mark in (*page, *footer(number, len(pages))):
                mark.draw(canvas)
            canvas.showPage()
        canvas.save()
        return buffer.getvalue()


def _draw_watermark(canvas: "Canvas", width: float, height: float) -> None:
    """Write TEST across a page of this size, so that nobody takes it for money."""
    canvas.saveState()
    canvas.setFillColor(WARN, alpha=0.07)
    canvas.setFont(BOLD, 190)
    canvas.translate(width / 2, height / 2)
    canvas.rotate(52)
    canvas.drawCentredString(0, -66, "TEST")
    canvas.restoreState()


@cache
def register_fonts() -> None:
    """Read the fonts, once in a process; call it while `one_at_a_time` is held."""
    from reportlab.pdfbase.pdfmetrics import registerFont  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    for name in (REGULAR, BOLD):
        registerFont(TTFont(name, str(FONTS / f"{name}.ttf")))


def width_of(text: str, style: Style) -> float:
    """How wide a text is drawn."""
    from reportlab.pdfbase.pdfmetrics import stringWidth  # noqa: PLC0415

    return float(stringWidth(text, style.font, style.size))


def wrap(text: str, style: Style, width: float) -> list[str]:
    """The text in lines of at most `width`, broken between words, or inside a word that alone is too long."""
    lines = [""]
    for piece in _pieces(one_line(text), style, width):
        longer = f"{lines[-1]} {piece}".lstrip()
        if width_of(longer, style) <= width:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def _pieces(text: str, style: Style, width: float) -> Iterator[str]:
    for word in text.split(" "):
        piece = ""
        for char in word:
            if piece and width_of(piece + char, style) > width:
                yield piece
                piece = ""
            piece += char
        yield piece
