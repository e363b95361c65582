"""Checkout: workers replay payments in pieces that may be done twice."""

import time

from payadmin.actions.checkout import replay_some
from payadmin.jobs import Later, job
from payadmin.work import SYSTEM

# Well within the lease of a promise, so that no second worker takes it for abandoned.
WORK_SECONDS = 20


@job("replay_checkout")
def replay_checkout(*, replay_id: int) -> Later | None:
    """Decide the payments of a replay again."""
    until = time.monotonic() + WORK_SECONDS
    while replay_some(SYSTEM, replay_id):
        if time.monotonic() > until:
            return Later(0)
    return None
