"""Batches, and exports that workers write."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    _add_exports()


def downgrade() -> None:
    _drop_exports()


# ---- exports -------------------------------------------------------------------------------------------------------


def _add_exports() -> None:
    op.create_table(
        "export_schedule",
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("owner_id", INTEGER, nullable=False),
        sa.Column("page", sa.String(length=64), nullable=False),
        sa.Column("page_title", sa.String(length=80), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "CSV", "XLSX", "ODS", "JSON", name="file_kind", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("list_args", sa.Text(), nullable=False),
        sa.Column("criteria", JSON, nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("needs", JSON, nullable=False),
        sa.Column(
            "mode",
            sa.Enum("LIVE", "TEST", name="mode", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("period_on", sa.String(length=64), nullable=True),
        sa.Column(
            "period",
            sa.Enum(
                "YESTERDAY",
                "LAST_WEEK",
                "LAST_MONTH",
                name="period",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=True,
        ),
        sa.Column(
            "rhythm",
            sa.Enum("DAILY", "WEEKLY", "MONTHLY", name="rhythm", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("weekday", INTEGER, nullable=True),
        sa.Column("day", INTEGER, nullable=True),
        sa.Column("at_minute", INTEGER, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "ACTIVE",
                "PAUSED",
                "DELETED",
                name="schedule_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("(rhythm = 'MONTHLY') = (day IS NOT NULL)", name=op.f("ck_export_schedule_day_of_monthly")),
        sa.CheckConstraint(
            "(rhythm = 'WEEKLY') = (weekday IS NOT NULL)", name=op.f("ck_export_schedule_weekday_of_weekly")
        ),
        sa.CheckConstraint(
            "(period IS NULL) = (period_on IS NULL)", name=op.f("ck_export_schedule_period_of_something")
        ),
        sa.CheckConstraint("at_minute BETWEEN 0 AND 1439", name=op.f("ck_export_schedule_minute_of_a_day")),
        sa.CheckConstraint("day BETWEEN 1 AND 28", name=op.f("ck_export_schedule_day_1_to_28")),
        sa.CheckConstraint("weekday BETWEEN 1 AND 7", name=op.f("ck_export_schedule_weekday_1_to_7")),
        sa.ForeignKeyConstraint(["owner_id"], ["staff_user.id"], name=op.f("fk_export_schedule_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_schedule")),
    )
    op.create_index("ix_export_schedule_owner_id_id", "export_schedule", ["owner_id", "id"], unique=False)
    op.create_index(
        "ix_export_schedule_status_next_at_id", "export_schedule", ["status", "next_at", "id"], unique=False
    )
    op.create_table(
        "export",
        sa.Column("requester_id", INTEGER, nullable=False),
        sa.Column("page", sa.String(length=64), nullable=False),
        sa.Column("page_title", sa.String(length=80), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "CSV", "XLSX", "ODS", "JSON", name="file_kind", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("list_args", sa.Text(), nullable=False),
        sa.Column("criteria", JSON, nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("needs", JSON, nullable=False),
        sa.Column(
            "mode",
            sa.Enum("LIVE", "TEST", name="mode", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("schedule_id", INTEGER, nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "QUEUED",
                "RUNNING",
                "READY",
                "FAILED",
                "CANCELLED",
                "EXPIRED",
                name="export_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows_done", INTEGER, nullable=False),
        sa.Column("rows_total", INTEGER, nullable=True),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("file", sa.String(length=80), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("is_personal", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("downloads", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "status <> 'READY' OR (file IS NOT NULL AND sha256 IS NOT NULL AND expires_at IS NOT NULL)",
            name=op.f("ck_export_ready_has_a_file"),
        ),
        sa.CheckConstraint("(schedule_id IS NULL) = (due_on IS NULL)", name=op.f("ck_export_due_on_of_schedule")),
        sa.CheckConstraint("rows_done >= 0", name=op.f("ck_export_rows_not_negative")),
        sa.ForeignKeyConstraint(["requester_id"], ["staff_user.id"], name=op.f("fk_export_requester_id")),
        sa.ForeignKeyConstraint(["schedule_id"], ["export_schedule.id"], name=op.f("fk_export_schedule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export")),
        sa.UniqueConstraint("schedule_id", "due_on", name=op.f("uq_export_schedule_id_due_on")),
    )
    op.create_index("ix_export_created_at_id", "export", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_export_requester_id_created_at_id", "export", ["requester_id", "created_at", "id"], unique=False
    )
    op.create_index("ix_export_status_created_at_id", "export", ["status", "created_at", "id"], unique=False)
    op.create_index("ix_export_status_expires_at_id", "export", ["status", "expires_at", "id"], unique=False)
    op.create_table(
        "export_reader",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("schedule_id", INTEGER, nullable=False),
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["schedule_id"], ["export_schedule.id"], name=op.f("fk_export_reader_schedule_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_export_reader_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_reader")),
        sa.UniqueConstraint("schedule_id", "staff_id", name=op.f("uq_export_reader_schedule_id_staff_id")),
    )
    op.create_index(op.f("ix_export_reader_staff_id"), "export_reader", ["staff_id"], unique=False)


def _drop_exports() -> None:
    for table in ("export_reader", "export", "export_schedule"):
        op.drop_table(table)
