"""Approvals: the policy table, the requests that wait for a second person, and whose account is whose."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER approval_request_no_delete BEFORE DELETE ON approval_request WHEN 1 BEGIN SELECT RAISE(ABORT, 'an approval request is written once, decided once and never deleted'); END",
        "CREATE TRIGGER approval_request_written_once BEFORE UPDATE ON approval_request WHEN OLD.status <> 'PENDING' OR NEW.kind IS NOT OLD.kind OR NEW.title IS NOT OLD.title OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.unit IS NOT OLD.unit OR NEW.use_case IS NOT OLD.use_case OR NEW.payload IS NOT OLD.payload OR NEW.payload_hash IS NOT OLD.payload_hash OR NEW.effects IS NOT OLD.effects OR NEW.reasons IS NOT OLD.reasons OR NEW.reason IS NOT OLD.reason OR NEW.key IS NOT OLD.key OR NEW.target_table IS NOT OLD.target_table OR NEW.target_id IS NOT OLD.target_id OR NEW.target_version IS NOT OLD.target_version OR NEW.target_key IS NOT OLD.target_key OR NEW.seen IS NOT OLD.seen OR NEW.maker_id IS NOT OLD.maker_id OR NEW.maker_person_id IS NOT OLD.maker_person_id OR NEW.maker_name IS NOT OLD.maker_name OR NEW.expires_at IS NOT OLD.expires_at OR NEW.created_at IS NOT OLD.created_at BEGIN SELECT RAISE(ABORT, 'an approval request is written once, decided once and never deleted'); END",
        "CREATE TRIGGER approval_request_maker BEFORE INSERT ON approval_request WHEN NEW.maker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) BEGIN SELECT RAISE(ABORT, 'the person of an approval request is not the person of its account'); END",
        "CREATE TRIGGER approval_request_checker BEFORE UPDATE ON approval_request WHEN NEW.checker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.checker_id) BEGIN SELECT RAISE(ABORT, 'the person of an approval request is not the person of its account'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION keep_approval_request() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP IN ('DELETE', 'TRUNCATE') THEN RAISE EXCEPTION 'an approval request is written once, decided once and never deleted'; END IF; IF TG_OP = 'UPDATE' AND (OLD.status <> 'PENDING' OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.title IS DISTINCT FROM OLD.title OR NEW.amount_minor IS DISTINCT FROM OLD.amount_minor OR NEW.unit IS DISTINCT FROM OLD.unit OR NEW.use_case IS DISTINCT FROM OLD.use_case OR NEW.payload IS DISTINCT FROM OLD.payload OR NEW.payload_hash IS DISTINCT FROM OLD.payload_hash OR NEW.effects IS DISTINCT FROM OLD.effects OR NEW.reasons IS DISTINCT FROM OLD.reasons OR NEW.reason IS DISTINCT FROM OLD.reason OR NEW.key IS DISTINCT FROM OLD.key OR NEW.target_table IS DISTINCT FROM OLD.target_table OR NEW.target_id IS DISTINCT FROM OLD.target_id OR NEW.target_version IS DISTINCT FROM OLD.target_version OR NEW.target_key IS DISTINCT FROM OLD.target_key OR NEW.seen IS DISTINCT FROM OLD.seen OR NEW.maker_id IS DISTINCT FROM OLD.maker_id OR NEW.maker_person_id IS DISTINCT FROM OLD.maker_person_id OR NEW.maker_name IS DISTINCT FROM OLD.maker_name OR NEW.expires_at IS DISTINCT FROM OLD.expires_at OR NEW.created_at IS DISTINCT FROM OLD.created_at) THEN RAISE EXCEPTION 'an approval request is written once, decided once and never deleted'; END IF; IF NEW.maker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.maker_id) OR NEW.checker_person_id <> (SELECT coalesce(person_id, id) FROM staff_user WHERE id = NEW.checker_id) THEN RAISE EXCEPTION 'the person of an approval request is not the person of its account'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER approval_request_kept BEFORE INSERT OR UPDATE OR DELETE ON approval_request FOR EACH ROW EXECUTE FUNCTION keep_approval_request()",
        "CREATE TRIGGER approval_request_not_truncated BEFORE TRUNCATE ON approval_request FOR EACH STATEMENT EXECUTE FUNCTION keep_approval_request()",
    ),
}


def upgrade() -> None:
    _add_person()
    _add_tables()
    _add_key("action_item", "approval_id", "approval_request")
    op.create_index(op.f("ix_action_item_approval_id"), "action_item", ["approval_id"], unique=False)
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_index(op.f("ix_action_item_approval_id"), table_name="action_item")
    op.drop_column("action_item", "approval_id")
    op.drop_table("approval_request")
    op.drop_table("approval_policy")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_approval_request()")
    op.drop_index(op.f("ix_staff_user_person_id"), table_name="staff_user")
    op.drop_column("staff_user", "person_id")


def _add_person() -> None:
    """Add the column that says which accounts are one person's."""
    _add_key("staff_user", "person_id", "staff_user")
    op.create_index(op.f("ix_staff_user_person_id"), "staff_user", ["person_id"], unique=False)


def _add_key(table: str, column: str, target: str) -> None:
    """Add a column that refers to another table; SQLite takes its key only together with the column."""
    if op.get_bind().dialect.name == "sqlite":
        key = f"CONSTRAINT fk_{table}_{column} REFERENCES {target} (id)"
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER {key}")
        return
    op.add_column(table, sa.Column(column, INTEGER, nullable=True))
    op.create_foreign_key(op.f(f"fk_{table}_{column}"), table, target, [column], ["id"])


def _add_tables() -> None:
    op.create_table(
        "approval_policy",
        sa.Column(
            "rule", sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("unit", sa.String(length=12), nullable=True),
        sa.Column("threshold_minor", sa.BigInteger(), nullable=True),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("expires_hours", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(unit IS NULL) = (threshold_minor IS NULL)", name=op.f("ck_approval_policy_threshold_has_unit")
        ),
        sa.CheckConstraint("expires_hours BETWEEN 1 AND 720", name=op.f("ck_approval_policy_expiry_in_range")),
        sa.CheckConstraint("threshold_minor >= 0", name=op.f("ck_approval_policy_threshold_not_negative")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_approval_policy_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_policy")),
        sa.UniqueConstraint("rule", "unit", name=op.f("uq_approval_policy_rule_unit")),
    )
    op.create_index(
        "uq_approval_policy_rule_alone",
        "approval_policy",
        ["rule"],
        unique=True,
        sqlite_where=sa.text("unit IS NULL"),
        postgresql_where=sa.text("unit IS NULL"),
    )
    op.create_table(
        "approval_request",
        sa.Column(
            "kind", sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "PENDING",
                "APPLIED",
                "REJECTED",
                "CANCELLED",
                "EXPIRED",
                "STALE",
                "FAILED",
                name="approval_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("use_case", sa.String(length=80), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("payload_hash", sa.String(length=64), nullable=False),
        sa.Column("effects", JSON, nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("key", sa.String(length=120), nullable=True),
        sa.Column("target_table", sa.String(length=64), nullable=False),
        sa.Column("target_id", INTEGER, nullable=True),
        sa.Column("target_version", INTEGER, nullable=True),
        sa.Column("target_key", sa.String(length=160), nullable=False),
        sa.Column("seen", JSON, nullable=False),
        sa.Column("maker_id", INTEGER, nullable=False),
        sa.Column("maker_person_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "maker_name",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checker_id", INTEGER, nullable=True),
        sa.Column("checker_person_id", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=100), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("differences", JSON, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "status NOT IN ('APPLIED', 'REJECTED') OR checker_id IS NOT NULL",
            name=op.f("ck_approval_request_decided_by_somebody"),
        ),
        sa.CheckConstraint(
            "(checker_id IS NULL) = (checker_person_id IS NULL)", name=op.f("ck_approval_request_checker_has_person")
        ),
        sa.CheckConstraint(
            "(target_id IS NULL) = (target_version IS NULL)", name=op.f("ck_approval_request_target_has_version")
        ),
        sa.CheckConstraint("(unit IS NULL) = (amount_minor IS NULL)", name=op.f("ck_approval_request_amount_has_unit")),
        sa.CheckConstraint(
            "checker_person_id <> maker_person_id", name=op.f("ck_approval_request_checker_is_another_person")
        ),
        sa.ForeignKeyConstraint(["checker_id"], ["staff_user.id"], name=op.f("fk_approval_request_checker_id")),
        sa.ForeignKeyConstraint(["maker_id"], ["staff_user.id"], name=op.f("fk_approval_request_maker_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_approval_request_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_request")),
        sa.UniqueConstraint("key", name=op.f("uq_approval_request_key")),
    )
    op.create_index("ix_approval_request_checker_id_id", "approval_request", ["checker_id", "id"], unique=False)
    op.create_index("ix_approval_request_created_at_id", "approval_request", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_approval_request_kind_created_at_id", "approval_request", ["kind", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_approval_request_maker_id_created_at_id", "approval_request", ["maker_id", "created_at", "id"], unique=False
    )
    op.create_index("ix_approval_request_maker_name_id", "approval_request", ["maker_name", "id"], unique=False)
    op.create_index(
        "ix_approval_request_status_created_at_id", "approval_request", ["status", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_approval_request_target_table_target_id_id",
        "approval_request",
        ["target_table", "target_id", "id"],
        unique=False,
    )
    op.create_index(
        "ix_approval_request_unit_amount_minor_id", "approval_request", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_index(
        "uq_approval_request_waiting",
        "approval_request",
        ["kind", "target_key"],
        unique=True,
        sqlite_where=sa.text("status = 'PENDING'"),
        postgresql_where=sa.text("status = 'PENDING'"),
    )
