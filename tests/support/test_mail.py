"""Mail both ways, with real SMTP: answers go out with a signed address, what comes in is believed only with it."""

import asyncio
import dataclasses
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin.actions import support
from payadmin.config import Settings
from payadmin.db import db
from payadmin.jobs.runner import drain
from payadmin.kernel.ticket_addresses import ticket_address, ticket_of
from payadmin.mailin import serve
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.support import MessageKind, TicketFile, TicketStatus
from payadmin.providers.incoming import MOST_BYTES, Incoming, Unreadable, read_mail
from payadmin.work import SYSTEM
from tests.support.conftest import Care
from tests.support.mail import Inbox, MailServer, free_port

S = TicketStatus
DOMAIN = "support.example.com"


@pytest.fixture
def told(app: Flask, settings: Settings) -> Iterator[Settings]:
    """The application takes answers by mail."""
    changed = dataclasses.replace(settings, support_domain=DOMAIN, mail_from="Care <care@example.com>")
    app.extensions["payadmin.settings"] = changed
    yield changed
    app.extensions["payadmin.settings"] = settings


@pytest.fixture
def port(app: Flask, told: Settings) -> Iterator[int]:
    """`payadmin mailin` at a port of its own."""
    started, ports = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def ready(bound: int) -> None:
        ports.append(bound)
        started.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(app, told, host="127.0.0.1", port=0, stop=stop, ready=ready))

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@dataclasses.dataclass
class Talk:
    """A ticket of a customer whom mail reaches, waiting for what they say."""

    ticket: int
    customer: str
    address: str
    boss: object


@pytest.fixture
def talk(care: Care, told: Settings) -> Talk:
    boss, customer = care.manager(), care.customer(email="Ann@example.com", locale="en")
    email = customer.email
    ticket = care.ticket(boss, customer)
    support.answer_ticket(boss, ticket, body="Which invoice?", key="a")
    return Talk(ticket, email, ticket_address(told.secret_key, ticket, DOMAIN), boss)


def mail(talk: Talk, text: str = "The first one.", **headers: str) -> EmailMessage:
    found = EmailMessage()
    given = {"From": f"Ann <{talk.customer}>", "To": talk.address, "Subject": "Re", "Message-ID": "<1@example.com>"}
    for name, value in (given | {key.replace("_", "-"): value for key, value in headers.items()}).items():
        found[name] = value
    found.set_content(text)
    return found


def send(port: int, message: EmailMessage | bytes, to: str, sender: str = "ann@example.com") -> tuple[int, bytes]:
    """The answer of the server to the last step."""
    content = message if isinstance(message, bytes) else message.as_bytes(policy=SMTP)
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        code, said = client.mail(sender)
        assert code == 250, said
        code, said = client.rcpt(to)
        if code != 250:
            return code, said
        return client.data(content)


def test_an_answer_goes_out_and_its_reply_comes_back(app: Flask, care: Care, talk: Talk, port: int) -> None:
    inbox, out = Inbox(), free_port()
    server = MailServer(inbox, hostname="127.0.0.1", port=out)
    server.start()
    try:
        told = app.extensions["payadmin.settings"]
        app.extensions["payadmin.settings"] = dataclasses.replace(told, smtp_url=f"smtp://127.0.0.1:{out}")
        drain()
    finally:
        server.stop()
    [sent] = inbox.mails
    assert (sent["To"], sent["Reply-To"]) == (talk.customer, talk.address)
    assert sent["Subject"] == f"Your request [T-{talk.ticket:06}]"
    assert "Which invoice?" in sent.get_content()
    code, said = send(port, mail(talk), sent["Reply-To"])
    assert (code, care.row(talk.ticket).status) == (250, S.IN_PROGRESS), said
    last = care.messages(talk.ticket)[-1]
    assert (last.kind, last.body, last.author_id) == (MessageKind.CUSTOMER, "The first one.", None)


def test_the_same_mail_is_added_once_however_many_bring_it_at_once(care: Care, talk: Talk, port: int) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(send(port, mail(talk), talk.address)[0])) for _n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [250] * 4
    assert [each.body for each in care.messages(talk.ticket)].count("The first one.") == 1
    assert send(port, mail(talk, "The second.", Message_ID="<2@example.com>"), talk.address.upper())[0] == 250
    assert len(care.messages(talk.ticket)) == 4


def test_of_many_copies_taken_at_once_one_is_new(app: Flask, care: Care, talk: Talk) -> None:
    """Without SMTP between them, so that they meet in the database itself."""
    copy = Incoming((talk.customer,), "<9@example.com>", is_automatic=False, text="Once.", files=(("a.txt", b"hi"),))
    barrier, taken = threading.Barrier(6), []

    def take() -> None:
        with app.app_context():
            barrier.wait()
            taken.append(support.take_mail(SYSTEM, talk.ticket, copy))
            db.session.remove()

    threads = [threading.Thread(target=take) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 5 + [True]
    assert [each.body for each in care.messages(talk.ticket)].count("Once.") == 1
    kept = [file.stored for file in db.session.scalars(select(TicketFile))]
    folder = app.extensions["payadmin.settings"].files_folder / "tickets"
    assert len(kept) == 1
    assert (folder / kept[0][:2] / kept[0]).exists()


def test_a_reply_brings_a_resolved_ticket_back_and_a_closed_one_takes_none(care: Care, talk: Talk, port: int) -> None:
    care.move(talk.boss, talk.ticket, S.RESOLVED)
    assert send(port, mail(talk), talk.address)[0] == 250
    assert care.row(talk.ticket).status is S.REOPENED
    care.move(talk.boss, talk.ticket, S.IN_PROGRESS)
    care.move(talk.boss, talk.ticket, S.RESOLVED)
    care.move(talk.boss, talk.ticket, S.CLOSED)
    code, said = send(port, mail(talk, Message_ID="<3@example.com>"), talk.address)
    assert (code, b"closed" in said) == (550, True)


def test_a_reply_to_a_merged_ticket_reaches_the_one_that_goes_on(care: Care, talk: Talk, port: int) -> None:
    customer = db.session.get_one(Customer, care.row(talk.ticket).customer_id)
    target = care.ticket(talk.boss, customer)
    number = care.row(target).number
    support.merge_ticket(talk.boss, talk.ticket, into=number, version=care.row(talk.ticket).version)
    assert send(port, mail(talk), talk.address)[0] == 250
    assert care.messages(target)[-1].body == "The first one."


@pytest.mark.parametrize("forge", ["another ticket", "no signature", "another domain", "another word", "a long one"])
def test_forged_addresses_are_refused_before_the_mail_is_sent(talk: Talk, port: int, forge: str) -> None:
    local, _, signature = talk.address.partition("@")[0].partition(".")
    address = {
        "another ticket": f"ticket+{talk.ticket + 1}.{signature}@{DOMAIN}",
        "no signature": f"{local}@{DOMAIN}",
        "another domain": talk.address.replace(DOMAIN, "evil.example.com"),
        "another word": f"{local}.{'a' * 26}@{DOMAIN}",
        "a long one": f"ticket+{'9' * 40}.{signature}@{DOMAIN}",
    }[forge]
    assert send(port, mail(talk), address)[0] == 550


def test_only_the_customer_is_believed(care: Care, talk: Talk, port: int) -> None:
    assert send(port, mail(talk, From="Eve <eve@example.com>"), talk.address)[0] == 550
    two = mail(talk, From=f"{talk.customer}, eve@example.com")
    assert send(port, two, talk.address)[0] == 550
    assert not read_mail(f"From: {talk.customer}{' ' * 2_000}, eve@example.com\r\n\r\nhi".encode()).senders
    assert len(care.messages(talk.ticket)) == 2


@pytest.mark.parametrize(
    "headers", [{"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"X_Autoreply": "yes"}, {"List_Id": "<l>"}]
)
def test_what_a_program_wrote_changes_nothing_and_is_not_answered(
    care: Care, talk: Talk, port: int, headers: dict[str, str]
) -> None:
    care.move(talk.boss, talk.ticket, S.RESOLVED)
    assert send(port, mail(talk, **headers), talk.address)[0] == 250
    assert (care.row(talk.ticket).status, len(care.messages(talk.ticket))) == (S.RESOLVED, 2)
    left = select(func.count()).where(AuditEvent.event == "support.mail.left_out")
    assert db.session.scalar(left) == 1


def test_what_has_no_sender_to_answer_was_written_by_a_program(care: Care, talk: Talk, port: int) -> None:
    """An absence notice names no sender in the envelope (RFC 3834), and often that is all that tells it."""
    care.move(talk.boss, talk.ticket, S.RESOLVED)
    assert send(port, mail(talk, "I am away."), talk.address, sender="")[0] == 250
    assert (care.row(talk.ticket).status, len(care.messages(talk.ticket))) == (S.RESOLVED, 2)


def test_too_large_a_mail_is_refused(talk: Talk, port: int) -> None:
    message = mail(talk)
    message.add_attachment(b"x" * MOST_BYTES, maintype="application", subtype="pdf", filename="a.pdf")
    try:
        code = send(port, message, talk.address)[0]
    except (smtplib.SMTPException, OSError):
        return
    assert code == 552


def test_attachments_are_looked_into_and_the_rest_is_said(care: Care, talk: Talk, port: int) -> None:
    message = mail(talk)
    message.add_attachment(b"%PDF-1.7\n...\n%%EOF\n", maintype="application", subtype="pdf", filename="bill.pdf")
    message.add_attachment(b"MZ\x90\x00", maintype="application", subtype="pdf", filename="bill2.pdf")
    assert send(port, message, talk.address)[0] == 250
    assert [file.name for file in db.session.scalars(select(TicketFile))] == ["bill.pdf"]
    assert "1 attached files were not taken" in care.messages(talk.ticket)[-1].body


def test_a_page_becomes_its_words(care: Care, talk: Talk, port: int) -> None:
    message = mail(talk)
    message.clear_content()
    message.set_content("<style>x{}</style><p>Hello <b>there</b><script>alert(1)</script></p>", subtype="html")
    assert send(port, message, talk.address)[0] == 250
    assert care.messages(talk.ticket)[-1].body == "Hello there"


def deep(parts: int) -> bytes:
    """A mail in a mail in a mail."""
    head = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(parts))
    return b"From: ann@example.com\n" + head.encode()


@pytest.mark.once
@pytest.mark.parametrize(
    ("_case", "raw"),
    [
        ("ten thousand parts", b"From: a@b.c\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10_000),
        ("a hundred levels", deep(100)),
        ("endless headers", b"X: y\n" * 100_000),
    ],
)
def test_mails_that_are_made_to_hurt_are_given_up(_case: str, raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read_mail(raw)


@pytest.mark.once
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe" * 100,
        b"From: =?utf-8?q?=ff?= <a@b.c>\nContent-Type: text/plain; charset=no-such\n\n\xff hi",
        b'From: a@b.c\nContent-Type: text/plain; charset="utf-7"\n\n+ADw-script+AD4-',
        b"From: a@b.c\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!!",
        b"From: a@b.c\n" + b"Subject: " + b"=?utf-8?b?" * 5_000 + b"\n\nx",
    ],
)
def test_odd_mails_are_read_as_well_as_they_can_be(raw: bytes) -> None:
    found = read_mail(raw)
    assert "\x00" not in found.text


@pytest.mark.once
def test_a_mail_that_is_attached_is_not_taken_and_that_is_said() -> None:
    parts = b"--b\n\nSee below\n--b\nContent-Type: message/rfc822\n\nFrom: z@example.com\n\nhidden\n--b--\n"
    found = read_mail(b"From: ann@example.com\nContent-Type: multipart/mixed; boundary=b\n\n" + parts)
    assert (found.text, found.files, found.left_out) == ("See below", (), 1)


@pytest.mark.once
def test_the_reader_that_hangs_is_stopped() -> None:
    with pytest.raises(Unreadable):
        read_mail(b"From: a@b.c\n\nhi", seconds=0.001)


@pytest.mark.once
def test_an_address_opens_only_its_own_ticket_with_its_own_secret() -> None:
    address = ticket_address("s" * 32, 12, DOMAIN)
    assert ticket_of("s" * 32, address, DOMAIN) == 12
    assert ticket_of("t" * 32, address, DOMAIN) is None
    assert len(address.partition("@")[0]) <= 64


def test_without_the_setting_mails_name_no_address(app: Flask, care: Care) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    support.answer_ticket(boss, ticket, body="Hello", key="a")
    message = care.messages(ticket)[-1]
    assert support.reply_address(message, app.extensions["payadmin.settings"]) == ""
