"""Subscriptions: what payments recur, and the payments that were made for each."""

from typing import Any

from sqlalchemy import select

from payadmin.db import db
from payadmin.models.payments import PaymentMethod
from payadmin.models.subscriptions import Subscription
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column
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

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """The method by its name; a method that is no longer offered keeps its code."""
        if column.key != "method":
            return super().cell(column, names)
        methods = {each.code: each.name for each in db.session.execute(select(PaymentMethod.code, PaymentMethod.name))}
        return lambda row: methods.get(row.method, row.method)
