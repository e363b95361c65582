"""The outside world that moves money: one adapter per provider, all asked in the same words."""

from functools import cache

from payadmin.kernel.errors import Conflict
from payadmin.providers.answers import Answer, Capabilities, Listed, Outcome, Provider, StoredCard
from payadmin.providers.simulator import SimulatorProvider

__all__ = [
    "CONNECTED",
    "Answer",
    "Capabilities",
    "Listed",
    "Outcome",
    "Provider",
    "StoredCard",
    "connected",
    "provider_for",
]


CONNECTED = frozenset({SimulatorProvider.code})


def connected(code: str) -> bool:
    """Whether payadmin can ask the provider `code` to move money."""
    return code in CONNECTED


@cache
def provider_for(code: str, *, simulator_url: str, timeout_seconds: float) -> Provider:
    """Return the adapter of a provider; the same settings give the same adapter, so connections are kept alive."""
    if connected(code):
        return SimulatorProvider(simulator_url, timeout_seconds=timeout_seconds)
    raise Conflict("payadmin has no connection to this payment provider.", provider=code)
