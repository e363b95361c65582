"""`payadmin mailin`: takes what customers answer by mail, from the mail server in front of it, by SMTP.

It believes only addresses that payadmin signed itself; everything else is refused while the sender still listens. It
never writes a mail. Whether the sender is who they say (SPF, DKIM, DMARC) is checked by the mail server in front.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask

from payadmin.actions.support import take_mail
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Refusal
from payadmin.kernel.ticket_addresses import ticket_of
from payadmin.models.support import TicketStatus
from payadmin.providers.incoming import MOST_BYTES, Slow, Unreadable, read_mail
from payadmin.queries.support import living
from payadmin.work import SYSTEM

log = logging.getLogger("payadmin.mailin")

READERS: Final = 4
SILENCE_SECONDS: Final = 60
UNKNOWN: Final = "550 5.1.1 There is no such address"
CLOSED: Final = "550 5.7.1 This request is closed; please write to us anew"
ONE_EACH: Final = "452 4.5.3 One address at a time"
NOT_OURS: Final = "550 5.7.1 This mail does not come from the customer of this request"
SAYS_NOTHING: Final = "550 5.6.0 This mail cannot be read"
LATER: Final = "451 4.3.0 Not now; please try again"
TAKEN: Final = "250 2.0.0 Taken"
NO_SENDERS: Final = (None, "", "<>")  # the last is how aiosmtpd says it


class Door:
    """What the SMTP server asks before it takes a mail, and hands it to."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="mailin")

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Believe an address that names a ticket and carries our signature; a forged one reaches no database."""
        if envelope.rcpt_tos:
            return ONE_EACH
        ticket_id = self._ticket_of(address)
        if ticket_id is None:
            return UNKNOWN
        answer = await self._aside(lambda: self._why_not(ticket_id))
        if answer is None:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take the mail into its ticket, once."""
        content = envelope.content
        ticket_id = self._ticket_of(envelope.rcpt_tos[0])
        if ticket_id is None or not isinstance(content, bytes):
            return UNKNOWN
        return await self._aside(lambda: self._take(ticket_id, content, envelope.mail_from)) or TAKEN

    async def handle_exception(self, error: Exception) -> str:
        """Whatever goes wrong here, the mail stays where it is and comes again."""
        log.error("a mail could not be taken: %s", type(error).__name__, exc_info=error)
        return LATER

    def close(self) -> None:
        """Finish what was begun."""
        self._readers.shutdown()

    def _ticket_of(self, address: str) -> int | None:
        return ticket_of(self._settings.secret_key, address, self._settings.support_domain)

    async def _aside(self, work: Callable[[], str | None]) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._inside, work)

    def _inside(self, work: Callable[[], str | None]) -> str | None:
        with self._app.app_context():
            try:
                return work()
            finally:
                db.session.remove()

    def _why_not(self, ticket_id: int) -> str | None:
        ticket = living(db.session(), ticket_id)
        if ticket is None:
            return UNKNOWN
        return CLOSED if ticket.status is TicketStatus.CLOSED else None

    def _take(self, ticket_id: int, content: bytes, sender: str | None) -> str:
        try:
            mail = read_mail(content)
        except Slow:
            log.warning("a mail about ticket %s could not be read in time", ticket_id)
            return LATER
        except Unreadable as error:
            log.warning("a mail about ticket %s cannot be read: %s", ticket_id, error)
            return SAYS_NOTHING
        if sender in NO_SENDERS:  # nobody is to be answered: a bounce or an absence notice (RFC 3834)
            mail = replace(mail, is_automatic=True)
        try:
            is_new = take_mail(SYSTEM, ticket_id, mail)
        except Conflict as conflict:
            return CLOSED if conflict.data.get("is_closed") else LATER
        except Refusal as refusal:
            log.info("a mail about ticket %s was refused: %s", ticket_id, refusal.code)
            return NOT_OURS if refusal.code == "forbidden" else SAYS_NOTHING
        log.info("a mail about ticket %s was %s", ticket_id, "taken" if is_new else "left out or known already")
        return TAKEN


def protocol(door: Door) -> SMTP:
    """One connection: no larger mail than can be read, plain addresses only, nobody who says nothing for long."""
    return SMTP(
        door, data_size_limit=MOST_BYTES, enable_SMTPUTF8=False, ident="payadmin", timeout=SILENCE_SECONDS,
        command_call_limit={"*": 50},
    )  # fmt: skip


async def serve(
    app: Flask, settings: Settings, *, host: str, port: int, stop: asyncio.Event, ready: Callable[[int], None]
) -> None:
    """Listen until `stop`; `ready` is told the port."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # it would write down every address
    door = Door(app, settings)
    server = await asyncio.get_running_loop().create_server(lambda: protocol(door), host, port)
    try:
        ready(int(server.sockets[0].getsockname()[1]))
        await stop.wait()
    finally:
        server.close()
        await server.wait_closed()
        door.close()
