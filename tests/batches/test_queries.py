"""What pages ask about batches: outcomes by status, invalid billing numbers, the rows with errors as a file."""

from payadmin.db import db
from payadmin.models.batches import BatchKind
from payadmin.models.subscriptions import ChargeStatus
from payadmin.queries.batches import charge_counts, error_table, invalid_billing_numbers
from tests.support.batches import PAYMENT_COLUMNS, BatchRoom


def test_outcomes_are_counted_by_batch_and_status(room: BatchRoom) -> None:
    later = room.office.day(9).isoformat()
    first = room.checked(
        [room.payment(1), room.payment(2, card_no="4000000000000002"), room.payment(3, execute_date=later)]
    )
    second = room.checked([room.payment(4)])
    third = room.checked([room.payment(5, amount="x")])
    room.process(first.id)
    room.process(second.id)
    room.office.settle()
    assert charge_counts(db.session(), [first.id, second.id, third.id]) == {
        first.id: {ChargeStatus.SUCCEEDED: 1, ChargeStatus.FAILED: 1, ChargeStatus.SCHEDULED: 1},
        second.id: {ChargeStatus.SUCCEEDED: 1},
    }


def test_invalid_data_are_the_billing_numbers_as_they_were_written(room: BatchRoom) -> None:
    rows = [room.registration(1), room.registration(2, amount="x"), room.registration(3, billing_number="BN-1")]
    batch = room.checked(rows, kind=BatchKind.REGISTRATION)
    assert invalid_billing_numbers(db.session(), batch) == [(3, "NEW-2"), (4, "BN-1")]
    assert invalid_billing_numbers(db.session(), batch, limit=1) == [(3, "NEW-2")]
    wrong = room.checked(b"a,b\n1,2\n", kind=BatchKind.REGISTRATION)
    assert invalid_billing_numbers(db.session(), wrong) == []


def test_the_rows_with_errors_are_a_table_to_correct(room: BatchRoom) -> None:
    many = [room.payment(1, invoice_number=f"I-{n}", amount="x") for n in range(1_500)]
    batch = room.checked([room.payment(1), *many])
    head, rows = error_table(db.session(), batch)
    found = list(rows)
    assert head == ["row", "errors", *PAYMENT_COLUMNS]
    assert len(found) == 1_500
    assert found[0][:2] == [3, 'amount: "x" is not an amount. Write digits with up to 2 decimals, such as 1,234.50.']
    assert found[0][head.index("card_no")] == "•••4242"
