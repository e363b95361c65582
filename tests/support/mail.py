"""A real SMTP server on loopback, and what it took."""

import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session


class Inbox:
    """What the server took, and what it answers instead when told to."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answer_data = "250 OK"
        self.answer_rcpt = "250 OK"
        self.encrypted: list[bool] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: object, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.answer_rcpt.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.answer_rcpt

    async def handle_DATA(self, _server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer_data.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
            self.recipients.append(envelope.rcpt_tos)
            self.encrypted.append(session.ssl is not None)
        return self.answer_data


class MailServer(Controller):
    """aiosmtpd on loopback that leaves no half-open connection behind when it stops."""

    protocols: list[Any]

    def factory(self) -> Any:
        protocol = super().factory()
        self.protocols = [*getattr(self, "protocols", ()), protocol]
        return protocol

    def stop(self, *, no_assert: bool = False) -> None:
        for protocol in self.protocols:
            for transport in (protocol.transport, protocol._original_transport):
                if transport is not None:
                    self.loop.call_soon_threadsafe(transport.abort)
        super().stop(no_assert=no_assert)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
