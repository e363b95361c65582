"""Reminders by API: where merchants are told, and every message with what became of it."""

import datetime as dt
from dataclasses import replace
from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_admin import expose
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import BooleanField, Form, HiddenField, StringField
from wtforms.validators import DataRequired, InputRequired, Length

from payadmin.actions import subscriptions
from payadmin.actions.subscriptions.reminders import SWITCHED_OFF, TEST_EVENT, URL_LENGTH, why_not_resendable
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import Text
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Organization
from payadmin.models.subscriptions import DeliveryState, ScheduledCharge, WebhookDelivery, WebhookEndpoint
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.bulk import bulk_action
from payadmin.views.columns import titles_of
from payadmin.views.fields import LinkField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.security import current_actor

WRITE = Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE
MOST_TRIES = 100


def endpoint_form(merchants: "EndpointsPage") -> type[Form]:
    """The form of a new endpoint: like that of an old one, and whose it is."""
    column = merchants.columns["merchant"]

    class NewEndpointForm(EndpointForm):
        merchant = LinkField(
            "Merchant",
            [InputRequired("Choose a merchant.")],
            titles=lambda ids: titles_of(column, ids),
            address=lambda: url_for(f"{merchants.endpoint}.lookup_view", field="merchant"),
            description="Whose subscriptions are meant. A merchant has one endpoint.",
        )

    return NewEndpointForm


class EndpointForm(Form):
    """Where messages go, and what else happens when a reminder falls due."""

    url = StringField(
        "Address",
        [DataRequired("This is needed."), Length(max=URL_LENGTH), no_controls, no_cards],
        description="Every message is posted there, signed. It starts with https://.",
        render_kw={"type": "url", "inputmode": "url", "autocomplete": "off", "placeholder": "https://"},
    )
    enabled = BooleanField(
        "Send reminders to this address",
        default=True,
        description="Switched off, nothing is sent, and reminders that fall due wait in Needs attention.",
    )
    mails_customers = BooleanField(
        "Also e-mail the customer when a reminder falls due",
        description="Beside the message to the merchant, once for each date. Nothing is ever charged by a reminder.",
    )
    seen_version = HiddenField()


@page(menu="reminder-endpoints")
class EndpointsPage(PayAdminModelView):
    """Where each merchant is told that a reminder is due (B-35)."""

    model = WebhookEndpoint
    slug = "reminder-endpoints"
    plural = "Reminder endpoints"
    singular = "Reminder endpoint"
    subtitle = "Reminders never charge. When one falls due, the merchant's own system is told by a signed message."
    create = edit = WRITE
    export = None  # one row a merchant, read here
    column_list = ("merchant", "url", "enabled", "mails_customers", "created_at")
    column_filters = ("merchant", "enabled", "mails_customers")
    column_sortable = ()
    phone = {"url": "m1", "enabled": "m2", "merchant": "m3"}
    list_template = "webhooks/endpoints.html"
    details_template = "webhooks/endpoint.html"
    detail_sections = {"Endpoint": ("merchant", "url", "enabled", "mails_customers", "created_at", "updated_at")}
    needs = {"secret_view": WRITE, "test_view": WRITE}

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """A new endpoint; the answer to a post shows its secret, once."""
        form: Any = endpoint_form(self)(request.form if request.method == "POST" else None)
        if request.method == "GET" or not form.validate():
            return self._endpoint_page(form)
        try:
            endpoint, secret = self._save(form, form.merchant.data)
        except (Invalid, Conflict) as refusal:
            return self._endpoint_page(form, refusal)
        return self._secret_page(endpoint, secret)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Change an endpoint; its secret stays."""
        row = self.get_row(row_id)
        if request.method == "GET":
            values = {"url": row.url, "enabled": row.enabled, "mails_customers": row.mails_customers}
            return self._endpoint_page(EndpointForm(data=values | {"seen_version": str(row.version)}), row=row)
        form: Any = EndpointForm(request.form)
        if not form.validate():
            return self._endpoint_page(form, row=row)
        try:
            self._save(form, row.merchant_id, version=row_id_of(form.seen_version.data or "") or 0)
        except (Invalid, Conflict) as refusal:
            return self._endpoint_page(form, refusal, row=self.get_row(row_id))
        flash("Saved.", "success")
        return redirect(f"{self.address}{row_id}/")

    @expose("/<int:row_id>/secret/", methods=("GET", "POST"))
    def secret_view(self, row_id: int) -> Any:
        """Ask, then make a new secret; the answer to the post is the only page that ever shows it."""
        row = self.get_row(row_id)
        if request.method == "GET":
            return render_template(
                "webhooks/new_secret.html", admin_view=self, row=row, back=f"{self.address}{row_id}/", sentence=None
            )
        version = row_id_of(request.form.get("version", "")) or 0
        try:
            secret = subscriptions.renew_secret(current_actor(), row_id, version=version, keys=self._keys())
        except Conflict as refusal:
            row = self.get_row(row_id)
            answer = render_template(
                "webhooks/new_secret.html",
                admin_view=self,
                row=row,
                back=f"{self.address}{row_id}/",
                sentence=refusal.sentence,
            )
            return answer, refusal.status
        return self._secret_page(self.get_row(row_id), secret)

    @expose("/<int:row_id>/test/", methods=("POST",))
    def test_view(self, row_id: int) -> Response:
        """Send a message about nothing and go where its fate is shown."""
        self.get_row(row_id)
        try:
            delivery = subscriptions.send_test(current_actor(), row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/")
        flash("The test message is on its way.", "success")
        return redirect(url_for("reminder_deliveries.details_view", row_id=delivery.id))

    def details_context(self, row: WebhookEndpoint) -> dict[str, Any]:
        """The fields, and what can be done."""
        address = f"{self.address}{row.id}/"
        return super().details_context(row) | {
            "secret_url": f"{address}secret/" if current_actor().may(WRITE) else None,
            "test_url": f"{address}test/" if current_actor().may(WRITE) else None,
            "deliveries_url": f"{url_for('reminder_deliveries.index_view')}?endpoint={row.id}",
            "switched_off": None if row.enabled else SWITCHED_OFF,
        }

    def _save(self, form: Any, merchant_id: int, *, version: int | None = None) -> tuple[WebhookEndpoint, str | None]:
        saved: tuple[WebhookEndpoint, str | None] = subscriptions.save_endpoint(
            current_actor(),
            merchant_id=merchant_id,
            url=form.url.data,
            enabled=form.enabled.data,
            mails_customers=form.mails_customers.data,
            keys=self._keys(),
            allow_private=current_app.extensions["payadmin.settings"].webhook_private_addresses,
            version=version,
        )
        return saved

    @staticmethod
    def _keys() -> tuple[bytes, ...]:
        keys: tuple[bytes, ...] = current_app.extensions["payadmin.settings"].totp_keys
        return keys

    def _secret_page(self, endpoint: WebhookEndpoint, secret: str | None) -> str:
        return render_template(
            "webhooks/secret.html",
            admin_view=self,
            row=endpoint,
            secret=secret,
            back=f"{self.address}{endpoint.id}/",
        )

    def _endpoint_page(self, form: Any, refusal: Any = None, row: Any = None) -> Any:
        status, sentence, changed = 200 if request.method == "GET" else 422, None, []
        if refusal is not None:
            status = refusal.status
            sentence = put(form, refusal)
            if "now" in refusal.data and row is not None:
                for key in ("url", "enabled", "mails_customers"):
                    if form[key].data != getattr(row, key):
                        column = self.columns[key]
                        changed.append((column.label, self.cell(column, {})(row)))
                form.seen_version.data, form.seen_version.raw_data = str(row.version), None
        answer = render_template(
            "webhooks/form.html",
            admin_view=self,
            form=form,
            sentence=sentence,
            changed=changed,
            merchant=db.session.get_one(Organization, row.merchant_id).name if row is not None else None,
            title=Text("New reminder endpoint" if row is None else "Edit reminder endpoint"),
            back=self.address if row is None else f"{self.address}{row.id}/",
        )
        return answer, status


@page(menu="reminder-deliveries")
class DeliveriesPage(PayAdminModelView):
    """Every message to a merchant's endpoint, and what became of it."""

    model = WebhookDelivery
    slug = "reminder-deliveries"
    plural = "Reminder deliveries"
    singular = "Reminder delivery"
    subtitle = "Messages to merchants' endpoints. One that fails is tried again for hours, then given up."
    create = edit = None
    column_list = ("created_at", "event", "endpoint", "scheduled_charge", "state", "tries", "answer")
    column_filters = ("state", "endpoint", "created_at")
    column_sortable = ("created_at",)
    tabs = (
        Tab("On their way", {"state": (DeliveryState.DUE.name,)}),
        Tab("Delivered", {"state": (DeliveryState.DELIVERED.name,)}),
        Tab("Given up", {"state": (DeliveryState.FAILED.name,)}),
    )
    phone = {"event": "m1", "state": "m2", "endpoint": "m3", "created_at": "m4"}
    list_also = ("state",)
    details_template = "webhooks/delivery.html"
    detail_sections = {
        "Message": ("event", "endpoint", "scheduled_charge", "created_at"),
        "Delivery": ("state", "tries", "answer", "next_try_at", "delivered_at"),
    }
    needs = {"resend_view": WRITE}

    def _refresh_cache(self) -> None:
        # A date is known by its invoice number.
        known = replace(self.columns["scheduled_charge"], told_by=ScheduledCharge.invoice_number)
        self.columns["scheduled_charge"] = known
        super()._refresh_cache()

    resend = bulk_action(
        "resend",
        "Send again…",
        permission=WRITE,
        icon="send",
        eligible=why_not_resendable,
        offered=why_not_resendable,
    )(subscriptions.resend_in_run)

    @expose("/<int:row_id>/resend/", methods=("POST",))
    def resend_view(self, row_id: int) -> Response:
        """Send a message once more."""
        self.get_row(row_id)
        try:
            subscriptions.resend_delivery(current_actor(), row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The message is on its way again.", "success")
        return redirect(f"{self.address}{row_id}/")

    def details_context(self, row: WebhookDelivery) -> dict[str, Any]:
        """The message as it is posted, every try with its answer, and when the next one follows."""
        endpoint = db.session.get_one(WebhookEndpoint, row.endpoint_id)
        tries = select(AuditEvent).where(
            AuditEvent.entity == "webhook_delivery",
            AuditEvent.entity_id == str(row.id),
            AuditEvent.event == "subscriptions.webhook.tried",
        )
        return super().details_context(row) | {
            "endpoint": endpoint,
            "is_test": row.event == TEST_EVENT,
            "tried": db.session.scalars(tries.order_by(AuditEvent.id.desc()).limit(MOST_TRIES)).all(),
            "resend_url": f"{self.address}{row.id}/resend/" if current_actor().may(WRITE) else None,
            "why_not": why_not_resendable(row) or (None if endpoint.enabled else SWITCHED_OFF),
            "overdue": row.next_try_at is not None and row.next_try_at < utcnow() - dt.timedelta(minutes=1),
        }
