"""Home of issuers and partners (S1): what their client services were used, in numbers that lead to their lists."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from babel.dates import format_skeleton
from flask import Flask, render_template
from werkzeug.datastructures import MultiDict

from payadmin.config import current_settings
from payadmin.db import Base, db, utcnow
from payadmin.kernel.errors import Forbidden
from payadmin.kernel.text import _
from payadmin.models.parties import Organization
from payadmin.models.payments import Mode
from payadmin.models.usage import ClientService, ClientServiceStatus, UsageDaily
from payadmin.permissions import Permission, Role
from payadmin.queries.reporting import Answer, Cut
from payadmin.queries.usage import Bucket, Consumption, consumption
from payadmin.views import charts
from payadmin.views.charts import Plot, Series, Shape, chart
from payadmin.views.figures import Change, Fact, change, declare, percent
from payadmin.views.filters import BadAddress
from payadmin.views.language import say, speech
from payadmin.views.security import current_actor
from payadmin.views.shell import DASHBOARD
from payadmin.views.usage.pages import MINE

PAGE = "home"
OF_MINE = ("of", MINE)


@dataclass(frozen=True)
class HomeAsked:
    """Whose consumption is shown, and on which business day."""

    organization_id: int | None
    roles: frozenset[Role]
    today: dt.date

    @cached_property
    def found(self) -> Consumption:
        """The figures, asked for once."""
        return consumption(db.session(), organization_id=self.organization_id, roles=self.roles, today=self.today)


@dataclass(frozen=True)
class MonthsPlot(Plot):
    """A plot whose places are months."""

    def place_text(self, position: int) -> str:
        """The month as people read it."""
        return month_text(self.places[position])


@dataclass(frozen=True)
class UsageFigure:
    """Operations in months or days; each number leads to the counts that it is the sum of.

    Attributes:
        buckets: which.
    """

    label: str
    buckets: Any

    def cuts(self, asked: HomeAsked) -> Sequence[Cut]:  # noqa: ARG002 - nothing of payments
        return ()

    def facts(self, asked: HomeAsked, answer: Answer) -> list[Fact]:  # noqa: ARG002 - nothing of payments
        return [self._fact(bucket) for bucket in self.buckets(asked.found)]

    def _fact(self, bucket: Bucket) -> Fact:
        days = f"{bucket.first.isoformat()}..{bucket.last.isoformat()}"
        args = (("day", days), OF_MINE)
        return Fact(self.label, bucket.count, bucket.rows, UsageDaily, args, columns=(("operations", 1),))


@dataclass(frozen=True)
class ServicesFigure:
    """How many client services there are: a partner's whatever their status, an issuer's active ones (T9)."""

    label: str

    def cuts(self, asked: HomeAsked) -> Sequence[Cut]:  # noqa: ARG002 - nothing of payments
        return ()

    def facts(self, asked: HomeAsked, answer: Answer) -> list[Fact]:  # noqa: ARG002 - nothing of payments
        found = asked.found
        status = () if found.counts_all else (("status", ClientServiceStatus.ACTIVE.name),)
        label = _("Client services") if found.counts_all else _("Active client services")
        model: type[Base] = ClientService
        return [Fact(label, found.services, found.services, model, (*status, OF_MINE))]


MONTHS = UsageFigure("Operations", lambda found: found.months)
DAYS = UsageFigure("Operations", lambda found: found.days)
SAME_DAYS = UsageFigure("Operations", lambda found: [found.same_days])
SERVICES = ServicesFigure("Client services")
DECLARED = (MONTHS, DAYS, SAME_DAYS, SERVICES)
declare(PAGE, *DECLARED)


def is_for(roles: frozenset[Role]) -> bool:
    """Whether Home is a dashboard for somebody with these roles."""
    return bool(roles & {Role.ISSUER, Role.PARTNER})


def read_home(args: "MultiDict[str, str]", *, mode: Mode) -> HomeAsked:  # noqa: ARG001 - usage has no test mode
    """The dashboard of the person signed in; its address has no arguments."""
    actor = current_actor()
    if not is_for(actor.roles) or not actor.may(Permission.HOME_CONSUMPTION_READ):
        raise Forbidden("Your role does not include this page.")
    if args:
        raise BadAddress("This page knows no such argument.")
    today = utcnow().astimezone(current_settings().zone).date()
    return HomeAsked(actor.organization_id, actor.roles & {Role.ISSUER, Role.PARTNER}, today)


charts.read_with(PAGE, read_home)
NO_USAGE = _("No operations were counted in this time. They appear once a program reports them.")


@chart(
    PAGE,
    _("Operations a month"),
    about=_("Bars: the operations of each of the last six months, this one so far."),
    empty=NO_USAGE,
)
def operations_a_month(asked: HomeAsked) -> Plot:
    """The last six months, this one so far (C-10)."""
    found = asked.found
    places = tuple(bucket.first for bucket in found.months)
    total = Series(_("Operations"), tuple(bucket.count for bucket in found.months))
    return MonthsPlot(Shape.BARS, places, (total, *_parts(found.month_names, found.months)), head=_("Month"))


@chart(
    PAGE,
    _("Operations a day"),
    about=_("A line: the operations of each of the last thirty days, with their average."),
    empty=NO_USAGE,
)
def operations_a_day(asked: HomeAsked) -> Plot:
    """The last thirty days, with their average (C-11, C-12)."""
    found = asked.found
    places = tuple(bucket.first for bucket in found.days)
    total = Series(_("Operations"), tuple(bucket.count for bucket in found.days))
    return Plot(Shape.LINE, places, (total, *_parts(found.day_names, found.days)), average=True)


def _parts(names: Sequence[str], buckets: Sequence[Bucket]) -> list[Series]:
    """For hover, table and file: each named service's operations, and those of all others together (HD4)."""
    parts = [
        Series(name, tuple(bucket.split[place] for bucket in buckets), drawn=False) for place, name in enumerate(names)
    ]
    rest = tuple(bucket.rest for bucket in buckets)
    return [*parts, Series(_("Other services"), rest, drawn=False)] if any(rest) else parts


def month_text(day: Any) -> str:
    """The month of a day in the reader's language: Nov 2026."""
    return str(format_skeleton("yMMM", day, locale=speech().code))


def dashboard() -> str | None:
    """Home for issuers and partners; None for everybody else."""
    actor = current_actor()
    if not is_for(actor.roles) or not actor.may(Permission.HOME_CONSUMPTION_READ):
        return None
    asked = read_home(MultiDict(), mode=Mode.LIVE)
    found = asked.found
    organization = db.session.get(Organization, asked.organization_id) if asked.organization_id else None
    answer = Answer()
    months, days = MONTHS.facts(asked, answer), DAYS.facts(asked, answer)
    return render_template(
        "usage/home.html",
        organization=organization,
        found=found,
        this_month=months[-1],
        last_month=months[-2],
        same_days=SAME_DAYS.facts(asked, answer)[0],
        services=SERVICES.facts(asked, answer)[0],
        chip=chip(change(found.this_month.count, found.last_month.count), found.this_month.count),
        average=speech().amount(found.average_tenths, 1),
        cards=charts.cards(PAGE, asked, {}),
        month_rows=_rows(found.months, months, month_text),
        day_rows=_rows(found.days, days, lambda day: speech().day(day)),
        month_heads=_heads(found.month_names, found.months),
        day_heads=_heads(found.day_names, found.days),
        last_month_name=month_text(found.last_month.first),
    )


@dataclass(frozen=True)
class Chip:
    """How this month so far compares with the whole previous month, in words and with an arrow (C-07)."""

    text: str
    icon: str
    words: str


def chip(found: Change, now: int) -> Chip:
    """The chip's words: new where there was nothing before, 0 % where there is nothing at all (T10)."""
    if found.tenths is None:
        if now == 0:
            return Chip(f"{speech().grouped(0)} %", "arrow-right", say(_("as in the previous month")))
        return Chip(say(_("new")), "plus", say(_("nothing in the previous month")))
    text = percent(abs(found.tenths)).replace("%", " %")
    match found.direction:
        case "up":
            return Chip(f"+{text}", "arrow-up", say(_("more than in the previous month")))
        case "down":
            return Chip(f"−{text}", "arrow-down", say(_("less than in the previous month")))  # noqa: RUF001 - a minus
    return Chip(f"{speech().grouped(0)} %", "arrow-right", say(_("as in the previous month")))


def _rows(buckets: Iterable[Bucket], facts: Iterable[Fact], words: Any) -> list[tuple[str, Fact, list[str]]]:
    """The rows of a table: where, the number with its list, and the split; the newest first."""
    grouped = speech().grouped
    pairs = list(zip(buckets, facts, strict=True))
    others = any(bucket.rest for bucket, _fact in pairs)
    return [
        (words(bucket.first), fact, [grouped(each) for each in (*bucket.split, *([bucket.rest] if others else []))])
        for bucket, fact in reversed(pairs)
    ]


def _heads(names: Sequence[str], buckets: Iterable[Bucket]) -> list[str]:
    return [*names, *([say(_("Other services"))] if any(bucket.rest for bucket in buckets) else [])]


def init_home(app: Flask) -> None:
    """Let Home show the dashboard to those it is meant for."""
    app.extensions[DASHBOARD] = dashboard
