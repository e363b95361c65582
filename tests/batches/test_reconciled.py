"""The provider's books beside a batch's: numbers that people type are no references."""

import datetime as dt

from payadmin.actions.subscriptions.reconciliation import Difference
from payadmin.db import utcnow
from payadmin.jobs.subscriptions import reconcile_provider
from payadmin.models.subscriptions import ChargeStatus
from payadmin.providers import provider_for
from tests.support.batches import BatchRoom


def test_a_capture_under_the_invoice_number_of_a_row_is_not_taken_for_its_charge(room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, invoice_number="WEB-77")])
    room.process(batch.id)
    room.office.settle()
    [charge] = room.charges(batch.id)
    assert charge.status is ChargeStatus.SUCCEEDED
    provider = provider_for("simulator", simulator_url=room.office.simulator.url, timeout_seconds=5)
    provider.charge(key="web", reference="WEB-77", amount_minor=12_50, unit="EUR", token="tok_visa", metadata={})
    now, hour = utcnow(), dt.timedelta(hours=1)
    findings = reconcile_provider(room.settings, "simulator", start=now - hour, end=now + hour)
    assert findings is not None
    assert [(finding.reference, finding.kind) for finding in findings] == [("WEB-77", Difference.UNKNOWN_TO_US)]
    [charge] = room.charges(batch.id)
    assert not charge.needs_staff, "it is not the charge that nobody knows"
