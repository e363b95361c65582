"""Registration links: staff invite a payer to register, mail or copy the link, renew it, or take it back."""

import datetime as dt
import hashlib
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin import texts
from payadmin.actions.subscriptions.planning import business_day
from payadmin.actions.subscriptions.registering import TAKEN, check_terms
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.links import fingerprint_of, new_nonce, token_of
from payadmin.kernel.money import Money
from payadmin.kernel.schedules import Schedule, check
from payadmin.kernel.text import Text, _, named, one_line
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationKind, OrganizationStatus, folded
from payadmin.models.payments import Notification, Unit
from payadmin.models.registrations import LinkStatus, RegistrationLink, kept_rule, state_of
from payadmin.models.subscriptions import Purpose, Subscription
from payadmin.permissions import Permission
from payadmin.providers import connected
from payadmin.providers.mail import domain_of, is_address
from payadmin.queries.blocks import organization_block
from payadmin.work import Work, use_case

PURPOSE: Final = "registration"
LONGEST_DAYS: Final = 30
MOVED_ON: Final = _("This link has moved on meanwhile. Look at it again.")
NO_ADDRESS: Final = _("There is no e-mail address to send the link to. Copy the link instead.")
NOT_MAILABLE: Final = _("Links can be e-mailed once PUBLIC_URL says where payadmin is reached. Copy the link instead.")
# The mail as it is kept, and shown on the Mailbox page, does not hold the link; the worker that sends it puts it in.
PLACE: Final = "[personal link, only in the mail itself]"

_SUBJECT: Final = named("mail.registration.subject", "Register your payments to %(merchant)s")
_BODY: Final = named(
    "mail.registration.body",
    """\
Dear %(customer)s,

%(merchant)s invites you to register %(what)s.

Billing number:  %(billing)s
Amount:          %(amount)s
When:            %(schedule)s

See what you agree to, and register, here:
%(link)s

The link is for you alone and works once, until %(until)s.
If you did not expect this, ignore it: nothing happens without you.

%(company)s
""",
)
_CUSTOMER: Final = named("mail.registration.customer", "customer")
_RECURRING: Final = named("mail.registration.recurring", "a recurring payment")
_REMINDER: Final = named("mail.registration.reminder", "for payment reminders")


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
def make_registration_link(
    work: Work,
    *,
    merchant_id: int,
    customer_id: int | None,
    email: str | None,
    billing_number: str,
    amount_minor: int,
    unit: str,
    method: str,
    provider: str,
    purpose: Purpose,
    schedule: Schedule,
    start_date: dt.date,
    expiration_date: dt.date | None,
    days: int,
    by_mail: bool,
    settings: Settings,
) -> RegistrationLink:
    """Invite a payer to register; the link itself comes from `show_registration_link`, or by mail.

    Args:
        customer_id: who is to pay, if they are known already.
        email: where the link goes; a customer's own address when empty. Who is not known yet becomes a customer with
            this address on registering.
        days: how long the link works, 1 to 30.
        by_mail: send it now.

    Raises:
        Invalid: terms that no agreement can have, nobody to invite, an address that is none.
        Conflict: the merchant has a subscription, or an open link, with this billing number already.
    """
    today = business_day(work, settings.zone)
    number = check_terms(work, billing_number=billing_number, amount_minor=amount_minor, unit=unit, method=method)
    if start_date < today:
        raise Invalid(_("The start date has passed: choose %(today)s or later.", today=today), field="start_date")
    check(schedule, start=start_date, expiration=expiration_date, today=today)
    if not connected(provider):
        raise Invalid("payadmin has no connection to this payment provider.", field="provider")
    check_merchant(work, merchant_id)
    customer = check_customer(work, customer_id)
    address = (email or "").strip().lower() or None
    if address is not None and not is_address(address):
        raise Invalid("This is not an e-mail address.", field="email")
    if customer is None and address is None:
        raise Invalid("Choose a customer, or write the e-mail address of somebody new.", field="email")
    if customer is None:
        check_address(work, address)
    if work.exists(Subscription.merchant_id == merchant_id, Subscription.billing_number == number):
        raise Conflict(TAKEN, field="billing_number")
    nonce = new_nonce()
    link = RegistrationLink(
        merchant_id=merchant_id,
        customer_id=customer_id,
        email=address,
        billing_number=number,
        amount_minor=amount_minor,
        unit=unit,
        method=method,
        provider=provider,
        purpose=purpose,
        schedule=kept_rule(schedule),
        start_date=start_date,
        expiration_date=expiration_date,
        expires_at=_expiry(work, days),
        nonce=nonce,
        token_hash=fingerprint_of(token_of(settings.secret_key, PURPOSE, nonce)),
        invited_by=work.actor.name,
        mailed_at=work.now if by_mail else None,
    )
    try:
        work.add(link)
    except IntegrityError:
        sentence = "There is an unused link for this billing number already. Send that one again, or revoke it first."
        raise Conflict(sentence, field="billing_number") from None
    work.record(
        Event.REGISTRATION_LINK_MADE,
        link,
        after={"amount_minor": amount_minor, "unit": unit, "purpose": purpose, "expires_at": link.expires_at},
        schedule=str(schedule),
        by_mail=by_mail,
        **_keys(link),
    )
    if by_mail:
        _mail(work, link, settings)
    return link


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=RegistrationLink)
def renew_registration_link(
    work: Work, link_id: int, *, version: int, days: int, by_mail: bool, settings: Settings
) -> None:
    """Make a new link for the same invitation, also when it has expired; the old link stops working at once.

    Args:
        version: the version that the form showed.
        days: how long the new link works, 1 to 30.
        by_mail: send it now.

    Raises:
        Conflict: it was used or revoked, or somebody else changed it meanwhile.
    """
    link = _open(work, link_id)
    before = link.expires_at
    nonce = new_nonce()
    values: dict[str, Any] = {
        "nonce": nonce,
        "token_hash": fingerprint_of(token_of(settings.secret_key, PURPOSE, nonce)),
        "expires_at": _expiry(work, days),
    }
    if by_mail:
        values["mailed_at"] = work.now
    _change(work, link, version, **values)
    work.record(
        Event.REGISTRATION_LINK_RENEWED,
        link,
        before={"expires_at": before},
        after={"expires_at": values["expires_at"]},
        by_mail=by_mail,
        **_keys(link),
    )
    if by_mail:
        _mail(work, link, settings)


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=RegistrationLink)
def revoke_registration_link(work: Work, link_id: int, *, version: int, reason: str | None = None) -> None:
    """Take an invitation back: its link stops working at once and for good.

    Raises:
        Conflict: it was used or revoked already, or somebody else changed it meanwhile.
    """
    link = _open(work, link_id)
    _change(work, link, version, status=LinkStatus.REVOKED)
    work.record(
        Event.REGISTRATION_LINK_REVOKED,
        link,
        before={"status": LinkStatus.OPEN},
        after={"status": LinkStatus.REVOKED},
        reason=reason,
        **_keys(link),
    )


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=RegistrationLink)
def show_registration_link(work: Work, link_id: int, *, settings: Settings) -> str:
    """The token of an open link, for staff to hand over themselves; that they saw it stands in the trail.

    Raises:
        Conflict: it is not open any more.
    """
    link = _open(work, link_id)
    if state_of(link, work.now) != LinkStatus.OPEN.value:
        raise Conflict("The link has expired. Send it again to get a new one.")
    work.record(Event.REGISTRATION_LINK_SHOWN, link, **_keys(link))
    return token_of(settings.secret_key, PURPOSE, link.nonce)


def text_with_link(body: str, link: Any, settings: Settings) -> str | None:
    """The text of a mail with its link in it; None when the link no longer opens anything.

    Args:
        body: the text as it is kept.
        link: the registration link.
        settings: where payadmin is reached, and its secret.
    """
    if link.status is not LinkStatus.OPEN:
        return None
    token = token_of(settings.secret_key, PURPOSE, link.nonce)
    return body.replace(PLACE, f"{settings.public_url.rstrip('/')}/register/{token}")


def message_id_of(link: Any, settings: Settings) -> str:
    """The Message-ID of the mail with this very link: one that was renewed has another."""
    digest = hashlib.sha256(f"{PURPOSE}:{link.id}:{link.nonce}".encode()).hexdigest()[:40]
    return f"<{digest}@{domain_of(settings.mail_from)}>"


def check_merchant(work: Work, merchant_id: int) -> Organization:
    """The merchant of an invitation, who must be able to take payments."""
    merchant = work.get(Organization, merchant_id)
    if merchant.kind is not OrganizationKind.MERCHANT or merchant.status is not OrganizationStatus.ACTIVE:
        raise Invalid("Choose an active merchant.", field="merchant")
    if organization_block(work.session, merchant_id) is not None:
        raise Invalid("This merchant is blocked.", field="merchant")
    return merchant


def check_customer(work: Work, customer_id: int | None) -> Customer | None:
    """The customer of an invitation, if they are known already; a blocked one may not register."""
    if customer_id is None:
        return None
    customer = work.get(Customer, customer_id)
    if customer.status is not CustomerStatus.ACTIVE:
        raise Invalid("This customer is blocked.", field="customer")
    return customer


def check_address(work: Work, email: str | None) -> None:
    """The address of an invitation whose payer is not known yet: not that of somebody who is blocked."""
    if email is not None and work.exists(Customer.email_key == folded(email), Customer.status != CustomerStatus.ACTIVE):
        raise Invalid("A customer with this address is blocked.", field="email")


def _open(work: Work, link_id: int) -> RegistrationLink:
    link = work.get(RegistrationLink, link_id, lock=True)
    if link.status is not LinkStatus.OPEN:
        raise Conflict(_("The link was %(status)s already.", status=Text(link.status.value).lower()))
    return link


def _change(work: Work, link: RegistrationLink, version: int, **values: Any) -> None:
    when = (RegistrationLink.version == version, RegistrationLink.status == LinkStatus.OPEN)
    if not work.change(RegistrationLink, link.id, when=when, **values):
        raise Conflict(MOVED_ON)


def _expiry(work: Work, days: int) -> dt.datetime:
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid(_("A link works for 1 to %(days)s days.", days=LONGEST_DAYS), field="works_for")
    return work.now + dt.timedelta(days=days)


def _keys(link: RegistrationLink) -> dict[str, Any]:
    return {"billing_number": link.billing_number, "customer_id": link.customer_id}


def _mail(work: Work, link: RegistrationLink, settings: Settings) -> None:
    if not settings.public_url:
        raise Invalid(NOT_MAILABLE, field="by_mail")
    customer = work.get(Customer, link.customer_id) if link.customer_id is not None else None
    address = link.email or (customer.email if customer is not None and customer.can_be_mailed else None)
    if not address or not is_address(address):
        raise Invalid(NO_ADDRESS, field="by_mail")
    subject, body = _written(work, link, customer, settings)
    notification = work.add(
        Notification(
            registration_link_id=link.id,
            recipient=address,
            subject=subject[:200],
            body=body,
            message_id=message_id_of(link, settings),
            created_at=work.now,
        )
    )
    after: dict[str, object] = {"recipient": address}
    work.record(Event.NOTIFICATION_REQUESTED, notification, after=after, **_keys(link))
    work.promise("send_notification", notification_id=notification.id)


def _written(work: Work, link: RegistrationLink, customer: Customer | None, settings: Settings) -> tuple[str, str]:
    scale = work.one(select(Unit.scale).where(Unit.code == link.unit))
    speech = texts.speech_of(work.session, customer.locale if customer is not None else None)
    facts = {
        "customer": one_line(customer.name) if customer is not None else _CUSTOMER,
        "merchant": one_line(work.get(Organization, link.merchant_id).name),
        "what": _RECURRING if link.purpose is Purpose.RECURRING else _REMINDER,
        "billing": one_line(link.billing_number),
        "amount": str(Money(link.amount_minor, link.unit, scale)),
        "schedule": str(link.rule),
        "link": PLACE,
        "until": _moment(speech, link.expires_at, settings.zone),
        "company": one_line(settings.company_name),
    }
    return speech.say(_SUBJECT.of(merchant=facts["merchant"])), speech.say(_BODY.of(**facts))


def _moment(speech: texts.Speech, at: dt.datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{speech.long_day(local)}, {local:%H:%M} ({zone.key})"
