"""Reminders: tell the merchant that a date is due, by a signed message, and never charge (SC9)."""

import datetime as dt
import ipaddress
import secrets
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin.audit import Event
from payadmin.kernel import vault
from payadmin.kernel.errors import Conflict, Invalid, NotFound
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
from payadmin.providers.webhooks import is_public
from payadmin.work import Work, use_case

REMINDER_EVENT = "reminder.due"
TEST_EVENT = "endpoint.test"
URL_LENGTH = 500
NO_ENDPOINT = "The merchant has no webhook endpoint to be reminded at."
TAKEN = "This merchant has an endpoint already. Change that one."
STALE = "Somebody else changed this endpoint while you were editing it. Look at what changed, then save again."
SWITCHED_OFF = "The endpoint is switched off, so nothing is sent to it. Switch it on first."


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
def save_endpoint(
    work: Work,
    *,
    merchant_id: int,
    url: str,
    enabled: bool,
    keys: tuple[bytes, ...],
    mails_customers: bool = False,
    allow_private: bool = False,
    version: int | None = None,
) -> tuple[WebhookEndpoint, str | None]:
    """Say where a merchant is reminded; a merchant has at most one endpoint.

    Args:
        merchant_id: whose subscriptions are meant.
        url: where messages are posted; https, or http on this very machine.
        enabled: whether reminders are sent there; without an enabled endpoint they fail and wait for staff.
        keys: the keys that encrypt secrets at rest (`Settings.totp_keys`).
        mails_customers: whether the customer gets an e-mail too when a reminder falls due.
        allow_private: accept addresses of private networks (`Settings.webhook_private_addresses`).
        version: what the form showed of the endpoint that is changed; None makes a new one.

    Returns:
        The endpoint, and the signing secret of a new one, to be shown once; else None.

    Raises:
        NotFound: no such merchant, or it has no endpoint to change.
        Invalid: an address that is no http(s) URL, carries a password, or is private.
        Conflict: the merchant has an endpoint already, or somebody else changed it (`data["now"]` is its version).
    """
    work.get(Organization, merchant_id)
    address = _checked(url, allow_private=allow_private)
    values: dict[str, Any] = {"url": address, "enabled": enabled, "mails_customers": mails_customers}
    found: WebhookEndpoint | None = work.one(
        select(WebhookEndpoint).where(WebhookEndpoint.merchant_id == merchant_id).with_for_update()
    )
    if version is None:
        if found is not None:
            raise Conflict(TAKEN, field="merchant")
        try:
            endpoint = work.add(WebhookEndpoint(merchant_id=merchant_id, **values))
        except IntegrityError as error:  # somebody was faster
            raise Conflict(TAKEN, field="merchant") from error
        secret = _give_secret(work, endpoint.id, keys)
        work.record(Event.WEBHOOK_SAVED, endpoint, after=values, new_secret=True)
        return endpoint, secret
    if found is None:
        raise NotFound("This merchant has no endpoint yet.")
    before = {key: getattr(found, key) for key in values}
    if found.version != version:
        raise Conflict(STALE, now=found.version)
    if before != values:
        work.change(WebhookEndpoint, found.id, **values)
        work.record(Event.WEBHOOK_SAVED, found, before=before, after=values)
    return found, None


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=WebhookEndpoint)
def renew_secret(work: Work, endpoint_id: int, *, version: int, keys: tuple[bytes, ...]) -> str:
    """Make a new signing secret of an endpoint; the old one stops counting at once.

    Returns:
        The secret, to be shown once: nobody can read it again.

    Raises:
        Conflict: somebody else changed the endpoint meanwhile, perhaps by making a secret.
    """
    endpoint = work.get(WebhookEndpoint, endpoint_id, lock=True)
    if endpoint.version != version:
        raise Conflict("Somebody else changed this endpoint meanwhile. Reload it and try again.")
    secret = _give_secret(work, endpoint_id, keys)
    work.record(Event.WEBHOOK_SAVED, endpoint, new_secret=True)
    return secret


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=WebhookEndpoint)
def send_test(work: Work, endpoint_id: int) -> WebhookDelivery:
    """Send an endpoint a message that is about nothing, signed like every other.

    Raises:
        Conflict: the endpoint is switched off.
    """
    endpoint = work.get(WebhookEndpoint, endpoint_id, lock=True)
    if not endpoint.enabled:
        raise Conflict(SWITCHED_OFF)
    payload = {"event": TEST_EVENT, "sent_at": work.now.isoformat(timespec="seconds")}
    delivery = work.add(
        WebhookDelivery(endpoint_id=endpoint_id, event=TEST_EVENT, payload=payload, next_try_at=work.now)
    )
    work.record(Event.WEBHOOK_TESTED, endpoint, also=(delivery,), delivery_id=delivery.id)
    work.promise("deliver_webhook", delivery_id=delivery.id)
    return delivery


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=WebhookDelivery)
def resend_delivery(work: Work, delivery_id: int) -> None:
    """Send a message once more, with the content and the id it had.

    Raises:
        Conflict: it is on its way already, or its endpoint is switched off.
    """
    _resend(work, delivery_id)


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=WebhookDelivery)
def resend_in_run(
    work: Work,
    delivery_id: int,
    /,
    *,
    key: str,  # noqa: ARG001 - a receiver tells a repeated message by its id
    run_data: dict[str, Any],  # noqa: ARG001 - nothing is asked
    row_data: dict[str, Any],  # noqa: ARG001 - nothing is asked
) -> str:
    """Send one of several chosen messages once more.

    Raises:
        Conflict: it is on its way already, or its endpoint is switched off.
    """
    _resend(work, delivery_id)
    return "On its way again."


def _resend(work: Work, delivery_id: int) -> None:
    delivery = work.get(WebhookDelivery, delivery_id, lock=True)
    if not work.get(WebhookEndpoint, delivery.endpoint_id).enabled:
        raise Conflict(SWITCHED_OFF)
    values = {"state": DeliveryState.DUE, "tries": 0, "next_try_at": work.now}
    if not work.change(WebhookDelivery, delivery_id, when=(_settled(),), **values):
        raise Conflict("This message is being sent already.")
    work.record(Event.WEBHOOK_RESENT, delivery)
    work.promise("deliver_webhook", delivery_id=delivery_id)


@use_case(Permission.SYSTEM_JOB_RUN)
def book_delivery(
    work: Work, delivery_id: int, *, state: DeliveryState, answer: str, wait: dt.timedelta | None = None
) -> None:
    """Write down what a try to deliver a message came to; a delivered message stays delivered.

    Args:
        state: DUE when it is tried again.
        answer: a sentence for staff.
        wait: how long until the next try.
    """
    delivery = work.get(WebhookDelivery, delivery_id, lock=True)
    if delivery.state is not DeliveryState.DUE:
        return
    values: dict[str, Any] = {
        "state": state,
        "tries": WebhookDelivery.tries + 1,
        "answer": answer[:300],
        "delivered_at": work.now if state is DeliveryState.DELIVERED else delivery.delivered_at,
        "next_try_at": work.now + wait if wait is not None else None,
    }
    work.change(WebhookDelivery, delivery_id, **values)
    outcome = "done" if state is DeliveryState.DELIVERED else "failed"
    after: dict[str, object] = {"state": state, "tries": delivery.tries}
    work.record(Event.WEBHOOK_TRIED, delivery, after=after, reason=answer, outcome=outcome)


def why_not_resendable(row: Any) -> str | None:
    """Why a message cannot be sent once more now; reads only columns."""
    if row.state is not DeliveryState.DUE:
        return None
    return "It is on its way: it is tried again by itself until it arrives or is given up."


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
            next_try_at=work.now,
        )
    )
    work.change(ScheduledCharge, charge.id, status=ChargeStatus.NOTIFIED)
    work.record(Event.REMINDER_SENT, charge, also=(delivery,), **_keys(charge, subscription))
    work.promise("deliver_webhook", delivery_id=delivery.id)
    if endpoint.mails_customers:
        work.promise("mail_reminder", charge_id=charge.id)


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


def _give_secret(work: Work, endpoint_id: int, keys: tuple[bytes, ...]) -> str:
    secret = f"whsec_{secrets.token_urlsafe(24)}"
    work.change(WebhookEndpoint, endpoint_id, sealed_secret=vault.seal(keys, _owner(endpoint_id), secret))
    return secret


def _checked(url: str, *, allow_private: bool) -> str:
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
    if not allow_private and _is_private(parts.hostname):
        raise Invalid(
            "This is an address of a private network, which messages are not sent to (WEBHOOK_PRIVATE_ADDRESSES).",
            field="url",
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise Invalid("Use https://: what is sent names customers' payments.", field="url")
    return address


def _is_private(host: str) -> bool:
    """Whether the host says so itself; a name that leads to a private address is found out when it is called."""
    try:
        return not is_public(ipaddress.ip_address(host))
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
