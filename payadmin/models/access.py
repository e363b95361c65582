"""Access: staff, their second factors and sessions, and what keeps a stranger from guessing their way in."""

import datetime as dt
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payadmin.db import Base, Json, enum_column, search_text, text_column, utcnow
from payadmin.kernel.states import Machine
from payadmin.models.base import Audited, Row
from payadmin.permissions import Permission, Role, permissions_of, within_menu

_SECRET = {"secret": True, "list": False}


class StaffStatus(StrEnum):
    """Where a staff account stands; only INVITED and ACTIVE accounts can sign in."""

    INVITED = "Invited"
    ACTIVE = "Active"
    LOCKED = "Locked"
    DISABLED = "Disabled"


STAFF_MACHINE = Machine(
    initial=StaffStatus.INVITED,
    moves={
        StaffStatus.INVITED: frozenset({StaffStatus.ACTIVE, StaffStatus.DISABLED}),
        StaffStatus.ACTIVE: frozenset({StaffStatus.LOCKED, StaffStatus.DISABLED}),
        StaffStatus.LOCKED: frozenset({StaffStatus.ACTIVE, StaffStatus.DISABLED}),
    },
)


class SessionEnd(StrEnum):
    """Why a session is over."""

    SIGNED_OUT = "Signed out"
    REVOKED = "Ended by the owner"
    ENDED_BY_MANAGER = "Ended by a manager"
    ACCOUNT_CHANGED = "Account changed"


class StaffUser(Row, Audited, Base):
    """A person who works here. Customers are `Customer`; the two never share a table."""

    __tablename__ = "staff_user"
    machine: ClassVar[Machine[StaffStatus]] = STAFF_MACHINE

    username: Mapped[str] = mapped_column(search_text(64), unique=True, info={"label": "User name", "search": True})
    full_name: Mapped[str] = mapped_column(
        search_text(120), index=True, info={"label": "Name", "search": True, "mask": "name"}
    )
    email: Mapped[str] = mapped_column(
        search_text(254), unique=True, info={"label": "E-mail", "search": True, "mask": "email"}
    )
    mobile: Mapped[str | None] = mapped_column(
        search_text(32), index=True, info={"label": "Mobile", "search": True, "mask": "phone"}
    )
    organization_id: Mapped[int | None] = mapped_column(
        ForeignKey("organization.id"), index=True, info={"label": "Organization"}
    )
    parent_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Created by", "readonly": True}
    )
    # An SCC works for one customer support manager, who alone manages the account beside those who manage everybody.
    manager_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Support manager", "list": False}
    )
    # The first account of the same human being; none for that first account itself. Approvals compare people.
    person_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Same person as", "readonly": True, "list": False}
    )
    status: Mapped[StaffStatus] = enum_column(
        StaffStatus, default=STAFF_MACHINE.initial, index=True, info={"label": "Status", "readonly": True}
    )
    # Empty means every menu entry of the roles; otherwise only the ticked ones (never more than the roles give).
    menu_access: Mapped[list[str]] = mapped_column(Json, default=list, info={"label": "Menu access", "list": False})
    password_hash: Mapped[str | None] = text_column(255, info=_SECRET)
    must_change_password: Mapped[bool] = mapped_column(default=True, info={"label": "Must change password"})
    password_expires_at: Mapped[dt.datetime | None] = mapped_column(info={"readonly": True, "list": False})
    # Every session carries the epoch it was opened in: raising it ends them all at once, on every web process.
    session_epoch: Mapped[int] = mapped_column(default=1, info=_SECRET)
    last_login_at: Mapped[dt.datetime | None] = mapped_column(info={"label": "Last sign-in", "readonly": True})
    # Empty: what the browser asks for, else the setting.
    language: Mapped[str | None] = text_column(8, info={"label": "Language", "list": False})

    role_rows: Mapped[list["StaffRole"]] = relationship(
        back_populates="staff", lazy="selectin", cascade="all, delete-orphan", order_by="StaffRole.id"
    )
    factor: Mapped["SecondFactor | None"] = relationship(back_populates="staff", lazy="select")

    __table_args__ = (
        Index("ix_staff_user_created_at_id", "created_at", "id"),
        CheckConstraint("username = lower(username)", name="username_lower"),
        CheckConstraint("session_epoch >= 1", name="session_epoch"),
    )

    @property
    def person(self) -> int:
        """Which human being this account belongs to: the same number for all accounts of one person."""
        return self.person_id or self.id

    @property
    def roles(self) -> frozenset[Role]:
        """The roles this person holds."""
        return frozenset(row.role for row in self.role_rows)

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the roles allow, less what Menu Access leaves unticked."""
        return within_menu(permissions_of(self.roles), self.menu_access)

    @property
    def may_sign_in(self) -> bool:
        """Whether the account's status lets its owner in."""
        return self.status in {StaffStatus.INVITED, StaffStatus.ACTIVE}

    def __str__(self) -> str:
        return self.username


class StaffRole(Row, Audited, Base):
    """One role of one person."""

    __tablename__ = "staff_user_role"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"))
    role: Mapped[Role] = enum_column(Role)

    staff: Mapped[StaffUser] = relationship(back_populates="role_rows")

    __table_args__ = (UniqueConstraint("staff_id", "role"),)

    def __str__(self) -> str:
        return str(self.role)


class SecondFactor(Row, Base):
    """The authenticator of one person, sealed to that person.

    It has a table of its own so that no page, export or form of `StaffUser` can ever carry it. `sealed` is the working
    secret; `sealed_pending` is one that was shown but not yet confirmed by a code.
    """

    __tablename__ = "second_factor"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), unique=True)
    sealed: Mapped[str | None] = text_column(255, info=_SECRET)
    sealed_pending: Mapped[str | None] = text_column(255, info=_SECRET)
    confirmed_at: Mapped[dt.datetime | None]
    # The 30-second step of the last accepted code, at sign-in or at step-up: a code at or before it is refused.
    last_step: Mapped[int] = mapped_column(default=0, info=_SECRET)

    staff: Mapped[StaffUser] = relationship(back_populates="factor")

    @property
    def is_confirmed(self) -> bool:
        """Whether the owner has proved to hold it."""
        return self.sealed is not None


class RecoveryCode(Row, Base):
    """One of ten single-use substitutes for the authenticator; only its hash is kept (80 random bits need no salt)."""

    __tablename__ = "recovery_code"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), index=True)
    code_hash: Mapped[str] = text_column(64, unique=True, info=_SECRET)
    used_at: Mapped[dt.datetime | None]


class PasswordMemory(Row, Base):
    """A password someone has had, so that the last four cannot come back."""

    __tablename__ = "password_history"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), index=True)
    password_hash: Mapped[str] = text_column(255, info=_SECRET)


class UserSession(Row, Base):
    """One signed-in browser. The cookie holds a random token; the table holds only its hash."""

    __tablename__ = "user_session"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"))
    token_hash: Mapped[str] = text_column(64, unique=True, info=_SECRET)
    epoch: Mapped[int] = mapped_column(info=_SECRET)
    ip: Mapped[str] = text_column(45, default="", info={"label": "Address"})
    agent: Mapped[str] = text_column(200, default="", info={"label": "Browser"})
    last_seen_at: Mapped[dt.datetime] = mapped_column(default=utcnow, info={"label": "Last seen"})
    ended_at: Mapped[dt.datetime | None] = mapped_column(info={"label": "Ended"})
    ended_because: Mapped[SessionEnd | None] = enum_column(SessionEnd, info={"label": "Ended because"})

    staff: Mapped[StaffUser] = relationship()

    __table_args__ = (Index("ix_user_session_open", "staff_id", postgresql_where=text("ended_at IS NULL")),)

    @property
    def browser(self) -> str:
        """A few words for the list of sessions: what the browser says of itself, never trusted for anything."""
        names = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
        systems = (
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        )
        name = next((word for mark, word in names if mark in self.agent), "Unknown browser")
        system = next((word for mark, word in systems if mark in self.agent), None)
        return f"{name} on {system}" if system else name

    def is_open(self, now: dt.datetime, *, idle: dt.timedelta, absolute: dt.timedelta) -> bool:
        """Whether the session may still be used: not ended, idle or too old, and of the account's present epoch."""
        return (
            self.ended_at is None
            and self.epoch == self.staff.session_epoch
            and self.staff.may_sign_in
            and now - self.last_seen_at <= idle
            and now - self.created_at <= absolute
        )


class LinkPurpose(StrEnum):
    """What a secret that was mailed is good for."""

    CREDENTIALS = "First or new password"
    PASSWORD = "Forgotten password"  # noqa: S105 - what a link is for
    OLD_ADDRESS = "Address change, old address"
    NEW_ADDRESS = "Address change, new address"


class EmailChange(Row, Base):
    """An address that its owner wants instead of the old one; it counts once both mailboxes have said yes."""

    __tablename__ = "email_change"
    __table_args__ = (
        # One wish at a time: a second one takes the first one's place.
        Index(
            "uq_email_change_open",
            "staff_id",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), index=True)
    new_email: Mapped[str] = text_column(254, info={"mask": "email"})
    expires_at: Mapped[dt.datetime]
    closed_at: Mapped[dt.datetime | None]


class AccountLink(Row, Base):
    """A secret that was mailed to somebody who works here, good for one thing, once, for a while.

    The secret is not kept: a link's token and a first password are made from the nonce with the application's key
    (`kernel/links.py`, `kernel/passwords.py`), and the mail gets it only while it is being sent.
    """

    __tablename__ = "account_link"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), index=True)
    purpose: Mapped[LinkPurpose] = enum_column(LinkPurpose)
    nonce: Mapped[str] = text_column(22, info=_SECRET)
    token_hash: Mapped[str] = text_column(64, unique=True, info=_SECRET)
    expires_at: Mapped[dt.datetime]
    used_at: Mapped[dt.datetime | None]
    ended_at: Mapped[dt.datetime | None]
    email_change_id: Mapped[int | None] = mapped_column(ForeignKey("email_change.id"), index=True)

    __table_args__ = (CheckConstraint("used_at IS NULL OR ended_at IS NULL", name="used_or_ended"),)

    def is_open(self, now: dt.datetime) -> bool:
        """Whether the secret still opens something."""
        return self.used_at is None and self.ended_at is None and now < self.expires_at


class LoginGuard(Row, Base):
    """How many tries a user name, or a user name on a known browser, has used up."""

    __tablename__ = "login_guard"

    key: Mapped[str] = text_column(64, unique=True, info=_SECRET)
    fails: Mapped[int] = mapped_column(default=0)
    until: Mapped[dt.datetime] = mapped_column(index=True)

    __table_args__ = (CheckConstraint("fails BETWEEN 0 AND 10", name="fails"),)


class SpentOffer(Row, Base):
    """A step-up offer that was used, so that it never is again."""

    __tablename__ = "spent_offer"

    nonce: Mapped[str] = text_column(64, unique=True, info=_SECRET)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), index=True)
    act: Mapped[str] = text_column(100)
