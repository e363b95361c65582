"""Requests that nobody decided in time: ended by every tick, and what they held is given back."""

import logging

from payadmin.actions import approvals, load_actions
from payadmin.db import db
from payadmin.queries.approvals import overdue
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)


def expire_requests() -> int:
    """End every request whose time is over; how many."""
    late = overdue(db.session())
    db.session.rollback()  # the tick goes on with other work, in transactions of its own
    if late:
        load_actions()  # what a request held is given back by the act that it is about
    ended = 0
    for request_id in late:
        try:
            ended += approvals.expire_request(SYSTEM, request_id)
        except Exception:
            # One that cannot be ended must not keep the others.
            log.exception("request %s could not be ended", request_id)
    return ended
