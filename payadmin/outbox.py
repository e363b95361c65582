"""Promised work: a row in the transaction that needs it, drained by workers from the database.

Redis is only a doorbell. If it is down, flushed or slow, the rows are still there, and the scheduler's tick sees them.
"""

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from payadmin.db import utcnow
from payadmin.models.outbox import OUTBOX_MACHINE, OutboxMessage, OutboxState

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# A job finishes or answers Later well within its lease; a worker silent for longer is taken for dead.
LEASE = dt.timedelta(seconds=120)
BACKOFF_SECONDS = (2, 5, 15, 60, 300, 900, 3600, 3600, 3600, 3600)
DOORBELL = "payadmin.doorbell"


def promise(session: Session, job: str, args: dict[str, Any], *, after: dt.timedelta | None = None) -> OutboxMessage:
    """Add a promise to the session's transaction: `job` will run with `args` at least once, `after` a while."""
    message = OutboxMessage(job=job, args=args, due_at=utcnow() + (after or dt.timedelta()))
    session.add(message)
    return message


def ring() -> bool:
    """Tell the workers that there is something to do; whether they could be told. Never fails."""
    bell: Callable[[], None] | None = current_app.extensions.get(DOORBELL)
    if bell is None:
        return False
    try:
        bell()
    except Exception as error:  # noqa: BLE001 - whatever ails Redis must not touch the act that was just committed
        log.warning("the doorbell did not ring, the scheduler sees to it: %s", error)
        return False
    return True


def due(now: dt.datetime) -> Any:
    """The condition under which a message can be claimed: it is due, or its worker's lease has run out."""
    return OutboxMessage.state.in_(OUTBOX_MACHINE.sources(OutboxState.RUNNING)) & (OutboxMessage.due_at <= now)


def database_now(session: Session) -> dt.datetime:
    """The database's clock: leases of workers on several hosts must be measured by one clock."""
    if session.get_bind().dialect.name == "sqlite":
        return utcnow()
    found: dt.datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(dt.UTC)


def claim(session: Session, *, limit: int) -> list[OutboxMessage]:
    """Take up to `limit` due messages for `LEASE`; the caller commits before it works on them.

    A message whose lease ran out (its worker died or froze) is taken again, with the next fence.
    """
    now = database_now(session)
    rows = session.scalars(
        select(OutboxMessage)
        .where(due(now))
        .order_by(OutboxMessage.due_at, OutboxMessage.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.state = OutboxState.RUNNING
        row.fence += 1
        row.due_at = now + LEASE
    return list(rows)


def settle(session: Session, message_id: int, fence: int, **values: Any) -> bool:
    """Write the outcome of a claimed message unless another worker has taken it meanwhile."""
    statement = (
        update(OutboxMessage)
        .where(OutboxMessage.id == message_id, OutboxMessage.fence == fence, OutboxMessage.state == OutboxState.RUNNING)
        .values(**values)
    )
    return bool(session.execute(statement.execution_options(synchronize_session=False)).rowcount == 1)  # type: ignore[attr-defined]


def waiting(session: Session) -> bool:
    """Whether any message is due now."""
    return session.scalar(select(OutboxMessage.id).where(due(database_now(session))).limit(1)) is not None


def dead(session: Session) -> int:
    """How many messages were given up and wait for a person."""
    return session.scalar(select(func.count()).where(OutboxMessage.state == OutboxState.DEAD)) or 0
