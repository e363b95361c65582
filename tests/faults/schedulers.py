"""`payadmin faults schedulers`: three at once, two with wrong clocks and one that freezes, and yet one plan (P6)."""

import datetime as dt
import time

import click
from sqlalchemy import func, select

from payadmin.actions.subscriptions.planning import HORIZON_DAYS
from payadmin.db import utcnow
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind, dates
from payadmin.models.subscriptions import ChargeAttempt, ScheduledCharge, Subscription
from tests.faults.books import compare, subscribe, wait_until_settled, with_database
from tests.faults.stage import DATABASES, Stage, conclude, say, started, wait_for_workers

WRONG_SECONDS = (0, 120, -120)
AWAKE_SECONDS = 10


@click.command()
@click.option("--subscriptions", default=300, show_default=True)
@click.option("--frozen-seconds", default=60, show_default=True, help="How long one scheduler is frozen.")
@click.option("--db", "database", type=click.Choice(DATABASES), default="postgresql", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(subscriptions: int, frozen_seconds: int, database: str, *, as_json: bool) -> None:
    """Plan and charge with three hosts; the attempts must be the due dates exactly.

    On PostgreSQL the clocks of two hosts are two minutes wrong. SQLite serves one host, which has one clock.
    """
    today = utcnow().date()
    rules = rules_from(today)
    skews = WRONG_SECONDS if database == "postgresql" else ()
    share = subscriptions // (2 * len(rules))
    with started(database, faults={"latency_s": 0.05}, workers=3, schedulers=3, skews=skews) as stage:
        wait_for_workers(stage)
        made = 0
        for rule in rules:
            subscribe(stage, made, made + share, rule)
            made += share
        time.sleep(3)
        for child in (stage.schedulers[1], stage.workers[1]):
            stage.freeze(child, frozen_seconds)
        say(f"one host of three is frozen for {frozen_seconds} s")
        for rule in rules:
            subscribe(stage, made, made + share, rule)
            made += share
        wait_until_settled(stage, made, 60 + frozen_seconds)
        time.sleep(frozen_seconds + AWAKE_SECONDS)
        rows, attempts = plan_of(stage)
        found = compare_today(stage, today)
    meant = {
        (f"K-{group * share + number:06}", date)
        for group, rule in enumerate([*rules, *rules])
        for number in range(share)
        for date in dates(rule, today, today + dt.timedelta(days=HORIZON_DAYS))
    }
    due = sum(date == today for _, date in meant)
    report = {
        "name": "schedulers", "database": database, "subscriptions": made, "dates": len(meant),
        "not_planned": len(meant - set(rows)), "planned_too_many": len(set(rows) - meant),
        "planned_twice": len(rows) - len(set(rows)), "due_today": due, "attempts": attempts, **found,
        "figures": {"frozen_seconds": frozen_seconds, "wrong_clocks": list(skews)},
    }  # fmt: skip
    wrong = ("not_planned", "planned_too_many", "planned_twice", "lost", "doubled", "phantom", "disagree")
    ok = attempts == due and not any(report[name] for name in wrong)
    conclude(report, {}, as_json=as_json, ok=ok)


def rules_from(today: dt.date) -> list[Schedule]:
    """Every kind of schedule, each with a run today."""
    month = today + dt.timedelta(days=31)
    return [
        Schedule(ScheduleKind.DAY, weekdays=(today.isoweekday(), 7), months=ALL_MONTHS),
        Schedule(ScheduleKind.DATE, days=(1, 15, min(today.day, 28)), months=ALL_MONTHS),
        Schedule(ScheduleKind.FULL_DATE, dates=(today, month)),
        Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=10, anchor=today),
        Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.MONTH, interval_count=1, anchor=today),
    ]


def plan_of(stage: Stage) -> tuple[list[tuple[str, dt.date]], int]:
    """Every planned date, and how many attempts there are."""
    planned = select(Subscription.subscription_id, ScheduledCharge.due_date).join(
        Subscription, Subscription.id == ScheduledCharge.subscription_id
    )
    rows = with_database(stage, lambda connection: connection.execute(planned).all())
    count = with_database(stage, lambda connection: connection.scalar(select(func.count()).select_from(ChargeAttempt)))
    return [tuple(row) for row in rows], count


def compare_today(stage: Stage, today: dt.date) -> dict[str, int]:
    """Compare the books of what fell due so far; the dates to come are neither lost nor stuck."""
    later = with_database(stage, lambda connection: connection.scalar(
        select(func.count()).select_from(ScheduledCharge).where(ScheduledCharge.due_date > today)))  # fmt: skip
    broken = compare(stage).broken
    return broken | {"lost": broken["lost"] - later, "stuck": broken["stuck"] - later}
