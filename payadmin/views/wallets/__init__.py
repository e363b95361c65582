"""The pages of wallets: Coins and their transactions."""

from payadmin.views.wallets import coins, moves

__all__ = ["coins", "moves"]
