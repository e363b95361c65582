"""Documents: received from staff or by a link, looked at, downloaded, accepted, rejected, erased, destroyed in time."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from payadmin import audit
from payadmin.actions.identification.files import Drawn, Sent, drop, redrawn
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import Text, _
from payadmin.models.identification import (
    DocumentLook,
    DocumentOrigin,
    DocumentStatus,
    IdentityDocument,
)
from payadmin.models.parties import IDENTIFICATION_MACHINE, Customer, IdentificationStatus
from payadmin.permissions import Permission
from payadmin.queries import identification as queries
from payadmin.work import Actor, Work, use_case

MOST_LIVE: Final = 40
AT_ONCE: Final = 100
MOVED_ON: Final = _("Somebody else worked on this customer meanwhile. Look at what changed, then decide again.")
NO_FILE: Final = _("The file of this document was deleted; only its entry is left.")
LOOK_FIRST: Final = _("Open the document before you decide about it.")
TOO_MANY: Final = _("This customer has %(most)s documents already. Reject or erase some first.", most=MOST_LIVE)
A_PERSON: Final = _("Only a person can look at documents.")


def receive(actor: Actor, customer_id: int, sent: Sequence[Sent], settings: Settings) -> int:
    """Take in files that staff have of a customer, all of them or none; how many were new.

    Args:
        sent: the files, each with the field that it came in.
        settings: where files lie, and the keys that seal them.

    Raises:
        Invalid: a file is refused; nothing was kept.
        Conflict: too much at once, or a file is there already as something else.
    """
    with redrawn(sent, settings) as drawn:
        taken = file_documents(actor, customer_id, drawn=drawn)
    drop(settings, {each.file for each in drawn} - taken)
    return len(taken)


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=Customer)
def file_documents(work: Work, customer_id: int, /, *, drawn: Sequence[Drawn]) -> frozenset[str]:
    """Enter redrawn files as documents of a customer; the names of those that were new.

    A file that is there already as the same kind is not entered again, so a repeated post changes nothing.

    Raises:
        Conflict: there are too many, or one of the files is there as another kind.
    """
    customer = work.get(Customer, customer_id, lock=True)
    return add_documents(work, customer, drawn, DocumentOrigin.STAFF, brought_by=work.actor.name)


def add_documents(
    work: Work,
    customer: Customer,
    drawn: Sequence[Drawn],
    origin: DocumentOrigin,
    *,
    brought_by: str,
    link_id: int | None = None,
) -> frozenset[str]:
    """Within the use case of whoever brings them: enter documents, and put the customer into the queue.

    A document takes the place of earlier ones of its kind that nobody has decided about. Those that came together stay
    together, such as the two sides of a card.
    """
    live = queries.live_documents(work.session, customer.id)
    there = {document.sha256: document for document in live}
    new: list[Drawn] = []
    for each in drawn:
        known = there.get(each.sha256)
        if known is not None and known.kind is not each.kind:
            told = _(
                "%(file)s is here already, as: %(kind)s.", file=each.file_name, kind=Text(known.kind.value).lower()
            )
            raise Conflict(told, field=each.field)
        if known is None and each.sha256 not in {one.sha256 for one in new}:
            new.append(each)
    if not new:
        return frozenset()
    if len(live) + len(new) > MOST_LIVE:
        raise Conflict(TOO_MANY, field=new[0].field)
    for document in live:
        if document.status is DocumentStatus.RECEIVED and document.kind in {each.kind for each in new}:
            supersede(work, document)
    for each in new:
        _enter(work, customer, each, origin, brought_by, link_id)
    _into_review(work, customer)
    return frozenset(each.file for each in new)


def _enter(
    work: Work, customer: Customer, each: Drawn, origin: DocumentOrigin, brought_by: str, link_id: int | None
) -> None:
    try:
        document = work.add(
            IdentityDocument(
                customer_id=customer.id,
                kind=each.kind,
                origin=origin,
                brought_by=brought_by,
                upload_link_id=link_id,
                file_name=each.file_name,
                media=each.media,
                size_bytes=each.size,
                pages=each.pages,
                sha256=each.sha256,
                file=each.file,
            )
        )
    except IntegrityError:
        raise Conflict(MOVED_ON) from None
    after: dict[str, object] = {"kind": each.kind, "origin": origin, "media": each.media, "pages": each.pages}
    after |= {"size_bytes": each.size, "sha256": each.sha256}
    work.record(Event.IDENTIFICATION_DOCUMENT_RECEIVED, document, after=after, **keys_of(customer))


def _into_review(work: Work, customer: Customer) -> None:
    """Put the customer into the queue; who is identified stays so, and has something new to be looked at."""
    before, review = customer.identification, IdentificationStatus.IN_REVIEW
    if not IDENTIFICATION_MACHINE.allows(before, review):
        touch(work, customer)
        return
    won = work.change(
        Customer,
        customer.id,
        when=[Customer.identification == before],
        identification=review,
        identification_since=work.now,
    )
    if not won:
        raise Conflict(MOVED_ON)
    told: dict[str, object] = {"identification": review}
    was: dict[str, object] = {"identification": before}
    work.record(Event.IDENTIFICATION_IN_REVIEW, customer, before=was, after=told, **keys_of(customer))


# ---- looking -------------------------------------------------------------------------------------------------------


@use_case(Permission.COMPLIANCE_DOCUMENT_READ, about=IdentityDocument)
def look_at_document(work: Work, document_id: int, /, *, customer_id: int, page: int) -> str:
    """Let the actor see one page, and write it down: each look is an entry of its own; the name of the file.

    Raises:
        NotFound: this customer has no such document, or it has no such page.
        Conflict: its file was deleted.
    """
    document = _shown(work, document_id, customer_id)
    if not 1 <= page <= document.pages:
        raise NotFound("There is no such page.")
    _note_look(work, document)
    work.record(Event.IDENTIFICATION_DOCUMENT_LOOKED_AT, document, page=page, customer_id=customer_id)
    assert document.file is not None
    return document.file


@use_case(Permission.COMPLIANCE_DOCUMENT_READ, about=IdentityDocument)
def download_document(work: Work, document_id: int, /, *, customer_id: int) -> tuple[str, int]:
    """Let the actor have a copy, and write it down; the name of the file, and how many pages it has.

    Raises:
        NotFound: this customer has no such document.
        Conflict: its file was deleted.
    """
    document = _shown(work, document_id, customer_id)
    _note_look(work, document)
    work.record(Event.IDENTIFICATION_DOCUMENT_DOWNLOADED, document, sha256=document.sha256, customer_id=customer_id)
    assert document.file is not None
    return document.file, document.pages


def _shown(work: Work, document_id: int, customer_id: int) -> IdentityDocument:
    if work.actor.staff_id is None:
        raise Forbidden(A_PERSON)
    document = document_of(work, document_id, customer_id)
    if document.file is None:
        raise Conflict(NO_FILE)
    return document


def _note_look(work: Work, document: IdentityDocument) -> None:
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    look = make(DocumentLook).values(document_id=document.id, staff_id=work.actor.staff_id, at=work.now)
    again = look.on_conflict_do_update(index_elements=["document_id", "staff_id"], set_={"at": work.now})
    work.session.execute(again)


# ---- deciding about one --------------------------------------------------------------------------------------------


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=IdentityDocument)
def accept_document(work: Work, document_id: int, /, *, customer_id: int, version: int) -> None:
    """Accept a document that came after somebody was identified, such as a new passport; it replaces the older one.

    Args:
        version: the customer's version that the form showed.

    Raises:
        Conflict: it was decided about already, its file is gone, the actor has not opened it (KY2), or the customer's
            case has moved on; nothing has changed.
    """
    customer = locked(work, customer_id, version)
    document = document_of(work, document_id, customer_id)
    if document.file is None:
        raise Conflict(NO_FILE)
    if document.id not in queries.opened_by(work.session, work.actor.staff_id, [document.id], document.created_at):
        raise Conflict(LOOK_FIRST)
    accept(work, document)
    for older in queries.live_documents(work.session, customer_id):
        if older.status is DocumentStatus.ACCEPTED and older.kind is document.kind and older.id < document.id:
            supersede(work, older)
    touch(work, customer)


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=IdentityDocument)
def reject_document(work: Work, document_id: int, /, *, customer_id: int, version: int, reason: str) -> None:
    """Reject one document, such as an unreadable one; the customer stays where they are.

    Args:
        version: the customer's version that the form showed.
        reason: why, in the actor's words.

    Raises:
        Invalid: no reason.
        Conflict: it was rejected or replaced already, or the customer's case has moved on.
    """
    customer = locked(work, customer_id, version)
    reject(work, document_of(work, document_id, customer_id), given(reason))
    touch(work, customer)


@use_case(Permission.COMPLIANCE_DOCUMENT_ERASE, about=IdentityDocument)
def erase_document(work: Work, document_id: int, /, *, customer_id: int, reason: str) -> str:
    """End a document's file now and for good, as its owner may ask; its entry and the fingerprint stay.

    Returns:
        The name of the file, to be deleted.

    Raises:
        Invalid: no reason.
        Conflict: it is gone already.
    """
    customer = work.get(Customer, customer_id, lock=True)
    document = document_of(work, document_id, customer_id)
    file = document.file
    if file is None or not _end_file(work, document, Event.IDENTIFICATION_DOCUMENT_ERASED, given(reason)):
        raise Conflict(NO_FILE)
    touch(work, customer)
    return file


def accept(work: Work, document: IdentityDocument) -> None:
    """Within a decision: the document is what it says."""
    _move(work, document, DocumentStatus.ACCEPTED, Event.IDENTIFICATION_DOCUMENT_ACCEPTED)


def reject(work: Work, document: IdentityDocument, reason: str) -> None:
    """Within a decision: the document is not taken, and its file goes when its time is over."""
    _move(
        work, document, DocumentStatus.REJECTED, Event.IDENTIFICATION_DOCUMENT_REJECTED, reason=reason, ended=work.now
    )


def supersede(work: Work, document: IdentityDocument) -> None:
    """Another document took the place of this one; its file goes when its time is over."""
    _move(work, document, DocumentStatus.REPLACED, Event.IDENTIFICATION_DOCUMENT_REPLACED, ended=work.now)


def _move(
    work: Work,
    document: IdentityDocument,
    status: DocumentStatus,
    event: Event,
    *,
    reason: str | None = None,
    ended: dt.datetime | None = None,
) -> None:
    before = document.status
    values: dict[str, Any] = {"status": status, "reason": reason or document.reason, "ended_at": ended}
    values |= {"decided_at": work.now, "decided_by": work.actor.name}
    if not work.change(IdentityDocument, document.id, when=[IdentityDocument.status == before], **values):
        was = Text(work.get(IdentityDocument, document.id).status.value).lower()
        raise Conflict(_("This document is %(status)s already.", status=was))
    work.record(
        event,
        document,
        before={"status": before},
        after={"status": status},
        reason=reason,
        customer_id=document.customer_id,
    )


# ---- the end of files ----------------------------------------------------------------------------------------------


@use_case(Permission.SYSTEM_JOB_RUN)
def destroy_old_documents(work: Work, *, days: int) -> Collection[str]:
    """End the files of documents that were rejected or replaced long enough ago; the names of the files to delete.

    Args:
        days: how long they are kept (`DOCUMENT_DAYS`).
    """
    files = set()
    for document_id in queries.overdue(work.session, work.now - dt.timedelta(days=days), AT_ONCE):
        document = work.get(IdentityDocument, document_id)
        file = document.file
        reason = str(_("Kept for %(days)s days, as DOCUMENT_DAYS says.", days=days))
        if file and _end_file(work, document, Event.IDENTIFICATION_DOCUMENT_DESTROYED, reason):
            files.add(file)
    return files


@use_case(Permission.SYSTEM_JOB_RUN)
def documents_in_use(work: Work, files: Sequence[str], /) -> Collection[str]:
    """Which of these files a row names."""
    return queries.files_named(work.session, files)


def _end_file(work: Work, document: IdentityDocument, event: Event, reason: str) -> bool:
    gone = work.change(
        IdentityDocument,
        document.id,
        when=[IdentityDocument.erased_at.is_(None)],
        file=None,
        erased_at=work.now,
        erased_reason=reason,
    )
    if gone:
        work.record(event, document, reason=reason, sha256=document.sha256, customer_id=document.customer_id)
    return gone


# ---- parts ---------------------------------------------------------------------------------------------------------


def document_of(work: Work, document_id: int, customer_id: int) -> IdentityDocument:
    """The document, which must be this customer's: a number of somebody else's is no number."""
    document = work.get(IdentityDocument, document_id)
    if document.customer_id != customer_id:
        raise NotFound("There is no such record.")
    return document


def locked(work: Work, customer_id: int, version: int) -> Customer:
    """The customer, held until the end, as the form showed them.

    Raises:
        Conflict: somebody else decided, or a document came, meanwhile.
    """
    customer = work.get(Customer, customer_id, lock=True)
    if customer.version != version:
        raise Conflict(MOVED_ON)
    return customer


def touch(work: Work, customer: Customer) -> None:
    """Let forms that were open before know that the customer's case has moved on."""
    work.change(Customer, customer.id)
    audit.note_explained(work.session, audit.row_key(customer))


def given(reason: str | None) -> str:
    """A reason that says something.

    Raises:
        Invalid: it is empty.
    """
    told = " ".join((reason or "").split())
    if not told:
        raise Invalid("Say why.", field="reason")
    return told[:500]


def keys_of(customer: Customer) -> dict[str, Any]:
    """By what staff will look for an act about a customer."""
    return {"customer_id": customer.id, "external_id": customer.external_id}
