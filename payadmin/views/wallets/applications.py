"""Applications: what waits because it is over a limit of its contract (S3:150, LI2)."""

from payadmin.models.wallets import LimitApplication
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page


@page(menu="applications")
class ApplicationsPage(PayAdminModelView):
    """Every transaction that was over a limit, and what became of it."""

    model = LimitApplication
    slug = "applications"
    heading = "Applications"
    plural = "Applications"
    singular = "Application"
    subtitle = (
        "Transactions over a limit of their contract. The money is set aside until somebody decides, for 72 hours."
    )
    create = None
    edit = None
    export = None
    column_list = ("id", "created_at", "transaction", "rule", "limit", "actual", "excess", "status", "expires_at")
    column_filters = ("status", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "status"
    phone = {"rule": "m1", "excess": "m2", "created_at": "m3", "status": "m4"}
    detail_sections = {
        "Application": (
            "transaction", "rule", "limit", "counted", "actual", "excess", "status", "created_at", "expires_at",
        ),
        "Decision": ("decided_at", "decided_by", "reason", "failure"),
    }  # fmt: skip
