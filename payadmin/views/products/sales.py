"""Product sales: who paid what for which product, one click from the journal of each and back."""

from collections.abc import Iterable, Sequence
from typing import Any

from payadmin.db import db
from payadmin.models.products import ProductSale
from payadmin.models.wallets import MoveStatus, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.products import sale_state, sale_states
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import EMPTY, Column, Kind, enum_cell, unit_scale
from payadmin.views.ledger.words import journals_about
from payadmin.views.registry import page


@page(menu="product-sales")
class ProductSalesPage(PayAdminModelView):
    """Everything that was sold, the latest first."""

    model = ProductSale
    slug = "product-sales"
    plural = "Product sales"
    singular = "Product sale"
    subtitle = "What was sold out of which wallet. What is over a limit is held until it is decided."
    create = edit = None
    export = Permission.WALLETS_PRODUCT_EXPORT
    column_list = ("id", "created_at", "product", "wallet", "price", "state")
    column_filters = ("product", "wallet", "price", "created_at")
    column_sortable = ("created_at", "price")
    default_sort = "-created_at"
    phone = {"product": "m1", "price": "m2", "wallet": "m3", "state": "m4"}
    list_also = ("transaction_id",)
    list_template = "products/sales.html"
    details_template = "products/sale.html"
    detail_sections = {"Sale": ("product", "wallet", "price", "state", "transaction", "created_at")}

    def _refresh_cache(self) -> None:
        # Where a sale stands is what its wallet transaction says; it is not kept twice.
        fixed = {"readonly": True, "filter": False}
        self.columns["state"] = Column(
            "state", "Status", Kind.ENUM, ProductSale.transaction_id, fixed,
            members=MoveStatus, worked_out=sale_state,
        )  # fmt: skip
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Also how the transactions of these sales stand: one statement for all rows."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        if any(column.key == "state" for column in shown):
            found = sale_states(db.session(), {row.transaction_id for row in rows})
            names["state"] = {key: enum_cell(status) for key, status in found.items()}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Where the money is."""
        if column.key == "state":
            return lambda row: names.get(row.transaction_id, EMPTY)
        return super().cell(column, names)

    def details_context(self, row: ProductSale) -> dict[str, Any]:
        """What the books say about it."""
        moved = db.session.get_one(WalletTransaction, row.transaction_id)
        return super().details_context(row) | {
            "related": [],
            "moved": moved,
            "journals": journals_about("wallet_transaction", moved.id),
            "scales": {row.unit: unit_scale(row.unit) or 0},
        }
