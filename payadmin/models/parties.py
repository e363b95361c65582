"""Parties: organizations (merchants, partners, the system itself) and customers (payers)."""

import datetime as dt
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, Json, UtcDateTime, enum_column, search_text, utcnow
from payadmin.kernel.phones import LONGEST_KEY, phone_key
from payadmin.kernel.states import Machine
from payadmin.models.base import Audited, Row


class OrganizationKind(StrEnum):
    SYSTEM = "System"
    MERCHANT = "Merchant"
    INDIVIDUAL = "Individual"
    ISSUER = "Issuer"
    PARTNER = "Partner"
    CASHIER = "Cashier"
    PROVIDER = "Provider"
    EXCHANGE_OFFICE = "Exchange office"
    MASSPAY = "MassPay"


class OrganizationStatus(StrEnum):
    ACTIVE = "Active"
    CLOSED = "Closed"


class CustomerKind(StrEnum):
    INDIVIDUAL = "Individual"
    MERCHANT = "Merchant"


class CustomerStatus(StrEnum):
    ACTIVE = "Active"
    BLOCKED = "Blocked"


class IdentificationStatus(StrEnum):
    """Whether we know who a customer is; lists show only identified or not (KY1)."""

    UNIDENTIFIED = "Unidentified"
    IN_REVIEW = "In review"
    IDENTIFIED = "Identified"
    REJECTED = "Rejected"


IDENTIFICATION_MACHINE = Machine(
    initial=IdentificationStatus.UNIDENTIFIED,
    moves={
        IdentificationStatus.UNIDENTIFIED: frozenset({IdentificationStatus.IN_REVIEW, IdentificationStatus.IDENTIFIED}),
        IdentificationStatus.IN_REVIEW: frozenset({IdentificationStatus.IDENTIFIED, IdentificationStatus.REJECTED}),
        IdentificationStatus.REJECTED: frozenset({IdentificationStatus.IN_REVIEW}),
        IdentificationStatus.IDENTIFIED: frozenset({IdentificationStatus.UNIDENTIFIED}),
    },
)


class Organization(Row, Audited, Base):
    """An organization. Every staff user belongs to one; merchants are paid by payments."""

    __tablename__ = "organization"
    __table_args__ = (Index("ix_organization_created_at_id", "created_at", "id"),)

    name: Mapped[str] = mapped_column(search_text(200), unique=True, info={"label": "Name", "search": True})
    kind: Mapped[OrganizationKind] = enum_column(OrganizationKind, index=True, info={"label": "Kind"})
    status: Mapped[OrganizationStatus] = enum_column(
        OrganizationStatus, default=OrganizationStatus.ACTIVE, info={"label": "Status"}
    )
    # Given on the pages of contracts and cashback profiles, where a second person may have to agree.
    contract_id: Mapped[int | None] = mapped_column(
        ForeignKey("contract.id"), index=True, info={"label": "Contract", "list": False, "readonly": True}
    )
    cashback_profile_id: Mapped[int | None] = mapped_column(
        ForeignKey("cashback_profile.id"),
        index=True,
        info={"label": "Cashback profile", "list": False, "readonly": True},
    )

    def __str__(self) -> str:
        return self.name


def folded(text: str | None) -> str | None:
    """An e-mail address or a user name as it is looked for: without regard to case."""
    return text.strip().casefold()[:_LONGEST_FOLDED] if text and text.strip() else None


_LONGEST_FOLDED: Final = 254
# What support looks customers up by (TK2): the column it is made from, and how. Kept with every write of that column.
LOOKED_UP: Final[dict[str, tuple[str, Callable[[str | None], str | None]]]] = {
    "phone": ("phone_key", phone_key),
    "email": ("email_key", folded),
    "username": ("username_key", folded),
}
_DERIVED: Final = {"secret": True, "derived": True, "list": False}


def _made_from(source: str) -> Callable[[Any], str | None]:
    """The default of a derived column: rows that come in by the thousand pass no validator."""

    def derive(context: Any) -> str | None:
        return LOOKED_UP[source][1](context.get_current_parameters().get(source))

    return derive


class Customer(Row, Audited, Base):
    """The payer of payments. `external_id` is the Customer ID that merchants know."""

    __tablename__ = "customer"
    __table_args__ = (
        Index("ix_customer_created_at_id", "created_at", "id"),
        # Who waits longest for an answer.
        Index("ix_customer_identification_since_id", "identification_since", "id"),
        Index("ix_customer_identification_identification_since_id", "identification", "identification_since", "id"),
    )

    external_id: Mapped[str] = mapped_column(
        search_text(64), unique=True, info={"label": "Customer ID", "search": True, "readonly": True}
    )
    kind: Mapped[CustomerKind] = enum_column(CustomerKind, default=CustomerKind.INDIVIDUAL, info={"label": "Kind"})
    organization_id: Mapped[int | None] = mapped_column(
        ForeignKey("organization.id"), index=True, info={"label": "Organization"}
    )
    name: Mapped[str] = mapped_column(
        search_text(200), index=True, info={"label": "Name", "search": True, "mask": "name"}
    )
    username: Mapped[str | None] = mapped_column(
        search_text(64), unique=True, info={"label": "User name", "list": False, "mask": "name"}
    )
    email: Mapped[str | None] = mapped_column(
        search_text(254), index=True, info={"label": "E-mail", "search": True, "mask": "email"}
    )
    phone: Mapped[str | None] = mapped_column(
        search_text(32), index=True, info={"label": "Phone", "search": True, "mask": "phone"}
    )
    phone_key: Mapped[str | None] = mapped_column(
        search_text(LONGEST_KEY), index=True, default=_made_from("phone"), info=_DERIVED
    )
    email_key: Mapped[str | None] = mapped_column(
        search_text(254), index=True, default=_made_from("email"), info=_DERIVED
    )
    username_key: Mapped[str | None] = mapped_column(
        search_text(254), index=True, default=_made_from("username"), info=_DERIVED
    )
    notification_channels: Mapped[list[str]] = mapped_column(
        Json, default=lambda: ["email"], info={"label": "Notification channels", "list": False, "readonly": True}
    )
    locale: Mapped[str] = mapped_column(String(16), default="en", info={"label": "Language", "list": False})
    status: Mapped[CustomerStatus] = enum_column(
        CustomerStatus, default=CustomerStatus.ACTIVE, info={"label": "Status", "readonly": True}
    )

    identification: Mapped[IdentificationStatus] = enum_column(
        IdentificationStatus,
        default=IdentificationStatus.UNIDENTIFIED,
        server_default=IdentificationStatus.UNIDENTIFIED.name,
        info={"label": "Identification", "list": False, "readonly": True},
    )
    # Since when: how long somebody waits whose documents are in review. The database's own value only fills old rows.
    identification_since: Mapped[dt.datetime] = mapped_column(
        UtcDateTime,
        default=utcnow,
        server_default=text("'1970-01-01 00:00:00'"),
        info={"label": "Since", "list": False, "readonly": True, "filter": False},
    )
    # Keyed digest (`kernel/codewords.py`). No index makes it unique: two customers may choose the same word.
    codeword_digest: Mapped[str | None] = mapped_column(String(64), index=True, info={"secret": True})
    # Who gave it, and could say it without the customer: it does not open the customer's data to them.
    codeword_by_id: Mapped[int | None] = mapped_column(ForeignKey("staff_user.id"), index=True, info={"secret": True})

    organization: Mapped[Organization | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.name

    @property
    def can_be_mailed(self) -> bool:
        """Whether an e-mail can reach this customer."""
        return bool(self.email) and "email" in self.notification_channels

    @validates(*LOOKED_UP)
    def _derive(self, key: str, value: str | None) -> str | None:
        column, make = LOOKED_UP[key]
        setattr(self, column, make(value))
        return value
