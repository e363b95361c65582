"""Days that repeat: when something is due and which days lie behind it, at the ends of weeks, months and summers."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from payadmin.kernel.periods import Period, Rhythm, first_due, last_due

pytestmark = pytest.mark.once

LONDON = ZoneInfo("Europe/London")
UTC = dt.UTC


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=LONDON).astimezone(UTC)


@pytest.mark.parametrize(
    ("period", "today", "first", "last"),
    [
        (Period.YESTERDAY, "2026-03-01", "2026-02-28", "2026-02-28"),
        (Period.YESTERDAY, "2028-03-01", "2028-02-29", "2028-02-29"),
        (Period.LAST_WEEK, "2026-03-02", "2026-02-23", "2026-03-01"),
        (Period.LAST_WEEK, "2026-03-08", "2026-02-23", "2026-03-01"),
        (Period.LAST_MONTH, "2026-01-31", "2025-12-01", "2025-12-31"),
        (Period.LAST_MONTH, "2026-03-15", "2026-02-01", "2026-02-28"),
    ],
)
def test_a_period_is_whole_days_seen_from_a_day(period: Period, today: str, first: str, last: str) -> None:
    found = period.days(dt.date.fromisoformat(today))
    assert [day.isoformat() for day in found] == [first, last]


@pytest.mark.parametrize(
    ("rhythm", "weekday", "day", "after", "due"),
    [
        (Rhythm.DAILY, None, None, "2026-01-05 07:29", "2026-01-05 07:30"),
        (Rhythm.DAILY, None, None, "2026-01-05 07:30", "2026-01-06 07:30"),
        (Rhythm.WEEKLY, 1, None, "2026-01-05 08:00", "2026-01-12 07:30"),
        (Rhythm.WEEKLY, 7, None, "2026-01-05 08:00", "2026-01-11 07:30"),
        (Rhythm.MONTHLY, None, 28, "2026-02-28 07:30", "2026-03-28 07:30"),
        (Rhythm.MONTHLY, None, 1, "2026-12-01 09:00", "2027-01-01 07:30"),
        # The clocks change on 29 March: the time of day stays.
        (Rhythm.DAILY, None, None, "2026-03-28 08:00", "2026-03-29 07:30"),
    ],
)
def test_the_next_moment_is_at_the_same_time_of_the_business_day(
    rhythm: Rhythm, weekday: int | None, day: int | None, after: str, due: str
) -> None:
    found = first_due(rhythm, weekday=weekday, day=day, at_minute=450, after=moment(after), zone=LONDON)
    assert found == moment(due)
    assert last_due(rhythm, weekday=weekday, day=day, at_minute=450, until=found, zone=LONDON) == found


def test_a_time_that_the_clocks_skip_is_later_that_day_and_one_that_comes_twice_is_due_once() -> None:
    skipped = first_due(
        Rhythm.DAILY, weekday=None, day=None, at_minute=90, after=moment("2026-03-28 12:00"), zone=LONDON
    )
    assert skipped == dt.datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    first = first_due(Rhythm.DAILY, weekday=None, day=None, at_minute=90, after=moment("2026-10-24 12:00"), zone=LONDON)
    assert first == dt.datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    following = first_due(Rhythm.DAILY, weekday=None, day=None, at_minute=90, after=first, zone=LONDON)
    assert following == dt.datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
