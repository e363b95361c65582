"""What payadmin says in each language: the catalogues it is shipped with, and above them what staff have written.

The catalogues are the `.po` files themselves, read once in each process when its first reader needs them: there is no
compiled file that could be older than its source. What staff have written stands in the table `translation_override`;
each change raises the table's highest serial, which is asked for once a request, so every process says it at once.
"""

import datetime as dt
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from gettext import c2py  # what gettext reads plural rules with
from pathlib import Path
from typing import Any, Final, Literal

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from flask import current_app
from markupsafe import Markup, escape
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import ENGLISH, LANGUAGES, NumberText, Said, Text, _, ordinal
from payadmin.models.system import TranslationOverride

FOLDER: Final = Path(__file__).resolve().parent / "translations"
LONGEST_TEXT: Final = 4000
NAME_END: Final = "\x04"

_KEPT: Final = "payadmin.speeches"
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)[sd]|%%|\{(\w+)\}")
_STRAY: Final = re.compile(r"%(?!\(\w+\)[sd]|%)")
_TAGS: Final = re.compile(r"</?[a-z][^<>]*>|&[a-z]+;|&#\d+;")
_UNWANTED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")

log = logging.getLogger(__name__)


def po_file(language: str) -> Path:
    """The catalogue of a language."""
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


def key_of(message: Any) -> str:
    """By which a message of a `.po` file is found: its English, behind its name if it has one."""
    first = message.id[0] if isinstance(message.id, tuple | list) else message.id
    return f"{message.context}{NAME_END}{first}" if message.context else str(first)


def forms_of(message: Any) -> list[str]:
    """What a message of a `.po` file is translated to, each form; empty texts where it is not."""
    said = message.string
    return [str(form or "") for form in (said if isinstance(said, tuple | list) else [said])]


def english_of(key: str) -> str:
    """The English of a key."""
    return key.rpartition(NAME_END)[2]


def name_of(key: str) -> str | None:
    """The stable name of a key, if it has one."""
    return key.rpartition(NAME_END)[0] or None


def read_catalogue(language: str) -> Catalog:
    """The catalogue's file, with everything that stands in it."""
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language)


@dataclass(frozen=True)
class Message:
    """One text as the catalogue of a language has it.

    Attributes:
        key: by which it is found.
        english: the English, and for a text that depends on a number its plural.
        forms: the catalogue's translation, each form; empty where nobody has translated it.
        places: where the program says it.
        notes: what whoever translates it should know.
    """

    key: str
    english: list[str]
    forms: list[str]
    places: list[str]
    notes: list[str]

    @property
    def name(self) -> str | None:
        """Its stable name, if it has one."""
        return name_of(self.key)


@lru_cache(maxsize=len(LANGUAGES))
def messages(code: str) -> Mapping[str, Message]:
    """Every text that payadmin has, with the catalogue's translation into the language `code`; for pages and checks."""
    found = {}
    for message in read_catalogue(code):
        if message.id:
            said = forms_of(message)
            english = list(message.id) if isinstance(message.id, tuple | list) else [message.id]
            places = [f"{file}:{line}" if line else str(file) for file, line in message.locations]
            forms = said if all(said) and not message.fuzzy else []
            found[key_of(message)] = Message(key_of(message), english, forms, places, list(message.auto_comments))
    return found


@dataclass(frozen=True)
class Language:
    """One language as the program is shipped: its texts, its plurals, and how it writes numbers and days."""

    code: str
    forms: Mapping[str, tuple[str, ...]]
    plural: Callable[[int], int]
    plurals: int
    decimal: str
    group: str
    scripts: Sequence[str]
    months: Sequence[str]
    long_months: Sequence[str]
    weekdays: Sequence[str]
    long_weekdays: Sequence[str]


@lru_cache(maxsize=len(LANGUAGES))
def language(code: str) -> Language:
    """The language `code`; read once in each process."""
    catalogue = read_catalogue(code)
    forms, scripts = {}, []
    for message in catalogue:
        if any("static/js/" in file for file, _line in message.locations):
            scripts.append(key_of(message))
        if message.id and not message.fuzzy:
            said = tuple(forms_of(message))
            if all(said):
                forms[key_of(message)] = said
    locale = Locale.parse(code)
    symbols = locale.number_symbols["latn"]
    months, weekdays = locale.months["format"], locale.days["format"]
    return Language(
        code=code,
        forms=forms,
        plural=c2py(catalogue.plural_expr),
        plurals=catalogue.num_plurals,
        decimal=str(symbols["decimal"]),
        group=str(symbols["group"]),
        scripts=tuple(scripts),
        months=tuple(months["abbreviated"][number] for number in range(1, 13)),
        long_months=tuple(months["wide"][number] for number in range(1, 13)),
        weekdays=tuple(weekdays["abbreviated"][number] for number in range(7)),
        long_weekdays=tuple(weekdays["wide"][number] for number in range(7)),
    )


@dataclass(frozen=True)
class Speech:
    """One language with what staff have written above it, as it was at one moment."""

    language: Language
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _markup: dict[str, Markup] = field(default_factory=dict)
    _plain: dict[str, Markup] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The language's code."""
        return self.language.code

    def say(self, value: object) -> str:
        """What is to be read: a `Said` in this language, plain text as the catalogue has it, else as it is."""
        if isinstance(value, Said):
            return value.said(self)
        # Markup is what a template has said already.
        return value if isinstance(value, Markup) else self.find(str(value))

    def find(self, key: str) -> str:
        """The text of `key`; its English where nobody has translated it."""
        found = self.overrides.get(key) or self.language.forms.get(key)
        return found[0] if found else english_of(key)

    def markup(self, key: str) -> Markup:
        """The text of `key` for a template: everything escaped but the tags that its English has."""
        kept = self._markup.get(key)
        if kept is None:
            kept = self._markup[key] = escaped(english_of(key), self.find(key))
        return kept

    def plain(self, text: str) -> Markup:
        """A text that holds no tags, escaped."""
        kept = self._plain.get(text)
        if kept is None:
            kept = self._plain[text] = escape(self.find(text))
        return kept

    def form(self, key: str, many: str, number: int) -> str:
        """The form that fits `number`."""
        found = self.overrides.get(key) or self.language.forms.get(key)
        if found and len(found) == self.language.plurals:
            return found[self.language.plural(abs(number))]
        return english_of(key) if number == 1 else many

    @cached_property
    def script_texts(self) -> dict[str, str]:
        """What the scripts of a page say otherwise than in the English that they carry."""
        return {key: said for key in self.language.scripts if (said := self.find(key)) != key}

    # --- kernel.text.Tongue -------------------------------------------------------------------------------------------

    def text(self, text: Text) -> str:
        """The text in this language; its English where a value is missing, which no check lets happen."""
        found = self.find(text.key) if text.plural is None else self.form(text.key, text.plural, text.number)
        if not text.values:
            return found
        values = {name: self._value(value) for name, value in text.values.items()}
        try:
            return found % values
        except (KeyError, ValueError, TypeError):
            log.warning("a text has other placeholders than its English: %r", text.key)
            return str.__str__(text)

    def _value(self, value: object) -> object:
        if isinstance(value, Said):
            return value.said(self)
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return self.day(value)
        shown = str(value)
        return shown.said(self) if isinstance(shown, Said) else shown

    def day(self, day: dt.date) -> str:
        """5 Dec 2026."""
        return f"{day.day} {self.language.months[day.month - 1]} {day.year}"

    def long_day(self, day: dt.date) -> str:
        """5 December 2026, with whatever the language puts between."""
        between = " de " if self.code == "es" else " "
        return f"{day.day}{between}{self.language.long_months[day.month - 1]}{between}{day.year}"

    def weekday(self, day: dt.date) -> str:
        """Saturday."""
        return self.language.long_weekdays[day.weekday()]

    def dated(self, day: dt.date) -> str:
        """Sat 5 Dec 2026."""
        return f"{self.language.weekdays[day.weekday()]} {self.day(day)}"

    def ordinal(self, number: int) -> str:
        """The 2nd of a month; only English counts days so."""
        return ordinal(number) if self.code == ENGLISH else str(number)

    def moment(self, moment: dt.datetime) -> str:
        """05 Dec 2026, 14:03: the moment in the zone that it is in."""
        return f"{moment:%d} {self.language.months[moment.month - 1]} {moment:%Y, %H:%M}"

    def number(self, number: int) -> str:
        """12,431."""
        return self.grouped(number)

    def grouped(self, number: int) -> str:
        """A whole number with the language's own mark between the thousands."""
        return f"{number:,}".replace(",", self.language.group)

    def amount(self, minor: int, scale: int) -> str:
        """1,234.50."""
        whole, fraction = divmod(abs(minor), 10**scale)
        shown = f"{'-' if minor < 0 else ''}{self.grouped(whole)}"
        return f"{shown}{self.language.decimal}{fraction:0{scale}d}" if scale else shown

    def money(self, minor: int, unit: str, scale: int) -> str:
        """1,234.50 EUR."""
        return f"{self.amount(minor, scale)} {unit}"


# ------------------------------------------------------------------------------------------------ what staff wrote


@dataclass(frozen=True)
class Speeches:
    """Every language as it was when the overrides had this serial; replaced as a whole, never changed."""

    serial: int | None
    overrides: Mapping[str, Mapping[str, tuple[str, ...]]]
    made: dict[str, Speech] = field(default_factory=dict)

    def of(self, code: str) -> Speech:
        """The language `code`, or English for one that is not shipped."""
        found = self.made.get(code)
        if found is None:
            known = code if code in LANGUAGES else ENGLISH
            found = self.made[code] = Speech(language(known), self.overrides.get(known, {}))
        return found


def speeches(session: Session, serial: int | Literal["unknown"] | None = "unknown") -> Speeches:
    """Every language as it is now: the database is asked for the texts only if the highest serial is not the known one.

    Args:
        serial: the highest serial, if somebody has just read it.
    """
    kept: Speeches | None = current_app.extensions.get(_KEPT)
    try:
        if serial == "unknown":
            serial = session.connection().exec_driver_sql("SELECT max(serial) FROM translation_override").scalar()
        if kept is not None and kept.serial == serial:
            return kept
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        if serial is not None:
            columns = (TranslationOverride.language, TranslationOverride.key, TranslationOverride.forms)
            rows = session.execute(select(*columns).where(TranslationOverride.forms.is_not(None)))
            for code, key, forms in rows:
                found.setdefault(code, {})[key] = tuple(forms or ())
    except SQLAlchemyError:
        # A page that says what is wrong with the database must not fail for its own words.
        log.warning("the texts that staff have written could not be read", exc_info=True)
        return kept or Speeches(None, {})
    assert serial != "unknown"
    kept = Speeches(serial, found)
    current_app.extensions[_KEPT] = kept
    return kept


def speech_of(session: Session, code: str | None) -> Speech:
    """The language `code` as it is now; the default language where there is none, or one that is not shipped."""
    default: str = current_app.extensions["payadmin.settings"].default_language
    return speeches(session).of(code if code is not None and code in LANGUAGES else default)


# ------------------------------------------------------------------------------------------------ checks


def placeholders(text: str) -> tuple[str, ...]:
    """The names of the values that a text shows, sorted, each as often as it stands there."""
    return tuple(sorted(found[1] or found[2] for found in _PLACEHOLDER.finditer(text) if found[1] or found[2]))


def is_loose(text: str) -> bool:
    """Whether a per cent sign stands in a text that belongs to no value, so that no value can be put into the text."""
    return _STRAY.search(text.replace("%%", "")) is not None


def tags(text: str) -> tuple[str, ...]:
    """The tags in a text, sorted."""
    return tuple(sorted(found for found in _TAGS.findall(text) if found.startswith("<")))


def escaped(english: str, text: str) -> Markup:
    """`text` with everything escaped but the tags that `english` has."""
    known = set(_TAGS.findall(english))
    if not known:
        return escape(text)
    parts, at = [], 0
    for found in _TAGS.finditer(text):
        if found[0] in known:
            parts += [escape(text[at : found.start()]), Markup(found[0])]  # noqa: S704 - a tag of the program itself
            at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def check_forms(english: Sequence[str], forms: Sequence[str], code: str) -> None:
    """Refuse a translation that would not fit where its English stands.

    Args:
        english: the English, and for texts that depend on a number its plural.
        forms: the translation in the language's forms, in the order of their rule.
        code: the language.

    Raises:
        Invalid: a form is missing, too long or holds control characters; a value or a tag of the English is lost or
            one is there that the English does not have.
    """
    wanted = language(code).plurals if len(english) > 1 else 1
    if len(forms) != wanted or not all(form.strip() for form in forms):
        raise Invalid(_("Write every form of the text, or go back to the catalogue."), field="form0")
    for place, form in enumerate(forms):
        where = f"form{place}"
        if len(form) > LONGEST_TEXT:
            raise Invalid(_("At most %(number)s characters.", number=NumberText(LONGEST_TEXT)), field=where)
        if _UNWANTED.search(form):
            raise Invalid("This holds characters that cannot be stored.", field=where)
        _check_form(english, form, where, singular=len(english) > 1 and place == 0)


def _check_form(english: Sequence[str], form: str, where: str, *, singular: bool) -> None:
    known = set(placeholders(" ".join(english)))
    shown = set(placeholders(form))
    if strange := sorted(shown - known) or sorted(_written(form) - _written(" ".join(english))):
        raise Invalid(
            _("“%(name)s” is not a value of this text. Its values are listed above the field.", name=strange[0]),
            field=where,
        )
    lost = sorted(set(placeholders(english[-1])) - shown)
    if lost and not (singular and lost in ([name] for name in ("number", "count", "num", "n"))):
        raise Invalid(_("The value “%(name)s” is missing. Put it where it belongs.", name=lost[0]), field=where)
    if known and is_loose(form):
        raise Invalid("Write a per cent sign twice (%%) in this text.", field=where)
    if tags(form) != tags(english[-1]):
        wanted = " ".join(tags(english[-1])) or "–"
        if set(tags(english[-1])) - set(tags(form)):
            raise Invalid(_("The text must keep these marks: %(tags)s", tags=wanted), field=where)


def _written(text: str) -> set[str]:
    """The values of a text as they are written in it: a number's place takes no words, and braces are for scripts."""
    return {found[0] for found in _PLACEHOLDER.finditer(text)} - {"%%"}


def differing(catalogue: Catalog) -> Iterable[tuple[str, str]]:
    """The messages of a catalogue that would be refused as an override, and why; those not translated are left out."""
    code = str(catalogue.locale)
    for message in catalogue:
        said = forms_of(message)
        if not message.id or not any(said):
            continue
        english = list(message.id) if isinstance(message.id, tuple | list) else [message.id]
        try:
            check_forms(english, said, code)
        except Invalid as refusal:
            yield key_of(message), str(refusal.sentence)
