"""Payments: refund, void, invoice, notify, annotate. Everything that staff and workers may do to a payment."""

from payadmin.actions.payments.invoices import (
    MOST_INVOICES,
    InvoiceFile,
    NoInvoice,
    invoices_zip,
    issue_invoice,
    issue_invoices,
)
from payadmin.actions.payments.notes import add_note, add_note_about
from payadmin.actions.payments.notifications import request_notification
from payadmin.actions.payments.orders import ORDERS, confirmed_facts, is_unresolved
from payadmin.actions.payments.refunds import ACT as REFUND_ACT
from payadmin.actions.payments.refunds import refund_in_run, request_refund
from payadmin.actions.payments.resolving import RESOLVE_ACT, resolve_order, resolved_facts
from payadmin.actions.payments.voids import ACT as VOID_ACT
from payadmin.actions.payments.voids import request_void

__all__ = [
    "MOST_INVOICES",
    "ORDERS",
    "REFUND_ACT",
    "RESOLVE_ACT",
    "VOID_ACT",
    "InvoiceFile",
    "NoInvoice",
    "add_note",
    "add_note_about",
    "confirmed_facts",
    "invoices_zip",
    "is_unresolved",
    "issue_invoice",
    "issue_invoices",
    "refund_in_run",
    "request_notification",
    "request_refund",
    "request_void",
    "resolve_order",
    "resolved_facts",
]
