"""`payadmin faults schedules`: random rules in seven time zones for two years, ticks late, twice or set back (P10)."""

import datetime as dt
import random
from collections import Counter
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import click

from payadmin.actions.subscriptions.planning import HORIZON_DAYS, charges_of
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind
from payadmin.models.subscriptions import schedule_values
from tests.faults.stage import conclude

ZONES = (
    "UTC", "Europe/Rome", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Apia",
)  # fmt: skip
YEARS_DAYS = 730
STEP_BACK = dt.timedelta(hours=3)


@click.command()
@click.option("--rules", default=400, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(rules: int, seed: int, *, as_json: bool) -> None:
    """Plan every rule in every zone with irregular ticks; each meant date must be planned once, and no other."""
    chance = random.Random(seed)
    wrong: dict[str, list[str]] = {}
    planned = 0
    for _ in range(rules):
        rule, start = random_rule(chance), dt.date(2026, 1, 1) + dt.timedelta(days=chance.randrange(365))
        for zone in ZONES:
            found, differences = wrong_dates(rule, start, ZoneInfo(zone), chance)
            planned += found
            if differences:
                wrong[f"{rule} from {start} in {zone}"] = differences[:5]
    report = {
        "name": "schedules", "rules": rules, "zones": len(ZONES), "days": YEARS_DAYS, "seed": seed,
        "dates_planned": planned, "wrong": len(wrong),
    }  # fmt: skip
    conclude(report, wrong, as_json=as_json, ok=not wrong)


def random_rule(chance: random.Random) -> Schedule:
    """Any rule that the form lets staff make."""
    months = tuple(chance.sample(ALL_MONTHS, chance.choice((12, 12, chance.randint(1, 11)))))
    anchor = dt.date(2026, 1, 1) + dt.timedelta(days=chance.randrange(500))
    match chance.choice(list(ScheduleKind)):
        case ScheduleKind.DAY:
            return Schedule(
                ScheduleKind.DAY, weekdays=tuple(chance.sample(range(1, 8), chance.randint(1, 7))), months=months
            )
        case ScheduleKind.DATE:
            return Schedule(
                ScheduleKind.DATE, days=tuple(chance.sample(range(1, 29), chance.randint(1, 4))), months=months
            )
        case ScheduleKind.FULL_DATE:
            dates = tuple(anchor + dt.timedelta(days=chance.randrange(700)) for _ in range(chance.randint(1, 12)))
            return Schedule(ScheduleKind.FULL_DATE, dates=dates)
    unit = chance.choice(list(IntervalUnit))
    count = chance.randint(1, 45 if unit is IntervalUnit.DAY else 12)
    return Schedule(ScheduleKind.INTERVAL, interval_unit=unit, interval_count=count, anchor=anchor)


def wrong_dates(rule: Schedule, start: dt.date, zone: ZoneInfo, chance: random.Random) -> tuple[int, list[str]]:
    """Plan two years tick by tick, as schedulers do: how many dates were planned, and what is wrong with them."""
    row = SimpleNamespace(
        id=1, amount_minor=1, unit="EUR", start_date=start, expiration_date=None, planned_until=None,
        **schedule_values(rule),
    )  # fmt: skip
    now = dt.datetime.combine(start, dt.time(tzinfo=zone)).astimezone(dt.UTC)
    end = now + dt.timedelta(days=YEARS_DAYS)
    planned: Counter[dt.date] = Counter()
    ran: Counter[dt.date] = Counter()
    ticked: set[dt.date] = set()
    horizon = start
    while now < end:
        today = now.astimezone(zone).date()
        horizon = today + dt.timedelta(days=HORIZON_DAYS)
        if row.planned_until is None or row.planned_until < horizon:
            planned.update(charge["due_date"] for charge in charges_of(row, today, horizon, now))
            row.planned_until = horizon
        ticked.add(today)
        if planned[today] and not ran[today]:
            ran[today] += 1
        # Late by up to two days, the same moment again, or a clock that was set back.
        now += chance.choice((dt.timedelta(), -STEP_BACK, *(dt.timedelta(hours=chance.uniform(1, 48)),) * 6))
    every = (start + dt.timedelta(days=number) for number in range((row.planned_until - start).days + 1))
    meant_dates = {date for date in every if meant(rule, date)}
    wrong = [f"{date} planned {number} times" for date, number in planned.items() if number != 1]
    wrong += [f"{date} is missing" for date in sorted(meant_dates - set(planned))]
    wrong += [f"{date} was never meant" for date in sorted(set(planned) - meant_dates)]
    wrong += [f"{date} did not run on its day" for date in sorted(meant_dates & ticked) if ran[date] != 1]
    return len(planned), wrong


def meant(rule: Schedule, date: dt.date) -> bool:
    """Whether the rule means this day, said in another way than the code under test says it."""
    if rule.kind is ScheduleKind.DAY:
        return date.isoweekday() in rule.weekdays and date.month in rule.months
    if rule.kind is ScheduleKind.DATE:
        return date.day in rule.days and date.month in rule.months
    if rule.kind is ScheduleKind.FULL_DATE:
        return date in rule.dates
    assert rule.anchor is not None
    assert rule.interval_count is not None
    if date < rule.anchor:
        return False
    if rule.interval_unit is IntervalUnit.DAY:
        return (date - rule.anchor).days % rule.interval_count == 0
    apart = (date.year - rule.anchor.year) * 12 + date.month - rule.anchor.month
    is_last = (date + dt.timedelta(days=1)).month != date.month
    return apart % rule.interval_count == 0 and (
        date.day == rule.anchor.day or (is_last and date.day < rule.anchor.day)
    )
