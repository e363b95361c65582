"""Customers and organizations."""

from payadmin.models.parties import Customer, Organization
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page


@page(menu="customers")
class CustomersPage(PayAdminModelView):
    """Payers. Their payments stand on their details page."""

    model = Customer
    create = None  # customers come with their payments, under the ID their merchant gave them
    edit = Permission.PARTIES_CUSTOMER_WRITE
    export = Permission.PARTIES_CUSTOMER_EXPORT
    column_list = ("name", "external_id", "email", "phone", "kind", "status", "created_at")
    phone = {"name": "m1", "status": "m2", "email": "m3", "created_at": "m4"}


@page(menu="organizations")
class OrganizationsPage(PayAdminModelView):
    """Merchants and everybody else payments and staff belong to."""

    model = Organization
    create = Permission.PARTIES_ORGANIZATION_WRITE
    edit = Permission.PARTIES_ORGANIZATION_WRITE
    export = Permission.PARTIES_ORGANIZATION_EXPORT
    column_list = ("name", "kind", "status", "created_at")
    tabs = "kind"
