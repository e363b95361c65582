"""Limits: what is over one is set aside, counted with what is executed, and decided once (LI1 to LI4)."""

import datetime as dt

import pytest
from sqlalchemy import select, update

from payadmin.actions import ledger, wallets
from payadmin.db import db, utcnow
from payadmin.jobs.wallets import expire_applications
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.audit import AuditEvent
from payadmin.models.wallets import (
    ApplicationStatus,
    LimitApplication,
    LimitRule,
    MoveStatus,
    Wallet,
    WalletStatus,
    WalletTransaction,
)
from payadmin.permissions import Role
from payadmin.work import SYSTEM
from tests.support.make import writing
from tests.wallets.conftest import Purses

TRANSFER = TransactionType.TRANSFER


def limited(**limits: int) -> Term:
    return Term(TRANSFER, "EUR", 10_000, charged_to=ChargedTo.PAYER, **limits)  # type: ignore[arg-type]


@pytest.fixture
def pair(purses: Purses) -> tuple[int, int]:
    """Two wallets; the first may move 10.00 at once, 25.00 a day, 40.00 a month."""
    payer, payee = purses.wallet("Alpha", funds=1_000_00), purses.wallet("Beta")
    limits = {"limit_single_minor": 10_00, "limit_day_minor": 25_00, "limit_month_minor": 40_00}
    purses.contract("Alpha", limited(**limits))
    return payer, payee


def test_what_is_within_every_limit_is_executed(purses: Purses, pair: tuple[int, int]) -> None:
    assert purses.transfer(*pair, 10_00).status is MoveStatus.EXECUTED
    assert purses.count(LimitApplication) == 0


def test_what_is_over_a_limit_is_set_aside_with_its_commission(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 10_01)
    assert (row.status, row.paid_minor) == (MoveStatus.HELD, 10_11)
    amounts = purses.amounts(pair[0])
    assert (amounts.available_minor, amounts.held_minor, amounts.balance_minor) == (989_89, 10_11, 1_000_00)
    found = purses.application(row.id)
    assert (found.rule, found.limit_minor, found.actual_minor, found.excess_minor) == (
        LimitRule.SINGLE,
        10_00,
        10_01,
        1,
    )
    assert found.expires_at - found.created_at >= dt.timedelta(hours=71)
    assert purses.journals(row.id) == ["J25"]
    assert purses.unsound() == []


def test_what_waits_counts_against_the_limits_of_the_next(purses: Purses, pair: tuple[int, int]) -> None:
    assert purses.transfer(*pair, 20_00).status is MoveStatus.HELD
    row = purses.transfer(*pair, 6_00)
    assert row.status is MoveStatus.HELD
    found = purses.application(row.id)
    assert (found.rule, found.counted_minor, found.actual_minor) == (LimitRule.DAY, 20_00, 26_00)


def test_the_month_counts_earlier_days_and_what_was_given_back_does_not_count(
    purses: Purses, pair: tuple[int, int]
) -> None:
    today = purses.transfer(*pair, 10_00).day
    first = today.replace(day=1)
    rejected = purses.transfer(*pair, 30_00)
    wallets.reject_application(purses.fraud, purses.application(rejected.id).id, reason="No")
    if today == first:
        pytest.skip("the first day of a month has no earlier days")
    writing()
    earlier = update(WalletTransaction).values(day=first, amount_minor=32_00, paid_minor=32_32, received_minor=32_00)
    earlier = earlier.where(WalletTransaction.status == MoveStatus.EXECUTED).values(commission_minor=32)
    db.session.execute(earlier.execution_options(explained=True, synchronize_session=False))
    db.session.commit()
    found = purses.application(purses.transfer(*pair, 9_00).id)
    assert (found.rule, found.counted_minor, found.actual_minor) == (LimitRule.MONTH, 32_00, 41_00)


def test_another_kind_of_transaction_and_another_unit_have_limits_of_their_own(
    purses: Purses, pair: tuple[int, int]
) -> None:
    purses.transfer(*pair, 10_00)
    sold, bought = purses.wallet("Alpha", "USD", funds=500_00), purses.wallet("Beta", "USD")
    assert purses.transfer(sold, bought, 400_00).status is MoveStatus.EXECUTED


def test_an_approved_application_is_executed_once(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 50_00)
    number = purses.application(row.id).id
    assert wallets.approve_application(purses.fraud, number) is ApplicationStatus.EXECUTED
    assert purses.get(WalletTransaction, row.id).status is MoveStatus.EXECUTED
    assert purses.amounts(pair[1]).available_minor == 50_00
    assert purses.amounts(pair[0]).held_minor == 0
    assert purses.journals(row.id) == ["J25", "J26"]
    with pytest.raises(Conflict, match="already"):
        wallets.approve_application(purses.fraud, number)
    with pytest.raises(Conflict, match="already"):
        wallets.reject_application(purses.fraud, number, reason="No")
    assert purses.amounts(pair[1]).available_minor == 50_00
    assert purses.unsound() == []


def test_a_rejected_application_gives_everything_back(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 50_00)
    with pytest.raises(Invalid):
        wallets.reject_application(purses.fraud, purses.application(row.id).id, reason=" ")
    wallets.reject_application(purses.fraud, purses.application(row.id).id, reason="Unknown payee")
    found = purses.application(row.id)
    assert (found.status, found.decided_by, found.reason) == (
        ApplicationStatus.REJECTED,
        purses.fraud.name,
        "Unknown payee",
    )
    assert purses.get(WalletTransaction, row.id).status is MoveStatus.RELEASED
    assert purses.amounts(pair[0]).available_minor == 1_000_00
    assert purses.journals(row.id) == ["J25", "J27"]
    assert purses.unsound() == []


def test_whoever_ordered_may_withdraw_it_before_the_decision(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 50_00)
    wallets.withdraw_application(purses.admin, purses.application(row.id).id, reason="Typed wrong")
    assert purses.application(row.id).status is ApplicationStatus.WITHDRAWN
    assert purses.amounts(pair[0]).available_minor == 1_000_00


@pytest.mark.parametrize("side", [0, 1])
def test_what_cannot_be_executed_any_more_fails_and_gives_everything_back(
    purses: Purses, pair: tuple[int, int], side: int
) -> None:
    row = purses.transfer(*pair, 50_00)
    writing()
    blocked = WalletStatus.BLOCKED if side == 0 else WalletStatus.CLOSED
    change = update(Wallet).where(Wallet.id == pair[side]).values(status=blocked)
    db.session.execute(change.execution_options(explained=True, synchronize_session=False))
    db.session.commit()
    found = wallets.approve_application(purses.fraud, purses.application(row.id).id)
    assert found is ApplicationStatus.EXECUTION_FAILED
    assert purses.application(row.id).failure
    assert purses.get(WalletTransaction, row.id).status is MoveStatus.RELEASED
    assert purses.amounts(pair[0]).available_minor == 1_000_00
    assert purses.unsound() == []


def test_an_application_that_nobody_decides_expires(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 50_00)
    number = purses.application(row.id).id
    assert expire_applications() == 0
    assert wallets.expire_application(SYSTEM, number) is False
    writing()
    change = update(LimitApplication).values(expires_at=utcnow() - dt.timedelta(minutes=1))
    db.session.execute(change.execution_options(explained=True, synchronize_session=False))
    db.session.commit()
    assert expire_applications() == 1
    assert purses.application(row.id).status is ApplicationStatus.EXPIRED
    assert purses.amounts(pair[0]).available_minor == 1_000_00
    assert expire_applications() == 0


def test_whoever_ordered_it_never_approves_it_with_whatever_account(purses: Purses, pair: tuple[int, int]) -> None:
    both = purses.person(Role.ADMIN, Role.ANTI_FRAUD)
    row = wallets.transfer(both, pair[0], to_id=pair[1], amount_minor=50_00, key="mine")
    number = purses.application(row.id).id
    for actor in (both, purses.person(Role.ANTI_FRAUD, same_as=both)):
        with pytest.raises(Forbidden, match="yourself"):
            wallets.approve_application(actor, number)
    assert purses.amounts(pair[0]).held_minor == 50_50
    assert wallets.approve_application(purses.fraud, number) is ApplicationStatus.EXECUTED


def test_setting_aside_and_deciding_stand_in_the_trail(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 50_00)
    wallets.approve_application(purses.fraud, purses.application(row.id).id, reason="Known")
    db.session.rollback()
    events = db.session.scalars(select(AuditEvent.event).where(AuditEvent.event.like("wallets.%"))).all()
    wanted = {
        "wallets.transaction.held",
        "wallets.application.filed",
        "wallets.application.decided",
        "wallets.transaction.executed",
    }
    assert wanted <= set(events)


def test_books_stay_open_while_an_application_of_these_days_waits(purses: Purses, pair: tuple[int, int]) -> None:
    row = purses.transfer(*pair, 50_00)
    day, number = row.day, purses.application(row.id).id

    def said() -> str:
        db.session.rollback()
        return " ".join(ledger.obstacles(db.session(), day))

    assert "1 transactions of these days are over a limit and wait" in said()
    wallets.reject_application(purses.fraud, number, reason="No")
    assert "over a limit" not in said()
