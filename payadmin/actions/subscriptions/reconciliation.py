"""Reconciliation: the provider's captures beside ours, both ways, so that every difference has a name (P12)."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, or_, select, update

from payadmin.actions.subscriptions.breaker import know_provider
from payadmin.audit import Event
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import AttemptState, ChargeAttempt, ChargeStatus, ProviderBreaker, ScheduledCharge
from payadmin.permissions import Permission
from payadmin.providers import Listed
from payadmin.work import Work, use_case

LOOK_UP_AT_ONCE = 500
DAYS_AT_MOST = 7

# Only a subscription's charge is known to the provider by its invoice number. In a file people type that number, and it
# may be the reference of something else: what a batch ordered is found by its attempts.
_NUMBERED_BY_US = ScheduledCharge.batch_row_id.is_(None)


class Difference(StrEnum):
    TWICE = "Charged more than once"
    UNKNOWN_TO_US = "Charged by the provider, unknown to us"
    NOT_SHOWN_PAID = "Charged by the provider, not shown as paid"
    OTHER_AMOUNT = "Charged with another amount"
    MISSING = "Shown as paid, not charged by the provider"


@dataclass(frozen=True)
class Finding:
    """One difference, by the reference that both sides know it by."""

    reference: str
    kind: Difference
    detail: str


@use_case(Permission.SYSTEM_JOB_RUN)
def reconcile(
    work: Work,
    *,
    provider: str,
    start: dt.datetime,
    end: dt.datetime,
    listed: Iterable[Listed],
    day: dt.date | None = None,
) -> list[Finding]:
    """Compare what the provider captured from `start` to before `end` with ours; staff are called to each difference.

    Comparing again finds the same differences again and moves no money and no status.

    Args:
        listed: what the provider lists for that time and a day to both sides, so that the edges meet.
        day: the business day that this settles; if another scheduler has settled it meanwhile, nothing is compared.
    """
    if day is not None and not _settles(work, provider, day):
        return []
    theirs = defaultdict[str, list[Listed]](list)
    for item in listed:
        theirs[item.reference].append(item)
    inside = {reference for reference, items in theirs.items() if any(start <= item.at < end for item in items)}
    findings = _from_theirs(work, {reference: theirs[reference] for reference in sorted(inside)})
    booked = (
        select(ChargeAttempt.reference)
        .where(
            ChargeAttempt.provider == provider,
            ChargeAttempt.state == AttemptState.SUCCEEDED,
            ChargeAttempt.done_at >= start,
            ChargeAttempt.done_at < end,
        )
        .order_by(ChargeAttempt.reference)
    )
    references = work.session.scalars(booked).all()
    findings += [
        Finding(reference, Difference.MISSING, "ask the provider")
        for reference in references
        if reference not in theirs
    ]
    for finding in findings:
        _call_staff(work, finding)
    work.record(
        Event.CHARGES_RECONCILED, provider=provider, start=start, end=end, listed=len(inside), booked=len(references),
        differences=len(findings),
    )  # fmt: skip
    return findings


@use_case(Permission.SYSTEM_JOB_RUN)
def days_to_reconcile(work: Work, *, provider: str, yesterday: dt.date) -> list[dt.date]:
    """The business days up to `yesterday` that were never compared with a provider, oldest first, a week at most.

    A provider that is new here has nothing to compare yet: its first day is the one that is running.
    """
    know_provider(work, provider)
    row = work.session.get_one(ProviderBreaker, provider, populate_existing=True)
    if row.reconciled_on is None:
        row.reconciled_on = yesterday
    missing = min((yesterday - row.reconciled_on).days, DAYS_AT_MOST)
    return [yesterday - dt.timedelta(days=ago) for ago in range(missing - 1, -1, -1)]


def _settles(work: Work, provider: str, day: dt.date) -> bool:
    """Mark a day as compared; False when it was."""
    marked = (
        update(ProviderBreaker)
        .where(ProviderBreaker.provider == provider, ProviderBreaker.reconciled_on < day)
        .values(reconciled_on=day)
    )
    return bool(work.session.execute(marked.execution_options(synchronize_session=False)).rowcount)  # type: ignore[attr-defined]


def _from_theirs(work: Work, theirs: dict[str, list[Listed]]) -> list[Finding]:
    found: list[Finding] = []
    references = list(theirs)
    for first in range(0, len(references), LOOK_UP_AT_ONCE):
        some = references[first : first + LOOK_UP_AT_ONCE]
        ours = _shown(work, some)
        differences = (_difference(reference, theirs[reference], ours.get(reference)) for reference in some)
        found += [difference for difference in differences if difference]
    return found


def _shown(work: Work, references: Sequence[str]) -> dict[str, tuple[int, str, bool]]:
    """What we show under these references: amount, unit, and whether it is paid; other rooms' payments too."""
    payments = select(Payment.transaction_id, Payment.amount_minor, Payment.unit, Payment.captured_minor)
    shown: dict[str, tuple[int, str, bool]] = {
        row.transaction_id: (row.amount_minor, row.unit, row.captured_minor > 0)
        for row in work.session.execute(payments.where(Payment.transaction_id.in_(references)))
    }
    facts = (ScheduledCharge.amount_minor, ScheduledCharge.unit, ScheduledCharge.status)
    numbered = select(ScheduledCharge.invoice_number, *facts).where(
        ScheduledCharge.invoice_number.in_(references), _NUMBERED_BY_US
    )
    tried = (
        select(ChargeAttempt.reference, *facts)
        .join(ScheduledCharge, ScheduledCharge.id == ChargeAttempt.scheduled_charge_id)
        .where(ChargeAttempt.reference.in_(references))
    )
    for statement in (numbered, tried):
        for reference, amount_minor, unit, status in work.session.execute(statement):
            shown[reference] = (amount_minor, unit, status is ChargeStatus.SUCCEEDED)
    return shown


def _difference(reference: str, items: list[Listed], ours: tuple[int, str, bool] | None) -> Finding | None:
    ids = ", ".join(item.provider_id for item in items)
    if ours is None:
        return Finding(reference, Difference.UNKNOWN_TO_US, ids)
    if len(items) > 1:
        return Finding(reference, Difference.TWICE, ids)
    amount_minor, unit, is_paid = ours
    if (items[0].amount_minor, items[0].unit) != (amount_minor, unit):
        detail = f"{ids}: {items[0].amount_minor} {items[0].unit}, here {amount_minor} {unit} (minor units)"
        return Finding(reference, Difference.OTHER_AMOUNT, detail)
    return None if is_paid else Finding(reference, Difference.NOT_SHOWN_PAID, ids)


def _call_staff(work: Work, finding: Finding) -> None:
    sentence = f"{finding.kind.value}: {finding.detail}."[:300]
    attempts = select(ChargeAttempt.scheduled_charge_id).where(ChargeAttempt.reference == finding.reference)
    numbered = and_(ScheduledCharge.invoice_number == finding.reference, _NUMBERED_BY_US)
    known = or_(numbered, ScheduledCharge.id.in_(attempts))
    charge: Any = work.one(select(ScheduledCharge).where(known))
    if charge is not None:
        work.change(ScheduledCharge, charge.id, needs_staff=True, message=sentence)
    work.record(Event.CHARGE_DIFFERS, charge, reason=sentence, outcome="failed", reference=finding.reference)
