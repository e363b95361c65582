"""Reminder mails: tell a customer that a date is due, once, beside the message to the merchant; nothing is charged."""

import hashlib
from typing import Any, Final

from sqlalchemy import select

from payadmin import texts
from payadmin.actions.payments.notifications import why_not_notifiable
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.money import Money
from payadmin.kernel.text import named, one_line
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Notification, Unit
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge, Subscription
from payadmin.permissions import Permission
from payadmin.providers.mail import domain_of
from payadmin.work import Work, use_case

_SUBJECT: Final = named("mail.reminder.subject", "Reminder: %(amount)s to %(merchant)s is due on %(date)s")
_BODY: Final = named(
    "mail.reminder.body",
    """\
Dear %(customer)s,

this is a reminder that a payment is due. Nothing is charged automatically.

Pay to:          %(merchant)s
Amount:          %(amount)s
Due on:          %(date)s
Billing number:  %(billing)s
Invoice number:  %(invoice)s

%(company)s
""",
)


@use_case(Permission.SYSTEM_JOB_RUN)
def request_reminder(work: Work, charge_id: int, *, settings: Settings) -> Notification | None:
    """Promise the customer a mail about a date whose reminder was sent; the same date promises one mail (SC9).

    Returns:
        The mail, new or as it was promised before; None when the customer cannot be mailed, which the trail says.
    """
    charge = work.get(ScheduledCharge, charge_id, lock=True)
    already: Notification | None = work.one(select(Notification).where(Notification.scheduled_charge_id == charge_id))
    if already is not None or charge.status is not ChargeStatus.NOTIFIED:
        return already
    subscription = work.get(Subscription, charge.subscription_id)
    customer = work.get(Customer, subscription.customer_id)
    keys: dict[str, Any] = {
        "invoice_number": charge.invoice_number,
        "subscription_id": subscription.subscription_id,
        "billing_number": subscription.billing_number,
        "customer_id": customer.id,
    }
    if why := why_not_notifiable(customer):
        work.record(Event.REMINDER_NOT_MAILED, charge, reason=why, outcome="failed", **keys)
        return None
    subject, body = _written(work, charge, subscription, customer, settings)
    digest = hashlib.sha256(f"reminder:{charge.id}:{charge.invoice_number}".encode()).hexdigest()[:40]
    notification = work.add(
        Notification(
            scheduled_charge_id=charge.id,
            recipient=customer.email,
            subject=subject[:200],
            body=body,
            message_id=f"<{digest}@{domain_of(settings.mail_from)}>",
            created_at=work.now,
        )
    )
    after: dict[str, object] = {"recipient": notification.recipient}
    work.record(Event.NOTIFICATION_REQUESTED, notification, after=after, **keys)
    work.promise("send_notification", notification_id=notification.id)
    return notification


def _written(
    work: Work, charge: ScheduledCharge, subscription: Subscription, customer: Customer, settings: Settings
) -> tuple[str, str]:
    scale = work.one(select(Unit.scale).where(Unit.code == charge.unit))
    speech = texts.speech_of(work.session, customer.locale)
    facts = {
        "customer": one_line(customer.name),
        "merchant": one_line(work.get(Organization, subscription.merchant_id).name),
        "amount": str(Money(charge.amount_minor, charge.unit, scale)),
        "date": speech.long_day(charge.due_date),
        "billing": one_line(subscription.billing_number),
        "invoice": one_line(charge.invoice_number),
        "company": one_line(settings.company_name),
    }
    subject = _SUBJECT.of(**{name: facts[name] for name in ("amount", "merchant", "date")})
    return speech.say(subject), speech.say(_BODY.of(**facts))
