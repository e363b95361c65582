"""Days that repeat: when a scheduled export is due, and which days lie behind it by then."""

import datetime as dt
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

LAST_DAY: Final = 28  # the last day that every month has
_DAY: Final = dt.timedelta(days=1)
_WEEK: Final = dt.timedelta(days=7)


class Rhythm(StrEnum):
    """How often."""

    DAILY = "Day"
    WEEKLY = "Week"
    MONTHLY = "Month"


class Period(StrEnum):
    """Whole days before a day, as people name them. Weeks begin on Monday."""

    YESTERDAY = "Yesterday"
    LAST_WEEK = "Last week"
    LAST_MONTH = "Last month"

    def days(self, today: dt.date) -> tuple[dt.date, dt.date]:
        """The first and the last day of the period, seen from `today`."""
        match self:
            case Period.YESTERDAY:
                return today - _DAY, today - _DAY
            case Period.LAST_WEEK:
                monday = today - dt.timedelta(days=today.weekday()) - _WEEK
                return monday, monday + 6 * _DAY
            case Period.LAST_MONTH:
                last = today.replace(day=1) - _DAY
                return last.replace(day=1), last


def first_due(
    rhythm: Rhythm,
    *,
    weekday: int | None,
    day: int | None,
    at_minute: int,
    after: dt.datetime,
    zone: ZoneInfo,
) -> dt.datetime:
    """The first moment after `after` at which something with this rhythm is due, in UTC.

    Args:
        weekday: 1 (Monday) to 7, for a week's rhythm.
        day: 1 to 28, for a month's rhythm.
        at_minute: the minute of the business day. On the day a clock is set forward, a time that does not exist falls
            as much later as the clock jumps; one that exists twice is the first.
        zone: the business time zone.
    """
    today = after.astimezone(zone).date()
    while True:
        due = _at(today, at_minute, zone)
        if due > after and _falls_on(today, rhythm, weekday, day):
            return due
        today += _DAY


def last_due(
    rhythm: Rhythm, *, weekday: int | None, day: int | None, at_minute: int, until: dt.datetime, zone: ZoneInfo
) -> dt.datetime:
    """The latest moment at or before `until` at which something with this rhythm was due, in UTC."""
    today = until.astimezone(zone).date()
    while True:
        due = _at(today, at_minute, zone)
        if due <= until and _falls_on(today, rhythm, weekday, day):
            return due
        today -= _DAY


def _falls_on(date: dt.date, rhythm: Rhythm, weekday: int | None, day: int | None) -> bool:
    match rhythm:
        case Rhythm.DAILY:
            return True
        case Rhythm.WEEKLY:
            return date.isoweekday() == weekday
        case Rhythm.MONTHLY:
            return date.day == day


def _at(date: dt.date, minute: int, zone: ZoneInfo) -> dt.datetime:
    local = dt.datetime.combine(date, dt.time(minute // 60, minute % 60), zone)
    return local.astimezone(dt.UTC)
