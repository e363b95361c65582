"""Revealing the personal data of one record: for a reason, for a few minutes, for one person, in the trail."""

import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, inspect, select

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import _
from payadmin.models.system import Reveal
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

if TYPE_CHECKING:
    from sqlalchemy import Select

MINUTES = 5
MOST_AN_HOUR = 30
LONGEST_NOTE = 200
OTHER = _("Other")
REASONS = (
    _("The customer is calling"),
    _("Complaint or dispute"),
    _("Suspicion of fraud"),
    _("Legal or data request"),
    OTHER,
)
IDENTIFIERS = (
    "transaction_id",
    "invoice_number",
    "billing_number",
    "subscription_id",
    "external_id",
    "reference",
    "customer_id",
)


@use_case(Permission.PARTIES_PERSONAL_REVEAL)
def reveal_record(work: Work, row_id: int, /, *, scope: "Select[Any]", reason: str, note: str = "") -> dt.datetime:
    """Let the actor see the personal data of one record for five minutes; until when. Meanwhile, again is the same.

    Args:
        row_id: the record.
        scope: the rows that exist for the actor.
        reason: one of `REASONS`.
        note: a few words more; needed when the reason is "Other".

    Raises:
        Invalid: no known reason, or nothing said about another one.
        NotFound: no such row in `scope`.
        Conflict: the actor has revealed thirty records within an hour.
    """
    staff_id = _person(work)
    whole = _why(reason, note)
    row = _row(work, scope, row_id)
    entity = inspect(type(row)).local_table.name
    running: dt.datetime | None = work.one(_running(work, staff_id, entity, row_id).with_only_columns(Reveal.until))
    if running is not None:
        return running
    _refuse_too_many(work, staff_id)
    until = work.now + dt.timedelta(minutes=MINUTES)
    work.add(Reveal(staff_id=staff_id, entity=entity, entity_id=row_id, reason=whole, at=work.now, until=until))
    work.record(Event.RECORD_REVEALED, row, reason=whole, **_keys(row))
    return until


def note_reveal(work: Work, row: Any, *, reason: str, note: str = "") -> None:
    """Write down that a person looks at a secret of a record once, within the use case that shows it.

    Raises:
        Invalid: no known reason, or nothing said about another one.
        Conflict: the actor has revealed thirty records within an hour.
    """
    staff_id = _person(work)
    whole = _why(reason, note)
    _refuse_too_many(work, staff_id)
    entity = inspect(type(row)).local_table.name
    work.add(Reveal(staff_id=staff_id, entity=entity, entity_id=row.id, reason=whole, at=work.now, until=work.now))
    work.record(Event.RECORD_REVEALED, row, reason=whole, **_keys(row))


@use_case(Permission.PARTIES_PERSONAL_REVEAL)
def hide_record(work: Work, row_id: int, /, *, scope: "Select[Any]") -> None:
    """End the actor's own reveal of a record before its time; without one nothing changes."""
    staff_id = _person(work)
    row = _row(work, scope, row_id)
    found = work.session.scalars(_running(work, staff_id, inspect(type(row)).local_table.name, row_id)).all()
    for reveal in found:
        reveal.until = work.now
    if found:
        work.record(Event.RECORD_HIDDEN, row, **_keys(row))


def _why(reason: str, note: str) -> str:
    """What the trail says about why somebody needed to see it."""
    said = " ".join(note.split())
    if reason not in REASONS:
        raise Invalid("Choose a reason.", field="reason")
    if reason == OTHER and len(said) < 3:  # noqa: PLR2004 - "x" says nothing
        raise Invalid("Say why you need to see it.", field="note")
    if len(said) > LONGEST_NOTE:
        raise Invalid(_("At most %(most)s characters.", most=LONGEST_NOTE), field="note")
    return f"{reason}: {said}" if said else reason


def _refuse_too_many(work: Work, staff_id: int) -> None:
    hour = work.now - dt.timedelta(hours=1)
    lately = select(func.count()).where(Reveal.staff_id == staff_id, Reveal.at > hour)
    if (work.session.scalar(lately) or 0) >= MOST_AN_HOUR:
        raise Conflict(
            _(
                "You have revealed %(most)s records within an hour, which is the most. Wait, or ask somebody "
                "whose role sees personal data.",
                most=MOST_AN_HOUR,
            )
        )


def _person(work: Work) -> int:
    if work.actor.staff_id is None:
        raise Forbidden("Only a person can look at personal data.")
    return work.actor.staff_id


def _row(work: Work, scope: "Select[Any]", row_id: int) -> Any:
    model = scope.column_descriptions[0]["entity"]
    row = work.one(scope.where(model.id == row_id))
    if row is None:
        raise NotFound("There is no such record.")
    return row


def _running(work: Work, staff_id: int, entity: str, row_id: int) -> "Select[Any]":
    mine = (Reveal.staff_id == staff_id, Reveal.entity == entity, Reveal.entity_id == row_id)
    return select(Reveal).where(*mine, Reveal.until > work.now).order_by(Reveal.until.desc())


def _keys(row: Any) -> dict[str, Any]:
    """The identifiers by which staff will look for it."""
    return {key: value for key in IDENTIFIERS if (value := getattr(row, key, None)) is not None}
