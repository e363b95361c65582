"""What is said about a ticket: answers that are mailed to the customer, notes among staff, and mails that come in."""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Final

from sqlalchemy import func, select

from payadmin.actions.support import letters, store
from payadmin.actions.support.scope import MOVED_ON, ticket_for
from payadmin.actions.support.tickets import WRITE, advance, keys
from payadmin.actions.support.words import MOST_FILES, add_files, add_message, looked_into, plain_body, stored_files
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.attachments import Attachment, check_attachment
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import _
from payadmin.models.parties import Customer, folded
from payadmin.models.support import (
    ACTIVE,
    KEPT_LENGTH,
    MessageKind,
    Ticket,
    TicketChannel,
    TicketFile,
    TicketMessage,
    TicketStatus,
)
from payadmin.permissions import Permission
from payadmin.providers.incoming import Incoming
from payadmin.queries.support import family_of
from payadmin.work import Actor, Work, use_case

S = TicketStatus
# Where an answer may leave a ticket: being worked on, waiting for what the customer says to it, or done with.
AFTERWARDS: Final = (S.IN_PROGRESS, S.WAITING_CUSTOMER, S.RESOLVED)
FROM_CUSTOMER: Final = "Customer"
# Of one ticket: more is no conversation. Whoever sends more is told to try again later, and nothing is lost.
MOST_MAILS: Final = 50
MAILS_WITHIN: Final = dt.timedelta(days=1)

Kept = Sequence[tuple[Attachment, bytes, str]]


# ---- staff ---------------------------------------------------------------------------------------------------------


def answer_ticket(
    actor: Actor,
    ticket_id: int,
    *,
    body: str,
    key: str,
    files: Sequence[tuple[str, bytes]] = (),
    then: TicketStatus = S.WAITING_CUSTOMER,
) -> int:
    """Answer the customer; the message's id. The same `key` answers once.

    A customer whom mail reaches gets it by mail; for others it is what was said on the phone or in the chat.

    Args:
        body: plain text, at most 20,000 characters; card numbers in it are masked.
        files: kept with the answer and read by staff; names and contents. They are not mailed.
        then: where it leaves the ticket: one of `AFTERWARDS`.

    Raises:
        NotFound: no such ticket for the actor.
        Invalid: a value makes no sense, at its field.
        Conflict: the ticket is resolved or closed.
    """
    return _say(actor, _answer, ticket_id, files, body=body, key=key, then=then)


def note_ticket(actor: Actor, ticket_id: int, *, body: str, key: str, files: Sequence[tuple[str, bytes]] = ()) -> int:
    """Write a note that only staff read; the message's id. The same `key` writes once; the ticket stays where it is.

    Raises:
        NotFound: no such ticket for the actor.
        Invalid: a value makes no sense, at its field.
    """
    return _say(actor, _note, ticket_id, files, body=body, key=key)


def _say(
    actor: Actor,
    act: Callable[..., tuple[int, bool]],
    ticket_id: int,
    files: Sequence[tuple[str, bytes]],
    **values: object,
) -> int:
    with stored_files(looked_into(files)) as stored:
        message_id, is_new = act(actor, ticket_id, files=stored, **values)
    if not is_new:
        for _attachment, _content, name in stored:
            store.drop(current_settings(), name)
    return message_id


@use_case(WRITE, about=Ticket)
def _answer(work: Work, ticket_id: int, *, body: str, key: str, files: Kept, then: TicketStatus) -> tuple[int, bool]:
    if then not in AFTERWARDS:
        raise Invalid("Choose where the answer leaves the ticket.", field="then")
    ticket = ticket_for(work, ticket_id)
    hashed = _hashed(ticket, key)
    if (already := _said(work, hashed)) is not None:
        return already, False
    if ticket.status not in (*ACTIVE, S.WAITING_CUSTOMER):
        raise Conflict("This ticket is resolved or closed. Reopen it before you answer.")
    said = plain_body(body)
    customer, before = work.get(Customer, ticket.customer_id), ticket.status
    mail = letters.promise_mail(work, ticket, customer, current_settings())
    message = add_message(work, ticket, MessageKind.ANSWER, said, key=hashed, notification=mail)
    added = add_files(work, message, files)
    if ticket.status in (S.OPEN, S.REOPENED):
        advance(work, ticket, S.IN_PROGRESS)
    if ticket.status is not then:
        advance(work, ticket, then)
    if ticket.first_answered_at is None and not work.change(
        Ticket, ticket_id, when=(Ticket.first_answered_at.is_(None),), first_answered_at=work.now
    ):
        raise Conflict(MOVED_ON)
    ticket = work.get(Ticket, ticket_id)
    work.record(
        Event.SUPPORT_TICKET_ANSWERED,
        ticket,
        before={"status": before},
        after={"status": ticket.status, "mailed": mail is not None, **_named(added)},
        also=(message, *added, *([mail] if mail else [])),
        **keys(ticket),
    )
    return message.id, True


@use_case(WRITE, about=Ticket)
def _note(work: Work, ticket_id: int, *, body: str, key: str, files: Kept) -> tuple[int, bool]:
    ticket = ticket_for(work, ticket_id)
    hashed = _hashed(ticket, key)
    if (already := _said(work, hashed)) is not None:
        return already, False
    message = add_message(work, ticket, MessageKind.NOTE, plain_body(body), key=hashed)
    added = add_files(work, message, files)
    work.record(Event.SUPPORT_TICKET_NOTED, ticket, after=_named(added) or None, also=(message, *added), **keys(ticket))
    return message.id, True


@use_case(WRITE, about=Ticket)
def fetch_file(work: Work, ticket_id: int, *, file_id: int) -> tuple[str, str, str]:
    """Say which file somebody fetches, in the trail too: its name, its kind, and what it is kept under.

    Raises:
        NotFound: no such ticket for the actor, or no such file of it or of one that was merged into it.
    """
    ticket = ticket_for(work, ticket_id)
    known = 0 < file_id < 2**63
    file = work.session.get(TicketFile, file_id) if known else None
    if file is None or file.ticket_id not in family_of(work.session, ticket.id):
        raise NotFound("There is no such file.")
    after: dict[str, object] = {"file": file.name, "sha256": file.sha256}
    work.record(Event.SUPPORT_FILE_FETCHED, ticket, after=after, **keys(ticket))
    return file.name, file.media_type, file.stored


@use_case(Permission.SYSTEM_JOB_RUN)
def files_in_use(work: Work, stored: Sequence[str], /) -> Collection[str]:
    """Which of these kept files a row names."""
    return set(work.session.scalars(select(TicketFile.stored).where(TicketFile.stored.in_(stored))))


# ---- customers -----------------------------------------------------------------------------------------------------


def take_mail(actor: Actor, ticket_id: int, mail: Incoming) -> bool:
    """Add a mail that a customer sent to the address of a ticket; whether it was new. The same Message-ID adds it once.

    A mail of the customer brings a resolved ticket back and ends the waiting. What a program wrote changes nothing and
    is not kept: answering it, or reopening for it, would go on for ever. Nothing is ever mailed back from here.

    Args:
        ticket_id: the ticket that the signed address names.

    Raises:
        NotFound: no such ticket.
        Forbidden: the mail does not come from the ticket's customer alone.
        Conflict: the ticket is closed (`data["is_closed"]`), or somebody else changed it meanwhile or it had too many
            mails within a day: try again.
        Invalid: the mail says nothing.
    """
    good: list[tuple[Attachment, bytes]] = []
    refused = mail.left_out
    for name, content in mail.files:
        try:
            looked = check_attachment(name, content)
        except Invalid:
            refused += 1
        else:
            good.append((looked, content))
    refused += max(0, len(good) - MOST_FILES)
    good = good[:MOST_FILES] if not mail.is_automatic else []
    with stored_files(good) as stored:
        is_new = _take(actor, ticket_id, mail=mail, files=stored, refused=refused)
    if not is_new:
        for _attachment, _content, name in stored:
            store.drop(current_settings(), name)
    return is_new


@use_case(Permission.SYSTEM_JOB_RUN, about=Ticket)
def _take(work: Work, ticket_id: int, *, mail: Incoming, files: Kept, refused: int) -> bool:
    ticket = _living(work, ticket_id)
    customer = work.get(Customer, ticket.customer_id)
    if len(mail.senders) != 1 or folded(mail.senders[0]) != folded(customer.email):
        raise Forbidden("The mail does not come from the customer of this ticket.")
    mail_key = hashlib.sha256((mail.message_id or f"{mail.senders[0]}\n{mail.text}").encode()).hexdigest()
    family = family_of(work.session, ticket.id)
    if work.exists(TicketMessage.ticket_id.in_(family), TicketMessage.mail_key == mail_key):
        return False
    if mail.is_automatic:
        work.record(Event.SUPPORT_MAIL_LEFT_OUT, ticket, reason=_("A program wrote it."), **keys(ticket))
        return False
    if ticket.status is S.CLOSED:
        raise Conflict("This ticket is closed.", is_closed=True)
    _refuse_flood(work, ticket)
    notes = [mail.text] if mail.text.strip() else []
    if mail.is_cut:
        notes.append("[…]")
    if refused:
        notes.append(_("[%(number)s attached files were not taken]", number=refused))
    if not notes and not files:
        raise Invalid("The mail says nothing.")
    body = plain_body("\n\n".join(notes) or "–", most=KEPT_LENGTH)
    before = ticket.status
    message = add_message(
        work,
        ticket,
        MessageKind.CUSTOMER,
        body,
        author=FROM_CUSTOMER,
        came_by=TicketChannel.EMAIL,
        mail_key=mail_key,
    )
    added = add_files(work, message, files)
    if before is S.RESOLVED:
        advance(work, ticket, S.REOPENED)
    elif before is S.WAITING_CUSTOMER:
        advance(work, ticket, S.IN_PROGRESS)
    ticket = work.get(Ticket, ticket.id)
    work.record(
        Event.SUPPORT_MAIL_TAKEN,
        ticket,
        before={"status": before},
        after={"status": ticket.status, **_named(added)},
        also=(message, *added),
        **keys(ticket),
    )
    return True


def _refuse_flood(work: Work, ticket: Ticket) -> None:
    lately = (TicketMessage.mail_key.is_not(None), TicketMessage.created_at > work.now - MAILS_WITHIN)
    many = select(func.count()).where(TicketMessage.ticket_id == ticket.id, *lately)
    if (work.session.scalar(many) or 0) >= MOST_MAILS:
        raise Conflict(MOVED_ON)  # only the mail server in front reads it


def _living(work: Work, ticket_id: int) -> Ticket:
    """The ticket that an address names, or the one that goes on in its place, held until the end of the transaction."""
    # Only its number is read before it is held: a row that was loaded must not have moved on when it is.
    into: int | None = work.session.scalar(select(Ticket.merged_into_id).where(Ticket.id == ticket_id))
    ticket = work.get(Ticket, into or ticket_id, lock=True)
    # Merged between the two looks: what it was merged into is never merged without taking it along.
    return ticket if ticket.merged_into_id is None else work.get(Ticket, ticket.merged_into_id, lock=True)


def _named(files: Sequence[TicketFile]) -> dict[str, object]:
    return {"files": [file.name for file in files]} if files else {}


def _hashed(ticket: Ticket, key: str) -> str:
    return hashlib.sha256(f"{ticket.id}:{key}".encode()).hexdigest()


def _said(work: Work, hashed: str) -> int | None:
    """The message that this very form has added before."""
    found: int | None = work.one(select(TicketMessage.id).where(TicketMessage.key == hashed))
    return found
