"""The operational report (K-09): general figures of a current period, compared with as many periods before it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Flask, Response, render_template, request

from payadmin.kernel.errors import Forbidden
from payadmin.kernel.lengths import Length
from payadmin.kernel.money import Money, format_minor
from payadmin.kernel.report_pdf import Cell as PdfCell
from payadmin.kernel.report_pdf import ReportFacts, ReportRow, render_report
from payadmin.kernel.sheets import csv_rows
from payadmin.kernel.text import _, day_text
from payadmin.kernel.xlsx import Cell, xlsx
from payadmin.models.parties import Customer
from payadmin.models.payments import Mode, PaymentStatus
from payadmin.models.subscriptions import Subscription
from payadmin.models.treasury import CashKind
from payadmin.permissions import Permission
from payadmin.views import charts
from payadmin.views.charts import Plot, Series, chart
from payadmin.views.drawing import Shape
from payadmin.views.figures import (
    FAILED,
    SUCCEEDED,
    CashFigure,
    Change,
    Fact,
    Figure,
    ListFigure,
    Measure,
    PaymentFigure,
    days_argument,
    declare,
)
from payadmin.views.filters import BadAddress
from payadmin.views.reporting.compared import MOST, Choice, Compared, Period, read, rows, usual
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

PAGE: Final = "operational-report"

blueprint = Blueprint("operational_report", __name__, url_prefix="/operational-report")

PAYMENTS = PaymentFigure(_("Payments"))
SUCCESSFUL = PaymentFigure(_("Successful payments"), statuses=SUCCEEDED)
FAILURES = PaymentFigure(_("Failed payments"), statuses=FAILED)
CHARGED_BACK = PaymentFigure(_("Charged back"), statuses=(PaymentStatus.CHARGED_BACK,))
CAPTURED = PaymentFigure(_("Captured amount"), measure=Measure.CAPTURED, statuses=SUCCEEDED)
REFUNDED = PaymentFigure(_("Refunded amount"), measure=Measure.REFUNDED, statuses=SUCCEEDED)
NET = PaymentFigure(_("Net amount"), measure=Measure.NET, statuses=SUCCEEDED)
CUSTOMERS = ListFigure(_("New customers"), Customer, lambda asked: [("created_at", days_argument(asked.span))])
SUBSCRIPTIONS = ListFigure(
    _("New subscriptions"), Subscription, lambda asked: [("created_at", days_argument(asked.span))]
)
CASH: Final[tuple[CashFigure, ...]] = tuple(
    CashFigure(label, kind, measure)
    for kind, labels in (
        (CashKind.TOP_UP, (_("Cash top-ups"), _("Cash top-ups amount"))),
        (CashKind.WITHDRAWAL, (_("Cash withdrawals"), _("Cash withdrawals amount"))),
        (CashKind.REDEEM, (_("Redeem paid in cash"), _("Redeem paid in cash amount"))),
    )
    for measure, label in zip((Measure.COUNT, Measure.AMOUNT), labels, strict=True)
)
DECLARED: Final[tuple[Figure, ...]] = (
    PAYMENTS, SUCCESSFUL, FAILURES, CHARGED_BACK, CAPTURED, REFUNDED, NET, CUSTOMERS, SUBSCRIPTIONS, *CASH,
)  # fmt: skip
# More of these is no good news.
UNWANTED: Final[tuple[Figure, ...]] = (FAILURES, CHARGED_BACK, REFUNDED)

declare(PAGE, *DECLARED)


def _read(args: "MultiDict[str, str]", *, mode: Mode) -> Compared:
    return read(args, mode=mode).asked


charts.read_with(PAGE, _read)

_HEADS: Final = {
    Length.DAY: _("Day"),
    Length.WEEK: _("Week from"),
    Length.MONTH: _("Month from"),
    Length.QUARTER: _("Quarter from"),
    Length.YEAR: _("Year from"),
}


@chart(
    PAGE,
    _("Captured amount by period"),
    about=_("Captured amount of each period: what was given back since, and what is left. The table says the same."),
    empty=_("Nothing was captured in these periods. Choose an earlier current period or another currency."),
)
def captured(asked: Compared) -> Plot:
    """The captured amount of each period: what is left of it, and what was given back."""
    spans = asked.spans[::-1]
    sums = [asked.total(span, SUCCEEDED) for span in spans]
    series = (
        Series(_("Net amount"), tuple(each.net_minor for each in sums), asked.unit, asked.scale),
        Series(_("Refunded amount"), tuple(each.refunded_minor for each in sums), asked.unit, asked.scale),
    )
    return Plot(Shape.BARS, tuple(span.first for span in spans), series, head=_HEADS[asked.length])


# ---- the page --------------------------------------------------------------------------------------------------------


@blueprint.get("/")
def index() -> Any:
    """The report on screen."""
    _guard()
    mode = Mode[current_mode()]
    try:
        choice, problem = read(request.args, mode=mode), None
    except BadAddress as refusal:
        # The form stays, so that what was mistyped can be put right.
        choice, problem = usual(mode), refusal.sentence
    page = render_template(
        "reporting/operational.html",
        choice=choice,
        asked=choice.asked,
        problem=problem,
        lengths=MOST,
        **({} if problem else _content(choice)),
    )
    return page, (400 if problem else 200)


def _content(choice: Choice) -> dict[str, Any]:
    asked = choice.asked
    found = rows(asked, DECLARED)
    return {
        "current": found[0],
        "earlier": found[1:],
        "heads": [(fact.label, fact.unit, figure in UNWANTED) for figure, fact in _columns(found[0])],
        "nothing": not any(fact.number for period in found for fact in period.facts),
        "today": day_text(asked.today),
        "card": charts.cards(PAGE, asked, choice.pairs)["captured"],
    }


def _columns(period: Period) -> Iterator[tuple[Figure, Fact]]:
    return zip(DECLARED, period.facts, strict=True)


def _guard() -> None:
    actor = current_actor()
    if not actor.may(Permission.REPORTING_OPERATIONAL_READ) or not actor.opens(PAGE):
        raise Forbidden("Your role does not include this page.")


# ---- files -----------------------------------------------------------------------------------------------------------
# As every file: English, with plain numbers (docs/texts.md).

_KINDS: Final = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}


@blueprint.get("/report.<any(csv, xlsx, pdf):kind>")
def file(kind: str) -> Response:
    """The report as a file: the same numbers as on the screen."""
    _guard()
    asked = read(request.args, mode=Mode[current_mode()]).asked
    found = rows(asked, DECLARED)
    content: Any
    match kind:
        case "csv":
            content = csv_rows(*_sheet(found))
        case "xlsx":
            content = xlsx(*_sheet(found))
        case _:
            content = render_report(_printed(asked, found))
    name = f"operational-report-{found[0].name}-{asked.unit}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, mimetype=_KINDS[kind], headers=headers)


def _sheet(found: list[Period]) -> tuple[list[str], list[list[Cell]]]:
    """A head and a row for each period; beside each number, how many percent more the current period has."""
    head = ["Period", "From", "To"]
    for fact in found[0].facts:
        label = f"{_english(fact.label)} ({fact.unit})" if fact.unit else _english(fact.label)
        head += [label, f"{_english(fact.label)}: current against this, %"]
    lines: list[list[Cell]] = []
    for period in found:
        line: list[Cell] = [period.name, period.span.first, period.span.last]
        for place, fact in enumerate(period.facts):
            tenths = period.changes[place].tenths if period.changes else None
            line += [_number(fact), None if tenths is None else Decimal(tenths).scaleb(-1)]
        lines.append(line)
    return head, lines


def _number(fact: Fact) -> Cell:
    return fact.number if fact.unit is None else Money(fact.number, fact.unit, fact.scale)


def _printed(asked: Compared, found: list[Period]) -> ReportFacts:
    first = found[0]
    notes = [f"Amounts in {asked.unit}. Days begin at midnight in {asked.zone.key}. Made on {asked.today.isoformat()}."]
    if asked.left:
        notes.append(f"The current period is not over: {asked.left} of its {first.span.days} days are still to come.")
    notes.append("Below each number of an earlier period: how much more or less the current period has.")
    return ReportFacts(
        title="Operational report",
        about=f"{first.name}, compared with {_before(asked)}",
        notes=tuple(notes),
        test=asked.mode is Mode.TEST,
        heads=("Period", *(_english(fact.label) for fact in first.facts)),
        rows=tuple(
            ReportRow(
                PdfCell(period.name, f"{period.span.first.isoformat()} to {period.span.last.isoformat()}"),
                tuple(
                    PdfCell(_grouped(fact), _moved(period.changes[place]) if period.changes else "")
                    for place, fact in enumerate(period.facts)
                ),
                current=period is first,
            )
            for period in found
        ),
    )


def _before(asked: Compared) -> str:
    length = asked.length.value.lower()
    return f"the {length} before" if asked.periods == 1 else f"the {asked.periods} {length}s before"


def _grouped(fact: Fact) -> str:
    return format_minor(fact.number, fact.scale)


def _moved(found: Change) -> str:
    if found.tenths is None:
        return "nothing to compare"
    return f"{'+' if found.tenths > 0 else ''}{format_minor(found.tenths, 1)}%"


def _english(label: str) -> str:
    return str.__str__(label)


def init_operational(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {PAGE: "operational_report.index"}
