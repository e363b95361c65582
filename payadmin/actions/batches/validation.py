"""The check of a whole batch, piece by piece: what a worker does after an upload, and again when it is asked to."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import delete, insert, select, update

from payadmin import outbox
from payadmin.actions.batches.checking import Checker, Waiting
from payadmin.actions.batches.columns import CARD_NO
from payadmin.actions.batches.payees import PayeeChecker
from payadmin.actions.batches.paying import contract_versions
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict
from payadmin.kernel.text import Text, _
from payadmin.models.batches import CHECKED, Batch, BatchKind, BatchPart, BatchRow, BatchStatus, RowStatus
from payadmin.models.system import NoticeKind
from payadmin.notices import notify, staff_named
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

if TYPE_CHECKING:
    from sqlalchemy import Table

_ROW = cast("Table", BatchRow.__table__)
AGAIN_AT_ONCE = 1_000
MOVED_ON = "Somebody else changed this batch meanwhile. Look at it again."


def business_day(work: Work, zone: ZoneInfo) -> dt.date:
    """Today in the business time zone, by the database's clock."""
    return outbox.database_now(work.session).astimezone(zone).date()


@use_case(Permission.SYSTEM_JOB_RUN)
def check_some(work: Work, batch_id: int, *, zone: ZoneInfo) -> bool:
    """Check the next piece of a batch; whether more is left. Two workers at once do one piece after the other."""
    batch = work.get(Batch, batch_id, lock=True)
    if batch.status is BatchStatus.UPLOADED:
        work.change(Batch, batch_id, status=BatchStatus.VALIDATING)
        work.record(Event.BATCH_CHECKED, batch, after={"status": BatchStatus.VALIDATING}, file=batch.file_name)
    if batch.status is not BatchStatus.VALIDATING:
        return False
    part: BatchPart | None = work.one(
        select(BatchPart).where(BatchPart.batch_id == batch_id).order_by(BatchPart.number)
    )
    rows = [Waiting(*_unpacked(kept)) for kept in part.rows] if part is not None else _rows_again(work, batch)
    if rows:
        _store(work, batch, rows, _checked(work, batch, rows, zone))
    if part is not None:
        work.session.delete(part)
        work.session.flush()
    if batch.rows_checked < batch.rows_total:
        return True
    _conclude(work, batch)
    return False


@use_case(Permission.BATCHES_BATCH_PROCESS, about=Batch)
def check_again(work: Work, batch_id: int, *, version: int) -> None:
    """Have a checked batch checked once more: customers may be known by now, and dates may have passed.

    Raises:
        Conflict: it is not checked yet, or has moved on.
    """
    batch = work.get(Batch, batch_id, lock=True)
    if batch.status not in CHECKED:
        raise Conflict(
            _("The batch is %(status)s, so it cannot be checked again.", status=Text(batch.status.value).lower())
        )
    before = batch.status
    counts = dict.fromkeys(("rows_checked", "rows_valid", "rows_invalid", "checked_through"), 0)
    if not work.change(
        Batch,
        batch_id,
        when=(Batch.version == version,),
        status=BatchStatus.VALIDATING,
        totals={},
        checked_at=None,
        **counts,
    ):
        raise Conflict(MOVED_ON)
    work.record(
        Event.BATCH_SENT_BACK,
        batch,
        before={"status": before},
        after={"status": BatchStatus.VALIDATING},
        file=batch.file_name,
    )
    work.promise("check_batch", batch_id=batch_id)


def forget_waiting(work: Work, batch_id: int) -> None:
    """Drop the rows of a batch that wait for a check that will not come, with their tokens and fingerprints."""
    waiting = delete(BatchPart).where(BatchPart.batch_id == batch_id)
    work.session.execute(waiting.execution_options(synchronize_session=False))


def _unpacked(kept: Sequence[Any]) -> tuple[int, list[str], dict[str, Any]]:
    number, cells, facts = kept
    return number, cells, facts or {}


def _rows_again(work: Work, batch: Batch) -> list[Waiting]:
    """The next rows that were checked before."""
    found = work.session.scalars(
        select(BatchRow)
        .where(BatchRow.batch_id == batch.id, BatchRow.row_number > batch.checked_through)
        .order_by(BatchRow.row_number)
        .limit(AGAIN_AT_ONCE)
    ).all()
    place = batch.columns.index(CARD_NO) if CARD_NO in batch.columns else None
    rows = []
    for row in found:
        facts: dict[str, Any] = {"masked": row.masked, "repeats": row.repeats_row}
        if row.card_fingerprint is not None and place is not None and row.cells[place]:
            facts["card"] = {
                "first6": row.card_first6,
                "last4": row.card_last4,
                "fingerprint": row.card_fingerprint,
                **({"token": row.card_token} if row.card_token else {}),
            }
        rows.append(Waiting(row.row_number, row.cells, facts))
    return rows


def _checked(work: Work, batch: Batch, rows: list[Waiting], zone: ZoneInfo) -> list[dict[str, Any]]:
    if batch.problems:
        # Cells whose columns are not known for certain mean nothing.
        return [
            {
                "row_number": row.number,
                "cells": row.cells,
                "status": RowStatus.WAITING,
                "masked": row.facts.get("masked"),
            }
            for row in rows
        ]
    if batch.kind is BatchKind.MASS_PAYMENT:
        return PayeeChecker(
            work.session, payer_id=batch.merchant_id, columns=batch.columns, at=outbox.database_now(work.session)
        ).check(rows)
    checker = Checker(
        work.session,
        kind=batch.kind,
        merchant_id=batch.merchant_id,
        columns=batch.columns,
        today=business_day(work, zone),
    )
    return checker.check(rows)


def _store(work: Work, batch: Batch, rows: list[Waiting], values: list[dict[str, Any]]) -> None:
    first, last = rows[0].number, rows[-1].number
    work.session.execute(
        delete(BatchRow)
        .where(BatchRow.batch_id == batch.id, BatchRow.row_number.between(first, last))
        .execution_options(synchronize_session=False)
    )
    work.session.connection().execute(insert(_ROW), [{"batch_id": batch.id, **row} for row in values])
    totals = {unit: dict(sums) for unit, sums in batch.totals.items()}
    for row in values:
        minor, unit = row.get("amount_minor"), row.get("unit")
        if minor is None or unit is None:
            continue
        sums = totals.setdefault(unit, {"rows": 0, "minor": 0, "valid_rows": 0, "valid_minor": 0})
        sums["rows"] += 1
        sums["minor"] += minor
        if row["status"] is RowStatus.VALID:
            sums["valid_rows"] += 1
            sums["valid_minor"] += minor
            if batch.kind is BatchKind.MASS_PAYMENT:
                sums["paid_minor"] = sums.get("paid_minor", 0) + row["paid_minor"]
    valid = sum(row["status"] is RowStatus.VALID for row in values)
    invalid = sum(row["status"] is RowStatus.INVALID for row in values)
    # How far a check has come is no act of anybody: what it comes to is recorded at its end.
    progress = update(Batch).where(Batch.id == batch.id)
    progress = progress.values(
        rows_checked=Batch.rows_checked + len(values),
        rows_valid=Batch.rows_valid + valid,
        rows_invalid=Batch.rows_invalid + invalid,
        checked_through=last,
        totals=totals,
    )
    work.session.execute(progress.execution_options(synchronize_session=False, explained=True))
    work.session.refresh(batch)


def _conclude(work: Work, batch: Batch) -> None:
    status = BatchStatus.HAS_ERRORS if batch.problems or batch.rows_invalid else BatchStatus.READY
    totals = batch.totals
    if batch.kind is BatchKind.MASS_PAYMENT:
        versions = contract_versions(work, batch)
        totals = {unit: sums | {"contract_version": versions[unit]} for unit, sums in totals.items()}
    work.change(Batch, batch.id, status=status, checked_at=work.now, totals=totals)
    work.record(
        Event.BATCH_CHECKED,
        batch,
        before={"status": BatchStatus.VALIDATING},
        after={"status": status, "rows_valid": batch.rows_valid, "rows_invalid": batch.rows_invalid},
        file=batch.file_name,
    )
    is_fine = status is BatchStatus.READY
    notify(
        work.session,
        staff_named(work.session, batch.uploaded_by),
        NoticeKind.READY if is_fine else NoticeKind.ATTENTION,
        f"{batch.file_name} is checked: {'ready to be processed' if is_fine else 'it has errors'}.",
        page="batches",
        row_id=batch.id,
        key=f"batch:{batch.id}:checked:{batch.version}",
    )
