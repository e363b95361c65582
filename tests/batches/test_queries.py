"""What pages ask about batches: outcomes by status, invalid billing numbers, the rows with errors as a file."""

import pytest
from sqlalchemy import update

from payadmin.db import db
from payadmin.models.batches import BatchKind
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge
from payadmin.queries import batches
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
    db.session.rollback()
    counts = [charge_counts(db.session(), room.batch(batch.id)) for batch in (first, second, third)]
    assert counts == [
        {ChargeStatus.SCHEDULED: 1, ChargeStatus.SUCCEEDED: 1, ChargeStatus.FAILED: 1},
        {ChargeStatus.SUCCEEDED: 1},
        {},
    ]


def test_outcomes_of_a_large_batch_are_counted_without_counting_all(room: BatchRoom) -> None:
    later = room.office.day(9).isoformat()
    batch_id = room.checked([room.payment(n, execute_date=later) for n in range(1, 11)]).id
    room.process(batch_id)
    room.office.work()
    batch = room.batch(batch_id)
    assert charge_counts(db.session(), batch, most=3) == {ChargeStatus.SCHEDULED: 10}
    first_two = [charge.id for charge in room.charges(batch_id)[:2]]
    db.session.rollback()
    with db.engine.begin() as connection:
        cancelled = update(ScheduledCharge).where(ScheduledCharge.id.in_(first_two))
        connection.execute(cancelled.values(status=ChargeStatus.CANCELLED))
    batch = room.batch(batch_id)
    assert charge_counts(db.session(), batch, most=3) == {ChargeStatus.SCHEDULED: 8, ChargeStatus.CANCELLED: 2}
    assert charge_counts(db.session(), batch, most=1) == {ChargeStatus.SCHEDULED: None, ChargeStatus.CANCELLED: None}


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


def test_the_rows_with_errors_stay_complete_when_the_batch_is_confirmed_meanwhile(
    room: BatchRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 3)
    wrong = [room.registration(n, amount="x") for n in range(1, 8)]
    batch = room.checked([*wrong, room.registration(8)], kind=BatchKind.REGISTRATION)
    batch_id = batch.id
    _, rows = error_table(db.session(), batch)
    first = next(rows)
    room.process(batch_id)
    assert [first[0], *(row[0] for row in rows)] == [2, 3, 4, 5, 6, 7, 8]
    assert invalid_billing_numbers(db.session(), room.batch(batch_id), limit=2) == [(2, "NEW-1"), (3, "NEW-2")]
