"""Payment files to the bank, what the bank sent back, and the lines of its statements (S3:116, domain 4.11)."""

import datetime as dt
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, UtcDateTime, enum_column, search_text
from payadmin.kernel.iso20022 import REFERENCE_LENGTH
from payadmin.kernel.states import Machine
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.redeem import RedeemRequest
from payadmin.models.wallets import REASON_LENGTH, allowed

PROBLEM_LENGTH = 300
PARTY_LENGTH = 140


class FileStatus(StrEnum):
    """Where a payment file stands.

    RELEASED may leave from now on; UNKNOWN: it was sent and no answer came, so the bank is asked before anything else.
    """

    DRAFT = "Draft"
    RELEASED = "Released"
    UNKNOWN = "Unknown"
    SENT = "At the bank"
    ACCEPTED = "Accepted"
    PARTLY_ACCEPTED = "Partly accepted"
    REJECTED = "Rejected"
    DISCARDED = "Discarded"


_F = FileStatus
_ANSWERED = frozenset({_F.ACCEPTED, _F.PARTLY_ACCEPTED, _F.REJECTED})
FILE_MACHINE = Machine(
    initial=_F.DRAFT,
    moves={
        _F.DRAFT: frozenset({_F.RELEASED, _F.DISCARDED}),
        _F.RELEASED: frozenset({_F.UNKNOWN, _F.SENT}) | _ANSWERED,
        _F.UNKNOWN: frozenset({_F.SENT}) | _ANSWERED,
        _F.SENT: _ANSWERED,
        # A payment may be rejected after all, such as when our account is empty on the day.
        _F.ACCEPTED: frozenset({_F.PARTLY_ACCEPTED, _F.REJECTED}),
        _F.PARTLY_ACCEPTED: frozenset({_F.REJECTED}),
    },
)
# The file may have left, and the bank may pay what it orders.
OUT = (_F.RELEASED, _F.UNKNOWN, _F.SENT, _F.ACCEPTED, _F.PARTLY_ACCEPTED)


class TransferStatus(StrEnum):
    """Where one payment of a file stands."""

    WAITING = "Waiting"
    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    PAID = "Paid"
    RETURNED = "Returned"
    DISCARDED = "Discarded"


_T = TransferStatus
TRANSFER_MACHINE = Machine(
    initial=_T.WAITING,
    moves={
        _T.WAITING: frozenset({_T.ACCEPTED, _T.REJECTED, _T.PAID, _T.DISCARDED}),
        _T.ACCEPTED: frozenset({_T.PAID, _T.REJECTED}),
        _T.PAID: frozenset({_T.RETURNED}),
        _T.REJECTED: frozenset({_T.PAID}),  # by a person, when a statement shows that the bank paid all the same
    },
)
# A request stands in one file at most, but for those that came to nothing.
_LIVE = "status NOT IN ('REJECTED', 'DISCARDED')"


class MessageKind(StrEnum):
    STATUS_REPORT = "Status report"
    STATEMENT = "Statement"


class LineStatus(StrEnum):
    """What became of a line of a statement; NEW ones are looked at by the next worker."""

    NEW = "Being matched"
    UNMATCHED = "Unmatched"
    MATCHED = "Matched"
    IGNORED = "Not ours"


LINE_MACHINE = Machine(
    initial=LineStatus.NEW,
    moves={
        LineStatus.NEW: frozenset({LineStatus.MATCHED, LineStatus.UNMATCHED}),
        LineStatus.UNMATCHED: frozenset({LineStatus.MATCHED, LineStatus.IGNORED}),
    },
)


class Mismatch(StrEnum):
    """Why a line of a statement matched nothing by itself."""

    NO_REFERENCE = "It names no reference"
    NOTHING = "No payment of ours has its reference"
    NOT_RELEASED = "The payment was never released"
    TWICE = "The payment was paid before"
    RETURNED_TWICE = "The payment was returned before"
    AFTER_REJECTION = "The bank had rejected the payment"
    NOT_PAID = "It returns a payment that was not paid"
    OTHER_AMOUNT = "The payment has another amount"
    OTHER_UNIT = "The payment is in another currency"
    REFUSED = "It could not be booked"


class PaymentFile(Row, Audited, Base):
    """Redeem requests of one unit, as one order to the bank; one makes it, another lets it leave (four eyes).

    Attributes:
        message_id: names the file at the bank, which takes it only once.
        sha256: of its bytes, which never change.
        content_sealed: the bytes (`kernel/vault.py`, owner "payment_file:<message_id>"): account numbers are in it.
        attempts: how often it was sent; after the first the bank is asked before it is sent again.
        by_hand: taken from here and given to the bank by a person.
        held_at: since when a block keeps the released file here.
        problem: what stands in the way at the moment, in English.
        reason_code: why the bank rejected all of it (ISO 20022).
    """

    machine: ClassVar[Machine[FileStatus]] = FILE_MACHINE

    __tablename__ = "payment_file"
    __title__ = "message_id"
    __table_args__ = (
        CheckConstraint("amount_minor > 0 AND payments > 0", name="something_to_pay"),
        CheckConstraint("attempts >= 0", name="attempts_count_up"),
        CheckConstraint("released_by_id IS NULL OR released_by_id <> made_by_id", name="released_by_another"),
        CheckConstraint(
            "(status IN ('DRAFT', 'DISCARDED')) = (released_at IS NULL)"
            " AND (released_at IS NULL) = (released_by_id IS NULL)",
            name="released_by_somebody",
        ),
        Index("ix_payment_file_status_id", "status", "id"),
        Index("ix_payment_file_unit_amount_minor_id", "unit", "amount_minor", "id"),
        Index("ix_payment_file_created_at_id", "created_at", "id"),
    )

    message_id: Mapped[str] = mapped_column(
        search_text(REFERENCE_LENGTH), unique=True, info={"label": "File", "search": True, "readonly": True}
    )
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Total")
    payments: Mapped[int] = mapped_column(info={"label": "Payments", "readonly": True})
    execute_on: Mapped[dt.date] = mapped_column(Date, info={"label": "Asked for", "list": False, "readonly": True})
    payer_account: Mapped[str] = mapped_column(String(34), info={"label": "Our account", "readonly": True})
    sha256: Mapped[str] = mapped_column(String(64), info={"label": "SHA-256", "list": False, "readonly": True})
    content_sealed: Mapped[str] = mapped_column(Text, info={"secret": True})
    status: Mapped[FileStatus] = enum_column(
        FileStatus, default=FileStatus.DRAFT, info={"label": "Status", "readonly": True}
    )
    made_by_id: Mapped[int] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Made by", "related": False, "readonly": True}
    )
    released_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Released", "list": False, "readonly": True}
    )
    released_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Released by", "related": False, "readonly": True}
    )
    sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "At the bank", "readonly": True})
    by_hand: Mapped[bool] = mapped_column(default=False, info={"label": "By hand", "list": False, "readonly": True})
    attempts: Mapped[int] = mapped_column(default=0, info={"label": "Attempts", "list": False, "readonly": True})
    held_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"secret": True})
    problem: Mapped[str | None] = mapped_column(
        String(PROBLEM_LENGTH), info={"label": "Problem", "list": False, "readonly": True}
    )
    reason_code: Mapped[str | None] = mapped_column(
        String(10), info={"label": "Bank's reason", "list": False, "readonly": True}
    )

    made_by: Mapped[StaffUser] = relationship(lazy="raise_on_sql", foreign_keys=[made_by_id])
    released_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql", foreign_keys=[released_by_id])

    def __str__(self) -> str:
        return self.message_id

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: FileStatus) -> FileStatus:
        found: FileStatus = allowed(FILE_MACHINE, self.status, after)
        return found


class PaymentFileLine(Row, Audited, Base):
    """One redeem request in a payment file; `end_to_end_id` is what the bank names it by, always."""

    machine: ClassVar[Machine[TransferStatus]] = TRANSFER_MACHINE

    __tablename__ = "payment_file_line"
    __title__ = "end_to_end_id"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        Index(
            "uq_payment_file_line_redeem_request_id",
            "redeem_request_id",
            unique=True,
            sqlite_where=text(_LIVE),
            postgresql_where=text(_LIVE),
        ),
        Index("ix_payment_file_line_redeem_request_id_id", "redeem_request_id", "id"),
        Index("ix_payment_file_line_file_id_id", "file_id", "id"),
    )

    file_id: Mapped[int] = mapped_column(ForeignKey("payment_file.id"), info={"label": "File", "readonly": True})
    redeem_request_id: Mapped[int] = mapped_column(
        ForeignKey("redeem_request.id"), info={"label": "Redeem request", "readonly": True}
    )
    end_to_end_id: Mapped[str] = mapped_column(
        search_text(REFERENCE_LENGTH), unique=True, info={"label": "Reference", "readonly": True}
    )
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Amount")
    status: Mapped[TransferStatus] = enum_column(
        TransferStatus, default=TransferStatus.WAITING, info={"label": "Status", "readonly": True}
    )
    reason_code: Mapped[str | None] = mapped_column(String(10), info={"label": "Bank's reason", "readonly": True})

    file: Mapped[PaymentFile] = relationship(lazy="raise_on_sql")
    redeem_request: Mapped[RedeemRequest] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.end_to_end_id

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: TransferStatus) -> TransferStatus:
        found: TransferStatus = allowed(TRANSFER_MACHINE, self.status, after)
        return found


class BankMessage(Row, Audited, Base):
    """What a bank sent, kept as it came.

    Attributes:
        bank_id: what the bank calls it; the same content that comes again is kept once.
        content_sealed: the bytes (`kernel/vault.py`, owner "bank_message:<sha256>").
        problem: why it, or part of it, was kept but not acted on, in English.
    """

    __tablename__ = "bank_message"
    __title__ = "bank_id"
    __table_args__ = (
        UniqueConstraint("kind", "bank_id", "sha256", name="uq_bank_message_kind_bank_id_sha256"),
        Index("ix_bank_message_created_at_id", "created_at", "id"),
    )

    kind: Mapped[MessageKind] = enum_column(MessageKind, info={"label": "Kind", "readonly": True})
    bank_id: Mapped[str] = mapped_column(search_text(REFERENCE_LENGTH), info={"label": "Message", "readonly": True})
    sha256: Mapped[str] = mapped_column(String(64), index=True, info={"label": "SHA-256", "readonly": True})
    content_sealed: Mapped[str] = mapped_column(Text, info={"secret": True})
    received_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Received", "readonly": True})
    uploaded_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"), index=True, info={"label": "Uploaded by", "readonly": True}
    )
    file_id: Mapped[int | None] = mapped_column(
        ForeignKey("payment_file.id"), index=True, info={"label": "About", "readonly": True}
    )
    problem: Mapped[str | None] = mapped_column(String(PROBLEM_LENGTH), info={"label": "Problem", "readonly": True})

    uploaded_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")
    file: Mapped[PaymentFile | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.bank_id


class BankLine(Row, Audited, Base):
    """A line of a statement: matched to a payment of ours, or kept for a person.

    Attributes:
        statement_id, number: the place it stands at; it is taken once, however often the statement comes.
        reference: the end-to-end id that the bank names.
        party: whom the bank says it went to, or came from.
        mismatch: why it matched nothing by itself; it stays when a person has matched it.
        problem: the sentence with which booking it was refused.
        payment_line_id: the payment it settled or returned; each at most once.
        note: why a person says that it is not ours, or that it is this payment.
    """

    machine: ClassVar[Machine[LineStatus]] = LINE_MACHINE

    __tablename__ = "bank_line"
    __title__ = "statement_id"
    __table_args__ = (
        UniqueConstraint("account", "statement_id", "number", name="uq_bank_line_account_statement_id_number"),
        CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
        CheckConstraint("(status = 'MATCHED') = (payment_line_id IS NOT NULL)", name="matched_to_a_payment"),
        CheckConstraint("status <> 'UNMATCHED' OR mismatch IS NOT NULL", name="unmatched_for_a_reason"),
        CheckConstraint(
            "status <> 'IGNORED' OR (note IS NOT NULL AND decided_by_id IS NOT NULL)", name="ignored_by_somebody"
        ),
        Index(
            "uq_bank_line_payment_line_id_is_credit",
            "payment_line_id",
            "is_credit",
            unique=True,
            sqlite_where=text("status = 'MATCHED'"),
            postgresql_where=text("status = 'MATCHED'"),
        ),
        Index("ix_bank_line_payment_line_id_id", "payment_line_id", "id"),
        Index("ix_bank_line_status_id", "status", "id"),
        Index("ix_bank_line_booked_on_id", "booked_on", "id"),
        Index("ix_bank_line_unit_amount_minor_id", "unit", "amount_minor", "id"),
        Index("ix_bank_line_created_at_id", "created_at", "id"),
    )

    message_id: Mapped[int] = mapped_column(
        ForeignKey("bank_message.id"), index=True, info={"label": "Message", "list": False, "readonly": True}
    )
    account: Mapped[str] = mapped_column(String(34), info={"label": "Our account", "list": False, "readonly": True})
    statement_id: Mapped[str] = mapped_column(
        search_text(REFERENCE_LENGTH), index=True, info={"label": "Statement", "search": True, "readonly": True}
    )
    number: Mapped[int] = mapped_column(info={"label": "Line", "readonly": True})
    reference: Mapped[str | None] = mapped_column(
        search_text(REFERENCE_LENGTH), index=True, info={"label": "Reference", "search": True, "readonly": True}
    )
    bank_reference: Mapped[str | None] = mapped_column(
        String(REFERENCE_LENGTH), info={"label": "Bank's reference", "list": False, "readonly": True}
    )
    is_credit: Mapped[bool] = mapped_column(info={"label": "Money in", "readonly": True})
    unit: Mapped[str] = mapped_column(String(12), info={"label": "Currency", "readonly": True})
    amount_minor: Mapped[int] = minor_column("Amount")
    booked_on: Mapped[dt.date] = mapped_column(Date, info={"label": "Booked", "readonly": True})
    value_date: Mapped[dt.date] = mapped_column(Date, info={"label": "Value date", "list": False, "readonly": True})
    code: Mapped[str | None] = mapped_column(
        String(10), info={"label": "Bank's reason", "list": False, "readonly": True}
    )
    party: Mapped[str | None] = mapped_column(
        String(PARTY_LENGTH), info={"label": "To or from", "list": False, "readonly": True, "mask": "name"}
    )
    status: Mapped[LineStatus] = enum_column(
        LineStatus, default=LineStatus.NEW, info={"label": "Status", "readonly": True}
    )
    mismatch: Mapped[Mismatch | None] = enum_column(
        Mismatch, nullable=True, info={"label": "Why unmatched", "readonly": True}
    )
    problem: Mapped[str | None] = mapped_column(
        String(PROBLEM_LENGTH), info={"label": "Problem", "list": False, "readonly": True}
    )
    payment_line_id: Mapped[int | None] = mapped_column(
        ForeignKey("payment_file_line.id"), info={"label": "Payment", "list": False, "readonly": True}
    )
    decided_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Decided", "list": False, "readonly": True}
    )
    decided_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("staff_user.id"),
        index=True,
        info={"label": "Decided by", "related": False, "list": False, "readonly": True},
    )
    note: Mapped[str | None] = mapped_column(
        String(REASON_LENGTH), info={"label": "Reason", "list": False, "readonly": True}
    )

    message: Mapped[BankMessage] = relationship(lazy="raise_on_sql")
    payment_line: Mapped[PaymentFileLine | None] = relationship(lazy="raise_on_sql")
    decided_by: Mapped[StaffUser | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return _("Line %(number)s of %(statement)s", number=self.number, statement=self.statement_id)

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: LineStatus) -> LineStatus:
        found: LineStatus = allowed(LINE_MACHINE, self.status, after)
        return found
