"""Exports that workers write: each file with its requester and its fate, and the schedules that ask for files again."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column
from payadmin.kernel.periods import Period, Rhythm
from payadmin.kernel.states import Machine
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row
from payadmin.models.payments import Mode


class FileKind(StrEnum):
    """What an export can be; the names in small letters are the endings of the files."""

    CSV = "CSV"
    XLSX = "Excel workbook"
    ODS = "OpenDocument sheet"
    JSON = "JSON"

    @property
    def ending(self) -> str:
        """What the file's name ends in."""
        return self.name.lower()


class ExportStatus(StrEnum):
    QUEUED = "Waiting"
    RUNNING = "Being written"
    READY = "Ready"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"


E = ExportStatus
EXPORT_MACHINE = Machine(
    initial=E.QUEUED,
    moves={
        E.QUEUED: frozenset({E.RUNNING, E.FAILED, E.CANCELLED}),
        # Claimed again when its worker died: the file is then started anew.
        E.RUNNING: frozenset({E.RUNNING, E.READY, E.FAILED, E.CANCELLED}),
        E.READY: frozenset({E.EXPIRED}),
    },
)


class ScheduleStatus(StrEnum):
    ACTIVE = "Active"
    PAUSED = "Paused"
    DELETED = "Deleted"


SCHEDULE_MACHINE = Machine(
    initial=ScheduleStatus.ACTIVE,
    moves={
        ScheduleStatus.ACTIVE: frozenset({ScheduleStatus.PAUSED, ScheduleStatus.DELETED}),
        ScheduleStatus.PAUSED: frozenset({ScheduleStatus.ACTIVE, ScheduleStatus.DELETED}),
    },
)


class ExportSchedule(Row, Audited, Base):
    """A list that is exported again and again, each time with the days that are past by then."""

    machine: ClassVar[Machine[ScheduleStatus]] = SCHEDULE_MACHINE

    __title__ = "title"
    __tablename__ = "export_schedule"
    __table_args__ = (
        CheckConstraint("at_minute BETWEEN 0 AND 1439", name="minute_of_a_day"),
        CheckConstraint("(rhythm = 'WEEKLY') = (weekday IS NOT NULL)", name="weekday_of_weekly"),
        CheckConstraint("weekday BETWEEN 1 AND 7", name="weekday_1_to_7"),
        CheckConstraint("(rhythm = 'MONTHLY') = (day IS NOT NULL)", name="day_of_monthly"),
        CheckConstraint("day BETWEEN 1 AND 28", name="day_1_to_28"),
        CheckConstraint("(period IS NULL) = (period_on IS NULL)", name="period_of_something"),
        Index("ix_export_schedule_status_next_at_id", "status", "next_at", "id"),
        Index("ix_export_schedule_owner_id_id", "owner_id", "id"),
    )

    title: Mapped[str] = mapped_column(String(120), info={"label": "Name"})
    owner_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Owner"})
    page: Mapped[str] = mapped_column(String(64), info={"label": "Page", "list": False})
    page_title: Mapped[str] = mapped_column(String(80), info={"label": "List"})
    kind: Mapped[FileKind] = enum_column(FileKind, info={"label": "File"})
    list_args: Mapped[str] = mapped_column(Text, info={"label": "Address", "list": False})
    criteria: Mapped[dict[str, str]] = mapped_column(Json, info={"label": "Criteria", "list": False})
    columns: Mapped[list[str]] = mapped_column(Json, info={"label": "Columns", "list": False})
    needs: Mapped[list[str]] = mapped_column(Json, info={"label": "Permissions", "list": False})
    mode: Mapped[Mode] = enum_column(Mode, info={"label": "Mode", "list": False})
    period_on: Mapped[str | None] = mapped_column(String(64), info={"label": "Days of", "list": False})
    period: Mapped[Period | None] = enum_column(Period, nullable=True, info={"label": "Days"})
    rhythm: Mapped[Rhythm] = enum_column(Rhythm, info={"label": "Every"})
    weekday: Mapped[int | None] = mapped_column(info={"label": "Weekday", "list": False})
    day: Mapped[int | None] = mapped_column(info={"label": "Day of the month", "list": False})
    at_minute: Mapped[int] = mapped_column(info={"label": "At", "list": False})
    status: Mapped[ScheduleStatus] = enum_column(
        ScheduleStatus, default=ScheduleStatus.ACTIVE, info={"label": "Status", "readonly": True}
    )
    next_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Next run", "readonly": True})
    reason: Mapped[str | None] = mapped_column(String(300), info={"label": "Why paused", "list": False})

    owner: Mapped[StaffUser] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.title


class ExportReader(Base):
    """Somebody else who is told of, and may fetch, the files of a schedule."""

    __tablename__ = "export_reader"
    __table_args__ = (UniqueConstraint("schedule_id", "staff_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    schedule_id: Mapped[int] = mapped_column(ForeignKey("export_schedule.id"))
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), index=True)


class Export(Row, Audited, Base):
    """One file: asked for, written by a worker with the requester's rights of that moment, fetched, deleted in time.

    `attempt` counts claims. A worker that was taken for dead finds another number here and its file is thrown away, so
    that no more than one file is ever served.
    """

    machine: ClassVar[Machine[ExportStatus]] = EXPORT_MACHINE

    __title__ = "name"
    __tablename__ = "export"
    __table_args__ = (
        CheckConstraint("rows_done >= 0", name="rows_not_negative"),
        CheckConstraint(
            "status <> 'READY' OR (file IS NOT NULL AND sha256 IS NOT NULL AND expires_at IS NOT NULL)",
            name="ready_has_a_file",
        ),
        CheckConstraint("(schedule_id IS NULL) = (due_on IS NULL)", name="due_on_of_schedule"),
        Index("uq_export_schedule_id_due_on", "schedule_id", "due_on", unique=True),
        Index("ix_export_created_at_id", "created_at", "id"),
        Index("ix_export_name", "name"),
        Index("ix_export_requester_id_created_at_id", "requester_id", "created_at", "id"),
        Index("ix_export_status_created_at_id", "status", "created_at", "id"),
        Index("ix_export_status_expires_at_id", "status", "expires_at", "id"),
    )

    requester_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Requested by"})
    page: Mapped[str] = mapped_column(String(64), info={"label": "Page", "list": False})
    page_title: Mapped[str] = mapped_column(String(80), info={"label": "List"})
    kind: Mapped[FileKind] = enum_column(FileKind, info={"label": "File"})
    list_args: Mapped[str] = mapped_column(Text, info={"label": "Address", "list": False})
    criteria: Mapped[dict[str, str]] = mapped_column(Json, info={"label": "Criteria", "list": False})
    columns: Mapped[list[str]] = mapped_column(Json, info={"label": "Columns", "list": False})
    needs: Mapped[list[str]] = mapped_column(Json, info={"label": "Permissions", "list": False})
    mode: Mapped[Mode] = enum_column(Mode, info={"label": "Mode", "list": False})
    schedule_id: Mapped[int | None] = mapped_column(
        ForeignKey("export_schedule.id"), info={"label": "Schedule", "list": False}
    )
    due_on: Mapped[dt.date | None] = mapped_column(info={"label": "Due on", "list": False, "filter": False})
    status: Mapped[ExportStatus] = enum_column(
        ExportStatus, default=E.QUEUED, info={"label": "Status", "readonly": True}
    )
    reason: Mapped[str | None] = mapped_column(String(300), info={"label": "Reason", "list": False})
    attempt: Mapped[int] = mapped_column(default=0, info={"label": "Attempts", "list": False})
    lease_until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"secret": True})
    rows_done: Mapped[int] = mapped_column(default=0, info={"label": "Rows written"})
    rows_total: Mapped[int | None] = mapped_column(info={"label": "Rows", "list": False})
    name: Mapped[str] = mapped_column(String(120), info={"label": "File name"})
    file: Mapped[str | None] = mapped_column(String(80), info={"secret": True})
    bytes: Mapped[int | None] = mapped_column(BigInteger, info={"label": "Size", "list": False})
    sha256: Mapped[str | None] = mapped_column(String(64), info={"label": "sha256", "list": False})
    is_personal: Mapped[bool] = mapped_column(default=False, info={"label": "Shows personal data", "list": False})
    started_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Started", "list": False})
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Finished", "list": False})
    expires_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Kept until", "list": False})
    downloads: Mapped[int] = mapped_column(default=0, info={"label": "Downloads", "list": False})

    requester: Mapped[StaffUser] = relationship(lazy="raise_on_sql")
    schedule: Mapped[ExportSchedule | None] = relationship(lazy="raise_on_sql")

    @property
    def is_open(self) -> bool:
        """Whether its end is still to come."""
        return is_open(self)

    def __str__(self) -> str:
        return self.name


def is_open(row: Any) -> bool:
    """Whether an export's end is still to come; reads only columns, so that lists can ask for plain rows."""
    return row.status in {E.QUEUED, E.RUNNING}
