"""Blocks: at once and everywhere, with a trail of what they stopped, and lifted by who may (LI5, K-71)."""

import datetime as dt

import pytest
from sqlalchemy import select

from payadmin.actions import risk, wallets
from payadmin.actions.subscriptions import charging
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.db import db, utcnow
from payadmin.jobs.risk import end_blocks
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, CustomerStatus, OrganizationKind
from payadmin.models.payments import InFlight, Mode, OrderStatus, Payment, PaymentStatus, Refund
from payadmin.models.risk import Block, BlockReason, BlockScope, BlockStatus, BlockTarget
from payadmin.models.subscriptions import ChargeStatus
from payadmin.models.wallets import ApplicationStatus, LimitApplication, MoveStatus, Wallet, WalletStatus
from payadmin.permissions import Role
from payadmin.queries.blocks import Blocked
from payadmin.queries.risk import candidates
from payadmin.queries.wallets import why_unusable
from payadmin.work import SYSTEM
from tests.risk.conftest import Watch
from tests.support.approvals import filed
from tests.support.billing import Office
from tests.support.desk import Desk

T = BlockTarget
LEASE, WINDOWS = dt.timedelta(seconds=4), {"simulator": dt.timedelta(hours=20)}


def test_nothing_leaves_a_wallet_whose_debits_are_blocked_but_money_comes_in(watch: Watch) -> None:
    payer, payee = watch.wallet("Alpha", funds=100_00), watch.wallet("Beta", funds=100_00)
    number = watch.block(T.WALLET, payer, scope=BlockScope.DEBITS)
    with pytest.raises(Blocked, match="nothing leaves it"):
        watch.transfer(payer, payee, 1_00)
    assert watch.transfer(payee, payer, 1_00).status is MoveStatus.EXECUTED
    assert watch.stops(number) == ["wallets.transfer"]
    watch.block(T.WALLET, payer)
    with pytest.raises(Blocked, match="leaves it or comes in"):
        watch.transfer(payee, payer, 1_00)
    assert watch.unsound() == []


def test_the_wallets_of_a_blocked_owner_stand_still(watch: Watch) -> None:
    customer = watch.make.customer()
    customer_id, organization_id = customer.id, watch.make.organization("Alpha").id
    mine, theirs = watch.wallet(customer, funds=100_00), watch.wallet("Alpha", funds=100_00)
    other = watch.wallet("Beta", funds=100_00)
    numbers = [watch.block(T.CUSTOMER, customer_id), watch.block(T.ORGANIZATION, organization_id)]
    for wallet in (mine, theirs):
        for payer, payee in ((wallet, other), (other, wallet)):
            with pytest.raises(Blocked, match="owner of wallet"):
                watch.transfer(payer, payee, 1_00)
    assert [watch.stops(number) for number in numbers] == [["wallets.transfer"] * 2] * 2
    assert watch.get(Customer, customer_id).status is CustomerStatus.BLOCKED
    watch.lift(numbers[0])
    assert watch.get(Customer, customer_id).status is CustomerStatus.ACTIVE
    assert watch.transfer(mine, other, 1_00).status is MoveStatus.EXECUTED


def test_a_block_whose_time_is_over_is_ignored_at_once_and_ended_by_a_job(watch: Watch) -> None:
    payer, payee = watch.wallet("Alpha", funds=100_00), watch.wallet("Beta")
    number = watch.block(T.WALLET, payer, until=utcnow() + dt.timedelta(hours=1))
    assert end_blocks() == 0
    watch.age(number)
    assert why_unusable(db.session(), watch.get(Wallet, payer), pays=True) is None
    assert watch.transfer(payer, payee, 1_00).status is MoveStatus.EXECUTED
    again = watch.block(T.WALLET, payer)  # the old one does not stand in the way
    assert watch.get(Block, number).status is BlockStatus.ENDED
    watch.age(again)
    assert end_blocks() == 1
    assert (watch.get(Block, again).status, watch.get(Wallet, payer).status) == (BlockStatus.ENDED, WalletStatus.OPEN)


def test_two_scopes_stand_beside_each_other_and_each_only_once(watch: Watch) -> None:
    wallet = watch.wallet("Alpha")
    first = watch.block(T.WALLET, wallet, scope=BlockScope.DEBITS)
    with pytest.raises(Conflict, match="blocked already"):
        watch.block(T.WALLET, wallet, scope=BlockScope.DEBITS)
    second = watch.block(T.WALLET, wallet)
    watch.lift(first)
    assert watch.get(Wallet, wallet).status is WalletStatus.BLOCKED
    watch.lift(second)
    assert watch.get(Wallet, wallet).status is WalletStatus.OPEN
    with pytest.raises(Conflict, match="over already"):
        watch.lift(second)


def test_a_blocked_payment_is_neither_refunded_nor_voided(watch: Watch, desk: Desk) -> None:
    payment_id = desk.paid().id
    number = watch.block(T.PAYMENT, payment_id)
    with pytest.raises(Blocked):
        desk.refund(payment_id, 10_00)
    with pytest.raises(Blocked):
        desk.void(payment_id)
    assert watch.stops(number) == ["payments.request_refund", "payments.request_void"]
    watch.lift(number)
    assert desk.refund(payment_id, 10_00).status is OrderStatus.QUEUED


def test_a_refund_that_was_not_sent_is_taken_back_when_its_payment_is_blocked(watch: Watch, desk: Desk) -> None:
    payment_id = desk.paid().id
    refund_id = desk.refund(payment_id, 10_00).id
    assert watch.get(Payment, payment_id).in_flight is InFlight.REFUND
    number = watch.block(T.PAYMENT, payment_id)
    desk.work()
    payment = watch.get(Payment, payment_id)
    assert (payment.in_flight, payment.reserved_minor, payment.refunded_minor) == (None, 0, 0)
    assert watch.get(Refund, refund_id).status is OrderStatus.CANCELLED
    assert watch.stops(number) == ["payments.refund"]
    assert watch.unsound() == []


def test_a_blocked_customer_is_not_charged_and_what_was_in_hand_is_told(watch: Watch, office: Office) -> None:
    begun, opened, later = office.due(), office.due(), office.due()
    customers = [office.subscription_now(each.subscription_id or 0).customer_id for each in (begun, opened, later)]
    later_number = watch.block(T.CUSTOMER, customers[2])
    assert enqueue_due(SYSTEM, zone=office.zone) == 2  # the date of who is blocked is held back
    claims = {
        claim.reference: claim for claim in charging.claim_charges(SYSTEM, limit=1, lease=LEASE, key_windows=WINDOWS)
    }
    [claim] = claims.values()
    first, second = (begun, opened) if office.charge(begun.id).status is ChargeStatus.PROCESSING else (opened, begun)
    assert claim.reference
    numbers = {
        each.id: watch.block(T.CUSTOMER, office.subscription_now(each.subscription_id or 0).customer_id)
        for each in (first, second)
    }
    assert charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS) == []
    assert office.status(first.id) is ChargeStatus.PROCESSING
    assert (office.status(second.id), office.attempts(second.id)) == (ChargeStatus.CANCELLED, ["CANCELLED"])
    assert office.status(later.id) is ChargeStatus.SCHEDULED
    from payadmin.queries.risk import charges_in_hand

    in_hand = {
        number: [each.charge_id for each in charges_in_hand(db.session(), watch.get(Block, number))]
        for number in (*numbers.values(), later_number)
    }
    assert in_hand == {numbers[first.id]: [first.id], numbers[second.id]: [], later_number: []}
    assert watch.stops(numbers[second.id]) == ["subscriptions.charge"]
    watch.lift(later_number)
    office.settle()
    assert office.status(later.id) is ChargeStatus.SUCCEEDED


def test_a_blocked_merchant_is_not_paid(watch: Watch, office: Office) -> None:
    charge = office.due()
    merchant = office.subscription_now(charge.subscription_id or 0).merchant_id
    assert enqueue_due(SYSTEM, zone=office.zone) == 1
    number = watch.block(T.ORGANIZATION, merchant)
    assert charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS) == []
    assert office.status(charge.id) is ChargeStatus.CANCELLED
    assert watch.stops(number) == ["subscriptions.charge"]


def test_a_blocked_transaction_is_not_executed_by_an_approval(watch: Watch) -> None:
    application, payer, _payee = watch.held()
    number = watch.block(T.WALLET_TRANSACTION, watch.get(LimitApplication, application).transaction_id)
    assert wallets.approve_application(watch.fraud, application) is ApplicationStatus.EXECUTION_FAILED
    assert watch.amounts(payer).available_minor == 100_00
    assert watch.stops(number) == ["wallets.approve_application"]
    with pytest.raises(Conflict, match="released"):
        watch.block(T.WALLET_TRANSACTION, watch.get(LimitApplication, application).transaction_id)


def test_a_blocked_transaction_is_not_reversed(watch: Watch) -> None:
    payer, payee = watch.wallet("Alpha", funds=100_00), watch.wallet("Beta")
    row_id = watch.transfer(payer, payee, 10_00).id
    watch.block(T.WALLET_TRANSACTION, row_id)
    with pytest.raises(Blocked):
        wallets.reverse_transaction(watch.admin, row_id, reason="Wrong")


@pytest.mark.parametrize("status", [PaymentStatus.FAILED, PaymentStatus.VOIDED, PaymentStatus.TOTALLY_REFUNDED])
def test_what_is_over_cannot_be_blocked(watch: Watch, status: PaymentStatus) -> None:
    payment = watch.make.payment(status=status)
    with pytest.raises(Conflict, match="nothing can be done with it"):
        watch.block(T.PAYMENT, payment.id)
    assert watch.count(Block) == 0


def test_nobody_blocks_themselves_or_the_house(watch: Watch) -> None:
    system = watch.make.organization("House", kind=OrganizationKind.SYSTEM)
    with pytest.raises(Conflict, match="system itself"):
        watch.block(T.ORGANIZATION, system.id)
    with pytest.raises(Conflict, match="system itself"):
        watch.block(T.WALLET, watch.wallet("House"))
    from payadmin.models.access import StaffUser

    email = watch.get(StaffUser, watch.fraud.staff_id or 0).email
    me = watch.make.customer(email=email.upper())
    with pytest.raises(Conflict, match="This is you"):
        watch.block(T.CUSTOMER, me.id)


def test_whoever_is_to_be_blocked_is_found_by_their_address_in_other_letters(watch: Watch) -> None:
    customer_id = watch.make.customer(email="Ann.Winter@Example.com").id
    assert candidates(db.session(), "ann.winter@example.com", Mode.LIVE) == [(T.CUSTOMER, customer_id)]


def test_a_block_needs_words_a_time_to_come_and_the_permission(watch: Watch) -> None:
    wallet, customer = watch.wallet("Alpha"), watch.make.customer().id
    with pytest.raises(Invalid) as refusal:
        watch.block(T.WALLET, wallet, note="  ")
    assert refusal.value.field == "note"
    with pytest.raises(Invalid) as refusal:
        watch.block(T.WALLET, wallet, until=utcnow() - dt.timedelta(minutes=1))
    assert refusal.value.field == "until"
    with pytest.raises(Invalid) as refusal:
        watch.block(T.CUSTOMER, customer, scope=BlockScope.DEBITS)
    assert refusal.value.field == "scope"
    with pytest.raises(NotFound):
        watch.block(T.PAYMENT, 404)
    usual = {"target": T.WALLET, "row_id": wallet, "reason_code": BlockReason.OTHER, "note": "x"}
    with pytest.raises(Forbidden):
        risk.block(watch.admin, **usual)
    assert watch.count(Block) == 0


def test_lifting_waits_for_a_second_person_above_a_policy(watch: Watch) -> None:
    watch.make.approval_policy(rule="unblock", unit="EUR", threshold_minor=50_00)
    small, large = watch.wallet("Alpha", funds=10_00), watch.wallet("Beta", funds=100_00)
    watch.lift(watch.block(T.WALLET, small))
    number = watch.block(T.WALLET, large)
    request = filed(lambda: watch.lift(number))
    assert watch.get(Block, number).status is BlockStatus.ACTIVE
    with pytest.raises(Forbidden):
        watch.approve(watch.fraud, request)
    watch.approve(watch.other, request)
    assert (watch.get(Block, number).status, watch.get(Wallet, large).status) == (BlockStatus.LIFTED, WalletStatus.OPEN)
    event = db.session.scalars(
        select(AuditEvent).where(AuditEvent.event == "risk.block.lifted").order_by(AuditEvent.id.desc())
    ).first()
    assert event is not None
    assert (event.actor_name, (event.keys or {})["approved_by"]) == (watch.fraud.name, watch.other.name)


def test_lifting_a_block_of_a_party_waits_only_where_a_policy_says_so(watch: Watch) -> None:
    number = watch.block(T.CUSTOMER, watch.make.customer().id)
    watch.make.approval_policy(rule="unblock_party")
    filed(lambda: watch.lift(number))


def test_only_anti_fraud_reads_blocks(watch: Watch, browse) -> None:  # type: ignore[no-untyped-def]
    number = watch.block(T.WALLET, watch.wallet("Alpha", funds=5_00))
    for role, status in ((Role.ANTI_FRAUD, 200), (Role.ADMIN, 403), (Role.SUPPORT_MANAGER, 403)):
        for address in ("/blocks/", f"/blocks/{number}/", "/blocks/find/?q=x", f"/blocks/{number}/lift/"):
            assert browse(role).get(address).status_code == status, (role, address)
