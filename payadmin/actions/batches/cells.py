"""What a cell of a batch file means, or the sentence that says why it means nothing."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import parse_minor
from payadmin.kernel.schedules import ALL_MONTHS, LAST_DAY, Schedule, ScheduleKind, check
from payadmin.kernel.text import _
from payadmin.models.subscriptions import Purpose

E = TypeVar("E")

LAST_DAYS: Final = 366
LONGEST_MONTH: Final = 31
_ISO: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_LISTED: Final = re.compile(r"[;,|\s]+")
_NUMBER: Final = re.compile(r"[0-9]{1,2}", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[\x20-\x7e]+", re.ASCII)
# The form in which payadmin numbers recurring charges; a typed one could take the place of a later charge.
_OURS: Final = re.compile(r"[RB][0-9]{6,}-[0-9]{8}(?:-[0-9]+)?", re.ASCII)
_TOKEN: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_PHONE: Final = re.compile(r"\+?[0-9 ()./-]{5,31}", re.ASCII)
_WEEKDAYS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("MON", "MONDAY"),
            ("TUE", "TUESDAY"),
            ("WED", "WEDNESDAY"),
            ("THU", "THURSDAY"),
            ("FRI", "FRIDAY"),
            ("SAT", "SATURDAY"),
            ("SUN", "SUNDAY"),
        ),
        1,
    )
    for name in names
}
_SCHEDULE_COLUMNS: Final = {
    "weekdays": "days",
    "days": "days",
    "months": "months",
    "dates": "dates",
    "expiration_date": "end_date",
    "kind": "schedule",
}


def amount_of(text: str, unit: str, scales: Mapping[str, int]) -> int:
    """The minor units of an amount; without a known currency its decimals cannot be judged, and it is not."""
    return parse_minor(text, scales[unit])


def unit_of(text: str, scales: Mapping[str, int]) -> str:
    if text not in scales:
        known = ", ".join(sorted(scales)[:12])
        raise Invalid(_("%(text)s is not a currency that is taken here: %(known)s.", text=_shown(text), known=known))
    return text


def identifier_of(text: str) -> str:
    """A number by which systems know something: what every system can hold and send."""
    if not _IDENTIFIER.fullmatch(text):
        raise Invalid("Write it in letters, digits and signs of the English keyboard.")
    return text


def invoice_number_of(text: str) -> str:
    if _OURS.fullmatch(identifier_of(text)):
        raise Invalid("Numbers of this form are given by payadmin itself; choose another one.")
    return text


def token_of(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise Invalid("This is not a card token: no spaces, and signs of the English keyboard only.")
    return text


def note_of(text: str) -> str:
    """A line of free text."""
    if not text.isprintable():
        raise Invalid("Write it on one line, without signs that cannot be seen.")
    return text


def phone_of(text: str) -> str:
    if not _PHONE.fullmatch(text):
        raise Invalid("This is not a phone number, such as +44 7700 900123.")
    return text


def date_of(text: str, *, today: dt.date, past: str) -> dt.date:
    """A day from today to a year from now."""
    day = _day(text)
    if day < today:
        raise Invalid(_("%(day)s has passed: %(past)s %(today)s or later.", day=day, past=past, today=today))
    if day > today + dt.timedelta(days=LAST_DAYS):
        raise Invalid(_("%(day)s is more than a year ahead.", day=day))
    return day


def far_date_of(text: str) -> dt.date:
    """Any day of this century."""
    return _day(text)


def purpose_of(text: str) -> Purpose:
    return _one_of(text, {"RECURRING": Purpose.RECURRING, "REMINDER": Purpose.REMINDER})


def schedule_of(
    cells: Mapping[str, str], *, start: dt.date | None, end: dt.date | None, today: dt.date
) -> tuple[Schedule | None, list[tuple[str, str]]]:
    """The schedule that the cells of a row describe, or what is wrong, as (column, sentence).

    Args:
        cells: column → text.
        start: the start date, if that cell makes sense; without it the schedule cannot be judged as a whole.
    """
    wrong: list[tuple[str, str]] = []

    def read(column: str, reader: Callable[[str], Any]) -> Any:
        try:
            return reader(cells.get(column, ""))
        except Invalid as refusal:
            wrong.append((column, refusal.sentence))
            return None

    kind = read("schedule", _kind)
    if kind is None:
        return None, wrong
    values: dict[str, Any] = {}
    if kind is ScheduleKind.FULL_DATE:
        values["dates"] = read("dates", _dates)
    else:
        values["weekdays" if kind is ScheduleKind.DAY else "days"] = read(
            "days", _weekdays if kind is ScheduleKind.DAY else _days
        )
        values["months"] = read("months", _months)
    others = {"days", "months"} if kind is ScheduleKind.FULL_DATE else {"dates"}
    wrong += [
        (column, f"Leave this empty for a schedule {kind.name}.") for column in sorted(others) if cells.get(column)
    ]
    if wrong or start is None:
        return None, wrong
    try:
        schedule = Schedule(kind, **values)
        check(schedule, start=start, expiration=end, today=today)
    except Invalid as refusal:
        return None, [(_SCHEDULE_COLUMNS.get(refusal.field or "", "schedule"), refusal.sentence)]
    return schedule, []


def _kind(text: str) -> ScheduleKind:
    return _one_of(text, {"DAY": ScheduleKind.DAY, "DATE": ScheduleKind.DATE, "FULL_DATE": ScheduleKind.FULL_DATE})


def _one_of(text: str, words: Mapping[str, E]) -> E:
    found = words.get(text.upper().replace(" ", "_"))
    if found is None:
        raise Invalid(_("%(text)s is not one of %(words)s.", text=_shown(text), words=", ".join(words)))
    return found


def _weekdays(text: str) -> tuple[int, ...]:
    days = [_WEEKDAYS.get(word) or _WEEKDAYS.get(word.removesuffix(".")) for word in _words(text.upper())]
    if not days or None in days:
        raise Invalid("Write days of the week, such as MON; THU.")
    return tuple(day for day in days if day)


def _days(text: str) -> tuple[int, ...]:
    days = _numbers(text, f"Write days of the month from 1 to {LAST_DAY}, such as 1; 15.")
    if any(LAST_DAY < day <= LONGEST_MONTH for day in days):
        raise Invalid(
            "The days 29, 30 and 31 are missing in some months: write days from 1 to 28, or single dates with the "
            "schedule FULL_DATE."
        )
    return days


def _months(text: str) -> tuple[int, ...]:
    return (
        ALL_MONTHS if text.upper() == "ALL" else _numbers(text, _("Write months from 1 to 12, such as 1; 7, or ALL."))
    )


def _numbers(text: str, sentence: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(_NUMBER.fullmatch(word) for word in words):
        raise Invalid(sentence)
    return tuple(int(word) for word in words)


def _dates(text: str) -> tuple[dt.date, ...]:
    words = _words(text)
    if not words:
        raise Invalid("Write one date or more, such as 2027-01-31; 2027-06-30.")
    return tuple(_day(word) for word in words)


def _words(text: str) -> list[str]:
    return [word for word in _LISTED.split(text) if word]


def _day(text: str) -> dt.date:
    match = _ISO.fullmatch(text)
    try:
        day = dt.date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year < 2100:  # noqa: PLR2004 - anything else is a slip
        raise Invalid(_("%(text)s is not a date; write year, month and day as in 2027-01-31.", text=_shown(text)))
    return day


def _shown(text: str) -> str:
    return f'"{text[:30]}…"' if len(text) > 30 else f'"{text}"'  # noqa: PLR2004 - a sentence, not a rule
