"""When lifting a block, or letting a rule block by itself, takes a second person."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from payadmin.approvals import ApprovalGate, Ask, Target, money_words
from payadmin.kernel.text import Text, _
from payadmin.models.payments import Payment
from payadmin.models.risk import COLUMN_OF, MODEL_OF, Block, BlockTarget, WatchRule, WatchVersion
from payadmin.models.wallets import Wallet, WalletTransaction
from payadmin.queries.wallets import amounts_of
from payadmin.work import Actor, Work

WHY_BLOCKING = "A rule that blocks by itself is switched on by two people."


def hold_target(work: Work, target: BlockTarget, row_id: int) -> Any:
    """Hold what a block is about, and every wallet that money could leave or reach because of it.

    Wallets come last and in the order of their numbers, as everybody holds them who moves money. So nothing is in hand
    when a block comes into force: it is over, or it will see the block.
    """
    if target is BlockTarget.WALLET_TRANSACTION:
        seen = work.get(WalletTransaction, row_id)
        _hold_wallets(work, [each for each in (seen.from_wallet_id, seen.to_wallet_id) if each is not None])
        return work.get(WalletTransaction, row_id, lock=True)
    row = work.get(MODEL_OF[target], row_id, lock=True)
    if target in {BlockTarget.CUSTOMER, BlockTarget.ORGANIZATION}:
        whose = getattr(Wallet, COLUMN_OF[target]) == row_id
        _hold_wallets(work, work.session.scalars(select(Wallet.id).where(whose)).all())
    return row


def _hold_wallets(work: Work, wallet_ids: Any) -> None:
    for wallet_id in sorted(set(wallet_ids)):
        work.get(Wallet, wallet_id, lock=True)


def _block(arguments: Mapping[str, Any]) -> Target:
    return Target(Block, arguments["block_id"])


def _hold_first(work: Work, block_id: int) -> None:
    block = work.get(Block, block_id)
    hold_target(work, block.target, block.target_id)


def _lift_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    block = work.get(Block, arguments["block_id"])
    at_stake = stake_of(work, block)
    what = Text(block.target.value).lower()
    if at_stake is None:
        title = _("Lift block no. %(number)s of a %(what)s", number=block.id, what=what)
        return Ask(title, {"unblock_party": 0})
    minor, unit = at_stake
    title = _(
        "Lift block no. %(number)s of a %(what)s over %(amount)s",
        number=block.id,
        what=what,
        amount=money_words(work, minor, unit),
    )
    return Ask(title, {"unblock": minor}, minor, unit)


def stake_of(work: Work, block: Block) -> tuple[int, str] | None:
    """What lifting a block sets free, in minor units of a unit; None for people and organizations, who have many."""
    row = work.get(MODEL_OF[block.target], block.target_id)
    if isinstance(row, Payment):
        return row.captured_minor or row.amount_minor, row.unit
    if isinstance(row, WalletTransaction):
        return row.paid_minor, row.unit
    if isinstance(row, Wallet):
        return amounts_of(work.session, [row])[row.id].balance_minor, row.unit
    return None


def _version(arguments: Mapping[str, Any]) -> Target:
    return Target(WatchVersion, arguments["version_id"])


def _watch_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    version = work.get(WatchVersion, arguments["version_id"])
    name = work.get(WatchRule, version.rule_id).name
    return Ask(_("Let the watch rule “%(name)s” block payments", name=name), {})


def _always(_actor: Actor) -> str:
    return WHY_BLOCKING


UNBLOCK_GATE = ApprovalGate("unblock", _block, _lift_asks, hold_first=_hold_first)
BLOCKING_GATE = ApprovalGate("watch_rule", _version, _watch_asks, standing=_always)
