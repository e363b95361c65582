"""Who gave a customer the codeword; what a block stopped over and over; what could not be watched; since when a block keeps a payment file here."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The trail knows who gave those that are there.
GIVEN = "UPDATE customer SET codeword_by_id = (SELECT actor_id FROM audit_event WHERE event = 'support.codeword.set' AND entity = 'customer' AND entity_id = CAST(customer.id AS TEXT) ORDER BY audit_event.id DESC LIMIT 1) WHERE codeword_digest IS NOT NULL"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # it takes a key only together with a column
        key = "CONSTRAINT fk_customer_codeword_by_id REFERENCES staff_user (id)"
        op.execute(f"ALTER TABLE customer ADD COLUMN codeword_by_id INTEGER {key}")
    else:
        op.add_column("customer", sa.Column("codeword_by_id", INTEGER, nullable=True))
        op.create_foreign_key(op.f("fk_customer_codeword_by_id"), "customer", "staff_user", ["codeword_by_id"], ["id"])
    op.create_index(op.f("ix_customer_codeword_by_id"), "customer", ["codeword_by_id"], unique=False)
    op.execute(GIVEN)
    op.add_column("block_stop", sa.Column("slot", sa.String(length=128), nullable=True))
    op.add_column("block_stop", sa.Column("times", INTEGER, server_default="1", nullable=False))
    op.create_index("uq_block_stop_block_id_slot", "block_stop", ["block_id", "slot"], unique=True)
    op.add_column("watch_item", sa.Column("failures", INTEGER, server_default="0", nullable=False))
    op.add_column("watch_item", sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("watch_item", sa.Column("error", sa.String(length=300), nullable=True))
    op.create_index(
        "ix_watch_item_failed_at_id",
        "watch_item",
        ["failed_at", "id"],
        unique=False,
        sqlite_where=sa.text("failed_at IS NOT NULL"),
        postgresql_where=sa.text("failed_at IS NOT NULL"),
    )
    op.add_column("payment_file", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("payment_file", "held_at")
    op.drop_index("ix_watch_item_failed_at_id", table_name="watch_item")
    for column in ("error", "failed_at", "failures"):
        op.drop_column("watch_item", column)
    op.drop_index("uq_block_stop_block_id_slot", table_name="block_stop")
    op.drop_column("block_stop", "times")
    op.drop_column("block_stop", "slot")
    op.drop_index(op.f("ix_customer_codeword_by_id"), table_name="customer")
    op.drop_column("customer", "codeword_by_id")
