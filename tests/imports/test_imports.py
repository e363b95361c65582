"""Importing payments: all rows or none, the same content once, and every mistake with its place."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from payadmin.actions.import_layouts import TEMPLATE, template_rows
from payadmin.actions.imports import import_payments
from payadmin.audit import Event
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.sheets import csv_rows, read_table
from payadmin.kernel.xlsx import xlsx
from payadmin.models.audit import AuditEvent
from payadmin.models.imports import ImportFile
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Channel, Payment, PaymentEvent, PaymentStatus, PaymentType, Refund
from payadmin.permissions import Permission
from payadmin.work import SYSTEM
from tests.support.make import Make

DATA = Path(__file__).parents[1] / "data"


def workbook(name: str) -> bytes:
    return gzip.decompress((DATA / f"birmingham_upload_{name}.xls.gz").read_bytes())


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model))


def row(**cells: object) -> dict[str, object]:
    return {column.name: column.example for column in TEMPLATE} | cells


def csv_file(*rows: dict[str, object]) -> bytes:
    return "".join(csv_rows(list(rows[0]), [list(cells.values()) for cells in rows])).encode()


@pytest.fixture
def ready(make: Make) -> Make:
    make.unit("EUR")
    make.unit("GBP")
    make.unit("JPY")
    make.method("VISA")
    return make


def refused(data: bytes, name: str = "file.csv") -> Invalid:
    with pytest.raises(Invalid) as refusal:
        import_payments(SYSTEM, data, name=name)
    assert count(Payment) == count(ImportFile) == count(Customer) == count(Organization) == 0
    return refusal.value


def test_the_template_is_imported_as_it_stands(ready: Make):
    head, example = template_rows()
    result = import_payments(SYSTEM, "".join(csv_rows(head, [example])).encode(), name="template.csv")
    assert str(result) == "1 payments and 0 refunds were imported from template.csv."
    payment = db.session.scalars(select(Payment)).one()
    assert (payment.transaction_id, payment.amount_minor, payment.unit) == ("T-2026-000001", 1234_50, "EUR")
    assert (payment.status, payment.captured_minor) == (PaymentStatus.PAID, 1234_50)
    assert (payment.type, payment.channel) == (PaymentType.DIRECT, Channel.WEB)
    assert payment.created_at == datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    customer = db.session.get(Customer, payment.customer_id)
    assert (customer.external_id, customer.name, customer.email) == ("C-0001", "Ana Lopez", "ana@example.com")
    assert db.session.get(Organization, payment.merchant_id).name == "Corner Shop"
    assert [event.event for event in db.session.scalars(select(PaymentEvent))] == ["Payment imported"]


def test_a_workbook_keeps_amounts_exact_and_knows_parties(ready: Make):
    customer = ready.customer(external_id="C-0001", name="Known Already")
    from decimal import Decimal

    cells = row(Amount=Decimal("0.1"), Date=datetime(2026, 3, 4, 8, tzinfo=UTC))
    data = b"".join(xlsx(list(cells), [list(cells.values())]))
    import_payments(SYSTEM, data, name="f.xlsx")
    payment = db.session.scalars(select(Payment)).one()
    assert payment.amount_minor == 10
    assert payment.customer_id == customer.id
    db.session.refresh(customer)
    assert customer.name == "Known Already"


@pytest.mark.parametrize(
    ("status", "refunded", "expected"),
    [
        ("Paid", "0.00", PaymentStatus.PAID),
        ("Paid", "10.00", PaymentStatus.PARTIALLY_REFUNDED),
        ("TOTALLY_REFUNDED", "1234.50", PaymentStatus.TOTALLY_REFUNDED),
        ("Failed", "", PaymentStatus.FAILED),
        ("voided", "", PaymentStatus.VOIDED),
        ("Charged back", "10.00", PaymentStatus.CHARGED_BACK),
    ],
)
def test_status_and_refunded_amount_fit_each_other(ready: Make, status: str, refunded: str, expected: PaymentStatus):
    import_payments(SYSTEM, csv_file(row(Status=status) | {"Refunded amount": refunded}), name="f.csv")
    payment = db.session.scalars(select(Payment)).one()
    assert payment.status is expected
    assert payment.captured_minor == (0 if expected is PaymentStatus.FAILED else 1234_50)
    assert payment.refunded_minor == sum(db.session.scalars(select(Refund.amount_minor)))


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"Amount": "12.345"}, "Row 2, column J (Amount): 12.345 has too many decimals."),
        ({"Amount": "-5"}, "Row 2, column J (Amount):"),
        ({"Amount": "NaN"}, "is not an amount"),
        ({"Amount": "1.5", "Currency": "JPY", "Refunded amount": ""}, "too many decimals"),
        ({"Amount": "0"}, "more than zero"),
        ({"Currency": "EURO"}, 'Row 2, column K (Currency): "EURO" is not a known currency'),
        ({"Transaction ID": ""}, "Row 2, column A (Transaction ID): is empty."),
        ({"Transaction ID": "x" * 65}, "is longer than 64 characters"),
        ({"Date": "04.03.2026"}, '"04.03.2026" is not a date'),
        ({"Date": "2126-03-04"}, "not a day on which a payment can have been made"),
        ({"Status": "Pending"}, "is not finished"),
        ({"Status": "Bought"}, '"bought" is not one of Created, Authorized'),
        ({"Status": "Partially refunded"}, "say how much was refunded"),
        ({"Status": "Failed", "Refunded amount": "1.00"}, "nothing can be refunded"),
        ({"Refunded amount": "1234.51"}, "more was refunded than paid"),
        ({"Method": "BARTER"}, '"BARTER" is not a known method: VISA.'),
        ({"Card end": "4111111111111111"}, "holds a full card number"),
        ({"Card end": "11"}, None),
        ({"Card end": "abcd"}, "must be the last four digits"),
        ({"Description": "4111 1111 1111 1111"}, "holds a full card number"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_nothing_is_imported(ready: Make, cells: dict, says: str | None):
    data = csv_file(row(**cells))
    if says is None:
        import_payments(SYSTEM, data, name="f.csv")
        assert db.session.scalars(select(Payment.card_last4)).one() == "0011"
        return
    refusal = refused(data)
    assert says in refusal.sentence
    assert refusal.data["count"] == 1


def test_every_mistake_is_listed_and_one_is_enough_to_import_nothing(ready: Make):
    rows = [row(**{"Transaction ID": f"T-{n}", "Amount": "5" if n else "x"}) for n in range(3)]
    assert "the file has 1 mistake.\nRow 2, column J (Amount)" in refused(csv_file(*rows)).sentence
    rows = [row(**{"Transaction ID": f"T-{n}", "Amount": "x"}) for n in range(30)]
    refusal = refused(csv_file(*rows))
    assert refusal.sentence.startswith("Nothing was imported: the file has 30 mistakes.\nRow 2,")
    assert refusal.sentence.endswith("… and 10 more.")


def test_a_number_is_imported_once(ready: Make):
    assert "T-1 stands in row 2 too" in refused(csv_file(*[row(**{"Transaction ID": "T-1"})] * 2)).sentence
    import_payments(SYSTEM, csv_file(row(**{"Transaction ID": "T-1"})), name="a.csv")
    with pytest.raises(Invalid, match=r"Row 2, Transaction ID: T-1 is in payadmin already\."):
        import_payments(SYSTEM, csv_file(row(**{"Transaction ID": "T-1", "Amount": "7"})), name="b.csv")
    assert count(Payment) == 1


def test_missing_columns_are_named(ready: Make):
    refusal = refused(b"Transaction ID,Amount\n1,2\n")
    assert "The file lacks these columns: Date, Merchant, Customer ID, Currency, Method." in refusal.sentence
    assert "no rows" in refused(b"Transaction ID,Amount\n").sentence


def test_who_may_not_import_imports_nothing(ready: Make):
    with pytest.raises(Forbidden):
        import_payments(ready.actor_without(Permission.PAYMENTS_PAYMENT_IMPORT), csv_file(row()), name="f.csv")
    assert count(Payment) == 0


def test_an_import_is_in_the_trail(ready: Make):
    import_payments(SYSTEM, csv_file(row()), name="f.csv")
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == Event.IMPORT_FINISHED)).one()
    assert entry.after == {"payments": 1, "refunds": 0, "left_out": 0}
    assert entry.keys["file"] == "f.csv"
    assert (entry.entity, entry.actor_name) == ("import_file", "system")


def test_the_same_content_under_another_name_is_refused(ready: Make):
    data = csv_file(row())
    import_payments(SYSTEM, data, name="first.csv")
    table = read_table(data, "first.csv")
    again = b"".join(xlsx(table.header, [values for _, values in table.rows]))
    with pytest.raises(Conflict, match=r'says the same as "first\.csv", which system imported on 20\d\d-'):
        import_payments(SYSTEM, again, name="second.xlsx")
    assert count(ImportFile) == count(Payment) == 1


def test_the_councils_workbook_is_imported_with_its_credits(ready: Make):
    steps = []
    result = import_payments(
        SYSTEM, workbook("2015-08"), name="aug.xls", progress=lambda done, total: steps.append((done, total))
    )
    assert result.payments + result.refunds + result.left_out == 2_062
    assert steps[-1] == (2_062, 2_062)
    assert count(Payment) == result.payments
    refunded = select(func.sum(Payment.refunded_minor))
    assert db.session.scalar(refunded) == db.session.scalar(select(func.sum(Refund.amount_minor)))
    first = db.session.scalars(select(Payment).where(Payment.amount_minor == 50_32)).first()
    assert (first.unit, first.card_last4, first.method) == ("GBP", "5770", "CARD")
    assert first.description == "Vehicle Fuel for African-Caribbean DC"


def test_the_file_that_the_council_published_twice_is_imported_once(ready: Make):
    import_payments(SYSTEM, workbook("dup_a"), name="May 2014.xls")
    before = count(Payment)
    with pytest.raises(Conflict, match=r'says the same as "May 2014\.xls"'):
        import_payments(SYSTEM, workbook("dup_b"), name="June 2014.xls")
    assert count(Payment) == before
    assert count(ImportFile) == 1
