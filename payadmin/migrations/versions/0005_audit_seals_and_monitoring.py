"""Seals, signatures and keys of the audit trail; samples, requests and backups of Monitoring."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

APPEND_ONLY = ("audit_key", "audit_seal")
KEYS = {
    "sqlite": (
        (
            "CREATE TRIGGER audit_event_fill_keys AFTER INSERT ON audit_event WHEN NEW.keys IS NOT NULL "
            "BEGIN INSERT OR IGNORE INTO audit_key (value, event_id, name) "
            "SELECT CAST(k.value AS TEXT), NEW.id, k.key FROM json_each(NEW.keys) AS k "
            "WHERE k.type IN ('text', 'integer') AND length(k.value) BETWEEN 1 AND 100 AND length(k.key) <= 64; END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION fill_audit_keys() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO audit_key (value, event_id, name) "
            "SELECT k.value #>> '{}', NEW.id, k.name FROM jsonb_each(NEW.keys) AS k (name, value) "
            "WHERE jsonb_typeof(k.value) IN ('string', 'number') AND length(k.value #>> '{}') BETWEEN 1 AND 100 "
            "AND length(k.name) <= 64 ON CONFLICT DO NOTHING; RETURN NULL; END $$"
        ),
        (
            "CREATE TRIGGER audit_event_fill_keys AFTER INSERT ON audit_event "
            "FOR EACH ROW WHEN (NEW.keys IS NOT NULL) EXECUTE FUNCTION fill_audit_keys()"
        ),
    ),
}
# The acts that are there already.
FILL = {
    "sqlite": (
        "INSERT INTO audit_key (value, event_id, name) SELECT CAST(k.value AS TEXT), e.id, k.key "
        "FROM audit_event AS e, json_each(e.keys) AS k WHERE e.keys IS NOT NULL AND k.type IN ('text', 'integer') "
        "AND length(k.value) BETWEEN 1 AND 100 AND length(k.key) <= 64"
    ),
    "postgresql": (
        "INSERT INTO audit_key (value, event_id, name) SELECT k.value #>> '{}', e.id, k.name "
        "FROM audit_event AS e CROSS JOIN LATERAL jsonb_each(e.keys) AS k (name, value) "
        "WHERE jsonb_typeof(e.keys) = 'object' AND jsonb_typeof(k.value) IN ('string', 'number') "
        "AND length(k.value #>> '{}') BETWEEN 1 AND 100 AND length(k.name) <= 64"
    ),
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    _add_trail()
    _add_monitoring()
    op.execute(FILL[dialect])
    for table in APPEND_ONLY:
        for statement in append_only(table)[dialect]:
            op.execute(statement)
    for statement in KEYS[dialect]:
        op.execute(statement)


def append_only(table: str) -> dict[str, tuple[str, ...]]:
    sqlite = tuple(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        for verb in ("update", "delete")
    )
    return {
        "sqlite": sqlite,
        "postgresql": (
            (
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            ),
        ),
    }


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_event_fill_keys")
    else:
        op.execute("DROP TRIGGER audit_event_fill_keys ON audit_event")
        op.execute("DROP FUNCTION fill_audit_keys()")
    op.drop_index(
        "ix_audit_event_not_done",
        table_name="audit_event",
        sqlite_where=sa.text("outcome <> 'done'"),
        postgresql_where=sa.text("outcome <> 'done'"),
    )
    op.drop_index("ix_audit_event_event_at_id", table_name="audit_event")
    op.drop_index(
        "ix_audit_event_by_people",
        table_name="audit_event",
        sqlite_where=sa.text("actor_id IS NOT NULL"),
        postgresql_where=sa.text("actor_id IS NOT NULL"),
    )
    op.drop_index("ix_audit_event_actor_name_at_id", table_name="audit_event")
    op.create_index(op.f("ix_audit_event_event_id"), "audit_event", ["event", "id"], unique=False)
    op.create_index(op.f("ix_audit_event_actor_name_id"), "audit_event", ["actor_name", "id"], unique=False)
    op.execute("ALTER TABLE audit_event DROP COLUMN signature")
    op.drop_table("web_minute")
    op.drop_index("ix_monitor_sample_at_id", table_name="monitor_sample")
    op.drop_table("monitor_sample")
    op.drop_index("ix_backup_at_id", table_name="backup")
    op.drop_table("backup")
    op.drop_index("ix_audit_seal_last_id", table_name="audit_seal")
    op.drop_index(
        "ix_audit_seal_late",
        table_name="audit_seal",
        sqlite_where=sa.text("late IS NOT NULL"),
        postgresql_where=sa.text("late IS NOT NULL"),
    )
    op.drop_table("audit_seal")
    op.drop_table("audit_key")
    op.drop_table("audit_check")


def _add_trail() -> None:
    op.create_table(
        "audit_check",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("seal_id", INTEGER, nullable=False),
        sa.Column("seal_mac", sa.String(length=64), nullable=False),
        sa.Column("last_id", INTEGER, nullable=False),
        sa.Column("events", INTEGER, nullable=False),
        sa.Column("unsealed", INTEGER, nullable=False),
        sa.Column("adopted", INTEGER, nullable=False),
        sa.Column("broken", INTEGER, nullable=False),
        sa.Column("breaks", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_check")),
    )
    op.create_table(
        "audit_key",
        sa.Column(
            "value",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("event_id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("value", "event_id", "name", name=op.f("pk_audit_key")),
    )
    op.create_table(
        "audit_seal",
        sa.Column("id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_id", INTEGER, nullable=False),
        sa.Column("last_id", INTEGER, nullable=False),
        sa.Column("count", INTEGER, nullable=False),
        sa.Column("late", JSON, nullable=True),
        sa.Column("missing", JSON, nullable=True),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_seal")),
    )
    op.create_index("ix_audit_seal_last_id", "audit_seal", ["last_id"], unique=False)
    op.create_index(
        "ix_audit_seal_late",
        "audit_seal",
        ["id"],
        unique=False,
        sqlite_where=sa.text("late IS NOT NULL"),
        postgresql_where=sa.text("late IS NOT NULL"),
    )
    # Added where it is: SQLite would copy the table, and its triggers refuse that.
    op.execute("ALTER TABLE audit_event ADD COLUMN signature VARCHAR(64)")
    op.drop_index(op.f("ix_audit_event_actor_name_id"), table_name="audit_event")
    op.drop_index(op.f("ix_audit_event_event_id"), table_name="audit_event")
    op.create_index("ix_audit_event_actor_name_at_id", "audit_event", ["actor_name", "at", "id"], unique=False)
    op.create_index(
        "ix_audit_event_by_people",
        "audit_event",
        ["at", "id"],
        unique=False,
        sqlite_where=sa.text("actor_id IS NOT NULL"),
        postgresql_where=sa.text("actor_id IS NOT NULL"),
    )
    op.create_index("ix_audit_event_event_at_id", "audit_event", ["event", "at", "id"], unique=False)
    op.create_index(
        "ix_audit_event_not_done",
        "audit_event",
        ["at", "id"],
        unique=False,
        sqlite_where=sa.text("outcome <> 'done'"),
        postgresql_where=sa.text("outcome <> 'done'"),
    )


def _add_monitoring() -> None:
    op.create_table(
        "backup",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("host", sa.String(length=60), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size", INTEGER, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("seconds", INTEGER, nullable=False),
        sa.Column("head", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup")),
    )
    op.create_index("ix_backup_at_id", "backup", ["at", "id"], unique=False)
    op.create_table(
        "monitor_sample",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("host", sa.String(length=60), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cpu", INTEGER, nullable=False),
        sa.Column("memory", INTEGER, nullable=False),
        sa.Column("disk", INTEGER, nullable=False),
        sa.Column("load", INTEGER, nullable=False),
        sa.Column("database_bytes", INTEGER, nullable=False),
        sa.Column("connections", INTEGER, nullable=False),
        sa.Column("waiting", INTEGER, nullable=False),
        sa.Column("overdue_seconds", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_sample")),
        sa.UniqueConstraint("host", "at", name=op.f("uq_monitor_sample_host_at")),
    )
    op.create_index("ix_monitor_sample_at_id", "monitor_sample", ["at", "id"], unique=False)
    op.create_table(
        "web_minute",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requests", INTEGER, nullable=False),
        sa.Column("errors", INTEGER, nullable=False),
        sa.Column("milliseconds", INTEGER, nullable=False),
        sa.Column("slowest", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_web_minute")),
    )
