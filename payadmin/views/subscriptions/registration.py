"""Registration: every subscription by how it was registered, and the batch file that it came from (S2:76)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from flask import current_app, redirect, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.batches import Batch
from payadmin.models.subscriptions import SubscriptionOrigin
from payadmin.permissions import Permission
from payadmin.queries.subscriptions import batches_of
from payadmin.views.columns import EMPTY, PAGE_OF, Column, Kind
from payadmin.views.language import speech
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.subscriptions.rows import WORKED_OUT, SubscriptionRows

BATCH = "batch"
ORIGINS = (
    SubscriptionOrigin.HOSTED,
    SubscriptionOrigin.BATCH,
    SubscriptionOrigin.API,
    SubscriptionOrigin.BACKOFFICE,
)
_LINK = Markup('<a class="link" href="{}">{}</a>')


def _batch_names(session: Session, ids: Collection[int]) -> dict[int, Any]:
    return {row_id: name for row_id, (_, name) in batches_of(session, ids).items()}


@page(menu="registration")
class RegistrationPage(SubscriptionRows):
    """Every registration, whether a payer, a file, a program or staff made it; each opens its subscription."""

    slug = "registration"
    plural = "Registrations"
    singular = "Registration"
    heading = "Registration"
    subtitle = "Every subscription by how it was registered: on the hosted page, by a batch file, by API or by staff."
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
        "created_at",
        "origin",
        "customer",
        "billing_number",
        "amount",
        "schedule",
        "purpose",
        "status",
        BATCH,
    )
    column_filters = ("origin", "created_at", "status", "merchant", "purpose", "customer")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = tuple(Tab(origin.value, {"origin": (origin.name,)}) for origin in ORIGINS)
    phone = {"billing_number": "m1", "amount": "m2", "origin": "m3", "created_at": "m4"}
    list_also = ("status", "purpose")
    list_template = "subscriptions/registration.html"
    worked_out = {**WORKED_OUT, BATCH: _batch_names}

    def _refresh_cache(self) -> None:
        self.columns[BATCH] = replace(self.columns["id"], key=BATCH, label=_("Batch file"), kind=Kind.TEXT)
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """As on every list of subscriptions; batch files with their ids, so that they can be opened."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for([column for column in shown if column.key != BATCH], rows)
        if any(column.key == BATCH for column in shown):
            names[BATCH] = batches_of(db.session(), [row.id for row in rows])
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """The batch file as a link to its rows."""
        if column.key == "origin":
            tongue = speech()
            return lambda row: tongue.say(row.origin.value)
        if column.key != BATCH:
            return super().cell(column, names)
        batches = current_app.extensions[PAGE_OF].get(Batch)
        address = batches.address if batches is not None and batches.is_accessible() else None

        def batch(row: Any) -> Any:
            if (found := names.get(row.id)) is None:
                return EMPTY
            return _LINK.format(f"{address}{found[0]}/", found[1]) if address else found[1]

        return batch

    @expose("/<int:row_id>/")
    def details_view(self, row_id: int) -> Response:
        """The subscription itself."""
        self.get_row(row_id)
        return redirect(url_for("subscriptions.details_view", row_id=row_id))
