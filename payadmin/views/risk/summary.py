"""Transactions summary: everything that took place in the system, in one table, for some days (S3:155, K-72)."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Flask, current_app, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin.db import db
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.kernel.money import Money
from payadmin.kernel.table_pdf import PdfTable
from payadmin.kernel.text import Text, _
from payadmin.models.payments import DISPLAY_STATUS, Mode, Payment, PaymentStatus, PaymentType, Unit
from payadmin.models.treasury import CashKind, CashOperation
from payadmin.models.wallets import MoveStatus, WalletKind, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.reporting import Span
from payadmin.queries.risk.summary import Line, Place, Source, Wanted, every_line, page_of, totals_of
from payadmin.views import lists, ui
from payadmin.views.columns import PAGE_OF, money_text, tone_of, unit_scale, zone
from payadmin.views.language import say
from payadmin.views.ledger.words import FILES, as_file
from payadmin.views.periods import units_in_use
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

READ, EXPORT = Permission.FRAUD_SUMMARY_READ, Permission.FRAUD_SUMMARY_EXPORT
USUAL_DAYS: Final = 30
MOST_DAYS: Final = 3_660
SIZES: Final = (20, 50, 100)
KINDS: Final = {Source.PAYMENT: PaymentType, Source.WALLET: WalletKind, Source.CASH: CashKind}
MODELS: Final[dict[Source, Any]] = {
    Source.PAYMENT: Payment,
    Source.WALLET: WalletTransaction,
    Source.CASH: CashOperation,
}
PRESETS: Final = ((1, _("Today")), (7, _("7 days")), (30, _("30 days")), (90, _("90 days")))

blueprint = Blueprint("transactions_summary", __name__, url_prefix="/transactions-summary")


@blueprint.before_request
def _guard() -> None:
    needed = EXPORT if request.endpoint == "transactions_summary.file" else READ
    if not current_actor().may(needed) or not current_actor().may(READ):
        raise Forbidden("Your role does not include this page.")


@blueprint.get("/")
def index() -> str:
    """The days that are asked for: what they come to in each currency, and the transactions, the latest first."""
    session = db.session()
    wanted, problem = _shown()
    size = _size()
    after, before = _place("after"), _place("before")
    page = page_of(session, wanted, size=size, after=after, before=None if after else before)
    totals = totals_of(session, wanted, list(units_in_use(wanted.mode)))
    args = _args(wanted) | ({"size": str(size)} if size != SIZES[1] else {})
    here = url_for("transactions_summary.index")
    return render_template(
        "risk/summary.html",
        wanted=wanted,
        problem=problem,
        lines=[_told(line) for line in page.lines],
        totals=None if totals is None else [_total_words(total) for total in totals],
        units=session.scalars(select(Unit.code).order_by(Unit.code)).all(),
        sources=[(source.name, say(Text(source.value))) for source in Source],
        is_test=wanted.mode is Mode.TEST,
        presets=[
            (say(label), f"{here}?{urlencode(_args(wanted) | _days(days))}", _days(days).items() <= args.items())
            for days, label in PRESETS
        ],
        first=f"{here}?{urlencode(args)}" if page.previous or after or before else None,
        previous=f"{here}?{urlencode(args | {'before': str(page.previous)})}" if page.previous else None,
        following=f"{here}?{urlencode(args | {'after': str(page.following)})}" if page.following else None,
        sizes=[(each, f"{here}?{urlencode(_args(wanted) | {'size': str(each)})}", each == size) for each in SIZES],
        files=[
            (kind, label, f"{url_for('transactions_summary.file', kind=kind)}?{urlencode(_args(wanted))}")
            for kind, (label, _type) in FILES.items()
            if kind != "pdf"
        ]
        if current_actor().may(EXPORT)
        else [],
    )


@blueprint.get("/file/<any(csv,xlsx):kind>/")
def file(kind: str) -> Any:
    """All of them as a file, written while it is read."""
    wanted = _asked()
    head = ["Transaction", "Number", "Reference", "Kind", "Date (UTC)", "Amount", "Currency", "Status"]
    scales: dict[str, int] = {row.code: row.scale for row in db.session.execute(select(Unit.code, Unit.scale))}

    def rows(session: Session) -> Iterator[Sequence[Any]]:
        for line in every_line(session, wanted):
            amount = Money(line.amount_minor, line.unit, scales.get(line.unit, 0))
            yield [
                line.source.value,
                line.row_id,
                line.reference,
                KINDS[line.source][line.kind].value,
                line.at,
                amount,
                line.unit,
                _state(line)[0],
            ]

    def no_document(_session: Session) -> PdfTable:
        msg = "there is no PDF of this page"
        raise AssertionError(msg)

    return as_file(
        kind,
        "transactions_summary",
        f"transactions-{wanted.span.first}-{wanted.span.last}",
        head,
        rows,
        criteria=_args(wanted) | {"mode": wanted.mode.name},
        pdf=no_document,
        rows_in_pdf=0,
        permission=EXPORT,
    )


def _asked() -> Wanted:
    """What the address asks for.

    Raises:
        Invalid: days, a source or a currency that make no sense.
    """
    today = lists.today()
    first = _day("from") or today - dt.timedelta(days=USUAL_DAYS - 1)
    last = _day("to") or max(today, first)
    if last < first:
        raise Invalid("The last day lies before the first.")
    if (last - first).days >= MOST_DAYS:
        raise Invalid("Choose at most ten years.")
    source, unit = request.args.get("source", ""), request.args.get("unit", "")
    if source and source not in Source.__members__:
        raise Invalid("There is no such kind of transaction.")
    if unit and unit_scale(unit) is None:
        raise Invalid("This is not a known currency.")
    sources = (Source[source],) if source else tuple(Source)
    return Wanted(Mode[current_mode()], Span(first, last), zone(), sources, unit or None)


def _shown() -> tuple[Wanted, str | None]:
    try:
        return _asked(), None
    except Invalid as refusal:
        today = lists.today()
        usual = Span(today - dt.timedelta(days=USUAL_DAYS - 1), today)
        return Wanted(Mode[current_mode()], usual, zone()), refusal.sentence


def _args(wanted: Wanted) -> dict[str, str]:
    args = {"from": wanted.span.first.isoformat(), "to": wanted.span.last.isoformat()}
    if len(wanted.sources) == 1:
        args["source"] = wanted.sources[0].name
    return args | ({"unit": wanted.unit} if wanted.unit else {})


def _days(days: int) -> dict[str, str]:
    today = lists.today()
    return {"from": (today - dt.timedelta(days=days - 1)).isoformat(), "to": today.isoformat()}


def _day(name: str) -> dt.date | None:
    text = request.args.get(name, "").strip()
    if not text:
        return None
    try:
        found = dt.date.fromisoformat(text)
    except ValueError:
        raise Invalid("Write days as 2026-11-22.") from None
    if not 1970 <= found.year <= 9000:  # noqa: PLR2004 - what moments of both databases hold
        raise Invalid("Write days as 2026-11-22.")
    return found


def _size() -> int:
    text = request.args.get("size", "")
    return int(text) if text in {str(each) for each in SIZES} else SIZES[1]


def _place(name: str) -> Place | None:
    return Place.read(request.args.get(name, ""))


def _told(line: Line) -> dict[str, Any]:
    """One line as the page shows it; its number is a link for those who may open what it is."""
    words, tone = _state(line)
    return {
        "at": line.at,
        "source": say(Text(line.source.value)),
        "reference": line.reference,
        "url": _url(line),
        "kind": say(Text(KINDS[line.source][line.kind].value)),
        "amount": ui.amount(line.amount_minor, line.unit, unit_scale(line.unit) or 0),
        "state": ui.badge(words, tone),
    }


def _state(line: Line) -> tuple[str, str]:
    if line.source is Source.PAYMENT:
        status = PaymentStatus[line.status or ""]
        return DISPLAY_STATUS[status], tone_of(status)
    if line.source is Source.WALLET:
        move = MoveStatus[line.status or ""]
        return move.value, tone_of(move)
    return MoveStatus.EXECUTED.value, tone_of(MoveStatus.EXECUTED)


def _url(line: Line) -> str | None:
    view = current_app.extensions[PAGE_OF].get(MODELS[line.source])
    return f"{view.address}{line.row_id}/" if view is not None and view.is_accessible() else None


def _total_words(total: Any) -> dict[str, Any]:
    return {
        "unit": total.unit,
        "count": total.count,
        "parts": [
            (say(Text(source.value)), total.counts[source], money_text(total.minors[source], total.unit))
            for source in Source
            if source in total.counts
        ],
    }


def init_summary(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"transactions-summary": "transactions_summary.index"}
