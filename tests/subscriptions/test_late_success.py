"""A success after “declare unpaid”, or with another amount, is booked by staff on the word of the provider alone."""

import datetime as dt

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin.actions.subscriptions import book_as_paid, declare_unpaid, reconciliation
from payadmin.actions.subscriptions.attempts import enqueue_due
from payadmin.actions.subscriptions.charging import ChargeClaim, Report, book_charges, claim_charges
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.payments import PaymentEvent
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge
from payadmin.permissions import Role
from payadmin.providers import Answer, Outcome, provider_for
from payadmin.work import SYSTEM
from tests.support.billing import Office, pass_time
from tests.support.desk import trail
from tests.support.make import Make

C = ChargeStatus
LEASE = dt.timedelta(seconds=4)
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def provider(office: Office):  # type: ignore[no-untyped-def]
    return provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=5)


def take(office: Office, claim: ChargeClaim, *, amount_minor: int = 10_00, unit: str = "EUR") -> Answer:
    """The provider takes the money."""
    answer: Answer = provider(office).charge(
        key=claim.provider_key, reference=claim.reference, amount_minor=amount_minor, unit=unit, token="tok_visa",
        metadata={},
    )  # fmt: skip
    return answer


def claimed(office: Office) -> tuple[ScheduledCharge, ChargeClaim]:
    charge = office.due()
    enqueue_due(SYSTEM, zone=office.zone)
    [claim] = claim_charges(SYSTEM, limit=5, lease=LEASE, key_windows={"simulator": DAY})
    return charge, claim


def declared_unpaid(office: Office) -> tuple[ScheduledCharge, ChargeClaim]:
    """A charge that staff called unpaid after nobody had answered for long."""
    charge, claim = claimed(office)
    pass_time(hours=30)
    office.work()
    assert office.charge(charge.id).needs_staff
    declare_unpaid(SYSTEM, charge.id, reason="Their support says so.")
    return charge, claim


def arrives(claim: ChargeClaim, answer: Answer) -> None:
    book_charges(SYSTEM, reports=[Report(claim, answer)], key_window=DAY, quiet=dt.timedelta())


def book(client: FlaskClient, charge_id: int, reason: str = "The customer sees it"):  # type: ignore[no-untyped-def]
    return client.post(f"/scheduled-charges/{charge_id}/decide/book-as-paid/", data={"reason": reason})


def test_a_success_after_declare_unpaid_is_booked_once(office: Office, operator: FlaskClient) -> None:
    charge, claim = declared_unpaid(office)
    arrives(claim, take(office, claim))
    assert (office.status(charge.id), office.charge(charge.id).needs_staff) == (C.FAILED, True)
    assert "Book as paid" in operator.get(f"/scheduled-charges/{charge.id}/").text
    confirmation = operator.get(f"/scheduled-charges/{charge.id}/decide/book-as-paid/").text
    assert "If it does not confirm, nothing is booked." in confirmation
    assert book(operator, charge.id, " ").status_code == 422
    assert office.payments() == []

    assert book(operator, charge.id).status_code == 303

    db.session.rollback()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff, row.message) == (C.SUCCEEDED, False, "Booked by staff: The customer sees it")
    [payment] = office.payments()
    assert (payment.id, payment.captured_minor) == (row.payment_id, 10_00)
    assert office.attempts(charge.id) == ["SUCCEEDED"]
    assert db.session.scalars(select(PaymentEvent.event)).all() == ["Payment executed"]
    [entry] = trail(event="subscriptions.charge.booked_by_staff")
    assert (entry.reason, entry.keys["provider_id"]) == ("The customer sees it", payment.provider_payment_id)
    again = book(operator, charge.id)
    assert again.status_code == 409
    assert len(office.payments()) == 1
    assert "decide/book-as-paid" not in operator.get(f"/scheduled-charges/{charge.id}/").text
    assert office.simulator.captured(charge.invoice_number) == [10_00]


def test_another_amount_is_booked_as_the_provider_reports_it_and_agrees_ever_after(
    office: Office, operator: FlaskClient
) -> None:
    charge, claim = claimed(office)
    arrives(claim, take(office, claim, amount_minor=9_99))
    assert office.attempts(charge.id) == ["MANUAL"]
    assert book(operator, charge.id).status_code == 303
    db.session.rollback()
    [payment] = office.payments()
    assert (payment.amount_minor, payment.captured_minor, payment.unit) == (9_99, 9_99, "EUR")
    assert (office.status(charge.id), office.charge(charge.id).amount_minor) == (C.SUCCEEDED, 9_99)
    [entry] = trail(event="subscriptions.charge.booked_by_staff")
    assert (entry.before["amount_minor"], entry.after["amount_minor"]) == (10_00, 9_99)
    start, end = utcnow() - DAY, utcnow() + DAY
    listed = provider(office).list_charges(start, end)
    found = reconciliation.reconcile(SYSTEM, provider="simulator", start=start, end=end, listed=listed)
    assert [one for one in found if one.reference == charge.invoice_number] == []


def test_without_the_providers_word_nothing_is_booked(office: Office, operator: FlaskClient) -> None:
    charge, claim = declared_unpaid(office)
    arrives(claim, Answer(Outcome.SUCCEEDED, provider_id="ch_late", amount_minor=10_00, unit="EUR"))
    refused = book(operator, charge.id)
    assert refused.status_code == 409
    assert "The provider does not confirm that this date was charged" in refused.text
    take(office, claim)
    office.simulator.config(lookup_fail=1.0)
    assert "does not confirm" in book(operator, charge.id).text, "silence is no confirmation"
    assert (office.status(charge.id), office.payments()) == (C.FAILED, [])


def test_what_is_booked_already_unknown_or_stale_is_refused(office: Office, make: Make) -> None:
    charge, claim = declared_unpaid(office)
    answer = take(office, claim)
    arrives(claim, answer)
    version = office.charge(charge.id).version
    for sentence, values in (
        ("moved on", {"version": version - 1, "answer": answer}),
        ("does not confirm", {"version": version, "answer": Answer(Outcome.PENDING, "ch_1", 10_00, unit="EUR")}),
        ("does not know", {"version": version, "answer": Answer(Outcome.SUCCEEDED, "ch_1", 10_00, unit="XXX")}),
    ):
        with pytest.raises(Conflict, match=sentence):
            book_as_paid(SYSTEM, charge.id, reason="Why", **values)
    with pytest.raises(Invalid):
        book_as_paid(SYSTEM, charge.id, version=version, answer=answer, reason=" ")
    make.payment(provider_payment_id=answer.provider_id)
    with pytest.raises(Conflict, match="booked already"):
        book_as_paid(SYSTEM, charge.id, version=version, answer=answer, reason="Why")
    assert office.status(charge.id) is C.FAILED


def test_a_declined_charge_that_waits_for_nobody_cannot_be_booked(office: Office) -> None:
    charge = office.due()
    office.simulator.script(charge.invoice_number, ["decline"])
    office.work()
    row = office.charge(charge.id)
    answer = Answer(Outcome.SUCCEEDED, "ch_1", 10_00, unit="EUR")
    with pytest.raises(Conflict, match="No success of the provider waits"):
        book_as_paid(SYSTEM, row.id, version=row.version, answer=answer, reason="Why")
