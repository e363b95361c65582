"""Blocks: set and lifted with a reason, or ended by their time; in force from the moment they are written (LI5)."""

import datetime as dt
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError

from payadmin import audit
from payadmin.actions.risk.approval import UNBLOCK_GATE, hold_target
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationKind
from payadmin.models.payments import Payment, PaymentStatus
from payadmin.models.risk import (
    COLUMN_OF,
    NOTE_LENGTH,
    Block,
    BlockReason,
    BlockScope,
    BlockStatus,
    BlockTarget,
)
from payadmin.models.wallets import MoveStatus, Wallet, WalletStatus, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.blocks import oneself
from payadmin.work import Work, use_case

WRITE: Final = Permission.FRAUD_BLOCK_WRITE
LONGEST: Final = dt.timedelta(days=3_660)
THERE: Final = _("This is blocked already. Look at the block that is in force.")
OVER: Final = _("This block is over already.")
STALE: Final = _("Somebody else changed this block meanwhile. Look at what changed, then try again.")
# Nothing happens to such a payment or transaction any more, whoever wants what.
FINAL_PAYMENTS: Final = (
    PaymentStatus.FAILED,
    PaymentStatus.CANCELLED,
    PaymentStatus.VOIDED,
    PaymentStatus.TOTALLY_REFUNDED,
)
FINAL_MOVES: Final = (MoveStatus.RELEASED, MoveStatus.REVERSED)


@use_case(WRITE)
def block(
    work: Work,
    *,
    target: BlockTarget,
    row_id: int,
    reason_code: BlockReason,
    note: str,
    scope: BlockScope = BlockScope.ALL,
    until: dt.datetime | None = None,
) -> int:
    """Block somebody or something, at once and everywhere; the number of the block.

    What is in hand ends first: a charge that was claimed is sent and booked, a transfer is over before this is.

    Args:
        target: of which kind `row_id` is.
        note: why, in words; they stand beside the block and in the trail.
        scope: of a wallet, whether money may still come in; everything else is blocked as a whole.
        until: when it ends by itself; None: when somebody lifts it.

    Raises:
        NotFound: there is no such thing.
        Invalid: no words, a time that has passed, or a scope that it does not have.
        Conflict: oneself, the system, something that is over, or it is blocked so already.
    """
    words = _words(note, "note")
    if until is not None and not work.now < until <= work.now + LONGEST:
        raise Invalid("Choose a time to come, within ten years.", field="until")
    if scope is not BlockScope.ALL and target is not BlockTarget.WALLET:
        raise Invalid("Only of a wallet, what leaves it can be blocked alone.", field="scope")
    row = hold_target(work, target, row_id)
    _refuse_house(work, row)
    _refuse_own(work, row)
    _refuse_final(work, row)
    return set_block(work, target, row, reason_code=reason_code, note=words, scope=scope, until=until).id


@use_case(WRITE, about=Block, gate=UNBLOCK_GATE)
def lift_block(work: Work, block_id: int, *, reason: str) -> None:
    """Lift a block that is in force. What it stopped is not done: whoever wants it asks again.

    Raises:
        Invalid: no reason.
        Conflict: it was lifted or has ended already, or it is the actor's own.
        NeedsApproval: a policy asks for a second person.
    """
    words = _words(reason, "reason")
    seen = work.get(Block, block_id)
    row = hold_target(work, seen.target, seen.target_id)
    _refuse_own(work, row)
    _end(work, work.get(Block, block_id, lock=True), row, BlockStatus.LIFTED, words)


@use_case(Permission.SYSTEM_JOB_RUN, about=Block)
def end_block(work: Work, block_id: int) -> bool:
    """Write down that a block's time is over; whether it did, since somebody may have lifted it meanwhile."""
    seen = work.get(Block, block_id)
    row = hold_target(work, seen.target, seen.target_id)
    found = work.get(Block, block_id, lock=True)
    if found.status is not BlockStatus.ACTIVE or found.until is None or found.until > work.now:
        return False
    _end(work, found, row, BlockStatus.ENDED, None)
    return True


def set_block(
    work: Work,
    target: BlockTarget,
    row: Any,
    *,
    reason_code: BlockReason,
    note: str,
    scope: BlockScope = BlockScope.ALL,
    until: dt.datetime | None = None,
    is_by_rule: bool = False,
) -> Block:
    """Write a block of a row that is held (`hold_target`), within whichever use case sets it.

    Raises:
        Conflict: it is blocked so already.
    """
    for standing in _of(work, target, row.id):
        if not standing.holds_at(work.now):
            _end(work, standing, row, BlockStatus.ENDED, None)
        elif standing.scope is scope:
            raise Conflict(THERE, block_id=standing.id)
    found = Block(
        target=target,
        scope=scope,
        reason_code=reason_code,
        note=note,
        until=until,
        is_by_rule=is_by_rule,
        blocked_by=work.actor.name,
        **{COLUMN_OF[target]: row.id},
    )
    try:
        with audit.undoable(work.session):
            work.add(found)
    except IntegrityError as error:  # the unique index, should two ever come so far at once
        raise Conflict(THERE) from error
    _mark(work, row, is_blocked=True)
    work.record(
        Event.RISK_BLOCKED,
        found,
        also=[row],
        after={"target": target, "scope": scope, "reason_code": reason_code, "until": until, "is_by_rule": is_by_rule},
        reason=note,
        **_keys(row),
    )
    return found


def _end(work: Work, found: Block, row: Any, status: BlockStatus, words: str | None) -> None:
    if found.status is not BlockStatus.ACTIVE:
        raise Conflict(OVER)
    values = {"lifted_at": work.now, "lifted_by": work.actor.name, "lift_reason": words}
    if not work.change(Block, found.id, when=(Block.version == found.version,), status=status, **values):
        raise Conflict(STALE)
    if not _of(work, found.target, row.id):
        _mark(work, row, is_blocked=False)
    work.record(
        Event.RISK_UNBLOCKED if status is BlockStatus.LIFTED else Event.RISK_BLOCK_ENDED,
        work.get(Block, found.id),
        also=[row],
        before={"status": BlockStatus.ACTIVE},
        after={"status": status},
        reason=words,
        **_keys(row),
    )


def _of(work: Work, target: BlockTarget, row_id: int) -> list[Block]:
    """The blocks of something that were not lifted, held."""
    column = getattr(Block, COLUMN_OF[target])
    found = select(Block).where(column == row_id, Block.status == BlockStatus.ACTIVE).order_by(Block.id)
    held = found.with_for_update(key_share=True).execution_options(populate_existing=True)
    return list(work.session.scalars(held))


def _mark(work: Work, row: Any, *, is_blocked: bool) -> None:
    """Let the status of a customer or wallet say what its blocks say: lists, pickers and workers go by it."""
    if isinstance(row, Customer):
        status: Any = CustomerStatus.BLOCKED if is_blocked else CustomerStatus.ACTIVE
        if row.status is not status:
            work.change(Customer, row.id, status=status)
    elif isinstance(row, Wallet):
        status = WalletStatus.BLOCKED if is_blocked else WalletStatus.OPEN
        if row.status is not status and not work.change(Wallet, row.id, status=status):
            raise Conflict(_("Wallet %(wallet)s is closed.", wallet=row.number))


# ---- what is never blocked -----------------------------------------------------------------------------------------


def _refuse_house(work: Work, row: Any) -> None:
    """Nobody blocks the house: whoever could lift that would be locked out too."""
    organization = _organization_of(work, row)
    if organization is not None and organization.kind is OrganizationKind.SYSTEM:
        raise Conflict("This belongs to the system itself, which cannot be blocked.")


def _refuse_own(work: Work, row: Any) -> None:
    """Nobody blocks or frees themselves, or what is theirs; nor do they agree that somebody else does."""
    organization, people = _organization_of(work, row), _people_of(work, row)
    decides = StaffUser.id == work.actor.staff_id
    if work.approved is not None:
        decides = or_(decides, StaffUser.username == work.approved.checker)
    for staff in work.session.scalars(select(StaffUser).where(decides).order_by(StaffUser.id)).all():
        if organization is not None and organization.id == staff.organization_id:
            raise Conflict("This is your own organization. Somebody else has to decide about it.")
        if (refusal := oneself(work.session, staff.id, people)) is not None:
            raise refusal


def _people_of(work: Work, row: Any) -> list[int]:
    """The customers whom something belongs to: of a wallet transaction those of both sides."""
    if isinstance(row, Customer):
        return [row.id]
    if isinstance(row, WalletTransaction):
        sides = Wallet.id.in_([each for each in (row.from_wallet_id, row.to_wallet_id) if each is not None])
        return [each for each in work.session.scalars(select(Wallet.customer_id).where(sides)) if each is not None]
    customer_id: int | None = getattr(row, "customer_id", None)
    return [customer_id] if customer_id is not None else []


def _organization_of(work: Work, row: Any) -> Organization | None:
    if isinstance(row, Organization):
        return row
    if isinstance(row, Wallet) and row.organization_id is not None:
        return work.get(Organization, row.organization_id)
    return None


def _refuse_final(work: Work, row: Any) -> None:
    del work
    if isinstance(row, Payment) and row.status in FINAL_PAYMENTS:
        word = Text(row.status.value).lower()
        raise Conflict(
            _("This payment is %(status)s: nothing can be done with it that a block would stop.", status=word)
        )
    if isinstance(row, WalletTransaction) and row.status in FINAL_MOVES:
        word = Text(row.status.value).lower()
        raise Conflict(
            _("This transaction is %(status)s: nothing can be done with it that a block would stop.", status=word)
        )
    if isinstance(row, Wallet) and row.status is WalletStatus.CLOSED:
        raise Conflict(_("Wallet %(wallet)s is closed.", wallet=row.number))


def _keys(row: Any) -> dict[str, Any]:
    """What staff find a block by in the trail."""
    if isinstance(row, Customer):
        return {"customer_id": row.id, "customer": row.external_id}
    if isinstance(row, Payment):
        return {"transaction_id": row.transaction_id, "customer_id": row.customer_id}
    if isinstance(row, Wallet):
        return {"wallet_number": row.number, "customer_id": row.customer_id}
    if isinstance(row, WalletTransaction):
        return {"wallet_transaction": row.id}
    return {"organization_id": row.id}


def _words(text: str, field: str) -> str:
    words = mask_pan_in_text(" ".join(text.split()))
    if not words or len(words) > NOTE_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=NOTE_LENGTH), field=field)
    return words
