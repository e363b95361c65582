"""A support desk: two managers with a team each, an SCC in each team, and tickets of both."""

from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from payadmin.actions import support
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel import codewords
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer
from payadmin.models.support import Ticket, TicketChannel, TicketMessage, TicketPriority, TicketStatus
from payadmin.permissions import Role, permissions_of
from payadmin.work import Actor
from tests.support.make import Make, writing
from tests.support.signin import make_staff

WORD = "Blue Heron 7"


@dataclass
class Care:
    """The desk, by what its people are called."""

    make: Make
    keys: tuple[bytes, ...]

    def person(self, *roles: Role, **values: Any) -> Actor:
        """A member of staff with an account, as they act."""
        writing()
        staff = make_staff(*roles, **values)
        return Actor(staff.id, staff.username, frozenset(roles), permissions_of(roles))

    def manager(self) -> Actor:
        return self.person(Role.SUPPORT_MANAGER)

    def agent(self, manager: Actor, team_id: int | None = None) -> Actor:
        """An SCC of a manager, in a team."""
        found = self.person(Role.SUPPORT_AGENT, manager_id=manager.staff_id)
        if team_id is not None:
            support.put_into_team(manager, found.staff_id, team_id=team_id)
        return found

    def customer(self, word: str | None = WORD, **values: Any) -> Customer:
        digest = codewords.digests(self.keys, word)[0] if word else None
        return self.make.customer(codeword_digest=digest, **values)

    def ticket(self, actor: Actor, customer: Customer | None = None, **values: Any) -> int:
        """An open ticket; without a customer, of a new one."""
        given = {"channel": TicketChannel.PHONE, "subject": "Where is my refund?", "body": "I wait for it."}
        given |= {"priority": TicketPriority.NORMAL, "key": f"k{next(self.make._number)}"} | values
        return support.open_ticket(actor, (customer or self.customer()).id, **given)

    def row(self, ticket_id: int) -> Ticket:
        db.session.rollback()
        return db.session.get_one(Ticket, ticket_id, populate_existing=True)

    def move(self, actor: Actor, ticket_id: int, status: TicketStatus) -> None:
        support.move_ticket(actor, ticket_id, status=status, version=self.row(ticket_id).version)

    def messages(self, ticket_id: int) -> list[TicketMessage]:
        db.session.rollback()
        wanted = select(TicketMessage).where(TicketMessage.ticket_id == ticket_id).order_by(TicketMessage.id)
        return list(db.session.scalars(wanted))

    def username(self, actor: Actor) -> str:
        return db.session.get_one(StaffUser, actor.staff_id).username


@pytest.fixture
def care(app: Flask, make: Make, settings: Settings) -> Care:
    return Care(make, settings.totp_keys)
