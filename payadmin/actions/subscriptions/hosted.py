"""Hosted registration: a payer who holds a link registers, once. The card number is gone before anything is written.

Tries are counted in the database, as sign-ins are: one is reserved before the provider is asked about a card, and
handed back when nothing was wrong, so that a link is no way to try out card numbers.
"""

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select

from payadmin import guard
from payadmin.actions.subscriptions.links import check_address, check_customer, check_merchant
from payadmin.actions.subscriptions.planning import business_day
from payadmin.actions.subscriptions.registering import register
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer, folded
from payadmin.models.registrations import LinkStatus, RegistrationLink, state_of
from payadmin.models.subscriptions import Purpose, Subscription, SubscriptionOrigin
from payadmin.permissions import Permission
from payadmin.providers import StoredCard
from payadmin.work import Actor, Work, use_case

PAYER: Final = "payer"
TOO_MANY: Final = _("Too many tries. Wait 30 minutes, then try again.")
NO_LONGER: Final = _("This invitation can no longer be used, and nothing was registered. Ask who sent it to you.")
AWAY: Final = _(
    "The payment provider cannot be reached at the moment. Nothing was registered. Try again in some minutes."
)

StoreCard = Callable[[str], StoredCard | None]


class Gone(Conflict):
    """The link opens nothing any more: it was used, revoked, renewed, or has expired."""


class TooMany(Refusal):
    """This link has had too many tries lately."""

    code = "too_many"
    status = 429


@dataclass(frozen=True)
class Signed:
    """What a payer gives: a name, a card unless it is only about reminders, and their word.

    `number` is the card number; it is neither shown when this is printed nor stored, logged or recorded anywhere.
    """

    name: str
    consent: str
    number: str | None
    card_expires_on: dt.date | None

    def __repr__(self) -> str:
        return "Signed(…)"


def payer(ip: str | None, request_id: str | None) -> Actor:
    """Whoever holds a registration link: may use it, and nothing else."""
    may = frozenset({Permission.SUBSCRIPTIONS_LINK_USE})
    return Actor(staff_id=None, name=PAYER, permissions=may, ip=ip, request_id=request_id)


def use_registration_link(
    actor: Actor, link_id: int, *, token_hash: str, signed: Signed, store_card: StoreCard, zone: ZoneInfo
) -> Subscription:
    """Register what a link invites to: exactly one subscription, however often and at the same time it is sent.

    Args:
        token_hash: the fingerprint of the token in the link.
        signed: what the payer gave.
        store_card: the provider's exchange of a card number for a token; None: it did not answer.

    Raises:
        Gone: the link opens nothing any more.
        TooMany: too many tries with this link.
        Invalid: the card was refused (`field` is "card_number"); nothing is registered.
        Conflict: the provider is away, or the world has moved on; nothing is registered.
    """
    reserve_link_try(actor, link_id, token_hash=token_hash)
    stored = None
    if signed.number is not None:
        # The provider is asked before the transaction begins: nobody who writes waits for it.
        stored = store_card(signed.number)
        if stored is None:
            hand_back_link_try(actor, link_id)
            raise Conflict(AWAY)
        if stored.token is None:
            said = mask_pan_in_text(stored.message or _("The card was not accepted."))
            note_refused_card(actor, link_id, sentence=said)
            raise Invalid(
                _("%(said)s Nothing was registered. Check the number, or use another card.", said=said),
                field="card_number",
            )
    try:
        return complete_registration(
            actor,
            link_id,
            token_hash=token_hash,
            name=signed.name,
            consent=signed.consent,
            card_token=stored.token if stored is not None else None,
            card_last4=signed.number[-4:] if signed.number else None,
            card_expires_on=signed.card_expires_on,
            zone=zone,
        )
    except Refusal:
        # The world has moved on; the card was in order.
        hand_back_link_try(actor, link_id)
        raise


@use_case(Permission.SUBSCRIPTIONS_LINK_USE, about=RegistrationLink)
def reserve_link_try(work: Work, link_id: int, *, token_hash: str) -> None:
    """Use up one try of a link.

    Raises:
        Gone: the link opens nothing any more.
        TooMany: no try is left until the pause is over.
    """
    _usable(work, link_id, token_hash)
    if not guard.reserve(work, _counter(link_id)):
        raise TooMany(TOO_MANY)


@use_case(Permission.SUBSCRIPTIONS_LINK_USE, about=RegistrationLink)
def hand_back_link_try(work: Work, link_id: int) -> None:
    """It was not the payer's mistake: the try does not count."""
    guard.hand_back(work, _counter(link_id))


@use_case(Permission.SUBSCRIPTIONS_LINK_USE, about=RegistrationLink)
def note_refused_card(work: Work, link_id: int, *, sentence: str) -> None:
    """Write into the trail that the provider did not accept a payer's card; which card it was is not known here."""
    link = work.get(RegistrationLink, link_id)
    work.record(
        Event.REGISTRATION_CARD_REFUSED, link, outcome="failed", reason=sentence, billing_number=link.billing_number
    )


@use_case(Permission.SUBSCRIPTIONS_LINK_USE, about=RegistrationLink)
def complete_registration(
    work: Work,
    link_id: int,
    *,
    token_hash: str,
    name: str,
    consent: str,
    card_token: str | None,
    card_last4: str | None,
    card_expires_on: dt.date | None,
    zone: ZoneInfo,
) -> Subscription:
    """Make the subscription and close the link, in one transaction: whoever comes second finds it used.

    Args:
        token_hash: the fingerprint of the token in the link.
        name: what the payer calls themselves; the name of a customer who was not known before.
        consent: the words that the payer agreed to.
        card_token: the provider's token of the card.
        card_last4: the last four digits of the card.
        card_expires_on: the last day of the card's month.
        zone: the business time zone.

    Raises:
        Gone: the link opens nothing any more.
        Invalid, Conflict: the agreement cannot be registered any more, such as one whose dates have all passed.
    """
    link = _usable(work, link_id, token_hash, lock=True)
    try:
        check_merchant(work, link.merchant_id)
        check_customer(work, link.customer_id)
        if link.customer_id is None:
            check_address(work, link.email)
    except Invalid as refusal:
        # Who is blocked, and that they are, is no business of whoever holds the link.
        raise Conflict(NO_LONGER) from refusal
    schedule = link.rule
    if schedule is None:
        raise Conflict("This invitation cannot be read any more. Ask for a new one.")
    customer_id = link.customer_id or _customer_by_mail(work, link, name)
    is_charged = link.purpose is Purpose.RECURRING
    subscription = register(
        work,
        billing_number=link.billing_number,
        customer_id=customer_id,
        merchant_id=link.merchant_id,
        amount_minor=link.amount_minor,
        unit=link.unit,
        method=link.method,
        provider=link.provider,
        card_token=card_token if is_charged else None,
        schedule=schedule,
        # A payer may take some days to decide; what has passed meanwhile is not charged.
        start_date=max(link.start_date, business_day(work, zone)),
        expiration_date=link.expiration_date,
        zone=zone,
        purpose=link.purpose,
        origin=SubscriptionOrigin.HOSTED,
        card_last4=card_last4 if is_charged else None,
        card_expires_on=card_expires_on if is_charged else None,
    )
    won = work.change(
        RegistrationLink,
        link_id,
        when=(
            RegistrationLink.status == LinkStatus.OPEN,
            RegistrationLink.token_hash == token_hash,
            RegistrationLink.expires_at > work.now,
        ),
        status=LinkStatus.USED,
        used_at=work.now,
        customer_id=customer_id,
        subscription_id=subscription.id,
        payer_name=name,
        consent=consent,
    )
    if not won:
        raise Gone(_("This link was used already."))
    work.record(
        Event.REGISTRATION_LINK_USED,
        link,
        before={"status": LinkStatus.OPEN},
        after={"status": LinkStatus.USED, "payer_name": name, "consent": consent},
        subscription_id=subscription.subscription_id,
        billing_number=link.billing_number,
        customer_id=customer_id,
    )
    guard.forget(work, _counter(link_id))
    return subscription


def _usable(work: Work, link_id: int, token_hash: str, *, lock: bool = False) -> RegistrationLink:
    link = work.get(RegistrationLink, link_id, lock=lock)
    if link.token_hash != token_hash:
        raise Gone(_("This link was replaced by a newer one."))
    if (state := state_of(link, work.now)) != LinkStatus.OPEN.value:
        raise Gone(_("This link is %(state)s.", state=Text(state).lower()))
    return link


def _counter(link_id: int) -> str:
    """What counts the tries of a link; payers who share an address are not counted together."""
    return guard.guard_key(f"registration link {link_id}", None)


def _customer_by_mail(work: Work, link: RegistrationLink, name: str) -> int:
    """The customer whose address was invited: the one who has it already, or a new one."""
    known = work.session.scalars(
        select(Customer.id).where(Customer.email_key == folded(link.email)).order_by(Customer.id).limit(2)
    ).all()
    if len(known) == 1:
        return known[0]
    customer = work.add(Customer(external_id=f"CUS-{secrets.token_hex(8)}", name=name, email=link.email))
    work.record(
        Event.RECORD_CREATED,
        customer,
        after={"external_id": customer.external_id, "name": name, "email": link.email},
        billing_number=link.billing_number,
    )
    return customer.id
