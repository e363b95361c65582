"""Many at once, and dying in the middle: no wallet is spent twice, no limit passed twice, nothing half done (P19)."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from payadmin.actions import tariffs, wallets
from payadmin.actions.wallets import moving
from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.ledger import LedgerEntry, LedgerTransaction
from payadmin.models.payments import Unit
from payadmin.models.wallets import ApplicationStatus, LimitApplication, MoveStatus, Wallet, WalletTransaction
from payadmin.work import SYSTEM
from tests.support.crash import Crash
from tests.support.races import together
from tests.wallets.conftest import Purses

TRANSFER, EXCHANGE = TransactionType.TRANSFER, TransactionType.EXCHANGE
WRITERS, OPERATIONS = 6, 100


def test_transfers_at_once_spend_a_wallet_only_once(app: Flask, purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")

    def work(number: int) -> Callable[[], Any]:
        return lambda: wallets.transfer(purses.admin, payer, to_id=payee, amount_minor=3_00, key=f"r{number}").id

    done, refused = together(app, *(work(number) for number in range(8)))
    assert (len(done), {type(each) for each in refused}) == (3, {Conflict})
    assert purses.amounts(payer).available_minor == 1_00
    assert purses.unsound() == []


def test_no_unit_is_retired_while_some_of_it_arrives(app: Flask, purses: Purses) -> None:
    """Whoever is first wins: the unit is retired and nothing arrives, or it arrived and the unit is not retired."""
    purses.rate("EUR", "JPY", "162.5")
    payer, payee = purses.wallet("Alpha", funds=500_00), purses.wallet("Alpha", "JPY")
    for turn in range(10):
        yen = db.session.scalars(select(Unit).where(Unit.code == "JPY")).one()
        yen_id, version = yen.id, yen.version
        db.session.rollback()

        def retire(unit_id: int = yen_id, seen: int = version) -> str:
            tariffs.set_unit_status(purses.admin, unit_id, is_active=False, version=seen)
            return "retired"

        def buy(key: str = f"r{turn}") -> str:
            wallets.exchange(purses.admin, payer, to_id=payee, amount_minor=1_00, key=key)
            return "arrived"

        done, refused = together(app, retire, buy)
        assert (len(done), [type(each) for each in refused]) == (1, [Conflict])
        if done == ["arrived"]:
            back = wallets.exchange(purses.admin, payee, to_id=payer, amount_minor=162, key=f"b{turn}").received_minor
            assert back > 0
        else:
            tariffs.set_unit_status(purses.admin, yen_id, is_active=True, version=version + 1)
    assert purses.unsound() == []


def test_the_same_order_sent_many_times_at_once_is_one(app: Flask, purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")

    def work() -> int:
        return wallets.transfer(purses.admin, payer, to_id=payee, amount_minor=3_00, key="one").id

    done, refused = together(app, *[work] * 6)
    assert (len(done), len(set(done)), refused) == (6, 1, [])
    assert purses.amounts(payee).available_minor == 3_00


def test_transfers_at_once_cannot_pass_a_limit_together(app: Flask, purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", limit_day_minor=10_00))

    def work(number: int) -> Callable[[], Any]:
        return lambda: wallets.transfer(purses.admin, payer, to_id=payee, amount_minor=4_00, key=f"r{number}").status

    done, refused = together(app, *(work(number) for number in range(8)))
    assert (Counter(done), refused) == ({MoveStatus.EXECUTED: 2, MoveStatus.HELD: 6}, [])
    assert purses.amounts(payee).available_minor == 8_00
    assert purses.unsound() == []


def test_transfers_in_both_directions_never_wait_in_a_circle(app: Flask, purses: Purses) -> None:
    first, second = purses.wallet("Alpha", funds=500_00), purses.wallet("Beta", funds=500_00)

    def work(number: int, payer: int, payee: int) -> Callable[[], Any]:
        def run() -> None:
            for turn in range(10):
                wallets.transfer(purses.admin, payer, to_id=payee, amount_minor=1_00, key=f"c{number}:{turn}")

        return run

    _done, refused = together(
        app,
        *(work(number, first, second) for number in range(3)),
        *(work(number, second, first) for number in range(3, 6)),
    )
    assert refused == []
    assert purses.amounts(first).available_minor == 500_00


def test_an_application_that_many_decide_at_once_is_decided_once(app: Flask, purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", limit_single_minor=10_00))
    number = purses.application(purses.transfer(payer, payee, 50_00).id).id

    def approve() -> ApplicationStatus:
        return wallets.approve_application(purses.fraud, number)

    def reject() -> ApplicationStatus:
        return wallets.reject_application(purses.fraud, number, reason="No")

    done, refused = together(app, approve, reject, approve, reject)
    assert (len(done), {type(each) for each in refused}) == (1, {Conflict})
    reached = 50_00 if done == [ApplicationStatus.EXECUTED] else 0
    assert purses.amounts(payee).available_minor == reached
    assert purses.amounts(payer).held_minor == 0
    assert purses.unsound() == []


def test_a_wallet_is_not_closed_while_money_is_on_its_way_to_it(app: Flask, purses: Purses) -> None:
    payer, payee = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    version = purses.get(Wallet, payee).version

    def move() -> Any:
        return wallets.transfer(purses.admin, payer, to_id=payee, amount_minor=3_00, key="m").id

    def close() -> Any:
        return wallets.close_wallet(purses.admin, payee, version=version)

    done, refused = together(app, move, close)
    assert (len(done), [type(each) for each in refused]) == (1, [Conflict])


@pytest.mark.parametrize("where", ["post", "record"])
def test_a_crash_between_leaves_nothing_or_everything(
    purses: Purses, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    payer, payee = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    journals = purses.count(LedgerTransaction)

    def dies(*_args: Any, **_kwargs: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        if where == "post":
            patch.setattr(moving, "post", dies)
        else:
            patch.setattr(moving, "facts", dies)
        with pytest.raises(Crash):
            purses.transfer(payer, payee, 3_00, key="k")
    assert (purses.count(WalletTransaction), purses.count(LedgerTransaction)) == (0, journals)
    assert purses.amounts(payer).available_minor == 10_00
    purses.transfer(payer, payee, 3_00, key="k")
    assert purses.amounts(payee).available_minor == 3_00


@pytest.mark.parametrize("seed", [1])
def test_six_writers_with_a_hundred_random_operations_each_keep_every_promise(
    app: Flask, purses: Purses, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    names = ("Alpha", "Beta", "Gamma", "Delta")
    euros = [purses.wallet(name, funds=100_00) for name in names]
    dollars = [purses.wallet(name, "USD", funds=100_00) for name in names]
    purses.rate("EUR", "USD", "1.0842")
    for name in names[:2]:
        purses.contract(
            name,
            Term(TRANSFER, "EUR", 5_000, 1, charged_to=ChargedTo.PAYER, limit_single_minor=20_00),
            Term(TRANSFER, "USD", 5_000, 1, limit_day_minor=200_00),
            Term(EXCHANGE, "EUR", 10_000),
            Term(EXCHANGE, "USD", 0, 5, charged_to=ChargedTo.PAYER),
        )
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    lock = threading.Lock()
    dying = threading.local()
    whole = moving.facts

    def facts(row: WalletTransaction) -> dict[str, object]:
        if getattr(dying, "before", False):  # after the books were written, before the commit
            dying.before = False
            raise Crash
        return whole(row)

    monkeypatch.setattr(moving, "facts", facts)

    def tell(what: str) -> None:
        with lock:
            outcomes[what] += 1

    def one_of(rng: random.Random, key: str) -> Callable[[], Any]:
        amount, left, right = rng.randrange(1, 30_00), *rng.sample(range(len(names)), 2)
        kind = rng.randrange(5)
        if kind == 0:
            pair = [euros[left], dollars[left]]
            rng.shuffle(pair)
            return lambda: wallets.exchange(SYSTEM, pair[0], to_id=pair[1], amount_minor=amount, key=key)
        if kind == 1:
            return lambda: decide(rng)
        purse = euros if kind < 4 else dollars
        return lambda: wallets.transfer(SYSTEM, purse[left], to_id=purse[right], amount_minor=amount, key=key)

    def decide(rng: random.Random) -> None:
        waiting = select(LimitApplication.id).where(LimitApplication.status == ApplicationStatus.PENDING)
        found = db.session.scalars(waiting.limit(5)).all()
        db.session.rollback()
        if not found:
            raise Conflict("Nothing waits.")
        number = rng.choice(found)
        if rng.random() < 0.5:
            wallets.approve_application(SYSTEM, number)
        else:
            wallets.reject_application(SYSTEM, number, reason="No")

    def writer(number: int) -> Callable[[], None]:
        def work() -> None:
            rng = random.Random(seed * 1000 + number)
            for turn in range(OPERATIONS):
                act = one_of(rng, f"w{number}:{turn}")
                dies = rng.choice(("", "", "", "before", "after"))
                dying.before = dies == "before"
                try:
                    act()
                    tell("done")
                    if dies == "after":  # the answer is lost, and the order comes again
                        act()
                        tell("came again")
                except Crash:
                    tell("died")
                    act_again(act)
                except Conflict:
                    tell("refused")
                except OperationalError as error:
                    if "database is locked" in str(error.orig):  # SQLite has no queue: somebody waited too long
                        act_again(act)
                        continue
                    with lock:
                        failures.append(str(error.orig)[:200])
                dying.before = False

        return work

    def act_again(act: Callable[[], Any]) -> None:
        try:
            act()
            tell("done")
        except Conflict:
            tell("refused")

    _done, broken = together(app, *(writer(number) for number in range(WRITERS)))
    assert (broken, failures) == ([], [])
    assert min(outcomes[what] for what in ("done", "refused", "died", "came again")) > 0
    assert purses.unsound() == []
    assert all(purses.amounts(wallet_id).available_minor >= 0 for wallet_id in (*euros, *dollars))
    assert _sums_of_units() == {"EUR": 0, "USD": 0}
    assert _orders_without_a_journal() == 0


def _sums_of_units() -> dict[str, int]:
    db.session.rollback()
    rows = db.session.execute(select(LedgerEntry.unit, func.sum(LedgerEntry.amount_minor)).group_by(LedgerEntry.unit))
    return {unit: int(minor) for unit, minor in rows}


def _orders_without_a_journal() -> int:
    booked = select(LedgerTransaction.id).where(
        LedgerTransaction.business == "wallet_transaction", LedgerTransaction.business_id == WalletTransaction.id
    )
    return db.session.scalar(select(func.count()).select_from(WalletTransaction).where(~booked.exists())) or 0
