"""Links that are secrets: whoever holds one may open it, and nobody can make one up, change it or read it from a row.

A link's token is a random part, the nonce, with a signature. A row keeps the nonce and the token's fingerprint: without
the key of the application neither gives the token, so a stolen database opens nothing.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

_PURPOSE: Final = b"payadmin link "
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


def new_nonce() -> str:
    """The random part of a new link."""
    return _text(secrets.token_bytes(16))


def token_of(secret: str, purpose: str, nonce: str) -> str:
    """The token of the link with this nonce.

    Args:
        secret: the application's secret; another one makes other tokens.
        purpose: what the link is for; a token for something else opens nothing.
        nonce: the link's random part.
    """
    return f"{nonce}.{_signature(secret, purpose, nonce)}"


def is_ours(secret: str, purpose: str, token: str) -> bool:
    """Whether the application itself made this token; asks no database, and takes as long for every wrong one."""
    found = _TOKEN.fullmatch(token)
    nonce, signature = (found[1], found[2]) if found else ("-" * 22, "-" * 43)
    return hmac.compare_digest(_signature(secret, purpose, nonce), signature) and found is not None


def fingerprint_of(token: str) -> str:
    """What a row keeps of a token, and finds it by."""
    return hashlib.sha256(token.encode()).hexdigest()


def _signature(secret: str, purpose: str, nonce: str) -> str:
    key = hmac.digest(secret.encode(), _PURPOSE + purpose.encode(), "sha256")
    return _text(hmac.digest(key, nonce.encode(), "sha256"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
