"""The sample's subscriptions into a database: many at a time, never twice, each with its word in the trail.

The rows are those that `register_subscription` and the workers would have written; a test compares them. Only their
days lie in the past, which no use case would accept.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Table, insert, select

from payadmin import audit
from payadmin.actions import subscriptions as acts
from payadmin.actions.subscriptions.outcomes import TOO_OLD
from payadmin.actions.subscriptions.planning import invoice_number
from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, Organization, OrganizationKind
from payadmin.models.subscriptions import (
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    OnExhausted,
    RetryPolicy,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
    WebhookEndpoint,
    schedule_values,
)
from payadmin.sample.recurring import MERCHANT, PATIENT, STRICT, Past, Registration, Trouble, registration
from payadmin.sample.source import TELCO_CUSTOMERS, telco_rows
from payadmin.work import SYSTEM

SOME: Final = 1_000
CHUNK: Final = 1_000
HOOK: Final = "/merchant/webhook"
_TRIES: Final = (dt.timedelta(), dt.timedelta(days=2), dt.timedelta(days=5))  # of the patient policy, from the due date
_S = SubscriptionStatus

_ATTEMPT = cast("Table", ChargeAttempt.__table__)
_AUDIT = cast("Table", AuditEvent.__table__)
_CHARGE = cast("Table", ScheduledCharge.__table__)
_CUSTOMER = cast("Table", Customer.__table__)
_ORGANIZATION = cast("Table", Organization.__table__)
_SUBSCRIPTION = cast("Table", Subscription.__table__)


@dataclass(frozen=True)
class _Place:
    """What all registrations share: the merchant, and the policies by name."""

    merchant_id: int
    policies: dict[str, int]


def register_telco(
    engine: Engine, *, zone: ZoneInfo, full: bool = False, progress: Callable[[int, int], None] = lambda _d, _t: None
) -> int:
    """Register the customers of the sample's telephone company, and answer how many were new. Needs an app context.

    Args:
        zone: the business time zone, which says what today is.
        full: all 7,043 instead of the first 1,000.
        progress: told how many of how many are there, after each chunk.
    """
    most = TELCO_CUSTOMERS if full else SOME
    with engine.connect() as connection:
        there = set(connection.scalars(select(_CUSTOMER.c.external_id)))
    missing = [row for row in islice(telco_rows(), most) if row.customer_id not in there]
    place: _Place | None = None
    now, added = utcnow(), 0
    today = now.astimezone(zone).date()
    for chunk in _chunks(registration(row, now, today) for row in missing):
        place = place or _prepare(engine)
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            register(connection, chunk, merchant_id=place.merchant_id, policies=place.policies)
        added += len(chunk)
        progress(most - len(missing) + added, most)
    return added


def connect_endpoint(simulator_url: str, keys: tuple[bytes, ...]) -> None:
    """Have the sample's reminders sent to the simulator, which takes every message; what staff chose meanwhile stays.

    Args:
        simulator_url: where the simulator listens this time.
        keys: the keys that encrypt secrets at rest.
    """
    merchant_id = db.session.scalar(select(Organization.id).where(Organization.name == MERCHANT))
    known = db.session.execute(
        select(
            WebhookEndpoint.url, WebhookEndpoint.enabled, WebhookEndpoint.mails_customers, WebhookEndpoint.version
        ).where(WebhookEndpoint.merchant_id == merchant_id)
    ).one_or_none()
    db.session.rollback()
    url = simulator_url + HOOK
    if merchant_id is None or (known and (known.url == url or urlsplit(known.url).path != HOOK)):
        return
    acts.save_endpoint(
        SYSTEM,
        merchant_id=merchant_id,
        url=url,
        enabled=known.enabled if known else True,
        mails_customers=known.mails_customers if known else False,
        keys=keys,
        allow_private=True,  # the simulator listens on this machine
        version=known.version if known else None,
    )


def register(
    connection: Connection, registrations: Sequence[Registration], *, merchant_id: int, policies: dict[str, int]
) -> None:
    """Write registrations of new customers, what happened to them since, and the trail of both."""
    customers = _ids(connection, _CUSTOMER, "external_id", [one.customer for one in registrations])
    place = _Place(merchant_id, policies)
    rows = [_subscription(one, place, customers[one.customer["external_id"]]) for one in registrations]
    ids = _ids(connection, _SUBSCRIPTION, "subscription_id", rows)
    trail: list[dict[str, Any]] = []
    for one, row in zip(registrations, rows, strict=True):
        trail += _trail(one, row, ids[one.subscription_id])
    connection.execute(insert(_AUDIT), trail)
    for one, row in zip(registrations, rows, strict=True):
        for past in one.past:
            _write_past(connection, past, row, ids[one.subscription_id])
    keys = {"source": "sample subscriptions", "through": registrations[-1].subscription_id}
    connection.execute(insert(_AUDIT), [_entry(Event.IMPORT_FINISHED, None, None, keys=keys)])


def _prepare(engine: Engine) -> _Place:
    for name, values in (
        (PATIENT, {"delays_days": (2, 3), "max_attempts": 3, "on_exhausted": OnExhausted.ON_HOLD}),
        (STRICT, {"delays_days": (1,), "max_attempts": 2, "on_exhausted": OnExhausted.ABORTED}),
    ):
        if db.session.scalar(select(RetryPolicy.id).where(RetryPolicy.name == name)) is None:
            # The patient one knows that a lost card is not found again by trying.
            codes = ("card_velocity_exceeded", "insufficient_funds", "processing_error") if name == PATIENT else ()
            acts.save_retry_policy(SYSTEM, name=name, retryable_codes=codes, **values)  # type: ignore[arg-type]
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        policies = dict(connection.execute(select(RetryPolicy.name, RetryPolicy.id)).all())
        known = select(_ORGANIZATION.c.id).where(_ORGANIZATION.c.name == MERCHANT)
        merchant_id = connection.scalar(known)
        if merchant_id is None:
            merchant = {"name": MERCHANT, "kind": OrganizationKind.MERCHANT}
            merchant_id = connection.scalar(insert(_ORGANIZATION).values(merchant).returning(_ORGANIZATION.c.id))
    assert merchant_id is not None
    return _Place(merchant_id, policies)


def _chunks(found: Iterator[Registration]) -> Iterator[list[Registration]]:
    while chunk := list(islice(found, CHUNK)):
        yield chunk


def _ids(connection: Connection, table: Table, key: str, rows: list[dict[str, Any]]) -> dict[str, int]:
    added = insert(table).returning(table.c[key], table.c.id)
    return dict(connection.execute(added, rows).all())


def _subscription(one: Registration, place: _Place, customer_id: int) -> dict[str, Any]:
    arguments = {"card_last4": None, "card_expires_on": None, **one.arguments}
    schedule = arguments.pop("schedule")
    moved = one.status is not _S.ACTIVE
    return {
        **arguments,
        **schedule_values(schedule),
        "subscription_id": one.subscription_id,
        "status": one.status,
        "customer_id": customer_id,
        "merchant_id": place.merchant_id,
        "retry_policy_id": None if one.policy is None else place.policies[one.policy],
        "consecutive_failures": len(_TRIES) if one.status is _S.ON_HOLD else 0,
        "created_at": one.created_at,
        "updated_at": one.changed_at,
        "inactivated_at": one.changed_at if one.status is _S.INACTIVE else None,
        "version": 3 if moved else 2,  # registering writes a row and activates it
    }


def _trail(one: Registration, row: dict[str, Any], subscription_id: int) -> list[dict[str, Any]]:
    keys = {name: row[name] for name in ("subscription_id", "billing_number", "customer_id")}
    facts = {name: row[name] for name in ("amount_minor", "unit", "purpose", "schedule_kind")}
    said = {**keys, "schedule": str(one.arguments["schedule"])}
    entries = [_entry(Event.SUBSCRIPTION_REGISTERED, Subscription, subscription_id, after=facts, keys=said)]
    event = {_S.CANCELLED: Event.SUBSCRIPTION_CANCELLED, _S.INACTIVE: Event.SUBSCRIPTION_INACTIVATED}.get(one.status)
    if event is not None:
        before, after = {"status": _S.ACTIVE}, {"status": one.status}
        entries.append(
            _entry(event, Subscription, subscription_id, before=before, after=after, keys=keys, reason=one.reason)
        )
    return entries


def _write_past(connection: Connection, past: Past, row: dict[str, Any], subscription_id: int) -> None:
    number = invoice_number(subscription_id, past.due_date)
    noon = dt.datetime.combine(past.due_date, dt.time(12), dt.UTC)
    keys = {name: row[name] for name in ("subscription_id", "billing_number", "customer_id")}
    charge: dict[str, Any] = {
        "subscription_id": subscription_id,
        "due_date": past.due_date,
        "invoice_number": number,
        "amount_minor": row["amount_minor"],
        "unit": row["unit"],
        "created_at": row["created_at"],
        "updated_at": noon,
    }
    match past.trouble:
        case Trouble.LATE:  # the next tick finds it too late to run and calls staff
            changes: dict[str, Any] = {"status": ChargeStatus.SCHEDULED}
        case Trouble.UNDECIDED:
            changes = {"status": ChargeStatus.UNKNOWN, "attempts": 1, "needs_staff": True, "message": TOO_OLD}
        case Trouble.REFUSED:
            changes = {"status": ChargeStatus.FAILED, "attempts": len(_TRIES), "message": past.message}
    charge_id = connection.scalar(insert(_CHARGE).values(charge | changes).returning(_CHARGE.c.id))
    attempt = {"scheduled_charge_id": charge_id, "provider": row["provider"], "reference": number}
    keys |= {"invoice_number": number}
    if past.trouble is Trouble.UNDECIDED:
        sent = {"first_sent_at": noon, "last_sent_at": noon, "created_at": noon, "act_at": noon}
        values = attempt | sent | {"seq": 1, "provider_key": f"sample-{number}-1", "state": AttemptState.MANUAL}
        connection.execute(insert(_ATTEMPT).values(values | {"message": TOO_OLD, "checks": 1}))
        left = _entry(Event.CHARGE_NEEDS_DECISION, ScheduledCharge, charge_id, keys=keys, reason=TOO_OLD)
        connection.execute(insert(_AUDIT).values(left | {"outcome": "failed"}))
    elif past.trouble is Trouble.REFUSED:
        refused = {"state": AttemptState.DECLINED, "code": past.code, "message": past.message}
        rows = []
        for seq, wait in enumerate(_TRIES, 1):
            at = noon + wait
            sent = {"first_sent_at": at, "last_sent_at": at, "created_at": at, "act_at": at, "done_at": at}
            rows.append(attempt | refused | sent | {"seq": seq, "provider_key": f"sample-{number}-{seq}"})
        connection.execute(insert(_ATTEMPT), rows)
        after = {"status": ChargeStatus.FAILED, "subscription": _S.ON_HOLD}
        said = keys | {"attempt": len(_TRIES), "code": past.code}
        failed = _entry(Event.CHARGE_FAILED, ScheduledCharge, charge_id, after=after, keys=said, reason=past.message)
        connection.execute(insert(_AUDIT).values(failed))


def _entry(
    event: Event,
    model: type[Any] | None,
    row_id: int | None,
    *,
    keys: dict[str, Any],
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    return {
        "actor_name": SYSTEM.name,
        "event": str(event),
        "entity": None if model is None else model.__tablename__,
        "entity_id": None if row_id is None else str(row_id),
        "before": None if before is None or model is None else audit.facts(model, before),
        "after": None if after is None or model is None else audit.facts(model, after),
        "keys": audit.found_by(keys),
        "reason": reason,
    }
