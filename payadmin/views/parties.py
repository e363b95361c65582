"""Customers and organizations."""

from typing import Any

from flask import url_for

from payadmin.models.parties import Customer, Organization
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page
from payadmin.views.security import current_actor


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
