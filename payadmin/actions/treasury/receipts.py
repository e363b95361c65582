"""Receipts of cash: printed by whoever sees the operation; the first is the receipt, every further one a copy (CA7)."""

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from payadmin.audit import Event
from payadmin.kernel.errors import NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.treasury import CashOperation
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

if TYPE_CHECKING:
    from sqlalchemy import Select


@use_case(Permission.CASH_DAY_READ)
def print_receipt(work: Work, operation_id: int, *, scope: "Select[tuple[CashOperation]]") -> int:
    """Note that a receipt is printed; how often it was before. Whatever is not the first is a copy, and says so.

    Args:
        scope: the operations that exist for the actor.

    Raises:
        NotFound: no such operation in `scope`.
    """
    row = work.one(scope.where(CashOperation.id == operation_id))
    if row is None:
        raise NotFound("There is no such record.")
    work.get(CashOperation, operation_id, lock=True)  # of two first prints at once one is a copy
    printed = select(func.count()).where(
        AuditEvent.entity == CashOperation.__tablename__,
        AuditEvent.entity_id == str(operation_id),
        AuditEvent.event == str(Event.CASH_RECEIPT_PRINTED),
    )
    before = work.session.scalar(printed) or 0
    work.record(Event.CASH_RECEIPT_PRINTED, row)
    return before
