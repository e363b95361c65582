"""Reading the trail to prove it: every seal, every event under it, and what came after the last one."""

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from payadmin.kernel import seals
from payadmin.kernel.text import _
from payadmin.models.audit import AuditCheck, AuditEvent, AuditSeal

EVENTS_AT_ONCE = 20_000
SEALS_AT_ONCE = 500
MOST_BREAKS = 100
Event = Mapping[Any, Any]
SEALED_WITHIN = dt.timedelta(minutes=10)
COLUMNS = (AuditEvent.id, AuditEvent.signature, *(getattr(AuditEvent, name) for name in seals.SIGNED))

# What a break is, in a few words, and what it means.
BREAKS = {
    "changed": _("%(what)s was changed after it was written."),
    "moved": _("%(what)s holds what another event held: rows were exchanged."),
    "gone": _("%(what)s is gone: it was deleted after it was sealed."),
    "inserted": _("%(what)s appeared in the middle of what was sealed long before."),
    "forged": _("%(what)s was not written by payadmin: nobody signed it, or with another key."),
    "copied": _("%(what)s is a copy of another event."),
    "seal": _("%(what)s was changed, or made by somebody without the key."),
    "seals": _("%(what)s are gone: the chain has a hole."),
    "cut": _("%(what)s was kept outside, but the trail does not know it: its end was cut off and written anew."),
    "lost": _("%(what)s ended an earlier verification, but the trail does not know it any more: its end was cut off."),
    "late": _("%(what)s still waits for its seal. Does `payadmin scheduler` run?"),
}


@dataclass
class Progress:
    """How far a verification is; what it needs to go on, and what it found."""

    seal_id: int = 0
    seal_mac: str = ""
    last_id: int = 0
    events: int = 0
    unsealed: int = 0
    adopted: int = 0
    broken: int = 0
    breaks: list[dict[str, Any]] = field(default_factory=list)

    def note(self, kind: str, what: str, **more: Any) -> None:
        """Write a break down; beyond the first hundred they are only counted."""
        self.broken += 1
        if len(self.breaks) < MOST_BREAKS:
            self.breaks.append({"kind": kind, "what": what, "sentence": BREAKS[kind].of(what=what), **more})

    @property
    def head(self) -> str:
        """The last seal as it is kept outside."""
        return f"{self.seal_id}:{self.seal_mac}"


def latest_seal(session: Session) -> AuditSeal | None:
    """The newest seal."""
    return session.scalars(select(AuditSeal).order_by(AuditSeal.id.desc()).limit(1)).first()


def latest_check(session: Session) -> AuditCheck | None:
    """The newest verification, finished or not."""
    return session.scalars(select(AuditCheck).order_by(AuditCheck.id.desc()).limit(1)).first()


def events_between(session: Session, first: int, last: int) -> Iterator[Event]:
    """Every event with a number in the range, in order, read without holding them all."""
    statement = select(*COLUMNS).where(AuditEvent.id.between(first, last)).order_by(AuditEvent.id)
    yield from session.execute(statement.execution_options(yield_per=1_000)).mappings()


def present(session: Session, missing: Sequence[seals.Range]) -> list[int]:
    """Which of the missing numbers belong to somebody now."""
    found: list[int] = []
    for first, last, _mac in missing:
        found += session.scalars(
            select(AuditEvent.id).where(AuditEvent.id.between(first, last)).order_by(AuditEvent.id)
        ).all()
    return found


def told(row: Event) -> dict[str, Any]:
    """What a break says about its event."""
    return {"event": row["event"], "by": row["actor_name"], "at": row["at"].isoformat(timespec="seconds")}


class Verification:
    """One walk through the whole trail, in steps that each read a bounded number of rows.

    Args:
        session: reads only.
        keys: the trail's keys (`kernel.seals.seal_keys`).
        progress: where an earlier step stopped.
    """

    def __init__(self, session: Session, keys: Sequence[bytes], progress: Progress) -> None:
        self.session = session
        self.keys = keys
        self.progress = progress
        late = session.execute(select(AuditSeal.id, AuditSeal.late).where(AuditSeal.late.is_not(None)))
        self.late = {event_id: seal_id for seal_id, ids in late for event_id in ids or ()}
        newest = latest_seal(session)
        self.open = newest.gaps() if newest is not None else []

    def run(self, *, seconds: float | None = None, step: Any = None) -> bool:
        """Walk on; whether the end was reached.

        Args:
            seconds: stop after about this long.
            step: told the number of events looked at so far.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while self._some_seals():
            if step is not None:
                step(self.progress.events)
            if end is not None and time.monotonic() > end:
                return False
        self._beyond_the_seals()
        self._copies()
        self._lost_ends()
        return True

    def size(self) -> int:
        """About how many events there are to look at."""
        newest = latest_seal(self.session)
        return newest.last_id if newest is not None else 0

    def compare_head(self, kept: str) -> None:
        """Look for a seal that was kept outside as "number:MAC"."""
        number, _, mac = kept.strip().partition(":")
        seal = self.session.get(AuditSeal, int(number)) if number.isdigit() else None
        if kept.strip() not in {"", "0:"} and (seal is None or seal.mac != mac):
            self.progress.note("cut", f"Seal {number}")

    def _some_seals(self) -> bool:
        progress = self.progress
        sizes = self.session.execute(
            select(AuditSeal.id, AuditSeal.count)
            .where(AuditSeal.id > progress.seal_id)
            .order_by(AuditSeal.id)
            .limit(SEALS_AT_ONCE)
        ).all()
        total, last = 0, 0
        for seal_id, count in sizes:
            total, last = total + count, seal_id
            if total >= EVENTS_AT_ONCE:
                break
        if not last:
            return False
        found = self.session.scalars(
            select(AuditSeal).where(AuditSeal.id.between(progress.seal_id + 1, last)).order_by(AuditSeal.id)
        ).all()
        events = events_between(self.session, found[0].first_id, found[-1].last_id)
        row = next(events, None)
        for seal in found:
            rows: dict[int, Event] = {}
            while row is not None and row["id"] <= seal.last_id:
                rows[row["id"]] = row
                row = next(events, None)
            self._seal(seal, rows)
        self.session.expunge_all()
        return True

    def _seal(self, seal: AuditSeal, rows: dict[int, Event]) -> None:
        progress, sealed = self.progress, seal.sealed()
        if seal.id != progress.seal_id + 1:
            progress.note("seals", f"Seals {progress.seal_id + 1} to {seal.id - 1}", seal=seal.id)
            self._orphans(progress.last_id + 1, seal.first_id - 1)
        is_whole = seals.is_sealed(self.keys, sealed, seal.mac)
        follows = seal.previous == progress.seal_mac or seal.id != progress.seal_id + 1
        if not is_whole or not follows:
            progress.note("seal", f"Seal {seal.id}", seal=seal.id)
        progress.seal_id, progress.seal_mac, progress.last_id = seal.id, seal.mac, seal.last_id
        expected = list(seals.present(seal.first_id, seal.last_id, sealed.missing))
        late = {row["id"]: row for row in self._late(sealed.late)}
        places = [*expected, *sealed.late]
        for place, number in enumerate(places):
            row = rows.get(number) or late.get(number)
            self._place(seal, number, row, sealed.leaves[place * seals.LEAF_BYTES : (place + 1) * seals.LEAF_BYTES])
        for number in rows.keys() - set(expected):
            if number not in self.late:
                self._stray(rows[number])
        progress.events += len(places)
        progress.adopted += len(places) if seal.adopted else 0

    def _place(self, seal: AuditSeal, number: int, row: Event | None, kept: bytes) -> None:
        if row is None:
            self.progress.note("gone", f"Event {number}", id=number, seal=seal.id)
            return
        written = seals.content(row)
        is_signed = seals.is_signed(self.keys, written, row["signature"])
        if seals.leaf(number, row["signature"], written)[: seals.LEAF_BYTES] != kept:
            kind = "moved" if is_signed else "changed"
            self.progress.note(kind, f"Event {number}", id=number, seal=seal.id, **told(row))
        elif not is_signed and not (seal.adopted and row["signature"] is None):
            self.progress.note("forged", f"Event {number}", id=number, seal=seal.id, **told(row))

    def _stray(self, row: Event) -> None:
        """An event where its seal says there was nobody: late at best."""
        number = row["id"]
        is_open = any(first <= number <= last for first, last, _ in self.open)
        if not seals.is_signed(self.keys, seals.content(row), row["signature"]):
            self.progress.note("forged", f"Event {number}", id=number, **told(row))
        elif not is_open:
            self.progress.note("inserted", f"Event {number}", id=number, **told(row))

    def _orphans(self, first: int, last: int) -> None:
        for row in events_between(self.session, first, last):
            self.progress.events += 1
            if not seals.is_signed(self.keys, seals.content(row), row["signature"]):
                self.progress.note("forged", f"Event {row['id']}", id=row["id"], **told(row))

    def _late(self, ids: Sequence[int]) -> list[Event]:
        if not ids:
            return []
        return list(self.session.execute(select(*COLUMNS).where(AuditEvent.id.in_(ids))).mappings())

    def _beyond_the_seals(self) -> None:
        """What waits for its seal, and what stands before the first number."""
        progress = self.progress
        oldest: Event | None = None
        for row in events_between(self.session, progress.last_id + 1, 2**63 - 1):
            progress.unsealed += 1
            oldest = oldest or row
            if not seals.is_signed(self.keys, seals.content(row), row["signature"]) and self._needs_signature():
                progress.note("forged", f"Event {row['id']}", id=row["id"], **told(row))
        for row in events_between(self.session, -(2**63), 0):
            progress.note("inserted", f"Event {row['id']}", id=row["id"], **told(row))
        newest = self.session.scalar(select(func.max(AuditEvent.at)))
        if oldest is not None and newest is not None and newest - oldest["at"] > SEALED_WITHIN:
            progress.note("late", f"Event {oldest['id']}", id=oldest["id"], **told(oldest))

    def _needs_signature(self) -> bool:
        """Events from before signing began are unsigned until the first seals have adopted them."""
        last = self.session.get(AuditSeal, self.progress.seal_id)
        return last is not None and not last.adopted

    def _copies(self) -> None:
        twice = (
            select(AuditEvent.signature, func.min(AuditEvent.id))
            .where(AuditEvent.signature.is_not(None))
            .group_by(AuditEvent.signature)
            .having(func.count() > 1)
            .limit(MOST_BREAKS)
        )
        for signature, first in self.session.execute(twice).all():
            copies = select(*COLUMNS).where(AuditEvent.signature == signature, AuditEvent.id != first)
            for row in self.session.execute(copies).mappings():
                self.progress.note("copied", f"Event {row['id']}", id=row["id"], **told(row))

    def _lost_ends(self) -> None:
        """The seals at which earlier verifications ended: cut off together with their events, nothing else misses them.

        Whoever cuts these verifications off too is found by a seal that was kept outside only.
        """
        lost = (
            select(AuditCheck.seal_id)
            .outerjoin(AuditSeal, AuditSeal.id == AuditCheck.seal_id)
            .where(
                AuditCheck.done_at.is_not(None),
                AuditCheck.broken == 0,
                AuditCheck.seal_id > 0,
                or_(AuditSeal.id.is_(None), AuditSeal.mac != AuditCheck.seal_mac),
            )
            .distinct()
            .order_by(AuditCheck.seal_id)
            .limit(MOST_BREAKS)
        )
        for seal_id in self.session.scalars(lost).all():
            self.progress.note("lost", f"Seal {seal_id}", seal=seal_id)
