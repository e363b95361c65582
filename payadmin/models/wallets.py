"""Wallets, what moves between them, and what waits because it is over a limit (S3:45, domain 4.12).

A wallet is the account 2010 of its owner in one unit: its money stands in the books and nowhere else, and what is set
aside of it on the account 2020 of the same owner. Each of its transactions says what left, what arrived, and why the
difference; the books hold the same under its number.
"""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.errors import Conflict
from payadmin.kernel.states import Machine
from payadmin.kernel.tariffs import TransactionType
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Customer, Organization
from payadmin.models.tariffs import ContractVersion

KEY_LENGTH = 120
NOTE_LENGTH = 300
REASON_LENGTH = 200
RATE_LENGTH = 40


class WalletStatus(StrEnum):
    OPEN = "Open"
    BLOCKED = "Blocked"
    CLOSED = "Closed"


WALLET_MACHINE = Machine(
    initial=WalletStatus.OPEN,
    moves={
        WalletStatus.OPEN: frozenset({WalletStatus.BLOCKED, WalletStatus.CLOSED}),
        WalletStatus.BLOCKED: frozenset({WalletStatus.OPEN}),
        WalletStatus.CLOSED: frozenset({WalletStatus.OPEN}),
    },
)


class WalletKind(StrEnum):
    """What a transaction of wallets is."""

    TRANSFER = "Transfer"
    EXCHANGE = "Exchange"
    MASS_PAYMENT = "Mass payment"
    SALE = "Product sale"
    BONUS_ISSUE = "Bonus units issued"
    BONUS_REDEEM = "Bonus units redeemed"
    ADJUSTMENT = "Adjustment"


# What contracts have terms for.
TERMS_OF: dict[WalletKind, TransactionType] = {
    WalletKind.TRANSFER: TransactionType.TRANSFER,
    WalletKind.EXCHANGE: TransactionType.EXCHANGE,
    WalletKind.MASS_PAYMENT: TransactionType.MASS_PAYMENT,
    WalletKind.SALE: TransactionType.SALE,
}


# What has one wallet only: its counterpart is an account of the house.
_ALONE = "kind IN ('ADJUSTMENT', 'BONUS_ISSUE', 'BONUS_REDEEM')"


class MoveStatus(StrEnum):
    """Where a transaction stands. One within its limits is executed from its beginning."""

    HELD = "Held"
    EXECUTED = "Executed"
    RELEASED = "Released"
    REVERSED = "Reversed"


MOVE_MACHINE = Machine(
    initial=MoveStatus.HELD,
    moves={
        MoveStatus.HELD: frozenset({MoveStatus.EXECUTED, MoveStatus.RELEASED}),
        MoveStatus.EXECUTED: frozenset({MoveStatus.REVERSED}),
    },
)
# What counts against a limit: executed, and reserved by what still waits (LI1).
COUNTED = (MoveStatus.EXECUTED, MoveStatus.HELD)


class LimitRule(StrEnum):
    SINGLE = "Limit of one"
    DAY = "Limit of a day"
    MONTH = "Limit of a month"


class ApplicationStatus(StrEnum):
    PENDING = "Waiting"
    APPROVED = "Approved"
    EXECUTED = "Executed"
    EXECUTION_FAILED = "Execution failed"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    WITHDRAWN = "Withdrawn"


_A = ApplicationStatus
APPLICATION_MACHINE = Machine(
    initial=_A.PENDING,
    moves={
        _A.PENDING: frozenset({_A.APPROVED, _A.REJECTED, _A.EXPIRED, _A.WITHDRAWN}),
        _A.APPROVED: frozenset({_A.EXECUTED, _A.EXECUTION_FAILED}),
    },
)


def allowed(machine: Machine[Any], before: Any, after: Any) -> Any:
    """`after`, when `machine` lets a row go there from `before`.

    Raises:
        Conflict: it does not.
    """
    if before is not None and before is not after and not machine.allows(before, after):
        raise Conflict(
            _(
                "What is %(before)s cannot become %(after)s.",
                before=Words(before.value).lower(),
                after=Words(after.value).lower(),
            )
        )
    return after


class Wallet(Row, Audited, Base):
    """What an organization or a customer has in one unit; there is one for each owner and unit.

    It is opened by hand, or by the first booking on its account. Its balance is that of its account.
    """

    machine: ClassVar[Machine[WalletStatus]] = WALLET_MACHINE

    __tablename__ = "wallet"
    __title__ = "number"
    __table_args__ = (
        CheckConstraint("(organization_id IS NULL) <> (customer_id IS NULL)", name="one_owner"),
        ForeignKeyConstraint(
            ["account_id", "unit"], ["ledger_account.id", "ledger_account.unit"], name="fk_wallet_account_id"
        ),
        Index("uq_wallet_organization_id_unit", "organization_id", "unit", unique=True),
        Index("uq_wallet_customer_id_unit", "customer_id", "unit", unique=True),
        Index("ix_wallet_created_at_id", "created_at", "id"),
        Index("ix_wallet_unit_id", "unit", "id"),
        Index("ix_wallet_status_id", "status", "id"),
    )

    number: Mapped[str] = mapped_column(
        search_text(24), unique=True, info={"label": "Wallet", "search": True, "readonly": True}
    )
    organization_id: Mapped[int | None] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Organization", "readonly": True}
    )
    customer_id: Mapped[int | None] = mapped_column(
        ForeignKey("customer.id"), info={"label": "Customer", "readonly": True}
    )
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    account_id: Mapped[int] = mapped_column(
        unique=True, info={"label": "Account", "list": False, "filter": False, "readonly": True}
    )
    status: Mapped[WalletStatus] = enum_column(
        WalletStatus, default=WalletStatus.OPEN, info={"label": "Status", "readonly": True}
    )

    organization: Mapped[Organization | None] = relationship(lazy="raise_on_sql")
    customer: Mapped[Customer | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.number

    @property
    def owner_key(self) -> str:
        """How its owner owns accounts (`ledger/chart.py`)."""
        if self.organization_id is not None:
            return f"organization:{self.organization_id}"
        return f"customer:{self.customer_id}"

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: WalletStatus) -> WalletStatus:
        found: WalletStatus = allowed(WALLET_MACHINE, self.status, after)
        return found


def wallet_number(account_id: int) -> str:
    """What the wallet of an account is called."""
    return f"W-{account_id:06d}"


class WalletTransaction(Row, Audited, Base):
    """One transaction of wallets: what left one of them, what reached another, and why the two differ.

    Attributes:
        key: names the order; the same order that comes twice is carried out once.
        amount_minor: what was ordered, in `unit`.
        commission_minor: ours, in `unit`: on top of the amount or taken from it, as the contract says.
        paid_minor: what left the paying wallet, in `unit`.
        received_minor: what reached the other wallet, in `to_unit`.
        spread_minor: ours of what was bought, in `to_unit`.
        rate: what one `unit` cost in `to_unit`, as people read it; `rate_ids` are the rates that it was made of.
        day: the business day on which it was ordered: limits are counted by it.
    """

    machine: ClassVar[Machine[MoveStatus]] = MOVE_MACHINE

    __tablename__ = "wallet_transaction"
    __table_args__ = (
        CheckConstraint("from_wallet_id IS NOT NULL OR to_wallet_id IS NOT NULL", name="of_a_wallet"),
        CheckConstraint("from_wallet_id <> to_wallet_id", name="two_wallets"),
        CheckConstraint(f"{_ALONE} OR (from_wallet_id IS NOT NULL AND to_wallet_id IS NOT NULL)", name="both_wallets"),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("commission_minor >= 0", name="commission_not_negative"),
        CheckConstraint("spread_minor >= 0", name="spread_not_negative"),
        CheckConstraint("paid_minor > 0", name="paid_positive"),
        CheckConstraint("received_minor > 0", name="received_positive"),
        CheckConstraint(
            "unit <> to_unit OR (paid_minor = received_minor + commission_minor AND spread_minor = 0 AND rate IS NULL)",
            name="nothing_lost",
        ),
        CheckConstraint("(kind = 'EXCHANGE') = (unit <> to_unit)", name="units_exchanged"),
        CheckConstraint("status <> 'HELD' OR from_wallet_id IS NOT NULL", name="held_of_a_wallet"),
        Index("ix_wallet_transaction_counted", "from_wallet_id", "kind", "day"),
        Index("ix_wallet_transaction_from_wallet_id_id", "from_wallet_id", "id"),
        Index("ix_wallet_transaction_to_wallet_id_id", "to_wallet_id", "id"),
        Index("ix_wallet_transaction_created_at_id", "created_at", "id"),
        Index("ix_wallet_transaction_kind_id", "kind", "id"),
        Index("ix_wallet_transaction_status_id", "status", "id"),
        Index("ix_wallet_transaction_unit_amount_minor_id", "unit", "amount_minor", "id"),
    )

    key: Mapped[str] = mapped_column(search_text(KEY_LENGTH), unique=True, info={"secret": True})
    kind: Mapped[WalletKind] = enum_column(WalletKind, info={"label": "Kind", "readonly": True})
    from_wallet_id: Mapped[int | None] = mapped_column(ForeignKey("wallet.id"), info={"label": "From"})
    to_wallet_id: Mapped[int | None] = mapped_column(ForeignKey("wallet.id"), info={"label": "To"})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Amount")
    commission_minor: Mapped[int] = minor_column("Commission", default=0)
    paid_minor: Mapped[int] = minor_column("Paid", info={"list": False})
    to_unit: Mapped[str] = mapped_column(
        ForeignKey("unit.code"), index=True, info={"label": "Currency received", "list": False, "readonly": True}
    )
    received_minor: Mapped[int] = minor_column("Received", unit="to_unit")
    spread_minor: Mapped[int] = minor_column("Spread", unit="to_unit", default=0, info={"list": False})
    rate: Mapped[str | None] = mapped_column(String(RATE_LENGTH), info={"label": "Rate", "list": False})
    rate_ids: Mapped[list[int] | None] = mapped_column(Json, info={"secret": True})
    contract_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("contract_version.id"), index=True, info={"label": "Contract version", "list": False}
    )
    day: Mapped[dt.date] = mapped_column(Date, info={"label": "Day", "list": False, "readonly": True})
    status: Mapped[MoveStatus] = enum_column(MoveStatus, default=MoveStatus.HELD, info={"label": "Status"})
    note: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "Note", "list": False})
    author_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), index=True, info={"label": "Ordered by"})

    from_wallet: Mapped[Wallet | None] = relationship(lazy="raise_on_sql", foreign_keys=[from_wallet_id])
    to_wallet: Mapped[Wallet | None] = relationship(lazy="raise_on_sql", foreign_keys=[to_wallet_id])
    contract_version: Mapped[ContractVersion | None] = relationship(lazy="raise_on_sql")
    author: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("%(kind)s no. %(number)s", kind=Words(self.kind.value), number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: MoveStatus) -> MoveStatus:
        found: MoveStatus = allowed(MOVE_MACHINE, self.status, after)
        return found


class LimitApplication(Row, Audited, Base):
    """A transaction that waits because it is over a limit of its contract: what the limit was, and by how much (LI2).

    Attributes:
        rule: which limit; of several that were passed, the one that was passed by most.
        counted_minor: what counted against it before.
        actual_minor: with this transaction; `excess_minor` is what is too much of that.
        failure: why it could not be executed although it was approved.
    """

    machine: ClassVar[Machine[ApplicationStatus]] = APPLICATION_MACHINE

    __tablename__ = "limit_application"
    __table_args__ = (
        CheckConstraint("limit_minor > 0", name="limit_positive"),
        CheckConstraint("counted_minor >= 0", name="counted_not_negative"),
        CheckConstraint("excess_minor > 0", name="excess_positive"),
        CheckConstraint("actual_minor = limit_minor + excess_minor", name="actual_is_over"),
        CheckConstraint("(decided_at IS NULL) = (status = 'PENDING')", name="decided_or_waiting"),
        Index("ix_limit_application_created_at_id", "created_at", "id"),
        Index("ix_limit_application_status_expires_at", "status", "expires_at"),
    )

    transaction_id: Mapped[int] = mapped_column(
        ForeignKey("wallet_transaction.id"), unique=True, info={"label": "Transaction", "readonly": True}
    )
    rule: Mapped[LimitRule] = enum_column(LimitRule, info={"label": "Limit passed", "readonly": True})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True, info={"label": "Currency", "readonly": True})
    limit_minor: Mapped[int] = minor_column("Limit")
    counted_minor: Mapped[int] = minor_column("Counted before", info={"list": False})
    actual_minor: Mapped[int] = minor_column("With this one")
    excess_minor: Mapped[int] = minor_column("Too much")
    status: Mapped[ApplicationStatus] = enum_column(
        ApplicationStatus, default=ApplicationStatus.PENDING, info={"label": "Status", "readonly": True}
    )
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Expires", "readonly": True})
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "list": False})
    decided_by: Mapped[str | None] = mapped_column(String(100), info={"label": "Decided by", "list": False})
    reason: Mapped[str | None] = mapped_column(String(REASON_LENGTH), info={"label": "Reason", "list": False})
    failure: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "Why it failed", "list": False})

    transaction: Mapped[WalletTransaction] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Application no. %(number)s", number=self.id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: ApplicationStatus) -> ApplicationStatus:
        found: ApplicationStatus = allowed(APPLICATION_MACHINE, self.status, after)
        return found
