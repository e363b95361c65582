"""Promised work: rows written in the transaction that made the promise, drained by workers. Redis only rings."""

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, utcnow
from payadmin.kernel.states import Machine


class OutboxState(StrEnum):
    DUE = "Due"
    RUNNING = "Running"
    DONE = "Done"
    DEAD = "Given up"


OUTBOX_MACHINE = Machine(
    initial=OutboxState.DUE,
    moves={
        OutboxState.DUE: frozenset({OutboxState.RUNNING}),
        # Claimed again when its worker's lease has run out; due again when the job failed or answered Later.
        OutboxState.RUNNING: frozenset({OutboxState.RUNNING, OutboxState.DUE, OutboxState.DONE, OutboxState.DEAD}),
        # Tried again when a person asks for it.
        OutboxState.DEAD: frozenset({OutboxState.DUE}),
    },
)


class OutboxMessage(Base):
    """One promise: a job's name and its arguments (ids and keys, never amounts).

    `fence` counts claims: a worker that comes back from the dead finds another fence and its word no longer counts.
    """

    __tablename__ = "outbox_message"
    __table_args__ = (
        Index(
            "ix_outbox_message_open",
            "due_at",
            "id",
            sqlite_where=text("state IN ('DUE', 'RUNNING')"),
            postgresql_where=text("state IN ('DUE', 'RUNNING')"),
        ),
        Index(
            "ix_outbox_message_dead",
            "id",
            sqlite_where=text("state = 'DEAD'"),
            postgresql_where=text("state = 'DEAD'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job: Mapped[str] = mapped_column(String(64))
    args: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[OutboxState] = enum_column(OutboxState, default=OutboxState.DUE)
    due_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    fence: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)


class Heartbeat(Base):
    """The last sign of life of a worker or scheduler."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
