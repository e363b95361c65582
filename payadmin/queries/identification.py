"""Questions about identification: what a customer has shown, what is missing, who has looked, what waits."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from payadmin.audit import Event
from payadmin.models.audit import AuditEvent
from payadmin.models.identification import (
    LIVE,
    DocumentLook,
    DocumentStatus,
    IdentityDocument,
    Need,
    UploadLink,
    UploadLinkStatus,
    needs_of,
)
from payadmin.models.parties import CustomerKind

MOST_SHOWN = 100
MOST_LINKS = 20
MOST_LOOKS = 10


@dataclass(frozen=True)
class Line:
    """One line of a checklist: what is needed, and the documents that are there for it."""

    need: Need
    documents: Sequence[IdentityDocument]

    @property
    def is_met(self) -> bool:
        """Whether anything is there for it."""
        return bool(self.documents)


def documents_of(session: Session, customer_id: int) -> list[IdentityDocument]:
    """A customer's documents, the newest first."""
    found = select(IdentityDocument).where(IdentityDocument.customer_id == customer_id)
    return list(session.scalars(found.order_by(IdentityDocument.id.desc()).limit(MOST_SHOWN)))


def live_documents(session: Session, customer_id: int) -> list[IdentityDocument]:
    """Those that count: received or accepted, with their files."""
    found = select(IdentityDocument).where(
        IdentityDocument.customer_id == customer_id,
        IdentityDocument.status.in_(LIVE),
        IdentityDocument.erased_at.is_(None),
    )
    return list(session.scalars(found.order_by(IdentityDocument.id)))


def checklist(kind: CustomerKind, documents: Iterable[IdentityDocument]) -> list[Line]:
    """What a kind of customers needs, with what is there for it."""
    live = [document for document in documents if document.is_live]
    return [Line(need, [each for each in live if each.kind in need.kinds]) for need in needs_of(kind)]


def opened_by(session: Session, staff_id: int | None, document_ids: Collection[int], since: dt.datetime) -> set[int]:
    """Which of the documents this member of staff has opened since a moment (KY2)."""
    looked = select(DocumentLook.document_id).where(
        DocumentLook.staff_id == staff_id, DocumentLook.document_id.in_(document_ids), DocumentLook.at >= since
    )
    return set(session.scalars(looked))


def links_of(session: Session, customer_id: int) -> list[UploadLink]:
    """The requests for documents of a customer, the newest first."""
    found = select(UploadLink).where(UploadLink.customer_id == customer_id)
    return list(session.scalars(found.order_by(UploadLink.id.desc()).limit(MOST_LINKS)))


def open_link(session: Session, customer_id: int) -> UploadLink | None:
    """The request that is open, expired or not."""
    found = select(UploadLink).where(UploadLink.customer_id == customer_id, UploadLink.status == UploadLinkStatus.OPEN)
    return session.scalars(found.execution_options(populate_existing=True)).one_or_none()


def count_to_review(session: Session, customer_ids: Collection[int]) -> dict[int, int]:
    """How many documents of each customer nobody has decided about: one question for a whole page of them."""
    waiting = select(IdentityDocument.customer_id, func.count()).where(
        IdentityDocument.customer_id.in_(customer_ids),
        IdentityDocument.status == DocumentStatus.RECEIVED,
        IdentityDocument.erased_at.is_(None),
    )
    return {row[0]: row[1] for row in session.execute(waiting.group_by(IdentityDocument.customer_id))}


def overdue(session: Session, before: dt.datetime, most: int) -> list[int]:
    """Documents whose files were kept long enough after they were rejected or replaced."""
    old = select(IdentityDocument.id).where(IdentityDocument.erased_at.is_(None), IdentityDocument.ended_at <= before)
    return list(session.scalars(old.order_by(IdentityDocument.ended_at).limit(most)))


def files_named(session: Session, files: Collection[str]) -> set[str]:
    """Which of these files a row names."""
    return set(session.scalars(select(IdentityDocument.file).where(IdentityDocument.file.in_(files)))) - {None}  # type: ignore[return-value]


def story_of(
    session: Session, customer_id: int, documents: Iterable[int], links: Iterable[int], most: int
) -> list[AuditEvent]:
    """What the trail says about a customer, their documents and the requests for them, newest first.

    Of looks only the newest few: there is one for every page that anybody sees.
    """
    look = str(Event.IDENTIFICATION_DOCUMENT_LOOKED_AT)
    document_ids = list(documents)
    parts = (
        ("customer", [customer_id], AuditEvent.event != look, most),
        ("identity_document", document_ids, AuditEvent.event != look, most),
        ("identity_document", document_ids, AuditEvent.event == look, MOST_LOOKS),
        ("upload_link", list(links), AuditEvent.event != look, most),
    )
    found: list[AuditEvent] = []
    for table, ids, condition, limit in parts:
        if ids:
            about = AuditEvent.entity_id.in_([str(row_id) for row_id in ids])
            newest = select(AuditEvent).where(AuditEvent.entity == table, about, condition)
            found += session.scalars(newest.order_by(AuditEvent.id.desc()).limit(limit))
    return sorted(found, key=lambda entry: entry.id, reverse=True)[: most + MOST_LOOKS]
