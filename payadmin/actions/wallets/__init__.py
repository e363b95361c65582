"""Wallets: opened, closed, corrected with a second person's consent; what moves between them; what is over a limit."""

from payadmin.actions.wallets.adjusting import adjust_wallet, reverse_transaction
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
    "move",
    "open_wallet",
    "reject_application",
    "reverse_transaction",
    "transfer",
    "withdraw_application",
]
