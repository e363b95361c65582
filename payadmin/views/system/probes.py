"""For machines: is the process alive (/healthz), can it work (/readyz), and numbers for Prometheus (/metrics)."""

import datetime as dt
import hmac
from collections.abc import Iterator
from typing import Any

from alembic.runtime.migration import MigrationContext
from flask import Blueprint, Flask, Response, abort, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from payadmin import outbox
from payadmin.actions.subscriptions.planning import GRACE_DAYS
from payadmin.db import db
from payadmin.migrations import head
from payadmin.models.audit import AuditEvent
from payadmin.models.system import WebMinute
from payadmin.queries import system as asked
from payadmin.queries import workers
from payadmin.queries.audit import latest_check, latest_seal

blueprint = Blueprint("probes", __name__)
LATELY = dt.timedelta(minutes=5)
_BEARER = "Bearer "


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers. Nothing else is asked, so that a slow database does not get it killed."""
    return jsonify({"alive": True})


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Whether this process can do its work: database there, schema of this code. Without Redis it works, slower."""
    checks = {"database": "ok", "schema": "ok", "redis": _redis()}
    try:
        revision = MigrationContext.configure(db.session.connection()).get_current_revision()
        if revision != head():
            checks["schema"] = f"at {revision or 'none'}, the code needs {head()}"
    except SQLAlchemyError:
        checks["database"] = checks["schema"] = "no answer"
    finally:
        db.session.rollback()
    ready = checks["database"] == checks["schema"] == "ok"
    return jsonify({"ready": ready, **checks}), 200 if ready else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Everything Prometheus wants, from the database, so that it is the same whichever process answers."""
    expected: str = current_app.extensions["payadmin.settings"].metrics_token
    if not expected:
        abort(404)
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"{_BEARER}{expected}".encode()):
        return Response("The token is missing or wrong.\n", 401, {"WWW-Authenticate": "Bearer"}, mimetype="text/plain")
    registry = CollectorRegistry()
    registry.register(Numbers())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Numbers:
    """What the database knows, as gauges."""

    def describe(self) -> list[Any]:
        """Nothing: the names are told with the numbers."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the database."""
        session = db.session()
        now = outbox.database_now(session)
        today = now.astimezone(current_app.extensions["payadmin.settings"].zone).date()
        promised = workers.promises(session, now)
        due = workers.charges(session, now, first=today - dt.timedelta(days=GRACE_DAYS), today=today)
        yield _labelled("outbox_messages", "Promised work by state.", "state", {
            "due": promised.due, "later": promised.later, "running": promised.running, "given_up": promised.given_up,
        })  # fmt: skip
        overdue = int((now - promised.oldest_due_at).total_seconds()) if promised.oldest_due_at else 0
        yield _plain("outbox_oldest_due_seconds", "How long the oldest promise waits.", max(overdue, 0))
        yield _labelled("charges", "Recurring charges by what they wait for.", "state", {
            "due": due.due, "retry": due.to_retry, "undecided": due.undecided,
            **{state.name.lower(): number for state, (number, _) in due.in_hand.items()},
        })  # fmt: skip
        beats: dict[str, int] = {}
        for sign in workers.signs_of_life(session, now):
            age = int(sign.age.total_seconds())
            beats[sign.kind] = min(age, beats.get(sign.kind, age))
        yield _labelled("heartbeat_age_seconds", "The youngest sign of life of each kind of process.", "kind", beats)
        yield from self._web(now)
        yield from self._machine(now)
        yield from self._trail()
        db.session.rollback()

    def _web(self, now: dt.datetime) -> Iterator[GaugeMetricFamily]:
        sums = select(func.sum(WebMinute.requests), func.sum(WebMinute.errors), func.max(WebMinute.slowest))
        requests, errors, slowest = db.session.execute(sums.where(WebMinute.at > now - LATELY)).one()
        yield _plain("web_requests_5m", "Requests that all pages answered in five minutes.", int(requests or 0))
        yield _plain("web_errors_5m", "Of these, how many ended with a mistake of ours.", int(errors or 0))
        yield _plain("web_slowest_5m_milliseconds", "The slowest of these requests.", int(slowest or 0))

    def _machine(self, now: dt.datetime) -> Iterator[GaugeMetricFamily]:
        samples = asked.newest_samples(db.session(), now - LATELY)
        for name in ("cpu", "memory", "disk"):
            shares = {sample.host: getattr(sample, name) for sample in samples}
            yield _labelled(f"host_{name}_permille", f"Share of {name} in use, per mille.", "host", shares)
        yield _plain("database_bytes", "The size of the database.", asked.database_bytes(db.session()))
        yield _plain("database_connections", "Connections to the database.", asked.connections(db.session()))
        last = asked.newest_backups(db.session())[:1]
        age = {"known": int((now - last[0].at).total_seconds())} if last else {}
        yield _labelled("backup_age_seconds", "The age of the last backup; absent before the first.", "backup", age)

    def _trail(self) -> Iterator[GaugeMetricFamily]:
        session = db.session()
        seal, check = latest_seal(session), latest_check(session)
        newest = session.scalar(select(func.max(AuditEvent.id))) or 0
        yield _plain("audit_unsealed_events", "Acts that wait for their seal.", newest - (seal.last_id if seal else 0))
        yield _plain("audit_breaks", "What the last verification of the trail found.", check.broken if check else 0)


def _plain(name: str, help_: str, value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"payadmin_{name}", help_, value=value)


def _labelled(name: str, help_: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"payadmin_{name}", help_, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _redis() -> str:
    url: str = current_app.extensions["payadmin.settings"].redis_url
    if not url:
        return "not configured"
    try:
        with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as connection:
            connection.ping()
    except RedisError:
        return "no answer"
    return "ok"


def init_probes(app: Flask) -> None:
    """Open the doors for machines."""
    app.register_blueprint(blueprint)
