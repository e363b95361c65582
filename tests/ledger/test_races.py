"""Many writers at once, dying in the middle: nothing is lost or doubled, no wallet below zero, no deadlock (P19)."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict
from payadmin.ledger import checks, recipes
from payadmin.ledger.posting import Posting, post, reverse
from payadmin.models.ledger import AccountingPeriod, LedgerEntry, LedgerTransaction
from payadmin.work import SYSTEM
from tests.ledger.conftest import TODAY, Books, Pen, fact, transfer
from tests.support.crash import Crash

WRITERS, OPERATIONS = 6, 100
OWNERS = tuple(f"customer:{number}" for number in range(1, 6))
START = 50_00


@dataclass
class Story:
    """What the writers tell of themselves."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, what: str, failure: str | None = None) -> None:
        with self.lock:
            self.outcomes[what] += 1
            if failure:
                self.failures.append(failure)


def attempt(act: Callable[[Pen], object], *, dies: str) -> None:
    """One transaction that may die before or after its commit."""
    session = db.session()
    session.rollback()
    session.connection(execution_options={"immediate": True})
    try:
        act(Pen(session))
        if dies == "before":
            raise Crash
        session.commit()
        if dies == "after":
            raise Crash
    finally:
        session.rollback()


def survive(act: Callable[[Pen], object], rng: random.Random, story: Story) -> None:
    """The act, begun again after every death until it is done or refused."""
    dies = rng.choice(("", "", "", "before", "after"))
    while True:
        try:
            attempt(act, dies=dies)
        except Crash:
            story.tell(f"died {dies}")
            dies = ""
            continue
        except Conflict:
            story.tell("refused")
        except OperationalError as error:
            story.tell("failed", str(error.orig)[:200])
        else:
            story.tell("done")
        return


def one_of(rng: random.Random, key: str) -> list[Posting]:
    """A random operation: transfers, exchanges, top-ups, withdrawals, money set aside and given back."""
    payer, payee = rng.sample(OWNERS, 2)
    amount = rng.randrange(1, 30_00)
    match rng.randrange(7):
        case 0:
            recipe = recipes.payment_paid(unit="EUR", provider="simulator", merchant=payee, amount=amount, commission=1)
            return [fact(key, recipe)]
        case 1:
            return [fact(key, recipes.cash_top_up(unit="EUR", desk="1", owner=payee, amount=amount))]
        case 2:
            return [fact(key, recipes.cash_withdrawal(unit="EUR", desk="1", owner=payer, amount=amount))]
        case 3:
            aside = recipes.set_aside(unit="EUR", owner=payer, amount=amount)
            back = recipes.given_back(unit="EUR", owner=payer, amount=amount)
            return [fact(key, aside, holds=True), fact(f"{key}:end", back, ends=key)]
        case 4:
            return [transfer(key, payer, payee, amount, 1), transfer(f"{key}:b", payee, payer, amount)]
        case 5:
            units = ["EUR", "JPY"]
            rng.shuffle(units)
            recipe = recipes.exchange(
                owner=payer, sold_unit=units[0], sold=amount, bought_unit=units[1], bought=amount + 7, spread=3,
                commission=1,
            )  # fmt: skip
            return [fact(key, recipe)]
    return [transfer(key, payer, payee, amount)]


def run_together(app: Flask, works: list[Callable[[], None]]) -> None:
    def inside(work: Callable[[], None]) -> None:
        with app.app_context():
            try:
                work()
            finally:
                db.session.remove()

    threads = [threading.Thread(target=inside, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def sound() -> list[str]:
    """What breaks an invariant; but for what providers owe, since there are no payments here, only journals."""
    db.session.rollback()
    results = [each for each in checks.run(db.session(), ()) if each.number != "I7"]
    found = [row["sentence"] for each in results for row in each.rows]
    db.session.rollback()
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_six_writers_with_a_hundred_random_operations_each_keep_every_promise(
    app: Flask, books: Books, seed: int
) -> None:
    for owner in OWNERS:
        books.fund(owner, START)
    story = Story()

    def writer(number: int) -> Callable[[], None]:
        def work() -> None:
            rng = random.Random(seed * 1000 + number)
            for turn in range(OPERATIONS):
                postings = one_of(rng, f"w{number}:{turn}")
                survive(lambda pen, some=postings: post(pen, some), rng, story)  # type: ignore[misc]

        return work

    run_together(app, [writer(number) for number in range(WRITERS)])
    assert story.failures == []
    assert story.outcomes["done"] + story.outcomes["refused"] == WRITERS * OPERATIONS
    assert min(story.outcomes["done"], story.outcomes["refused"], story.outcomes["died after"]) > 0
    assert sound() == []
    sums = db.session.execute(select(LedgerEntry.unit, func.sum(LedgerEntry.amount_minor)).group_by(LedgerEntry.unit))
    assert {unit: int(minor) for unit, minor in sums} == {"EUR": 0, "JPY": 0}
    assert all(books.balance(f"2010:{owner}:{unit}") <= 0 for owner in OWNERS for unit in ("EUR", "JPY"))


def test_two_writers_who_book_the_same_fact_book_it_once(app: Flask, books: Books) -> None:
    books.fund("customer:1", 1_000_00)
    numbers: list[int] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        for turn in range(10):
            barrier.wait()
            attempt(
                lambda pen, key=f"same:{turn}": numbers.append(  # type: ignore[misc]
                    post(pen, [transfer(key, "customer:1", "customer:2", 1_00)])[key]
                ),
                dies="",
            )

    run_together(app, [work] * 8)
    assert len(numbers) == 80
    assert len(set(numbers)) == 10
    assert books.balance("2010:customer:2:EUR") == -10_00


def test_eight_writers_cannot_spend_a_wallet_twice(app: Flask, books: Books) -> None:
    books.fund("customer:1", 10_00)
    story = Story()

    def writer(number: int) -> Callable[[], None]:
        posting = transfer(f"t{number}", "customer:1", "customer:2", 3_00)
        return lambda: survive(lambda pen: post(pen, [posting]), random.Random(9), story)

    run_together(app, [writer(number) for number in range(8)])
    assert (story.outcomes["done"], story.outcomes["refused"], story.failures) == (3, 5, [])
    assert books.balance("2010:customer:1:EUR") == -1_00


def test_a_transaction_that_many_reverse_at_once_is_reversed_once(app: Flask, books: Books) -> None:
    number = books.fund("customer:1", 10_00)
    story = Story()

    def writer(name: str) -> Callable[[], None]:
        return lambda: survive(lambda pen: reverse(pen, number, key=name, on=TODAY, memo="x"), random.Random(9), story)

    run_together(app, [writer(f"r{place}") for place in range(6)])
    assert (story.outcomes["done"], story.outcomes["refused"], story.failures) == (1, 5, [])
    assert sound() == []


def test_nothing_slips_into_a_period_while_it_is_closed(app: Flask, books: Books) -> None:
    books.fund("customer:1", 1_000_00)
    story = Story()
    closed = threading.Event()
    counted: list[int] = []

    def write(number: int) -> Callable[[], None]:
        def work() -> None:
            for turn in range(30):
                posting = transfer(f"c{number}:{turn}", "customer:1", "customer:2", 1)
                survive(lambda pen, one=posting: post(pen, [one]), random.Random(turn), story)  # type: ignore[misc]

        return work

    def close() -> None:
        def act(pen: Pen) -> None:
            period = {"first_day": TODAY, "last_day": TODAY, "closed_by": SYSTEM.name, "reason": "x"}
            pen.session.add(AccountingPeriod(**period, transactions=0, created_at=utcnow()))
            pen.session.flush()
            of_day = select(func.count()).where(LedgerTransaction.effective_on == TODAY)
            counted.append(pen.session.scalar(of_day) or 0)

        attempt(act, dies="")
        closed.set()

    run_together(app, [write(1), write(2), close, write(3)])
    db.session.rollback()
    in_it = db.session.scalar(select(func.count()).where(LedgerTransaction.effective_on == TODAY))
    everything = db.session.scalar(select(func.count()).select_from(LedgerTransaction))
    assert closed.is_set()
    assert (in_it, story.failures) == (counted[0], [])
    assert everything == 1 + story.outcomes["done"]
