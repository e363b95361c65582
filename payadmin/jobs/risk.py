"""Anti-fraud's work: blocks end by their time, rules are asked about payments, drafts are tried on past ones."""

import logging
import time

from payadmin.actions import risk
from payadmin.db import db, utcnow
from payadmin.jobs import Later, job
from payadmin.queries.risk import past_blocks
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)

# Well within the lease of a promise, so that no second worker takes it for abandoned.
WORK_SECONDS = 20
TICK_SECONDS = 3.0


def end_blocks() -> int:
    """End every block whose time is over, which everybody ignores already (LI5); how many."""
    past = past_blocks(db.session(), utcnow())
    db.session.rollback()  # the tick goes on with other work, in transactions of its own
    ended = 0
    for block_id in past:
        try:
            ended += risk.end_block(SYSTEM, block_id)
        except Exception:
            # One that cannot be ended must not keep the others.
            log.exception("block %s could not be ended", block_id)
    return ended


def keep_watch(*, seconds: float = TICK_SECONDS) -> int:
    """Ask the rules that are on about new payments; what does not fit into `seconds` waits for the next tick.

    Returns:
        How many lines of the journal were dealt with.
    """
    end, done = time.monotonic() + seconds, 0
    while (some := risk.watch_some(SYSTEM)) > 0:
        done += some
        if time.monotonic() > end:
            break
    return done


@job("try_watch_rule")
def try_watch_rule(*, trial_id: int) -> Later | None:
    """Ask past payments by a draft."""
    until = time.monotonic() + WORK_SECONDS
    while risk.try_some(SYSTEM, trial_id):
        if time.monotonic() > until:
            return Later(0)
    return None
