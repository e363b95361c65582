"""The demo's support desk: a team, two customers with codewords that are no secret, and tickets in every state."""

import datetime as dt
from typing import Final

from sqlalchemy import select, update

from payadmin.actions import support
from payadmin.db import db, utcnow
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer
from payadmin.models.payments import Payment
from payadmin.models.support import SupportTeam, Ticket, TicketChannel, TicketPriority, TicketStatus
from payadmin.permissions import permissions_of
from payadmin.work import SYSTEM, Actor

TEAM: Final = "First line"
# Said by the demo's first two customers; written down in docs/support.md.
CODEWORDS: Final = ("blue heron", "quiet river")
S, P, C = TicketStatus, TicketPriority, TicketChannel
# What it is about, what the customer says, channel, priority, how old it is in hours.
TICKETS: Final = (
    ("Where is my refund?", "I was told three days ago that it is on its way.", C.PHONE, P.HIGH, 30),
    ("Charged twice for one order", "The same amount left my account on the same day.", C.EMAIL, P.URGENT, 9),
    ("Invoice with the wrong address", "Please send it again, with my new address.", C.WEB, P.NORMAL, 20),
    ("How do I stop my subscription?", "I no longer need it from next month on.", C.CHAT, P.LOW, 50),
    ("Card was declined", "It works everywhere else.", C.PHONE, P.NORMAL, 3),
    ("Card was declined again", "Still the same.", C.PHONE, P.NORMAL, 1),
    ("Thank you", "All is well now.", C.EMAIL, P.LOW, 90),
)

WHOSE: Final = (0, 1, 2, 0, 1, 1, 0)  # which of the first three customers each ticket is about


def load_support() -> None:
    """Add what is missing, after the demo's staff; a second time nothing. Without customers nothing."""
    people = {row.username: row for row in db.session.scalars(select(StaffUser).where(StaffUser.parent_id.is_(None)))}
    boss, agent = people.get("support"), people.get("agent")
    if boss is None or agent is None or db.session.scalar(select(Ticket.id).limit(1)) is not None:
        return
    manager, helper = _actor(boss), _actor(agent)
    customers = db.session.scalars(select(Customer.id).order_by(Customer.id).limit(3)).all()
    if len(customers) < len(CODEWORDS) + 1:
        return
    if agent.manager_id != manager.staff_id:
        return
    team_id = db.session.scalar(select(SupportTeam.id).where(SupportTeam.name == TEAM))
    team_id = team_id or support.make_team(manager, name=TEAM)
    support.put_into_team(manager, helper.staff_id or 0, team_id=team_id)
    for customer_id, word in zip(customers, CODEWORDS, strict=False):
        support.set_codeword(SYSTEM, customer_id, codeword=word, reason="Demo customer.")
    made = [_open(manager, customers[whose], team_id, place) for place, whose in enumerate(WHOSE)]
    refund, twice, invoice, stop, declined, again, thanks = made
    _link(manager, refund, customers[0])
    _give(manager, refund, team_id, agent.id)
    support.answer_ticket(helper, refund, body="We asked the bank and write as soon as it answers.", key="sample:1",
                          then=S.IN_PROGRESS)  # fmt: skip
    support.note_ticket(helper, refund, body="The bank says: by Friday.", key="sample:2")
    _give(manager, twice, team_id, None)
    _give(manager, invoice, team_id, agent.id)
    support.answer_ticket(helper, invoice, body="Which invoice is it? Please tell us its number.", key="sample:3")
    support.answer_ticket(manager, stop, body="It is stopped from next month on.", key="sample:4", then=S.RESOLVED)
    number = db.session.get_one(Ticket, declined).number
    support.merge_ticket(manager, again, into=number, version=_version(again))
    support.move_ticket(manager, thanks, status=S.CLOSED, version=_version(thanks))
    for ticket_id, (_subject, _body, _channel, _priority, hours) in zip(made, TICKETS, strict=True):
        _age(ticket_id, dt.timedelta(hours=hours))


def _actor(staff: StaffUser) -> Actor:
    return Actor(staff.id, staff.username, staff.roles, permissions_of(staff.roles))


def _open(actor: Actor, customer_id: int, team_id: int, place: int) -> int:
    subject, body, channel, priority, _hours = TICKETS[place]
    # The team sees all but one, which a manager has not given to anybody yet.
    team = None if place == len(TICKETS) - 3 else team_id
    return support.open_ticket(
        actor, customer_id, channel=channel, subject=subject, body=body, priority=priority, team_id=team,
        key=f"sample:{place}",
    )  # fmt: skip


def _link(actor: Actor, ticket_id: int, customer_id: int) -> None:
    payment = db.session.scalar(select(Payment.transaction_id).where(Payment.customer_id == customer_id).limit(1))
    if payment is not None:
        support.link_payment(actor, ticket_id, payment=payment, version=_version(ticket_id))


def _give(actor: Actor, ticket_id: int, team_id: int, assignee_id: int | None) -> None:
    version = _version(ticket_id)
    support.assign_ticket(actor, ticket_id, team_id=team_id, assignee_id=assignee_id, version=version)


def _version(ticket_id: int) -> int:
    return db.session.get_one(Ticket, ticket_id, populate_existing=True).version


def _age(ticket_id: int, by: dt.timedelta) -> None:
    """Let a ticket have begun some hours ago, so that the queue has something late in it."""
    db.session.rollback()
    row = db.session.get_one(Ticket, ticket_id, populate_existing=True)
    values = {"created_at": row.created_at - by, "due_at": row.due_at - by, "updated_at": utcnow()}
    db.session.rollback()
    db.session.connection(execution_options={"immediate": True})
    aged = update(Ticket).where(Ticket.id == ticket_id).values(**values)
    db.session.execute(aged.execution_options(explained=True, synchronize_session=False))
    db.session.commit()
