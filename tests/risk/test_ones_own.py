"""Nobody frees themselves, and nothing is reversed around the block of an owner."""

import contextlib

import pytest

from payadmin.actions import risk, wallets
from payadmin.kernel.errors import Conflict
from payadmin.models.access import StaffUser
from payadmin.models.risk import BlockReason, BlockTarget
from payadmin.models.wallets import MoveStatus, WalletTransaction
from tests.risk.conftest import Watch
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
