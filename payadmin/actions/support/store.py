"""The files of tickets: encrypted, in the folder of kept files, each under a random name and bound to it."""

import contextlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from payadmin.config import Settings
from payadmin.kernel.errors import NotFound

FOLDER: Final = "tickets"
_PURPOSE: Final = b"payadmin ticket files"
_NONCE_BYTES: Final = 12


def put_away(settings: Settings, content: bytes) -> str:
    """Write a file and return the random name by which `fetch` finds it; on disk once this returns."""
    stored = secrets.token_hex(24)
    place = _place(settings, stored)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(_key(settings.totp_keys[0])).encrypt(nonce, content, stored.encode())
    unfinished = place.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return stored


def fetch(settings: Settings, stored: str) -> bytes:
    """The content of a kept file.

    Raises:
        NotFound: it is gone, was changed, or no configured key opens it.
    """
    try:
        sealed = _place(settings, stored).read_bytes()
    except OSError:
        raise NotFound("The file is not there any more.") from None
    for key in settings.totp_keys:
        with contextlib.suppress(InvalidTag):
            return AESGCM(_key(key)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], stored.encode())
    raise NotFound("The file cannot be read: it was changed, or its key was dropped.")


def drop(settings: Settings, stored: str) -> None:
    """Forget a file whose message was not kept after all."""
    _place(settings, stored).unlink(missing_ok=True)


def _place(settings: Settings, stored: str) -> Path:
    return settings.files_folder / FOLDER / stored[:2] / stored


def _key(secret: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE, "sha256")
