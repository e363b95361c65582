"""Both sides' books in a fault run: what falls due, whether it has settled, and every difference to the provider.

lost       due, but neither captured nor declined           doubled   captured more than once
phantom    captured, but unknown to us                      disagree  shown otherwise than captured
stuck      not settled when the patience ran out
"""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from payadmin.db import make_engine, utcnow
from payadmin.kernel.schedules import Schedule, ScheduleKind
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import (
    OVER,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    schedule_values,
)
from tests.faults.stage import Stage, say

AMOUNT = 10_00
NONE_OF_THESE = ("lost", "doubled", "phantom", "disagree", "stuck")
LATE_SECONDS = 5


@dataclass(frozen=True)
class Found:
    """What a comparison found: how many of each kind, examples of them, and the figures of the run."""

    broken: dict[str, int]
    examples: dict[str, list[str]]
    figures: dict[str, Any]

    @property
    def is_sound(self) -> bool:
        return not any(self.broken.values())


def with_database(stage: Stage, act: Any) -> Any:
    """Do something in the database, again while it is away."""
    for _ in range(60):
        engine = make_engine(stage.url)
        try:
            with engine.connect().execution_options(immediate=True) as connection, connection.begin():
                return act(connection)
        except DBAPIError:
            time.sleep(1)
        finally:
            engine.dispose()
    raise RuntimeError("the database did not come back")


def subscribe(stage: Stage, first: int, last: int, schedule: Schedule | None = None) -> None:
    """Subscriptions that fall due today unless a schedule says otherwise; the schedulers of the run plan them."""
    today = utcnow().date()
    columns = schedule_values(schedule or Schedule(ScheduleKind.FULL_DATE, dates=(today,)))
    rows = [
        {
            "subscription_id": f"K-{number:06}",
            "billing_number": f"K-{number:06}",
            "status": SubscriptionStatus.ACTIVE,
            "customer_id": 1,
            "merchant_id": 1,
            "amount_minor": AMOUNT + number,
            "unit": "EUR",
            "method": "card",
            "provider": "simulator",
            "card_token": "tok_visa",
            "start_date": today,
            **columns,
        }
        for number in range(first, last)
    ]
    if rows:
        with_database(stage, lambda connection: connection.execute(insert(Subscription), rows))


def settled(stage: Stage) -> int:
    """How many charges have come to an end."""
    count = select(func.count()).select_from(ScheduledCharge).where(ScheduledCharge.status.in_(OVER))
    found: int = with_database(stage, lambda connection: connection.scalar(count))
    return found


def wait_until_settled(stage: Stage, charges: int, patience: float) -> None:
    """Wait until so many charges have come to an end, or the patience has."""
    until = time.monotonic() + patience
    shown = 0.0
    while time.monotonic() < until:
        found = settled(stage)
        if found >= charges:
            return
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            say(f"{found} of {charges} settled")
        time.sleep(0.5)


def compare(stage: Stage) -> Found:
    """Compare the provider's ledger with ours, charge by charge."""
    time.sleep(LATE_SECONDS)  # what came late to the provider is captured by now
    ledger = stage.provider("GET", "/_ctl/ledger")["captured"]
    stats = stage.provider("GET", "/_ctl/stats")
    rows = with_database(stage, lambda connection: connection.execute(
        select(
            Subscription.subscription_id, Subscription.amount_minor, ScheduledCharge.id, ScheduledCharge.status,
            ScheduledCharge.invoice_number, ScheduledCharge.attempts, Payment.id, Payment.captured_minor,
            Payment.provider_payment_id,
        )
        .select_from(Subscription)
        .outerjoin(ScheduledCharge, ScheduledCharge.subscription_id == Subscription.id)
        .outerjoin(Payment, Payment.id == ScheduledCharge.payment_id)
    ).all())  # fmt: skip
    payments = with_database(stage, lambda connection: connection.scalar(select(func.count()).select_from(Payment)))
    attempts = with_database(stage, lambda connection: dict(connection.execute(
        select(ChargeAttempt.state, func.count()).group_by(ChargeAttempt.state)).all()))  # fmt: skip
    broken: dict[str, list[str]] = {name: [] for name in NONE_OF_THESE}
    seen: Counter[str] = Counter()
    for name, amount, charge_id, status, reference, _attempts, payment_id, captured_minor, provider_id in rows:
        taken = ledger.get(reference, []) if reference else []
        seen[status.name if status else "NEVER PLANNED"] += 1
        if charge_id is None or (not taken and status is not ChargeStatus.FAILED):
            broken["lost"].append(name)
        if len(taken) > 1:
            broken["doubled"].append(name)
        if charge_id is None or status not in OVER:
            broken["stuck"].append(f"{name} {status}")
        ours = (payment_id is not None, captured_minor, provider_id)
        theirs = (True, taken[0]["amount"], taken[0]["id"]) if taken else (False, None, None)
        shown = status is ChargeStatus.SUCCEEDED
        if ours != theirs or shown is not bool(taken) or (taken and taken[0]["amount"] != amount):
            broken["disagree"].append(f"{name} {status} ours {ours} theirs {theirs}")
    known = {row.invoice_number for row in rows}
    broken["phantom"] = sorted(set(ledger) - known)
    if payments != seen["SUCCEEDED"]:
        broken["disagree"].append(f"{payments} payments for {seen['SUCCEEDED']} charges that succeeded")
    return Found(
        broken={name: len(found) for name, found in broken.items()},
        examples={name: found[:10] for name, found in broken.items() if found},
        figures={
            "captured": sum(len(taken) for taken in ledger.values()),
            "states": dict(seen),
            "attempts": {state.name: number for state, number in attempts.items()},
            "provider_requests": stats["requests"],
            "provider_faults": stats["faults"],
        },
    )
