"""Reconciliation names every difference between the provider's books and ours, and nothing else."""

import datetime as dt

from sqlalchemy import update

from payadmin.actions.subscriptions.reconciliation import Difference, days_to_reconcile
from payadmin.db import db, utcnow
from payadmin.jobs.subscriptions import reconcile_provider
from payadmin.models.subscriptions import ChargeAttempt, ChargeStatus, ProviderBreaker, ScheduledCharge
from payadmin.providers import provider_for
from payadmin.work import SYSTEM
from tests.support.billing import Office
from tests.support.desk import trail


def test_every_planted_difference_is_named_and_no_other(office: Office) -> None:
    good = [office.due() for _ in range(6)]
    twice, unknown_outcome, missing, other_amount = (office.due() for _ in range(4))
    office.simulator.script(twice.invoice_number, ["double"])
    office.work()
    refs = [charge.invoice_number for charge in (twice, unknown_outcome, other_amount)]
    settings = office.app.extensions["payadmin.settings"]
    provider = provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=5)
    provider.charge(key="stray", reference="stray-1", amount_minor=5_00, unit="EUR", token="tok_visa", metadata={})
    for charge, change in (
        (unknown_outcome, {"status": ChargeStatus.FAILED}),
        (other_amount, {"amount_minor": 9_99}),
    ):
        plant(charge, **change)
    plant(missing, invoice_number="never-charged")
    with db.engine.begin() as connection:
        attempts = update(ChargeAttempt).where(ChargeAttempt.scheduled_charge_id == missing.id)
        connection.execute(attempts.values(reference="never-charged"))
    now = utcnow()
    findings = reconcile_provider(
        settings, "simulator", start=now - dt.timedelta(hours=1), end=now + dt.timedelta(hours=1)
    )
    assert findings is not None
    # The payment of the one that is missing keeps its reference, so the provider's side of it is known to us.
    assert {(finding.reference, finding.kind) for finding in findings} == {
        (refs[0], Difference.TWICE),
        ("stray-1", Difference.UNKNOWN_TO_US),
        (refs[1], Difference.NOT_SHOWN_PAID),
        (refs[2], Difference.OTHER_AMOUNT),
        ("never-charged", Difference.MISSING),
    }
    assert {office.charge(charge.id).needs_staff for charge in good} == {False}
    assert office.charge(twice.id).needs_staff
    assert len(trail(event="subscriptions.charge.differs")) == 5


def plant(charge: ScheduledCharge, **values: object) -> None:
    """What only a bug or a hand in the database could do."""
    charge_id = charge.id
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(ScheduledCharge).where(ScheduledCharge.id == charge_id).values(**values))


def test_a_day_is_compared_once_whatever_was_down_at_midnight_and_however_many_schedulers_run(office: Office) -> None:
    settings = office.app.extensions["payadmin.settings"]
    provider = provider_for("simulator", simulator_url=office.simulator.url, timeout_seconds=5)
    now = utcnow().astimezone(office.zone)
    asked = {"provider": "simulator", "yesterday": office.day(-1)}
    assert days_to_reconcile(SYSTEM, **asked) == [], "a new provider has no past here"
    with db.engine.begin() as connection:
        connection.execute(update(ProviderBreaker).values(reconciled_on=office.day(-3)))
    days = days_to_reconcile(SYSTEM, **asked)
    assert days == [office.day(-2), office.day(-1)]
    provider.charge(key="stray", reference="stray-1", amount_minor=5_00, unit="EUR", token="tok_visa", metadata={})
    today = {"start": now - dt.timedelta(hours=1), "end": now + dt.timedelta(hours=1)}
    for day in (*days, office.day(-1)):
        reconcile_provider(settings, "simulator", day=day, **today)
    assert len(trail(event="subscriptions.charges.reconciled")) == 2, "the second scheduler finds it done"
    assert days_to_reconcile(SYSTEM, **asked) == []
