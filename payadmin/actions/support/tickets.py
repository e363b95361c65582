"""Tickets: opened, moved through their states, ranked, assigned, linked to a payment and merged (S3:166, domain 6)."""

import datetime as dt
import hashlib
from typing import Any, Final

from sqlalchemy import select

from payadmin.actions.support.scope import MOVED_ON, is_manager, person, ticket_for
from payadmin.actions.support.words import add_message, plain_body, plain_subject
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.links import new_nonce
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer
from payadmin.models.payments import Payment
from payadmin.models.support import (
    TARGETS,
    MessageKind,
    SupportTeam,
    Ticket,
    TicketChannel,
    TicketPriority,
    TicketStatus,
)
from payadmin.permissions import Permission
from payadmin.queries.support import managers, members_of, team_of, verified_until
from payadmin.work import Work, use_case

WRITE: Final = Permission.SUPPORT_TICKET_WRITE
S = TicketStatus

# The shortest way to the end from each state, for a ticket that goes on as another.
_TO_THE_END: Final = {
    S.OPEN: (S.CLOSED,),
    S.IN_PROGRESS: (S.RESOLVED, S.CLOSED),
    S.WAITING_CUSTOMER: (S.RESOLVED, S.CLOSED),
    S.RESOLVED: (S.CLOSED,),
    S.REOPENED: (S.IN_PROGRESS, S.RESOLVED, S.CLOSED),
}


@use_case(WRITE)
def open_ticket(
    work: Work,
    customer_id: int,
    *,
    channel: TicketChannel,
    subject: str,
    body: str,
    priority: TicketPriority = TicketPriority.NORMAL,
    team_id: int | None = None,
    payment: str = "",
    key: str,
) -> int:
    """Open a ticket for a customer; its id. The same `key` of the same person opens it once.

    Whether the customer has said the codeword to the actor within the last minutes is kept with it (K-81).

    Args:
        subject: one line, at most 200 characters; card numbers in it and in the body are masked.
        body: what the customer wants, in their words.
        team_id: whose ticket it is; an SCC's is always their own team's.
        payment: the transaction ID or invoice number of a payment of this customer.
        key: made when the form was shown.

    Raises:
        NotFound: no such customer.
        Invalid: a value makes no sense, at its field.
        Conflict: an SCC who is in no team.
    """
    staff_id = person(work)
    customer = work.get(Customer, customer_id, lock=True)
    hashed = hashlib.sha256(f"{staff_id}:{key}".encode()).hexdigest()
    already: Ticket | None = work.one(select(Ticket).where(Ticket.key == hashed))
    if already is not None:
        return already.id
    ticket = work.add(
        Ticket(
            number=new_nonce(),  # until it has an id
            customer_id=customer.id,
            channel=channel,
            subject=plain_subject(subject),
            priority=priority,
            team_id=_team_for(work, team_id),
            payment_id=_payment_of(work, customer.id, payment),
            codeword_verified=verified_until(work.session, staff_id, customer.id, work.now) is not None,
            due_at=work.now + TARGETS[priority],
            created_at=work.now,
            key=hashed,
        )
    )
    ticket.number = f"T-{ticket.id:06}"
    message = add_message(work, ticket, MessageKind.CUSTOMER, plain_body(body), came_by=channel)
    after: dict[str, object] = {
        "channel": channel,
        "priority": priority,
        "team_id": ticket.team_id,
        "status": ticket.status,
    }
    after |= {"codeword_verified": ticket.codeword_verified}
    work.record(Event.SUPPORT_TICKET_OPENED, ticket, after=after, also=(message,), **keys(ticket))
    return ticket.id


@use_case(WRITE, about=Ticket)
def move_ticket(work: Work, ticket_id: int, *, status: TicketStatus, version: int) -> TicketStatus:
    """Bring a ticket into another state: the clock stops while the customer is waited for, and goes on afterwards.

    A ticket that is reopened has its whole time again.

    Raises:
        NotFound: no such ticket for the actor.
        Conflict: it cannot go there from where it is, or somebody else changed it meanwhile.
    """
    ticket = ticket_for(work, ticket_id, version=version)
    before = ticket.status
    advance(work, ticket, status)
    work.record(
        Event.SUPPORT_TICKET_MOVED,
        work.get(Ticket, ticket_id),
        before={"status": before},
        after={"status": status},
        **keys(ticket),
    )
    return status


@use_case(WRITE, about=Ticket)
def rank_ticket(work: Work, ticket_id: int, *, priority: TicketPriority, version: int) -> None:
    """Give a ticket another priority: it is due as if it had had it from the beginning; the same again is nothing.

    Raises:
        NotFound: no such ticket for the actor.
        Conflict: it is closed, or somebody else changed it meanwhile.
    """
    ticket = ticket_for(work, ticket_id, version=version)
    _still_open(ticket)
    before, due_at = ticket.priority, ticket.due_at
    if before is priority:
        return
    moved = due_at + TARGETS[priority] - TARGETS[before]
    _change(work, ticket, priority=priority, due_at=moved)
    work.record(
        Event.SUPPORT_TICKET_RANKED,
        work.get(Ticket, ticket_id),
        before={"priority": before, "due_at": due_at},
        after={"priority": priority, "due_at": moved},
        **keys(ticket),
    )


@use_case(WRITE, about=Ticket)
def assign_ticket(work: Work, ticket_id: int, *, team_id: int | None, assignee_id: int | None, version: int) -> None:
    """Say whose ticket it is: a team, and of it (or of the managers) one person. The same again changes nothing.

    Managers give it to any team; an SCC passes it on within the team, or back to nobody.

    Raises:
        NotFound: no such ticket for the actor.
        Invalid: the team is not the actor's to give it to, or the person is not in it; `field` says which.
        Conflict: it is closed, or somebody else changed it meanwhile.
    """
    ticket = ticket_for(work, ticket_id, version=version)
    _still_open(ticket)
    before: dict[str, object] = {"team_id": ticket.team_id, "assignee_id": ticket.assignee_id}
    after: dict[str, object] = {"team_id": team_id, "assignee_id": assignee_id}
    if before == after:
        return
    if team_id != ticket.team_id:
        if not is_manager(work):
            raise Invalid("Only a support manager gives a ticket to another team.", field="team_id")
        _team_for(work, team_id)
    if assignee_id is not None:
        able = [] if team_id is None else [each.id for each in members_of(work.session, team_id)]
        able += [each.id for each in managers(work.session)]
        if assignee_id not in able:
            raise Invalid("Choose somebody of the ticket's team, or a support manager.", field="assignee_id")
    _change(work, ticket, team_id=team_id, assignee_id=assignee_id)
    changed = [key for key in after if before[key] != after[key]]
    work.record(
        Event.SUPPORT_TICKET_ASSIGNED,
        work.get(Ticket, ticket_id),
        before={key: before[key] for key in changed},
        after={key: after[key] for key in changed},
        **keys(ticket),
    )


@use_case(WRITE, about=Ticket)
def link_payment(work: Work, ticket_id: int, *, payment: str, version: int) -> None:
    """Say which payment a ticket is about; an empty text takes the link away.

    Args:
        payment: the transaction ID or invoice number of a payment of the ticket's customer.

    Raises:
        NotFound: no such ticket for the actor.
        Invalid: this customer has no such payment; `field` is "payment".
        Conflict: it is closed, or somebody else changed it meanwhile.
    """
    ticket = ticket_for(work, ticket_id, version=version)
    _still_open(ticket)
    before, after = ticket.payment_id, _payment_of(work, ticket.customer_id, payment)
    if before == after:
        return
    _change(work, ticket, payment_id=after)
    work.record(
        Event.SUPPORT_TICKET_LINKED,
        work.get(Ticket, ticket_id),
        before={"payment_id": before},
        after={"payment_id": after},
        **keys(ticket),
    )


@use_case(WRITE, about=Ticket)
def merge_ticket(work: Work, ticket_id: int, *, into: str, version: int) -> int:
    """Have a ticket go on as another one of the same customer; the id of that one. There is no way back.

    The ticket is closed; its messages and files are read with the other's, and mails to it go there. Tickets that were
    merged into it before go along.

    Args:
        into: the number of the ticket that goes on.

    Raises:
        NotFound: no such ticket for the actor.
        Invalid: there is no such other ticket that the actor sees; `field` is "into".
        Conflict: one of the two is closed, they belong to two customers, or somebody else changed it meanwhile.
    """
    number = into.strip().upper()
    target_id = work.session.scalar(select(Ticket.id).where(Ticket.number == number))
    # Both are held in one order, so that two who merge the same two crosswise do not wait for each other for ever.
    held: dict[int, Ticket] = {}
    for row_id in sorted({ticket_id, *([target_id] if target_id else [])}):
        try:
            held[row_id] = ticket_for(work, row_id, version=version if row_id == ticket_id else None)
        except NotFound:
            if row_id == ticket_id:
                raise
    if target_id is None or target_id not in held:
        raise Invalid(_("There is no ticket %(number)s.", number=number or "–"), field="into")
    ticket, target = held[ticket_id], held[target_id]
    if target_id == ticket_id:
        raise Invalid("A ticket cannot be merged into itself.", field="into")
    if ticket.customer_id != target.customer_id:
        raise Conflict("Only tickets of the same customer can be merged.", field="into")
    _still_open(ticket)
    if target.status is S.CLOSED:
        raise Conflict("That ticket is closed. Merge into one that is not.", field="into")
    before = ticket.status
    for step in _TO_THE_END[before]:
        advance(work, work.get(Ticket, ticket_id), step)
    _change(work, work.get(Ticket, ticket_id), merged_into_id=target_id)
    for row_id in work.session.scalars(select(Ticket.id).where(Ticket.merged_into_id == ticket_id)).all():
        earlier = work.get(Ticket, row_id, lock=True)
        _change(work, earlier, merged_into_id=target_id)
        work.record(
            Event.SUPPORT_TICKET_MERGED, work.get(Ticket, row_id), after={"merged_into_id": target_id}, **keys(earlier)
        )
    merged = work.get(Ticket, ticket_id)
    work.record(
        Event.SUPPORT_TICKET_MERGED,
        merged,
        before={"status": before},
        after={"status": merged.status, "merged_into_id": target_id},
        **keys(merged),
    )
    work.record(Event.SUPPORT_TICKET_MERGED, target, after={"merged": merged.number}, **keys(target))
    return target_id


# ---- for the other acts of this room -------------------------------------------------------------------------------


def advance(work: Work, ticket: Ticket, status: TicketStatus) -> None:
    """One move of a held ticket, with what it means for the clock; the caller records it.

    Raises:
        Conflict: the ticket cannot go there from where it is.
    """
    if not Ticket.machine.allows(ticket.status, status):
        raise Conflict(
            _(
                "A ticket that is %(before)s cannot become %(after)s.",
                before=Text(ticket.status.value).lower(),
                after=Text(status.value).lower(),
            )
        )
    values: dict[str, Any] = {"status": status}
    if ticket.paused_at is not None:
        values |= {"due_at": ticket.due_at + max(work.now - ticket.paused_at, dt.timedelta()), "paused_at": None}
    if status is S.WAITING_CUSTOMER:
        values["paused_at"] = work.now
    elif status is S.RESOLVED:
        values["resolved_at"] = work.now
    elif status is S.REOPENED:
        values |= {"resolved_at": None, "due_at": work.now + TARGETS[ticket.priority]}
    _change(work, ticket, **values)


def keys(ticket: Ticket) -> dict[str, Any]:
    """By what the trail's entries about a ticket are found."""
    return {"ticket_number": ticket.number, "customer_id": ticket.customer_id}


def _change(work: Work, ticket: Ticket, **values: Any) -> None:
    if not work.change(Ticket, ticket.id, when=(Ticket.version == ticket.version,), **values):
        raise Conflict(MOVED_ON)
    work.session.refresh(ticket)


def _still_open(ticket: Ticket) -> None:
    if ticket.status is S.CLOSED:
        raise Conflict("This ticket is closed: nothing about it can be changed.")


def _team_for(work: Work, team_id: int | None) -> int | None:
    """The team of a ticket: an SCC's own, or the one that a manager chose."""
    if not is_manager(work):
        own: int | None = work.session.scalar(team_of(work.actor.staff_id))
        if own is None:
            raise Conflict("You are in no team yet. Ask your support manager to put you into one.")
        return own
    if team_id is not None and (not 0 < team_id < 2**63 or work.session.get(SupportTeam, team_id) is None):
        raise Invalid("Choose one of the teams.", field="team_id")
    return team_id


def _payment_of(work: Work, customer_id: int, reference: str) -> int | None:
    said = reference.strip()
    if not said:
        return None
    for column in (Payment.transaction_id, Payment.invoice_number):
        own = select(Payment.id).where(column == said, Payment.customer_id == customer_id).order_by(Payment.id)
        found: int | None = work.one(own)
        if found is not None:
            return found
    raise Invalid("This customer has no payment with this number.", field="payment")
