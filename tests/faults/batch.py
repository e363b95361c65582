"""`payadmin faults batch`: workers are killed while they check, order and charge a batch; every row exactly once.

A file of single payments of today is taken in and confirmed as operators do it. Real workers and their work horses are
killed meanwhile: some while they check, some while they order, the others while they charge. Afterwards the provider's
books and ours are compared, row by row. What is wrong has the names of `books`; `not_once` is a row that did not become
one charge.
"""

import contextlib
import random
import time
from collections import Counter
from typing import Any

import click
import psutil
from sqlalchemy import func, select

from payadmin.db import db
from payadmin.models.batches import CHECKED, BatchRow, BatchStatus, RowStatus
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import OVER, ChargeStatus
from tests.faults.books import LATE_SECONDS, NONE_OF_THESE, wait_until_settled
from tests.faults.kill_loop import FAULTS, at_work
from tests.faults.redis_down import office_of
from tests.faults.stage import DATABASES, Stage, conclude, say, started, wait_for_workers
from tests.support.batches import BatchRoom
from tests.support.billing import Office
from tests.support.make import Make
from tests.support.simulator import Simulator

CUSTOMERS = 20
AMOUNT = 12_50
# Of all kills, so many hit the check and so many the ordering, which are over within seconds; the others, the charging.
SHARE = 4


@click.command()
@click.option("--rows", default=2_000, show_default=True)
@click.option("--kills", default=20, show_default=True)
@click.option("--db", "database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--pace", default=1.0, show_default=True, help="Seconds between two kills of charging, on average.")
@click.option("--patience", default=300, show_default=True, help="Seconds to settle in after the last kill.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(
    rows: int, kills: int, database: str, workers: int, seed: int, pace: float, patience: int, *, as_json: bool
) -> None:
    """Kill workers at random while they work on a batch; no row may be lost, doubled or shown wrongly."""
    chance, hits = random.Random(seed), Counter[str]()
    with started(database, faults=FAULTS | {"seed": seed}, workers=workers) as stage:
        wait_for_workers(stage)
        app = office_of(stage)
        with app.app_context():
            simulator = Simulator(port=int(stage.simulator_url.rsplit(":", 1)[1]))
            room = BatchRoom(Office(app, Make(app), simulator), customers=CUSTOMERS)
            payments = [
                room.payment(1 + n % CUSTOMERS, invoice_number=f"F-{n}", card_no="", card_token="tok_visa")
                for n in range(rows)
            ]
            begun = time.monotonic()
            batch_id = room.upload(payments)
            kill_while(room, stage, chance, hits, "checking", batch_id, CHECKED, kills // SHARE)
            room.process(batch_id)
            kill_while(room, stage, chance, hits, "ordering", batch_id, (BatchStatus.PROCESSED,), kills // SHARE)
            while hits.total() < kills:
                time.sleep(chance.uniform(0.1, 2 * pace - 0.1))
                hits["charging"] += kill_worker(stage, chance)
            last = time.monotonic()
            wait_until_settled(stage, rows, patience)
            end = time.monotonic()
            broken, figures = compare(stage, room, batch_id, rows)
            db.session.remove()
            db.engine.dispose()
    report = {
        "name": "batch", "database": database, "rows": rows, "kills": hits.total(), "seed": seed,
        **{name: len(found) for name, found in broken.items()},
        "figures": figures | {
            "killed_while": dict(hits), **stage.done, "seconds": round(end - begun, 1),
            "seconds_after_last_kill": round(end - last, 1),
        },
    }  # fmt: skip
    examples = {name: found[:10] for name, found in broken.items() if found}
    conclude(report, examples, as_json=as_json, ok=not examples)


def kill_while(
    room: BatchRoom, stage: Stage, chance: random.Random, hits: Counter[str], doing: str, batch_id: int, until: Any,
    most: int,
) -> None:  # fmt: skip
    """Kill workers soon after each other for as long as the batch is not there yet; then wait until it is."""
    given_up = time.monotonic() + 240
    while status_of(room, batch_id) not in until:
        if time.monotonic() > given_up:
            raise RuntimeError(f"the batch stands still while {doing}: see {stage.folder}")
        time.sleep(chance.uniform(0.05, 0.4))
        if hits[doing] < most and status_of(room, batch_id) not in until:
            hits[doing] += kill_worker(stage, chance)
    say(f"{doing}: {hits[doing]} kills")


def status_of(room: BatchRoom, batch_id: int) -> BatchStatus:
    db.session.rollback()
    status = room.batch(batch_id).status
    db.session.rollback()
    return status


def kill_worker(stage: Stage, chance: random.Random) -> bool:
    """SIGKILL a worker in the middle of its work: with its horse, the horse alone, or the parent alone."""
    worker = at_work(stage, chance) or chance.choice(stage.workers)
    family = worker.family()
    kind = chance.choice(("tree", "horse", "parent")) if len(family) > 1 else "parent"
    killed = 0
    for process in {"tree": family[::-1], "horse": family[1:], "parent": family[:1]}[kind]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            killed += 1
    stage.done[f"killed {kind}"] += bool(killed)
    return bool(killed)


def compare(stage: Stage, room: BatchRoom, batch_id: int, rows: int) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Compare the provider's ledger with ours: what is wrong, by its name, and the figures."""
    time.sleep(LATE_SECONDS)  # what came late to the provider is captured by now
    ledger = stage.provider("GET", "/_ctl/ledger")["captured"]
    stats = stage.provider("GET", "/_ctl/stats")
    db.session.rollback()
    broken: dict[str, list[str]] = {name: [] for name in ("not_once", *NONE_OF_THESE)}
    batch = room.batch(batch_id)
    if (batch.status, batch.rows_done, batch.rows_refused) != (BatchStatus.PROCESSED, rows, 0):
        broken["stuck"].append(f"{batch.status} {batch.rows_done} done {batch.rows_refused} refused")
    done = room.statuses(batch_id)
    if done != {RowStatus.DONE.name: rows}:
        broken["not_once"].append(f"rows {dict(done)}")
    made = room.charges(batch_id)
    wanted = {number for (number,) in db.session.execute(select(BatchRow.id).where(BatchRow.batch_id == batch_id))}
    if len(made) != rows or {charge.batch_row_id for charge in made} != wanted:
        broken["not_once"].append(f"{len(made)} charges of {len(wanted)} rows")
    paid = {payment.id: payment for payment in db.session.scalars(select(Payment))}
    for charge in made:
        name, taken, ours = charge.reference, ledger.get(charge.reference, []), paid.get(charge.payment_id or 0)
        if not taken and charge.status is not ChargeStatus.FAILED:
            broken["lost"].append(name)
        if len(taken) > 1:
            broken["doubled"].append(name)
        if charge.status not in OVER:
            broken["stuck"].append(f"{name} {charge.status}")
        here = (ours.captured_minor, ours.provider_payment_id) if ours else None
        there = (taken[0]["amount"], taken[0]["id"]) if taken else None
        is_shown = charge.status is ChargeStatus.SUCCEEDED
        if here != there or is_shown is not bool(taken) or (taken and taken[0]["amount"] != AMOUNT):
            broken["disagree"].append(f"{name} {charge.status} ours {here} theirs {there}")
    broken["phantom"] = sorted(set(ledger) - {charge.reference for charge in made})
    counted = db.session.scalar(select(func.count()).select_from(Payment).where(Payment.batch_id == batch_id))
    if counted != len(paid) or counted != sum(bool(taken) for taken in ledger.values()):
        broken["disagree"].append(f"{counted} payments of the batch, {len(paid)} in all, {len(ledger)} captured")
    return broken, {
        "captured": sum(len(taken) for taken in ledger.values()),
        "states": dict(Counter(charge.status.name for charge in made)),
        "provider_requests": stats["requests"],
        "provider_faults": stats["faults"],
    }
