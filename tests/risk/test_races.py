"""Many at once: one decision, one block, and a charge that is over before a block or never begins."""

import datetime as dt
import random
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.actions import wallets
from payadmin.actions.subscriptions import charging
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.charging import Report
from payadmin.db import db, utcnow
from payadmin.jobs.subscriptions import ChargeCounter
from payadmin.kernel.errors import Conflict
from payadmin.models.risk import Block, BlockStatus, BlockTarget
from payadmin.models.subscriptions import ChargeStatus
from payadmin.models.wallets import ApplicationStatus, LimitApplication
from payadmin.permissions import Role
from payadmin.queries.risk import charges_in_hand
from payadmin.work import SYSTEM
from tests.risk.conftest import Watch
from tests.support.approvals import filed
from tests.support.billing import Office
from tests.support.races import together

LEASE, WINDOWS = dt.timedelta(seconds=60), {"simulator": dt.timedelta(hours=20)}


def test_approving_rejecting_and_expiring_at_once_moves_the_money_once(app: Flask, watch: Watch) -> None:
    payer, payee = watch.wallet("Alpha", funds=1_000_00), watch.wallet("Beta")
    from payadmin.kernel.tariffs import Term
    from tests.risk.conftest import TRANSFER

    watch.contract("Alpha", Term(TRANSFER, "EUR", limit_single_minor=10_00))
    arrived = 0
    for turn in range(6):
        number = watch.application(watch.transfer(payer, payee, 50_00).id).id
        soon = utcnow() + dt.timedelta(milliseconds=random.randint(0, 60))
        with db.engine.begin() as connection:
            connection.execute(update(LimitApplication).where(LimitApplication.id == number).values(expires_at=soon))
        acts = [
            lambda number=number: wallets.approve_application(watch.fraud, number),
            lambda number=number: wallets.reject_application(watch.other, number, reason="No"),
            lambda number=number: wallets.expire_application(SYSTEM, number),
        ]
        done, refused = together(app, *acts, *acts)
        decided = [each for each in done if isinstance(each, ApplicationStatus) or each is True]
        status = watch.get(LimitApplication, number).status
        if not decided:  # it had not ended yet when the job looked, and both others came too late
            assert status is ApplicationStatus.PENDING, turn
        assert len(decided) == 1, (turn, done, refused)
        assert {type(each) for each in refused} <= {Conflict}
        arrived += 50_00 if status is ApplicationStatus.EXECUTED else 0
        assert watch.amounts(payee).available_minor == arrived
        assert watch.amounts(payer).held_minor == 0
    assert watch.amounts(payer).available_minor == 1_000_00 - arrived
    assert watch.unsound() == []


def test_two_blocks_at_once_are_one(app: Flask, watch: Watch) -> None:
    wallet = watch.wallet("Alpha")
    done, refused = together(app, *(lambda: watch.block(BlockTarget.WALLET, wallet) for _ in range(6)))
    assert (len(done), {type(each) for each in refused}) == (1, {Conflict})
    assert watch.count(Block) == 1


def test_a_transfer_is_over_before_a_block_or_sees_it(app: Flask, watch: Watch) -> None:
    payee = watch.wallet("Beta")
    for turn in range(6):
        customer = watch.make.customer()
        customer_id = customer.id
        payer = watch.wallet(customer, funds=100_00)
        before = watch.amounts(payee).available_minor

        def pay(payer: int = payer, turn: int = turn) -> str:
            wallets.transfer(watch.admin, payer, to_id=payee, amount_minor=100_00, key=f"t{turn}")
            return "paid"

        def stop(customer_id: int = customer_id) -> int:
            return watch.block(BlockTarget.CUSTOMER, customer_id)

        done, refused = together(app, pay, stop)
        [number] = [each for each in done if isinstance(each, int)]
        was_paid = "paid" in done
        assert len(refused) == int(not was_paid), refused
        assert watch.amounts(payee).available_minor == before + (100_00 if was_paid else 0)
        assert watch.stops(number) == ([] if was_paid else ["wallets.transfer"])


def test_a_charge_is_in_hand_when_a_block_comes_or_never_begins(
    app: Flask, watch: Watch, office: Office, browse: Callable[..., FlaskClient]
) -> None:
    seen, client = set(), browse(Role.ANTI_FRAUD)
    counter = ChargeCounter(app.extensions["payadmin.settings"])
    for _turn in range(8):
        charge, paid = office.due(), [each.id for each in office.payments()]
        charge_id, subscription_id = charge.id, charge.subscription_id or 0
        customer_id = office.subscription_now(subscription_id).customer_id
        assert enqueue_due(SYSTEM, zone=office.zone) == 1

        def claim() -> list[Any]:
            return charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)

        def stop(customer_id: int = customer_id) -> int:
            return watch.block(BlockTarget.CUSTOMER, customer_id)

        done, refused = together(app, claim, stop)
        assert refused == []
        [number] = [each for each in done if isinstance(each, int)]
        [claims] = [each for each in done if isinstance(each, list)]
        claims = claims or claim()  # whoever was not claimed before is looked at again, and dropped
        status = office.status(charge_id)
        in_hand = [each.charge_id for each in charges_in_hand(db.session(), watch.get(Block, number))]
        db.session.rollback()
        seen.add(status)
        invoice = office.charge(charge_id).invoice_number
        page = client.get(f"/blocks/{number}/").text
        assert invoice in page, "the page says which charge it was, in hand or stopped"
        if claims:
            assert (status, in_hand, watch.stops(number)) == (ChargeStatus.PROCESSING, [charge_id], [])
            assert ("they are finished" in page, "Nobody tried anything yet" in page) == (True, True)
            # The worker that has it goes on: the block does not take it out of its hand.
            counter.book([Report(claim, counter.call(claim, time.monotonic())) for claim in claims])
            db.session.rollback()
            assert office.status(charge_id) is ChargeStatus.SUCCEEDED
            assert "Succeeded" in client.get(f"/blocks/{number}/").text
        else:
            assert (status, in_hand, len(watch.stops(number))) == (ChargeStatus.CANCELLED, [], 1)
            assert "No charge was on its way" in page
            assert [each.id for each in office.payments()] == paid
    assert seen <= {ChargeStatus.PROCESSING, ChargeStatus.CANCELLED}


def test_many_who_approve_a_lift_lift_it_once(app: Flask, watch: Watch) -> None:
    watch.make.approval_policy(rule="unblock_party")
    number = watch.block(BlockTarget.CUSTOMER, watch.make.customer().id)
    request = filed(lambda: watch.lift(number))
    checkers = [watch.person(Role.ANTI_FRAUD) for _ in range(3)]
    confirmed = [(checker, watch.confirm(checker, request)) for checker in checkers]
    from payadmin.actions.approvals import approve_request

    acts = [lambda c=checker, f=form: approve_request(c, request, reason=None, **f) for checker, form in confirmed]
    done, refused = together(app, *acts)
    assert (len(done), {type(each) for each in refused}) == (1, {Conflict})
    assert watch.get(Block, number).status is BlockStatus.LIFTED
    lifted = db.session.scalars(select(Block.id).where(Block.status == BlockStatus.LIFTED)).all()
    assert lifted == [number]
