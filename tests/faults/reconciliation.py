"""`payadmin faults reconciliation`: 27 differences among thousands of charges are named, and no others (P12)."""

import datetime as dt
import random
import threading
import time
from collections import Counter
from typing import Any

import click
from sqlalchemy import select, update

from payadmin.actions.subscriptions.reconciliation import Difference
from payadmin.db import db, utcnow
from payadmin.jobs.subscriptions import drain_charges, reconcile_provider
from payadmin.models.subscriptions import ChargeAttempt, ChargeStatus, ScheduledCharge
from payadmin.providers import provider_for
from tests.bench.recurring import fall_due
from tests.faults.office import office_on
from tests.faults.stage import DATABASES, conclude, say
from tests.support.billing import Office

PLANTED = {
    Difference.TWICE: 10,
    Difference.UNKNOWN_TO_US: 4,
    Difference.NOT_SHOWN_PAID: 3,
    Difference.OTHER_AMOUNT: 9,
    Difference.MISSING: 1,
}


@click.command()
@click.option("--charges", default=5_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--db", "database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(charges: int, seed: int, database: str, *, as_json: bool) -> None:
    """Charge, plant 27 differences, and reconcile."""
    with office_on(database) as office:
        found = reconcile_planted(office, charges, random.Random(seed))
    report = {"name": "reconciliation", "database": database, "charges": charges, "seed": seed, **found}
    conclude(report, {}, as_json=as_json, ok=found["named"] == found["planted"] and not found["false"])


def reconcile_planted(office: Office, charges: int, chance: random.Random) -> dict[str, Any]:
    """How many differences were planted, named as what they are, and named though they are none."""
    office.make.subscription()
    fall_due(db.engine, "P12", charges)
    rows = db.session.execute(select(ScheduledCharge.invoice_number, ScheduledCharge.id)).all()
    by_reference: dict[str, int] = dict(map(tuple, rows))
    db.session.rollback()
    chosen = iter(chance.sample(sorted(by_reference), sum(PLANTED.values())))
    take = {kind: [next(chosen) for _ in range(number)] for kind, number in PLANTED.items()}
    for reference in take[Difference.TWICE]:
        office.simulator.script(reference, ["double"])
    drain_charges(office.app, until=time.monotonic() + 3600, stop=threading.Event())
    say(f"{charges} charged")
    planted = plant(office, take, by_reference)
    now, hour = utcnow(), dt.timedelta(hours=1)
    settings = office.app.extensions["payadmin.settings"]
    began = time.monotonic()
    findings = reconcile_provider(settings, "simulator", start=now - hour, end=now + hour)
    seconds = time.monotonic() - began
    assert findings is not None, "the provider did not list its charges"
    named = {(finding.reference, finding.kind) for finding in findings}
    return {
        "planted": len(planted),
        "named": len(named & planted),
        "false": len(named - planted) + len(findings) - len(named),
        "seconds": round(seconds, 2),
        "kinds": dict(Counter(kind.name for _, kind in sorted(named))),
    }


def plant(
    office: Office, take: dict[Difference, list[str]], by_reference: dict[str, int]
) -> set[tuple[str, Difference]]:
    """What only a bug, a hand in the database or the provider itself could do."""
    provider = provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=5)
    planted = {(reference, Difference.TWICE) for reference in take[Difference.TWICE]}
    for number, _ in enumerate(take[Difference.UNKNOWN_TO_US]):
        stray = f"stray-{number}"
        provider.charge(key=stray, reference=stray, amount_minor=5_00, unit="EUR", token="tok_visa", metadata={})
        planted.add((stray, Difference.UNKNOWN_TO_US))
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        for reference in take[Difference.NOT_SHOWN_PAID]:
            rows = update(ScheduledCharge).where(ScheduledCharge.id == by_reference[reference])
            connection.execute(rows.values(status=ChargeStatus.FAILED))
            planted.add((reference, Difference.NOT_SHOWN_PAID))
        for reference in take[Difference.OTHER_AMOUNT]:
            rows = update(ScheduledCharge).where(ScheduledCharge.id == by_reference[reference])
            connection.execute(rows.values(amount_minor=9_99))
            planted.add((reference, Difference.OTHER_AMOUNT))
        for reference in take[Difference.MISSING]:
            never = f"never-{reference}"
            charge = ScheduledCharge.id == by_reference[reference]
            connection.execute(update(ScheduledCharge).where(charge).values(invoice_number=never))
            attempt = ChargeAttempt.scheduled_charge_id == by_reference[reference]
            connection.execute(update(ChargeAttempt).where(attempt).values(reference=never))
            planted.add((never, Difference.MISSING))
    return planted
