"""Trial balance: what every account came to in one unit over a span of days; debits and credits are equal."""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, render_template, request, url_for
from sqlalchemy.orm import Session

from payadmin.db import db
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.kernel.money import Money
from payadmin.permissions import Permission
from payadmin.queries import ledger as asked
from payadmin.queries.ledger import TrialLine
from payadmin.views.columns import unit_scale
from payadmin.views.ledger.words import FILES, PdfColumn, PdfTable, as_file, head_words, span_asked, span_shown
from payadmin.views.security import current_actor

blueprint = Blueprint("trial_balance", __name__, url_prefix="/trial-balance")


@blueprint.get("/")
def index() -> str:
    """One line for each line of the chart, with what it adds up to."""
    session = db.session()
    units = asked.units_in_books(session)
    unit, span = _unit(units), span_shown(newest=asked.newest_day(session))
    lines = list(asked.trial_balance(session, unit, span.first, span.last)) if unit else []
    args = urlencode({"unit": unit, **span.args})
    return render_template(
        "ledger/trial_balance.html",
        units=units,
        unit=unit,
        span=span,
        lines=lines,
        scale=unit_scale(unit) or 0,
        totals=_totals(lines),
        head_words=head_words,
        files=[
            (kind, label, f"{url_for('trial_balance.file', kind=kind)}?{args}") for kind, (label, _) in FILES.items()
        ]
        if current_actor().may(Permission.LEDGER_ENTRY_EXPORT)
        else [],
    )


@blueprint.get("/file/<any(csv,xlsx,pdf):kind>/")
def file(kind: str) -> Any:
    """Every account by itself, as a file."""
    session = db.session()
    unit, span = _unit(asked.units_in_books(session)), span_asked(newest=asked.newest_day(session))
    scale = unit_scale(unit) or 0
    labels = ("Account", "Owner", "Opening balance", "Debit", "Credit", "Closing balance")
    head = list(labels)

    def lines(session: Session, *, each: bool) -> Any:
        for line in asked.trial_balance(session, unit, span.first, span.last, each=each):
            amounts = (line.opening_minor, line.debit_minor, line.credit_minor, line.closing_minor)
            yield [f"{line.number} {line.head.name}", line.owner, *(Money(minor, unit, scale) for minor in amounts)]

    def document(session: Session) -> PdfTable:
        found = list(asked.trial_balance(session, unit, span.first, span.last))
        totals = _totals(found)
        columns = [PdfColumn(head[0], 26), PdfColumn(head[1], 14)]
        columns += [PdfColumn(label, 15, right=True) for label in head[2:]]
        amounts = [str(Money(minor, unit, scale)).rpartition(" ")[0] for minor in (totals["debit"], totals["credit"])]
        texts = (
            [str(cell).rpartition(" ")[0] if isinstance(cell, Money) else str(cell) for cell in line]
            for line in lines(session, each=False)
        )
        facts = [("Currency", unit), ("Days", f"{span.first} – {span.last}")]
        return PdfTable("Trial balance", facts, columns, texts, ["Sum", "", "", *amounts, ""])

    return as_file(
        kind,
        "trial_balance",
        f"trial-balance-{unit}-{span.first}-{span.last}",
        head,
        lambda session: lines(session, each=True),
        criteria={"unit": unit, **span.args},
        pdf=document,
        rows_in_pdf=20,
    )


@blueprint.before_request
def _guard() -> None:
    exports = request.endpoint == "trial_balance.file"
    needed = Permission.LEDGER_ENTRY_EXPORT if exports else Permission.LEDGER_ENTRY_READ
    if not current_actor().may(needed):
        raise Forbidden("Your role does not include this page.")


def _unit(units: list[str]) -> str:
    wanted = request.args.get("unit", "")
    if wanted and wanted not in units:
        raise Invalid("There is nothing in the books in this currency.")
    preferred = "EUR" if "EUR" in units else units[0] if units else ""
    return wanted or preferred


def _totals(lines: list[TrialLine]) -> dict[str, int]:
    """What the columns add up to: turnovers on both sides, and balances with their sides, which cancel out."""
    return {
        "opening": sum(line.head.side * line.opening_minor for line in lines),
        "debit": sum(line.debit_minor for line in lines),
        "credit": sum(line.credit_minor for line in lines),
        "closing": sum(line.head.side * line.closing_minor for line in lines),
    }


def init_trial_balance(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"trial-balance": "trial_balance.index"}
