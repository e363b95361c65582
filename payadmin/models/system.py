"""The system's own rows: runs of actions, what people prefer to see, are told by the bell, and see for a while."""

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, utcnow
from payadmin.kernel.states import Machine
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row
from payadmin.permissions import Role


class RunState(StrEnum):
    DRAFT = "Draft"
    QUEUED = "Queued"
    DONE = "Finished"


RUN_MACHINE = Machine(
    initial=RunState.DRAFT,
    # A finished run with rows left goes back into the queue when somebody asks to run again what is left.
    moves={
        # Finished with its confirmation: an act that does all its rows in one go.
        RunState.DRAFT: frozenset({RunState.QUEUED, RunState.DONE}),
        RunState.QUEUED: frozenset({RunState.DONE}),
        RunState.DONE: frozenset({RunState.QUEUED}),
    },
)


class ItemState(StrEnum):
    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Done"
    FAILED = "Failed"
    SKIPPED = "Left out"


ITEM_MACHINE = Machine(
    initial=ItemState.WAITING,
    moves={
        ItemState.WAITING: frozenset({ItemState.RUNNING, ItemState.SUCCEEDED, ItemState.SKIPPED}),
        ItemState.RUNNING: frozenset({ItemState.SUCCEEDED, ItemState.FAILED, ItemState.SKIPPED, ItemState.WAITING}),
        ItemState.FAILED: frozenset({ItemState.WAITING}),
    },
)


class ActionRun(Base):
    """One use of a row or bulk action: who chose what, with which answers. The token makes a repeated post harmless."""

    __tablename__ = "action_run"
    __table_args__ = (Index("ix_action_run_actor_id_id", "actor_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    token: Mapped[str] = mapped_column(String(64), unique=True)
    actor_id: Mapped[int] = mapped_column()
    actor_name: Mapped[str] = mapped_column(String(100))
    page: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    handler: Mapped[str] = mapped_column(String(80))
    state: Mapped[RunState] = enum_column(RunState, default=RunState.DRAFT)
    chosen: Mapped[str | None] = mapped_column(String(2000))
    total: Mapped[int] = mapped_column(default=0)
    answers: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    queued_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_name}"


class ActionItem(Base):
    """One row of a run's selection, frozen when the action was chosen, with its own answers and outcome."""

    __tablename__ = "action_item"
    __table_args__ = (
        UniqueConstraint("run_id", "row_id"),
        Index("ix_action_item_run_id_state_id", "run_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("action_run.id"))
    row_id: Mapped[int] = mapped_column()
    label: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[ItemState] = enum_column(ItemState, default=ItemState.WAITING)
    attempt: Mapped[int] = mapped_column(default=1)
    answers: Mapped[dict[str, Any] | None] = mapped_column(Json)
    sentence: Mapped[str | None] = mapped_column(String(300))
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    # The request that the row was filed as: what became of the row is then what became of that.
    approval_id: Mapped[int | None] = mapped_column(ForeignKey("approval_request.id"), index=True)


class PinKind(StrEnum):
    """How a saved view is shown among somebody's figures."""

    CARD = "Card"
    CHART = "Chart"


class UserPreference(Base):
    """What one person prefers: the columns of a list (or of one of its views), its first view, and which are pinned."""

    __tablename__ = "user_preference"
    __table_args__ = (UniqueConstraint("staff_id", "name"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    staff_id: Mapped[int] = mapped_column()
    name: Mapped[str] = mapped_column(String(80))
    value: Mapped[dict[str, Any]] = mapped_column(Json)


class Sample(Base):
    """What one machine and the database looked like in one minute; kept for thirty days.

    Shares are per mille, so that nothing is rounded into a float on the way.
    """

    __tablename__ = "monitor_sample"
    __table_args__ = (UniqueConstraint("host", "at"), Index("ix_monitor_sample_at_id", "at", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    host: Mapped[str] = mapped_column(String(60))
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    cpu: Mapped[int] = mapped_column()
    memory: Mapped[int] = mapped_column()
    disk: Mapped[int] = mapped_column()
    load: Mapped[int] = mapped_column()
    database_bytes: Mapped[int] = mapped_column()
    connections: Mapped[int] = mapped_column()
    waiting: Mapped[int] = mapped_column()
    overdue_seconds: Mapped[int] = mapped_column()


class WebMinute(Base):
    """How many requests all web processes together answered in one minute; kept for thirty days."""

    __tablename__ = "web_minute"

    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, primary_key=True)
    requests: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    milliseconds: Mapped[int] = mapped_column(default=0)
    slowest: Mapped[int] = mapped_column(default=0)


class Backup(Base):
    """One backup that was written and read back: where it is and what it should hold."""

    __tablename__ = "backup"
    __table_args__ = (Index("ix_backup_at_id", "at", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    host: Mapped[str] = mapped_column(String(60))
    file: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column()
    sha256: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[int] = mapped_column()
    head: Mapped[str] = mapped_column(String(100), default="")


class SavedView(Row, Audited, Base):
    """A list as somebody wants to see it again: filters, sort and columns under a name, for one list page.

    `query` is the canonical end of the list's address. With `shared_with` the view is offered to everybody who holds
    that role; `is_default` then makes it what they see first.
    """

    __tablename__ = "saved_view"
    __table_args__ = (
        UniqueConstraint("owner_id", "page", "name"),
        CheckConstraint("NOT is_default OR shared_with IS NOT NULL", name="default_of_a_role"),
        Index("ix_saved_view_page_shared_with", "page", "shared_with"),
        Index(
            "uq_saved_view_default",
            "page",
            "shared_with",
            unique=True,
            sqlite_where=text("is_default"),
            postgresql_where=text("is_default"),
        ),
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Owner"})
    page: Mapped[str] = mapped_column(String(64), info={"label": "Page"})
    name: Mapped[str] = mapped_column(String(60), info={"label": "Name"})
    query: Mapped[str] = mapped_column(String(2000), info={"label": "Address"})
    columns: Mapped[list[str] | None] = mapped_column(Json, info={"label": "Columns"})
    shared_with: Mapped[Role | None] = enum_column(Role, nullable=True, info={"label": "Shared with"})
    is_default: Mapped[bool] = mapped_column(default=False, info={"label": "What the role sees first"})

    owner: Mapped[StaffUser] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name


class Reveal(Base):
    """Leave to see the personal data of one record for a few minutes: who, why, until when."""

    __tablename__ = "reveal"
    __table_args__ = (
        Index("ix_reveal_staff_id_entity_entity_id", "staff_id", "entity", "entity_id"),
        Index("ix_reveal_staff_id_at", "staff_id", "at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"))
    entity: Mapped[str] = mapped_column(String(64))
    entity_id: Mapped[int] = mapped_column()
    reason: Mapped[str] = mapped_column(String(300))
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    until: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class NoticeKind(StrEnum):
    """What a notice is about; each has a picture and a tone of its own."""

    READY = "Ready"
    DONE = "Done"
    FAILED = "Failed"
    ATTENTION = "Needs attention"
    APPROVAL = "Approval"


class StaffNotice(Base):
    """Something one member of staff is told by the bell. `payadmin.notices.notify` writes it; the newest 200 are kept.

    `page` and `row_id` say where it leads: the details of that page's row, or the page itself.
    """

    __tablename__ = "staff_notice"
    __table_args__ = (
        UniqueConstraint("staff_id", "key"),
        Index("ix_staff_notice_staff_id_created_at_id", "staff_id", "created_at", "id"),
        Index(
            "ix_staff_notice_unread",
            "staff_id",
            sqlite_where=text("read_at IS NULL"),
            postgresql_where=text("read_at IS NULL"),
        ),
    )
    __title__ = "title"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, info={"label": "No."})
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "For", "list": False})
    kind: Mapped[NoticeKind] = enum_column(NoticeKind, info={"label": "Kind"})
    title: Mapped[str] = mapped_column(String(200), info={"label": "What happened"})
    page: Mapped[str | None] = mapped_column(String(64), info={"label": "Page", "list": False, "filter": False})
    row_id: Mapped[int | None] = mapped_column(info={"label": "Row", "list": False, "filter": False})
    key: Mapped[str | None] = mapped_column(String(120), info={"secret": True})
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "When"})
    read_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Read"})


class TranslationOverride(Row, Audited, Base):
    """What staff say instead of the catalogue, in one language. Going back to the catalogue keeps the row, empty."""

    __tablename__ = "translation_override"
    __table_args__ = (UniqueConstraint("language", "digest"),)
    __title__ = "language"

    language: Mapped[str] = mapped_column(String(8), info={"label": "Language"})
    # Keys are sentences and whole mails, too long for an index of PostgreSQL.
    digest: Mapped[str] = mapped_column(String(64), info={"list": False})
    key: Mapped[str] = mapped_column(Text, info={"label": "Key"})
    forms: Mapped[list[str] | None] = mapped_column(Json, info={"label": "Text"})
    # Rises with every change of any row, never used twice; processes compare the highest with the one they know.
    serial: Mapped[int] = mapped_column(unique=True)

    def __str__(self) -> str:
        return f"{self.key[:80]} ({self.language})"
