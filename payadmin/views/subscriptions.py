"""Subscriptions: what payments recur, and the payments that were made for each."""

from payadmin.models.payments import Subscription
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page


@page(menu="subscriptions")
class SubscriptionsPage(PayAdminModelView):
    """All subscriptions; the payments of each stand on its details page."""

    model = Subscription
    create = None
    edit = None
    export = Permission.SUBSCRIPTIONS_SUBSCRIPTION_EXPORT
    column_list = ("created_at", "subscription_id", "billing_number", "customer", "amount", "method", "provider")
    labels = {"created_at": "Date"}
    phone = {"subscription_id": "m1", "amount": "m2", "customer": "m3", "created_at": "m4"}
