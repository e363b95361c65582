"""Rows of confirmed row and bulk actions: each is done in its chooser's name, with a key that makes it happen once."""

import logging
from typing import Any

from sqlalchemy.exc import OperationalError

from payadmin.actions import load_actions, runs
from payadmin.db import db
from payadmin.jobs import Later, job
from payadmin.kernel.errors import Conflict, NeedsApproval, NotFound, Refusal
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.system import ItemState
from payadmin.work import SYSTEM, USE_CASES, Actor, NotDone, Unfinished

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 2
UNEXPECTED = "Something went wrong on our side. Use “run again what is left”; nothing is done twice."


@job(runs.RUN_ITEM)
def run_item(*, item_id: int) -> Later | None:
    """Do one row of a run and write down how it ended."""
    claimed = runs.claim_item(SYSTEM, item_id)
    if claimed is None:
        return None
    if claimed.handler not in USE_CASES:
        load_actions()
    actor = _actor(claimed.actor_id)
    state, approval_id = ItemState.SUCCEEDED, None
    try:
        if actor is None:
            raise Refusal(_("%(actor_name)s may no longer sign in.", actor_name=claimed.actor_name))  # noqa: TRY301 - ends like the act's own
        sentence = USE_CASES[claimed.handler](
            actor, claimed.row_id, key=claimed.key, run_data=claimed.run_data, row_data=claimed.row_data
        )
    except NeedsApproval as refusal:
        approval_id = refusal.data["request_id"]
        sentence = _("Asked for as request %(number)s; a second person has to approve it.", number=approval_id)
    except (Conflict, NotFound) as refusal:
        state, sentence = ItemState.SKIPPED, refusal.sentence
    except Refusal as refusal:
        state, sentence = ItemState.FAILED, refusal.sentence
    except OperationalError:
        raise  # the database is away: the promise is kept later
    except Exception:
        log.exception("row %s of run %s failed", claimed.row_id, claimed.run_id)
        state, sentence = ItemState.FAILED, UNEXPECTED
    if isinstance(sentence, Unfinished):
        runs.note_item(SYSTEM, item_id, sentence=sentence.sentence)
        return Later(ASK_AGAIN_SECONDS)
    runs.settle_item(SYSTEM, item_id, **_ended(state, sentence), approval_id=approval_id)
    return None


def _ended(state: ItemState, answer: object) -> dict[str, Any]:
    if isinstance(answer, NotDone):
        return {"state": ItemState.SKIPPED, "sentence": answer.sentence}
    return {"state": state, "sentence": answer if isinstance(answer, str) else None}


def _actor(staff_id: int) -> Actor | None:
    """The person as they are now: a role taken away meanwhile no longer acts."""
    staff = db.session.get(StaffUser, staff_id, populate_existing=True)
    if staff is None or not staff.may_sign_in:
        return None
    return Actor(
        staff_id=staff.id,
        name=staff.username,
        roles=staff.roles,
        permissions=staff.permissions,
        organization_id=staff.organization_id,
        menu=frozenset(staff.menu_access),
    )
