"""The trail's own acts: sealing what was written, verifying all of it, and noting who read it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from sqlalchemy import func, select

from payadmin.audit import Event
from payadmin.kernel import seals
from payadmin.kernel.errors import Conflict
from payadmin.models.audit import AuditCheck, AuditEvent, AuditSeal
from payadmin.permissions import Permission
from payadmin.queries.audit import COLUMNS, Progress, latest_check, latest_seal, present
from payadmin.work import Work, use_case

SEAL_EVENTS = 2_000
# A transaction that is open for longer than this loses its place: its events count as inserted afterwards.
LATE = dt.timedelta(hours=1)
CHECK_EVERY = dt.timedelta(days=1)
CHECK_JOB = "verify_trail"
_ONE_SEALER = 7_305_114


@use_case(Permission.SYSTEM_JOB_RUN)
def seal_events(work: Work, *, keys: Sequence[bytes], limit: int = SEAL_EVENTS) -> int:
    """Seal the events that came since the last seal; returns how many. Nobody who writes waits for it.

    Numbers that belong to nobody yet, because their transaction is still open or was undone, are written into the seal
    as missing; an event that appears there later is sealed by the next seal as late. Two sealers at once make one seal.

    Args:
        keys: the trail's keys; the first signs.
        limit: the most events of one seal.
    """
    if work.session.get_bind().dialect.name == "postgresql" and not work.session.scalar(
        select(func.pg_try_advisory_xact_lock(_ONE_SEALER))
    ):
        return 0
    last = latest_seal(work.session)
    last_id = last.last_id if last is not None else 0
    rows = (
        work.session.execute(select(*COLUMNS).where(AuditEvent.id > last_id).order_by(AuditEvent.id).limit(limit))
        .mappings()
        .all()
    )
    unsigned = list(takewhile(lambda row: row["signature"] is None, rows))
    adopted = bool(unsigned) and (last is None or last.adopted)
    if adopted:
        rows = unsigned
    missing = last.gaps() if last is not None else []
    late = present(work.session, missing)
    if not rows and not late:
        return 0
    since = int(work.now.timestamp())
    first, end = last_id + 1, rows[-1]["id"] if rows else last_id
    left = seals.without(missing, late, older_than=since - int(LATE.total_seconds()))
    left += seals.ranges(first, end, [row["id"] for row in rows], since)
    found = [*rows, *_rows(work, late)]
    leaves = [seals.leaf(row["id"], row["signature"], seals.content(row)) for row in found]
    sealed = seals.Sealed(
        id=last.id + 1 if last is not None else 1,
        at=work.now,
        first_id=first,
        last_id=end,
        late=late,
        missing=left,
        leaves=b"".join(each[: seals.LEAF_BYTES] for each in leaves),
        root=seals.root(leaves),
        adopted=adopted,
        previous=last.mac if last is not None else "",
    )
    work.add(
        AuditSeal(
            id=sealed.id,
            at=sealed.at,
            first_id=first,
            last_id=end,
            count=len(found),
            late=late or None,
            missing=[list(each) for each in left] or None,
            leaves=sealed.leaves,
            root=sealed.root,
            adopted=adopted,
            previous=sealed.previous,
            mac=seals.mac(keys[0], sealed),
        )
    )
    return len(found)


def _rows(work: Work, ids: Sequence[int]) -> list[Mapping[Any, Any]]:
    if not ids:
        return []
    found = select(*COLUMNS).where(AuditEvent.id.in_(ids)).order_by(AuditEvent.id)
    return list(work.session.execute(found).mappings().all())


@use_case(Permission.AUDIT_EVENT_VERIFY)
def start_check(work: Work, *, by_job: bool = True) -> int:
    """Begin to verify the whole trail, and have a worker do it; returns the number of the verification.

    Args:
        by_job: False when the caller walks through the trail itself, as the command does.

    Raises:
        Conflict: one is going on already.
    """
    running = latest_check(work.session)
    if by_job and running is not None and running.done_at is None and work.now - running.started_at < CHECK_EVERY:
        raise Conflict("The trail is being verified already. Its result will appear on this page.")
    check = work.add(AuditCheck(started_at=work.now, asked_by=work.actor.name))
    work.record(Event.TRAIL_CHECK_STARTED, check)
    if by_job:
        work.promise(CHECK_JOB, check_id=check.id)
    return check.id


@use_case(Permission.SYSTEM_JOB_RUN)
def check_daily(work: Work) -> None:
    """Have the trail verified if nobody did for a day."""
    newest = latest_check(work.session)
    if newest is None or work.now - newest.started_at >= CHECK_EVERY:
        check = work.add(AuditCheck(started_at=work.now, asked_by=work.actor.name))
        work.record(Event.TRAIL_CHECK_STARTED, check)
        work.promise(CHECK_JOB, check_id=check.id)


@use_case(Permission.SYSTEM_JOB_RUN, about=AuditCheck)
def note_check(work: Work, check_id: int, *, progress: Progress, done: bool) -> None:
    """Keep how far a verification is; when it is done, its result goes into the trail. A result is never replaced.

    Args:
        done: whether the end was reached.
    """
    check = work.get(AuditCheck, check_id, lock=True)
    if check.done_at is not None:
        return
    for name, value in vars(progress).items():
        setattr(check, name, value)
    if done:
        check.done_at = work.now
        work.record(
            Event.TRAIL_CHECKED,
            check,
            outcome="failed" if progress.broken else "done",
            events=progress.events,
            broken=progress.broken,
            head=progress.head,
        )


@use_case(Permission.AUDIT_EVENT_READ)
def note_reading(work: Work, *, page: str, criteria: str) -> None:
    """Write down that somebody looked into the trail, and what for (PCI DSS 10.2.1.3).

    Args:
        page: which page it was.
        criteria: the filters and the search, as the page's address has them.
    """
    work.record(Event.TRAIL_READ, page=page, criteria=criteria[:500])
