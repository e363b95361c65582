"""Transactions: the list, the details of one payment, and what staff do with them."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from flask import Response as FlaskResponse
from flask import current_app, flash, redirect, render_template, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import Select, and_, or_, select
from werkzeug.wrappers import Response

from payadmin.actions import payments
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.payments import (
    DISPLAY_STATUS,
    INVOICED,
    Invoice,
    Mode,
    Note,
    Notification,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Refund,
    VoidRequest,
    why_not_refundable,
    why_not_voidable,
)
from payadmin.models.risk import BlockTarget
from payadmin.models.subscriptions import Subscription
from payadmin.permissions import Permission
from payadmin.queries.blocks import payment_block
from payadmin.queries.risk import block_in_force
from payadmin.queries.risk.watching import notes_about
from payadmin.views import orders, resolving, ui
from payadmin.views.advance import run_warnings
from payadmin.views.base import PayAdminModelView
from payadmin.views.bulk import bulk_action, chosen_ids
from payadmin.views.columns import Column, enum_cell, masked, money_cell, tone_of, unit_scale
from payadmin.views.filters import Filter
from payadmin.views.ledger.words import journals
from payadmin.views.lists import Tab
from payadmin.views.payment_filters import LAST_OF_BILLING, OTHER_MESSAGES, LastOfBillingFilter, OtherMessagesFilter
from payadmin.views.registry import page
from payadmin.views.search import by_id, exact, prefix, through
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode
from payadmin.views.tariffs.payment import tariff_told

MOST_NOTES = 100
EXPORTED = (
    "status",
    "created_at",
    "transaction_id",
    "amount",
    "refunded",
    "method",
    "provider",
    "channel",
    "type",
    "customer",
)
S = PaymentStatus


def _tabs() -> tuple[Tab, ...]:
    """One tab for each word of the Status column; a word may stand for several states (PY2)."""
    words: dict[str, list[str]] = {}
    for status, word in DISPLAY_STATUS.items():
        words.setdefault(word, []).append(status.name)
    order = ("Paid", "Created", "Totally refunded", "Partially refunded", "Failed", "Voided", "Charged back")
    return tuple(Tab(Text(word), {"status": tuple(words[word])}) for word in order)


def status_cell(row: Any) -> Markup:
    """The word of the Status column, with the exact state and the command on its way in small print."""
    word = DISPLAY_STATUS[row.status]
    shown = ui.badge(word, tone_of(row.status))
    if row.in_flight:
        return shown + Markup('<span class="cellsub">{} in progress</span>').format(row.in_flight.value)
    if word != row.status.value:
        return shown + Markup('<span class="cellsub">{}</span>').format(row.status.value)
    return shown


@page(menu="transactions")
class TransactionsPage(PayAdminModelView):
    """All payments of the mode that is shown (S0 Transactions)."""

    model = Payment
    plural = "Transactions"
    singular = "Transaction"
    export = Permission.PAYMENTS_PAYMENT_EXPORT
    pinned = ("mode",)
    column_list = (
        "status",
        "created_at",
        "transaction_id",
        "amount",
        "method",
        "channel",
        "type",
        "customer",
    )
    column_filters = (
        "status",
        "created_at",
        "amount",
        "method",
        "channel",
        "type",
        "customer",
        "merchant",
        "subscription",
        "card_issuer",
        "failure_message",
    )
    column_sortable = ("created_at", "amount", "transaction_id")
    default_sort = "-created_at"
    tabs = _tabs()
    labels = {"created_at": "Date"}
    phone = {"transaction_id": "m1", "amount": "m2", "status": "m3", "created_at": "m4"}
    list_also = (
        "status",
        "in_flight",
        "captured_minor",
        "refunded_minor",
        "reserved_minor",
        "settled_at",
        "subscription_id",
    )
    search_lookups = (
        by_id(Payment),
        prefix(Payment.transaction_id),
        prefix(Payment.invoice_number),
        prefix(Payment.billing_number),
        exact(Payment.approval_code),
        exact(Payment.card_last4),
        through(Payment.customer_id, prefix(Customer.email, fold=str.lower)),
        through(Payment.customer_id, prefix(Customer.name)),
        through(Payment.customer_id, exact(Customer.external_id)),
        through(Payment.subscription_id, exact(Subscription.subscription_id)),
    )
    find_by = (
        "transaction_id",
        "invoice_number",
        "billing_number",
        "approval_code",
        "card_last4",
        "card_holder_name",
        "card_holder_phone",
        "provider_payment_id",
    )
    find_through = (
        (Invoice.number, Invoice.payment_id),
        (Refund.reference, Refund.payment_id),
        (VoidRequest.reference, VoidRequest.payment_id),
    )
    found_as = "Payments"
    needs = {
        "invoice_view": Permission.PAYMENTS_PAYMENT_INVOICE,
        "notify_view": Permission.PAYMENTS_PAYMENT_NOTIFY,
        "note_view": Permission.PAYMENTS_NOTE_WRITE,
        "progress_view": Permission.PAYMENTS_PAYMENT_READ,
        "resolve_view": Permission.PAYMENTS_PAYMENT_REFUND,
        "subscription_view": Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ,
    }
    details_template = "payments/details.html"

    refund = bulk_action(
        "refund",
        "Refund…",
        permission=Permission.PAYMENTS_PAYMENT_REFUND,
        icon="receipt-refund",
        form=orders.ReasonForm,
        row_form=orders.RowAmountForm,
        eligible=why_not_refundable,
        offered=why_not_refundable,
        amount=lambda payment: (payment.refundable_minor, payment.unit),
        warns=run_warnings,
        danger=True,
        step_up=True,
    )(payments.refund_in_run)

    invoices = bulk_action(
        "invoices",
        "Download invoices",
        permission=Permission.PAYMENTS_PAYMENT_INVOICE,
        icon="file-zip",
        download=True,
    )(payments.issue_invoices)

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        """What the Billing dashboard's numbers lead to, besides those of columns."""
        yield from super()._filters_of(table)
        yield OTHER_MESSAGES, OtherMessagesFilter(self.columns["failure_message"])
        yield LAST_OF_BILLING, LastOfBillingFilter(self.columns["created_at"])

    def get_query(self) -> "Select[Any]":
        """Payments of the shown mode only: test and live never mix."""
        return select(Payment).where(Payment.mode == Mode[current_mode()])

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Status shows the source's word."""
        return status_cell if column.key == "status" else super().cell(column, names)

    def status_words(self, row: Any) -> tuple[str, str]:
        """The source's word."""
        return DISPLAY_STATUS[row.status], tone_of(row.status)

    def exported_columns(self) -> list[Column]:
        """The usual file of S0 (P-25), until this person chooses columns of their own."""
        if chosen := self.chosen_columns():
            return chosen
        return [*(self.columns[key] for key in EXPORTED), *self.file_only_columns().values()]

    def file_only_columns(self) -> dict[str, Column]:
        """The customer's e-mail, which the list has no room for."""
        email = replace(self.columns["customer"], key="customer_email", label=_("E-mail"), told_by=Customer.email)
        return {email.key: email}

    # --- actions ------------------------------------------------------------------------------------------------------

    def menu_actions(self) -> list[dict[str, Any]]:
        """Refund, void, invoice, subscription, details: each as the role allows."""
        entries = [
            entry | {"dialog": entry["name"] == "refund"}
            for entry in super().menu_actions()
            if entry["name"] != "invoices"  # a download of many; one has its own entry below
        ]
        actor = current_actor()
        if actor.may(Permission.PAYMENTS_PAYMENT_VOID):
            url = f"{self.address}{{id}}/action/void/"
            void = {"name": "void", "label": "Void…", "icon": "ban", "url": url}
            entries.append(void | {"danger": True, "dialog": True})
        if actor.may(Permission.PAYMENTS_PAYMENT_INVOICE):
            url = f"{self.address}{{id}}/invoice/"
            entries.append({"name": "invoice", "label": "Invoice…", "icon": "file-invoice", "url": url, "dialog": True})
        if actor.may(Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ):
            url = f"{self.address}{{id}}/subscription/"
            entries.append({"name": "subscription", "label": "Go to subscription", "icon": "repeat", "url": url})
        return entries

    def offers(self) -> Callable[[Any], Any] | None:
        """What a row's menu shows greyed, and why."""

        def off(row: Any) -> dict[str, str] | None:
            reasons = {
                "refund": why_not_refundable(row),
                "void": why_not_voidable(row),
                "invoice": None if row.status in INVOICED else _("No invoice exists for this status."),
                "subscription": None if row.subscription_id else "This payment is not recurring.",
            }
            return {name: why for name, why in reasons.items() if why} or None

        return off

    @expose("/action/", methods=("POST",))
    def action_view(self) -> Response:
        """Bulk refund freezes the selection; bulk invoices answer with the archive at once."""
        if request.form.get("action") != "invoices":
            return super().action_view()
        chosen = self.get_query().with_only_columns(Payment.id).limit(payments.MOST_INVOICES + 1)
        if request.form.get("all") == "1":
            chosen = (
                self._all_matching(request.form.get("list", ""))
                .with_only_columns(Payment.id)
                .limit(payments.MOST_INVOICES + 1)
            )
        else:
            chosen = chosen.where(Payment.id.in_(chosen_ids(payments.MOST_INVOICES)))
        found = db.session.scalars(chosen).all()
        pieces = payments.invoices_zip(current_actor(), found, settings=_settings())
        headers = {"Content-Disposition": 'attachment; filename="invoices.zip"'}
        return FlaskResponse(pieces, mimetype="application/zip", headers=headers)

    @expose("/<int:row_id>/action/<action>/", methods=("GET", "POST"))
    def one_view(self, row_id: int, action: str) -> Any:
        """One payment's refund or void is accepted at once; its outcome arrives on the details page."""
        if action == "refund":
            return orders.refund_page(self.get_row(row_id))
        if action == "void":
            return orders.void_page(self.get_row(row_id))
        return super().one_view(row_id, action)

    @expose("/<int:row_id>/subscription/")
    def subscription_view(self, row_id: int) -> Response:
        """The subscription this payment belongs to (P-21)."""
        payment = self.get_row(row_id)
        if payment.subscription_id is None:
            raise Conflict("This payment is not recurring, so it has no subscription.")
        return redirect(url_for("subscriptions.details_view", row_id=payment.subscription_id))

    @expose("/<int:row_id>/invoice/", methods=("GET", "POST"))
    def invoice_view(self, row_id: int) -> Any:
        """The invoice: a post issues it on first use and answers with the document (P-20)."""
        payment = self.get_row(row_id)
        if request.method == "GET":
            return render_template("payments/invoice.html", payment=payment, back=self._details(row_id))
        invoice = payments.issue_invoice(current_actor(), row_id, settings=_settings())
        headers = {"Content-Disposition": f'attachment; filename="{invoice.name}"'}
        return FlaskResponse(invoice.read(), mimetype="application/pdf", headers=headers)

    @expose("/<int:row_id>/notify/", methods=("POST",))
    def notify_view(self, row_id: int) -> Response:
        """Mail the customer about this payment (P-37)."""
        self.get_row(row_id)
        key = request.form.get("key", "")
        payments.request_notification(current_actor(), row_id, key=key, settings=_settings())
        flash("The e-mail to the customer is on its way.", "success")
        return redirect(self._details(row_id), 303)

    @expose("/<int:row_id>/notes/", methods=("POST",))
    def note_view(self, row_id: int) -> Response:
        """Add an internal note."""
        self.get_row(row_id)
        try:
            payments.add_note(current_actor(), row_id, body=request.form.get("body", ""), key=request.form.get("key"))
        except Refusal as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The note is added.", "success")
        return redirect(self._details(row_id), 303)

    @expose("/<int:row_id>/progress/")
    def progress_view(self, row_id: int) -> str:
        """Whether something is still on its way: the fragment that the details page polls."""
        return render_template("payments/_progress.html", payment=self.get_row(row_id))

    @expose("/<int:row_id>/resolve/<any(refund,void):kind>/<int:order_id>/", methods=("GET", "POST"))
    def resolve_view(self, row_id: int, kind: str, order_id: int) -> Any:
        """Say what became of a refund or void that nobody can find out any more."""
        return resolving.resolve_page(self.get_row(row_id), kind, order_id)

    def _story(self, row: Payment, orders_of: list[tuple[str, Any]]) -> Sequence[AuditEvent]:
        """The trail of the payment and of its refunds and voids, newest first."""
        about = [and_(AuditEvent.entity == "payment", AuditEvent.entity_id == str(row.id))]
        about += [
            and_(AuditEvent.entity == type(order).__tablename__, AuditEvent.entity_id == str(order.id))
            for _kind, order in orders_of
        ]
        newest = select(AuditEvent).where(or_(*about)).order_by(AuditEvent.id.desc()).limit(MOST_NOTES)
        return db.session.scalars(newest).all()

    def _details(self, row_id: int) -> str:
        return url_for(f"{self.endpoint}.details_view", row_id=row_id)

    def _cells(self, row: Payment) -> dict[str, Any]:
        columns = {key: self.columns[key] for key in ("customer", "merchant", "method")}
        names = self.names_for(columns.values(), [row])
        return {f"{key}_cell": self.cell(column, names.get(key, {})) for key, column in columns.items()}

    # --- details ------------------------------------------------------------------------------------------------------

    def _related(self, row: Payment) -> tuple[()]:  # noqa: ARG002 - of no payment
        """Nothing: its page shows what belongs to it by itself, so nobody is asked for more."""
        return ()

    def details_context(self, row: Payment) -> dict[str, Any]:
        """Overview, User, Payment and History of S0, with the orders, notes and mails around them."""
        actor = current_actor()
        found = payment_block(db.session(), row.id)
        blocked = found.sentence if found is not None else None
        orders_of = [
            (kind, order)
            for kind, model in (("Refund", Refund), ("Void", VoidRequest))
            for order in db.session.scalars(select(model).where(model.payment_id == row.id).order_by(model.id.desc()))
        ]
        return super().details_context(row) | {
            "payment": row,
            "customer": db.session.get_one(Customer, row.customer_id),
            "events": db.session.scalars(
                select(PaymentEvent)
                .where(PaymentEvent.payment_id == row.id)
                .order_by(PaymentEvent.at.desc(), PaymentEvent.id.desc())
            ).all(),
            "orders": orders_of,
            "history": self._story(row, orders_of),
            "notes": db.session.scalars(
                select(Note).where(Note.payment_id == row.id).order_by(Note.id.desc()).limit(MOST_NOTES)
            ).all(),
            "mails": db.session.scalars(
                select(Notification).where(Notification.payment_id == row.id).order_by(Notification.id.desc()).limit(20)
            ).all(),
            "scale": unit_scale(row.unit) or 0,
            "status_word": status_cell(row),
            "state": enum_cell,
            "blocked": blocked,
            "block_url": _block_url(row),
            "watch_notes": notes_about(db.session(), row.id) if actor.may(Permission.FRAUD_WATCH_WRITE) else [],
            "why_not": {
                "refund": blocked or why_not_refundable(row),
                "void": blocked or why_not_voidable(row),
            },
            "may": {
                name: actor.may(permission)
                for name, permission in {
                    "refund": Permission.PAYMENTS_PAYMENT_REFUND,
                    "void": Permission.PAYMENTS_PAYMENT_VOID,
                    "invoice": Permission.PAYMENTS_PAYMENT_INVOICE,
                    "notify": Permission.PAYMENTS_PAYMENT_NOTIFY,
                    "note": Permission.PAYMENTS_NOTE_WRITE,
                    "mailbox": Permission.PAYMENTS_MAILBOX_READ,
                }.items()
            },
            "form_key": secrets.token_urlsafe(18),
            "show": {kind: masked(kind) for kind in ("name", "email", "phone")},
            "journals": journals(row.id),
            "tariff": tariff_told(row),
            "billed": money_cell(row.billed_amount_minor, row.billed_unit),
            **self._cells(row),
        }


def _settings() -> Any:
    return current_app.extensions["payadmin.settings"]


def _block_url(row: Payment) -> str | None:
    """Where anti-fraud sees the block of a payment, or sets one; None for everybody else."""
    if not current_actor().may(Permission.FRAUD_BLOCK_WRITE):
        return None
    found = block_in_force(db.session(), BlockTarget.PAYMENT, row.id, utcnow())
    if found is not None:
        return f"/blocks/{found.id}/"
    return f"/blocks/set/?target=PAYMENT&row={row.id}"
