"""Recurring charges."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateColumn

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


STATUSES = ("CREATED", "ACTIVE", "ON_HOLD", "INACTIVE", "CANCELLED", "EXPIRED", "ABORTED")
ORIGINS = ("HOSTED", "BATCH", "API", "BACKOFFICE", "IMPORTED")


def columns() -> tuple[tuple[sa.Column[Any], tuple[str, str] | None], ...]:
    """The new columns of `subscription`, each with the name and condition of the CHECK that comes with it."""
    return (
        (
            sa.Column("status", sa.String(24), server_default="CREATED", nullable=False),
            ("subscription_status", _one_of("status", STATUSES)),
        ),
        (
            sa.Column("purpose", sa.String(24), server_default="RECURRING", nullable=False),
            ("purpose", _one_of("purpose", ("RECURRING", "REMINDER"))),
        ),
        (
            sa.Column("origin", sa.String(24), server_default="BACKOFFICE", nullable=False),
            ("subscription_origin", _one_of("origin", ORIGINS)),
        ),
        (sa.Column("card_token", sa.String(128)), None),
        (sa.Column("card_last4", sa.String(4)), None),
        (sa.Column("card_expires_on", sa.Date()), None),
        (
            sa.Column("schedule_kind", sa.String(24)),
            ("schedule_kind", _one_of("schedule_kind", ("DAY", "DATE", "FULL_DATE", "INTERVAL"))),
        ),
        (sa.Column("schedule_weekdays", JSON), None),
        (sa.Column("schedule_days", JSON), None),
        (sa.Column("schedule_months", JSON), None),
        (sa.Column("schedule_dates", JSON), None),
        (
            sa.Column("schedule_interval_unit", sa.String(24)),
            ("interval_unit", _one_of("schedule_interval_unit", ("DAY", "MONTH"))),
        ),
        (sa.Column("schedule_interval_count", INTEGER), None),
        (sa.Column("schedule_anchor", sa.Date()), None),
        (sa.Column("start_date", sa.Date()), ("schedule_has_start", "schedule_kind IS NULL OR start_date IS NOT NULL")),
        (
            sa.Column("expiration_date", sa.Date()),
            ("expires_after_start", "expiration_date IS NULL OR start_date <= expiration_date"),
        ),
        (sa.Column("planned_until", sa.Date()), None),
        (sa.Column("plan_failed_at", sa.DateTime(timezone=True)), None),
        (
            sa.Column("consecutive_failures", INTEGER, server_default="0", nullable=False),
            ("failures_not_negative", "consecutive_failures >= 0"),
        ),
        (sa.Column("retry_policy_id", INTEGER), None),
        (sa.Column("deleted_at", sa.DateTime(timezone=True)), None),
    )


def _add_to_subscription() -> None:
    """Add the columns where they are: SQLite cannot add a CHECK later, and copying the table would drop what refers to it."""
    dialect = op.get_bind().dialect
    for column, check in columns():
        if dialect.name == "sqlite":
            line = f"ALTER TABLE subscription ADD COLUMN {CreateColumn(column).compile(dialect=dialect)}"
            if column.name == "retry_policy_id":
                line += " CONSTRAINT fk_subscription_retry_policy_id REFERENCES retry_policy (id)"
            op.execute(line + (f" CONSTRAINT ck_subscription_{check[0]} CHECK ({check[1]})" if check else ""))
        else:
            op.add_column("subscription", column)
            if check:
                op.create_check_constraint(op.f(f"ck_subscription_{check[0]}"), "subscription", check[1])
    if dialect.name != "sqlite":
        op.create_foreign_key(
            op.f("fk_subscription_retry_policy_id"), "subscription", "retry_policy", ["retry_policy_id"], ["id"]
        )
    # What was there before recurred in the past and has no schedule.
    op.execute("UPDATE subscription SET status = 'ACTIVE', origin = 'IMPORTED'")


def _add_to_notification() -> None:
    """A mail may be about a date that is due, and then it is the only one."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "ALTER TABLE notification ADD COLUMN scheduled_charge_id INTEGER"
            " CONSTRAINT fk_notification_scheduled_charge_id REFERENCES scheduled_charge (id)"
        )
    else:
        op.add_column("notification", sa.Column("scheduled_charge_id", INTEGER))
        op.create_foreign_key(
            op.f("fk_notification_scheduled_charge_id"),
            "notification",
            "scheduled_charge",
            ["scheduled_charge_id"],
            ["id"],
        )
    op.create_index("uq_notification_scheduled_charge_id", "notification", ["scheduled_charge_id"], unique=True)


def upgrade() -> None:
    op.create_table(
        "provider_breaker",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("failures", INTEGER, nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reconciled_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_breaker")),
    )
    op.create_table(
        "retry_policy",
        sa.Column(
            "name", sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("delays_days", JSON, nullable=False),
        sa.Column("max_attempts", INTEGER, nullable=False),
        sa.Column("retryable_codes", JSON, nullable=False),
        sa.Column(
            "on_exhausted",
            sa.Enum("ON_HOLD", "ABORTED", name="on_exhausted", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("max_attempts BETWEEN 1 AND 20", name=op.f("ck_retry_policy_max_attempts_1_to_20")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retry_policy")),
        sa.UniqueConstraint("name", name=op.f("uq_retry_policy_name")),
    )
    op.create_table(
        "webhook_endpoint",
        sa.Column("merchant_id", INTEGER, nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("sealed_secret", sa.String(length=300), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("mails_customers", sa.Boolean(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["organization.id"], name=op.f("fk_webhook_endpoint_merchant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
        sa.UniqueConstraint("merchant_id", name=op.f("uq_webhook_endpoint_merchant_id")),
    )
    op.create_table(
        "scheduled_charge",
        sa.Column("subscription_id", INTEGER, nullable=False),
        sa.Column("due_date", sa.Date(), nullable=False),
        sa.Column(
            "invoice_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "SCHEDULED",
                "ENQUEUED",
                "PROCESSING",
                "SUCCEEDED",
                "RETRY_WAIT",
                "FAILED",
                "UNKNOWN",
                "NOTIFIED",
                "CANCELLED",
                "SKIPPED",
                "MISSED",
                name="charge_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("attempts", INTEGER, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payment_id", INTEGER, nullable=True),
        sa.Column("is_touched", sa.Boolean(), nullable=False),
        sa.Column("needs_staff", sa.Boolean(), nullable=False),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "status != 'SUCCEEDED' OR payment_id IS NOT NULL", name=op.f("ck_scheduled_charge_succeeded_has_payment")
        ),
        sa.CheckConstraint(
            "status != 'RETRY_WAIT' OR next_attempt_at IS NOT NULL", name=op.f("ck_scheduled_charge_retry_has_time")
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_scheduled_charge_amount_positive")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_scheduled_charge_attempts_not_negative")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_scheduled_charge_payment_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscription.id"], name=op.f("fk_scheduled_charge_subscription_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_scheduled_charge_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduled_charge")),
        sa.UniqueConstraint("invoice_number", name=op.f("uq_scheduled_charge_invoice_number")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_scheduled_charge_payment_id")),
        sa.UniqueConstraint("subscription_id", "due_date", name=op.f("uq_scheduled_charge_subscription_id_due_date")),
    )
    op.create_index("ix_scheduled_charge_created_at_id", "scheduled_charge", ["created_at", "id"], unique=False)
    op.create_index("ix_scheduled_charge_due_date_id", "scheduled_charge", ["due_date", "id"], unique=False)
    op.create_index(
        "ix_scheduled_charge_status_due_date_id", "scheduled_charge", ["status", "due_date", "id"], unique=False
    )
    op.create_index(
        "ix_scheduled_charge_needs_staff",
        "scheduled_charge",
        ["due_date", "id"],
        unique=False,
        sqlite_where=sa.text("needs_staff = 1"),
        postgresql_where=sa.text("needs_staff"),
    )
    op.create_index(
        "ix_scheduled_charge_to_retry",
        "scheduled_charge",
        ["next_attempt_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'RETRY_WAIT'"),
        postgresql_where=sa.text("status = 'RETRY_WAIT'"),
    )
    op.create_table(
        "charge_attempt",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("scheduled_charge_id", INTEGER, nullable=False),
        sa.Column("seq", INTEGER, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("provider_key", sa.String(length=64), nullable=False),
        sa.Column(
            "reference",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "DUE",
                "SENDING",
                "SUCCEEDED",
                "DECLINED",
                "UNKNOWN",
                "MANUAL",
                "CANCELLED",
                name="attempt_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("fence", INTEGER, nullable=False),
        sa.Column("act_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checks", INTEGER, nullable=False),
        sa.Column("provider_id", sa.String(length=128), nullable=True),
        sa.Column("code", sa.String(length=80), nullable=True),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state != 'SUCCEEDED' OR provider_id IS NOT NULL", name=op.f("ck_charge_attempt_succeeded_has_provider_id")
        ),
        sa.ForeignKeyConstraint(
            ["scheduled_charge_id"], ["scheduled_charge.id"], name=op.f("fk_charge_attempt_scheduled_charge_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_attempt")),
        sa.UniqueConstraint("provider_id", name=op.f("uq_charge_attempt_provider_id")),
        sa.UniqueConstraint("provider_key", name=op.f("uq_charge_attempt_provider_key")),
        sa.UniqueConstraint("scheduled_charge_id", "seq", name=op.f("uq_charge_attempt_scheduled_charge_id_seq")),
    )
    op.create_index(
        "ix_charge_attempt_open",
        "charge_attempt",
        ["act_at", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('DUE', 'SENDING', 'UNKNOWN')"),
        postgresql_where=sa.text("state IN ('DUE', 'SENDING', 'UNKNOWN')"),
    )
    op.create_index("ix_charge_attempt_reference", "charge_attempt", ["reference"], unique=False)
    op.create_index(
        "uq_charge_attempt_alive",
        "charge_attempt",
        ["scheduled_charge_id"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('DECLINED', 'CANCELLED')"),
        postgresql_where=sa.text("state NOT IN ('DECLINED', 'CANCELLED')"),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("endpoint_id", INTEGER, nullable=False),
        sa.Column("scheduled_charge_id", INTEGER, nullable=True),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "DUE",
                "DELIVERED",
                "FAILED",
                name="delivery_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("tries", INTEGER, nullable=False),
        sa.Column("answer", sa.String(length=300), nullable=True),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_delivery_endpoint_id")),
        sa.ForeignKeyConstraint(
            ["scheduled_charge_id"], ["scheduled_charge.id"], name=op.f("fk_webhook_delivery_scheduled_charge_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("scheduled_charge_id", name=op.f("uq_webhook_delivery_scheduled_charge_id")),
    )
    op.create_index("ix_webhook_delivery_created_at_id", "webhook_delivery", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_webhook_delivery_state_created_at_id", "webhook_delivery", ["state", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_webhook_delivery_endpoint_id_created_at_id",
        "webhook_delivery",
        ["endpoint_id", "created_at", "id"],
        unique=False,
    )
    _add_to_notification()
    op.create_index(
        "ix_outbox_message_dead",
        "outbox_message",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'DEAD'"),
        postgresql_where=sa.text("state = 'DEAD'"),
    )
    _add_to_subscription()
    op.create_index("ix_subscription_card_expires_on_id", "subscription", ["card_expires_on", "id"], unique=False)
    op.create_index(
        "ix_subscription_provider_created_at_id", "subscription", ["provider", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_subscription_purpose_created_at_id", "subscription", ["purpose", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_subscription_unit_amount_minor_id", "subscription", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_index(op.f("ix_subscription_retry_policy_id"), "subscription", ["retry_policy_id"], unique=False)
    op.create_index(
        "ix_subscription_status_created_at_id", "subscription", ["status", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_subscription_to_plan",
        "subscription",
        ["planned_until", "id"],
        unique=False,
        sqlite_where=sa.text("schedule_kind IS NOT NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"),
        postgresql_where=sa.text("schedule_kind IS NOT NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"),
    )
    op.create_index(
        "ix_subscription_unplanned",
        "subscription",
        ["id"],
        unique=False,
        sqlite_where=sa.text(
            "schedule_kind IS NOT NULL AND planned_until IS NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"
        ),
        postgresql_where=sa.text(
            "schedule_kind IS NOT NULL AND planned_until IS NULL AND status IN ('ACTIVE', 'ON_HOLD', 'INACTIVE')"
        ),
    )
    op.create_index(
        "ix_subscription_plan_failed",
        "subscription",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("plan_failed_at IS NOT NULL"),
        postgresql_where=sa.text("plan_failed_at IS NOT NULL"),
    )
    op.create_index(
        "ix_subscription_to_expire",
        "subscription",
        ["expiration_date", "id"],
        unique=False,
        sqlite_where=sa.text("status IN ('CREATED', 'ACTIVE', 'ON_HOLD', 'INACTIVE')"),
        postgresql_where=sa.text("status IN ('CREATED', 'ACTIVE', 'ON_HOLD', 'INACTIVE')"),
    )


def downgrade() -> None:
    for name in (
        "unplanned",
        "to_expire",
        "plan_failed",
        "to_plan",
        "status_created_at_id",
        "retry_policy_id",
        "unit_amount_minor_id",
        "purpose_created_at_id",
        "provider_created_at_id",
        "card_expires_on_id",
    ):
        op.drop_index(f"ix_subscription_{name}", table_name="subscription")
    op.drop_index("ix_outbox_message_dead", table_name="outbox_message")
    op.drop_index("uq_notification_scheduled_charge_id", table_name="notification")
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        # A column that another column's CHECK mentions can only go after that one.
        order = ["expiration_date", "start_date"]
        names = [column.name for column, _ in columns()]
        for name in [*order, *(name for name in names if name not in order)]:
            op.execute(f"ALTER TABLE subscription DROP COLUMN {name}")
        op.execute("ALTER TABLE notification DROP COLUMN scheduled_charge_id")
    else:
        op.drop_column("notification", "scheduled_charge_id")
        for column, _ in columns():
            op.drop_column("subscription", column.name)
    for table in (
        "webhook_delivery",
        "charge_attempt",
        "scheduled_charge",
        "webhook_endpoint",
        "retry_policy",
        "provider_breaker",
    ):
        op.drop_table(table)
