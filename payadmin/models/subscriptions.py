"""Subscriptions: recurring agreements, the charges that fall due for them, every attempt to make one, and reminders."""

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column, search_text, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.schedules import IntervalUnit, Schedule, ScheduleKind
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text, _
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Customer, Organization

if TYPE_CHECKING:
    from payadmin.models.batches import BatchRow
    from payadmin.models.payments import Payment


class SubscriptionStatus(StrEnum):
    CREATED = "Created"
    ACTIVE = "Active"
    ON_HOLD = "On hold"
    INACTIVE = "Inactive"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    ABORTED = "Aborted"


S = SubscriptionStatus
SUBSCRIPTION_MACHINE = Machine(
    initial=S.CREATED,
    moves={
        S.CREATED: frozenset({S.ACTIVE, S.CANCELLED, S.EXPIRED}),
        S.ACTIVE: frozenset({S.ON_HOLD, S.INACTIVE, S.CANCELLED, S.EXPIRED, S.ABORTED}),
        S.ON_HOLD: frozenset({S.ACTIVE, S.INACTIVE, S.CANCELLED, S.ABORTED, S.EXPIRED}),
        S.INACTIVE: frozenset({S.ACTIVE, S.CANCELLED, S.EXPIRED}),
        S.ABORTED: frozenset({S.ACTIVE, S.CANCELLED}),
    },
)

# What staff read (SB1); "on hold" is told apart by a badge.
SUBSCRIPTION_WORDS: dict[SubscriptionStatus, str] = {
    S.CREATED: _("Created"),
    S.ACTIVE: _("Active"),
    S.ON_HOLD: _("Active"),
    S.INACTIVE: _("Not Active"),
    S.CANCELLED: _("Not Active"),
    S.EXPIRED: _("Not Active"),
    S.ABORTED: _("Not Active"),
}
PLANNED = (S.ACTIVE, S.ON_HOLD, S.INACTIVE)
EXPIRING = (S.CREATED, S.ACTIVE, S.ON_HOLD, S.INACTIVE)
ENDED = (S.CANCELLED, S.EXPIRED)
# A date of the agreement that was declined or missed may still be charged after it has expired.
RETRIED = (S.ACTIVE, S.EXPIRED)


class SubscriptionOrigin(StrEnum):
    HOSTED = "Hosted page"
    BATCH = "Batch file"
    API = "API"
    BACKOFFICE = "Back office"
    IMPORTED = "Imported history"


class Purpose(StrEnum):
    RECURRING = "Recurring"
    REMINDER = "Reminder"


class ChargeStatus(StrEnum):
    """The life of one due date of one subscription."""

    SCHEDULED = "Scheduled"
    ENQUEUED = "Enqueued"
    PROCESSING = "Processing"
    SUCCEEDED = "Succeeded"
    RETRY_WAIT = "Waiting to retry"
    FAILED = "Failed"
    UNKNOWN = "Being checked"
    NOTIFIED = "Reminder sent"
    CANCELLED = "Cancelled"
    SKIPPED = "Skipped"
    MISSED = "Missed"


C = ChargeStatus
CHARGE_MACHINE = Machine(
    initial=C.SCHEDULED,
    moves={
        C.SCHEDULED: frozenset({C.ENQUEUED, C.CANCELLED, C.SKIPPED, C.MISSED}),
        C.ENQUEUED: frozenset({C.PROCESSING, C.CANCELLED}),
        C.PROCESSING: frozenset({C.SUCCEEDED, C.RETRY_WAIT, C.FAILED, C.UNKNOWN, C.NOTIFIED}),
        C.RETRY_WAIT: frozenset({C.ENQUEUED, C.CANCELLED, C.FAILED}),
        C.UNKNOWN: frozenset({C.SUCCEEDED, C.FAILED, C.RETRY_WAIT}),
        # Only by staff, when the provider reports a success after all.
        C.FAILED: frozenset({C.SUCCEEDED}),
        C.MISSED: frozenset({C.ENQUEUED, C.SKIPPED, C.CANCELLED}),
    },
)
OVER = (C.SUCCEEDED, C.FAILED, C.NOTIFIED, C.CANCELLED, C.SKIPPED)
IN_HAND = (C.ENQUEUED, C.PROCESSING, C.UNKNOWN)
NOT_BEGUN = (C.SCHEDULED, C.RETRY_WAIT, C.MISSED)


class AttemptState(StrEnum):
    """What is known about one attempt to charge."""

    DUE = "Due"
    SENDING = "Being sent"
    SUCCEEDED = "Succeeded"
    DECLINED = "Declined"
    UNKNOWN = "Being checked"
    MANUAL = "Needs a decision"
    CANCELLED = "Never sent"


A = AttemptState
ATTEMPT_MACHINE = Machine(
    initial=A.DUE,
    moves={
        # Succeeded from anywhere: a success is a fact, however late its answer comes.
        A.DUE: frozenset({A.SENDING, A.SUCCEEDED, A.UNKNOWN, A.CANCELLED, A.MANUAL}),
        # Due again when it certainly never reached the provider.
        A.SENDING: frozenset({A.SUCCEEDED, A.DECLINED, A.UNKNOWN, A.DUE, A.MANUAL}),
        # Due again, with the same key, when the provider has no trace of it and still remembers keys.
        A.UNKNOWN: frozenset({A.SUCCEEDED, A.DECLINED, A.DUE, A.MANUAL}),
        A.MANUAL: frozenset({A.SUCCEEDED, A.DECLINED, A.UNKNOWN}),
        # Only by staff, when the provider reports a success after all.
        A.DECLINED: frozenset({A.SUCCEEDED}),
    },
)
OPEN_ATTEMPTS = (A.DUE, A.SENDING, A.UNKNOWN)
# What people decide, once they were called to it: nobody knows whether money moved.
UNDECIDED = (A.MANUAL, A.UNKNOWN)


class OnExhausted(StrEnum):
    ON_HOLD = "Put the subscription on hold"
    ABORTED = "Abort the subscription"


class DeliveryState(StrEnum):
    DUE = "Due"
    DELIVERED = "Delivered"
    FAILED = "Given up"


DELIVERY_MACHINE = Machine(
    initial=DeliveryState.DUE,
    # Due again when somebody asks to send it again.
    moves={
        DeliveryState.DUE: frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED}),
        DeliveryState.DELIVERED: frozenset({DeliveryState.DUE}),
        DeliveryState.FAILED: frozenset({DeliveryState.DUE}),
    },
)


class RetryPolicy(Row, Audited, Base):
    """When a declined charge is tried again, and what becomes of the subscription when no try is left (SC11)."""

    __tablename__ = "retry_policy"
    __table_args__ = (CheckConstraint("max_attempts BETWEEN 1 AND 20", name="max_attempts_1_to_20"),)

    name: Mapped[str] = mapped_column(search_text(80), unique=True, info={"label": "Name", "search": True})
    delays_days: Mapped[list[int]] = mapped_column(Json, info={"label": "Days between attempts"})
    max_attempts: Mapped[int] = mapped_column(info={"label": "Attempts"})
    retryable_codes: Mapped[list[str]] = mapped_column(
        Json, info={"label": "Answers worth another try", "help": "Empty: every refusal is tried again."}
    )
    on_exhausted: Mapped[OnExhausted] = enum_column(OnExhausted, info={"label": "When no try is left"})

    def __str__(self) -> str:
        return self.name

    def delay_after(self, attempt: int, code: str | None) -> dt.timedelta | None:
        """How long to wait after the `attempt`th decline with `code`, or None when it is not tried again."""
        if attempt >= self.max_attempts or (self.retryable_codes and code not in self.retryable_codes):
            return None
        delays = self.delays_days or [1]
        return dt.timedelta(days=delays[min(attempt, len(delays)) - 1])


class Subscription(Row, Audited, Base):
    """A recurring agreement. `subscription_id` is S0's key, `billing_number` S2's; one customer may have many."""

    machine: ClassVar[Machine[SubscriptionStatus]] = SUBSCRIPTION_MACHINE

    __tablename__ = "subscription"
    __table_args__ = (
        Index("ix_subscription_created_at_id", "created_at", "id"),
        Index("ix_subscription_status_created_at_id", "status", "created_at", "id"),
        Index("ix_subscription_provider_created_at_id", "provider", "created_at", "id"),
        Index("ix_subscription_purpose_created_at_id", "purpose", "created_at", "id"),
        Index("ix_subscription_origin_created_at_id", "origin", "created_at", "id"),
        Index("ix_subscription_unit_amount_minor_id", "unit", "amount_minor", "id"),
        Index("ix_subscription_card_expires_on_id", "card_expires_on", "id"),
        Index(
            "ix_subscription_to_plan",
            "planned_until",
            "id",
            sqlite_where=text("schedule_kind IS NOT NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"),
            postgresql_where=text("schedule_kind IS NOT NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"),
        ),
        # Equal to nothing else in the index above, yet SQLite would expect as many as of any other day.
        Index(
            "ix_subscription_unplanned",
            "id",
            sqlite_where=text(
                "schedule_kind IS NOT NULL AND planned_until IS NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"
            ),
            postgresql_where=text(
                "schedule_kind IS NOT NULL AND planned_until IS NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"
            ),
        ),
        Index(
            "ix_subscription_to_expire",
            "expiration_date",
            "id",
            sqlite_where=text("status IN ('CREATED', 'ACTIVE', 'ON_HOLD', 'INACTIVE')"),
            postgresql_where=text("status IN ('CREATED', 'ACTIVE', 'ON_HOLD', 'INACTIVE')"),
        ),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        Index(
            "ix_subscription_plan_failed",
            "created_at",
            "id",
            sqlite_where=text("plan_failed_at IS NOT NULL"),
            postgresql_where=text("plan_failed_at IS NOT NULL"),
        ),
        Index(
            "ix_subscription_inactivated_at_id",
            "inactivated_at",
            "id",
            sqlite_where=text("inactivated_at IS NOT NULL"),
            postgresql_where=text("inactivated_at IS NOT NULL"),
        ),
        CheckConstraint("consecutive_failures >= 0", name="failures_not_negative"),
        CheckConstraint("expiration_date IS NULL OR start_date <= expiration_date", name="expires_after_start"),
        CheckConstraint("schedule_kind IS NULL OR start_date IS NOT NULL", name="schedule_has_start"),
        Index("uq_subscription_merchant_billing", "merchant_id", "billing_number", unique=True),
        Index("uq_subscription_batch_row_id", "batch_row_id", unique=True),
    )

    subscription_id: Mapped[str] = mapped_column(
        search_text(64), unique=True, info={"label": "Subscription ID", "search": True, "readonly": True}
    )
    billing_number: Mapped[str] = mapped_column(
        search_text(64), index=True, info={"label": "Billing number", "search": True, "readonly": True}
    )
    status: Mapped[SubscriptionStatus] = enum_column(
        SubscriptionStatus, default=S.CREATED, server_default="CREATED", info={"label": "Status", "readonly": True}
    )
    purpose: Mapped[Purpose] = enum_column(
        Purpose,
        default=Purpose.RECURRING,
        server_default="RECURRING",
        info={"label": "Type", "readonly": True, "list": False},
    )
    origin: Mapped[SubscriptionOrigin] = enum_column(
        SubscriptionOrigin,
        default=SubscriptionOrigin.BACKOFFICE,
        server_default="BACKOFFICE",
        info={"label": "Origin", "readonly": True, "list": False},
    )
    customer_id: Mapped[int] = mapped_column(
        ForeignKey("customer.id"), index=True, info={"label": "Customer", "readonly": True}
    )
    merchant_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Merchant", "readonly": True}
    )
    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Currency", "readonly": True, "list": False}
    )
    method: Mapped[str] = mapped_column(String(40), info={"label": "Method", "readonly": True})
    provider: Mapped[str] = mapped_column(String(40), info={"label": "Provider", "readonly": True})
    card_token: Mapped[str | None] = mapped_column(String(128), info={"secret": True})
    card_last4: Mapped[str | None] = mapped_column(
        String(4), info={"label": "Card end", "readonly": True, "list": False}
    )
    card_expires_on: Mapped[dt.date | None] = mapped_column(
        Date, info={"label": "Card expires", "readonly": True, "list": False, "help": "The last day of its month."}
    )
    # No schedule: imported history, of which only the past is known. Nothing is planned for it.
    schedule_kind: Mapped[ScheduleKind | None] = enum_column(
        ScheduleKind, nullable=True, info={"label": "Schedule", "readonly": True, "list": False}
    )
    schedule_weekdays: Mapped[list[int] | None] = mapped_column(Json, info={"list": False, "filter": False})
    schedule_days: Mapped[list[int] | None] = mapped_column(Json, info={"list": False, "filter": False})
    schedule_months: Mapped[list[int] | None] = mapped_column(Json, info={"list": False, "filter": False})
    schedule_dates: Mapped[list[str] | None] = mapped_column(Json, info={"list": False, "filter": False})
    schedule_interval_unit: Mapped[IntervalUnit | None] = enum_column(
        IntervalUnit, nullable=True, info={"label": "Interval", "readonly": True, "list": False}
    )
    schedule_interval_count: Mapped[int | None] = mapped_column(
        info={"label": "Recurrence period", "readonly": True, "list": False}
    )
    schedule_anchor: Mapped[dt.date | None] = mapped_column(
        Date, info={"label": "First run", "readonly": True, "list": False}
    )
    start_date: Mapped[dt.date | None] = mapped_column(
        Date, info={"label": "Start date", "readonly": True, "list": False}
    )
    expiration_date: Mapped[dt.date | None] = mapped_column(
        Date, info={"label": "Expiration date", "readonly": True, "list": False}
    )
    planned_until: Mapped[dt.date | None] = mapped_column(Date, info={"list": False, "filter": False})
    # Its dates could not be worked out then: people are told, and planning passes it over for a while.
    plan_failed_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Not planned since", "readonly": True, "list": False, "filter": False}
    )
    consecutive_failures: Mapped[int] = mapped_column(
        default=0, server_default="0", info={"label": "Failures in a row", "readonly": True, "list": False}
    )
    retry_policy_id: Mapped[int | None] = mapped_column(
        ForeignKey("retry_policy.id"), index=True, info={"label": "Retry policy", "readonly": True, "list": False}
    )
    deleted_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Deleted", "readonly": True, "list": False}
    )
    batch_row_id: Mapped[int | None] = mapped_column(
        ForeignKey("batch_row.id"), info={"label": "Row of a batch", "readonly": True, "list": False}
    )
    # It stays when the subscription is activated again: figures say what happened in a week, not what came after.
    inactivated_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Last inactivated", "readonly": True, "list": False}
    )

    customer: Mapped[Customer] = relationship(lazy="raise_on_sql")
    merchant: Mapped[Organization] = relationship(lazy="raise_on_sql")
    retry_policy: Mapped[RetryPolicy | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.subscription_id

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: SubscriptionStatus) -> SubscriptionStatus:
        before = self.status
        if before is not None and before is not after and not SUBSCRIPTION_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A subscription that is %(before)s cannot become %(after)s.",
                    before=Text(before.value).lower(),
                    after=Text(after.value).lower(),
                )
            )
        return after

    @property
    def schedule(self) -> Schedule | None:
        """The rule that says when it falls due; None for imported history, and for a rule that nobody can read."""
        return schedule_of(self)


def schedule_of(row: Any) -> Schedule | None:
    """The rule in a row's `schedule_…` columns; reads only columns, so that queries can ask for plain rows.

    None where there is none, and where the columns make no sense: pages open all the same, so that staff can correct
    it, and planning says so.
    """
    if row.schedule_kind is None:
        return None
    try:
        return Schedule(
            row.schedule_kind,
            weekdays=tuple(row.schedule_weekdays or ()),
            days=tuple(row.schedule_days or ()),
            months=tuple(row.schedule_months or ()),
            dates=tuple(dt.date.fromisoformat(date) for date in row.schedule_dates or ()),
            interval_unit=row.schedule_interval_unit,
            interval_count=row.schedule_interval_count,
            anchor=row.schedule_anchor,
        )
    except (Invalid, TypeError, ValueError):
        return None


def schedule_columns() -> tuple[str, ...]:
    """The names of the columns that hold a rule."""
    return tuple(column.name for column in Subscription.__table__.columns if column.name.startswith("schedule_"))


def schedule_values(schedule: Schedule) -> dict[str, Any]:
    """The `schedule_…` columns that hold a rule; those of other kinds are emptied."""
    return {
        "schedule_kind": schedule.kind,
        "schedule_weekdays": list(schedule.weekdays) or None,
        "schedule_days": list(schedule.days) or None,
        "schedule_months": list(schedule.months) or None,
        "schedule_dates": [date.isoformat() for date in schedule.dates] or None,
        "schedule_interval_unit": schedule.interval_unit,
        "schedule_interval_count": schedule.interval_count,
        "schedule_anchor": schedule.anchor,
    }


class ScheduledCharge(Row, Audited, Base):
    """One due date of one subscription, or one single payment of a batch: the only thing that workers charge (SC7).

    The unique due date makes a planner that runs twice, late or beside another one make the same rows. A row that
    staff cancelled by itself stays, so that the next plan does not bring its date back.
    """

    machine: ClassVar[Machine[ChargeStatus]] = CHARGE_MACHINE

    __tablename__ = "scheduled_charge"
    __table_args__ = (
        UniqueConstraint("subscription_id", "due_date"),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        CheckConstraint("(subscription_id IS NULL) != (batch_row_id IS NULL)", name="one_origin"),
        CheckConstraint("(batch_id IS NULL) = (batch_row_id IS NULL)", name="batch_of_its_row"),
        CheckConstraint("status != 'SUCCEEDED' OR payment_id IS NOT NULL", name="succeeded_has_payment"),
        CheckConstraint("status != 'RETRY_WAIT' OR next_attempt_at IS NOT NULL", name="retry_has_time"),
        Index("ix_scheduled_charge_status_due_date_id", "status", "due_date", "id"),
        Index("ix_scheduled_charge_due_date_id", "due_date", "id"),
        Index("ix_scheduled_charge_created_at_id", "created_at", "id"),
        Index("ix_scheduled_charge_batch_id_status_due_date", "batch_id", "status", "due_date"),
        # A row of a batch is ordered once, whatever crashes.
        Index("uq_scheduled_charge_batch_row_id", "batch_row_id", unique=True),
        Index(
            "ix_scheduled_charge_to_retry",
            "next_attempt_at",
            "id",
            sqlite_where=text("status = 'RETRY_WAIT'"),
            postgresql_where=text("status = 'RETRY_WAIT'"),
        ),
        Index(
            "ix_scheduled_charge_needs_staff",
            "due_date",
            "id",
            sqlite_where=text("needs_staff = 1"),
            postgresql_where=text("needs_staff"),
        ),
    )

    subscription_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscription.id"), info={"label": "Subscription", "readonly": True}
    )
    # A single payment of a batch instead: charged once, for its row and by the terms that stand there.
    batch_id: Mapped[int | None] = mapped_column(
        ForeignKey("batch.id"), info={"label": "Batch", "readonly": True, "list": False}
    )
    batch_row_id: Mapped[int | None] = mapped_column(
        ForeignKey("batch_row.id"), info={"label": "Row of the batch", "readonly": True, "list": False}
    )
    due_date: Mapped[dt.date] = mapped_column(Date, info={"label": "Execute date", "readonly": True})
    invoice_number: Mapped[str] = mapped_column(
        search_text(64), unique=True, info={"label": "Invoice number", "search": True, "readonly": True}
    )
    status: Mapped[ChargeStatus] = enum_column(
        ChargeStatus, default=C.SCHEDULED, info={"label": "Status", "readonly": True}
    )
    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Currency", "readonly": True, "list": False}
    )
    attempts: Mapped[int] = mapped_column(default=0, info={"label": "Attempts", "readonly": True})
    next_attempt_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Next attempt", "readonly": True, "list": False}
    )
    payment_id: Mapped[int | None] = mapped_column(
        ForeignKey("payment.id"), unique=True, info={"label": "Payment", "readonly": True, "list": False}
    )
    # Somebody decided about this very date (cancelled it, caught it up): a new schedule leaves it as it is.
    is_touched: Mapped[bool] = mapped_column(default=False, info={"label": "Decided by staff", "list": False})
    needs_staff: Mapped[bool] = mapped_column(default=False, info={"label": "Needs a decision", "list": False})
    message: Mapped[str | None] = mapped_column(String(300), info={"label": "Reason", "readonly": True, "list": False})

    subscription: Mapped[Subscription | None] = relationship(lazy="raise_on_sql")
    batch_row: Mapped["BatchRow | None"] = relationship(lazy="raise_on_sql")
    payment: Mapped["Payment | None"] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.invoice_number

    @property
    def reference(self) -> str:
        """What the provider knows this charge by, and the transaction ID of its payment: ours alone, never typed."""
        return self.invoice_number if self.batch_row_id is None else f"B{self.batch_row_id:06}-{self.due_date:%Y%m%d}"

    @property
    def why_not_cancellable(self) -> str | None:
        """Why this execute date cannot be cancelled any more, or None when it can (SC13)."""
        return why_not_cancellable(self)


def why_not_cancellable(row: Any) -> str | None:
    """Why an execute date cannot be cancelled; reads only columns.

    One that is enqueued can be as long as no worker has claimed its attempt, which the act itself finds out.
    """
    if row.status in (*NOT_BEGUN, C.ENQUEUED):
        return None
    return {
        C.PROCESSING: "It is already being charged.",
        C.UNKNOWN: _("It was sent to the provider, which is being asked what happened."),
        C.SUCCEEDED: _("It was already charged."),
        C.NOTIFIED: _("Its reminder was already sent."),
        C.CANCELLED: _("It was already cancelled."),
    }.get(row.status, f"It is already {row.status.value.lower()}.")


class ChargeAttempt(Base):
    """One attempt to make a scheduled charge, written and committed before the provider hears of it.

    `provider_key` never changes, so sending it again can never charge twice while the provider remembers keys. A
    declined attempt is over: trying again is a new row with a new key. `fence` counts claims, and `lease_until` (by the
    database's clock) ends one, so a worker that wakes up late finds that its claim is over.
    """

    __tablename__ = "charge_attempt"
    __table_args__ = (
        UniqueConstraint("scheduled_charge_id", "seq"),
        CheckConstraint("state != 'SUCCEEDED' OR provider_id IS NOT NULL", name="succeeded_has_provider_id"),
        # The last line of defence against a second charge: one attempt that may have moved money per due date.
        Index(
            "uq_charge_attempt_alive",
            "scheduled_charge_id",
            unique=True,
            sqlite_where=text("state NOT IN ('DECLINED', 'CANCELLED')"),
            postgresql_where=text("state NOT IN ('DECLINED', 'CANCELLED')"),
        ),
        Index(
            "ix_charge_attempt_open",
            "act_at",
            "id",
            sqlite_where=text("state IN ('DUE', 'SENDING', 'UNKNOWN')"),
            postgresql_where=text("state IN ('DUE', 'SENDING', 'UNKNOWN')"),
        ),
        Index("ix_charge_attempt_reference", "reference"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    scheduled_charge_id: Mapped[int] = mapped_column(ForeignKey("scheduled_charge.id"))
    seq: Mapped[int] = mapped_column()
    provider: Mapped[str] = mapped_column(String(40))
    provider_key: Mapped[str] = mapped_column(String(64), unique=True, info={"secret": True})
    reference: Mapped[str] = mapped_column(search_text(64), info={"label": "Reference"})
    state: Mapped[AttemptState] = enum_column(AttemptState, default=A.DUE, info={"label": "State"})
    fence: Mapped[int] = mapped_column(default=0)
    # When something is to be done about it next: sent (DUE), taken from its worker (SENDING), asked about (UNKNOWN).
    act_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    first_sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "First sent"})
    last_sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Last sent"})
    checks: Mapped[int] = mapped_column(default=0, info={"label": "Times asked"})
    provider_id: Mapped[str | None] = mapped_column(String(128), unique=True, info={"label": "Provider's ID"})
    code: Mapped[str | None] = mapped_column(String(80), info={"label": "Answer code"})
    message: Mapped[str | None] = mapped_column(String(300), info={"label": "Answer"})
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "Created"})
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Done"})

    scheduled_charge: Mapped[ScheduledCharge] = relationship(lazy="raise_on_sql")


class ProviderBreaker(Base):
    """What all workers know together about a provider's health: while it is out, it is not stormed (P8)."""

    __tablename__ = "provider_breaker"

    provider: Mapped[str] = mapped_column(String(40), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0, info={"label": "Failures in a row"})
    open_until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Paused until"})
    # The last business day whose charges were compared with the provider's.
    reconciled_on: Mapped[dt.date | None] = mapped_column(Date, info={"label": "Compared up to"})


class WebhookEndpoint(Row, Audited, Base):
    """Where a merchant is told that a reminder is due, and the secret that signs what it is told."""

    __title__ = "url"
    __tablename__ = "webhook_endpoint"

    merchant_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), unique=True, info={"label": "Merchant", "readonly": True}
    )
    url: Mapped[str] = mapped_column(String(500), info={"label": "Address"})
    sealed_secret: Mapped[str] = mapped_column(String(300), default="", info={"secret": True})
    enabled: Mapped[bool] = mapped_column(default=True, info={"label": "Enabled"})
    mails_customers: Mapped[bool] = mapped_column(default=False, info={"label": "Also e-mail the customer"})

    merchant: Mapped[Organization] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(Row, Audited, Base):
    """One message to a merchant's endpoint, as it was written, and what became of it."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_created_at_id", "created_at", "id"),
        Index("ix_webhook_delivery_state_created_at_id", "state", "created_at", "id"),
        Index("ix_webhook_delivery_endpoint_id_created_at_id", "endpoint_id", "created_at", "id"),
    )

    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey("webhook_endpoint.id"), info={"label": "Endpoint", "readonly": True}
    )
    # No scheduled charge: a test message that staff asked for.
    scheduled_charge_id: Mapped[int | None] = mapped_column(
        ForeignKey("scheduled_charge.id"), unique=True, info={"label": "Scheduled charge", "readonly": True}
    )
    event: Mapped[str] = mapped_column(String(40), info={"label": "Event", "readonly": True})
    payload: Mapped[dict[str, Any]] = mapped_column(Json, info={"label": "Content", "list": False, "filter": False})
    state: Mapped[DeliveryState] = enum_column(
        DeliveryState, default=DeliveryState.DUE, info={"label": "State", "readonly": True}
    )
    tries: Mapped[int] = mapped_column(default=0, info={"label": "Tries", "readonly": True})
    answer: Mapped[str | None] = mapped_column(String(300), info={"label": "Last answer", "readonly": True})
    next_try_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Next try", "readonly": True, "list": False}
    )
    delivered_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Delivered", "readonly": True})

    endpoint: Mapped[WebhookEndpoint] = relationship(lazy="raise_on_sql")
    scheduled_charge: Mapped[ScheduledCharge | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"{self.event} {self.id}"
