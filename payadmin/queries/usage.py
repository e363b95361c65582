"""Questions about consumption: whose client services they are, and how much they were used (S1, HD1-HD4).

A day is a day of the business time zone. Every figure here is the sum of the rows that the Usage list shows for the
same days, so that each can lead there.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, case, false, func, or_, select, union
from sqlalchemy.orm import Session

from payadmin.models.parties import Organization
from payadmin.models.usage import ClientService, ClientServiceStatus, UsageDaily
from payadmin.permissions import GRANTS, Permission, Role

MONTHS: Final = 6
DAYS: Final = 30
SHOWN_SERVICES: Final = 5
OUTSIDERS: Final = frozenset({Role.ISSUER, Role.PARTNER})
_DAY: Final = dt.timedelta(days=1)


def is_confined(roles: frozenset[Role]) -> bool:
    """Whether somebody with these roles sees the client services of their own organization only."""
    others = roles - OUTSIDERS
    return bool(roles & OUTSIDERS) and not any(Permission.USAGE_SERVICE_READ in GRANTS[role] for role in others)


def belongs_to(organization_id: int | None, roles: frozenset[Role] = OUTSIDERS) -> ColumnElement[bool]:
    """The condition that a client service is one of the organization's.

    A partner's are those that it owns, an issuer's those that it issues; with both roles both. Without an organization
    there are none.
    """
    if organization_id is None:
        return false()
    sides = roles & OUTSIDERS or OUTSIDERS
    owned = [ClientService.organization_id == organization_id] if Role.PARTNER in sides else []
    issued = [ClientService.issuer_id == organization_id] if Role.ISSUER in sides else []
    return or_(*owned, *issued)


def usage_of(services: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition that a count is one of those services'."""
    return UsageDaily.client_service_id.in_(select(ClientService.id).where(services))


def dealt_with(organization_id: int | None, roles: frozenset[Role]) -> Any:
    """The organization itself, and those at the other side of its client services: a selection of ids."""
    own = belongs_to(organization_id, roles)
    sides = (ClientService.organization_id, ClientService.issuer_id)
    return union(
        select(Organization.id).where(Organization.id == organization_id),
        *(select(side).where(own, side.is_not(None)) for side in sides),
    )


@dataclass(frozen=True)
class Bucket:
    """A month or a day: how many operations, and which services had most of them.

    Attributes:
        first, last: the days it holds, both included; the last one of the current month is today.
        count: all operations.
        top: up to five services with their names and counts, most first.
        rest: what all other services had.
    """

    first: dt.date
    last: dt.date
    count: int
    top: tuple[tuple[str, int], ...] = ()
    rest: int = 0


@dataclass(frozen=True)
class Consumption:
    """What Home shows of an organization.

    Attributes:
        today: the business day that it was asked on.
        counts_all: whether all services are counted, whatever their status (a partner's, T9), or the active ones.
        services: how many they are.
        months: six, the current one last and only as far as it has come.
        days: thirty, today last.
        same_days: operations of the previous month up to the same day of the month.
    """

    today: dt.date
    counts_all: bool
    services: int
    months: tuple[Bucket, ...]
    days: tuple[Bucket, ...]
    same_days: int

    @property
    def this_month(self) -> Bucket:
        """The current month so far."""
        return self.months[-1]

    @property
    def last_month(self) -> Bucket:
        """The whole previous month."""
        return self.months[-2]

    @property
    def change(self) -> int | None:
        """This month so far against the whole previous one (T10)."""
        return change(self.this_month.count, self.last_month.count)

    @property
    def average_tenths(self) -> int:
        """Operations a day over the thirty days, days without any included, in tenths (HD3)."""
        return rounded(10 * sum(day.count for day in self.days), len(self.days))


def change(now: int, before: int) -> int | None:
    """How much more or less than before, in tenths of a percent; None: there was nothing before, and now there is."""
    if before == 0:
        return 0 if now == 0 else None
    return rounded(1000 * (now - before), before)


def rounded(number: int, parts: int) -> int:
    """`number` divided by `parts`, rounded to the nearest whole, halves away from nought."""
    whole = (2 * abs(number) + parts) // (2 * parts)
    return whole if number >= 0 else -whole


def month_buckets(today: dt.date) -> list[tuple[dt.date, dt.date]]:
    """The first and last days of the last six months, the current one up to today (HD2)."""
    first, found = today.replace(day=1), [(today.replace(day=1), today)]
    while len(found) < MONTHS:
        last = first - _DAY
        first = last.replace(day=1)
        found.append((first, last))
    return found[::-1]


def day_buckets(today: dt.date) -> list[tuple[dt.date, dt.date]]:
    """The last thirty days, today included (HD2)."""
    days = (today - back * _DAY for back in reversed(range(DAYS)))
    return [(day, day) for day in days]


def consumption(
    session: Session, *, organization_id: int | None, roles: frozenset[Role], today: dt.date
) -> Consumption:
    """What an organization's client services were used, seen by somebody with `roles`; a handful of questions."""
    services = belongs_to(organization_id, roles)
    counts_all = Role.PARTNER in roles  # also with both roles: the note is unconditional (T9)
    counted = services if counts_all else services & (ClientService.status == ClientServiceStatus.ACTIVE)
    months, days = month_buckets(today), day_buckets(today)
    previous = months[-2]
    same_day = previous[0].replace(day=min(today.day, previous[1].day))
    split = _Split()
    split.add("month", session.execute(_by_bucket(services, months)).tuples())
    split.add("day", session.execute(_by_day(services, days[0][0], today)).tuples())
    names = split.names(session)
    in_previous = select(func.coalesce(func.sum(UsageDaily.operations), 0)).where(
        usage_of(services), UsageDaily.day.between(previous[0], same_day)
    )
    return Consumption(
        today=today,
        counts_all=counts_all,
        services=session.scalar(select(func.count()).select_from(ClientService).where(counted)) or 0,
        months=tuple(split.bucket("month", place, *span, names) for place, span in enumerate(months)),
        days=tuple(split.bucket("day", span[0], *span, names) for span in days),
        same_days=int(session.scalar(in_previous) or 0),
    )


def total_of(session: Session, rows: Any) -> int:
    """The operations of all counts that a selection of `UsageDaily` holds."""
    statement = rows.with_only_columns(func.sum(UsageDaily.operations), maintain_column_froms=True).order_by(None)
    return int(session.scalar(statement) or 0)


def _by_bucket(services: ColumnElement[bool], buckets: Sequence[tuple[dt.date, dt.date]]) -> Any:
    # A CASE, because the databases do not agree on what a month is called; one row for each bucket and service.
    place = case(*((UsageDaily.day <= last, number) for number, (_, last) in enumerate(buckets)))
    return (
        select(place.label("place"), UsageDaily.client_service_id, func.sum(UsageDaily.operations))
        .where(usage_of(services), UsageDaily.day.between(buckets[0][0], buckets[-1][1]))
        .group_by(place, UsageDaily.client_service_id)
    )


def _by_day(services: ColumnElement[bool], first: dt.date, last: dt.date) -> Any:
    return (
        select(UsageDaily.day, UsageDaily.client_service_id, func.sum(UsageDaily.operations))
        .where(usage_of(services), UsageDaily.day.between(first, last))
        .group_by(UsageDaily.day, UsageDaily.client_service_id)
    )


@dataclass
class _Split:
    """Sums by month or day and service."""

    sums: dict[tuple[str, Any], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, rows: Iterable[tuple[Any, int, Any]]) -> None:
        """Take rows of (bucket, service, sum)."""
        for place, service_id, operations in rows:
            self.sums[kind, place].append((service_id, int(operations)))

    def names(self, session: Session) -> dict[int, str]:
        """The names of the services that are among the first of any bucket."""
        wanted = {service_id for sums in self.sums.values() for service_id, _ in _most(sums)}
        named = select(ClientService.id, ClientService.name).where(ClientService.id.in_(wanted))
        return dict(session.execute(named).tuples().all()) if wanted else {}

    def bucket(self, kind: str, place: Any, first: dt.date, last: dt.date, names: dict[int, str]) -> Bucket:
        """The bucket with its first services by name."""
        sums = self.sums.get((kind, place), [])
        count, most = sum(operations for _, operations in sums), _most(sums)
        top = tuple((names[service_id], operations) for service_id, operations in most if operations)
        return Bucket(first, last, count, top, count - sum(operations for _, operations in most))


def _most(sums: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The services with the highest counts; of equal ones the oldest first."""
    return sorted(sums, key=lambda pair: (-pair[1], pair[0]))[:SHOWN_SERVICES]
