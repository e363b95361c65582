"""Payments counted and summed by business day, kept by triggers."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.String(length=300).with_variant(sa.String(length=300, collation="C"), "postgresql")

TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER payment_added AFTER INSERT ON payment BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, count, amount_minor, captured_minor, refunded_minor) VALUES (NEW.created_at, NEW.mode, NEW.unit, NEW.status, NEW.method, NEW.channel, NEW.type, NEW.card_issuer, NEW.failure_message, 1, NEW.amount_minor, NEW.captured_minor, NEW.refunded_minor); END",
        "CREATE TRIGGER payment_changed AFTER UPDATE ON payment WHEN OLD.created_at IS NOT NEW.created_at OR OLD.mode IS NOT NEW.mode OR OLD.unit IS NOT NEW.unit OR OLD.status IS NOT NEW.status OR OLD.method IS NOT NEW.method OR OLD.channel IS NOT NEW.channel OR OLD.type IS NOT NEW.type OR OLD.card_issuer IS NOT NEW.card_issuer OR OLD.failure_message IS NOT NEW.failure_message OR OLD.amount_minor IS NOT NEW.amount_minor OR OLD.captured_minor IS NOT NEW.captured_minor OR OLD.refunded_minor IS NOT NEW.refunded_minor BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, count, amount_minor, captured_minor, refunded_minor) VALUES (OLD.created_at, OLD.mode, OLD.unit, OLD.status, OLD.method, OLD.channel, OLD.type, OLD.card_issuer, OLD.failure_message, -1, -OLD.amount_minor, -OLD.captured_minor, -OLD.refunded_minor), (NEW.created_at, NEW.mode, NEW.unit, NEW.status, NEW.method, NEW.channel, NEW.type, NEW.card_issuer, NEW.failure_message, 1, NEW.amount_minor, NEW.captured_minor, NEW.refunded_minor); END",
        "CREATE TRIGGER payment_deleted AFTER DELETE ON payment BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, count, amount_minor, captured_minor, refunded_minor) VALUES (OLD.created_at, OLD.mode, OLD.unit, OLD.status, OLD.method, OLD.channel, OLD.type, OLD.card_issuer, OLD.failure_message, -1, -OLD.amount_minor, -OLD.captured_minor, -OLD.refunded_minor); END",
    ),
    "postgresql": (
        "CREATE FUNCTION note_added_payments() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, count, amount_minor, captured_minor, refunded_minor) SELECT added.created_at, added.mode, added.unit, added.status, added.method, added.channel, added.type, added.card_issuer, added.failure_message, 1, added.amount_minor, added.captured_minor, added.refunded_minor FROM added; RETURN NULL; END $$",
        "CREATE TRIGGER payment_added AFTER INSERT ON payment REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_added_payments()",
        "CREATE FUNCTION note_changed_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, count, amount_minor, captured_minor, refunded_minor) VALUES (OLD.created_at, OLD.mode, OLD.unit, OLD.status, OLD.method, OLD.channel, OLD.type, OLD.card_issuer, OLD.failure_message, -1, -OLD.amount_minor, -OLD.captured_minor, -OLD.refunded_minor), (NEW.created_at, NEW.mode, NEW.unit, NEW.status, NEW.method, NEW.channel, NEW.type, NEW.card_issuer, NEW.failure_message, 1, NEW.amount_minor, NEW.captured_minor, NEW.refunded_minor); RETURN NULL; END $$",
        "CREATE TRIGGER payment_changed AFTER UPDATE ON payment FOR EACH ROW WHEN (OLD.created_at IS DISTINCT FROM NEW.created_at OR OLD.mode IS DISTINCT FROM NEW.mode OR OLD.unit IS DISTINCT FROM NEW.unit OR OLD.status IS DISTINCT FROM NEW.status OR OLD.method IS DISTINCT FROM NEW.method OR OLD.channel IS DISTINCT FROM NEW.channel OR OLD.type IS DISTINCT FROM NEW.type OR OLD.card_issuer IS DISTINCT FROM NEW.card_issuer OR OLD.failure_message IS DISTINCT FROM NEW.failure_message OR OLD.amount_minor IS DISTINCT FROM NEW.amount_minor OR OLD.captured_minor IS DISTINCT FROM NEW.captured_minor OR OLD.refunded_minor IS DISTINCT FROM NEW.refunded_minor) EXECUTE FUNCTION note_changed_payment()",
        "CREATE FUNCTION note_deleted_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO payment_change (at, mode, unit, status, method, channel, type, card_issuer, failure_message, count, amount_minor, captured_minor, refunded_minor) VALUES (OLD.created_at, OLD.mode, OLD.unit, OLD.status, OLD.method, OLD.channel, OLD.type, OLD.card_issuer, OLD.failure_message, -1, -OLD.amount_minor, -OLD.captured_minor, -OLD.refunded_minor); RETURN NULL; END $$",
        "CREATE TRIGGER payment_deleted AFTER DELETE ON payment FOR EACH ROW EXECUTE FUNCTION note_deleted_payment()",
    ),
}
FUNCTIONS = ("note_added_payments", "note_changed_payment", "note_deleted_payment")
FOUND_BY = ("card_issuer", "failure_message")


def upgrade() -> None:
    op.create_table(
        "payment_change",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mode", sa.String(length=24), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.String(length=24), nullable=False),
        sa.Column("type", sa.String(length=24), nullable=False),
        sa.Column("card_issuer", sa.String(length=120), nullable=True),
        sa.Column("failure_message", sa.String(length=300), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_change")),
    )
    op.create_table(
        "payment_day",
        sa.Column("mode", sa.String(length=24), nullable=False),
        sa.Column("slice", sa.String(length=24), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mode", "slice", "unit", "day", "status", "key", name=op.f("pk_payment_day")),
    )
    op.create_index("ix_payment_day_day", "payment_day", ["day"], unique=False)
    op.create_table(
        "rollup_state",
        sa.Column("id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=True),
        sa.Column("building", sa.String(length=64), nullable=True),
        sa.Column("next_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollup_state")),
    )
    for name in FOUND_BY:
        op.create_index(
            f"ix_payment_mode_{name}_created_at_id",
            "payment",
            ["mode", name, "created_at", "id"],
            unique=False,
            sqlite_where=sa.column(name).is_not(None),
            postgresql_where=sa.column(name).is_not(None),
        )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("payment_added", "payment_changed", "payment_deleted"):
        op.execute(f"DROP TRIGGER {name}{'' if is_sqlite else ' ON payment'}")
    for name in () if is_sqlite else FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    for name in FOUND_BY:
        op.drop_index(f"ix_payment_mode_{name}_created_at_id", table_name="payment")
    op.drop_table("rollup_state")
    op.drop_index("ix_payment_day_day", table_name="payment_day")
    op.drop_table("payment_day")
    op.drop_table("payment_change")
