"""Batches: files of registrations, single payments or payments out of a wallet, their rows, and what became of them."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.errors import Conflict
from payadmin.kernel.states import Machine
from payadmin.kernel.text import NumberText, Text, _, _n
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Customer, Organization
from payadmin.models.subscriptions import Purpose

REFERENCE_LENGTH = 60


class BatchKind(StrEnum):
    REGISTRATION = "Registration"
    SINGLE_PAYMENT = "Single payment"
    MASS_PAYMENT = "Mass payment"


class BatchStatus(StrEnum):
    UPLOADED = "Uploaded"
    VALIDATING = "Being checked"
    READY = "Ready to process"
    HAS_ERRORS = "Has errors"
    PROCESSING = "Being processed"
    PROCESSED = "Processed"
    DISCARDED = "Discarded"
    REPLACED = "Replaced"


B = BatchStatus
_GIVEN_UP = frozenset({B.DISCARDED, B.REPLACED})
BATCH_MACHINE = Machine(
    initial=B.UPLOADED,
    moves={
        B.UPLOADED: _GIVEN_UP | {B.VALIDATING},
        B.VALIDATING: _GIVEN_UP | {B.READY, B.HAS_ERRORS},
        # Checked again when the world has moved on: a customer was registered, an execute date has passed.
        B.READY: _GIVEN_UP | {B.VALIDATING, B.PROCESSING},
        # A registration may leave its invalid rows out, once that is said with their number (T15).
        B.HAS_ERRORS: _GIVEN_UP | {B.VALIDATING, B.PROCESSING},
        B.PROCESSING: frozenset({B.PROCESSED}),
    },
)
CHECKED = (B.READY, B.HAS_ERRORS)
WORKING = (B.UPLOADED, B.VALIDATING, B.PROCESSING)
OPEN = (B.UPLOADED, B.VALIDATING, *CHECKED)


class RowStatus(StrEnum):
    WAITING = "Not checked"
    VALID = "Valid"
    INVALID = "Invalid"
    DONE = "Processed"
    SKIPPED = "Left out"
    REFUSED = "Refused"


R = RowStatus
ROW_MACHINE = Machine(
    initial=R.WAITING,
    moves={
        R.WAITING: frozenset({R.VALID, R.INVALID}),
        # Refused when the world moved on between the check and the processing.
        R.VALID: frozenset({R.DONE, R.REFUSED}),
        R.INVALID: frozenset({R.SKIPPED}),
    },
)


class Batch(Row, Audited, Base):
    """One uploaded file. `content_hash` is of what its rows say, so a copy in another format is the same file (BA4).

    `totals` is unit → {rows, minor, valid_rows, valid_minor}: amounts of different units are never added up. Those
    of a mass payment also say what leaves the wallet with its commission (paid_minor), and by which contract_version.

    Attributes:
        merchant_id: whom the rows pay or register for; of a mass payment, the organization out of whose wallets it is.
    """

    machine: ClassVar[Machine[BatchStatus]] = BATCH_MACHINE

    __title__ = "file_name"
    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_kind_created_at_id", "kind", "created_at", "id"),
        Index("ix_batch_created_at_id", "created_at", "id"),
        # The same content twice is stopped for as long as the first one lives (P41).
        Index(
            "uq_batch_content_alive",
            "merchant_id",
            "kind",
            "content_hash",
            unique=True,
            sqlite_where=text("status NOT IN ('DISCARDED', 'REPLACED')"),
            postgresql_where=text("status NOT IN ('DISCARDED', 'REPLACED')"),
        ),
        CheckConstraint("rows_valid >= 0 AND rows_invalid >= 0", name="counts_not_negative"),
        CheckConstraint("rows_valid + rows_invalid <= rows_total", name="checked_within_total"),
        CheckConstraint("rows_done + rows_refused <= rows_valid", name="processed_within_valid"),
        CheckConstraint("status != 'READY' OR (rows_invalid = 0 AND problems IS NULL)", name="ready_without_errors"),
        CheckConstraint(
            "kind = 'REGISTRATION' OR status NOT IN ('PROCESSING', 'PROCESSED') OR rows_invalid = 0",
            name="payments_all_or_nothing",
        ),
        # Wallets pay without a provider; everything else goes through one.
        CheckConstraint("(kind = 'MASS_PAYMENT') = (method IS NULL)", name="method_unless_wallets"),
        CheckConstraint("(kind = 'MASS_PAYMENT') = (provider IS NULL)", name="provider_unless_wallets"),
    )

    kind: Mapped[BatchKind] = enum_column(BatchKind, info={"label": "Batch type", "readonly": True})
    file_name: Mapped[str] = mapped_column(
        search_text(200), index=True, info={"label": "File name", "search": True, "readonly": True}
    )
    format: Mapped[str] = mapped_column(String(8), info={"label": "Format", "readonly": True, "list": False})
    content_hash: Mapped[str] = mapped_column(
        String(64), info={"label": "Content's fingerprint", "readonly": True, "list": False, "filter": False}
    )
    status: Mapped[BatchStatus] = enum_column(
        BatchStatus, default=B.UPLOADED, info={"label": "Status", "readonly": True}
    )
    merchant_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Merchant", "readonly": True}
    )
    method: Mapped[str | None] = mapped_column(
        ForeignKey("payment_method.code"), info={"label": "Method", "readonly": True, "list": False}
    )
    provider: Mapped[str | None] = mapped_column(
        String(40), info={"label": "Provider", "readonly": True, "list": False}
    )
    uploaded_by: Mapped[str] = mapped_column(String(100), info={"label": "Uploaded by", "readonly": True})
    # The columns of the file in its order, by key (or as written, when they are none of ours).
    columns: Mapped[list[str]] = mapped_column(Json, info={"list": False, "filter": False})
    # What is wrong with the file as a whole: [{column, sentence}]. Its rows are then not checked.
    problems: Mapped[list[dict[str, str]] | None] = mapped_column(Json, info={"list": False, "filter": False})
    notes: Mapped[list[str]] = mapped_column(Json, default=list, info={"list": False, "filter": False})
    totals: Mapped[dict[str, dict[str, int]]] = mapped_column(
        Json, default=dict, info={"label": "Total amount", "readonly": True, "filter": False}
    )
    rows_total: Mapped[int] = mapped_column(info={"label": "Total data", "readonly": True})
    rows_checked: Mapped[int] = mapped_column(default=0, info={"label": "Checked", "readonly": True, "list": False})
    rows_valid: Mapped[int] = mapped_column(default=0, info={"label": "Valid", "readonly": True, "list": False})
    rows_invalid: Mapped[int] = mapped_column(default=0, info={"label": "Invalid data", "readonly": True})
    rows_done: Mapped[int] = mapped_column(default=0, info={"label": "Processed rows", "readonly": True, "list": False})
    rows_refused: Mapped[int] = mapped_column(
        default=0, info={"label": "Refused rows", "readonly": True, "list": False}
    )
    checked_through: Mapped[int] = mapped_column(default=0, info={"list": False, "filter": False})
    checked_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Checked at", "readonly": True, "list": False}
    )
    processed_by: Mapped[str | None] = mapped_column(
        String(100), info={"label": "Processed by", "readonly": True, "list": False}
    )
    confirmed_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Confirmed", "readonly": True, "list": False}
    )
    processed_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Processed at", "readonly": True, "list": False}
    )
    replaced_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("batch.id"), unique=True, info={"label": "Replaced by", "readonly": True, "list": False}
    )

    merchant: Mapped[Organization] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.file_name

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: BatchStatus) -> BatchStatus:
        before = self.status
        if before is not None and before is not after and not BATCH_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A batch that is %(before)s cannot become %(after)s.",
                    before=Text(before.value).lower(),
                    after=Text(after.value).lower(),
                )
            )
        return after

    @property
    def rows_skipped(self) -> int:
        """How many invalid rows were left out on confirmation."""
        return self.rows_invalid if self.status in (B.PROCESSING, B.PROCESSED) else 0

    @property
    def why_not_processable(self) -> str | None:
        """Why this batch cannot be processed now, or None when it can (T15)."""
        return why_not_processable(self)


def why_not_processable(row: Any) -> str | None:
    """Why a batch cannot be processed; reads only columns."""
    if row.status not in CHECKED:
        return {
            B.UPLOADED: _("The file is still to be checked."),
            B.VALIDATING: _("The file is being checked."),
            B.PROCESSING: _("It is being processed already."),
            B.PROCESSED: _("It was processed already."),
        }.get(row.status, f"It was {row.status.value.lower()}.")
    if row.problems:
        return "Its columns are not those of the template. Correct the file and upload it again."
    if row.kind is BatchKind.MASS_PAYMENT and row.rows_invalid:
        return _n(
            "%(number)s row has an error. Correct the file and upload it again; nothing is paid until then.",
            "%(number)s rows have errors. Correct the file and upload it again; nothing is paid until then.",
            row.rows_invalid,
        )
    if row.kind is BatchKind.SINGLE_PAYMENT and row.rows_invalid:
        rows = "row has an error" if row.rows_invalid == 1 else "rows have errors"
        return _(
            "%(rows_invalid)s %(rows)s. Correct the file and upload it again; nothing is charged until then.",
            rows_invalid=NumberText(row.rows_invalid),
            rows=rows,
        )
    if not row.rows_valid:
        return "No row is valid. Correct the file and upload it again."
    return None


class BatchPart(Base):
    """Rows of a file between its upload and its check, without card numbers: each is [number, cells, facts]."""

    __tablename__ = "batch_part"
    __table_args__ = (UniqueConstraint("batch_id", "number"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"))
    number: Mapped[int] = mapped_column()
    rows: Mapped[list[Any]] = mapped_column(Json, info={"secret": True})


class BatchRow(Base):
    """One row of a file: its cells as written, what they mean, what is wrong with them, and what became of it.

    A card number is never here: only the provider's token, its first six and last four digits and a keyed fingerprint.
    What was made of a row points back to it by a unique column (`ScheduledCharge.batch_row_id`,
    `Subscription.batch_row_id`), so that no crash and no second worker can make it twice. What a wallet paid is
    named by the row, and by a key that the organization's reference makes (`actions/batches/payees.py`).

    Attributes:
        payee_wallet_id: whom a row of a mass payment pays; `paid_minor` is what leaves the wallet for it.
        transaction_id: what paid it: executed, or set aside because it is over a limit.
    """

    machine: ClassVar[Machine[RowStatus]] = ROW_MACHINE

    __tablename__ = "batch_row"
    __table_args__ = (
        UniqueConstraint("batch_id", "row_number"),
        Index("ix_batch_row_batch_id_status_row_number", "batch_id", "status", "row_number"),
        Index("uq_batch_row_transaction_id", "transaction_id", unique=True),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("status != 'INVALID' OR errors IS NOT NULL", name="invalid_says_why"),
        CheckConstraint(
            "status NOT IN ('VALID', 'DONE') OR (errors IS NULL AND unit IS NOT NULL AND amount_minor IS NOT NULL AND"
            " (payee_wallet_id IS NOT NULL OR customer_id IS NOT NULL AND billing_number IS NOT NULL))",
            name="valid_is_complete",
        ),
        CheckConstraint(
            "status NOT IN ('VALID', 'DONE') OR payee_wallet_id IS NULL"
            " OR (reference IS NOT NULL AND paid_minor IS NOT NULL)",
            name="mass_payment_is_complete",
        ),
        CheckConstraint("paid_minor >= amount_minor", name="paid_with_commission"),
        CheckConstraint(
            "payee_wallet_id IS NULL OR (status = 'DONE') = (transaction_id IS NOT NULL)", name="paid_is_done"
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"))
    row_number: Mapped[int] = mapped_column(info={"label": "Row"})
    status: Mapped[RowStatus] = enum_column(RowStatus, default=R.WAITING, info={"label": "Status"})
    cells: Mapped[list[str]] = mapped_column(Json, info={"label": "Cells"})
    errors: Mapped[list[dict[str, str]] | None] = mapped_column(Json, info={"label": "Errors"})
    masked: Mapped[list[str] | None] = mapped_column(Json)
    repeats_row: Mapped[int | None] = mapped_column(info={"label": "Repeats row"})
    message: Mapped[str | None] = mapped_column(String(300), info={"label": "Message"})
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"), index=True, info={"label": "Customer"})
    billing_number: Mapped[str | None] = mapped_column(
        search_text(64), index=True, info={"label": "Billing number", "search": True}
    )
    invoice_number: Mapped[str | None] = mapped_column(search_text(64), index=True, info={"label": "Invoice number"})
    amount_minor: Mapped[int | None] = minor_column("Amount")
    unit: Mapped[str | None] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency"})
    card_token: Mapped[str | None] = mapped_column(String(128), info={"secret": True})
    card_fingerprint: Mapped[str | None] = mapped_column(String(64), info={"secret": True})
    card_first6: Mapped[str | None] = mapped_column(String(6), info={"label": "Card start"})
    card_last4: Mapped[str | None] = mapped_column(String(4), info={"label": "Card end"})
    card_holder_name: Mapped[str | None] = mapped_column(String(200), info={"label": "Card holder", "mask": "name"})
    card_holder_phone: Mapped[str | None] = mapped_column(
        String(32), info={"label": "Card holder's phone", "mask": "phone"}
    )
    execute_date: Mapped[dt.date | None] = mapped_column(Date, info={"label": "Execute date"})
    description: Mapped[str | None] = mapped_column(String(300), info={"label": "Description"})
    purpose: Mapped[Purpose | None] = enum_column(Purpose, nullable=True, info={"label": "Type"})
    # The `schedule_…` columns of the subscription that a registration makes, as JSON holds them.
    schedule: Mapped[dict[str, Any] | None] = mapped_column(Json, info={"label": "Schedule"})
    start_date: Mapped[dt.date | None] = mapped_column(Date, info={"label": "Start date"})
    end_date: Mapped[dt.date | None] = mapped_column(Date, info={"label": "End date"})
    reference: Mapped[str | None] = mapped_column(String(REFERENCE_LENGTH), info={"label": "Reference"})
    payee_wallet_id: Mapped[int | None] = mapped_column(ForeignKey("wallet.id"), index=True, info={"label": "To"})
    paid_minor: Mapped[int | None] = minor_column("Paid")
    transaction_id: Mapped[int | None] = mapped_column(
        ForeignKey("wallet_transaction.id"), info={"label": "Transaction"}
    )

    batch: Mapped[Batch] = relationship(lazy="raise_on_sql")
    customer: Mapped[Customer | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"Row {self.row_number}"
