"""Webhooks: hand a signed message to a merchant's endpoint, never to an address inside our own network."""

import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from payadmin.kernel.text import _, one_line

TIMEOUT_SECONDS: Final = 10.0
ANSWER_CHARS: Final = 200
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Receipt:
    """What became of one try; the answer is a sentence for staff."""

    is_delivered: bool
    answer: str


class PrivateAddress(Exception):
    """The endpoint's name leads into a private network."""


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of the header `Payadmin-Signature`: when it was signed, and an HMAC-SHA256 of `<t>.<body>`."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def send_webhook(
    url: str,
    content: Mapping[str, Any],
    *,
    secret: str,
    message_id: str,
    timestamp: int,
    allow_private: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Receipt:
    """Post a message once. Any 2xx means delivered; redirects are not followed.

    Args:
        message_id: the same at every try, so that the receiver can tell a repeated message.
        timestamp: when it is signed, in seconds since 1970.
        allow_private: accept loopback and private addresses (development, tests, endpoints in one's own network).
    """
    body = json.dumps(dict(content), separators=(",", ":"), sort_keys=True).encode()
    try:
        address, headers, extensions = _address(url, allow_private=allow_private)
        headers |= {
            "Content-Type": "application/json",
            "Payadmin-Message": message_id,
            "Payadmin-Signature": signature(secret, timestamp, body),
        }
        with (
            httpx.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", address, content=body, headers=headers, extensions=extensions) as response,
        ):
            return Receipt(response.is_success, f"The endpoint answered {response.status_code}.")
    except PrivateAddress:
        return Receipt(is_delivered=False, answer=_("The endpoint's address is private; it is not called."))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Receipt(
            is_delivered=False, answer=f"The endpoint cannot be reached: {one_line(str(error))}"[:ANSWER_CHARS]
        )


def _address(url: str, *, allow_private: bool) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The address to call by number: looked up once and checked, so that its name cannot lead elsewhere afterwards."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numbers = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not allow_private and not all(is_public(number) for number in numbers):
        raise PrivateAddress
    number = numbers[0]
    shown = f"[{number}]" if number.version == 6 else str(number)  # noqa: PLR2004 - IPv6
    path = parts.path or "/"
    address = f"{parts.scheme}://{shown}:{port}{path}" + (f"?{parts.query}" if parts.query else "")
    return address, {"Host": parts.netloc}, {"sni_hostname": host}


def is_public(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the world and not of somebody's own network."""
    mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    return (mapped or number).is_global and not number.is_multicast
