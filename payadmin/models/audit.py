"""The audit trail: one row for everything that staff, jobs and commands did, was refused, or saw leave the building."""

import datetime as dt
from typing import Any

from sqlalchemy import DDL, Index, LargeBinary, String, Text, event, text
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base, BigId, Json, UtcDateTime, search_text, utcnow
from payadmin.kernel import seals

# The engine's execution option that holds the key with which events are signed as they are written.
SIGNING_KEY = "payadmin_audit_key"
LONGEST_KEY = 100
_NOT_DONE = text("outcome <> 'done'")
_BY_PEOPLE = text("actor_id IS NOT NULL")


def _signature(context: Any) -> str | None:
    """Sign an event on its way into the database, whoever writes it; without a key (loaders, old rows) it has none."""
    key: bytes | None = context.execution_options.get(SIGNING_KEY)
    return None if key is None else seals.sign(key, seals.content(context.get_current_parameters()))


class AuditEvent(Base):
    """One act. Append-only: the ORM refuses changes and triggers in the database refuse them again.

    `before` and `after` hold the changed fields only, with personal data masked; `keys` holds the identifiers (invoice,
    billing number, customer, transaction) by which the act can be found.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_at_id", "at", "id"),
        Index("ix_audit_event_entity_entity_id_id", "entity", "entity_id", "id"),
        Index("ix_audit_event_actor_name_at_id", "actor_name", "at", "id"),
        Index("ix_audit_event_event_at_id", "event", "at", "id"),
        Index("ix_audit_event_not_done", "at", "id", sqlite_where=_NOT_DONE, postgresql_where=_NOT_DONE),
        Index("ix_audit_event_by_people", "at", "id", sqlite_where=_BY_PEOPLE, postgresql_where=_BY_PEOPLE),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, info={"label": "No."})
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow, info={"label": "Date"})
    actor_id: Mapped[int | None] = mapped_column()
    actor_name: Mapped[str] = mapped_column(String(100), info={"label": "User"})
    roles: Mapped[str] = mapped_column(String(300), default="", info={"label": "Roles then"})
    ip: Mapped[str | None] = mapped_column(String(45), info={"label": "Address"})
    request_id: Mapped[str | None] = mapped_column(String(64), info={"label": "Request"})
    event: Mapped[str] = mapped_column(String(80), info={"label": "Activity"})
    outcome: Mapped[str] = mapped_column(String(16), default="done", info={"label": "Outcome"})
    entity: Mapped[str | None] = mapped_column(String(64), info={"label": "Record"})
    entity_id: Mapped[str | None] = mapped_column(String(64), info={"label": "Record no."})
    before: Mapped[dict[str, Any] | None] = mapped_column(Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(Json)
    keys: Mapped[dict[str, Any] | None] = mapped_column(Json, info={"label": "Data"})
    reason: Mapped[str | None] = mapped_column(Text, info={"label": "Reason"})
    signature: Mapped[str | None] = mapped_column(String(64), default=_signature, info={"list": False, "secret": True})

    def __str__(self) -> str:
        return f"{self.event} {self.entity or ''} {self.entity_id or ''}".strip()


class AuditKey(Base):
    """One identifier of one act, so that acts are found by it through an index. A trigger writes it with the act."""

    __tablename__ = "audit_key"

    value: Mapped[str] = mapped_column(search_text(LONGEST_KEY), primary_key=True)
    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)


class AuditSeal(Base):
    """The seal on a range of acts: made after their transactions ended, so that nobody waits for it.

    What each field means is told by `kernel.seals.Sealed`; `mac` covers them all.
    """

    __tablename__ = "audit_seal"
    __table_args__ = (
        Index("ix_audit_seal_last_id", "last_id"),
        Index(
            "ix_audit_seal_late",
            "id",
            sqlite_where=text("late IS NOT NULL"),
            postgresql_where=text("late IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    first_id: Mapped[int] = mapped_column()
    last_id: Mapped[int] = mapped_column()
    count: Mapped[int] = mapped_column()
    late: Mapped[list[int] | None] = mapped_column(Json)
    missing: Mapped[list[list[int]] | None] = mapped_column(Json)
    leaves: Mapped[bytes] = mapped_column(LargeBinary)
    root: Mapped[str] = mapped_column(String(64))
    adopted: Mapped[bool] = mapped_column(default=False)
    previous: Mapped[str] = mapped_column(String(64))
    mac: Mapped[str] = mapped_column(String(64))

    def sealed(self) -> seals.Sealed:
        """What the MAC covers."""
        return seals.Sealed(
            id=self.id,
            at=self.at,
            first_id=self.first_id,
            last_id=self.last_id,
            late=self.late or (),
            missing=self.gaps(),
            leaves=self.leaves,
            root=self.root,
            adopted=self.adopted,
            previous=self.previous,
        )

    def gaps(self) -> list[seals.Range]:
        """The numbers that belonged to nobody when it was made."""
        return [(first, last, since) for first, last, since in self.missing or ()]


class AuditCheck(Base):
    """One verification of the whole trail: how far it is, and what it found."""

    __tablename__ = "audit_check"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    started_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    done_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    asked_by: Mapped[str] = mapped_column(String(100))
    seal_id: Mapped[int] = mapped_column(default=0)
    seal_mac: Mapped[str] = mapped_column(String(64), default="")
    last_id: Mapped[int] = mapped_column(default=0)
    events: Mapped[int] = mapped_column(default=0)
    unsealed: Mapped[int] = mapped_column(default=0)
    adopted: Mapped[int] = mapped_column(default=0)
    broken: Mapped[int] = mapped_column(default=0)
    breaks: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)


# The application refuses to change the trail; the database refuses again, whoever asks.
_SQLITE = (
    "CREATE TRIGGER {table}_no_{verb} BEFORE {VERB} ON {table} "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
)
_SQLITE_KEYS = (
    "CREATE TRIGGER audit_event_fill_keys AFTER INSERT ON audit_event WHEN NEW.keys IS NOT NULL "
    "BEGIN INSERT OR IGNORE INTO audit_key (value, event_id, name) "
    "SELECT CAST(k.value AS TEXT), NEW.id, k.key FROM json_each(NEW.keys) AS k "
    "WHERE k.type IN ('text', 'integer') AND length(k.value) BETWEEN 1 AND 100 AND length(k.key) <= 64; END"
)
_REFUSE = (
    "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
)
_POSTGRES = (
    "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
)
_POSTGRES_KEYS = (
    (
        "CREATE FUNCTION fill_audit_keys() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO audit_key (value, event_id, name) "
        "SELECT k.value #>> '{}', NEW.id, k.name FROM jsonb_each(NEW.keys) AS k (name, value) "
        "WHERE jsonb_typeof(k.value) IN ('string', 'number') AND length(k.value #>> '{}') BETWEEN 1 AND 100 "
        "AND length(k.name) <= 64 ON CONFLICT DO NOTHING; RETURN NULL; END $$"
    ),
    (
        "CREATE TRIGGER audit_event_fill_keys AFTER INSERT ON audit_event "
        "FOR EACH ROW WHEN (NEW.keys IS NOT NULL) EXECUTE FUNCTION fill_audit_keys()"
    ),
)
APPEND_ONLY = ("audit_event", "audit_key", "audit_seal")


def _triggers(table: str) -> dict[str, tuple[str, ...]]:
    sqlite = tuple(_SQLITE.format(table=table, verb=verb, VERB=verb.upper()) for verb in ("update", "delete"))
    return {"sqlite": sqlite, "postgresql": (_POSTGRES.format(table=table),)}


_OF_TABLE: dict[str, dict[str, tuple[str, ...]]] = {table: _triggers(table) for table in APPEND_ONLY}
_OF_TABLE["audit_event"]["postgresql"] = (_REFUSE, *_OF_TABLE["audit_event"]["postgresql"], *_POSTGRES_KEYS)
_OF_TABLE["audit_event"]["sqlite"] += (_SQLITE_KEYS,)
TRIGGERS: dict[str, tuple[str, ...]] = {
    dialect: tuple(statement for found in _OF_TABLE.values() for statement in found[dialect])
    for dialect in ("sqlite", "postgresql")
}

for _table, _by_dialect in _OF_TABLE.items():
    for _dialect, _statements in _by_dialect.items():
        for _statement in _statements:
            _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(Base.metadata.tables[_table], "after_create", _ddl.execute_if(dialect=_dialect))
