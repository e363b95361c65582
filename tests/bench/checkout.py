"""Checkout rules: decisions a second in process and through HTTP, beside asking one rule after the other."""

import dataclasses
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast

import click
from flask import Flask
from sqlalchemy import Table, insert
from sqlalchemy.orm import Session
from werkzeug.serving import WSGIRequestHandler, make_server

from payadmin import create_app
from payadmin.actions.checkout.versions import digest_of
from payadmin.db import db, utcnow
from payadmin.kernel.checkout import DEFAULT, MOST_RULES, Pair, Rule, RuleSet, in_order
from payadmin.kernel.conditions import Amount, Condition, Facts, Operator
from payadmin.migrations import upgrade
from payadmin.models.checkout import CheckoutRule, CheckoutRuleset, ProviderMethod, RulesetStatus
from payadmin.permissions import ApiScope
from payadmin.queries.checkout import checkout_registry
from payadmin.reference import load_reference
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.list import bench_settings
from tests.support.make import Make
from tests.support.programs import make_program

SCALES = {"EUR": 2, "GBP": 2, "USD": 2, "JPY": 0}
METHODS = ("AMEX", "APPLE_PAY", "BANK_TRANSFER", "MASTERCARD", "PAYPAL", "VISA")
CHANNELS = ("WEB", "MOBILE_APP", "CALL_CENTRE", "POINT_OF_SALE", "API")
ROUNDS, CLIENTS = 5, 4
QUESTIONS = 2_000
MANY = 10_000_000
# A decision by bits must be far below asking each rule, or there is no reason for the bits.
LIMIT, COMPILE_LIMIT = 0.1, 2_000.0

O = Operator  # noqa: E741 - read in tables


@click.command()
@click.option(
    "--rules", default=1_000, show_default=True, type=click.IntRange(1, MOST_RULES), help="Rules to decide by."
)
@click.option("--rows", "rules_too", type=click.IntRange(1, MOST_RULES), help="The same, as other benchmarks call it.")
@click.option("--seconds", default=1.0, show_default=True, help="How long each way is tried, five times.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rules: int, rules_too: int | None, seconds: float, as_json: bool, kind: str) -> None:
    """Decisions a second: by bits, rule by rule, and through the API."""
    say, count = Say(), rules_too or rules
    say("making rules and checkouts; statistics follow")
    report = Report("checkout", count, kind)
    dice = random.Random(7)
    made, facts = some_rules(dice, count), [some_facts(dice) for _ in range(QUESTIONS)]
    in_process(report, made, facts, seconds, say)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        upgrade(url)
        settings = dataclasses.replace(bench_settings(url, Path(folder)), api_rate_per_minute=MANY)
        app = create_app(settings)
        with app.app_context():
            load_reference(db.engine)
            key = prepare(app, made)
            through_http(report, app, key, facts, seconds, say)
            db.session.remove()
            db.engine.dispose()
    report.notes += [
        f"{count:,} rules of one to three conditions; {QUESTIONS:,} different checkouts; medians of {ROUNDS} rounds.",
        "naive: each rule's conditions one by one until one rule matches, on the same objects, in the same process.",
        f"http: {CLIENTS} clients that keep their connection, one process, key, rate limit and audit as in production.",
    ]
    report.show(as_json=as_json)


def some_rules(dice: random.Random, number: int) -> list[Rule]:
    """Rules as people write them: narrow ones, so that most checkouts pass many before one matches."""
    made = []
    for place in range(1, number):
        low = dice.randrange(1_00, 9_000_00)
        unit = dice.choice(tuple(SCALES))
        conditions = [
            Condition("amount", O.GREATER_OR_EQUAL_THAN, Amount(low, unit)),
            Condition("amount", O.LESS_THAN, Amount(low + dice.randrange(1_00, 60_00), unit)),
            Condition("channel", O.IN, tuple(dice.sample(CHANNELS, 2))),
        ]
        if place % 3 == 0:
            conditions[2] = Condition("product_category", O.EQUAL, f"category {dice.randrange(40)}")
        methods = tuple(Pair("simulator", method) for method in dice.sample(METHODS, 3))
        made.append(Rule(f"rule-{place}", place, tuple(conditions), methods))
    return [*made, Rule(DEFAULT, None, (), (Pair("simulator", "VISA"),))]


def some_facts(dice: random.Random) -> Facts:
    """A checkout."""
    return {
        "amount": Amount(dice.randrange(1_00, 10_000_00), dice.choice(tuple(SCALES))),
        "channel": dice.choice(CHANNELS),
        "product_category": f"category {dice.randrange(60)}",
        "user_type": dice.choice(("INDIVIDUAL", "MERCHANT")),
    }


def naive(rules: Sequence[Rule], facts: Facts) -> Rule | None:
    """What a first draft does: ask one rule after the other."""
    for rule in rules:
        if all(each.holds(facts.get(each.key)) for each in rule.conditions):
            return rule
    return None


def in_process(report: Report, rules: list[Rule], facts: Sequence[Facts], seconds: float, say: Say) -> None:
    """The engine beside asking rule by rule: first that they agree, then how fast each is."""
    registry = checkout_registry(SCALES)
    began = time.perf_counter()
    ready = RuleSet(registry, rules)
    report.figures["made_ready_ms"] = shorter((time.perf_counter() - began) * 1_000)
    began = time.perf_counter()
    found = ready.findings({pair for rule in rules for pair in rule.methods})
    report.figures["findings_ms"] = shorter((time.perf_counter() - began) * 1_000)
    report.figures["rules_never_deciding"] = len(found)
    ordered = sorted(rules, key=in_order)
    differing = sum(ready.rule_for(each) is not naive(ordered, each) for each in facts)
    enabled = frozenset(Pair("simulator", method) for method in METHODS)
    rates: dict[str, list[float]] = {"engine": [], "naive": []}
    ways: dict[str, Callable[[Facts], Any]] = {
        "engine": lambda each: ready.decide(each, enabled),
        "naive": lambda each: naive(ordered, each),
    }
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(_rate(way, facts, seconds))
    for name, measured in rates.items():
        report.figures[f"{name}_per_second"] = shorter(statistics.median(measured))
        say(f"{name}: {report.figures[f'{name}_per_second']:,} decisions a second")
    report.ratios["engine_over_naive_time"] = shorter(
        report.figures["naive_per_second"] / report.figures["engine_per_second"]
    )
    report.goals["engine_over_naive_time"] = Goal(report.ratios["engine_over_naive_time"], LIMIT)
    report.goals["decisions_that_differ"] = Goal(differing, 0)
    report.goals["made_ready_ms"] = Goal(report.figures["made_ready_ms"], COMPILE_LIMIT)


def _rate(way: Callable[[Facts], Any], facts: Sequence[Facts], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        for each in facts[:100]:
            way(each)
        done += 100
        facts = [*facts[100:], *facts[:100]]
    return done / taken


def prepare(app: Flask, rules: Sequence[Rule]) -> str:
    """The rules as the active version, and a key for the API."""
    now, session = utcnow(), cast("Session", db.session())
    session.connection(execution_options={"immediate": True})
    made = CheckoutRuleset()
    session.add(made)
    session.flush()
    rows = [
        {
            "ruleset_id": made.id,
            "name": rule.name,
            "priority": rule.priority,
            "conditions": [each.as_json() for each in rule.conditions],
            "methods": [pair.as_json() for pair in rule.methods],
            "is_on": True,
            "created_at": now,
            "updated_at": now,
            "version": 1,
        }
        for rule in rules
    ]
    session.execute(insert(cast("Table", CheckoutRule.__table__)).execution_options(explained=True), rows)
    made.status, made.activated_at, made.digest = RulesetStatus.ACTIVE, now, digest_of(rules)
    session.flush()
    session.info.pop("payadmin.changed", None)
    session.commit()
    assert session.query(ProviderMethod).count() >= len(METHODS)
    return str(make_program(app, Make(app), ApiScope.CHECKOUT_READ).bearer)


class Quiet(WSGIRequestHandler):
    """Standard error is for progress, and connections are kept."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_args: object) -> None:
        """Say nothing."""


def through_http(report: Report, app: Flask, key: str, facts: Sequence[Facts], seconds: float, say: Say) -> None:
    """Decisions a second through a real socket, and how much of that is the decision."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    bodies = [_body(each) for each in facts]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        for path, name in (("/api/v1/checkout/methods", "http"), ("/api/v1/key", "http_bare")):
            rates = [_http_rate(server.server_port, path, headers, bodies, seconds) for _ in range(ROUNDS)]
            report.figures[f"{name}_per_second"] = shorter(statistics.median(rates))
            say(f"{name}: {report.figures[f'{name}_per_second']:,} requests a second")
    finally:
        server.shutdown()
        thread.join()
    bare, decided = report.figures["http_bare_per_second"], report.figures["http_per_second"]
    report.ratios["http_over_bare_time"] = shorter(bare / decided)
    report.ratios["engine_over_http"] = shorter(report.figures["engine_per_second"] / decided)


def _http_rate(port: int, path: str, headers: dict[str, str], bodies: Sequence[bytes], seconds: float) -> float:
    done: list[int] = []
    end = time.perf_counter() + seconds

    def client(first: int) -> None:
        connection, number = HTTPConnection("127.0.0.1", port), 0
        while time.perf_counter() < end:
            body = bodies[(first + number) % len(bodies)] if path.endswith("methods") else None
            connection.request("POST" if body else "GET", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            number += 1
        connection.close()
        done.append(number)

    began = time.perf_counter()
    crew = [threading.Thread(target=client, args=(place * 97,)) for place in range(CLIENTS)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    return sum(done) / (time.perf_counter() - began)


def _body(facts: Facts) -> bytes:
    amount = facts["amount"]
    assert isinstance(amount, Amount)
    others = {name: fact for name, fact in facts.items() if name != "amount"}
    return json.dumps({"amount_minor": amount.minor, "unit": amount.unit, **others}).encode()


if __name__ == "__main__":
    main()
