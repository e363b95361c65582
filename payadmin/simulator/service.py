"""The service behind the HTTP door: what is asked, which fault meets it, and what is answered."""

import threading
import time
from collections import Counter, deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

from payadmin.simulator.book import Book, Journal, Order
from payadmin.simulator.cards import stored_card
from payadmin.simulator.faults import FAULTS, Settings, chance
from payadmin.simulator.wire import MAX_KEY_CHARS, Dropped, Refused, Reply, checked, checked_cards, server_error


class Simulator:
    """The service behind the HTTP door: what is asked, which fault meets it, and what it answers."""

    def __init__(self, journal: Path | None, faults: dict[str, Any] | None) -> None:
        self.book = Book(Journal(journal))
        self.at_start = self.settings = Settings().changed(faults or {})
        self._lock = threading.Lock()
        self._start_counting()

    def _start_counting(self) -> None:
        self.requests: Counter[str] = Counter()
        self.faults_met: Counter[str] = Counter()
        self.by_reference: Counter[str] = Counter()
        self.lookups: Counter[str] = Counter()
        self.scripts: dict[str, deque[str]] = {}

    def post(self, kind: str, raw: Any, key: str | None) -> Reply:
        body = checked(kind, raw)
        if key is not None and (len(key) > MAX_KEY_CHARS or not key):
            raise Refused(400, "parameter_invalid", f"Idempotency-Key takes 1 to {MAX_KEY_CHARS} characters.")
        settings, fault = self._meet(body["reference"])
        if fault == "drop_before":
            raise Dropped
        if fault == "err429":
            raise Refused(429, "rate_limit", "Too many requests. Try again later.")
        if fault == "err500_before":
            return server_error(500)
        time.sleep(settings.latency_s)
        reply = self._execute(Order(kind, body, None if settings.idempotency == "none" else key, fault, settings))
        if fault == "slow":
            time.sleep(settings.slow_s)
        if fault == "drop_after":
            raise Dropped
        return reply

    def _meet(self, reference: str) -> tuple[Settings, str | None]:
        with self._lock:
            self.by_reference[reference] += 1
            script = self.scripts.get(reference)
            fault = script.popleft() if script else self.settings.draw(reference, self.by_reference[reference])
            if fault == "ok":
                fault = None
            if fault is not None:
                self.faults_met[fault] += 1
            return self.settings, fault

    def _execute(self, order: Order) -> Reply:
        key, settings = order.key, order.settings
        if key is not None:
            kept = self.book.begin(key, order.fingerprint, settings.idem_ttl_s)
            if kept is not None:
                self.count("replayed")
                return server_error(500) if order.fault == "err500_after" else kept
        try:
            if order.fault == "late":
                time.sleep(settings.late_s)
            return self.book.act(order)
        finally:
            if key is not None:
                self.book.release(key)

    def store_cards(self, raw: Any) -> Reply:
        """Exchange card numbers for tokens, in their order; nothing is written down."""
        cards, verify = checked_cards(raw)
        _, fault = self._meet("tokens")
        if fault == "drop_before":
            raise Dropped
        if fault == "err500_before":
            return server_error(500)
        time.sleep(self.settings.latency_s)
        return 200, {"data": [stored_card(card, verify=verify) for card in cards]}

    def find(self, kind: str, reference: str) -> Reply:
        with self._lock:
            self.lookups[reference] += 1
            settings, nth = self.settings, self.lookups[reference]
        if chance(settings.seed, "lookup", reference, nth) < settings.lookup_fail:
            return server_error(503)
        return 200, {"data": self.book.find(kind, reference, settings.visibility_lag_s)}

    def count(self, kind: str) -> None:
        with self._lock:
            self.requests[kind] += 1

    def configure(self, changes: Any) -> Reply:
        if not isinstance(changes, dict):
            raise Refused(400, "parameter_invalid", "The body must be a JSON object.")
        with self._lock:
            self.settings = self.settings.changed(changes)
            return 200, asdict(self.settings)

    def script(self, order: Any) -> Reply:
        """Set the faults of the next requests about one reference; "ok" stands for none."""
        match order:
            case {"reference": str(reference), "faults": list(faults)} if all(f in (*FAULTS, "ok") for f in faults):
                with self._lock:
                    self.scripts[reference] = deque(faults)
                return 200, {"reference": reference, "faults": faults}
        raise Refused(400, "parameter_invalid", "A script names a reference and a list of faults.")

    def reset(self) -> Reply:
        self.book.reset()
        with self._lock:
            self.settings = self.at_start
            self._start_counting()
        return 200, {"reset": True}

    def stats(self) -> Reply:
        with self._lock:
            return 200, {
                "requests": dict(self.requests),
                "faults": dict(self.faults_met),
                "posts_by_reference": dict(self.by_reference),
            }
