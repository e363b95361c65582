"""Keys that programs show as `Authorization: Bearer …`: made, taken apart, and recognised without being kept."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

PREFIX_LENGTH = 12
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_SHAPE = re.compile(r"pak_([a-z2-7]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
# What a key that names no row is compared with, so that both take as long.
_NOBODY = hashlib.sha256(b"nobody's key").hexdigest()


@dataclass(frozen=True)
class Bearer:
    """A key: `prefix` finds its row, `secret` proves that it is that row's."""

    prefix: str
    secret: str

    def __repr__(self) -> str:
        return f"Bearer({self.prefix}…)"

    def __str__(self) -> str:
        return f"pak_{self.prefix}_{self.secret}"

    @property
    def secret_hash(self) -> str:
        """What is kept of the secret: 256 random bits need no salt and no slow hash."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def is_key_of(self, secret_hash: str | None) -> bool:
        """Whether this is the key whose hash was kept, in the same time whatever the answer; None: no such row."""
        same = hmac.compare_digest(self.secret_hash, secret_hash or _NOBODY)
        return same and secret_hash is not None


def new_bearer() -> Bearer:
    """A key that nobody has ever seen."""
    return Bearer("".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_LENGTH)), secrets.token_urlsafe(32))


def bearer_of(header: str) -> Bearer | None:
    """The key in an `Authorization` header; None when it holds nothing that looks like one."""
    scheme, _, credentials = header.partition(" ")
    found = _SHAPE.fullmatch(credentials.strip()) if scheme.lower() == "bearer" else None
    return Bearer(*found.groups()) if found else None
