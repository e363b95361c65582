"""What the pages of the bank share."""

from flask import current_app, url_for

from payadmin.models.redeem import RedeemRequest
from payadmin.permissions import Permission
from payadmin.views.columns import PAGE_OF
from payadmin.views.security import current_actor


def request_url(number: int) -> str | None:
    """Where a redeem request is shown, for whoever may see it."""
    view = current_app.extensions[PAGE_OF].get(RedeemRequest)
    if view is None or not current_actor().may(Permission.CASH_REDEEM_READ):
        return None
    return url_for(f"{view.endpoint}.details_view", row_id=number)
