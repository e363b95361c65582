"""The filters of the inbox that no column gives by itself: whose turn it is, and what kind of act waits."""

from typing import TYPE_CHECKING

from payadmin.approvals import KINDS
from payadmin.db import db
from payadmin.kernel.text import _
from payadmin.queries.approvals import is_own, person_of, to_decide, waits
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.language import say
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

TO_DECIDE, MINE = "to-decide", "mine"
QUEUES = {TO_DECIDE: _("To decide"), MINE: _("Mine, waiting")}


class QueueFilter(Filter):
    """What waits for the person who looks, or what that person waits for."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        """The condition of one of the two queues."""
        if len(values) > 1 or values[0] not in QUEUES:
            raise self.refuse(values[-1])
        actor = current_actor()
        person = person_of(db.session(), actor)
        mine = values[0] == MINE
        where: ColumnElement[bool] = is_own(person) & waits() if mine else to_decide(actor, person)
        return Active(where, say(QUEUES[values[0]]), (values[0],), {})

    def choices(self) -> list[Choice]:
        """Both queues."""
        return [Choice(value, say(label)) for value, label in QUEUES.items()]


class KindFilter(Filter):
    """Any of several kinds of act."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        """The condition that a request is of one of these kinds."""
        chosen = tuple(dict.fromkeys(values))
        if unknown := set(chosen) - KINDS.keys():
            raise self.refuse(min(unknown))
        return Active(self.column.attr.in_(chosen), ", ".join(say(KINDS[kind].label) for kind in chosen), chosen, {})

    def choices(self) -> list[Choice]:
        """Every kind there is."""
        return [Choice(kind.name, say(kind.label)) for kind in KINDS.values()]
