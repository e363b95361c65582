"""Texts that staff have written, and the language of each staff user."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "translation_override",
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("forms", JSON, nullable=True),
        sa.Column("serial", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_translation_override")),
        sa.UniqueConstraint("language", "digest", name=op.f("uq_translation_override_language_digest")),
        sa.UniqueConstraint("serial", name=op.f("uq_translation_override_serial")),
    )
    op.add_column("staff_user", sa.Column("language", sa.String(length=8), nullable=True))


def downgrade() -> None:
    op.drop_column("staff_user", "language")
    op.drop_table("translation_override")
