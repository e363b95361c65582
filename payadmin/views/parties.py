"""Customers and organizations."""

from typing import TYPE_CHECKING, Any

from flask import g, url_for

from payadmin.models.parties import Customer, Organization
from payadmin.permissions import Permission
from payadmin.queries.usage import OUTSIDERS, dealt_with
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from sqlalchemy import Select


@page(menu="customers")
class CustomersPage(PayAdminModelView):
    """Payers. Their payments stand on their details page."""

    model = Customer
    notes = True
    create = None  # customers come with their payments, under the ID their merchant gave them
    edit = Permission.PARTIES_CUSTOMER_WRITE
    export = Permission.PARTIES_CUSTOMER_EXPORT
    column_list = ("name", "external_id", "email", "phone", "kind", "status", "created_at")
    phone = {"name": "m1", "status": "m2", "email": "m3", "created_at": "m4"}
    find_by = ("external_id", "email", "phone", "username", "name")

    def menu_actions(self) -> list[dict[str, Any]]:
        """Their payments are one step away."""
        entries = super().menu_actions()
        if current_actor().may(Permission.PAYMENTS_PAYMENT_READ):
            url = f"{url_for('transactions.index_view')}?customer={{id}}"
            entries.append({"name": "payments", "label": "Payments", "icon": "credit-card", "url": url})
        return entries


@page(menu="organizations")
class OrganizationsPage(PayAdminModelView):
    """Merchants and everybody else payments and staff belong to."""

    model = Organization
    notes = True
    create = Permission.PARTIES_ORGANIZATION_WRITE
    edit = Permission.PARTIES_ORGANIZATION_WRITE
    export = Permission.PARTIES_ORGANIZATION_EXPORT
    column_list = ("name", "kind", "status", "created_at")
    find_by = ("name",)
    tabs = "kind"

    def get_query(self) -> "Select[Any]":
        """For issuers and partners, whose pages name organizations too: their own and those they deal with."""
        actor, scope = g.get("actor"), super().get_query()
        if actor is None or not actor.roles or actor.roles - OUTSIDERS:
            return scope
        return scope.where(Organization.id.in_(dealt_with(actor.organization_id, actor.roles)))
