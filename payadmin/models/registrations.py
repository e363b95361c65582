"""Registration links: what a payer is invited to agree to, on a page that needs no account (S2:76)."""

import datetime as dt
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, Json, UtcDateTime, enum_column, search_text
from payadmin.kernel.errors import Conflict
from payadmin.kernel.schedules import IntervalUnit, Schedule, ScheduleKind
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.base import Audited, Row, minor_column
from payadmin.models.parties import Customer, Organization
from payadmin.models.subscriptions import Purpose, Subscription, schedule_columns, schedule_of, schedule_values


class LinkStatus(StrEnum):
    """What was done with a link; that it expired is read from its time."""

    OPEN = "Open"
    USED = "Used"
    REVOKED = "Revoked"


L = LinkStatus
LINK_MACHINE = Machine(initial=L.OPEN, moves={L.OPEN: frozenset({L.USED, L.REVOKED})})
EXPIRED = "Expired"


class RegistrationLink(Row, Audited, Base):
    """An invitation to register a subscription. The link itself is not kept: only what finds it (`kernel/links.py`)."""

    machine: ClassVar[Machine[LinkStatus]] = LINK_MACHINE

    __title__ = "billing_number"
    __tablename__ = "registration_link"
    __table_args__ = (
        Index("ix_registration_link_created_at_id", "created_at", "id"),
        Index("ix_registration_link_status_created_at_id", "status", "created_at", "id"),
        Index("ix_registration_link_status_expires_at_id", "status", "expires_at", "id"),
        Index("ix_registration_link_merchant_id_billing_number", "merchant_id", "billing_number"),
        # One open invitation for one agreement: two would be two chances to register it.
        Index(
            "uq_registration_link_open",
            "merchant_id",
            "billing_number",
            unique=True,
            sqlite_where=text("status = 'OPEN'"),
            postgresql_where=text("status = 'OPEN'"),
        ),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("customer_id IS NOT NULL OR email IS NOT NULL", name="meant_for_somebody"),
        CheckConstraint("(status = 'USED') = (subscription_id IS NOT NULL)", name="used_has_subscription"),
        CheckConstraint("(status = 'USED') = (used_at IS NOT NULL)", name="used_has_time"),
    )

    status: Mapped[LinkStatus] = enum_column(
        LinkStatus, default=L.OPEN, server_default="OPEN", info={"label": "Status", "readonly": True}
    )
    merchant_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id"), info={"label": "Merchant", "readonly": True}
    )
    customer_id: Mapped[int | None] = mapped_column(
        ForeignKey("customer.id"), index=True, info={"label": "Customer", "readonly": True}
    )
    email: Mapped[str | None] = mapped_column(
        search_text(254), index=True, info={"label": "E-mail", "search": True, "readonly": True, "mask": "email"}
    )
    billing_number: Mapped[str] = mapped_column(
        search_text(64), index=True, info={"label": "Billing number", "search": True, "readonly": True}
    )
    amount_minor: Mapped[int] = minor_column("Amount")
    unit: Mapped[str] = mapped_column(
        ForeignKey("unit.code"), info={"label": "Currency", "readonly": True, "list": False}
    )
    method: Mapped[str] = mapped_column(
        ForeignKey("payment_method.code"), info={"label": "Method", "readonly": True, "list": False}
    )
    provider: Mapped[str] = mapped_column(String(40), info={"label": "Provider", "readonly": True, "list": False})
    purpose: Mapped[Purpose] = enum_column(Purpose, info={"label": "Type", "readonly": True, "list": False})
    # The `schedule_…` columns of the subscription to come, as JSON holds them.
    schedule: Mapped[dict[str, Any]] = mapped_column(
        Json, info={"label": "Schedule", "readonly": True, "list": False, "filter": False}
    )
    start_date: Mapped[dt.date] = mapped_column(Date, info={"label": "Start date", "readonly": True, "list": False})
    expiration_date: Mapped[dt.date | None] = mapped_column(
        Date, info={"label": "Expiration date", "readonly": True, "list": False}
    )
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Link expires", "readonly": True})
    nonce: Mapped[str] = mapped_column(String(22), info={"secret": True})
    token_hash: Mapped[str] = mapped_column(String(64), unique=True, info={"secret": True})
    invited_by: Mapped[str] = mapped_column(
        String(100), info={"label": "Invited by", "readonly": True, "list": False, "filter": False}
    )
    mailed_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "E-mailed", "readonly": True, "list": False, "filter": False}
    )
    used_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime, info={"label": "Used", "readonly": True, "list": False, "filter": False}
    )
    payer_name: Mapped[str | None] = mapped_column(
        String(100), info={"label": "Name the payer gave", "readonly": True, "list": False, "mask": "name"}
    )
    consent: Mapped[str | None] = mapped_column(
        Text, info={"label": "Agreed to", "readonly": True, "list": False, "filter": False}
    )
    subscription_id: Mapped[int | None] = mapped_column(
        ForeignKey("subscription.id"), unique=True, info={"label": "Subscription", "readonly": True}
    )

    merchant: Mapped[Organization] = relationship(lazy="raise_on_sql")
    customer: Mapped[Customer | None] = relationship(lazy="raise_on_sql")
    subscription: Mapped[Subscription | None] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return self.billing_number

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: LinkStatus) -> LinkStatus:
        before = self.status
        if before is not None and before is not after and not LINK_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A link that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after

    @property
    def rule(self) -> Schedule | None:
        """When the subscription will fall due; None when what is stored makes no sense."""
        return rule_of(self)


def state_of(row: Any, now: dt.datetime) -> str:
    """Open, Used, Revoked or Expired; reads only columns."""
    status: LinkStatus = row.status
    return EXPIRED if status is L.OPEN and row.expires_at <= now else status.value


def rule_of(row: Any) -> Schedule | None:
    """The rule in a link's `schedule`; reads only columns."""
    try:
        kept = dict.fromkeys(schedule_columns()) | dict(row.schedule)
        kept["schedule_kind"] = ScheduleKind[str(kept["schedule_kind"])]
        kept["schedule_interval_unit"] = (unit := kept["schedule_interval_unit"]) and IntervalUnit[str(unit)]
        kept["schedule_anchor"] = (anchor := kept["schedule_anchor"]) and dt.date.fromisoformat(anchor)
    except (KeyError, TypeError, ValueError):
        return None
    return schedule_of(SimpleNamespace(**kept))


def kept_rule(schedule: Schedule) -> dict[str, Any]:
    """A rule as a link's `schedule` holds it."""
    kept = {key: value for key, value in schedule_values(schedule).items() if value is not None}
    kept["schedule_kind"] = schedule.kind.name
    if schedule.interval_unit is not None:
        kept["schedule_interval_unit"] = schedule.interval_unit.name
    if schedule.anchor is not None:
        kept["schedule_anchor"] = schedule.anchor.isoformat()
    return kept
