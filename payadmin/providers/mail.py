"""Mail through an SMTP server: one message, one answer, never an exception for what a server or network does."""

import contextlib
import datetime as dt
import ipaddress
import re
import smtplib
import ssl
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from payadmin.kernel.text import one_line

LONGEST_ADDRESS: Final = 254
TIMEOUT_SECONDS: Final = 10.0

_ADDRESS: Final = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+")
_ENCRYPTED_PORT, _LOGIN_PORT, _RELAY_PORT = 465, 587, 25
_PERMANENT: Final = 500


class Delivery(StrEnum):
    """What became of a message."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # asking again would be refused again
    DELAYED = "delayed"  # the server cannot be reached, or said "later"


@dataclass(frozen=True, slots=True)
class Mail:
    """A plain text message. The same `message_id` and `written_at` make a resend recognisable as the same message.

    Attributes:
        reply_to: the address that answers go to, where it is not the sender's.
    """

    sender: str
    recipient: str
    subject: str
    body: str
    message_id: str
    written_at: dt.datetime
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one attempt; the reason is a sentence for staff."""

    delivery: Delivery
    reason: str | None = None


def is_address(text: str) -> bool:
    """Whether mail can be addressed to exactly this: one mailbox, no name, no list, no line breaks."""
    return len(text) <= LONGEST_ADDRESS and bool(_ADDRESS.fullmatch(text))


def domain_of(sender: str) -> str:
    """The domain that message ids of this sender end in."""
    address = parseaddr(sender)[1]
    return address.rpartition("@")[2] if is_address(address) else "payadmin.invalid"


def send_mail(mail: Mail, smtp_url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Receipt:
    """Hand the message to the server named by `smtp_url`.

    `smtps://` is encrypted from the start; `smtp://` as soon as the server offers STARTTLS. Certificates are checked,
    and a password is never sent in the clear to another machine.

    Args:
        timeout_seconds: for each answer of the server.
    """
    try:
        message = _message(mail)
    except (ValueError, MessageError) as error:
        return Receipt(Delivery.REFUSED, f"The message could not be written: {one_line(str(error))}"[:300])
    try:
        _deliver(message, mail, urlsplit(smtp_url), timeout_seconds)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return _answer(error)
    return Receipt(Delivery.ACCEPTED)


def _answer(error: Exception) -> Receipt:
    match error:
        case smtplib.SMTPAuthenticationError():
            # The settings are wrong, not the mail: it goes out once they are right.
            return Receipt(Delivery.DELAYED, _said("The login was refused", error.smtp_code, error.smtp_error))
        case smtplib.SMTPRecipientsRefused():
            [(code, text)] = error.recipients.values()
            return Receipt(_lasting(code), _said("The address was refused", code, text))
        case smtplib.SMTPResponseException():
            return Receipt(
                _lasting(error.smtp_code), _said("The mail server refused", error.smtp_code, error.smtp_error)
            )
        case smtplib.SMTPNotSupportedError():
            return Receipt(Delivery.REFUSED, f"The mail server cannot do this: {one_line(str(error))}"[:300])
        case _:
            return Receipt(Delivery.DELAYED, f"The mail server cannot be reached: {one_line(str(error))}"[:300])


def _message(mail: Mail) -> EmailMessage:
    name, address = parseaddr(mail.sender)
    if not is_address(address):
        msg = "MAIL_FROM is not an address"
        raise ValueError(msg)
    if not is_address(mail.recipient):
        msg = "the recipient is not an address"
        raise ValueError(msg)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(one_line(name), addr_spec=address)
    message["To"] = Address(addr_spec=mail.recipient)
    if mail.reply_to:
        message["Reply-To"] = Address(addr_spec=mail.reply_to)
    message["Subject"] = one_line(mail.subject)
    message["Date"] = format_datetime(mail.written_at)
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"
    # Quoted-printable passes through servers that know only ASCII.
    message.set_content(mail.body, cte="quoted-printable")
    return message


def _deliver(message: EmailMessage, mail: Mail, server: SplitResult, timeout_seconds: float) -> None:
    host, encrypted = server.hostname or "", server.scheme == "smtps"
    context = ssl.create_default_context()
    client: smtplib.SMTP
    if encrypted:
        client = smtplib.SMTP_SSL(host, server.port or _ENCRYPTED_PORT, timeout=timeout_seconds, context=context)
    else:
        port = server.port or (_LOGIN_PORT if server.username else _RELAY_PORT)
        client = smtplib.SMTP(host, port, timeout=timeout_seconds)
    try:
        client.ehlo_or_helo_if_needed()
        if not encrypted and client.has_extn("starttls"):
            client.starttls(context=context)
            client.ehlo()
            encrypted = True
        if server.username:
            if not encrypted and not _is_here(host):
                msg = "it offers no encryption, and the password is not sent in the clear"
                raise smtplib.SMTPNotSupportedError(msg)
            client.login(unquote(server.username), unquote(server.password or ""))
        client.send_message(message, parseaddr(mail.sender)[1], [mail.recipient])
    finally:
        # The server has answered for the message by now; what it says to a goodbye changes nothing.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            client.quit()
        client.close()


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _lasting(code: int) -> Delivery:
    return Delivery.REFUSED if code >= _PERMANENT else Delivery.DELAYED


def _said(what: str, code: int, text: bytes | str) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{what}: {code} {one_line(shown)}"[:300]
