"""Which payment a credit on a statement gives back: statements list both, but do not say."""

from collections import defaultdict
from collections.abc import Hashable


class Credits:
    """The payments seen so far, and what is left of each."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, list[list[int]]] = defaultdict(list)

    def charge(self, payer: Hashable, number: int, minor: int) -> None:
        """Remember a payment; `payer` is what a payment and its credit share, such as card and merchant."""
        self._seen[payer].append([number, minor, minor])

    def credit(self, payer: Hashable, minor: int) -> int | None:
        """The number of the payment that `minor` is given back from, or None when no payment before it fits.

        That is the latest payment of exactly this amount that is not refunded yet; failing that, the latest one with
        enough left.
        """
        seen = self._seen.get(payer, ())
        exact = next((found for found in reversed(seen) if found[1] == found[2] == minor), None)
        found = exact or next((found for found in reversed(seen) if found[2] >= minor), None)
        if found is None:
            return None
        found[2] -= minor
        return found[0]
