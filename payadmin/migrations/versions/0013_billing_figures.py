"""Billing numbers by week and month, and when subscriptions were inactivated."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NUMBER = sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")
BEFORE = ("mode", "unit", "status", "method", "channel", "type", "card_issuer", "failure_message")
AFTER = (*BEFORE, "billing_number")
MONEY = ("amount_minor", "captured_minor", "refunded_minor")
FUNCTIONS = ("note_added_payments", "note_changed_payment", "note_deleted_payment")
INACTIVATED = "inactivated_at IS NOT NULL"
NUMBERED = "billing_number IS NOT NULL"


def _triggers(noted: Sequence[str], dialect: str) -> tuple[str, ...]:
    """What writes the journal, with these columns of a payment."""
    into = f"INSERT INTO payment_change (at, {', '.join((*noted, 'count', *MONEY))})"

    def row(name: str, sign: str) -> str:
        facts = [f"{name}.{each}" for each in ("created_at", *noted)]
        return ", ".join([*facts, f"{sign}1", *(f"{sign}{name}.{each}" for each in MONEY)])

    differs = " OR ".join(
        f"OLD.{name} {'IS NOT' if dialect == 'sqlite' else 'IS DISTINCT FROM'} NEW.{name}"
        for name in ("created_at", *noted, *MONEY)
    )
    added, plus, minus = row("added", ""), row("NEW", ""), row("OLD", "-")
    if dialect == "sqlite":
        return (
            f"CREATE TRIGGER payment_added AFTER INSERT ON payment BEGIN {into} VALUES ({plus}); END",  # noqa: S608 - names of columns
            (
                f"CREATE TRIGGER payment_changed AFTER UPDATE ON payment WHEN {differs} BEGIN "
                f"{into} VALUES ({minus}), ({plus}); END"
            ),
            f"CREATE TRIGGER payment_deleted AFTER DELETE ON payment BEGIN {into} VALUES ({minus}); END",
        )
    returns = "RETURNS trigger LANGUAGE plpgsql AS"
    return (
        (
            f"CREATE FUNCTION note_added_payments() {returns} "  # noqa: S608 - names of columns
            f"$$ BEGIN {into} SELECT {added} FROM added; RETURN NULL; END $$"
        ),
        (
            "CREATE TRIGGER payment_added AFTER INSERT ON payment REFERENCING NEW TABLE AS added "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_added_payments()"
        ),
        (
            f"CREATE FUNCTION note_changed_payment() {returns} "
            f"$$ BEGIN {into} VALUES ({minus}), ({plus}); RETURN NULL; END $$"
        ),
        (
            f"CREATE TRIGGER payment_changed AFTER UPDATE ON payment FOR EACH ROW WHEN ({differs}) "
            "EXECUTE FUNCTION note_changed_payment()"
        ),
        f"CREATE FUNCTION note_deleted_payment() {returns} $$ BEGIN {into} VALUES ({minus}); RETURN NULL; END $$",
        "CREATE TRIGGER payment_deleted AFTER DELETE ON payment FOR EACH ROW EXECUTE FUNCTION note_deleted_payment()",
    )


def _note(noted: Sequence[str]) -> None:
    """Let changes of payments be noted with these columns."""
    dialect = op.get_bind().dialect.name
    is_sqlite = dialect == "sqlite"
    for name in ("payment_added", "payment_changed", "payment_deleted"):
        op.execute(f"DROP TRIGGER {name}{'' if is_sqlite else ' ON payment'}")
    for name in () if is_sqlite else FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    for statement in _triggers(noted, dialect):
        op.execute(statement)


def upgrade() -> None:
    op.create_table(
        "billing_period",
        sa.Column("mode", sa.String(length=24), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("period", sa.String(length=24), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("numbers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mode", "unit", "period", "first_day", name=op.f("pk_billing_period")),
    )
    op.add_column("payment_change", sa.Column("billing_number", NUMBER, nullable=True))
    op.create_index(
        "ix_payment_change_billing_number",
        "payment_change",
        ["billing_number"],
        unique=False,
        sqlite_where=sa.text(NUMBERED),
        postgresql_where=sa.text(NUMBERED),
    )
    op.create_index(
        "ix_payment_billing_number_created_at_id", "payment", ["billing_number", "created_at", "id"], unique=False
    )
    op.drop_index("ix_payment_billing_number_id", table_name="payment")
    op.add_column("subscription", sa.Column("inactivated_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_subscription_inactivated_at_id",
        "subscription",
        ["inactivated_at", "id"],
        unique=False,
        sqlite_where=sa.text(INACTIVATED),
        postgresql_where=sa.text(INACTIVATED),
    )
    # The trail knows when each was inactivated.
    op.execute(
        "UPDATE subscription SET inactivated_at = (SELECT max(audit_event.at) FROM audit_event "
        "WHERE audit_event.entity = 'subscription' AND audit_event.entity_id = CAST(subscription.id AS VARCHAR(64)) "
        "AND audit_event.event = 'subscriptions.subscription.inactivated' AND audit_event.outcome = 'done')"
    )
    _note(AFTER)
    # No week has been counted yet: the scheduler builds everything anew, and meanwhile the payments are counted.
    op.execute("UPDATE rollup_state SET zone = NULL, building = NULL, next_day = NULL, last_day = NULL")


def downgrade() -> None:
    _note(BEFORE)
    op.drop_index("ix_subscription_inactivated_at_id", table_name="subscription")
    op.drop_column("subscription", "inactivated_at")
    op.create_index("ix_payment_billing_number_id", "payment", ["billing_number", "id"], unique=False)
    op.drop_index("ix_payment_billing_number_created_at_id", table_name="payment")
    op.drop_index("ix_payment_change_billing_number", table_name="payment_change")
    op.drop_column("payment_change", "billing_number")
    op.drop_table("billing_period")
