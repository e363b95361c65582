"""Where a request for approval is read: its own page, for those who may look there."""

from flask import url_for

from payadmin.approvals import KINDS
from payadmin.models.approvals import ApprovalRequest
from payadmin.views.security import current_actor


def request_url(request: ApprovalRequest) -> str | None:
    """The address of a request for the person signed in, who asked for it or decides its kind; None for others."""
    actor, kind = current_actor(), KINDS.get(request.kind)
    if kind is None or not actor.may(kind.read):
        return None
    if not actor.may(kind.permission) and request.maker_id != actor.staff_id:
        return None
    return url_for(f"{kind.page}.details_view", row_id=request.id)
