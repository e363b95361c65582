"""Counting what the pages answer: in the process, and every so often into the minutes of all processes together."""

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass, field

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError

from payadmin.actions import system
from payadmin.db import db, utcnow
from payadmin.views.security import request_id
from payadmin.work import SYSTEM

EVERY_SECONDS = 20
NOT_COUNTED = frozenset({"static", "probes.healthz"})
COUNTER = "payadmin.answered"
SERVER_ERROR = 500

log = logging.getLogger("payadmin.access")


@dataclass
class Minute:
    """What this process answered in one minute."""

    requests: int = 0
    errors: int = 0
    milliseconds: int = 0
    slowest: int = 0


@dataclass
class Counter:
    """What this process answered and has not written down yet."""

    minutes: dict[dt.datetime, Minute] = field(default_factory=dict)
    due: float = field(default_factory=lambda: time.monotonic() + EVERY_SECONDS)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: int, milliseconds: int) -> None:
        """Count one answer."""
        with self.lock:
            minute = self.minutes.setdefault(utcnow().replace(second=0, microsecond=0), Minute())
            minute.requests += 1
            minute.errors += status >= SERVER_ERROR
            minute.milliseconds += milliseconds
            minute.slowest = max(minute.slowest, milliseconds)

    def take(self, *, now: bool = False) -> dict[dt.datetime, Minute]:
        """What is to be written down, which is then no longer kept here; nothing while it is not time."""
        with self.lock:
            if not now and time.monotonic() < self.due:
                return {}
            self.due = time.monotonic() + EVERY_SECONDS
            taken, self.minutes = self.minutes, {}
        return taken


def init_requests(app: Flask) -> None:
    """Count and log every answer of `app`."""
    app.extensions[COUNTER] = Counter()

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        if request.endpoint not in NOT_COUNTED and not current_app.testing:
            write_down(app.extensions[COUNTER])

    @app.after_request
    def end(response: Response) -> Response:
        took = int((time.perf_counter() - g.get("began", time.perf_counter())) * 1000)
        if request.endpoint in NOT_COUNTED:
            return response
        app.extensions[COUNTER].note(response.status_code, took)
        actor = g.get("actor")
        facts = {
            "method": request.method,
            # The rule, not the address: that may hold what somebody looks for, or a link that lets somebody in.
            "rule": request.url_rule.rule if request.url_rule else "-",
            "status": response.status_code,
            "milliseconds": took,
            "staff_id": actor.staff_id if actor is not None else None,
        }
        told = (facts["method"], facts["rule"], facts["status"], took, request_id())
        log.info("%s %s %s %s ms (request %s)", *told, extra=facts)
        return response


def write_down(counter: Counter, *, now: bool = False) -> None:
    """Add what this process answered to the minutes in the database; trouble with that is no trouble of the page."""
    for minute, some in counter.take(now=now).items():
        try:
            system.count_requests(SYSTEM, minute=minute, **vars(some))
        except SQLAlchemyError:
            db.session.rollback()
            logging.getLogger(__name__).warning("%s answers were not counted", some.requests)
