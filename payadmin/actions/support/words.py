"""What is written in a ticket: plain text of a sensible length, card numbers masked, files looked into."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from payadmin.actions.support import store
from payadmin.config import current_settings
from payadmin.kernel.attachments import Attachment, check_attachment
from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import NumberText, _, one_line
from payadmin.models.payments import Notification
from payadmin.models.support import (
    BODY_LENGTH,
    SUBJECT_LENGTH,
    MessageKind,
    Ticket,
    TicketChannel,
    TicketFile,
    TicketMessage,
)
from payadmin.work import Work

MOST_FILES: Final = 5
_UNWANTED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def plain_subject(subject: str) -> str:
    """One line.

    Raises:
        Invalid: empty or too long; `field` is "subject".
    """
    said = mask_pan_in_text(one_line(subject))
    if not said:
        raise Invalid("Say in a few words what it is about.", field="subject")
    if len(said) > SUBJECT_LENGTH:
        raise Invalid(_("At most %(most)s characters.", most=NumberText(SUBJECT_LENGTH)), field="subject")
    return said


def plain_body(body: str, *, most: int = BODY_LENGTH) -> str:
    """Lines of text.

    Raises:
        Invalid: empty or too long; `field` is "body".
    """
    lines = body.replace("\r\n", "\n").replace("\r", "\n")
    said = mask_pan_in_text(_UNWANTED.sub("", lines).strip())
    if not said:
        raise Invalid("Write something.", field="body")
    if len(said) > most:
        raise Invalid(_("At most %(most)s characters.", most=NumberText(most)), field="body")
    return said


def add_message(
    work: Work,
    ticket: Ticket,
    kind: MessageKind,
    body: str,
    *,
    author: str | None = None,
    came_by: TicketChannel | None = None,
    mail_key: str | None = None,
    key: str | None = None,
    notification: Notification | None = None,
) -> TicketMessage:
    """Add a message in this transaction; the caller records it."""
    return work.add(
        TicketMessage(
            ticket_id=ticket.id,
            kind=kind,
            author=(author or work.actor.name)[:100],
            author_id=work.actor.staff_id,
            body=body,
            came_by=came_by,
            mail_key=mail_key,
            key=key,
            notification_id=notification.id if notification else None,
            created_at=work.now,
        )
    )


def looked_into(files: Sequence[tuple[str, bytes]]) -> list[tuple[Attachment, bytes]]:
    """The files of one message, each looked into.

    Raises:
        Invalid: too many, or one that is not taken; `field` is "files".
    """
    if len(files) > MOST_FILES:
        raise Invalid(_("At most %(most)s files with one message.", most=MOST_FILES), field="files")
    return [(check_attachment(name, content), content) for name, content in files]


@contextmanager
def stored_files(files: Sequence[tuple[Attachment, bytes]]) -> Iterator[list[tuple[Attachment, bytes, str]]]:
    """The files on disk, before the act that names them; an act that is refused leaves none behind.

    They are written before the transaction begins, because nobody should wait for a disk while rows are held. After any
    other failure they stay for the sweep: a commit whose answer was lost has named them.
    """
    told, stored = current_settings(), list[tuple[Attachment, bytes, str]]()
    try:
        for attachment, content in files:
            stored.append((attachment, content, store.put_away(told, content)))
        yield stored
    except Refusal:
        for _attachment, _content, name in stored:
            store.drop(told, name)
        raise


def add_files(work: Work, message: TicketMessage, files: Sequence[tuple[Attachment, bytes, str]]) -> list[TicketFile]:
    """Name kept files in this transaction; the caller records them."""
    return [
        work.add(
            TicketFile(
                ticket_id=message.ticket_id,
                message_id=message.id,
                name=attachment.name,
                media_type=attachment.media_type,
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                stored=name,
                created_at=work.now,
            )
        )
        for attachment, content, name in files
    ]
