"""How many different billing numbers the payments of a calendar week or month have (BD2), exact at every moment.

Different numbers of days do not add up to those of a week, so they are kept by week and by month. Kept is only how
many there are: whether a change brings the first payment of a number, or takes the last one away, is asked of the
payments through their index. What is in the journal is not folded yet, so what is folded of a number is what the
payments say less what the journal says; one statement reads both.
"""

import calendar
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Date,
    FromClause,
    Select,
    String,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
    values,
)
from sqlalchemy.orm import Session

from payadmin.db import UtcDateTime
from payadmin.models.payments import Mode, Payment
from payadmin.models.reporting import BillingPeriod, PaymentChange, Period, RollupState
from payadmin.models.subscriptions import Subscription
from payadmin.queries.reporting import ONE_DAY, THE_STATE, Span, business_day, moments, one_of

KEYS: Final = ("mode", "unit", "period", "first_day")
# Weeks and months of one statement: a journal of many years is folded in several.
FRAMES_AT_ONCE: Final = 500


@dataclass(frozen=True, order=True)
class Frame:
    """A calendar week, Monday to Sunday, or a calendar month (BD1)."""

    period: Period
    first: dt.date

    @classmethod
    def of(cls, period: Period, day: dt.date) -> "Frame":
        """The one that `day` is in."""
        return cls(period, day - ONE_DAY * day.weekday() if period is Period.WEEK else day.replace(day=1))

    @property
    def span(self) -> Span:
        """Its days."""
        days = 7 if self.period is Period.WEEK else calendar.monthrange(self.first.year, self.first.month)[1]
        return Span(self.first, self.first + ONE_DAY * (days - 1))

    @property
    def before(self) -> "Frame":
        """The one before."""
        return Frame.of(self.period, self.first - ONE_DAY)

    @property
    def after(self) -> "Frame":
        """The one after."""
        return Frame.of(self.period, self.span.last + ONE_DAY)


def frames_of(days: Iterable[dt.date]) -> list[Frame]:
    """The weeks and months that these days are in, each once."""
    return sorted({Frame.of(period, day) for day in set(days) for period in Period})


def pieces(frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
    """As many at a time as one statement takes."""
    for place in range(0, len(frames), FRAMES_AT_ONCE):
        yield frames[place : place + FRAMES_AT_ONCE]


def unique_numbers(
    session: Session, mode: Mode, unit: str, zone: ZoneInfo, frames: Sequence[Frame]
) -> dict[Frame, int]:
    """How many different billing numbers payments have in each of some weeks or months.

    Args:
        mode: live or test payments.
        unit: only payments in this unit.
        zone: the business time zone. While nothing is kept for it, the payments are counted.
        frames: which; a handful.
    """
    table = _table(frames, zone)
    of = (mode.name, unit)
    # Whose days are kept, seen by the same snapshot as what they say.
    ready = select(
        cast(null(), String).label("period"),
        cast(null(), Date).label("first_day"),
        cast(0, BigInteger).label("numbers"),
        func.coalesce(RollupState.zone, "").label("zone"),
    ).where(RollupState.id == THE_STATE)
    kept = (
        select(BillingPeriod.period, BillingPeriod.first_day, BillingPeriod.numbers, cast(null(), String))
        .join_from(
            BillingPeriod,
            table,
            and_(BillingPeriod.period == table.c.period, BillingPeriod.first_day == table.c.first_day),
        )
        .where(BillingPeriod.mode == of[0], BillingPeriod.unit == of[1])
    )
    change = PaymentChange
    more = _moved(_touched(table, change.mode == of[0], change.unit == of[1]), folding=False).subquery()
    coming = select(more.c.period, more.c.first_day, more.c.numbers, cast(null(), String))
    rows = session.execute(union_all(ready, kept, coming)).all()
    if not any(row.zone == zone.key for row in rows):
        return {frame: _counted(session, mode, unit, zone, frame.span) for frame in frames}
    found = dict.fromkeys(frames, 0)
    for row in rows:
        if row.period is not None:
            found[Frame(Period[row.period], row.first_day)] += int(row.numbers)
    return found


def _counted(session: Session, mode: Mode, unit: str, zone: ZoneInfo, span: Span) -> int:
    start, stop = moments(zone, span)
    return (
        session.scalar(
            select(func.count(Payment.billing_number.distinct())).where(
                Payment.mode == mode, Payment.unit == unit, Payment.created_at >= start, Payment.created_at < stop
            )
        )
        or 0
    )


@dataclass(frozen=True)
class Registrations:
    """How many subscriptions were registered, and how many inactivated, on each day that has any."""

    registered: dict[dt.date, int]
    inactivated: dict[dt.date, int]


def registrations(session: Session, unit: str, zone: ZoneInfo, span: Span) -> Registrations:
    """What happened to subscriptions in some days: those that still exist for staff, in one unit.

    Counted from the subscriptions: a customer registers once and pays for years. One that was inactivated several times
    counts on the last day.
    """
    start, stop = moments(zone, span)
    parts = []
    for name in ("created_at", "inactivated_at"):
        at = getattr(Subscription, name)
        day = business_day(session, at, zone, span)
        rows = select(literal_column(f"'{name}'").label("what"), day.label("day")).where(
            at >= start, at < stop, Subscription.unit == unit, Subscription.deleted_at.is_(None)
        )
        parts.append(rows)
    both = union_all(*parts).subquery()
    found = session.execute(select(both.c.what, both.c.day, func.count()).group_by(both.c.what, both.c.day)).all()
    of = {name: {day: count for what, day, count in found if what == name} for name in ("created_at", "inactivated_at")}
    return Registrations(of["created_at"], of["inactivated_at"])


# ---- for upkeep ------------------------------------------------------------------------------------------------------


def folded(session: Session, zone: ZoneInfo, frames: Sequence[Frame], ids: Sequence[int]) -> Select[Any]:
    """What rows of the journal add to the numbers of weeks and months, and take away.

    Args:
        frames: those that these rows are in, or some of them.
        ids: the rows. They, and all others, must still be in the journal.
    """
    return _moved(_touched(_table(frames, zone), one_of(session, PaymentChange.id, ids)), folding=True)


def built(zone: ZoneInfo, frames: Sequence[Frame]) -> Select[Any]:
    """What the numbers of weeks and months should be by now: those of the payments without what is in the journal."""
    table = _table(frames, zone)
    keys = (table.c.period, table.c.first_day)
    change = PaymentChange
    paid = (
        select(
            type_coerce(Payment.mode, String).label("mode"),
            Payment.unit,
            *keys,
            Payment.billing_number,
            literal_column("1").label("count"),
        )
        .join_from(table, Payment, and_(Payment.created_at >= table.c.start, Payment.created_at < table.c.stop))
        .where(Payment.billing_number.is_not(None), Payment.mode.in_(list(Mode)))
    )
    waiting = (
        select(change.mode, change.unit, *keys, change.billing_number, -change.count)
        .join_from(table, change, and_(change.at >= table.c.start, change.at < table.c.stop))
        .where(change.billing_number.is_not(None))
    )
    both = union_all(paid, waiting).subquery()
    names = [both.c[name] for name in KEYS]
    there = select(*names).group_by(*names, both.c.billing_number).having(func.sum(both.c.count) > 0).subquery()
    keys_of = [there.c[name] for name in KEYS]
    return select(*keys_of, func.count().label("numbers")).group_by(*keys_of)


def differences(session: Session, zone: ZoneInfo, frames: Sequence[Frame]) -> list[str]:
    """Where the numbers that are kept for weeks and months are not what they should be."""
    if not frames:
        return []
    wanted = built(zone, frames).subquery()
    table = _table(frames, zone)
    nothing = cast(0, BigInteger)
    kept = select(
        *(getattr(BillingPeriod, name) for name in KEYS), BillingPeriod.numbers.label("kept"), nothing.label("wanted")
    ).join_from(
        BillingPeriod,
        table,
        and_(BillingPeriod.period == table.c.period, BillingPeriod.first_day == table.c.first_day),
    )
    due = select(*(wanted.c[name] for name in KEYS), nothing, wanted.c.numbers)
    both = union_all(kept, due).subquery()
    names = [both.c[name] for name in KEYS]
    sums = func.sum(both.c.kept), func.sum(both.c.wanted)
    found = select(*names, *sums).group_by(*names).having(sums[0] != sums[1]).order_by(*names)
    rows: Any = session.execute(found).all()
    return [
        f"{period.lower()} of {first} {mode} {unit}: "
        f"the rollups say {int(have)} billing numbers, the payments {int(want)}"
        for mode, unit, period, first, have, want in rows
    ]


def _table(frames: Sequence[Frame], zone: ZoneInfo) -> FromClause:
    """Weeks and months with the moments at which they begin and end."""
    columns = (
        column("period", String(24)),
        column("first_day", Date),
        column("start", UtcDateTime),
        column("stop", UtcDateTime),
    )
    rows = [(frame.period.name, frame.first, *moments(zone, frame.span)) for frame in frames]
    return values(*columns, name="frames").data(rows).cte()


def _touched(table: FromClause, *conditions: Any) -> FromClause:
    """Which numbers of which weeks and months rows of the journal are about, and what they come to."""
    change = PaymentChange
    keys = (change.mode, change.unit, *table.c, change.billing_number)
    return (
        select(*keys, cast(func.sum(change.count), BigInteger).label("added"))
        .join_from(table, change, and_(change.at >= table.c.start, change.at < table.c.stop))
        .where(change.billing_number.is_not(None), *conditions)
        .group_by(*keys)
        .having(func.sum(change.count) != 0)
        .cte("touched")
    )


def _moved(touched: FromClause, *, folding: bool) -> Select[Any]:
    """By how much the numbers of weeks and months change when these rows of the journal are folded.

    Args:
        folding: False when `touched` is everything the journal holds.
    """
    key = touched.c
    payments = (
        select(func.count())
        .select_from(Payment)
        .where(
            Payment.billing_number == key.billing_number,
            type_coerce(Payment.mode, String) == key.mode,
            Payment.unit == key.unit,
            Payment.created_at >= key.start,
            Payment.created_at < key.stop,
        )
        .correlate(touched)
        .scalar_subquery()
    )
    change = PaymentChange
    waiting: Any = key.added
    if folding:
        waiting = (
            select(func.coalesce(func.sum(change.count), 0))
            .where(
                change.billing_number == key.billing_number,
                change.mode == key.mode,
                change.unit == key.unit,
                change.at >= key.start,
                change.at < key.stop,
            )
            .correlate(touched)
            .scalar_subquery()
        )
    # Materialized: asked once for each number, though it is read twice below.
    was = (
        select(*(key[name] for name in KEYS), key.added, (payments - waiting).label("folded"))
        .cte("was")
        .prefix_with("MATERIALIZED")
    )
    gained = case((was.c.folded + was.c.added > 0, 1), else_=0) - case((was.c.folded > 0, 1), else_=0)
    names = [was.c[name] for name in KEYS]
    total = cast(func.sum(gained), BigInteger).label("numbers")
    return select(*names, total).group_by(*names).having(func.sum(gained) != 0)
