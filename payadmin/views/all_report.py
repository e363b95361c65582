"""All Report: every payment, found by fourteen criteria, with what they come to per currency (S2:101-124)."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import current_app, redirect, request
from flask_admin import expose
from sqlalchemy import Select, func, select
from werkzeug.datastructures import MultiDict

from payadmin.db import db
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import Text
from payadmin.models.payments import DISPLAY_STATUS, Mode, Payment, Unit
from payadmin.permissions import Permission
from payadmin.views import lists, ui
from payadmin.views.all_report_filters import (
    BatchTypeFilter,
    CardFilter,
    FileFilter,
    HolderFilter,
    card_value,
)
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import PAGE_OF, Column, unit_scale
from payadmin.views.filters import BadAddress, Filter
from payadmin.views.payments import status_cell
from payadmin.views.registry import page
from payadmin.views.rows import print_rows
from payadmin.views.shell import current_mode

READ = Permission.BATCHES_BATCH_READ
TEXTS = ("billing_number", "invoice_number", "response_code", "approval_code", "error_code")
LONGEST = 200


@dataclass(frozen=True)
class Total:
    """What the payments found in one currency come to."""

    unit: str
    count: int
    minor: int
    scale: int


@page(menu="all-report")
class AllReportPage(PayAdminModelView):
    """All payments of the mode that is shown, whatever they came from, the latest first."""

    model = Payment
    slug = "all-report"
    heading = "All report"
    plural = "Payments"
    singular = "Payment"
    export = Permission.PAYMENTS_PAYMENT_EXPORT
    create = None
    edit = None
    pinned = ("mode",)
    column_list = (
        "created_at",
        "status",
        "billing_number",
        "invoice_number",
        "amount",
        "card_last4",
        "response_code",
        "approval_code",
        "error_code",
        "batch_id",
    )
    column_filters = ("billing_number", "invoice_number", "amount", "created_at", "status", "response_code",
                      "approval_code", "error_code")  # fmt: skip
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    labels = {"created_at": "Date", "card_last4": "Card No", "batch_id": "CSV file"}
    phone = {"invoice_number": "m1", "amount": "m2", "status": "m3", "created_at": "m4"}
    list_also = ("status", "in_flight")
    list_template = "all_report/index.html"
    needs = {"search_view": READ, "totals_view": READ}

    def get_query(self) -> "Select[Any]":
        """Payments of the shown mode only: test and live never mix."""
        return select(Payment).where(Payment.mode == Mode[current_mode()])

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        """The criteria in the order of S2; some are not columns of a payment, or not searched as they stand there."""
        usual = dict(super()._filters_of(table))
        own: tuple[Filter, ...] = (
            FileFilter(self.columns["batch_id"], "file", "CSV File Name"),
            CardFilter(self.columns["card_last4"], "card", "Card No"),
            HolderFilter(self.columns["card_holder_name"], "card_holder_name", "Card Holder Name"),
            HolderFilter(self.columns["card_holder_phone"], "card_holder_phone", "Card Holder Phone"),
            BatchTypeFilter(self.columns["batch_id"], "batch_type", "Batch Type"),
        )
        usual |= {each.key: each for each in own}
        order = ("billing_number", "invoice_number", "file", "amount", "card", "card_holder_name", "card_holder_phone",
                 "created_at", "batch_type", "status", "response_code", "approval_code", "error_code")  # fmt: skip
        return ((key, usual[key]) for key in order)

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Status shows the source's word; a card its last four digits."""
        match column.key:
            case "status":
                return status_cell
            case "card_last4":
                return lambda row: f"•••{row.card_last4}" if row.card_last4 else ui.NOTHING
        return super().cell(column, names)

    # --- the page -----------------------------------------------------------------------------------------------------

    @expose("/")
    def index_view(self) -> Any:
        """The form, what was asked for, what it comes to, and the payments, the latest first."""
        if not request.args and (first := self.first_view()) is not None:
            return self._opened(first)
        asked = lists.read(self.shape, request.args)
        if any("." in key or not all(values) for key, values in request.args.lists()):
            return redirect(f"{self.address}{asked.query_string(at=asked.at)}")
        return self._shown(asked, {}, {})

    @expose("/search/", methods=("POST",))
    def search_view(self) -> Any:
        """Turn the form into an address. It is posted, so that a full card number never stands in one (PY12)."""
        given = {key: request.form.get(key, "").strip()[:LONGEST] for key in FIELDS}
        pairs, wrong = self._read_form(given)
        if wrong:
            return self._shown(lists.read(self.shape, MultiDict()), given | {"card": ""}, wrong), 422
        return redirect(f"{self.address}?{urlencode(pairs)}" if pairs else self.address, 303)

    @expose("/totals/")
    def totals_view(self) -> str:
        """What the payments found come to: the part of the page that may take a moment."""
        asked = lists.read(self.shape, request.args)
        return self.render("all_report/_totals.html", totals=self.kept_totals(asked))

    def kept_totals(self, asked: lists.Request) -> list[Total]:
        """`totals`, remembered for a few seconds: they are the same on every page of the report."""
        cache: dict[Any, tuple[float, list[Total]]] = current_app.extensions.setdefault("payadmin.report_totals", {})
        key = (current_mode(), asked.query_string(without=("size",)))
        if (kept := cache.get(key)) and kept[0] > time.monotonic() and not current_app.testing:
            return kept[1]
        found = self.totals(asked)
        if len(cache) > lists.MOST_KEPT:
            cache.clear()
        cache[key] = (time.monotonic() + lists.TAB_SECONDS, found)
        return found

    def _is_wide(self, asked: lists.Request) -> bool:
        """Whether so many payments are found that adding them up is not worth waiting for."""
        found = db.session.scalar(select(lists.capped(lists.narrow(asked, self.get_query())))) or 0
        return found > lists.COUNT_CAP

    def totals(self, asked: lists.Request) -> list[Total]:
        """How many payments are found and their amounts, per currency: amounts of two currencies are never added."""
        # The bare column would have SQLite walk every payment in the order of an index on it, to find a few of them.
        unit = Payment.unit.concat("") if asked.narrowed else Payment.unit
        found = lists.narrow(asked, self.get_query()).with_only_columns(
            unit, func.count(), func.sum(Payment.amount_minor), maintain_column_froms=True
        )
        rows = db.session.execute(found.group_by(unit).order_by(None)).all()
        return sorted(
            (Total(unit, count, int(minor), unit_scale(unit) or 0) for unit, count, minor in rows),
            key=lambda total: (-total.count, total.unit),
        )

    def _shown(self, asked: lists.Request, given: dict[str, str], wrong: dict[str, str]) -> str:
        shown = self.visible_columns()
        found = lists.fetch(asked, self.get_query(), self._needed(shown))
        names = self.names_for(shown, found.rows)
        heads, lines = self._heads(asked, shown), self._lines(shown, found.rows, names)
        opens: PayAdminModelView = current_app.extensions[PAGE_OF][Payment]
        address = opens.address if opens.is_accessible() else self.address
        return self.render(
            self.list_template,
            asked=asked,
            heads=heads,
            rows=print_rows(heads, lines, address, choose=False, menu=False) if lines else None,
            page=found,
            address=self.address,
            criteria=self.criteria(asked),
            values=given or self._values(asked),
            wrong=wrong,
            units=db.session.scalars(select(Unit.code).order_by(Unit.code)).all(),
            words=[(word, Text(word)) for word in dict.fromkeys(DISPLAY_STATUS.values())],
            batch_types=[(choice.value, choice.label) for choice in self.shape.filters["batch_type"].choices()],
            totals=None if self._is_wide(asked) else self.totals(asked),
            more_than=f"{lists.COUNT_CAP:,}",
            sizes=lists.SIZES,
            **self.views_context(),
        )

    # --- the form -----------------------------------------------------------------------------------------------------

    def _read_form(self, given: dict[str, str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """The address's arguments that the form asks for, and what is wrong with its fields."""
        pairs: list[tuple[str, str]] = []
        wrong: dict[str, str] = {}

        def take(field: str, key: str, make: Callable[[], list[str]]) -> None:
            try:
                if values := make():
                    pairs.extend((key, value) for value in self.shape.filters[key].read(values).values)
            except BadAddress as refusal:
                wrong[field] = refusal.sentence

        for key in (*TEXTS, "file", "card_holder_name", "card_holder_phone", "batch_type"):
            take(key, key, lambda key=key: [given[key]] if given[key] else [])  # type: ignore[misc]
        take("amount", "amount", lambda: [f"{given['unit']}:{given['amount']}"] if given["amount"] else [])
        keys = current_app.extensions["payadmin.settings"].totp_keys
        take("card", "card", lambda: [card_value(given["card"], keys)] if given["card"] else [])
        days = (given["start"], given["end"])
        take("start", "created_at", lambda: [f"{days[0]}..{days[1]}"] if any(days) else [])
        states = [status.name for status, word in DISPLAY_STATUS.items() if word == given["status"]]
        if given["status"] and not states:
            wrong["status"] = "Choose one of the statuses."
        take("status", "status", lambda: states)
        for field, value in pairs:
            # Whatever stands in an address stays in histories and logs.
            if field != "card" and mask_pan_in_text(value) != value:
                wrong[field] = "This holds a card number. Only the field for cards takes one."
                given[field] = ""
        if any(not value.isprintable() for value in given.values()):
            wrong["billing_number"] = "A field holds control characters. Type it again."
        return pairs, wrong

    def _values(self, asked: lists.Request) -> dict[str, str]:
        """What the form shows for an address."""
        active = asked.active
        values = dict.fromkeys(FIELDS, "")
        for key in (*TEXTS, "file", "card_holder_name", "card_holder_phone", "batch_type"):
            if key in active:
                values[key] = active[key].values[0]
        if "amount" in active:
            fields = active["amount"].fields
            ends = dict.fromkeys((fields["from"], fields["to"]))
            values |= {"unit": fields["unit"], "amount": "..".join(ends) if any(ends) else ".."}
        if "created_at" in active:
            fields = active["created_at"].fields
            values |= {"start": fields["from"], "end": fields["to"]}
        if "status" in active:
            words = {DISPLAY_STATUS[self.columns["status"].members[name]] for name in active["status"].values}  # type: ignore[index]
            values["status"] = next(iter(words)) if len(words) == 1 else ""
        if "card" in active:
            values["card"] = active["card"].fields.get("last4", "")
        return values


FIELDS = (*TEXTS, "file", "amount", "unit", "card", "card_holder_name", "card_holder_phone", "start", "end",
          "batch_type", "status")  # fmt: skip
