"""Corrections: a wallet adjusted by hand, a transaction reversed. Both need a second person, always (domain 7.2)."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select

from payadmin.actions.wallets.moving import BUSINESS, facts, names
from payadmin.approvals import ApprovalGate, Ask, Target, money_words
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post, reverse
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.wallets import KEY_LENGTH, REASON_LENGTH, MoveStatus, Wallet, WalletKind, WalletTransaction
from payadmin.permissions import Permission
from payadmin.queries.blocks import refuse, transaction_block
from payadmin.queries.wallets import owner_of, stopped, trouble
from payadmin.work import Actor, Work, use_case

ADJUSTMENT: Final = "adjustment:"
WHY = "Books are corrected by hand only with a second person's consent."


def _standing(_actor: Actor) -> str:
    return WHY


def _wallet(arguments: Mapping[str, Any]) -> Target:
    return Target(Wallet, arguments["wallet_id"])


def _adjust_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    wallet = work.get(Wallet, arguments["wallet_id"])
    amount = abs(arguments["amount_minor"])
    words = {"wallet": wallet.number, "amount": money_words(work, amount, wallet.unit)}
    title = (
        _("Put %(amount)s into wallet %(wallet)s", **words)
        if arguments["amount_minor"] > 0
        else _("Take %(amount)s out of wallet %(wallet)s", **words)
    )
    return Ask(title, {}, amount_minor=amount, unit=wallet.unit)


def _transaction(arguments: Mapping[str, Any]) -> Target:
    return Target(WalletTransaction, arguments["transaction_id"])


def _reverse_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    row = work.get(WalletTransaction, arguments["transaction_id"])
    title = _("Reverse wallet transaction no. %(number)s", number=row.id)
    return Ask(title, {}, amount_minor=row.amount_minor, unit=row.unit)


def _hold_wallets(work: Work, transaction_id: int) -> None:
    """Both wallets of a transaction, in the order in which everybody holds them."""
    row = work.get(WalletTransaction, transaction_id)
    for wallet_id in sorted({each for each in (row.from_wallet_id, row.to_wallet_id) if each is not None}):
        work.get(Wallet, wallet_id, lock=True)


ADJUST_GATE = ApprovalGate("wallet", _wallet, _adjust_asks, standing=_standing)
REVERSE_GATE = ApprovalGate("wallet", _transaction, _reverse_asks, standing=_standing, hold_first=_hold_wallets)


@use_case(Permission.WALLETS_WALLET_ADJUST, about=Wallet, gate=ADJUST_GATE)
def adjust_wallet(work: Work, wallet_id: int, *, amount_minor: int, reason: str, key: str) -> WalletTransaction:
    """Correct what a wallet holds by hand, against suspense (J00). A second person has to approve it.

    Args:
        amount_minor: above zero: put into the wallet; below: taken out of it.
        key: names this order; the same order that comes again answers with what it made.

    Raises:
        NeedsApproval: filed, and not done yet.
        Invalid: nothing to move, or no reason.
        Conflict: the wallet, its owner or its unit cannot be used, it does not hold so much, or the key stands for
            another order.
    """
    words = _reason(reason)
    amount = abs(amount_minor)
    if not 0 < amount <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    if not key or len(key) > KEY_LENGTH - len(ADJUSTMENT):
        raise Invalid("This form is out of date. Open it again.")
    wallet = work.get(Wallet, wallet_id, lock=True)
    takes = amount_minor < 0
    whose: tuple[int | None, int | None] = (wallet.id, None) if takes else (None, wallet.id)
    fact = f"{ADJUSTMENT}{key}"
    before: WalletTransaction | None = work.one(select(WalletTransaction).where(WalletTransaction.key == fact))
    if before is not None:
        if (before.from_wallet_id, before.to_wallet_id, before.amount_minor) != (*whose, amount):
            raise Conflict("This form was used for another order already. Open it again.")
        return before
    if (refusal := trouble(work.session, wallet, pays=takes)) is not None:
        raise refusal
    row = work.add(
        WalletTransaction(
            key=fact,
            kind=WalletKind.ADJUSTMENT,
            from_wallet_id=whose[0],
            to_wallet_id=whose[1],
            unit=wallet.unit,
            amount_minor=amount,
            paid_minor=amount,
            to_unit=wallet.unit,
            received_minor=amount,
            day=_today(work),
            status=MoveStatus.EXECUTED,
            note=words,
            author_id=work.actor.staff_id,
        )
    )
    recipe = recipes.adjusted(unit=wallet.unit, owner=wallet.owner_key, amount=amount, is_less=takes)
    post(work, [Posting(f"{BUSINESS}:{row.id}", recipe, BUSINESS, row.id, row.day, memo=words)])
    work.record(Event.WALLET_ADJUSTED, row, after=facts(row), reason=words, **names(row, wallet))
    return row


@use_case(Permission.WALLETS_WALLET_ADJUST, about=WalletTransaction, gate=REVERSE_GATE)
def reverse_transaction(work: Work, transaction_id: int, *, reason: str) -> WalletTransaction:
    """Undo an executed transaction by its exact opposite, once (I2). A second person has to approve it.

    What was executed out of money that had been set aside is corrected by an adjustment, not by a reversal.

    Raises:
        NeedsApproval: filed, and not done yet.
        Invalid: no reason.
        Conflict: it was not executed or was reversed already, it, a wallet or an owner is blocked, or whoever got the
            money has spent it.
    """
    words = _reason(reason)
    seen = work.get(WalletTransaction, transaction_id)
    _hold_wallets(work, transaction_id)
    wallet_ids = [each for each in (seen.from_wallet_id, seen.to_wallet_id) if each is not None]
    wallets = [work.get(Wallet, wallet_id) for wallet_id in wallet_ids]
    row = work.get(WalletTransaction, transaction_id, lock=True)
    if row.status is MoveStatus.REVERSED:
        raise Conflict("It was reversed already.")
    if row.status is not MoveStatus.EXECUTED:
        raise Conflict("Only what was executed can be reversed.")
    refuse(transaction_block(work.session, row.id))
    for wallet in wallets:  # what was paid comes back, what was received leaves again
        refuse(stopped(work.session, wallet, owner_of(work.session, wallet), pays=wallet.id == row.to_wallet_id))
    booked = work.one(select(LedgerTransaction.id).where(LedgerTransaction.key == f"{BUSINESS}:{row.id}"))
    reverse(work, booked, key=f"{BUSINESS}:{row.id}:reversed", on=_today(work), memo=words)
    if not work.change(WalletTransaction, row.id, status=MoveStatus.REVERSED):
        raise Conflict("It was reversed already.")
    work.record(
        Event.WALLET_MOVE_REVERSED,
        work.get(WalletTransaction, row.id),
        before={"status": MoveStatus.EXECUTED},
        after={"status": MoveStatus.REVERSED},
        reason=words,
        **names(row, *wallets),
    )
    return row


def _today(work: Work) -> dt.date:
    return work.now.astimezone(current_settings().zone).date()


def _reason(reason: str) -> str:
    words = mask_pan_in_text(reason.strip())
    if not words or len(words) > REASON_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    return words
