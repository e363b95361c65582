"""Questions about consumption: whose client services they are, and how much they were used (S1, HD1-HD4).

A day is a day of the business time zone. Every figure here is the sum of the rows that the Usage list shows for the
same days, so that each can lead there.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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
    """A month or a day: how many operations.

    Attributes:
        first, last: the days it holds, both included; the last one of the current month is today.
        count: all operations.
        rows: how many counts add up to that.
        split: the operations of the services that `Consumption` names for this kind of bucket, in the same order.
    """

    first: dt.date
    last: dt.date
    count: int
    rows: int
    split: tuple[int, ...]

    @property
    def rest(self) -> int:
        """The operations of all services that are not named."""
        return self.count - sum(self.split)


@dataclass(frozen=True)
class Consumption:
    """What Home shows of an organization.

    Attributes:
        today: the business day that it was asked on.
        counts_all: whether all services are counted, whatever their status (a partner's, T9), or the active ones.
        services: how many they are.
        months: six, the current one last and only as far as it has come.
        days: thirty, today last.
        month_names, day_names: the services with most operations in all those months, or days; at most five (HD4).
        same_days: the previous month up to the same day of the month.
    """

    today: dt.date
    counts_all: bool
    services: int
    months: tuple[Bucket, ...]
    days: tuple[Bucket, ...]
    month_names: tuple[str, ...]
    day_names: tuple[str, ...]
    same_days: Bucket

    @property
    def this_month(self) -> Bucket:
        """The current month so far."""
        return self.months[-1]

    @property
    def last_month(self) -> Bucket:
        """The whole previous month."""
        return self.months[-2]

    @property
    def average_tenths(self) -> int:
        """Operations a day over the thirty days, days without any included, in tenths (HD3)."""
        tenths, days = 10 * sum(day.count for day in self.days), len(self.days)
        return (2 * tenths + days) // (2 * days)


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
    """How much an organization's client services were used, for somebody with `roles`; a handful of questions."""
    services = belongs_to(organization_id, roles)
    counts_all = Role.PARTNER in roles  # also with both roles: the note is unconditional (T9)
    counted = services if counts_all else services & (ClientService.status == ClientServiceStatus.ACTIVE)
    month_spans, day_spans = month_buckets(today), day_buckets(today)
    months, month_names = _split(session, services, month_spans)
    days, day_names = _split(session, services, day_spans)
    begin, end = month_spans[-2]
    same_days, _names = _split(session, services, [(begin, begin.replace(day=min(today.day, end.day)))])
    return Consumption(
        today=today,
        counts_all=counts_all,
        services=session.scalar(select(func.count()).select_from(ClientService).where(counted)) or 0,
        months=months,
        days=days,
        month_names=month_names,
        day_names=day_names,
        same_days=same_days[0],
    )


def total_of(session: Session, rows: Any) -> int:
    """The operations of all counts that a selection of `UsageDaily` holds."""
    statement = rows.with_only_columns(func.sum(UsageDaily.operations), maintain_column_froms=True).order_by(None)
    return int(session.scalar(statement) or 0)


def _split(
    session: Session, services: ColumnElement[bool], spans: Sequence[tuple[dt.date, dt.date]]
) -> tuple[tuple[Bucket, ...], tuple[str, ...]]:
    """The buckets of consecutive spans of days, and the names of the services with most operations in all of them."""
    # A CASE, because the databases do not agree on what a month is called; one row for each bucket and service.
    place: Any = case(*((UsageDaily.day <= last, number) for number, (_, last) in enumerate(spans)))
    counts = (
        select(place.label("place"), UsageDaily.client_service_id, UsageDaily.operations)
        .where(usage_of(services), UsageDaily.day.between(spans[0][0], spans[-1][1]))
        .subquery()
    ).c
    sums = select(counts.place, counts.client_service_id, func.sum(counts.operations), func.count()).group_by(
        counts.place, counts.client_service_id
    )
    found: dict[int, dict[int, int]] = defaultdict(dict)
    rows: dict[int, int] = defaultdict(int)
    totals: dict[int, int] = defaultdict(int)
    for number, service_id, operations, count in session.execute(sums):
        found[number][service_id] = int(operations)
        rows[number] += count
        totals[service_id] += int(operations)
    # Of equal ones the oldest first.
    most = sorted((each for each in totals if totals[each]), key=lambda each: (-totals[each], each))[:SHOWN_SERVICES]
    named = select(ClientService.id, ClientService.name).where(ClientService.id.in_(most))
    names = dict(session.execute(named).all()) if most else {}
    buckets = (
        Bucket(
            first,
            last,
            count=sum(found[number].values()),
            rows=rows[number],
            split=tuple(found[number].get(each, 0) for each in most),
        )
        for number, (first, last) in enumerate(spans)
    )
    return tuple(buckets), tuple(names[each] for each in most)
