"""Questions about cash: who works where, what lies in a desk, which units a day has, what an operation costs."""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Select, cast, func, select
from sqlalchemy.orm import Session

from payadmin.config import current_settings
from payadmin.db import among
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.tariffs import Term, TransactionType, commission, told
from payadmin.kernel.text import _
from payadmin.models.ledger import LedgerAccount, LedgerBalance
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Unit, UnitKind
from payadmin.models.redeem import REDEEM_COUNTED, RedeemChannel, RedeemRequest
from payadmin.models.treasury import (
    CashDayUnit,
    CashDesk,
    CashDeskAssignment,
    CashDeskDay,
    CashKind,
    CashOperation,
    DayStatus,
    SystemOperation,
)
from payadmin.models.wallets import LimitRule, Wallet
from payadmin.queries.tariffs import Ruling, ruling
from payadmin.queries.wallets import Exceeded, owner_of, scales_of, why_unusable

MOST_FOUND: Final = 20
# What contracts have terms for; a redeem request was ruled when it was submitted.
TERMS_OF: Final = {
    CashKind.TOP_UP: TransactionType.TOP_UP,
    CashKind.WITHDRAWAL: TransactionType.CASH_WITHDRAWAL,
}
UNCLOSED: Final = (DayStatus.OPEN, DayStatus.CLOSE_REQUESTED, DayStatus.RETURNED)
_DIALLED: Final = re.compile(r"[ ()./-]")
_LONGEST_SAID: Final = 254


# ---- who works where -----------------------------------------------------------------------------------------------


def assignment_of(session: Session, staff_id: int) -> CashDeskAssignment | None:
    """The assignment by which this cashier works somewhere now."""
    wanted = select(CashDeskAssignment).where(
        CashDeskAssignment.cashier_id == staff_id, CashDeskAssignment.ends_at.is_(None)
    )
    return session.scalars(wanted.execution_options(populate_existing=True)).one_or_none()


def desk_of(session: Session, staff_id: int) -> CashDesk | None:
    """The desk at which this cashier works now."""
    here = (CashDeskAssignment.cashier_id == staff_id, CashDeskAssignment.ends_at.is_(None))
    wanted = select(CashDesk).join(CashDeskAssignment, CashDeskAssignment.desk_id == CashDesk.id).where(*here)
    return session.scalars(wanted.execution_options(populate_existing=True)).one_or_none()


def unclosed_day(desk_id: int) -> Select[CashDeskDay]:
    """The statement that finds the day of a desk that is not closed, through the index that allows one (CA1)."""
    return select(CashDeskDay).where(CashDeskDay.desk_id == desk_id, CashDeskDay.status != DayStatus.CLOSED)


def open_day_of(session: Session, desk_id: int) -> CashDeskDay | None:
    """The day of a desk that is not closed: open, counted, or returned to be counted again."""
    return session.scalars(unclosed_day(desk_id).execution_options(populate_existing=True)).one_or_none()


def left_open(session: Session, today: dt.date, most: int) -> Sequence[int]:
    """The days that are still open on a later date and nobody was told about today; the oldest first."""
    late = select(CashDeskDay.id).where(
        among(CashDeskDay.status, UNCLOSED),
        CashDeskDay.business_date < today,
        func.coalesce(CashDeskDay.alerted_on, CashDeskDay.business_date) < today,
    )
    return session.scalars(late.order_by(CashDeskDay.id).limit(most)).all()


# ---- what lies where -----------------------------------------------------------------------------------------------


def balances(session: Session, desks: Iterable[CashDesk]) -> dict[int, dict[str, int]]:
    """What lies in each desk, by unit, from the books: minor units, one question for all desks together.

    A unit that a desk once had stands there with 0.
    """
    found: dict[int, dict[str, int]] = {}
    owners: dict[str, int] = {}
    for desk in desks:
        owners[f"desk:{desk.code}"] = desk.id
        found[desk.id] = {}
    rows = _held("1110").add_columns(LedgerAccount.owner).where(LedgerAccount.owner.in_(owners))
    for unit, minor, owner in session.execute(rows.group_by(LedgerAccount.owner, LedgerAccount.unit)):
        found[owners[owner]][unit] = int(minor)
    return found


def transit(session: Session) -> dict[str, int]:
    """Money in transit (1120) by unit, in minor units."""
    return {unit: int(minor) for unit, minor in session.execute(_held("1120").group_by(LedgerAccount.unit))}


def _held(number: str) -> Any:
    total = cast(func.coalesce(func.sum(LedgerBalance.balance_minor), 0), BigInteger)
    return (
        select(LedgerAccount.unit, total)
        .outerjoin(LedgerBalance, LedgerBalance.account_id == LedgerAccount.id)
        .where(LedgerAccount.number == number)
        .order_by(LedgerAccount.unit)
    )


def units_of_day(session: Session, day: CashDeskDay, desk: CashDesk) -> list[str]:
    """The units that a count of this day names: there was money of them at the opening, it moved, or it is there."""
    of_day = (
        select(CashDayUnit.unit).where(CashDayUnit.day_id == day.id),
        select(CashOperation.unit).where(CashOperation.day_id == day.id).distinct(),
        select(SystemOperation.unit).where(SystemOperation.day_id == day.id).distinct(),
    )
    found = {unit for statement in of_day for unit in session.scalars(statement)}
    found |= {unit for unit, minor in balances(session, [desk])[desk.id].items() if minor}
    return sorted(found)


def count_field(unit: str) -> str:
    """The name of the form field that a unit is counted in; refusals of a count name it."""
    return f"count_{unit}"


# ---- what it costs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CashPlan:
    """What an operation over the counter would do, and why: shown before it is confirmed, carried out exactly so.

    Attributes:
        amount_minor: what was ordered, in the unit of the wallet as all amounts.
        cash_minor: what goes over the counter; `wallet_minor`: what reaches or leaves the wallet. The commission is
            the difference of the two.
        on_day: the date by which limits count it.
        ruling: the contract's term that holds; None: nothing is charged, nothing limited.
        why: how it came to that, one sentence for each step.
        exceeded: the limits that it would pass, the one that is passed by most first; it is refused then.
    """

    kind: CashKind
    wallet: Wallet
    amount_minor: int
    commission_minor: int
    cash_minor: int
    wallet_minor: int
    on_day: dt.date
    ruling: Ruling | None = None
    why: tuple[str, ...] = ()
    exceeded: tuple[Exceeded, ...] = ()


def plan_cash(session: Session, *, kind: CashKind, wallet: Wallet, amount_minor: int, at: dt.datetime) -> CashPlan:
    """What a top-up or a withdrawal would come to at a moment, by the contract version in force (CA3).

    Of a top-up the payer is who brings the cash and the payee is the wallet; of a withdrawal the wallet pays.

    Args:
        kind: TOP_UP or WITHDRAWAL; what a redeem request costs was decided when it was submitted.
        amount_minor: what is ordered, in minor units of the wallet's unit.

    Raises:
        Invalid: no amount, or more than a wallet holds (field "amount").
        Conflict: the wallet, its owner or its unit cannot be used, its unit is no cash (field "wallet"), or nothing
            would be left of the amount (field "amount").
    """
    if type(amount_minor) is not int or not 0 < amount_minor <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    pays = kind is not CashKind.TOP_UP
    if (problem := why_no_cash(session, wallet, pays=pays)) is not None:
        raise Conflict(problem, field="wallet")
    at_day = at.astimezone(current_settings().zone).date()
    ruled = ruling_of(session, wallet, TERMS_OF[kind], at)
    term = ruled.term if ruled is not None else Term(TERMS_OF[kind], wallet.unit)
    found = commission(term, amount_minor)
    if found.payer_minor > MAX_MINOR:
        raise Invalid("That is more than a wallet can hold.", field="amount")
    if found.payee_minor <= 0:
        raise Conflict("The commission is as much as the amount: nothing would be left.", field="amount")
    scale = scales_of(session, [wallet.unit])[wallet.unit]
    why = (
        told(term, found, scale)
        if ruled is not None
        else [_("No contract says anything about it, so nothing is charged.")]
    )
    cash, kept = (found.payee_minor, found.payer_minor) if pays else (found.payer_minor, found.payee_minor)
    return CashPlan(
        kind, wallet, amount_minor, found.minor, cash, kept, at_day,
        ruling=ruled, why=tuple(why), exceeded=exceeded(session, wallet.id, term, amount_minor, at_day),
    )  # fmt: skip


def why_no_cash(session: Session, wallet: Wallet, *, pays: bool) -> str | None:
    """Why cash can neither reach nor leave a wallet now, or None when it can.

    Args:
        pays: whether money would leave the wallet; what comes in may reach a blocked one (LI5).
    """
    if (problem := why_unusable(session, wallet, pays=pays)) is not None:
        return problem
    kind = session.scalar(select(Unit.kind).where(Unit.code == wallet.unit))
    if kind is not UnitKind.FIAT:
        return _("%(unit)s is no currency: there is no cash of it.", unit=wallet.unit)
    return None


def ruling_of(session: Session, wallet: Wallet, kind: TransactionType, at: dt.datetime) -> Ruling | None:
    """What the contract of a wallet's owner says: of the organization, or of the one that a customer belongs to."""
    owner = owner_of(session, wallet)
    organization_id = owner.id if isinstance(owner, Organization) else owner.organization_id
    return ruling(session, organization_id, kind, wallet.unit, at) if organization_id is not None else None


def counted(session: Session, wallet_id: int, kind: TransactionType, first: dt.date, last: dt.date) -> int:
    """What counts against the limits of a wallet on these days, executed or reserved (LI1), in minor units.

    A redeem request counts from the day on which it was submitted until it is cancelled; what a desk pays of it later
    is not counted once more.

    Args:
        kind: TOP_UP, CASH_WITHDRAWAL or BANK_WITHDRAWAL.
    """
    channel = {
        TransactionType.CASH_WITHDRAWAL: RedeemChannel.CASH_DESK,
        TransactionType.BANK_WITHDRAWAL: RedeemChannel.BANK_TRANSFER,
    }.get(kind)
    total = 0
    for cash_kind in (each for each, term in TERMS_OF.items() if term is kind):
        done = select(func.sum(CashOperation.amount_minor)).where(
            CashOperation.wallet_id == wallet_id,
            CashOperation.kind == cash_kind,
            CashOperation.on_day.between(first, last),
        )
        total += int(session.scalar(done) or 0)
    if channel is not None:
        asked = select(func.sum(RedeemRequest.asked_minor)).where(
            RedeemRequest.wallet_id == wallet_id,
            RedeemRequest.channel == channel,
            RedeemRequest.on_day.between(first, last),
            RedeemRequest.status.in_(REDEEM_COUNTED),
        )
        total += int(session.scalar(asked) or 0)
    return total


def exceeded(session: Session, wallet_id: int, term: Term, amount_minor: int, day: dt.date) -> tuple[Exceeded, ...]:
    """The limits of `term` that `amount_minor` more would pass on `day`, the one that is passed by most first."""
    spans = (
        (LimitRule.SINGLE, term.limit_single_minor, None),
        (LimitRule.DAY, term.limit_day_minor, day),
        (LimitRule.MONTH, term.limit_month_minor, day.replace(day=1)),
    )
    over = []
    for rule, limit, first in spans:
        if limit is None:
            continue
        before = counted(session, wallet_id, term.transaction_type, first, day) if first is not None else 0
        if before + amount_minor > limit:
            over.append(Exceeded(rule, limit, before, before + amount_minor))
    return tuple(sorted(over, key=lambda each: -each.excess_minor))


# ---- whom one serves -----------------------------------------------------------------------------------------------


def find_customers(session: Session, said: str, keys: Sequence[bytes]) -> list[Customer]:
    """The customers whom a cashier is told about: by the whole phone number, e-mail, Customer ID or codeword (S3:97).

    Each is looked up through an index. Two customers may have chosen the same codeword, so several may be found: the
    cashier asks for something else then.

    Args:
        said: what the customer said; a phone number may be written with spaces and brackets.
        keys: the keys of codewords, as configured.

    Returns:
        At most 20 customers, in the order of their numbers.
    """
    word = said.strip()
    if not word or len(word) > _LONGEST_SAID or not word.isprintable():
        return []
    probes = [
        Customer.external_id.in_({word, word.upper()}),
        Customer.email.in_({word, word.lower()}),
        Customer.phone.in_({word, _DIALLED.sub("", word)}),
    ]
    if keys and codewords.is_usable(word):
        probes.append(Customer.codeword_digest.in_(codewords.digests(keys, word)))
    found = {row.id: row for probe in probes for row in session.scalars(_few(probe))}
    return [found[row_id] for row_id in sorted(found)][:MOST_FOUND]


def _few(probe: Any) -> Select[Customer]:
    return select(Customer).where(probe).order_by(Customer.id).limit(MOST_FOUND)
