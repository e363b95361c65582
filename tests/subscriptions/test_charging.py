"""Every due date is charged exactly once and shown so, whatever the provider, the worker or the clock does."""

import datetime as dt

import pytest
from sqlalchemy import select

from payadmin.actions.subscriptions import ask_again, charging, declare_unpaid, save_retry_policy
from payadmin.actions.subscriptions.charging import Report
from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import PaymentEvent, PaymentStatus, PaymentType
from payadmin.models.subscriptions import (
    ChargeAttempt,
    ChargeStatus,
    OnExhausted,
    ProviderBreaker,
    Purpose,
    ScheduledCharge,
    SubscriptionStatus,
)
from payadmin.providers import Answer, Outcome
from payadmin.work import SYSTEM
from tests.support.billing import Office, pass_time

LEASE = dt.timedelta(seconds=4)
WINDOWS = {"simulator": dt.timedelta(hours=20)}


def test_a_due_date_becomes_one_payment_with_its_story(office: Office) -> None:
    charge = office.due()
    later = office.due(days=1)
    assert office.work() == 1
    row = office.charge(charge.id)
    assert (row.status, row.attempts) == (ChargeStatus.SUCCEEDED, 1)
    [payment] = office.payments()
    assert (payment.id, payment.status, payment.type) == (row.payment_id, PaymentStatus.PAID, PaymentType.SUBSCRIPTION)
    assert (payment.amount_minor, payment.captured_minor, payment.unit) == (10_00, 10_00, "EUR")
    assert payment.subscription_id == row.subscription_id
    assert db.session.scalars(select(PaymentEvent.event)).all() == ["Payment executed"]
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    assert db.session.scalars(select(AuditEvent.event)).all() == ["subscriptions.charge.succeeded"]
    assert office.status(later.id) is ChargeStatus.SCHEDULED
    assert office.work() == 0
    assert office.simulator.captured(charge.invoice_number) == [10_00]


@pytest.mark.parametrize(
    "fault", ["drop_before", "drop_after", "err500_before", "err500_after", "slow", "late", "err429", "pending"]
)
def test_every_fault_of_the_provider_ends_in_one_capture_that_is_shown_paid(office: Office, fault: str) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, [fault])
    office.settle()
    assert office.status(charge.id) is ChargeStatus.SUCCEEDED
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    assert [payment.captured_minor for payment in office.payments()] == [10_00]
    assert office.attempts(charge.id) == ["SUCCEEDED"]


def test_a_decline_without_a_retry_policy_ends_the_charge(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["decline"])
    office.settle()
    assert office.status(charge.id) is ChargeStatus.FAILED
    assert office.attempts(charge.id) == ["DECLINED"]
    assert office.payments() == []
    subscription = office.subscription_now(charge.subscription_id)
    assert (subscription.status, subscription.consecutive_failures) == (SubscriptionStatus.ACTIVE, 1)


def policy(on_exhausted: OnExhausted = OnExhausted.ON_HOLD, codes: tuple[str, ...] = ()) -> int:
    return save_retry_policy(
        SYSTEM, name="Patient", delays_days=[1, 3], max_attempts=3, retryable_codes=codes, on_exhausted=on_exhausted
    ).id


def test_a_declined_charge_is_tried_again_with_a_new_key_after_the_policys_days(office: Office) -> None:
    charge = office.due(office.subscription(schedule=None, retry_policy_id=policy()))
    office.simulator.script(charge.invoice_number, ["decline", "decline", "ok"])
    office.work()
    assert office.status(charge.id) is ChargeStatus.RETRY_WAIT
    pass_time(hours=23)
    assert office.work() == 0
    pass_time(hours=1.1)
    office.work()
    pass_time(days=2.9)
    assert office.work() == 0
    pass_time(days=0.2)
    office.work()
    assert office.attempts(charge.id) == ["DECLINED", "DECLINED", "SUCCEEDED"]
    keys = db.session.scalars(select(ChargeAttempt.provider_key)).all()
    assert len(set(keys)) == 3
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    assert [payment.invoice_number for payment in office.payments()] == [f"{charge.invoice_number}-3"]
    assert office.subscription_now(charge.subscription_id).consecutive_failures == 0


@pytest.mark.parametrize(
    ("on_exhausted", "status"),
    [(OnExhausted.ON_HOLD, SubscriptionStatus.ON_HOLD), (OnExhausted.ABORTED, SubscriptionStatus.ABORTED)],
)
def test_the_last_declined_try_holds_or_aborts_the_subscription(
    office: Office, on_exhausted: OnExhausted, status: SubscriptionStatus
) -> None:
    charge = office.due(office.subscription(schedule=None, retry_policy_id=policy(on_exhausted)))
    next_one = office.due(office.subscription_now(charge.subscription_id), days=-1)
    office.simulator.script(next_one.invoice_number, ["ok"])
    office.simulator.script(charge.invoice_number, ["decline"] * 3)
    for _ in range(3):
        office.work()
        pass_time(days=4)
    assert office.attempts(charge.id) == ["DECLINED"] * 3
    assert office.status(charge.id) is ChargeStatus.FAILED
    assert office.subscription_now(charge.subscription_id).status is status
    waiting = office.due(office.subscription_now(charge.subscription_id), days=-2)
    assert office.work() == 0, "a subscription on hold is not charged"
    assert office.status(waiting.id) is ChargeStatus.SCHEDULED


def test_a_refusal_that_the_policy_does_not_name_is_final(office: Office) -> None:
    charge = office.due(office.subscription(schedule=None, retry_policy_id=policy(codes=("insufficient_funds",))))
    office.simulator.script(charge.invoice_number, ["decline"])
    office.settle()
    assert office.status(charge.id) is ChargeStatus.FAILED


def test_a_worker_that_dies_before_the_call_is_followed_by_one_that_charges_once(office: Office) -> None:
    charge = office.due()
    attempts_opened(office)
    [claim] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    assert charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS) == []
    assert office.status(charge.id) is ChargeStatus.PROCESSING
    office.settle()
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    late = Report(claim, Answer(Outcome.DECLINED, code="late"))
    book(late)
    assert office.status(charge.id) is ChargeStatus.SUCCEEDED, "a claim that is over changes nothing"


def test_a_worker_that_dies_after_the_call_is_followed_by_one_that_finds_the_charge(office: Office) -> None:
    charge = office.due()
    attempts_opened(office)
    [claim] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    provider = provider_of(office)
    answer = provider.charge(
        key=claim.provider_key, reference=claim.reference, amount_minor=10_00, unit="EUR", token="tok_visa", metadata={}
    )
    office.settle()
    assert office.simulator.captured(charge.invoice_number) == [10_00]
    assert len(office.payments()) == 1
    book(Report(claim, answer))
    book(Report(claim, answer))
    assert len(office.payments()) == 1, "booking the same answer again changes nothing"


def test_a_claim_that_was_taken_over_is_not_renewed(office: Office) -> None:
    office.due()
    attempts_opened(office)
    [claim] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    assert charging.hold_charges(SYSTEM, claims=[claim], lease=LEASE) == {claim.attempt_id}
    pass_time(minutes=1)
    [other] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    assert (other.turn, other.fence) == (charging.Turn.ASK, claim.fence + 1)
    assert charging.hold_charges(SYSTEM, claims=[claim], lease=LEASE) == set()


def test_beyond_the_memory_of_keys_nothing_is_sent_again_and_staff_decide(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["drop_before"])
    office.work()
    pass_time(hours=21)
    posts = office.simulator.stats()["posts_by_reference"][charge.invoice_number]
    office.settle()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff) == (ChargeStatus.UNKNOWN, True)
    assert office.attempts(charge.id) == ["MANUAL"]
    assert office.simulator.stats()["posts_by_reference"][charge.invoice_number] == posts
    ask_again(SYSTEM, charge.id)
    assert not office.charge(charge.id).needs_staff
    office.settle()
    assert office.attempts(charge.id) == ["MANUAL"], "the provider still has no trace of it"
    declare_unpaid(SYSTEM, charge.id, reason="The provider's support says so.")
    assert office.status(charge.id) is ChargeStatus.FAILED
    assert office.attempts(charge.id) == ["DECLINED"]


def test_a_success_with_another_amount_is_left_to_staff(office: Office) -> None:
    charge = office.due()
    attempts_opened(office)
    [claim] = charging.claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows=WINDOWS)
    book(Report(claim, Answer(Outcome.SUCCEEDED, provider_id="ch_x", amount_minor=9_99)))
    assert office.attempts(charge.id) == ["MANUAL"]
    assert office.charge(charge.id).needs_staff
    assert office.payments() == []


def test_a_subscription_that_became_a_reminder_is_never_charged_not_even_when_enqueued(office: Office) -> None:
    charge = office.due()
    attempts_opened(office)
    subscription = office.subscription_now(charge.subscription_id)
    subscription.purpose = Purpose.REMINDER
    db.session.info.pop("payadmin.changed", None)
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    office.settle()
    assert office.status(charge.id) is ChargeStatus.CANCELLED
    assert office.attempts(charge.id) == ["CANCELLED"]
    assert office.simulator.captured(charge.invoice_number) == []


def test_an_outage_costs_few_calls_and_everything_is_charged_afterwards(office: Office) -> None:
    charges = [office.due() for _ in range(40)]
    office.simulator.config(err500_before=1.0)
    for _ in range(6):
        office.work()
    during = sum(office.simulator.stats()["posts_by_reference"].values())
    assert during <= 20, "the shared breaker holds the calls back"
    breaker = db.session.get(ProviderBreaker, "simulator")
    assert breaker is not None
    assert breaker.open_until is not None
    office.simulator.config(err500_before=0.0)
    office.settle(seconds=60)
    assert {office.status(charge.id) for charge in charges} == {ChargeStatus.SUCCEEDED}
    assert all(office.simulator.captured(charge.invoice_number) == [10_00] for charge in charges)
    db.session.refresh(breaker)
    assert (breaker.failures, breaker.open_until) == (0, None)


def attempts_opened(office: Office) -> None:
    from payadmin.actions.subscriptions.attempts import enqueue_due

    assert enqueue_due(SYSTEM, zone=office.zone) == 1
    assert db.session.scalars(select(ScheduledCharge.status)).one() is ChargeStatus.ENQUEUED


def book(report: Report) -> None:
    charging.book_charges(SYSTEM, reports=[report], key_window=dt.timedelta(hours=20), quiet=dt.timedelta(seconds=11))


def provider_of(office: Office):  # type: ignore[no-untyped-def]
    from payadmin.providers import provider_for

    return provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=5)
