"""Payment files to the bank, what it sends back, and the lines of its statements."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "payment_file",
        sa.Column(
            "message_id",
            sa.String(length=35).with_variant(sa.String(length=35, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("payments", INTEGER, nullable=False),
        sa.Column("execute_on", sa.Date(), nullable=False),
        sa.Column("payer_account", sa.String(length=34), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content_sealed", sa.Text(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "DRAFT",
                "RELEASED",
                "UNKNOWN",
                "SENT",
                "ACCEPTED",
                "PARTLY_ACCEPTED",
                "REJECTED",
                "DISCARDED",
                name="file_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("made_by_id", INTEGER, nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by_id", INTEGER, nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column("attempts", INTEGER, nullable=False),
        sa.Column("problem", sa.String(length=300), nullable=True),
        sa.Column("reason_code", sa.String(length=10), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(status IN ('DRAFT', 'DISCARDED')) = (released_at IS NULL) AND (released_at IS NULL) = (released_by_id IS NULL)",
            name=op.f("ck_payment_file_released_by_somebody"),
        ),
        sa.CheckConstraint("amount_minor > 0 AND payments > 0", name=op.f("ck_payment_file_something_to_pay")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_payment_file_attempts_count_up")),
        sa.CheckConstraint(
            "released_by_id IS NULL OR released_by_id <> made_by_id", name=op.f("ck_payment_file_released_by_another")
        ),
        sa.ForeignKeyConstraint(["made_by_id"], ["staff_user.id"], name=op.f("fk_payment_file_made_by_id")),
        sa.ForeignKeyConstraint(["released_by_id"], ["staff_user.id"], name=op.f("fk_payment_file_released_by_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_payment_file_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_file")),
        sa.UniqueConstraint("message_id", name=op.f("uq_payment_file_message_id")),
    )
    op.create_index("ix_payment_file_created_at_id", "payment_file", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_payment_file_made_by_id"), "payment_file", ["made_by_id"], unique=False)
    op.create_index(op.f("ix_payment_file_released_by_id"), "payment_file", ["released_by_id"], unique=False)
    op.create_index("ix_payment_file_status_id", "payment_file", ["status", "id"], unique=False)
    op.create_index(
        "ix_payment_file_unit_amount_minor_id", "payment_file", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_table(
        "bank_message",
        sa.Column(
            "kind",
            sa.Enum(
                "STATUS_REPORT", "STATEMENT", name="message_kind", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column(
            "bank_id",
            sa.String(length=35).with_variant(sa.String(length=35, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content_sealed", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uploaded_by_id", INTEGER, nullable=True),
        sa.Column("file_id", INTEGER, nullable=True),
        sa.Column("problem", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["payment_file.id"], name=op.f("fk_bank_message_file_id")),
        sa.ForeignKeyConstraint(["uploaded_by_id"], ["staff_user.id"], name=op.f("fk_bank_message_uploaded_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_message")),
        sa.UniqueConstraint("kind", "bank_id", "sha256", name="uq_bank_message_kind_bank_id_sha256"),
    )
    op.create_index("ix_bank_message_created_at_id", "bank_message", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_bank_message_file_id"), "bank_message", ["file_id"], unique=False)
    op.create_index(op.f("ix_bank_message_sha256"), "bank_message", ["sha256"], unique=False)
    op.create_index(op.f("ix_bank_message_uploaded_by_id"), "bank_message", ["uploaded_by_id"], unique=False)
    op.create_table(
        "payment_file_line",
        sa.Column("file_id", INTEGER, nullable=False),
        sa.Column("redeem_request_id", INTEGER, nullable=False),
        sa.Column(
            "end_to_end_id",
            sa.String(length=35).with_variant(sa.String(length=35, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "WAITING",
                "ACCEPTED",
                "REJECTED",
                "PAID",
                "RETURNED",
                "DISCARDED",
                name="transfer_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("reason_code", sa.String(length=10), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payment_file_line_amount_positive")),
        sa.ForeignKeyConstraint(["file_id"], ["payment_file.id"], name=op.f("fk_payment_file_line_file_id")),
        sa.ForeignKeyConstraint(
            ["redeem_request_id"], ["redeem_request.id"], name=op.f("fk_payment_file_line_redeem_request_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_payment_file_line_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_file_line")),
        sa.UniqueConstraint("end_to_end_id", name=op.f("uq_payment_file_line_end_to_end_id")),
    )
    op.create_index("ix_payment_file_line_file_id_id", "payment_file_line", ["file_id", "id"], unique=False)
    op.create_index(
        "ix_payment_file_line_redeem_request_id_id", "payment_file_line", ["redeem_request_id", "id"], unique=False
    )
    op.create_index(
        "uq_payment_file_line_redeem_request_id",
        "payment_file_line",
        ["redeem_request_id"],
        unique=True,
        sqlite_where=sa.text("status NOT IN ('REJECTED', 'DISCARDED')"),
        postgresql_where=sa.text("status NOT IN ('REJECTED', 'DISCARDED')"),
    )
    op.create_table(
        "bank_line",
        sa.Column("message_id", INTEGER, nullable=False),
        sa.Column("account", sa.String(length=34), nullable=False),
        sa.Column(
            "statement_id",
            sa.String(length=35).with_variant(sa.String(length=35, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column(
            "reference",
            sa.String(length=35).with_variant(sa.String(length=35, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("bank_reference", sa.String(length=35), nullable=True),
        sa.Column("is_credit", sa.Boolean(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("value_date", sa.Date(), nullable=False),
        sa.Column("code", sa.String(length=10), nullable=True),
        sa.Column("party", sa.String(length=140), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "NEW",
                "UNMATCHED",
                "MATCHED",
                "IGNORED",
                name="line_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "mismatch",
            sa.Enum(
                "NO_REFERENCE",
                "NOTHING",
                "NOT_RELEASED",
                "TWICE",
                "RETURNED_TWICE",
                "AFTER_REJECTION",
                "NOT_PAID",
                "OTHER_AMOUNT",
                "OTHER_UNIT",
                "REFUSED",
                name="mismatch",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=True,
        ),
        sa.Column("problem", sa.String(length=300), nullable=True),
        sa.Column("payment_line_id", INTEGER, nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", INTEGER, nullable=True),
        sa.Column("note", sa.String(length=200), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(status = 'MATCHED') = (payment_line_id IS NOT NULL)", name=op.f("ck_bank_line_matched_to_a_payment")
        ),
        sa.CheckConstraint(
            "status <> 'IGNORED' OR (note IS NOT NULL AND decided_by_id IS NOT NULL)",
            name=op.f("ck_bank_line_ignored_by_somebody"),
        ),
        sa.CheckConstraint(
            "status <> 'UNMATCHED' OR mismatch IS NOT NULL", name=op.f("ck_bank_line_unmatched_for_a_reason")
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_bank_line_amount_not_negative")),
        sa.ForeignKeyConstraint(["decided_by_id"], ["staff_user.id"], name=op.f("fk_bank_line_decided_by_id")),
        sa.ForeignKeyConstraint(["message_id"], ["bank_message.id"], name=op.f("fk_bank_line_message_id")),
        sa.ForeignKeyConstraint(
            ["payment_line_id"], ["payment_file_line.id"], name=op.f("fk_bank_line_payment_line_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_line")),
        sa.UniqueConstraint("account", "statement_id", "number", name="uq_bank_line_account_statement_id_number"),
    )
    op.create_index("ix_bank_line_booked_on_id", "bank_line", ["booked_on", "id"], unique=False)
    op.create_index("ix_bank_line_created_at_id", "bank_line", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_bank_line_decided_by_id"), "bank_line", ["decided_by_id"], unique=False)
    op.create_index(op.f("ix_bank_line_message_id"), "bank_line", ["message_id"], unique=False)
    op.create_index("ix_bank_line_payment_line_id_id", "bank_line", ["payment_line_id", "id"], unique=False)
    op.create_index(op.f("ix_bank_line_reference"), "bank_line", ["reference"], unique=False)
    op.create_index(op.f("ix_bank_line_statement_id"), "bank_line", ["statement_id"], unique=False)
    op.create_index("ix_bank_line_status_id", "bank_line", ["status", "id"], unique=False)
    op.create_index("ix_bank_line_unit_amount_minor_id", "bank_line", ["unit", "amount_minor", "id"], unique=False)
    op.create_index(
        "uq_bank_line_payment_line_id_is_credit",
        "bank_line",
        ["payment_line_id", "is_credit"],
        unique=True,
        sqlite_where=sa.text("status = 'MATCHED'"),
        postgresql_where=sa.text("status = 'MATCHED'"),
    )


def downgrade() -> None:
    used = sa.select(sa.func.count()).select_from(sa.table("payment_file")).where(sa.column("released_at").is_not(None))
    if lost := op.get_bind().execute(used).scalar_one():
        message = f"{lost} payment files were released: going back would forget what the bank was told to pay"
        raise RuntimeError(message)
    for table in ("bank_line", "payment_file_line", "bank_message", "payment_file"):
        op.drop_table(table)
