"""The audit guard: nothing that matters changes without a sentence, and no sentence is ever changed."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from payadmin import audit
from payadmin.audit import Event, Unexplained
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage
from payadmin.models.parties import Customer
from payadmin.models.payments import Payment, PaymentMethod, PaymentStatus, Unit
from payadmin.permissions import Permission
from payadmin.work import SYSTEM, Actor, Work, use_case
from tests.support.desk import trail
from tests.support.make import Make

PAN = "4111111111111111"


def act(function: Any, actor: Actor = SYSTEM, **options: Any) -> Any:
    """Run a function as a use case."""
    return use_case(Permission.SYSTEM_JOB_RUN, **options)(function)(actor)


# ---- changes without a sentence --------------------------------------------------------------------------------------


def _change_by_attribute(work: Work, payment_id: int) -> None:
    work.get(Payment, payment_id).description = "changed"


def _change_by_statement(work: Work, payment_id: int) -> None:
    assert work.change(Payment, payment_id, description="changed")


def _delete(work: Work, payment_id: int) -> None:
    work.session.delete(work.get(Payment, payment_id))


def _add(work: Work, payment_id: int) -> None:
    work.add(PaymentMethod(code="new", name="New"))


def _explain_another_row(work: Work, payment_id: int) -> None:
    work.change(Payment, payment_id, description="changed")
    work.record(Event.RECORD_UPDATED, work.get(Payment, payment_id + 1))


def _explain_in_a_savepoint_that_is_rolled_back(work: Work, payment_id: int) -> None:
    work.change(Payment, payment_id, description="changed")
    with work.session.begin_nested() as savepoint:
        work.record(Event.RECORD_UPDATED, work.get(Payment, payment_id))
        work.session.flush()
        savepoint.rollback()


def _change_beside_a_savepoint_that_is_rolled_back(work: Work, payment_id: int) -> None:
    work.change(Payment, payment_id, description="changed")
    with work.session.begin_nested() as savepoint:
        savepoint.rollback()


def _change_in_a_savepoint(work: Work, payment_id: int) -> None:
    with work.session.begin_nested():
        work.change(Payment, payment_id, description="changed")


@pytest.mark.parametrize(
    "silent",
    [
        _change_by_attribute,
        _change_by_statement,
        _delete,
        _add,
        _explain_another_row,
        _explain_in_a_savepoint_that_is_rolled_back,
        _change_beside_a_savepoint_that_is_rolled_back,
        _change_in_a_savepoint,
    ],
)
def test_an_unexplained_change_is_not_committed(silent: Any, make: Make) -> None:
    payment_id = make.payment().id
    make.payment()
    with pytest.raises(Unexplained, match="without an audit event"):
        act(lambda work: silent(work, payment_id))
    assert db.session.get_one(Payment, payment_id).description is None
    assert db.session.query(PaymentMethod).count() == 1
    assert trail() == []


def test_a_commit_outside_any_use_case_is_guarded_too(make: Make) -> None:
    payment = make.payment()
    payment.description = "changed"
    with pytest.raises(Unexplained):
        db.session.commit()
    db.session.rollback()
    assert payment.description is None


def test_one_sentence_explains_its_row_and_those_it_names(make: Make) -> None:
    first, second = make.payment().id, make.payment().id

    def both(work: Work) -> None:
        for payment_id in (first, second):
            work.change(Payment, payment_id, description="changed")
        work.record(Event.RECORD_UPDATED, work.get(Payment, first), also=(work.get(Payment, second),))

    act(both)
    assert [row.description for row in db.session.query(Payment)] == ["changed", "changed"]


def test_a_savepoint_that_holds_change_and_sentence_is_explained(make: Make) -> None:
    payment_id = make.payment().id

    def explained(work: Work) -> None:
        with work.session.begin_nested():
            work.change(Payment, payment_id, description="changed")
            work.record(Event.RECORD_UPDATED, work.get(Payment, payment_id))

    act(explained)
    assert len(trail()) == 1


def test_what_one_transaction_explained_explains_nothing_in_the_next(make: Make) -> None:
    payment_id = make.payment().id

    def explained(work: Work) -> None:
        work.change(Payment, payment_id, description="first")
        work.record(Event.RECORD_UPDATED, work.get(Payment, payment_id))

    act(explained)
    with pytest.raises(Unexplained):
        act(lambda work: _change_by_statement(work, payment_id))


@pytest.mark.parametrize(
    "statement",
    [
        update(Payment).values(description="all"),
        delete(Payment),
        insert(Unit).values(code="XXX", name="x", scale=0),
        update(Payment.__table__).values(description="all"),
        delete(Payment.__table__),
        update(AuditEvent).values(reason="other"),
        delete(AuditEvent.__table__),
    ],
    ids=["update", "delete", "insert", "update of the table", "delete of the table", "trail", "trail's table"],
)
def test_a_bulk_statement_on_watched_rows_is_refused(statement: Any, make: Make) -> None:
    make.payment()
    with pytest.raises(Unexplained, match="a bulk statement"):
        act(lambda work: work.session.execute(statement))


def test_other_tables_take_bulk_statements(app: Flask) -> None:
    act(lambda work: work.session.execute(delete(OutboxMessage)) and None)


# ---- Work.change -------------------------------------------------------------------------------------------------


def test_a_change_whose_conditions_no_longer_hold_touches_nothing_and_needs_no_sentence(make: Make) -> None:
    payment_id = make.payment().id

    def late(work: Work) -> bool:
        return work.change(Payment, payment_id, when=(Payment.refunded_minor > 0,), description="changed")

    assert act(late) is False
    assert db.session.get_one(Payment, payment_id).version == 1


def test_a_status_changes_only_along_its_machine_whatever_the_conditions_say(make: Make) -> None:
    payment_id = make.payment(status=PaymentStatus.FAILED).id
    assert act(lambda work: work.change(Payment, payment_id, status=PaymentStatus.PAID)) is False
    assert db.session.get_one(Payment, payment_id).status is PaymentStatus.FAILED


def test_a_change_is_seen_at_once_and_counts_the_version(make: Make) -> None:
    payment_id = make.payment().id

    def twice(work: Work) -> tuple[str | None, int]:
        payment = work.get(Payment, payment_id)
        payment.approval_code = "unflushed"
        work.change(Payment, payment_id, description="changed")
        work.record(Event.RECORD_UPDATED, payment)
        return payment.description, payment.version

    assert act(twice) == ("changed", 3)
    assert db.session.get_one(Payment, payment_id).approval_code == "unflushed"


def test_a_row_that_moved_on_meanwhile_is_a_conflict(make: Make) -> None:
    payment_id = make.payment().id

    def stale(work: Work) -> None:
        payment = work.get(Payment, payment_id)
        work.session.connection().execute(text("UPDATE payment SET version = version + 1"))
        payment.description = "mine"
        work.record(Event.RECORD_UPDATED, payment)

    with pytest.raises(Conflict, match="Somebody else changed"):
        act(stale)
    assert db.session.get_one(Payment, payment_id).description is None


# ---- all or nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Conflict("No."), ZeroDivisionError(), KeyboardInterrupt()])
def test_work_that_ends_badly_is_rolled_back_entirely(error: BaseException, make: Make) -> None:
    payment_id = make.payment().id

    def half(work: Work) -> None:
        work.change(Payment, payment_id, description="changed")
        work.record(Event.RECORD_UPDATED, work.get(Payment, payment_id))
        work.promise("settle_order", kind="refund", order_id=1)
        raise error

    with pytest.raises(type(error)):
        act(half)
    assert db.session.get_one(Payment, payment_id).description is None
    assert db.session.query(OutboxMessage).count() == 0
    assert [entry.outcome for entry in trail()] == (["refused"] if isinstance(error, Conflict) else [])


def test_a_sentence_that_cannot_be_written_undoes_the_act(make: Make) -> None:
    payment_id = make.payment().id

    def act_of_nobody(work: Work) -> None:
        work.change(Payment, payment_id, description="changed")
        work.record(Event.RECORD_UPDATED, work.get(Payment, payment_id)).event = None  # type: ignore[assignment]

    with pytest.raises(IntegrityError):
        act(act_of_nobody)
    assert db.session.get_one(Payment, payment_id).description is None


def test_use_cases_do_not_nest(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="do not nest"):
        act(lambda _work: act(lambda _inner: None))
    assert act(lambda _work: 7) == 7


def test_a_refused_act_is_recorded_with_who_what_and_why(make: Make) -> None:
    staff = Actor(
        staff_id=7, name="mallory", roles=make.actor().roles, permissions=frozenset(), ip="10.0.0.7", request_id="r-1"
    )

    def touch(work: Work, payment_id: int) -> None:
        raise AssertionError

    with pytest.raises(Forbidden):
        use_case(Permission.SYSTEM_JOB_RUN, about=Payment)(touch)(staff, 17)
    [entry] = trail()
    assert (entry.outcome, entry.reason, entry.keys) == (
        "refused",
        "Your role does not allow this.",
        {"refusal": "forbidden"},
    )
    assert (entry.actor_id, entry.actor_name, entry.ip, entry.request_id) == (7, "mallory", "10.0.0.7", "r-1")
    assert entry.event.endswith(".touch")
    assert (entry.entity, entry.entity_id) == ("payment", "17")


def test_the_actor_of_a_sentence_is_the_one_who_acts(make: Make) -> None:
    actor = Actor(staff_id=3, name="ada", permissions=frozenset(Permission), ip="::1", request_id="abc")
    act(lambda work: work.record(Event.INVOICES_DOWNLOADED, rows=3) and None, actor)
    [entry] = trail()
    assert (entry.actor_id, entry.actor_name, entry.ip, entry.request_id, entry.keys) == (
        3,
        "ada",
        "::1",
        "abc",
        {"rows": 3},
    )


# ---- what is never written ----------------------------------------------------------------------------------------


def test_before_and_after_hold_no_secret_and_no_personal_data(make: Make) -> None:
    customer, payment = make.customer().id, make.payment(card_token="tok_1", card_fingerprint="f" * 64).id

    def change(work: Work) -> None:
        person = work.get(Customer, customer)
        person.email, person.phone, person.name = "new.person@example.org", "+39 333 999 8888", "Zoe Newname"
        before, after = audit.differences(person)
        work.record(Event.RECORD_UPDATED, person, before=before, after=after)
        card = work.get(Payment, payment)
        card.card_token, card.card_fingerprint = "tok_2", "e" * 64
        card.description, card.card_holder_name = f"paid with {PAN}", "Zoe Newname"
        before, after = audit.differences(card)
        work.record(Event.RECORD_UPDATED, card, before=before, after=after, reason=f"card {PAN}")

    act(change)
    written = " ".join(f"{entry.before} {entry.after} {entry.reason} {entry.keys}" for entry in trail())
    for hidden in ("new.person", "999 8888", "Zoe Newname", "tok_1", "tok_2", "eeee", "ffff", PAN, "customer1@"):
        assert hidden not in written
    assert "'card_token': 'changed'" in written
    assert "'email': " in written


def test_a_card_number_is_masked_wherever_it_is_typed_but_identifiers_stay_findable(make: Make) -> None:
    payment = make.payment().id

    def note(work: Work) -> None:
        row = work.get(Payment, payment)
        work.record(
            Event.RECORD_UPDATED,
            row,
            before={"description": f"was {PAN}"},
            after={"anything": f"is {PAN}"},
            reason=f"said {PAN}",
            searched=f"card {PAN}",
            invoice_number=PAN,
        )

    act(note)
    [entry] = trail()
    assert PAN not in f"{entry.before} {entry.after} {entry.reason}"
    assert entry.keys is not None
    assert (PAN in entry.keys["searched"], entry.keys["invoice_number"]) == (False, PAN)


# ---- the trail is append-only ----------------------------------------------------------------------------------------


@pytest.fixture
def written(app: Flask) -> int:
    act(lambda work: work.record(Event.INVOICES_DOWNLOADED, rows=1) and None)
    [entry] = trail()
    return int(entry.id)


def test_the_application_cannot_change_a_sentence(written: int) -> None:
    entry = db.session.get_one(AuditEvent, written)
    entry.reason = "nicer"
    with pytest.raises(Unexplained, match="append-only"):
        db.session.commit()
    db.session.rollback()
    db.session.delete(db.session.get_one(AuditEvent, written))
    with pytest.raises(Unexplained, match="append-only"):
        db.session.commit()
    db.session.rollback()
    assert len(trail()) == 1


def test_the_database_refuses_too_whoever_asks(written: int, dialect: str) -> None:
    own = {
        "sqlite": "INSERT OR REPLACE INTO audit_event SELECT * FROM audit_event",
        "postgresql": "TRUNCATE audit_event",
    }
    for statement in ("UPDATE audit_event SET reason = 'nicer'", "DELETE FROM audit_event", own[dialect]):
        with pytest.raises(DBAPIError, match="append-only"), db.engine.begin() as connection:
            connection.execute(text(statement))
        [entry] = trail()
        assert (entry.id, entry.reason) == (written, None)
        db.session.rollback()  # TRUNCATE would wait for this reader
