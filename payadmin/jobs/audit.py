"""The trail's jobs: seals every half minute, and verifications that go on where the last worker stopped."""

import logging
from typing import TYPE_CHECKING

from flask import current_app

from payadmin.actions import audit
from payadmin.db import db
from payadmin.jobs import Later, job
from payadmin.kernel.seals import seal_keys
from payadmin.models.audit import AuditCheck
from payadmin.queries.audit import Progress, Verification, latest_seal
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

log = logging.getLogger(__name__)

MOST_SEALS = 50
STEP_SECONDS = 20.0


def keep_seals(settings: "Settings") -> int:
    """Seal what was written since the last time; returns how many events. The log then names the last seal.

    Whoever keeps that log elsewhere can prove that the end of the trail was not cut off (`payadmin verify audit`).
    """
    keys = seal_keys(settings.totp_keys)
    sealed = 0
    for _ in range(MOST_SEALS):
        if not (some := audit.seal_events(SYSTEM, keys=keys)):
            break
        sealed += some
    if sealed and (last := latest_seal(db.session())) is not None:
        log.info("the trail is sealed up to event %s: %s:%s", last.last_id, last.id, last.mac)
    db.session.rollback()
    return sealed


@job(audit.CHECK_JOB)
def verify_trail(*, check_id: int) -> Later | None:
    """Walk on through the trail; after a while another worker's turn has come."""
    settings: Settings = current_app.extensions["payadmin.settings"]
    session = db.session()
    check = session.get(AuditCheck, check_id, populate_existing=True)
    if check is None or check.done_at is not None:
        return None
    names = vars(Progress())
    progress = Progress(**{name: getattr(check, name) or names[name] for name in names})
    walk = Verification(session, seal_keys(settings.totp_keys), progress)
    done = walk.run(seconds=STEP_SECONDS)
    session.rollback()
    audit.note_check(SYSTEM, check_id, progress=progress, done=done)
    if done and progress.broken:
        log.error("the trail is broken in %s places: see Audit verification", progress.broken)
    return None if done else Later(1)
