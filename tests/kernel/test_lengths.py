"""Periods of the calendar: where each begins and ends, and which one is before it."""

import datetime as dt

import pytest

from payadmin.kernel.lengths import ONE_DAY, Length

D = dt.date


@pytest.mark.parametrize(
    ("length", "day", "first", "last", "before", "name"),
    [
        (Length.DAY, D(2024, 3, 1), D(2024, 3, 1), D(2024, 3, 1), D(2024, 2, 29), "2024-03-01"),
        (Length.WEEK, D(2021, 1, 3), D(2020, 12, 28), D(2021, 1, 3), D(2020, 12, 21), "2020-W53"),
        (Length.MONTH, D(2024, 2, 29), D(2024, 2, 1), D(2024, 2, 29), D(2024, 1, 1), "2024-02"),
        (Length.QUARTER, D(2026, 11, 22), D(2026, 10, 1), D(2026, 12, 31), D(2026, 7, 1), "2026-Q4"),
        (Length.YEAR, D(2025, 6, 5), D(2025, 1, 1), D(2025, 12, 31), D(2024, 1, 1), "2025"),
    ],
)
def test_a_day_lies_in_one_period_of_each_length(
    length: Length, day: dt.date, first: dt.date, last: dt.date, before: dt.date, name: str
) -> None:
    assert (length.first(day), length.last(day), length.before(day)) == (first, last, before)
    assert length.name_of(day) == name


@pytest.mark.parametrize("length", list(Length))
def test_periods_follow_each_other_without_a_gap(length: Length) -> None:
    day = D(2019, 12, 25)
    for _ in range(1500):
        assert length.first(day) <= day <= length.last(day)
        assert length.first(length.last(day) + ONE_DAY) == length.last(day) + ONE_DAY
        assert length.last(length.before(day)) == length.first(day) - ONE_DAY
        day += ONE_DAY
