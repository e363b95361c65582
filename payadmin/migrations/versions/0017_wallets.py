"""Wallets over their accounts, what moves between them, and applications of what is over a limit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "wallet",
        sa.Column(
            "number",
            sa.String(length=24).with_variant(sa.String(length=24, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("organization_id", INTEGER, nullable=True),
        sa.Column("customer_id", INTEGER, nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "OPEN", "BLOCKED", "CLOSED", name="wallet_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("(organization_id IS NULL) <> (customer_id IS NULL)", name=op.f("ck_wallet_one_owner")),
        sa.ForeignKeyConstraint(
            ["account_id", "unit"], ["ledger_account.id", "ledger_account.unit"], name="fk_wallet_account_id"
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_wallet_customer_id")),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_wallet_organization_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_wallet_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallet")),
        sa.UniqueConstraint("account_id", name=op.f("uq_wallet_account_id")),
        sa.UniqueConstraint("number", name=op.f("uq_wallet_number")),
    )
    op.create_index("ix_wallet_created_at_id", "wallet", ["created_at", "id"], unique=False)
    op.create_index("ix_wallet_status_id", "wallet", ["status", "id"], unique=False)
    op.create_index("ix_wallet_unit_id", "wallet", ["unit", "id"], unique=False)
    op.create_index("uq_wallet_customer_id_unit", "wallet", ["customer_id", "unit"], unique=True)
    op.create_index("uq_wallet_organization_id_unit", "wallet", ["organization_id", "unit"], unique=True)
    _open_wallets()
    op.create_table(
        "wallet_transaction",
        sa.Column(
            "key",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "TRANSFER",
                "EXCHANGE",
                "MASS_PAYMENT",
                "SALE",
                "BONUS_ISSUE",
                "BONUS_REDEEM",
                "ADJUSTMENT",
                name="wallet_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("from_wallet_id", INTEGER, nullable=True),
        sa.Column("to_wallet_id", INTEGER, nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("commission_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("to_unit", sa.String(length=12), nullable=False),
        sa.Column("received_minor", sa.BigInteger(), nullable=False),
        sa.Column("spread_minor", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.String(length=40), nullable=True),
        sa.Column("rate_ids", JSON, nullable=True),
        sa.Column("contract_version_id", INTEGER, nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "HELD",
                "EXECUTED",
                "RELEASED",
                "REVERSED",
                name="move_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(kind = 'EXCHANGE') = (unit <> to_unit)", name=op.f("ck_wallet_transaction_units_exchanged")
        ),
        sa.CheckConstraint(
            "status <> 'HELD' OR from_wallet_id IS NOT NULL", name=op.f("ck_wallet_transaction_held_of_a_wallet")
        ),
        sa.CheckConstraint(
            "kind IN ('ADJUSTMENT', 'BONUS_ISSUE', 'BONUS_REDEEM') OR (from_wallet_id IS NOT NULL AND to_wallet_id IS NOT NULL)",
            name=op.f("ck_wallet_transaction_both_wallets"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_wallet_transaction_amount_positive")),
        sa.CheckConstraint("commission_minor >= 0", name=op.f("ck_wallet_transaction_commission_not_negative")),
        sa.CheckConstraint("from_wallet_id <> to_wallet_id", name=op.f("ck_wallet_transaction_two_wallets")),
        sa.CheckConstraint(
            "from_wallet_id IS NOT NULL OR to_wallet_id IS NOT NULL", name=op.f("ck_wallet_transaction_of_a_wallet")
        ),
        sa.CheckConstraint("paid_minor > 0", name=op.f("ck_wallet_transaction_paid_positive")),
        sa.CheckConstraint("received_minor > 0", name=op.f("ck_wallet_transaction_received_positive")),
        sa.CheckConstraint("spread_minor >= 0", name=op.f("ck_wallet_transaction_spread_not_negative")),
        sa.CheckConstraint(
            "unit <> to_unit OR (paid_minor = received_minor + commission_minor AND spread_minor = 0 AND rate IS NULL)",
            name=op.f("ck_wallet_transaction_nothing_lost"),
        ),
        sa.ForeignKeyConstraint(["author_id"], ["staff_user.id"], name=op.f("fk_wallet_transaction_author_id")),
        sa.ForeignKeyConstraint(
            ["contract_version_id"], ["contract_version.id"], name=op.f("fk_wallet_transaction_contract_version_id")
        ),
        sa.ForeignKeyConstraint(["from_wallet_id"], ["wallet.id"], name=op.f("fk_wallet_transaction_from_wallet_id")),
        sa.ForeignKeyConstraint(["to_unit"], ["unit.code"], name=op.f("fk_wallet_transaction_to_unit")),
        sa.ForeignKeyConstraint(["to_wallet_id"], ["wallet.id"], name=op.f("fk_wallet_transaction_to_wallet_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_wallet_transaction_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallet_transaction")),
        sa.UniqueConstraint("key", name=op.f("uq_wallet_transaction_key")),
    )
    op.create_index(op.f("ix_wallet_transaction_author_id"), "wallet_transaction", ["author_id"], unique=False)
    op.create_index(
        op.f("ix_wallet_transaction_contract_version_id"), "wallet_transaction", ["contract_version_id"], unique=False
    )
    op.create_index(
        "ix_wallet_transaction_counted", "wallet_transaction", ["from_wallet_id", "kind", "day"], unique=False
    )
    op.create_index("ix_wallet_transaction_created_at_id", "wallet_transaction", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_wallet_transaction_from_wallet_id_id", "wallet_transaction", ["from_wallet_id", "id"], unique=False
    )
    op.create_index("ix_wallet_transaction_kind_id", "wallet_transaction", ["kind", "id"], unique=False)
    op.create_index("ix_wallet_transaction_status_id", "wallet_transaction", ["status", "id"], unique=False)
    op.create_index(op.f("ix_wallet_transaction_to_unit"), "wallet_transaction", ["to_unit"], unique=False)
    op.create_index("ix_wallet_transaction_to_wallet_id_id", "wallet_transaction", ["to_wallet_id", "id"], unique=False)
    op.create_index(
        "ix_wallet_transaction_unit_amount_minor_id", "wallet_transaction", ["unit", "amount_minor", "id"], unique=False
    )
    op.create_table(
        "limit_application",
        sa.Column("transaction_id", INTEGER, nullable=False),
        sa.Column(
            "rule",
            sa.Enum("SINGLE", "DAY", "MONTH", name="limit_rule", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("counted_minor", sa.BigInteger(), nullable=False),
        sa.Column("actual_minor", sa.BigInteger(), nullable=False),
        sa.Column("excess_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "PENDING",
                "APPROVED",
                "EXECUTED",
                "EXECUTION_FAILED",
                "REJECTED",
                "EXPIRED",
                "WITHDRAWN",
                name="application_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=100), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("failure", sa.String(length=300), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint(
            "(decided_at IS NULL) = (status = 'PENDING')", name=op.f("ck_limit_application_decided_or_waiting")
        ),
        sa.CheckConstraint(
            "actual_minor = limit_minor + excess_minor", name=op.f("ck_limit_application_actual_is_over")
        ),
        sa.CheckConstraint("counted_minor >= 0", name=op.f("ck_limit_application_counted_not_negative")),
        sa.CheckConstraint("excess_minor > 0", name=op.f("ck_limit_application_excess_positive")),
        sa.CheckConstraint("limit_minor > 0", name=op.f("ck_limit_application_limit_positive")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["wallet_transaction.id"], name=op.f("fk_limit_application_transaction_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_limit_application_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_application")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_limit_application_transaction_id")),
    )
    op.create_index("ix_limit_application_created_at_id", "limit_application", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_limit_application_status_expires_at", "limit_application", ["status", "expires_at"], unique=False
    )
    op.create_index(op.f("ix_limit_application_unit"), "limit_application", ["unit"], unique=False)


def _open_wallets() -> None:
    """Every account that payments have posted to is a wallet of its owner."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number = "printf('W-%06d', a.id)" if is_sqlite else "'W-' || lpad(a.id::text, greatest(6, length(a.id::text)), '0')"
    for table in ("organization", "customer"):
        ids = ("o.id, NULL", "NULL, o.id")[table == "customer"]
        op.execute(
            "INSERT INTO wallet (number, organization_id, customer_id, unit, account_id, status,"  # noqa: S608 - constants
            " created_at, updated_at, version)"
            f" SELECT {number}, {ids}, a.unit, a.id, 'OPEN', a.created_at, a.created_at, 1"
            f" FROM ledger_account a JOIN {table} o ON a.owner = '{table}:' || o.id"
            " WHERE a.number = '2010' ORDER BY a.id"
        )


def downgrade() -> None:
    for table in ("limit_application", "wallet_transaction", "wallet"):
        op.drop_table(table)
