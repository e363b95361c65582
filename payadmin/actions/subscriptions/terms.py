"""By whose terms a charge is made: its subscription's, or those of its row of a batch."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select

from payadmin.db import utcnow
from payadmin.models.batches import Batch, BatchRow
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import PaymentType
from payadmin.models.risk import Block
from payadmin.models.subscriptions import Purpose, ScheduledCharge, Subscription, SubscriptionStatus
from payadmin.queries.blocks import in_force
from payadmin.work import Work

S = TypeVar("S", bound=Select[Any])


@dataclass(frozen=True)
class Terms:
    """Who pays whom, by what card and through whom; `subscription` is None for a single payment of a batch.

    `shown` are the columns of the payment that only its terms know.
    """

    subscription: Subscription | None
    name: str
    purpose: Purpose
    provider: str
    card_token: str
    billing_number: str | None
    customer_id: int
    keys: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[Subscription, ...]:
        """The rows of these terms that a charge's outcome may change."""
        return () if self.subscription is None else (self.subscription,)


def with_terms(*entities: Any) -> "Select[Any]":
    """Select `entities`, then the charge and the rows that hold its terms: what `terms_of` takes."""
    return select(*entities, ScheduledCharge, Subscription, BatchRow, Batch)


def joined(statement: S) -> S:
    """Join the rows that hold a charge's terms: its subscription, or the row of the batch that ordered it.

    A subscription that a batch registered comes with the row that registered it, so that its payments are found by the
    name of the file, too (S2:101).
    """
    row_id = func.coalesce(ScheduledCharge.batch_row_id, Subscription.batch_row_id)
    return (
        statement.outerjoin(Subscription, Subscription.id == ScheduledCharge.subscription_id)
        .outerjoin(BatchRow, BatchRow.id == row_id)
        .outerjoin(Batch, Batch.id == BatchRow.batch_id)
    )


def may_run(*statuses: SubscriptionStatus) -> ColumnElement[bool]:
    """The condition that a charge may be made by itself.

    That is: its subscription is in one of these statuses, or a batch ordered it and its customer and merchant are
    active to this day; and neither customer nor merchant is blocked. What is held back so is missed in the end, and
    staff decide about it.
    """
    customer = select(Customer.id).where(Customer.id == BatchRow.customer_id, Customer.status == CustomerStatus.ACTIVE)
    merchant = select(Organization.id).where(
        Organization.id == Batch.merchant_id, Organization.status == OrganizationStatus.ACTIVE
    )
    ordered = and_(ScheduledCharge.batch_row_id.is_not(None), customer.exists(), merchant.exists())
    payer = select(Customer.id).where(Customer.id == Subscription.customer_id, Customer.status == CustomerStatus.ACTIVE)
    merchant_id = func.coalesce(Subscription.merchant_id, Batch.merchant_id)
    stopped = select(Block.id).where(Block.organization_id == merchant_id, in_force(utcnow()))
    return and_(or_(and_(Subscription.status.in_(statuses), payer.exists()), ordered), not_(stopped.exists()))


def terms_of(
    charge: ScheduledCharge, subscription: Subscription | None, row: BatchRow | None, batch: Batch | None
) -> Terms:
    """The terms of a charge, from the rows that `joined` finds."""
    if subscription is not None:
        return _of_subscription(charge, subscription, batch)
    assert row is not None
    assert batch is not None
    assert row.customer_id is not None
    assert batch.provider is not None
    return Terms(
        subscription=None,
        name=f"batch {batch.id} row {row.row_number}",
        purpose=Purpose.RECURRING,
        provider=batch.provider,
        card_token=row.card_token or "",
        billing_number=row.billing_number,
        customer_id=row.customer_id,
        keys={"batch_id": batch.id},
        shown={
            "batch_id": batch.id,
            "merchant_id": batch.merchant_id,
            "method": batch.method,
            "type": PaymentType.DIRECT,
            "description": row.description or f"Single payment of {charge.due_date}",
            "card_first6": row.card_first6,
            "card_last4": row.card_last4,
            "card_fingerprint": row.card_fingerprint,
            "card_holder_name": row.card_holder_name,
            "card_holder_phone": row.card_holder_phone,
        },
    )


def terms_now(work: Work, charge_id: int) -> Terms:
    """The terms of one charge, fresh from the database."""
    found = joined(with_terms().select_from(ScheduledCharge)).where(ScheduledCharge.id == charge_id)
    return terms_of(*work.session.execute(found.execution_options(populate_existing=True)).one())


def _of_subscription(charge: ScheduledCharge, subscription: Subscription, registered_by: Batch | None) -> Terms:
    return Terms(
        subscription=subscription,
        name=subscription.subscription_id,
        purpose=subscription.purpose,
        provider=subscription.provider,
        card_token=subscription.card_token or "",
        billing_number=subscription.billing_number,
        customer_id=subscription.customer_id,
        keys={"subscription_id": subscription.subscription_id},
        shown={
            "subscription_id": subscription.id,
            "batch_id": registered_by.id if registered_by is not None else None,
            "merchant_id": subscription.merchant_id,
            "method": subscription.method,
            "type": PaymentType.SUBSCRIPTION,
            "description": f"Recurring charge of {charge.due_date}",
            "card_last4": subscription.card_last4,
        },
    )
