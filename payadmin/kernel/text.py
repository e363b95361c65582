"""Text that others wrote, made fit for places that hold one visible line: a heading, a subject, an invoice."""

import datetime as dt
import unicodedata


def one_line(text: str) -> str:
    """The text in one visible line: composed accents, no control characters, nothing that turns the direction."""
    composed = unicodedata.normalize("NFC", text)
    shown = (" " if char.isspace() else char for char in composed if char.isspace() or char.isprintable())
    return " ".join("".join(shown).split())


def day_text(day: dt.date) -> str:
    """A day as sentences say it: 5 Dec 2026."""
    return f"{day:%-d %b %Y}"
