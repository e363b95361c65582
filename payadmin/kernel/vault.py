"""Secrets at rest: AES-GCM, bound to the row they belong to, readable with every key that is still configured."""

import base64
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Unreadable(ValueError):
    """No configured key opens this secret: it was moved from another row, tampered with, or its key was dropped."""


def seal(keys: Sequence[bytes], owner: str, secret: str) -> str:
    """Encrypt `secret` with the first key so that it opens only for `owner`."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(keys[0]).encrypt(nonce, secret.encode(), owner.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(keys: Sequence[bytes], owner: str, sealed: str) -> str:
    """What `seal` hid for `owner`, under any of `keys`.

    Raises:
        Unreadable: another row's secret, a changed one, or no key fits.
    """
    raw = base64.urlsafe_b64decode(sealed)
    for key in keys:
        try:
            return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode()).decode()
        except InvalidTag:
            continue
    raise Unreadable(owner)


def seal_bytes(keys: Sequence[bytes], owner: str, data: bytes) -> bytes:
    """`seal` for what is no text, such as a picture; kept as it is, without base64."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(keys[0]).encrypt(nonce, data, owner.encode())


def unseal_bytes(keys: Sequence[bytes], owner: str, sealed: bytes) -> bytes:
    """What `seal_bytes` hid for `owner`, under any of `keys`.

    Raises:
        Unreadable: it belongs to something else, was changed or cut off, or no key fits.
    """
    if len(sealed) < _NONCE_BYTES:
        raise Unreadable(owner)
    for key in keys:
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode())
        except InvalidTag:
            continue
    raise Unreadable(owner)


def is_current(keys: Sequence[bytes], owner: str, sealed: str) -> bool:
    """Whether the first key opens it; otherwise it is time to seal it again."""
    try:
        unseal(keys[:1], owner, sealed)
    except Unreadable:
        return False
    return True
