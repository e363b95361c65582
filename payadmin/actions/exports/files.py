"""The life of one exported file: asked for, claimed by a worker, delivered or given up, fetched, deleted in time."""

import datetime as dt
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select, update

from payadmin import outbox
from payadmin.actions.exports.mails import tell_readers, tell_requester
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.errors import Conflict, Forbidden, NotFound
from payadmin.kernel.text import Text, _
from payadmin.models.exports import (
    Export,
    ExportReader,
    ExportSchedule,
    ExportStatus,
    FileKind,
    ScheduleStatus,
    is_open,
)
from payadmin.models.payments import Mode
from payadmin.models.system import NoticeKind
from payadmin.notices import notify
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

# A worker that says nothing for so long is taken for dead; it speaks about once a second.
LEASE: Final = dt.timedelta(seconds=60)
MOST_ATTEMPTS: Final = 5
MOST_OPEN: Final = 5
AT_ONCE: Final = 100
_INTERRUPTED: Final = _("It was interrupted five times. Export again, or narrow the list.")


@dataclass(frozen=True)
class Claimed:
    """Everything a worker needs to write one file, and the attempt that is its right to deliver it."""

    export_id: int
    attempt: int
    file: str
    requester_id: int
    page: str
    kind: FileKind
    list_args: str
    columns: Sequence[str]
    needs: frozenset[str]
    mode: Mode


@dataclass(frozen=True)
class Busy:
    """Another worker is writing the file; look again after `seconds`."""

    seconds: int


@use_case(Permission.EXPORTS_EXPORT_READ)
def request_export(
    work: Work,
    page: str,
    /,
    *,
    page_title: str,
    needs: Sequence[Permission],
    kind: FileKind,
    name: str,
    list_args: str,
    recorded: str,
    criteria: Mapping[str, str],
    columns: Sequence[str],
    scope: Sequence[str],
    mode: Mode,
    confirm: Callable[[Work], None],
) -> int:
    """Promise a file of a list; the new export's id.

    Args:
        page: the endpoint of the list's page; `page_title` is what people call it.
        needs: the permissions that reading and exporting the list take, now, when it is written and when it is fetched.
        name: what the file is called when it is fetched.
        list_args: the list's address after the question mark; `recorded` is the same with personal values masked, for
            the trail, and `criteria` says it in words.
        columns: the keys of the file's columns, in order.
        scope: what the page itself limits its rows to, for the trail.
        mode: live or test payments.
        confirm: called with the work in this transaction; it may refuse (step-up).

    Raises:
        Conflict: too many files of this person are still being written.
    """
    _require(work.actor, needs)
    confirm(work)
    if work.actor.staff_id is None:
        raise Forbidden("Only a person can ask for a file.")
    waiting = select(Export.id).where(
        Export.requester_id == work.actor.staff_id, Export.status.in_((ExportStatus.QUEUED, ExportStatus.RUNNING))
    )
    if len(work.session.scalars(waiting.limit(MOST_OPEN)).all()) >= MOST_OPEN:
        raise Conflict(
            _(
                "%(most_open)s of your exports are still being written. Wait for one to finish, or cancel one.",
                most_open=MOST_OPEN,
            )
        )
    export = work.add(
        Export(
            requester_id=work.actor.staff_id,
            page=page,
            page_title=page_title,
            needs=[str(permission) for permission in needs],
            kind=kind,
            name=name,
            list_args=list_args,
            criteria=dict(criteria),
            columns=list(columns),
            mode=mode,
        )
    )
    work.record(Event.EXPORT_REQUESTED, export, page=page, kind=kind.ending, filter=recorded, scope=scope,
                columns=columns)  # fmt: skip
    work.promise("write_export", export_id=export.id)
    return int(export.id)


@use_case(Permission.EXPORTS_EXPORT_READ, about=Export)
def cancel_export(work: Work, export_id: int, /) -> None:
    """Stop an export that is not finished; its worker notices within a second and throws the file away.

    Raises:
        NotFound: no such export, or somebody else's.
        Conflict: it has ended already.
    """
    export = _own(work, export_id)
    if not work.change(Export, export_id, status=ExportStatus.CANCELLED, done_at=work.now, lease_until=None):
        raise Conflict(
            _(
                "This export is %(status)s: nothing is left to cancel.",
                status=Text(work.get(Export, export_id).status.value).lower(),
            )
        )
    work.record(Event.EXPORT_CANCELLED, export, page=export.page)


@use_case(Permission.EXPORTS_EXPORT_READ, about=Export)
def discard_export(work: Work, export_id: int, /) -> str | None:
    """End a ready file's time now; the name of the file to delete.

    Raises:
        NotFound: no such export, or somebody else's.
        Conflict: there is no file.
    """
    export = _own(work, export_id)
    file = export.file
    if not work.change(Export, export_id, status=ExportStatus.EXPIRED, expires_at=work.now, file=None):
        raise Conflict("This export has no file to delete.")
    work.record(Event.EXPORT_EXPIRED, export, page=export.page, reason="Deleted before its time.")
    return file


@use_case(Permission.EXPORTS_EXPORT_READ, about=Export)
def download_export(work: Work, export_id: int, /) -> str:
    """Let the actor have the file, and write it down; the name of the file in its folder.

    What the list took must be allowed now, too, and a file with personal data is for those who may read them.

    Raises:
        NotFound: no such export, or it was made for others.
        Forbidden: a right was taken away since.
        Conflict: there is no file (yet, or any more).
    """
    export = _readable(work, export_id)
    if not may_fetch(work.actor, export):
        raise Forbidden("Your role no longer allows this list with these columns, so the file is not given out.")
    fetched = work.change(
        Export,
        export_id,
        when=[Export.status == ExportStatus.READY, Export.expires_at > work.now],
        downloads=Export.downloads + 1,
    )
    if not fetched:
        raise Conflict("There is no file to download: it is not ready yet, or its time is over.")
    export = work.get(Export, export_id)
    work.record(Event.EXPORT_DOWNLOADED, export, page=export.page, rows=export.rows_done, bytes=export.bytes,
                sha256=export.sha256)  # fmt: skip
    assert export.file is not None
    return export.file


def may_fetch(actor: Actor, export: Any) -> bool:
    """Whether the actor's rights of now cover what the file shows; reads only columns."""
    wanted = set(export.needs) | ({str(Permission.PARTIES_PERSONAL_READ)} if export.is_personal else set())
    return wanted <= {str(permission) for permission in actor.permissions}


# ---- workers -------------------------------------------------------------------------------------------------------


@use_case(Permission.SYSTEM_JOB_RUN, about=Export)
def claim_export(work: Work, export_id: int, /) -> Claimed | Busy | None:
    """Take an export in hand under a new file name; None when it has ended, Busy while a live worker has it."""
    export = work.get(Export, export_id)
    if not is_open(export):
        return None
    now = outbox.database_now(work.session)
    if export.lease_until is not None and export.lease_until > now:
        return Busy(int((export.lease_until - now).total_seconds()) + 1)
    if export.attempt >= MOST_ATTEMPTS:
        _end(work, export, _INTERRUPTED)
        return None
    file = f"{secrets.token_urlsafe(24)}.{export.kind.ending}"
    started = {"file": file, "started_at": work.now, "rows_done": 0, "rows_total": None}
    if not work.change(
        Export,
        export_id,
        when=[Export.attempt == export.attempt],
        status=ExportStatus.RUNNING,
        attempt=Export.attempt + 1,
        lease_until=now + LEASE,
        **started,
    ):
        return Busy(1)
    export = work.get(Export, export_id)
    work.record(Event.EXPORT_STARTED, export, page=export.page, attempt=export.attempt)
    return Claimed(
        export_id=export.id,
        attempt=export.attempt,
        file=file,
        requester_id=export.requester_id,
        page=export.page,
        kind=export.kind,
        list_args=export.list_args,
        columns=tuple(export.columns),
        needs=frozenset(export.needs),
        mode=export.mode,
    )


@use_case(Permission.SYSTEM_JOB_RUN)
def note_progress(work: Work, export_id: int, /, *, attempt: int, rows: int, total: int | None) -> bool:
    """Say how far the file is and renew the claim; False when it was cancelled or taken over, and is to be dropped."""
    lease = outbox.database_now(work.session) + LEASE
    statement = (
        update(Export)
        .where(Export.id == export_id, Export.attempt == attempt, Export.status == ExportStatus.RUNNING)
        .values(rows_done=rows, rows_total=total, lease_until=lease)
    )
    # How far it is says nothing that the trail would have to explain.
    result = work.session.execute(statement.execution_options(synchronize_session=False, explained=True))
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


@use_case(Permission.SYSTEM_JOB_RUN, about=Export)
def deliver_export(
    work: Work,
    export_id: int,
    /,
    *,
    attempt: int,
    rows: int,
    size: int,
    sha256: str,
    is_personal: bool,
    recorded: str,
    criteria: Mapping[str, str],
    scope: Sequence[str],
    settings: Settings,
) -> bool:
    """Offer the finished file; False when it was cancelled or another worker took over, and it is to be dropped.

    Args:
        is_personal: whether it shows personal data unmasked.
        recorded: the list's address as the trail may keep it.
        criteria: what the list was limited to, in words, with the days that it came to.
    """
    won = work.change(
        Export,
        export_id,
        when=[Export.attempt == attempt],
        status=ExportStatus.READY,
        rows_done=rows,
        rows_total=rows,
        bytes=size,
        sha256=sha256,
        is_personal=is_personal,
        criteria=dict(criteria),
        done_at=work.now,
        expires_at=work.now + dt.timedelta(days=settings.export_days),
        lease_until=None,
    )
    if not won:
        return False
    export = work.get(Export, export_id)
    work.record(Event.EXPORT_FINISHED, export, page=export.page, kind=export.kind.ending, filter=recorded,
                scope=scope, columns=export.columns, rows=rows, bytes=size, sha256=sha256)  # fmt: skip
    _ring(work, export, NoticeKind.READY, f"{export.name} is ready: {rows:,} rows of {export.page_title}.")
    if export.schedule_id is not None:
        tell_readers(work, export, settings)
    else:
        tell_requester(work, export, settings)
    return True


@use_case(Permission.SYSTEM_JOB_RUN, about=Export)
def fail_export(
    work: Work, export_id: int, /, *, attempt: int, reason: str, pause: bool = False, settings: Settings
) -> bool:
    """Give an export up and say why; False when it has ended otherwise meanwhile.

    Args:
        pause: the next run of its schedule would fail the same way, so the schedule waits until somebody resumes it.
    """
    export = work.get(Export, export_id)
    if export.attempt != attempt or not _end(work, export, reason):
        return False
    if export.schedule_id is None:
        tell_requester(work, work.get(Export, export_id), settings)
    else:
        tell_readers(work, work.get(Export, export_id), settings)
        if pause and work.change(
            ExportSchedule, export.schedule_id, status=ScheduleStatus.PAUSED, next_at=None, reason=reason[:300]
        ):
            schedule = work.get(ExportSchedule, export.schedule_id)
            work.record(Event.EXPORT_SCHEDULE_PAUSED, schedule, reason=reason)
    return True


@use_case(Permission.SYSTEM_JOB_RUN)
def expire_exports(work: Work) -> Collection[str]:
    """End the time of files that were kept long enough; the names of the files to delete."""
    old = work.session.scalars(
        select(Export)
        .where(Export.status == ExportStatus.READY, Export.expires_at <= work.now)
        .order_by(Export.expires_at)
        .limit(AT_ONCE)
    ).all()
    files = set()
    for export in old:
        file = export.file
        if work.change(Export, export.id, status=ExportStatus.EXPIRED, file=None):
            work.record(Event.EXPORT_EXPIRED, export, page=export.page)
            files.add(str(file))
    return files


@use_case(Permission.SYSTEM_JOB_RUN)
def files_in_use(work: Work) -> Collection[str]:
    """The names of all files that are being written or can still be fetched."""
    alive = Export.status.in_((ExportStatus.RUNNING, ExportStatus.READY))
    return {str(file) for file in work.session.scalars(select(Export.file).where(alive, Export.file.is_not(None)))}


# ---- parts ---------------------------------------------------------------------------------------------------------


def _end(work: Work, export: Export, reason: str) -> bool:
    failed = work.change(
        Export, export.id, status=ExportStatus.FAILED, reason=reason[:300], done_at=work.now, lease_until=None
    )
    if failed:
        work.record(Event.EXPORT_FAILED, export, outcome="failed", reason=reason, page=export.page)
        _ring(work, export, NoticeKind.FAILED, f"{export.name} could not be made: {reason}")
    return failed


def _ring(work: Work, export: Export, kind: NoticeKind, title: str) -> None:
    """Tell the requester by the bell, once for each end of each export."""
    key = f"export:{export.id}:{kind.name}"
    notify(work.session, export.requester_id, kind, title, page="exports", row_id=export.id, key=key)


def _require(actor: Actor, needs: Collection[Permission]) -> None:
    if not all(actor.may(permission) for permission in needs):
        raise Forbidden("Your role does not allow this.")


def _own(work: Work, export_id: int) -> Export:
    """An export of the actor's, or anybody's for those who manage them."""
    export = work.get(Export, export_id)
    if export.requester_id != work.actor.staff_id and not work.actor.may(Permission.EXPORTS_EXPORT_MANAGE):
        raise NotFound("There is no such export.")
    return export


def _readable(work: Work, export_id: int) -> Export:
    export = work.get(Export, export_id)
    told = work.exists(ExportReader.schedule_id == export.schedule_id, ExportReader.staff_id == work.actor.staff_id)
    return export if told else _own(work, export_id)
