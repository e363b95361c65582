"""Consumption (S1): the client services of organizations, and how many operations each had on each day."""

import datetime as dt
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payadmin.db import Base, enum_column, search_text
from payadmin.models.base import Audited, Row
from payadmin.models.parties import Organization

LARGEST_COUNT = 10**12  # a day's; sums of millions of rows still fit into 64 bits
CODE_LENGTH = 64
OPERATION_LENGTH = 64
SOURCE_LENGTH = 40


class ClientServiceStatus(StrEnum):
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    SUSPENDED = "Suspended"


class ClientService(Row, Audited, Base):
    """A service that an organization's clients use, and whose operations are counted.

    A partner owns it, an issuer issues it; the two may be the same. Both see it, nobody else does (S1:10).
    """

    __tablename__ = "client_service"
    __table_args__ = (
        Index("ix_client_service_created_at_id", "created_at", "id"),
        Index("ix_client_service_organization_id_status", "organization_id", "status"),
        Index("ix_client_service_issuer_id_status", "issuer_id", "status"),
    )

    code: Mapped[str] = mapped_column(search_text(CODE_LENGTH), unique=True, info={"label": "Code", "search": True})
    name: Mapped[str] = mapped_column(search_text(200), index=True, info={"label": "Name", "search": True})
    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Organization", "help": "Whose service it is."}
    )
    issuer_id: Mapped[int | None] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Issuer", "help": "Who issues it, if that is somebody else."}
    )
    status: Mapped[ClientServiceStatus] = enum_column(
        ClientServiceStatus, default=ClientServiceStatus.ACTIVE, index=True, info={"label": "Status"}
    )

    organization: Mapped[Organization] = relationship(foreign_keys=organization_id, lazy="raise_on_sql")
    issuer: Mapped[Organization | None] = relationship(foreign_keys=issuer_id, lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name


class UsageDaily(Row, Audited, Base):
    """How many operations of one kind a client service had on one day, as one source counted them (HD1).

    Several sources of the same day add up; the same source says its count again to correct it.
    """

    __tablename__ = "usage_daily"
    __table_args__ = (
        UniqueConstraint("client_service_id", "operation", "day", "source"),
        Index("ix_usage_daily_client_service_id_day_id", "client_service_id", "day", "id"),
        Index("ix_usage_daily_day_id", "day", "id"),
        Index("ix_usage_daily_operation_day_id", "operation", "day", "id"),
        CheckConstraint(f"operations BETWEEN 0 AND {LARGEST_COUNT}", name="operations_in_range"),
    )

    day: Mapped[dt.date] = mapped_column(Date, info={"label": "Day", "readonly": True, "filter": True})
    client_service_id: Mapped[int] = mapped_column(
        ForeignKey("client_service.id"), info={"label": "Client service", "readonly": True}
    )
    operation: Mapped[str] = mapped_column(
        search_text(OPERATION_LENGTH), info={"label": "Operation", "search": True, "readonly": True}
    )
    source: Mapped[str] = mapped_column(
        search_text(SOURCE_LENGTH), info={"label": "Source", "readonly": True, "list": False}
    )
    operations: Mapped[int] = mapped_column(BigInteger, info={"label": "Operations", "readonly": True, "filter": False})

    client_service: Mapped[ClientService] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"{self.operation} on {self.day:%Y-%m-%d}"
