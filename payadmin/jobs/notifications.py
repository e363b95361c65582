"""Sending mails to customers."""

from typing import TYPE_CHECKING

from flask import current_app
from sqlalchemy import select

from payadmin.actions.access import mail_password_link, text_with_secret
from payadmin.actions.identification import text_with_upload_link
from payadmin.actions.payments.notifications import book_notification
from payadmin.actions.payments.reminder_mails import request_reminder
from payadmin.actions.subscriptions import message_id_of, text_with_link
from payadmin.actions.support import mail_text, reply_address
from payadmin.db import db, utcnow
from payadmin.jobs import Later, job
from payadmin.kernel.errors import NotFound
from payadmin.models.access import AccountLink
from payadmin.models.identification import UploadLink
from payadmin.models.payments import Notification, NotificationState
from payadmin.models.registrations import RegistrationLink
from payadmin.models.support import TicketMessage
from payadmin.providers.mail import Delivery, Mail, send_mail
from payadmin.work import SYSTEM

if TYPE_CHECKING:
    from payadmin.config import Settings

GIVE_UP_SECONDS = 24 * 3600
WAIT_SECONDS = (15, 900)


@job("send_notification")
def send_notification(*, notification_id: int) -> Later | None:
    """Send one queued mail and book what became of it; without an SMTP server the mail is kept for the Mailbox page.

    Mail cannot be sent exactly once. A worker that dies after the server took the message and before the booking leaves
    the row QUEUED, and the next worker sends it again: at least once, with the same Message-ID, date and text, so that
    mail programs and servers can tell that it is the same message. A mail that is booked is never sent again.
    """
    settings: Settings = current_app.extensions["payadmin.settings"]
    row = db.session.get(Notification, notification_id, populate_existing=True)
    if row is None:
        raise NotFound("There is no such notification.")
    queued, written_at, body = row.state is NotificationState.QUEUED, row.created_at, _body(row, settings)
    mail = Mail(
        settings.mail_from,
        row.recipient,
        row.subject,
        body or "",
        row.message_id,
        written_at,
        _reply_to(row, settings),
    )
    # Nothing is held open while the mail server thinks.
    db.session.rollback()
    if not queued:
        return None
    if not settings.smtp_url:
        book_notification(SYSTEM, notification_id, state=NotificationState.KEPT)
        return None
    if body is None:
        why = "What it was to bring was used, revoked or replaced before the mail was sent."
        book_notification(SYSTEM, notification_id, state=NotificationState.FAILED, error=why)
        return None
    receipt = send_mail(mail, settings.smtp_url)
    if receipt.delivery is Delivery.ACCEPTED:
        book_notification(SYSTEM, notification_id, state=NotificationState.SENT)
        return None
    age = int((utcnow() - written_at).total_seconds())
    if receipt.delivery is Delivery.REFUSED or age > GIVE_UP_SECONDS:
        book_notification(SYSTEM, notification_id, state=NotificationState.FAILED, error=receipt.reason)
        return None
    book_notification(SYSTEM, notification_id, state=NotificationState.QUEUED, error=receipt.reason)
    # As long again as it has waited so far: soon at first, every quarter of an hour in the end.
    return Later(min(max(age, WAIT_SECONDS[0]), WAIT_SECONDS[1]))


def _body(row: Notification, settings: "Settings") -> str | None:
    """The text as it is sent: a link or a temporary password is put in only now, so that it is kept nowhere."""
    if row.account_link_id is not None:
        secret = db.session.get_one(AccountLink, row.account_link_id, populate_existing=True)
        return text_with_secret(row.body, secret, settings) if secret.is_open(utcnow()) else None
    if row.upload_link_id is not None:
        request = db.session.get_one(UploadLink, row.upload_link_id, populate_existing=True)
        return text_with_upload_link(row.body, request, settings)
    if row.registration_link_id is None:
        answer = _answer_of(row)
        return row.body if answer is None else mail_text(db.session(), answer, settings)
    link = db.session.get_one(RegistrationLink, row.registration_link_id, populate_existing=True)
    if row.message_id != message_id_of(link, settings):
        return None
    return text_with_link(row.body, link, settings)


def _answer_of(row: Notification) -> TicketMessage | None:
    """The answer of support that the mail brings; its text stands only there."""
    return db.session.scalar(select(TicketMessage).where(TicketMessage.notification_id == row.id))


def _reply_to(row: Notification, settings: "Settings") -> str:
    """Where the customer's answer goes, if support takes answers by mail."""
    answer = _answer_of(row)
    return reply_address(answer, settings) if answer is not None else ""


@job("mail_password_link")
def promise_password_link(*, staff_id: int) -> None:
    """Promise the mail with which somebody chooses a new password; nothing for nobody."""
    mail_password_link(SYSTEM, staff_id)


@job("mail_reminder")
def mail_reminder(*, charge_id: int) -> None:
    """Promise the customer the mail about a date that is due, once however often this runs."""
    request_reminder(SYSTEM, charge_id, settings=current_app.extensions["payadmin.settings"])
