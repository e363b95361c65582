"""Mass payments: rows of a confirmed batch are paid out of one organization's wallets, one after the other, each once.

Each row is a transaction of its own: its wallet transaction, the row's link to it and the batch's progress are written
together or not at all, so a crash between two rows loses and doubles nothing. What refuses a row leaves its wallets as
they were; the row then says why, and the next one goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, literal, select, update
from sqlalchemy.orm import Session

from payadmin.actions.batches.payees import payment_key
from payadmin.actions.wallets.moving import move
from payadmin.audit import Event
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Refusal
from payadmin.kernel.money import Money
from payadmin.kernel.text import _
from payadmin.ledger.posting import BooksClosed
from payadmin.models.batches import Batch, BatchRow, BatchStatus, RowStatus
from payadmin.models.wallets import TERMS_OF, Wallet, WalletKind, WalletStatus, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.batches import next_payable
from payadmin.queries.tariffs import ruling
from payadmin.queries.wallets import amounts_of, scales_of, why_unusable
from payadmin.work import SYSTEM, Work, use_case

USED_MEANWHILE: Final = _("This reference was used since the file was checked.")
MESSAGE_LENGTH: Final = 300


@dataclass(frozen=True)
class Cover:
    """What a batch needs of one wallet, and what is in it."""

    wallet: str
    needed: Money
    available: Money
    missing: Money | None
    problem: str | None


def covers(session: Session, batch: Any) -> list[Cover]:
    """What the valid rows of a checked batch would take out of which wallet, commission included; by unit.

    The cost does not grow with the batch: the check has added the rows up.
    """
    units = {unit: sums.get("paid_minor", 0) for unit, sums in sorted(batch.totals.items()) if sums["valid_rows"]}
    found = select(Wallet).where(Wallet.organization_id == batch.merchant_id, Wallet.unit.in_(units))
    wallets = {wallet.unit: wallet for wallet in session.scalars(found.execution_options(populate_existing=True))}
    amounts, scales = amounts_of(session, wallets.values()), scales_of(session, units)
    shown = []
    for unit, needed in units.items():
        wallet = wallets.get(unit)
        available = amounts[wallet.id].available_minor if wallet is not None else 0
        missing = Money(needed - available, unit, scales[unit]) if needed > available else None
        shown.append(
            Cover(
                wallet=wallet.number if wallet is not None else "",
                needed=Money(needed, unit, scales[unit]),
                available=Money(available, unit, scales[unit]),
                missing=missing,
                problem=why_unusable(session, wallet, pays=True)
                if wallet is not None
                else _("The organization that pays has no wallet in %(unit)s.", unit=unit),
            )
        )
    return shown


def why_not_covered(shown: Sequence[Cover]) -> str | None:
    """Why a batch cannot be paid out of its wallets now, or None when it can."""
    for each in shown:
        if each.problem is not None:
            return each.problem
        if each.missing is not None:
            return _(
                "Wallet %(wallet)s has %(available)s available, and this batch takes %(needed)s with its commission: "
                "%(missing)s are missing. Nothing is paid until they are there.",
                wallet=each.wallet,
                available=each.available,
                needed=each.needed,
                missing=each.missing,
            )
    return None


def contract_versions(work: Work, batch: Batch) -> dict[str, int]:
    """Which contract version says what rows cost, by unit; 0: none says anything."""
    kind = TERMS_OF[WalletKind.MASS_PAYMENT]
    found = {unit: ruling(work.session, batch.merchant_id, kind, unit, work.now) for unit in batch.totals}
    return {unit: ruled.version_id if ruled is not None else 0 for unit, ruled in found.items()}


def refuse_uncovered(work: Work, batch: Batch) -> None:
    """Stop the confirmation of a batch that its wallets cannot pay, or not for what its page showed.

    Raises:
        Conflict: too little is available, a wallet cannot be used, or another contract version is in force.
    """
    now = contract_versions(work, batch)
    if any(batch.totals[unit].get("contract_version", 0) != version for unit, version in now.items()):
        raise Conflict(
            "The contract of who pays has changed since the check, so commissions may differ. Check the file again.",
            batch_id=batch.id,
        )
    if (problem := why_not_covered(covers(work.session, batch))) is not None:
        raise Conflict(problem, batch_id=batch.id)


def overtaken(batch: Batch) -> ColumnElement[bool]:
    """Whether a row cannot be paid any more: its reference was used, or the payee's wallet is closed."""
    closed = select(Wallet.id).where(Wallet.id == BatchRow.payee_wallet_id, Wallet.status == WalletStatus.CLOSED)
    prefix = literal(payment_key(batch.merchant_id, ""))
    used = select(WalletTransaction.id).where(WalletTransaction.key == prefix.concat(BatchRow.reference))
    return closed.exists() | used.exists()


def pay_some(batch_id: int) -> bool:
    """Pay the next row of a confirmed batch, or say why it was refused; whether more rows may be left."""
    row_id = next_payable(db.session(), batch_id)
    db.session.rollback()  # what follows are transactions of their own
    if row_id is None:
        return False
    try:
        pay_row(SYSTEM, batch_id, row_id=row_id)
    except BooksClosed:
        return True  # the row is as it was, and is paid on the first open day
    except Refusal as refusal:
        refuse_row(SYSTEM, batch_id, row_id=row_id, sentence=refusal.sentence)
    return True


@use_case(Permission.SYSTEM_JOB_RUN)
def pay_row(work: Work, batch_id: int, *, row_id: int) -> bool:
    """Pay one row out of the wallet of who pays, or set its money aside when it is over a limit; whether it was left.

    Raises:
        Refusal: the wallets, their owners or their unit cannot be used, too little is available, or the reference was
            used; nothing has changed then.
    """
    batch, row = _held(work, batch_id, row_id)
    if row is None:
        return False
    payer: Wallet | None = work.one(
        select(Wallet).where(Wallet.organization_id == batch.merchant_id, Wallet.unit == row.unit)
    )
    if payer is None or row.payee_wallet_id is None or row.amount_minor is None:
        raise Conflict(_("The organization that pays has no wallet in %(unit)s.", unit=row.unit))
    for wallet_id in sorted({payer.id, row.payee_wallet_id}):
        work.get(Wallet, wallet_id, lock=True)
    key = payment_key(batch.merchant_id, row.reference or "")
    if work.exists(WalletTransaction.key == key):
        raise Conflict(USED_MEANWHILE)
    paid = move(
        work,
        kind=WalletKind.MASS_PAYMENT,
        from_id=payer.id,
        to_id=row.payee_wallet_id,
        amount_minor=row.amount_minor,
        key=key,
        note=row.description,
    )
    _settle(work, batch, row, status=RowStatus.DONE, transaction_id=paid.id, paid_minor=paid.paid_minor, message=None)
    work.record(
        Event.BATCH_PAID,
        paid,
        batch_id=batch.id,
        row_number=row.row_number,
        reference=row.reference,
        ordered_by=batch.processed_by,
    )
    return True


@use_case(Permission.SYSTEM_JOB_RUN)
def refuse_row(work: Work, batch_id: int, *, row_id: int, sentence: str) -> bool:
    """Write down why a row was not paid; whether it was left."""
    batch, row = _held(work, batch_id, row_id)
    if row is None:
        return False
    _settle(work, batch, row, status=RowStatus.REFUSED, message=str(sentence)[:MESSAGE_LENGTH])
    work.record(
        Event.BATCH_ROW_REFUSED,
        batch,
        outcome="refused",
        reason=sentence,
        file=batch.file_name,
        row_number=row.row_number,
        reference=row.reference,
    )
    return True


def _held(work: Work, batch_id: int, row_id: int) -> tuple[Batch, BatchRow | None]:
    """The batch, held, and the row of it if it still waits: another worker may have been here."""
    batch = work.get(Batch, batch_id, lock=True)
    row = work.get(BatchRow, row_id)
    is_left = batch.status is BatchStatus.PROCESSING and row.status is RowStatus.VALID
    return batch, row if is_left else None


def _settle(work: Work, batch: Batch, row: BatchRow, **values: Any) -> None:
    statement = update(BatchRow).where(BatchRow.id == row.id, BatchRow.status == RowStatus.VALID).values(**values)
    if work.session.execute(statement.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        msg = f"row {row.row_number} of batch {batch.id} was settled by somebody else under its lock"
        raise RuntimeError(msg)
    is_done = values["status"] is RowStatus.DONE
    progress = update(Batch).where(Batch.id == batch.id)
    progress = progress.values(
        rows_done=Batch.rows_done + int(is_done),
        rows_refused=Batch.rows_refused + int(not is_done),
        updated_at=work.now,
    )
    # How far processing has come is no act of anybody: its confirmation and its end are recorded.
    work.session.execute(progress.execution_options(synchronize_session=False, explained=True))
