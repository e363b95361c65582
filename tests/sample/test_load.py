"""The sample in a database: complete, consistent, and never twice."""

from flask import Flask
from sqlalchemy import func, select

from payadmin.audit import Event
from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.payments import Payment, PaymentEvent, PaymentMethod, PaymentStatus, Refund, Unit
from payadmin.models.subscriptions import Subscription
from payadmin.reference import METHODS, load_reference
from payadmin.sample import load
from payadmin.sample.load import load_sample
from payadmin.sample.mapping import sample_payments
from payadmin.sample.source import LAST_ROW, read_story


def count(model: type, *conditions: object) -> int:
    return db.session.scalar(select(func.count()).select_from(model).where(*conditions))


def test_the_sample_is_loaded_once_and_adds_up(app: Flask):
    steps: list[tuple[int, int]] = []
    assert load_sample(db.engine, progress=lambda done, total: steps.append((done, total))) == 19_663
    assert steps[-1] == (19_663, 19_663)
    assert load_sample(db.engine) == 0
    assert count(Payment) == 19_663
    assert count(Refund) == 701
    assert count(AuditEvent, AuditEvent.event == Event.IMPORT_FINISHED) == 1
    assert count(Organization, Organization.kind == OrganizationKind.PARTNER) == 7
    assert count(Customer) == 1_298
    assert count(Subscription) == 62
    refunded = db.session.scalar(select(func.sum(Payment.refunded_minor)))
    assert refunded == db.session.scalar(select(func.sum(Refund.amount_minor)))
    without_history = select(Payment.id).where(
        ~select(PaymentEvent.id).where(PaymentEvent.payment_id == Payment.id).exists()
    )
    assert db.session.scalars(without_history).all() == []
    open_to_void = count(Payment, Payment.status == PaymentStatus.PAID, Payment.settled_at.is_(None))
    assert 100 < open_to_void < 210


def test_a_load_that_was_cut_short_is_finished(app: Flask):
    story = read_story()
    loader = load._Loader(db.engine, story)
    some = list(sample_payments(story, first=LAST_ROW - 300))
    assert loader.load(some[:100], last="not yet") == 100
    again = load._Loader(db.engine, story)
    assert again.load(some, last=some[-1].values["transaction_id"]) == len(some) - 100
    assert again.load(some, last=some[-1].values["transaction_id"]) == 0
    assert count(Payment) == len(some)


def test_reference_rows_are_added_where_missing(app: Flask):
    load_reference(db.engine)
    before = count(Unit)
    assert before > 150
    assert count(PaymentMethod) == len(METHODS)
    load_reference(db.engine)
    assert count(Unit) == before
    assert dict(db.session.execute(select(Unit.code, Unit.scale).where(Unit.code.in_(["JPY", "KWD"]))).all()) == {
        "JPY": 0,
        "KWD": 3,
    }
