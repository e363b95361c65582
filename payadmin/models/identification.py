"""Identification: documents of customers, who looked at them, links by which they are sent (S3:126-138)."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from payadmin.db import Base, BigId, Json, UtcDateTime, enum_column
from payadmin.kernel.errors import Conflict
from payadmin.kernel.papers import PaperType
from payadmin.kernel.states import Machine
from payadmin.kernel.text import Text as Words
from payadmin.kernel.text import _
from payadmin.models.base import Audited, Row
from payadmin.models.parties import Customer, CustomerKind


class DocumentKind(StrEnum):
    """What a document is."""

    IDENTITY_CARD = "Identity card"
    PASSPORT = "Passport"
    DRIVING_LICENCE = "Driving licence"
    PROOF_OF_ADDRESS = "Proof of address"
    REGISTRATION_EXTRACT = "Registration extract"
    OWNERS_DECLARATION = "Declaration of owners"
    OTHER = "Other document"


K = DocumentKind


@dataclass(frozen=True)
class Need:
    """One line of the checklist: any one of its kinds will do."""

    key: str
    label: str
    kinds: tuple[DocumentKind, ...]
    hint: str


_PERSON: Final = (K.IDENTITY_CARD, K.PASSPORT, K.DRIVING_LICENCE)

# What has to be there before somebody is identified.
NEEDS: Final[dict[CustomerKind, tuple[Need, ...]]] = {
    CustomerKind.INDIVIDUAL: (
        Need("identity", "Proof of identity", _PERSON, _("Valid, with the photo. Both sides of a card.")),
        Need(
            "address", "Proof of address", (K.PROOF_OF_ADDRESS,), _("A bill or a bank statement, at most 3 months old.")
        ),
    ),
    CustomerKind.MERCHANT: (
        Need(
            "extract", "Registration extract", (K.REGISTRATION_EXTRACT,), _("From the register, at most 3 months old.")
        ),
        Need("owners", "Declaration of owners", (K.OWNERS_DECLARATION,), _("Everybody with 25% or more, signed.")),
        Need("identity", "Identity of the representative", _PERSON, _("Valid, with the photo. Both sides of a card.")),
    ),
}
# What can be asked for besides.
OTHER_NEED: Final = Need("other", "Other document", (K.OTHER,), _("As described in the message."))


def needs_of(kind: CustomerKind) -> tuple[Need, ...]:
    """The checklist of a kind of customers."""
    return NEEDS[kind]


class DocumentStatus(StrEnum):
    """Where a document stands; whether its file is still there is another question (`erased_at`)."""

    RECEIVED = "To review"
    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    REPLACED = "Replaced"


D = DocumentStatus
DOCUMENT_MACHINE = Machine(
    initial=D.RECEIVED,
    moves={
        D.RECEIVED: frozenset({D.ACCEPTED, D.REJECTED, D.REPLACED}),
        # An accepted document turns out to be false, or a newer one takes its place.
        D.ACCEPTED: frozenset({D.REJECTED, D.REPLACED}),
    },
)
LIVE: Final = (D.RECEIVED, D.ACCEPTED)


class DocumentOrigin(StrEnum):
    """Who brought it."""

    STAFF = "Staff"
    CUSTOMER = "Customer"


class IdentityDocument(Row, Audited, Base):
    """A document as it was received. The row and the original's fingerprint stay; the file goes when its time is over.

    `file` is the random name of the sealed drawings in the folder of documents; the original itself is never kept.
    """

    machine: ClassVar[Machine[DocumentStatus]] = DOCUMENT_MACHINE

    __tablename__ = "identity_document"
    __table_args__ = (
        Index("ix_identity_document_customer_id_id", "customer_id", "id"),
        Index("ix_identity_document_upload_link_id", "upload_link_id"),
        # The same file twice is one document, however often it is sent.
        Index(
            "uq_identity_document_live",
            "customer_id",
            "sha256",
            unique=True,
            sqlite_where=text("status IN ('RECEIVED', 'ACCEPTED') AND erased_at IS NULL"),
            postgresql_where=text("status IN ('RECEIVED', 'ACCEPTED') AND erased_at IS NULL"),
        ),
        # Files whose time will be over.
        Index(
            "ix_identity_document_ended_at",
            "ended_at",
            sqlite_where=text("erased_at IS NULL"),
            postgresql_where=text("erased_at IS NULL"),
        ),
        CheckConstraint("(file IS NULL) = (erased_at IS NOT NULL)", name="file_until_erased"),
        CheckConstraint("(erased_at IS NULL) = (erased_reason IS NULL)", name="erased_for_a_reason"),
        CheckConstraint("(status IN ('REJECTED', 'REPLACED')) = (ended_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("status <> 'REJECTED' OR reason IS NOT NULL", name="rejected_for_a_reason"),
        CheckConstraint("pages > 0", name="pages_positive"),
        CheckConstraint("size_bytes > 0", name="size_positive"),
    )

    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), info={"label": "Customer", "readonly": True})
    kind: Mapped[DocumentKind] = enum_column(DocumentKind, info={"label": "Kind", "readonly": True})
    status: Mapped[DocumentStatus] = enum_column(
        DocumentStatus, default=D.RECEIVED, info={"label": "Status", "readonly": True}
    )
    origin: Mapped[DocumentOrigin] = enum_column(DocumentOrigin, info={"label": "From", "readonly": True})
    brought_by: Mapped[str] = mapped_column(String(100), info={"label": "Brought by", "readonly": True})
    upload_link_id: Mapped[int | None] = mapped_column(
        ForeignKey("upload_link.id"), info={"label": "Upload link", "readonly": True}
    )
    file_name: Mapped[str] = mapped_column(String(80), info={"label": "Called", "readonly": True, "mask": "name"})
    media: Mapped[PaperType] = enum_column(PaperType, info={"label": "Format", "readonly": True})
    size_bytes: Mapped[int] = mapped_column(info={"label": "Size", "readonly": True})
    pages: Mapped[int] = mapped_column(info={"label": "Pages", "readonly": True})
    sha256: Mapped[str] = mapped_column(String(64), info={"label": "sha256 of the original", "readonly": True})
    file: Mapped[str | None] = mapped_column(String(64), unique=True, info={"secret": True})
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Decided", "readonly": True})
    decided_by: Mapped[str | None] = mapped_column(String(100), info={"label": "Decided by", "readonly": True})
    reason: Mapped[str | None] = mapped_column(String(500), info={"label": "Reason", "readonly": True})
    ended_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Ended", "readonly": True})
    erased_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Erased", "readonly": True})
    erased_reason: Mapped[str | None] = mapped_column(String(500), info={"label": "Why erased", "readonly": True})

    customer: Mapped[Customer] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"{self.kind.value} no. {self.id}"

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: DocumentStatus) -> DocumentStatus:
        before = self.status
        if before is not None and before is not after and not DOCUMENT_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A document that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after

    @property
    def is_live(self) -> bool:
        """Whether it counts for the checklist."""
        return self.status in LIVE and self.erased_at is None


class DocumentLook(Base):
    """That a member of staff has opened a document, and when last: what KY2 asks before they may identify."""

    __tablename__ = "document_look"
    __table_args__ = (
        UniqueConstraint("document_id", "staff_id"),
        Index("ix_document_look_staff_id", "staff_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("identity_document.id"))
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff_user.id"))
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class UploadLinkStatus(StrEnum):
    """What was done with a link; that it expired is read from its time."""

    OPEN = "Open"
    USED = "Used"
    REVOKED = "Revoked"


U = UploadLinkStatus
UPLOAD_LINK_MACHINE = Machine(initial=U.OPEN, moves={U.OPEN: frozenset({U.USED, U.REVOKED})})
EXPIRED: Final = "Expired"


class UploadLink(Row, Audited, Base):
    """A request for documents. The link itself is not kept: only what finds it (`kernel/links.py`)."""

    machine: ClassVar[Machine[UploadLinkStatus]] = UPLOAD_LINK_MACHINE

    __tablename__ = "upload_link"
    __table_args__ = (
        Index("ix_upload_link_customer_id_id", "customer_id", "id"),
        # One open request for one customer: a new one takes the place of the old.
        Index(
            "uq_upload_link_open",
            "customer_id",
            unique=True,
            sqlite_where=text("status = 'OPEN'"),
            postgresql_where=text("status = 'OPEN'"),
        ),
        CheckConstraint("(status = 'USED') = (used_at IS NOT NULL)", name="used_has_time"),
    )

    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), info={"label": "Customer", "readonly": True})
    status: Mapped[UploadLinkStatus] = enum_column(
        UploadLinkStatus, default=U.OPEN, info={"label": "Status", "readonly": True}
    )
    # Keys of the checklist.
    asked_for: Mapped[list[str]] = mapped_column(Json, info={"label": "Asked for", "readonly": True, "filter": False})
    message: Mapped[str | None] = mapped_column(String(500), info={"label": "Message", "readonly": True})
    asked_by: Mapped[str] = mapped_column(String(100), info={"label": "Asked by", "readonly": True})
    nonce: Mapped[str] = mapped_column(String(22), info={"secret": True})
    token_hash: Mapped[str] = mapped_column(String(64), unique=True, info={"secret": True})
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, info={"label": "Link expires", "readonly": True})
    mailed_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "E-mailed", "readonly": True})
    used_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"label": "Used", "readonly": True})

    customer: Mapped[Customer] = relationship(lazy="raise_on_sql")

    def __str__(self) -> str:
        return f"Request for documents no. {self.id}"

    @validates("status")
    def _only_allowed_moves(self, _key: str, after: UploadLinkStatus) -> UploadLinkStatus:
        before = self.status
        if before is not None and before is not after and not UPLOAD_LINK_MACHINE.allows(before, after):
            raise Conflict(
                _(
                    "A link that is %(before)s cannot become %(after)s.",
                    before=Words(before.value).lower(),
                    after=Words(after.value).lower(),
                )
            )
        return after


def link_state(row: Any, now: dt.datetime) -> str:
    """Open, Used, Revoked or Expired; reads only columns."""
    status: UploadLinkStatus = row.status
    return EXPIRED if status is U.OPEN and row.expires_at <= now else status.value
