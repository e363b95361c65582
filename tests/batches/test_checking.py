"""Checking: every cell that makes no sense is named with the reason, against the file and against what is known."""

import datetime as dt

import pytest
from sqlalchemy import event

from payadmin.db import db
from payadmin.kernel.sheets import Kind
from payadmin.models.batches import BatchKind, BatchStatus
from payadmin.models.parties import CustomerStatus
from tests.support.batches import COLUMNS, BatchRoom, csv_file, xlsx_file

REGISTRATION = BatchKind.REGISTRATION
TODAY, PAST, FAR = "{today}", "{past}", "{far}"


def filled(room: BatchRoom, cells: dict[str, str]) -> dict[str, str]:
    days = {"today": room.today, "past": room.office.day(-1), "far": room.office.day(367)}
    return {key: value.format(**days) if value[:1] == "{" else value for key, value in cells.items()}


@pytest.mark.parametrize(
    ("cells", "column", "says"),
    [
        ({"amount": ""}, "amount", "This cell is empty."),
        ({"amount": "0"}, "amount", "more than zero"),
        ({"amount": "0.00"}, "amount", "more than zero"),
        ({"amount": "-5"}, "amount", "is not an amount"),
        ({"amount": "12.345"}, "amount", "too many decimals"),
        ({"amount": "1.5", "currency": "JPY"}, "amount", "too many decimals"),
        ({"amount": "NaN"}, "amount", "is not an amount"),
        ({"amount": "Infinity"}, "amount", "is not an amount"),
        ({"amount": "1e3"}, "amount", "is not an amount"),
        ({"amount": "1_000"}, "amount", "is not an amount"),
        ({"amount": "+5"}, "amount", "is not an amount"),
        ({"amount": "0x10"}, "amount", "is not an amount"),
        ({"amount": "1.234,50"}, "amount", "is not an amount"),
        ({"amount": "\u0661\u0662"}, "amount", "is not an amount"),
        ({"amount": "\uff11\uff12"}, "amount", "is not an amount"),
        ({"amount": "9" * 30}, "amount", "too large"),
        ({"amount": "9" * 60}, "amount", "60 characters"),
        ({"amount": "1e500000"}, "amount", "is not an amount"),
        ({"currency": ""}, "currency", "empty"),
        ({"currency": "eur"}, "currency", "is not a currency that is taken here: EUR, JPY."),
        ({"currency": "DEM"}, "currency", "is not a currency that is taken here"),
        ({"billing_number": ""}, "billing_number", "empty"),
        ({"billing_number": "B" * 65}, "billing_number", "65 characters"),
        ({"billing_number": "UNKNOWN"}, "billing_number", "This billing number is not known"),
        ({"billing_number": "BN-\u0661"}, "billing_number", "English keyboard"),
        ({"customer_id": "NOBODY"}, "customer_id", "There is no customer with this ID."),
        ({"customer_id": "C-2"}, "customer_id", "belongs to another customer"),
        ({"invoice_number": ""}, "invoice_number", "empty"),
        ({"invoice_number": "R000123-20261231"}, "invoice_number", "given by payadmin itself"),
        ({"invoice_number": "USED"}, "invoice_number", "was used already"),
        ({"invoice_number": "PAID"}, "invoice_number", "was used already"),
        ({"card_no": ""}, "card_no", "Fill in the card or its token."),
        ({"card_no": "4242424242424241"}, "card_no", "not a valid card number"),
        ({"card_no": "4242"}, "card_no", "not a valid card number"),
        ({"card_no": "my card"}, "card_no", "not a valid card number"),
        ({"card_token": "tok_visa"}, "card_no", "not both"),
        ({"card_no": "", "card_token": "tok visa"}, "card_token", "not a card token"),
        ({"card_no": "", "card_token": "4242 4242 4242 4242"}, "card_token", "full card number"),
        ({"card_holder_phone": "call me"}, "card_holder_phone", "not a phone number"),
        ({"card_holder_name": "A" * 201}, "card_holder_name", "201 characters"),
        ({"card_holder_name": "Ana 4242424242424242"}, "card_holder_name", "full card number"),
        ({"description": "pay with 4242-4242-4242-4242"}, "description", "full card number"),
        ({"description": "d" * 301}, "description", "301 characters"),
        ({"execute_date": ""}, "execute_date", "empty"),
        ({"execute_date": PAST}, "execute_date", "has passed: execute it on"),
        ({"execute_date": FAR}, "execute_date", "more than a year ahead"),
        ({"execute_date": "31/12/2026"}, "execute_date", "is not a date; write year, month and day"),
        ({"execute_date": "12/31/2026"}, "execute_date", "is not a date"),
        ({"execute_date": "31.12.2026"}, "execute_date", "is not a date"),
        ({"execute_date": "20261231"}, "execute_date", "is not a date"),
        ({"execute_date": "2026-02-30"}, "execute_date", "is not a date"),
        ({"execute_date": "2026-13-01"}, "execute_date", "is not a date"),
        ({"execute_date": "tomorrow"}, "execute_date", "is not a date"),
        ({"execute_date": "46000"}, "execute_date", "is not a date"),
        ({"execute_date": "2026-12-31T10:00"}, "execute_date", "is not a date"),
    ],
)
def test_a_payments_mistake_is_named_in_its_cell(
    room: BatchRoom, cells: dict[str, str], column: str, says: str
) -> None:
    room.make.scheduled_charge(invoice_number="USED")
    room.make.payment(invoice_number="PAID")
    batch = room.checked([room.payment(1, **filled(room, cells)), room.payment(3)])
    assert (batch.status, batch.rows_valid, batch.rows_invalid) == (BatchStatus.HAS_ERRORS, 1, 1)
    [(row, wrong)] = room.errors(batch.id).items()
    assert (row, list(wrong)) == (2, [column])
    assert says in wrong[column]
    assert wrong[column][-1] == "."


@pytest.mark.parametrize(
    "cells",
    [
        {"amount": "1,234.50"},
        {"amount": "80"},
        {"amount": "500", "currency": "JPY"},
        {"customer_id": "C-1"},
        {"billing_number": "BRAND-NEW", "customer_id": "C-1"},
        {"card_no": "", "card_token": "tok_visa"},
        {"card_no": "4242-4242-4242-4242"},
        {"card_no": "378282246310005"},
        {"card_holder_name": "", "card_holder_phone": "", "description": ""},
        {"invoice_number": "INV 2026/17"},
        {"billing_number": "4000056655665556", "customer_id": "C-1"},
        {"description": "=SUM(A1) is only text here"},
        {"description": "Größe — 椅子 ✓"},
    ],
)
def test_what_makes_sense_is_taken(room: BatchRoom, cells: dict[str, str]) -> None:
    batch = room.checked([room.payment(1, **cells)])
    assert room.errors(batch.id) == {}
    assert batch.status is BatchStatus.READY


@pytest.mark.parametrize(
    ("cells", "column", "says"),
    [
        ({"customer_id": ""}, "customer_id", "empty"),
        ({"customer_id": "NOBODY"}, "customer_id", "no customer with this ID"),
        ({"customer_id": "BLOCKED"}, "customer_id", "blocked"),
        ({"customer_name": "Somebody Else"}, "customer_name", "another one here"),
        ({"email": "else@example.com"}, "email", "another one here"),
        ({"phone": "+44 1"}, "phone", "another one here"),
        ({"billing_number": "BN-1"}, "billing_number", "registered already"),
        ({"card_token": ""}, "card_token", "needs a stored card"),
        ({"card_token": "4242424242424242"}, "card_token", "full card number"),
        ({"type": "MONTHLY"}, "type", "is not one of RECURRING, REMINDER."),
        ({"schedule": "WEEKLY"}, "schedule", "is not one of DAY, DATE, FULL_DATE."),
        ({"days": ""}, "days", "days of the month"),
        ({"days": "29"}, "days", "write days from 1 to 28, or single dates with the schedule FULL_DATE."),
        ({"days": "1; 31"}, "days", "write days from 1 to 28, or single dates with the schedule FULL_DATE."),
        ({"days": "32"}, "days", "from 1 to 28"),
        ({"days": "0"}, "days", "from 1 to 28"),
        ({"days": "first"}, "days", "days of the month"),
        ({"months": ""}, "months", "or ALL"),
        ({"months": "13"}, "months", "from 1 to 12"),
        ({"dates": "2099-01-01"}, "dates", "Leave this empty"),
        ({"schedule": "DAY", "days": "1"}, "days", "days of the week"),
        ({"schedule": "FULL_DATE", "days": "", "months": "", "dates": ""}, "dates", "one date or more"),
        ({"schedule": "FULL_DATE", "days": "", "months": "", "dates": PAST}, "dates", "has passed"),
        ({"start_date": PAST}, "start_date", "has passed: start on"),
        ({"start_date": ""}, "start_date", "empty"),
        ({"end_date": PAST}, "end_date", "before the start date"),
        ({"end_date": "never"}, "end_date", "is not a date"),
    ],
)
def test_a_registrations_mistake_is_named_in_its_cell(
    room: BatchRoom, cells: dict[str, str], column: str, says: str
) -> None:
    room.make.customer(external_id="BLOCKED", status=CustomerStatus.BLOCKED)
    batch = room.checked([room.registration(1, **filled(room, cells)), room.registration(2)], kind=REGISTRATION)
    [(row, wrong)] = room.errors(batch.id).items()
    assert (row, list(wrong)) == (2, [column])
    assert says in wrong[column]
    assert batch.rows_valid == 1


@pytest.mark.parametrize(
    "cells",
    [
        {"customer_name": "customer 1", "email": "C1@EXAMPLE.com", "phone": "+39 3330 01"},
        {"type": "reminder", "card_token": ""},
        {"schedule": "day", "days": "Monday; FRI"},
        {"months": "1,4,7,10"},
        {"end_date": "2099-12-31"},
    ],
)
def test_a_registration_that_makes_sense_is_taken(room: BatchRoom, cells: dict[str, str]) -> None:
    batch = room.checked([room.registration(1, **cells)], kind=REGISTRATION)
    assert room.errors(batch.id) == {}


def test_a_number_that_stands_in_the_file_twice_is_told_with_the_other_row(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1), room.payment(2), room.payment(3, invoice_number="INV-1")])
    assert room.errors(batch.id) == {4: {"invoice_number": "This invoice number stands in row 2 too."}}
    rows = [room.registration(1), room.registration(2, billing_number="NEW-1")]
    batch = room.checked(rows, kind=REGISTRATION)
    assert room.errors(batch.id) == {3: {"billing_number": "This billing number stands in row 2 too."}}


def test_several_mistakes_of_a_row_are_told_in_the_order_of_its_cells(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, execute_date="x", amount="x", card_no="x")])
    assert list(room.errors(batch.id)[2]) == ["amount", "card_no", "execute_date"]


def test_who_paid_under_a_number_before_is_known_and_two_payers_are_not_guessed(room: BatchRoom) -> None:
    one, other = room.make.customer(), room.make.customer()
    for number, customer in (("OLD-1", one), ("OLD-1", one), ("OLD-2", one), ("OLD-2", other)):
        room.make.payment(billing_number=number, customer_id=customer.id)
    one_id = one.id
    batch = room.checked([room.payment(1, billing_number="OLD-1"), room.payment(2, billing_number="OLD-2")])
    assert room.rows(batch.id)[0].customer_id == one_id
    assert "Several customers paid" in room.errors(batch.id)[3]["billing_number"]


def test_a_blocked_customer_is_not_charged_by_the_billing_number_either(room: BatchRoom) -> None:
    blocked = room.make.customer(status=CustomerStatus.BLOCKED)
    room.make.subscription(billing_number="BLOCKED", customer_id=blocked.id)
    batch = room.checked([room.payment(1, billing_number="BLOCKED"), room.payment(2)])
    assert room.errors(batch.id) == {2: {"billing_number": "The customer is blocked."}}


def test_a_workbooks_dates_and_numbers_are_what_they_say(room: BatchRoom) -> None:
    from decimal import Decimal

    rows = [
        room.payment(1, execute_date=room.office.day(3), amount=Decimal("0.1"), invoice_number=1001),
        room.payment(2, execute_date=dt.datetime.combine(room.office.day(3), dt.time(), dt.UTC), amount=7),
    ]
    batch = room.checked(xlsx_file(rows, COLUMNS[BatchKind.SINGLE_PAYMENT]), name="file.xlsx")
    assert room.errors(batch.id) == {}
    first, second = room.rows(batch.id)
    assert (batch.format, first.execute_date, first.amount_minor, first.invoice_number) == (
        Kind.XLSX, room.office.day(3), 10, "1001",
    )  # fmt: skip
    assert (second.execute_date, second.amount_minor) == (room.office.day(3), 7_00)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("invoice_number,amount", {"billing_number", "currency", "execute_date", "card_no"}),
        ("Billing Number,INVOICE-NUMBER,Amount,currency,Card No,execute date,colour", {"colour"}),
        ("billing_number,Billing Number,invoice_number,amount,currency,card_no,execute_date", {"billing_number"}),
        ("customer_id,billing_number,amount,currency,type,schedule,start_date", None),
    ],
)
def test_wrong_columns_are_named_and_the_file_can_still_be_looked_at(
    room: BatchRoom, header: str, says: set[str] | None
) -> None:
    data = f"{header}\n{','.join('x' for _ in header.split(','))}\n".encode()
    batch = room.checked(data)
    assert batch.status is BatchStatus.HAS_ERRORS
    assert batch.problems is not None
    if says is not None:
        assert {problem["column"] for problem in batch.problems} == says
    assert room.statuses(batch.id) == {"WAITING": 1}
    assert room.rows(batch.id)[0].cells[0] == "x"


def test_the_check_asks_the_database_no_more_for_many_rows_than_for_few(room: BatchRoom) -> None:
    def statements(rows: int, start: int) -> int:
        batch_id = room.upload(
            csv_file(
                [room.payment(1 + n % 20, invoice_number=f"I-{start + n}") for n in range(rows)],
                COLUMNS[BatchKind.SINGLE_PAYMENT],
            )
        )
        seen: list[str] = []

        def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        event.listen(db.engine, "before_cursor_execute", see)
        try:
            room.office.work()
        finally:
            event.remove(db.engine, "before_cursor_execute", see)
        assert room.batch(batch_id).status is BatchStatus.READY
        asked = [one for one in seen if "FROM scheduled_charge" not in one]  # workers that look for what is due
        return sum("FROM customer" in one or "FROM payment" in one or "FROM subscription" in one for one in asked)

    assert statements(400, 1_000) == statements(10, 0)
