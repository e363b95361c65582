"""A block holds in every room: batches, mass payments, registrations, keys of the API, bonus units, adjustments."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.actions import wallets
from payadmin.actions.subscriptions import register_subscription
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.kernel.errors import Conflict, NeedsApproval
from payadmin.models.approvals import ApprovalStatus
from payadmin.models.batches import BatchRow, RowStatus
from payadmin.models.risk import BlockScope, BlockStop, BlockTarget
from payadmin.models.wallets import Wallet
from payadmin.permissions import ApiScope, Role
from payadmin.queries.blocks import Blocked
from payadmin.work import SYSTEM
from tests.risk.conftest import Watch
from tests.support.approvals import filed
from tests.support.batches import BatchRoom
from tests.support.billing import DAILY, Office
from tests.support.desk import trail
from tests.support.make import Make
from tests.support.pages import token_of
from tests.support.payroll import Payroll
from tests.support.programs import make_program
from tests.support.signin import PASSWORD, enter_as, make_staff, secret_of

T = BlockTarget


@pytest.fixture
def payroll(office: Office, watch: Watch) -> Payroll:
    return Payroll(BatchRoom(office), watch)


def test_a_mass_payment_stops_at_the_row_of_who_is_blocked_and_goes_on(watch: Watch, payroll: Payroll) -> None:
    batch = payroll.checked([payroll.row(1), payroll.row(2), payroll.row(3)])
    batch_id = batch.id
    payroll.room.process(batch_id)
    number = watch.block(T.WALLET, payroll.wallets[2])
    payroll.room.office.work()
    rows = select(BatchRow.row_number, BatchRow.status).where(BatchRow.batch_id == batch_id)
    db.session.rollback()
    assert [status for _row, status in sorted(db.session.execute(rows).all())] == [
        RowStatus.DONE,
        RowStatus.REFUSED,
        RowStatus.DONE,
    ]
    assert (payroll.got(1), payroll.got(2), payroll.got(3)) == (10_00, 0, 10_00)
    assert watch.stops(number) == ["batches.pay_row"]


def test_a_blocked_payer_neither_uploads_nor_confirms(watch: Watch, payroll: Payroll) -> None:
    batch_id = payroll.checked([payroll.row(1)]).id
    number = watch.block(T.ORGANIZATION, payroll.payer_id)
    with pytest.raises(Conflict):
        payroll.room.process(batch_id)
    with pytest.raises(Blocked):
        payroll.upload([payroll.row(2)])
    assert payroll.left() == 1_000_00
    assert watch.stops(number) == ["batches.process_batch", "batches.store_batch"]
    watch.lift(number)
    payroll.room.process(batch_id)


@pytest.mark.parametrize("target", [T.CUSTOMER, T.ORGANIZATION])
def test_nobody_registers_with_or_for_who_is_blocked(watch: Watch, office: Office, target: BlockTarget) -> None:
    customer_id, merchant_id = watch.make.customer().id, watch.make.organization("Shop").id
    watch.make.method()
    number = watch.block(target, customer_id if target is T.CUSTOMER else merchant_id)

    def register() -> Any:
        return register_subscription(
            SYSTEM, billing_number="B-1", customer_id=customer_id, merchant_id=merchant_id, amount_minor=10_00,
            unit="EUR", method="card", provider="simulator", card_token="tok_visa", schedule=DAILY,
            start_date=office.today, expiration_date=None, zone=office.zone,
        )  # fmt: skip

    with pytest.raises(Blocked):
        register()
    assert watch.stops(number) == ["subscriptions.register_subscription"]
    watch.lift(number)
    assert register().billing_number == "B-1"


def test_the_keys_of_a_blocked_organization_open_nothing(app: Flask, make: Make, watch: Watch) -> None:
    shop = make.organization("Shop").id
    program = make_program(app, make, *ApiScope, organization_id=shop)
    assert program.ask("/key").status_code == 200
    number = watch.block(T.ORGANIZATION, shop)
    answer = program.ask("/key")
    assert (answer.status_code, "blocked" in answer.text) == (401, True)
    assert len(watch.stops(number)) == 1
    for _turn in range(3):
        assert program.ask("/key").status_code == 401
    assert len(watch.stops(number)) == 1, "a program that goes on asking fills no table"
    assert db.session.scalars(select(BlockStop.times).where(BlockStop.block_id == number)).all() == [4]
    [entry] = trail(event="api.key.refused")
    assert (entry.outcome, entry.keys["block_id"]) == ("refused", number)
    with db.engine.begin() as connection:  # an hour goes by
        connection.execute(update(BlockStop).values(slot="before"))
    program.ask("/key")
    assert len(watch.stops(number)) == 2
    watch.lift(number)
    assert program.ask("/key").status_code == 200


def test_the_staff_of_a_blocked_organization_are_let_in_nowhere(app: Flask, make: Make, watch: Watch) -> None:
    shop = make.organization("Shop").id
    staff_id = make_staff(Role.ISSUER, username="irene", organization_id=shop).id
    inside, halfway, outside = enter_as(app, staff_id), app.test_client(), app.test_client()

    def send(client: FlaskClient, address: str, **form: str) -> Any:
        return client.post(address, data={"csrf_token": token_of(client, address), **form})

    def knock(client: FlaskClient) -> str | None:
        answer: str | None = send(client, "/login", username="irene", password=PASSWORD).location
        return answer

    assert (inside.get("/account/").status_code, knock(halfway)) == (200, "/login/code")
    number = watch.block(T.ORGANIZATION, shop)
    assert (inside.get("/account/").location, knock(outside)) == ("/login?next=/account/", None)
    code = totp.code_at(secret_of(staff_id), utcnow())
    assert send(halfway, "/login/code", code=code).status_code == 422
    watch.lift(number)
    assert knock(outside) == "/login/code"
    assert enter_as(app, staff_id).get("/account/").status_code == 200


def test_nothing_is_adjusted_or_opened_for_who_is_blocked(watch: Watch) -> None:
    wallet = watch.wallet("Alpha", funds=10_00)
    number = watch.block(T.WALLET, wallet, scope=BlockScope.DEBITS)

    def adjust(amount: int) -> Callable[[], Any]:
        return lambda: wallets.adjust_wallet(watch.admin, wallet, amount_minor=amount, reason="Wrong", key=f"a{amount}")

    with pytest.raises(Blocked):
        adjust(-1_00)()
    with pytest.raises(NeedsApproval):
        adjust(1_00)()
    assert watch.stops(number) == ["wallets.adjust_wallet"]
    # What was asked for before the block is stopped when it is approved; that stands with the block too.
    other = watch.wallet("Beta", funds=10_00)
    request = filed(lambda: wallets.adjust_wallet(watch.admin, other, amount_minor=-1_00, reason="Wrong", key="b"))
    number = watch.block(T.ORGANIZATION, watch.get(Wallet, other).organization_id or 0)
    assert watch.approve(watch.cfo, request).status is ApprovalStatus.FAILED
    assert watch.stops(number) == ["wallets.adjust_wallet"]
    assert watch.amounts(other).available_minor == 10_00
    shop = watch.make.organization("Shop").id
    watch.block(T.ORGANIZATION, shop)
    with pytest.raises(Blocked):
        wallets.open_wallet(watch.admin, unit="EUR", organization_id=shop)
