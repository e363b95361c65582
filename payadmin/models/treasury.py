"""Cash desks, their days and operations, and what moves between them, the bank and money in transit (S3, domain 4.10).

What lies in a desk is the account 1110 of the desk in one unit: its money stands in the books and nowhere else.
"""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Organization
from payadmin.models.redeem import RedeemRequest
from payadmin.models.tariffs import ContractVersion
from payadmin.models.wallets import KEY_LENGTH, NOTE_LENGTH, REASON_LENGTH, Wallet, allowed

CODE_LENGTH = 24
# What a desk that is not closed is: at most one day of it, whatever happens at once (CA1).
_UNCLOSED = "status <> 'CLOSED'"
# A confirmed operation is taken back at most once; what a CFO rejected may be asked for again.
_LIVE = "status IN ('INITIATED', 'CONFIRMED')"


class DeskStatus(StrEnum):
    ACTIVE = "Active"
    LOCKED = "Locked"
    CLOSED = "Closed"


DESK_MACHINE = Machine(
    initial=DeskStatus.ACTIVE,
    moves={
        DeskStatus.ACTIVE: frozenset({DeskStatus.LOCKED, DeskStatus.CLOSED}),
        DeskStatus.LOCKED: frozenset({DeskStatus.ACTIVE, DeskStatus.CLOSED}),
    },
)


class DayStatus(StrEnum):
    """Where a cash desk day stands; it is returned only to be counted again, never to be worked in (CA2)."""

    OPEN = "Open"
    CLOSE_REQUESTED = "Close requested"
    RETURNED = "Returned"
    CLOSED = "Closed"


DAY_MACHINE = Machine(
    initial=DayStatus.OPEN,
    moves={
        DayStatus.OPEN: frozenset({DayStatus.CLOSE_REQUESTED}),
        DayStatus.CLOSE_REQUESTED: frozenset({DayStatus.CLOSED, DayStatus.RETURNED}),
        DayStatus.RETURNED: frozenset({DayStatus.CLOSE_REQUESTED}),
    },
)


class CashKind(StrEnum):
    """What a cashier does for a customer."""

    TOP_UP = "Top-up"
    WITHDRAWAL = "Withdrawal"
    REDEEM = "Redeem paid"


class SystemKind(StrEnum):
    """What the accountant initiates and the CFO confirms (S3:118-121)."""

    CASH_INPUT = "Cash input"
    CASH_COLLECTION = "Cash collection"
    INVESTMENT = "Investment"


class CashSource(StrEnum):
    """Where a cash input comes from."""

    BANK = "Bank"
    OWNER = "Owner funding"


class SystemStatus(StrEnum):
    INITIATED = "Initiated"
    CONFIRMED = "Confirmed"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"
    STALE = "Out of date"
    REVERSED = "Reversed"


SYSTEM_MACHINE = Machine(
    initial=SystemStatus.INITIATED,
    moves={
        SystemStatus.INITIATED: frozenset(
            {SystemStatus.CONFIRMED, SystemStatus.REJECTED, SystemStatus.CANCELLED, SystemStatus.STALE}
        ),
        SystemStatus.STALE: frozenset({SystemStatus.CANCELLED}),
        SystemStatus.CONFIRMED: frozenset({SystemStatus.REVERSED}),
    },
)


class CashDesk(Row, Audited, Base):
    """A place where cash is taken and given. A locked one opens no day and does nothing in an open one."""

    machine: ClassVar[Machine[DeskStatus]] = DESK_MACHINE

    __tablename__ = "cash_desk"
    __title__ = "name"
    __table_args__ = (Index("ix_cash_desk_created_at_id", "created_at", "id"),)

    code: Mapped[str] = mapped_column(
        search_text(CODE_LENGTH), unique=True, info={"label": "Desk", "search": True, "readonly": True}
    )
    name: Mapped[str] = mapped_column(search_text(120), unique=True, info={"label": "Name", "search": True})
    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), index=True, info={"label": "Organization"}
    )
    status: Mapped[DeskStatus] = enum_column(
        DeskStatus, default=DeskStatus.ACTIVE, info={"label": "Status", "readonly": True}
    )

    organization: Mapped[Organization] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: DeskStatus) -> DeskStatus:
        found: DeskStatus = allowed(DESK_MACHINE, self.status, after)
        return found


class CashDeskAssignment(Row, Audited, Base):
    """A cashier works at a desk from a moment on, until another; at one desk at a time, and a desk may have several."""

    __tablename__ = "cash_desk_assignment"
    __table_args__ = (
        CheckConstraint("ends_at IS NULL OR ends_at >= begins_at", name="ends_after_it_began"),
        Index(
            "uq_cash_desk_assignment_cashier_id",
            "cashier_id",
            unique=True,
            sqlite_where=text("ends_at IS NULL"),
            postgresql_where=text("ends_at IS NULL"),
        ),
        Index("ix_cash_desk_assignment_desk_id_id", "desk_id", "id"),
        Index("ix_cash_desk_assignment_cashier_id_id", "cashier_id", "id"),
    )

    desk_id: Mapped[int] = mapped_column(ForeignKey("cash_desk.id"), info={"label": "Desk", "readonly": True})
    cashier_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"), info={"label": "Cashier", "readonly": True})
    begins_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "From", "readonly": True})
    ends_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "To", "readonly": True})

    desk: Mapped[CashDesk] = relationship(lazy="raise_on_sql")
    cashier: Mapped[StaffUser] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Assignment no. %(number)s", number=self.id)


class CashDeskDay(Row, Audited, Base):
    """One day of one desk, from its opening by a cashier to its closing by an accountant (S3:93, CA1-CA6).

    Attributes:
        business_date: the date in business time at which it was opened; it does not change at midnight.
        last_receipt: the number of its last receipt; operations are numbered from 1 within the date of a desk.
        rounds: how often it was counted.
        note: what the cashier says about a difference.
        decision: why the accountant returned it, or closed it as it is.
        is_forced: an accountant closed it because its cashier did not.
        alerted_on: the last date on which accountants were told that it was left open.
    """

    machine: ClassVar[Machine[DayStatus]] = DAY_MACHINE

    __tablename__ = "cash_desk_day"
    __table_args__ = (
        CheckConstraint("last_receipt >= 0 AND rounds >= 0", name="counts_up"),
        CheckConstraint("status = 'OPEN' OR close_requested_at IS NOT NULL", name="requested_before_decided"),
        CheckConstraint("status IN ('OPEN', 'CLOSE_REQUESTED') OR decided_at IS NOT NULL", name="decided_by_somebody"),
        CheckConstraint("decided_by_id IS NULL OR decided_by_id <> opened_by_id", name="decided_by_another"),
        Index(
            "uq_cash_desk_day_desk_id",
            "desk_id",
            unique=True,
            sqlite_where=text(_UNCLOSED),
            postgresql_where=text(_UNCLOSED),
        ),
        Index("ix_cash_desk_day_desk_id_id", "desk_id", "id"),
        Index("ix_cash_desk_day_business_date_id", "business_date", "id"),
        Index("ix_cash_desk_day_opened_by_id_id", "opened_by_id", "id"),
        Index("ix_cash_desk_day_status_id", "status", "id"),
        Index("ix_cash_desk_day_created_at_id", "created_at", "id"),
    )

    desk_id: Mapped[int] = mapped_column(ForeignKey("cash_desk.id"), info={"label": "Desk", "readonly": True})
    business_date: Mapped[dt.date] = mapped_column(Date, info={"label": "Day", "readonly": True})
    status: Mapped[DayStatus] = enum_column(
        DayStatus, default=DayStatus.OPEN, info={"label": "Status", "readonly": True}
    )
    opened_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Opened", "readonly": True})
    opened_by_id: Mapped[int] = mapped_column(
        ForeignKey("staff_user.id"), info={"label": "Opened by", "readonly": True}
    )
    last_receipt: Mapped[int] = mapped_column(default=0, info={"label": "Receipts", "list": False, "readonly": True})
    rounds: Mapped[int] = mapped_column(default=0, info={"label": "Times counted", "list": False, "readonly": True})
    close_requested_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Close requested", "readonly": True}
    )
    close_requested_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"),
        index=True,
        info={"label": "Counted by", "related": False, "list": False, "readonly": True},
    )
    note: Mapped[str | None] = mapped_column(
        String(NOTE_LENGTH), info={"label": "Cashier's note", "list": False, "readonly": True}
    )
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "readonly": True})
    decided_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"),
        index=True,
        info={"label": "Decided by", "related": False, "list": False, "readonly": True},
    )
    decision: Mapped[str | None] = mapped_column(
        String(REASON_LENGTH), info={"label": "Decision", "list": False, "readonly": True}
    )
    is_forced: Mapped[bool] = mapped_column(default=False, info={"label": "Forced", "list": False, "readonly": True})
    alerted_on: Mapped[dt.date | None] = mapped_column(Date, info={"list": False, "readonly": True})

    desk: Mapped[CashDesk] = relationship(lazy="raise_on_sql")
    opened_by: Mapped[StaffUser] = relationship(lazy="raise_on_sql", foreign_keys=[opened_by_id])
    close_requested_by: Mapped[StaffUser | None] = relationship(
        lazy="raise_on_sql", foreign_keys=[close_requested_by_id]
    )
    decided_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql", foreign_keys=[decided_by_id])

    def __str__(self) -> str:
        return _("Cash desk day no. %(number)s", number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: DayStatus) -> DayStatus:
        found: DayStatus = allowed(DAY_MACHINE, self.status, after)
        return found


class CashDayUnit(Row, Audited, Base):
    """What a day comes to in one unit: what it began with, what the books expect, and what was counted.

    Attributes:
        opening_minor: what the books said when the day was opened.
        expected_minor: what they said when it was counted; hidden from the cashier until then (CA4).
        counted_minor: what the cashier counted; None: not counted yet.
        denominations: how many of each note and coin, by their minor units, where they were counted one by one.
    """

    __tablename__ = "cash_day_unit"
    __table_args__ = (
        CheckConstraint("opening_minor >= 0", name="opening_not_negative"),
        CheckConstraint("expected_minor >= 0", name="expected_not_negative"),
        CheckConstraint("counted_minor >= 0", name="counted_not_negative"),
        CheckConstraint("(expected_minor IS NULL) = (counted_minor IS NULL)", name="counted_beside_expected"),
        UniqueConstraint("day_id", "unit", name="uq_cash_day_unit_day_id_unit"),
    )

    day_id: Mapped[int] = mapped_column(ForeignKey("cash_desk_day.id"), info={"label": "Day", "readonly": True})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True, info={"label": "Currency", "readonly": True})
    opening_minor: Mapped[int] = minor_column("Opening", default=0)
    expected_minor: Mapped[int | None] = minor_column("Expected")
    counted_minor: Mapped[int | None] = minor_column("Counted")
    denominations: Mapped[dict[str, int] | None] = mapped_column(Json, info={"list": False, "readonly": True})

    day: Mapped[CashDeskDay] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("%(unit)s of cash desk day no. %(number)s", unit=self.unit, number=self.day_id)


class CashOperation(Row, Audited, Base):
    """Cash that a customer brought or took, within an open day; its receipt's number is unique in the day (CA7).

    Attributes:
        key: names the order; the same order that comes twice is carried out once.
        amount_minor: what was ordered; `commission_minor` is ours of it or on top, as the contract says.
        cash_minor: what went over the counter; `wallet_minor`: what reached or left the wallet.
    """

    __tablename__ = "cash_operation"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("commission_minor >= 0", name="commission_not_negative"),
        CheckConstraint("cash_minor > 0 AND wallet_minor > 0", name="both_sides_positive"),
        CheckConstraint(
            "(kind = 'TOP_UP' AND cash_minor = wallet_minor + commission_minor)"
            " OR (kind <> 'TOP_UP' AND wallet_minor = cash_minor + commission_minor)",
            name="nothing_lost",
        ),
        CheckConstraint("(kind = 'REDEEM') = (redeem_request_id IS NOT NULL)", name="redeem_of_a_request"),
        UniqueConstraint("day_id", "receipt", name="uq_cash_operation_day_id_receipt"),
        Index("ix_cash_operation_day_id_id", "day_id", "id"),
        Index("ix_cash_operation_counted", "wallet_id", "kind", "on_day"),
        Index("ix_cash_operation_wallet_id_id", "wallet_id", "id"),
        Index("ix_cash_operation_cashier_id_id", "cashier_id", "id"),
        Index("ix_cash_operation_kind_id", "kind", "id"),
        Index("ix_cash_operation_created_at_id", "created_at", "id"),
        Index("ix_cash_operation_unit_amount_minor_id", "unit", "amount_minor", "id"),
    )

    key: Mapped[str] = mapped_column(search_text(KEY_LENGTH), unique=True, info={"secret": True})
    kind: Mapped[CashKind] = enum_column(CashKind, info={"label": "Kind", "readonly": True})
    day_id: Mapped[int] = mapped_column(ForeignKey("cash_desk_day.id"), info={"label": "Cash day", "readonly": True})
    receipt: Mapped[int] = mapped_column(info={"label": "Receipt", "readonly": True})
    wallet_id: Mapped[int] = mapped_column(ForeignKey("wallet.id"), info={"label": "Wallet", "readonly": True})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Amount")
    commission_minor: Mapped[int] = minor_column("Commission", default=0)
    cash_minor: Mapped[int] = minor_column("Cash", info={"list": False})
    wallet_minor: Mapped[int] = minor_column("Wallet's part", info={"list": False})
    on_day: Mapped[dt.date] = mapped_column(Date, info={"label": "Date", "list": False, "readonly": True})
    contract_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("contract_version.id"), index=True, info={"label": "Contract version", "list": False}
    )
    redeem_request_id: Mapped[int | None] = mapped_column(
        ForeignKey("redeem_request.id"), unique=True, info={"label": "Redeem request", "list": False, "readonly": True}
    )
    cashier_id: Mapped[int] = mapped_column(
        ForeignKey("staff_user.id"),
        info={"label": "Cashier", "related": False, "readonly": True},
    )
    note: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "Note", "list": False})

    day: Mapped[CashDeskDay] = relationship(lazy="raise_on_sql")
    wallet: Mapped[Wallet] = relationship(lazy="raise_on_sql")
    contract_version: Mapped[ContractVersion | None] = relationship(lazy="raise_on_sql")
    redeem_request: Mapped[RedeemRequest | None] = relationship(lazy="raise_on_sql")
    cashier: Mapped[StaffUser] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("%(kind)s, receipt %(number)s", kind=Words(self.kind.value), number=self.receipt)


class SystemOperation(Row, Audited, Base):
    """Cash between the bank, money in transit and desks: initiated by an accountant, booked when a CFO confirms (CA9).

    Attributes:
        source: where a cash input comes from; others have none.
        day_id: the day of the desk that was open when it was confirmed, if one was.
        reverses_id: the confirmed operation that this one takes back.
        acknowledged_by_id: the cashier who saw the money come or go.
    """

    machine: ClassVar[Machine[SystemStatus]] = SYSTEM_MACHINE

    __tablename__ = "system_operation"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("(kind = 'CASH_INPUT') = (desk_id IS NULL)", name="desk_unless_input"),
        CheckConstraint("(kind = 'CASH_INPUT') = (source IS NOT NULL)", name="source_of_an_input"),
        CheckConstraint("status = 'INITIATED' OR decided_at IS NOT NULL", name="decided_or_waiting"),
        CheckConstraint(
            "status NOT IN ('CONFIRMED', 'REJECTED', 'REVERSED') OR decided_by_id <> initiated_by_id",
            name="decided_by_another",
        ),
        CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by_id IS NULL)", name="acknowledged_by_somebody"),
        Index(
            "uq_system_operation_reverses_id",
            "reverses_id",
            unique=True,
            sqlite_where=text(_LIVE),
            postgresql_where=text(_LIVE),
        ),
        Index("ix_system_operation_status_id", "status", "id"),
        Index("ix_system_operation_desk_id_id", "desk_id", "id"),
        Index("ix_system_operation_day_id_id", "day_id", "id"),
        Index("ix_system_operation_kind_id", "kind", "id"),
        Index("ix_system_operation_created_at_id", "created_at", "id"),
        Index("ix_system_operation_unit_amount_minor_id", "unit", "amount_minor", "id"),
    )

    key: Mapped[str] = mapped_column(search_text(KEY_LENGTH), unique=True, info={"secret": True})
    kind: Mapped[SystemKind] = enum_column(SystemKind, info={"label": "Kind", "readonly": True})
    source: Mapped[CashSource | None] = enum_column(CashSource, info={"label": "Source", "readonly": True})
    desk_id: Mapped[int | None] = mapped_column(ForeignKey("cash_desk.id"), info={"label": "Desk", "readonly": True})
    day_id: Mapped[int | None] = mapped_column(
        ForeignKey("cash_desk_day.id"), info={"label": "Cash day", "list": False, "readonly": True}
    )
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Amount")
    status: Mapped[SystemStatus] = enum_column(
        SystemStatus, default=SystemStatus.INITIATED, info={"label": "Status", "readonly": True}
    )
    note: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "Note", "list": False})
    initiated_by_id: Mapped[int] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Initiated by", "related": False, "readonly": True}
    )
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "list": False})
    decided_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Decided by", "related": False, "list": False}
    )
    reason: Mapped[str | None] = mapped_column(String(REASON_LENGTH), info={"label": "Reason", "list": False})
    reverses_id: Mapped[int | None] = mapped_column(
        ForeignKey("system_operation.id"), index=True, info={"label": "Takes back", "list": False, "readonly": True}
    )
    acknowledged_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Acknowledged", "list": False, "readonly": True}
    )
    acknowledged_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"),
        index=True,
        info={"label": "Acknowledged by", "related": False, "list": False, "readonly": True},
    )

    desk: Mapped[CashDesk | None] = relationship(lazy="raise_on_sql")
    day: Mapped[CashDeskDay | None] = relationship(lazy="raise_on_sql")
    initiated_by: Mapped[StaffUser] = relationship(lazy="raise_on_sql", foreign_keys=[initiated_by_id])
    decided_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql", foreign_keys=[decided_by_id])
    acknowledged_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql", foreign_keys=[acknowledged_by_id])
    reverses: Mapped["SystemOperation | None"] = relationship(lazy="raise_on_sql", remote_side="SystemOperation.id")

    def __str__(self) -> str:
        return _("%(kind)s no. %(number)s", kind=Words(self.kind.value), number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: Any) -> SystemStatus:
        found: SystemStatus = allowed(SYSTEM_MACHINE, self.status, after)
        return found
