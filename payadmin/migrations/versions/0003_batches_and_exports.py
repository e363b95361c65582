"""Batches, exports that workers write, and links by which payers register."""

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
    _add_batches()
    _add_exports()
    _add_criteria()
    _add_links()


def downgrade() -> None:
    _drop_links()
    _drop_criteria()
    _drop_exports()
    _drop_batches()


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
    )
    op.create_index("ix_export_created_at_id", "export", ["created_at", "id"], unique=False)
    op.create_index("uq_export_schedule_id_due_on", "export", ["schedule_id", "due_on"], unique=True)
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


# ---- batches -------------------------------------------------------------------------------------------------------

# Where what is made of a batch points back to it: table, column, what it refers to, its CHECKs.
LINKS: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...] = (
    ("payment", "batch_id", "batch", ()),
    ("scheduled_charge", "batch_id", "batch", ()),
    (
        "scheduled_charge",
        "batch_row_id",
        "batch_row",
        (
            ("batch_of_its_row", "(batch_id IS NULL) = (batch_row_id IS NULL)"),
            ("one_origin", "(subscription_id IS NULL) != (batch_row_id IS NULL)"),
        ),
    ),
    ("subscription", "batch_row_id", "batch_row", ()),
)


def _add_batches() -> None:
    op.create_table(
        "batch",
        sa.Column(
            "kind",
            sa.Enum(
                "REGISTRATION",
                "SINGLE_PAYMENT",
                name="batch_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "file_name",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "UPLOADED",
                "VALIDATING",
                "READY",
                "HAS_ERRORS",
                "PROCESSING",
                "PROCESSED",
                "DISCARDED",
                "REPLACED",
                name="batch_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("merchant_id", INTEGER, nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("uploaded_by", sa.String(length=100), nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("problems", JSON, nullable=True),
        sa.Column("notes", JSON, nullable=False),
        sa.Column("totals", JSON, nullable=False),
        sa.Column("rows_total", INTEGER, nullable=False),
        sa.Column("rows_checked", INTEGER, nullable=False),
        sa.Column("rows_valid", INTEGER, nullable=False),
        sa.Column("rows_invalid", INTEGER, nullable=False),
        sa.Column("rows_done", INTEGER, nullable=False),
        sa.Column("rows_refused", INTEGER, nullable=False),
        sa.Column("checked_through", INTEGER, nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_by", sa.String(length=100), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_by_id", INTEGER, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "kind = 'REGISTRATION' OR status NOT IN ('PROCESSING', 'PROCESSED') OR rows_invalid = 0",
            name=op.f("ck_batch_payments_all_or_nothing"),
        ),
        sa.CheckConstraint(
            "status != 'READY' OR (rows_invalid = 0 AND problems IS NULL)", name=op.f("ck_batch_ready_without_errors")
        ),
        sa.CheckConstraint("rows_done + rows_refused <= rows_valid", name=op.f("ck_batch_processed_within_valid")),
        sa.CheckConstraint("rows_valid + rows_invalid <= rows_total", name=op.f("ck_batch_checked_within_total")),
        sa.CheckConstraint("rows_valid >= 0 AND rows_invalid >= 0", name=op.f("ck_batch_counts_not_negative")),
        sa.ForeignKeyConstraint(["merchant_id"], ["organization.id"], name=op.f("fk_batch_merchant_id")),
        sa.ForeignKeyConstraint(["method"], ["payment_method.code"], name=op.f("fk_batch_method")),
        sa.ForeignKeyConstraint(["replaced_by_id"], ["batch.id"], name=op.f("fk_batch_replaced_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("replaced_by_id", name=op.f("uq_batch_replaced_by_id")),
    )
    op.create_index("ix_batch_created_at_id", "batch", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_batch_file_name"), "batch", ["file_name"], unique=False)
    op.create_index("ix_batch_kind_created_at_id", "batch", ["kind", "created_at", "id"], unique=False)
    op.create_index(
        "uq_batch_content_alive",
        "batch",
        ["merchant_id", "kind", "content_hash"],
        unique=True,
        sqlite_where=sa.text("status NOT IN ('DISCARDED', 'REPLACED')"),
        postgresql_where=sa.text("status NOT IN ('DISCARDED', 'REPLACED')"),
    )
    op.create_table(
        "batch_part",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("batch_id", INTEGER, nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("rows", JSON, nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_part_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_part")),
        sa.UniqueConstraint("batch_id", "number", name=op.f("uq_batch_part_batch_id_number")),
    )
    op.create_table(
        "batch_row",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("batch_id", INTEGER, nullable=False),
        sa.Column("row_number", INTEGER, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "WAITING",
                "VALID",
                "INVALID",
                "DONE",
                "SKIPPED",
                "REFUSED",
                name="row_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("cells", JSON, nullable=False),
        sa.Column("errors", JSON, nullable=True),
        sa.Column("masked", JSON, nullable=True),
        sa.Column("repeats_row", INTEGER, nullable=True),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("customer_id", INTEGER, nullable=True),
        sa.Column(
            "billing_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "invoice_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=True),
        sa.Column("card_token", sa.String(length=128), nullable=True),
        sa.Column("card_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("card_first6", sa.String(length=6), nullable=True),
        sa.Column("card_last4", sa.String(length=4), nullable=True),
        sa.Column("card_holder_name", sa.String(length=200), nullable=True),
        sa.Column("card_holder_phone", sa.String(length=32), nullable=True),
        sa.Column("execute_date", sa.Date(), nullable=True),
        sa.Column("description", sa.String(length=300), nullable=True),
        sa.Column(
            "purpose",
            sa.Enum("RECURRING", "REMINDER", name="purpose", native_enum=False, create_constraint=True, length=24),
            nullable=True,
        ),
        sa.Column("schedule", JSON, nullable=True),
        sa.Column("start_date", sa.Date(), nullable=True),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.CheckConstraint("status != 'INVALID' OR errors IS NOT NULL", name=op.f("ck_batch_row_invalid_says_why")),
        sa.CheckConstraint(
            "status NOT IN ('VALID', 'DONE') OR (errors IS NULL AND customer_id IS NOT NULL AND unit IS NOT NULL AND billing_number IS NOT NULL AND amount_minor IS NOT NULL)",
            name=op.f("ck_batch_row_valid_is_complete"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_batch_row_amount_positive")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_row_batch_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_batch_row_customer_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_batch_row_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_row")),
        sa.UniqueConstraint("batch_id", "row_number", name=op.f("uq_batch_row_batch_id_row_number")),
    )
    op.create_index(
        "ix_batch_row_batch_id_status_row_number", "batch_row", ["batch_id", "status", "row_number"], unique=False
    )
    op.create_index(op.f("ix_batch_row_billing_number"), "batch_row", ["billing_number"], unique=False)
    op.create_index(op.f("ix_batch_row_customer_id"), "batch_row", ["customer_id"], unique=False)
    op.create_index(op.f("ix_batch_row_invoice_number"), "batch_row", ["invoice_number"], unique=False)
    _lift_not_null("scheduled_charge", "subscription_id")
    for table, column, target, checks in LINKS:
        _add_link(table, column, target, checks)
    op.create_index("ix_payment_batch_id_created_at_id", "payment", ["batch_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_scheduled_charge_batch_id_status_due_date",
        "scheduled_charge",
        ["batch_id", "status", "due_date"],
        unique=False,
    )
    op.create_index("uq_scheduled_charge_batch_row_id", "scheduled_charge", ["batch_row_id"], unique=True)
    op.create_index("uq_subscription_batch_row_id", "subscription", ["batch_row_id"], unique=True)


def _add_link(table: str, column: str, target: str, checks: tuple[tuple[str, str], ...]) -> None:
    """Add a column that refers to another table; SQLite takes its key and CHECKs only together with the column."""
    if op.get_bind().dialect.name == "sqlite":
        more = "".join(f" CONSTRAINT ck_{table}_{name} CHECK ({condition})" for name, condition in checks)
        key = f"CONSTRAINT fk_{table}_{column} REFERENCES {target} (id)"
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER {key}{more}")
        return
    op.add_column(table, sa.Column(column, INTEGER, nullable=True))
    op.create_foreign_key(op.f(f"fk_{table}_{column}"), table, target, [column], ["id"])
    for name, condition in checks:
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def _lift_not_null(table: str, column: str) -> None:
    """Let a column be empty.

    SQLite has no statement for it. Copying the table would need foreign keys switched off outside the transaction; a
    constraint that only falls away changes nothing in the file, so its own recipe edits the stored text of the table:
    https://www.sqlite.org/lang_altertable.html#otheralter
    """
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(table, column, nullable=True)
        return
    _edit_definition(table, f"{column} INTEGER NOT NULL", f"{column} INTEGER")


def _forbid_null(table: str, column: str) -> None:
    """Put NOT NULL back.

    Raises: RuntimeError while rows need it empty: what they ordered may have been charged, so nobody deletes them here.
    """
    rows = sa.select(sa.func.count()).select_from(sa.table(table)).where(sa.column(column).is_(None))
    lost = op.get_bind().execute(rows).scalar_one()
    if lost:
        message = f"{lost} rows of {table} have no {column}: going back would lose what was charged"
        raise RuntimeError(message)
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(table, column, nullable=False)
        return
    _edit_definition(table, f"{column} INTEGER", f"{column} INTEGER NOT NULL")


def _edit_definition(table: str, old: str, new: str) -> None:
    """Change the text by which SQLite knows a table; RESET makes this connection read it again."""
    bind = op.get_bind()
    schema = bind.execute(sa.text("PRAGMA schema_version")).scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    changed = bind.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :old, :new)"
            " WHERE type = 'table' AND name = :table AND instr(sql, :old) > 0"
        ),
        {"table": table, "old": old, "new": new},
    )
    if changed.rowcount != 1:
        message = f"{table} is not defined as this migration expects: {old!r} is missing"
        raise RuntimeError(message)
    op.execute(f"PRAGMA schema_version = {schema + 1}")
    op.execute("PRAGMA writable_schema = RESET")


def _drop_batches() -> None:
    _forbid_null("scheduled_charge", "subscription_id")
    op.drop_index("uq_subscription_batch_row_id", table_name="subscription")
    op.drop_index("uq_scheduled_charge_batch_row_id", table_name="scheduled_charge")
    op.drop_index("ix_scheduled_charge_batch_id_status_due_date", table_name="scheduled_charge")
    op.drop_index("ix_payment_batch_id_created_at_id", table_name="payment")
    for table, column, _, checks in reversed(LINKS):
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            continue
        for name, _ in checks:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
        op.drop_column(table, column)
    for table in ("batch_row", "batch_part", "batch"):
        op.drop_table(table)


# ---- All Report ----------------------------------------------------------------------------------------------------

CRITERIA = (
    ("mode", "response_code", "created_at", "id"),
    ("mode", "error_code", "created_at", "id"),
    ("card_holder_name", "id"),
    ("card_holder_phone", "id"),
)
HOLDER = (("card_holder_name", 200), ("card_holder_phone", 32))


def _add_criteria() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Compared by bytes, so that an index finds what begins with something.
        for column, length in HOLDER:
            op.alter_column("payment", column, type_=sa.String(length, collation="C"))
    for columns in CRITERIA:
        op.create_index(f"ix_payment_{'_'.join(columns)}", "payment", list(columns), unique=False)


def _drop_criteria() -> None:
    for columns in CRITERIA:
        op.drop_index(f"ix_payment_{'_'.join(columns)}", table_name="payment")
    if op.get_bind().dialect.name == "postgresql":
        for column, length in HOLDER:
            op.alter_column("payment", column, type_=sa.String(length, collation="default"))


# ---- registration links --------------------------------------------------------------------------------------------


def _add_links() -> None:
    op.create_table(
        "registration_link",
        sa.Column(
            "status",
            sa.Enum(
                "OPEN", "USED", "REVOKED", name="link_status", native_enum=False, create_constraint=True, length=24
            ),
            server_default="OPEN",
            nullable=False,
        ),
        sa.Column("merchant_id", INTEGER, nullable=False),
        sa.Column("customer_id", INTEGER, nullable=True),
        sa.Column(
            "email",
            sa.String(length=254).with_variant(sa.String(length=254, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "billing_number",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum("RECURRING", "REMINDER", name="purpose", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("schedule", JSON, nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column("expiration_date", sa.Date(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("nonce", sa.String(length=22), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("invited_by", sa.String(length=100), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payer_name", sa.String(length=100), nullable=True),
        sa.Column("consent", sa.Text(), nullable=True),
        sa.Column("subscription_id", INTEGER, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(status = 'USED') = (subscription_id IS NOT NULL)",
            name=op.f("ck_registration_link_used_has_subscription"),
        ),
        sa.CheckConstraint(
            "(status = 'USED') = (used_at IS NOT NULL)", name=op.f("ck_registration_link_used_has_time")
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_registration_link_amount_positive")),
        sa.CheckConstraint(
            "customer_id IS NOT NULL OR email IS NOT NULL", name=op.f("ck_registration_link_meant_for_somebody")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_registration_link_customer_id")),
        sa.ForeignKeyConstraint(["merchant_id"], ["organization.id"], name=op.f("fk_registration_link_merchant_id")),
        sa.ForeignKeyConstraint(["method"], ["payment_method.code"], name=op.f("fk_registration_link_method")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscription.id"], name=op.f("fk_registration_link_subscription_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_registration_link_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registration_link")),
        sa.UniqueConstraint("subscription_id", name=op.f("uq_registration_link_subscription_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_registration_link_token_hash")),
    )
    for columns in LINK_INDEXES:
        op.create_index(f"ix_registration_link_{'_'.join(columns)}", "registration_link", list(columns), unique=False)
    op.create_index(
        "uq_registration_link_open",
        "registration_link",
        ["merchant_id", "billing_number"],
        unique=True,
        sqlite_where=sa.text("status = 'OPEN'"),
        postgresql_where=sa.text("status = 'OPEN'"),
    )
    _add_link("notification", "registration_link_id", "registration_link", ())
    op.create_index("ix_notification_registration_link_id", "notification", ["registration_link_id"], unique=False)
    op.create_index(
        "ix_subscription_origin_created_at_id", "subscription", ["origin", "created_at", "id"], unique=False
    )


LINK_INDEXES = (
    ("billing_number",),
    ("created_at", "id"),
    ("customer_id",),
    ("email",),
    ("merchant_id", "billing_number"),
    ("status", "created_at", "id"),
    ("status", "expires_at", "id"),
)


def _drop_links() -> None:
    op.drop_index("ix_subscription_origin_created_at_id", table_name="subscription")
    op.drop_index("ix_notification_registration_link_id", table_name="notification")
    # The mails stay, as what was sent.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ALTER TABLE notification DROP COLUMN registration_link_id")
    else:
        op.drop_column("notification", "registration_link_id")
    op.drop_table("registration_link")
