"""Notes: what staff write down for each other about a payment or another row. They are added, never changed."""

import hashlib
from typing import Any

from sqlalchemy import select

from payadmin.actions.payments.orders import add_event
from payadmin.audit import Event
from payadmin.kernel.errors import Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import NumberText, _
from payadmin.models.payments import Note, Payment
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

NOTE_LENGTH = 4_000
FOUND_BY = ("customer_id", "external_id", "subscription_id", "billing_number", "invoice_number", "transaction_id")


@use_case(Permission.PAYMENTS_NOTE_WRITE)
def add_note(work: Work, payment_id: int, *, body: str, key: str | None = None) -> Note:
    """Add a note to a payment; a full card number in it is masked. The same `key` adds it once.

    Args:
        body: 1 to 4,000 characters.
        key: made when the form was shown; None for a note that no form can post twice.

    Raises:
        NotFound: no such payment.
        Invalid: an empty or too long note, or one that no database can store.
    """
    payment = work.get(Payment, payment_id, lock=True)
    used_key = _hashed(key, str(payment.id))
    if (already := _written(work, used_key)) is not None:
        return already
    note = _add(work, body, used_key, payment_id=payment.id)
    add_event(work, payment, "Note added")
    work.record(
        Event.NOTE_ADDED,
        note,
        transaction_id=payment.transaction_id,
        invoice_number=payment.invoice_number,
        customer_id=payment.customer_id,
    )
    return note


@use_case(Permission.PAYMENTS_NOTE_WRITE)
def add_note_about(work: Work, row_id: int, *, model: type[Any], body: str, key: str | None = None) -> Note:
    """Add a note to a row of any other kind, such as a customer; otherwise as `add_note`.

    Args:
        row_id: the row, which the caller has checked that the actor may see.
        model: its mapped class.
        body: 1 to 4,000 characters.
        key: made when the form was shown; None for a note that no form can post twice.

    Raises:
        NotFound: no such row.
        Invalid: an empty or too long note, or one that no database can store.
    """
    row, table = work.get(model, row_id, lock=True), model.__tablename__
    used_key = _hashed(key, f"{table}:{row_id}")
    if (already := _written(work, used_key)) is not None:
        return already
    note = _add(work, body, used_key, entity=table, entity_id=row_id)
    # It stands in the history of what it is about, and is found by whatever that is found by.
    found_by: dict[str, Any] = {name: getattr(row, name, None) for name in FOUND_BY}
    work.record(Event.NOTE_ADDED, row, also=(note,), **found_by)
    return note


def _hashed(key: str | None, about: str) -> str | None:
    return hashlib.sha256(f"{about}:{key}".encode()).hexdigest() if key else None


def _written(work: Work, used_key: str | None) -> Note | None:
    """The note that this very form has added before."""
    found: Note | None = work.one(select(Note).where(Note.key == used_key)) if used_key else None
    return found


def _add(work: Work, body: str, used_key: str | None, **about: object) -> Note:
    text = body.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise Invalid("Write something.", field="body")
    if len(text) > NOTE_LENGTH:
        raise Invalid(
            _(
                "Keep the note within %(note_length)s characters; this one has %(number)s.",
                note_length=NumberText(NOTE_LENGTH),
                number=NumberText(len(text)),
            ),
            field="body",
        )
    if "\0" in text:
        raise Invalid("The note holds a character that cannot be stored. Type it again.", field="body")
    return work.add(
        Note(
            body=mask_pan_in_text(text),
            author=work.actor.name,
            author_id=work.actor.staff_id,
            key=used_key,
            created_at=work.now,
            **about,
        )
    )
