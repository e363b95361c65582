"""Notes on any page's rows: written by those who may, about rows that they see, and told in the row's history."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from payadmin.actions.payments import add_note_about
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.payments import Note
from payadmin.permissions import Permission, Role
from tests.support.make import Make


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def every() -> list[Note]:
    db.session.rollback()
    return db.session.query(Note).order_by(Note.id).all()


def key_of(page: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_a_note_about_a_customer_stands_on_its_page_and_in_its_history(operator: FlaskClient, make: Make) -> None:
    customer = make.customer()
    page = operator.get(f"/customers/{customer.id}/").text
    assert "No notes yet." in page
    posted = {"key": key_of(page), "body": "Calls on Fridays. Card 4111 1111 1111 1111"}
    for _ in range(2):
        answer = operator.post(f"/notes/customers/{customer.id}/", data=posted)
        assert (answer.status_code, answer.location) == (303, f"/customers/{customer.id}/")
    [note] = every()
    assert (note.entity, note.entity_id, note.payment_id) == ("customer", customer.id, None)
    page = operator.get(f"/customers/{customer.id}/").text
    assert "Calls on Fridays. Card 411111••••••1111" in page
    assert "Note added" in page
    entry = db.session.query(AuditEvent).filter_by(event="payments.note.added").one()
    assert (entry.entity, entry.entity_id) == ("customer", str(customer.id))


def test_each_row_has_its_own_notes(operator: FlaskClient, make: Make) -> None:
    one, other = make.customer(), make.customer()
    operator.post(f"/notes/customers/{one.id}/", data={"body": "About the first one", "key": "k" * 20})
    operator.post(f"/notes/customers/{other.id}/", data={"body": "About another", "key": "k" * 20})
    assert len(every()) == 2
    page = operator.get(f"/customers/{one.id}/").text
    assert ("About the first one" in page, "About another" in page) == (True, False)


@pytest.mark.parametrize("slug", ["subscriptions", "batches", "approvals", "organizations"])
def test_these_pages_take_notes_too(slug: str, app: Flask) -> None:
    with app.test_request_context():
        [view] = [each for each in app.extensions["admin"][0]._views if each.endpoint == slug]
    assert view.notes


def test_an_empty_note_is_refused_with_a_sentence(operator: FlaskClient, make: Make) -> None:
    customer = make.customer()
    assert operator.post(f"/notes/customers/{customer.id}/", data={"body": " "}).status_code == 303
    assert "Write something." in operator.get(f"/customers/{customer.id}/").text
    assert every() == []


def test_who_may_not_write_reads_only(make: Make) -> None:
    customer = make.customer()
    add_note_about(make.actor(), customer.id, model=Customer, body="For all of us")
    admin = make.browse(Role.ADMIN)
    page = admin.get(f"/customers/{customer.id}/").text
    assert "For all of us" in page
    assert 'name="body"' not in page
    assert admin.post(f"/notes/customers/{customer.id}/", data={"body": "Hello"}).status_code == 403
    actor = make.actor_without(Permission.PAYMENTS_NOTE_WRITE)
    with pytest.raises(Forbidden):
        add_note_about(actor, customer.id, model=Customer, body="Hello")
    assert len(every()) == 1


@pytest.mark.parametrize("address", ["customers/404", "no-such/1", "workers/1", "staff/1", "transactions/1"])
def test_there_is_nothing_to_write_about(address: str, operator: FlaskClient) -> None:
    assert operator.post(f"/notes/{address}/", data={"body": "Hello"}).status_code == 404
    assert every() == []


def test_notes_need_a_row_and_words(make: Make) -> None:
    with pytest.raises(NotFound):
        add_note_about(make.actor(), 404, model=Customer, body="Hello")
    with pytest.raises(Invalid):
        add_note_about(make.actor(), make.customer().id, model=Customer, body="\r\n")


@pytest.mark.parametrize("about", ["NULL, NULL, NULL", "{payment}, 'customer', 1", "NULL, 'customer', NULL"])
def test_the_database_itself_keeps_a_note_about_exactly_one_thing(about: str, make: Make) -> None:
    payment_id = make.payment().id
    values = about.format(payment=payment_id)
    statement = (
        "INSERT INTO note (payment_id, entity, entity_id, body, author, created_at, updated_at, version) "
        f"VALUES ({values}, 'x', 'x', '2026-01-01', '2026-01-01', 1)"
    )
    with pytest.raises(IntegrityError):
        db.session.execute(text(statement))
    db.session.rollback()
