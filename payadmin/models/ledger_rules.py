# ruff: noqa: E501, S608 - statements made of constants, as the databases keep them
"""What the database itself enforces about the books, as triggers: the same promises on SQLite and on PostgreSQL.

A transaction is inserted with its legs. The trigger refuses what does not balance in every unit, what falls into a
closed period, and a reversal that is not the exact opposite of what it reverses; then it makes the entries and moves
balances and turnovers. Entries, balances and turnovers cannot be written in any other way: PostgreSQL asks whether a
trigger is writing; SQLite, which cannot ask, accepts only what its own rows prove. Locks are taken in account order.
"""

from typing import Final

from sqlalchemy import DDL, event

from payadmin.db import Base
from payadmin.models.ledger import ADDED_ONLY, READ_ONLY, SLOTS

# Whoever posts holds it shared, whoever closes a period alone: nothing can slip in while the books are closed.
BOOKS_LOCK: Final = 7_210_001

_POST = f"""
CREATE FUNCTION ledger_post() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  wrong record;
BEGIN
  PERFORM pg_advisory_xact_lock_shared({BOOKS_LOCK});
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
      AND b.slot = CASE WHEN b.guard = 0 THEN pg_backend_pid() % {SLOTS} ELSE 0 END
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
    WHERE b.account_id = s.account_id AND b.slot = CASE WHEN b.guard = 0 THEN pg_backend_pid() % {SLOTS} ELSE 0 END
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
END $$"""

_OPEN_ACCOUNT = f"""
CREATE FUNCTION ledger_open() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO ledger_balance (account_id, slot, guard, balance_minor, last_entry_id)
  SELECT NEW.id, s, NEW.guard, 0, 0 FROM generate_series(0, CASE WHEN NEW.guard = 0 THEN {SLOTS - 1} ELSE 0 END) AS s;
  RETURN NULL;
END $$"""

_INTERNAL = """
CREATE FUNCTION ledger_internal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION '% is written by the books alone', TG_TABLE_NAME;
  END IF;
  RETURN NULL;
END $$"""

_CLOSE = f"""
CREATE FUNCTION ledger_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock({BOOKS_LOCK});
  IF EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.first_day) THEN
    RAISE EXCEPTION 'ledger: a closed period reaches into this one' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$"""

_HOLD = """
CREATE FUNCTION ledger_hold_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW.ended_id IS NULL AND EXISTS (SELECT 1 FROM ledger_entry e
    WHERE e.transaction_id = NEW.placed_id AND e.account_id = NEW.account_id AND e.amount_minor = - NEW.amount_minor)
  THEN RETURN NEW; END IF;
  IF TG_OP = 'UPDATE' AND OLD.ended_id IS NULL AND (NEW.id, NEW.account_id, NEW.amount_minor, NEW.placed_id)
    = (OLD.id, OLD.account_id, OLD.amount_minor, OLD.placed_id) AND EXISTS (SELECT 1 FROM ledger_entry e
    WHERE e.transaction_id = NEW.ended_id AND e.account_id = NEW.account_id AND e.amount_minor = NEW.amount_minor)
  THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'ledger: a hold is what its transactions moved' USING ERRCODE = 'check_violation';
END $$"""

_LOCK = f"""
CREATE FUNCTION ledger_lock(wanted bigint[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared({BOOKS_LOCK});
  PERFORM 1 FROM ledger_balance b
    WHERE b.account_id = ANY (wanted) AND b.slot = CASE WHEN b.guard = 0 THEN pg_backend_pid() % {SLOTS} ELSE 0 END
    ORDER BY b.account_id FOR UPDATE;
END $$"""

# They look for tables here only, never in a caller's temporary schema: with their owner's rights they would write into
# a table of that name there, with the caller's they would believe what stands in it.
PINNED: Final = ("ledger_post()", "ledger_open()", "ledger_lock(bigint[])", "ledger_close()", "ledger_hold_rules()")
# A posting finds a handful of rows by their keys; the planner, which takes legs for hundreds, would read all balances.
_BY_KEY = tuple(f"ALTER FUNCTION ledger_post() SET enable_{way} = off" for way in ("seqscan", "hashjoin", "mergejoin"))
_PIN = "DO $do$ BEGIN EXECUTE format('ALTER FUNCTION {function} SET search_path = %I, pg_temp', current_schema()); END $do$"

_ONLY_ADDED = (
    "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
)
_ONLY_WITHIN = (
    "CREATE TRIGGER {table}_internal BEFORE INSERT{moves} ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_internal()"
)

POSTGRES: Final[tuple[str, ...]] = (
    _POST,
    _OPEN_ACCOUNT,
    _INTERNAL,
    _CLOSE,
    _HOLD,
    _LOCK,
    *(_PIN.format(function=function) for function in PINNED),
    *_BY_KEY,
    "REVOKE ALL ON FUNCTION ledger_lock(bigint[]) FROM PUBLIC",
    (
        "CREATE TRIGGER ledger_transaction_post AFTER INSERT ON ledger_transaction REFERENCING NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_post()"
    ),
    "CREATE TRIGGER ledger_account_open AFTER INSERT ON ledger_account FOR EACH ROW EXECUTE FUNCTION ledger_open()",
    (
        "CREATE TRIGGER accounting_period_close BEFORE INSERT ON accounting_period "
        "FOR EACH ROW EXECUTE FUNCTION ledger_close()"
    ),
    (
        "CREATE TRIGGER ledger_hold_rules BEFORE INSERT OR UPDATE ON ledger_hold "
        "FOR EACH ROW EXECUTE FUNCTION ledger_hold_rules()"
    ),
    (
        "CREATE TRIGGER ledger_hold_kept BEFORE DELETE OR TRUNCATE ON ledger_hold "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    ),
    *(_ONLY_ADDED.format(table=table) for table in (*ADDED_ONLY, "ledger_entry")),
    _ONLY_WITHIN.format(table="ledger_entry", moves=""),
    _ONLY_WITHIN.format(table="ledger_balance", moves=" OR UPDATE OR DELETE OR TRUNCATE"),
    _ONLY_WITHIN.format(table="ledger_turnover", moves=" OR UPDATE OR DELETE OR TRUNCATE"),
)

_LEG = "json_extract(t.legs, '$[' || (NEW.leg - 1) || '][{part}]')"
SQLITE: Final[tuple[str, ...]] = (
    (
        "CREATE TRIGGER ledger_transaction_check BEFORE INSERT ON ledger_transaction BEGIN "
        "SELECT RAISE(ABORT, 'ledger: the transaction falls into a closed period') "
        "WHERE EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.effective_on); "
        "SELECT RAISE(ABORT, 'ledger: the transaction does not balance') WHERE json_array_length(NEW.legs) < 2 "
        "OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l WHERE json_type(l.value, '$[2]') <> 'integer') "
        "OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l GROUP BY json_extract(l.value, '$[1]') "
        "HAVING sum(json_extract(l.value, '$[2]')) <> 0); "
        "SELECT RAISE(ABORT, 'ledger: the transaction is not the exact reversal') FROM ledger_transaction AS o "
        "WHERE o.id = NEW.reverses_id AND (o.reverses_id IS NOT NULL "
        "OR json_array_length(o.legs) <> json_array_length(NEW.legs) "
        "OR EXISTS (SELECT 1 FROM json_each(NEW.legs) AS l "
        "WHERE json_extract(l.value, '$[0]') IS NOT json_extract(o.legs, '$[' || l.key || '][0]') "
        "OR json_extract(l.value, '$[2]') IS NOT - json_extract(o.legs, '$[' || l.key || '][2]'))); END"
    ),
    (
        "CREATE TRIGGER ledger_transaction_post AFTER INSERT ON ledger_transaction BEGIN "
        "INSERT INTO ledger_entry (transaction_id, leg, account_id, unit, amount_minor, effective_on) "
        "SELECT NEW.id, l.key + 1, json_extract(l.value, '$[0]'), json_extract(l.value, '$[1]'), "
        "json_extract(l.value, '$[2]'), NEW.effective_on FROM json_each(NEW.legs) AS l ORDER BY l.key; END"
    ),
    (
        "CREATE TRIGGER ledger_entry_check BEFORE INSERT ON ledger_entry BEGIN "
        "SELECT RAISE(ABORT, 'ledger_entry is written by the books alone') WHERE NOT EXISTS "
        "(SELECT 1 FROM ledger_transaction AS t WHERE t.id = NEW.transaction_id AND t.effective_on = NEW.effective_on "
        f"AND {_LEG.format(part=0)} IS NEW.account_id AND {_LEG.format(part=1)} IS NEW.unit "
        f"AND {_LEG.format(part=2)} IS NEW.amount_minor); END"
    ),
    (
        "CREATE TRIGGER ledger_entry_count AFTER INSERT ON ledger_entry BEGIN "
        "UPDATE ledger_balance SET balance_minor = balance_minor + NEW.amount_minor, last_entry_id = NEW.id "
        "WHERE account_id = NEW.account_id AND slot = 0; "
        "INSERT INTO ledger_turnover (account_id, day, slot, debit_minor, credit_minor, entries, last_entry_id) "
        "VALUES (NEW.account_id, NEW.effective_on, 0, max(NEW.amount_minor, 0), max(- NEW.amount_minor, 0), 1, NEW.id) "
        "ON CONFLICT (account_id, day, slot) DO UPDATE SET debit_minor = debit_minor + excluded.debit_minor, "
        "credit_minor = credit_minor + excluded.credit_minor, entries = entries + 1, "
        "last_entry_id = excluded.last_entry_id; END"
    ),
    (
        "CREATE TRIGGER ledger_account_open AFTER INSERT ON ledger_account BEGIN "
        "INSERT INTO ledger_balance (account_id, slot, guard, balance_minor, last_entry_id) "
        "VALUES (NEW.id, 0, NEW.guard, 0, 0); END"
    ),
    (
        "CREATE TRIGGER ledger_balance_open BEFORE INSERT ON ledger_balance BEGIN "
        "SELECT RAISE(ABORT, 'ledger_balance is written by the books alone') WHERE NEW.slot <> 0 OR NEW.balance_minor <> 0 "
        "OR NEW.last_entry_id <> 0 OR NOT EXISTS "
        "(SELECT 1 FROM ledger_account AS a WHERE a.id = NEW.account_id AND a.guard = NEW.guard); END"
    ),
    (
        "CREATE TRIGGER ledger_balance_move BEFORE UPDATE ON ledger_balance BEGIN "
        "SELECT RAISE(ABORT, 'ledger_balance is written by the books alone') WHERE NEW.account_id <> OLD.account_id "
        "OR NEW.slot <> OLD.slot OR NEW.guard <> OLD.guard OR NEW.last_entry_id <= OLD.last_entry_id "
        "OR NEW.balance_minor - OLD.balance_minor IS NOT (SELECT e.amount_minor FROM ledger_entry AS e "
        "WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id); END"
    ),
    (
        "CREATE TRIGGER ledger_turnover_open BEFORE INSERT ON ledger_turnover BEGIN "
        "SELECT RAISE(ABORT, 'ledger_turnover is written by the books alone') WHERE NEW.slot <> 0 OR NEW.entries <> 1 "
        "OR NEW.debit_minor * NEW.credit_minor <> 0 OR NEW.debit_minor - NEW.credit_minor IS NOT "
        "(SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id "
        "AND e.effective_on = NEW.day); END"
    ),
    (
        "CREATE TRIGGER ledger_turnover_move BEFORE UPDATE ON ledger_turnover BEGIN "
        "SELECT RAISE(ABORT, 'ledger_turnover is written by the books alone') WHERE NEW.account_id <> OLD.account_id "
        "OR NEW.day <> OLD.day OR NEW.slot <> OLD.slot OR NEW.entries <> OLD.entries + 1 "
        "OR NEW.last_entry_id <= OLD.last_entry_id "
        "OR (NEW.debit_minor - OLD.debit_minor) * (NEW.credit_minor - OLD.credit_minor) <> 0 "
        "OR NEW.debit_minor - OLD.debit_minor - NEW.credit_minor + OLD.credit_minor IS NOT "
        "(SELECT e.amount_minor FROM ledger_entry AS e WHERE e.id = NEW.last_entry_id AND e.account_id = NEW.account_id "
        "AND e.effective_on = NEW.day); END"
    ),
    (
        "CREATE TRIGGER accounting_period_close BEFORE INSERT ON accounting_period BEGIN "
        "SELECT RAISE(ABORT, 'ledger: a closed period reaches into this one') "
        "WHERE EXISTS (SELECT 1 FROM accounting_period p WHERE p.last_day >= NEW.first_day); END"
    ),
    (
        "CREATE TRIGGER ledger_hold_place BEFORE INSERT ON ledger_hold BEGIN "
        "SELECT RAISE(ABORT, 'ledger: a hold is what its transactions moved') WHERE NEW.ended_id IS NOT NULL "
        "OR NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.transaction_id = NEW.placed_id "
        "AND e.account_id = NEW.account_id AND e.amount_minor = - NEW.amount_minor); END"
    ),
    (
        "CREATE TRIGGER ledger_hold_end BEFORE UPDATE ON ledger_hold BEGIN "
        "SELECT RAISE(ABORT, 'ledger: a hold is what its transactions moved') WHERE OLD.ended_id IS NOT NULL "
        "OR NEW.id <> OLD.id OR NEW.account_id <> OLD.account_id OR NEW.amount_minor <> OLD.amount_minor "
        "OR NEW.placed_id <> OLD.placed_id OR NOT EXISTS (SELECT 1 FROM ledger_entry AS e "
        "WHERE e.transaction_id = NEW.ended_id AND e.account_id = NEW.account_id AND e.amount_minor = NEW.amount_minor); "
        "END"
    ),
    *(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in (*ADDED_ONLY, "ledger_entry")
        for verb in ("update", "delete")
    ),
    *(
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in (*READ_ONLY[1:], "ledger_hold")
    ),
)
TRIGGERS: Final = {"sqlite": SQLITE, "postgresql": POSTGRES}

# All of them belong to the last of the tables that they are about; they are made when all tables are there.
for _dialect, _statements in TRIGGERS.items():
    for _statement in _statements:
        _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(Base.metadata, "after_create", _ddl.execute_if(dialect=_dialect))
