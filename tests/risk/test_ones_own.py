"""Nobody frees themselves, and nothing is reversed around the block of an owner."""

import contextlib

import pytest

from payadmin.actions import risk, wallets
from payadmin.kernel.errors import Conflict
from payadmin.kernel.tariffs import Term
from payadmin.models.access import StaffUser
from payadmin.models.risk import Block, BlockReason, BlockStatus, BlockTarget
from payadmin.models.wallets import ApplicationStatus, LimitApplication, MoveStatus, WalletTransaction
from tests.risk.conftest import TRANSFER, Watch
from tests.support.approvals import filed

T = BlockTarget


def test_nobody_lifts_a_block_of_themselves(watch: Watch) -> None:
    email = watch.get(StaffUser, watch.fraud.staff_id or 0).email
    me = watch.make.customer(email=email)
    me_id = me.id
    purse = watch.wallet(me, funds=10_00)
    for target, row_id in ((T.CUSTOMER, me_id), (T.WALLET, purse)):
        number = risk.block(
            watch.other, target=target, row_id=row_id, reason_code=BlockReason.TAKEN_OVER, note="Ordered"
        )
        with pytest.raises(Conflict, match="This is you"):
            watch.lift(number)


@pytest.mark.parametrize("side", ["payer", "payee"])
@pytest.mark.parametrize("is_customer", [True, False])
def test_nothing_is_reversed_around_the_block_of_an_owner(watch: Watch, side: str, *, is_customer: bool) -> None:
    person = watch.make.customer()
    owner_id = person.id if is_customer else watch.make.organization("Alpha").id
    theirs = watch.wallet(person if is_customer else "Alpha", funds=100_00)
    other = watch.wallet("Beta", funds=100_00)
    ends = (theirs, other) if side == "payer" else (other, theirs)
    row_id = watch.transfer(*ends, 50_00).id
    request = filed(lambda: wallets.reverse_transaction(watch.admin, row_id, reason="Wrong payee"))
    watch.block(T.CUSTOMER if is_customer else T.ORGANIZATION, owner_id)
    with contextlib.suppress(Conflict):
        watch.approve(watch.cfo, request)
    assert watch.get(WalletTransaction, row_id).status is MoveStatus.EXECUTED


def test_nobody_approves_that_a_block_of_themselves_is_lifted(watch: Watch) -> None:
    watch.make.approval_policy(rule="unblock_party")
    me_id = watch.make.customer(email=watch.get(StaffUser, watch.other.staff_id or 0).email).id
    number = watch.block(T.CUSTOMER, me_id)
    request = filed(lambda: watch.lift(number))
    watch.approve(watch.other, request)
    assert watch.get(Block, number).status is BlockStatus.ACTIVE


def test_nobody_lifts_a_block_of_a_payment_or_transaction_of_their_own(watch: Watch) -> None:
    me = watch.make.customer(email=watch.get(StaffUser, watch.fraud.staff_id or 0).email)
    me_id = me.id
    purse, other = watch.wallet(me, funds=10_00), watch.wallet("Beta", funds=10_00)
    moves = [watch.transfer(purse, other, 1_00).id, watch.transfer(other, purse, 1_00).id]
    paid = watch.make.payment(customer_id=me_id).id
    for target, row_id in ((T.PAYMENT, paid), *((T.WALLET_TRANSACTION, each) for each in moves)):
        number = risk.block(
            watch.other, target=target, row_id=row_id, reason_code=BlockReason.TAKEN_OVER, note="Ordered"
        )
        with pytest.raises(Conflict, match="This is you"):
            watch.lift(number)


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_nobody_approves_an_application_of_their_own_wallet(watch: Watch, side: str) -> None:
    me = watch.make.customer(
        email=watch.get(StaffUser, watch.fraud.staff_id or 0).email,
        organization_id=watch.make.organization("Alpha").id,
    )
    shop = watch.wallet("Alpha", funds=100_00)
    mine = watch.wallet(me, funds=100_00)
    watch.contract("Alpha", Term(TRANSFER, "EUR", limit_single_minor=10_00))
    ends = (mine, shop) if side == "payer" else (shop, mine)
    number = watch.application(watch.transfer(*ends, 50_00).id).id
    with pytest.raises(Conflict, match="This is you"):
        wallets.approve_application(watch.fraud, number)
    assert watch.get(LimitApplication, number).status is ApplicationStatus.PENDING
    assert wallets.approve_application(watch.other, number) is ApplicationStatus.EXECUTED
