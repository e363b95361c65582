"""Passwords: the rule for choosing one, and the slow hash that is checked in the same time for strangers."""

import functools
import gzip
import hmac
import itertools
import re
import secrets
import string
import threading
from collections.abc import Iterable
from importlib.resources import files

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from payadmin.kernel.text import _

SHORTEST = 12
LONGEST = 128
REMEMBERED = 4

# 46 MiB, one pass, one lane: OWASP's second configuration. Memory is what it costs, so only a few run at a time.
_HASHER = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1)
_TURNS = threading.BoundedSemaphore(4)

# Nothing that is easily mistaken for something else.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_WORD = re.compile(r"[^\W_]{4,}")

RULE = _(
    "At least %(shortest)s characters with a letter and a digit, not a common password, without your name, "
    "and not one of your last %(remembered)s.",
    shortest=SHORTEST,
    remembered=REMEMBERED,
)


def hash_password(password: str) -> str:
    """The argon2id hash of `password`."""
    with _TURNS:
        return _HASHER.hash(password)


def matches(password_hash: str | None, password: str) -> bool:
    """Whether `password` belongs to `password_hash`; a missing hash costs the same time and never matches."""
    with _TURNS:
        try:
            _HASHER.verify(password_hash or _nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def complaint(password: str, *, username: str, names: Iterable[str] = ()) -> str | None:
    """What is wrong with a new password, as a sentence for the person who typed it; None when nothing is.

    Args:
        names: the person's name and e-mail address; no longer word of them may stand in the password.
    """
    plain = password.casefold()
    if len(password) < SHORTEST:
        return _("Use at least %(shortest)s characters.", shortest=SHORTEST)
    if len(password) > LONGEST:
        return _("Use at most %(longest)s characters.", longest=LONGEST)
    if not any(c.isalpha() for c in password) or not any(c.isdigit() for c in password):
        return "Use at least one letter and one digit."
    if any(not c.isprintable() for c in password):
        return "Use only characters that can be typed and shown."
    if username.casefold() in plain:
        return "Do not use your user name in the password."
    if any(word in plain for name in names for word in _WORD.findall(name.casefold())):
        return "Do not use your name or e-mail address in the password."
    # "Dragonfly2026!" is a common password with decoration, and the first thing a cracker tries.
    if plain in _common() or plain.strip(string.digits + string.punctuation) in _common():
        return "This password is too common. Four random words and a number make a good one."
    return None


def temporary_password() -> str:
    """A random password that satisfies the rule, for the first sign-in only."""
    return password_of(secrets.token_hex(), "")


def password_of(secret: str, nonce: str) -> str:
    """The temporary password that goes with a nonce (79 bits), for the first sign-in only.

    A mail can be written from the nonce when it is sent, so the password itself is kept nowhere.

    Args:
        secret: the application's secret; another one makes other passwords.
        nonce: a random text (`kernel/links.py`), used for one password.
    """
    for turn in itertools.count():
        digest = hmac.digest(secret.encode(), f"payadmin temporary password {turn} {nonce}".encode(), "sha512")
        number, letters = int.from_bytes(digest), []
        for _place in range(16):
            number, place = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[place])
        password = "-".join("".join(letters[start : start + 4]) for start in range(0, 16, 4))
        if complaint(password, username="\0") is None:
            return password
    raise AssertionError


@functools.cache
def _common() -> frozenset[str]:
    packed = files("payadmin.kernel").joinpath("common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().split("\n"))


@functools.cache
def _nobody() -> str:
    return _HASHER.hash(secrets.token_hex())
