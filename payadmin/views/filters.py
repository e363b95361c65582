"""Typed filters of a list: each reads its own argument of the URL and becomes one condition; junk is refused."""

import datetime as dt
import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import current_app
from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import InstrumentedAttribute

from payadmin.db import db
from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.money import decimal_text, parse_minor
from payadmin.kernel.text import Text, _, day_text
from payadmin.views.columns import Column, Kind, is_hidden, label_of, money_text, scope_of, titles_of, unit_scale, zone
from payadmin.views.language import say

T = TypeVar("T")

LONGEST_VALUE = 200
LARGEST_ID = 2**63 - 1
MOST_OPTIONS = 200
MOST_LINKS = 20
RANGE = ".."
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9_-]{1,12}", re.ASCII)


class BadAddress(Refusal):
    """An address of a list that makes no sense. It is refused, never read as something wider."""

    code = "bad_address"
    status = 400


@dataclass(frozen=True)
class Choice:
    """One value a filter offers."""

    value: str
    label: str


@dataclass(frozen=True)
class Active:
    """A filter in use: its condition and how the page says it.

    `unit` is the only unit rows can have under it, if it pins one: amounts may then be sorted and added.
    """

    where: ColumnElement[bool]
    summary: str
    values: tuple[str, ...]
    fields: Mapping[str, str]
    unit: str | None = None


class Filter:
    """A filter on one column. Subclasses say which inputs its form has and what a value means."""

    widget = "text"
    parts: tuple[str, ...] = ()
    repeatable = False

    def __init__(self, column: Column) -> None:
        self.column = column
        self.key = column.key
        self.label = column.label

    def read(self, values: list[str]) -> Active:
        """The condition that `values` (at least one, none empty) ask for; BadAddress when they make no sense."""
        raise NotImplementedError

    def joined(self, parts: Mapping[str, str]) -> list[str]:
        """The canonical values made from the form's separate inputs."""
        return [f"{parts.get('from', '')}{RANGE}{parts.get('to', '')}"]

    def choices(self) -> list[Choice]:
        """What the form offers, for filters that choose."""
        return []

    def refuse(self, value: str) -> BadAddress:
        """The answer to a value that makes no sense."""
        return BadAddress(
            _("“%(value)s” is not a value that %(filter)s can be filtered by.", value=value[:40], filter=self.label)
        )


class EnumFilter(Filter):
    """Any of several states."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        members = self.column.members or enum.Enum
        try:
            chosen = [members[value] for value in dict.fromkeys(values)]
        except KeyError as unknown:
            raise self.refuse(str(unknown.args[0])) from None
        words = ", ".join(say(label_of(member)) for member in chosen)
        return Active(self.column.attr.in_(chosen), words, tuple(member.name for member in chosen), {})

    def choices(self) -> list[Choice]:
        return [Choice(member.name, label_of(member)) for member in self.column.members or ()]


class CodeFilter(Filter):
    """Any of several codes of a small table (methods, units)."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        codes = tuple(dict.fromkeys(values))
        if len(codes) > MOST_OPTIONS:
            raise self.refuse(codes[MOST_OPTIONS])
        unit = codes[0] if len(codes) == 1 else None
        return Active(self.column.attr.in_(codes), ", ".join(codes), codes, {}, unit)

    def choices(self) -> list[Choice]:
        target, title = self.column.target_attr, self.column.title_attr
        assert target is not None
        found = db.session.execute(
            select(target, target if title is None else title)
            .order_by(target if title is None else title)
            .limit(MOST_OPTIONS)
        )
        return [Choice(code, name) for code, name in found]


class FlagFilter(Filter):
    """Yes or no."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        wanted = {"yes": True, "no": False}.get(values[0])
        if wanted is None:
            raise self.refuse(values[0])
        return Active(self.column.attr.is_(wanted), say(_("yes") if wanted else _("no")), tuple(values), {})

    def choices(self) -> list[Choice]:
        return [Choice("yes", Text("Yes")), Choice("no", Text("No"))]


class DayFilter(Filter):
    """Days from and to, both included, in the business time zone: a day, `from..to`, `from..` or `..to`."""

    widget = "days"
    parts = ("from", "to")

    def read(self, values: list[str]) -> Active:
        start, end = _ends(values[0], self._day)
        if start and end and end < start:
            raise BadAddress(_("%(filter)s: the first day is after the last one.", filter=self.label))
        fields = {"from": start.isoformat() if start else "", "to": end.isoformat() if end else ""}
        where = [self.column.attr >= self._first(start)] if start else []
        if end:
            where.append(self.column.attr < self._first(end + dt.timedelta(days=1)))
        return Active(and_(*where), _range_text(start, end, day_text), tuple(values), fields)

    def _day(self, text: str) -> dt.date:
        return day_of(text, self.label)

    def _first(self, day: dt.date) -> Any:
        return moment_of(day) if self.column.kind is Kind.MOMENT else day


class NumberFilter(Filter):
    """A whole number or a range of them."""

    widget = "numbers"
    parts = ("from", "to")

    def read(self, values: list[str]) -> Active:
        start, end = _ends(values[0], self._number)
        where = [] if start is None else [self.column.attr >= start]
        if end is not None:
            where.append(self.column.attr <= end)
        fields = {"from": "" if start is None else str(start), "to": "" if end is None else str(end)}
        return Active(and_(*where), _range_text(start, end, str), tuple(values), fields)

    def _number(self, text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise self.refuse(text)
        return int(text)


class MoneyFilter(Filter):
    """One unit (`EUR:..`), and an exact amount or a range in it: amounts of two units cannot be compared."""

    widget = "money"
    parts = ("unit", "from", "to")

    def __init__(self, column: Column, unit: Column) -> None:
        super().__init__(column)
        self.unit = unit

    def read(self, values: list[str]) -> Active:
        code, colon, amounts = values[0].partition(":")
        if not colon or not _UNIT.fullmatch(code):
            raise BadAddress(_("%(filter)s: name the currency first, such as EUR:10.00..20.00.", filter=self.label))
        scale = unit_scale(code)
        if scale is None:
            raise BadAddress(_("%(filter)s: %(unit)s is not a known currency.", filter=self.label, unit=code))
        start, end = (None, None) if amounts == RANGE else _ends(amounts, lambda text: self._minor(text, scale))
        where = [self.unit.attr == code]
        if start is not None:
            where.append(self.column.attr >= start)
        if end is not None:
            where.append(self.column.attr <= end)
        texts = {"from": start, "to": end}
        fields = {key: "" if minor is None else decimal_text(minor, scale) for key, minor in texts.items()}
        summary = code if amounts == RANGE else _range_text(start, end, lambda minor: money_text(minor, code))
        return Active(and_(*where), summary, tuple(values), {"unit": code, **fields}, code)

    def joined(self, parts: Mapping[str, str]) -> list[str]:
        return [f"{parts.get('unit', '')}:{amounts}" for amounts in super().joined(parts)]

    def choices(self) -> list[Choice]:
        if self.unit.kind is Kind.CODE:
            return CodeFilter(self.unit).choices()
        return [Choice("", "")]

    def _minor(self, text: str, scale: int) -> int:
        try:
            return parse_minor(text, scale, allow_zero=True)
        except Invalid as refusal:
            raise BadAddress(_("%(filter)s: %(sentence)s", filter=self.label, sentence=refusal.sentence)) from None


class TextFilter(Filter):
    """Exactly this text, or everything that begins with it when it ends in `*`."""

    def __init__(self, column: Column, begins: Callable[[str], ColumnElement[bool]] | None) -> None:
        super().__init__(column)
        self.begins = begins

    def read(self, values: list[str]) -> Active:
        text = values[0]
        if text.endswith("*"):
            if self.begins is None or len(text) < 2:  # noqa: PLR2004 - at least one character before the star
                raise self.refuse(text)
            refuse_guesses(self.column)
            return Active(self.begins(text[:-1]), say(_("begins with %(text)s", text=text[:-1])), (text,), {})
        return Active(self.column.attr == text, text, (text,), {})


class UuidFilter(Filter):
    """Exactly this identifier."""

    def read(self, values: list[str]) -> Active:
        import uuid  # noqa: PLC0415

        try:
            wanted = uuid.UUID(values[0])
        except ValueError:
            raise self.refuse(values[0]) from None
        return Active(self.column.attr == wanted, str(wanted), (values[0],), {})


class LinkFilter(Filter):
    """Rows that point to one of some related rows: by their numbers, or by a name typed into the form."""

    widget = "lookup"
    parts = ("find",)
    repeatable = True

    def read(self, values: list[str]) -> Active:
        ids = [row_id_of(value) for value in dict.fromkeys(values)]
        wanted = {row_id for row_id in ids if row_id is not None}
        if None in ids or len(ids) > MOST_LINKS:
            raise self.refuse(values[0])
        names = titles_of(self.column, wanted)
        summary = ", ".join(names.get(row_id, say(_("No. %(number)s", number=row_id))) for row_id in sorted(wanted))
        return Active(self.column.attr.in_(wanted), summary, tuple(dict.fromkeys(values)), {})

    def joined(self, parts: Mapping[str, str]) -> list[str]:
        """The numbers of the related rows whose name is, or begins with, what was typed."""
        typed = parts.get("find", "")
        if row_id_of(typed) is not None:
            return [typed]
        found = found_by_name(self.column, typed, MOST_LINKS + 1)
        if not found:
            raise BadAddress(
                _("%(filter)s: nothing is called “%(name)s”, and no name begins so.", filter=self.label, name=typed)
            )
        if len(found) > MOST_LINKS:
            raise BadAddress(
                _(
                    "%(filter)s: more than %(number)s names begin with “%(name)s”. Type more of it.",
                    filter=self.label,
                    number=MOST_LINKS,
                    name=typed,
                )
            )
        return [str(row_id) for row_id in found]


def found_by_name(column: Column, typed: str, most: int) -> list[int]:
    """The related rows in scope whose name begins with what was typed."""
    title, target = column.title_attr, column.target_attr
    if title is None or target is None or not typed:
        return []
    scope = scope_of(column).where(begins_with(title, typed)).limit(most)
    return list(db.session.scalars(scope.with_only_columns(target, maintain_column_froms=True)))


def begins_with(attr: InstrumentedAttribute[Any], text: str) -> ColumnElement[bool]:
    """Rows whose `attr` begins with `text`, in the form that each database answers from an index.

    Whoever sees the column masked finds only rows where `text` is the whole of it.

    SQLite compares text by bytes, so a prefix is a range there (its LIKE ignores case and therefore the index).
    PostgreSQL turns LIKE into a range itself when the index has `varchar_pattern_ops` or the C collation.
    """
    if is_hidden(attr):
        return attr == text
    if db.session.get_bind().dialect.name == "sqlite":
        return and_(attr >= text, attr < text + chr(0x10FFFF))
    return attr.startswith(text, autoescape=True)


def refuse_guesses(column: Column) -> None:
    """Refuse to look for the beginning of what the person signed in sees masked."""
    if is_hidden(column.attr):
        raise BadAddress(
            _("%(column)s: you see it masked, so only a whole value can be looked for.", column=column.label)
        )


def filter_for(
    column: Column, columns: Mapping[str, Column], begins: Callable[[str], ColumnElement[bool]] | None = None
) -> Filter | None:
    """The filter that fits the column, or None for what cannot be filtered (structured values)."""
    match column.kind:
        case Kind.MONEY:
            unit = next((other for other in columns.values() if other.name == column.unit_key), None)
            return MoneyFilter(column, unit) if unit else None
        case Kind.TEXT:
            return TextFilter(column, begins)
        case Kind.JSON:
            return None
    return _SIMPLE[column.kind](column)


_SIMPLE: dict[Kind, type[Filter]] = {
    Kind.ENUM: EnumFilter,
    Kind.CODE: CodeFilter,
    Kind.FLAG: FlagFilter,
    Kind.MOMENT: DayFilter,
    Kind.DAY: DayFilter,
    Kind.NUMBER: NumberFilter,
    Kind.LINK: LinkFilter,
    Kind.UUID: UuidFilter,
}


def day_of(text: str, label: str) -> dt.date:
    """A day written as 2026-01-31; years that no calendar needs are refused."""
    try:
        day = dt.date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not 1900 <= day.year <= 2200:  # noqa: PLR2004 - time zones overflow at the calendar's ends
        raise BadAddress(_("%(filter)s: write days as 2026-01-31.", filter=label))
    return day


def moment_of(day: dt.date) -> dt.datetime:
    """The moment a day begins in the business time zone."""
    return dt.datetime.combine(day, dt.time(), zone()).astimezone(dt.UTC)


def row_id_of(text: str) -> int | None:
    """A row's id as URLs and forms carry it, or None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):  # noqa: PLR2004 - digits of 2**63
        return None
    row_id = int(text)
    return row_id if 0 < row_id <= LARGEST_ID else None


def _ends(text: str, read: Callable[[str], T]) -> tuple[T | None, T | None]:
    first, dots, last = text.partition(RANGE)
    if not dots:
        only = read(first)
        return only, only
    if not first and not last:
        raise BadAddress("A range needs at least one end.")
    return (read(first) if first else None), (read(last) if last else None)


def _range_text(start: Any, end: Any, show: Callable[[Any], str]) -> str:
    if start is None and end is None:
        return say(_("any"))
    if start is None:
        return say(_("up to %(end)s", end=show(end)))
    if end is None:
        return say(_("from %(start)s", start=show(start)))
    return say(show(start)) if start == end else f"{say(show(start))} – {say(show(end))}"


def business_zone_name() -> str:
    """The zone in which days of filters begin and end, as the form says it."""
    return str(current_app.extensions["payadmin.settings"].business_tz)


def clean(values: Iterable[str]) -> list[str]:
    """Values of one argument without the empty ones; control characters and overlong values are refused."""
    kept = [value for value in values if value]
    if any(len(value) > LONGEST_VALUE or not value.isprintable() for value in kept):
        raise BadAddress("An argument of this address is too long or holds control characters.")
    return kept
