"""Counts that come in: each stands for one service, operation, day and source, however often it is said (HD1).

The same count again changes nothing; another count takes the place of the first, and the trail says both. Either a
whole report is taken or nothing of it.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Table, insert, select

from payadmin import once as repeated
from payadmin.audit import Event
from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import _
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.usage import ClientService, UsageDaily
from payadmin.once import Once
from payadmin.permissions import Permission
from payadmin.queries.usage import belongs_to
from payadmin.work import Work, use_case

MOST_ENTRIES: Final = 1000
FIRST_DAY: Final = dt.date(2000, 1, 1)
UNKNOWN: Final = _("There is no such client service.")
_BATCH: Final = 500
_USAGE = cast("Table", UsageDaily.__table__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counted:
    """What one source counted: `count` operations of one kind of a service on a day.

    `place` is where the sender wrote it: the number of the entry, or the row of the file.
    """

    place: int
    service: str
    operation: str
    day: dt.date
    source: str
    count: int


class Wrong(NamedTuple):
    """An entry that is refused: where it stands, what of it is wrong, and why."""

    place: int
    field: str
    sentence: str


class Key(NamedTuple):
    """What a count stands for."""

    service_id: int
    operation: str
    day: dt.date
    source: str


class Known(NamedTuple):
    """A count that is there already."""

    row_id: int
    operations: int


@use_case(Permission.USAGE_COUNT_REPORT)
def report_usage(work: Work, entries: Sequence[Counted], *, zone: ZoneInfo, once: Once | None = None) -> dict[str, Any]:
    """Take counts over, all of them or none.

    Args:
        entries: at most 1,000, each with its place among them.
        zone: the business time zone, in which days begin.
        once: makes the whole report be taken once, if its sender asked for that.

    Returns:
        How many counts were created, replaced and unchanged.

    Raises:
        Invalid: an entry names a service that the actor's organization does not have, a day that has not come, or
            says the same thing twice; `data["errors"]` holds pointers. Nothing was changed.
        Conflict: the Idempotency-Key was used for something else.
    """
    if (earlier := repeated.claim(work, once)) is not None:
        return earlier
    wrong, done = take_over(work, entries, zone)
    if wrong:
        errors = [(f"#/entries/{each.place}/{each.field}", each.sentence) for each in wrong]
        raise Invalid("Some entries cannot be taken. Nothing was changed.", errors=errors[:MOST_ENTRIES])
    return repeated.keep(work, once, done)


def take_over(work: Work, entries: Sequence[Counted], zone: ZoneInfo) -> tuple[list[Wrong], dict[str, int]]:
    """Check the entries, and store them if nothing is wrong with any.

    Returns:
        What is wrong, in the order of the entries; and how many counts were created, replaced and unchanged.
    """
    services = _services(work, {entry.service for entry in entries})
    wrong = list(_mistakes(entries, services, today=work.now.astimezone(zone).date()))
    if wrong:
        return wrong, {}
    wanted = {Key(services[e.service], e.operation, e.day, e.source): e.count for e in entries}
    _lock(work, {key.service_id for key in wanted})
    known = _known(work, wanted)
    created = {key: count for key, count in wanted.items() if key not in known}
    changed = {key: count for key, count in wanted.items() if key in known and known[key].operations != count}
    _create(work, created)
    for key, count in changed.items():
        _replace(work, known[key], count)
    return [], {
        "created": len(created),
        "replaced": len(changed),
        "unchanged": len(wanted) - len(created) - len(changed),
    }


def _services(work: Work, codes: set[str]) -> dict[str, int]:
    """The services with these codes that the actor may speak of: those of its organization; the system's has all."""
    found: dict[str, int] = {}
    everything = work.actor.organization_id is None or work.exists(
        Organization.id == work.actor.organization_id, Organization.kind == OrganizationKind.SYSTEM
    )
    for some in _batches(sorted(codes)):
        statement = select(ClientService.code, ClientService.id).where(ClientService.code.in_(some))
        if not everything:
            statement = statement.where(belongs_to(work.actor.organization_id))
        found.update(work.session.execute(statement).all())
    return found


def _mistakes(entries: Iterable[Counted], services: Mapping[str, int], *, today: dt.date) -> Iterator[Wrong]:
    first: dict[tuple[str, str, dt.date, str], int] = {}
    for entry in entries:
        if entry.service not in services:
            # Also the answer for a service of somebody else: who has which is nobody's business.
            yield Wrong(entry.place, "service", UNKNOWN)
        if entry.day > today:
            yield Wrong(
                entry.place, "day", _("This day has not come yet; today is %(today)s.", today=today.isoformat())
            )
        if entry.day < FIRST_DAY:
            yield Wrong(entry.place, "day", _("Days begin with %(first)s.", first=FIRST_DAY.isoformat()))
        key = entry.service, entry.operation, entry.day, entry.source
        if (other := first.setdefault(key, entry.place)) != entry.place:
            sentence = _("The same service, operation, day and source stands at %(place)s already.", place=other)
            yield Wrong(entry.place, "operation", sentence)


def _lock(work: Work, service_ids: set[int]) -> None:
    """Let reports about the same services follow each other, always in the same order."""
    for some in _batches(sorted(service_ids)):
        held = select(ClientService.id).where(ClientService.id.in_(some)).order_by(ClientService.id)
        work.session.execute(held.with_for_update(key_share=True)).all()


def _known(work: Work, wanted: Mapping[Key, int]) -> dict[Key, Known]:
    """The counts that stand for the same already: one question for each service, whatever the number of counts."""
    days: dict[int, list[dt.date]] = defaultdict(list)
    for key in wanted:
        days[key.service_id].append(key.day)
    found: dict[Key, Known] = {}
    for service_id, some in days.items():
        columns = (UsageDaily.operation, UsageDaily.day, UsageDaily.source, UsageDaily.id, UsageDaily.operations)
        statement = select(*columns).where(
            UsageDaily.client_service_id == service_id, UsageDaily.day.between(min(some), max(some))
        )
        for operation, day, source, row_id, operations in work.session.execute(statement):
            key = Key(service_id, operation, day, source)
            if key in wanted:
                found[key] = Known(row_id, operations)
    return found


def _create(work: Work, created: Mapping[Key, int]) -> None:
    rows = [
        {
            "client_service_id": key.service_id,
            "operation": key.operation,
            "day": key.day,
            "source": key.source,
            "operations": count,
        }
        for key, count in created.items()
    ]
    # One sentence for each service explains all of its new counts.
    for some in _batches(rows):
        work.session.execute(insert(_USAGE).execution_options(explained=True), some)
    days: dict[int, list[dt.date]] = defaultdict(list)
    for key in created:
        days[key.service_id].append(key.day)
    for service_id, theirs in sorted(days.items()):
        service = work.get(ClientService, service_id)
        after = {"counts": len(theirs), "first_day": min(theirs), "last_day": max(theirs)}
        work.record(Event.USAGE_REPORTED, service, after=after, client_service=service.code)


def _replace(work: Work, known: Known, count: int) -> None:
    work.change(UsageDaily, known.row_id, operations=count)
    row = work.get(UsageDaily, known.row_id)
    work.record(
        Event.USAGE_REPLACED,
        row,
        before={"operations": known.operations},
        after={"operations": count},
        operation=row.operation,
        source=row.source,
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
