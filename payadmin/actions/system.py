"""The system's own work: try again what was given up, ring again what failed, note backups and how the machine is."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from payadmin import outbox
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict
from payadmin.models.outbox import OUTBOX_MACHINE, OutboxMessage, OutboxState
from payadmin.models.system import Backup, Sample, WebMinute
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

KEPT_DAYS = 30


@use_case(Permission.SYSTEM_MONITORING_WRITE, about=OutboxMessage)
def revive_message(work: Work, message_id: int, *, fence: int) -> None:
    """Let workers try once more what was given up. Its job finds out by itself what is already done.

    Args:
        fence: what the page showed of the message; it counts how often workers took it.

    Raises:
        NotFound: no such message.
        Conflict: it is no longer given up, or was taken and given up again since the page was loaded.
    """
    message = work.get(OutboxMessage, message_id, lock=True)
    revived = (
        update(OutboxMessage)
        .where(
            OutboxMessage.id == message_id,
            OutboxMessage.fence == fence,
            OutboxMessage.state.in_(OUTBOX_MACHINE.sources(OutboxState.DUE)),
            OutboxMessage.state == OutboxState.DEAD,
        )
        .values(state=OutboxState.DUE, due_at=outbox.database_now(work.session), failures=0)
    )
    if work.session.execute(revived.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Somebody else has seen to it already, or it was tried again since. Reload the page.")
    after: dict[str, object] = {"state": OutboxState.DUE, "job": message.job, "args": message.args}
    work.record(Event.SYSTEM_MESSAGE_REVIVED, message, before={"state": OutboxState.DEAD}, after=after)
    work.promised = True


@use_case(Permission.SYSTEM_MONITORING_WRITE)
def note_ring(work: Work, *, asked_for: str, again: bool) -> None:
    """Write down that somebody takes a failed job out of the queue, before it is taken.

    Args:
        asked_for: what the job asked for, as plain text.
        again: whether the workers are rung in its place.
    """
    work.record(Event.SYSTEM_DOORBELL_RUNG, asked_for=asked_for, again=again)
    work.promised = again


@use_case(Permission.SYSTEM_JOB_RUN)
def note_backup(work: Work, *, host: str, file: str, size: int, sha256: str, seconds: int, head: str) -> None:
    """Remember a backup that was written and read back, for Monitoring.

    Args:
        host: the machine where it was written.
        file: where it is.
        head: the newest seal of the trail in it.
    """
    backup = work.add(Backup(at=work.now, host=host, file=file, size=size, sha256=sha256, seconds=seconds, head=head))
    work.record(Event.SYSTEM_BACKUP_WRITTEN, backup, file=file, size=size, sha256=sha256)


@use_case(Permission.SYSTEM_JOB_RUN)
def note_restore(work: Work, *, file: str, made_at: str) -> None:
    """Write into the restored trail that it was restored, and from what: what happened since the backup is gone."""
    work.record(Event.SYSTEM_DATABASE_RESTORED, file=file, made_at=made_at)


@use_case(Permission.SYSTEM_JOB_RUN)
def keep_sample(work: Work, *, host: str, values: Mapping[str, int]) -> None:
    """Keep how a machine is doing in this minute; the first word of each minute counts. Old minutes are forgotten.

    Args:
        values: the columns of `Sample`.
    """
    minute = work.now.replace(second=0, microsecond=0)
    table: Any = Sample.__table__
    dialect = postgresql if work.session.get_bind().dialect.name == "postgresql" else sqlite
    row = dialect.insert(table).values(host=host, at=minute, **values).on_conflict_do_nothing()
    work.session.execute(row)
    oldest = work.now - dt.timedelta(days=KEPT_DAYS)
    for model in (Sample, WebMinute):
        work.session.execute(delete(model).where(model.at < oldest))


@use_case(Permission.SYSTEM_JOB_RUN)
def count_requests(
    work: Work, *, minute: dt.datetime, requests: int, errors: int, milliseconds: int, slowest: int
) -> None:
    """Add what one web process answered to its minute.

    Args:
        minute: which minute.
        errors: how many of the requests ended with a mistake of ours.
        milliseconds: how long all of them took together.
        slowest: the longest of them.
    """
    table: Any = WebMinute.__table__
    first = {"requests": requests, "errors": errors, "milliseconds": milliseconds, "slowest": slowest}
    dialect = postgresql if work.session.get_bind().dialect.name == "postgresql" else sqlite
    added = dialect.insert(table).values(at=minute, **first)
    longer = added.excluded.slowest > table.c.slowest
    work.session.execute(
        added.on_conflict_do_update(
            index_elements=[table.c.at],
            set_={
                **{name: table.c[name] + added.excluded[name] for name in ("requests", "errors", "milliseconds")},
                "slowest": case((longer, added.excluded.slowest), else_=table.c.slowest),
            },
        )
    )
