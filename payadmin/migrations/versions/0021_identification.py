"""Identification: documents of customers, looks at them, and links by which customers send them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "upload_link",
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "OPEN",
                "USED",
                "REVOKED",
                name="upload_link_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("asked_for", JSON, nullable=False),
        sa.Column("message", sa.String(length=500), nullable=True),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("nonce", sa.String(length=22), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("(status = 'USED') = (used_at IS NOT NULL)", name=op.f("ck_upload_link_used_has_time")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_upload_link_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_upload_link_token_hash")),
    )
    op.create_index("ix_upload_link_customer_id_id", "upload_link", ["customer_id", "id"], unique=False)
    op.create_index(
        "uq_upload_link_open",
        "upload_link",
        ["customer_id"],
        unique=True,
        sqlite_where=sa.text("status = 'OPEN'"),
        postgresql_where=sa.text("status = 'OPEN'"),
    )
    op.create_table(
        "identity_document",
        sa.Column("customer_id", INTEGER, nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "IDENTITY_CARD",
                "PASSPORT",
                "DRIVING_LICENCE",
                "PROOF_OF_ADDRESS",
                "REGISTRATION_EXTRACT",
                "OWNERS_DECLARATION",
                "OTHER",
                name="document_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "RECEIVED",
                "ACCEPTED",
                "REJECTED",
                "REPLACED",
                name="document_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column(
            "origin",
            sa.Enum("STAFF", "CUSTOMER", name="document_origin", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("brought_by", sa.String(length=100), nullable=False),
        sa.Column("upload_link_id", INTEGER, nullable=True),
        sa.Column("file_name", sa.String(length=80), nullable=False),
        sa.Column(
            "media",
            sa.Enum("PDF", "JPEG", "PNG", name="paper_type", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("pages", INTEGER, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=100), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_reason", sa.String(length=500), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(status IN ('REJECTED', 'REPLACED')) = (ended_at IS NOT NULL)",
            name=op.f("ck_identity_document_ended_has_time"),
        ),
        sa.CheckConstraint(
            "status <> 'REJECTED' OR reason IS NOT NULL", name=op.f("ck_identity_document_rejected_for_a_reason")
        ),
        sa.CheckConstraint(
            "(erased_at IS NULL) = (erased_reason IS NULL)", name=op.f("ck_identity_document_erased_for_a_reason")
        ),
        sa.CheckConstraint(
            "(file IS NULL) = (erased_at IS NOT NULL)", name=op.f("ck_identity_document_file_until_erased")
        ),
        sa.CheckConstraint("pages > 0", name=op.f("ck_identity_document_pages_positive")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_identity_document_size_positive")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_identity_document_customer_id")),
        sa.ForeignKeyConstraint(
            ["upload_link_id"], ["upload_link.id"], name=op.f("fk_identity_document_upload_link_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_document")),
        sa.UniqueConstraint("file", name=op.f("uq_identity_document_file")),
    )
    op.create_index("ix_identity_document_customer_id_id", "identity_document", ["customer_id", "id"], unique=False)
    op.create_index(
        "ix_identity_document_ended_at",
        "identity_document",
        ["ended_at"],
        unique=False,
        sqlite_where=sa.text("erased_at IS NULL"),
        postgresql_where=sa.text("erased_at IS NULL"),
    )
    op.create_index("ix_identity_document_upload_link_id", "identity_document", ["upload_link_id"], unique=False)
    op.create_index(
        "uq_identity_document_live",
        "identity_document",
        ["customer_id", "sha256"],
        unique=True,
        sqlite_where=sa.text("status IN ('RECEIVED', 'ACCEPTED') AND erased_at IS NULL"),
        postgresql_where=sa.text("status IN ('RECEIVED', 'ACCEPTED') AND erased_at IS NULL"),
    )
    op.create_table(
        "document_look",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("document_id", INTEGER, nullable=False),
        sa.Column("staff_id", INTEGER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["identity_document.id"], name=op.f("fk_document_look_document_id")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff_user.id"], name=op.f("fk_document_look_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_look")),
        sa.UniqueConstraint("document_id", "staff_id", name=op.f("uq_document_look_document_id_staff_id")),
    )
    op.create_index("ix_document_look_staff_id", "document_look", ["staff_id"], unique=False)
    op.add_column(
        "customer",
        sa.Column(
            "identification_since",
            sa.DateTime(timezone=True),
            server_default=sa.text("'1970-01-01 00:00:00'"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_customer_identification_identification_since_id",
        "customer",
        ["identification", "identification_since", "id"],
        unique=False,
    )
    op.create_index("ix_customer_identification_since_id", "customer", ["identification_since", "id"], unique=False)
    if op.get_bind().dialect.name == "sqlite":  # it takes a key only together with a column
        key = "CONSTRAINT fk_notification_upload_link_id REFERENCES upload_link (id)"
        op.execute(f"ALTER TABLE notification ADD COLUMN upload_link_id INTEGER {key}")
    else:
        op.add_column("notification", sa.Column("upload_link_id", INTEGER, nullable=True))
        op.create_foreign_key(
            op.f("fk_notification_upload_link_id"), "notification", "upload_link", ["upload_link_id"], ["id"]
        )
    op.create_index("ix_notification_upload_link_id", "notification", ["upload_link_id"], unique=False)
    # They have been unidentified for as long as they are known.
    op.execute("UPDATE customer SET identification_since = created_at")


def downgrade() -> None:
    op.drop_index("ix_notification_upload_link_id", table_name="notification")
    op.drop_column("notification", "upload_link_id")
    op.drop_index("ix_customer_identification_since_id", table_name="customer")
    op.drop_index("ix_customer_identification_identification_since_id", table_name="customer")
    op.drop_column("customer", "identification_since")
    op.drop_table("document_look")
    op.drop_table("identity_document")
    op.drop_table("upload_link")
