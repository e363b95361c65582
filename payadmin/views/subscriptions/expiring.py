"""Expiring cards: active subscriptions whose card ends soon or has ended, with whom to ask for a new one."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from flask import redirect, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import Select, and_, select
from werkzeug.wrappers import Response

from payadmin.db import db
from payadmin.kernel.text import _, _n
from payadmin.models.parties import Customer
from payadmin.models.subscriptions import Purpose, Subscription, SubscriptionStatus
from payadmin.permissions import Permission
from payadmin.views import lists, ui
from payadmin.views.columns import EMPTY, Column, day_cell, masked
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.subscriptions.rows import SubscriptionRows, live

FARTHEST = 90
SOON = 30
_SIDE_BY_SIDE = Markup('<span class="beside">{}{}</span>')
CONTACTS = {"customer_email": Customer.email, "customer_phone": Customer.phone}


class WithinFilter(Filter):
    """Cards that end within so many days, or that have ended: counted from today, so the address stays right."""

    widget = "choice"
    _choices = (
        ("expired", _("Expired")),
        ("30", _("Within 30 days")),
        ("60", _("Within 60 days")),
        ("90", _("Within 90 days")),
    )

    def read(self, values: list[str]) -> Active:
        """The condition for one of the choices."""
        word = dict(self._choices).get(values[0])
        if word is None:
            raise self.refuse(values[0])
        ends, today = self.column.attr, lists.today()
        if values[0] == "expired":
            return Active(ends < today, word, tuple(values), {})
        until = today + dt.timedelta(days=int(values[0]))
        return Active(and_(ends >= today, ends <= until), word, tuple(values), {})

    def choices(self) -> list[Choice]:
        """Expired, and the three spans."""
        return [Choice(value, label) for value, label in self._choices]


@page(menu="expiring-cards")
class ExpiringCardsPage(SubscriptionRows):
    """Recurring subscriptions that will soon have no card to charge; each opens the subscription itself."""

    slug = "expiring-cards"
    plural = "Expiring cards"
    singular = "Subscription"
    subtitle = "Active recurring subscriptions whose card expires within 90 days or has expired."
    create = None
    edit = None
    delete = None
    export = Permission.SUBSCRIPTIONS_SUBSCRIPTION_EXPORT
    # What is done with a subscription is done on its own page.
    create_view = None
    edit_view = None
    delete_view = None
    action_view = None
    one_view = None
    run_view = None
    run_status_view = None
    rerun_view = None
    lookup_view = None

    column_list = (
        "card_expires_on",
        "subscription_id",
        "customer",
        "customer_email",
        "customer_phone",
        "card_last4",
        "amount",
        "next_payment_date",
    )
    column_filters = ("card_expires_on", "customer", "merchant")
    column_sortable = ("card_expires_on",)
    default_sort = "card_expires_on"
    tabs = tuple(Tab(label, {"within": (value,)}) for value, label in WithinFilter._choices)  # noqa: SLF001
    labels = {"created_at": "Date", "card_last4": "Card"}
    phone = {"subscription_id": "m1", "card_expires_on": "m2", "customer": "m3", "next_payment_date": "m4"}
    list_also = ("card_expires_on",)

    def _refresh_cache(self) -> None:
        customer = self.columns["customer"]
        labels = {"customer_email": _("E-mail"), "customer_phone": _("Phone")}
        for key, told_by in CONTACTS.items():
            self.columns[key] = replace(customer, key=key, label=labels[key], told_by=told_by)
        super()._refresh_cache()

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        for key, made in super()._filters_of(table):
            if key == "card_expires_on":
                within = WithinFilter(made.column)
                within.key, within.label = "within", _("Expires")
                yield "within", within
            yield key, made

    def _sorts(self, table: Any, column: Column) -> bool:
        # The column may be empty elsewhere; this page's own scope leaves such rows out.
        return column.key == "card_expires_on" or super()._sorts(table, column)

    def get_query(self) -> "Select[Any]":
        """Live subscriptions that charge a card which ends within 90 days or has ended."""
        return live().where(
            Subscription.card_expires_on <= lists.today() + dt.timedelta(days=FARTHEST),
            Subscription.status.in_((SubscriptionStatus.ACTIVE, SubscriptionStatus.ON_HOLD)),
            Subscription.purpose == Purpose.RECURRING,
        )

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """As on every list; e-mail addresses and phone numbers with one query for both."""
        shown = list(shown)
        names = super().names_for([column for column in shown if column.key not in CONTACTS], rows)
        if any(column.key in CONTACTS for column in shown):
            ids = {row.customer_id for row in rows}
            found = db.session.execute(select(Customer.id, Customer.email, Customer.phone).where(Customer.id.in_(ids)))
            people = found.all()
            email, phone = masked("email"), masked("phone")
            names["customer_email"] = {row.id: email(row.email) for row in people if row.email}
            names["customer_phone"] = {row.id: phone(row.phone) for row in people if row.phone}
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """The day with what it means, and how to reach the customer."""
        if column.key in CONTACTS:
            return lambda row: names.get(row.customer_id, EMPTY)
        if column.key == "card_last4":
            return lambda row: f"···· {row.card_last4}" if row.card_last4 else EMPTY
        if column.key == "card_expires_on":
            today = lists.today()
            return lambda row: _SIDE_BY_SIDE.format(day_cell(row.card_expires_on), _badge(row.card_expires_on, today))
        return super().cell(column, names)

    @expose("/<int:row_id>/")
    def details_view(self, row_id: int) -> Response:
        """The subscription itself."""
        self.get_row(row_id)
        return redirect(url_for("subscriptions.details_view", row_id=row_id))


def _badge(day: dt.date, today: dt.date) -> Markup:
    left = (day - today).days
    if left < 0:
        return ui.badge(_("Expired"), "bad")
    if left == 0:
        return ui.badge(_("Last day"), "warn")
    return ui.badge(_n("%(number)s day", "%(number)s days", left), "warn" if left <= SOON else "info")
