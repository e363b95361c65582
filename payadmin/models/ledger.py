"""The books: accounts, transactions, entries, balances, holds and closed periods. Written by `payadmin.ledger` only.

A transaction carries its legs; the database itself makes the entries, the balances and the turnovers of it, in the same
statement, or refuses the whole (`models/ledger_rules.py`). So there is nothing that could be half written, and a role
that may only insert transactions cannot touch a balance.
"""

import datetime as dt
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base, BigId, Json, UtcDateTime, search_text, utcnow
from payadmin.ledger.chart import CHART, LONGEST_OWNER
from payadmin.ledger.recipes import TITLES
from payadmin.models.base import minor_column

LONGEST_KEY = 120
MEMO_LENGTH = 300
# Accounts that may stand on either side are written by many at once, so each of them keeps its balance in parts.
SLOTS = 8


def _in(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _guards() -> str:
    debits = _in([head.number for head in CHART.values() if head.guard > 0])
    credits_ = _in([head.number for head in CHART.values() if head.guard < 0])
    return f"guard = CASE WHEN number IN ({debits}) THEN 1 WHEN number IN ({credits_}) THEN -1 ELSE 0 END"


class LedgerAccount(Base):
    """One account of the books. It is opened when it is first posted to, and never changes.

    `guard` says which side the balance may not leave (`chart.Head.guard`); `code` is its name everywhere.
    """

    __title__ = "code"
    __tablename__ = "ledger_account"
    __table_args__ = (
        UniqueConstraint("number", "owner", "unit"),
        UniqueConstraint("id", "unit"),
        CheckConstraint(f"number IN ({_in(list(CHART))})", name="number_in_chart"),
        CheckConstraint(_guards(), name="guard_of_chart"),
        Index("ix_ledger_account_created_at_id", "created_at", "id"),
        Index("ix_ledger_account_unit_code", "unit", "code"),
        Index("ix_ledger_account_owner_id", "owner", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, info={"label": "No."})
    code: Mapped[str] = mapped_column(
        search_text(96), unique=True, info={"label": "Account", "search": True, "readonly": True}
    )
    number: Mapped[str] = mapped_column(String(4), info={"label": "Chart", "readonly": True})
    owner: Mapped[str] = mapped_column(search_text(LONGEST_OWNER), default="", info={"label": "Owner"})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    guard: Mapped[int] = mapped_column(SmallInteger, info={"list": False, "filter": False, "readonly": True})
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "Opened"})

    def __str__(self) -> str:
        return self.code


class LedgerTransaction(Base):
    """One balanced journal. Append-only; corrected only by another one that names it in `reverses_id`, once.

    Attributes:
        key: the fact that was posted ("refund:12:reserved"); the same fact is posted once.
        business: the table of the record that it is about, and `business_id` that record.
        effective_on: the business day that it counts for.
        legs: [account, unit, minor] of each leg, in account order; debits above zero.
        signature: proves that payadmin wrote it (a key outside the database).
    """

    __title__ = "key"
    __tablename__ = "ledger_transaction"
    __table_args__ = (
        CheckConstraint(f"template IN ({_in(list(TITLES))})", name="template_known"),
        CheckConstraint("reverses_id <> id", name="reverses_another"),
        Index("ix_ledger_transaction_business_business_id_id", "business", "business_id", "id"),
        Index("ix_ledger_transaction_effective_on_id", "effective_on", "id"),
        Index("ix_ledger_transaction_template_effective_on_id", "template", "effective_on", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, info={"label": "No."})
    key: Mapped[str] = mapped_column(search_text(LONGEST_KEY), unique=True, info={"label": "Fact", "search": True})
    template: Mapped[str] = mapped_column(String(3), info={"label": "Template"})
    business: Mapped[str] = mapped_column(String(24), info={"label": "Record", "list": False})
    business_id: Mapped[int] = mapped_column(BigInteger, info={"label": "Record no.", "list": False})
    effective_on: Mapped[dt.date] = mapped_column(Date, info={"label": "Day"})
    posted_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Posted"})
    posted_by: Mapped[str] = mapped_column(String(100), info={"label": "Posted by"})
    reverses_id: Mapped[int | None] = mapped_column(
        ForeignKey("ledger_transaction.id"), unique=True, info={"label": "Reverses"}
    )
    memo: Mapped[str | None] = mapped_column(String(MEMO_LENGTH), info={"label": "Memo", "list": False})
    legs: Mapped[list[list[int | str]]] = mapped_column(Json, info={"label": "Legs", "list": False, "filter": False})
    signature: Mapped[str | None] = mapped_column(String(64), info={"secret": True})

    def __str__(self) -> str:
        return self.key


class LedgerEntry(Base):
    """One leg of a transaction on its account. The database makes it; nobody else can."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        UniqueConstraint("transaction_id", "leg"),
        ForeignKeyConstraint(
            ["account_id", "unit"], ["ledger_account.id", "ledger_account.unit"], name="fk_ledger_entry_account_id"
        ),
        CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
        Index("ix_ledger_entry_account_id_effective_on_id", "account_id", "effective_on", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transaction.id"))
    leg: Mapped[int] = mapped_column(SmallInteger)
    account_id: Mapped[int] = mapped_column()
    unit: Mapped[str] = mapped_column(String(12))
    amount_minor: Mapped[int] = minor_column("Amount")
    effective_on: Mapped[dt.date] = mapped_column(Date)


class LedgerBalance(Base):
    """What an account's entries come to, kept by the database; the CHECK is what no wallet can pass (I3).

    The balance of an account is the sum of its slots; guarded accounts have one.
    """

    __tablename__ = "ledger_balance"
    __table_args__ = (
        CheckConstraint("guard * balance_minor >= 0", name="guarded"),
        CheckConstraint(f"slot BETWEEN 0 AND {SLOTS - 1}", name="slot_known"),
    )

    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_account.id"), primary_key=True)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    guard: Mapped[int] = mapped_column(SmallInteger)
    balance_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    last_entry_id: Mapped[int] = mapped_column(BigInteger, default=0)


class LedgerTurnover(Base):
    """What a day added to an account on each side, kept by the database: statements and trial balances read it."""

    __tablename__ = "ledger_turnover"
    __table_args__ = (Index("ix_ledger_turnover_day", "day"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_account.id"), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    debit_minor: Mapped[int] = mapped_column(BigInteger)
    credit_minor: Mapped[int] = mapped_column(BigInteger)
    entries: Mapped[int] = mapped_column(BigInteger)
    last_entry_id: Mapped[int] = mapped_column(BigInteger)


class HoldEnd(StrEnum):
    TAKEN = "Taken"
    RELEASED = "Given back"


_OPEN = text("ended_id IS NULL")


class LedgerHold(Base):
    """Money of a wallet that is set aside: placed by one transaction, ended by one other, once."""

    __tablename__ = "ledger_hold"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("ended_id <> placed_id", name="ended_by_another"),
        Index("ix_ledger_hold_open", "account_id", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_ledger_hold_account_id_id", "account_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_account.id"))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    placed_id: Mapped[int] = mapped_column(ForeignKey("ledger_transaction.id"), unique=True)
    ended_id: Mapped[int | None] = mapped_column(ForeignKey("ledger_transaction.id"), unique=True)


class AccountingPeriod(Base):
    """Days whose books are closed: nothing is posted into them any more. A period begins where the last one ended."""

    __tablename__ = "accounting_period"
    __table_args__ = (
        CheckConstraint("first_day <= last_day", name="first_before_last"),
        Index("ix_accounting_period_created_at_id", "created_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, info={"label": "No."})
    first_day: Mapped[dt.date] = mapped_column(Date, unique=True, info={"label": "From", "readonly": True})
    last_day: Mapped[dt.date] = mapped_column(Date, unique=True, info={"label": "To", "readonly": True})
    closed_by: Mapped[str] = mapped_column(String(100), info={"label": "Closed by", "readonly": True})
    closed_by_id: Mapped[int | None] = mapped_column(info={"list": False, "filter": False, "readonly": True})
    reason: Mapped[str] = mapped_column(String(200), info={"label": "Reason", "readonly": True})
    transactions: Mapped[int] = mapped_column(BigInteger, info={"label": "Transactions", "readonly": True})
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "Closed"})

    def __str__(self) -> str:
        return f"{self.first_day} to {self.last_day}"


class LedgerClosing(Base):
    """What an account came to at the end of a closed period: whatever is slipped in later shows against it (I9)."""

    __tablename__ = "ledger_closing"
    __table_args__ = (Index("ix_ledger_closing_account_id", "account_id"),)

    period_id: Mapped[int] = mapped_column(ForeignKey("accounting_period.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_account.id"), primary_key=True)
    balance_minor: Mapped[int] = mapped_column(BigInteger)


class LedgerCheck(Base):
    """One run of the checks of the books, and what each of them found."""

    __tablename__ = "ledger_check"
    __table_args__ = (Index("ix_ledger_check_done_at_id", "done_at", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    started_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    asked_by: Mapped[str] = mapped_column(String(100))
    broken: Mapped[int] = mapped_column(BigInteger, default=0)
    results: Mapped[list[dict[str, object]] | None] = mapped_column(Json)


# What the application's role may only add to, and what it may only read: the database writes that.
ADDED_ONLY = ("ledger_account", "ledger_transaction", "accounting_period", "ledger_closing")
READ_ONLY = ("ledger_entry", "ledger_balance", "ledger_turnover")
