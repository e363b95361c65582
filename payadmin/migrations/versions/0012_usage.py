"""Keys of the API, what it answered, client services and their usage a day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column(
            "name", sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("organization_id", INTEGER, nullable=False),
        sa.Column(
            "prefix",
            sa.String(length=12).with_variant(sa.String(length=12, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column(
            "status",
            sa.Enum("ACTIVE", "REVOKED", name="api_key_status", native_enum=False, create_constraint=True, length=24),
            server_default="ACTIVE",
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_ip", sa.String(length=45), nullable=True),
        sa.Column("made_by", sa.String(length=100), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.String(length=100), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("(status = 'REVOKED') = (revoked_at IS NOT NULL)", name=op.f("ck_api_key_revoked_has_time")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_api_key_expires_later")),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_api_key_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )
    op.create_index("ix_api_key_created_at_id", "api_key", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_api_key_name"), "api_key", ["name"], unique=False)
    op.create_index(op.f("ix_api_key_organization_id"), "api_key", ["organization_id"], unique=False)
    op.create_index(op.f("ix_api_key_status"), "api_key", ["status"], unique=False)
    op.create_table(
        "client_service",
        sa.Column(
            "code", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "name",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("organization_id", INTEGER, nullable=False),
        sa.Column("issuer_id", INTEGER, nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "ACTIVE",
                "INACTIVE",
                "SUSPENDED",
                name="client_service_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["organization.id"], name=op.f("fk_client_service_issuer_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name=op.f("fk_client_service_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_service")),
        sa.UniqueConstraint("code", name=op.f("uq_client_service_code")),
    )
    op.create_index("ix_client_service_created_at_id", "client_service", ["created_at", "id"], unique=False)
    op.create_index("ix_client_service_issuer_id_status", "client_service", ["issuer_id", "status"], unique=False)
    op.create_index(op.f("ix_client_service_name"), "client_service", ["name"], unique=False)
    op.create_index(
        "ix_client_service_organization_id_status", "client_service", ["organization_id", "status"], unique=False
    )
    op.create_index(op.f("ix_client_service_status"), "client_service", ["status"], unique=False)
    op.create_table(
        "api_answer",
        sa.Column("api_key_id", INTEGER, nullable=False),
        sa.Column(
            "key", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("body", JSON, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_api_answer_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_answer")),
        sa.UniqueConstraint("api_key_id", "key", name=op.f("uq_api_answer_api_key_id_key")),
    )
    op.create_index("ix_api_answer_created_at", "api_answer", ["created_at"], unique=False)
    op.create_table(
        "usage_daily",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("client_service_id", INTEGER, nullable=False),
        sa.Column(
            "operation",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "source",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("operations", sa.BigInteger(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("operations BETWEEN 0 AND 1000000000000", name=op.f("ck_usage_daily_operations_in_range")),
        sa.ForeignKeyConstraint(
            ["client_service_id"], ["client_service.id"], name=op.f("fk_usage_daily_client_service_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_daily")),
        sa.UniqueConstraint(
            "client_service_id",
            "operation",
            "day",
            "source",
            name=op.f("uq_usage_daily_client_service_id_operation_day_source"),
        ),
    )
    op.create_index(
        "ix_usage_daily_client_service_id_day_id", "usage_daily", ["client_service_id", "day", "id"], unique=False
    )
    op.create_index("ix_usage_daily_day_id", "usage_daily", ["day", "id"], unique=False)
    op.create_index("ix_usage_daily_operation_day_id", "usage_daily", ["operation", "day", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("usage_daily")
    op.drop_table("api_answer")
    op.drop_table("client_service")
    op.drop_table("api_key")
