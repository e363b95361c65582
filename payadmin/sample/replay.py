"""Replay: a schedule fitted to the first half of each real series, held against the charges that came later.

The series are real card charges with the same card, merchant and amount. Nobody promises that they recur: a delivery
pass does, a tank of petrol for exactly 50 pounds does not. The first half alone decides which is which; both count.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from payadmin.kernel.schedules import ALL_MONTHS, LAST_DAY, IntervalUnit, Schedule, ScheduleKind, add_months, dates
from payadmin.sample.source import Recurrence, recurrences

NEAR, FAR = 1, 3  # business days
# What the fit pays, in hundredths: a real charge or a date of the schedule without a partner, or with one that is not
# exactly on its day. The cheapest schedule wins; among equals the first, which is the plainest.
ALONE, NEARLY, FARTHER = 100, 25, 60
# Regular: on average the charges of the first half are not told worse than one business day off.
REGULAR = NEARLY
MONTH_STEPS: Final = (1, 2, 3, 6, 12)
DAY_STEPS: Final = range(5, 101)
# Postings move by up to three business days, and a weekend with them.
SLACK: Final = dt.timedelta(days=5)
# Of these months the council published next to nothing: no charge can be found there.
UNPUBLISHED: Final = frozenset({(2014, 5), (2015, 4), (2017, 12)})


@dataclass(frozen=True)
class Match:
    """Real charges held against the dates of a schedule; each has at most one partner on the other side.

    `near` and `far` count what lies within one and three business days, the exact ones included; `charged` counts the
    dates of the schedule that were really charged.
    """

    charges: int
    exact: int
    near: int
    far: int
    dates: int
    charged: int

    @property
    def cost(self) -> int:
        """What the fit pays for this match."""
        alone = self.charges - self.far + self.dates - self.charged
        return ALONE * alone + NEARLY * (self.near - self.exact) + FARTHER * (self.far - self.near)


@dataclass(frozen=True)
class Replayed:
    """One series: the schedule fitted to its first half, how it tells that half, and how it foretells the other."""

    recurrence: Recurrence
    schedule: Schedule
    is_regular: bool
    seen: Match
    later: Match


def replay() -> list[Replayed]:
    """Fit a schedule to the first half of every real series, and count what it says about the second half."""
    return [_replay_one(recurrence) for recurrence in recurrences()]


def figures(replayed: Sequence[Replayed]) -> dict[str, Any]:
    """What came of a replay, as JSON holds it."""
    regular = [one for one in replayed if one.is_regular]
    return {
        "series": len(replayed),
        "charges": sum(len(one.recurrence.days) for one in replayed),
        "first_half": _total([one.seen for one in replayed]),
        "later": _total([one.later for one in replayed]),
        "regular": {
            "series": len(regular),
            "kinds": dict(sorted(Counter(_kind(one.schedule) for one in regular).items())),
            "first_half": _total([one.seen for one in regular]),
            "later": _total([one.later for one in regular]),
        },
    }


def table(found: dict[str, Any]) -> str:
    """What `figures` found, as lines for a terminal."""
    regular = found["regular"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in regular["kinds"].items())
    lines = [
        f"{found['series']} real series with {found['charges']:,} charges; schedules fitted to the first half of each.",
        f"{regular['series']} series are regular by their first half ({kinds}).",
        "",
        f"{'':<30}{'charges':>9}{'exact':>13}{'± 1 day':>13}{'± 3 days':>13}{'dates charged':>20}",
    ]
    for name, part in (
        ("first half, regular series", regular["first_half"]),
        ("LATER, regular series", regular["later"]),
        ("first half, all series", found["first_half"]),
        ("LATER, all series", found["later"]),
    ):
        cells = [
            f"{part[key]:>6} {100 * part[key] // part['charges']:>4} %"
            for key in ("exact", "within_1_business_day", "within_3_business_days")
        ]
        lines.append(
            f"{name:<30}{part['charges']:>9}"
            + "".join(f"{cell:>13}" for cell in cells)
            + f"{part['dates_charged']:>12} of {part['dates_foretold']:>4}"
        )
    lines += ["", "Days are business days. Dates charged: how many dates of the schedules saw a real charge."]
    return "\n".join(lines)


def fit(days: Sequence[dt.date]) -> tuple[Schedule, Match]:
    """The schedule that tells `days` (in order) best, and how well it does."""
    first, last = days[0] - SLACK, days[-1]
    best: tuple[Schedule, Match] | None = None
    for schedule in _candidates(days):
        match = hold_against(days, dates(schedule, first, last))
        if best is None or match.cost < best[1].cost:
            best = schedule, match
    assert best is not None
    return best


def hold_against(days: Sequence[dt.date], foretold: Sequence[dt.date], *, later_than: dt.date = dt.date.min) -> Match:
    """Give each real day the nearest date that is still free, exact ones first, and count the pairs.

    Args:
        days: the real charges, in order.
        foretold: the dates of a schedule, in order.
        later_than: count only what lies after this day; what lies before takes part in the pairing.
    """
    waiting, free = list(days), list(foretold)
    found: dict[int, int] = {}
    for distance in range(-1, FAR + 1):  # -1: the very day; 0: the weekend after its Friday
        for day in list(waiting):
            partner = next((date for date in free if _apart(day, date) <= distance), None)
            if partner is not None:
                waiting.remove(day)
                free.remove(partner)
                if day > later_than:
                    found[distance] = found.get(distance, 0) + 1
    told = sum(found.values())
    alone = sum(date > later_than and (date.year, date.month) not in UNPUBLISHED for date in free)
    return Match(
        charges=sum(day > later_than for day in days),
        exact=found.get(-1, 0),
        near=sum(count for distance, count in found.items() if distance <= NEAR),
        far=told,
        dates=told + alone,
        charged=told,
    )


def _replay_one(recurrence: Recurrence) -> Replayed:
    days = recurrence.days
    middle = days[(len(days) - 1) // 2]
    half = [day for day in days if day <= middle]
    schedule, seen = fit(half)
    foretold = dates(schedule, days[0] - SLACK, days[-1] + SLACK)
    later = hold_against(days, foretold, later_than=middle)
    return Replayed(recurrence, schedule, seen.cost <= REGULAR * len(half), seen, later)


def _candidates(days: Sequence[dt.date]) -> Iterator[Schedule]:
    """Rules worth trying: days of the month and steps of months near the real ones, and the steps of days seen."""
    # A charge that falls on a weekend is often posted on the Monday, so its day may lie one or two before.
    near = sorted({day.day - back for day in days for back in range(3) if day.day > back})
    for step in MONTH_STEPS:
        for number in near:
            if step == 1 and number <= LAST_DAY:
                yield Schedule(ScheduleKind.DATE, days=(number,), months=ALL_MONTHS)
            else:
                yield from (_every(IntervalUnit.MONTH, step, anchor) for anchor in _anchors(days[0], step, number))
    for step in sorted({(after - before).days for before, after in pairwise(days)}):
        if step in DAY_STEPS:
            anchors = {day - dt.timedelta(days=(day - days[0]).days // step * step) for day in days}
            yield from (_every(IntervalUnit.DAY, step, anchor) for anchor in sorted(anchors))


def _every(unit: IntervalUnit, count: int, anchor: dt.date) -> Schedule:
    return Schedule(ScheduleKind.INTERVAL, interval_unit=unit, interval_count=count, anchor=anchor)


def _anchors(first: dt.date, step: int, number: int) -> Iterator[dt.date]:
    """The days `number` of the month from which steps of months can begin, up to one step before `first`."""
    for back in range(step):
        month = add_months(first.replace(day=1), -back)
        if (anchor := add_months(month.replace(month=1, day=number), month.month - 1)).day == number:
            yield anchor


def _apart(day: dt.date, date: dt.date) -> int:
    """How many business days lie between two dates; -1 when they are the same."""
    return -1 if day == date else abs(_business(day) - _business(date))


def _business(day: dt.date) -> int:
    """The number of the business day; a weekend belongs to its Friday."""
    weeks, weekday = divmod(day.toordinal() - 1, 7)
    return weeks * 5 + min(weekday, 4)


def _kind(schedule: Schedule) -> str:
    unit = schedule.interval_unit
    return schedule.kind.name if unit is None else f"{schedule.kind.name} {unit.name}"


def _total(matches: Sequence[Match]) -> dict[str, int]:
    return {
        "charges": sum(match.charges for match in matches),
        "exact": sum(match.exact for match in matches),
        "within_1_business_day": sum(match.near for match in matches),
        "within_3_business_days": sum(match.far for match in matches),
        "dates_foretold": sum(match.dates for match in matches),
        "dates_charged": sum(match.charged for match in matches),
    }
