"""Batches: what became of their rows, which billing numbers are invalid, and the rows with errors as a table."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from payadmin.models.batches import Batch, BatchRow, RowStatus
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge

AT_ONCE = 1_000


def charge_counts(session: Session, batch_ids: Iterable[int]) -> dict[int, dict[ChargeStatus, int]]:
    """How many charges of each batch are in which status, from one index; a batch without charges is not there."""
    found: dict[int, dict[ChargeStatus, int]] = defaultdict(dict)
    counts = (
        select(ScheduledCharge.batch_id, ScheduledCharge.status, func.count())
        .where(ScheduledCharge.batch_id.in_(list(batch_ids)))
        .group_by(ScheduledCharge.batch_id, ScheduledCharge.status)
    )
    for batch_id, status, number in session.execute(counts):
        if batch_id is not None:
            found[batch_id][status] = number
    return dict(found)


def invalid_billing_numbers(session: Session, batch: Batch, *, limit: int = 100) -> list[tuple[int, str]]:
    """The rows that are invalid, with their billing number as it was written (B-25); empty text: none was."""
    if "billing_number" not in batch.columns:
        return []
    place = batch.columns.index("billing_number")
    invalid = (
        select(BatchRow.row_number, BatchRow.cells)
        .where(BatchRow.batch_id == batch.id, BatchRow.status.in_((RowStatus.INVALID, RowStatus.SKIPPED)))
        .order_by(BatchRow.row_number)
        .limit(limit)
    )
    return [(number, cells[place]) for number, cells in session.execute(invalid)]


def error_table(session: Session, batch: Batch) -> tuple[list[str], Iterator[list[Any]]]:
    """The rows with errors as they were written, with their row number and what is wrong, for a file to correct.

    Card numbers are masked in it, as everywhere: whoever corrects the file has them.
    """
    return ["row", "errors", *batch.columns], _error_rows(session, batch.id)


def _error_rows(session: Session, batch_id: int) -> Iterator[list[Any]]:
    last = 0
    while True:
        some = session.execute(
            select(BatchRow.row_number, BatchRow.errors, BatchRow.cells)
            .where(
                BatchRow.batch_id == batch_id,
                BatchRow.status.in_((RowStatus.INVALID, RowStatus.SKIPPED)),
                BatchRow.row_number > last,
            )
            .order_by(BatchRow.row_number)
            .limit(AT_ONCE)
        ).all()
        for number, errors, cells in some:
            said = "; ".join(f"{error['column']}: {error['sentence']}" for error in errors or ())
            yield [number, said, *cells]
        if len(some) < AT_ONCE:
            return
        last = some[-1][0]
