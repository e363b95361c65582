"""The summary of all transactions: payments, wallet transactions and cash operations in one table (S3:155, K-72).

Each of the three is read through its own index in the order of time, and only as many rows of each as a page has, from
where the last page ended; so a page costs the same wherever it lies. The totals of payments come from the rollups.
Those of the others are added up as they stand, up to a number of rows beyond which fewer days must be chosen: a sum
that leaves something out would be worse than none.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, String, and_, cast, func, literal, or_, select, type_coerce, union_all
from sqlalchemy.orm import Session

from payadmin.models.payments import Mode, Payment
from payadmin.models.treasury import CashOperation
from payadmin.models.wallets import WalletTransaction
from payadmin.queries import reporting
from payadmin.queries.reporting import Cut, Span

MOST_ADDED: Final = 100_000
AT_ONCE: Final = 1_000


class Source(StrEnum):
    """What a line of the summary is; the order breaks ties between lines of one moment."""

    PAYMENT = "Payment"
    WALLET = "Wallet transaction"
    CASH = "Cash operation"


RANKS: Final = {Source.PAYMENT: 3, Source.WALLET: 2, Source.CASH: 1}
MODELS: Final[dict[Source, Any]] = {
    Source.PAYMENT: Payment,
    Source.WALLET: WalletTransaction,
    Source.CASH: CashOperation,
}


@dataclass(frozen=True)
class Wanted:
    """Which transactions: of these business days, of the mode, and narrowed by source and unit where they are named.

    Wallet transactions and cash operations are of the live mode: there are no others.
    """

    mode: Mode
    span: Span
    zone: ZoneInfo
    sources: tuple[Source, ...] = tuple(Source)
    unit: str | None = None

    @property
    def asked(self) -> tuple[Source, ...]:
        """The sources that have anything in this mode."""
        return tuple(each for each in self.sources if self.mode is Mode.LIVE or each is Source.PAYMENT)


@dataclass(frozen=True)
class Place:
    """Where a page ends: the moment, the rank of the source, and the number of a line."""

    at: dt.datetime
    rank: int
    row_id: int

    def __str__(self) -> str:
        return f"{int(self.at.timestamp())}.{self.at.microsecond:06d}.{self.rank}.{self.row_id}"

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """A place from an address; None for anything else."""
        parts = text.split(".")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):  # noqa: PLR2004
            return None
        seconds, micro, rank, row_id = (int(part) for part in parts)
        try:
            at = dt.datetime.fromtimestamp(seconds, dt.UTC).replace(microsecond=micro)
        except (ValueError, OverflowError, OSError):
            return None
        return cls(at, rank, row_id)


@dataclass(frozen=True)
class Line:
    """One transaction, whatever it is."""

    source: Source
    row_id: int
    at: dt.datetime
    reference: str
    kind: str
    amount_minor: int
    unit: str
    status: str | None

    @property
    def place(self) -> Place:
        """Where it stands in the order."""
        return Place(self.at, RANKS[self.source], self.row_id)


@dataclass(frozen=True)
class Page:
    """Some lines, the latest first, and whether there are more on either side."""

    lines: Sequence[Line]
    previous: Place | None = None
    following: Place | None = None


def page_of(
    session: Session, wanted: Wanted, *, size: int, after: Place | None = None, before: Place | None = None
) -> Page:
    """One page of the summary.

    Args:
        size: how many lines.
        after: where the page before it ended.
        before: where the page after it began; only one of the two.
    """
    found = _lines(session, wanted, size + 1, after=after, before=before)
    more, lines = len(found) > size, found[:size]
    if before is not None:
        lines = lines[::-1]
        previous = lines[0].place if more and lines else None
        return Page(lines, previous, lines[-1].place if lines else None)
    previous = lines[0].place if after is not None and lines else None
    return Page(lines, previous, lines[-1].place if more else None)


def every_line(session: Session, wanted: Wanted) -> Iterator[Line]:
    """All lines, some at a time: nothing is kept."""
    after: Place | None = None
    while True:
        found = _lines(session, wanted, AT_ONCE, after=after, before=None)
        session.rollback()
        yield from found
        if len(found) < AT_ONCE:
            return
        after = found[-1].place


def _lines(session: Session, wanted: Wanted, most: int, *, after: Place | None, before: Place | None) -> list[Line]:
    branches = [_branch(wanted, source, most, after, before) for source in wanted.asked]
    if not branches:
        return []
    united = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    order = (united.c.at, united.c.rank, united.c.row_id)
    ordered = select(united).order_by(*(each.asc() if before is not None else each.desc() for each in order))
    by_rank = {rank: source for source, rank in RANKS.items()}
    return [
        Line(by_rank[row.rank], row.row_id, row.at, row.reference, row.kind, row.amount_minor, row.unit, row.status)
        for row in session.execute(ordered.limit(most))
    ]


def _branch(wanted: Wanted, source: Source, most: int, after: Place | None, before: Place | None) -> Any:
    model = MODELS[source]
    reference = {
        Source.PAYMENT: type_coerce(Payment.transaction_id, String),
        Source.WALLET: cast(WalletTransaction.id, String),
        Source.CASH: cast(CashOperation.id, String),
    }[source]
    kind = Payment.type if source is Source.PAYMENT else model.kind
    status = literal(None, String) if source is Source.CASH else type_coerce(model.status, String)
    statement = select(
        literal(RANKS[source]).label("rank"),
        model.id.label("row_id"),
        model.created_at.label("at"),
        reference.label("reference"),
        type_coerce(kind, String).label("kind"),
        model.amount_minor.label("amount_minor"),
        model.unit.label("unit"),
        status.label("status"),
    ).where(*_scope(wanted, source))
    if after is not None:
        statement = statement.where(_beyond(model, RANKS[source], after, older=True))
    if before is not None:
        statement = statement.where(_beyond(model, RANKS[source], before, older=False))
    order = (model.created_at, model.id)
    return statement.order_by(*(each.asc() if before is not None else each.desc() for each in order)).limit(most)


def _scope(wanted: Wanted, source: Source) -> list[ColumnElement[bool]]:
    model = MODELS[source]
    since, until = reporting.moments(wanted.zone, wanted.span)
    where = [model.created_at >= since, model.created_at < until]
    if source is Source.PAYMENT:
        where.insert(0, Payment.mode == wanted.mode)
    if wanted.unit is not None:
        where.append(model.unit == wanted.unit)
    return where


def _beyond(model: Any, rank: int, place: Place, *, older: bool) -> ColumnElement[bool]:
    """The rows of one source that lie after a place, in the order of moment, rank and number."""
    at = model.created_at
    if older:
        if rank < place.rank:
            return at <= place.at  # type: ignore[no-any-return]
        if rank > place.rank:
            return at < place.at  # type: ignore[no-any-return]
        return and_(at <= place.at, or_(at < place.at, model.id < place.row_id))
    if rank > place.rank:
        return at >= place.at  # type: ignore[no-any-return]
    if rank < place.rank:
        return at > place.at  # type: ignore[no-any-return]
    return and_(at >= place.at, or_(at > place.at, model.id > place.row_id))


# ---- totals --------------------------------------------------------------------------------------------------------


@dataclass
class Total:
    """What the transactions of one unit come to, by what they are; sums of two units are never added."""

    unit: str
    counts: dict[Source, int] = field(default_factory=dict)
    minors: dict[Source, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


def totals_of(session: Session, wanted: Wanted, units: Sequence[str]) -> list[Total] | None:
    """What everything that is asked for comes to, by unit; None when that is too much to add up at once.

    Args:
        units: those in which there are payments: each is one question to the rollups.
    """
    found: dict[str, Total] = {}

    def add(unit: str, source: Source, count: int, minor: int) -> None:
        if count:
            total = found.setdefault(unit, Total(unit))
            total.counts[source], total.minors[source] = count, minor

    for source in wanted.asked:
        if source is Source.PAYMENT:
            for unit in units if wanted.unit is None else [each for each in units if each == wanted.unit]:
                scope = reporting.Scope(wanted.mode, unit, wanted.span, wanted.zone)
                sums = reporting.read(session, scope, [Cut()]).total(Cut())
                add(unit, source, sums.count, sums.amount_minor)
            continue
        model = MODELS[source]
        some = select(model.unit, model.amount_minor).where(*_scope(wanted, source)).limit(MOST_ADDED + 1).subquery()
        rows = session.execute(
            select(some.c.unit, func.count(), cast(func.sum(some.c.amount_minor), BigInteger)).group_by(some.c.unit)
        ).all()
        if sum(row[1] for row in rows) > MOST_ADDED:
            return None
        for unit, count, minor in rows:
            add(unit, source, count, int(minor))
    return sorted(found.values(), key=lambda total: (-total.count, total.unit))
