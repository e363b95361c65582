"""The books: accounts, transactions, entries, balances, holds, closed periods, and the rules of the database."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# SQLite gives automatic ids only to INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

FUNCTIONS = (
    "ledger_post()",
    "ledger_open()",
    "ledger_internal()",
    "ledger_close()",
    "ledger_hold_rules()",
    "ledger_lock(bigint[])",
)

TRIGGERS = {
    "sqlite": (
        """CREATE TRIGGER ledger_transaction_check BEFORE INSERT ON ledger_transaction BEGIN SELECT RAISE(ABORT, 'ledger: the transaction falls into a closed period') WHERE EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.effective_on); SELECT RAISE(ABORT, 'ledger: the transaction does not balance') WHERE json_array_length(NEW.legs) < 2 OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l WHERE json_type(l.value, '$[2]') <> 'integer') OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l GROUP BY json_extract(l.value, '$[1]') HAVING sum(json_extract(l.value, '$[2]')) <> 0); SELECT RAISE(ABORT, 'ledger: the transaction is not the exact reversal') FROM ledger_transaction AS o WHERE o.id = NEW.reverses_id AND (o.reverses_id IS NOT NULL OR json_array_length(o.legs) <> json_array_length(NEW.legs) OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l WHERE json_extract(l.value, '$[0]') IS NOT json_extract(o.legs, '$[' || l.key || '][0]') OR json_extract(l.value, '$[2]') IS NOT - json_extract(o.legs, '$[' || l.key || '][2]'))); END""",
        """CREATE TRIGGER ledger_transaction_post AFTER INSERT ON ledger_transaction BEGIN INSERT INTO ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on) SELECT NEW.id, l.key + 1, json_extract(l.value, '$[0]'), json_extract(l.value, '$[1]'), json_extract(l.value, '$[2]'), NEW.effective_on FROM json_each(NEW.legs) AS l ORDER BY l.key; END""",
        """CREATE TRIGGER ledger_entry_check BEFORE INSERT ON ledger_entry BEGIN SELECT RAISE(ABORT, 'ledger_entry is written by the books alone') WHERE NOT EXISTS (SELECT 1 FROM ledger_transaction AS t WHERE t.id = NEW.transaction_id AND t.effective_on = NEW.effective_on AND json_extract(t.legs, '$[' || (NEW.leg - 1) || '][0]') IS NEW.account_id AND json_extract(t.legs, '$[' || (NEW.leg - 1) || '][1]') IS NEW.unit AND json_extract(t.legs, '$[' || (NEW.leg - 1) || '][2]') IS NEW.amount_minor); END""",
        """CREATE TRIGGER ledger_entry_count AFTER INSERT ON ledger_entry BEGIN UPDATE ledger_balance SET balance_minor = balance_minor + NEW.amount_minor, last_entry_id = NEW.id WHERE account_id = NEW.account_id AND slot = 0; INSERT INTO ledger_turnover (account_id, day, slot, debit_minor, credit_minor, entries, last_entry_id) VALUES (NEW.account_id, NEW.effective_on, 0, max(NEW.amount_minor, 0), max(- NEW.amount_minor, 0), 1, NEW.id) ON CONFLICT (account_id, day, slot) DO UPDATE SET debit_minor = debit_minor + excluded.debit_minor, credit_minor = credit_minor + excluded.credit_minor, entries = entries + 1, last_entry_id = excluded.last_entry_id; END""",
        """CREATE TRIGGER ledger_account_open AFTER INSERT ON ledger_account BEGIN INSERT INTO ledger_balance (account_id, slot, guard, balance_minor, last_entry_id) VALUES (NEW.id, 0, NEW.guard, 0, 0); END""",
        """CREATE TRIGGER ledger_balance_open BEFORE INSERT ON ledger_balance BEGIN SELECT RAISE(ABORT, 'ledger_balance is written by the books alone') WHERE NEW.slot <> 0 OR NEW.balance_minor <> 0 OR NEW.last_entry_id <> 0 OR NOT EXISTS (SELECT 1 FROM ledger_account AS a WHERE a.id = NEW.account_id AND a.guard = NEW.guard); END""",
        """CREATE TRIGGER ledger_balance_move BEFORE UPDATE ON ledger_balance BEGIN SELECT RAISE(ABORT, 'ledger_balance is written by the books alone') WHERE NEW.account_id <> OLD.account_id OR NEW.slot <> OLD.slot OR NEW.guard <> OLD.guard OR NEW.last_entry_id <= OLD.last_entry_id OR NEW.balance_minor - OLD.balance_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id); END""",
        """CREATE TRIGGER ledger_turnover_open BEFORE INSERT ON ledger_turnover BEGIN SELECT RAISE(ABORT, 'ledger_turnover is written by the books alone') WHERE NEW.slot <> 0 OR NEW.entries <> 1 OR NEW.debit_minor * NEW.credit_minor <> 0 OR NEW.debit_minor - NEW.credit_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id AND e.effective_on = NEW.day); END""",
        """CREATE TRIGGER ledger_turnover_move BEFORE UPDATE ON ledger_turnover BEGIN SELECT RAISE(ABORT, 'ledger_turnover is written by the books alone') WHERE NEW.account_id <> OLD.account_id OR NEW.day <> OLD.day OR NEW.slot <> OLD.slot OR NEW.entries <> OLD.entries + 1 OR NEW.last_entry_id <= OLD.last_entry_id OR (NEW.debit_minor - OLD.debit_minor) * (NEW.credit_minor - OLD.credit_minor) <> 0 OR NEW.debit_minor - OLD.debit_minor - NEW.credit_minor + OLD.credit_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id AND e.effective_on = NEW.day); END""",
        """CREATE TRIGGER accounting_period_close BEFORE INSERT ON accounting_period BEGIN SELECT RAISE(ABORT, 'ledger: a closed period reaches into this one') WHERE EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.first_day); END""",
        """CREATE TRIGGER ledger_hold_place BEFORE INSERT ON ledger_hold BEGIN SELECT RAISE(ABORT, 'ledger: a hold is what its transactions moved') WHERE NEW.ended_id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.transaction_id = NEW.placed_id AND e.account_id = NEW.account_id AND e.amount_minor = - NEW.amount_minor); END""",
        """CREATE TRIGGER ledger_hold_end BEFORE UPDATE ON ledger_hold BEGIN SELECT RAISE(ABORT, 'ledger: a hold is what its transactions moved') WHERE OLD.ended_id IS NOT NULL OR NEW.id <> OLD.id OR NEW.account_id <> OLD.account_id OR NEW.amount_minor <> OLD.amount_minor OR NEW.placed_id <> OLD.placed_id OR NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.transaction_id = NEW.ended_id AND e.account_id = NEW.account_id AND e.amount_minor = NEW.amount_minor); END""",
        """CREATE TRIGGER ledger_account_no_update BEFORE UPDATE ON ledger_account BEGIN SELECT RAISE(ABORT, 'ledger_account is append-only'); END""",
        """CREATE TRIGGER ledger_account_no_delete BEFORE DELETE ON ledger_account BEGIN SELECT RAISE(ABORT, 'ledger_account is append-only'); END""",
        """CREATE TRIGGER ledger_transaction_no_update BEFORE UPDATE ON ledger_transaction BEGIN SELECT RAISE(ABORT, 'ledger_transaction is append-only'); END""",
        """CREATE TRIGGER ledger_transaction_no_delete BEFORE DELETE ON ledger_transaction BEGIN SELECT RAISE(ABORT, 'ledger_transaction is append-only'); END""",
        """CREATE TRIGGER accounting_period_no_update BEFORE UPDATE ON accounting_period BEGIN SELECT RAISE(ABORT, 'accounting_period is append-only'); END""",
        """CREATE TRIGGER accounting_period_no_delete BEFORE DELETE ON accounting_period BEGIN SELECT RAISE(ABORT, 'accounting_period is append-only'); END""",
        """CREATE TRIGGER ledger_closing_no_update BEFORE UPDATE ON ledger_closing BEGIN SELECT RAISE(ABORT, 'ledger_closing is append-only'); END""",
        """CREATE TRIGGER ledger_closing_no_delete BEFORE DELETE ON ledger_closing BEGIN SELECT RAISE(ABORT, 'ledger_closing is append-only'); END""",
        """CREATE TRIGGER ledger_entry_no_update BEFORE UPDATE ON ledger_entry BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END""",
        """CREATE TRIGGER ledger_entry_no_delete BEFORE DELETE ON ledger_entry BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END""",
        """CREATE TRIGGER ledger_balance_no_delete BEFORE DELETE ON ledger_balance BEGIN SELECT RAISE(ABORT, 'ledger_balance is append-only'); END""",
        """CREATE TRIGGER ledger_turnover_no_delete BEFORE DELETE ON ledger_turnover BEGIN SELECT RAISE(ABORT, 'ledger_turnover is append-only'); END""",
        """CREATE TRIGGER ledger_hold_no_delete BEFORE DELETE ON ledger_hold BEGIN SELECT RAISE(ABORT, 'ledger_hold is append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION ledger_post() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  wrong record;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(7210001);
  SELECT id, what INTO wrong FROM (
    SELECT t.id, CASE
      WHEN EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= t.effective_on)
        THEN 'falls into a closed period'
      WHEN jsonb_array_length(t.legs) < 2 OR EXISTS (SELECT 1 FROM jsonb_array_elements(t.legs) AS l (leg)
        GROUP BY l.leg ->> 1 HAVING sum((l.leg ->> 2)::bigint) <> 0) THEN 'does not balance'
      WHEN EXISTS (SELECT 1 FROM ledger_transaction o WHERE o.id = t.reverses_id AND (o.reverses_id IS NOT NULL
        OR jsonb_array_length(o.legs) <> jsonb_array_length(t.legs)
        OR EXISTS (SELECT 1 FROM jsonb_array_elements(t.legs) WITH ORDINALITY AS l (leg, place)
          WHERE l.leg ->> 0 IS DISTINCT FROM o.legs -> (l.place::int - 1) ->> 0
            OR (l.leg ->> 2)::bigint IS DISTINCT FROM - (o.legs -> (l.place::int - 1) ->> 2)::bigint)))
        THEN 'is not the exact reversal'
    END AS what FROM new_rows t) checked WHERE what IS NOT NULL LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'ledger: transaction % %', wrong.id, wrong.what USING ERRCODE = 'check_violation';
  END IF;
  PERFORM 1 FROM ledger_balance b
    WHERE b.account_id IN (SELECT (l.leg ->> 0)::bigint FROM new_rows t, jsonb_array_elements(t.legs) AS l (leg))
      AND b.slot = CASE WHEN b.guard = 0 THEN pg_backend_pid() % 8 ELSE 0 END
    ORDER BY b.account_id FOR UPDATE;
  WITH made AS (
    INSERT INTO ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on)
    SELECT t.id, l.place, (l.leg ->> 0)::bigint, l.leg ->> 1, (l.leg ->> 2)::bigint, t.effective_on
    FROM new_rows t CROSS JOIN LATERAL jsonb_array_elements(t.legs) WITH ORDINALITY AS l (leg, place)
    ORDER BY t.id, l.place
    RETURNING id, account_id, amount_minor, effective_on
  ), moved AS (
    UPDATE ledger_balance b SET balance_minor = b.balance_minor + s.minor, last_entry_id = s.last
    FROM (SELECT account_id, sum(amount_minor) AS minor, max(id) AS last FROM made GROUP BY account_id) s
    WHERE b.account_id = s.account_id AND b.slot = CASE WHEN b.guard = 0 THEN pg_backend_pid() % 8 ELSE 0 END
    RETURNING b.account_id, b.slot
  )
  INSERT INTO ledger_turnover AS d (account_id, day, slot, debit_minor, credit_minor, entries, last_entry_id)
  SELECT m.account_id, m.effective_on, v.slot, sum(greatest(m.amount_minor, 0)), sum(greatest(- m.amount_minor, 0)),
    count(*), max(m.id)
  FROM made m JOIN moved v ON v.account_id = m.account_id GROUP BY m.account_id, m.effective_on, v.slot
  ORDER BY m.account_id, m.effective_on
  ON CONFLICT (account_id, day, slot) DO UPDATE SET debit_minor = d.debit_minor + excluded.debit_minor,
    credit_minor = d.credit_minor + excluded.credit_minor, entries = d.entries + excluded.entries,
    last_entry_id = excluded.last_entry_id;
  RETURN NULL;
END $$""",
        """CREATE FUNCTION ledger_open() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO ledger_balance (account_id, slot, guard, balance_minor, last_entry_id)
  SELECT NEW.id, s, NEW.guard, 0, 0 FROM generate_series(0, CASE WHEN NEW.guard = 0 THEN 7 ELSE 0 END) AS s;
  RETURN NULL;
END $$""",
        """CREATE FUNCTION ledger_internal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION '% is written by the books alone', TG_TABLE_NAME;
  END IF;
  RETURN NULL;
END $$""",
        """CREATE FUNCTION ledger_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7210001);
  IF EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.first_day) THEN
    RAISE EXCEPTION 'ledger: a closed period reaches into this one' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$""",
        """CREATE FUNCTION ledger_hold_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW.ended_id IS NULL AND EXISTS (SELECT 1 FROM ledger_entry e
    WHERE e.transaction_id = NEW.placed_id AND e.account_id = NEW.account_id AND e.amount_minor = - NEW.amount_minor)
  THEN RETURN NEW; END IF;
  IF TG_OP = 'UPDATE' AND OLD.ended_id IS NULL AND (NEW.id, NEW.account_id, NEW.amount_minor, NEW.placed_id)
    = (OLD.id, OLD.account_id, OLD.amount_minor, OLD.placed_id) AND EXISTS (SELECT 1 FROM ledger_entry e
    WHERE e.transaction_id = NEW.ended_id AND e.account_id = NEW.account_id AND e.amount_minor = NEW.amount_minor)
  THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'ledger: a hold is what its transactions moved' USING ERRCODE = 'check_violation';
END $$""",
        """CREATE FUNCTION ledger_lock(wanted bigint[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(7210001);
  PERFORM 1 FROM ledger_balance b
    WHERE b.account_id = ANY (wanted) AND b.slot = CASE WHEN b.guard = 0 THEN pg_backend_pid() % 8 ELSE 0 END
    ORDER BY b.account_id FOR UPDATE;
END $$""",
        """DO $do$ BEGIN EXECUTE format('ALTER FUNCTION ledger_post() SET search_path = %I, pg_temp', current_schema()); END $do$""",
        """DO $do$ BEGIN EXECUTE format('ALTER FUNCTION ledger_open() SET search_path = %I, pg_temp', current_schema()); END $do$""",
        """DO $do$ BEGIN EXECUTE format('ALTER FUNCTION ledger_lock(bigint[]) SET search_path = %I, pg_temp', current_schema()); END $do$""",
        """DO $do$ BEGIN EXECUTE format('ALTER FUNCTION ledger_close() SET search_path = %I, pg_temp', current_schema()); END $do$""",
        """DO $do$ BEGIN EXECUTE format('ALTER FUNCTION ledger_hold_rules() SET search_path = %I, pg_temp', current_schema()); END $do$""",
        """ALTER FUNCTION ledger_post() SET enable_seqscan = off""",
        """ALTER FUNCTION ledger_post() SET enable_hashjoin = off""",
        """ALTER FUNCTION ledger_post() SET enable_mergejoin = off""",
        """REVOKE ALL ON FUNCTION ledger_lock(bigint[]) FROM PUBLIC""",
        """CREATE TRIGGER ledger_transaction_post AFTER INSERT ON ledger_transaction REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger_post()""",
        """CREATE TRIGGER ledger_account_open AFTER INSERT ON ledger_account FOR EACH ROW EXECUTE FUNCTION ledger_open()""",
        """CREATE TRIGGER accounting_period_close BEFORE INSERT ON accounting_period FOR EACH ROW EXECUTE FUNCTION ledger_close()""",
        """CREATE TRIGGER ledger_hold_rules BEFORE INSERT OR UPDATE ON ledger_hold FOR EACH ROW EXECUTE FUNCTION ledger_hold_rules()""",
        """CREATE TRIGGER ledger_hold_kept BEFORE DELETE OR TRUNCATE ON ledger_hold FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TRIGGER ledger_account_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_account FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TRIGGER ledger_transaction_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TRIGGER accounting_period_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accounting_period FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TRIGGER ledger_closing_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_closing FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TRIGGER ledger_entry_internal BEFORE INSERT ON ledger_entry FOR EACH STATEMENT EXECUTE FUNCTION ledger_internal()""",
        """CREATE TRIGGER ledger_balance_internal BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger_balance FOR EACH STATEMENT EXECUTE FUNCTION ledger_internal()""",
        """CREATE TRIGGER ledger_turnover_internal BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger_turnover FOR EACH STATEMENT EXECUTE FUNCTION ledger_internal()""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "accounting_period",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("closed_by", sa.String(length=100), nullable=False),
        sa.Column("closed_by_id", INTEGER, nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("first_day <= last_day", name=op.f("ck_accounting_period_first_before_last")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounting_period")),
        sa.UniqueConstraint("first_day", name=op.f("uq_accounting_period_first_day")),
        sa.UniqueConstraint("last_day", name=op.f("uq_accounting_period_last_day")),
    )
    op.create_index("ix_accounting_period_created_at_id", "accounting_period", ["created_at", "id"], unique=False)
    op.create_table(
        "ledger_check",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("broken", sa.BigInteger(), nullable=False),
        sa.Column("results", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_check")),
    )
    op.create_index("ix_ledger_check_done_at_id", "ledger_check", ["done_at", "id"], unique=False)
    op.create_table(
        "ledger_transaction",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column(
            "key",
            sa.String(length=120).with_variant(sa.String(length=120, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("template", sa.String(length=3), nullable=False),
        sa.Column("business", sa.String(length=24), nullable=False),
        sa.Column("business_id", sa.BigInteger(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_by", sa.String(length=100), nullable=False),
        sa.Column("reverses_id", INTEGER, nullable=True),
        sa.Column("memo", sa.String(length=300), nullable=True),
        sa.Column("legs", JSON, nullable=False),
        sa.Column("signature", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "template IN ('J01', 'J02', 'J03', 'J04', 'J05', 'J06', 'J07', 'J08', 'J09', 'J10', 'J11', 'J12', 'J13', 'J14', 'J15', 'J16', 'J17', 'J18', 'J19', 'J20', 'J21', 'J22', 'J23', 'J24', 'J25', 'J26', 'J27', 'J28', 'J00')",
            name=op.f("ck_ledger_transaction_template_known"),
        ),
        sa.CheckConstraint("reverses_id <> id", name=op.f("ck_ledger_transaction_reverses_another")),
        sa.ForeignKeyConstraint(
            ["reverses_id"], ["ledger_transaction.id"], name=op.f("fk_ledger_transaction_reverses_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transaction")),
        sa.UniqueConstraint("key", name=op.f("uq_ledger_transaction_key")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_ledger_transaction_reverses_id")),
    )
    op.create_index(
        "ix_ledger_transaction_business_business_id_id",
        "ledger_transaction",
        ["business", "business_id", "id"],
        unique=False,
    )
    op.create_index("ix_ledger_transaction_effective_on_id", "ledger_transaction", ["effective_on", "id"], unique=False)
    op.create_index(
        "ix_ledger_transaction_template_effective_on_id",
        "ledger_transaction",
        ["template", "effective_on", "id"],
        unique=False,
    )
    op.create_table(
        "ledger_account",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column(
            "code", sa.String(length=96).with_variant(sa.String(length=96, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("number", sa.String(length=4), nullable=False),
        sa.Column(
            "owner",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("guard", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "guard = CASE WHEN number IN ('1110', '1120') THEN 1 WHEN number IN ('2010', '2020', '2110') THEN -1 ELSE 0 END",
            name=op.f("ck_ledger_account_guard_of_chart"),
        ),
        sa.CheckConstraint(
            "number IN ('1010', '1110', '1120', '1210', '1290', '2010', '2020', '2110', '2190', '3010', '4010', '4020', '4090', '5010', '5020', '5040', '5050', '9010', '9020')",
            name=op.f("ck_ledger_account_number_in_chart"),
        ),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_ledger_account_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_account")),
        sa.UniqueConstraint("code", name=op.f("uq_ledger_account_code")),
        sa.UniqueConstraint("id", "unit", name=op.f("uq_ledger_account_id_unit")),
        sa.UniqueConstraint("number", "owner", "unit", name=op.f("uq_ledger_account_number_owner_unit")),
    )
    op.create_index("ix_ledger_account_created_at_id", "ledger_account", ["created_at", "id"], unique=False)
    op.create_index("ix_ledger_account_owner_id", "ledger_account", ["owner", "id"], unique=False)
    op.create_index("ix_ledger_account_unit_code", "ledger_account", ["unit", "code"], unique=False)
    op.create_table(
        "ledger_balance",
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("guard", sa.SmallInteger(), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.Column("last_entry_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("guard * balance_minor >= 0", name=op.f("ck_ledger_balance_guarded")),
        sa.CheckConstraint("slot BETWEEN 0 AND 7", name=op.f("ck_ledger_balance_slot_known")),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name=op.f("fk_ledger_balance_account_id")),
        sa.PrimaryKeyConstraint("account_id", "slot", name=op.f("pk_ledger_balance")),
    )
    op.create_table(
        "ledger_closing",
        sa.Column("period_id", INTEGER, nullable=False),
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name=op.f("fk_ledger_closing_account_id")),
        sa.ForeignKeyConstraint(["period_id"], ["accounting_period.id"], name=op.f("fk_ledger_closing_period_id")),
        sa.PrimaryKeyConstraint("period_id", "account_id", name=op.f("pk_ledger_closing")),
    )
    op.create_index("ix_ledger_closing_account_id", "ledger_closing", ["account_id"], unique=False)
    op.create_table(
        "ledger_entry",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("transaction_id", INTEGER, nullable=False),
        sa.Column("leg", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_ledger_entry_amount_not_zero")),
        sa.ForeignKeyConstraint(
            ["account_id", "unit"], ["ledger_account.id", "ledger_account.unit"], name="fk_ledger_entry_account_id"
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["ledger_transaction.id"], name=op.f("fk_ledger_entry_transaction_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entry")),
        sa.UniqueConstraint("transaction_id", "leg", name=op.f("uq_ledger_entry_transaction_id_leg")),
    )
    op.create_index(
        "ix_ledger_entry_account_id_effective_on_id", "ledger_entry", ["account_id", "effective_on", "id"], unique=False
    )
    op.create_table(
        "ledger_hold",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("placed_id", INTEGER, nullable=False),
        sa.Column("ended_id", INTEGER, nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_ledger_hold_amount_positive")),
        sa.CheckConstraint("ended_id <> placed_id", name=op.f("ck_ledger_hold_ended_by_another")),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name=op.f("fk_ledger_hold_account_id")),
        sa.ForeignKeyConstraint(["ended_id"], ["ledger_transaction.id"], name=op.f("fk_ledger_hold_ended_id")),
        sa.ForeignKeyConstraint(["placed_id"], ["ledger_transaction.id"], name=op.f("fk_ledger_hold_placed_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_hold")),
        sa.UniqueConstraint("ended_id", name=op.f("uq_ledger_hold_ended_id")),
        sa.UniqueConstraint("placed_id", name=op.f("uq_ledger_hold_placed_id")),
    )
    op.create_index("ix_ledger_hold_account_id_id", "ledger_hold", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_ledger_hold_open",
        "ledger_hold",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("ended_id IS NULL"),
        postgresql_where=sa.text("ended_id IS NULL"),
    )
    op.create_table(
        "ledger_turnover",
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("debit_minor", sa.BigInteger(), nullable=False),
        sa.Column("credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("last_entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name=op.f("fk_ledger_turnover_account_id")),
        sa.PrimaryKeyConstraint("account_id", "day", "slot", name=op.f("pk_ledger_turnover")),
    )
    op.create_index("ix_ledger_turnover_day", "ledger_turnover", ["day"], unique=False)
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("ledger_turnover")
    op.drop_table("ledger_hold")
    op.drop_table("ledger_entry")
    op.drop_table("ledger_closing")
    op.drop_table("ledger_balance")
    op.drop_table("ledger_account")
    op.drop_table("ledger_transaction")
    op.drop_table("ledger_check")
    op.drop_table("accounting_period")
    if op.get_bind().dialect.name == "postgresql":
        for function in FUNCTIONS:
            op.execute(f"DROP FUNCTION {function}")
