"""Analytics (S0): payments a day, the share of each status, amounts by method and by channel."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Flask, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from payadmin.actions import reporting
from payadmin.actions.reporting import DAYS
from payadmin.config import current_settings
from payadmin.kernel.errors import Forbidden
from payadmin.kernel.text import _, day_text
from payadmin.models.payments import Mode
from payadmin.models.reporting import Slice
from payadmin.permissions import Permission
from payadmin.queries.reporting import ONE_DAY, Cut, Span, Sums
from payadmin.views import charts, figures, periods
from payadmin.views.charts import Plot, Series, chart
from payadmin.views.columns import tone_of
from payadmin.views.drawing import Shape
from payadmin.views.figures import (
    FAILED,
    SUCCEEDED,
    Asked,
    By,
    Change,
    Fact,
    Measure,
    PaymentFigure,
    change,
    declare,
    name_of,
    percent,
    shares,
    states_of,
)
from payadmin.views.filters import BadAddress
from payadmin.views.language import say, speech
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

PAGE: Final = "analytics"
# Bars of more days than this are those of weeks, of more than that of months.
MOST_DAY_BARS: Final = 70
MOST_WEEK_BARS: Final = 800
# What the strip below the daily chart reaches back to.
STRIP_DAYS: Final = 183

blueprint = Blueprint("analytics", __name__, url_prefix="/analytics")

AMOUNT = PaymentFigure(_("Total success amount"), measure=None, statuses=SUCCEEDED)
PAYMENTS = PaymentFigure(_("Payments"))
SUCCESSFUL = PaymentFigure(_("Successful payments"), statuses=SUCCEEDED)
FAILURES = PaymentFigure(_("Failed payments"), statuses=FAILED)
REFUNDED = PaymentFigure(_("Refunded amount"), measure=Measure.REFUNDED, statuses=SUCCEEDED)
STATUSES = PaymentFigure(_("Status share"), by=By.STATUS)
METHODS = PaymentFigure(_("Amount by method"), measure=None, by=Slice.METHOD, statuses=SUCCEEDED)
CHANNELS = PaymentFigure(_("Amount by channel"), measure=None, by=Slice.CHANNEL, statuses=SUCCEEDED)
DECLARED: Final = (AMOUNT, PAYMENTS, SUCCESSFUL, FAILURES, REFUNDED, STATUSES, METHODS, CHANNELS)

declare(PAGE, *DECLARED)


def _read(args: "MultiDict[str, str]", *, mode: Mode) -> Asked:
    return periods.read(args, mode=mode).asked


charts.read_with(PAGE, _read)


# ---- charts ----------------------------------------------------------------------------------------------------------


@chart(
    PAGE, _("Daily payments"), about=_("Captured amount of each day, with its average. The table below says the same.")
)
def daily(asked: Asked) -> Plot:
    """The amount of each day (P-70), with the half year before it in the strip below."""
    reach = Span(min(asked.span.first, asked.span.last - ONE_DAY * STRIP_DAYS), asked.span.last)
    cut = Cut(by_day=True, statuses=SUCCEEDED, span=reach)
    of_day = {line.day: line.sums for line in asked.read(cut).lines[cut]}
    days = tuple(reach)
    sums = [of_day.get(day, Sums()) for day in days]
    amounts = Series(
        _("Net amount") if asked.net else _("Amount"), tuple(map(asked.measure.of, sums)), asked.unit, asked.scale
    )
    counts = Series(_("Payments"), tuple(each.count for each in sums), drawn=False)
    return Plot(Shape.LINE, days, (amounts, counts), average=True, window=asked.span)


@chart(
    PAGE, _("Status share"), about=_("How many payments are in each status. The list beside the chart says the same.")
)
def status(asked: Asked) -> Plot:
    """The share of each status (P-71); the shares add up to exactly 100.0 (AN4)."""
    found = STATUSES.facts(asked, asked.read(STATUSES.cut))
    return Plot(
        Shape.RANKED,
        tuple(fact.label for fact in found),
        (
            Series(_("Share"), tuple(shares([fact.rows for fact in found])), "%", 1),
            Series(_("Payments"), tuple(fact.rows for fact in found), drawn=False),
        ),
        head=_("Status"),
    )


@chart(PAGE, _("Amount by method"), about=_("Captured amount over time by method. The table below says the same."))
def by_method(asked: Asked) -> Plot:
    """Amounts by method over time (P-72)."""
    return _stacked(asked, Slice.METHOD)


@chart(PAGE, _("Amount by channel"), about=_("Captured amount over time by channel. The table below says the same."))
def by_channel(asked: Asked) -> Plot:
    """Amounts by channel over time (P-73)."""
    return _stacked(asked, Slice.CHANNEL)


def _stacked(asked: Asked, slice_: Slice) -> Plot:
    cut = Cut(slice_, by_day=True, by_key=True, statuses=SUCCEEDED)
    lines = asked.read(cut).lines[cut]
    starts = bins(asked.span)
    place_of = {day: place for place, start in enumerate(starts) for day in _days_of(starts, place, asked.span.last)}
    amounts: dict[str, list[int]] = {}
    for line in lines:
        assert line.day is not None
        of_key = amounts.setdefault(line.key or "", [0] * len(starts))
        of_key[place_of[line.day]] += asked.measure.of(line.sums)
    ranked = sorted(amounts.items(), key=lambda item: (-sum(item[1]), item[0]))
    series = [Series(name_of(slice_, key), tuple(values), asked.unit, asked.scale) for key, values in ranked]
    heads = {1: _("Day"), 7: _("Week from")}
    return Plot(Shape.BARS, starts, tuple(series), head=heads.get(_step(asked.span), _("Month from")))


def bins(span: Span) -> tuple[dt.date, ...]:
    """Where bars begin: each day, else each Monday, else each first of a month; the first where the span begins."""
    step = _step(span)
    if step == 1:
        return tuple(span)
    begins = (lambda day: day.weekday() == 0) if step else (lambda day: day.day == 1)
    return tuple(day for day in span if day == span.first or begins(day))


def _step(span: Span) -> int:
    return 1 if span.days <= MOST_DAY_BARS else 7 if span.days <= MOST_WEEK_BARS else 0


def _days_of(starts: Sequence[dt.date], place: int, last: dt.date) -> Span:
    after = starts[place + 1] - ONE_DAY if place + 1 < len(starts) else last
    return Span(starts[place], after)


# ---- the page --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tile:
    """A figure with how it compares with the period before."""

    label: str
    text: str
    unit: str
    url: str | None
    change: Change
    good: bool


@blueprint.get("/")
def index() -> Any:
    """The page."""
    _guard()
    mode = Mode[current_mode()]
    try:
        choice, problem = periods.read(request.args, mode=mode), None
    except BadAddress as refusal:
        # The bar stays, so that what was mistyped can be put right.
        choice, problem = periods.read(MultiDict(), mode=mode), refusal.sentence
    shown = {} if problem else content(choice)
    page = render_template("reporting/analytics.html", choice=choice, problem=problem, presets=periods.PRESETS, **shown)
    return page, (400 if problem else 200)


@blueprint.route("/share/", methods=("GET", "POST"))
def share() -> Any:
    """Make a link by which another site can show this page in a frame (P-74)."""
    _guard()
    asked = request.form.get("days", "")
    link = None
    if request.method == "POST":
        mode = Mode[current_mode()]
        token = reporting.share_analytics(
            current_actor(), mode=mode, days=next((days for days in DAYS if str(days) == asked), 0)
        )
        base = current_settings().public_url.rstrip("/") or request.url_root.rstrip("/")
        link = f"{base}{url_for('embed.show', token=token)}#/transactions-analytics"
    return render_template(
        "reporting/share.html",
        link=link,
        frame=f'<iframe src="{link}" title="{say(_("Payments"))}" width="100%" height="1400"></iframe>',
        choices=DAYS,
        ancestors=current_settings().frame_ancestors,
    )


def content(choice: periods.Choice, *, address: Callable[..., str] | None = None) -> dict[str, Any]:
    """Everything the page shows for a choice: the same here and on other sites.

    Args:
        address: where the charts' drawings are, on other sites.
    """
    asked = choice.asked
    before = figures.facts(_before(asked), (AMOUNT, PAYMENTS, SUCCESSFUL, FAILURES))
    now = figures.facts(asked, DECLARED)
    found = now[STATUSES]
    parts = zip(found, shares([fact.rows for fact in found]), strict=True)
    latest = None if found else periods.latest_day(asked)
    return {
        "asked": asked,
        "first": day_text(asked.span.first),
        "last": day_text(asked.span.last),
        "tiles": _tiles(asked, now, before),
        "shares": [(fact, tone_of(states_of(fact.label)[0]), percent(tenths)) for fact, tenths in parts],
        "methods": now[METHODS],
        "channels": now[CHANNELS],
        "refunded": now[REFUNDED][0],
        "latest": day_text(latest) if latest is not None else None,
        "until_latest": _until(choice, latest) if latest is not None else None,
        "cards": charts.cards(PAGE, asked, choice.pairs, address=address),
    }


def _until(choice: periods.Choice, latest: dt.date) -> str:
    days = {"from": (latest - ONE_DAY * 89).isoformat(), "to": latest.isoformat()}
    return choice.query(range="custom", **days)


def _guard() -> None:
    if not current_actor().may(Permission.REPORTING_ANALYTICS_READ):
        raise Forbidden("Your role does not include this page.")


def _before(asked: Asked) -> Asked:
    return Asked(asked.mode, asked.span.before, asked.unit, asked.scale, asked.zone, asked.net)


def _tiles(asked: Asked, now: dict[Any, list[Fact]], before: dict[Any, list[Fact]]) -> list[Tile]:
    amount, payments, successful, failures = (now[each][0] for each in (AMOUNT, PAYMENTS, SUCCESSFUL, FAILURES))
    old = [before[each][0] for each in (AMOUNT, PAYMENTS, SUCCESSFUL, FAILURES)]
    mean, old_mean = _mean(amount.number, successful.rows), _mean(old[0].number, old[2].rows)
    rate, old_rate = _mean(failures.rows * 1000, payments.rows), _mean(old[3].rows * 1000, old[1].rows)
    by_rate = Change(None) if old[1].rows == 0 or payments.rows == 0 else Change(rate - old_rate)
    by_mean = Change(None) if successful.rows == 0 else change(mean, old_mean)
    label = _("Net amount") if asked.net else _("Total success amount")
    unit = asked.unit
    return [
        Tile(label, amount.text, unit, amount.url, change(amount.number, old[0].number), good=True),
        Tile(_("Payments"), payments.text, "", payments.url, change(payments.number, old[1].number), good=True),
        Tile(_("Average payment"), _bare(asked, mean), unit, successful.url, by_mean, good=True),
        Tile(_("Failure rate"), percent(rate), "", failures.url, by_rate, good=False),
    ]


def _mean(whole: int, parts: int) -> int:
    """The mean, rounded half up; of nothing, nothing."""
    return (2 * whole + parts) // (2 * parts) if parts else 0


def _bare(asked: Asked, minor: int) -> str:
    return speech().amount(minor, asked.scale)


def init_analytics(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {PAGE: "analytics.index"}
