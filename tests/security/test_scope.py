"""Nothing beyond one's own: no field that a form does not show, no row of the other mode, no session of others."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from payadmin.db import db
from payadmin.models.access import UserSession
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage
from payadmin.models.parties import Customer, CustomerStatus
from payadmin.models.payments import Invoice, Mode, Note, Notification, Payment
from payadmin.models.system import ActionRun
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.signin import enter_as, make_staff

pytestmark = pytest.mark.usefixtures("no_csrf")
STUFFING = {
    "id": "999",
    "version": "77",
    "external_id": "C-STOLEN",
    "status": "BLOCKED",
    "notification_channels": '["sms"]',
    "created_at": "2001-01-01T00:00",
    "updated_at": "2001-01-01T00:00",
    "customer_id": "1",
    "mode": "TEST",
    "amount_minor": "1",
    "refunded_minor": "1",
}


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def test_a_form_changes_only_the_fields_it_shows(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(name="Ada")
    row_id, before = customer.id, (customer.external_id, customer.created_at, list(customer.notification_channels))
    shown = {"name": "Ada Byron", "kind": "INDIVIDUAL", "locale": "en", "seen_version": str(customer.version)}

    answer = operator.post(f"/customers/{row_id}/edit/", data=shown | STUFFING)

    assert answer.status_code == 302, answer.text
    db.session.rollback()
    kept = db.session.get_one(Customer, row_id)
    assert kept.name == "Ada Byron"
    assert (kept.external_id, kept.created_at, list(kept.notification_channels)) == before
    assert kept.status is CustomerStatus.ACTIVE
    assert kept.version != 77
    assert db.session.get(Customer, 999) is None
    for forged in ("0", "-1", "999", "", "1e3", "٣"):
        stale = operator.post(f"/customers/{row_id}/edit/", data=shown | {"seen_version": forged, "name": "Eve"})
        assert stale.status_code == 409, forged
    db.session.rollback()
    assert db.session.get_one(Customer, row_id).name == "Ada Byron"


def test_a_payment_has_no_form_and_no_delete_for_anybody(app: Flask, make: Make) -> None:
    payment = make.payment()
    admin = make.browse(*Role)
    for verb in ("edit", "delete"):
        assert admin.post(f"/transactions/{payment.id}/{verb}/", data=STUFFING).status_code == 403
    assert admin.post("/transactions/new/", data=STUFFING).status_code == 403
    assert admin.post(f"/customers/{payment.customer_id}/delete/").status_code == 403


def test_a_payment_of_the_other_mode_cannot_be_touched_by_any_address(operator: FlaskClient, make: Make) -> None:
    hidden = make.payment(mode=Mode.TEST)
    row_id, place = hidden.id, f"/transactions/{hidden.id}"
    for path in (
        "/",
        "/action/refund/",
        "/action/void/",
        "/action/invoices/",
        "/invoice/",
        "/progress/",
        "/subscription/",
    ):
        assert operator.get(place + path).status_code == 404, path
    form = {"reason": "DUPLICATE", "key": "k" * 20, "token": "t" * 20, "amount": "1", "body": "x", "code": "000000"}
    for path in ("/action/refund/", "/action/void/", "/action/invoices/", "/invoice/", "/notify/", "/notes/"):
        assert operator.post(place + path, data=form).status_code == 404, path
    chosen = operator.post("/transactions/action/", data={"action": "refund", "id": str(row_id)})
    assert chosen.status_code == 409
    archive = operator.post("/transactions/action/", data={"action": "invoices", "id": str(row_id)})
    assert archive.status_code == 422
    assert str(hidden.transaction_id) not in operator.get("/transactions/export/csv/").text
    db.session.rollback()
    for model in (Note, Notification, Invoice, ActionRun, OutboxMessage):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0
    assert db.session.get_one(Payment, row_id).in_flight is None


def test_switching_the_mode_after_choosing_takes_the_rows_out_of_the_run(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    chosen = operator.post("/transactions/action/", data={"action": "refund", "id": str(payment.id)})
    operator.post("/mode", data={"mode": "TEST"})
    answer = operator.post(chosen.location, data={"reason": "DUPLICATE", f"r{payment.id}-amount": "1.00"})
    assert answer.status_code == 422
    assert "no longer see it" in answer.text
    assert db.session.scalar(select(func.count()).select_from(OutboxMessage)) == 0


def test_a_session_of_somebody_else_is_not_mine_to_end(app: Flask, operator: FlaskClient) -> None:
    other = make_staff(Role.PAYMENTS_OPERATOR).id
    theirs = enter_as(app, other)
    session_id = db.session.scalars(select(UserSession.id).where(UserSession.staff_id == other)).one()
    assert operator.post(f"/account/sessions/{session_id}/end").status_code == 404
    assert theirs.get("/account/").status_code == 200


def test_reading_writes_nothing(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    operator.get("/account/")  # the first look touches the session
    db.session.rollback()
    before = db.session.scalar(select(func.count()).select_from(AuditEvent))
    for path in (
        "/",
        "/transactions/",
        "/customers/",
        "/mailbox/",
        "/void/?billing_number=x",
        "/palette/?q=T-0",
        f"/transactions/{payment.id}/",
        f"/transactions/{payment.id}/action/refund/",
        f"/transactions/{payment.id}/action/void/",
        f"/transactions/{payment.id}/invoice/",
        f"/customers/{payment.customer_id}/edit/",
        "/account/authenticator",
        "/account/recovery-codes",
        "/logout",
        "/mode",
    ):
        assert operator.get(path).status_code in {200, 405}, path
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == before
    for model in (Invoice, ActionRun, OutboxMessage):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0
