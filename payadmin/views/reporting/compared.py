"""What the operational report compares: a current period with those before it, read from its address."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton
from werkzeug.datastructures import MultiDict

from payadmin.db import db, utcnow
from payadmin.kernel.lengths import Length, quarter_of
from payadmin.kernel.text import _, day_text
from payadmin.models.payments import Mode, PaymentStatus
from payadmin.queries import reporting
from payadmin.queries.reporting import Answer, Cut, Line, Scope, Span, Sums
from payadmin.queries.treasury.reports import cash_sums
from payadmin.views import periods
from payadmin.views.columns import zone
from payadmin.views.figures import Asked, CashFigure, Change, Fact, Figure, ListFigure, change, counted
from payadmin.views.filters import BadAddress, clean, day_of
from payadmin.views.language import say, speech

# How many earlier periods can be compared with the current one; ten years at most.
MOST: Final[Mapping[Length, int]] = {
    Length.DAY: 31,
    Length.WEEK: 26,
    Length.MONTH: 24,
    Length.QUARTER: 12,
    Length.YEAR: 10,
}
USUAL_LENGTH: Final = Length.MONTH
USUAL_PERIODS: Final = 6
ARGUMENTS: Final = frozenset({"period", "current", "periods", "unit"})
EARLIEST: Final = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Compared:
    """What was asked for: periods of one length, the current one and some before it, in one unit.

    Attributes:
        today: the business day on which it was asked.
        current: the first day of the current period.
        periods: how many earlier ones it is compared with.
    """

    mode: Mode
    unit: str
    scale: int
    zone: ZoneInfo
    today: dt.date
    length: Length
    current: dt.date
    periods: int

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The days of each period, the current one first."""
        firsts = [self.current]
        for _place in range(self.periods):
            firsts.append(self.length.before(firsts[-1]))
        return tuple(Span(first, self.length.last(first)) for first in firsts)

    @property
    def whole(self) -> Span:
        """From the first day of the earliest period to the last of the current one."""
        return Span(self.spans[-1].first, self.spans[0].last)

    @property
    def left(self) -> int:
        """How many days of the current period are still to come."""
        return max(0, (self.spans[0].last - self.today).days)

    def of(self, span: Span) -> Asked:
        """The same question about one period."""
        return Asked(self.mode, span, self.unit, self.scale, self.zone)

    @cached_property
    def sums(self) -> Mapping[Span, Mapping[PaymentStatus, Sums]]:
        """The payments of each period by their status: one statement, so all of one moment."""
        cuts = [Cut(by_status=True, span=span) for span in self.spans]
        answer = reporting.read(db.session(), Scope(self.mode, self.unit, self.whole, self.zone), cuts)
        return {
            span: {line.status: line.sums for line in answer.lines[cut] if line.status is not None}
            for span, cut in zip(self.spans, cuts, strict=True)
        }

    def total(self, span: Span, statuses: Sequence[PaymentStatus] = ()) -> Sums:
        """The payments of a period in these statuses; empty: in all."""
        found = self.sums[span]
        return sum((found[status] for status in statuses or found if status in found), Sums())

    def answer(self, span: Span, figures: Sequence[Figure]) -> Answer:
        """What figures of a period ask of the payments."""
        cuts = [cut for figure in figures for cut in figure.cuts(self.of(span))]
        return Answer({cut: [Line(self.total(span, cut.statuses))] for cut in cuts})


@dataclass(frozen=True)
class Period:
    """One row of the report: a period with its numbers, and how the current ones compare with them.

    Attributes:
        changes: how the current number compares with each; empty for the current period itself.
    """

    span: Span
    name: str
    title: str
    days: str
    facts: tuple[Fact, ...]
    changes: tuple[Change, ...]


def rows(asked: Compared, figures: Sequence[Figure]) -> list[Period]:
    """The report: the current period, then the earlier ones, the latest of them first."""
    counts = {
        figure: counted(figure.model, [figure.pairs(asked.of(span)) for span in asked.spans])
        for figure in figures
        if isinstance(figure, ListFigure)
    }
    cash = [figure for figure in figures if isinstance(figure, CashFigure)]
    moments = [reporting.moments(asked.zone, span) for span in asked.spans]
    sums = cash_sums(db.session(), asked.unit, moments) if cash else []
    made: list[Period] = []
    for place, span in enumerate(asked.spans):
        one, answer = asked.of(span), asked.answer(span, figures)
        facts = tuple(
            figure.fact(one, counts[figure][place])
            if isinstance(figure, ListFigure)
            else figure.fact(one, *sums[place][figure.kind])
            if isinstance(figure, CashFigure)
            else figure.facts(one, answer)[0]
            for figure in figures
        )
        now = made[0].facts if made else ()
        changes = tuple(change(new.number, old.number) for new, old in zip(now, facts, strict=False))
        name, title = asked.length.name_of(span.first), title_of(asked.length, span)
        made.append(Period(span, name, title, days_of(span), facts, changes))
    return made


def title_of(length: Length, span: Span) -> str:
    """A period as people call it, in the reader's language: November 2026."""
    match length:
        case Length.DAY:
            return speech().day(span.first)
        case Length.WEEK:
            return say(_("Week %(number)s", number=span.first.isocalendar().week))
        case Length.MONTH:
            return str(format_skeleton("yMMMM", span.first, locale=speech().code))
        case Length.QUARTER:
            return say(_("Q%(number)s %(year)s", number=quarter_of(span.first), year=str(span.first.year)))
        case Length.YEAR:
            return str(span.first.year)


def days_of(span: Span) -> str:
    """The days of a period: the first and the last."""
    first, last = speech().day(span.first), speech().day(span.last)
    return first if span.days == 1 else f"{first} – {last}"


# ---- the address -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What the form above the report shows, and what its links keep."""

    asked: Compared
    units: Sequence[str]

    @property
    def pairs(self) -> dict[str, str]:
        """The address's arguments, in canonical form."""
        asked = self.asked
        return {
            "period": asked.length.name.lower(),
            "current": asked.current.isoformat(),
            "periods": str(asked.periods),
            "unit": asked.unit,
        }

    @property
    def query(self) -> str:
        """The end of the address."""
        return f"?{urlencode(self.pairs)}"


def read(args: Any, *, mode: Mode) -> Choice:
    """What the address asks for.

    Raises:
        BadAddress: an unknown argument, period or unit; too few or too many periods; a current one in the future.
    """
    one: dict[str, str] = {}
    for key, given in args.lists():
        values = clean(given)
        if key not in ARGUMENTS or len(values) > 1:
            raise BadAddress(_("This page knows no such argument: %(name)s.", name=key[:40]))
        if values:
            one[key] = values[0]
    today = utcnow().astimezone(zone()).date()
    length = _length(one.get("period"))
    current = length.first(_current(one.get("current"), today))
    unit, units = periods.read_unit(one.get("unit"), mode)
    wanted = _periods(one.get("periods"), length)
    asked = Compared(mode, unit, units[unit], zone(), today, length, current, wanted)
    if asked.whole.first < EARLIEST:
        raise BadAddress(
            _(
                "The report reaches back to %(day)s. Choose a later current period, or fewer periods.",
                day=day_text(EARLIEST),
            )
        )
    return Choice(asked, tuple(sorted(units)))


def _length(given: str | None) -> Length:
    known = {length.name.lower(): length for length in Length}
    if given is not None and given not in known:
        raise BadAddress(_("There is no period called “%(name)s”.", name=given[:40]))
    return known[given] if given is not None else USUAL_LENGTH


def _current(given: str | None, today: dt.date) -> dt.date:
    current = day_of(given, say(_("Current period"))) if given else today
    if current > today:
        raise BadAddress(
            _(
                "The current period lies in the future. Today is %(today)s; choose that day or an earlier one.",
                today=day_text(today),
            )
        )
    return current


def _periods(given: str | None, length: Length) -> int:
    most = MOST[length]
    if given is None:
        return USUAL_PERIODS
    number = int(given) if given.isascii() and given.isdigit() and len(given) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise BadAddress(_("Compare with 1 to %(most)s earlier periods of this length: a whole number.", most=most))
    return number


def usual(mode: Mode) -> Choice:
    """What the page shows that was asked for nothing: this month, compared with the six before."""
    return read(MultiDict(), mode=mode)
