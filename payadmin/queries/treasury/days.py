"""Questions of the pages of cash: who works at desks, how their days stand, and what a day comes to in each unit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Select, cast, func, select
from sqlalchemy.orm import Session

from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.treasury import (
    CashDayUnit,
    CashDesk,
    CashDeskAssignment,
    CashDeskDay,
    CashKind,
    CashOperation,
    DayStatus,
)
from payadmin.models.wallets import Wallet, WalletStatus

MOST_PAYABLE = 50


@dataclass(frozen=True)
class UnitFigures:
    """What a day comes to in one unit, in its minor units.

    Attributes:
        in_minor, out_minor: cash that customers brought and took.
        expected_minor: what the books say: when it was counted, or now while it was not.
        counted_minor: None: not counted yet.
        pieces: how many of each note and coin, the largest first, by minor units; empty where only a sum was counted.
    """

    unit: str
    opening_minor: int
    in_minor: int
    out_minor: int
    expected_minor: int
    counted_minor: int | None
    pieces: tuple[tuple[int, int], ...] = ()

    @property
    def moved_minor(self) -> int:
        """What investments brought, less what collections took."""
        return self.expected_minor - self.opening_minor - self.in_minor + self.out_minor

    @property
    def difference_minor(self) -> int | None:
        """What was counted above what was expected; below zero: cash is missing."""
        return None if self.counted_minor is None else self.counted_minor - self.expected_minor


def figures_of(session: Session, day: CashDeskDay, lies: dict[str, int]) -> list[UnitFigures]:
    """What a day comes to, by unit: two look-ups, however many operations it has.

    Args:
        lies: what lies in its desk now, by unit; it is what a day that was not counted expects.
    """
    kept = {row.unit: row for row in session.scalars(select(CashDayUnit).where(CashDayUnit.day_id == day.id))}
    brought: dict[str, int] = {}
    took: dict[str, int] = {}
    total = cast(func.sum(CashOperation.cash_minor), BigInteger)
    summed = select(CashOperation.unit, CashOperation.kind, total).where(CashOperation.day_id == day.id)
    for unit, kind, minor in session.execute(summed.group_by(CashOperation.unit, CashOperation.kind)):
        side = brought if kind is CashKind.TOP_UP else took
        side[unit] = side.get(unit, 0) + int(minor)
    open_units = {unit for unit, minor in lies.items() if minor} if day.status is DayStatus.OPEN else set()
    found = []
    for unit in sorted(kept.keys() | brought.keys() | took.keys() | open_units):
        row = kept.get(unit)
        is_counted = row is not None and row.expected_minor is not None
        expected = row.expected_minor if row is not None and is_counted else lies.get(unit, 0)
        found.append(
            UnitFigures(
                unit,
                row.opening_minor if row is not None else 0,
                brought.get(unit, 0),
                took.get(unit, 0),
                expected or 0,
                row.counted_minor if row is not None else None,
                _pieces(row) if row is not None else (),
            )
        )
    return found


def _pieces(row: CashDayUnit) -> tuple[tuple[int, int], ...]:
    found = {int(minor): number for minor, number in (row.denominations or {}).items()}
    return tuple(sorted(found.items(), reverse=True))


def cashiers_at(session: Session, desk_ids: Iterable[int]) -> dict[int, list[str]]:
    """The user names of those who work at desks now: one look-up for all of them."""
    wanted = (
        select(CashDeskAssignment.desk_id, StaffUser.username)
        .join(StaffUser, StaffUser.id == CashDeskAssignment.cashier_id)
        .where(CashDeskAssignment.desk_id.in_(list(desk_ids)), CashDeskAssignment.ends_at.is_(None))
        .order_by(StaffUser.username)
    )
    found: dict[int, list[str]] = {}
    for desk_id, name in session.execute(wanted):
        found.setdefault(desk_id, []).append(name)
    return found


def unclosed_days(session: Session, desk_ids: Iterable[int]) -> dict[int, CashDeskDay]:
    """The day of each desk that is not closed, by desk; desks without one are left out."""
    wanted = select(CashDeskDay).where(CashDeskDay.desk_id.in_(list(desk_ids)), CashDeskDay.status != DayStatus.CLOSED)
    return {day.desk_id: day for day in session.scalars(wanted)}


def day_left_by(session: Session, staff_id: int) -> CashDeskDay | None:
    """The latest day that somebody opened and nobody closed: who opened a day may count it, wherever they work now."""
    wanted = select(CashDeskDay).where(
        CashDeskDay.opened_by_id == staff_id, CashDeskDay.status.in_((DayStatus.OPEN, DayStatus.RETURNED))
    )
    return session.scalars(wanted.order_by(CashDeskDay.id.desc()).limit(1)).first()


def desks_where(staff_id: int | None) -> Select[Any]:
    """The desk at which somebody works now, as a part of other questions."""
    return select(CashDeskAssignment.desk_id).where(
        CashDeskAssignment.cashier_id == staff_id, CashDeskAssignment.ends_at.is_(None)
    )


def payable_requests(
    session: Session, *, customer_ids: Iterable[int] | None = None, number: int | None = None
) -> Sequence[RedeemRequest]:
    """Approved requests for cash that a desk may pay: those of customers, or the one of a number; the oldest first."""
    wanted = select(RedeemRequest).where(
        RedeemRequest.status == RedeemStatus.APPROVED, RedeemRequest.channel == RedeemChannel.CASH_DESK
    )
    if number is not None:
        wanted = wanted.where(RedeemRequest.id == number)
    if customer_ids is not None:
        whose = select(Wallet.id).where(Wallet.customer_id.in_(list(customer_ids)))
        wanted = wanted.where(RedeemRequest.wallet_id.in_(whose))
    return session.scalars(wanted.order_by(RedeemRequest.id).limit(MOST_PAYABLE)).all()


def wallets_of_customers(session: Session, customer_ids: Iterable[int]) -> Sequence[Wallet]:
    """The wallets of customers that are not closed, by customer and unit."""
    wanted = select(Wallet).where(Wallet.customer_id.in_(list(customer_ids)), Wallet.status != WalletStatus.CLOSED)
    return session.scalars(wanted.order_by(Wallet.customer_id, Wallet.unit)).all()


def customers_behind(session: Session, wallet_ids: Iterable[int]) -> dict[int, Customer]:
    """The customers whose wallets these are, by wallet; wallets of organizations are left out."""
    wanted = (
        select(Wallet.id, Customer)
        .join(Customer, Customer.id == Wallet.customer_id)
        .where(Wallet.id.in_(set(wallet_ids)))
    )
    return {row.id: row.Customer for row in session.execute(wanted)}


def desk_behind(session: Session, day: CashDeskDay) -> CashDesk:
    """The desk of a day."""
    return session.get_one(CashDesk, day.desk_id)
