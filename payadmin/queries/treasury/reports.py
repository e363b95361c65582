"""Reports of a cash desk: what its days began with, what came and went, what was expected and what was counted.

Opening, count and difference stand in the days; what moved comes from the operations themselves; what an uncounted day
should hold comes from the books. A fixed number of questions, whatever the period.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import BigInteger, Select, cast, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from payadmin.models.access import StaffUser
from payadmin.models.treasury import (
    CashDayUnit,
    CashDesk,
    CashDeskDay,
    CashKind,
    CashOperation,
    DayStatus,
    SystemKind,
    SystemOperation,
    SystemStatus,
)
from payadmin.models.wallets import Wallet
from payadmin.queries.treasury import balances

MOST_DAYS: Final = 366
_AT_ONCE: Final = 500
# What was taken back has moved, and its reversal has moved it back: both are in the books.
_BOOKED: Final = (SystemStatus.CONFIRMED, SystemStatus.REVERSED)


@dataclass
class Flow:
    """Operations of one kind: how many, what went over the counter, and our commission on them, in minor units."""

    number: int = 0
    cash_minor: int = 0
    commission_minor: int = 0

    def add(self, other: "Flow") -> None:
        """Put more operations to these."""
        self.number += other.number
        self.cash_minor += other.cash_minor
        self.commission_minor += other.commission_minor


@dataclass
class UnitLine:
    """One unit of one day, or of several days together.

    Attributes:
        opening_minor: what the first day began with.
        system_in_minor, system_out_minor: investments and collections, and what took them back.
        expected_minor: what there should have been at the count; of a day that is not counted, what the books say now.
        counted_minor: what was counted; None: not yet.
        short_minor, over_minor: what closed days came to be short or over, as it was booked.
    """

    unit: str
    opening_minor: int = 0
    flows: dict[CashKind, Flow] = field(default_factory=lambda: {kind: Flow() for kind in CashKind})
    system_in_minor: int = 0
    system_out_minor: int = 0
    expected_minor: int | None = None
    counted_minor: int | None = None
    short_minor: int = 0
    over_minor: int = 0

    @property
    def commission_minor(self) -> int:
        """Our commission on all operations."""
        return sum(flow.commission_minor for flow in self.flows.values())

    @property
    def moved_minor(self) -> int:
        """What came less what went."""
        out = self.flows[CashKind.WITHDRAWAL].cash_minor + self.flows[CashKind.REDEEM].cash_minor
        return self.flows[CashKind.TOP_UP].cash_minor - out + self.system_in_minor - self.system_out_minor

    @property
    def closing_minor(self) -> int:
        """What lies there at the end, as the books have it: with what was booked as short or over."""
        return self.opening_minor + self.moved_minor + self.over_minor - self.short_minor

    @property
    def difference_minor(self) -> int | None:
        """What was counted less what was expected; None: not counted yet."""
        if self.counted_minor is None or self.expected_minor is None:
            return None
        return self.counted_minor - self.expected_minor


@dataclass
class DayLines:
    """One day of the desk with its units."""

    day: CashDeskDay
    units: dict[str, UnitLine] = field(default_factory=dict)

    def of(self, unit: str) -> UnitLine:
        """The line of a unit, made when it is the first that is said about it."""
        return self.units.setdefault(unit, UnitLine(unit))

    @property
    def is_closed(self) -> bool:
        """Whether the accountant has accepted its count."""
        return self.day.status is DayStatus.CLOSED

    @property
    def differs(self) -> bool | None:
        """Whether anything was counted that the books do not say; None: it is not counted."""
        found = [line.difference_minor for line in self.units.values()]
        return None if not found or None in found else any(found)


@dataclass
class Report:
    """A desk over some of its days.

    Attributes:
        days: the newest first.
        totals: by unit, everything together with what moved between two days.
        by_cashier: the cashier's name and unit → what that cashier did, by kind.
        people: the names of those who opened, counted and decided.
    """

    days: list[DayLines]
    totals: dict[str, UnitLine]
    by_cashier: dict[tuple[str, str], dict[CashKind, Flow]]
    people: dict[int, str]

    @property
    def units(self) -> list[str]:
        """The units that it says anything about."""
        return sorted(self.totals)

    @property
    def is_settled(self) -> bool:
        """Whether every day of it is closed."""
        return all(lines.is_closed for lines in self.days)


def days_of(desk_id: int, first: dt.date, last: dt.date) -> Select[CashDeskDay]:
    """The days of a desk that were opened on these dates."""
    return select(CashDeskDay).where(
        CashDeskDay.desk_id == desk_id, CashDeskDay.business_date >= first, CashDeskDay.business_date <= last
    )


def window(
    session: Session, desk_id: int, first: dt.date, last: dt.date, whole: tuple[dt.datetime, dt.datetime]
) -> tuple[dt.datetime, dt.datetime]:
    """The time in which moves between days count: what came before the first day was opened is in its opening.

    Args:
        whole: when `first` begins and `last` ends.
    """
    wanted = days_of(desk_id, first, last).with_only_columns(func.min(CashDeskDay.opened_at))
    opened = session.scalar(wanted)
    return (max(whole[0], opened) if opened is not None else whole[0]), whole[1]


def report_of(
    session: Session,
    desk: CashDesk,
    wanted: Select[CashDeskDay],
    *,
    between: tuple[dt.datetime, dt.datetime] | None = None,
    unit: str | None = None,
) -> Report:
    """The report of a desk over days.

    Args:
        wanted: the days, as `days_of` or by their number.
        between: also what moved in this time while no day was open.
        unit: this one alone.
    """
    days = {day.id: DayLines(day) for day in session.scalars(wanted.order_by(CashDeskDay.id.desc()))}
    ids = list(days)
    by_cashier = _read_operations(session, days, ids)
    _read_system(session, days, ids)
    _read_counts(session, desk, days, ids)
    totals = _totals(days.values())
    if between is not None:
        _read_between(session, desk, between, totals)
    if unit is not None:
        totals = {unit: totals.get(unit, UnitLine(unit))}
        by_cashier = {key: flows for key, flows in by_cashier.items() if key[1] == unit}
        for lines in days.values():
            lines.units = {unit: lines.of(unit)}
    people = {day.day.opened_by_id for day in days.values()}
    for lines in days.values():
        people |= {lines.day.close_requested_by_id, lines.day.decided_by_id} - {None}  # type: ignore[arg-type]
    cashiers = {key[0] for key in by_cashier}
    names = dict(
        session.execute(select(StaffUser.id, StaffUser.full_name).where(StaffUser.id.in_(people | cashiers))).all()
    )
    told = {(names.get(cashier, str(cashier)), code): flows for (cashier, code), flows in by_cashier.items()}
    return Report(
        list(days.values()), totals, dict(sorted(told.items())), {each: names.get(each, "") for each in people}
    )


def _read_operations(
    session: Session, days: dict[int, DayLines], ids: list[int]
) -> dict[tuple[int, str], dict[CashKind, Flow]]:
    keys = (CashOperation.day_id, CashOperation.cashier_id, CashOperation.unit, CashOperation.kind)
    sums = [
        cast(func.coalesce(func.sum(column), 0), BigInteger)
        for column in (CashOperation.cash_minor, CashOperation.commission_minor)
    ]
    found: dict[tuple[int, str], dict[CashKind, Flow]] = {}
    columns: list[Any] = [*keys, func.count(), *sums]
    rows = session.execute(select(*columns).where(CashOperation.day_id.in_(ids)).group_by(*keys))
    for day_id, cashier_id, unit, kind, number, cash, commission in rows:
        flow = Flow(int(number), int(cash), int(commission))
        days[day_id].of(unit).flows[kind].add(flow)
        found.setdefault((cashier_id, unit), {each: Flow() for each in CashKind})[kind].add(flow)
    return found


def _system(*conditions: Any) -> Select[Any]:
    is_back = SystemOperation.reverses_id.is_not(None)
    keys = (SystemOperation.day_id, SystemOperation.unit, SystemOperation.kind, is_back)
    total = cast(func.coalesce(func.sum(SystemOperation.amount_minor), 0), BigInteger)
    columns: list[Any] = [*keys, total]
    return select(*columns).where(SystemOperation.status.in_(_BOOKED), *conditions).group_by(*keys)


def _put(line: UnitLine, kind: SystemKind, minor: int, *, is_back: bool) -> None:
    if (kind is SystemKind.INVESTMENT) is not is_back:
        line.system_in_minor += minor
    else:
        line.system_out_minor += minor


def _read_system(session: Session, days: dict[int, DayLines], ids: list[int]) -> None:
    for day_id, unit, kind, is_back, minor in session.execute(_system(SystemOperation.day_id.in_(ids))):
        _put(days[day_id].of(unit), kind, int(minor), is_back=bool(is_back))


def _read_between(
    session: Session, desk: CashDesk, between: tuple[dt.datetime, dt.datetime], totals: dict[str, UnitLine]
) -> None:
    first, end = between
    here = (SystemOperation.desk_id == desk.id, SystemOperation.day_id.is_(None))
    when = (SystemOperation.decided_at >= first, SystemOperation.decided_at < end)
    for _day_id, unit, kind, is_back, minor in session.execute(_system(*here, *when)):
        _put(totals.setdefault(unit, UnitLine(unit)), kind, int(minor), is_back=bool(is_back))


def _read_counts(session: Session, desk: CashDesk, days: dict[int, DayLines], ids: list[int]) -> None:
    for row in session.scalars(select(CashDayUnit).where(CashDayUnit.day_id.in_(ids))):
        line = days[row.day_id].of(row.unit)
        line.opening_minor = row.opening_minor
        line.expected_minor, line.counted_minor = row.expected_minor, row.counted_minor
        over = line.difference_minor
        if over and days[row.day_id].is_closed:
            line.over_minor, line.short_minor = max(over, 0), max(-over, 0)
    uncounted = [lines for lines in days.values() if lines.day.status is DayStatus.OPEN]
    if uncounted:
        lying = balances(session, [desk])[desk.id]
        for lines in uncounted:
            for unit in {*lines.units, *(code for code, minor in lying.items() if minor)}:
                lines.of(unit).expected_minor = lying.get(unit, 0)


def _totals(days: Iterable[DayLines]) -> dict[str, UnitLine]:
    """All days together, read from the newest to the oldest: the oldest has the opening, the newest the count."""
    totals: dict[str, UnitLine] = {}
    lines = None
    for lines in days:
        for unit, line in lines.units.items():
            total = totals.get(unit)
            if total is None:
                total = totals[unit] = UnitLine(
                    unit, expected_minor=line.expected_minor, counted_minor=line.counted_minor
                )
            for kind, flow in line.flows.items():
                total.flows[kind].add(flow)
            total.system_in_minor += line.system_in_minor
            total.system_out_minor += line.system_out_minor
            total.short_minor += line.short_minor
            total.over_minor += line.over_minor
    for unit, line in (lines.units if lines is not None else {}).items():
        totals[unit].opening_minor = line.opening_minor
    return totals


# ---- operations one by one -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Movement:
    """One operation of a desk, of a customer or of the System; `cash_minor` is above zero when cash came."""

    at: dt.datetime
    date: dt.date | None
    what: str
    receipt: int | None
    wallet: str
    who: str
    unit: str
    cash_minor: int
    commission_minor: int


def movements(
    session: Session,
    desk: CashDesk,
    wanted: Select[CashDeskDay],
    *,
    between: tuple[dt.datetime, dt.datetime] | None = None,
    unit: str | None = None,
    most: int | None = None,
) -> Iterator[Movement]:
    """Every operation of these days, one by one and never all at once in memory.

    In the order of days and receipts, then what the System moved. With `most`, only that many, the newest first.
    """
    days = wanted.with_only_columns(CashDeskDay.id)
    done = (
        select(CashOperation, CashDeskDay.business_date, Wallet.number, StaffUser.full_name)
        .join(CashDeskDay, CashDeskDay.id == CashOperation.day_id)
        .join(Wallet, Wallet.id == CashOperation.wallet_id)
        .join(StaffUser, StaffUser.id == CashOperation.cashier_id)
        .where(CashOperation.day_id.in_(days))
    )
    moved = (
        select(SystemOperation, CashDeskDay.business_date, StaffUser.full_name)
        .outerjoin(CashDeskDay, CashDeskDay.id == SystemOperation.day_id)
        .join(StaffUser, StaffUser.id == SystemOperation.decided_by_id)
        .where(SystemOperation.status.in_(_BOOKED), SystemOperation.desk_id == desk.id)
    )
    within: Any = SystemOperation.day_id.in_(days)
    if between is not None:
        first, end = between
        apart = SystemOperation.day_id.is_(None) & SystemOperation.decided_at.between(first, end)
        within = or_(within, apart)
    moved = moved.where(within)
    if unit is not None:
        done, moved = done.where(CashOperation.unit == unit), moved.where(SystemOperation.unit == unit)
    if most is not None:
        done = done.order_by(CashOperation.id.desc()).limit(most)
        moved = moved.order_by(SystemOperation.decided_at.desc(), SystemOperation.id.desc()).limit(most)
        both = [*_done(session.execute(done)), *_moved(session.execute(moved))]
        yield from sorted(both, key=lambda each: each.at, reverse=True)[:most]
        return
    streamed = {"yield_per": _AT_ONCE}
    ordered = done.order_by(CashOperation.day_id, CashOperation.id)
    yield from _done(session.execute(ordered, execution_options=streamed))
    later = moved.order_by(SystemOperation.decided_at, SystemOperation.id)
    yield from _moved(session.execute(later, execution_options=streamed))


def _done(rows: Iterable[Any]) -> Iterator[Movement]:
    for row, date, wallet, who in rows:
        sign = 1 if row.kind is CashKind.TOP_UP else -1
        yield Movement(
            row.created_at, date, row.kind.value, row.receipt, wallet, who, row.unit, sign * row.cash_minor,
            row.commission_minor,
        )  # fmt: skip


def _moved(rows: Iterable[Any]) -> Iterator[Movement]:
    for row, date, who in rows:
        is_back = row.reverses_id is not None
        sign = 1 if (row.kind is SystemKind.INVESTMENT) is not is_back else -1
        yield Movement(row.decided_at, date, row.kind.value, None, "", who, row.unit, sign * row.amount_minor, 0)


# ---- figures ---------------------------------------------------------------------------------------------------------


def cash_sums(
    session: Session, unit: str, spans: Sequence[tuple[dt.datetime, dt.datetime]]
) -> list[dict[CashKind, tuple[int, int]]]:
    """How many operations of each kind there were in each span of time, and their amounts: one statement for all.

    Args:
        unit: the currency of the amounts, in minor units.
        spans: from the first moment of each to the one after its last.
    """
    found: list[dict[CashKind, tuple[int, int]]] = [dict.fromkeys(CashKind, (0, 0)) for _span in spans]
    total = cast(func.coalesce(func.sum(CashOperation.amount_minor), 0), BigInteger)
    parts = [
        select(literal(place), CashOperation.kind, func.count(), total)
        .where(CashOperation.unit == unit, CashOperation.created_at >= first, CashOperation.created_at < end)
        .group_by(CashOperation.kind)
        for place, (first, end) in enumerate(spans)
    ]
    for place, kind, number, minor in session.execute(union_all(*parts)):
        found[place][kind] = int(number), int(minor)
    return found
