"""The demo's consumption: two partners and an issuer, their client services, and seven months of counts. All made up.

A count depends on nothing but its service, operation and day, so that every start tells the same story, a few days
longer. Today is told as far as a day usually is by two in the afternoon.
"""

import datetime as dt
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from payadmin.actions import records
from payadmin.actions.usage import Counted, store_usage_file
from payadmin.db import db, utcnow
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.usage import ClientService, ClientServiceStatus, UsageDaily
from payadmin.permissions import Permission
from payadmin.work import SYSTEM

SOURCE: Final = "meter"
ISSUER: Final = "Northgate Issuing"
PARTNER: Final = "Meridian Transit"
FERRIES: Final = "Harbour Ferries"
DAYS: Final = 214
# Whose consumption the accounts of the demo see.
STAFF_OF: Final = {"issuer": ISSUER, "partner": PARTNER}
_KINDS: Final = {
    ISSUER: OrganizationKind.ISSUER,
    PARTNER: OrganizationKind.PARTNER,
    FERRIES: OrganizationKind.PARTNER,
}
_TODAY_PERCENT: Final = 60
_S = ClientServiceStatus


@dataclass(frozen=True, slots=True)
class Service:
    """A client service, and what its operations come to on an ordinary day.

    `ended` is how many days ago its last operation was; None: it is in use.
    """

    code: str
    name: str
    owner: str
    is_issued: bool
    status: ClientServiceStatus
    operations: dict[str, int]
    ended: int | None = None


SERVICES: Final = (
    Service("MT-WALLET", "Ticket wallet", PARTNER, True, _S.ACTIVE, {"issue": 900, "verify": 4200, "redeem": 860}),
    Service("MT-POINTS", "Loyalty points", PARTNER, True, _S.ACTIVE, {"earn": 2600, "spend": 340}),
    Service("MT-PLANNER", "Journey planner", PARTNER, False, _S.ACTIVE, {"plan": 1500}),
    Service("MT-PARKING", "Parking", PARTNER, True, _S.SUSPENDED, {"issue": 260, "verify": 300}, ended=19),
    Service("MT-VOUCHERS", "Paper vouchers", PARTNER, True, _S.INACTIVE, {"redeem": 120}, ended=96),
    Service("HF-BOARDING", "Boarding passes", FERRIES, True, _S.ACTIVE, {"issue": 700, "verify": 1300}),
    Service("HF-CABINS", "Cabin booking", FERRIES, False, _S.ACTIVE, {"book": 90, "cancel": 12}),
)


def load_usage(zone: ZoneInfo) -> dict[str, int]:
    """Make the organizations and services that are missing, and tell the counts up to today.

    Returns:
        The ids of the organizations by the demo account that belongs to each.
    """
    today = utcnow().astimezone(zone).date()
    organizations = {name: _organization(name) for name in _KINDS}
    for service in SERVICES:
        _make_service(service, organizations)
    told = db.session.scalar(select(func.max(UsageDaily.day)).where(UsageDaily.source == SOURCE))
    first = today - dt.timedelta(days=DAYS - 1)
    entries = [
        Counted(0, service.code, operation, day, SOURCE, _count(service, operation, day, today))
        for service in SERVICES
        for operation in service.operations
        for day in _days(max(first, told) if told else first, _last_day(service, today, told))
    ]
    if entries:
        store_usage_file(SYSTEM, entries, zone=zone)
    return {username: organizations[name] for username, name in STAFF_OF.items()}


def _organization(name: str) -> int:
    known = db.session.scalar(select(Organization.id).where(Organization.name == name))
    return known or _made(Organization, Permission.PARTIES_ORGANIZATION_WRITE, {"name": name, "kind": _KINDS[name]})


def _make_service(service: Service, organizations: dict[str, int]) -> None:
    if db.session.scalar(select(ClientService.id).where(ClientService.code == service.code)) is None:
        values = {
            "code": service.code,
            "name": service.name,
            "organization_id": organizations[service.owner],
            "issuer_id": organizations[ISSUER] if service.is_issued else None,
            "status": service.status,
        }
        _made(ClientService, Permission.USAGE_SERVICE_WRITE, values)


def _made(model: type[Any], permission: Permission, values: dict[str, Any]) -> int:
    made: int = records.create_record(SYSTEM, model, permission=permission, values=values)
    return made


def _last_day(service: Service, today: dt.date, told: dt.date | None) -> dt.date:
    """The last day with operations: what had ended when the demo began goes on being ended."""
    if service.ended is None:
        return today
    return dt.date.min if told else today - dt.timedelta(days=service.ended)


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


def _count(service: Service, operation: str, day: dt.date, today: dt.date) -> int:
    """What an ordinary day has, less at weekends, more year by year, with the dice of the day."""
    dice = blake2b(f"{service.code} {operation} {day}".encode(), digest_size=2, person=b"usage").digest()
    percent = 80 + int.from_bytes(dice) % 41
    if day.weekday() >= 5:  # noqa: PLR2004 - Saturday and Sunday
        percent = percent * 55 // 100
    growth = 100 + (day.year - 2026) * 24 + 2 * day.month
    count = service.operations[operation] * percent * growth // 10_000
    return count * _TODAY_PERCENT // 100 if day == today else count
