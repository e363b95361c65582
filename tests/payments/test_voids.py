"""Voids: the whole payment taken back before it is settled, or a reason why not."""

from typing import Any

import pytest

from payadmin.actions.payments import VOID_ACT, refund_in_run
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, Refusal
from payadmin.models.outbox import OutboxMessage
from payadmin.models.payments import InFlight, OrderStatus, PaymentEvent, PaymentStatus, RefundReason, VoidRequest
from payadmin.permissions import Permission
from tests.support.desk import Desk, trail
from tests.support.make import Make

S = PaymentStatus


def test_a_void_takes_back_the_whole_payment(desk: Desk) -> None:
    payment_id = desk.paid().id
    void = desk.void(payment_id)
    assert desk.money(payment_id) == ("PAID", 0, 0, "VOID")
    assert void.status is OrderStatus.QUEUED
    desk.settle()
    assert desk.money(payment_id) == ("VOIDED", 0, 0, None)
    events = [line.event for line in db.session.query(PaymentEvent).order_by(PaymentEvent.id)]
    assert events == ["Void requested", "Void executed"]
    assert [item["reference"] for [item] in desk.simulator.ledger()["voided"].values()] == [void.reference]


@pytest.mark.parametrize(
    ("_case", "payment", "request_", "refusal", "sentence"),
    [
        ("voided", {"status": S.VOIDED}, {}, Conflict, "Already voided"),
        ("failed", {"status": S.FAILED}, {}, Conflict, "Only paid or authorized"),
        ("partly refunded", {"status": S.PARTIALLY_REFUNDED, "refunded_minor": 1}, {}, Conflict, "A refund was made"),
        ("refunded", {"status": S.TOTALLY_REFUNDED, "refunded_minor": 100_00}, {}, Conflict, "A refund was made"),
        ("settled", {"settled_at": utcnow()}, {}, Conflict, "settled"),
        ("a refund on its way", {"in_flight": InFlight.REFUND, "reserved_minor": 1}, {}, Conflict, "being processed"),
        ("a provider we cannot ask", {"provider": "elsewhere"}, {}, Conflict, "no connection"),
        ("no note for another reason", {}, {"reason": RefundReason.OTHER}, Invalid, "Say in the note"),
        ("a wrong code", {}, {"code": "12"}, Invalid, "code is wrong"),
    ],
)
def test_a_void_that_cannot_be_is_refused_and_nothing_changes(
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
    with pytest.raises(refusal, match=sentence):
        desk.void(payment_id, actor=actor, **(desk.confirm(actor, VOID_ACT, payment_id) | request_))
    db.session.rollback()
    assert desk.money(payment_id) == before
    for model in (VoidRequest, OutboxMessage, PaymentEvent):
        assert db.session.query(model).count() == 0
    [entry] = trail(outcome="refused")
    assert (entry.event, entry.entity, entry.entity_id) == ("payments.request_void", "payment", str(payment_id))


def test_after_any_refund_request_there_is_no_void_even_if_the_refund_failed(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 10_00)
    desk.simulator.script(refund.reference, ["decline"])
    desk.settle()
    assert desk.money(payment_id) == ("PAID", 0, 0, None)
    with pytest.raises(Conflict, match="A refund was requested"):
        desk.void(payment_id)


def test_the_same_key_voids_once(desk: Desk) -> None:
    payment_id, other_id = desk.paid().id, desk.make.payment().id
    actor = desk.operator()
    form = desk.confirm(actor, VOID_ACT, payment_id) | {"key": "form-1"}
    first = desk.void(payment_id, actor=actor, **form).id
    assert desk.void(payment_id, actor=actor, **form).id == first
    desk.settle()
    assert desk.void(payment_id, actor=actor, **form).id == first
    with pytest.raises(Conflict, match="for another payment"):
        desk.void(other_id, actor=actor, key="form-1")
    assert len(desk.simulator.ledger()["voided"]) == 1


def test_a_declined_void_can_be_tried_again_or_refunded_instead(desk: Desk) -> None:
    payment_id = desk.paid().id
    declined = desk.void(payment_id)
    desk.simulator.script(declined.reference, ["decline"])
    desk.settle()
    assert (desk.money(payment_id), declined.status) == (("PAID", 0, 0, None), OrderStatus.FAILED)
    assert declined.message == "The card's bank did not accept the void."
    refund_in_run(desk.operator(), payment_id, key="r", run_data={"reason": "DUPLICATE"}, row_data={"amount": 1})
    desk.settle()
    assert desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 1, None)


def test_a_second_void_follows_a_failed_one(desk: Desk) -> None:
    payment_id = desk.paid().id
    desk.simulator.script(desk.void(payment_id).reference, ["decline"])
    desk.settle()
    desk.void(payment_id)
    desk.settle()
    assert desk.money(payment_id) == ("VOIDED", 0, 0, None)


def test_a_voided_payment_cannot_be_refunded(desk: Desk) -> None:
    payment_id = desk.paid().id
    desk.void(payment_id)
    desk.settle()
    with pytest.raises(Conflict, match="was voided"):
        desk.refund(payment_id, 1)


def test_only_who_may_void_voids(desk: Desk, make: Make) -> None:
    payment_id = make.payment().id
    form = desk.confirm(desk.operator(), VOID_ACT, payment_id)
    with pytest.raises(Forbidden):
        desk.void(payment_id, actor=make.actor_without(Permission.PAYMENTS_PAYMENT_VOID), **form)
    assert desk.money(payment_id) == ("PAID", 0, 0, None)
