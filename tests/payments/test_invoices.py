"""Invoices: numbered once and without gaps, for paid payments only, in one archive that names what is missing."""

import csv
import io
import itertools
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from payadmin.actions.payments.invoices import (
    MOST_INVOICES,
    InvoiceFile,
    invoices_zip,
    issue_invoice,
    issue_invoices,
)
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import (
    INVOICED,
    Invoice,
    InvoiceCounter,
    Mode,
    OrderStatus,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Refund,
    RefundReason,
)
from payadmin.permissions import Permission
from tests.support.make import Make

HOSTILE = "=cmd|'/c calc'!A1 <b>&amp;</b><script>alert(1)</script> {{7*7}} \u202eexe\u202c Жук Ω"


@pytest.fixture
def office(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    import dataclasses

    found = dataclasses.replace(app.extensions["payadmin.settings"], files_folder=tmp_path, company_name="Lakeside")
    monkeypatch.setitem(app.extensions, "payadmin.settings", found)
    return found


@pytest.fixture
def issue(make: Make, office: Settings) -> Callable[[int], InvoiceFile]:
    return lambda payment_id: issue_invoice(make.actor(), payment_id, settings=office)


def year() -> int:
    return utcnow().year


def succeeded_refund(make: Make, payment: Any, amount_minor: int) -> Refund:
    number = next(make._number)
    given_back = {"refunded_minor": payment.refunded_minor + amount_minor, "status": PaymentStatus.PARTIALLY_REFUNDED}
    change = update(Payment).where(Payment.id == payment.id).values(given_back)
    db.session.execute(change.execution_options(explained=True))
    db.session.commit()
    return make._save(
        Refund(
            payment_id=payment.id, amount_minor=amount_minor, unit=payment.unit, status=OrderStatus.SUCCEEDED,
            reason=RefundReason.DUPLICATE, key=f"k{number}", provider_key=f"p{number}", reference=f"rf-{number:04}",
            requested_by="operator",
        )
    )  # fmt: skip


def counts() -> tuple[int, int, int]:
    db.session.rollback()
    return tuple(
        db.session.scalar(select(func.count()).select_from(m)) for m in (Invoice, PaymentEvent, InvoiceCounter)
    )  # type: ignore[return-value]


def test_the_first_request_numbers_the_invoice_and_the_second_gives_the_same(make: Make, issue: Any) -> None:
    payment_id = make.payment().id
    first, second = issue(payment_id), issue(payment_id)
    assert first.number == second.number == f"INV-{year()}-000001"
    assert first.read() == second.read()
    assert first.read().startswith(b"%PDF-")
    assert counts() == (1, 1, 1)
    line = db.session.scalars(select(PaymentEvent)).one()
    assert (line.event, line.detail, line.status) == ("Invoice generated", first.number, PaymentStatus.PAID)
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "payments.invoice.issued")).one()
    assert entry.keys["invoice"] == first.number


@pytest.mark.parametrize("status", PaymentStatus)
def test_an_invoice_exists_for_paid_and_refunded_payments_only(make: Make, issue: Any, status: PaymentStatus) -> None:
    payment_id = make.payment(status=status).id
    if status in INVOICED:
        assert issue(payment_id).number == f"INV-{year()}-000001"
        return
    with pytest.raises(Conflict, match=status.value.lower()):
        issue(payment_id)
    assert counts() == (0, 0, 0)


def test_a_payment_that_does_not_exist_is_not_found(issue: Any) -> None:
    with pytest.raises(NotFound):
        issue(404)
    assert counts() == (0, 0, 0)


def test_a_role_without_the_right_gets_no_invoice_and_no_archive(make: Make, office: Settings) -> None:
    payment_id = make.payment().id
    stranger = make.actor_without(Permission.PAYMENTS_PAYMENT_INVOICE)
    with pytest.raises(Forbidden):
        issue_invoice(stranger, payment_id, settings=office)
    with pytest.raises(Forbidden):
        issue_invoices(stranger, [payment_id], settings=office)
    with pytest.raises(Forbidden):
        invoices_zip(stranger, [payment_id], settings=office)
    assert counts() == (0, 0, 0)


def test_many_at_once_leave_no_gap_and_no_twin(app: Flask, make: Make, office: Settings) -> None:
    payment_ids = [make.payment().id for _ in range(12)]
    make.payment(status=PaymentStatus.FAILED)
    actor = make.actor()
    db.session.remove()
    start = threading.Barrier(8)

    def hurry(worker: int) -> list[tuple[int, str]]:
        start.wait()
        with app.app_context():
            # Every worker asks for every payment, each beginning elsewhere, half of them as one archive.
            mine = payment_ids[worker:] + payment_ids[:worker]
            if worker % 2:
                files = issue_invoices(actor, mine, settings=office)
                return [(payment_id, file.number) for payment_id, file in zip(mine, files, strict=True)]
            return [(payment_id, issue_invoice(actor, payment_id, settings=office).number) for payment_id in mine]

    with ThreadPoolExecutor(8) as pool:
        seen = list(itertools.chain.from_iterable(pool.map(hurry, range(8))))
    assert len(set(seen)) == 12
    assert sorted({number for _, number in seen}) == [f"INV-{year()}-{number:06}" for number in range(1, 13)]
    assert counts() == (12, 12, 1)
    assert db.session.get(InvoiceCounter, year()).last == 12


def test_a_failed_transaction_gives_its_number_back(make: Make, issue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from payadmin.actions.payments import invoices

    first, second = make.payment().id, make.payment().id

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(invoices, "add_event", broken)
        with pytest.raises(RuntimeError):
            issue(first)
    assert issue(second).number == f"INV-{year()}-000001"


def test_the_document_is_kept_and_drawn_again_only_when_needed(make: Make, issue: Any, office: Settings) -> None:
    payment = make.payment()
    file = issue(payment.id)
    drawn = file.read()
    kept = list(office.files_folder.rglob("*.*"))
    assert kept == [file.path]
    assert file.path.parent.name == file.path.name[:2]
    changed = drawn[:-10] + b"x" * 3 + drawn[-7:]
    file.path.write_bytes(changed)
    assert file.read() == changed  # whole, so it is trusted
    file.path.write_bytes(drawn[: len(drawn) // 2])
    assert file.read() == drawn
    assert file.path.read_bytes() == drawn
    file.path.unlink()
    assert file.read() == drawn
    succeeded_refund(make, payment, 30_00)
    after = issue(payment.id)
    assert (after.number, after.facts.kept) == (file.number, "70.00 EUR")
    assert after.path != file.path
    assert after.read() != drawn


def test_a_folder_that_cannot_be_written_costs_no_invoice(make: Make, issue: Any, office: Settings) -> None:
    (office.files_folder / "invoices").write_text("a file where a folder should be")
    assert issue(make.payment().id).read().startswith(b"%PDF-")


def test_the_facts_say_what_was_paid_and_given_back(make: Make, issue: Any, office: Settings) -> None:
    make.unit("USD")
    customer = make.customer(name="Ada Lovelace", email="ada@example.com")
    payment = make.payment(
        amount_minor=1_234_50, customer_id=customer.id, card_last4="1111", description="Card 4111 1111 1111 1111",
        billed_amount_minor=1_300_00, billed_unit="USD", mode=Mode.TEST,
    )  # fmt: skip
    refund = succeeded_refund(make, payment, 200_00)
    facts = issue(payment.id).facts
    assert facts.seller == "Lakeside"
    assert facts.customer == ("Ada Lovelace", f"Customer {customer.external_id}", "ada@example.com")
    assert facts.lines[0].text == "Card 411111••••••1111 (billed as 1,300.00 USD)"
    assert (facts.paid, facts.refunded, facts.kept) == ("1,234.50 EUR", "-200.00 EUR", "1,034.50 EUR")
    assert [(line.text, line.amount) for line in facts.refunds] == [
        (f"Refund {refund.reference} (Duplicate payment)", "-200.00 EUR")
    ]
    assert facts.method == "Card •••1111"
    assert facts.test


def test_an_archive_holds_each_invoice_once_and_names_the_rows_without_one(make: Make, office: Settings) -> None:
    paid, failed = make.payment(), make.payment(status=PaymentStatus.FAILED, invoice_number="=1+1")
    hostile = make.payment(
        description=HOSTILE * 3, invoice_number="../../etc/passwd", customer_id=make.customer(name=HOSTILE).id
    )
    chosen = [hostile.id, failed.id, paid.id, 999_999, paid.id]
    pieces = list(invoices_zip(make.actor(), chosen, settings=office))
    assert len(pieces) >= 3
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        numbers = [f"INV-{year()}-{number:06}.pdf" for number in (2, 1)]
        assert archive.namelist() == [*numbers, "manifest.csv"]
        rows = list(csv.reader(io.StringIO(archive.read("manifest.csv").decode())))
        assert archive.read(numbers[1]).startswith(b"%PDF-")
    assert rows[0] == ["Transaction ID", "Merchant's invoice number", "Invoice", "File", "Outcome"]
    assert [row[2:] for row in rows[1:]] == [
        [numbers[0].removesuffix(".pdf"), numbers[0], "Included"],
        ["", "", "Only paid payments have an invoice; this one is failed."],
        [numbers[1].removesuffix(".pdf"), numbers[1], "Included"],
        ["", "", "There is no such payment."],
    ]
    assert rows[2][1] == "'=1+1"
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "payments.invoice.downloaded")).one()
    assert (entry.keys["count"], entry.keys["without_invoice"]) == (2, 2)
    assert entry.keys["payments"] == [hostile.id, failed.id, paid.id, 999_999]


def test_an_archive_of_too_many_or_none_is_refused_with_the_limit(make: Make, office: Settings) -> None:
    with pytest.raises(Invalid, match=str(MOST_INVOICES)):
        invoices_zip(make.actor(), range(1, MOST_INVOICES + 2), settings=office)
    with pytest.raises(Invalid):
        invoices_zip(make.actor(), [], settings=office)
    assert counts() == (0, 0, 0)


def test_names_in_an_archive_are_safe_and_different() -> None:
    from payadmin.actions.payments.invoices import _safe, _unused

    assert _safe("../../etc/pass wd") == "_.._etc_pass_wd"
    assert _safe("...") == "invoice"
    used: set[str] = set()
    assert [_unused(name, used) for name in ("A.pdf", "a.pdf", "A.pdf")] == ["A.pdf", "a-2.pdf", "A-3.pdf"]
