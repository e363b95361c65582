"""The command palette: any pasted ID, a customer's address or name, or the name of a page (Ctrl K)."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, jsonify, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from payadmin.db import db
from payadmin.kernel.money import format_minor
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Invoice, Mode, Payment, Refund, VoidRequest
from payadmin.models.subscriptions import ScheduledCharge, Subscription
from payadmin.permissions import Permission
from payadmin.views.columns import masked, unit_scale
from payadmin.views.filters import begins_with
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode, menu_for

LONGEST = 100
MOST_OF_A_KIND = 6
SHORTEST_PREFIX = 3

Hit = dict[str, Any]

palette = Blueprint("palette", __name__)


@palette.get("/palette/")
def search() -> Response:
    """What the palette shows for `q`: pages first when the words name one, then records, found through indexes only."""
    term = request.args.get("q", "").strip()[:LONGEST]
    if not term.isprintable():
        return jsonify([])
    return jsonify([*_pages(term), *(_records(term) if term else ())])


def _pages(term: str) -> Iterator[Hit]:
    for section in menu_for(current_actor()):
        for item in section.items:
            if term.lower() in item.label.lower():
                yield {"group": "Pages", "icon": item.icon, "title": item.label, "sub": section.label, "url": item.url}


def _records(term: str) -> Iterator[Hit]:
    actor = current_actor()
    if actor.may(Permission.PAYMENTS_PAYMENT_READ):
        yield from _payments(term)
    if actor.may(Permission.PARTIES_CUSTOMER_READ):
        yield from _customers(term)
    if actor.may(Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ):
        for found in _rows(Subscription, term, Subscription.subscription_id, Subscription.billing_number):
            url = url_for("subscriptions.details_view", row_id=found.id)
            yield _hit("Subscriptions", "repeat", found.subscription_id, found.billing_number, url=url)
        for found in _rows(ScheduledCharge, term, ScheduledCharge.invoice_number):
            url = url_for("scheduled_charges.details_view", row_id=found.id)
            sub = f"{found.status.value} · {found.due_date:%-d %b %Y}"
            yield _hit("Scheduled charges", "calendar-event", found.invoice_number, sub, url=url)
    if actor.may(Permission.PARTIES_ORGANIZATION_READ):
        for found in _rows(Organization, term, Organization.name):
            url = url_for("organizations.details_view", row_id=found.id)
            yield _hit("Organizations", "building", found.name, found.kind.value, url=url)


def _payments(term: str) -> Iterator[Hit]:
    mode = Mode[current_mode()]
    keys = (Payment.transaction_id, Payment.invoice_number, Payment.billing_number, Payment.approval_code)
    found = {row.id: row for row in _rows(Payment, term, *keys) if row.mode is mode}
    for model, key in ((Invoice, Invoice.number), (Refund, Refund.reference), (VoidRequest, VoidRequest.reference)):
        ids = select(model.payment_id).where(key == term)
        about = select(Payment).where(Payment.id.in_(ids), Payment.mode == mode)
        found |= {row.id: row for row in db.session.scalars(about)}
    for row in list(found.values())[:MOST_OF_A_KIND]:
        end = f"{format_minor(row.amount_minor, unit_scale(row.unit) or 0)} {row.unit}"
        url = url_for("transactions.details_view", row_id=row.id)
        sub = f"{row.status.value} · {row.invoice_number}"
        yield _hit("Payments", "credit-card", row.transaction_id, sub, url=url) | {"end": end}


def _customers(term: str) -> Iterator[Hit]:
    for row in _rows(Customer, term, Customer.external_id, Customer.email, Customer.phone, Customer.name):
        email = masked("email")(row.email) if row.email else ""
        url = url_for("customers.details_view", row_id=row.id)
        yield _hit("Customers", "user", masked("name")(row.name), f"{row.external_id} · {email}", url=url)


def _rows(model: Any, term: str, *keys: Any) -> list[Any]:
    """Rows of `model` that one of `keys` finds: each key by its own index, so no row is ever scanned."""
    found: dict[int, Any] = {}
    for key in keys:
        text = term.lower() if key.key == "email" else term
        where = begins_with(key, text) if len(text) >= SHORTEST_PREFIX else key == text
        statement = select(model).where(where).order_by(key).limit(MOST_OF_A_KIND)
        found |= {row.id: row for row in db.session.scalars(statement)}
    return list(found.values())[:MOST_OF_A_KIND]


def _hit(group: str, icon: str, title: str, sub: str, *, url: str) -> Hit:
    return {"group": group, "icon": icon, "title": title, "sub": sub, "url": url}


def init_palette(app: Flask) -> None:
    """Add the palette's search to `app`."""
    app.register_blueprint(palette)
