"""A reminder tells the merchant, signed, and never charges."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest

from payadmin.actions.subscriptions import resend_delivery, save_endpoint
from payadmin.db import db
from payadmin.jobs.notifications import mail_reminder, send_notification
from payadmin.jobs.subscriptions import WEBHOOK_WAIT_SECONDS, deliver_webhook
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Notification, NotificationState
from payadmin.models.subscriptions import (
    ChargeAttempt,
    ChargeStatus,
    DeliveryState,
    Purpose,
    ScheduledCharge,
    WebhookDelivery,
)
from payadmin.permissions import Role
from tests.support.billing import Office
from tests.support.desk import told
from tests.support.door import Received
from tests.support.mail import Inbox, MailServer, free_port


def endpoint(office: Office, url: str, merchant_id: int, **values: bool) -> str:
    keys = office.app.extensions["payadmin.settings"].totp_keys
    _, secret = save_endpoint(
        office.operator(), merchant_id=merchant_id, url=url, enabled=True, keys=keys, allow_private=True, **values
    )
    assert secret is not None
    return secret


def test_a_reminder_is_sent_signed_and_charges_nothing(office: Office, merchant: tuple[str, Received]) -> None:
    url, received = merchant
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER)
    charge = office.due(subscription)
    secret = endpoint(office, url, subscription.merchant_id)
    with told(office.app, webhook_private_addresses=True):
        office.work()
        office.work()
    assert office.status(charge.id) is ChargeStatus.NOTIFIED
    [(headers, body)] = received
    stamp, _, mac = headers["Payadmin-Signature"].partition(",v1=")
    expected = hmac.new(secret.encode(), f"{stamp.removeprefix('t=')}.".encode() + body, hashlib.sha256).hexdigest()
    assert mac == expected
    assert json.loads(body)["invoice_number"] == charge.invoice_number
    assert db.session.query(WebhookDelivery).one().state is DeliveryState.DELIVERED
    assert office.simulator.stats()["posts_by_reference"] == {}
    assert office.payments() == []
    assert db.session.query(ChargeAttempt).count() == 0
    with told(office.app, webhook_private_addresses=True):
        resend_delivery(office.operator(), db.session.query(WebhookDelivery).one().id)
        office.work()
    assert [headers["Payadmin-Message"] for headers, _ in received] == ["msg_1", "msg_1"]


def test_a_private_address_is_never_called_unless_allowed(office: Office, merchant: tuple[str, Received]) -> None:
    url, received = merchant
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER)
    office.due(subscription)
    endpoint(office, url, subscription.merchant_id)
    office.work()
    delivery = db.session.query(WebhookDelivery).one()
    assert (delivery.state, received) == (DeliveryState.DUE, [])
    assert delivery.answer == "The endpoint's address is private; it is not called."


@pytest.mark.parametrize(
    "url", ["ftp://x.example", "http://shop.example/hook", "https://u:p@shop.example", "https://", "x"]
)
def test_an_address_that_makes_no_sense_is_refused(office: Office, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        endpoint(office, url, office.make.organization().id)
    assert refused.value.field == "url"


def test_a_reminder_without_an_endpoint_is_left_to_staff(office: Office) -> None:
    charge = office.due(office.subscription(schedule=None, purpose=Purpose.REMINDER))
    office.work()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff) == (ChargeStatus.FAILED, True)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/hook",
        "https://[::1]/hook",
        "http://localhost:9/hook",
        "https://169.254.169.254/",
        "https://a.local",
    ],
)
def test_an_address_of_a_private_network_is_refused_unless_allowed(office: Office, url: str) -> None:
    keys = office.app.extensions["payadmin.settings"].totp_keys
    with pytest.raises(Invalid, match="private network") as refused:
        save_endpoint(office.operator(), merchant_id=office.make.organization().id, url=url, enabled=True, keys=keys)
    assert refused.value.field == "url"
    assert endpoint(office, url, office.make.organization().id)


def test_a_message_is_given_up_in_the_end_and_says_when_it_is_tried_next(office: Office) -> None:
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER)
    office.due(subscription)
    endpoint(office, f"http://127.0.0.1:{free_port()}/hook", subscription.merchant_id)
    office.work()
    with told(office.app, webhook_private_addresses=True):
        for tries, seconds in enumerate(WEBHOOK_WAIT_SECONDS[1:], start=1):
            row = delivery()
            assert (row.state, row.tries) == (DeliveryState.DUE, tries)
            assert row.next_try_at is not None
            db.session.rollback()
            again = deliver_webhook(delivery_id=row.id)
            assert again is not None
            assert again.seconds == seconds
        assert deliver_webhook(delivery_id=delivery().id) is None
    row = delivery()
    assert (row.state, row.next_try_at, row.tries) == (DeliveryState.FAILED, None, len(WEBHOOK_WAIT_SECONDS) + 1)
    assert (row.answer or "").startswith("The endpoint cannot be reached")
    tried = db.session.query(AuditEvent).filter_by(event="subscriptions.webhook.tried").all()
    assert {entry.outcome for entry in tried} == {"failed"}
    assert len(tried) == row.tries


def test_nothing_is_sent_to_an_endpoint_that_was_switched_off_meanwhile(
    office: Office, merchant: tuple[str, Received]
) -> None:
    url, received = merchant
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER)
    office.due(subscription)
    endpoint(office, url, subscription.merchant_id)
    office.work()
    keys = office.app.extensions["payadmin.settings"].totp_keys
    save_endpoint(
        office.operator(), merchant_id=subscription.merchant_id, url=url, enabled=False, keys=keys, version=2,
        allow_private=True,
    )  # fmt: skip
    row_id = delivery().id
    with told(office.app, webhook_private_addresses=True):
        deliver_webhook(delivery_id=row_id)
    assert (delivery().state, received) == (DeliveryState.FAILED, [])
    with pytest.raises(Conflict, match="switched off"):
        resend_delivery(office.operator(), row_id)


# ---- the mail beside the message -----------------------------------------------------------------------------------


@pytest.fixture
def inbox(office: Office) -> Iterator[Inbox]:
    """The customer's mail server."""
    found, port = Inbox(), free_port()
    server = MailServer(found, hostname="127.0.0.1", port=port)
    server.start()
    with told(
        office.app, smtp_url=f"smtp://127.0.0.1:{port}", mail_from="Pay <pay@shop.example>",
        webhook_private_addresses=True,
    ):  # fmt: skip
        yield found
    server.stop()


def due_reminder(office: Office, url: str, *, mails_customers: bool = True, **customer: object) -> ScheduledCharge:
    payer = office.make.customer(**({"name": "Ada Byron", "email": "ada@example.com"} | customer))
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER, customer_id=payer.id)
    endpoint(office, url, subscription.merchant_id, mails_customers=mails_customers)
    return office.due(subscription)


def test_the_customer_is_mailed_once_and_never_charged(
    office: Office, merchant: tuple[str, Received], inbox: Inbox
) -> None:
    """T12: a reminder makes no payment and no attempt, whatever is repeated."""
    charge_id = due_reminder(office, merchant[0]).id
    for _ in range(3):
        office.work()
    for _ in range(2):  # a worker that died before it could say that it was done
        mail_reminder(charge_id=charge_id)
        send_notification(notification_id=db.session.query(Notification).one().id)
        office.work()
    [mail] = inbox.mails
    charge = office.charge(charge_id)
    assert (mail["To"], inbox.recipients) == ("ada@example.com", [["ada@example.com"]])
    assert mail["Subject"].startswith("Reminder: 10.00 EUR to Corner Shop is due on ")
    text = mail.get_content()
    assert "Dear Ada Byron," in text
    assert "Nothing is charged automatically." in text
    assert charge.invoice_number in text
    row = db.session.query(Notification).one()
    assert (row.state, row.scheduled_charge_id, row.payment_id) == (NotificationState.SENT, charge_id, None)
    assert len(merchant[1]) == 1
    assert charge.status is ChargeStatus.NOTIFIED
    assert office.payments() == []
    assert db.session.query(ChargeAttempt).count() == 0
    assert office.simulator.stats()["posts_by_reference"] == {}


def test_a_reminder_mail_stands_in_the_mailbox_and_leads_to_its_date(
    office: Office, merchant: tuple[str, Received]
) -> None:
    due_reminder(office, merchant[0])
    office.work()
    office.work()
    row = db.session.query(Notification).one()
    assert row.state is NotificationState.KEPT
    staff = office.make.browse(Role.PAYMENTS_OPERATOR)
    assert "Reminder: 10.00 EUR to Corner Shop" in staff.get("/mailbox/").get_data(as_text=True)
    page = staff.get(f"/mailbox/{row.id}/").get_data(as_text=True)
    assert "this is a reminder that a payment is due" in page
    assert "Scheduled charge" in page


@pytest.mark.parametrize(
    ("customer", "why"),
    [
        ({"email": None}, "The customer has no e-mail address."),
        ({"notification_channels": []}, "The customer does not want e-mails."),
        ({"email": "not an address"}, "not one that mail can be sent to"),
    ],
)
def test_a_customer_who_cannot_be_mailed_is_not_and_the_merchant_is_told_all_the_same(
    office: Office, merchant: tuple[str, Received], inbox: Inbox, customer: dict[str, object], why: str
) -> None:
    charge_id = due_reminder(office, merchant[0], **customer).id
    office.work()
    office.work()
    assert office.status(charge_id) is ChargeStatus.NOTIFIED
    assert (inbox.mails, db.session.query(Notification).count(), len(merchant[1])) == ([], 0, 1)
    [entry] = db.session.query(AuditEvent).filter_by(event="subscriptions.reminder.not_mailed")
    assert why in (entry.reason or "")


def test_nobody_is_mailed_unless_it_is_switched_on(
    office: Office, merchant: tuple[str, Received], inbox: Inbox
) -> None:
    due_reminder(office, merchant[0], mails_customers=False)
    office.work()
    office.work()
    assert (inbox.mails, db.session.query(Notification).count(), len(merchant[1])) == ([], 0, 1)


def delivery() -> WebhookDelivery:
    db.session.rollback()
    return db.session.query(WebhookDelivery).one()
