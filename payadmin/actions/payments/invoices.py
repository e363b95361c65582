"""Invoices: numbered without gaps when first asked for, drawn from facts, kept as files that can be made again."""

import contextlib
import datetime as dt
import hashlib
import json
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final, cast
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import selectinload

from payadmin.actions.payments.orders import add_event
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.invoice_pdf import LAYOUT, InvoiceFacts, InvoiceLine, render_invoice
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.sheets import csv_rows
from payadmin.kernel.text import NumberText, Text, _
from payadmin.kernel.xlsx import ZipSink
from payadmin.models.payments import (
    Invoice,
    Mode,
    OrderStatus,
    Payment,
    PaymentMethod,
    Refund,
    Unit,
)
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

MOST_INVOICES: Final = 500
NO_SUCH_PAYMENT: Final = _("There is no such payment.")

log = logging.getLogger(__name__)

# One statement on both databases; the row stays locked until the transaction ends, so a rolled back number is reused.
_TAKE = text(
    "INSERT INTO invoice_counter (year, last) VALUES (:year, :count) "
    "ON CONFLICT (year) DO UPDATE SET last = invoice_counter.last + :count RETURNING last"
)


@dataclass(frozen=True)
class InvoiceFile:
    """An issued invoice. The document is drawn when first read, after the transaction, and kept by its content."""

    number: str
    transaction_id: str
    invoice_number: str
    facts: InvoiceFacts
    folder: Path

    @property
    def name(self) -> str:
        """The file's name for whoever downloads it."""
        return f"{_safe(self.number)}.pdf"

    @property
    def path(self) -> Path:
        """Where the document is kept. Other facts (a new refund) are another file; the old one is never changed."""
        said = json.dumps([LAYOUT, asdict(self.facts)], ensure_ascii=True, sort_keys=True)
        digest = hashlib.sha256(said.encode()).hexdigest()
        return self.folder / "invoices" / digest[:2] / f"{digest}.pdf"

    def read(self) -> bytes:
        """The document; drawn again when the kept file is missing or was cut short."""
        path = self.path
        with contextlib.suppress(OSError):
            kept = path.read_bytes()
            if kept.startswith(b"%PDF-") and kept.rstrip().endswith(b"%%EOF"):
                return kept
        drawn = render_invoice(self.facts)
        try:
            _keep(path, drawn)
        except OSError:
            # A full or read-only disk costs speed, not the invoice.
            log.warning("invoice %s could not be kept at %s", self.number, path, exc_info=True)
        return drawn


@dataclass(frozen=True)
class NoInvoice:
    """A chosen payment that has no invoice, and the sentence that says why."""

    transaction_id: str
    invoice_number: str
    reason: str


@use_case(Permission.PAYMENTS_PAYMENT_INVOICE)
def issue_invoice(work: Work, payment_id: int, *, settings: Settings) -> InvoiceFile:
    """Give the payment its invoice. Asked again, the same number comes back with the facts as they are now (PY9).

    Raises:
        NotFound: no such payment.
        Conflict: no invoice exists for a payment in this status (T17).
    """
    [found] = _issue(work, [payment_id], settings)
    if found is None:
        raise NotFound(NO_SUCH_PAYMENT)
    if isinstance(found, NoInvoice):
        raise Conflict(found.reason)
    work.record(Event.INVOICES_DOWNLOADED, invoices=[found.number], payments=[payment_id], count=1)
    return found


@use_case(Permission.PAYMENTS_PAYMENT_INVOICE)
def issue_invoices(work: Work, payment_ids: Sequence[int], *, settings: Settings) -> list[InvoiceFile | NoInvoice]:
    """Give each chosen payment its invoice, all in one transaction, and record that they left the building.

    Returns:
        One entry per payment, in the order given; a payment chosen twice appears once.

    Raises:
        Invalid: nothing was chosen, or more than `MOST_INVOICES`.
    """
    chosen = list(dict.fromkeys(payment_ids))
    if not chosen:
        raise Invalid("Choose at least one payment.")
    if len(chosen) > MOST_INVOICES:
        raise Invalid(
            _(
                "One archive holds at most %(most_invoices)s invoices; %(number)s payments were chosen.",
                most_invoices=MOST_INVOICES,
                number=NumberText(len(chosen)),
            )
        )
    found = [
        entry or NoInvoice(str(payment_id), "", NO_SUCH_PAYMENT)
        for payment_id, entry in zip(chosen, _issue(work, chosen, settings), strict=True)
    ]
    issued = [entry for entry in found if isinstance(entry, InvoiceFile)]
    work.record(
        Event.INVOICES_DOWNLOADED,
        count=len(issued),
        without_invoice=len(found) - len(issued),
        invoices=[entry.number for entry in issued],
        payments=chosen,
    )
    return found


def invoices_zip(actor: Actor, payment_ids: Sequence[int], *, settings: Settings) -> Iterator[bytes]:
    """The invoices of the payments as one archive, in pieces, with a manifest.csv that names the rows without one.

    Everything that can be refused is refused here, before the first piece; the pieces need no database.

    Raises:
        Forbidden: the actor may not download invoices.
        Invalid: nothing was chosen, or more than `MOST_INVOICES`.
    """
    return _zip(issue_invoices(actor, payment_ids, settings=settings))


def _issue(work: Work, payment_ids: Sequence[int], settings: Settings) -> list[InvoiceFile | NoInvoice | None]:
    payments = _locked_payments(work, payment_ids)
    invoices = {
        invoice.payment_id: invoice
        for invoice in work.session.scalars(select(Invoice).where(Invoice.payment_id.in_(payments)))
    }
    new = [payment for payment in payments.values() if payment.has_invoice and payment.id not in invoices]
    for payment, number in zip(new, _take_numbers(work, len(new), settings.zone), strict=True):
        invoices[payment.id] = _number(work, payment, number)
    teller = _Teller(work, payments.values(), settings)
    found: list[InvoiceFile | NoInvoice | None] = []
    for chosen in map(payments.get, payment_ids):
        if chosen is None:
            found.append(None)
        elif not chosen.has_invoice:
            reason = _(
                "Only paid payments have an invoice; this one is %(status)s.", status=Text(chosen.status.value).lower()
            )
            found.append(NoInvoice(chosen.transaction_id, chosen.invoice_number, reason))
        else:
            found.append(teller.file(chosen, invoices[chosen.id]))
    return found


def _locked_payments(work: Work, payment_ids: Sequence[int]) -> dict[int, Payment]:
    """The payments by id, locked in the order of their ids so that two downloads never wait for each other."""
    statement = (
        select(Payment)
        .where(Payment.id.in_(payment_ids))
        .order_by(Payment.id)
        .options(selectinload(Payment.customer), selectinload(Payment.merchant))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {payment.id: payment for payment in work.session.scalars(statement)}


def _take_numbers(work: Work, count: int, zone: ZoneInfo) -> list[str]:
    if not count:
        return []
    year = work.now.astimezone(zone).year
    last: int = work.session.execute(_TAKE, {"year": year, "count": count}).scalar_one()
    return [f"INV-{year}-{number:06}" for number in range(last - count + 1, last + 1)]


def _number(work: Work, payment: Payment, number: str) -> Invoice:
    invoice = work.add(Invoice(number=number, payment_id=payment.id, issued_at=work.now))
    add_event(work, payment, "Invoice generated", detail=number)
    work.record(
        Event.INVOICE_ISSUED,
        invoice,
        after={"number": number},
        invoice=number,
        transaction_id=payment.transaction_id,
        invoice_number=payment.invoice_number,
        customer_id=payment.customer_id,
    )
    return invoice


class _Teller:
    """Says what an invoice says, with what all payments of one download need read once."""

    def __init__(self, work: Work, payments: Iterable[Payment], settings: Settings) -> None:
        session = work.session
        chosen = list(payments)
        self.settings = settings
        self.scales: dict[str, int] = dict(session.execute(select(Unit.code, Unit.scale)).all())
        self.methods: dict[str, str] = dict(session.execute(select(PaymentMethod.code, PaymentMethod.name)).all())
        self.refunds: dict[int, list[Refund]] = {}
        for refund in session.scalars(
            select(Refund)
            .where(Refund.payment_id.in_([payment.id for payment in chosen]), Refund.status == OrderStatus.SUCCEEDED)
            .order_by(Refund.id)
        ):
            self.refunds.setdefault(refund.payment_id, []).append(refund)

    def file(self, payment: Payment, invoice: Invoice) -> InvoiceFile:
        return InvoiceFile(
            number=invoice.number,
            transaction_id=payment.transaction_id,
            invoice_number=payment.invoice_number,
            facts=self._facts(payment, invoice),
            folder=self.settings.files_folder,
        )

    def _facts(self, payment: Payment, invoice: Invoice) -> InvoiceFacts:
        customer = payment.customer
        below = (f"Customer {customer.external_id}", customer.email)
        method = self.methods.get(payment.method, payment.method)
        return InvoiceFacts(
            number=invoice.number,
            issued=self._day(invoice.issued_at),
            seller=self.settings.company_name,
            merchant=payment.merchant.name,
            customer=(customer.name, *(line for line in below if line)),
            transaction_id=payment.transaction_id,
            invoice_number=payment.invoice_number,
            paid_on=self._day(payment.created_at),
            method=f"{method} •••{payment.card_last4}" if payment.card_last4 else method,
            lines=(
                InvoiceLine(
                    self._description(payment),
                    self._day(payment.created_at),
                    self._amount(payment, payment.captured_minor),
                ),
            ),
            refunds=tuple(
                InvoiceLine(
                    f"Refund {refund.reference} ({refund.reason.value})",
                    self._day(refund.first_sent_at or refund.created_at),
                    self._amount(payment, -refund.amount_minor),
                )
                for refund in self.refunds.get(payment.id, ())
            ),
            paid=self._amount(payment, payment.captured_minor),
            refunded=self._amount(payment, -payment.refunded_minor),
            kept=self._amount(payment, payment.captured_minor - payment.refunded_minor),
            test=payment.mode is Mode.TEST,
        )

    def _description(self, payment: Payment) -> str:
        said = mask_pan_in_text(payment.description or f"Payment {payment.transaction_id}")
        unit = payment.billed_unit
        if payment.billed_amount_minor is None or unit is None or unit == payment.unit:
            return said
        return f"{said} (billed as {Money(payment.billed_amount_minor, unit, self.scales[unit])})"

    def _amount(self, payment: Payment, minor: int) -> str:
        return str(payment.money(minor, self.scales[payment.unit]))

    def _day(self, moment: dt.datetime) -> str:
        local = moment.astimezone(self.settings.zone)
        return f"{local.day} {local:%b %Y}"


def _keep(path: Path, content: bytes) -> None:
    """Write the file whole or not at all: whoever reads it meanwhile sees the old state, never half of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _zip(found: Sequence[InvoiceFile | NoInvoice]) -> Iterator[bytes]:
    sink = ZipSink()
    used: set[str] = set()
    manifest: list[tuple[str, str, str, str, str]] = []
    # Already compressed documents: the lowest level only keeps readers that stream the archive happy.
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry in found:
            if isinstance(entry, NoInvoice):
                manifest.append((entry.transaction_id, entry.invoice_number, "", "", entry.reason))
                continue
            name = _unused(entry.name, used)
            archive.writestr(name, entry.read())
            manifest.append((entry.transaction_id, entry.invoice_number, entry.number, name, "Included"))
            yield sink.take()
        head = ("Transaction ID", "Merchant's invoice number", "Invoice", "File", "Outcome")
        archive.writestr("manifest.csv", "".join(csv_rows(head, manifest)))
    yield sink.take()


def _safe(number: str) -> str:
    """The number as a file name on any system: letters, digits, dots, dashes; no folders, no leading dot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", number).lstrip(".") or "invoice"


def _unused(name: str, used: set[str]) -> str:
    """The name, or the name with a number that makes it the only one, capitals aside."""
    stem, number, found = name.removesuffix(".pdf"), 1, name
    while found.casefold() in used:
        number += 1
        found = f"{stem}-{number}.pdf"
    used.add(found.casefold())
    return found
