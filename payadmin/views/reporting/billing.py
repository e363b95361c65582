"""The Billing dashboard (S2): payments, billing numbers, failures, registrations, card issuers of a week or month."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Flask, render_template, request
from werkzeug.datastructures import MultiDict

from payadmin.db import utcnow
from payadmin.kernel.errors import Forbidden
from payadmin.kernel.text import Said, _, day_text
from payadmin.models.payments import Mode
from payadmin.models.reporting import Period
from payadmin.permissions import Permission
from payadmin.queries.billing import Frame
from payadmin.views import charts, periods
from payadmin.views.charts import Plot, Series, Shape, chart
from payadmin.views.columns import zone
from payadmin.views.figures import (
    Change,
    Fact,
    change,
    facts,
    percent,
    shares,
)
from payadmin.views.filters import BadAddress, clean, day_of
from payadmin.views.language import say, speech
from payadmin.views.reporting.billing_figures import (
    DATA,
    INACTIVATED,
    ISSUERS,
    MESSAGES,
    OUTCOMES,
    PAGE,
    REGISTERED,
    SHOWN,
    SINGLES,
    SUCCESS,
    UNIQUE,
    UNIQUE_BEFORE,
    BillingAsked,
)
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

ARGUMENTS: Final = frozenset({"period", "day", "unit"})
PERIODS: Final = {"week": Period.WEEK, "month": Period.MONTH}
WORDS: Final = {"week": _("Weekly"), "month": _("Monthly")}
# The first day that addresses may say (views.filters.day_of).
EARLIEST: Final = dt.date(1900, 1, 1)
# Names beside the bars of a chart; the list below it has them whole.
LONGEST_NAME: Final = 28

blueprint = Blueprint("billing_dashboard", __name__, url_prefix="/billing/dashboard")


@dataclass(frozen=True)
class Choice:
    """What the bar above the figures shows, and where its links lead."""

    asked: BillingAsked
    units: Sequence[str]
    today: dt.date

    @property
    def name(self) -> str:
        """Which period it is, as addresses say it."""
        return next(name for name, period in PERIODS.items() if period is self.asked.period)

    @property
    def pairs(self) -> dict[str, str]:
        """The address's arguments, in canonical form."""
        return {"period": self.name, "day": self.asked.span.first.isoformat(), "unit": self.asked.unit}

    @property
    def is_running(self) -> bool:
        """Whether days are still to come."""
        return self.asked.span.last >= self.today

    @property
    def previous(self) -> str | None:
        """The address of the period before; None where addresses end."""
        before = self.asked.frame.before.first
        return self.query(day=before) if before >= EARLIEST else None

    @property
    def following(self) -> str | None:
        """The address of the period after; None while it has not begun."""
        after = self.asked.frame.after.first
        return self.query(day=after) if after <= self.today else None

    def query(self, **changes: Any) -> str:
        """The end of the address with some arguments changed."""
        return f"?{urlencode({**self.pairs, **changes})}"

    def switched(self, name: str) -> str:
        """The address of the week or month that this one is in: today's, if today is in it."""
        span = self.asked.span
        return self.query(period=name, day=self.today if span.first <= self.today <= span.last else span.first)


def read(args: Any, *, mode: Mode) -> Choice:
    """What the address asks for.

    Args:
        args: `period` (`week`, usual, or `month`), `day`, any in it (usual: today), `unit`.
        mode: live or test payments.

    Raises:
        BadAddress: an unknown argument, period or unit; a day that is none, or in a period that has not begun.
    """
    one: dict[str, str] = {}
    for key, given in args.lists():
        values = clean(given)
        if key not in ARGUMENTS or len(values) > 1:
            raise BadAddress(_("This page knows no such argument: %(name)s.", name=key[:40]))
        if values:
            one[key] = values[0]
    today = utcnow().astimezone(zone()).date()
    name = one.get("period", "week")
    if name not in PERIODS:
        raise BadAddress(_("There is no period called “%(name)s”.", name=name[:40]))
    frame = Frame.of(PERIODS[name], day_of(one["day"], say(_("Day"))) if "day" in one else today)
    if frame.first > today:
        raise BadAddress(
            _(
                "The period begins in the future. Today is %(today)s; choose that day or an earlier one.",
                today=day_text(today),
            )
        )
    unit, units = periods.read_unit(one.get("unit"), mode)
    asked = BillingAsked(mode, frame.span, unit, units[unit], zone(), period=frame.period)
    return Choice(asked, tuple(sorted(units)), today)


def _asked(args: "MultiDict[str, str]", *, mode: Mode) -> BillingAsked:
    return read(args, mode=mode).asked


charts.read_with(PAGE, _asked)


# ---- charts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NamesPlot(Plot):
    """A plot whose places are names that others wrote: shortened beside the bars, whole in the file."""

    @cached_property
    def _shown(self) -> list[str]:
        shown: list[str] = []
        for place in self.places:
            name = say(place) if isinstance(place, Said) else str(place)
            short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
            shown.append(short if short not in shown else f"{short} ({len(shown) + 1})")
        return shown

    def place_text(self, position: int) -> str:
        """The name, shortened; no two are equal, for each has a bar of its own."""
        return self._shown[position]


@chart(
    PAGE,
    _("All transactions"),
    about=_("Bars: how many payments of each day were successful, how many failed, and all others."),
    empty=_("There are no payments in this period. Choose another period or another currency."),
)
def all_transactions(asked: BillingAsked) -> Plot:
    """Payments of each day (B-09), with all other values (B-04)."""
    return _over_days(asked, OUTCOMES)


@chart(
    PAGE,
    _("Single payment"),
    about=_("Bars: how many payments without a schedule were successful on each day, how many failed, and all others."),
    empty=_("Nothing was paid without a schedule in this period."),
)
def single_payment(asked: BillingAsked) -> Plot:
    """Payments of each day that no schedule made (B-10)."""
    return _over_days(asked, SINGLES)


@chart(
    PAGE,
    _("Registration recurring"),
    about=_("Bars: how many subscriptions were registered on each day, and how many inactivated."),
    empty=_("No subscription was registered or inactivated in this period."),
)
def registration_recurring(asked: BillingAsked) -> Plot:
    """Registrations and inactivations of each day (B-11)."""
    days = tuple(asked.span)
    series = tuple(
        Series(figure.label, tuple(figure.counts(asked).get(day, 0) for day in days))
        for figure in (REGISTERED, INACTIVATED)
    )
    return Plot(Shape.BARS, days, series)


@chart(
    PAGE,
    _("Failed message"),
    about=_("Bars: what failed payments said, the most frequent first. The list below says the same."),
    empty=_("No payment failed in this period."),
)
def failed_message(asked: BillingAsked) -> Plot:
    """The bank's answers to payments that failed (B-08 of S2's list)."""
    return _ranked(MESSAGES.facts(asked, asked.read(*MESSAGES.cuts(asked))), _("Failed message"))


@chart(
    PAGE,
    _("Top issuer"),
    about=_("Bars: the card issuers with most payments. The list below says the same."),
    empty=_("No payment with a card in this period."),
)
def top_issuer(asked: BillingAsked) -> Plot:
    """The banks whose cards paid most often (B-12)."""
    return _ranked(ISSUERS.facts(asked, asked.read(ISSUERS.cut)), _("Card issuer"))


def _over_days(asked: BillingAsked, figures: Sequence[Any]) -> Plot:
    days, answer = tuple(asked.span), asked.read(figures[0].cut)
    counted = [(figure.label, figure.counts(answer)) for figure in figures]
    series = tuple(Series(label, tuple(found.get(day, 0) for day in days)) for label, found in counted)
    return Plot(Shape.BARS, days, series)


def _ranked(found: Sequence[Fact], head: str) -> Plot:
    counts = Series(_("Payments"), tuple(fact.number for fact in found))
    return NamesPlot(Shape.RANKED, tuple(fact.label for fact in found), (counts,), head=head)


# ---- the page --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tile:
    """A figure, and what it was in the period before."""

    fact: Fact
    before: Fact
    change: Change | None

    @classmethod
    def of(cls, fact: Fact, before: Fact, *, compared: bool) -> "Tile":
        """The tile; a period that is still running is not compared with a whole one."""
        return cls(fact, before, change(fact.number, before.number) if compared else None)


@dataclass(frozen=True)
class Table:
    """The numbers of a chart, each with its list: a row for each day, and one for all."""

    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Fact]]]
    total: Sequence[Fact]


@blueprint.get("/")
def index() -> Any:
    """The page."""
    if not current_actor().may(Permission.REPORTING_BILLING_READ):
        raise Forbidden("Your role does not include this page.")
    mode = Mode[current_mode()]
    try:
        choice, problem = read(request.args, mode=mode), None
    except BadAddress as refusal:
        # The bar stays, so that what was mistyped can be put right.
        choice, problem = read(MultiDict(), mode=mode), refusal.sentence
    shown = {} if problem else _content(choice)
    page = render_template("reporting/billing.html", choice=choice, problem=problem, words=WORDS, **shown)
    return page, (400 if problem else 200)


def _content(choice: Choice) -> dict[str, Any]:
    asked = choice.asked
    now = facts(asked, SHOWN)
    earlier = facts(asked.before, (SUCCESS, DATA))
    compared = not choice.is_running
    pairs = ((SUCCESS, earlier[SUCCESS]), (DATA, earlier[DATA]), (UNIQUE, now[UNIQUE_BEFORE]))
    latest = None if now[DATA][0].number else periods.latest_day(asked)
    return {
        "asked": asked,
        "first": day_text(asked.span.first),
        "last": day_text(asked.span.last),
        "tiles": [Tile.of(now[figure][0], before[0], compared=compared) for figure, before in pairs],
        "tables": {
            "all-transactions": _table(asked, OUTCOMES, now),
            "single-payment": _table(asked, SINGLES, now),
            "registration-recurring": _table(asked, (REGISTERED, INACTIVATED), now),
        },
        "messages": _with_shares(now[MESSAGES]),
        "issuers": _with_shares(now[ISSUERS]),
        "latest": day_text(latest) if latest is not None else None,
        "until_latest": choice.query(day=latest) if latest is not None else None,
        "cards": charts.cards(PAGE, asked, choice.pairs),
    }


def _table(asked: BillingAsked, figures: Sequence[Any], now: dict[Any, list[Fact]]) -> Table:
    columns = [figure.by_day(asked) for figure in figures]
    rows = [(speech().day(day), [column[day] for column in columns]) for day in asked.span]
    return Table([say(figure.label) for figure in figures], rows, [now[figure][0] for figure in figures])


def _with_shares(found: Sequence[Fact]) -> list[tuple[Fact, str]]:
    parts = shares([fact.number for fact in found])
    return [(fact, percent(tenths)) for fact, tenths in zip(found, parts, strict=True)]


def init_billing(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {PAGE: "billing_dashboard.index"}
