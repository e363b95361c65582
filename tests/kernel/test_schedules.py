"""Schedules: the golden vectors, what is refused and why, and properties of every rule there can be."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payadmin.kernel.errors import Invalid
from payadmin.kernel.schedules import (
    ALL_MONTHS,
    IntervalUnit,
    Schedule,
    ScheduleKind,
    check,
    dates,
    next_dates,
    runs_per_year,
)

pytestmark = pytest.mark.once

D = dt.date
DAY, DATE, FULL_DATE, INTERVAL = ScheduleKind
MONTHLY_31 = Schedule(INTERVAL, interval_unit=IntervalUnit.MONTH, interval_count=1, anchor=D(2026, 1, 31))
FORTNIGHT = Schedule(INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=14, anchor=D(2026, 1, 1))


@pytest.mark.parametrize(
    ("year", "days"), [(2024, [2, 9, 16, 23, 30]), (2025, [1, 8, 15, 22, 29]), (2026, [7, 14, 21, 28])]
)
def test_mondays_of_december_are_the_golden_ones(year: int, days: list[int]) -> None:
    mondays = Schedule(DAY, weekdays=(1,), months=(12,))
    assert dates(mondays, D(year, 1, 1), D(year, 12, 31)) == [D(year, 12, day) for day in days]


def test_days_of_the_month_are_the_golden_ones() -> None:
    february = Schedule(DATE, days=(28,), months=(2,))
    assert dates(february, D(2025, 1, 1), D(2026, 12, 31)) == [D(2025, 2, 28), D(2026, 2, 28)]
    twice = Schedule(DATE, days=(15, 1), months=ALL_MONTHS)
    assert runs_per_year(twice, D(2026, 1, 1)) == 24
    assert next_dates(twice, D(2026, 1, 1), 3) == [D(2026, 1, 15), D(2026, 2, 1), D(2026, 2, 15)]


def test_single_dates_run_on_those_dates_only() -> None:
    schedule = Schedule(FULL_DATE, dates=(D(2028, 2, 29), D(2026, 2, 28)))
    assert next_dates(schedule, D(2026, 1, 1), 12) == [D(2026, 2, 28), D(2028, 2, 29)]


def test_intervals_are_counted_from_the_anchor() -> None:
    assert next_dates(MONTHLY_31, D(2026, 1, 30), 6) == [
        D(2026, 1, 31), D(2026, 2, 28), D(2026, 3, 31), D(2026, 4, 30), D(2026, 5, 31), D(2026, 6, 30),
    ]  # fmt: skip
    assert next_dates(FORTNIGHT, D(2025, 12, 31), 5) == [
        D(2026, 1, 1), D(2026, 1, 15), D(2026, 1, 29), D(2026, 2, 12), D(2026, 2, 26),
    ]  # fmt: skip


def test_a_schedule_says_itself_in_words() -> None:
    assert str(Schedule(DAY, weekdays=(1, 5), months=ALL_MONTHS)) == "Every Monday and Friday"
    assert str(Schedule(DATE, days=(1, 22), months=ALL_MONTHS)) == "On the 1st and 22nd of every month"
    assert str(Schedule(DATE, days=(3,), months=(2, 12))) == "On the 3rd of February and December"
    assert str(FORTNIGHT) == "Every 14 days from 1 Jan 2026"
    assert str(MONTHLY_31) == "Every month from 31 Jan 2026"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": DAY, "months": (1,)}, "weekdays"),
        ({"kind": DAY, "weekdays": (8,), "months": (1,)}, "weekdays"),
        ({"kind": DAY, "weekdays": (1,)}, "months"),
        ({"kind": DATE, "days": (29,), "months": (3,)}, "days"),
        ({"kind": DATE, "days": (31,), "months": (1,)}, "days"),
        ({"kind": DATE, "days": (0,), "months": (1,)}, "days"),
        ({"kind": DATE, "days": (1,), "months": (13,)}, "months"),
        ({"kind": DATE, "months": (1,)}, "days"),
        ({"kind": FULL_DATE}, "dates"),
        ({"kind": INTERVAL, "interval_count": 1, "anchor": D(2026, 1, 1)}, "interval_unit"),
        ({"kind": INTERVAL, "interval_unit": IntervalUnit.DAY, "anchor": D(2026, 1, 1)}, "interval_count"),
        ({"kind": INTERVAL, "interval_unit": IntervalUnit.DAY, "interval_count": 0}, "interval_count"),
        ({"kind": INTERVAL, "interval_unit": IntervalUnit.DAY, "interval_count": 1}, "anchor"),
    ],
)
def test_a_rule_that_says_too_little_or_the_impossible_is_refused_at_its_field(
    values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        Schedule(**values)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("schedule", "start", "expiration", "field"),
    [
        (FORTNIGHT, D(2026, 3, 1), D(2026, 2, 1), "expiration_date"),
        (FORTNIGHT, D(2025, 3, 1), D(2026, 1, 1), "expiration_date"),
        (FORTNIGHT, D(2026, 3, 27), D(2026, 4, 8), "expiration_date"),
        (Schedule(FULL_DATE, dates=(D(2026, 3, 16),)), D(2026, 1, 1), None, "dates"),
        (Schedule(FULL_DATE, dates=(D(2026, 3, 18),)), D(2026, 3, 20), None, "dates"),
        (Schedule(DATE, days=(1,), months=(2,)), D(2026, 3, 17), D(2027, 1, 31), "expiration_date"),
    ],
)
def test_a_schedule_that_would_never_run_is_refused_with_its_reason(
    schedule: Schedule, start: dt.date, expiration: dt.date | None, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check(schedule, start=start, expiration=expiration, today=D(2026, 3, 17))
    assert refused.value.field == field


days = st.dates(min_value=D(2020, 1, 1), max_value=D(2032, 12, 31))
some_months = st.sets(st.sampled_from(ALL_MONTHS), min_size=1).map(tuple)
rules = st.one_of(
    st.builds(Schedule, st.just(DAY), weekdays=st.sets(st.integers(1, 7), min_size=1).map(tuple), months=some_months),
    st.builds(Schedule, st.just(DATE), days=st.sets(st.integers(1, 28), min_size=1).map(tuple), months=some_months),
    st.builds(Schedule, st.just(FULL_DATE), dates=st.sets(days, min_size=1, max_size=20).map(tuple)),
    st.builds(
        Schedule,
        st.just(INTERVAL),
        interval_unit=st.sampled_from(IntervalUnit),
        interval_count=st.integers(1, 90),
        anchor=days,
    ),
)


def meant(schedule: Schedule, date: dt.date) -> bool:
    """Whether the rule means this day, said in another way than the code under test says it."""
    match schedule.kind:
        case ScheduleKind.DAY:
            return date.isoweekday() in schedule.weekdays and date.month in schedule.months
        case ScheduleKind.DATE:
            return date.day in schedule.days and date.month in schedule.months
        case ScheduleKind.FULL_DATE:
            return date in schedule.dates
    assert schedule.anchor is not None
    assert schedule.interval_count is not None
    if date < schedule.anchor:
        return False
    if schedule.interval_unit is IntervalUnit.DAY:
        return (date - schedule.anchor).days % schedule.interval_count == 0
    apart = (date.year - schedule.anchor.year) * 12 + date.month - schedule.anchor.month
    last = (date + dt.timedelta(days=1)).month != date.month
    return apart % schedule.interval_count == 0 and (
        date.day == schedule.anchor.day or (last and date.day < schedule.anchor.day)
    )


@settings(max_examples=400, deadline=None)
@given(rules, days, st.integers(0, 800))
def test_dates_are_sorted_unique_inside_the_bounds_and_exactly_what_the_rule_means(
    schedule: Schedule, start: dt.date, span: int
) -> None:
    end = start + dt.timedelta(days=span)
    found = dates(schedule, start, end)
    assert found == sorted(set(found))
    every = [start + dt.timedelta(days=day) for day in range(span + 1)]
    assert found == [date for date in every if meant(schedule, date)]


@settings(max_examples=200, deadline=None)
@given(rules, days, st.integers(0, 400), st.lists(st.integers(0, 400), max_size=6))
def test_planning_in_pieces_again_and_late_gives_the_same_dates(
    schedule: Schedule, start: dt.date, span: int, cuts: list[int]
) -> None:
    end = start + dt.timedelta(days=span)
    planned: set[dt.date] = set()
    for cut in [*cuts, span]:
        planned |= set(dates(schedule, start, start + dt.timedelta(days=min(cut, span))))
    assert sorted(planned) == dates(schedule, start, end)
    first = dates(schedule, start, end)[:12]
    assert next_dates(schedule, start - dt.timedelta(days=1), 12, until=end) == first
