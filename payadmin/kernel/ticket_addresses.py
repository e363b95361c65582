"""Addresses that customers answer to: each names one ticket and carries a signature, so that nobody can make one up."""

import base64
import hmac
import re
from typing import Final

_PURPOSE: Final = b"payadmin ticket address"
_LOCAL: Final = re.compile(r"ticket\+([0-9]{1,18})\.([a-z2-7]{26})", re.ASCII)


def ticket_address(secret: str, ticket_id: int, domain: str) -> str:
    """The address that answers about a ticket are sent to: `ticket+123.<signature>@domain`.

    Args:
        secret: the application's secret; another one makes other addresses.
    """
    return f"ticket+{ticket_id}.{_signature(secret, ticket_id)}@{domain}"


def ticket_of(secret: str, address: str, domain: str) -> int | None:
    """The ticket that an address names, or None for a forged one; takes as long for every wrong signature.

    Mail servers may change the case of an address, so case does not count.
    """
    local, _at, host = address.strip().lower().rpartition("@")
    found = _LOCAL.fullmatch(local)
    ticket_id, said = (int(found[1]), found[2]) if found else (0, "-" * 26)
    is_ours = hmac.compare_digest(_signature(secret, ticket_id), said) and found is not None
    return ticket_id if is_ours and host == domain.lower() else None


def _signature(secret: str, ticket_id: int) -> str:
    key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    return base64.b32encode(hmac.digest(key, str(ticket_id).encode(), "sha256")[:16]).decode().rstrip("=").lower()
