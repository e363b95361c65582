"""What became of the rows of a run, those included that wait for a second person: their outcome is their request's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select

from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.system import ActionItem, ActionRun, ItemState
from payadmin.views.language import say

WAITS = _("Waiting for approval")
NOT_APPROVED = _("Not approved")
_ENDED = (ItemState.SUCCEEDED, ItemState.FAILED, ItemState.SKIPPED)
_TONES = {
    ItemState.SUCCEEDED: "ok",
    ItemState.FAILED: "bad",
    ItemState.SKIPPED: "plain",
    ItemState.RUNNING: "info",
    ItemState.WAITING: "info",
}


class Outcome(NamedTuple):
    """One row of a run as its page shows it."""

    item: ActionItem
    label: str
    tone: str
    sentence: str
    request_id: int | None


def outcomes_of(run: ActionRun) -> list[Outcome]:
    """Every row of a run, in the order in which they were chosen."""
    found = (
        select(ActionItem, ApprovalRequest.status, ApprovalRequest.decided_by, ApprovalRequest.message)
        .outerjoin(ApprovalRequest, ApprovalRequest.id == ActionItem.approval_id)
        .where(ActionItem.run_id == run.id)
        .order_by(ActionItem.id)
    )
    return [_outcome(*row) for row in db.session.execute(found)]


def progress_of(run: ActionRun) -> dict[str, Any]:
    """How far a run is, as `jobs/_status.html` shows it."""
    counted = (
        select(ActionItem.state, ApprovalRequest.status, func.count())
        .outerjoin(ApprovalRequest, ApprovalRequest.id == ActionItem.approval_id)
        .where(ActionItem.run_id == run.id)
        .group_by(ActionItem.state, ApprovalRequest.status)
    )
    numbers: dict[str, int] = {state.value: 0 for state in _ENDED}
    done = 0
    for state, status, number in db.session.execute(counted):
        label = _label(state, status)
        if state in _ENDED:
            done += number
            numbers[label] = numbers.get(label, 0) + number
    return {
        "done": done,
        "total": run.total,
        "counts": [*((say(label), number) for label, number in numbers.items()), _left(run.total - done)],
    }


def _left(number: int) -> tuple[str, int]:
    return say("Remaining"), number


def _label(state: ItemState, status: ApprovalStatus | None) -> str:
    if status is None or status is ApprovalStatus.APPLIED:
        return state.value
    return WAITS if status is ApprovalStatus.PENDING else NOT_APPROVED


def _outcome(item: ActionItem, status: ApprovalStatus | None, decided_by: str | None, message: str | None) -> Outcome:
    label, tone, sentence = _label(item.state, status), _TONES[item.state], item.sentence or ""
    match status:
        case None:
            pass
        case ApprovalStatus.PENDING:
            tone = "warn"
        case ApprovalStatus.APPLIED:
            sentence = _("Approved by %(checker)s, and done.", checker=decided_by or "")
        case _:
            tone, sentence = "plain", message or ""
    return Outcome(item, label, tone, sentence, item.approval_id)


def failed_in(outcomes: Sequence[Outcome]) -> int:
    """How many rows can be tried again."""
    return sum(each.item.state is ItemState.FAILED for each in outcomes)
