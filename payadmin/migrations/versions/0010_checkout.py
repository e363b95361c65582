"""Checkout rules: provider methods, versions of the rules, replays and what they found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER checkout_ruleset_no_delete BEFORE DELETE ON checkout_ruleset WHEN 1 BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END",
        "CREATE TRIGGER checkout_ruleset_kept BEFORE UPDATE ON checkout_ruleset WHEN OLD.status = 'ARCHIVED' OR (OLD.status = 'ACTIVE' AND (NEW.status = 'DRAFT' OR NEW.note IS NOT OLD.note OR NEW.based_on_id IS NOT OLD.based_on_id OR NEW.author_id IS NOT OLD.author_id OR NEW.created_at IS NOT OLD.created_at OR NEW.digest IS NOT OLD.digest OR NEW.activated_at IS NOT OLD.activated_at OR NEW.activated_by IS NOT OLD.activated_by)) BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END",
        "CREATE TRIGGER checkout_rule_no_insert BEFORE INSERT ON checkout_rule WHEN (SELECT status FROM checkout_ruleset WHERE id = NEW.ruleset_id) <> 'DRAFT' BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END",
        "CREATE TRIGGER checkout_rule_no_update BEFORE UPDATE ON checkout_rule WHEN (SELECT status FROM checkout_ruleset WHERE id = OLD.ruleset_id) <> 'DRAFT' OR (SELECT status FROM checkout_ruleset WHERE id = NEW.ruleset_id) <> 'DRAFT' BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END",
        "CREATE TRIGGER checkout_rule_no_delete BEFORE DELETE ON checkout_rule WHEN (SELECT status FROM checkout_ruleset WHERE id = OLD.ruleset_id) <> 'DRAFT' BEGIN SELECT RAISE(ABORT, 'a version of the checkout rules that was active or archived is never changed'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION keep_checkout_ruleset() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP IN ('DELETE', 'TRUNCATE') THEN RAISE EXCEPTION 'a version of the checkout rules that was active or archived is never changed'; END IF; IF OLD.status = 'ARCHIVED' OR (OLD.status = 'ACTIVE' AND (NEW.status = 'DRAFT' OR NEW.note IS DISTINCT FROM OLD.note OR NEW.based_on_id IS DISTINCT FROM OLD.based_on_id OR NEW.author_id IS DISTINCT FROM OLD.author_id OR NEW.created_at IS DISTINCT FROM OLD.created_at OR NEW.digest IS DISTINCT FROM OLD.digest OR NEW.activated_at IS DISTINCT FROM OLD.activated_at OR NEW.activated_by IS DISTINCT FROM OLD.activated_by)) THEN RAISE EXCEPTION 'a version of the checkout rules that was active or archived is never changed'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER checkout_ruleset_kept BEFORE UPDATE OR DELETE ON checkout_ruleset FOR EACH ROW EXECUTE FUNCTION keep_checkout_ruleset()",
        "CREATE TRIGGER checkout_ruleset_not_truncated BEFORE TRUNCATE ON checkout_ruleset FOR EACH STATEMENT EXECUTE FUNCTION keep_checkout_ruleset()",
        "CREATE FUNCTION keep_checkout_rule() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE found text; BEGIN IF TG_OP = 'TRUNCATE' THEN RAISE EXCEPTION 'a version of the checkout rules that was active or archived is never changed'; END IF; IF TG_OP <> 'INSERT' THEN SELECT status INTO found FROM checkout_ruleset WHERE id = OLD.ruleset_id FOR SHARE; IF found <> 'DRAFT' THEN RAISE EXCEPTION 'a version of the checkout rules that was active or archived is never changed'; END IF; END IF; IF TG_OP <> 'DELETE' THEN SELECT status INTO found FROM checkout_ruleset WHERE id = NEW.ruleset_id FOR SHARE; IF found <> 'DRAFT' THEN RAISE EXCEPTION 'a version of the checkout rules that was active or archived is never changed'; END IF; RETURN NEW; END IF; RETURN OLD; END $$",
        "CREATE TRIGGER checkout_rule_kept BEFORE INSERT OR UPDATE OR DELETE ON checkout_rule FOR EACH ROW EXECUTE FUNCTION keep_checkout_rule()",
        "CREATE TRIGGER checkout_rule_not_truncated BEFORE TRUNCATE ON checkout_rule FOR EACH STATEMENT EXECUTE FUNCTION keep_checkout_rule()",
    ),
}


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    length = "json_array_length" if is_sqlite else "jsonb_array_length"
    op.create_table(
        "provider_method",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["method"], ["payment_method.code"], name=op.f("fk_provider_method_method")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_method")),
        sa.UniqueConstraint("provider", "method", name=op.f("uq_provider_method_provider_method")),
    )
    op.create_index("ix_provider_method_method_id", "provider_method", ["method", "id"], unique=False)
    op.create_table(
        "checkout_ruleset",
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "DRAFT",
                "ACTIVE",
                "ARCHIVED",
                name="ruleset_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("based_on_id", INTEGER, nullable=True),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_by", sa.String(length=100), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(status = 'ARCHIVED') = (archived_at IS NOT NULL)", name=op.f("ck_checkout_ruleset_archived_since")
        ),
        sa.CheckConstraint(
            "status <> 'ACTIVE' OR activated_at IS NOT NULL", name=op.f("ck_checkout_ruleset_active_since")
        ),
        sa.CheckConstraint(
            "status <> 'DRAFT' OR activated_at IS NULL", name=op.f("ck_checkout_ruleset_draft_was_never_active")
        ),
        sa.CheckConstraint(
            "(activated_at IS NULL) = (digest IS NULL)", name=op.f("ck_checkout_ruleset_activated_as_digest")
        ),
        sa.CheckConstraint("based_on_id <> id", name=op.f("ck_checkout_ruleset_not_based_on_itself")),
        sa.ForeignKeyConstraint(["author_id"], ["staff_user.id"], name=op.f("fk_checkout_ruleset_author_id")),
        sa.ForeignKeyConstraint(["based_on_id"], ["checkout_ruleset.id"], name=op.f("fk_checkout_ruleset_based_on_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkout_ruleset")),
    )
    op.create_index(op.f("ix_checkout_ruleset_author_id"), "checkout_ruleset", ["author_id"], unique=False)
    op.create_index(op.f("ix_checkout_ruleset_based_on_id"), "checkout_ruleset", ["based_on_id"], unique=False)
    op.create_index("ix_checkout_ruleset_created_at_id", "checkout_ruleset", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_checkout_ruleset_status_created_at_id", "checkout_ruleset", ["status", "created_at", "id"], unique=False
    )
    op.create_index(
        "uq_checkout_ruleset_active",
        "checkout_ruleset",
        ["status"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_table(
        "checkout_replay",
        sa.Column("ruleset_id", INTEGER, nullable=False),
        sa.Column("against_id", INTEGER, nullable=True),
        sa.Column("ruleset_version", INTEGER, nullable=False),
        sa.Column(
            "mode",
            sa.Enum("LIVE", "TEST", name="mode", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("days", INTEGER, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pairs", JSON, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "QUEUED",
                "RUNNING",
                "DONE",
                "CANCELLED",
                "FAILED",
                name="replay_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("rows_total", INTEGER, nullable=True),
        sa.Column("rows_done", INTEGER, nullable=False),
        sa.Column("changed", INTEGER, nullable=False),
        sa.Column("lost", INTEGER, nullable=False),
        sa.Column("moves", JSON, nullable=False),
        sa.Column("cursor_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cursor_id", INTEGER, nullable=False),
        sa.Column("requester_id", INTEGER, nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("days BETWEEN 1 AND 3660", name=op.f("ck_checkout_replay_days_in_range")),
        sa.CheckConstraint("lost BETWEEN 0 AND changed", name=op.f("ck_checkout_replay_lost_is_changed")),
        sa.CheckConstraint(
            "rows_done >= 0 AND changed BETWEEN 0 AND rows_done", name=op.f("ck_checkout_replay_counts_add_up")
        ),
        sa.ForeignKeyConstraint(["against_id"], ["checkout_ruleset.id"], name=op.f("fk_checkout_replay_against_id")),
        sa.ForeignKeyConstraint(["requester_id"], ["staff_user.id"], name=op.f("fk_checkout_replay_requester_id")),
        sa.ForeignKeyConstraint(["ruleset_id"], ["checkout_ruleset.id"], name=op.f("fk_checkout_replay_ruleset_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkout_replay")),
    )
    op.create_index(op.f("ix_checkout_replay_against_id"), "checkout_replay", ["against_id"], unique=False)
    op.create_index("ix_checkout_replay_created_at_id", "checkout_replay", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_checkout_replay_requester_id"), "checkout_replay", ["requester_id"], unique=False)
    op.create_index("ix_checkout_replay_ruleset_id_id", "checkout_replay", ["ruleset_id", "id"], unique=False)
    op.create_table(
        "checkout_rule",
        sa.Column("ruleset_id", INTEGER, nullable=False),
        sa.Column(
            "name", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("priority", INTEGER, nullable=True),
        sa.Column("conditions", JSON, nullable=False),
        sa.Column("methods", JSON, nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            f"(name = 'default') = ({length}(conditions) = 0)", name=op.f("ck_checkout_rule_only_default_has_none")
        ),
        sa.CheckConstraint("(name = 'default') = (priority IS NULL)", name=op.f("ck_checkout_rule_default_is_last")),
        sa.CheckConstraint("priority BETWEEN 1 AND 1999999", name=op.f("ck_checkout_rule_priority_in_range")),
        sa.ForeignKeyConstraint(["ruleset_id"], ["checkout_ruleset.id"], name=op.f("fk_checkout_rule_ruleset_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkout_rule")),
        sa.UniqueConstraint("ruleset_id", "name", name=op.f("uq_checkout_rule_ruleset_id_name")),
        sa.UniqueConstraint("ruleset_id", "priority", name=op.f("uq_checkout_rule_ruleset_id_priority")),
    )
    op.create_index("ix_checkout_rule_name_id", "checkout_rule", ["name", "id"], unique=False)
    op.create_table(
        "checkout_change",
        sa.Column("replay_id", INTEGER, nullable=False),
        sa.Column("payment_id", INTEGER, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("paid_by", sa.String(length=90), nullable=False),
        sa.Column("old_rule", sa.String(length=64), nullable=True),
        sa.Column("new_rule", sa.String(length=64), nullable=True),
        sa.Column("old_methods", JSON, nullable=False),
        sa.Column("new_methods", JSON, nullable=False),
        sa.Column("is_lost", sa.Boolean(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_checkout_change_payment_id")),
        sa.ForeignKeyConstraint(["replay_id"], ["checkout_replay.id"], name=op.f("fk_checkout_change_replay_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_checkout_change_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkout_change")),
        sa.UniqueConstraint("replay_id", "payment_id", name=op.f("uq_checkout_change_replay_id_payment_id")),
    )
    op.create_index(op.f("ix_checkout_change_payment_id"), "checkout_change", ["payment_id"], unique=False)
    op.create_index("ix_checkout_change_replay_id_id", "checkout_change", ["replay_id", "id"], unique=False)
    op.create_index(
        "ix_checkout_change_replay_id_is_lost_id", "checkout_change", ["replay_id", "is_lost", "id"], unique=False
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("checkout_change", "checkout_rule", "checkout_replay", "checkout_ruleset", "provider_method"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_checkout_rule()")
        op.execute("DROP FUNCTION keep_checkout_ruleset()")
