"""What every registration of one subscription goes through, whoever asks for it: staff, or a payer with a link."""

import datetime as dt
import secrets
from typing import Any
from zoneinfo import ZoneInfo

from payadmin.actions.subscriptions.planning import business_day, plan_now
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import card_number_digits
from payadmin.kernel.schedules import Schedule, check
from payadmin.kernel.text import _
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import PaymentMethod, Unit
from payadmin.models.subscriptions import (
    Purpose,
    RetryPolicy,
    Subscription,
    SubscriptionOrigin,
    SubscriptionStatus,
    schedule_values,
)
from payadmin.providers import connected
from payadmin.queries.blocks import customer_block, organization_block, refuse
from payadmin.work import Work

MOST_MINOR = 10**15
TAKEN = "This merchant has a subscription with this billing number already."


def keys_of(subscription: Subscription) -> dict[str, Any]:
    """The identifiers by which staff find an act on `subscription` in the trail."""
    return {
        "subscription_id": subscription.subscription_id,
        "billing_number": subscription.billing_number,
        "customer_id": subscription.customer_id,
    }


def check_terms(work: Work, *, billing_number: str, amount_minor: int, unit: str, method: str) -> str:
    """Refuse what no agreement can say.

    Returns:
        The billing number without blanks around it.

    Raises:
        Invalid: a number, amount, unit or method that makes no sense; `field` is the field to correct.
    """
    number = billing_number.strip()
    if not number or len(number) > 64 or not number.isprintable():  # noqa: PLR2004 - the column's length
        raise Invalid("Enter a billing number of at most 64 characters.", field="billing_number")
    if not 0 < amount_minor <= MOST_MINOR:
        raise Invalid("Enter an amount above zero.", field="amount")
    if not work.exists(Unit.code == unit):
        raise Invalid("There is no such currency.", field="unit")
    if not work.exists(PaymentMethod.code == method):
        raise Invalid("There is no such method.", field="method")
    return number


def register(
    work: Work,
    *,
    billing_number: str,
    customer_id: int,
    merchant_id: int,
    amount_minor: int,
    unit: str,
    method: str,
    provider: str,
    card_token: str | None,
    schedule: Schedule,
    start_date: dt.date,
    expiration_date: dt.date | None,
    zone: ZoneInfo,
    purpose: Purpose = Purpose.RECURRING,
    origin: SubscriptionOrigin = SubscriptionOrigin.BACKOFFICE,
    card_last4: str | None = None,
    card_expires_on: dt.date | None = None,
    retry_policy_id: int | None = None,
) -> Subscription:
    """Register an active subscription, with the dates of the next weeks.

    Raises:
        NotFound: no such customer, merchant or retry policy.
        Invalid: a schedule that never runs, an amount or unit that makes no sense, a charge without a card token.
        Conflict: the merchant has this billing number already.
    """
    today = business_day(work, zone)
    if start_date < today:
        raise Invalid(_("The start date has passed: choose %(today)s or later.", today=today), field="start_date")
    check(schedule, start=start_date, expiration=expiration_date, today=today)
    number = check_terms(work, billing_number=billing_number, amount_minor=amount_minor, unit=unit, method=method)
    _check_card(purpose, provider, card_token)
    refuse(customer_block(work.session, work.get(Customer, customer_id)))
    work.get(Organization, merchant_id)
    refuse(organization_block(work.session, merchant_id))
    if retry_policy_id is not None:
        work.get(RetryPolicy, retry_policy_id, lock=True)
    if work.exists(Subscription.merchant_id == merchant_id, Subscription.billing_number == number):
        raise Conflict(TAKEN, field="billing_number")
    subscription = work.add(
        Subscription(
            subscription_id=f"SUB-{secrets.token_hex(8)}",
            billing_number=number,
            status=SubscriptionStatus.CREATED,
            purpose=purpose,
            origin=origin,
            customer_id=customer_id,
            merchant_id=merchant_id,
            amount_minor=amount_minor,
            unit=unit,
            method=method,
            provider=provider,
            card_token=card_token,
            card_last4=card_last4,
            card_expires_on=card_expires_on,
            start_date=start_date,
            expiration_date=expiration_date,
            retry_policy_id=retry_policy_id,
            **schedule_values(schedule),
        )
    )
    subscription.status = SubscriptionStatus.ACTIVE
    work.session.flush()
    plan_now(work, subscription, today)
    work.record(
        Event.SUBSCRIPTION_REGISTERED,
        subscription,
        after={"amount_minor": amount_minor, "unit": unit, "purpose": purpose, "schedule_kind": schedule.kind},
        schedule=str(schedule),
        **keys_of(subscription),
    )
    return subscription


def _check_card(purpose: Purpose, provider: str, card_token: str | None) -> None:
    if purpose is Purpose.RECURRING and not card_token:
        raise Invalid("A recurring charge needs a stored card.", field="card_token")
    if purpose is Purpose.RECURRING and not connected(provider):
        raise Invalid("payadmin has no connection to this payment provider.", field="provider")
    if card_token and card_number_digits(card_token):
        raise Invalid("This is a card number: only the provider's token for it may be stored.", field="card_token")
