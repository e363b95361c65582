"""Processing: a confirmed batch becomes subscriptions or charges, each row once, whatever is killed on the way.

Nothing is charged here. A single payment becomes a scheduled charge, and the workers that charge whatever falls due
charge it with their own keys, leases and look-ups. What was made of a row points back to it by a unique column, so a
piece that is done again after a crash finds it there.
"""

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Table, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from payadmin import step_up
from payadmin.actions.batches.paying import overtaken, refuse_uncovered
from payadmin.actions.batches.validation import MOVED_ON, business_day, forget_waiting
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict
from payadmin.kernel.schedules import ScheduleKind
from payadmin.kernel.text import Text, _
from payadmin.models.batches import OPEN, WORKING, Batch, BatchKind, BatchRow, BatchStatus, RowStatus
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import Payment
from payadmin.models.subscriptions import (
    ChargeStatus,
    Purpose,
    ScheduledCharge,
    Subscription,
    SubscriptionOrigin,
    SubscriptionStatus,
    schedule_columns,
)
from payadmin.models.system import NoticeKind
from payadmin.notices import notify, staff_named
from payadmin.permissions import Permission
from payadmin.providers import connected
from payadmin.queries.blocks import organization_block, refuse
from payadmin.work import Work, use_case

PROCESS_ACT = "batches.process"
ROWS_AT_ONCE = 500
USED_MEANWHILE = "This invoice number was used since the file was checked."
REGISTERED_MEANWHILE = "This billing number was registered since the file was checked."

_CHARGE = cast("Table", ScheduledCharge.__table__)
_SUBSCRIPTION = cast("Table", Subscription.__table__)


def process_subject(batch: Any) -> dict[str, Any]:
    """What the step-up of processing is about: the batch as the form showed it; pages offer exactly this."""
    return {
        "batch": batch.id,
        "content": batch.content_hash,
        "valid": batch.rows_valid,
        "skipped": batch.rows_invalid,
        "totals": {unit: sums["valid_minor"] for unit, sums in sorted(batch.totals.items())},
    }


@use_case(Permission.BATCHES_BATCH_PROCESS, about=Batch)
def process_batch(
    work: Work, batch_id: int, *, version: int, valid: int, skipped: int, zone: ZoneInfo, offer: str, code: str
) -> Batch:
    """Confirm a checked batch: its valid rows become charges or subscriptions, made by workers. Confirmed once.

    A batch of payments is processed whole or not at all; of a registration the invalid rows are left out, if the form
    said how many (T15). Rows of a mass payment are paid by workers, one after the other.

    Args:
        version: the version that the form showed.
        valid: how many rows the form said would be processed.
        skipped: how many rows it said would be left out.
        offer: the form's step-up offer for `PROCESS_ACT` about `process_subject(batch)`.
        code: the code of the actor's authenticator.

    Raises:
        Conflict: not checked, an error in a file of payments, other counts than the form's, a merchant or provider that
            is gone, rows that the world has overtaken since the check, or a wallet that cannot pay a mass payment.
        Invalid: a wrong, used or stale confirmation; `field` is "code".
    """
    batch = work.get(Batch, batch_id, lock=True)
    if why := batch.why_not_processable:
        raise Conflict(why, batch_id=batch_id)
    if (batch.rows_valid, batch.rows_invalid) != (valid, skipped) or batch.version != version:
        raise Conflict(MOVED_ON, batch_id=batch_id)
    if work.get(Organization, batch.merchant_id).status is not OrganizationStatus.ACTIVE:
        raise Conflict(
            "The organization that pays is not active any more. Nothing is processed."
            if batch.kind is BatchKind.MASS_PAYMENT
            else "The merchant of this batch is not active any more. Nothing is processed.",
            batch_id=batch_id,
        )
    refuse(organization_block(work.session, batch.merchant_id))
    if batch.provider is not None and not connected(batch.provider):
        raise Conflict("payadmin is no longer connected to the provider of this batch.", batch_id=batch_id)
    if late := _overtaken(work, batch, business_day(work, zone)):
        rows = "1 row is" if late == 1 else f"{late:,} rows are"
        raise Conflict(
            _(
                "%(rows)s no longer right: since the check a date has passed, a number was used or a customer was "
                "blocked. Check the file again.",
                rows=rows,
            ),
            batch_id=batch_id,
        )
    if batch.kind is BatchKind.MASS_PAYMENT:
        refuse_uncovered(work, batch)
    step_up.spend(work, offer, code, PROCESS_ACT, process_subject(batch))
    before = batch.status
    work.change(Batch, batch_id, status=BatchStatus.PROCESSING, processed_by=work.actor.name, confirmed_at=work.now)
    work.session.execute(
        update(BatchRow)
        .where(BatchRow.batch_id == batch_id, BatchRow.status == RowStatus.INVALID)
        .values(status=RowStatus.SKIPPED)
        .execution_options(synchronize_session=False)
    )
    work.record(
        Event.BATCH_CONFIRMED,
        batch,
        before={"status": before},
        after={"status": BatchStatus.PROCESSING, "rows_valid": valid, "rows_invalid": skipped},
        file=batch.file_name,
        totals={unit: sums["valid_minor"] for unit, sums in batch.totals.items()},
    )
    work.promise("order_batch", batch_id=batch_id)
    return batch


@use_case(Permission.BATCHES_BATCH_PROCESS, about=Batch)
def resume_batch(work: Work, batch_id: int) -> None:
    """Have workers go on with a batch whose check or processing stands still; what is done is not done again.

    Raises:
        Conflict: no worker has anything to do with it.
    """
    batch = work.get(Batch, batch_id)
    if batch.status not in WORKING:
        raise Conflict(
            _("The batch is %(status)s: there is nothing to go on with.", status=Text(batch.status.value).lower())
        )
    work.record(Event.BATCH_RESUMED, batch, file=batch.file_name)
    if batch.status is BatchStatus.PROCESSING:
        work.promise("order_batch", batch_id=batch_id)
    else:
        work.promise("check_batch", batch_id=batch_id)


@use_case(Permission.BATCHES_BATCH_PROCESS, about=Batch)
def discard_batch(work: Work, batch_id: int, *, version: int, reason: str | None = None) -> None:
    """Give up a batch of which nothing was processed; its checked rows stay to be looked at.

    Raises:
        Conflict: it is being processed, was processed or given up, or has moved on.
    """
    batch = work.get(Batch, batch_id, lock=True)
    before = batch.status
    if before not in OPEN:
        raise Conflict(_("The batch is %(before)s, so it cannot be discarded.", before=Text(before.value).lower()))
    if not work.change(Batch, batch_id, when=(Batch.version == version,), status=BatchStatus.DISCARDED):
        raise Conflict(MOVED_ON)
    forget_waiting(work, batch_id)
    work.record(
        Event.BATCH_DISCARDED,
        batch,
        before={"status": before},
        after={"status": BatchStatus.DISCARDED},
        reason=reason,
        file=batch.file_name,
    )


@use_case(Permission.SYSTEM_JOB_RUN)
def process_some(work: Work, batch_id: int, *, limit: int = ROWS_AT_ONCE) -> bool:
    """Make charges or subscriptions of the next rows of a confirmed batch; whether more are left.

    Rows of a mass payment are paid by `paying.pay_some`; of such a batch this is the end, once none is left.
    """
    batch = work.get(Batch, batch_id, lock=True)
    if batch.status is not BatchStatus.PROCESSING:
        return False
    if batch.kind is BatchKind.MASS_PAYMENT and work.exists(
        BatchRow.batch_id == batch_id, BatchRow.status == RowStatus.VALID
    ):
        return True
    rows = work.session.scalars(
        select(BatchRow)
        .where(BatchRow.batch_id == batch_id, BatchRow.status == RowStatus.VALID)
        .order_by(BatchRow.row_number)
        .limit(limit)
        .execution_options(populate_existing=True)
    ).all()
    if rows:
        if batch.kind is BatchKind.SINGLE_PAYMENT:
            made, refusal = _order_charges(work, batch, rows), USED_MEANWHILE
        else:
            made, refusal = _register(work, batch, rows), REGISTERED_MEANWHILE
        _settle(work, batch, [row.id for row in rows], made, refusal)
    if len(rows) == limit:
        return True
    work.change(Batch, batch_id, status=BatchStatus.PROCESSED, processed_at=work.now)
    work.record(
        Event.BATCH_PROCESSED,
        batch,
        before={"status": BatchStatus.PROCESSING},
        after={"status": BatchStatus.PROCESSED, "rows_done": batch.rows_done, "rows_refused": batch.rows_refused},
        file=batch.file_name,
    )
    refused = f", {batch.rows_refused:,} refused" if batch.rows_refused else ""
    for name in {batch.uploaded_by, batch.processed_by}:
        notify(
            work.session,
            staff_named(work.session, name),
            NoticeKind.ATTENTION if refused else NoticeKind.DONE,
            f"{batch.file_name} is processed: {batch.rows_done:,} rows done{refused}.",
            page="batches",
            row_id=batch.id,
            key=f"batch:{batch.id}:processed",
        )
    return False


def _overtaken(work: Work, batch: Batch, today: dt.date) -> int:
    """How many valid rows are no longer right: their day passed, their number was used, their customer was blocked."""
    mine = (BatchRow.batch_id == batch.id, BatchRow.status == RowStatus.VALID)
    blocked = (
        select(Customer.id)
        .where(Customer.id == BatchRow.customer_id, Customer.status != CustomerStatus.ACTIVE)
        .exists()
    )
    if batch.kind is BatchKind.SINGLE_PAYMENT:
        used = select(ScheduledCharge.id).where(ScheduledCharge.invoice_number == BatchRow.invoice_number)
        paid = select(Payment.id).where(Payment.invoice_number == BatchRow.invoice_number)
        late = or_(BatchRow.execute_date < today, blocked, used.exists(), paid.exists(), _ordered_elsewhere(batch))
    elif batch.kind is BatchKind.MASS_PAYMENT:
        late = or_(blocked, overtaken(batch))
    else:
        same = select(Subscription.id).where(
            Subscription.merchant_id == batch.merchant_id, Subscription.billing_number == BatchRow.billing_number
        )
        late = or_(BatchRow.start_date < today, blocked, same.exists())
    return work.session.scalar(select(func.count()).select_from(BatchRow).where(*mine, late)) or 0


def _ordered_elsewhere(batch: Batch) -> ColumnElement[bool]:
    """Whether another batch is just about to order the invoice number of a row."""
    other, its = aliased(BatchRow), aliased(Batch)
    return (
        select(other.id)
        .join(its, its.id == other.batch_id)
        .where(
            other.invoice_number == BatchRow.invoice_number,
            other.batch_id != batch.id,
            other.status == RowStatus.VALID,
            its.status == BatchStatus.PROCESSING,
        )
        .exists()
    )


def _order_charges(work: Work, batch: Batch, rows: Sequence[BatchRow]) -> set[int]:
    """Schedule one charge for each row whose invoice number no payment has meanwhile; the rows that have one now."""
    by_payments = select(BatchRow.id).join(Payment, Payment.invoice_number == BatchRow.invoice_number)
    used = set(work.session.scalars(by_payments.where(BatchRow.id.in_([row.id for row in rows]))))
    values = [
        {
            "batch_id": batch.id,
            "batch_row_id": row.id,
            "due_date": row.execute_date,
            "invoice_number": row.invoice_number,
            "status": ChargeStatus.SCHEDULED,
            "amount_minor": row.amount_minor,
            "unit": row.unit,
            "created_at": work.now,
            "updated_at": work.now,
        }
        # In the order of their numbers: two batches that name the same ones do not wait for each other in a circle.
        for row in sorted(rows, key=lambda row: row.invoice_number or "")
        if row.id not in used
    ]
    made = _insert_missing(work, _CHARGE, values)
    billing = {row.id: row for row in rows}
    work.record_each(
        Event.BATCH_CHARGE_ORDERED,
        ScheduledCharge,
        (
            (
                charge_id,
                {
                    "invoice_number": billing[row_id].invoice_number,
                    "billing_number": billing[row_id].billing_number,
                    "customer_id": billing[row_id].customer_id,
                    "batch_id": batch.id,
                    "ordered_by": batch.processed_by,
                },
            )
            for row_id, charge_id in made.items()
        ),
    )
    return made.keys() | _present(work, ScheduledCharge, rows)


def _register(work: Work, batch: Batch, rows: Sequence[BatchRow]) -> set[int]:
    """Register one subscription for each row; the rows that have one now."""
    values = [
        {
            **_schedule_of(row.schedule or {}),
            "batch_row_id": row.id,
            "subscription_id": f"SUB-{secrets.token_hex(8)}",
            "billing_number": row.billing_number,
            "status": SubscriptionStatus.ACTIVE,
            "purpose": row.purpose or Purpose.RECURRING,
            "origin": SubscriptionOrigin.BATCH,
            "customer_id": row.customer_id,
            "merchant_id": batch.merchant_id,
            "amount_minor": row.amount_minor,
            "unit": row.unit,
            "method": batch.method,
            "provider": batch.provider,
            "card_token": row.card_token,
            "card_last4": row.card_last4,
            "start_date": row.start_date,
            "expiration_date": row.end_date,
            "created_at": work.now,
            "updated_at": work.now,
        }
        for row in rows
    ]
    made = _insert_missing(work, _SUBSCRIPTION, values)
    by_row = {value["batch_row_id"]: value for value in values}
    work.record_each(
        Event.BATCH_REGISTERED,
        Subscription,
        (
            (
                subscription_id,
                {
                    "subscription_id": by_row[row_id]["subscription_id"],
                    "billing_number": by_row[row_id]["billing_number"],
                    "customer_id": by_row[row_id]["customer_id"],
                    "batch_id": batch.id,
                    "ordered_by": batch.processed_by,
                },
            )
            for row_id, subscription_id in made.items()
        ),
    )
    return made.keys() | _present(work, Subscription, rows)


def _schedule_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Every schedule column, so that all rows of one statement name the same ones."""
    values = dict.fromkeys(schedule_columns()) | dict(kept)
    return values | {"schedule_kind": ScheduleKind[str(kept["schedule_kind"])]}


def _insert_missing(work: Work, table: Table, values: list[dict[str, Any]]) -> dict[int, int]:
    """Insert what is not there yet under any of its unique columns: the id made of each row."""
    if not values:
        return {}
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = make(table).on_conflict_do_nothing().returning(table.c.batch_row_id, table.c.id)
    return dict(work.session.connection().execute(statement, values).all())


def _present(work: Work, model: type[Any], rows: Sequence[BatchRow]) -> set[int]:
    found = select(model.batch_row_id).where(model.batch_row_id.in_([row.id for row in rows]))
    return set(work.session.scalars(found))


def _settle(work: Work, batch: Batch, row_ids: Sequence[int], made: set[int], refusal: str) -> None:
    refused = [row_id for row_id in row_ids if row_id not in made]
    outcomes: tuple[tuple[Sequence[int], dict[str, Any]], ...] = (
        (sorted(made), {"status": RowStatus.DONE}),
        (refused, {"status": RowStatus.REFUSED, "message": refusal}),
    )
    for ids, values in outcomes:
        if ids:
            work.session.execute(
                update(BatchRow)
                .where(BatchRow.id.in_(ids))
                .values(**values)
                .execution_options(synchronize_session=False)
            )
    progress = update(Batch).where(Batch.id == batch.id)
    progress = progress.values(rows_done=Batch.rows_done + len(made), rows_refused=Batch.rows_refused + len(refused))
    # How far processing has come is no act of anybody: its confirmation and its end are recorded.
    work.session.execute(progress.execution_options(synchronize_session=False, explained=True))
    work.session.refresh(batch)
