"""Requests: approve, reject, cancel and expire what waits for a second person (MC1-MC6).

Whoever decides holds the target first and the request second, reads both again, and decides once. Approving does the
stored act in the same transaction that says so: a crash between the two leaves neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from payadmin import audit, step_up
from payadmin.approval_notices import run_of, tell_maker
from payadmin.approvals import KINDS, actor_of, facts_of, gate_of, person_of
from payadmin.audit import Event
from payadmin.db import Base
from payadmin.kernel import payloads
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import _
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.permissions import Permission
from payadmin.work import Actor, Approved, NotDone, Work, replay, tell_witnesses, use_case

ACT = "approvals.approve"
REASON_LENGTH = 500
MESSAGE_LENGTH = 300
OWN = "You asked for this yourself, with this account or another of yours. Somebody else has to decide it."
NOT_YOURS = "Your role does not decide requests of this kind."
TAMPERED = "What is stored is not what was asked for, so nothing was done. Tell an administrator."

EVENTS = {
    ApprovalStatus.APPLIED: Event.APPROVAL_APPROVED,
    ApprovalStatus.REJECTED: Event.APPROVAL_REJECTED,
    ApprovalStatus.CANCELLED: Event.APPROVAL_CANCELLED,
    ApprovalStatus.EXPIRED: Event.APPROVAL_EXPIRED,
    ApprovalStatus.STALE: Event.APPROVAL_STALE,
    ApprovalStatus.FAILED: Event.APPROVAL_FAILED,
}


@dataclass(frozen=True)
class Decision:
    """What became of a request."""

    request_id: int
    status: ApprovalStatus
    sentence: str


@dataclass(frozen=True)
class _Checker:
    """Who decides: the account, the person, and their words."""

    staff_id: int
    person: int
    reason: str | None


def confirmed_facts(request: ApprovalRequest) -> dict[str, object]:
    """What a checker's code confirms: this request, with this content."""
    return {"request": request.id, "hash": request.payload_hash}


def why_not_decide(actor: Actor, person: int, request: Any, maker_person: int | None = None) -> str | None:
    """Why somebody may not approve or reject a request, or None when they may.

    Args:
        actor: who would decide.
        person: which human being that is.
        request: the request, or a row of its columns.
        maker_person: whom the maker's account belongs to now, if that is known to have changed.
    """
    if not actor.may(KINDS[request.kind].permission):
        return NOT_YOURS
    if person in {request.maker_person_id, maker_person}:
        return OWN
    return why_over(request)


def why_over(request: Any) -> str | None:
    """Why a request cannot be decided any more, or None while it waits."""
    if request.status is ApprovalStatus.PENDING:
        return None
    by = f" by {request.decided_by}" if request.decided_by else ""
    return f"Request {request.id} is {request.status.lower()} already{by}."


@use_case(Permission.HOME_PAGE_READ, about=ApprovalRequest)
def approve_request(work: Work, request_id: int, *, reason: str | None, offer: str, code: str) -> Decision:
    """Approve a request and do, in its maker's name, exactly what it says, once (MC3, MC4).

    Needs the permission of the request's kind and nothing else (MC2).

    Args:
        reason: the checker's words, if any.
        offer: the step-up offer that the page carried (`step_up.offer(actor, ACT, confirmed_facts(request))`).
        code: the checker's own authenticator code.

    Returns:
        What became of it: done; out of date, when its target has changed since it was asked for; or failed, when the
        act is refused now. Nothing is done in the last two cases, and what was held is given back.

    Raises:
        Forbidden: no permission for this kind, or the checker is the maker in person.
        Invalid: a wrong code, or a reason that is too long.
        Conflict: it does not wait (any more).
    """
    request, target, checker = _taken(work, request_id, reason)
    step_up.spend(work, offer, code, ACT, confirmed_facts(request))
    return _approve(work, request, target, checker)


@use_case(Permission.HOME_PAGE_READ, about=ApprovalRequest)
def approve_in_run(
    work: Work, request_id: int, *, key: str, run_data: Mapping[str, Any], row_data: Mapping[str, Any]
) -> str | NotDone:
    """Approve one request of a bulk run, whose start spent the code for all of them (MC8).

    Args:
        key: the run's token and the row; a request that this person approved already stays approved. The makers are
            told once a run.
        run_data: `reason`, asked once.
        row_data: nothing is asked for each row.
    """
    del row_data
    found = work.get(ApprovalRequest, request_id)
    if found.status is ApprovalStatus.APPLIED and found.checker_id == work.actor.staff_id:
        return "Approved and done."
    request, target, checker = _taken(work, request_id, run_data.get("reason"))
    decision = _approve(work, request, target, checker, run=run_of({"run_data": run_data, "key": key}))
    return decision.sentence if decision.status is ApprovalStatus.APPLIED else NotDone(decision.sentence)


@use_case(Permission.HOME_PAGE_READ, about=ApprovalRequest)
def reject_request(work: Work, request_id: int, *, reason: str) -> Decision:
    """Say no to a request, with a reason; what it held is given back (MC5).

    Raises:
        Forbidden: no permission for this kind, or the checker is the maker in person.
        Invalid: no reason.
        Conflict: it does not wait (any more).
    """
    request, target, checker = _taken(work, request_id, _needed(reason))
    return _end(work, request, target, ApprovalStatus.REJECTED, "Rejected; nothing was done.", checker=checker)


@use_case(Permission.HOME_PAGE_READ, about=ApprovalRequest)
def cancel_request(work: Work, request_id: int, *, reason: str) -> Decision:
    """Take back one's own request, with a reason; it stays on record (MC6).

    Raises:
        NotFound: it is somebody else's.
        Invalid: no reason.
        Conflict: it does not wait (any more).
    """
    text = _needed(reason)
    request, target = _locked(work, request_id)
    if person_of(work, work.actor.staff_id) not in _makers(work, request):
        raise NotFound("There is no such request of yours.")
    _refuse_decided(request)
    sentence = "Cancelled by its maker; nothing was done."
    return _end(work, request, target, ApprovalStatus.CANCELLED, sentence, reason=text)


@use_case(Permission.SYSTEM_JOB_RUN)
def expire_request(work: Work, request_id: int) -> bool:
    """End a request that nobody decided in time; whether this call did. What it held is given back."""
    request, target = _locked(work, request_id)
    if request.status is not ApprovalStatus.PENDING or request.expires_at > work.now:
        return False
    _expire(work, request, target)
    return True


def _approve(
    work: Work, request: ApprovalRequest, target: Any, checker: _Checker, *, run: str | None = None
) -> Decision:
    if request.expires_at <= work.now:
        return _expire(work, request, target)
    if payloads.digest(request.use_case, request.payload) != request.payload_hash:
        return _end(work, request, target, ApprovalStatus.FAILED, TAMPERED, checker=checker)
    if request.target_id is not None and (target is None or target.version != request.target_version):
        differences = _differences(request, target)
        sentence = "Not done: what it is about has changed since it was asked for. Ask again if it still makes sense."
        return _end(work, request, target, ApprovalStatus.STALE, sentence, checker=checker, differences=differences)
    gate, approved = gate_of(request.use_case), Approved(request.id, work.actor.name)
    try:
        with audit.undoable(work.session):
            if gate.release is not None:
                gate.release(work, request, ApprovalStatus.APPLIED)
            maker = actor_of(work, request.maker_id)
            replay(work, request.use_case, maker, approved, payloads.decode(request.payload))
            work.session.flush()
    except Refusal as refusal:
        # Read again: the savepoint took back what was loaded since.
        request, target = _locked(work, request.id)
        tell_witnesses(work.session, refusal, act=request.use_case, actor_name=request.maker_name)
        return _end(work, request, target, ApprovalStatus.FAILED, f"Not done: {refusal.sentence}", checker=checker)
    return _end(work, request, None, ApprovalStatus.APPLIED, "Approved and done.", checker=checker, run=run)


def _expire(work: Work, request: ApprovalRequest, target: Any) -> Decision:
    return _end(work, request, target, ApprovalStatus.EXPIRED, "Nobody decided in time; nothing was done.")


def _end(
    work: Work,
    request: ApprovalRequest,
    target: Any,
    status: ApprovalStatus,
    sentence: str,
    *,
    checker: _Checker | None = None,
    reason: str | None = None,
    differences: list[dict[str, Any]] | None = None,
    run: str | None = None,
) -> Decision:
    """Write down what became of a request, and give back what it held unless it was done."""
    gate, said = gate_of(request.use_case), checker.reason if checker else reason
    released = status is not ApprovalStatus.APPLIED and gate.release is not None
    if released and gate.release is not None:
        gate.release(work, request, status)
    won = work.change(
        ApprovalRequest,
        request.id,
        status=status,
        checker_id=checker.staff_id if checker else None,
        checker_person_id=checker.person if checker else None,
        decided_by=work.actor.name,
        decided_at=work.now,
        decision_reason=said,
        message=sentence[:MESSAGE_LENGTH],
        differences=differences,
    )
    if not won:
        raise Conflict(_("Request %(number)s was decided at this moment by somebody else.", number=request.id))
    work.record(
        EVENTS[status],
        request,
        also=(target,) if released and target is not None else (),
        before={"status": ApprovalStatus.PENDING},
        after={"status": status, "title": request.title},
        reason=said or (sentence if status is not ApprovalStatus.APPLIED else None),
        outcome="done" if status is not ApprovalStatus.FAILED else "failed",
        request=request.id,
        maker=request.maker_name,
    )
    tell_maker(work, request, status, page=KINDS[request.kind].page, run=run)
    return Decision(request.id, status, sentence)


# ---- who, and in which order ---------------------------------------------------------------------------------------


def _taken(work: Work, request_id: int, reason: str | None) -> tuple[ApprovalRequest, Any, _Checker]:
    """The request and its target, held, and the checker who may decide it."""
    text = (reason or "").strip()
    if len(text) > REASON_LENGTH:
        raise Invalid(_("Keep the reason within %(most)s characters.", most=REASON_LENGTH), field="reason")
    person = person_of(work, work.actor.staff_id)
    request, target = _locked(work, request_id)
    if not work.actor.may(KINDS[request.kind].permission):
        raise Forbidden(NOT_YOURS)
    if person in _makers(work, request):
        raise Forbidden(OWN)
    _refuse_decided(request)
    assert work.actor.staff_id is not None
    return request, target, _Checker(work.actor.staff_id, person, mask_pan_in_text(text) or None)


def _locked(work: Work, request_id: int) -> tuple[ApprovalRequest, Any]:
    found = work.get(ApprovalRequest, request_id)
    target = None
    if found.target_id is not None:
        model, target_id = model_of(found.target_table), found.target_id
        gate_of(found.use_case).hold_first(work, target_id)
        try:
            target = work.get(model, target_id, lock=True)
        except NotFound:
            target = None  # it was deleted meanwhile, which makes the request out of date
    return work.get(ApprovalRequest, request_id, lock=True), target


def _makers(work: Work, request: ApprovalRequest) -> set[int]:
    """Who the maker was when asking, and who the account belongs to now."""
    return {request.maker_person_id, person_of(work, request.maker_id)}


def _refuse_decided(request: ApprovalRequest) -> None:
    if why := why_over(request):
        raise Conflict(why)


def _needed(reason: str) -> str:
    text = mask_pan_in_text(reason.strip())
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    return text


def _differences(request: ApprovalRequest, target: Any) -> list[dict[str, Any]]:
    """What is not as it was when the request was made, column by column; nothing at all if it is gone."""
    if target is None:
        return []
    columns, now = type(target).__table__.columns, facts_of(target)
    return [
        {"key": key, "before": before, "after": now.get(key)}
        for key, before in request.seen.items()
        if now.get(key) != before and key in columns
    ]


def model_of(table: str) -> type[Any]:
    """The mapped class of a table."""
    return next(mapper.class_ for mapper in Base.registry.mappers if mapper.persist_selectable.description == table)
