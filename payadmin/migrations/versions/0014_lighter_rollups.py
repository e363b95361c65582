"""Note payments row by row, and find days by the key of the rollups alone."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NOTED = (
    "mode", "unit", "status", "method", "channel", "type", "card_issuer", "failure_message", "billing_number",
)  # fmt: skip
MONEY = ("amount_minor", "captured_minor", "refunded_minor")
INTO = f"INSERT INTO payment_change (at, {', '.join((*NOTED, 'count', *MONEY))})"


def _row(name: str) -> str:
    return ", ".join([*(f"{name}.{each}" for each in ("created_at", *NOTED)), "1", *(f"{name}.{m}" for m in MONEY)])


def upgrade() -> None:
    # Planners that took it read every mode, unit and slice of the days.
    op.drop_index("ix_payment_day_day", table_name="payment_day")
    if op.get_bind().dialect.name == "sqlite":
        return
    # A table of what a statement inserted costs a single payment more than a call costs each of many.
    op.execute("DROP TRIGGER payment_added ON payment")
    op.execute("DROP FUNCTION note_added_payments()")
    op.execute(
        "CREATE FUNCTION note_added_payment() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {INTO} VALUES ({_row('NEW')}); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER payment_added AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION note_added_payment()"
    )


def downgrade() -> None:
    op.create_index("ix_payment_day_day", "payment_day", ["day"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute("DROP TRIGGER payment_added ON payment")
    op.execute("DROP FUNCTION note_added_payment()")
    op.execute(
        "CREATE FUNCTION note_added_payments() RETURNS trigger LANGUAGE plpgsql AS "  # noqa: S608 - names of columns
        f"$$ BEGIN {INTO} SELECT {_row('added')} FROM added; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER payment_added AFTER INSERT ON payment REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_added_payments()"
    )
