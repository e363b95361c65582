"""Notes and coins of currencies, so that a till is counted piece by piece. What is not listed is typed whole."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_EURO: Final = (500_00, 200_00, 100_00, 50_00, 20_00, 10_00, 5_00, 2_00, 1_00, 50, 20, 10, 5, 2, 1)

# In minor units, the largest first.
NOTES_AND_COINS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "CHF": (1000_00, 200_00, 100_00, 50_00, 20_00, 10_00, 5_00, 2_00, 1_00, 50, 20, 10, 5),
        "EUR": _EURO,
        "GBP": (50_00, 20_00, 10_00, 5_00, 2_00, 1_00, 50, 20, 10, 5, 2, 1),
        "JPY": (10_000, 5_000, 2_000, 1_000, 500, 100, 50, 10, 5, 1),
        "KWD": (20_000, 10_000, 5_000, 1_000, 500, 250, 100, 50, 20, 10, 5),
        "PLN": (500_00, 200_00, 100_00, 50_00, 20_00, 10_00, 5_00, 2_00, 1_00, 50, 20, 10, 5, 2, 1),
        "USD": (100_00, 50_00, 20_00, 10_00, 5_00, 2_00, 1_00, 50, 25, 10, 5, 1),
    }
)

MOST_PIECES: Final = 1_000_000


def added_up(pieces: Mapping[int, int]) -> int:
    """What notes and coins come to, in minor units; `pieces` says how many there are of each."""
    return sum(minor * number for minor, number in pieces.items())
