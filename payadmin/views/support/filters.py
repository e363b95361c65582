"""Filters of tickets that no column has, or whose choices are few: what waits, whose it is, and which team's."""

from sqlalchemy import ColumnElement, and_, select

from payadmin.db import db, utcnow
from payadmin.kernel.text import _
from payadmin.models.access import StaffRole, StaffUser
from payadmin.models.support import SupportMember
from payadmin.permissions import Role
from payadmin.queries.support import QUEUES, team_of
from payadmin.views.columns import Column
from payadmin.views.filters import MOST_LINKS, Active, Choice, Filter, row_id_of
from payadmin.views.language import say
from payadmin.views.security import current_actor
from payadmin.views.support.shown import team_names

WORDS = {
    "active": _("In hand"),
    "overdue": _("Overdue"),
    "unanswered": _("Without an answer"),
    "unassigned": _("Without an assignee"),
    "answered": _("Answered"),
}


class QueueFilter(Filter):
    """Tickets that are counted by a number of the queue; several at once narrow it."""

    widget = "choices"
    repeatable = True

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.key, self.label = "queue", _("Queue")

    def read(self, values: list[str]) -> Active:
        """The conditions of these numbers, at this moment."""
        chosen = tuple(dict.fromkeys(values))
        unknown = next((name for name in chosen if name not in QUEUES), None)
        if unknown is not None:
            raise self.refuse(unknown)
        now = utcnow()
        return Active(
            and_(*(QUEUES[name](now) for name in chosen)), ", ".join(say(WORDS[name]) for name in chosen), chosen, {}
        )

    def choices(self) -> list[Choice]:
        """Every number."""
        return [Choice(name, WORDS[name]) for name in QUEUES]


class NumbersFilter(Filter):
    """Any of several rows, offered by name."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        """The condition for the chosen rows."""
        ids = [row_id_of(value) for value in dict.fromkeys(values)]
        if None in ids or len(ids) > MOST_LINKS:
            raise self.refuse(values[0])
        names = {choice.value: choice.label for choice in self.choices()}
        chosen = [str(row_id) for row_id in ids]
        words = ", ".join(names.get(each) or say(_("No. %(number)s", number=each)) for each in chosen)
        return Active(self.column.attr.in_(ids), words, tuple(chosen), {})


class TeamFilter(NumbersFilter):
    """Tickets of some teams."""

    def choices(self) -> list[Choice]:
        """Every team; for an SCC their own, because names of others are none of their business (T25)."""
        own = _own_team()
        return [Choice(str(row_id), name) for row_id, name in team_names().items() if own is None or row_id in own]


class AssigneeFilter(NumbersFilter):
    """Tickets that some people have in hand."""

    def choices(self) -> list[Choice]:
        """Everybody who takes tickets; for an SCC their own team and the managers."""
        own = _own_team()
        roles = (Role.SUPPORT_MANAGER, Role.SUPPORT_AGENT) if own is None else (Role.SUPPORT_MANAGER,)
        takes: ColumnElement[bool] = StaffUser.id.in_(select(StaffRole.staff_id).where(StaffRole.role.in_(roles)))
        if own is not None:
            takes |= StaffUser.id.in_(select(SupportMember.staff_id).where(SupportMember.team_id.in_(own)))
        wanted = select(StaffUser.id, StaffUser.username).where(takes).order_by(StaffUser.username)
        return [Choice(str(row.id), row.username) for row in db.session.execute(wanted.limit(200))]


def _own_team() -> list[int] | None:
    """The team of an SCC, if they are in one; None for managers, who see all."""
    actor = current_actor()
    if Role.SUPPORT_MANAGER in actor.roles:
        return None
    return list(db.session.scalars(team_of(actor.staff_id)))


def names_of(ids: set[int]) -> dict[int, str]:
    """The user names of some people."""
    wanted = select(StaffUser.id, StaffUser.username).where(StaffUser.id.in_(ids))
    return {row.id: row.username for row in db.session.execute(wanted)} if ids else {}
