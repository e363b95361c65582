"""Applications that nobody decided in time: ended by every tick, and what was set aside is given back (LI4)."""

import logging

from payadmin.actions import wallets
from payadmin.db import db, utcnow
from payadmin.queries.wallets import overdue
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)


def expire_applications() -> int:
    """End every application whose time is over; how many."""
    late = overdue(db.session(), utcnow())
    db.session.rollback()  # the tick goes on with other work, in transactions of its own
    ended = 0
    for application_id in late:
        try:
            ended += wallets.expire_application(SYSTEM, application_id)
        except Exception:
            # One that cannot be ended must not keep the others.
            log.exception("application %s could not be ended", application_id)
    return ended
