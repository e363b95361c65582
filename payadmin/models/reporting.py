"""Figures ready to read: payments counted and summed by business day, and the changes that are still to be added.

Triggers of the database write a `PaymentChange` in the very transaction that changes a payment, whoever changes it: a
page, a worker, an import, a statement typed by hand. Rows of the journal are only ever added, so no two payments wait
for each other. The scheduler folds them into `PaymentDay`; readers add what is not folded yet (`queries.reporting`).
"""

import datetime as dt
from enum import StrEnum
from typing import Final

from sqlalchemy import DDL, BigInteger, Date, Index, String, event, text
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base, BigId, UtcDateTime, search_text


class Slice(StrEnum):
    """By what payments of a day are told apart. Each payment is in each slice once, unless it has no such thing."""

    ALL = "All payments"
    METHOD = "Method"
    CHANNEL = "Channel"
    TYPE = "Type"
    ISSUER = "Card issuer"
    FAILURE = "Failure message"


# The payment's column that a slice goes by.
COLUMN_OF: Final[dict[Slice, str | None]] = {
    Slice.ALL: None,
    Slice.METHOD: "method",
    Slice.CHANNEL: "channel",
    Slice.TYPE: "type",
    Slice.ISSUER: "card_issuer",
    Slice.FAILURE: "failure_message",
}
# What only distinct billing numbers are counted by; the days know nothing of it.
NUMBER: Final = "billing_number"
FACTS: Final = ("mode", "unit", "status", "method", "channel", "type", "card_issuer", "failure_message")
MEASURES: Final = ("count", "amount_minor", "captured_minor", "refunded_minor")
_MONEY: Final = MEASURES[1:]


class PaymentChange(Base):
    """What one change of a payment adds to the figures: plus what it is now, minus what it was."""

    __tablename__ = "payment_change"
    # What of a billing number is not folded yet is asked for number by number, however long the journal has grown.
    __table_args__ = (
        Index(
            "ix_payment_change_billing_number",
            "billing_number",
            sqlite_where=text("billing_number IS NOT NULL"),
            postgresql_where=text("billing_number IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    mode: Mapped[str] = mapped_column(String(24))
    unit: Mapped[str] = mapped_column(String(12))
    status: Mapped[str] = mapped_column(String(24))
    method: Mapped[str] = mapped_column(String(40))
    channel: Mapped[str] = mapped_column(String(24))
    type: Mapped[str] = mapped_column(String(24))
    card_issuer: Mapped[str | None] = mapped_column(String(120))
    failure_message: Mapped[str | None] = mapped_column(String(300))
    billing_number: Mapped[str | None] = mapped_column(search_text(64))
    count: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    captured_minor: Mapped[int] = mapped_column(BigInteger)
    refunded_minor: Mapped[int] = mapped_column(BigInteger)


class PaymentDay(Base):
    """How many payments of one business day are alike, and their sums in minor units of `unit`.

    Days are those of the zone in `RollupState`. `key` is the value of the slice's column; "" in the slice of all.
    """

    __tablename__ = "payment_day"
    mode: Mapped[str] = mapped_column(String(24), primary_key=True)
    slice: Mapped[str] = mapped_column(String(24), primary_key=True)
    unit: Mapped[str] = mapped_column(String(12), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    status: Mapped[str] = mapped_column(String(24), primary_key=True)
    key: Mapped[str] = mapped_column(search_text(300), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    captured_minor: Mapped[int] = mapped_column(BigInteger)
    refunded_minor: Mapped[int] = mapped_column(BigInteger)


class Period(StrEnum):
    """What distinct billing numbers are counted in: they cannot be added up from days."""

    WEEK = "Week"
    MONTH = "Month"


class BillingPeriod(Base):
    """How many different billing numbers the payments of a calendar week or month have.

    Weeks begin on Mondays. Which numbers these are is not written down: the payments know, and whether a change brings
    the first payment of a number, or takes its last, is asked of them through an index.
    """

    __tablename__ = "billing_period"

    mode: Mapped[str] = mapped_column(String(24), primary_key=True)
    unit: Mapped[str] = mapped_column(String(12), primary_key=True)
    period: Mapped[str] = mapped_column(String(24), primary_key=True)
    first_day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    numbers: Mapped[int] = mapped_column(BigInteger)


class RollupState(Base):
    """One row: in which zone the days were folded, and how far a rebuild is.

    Attributes:
        zone: None while the days are not to be trusted; figures are then counted from the payments themselves.
        building: the zone of the rebuild that is going on.
        next_day: the first day that is still to be rebuilt, up to and including `last_day`.
    """

    __tablename__ = "rollup_state"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    zone: Mapped[str | None] = mapped_column(String(64))
    building: Mapped[str | None] = mapped_column(String(64))
    next_day: Mapped[dt.date | None] = mapped_column(Date)
    last_day: Mapped[dt.date | None] = mapped_column(Date)


_NOTED = (*FACTS, NUMBER)
_INTO = f"INSERT INTO payment_change (at, {', '.join((*_NOTED, *MEASURES))})"
_WATCHED = ("created_at", *_NOTED, *_MONEY)


def _values(row: str, sign: str) -> str:
    """One row of the journal: all facts of `row`, and its sums with `sign`."""
    facts = [f"{row}.{name}" for name in ("created_at", *_NOTED)]
    return ", ".join([*facts, f"{sign}1", *(f"{sign}{row}.{name}" for name in _MONEY)])


_DIFFERS = {
    "sqlite": " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in _WATCHED),
    "postgresql": " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in _WATCHED),
}
TRIGGERS: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        f"CREATE TRIGGER payment_added AFTER INSERT ON payment BEGIN {_INTO} VALUES ({_values('NEW', '')}); END",  # noqa: S608 - names of columns
        (
            f"CREATE TRIGGER payment_changed AFTER UPDATE ON payment WHEN {_DIFFERS['sqlite']} BEGIN "
            f"{_INTO} VALUES ({_values('OLD', '-')}), ({_values('NEW', '')}); END"
        ),
        f"CREATE TRIGGER payment_deleted AFTER DELETE ON payment BEGIN {_INTO} VALUES ({_values('OLD', '-')}); END",
    ),
    # Row by row: a table of what a statement inserted costs a single payment more than calls cost a million.
    "postgresql": (
        (
            "CREATE FUNCTION note_added_payment() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_INTO} VALUES ({_values('NEW', '')}); RETURN NULL; END $$"
        ),
        "CREATE TRIGGER payment_added AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION note_added_payment()",
        (
            "CREATE FUNCTION note_changed_payment() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_INTO} VALUES ({_values('OLD', '-')}), ({_values('NEW', '')}); RETURN NULL; END $$"
        ),
        (
            f"CREATE TRIGGER payment_changed AFTER UPDATE ON payment FOR EACH ROW WHEN ({_DIFFERS['postgresql']}) "
            "EXECUTE FUNCTION note_changed_payment()"
        ),
        (
            "CREATE FUNCTION note_deleted_payment() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_INTO} VALUES ({_values('OLD', '-')}); RETURN NULL; END $$"
        ),
        ("CREATE TRIGGER payment_deleted AFTER DELETE ON payment FOR EACH ROW EXECUTE FUNCTION note_deleted_payment()"),
    ),
}


def _listen() -> None:
    from payadmin.models.payments import Payment  # noqa: PLC0415 - its table must be known before its triggers

    for dialect, statements in TRIGGERS.items():
        for statement in statements:
            ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            # After all tables: a trigger may be made before its journal, but not before its own table.
            event.listen(Payment.metadata, "after_create", ddl.execute_if(dialect=dialect))


_listen()
