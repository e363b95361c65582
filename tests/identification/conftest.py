"""Customers with papers, people of compliance, and files as strangers make them."""

import dataclasses
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from PIL import Image, ImageDraw
from reportlab.pdfgen.canvas import Canvas
from sqlalchemy import select

from payadmin.actions import identification
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.models.identification import DocumentKind, IdentityDocument
from payadmin.models.parties import Customer, CustomerKind, IdentificationStatus
from payadmin.permissions import Role, permissions_of
from payadmin.views.gate import limiter
from payadmin.work import Actor
from tests.support.make import Make, writing
from tests.support.signin import make_staff

K = DocumentKind


def picture(words: str = "SAMPLE", kind: str = "JPEG", size: tuple[int, int] = (400, 300), **options: Any) -> bytes:
    """A small picture; other words make another file."""
    image = Image.new(options.pop("mode", "RGB"), size, "white")
    if image.mode == "RGB":
        ImageDraw.Draw(image).text((20, 20), words, fill="black")
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pdf(
    pages: int = 2, words: str = "SAMPLE", prepare: Callable[[Canvas], None] = lambda _: None, **options: Any
) -> bytes:
    """A small PDF."""
    out = io.BytesIO()
    canvas = Canvas(out, **options)
    prepare(canvas)
    for number in range(pages):
        canvas.drawString(100, 700, f"{words} {number + 1}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG that says it is so large, whatever is in it."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", body or zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")
    )


@dataclasses.dataclass
class Office:
    """Everything a test of identification does, in short words."""

    app: Flask
    make: Make

    def officer(self, role: Role = Role.COMPLIANCE) -> Actor:
        """Somebody of compliance with an account."""
        writing()
        staff = make_staff(role)
        roles = frozenset({role})
        return Actor(staff_id=staff.id, name=staff.username, roles=roles, permissions=permissions_of(roles))

    def customer(self, kind: CustomerKind = CustomerKind.INDIVIDUAL, **values: Any) -> int:
        return int(self.make.customer(kind=kind, **values).id)

    def bring(self, actor: Actor, customer_id: int, *kinds: DocumentKind, words: str = "") -> list[int]:
        """Documents of these kinds, a file each; their numbers."""
        for kind in kinds:
            data = picture(f"SAMPLE {kind.value} {customer_id} {words}")
            sent = [identification.Sent(kind, f"{kind.name.lower()}.jpg", data, "files")]
            identification.receive(actor, customer_id, sent, current_settings())
        return [document.id for document in self.documents(customer_id)]

    def complete(self, actor: Actor, kind: CustomerKind = CustomerKind.INDIVIDUAL) -> tuple[int, list[int]]:
        """A customer of whom everything is there."""
        customer_id = self.customer(kind)
        kinds = {
            CustomerKind.INDIVIDUAL: (K.PASSPORT, K.PROOF_OF_ADDRESS),
            CustomerKind.MERCHANT: (K.REGISTRATION_EXTRACT, K.OWNERS_DECLARATION, K.IDENTITY_CARD),
        }[kind]
        return customer_id, self.bring(actor, customer_id, *kinds)

    def look(self, actor: Actor, customer_id: int, document_id: int, page: int = 1) -> str:
        return identification.look_at_document(actor, document_id, customer_id=customer_id, page=page)

    def row(self, customer_id: int) -> Customer:
        db.session.rollback()
        return db.session.get_one(Customer, customer_id, populate_existing=True)

    def state(self, customer_id: int) -> IdentificationStatus:
        return self.row(customer_id).identification

    def version(self, customer_id: int) -> int:
        return self.row(customer_id).version

    def documents(self, customer_id: int) -> list[IdentityDocument]:
        db.session.rollback()
        wanted = select(IdentityDocument).where(IdentityDocument.customer_id == customer_id)
        return list(db.session.scalars(wanted.order_by(IdentityDocument.id).execution_options(populate_existing=True)))

    def kept(self) -> list[str]:
        """The names of all files there are."""
        return sorted(path.name for path in (current_settings().files_folder / "documents").glob("*/*"))


@pytest.fixture
def office(app: Flask, make: Make) -> Office:
    limiter.reset()
    for path in (current_settings().files_folder / "documents").glob("*/*"):
        path.unlink()
    return Office(app, make)
