"""Whole periods of the calendar: the day, week, month, quarter or year that a day lies in, and those before it."""

import datetime as dt
from enum import StrEnum
from typing import Final

ONE_DAY: Final = dt.timedelta(days=1)


class Length(StrEnum):
    """How long a period is. Weeks begin on Monday, quarters in January, April, July and October."""

    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"
    QUARTER = "Quarter"
    YEAR = "Year"

    def first(self, day: dt.date) -> dt.date:
        """The first day of the period that `day` lies in."""
        match self:
            case Length.DAY:
                return day
            case Length.WEEK:
                return day - ONE_DAY * day.weekday()
            case Length.MONTH:
                return day.replace(day=1)
            case Length.QUARTER:
                return day.replace(month=day.month - (day.month - 1) % 3, day=1)
            case Length.YEAR:
                return day.replace(month=1, day=1)

    def last(self, day: dt.date) -> dt.date:
        """The last day of the period that `day` lies in."""
        # As many days later as the longest period has, which is always in the next one.
        return self.first(self.first(day) + ONE_DAY * _LONGEST[self]) - ONE_DAY

    def before(self, day: dt.date) -> dt.date:
        """The first day of the period before the one that `day` lies in."""
        return self.first(self.first(day) - ONE_DAY)

    def name_of(self, day: dt.date) -> str:
        """The period that `day` lies in, as files name it: 2026-11-22, 2026-W47, 2026-11, 2026-Q4, 2026."""
        match self:
            case Length.DAY:
                return day.isoformat()
            case Length.WEEK:
                year, week, _ = day.isocalendar()
                return f"{year}-W{week:02d}"
            case Length.MONTH:
                return f"{day.year}-{day.month:02d}"
            case Length.QUARTER:
                return f"{day.year}-Q{quarter_of(day)}"
            case Length.YEAR:
                return str(day.year)


def quarter_of(day: dt.date) -> int:
    """Which quarter of its year a day lies in, from 1 to 4."""
    return (day.month + 2) // 3


_LONGEST: Final = {Length.DAY: 1, Length.WEEK: 7, Length.MONTH: 31, Length.QUARTER: 92, Length.YEAR: 366}
