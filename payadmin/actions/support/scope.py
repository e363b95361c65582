"""Which tickets exist for whoever acts: the same answer for one that is not theirs and one that is not there."""

from payadmin.kernel.errors import Conflict, Forbidden, NotFound
from payadmin.kernel.text import _
from payadmin.models.support import Ticket
from payadmin.permissions import Role
from payadmin.queries.support import visible_to
from payadmin.work import SYSTEM, Work

MOVED_ON = _("Somebody else changed this ticket meanwhile. Look at what it says now, then try again.")


def person(work: Work) -> int | None:
    """The staff user who acts; None for the system.

    Raises:
        Forbidden: nobody in particular acts.
    """
    if work.actor is not SYSTEM and work.actor.staff_id is None:
        raise Forbidden("Only a person can do this.")
    return work.actor.staff_id


def is_manager(work: Work) -> bool:
    """Whether whoever acts sees all requests: a support manager, or the system."""
    return work.actor is SYSTEM or Role.SUPPORT_MANAGER in work.actor.roles


def ticket_for(work: Work, ticket_id: int, *, version: int | None = None) -> Ticket:
    """The ticket, held until the end of the transaction.

    Args:
        version: the version that a form showed; None where nobody looked at a form.

    Raises:
        NotFound: there is none, or it is not one that the actor sees.
        Conflict: somebody else changed it meanwhile.
    """
    person(work)
    ticket = work.get(Ticket, ticket_id, lock=True)
    if not is_manager(work) and not work.exists(
        Ticket.id == ticket.id, visible_to(work.actor.staff_id, work.actor.roles)
    ):
        raise NotFound("There is no such record.")
    if version is not None and ticket.version != version:
        raise Conflict(MOVED_ON, now=ticket.version)
    return ticket
