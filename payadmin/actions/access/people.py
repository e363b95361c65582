"""People: which accounts are one human being's. Approvals compare people, so that nobody agrees with themselves."""

from typing import Final

from sqlalchemy import or_, select

from payadmin import step_up
from payadmin.actions.access.matrix import managed
from payadmin.audit import Event
from payadmin.kernel.errors import Invalid
from payadmin.models.access import StaffUser
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

JOIN_ACT: Final = "access.join_accounts"


@use_case(Permission.ACCESS_STAFF_JOIN, about=StaffUser)
def join_accounts(work: Work, staff_id: int, *, first_id: int, reason: str, offer: str, code: str) -> None:
    """Say that an account belongs to the same person as another one; all accounts of both are then one person's.

    It only ever takes away: two accounts of one person cannot approve each other's requests, open ones included. Saying
    it again changes nothing, and there is no way back, or a maker could become somebody else.

    Args:
        first_id: the other account.
        reason: how it is known that both belong to one person.
        offer: `step_up.offer` of `JOIN_ACT` for {"staff": staff_id}.
        code: the actor's own authenticator code.

    Raises:
        Forbidden: an account is the actor's own, or has roles that the actor may not manage.
        Invalid: both are the same account, there is no reason, or the code is wrong.
    """
    if staff_id == first_id:
        raise Invalid("Choose another account of the same person.", field="first_id")
    if not reason.strip():
        raise Invalid("Say how you know that both belong to one person.", field="reason")
    staff, first = managed(work, staff_id), managed(work, first_id)
    step_up.spend(work, offer, code, JOIN_ACT, {"staff": staff_id})
    person, was = first.person, staff.person
    if person == was:
        return
    mine = or_(StaffUser.id == was, StaffUser.person_id == was)
    for row in work.session.scalars(select(StaffUser).where(mine).order_by(StaffUser.id)).all():
        work.change(StaffUser, row.id, person_id=person)
        work.record(
            Event.ACCESS_STAFF_JOINED,
            row,
            before={"person_id": was},
            after={"person_id": person},
            reason=reason,
            username=row.username,
        )
