"""The system's own rows: runs of row and bulk actions with their frozen selection, and what a person prefers to see."""

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, utcnow
from payadmin.kernel.states import Machine
from payadmin.models.base import Audited, Row


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


class UserPreference(Base):
    """What one person prefers on one page: the chosen columns of a list."""

    __tablename__ = "user_preference"
    __table_args__ = (UniqueConstraint("staff_id", "name"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    staff_id: Mapped[int] = mapped_column()
    name: Mapped[str] = mapped_column(String(80))
    value: Mapped[dict[str, Any]] = mapped_column(Json)


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
