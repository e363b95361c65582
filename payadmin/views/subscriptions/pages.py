"""Subscriptions: the list, one subscription, and the addresses of what staff do with it."""

from collections.abc import Callable
from typing import Any

from flask import render_template, request, url_for
from flask_admin import expose

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.subscriptions import SUBSCRIPTION_WORDS
from payadmin.permissions import Permission
from payadmin.queries.subscriptions import charges_in_hand
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.subscriptions import act_pages, acts, details, register
from payadmin.views.subscriptions.rows import SubscriptionRows
from payadmin.views.subscriptions.schedule_form import preview_page

P = Permission


def _tabs() -> tuple[Tab, ...]:
    """One tab for each word of the Status column; a word may stand for several states (SB1)."""
    words: dict[str, list[str]] = {}
    for status, word in SUBSCRIPTION_WORDS.items():
        words.setdefault(word, []).append(status.name)
    return tuple(Tab(word, {"status": tuple(words[word])}) for word in (_("Active"), _("Created"), _("Not Active")))


@page(menu="subscriptions")
class SubscriptionsPage(SubscriptionRows):
    """All subscriptions (S0 Subscriptions); payments and dates of each stand on its details page."""

    create = P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE
    edit = None
    delete = P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE
    export = P.SUBSCRIPTIONS_SUBSCRIPTION_EXPORT
    column_list = ("status", "created_at", "subscription_id", "amount", "method", "provider")
    column_filters = (
        "status",
        "created_at",
        "amount",
        "provider",
        "purpose",
        "customer",
        "merchant",
        "card_expires_on",
        "inactivated_at",
    )
    column_sortable = ("created_at", "amount", "subscription_id")
    default_sort = "-created_at"
    tabs = _tabs()
    phone = {"subscription_id": "m1", "amount": "m2", "status": "m3", "created_at": "m4"}
    list_also = ("status", "purpose")
    find_by = ("subscription_id", "billing_number")
    needs = {
        "preview_view": P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE,
        "progress_view": P.SUBSCRIPTIONS_SUBSCRIPTION_READ,
        **dict.fromkeys(
            (
                "dates_view",
                "inactivate_view",
                "activate_view",
                "change_type_view",
                "retry_policy_view",
                "cancel_view",
            ),
            P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE,
        ),
    }
    list_template = "subscriptions/list.html"
    details_template = "subscriptions/details.html"
    notes = True

    # --- the list -----------------------------------------------------------------------------------------------------

    def menu_actions(self) -> list[dict[str, Any]]:
        """Open, and for those who may write what S2's edit menu offers (B-30)."""
        entries = super().menu_actions()
        if current_actor().may(P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE):
            entries += [
                {
                    "name": act.name,
                    "label": act.label,
                    "icon": act.icon,
                    "url": f"{self.address}{{id}}/{act.name}/",
                    "danger": act.danger,
                    "dialog": act.dialog,
                }
                for act in acts.ACTS
                if act.in_menu
            ]
        return entries

    def offers(self) -> Callable[[Any], dict[str, str] | None] | None:
        """What a row's menu shows greyed, and why."""
        return acts.reasons if current_actor().may(P.SUBSCRIPTIONS_SUBSCRIPTION_WRITE) else None

    # --- one subscription ---------------------------------------------------------------------------------------------

    def details_context(self, row: Any) -> dict[str, Any]:
        """Overview, Recurrence, History of S0, the dates to come, and what can be done."""
        keys = ("customer", "merchant", "method", "amount", "retry_policy")
        columns = {key: self.columns[key] for key in keys}
        names = self.names_for(columns.values(), [row])
        cells = {f"{key}_cell": self.cell(column, names.get(key, {}))(row) for key, column in columns.items()}
        return {
            "row": row,
            "title": self.describe(row),
            "back": self.list_address(),
            "history": self.history_of(row),
            **cells,
            **details.context(row, before=request.args.get("before", "")),
        }

    @expose("/<int:row_id>/progress/")
    def progress_view(self, row_id: int) -> str:
        """Which charges are on their way: the fragment that the details page polls."""
        row = self.get_row(row_id)
        return render_template("subscriptions/_progress.html", in_hand=charges_in_hand(db.session(), row.id))

    # --- what staff do ------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Register a subscription from the back office."""
        return register.register_page(self.columns, lookup=self._lookup_address)

    @expose("/preview/", methods=("POST",))
    def preview_view(self) -> Any:
        """The next dates of the schedule that is being typed: a fragment, nothing is saved."""
        return preview_page(self.get_row)

    @expose("/<int:row_id>/dates/", methods=("GET", "POST"))
    def dates_view(self, row_id: int) -> Any:
        """S2's Edit Date: other dates for a subscription."""
        return act_pages.edit_dates_page(self.get_row, row_id)

    @expose("/<int:row_id>/inactivate/", methods=("GET", "POST"))
    def inactivate_view(self, row_id: int) -> Any:
        """Stop charging until it is activated again."""
        return act_pages.act_page(self.get_row, row_id, "inactivate")

    @expose("/<int:row_id>/activate/", methods=("GET", "POST"))
    def activate_view(self, row_id: int) -> Any:
        """Charge again from today on."""
        return act_pages.act_page(self.get_row, row_id, "activate")

    @expose("/<int:row_id>/change-type/", methods=("GET", "POST"))
    def change_type_view(self, row_id: int) -> Any:
        """From charging to reminding, or back."""
        return act_pages.act_page(self.get_row, row_id, "change-type")

    @expose("/<int:row_id>/retry-policy/", methods=("GET", "POST"))
    def retry_policy_view(self, row_id: int) -> Any:
        """Choose how declined charges are tried again."""
        return act_pages.act_page(self.get_row, row_id, "retry-policy")

    @expose("/<int:row_id>/cancel/", methods=("GET", "POST"))
    def cancel_view(self, row_id: int) -> Any:
        """End it for good (P-54)."""
        return act_pages.act_page(self.get_row, row_id, "cancel")

    @expose("/<int:row_id>/delete/", methods=("GET", "POST"))
    def delete_view(self, row_id: int) -> Any:
        """End it and take it off the lists (B-36)."""
        return act_pages.act_page(self.get_row, row_id, "delete")

    def _lookup_address(self, key: str) -> str:
        return url_for(f"{self.endpoint}.lookup_view", field=key)
