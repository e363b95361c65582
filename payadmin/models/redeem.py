"""Redeem requests: what customers want paid out of their wallets, in cash or by the bank (S3:116, domain 4.11)."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, UtcDateTime, enum_column, search_text
from payadmin.kernel.states import Machine
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.tariffs import ContractVersion
from payadmin.models.wallets import KEY_LENGTH, NOTE_LENGTH, REASON_LENGTH, Wallet, allowed

HOLDER_LENGTH = 140  # what a payment file takes for a name


class RedeemChannel(StrEnum):
    CASH_DESK = "Cash desk"
    BANK_TRANSFER = "Bank transfer"


class RedeemStatus(StrEnum):
    """Where a request stands; SENT and RETURNED are of the bank only."""

    SUBMITTED = "Submitted"
    APPROVED = "Approved"
    SENT = "At the bank"
    PAID = "Paid"
    FAILED = "Failed"
    RETURNED = "Returned"
    CANCELLED = "Cancelled"


_R = RedeemStatus
REDEEM_MACHINE = Machine(
    initial=_R.SUBMITTED,
    moves={
        _R.SUBMITTED: frozenset({_R.APPROVED, _R.CANCELLED}),
        _R.APPROVED: frozenset({_R.SENT, _R.PAID, _R.CANCELLED}),
        _R.SENT: frozenset({_R.PAID, _R.FAILED}),
        _R.FAILED: frozenset({_R.APPROVED, _R.CANCELLED, _R.PAID}),
        _R.PAID: frozenset({_R.RETURNED}),
    },
)
# What counts against a limit: paid, and reserved by what still waits (LI1).
REDEEM_COUNTED = (_R.SUBMITTED, _R.APPROVED, _R.SENT, _R.FAILED, _R.PAID)


def _as_paid_out(context: Any) -> int:
    found: int = context.get_current_parameters()["amount_minor"]
    return found


class RedeemRequest(Row, Audited, Base):
    """A withdrawal that waits for an accountant; amount and commission are set aside from the beginning (RD1).

    Attributes:
        key: names the request; the same that comes twice is kept once.
        asked_minor: what was asked for, as limits count it: the amount, or with its commission where the contract takes
            that from what the customer gets.
        amount_minor: what is paid out.
        commission_minor: on top of the amount.
        holder_name, account_sealed, account_shown: where the bank pays to; the account's number is encrypted
            (`kernel/vault.py`, owner "redeem_request:<key>") and shown masked.
        failure_code: the bank's reason why it did not pay, or sent the money back (ISO 20022).
    """

    machine: ClassVar[Machine[RedeemStatus]] = REDEEM_MACHINE

    __tablename__ = "redeem_request"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("commission_minor >= 0", name="commission_not_negative"),
        CheckConstraint("asked_minor IN (amount_minor, amount_minor + commission_minor)", name="asked_for"),
        CheckConstraint(
            "(channel = 'BANK_TRANSFER') = (account_sealed IS NOT NULL)"
            " AND (account_sealed IS NULL) = (account_shown IS NULL)"
            " AND (account_sealed IS NULL) = (holder_name IS NULL)",
            name="account_of_a_transfer",
        ),
        CheckConstraint("status NOT IN ('SENT', 'RETURNED') OR channel = 'BANK_TRANSFER'", name="sent_to_a_bank"),
        CheckConstraint("status = 'SUBMITTED' OR decided_at IS NOT NULL", name="decided_or_waiting"),
        CheckConstraint("(status IN ('PAID', 'RETURNED')) = (paid_at IS NOT NULL)", name="paid_at_a_moment"),
        Index("ix_redeem_request_counted", "wallet_id", "channel", "on_day"),
        Index("ix_redeem_request_wallet_id_id", "wallet_id", "id"),
        Index("ix_redeem_request_status_id", "status", "id"),
        Index("ix_redeem_request_channel_id", "channel", "id"),
        Index("ix_redeem_request_created_at_id", "created_at", "id"),
        Index("ix_redeem_request_unit_amount_minor_id", "unit", "amount_minor", "id"),
    )

    key: Mapped[str] = mapped_column(search_text(KEY_LENGTH), unique=True, info={"secret": True})
    wallet_id: Mapped[int] = mapped_column(ForeignKey("wallet.id"), info={"label": "Wallet", "readonly": True})
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Amount")
    commission_minor: Mapped[int] = minor_column("Commission", default=0)
    asked_minor: Mapped[int] = minor_column("Asked for", default=_as_paid_out, info={"list": False})
    channel: Mapped[RedeemChannel] = enum_column(RedeemChannel, info={"label": "Paid by", "readonly": True})
    holder_name: Mapped[str | None] = mapped_column(
        String(HOLDER_LENGTH), info={"label": "Account holder", "list": False, "readonly": True, "mask": "name"}
    )
    account_sealed: Mapped[str | None] = mapped_column(String(300), info={"secret": True})
    account_shown: Mapped[str | None] = mapped_column(
        String(40), info={"label": "Account", "list": False, "readonly": True}
    )
    bank_code: Mapped[str | None] = mapped_column(String(11), info={"label": "BIC", "list": False, "readonly": True})
    status: Mapped[RedeemStatus] = enum_column(
        RedeemStatus, default=RedeemStatus.SUBMITTED, info={"label": "Status", "readonly": True}
    )
    on_day: Mapped[dt.date] = mapped_column(Date, info={"label": "Date", "list": False, "readonly": True})
    contract_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("contract_version.id"), index=True, info={"label": "Contract version", "list": False}
    )
    note: Mapped[str | None] = mapped_column(String(NOTE_LENGTH), info={"label": "Note", "list": False})
    submitted_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"),
        index=True,
        info={"label": "Entered by", "related": False, "list": False, "readonly": True},
    )
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "list": False})
    decided_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"),
        index=True,
        info={"label": "Decided by", "related": False, "list": False, "readonly": True},
    )
    reason: Mapped[str | None] = mapped_column(String(REASON_LENGTH), info={"label": "Reason", "list": False})
    paid_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Paid", "list": False})
    failure_code: Mapped[str | None] = mapped_column(
        String(10), info={"label": "Bank's reason", "list": False, "readonly": True}
    )

    wallet: Mapped[Wallet] = relationship(lazy="raise_on_sql")
    contract_version: Mapped[ContractVersion | None] = relationship(lazy="raise_on_sql")
    submitted_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql", foreign_keys=[submitted_by_id])
    decided_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql", foreign_keys=[decided_by_id])

    def __str__(self) -> str:
        return _("Redeem request no. %(number)s", number=self.id)

    @property
    def fact(self) -> str:
        """The beginning of the keys by which the books know it; its hold was placed as `held_as`."""
        return f"{self.__tablename__}:{self.id}"

    @property
    def held_as(self) -> str:
        """The key of the booking that set its money aside (J18): what pays it out or gives it back ends that."""
        return f"{self.fact}:held"

    @property
    def seal_owner(self) -> str:
        """Whom its account's number is encrypted for (`kernel/vault.py`)."""
        return f"{self.__tablename__}:{self.key}"

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: RedeemStatus) -> RedeemStatus:
        found: RedeemStatus = allowed(REDEEM_MACHINE, self.status, after)
        return found
