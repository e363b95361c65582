"""Exports: files that workers write, who may fetch them and until when, and the schedules that ask for them again."""

from payadmin.actions.exports.files import (
    Busy,
    Claimed,
    cancel_export,
    claim_export,
    deliver_export,
    discard_export,
    download_export,
    expire_exports,
    fail_export,
    files_in_use,
    may_fetch,
    note_progress,
    request_export,
)
from payadmin.actions.exports.schedules import (
    change_schedule,
    delete_schedule,
    pause_schedule,
    plan_exports,
    resume_schedule,
    save_schedule,
)

__all__ = [
    "Busy",
    "Claimed",
    "cancel_export",
    "change_schedule",
    "claim_export",
    "delete_schedule",
    "deliver_export",
    "discard_export",
    "download_export",
    "expire_exports",
    "fail_export",
    "files_in_use",
    "may_fetch",
    "note_progress",
    "pause_schedule",
    "plan_exports",
    "request_export",
    "resume_schedule",
    "save_schedule",
]
