"""Products and their sales, and batches that pay out of a wallet."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# CHECKs of the table of batches: what they were, what they are.
KINDS = ("kind IN ('REGISTRATION', 'SINGLE_PAYMENT')", "kind IN ('REGISTRATION', 'SINGLE_PAYMENT', 'MASS_PAYMENT')")
UNLESS_WALLETS = {
    f"ck_batch_{column}_unless_wallets": f"(kind = 'MASS_PAYMENT') = ({column} IS NULL)"
    for column in ("method", "provider")
}
_ERRORLESS = "status NOT IN ('VALID', 'DONE') OR (errors IS NULL AND "
_NUMBER = "billing_number IS NOT NULL"
COMPLETE = (
    f"{_ERRORLESS}customer_id IS NOT NULL AND unit IS NOT NULL AND {_NUMBER} AND amount_minor IS NOT NULL)",
    f"{_ERRORLESS}unit IS NOT NULL AND amount_minor IS NOT NULL AND (payee_wallet_id IS NOT NULL OR customer_id IS NOT NULL AND {_NUMBER}))",
)
OF_ROWS = {
    "ck_batch_row_mass_payment_is_complete": "status NOT IN ('VALID', 'DONE') OR payee_wallet_id IS NULL"
    " OR (reference IS NOT NULL AND paid_minor IS NOT NULL)",
    "ck_batch_row_paid_with_commission": "paid_minor >= amount_minor",
    "ck_batch_row_paid_is_done": "payee_wallet_id IS NULL OR (status = 'DONE') = (transaction_id IS NOT NULL)",
}
# New columns of rows: their names, types for SQLite, and what they refer to.
COLUMNS = (
    ("reference", "VARCHAR(60)", sa.String(length=60), None),
    ("payee_wallet_id", "INTEGER", INTEGER, "wallet"),
    ("paid_minor", "BIGINT", sa.BigInteger(), None),
    ("transaction_id", "INTEGER", INTEGER, "wallet_transaction"),
)


def upgrade() -> None:
    _add_products()
    _widen_batches()
    _widen_rows()


def downgrade() -> None:
    rows = sa.select(sa.func.count()).select_from(sa.table("batch")).where(sa.column("kind") == "MASS_PAYMENT")
    if lost := op.get_bind().execute(rows).scalar_one():
        message = f"{lost} batches paid out of wallets, or may still: going back would lose what was paid"
        raise RuntimeError(message)
    _narrow_rows()
    _narrow_batches()
    op.drop_table("product_sale")
    op.drop_table("product")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


# ---- batches -------------------------------------------------------------------------------------------------------


def _widen_batches() -> None:
    before, after = KINDS
    if _is_sqlite():
        checks = "".join(f", CONSTRAINT {name} CHECK ({condition})" for name, condition in UNLESS_WALLETS.items())
        kind = "CONSTRAINT ck_batch_batch_kind CHECK "
        for column in ("method", "provider"):
            _edit_definition("batch", f"{column} VARCHAR(40) NOT NULL", f"{column} VARCHAR(40)")
        _edit_definition("batch", f"{kind}({before})", f"{kind}({after}){checks}")
        return
    op.alter_column("batch", "method", nullable=True)
    op.alter_column("batch", "provider", nullable=True)
    _check_again("batch", "ck_batch_batch_kind", after)
    for name, condition in UNLESS_WALLETS.items():
        op.create_check_constraint(op.f(name), "batch", condition)


def _narrow_batches() -> None:
    before, after = KINDS
    if _is_sqlite():
        checks = "".join(f", CONSTRAINT {name} CHECK ({condition})" for name, condition in UNLESS_WALLETS.items())
        kind = "CONSTRAINT ck_batch_batch_kind CHECK "
        _edit_definition("batch", f"{kind}({after}){checks}", f"{kind}({before})")
        for column in ("method", "provider"):
            _edit_definition("batch", f"{column} VARCHAR(40)", f"{column} VARCHAR(40) NOT NULL")
        return
    for name in UNLESS_WALLETS:
        op.drop_constraint(op.f(name), "batch", type_="check")
    _check_again("batch", "ck_batch_batch_kind", before)
    op.alter_column("batch", "method", nullable=False)
    op.alter_column("batch", "provider", nullable=False)


def _widen_rows() -> None:
    name = "ck_batch_row_valid_is_complete"
    checks = "".join(f" CONSTRAINT {name} CHECK ({condition})" for name, condition in OF_ROWS.items())
    for column, declared, kind, target in COLUMNS:
        if _is_sqlite():  # it takes keys and CHECKs only together with a column
            key = f" CONSTRAINT fk_batch_row_{column} REFERENCES {target} (id)" if target else ""
            more = checks if column == COLUMNS[-1][0] else ""
            op.execute(f"ALTER TABLE batch_row ADD COLUMN {column} {declared}{key}{more}")
            continue
        op.add_column("batch_row", sa.Column(column, kind, nullable=True))
        if target:
            op.create_foreign_key(op.f(f"fk_batch_row_{column}"), "batch_row", target, [column], ["id"])
    if _is_sqlite():
        _edit_definition(
            "batch_row", f"CONSTRAINT {name} CHECK ({COMPLETE[0]})", f"CONSTRAINT {name} CHECK ({COMPLETE[1]})"
        )
    else:
        _check_again("batch_row", name, COMPLETE[1])
        for each, condition in OF_ROWS.items():
            op.create_check_constraint(op.f(each), "batch_row", condition)
    op.create_index(op.f("ix_batch_row_payee_wallet_id"), "batch_row", ["payee_wallet_id"], unique=False)
    op.create_index("uq_batch_row_transaction_id", "batch_row", ["transaction_id"], unique=True)


def _narrow_rows() -> None:
    name = "ck_batch_row_valid_is_complete"
    op.drop_index("uq_batch_row_transaction_id", table_name="batch_row")
    op.drop_index(op.f("ix_batch_row_payee_wallet_id"), table_name="batch_row")
    if _is_sqlite():
        _edit_definition(
            "batch_row", f"CONSTRAINT {name} CHECK ({COMPLETE[1]})", f"CONSTRAINT {name} CHECK ({COMPLETE[0]})"
        )
    else:
        _check_again("batch_row", name, COMPLETE[0])
        for each in OF_ROWS:
            op.drop_constraint(op.f(each), "batch_row", type_="check")
    for column, *_rest in reversed(COLUMNS):
        if _is_sqlite():
            op.execute(f"ALTER TABLE batch_row DROP COLUMN {column}")
        else:
            op.drop_column("batch_row", column)


def _check_again(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(name), table, type_="check")
    op.create_check_constraint(op.f(name), table, condition)


def _edit_definition(table: str, old: str, new: str) -> None:
    """Change the text by which SQLite knows a table; RESET makes this connection read it again.

    Copying the table would need foreign keys switched off outside the transaction; what only becomes wider, and is
    asked of rows that all satisfy it, changes nothing in the file:
    https://www.sqlite.org/lang_altertable.html#otheralter
    """
    bind = op.get_bind()
    schema = bind.execute(sa.text("PRAGMA schema_version")).scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    changed = bind.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :old, :new)"
            " WHERE type = 'table' AND name = :table AND instr(sql, :old) > 0"
        ),
        {"table": table, "old": old, "new": new},
    )
    if changed.rowcount != 1:
        message = f"{table} is not defined as this migration expects: {old!r} is missing"
        raise RuntimeError(message)
    op.execute(f"PRAGMA schema_version = {schema + 1}")
    op.execute("PRAGMA writable_schema = RESET")


# ---- products ------------------------------------------------------------------------------------------------------


def _add_products() -> None:
    op.create_table(
        "product",
        sa.Column(
            "code", sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("provider_id", INTEGER, nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("ACTIVE", "INACTIVE", name="product_status", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("price_minor > 0", name=op.f("ck_product_price_positive")),
        sa.CheckConstraint("valid_to >= valid_from", name=op.f("ck_product_ends_after_it_began")),
        sa.ForeignKeyConstraint(["provider_id"], ["organization.id"], name=op.f("fk_product_provider_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_product_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("code", name=op.f("uq_product_code")),
    )
    op.create_index("ix_product_created_at_id", "product", ["created_at", "id"], unique=False)
    op.create_index("ix_product_name_id", "product", ["name", "id"], unique=False)
    op.create_index("ix_product_provider_id_id", "product", ["provider_id", "id"], unique=False)
    op.create_index(op.f("ix_product_status"), "product", ["status"], unique=False)
    op.create_index("ix_product_unit_price_minor_id", "product", ["unit", "price_minor", "id"], unique=False)
    op.create_table(
        "product_sale",
        sa.Column("product_id", INTEGER, nullable=False),
        sa.Column("wallet_id", INTEGER, nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.CheckConstraint("price_minor > 0", name=op.f("ck_product_sale_price_positive")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_product_sale_product_id")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["wallet_transaction.id"], name=op.f("fk_product_sale_transaction_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_product_sale_unit")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_product_sale_wallet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_sale")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_product_sale_transaction_id")),
    )
    op.create_index("ix_product_sale_created_at_id", "product_sale", ["created_at", "id"], unique=False)
    op.create_index("ix_product_sale_product_id_id", "product_sale", ["product_id", "id"], unique=False)
    op.create_index("ix_product_sale_unit_price_minor_id", "product_sale", ["unit", "price_minor", "id"], unique=False)
    op.create_index("ix_product_sale_wallet_id_id", "product_sale", ["wallet_id", "id"], unique=False)
