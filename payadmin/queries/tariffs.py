"""Questions about tariffs: which version is in force, what it says, who uses it, and what one unit costs in another."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from payadmin.kernel.tariffs import Term, TransactionType, commission, told
from payadmin.kernel.text import _
from payadmin.ledger.chart import CHART
from payadmin.models.ledger import LedgerAccount, LedgerBalance
from payadmin.models.parties import Organization
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.models.tariffs import (
    CashbackProfile,
    Contract,
    ContractStatus,
    ContractTerm,
    ContractVersion,
    ExchangeRate,
    PaymentTariff,
)

# What the ECB publishes is in it; two units that nobody quoted against each other meet here.
PIVOT: Final = "EUR"


def live() -> ColumnElement[bool]:
    """The condition that a version was not withdrawn, as its partial index spells it."""
    return ContractVersion.withdrawn_at.is_(None)


def in_force(session: Session, contract_id: int, at: dt.datetime) -> ContractVersion | None:
    """The version of a contract that is in force at a moment; None before its first one begins."""
    begun = select(ContractVersion).where(
        ContractVersion.contract_id == contract_id, live(), ContractVersion.valid_from <= at
    )
    return session.scalars(begun.order_by(ContractVersion.valid_from.desc()).limit(1)).first()


def versions_of(session: Session, contract_id: int) -> Sequence[ContractVersion]:
    """Every version of a contract, the newest first."""
    wanted = select(ContractVersion).where(ContractVersion.contract_id == contract_id)
    return session.scalars(wanted.order_by(ContractVersion.number.desc())).all()


def terms_of(session: Session, version_ids: Iterable[int]) -> dict[int, list[ContractTerm]]:
    """The terms of several versions in one statement, in the order of the form that wrote them."""
    wanted = list(version_ids)
    found: dict[int, list[ContractTerm]] = {version_id: [] for version_id in wanted}
    rows = select(ContractTerm).where(ContractTerm.version_id.in_(wanted)).order_by(ContractTerm.id)
    for row in session.scalars(rows):
        found[row.version_id].append(row)
    return found


@dataclass(frozen=True)
class Ruling:
    """The term that holds for a transaction, and the version that it is written in.

    Attributes:
        contract: the contract's code; `number` is that of its version.
    """

    term: Term
    version_id: int
    contract: str
    number: int


@dataclass(frozen=True)
class Cost:
    """What a transaction costs, why, and how much may be moved.

    Attributes:
        ruling: the term that holds, with its limits; None: nothing is charged and nothing limited.
        commission_minor: what is charged.
        payer_minor: what leaves the payer.
        payee_minor: what reaches the payee.
        steps: how it came about, one sentence for each step.
    """

    ruling: Ruling | None
    commission_minor: int
    payer_minor: int
    payee_minor: int
    steps: tuple[str, ...]


def ruling(session: Session, organization_id: int, kind: TransactionType, unit: str, at: dt.datetime) -> Ruling | None:
    """What the contract of an organization says about a transaction at a moment (LI1).

    Returns:
        None when it has no contract, none of its versions has begun, or the version says nothing about this kind and
        unit: then nothing is charged and nothing limited.
    """
    found = session.execute(
        select(ContractVersion.id, Contract.code, ContractVersion.number)
        .join(Organization, Organization.contract_id == ContractVersion.contract_id)
        .join(Contract, Contract.id == ContractVersion.contract_id)
        .where(Organization.id == organization_id, live(), ContractVersion.valid_from <= at)
        .order_by(ContractVersion.valid_from.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    wanted = select(ContractTerm).where(
        ContractTerm.version_id == found.id, ContractTerm.transaction_type == kind, ContractTerm.unit == unit
    )
    term = session.scalars(wanted).first()
    return Ruling(term.term, found.id, found.code, found.number) if term is not None else None


def cost_of(
    session: Session, organization_id: int, kind: TransactionType, unit: str, amount_minor: int, at: dt.datetime
) -> Cost:
    """What `amount_minor` costs an organization by the version of its contract that is in force at a moment.

    Args:
        kind: what kind of transaction it is.
        amount_minor: what is moved, more than zero, in minor units of `unit`.
        at: the moment of the transaction (LI1).
    """
    holds = ruling(session, organization_id, kind, unit, at)
    if holds is None:
        nothing = _("No contract says anything about it: nothing is charged.")
        return Cost(None, 0, amount_minor, amount_minor, (nothing,))
    found = commission(holds.term, amount_minor)
    scale = session.scalars(select(Unit.scale).where(Unit.code == unit)).one()
    where = _("By contract %(contract)s, version %(number)s:", contract=holds.contract, number=holds.number)
    steps = (where, *told(holds.term, found, scale))
    return Cost(holds, found.minor, found.payer_minor, found.payee_minor, steps)


def users_of(session: Session, link: Any, row_id: int, most: int) -> Sequence[Organization]:
    """The organizations whose contract or cashback profile this is, by name.

    Args:
        link: `Organization.contract_id` or `Organization.cashback_profile_id`.
    """
    return session.scalars(select(Organization).where(link == row_id).order_by(Organization.name).limit(most)).all()


def count_users(session: Session, link: Any, row_ids: Sequence[int]) -> dict[int, int]:
    """How many organizations use each of these contracts or profiles."""
    counted = select(link, func.count()).where(link.in_(row_ids)).group_by(link)
    return dict(session.execute(counted).all())


def number_of_users(link: Any, row_id: Any) -> Any:
    """The same for one row, as part of another statement."""
    return select(func.count()).where(link == row_id).scalar_subquery()


def profile_of(session: Session, organization_id: int, day: dt.date) -> CashbackProfile | None:
    """The cashback profile of a merchant that is in force on a day, if there is one."""
    wanted = (
        select(CashbackProfile)
        .join(Organization, Organization.cashback_profile_id == CashbackProfile.id)
        .where(
            Organization.id == organization_id,
            CashbackProfile.is_on,
            CashbackProfile.valid_from <= day,
            (CashbackProfile.valid_to.is_(None)) | (CashbackProfile.valid_to >= day),
        )
    )
    return session.scalars(wanted).first()


def contract_codes(session: Session) -> Sequence[Contract]:
    """Contracts that can be given to somebody, by code."""
    wanted = select(Contract).where(Contract.status == ContractStatus.ACTIVE, Contract.last_number > 0)
    return session.scalars(wanted.order_by(Contract.code)).all()


@dataclass(frozen=True)
class PaidBy:
    """What one payment cost and gave back, and by what."""

    kept: PaymentTariff
    contract_id: int | None
    contract: str | None
    number: int | None
    term: Term | None
    profile: str | None


def tariff_of_payment(session: Session, payment_id: int) -> PaidBy | None:
    """What was in force when a payment was booked, and what it came to; None where nothing was."""
    row = session.execute(
        select(PaymentTariff, Contract.id, Contract.code, ContractVersion.number, ContractTerm, CashbackProfile.name)
        .outerjoin(ContractTerm, ContractTerm.id == PaymentTariff.term_id)
        .outerjoin(ContractVersion, ContractVersion.id == ContractTerm.version_id)
        .outerjoin(Contract, Contract.id == ContractVersion.contract_id)
        .outerjoin(CashbackProfile, CashbackProfile.id == PaymentTariff.profile_id)
        .where(PaymentTariff.payment_id == payment_id)
    ).first()
    if row is None:
        return None
    kept, contract_id, code, number, term, profile = row
    return PaidBy(kept, contract_id, code, number, term.term if term is not None else None, profile)


# --- units ------------------------------------------------------------------------------------------------------------


def active_units(session: Session, kind: UnitKind | None = None) -> dict[str, int]:
    """The units that can be used, of all kinds unless one is named, with their decimals, by code."""
    wanted = select(Unit.code, Unit.scale).where(Unit.status == UnitStatus.ACTIVE).order_by(Unit.code)
    if kind is not None:
        wanted = wanted.where(Unit.kind == kind)
    return dict(session.execute(wanted).all())


def balances_in(session: Session, unit: str, most: int) -> Sequence[tuple[str, int]]:
    """Accounts whose balance in a unit is not zero, with that balance on its usual side: why it cannot be retired."""
    total = func.sum(LedgerBalance.balance_minor)
    wanted = (
        select(LedgerAccount.code, LedgerAccount.number, total)
        .join(LedgerBalance, LedgerBalance.account_id == LedgerAccount.id)
        .where(LedgerAccount.unit == unit)
        .group_by(LedgerAccount.code, LedgerAccount.number)
        .having(total != 0)
        .order_by(LedgerAccount.code)
        .limit(most)
    )
    return [(code, CHART[number].side * int(minor)) for code, number, minor in session.execute(wanted)]


# --- rates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quoted:
    """What one unit costs in another at a moment, and from where that is known.

    Attributes:
        rate: exact; 1 for the same unit.
        legs: the rates it is made of, each with whether it is turned round.
    """

    rate: Fraction
    legs: tuple[tuple[ExchangeRate, bool], ...]

    @property
    def oldest(self) -> dt.datetime | None:
        """Since when it is as it is."""
        return min((rate.valid_from for rate, _turned in self.legs), default=None)


def latest_rate(
    session: Session, base: str, quote: str, at: dt.datetime, *, office_id: int | None = None
) -> ExchangeRate | None:
    """The last rate of exactly this pair that began at `at` or before: the last earlier day where none was published.

    Args:
        office_id: whose rate; None: the System's.
    """
    whose = ExchangeRate.office_id.is_(None) if office_id is None else ExchangeRate.office_id == office_id
    wanted = select(ExchangeRate).where(
        whose, ExchangeRate.base == base, ExchangeRate.quote == quote, ExchangeRate.valid_from <= at
    )
    return session.scalars(wanted.order_by(ExchangeRate.valid_from.desc()).limit(1)).first()


def quoted(session: Session, base: str, quote: str, at: dt.datetime, *, office_id: int | None = None) -> Quoted | None:
    """What one `base` costs in `quote` at a moment: by the last rate of the pair, either way, or through the euro."""
    if base == quote:
        return Quoted(Fraction(1), ())
    if (leg := _leg(session, base, quote, at, office_id)) is not None:
        return _of(leg)
    if PIVOT in {base, quote}:
        return None
    first, second = _leg(session, base, PIVOT, at, office_id), _leg(session, PIVOT, quote, at, office_id)
    return _of(first, second) if first is not None and second is not None else None


def rates_of_pair(
    session: Session, base: str, quote: str, first: dt.datetime, last: dt.datetime, *, office_id: int | None = None
) -> Sequence[tuple[dt.datetime, Decimal]]:
    """Every rate of exactly this pair that began in a span, oldest first."""
    whose = ExchangeRate.office_id.is_(None) if office_id is None else ExchangeRate.office_id == office_id
    wanted = select(ExchangeRate.valid_from, ExchangeRate.rate).where(
        whose,
        ExchangeRate.base == base,
        ExchangeRate.quote == quote,
        ExchangeRate.valid_from >= first,
        ExchangeRate.valid_from <= last,
    )
    return [(at, rate) for at, rate in session.execute(wanted.order_by(ExchangeRate.valid_from))]


def _leg(
    session: Session, base: str, quote: str, at: dt.datetime, office_id: int | None
) -> tuple[ExchangeRate, bool] | None:
    """The last rate of a pair, whichever way round it was written; of two of one moment the pair's own.

    A rate that nobody renews would otherwise hold for one direction while the other follows the market.
    """
    own = latest_rate(session, base, quote, at, office_id=office_id)
    turned = latest_rate(session, quote, base, at, office_id=office_id)
    if turned is not None and (own is None or turned.valid_from > own.valid_from):
        return turned, True
    return (own, False) if own is not None else None


def _of(*legs: tuple[ExchangeRate, bool]) -> Quoted:
    rate = Fraction(1)
    for found, turned in legs:
        rate = rate / Fraction(found.rate) if turned else rate * Fraction(found.rate)
    return Quoted(rate, legs)
