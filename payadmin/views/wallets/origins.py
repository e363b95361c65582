"""Where a wallet transaction comes from: the sale of a product, a row of a batch, bonus units that were issued."""

from flask import url_for
from sqlalchemy import select

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.batches import Batch, BatchRow
from payadmin.models.payments import Unit
from payadmin.models.products import ProductSale
from payadmin.models.wallets import WalletKind, WalletTransaction
from payadmin.permissions import Permission
from payadmin.views.language import say
from payadmin.views.security import current_actor

BONUS = (WalletKind.BONUS_ISSUE, WalletKind.BONUS_REDEEM)


def origin_of(row: WalletTransaction) -> tuple[str, str] | None:
    """The address and the name of what ordered it; None where nothing did, or the person may not see that."""
    session, actor = db.session(), current_actor()
    if row.kind is WalletKind.SALE and actor.may(Permission.WALLETS_PRODUCT_READ):
        sale_id = session.scalar(select(ProductSale.id).where(ProductSale.transaction_id == row.id))
        if sale_id is not None:
            return url_for("product_sales.details_view", row_id=sale_id), say(_("Sale no. %(number)s", number=sale_id))
    if row.kind in BONUS and actor.may(Permission.WALLETS_UNIT_READ):
        unit_id = session.scalar(select(Unit.id).where(Unit.code == row.unit))
        return url_for("units.details_view", row_id=unit_id), row.unit
    if row.kind is WalletKind.MASS_PAYMENT and actor.may(Permission.BATCHES_BATCH_READ):
        paid = select(Batch.id, Batch.file_name, BatchRow.row_number).join(BatchRow, BatchRow.batch_id == Batch.id)
        found = session.execute(paid.where(BatchRow.transaction_id == row.id)).one_or_none()
        if found is not None:
            address = url_for("batches.details_view", row_id=found.id, row=found.row_number)
            return f"{address}#batch-rows", say(
                _("%(file)s, row %(number)s", file=found.file_name, number=found.row_number)
            )
    return None
