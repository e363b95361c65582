"""The demo's cash office: three desks with a week behind them, and something that waits for everybody who works there.

Everything is done by the use cases that people use, in the names of the demo's accounts, as if it had been done over
the last days.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import select, update

from payadmin.actions import redeem, treasury, wallets
from payadmin.config import Settings
from payadmin.db import as_if, db, utcnow
from payadmin.kernel import codewords
from payadmin.kernel.errors import Refusal
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer, IdentificationStatus, Organization
from payadmin.models.redeem import RedeemChannel, RedeemRequest
from payadmin.models.treasury import CashDesk, CashDeskDay, CashSource, SystemKind, SystemOperation
from payadmin.models.wallets import Wallet
from payadmin.queries.treasury import balances, units_of_day
from payadmin.sample.support import CODEWORDS as SUPPORT_CODEWORDS
from payadmin.sample.wallets import UNIT
from payadmin.work import SYSTEM, Actor

OTHER: Final = "EUR"
OFFICE: Final = "Northwind Payouts"
# What the first three customers say at a desk (docs/sample-data.md); only digests are kept.
CODEWORDS: Final = (*SUPPORT_CODEWORDS, "blue lantern")
DESKS: Final = (("MAIN", "Main hall"), ("SIDE", "Side counter"), ("NORTH", "North branch"))
WORKS_AT: Final = {"MAIN": "cashier", "SIDE": "teller"}
DAYS: Final = 6
OPENS: Final = dt.time(9)
# Days ago → by how much the main desk's count differs from the books.
DIFFERS: Final = {4: -5_00, 2: 1_50}
COLLECTED: Final = 3  # days ago
_K = SystemKind


def load_cash(settings: Settings) -> None:
    """Add desks with a week of history, once: a second time nothing, and nothing without customers with wallets."""
    if db.session.scalar(select(CashDesk.id).limit(1)) is not None:
        return
    office = db.session.scalar(select(Organization.id).where(Organization.name == OFFICE))
    customers = db.session.scalars(select(Customer.id).order_by(Customer.id).limit(len(CODEWORDS))).all()
    if office is None or len(customers) < len(CODEWORDS):
        return
    _introduce(settings, list(customers))
    _Office(settings, office, list(customers)).work()


def _introduce(settings: Settings, customers: list[int]) -> None:
    """The customers are known: identified, and each with a codeword."""
    db.session.rollback()
    with db.engine.begin() as connection:
        for row_id, word in zip(customers, CODEWORDS, strict=True):
            known = {
                "identification": IdentificationStatus.IDENTIFIED,
                "codeword_digest": codewords.digests(settings.totp_keys, word)[0],
            }
            connection.execute(update(Customer).where(Customer.id == row_id).values(**known))


class _Office:
    """People, desks and purses, and what happens day by day."""

    def __init__(self, settings: Settings, organization_id: int, customers: list[int]) -> None:
        self.zone = settings.zone
        self.today = utcnow().astimezone(self.zone).date()
        self.people = {name: _actor(name) for name in ("accountant", "bookkeeper", "cashier", "cfo", "teller")}
        self.purses = [_purse(row_id) for row_id in customers]
        self.number = 0
        self.organization_id = organization_id
        self.desks: dict[str, int] = {}

    def work(self) -> None:
        """The week."""
        with self.on(DAYS):
            self.begin()
        for ago in range(DAYS, 0, -1):
            self.main_day(ago)
            if ago in {5, 3, 1}:
                self.side_day(ago)
        self.now()

    def on(self, ago: int, minutes: int = 0) -> Any:
        """A moment some days ago, in the morning of the business day."""
        day = self.today - dt.timedelta(days=ago)
        return as_if((dt.datetime.combine(day, OPENS, self.zone) + dt.timedelta(minutes=minutes)).astimezone(dt.UTC))

    def begin(self) -> None:
        """Desks, who works there, and the first cash."""
        accountant = self.people["accountant"]
        for code, name in DESKS:
            desk = treasury.create_desk(accountant, code=code, name=name, organization_id=self.organization_id)
            self.desks[code] = desk.id
        for code, who in WORKS_AT.items():
            staff_id = self.people[who].staff_id or 0
            treasury.assign(accountant, self.desks[code], cashier_id=staff_id)
        self.move(_K.CASH_INPUT, UNIT, 20_000_00, source=CashSource.BANK)
        self.move(_K.CASH_INPUT, OTHER, 5_000_00, source=CashSource.OWNER)
        brought = (
            (UNIT, 3_000_00, "MAIN"),
            (OTHER, 500_00, "MAIN"),
            (UNIT, 1_500_00, "SIDE"),
            (UNIT, 1_000_00, "NORTH"),
        )
        for unit, minor, code in brought:
            number = self.move(_K.INVESTMENT, unit, minor, code)
            if code in WORKS_AT:
                treasury.acknowledge(self.people[WORKS_AT[code]], number)

    def main_day(self, ago: int) -> None:
        """A day of the main desk: customers come and go, then it is counted and closed."""
        cashier = self.people["cashier"]
        with self.on(ago, 5):
            day = treasury.open_day(cashier, self.desks["MAIN"]).id
        with self.on(ago, 40):
            self.operate(treasury.top_up, "cashier", self.purses[ago % 3], 120_00 + 15_00 * ago)
        with self.on(ago, 95):
            self.operate(treasury.withdraw, "cashier", self.purses[ago % 3], 30_00 + 5_00 * ago)
        if ago == COLLECTED:
            with self.on(ago, 200):
                collected = self.move(_K.CASH_COLLECTION, UNIT, 500_00, "MAIN")
                treasury.acknowledge(cashier, collected)
        with self.on(ago, 480):
            self.count("cashier", day, DIFFERS.get(ago, 0))
        with self.on(ago, 500):
            reason = "Accepted after a second look." if ago in DIFFERS else None
            version = _version(CashDeskDay, day)
            treasury.close_day(self.people["accountant"], day, version=version, reason=reason)

    def side_day(self, ago: int) -> None:
        """A day of the side counter, a quiet one."""
        teller = self.people["teller"]
        with self.on(ago, 10):
            day = treasury.open_day(teller, self.desks["SIDE"]).id
        with self.on(ago, 150):
            self.operate(treasury.top_up, "teller", self.purses[1], 45_00)
        with self.on(ago, 470):
            self.count("teller", day, 0)
        with self.on(ago, 510):
            treasury.close_day(self.people["bookkeeper"], day, version=_version(CashDeskDay, day))

    def now(self) -> None:
        """What is there today: an open day, one that waits for the accountant, and requests that wait."""
        cashier, teller = self.people["cashier"], self.people["teller"]
        treasury.open_day(cashier, self.desks["MAIN"])
        self.operate(treasury.top_up, "cashier", self.purses[0], 80_00)
        day = treasury.open_day(teller, self.desks["SIDE"]).id
        self.operate(treasury.top_up, "teller", self.purses[2], 60_00)
        self.operate(treasury.withdraw, "teller", self.purses[2], 25_00)
        self.count("teller", day, -2_00)
        self.ask(_K.INVESTMENT, UNIT, 400_00, "NORTH")
        payable = self.want(self.purses[1], 35_00)
        if payable is not None:
            redeem.approve(self.people["accountant"], payable, version=_version(RedeemRequest, payable))
        self.want(self.purses[0], 20_00)

    # ---- what people do

    def ask(self, kind: SystemKind, unit: str, minor: int, desk: str | None = None, **more: Any) -> int:
        """The accountant asks for cash to be moved."""
        row = treasury.initiate(
            self.people["accountant"], kind=kind, unit=unit, amount_minor=minor, key=self.key(),
            desk_id=self.desks[desk] if desk else None, **more,
        )  # fmt: skip
        return row.id

    def move(self, kind: SystemKind, unit: str, minor: int, desk: str | None = None, **more: Any) -> int:
        """The same, and the CFO confirms it."""
        number = self.ask(kind, unit, minor, desk, **more)
        treasury.confirm(self.people["cfo"], number, version=_version(SystemOperation, number))
        return number

    def operate(self, act: Callable[..., Any], who: str, wallet_id: int, minor: int) -> None:
        """A customer brings or takes cash, unless their contract does not allow it."""
        try:
            act(self.people[who], wallet_id, amount_minor=minor, key=self.key())
        except Refusal:
            db.session.rollback()

    def count(self, who: str, day_id: int, differs: int) -> None:
        """The cashier counts what is there, more or less."""
        counts = dict(_expected(day_id))
        counts[UNIT] = counts.get(UNIT, 0) + differs
        note = "I have counted twice." if differs else None
        version = _version(CashDeskDay, day_id)
        treasury.request_close(self.people[who], day_id, counts=counts, version=version, note=note)

    def want(self, wallet_id: int, minor: int) -> int | None:
        """A customer asks for money at a desk; None: their contract does not allow it."""
        channel = RedeemChannel.CASH_DESK
        who = self.people["bookkeeper"]
        try:
            return redeem.submit(who, wallet_id, amount_minor=minor, channel=channel, key=self.key()).id
        except Refusal:
            db.session.rollback()
            return None

    def key(self) -> str:
        """A name for the next order."""
        self.number += 1
        return f"sample:cash:{self.number}"


def _purse(customer_id: int) -> int:
    """The wallet of a customer, opened if there is none."""
    there = select(Wallet.id).where(Wallet.customer_id == customer_id, Wallet.unit == UNIT)
    return db.session.scalar(there) or wallets.open_wallet(SYSTEM, unit=UNIT, customer_id=customer_id).id


def _actor(username: str) -> Actor:
    staff = db.session.scalars(select(StaffUser).where(StaffUser.username == username)).one()
    return Actor(
        staff_id=staff.id,
        name=staff.username,
        roles=staff.roles,
        permissions=staff.permissions,
        organization_id=staff.organization_id,
    )


def _version(model: type[Any], row_id: int) -> int:
    return int(db.session.get_one(model, row_id, populate_existing=True).version)


def _expected(day_id: int) -> Mapping[str, int]:
    session = db.session()
    day = session.get_one(CashDeskDay, day_id, populate_existing=True)
    desk = session.get_one(CashDesk, day.desk_id)
    lying = balances(session, [desk])[desk.id]
    return {unit: lying.get(unit, 0) for unit in units_of_day(session, day, desk)}
