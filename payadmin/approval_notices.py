"""Who is told by the bell about a request for approval: those who may decide it, then whoever asked."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.system import NoticeKind
from payadmin.notices import notify
from payadmin.permissions import GRANTS, Permission
from payadmin.work import Work

# Those who were here last are told; whoever comes later sees the count in the menu.
MOST_TOLD = 25
_LOOKED_AT = 100
_KEY_LENGTH = 120
_WORDS = {
    ApprovalStatus.REJECTED: "rejected",
    ApprovalStatus.EXPIRED: "expired, nobody decided in time",
    ApprovalStatus.STALE: "out of date, nothing was done",
    ApprovalStatus.FAILED: "approved, but it could not be done",
}
_BAD = frozenset({ApprovalStatus.STALE, ApprovalStatus.FAILED})


def tell_deciders(
    work: Work, request: ApprovalRequest, payload: Mapping[str, Any], *, needed: frozenset[Permission], page: str
) -> None:
    """Tell those who may decide a request that it waits, once, in the transaction that files it.

    At most 25 people are told: active accounts that may open the inbox and decide this kind, never the maker's own.
    The rows of one bulk run are told about together, or they would push everything else out of the bell.

    Args:
        payload: the stored arguments of the act.
        needed: what reading and deciding this kind of request needs.
        page: the endpoint of the page where it is decided.
    """
    run = run_of(payload)
    for staff_id in _deciders(work, needed, request.maker_person_id):
        if run is None:
            title = f"{request.maker_name} asks for your approval: {request.title}."
            _tell(
                work,
                staff_id,
                NoticeKind.APPROVAL,
                title,
                key=f"approval:{request.id}:asked",
                row_id=request.id,
                page=page,
            )
        else:
            title = f"{request.maker_name} asks for your approval of rows of a bulk run, such as: {request.title}"
            _tell(work, staff_id, NoticeKind.APPROVAL, title, key=f"approval:run:{run}:asked", page=page)


def tell_maker(
    work: Work, request: ApprovalRequest, status: ApprovalStatus, *, page: str, run: str | None = None
) -> None:
    """Tell whoever asked what became of it, once, in the transaction that decides it; not what they cancelled.

    Args:
        status: what the request becomes.
        page: the endpoint of the page where it is read.
        run: the token of the bulk run that approves it with others; what it did is told once for all of them.
    """
    if status is ApprovalStatus.CANCELLED:
        return
    if status is ApprovalStatus.APPLIED and run is not None:
        title = f"{work.actor.name} approved requests of yours in a bulk run, such as: {request.title}"
        _tell(work, request.maker_id, NoticeKind.APPROVAL, title, key=f"approval:run:{run}:decided", page=page)
        return
    words = _WORDS.get(status, f"approved by {work.actor.name} and done")
    kind = NoticeKind.FAILED if status in _BAD else NoticeKind.APPROVAL
    title = f"Your request is {words}: {request.title}."
    _tell(work, request.maker_id, kind, title, key=f"approval:{request.id}:decided", row_id=request.id, page=page)


def run_of(arguments: Mapping[str, Any]) -> str | None:
    """The token of the bulk run that an act is a row of; None for an act by itself."""
    return str(arguments.get("key")).partition(":")[0] if "run_data" in arguments else None


def _tell(
    work: Work, staff_id: int, kind: NoticeKind, title: str, *, key: str, page: str, row_id: int | None = None
) -> None:
    notify(work.session, staff_id, kind, title, page=page, row_id=row_id, key=key[:_KEY_LENGTH])


def _deciders(work: Work, needed: frozenset[Permission], maker_person: int) -> list[int]:
    """Who may decide, in the order of their ids, so that two transactions never wait for each other in a circle."""
    roles = [role for role, granted in GRANTS.items() if needed & granted]
    holders = select(StaffRole.staff_id).where(StaffRole.role.in_(roles))
    asked = select(StaffUser).where(
        StaffUser.status == StaffStatus.ACTIVE,
        StaffUser.id.in_(holders),
        func.coalesce(StaffUser.person_id, StaffUser.id) != maker_person,
    )
    newest = asked.order_by(StaffUser.last_login_at.desc().nulls_last(), StaffUser.id).limit(_LOOKED_AT)
    able = [staff.id for staff in work.session.scalars(newest) if needed <= staff.permissions]
    return sorted(able[:MOST_TOLD])
