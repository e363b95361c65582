"""Runs of row and bulk actions: a frozen selection, confirmed once, done row by row, and resumable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, insert, literal, select, update

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, NotFound
from payadmin.kernel.text import NumberText, _
from payadmin.models.system import ActionItem, ActionRun, ItemState, RunState
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

RUN_ITEM = "run_item"
OPEN = (ItemState.WAITING, ItemState.RUNNING)


@dataclass(frozen=True)
class Claimed:
    """One row of a run with everything its handler needs."""

    run_id: int
    row_id: int
    key: str
    handler: str
    actor_id: int
    actor_name: str
    run_data: dict[str, Any]
    row_data: dict[str, Any]


@use_case(Permission.HOME_PAGE_READ)
def draft_run(
    work: Work,
    token: str,
    /,
    *,
    permission: Permission,
    page: str,
    action: str,
    handler: str,
    selection: "Select[Any]",
    cap: int,
    chosen: str | None = None,
) -> ActionRun:
    """Freeze `selection` (a SELECT of id and label) under `token`; the same token again is the same run.

    Raises:
        Conflict: nothing is selected, or more than `cap` rows are: nothing is left out silently.
    """
    _require(work, permission)
    kept: ActionRun | None = work.one(select(ActionRun).where(ActionRun.token == token))
    if kept is not None:
        if (_own(work, kept).page, kept.action) != (page, action):
            raise Conflict("This form was already used for something else. Open it again.")
        return kept
    run = work.add(
        ActionRun(
            token=token,
            actor_id=work.actor.staff_id,
            actor_name=work.actor.name,
            page=page,
            action=action,
            handler=handler,
            chosen=chosen,
        )
    )
    chosen_rows = selection.order_by(None).limit(cap + 1).subquery()
    rows = select(literal(run.id), chosen_rows.c[0], chosen_rows.c[1], literal(ItemState.WAITING.name))
    work.session.execute(insert(ActionItem).from_select(["run_id", "row_id", "label", "state"], rows))
    run.total = work.session.scalar(select(func.count()).where(ActionItem.run_id == run.id)) or 0
    if run.total > cap:
        raise Conflict(
            _(
                "More than %(cap)s rows match. This action takes at most %(cap)s at once: narrow the list first.",
                cap=NumberText(cap),
            )
        )
    if run.total == 0:
        raise Conflict("No rows are selected, or none of them can be seen any more.")
    work.record(Event.RUN_CREATED, page=page, action=action, token=token, rows=run.total, chosen=chosen)
    return run


@use_case(Permission.HOME_PAGE_READ)
def start_run(
    work: Work,
    run_id: int,
    /,
    *,
    permission: Permission,
    answers: Mapping[str, Any],
    row_answers: Mapping[int, Mapping[str, Any]],
    left_out: Mapping[int, str],
    confirm: Callable[[Work], None] | None = None,
) -> bool:
    """Confirm a draft and promise one job a row; whether this call started it (a repeated one only sees the outcome).

    Args:
        answers: what the run's form says.
        row_answers: what each row's own form says, by item.
        left_out: items that cannot be done, with the reason.
        confirm: called with the work in this transaction before anything starts; it may refuse (step-up).
    """
    _require(work, permission)
    run = _own(work, work.get(ActionRun, run_id))
    won = work.session.execute(
        update(ActionRun)
        .where(ActionRun.id == run_id, ActionRun.state == RunState.DRAFT)
        .values(state=RunState.QUEUED, answers=dict(answers), queued_at=work.now)
        .execution_options(synchronize_session=False)
    )
    if won.rowcount != 1:  # type: ignore[attr-defined]
        return False
    if confirm is not None:
        confirm(work)
    items = work.session.scalars(select(ActionItem).where(ActionItem.run_id == run_id)).all()
    for item in items:
        if item.id in left_out:
            item.state, item.sentence, item.done_at = ItemState.SKIPPED, left_out[item.id][:300], work.now
        else:
            item.answers = dict(row_answers.get(item.id, {}))
            work.promise(RUN_ITEM, item_id=item.id)
    work.session.flush()
    _finish_if_done(work, run_id)
    work.record(Event.RUN_STARTED, page=run.page, action=run.action, token=run.token, rows=len(items) - len(left_out))
    return True


@use_case(Permission.HOME_PAGE_READ)
def close_run(
    work: Work, run_id: int, /, *, permission: Permission, answers: Mapping[str, Any], refused: Mapping[int, str]
) -> bool:
    """Keep the outcome of a draft whose act did all its rows in one go; only the first outcome is kept.

    Args:
        answers: what the run's form said.
        refused: the rows (not items) that were refused, with the reason; all others are done.

    Returns:
        Whether this call kept it.
    """
    _require(work, permission)
    run = _own(work, work.get(ActionRun, run_id, lock=True))
    if run.state is not RunState.DRAFT:
        return False
    run.state, run.answers, run.queued_at, run.done_at = RunState.DONE, dict(answers), work.now, work.now
    items = work.session.scalars(select(ActionItem).where(ActionItem.run_id == run_id)).all()
    for item in items:
        sentence = refused.get(item.row_id)
        item.state = ItemState.SUCCEEDED if sentence is None else ItemState.SKIPPED
        item.sentence, item.done_at = sentence and sentence[:300], work.now
    done = len(items) - len(refused)
    work.record(Event.RUN_STARTED, page=run.page, action=run.action, token=run.token, rows=done)
    return True


@use_case(Permission.HOME_PAGE_READ)
def run_again(
    work: Work, run_id: int, /, *, permission: Permission, confirm: Callable[[Work], None] | None = None
) -> int:
    """Promise again what failed; how many rows that is.

    What failed left nothing behind, so its next try has a key of its own.

    Args:
        confirm: called with the work in this transaction when there is something to do; it may refuse (step-up).
    """
    _require(work, permission)
    run = _own(work, work.get(ActionRun, run_id, lock=True))
    if run.state is RunState.DRAFT:
        raise Conflict("This run was never confirmed.")
    left = work.session.scalars(
        select(ActionItem.id).where(ActionItem.run_id == run_id, ActionItem.state == ItemState.FAILED)
    ).all()
    if left and confirm is not None:
        confirm(work)
    for item_id in left:
        again = {"state": ItemState.WAITING, "attempt": ActionItem.attempt + 1, "sentence": None, "done_at": None}
        work.session.execute(_advance(item_id, (ItemState.FAILED,), **again))
        work.promise(RUN_ITEM, item_id=item_id)
    if left:
        run.state, run.done_at = RunState.QUEUED, None
        work.record(Event.RUN_STARTED, page=run.page, action=run.action, token=run.token, rows=len(left))
    return len(left)


@use_case(Permission.SYSTEM_JOB_RUN)
def claim_item(work: Work, item_id: int, /) -> Claimed | None:
    """The row to work on, or None when it is done already. A row whose worker died is claimed again."""
    won = work.session.execute(_advance(item_id, OPEN, state=ItemState.RUNNING))
    if won.rowcount != 1:  # type: ignore[attr-defined]
        return None
    item = work.get(ActionItem, item_id)
    run = work.get(ActionRun, item.run_id)
    return Claimed(
        run_id=run.id,
        row_id=item.row_id,
        key=f"{run.token}:{item.row_id}:{item.attempt}",
        handler=run.handler,
        actor_id=run.actor_id,
        actor_name=run.actor_name,
        run_data=dict(run.answers or {}),
        row_data=dict(item.answers or {}),
    )


@use_case(Permission.SYSTEM_JOB_RUN)
def note_item(work: Work, item_id: int, /, *, sentence: str) -> None:
    """Say how far a row is whose outcome is still to come."""
    work.session.execute(_advance(item_id, OPEN, sentence=sentence[:300]))


@use_case(Permission.SYSTEM_JOB_RUN)
def settle_item(
    work: Work, item_id: int, /, *, state: ItemState, sentence: str | None, approval_id: int | None = None
) -> None:
    """Write the outcome of a row; a repeated settlement changes nothing.

    Args:
        approval_id: the request that the row was filed as, when it waits for a second person.
    """
    short = (sentence or "")[:300] or None
    ended = {"state": state, "sentence": short, "done_at": work.now, "approval_id": approval_id}
    work.session.execute(_advance(item_id, OPEN, **ended))
    _finish_if_done(work, work.get(ActionItem, item_id).run_id)


def _advance(item_id: int, sources: Sequence[ItemState], **values: Any) -> Any:
    statement = update(ActionItem).where(ActionItem.id == item_id, ActionItem.state.in_(sources)).values(**values)
    return statement.execution_options(synchronize_session=False)


def _finish_if_done(work: Work, run_id: int) -> None:
    # Two workers that settle the last two rows at once do not see each other's row: the run's lock makes one look last.
    work.get(ActionRun, run_id, lock=True)
    if work.exists(ActionItem.run_id == run_id, ActionItem.state.in_(OPEN)):
        return
    work.session.execute(
        update(ActionRun)
        .where(ActionRun.id == run_id, ActionRun.state == RunState.QUEUED)
        .values(state=RunState.DONE, done_at=work.now)
        .execution_options(synchronize_session=False)
    )


def _own(work: Work, run: ActionRun) -> ActionRun:
    if run.actor_id != work.actor.staff_id:
        raise NotFound("There is no such run.")
    return run


def _require(work: Work, permission: Permission) -> None:
    if not work.actor.may(permission):
        raise Forbidden("Your role does not allow this.")
