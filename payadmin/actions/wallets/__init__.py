"""Wallets: opened, closed, corrected by two people; what moves between them; what is over a limit; bonus units."""

from payadmin.actions.wallets.adjusting import adjust_wallet, reverse_transaction
from payadmin.actions.wallets.bonus import issue_bonus, redeem_bonus
from payadmin.actions.wallets.keeping import close_wallet, open_wallet
from payadmin.actions.wallets.limits import (
    approve_application,
    expire_application,
    reject_application,
    withdraw_application,
)
from payadmin.actions.wallets.moving import exchange, move, transfer

__all__ = [
    "adjust_wallet",
    "approve_application",
    "close_wallet",
    "exchange",
    "expire_application",
    "issue_bonus",
    "move",
    "open_wallet",
    "redeem_bonus",
    "reject_application",
    "reverse_transaction",
    "transfer",
    "withdraw_application",
]
