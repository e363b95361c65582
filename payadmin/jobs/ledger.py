"""The books' job: run the checks and keep what they found."""

import logging
from typing import TYPE_CHECKING

from flask import current_app

from payadmin.actions import ledger
from payadmin.db import db
from payadmin.jobs import job
from payadmin.kernel.seals import seal_keys
from payadmin.ledger import checks
from payadmin.models.ledger import LedgerCheck
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

log = logging.getLogger(__name__)


@job(ledger.CHECK_JOB)
def check_books(*, check_id: int) -> None:
    """Check the whole of the books. Run again, it only reads once more."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    session = db.session()
    check = session.get(LedgerCheck, check_id, populate_existing=True)
    if check is None or check.done_at is not None:
        return
    results = list(checks.run(session, seal_keys(settings.totp_keys)))
    session.rollback()
    ledger.note_result(SYSTEM, check_id, results=results)
    if broken := [each.number for each in results if each.broken]:
        log.error("the books are not sound: %s; see Ledger health", ", ".join(broken))
