"""Blocks and what they stopped, and rules that watch payments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER payment_watched AFTER INSERT ON payment WHEN EXISTS (SELECT 1 FROM watch_version WHERE status = 'ACTIVE') BEGIN INSERT INTO watch_item (payment_id) VALUES (NEW.id); END",
        "CREATE TRIGGER payment_watched_again AFTER UPDATE ON payment WHEN OLD.status IS NOT NEW.status AND EXISTS (SELECT 1 FROM watch_version WHERE status = 'ACTIVE') BEGIN INSERT INTO watch_item (payment_id) VALUES (NEW.id); END",
    ),
    "postgresql": (
        "CREATE FUNCTION watch_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT 1 FROM watch_version WHERE status = 'ACTIVE') THEN INSERT INTO watch_item (payment_id) VALUES (NEW.id); END IF; RETURN NULL; END $$",
        "CREATE TRIGGER payment_watched AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION watch_payment()",
        "CREATE TRIGGER payment_watched_again AFTER UPDATE ON payment FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION watch_payment()",
    ),
}
# Whoever was blocked before can be unblocked like everybody else.
BEFORE = (
    "INSERT INTO block (target, customer_id, scope, reason_code, note, status, is_by_rule, blocked_by, created_at, updated_at, version) SELECT 'CUSTOMER', id, 'ALL', 'OTHER', 'Blocked before blocks were written down.', 'ACTIVE', false, 'system', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 1 FROM customer WHERE status = 'BLOCKED'",
    "INSERT INTO block (target, wallet_id, scope, reason_code, note, status, is_by_rule, blocked_by, created_at, updated_at, version) SELECT 'WALLET', id, 'DEBITS', 'OTHER', 'Blocked before blocks were written down.', 'ACTIVE', false, 'system', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 1 FROM wallet WHERE status = 'BLOCKED'",
)


def upgrade() -> None:
    op.create_table(
        "watch_item",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_item")),
    )
    op.create_table(
        "watch_rule",
        sa.Column(
            "name", sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_rule")),
        sa.UniqueConstraint("name", name=op.f("uq_watch_rule_name")),
    )
    op.create_index("ix_watch_rule_created_at_id", "watch_rule", ["created_at", "id"], unique=False)
    op.create_table(
        "watch_day",
        sa.Column("rule_id", INTEGER, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("raised", INTEGER, nullable=False),
        sa.Column("beyond", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["rule_id"], ["watch_rule.id"], name=op.f("fk_watch_day_rule_id")),
        sa.PrimaryKeyConstraint("rule_id", "day", name=op.f("pk_watch_day")),
    )
    op.create_table(
        "watch_version",
        sa.Column("rule_id", INTEGER, nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("conditions", JSON, nullable=False),
        sa.Column("most_a_day", INTEGER, nullable=False),
        sa.Column("blocks", sa.Boolean(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "DRAFT", "ACTIVE", "ARCHIVED", name="watch_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_by", sa.String(length=100), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("status <> 'ACTIVE' OR activated_at IS NOT NULL", name=op.f("ck_watch_version_on_since")),
        sa.CheckConstraint(
            "status <> 'DRAFT' OR activated_at IS NULL", name=op.f("ck_watch_version_draft_was_never_on")
        ),
        sa.CheckConstraint("most_a_day BETWEEN 1 AND 10000", name=op.f("ck_watch_version_most_a_day_in_range")),
        sa.ForeignKeyConstraint(["author_id"], ["staff_user.id"], name=op.f("fk_watch_version_author_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["watch_rule.id"], name=op.f("fk_watch_version_rule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_version")),
        sa.UniqueConstraint("rule_id", "number", name=op.f("uq_watch_version_rule_id_number")),
    )
    op.create_index(op.f("ix_watch_version_author_id"), "watch_version", ["author_id"], unique=False)
    op.create_index(
        "uq_watch_version_active",
        "watch_version",
        ["rule_id"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_index(
        "uq_watch_version_draft",
        "watch_version",
        ["rule_id"],
        unique=True,
        sqlite_where=sa.text("status = 'DRAFT'"),
        postgresql_where=sa.text("status = 'DRAFT'"),
    )
    op.create_table(
        "watch_trial",
        sa.Column("version_id", INTEGER, nullable=False),
        sa.Column("as_of", INTEGER, nullable=False),
        sa.Column("days", INTEGER, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "RUNNING", "DONE", "FAILED", name="trial_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("rows_done", INTEGER, nullable=False),
        sa.Column("raised", INTEGER, nullable=False),
        sa.Column("most_on_a_day", INTEGER, nullable=False),
        sa.Column("by_day", JSON, nullable=False),
        sa.Column("found", JSON, nullable=False),
        sa.Column("cursor_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cursor_id", INTEGER, nullable=False),
        sa.Column("requester_id", INTEGER, nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("days BETWEEN 1 AND 366", name=op.f("ck_watch_trial_days_in_range")),
        sa.CheckConstraint("raised BETWEEN 0 AND rows_done", name=op.f("ck_watch_trial_counts_add_up")),
        sa.ForeignKeyConstraint(["requester_id"], ["staff_user.id"], name=op.f("fk_watch_trial_requester_id")),
        sa.ForeignKeyConstraint(["version_id"], ["watch_version.id"], name=op.f("fk_watch_trial_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_trial")),
    )
    op.create_index(op.f("ix_watch_trial_requester_id"), "watch_trial", ["requester_id"], unique=False)
    op.create_index("ix_watch_trial_version_id_id", "watch_trial", ["version_id", "id"], unique=False)
    op.create_table(
        "block",
        sa.Column(
            "target",
            sa.Enum(
                "CUSTOMER",
                "ORGANIZATION",
                "WALLET",
                "PAYMENT",
                "WALLET_TRANSACTION",
                name="block_target",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("customer_id", INTEGER, nullable=True),
        sa.Column("organization_id", INTEGER, nullable=True),
        sa.Column("wallet_id", INTEGER, nullable=True),
        sa.Column("payment_id", INTEGER, nullable=True),
        sa.Column("wallet_transaction_id", INTEGER, nullable=True),
        sa.Column(
            "scope",
            sa.Enum("ALL", "DEBITS", name="block_scope", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column(
            "reason_code",
            sa.Enum(
                "SUSPECTED_FRAUD",
                "STOLEN_CARD",
                "TAKEN_OVER",
                "SANCTIONS",
                "AUTHORITY",
                "OWNER_ASKED",
                "WATCH_RULE",
                "OTHER",
                name="block_reason",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.String(length=300), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "ACTIVE", "LIFTED", "ENDED", name="block_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("is_by_rule", sa.Boolean(), nullable=False),
        sa.Column("blocked_by", sa.String(length=100), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=100), nullable=True),
        sa.Column("lift_reason", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("(status = 'ACTIVE') = (lifted_at IS NULL)", name=op.f("ck_block_lifted_or_in_force")),
        sa.CheckConstraint(
            "(target = 'CUSTOMER') = (customer_id IS NOT NULL)", name=op.f("ck_block_about_customer_id")
        ),
        sa.CheckConstraint(
            "(target = 'ORGANIZATION') = (organization_id IS NOT NULL)", name=op.f("ck_block_about_organization_id")
        ),
        sa.CheckConstraint("(target = 'PAYMENT') = (payment_id IS NOT NULL)", name=op.f("ck_block_about_payment_id")),
        sa.CheckConstraint("(target = 'WALLET') = (wallet_id IS NOT NULL)", name=op.f("ck_block_about_wallet_id")),
        sa.CheckConstraint(
            "(target = 'WALLET_TRANSACTION') = (wallet_transaction_id IS NOT NULL)",
            name=op.f("ck_block_about_wallet_transaction_id"),
        ),
        sa.CheckConstraint("scope = 'ALL' OR target = 'WALLET'", name=op.f("ck_block_scope_of_a_wallet")),
        sa.CheckConstraint("status <> 'ENDED' OR until IS NOT NULL", name=op.f("ck_block_ended_by_its_time")),
        sa.CheckConstraint("status <> 'LIFTED' OR lift_reason IS NOT NULL", name=op.f("ck_block_lifted_for_a_reason")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_block_customer_id")),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_block_organization_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_block_payment_id")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_block_wallet_id")),
        sa.ForeignKeyConstraint(
            ["wallet_transaction_id"], ["wallet_transaction.id"], name=op.f("fk_block_wallet_transaction_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block")),
    )
    op.create_index("ix_block_created_at_id", "block", ["created_at", "id"], unique=False)
    op.create_index("ix_block_customer_id_id", "block", ["customer_id", "id"], unique=False)
    op.create_index("ix_block_organization_id_id", "block", ["organization_id", "id"], unique=False)
    op.create_index("ix_block_payment_id_id", "block", ["payment_id", "id"], unique=False)
    op.create_index("ix_block_reason_code_created_at_id", "block", ["reason_code", "created_at", "id"], unique=False)
    op.create_index("ix_block_status_created_at_id", "block", ["status", "created_at", "id"], unique=False)
    op.create_index("ix_block_target_created_at_id", "block", ["target", "created_at", "id"], unique=False)
    op.create_index(
        "ix_block_until_active",
        "block",
        ["until"],
        unique=False,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_index("ix_block_wallet_id_id", "block", ["wallet_id", "id"], unique=False)
    op.create_index("ix_block_wallet_transaction_id_id", "block", ["wallet_transaction_id", "id"], unique=False)
    op.create_index(
        "uq_block_customer_id_scope_active",
        "block",
        ["customer_id", "scope"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_index(
        "uq_block_organization_id_scope_active",
        "block",
        ["organization_id", "scope"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_index(
        "uq_block_payment_id_scope_active",
        "block",
        ["payment_id", "scope"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_index(
        "uq_block_wallet_id_scope_active",
        "block",
        ["wallet_id", "scope"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_index(
        "uq_block_wallet_transaction_id_scope_active",
        "block",
        ["wallet_transaction_id", "scope"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_table(
        "watch_note",
        sa.Column("rule_id", INTEGER, nullable=False),
        sa.Column("version_id", INTEGER, nullable=False),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "OPEN", "HARMLESS", "ACTED", name="note_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=100), nullable=True),
        sa.Column("words", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("(status = 'OPEN') = (decided_at IS NULL)", name=op.f("ck_watch_note_decided_or_open")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_watch_note_customer_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_watch_note_payment_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["watch_rule.id"], name=op.f("fk_watch_note_rule_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_watch_note_unit")),
        sa.ForeignKeyConstraint(["version_id"], ["watch_version.id"], name=op.f("fk_watch_note_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_note")),
        sa.UniqueConstraint("rule_id", "payment_id", name=op.f("uq_watch_note_rule_id_payment_id")),
    )
    op.create_index("ix_watch_note_created_at_id", "watch_note", ["created_at", "id"], unique=False)
    op.create_index("ix_watch_note_customer_id_id", "watch_note", ["customer_id", "id"], unique=False)
    op.create_index("ix_watch_note_payment_id_id", "watch_note", ["payment_id", "id"], unique=False)
    op.create_index("ix_watch_note_rule_id_created_at_id", "watch_note", ["rule_id", "created_at", "id"], unique=False)
    op.create_index("ix_watch_note_status_created_at_id", "watch_note", ["status", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_watch_note_version_id"), "watch_note", ["version_id"], unique=False)
    op.create_table(
        "block_stop",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("block_id", INTEGER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("act", sa.String(length=80), nullable=False),
        sa.Column("actor_name", sa.String(length=100), nullable=False),
        sa.Column("sentence", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(["block_id"], ["block.id"], name=op.f("fk_block_stop_block_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block_stop")),
    )
    op.create_index("ix_block_stop_block_id_id", "block_stop", ["block_id", "id"], unique=False)
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
    for statement in BEFORE:
        op.execute(statement)


def downgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    for name in ("payment_watched", "payment_watched_again"):
        op.execute(f"DROP TRIGGER {name}{' ON payment' if is_postgres else ''}")
    if is_postgres:
        op.execute("DROP FUNCTION watch_payment()")
    op.drop_table("block_stop")
    op.drop_table("watch_note")
    op.drop_table("block")
    op.drop_table("watch_trial")
    op.drop_table("watch_version")
    op.drop_table("watch_day")
    op.drop_table("watch_rule")
    op.drop_table("watch_item")
