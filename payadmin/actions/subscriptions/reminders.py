"""Reminders: tell the merchant that a date is due, by a signed message, and never charge (SC9)."""

import ipaddress
import secrets
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from payadmin.audit import Event
from payadmin.kernel import vault
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.parties import Organization
from payadmin.models.subscriptions import (
    ChargeStatus,
    DeliveryState,
    Purpose,
    ScheduledCharge,
    Subscription,
    WebhookDelivery,
    WebhookEndpoint,
)
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

REMINDER_EVENT = "reminder.due"
URL_LENGTH = 500
NO_ENDPOINT = "The merchant has no webhook endpoint to be reminded at."


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
def save_endpoint(
    work: Work, *, merchant_id: int, url: str, enabled: bool, keys: tuple[bytes, ...], new_secret: bool = False
) -> str | None:
    """Say where a merchant is reminded.

    Args:
        keys: the keys that encrypt secrets at rest (`Settings.totp_keys`).
        new_secret: make a new signing secret; the old one stops counting at once.

    Returns:
        The signing secret if one was made, to be shown once; else None.

    Raises:
        NotFound: no such merchant.
        Invalid: an address that is no http(s) URL, or carries a password.
    """
    work.get(Organization, merchant_id)
    address = _checked(url)
    endpoint: WebhookEndpoint | None = work.one(
        select(WebhookEndpoint).where(WebhookEndpoint.merchant_id == merchant_id).with_for_update()
    )
    before: dict[str, object] | None = None
    if endpoint is None:
        endpoint = work.add(WebhookEndpoint(merchant_id=merchant_id, url=address, enabled=enabled))
        new_secret = True
    else:
        before = {"url": endpoint.url, "enabled": endpoint.enabled}
        work.change(WebhookEndpoint, endpoint.id, url=address, enabled=enabled)
    secret = None
    if new_secret:
        secret = f"whsec_{secrets.token_urlsafe(24)}"
        work.change(WebhookEndpoint, endpoint.id, sealed_secret=vault.seal(keys, _owner(endpoint.id), secret))
    after: dict[str, object] = {"url": address, "enabled": enabled}
    work.record(Event.WEBHOOK_SAVED, endpoint, before=before, after=after, new_secret=new_secret or None)
    return secret


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=WebhookDelivery)
def resend_delivery(work: Work, delivery_id: int) -> None:
    """Send a message once more, with the content and the id it had.

    Raises:
        Conflict: it is on its way already.
    """
    delivery = work.get(WebhookDelivery, delivery_id, lock=True)
    if not work.change(WebhookDelivery, delivery_id, state=DeliveryState.DUE, when=(_settled(),), tries=0):
        raise Conflict("This message is being sent already.")
    work.record(Event.WEBHOOK_RESENT, delivery)
    work.promise("deliver_webhook", delivery_id=delivery_id)


@use_case(Permission.SYSTEM_JOB_RUN)
def book_delivery(work: Work, delivery_id: int, *, state: DeliveryState, answer: str) -> None:
    """Write down what a try to deliver a message came to; a delivered message stays delivered."""
    delivery = work.get(WebhookDelivery, delivery_id, lock=True)
    if delivery.state is not DeliveryState.DUE:
        return
    done = work.now if state is DeliveryState.DELIVERED else None
    tries = WebhookDelivery.tries + 1
    work.change(WebhookDelivery, delivery_id, state=state, tries=tries, answer=answer[:300], delivered_at=done)
    outcome = "failed" if state is DeliveryState.FAILED else "done"
    work.record(Event.WEBHOOK_TRIED, delivery, after={"state": state}, reason=answer, outcome=outcome)


def remind(work: Work, charge: ScheduledCharge, subscription: Subscription) -> None:
    """Settle a due date of a reminder: its message is written and promised here, and no attempt is opened."""
    assert subscription.purpose is Purpose.REMINDER
    for status in (ChargeStatus.ENQUEUED, ChargeStatus.PROCESSING):
        if not work.change(ScheduledCharge, charge.id, status=status):
            return
    endpoint: WebhookEndpoint | None = work.one(
        select(WebhookEndpoint).where(
            WebhookEndpoint.merchant_id == subscription.merchant_id, WebhookEndpoint.enabled.is_(True)
        )
    )
    if endpoint is None:
        work.change(ScheduledCharge, charge.id, status=ChargeStatus.FAILED, needs_staff=True, message=NO_ENDPOINT)
        work.record(Event.REMINDER_FAILED, charge, reason=NO_ENDPOINT, outcome="failed", **_keys(charge, subscription))
        return
    delivery = work.add(
        WebhookDelivery(
            endpoint_id=endpoint.id,
            scheduled_charge_id=charge.id,
            event=REMINDER_EVENT,
            payload=_payload(charge, subscription),
        )
    )
    work.change(ScheduledCharge, charge.id, status=ChargeStatus.NOTIFIED)
    work.record(Event.REMINDER_SENT, charge, also=(delivery,), **_keys(charge, subscription))
    work.promise("deliver_webhook", delivery_id=delivery.id)


def secret_of(endpoint: WebhookEndpoint, keys: tuple[bytes, ...]) -> str:
    """The secret that signs an endpoint's messages."""
    return vault.unseal(keys, _owner(endpoint.id), endpoint.sealed_secret)


def _settled() -> Any:
    return WebhookDelivery.state.in_((DeliveryState.DELIVERED, DeliveryState.FAILED))


def _owner(endpoint_id: int) -> str:
    return f"webhook:{endpoint_id}"


def _payload(charge: ScheduledCharge, subscription: Subscription) -> dict[str, Any]:
    return {
        "event": REMINDER_EVENT,
        "invoice_number": charge.invoice_number,
        "subscription_id": subscription.subscription_id,
        "billing_number": subscription.billing_number,
        "due_date": charge.due_date.isoformat(),
        "amount_minor": charge.amount_minor,
        "unit": charge.unit,
    }


def _keys(charge: ScheduledCharge, subscription: Subscription) -> dict[str, Any]:
    return {
        "invoice_number": charge.invoice_number,
        "subscription_id": subscription.subscription_id,
        "billing_number": subscription.billing_number,
    }


def _checked(url: str) -> str:
    address = url.strip()
    try:
        parts = urlsplit(address)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_sound = urlsplit(""), False
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_sound or len(address) > URL_LENGTH:
        raise Invalid("Enter an address that starts with https:// (or http://).", field="url")
    if parts.username or parts.password or parts.fragment or not address.isascii() or not address.isprintable():
        raise Invalid("The address may hold no password, fragment or unusual characters.", field="url")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise Invalid("Use https://: what is sent names customers' payments.", field="url")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
