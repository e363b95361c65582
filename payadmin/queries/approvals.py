"""Questions about what waits for a second person."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, or_, select
from sqlalchemy.orm import Session

from payadmin.approvals import KINDS
from payadmin.db import utcnow
from payadmin.models.access import StaffUser
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.work import Actor

AT_ONCE = 100


def waits() -> ColumnElement[bool]:
    """The condition that a request waits, spelled as the partial index has it."""
    return ApprovalRequest.status == ApprovalStatus.PENDING


def _person(actor: Actor) -> "Select[int]":
    return select(func.coalesce(StaffUser.person_id, StaffUser.id)).where(StaffUser.id == actor.staff_id)


def person_of(session: Session, actor: Actor) -> int:
    """Which human being is signed in; 0 for nobody."""
    return session.scalar(_person(actor)) or 0


def decided_kinds(actor: Actor) -> list[str]:
    """The kinds of requests that an actor may decide."""
    return [kind.name for kind in KINDS.values() if actor.may(kind.permission)]


def is_own(person: Any) -> ColumnElement[bool]:
    """The condition that a person asked for a request, with whichever account, then or as accounts are now.

    Args:
        person: the number of a person, or the expression that finds it.
    """
    accounts = select(StaffUser.id).where(or_(StaffUser.id == person, StaffUser.person_id == person))
    return or_(ApprovalRequest.maker_id.in_(accounts), ApprovalRequest.maker_person_id == person)


def to_decide(actor: Actor, person: Any) -> ColumnElement[bool]:
    """The condition that a request waits for somebody like this actor, and not for its own maker."""
    return waits() & ApprovalRequest.kind.in_(decided_kinds(actor)) & ~is_own(person)


def seen_by(actor: Actor, person: int) -> "Select[ApprovalRequest]":
    """The requests that an actor may see: one's own, and those of the kinds that one decides."""
    return select(ApprovalRequest).where(or_(ApprovalRequest.kind.in_(decided_kinds(actor)), is_own(person)))


def count_to_decide(session: Session, actor: Actor, *, most: int) -> int:
    """How many requests wait for this actor, counted no further than `most`; whoever decides nothing costs nothing."""
    if not decided_kinds(actor):
        return 0
    some = select(literal(1)).where(to_decide(actor, _person(actor).scalar_subquery())).limit(most)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def pending_about(session: Session, table: str, row_id: int) -> Sequence[ApprovalRequest]:
    """The requests that wait and are about one row: what its page says (MC7)."""
    about = (ApprovalRequest.target_table == table, ApprovalRequest.target_id == row_id)
    return session.scalars(select(ApprovalRequest).where(*about, waits()).order_by(ApprovalRequest.id)).all()


def overdue(session: Session) -> Sequence[int]:
    """Requests whose time is over and that nobody has ended, oldest first."""
    late = select(ApprovalRequest.id).where(waits(), ApprovalRequest.expires_at <= utcnow())
    return session.scalars(late.order_by(ApprovalRequest.created_at, ApprovalRequest.id).limit(AT_ONCE)).all()
