"""Figures: each is declared once, and that says what is counted, how it is called, and which list holds just that.

A page shows figures; a click on one opens the list with the same filters, and the list has exactly as many rows, with
exactly that sum (G9). One test walks through all that are declared here, whichever page they are on.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final, Protocol
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import current_app, g
from sqlalchemy import func, select
from werkzeug.datastructures import MultiDict

from payadmin.db import Base, db
from payadmin.kernel.money import Money
from payadmin.models.payments import (
    DISPLAY_STATUS,
    Channel,
    Mode,
    Payment,
    PaymentMethod,
    PaymentStatus,
    PaymentType,
)
from payadmin.models.reporting import Slice
from payadmin.models.treasury import CashKind, CashOperation
from payadmin.queries import reporting
from payadmin.queries.reporting import Answer, Cut, Line, Scope, Span, Sums
from payadmin.queries.treasury.reports import cash_sums
from payadmin.views import lists
from payadmin.views.columns import PAGE_OF
from payadmin.views.language import say, speech

S = PaymentStatus
Pairs = tuple[tuple[str, str], ...]

# What a payment brought at least for a while: the states whose captured amount is money that came in.
SUCCEEDED: Final = (S.PAID, S.PARTIALLY_REFUNDED, S.TOTALLY_REFUNDED, S.CHARGED_BACK)
FAILED: Final = (S.FAILED, S.CANCELLED)


@dataclass(frozen=True)
class Asked:
    """What a page of figures was asked for. Charts and figures read nothing else, so that one answer fits the other."""

    mode: Mode
    span: Span
    unit: str
    scale: int
    zone: ZoneInfo
    net: bool = False

    @property
    def scope(self) -> Scope:
        """The payments it is about."""
        return Scope(self.mode, self.unit, self.span, self.zone)

    @property
    def measure(self) -> "Measure":
        """What amounts are: captured, or what is left of it after refunds."""
        return Measure.NET if self.net else Measure.CAPTURED

    def money(self, minor: int) -> Money:
        """An amount of its unit."""
        return Money(minor, self.unit, self.scale)

    def read(self, *cuts: Cut) -> Answer:
        """The answers to `cuts`, all of one moment."""
        return reporting.read(db.session(), self.scope, cuts)


class Measure(StrEnum):
    """What a figure adds up."""

    COUNT = "Payments"
    AMOUNT = "Amount"
    CAPTURED = "Captured amount"
    REFUNDED = "Refunded amount"
    NET = "Net amount"

    def of(self, sums: Sums) -> int:
        """The sum, in minor units for amounts."""
        match self:
            case Measure.COUNT:
                return sums.count
            case Measure.AMOUNT:
                return sums.amount_minor
            case Measure.CAPTURED:
                return sums.captured_minor
            case Measure.REFUNDED:
                return sums.refunded_minor
            case Measure.NET:
                return sums.net_minor

    @property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """Which columns of the list's rows make the sum, each with its sign."""
        return _COLUMNS[self]


_COLUMNS: dict[Measure, tuple[tuple[str, int], ...]] = {
    Measure.COUNT: (),
    Measure.AMOUNT: (("amount_minor", 1),),
    Measure.CAPTURED: (("captured_minor", 1),),
    Measure.REFUNDED: (("refunded_minor", 1),),
    Measure.NET: (("captured_minor", 1), ("refunded_minor", -1)),
}


@dataclass(frozen=True)
class Fact:
    """One number on a page.

    Attributes:
        label: what it is called.
        number: the number, in minor units for an amount.
        rows: how many rows the list behind it has.
        model: whose list that is.
        args: the filters of that list.
        unit: of an amount; None for a count.
        columns: which columns of those rows add up to `number`; empty for a count.
    """

    label: str
    number: int
    rows: int
    model: type[Base]
    args: Pairs
    unit: str | None = None
    scale: int = 0
    columns: tuple[tuple[str, int], ...] = ()
    tone: str = "plain"

    @property
    def url(self) -> str | None:
        """The list that holds just these rows; None for somebody who may not open it."""
        page = current_app.extensions[PAGE_OF].get(self.model)
        return f"{page.address}?{urlencode(self.args)}" if page is not None and page.is_accessible() else None

    @property
    def text(self) -> str:
        """The number as people read it, without its unit."""
        if self.unit is None:
            return speech().grouped(self.number)
        return speech().amount(self.number, self.scale)


class Figure(Protocol):
    """Something that a page declares: one number, or several of a kind."""

    def cuts(self, asked: Any) -> Sequence[Cut]:
        """What it needs to know of payments; nothing if it asks for itself."""

    def facts(self, asked: Any, answer: Answer) -> list[Fact]:
        """Its numbers."""


class By(Enum):
    """Further ways to tell payments apart than the slices."""

    STATUS = "status"


_ARGUMENT: dict[Slice, str] = {
    Slice.METHOD: "method",
    Slice.CHANNEL: "channel",
    Slice.TYPE: "type",
    Slice.ISSUER: "card_issuer",
    Slice.FAILURE: "failure_message",
}


@dataclass(frozen=True)
class PaymentFigure:
    """A number of payments, or of their amounts, in the days and the unit that the page was asked for.

    Attributes:
        label: what it is called; with `by`, each value has its own name.
        measure: what is added up; None: captured or net, as the page was asked for.
        statuses: only payments in these; empty: all.
        by: one number for each value of a slice, or for each word of the Status column.
        most: of several, only this many of the largest.
    """

    label: str
    measure: Measure | None = Measure.COUNT
    statuses: tuple[PaymentStatus, ...] = ()
    by: Slice | By | None = None
    most: int | None = None

    @property
    def cut(self) -> Cut:
        """What it asks of the rollups."""
        if self.by is By.STATUS:
            return Cut(by_status=True, statuses=self.statuses)
        if isinstance(self.by, Slice):
            return Cut(self.by, by_key=True, statuses=self.statuses)
        return Cut(statuses=self.statuses)

    def cuts(self, asked: Asked) -> Sequence[Cut]:  # noqa: ARG002 - other figures ask for what they were asked for
        return (self.cut,)

    def facts(self, asked: Asked, answer: Answer) -> list[Fact]:
        """Its numbers, the largest first where there are several."""
        lines = answer.lines[self.cut]
        if self.by is None:
            return [self._fact(asked, self.label, answer.total(self.cut), self._statuses(self.statuses))]
        if self.by is By.STATUS:
            found = self._by_status(asked, lines)
        else:
            found = [
                self._fact(
                    asked, name_of(self.by, line.key or ""), line.sums,
                    (*self._statuses(self.statuses), (_ARGUMENT[self.by], line.key or "")),
                )
                for line in lines
            ]  # fmt: skip
        return sorted(found, key=lambda fact: (-fact.number, fact.label))[: self.most]

    def _by_status(self, asked: Asked, lines: Iterable[Line]) -> list[Fact]:
        words: dict[str, Sums] = {}
        for line in lines:
            assert line.status is not None
            word = DISPLAY_STATUS[line.status]
            words[word] = words.get(word, Sums()) + line.sums
        return [self._fact(asked, word, sums, self._statuses(states_of(word))) for word, sums in words.items()]

    def _statuses(self, statuses: Iterable[PaymentStatus]) -> Pairs:
        return tuple(("status", status.name) for status in statuses)

    def _fact(self, asked: Asked, label: str, sums: Sums, more: Pairs) -> Fact:
        measure = self.measure or asked.measure
        args = (*more, ("created_at", days_argument(asked.span)), ("amount", f"{asked.unit}:.."))
        money = {"unit": asked.unit, "scale": asked.scale} if measure is not Measure.COUNT else {}
        return Fact(label, measure.of(sums), sums.count, Payment, args, columns=measure.columns, **money)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ListFigure:
    """How many rows a list has under filters: counted by the list itself, for what the rollups do not hold.

    Attributes:
        label: what it is called.
        model: whose list.
        args: the filters, from what the page was asked for.
    """

    label: str
    model: type[Base]
    args: Callable[[Any], Iterable[tuple[str, str]]]

    def cuts(self, asked: Any) -> Sequence[Cut]:  # noqa: ARG002 - it asks for itself
        return ()

    def facts(self, asked: Any, answer: Answer) -> list[Fact]:  # noqa: ARG002 - it asks for itself
        return [self.fact(asked, *counted(self.model, [self.pairs(asked)]))]

    def pairs(self, asked: Any) -> Pairs:
        """The filters of its list."""
        return tuple(self.args(asked))

    def fact(self, asked: Any, rows: int) -> Fact:
        """Its number, once it has been counted."""
        return Fact(self.label, rows, rows, self.model, self.pairs(asked))


@dataclass(frozen=True)
class CashFigure:
    """What customers brought to desks or took there: how many operations of a kind, or what they come to.

    It says the same to everybody who may read the page; the list behind it opens for those who look after cash.
    """

    label: str
    kind: CashKind
    measure: Measure = Measure.COUNT

    def cuts(self, asked: Any) -> Sequence[Cut]:  # noqa: ARG002 - it asks for itself
        return ()

    def facts(self, asked: Asked, answer: Answer) -> list[Fact]:  # noqa: ARG002 - it asks for itself
        [sums] = cash_sums(db.session(), asked.unit, [reporting.moments(asked.zone, asked.span)])
        return [self.fact(asked, *sums[self.kind])]

    def fact(self, asked: Asked, rows: int, minor: int) -> Fact:
        """Its number, once it has been counted."""
        args = (
            ("kind", self.kind.name),
            ("created_at", days_argument(asked.span)),
            ("amount", f"{asked.unit}:.."),
        )
        if self.measure is Measure.COUNT:
            return Fact(self.label, rows, rows, CashOperation, args)
        columns = self.measure.columns
        return Fact(self.label, minor, rows, CashOperation, args, asked.unit, asked.scale, columns=columns)


def counted(model: type[Base], several: Sequence[Pairs]) -> list[int]:
    """How many rows the list of `model` has under each of several filters: one statement for all of them."""
    page = current_app.extensions[PAGE_OF][model]
    parts: list[Any] = []
    for place, args in enumerate(several):
        found = lists.narrow(lists.read(page.shape, MultiDict(args)), page.get_query())
        number = found.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
        parts.append(number.scalar_subquery().label(f"n{place}"))
    return [int(number) for number in db.session.execute(select(*parts)).one()]


def listed(model: type[Base], args: Pairs, columns: Iterable[tuple[str, int]]) -> tuple[int, int]:
    """How many rows the list of `model` has under `args`, and the sum of `columns` over them, each with its sign."""
    page = current_app.extensions[PAGE_OF][model]
    found = lists.narrow(lists.read(page.shape, MultiDict(args)), page.get_query())
    total: Any = func.sum(sum(sign * getattr(model, name) for name, sign in columns)) if columns else func.count()
    row = db.session.execute(
        found.with_only_columns(func.count(), total, maintain_column_froms=True).order_by(None)
    ).one()
    return int(row[0]), int(row[1] or 0) if columns else 0


# ---- which page has which --------------------------------------------------------------------------------------------

FIGURES: dict[str, list[Figure]] = {}


def declare(page: str, *figures: Figure) -> None:
    """Say which figures the page with this menu key shows. A figure that is not declared is not shown.

    Args:
        page: the key of the page's menu item.
        figures: each once.
    """
    FIGURES.setdefault(page, []).extend(figure for figure in figures if figure not in FIGURES.get(page, []))


def facts(asked: Any, figures: Sequence[Figure]) -> dict[Figure, list[Fact]]:
    """The numbers of all these figures, of one moment: one statement for whatever comes from the rollups."""
    cuts = [cut for figure in figures for cut in figure.cuts(asked)]
    answer = asked.read(*cuts) if cuts else Answer()
    return {figure: figure.facts(asked, answer) for figure in figures}


_METHODS: Final = select(PaymentMethod.code, PaymentMethod.name)

# ---- words and arguments ---------------------------------------------------------------------------------------------


def days_argument(span: Span) -> str:
    """The days of a span as lists filter by them."""
    return f"{span.first.isoformat()}..{span.last.isoformat()}"


def states_of(word: str) -> tuple[PaymentStatus, ...]:
    """The states that one word of the Status column stands for."""
    return tuple(status for status, shown in DISPLAY_STATUS.items() if shown == word)


def name_of(slice_: Slice, key: str) -> str:
    """What people call a value of a slice."""
    match slice_:
        case Slice.METHOD:
            return methods().get(key, key)
        case Slice.CHANNEL:
            return say(Channel[key].value)
        case Slice.TYPE:
            return say(PaymentType[key].value)
    return key


def methods() -> dict[str, str]:
    """The names of the payment methods by their code; asked for once a request."""
    known: dict[str, str] | None = g.get("payment_methods")
    if known is None:
        known = g.payment_methods = {code: name for code, name in db.session.execute(_METHODS)}  # noqa: C416
    return known


def shares(numbers: Sequence[int]) -> list[int]:
    """What share of the whole each number is, in tenths of a percent; they add up to exactly 1000 (AN4).

    The largest remainders are rounded up. Nothing at all has no shares: all are zero.
    """
    whole = sum(numbers)
    if whole == 0:
        return [0] * len(numbers)
    parts = [divmod(number * 1000, whole) for number in numbers]
    missing = 1000 - sum(part for part, _ in parts)
    up = sorted(range(len(numbers)), key=lambda place: (-parts[place][1], place))[:missing]
    return [part + (place in up) for place, (part, _) in enumerate(parts)]


def percent(tenths: int) -> str:
    """A share in tenths of a percent as people read it: 71.1%."""
    return f"{speech().amount(tenths, 1)}%"


@dataclass(frozen=True)
class Change:
    """How much a number has grown since the period before, in tenths of a percent; None: nothing to compare with."""

    tenths: int | None

    @property
    def text(self) -> str:
        """The change without its direction."""
        return percent(abs(self.tenths or 0))

    @property
    def direction(self) -> str:
        """`up`, `down` or `flat`: less than a twentieth of a percent is no change."""
        if not self.tenths:
            return "flat"
        return "up" if self.tenths > 0 else "down"


def change(now: int, before: int) -> Change:
    """How `now` compares with `before`, rounded half to even (M1)."""
    if before == 0:
        return Change(None)
    whole, rest = divmod((now - before) * 1000, abs(before))
    twice = 2 * rest
    up = twice > abs(before) or (twice == abs(before) and whole % 2 == 1)
    return Change(whole + up)


def today(zone: ZoneInfo, now: dt.datetime) -> dt.date:
    """The business day of `now`."""
    return now.astimezone(zone).date()
