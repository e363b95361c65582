"""Batches: what became of their rows, which billing numbers are invalid, and the rows with errors as a table."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import func, literal, select, union_all
from sqlalchemy.orm import Session

from payadmin.models.batches import Batch, BatchKind, BatchRow, BatchStatus, RowStatus
from payadmin.models.subscriptions import ChargeStatus, ScheduledCharge

Errors = list[dict[str, str]]
Show = Callable[[Errors, list[str]], tuple[Errors, list[str]]]
AT_ONCE = 1_000
MOST_COUNTED = 2_000


def charge_counts(session: Session, batch: Batch, *, most: int = MOST_COUNTED) -> dict[ChargeStatus, int | None]:
    """How many charges of a batch are in which status; a status without charges is not there.

    The cost does not grow with the batch: each status is counted up to `most`, in one index. What lies beyond is what
    the others leave of all its charges, or None (more than `most`) when there are two such statuses.
    """
    charge = ScheduledCharge
    counts = (
        select(
            literal(status.name).label("status"),
            select(func.count())
            .select_from(
                select(literal(1))
                .where(charge.batch_id == batch.id, charge.status == status)
                .limit(most + 1)
                .subquery()
            )
            .scalar_subquery()
            .label("number"),
        )
        for status in ChargeStatus
    )
    rows = session.execute(union_all(*counts)).all()
    found: dict[ChargeStatus, int | None] = {ChargeStatus[name]: number for name, number in rows if number}
    beyond = [status for status, number in found.items() if number is not None and number > most]
    rest = batch.rows_done - sum(number or 0 for status, number in found.items() if status not in beyond)
    for status in beyond:
        found[status] = max(rest, most + 1) if len(beyond) == 1 else None
    return {status: found[status] for status in ChargeStatus if status in found}


def next_payable(session: Session, batch_id: int) -> int | None:
    """The next row of a mass payment that a worker has to pay; None when none is left, or nobody confirmed it."""
    waiting = (
        select(BatchRow.id)
        .join(Batch, Batch.id == BatchRow.batch_id)
        .where(
            Batch.id == batch_id,
            Batch.kind == BatchKind.MASS_PAYMENT,
            Batch.status == BatchStatus.PROCESSING,
            BatchRow.status == RowStatus.VALID,
        )
    )
    return session.scalar(waiting.order_by(BatchRow.row_number).limit(1))


def invalid_billing_numbers(session: Session, batch: Batch, *, limit: int = 100) -> list[tuple[int, str]]:
    """The rows that are invalid, with their billing number as it was written (B-25); empty text: none was."""
    if "billing_number" not in batch.columns:
        return []
    place = batch.columns.index("billing_number")
    return [(number, cells[place]) for number, _, cells in _wrong_rows(session, batch.id, 0, limit)]


def error_table(
    session: Session, batch: Batch, show: Show = lambda errors, cells: (errors, cells)
) -> tuple[list[str], Iterator[list[Any]]]:
    """The rows with errors as they were written, with their row number and what is wrong, for a file to correct.

    Card numbers are masked in it, as everywhere: whoever corrects the file has them.

    Args:
        show: what is shown of a row's errors and cells to whom the file is for.
    """
    return ["row", "errors", *batch.columns], _error_rows(session, batch, show)


def error_count(batch: Batch) -> int:
    """How many rows `error_table` has: invalid ones; of a mass payment that was processed, those that were refused."""
    return batch.rows_invalid or (batch.rows_refused if batch.kind is BatchKind.MASS_PAYMENT else 0)


def _error_rows(session: Session, batch: Batch, show: Show) -> Iterator[list[Any]]:
    last = 0
    refused = (RowStatus.REFUSED,) if batch.kind is BatchKind.MASS_PAYMENT else ()
    while some := _wrong_rows(session, batch.id, last, AT_ONCE, also=refused):
        for number, wrong, written in some:
            errors, cells = show(wrong or [], written)
            said = "; ".join(f"{error['column']}: {error['sentence']}" for error in errors)
            yield [number, said, *cells]
        last = some[-1][0]


def _wrong_rows(
    session: Session, batch_id: int, after: int, limit: int, *, also: Iterable[RowStatus] = ()
) -> list[tuple[int, Any, list[str]]]:
    """The next rows with errors, whether they were left out meanwhile or not: the index has each status in order."""
    parts = (
        select(
            select(BatchRow.row_number, BatchRow.errors, BatchRow.cells, BatchRow.message)
            .where(BatchRow.batch_id == batch_id, BatchRow.status == status, BatchRow.row_number > after)
            .order_by(BatchRow.row_number)
            .limit(limit)
            .subquery()
        )
        for status in (RowStatus.INVALID, RowStatus.SKIPPED, *also)
    )
    every = union_all(*parts).subquery()
    rows = session.execute(select(every).order_by(every.c.row_number).limit(limit))
    # What was refused is wrong as a whole; a row that is wrong in a cell has no message.
    return [(row.row_number, row.errors or _refusal(row.message), row.cells) for row in rows]


def _refusal(message: str | None) -> Errors:
    return [{"column": "row", "sentence": message}] if message else []
