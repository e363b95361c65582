"""Teams: which SCC work together on which tickets. Each belongs to one customer support manager (S3:168)."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.support.scope import person
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import _, one_line
from payadmin.models.access import StaffUser
from payadmin.models.support import TEAM_LENGTH, SupportMember, SupportTeam, Ticket
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM, Work, use_case

MANAGE = Permission.SUPPORT_TEAM_MANAGE
TAKEN = _("There is a team of this name already.")


@use_case(MANAGE)
def make_team(work: Work, *, name: str, manager_id: int | None = None) -> int:
    """Make a team of the actor's own; its id.

    Args:
        manager_id: whose team it is when the system makes it.

    Raises:
        Invalid: no name, or a long one; `field` is "name".
        Conflict: the name is taken.
    """
    said = _plain_name(name)
    manager = manager_id if work.actor is SYSTEM else person(work)
    if manager is None:
        raise Invalid("A team belongs to a support manager.")
    if work.exists(SupportTeam.name == said):
        raise Conflict(TAKEN, field="name")
    try:
        team = work.add(SupportTeam(name=said, manager_id=manager, created_at=work.now))
    except IntegrityError as error:
        raise Conflict(TAKEN, field="name") from error
    work.record(Event.SUPPORT_TEAM_NAMED, team, after={"name": said}, team=said)
    return team.id


@use_case(MANAGE, about=SupportTeam)
def rename_team(work: Work, team_id: int, *, name: str, version: int) -> None:
    """Call a team of the actor's own something else; the same again changes nothing.

    Raises:
        NotFound: no such team of the actor's.
        Invalid: no name, or a long one; `field` is "name".
        Conflict: the name is taken, or somebody else changed the team meanwhile.
    """
    said, team = _plain_name(name), _own(work, team_id)
    before = team.name
    if before == said:
        return
    if work.exists(SupportTeam.name == said):
        raise Conflict(TAKEN, field="name")
    if not work.change(SupportTeam, team_id, when=(SupportTeam.version == version,), name=said):
        raise Conflict("Somebody else changed this team meanwhile. Look at it, and try again.")
    work.record(Event.SUPPORT_TEAM_NAMED, work.get(SupportTeam, team_id), before={"name": before}, after={"name": said})


@use_case(MANAGE, about=StaffUser)
def put_into_team(work: Work, staff_id: int, *, team_id: int | None) -> None:
    """Put an SCC of the actor's own into one of the actor's teams, or out of any; the same again changes nothing.

    From that moment they see the tickets of that team and no others. What they had in hand goes back to nobody, so that
    no ticket waits for somebody who does not see it.

    Raises:
        Forbidden: the account is no SCC of the actor's.
        NotFound: no such team of the actor's.
    """
    staff = work.get(StaffUser, staff_id, lock=True)
    is_mine = work.actor is SYSTEM or (staff.manager_id is not None and staff.manager_id == person(work))
    if Role.SUPPORT_AGENT not in staff.roles or not is_mine:
        raise Forbidden("This is no SCC of yours.")
    if team_id is not None:
        team = _own(work, team_id)
        if team.manager_id != staff.manager_id:
            raise Forbidden("The team belongs to another support manager.")
    member: SupportMember | None = work.one(select(SupportMember).where(SupportMember.staff_id == staff_id))
    before = member.team_id if member is not None else None
    if before == team_id:
        return
    explained: list[object] = []
    if member is None:
        assert team_id is not None
        explained.append(work.add(SupportMember(staff_id=staff_id, team_id=team_id, created_at=work.now)))
    elif team_id is None:
        explained.append(member)
        work.session.delete(member)
    else:
        member.team_id = team_id
        explained.append(member)
    work.record(
        Event.SUPPORT_MEMBER_MOVED,
        staff,
        before={"team_id": before},
        after={"team_id": team_id},
        also=explained,
        username=staff.username,
    )
    _hand_back(work, staff_id)


def _hand_back(work: Work, staff_id: int) -> None:
    """Take the tickets that somebody no longer sees out of their hands."""
    lost = select(Ticket.id).where(Ticket.assignee_id == staff_id, Ticket.status != "CLOSED").order_by(Ticket.id)
    for row_id in work.session.scalars(lost).all():
        ticket = work.get(Ticket, row_id, lock=True)
        if ticket.assignee_id != staff_id:
            continue
        work.change(Ticket, row_id, assignee_id=None)
        work.record(
            Event.SUPPORT_TICKET_ASSIGNED,
            work.get(Ticket, row_id),
            before={"assignee_id": staff_id},
            after={"assignee_id": None},
            reason=_("Put into another team."),
            ticket_number=ticket.number,
        )


def _own(work: Work, team_id: int) -> SupportTeam:
    team = work.get(SupportTeam, team_id)
    if work.actor is not SYSTEM and team.manager_id != person(work):
        raise NotFound("There is no such record.")
    return team


def _plain_name(name: str) -> str:
    said = one_line(name)
    if not said or len(said) > TEAM_LENGTH:
        raise Invalid(_("Give the team a name of at most %(most)s characters.", most=TEAM_LENGTH), field="name")
    return said
