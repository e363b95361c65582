"""The demo's documents: drawn here, marked as samples on every page, for customers in every state of identification."""

import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas
from sqlalchemy import select

from payadmin.actions import identification, records
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel.pdf import BOLD, FONTS, REGULAR
from payadmin.models.access import StaffRole, StaffUser
from payadmin.models.identification import DocumentKind, IdentityDocument
from payadmin.models.parties import Customer, CustomerKind
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM, Actor

MARK: Final = "SAMPLE - NOT A DOCUMENT"
MERCHANTS: Final = (
    ("SAMPLE-M1", "Hollybush Bakery", "office@hollybush.example.com"),
    ("SAMPLE-M2", "Tern & Wren Books", "books@ternwren.example.com"),
    ("SAMPLE-M3", "Quayside Cycles", "hello@quayside.example.com"),
)
K = DocumentKind
_PERSON: Final = (K.PASSPORT, K.PROOF_OF_ADDRESS)
_COMPANY: Final = (K.REGISTRATION_EXTRACT, K.OWNERS_DECLARATION, K.IDENTITY_CARD)
KNOWN: Final = 3


def load_identification(settings: Settings) -> int:
    """Add documents of a few customers, and decide about some; how many documents. A second time nothing.

    Without an account of compliance nobody is identified: only a person can do that.
    """
    if db.session.scalar(select(IdentityDocument.id).limit(1)) is not None:
        return 0
    # Not those whom the cash office knows by their codeword: they are identified.
    some = select(Customer.id).where(Customer.kind == CustomerKind.INDIVIDUAL).order_by(Customer.id)
    people = db.session.scalars(some.offset(KNOWN).limit(5)).all()
    merchants = [_merchant(*facts) for facts in MERCHANTS]
    officer = _officer()
    for place, row_id in enumerate(people):
        _bring(row_id, _PERSON if place != 2 else _PERSON[:1], settings)  # noqa: PLR2004 - of the third one is missing
    for row_id in merchants[:2]:
        _bring(row_id, _COMPANY, settings)
    if officer is not None:
        for row_id in (*people[:1], *merchants[:1]):
            _identify(officer, row_id)
        for row_id in people[3:4]:
            reason = "The photo on the passport cannot be seen."
            identification.reject_customer(officer, row_id, version=_version(row_id), reason=reason)
    for row_id in people[2:3]:
        identification.request_documents(
            SYSTEM,
            row_id,
            asked_for=["address"],
            message="Your bill should show your full name and your present address.",
            days=14,
            by_mail=False,
            settings=settings,
        )
    db.session.rollback()
    return len(db.session.scalars(select(IdentityDocument.id)).all())


def _merchant(external_id: str, name: str, email: str) -> int:
    found = db.session.scalar(select(Customer.id).where(Customer.external_id == external_id))
    if found is not None:
        return found
    values = {"external_id": external_id, "name": name, "email": email, "kind": CustomerKind.MERCHANT}
    return records.create_record(SYSTEM, Customer, permission=Permission.PARTIES_CUSTOMER_WRITE, values=values)


def _officer() -> Actor | None:
    staff = db.session.scalars(
        select(StaffUser)
        .join(StaffRole, StaffRole.staff_id == StaffUser.id)
        .where(StaffRole.role == Role.COMPLIANCE)
        .order_by(StaffUser.id)
        .limit(1)
    ).first()
    if staff is None:
        return None
    return Actor(staff_id=staff.id, name=staff.username, roles=staff.roles, permissions=staff.permissions)


def _version(row_id: int) -> int:
    db.session.rollback()
    return db.session.get_one(Customer, row_id, populate_existing=True).version


def _bring(row_id: int, kinds: tuple[DocumentKind, ...], settings: Settings) -> None:
    db.session.rollback()
    name = db.session.get_one(Customer, row_id).name
    sent = [identification.Sent(kind, f"sample-{kind.name.lower()}", _drawing(kind, name), "files") for kind in kinds]
    identification.receive(SYSTEM, row_id, sent, settings)


def _identify(officer: Actor, row_id: int) -> None:
    db.session.rollback()
    documents = db.session.scalars(select(IdentityDocument.id).where(IdentityDocument.customer_id == row_id)).all()
    for document_id in documents:
        identification.look_at_document(officer, document_id, customer_id=row_id, page=1)
    identification.identify(officer, row_id, version=_version(row_id))


def _drawing(kind: DocumentKind, name: str) -> bytes:
    return _card(kind, name) if kind in {K.PASSPORT, K.IDENTITY_CARD} else _letter(kind, name)


def _card(kind: DocumentKind, name: str) -> bytes:
    """Something like a card with a photo, as a JPEG of a few kilobytes."""
    image = Image.new("RGB", (860, 540), "#e8eef6")
    draw = ImageDraw.Draw(image)
    large, small = (ImageFont.truetype(FONTS / f"{font}.ttf", size) for font, size in ((BOLD, 34), (REGULAR, 24)))
    draw.rectangle((0, 0, 860, 84), fill="#31507a")
    draw.text((32, 22), f"{kind.value.upper()} OF NOWHERE", font=large, fill="white")
    draw.rectangle((32, 120, 252, 400), fill="#b9c7da")
    draw.ellipse((92, 160, 192, 270), fill="#7d8fa8")
    draw.pieslice((52, 280, 232, 520), 180, 360, fill="#7d8fa8")
    draw.rectangle((32, 401, 252, 540), fill="#e8eef6")
    for place, (label, value) in enumerate((("Name", name), ("Number", "X0000000"), ("Born", "01 JAN 1980"))):
        draw.text((290, 124 + 90 * place), label, font=small, fill="#5b6675")
        draw.text((290, 152 + 90 * place), value[:26], font=large, fill="#1c2430")
    draw.text((32, 466), MARK, font=large, fill="#b42318")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def _letter(kind: DocumentKind, name: str) -> bytes:
    """A letter of two pages, as a PDF."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for page in (1, 2):
        canvas.setFont("Helvetica-Bold", 20)
        canvas.drawString(72, 740, kind.value)
        canvas.setFont("Helvetica", 12)
        lines = (
            name.encode("latin-1", "replace").decode("latin-1"),
            "1 Sample Street, Nowhere",
            "",
            f"Page {page} of 2",
        )
        for place, line in enumerate(lines):
            canvas.drawString(72, 700 - 20 * place, line)
        canvas.setFillColorRGB(0.7, 0.14, 0.1)
        canvas.setFont("Helvetica-Bold", 26)
        canvas.drawString(72, 400, MARK)
        canvas.setFillColorRGB(0, 0, 0)
        canvas.showPage()
    canvas.save()
    return out.getvalue()
