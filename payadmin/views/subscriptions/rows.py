"""What lists of subscriptions share: the word of the status, the schedule in words, the next date, also in files."""

import contextlib
import datetime as dt
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from markupsafe import Markup
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from payadmin.db import db
from payadmin.kernel.text import Said, _
from payadmin.models.parties import Customer
from payadmin.models.payments import PaymentMethod
from payadmin.models.subscriptions import SUBSCRIPTION_WORDS, Subscription, SubscriptionStatus
from payadmin.queries.subscriptions import next_payment_dates, providers_in_use, schedules_in_words
from payadmin.views import lists, ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import EMPTY, Column, Kind, day_cell
from payadmin.views.filters import MOST_OPTIONS, Active, Choice, Filter
from payadmin.views.language import say, speech
from payadmin.views.search import Lookup, by_id, prefix, through

NEXT, SCHEDULE = "next_payment_date", "schedule"
# Parts of the rule, which is shown in words, and what only the planner reads.
NOT_SHOWN = (
    "schedule_kind",
    "schedule_weekdays",
    "schedule_days",
    "schedule_months",
    "schedule_dates",
    "planned_until",
    "deleted_at",
)
ROWS_AT_ONCE = 500
TONES = {"Created": "info", "Active": "ok", "Not Active": "plain"}

LOOKUPS: tuple[Lookup, ...] = (
    by_id(Subscription),
    prefix(Subscription.subscription_id),
    prefix(Subscription.billing_number),
    through(Subscription.customer_id, prefix(Customer.external_id)),
    through(Subscription.customer_id, prefix(Customer.email, fold=str.lower)),
    through(Subscription.customer_id, prefix(Customer.name)),
)


def status_cell(row: Any) -> Markup:
    """The word of the Status column (SB1), with the exact state beside it where the word stands for several."""
    word = SUBSCRIPTION_WORDS[row.status]
    shown = ui.badge(word, TONES[word])
    if row.status is SubscriptionStatus.ON_HOLD:
        return shown + Markup(" ") + ui.badge(_("On hold: last payment failed"), "warn")
    if word != row.status.value:
        return shown + Markup('<span class="cellsub">{}</span>').format(say(row.status.value))
    return shown


def live() -> "Select[Any]":
    """The subscriptions that exist for staff: deleted ones are kept, never shown (T13)."""
    return select(Subscription).where(Subscription.deleted_at.is_(None))


def _next_dates(session: Session, ids: Sequence[int]) -> dict[int, dt.date]:
    return next_payment_dates(session, ids, today=lists.today())


WORKED_OUT: dict[str, Callable[[Session, Sequence[int]], dict[int, Any]]] = {
    NEXT: _next_dates,
    SCHEDULE: schedules_in_words,
}


class ProviderFilter(Filter):
    """Any of the providers that subscriptions name."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        """Any of `values`; a provider that nobody has finds nothing."""
        codes = tuple(dict.fromkeys(values))
        if len(codes) > MOST_OPTIONS:
            raise self.refuse(codes[MOST_OPTIONS])
        return Active(self.column.attr.in_(codes), ", ".join(codes), codes, {})

    def choices(self) -> list[Choice]:
        """Every provider in use."""
        return [Choice(code, code) for code in providers_in_use(db.session())]


class SubscriptionRows(PayAdminModelView):
    """A list of subscriptions; two of its columns are worked out from several others."""

    model = Subscription
    export_kinds = PayAdminModelView.export_kinds
    search_lookups = LOOKUPS
    labels = {"created_at": "Date"}
    # Columns that are worked out from several others, for some rows at a time: by column key.
    worked_out = WORKED_OUT

    def _refresh_cache(self) -> None:
        for key in NOT_SHOWN:
            self.columns.pop(key, None)
        ground = self.columns["id"]
        self.columns[NEXT] = replace(ground, key=NEXT, label=_("Next payment date"), kind=Kind.DAY)
        self.columns[SCHEDULE] = replace(ground, key=SCHEDULE, label=_("Schedule"), kind=Kind.TEXT)
        super()._refresh_cache()

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        for key, made in super()._filters_of(table):
            yield key, ProviderFilter(made.column) if key == "provider" else made

    def get_query(self) -> "Select[Any]":
        """Everything but what was deleted."""
        return live()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """The names behind links, and what is worked out for these rows: one query a column."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        ids = [row.id for row in rows]
        for column in shown:
            if (work_out := self.worked_out.get(column.key)) is not None:
                names[column.key] = work_out(db.session(), ids)
            elif column.key == "method":
                found = db.session.execute(select(PaymentMethod.code, PaymentMethod.name))
                names["method"] = {code: name for code, name in found}  # noqa: C416 - rows are no plain pairs
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Status by its word, the method by its name, and what is worked out."""
        match column.key:
            case "status":
                return status_cell
            case "method":
                return lambda row: names.get(row.method, row.method)
            case "next_payment_date":
                return lambda row: day_cell(names.get(row.id))
            case "schedule":
                tongue = speech()
                return lambda row: tongue.say(names[row.id]) if row.id in names else EMPTY
        return super().cell(column, names)

    def export_table(
        self, asked: lists.Request, shown: Sequence[Column]
    ) -> tuple[list[str], Generator[list[Any], None, None]]:
        """The file's rows; what is worked out is put in for some hundred rows at a time."""
        head, rows = super().export_table(asked, shown)
        known = self.worked_out
        places = {head.index(column.label): known[column.key] for column in shown if column.key in known}
        return head, _put_in(rows, places) if places else rows


def _put_in(
    rows: Generator[list[Any], None, None], places: dict[int, Callable[[Session, Sequence[int]], dict[int, Any]]]
) -> Generator[list[Any], None, None]:
    # A session of its own: the page's session must not hold a read open while the export writes its last entry.
    with contextlib.closing(rows), Session(db.engine) as session:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            for place, work_out in places.items():
                found = work_out(session, [row[place] for row in some])
                for row in some:
                    said = found.get(row[place])
                    row[place] = str(said) if isinstance(said, Said) else said  # files stay English
            session.rollback()
            yield from some
