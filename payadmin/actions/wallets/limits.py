"""Applications: what is over a limit is executed, rejected or expires, once (LI3, LI4).

The decision pages belong to the risk room; these are the acts that they call.
"""

import datetime as dt
from typing import Any, Final

from sqlalchemy import select

from payadmin.actions.wallets.moving import BUSINESS, facts, hold_key, names, recipe_of
from payadmin.approvals import person_of
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.tariffs import commission
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.access import StaffUser
from payadmin.models.batches import Batch, BatchRow
from payadmin.models.wallets import (
    NOTE_LENGTH,
    REASON_LENGTH,
    ApplicationStatus,
    LimitApplication,
    MoveStatus,
    Wallet,
    WalletKind,
    WalletTransaction,
)
from payadmin.permissions import Permission
from payadmin.queries.blocks import keep_stop, oneself, transaction_block
from payadmin.queries.wallets import amounts_of, term_now, trouble
from payadmin.work import Work, use_case

DECIDE: Final = Permission.FRAUD_APPLICATION_DECIDE
OVER = "This application was decided already."
OWN = "You asked for this yourself, with this account or another of yours. Somebody else has to decide it."

Held = tuple[LimitApplication, WalletTransaction, Wallet, Wallet]


@use_case(DECIDE, about=LimitApplication)
def approve_application(work: Work, application_id: int, *, reason: str | None = None) -> ApplicationStatus:
    """Execute what waits, exactly once, at this moment; contract, blocks and balance are looked at again (LI3).

    Its amounts are those that were confirmed when it was ordered.

    Returns:
        EXECUTED; or EXECUTION_FAILED when it, a wallet or an owner is blocked or closed, a unit was retired, or the
        contract in force now charges something else: what was set aside is given back then, and `failure` says why; or
        EXPIRED when its time was over before this (LI4).

    Raises:
        Forbidden: whoever ordered the transaction would approve it, with this account or another one.
        Conflict: it was decided already, or one of the two wallets is the actor's own.
    """
    words = _reason(reason, is_needed=False)
    application, row, payer, payee = _taken(work, application_id)
    if application.expires_at <= work.now:
        return _end(work, application_id, ApplicationStatus.EXPIRED, None)
    problem = _hindrance(work, row, payer, payee)
    _decide(work, application, ApplicationStatus.APPROVED, words)
    if problem is not None:
        keep_stop(work.session, problem, act=work.name, actor_name=work.actor.name)
        _change(work, application, ApplicationStatus.EXECUTION_FAILED, failure=str(problem.sentence)[:NOTE_LENGTH])
        _release(work, row, payer, payee)
        return _told(work, application, ApplicationStatus.EXECUTION_FAILED, words)
    done = recipes.executed(recipe_of(row, payer, payee))
    post(work, [Posting(f"{BUSINESS}:{row.id}", done, BUSINESS, row.id, _today(work), ends=hold_key(row))])
    if not work.change(WalletTransaction, row.id, status=MoveStatus.EXECUTED):
        raise Conflict(OVER)
    _change(work, application, ApplicationStatus.EXECUTED)
    work.record(
        Event.WALLET_MOVED, row, before={"status": MoveStatus.HELD}, after=facts(row), **names(row, payer, payee)
    )
    return _told(work, application, ApplicationStatus.EXECUTED, words)


@use_case(DECIDE, about=LimitApplication)
def reject_application(work: Work, application_id: int, *, reason: str) -> ApplicationStatus:
    """Say no, with a reason; what was set aside is given back (LI3).

    Raises:
        Invalid: no reason.
        Conflict: it was decided already.
    """
    words = _reason(reason)
    return _end(work, application_id, ApplicationStatus.REJECTED, words)


@use_case(Permission.WALLETS_WALLET_MOVE, about=LimitApplication)
def withdraw_application(work: Work, application_id: int, *, reason: str) -> ApplicationStatus:
    """Take an order back before it is decided, with a reason; what was set aside is given back.

    Raises:
        Invalid: no reason.
        Conflict: it was decided already.
    """
    words = _reason(reason)
    return _end(work, application_id, ApplicationStatus.WITHDRAWN, words)


@use_case(Permission.SYSTEM_JOB_RUN, about=LimitApplication)
def expire_application(work: Work, application_id: int) -> bool:
    """Give back what nobody decided about in time (LI4); whether it did, since somebody may have decided meanwhile."""
    application = _held(work, application_id)[0]
    if application.status is not ApplicationStatus.PENDING or application.expires_at > work.now:
        return False
    _end(work, application_id, ApplicationStatus.EXPIRED, None)
    return True


def _held(work: Work, application_id: int) -> Held:
    """An application, its transaction and both wallets, held in the order that `move` holds them in."""
    seen = work.get(LimitApplication, application_id)
    row = work.get(WalletTransaction, seen.transaction_id)
    assert row.from_wallet_id is not None
    assert row.to_wallet_id is not None
    wallet_ids = sorted({row.from_wallet_id, row.to_wallet_id})
    held = {wallet_id: work.get(Wallet, wallet_id, lock=True) for wallet_id in wallet_ids}
    application = work.get(LimitApplication, application_id, lock=True)
    row = work.get(WalletTransaction, row.id, lock=True)
    return application, row, held[row.from_wallet_id or 0], held[row.to_wallet_id or 0]


def _taken(work: Work, application_id: int) -> Held:
    """The same, of an application that still waits."""
    found = _held(work, application_id)
    application, row = found[:2]
    if application.status is not ApplicationStatus.PENDING or row.status is not MoveStatus.HELD:
        raise Conflict(OVER)
    return found


def _hindrance(work: Work, row: WalletTransaction, payer: Wallet, payee: Wallet) -> Conflict | None:
    """Why what waits cannot be executed at this moment: blocks, the contract in force now, and what was set aside."""
    found = (
        transaction_block(work.session, row.id)
        or trouble(work.session, payer, pays=True)
        or trouble(work.session, payee, pays=False)
    )
    if found is not None:
        return found
    term = term_now(work.session, payer, row.kind, work.now)
    if commission(term, row.amount_minor).minor != row.commission_minor:
        return Conflict("The contract has changed: it would cost something else now. Order it again.")
    if amounts_of(work.session, [payer])[payer.id].held_minor < row.paid_minor:
        return Conflict("What was set aside for it is not there any more.")
    return None


def _refuse_own(work: Work, transaction_id: int) -> None:
    """Nobody lets an order of their own pass a limit: two accounts of one person are one person (MC1)."""
    row = work.get(WalletTransaction, transaction_id)
    sides = select(Wallet.customer_id).where(Wallet.id.in_([row.from_wallet_id, row.to_wallet_id]))
    people = [each for each in work.session.scalars(sides) if each is not None]
    if (refusal := oneself(work.session, work.actor.staff_id, people)) is not None:
        raise refusal
    orderer = _orderer(work, row)
    if orderer is None or work.actor.staff_id is None:
        return
    if person_of(work, work.actor.staff_id) == person_of(work, orderer):
        raise Forbidden(OWN)


def _orderer(work: Work, row: WalletTransaction) -> int | None:
    """Who ordered a transaction; of a row that a worker paid, who confirmed its file."""
    if row.kind is not WalletKind.MASS_PAYMENT:
        return row.author_id
    confirmed_by = select(Batch.processed_by).join(BatchRow, BatchRow.batch_id == Batch.id)
    name = confirmed_by.where(BatchRow.transaction_id == row.id).scalar_subquery()
    found: int | None = work.one(select(StaffUser.id).where(StaffUser.username == name))
    return found


def _end(work: Work, application_id: int, status: ApplicationStatus, words: str | None) -> ApplicationStatus:
    application, row, payer, payee = _taken(work, application_id)
    _decide(work, application, status, words)
    _release(work, row, payer, payee)
    return _told(work, application, status, words)


def _decide(work: Work, application: LimitApplication, status: ApplicationStatus, words: str | None) -> None:
    if status is ApplicationStatus.APPROVED:
        _refuse_own(work, application.transaction_id)
    _change(work, application, status, decided_at=work.now, decided_by=work.actor.name, reason=words)


def _change(work: Work, application: LimitApplication, status: ApplicationStatus, **values: Any) -> None:
    if not work.change(LimitApplication, application.id, status=status, **values):
        raise Conflict(OVER)


def _release(work: Work, row: WalletTransaction, payer: Wallet, payee: Wallet) -> None:
    back = recipes.given_back(unit=row.unit, owner=payer.owner_key, amount=row.paid_minor)
    post(work, [Posting(f"{BUSINESS}:{row.id}:back", back, BUSINESS, row.id, _today(work), ends=hold_key(row))])
    if not work.change(WalletTransaction, row.id, status=MoveStatus.RELEASED):
        raise Conflict(OVER)
    work.record(
        Event.WALLET_MOVE_RELEASED,
        row,
        before={"status": MoveStatus.HELD},
        after={"status": MoveStatus.RELEASED},
        **names(row, payer, payee),
    )


def _told(work: Work, application: LimitApplication, status: ApplicationStatus, words: str | None) -> ApplicationStatus:
    work.record(
        Event.LIMIT_APPLICATION_DECIDED,
        application,
        before={"status": ApplicationStatus.PENDING},
        after={"status": status},
        reason=words,
        outcome="failed" if status is ApplicationStatus.EXECUTION_FAILED else "done",
        wallet_transaction=application.transaction_id,
    )
    return status


def _today(work: Work) -> dt.date:
    return work.now.astimezone(current_settings().zone).date()


def _reason(reason: str | None, *, is_needed: bool = True) -> str | None:
    words = mask_pan_in_text((reason or "").strip())
    if (is_needed and not words) or len(words) > REASON_LENGTH:
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    return words or None
