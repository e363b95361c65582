"""Payments: what was paid, what was given back, and everything that happened in between."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship, validates

from payadmin.db import Base, BigId, UtcDateTime, enum_column, search_text, utcnow
from payadmin.kernel.errors import Conflict
from payadmin.kernel.money import Money
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Customer, Organization
from payadmin.models.subscriptions import ScheduledCharge, Subscription


class UnitKind(StrEnum):
    FIAT = "Currency"
    E_MONEY = "E-money"
    BONUS = "Bonus unit"


class UnitStatus(StrEnum):
    ACTIVE = "Active"
    RETIRED = "Retired"


class PaymentStatus(StrEnum):
    """Values are the words of the Status column (PY2); a sub-badge tells apart what one word covers."""

    CREATED = "Created"
    AUTHORIZED = "Authorized"
    PENDING = "Pending"
    UNKNOWN = "Unknown"
    PAID = "Paid"
    PARTIALLY_REFUNDED = "Partially refunded"
    TOTALLY_REFUNDED = "Totally refunded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    VOIDED = "Voided"
    CHARGED_BACK = "Charged back"


S = PaymentStatus
PAYMENT_MACHINE = Machine(
    initial=S.CREATED,
    moves={
        S.CREATED: frozenset({S.AUTHORIZED, S.PENDING, S.PAID, S.FAILED, S.CANCELLED}),
        S.AUTHORIZED: frozenset({S.PAID, S.VOIDED, S.FAILED}),
        S.PENDING: frozenset({S.PAID, S.FAILED, S.UNKNOWN}),
        S.UNKNOWN: frozenset({S.PAID, S.FAILED}),
        S.PAID: frozenset({S.VOIDED, S.PARTIALLY_REFUNDED, S.TOTALLY_REFUNDED, S.CHARGED_BACK}),
        # A second partial refund keeps the status, so the table names the stay as a move.
        S.PARTIALLY_REFUNDED: frozenset({S.PARTIALLY_REFUNDED, S.TOTALLY_REFUNDED, S.CHARGED_BACK}),
        S.CHARGED_BACK: frozenset({S.PAID, S.PARTIALLY_REFUNDED}),
    },
)

# What staff read (PY2): several states share one word on the list.
DISPLAY_STATUS: dict[PaymentStatus, str] = {
    S.CREATED: "Created",
    S.AUTHORIZED: "Created",
    S.PENDING: "Created",
    S.UNKNOWN: "Created",
    S.PAID: "Paid",
    S.PARTIALLY_REFUNDED: "Partially refunded",
    S.TOTALLY_REFUNDED: "Totally refunded",
    S.FAILED: "Failed",
    S.CANCELLED: "Failed",
    S.VOIDED: "Voided",
    S.CHARGED_BACK: "Charged back",
}

REFUNDABLE = (S.PAID, S.PARTIALLY_REFUNDED)
VOIDABLE = (S.PAID, S.AUTHORIZED)
INVOICED = (S.PAID, S.PARTIALLY_REFUNDED, S.TOTALLY_REFUNDED)


class PaymentType(StrEnum):
    DIRECT = "Direct"
    SUBSCRIPTION = "Subscription"
    PAY_BY_LINK = "Pay by link"


class Channel(StrEnum):
    WEB = "Web"
    MOBILE_APP = "Mobile app"
    CALL_CENTRE = "Call centre"
    POINT_OF_SALE = "Point of sale"
    API = "API"


class Mode(StrEnum):
    LIVE = "Live"
    TEST = "Test"


class InFlight(StrEnum):
    """The command that is being sent to the provider; while it is, no other may start (PY6)."""

    REFUND = "Refund"
    VOID = "Void"


class OrderStatus(StrEnum):
    """The life of a refund and of a void."""

    REQUESTED = "Requested"
    PENDING_APPROVAL = "Pending approval"
    STALE = "Stale"
    QUEUED = "Queued"
    SUBMITTED = "Submitted"
    UNKNOWN = "Unknown"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"


O = OrderStatus  # noqa: E741 - read beside S above
ORDER_MACHINE = Machine(
    initial=O.REQUESTED,
    moves={
        O.REQUESTED: frozenset({O.PENDING_APPROVAL, O.QUEUED, O.CANCELLED}),
        O.PENDING_APPROVAL: frozenset({O.QUEUED, O.REJECTED, O.CANCELLED, O.EXPIRED, O.STALE}),
        O.STALE: frozenset({O.CANCELLED}),
        O.QUEUED: frozenset({O.SUBMITTED, O.CANCELLED}),
        O.SUBMITTED: frozenset({O.SUCCEEDED, O.FAILED, O.UNKNOWN}),
        O.UNKNOWN: frozenset({O.SUCCEEDED, O.FAILED}),
    },
)


class RefundReason(StrEnum):
    REQUESTED_BY_CUSTOMER = "Requested by customer"
    DUPLICATE = "Duplicate payment"
    FRAUDULENT = "Fraudulent"
    NOT_DELIVERED = "Goods not delivered"
    IMPORTED = "Imported history"
    OTHER = "Other"


class NotificationState(StrEnum):
    QUEUED = "Queued"
    SENT = "Sent"
    KEPT = "Kept"
    FAILED = "Failed"


N = NotificationState
NOTIFICATION_MACHINE = Machine(initial=N.QUEUED, moves={N.QUEUED: frozenset({N.SENT, N.KEPT, N.FAILED})})


class Unit(Row, Audited, Base):
    """A currency or other unit of payment, with its scale: 2 for EUR, 0 for JPY, 3 for KWD."""

    __title__ = "code"
    __tablename__ = "unit"
    __table_args__ = (
        CheckConstraint("scale BETWEEN 0 AND 8", name="scale_0_to_8"),
        CheckConstraint("reference_unit <> code", name="refers_to_another"),
    )

    code: Mapped[str] = mapped_column(String(12), unique=True, info={"label": "Code", "search": True})
    name: Mapped[str] = mapped_column(String(100), info={"label": "Name"})
    kind: Mapped[UnitKind] = enum_column(UnitKind, default=UnitKind.FIAT, info={"label": "Kind"})
    scale: Mapped[int] = mapped_column(info={"label": "Decimals"})
    reference_unit: Mapped[str | None] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Stands for", "readonly": True}
    )
    status: Mapped[UnitStatus] = enum_column(
        UnitStatus,
        default=UnitStatus.ACTIVE,
        server_default=UnitStatus.ACTIVE.name,
        info={"label": "Status", "readonly": True},
    )

    def __str__(self) -> str:
        return self.code


class PaymentMethod(Row, Audited, Base):
    """A way to pay, as filters and forms offer it."""

    __tablename__ = "payment_method"

    code: Mapped[str] = mapped_column(String(40), unique=True, info={"label": "Code"})
    name: Mapped[str] = mapped_column(String(80), info={"label": "Name"})

    def __str__(self) -> str:
        return self.name


class Payment(Row, Audited, Base):
    """A payment of a customer to a merchant.

    Amounts are minor units of `unit`. `captured_minor` is what was really taken; `reserved_minor` is promised to
    refunds that are on their way; `refunded_minor` has been given back. The CHECKs are the backstop of the conditional
    UPDATEs in `actions/payments`, never the decision.
    """

    machine: ClassVar[Machine[PaymentStatus]] = PAYMENT_MACHINE

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("captured_minor BETWEEN 0 AND amount_minor", name="captured_within_amount"),
        CheckConstraint("reserved_minor >= 0", name="reserved_not_negative"),
        CheckConstraint("refunded_minor >= 0", name="refunded_not_negative"),
        CheckConstraint("refunded_minor + reserved_minor <= captured_minor", name="refunded_within_captured"),
        Index("ix_payment_mode_created_at_id", "mode", "created_at", "id"),
        Index("ix_payment_mode_status_created_at_id", "mode", "status", "created_at", "id"),
        Index("ix_payment_mode_method_created_at_id", "mode", "method", "created_at", "id"),
        Index("ix_payment_mode_type_created_at_id", "mode", "type", "created_at", "id"),
        Index("ix_payment_mode_unit_amount_minor_id", "mode", "unit", "amount_minor", "id"),
        Index("ix_payment_customer_id_created_at_id", "customer_id", "created_at", "id"),
        Index("ix_payment_merchant_id_created_at_id", "merchant_id", "created_at", "id"),
        Index("ix_payment_subscription_id_created_at_id", "subscription_id", "created_at", "id"),
        Index("ix_payment_batch_id_created_at_id", "batch_id", "created_at", "id"),
        Index("ix_payment_invoice_number_id", "invoice_number", "id"),
        # In order of time: whether a number has another payment in a week or month is one look into it.
        Index("ix_payment_billing_number_created_at_id", "billing_number", "created_at", "id"),
        Index("ix_payment_approval_code_id", "approval_code", "id"),
        Index("ix_payment_card_last4_id", "card_last4", "id"),
        # All Report: each of its criteria finds its rows, in the order in which they are shown where there may be many.
        Index("ix_payment_mode_response_code_created_at_id", "mode", "response_code", "created_at", "id"),
        Index("ix_payment_mode_error_code_created_at_id", "mode", "error_code", "created_at", "id"),
        Index("ix_payment_card_holder_name_id", "card_holder_name", "id"),
        Index("ix_payment_card_holder_phone_id", "card_holder_phone", "id"),
        # Figures lead to the payments of one card issuer and of one failure message; most payments have neither.
        Index(
            "ix_payment_mode_card_issuer_created_at_id",
            "mode",
            "card_issuer",
            "created_at",
            "id",
            sqlite_where=text("card_issuer IS NOT NULL"),
            postgresql_where=text("card_issuer IS NOT NULL"),
        ),
        Index(
            "ix_payment_mode_failure_message_created_at_id",
            "mode",
            "failure_message",
            "created_at",
            "id",
            sqlite_where=text("failure_message IS NOT NULL"),
            postgresql_where=text("failure_message IS NOT NULL"),
        ),
    )

    transaction_id: Mapped[str] = mapped_column(
        search_text(64), unique=True, info={"label": "Transaction ID", "search": True, "readonly": True}
    )
    invoice_number: Mapped[str] = mapped_column(
        search_text(64), info={"label": "Invoice number", "search": True, "readonly": True, "list": False}
    )
    billing_number: Mapped[str | None] = mapped_column(
        search_text(64), info={"label": "Billing number", "search": True, "readonly": True, "list": False}
    )
    merchant_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Merchant", "readonly": True}
    )
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), info={"label": "Customer", "readonly": True})
    subscription_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscription.id"), info={"label": "Subscription", "readonly": True, "list": False}
    )
    batch_id: Mapped[int | None] = mapped_column(
        ForeignKey("batch.id"), info={"label": "Batch", "readonly": True, "list": False}
    )
    type: Mapped[PaymentType] = enum_column(PaymentType, info={"label": "Type", "readonly": True})
    channel: Mapped[Channel] = enum_column(Channel, info={"label": "Channel", "readonly": True})
    provider: Mapped[str] = mapped_column(String(40), info={"label": "Provider", "readonly": True, "list": False})
    method: Mapped[str] = mapped_column(ForeignKey("payment_method.code"), info={"label": "Method", "readonly": True})
    description: Mapped[str | None] = mapped_column(
        String(300), info={"label": "Description", "readonly": True, "list": False}
    )
    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Currency", "readonly": True, "list": False}
    )
    billed_amount_minor: Mapped[int | None] = minor_column("Billed amount", unit="billed_unit", info={"list": False})
    billed_unit: Mapped[str | None] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Billed currency", "readonly": True, "list": False}
    )
    status: Mapped[PaymentStatus] = enum_column(
        PaymentStatus, default=S.CREATED, info={"label": "Status", "readonly": True}
    )
    captured_minor: Mapped[int] = minor_column("Captured", default=0, info={"list": False})
    reserved_minor: Mapped[int] = minor_column("Reserved for refunds", default=0, info={"list": False})
    refunded_minor: Mapped[int] = minor_column("Refunded amount", default=0, info={"list": False})
    in_flight: Mapped[InFlight | None] = enum_column(
        InFlight, nullable=True, info={"label": "In progress", "readonly": True, "list": False}
    )
    settled_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Settled", "readonly": True, "list": False}
    )
    response_code: Mapped[str | None] = mapped_column(
        String(40), info={"label": "Response code", "readonly": True, "list": False}
    )
    approval_code: Mapped[str | None] = mapped_column(
        search_text(40), info={"label": "Approval code", "readonly": True, "list": False}
    )
    error_code: Mapped[str | None] = mapped_column(
        String(80), info={"label": "Error code", "readonly": True, "list": False}
    )
    failure_message: Mapped[str | None] = mapped_column(
        String(300), info={"label": "Failure message", "readonly": True, "list": False}
    )
    provider_payment_id: Mapped[str | None] = mapped_column(
        String(128), unique=True, info={"label": "Provider's ID", "readonly": True, "list": False}
    )
    card_token: Mapped[str | None] = mapped_column(String(128), info={"secret": True})
    card_fingerprint: Mapped[str | None] = mapped_column(String(64), index=True, info={"secret": True})
    card_first6: Mapped[str | None] = mapped_column(
        String(6), info={"label": "Card start", "readonly": True, "list": False}
    )
    card_last4: Mapped[str | None] = mapped_column(
        String(4), info={"label": "Card end", "readonly": True, "list": False}
    )
    card_issuer: Mapped[str | None] = mapped_column(
        String(120), info={"label": "Card issuer", "readonly": True, "list": False}
    )
    card_holder_name: Mapped[str | None] = mapped_column(
        search_text(200), info={"label": "Card holder", "readonly": True, "list": False, "mask": "name"}
    )
    card_holder_phone: Mapped[str | None] = mapped_column(
        search_text(32), info={"label": "Card holder's phone", "readonly": True, "list": False, "mask": "phone"}
    )
    mode: Mapped[Mode] = enum_column(Mode, default=Mode.LIVE, info={"label": "Mode", "readonly": True, "list": False})

    customer: Mapped[Customer] = relationship(lazy="raise_on_sql")
    merchant: Mapped[Organization] = relationship(lazy="raise_on_sql")
    subscription: Mapped[Subscription | None] = relationship(lazy="raise_on_sql")
    unit_row: Mapped[Unit] = relationship(lazy="raise_on_sql", foreign_keys=[unit], info={"list": False})

    def __str__(self) -> str:
        return self.transaction_id

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: PaymentStatus) -> PaymentStatus:
        before = self.status
        if before is not None and before is not after and not PAYMENT_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A payment that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after

    @property
    def refundable_minor(self) -> int:
        """What can still be given back, in minor units; zero unless the money is ours to give (PY3)."""
        if self.status not in REFUNDABLE:
            return 0
        return self.captured_minor - self.refunded_minor - self.reserved_minor

    def money(self, minor: int, scale: int) -> Money:
        """`minor` as money of this payment's unit."""
        return Money(minor, self.unit, scale)

    @property
    def why_not_refundable(self) -> str | None:
        """The sentence that says why this payment cannot be refunded now, or None when it can."""
        return why_not_refundable(self)

    @property
    def why_not_voidable(self) -> str | None:
        """The sentence that says why this payment cannot be voided now, or None when it can (PY7)."""
        return why_not_voidable(self)

    @property
    def has_invoice(self) -> bool:
        """Whether an invoice exists for a payment in this status (T17)."""
        return self.status in INVOICED


# Money that is set aside although no command is on its way waits for a second person.
HELD = "A refund of this payment waits for approval. It has to be decided or cancelled first."


def why_not_refundable(row: Any) -> str | None:
    """Why a payment cannot be refunded now; reads only columns, so that lists can ask for plain rows."""
    if row.in_flight:
        return _("A %(in_flight)s is being processed.", in_flight=Words(row.in_flight.value).lower())
    if row.status is S.TOTALLY_REFUNDED:
        return "Already refunded in full."
    if row.status is S.VOIDED:
        return "The payment was voided."
    if row.status not in REFUNDABLE:
        return _("Only paid payments can be refunded; this one is %(status)s.", status=Words(row.status.value).lower())
    if row.reserved_minor:
        return HELD
    if row.captured_minor - row.refunded_minor - row.reserved_minor <= 0:
        return "Nothing is left to refund."
    return None


def why_not_voidable(row: Any) -> str | None:
    """Why a payment cannot be voided now; reads only columns (PY7)."""
    if row.in_flight:
        return _("A %(in_flight)s is being processed.", in_flight=Words(row.in_flight.value).lower())
    if row.status is S.VOIDED:
        return "Already voided."
    if row.status in {S.PARTIALLY_REFUNDED, S.TOTALLY_REFUNDED} or row.refunded_minor:
        return "A refund was made, so the payment cannot be voided any more."
    if row.status not in VOIDABLE:
        return _(
            "Only paid or authorized payments can be voided; this one is %(status)s.",
            status=Words(row.status.value).lower(),
        )
    if row.reserved_minor:
        return HELD
    if row.settled_at is not None:
        return "The payment is settled: it can be refunded, no longer voided."
    return None


class PaymentEvent(Base):
    """One line of a payment's history (P-34, PY11); written in the transaction that made it true."""

    __tablename__ = "payment_event"
    __table_args__ = (Index("ix_payment_event_payment_id_id", "payment_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payment.id"))
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    status: Mapped[PaymentStatus] = enum_column(PaymentStatus)
    event: Mapped[str] = mapped_column(String(80))
    refunded_minor: Mapped[int | None] = mapped_column(BigInteger)
    actor_name: Mapped[str] = mapped_column(String(100))
    detail: Mapped[str | None] = mapped_column(String(300))


class ProviderOrder(Row, Audited):
    """What refunds and voids share: an order to the provider, written before it is sent.

    `key` comes from the form and makes a repeated request the same request. `provider_key` and `reference` are what the
    provider sees; they never change, so asking again can never pay twice. `fence` counts claims and `lease_until` ends
    one, so a worker that wakes up late finds that its claim is over.
    """

    machine: ClassVar[Machine[OrderStatus]] = ORDER_MACHINE

    key: Mapped[str] = mapped_column(String(120), unique=True, info={"secret": True})
    provider_key: Mapped[str] = mapped_column(String(64), unique=True, info={"secret": True})
    reference: Mapped[str] = mapped_column(search_text(64), unique=True, info={"label": "Reference", "readonly": True})
    status: Mapped[OrderStatus] = enum_column(OrderStatus, default=O.REQUESTED, info={"label": "Status"})
    reason: Mapped[RefundReason] = enum_column(RefundReason, info={"label": "Reason"})
    note: Mapped[str | None] = mapped_column(Text, info={"label": "Note", "list": False})
    requested_by_id: Mapped[int | None] = mapped_column(info={"list": False})
    requested_by: Mapped[str] = mapped_column(String(100), info={"label": "Requested by"})
    provider_id: Mapped[str | None] = mapped_column(
        String(128), unique=True, info={"label": "Provider's ID", "list": False}
    )
    fence: Mapped[int] = mapped_column(default=0, info={"list": False})
    lease_until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"list": False})
    first_sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Sent"})
    last_sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"list": False})
    checks: Mapped[int] = mapped_column(default=0, info={"list": False})
    needs_staff: Mapped[bool] = mapped_column(default=False, info={"label": "Needs a decision"})
    code: Mapped[str | None] = mapped_column(String(80), info={"label": "Answer code", "list": False})
    message: Mapped[str | None] = mapped_column(String(300), info={"label": "Answer", "list": False})

    @declared_attr
    @classmethod
    def payment_id(cls) -> Mapped[int]:
        return mapped_column(ForeignKey("payment.id"), index=True, info={"label": "Payment", "readonly": True})

    @declared_attr
    @classmethod
    def payment(cls) -> Mapped[Payment]:
        return relationship(lazy="raise_on_sql")

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: OrderStatus) -> OrderStatus:
        before = self.status
        if before is not None and before is not after and not ORDER_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "An order that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after

    @property
    def is_open(self) -> bool:
        """Whether the outcome is still to come."""
        return not ORDER_MACHINE.is_final(self.status)


class Refund(ProviderOrder, Base):
    """Money on its way back to the customer, partly or in full."""

    __tablename__ = "refund"
    __table_args__ = (CheckConstraint("amount_minor > 0", name="amount_positive"),)

    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), info={"label": "Currency", "list": False})

    def __str__(self) -> str:
        return self.reference


class VoidRequest(ProviderOrder, Base):
    """The full reversal of a payment before it is settled."""

    __tablename__ = "void_request"
    __table_args__ = (
        # One void at a time: a second can only follow one that came to nothing.
        Index(
            "uq_void_request_alive",
            "payment_id",
            unique=True,
            sqlite_where=text("status NOT IN ('FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED')"),
            postgresql_where=text("status NOT IN ('FAILED', 'REJECTED', 'CANCELLED', 'EXPIRED')"),
        ),
    )

    def __str__(self) -> str:
        return self.reference


class Invoice(Row, Audited, Base):
    """The document of a payment (S0's invoice). Numbered without gaps per year; the PDF is cached by content hash."""

    __tablename__ = "invoice"

    number: Mapped[str] = mapped_column(search_text(32), unique=True, info={"label": "Number", "search": True})
    payment_id: Mapped[int] = mapped_column(ForeignKey("payment.id"), unique=True, info={"label": "Payment"})
    issued_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "Issued"})

    payment: Mapped[Payment] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.number


class InvoiceCounter(Base):
    """The last invoice number of a year; taken under lock so that numbers have no gaps and no twins."""

    __tablename__ = "invoice_counter"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(default=0)


class Notification(Row, Audited, Base):
    """A message to the customer about a payment or a date that is due. The Mailbox page shows each, sent or kept."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_created_at_id", "created_at", "id"),
        # One reminder for each due date, whoever asks how often.
        Index("uq_notification_scheduled_charge_id", "scheduled_charge_id", unique=True),
        Index("ix_notification_registration_link_id", "registration_link_id"),
        Index("ix_notification_upload_link_id", "upload_link_id"),
        Index("ix_notification_account_link_id", "account_link_id"),
    )

    payment_id: Mapped[int | None] = mapped_column(
        ForeignKey("payment.id"), index=True, info={"label": "Payment", "readonly": True}
    )
    scheduled_charge_id: Mapped[int | None] = mapped_column(
        ForeignKey("scheduled_charge.id"), info={"label": "Scheduled charge", "readonly": True, "list": False}
    )
    registration_link_id: Mapped[int | None] = mapped_column(
        ForeignKey("registration_link.id"),
        info={"label": "Registration link", "readonly": True, "list": False, "filter": False},
    )
    account_link_id: Mapped[int | None] = mapped_column(
        ForeignKey("account_link.id"),
        info={"label": "Account link", "readonly": True, "list": False, "filter": False},
    )
    upload_link_id: Mapped[int | None] = mapped_column(
        ForeignKey("upload_link.id"),
        info={"label": "Upload link", "readonly": True, "list": False, "filter": False},
    )
    channel: Mapped[str] = mapped_column(String(16), default="email", info={"label": "Channel", "list": False})
    recipient: Mapped[str] = mapped_column(
        search_text(254), index=True, info={"label": "To", "search": True, "readonly": True, "mask": "email"}
    )
    subject: Mapped[str] = mapped_column(String(200), info={"label": "Subject", "readonly": True})
    body: Mapped[str] = mapped_column(Text, info={"label": "Text", "readonly": True, "list": False})
    message_id: Mapped[str] = mapped_column(String(200), unique=True, info={"label": "Message-ID", "list": False})
    state: Mapped[NotificationState] = enum_column(
        NotificationState, default=NotificationState.QUEUED, info={"label": "State", "readonly": True}
    )
    sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Sent", "readonly": True})
    error: Mapped[str | None] = mapped_column(String(300), info={"label": "Error", "readonly": True, "list": False})

    payment: Mapped[Payment | None] = relationship(lazy="raise_on_sql")
    scheduled_charge: Mapped[ScheduledCharge | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.subject


class Note(Row, Audited, Base):
    """An internal note on a payment, or on one row of any page that takes notes. Notes are added, never changed."""

    __tablename__ = "note"
    __table_args__ = (
        CheckConstraint("(payment_id IS NULL) = (entity_id IS NOT NULL)", name="about_one_thing"),
        CheckConstraint("(entity IS NULL) = (entity_id IS NULL)", name="entity_has_row"),
        Index("ix_note_entity_entity_id_id", "entity", "entity_id", "id"),
    )

    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payment.id"), index=True, info={"label": "Payment"})
    entity: Mapped[str | None] = mapped_column(String(64), info={"label": "About", "list": False})
    entity_id: Mapped[int | None] = mapped_column(BigId, info={"label": "Its number", "list": False})
    body: Mapped[str] = mapped_column(Text, info={"label": "Note"})
    author: Mapped[str] = mapped_column(String(100), info={"label": "Author"})
    author_id: Mapped[int | None] = mapped_column(info={"list": False})
    key: Mapped[str | None] = mapped_column(String(64), unique=True, info={"secret": True})

    def __str__(self) -> str:
        return f"Note by {self.author}"
