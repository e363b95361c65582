"""The pages of wallets: Coins, their transactions, and applications of what is over a limit."""

from payadmin.views.wallets import applications, coins, moves

__all__ = ["applications", "coins", "moves"]
