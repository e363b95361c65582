"""What the pages of support share: who a customer is, for those who may know just now, and people who take tickets."""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flask import url_for
from sqlalchemy import select

from payadmin.db import db, utcnow
from payadmin.kernel import masks
from payadmin.kernel.errors import Forbidden
from payadmin.models.parties import Customer
from payadmin.models.support import Ticket
from payadmin.models.system import Reveal
from payadmin.permissions import Permission
from payadmin.queries.support import managers, members_of, teams, verified_until, visible_to
from payadmin.views.columns import masks_personal_data
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

WRITE: Final = Permission.SUPPORT_TICKET_WRITE


@dataclass(frozen=True)
class Client:
    """A customer as the reader sees them: by their letters, or masked.

    Attributes:
        verified_until: until when they are shown because the customer said the codeword to the reader.
        revealed_until: until when they are shown because the reader gave a reason.
    """

    id: int
    external_id: str
    name: str
    username: str
    email: str
    phone: str
    has_codeword: bool
    verified_until: dt.datetime | None = None
    revealed_until: dt.datetime | None = None

    @property
    def is_shown(self) -> bool:
        """Whether nothing of it is masked just now."""
        return not masks_personal_data() or self.verified_until is not None or self.revealed_until is not None

    @property
    def seconds(self) -> int:
        """How long it is still shown because of a reason."""
        return max(0, int((self.revealed_until - utcnow()).total_seconds())) if self.revealed_until else 0

    @property
    def verified_seconds(self) -> int:
        """How long it is still shown because of the codeword."""
        return max(0, int((self.verified_until - utcnow()).total_seconds())) if self.verified_until else 0

    @property
    def url(self) -> str:
        """The page of the customer."""
        return url_for("clients.show", customer_id=self.id)


def client_of(customer: Customer, *, may_know: bool = True) -> Client:
    """A customer for the person signed in.

    Args:
        may_know: whether a codeword or a reveal counts here; lists are masked whatever was revealed.
    """
    staff_id, now = current_actor().staff_id, utcnow()
    verified = verified_until(db.session(), staff_id, customer.id, now) if may_know else None
    revealed = _revealed_until(staff_id, customer.id, now) if may_know else None
    hides = masks_personal_data() and verified is None and revealed is None

    def shown(mask: str, value: str | None) -> str:
        return masks.mask(mask, value) if hides and value else value or ""

    return Client(
        id=customer.id,
        external_id=customer.external_id,
        name=shown("name", customer.name),
        username=shown("name", customer.username),
        email=shown("email", customer.email),
        phone=shown("phone", customer.phone),
        has_codeword=customer.codeword_digest is not None,
        verified_until=verified,
        revealed_until=revealed,
    )


def _revealed_until(staff_id: int | None, customer_id: int, now: dt.datetime) -> dt.datetime | None:
    mine = (Reveal.staff_id == staff_id, Reveal.entity == Customer.__tablename__, Reveal.entity_id == customer_id)
    found = select(Reveal.until).where(*mine, Reveal.until > now).order_by(Reveal.until.desc())
    return db.session.scalar(found.limit(1))


def scope() -> "ColumnElement[bool]":
    """The condition of the tickets that the person signed in sees."""
    actor = current_actor()
    return visible_to(actor.staff_id, actor.roles)


def refuse_strangers(menu: str, permission: Permission) -> None:
    """Let nobody in whose role or menu does not include a page.

    Raises:
        Forbidden: one of the two does not.
    """
    actor = current_actor()
    if not actor.may(permission) or not actor.opens(menu):
        raise Forbidden("Your role does not include this page.")


def takers(ticket: Ticket) -> list[tuple[int, str]]:
    """Who can be given a ticket: its team, and the managers."""
    session = db.session()
    people = [] if ticket.team_id is None else list(members_of(session, ticket.team_id))
    found = {each.id: each.username for each in (*people, *managers(session))}
    return sorted(found.items(), key=lambda pair: pair[1])


def team_names() -> dict[int, str]:
    """The name of every team."""
    return {team.id: team.name for team in teams(db.session())}
