"""Sending refunds and voids: every answer of the provider, and every kind of silence, ends in exactly one truth."""

import datetime as dt
import time
from typing import Any

import pytest

from payadmin.actions.payments import orders
from payadmin.actions.payments.orders import Turn
from payadmin.db import db
from payadmin.models.outbox import OutboxMessage, OutboxState
from payadmin.models.payments import OrderStatus, Payment, PaymentEvent, PaymentStatus, Refund
from payadmin.providers import Answer, Outcome
from payadmin.work import SYSTEM
from tests.support.desk import Desk, pass_time, told, trail

O = OrderStatus  # noqa: E741
REFUNDED = ("PARTIALLY_REFUNDED", 0, 30_00, None)
RESERVED = ("PAID", 30_00, 0, "REFUND")
GIVEN_BACK = ("PAID", 0, 0, None)

# fault → status after the first call, where the money is then, status in the end, money in the end, moved, posts
OUTCOMES = {
    "ok": (O.SUCCEEDED, REFUNDED, O.SUCCEEDED, REFUNDED, 1, 1),
    "decline": (O.FAILED, GIVEN_BACK, O.FAILED, GIVEN_BACK, 0, 1),
    "pending": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 1),
    "err429": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 2),
    "drop_before": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 2),
    "drop_after": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 1),
    "err500_before": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 2),
    "err500_after": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 1),
    "slow": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 1),
    "late": (O.UNKNOWN, RESERVED, O.SUCCEEDED, REFUNDED, 1, 1),
    # What the provider itself does twice, only reconciliation can see.
    "double": (O.SUCCEEDED, REFUNDED, O.SUCCEEDED, REFUNDED, 2, 1),
}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_every_fault_of_the_provider_ends_in_one_refund_or_none(fault: str, desk: Desk) -> None:
    first, money_first, last, money_last, moved, posts = OUTCOMES[fault]
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.script(refund.reference, [fault])
    desk.work()
    assert (refund.status, desk.money(payment_id)) == (first, money_first)
    if fault in {"pending", "late"}:
        time.sleep(0.5)  # these end by the provider's own clock
    pass_time(seconds=3)
    desk.settle()
    assert (refund.status, desk.money(payment_id)) == (last, money_last)
    assert desk.refunds_at_provider(refund.reference) == [30_00] * moved
    assert desk.posts(refund.reference) == posts
    _every_step_can_be_found(payment_id, "refund", refund.id)


@pytest.mark.parametrize(
    ("fault", "first", "last", "money"),
    [
        ("ok", O.SUCCEEDED, O.SUCCEEDED, ("VOIDED", 0, 0, None)),
        ("decline", O.FAILED, O.FAILED, ("PAID", 0, 0, None)),
        ("pending", O.UNKNOWN, O.SUCCEEDED, ("VOIDED", 0, 0, None)),
        ("err429", O.UNKNOWN, O.SUCCEEDED, ("VOIDED", 0, 0, None)),
        ("drop_before", O.UNKNOWN, O.SUCCEEDED, ("VOIDED", 0, 0, None)),
        ("drop_after", O.UNKNOWN, O.SUCCEEDED, ("VOIDED", 0, 0, None)),
        ("err500_after", O.UNKNOWN, O.SUCCEEDED, ("VOIDED", 0, 0, None)),
    ],
)
def test_every_fault_of_the_provider_ends_in_one_void_or_none(
    fault: str, first: O, last: O, money: tuple[Any, ...], desk: Desk
) -> None:
    payment_id = desk.paid().id
    void = desk.void(payment_id)
    desk.simulator.script(void.reference, [fault])
    desk.work()
    assert void.status is first
    if fault == "pending":
        time.sleep(0.5)
    desk.settle()
    assert (void.status, desk.money(payment_id)) == (last, money)
    assert len(desk.simulator.ledger()["voided"].get(void.reference, [])) == (1 if money[0] == "VOIDED" else 0)
    _every_step_can_be_found(payment_id, "void_request", void.id)


def test_a_declined_refund_says_why_and_another_can_follow(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.script(refund.reference, ["decline"])
    desk.settle()
    assert (refund.code, refund.message) == ("refund_failed", "The card's bank did not accept the refund.")
    [entry] = trail(event="payments.refund.failed")
    assert entry.reason == refund.message
    desk.refund(payment_id, 100_00)
    desk.settle()
    assert desk.money(payment_id) == ("TOTALLY_REFUNDED", 0, 100_00, None)


def test_an_unknown_refund_is_looked_up_before_the_same_key_is_sent_again(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.script(refund.reference, ["drop_before"])
    desk.work()
    assert (refund.status, desk.posts(refund.reference)) == (O.UNKNOWN, 1)
    events = [line.event for line in db.session.query(PaymentEvent).order_by(PaymentEvent.id)]
    assert events == ["Refund requested", "Refund being checked"]
    pass_time(seconds=5)  # less than the provider may take: only asked, not sent
    desk.work()
    assert (refund.status, desk.posts(refund.reference), refund.checks) == (O.UNKNOWN, 1, 2)
    pass_time(seconds=30)
    desk.work()
    assert (refund.status, desk.posts(refund.reference)) == (O.SUCCEEDED, 2)
    assert desk.simulator.stats()["requests"].get("replayed", 0) == 0
    assert desk.refunds_at_provider(refund.reference) == [30_00]


def test_a_success_that_no_look_up_shows_is_replayed_by_the_same_key(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.config(visibility_lag_s=10**6)
    desk.simulator.script(refund.reference, ["drop_after"])
    desk.work()
    pass_time(seconds=30)
    desk.work()
    assert (refund.status, desk.money(payment_id)) == (O.SUCCEEDED, REFUNDED)
    assert desk.simulator.stats()["requests"]["replayed"] == 1
    assert desk.refunds_at_provider(refund.reference) == [30_00]


def test_after_the_key_window_nothing_is_sent_and_staff_are_called(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.script(refund.reference, ["drop_before"])
    desk.work()
    pass_time(hours=21)
    desk.work()
    assert (refund.status, refund.needs_staff, refund.message) == (O.UNKNOWN, True, orders.TOO_OLD)
    assert desk.money(payment_id) == RESERVED
    assert orders.claim_order(SYSTEM, refund.id, kind="refund").turn is Turn.NOTHING
    pass_time(hours=21)
    assert desk.work() == 0
    assert desk.posts(refund.reference) == 1
    told = db.session.query(PaymentEvent).order_by(PaymentEvent.id)
    assert [line.event for line in told][-1] == "Refund needs a decision"
    _every_step_can_be_found(payment_id, "refund", refund.id)


def test_a_found_success_is_booked_however_old_its_key_is(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.script(refund.reference, ["drop_after"])
    desk.work()
    pass_time(hours=48)
    desk.work()
    assert (refund.status, desk.money(payment_id)) == (O.SUCCEEDED, REFUNDED)


def test_what_never_reached_the_provider_is_sent_when_it_is_back_however_late(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    with told(desk.app, simulator_url="http://127.0.0.1:9"):
        for _ in range(3):
            desk.work()
            assert (refund.status, refund.first_sent_at) == (O.UNKNOWN, None)
            pass_time(hours=21)
    assert refund.needs_staff is False
    desk.settle()
    assert (refund.status, desk.money(payment_id)) == (O.SUCCEEDED, REFUNDED)
    assert desk.refunds_at_provider(refund.reference) == [30_00]


def test_while_the_provider_cannot_say_nothing_is_sent_again(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    desk.simulator.script(refund.reference, ["drop_after"])
    desk.simulator.config(lookup_fail=1.0)
    for _ in range(3):
        desk.work()
        assert refund.status is O.UNKNOWN
        pass_time(minutes=10)
    assert desk.posts(refund.reference) == 1
    desk.simulator.config(lookup_fail=0.0)
    desk.settle()
    assert desk.money(payment_id) == REFUNDED


def test_a_refusal_of_a_second_send_is_not_believed_before_looking_again(desk: Desk) -> None:
    # The provider keeps no keys and shows what it did only a second later: the worst that a look-up can miss.
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 100_00)
    desk.simulator.config(idempotency="none")
    desk.simulator.script(refund.reference, ["drop_after"])
    desk.work()
    pass_time(seconds=30)
    desk.simulator.config(visibility_lag_s=10**6)
    seen = orders.claim_order(SYSTEM, refund.id, kind="refund")
    assert seen.turn is Turn.ASK
    with told(desk.app, simulator_url=desk.simulator.url):
        from payadmin.jobs import payments as job
        from payadmin.providers.simulator import SimulatorProvider

        class Later(SimulatorProvider):
            """Looks the refund up again only after the provider shows it."""

            def refund(self, **order: Any) -> Answer:
                answer = super().refund(**order)
                desk.simulator.config(visibility_lag_s=0)
                return answer

        provider = Later(desk.simulator.url, timeout_seconds=1)
        answer = job._ask(provider, seen, quiet=dt.timedelta(seconds=11))
        provider.close()
    assert answer is not None
    assert answer.outcome is Outcome.SUCCEEDED
    orders.book_order(SYSTEM, refund.id, kind="refund", fence=seen.fence, answer=answer)
    assert desk.money(payment_id) == ("TOTALLY_REFUNDED", 0, 100_00, None)
    assert desk.refunds_at_provider(refund.reference) == [100_00]


# ---- whose word counts -------------------------------------------------------------------------------------------


def test_a_worker_that_wakes_up_late_may_only_bring_a_success(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    zombie = orders.claim_order(SYSTEM, refund.id, kind="refund")
    assert orders.claim_order(SYSTEM, refund.id, kind="refund").turn is Turn.WAIT
    pass_time(seconds=61)
    healthy = orders.claim_order(SYSTEM, refund.id, kind="refund")
    assert (zombie.turn, healthy.turn, healthy.fence) == (Turn.SEND, Turn.ASK, zombie.fence + 1)
    for outcome in (Outcome.DECLINED, Outcome.UNKNOWN, Outcome.PENDING, Outcome.NOT_SENT):
        late = Answer(outcome, message="late")
        assert orders.book_order(SYSTEM, refund.id, kind="refund", fence=zombie.fence, answer=late) is None
    orders.leave_to_staff(SYSTEM, refund.id, kind="refund", fence=zombie.fence, sentence="late")
    assert orders.hold_order(SYSTEM, refund.id, kind="refund", fence=zombie.fence) is False
    db.session.refresh(refund)
    assert (refund.status, refund.needs_staff, refund.fence) == (O.UNKNOWN, False, healthy.fence)
    success = Answer(Outcome.SUCCEEDED, "re_1", 30_00)
    orders.book_order(SYSTEM, refund.id, kind="refund", fence=zombie.fence, answer=success)
    assert desk.money(payment_id) == REFUNDED
    assert orders.hold_order(SYSTEM, refund.id, kind="refund", fence=healthy.fence) is False


def test_the_same_success_twice_is_booked_once(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    claim = orders.claim_order(SYSTEM, refund.id, kind="refund")
    for _ in range(2):
        answer = Answer(Outcome.SUCCEEDED, "re_1", 30_00)
        assert orders.book_order(SYSTEM, refund.id, kind="refund", fence=claim.fence, answer=answer) is None
        assert desk.money(payment_id) == REFUNDED
    assert len(trail(event="payments.refund.succeeded")) == 1


def test_a_success_after_a_refusal_calls_staff(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    fence = orders.claim_order(SYSTEM, refund.id, kind="refund").fence
    orders.book_order(SYSTEM, refund.id, kind="refund", fence=fence, answer=Answer(Outcome.DECLINED))
    for _ in range(2):
        answer = Answer(Outcome.SUCCEEDED, "re_1", 30_00)
        orders.book_order(SYSTEM, refund.id, kind="refund", fence=fence, answer=answer)
    db.session.refresh(refund)
    assert (refund.status, refund.needs_staff, refund.message) == (O.FAILED, True, orders.AFTER_ALL)
    assert desk.money(payment_id) == GIVEN_BACK
    assert len(trail(event="payments.refund.unknown")) == 1


def test_a_success_of_another_amount_is_not_booked_but_left_to_staff(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    fence = orders.claim_order(SYSTEM, refund.id, kind="refund").fence
    answer = Answer(Outcome.SUCCEEDED, "re_1", 3_000_00)
    assert orders.book_order(SYSTEM, refund.id, kind="refund", fence=fence, answer=answer) is None
    db.session.refresh(refund)
    assert (refund.status, refund.needs_staff, refund.message) == (O.SUBMITTED, True, orders.OTHER_AMOUNT)
    assert desk.money(payment_id) == RESERVED


def test_one_success_at_the_provider_cannot_close_two_refunds(desk: Desk) -> None:
    first, second = desk.refund(desk.paid().id, 30_00), desk.refund(desk.paid().id, 30_00)
    answer = Answer(Outcome.SUCCEEDED, "re_same", 30_00)
    fence = orders.claim_order(SYSTEM, first.id, kind="refund").fence
    orders.book_order(SYSTEM, first.id, kind="refund", fence=fence, answer=answer)
    fence = orders.claim_order(SYSTEM, second.id, kind="refund").fence
    with pytest.raises(Exception, match="provider_id"):
        orders.book_order(SYSTEM, second.id, kind="refund", fence=fence, answer=answer)
    assert desk.money(second.payment_id) == RESERVED


@pytest.mark.parametrize("status", [O.REQUESTED, O.PENDING_APPROVAL, O.STALE, O.SUCCEEDED, O.FAILED, O.CANCELLED])
def test_only_orders_that_are_on_their_way_are_claimed(status: O, desk: Desk) -> None:
    payment = desk.make.payment()
    refund = desk.make._save(_refund(payment, status=status))
    assert orders.claim_order(SYSTEM, refund.id, kind="refund").turn is Turn.NOTHING
    db.session.refresh(refund)
    assert (refund.status, refund.fence) == (status, 0)


def test_an_order_for_a_provider_that_is_gone_is_left_to_staff(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    with db.engine.begin() as connection:
        connection.execute(Payment.__table__.update().values(provider="elsewhere"))
    desk.work()
    assert (refund.status, refund.needs_staff, refund.message) == (O.SUBMITTED, True, orders.NOT_CONNECTED)
    [promise] = db.session.query(OutboxMessage).all()
    assert promise.state is OutboxState.DONE


def test_a_refund_that_succeeds_after_a_charge_back_is_booked_and_the_status_stays(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    with db.engine.begin() as connection:
        connection.execute(Payment.__table__.update().values(status=PaymentStatus.CHARGED_BACK))
    desk.settle()
    assert refund.status is O.SUCCEEDED
    assert desk.money(payment_id) == ("CHARGED_BACK", 0, 30_00, None)


def test_a_booking_that_does_not_fit_the_payment_is_not_half_done(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund = desk.refund(payment_id, 30_00)
    fence = orders.claim_order(SYSTEM, refund.id, kind="refund").fence
    with db.engine.begin() as connection:
        connection.execute(Payment.__table__.update().values(reserved_minor=29_99))
    answer = Answer(Outcome.SUCCEEDED, "re_1", 30_00)
    with pytest.raises(RuntimeError, match="cannot be booked"):
        orders.book_order(SYSTEM, refund.id, kind="refund", fence=fence, answer=answer)
    db.session.refresh(refund)
    assert (refund.status, refund.provider_id) == (O.SUBMITTED, None)
    assert desk.money(payment_id) == ("PAID", 29_99, 0, "REFUND")


# ---- history that the provider has never seen ------------------------------------------------------------------------


def test_imported_history_is_introduced_once_and_then_refunded(desk: Desk) -> None:
    payment = desk.make.payment(transaction_id="IMPORTED-1")
    for amount in (30_00, 20_00):
        desk.refund(payment.id, amount)
        desk.settle()
    assert desk.money(payment.id) == ("PARTIALLY_REFUNDED", 0, 50_00, None)
    assert desk.simulator.captured("IMPORTED-1") == [100_00]
    db.session.refresh(payment)
    assert payment.provider_payment_id
    [entry] = trail(event="payments.payment.introduced")
    assert (entry.entity_id, entry.keys and entry.keys["transaction_id"]) == (str(payment.id), "IMPORTED-1")


def test_imported_history_can_be_voided(desk: Desk) -> None:
    payment_id = desk.make.payment(transaction_id="IMPORTED-1").id
    desk.void(payment_id)
    desk.settle()
    assert desk.money(payment_id) == ("VOIDED", 0, 0, None)
    assert desk.simulator.captured("IMPORTED-1") == [100_00]


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "err500_after", "err429", "pending"])
def test_an_introduction_that_gets_no_answer_happens_once_and_the_refund_follows(fault: str, desk: Desk) -> None:
    payment = desk.make.payment(transaction_id="IMPORTED-1")
    desk.simulator.config(idem_ttl_s=0)  # not even keys help: the charge is looked up by its reference
    desk.simulator.script("IMPORTED-1", [fault])
    refund = desk.refund(payment.id, 30_00)
    desk.work()
    assert (refund.status, refund.first_sent_at, desk.money(payment.id)) == (O.UNKNOWN, None, RESERVED)
    if fault == "pending":
        time.sleep(0.5)
    pass_time(seconds=30)
    desk.settle()
    assert desk.money(payment.id) == REFUNDED
    assert desk.simulator.captured("IMPORTED-1") == [100_00]
    assert desk.refunds_at_provider(refund.reference) == [30_00]


def test_a_refused_introduction_gives_the_reserve_back(desk: Desk) -> None:
    payment = desk.make.payment(transaction_id="IMPORTED-1")
    desk.simulator.script("IMPORTED-1", ["decline"])
    refund = desk.refund(payment.id, 30_00)
    desk.settle()
    assert (refund.status, desk.money(payment.id)) == (O.FAILED, GIVEN_BACK)


def _refund(payment: Payment, **values: Any) -> Refund:
    from payadmin.models.payments import RefundReason

    return Refund(
        payment_id=payment.id,
        amount_minor=1,
        unit=payment.unit,
        reason=RefundReason.DUPLICATE,
        key="k",
        provider_key="pk",
        reference="rf",
        requested_by="x",
        **values,
    )


def _every_step_can_be_found(payment_id: int, entity: str, order_id: int) -> None:
    """Staff find every act on an order by what the customer can name: the transaction, the invoice."""
    payment = db.session.get_one(Payment, payment_id)
    entries = trail(entity=entity, entity_id=str(order_id))
    assert entries
    for entry in entries:
        assert entry.keys is not None
        assert entry.keys["transaction_id"] == payment.transaction_id
        assert entry.keys["invoice_number"] == payment.invoice_number
