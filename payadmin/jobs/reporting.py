"""Upkeep of the figures: the scheduler folds what changed, and builds all days anew when the time zone changed."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from payadmin.actions import reporting
from payadmin.db import db
from payadmin.queries import billing
from payadmin.queries.billing import frames_of
from payadmin.queries.reporting import (
    ONE_DAY,
    Span,
    differences,
    folded_days,
    has_changes,
    known_days,
    state,
)
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    import datetime as dt
    from zoneinfo import ZoneInfo

TICK_SECONDS = 3.0
PIECE_DAYS = 14


def keep_rollups(zone: "ZoneInfo", *, seconds: float = TICK_SECONDS) -> int:
    """Build days that are missing, then fold what changed; what does not fit into `seconds` waits for the next tick.

    Returns:
        How many changes were folded.
    """
    end = time.monotonic() + seconds
    found, waits = state(db.session()), has_changes(db.session())
    is_ready = found is not None and found.zone == zone.key
    is_building = found is not None and found.building is not None
    db.session.rollback()
    if not is_ready or is_building:
        if not is_building or not is_ready:
            reporting.begin_rebuild(SYSTEM, zone=zone)
        while reporting.rebuild_days(SYSTEM, zone=zone) is not None:
            if time.monotonic() > end:
                return 0
    folded = 0
    while waits and (some := reporting.fold_changes(SYSTEM, zone=zone)) > 0:
        folded += some
        if some < reporting.MOST_FOLDED or time.monotonic() > end:
            break
    return folded


def rebuild(zone: "ZoneInfo", *, afresh: bool, step: Callable[[int, int], None]) -> int:
    """Build every day anew, or go on where a rebuild stopped. Returns how many days were left to be built."""
    left = reporting.begin_rebuild(SYSTEM, zone=zone, afresh=afresh) or _left(zone)
    total = left.days if left is not None else 0
    while left is not None:
        step(total - min(left.days, total), total)
        # The scheduler may be at it too: what it does need not be done here.
        left = reporting.rebuild_days(SYSTEM, zone=zone) or _left(zone)
    step(total, total)
    return total


def _left(zone: "ZoneInfo") -> Span | None:
    """What is left of a rebuild, whoever does it."""
    found = state(db.session())
    db.session.rollback()
    if found is None or found.building != zone.key or found.next_day is None or found.last_day is None:
        return None
    return Span(found.next_day, found.last_day)


def compare(zone: "ZoneInfo", *, step: Callable[[int, int], None]) -> tuple[int, list[str]]:
    """Compare rollups and journal with the payments, some days at a time. Returns the days and what differs."""
    session = db.session()
    ends = [span for span in (known_days(session, zone), folded_days(session)) if span is not None]
    if not ends:
        return 0, []
    first, last = min(span.first for span in ends), max(span.last for span in ends)
    total, found, day = (last - first).days + 1, list[str](), first
    while day <= last:
        until: dt.date = min(day + ONE_DAY * (PIECE_DAYS - 1), last)
        found += map(str, differences(session, zone, Span(day, until)))
        # Each week and month with the days in which it ends.
        whole = [frame for frame in frames_of(Span(day, until)) if until == last or frame.span.last <= until]
        found += billing.differences(session, zone, whole)
        session.rollback()
        day = until + ONE_DAY
        step((day - first).days, total)
    return total, found
