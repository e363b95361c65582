"""The provider's books: movements and idempotency keys in memory, and the journal they are rebuilt from."""

import hashlib
import json
import os
import secrets
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from payadmin.simulator.cards import CHARGE_PENDS, REFUND_FAILS, REFUND_PENDS, refuse_card
from payadmin.simulator.faults import Settings
from payadmin.simulator.wire import Refused, Reply, server_error

LIST_AT_ONCE = 1_000
PREFIXES = {"charge": "ch", "refund": "re", "void": "vo"}


@dataclass(frozen=True)
class Movement:
    """One charge, refund or void; `settles_at` lies in the future while it is pending."""

    id: str
    object: str
    reference: str
    amount: int
    currency: str
    at: float
    settles_at: float
    charge: str | None = None
    on_refund: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Saved:
    """What an idempotency key stands for; no reply yet means the first request is still in progress."""

    fingerprint: str
    at: float
    reply: Reply | None = None


@dataclass(frozen=True)
class Order:
    """One valid request, with the fault and the settings it met."""

    kind: str
    body: dict[str, Any]
    key: str | None
    fault: str | None
    settings: Settings

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps([self.kind, self.body], sort_keys=True).encode()).hexdigest()


class Journal:
    """Append-only JSON lines; a line is on the disk before the answer leaves."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._written = self._synced = 0
        self._sync_lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0) if path is not None else None

    def lines(self) -> list[dict[str, Any]]:
        """Read what is there, cutting off a last line that a kill left unfinished."""
        if self._file is None or self.path is None:
            return []
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        return [json.loads(line) for line in data[:whole].splitlines()]

    def append(self, line: dict[str, Any]) -> int:
        """Write one line (the caller holds the book's lock) and return the ticket to pass to `sync`."""
        if self._file is not None:
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._written += 1
        return self._written

    def sync(self, ticket: int) -> None:
        """Return once that line is on the disk; writers that waited together share one fsync."""
        if self._file is None:
            return
        with self._sync_lock:
            if self._synced < ticket:
                reached = self._written
                os.fsync(self._file.fileno())
                self._synced = reached


class Book:
    """Everything the provider knows: movements and idempotency keys, rebuilt from the journal at start."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.lock = threading.Lock()
        self._forget()
        for line in journal.lines():
            if line.get("reset"):
                self._forget()
            else:
                self._learn(line)

    def _forget(self) -> None:
        self.charges: dict[str, Movement] = {}
        self.movements: list[Movement] = []
        self.by_reference: defaultdict[tuple[str, str], list[Movement]] = defaultdict(list)
        self.by_charge: defaultdict[str, list[Movement]] = defaultdict(list)
        self.keys: dict[str, Saved] = {}

    def _learn(self, line: dict[str, Any]) -> None:
        for raw in line["movements"]:
            movement = Movement(**raw)
            self.movements.append(movement)
            self.by_reference[movement.object, movement.reference].append(movement)
            if movement.charge is None:
                self.charges[movement.id] = movement
            else:
                self.by_charge[movement.charge].append(movement)
        if line["key"] is not None:
            self.keys[line["key"]] = Saved(line["fingerprint"], line["at"], (line["status"], line["body"]))

    def reset(self) -> None:
        with self.lock:
            self._forget()
            ticket = self.journal.append({"reset": True})
        self.journal.sync(ticket)

    def begin(self, key: str, fingerprint: str, ttl: float) -> Reply | None:
        """Take an idempotency key: None means go ahead, a reply is what was answered before."""
        now = time.time()
        with self.lock:
            saved = self.keys.get(key)
            if saved is None or (saved.reply is not None and now - saved.at > ttl):
                self.keys[key] = Saved(fingerprint, now)
                return None
            if saved.fingerprint != fingerprint:
                raise Refused(400, "idempotency_key_reused", "This key was used with other parameters.")
            if saved.reply is None:
                raise Refused(409, "idempotency_key_in_use", "The first request with this key is still in progress.")
            return saved.reply

    def release(self, key: str) -> None:
        """Give back a key whose request kept no answer."""
        with self.lock:
            if (saved := self.keys.get(key)) and saved.reply is None:
                del self.keys[key]

    def act(self, order: Order) -> Reply:
        """Decide, move the money and keep the answer in one journal line."""
        now, key = time.time(), order.key
        with self.lock:
            try:
                movements = self._decide(order, now)
                pending = movements[0].settles_at > now
                reply: Reply = (202 if pending else 200, self.view(movements[0], now))
            except Refused as refusal:
                movements, reply = [], refusal.reply
            if order.fault == "err500_after":
                reply = server_error(500)
                if order.settings.idempotency == "no5xx":
                    key = None
            if not movements and key is None:
                return reply
            line = {
                "movements": [asdict(movement) for movement in movements],
                "key": key,
                "fingerprint": order.fingerprint,
                "at": now,
                "status": reply[0],
                "body": reply[1],
            }
            ticket = self.journal.append(line)
            self._learn(line)
        self.journal.sync(ticket)
        return reply

    def _decide(self, order: Order, now: float) -> list[Movement]:
        kind, body, fault, settings = order.kind, order.body, order.fault, order.settings
        pending = fault == "pending"
        charge: Movement | None = None
        on_refund: str | None = None
        if kind == "charge":
            amount, currency = body["amount"], body["currency"]
            refuse_card(body["token"], declined=fault == "decline")
            pending = pending or body["token"] in CHARGE_PENDS
            on_refund = "fail" if body["token"] in REFUND_FAILS else "pend" if body["token"] in REFUND_PENDS else None
        else:
            charge = self.charges.get(body["charge"])
            if charge is None:
                raise Refused(400, "resource_missing", "There is no such charge.")
            currency = charge.currency
            if kind == "refund":
                amount = body["amount"]
                self._refuse_refund(charge, amount, now, declined=fault == "decline")
                pending = pending or charge.on_refund == "pend"
            else:
                amount = charge.amount
                self._refuse_void(charge, now, settings, declined=fault == "decline")
        return [
            Movement(
                id=f"{PREFIXES[kind]}_{secrets.token_hex(12)}",
                object=kind,
                reference=body["reference"],
                amount=amount,
                currency=currency,
                at=now,
                settles_at=now + settings.pending_s if pending else now,
                charge=charge.id if charge else None,
                on_refund=on_refund,
                metadata=body.get("metadata") or {},
            )
            for _ in range(2 if fault == "double" and kind != "void" else 1)
        ]

    def _refuse_refund(self, charge: Movement, amount: int, now: float, *, declined: bool) -> None:
        if charge.settles_at > now or self._voided(charge):
            raise Refused(400, "not_refundable", "This charge is not captured, so there is nothing to refund.")
        if amount > charge.amount - self._refunded(charge):
            raise Refused(400, "amount_too_large", "The refund is larger than what is left of the charge.")
        if declined or charge.on_refund == "fail":
            raise Refused(400, "refund_failed", "The card's bank did not accept the refund.")

    def _refuse_void(self, charge: Movement, now: float, settings: Settings, *, declined: bool) -> None:
        if charge.settles_at > now or now - charge.at > settings.settled_after_s or self.by_charge[charge.id]:
            raise Refused(400, "not_voidable", "The charge is pending, settled, refunded or voided already.")
        if declined:
            raise Refused(400, "not_voidable", "The card's bank did not accept the void.")

    def _refunded(self, charge: Movement) -> int:
        return sum(m.amount for m in self.by_charge[charge.id] if m.object == "refund")

    def _voided(self, charge: Movement) -> bool:
        return any(m.object == "void" for m in self.by_charge[charge.id])

    def view(self, movement: Movement, now: float) -> dict[str, Any]:
        pending = movement.settles_at > now
        done_at = None if pending else datetime.fromtimestamp(movement.settles_at, UTC).isoformat()
        shown = {
            "id": movement.id,
            "object": movement.object,
            "status": "pending" if pending else "succeeded",
            "amount": movement.amount,
            "currency": movement.currency,
            "reference": movement.reference,
        }
        if movement.charge is not None:
            return {**shown, "charge": movement.charge, "completed_at": done_at}
        return {
            **shown,
            "captured_at": done_at,
            "amount_refunded": self._refunded(movement),
            "voided": self._voided(movement),
            "metadata": movement.metadata,
        }

    def find(self, kind: str, reference: str, lag: float) -> list[dict[str, Any]]:
        now = time.time()
        with self.lock:
            return [self.view(m, now) for m in self.by_reference.get((kind, reference), ()) if m.at + lag <= now]

    def captured(self, start: int, end: int, after: str) -> dict[str, Any]:
        """A page of the charges captured in a window, oldest first."""
        now = time.time()
        with self.lock:
            found = [m for m in self.charges.values() if start <= m.settles_at < min(end, now)]
            found.sort(key=lambda m: (m.settles_at, m.id))
            if after in self.charges:
                last = self.charges[after]
                found = [m for m in found if (m.settles_at, m.id) > (last.settles_at, last.id)]
            page = found[:LIST_AT_ONCE]
            return {"data": [self.view(m, now) for m in page], "has_more": len(found) > len(page)}

    def charge(self, charge_id: str) -> dict[str, Any]:
        with self.lock:
            if (movement := self.charges.get(charge_id)) is None:
                raise Refused(404, "resource_missing", "There is no such charge.")
            return self.view(movement, time.time())

    def ledger(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Say what moved, by kind and reference; more than one entry under a charge's reference is a double."""
        now = time.time()
        told: dict[str, dict[str, list[dict[str, Any]]]] = {
            "captured": {},
            "refunded": {},
            "voided": {},
            "pending": {},
        }
        columns = {"charge": "captured", "refund": "refunded", "void": "voided"}
        with self.lock:
            for movement in self.movements:
                column = "pending" if movement.settles_at > now else columns[movement.object]
                told[column].setdefault(movement.reference, []).append(self.view(movement, now))
        return told
