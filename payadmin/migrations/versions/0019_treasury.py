"""Cash desks, their days and operations, redeem requests, and what tells customers apart at a desk."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


KNOWN = "identification IN ('UNIDENTIFIED', 'IN_REVIEW', 'IDENTIFIED', 'REJECTED')"
CASH_TABLES = (
    "cash_operation", "system_operation", "redeem_request", "cash_day_unit", "cash_desk_day", "cash_desk_assignment", "cash_desk",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "cash_desk",
        sa.Column(
            "code", sa.String(length=24).with_variant(sa.String(length=24, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("organization_id", INTEGER, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "ACTIVE", "LOCKED", "CLOSED", name="desk_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_cash_desk_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cash_desk")),
        sa.UniqueConstraint("code", name=op.f("uq_cash_desk_code")),
        sa.UniqueConstraint("name", name=op.f("uq_cash_desk_name")),
    )
    op.create_index("ix_cash_desk_created_at_id", "cash_desk", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_cash_desk_organization_id"), "cash_desk", ["organization_id"], unique=False)
    op.create_table(
        "cash_desk_assignment",
        sa.Column("desk_id", INTEGER, nullable=False),
        sa.Column("cashier_id", INTEGER, nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "ends_at IS NULL OR ends_at >= begins_at", name=op.f("ck_cash_desk_assignment_ends_after_it_began")
        ),
        sa.ForeignKeyConstraint(["cashier_id"], ["staff_user.id"], name=op.f("fk_cash_desk_assignment_cashier_id")),
        sa.ForeignKeyConstraint(["desk_id"], ["cash_desk.id"], name=op.f("fk_cash_desk_assignment_desk_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cash_desk_assignment")),
    )
    op.create_index("ix_cash_desk_assignment_cashier_id_id", "cash_desk_assignment", ["cashier_id", "id"], unique=False)
    op.create_index("ix_cash_desk_assignment_desk_id_id", "cash_desk_assignment", ["desk_id", "id"], unique=False)
    op.create_index(
        "uq_cash_desk_assignment_cashier_id",
        "cash_desk_assignment",
        ["cashier_id"],
        unique=True,
        sqlite_where=sa.text("ends_at IS NULL"),
        postgresql_where=sa.text("ends_at IS NULL"),
    )
    op.create_table(
        "cash_desk_day",
        sa.Column("desk_id", INTEGER, nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "OPEN",
                "CLOSE_REQUESTED",
                "RETURNED",
                "CLOSED",
                name="day_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by_id", INTEGER, nullable=False),
        sa.Column("last_receipt", INTEGER, nullable=False),
        sa.Column("rounds", INTEGER, nullable=False),
        sa.Column("close_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("close_requested_by_id", INTEGER, nullable=True),
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", INTEGER, nullable=True),
        sa.Column("decision", sa.String(length=200), nullable=True),
        sa.Column("is_forced", sa.Boolean(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "status = 'OPEN' OR close_requested_at IS NOT NULL", name=op.f("ck_cash_desk_day_requested_before_decided")
        ),
        sa.CheckConstraint(
            "status IN ('OPEN', 'CLOSE_REQUESTED') OR decided_at IS NOT NULL",
            name=op.f("ck_cash_desk_day_decided_by_somebody"),
        ),
        sa.CheckConstraint(
            "decided_by_id IS NULL OR decided_by_id <> opened_by_id", name=op.f("ck_cash_desk_day_decided_by_another")
        ),
        sa.CheckConstraint("last_receipt >= 0 AND rounds >= 0", name=op.f("ck_cash_desk_day_counts_up")),
        sa.ForeignKeyConstraint(
            ["close_requested_by_id"], ["staff_user.id"], name=op.f("fk_cash_desk_day_close_requested_by_id")
        ),
        sa.ForeignKeyConstraint(["decided_by_id"], ["staff_user.id"], name=op.f("fk_cash_desk_day_decided_by_id")),
        sa.ForeignKeyConstraint(["desk_id"], ["cash_desk.id"], name=op.f("fk_cash_desk_day_desk_id")),
        sa.ForeignKeyConstraint(["opened_by_id"], ["staff_user.id"], name=op.f("fk_cash_desk_day_opened_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cash_desk_day")),
    )
    op.create_index("ix_cash_desk_day_business_date_id", "cash_desk_day", ["business_date", "id"], unique=False)
    op.create_index(
        op.f("ix_cash_desk_day_close_requested_by_id"), "cash_desk_day", ["close_requested_by_id"], unique=False
    )
    op.create_index("ix_cash_desk_day_created_at_id", "cash_desk_day", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_cash_desk_day_decided_by_id"), "cash_desk_day", ["decided_by_id"], unique=False)
    op.create_index("ix_cash_desk_day_desk_id_id", "cash_desk_day", ["desk_id", "id"], unique=False)
    op.create_index("ix_cash_desk_day_opened_by_id_id", "cash_desk_day", ["opened_by_id", "id"], unique=False)
    op.create_index("ix_cash_desk_day_status_id", "cash_desk_day", ["status", "id"], unique=False)
    op.create_index(
        "uq_cash_desk_day_desk_id",
        "cash_desk_day",
        ["desk_id"],
        unique=True,
        sqlite_where=sa.text("status <> 'CLOSED'"),
        postgresql_where=sa.text("status <> 'CLOSED'"),
    )
    op.create_table(
        "cash_day_unit",
        sa.Column("day_id", INTEGER, nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("opening_minor", sa.BigInteger(), nullable=False),
        sa.Column("expected_minor", sa.BigInteger(), nullable=True),
        sa.Column("counted_minor", sa.BigInteger(), nullable=True),
        sa.Column("denominations", JSON, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(expected_minor IS NULL) = (counted_minor IS NULL)", name=op.f("ck_cash_day_unit_counted_beside_expected")
        ),
        sa.CheckConstraint("counted_minor >= 0", name=op.f("ck_cash_day_unit_counted_not_negative")),
        sa.CheckConstraint("expected_minor >= 0", name=op.f("ck_cash_day_unit_expected_not_negative")),
        sa.CheckConstraint("opening_minor >= 0", name=op.f("ck_cash_day_unit_opening_not_negative")),
        sa.ForeignKeyConstraint(["day_id"], ["cash_desk_day.id"], name=op.f("fk_cash_day_unit_day_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_cash_day_unit_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cash_day_unit")),
        sa.UniqueConstraint("day_id", "unit", name="uq_cash_day_unit_day_id_unit"),
    )
    op.create_index(op.f("ix_cash_day_unit_unit"), "cash_day_unit", ["unit"], unique=False)
    op.create_table(
        "redeem_request",
        sa.Column(
            "key",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("wallet_id", INTEGER, nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("commission_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "channel",
            sa.Enum(
                "CASH_DESK",
                "BANK_TRANSFER",
                name="redeem_channel",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("holder_name", sa.String(length=140), nullable=True),
        sa.Column("account_sealed", sa.String(length=300), nullable=True),
        sa.Column("account_shown", sa.String(length=40), nullable=True),
        sa.Column("bank_code", sa.String(length=11), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "SUBMITTED",
                "APPROVED",
                "SENT",
                "PAID",
                "FAILED",
                "RETURNED",
                "CANCELLED",
                name="redeem_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("contract_version_id", INTEGER, nullable=True),
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column("submitted_by_id", INTEGER, nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", INTEGER, nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure_code", sa.String(length=10), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(channel = 'BANK_TRANSFER') = (account_sealed IS NOT NULL) AND (account_sealed IS NULL) = (account_shown IS NULL) AND (account_sealed IS NULL) = (holder_name IS NULL)",
            name=op.f("ck_redeem_request_account_of_a_transfer"),
        ),
        sa.CheckConstraint(
            "(status IN ('PAID', 'RETURNED')) = (paid_at IS NOT NULL)", name=op.f("ck_redeem_request_paid_at_a_moment")
        ),
        sa.CheckConstraint(
            "status = 'SUBMITTED' OR decided_at IS NOT NULL", name=op.f("ck_redeem_request_decided_or_waiting")
        ),
        sa.CheckConstraint(
            "status NOT IN ('SENT', 'RETURNED') OR channel = 'BANK_TRANSFER'",
            name=op.f("ck_redeem_request_sent_to_a_bank"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_redeem_request_amount_positive")),
        sa.CheckConstraint("commission_minor >= 0", name=op.f("ck_redeem_request_commission_not_negative")),
        sa.ForeignKeyConstraint(
            ["contract_version_id"], ["contract_version.id"], name=op.f("fk_redeem_request_contract_version_id")
        ),
        sa.ForeignKeyConstraint(["decided_by_id"], ["staff_user.id"], name=op.f("fk_redeem_request_decided_by_id")),
        sa.ForeignKeyConstraint(["submitted_by_id"], ["staff_user.id"], name=op.f("fk_redeem_request_submitted_by_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_redeem_request_unit")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_redeem_request_wallet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redeem_request")),
        sa.UniqueConstraint("key", name=op.f("uq_redeem_request_key")),
    )
    op.create_index("ix_redeem_request_channel_id", "redeem_request", ["channel", "id"], unique=False)
    op.create_index(
        op.f("ix_redeem_request_contract_version_id"), "redeem_request", ["contract_version_id"], unique=False
    )
    op.create_index("ix_redeem_request_counted", "redeem_request", ["wallet_id", "channel", "on_day"], unique=False)
    op.create_index("ix_redeem_request_created_at_id", "redeem_request", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_redeem_request_decided_by_id"), "redeem_request", ["decided_by_id"], unique=False)
    op.create_index("ix_redeem_request_status_id", "redeem_request", ["status", "id"], unique=False)
    op.create_index(op.f("ix_redeem_request_submitted_by_id"), "redeem_request", ["submitted_by_id"], unique=False)
    op.create_index(
        "ix_redeem_request_unit_amount_minor_id", "redeem_request", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_index("ix_redeem_request_wallet_id_id", "redeem_request", ["wallet_id", "id"], unique=False)
    op.create_table(
        "system_operation",
        sa.Column(
            "key",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "CASH_INPUT",
                "CASH_COLLECTION",
                "INVESTMENT",
                name="system_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "source",
            sa.Enum("BANK", "OWNER", name="cash_source", native_enum=False, create_constraint=True, length=24),
            nullable=True,
        ),
        sa.Column("desk_id", INTEGER, nullable=True),
        sa.Column("day_id", INTEGER, nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "INITIATED",
                "CONFIRMED",
                "REJECTED",
                "CANCELLED",
                "STALE",
                "REVERSED",
                name="system_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column("initiated_by_id", INTEGER, nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", INTEGER, nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("reverses_id", INTEGER, nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by_id", INTEGER, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(kind = 'CASH_INPUT') = (desk_id IS NULL)", name=op.f("ck_system_operation_desk_unless_input")
        ),
        sa.CheckConstraint(
            "(kind = 'CASH_INPUT') = (source IS NOT NULL)", name=op.f("ck_system_operation_source_of_an_input")
        ),
        sa.CheckConstraint(
            "status = 'INITIATED' OR decided_at IS NOT NULL", name=op.f("ck_system_operation_decided_or_waiting")
        ),
        sa.CheckConstraint(
            "status NOT IN ('CONFIRMED', 'REJECTED', 'REVERSED') OR decided_by_id <> initiated_by_id",
            name=op.f("ck_system_operation_decided_by_another"),
        ),
        sa.CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by_id IS NULL)",
            name=op.f("ck_system_operation_acknowledged_by_somebody"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_system_operation_amount_positive")),
        sa.ForeignKeyConstraint(
            ["acknowledged_by_id"], ["staff_user.id"], name=op.f("fk_system_operation_acknowledged_by_id")
        ),
        sa.ForeignKeyConstraint(["day_id"], ["cash_desk_day.id"], name=op.f("fk_system_operation_day_id")),
        sa.ForeignKeyConstraint(["decided_by_id"], ["staff_user.id"], name=op.f("fk_system_operation_decided_by_id")),
        sa.ForeignKeyConstraint(["desk_id"], ["cash_desk.id"], name=op.f("fk_system_operation_desk_id")),
        sa.ForeignKeyConstraint(
            ["initiated_by_id"], ["staff_user.id"], name=op.f("fk_system_operation_initiated_by_id")
        ),
        sa.ForeignKeyConstraint(["reverses_id"], ["system_operation.id"], name=op.f("fk_system_operation_reverses_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_system_operation_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_operation")),
        sa.UniqueConstraint("key", name=op.f("uq_system_operation_key")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_system_operation_reverses_id")),
    )
    op.create_index(
        op.f("ix_system_operation_acknowledged_by_id"), "system_operation", ["acknowledged_by_id"], unique=False
    )
    op.create_index("ix_system_operation_created_at_id", "system_operation", ["created_at", "id"], unique=False)
    op.create_index("ix_system_operation_day_id_id", "system_operation", ["day_id", "id"], unique=False)
    op.create_index(op.f("ix_system_operation_decided_by_id"), "system_operation", ["decided_by_id"], unique=False)
    op.create_index("ix_system_operation_desk_id_id", "system_operation", ["desk_id", "id"], unique=False)
    op.create_index(op.f("ix_system_operation_initiated_by_id"), "system_operation", ["initiated_by_id"], unique=False)
    op.create_index("ix_system_operation_kind_id", "system_operation", ["kind", "id"], unique=False)
    op.create_index("ix_system_operation_status_id", "system_operation", ["status", "id"], unique=False)
    op.create_index(
        "ix_system_operation_unit_amount_minor_id", "system_operation", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_table(
        "cash_operation",
        sa.Column(
            "key",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "TOP_UP", "WITHDRAWAL", "REDEEM", name="cash_kind", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("day_id", INTEGER, nullable=False),
        sa.Column("receipt", INTEGER, nullable=False),
        sa.Column("wallet_id", INTEGER, nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("commission_minor", sa.BigInteger(), nullable=False),
        sa.Column("cash_minor", sa.BigInteger(), nullable=False),
        sa.Column("wallet_minor", sa.BigInteger(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("contract_version_id", INTEGER, nullable=True),
        sa.Column("redeem_request_id", INTEGER, nullable=True),
        sa.Column("cashier_id", INTEGER, nullable=False),
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(kind = 'REDEEM') = (redeem_request_id IS NOT NULL)", name=op.f("ck_cash_operation_redeem_of_a_request")
        ),
        sa.CheckConstraint(
            "(kind = 'TOP_UP' AND cash_minor = wallet_minor + commission_minor) OR (kind <> 'TOP_UP' AND wallet_minor = cash_minor + commission_minor)",
            name=op.f("ck_cash_operation_nothing_lost"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_cash_operation_amount_positive")),
        sa.CheckConstraint("cash_minor > 0 AND wallet_minor > 0", name=op.f("ck_cash_operation_both_sides_positive")),
        sa.CheckConstraint("commission_minor >= 0", name=op.f("ck_cash_operation_commission_not_negative")),
        sa.ForeignKeyConstraint(["cashier_id"], ["staff_user.id"], name=op.f("fk_cash_operation_cashier_id")),
        sa.ForeignKeyConstraint(
            ["contract_version_id"], ["contract_version.id"], name=op.f("fk_cash_operation_contract_version_id")
        ),
        sa.ForeignKeyConstraint(["day_id"], ["cash_desk_day.id"], name=op.f("fk_cash_operation_day_id")),
        sa.ForeignKeyConstraint(
            ["redeem_request_id"], ["redeem_request.id"], name=op.f("fk_cash_operation_redeem_request_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_cash_operation_unit")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_cash_operation_wallet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cash_operation")),
        sa.UniqueConstraint("day_id", "receipt", name="uq_cash_operation_day_id_receipt"),
        sa.UniqueConstraint("key", name=op.f("uq_cash_operation_key")),
        sa.UniqueConstraint("redeem_request_id", name=op.f("uq_cash_operation_redeem_request_id")),
    )
    op.create_index("ix_cash_operation_cashier_id_id", "cash_operation", ["cashier_id", "id"], unique=False)
    op.create_index(
        op.f("ix_cash_operation_contract_version_id"), "cash_operation", ["contract_version_id"], unique=False
    )
    op.create_index("ix_cash_operation_counted", "cash_operation", ["wallet_id", "kind", "on_day"], unique=False)
    op.create_index("ix_cash_operation_created_at_id", "cash_operation", ["created_at", "id"], unique=False)
    op.create_index("ix_cash_operation_day_id_id", "cash_operation", ["day_id", "id"], unique=False)
    op.create_index("ix_cash_operation_kind_id", "cash_operation", ["kind", "id"], unique=False)
    op.create_index(
        "ix_cash_operation_unit_amount_minor_id", "cash_operation", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_index("ix_cash_operation_wallet_id_id", "cash_operation", ["wallet_id", "id"], unique=False)
    _tell_customers_apart()


def _tell_customers_apart() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "ALTER TABLE customer ADD COLUMN identification VARCHAR(24) DEFAULT 'UNIDENTIFIED' NOT NULL"
            f" CONSTRAINT ck_customer_identification_status CHECK ({KNOWN})"
        )
    else:
        column = sa.Column("identification", sa.String(length=24), server_default="UNIDENTIFIED", nullable=False)
        op.add_column("customer", column)
        op.create_check_constraint(op.f("ck_customer_identification_status"), "customer", KNOWN)
    op.add_column("customer", sa.Column("codeword_digest", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_customer_codeword_digest"), "customer", ["codeword_digest"], unique=False)


def downgrade() -> None:
    used = sa.select(sa.func.count()).select_from(sa.table("cash_desk_day"))
    if lost := op.get_bind().execute(used).scalar_one():
        message = f"there were {lost} days of cash desks: going back would lose what was done in them"
        raise RuntimeError(message)
    op.drop_index(op.f("ix_customer_codeword_digest"), table_name="customer")
    for column in ("codeword_digest", "identification"):
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"ALTER TABLE customer DROP COLUMN {column}")
        else:
            op.drop_column("customer", column)
    for table in CASH_TABLES:
        op.drop_table(table)
