"""The audit trail: one row for everything that staff, jobs and commands did, was refused, or saw leave the building."""

import datetime as dt
from typing import Any

from sqlalchemy import DDL, Index, String, Text, event
from sqlalchemy.orm import Mapped, mapped_column

from payadmin.db import Base, BigId, Json, UtcDateTime, utcnow


class AuditEvent(Base):
    """One act. Append-only: the ORM refuses changes and triggers in the database refuse them again.

    `before` and `after` hold the changed fields only, with personal data masked; `keys` holds the identifiers (invoice,
    billing number, customer, transaction) by which the act can be found.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_at_id", "at", "id"),
        Index("ix_audit_event_entity_entity_id_id", "entity", "entity_id", "id"),
        Index("ix_audit_event_actor_name_id", "actor_name", "id"),
        Index("ix_audit_event_event_id", "event", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=utcnow)
    actor_id: Mapped[int | None] = mapped_column()
    actor_name: Mapped[str] = mapped_column(String(100))
    roles: Mapped[str] = mapped_column(String(300), default="")
    ip: Mapped[str | None] = mapped_column(String(45))
    request_id: Mapped[str | None] = mapped_column(String(64))
    event: Mapped[str] = mapped_column(String(80))
    outcome: Mapped[str] = mapped_column(String(16), default="done")
    entity: Mapped[str | None] = mapped_column(String(64))
    entity_id: Mapped[str | None] = mapped_column(String(64))
    before: Mapped[dict[str, Any] | None] = mapped_column(Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(Json)
    keys: Mapped[dict[str, Any] | None] = mapped_column(Json)
    reason: Mapped[str | None] = mapped_column(Text)

    def __str__(self) -> str:
        return f"{self.event} {self.entity or ''} {self.entity_id or ''}".strip()


# The application refuses to change the trail; the database refuses again, whoever asks.
_SQLITE = (
    "CREATE TRIGGER audit_event_no_{verb} BEFORE {VERB} ON audit_event "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
)
_POSTGRES = (
    (
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    ),
    (
        "CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    ),
)
TRIGGERS: dict[str, tuple[str, ...]] = {
    "sqlite": tuple(_SQLITE.format(verb=verb, VERB=verb.upper()) for verb in ("update", "delete")),
    "postgresql": _POSTGRES,
}

for _dialect, _statements in TRIGGERS.items():
    for _statement in _statements:
        _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(AuditEvent.__table__, "after_create", _ddl.execute_if(dialect=_dialect))
