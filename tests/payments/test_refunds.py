"""Requesting a refund: what is reserved, what is refused, and what stays as it was."""

from collections.abc import Callable
from typing import Any

import pytest

from payadmin.actions.payments import REFUND_ACT, refund_in_run
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import InFlight, OrderStatus, Payment, PaymentEvent, PaymentStatus, Refund, RefundReason
from payadmin.permissions import Permission, Role
from payadmin.work import Actor
from tests.support.desk import Desk, trail
from tests.support.make import Make

S = PaymentStatus
ONCE = {"run_data": {"reason": "DUPLICATE", "note": None}, "row_data": {}}


def test_a_refund_reserves_its_amount_and_promises_to_be_sent(desk: Desk) -> None:
    payment_id = desk.paid().id
    actor = desk.operator()
    refund = desk.refund(payment_id, 30_00, actor=actor, note="Sent twice")
    assert desk.money(payment_id) == ("PAID", 30_00, 0, "REFUND")
    assert (refund.status, refund.requested_by, refund.note) == (OrderStatus.QUEUED, actor.name, "Sent twice")
    assert (len(refund.provider_key), len(refund.reference)) == (32, 23)
    [promise] = db.session.query(OutboxMessage).all()
    assert (promise.job, promise.args) == ("settle_order", {"kind": "refund", "order_id": refund.id})
    [line] = db.session.query(PaymentEvent).all()
    assert (line.event, line.refunded_minor, line.actor_name) == ("Refund requested", 30_00, actor.name)
    [entry] = trail(event="payments.refund.requested")
    assert (entry.entity, entry.entity_id, entry.actor_id, entry.reason) == (
        "refund",
        str(refund.id),
        actor.staff_id,
        "Sent twice",
    )
    assert entry.after == {"amount_minor": 30_00, "unit": "EUR", "reason": "DUPLICATE"}
    assert desk.posts(refund.reference) == 0


def test_a_partial_refund_then_a_second_one_then_the_rest(desk: Desk) -> None:
    payment_id = desk.paid(amount_minor=100_00).id
    for amount, status, refunded in ((30_00, "PARTIALLY_REFUNDED", 30_00), (20_00, "PARTIALLY_REFUNDED", 50_00)):
        desk.refund(payment_id, amount)
        desk.settle()
        assert desk.money(payment_id) == (status, 0, refunded, None)
    desk.refund(payment_id, 50_00)
    desk.settle()
    assert desk.money(payment_id) == ("TOTALLY_REFUNDED", 0, 100_00, None)
    with pytest.raises(Conflict, match="Already refunded in full"):
        desk.refund(payment_id, 1)
    events = [line.event for line in db.session.query(PaymentEvent).order_by(PaymentEvent.id)]
    assert events == [
        *("Refund requested", "Partial refund executed"),
        *("Refund requested", "Partial refund executed"),
        *("Refund requested", "Total refund executed"),
    ]


def test_what_was_captured_is_what_can_be_refunded(desk: Desk) -> None:
    payment_id = desk.paid(amount_minor=100_00, captured_minor=80_00).id
    with pytest.raises(Conflict, match="more than is left"):
        desk.refund(payment_id, 80_01)
    desk.refund(payment_id, 80_00)
    desk.settle()
    assert desk.money(payment_id) == ("TOTALLY_REFUNDED", 0, 80_00, None)


@pytest.mark.parametrize(
    ("_case", "payment", "request_", "refusal", "sentence"),
    [
        ("more than is left", {}, {"amount_minor": 100_01}, Conflict, "more than is left"),
        ("far more than any column holds", {}, {"amount_minor": 10**40}, Conflict, "more than is left"),
        ("nothing", {}, {"amount_minor": 0}, Invalid, "above zero"),
        ("less than nothing", {}, {"amount_minor": -5}, Invalid, "above zero"),
        ("another unit", {}, {"unit": "USD"}, Invalid, "made in EUR"),
        ("no note for another reason", {}, {"reason": RefundReason.OTHER, "note": " "}, Invalid, "Say in the note"),
        ("a novel", {}, {"note": "x" * 2_001}, Invalid, "within 2,000"),
        ("a note no database stores", {}, {"note": "a\0b"}, Invalid, "plain characters"),
        ("not paid yet", {"status": S.PENDING}, {}, Conflict, "Only paid payments"),
        ("unknown", {"status": S.UNKNOWN}, {}, Conflict, "Only paid payments"),
        ("failed", {"status": S.FAILED}, {}, Conflict, "Only paid payments"),
        ("voided", {"status": S.VOIDED}, {}, Conflict, "voided"),
        ("charged back", {"status": S.CHARGED_BACK}, {}, Conflict, "Only paid payments"),
        ("refunded in full", {"status": S.TOTALLY_REFUNDED, "refunded_minor": 100_00}, {}, Conflict, "in full"),
        ("nothing left", {"refunded_minor": 100_00}, {}, Conflict, "Nothing is left"),
        ("a void on its way", {"in_flight": InFlight.VOID}, {}, Conflict, "being processed"),
        ("a provider we cannot ask", {"provider": "elsewhere"}, {}, Conflict, "no connection"),
    ],
)
def test_a_refund_that_cannot_be_is_refused_and_nothing_changes(
    *,
    _case: str,
    payment: dict[str, Any],
    request_: dict[str, Any],
    refusal: type[Refusal],
    sentence: str,
    desk: Desk,
    make: Make,
) -> None:
    payment_id = make.payment(**payment).id
    before = desk.money(payment_id)
    actor = desk.operator()
    with pytest.raises(refusal, match=sentence) as caught:
        desk.refund(payment_id, actor=actor, **({"amount_minor": 10_00} | request_))
    _nothing_happened(desk, payment_id, before)
    [entry] = trail(outcome="refused")
    assert (entry.event, entry.entity, entry.entity_id) == ("payments.request_refund", "payment", str(payment_id))
    assert (entry.actor_id, entry.reason, entry.keys) == (
        actor.staff_id,
        caught.value.sentence,
        {"refusal": caught.value.code},
    )


@pytest.mark.parametrize(
    ("_case", "confirmation"),
    [
        ("a wrong code", lambda given, _other: given | {"code": f"{(int(given['code']) + 1) % 1_000_000:06}"}),
        ("no code", lambda given, _other: given | {"code": ""}),
        ("another person's code", lambda given, other: given | {"code": other["code"]}),
        ("another person's offer", lambda given, other: given | {"offer": other["offer"]}),
        ("a made up offer", lambda given, _other: given | {"offer": "nonsense"}),
    ],
)
def test_a_refund_needs_the_operators_own_confirmation(
    _case: str, confirmation: Callable[[dict[str, str], dict[str, str]], dict[str, str]], desk: Desk
) -> None:
    payment_id = desk.make.payment().id
    actor, colleague = desk.operator(), desk.operator()
    given = desk.confirm(actor, REFUND_ACT, payment_id)
    other = desk.confirm(colleague, REFUND_ACT, payment_id)
    with pytest.raises(Invalid) as caught:
        desk.refund(payment_id, 10_00, actor=actor, **confirmation(given, other))
    assert caught.value.field == "code"
    _nothing_happened(desk, payment_id, ("PAID", 0, 0, None))


def test_a_confirmation_for_one_payment_does_not_refund_another(desk: Desk) -> None:
    shown, meant = desk.make.payment().id, desk.make.payment().id
    actor = desk.operator()
    with pytest.raises(Invalid, match="does not belong to this form"):
        desk.refund(meant, 10_00, actor=actor, **desk.confirm(actor, REFUND_ACT, shown))
    _nothing_happened(desk, meant, ("PAID", 0, 0, None))


def test_the_same_key_promises_once(desk: Desk) -> None:
    payment_id = desk.paid().id
    actor = desk.operator()
    form = desk.confirm(actor, REFUND_ACT, payment_id) | {"key": "form-1"}
    first = desk.refund(payment_id, 10_00, actor=actor, **form).id
    assert desk.refund(payment_id, 10_00, actor=actor, **form).id == first
    desk.settle()
    assert desk.refund(payment_id, 10_00, actor=actor, **form).id == first
    assert desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 10_00, None)
    assert db.session.query(Refund).count() == 1


def test_a_form_sent_again_with_another_amount_or_payment_is_refused(desk: Desk) -> None:
    payment_id, other_id = desk.paid().id, desk.make.payment().id
    actor = desk.operator()
    desk.refund(payment_id, 10_00, actor=actor, key="form-1")
    with pytest.raises(Conflict, match="with another amount"):
        desk.refund(payment_id, 20_00, actor=actor, key="form-1")
    with pytest.raises(Conflict, match="for another payment"):
        desk.refund(other_id, 10_00, actor=actor, key="form-1")
    assert desk.money(payment_id) == ("PAID", 10_00, 0, "REFUND")
    assert desk.money(other_id) == ("PAID", 0, 0, None)


def test_one_command_at_a_time(desk: Desk) -> None:
    payment_id = desk.paid().id
    desk.refund(payment_id, 10_00)
    with pytest.raises(Conflict, match="A refund is being processed"):
        desk.refund(payment_id, 10_00)
    assert desk.money(payment_id) == ("PAID", 10_00, 0, "REFUND")


def test_only_who_may_refund_refunds(desk: Desk, make: Make) -> None:
    payment_id = make.payment().id
    for actor in (make.actor(Role.SUPPORT_AGENT), make.actor_without(Permission.PAYMENTS_PAYMENT_REFUND)):
        with pytest.raises(Forbidden):
            refund_in_run(actor, payment_id, key="k", **ONCE)
    _nothing_happened(desk, payment_id, ("PAID", 0, 0, None))
    assert [entry.reason for entry in trail(outcome="refused")] == ["Your role does not allow this."] * 2


def test_a_job_without_a_person_cannot_confirm(desk: Desk, make: Make) -> None:
    payment_id = make.payment().id
    nobody = Actor(staff_id=None, name="nobody", permissions=frozenset(Permission))
    form = desk.confirm(desk.operator(), REFUND_ACT, payment_id)
    with pytest.raises(Forbidden, match="Only a person"):
        desk.refund(payment_id, 10_00, actor=nobody, **form)


def test_a_payment_that_is_not_there_is_not_found(desk: Desk) -> None:
    actor = desk.operator()
    with pytest.raises(NotFound):
        desk.refund(4711, 1, actor=actor)


def test_a_card_number_in_the_note_is_not_kept(desk: Desk) -> None:
    payment_id = desk.make.payment().id
    refund = desk.refund(payment_id, 10_00, note="Card 4111 1111 1111 1111 was charged twice")
    assert "4111 1111" not in (refund.note or "")
    [entry] = trail(event="payments.refund.requested")
    assert entry.reason == refund.note


def test_a_bulk_run_refunds_what_is_left_once_for_each_row(desk: Desk) -> None:
    whole, rest = desk.paid().id, desk.paid(status=S.PARTIALLY_REFUNDED, refunded_minor=40_00).id
    actor = desk.operator()
    for _ in range(2):
        for payment_id in (whole, rest):
            refund_in_run(actor, payment_id, key=f"run:{payment_id}", **ONCE)
        desk.settle()
    assert desk.money(whole) == ("TOTALLY_REFUNDED", 0, 100_00, None)
    assert desk.money(rest) == ("TOTALLY_REFUNDED", 0, 100_00, None)
    assert db.session.query(Refund).count() == 2


def test_a_bulk_run_refunds_the_amount_asked_for_a_row(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund_in_run(desk.operator(), payment_id, key="run:1", run_data=ONCE["run_data"], row_data={"amount": 25_00})
    assert desk.money(payment_id) == ("PAID", 25_00, 0, "REFUND")


def test_the_database_itself_refuses_to_refund_more_than_was_captured(desk: Desk) -> None:
    payment_id = desk.make.payment().id
    with pytest.raises(Exception, match="refunded_within_captured"), db.engine.begin() as connection:
        connection.execute(
            Payment.__table__.update().where(Payment.__table__.c.id == payment_id).values(refunded_minor=100_01)
        )


def _nothing_happened(desk: Desk, payment_id: int, before: tuple[Any, ...]) -> None:
    db.session.rollback()
    assert desk.money(payment_id) == before
    for model in (Refund, OutboxMessage, PaymentEvent):
        assert db.session.query(model).count() == 0
