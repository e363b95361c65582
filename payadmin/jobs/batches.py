"""Batches: workers check what was uploaded and process what was confirmed, in pieces that may be done twice."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import current_app

from payadmin.actions.batches.paying import pay_some
from payadmin.actions.batches.processing import process_some
from payadmin.actions.batches.validation import check_some
from payadmin.jobs import Later, job
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

# Well within the lease of a promise, so that no second worker takes it for abandoned.
WORK_SECONDS = 20


@job("check_batch")
def check_batch(*, batch_id: int) -> Later | None:
    """Check the rows of a batch."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    return _for_a_while(lambda: check_some(SYSTEM, batch_id, zone=settings.zone))


@job("order_batch")
def order_batch(*, batch_id: int) -> Later | None:
    """Make charges or subscriptions of the rows of a batch, or pay them out of a wallet."""
    return _for_a_while(lambda: pay_some(batch_id) or process_some(SYSTEM, batch_id))


def _for_a_while(piece: Callable[[], bool]) -> Later | None:
    until = time.monotonic() + WORK_SECONDS
    while piece():
        if time.monotonic() > until:
            return Later(0)
    return None
