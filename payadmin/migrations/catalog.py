"""What a database really contains, read from its own catalogue: one line of text for each thing it holds."""

import re

from sqlalchemy import Connection, text

Catalog = dict[str, str]

# Alembic's own table says where the schema is; it is not part of the schema.
NOT_OURS = "alembic_version"

_CHECK = re.compile(r"(?:CONSTRAINT\s+(\"?[\w$]+\"?)\s+)?CHECK\s*\(", re.IGNORECASE)
_CODE_TYPES = {"c": "check", "f": "foreign key", "p": "primary key", "u": "unique constraint", "x": "exclusion"}


def read_catalog(connection: Connection) -> Catalog:
    """Everything in the connection's schema: what it is called → how the database defines it.

    Tables, columns (type, NULL, default), primary keys, foreign keys, unique constraints, indexes (columns, order and
    partial conditions), CHECKs, triggers and trigger functions. The order of columns is left out: a migration can only
    add a column at the end.
    """
    return _sqlite(connection) if connection.dialect.name == "sqlite" else _postgresql(connection)


def _sqlite(connection: Connection) -> Catalog:
    found: Catalog = {}
    rows = connection.execute(
        text("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    )
    for kind, name, table, sql in rows.all():
        if table == NOT_OURS:
            continue
        if kind == "table":
            found |= _sqlite_table(connection, name, sql)
        elif kind in {"index", "trigger", "view"}:
            owner = "" if kind == "view" else f" on {table}"
            found[f"{kind} {name}{owner}"] = _tidy(sql)
    return found


def _sqlite_table(connection: Connection, name: str, sql: str) -> Catalog:
    found: Catalog = {f"table {name}": _tidy(sql[sql.rindex(")") + 1 :]) or "present"}
    key: dict[int, str] = {}
    for column in connection.execute(text("SELECT * FROM pragma_table_xinfo(:t)"), {"t": name}).mappings():
        default = "" if column["dflt_value"] is None else f" DEFAULT {column['dflt_value']}"
        null = "NOT NULL" if column["notnull"] else "NULL"
        found[f"column {name}.{column['name']}"] = f"{column['type']} {null}{default}"
        if column["pk"]:
            key[column["pk"]] = column["name"]
    if key:
        found[f"primary key of {name}"] = ", ".join(key[place] for place in sorted(key))
    foreign: dict[int, list[tuple[str, str, str]]] = {}
    statement = text("SELECT * FROM pragma_foreign_key_list(:t) ORDER BY id, seq")
    for row in connection.execute(statement, {"t": name}).mappings():
        rules = f"{row['table']} ON UPDATE {row['on_update']} ON DELETE {row['on_delete']}"
        foreign.setdefault(row["id"], []).append((row["from"], row["to"], rules))
    for parts in foreign.values():
        ours, theirs = (", ".join(part[place] for part in parts) for place in (0, 1))
        found[f"foreign key {name}({ours})"] = f"({theirs}) of {parts[0][2]}"
    for row in connection.execute(
        text("SELECT name FROM pragma_index_list(:t) WHERE origin = 'u'"), {"t": name}
    ).mappings():
        info = connection.execute(text("SELECT name FROM pragma_index_info(:i) ORDER BY seqno"), {"i": row["name"]})
        columns = ", ".join(info.scalars())
        found[f"unique constraint {name}({columns})"] = "present"
    for number, (label, condition) in enumerate(_sqlite_checks(sql), 1):
        found[f"check {label or number} on {name}"] = condition
    return found


def _sqlite_checks(sql: str) -> list[tuple[str | None, str]]:
    """The CHECKs in a CREATE TABLE statement: SQLite keeps no other record of them."""
    found = []
    for match in _CHECK.finditer(sql):
        depth, quoted, end = 1, False, match.end()
        while depth:
            letter = sql[end]
            if letter == "'":
                quoted = not quoted
            elif not quoted:
                depth += (letter == "(") - (letter == ")")
            end += 1
        label = match.group(1)
        found.append((label.strip('"') if label else None, _tidy(sql[match.end() : end - 1])))
    return found


def _postgresql(connection: Connection) -> Catalog:
    schema = str(connection.scalar(text("SELECT current_schema()")))
    found: Catalog = {}

    def each(statement: str) -> list[tuple[str, ...]]:
        rows = connection.execute(text(statement), {"schema": schema, "not_ours": NOT_OURS})
        return [tuple(str(part) for part in row) for row in rows]

    for (name,) in each(
        "SELECT relname FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind IN ('r', 'p') "
        "AND relname <> :not_ours"
    ):
        found[f"table {name}"] = "present"
    for table, name, kind, null, default in each(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), "
        "CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END || a.attidentity::text || a.attgenerated::text "
        "|| coalesce(' COLLATE ' || l.collname, ''), "
        "coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_type t ON t.oid = a.atttypid "
        "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        "LEFT JOIN pg_collation l ON l.oid = a.attcollation AND a.attcollation <> t.typcollation "
        "WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind IN ('r', 'p') AND a.attnum > 0 "
        "AND NOT a.attisdropped AND c.relname <> :not_ours"
    ):
        found[f"column {table}.{name}"] = f"{kind} {null}{default}"
    for table, name, kind, definition in each(
        "SELECT c.relname, n.conname, n.contype::text, pg_get_constraintdef(n.oid) FROM pg_constraint n "
        "JOIN pg_class c ON c.oid = n.conrelid WHERE n.connamespace = CAST(:schema AS regnamespace) "
        "AND n.contype IN ('c', 'f', 'p', 'u', 'x') AND c.relname <> :not_ours"
    ):
        found[f"{_CODE_TYPES[kind]} {name} on {table}"] = definition
    for table, name, definition in each(
        "SELECT c.relname, i.relname, pg_get_indexdef(x.indexrelid) FROM pg_index x "
        "JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid "
        "WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relname <> :not_ours "
        "AND NOT EXISTS (SELECT 1 FROM pg_constraint n WHERE n.conindid = x.indexrelid)"
    ):
        found[f"index {name} on {table}"] = definition
    for table, name, definition in each(
        "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT t.tgisinternal AND c.relname <> :not_ours"
    ):
        found[f"trigger {name} on {table}"] = definition
    for name, definition in each(
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = CAST(:schema AS regnamespace) "
        "AND prokind = 'f' AND prorettype = CAST('trigger' AS regtype)"
    ):
        found[f"function {name}"] = _tidy(definition)
    # A function that is pinned to its schema names it too.
    pinned = f"search_path TO '{schema}'"
    plain = {name: each.replace(f"{schema}.", "").replace(pinned, "search_path") for name, each in found.items()}
    return {name: _as_written(definition) for name, definition in plain.items()}


def _as_written(definition: str) -> str:
    """A definition in one form: PostgreSQL casts a list as a whole, but each of its words after a dump and restore."""
    whole = re.sub(r"\(ARRAY\[([^\]]*)\]\)::text\[\]", r"ARRAY[\1]", definition)
    return re.sub(r"\(('(?:[^']|'')*'::character varying)\)::text", r"\1", whole)


def _tidy(sql: str) -> str:
    """`sql` on one line, with the quotes around plain names dropped: layout is no difference."""
    return re.sub(r'"([a-z_][a-z0-9_]*)"', r"\1", re.sub(r"\s+", " ", sql)).strip()
