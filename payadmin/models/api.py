"""The API's own rows: the keys that programs hold, and what was answered to a request that may come again."""

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.errors import Conflict
from payadmin.kernel.states import Machine
from payadmin.models.base import Audited, Row
from payadmin.models.parties import Organization


class ApiKeyStatus(StrEnum):
    """What was done with a key; that it expired is read from its time."""

    ACTIVE = "Active"
    REVOKED = "Revoked"


KEY_MACHINE = Machine(initial=ApiKeyStatus.ACTIVE, moves={ApiKeyStatus.ACTIVE: frozenset({ApiKeyStatus.REVOKED})})
EXPIRED = "Expired"
_READONLY = {"readonly": True}


class ApiKey(Row, Audited, Base):
    """What a program of an organization shows to use the API. Its secret is not kept, only what recognises it."""

    machine: ClassVar[Machine[ApiKeyStatus]] = KEY_MACHINE

    __title__ = "name"
    __tablename__ = "api_key"
    __table_args__ = (
        Index("ix_api_key_created_at_id", "created_at", "id"),
        CheckConstraint("(status = 'REVOKED') = (revoked_at IS NOT NULL)", name="revoked_has_time"),
        CheckConstraint("expires_at > created_at", name="expires_later"),
    )

    name: Mapped[str] = mapped_column(search_text(80), index=True, info={"label": "Name", "search": True} | _READONLY)
    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), index=True, info={"label": "Organization"} | _READONLY
    )
    # Tells which row a key belongs to; it opens nothing by itself.
    prefix: Mapped[str] = mapped_column(
        search_text(12), unique=True, info={"label": "Key begins with", "search": True} | _READONLY
    )
    secret_hash: Mapped[str] = mapped_column(String(64), info={"secret": True})
    scopes: Mapped[list[str]] = mapped_column(Json, info={"label": "May", "filter": False} | _READONLY)
    status: Mapped[ApiKeyStatus] = enum_column(
        ApiKeyStatus,
        default=ApiKeyStatus.ACTIVE,
        server_default="ACTIVE",
        index=True,
        info={"label": "Status"} | _READONLY,
    )
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Expires"} | _READONLY)
    last_used_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Last used", "filter": False} | _READONLY
    )
    last_used_ip: Mapped[str | None] = mapped_column(
        String(45), info={"label": "Last used from", "list": False, "filter": False} | _READONLY
    )
    made_by: Mapped[str] = mapped_column(
        String(100), info={"label": "Made by", "list": False, "filter": False} | _READONLY
    )
    revoked_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Revoked", "list": False, "filter": False} | _READONLY
    )
    revoked_by: Mapped[str | None] = mapped_column(
        String(100), info={"label": "Revoked by", "list": False, "filter": False} | _READONLY
    )

    organization: Mapped[Organization] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: ApiKeyStatus) -> ApiKeyStatus:
        before = self.status
        if before is not None and before is not after and not KEY_MACHINE.allows(before, after):
            raise Conflict("A revoked key stays revoked. Make a new one.")
        return after


def state_of(row: Any, now: dt.datetime) -> str:
    """Active, Revoked or Expired; reads only columns."""
    status: ApiKeyStatus = row.status
    return EXPIRED if status is ApiKeyStatus.ACTIVE and row.expires_at <= now else status.value


class ApiAnswer(Row, Base):
    """What was answered to a request with an `Idempotency-Key`, kept so that the same request gets the same answer."""

    __tablename__ = "api_answer"
    __table_args__ = (
        UniqueConstraint("api_key_id", "key"),
        Index("ix_api_answer_created_at", "created_at"),
    )

    api_key_id: Mapped[int] = mapped_column(ForeignKey("api_key.id"))
    key: Mapped[str] = mapped_column(search_text(64))
    request_hash: Mapped[str] = mapped_column(String(64))
    # Empty until the act of the request is done, in the same transaction.
    body: Mapped[dict[str, Any] | None] = mapped_column(Json)
