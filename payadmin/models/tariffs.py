"""Tariffs: contracts with their versions and terms, cashback profiles, and exchange rates (S3:63, S3:64, S3:74, S3:83).

What was in force at a moment is never changed: versions, their terms and rates are only added. The database refuses
anything else.
"""

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Date,
    Dialect,
    ForeignKey,
    Index,
    String,
    TypeDecorator,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, UtcDateTime, enum_column, search_text
from payadmin.kernel.errors import Conflict
from payadmin.kernel.states import Machine
from payadmin.kernel.tariffs import WHOLE_PPM, Cashback, ChargedTo, FundedBy, Term, TransactionType
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Organization

CODE_LENGTH = 40
NAME_LENGTH = 120
NOTE_LENGTH = 300
RATE_LENGTH = 40


class ContractStatus(StrEnum):
    ACTIVE = "Active"
    CLOSED = "Closed"


CONTRACT_MACHINE = Machine(
    initial=ContractStatus.ACTIVE,
    moves={
        ContractStatus.ACTIVE: frozenset({ContractStatus.CLOSED}),
        ContractStatus.CLOSED: frozenset({ContractStatus.ACTIVE}),
    },
)


class RateSource(StrEnum):
    STAFF = "Entered"
    ECB = "European Central Bank"
    OFFICE = "Office"


class DecimalText(TypeDecorator[Decimal]):
    """An exact decimal number, kept as its digits: SQLite would keep a NUMERIC as a float."""

    impl = String(RATE_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(value)


class Contract(Row, Audited, Base):
    """What an organization pays and how much it may move. What it says is in its versions; one is in force.

    `last_number` is the newest version's number: a request that was made before another version came is out of date.
    """

    machine: ClassVar[Machine[ContractStatus]] = CONTRACT_MACHINE

    __tablename__ = "contract"
    __title__ = "code"
    __table_args__ = (
        CheckConstraint("last_number >= 0", name="last_number_not_negative"),
        Index("ix_contract_created_at_id", "created_at", "id"),
        Index("ix_contract_name_id", "name", "id"),
    )

    code: Mapped[str] = mapped_column(
        search_text(CODE_LENGTH), unique=True, info={"label": "Code", "search": True, "readonly": True}
    )
    name: Mapped[str] = mapped_column(search_text(NAME_LENGTH), info={"label": "Name", "search": True})
    status: Mapped[ContractStatus] = enum_column(
        ContractStatus, default=ContractStatus.ACTIVE, index=True, info={"label": "Status", "readonly": True}
    )
    last_number: Mapped[int] = mapped_column(default=0, info={"label": "Latest version", "readonly": True})

    def __str__(self) -> str:
        return self.code

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: ContractStatus) -> ContractStatus:
        before = self.status
        if before is not None and before is not after and not CONTRACT_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A contract that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after


_LIVE = text("withdrawn_at IS NULL")


class ContractVersion(Row, Audited, Base):
    """What a contract says from a moment on. Of those that have begun, the one that began last is in force.

    A version that has not begun may be withdrawn; nothing else about it ever changes.
    """

    __tablename__ = "contract_version"
    __table_args__ = (
        UniqueConstraint("contract_id", "number"),
        CheckConstraint("number > 0", name="number_positive"),
        CheckConstraint("withdrawn_at < valid_from", name="withdrawn_before_it_began"),
        # Two versions cannot begin at one moment, so there is never a question which is in force.
        Index(
            "uq_contract_version_begins",
            "contract_id",
            "valid_from",
            unique=True,
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        ),
    )

    contract_id: Mapped[int] = mapped_column(ForeignKey("contract.id"), info={"label": "Contract"})
    number: Mapped[int] = mapped_column(info={"label": "Version"})
    valid_from: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Valid from"})
    note: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "What changed", "search": False})
    author_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), index=True, info={"label": "Author"})
    approved_by: Mapped[str | None] = mapped_column(String(100), info={"label": "Approved by", "search": False})
    withdrawn_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Withdrawn"})

    contract: Mapped[Contract] = relationship(lazy="raise_on_sql")
    author: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Version %(number)s", number=self.number)


class ContractTerm(Row, Base):
    """What one version says about one kind of transaction in one unit: its commission, who pays it, and its limits."""

    __tablename__ = "contract_term"
    __table_args__ = (
        UniqueConstraint("version_id", "transaction_type", "unit"),
        CheckConstraint(f"rate_ppm BETWEEN 0 AND {WHOLE_PPM}", name="rate_in_range"),
        CheckConstraint(f"spread_ppm BETWEEN 0 AND {WHOLE_PPM - 1}", name="spread_in_range"),
        CheckConstraint("spread_ppm = 0 OR transaction_type = 'EXCHANGE'", name="spread_of_exchanges"),
        CheckConstraint("fixed_minor >= 0", name="fixed_not_negative"),
        CheckConstraint("min_minor >= 0", name="min_not_negative"),
        CheckConstraint("max_minor >= 0", name="max_not_negative"),
        CheckConstraint("min_minor <= max_minor", name="min_within_max"),
        CheckConstraint("limit_single_minor > 0", name="single_positive"),
        CheckConstraint("limit_day_minor > 0", name="day_positive"),
        CheckConstraint("limit_month_minor > 0", name="month_positive"),
        CheckConstraint("limit_single_minor <= limit_day_minor", name="single_within_day"),
        CheckConstraint("limit_day_minor <= limit_month_minor", name="day_within_month"),
        CheckConstraint("limit_single_minor <= limit_month_minor", name="single_within_month"),
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("contract_version.id"), info={"label": "Version"})
    transaction_type: Mapped[TransactionType] = enum_column(TransactionType, info={"label": "Transaction"})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True, info={"label": "Currency"})
    rate_ppm: Mapped[int] = mapped_column(default=0, info={"label": "Percentage"})
    fixed_minor: Mapped[int] = minor_column("Fixed", default=0)
    min_minor: Mapped[int | None] = minor_column("Minimum")
    max_minor: Mapped[int | None] = minor_column("Maximum")
    charged_to: Mapped[ChargedTo] = enum_column(ChargedTo, default=ChargedTo.PAYEE, info={"label": "Paid by"})
    returns_commission: Mapped[bool] = mapped_column(default=False, info={"label": "Returned with refunds"})
    limit_single_minor: Mapped[int | None] = minor_column("Limit of one")
    limit_day_minor: Mapped[int | None] = minor_column("Limit of a day")
    limit_month_minor: Mapped[int | None] = minor_column("Limit of a month")
    spread_ppm: Mapped[int] = mapped_column(default=0, info={"label": "Spread"})

    def __str__(self) -> str:
        return f"{Words(self.transaction_type.value)} {self.unit}"

    @property
    def term(self) -> Term:
        """What it says, for calculations."""
        return Term(
            transaction_type=self.transaction_type,
            unit=self.unit,
            rate_ppm=self.rate_ppm,
            fixed_minor=self.fixed_minor,
            min_minor=self.min_minor,
            max_minor=self.max_minor,
            charged_to=self.charged_to,
            returns_commission=self.returns_commission,
            limit_single_minor=self.limit_single_minor,
            limit_day_minor=self.limit_day_minor,
            limit_month_minor=self.limit_month_minor,
            spread_ppm=self.spread_ppm,
        )


class CashbackProfile(Row, Audited, Base):
    """What customers of a merchant get back after a payment, how much at most, and from when until when (S3:63)."""

    __tablename__ = "cashback_profile"
    __title__ = "name"
    __table_args__ = (
        CheckConstraint(f"rate_ppm BETWEEN 1 AND {WHOLE_PPM}", name="rate_in_range"),
        CheckConstraint("cap_minor > 0", name="cap_positive"),
        CheckConstraint("cap_month_minor > 0", name="cap_month_positive"),
        CheckConstraint("cap_minor <= cap_month_minor", name="cap_within_month"),
        CheckConstraint("valid_from <= valid_to", name="begins_before_it_ends"),
        Index("ix_cashback_profile_created_at_id", "created_at", "id"),
    )

    name: Mapped[str] = mapped_column(search_text(NAME_LENGTH), unique=True, info={"label": "Name", "search": True})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True, info={"label": "Currency", "readonly": True})
    rate_ppm: Mapped[int] = mapped_column(info={"label": "Percentage"})
    cap_minor: Mapped[int | None] = minor_column("At most for one payment", info={"list": False})
    cap_month_minor: Mapped[int | None] = minor_column("At most for one customer a month", info={"list": False})
    funded_by: Mapped[FundedBy] = enum_column(FundedBy, default=FundedBy.SYSTEM, info={"label": "Paid for by"})
    valid_from: Mapped[dt.date] = mapped_column(Date, info={"label": "Valid from"})
    valid_to: Mapped[dt.date | None] = mapped_column(Date, info={"label": "Valid to"})
    is_on: Mapped[bool] = mapped_column(default=True, info={"label": "In force"})

    def __str__(self) -> str:
        return self.name

    @property
    def says(self) -> Cashback:
        """What it gives back, for calculations."""
        return Cashback(self.unit, self.rate_ppm, self.cap_minor, self.cap_month_minor, self.funded_by)


class PaymentTariff(Base):
    """What a payment cost its merchant and gave its customer back, by which term and profile: fixed with its booking.

    There is none where no term and no profile was in force. It never changes; what goes back later is in the books.
    """

    __tablename__ = "payment_tariff"
    __table_args__ = (
        CheckConstraint("term_id IS NOT NULL OR profile_id IS NOT NULL", name="says_something"),
        CheckConstraint("commission_minor >= 0 AND (term_id IS NOT NULL OR commission_minor = 0)", name="cost_of_term"),
        CheckConstraint(
            "cashback_minor >= 0 AND (profile_id IS NOT NULL OR cashback_minor = 0)", name="cashback_of_profile"
        ),
        CheckConstraint("(profile_id IS NULL) = (customer_id IS NULL)", name="cashback_of_customer"),
        # What a customer got by a profile in a month: the cap counts it.
        Index("ix_payment_tariff_profile_id_customer_id_month_on", "profile_id", "customer_id", "month_on"),
    )

    payment_id: Mapped[int] = mapped_column(ForeignKey("payment.id"), primary_key=True, autoincrement=False)
    term_id: Mapped[int | None] = mapped_column(ForeignKey("contract_term.id"), index=True, info={"label": "Contract"})
    commission_minor: Mapped[int] = mapped_column(BigInteger, default=0, info={"label": "Commission"})
    returns_commission: Mapped[bool] = mapped_column(default=False, info={"label": "Returned with refunds"})
    profile_id: Mapped[int | None] = mapped_column(
        ForeignKey("cashback_profile.id"), info={"label": "Cashback profile"}
    )
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"), index=True)
    cashback_minor: Mapped[int] = mapped_column(BigInteger, default=0, info={"label": "Cashback"})
    funded_by: Mapped[FundedBy | None] = enum_column(FundedBy, info={"label": "Paid for by"})
    month_on: Mapped[dt.date] = mapped_column(Date, info={"label": "Month"})


_SYSTEM, _OFFICE = text("office_id IS NULL"), text("office_id IS NOT NULL")


class ExchangeRate(Row, Base):
    """What one `base` was worth in `quote` from a moment on; of an exchange office, or the System's (no office)."""

    __tablename__ = "exchange_rate"
    __table_args__ = (
        CheckConstraint("CAST(rate AS NUMERIC) > 0", name="rate_positive"),
        CheckConstraint("base <> quote", name="two_units"),
        Index(
            "uq_exchange_rate_system",
            "base",
            "quote",
            "valid_from",
            unique=True,
            sqlite_where=_SYSTEM,
            postgresql_where=_SYSTEM,
        ),
        Index(
            "uq_exchange_rate_office",
            "office_id",
            "base",
            "quote",
            "valid_from",
            unique=True,
            sqlite_where=_OFFICE,
            postgresql_where=_OFFICE,
        ),
        Index("ix_exchange_rate_office_id_valid_from_id", "office_id", "valid_from", "id"),
        Index("ix_exchange_rate_base_valid_from_id", "base", "valid_from", "id"),
        Index("ix_exchange_rate_quote_valid_from_id", "quote", "valid_from", "id"),
        Index("ix_exchange_rate_valid_from_id", "valid_from", "id"),
        Index("ix_exchange_rate_author_id", "author_id"),
        Index("ix_exchange_rate_created_at_id", "created_at", "id"),
    )

    office_id: Mapped[int | None] = mapped_column(ForeignKey("organization.id"), info={"label": "Whose rate"})
    base: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "One", "readonly": True})
    quote: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Costs in", "readonly": True})
    rate: Mapped[Decimal] = mapped_column(DecimalText, info={"label": "Rate", "readonly": True, "search": False})
    valid_from: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Valid from", "readonly": True})
    source: Mapped[RateSource] = enum_column(RateSource, default=RateSource.STAFF, info={"label": "Source"})
    author_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Entered by"})
    note: Mapped[str | None] = mapped_column(
        String(NOTE_LENGTH), info={"label": "Note", "list": False, "search": False}
    )

    office: Mapped[Organization | None] = relationship(lazy="raise_on_sql")
    author: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


# --- what the database itself refuses ---------------------------------------------------------------------------------

_KEPT = "what was in force is never changed: {table} is only added to"
_VERSION_SAME = ("contract_id", "number", "valid_from", "note", "author_id", "approved_by", "created_at")


def _version_changed(same: str) -> str:
    changed = " OR ".join(f"NEW.{name} {same} OLD.{name}" for name in _VERSION_SAME)
    return f"OLD.withdrawn_at IS NOT NULL OR {changed}"


def _sqlite(table: str, when: str, condition: str) -> str:
    sentence = _KEPT.format(table=table)
    return (
        f"CREATE TRIGGER {table}_no_{when.lower()} BEFORE {when} ON {table} WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
    )


_ROWS = "BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep_{table}()"
_TABLE = "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION keep_{table}()"


def _postgres(table: str, allowed: str) -> tuple[str, ...]:
    raised = f"RAISE EXCEPTION '{_KEPT.format(table=table)}'; END $$"
    return (
        f"CREATE FUNCTION keep_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {allowed}{raised}",
        f"CREATE TRIGGER {table}_kept {_ROWS.format(table=table)}",
        f"CREATE TRIGGER {table}_not_truncated {_TABLE.format(table=table)}",
    )


_WITHDRAWING = (
    "IF TG_OP = 'UPDATE' THEN IF NOT (" + _version_changed("IS DISTINCT FROM") + ") THEN RETURN NEW; END IF; END IF; "
)
TRIGGERS: dict[str, dict[str, tuple[str, ...]]] = {
    "contract_version": {
        "sqlite": (
            _sqlite("contract_version", "UPDATE", _version_changed("IS NOT")),
            _sqlite("contract_version", "DELETE", "1"),
        ),
        "postgresql": _postgres("contract_version", _WITHDRAWING),
    },
    **{
        table: {
            "sqlite": (_sqlite(table, "UPDATE", "1"), _sqlite(table, "DELETE", "1")),
            "postgresql": _postgres(table, ""),
        }
        for table in ("contract_term", "exchange_rate", "payment_tariff")
    },
}

_MODELS: tuple[Any, ...] = (ContractVersion, ContractTerm, ExchangeRate, PaymentTariff)
for _model in _MODELS:
    for _dialect, _statements in TRIGGERS[_model.__tablename__].items():
        for _statement in _statements:
            _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(_model.__table__, "after_create", _ddl.execute_if(dialect=_dialect))
