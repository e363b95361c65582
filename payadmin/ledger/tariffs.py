"""What payments cost their merchants and give their customers back, by what is in force then (LI1, S3:63).

It is worked out once, with the booking of the payment, and kept: a contract or profile that changes later changes
nothing about what was booked, and refunds and voids undo exactly that.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Table, and_, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from payadmin.kernel import tariffs
from payadmin.kernel.tariffs import FundedBy, TransactionType
from payadmin.models.parties import Customer, Organization
from payadmin.models.tariffs import CashbackProfile, ContractTerm, ContractVersion, PaymentTariff

_TARIFF = cast("Table", PaymentTariff.__table__)


@dataclass(frozen=True, slots=True)
class Applied:
    """What one payment costs and gives back; the attributes are those of `PaymentTariff`."""

    month_on: dt.date
    term_id: int | None = None
    commission_minor: int = 0
    returns_commission: bool = False
    profile_id: int | None = None
    customer_id: int | None = None
    cashback_minor: int = 0
    funded_by: FundedBy | None = None


NOTHING: Final = Applied(dt.date.min)


def apply(session: Session, payments: Sequence[Any], zone: ZoneInfo) -> dict[int, Applied]:
    """Work out and keep what payments cost that are booked now; by payment, those that nothing is said about left out.

    Args:
        payments: rows with `id`, `created_at`, `unit`, `merchant_id`, `customer_id` and `captured_minor`.
        zone: whose days and months count.
    """
    merchants = {row.merchant_id for row in payments}
    links = session.execute(
        select(Organization.id, Organization.contract_id, Organization.cashback_profile_id).where(
            Organization.id.in_(merchants),
            or_(Organization.contract_id.is_not(None), Organization.cashback_profile_id.is_not(None)),
        )
    ).all()
    if not links:
        return {}
    contracts = {link.id: link.contract_id for link in links}
    profiles = {link.id: link.cashback_profile_id for link in links}
    terms = _Terms(session, {each for each in contracts.values() if each is not None})
    cashback = _Cashback(session, {each for each in profiles.values() if each is not None}, payments, profiles, zone)
    found: dict[int, Applied] = {}
    for row in payments:
        term = terms.of(contracts.get(row.merchant_id), row.unit, row.created_at)
        cost = tariffs.commission(term.term, row.captured_minor).minor if term is not None else 0
        profile, given = cashback.of(row, profiles.get(row.merchant_id), row.captured_minor - cost)
        if term is not None or profile is not None:
            found[row.id] = Applied(
                month_on=_month(row.created_at, zone),
                term_id=term.id if term is not None else None,
                commission_minor=cost,
                returns_commission=term is not None and term.returns_commission,
                profile_id=profile.id if profile is not None else None,
                customer_id=row.customer_id if profile is not None else None,
                cashback_minor=given,
                funded_by=profile.funded_by if profile is not None else None,
            )
    _keep(session, found)
    return found


def _keep(session: Session, found: Mapping[int, Applied]) -> None:
    if found:
        made = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        rows = [{"payment_id": payment_id, **asdict(each)} for payment_id, each in found.items()]
        session.execute(made(_TARIFF).on_conflict_do_nothing(index_elements=["payment_id"]), rows)


def _month(at: dt.datetime, zone: ZoneInfo) -> dt.date:
    return at.astimezone(zone).date().replace(day=1)


class _Terms:
    """What contracts say about payments, in all their versions."""

    def __init__(self, session: Session, contract_ids: Iterable[int]) -> None:
        self.begins: dict[int, list[tuple[dt.datetime, int]]] = {}
        self.terms: dict[tuple[int, str], ContractTerm] = {}
        ids = list(contract_ids)
        about = and_(
            ContractTerm.version_id == ContractVersion.id, ContractTerm.transaction_type == TransactionType.PAYMENT
        )
        wanted = (
            select(ContractVersion.contract_id, ContractVersion.valid_from, ContractVersion.id, ContractTerm)
            .outerjoin(ContractTerm, about)
            .where(ContractVersion.contract_id.in_(ids), ContractVersion.withdrawn_at.is_(None))
            .order_by(ContractVersion.valid_from.desc())
        )
        for contract_id, begins, version_id, term in session.execute(wanted) if ids else ():
            self.begins.setdefault(contract_id, []).append((begins, version_id))
            if term is not None:
                self.terms[version_id, term.unit] = term

    def of(self, contract_id: int | None, unit: str, at: dt.datetime) -> ContractTerm | None:
        """The term of the version that was in force; None: nothing is charged."""
        if contract_id is None:
            return None
        version = next((each for begins, each in self.begins.get(contract_id, ()) if begins <= at), None)
        return self.terms.get((version, unit)) if version is not None else None


class _Cashback:
    """What profiles give, within what they gave the same customer in the same month already."""

    def __init__(
        self,
        session: Session,
        profile_ids: Iterable[int],
        payments: Sequence[Any],
        profile_of: Mapping[int, int | None],
        zone: ZoneInfo,
    ) -> None:
        ids = list(profile_ids)
        wanted = select(CashbackProfile).where(CashbackProfile.id.in_(ids), CashbackProfile.is_on)
        self.profiles = {each.id: each for each in session.scalars(wanted)} if ids else {}
        self.given: dict[tuple[int | None, int | None, dt.date], int] = {}
        self.zone = zone
        capped = {each.id for each in self.profiles.values() if each.cap_month_minor is not None}
        about = [row for row in payments if row.customer_id is not None and profile_of.get(row.merchant_id) in capped]
        if not about:
            return
        customers = sorted({row.customer_id for row in about})
        # Two payments of one customer at one moment must not both take the rest of the month's cap.
        lock = select(Customer.id).where(Customer.id.in_(customers)).order_by(Customer.id)
        session.execute(lock.with_for_update(key_share=True)).all()
        key = (PaymentTariff.profile_id, PaymentTariff.customer_id, PaymentTariff.month_on)
        sums = select(*key, func.sum(PaymentTariff.cashback_minor)).where(
            PaymentTariff.profile_id.in_(capped),
            PaymentTariff.customer_id.in_(customers),
            PaymentTariff.month_on.in_({_month(row.created_at, zone) for row in about}),
        )
        for profile_id, customer_id, month, minor in session.execute(sums.group_by(*key)):
            self.given[profile_id, customer_id, month] = int(minor)

    def of(self, row: Any, profile_id: int | None, most_minor: int) -> tuple[CashbackProfile | None, int]:
        """The profile that holds for a payment, and what it gives; a merchant never gives more than it got."""
        profile = self.profiles.get(profile_id) if profile_id is not None else None
        customer_id: int | None = row.customer_id
        if profile is None or customer_id is None or row.unit != profile.unit:
            return None, 0
        day = row.created_at.astimezone(self.zone).date()
        if day < profile.valid_from or (profile.valid_to is not None and day > profile.valid_to):
            return None, 0
        key = (profile.id, customer_id, _month(row.created_at, self.zone))
        before = self.given.get(key, 0)
        found = tariffs.cashback(profile.says, unit=row.unit, paid_minor=row.captured_minor, given_minor=before)
        if profile.funded_by is FundedBy.MERCHANT:
            found = min(found, most_minor)
        self.given[key] = before + found
        return profile, found
