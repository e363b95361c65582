"""`payadmin faults outage`: the provider is out while charges fall due; few calls, and later all is charged (P8)."""

import time

import click

from tests.faults.books import compare, subscribe, wait_until_settled
from tests.faults.stage import DATABASES, conclude, say, started, wait_for_workers

OUT = {"drop_before": 1.0, "lookup_fail": 1.0}
BACK = {"drop_before": 0.0, "lookup_fail": 0.0}
CALLS_AT_MOST = 100
RECOVERED_WITHIN_SECONDS = 60


@click.command()
@click.option("--charges", default=500, show_default=True)
@click.option("--seconds", default=60, show_default=True, help="How long the provider is out.")
@click.option("--workers", default=2, show_default=True)
@click.option("--db", "database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object only.")
def main(charges: int, seconds: int, workers: int, database: str, *, as_json: bool) -> None:
    """Close every connection to the provider for a while, then count the calls and wait for the charges."""
    with started(database, faults={"latency_s": 0.05} | OUT, workers=workers) as stage:
        wait_for_workers(stage)
        subscribe(stage, 0, charges)
        say(f"{charges} charges fall due while the provider is out")
        time.sleep(seconds)
        during = stage.provider("GET", "/_ctl/stats")["requests"]
        stage.provider("POST", "/_ctl/config", BACK)
        back = time.monotonic()
        say(f"the provider is back after {during}")
        wait_until_settled(stage, charges, 2 * RECOVERED_WITHIN_SECONDS)
        recovery = time.monotonic() - back
        found = compare(stage)
    calls = sum(during.values())
    left = found.figures["attempts"].get("MANUAL", 0)
    report = {
        "name": "outage", "database": database, "charges": charges, "seconds": seconds, "calls_in_the_outage": calls,
        "recovered_in_seconds": round(recovery, 1), "left_to_staff": left, **found.broken,
        "figures": found.figures | {"calls": during},
    }  # fmt: skip
    ok = found.is_sound and calls <= CALLS_AT_MOST and recovery <= RECOVERED_WITHIN_SECONDS and not left
    conclude(report, found.examples, as_json=as_json, ok=ok)
