"""Notifications: a mail to the customer about a payment, promised here, sent by a worker, booked here again."""

import datetime as dt
import hashlib
from typing import Final

from sqlalchemy import select

from payadmin import texts
from payadmin.actions.payments.orders import add_event
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import Text, _, named, one_line
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import (
    DISPLAY_STATUS,
    Mode,
    Notification,
    NotificationState,
    Payment,
    Unit,
)
from payadmin.models.system import NoticeKind
from payadmin.notices import notify
from payadmin.permissions import Permission
from payadmin.providers.mail import domain_of, is_address
from payadmin.work import Work, use_case

COOL_DOWN: Final = dt.timedelta(seconds=60)

_SENTENCES: Final = {
    "Created": named("mail.payment.created", "we have received your order to pay and are working on it."),
    "Paid": named("mail.payment.paid", "we have received your payment. Thank you."),
    "Partially refunded": named("mail.payment.partially_refunded", "part of your payment was given back to you."),
    "Totally refunded": named("mail.payment.totally_refunded", "your payment was given back to you in full."),
    "Failed": named("mail.payment.failed", "your payment did not go through. You have not been charged."),
    "Voided": named("mail.payment.voided", "your payment was cancelled. You will not be charged."),
    "Charged back": named("mail.payment.charged_back", "your bank has taken your payment back."),
}
_SUBJECT: Final = named("mail.payment.subject", "%(test)sYour payment of %(amount)s to %(merchant)s")
_BODY: Final = named(
    "mail.payment.body",
    """\
Dear %(customer)s,

%(sentence)s

Paid to:      %(merchant)s
Amount:       %(amount)s
%(refunded)sStatus:       %(status)s
Date:         %(date)s
Transaction:  %(transaction)s

%(company)s
%(test)s""",
)
_REFUNDED: Final = named("mail.payment.refunded", "Refunded:     %(amount)s")
_TEST: Final = named("mail.payment.test", "This was a test: no money was moved.")
_EVENTS: Final = {
    NotificationState.SENT: (Event.NOTIFICATION_SENT, "Email notification sent"),
    NotificationState.KEPT: (Event.NOTIFICATION_KEPT, "Email notification kept"),
    NotificationState.FAILED: (Event.NOTIFICATION_FAILED, "Email notification failed"),
}


@use_case(Permission.PAYMENTS_PAYMENT_NOTIFY)
def request_notification(work: Work, payment_id: int, *, key: str, settings: Settings) -> Notification:
    """Promise the customer a mail about a payment as it stands now. The same `key` promises one mail (PY10).

    Args:
        key: made when the button was shown.

    Raises:
        NotFound: no such payment.
        Invalid: no key, as from a form that is not ours.
        Conflict: the customer cannot be mailed, or a mail was requested less than a minute ago.
    """
    if not key:
        raise Invalid("The form is incomplete. Reload the page and try again.")
    payment = work.get(Payment, payment_id, lock=True)
    digest = hashlib.sha256(f"{payment.id}:{key}".encode()).hexdigest()[:40]
    message_id = f"<{digest}@{domain_of(settings.mail_from)}>"
    already: Notification | None = work.one(select(Notification).where(Notification.message_id == message_id))
    if already is not None:
        return already
    customer = work.get(Customer, payment.customer_id)
    if why := why_not_notifiable(customer):
        raise Conflict(why)
    _check_cool_down(work, payment, settings)
    subject, body = _written(work, payment, customer, settings)
    notification = work.add(
        Notification(
            payment_id=payment.id,
            recipient=customer.email,
            subject=subject[:200],
            body=body,
            message_id=message_id,
            created_at=work.now,
        )
    )
    add_event(work, payment, "Email notification requested")
    work.record(
        Event.NOTIFICATION_REQUESTED,
        notification,
        after={"recipient": notification.recipient},
        transaction_id=payment.transaction_id,
        invoice_number=payment.invoice_number,
        customer_id=payment.customer_id,
    )
    work.promise("send_notification", notification_id=notification.id)
    return notification


@use_case(Permission.SYSTEM_JOB_RUN)
def book_notification(work: Work, notification_id: int, *, state: NotificationState, error: str | None = None) -> bool:
    """Write what became of a notification, once: whoever comes second changes nothing and gets False.

    Args:
        state: SENT, KEPT or FAILED; QUEUED notes why it is still waiting.
        error: the sentence for staff when it failed or waits.
    """
    sent = work.now if state is NotificationState.SENT else None
    when = [Notification.state == NotificationState.QUEUED]
    if state is NotificationState.QUEUED:
        # A server that stays away for hours is one line in the trail, not one for each try.
        when.append(Notification.error.is_distinct_from(error))
    if not work.change(Notification, notification_id, when=when, state=state, sent_at=sent, error=error):
        return False
    notification = work.get(Notification, notification_id)
    event, line = _EVENTS.get(state, (Event.NOTIFICATION_DELAYED, "Email notification delayed"))
    payment = None
    if notification.payment_id is not None:
        payment = work.get(Payment, notification.payment_id)
        add_event(work, payment, line, detail=error)
    work.record(
        event,
        notification,
        after={"state": state},
        reason=error,
        outcome="failed" if error else "done",
        transaction_id=payment and payment.transaction_id,
        customer_id=payment and payment.customer_id,
    )
    if state is NotificationState.FAILED:
        _tell_requester(work, notification)
    return True


def _tell_requester(work: Work, notification: Notification) -> None:
    """Tell who asked for a mail, by the bell, that it did not go out; the trail knows who that was."""
    asked = select(AuditEvent.actor_id).where(
        AuditEvent.entity == Notification.__tablename__,
        AuditEvent.entity_id == str(notification.id),
        AuditEvent.event == str(Event.NOTIFICATION_REQUESTED),
    )
    title = f"An e-mail could not be sent: {notification.subject}"
    key = f"mail:{notification.id}:failed"
    notify(work.session, work.one(asked), NoticeKind.FAILED, title, page="mailbox", row_id=notification.id, key=key)


def why_not_notifiable(customer: Customer) -> str | None:
    """The sentence that says why this customer cannot be mailed, or None (T18): the button asks it too."""
    if not customer.email:
        return "The customer has no e-mail address."
    if not customer.can_be_mailed:
        return "The customer does not want e-mails."
    if not is_address(customer.email):
        return "The customer's e-mail address is not one that mail can be sent to. Correct it first."
    return None


def _check_cool_down(work: Work, payment: Payment, settings: Settings) -> None:
    last: dt.datetime | None = work.one(
        select(Notification.created_at)
        .where(Notification.payment_id == payment.id)
        .order_by(Notification.created_at.desc())
    )
    if last is None or last + COOL_DOWN <= work.now:
        return
    ready = last + COOL_DOWN
    seconds = int((ready - work.now).total_seconds()) + 1
    at = f"{ready.astimezone(settings.zone):%H:%M:%S}"
    raise Conflict(
        _(
            "A mail about this payment was requested just now. The next can be requested at %(time)s, "
            "in %(seconds)s s.",
            time=at,
            seconds=seconds,
        ),
        retry_after_seconds=seconds,
    )


def _written(work: Work, payment: Payment, customer: Customer, settings: Settings) -> tuple[str, str]:
    scale = work.one(select(Unit.scale).where(Unit.code == payment.unit))
    status = DISPLAY_STATUS[payment.status]
    speech = texts.speech_of(work.session, customer.locale)
    refunded = _REFUNDED.of(amount=payment.money(payment.refunded_minor, scale))
    local = payment.created_at.astimezone(settings.zone)
    facts: dict[str, object] = {
        "customer": one_line(customer.name),
        "merchant": one_line(work.get(Organization, payment.merchant_id).name),
        "amount": payment.money(payment.amount_minor, scale),
        "refunded": f"{speech.say(refunded)}\n" if payment.refunded_minor else "",
        "status": Text(status),
        "sentence": _SENTENCES[status],
        "date": speech.long_day(local),
        "transaction": one_line(payment.transaction_id),
        "company": one_line(settings.company_name),
    }
    test = payment.mode is Mode.TEST
    last = f"\n{speech.say(_TEST)}\n" if test else ""
    subject = _SUBJECT.of(test="[TEST] " if test else "", amount=facts["amount"], merchant=facts["merchant"])
    return speech.say(subject), speech.say(_BODY.of(test=last, **facts))
