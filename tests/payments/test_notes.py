"""Notes: added once, masked, bounded, and told in the payment's history."""

import pytest
from sqlalchemy import func, select

from payadmin.actions.payments.notes import NOTE_LENGTH, add_note
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Note, PaymentEvent
from payadmin.permissions import Permission
from tests.support.make import Make


def notes() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Note)) or 0


def test_a_note_is_kept_with_its_author_and_told_in_the_history(make: Make) -> None:
    payment = make.payment()
    note = add_note(make.actor(name="alice"), payment.id, body="  Called back.\r\nAll <b>well</b>. ")
    assert (note.body, note.author, note.payment_id) == ("Called back.\nAll <b>well</b>.", "alice", payment.id)
    line = db.session.scalars(select(PaymentEvent)).one()
    assert (line.event, line.actor_name) == ("Note added", "alice")
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "payments.note.added")).one()
    assert (entry.entity, entry.keys["transaction_id"]) == ("note", payment.transaction_id)


def test_a_card_number_in_a_note_is_masked(make: Make) -> None:
    note = add_note(make.actor(), make.payment().id, body="Card 4111 1111 1111 1111 was declined")
    assert note.body == "Card 411111••••••1111 was declined"


def test_the_same_form_posted_again_adds_one_note(make: Make) -> None:
    one, other = make.payment().id, make.payment().id
    first = add_note(make.actor(), one, body="Once", key="form-1").id
    assert add_note(make.actor(), one, body="Once", key="form-1").id == first
    assert add_note(make.actor(), other, body="Once", key="form-1").id != first
    assert add_note(make.actor(), one, body="Once", key="x" * 5_000).id != first
    assert notes() == 3


@pytest.mark.parametrize("body", ["", " \r\n\t ", "x" * (NOTE_LENGTH + 1), "a\0b"])
def test_an_empty_too_long_or_unstorable_note_is_refused_at_the_field(make: Make, body: str) -> None:
    with pytest.raises(Invalid) as refusal:
        add_note(make.actor(), make.payment().id, body=body)
    assert refusal.value.field == "body"
    assert notes() == 0


def test_a_note_of_exactly_the_longest_length_is_kept(make: Make) -> None:
    assert len(add_note(make.actor(), make.payment().id, body="é" * NOTE_LENGTH).body) == NOTE_LENGTH


def test_notes_need_a_payment_and_the_right_to_write_them(make: Make) -> None:
    with pytest.raises(NotFound):
        add_note(make.actor(), 404, body="Hello")
    with pytest.raises(Forbidden):
        add_note(make.actor_without(Permission.PAYMENTS_NOTE_WRITE), make.payment().id, body="Hello")
    assert notes() == 0
