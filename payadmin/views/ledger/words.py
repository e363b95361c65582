"""What the pages of the books share: names of accounts and templates, spans of days, files that are written down."""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, request, stream_with_context, url_for
from sqlalchemy.orm import Session

from payadmin.actions import records
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.table_pdf import MOST_ROWS, PdfColumn, PdfTable, render_table
from payadmin.kernel.text import NumberText, _
from payadmin.ledger.chart import CHART
from payadmin.ledger.recipes import TITLES
from payadmin.models.ledger import LedgerTransaction
from payadmin.permissions import Permission
from payadmin.queries import ledger as asked
from payadmin.views import lists
from payadmin.views.columns import masked
from payadmin.views.exports import TYPES
from payadmin.views.exports_table import WRITERS, Counter
from payadmin.views.language import say
from payadmin.views.security import current_actor

FILES = {"csv": TYPES["csv"], "xlsx": TYPES["xlsx"], "pdf": ("PDF", "application/pdf")}


def head_words(number: str) -> str:
    """A line of the chart as people read it: its number and its name."""
    return f"{number} {say(CHART[number].name)}"


def owner_names(owners: Iterable[str]) -> dict[str, str]:
    """The names of owners of accounts, by "customer:12": a query for each kind of them. Customers may be masked."""
    show = masked("name")
    found = asked.owner_names(db.session(), list(owners))
    return {owner: show(name) if owner.startswith("customer:") else name for owner, name in found.items()}


def template_words(template: str) -> str:
    """A template as people read it."""
    return f"{template} {say(TITLES[template])}"


@dataclass(frozen=True)
class Journal:
    """One transaction about a record, with its legs, as the record's page shows it."""

    id: int
    template: str
    day: dt.date
    url: str
    legs: Sequence[asked.JournalLeg]


def journals(payment_id: int) -> list[Journal] | None:
    """What the books say about a payment; None for whoever may not look into them."""
    if not current_actor().may(Permission.LEDGER_ENTRY_READ):
        return None
    return _journals(asked.journals_of_payment(db.session(), payment_id))


def journals_about(business: str, row_id: int) -> list[Journal] | None:
    """What the books say about a record of another kind; None for whoever may not look into them."""
    if not current_actor().may(Permission.LEDGER_ENTRY_READ):
        return None
    return _journals(asked.journals_about(db.session(), business, row_id))


def _journals(found: Sequence[LedgerTransaction]) -> list[Journal]:
    session = db.session()
    legs = asked.legs_of(session, [each.id for each in found])
    return [
        Journal(
            each.id,
            template_words(each.template),
            each.effective_on,
            url_for("journal.details_view", row_id=each.id),
            legs.get(each.id, []),
        )
        for each in found
    ]


@dataclass(frozen=True)
class Span:
    """Whole days, both ends included.

    Attributes:
        problem: why these days are shown, and not those that were asked for; None when they are.
    """

    first: dt.date
    last: dt.date
    problem: str | None = None

    @property
    def args(self) -> dict[str, str]:
        """The span as an address holds it."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}


def span_asked(*, newest: dt.date | None) -> Span:
    """The days that the address asks for; without any, from the first of the month of `newest` to today.

    Raises:
        Invalid: no dates, or the end before the beginning.
    """
    today = lists.today()
    first = _day("from") or min(newest or today, today).replace(day=1)
    last = _day("to") or max(today, first)
    if last < first:
        raise Invalid("The last day lies before the first.")
    return Span(first, last)


def span_shown(*, newest: dt.date | None) -> Span:
    """The days that a page shows: those that its address asks for, or the usual ones with what is wrong about these."""
    try:
        return span_asked(newest=newest)
    except Invalid as refusal:
        today = lists.today()
        return Span(min(newest or today, today).replace(day=1), today, refusal.sentence)


def _day(name: str) -> dt.date | None:
    text = request.args.get(name, "").strip()
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Invalid("Write days as 2026-11-22.") from None


def as_file(
    kind: str,
    page: str,
    name: str,
    head: Sequence[str],
    rows: Callable[[Session], Iterable[Sequence[Any]]],
    *,
    criteria: dict[str, str],
    pdf: Callable[[Session], PdfTable],
    rows_in_pdf: int,
    permission: Permission = Permission.LEDGER_ENTRY_EXPORT,
) -> Response:
    """A table as CSV, Excel or PDF; what left the building is written down with its rows and its sha256.

    Args:
        rows: makes the rows, with a session of their own: the request's ends before the last of them is sent.
        pdf: makes the document; asked only if it is not too long.
        rows_in_pdf: how many lines the document would have.
        permission: what whoever downloads it needs.

    Raises:
        Conflict: the document would be too long.
    """
    actor = current_actor()
    if kind == "pdf" and rows_in_pdf > MOST_ROWS:
        raise Conflict(
            _(
                "A PDF holds at most %(most)s lines. Choose fewer days, or export CSV or Excel, which have no limit.",
                most=NumberText(MOST_ROWS),
            )
        )
    said: dict[str, Any] = {"kind": kind, "filter": "&".join(f"{key}={value}" for key, value in criteria.items())}
    started = records.start_export(actor, page, permission=permission, columns=list(head), **said)
    engine = db.engine

    def read() -> Iterator[Sequence[Any]]:
        with Session(engine) as session:
            yield from rows(session)

    counter = Counter(read())
    if kind == "pdf":
        with Session(engine) as session:
            pieces = iter([render_table(pdf(session))])
    else:
        pieces = WRITERS[kind](head, counter, name)

    def send() -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            yield piece
        count = rows_in_pdf if kind == "pdf" else counter.count
        facts: dict[str, Any] = {"rows": count, "bytes": size, "sha256": digest.hexdigest(), "columns": list(head)}
        records.finish_export(actor, page, permission=permission, started=started, **said, **facts)

    response = Response(stream_with_context(send()), content_type=FILES[kind][1])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response


__all__ = [
    "FILES", "PdfColumn", "PdfTable", "Span", "as_file", "head_words", "journals", "journals_about", "owner_names",
    "span_asked", "span_shown", "template_words",
]  # fmt: skip
