"""Many people at once: the same payment, the same form, a refund against a void (P14, P15)."""

from collections import Counter
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin.actions.payments import REFUND_ACT, VOID_ACT, orders, refund_in_run
from payadmin.actions.payments.orders import Turn
from payadmin.db import db
from payadmin.jobs import runner
from payadmin.kernel.errors import Conflict
from payadmin.models.payments import Payment, Refund, VoidRequest
from payadmin.providers import Answer, Outcome
from payadmin.work import SYSTEM, Actor
from tests.support.desk import Desk, trail
from tests.support.make import Make
from tests.support.races import at_once

PAYMENTS = 200


@pytest.mark.parametrize("operators", [2, 8])
def test_operators_at_once_never_refund_more_than_was_paid(operators: int, app: Flask, make: Make) -> None:
    # Each wants 60 of 100 from every payment, so exactly one can have it (P14).
    ids = _payments(make)
    actors = [Actor(None, f"operator {n}", permissions=make.actor().permissions) for n in range(operators)]

    def every_payment(actor: Actor) -> list[str]:
        said = []
        for payment_id in ids:
            try:
                refund_in_run(
                    actor,
                    payment_id,
                    key=f"{actor.name}:{payment_id}",
                    run_data={"reason": "DUPLICATE"},
                    row_data={"amount": 60_00},
                )
                said.append("accepted")
            except Conflict as refusal:
                said.append(refusal.sentence)
        return said

    outcomes = at_once(app, [partial(every_payment, actor) for actor in actors])
    said = Counter(word for outcome in outcomes for word in outcome)
    assert said == {"accepted": PAYMENTS, "A refund is being processed.": PAYMENTS * (operators - 1)}
    assert db.session.scalar(select(func.count()).where(Payment.reserved_minor == 60_00)) == PAYMENTS
    per_payment = select(func.count()).select_from(Refund).group_by(Refund.payment_id)
    assert db.session.scalars(per_payment).all() == [1] * PAYMENTS
    assert len(trail(outcome="refused")) == PAYMENTS * (operators - 1)


def test_operators_with_codes_at_once_get_one_refund_and_a_reason(desk: Desk) -> None:
    actors = [desk.operator() for _ in range(8)]
    for _ in range(5):
        payment_id = desk.make.payment().id
        forms = [desk.confirm(actor, REFUND_ACT, payment_id) for actor in actors]
        said = at_once(
            desk.app,
            [
                partial(desk.refund, payment_id, 60_00, actor=actor, **form)
                for actor, form in zip(actors, forms, strict=True)
            ],
        )
        lost = [answer.sentence for answer in said if isinstance(answer, Conflict)]
        assert lost == ["A refund is being processed."] * 7, said
        assert desk.money(payment_id) == ("PAID", 60_00, 0, "REFUND")


def test_the_same_form_posted_twenty_times_at_once_refunds_once(desk: Desk) -> None:
    payment_id = desk.paid().id
    actor = desk.operator()
    form = desk.confirm(actor, REFUND_ACT, payment_id) | {"key": "double-click"}
    post = lambda: desk.refund(payment_id, 30_00, actor=actor, **form).reference  # noqa: E731
    answers = set(at_once(desk.app, [post] * 20))
    assert len(answers) == 1
    [reference] = answers
    desk.settle()
    assert desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 30_00, None)
    assert (desk.posts(reference), desk.refunds_at_provider(reference)) == (1, [30_00])
    assert db.session.query(Refund).count() == 1


def test_the_same_void_form_posted_twenty_times_at_once_voids_once(desk: Desk) -> None:
    payment_id = desk.paid().id
    actor = desk.operator()
    form = desk.confirm(actor, VOID_ACT, payment_id) | {"key": "double-click"}
    post = lambda: desk.void(payment_id, actor=actor, **form).reference  # noqa: E731
    [reference] = set(at_once(desk.app, [post] * 20))
    desk.settle()
    assert desk.money(payment_id) == ("VOIDED", 0, 0, None)
    assert desk.posts(reference) == 1


def test_a_void_and_a_refund_at_once_never_both_happen(desk: Desk) -> None:
    first, second = desk.operator(), desk.operator()
    for _ in range(10):
        payment_id = desk.paid().id
        refund, void = desk.confirm(first, REFUND_ACT, payment_id), desk.confirm(second, VOID_ACT, payment_id)
        said = at_once(
            desk.app,
            [
                partial(desk.refund, payment_id, 30_00, actor=first, **refund),
                partial(desk.void, payment_id, actor=second, **void),
            ],
        )
        [lost] = [answer for answer in said if not isinstance(answer, Refund | VoidRequest)]
        assert isinstance(lost, Conflict), lost
        assert "is being processed" in lost.sentence
    desk.settle()
    ledger = desk.simulator.ledger()
    refunded = {row.payment_id for row in db.session.query(Refund)}
    voided = {row.payment_id for row in db.session.query(VoidRequest)}
    assert (len(refunded) + len(voided), refunded & voided) == (10, set())
    assert (len(ledger["refunded"]), len(ledger["voided"])) == (len(refunded), len(voided))


def test_workers_at_once_send_every_refund_once(desk: Desk) -> None:
    actor = desk.make.actor()
    ids = [desk.paid().id for _ in range(30)]
    for payment_id in ids:
        refund_in_run(actor, payment_id, key=str(payment_id), run_data={"reason": "DUPLICATE"}, row_data={})
    done = at_once(desk.app, [runner.drain] * 4)
    assert sum(done) == 30, done
    db.session.rollback()
    assert {desk.money(payment_id) for payment_id in ids} == {("TOTALLY_REFUNDED", 0, 100_00, None)}
    assert Counter(desk.simulator.stats()["posts_by_reference"].values()) == {1: 60}  # each charge and each refund


def test_only_one_of_many_workers_claims_an_order(desk: Desk) -> None:
    refund_id = desk.refund(desk.paid().id, 30_00).id
    claims = at_once(desk.app, [lambda: orders.claim_order(SYSTEM, refund_id, kind="refund")] * 8)
    assert Counter(claim.turn for claim in claims) == {Turn.SEND: 1, Turn.WAIT: 7}


def test_an_answer_booked_by_many_at_once_moves_the_money_once(desk: Desk) -> None:
    payment_id = desk.paid().id
    refund_id = desk.refund(payment_id, 30_00).id
    fence = orders.claim_order(SYSTEM, refund_id, kind="refund").fence
    answer = Answer(Outcome.SUCCEEDED, "re_1", 30_00)
    book = lambda: orders.book_order(SYSTEM, refund_id, kind="refund", fence=fence, answer=answer)  # noqa: E731
    assert at_once(desk.app, [book] * 8) == [None] * 8
    assert desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 30_00, None)
    assert len(trail(event="payments.refund.succeeded")) == 1


def _payments(make: Make) -> list[int]:
    """Many paid payments, in one transaction."""
    pattern = make.payment()
    shared = {
        column.key: getattr(pattern, column.key)
        for column in Payment.__table__.columns
        if column.key not in {"id", "transaction_id"}
    }
    with db.engine.begin() as connection:
        rows = [shared | {"transaction_id": f"M-{number:04}"} for number in range(PAYMENTS - 1)]
        connection.execute(Payment.__table__.insert(), rows)
    db.session.rollback()
    return list(db.session.scalars(select(Payment.id)))
