"""Processing: confirmed once, whole for payments, without the invalid rows for registrations, each row made once."""

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from payadmin import providers
from payadmin.actions.batches import check_again, discard_batch, resume_batch
from payadmin.actions.subscriptions import cancel_scheduled, catch_up, let_go
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from payadmin.models.audit import AuditEvent
from payadmin.models.batches import Batch, BatchKind, BatchPart, BatchStatus, RowStatus
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Payment, PaymentStatus, PaymentType
from payadmin.models.subscriptions import (
    ChargeStatus,
    Purpose,
    ScheduledCharge,
    Subscription,
    SubscriptionOrigin,
    SubscriptionStatus,
)
from payadmin.models.system import NoticeKind, StaffNotice
from payadmin.permissions import Permission, Role
from payadmin.work import Actor
from tests.support.batches import BatchRoom
from tests.support.make import writing
from tests.support.pages import post

REGISTRATION = BatchKind.REGISTRATION


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_payments_of_today_are_charged_at_once_and_later_ones_wait_for_their_day(room: BatchRoom) -> None:
    later = room.office.day(10)
    batch = room.checked([room.payment(1), room.payment(2, execute_date=later.isoformat(), amount="80")])
    assert (batch.status, batch.rows_valid) == (BatchStatus.READY, 2)
    assert batch.totals == {"EUR": {"rows": 2, "minor": 92_50, "valid_rows": 2, "valid_minor": 92_50}}
    room.process(batch.id)
    room.office.settle()
    today, future = room.charges(batch.id)
    assert (today.status, today.invoice_number, today.subscription_id) == (ChargeStatus.SUCCEEDED, "INV-1", None)
    assert (future.status, future.due_date, future.payment_id) == (ChargeStatus.SCHEDULED, later, None)
    [payment] = room.office.payments()
    assert (payment.status, payment.type, payment.amount_minor) == (PaymentStatus.PAID, PaymentType.DIRECT, 12_50)
    assert (payment.batch_id, payment.invoice_number, payment.billing_number) == (batch.id, "INV-1", "BN-1")
    assert (payment.card_first6, payment.card_last4, payment.card_holder_name) == ("424242", "4242", "Ana Lopez")
    assert (payment.description, payment.subscription_id) == ("Two chairs", None)
    assert room.office.simulator.captured(today.reference) == [12_50]
    batch = room.batch(batch.id)
    assert (batch.status, batch.rows_done, batch.rows_refused) == (BatchStatus.PROCESSED, 2, 0)
    assert room.statuses(batch.id) == {"DONE": 2}


def test_cancel_scheduled_finds_what_a_batch_ordered_for_later(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, execute_date=room.office.day(10).isoformat())])
    room.process(batch.id)
    room.office.work()
    [charge] = room.charges(batch.id)
    actor = room.operator()
    confirmed = room.office.confirm(actor, [charge.id])
    chosen = cancel_scheduled(actor, charge_ids=[charge.id], reason="Paid in cash", **confirmed)
    assert chosen.done == [charge.id]
    assert room.office.status(charge.id) is ChargeStatus.CANCELLED


def test_a_declined_payment_fails_by_itself_and_the_others_are_paid(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, card_no="4000000000009995"), room.payment(2)])
    room.process(batch.id)
    room.office.settle()
    failed, paid = room.charges(batch.id)
    assert (failed.status, failed.message) == (ChargeStatus.FAILED, "Your card has insufficient funds.")
    assert paid.status is ChargeStatus.SUCCEEDED
    assert len(room.office.payments()) == 1


def test_what_a_batch_ordered_and_nobody_ran_in_time_is_missed(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, execute_date=room.office.day(5).isoformat())])
    room.process(batch.id)
    room.office.work()
    [charge] = room.charges(batch.id)
    with db.engine.begin() as connection:
        table = ScheduledCharge.__table__
        connection.execute(table.update().values(due_date=room.office.day(-3)))  # type: ignore[attr-defined]
    room.office.plan()
    room.office.work()
    assert room.office.status(charge.id) is ChargeStatus.MISSED
    assert room.office.payments() == []


def test_registrations_become_subscriptions_and_invalid_rows_are_left_out_when_that_is_said(room: BatchRoom) -> None:
    rows = [
        room.registration(1),
        room.registration(2, customer_id="NOBODY"),
        room.registration(
            3, type="REMINDER", card_token="", schedule="DAY", days="Mon, THU", months="3;6", end_date="2099-12-31"
        ),
        room.registration(
            4, schedule="FULL_DATE", days="", months="", dates=f"{room.office.day(5)}; {room.office.day(9)}"
        ),
    ]
    batch = room.checked(rows, kind=REGISTRATION)
    assert (batch.status, batch.rows_valid, batch.rows_invalid) == (BatchStatus.HAS_ERRORS, 3, 1)
    assert room.errors(batch.id) == {3: {"customer_id": "There is no customer with this ID."}}
    for wrong in ({"skipped": 0}, {"valid": 4}, {"valid": 2, "skipped": 2}):
        with pytest.raises(Conflict):
            room.process(batch.id, **wrong)
    assert room.subscriptions(batch.id) == []
    room.process(batch.id)
    room.office.work()
    first, second, third = room.subscriptions(batch.id)
    assert (first.billing_number, first.status, first.origin) == (
        "NEW-1", SubscriptionStatus.ACTIVE, SubscriptionOrigin.BATCH,
    )  # fmt: skip
    assert str(first.schedule) == "On the 1st and 15th of every month"
    assert (first.card_token, first.amount_minor, first.start_date) == ("tok_visa", 9_90, room.today)
    assert (second.purpose, str(second.schedule)) == (Purpose.REMINDER, "Every Monday and Thursday of March and June")
    assert third.schedule is not None
    assert third.schedule.dates == (room.office.day(5), room.office.day(9))
    assert room.statuses(batch.id) == {"DONE": 3, "SKIPPED": 1}
    room.office.plan()
    assert room.office.dates(third.id) == [room.office.day(5), room.office.day(9)]
    story = select(AuditEvent).where(AuditEvent.entity == "subscription", AuditEvent.entity_id == str(first.id))
    [entry] = db.session.scalars(story)
    assert entry.event == "batches.subscription.registered"
    assert entry.keys is not None
    assert (entry.keys["billing_number"], entry.keys["batch_id"]) == ("NEW-1", batch.id)


def test_payments_are_refused_as_a_whole_while_one_row_has_an_error(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1), room.payment(2, amount="0"), room.payment(3)])
    assert (batch.status, batch.rows_valid, batch.rows_invalid) == (BatchStatus.HAS_ERRORS, 2, 1)
    assert batch.why_not_processable is not None
    with pytest.raises(Conflict, match="1 row has an error"):
        room.process(batch.id)
    room.office.work()
    assert count(ScheduledCharge) == 0
    assert room.batch(batch.id).status is BatchStatus.HAS_ERRORS


def test_a_wrong_or_used_code_processes_nothing(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1)])
    actor = room.operator()
    confirmed = room.confirm(actor, batch)
    with pytest.raises(Invalid, match="wrong or was already used"):
        room.process(batch.id, actor=actor, **(confirmed | {"code": "000000"}))
    assert room.batch(batch.id).status is BatchStatus.READY
    room.process(batch.id, actor=actor, **confirmed)
    other = room.checked([room.payment(2)])
    with pytest.raises(Invalid):
        room.process(other.id, actor=actor, **confirmed)
    assert room.batch(other.id).status is BatchStatus.READY


def test_a_batch_is_processed_once_however_often_it_is_confirmed(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1), room.payment(2)])
    room.process(batch.id)
    with pytest.raises(Conflict, match="being processed already"):
        room.process(batch.id)
    room.office.settle()
    with pytest.raises(Conflict, match="was processed already"):
        room.process(batch.id)
    with pytest.raises(Conflict, match="cannot be discarded"):
        discard_batch(room.make.actor(), batch.id, version=batch.version)
    with pytest.raises(Conflict, match="nothing to go on with"):
        resume_batch(room.make.actor(), batch.id)
    assert len(room.office.payments()) == 2


def test_two_operators_who_press_process_at_once_process_it_once(room: BatchRoom) -> None:
    batch = room.checked([room.payment(n) for n in range(1, 6)])
    forms = []
    for _ in range(2):
        actor = room.operator()
        forms.append((actor, room.confirm(actor, room.batch(batch.id))))
    db.session.remove()
    said: list[str] = []
    gate = threading.Barrier(2)

    def press(actor: object, confirmed: dict[str, str]) -> None:
        with room.office.app.app_context():
            gate.wait()
            try:
                room.process(batch.id, actor=actor, **confirmed)  # type: ignore[arg-type]
                said.append("done")
            except Refusal as refusal:
                said.append(refusal.code)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=press, args=form) for form in forms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["conflict", "done"]
    room.office.settle()
    assert len(room.office.payments()) == len(room.charges(batch.id)) == 5


def test_a_batch_whose_rows_the_world_has_overtaken_must_be_checked_again(room: BatchRoom) -> None:
    first = room.checked([room.payment(1)])
    second = room.checked([room.payment(1, amount="13.00")])
    room.process(first.id)
    room.office.settle()
    with pytest.raises(Conflict, match="1 row is no longer right"):
        room.process(second.id)
    check_again(room.make.actor(), second.id, version=room.batch(second.id).version)
    room.office.work()
    again = room.batch(second.id)
    assert (again.status, again.rows_total, again.rows_invalid) == (BatchStatus.HAS_ERRORS, 1, 1)
    assert room.errors(second.id) == {2: {"invoice_number": "This invoice number was used already."}}
    assert len(room.office.payments()) == 1


def set_status(row: Customer | Organization, status: str) -> None:
    """Somebody else changes it meanwhile."""
    db.session.rollback()
    with db.engine.begin() as connection:
        table = type(row).__table__
        connection.execute(table.update().where(table.c.id == row.id).values(status=status))  # type: ignore[attr-defined]
    db.session.expire_all()


@pytest.mark.parametrize("kind", [BatchKind.REGISTRATION, BatchKind.SINGLE_PAYMENT])
def test_a_customer_who_was_blocked_since_the_check_is_not_charged(room: BatchRoom, kind: BatchKind) -> None:
    row = room.registration if kind is REGISTRATION else room.payment
    batch = room.checked([row(1), row(2)], kind=kind)
    customer = db.session.scalars(select(Customer).where(Customer.external_id == "C-1")).one()
    set_status(customer, "BLOCKED")
    with pytest.raises(Conflict, match=r"1 row is no longer right.*customer was blocked"):
        room.process(batch.id)
    check_again(room.make.actor(), batch.id, version=room.batch(batch.id).version)
    room.office.work()
    assert room.statuses(batch.id) == {"VALID": 1, "INVALID": 1}


def test_a_batch_of_a_closed_merchant_or_a_provider_that_is_gone_is_not_processed(
    room: BatchRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = room.checked([room.payment(1)])
    monkeypatch.setattr(providers, "CONNECTED", frozenset())
    with pytest.raises(Conflict, match="no longer connected to the provider"):
        room.process(batch.id)
    monkeypatch.undo()
    set_status(db.session.get_one(Organization, room.merchant_id), "CLOSED")
    with pytest.raises(Conflict, match="merchant of this batch is not active"):
        room.process(batch.id)
    room.office.settle()
    assert room.charges(batch.id) == []


@pytest.mark.parametrize("who", ["customer", "merchant"])
def test_what_falls_due_after_a_customer_was_blocked_or_a_merchant_closed_is_left_to_staff(
    room: BatchRoom, who: str
) -> None:
    batch = room.checked([room.payment(1, execute_date=room.office.day(1).isoformat())])
    room.process(batch.id)
    room.office.work()
    [charge] = room.charges(batch.id)
    if who == "customer":
        set_status(db.session.scalars(select(Customer).where(Customer.external_id == "C-1")).one(), "BLOCKED")
    else:
        set_status(db.session.get_one(Organization, room.merchant_id), "CLOSED")
    table = ScheduledCharge.__table__
    for day, status in ((0, ChargeStatus.SCHEDULED), (-5, ChargeStatus.MISSED)):
        with db.engine.begin() as connection:
            connection.execute(table.update().values(due_date=room.office.day(day)))  # type: ignore[attr-defined]
        room.office.plan()
        room.office.settle()
        assert room.office.status(charge.id) is status
    assert room.office.payments() == []


def test_a_number_that_was_used_during_the_processing_refuses_its_row_and_no_other(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1), room.payment(2)])
    registered = room.checked([room.registration(1), room.registration(2)], kind=REGISTRATION)
    room.process(batch.id)
    room.process(registered.id)
    room.make.scheduled_charge(invoice_number="INV-2", due_date=room.office.day(300))
    room.make.subscription(billing_number="NEW-1", merchant_id=room.merchant_id)
    room.office.settle()
    assert [row.status for row in room.rows(batch.id)] == [RowStatus.DONE, RowStatus.REFUSED]
    assert [row.status for row in room.rows(registered.id)] == [RowStatus.REFUSED, RowStatus.DONE]
    assert room.rows(batch.id)[1].message == "This invoice number was used since the file was checked."
    batch = room.batch(batch.id)
    assert (batch.status, batch.rows_done, batch.rows_refused) == (BatchStatus.PROCESSED, 1, 1)
    assert [payment.invoice_number for payment in room.office.payments()] == ["INV-1"]


def test_a_batch_that_was_checked_again_says_what_is_true_now(room: BatchRoom) -> None:
    batch = room.checked([room.registration(1, customer_id="C-NEW"), room.registration(2)], kind=REGISTRATION)
    assert batch.rows_invalid == 1
    room.make.customer(external_id="C-NEW")
    check_again(room.make.actor(), batch.id, version=batch.version)
    assert room.batch(batch.id).status is BatchStatus.VALIDATING
    room.office.work()
    again = room.batch(batch.id)
    assert (again.status, again.rows_valid, again.rows_invalid) == (BatchStatus.READY, 2, 0)
    assert again.totals["EUR"]["valid_rows"] == 2
    with pytest.raises(Conflict, match="meanwhile"):
        check_again(room.make.actor(), batch.id, version=batch.version - 1)


def test_cards_survive_a_second_check(room: BatchRoom) -> None:
    batch = room.checked(
        [room.payment(1), room.payment(2, card_no="4242424242424241"), room.payment(3, billing_number="X")]
    )
    token = room.rows(batch.id)[0].card_token
    check_again(room.make.actor(), batch.id, version=batch.version)
    room.office.work()
    first, second, third = room.rows(batch.id)
    assert (first.status, first.card_token, first.card_last4) == (RowStatus.VALID, token, "4242")
    assert second.errors == [{"column": "card_no", "sentence": "This is not a valid card number; check its digits."}]
    assert third.card_token is not None


def test_a_batch_that_stands_still_is_resumed(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1)])
    room.process(batch.id)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM outbox_message")
    room.office.work()
    assert room.batch(batch.id).status is BatchStatus.PROCESSING
    resume_batch(room.make.actor(), batch.id)
    room.office.settle()
    assert room.batch(batch.id).status is BatchStatus.PROCESSED
    assert len(room.office.payments()) == 1


def test_a_number_that_was_paid_during_the_processing_refuses_its_row_and_no_other(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1), room.payment(2), room.payment(3)])
    room.process(batch.id)
    room.make.payment(invoice_number="INV-2")
    room.office.settle()
    assert [row.status for row in room.rows(batch.id)] == [RowStatus.DONE, RowStatus.REFUSED, RowStatus.DONE]
    assert room.rows(batch.id)[1].message == "This invoice number was used since the file was checked."
    assert [charge.invoice_number for charge in room.charges(batch.id)] == ["INV-1", "INV-3"]


def test_a_batch_is_not_confirmed_while_another_orders_the_same_invoice_numbers(room: BatchRoom) -> None:
    first = room.checked([room.payment(1), room.payment(2)])
    second = room.checked([room.payment(1, amount="13.00"), room.payment(3)])
    room.process(first.id)
    with pytest.raises(Conflict, match="1 row is no longer right"):
        room.process(second.id)
    room.office.settle()
    assert sorted(payment.invoice_number for payment in room.office.payments()) == ["INV-1", "INV-2"]


def test_a_check_that_died_is_resumed(room: BatchRoom) -> None:
    batch_id = room.upload([room.payment(1)])
    with db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox_message SET state = 'DEAD'")
        connection.execute(Batch.__table__.update().values(updated_at=utcnow() - dt.timedelta(minutes=5)))  # type: ignore[attr-defined]
    room.office.work()
    assert room.batch(batch_id).status is BatchStatus.UPLOADED
    browser = room.make.browse(Role.PAYMENTS_OPERATOR)
    page = browser.get(f"/batches/{batch_id}/")
    assert f"/batches/{batch_id}/resume/" in page.text
    assert post(browser, f"/batches/{batch_id}/resume/").status_code == 303
    room.office.work()
    assert room.batch(batch_id).status is BatchStatus.READY


@pytest.mark.parametrize("given_up", ["discarded", "replaced"])
def test_nothing_waits_for_the_check_of_a_batch_that_was_given_up(room: BatchRoom, given_up: str) -> None:
    batch_id = room.upload([room.payment(1)])
    version = room.batch(batch_id).version
    if given_up == "discarded":
        discard_batch(room.make.actor(), batch_id, version=version)
    else:
        room.upload([room.payment(2)], replaces=batch_id, version=version)
    parts = select(func.count()).select_from(BatchPart).where(BatchPart.batch_id == batch_id)
    assert db.session.scalar(parts) == 0
    room.office.work()
    assert room.rows(batch_id) == []


ACTS: dict[str, Callable[[BatchRoom, Actor, Batch], object]] = {
    "upload": lambda room, actor, _: room.upload([room.payment(2)], actor=actor),
    "process": lambda room, actor, batch: room.process(batch.id, actor=actor, offer="", code=""),
    "discard": lambda _, actor, batch: discard_batch(actor, batch.id, version=batch.version),
    "check again": lambda _, actor, batch: check_again(actor, batch.id, version=batch.version),
    "resume": lambda _, actor, batch: resume_batch(actor, batch.id),
}


@pytest.mark.parametrize("act", ACTS)
def test_who_may_only_read_batches_changes_nothing(room: BatchRoom, act: str) -> None:
    batch = room.checked([room.payment(1)])
    nobody = room.make.actor_without(Permission.BATCHES_BATCH_PROCESS)
    assert nobody.may(Permission.BATCHES_BATCH_READ)
    with pytest.raises(Forbidden):
        ACTS[act](room, nobody, batch)
    assert room.batch(batch.id).status is BatchStatus.READY
    assert count(ScheduledCharge) == 0


def test_nothing_of_a_batch_is_a_subscription_unless_it_registers_one(room: BatchRoom) -> None:
    before = count(Subscription)
    batch = room.checked([room.payment(n) for n in range(1, 11)])
    room.process(batch.id)
    room.office.settle()
    assert count(Subscription) == before
    assert count(Payment) == 10


def test_pages_of_scheduled_charges_show_what_a_batch_ordered(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, execute_date=room.office.day(10).isoformat()), room.payment(2)])
    room.process(batch.id)
    room.office.settle()
    later, paid = (charge.id for charge in room.charges(batch.id))
    reference = room.charges(batch.id)[1].reference
    db.session.rollback()
    with db.engine.begin() as connection:
        table = ScheduledCharge.__table__
        missed = table.update().where(table.c.id == later)  # type: ignore[attr-defined]
        connection.execute(missed.values(status=ChargeStatus.MISSED, due_date=room.office.day(-5)))
    writing()
    browser = room.make.browse(Role.PAYMENTS_OPERATOR)
    for address, said in (
        (f"/scheduled-charges/{later}/", "Row 2 of file.csv"),
        (f"/scheduled-charges/{paid}/", "BN-2"),
        ("/scheduled-charges/", "INV-1"),
        ("/scheduled-charges/?search=BN-1", "INV-1"),
        ("/cancel-scheduled/?billing_number=BN-1", "Single payment"),
        ("/cancel-scheduled/?invoice_number=INV-1", "BN-1"),
        ("/needs-attention/?group=missed", "INV-1"),
        ("/transactions/", reference),
    ):
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert said in answer.text, address
    led = browser.get(f"/scheduled-charges/{later}/subscription/", follow_redirects=True)
    assert "it belongs to no subscription" in led.text


def test_what_a_batch_ordered_and_was_missed_is_caught_up_or_let_go(room: BatchRoom) -> None:
    rows = [room.payment(n, execute_date=room.office.day(9).isoformat()) for n in range(1, 7)]
    batch = room.checked(rows)
    room.process(batch.id)
    room.office.work()
    with db.engine.begin() as connection:
        table = ScheduledCharge.__table__
        values = {"status": ChargeStatus.MISSED, "due_date": room.office.day(-5)}
        connection.execute(table.update().where(table.c.batch_id == batch.id).values(**values))  # type: ignore[attr-defined]
    ids = [charge.id for charge in room.charges(batch.id)]
    actor = room.operator()
    assert catch_up(actor, charge_ids=ids[:5]).done == ids[:5]
    let_go(actor, ids[5], reason="Paid in cash")
    room.office.settle()
    assert [charge.status.name for charge in room.charges(batch.id)] == ["SUCCEEDED"] * 5 + ["SKIPPED"]


def test_the_bell_tells_who_uploaded_when_a_file_is_checked_and_processed(room: BatchRoom) -> None:
    person = room.operator()
    batch = room.checked([room.payment(1)], actor=person)
    room.process(batch.id, actor=person)
    room.office.settle()
    db.session.rollback()
    told = db.session.scalars(select(StaffNotice).order_by(StaffNotice.id)).all()
    assert [(notice.kind, notice.page, notice.row_id) for notice in told] == [
        (NoticeKind.READY, "batches", batch.id),
        (NoticeKind.DONE, "batches", batch.id),
    ]
    assert {notice.staff_id for notice in told} == {person.staff_id}
    assert "is processed: 1 rows done" in told[1].title
