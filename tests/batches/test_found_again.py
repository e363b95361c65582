"""What batches led to is found again by the name of their file: single payments, and what registrations charged."""

from sqlalchemy import select

from payadmin.db import db
from payadmin.models.batches import BatchKind
from payadmin.models.payments import Payment
from payadmin.permissions import Role
from tests.support.batches import BatchRoom


def test_what_registrations_of_a_batch_charge_is_found_by_its_file_and_its_type(room: BatchRoom) -> None:
    today = room.today.isoformat()
    dated = {"schedule": "FULL_DATE", "days": "", "months": "", "dates": today}
    registered = room.checked(
        [room.registration(1, **dated), room.registration(2, **dated)], kind=BatchKind.REGISTRATION, name="new.csv"
    )
    paid = room.checked([room.payment(3)], name="march.csv")
    for batch in (registered, paid):
        room.process(batch.id)
    room.office.work()
    room.office.plan()
    room.office.settle()
    room.office.due()
    room.office.settle()
    of_batch = dict(db.session.execute(select(Payment.billing_number, Payment.batch_id)).all())
    unrelated = (set(of_batch) - {"NEW-1", "NEW-2", "BN-3"}).pop()
    assert of_batch == {"NEW-1": registered.id, "NEW-2": registered.id, "BN-3": paid.id, unrelated: None}
    client = room.make.browse(Role.PAYMENTS_OPERATOR)
    everything = ("NEW-1", "NEW-2", "BN-3", unrelated)
    for query, found in (
        ("file=new.csv", {"NEW-1", "NEW-2"}),
        ("file=march.csv", {"BN-3"}),
        ("file=new*&batch_type=REGISTRATION", {"NEW-1", "NEW-2"}),
        ("batch_type=SINGLE_PAYMENT", {"BN-3"}),
        ("batch_type=NONE", {unrelated}),
    ):
        page = client.get(f"/all-report/?{query}").text
        assert {number for number in everything if f">{number}<" in page} == found, query
