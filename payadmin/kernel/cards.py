"""Card numbers: what may be remembered of one without being able to tell it."""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_PURPOSE: Final = b"payadmin card fingerprint"


def fingerprint(keys: Sequence[bytes], digits: str) -> str:
    """The keyed fingerprint of a card number, the same for the same card; without the key it tells nothing (PY12).

    Args:
        keys: the configured keys; the first one marks what is written now.
    """
    return fingerprints(keys[:1], digits)[0]


def fingerprints(keys: Sequence[bytes], digits: str) -> list[str]:
    """The fingerprint of a card number under every configured key: what a search by full number looks for."""
    return [hmac.digest(_derived(key), digits.encode(), "sha256").hex() for key in keys]


@lru_cache(maxsize=16)
def _derived(key: bytes) -> bytes:
    """A key of its own for this purpose: the configured one also seals secrets."""
    return hmac.digest(key, _PURPOSE, "sha256")
