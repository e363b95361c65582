"""Text that others wrote, made fit for one visible line; and what payadmin itself says.

Each reader reads that in their own language, while code, logs and the trail keep the English.
"""

import datetime as dt
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, Self

# What each language is called by those who speak it.
LANGUAGES: Final[Mapping[str, str]] = {
    "en": "English",
    "es": "Español",
    "id": "Bahasa Indonesia",
    "it": "Italiano",
}
ENGLISH: Final = "en"
_APART: Final = "\x04"  # between the name of a text and its English, as gettext's files have it


def one_line(text: str) -> str:
    """The text in one visible line: composed accents, no control characters, nothing that turns the direction."""
    composed = unicodedata.normalize("NFC", text)
    shown = (" " if char.isspace() else char for char in composed if char.isspace() or char.isprintable())
    return " ".join("".join(shown).split())


class Tongue(Protocol):
    """A language as `Said` needs it: how it says a text, a day, a number and an amount."""

    def text(self, text: "Text") -> str:
        """The text in this language, its values included."""

    def day(self, day: dt.date) -> str:
        """The day as sentences say it."""

    def number(self, number: int) -> str:
        """The whole number, grouped by thousands."""

    def money(self, minor: int, unit: str, scale: int) -> str:
        """The amount with its unit."""

    def ordinal(self, number: int) -> str:
        """A day of the month in its place: the 2nd."""


class Said(str):
    """English that knows how to be said in another language. Everything that takes text takes it as the English."""

    __slots__ = ()

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # it cannot change, and copying would have to know what each kind is made of

    def said(self, tongue: Tongue) -> str:
        """The same in the language of `tongue`."""
        raise NotImplementedError


class Text(Said):
    """A text of payadmin's own, with its values.

    Attributes:
        message: the English with named placeholders, by which catalogues find it.
        values: what stands in the placeholders; a value that is `Said` itself is translated too.
        plural: the English for other numbers than one.
        number: the number that decides between the two.
        name: the stable name, for texts that are looked for by name (mails).
    """

    __slots__ = ("message", "name", "number", "plural", "values")

    message: str
    values: Mapping[str, Any]
    plural: str | None
    number: int
    name: str | None

    def __new__(
        cls,
        message: str,
        /,
        *,
        values: Mapping[str, Any] | None = None,
        plural: str | None = None,
        number: int = 1,
        name: str | None = None,
    ) -> Self:
        chosen = message if plural is None or number == 1 else plural
        self = super().__new__(cls, chosen % values if values else chosen)
        self.message, self.values, self.plural, self.number, self.name = message, values or {}, plural, number, name
        return self

    @property
    def key(self) -> str:
        """By which catalogues and overrides find it."""
        return self.message if self.name is None else f"{self.name}{_APART}{self.message}"

    def said(self, tongue: Tongue) -> str:
        return tongue.text(self)

    def of(self, number: int = 1, /, **values: Any) -> "Text":
        """The same text with values: texts such as those of mails are written down once, at the top of a module."""
        return Text(self.message, values=values, plural=self.plural, number=number, name=self.name)

    def lower(self) -> str:
        """The text inside a sentence, in small letters in every language."""
        return Lowered(self)


class Lowered(Said):
    """A text in small letters: a label inside a sentence."""

    __slots__ = ("label",)

    label: Text

    def __new__(cls, label: Text) -> Self:
        self = super().__new__(cls, str.lower(label))
        self.label = label
        return self

    def said(self, tongue: Tongue) -> str:
        return tongue.text(self.label).lower()


def _(message: str, /, **values: Any) -> Text:
    """Mark a text that people read: `_("Refund %(number)s is too large.", number=reference)`.

    Args:
        message: the English, complete, with named placeholders for what changes.
        values: what stands in the placeholders.
    """
    return Text(message, values=values)


def _n(one: str, many: str, number: int, /, **values: Any) -> Text:
    """Mark a text that depends on a number: `_n("%(number)s row", "%(number)s rows", len(rows))`.

    Args:
        one: the English for the number one.
        many: the English for every other number.
        number: stands in `%(number)s`, grouped by thousands.
        values: what stands in further placeholders.
    """
    return Text(one, values={"number": NumberText(number), **values}, plural=many, number=number)


def named(name: str, message: str, /, **values: Any) -> Text:
    """Mark a text that has a stable name beside its English, such as the body of a mail.

    Args:
        name: dotted words, never reused for something else.
        message: the English, with named placeholders.
        values: what stands in the placeholders.
    """
    return Text(message, values=values, name=name)


class DayText(Said):
    """A day in a sentence: 5 Dec 2026."""

    __slots__ = ("day",)

    day: dt.date

    def __new__(cls, day: dt.date) -> Self:
        self = super().__new__(cls, f"{day:%-d %b %Y}")
        self.day = day
        return self

    def said(self, tongue: Tongue) -> str:
        return tongue.day(self.day)


class OrdinalText(Said):
    """A day of the month in a sentence: 2nd."""

    __slots__ = ("number",)

    number: int

    def __new__(cls, number: int) -> Self:
        self = super().__new__(cls, ordinal(number))
        self.number = number
        return self

    def said(self, tongue: Tongue) -> str:
        return tongue.ordinal(self.number)


class NumberText(Said):
    """A whole number in a sentence, grouped by thousands: 12,431."""

    __slots__ = ("number",)

    number: int

    def __new__(cls, number: int) -> Self:
        self = super().__new__(cls, f"{number:,}")
        self.number = number
        return self

    def said(self, tongue: Tongue) -> str:
        return tongue.number(self.number)


class AmountText(Said):
    """An amount with its unit in a sentence: 1,234.50 EUR."""

    __slots__ = ("minor", "scale", "unit")

    minor: int
    unit: str
    scale: int

    def __new__(cls, english: str, minor: int, unit: str, scale: int) -> Self:
        self = super().__new__(cls, english)
        self.minor, self.unit, self.scale = minor, unit, scale
        return self

    def said(self, tongue: Tongue) -> str:
        return tongue.money(self.minor, self.unit, self.scale)


class Listed(Said):
    """Several things in a sentence, with commas between them."""

    __slots__ = ("items",)

    items: tuple[str, ...]

    def __new__(cls, items: Iterable[str]) -> Self:
        kept = tuple(items)
        self = super().__new__(cls, ", ".join(kept))
        self.items = kept
        return self

    def said(self, tongue: Tongue) -> str:
        return ", ".join(item.said(tongue) if isinstance(item, Said) else item for item in self.items)


def listed(items: Iterable[str]) -> str:
    """One or more things as sentences name them: A, B and C."""
    *first, last = items
    return _("%(first)s and %(last)s", first=Listed(first), last=last) if first else last


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    suffix = "th" if 11 <= number % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")  # noqa: PLR2004
    return f"{number}{suffix}"


def day_text(day: dt.date) -> str:
    """A day as sentences say it: 5 Dec 2026, in the reader's language where it is shown."""
    return DayText(day)
