"""Who sees which tickets, how customers are found, and what waits in the queue."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, extract, func, or_, select, true, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from payadmin.kernel.phones import spellings
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.models.parties import Customer, folded
from payadmin.models.support import (
    ACTIVE,
    CodewordTry,
    SupportMember,
    SupportTeam,
    Ticket,
    TicketFile,
    TicketMessage,
    TicketStatus,
)
from payadmin.permissions import Role

MOST_FOUND: Final = 20
SHORTEST_PREFIX: Final = 3
SHORTEST_PHONE: Final = 6
FIGURE_DAYS: Final = 30
MOST_READ: Final = 300

_LAST: Final = chr(0x10FFFF)
_TOO_LARGE: Final = 2**63

# ---- who sees what -------------------------------------------------------------------------------------------------


def visible_to(staff_id: int | None, roles: Iterable[Role]) -> ColumnElement[bool]:
    """The tickets that somebody sees: a support manager all requests (S3:166), an SCC those of their team (T25)."""
    if Role.SUPPORT_MANAGER in frozenset(roles):
        return true()
    return Ticket.team_id.in_(team_of(staff_id))


def team_of(staff_id: int | None) -> "Select[Any]":
    """The team of an SCC, as a statement; a membership counts only while the SCC works for the team's manager."""
    return (
        select(SupportMember.team_id)
        .join(SupportTeam, SupportTeam.id == SupportMember.team_id)
        .join(StaffUser, StaffUser.id == SupportMember.staff_id)
        .where(SupportMember.staff_id == staff_id, StaffUser.manager_id == SupportTeam.manager_id)
    )


def teams(session: Session, manager_id: int | None = None) -> Sequence[SupportTeam]:
    """Every team, or those of one manager, by name."""
    wanted = select(SupportTeam).order_by(SupportTeam.name)
    return session.scalars(wanted if manager_id is None else wanted.where(SupportTeam.manager_id == manager_id)).all()


def members_of(session: Session, team_id: int) -> Sequence[StaffUser]:
    """The SCC of a team who can work, by user name."""
    wanted = (
        select(StaffUser)
        .join(SupportMember, SupportMember.staff_id == StaffUser.id)
        .join(SupportTeam, SupportTeam.id == SupportMember.team_id)
        .where(
            SupportMember.team_id == team_id,
            StaffUser.manager_id == SupportTeam.manager_id,
            StaffUser.status == StaffStatus.ACTIVE,
        )
    )
    return session.scalars(wanted.order_by(StaffUser.username)).all()


def managers(session: Session) -> Sequence[StaffUser]:
    """Every customer support manager who can work, by user name."""
    holds = select(StaffRole.staff_id).where(StaffRole.role == Role.SUPPORT_MANAGER)
    wanted = select(StaffUser).where(StaffUser.id.in_(holds), StaffUser.status == StaffStatus.ACTIVE)
    return session.scalars(wanted.order_by(StaffUser.username)).all()


@dataclass(frozen=True)
class Agent:
    """An SCC of a manager, and the team they are in."""

    staff: StaffUser
    team_id: int | None


def agents_of(session: Session, manager_id: int | None) -> list[Agent]:
    """The SCC who work for a manager, by user name."""
    holds = select(StaffRole.staff_id).where(StaffRole.role == Role.SUPPORT_AGENT)
    wanted = (
        select(StaffUser, SupportTeam.id)
        .outerjoin(SupportMember, SupportMember.staff_id == StaffUser.id)
        .outerjoin(
            SupportTeam, and_(SupportTeam.id == SupportMember.team_id, SupportTeam.manager_id == StaffUser.manager_id)
        )
        .where(StaffUser.id.in_(holds), StaffUser.manager_id == manager_id)
        .order_by(StaffUser.username)
    )
    return [Agent(staff, team_id) for staff, team_id in session.execute(wanted)]


# ---- customers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clients:
    """Customers that a term finds, and whether there are more of them."""

    rows: Sequence[Customer]
    is_cut: bool


def find_customers(session: Session, term: str, *, country: str = "") -> Clients:
    """Customers by phone, e-mail, user name or Customer ID: the whole of it or its beginning (TK2).

    Args:
        term: what was typed; phones however they are written. Beginnings of less than three characters (of a phone six
            digits) find nothing: the rows are masked, and must not be guessed letter by letter.
        country: the calling code of phone numbers that say none.
    """
    words = " ".join(term.split())
    looks = list(_looks(words, country)) if words else []
    if not looks:
        return Clients((), is_cut=False)
    few = [look.limit(MOST_FOUND + 1).subquery() for look in looks]
    united = union(*(select(each.c.id) for each in few)).subquery()
    ids = session.scalars(select(united.c.id).limit(MOST_FOUND * len(few) + len(few))).all()
    rows = session.scalars(select(Customer).where(Customer.id.in_(ids)).order_by(Customer.name, Customer.id)).all()
    return Clients(rows[:MOST_FOUND], is_cut=len(rows) > MOST_FOUND)


def _looks(words: str, country: str) -> Iterable["Select[Any]"]:
    """One look-up through one index for each thing that the words may be."""
    for number in spellings(words, country):
        is_long = len(number.lstrip("+")) >= SHORTEST_PHONE
        yield _look(Customer.phone_key, number, begins=is_long)
    key = folded(words) or ""
    if "@" in key:
        yield _look(Customer.email_key, key, begins=len(key) >= SHORTEST_PREFIX)
        return
    if words.startswith("+"):
        return
    begins = len(key) >= SHORTEST_PREFIX
    yield _look(Customer.username_key, key, begins=begins)
    yield _look(Customer.email_key, key, begins=begins)
    yield select(Customer.id).where(Customer.external_id.in_({words, words.upper()}))


def _look(column: InstrumentedAttribute[Any], text: str, *, begins: bool) -> "Select[Any]":
    """A range of the index on both databases: it compares bytes."""
    if not begins:
        return select(Customer.id).where(column == text)
    return select(Customer.id).where(column >= text, column < text + _LAST).order_by(column)


def verified_until(session: Session, staff_id: int | None, customer_id: int, now: dt.datetime) -> dt.datetime | None:
    """Until when somebody may see who a customer is because the customer said the codeword; None: not now."""
    return session.scalar(
        select(func.max(CodewordTry.until)).where(
            CodewordTry.staff_id == staff_id, CodewordTry.customer_id == customer_id, CodewordTry.until > now
        )
    )


# ---- tickets -------------------------------------------------------------------------------------------------------


def family_of(session: Session, ticket_id: int) -> list[int]:
    """A ticket and those that were merged into it: their messages and files are read together."""
    return [
        ticket_id,
        *session.scalars(select(Ticket.id).where(Ticket.merged_into_id == ticket_id).order_by(Ticket.id)),
    ]


@dataclass(frozen=True)
class Messages:
    """What was written, the oldest first, and whether there is more before it."""

    rows: Sequence[TicketMessage]
    is_cut: bool


def messages_of(session: Session, family: Sequence[int], *, before: int | None = None) -> Messages:
    """What was written; of very much the latest, or what came before the message `before` of these tickets."""
    place = TicketMessage.created_at, TicketMessage.id
    wanted = select(TicketMessage).where(TicketMessage.ticket_id.in_(family))
    if before is not None:
        here = session.execute(
            select(*place).where(TicketMessage.id == before, TicketMessage.ticket_id.in_(family))
        ).first()
        if here is None:
            return Messages((), is_cut=False)
        wanted = wanted.where(tuple_(*place) < tuple_(*here))
    latest = session.scalars(wanted.order_by(*(each.desc() for each in place)).limit(MOST_READ + 1)).all()
    return Messages(latest[:MOST_READ][::-1], is_cut=len(latest) > MOST_READ)


def files_of(session: Session, family: Sequence[int]) -> dict[int, list[TicketFile]]:
    """The files of tickets, by their message."""
    found: dict[int, list[TicketFile]] = {}
    for file in session.scalars(select(TicketFile).where(TicketFile.ticket_id.in_(family)).order_by(TicketFile.id)):
        found.setdefault(file.message_id, []).append(file)
    return found


def living(session: Session, ticket_id: int) -> Ticket | None:
    """The ticket, or the one that goes on in its place; None where there is none."""
    ticket = session.get(Ticket, ticket_id) if 0 < ticket_id < _TOO_LARGE else None
    if ticket is None or ticket.merged_into_id is None:
        return ticket
    return session.get(Ticket, ticket.merged_into_id)


# ---- the queue -----------------------------------------------------------------------------------------------------

S = TicketStatus
# What a number of the queue counts, and what the list behind it shows: the same condition for both.
QUEUES: Final[Mapping[str, Callable[[dt.datetime], ColumnElement[bool]]]] = {
    "active": lambda _now: Ticket.status.in_(ACTIVE),
    "overdue": lambda now: and_(Ticket.status.in_(ACTIVE), Ticket.due_at < now),
    "unanswered": lambda _now: and_(Ticket.status.in_((*ACTIVE, S.WAITING_CUSTOMER)), ~_is_answered()),
    "unassigned": lambda _now: and_(Ticket.status.in_((*ACTIVE, S.WAITING_CUSTOMER)), Ticket.assignee_id.is_(None)),
    "answered": lambda _now: _is_answered(),
}


def _is_answered() -> ColumnElement[bool]:
    return Ticket.first_answered_at.is_not(None)


@dataclass(frozen=True)
class Queue:
    """What waits, in numbers; each is the length of a list."""

    new: int
    active: int
    waiting: int
    overdue: int
    unanswered: int
    unassigned: int


@dataclass(frozen=True)
class Load:
    """What one person has in hand."""

    staff_id: int
    username: str
    active: int
    overdue: int
    waiting: int


@dataclass(frozen=True)
class FirstAnswers:
    """How long customers waited for the first answer, of the tickets opened since a moment that have one."""

    tickets: int
    mean: dt.timedelta | None


def queue_of(session: Session, scope: ColumnElement[bool], now: dt.datetime) -> Queue:
    """The numbers of the queue, in one statement."""
    conditions = {
        "new": Ticket.status == S.OPEN,
        "waiting": Ticket.status == S.WAITING_CUSTOMER,
        **{name: QUEUES[name](now) for name in ("active", "overdue", "unanswered", "unassigned")},
    }
    counted = (func.count().filter(condition).label(name) for name, condition in conditions.items())
    row = session.execute(select(*counted).select_from(Ticket).where(scope, _in_queue())).one()
    return Queue(**{name: int(getattr(row, name)) for name in conditions})


def loads_of(session: Session, scope: ColumnElement[bool], now: dt.datetime) -> list[Load]:
    """What each person has in hand, by user name."""
    found = session.execute(
        select(
            StaffUser.id,
            StaffUser.username,
            func.count().filter(QUEUES["active"](now)),
            func.count().filter(QUEUES["overdue"](now)),
            func.count().filter(Ticket.status == S.WAITING_CUSTOMER),
        )
        .select_from(Ticket)
        .join(StaffUser, StaffUser.id == Ticket.assignee_id)
        .where(scope, _in_queue())
        .group_by(StaffUser.id, StaffUser.username)
        .order_by(StaffUser.username)
    )
    return [Load(*map(_plain, row)) for row in found]


def first_answers(session: Session, scope: ColumnElement[bool], since: dt.datetime) -> FirstAnswers:
    """How long the first answer took, on average, for the tickets opened since `since`."""
    seconds: Any = extract("epoch", Ticket.first_answered_at - Ticket.created_at)
    if session.get_bind().dialect.name == "sqlite":
        seconds = (func.julianday(Ticket.first_answered_at) - func.julianday(Ticket.created_at)) * 86_400
    row = session.execute(
        select(func.count(), func.avg(seconds)).where(scope, Ticket.created_at >= since, _is_answered())
    ).one()
    return FirstAnswers(int(row[0]), dt.timedelta(seconds=int(row[1])) if row[0] else None)


def _in_queue() -> ColumnElement[bool]:
    return or_(Ticket.status.in_(ACTIVE), Ticket.status == S.WAITING_CUSTOMER)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else int(value)
