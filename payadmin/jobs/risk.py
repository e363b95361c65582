"""Blocks whose time is over are ended by every tick; until then everybody ignores them already (LI5)."""

import logging

from payadmin.actions import risk
from payadmin.db import db, utcnow
from payadmin.queries.risk import past_blocks
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)


def end_blocks() -> int:
    """End every block whose time is over; how many."""
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
