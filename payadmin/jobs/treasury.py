"""Cash days that were left open over night: accountants are told, once a day for each."""

import logging
from typing import Final

from payadmin.actions import treasury
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.queries.treasury import left_open
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)
AT_ONCE: Final = 500


def alert_days_left_open(settings: Settings) -> int:
    """Alert about every day that is open on a later date than its own; how many."""
    late = left_open(db.session(), utcnow().astimezone(settings.zone).date(), AT_ONCE)
    db.session.rollback()  # the tick goes on with other work, in transactions of its own
    told = 0
    for day_id in late:
        try:
            told += treasury.alert_left_open(SYSTEM, day_id)
        except Exception:
            # One that cannot be told about must not keep the others.
            log.exception("nobody could be told about cash day %s", day_id)
    return told
