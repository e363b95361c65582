"""The system's own work in the hands of staff: try again what was given up, and ring again what failed."""

from sqlalchemy import update

from payadmin import outbox
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict
from payadmin.models.outbox import OUTBOX_MACHINE, OutboxMessage, OutboxState
from payadmin.permissions import Permission
from payadmin.work import Work, use_case


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
