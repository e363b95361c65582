"""Notes: what staff write down about a payment for each other. They are added, never changed."""

import hashlib

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
    used_key = key and hashlib.sha256(f"{payment.id}:{key}".encode()).hexdigest()
    if used_key:
        already: Note | None = work.one(select(Note).where(Note.key == used_key))
        if already is not None:
            return already
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
    note = work.add(
        Note(
            payment_id=payment.id,
            body=mask_pan_in_text(text),
            author=work.actor.name,
            author_id=work.actor.staff_id,
            key=used_key,
            created_at=work.now,
        )
    )
    add_event(work, payment, "Note added")
    work.record(
        Event.NOTE_ADDED,
        note,
        transaction_id=payment.transaction_id,
        invoice_number=payment.invoice_number,
        customer_id=payment.customer_id,
    )
    return note
