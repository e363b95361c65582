"""`payadmin faults redis-down`: charges and refunds go on without Redis, and workers take over when it is back (P5)."""

import dataclasses
import time
from http import HTTPStatus

import click
from flask import Flask
from sqlalchemy import func, select

from payadmin import create_app
from payadmin.db import db
from payadmin.models.payments import Payment
from payadmin.permissions import Role
from tests.bench.list import bench_settings
from tests.faults.books import compare, settled, subscribe, wait_until_settled
from tests.faults.stage import DATABASES, Stage, conclude, say, started, wait_for_workers
from tests.support.desk import Desk
from tests.support.make import Make
from tests.support.signin import sign_in
from tests.support.simulator import Simulator

RESUMED_WITHIN_SECONDS = 30
REFUNDED_MINOR = 1_00


@click.command()
@click.option("--charges", default=200, show_default=True, help="How many fall due before, during and after.")
@click.option("--seconds", default=300, show_default=True, help="How long Redis is away.")
@click.option("--db", "database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(charges: int, seconds: int, database: str, *, as_json: bool) -> None:
    """Kill Redis, keep it away, and use payadmin meanwhile."""
    with started(database, faults={"latency_s": 0.05}) as stage:
        wait_for_workers(stage)
        subscribe(stage, 0, charges)
        wait_until_settled(stage, charges, 60)
        app = office_of(stage)
        stage.down.add("valkey")
        stage.kill_redis()
        gone = time.monotonic()
        say("Redis is away")
        subscribe(stage, charges, 2 * charges)
        page, refunded = work_meanwhile(app, stage)
        wait_until_settled(stage, 2 * charges, 120)
        during = settled(stage) - charges
        charged_in = time.monotonic() - gone
        time.sleep(max(0.0, gone + seconds - time.monotonic()))
        stage.down.clear()
        stage.valkey.start()
        back = time.monotonic()
        say(f"Redis is back; {during} charges went on meanwhile")
        subscribe(stage, 2 * charges, 3 * charges)
        wait_until_settled(stage, 2 * charges + 1, 120)
        resumed = time.monotonic() - back
        wait_until_settled(stage, 3 * charges, 120)
        found = compare(stage)
    report = {
        "name": "redis-down", "database": database, "charges": 3 * charges, "seconds": seconds, "page_status": page,
        "refunded_meanwhile": refunded, "charged_meanwhile": during, "charged_within_seconds": round(charged_in, 1),
        "resumed_in_seconds": round(resumed, 1), **found.broken,
    }  # fmt: skip
    ok = page == HTTPStatus.OK and refunded and during == charges and resumed <= RESUMED_WITHIN_SECONDS
    conclude(report, found.examples, as_json=as_json, ok=ok and found.is_sound)


def office_of(stage: Stage) -> Flask:
    """The web application of this run, in this process."""
    settings = dataclasses.replace(
        bench_settings(stage.url, stage.folder),
        secret_key=stage.env["SECRET_KEY"],
        totp_keys=(b"k" * 32,),
        redis_url=stage.redis_url,
        simulator_url=stage.simulator_url,
    )
    return create_app(settings)


def work_meanwhile(app: Flask, stage: Stage) -> tuple[int, bool]:
    """Open the list of payments and refund one: the status of the page, and whether the refund was made."""
    with app.app_context():
        status = sign_in(app, Role.PAYMENTS_OPERATOR).get("/transactions/").status_code
        payment_id = db.session.scalar(select(func.min(Payment.id)))
        assert payment_id is not None
        simulator = Simulator(port=int(stage.simulator_url.rsplit(":", 1)[1]))
        Desk(app, Make(app), simulator).refund(payment_id, REFUNDED_MINOR)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            db.session.rollback()
            if db.session.get_one(Payment, payment_id, populate_existing=True).refunded_minor == REFUNDED_MINOR:
                return status, True
            time.sleep(0.5)
    return status, False
