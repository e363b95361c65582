"""Schedules: which calendar dates a recurring charge falls due on, as pure functions of the rule and the bounds.

Dates are calendar dates of the business time zone, so a change of the clocks neither repeats nor loses one. The same
rule and bounds give the same dates however often and in whatever pieces they are asked for.
"""

import calendar
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import NumberText, OrdinalText, _, _n, day_text, listed

ALL_MONTHS = tuple(range(1, 13))
LAST_DAY = 28
MOST_COUNT = 1_000
MOST_DATES = 366
WEEKDAYS = (*(_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday")),)
MONTHS = (
    *(_("January"), _("February"), _("March"), _("April"), _("May"), _("June")),
    *(_("July"), _("August"), _("September"), _("October"), _("November"), _("December")),
)
_LAST_YEAR = 9998


class ScheduleKind(StrEnum):
    DAY = "Days of the week"
    DATE = "Days of the month"
    FULL_DATE = "Single dates"
    INTERVAL = "Regular interval"


class IntervalUnit(StrEnum):
    DAY = "Day"
    MONTH = "Month"


@dataclass(frozen=True)
class Schedule:
    """A rule that says when to charge. Only the fields of its kind count; the others stay empty.

    Args:
        kind: DAY: every such weekday of those months. DATE: those days of those months. FULL_DATE: those dates and no
            others. INTERVAL: the anchor, and every `interval_count` units after it; a month that is too short gives its
            last day, counted from the anchor each time (31 January, 28 February, 31 March).
        weekdays: 1 (Monday) to 7 (Sunday).
        days: 1 to 28, so that every month has them.
        months: 1 to 12; all of them is said by naming all of them.

    Raises:
        Invalid: the rule could never be met or says too little; `field` is the field to correct.
    """

    kind: ScheduleKind
    weekdays: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    dates: tuple[dt.date, ...] = ()
    interval_unit: IntervalUnit | None = None
    interval_count: int | None = None
    anchor: dt.date | None = None

    def __post_init__(self) -> None:
        for name in ("weekdays", "days", "months", "dates"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        match self.kind:
            case ScheduleKind.DAY:
                _within(self.weekdays, 1, 7, "weekdays", _("Choose at least one day of the week."))
                _within(self.months, 1, 12, "months", _("Choose at least one month; tick “all months” to mean all."))
            case ScheduleKind.DATE:
                _check_days(self.days)
                _within(self.months, 1, 12, "months", _("Choose at least one month; tick “all months” to mean all."))
            case ScheduleKind.FULL_DATE:
                if not 1 <= len(self.dates) <= MOST_DATES:
                    raise Invalid(_("Choose from 1 to %(most_dates)s dates.", most_dates=MOST_DATES), field="dates")
            case ScheduleKind.INTERVAL:
                _check_interval(self.interval_unit, self.interval_count, self.anchor)

    def __str__(self) -> str:
        match self.kind:
            case ScheduleKind.DAY:
                days = listed(WEEKDAYS[day - 1] for day in self.weekdays)
                if self.months == ALL_MONTHS:
                    return _("Every %(days)s", days=days)
                return _("Every %(days)s of %(months)s", days=days, months=_months(self.months))
            case ScheduleKind.DATE:
                days, count = listed(OrdinalText(day) for day in self.days), len(self.days)
                if self.months == ALL_MONTHS:
                    return _n("On the %(days)s of every month", "On the %(days)s of every month", count, days=days)
                months = _months(self.months)
                return _n(
                    "On the %(days)s of %(months)s", "On the %(days)s of %(months)s", count, days=days, months=months
                )
            case ScheduleKind.FULL_DATE:
                shown = [day_text(date) for date in self.dates[:3]]
                rest = len(self.dates) - len(shown)
                more = [_n("%(number)s more date", "%(number)s more dates", rest)] if rest else []
                return _("On %(dates)s", dates=listed([*shown, *more]))
            case ScheduleKind.INTERVAL:
                return self._interval()

    def _interval(self) -> str:
        assert self.interval_count is not None
        count, is_daily = self.interval_count, self.interval_unit is IntervalUnit.DAY
        # Two texts rather than the forms of one: “every 1 month” is no language's way to say it.
        if count == 1:
            every = _("Every day") if is_daily else _("Every month")
        else:
            number = NumberText(count)
            every = (
                _("Every %(number)s days", number=number) if is_daily else _("Every %(number)s months", number=number)
            )
        if self.anchor is None:
            return every
        return _("%(every)s from %(day)s", every=every, day=day_text(self.anchor))


def dates(schedule: Schedule, start: dt.date, end: dt.date) -> list[dt.date]:
    """The dates of `schedule` from `start` to `end`, both included, in order and each once."""
    match schedule.kind:
        case ScheduleKind.FULL_DATE:
            return [date for date in schedule.dates if start <= date <= end]
        case ScheduleKind.INTERVAL:
            return list(_intervals(schedule, start, end))
        case ScheduleKind.DATE:
            found = (
                dt.date(year, month, day) for year, month in _months_of(schedule, start, end) for day in schedule.days
            )
            return [date for date in found if start <= date <= end]
        case ScheduleKind.DAY:
            return [
                date
                for year, month in _months_of(schedule, start, end)
                for date in _days_of(year, month)
                if date.isoweekday() in schedule.weekdays and start <= date <= end
            ]


def next_dates(schedule: Schedule, after: dt.date, n: int, *, until: dt.date | None = None) -> list[dt.date]:
    """The first `n` dates later than `after`, none later than `until`; fewer when the schedule ends."""
    found: list[dt.date] = []
    last = min(until or dt.date(_LAST_YEAR, 12, 31), _last_possible(schedule))
    if after >= last:
        return found
    start, span = after + dt.timedelta(days=1), 62
    while len(found) < n and start <= last:
        end = min(last, start + dt.timedelta(days=min(span, (last - start).days)))
        found += dates(schedule, start, end)
        start, span = end + dt.timedelta(days=1), span * 2
    return found[:n]


def runs_per_year(schedule: Schedule, start: dt.date) -> int:
    """How often the schedule runs in the twelve months that begin on `start`."""
    if start.year > _LAST_YEAR:
        return 0
    return len(dates(schedule, start, add_months(start, 12) - dt.timedelta(days=1)))


def check(
    schedule: Schedule, *, start: dt.date, expiration: dt.date | None, today: dt.date, changed: bool = True
) -> None:
    """Refuse a schedule that makes no sense in these bounds.

    Args:
        start: no date earlier than this runs.
        expiration: no date later than this runs (SB3).
        today: the business day; what is past is not charged.
        changed: False for a schedule that was accepted before, whose first dates may have passed.

    Raises:
        Invalid: it ends before it starts, names past dates, or would never run; `field` is the field to correct.
    """
    if expiration is not None and expiration < start:
        raise Invalid("The expiration date lies before the start date.", field="expiration_date")
    if expiration is not None and expiration < today:
        raise Invalid("The expiration date has passed.", field="expiration_date")
    if schedule.kind is ScheduleKind.FULL_DATE and changed:
        past = [date for date in schedule.dates if date < today]
        if past:
            raise Invalid(
                _("%(past)s has passed: choose dates from %(today)s on.", past=past[0], today=today), field="dates"
            )
        outside = [date for date in schedule.dates if date < start or (expiration is not None and date > expiration)]
        if outside:
            raise Invalid(
                _("%(outside)s lies outside the start and expiration dates.", outside=outside[0]), field="dates"
            )
    if not next_dates(schedule, max(start, today) - dt.timedelta(days=1), 1, until=expiration):
        raise Invalid(
            "This schedule never runs between its start and expiration dates.",
            field="expiration_date" if expiration is not None else "kind",
        )


def add_months(date: dt.date, months: int) -> dt.date:
    """The same day `months` later, or the last day of a month that is too short."""
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    return dt.date(year, month + 1, min(date.day, calendar.monthrange(year, month + 1)[1]))


def _intervals(schedule: Schedule, start: dt.date, end: dt.date) -> Iterator[dt.date]:
    anchor, count = schedule.anchor, schedule.interval_count
    assert anchor is not None
    assert count is not None
    start = max(start, anchor)
    if schedule.interval_unit is IntervalUnit.DAY:
        first = anchor.toordinal() - (anchor - start).days // count * count
        yield from map(dt.date.fromordinal, range(first, end.toordinal() + 1, count))
        return
    # Counted from the anchor each time: clamping step by step would turn the 31st into the 28th for good.
    between = (start.year - anchor.year) * 12 + start.month - anchor.month
    last = (end.year - anchor.year) * 12 + end.month - anchor.month
    for months in range(max(0, between // count - 1) * count, last + 1, count):
        if start <= (date := add_months(anchor, months)) <= end:
            yield date


def _last_possible(schedule: Schedule) -> dt.date:
    return schedule.dates[-1] if schedule.kind is ScheduleKind.FULL_DATE else dt.date(_LAST_YEAR, 12, 31)


def _months_of(schedule: Schedule, start: dt.date, end: dt.date) -> Iterator[tuple[int, int]]:
    for number in range(start.year * 12 + start.month - 1, end.year * 12 + end.month):
        year, month = divmod(number, 12)
        if month + 1 in schedule.months:
            yield year, month + 1


def _days_of(year: int, month: int) -> Iterator[dt.date]:
    for day in range(1, calendar.monthrange(year, month)[1] + 1):
        yield dt.date(year, month, day)


def _check_days(days: tuple[int, ...]) -> None:
    if any(LAST_DAY < day <= LAST_DAY + 3 for day in days):
        raise Invalid(
            "The days 29, 30 and 31 are missing in some months: choose days from 1 to 28, or a monthly interval, "
            "which takes the last day of a short month.",
            field="days",
        )
    _within(days, 1, LAST_DAY, "days", _("Choose at least one day of the month."))


def _check_interval(unit: IntervalUnit | None, count: int | None, anchor: dt.date | None) -> None:
    if unit is None:
        raise Invalid("Choose days or months.", field="interval_unit")
    if count is None or not 1 <= count <= MOST_COUNT:
        raise Invalid(
            _("Enter a number from 1 to %(most_count)s.", most_count=NumberText(MOST_COUNT)), field="interval_count"
        )
    if anchor is None:
        raise Invalid("Enter the date of the first run.", field="anchor")


def _within(values: tuple[int, ...], low: int, high: int, field: str, empty: str) -> None:
    if not values:
        raise Invalid(empty, field=field)
    if values[0] < low or values[-1] > high:
        raise Invalid(_("Choose numbers from %(low)s to %(high)s.", low=low, high=high), field=field)


def _months(months: tuple[int, ...]) -> str:
    return listed(MONTHS[month - 1] for month in months)
