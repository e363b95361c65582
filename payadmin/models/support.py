"""Customer support: tickets with their messages and files, teams, and tries to say a codeword (S3:156)."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payadmin.db import Base, UtcDateTime, enum_column, search_text, text_column
from payadmin.kernel.states import Machine
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row
from payadmin.models.parties import Customer
from payadmin.models.payments import Notification, Payment

SUBJECT_LENGTH: Final = 200
BODY_LENGTH: Final = 20_000
KEPT_LENGTH: Final = 100_100  # a mail's words, and what they leave out
TEAM_LENGTH: Final = 80
KEY_LENGTH: Final = 64

_SECRET = {"secret": True, "list": False}


class TicketChannel(StrEnum):
    """How a customer reached support."""

    PHONE = "Phone"
    EMAIL = "E-mail"
    WEB = "Web"
    CHAT = "Chat"


class TicketPriority(StrEnum):
    """How soon a ticket must be resolved: see `TARGETS`."""

    URGENT = "Urgent"
    HIGH = "High"
    NORMAL = "Normal"
    LOW = "Low"


# From the opening to the resolution, whatever the hour; waiting for the customer does not count.
TARGETS: Final = {
    TicketPriority.URGENT: dt.timedelta(hours=4),
    TicketPriority.HIGH: dt.timedelta(hours=24),
    TicketPriority.NORMAL: dt.timedelta(hours=72),
    TicketPriority.LOW: dt.timedelta(hours=168),
}


class TicketStatus(StrEnum):
    """Where a ticket stands (domain 6)."""

    OPEN = "New"
    IN_PROGRESS = "In progress"
    WAITING_CUSTOMER = "Waiting for the customer"
    RESOLVED = "Resolved"
    REOPENED = "Reopened"
    CLOSED = "Closed"


S = TicketStatus
TICKET_MACHINE: Machine[TicketStatus] = Machine(
    initial=S.OPEN,
    moves={
        S.OPEN: frozenset({S.IN_PROGRESS, S.RESOLVED, S.CLOSED}),
        S.IN_PROGRESS: frozenset({S.WAITING_CUSTOMER, S.RESOLVED}),
        S.WAITING_CUSTOMER: frozenset({S.IN_PROGRESS, S.RESOLVED}),
        S.RESOLVED: frozenset({S.CLOSED, S.REOPENED}),
        S.REOPENED: frozenset({S.IN_PROGRESS}),
    },
)
# What somebody here has to work on; the clock runs.
ACTIVE: Final = (S.OPEN, S.IN_PROGRESS, S.REOPENED)


class MessageKind(StrEnum):
    """Who wrote a message, and who reads it."""

    CUSTOMER = "From the customer"
    ANSWER = "Answer"
    NOTE = "Internal note"


class SupportTeam(Row, Audited, Base):
    """Some SCC of one customer support manager: they see the tickets of their team and no others (T25)."""

    __tablename__ = "support_team"
    __title__ = "name"
    __table_args__ = (Index("ix_support_team_manager_id", "manager_id"),)

    name: Mapped[str] = mapped_column(search_text(TEAM_LENGTH), unique=True, info={"label": "Team", "search": True})
    manager_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Support manager"})

    manager: Mapped[StaffUser] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name


class SupportMember(Row, Audited, Base):
    """An SCC in a team; nobody is in two. It counts only while the SCC works for the team's own manager."""

    __tablename__ = "support_member"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), unique=True, info={"label": "SCC"})
    team_id: Mapped[int] = mapped_column(ForeignKey("support_team.id"), index=True, info={"label": "Team"})

    def __str__(self) -> str:
        return _("SCC no. %(number)s", number=self.staff_id)


class CodewordTry(Row, Base):
    """One time that a codeword was compared: at most five in fifteen minutes for each customer (TK1).

    Attributes:
        is_right: whether it was the customer's codeword.
        until: for a right one, how long the staff user who asked may see who the customer is.
    """

    __tablename__ = "codeword_try"
    __table_args__ = (
        CheckConstraint("is_right OR until IS NULL", name="until_if_right"),
        Index("ix_codeword_try_customer_id_at", "customer_id", "at"),
        Index("ix_codeword_try_staff_id_customer_id_until", "staff_id", "customer_id", "until"),
    )

    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"))
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    is_right: Mapped[bool]
    until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)


class Ticket(Row, Audited, Base):
    """A customer's request for support.

    Attributes:
        team_id: whose SCC see it; without a team only managers do.
        due_at: when it must be resolved; moves on by as long as the customer was waited for.
        paused_at: since when the customer is waited for.
        merged_into_id: the ticket that goes on in its place.
        codeword_verified: whether the customer had said the codeword to whoever opened it.
        key: the form it was opened with, so that it is opened once.
    """

    machine: ClassVar[Machine[Any]] = TICKET_MACHINE

    __tablename__ = "ticket"
    __title__ = "number"
    __table_args__ = (
        CheckConstraint("(status = 'WAITING_CUSTOMER') = (paused_at IS NOT NULL)", name="paused_while_waiting"),
        CheckConstraint("merged_into_id IS NULL OR status = 'CLOSED'", name="merged_is_closed"),
        CheckConstraint("merged_into_id <> id", name="merged_into_another"),
        Index("ix_ticket_created_at_id", "created_at", "id"),
        Index("ix_ticket_due_at_id", "due_at", "id"),
        Index("ix_ticket_status_created_at_id", "status", "created_at", "id"),
        Index("ix_ticket_status_due_at_id", "status", "due_at", "id"),
        Index("ix_ticket_priority_created_at_id", "priority", "created_at", "id"),
        Index("ix_ticket_team_id_created_at_id", "team_id", "created_at", "id"),
        Index("ix_ticket_assignee_id_created_at_id", "assignee_id", "created_at", "id"),
        Index("ix_ticket_customer_id_created_at_id", "customer_id", "created_at", "id"),
        Index("ix_ticket_payment_id", "payment_id"),
        Index("ix_ticket_merged_into_id", "merged_into_id"),
    )

    number: Mapped[str] = mapped_column(
        search_text(24), unique=True, info={"label": "Ticket", "search": True, "readonly": True}
    )
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), info={"label": "Customer"})
    channel: Mapped[TicketChannel] = enum_column(TicketChannel, info={"label": "Channel"})
    subject: Mapped[str] = mapped_column(String(SUBJECT_LENGTH), info={"label": "Subject"})
    status: Mapped[TicketStatus] = enum_column(
        TicketStatus, default=TicketStatus.OPEN, info={"label": "Status", "readonly": True}
    )
    priority: Mapped[TicketPriority] = enum_column(
        TicketPriority, default=TicketPriority.NORMAL, info={"label": "Priority"}
    )
    team_id: Mapped[int | None] = mapped_column(ForeignKey("support_team.id"), info={"label": "Team"})
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Assignee"})
    payment_id: Mapped[int | None] = mapped_column(
        ForeignKey("payment.id"), info={"label": "Payment", "list": False, "filter": False}
    )
    merged_into_id: Mapped[int | None] = mapped_column(
        ForeignKey("ticket.id"), info={"label": "Merged into", "list": False, "filter": False}
    )
    codeword_verified: Mapped[bool] = mapped_column(default=False, info={"label": "Codeword", "list": False})
    due_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Due", "readonly": True})
    paused_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"list": False, "filter": False})
    first_answered_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "First answer", "list": False, "filter": False}
    )
    resolved_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Resolved", "list": False, "filter": False}
    )
    key: Mapped[str | None] = mapped_column(String(KEY_LENGTH), unique=True, info=_SECRET)

    customer: Mapped[Customer] = relationship(lazy="raise_on_sql")
    team: Mapped[SupportTeam | None] = relationship(lazy="raise_on_sql")
    assignee: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")
    payment: Mapped[Payment | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.number

    @property
    def is_active(self) -> bool:
        """Whether somebody here has to work on it."""
        return self.status in ACTIVE

    def is_overdue(self, now: dt.datetime) -> bool:
        """Whether it should have been resolved by now; never while the customer is waited for."""
        return self.is_active and self.due_at < now


class TicketMessage(Row, Audited, Base):
    """What was written about a ticket: by the customer, to the customer, or among staff. Added, never changed.

    Attributes:
        mail_key: for one that came by mail, the fingerprint of its Message-ID: a mail is added once.
        notification_id: for one that is mailed, the mail; its text is put in while it is sent and kept only here.
    """

    __tablename__ = "ticket_message"
    __table_args__ = (
        UniqueConstraint("ticket_id", "mail_key"),
        CheckConstraint("kind = 'ANSWER' OR notification_id IS NULL", name="only_answers_are_mailed"),
        Index("ix_ticket_message_ticket_id_id", "ticket_id", "id"),
        Index("ix_ticket_message_author_id", "author_id"),
        Index("uq_ticket_message_notification_id", "notification_id", unique=True),
    )

    ticket_id: Mapped[int] = mapped_column(ForeignKey("ticket.id"))
    kind: Mapped[MessageKind] = enum_column(MessageKind)
    author: Mapped[str] = text_column(100)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"))
    body: Mapped[str] = mapped_column(Text)
    came_by: Mapped[TicketChannel | None] = enum_column(TicketChannel)
    mail_key: Mapped[str | None] = mapped_column(String(64))
    notification_id: Mapped[int | None] = mapped_column(ForeignKey("notification.id"))
    key: Mapped[str | None] = mapped_column(String(KEY_LENGTH), unique=True, info=_SECRET)

    notification: Mapped[Notification | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Message no. %(number)s", number=self.id)


class TicketFile(Row, Audited, Base):
    """A file of a message: encrypted in the folder of kept files, under a name that says nothing.

    Attributes:
        name: what it is called when it is fetched.
        media_type: what its content is.
        stored: its random name in the folder, and the owner that its encryption is bound to.
        sha256: of the content as it came.
    """

    __tablename__ = "ticket_file"
    __table_args__ = (
        CheckConstraint("size > 0", name="not_empty"),
        Index("ix_ticket_file_ticket_id_id", "ticket_id", "id"),
        Index("ix_ticket_file_message_id", "message_id"),
    )

    ticket_id: Mapped[int] = mapped_column(ForeignKey("ticket.id"))
    message_id: Mapped[int] = mapped_column(ForeignKey("ticket_message.id"))
    name: Mapped[str] = text_column(200)
    media_type: Mapped[str] = text_column(40)
    size: Mapped[int]
    sha256: Mapped[str] = text_column(64)
    stored: Mapped[str] = text_column(64, unique=True, info=_SECRET)

    def __str__(self) -> str:
        return self.name
