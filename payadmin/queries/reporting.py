"""Figures of payments: what the rollups say plus what is not folded into them yet, exact at any moment.

One statement reads both, so a change that is being folded meanwhile is seen once. While the rollups are not there or
are those of another time zone, the same question is put to the payments themselves.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    FromClause,
    Select,
    String,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.models.reporting import COLUMN_OF, FACTS, MEASURES, PaymentChange, PaymentDay, RollupState, Slice

ONE_DAY: Final = dt.timedelta(days=1)
THE_STATE: Final = 1


@dataclass(frozen=True)
class Span:
    """Business days from `first` to `last`, both included."""

    first: dt.date
    last: dt.date

    @property
    def days(self) -> int:
        """How many days that is."""
        return (self.last - self.first).days + 1

    @property
    def before(self) -> "Span":
        """The span of the same length that ends the day before."""
        return Span(self.first - ONE_DAY * self.days, self.first - ONE_DAY)

    def __iter__(self) -> Any:
        return (self.first + ONE_DAY * place for place in range(self.days))


@dataclass(frozen=True)
class Sums:
    """How many payments, and their sums in minor units of one unit; sums of two units are never added."""

    count: int = 0
    amount_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What was captured less what was given back."""
        return self.captured_minor - self.refunded_minor

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in MEASURES))


@dataclass(frozen=True)
class Cut:
    """A question: payments of these statuses, told apart by day, by status and by the value of the slice, as asked.

    Attributes:
        slice: whose values are told apart by `by_key`.
        statuses: only these; empty: all.
    """

    slice: Slice = Slice.ALL
    by_day: bool = False
    by_status: bool = False
    by_key: bool = False
    statuses: tuple[PaymentStatus, ...] = ()
    span: Span | None = None


@dataclass(frozen=True)
class Line:
    """One answer; what was not told apart is None."""

    sums: Sums
    day: dt.date | None = None
    status: PaymentStatus | None = None
    key: str | None = None


@dataclass(frozen=True)
class Scope:
    """Which payments all cuts are about. There is one unit: amounts of two are never added."""

    mode: Mode
    unit: str
    span: Span
    zone: ZoneInfo


@dataclass
class Answer:
    """What `read` found, and whether from the rollups."""

    lines: Mapping[Cut, Sequence[Line]] = field(default_factory=dict)
    from_rollups: bool = True

    def total(self, cut: Cut) -> Sums:
        """All lines of a cut together."""
        return sum((line.sums for line in self.lines[cut]), Sums())


# The rows that a cut adds up, over a span.
Source = Callable[[Cut, Span], FromClause]
_READ: Final = ("day", "status", "key", *MEASURES)


def read(session: Session, scope: Scope, cuts: Sequence[Cut]) -> Answer:
    """Answer all cuts from one look at the database: they agree with each other whatever is written meanwhile."""
    cuts = tuple(dict.fromkeys(cuts))
    asked = tuple(dict.fromkeys(_widened(cut) for cut in cuts))
    spans = [cut.span or scope.span for cut in asked]
    whole = Span(min(span.first for span in spans), max(span.last for span in spans))
    slices = frozenset(cut.slice for cut in asked)
    rows = _ask(session, scope, asked, _folded_and_pending(session, scope, whole, slices))
    from_rollups = any(row.cut < 0 and row.key == scope.zone.key for row in rows)
    if not from_rollups:
        rows = _ask(session, scope, asked, _raw(session, scope, whole, slices))
    found = _lines(asked, rows)
    return Answer({cut: _narrowed(cut, found[_widened(cut)]) for cut in cuts}, from_rollups)


def _widened(cut: Cut) -> Cut:
    """What the database is asked for a cut: all statuses, told apart, so that figures of several are one reading.

    By days there would be too many lines: such a cut stays as it is.
    """
    return cut if cut.by_day else replace(cut, by_status=True, statuses=())


def _narrowed(cut: Cut, lines: Sequence[Line]) -> Sequence[Line]:
    """The lines of a cut, of what was asked for it: one, of nothing perhaps, where nothing is told apart."""
    if cut.by_day:
        return lines
    sums: dict[tuple[PaymentStatus | None, str | None], Sums] = {}
    if not (cut.by_status or cut.by_key):
        sums[None, None] = Sums()
    for line in lines:
        if not cut.statuses or line.status in cut.statuses:
            part = line.status if cut.by_status else None, line.key
            sums[part] = sums.get(part, Sums()) + line.sums
    return sorted((Line(each, None, *part) for part, each in sums.items()), key=_order)


def _ask(session: Session, scope: Scope, cuts: Sequence[Cut], source: Source) -> list[Any]:
    parts: list[Any] = [
        # Which zone the rollups are in, seen by the same snapshot as what they say.
        select(
            literal_column("-1").label("cut"),
            cast(null(), Date).label("day"),
            cast(null(), String).label("status"),
            cast(func.coalesce(RollupState.zone, ""), String).label("key"),
            *(cast(0, BigInteger).label(name) for name in MEASURES),
        ).where(RollupState.id == THE_STATE)
    ]
    for place, cut in enumerate(cuts):
        column = source(cut, cut.span or scope.span).c
        parted: list[Any] = []
        if cut.by_day:
            parted.append(column.day)
        if cut.by_status:
            parted.append(column.status)
        if cut.by_key:
            parted.append(column.key)
        asked: Any = select(
            literal_column(str(place)).label("cut"),
            (column.day if cut.by_day else cast(null(), Date)).label("day"),
            (column.status if cut.by_status else cast(null(), String)).label("status"),
            (column.key if cut.by_key else cast(null(), String)).label("key"),
            *(cast(func.coalesce(func.sum(column[name]), 0), BigInteger).label(name) for name in MEASURES),
        )
        if parted:
            asked = asked.group_by(*parted).having(func.sum(column.count) != 0)
        parts.append(asked)
    return list(session.execute(union_all(*parts)).all())


def _lines(cuts: Sequence[Cut], rows: Sequence[Any]) -> dict[Cut, Sequence[Line]]:
    found: dict[Cut, list[Line]] = {cut: [] for cut in cuts}
    for place, day, status, key, *measures in rows:
        if place >= 0:
            known = PaymentStatus[status] if status is not None else None
            found[cuts[place]].append(Line(Sums(*map(int, measures)), day, known, key))
    return {cut: sorted(lines, key=_order) for cut, lines in found.items()}


def _order(line: Line) -> tuple[Any, ...]:
    return (line.day or dt.date.min, line.status.name if line.status else "", line.key or "")


# ---- where the lines come from ---------------------------------------------------------------------------------------


def _folded_and_pending(session: Session, scope: Scope, whole: Span, slices: frozenset[Slice]) -> Source:
    pending = sliced(changes(session, scope.zone, whole, mode=scope.mode, unit=scope.unit), only=slices).cte("pending")

    def rows(cut: Cut, span: Span) -> FromClause:
        # Each cut reads its own part of the key: (mode, slice, unit, day, status, key).
        folded = select(*(getattr(PaymentDay, name) for name in _READ)).where(
            PaymentDay.mode == scope.mode.name, PaymentDay.unit == scope.unit, *_of(cut, span, PaymentDay)
        )
        left = select(*(pending.c[name] for name in _READ)).where(*_of(cut, span, pending.c))
        return union_all(folded, left).subquery()

    return rows


def _raw(session: Session, scope: Scope, whole: Span, slices: frozenset[Slice]) -> Source:
    found = sliced(counted(session, scope.zone, whole, mode=scope.mode, unit=scope.unit), only=slices).cte("payments")
    return lambda cut, span: select(*(found.c[name] for name in _READ)).where(*_of(cut, span, found.c)).subquery()


def _of(cut: Cut, span: Span, columns: Any) -> list[Any]:
    wanted = [columns.slice == cut.slice.name, columns.day.between(span.first, span.last)]
    return [*wanted, columns.status.in_([status.name for status in cut.statuses])] if cut.statuses else wanted


def counted(
    session: Session, zone: ZoneInfo, span: Span, *, mode: Mode | None = None, unit: str | None = None
) -> Select[Any]:
    """The payments of a span, counted and summed by day and by everything that tells them apart."""
    start, end = moments(zone, span)
    rows = select(
        business_day(session, Payment.created_at, zone, span).label("day"),
        # The plain text: what the journal and the rollups hold.
        *(type_coerce(getattr(Payment, name), String).label(name) for name in FACTS),
        literal_column("1").label("count"),
        *(getattr(Payment, name) for name in MEASURES[1:]),
    ).where(Payment.created_at >= start, Payment.created_at < end)
    rows = rows.where(Payment.mode == mode) if mode is not None else rows.where(Payment.mode.in_(list(Mode)))
    if unit is not None:
        rows = rows.where(Payment.unit == unit)
    return _grouped(rows)


def changes(
    session: Session,
    zone: ZoneInfo,
    span: Span,
    *,
    mode: Mode | None = None,
    unit: str | None = None,
    ids: Sequence[int] | None = None,
    sign: int = 1,
) -> Select[Any]:
    """What is not folded yet of a span, like `counted`.

    Args:
        ids: only these rows of the journal.
        sign: -1 takes them away instead.
    """
    start, end = moments(zone, span)
    rows = select(
        business_day(session, PaymentChange.at, zone, span).label("day"),
        *(getattr(PaymentChange, name) for name in FACTS),
        *((getattr(PaymentChange, name) * literal_column(str(sign))).label(name) for name in MEASURES),
    ).where(PaymentChange.at >= start, PaymentChange.at < end)
    if mode is not None:
        rows = rows.where(PaymentChange.mode == mode.name)
    if unit is not None:
        rows = rows.where(PaymentChange.unit == unit)
    if ids is not None:
        rows = rows.where(one_of(session, PaymentChange.id, ids))
    return _grouped(rows)


def one_of(session: Session, column: Any, ids: Sequence[int]) -> Any:
    """The condition that a column is one of thousands of numbers, as a single value of the statement."""
    if session.get_bind().dialect.name == "postgresql":
        return column == func.any(bindparam(None, list(ids), type_=ARRAY(BigInteger), unique=True))
    return column.in_(ids)


def _grouped(rows: Select[Any]) -> Select[Any]:
    part = rows.subquery()
    keys = [part.c.day, *(part.c[name] for name in FACTS)]
    sums = [cast(func.sum(part.c[name]), BigInteger).label(name) for name in MEASURES]
    return select(*keys, *sums).group_by(*keys)


def sliced(*parts: Select[Any], only: frozenset[Slice] = frozenset(Slice)) -> Select[Any]:
    """Rows such as `payment_day` holds, made of the sums that `counted` and `changes` give.

    Args:
        only: these slices.
    """
    fine = (union_all(*parts) if len(parts) > 1 else parts[0]).cte()
    slices = []
    for slice_, column in COLUMN_OF.items():
        if slice_ not in only:
            continue
        key = literal_column("''") if column is None else fine.c[column]
        keys = [fine.c.mode, fine.c.unit, fine.c.day, fine.c.status, *([] if column is None else [key])]
        made = select(
            fine.c.mode,
            literal(slice_.name, String, literal_execute=True).label("slice"),
            fine.c.unit,
            fine.c.day,
            fine.c.status,
            key.label("key"),
            *(cast(func.sum(fine.c[name]), BigInteger).label(name) for name in MEASURES),
        ).group_by(*keys)
        slices.append(made if column is None else made.where(key.is_not(None)))
    whole = union_all(*slices).subquery()
    # The condition says nothing: SQLite would take ON CONFLICT after a bare FROM for a join.
    return select(*whole.c).where(true())


# ---- days ------------------------------------------------------------------------------------------------------------


def moments(zone: ZoneInfo, span: Span) -> tuple[dt.datetime, dt.datetime]:
    """When a span begins and when the day after it does."""
    return start_of(span.first, zone), start_of(span.last + ONE_DAY, zone)


def start_of(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """The moment at which a business day begins: the same that lists filter days by."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


@lru_cache(maxsize=64)
def _starts(zone: ZoneInfo, span: Span) -> list[dt.datetime]:
    return [start_of(day, zone) for day in span]


def business_day(session: Session, at: Any, zone: ZoneInfo, span: Span) -> Any:
    """The business day of a moment that lies in `span`.

    PostgreSQL looks the moment up among the beginnings of the days, which Python has worked out: it has time zones of
    its own, but of whatever year it was installed in.
    """
    if session.get_bind().dialect.name == "postgresql":
        starts = bindparam(None, _starts(zone, span), type_=ARRAY(DateTime(timezone=True)), unique=True)
        place = func.width_bucket(at, starts)
        return cast(literal(span.first, Date) + (place - literal_column("1")), Date)
    return func.business_day(at, zone.key, type_=Date)


# ---- are they right? -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One row of the rollups that is not what the payments say."""

    row: tuple[str, ...]
    rollup: Sums
    payments: Sums

    def __str__(self) -> str:
        mode, slice_, unit, day, status, key = self.row
        what = f"{day} {mode} {unit} {status} {slice_}{f' {key!r}' if key else ''}"
        return f"{what}: the rollups say {self.rollup}, the payments {self.payments}"


def differences(session: Session, zone: ZoneInfo, span: Span) -> list[Difference]:
    """Where rollups and journal together differ from the payments of a span; one statement, so one moment."""
    keys = ("mode", "slice", "unit", "day", "status", "key")
    nothing = cast(0, BigInteger)
    folded = select(
        *(getattr(PaymentDay, name) for name in keys),
        *(getattr(PaymentDay, name).label(f"rollup_{name}") for name in MEASURES),
        *(nothing.label(f"payment_{name}") for name in MEASURES),
    ).where(PaymentDay.day.between(span.first, span.last))
    # What the rollups should hold by now: the payments, less what is still in the journal.
    due = sliced(counted(session, zone, span), changes(session, zone, span, sign=-1)).subquery()
    counted_ = select(
        *(due.c[name] for name in keys), *(nothing for _ in MEASURES), *(due.c[name] for name in MEASURES)
    )
    both = union_all(folded, counted_).subquery()
    sums = [func.sum(both.c[f"{side}_{name}"]) for side in ("rollup", "payment") for name in MEASURES]
    half = len(MEASURES)
    wrong = select(*(both.c[name] for name in keys), *sums).group_by(*(both.c[name] for name in keys))
    unequal = or_(*(one != other for one, other in zip(sums[:half], sums[half:], strict=True)))
    return [
        Difference(
            tuple(map(str, row[: len(keys)])),
            Sums(*map(int, row[len(keys) : len(keys) + half])),
            Sums(*map(int, row[len(keys) + half :])),
        )
        for row in session.execute(wrong.having(unequal).order_by(both.c.day)).all()
    ]


def state(session: Session) -> RollupState | None:
    """In which zone the rollups are, and how far a rebuild is."""
    return session.get(RollupState, THE_STATE, populate_existing=True)


def known_days(session: Session, zone: ZoneInfo) -> Span | None:
    """From the day of the first payment to the day of the last; None without payments."""
    ends = [
        session.execute(
            select(func.min(Payment.created_at), func.max(Payment.created_at)).where(Payment.mode == mode)
        ).one()
        for mode in Mode
    ]
    known = [moment.astimezone(zone).date() for pair in ends for moment in pair if moment is not None]
    return Span(min(known), max(known)) if known else None


def folded_days(session: Session) -> Span | None:
    """From the first day of the rollups to the last; None while they are empty."""
    first, last = session.execute(select(func.min(PaymentDay.day), func.max(PaymentDay.day))).one()
    return Span(first, last) if first is not None else None


def waiting_days(session: Session, zone: ZoneInfo) -> Span | None:
    """From the first day that something in the journal is about to the last; None while it is empty."""
    first, last = session.execute(select(func.min(PaymentChange.at), func.max(PaymentChange.at))).one()
    return Span(first.astimezone(zone).date(), last.astimezone(zone).date()) if first is not None else None


def all_days(session: Session, zone: ZoneInfo) -> Span | None:
    """Every day that payments, rollups or journal know of; None when there is none.

    A day without any payment counts too: what was folded of it may be about to be taken away again.
    """
    ends = known_days(session, zone), folded_days(session), waiting_days(session, zone)
    known = [span for span in ends if span is not None]
    return Span(min(span.first for span in known), max(span.last for span in known)) if known else None


def has_changes(session: Session) -> bool:
    """Whether anything waits to be folded."""
    return session.scalar(select(PaymentChange.id).limit(1)) is not None
