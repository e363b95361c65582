"""The demo's approval policies: large refunds and voids need a second person, so that the inbox can be tried."""

from sqlalchemy import select

from payadmin.actions.approvals import save_policy
from payadmin.db import db
from payadmin.models.approvals import ApprovalPolicy
from payadmin.work import SYSTEM

UNIT = "GBP"
FROM_MINOR = 1_000_00


def set_policies() -> int:
    """Write the demo's policies unless there is any policy already; how many were written."""
    if db.session.scalar(select(ApprovalPolicy.id).limit(1)) is not None:
        return 0
    for rule in ("refund", "void"):
        save_policy(SYSTEM, rule=rule, unit=UNIT, threshold_minor=FROM_MINOR, is_on=True, expires_hours=72)
    return 2
