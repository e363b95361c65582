"""What the Billing dashboard (S2) counts: each number with the list that has exactly as many rows."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.payments import Payment, PaymentStatus, PaymentType
from payadmin.models.reporting import Period, Slice
from payadmin.models.subscriptions import Subscription
from payadmin.queries import billing
from payadmin.queries.billing import Frame, Registrations
from payadmin.queries.reporting import Answer, Cut, Span, Sums
from payadmin.views.figures import (
    FAILED,
    SUCCEEDED,
    Asked,
    Fact,
    Figure,
    Measure,
    Pairs,
    PaymentFigure,
    days_argument,
    declare,
)
from payadmin.views.filters import LONGEST_VALUE
from payadmin.views.payment_filters import LAST_OF_BILLING, OTHER_MESSAGES

PAGE: Final = "billing-dashboard"
MOST_NAMED: Final = 10
# B-04: what is neither failed nor a success: created and not paid yet, or voided.
OTHERS: Final = tuple(status for status in PaymentStatus if status not in {*SUCCEEDED, *FAILED})
# B-10: paid once, without any schedule: by hand, by link, or by a row of a batch.
SINGLE: Final = tuple(kind for kind in PaymentType if kind is not PaymentType.SUBSCRIPTION)
BY_DAY: Final = Cut(by_day=True, by_status=True)
BY_TYPE: Final = Cut(Slice.TYPE, by_day=True, by_status=True, by_key=True)


@dataclass(frozen=True)
class BillingAsked(Asked):
    """A calendar week or month, and a unit."""

    period: Period = Period.WEEK

    @property
    def frame(self) -> Frame:
        """The week or month."""
        return Frame(self.period, self.span.first)

    @property
    def before(self) -> Asked:
        """The week or month before, as far as sums of payments go."""
        return Asked(self.mode, self.frame.before.span, self.unit, self.scale, self.zone)

    @cached_property
    def _found(self) -> Answer:
        return super().read(*CUTS)

    def read(self, *cuts: Cut) -> Answer:
        """As ever; what the page shows is asked for once, all of one moment."""
        return self._found if set(cuts) <= set(CUTS) else super().read(*cuts)

    @cached_property
    def registrations(self) -> Registrations:
        """What happened to subscriptions."""
        return billing.registrations(db.session(), self.unit, self.zone, self.span)

    @cached_property
    def unique(self) -> dict[Frame, int]:
        """The different billing numbers of this week or month and of the one before."""
        frames = (self.frame.before, self.frame)
        return billing.unique_numbers(db.session(), self.mode, self.unit, self.zone, frames)


@dataclass(frozen=True)
class DayFigure:
    """Payments of each day that has any, in some states.

    Attributes:
        statuses: these.
        single: only those that were paid once.
        each: one number for each day, else one for all.
    """

    label: str
    statuses: tuple[PaymentStatus, ...]
    single: bool = False
    each: bool = False

    @property
    def cut(self) -> Cut:
        """What it asks of the rollups."""
        return BY_TYPE if self.single else BY_DAY

    def cuts(self, asked: BillingAsked) -> Sequence[Cut]:  # noqa: ARG002 - all figures are asked so
        return (self.cut,)

    def counts(self, answer: Answer) -> dict[dt.date, int]:
        """How many there are on each day that has any."""
        found: dict[dt.date, int] = {}
        for line in answer.lines[self.cut]:
            is_wanted = not self.single or line.key in {kind.name for kind in SINGLE}
            if is_wanted and line.status in self.statuses and line.day is not None:
                found[line.day] = found.get(line.day, 0) + line.sums.count
        return found

    def facts(self, asked: BillingAsked, answer: Answer) -> list[Fact]:
        """Its numbers."""
        found = self.counts(answer)
        if self.each:
            return [self._fact(asked, count, Span(day, day)) for day, count in sorted(found.items())]
        return [self._fact(asked, sum(found.values()), asked.span)]

    def by_day(self, asked: BillingAsked) -> dict[dt.date, Fact]:
        """The number of each day, also where it is zero."""
        found = self.counts(asked.read(self.cut))
        return {day: self._fact(asked, found.get(day, 0), Span(day, day)) for day in asked.span}

    def _fact(self, asked: BillingAsked, count: int, span: Span) -> Fact:
        types = [("type", kind.name) for kind in SINGLE] if self.single else []
        return Fact(self.label, count, count, Payment, (*_statuses(self.statuses), *types, *_within(asked, span)))


@dataclass(frozen=True)
class MessageFigure:
    """What failed payments said, the most frequent first, and all others together (BD2)."""

    label: str
    rest: str

    @property
    def cut(self) -> Cut:
        """What it asks of the rollups."""
        return Cut(Slice.FAILURE, by_key=True, statuses=FAILED)

    def cuts(self, asked: BillingAsked) -> Sequence[Cut]:  # noqa: ARG002 - all figures are asked so
        return (self.cut, BY_DAY)

    def facts(self, asked: BillingAsked, answer: Answer) -> list[Fact]:
        """Its numbers; the last is that of all others, if there are any."""
        base = (*_statuses(FAILED), *_within(asked, asked.span))
        named = _largest((line.key or "", line.sums.count) for line in answer.lines[self.cut])
        found = [Fact(text, count, count, Payment, (*base, ("failure_message", text))) for text, count in named]
        whole = sum((line.sums for line in answer.lines[BY_DAY] if line.status in FAILED), Sums()).count
        if rest := whole - sum(count for _text, count in named):
            others = tuple((OTHER_MESSAGES, text) for text, _count in named)
            found.append(Fact(self.rest, rest, rest, Payment, (*base, *others)))
        return found


@dataclass(frozen=True)
class IssuerFigure:
    """The banks whose cards paid most often (B-12)."""

    label: str

    @property
    def cut(self) -> Cut:
        """What it asks of the rollups."""
        return Cut(Slice.ISSUER, by_key=True)

    def cuts(self, asked: BillingAsked) -> Sequence[Cut]:  # noqa: ARG002 - all figures are asked so
        return (self.cut,)

    def facts(self, asked: BillingAsked, answer: Answer) -> list[Fact]:
        """Its numbers."""
        return [
            Fact(name, count, count, Payment, (("card_issuer", name), *_within(asked, asked.span)))
            for name, count in _largest((line.key or "", line.sums.count) for line in answer.lines[self.cut])
        ]


@dataclass(frozen=True)
class UniqueFigure:
    """How many different billing numbers the payments have; its list has the last payment of each."""

    label: str
    before: bool = False

    def cuts(self, asked: BillingAsked) -> Sequence[Cut]:  # noqa: ARG002 - it asks for itself
        return ()

    def facts(self, asked: BillingAsked, answer: Answer) -> list[Fact]:  # noqa: ARG002 - it asks for itself
        frame = asked.frame.before if self.before else asked.frame
        args = ((LAST_OF_BILLING, days_argument(frame.span)), ("amount", f"{asked.unit}:.."))
        return [Fact(self.label, asked.unique[frame], asked.unique[frame], Payment, args)]


@dataclass(frozen=True)
class RegistrationFigure:
    """Subscriptions that were registered or inactivated (B-11).

    Attributes:
        column: which moment counts.
        each: one number for each day that has any, else one for all.
    """

    label: str
    column: str
    each: bool = False

    def cuts(self, asked: BillingAsked) -> Sequence[Cut]:  # noqa: ARG002 - nothing of payments
        return ()

    def counts(self, asked: BillingAsked) -> dict[dt.date, int]:
        """How many there are on each day that has any."""
        found = asked.registrations
        return found.registered if self.column == "created_at" else found.inactivated

    def facts(self, asked: BillingAsked, answer: Answer) -> list[Fact]:  # noqa: ARG002 - nothing of payments
        found = self.counts(asked)
        if self.each:
            return [self._fact(asked, count, Span(day, day)) for day, count in sorted(found.items())]
        return [self._fact(asked, sum(found.values()), asked.span)]

    def by_day(self, asked: BillingAsked) -> dict[dt.date, Fact]:
        """The number of each day, also where it is zero."""
        found = self.counts(asked)
        return {day: self._fact(asked, found.get(day, 0), Span(day, day)) for day in asked.span}

    def _fact(self, asked: BillingAsked, count: int, span: Span) -> Fact:
        args = ((self.column, days_argument(span)), ("amount", f"{asked.unit}:.."))
        return Fact(self.label, count, count, Subscription, args)


def _statuses(statuses: Sequence[PaymentStatus]) -> Pairs:
    return tuple(("status", status.name) for status in statuses)


def _within(asked: BillingAsked, span: Span) -> Pairs:
    return (("created_at", days_argument(span)), ("amount", f"{asked.unit}:.."))


def _largest(found: Iterator[tuple[str, int]]) -> list[tuple[str, int]]:
    """The most frequent names, as far as a list can be asked for them in an address."""
    named = [
        (name, count)
        for name, count in found
        if name and len(name) <= LONGEST_VALUE and name.isprintable() and not name.endswith("*")
    ]
    return sorted(named, key=lambda pair: (-pair[1], pair[0]))[:MOST_NAMED]


SUCCESS = PaymentFigure(_("Total success amount"), measure=Measure.CAPTURED, statuses=SUCCEEDED)
DATA = PaymentFigure(_("Total data"))
UNIQUE = UniqueFigure(_("Total unique billing number"))
UNIQUE_BEFORE = UniqueFigure(_("Total unique billing number"), before=True)
# B-09: all transactions.
OUTCOMES = tuple(
    DayFigure(label, statuses)
    for label, statuses in ((_("Success"), SUCCEEDED), (_("Failed"), FAILED), (_("Others"), OTHERS))
)
SINGLES = tuple(replace(figure, single=True) for figure in OUTCOMES)
MESSAGES = MessageFigure(_("Failed message"), _("Others, or no message"))
REGISTERED = RegistrationFigure(_("Registered"), "created_at")
INACTIVATED = RegistrationFigure(_("Inactivated"), "inactivated_at")
ISSUERS = IssuerFigure(_("Top issuer"))
SHOWN: Final[tuple[Figure, ...]] = (
    SUCCESS,
    DATA,
    UNIQUE,
    UNIQUE_BEFORE,
    *OUTCOMES,
    *SINGLES,
    MESSAGES,
    REGISTERED,
    INACTIVATED,
    ISSUERS,
)
DAILY: Final[tuple[Figure, ...]] = (
    *(replace(figure, each=True) for figure in (*OUTCOMES, *SINGLES)),
    *(replace(figure, each=True) for figure in (REGISTERED, INACTIVATED)),
)
CUTS: Final = tuple(dict.fromkeys((SUCCESS.cut, DATA.cut, BY_DAY, BY_TYPE, MESSAGES.cut, ISSUERS.cut)))
declare(PAGE, *SHOWN, *DAILY)
