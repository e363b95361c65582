"""Tariffs: contracts, versions, terms, cashback profiles, rates, what payments cost by them; units are retired."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER contract_version_no_update BEFORE UPDATE ON contract_version WHEN OLD.withdrawn_at IS NOT NULL OR NEW.contract_id IS NOT OLD.contract_id OR NEW.number IS NOT OLD.number OR NEW.valid_from IS NOT OLD.valid_from OR NEW.note IS NOT OLD.note OR NEW.author_id IS NOT OLD.author_id OR NEW.approved_by IS NOT OLD.approved_by OR NEW.created_at IS NOT OLD.created_at BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_version is only added to'); END",
        "CREATE TRIGGER contract_version_no_delete BEFORE DELETE ON contract_version WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_version is only added to'); END",
        "CREATE TRIGGER contract_term_no_update BEFORE UPDATE ON contract_term WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_term is only added to'); END",
        "CREATE TRIGGER contract_term_no_delete BEFORE DELETE ON contract_term WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: contract_term is only added to'); END",
        "CREATE TRIGGER exchange_rate_no_update BEFORE UPDATE ON exchange_rate WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: exchange_rate is only added to'); END",
        "CREATE TRIGGER exchange_rate_no_delete BEFORE DELETE ON exchange_rate WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: exchange_rate is only added to'); END",
        "CREATE TRIGGER payment_tariff_no_update BEFORE UPDATE ON payment_tariff WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: payment_tariff is only added to'); END",
        "CREATE TRIGGER payment_tariff_no_delete BEFORE DELETE ON payment_tariff WHEN 1 BEGIN SELECT RAISE(ABORT, 'what was in force is never changed: payment_tariff is only added to'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION keep_contract_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'UPDATE' THEN IF NOT (OLD.withdrawn_at IS NOT NULL OR NEW.contract_id IS DISTINCT FROM OLD.contract_id OR NEW.number IS DISTINCT FROM OLD.number OR NEW.valid_from IS DISTINCT FROM OLD.valid_from OR NEW.note IS DISTINCT FROM OLD.note OR NEW.author_id IS DISTINCT FROM OLD.author_id OR NEW.approved_by IS DISTINCT FROM OLD.approved_by OR NEW.created_at IS DISTINCT FROM OLD.created_at) THEN RETURN NEW; END IF; END IF; RAISE EXCEPTION 'what was in force is never changed: contract_version is only added to'; END $$",
        "CREATE TRIGGER contract_version_kept BEFORE UPDATE OR DELETE ON contract_version FOR EACH ROW EXECUTE FUNCTION keep_contract_version()",
        "CREATE TRIGGER contract_version_not_truncated BEFORE TRUNCATE ON contract_version FOR EACH STATEMENT EXECUTE FUNCTION keep_contract_version()",
        "CREATE FUNCTION keep_contract_term() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'what was in force is never changed: contract_term is only added to'; END $$",
        "CREATE TRIGGER contract_term_kept BEFORE UPDATE OR DELETE ON contract_term FOR EACH ROW EXECUTE FUNCTION keep_contract_term()",
        "CREATE TRIGGER contract_term_not_truncated BEFORE TRUNCATE ON contract_term FOR EACH STATEMENT EXECUTE FUNCTION keep_contract_term()",
        "CREATE FUNCTION keep_exchange_rate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'what was in force is never changed: exchange_rate is only added to'; END $$",
        "CREATE TRIGGER exchange_rate_kept BEFORE UPDATE OR DELETE ON exchange_rate FOR EACH ROW EXECUTE FUNCTION keep_exchange_rate()",
        "CREATE TRIGGER exchange_rate_not_truncated BEFORE TRUNCATE ON exchange_rate FOR EACH STATEMENT EXECUTE FUNCTION keep_exchange_rate()",
        "CREATE FUNCTION keep_payment_tariff() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'what was in force is never changed: payment_tariff is only added to'; END $$",
        "CREATE TRIGGER payment_tariff_kept BEFORE UPDATE OR DELETE ON payment_tariff FOR EACH ROW EXECUTE FUNCTION keep_payment_tariff()",
        "CREATE TRIGGER payment_tariff_not_truncated BEFORE TRUNCATE ON payment_tariff FOR EACH STATEMENT EXECUTE FUNCTION keep_payment_tariff()",
    ),
}
LINKS = (("contract_id", "contract"), ("cashback_profile_id", "cashback_profile"))


def _row() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", INTEGER, nullable=False),
    )


def _text(length: int) -> sa.String:
    return sa.String(length=length).with_variant(sa.String(length=length, collation="C"), "postgresql")


def _enum(name: str, *members: str) -> sa.Enum:
    return sa.Enum(*members, name=name, native_enum=False, create_constraint=True, length=24)


def upgrade() -> None:
    _add_tables()
    _change_units()
    _change_organizations()
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def _change_organizations() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for column, target in LINKS:
        if is_sqlite:  # it takes a key only together with the column
            key = f"CONSTRAINT fk_organization_{column} REFERENCES {target} (id)"
            op.execute(f"ALTER TABLE organization ADD COLUMN {column} INTEGER {key}")
        else:
            op.add_column("organization", sa.Column(column, INTEGER, nullable=True))
            op.create_foreign_key(op.f(f"fk_organization_{column}"), "organization", target, [column], ["id"])
        op.create_index(op.f(f"ix_organization_{column}"), "organization", [column], unique=False)


def _change_units() -> None:
    known, refers = "status IN ('ACTIVE', 'RETIRED')", "reference_unit <> code"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "ALTER TABLE unit ADD COLUMN reference_unit VARCHAR(12)"
            " CONSTRAINT fk_unit_reference_unit REFERENCES unit (code)"
            f" CONSTRAINT ck_unit_refers_to_another CHECK ({refers})"
        )
        op.execute(
            "ALTER TABLE unit ADD COLUMN status VARCHAR(24) DEFAULT 'ACTIVE' NOT NULL"
            f" CONSTRAINT ck_unit_unit_status CHECK ({known})"
        )
        return
    op.add_column("unit", sa.Column("reference_unit", sa.String(length=12), nullable=True))
    op.create_foreign_key(op.f("fk_unit_reference_unit"), "unit", "unit", ["reference_unit"], ["code"])
    op.create_check_constraint(op.f("ck_unit_refers_to_another"), "unit", refers)
    op.add_column("unit", sa.Column("status", sa.String(length=24), server_default="ACTIVE", nullable=False))
    op.create_check_constraint(op.f("ck_unit_unit_status"), "unit", known)


def _add_tables() -> None:
    op.create_table(
        "contract",
        sa.Column("code", _text(40), nullable=False),
        sa.Column("name", _text(120), nullable=False),
        sa.Column("status", _enum("contract_status", "ACTIVE", "CLOSED"), nullable=False),
        sa.Column("last_number", INTEGER, nullable=False),
        *_row(),
        sa.CheckConstraint("last_number >= 0", name=op.f("ck_contract_last_number_not_negative")),
        sa.UniqueConstraint("code", name=op.f("uq_contract_code")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract")),
    )
    op.create_index(op.f("ix_contract_created_at_id"), "contract", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_contract_name_id"), "contract", ["name", "id"], unique=False)
    op.create_index(op.f("ix_contract_status"), "contract", ["status"], unique=False)
    op.create_table(
        "contract_version",
        sa.Column("contract_id", INTEGER, nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(length=300), nullable=True),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("approved_by", sa.String(length=100), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        *_row(),
        sa.CheckConstraint("number > 0", name=op.f("ck_contract_version_number_positive")),
        sa.CheckConstraint("withdrawn_at < valid_from", name=op.f("ck_contract_version_withdrawn_before_it_began")),
        sa.ForeignKeyConstraint(["author_id"], ["staff_user.id"], name=op.f("fk_contract_version_author_id")),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("fk_contract_version_contract_id")),
        sa.UniqueConstraint("contract_id", "number", name=op.f("uq_contract_version_contract_id_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract_version")),
    )
    op.create_index(op.f("ix_contract_version_author_id"), "contract_version", ["author_id"], unique=False)
    op.create_index(
        op.f("uq_contract_version_begins"),
        "contract_version",
        ["contract_id", "valid_from"],
        unique=True,
        sqlite_where=sa.text("withdrawn_at IS NULL"),
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    op.create_table(
        "contract_term",
        sa.Column("version_id", INTEGER, nullable=False),
        sa.Column(
            "transaction_type",
            _enum(
                "transaction_type",
                "PAYMENT",
                "TOP_UP",
                "CASH_WITHDRAWAL",
                "BANK_WITHDRAWAL",
                "TRANSFER",
                "EXCHANGE",
                "MASS_PAYMENT",
                "SALE",
            ),
            nullable=False,
        ),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("rate_ppm", INTEGER, nullable=False),
        sa.Column("fixed_minor", sa.BigInteger(), nullable=False),
        sa.Column("min_minor", sa.BigInteger(), nullable=True),
        sa.Column("max_minor", sa.BigInteger(), nullable=True),
        sa.Column("charged_to", _enum("charged_to", "PAYER", "PAYEE"), nullable=False),
        sa.Column("returns_commission", sa.Boolean(), nullable=False),
        sa.Column("limit_single_minor", sa.BigInteger(), nullable=True),
        sa.Column("limit_day_minor", sa.BigInteger(), nullable=True),
        sa.Column("limit_month_minor", sa.BigInteger(), nullable=True),
        sa.Column("spread_ppm", INTEGER, nullable=False),
        *_row(),
        sa.CheckConstraint("limit_day_minor > 0", name=op.f("ck_contract_term_day_positive")),
        sa.CheckConstraint("limit_day_minor <= limit_month_minor", name=op.f("ck_contract_term_day_within_month")),
        sa.CheckConstraint("fixed_minor >= 0", name=op.f("ck_contract_term_fixed_not_negative")),
        sa.CheckConstraint("max_minor >= 0", name=op.f("ck_contract_term_max_not_negative")),
        sa.CheckConstraint("min_minor >= 0", name=op.f("ck_contract_term_min_not_negative")),
        sa.CheckConstraint("min_minor <= max_minor", name=op.f("ck_contract_term_min_within_max")),
        sa.CheckConstraint("limit_month_minor > 0", name=op.f("ck_contract_term_month_positive")),
        sa.CheckConstraint("rate_ppm BETWEEN 0 AND 1000000", name=op.f("ck_contract_term_rate_in_range")),
        sa.CheckConstraint("spread_ppm BETWEEN 0 AND 999999", name=op.f("ck_contract_term_spread_in_range")),
        sa.CheckConstraint(
            "spread_ppm = 0 OR transaction_type = 'EXCHANGE'", name=op.f("ck_contract_term_spread_of_exchanges")
        ),
        sa.CheckConstraint("limit_single_minor > 0", name=op.f("ck_contract_term_single_positive")),
        sa.CheckConstraint("limit_single_minor <= limit_day_minor", name=op.f("ck_contract_term_single_within_day")),
        sa.CheckConstraint(
            "limit_single_minor <= limit_month_minor", name=op.f("ck_contract_term_single_within_month")
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_contract_term_unit")),
        sa.ForeignKeyConstraint(["version_id"], ["contract_version.id"], name=op.f("fk_contract_term_version_id")),
        sa.UniqueConstraint(
            "version_id", "transaction_type", "unit", name=op.f("uq_contract_term_version_id_transaction_type_unit")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract_term")),
    )
    op.create_index(op.f("ix_contract_term_unit"), "contract_term", ["unit"], unique=False)
    op.create_table(
        "cashback_profile",
        sa.Column("name", _text(120), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("rate_ppm", INTEGER, nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), nullable=True),
        sa.Column("cap_month_minor", sa.BigInteger(), nullable=True),
        sa.Column("funded_by", _enum("funded_by", "SYSTEM", "MERCHANT"), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        *_row(),
        sa.CheckConstraint("valid_from <= valid_to", name=op.f("ck_cashback_profile_begins_before_it_ends")),
        sa.CheckConstraint("cap_month_minor > 0", name=op.f("ck_cashback_profile_cap_month_positive")),
        sa.CheckConstraint("cap_minor > 0", name=op.f("ck_cashback_profile_cap_positive")),
        sa.CheckConstraint("cap_minor <= cap_month_minor", name=op.f("ck_cashback_profile_cap_within_month")),
        sa.CheckConstraint("rate_ppm BETWEEN 1 AND 1000000", name=op.f("ck_cashback_profile_rate_in_range")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_cashback_profile_unit")),
        sa.UniqueConstraint("name", name=op.f("uq_cashback_profile_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cashback_profile")),
    )
    op.create_index(op.f("ix_cashback_profile_created_at_id"), "cashback_profile", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_cashback_profile_unit"), "cashback_profile", ["unit"], unique=False)
    op.create_table(
        "exchange_rate",
        sa.Column("office_id", INTEGER, nullable=True),
        sa.Column("base", sa.String(length=12), nullable=False),
        sa.Column("quote", sa.String(length=12), nullable=False),
        sa.Column("rate", sa.String(length=40), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", _enum("rate_source", "STAFF", "ECB", "OFFICE"), nullable=False),
        sa.Column("author_id", INTEGER, nullable=True),
        sa.Column("note", sa.String(length=300), nullable=True),
        *_row(),
        sa.CheckConstraint("CAST(rate AS NUMERIC) > 0", name=op.f("ck_exchange_rate_rate_positive")),
        sa.CheckConstraint("base <> quote", name=op.f("ck_exchange_rate_two_units")),
        sa.ForeignKeyConstraint(["author_id"], ["staff_user.id"], name=op.f("fk_exchange_rate_author_id")),
        sa.ForeignKeyConstraint(["base"], ["unit.code"], name=op.f("fk_exchange_rate_base")),
        sa.ForeignKeyConstraint(["office_id"], ["organization.id"], name=op.f("fk_exchange_rate_office_id")),
        sa.ForeignKeyConstraint(["quote"], ["unit.code"], name=op.f("fk_exchange_rate_quote")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_rate")),
    )
    op.create_index(op.f("ix_exchange_rate_author_id"), "exchange_rate", ["author_id"], unique=False)
    op.create_index(
        op.f("ix_exchange_rate_base_valid_from_id"), "exchange_rate", ["base", "valid_from", "id"], unique=False
    )
    op.create_index(op.f("ix_exchange_rate_created_at_id"), "exchange_rate", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_exchange_rate_office_id_valid_from_id"),
        "exchange_rate",
        ["office_id", "valid_from", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_exchange_rate_quote_valid_from_id"), "exchange_rate", ["quote", "valid_from", "id"], unique=False
    )
    op.create_index(op.f("ix_exchange_rate_valid_from_id"), "exchange_rate", ["valid_from", "id"], unique=False)
    op.create_index(
        op.f("uq_exchange_rate_office"),
        "exchange_rate",
        ["office_id", "base", "quote", "valid_from"],
        unique=True,
        sqlite_where=sa.text("office_id IS NOT NULL"),
        postgresql_where=sa.text("office_id IS NOT NULL"),
    )
    op.create_index(
        op.f("uq_exchange_rate_system"),
        "exchange_rate",
        ["base", "quote", "valid_from"],
        unique=True,
        sqlite_where=sa.text("office_id IS NULL"),
        postgresql_where=sa.text("office_id IS NULL"),
    )
    _add_payment_tariffs()


def _add_payment_tariffs() -> None:
    op.create_table(
        "payment_tariff",
        sa.Column("payment_id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("term_id", INTEGER, nullable=True),
        sa.Column("commission_minor", sa.BigInteger(), nullable=False),
        sa.Column("returns_commission", sa.Boolean(), nullable=False),
        sa.Column("profile_id", INTEGER, nullable=True),
        sa.Column("customer_id", INTEGER, nullable=True),
        sa.Column("cashback_minor", sa.BigInteger(), nullable=False),
        sa.Column("funded_by", _enum("funded_by", "SYSTEM", "MERCHANT"), nullable=True),
        sa.Column("month_on", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "term_id IS NOT NULL OR profile_id IS NOT NULL", name=op.f("ck_payment_tariff_says_something")
        ),
        sa.CheckConstraint(
            "commission_minor >= 0 AND (term_id IS NOT NULL OR commission_minor = 0)",
            name=op.f("ck_payment_tariff_cost_of_term"),
        ),
        sa.CheckConstraint(
            "cashback_minor >= 0 AND (profile_id IS NOT NULL OR cashback_minor = 0)",
            name=op.f("ck_payment_tariff_cashback_of_profile"),
        ),
        sa.CheckConstraint(
            "(profile_id IS NULL) = (customer_id IS NULL)", name=op.f("ck_payment_tariff_cashback_of_customer")
        ),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_payment_tariff_payment_id")),
        sa.ForeignKeyConstraint(["term_id"], ["contract_term.id"], name=op.f("fk_payment_tariff_term_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["cashback_profile.id"], name=op.f("fk_payment_tariff_profile_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_payment_tariff_customer_id")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payment_tariff")),
    )
    op.create_index(op.f("ix_payment_tariff_customer_id"), "payment_tariff", ["customer_id"], unique=False)
    op.create_index(op.f("ix_payment_tariff_term_id"), "payment_tariff", ["term_id"], unique=False)
    op.create_index(
        op.f("ix_payment_tariff_profile_id_customer_id_month_on"),
        "payment_tariff",
        ["profile_id", "customer_id", "month_on"],
        unique=False,
    )


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for column, _target in LINKS:
        op.drop_index(op.f(f"ix_organization_{column}"), "organization")
        if is_sqlite:
            op.execute(f"ALTER TABLE organization DROP COLUMN {column}")
        else:
            op.drop_column("organization", column)
    for column in ("reference_unit", "status"):
        if is_sqlite:
            op.execute(f"ALTER TABLE unit DROP COLUMN {column}")
        else:
            op.drop_column("unit", column)
    for table in (
        "payment_tariff",
        "exchange_rate",
        "cashback_profile",
        "contract_term",
        "contract_version",
        "contract",
    ):
        op.drop_table(table)
    if not is_sqlite:
        for table in ("contract_version", "contract_term", "exchange_rate", "payment_tariff"):
            op.execute(f"DROP FUNCTION keep_{table}()")
