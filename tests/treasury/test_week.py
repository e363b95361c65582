"""A week of a cash office, by figures that were worked out by hand; plain, and with a crash at every commit.

Three desks, two currencies, two customers. EUR costs: a top-up 1.00 out of what is brought, cash out of a wallet 2.00
on top, a bank transfer 3.00 on top. JPY costs nothing.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from payadmin import work
from payadmin.actions import redeem, treasury
from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.parties import IdentificationStatus
from payadmin.models.redeem import RedeemChannel, RedeemRequest
from payadmin.models.treasury import CashDeskDay, CashSource, DayStatus, SystemKind, SystemOperation, SystemStatus
from payadmin.permissions import Role
from payadmin.work import SYSTEM, Actor
from tests.redeem.conftest import by_the_bank
from tests.support.crash import Crash, crash_at
from tests.support.make import Make
from tests.support.treasury import Treasury

INPUT, COLLECTION, INVESTMENT = SystemKind.CASH_INPUT, SystemKind.CASH_COLLECTION, SystemKind.INVESTMENT
MONDAY = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
IBAN = "DE89370400440532013000"

# What stands on each account in the evening, as people say it: what is there, what is owed, what was earned and lost.
# Cash that left the bank or that the owner gave is below zero there.
ACCOUNTS = (
    "bank", "owner", "transit", "transit ¥", "A", "A ¥", "B", "C ¥", "Ann", "held", "Ben ¥", "earned", "short", "over",
)  # fmt: skip
GOLDEN: dict[str, tuple[int, ...]] = {
    "Mon": (-5000_00, -400_000, 3500_00, 250_000, 1200_00, 50_000, 500_00, 130_000, 199_00, 0, 30_000, 1_00, 0, 0),
    "Tue": (-5000_00, -400_000, 3500_00, 250_000, 1145_00, 50_000, 800_00, 130_000, 446_00, 0, 30_000, 4_00, 5_00, 0),
    "Wed": (-5000_00, -400_000, 3800_00, 250_000, 1145_00, 50_000, 401_50, 130_000, 344_00, 0, 30_000, 6_00, 5_00, 1_50),  # noqa: E501
    "Thu": (-5120_00, -400_000, 3800_00, 250_000, 1145_00, 50_000, 401_50, 130_000, 178_00, 43_00, 30_000, 9_00, 5_00, 1_50),  # noqa: E501
    "Fri": (-5000_00, -400_000, 3300_00, 50_000, 1345_00, 250_000, 701_50, 120_000, 341_00, 0, 20_000, 9_00, 5_00, 1_50),  # noqa: E501
}  # fmt: skip

Step = Callable[[], Any]


class Week(Treasury):
    """The week, step by step; each step names its order, so that it may be repeated."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        self.made: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        shop = self.contracted(
            "Shop",
            Term(TransactionType.TOP_UP, "EUR", fixed_minor=1_00, charged_to=ChargedTo.PAYEE),
            Term(TransactionType.CASH_WITHDRAWAL, "EUR", fixed_minor=2_00, charged_to=ChargedTo.PAYER),
            Term(TransactionType.BANK_WITHDRAWAL, "EUR", fixed_minor=3_00, charged_to=ChargedTo.PAYER),
        ).id
        known = {"identification": IdentificationStatus.IDENTIFIED}
        self.ann = self.wallet(owner=make.customer(organization_id=shop, **known))
        self.ben = self.wallet("JPY", owner=make.customer(**known))
        self.clerk = self.person(Role.ACCOUNTANT)  # who enters what the other one approves
        self.cashiers = {code: self.person(Role.CASHIER) for code in "ABC"}
        self.desks = {code: self.desk(cashier, code=code) for code, cashier in self.cashiers.items()}

    # ---- steps

    def ask(self, name: str, kind: SystemKind, minor: int, desk: str | None = None, *, unit: str = "EUR") -> Step:
        """The accountant asks; a cash input in yen is the owner's."""
        source = (CashSource.OWNER if unit == "JPY" else CashSource.BANK) if kind is INPUT else None

        def step() -> None:
            row = treasury.initiate(
                self.accountant, kind=kind, unit=unit, amount_minor=minor, key=name,
                desk_id=self.desks[desk] if desk else None, source=source,
            )  # fmt: skip
            self.made[name] = row.id

        return step

    def take_back(self, name: str, what: str) -> Step:
        """The accountant asks for something to be taken back."""

        def step() -> None:
            self.made[name] = treasury.reverse(self.accountant, self.made[what], reason="Counted twice", key=name).id

        return step

    def decide(self, what: str, act: Any, model: Any, actor: Actor, **more: Any) -> Step:
        """Somebody decides about what they have looked at, once, however often it is sent."""
        name = f"{what} {act.__name__}"

        def step() -> None:
            version = self.seen.setdefault(name, self.get(model, self.made[what]).version)
            db.session.rollback()
            act(actor, self.made[what], version=version, **more)

        return step

    def yes(self, what: str) -> Step:
        """The CFO confirms."""
        return self.decide(what, treasury.confirm, SystemOperation, self.cfo)

    def open_desk(self, desk: str) -> Step:
        """The cashier opens the day; whose day is open already looks at it."""

        def step() -> None:
            try:
                self.made[f"day {desk}"] = treasury.open_day(self.cashiers[desk], self.desks[desk]).id
            except Conflict as refusal:
                self.made[f"day {desk}"] = refusal.data["there"]

        return step

    def cash(self, name: str, act: Any, desk: str, wallet: int, minor: int) -> Step:
        """A customer brings or takes cash."""
        return lambda: act(self.cashiers[desk], wallet, amount_minor=minor, key=name)

    def pay_out(self, what: str, desk: str) -> Step:
        """A cashier pays a request."""
        return lambda: treasury.pay_redeem(self.cashiers[desk], self.made[what], key=what)

    def count_desk(self, desk: str, note: str | None = None, **counts: int) -> Step:
        """The cashier counts; who sees that it is counted leaves it."""

        def step() -> None:
            day = self.day(self.made[f"day {desk}"])
            status, version = day.status, day.version
            db.session.rollback()
            if status in {DayStatus.OPEN, DayStatus.RETURNED}:
                said: dict[str, Any] = {"counts": counts, "note": note, "version": version}
                treasury.request_close(self.cashiers[desk], self.made[f"day {desk}"], **said)

        return step

    def accept(self, desk: str, act: Any = None, **more: Any) -> Step:
        """The accountant closes the day, or returns it; who sees that it is decided leaves it."""

        def step() -> None:
            day = self.day(self.made[f"day {desk}"])
            status, version = day.status, day.version
            db.session.rollback()
            if status is DayStatus.CLOSE_REQUESTED:
                (act or treasury.close_day)(self.accountant, self.made[f"day {desk}"], version=version, **more)

        return step

    def want(self, name: str, minor: int, *, by_bank: bool = False) -> Step:
        """Ann wants money."""
        channel = RedeemChannel.BANK_TRANSFER if by_bank else RedeemChannel.CASH_DESK
        to = {"holder_name": "Ann Example", "account": IBAN} if by_bank else {}

        def step() -> None:
            row = redeem.submit(self.clerk, self.ann, amount_minor=minor, channel=channel, key=name, **to)
            self.made[name] = row.id

        return step

    def agree(self, what: str) -> Step:
        """The accountant approves a request."""
        return self.decide(what, redeem.approve, RedeemRequest, self.accountant)

    def refuse(self, what: str) -> Step:
        """The accountant cancels a request."""
        return self.decide(what, redeem.cancel, RedeemRequest, self.accountant, reason="The customer changed her mind")

    def bank(self, what: str, act: Any, **said: Any) -> Step:
        """What becomes of a request at the bank."""
        return lambda: by_the_bank(SYSTEM, act, self.made[what], **said)

    # ---- the days

    def steps(self, day: str) -> list[Step]:
        """Everything that happens on a day."""
        up, out, system = treasury.top_up, treasury.withdraw, SystemOperation
        at = MONDAY + dt.timedelta(days=list(GOLDEN).index(day))
        return {
            "Mon": [
                self.ask("in", INPUT, 5000_00), self.yes("in"),
                self.ask("in ¥", INPUT, 400_000, unit="JPY"), self.yes("in ¥"),
                self.ask("A", INVESTMENT, 1000_00, "A"), self.yes("A"),
                self.ask("B", INVESTMENT, 500_00, "B"), self.yes("B"),
                self.ask("A ¥", INVESTMENT, 50_000, "A", unit="JPY"), self.yes("A ¥"),
                self.ask("C ¥", INVESTMENT, 100_000, "C", unit="JPY"), self.yes("C ¥"),
                self.open_desk("A"), self.open_desk("C"),
                self.cash("m1", up, "A", self.ann, 200_00),
                self.cash("m2", up, "C", self.ben, 30_000),
                self.count_desk("A", EUR=1200_00, JPY=50_000), self.accept("A"),
                self.count_desk("C", JPY=130_000), self.accept("C"),
            ],
            "Tue": [
                self.open_desk("A"), self.open_desk("B"),
                self.cash("t1", out, "A", self.ann, 50_00),
                self.cash("t2", up, "B", self.ann, 300_00),
                self.count_desk("A", "Five are missing", EUR=1145_00, JPY=50_000), self.accept("A", reason="Short"),
                self.count_desk("B", EUR=800_00), self.accept("B"),
            ],
            "Wed": [
                self.want("w1", 100_00), self.agree("w1"),
                self.open_desk("B"), self.pay_out("w1", "B"),
                self.ask("collect", COLLECTION, 300_00, "B"), self.yes("collect"),
                lambda: treasury.acknowledge(self.cashiers["B"], self.made["collect"]),
                self.count_desk("B", "Somebody left it", EUR=401_50), self.accept("B"),
            ],
            "Thu": [
                self.want("h1", 120_00, by_bank=True), self.agree("h1"),
                self.bank("h1", redeem.sent), self.bank("h1", redeem.paid_by_bank, at=at),
                self.want("h2", 40_00, by_bank=True), self.agree("h2"),
                self.bank("h2", redeem.sent), self.bank("h2", redeem.failed, code="AC04"),
                self.want("h3", 10_00), self.refuse("h3"),
            ],
            "Fri": [
                self.refuse("h2"),
                self.bank("h1", redeem.returned, code="MD06", at=at),
                self.open_desk("A"),
                self.ask("more", INVESTMENT, 200_00, "A"), self.yes("more"),
                self.count_desk("A", "I do not know", EUR=1300_00, JPY=50_000),
                self.accept("A", treasury.return_day, reason="Count the second drawer"),
                self.count_desk("A", EUR=1345_00, JPY=50_000), self.accept("A"),
                self.open_desk("C"), self.cash("f1", out, "C", self.ben, 10_000),
                self.count_desk("C", JPY=120_000), self.accept("C"),
                self.take_back("back", "collect"), self.yes("back"),
                self.ask("one", INVESTMENT, 200_000, "A", unit="JPY"),
                self.ask("two", INVESTMENT, 200_000, "C", unit="JPY"),
                self.yes("one"), self.yes("two"),
                self.ask("no", INPUT, 1_00), self.decide("no", treasury.reject, system, self.cfo, reason="What for?"),
            ],
        }[day]  # fmt: skip

    def evening(self) -> tuple[int, ...]:
        """What stands on each account."""
        ann, ben = self.amounts(self.ann), self.amounts(self.ben)
        lies = {code: self.in_desk(desk_id) for code, desk_id in self.desks.items()}
        return (
            self.balance("1010"), self.balance("3010", "JPY"), self.balance("1120"), self.balance("1120", "JPY"),
            lies["A"].get("EUR", 0), lies["A"].get("JPY", 0), lies["B"].get("EUR", 0), lies["C"].get("JPY", 0),
            ann.available_minor, ann.held_minor, ben.available_minor,
            -self.balance("4010"), self.balance("5050"), -self.balance("4090"),
        )  # fmt: skip


def dying(step: Step) -> None:
    """Do a step with a crash before and after each of its commits, repeated each time; then to its end."""
    nth = 0
    while True:
        nth += 1
        for after in (False, True):
            with crash_at(nth, after=after) as crashed:
                try:
                    step()
                except Crash:
                    db.session.rollback()
            if not crashed():
                return


@pytest.mark.parametrize("do", [lambda step: step(), dying], ids=["plain", "with a crash at every commit"])
def test_a_week_of_a_cash_office(
    app: Flask, make: Make, monkeypatch: pytest.MonkeyPatch, do: Callable[[Step], None]
) -> None:
    clock = {"now": MONDAY}
    monkeypatch.setattr(work, "utcnow", lambda: clock["now"])
    week = Week(app, make)
    for place, day in enumerate(GOLDEN):
        clock["now"] = MONDAY + dt.timedelta(days=place)
        for step in week.steps(day):
            clock["now"] += dt.timedelta(minutes=5)
            do(step)
        assert dict(zip(ACCOUNTS, week.evening(), strict=True)) == dict(zip(ACCOUNTS, GOLDEN[day], strict=True)), day
        assert week.unsound() == []
    assert week.get(SystemOperation, week.made["two"]).status is SystemStatus.STALE
    assert week.get(SystemOperation, week.made["collect"]).status is SystemStatus.REVERSED
    assert week.count_of(CashDeskDay) == 7
    assert {row.business_date for row in db.session.query(CashDeskDay)} == {
        (MONDAY + dt.timedelta(days=place)).date() for place in (0, 1, 2, 4)
    }
    db.session.rollback()
