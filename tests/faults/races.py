"""`payadmin faults races`: staff withdraw a date while workers take it; it is withdrawn or sent, never both (P11)."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import click
from sqlalchemy import select

from payadmin.actions.subscriptions import (
    cancel_scheduled,
    cancel_subscription,
    edit_schedule,
    inactivate_subscription,
)
from payadmin.db import db
from payadmin.jobs.subscriptions import drain_charges
from payadmin.kernel.errors import Refusal
from payadmin.kernel.schedules import Schedule, ScheduleKind
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge
from payadmin.work import Actor
from tests.faults.office import office_on
from tests.faults.stage import DATABASES, conclude, say
from tests.support.billing import Office

Act = Callable[[], object]
WITHDRAWN = {ChargeStatus.CANCELLED, ChargeStatus.SKIPPED, None}
WORKERS = 2
LATEST_START_SECONDS = 0.02


@click.command()
@click.option("--races", default=200, show_default=True)
@click.option("--db", "database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(races: int, database: str, *, as_json: bool) -> None:
    """Let two workers and two members of staff begin at the same moment, again and again."""
    with office_on(database, latency_s=0.02) as office:
        found = race(office, races)
    report = {"name": "races", "database": database, "races": races, **found}
    # A run in which one side always wins has shown nothing.
    ok = not found["both"] and not found["neither"] and not found["errors"] and found["sent"] and found["withdrawn"]
    conclude(report, {}, as_json=as_json, ok=bool(ok))


def race(office: Office, races: int) -> dict[str, int]:
    """How many dates were sent, withdrawn, both, and neither of the two."""
    actor = office.operator()
    found: Counter[str] = Counter()
    for number in range(races):
        charge = office.due(office.subscription(Schedule(ScheduleKind.FULL_DATE, dates=(office.today,))))
        reference = charge.invoice_number
        acts = staff_acts(office, actor, charge)
        db.session.rollback()
        pair = [acts[number % len(acts)], acts[(number // len(acts) + number + 1) % len(acts)]]
        found["errors"] += start_together(office, pair, number)
        office.work()
        office.plan()
        # By its number: SQLite gives the id of a row that an edit deleted to the next one.
        status = db.session.scalar(select(ScheduledCharge.status).where(ScheduledCharge.invoice_number == reference))
        db.session.rollback()
        was_sent, was_withdrawn = bool(office.simulator.captured(reference)), status in WITHDRAWN
        found["both"] += was_sent and was_withdrawn
        found["neither"] += not was_sent and not was_withdrawn
        found["sent"] += was_sent
        found["withdrawn"] += was_withdrawn
        if not was_sent and not was_withdrawn:
            say(f"neither sent nor withdrawn: {reference} is {status}")
        if number % 20 == 19:
            say(f"{number + 1} races: {dict(found)}")
    return {name: found[name] for name in ("both", "neither", "errors", "sent", "withdrawn")}


def staff_acts(office: Office, actor: Actor, charge: ScheduledCharge) -> list[Act]:
    """Every way in which staff can take a date back."""
    charge_id, subscription_id = charge.id, charge.subscription_id
    version = office.subscription_now(subscription_id).version
    tomorrow = Schedule(ScheduleKind.FULL_DATE, dates=(office.day(1),))
    form = office.confirm(actor, [charge_id])
    return [
        lambda: cancel_scheduled(actor, charge_ids=[charge_id], reason="Asked by phone", **form),
        lambda: inactivate_subscription(actor, subscription_id, version=version),
        lambda: edit_schedule(
            actor, subscription_id, version=version, schedule=tomorrow, start_date=office.today, expiration_date=None,
            zone=office.zone,
        ),
        lambda: cancel_subscription(actor, subscription_id, version=version),
    ]  # fmt: skip


def start_together(office: Office, acts: list[Act], number: int) -> int:
    """Run the acts beside two workers, staff a little later each time in turn; how many ended in an error."""
    barrier = threading.Barrier(len(acts) + WORKERS)
    errors: list[BaseException] = []

    def staff(act: Act) -> None:
        time.sleep(LATEST_START_SECONDS * (number % 5) / 5)
        act()

    def work() -> None:
        time.sleep(LATEST_START_SECONDS / 2)
        drain_charges(office.app, until=time.monotonic() + 5, stop=threading.Event())

    def run(act: Act) -> None:
        with office.app.app_context():
            barrier.wait()
            try:
                act()
            except Refusal:
                pass  # somebody was faster, and the act says so
            except BaseException as error:  # noqa: BLE001 - counted below
                errors.append(error)

    runs: list[Act] = [work] * WORKERS + [lambda act=act: staff(act) for act in acts]  # type: ignore[misc]
    threads = [threading.Thread(target=run, args=(act,)) for act in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        say(f"error: {error!r:.2000}")
    return len(errors)
