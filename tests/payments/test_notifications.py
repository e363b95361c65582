"""Notifications: one mail per request, by a real SMTP server, recognisable when it comes twice."""

import dataclasses
import datetime as dt
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from flask import Flask
from sqlalchemy import func, select

from payadmin.actions.payments import notifications as actions
from payadmin.actions.payments.notifications import book_notification, request_notification
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.jobs import Later, notifications
from payadmin.jobs.notifications import send_notification
from payadmin.jobs.runner import drain
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage, OutboxState
from payadmin.models.payments import (
    DISPLAY_STATUS,
    Mode,
    Notification,
    NotificationState,
    PaymentEvent,
    PaymentStatus,
)
from payadmin.models.system import NoticeKind, StaffNotice
from payadmin.permissions import Permission, Role
from payadmin.providers.mail import Delivery, Mail, Receipt, is_address, send_mail
from payadmin.work import SYSTEM
from tests.support.mail import Inbox, MailServer, free_port
from tests.support.make import Make

HOSTILE = "Eve\r\nBcc: everybody@example.com\r\n\r\n<script>$customer ${test} {0} \u202eexe Жук"


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Inbox, str]]]:
    """`serve()` starts a mail server: its inbox and its address."""
    running: list[MailServer] = []

    def start(scheme: str = "smtp", login: str = "", **options: Any) -> tuple[Inbox, str]:
        inbox, port = Inbox(), free_port()
        running.append(MailServer(inbox, hostname="127.0.0.1", port=port, **options))
        running[-1].start()
        return inbox, f"{scheme}://{login}127.0.0.1:{port}"

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture
def configure(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """`configure(smtp_url=…)` replaces settings for this test."""

    def replace(**values: Any) -> Settings:
        found = dataclasses.replace(
            app.extensions["payadmin.settings"], mail_from="Pay Office <pay@shop.example>", **values
        )
        monkeypatch.setitem(app.extensions, "payadmin.settings", found)
        return found

    return replace


@pytest.fixture
def office(configure: Callable[..., Settings]) -> Settings:
    return configure(company_name="Lakeside")


def later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    from payadmin import work

    monkeypatch.setattr(work, "utcnow", lambda: utcnow() + dt.timedelta(seconds=seconds))


def rows(model: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def events() -> list[str]:
    return list(db.session.scalars(select(PaymentEvent.event).order_by(PaymentEvent.id)))


def work_off() -> int:
    """Do what was promised, as a worker would; the test then sees what the worker wrote."""
    done = drain()
    db.session.rollback()
    return done


def state_of(notification_id: int) -> tuple[NotificationState, str | None]:
    row = db.session.get(Notification, notification_id, populate_existing=True)
    assert row is not None
    return row.state, row.error


# ------------------------------------------------------------------------------------------------ requests


def test_a_request_writes_the_mail_and_promises_it_once_per_form(make: Make, office: Settings) -> None:
    customer = make.customer(name="Ada Lovelace", email="ada@example.com")
    payment = make.payment(customer_id=customer.id, amount_minor=1_234_50)
    first = request_notification(make.actor(), payment.id, key="form", settings=office)
    again = request_notification(make.actor(), payment.id, key="form", settings=office)
    assert first.id == again.id
    assert (first.recipient, first.state) == ("ada@example.com", NotificationState.QUEUED)
    assert first.subject == "Your payment of 1,234.50 EUR to Corner Shop"
    assert "Dear Ada Lovelace,\n\nwe have received your payment. Thank you.\n" in first.body
    assert first.body.endswith(f"Transaction:  {payment.transaction_id}\n\nLakeside\n")
    assert "Refunded" not in first.body
    assert first.message_id.endswith("@shop.example>")
    assert events() == ["Email notification requested"]
    promised = db.session.scalars(select(OutboxMessage)).one()
    assert (promised.job, promised.args) == ("send_notification", {"notification_id": first.id})
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "payments.notification.requested")).one()
    assert entry.after == {"recipient": "a•••@example.com"}


@pytest.mark.parametrize("status", PaymentStatus)
def test_every_status_has_its_sentence(make: Make, office: Settings, status: PaymentStatus) -> None:
    refunded = {"refunded_minor": 30_00} if status is PaymentStatus.PARTIALLY_REFUNDED else {}
    payment = make.payment(status=status, mode=Mode.TEST, **refunded)
    mail = request_notification(make.actor(), payment.id, key="form", settings=office)
    assert f"Status:       {DISPLAY_STATUS[status]}\n" in mail.body
    assert ("Refunded:     30.00 EUR\n" in mail.body) == bool(refunded)
    assert mail.subject.startswith("[TEST] ")
    assert mail.body.endswith("Lakeside\n\nThis was a test: no money was moved.\n")
    assert "$" not in mail.body


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"email": None}, "has no e-mail"),
        ({"email": ""}, "has no e-mail"),
        ({"notification_channels": ["sms"]}, "does not want"),
        ({"email": "ada@example.com\r\nBcc: eve@example.com"}, "not one that mail"),
        ({"email": "ada@example.com, eve@example.com"}, "not one that mail"),
        ({"email": "nobody"}, "not one that mail"),
    ],
)
def test_a_customer_who_cannot_be_mailed_is_not(make: Make, office: Settings, values: Any, reason: str) -> None:
    payment = make.payment(customer_id=make.customer(**values).id)
    with pytest.raises(Conflict, match=reason):
        request_notification(make.actor(), payment.id, key="form", settings=office)
    assert (rows(Notification), rows(PaymentEvent), rows(OutboxMessage)) == (0, 0, 0)


def test_the_next_mail_can_be_requested_after_a_minute_and_the_refusal_says_when(
    make: Make, office: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id, other_id = make.payment().id, make.payment().id
    first = request_notification(make.actor(), payment_id, key="one", settings=office)
    ready = (first.created_at + dt.timedelta(seconds=60)).astimezone(office.zone)
    with pytest.raises(Conflict, match=f"{ready:%H:%M:%S}") as refusal:
        request_notification(make.actor(), payment_id, key="two", settings=office)
    assert 55 <= refusal.value.data["retry_after_seconds"] <= 60
    request_notification(make.actor(), other_id, key="two", settings=office)
    later(monkeypatch, 61)
    request_notification(make.actor(), payment_id, key="two", settings=office)
    assert rows(Notification) == 3


def test_only_who_may_notify_does_and_only_about_a_payment(make: Make, office: Settings) -> None:
    payment_id = make.payment().id
    with pytest.raises(Forbidden):
        request_notification(
            make.actor_without(Permission.PAYMENTS_PAYMENT_NOTIFY), payment_id, key="form", settings=office
        )
    with pytest.raises(NotFound):
        request_notification(make.actor(), 404, key="form", settings=office)
    with pytest.raises(Invalid):
        request_notification(make.actor(), payment_id, key="", settings=office)
    with pytest.raises(Forbidden):
        book_notification(make.actor(), 1, state=NotificationState.SENT)
    assert rows(Notification) == 0


# ------------------------------------------------------------------------------------------------ sending


def test_a_promised_mail_reaches_the_server_once_and_is_booked(make: Make, serve: Any, configure: Any) -> None:
    inbox, url = serve()
    settings = configure(smtp_url=url)
    payment_id = make.payment(customer_id=make.customer(name="Жук Łukasz", email="z@example.com").id).id
    sent = request_notification(make.actor(), payment_id, key="form", settings=settings).id
    assert work_off() == 1
    assert work_off() == 0
    send_notification(notification_id=sent)
    row = db.session.get(Notification, sent, populate_existing=True)
    assert (row.state, row.error) == (NotificationState.SENT, None)
    assert row.sent_at is not None
    [mail] = inbox.mails
    assert inbox.recipients == [["z@example.com"]]
    assert (mail["To"], mail["From"], mail["Message-ID"]) == (
        "z@example.com",
        "Pay Office <pay@shop.example>",
        row.message_id,
    )
    assert mail["Subject"] == row.subject
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().replace("\r\n", "\n") == row.body
    assert events() == ["Email notification requested", "Email notification sent"]
    assert db.session.scalars(select(OutboxMessage.state)).all() == [OutboxState.DONE]


def test_a_worker_that_died_before_booking_sends_the_same_message_again(
    make: Make, serve: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, url = serve()
    payment_id = make.payment().id
    sent = request_notification(make.actor(), payment_id, key="form", settings=configure(smtp_url=url)).id

    def killed(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(notifications, "book_notification", killed)
        with pytest.raises(KeyboardInterrupt):
            send_notification(notification_id=sent)
    assert send_notification(notification_id=sent) is None
    first, second = inbox.mails
    assert first.as_bytes() == second.as_bytes()
    assert first["Message-ID"]
    assert state_of(sent) == (NotificationState.SENT, None)
    assert events().count("Email notification sent") == 1


def test_without_a_mail_server_the_mail_is_kept(make: Make, office: Settings) -> None:
    kept = request_notification(make.actor(), make.payment().id, key="form", settings=office).id
    assert work_off() == 1
    assert state_of(kept) == (NotificationState.KEPT, None)
    assert events() == ["Email notification requested", "Email notification kept"]


def test_a_refused_address_fails_with_the_servers_words(make: Make, serve: Any, configure: Any) -> None:
    inbox, url = serve()
    inbox.answer_rcpt = "550 no such mailbox"
    failed = request_notification(make.actor(), make.payment().id, key="f", settings=configure(smtp_url=url)).id
    assert send_notification(notification_id=failed) is None
    assert state_of(failed) == (NotificationState.FAILED, "The address was refused: 550 no such mailbox")
    assert events() == ["Email notification requested", "Email notification failed"]
    assert inbox.mails == []


def test_a_server_that_says_later_or_is_away_is_asked_again_and_given_up_after_a_day(
    make: Make, serve: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, url = serve()
    inbox.answer_data = "451 greylisted"
    settings = configure(smtp_url=url)
    waiting = request_notification(make.actor(), make.payment().id, key="form", settings=settings).id
    assert send_notification(notification_id=waiting) == Later(15)
    assert state_of(waiting) == (NotificationState.QUEUED, "The mail server refused: 451 greylisted")
    assert send_notification(notification_id=waiting) == Later(15)
    assert events() == ["Email notification requested", "Email notification delayed"]
    configure(smtp_url=f"smtp://127.0.0.1:{free_port()}")
    monkeypatch.setattr(notifications, "utcnow", lambda: utcnow() + dt.timedelta(hours=2))
    assert send_notification(notification_id=waiting) == Later(900)
    assert "cannot be reached" in str(state_of(waiting)[1])
    configure(smtp_url=url)
    inbox.answer_data = "250 OK"
    assert send_notification(notification_id=waiting) is None
    assert state_of(waiting) == (NotificationState.SENT, None)
    assert len(inbox.mails) == 1

    later(monkeypatch, 120)
    configure(smtp_url=f"smtp://127.0.0.1:{free_port()}")
    given_up = request_notification(make.actor(), make.payment().id, key="form", settings=settings).id
    monkeypatch.setattr(notifications, "utcnow", lambda: utcnow() + dt.timedelta(hours=25))
    assert send_notification(notification_id=given_up) is None
    assert state_of(given_up)[0] is NotificationState.FAILED


def test_a_booked_mail_is_never_booked_again(make: Make, office: Settings) -> None:
    booked = request_notification(make.actor(), make.payment().id, key="form", settings=office).id
    assert book_notification(SYSTEM, booked, state=NotificationState.SENT)
    for state in NotificationState:
        assert not book_notification(SYSTEM, booked, state=state, error="too late")
    assert state_of(booked) == (NotificationState.SENT, None)
    with pytest.raises(NotFound):
        send_notification(notification_id=404)


def test_hostile_names_add_no_header_and_no_recipient(make: Make, serve: Any, configure: Any) -> None:
    inbox, url = serve()
    payment_id = make.payment(
        customer_id=make.customer(name=HOSTILE, email="eve@example.com").id,
        merchant_id=make.organization(name=HOSTILE).id,
    ).id
    settings = configure(smtp_url=url, company_name=HOSTILE)
    request_notification(make.actor(), payment_id, key="form", settings=settings)
    assert work_off() == 1
    [mail] = inbox.mails
    assert inbox.recipients == [["eve@example.com"]]
    assert sorted(mail.keys()) == [
        "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version", "Message-ID",
        "Subject", "To",
    ]  # fmt: skip
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    greeting, _, rest = mail.get_content().replace("\r\n", "\n").partition("\n\n")
    assert greeting == "Dear Eve Bcc: everybody@example.com <script>$customer ${test} {0} exe Жук,"
    assert rest.startswith("we have received your payment.")


# ------------------------------------------------------------------------------------------------ the wire

MAIL = Mail("pay@shop.example", "ada@example.com", "Hello", "Text\n", "<1@shop.example>", utcnow())


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1 and the file of the authority that vouches for it: itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utcnow() - dt.timedelta(days=1))
        .not_valid_after(utcnow() + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate


def only_ada(_server: object, _session: object, _envelope: object, _mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"ada", b"p@ss:w/rd"), handled=False)


@pytest.mark.once
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_is_encrypted_when_offered_and_only_to_a_server_that_proves_who_it_is(
    serve: Any, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    context, authority = certificate
    options = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context}
    inbox, url = serve(scheme, **options)
    untrusted = send_mail(MAIL, url)
    assert untrusted.delivery is Delivery.DELAYED
    assert "certificate" in str(untrusted.reason).lower()
    assert inbox.mails == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert send_mail(MAIL, url) == Receipt(Delivery.ACCEPTED)
    assert inbox.encrypted == [True] or scheme == "smtps"
    assert len(inbox.mails) == 1


@pytest.mark.once
def test_login_is_used_and_never_in_the_clear_to_another_machine(
    serve: Any, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from payadmin.providers import mail as wire

    context, authority = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    inbox, url = serve(login="ada:p%40ss%3Aw%2Frd@", tls_context=context, authenticator=only_ada, auth_required=True)
    assert send_mail(MAIL, url) == Receipt(Delivery.ACCEPTED)
    assert len(inbox.mails) == 1
    wrong = send_mail(MAIL, url.replace("ada:", "eve:"))
    assert wrong.delivery is Delivery.DELAYED
    assert str(wrong.reason).startswith("The login was refused: 535")
    assert "p@ss" not in str(wrong.reason)
    bare, plain_url = serve(login="ada:p%40ss%3Aw%2Frd@", auth_require_tls=False, authenticator=only_ada)
    assert send_mail(MAIL, plain_url) == Receipt(Delivery.ACCEPTED)
    monkeypatch.setattr(wire, "_is_here", lambda _host: False)
    refused = send_mail(MAIL, plain_url)
    assert refused.delivery is Delivery.REFUSED
    assert "in the clear" in str(refused.reason)
    assert len(bare.mails) == 1


@pytest.mark.once
def test_a_mail_that_cannot_be_addressed_or_a_server_that_cannot_be_named_is_an_answer_not_an_error() -> None:
    for wrong in ("a@b\r\nBcc: c@d", "a@b, c@d", "<a@b>", "a b@c", "", "@", "a@b@c", "x" * 250 + "@b.example"):
        assert not is_address(wrong)
        refused = send_mail(dataclasses.replace(MAIL, recipient=wrong), "smtp://127.0.0.1:9")
        assert refused.delivery is Delivery.REFUSED
    assert send_mail(dataclasses.replace(MAIL, sender="nobody"), "smtp://127.0.0.1:9").delivery is Delivery.REFUSED
    for url in (f"smtp://127.0.0.1:{free_port()}", "smtp://127.0.0.1:99999999", "smtps://127.0.0.1:x"):
        assert send_mail(MAIL, url, timeout_seconds=1).delivery is Delivery.DELAYED
    assert is_address("żółw@example.com")


@pytest.mark.once
def test_the_templates_know_every_word_a_status_is_shown_as() -> None:
    assert set(actions._SENTENCES) == set(DISPLAY_STATUS.values())


def test_who_asked_for_a_mail_is_told_by_the_bell_that_it_failed(make: Make, serve: Any, configure: Any) -> None:
    inbox, url = serve()
    inbox.answer_rcpt = "550 no such mailbox"
    client = make.browse(Role.PAYMENTS_OPERATOR)
    asked = dataclasses.replace(make.actor(), staff_id=client.staff_id)
    failed = request_notification(asked, make.payment().id, key="f", settings=configure(smtp_url=url)).id
    send_notification(notification_id=failed)
    db.session.rollback()
    [notice] = db.session.scalars(select(StaffNotice))
    assert (notice.staff_id, notice.kind, notice.row_id) == (client.staff_id, NoticeKind.FAILED, failed)
    assert client.get(f"/notices/{notice.id}/").location == f"/mailbox/{failed}/"
