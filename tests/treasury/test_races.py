"""Many at once, and dying in the middle: no day differs from its operations, nothing is paid or decided twice."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import case, func, select

from payadmin.actions import redeem, treasury
from payadmin.actions.treasury import days, operations
from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.kernel.tariffs import Term, TransactionType
from payadmin.models.audit import AuditEvent
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.redeem import RedeemRequest, RedeemStatus
from payadmin.models.treasury import (
    CashDayUnit,
    CashDesk,
    CashDeskAssignment,
    CashDeskDay,
    CashKind,
    CashOperation,
    CashSource,
    DayStatus,
    SystemKind,
    SystemOperation,
)
from payadmin.permissions import Role
from payadmin.queries import treasury as asked
from payadmin.work import Actor
from tests.support.cash_office import CashOffice
from tests.support.crash import Crash
from tests.support.races import together

DAYS, POSTED_AT_MOST = 150, 4


def kinds(failures: list[BaseException]) -> list[str]:
    """What was raised: refusals by their sentence, anything else as it is."""
    return sorted(str(each) if isinstance(each, Conflict) else repr(each) for each in failures)


def count_until_it_stands(cashier: Actor, day_id: int) -> int:
    """Count what the books say until nothing moves between the look and the count; how often it took."""
    for turn in range(1, 200):
        day = db.session.get_one(CashDeskDay, day_id, populate_existing=True)
        desk = db.session.get_one(CashDesk, day.desk_id)
        lying = asked.balances(db.session(), [desk])[desk.id]
        counts = {unit: lying.get(unit, 0) for unit in asked.units_of_day(db.session(), day, desk)}
        version = day.version
        db.session.rollback()
        try:
            treasury.request_close(cashier, day_id, counts=counts, version=version, note="As it lies there")
        except Conflict as error:
            if "changed this cash day" not in str(error):
                raise
            continue
        return turn
    pytest.fail("the desk never stood still")


def test_150_days_with_two_cashiers_who_post_while_it_closes(app: Flask, office: CashOffice) -> None:
    first, second = office.person(Role.CASHIER), office.person(Role.CASHIER)
    desk = office.desk(office.cashier, first, second, money={"EUR": 1_000_00})
    wallets = [office.wallet(funds=1_000_00) for _each in range(2)]
    said: Counter[str] = Counter()

    for number in range(DAYS):
        day = office.open(desk)

        def post(actor: Actor, wallet: int, seed: int) -> Callable[[], int]:
            dice = random.Random(seed)

            def run() -> int:
                done = 0
                for turn in range(POSTED_AT_MOST):
                    act = dice.choice((treasury.top_up, treasury.withdraw))
                    try:
                        act(actor, wallet, amount_minor=dice.randint(1, 9_00), key=f"{seed}:{turn}")
                    except Conflict as error:
                        if "being closed" in str(error):
                            return done
                        raise
                    done += 1
                return done

            return run

        done, failed = together(
            app,
            post(first, wallets[0], number * 2),
            post(second, wallets[1], number * 2 + 1),
            lambda day=day: -count_until_it_stands(office.cashier, day),  # type: ignore[misc]
        )
        assert failed == []
        said["refused"] += sum(each < POSTED_AT_MOST for each in done if each >= 0)
        said["posted"] += sum(each for each in done if each > 0)
        office.close(day)

    moved = func.sum(
        case((CashOperation.kind == CashKind.TOP_UP, CashOperation.cash_minor), else_=-CashOperation.cash_minor)
    )
    came = select(moved).where(CashOperation.day_id == CashDayUnit.day_id).scalar_subquery()
    rows = db.session.execute(
        select(
            CashDayUnit.opening_minor + func.coalesce(came, 0), CashDayUnit.expected_minor, CashDayUnit.counted_minor
        )
    ).all()
    assert len(rows) == DAYS
    assert [row for row in rows if len(set(row)) > 1] == []
    closed = select(func.count()).where(CashDeskDay.status == DayStatus.CLOSED)
    assert db.session.scalar(closed) == DAYS
    # Days of one date go on with its numbers: no two receipts are called the same.
    last = select(func.max(CashDeskDay.last_receipt)).group_by(CashDeskDay.business_date)
    assert sum(db.session.scalars(last)) == said["posted"] == office.count_of(CashOperation)
    assert said["refused"] > 0, "nobody was ever caught by the closing: the test shows nothing"
    assert office.unsound() == []


def test_of_many_who_open_a_desk_at_once_one_does(app: Flask, office: CashOffice) -> None:
    cashiers = [office.person(Role.CASHIER) for _each in range(6)]
    desk = office.desk(*cashiers)
    for _turn in range(5):
        done, failed = together(
            app,
            *(lambda actor=actor: treasury.open_day(actor, desk).id for actor in cashiers),  # type: ignore[misc]
        )
        assert (len(done), {type(each) for each in failed}) == (1, {Conflict})
        assert all("open already" in str(each) for each in failed)
        opener = office.day(done[0]).opened_by_id
        office.count(done[0], next(actor for actor in cashiers if actor.staff_id == opener))
        office.close(done[0])
    assert office.count_of(CashDeskDay) == 5


def test_two_accountants_who_decide_at_once_are_one_decision(app: Flask, office: CashOffice) -> None:
    other = office.person(Role.ACCOUNTANT)
    desk = office.desk(office.cashier, money={"EUR": 50_00})
    outcomes: Counter[str] = Counter()
    for turn in range(8):
        day = office.open(desk)
        expected = office.expected(day)
        office.count(day, counts={"EUR": expected["EUR"] - 1}, note="One is missing")
        version = office.day(day).version

        def close(actor: Actor, day: int = day, version: int = version) -> str:
            treasury.close_day(actor, day, version=version)
            return "closed"

        def give_back(actor: Actor, day: int = day, version: int = version) -> str:
            treasury.return_day(actor, day, reason="Again", version=version)
            return "returned"

        acts = [lambda: close(office.accountant), lambda: give_back(other), lambda: close(other)]
        random.Random(turn).shuffle(acts)
        done, failed = together(app, *acts)
        assert (len(done), {type(each) for each in failed}) == (1, {Conflict}), kinds(failed)
        outcomes[done[0]] += 1
        if done == ["returned"]:
            assert office.journals("cash_desk_day", day) == []
            office.count(day, counts={"EUR": expected["EUR"] - 1}, note="One is missing")
            office.close(day)
        assert office.journals("cash_desk_day", day) == ["J16"]
        assert office.in_desk(desk) == {"EUR": expected["EUR"] - 1}
    assert office.unsound() == []


def test_a_redeem_request_is_paid_once_at_whichever_desk_and_never_when_cancelled(
    app: Flask, office: CashOffice
) -> None:
    other = office.person(Role.CASHIER)
    desks = [office.desk(actor, money={"EUR": 100_00}) for actor in (office.cashier, other)]
    wallet = office.wallet(funds=100_00)
    for actor, desk in zip((office.cashier, other), desks, strict=True):
        office.open(desk, actor)
    outcomes: Counter[str] = Counter()
    for turn in range(8):
        request = office.redeem(wallet, 5_00)
        version = office.get(RedeemRequest, request).version

        def pay(actor: Actor, request: int = request, turn: int = turn) -> str:
            treasury.pay_redeem(actor, request, key=f"p{turn}")
            return "paid"

        def cancel(request: int = request, version: int = version) -> str:
            redeem.cancel(office.accountant, request, reason="Not now", version=version)
            return "cancelled"

        acts = [lambda: pay(office.cashier), lambda: pay(other)]
        done, failed = together(app, *acts, *([cancel] if turn % 2 else []))
        assert (len(done), {type(each) for each in failed}) == (1, {Conflict}), kinds(failed)
        outcomes[done[0]] += 1
        is_paid = office.get(RedeemRequest, request).status is RedeemStatus.PAID
        assert is_paid is (done == ["paid"])
    paid = outcomes["paid"]
    assert paid >= 4
    lies = sum(office.in_desk(desk).get("EUR", 0) for desk in desks)
    assert (lies, office.count_of(CashOperation)) == (200_00 - 5_00 * paid, paid)
    assert (office.amounts(wallet).available_minor, office.amounts(wallet).held_minor) == (100_00 - 5_00 * paid, 0)
    assert office.unsound() == []


def test_the_same_form_sent_many_times_at_once_is_one_operation(app: Flask, office: CashOffice) -> None:
    desk, wallet = office.desk(office.cashier), office.wallet()
    office.open(desk)

    def act() -> int:
        return treasury.top_up(office.cashier, wallet, amount_minor=3_00, key="one").id

    done, failed = together(app, *[act] * 6)
    assert (len(done), len(set(done)), failed) == (6, 1, [])
    assert office.in_desk(desk) == {"EUR": 3_00}


def test_two_desks_at_once_neither_empty_a_wallet_twice_nor_pass_a_limit(app: Flask, office: CashOffice) -> None:
    shop = office.contracted("Alpha", Term(TransactionType.CASH_WITHDRAWAL, "EUR", limit_day_minor=20_00))
    limited, poor = office.wallet(owner=shop, funds=500_00), office.wallet(funds=10_00)
    cashiers = [office.cashier, *(office.person(Role.CASHIER) for _each in range(3))]
    for actor in cashiers:
        office.open(office.desk(actor, money={"EUR": 500_00}), actor)
    for wallet, minor, most in ((limited, 8_00, 2), (poor, 3_00, 3)):
        done, failed = together(
            app,
            *(
                lambda actor=actor, wallet=wallet, minor=minor, turn=turn: (
                    treasury.withdraw(  # type: ignore[misc]
                        actor, wallet, amount_minor=minor, key=f"{wallet}:{turn}"
                    ).id
                )
                for actor in cashiers
                for turn in range(2)
            ),
        )
        assert (len(done), {type(each) for each in failed}) == (most, {Conflict}), kinds(failed)
    assert office.unsound() == []


def test_one_desk_never_gives_more_than_lies_in_it(app: Flask, office: CashOffice) -> None:
    cashiers = [office.cashier, *(office.person(Role.CASHIER) for _each in range(3))]
    desk, wallet = office.desk(*cashiers, money={"EUR": 10_00}), office.wallet(funds=500_00)
    office.open(desk)
    done, failed = together(
        app,
        *(
            lambda actor=actor: treasury.withdraw(actor, wallet, amount_minor=4_00, key="w").id  # type: ignore[misc]
            for actor in cashiers
        ),
    )
    assert (len(done), {str(each) for each in failed}) == (2, {"There is not enough EUR in this desk."})
    assert office.in_desk(desk) == {"EUR": 2_00}


def test_a_cashier_who_is_sent_to_many_desks_at_once_works_at_one(app: Flask, office: CashOffice) -> None:
    desks = [office.desk() for _each in range(5)]
    staff = office.cashier.staff_id or 0
    done, failed = together(
        app,
        *(lambda desk=desk: treasury.assign(office.cfo, desk, cashier_id=staff).id for desk in desks),  # type: ignore[misc]
    )
    assert (len(done), {type(each) for each in failed}) == (1, {Conflict}), kinds(failed)
    assert office.count_of(CashDeskAssignment) == 1


def test_desks_wallets_and_the_cfo_never_wait_in_a_circle(app: Flask, office: CashOffice) -> None:
    """Everything that moves cash, crosswise: nobody is thrown out, and the books are sound."""
    other = office.person(Role.CASHIER)
    first, second = office.wallet(funds=500_00), office.wallet(funds=500_00)
    desks = [office.desk(actor, money={"EUR": 500_00}) for actor in (office.cashier, other)]
    for actor, desk in zip((office.cashier, other), desks, strict=True):
        office.open(desk, actor)
    requests = [office.redeem(each, 1_00) for each in (first, second) * 4]
    office.moved(SystemKind.CASH_INPUT, "EUR", 100_00, source=CashSource.OWNER)
    waiting = []
    for turn in range(8):
        row = treasury.initiate(
            office.accountant, kind=SystemKind.INVESTMENT, unit="EUR", amount_minor=1_00, key=f"i{turn}",
            desk_id=desks[turn % 2],
        )  # fmt: skip
        waiting.append((row.id, row.version))

    def work(actor: Actor, wallets: tuple[int, int]) -> Callable[[], int]:
        def run() -> int:
            for turn in range(8):
                treasury.top_up(actor, wallets[turn % 2], amount_minor=2_00, key=f"t{turn}")
                treasury.withdraw(actor, wallets[(turn + 1) % 2], amount_minor=1_00, key=f"w{turn}")
            return 1

        return run

    def pay(actor: Actor, mine: list[int]) -> Callable[[], int]:
        def run() -> int:
            for request in mine:
                treasury.pay_redeem(actor, request, key=f"r{request}")
            return 1

        return run

    def confirm() -> int:
        for number, version in waiting:
            treasury.confirm(office.cfo, number, version=version)
        return 1

    done, failed = together(
        app,
        work(office.cashier, (first, second)),
        work(other, (second, first)),
        pay(office.cashier, requests[::2]),
        pay(other, requests[1::2]),
        confirm,
    )
    assert (len(done), failed) == (5, []), kinds(failed)
    assert sum(office.in_desk(desk)["EUR"] for desk in desks) == 1_000_00 + 16_00 * 2 - 8_00 * 2 - 8_00 + 8_00
    assert office.count_of(SystemOperation) == 13
    assert office.unsound() == []


@pytest.mark.parametrize("where", ["post", "_facts"])
def test_a_crash_at_the_counter_leaves_nothing_or_everything(
    office: CashOffice, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    desk, wallet = office.desk(office.cashier, money={"EUR": 50_00}), office.wallet(funds=50_00)
    day, request = office.open(desk), office.redeem(wallet, 5_00)
    before = (office.count_of(LedgerTransaction), office.count_of(AuditEvent), office.in_desk(desk))
    acts: list[Callable[[], Any]] = [
        lambda: office.top_up(wallet, 7_00, key="a"),
        lambda: office.withdraw(wallet, 3_00, key="b"),
        lambda: office.pay(request, key="c"),
    ]
    for act in acts:
        with monkeypatch.context() as patch:
            patch.setattr(operations, where, _dies)
            with pytest.raises(Crash):
                act()
        assert (office.count_of(CashOperation), office.day(day).last_receipt) == (0, 0)
        assert (office.count_of(LedgerTransaction), office.count_of(AuditEvent), office.in_desk(desk)) == before
    assert [act().receipt for act in acts] == [1, 2, 3]
    assert [act().receipt for act in acts] == [1, 2, 3]
    assert office.in_desk(desk) == {"EUR": 49_00}
    assert office.unsound() == []


def test_a_crash_while_a_day_is_counted_or_closed_leaves_it_as_it_was(
    office: CashOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = office.desk(office.cashier, money={"EUR": 50_00})
    with monkeypatch.context() as patch:
        patch.setattr(days, "_names", _dies)
        with pytest.raises(Crash):
            office.open(desk)
    assert (office.count_of(CashDeskDay), office.count_of(CashDayUnit)) == (0, 0)
    day = office.open(desk)
    with monkeypatch.context() as patch:
        patch.setattr(days, "tell_those_who", _dies)
        with pytest.raises(Crash):
            office.count(day, counts={"EUR": 49_00}, note="x")
    assert (office.day(day).status, office.units(day)) == (DayStatus.OPEN, {"EUR": (50_00, None, None)})
    office.count(day, counts={"EUR": 49_00}, note="x")
    for where in ("post", "tell"):
        with monkeypatch.context() as patch:
            patch.setattr(days, where, _dies)
            with pytest.raises(Crash):
                office.close(day)
        assert (office.day(day).status, office.in_desk(desk)) == (DayStatus.CLOSE_REQUESTED, {"EUR": 50_00})
        assert office.journals("cash_desk_day", day) == []
    office.close(day)
    assert (office.journals("cash_desk_day", day), office.in_desk(desk)) == (["J16"], {"EUR": 49_00})
    assert office.unsound() == []


def _dies(*_args: Any, **_kwargs: Any) -> None:
    raise Crash
