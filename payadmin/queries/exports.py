"""Questions about exports that every tick asks."""

import datetime as dt

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin.models.exports import Export, ExportSchedule, ExportStatus, ScheduleStatus


def due_exports(session: Session, now: dt.datetime) -> tuple[bool, bool]:
    """Whether any schedule is due, and whether any file's time is over."""
    schedule = select(ExportSchedule.id).where(
        ExportSchedule.status == ScheduleStatus.ACTIVE, ExportSchedule.next_at <= now
    )
    file = select(Export.id).where(Export.status == ExportStatus.READY, Export.expires_at <= now)
    due, over = session.execute(select(schedule.exists(), file.exists())).one()
    return bool(due), bool(over)
