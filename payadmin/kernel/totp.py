"""Authenticator codes (RFC 6238): secrets, the address in a QR code, and the 30-second step a code belongs to."""

import datetime as dt
import hashlib
import secrets

import pyotp
from pyotp.exceptions import OTPVerificationError

STEP_SECONDS = 30
DIGITS = 6


def new_secret() -> str:
    """A fresh 160-bit secret in base32."""
    return pyotp.random_base32()


def address(secret: str, *, username: str, issuer: str) -> str:
    """The otpauth:// address that an authenticator app scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=issuer)


def step_of(secret: str, code: str, now: dt.datetime) -> int | None:
    """The step `code` was made for, one step of clock difference allowed either way; None for a wrong code."""
    code = code.replace(" ", "")
    if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
        return None
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=1)
    except OTPVerificationError:
        return None


def code_at(secret: str, now: dt.datetime) -> str:
    """The code an authenticator shows at `now` (the demo prints it, tests type it)."""
    return pyotp.TOTP(secret).at(now)


def grouped(secret: str) -> str:
    """The secret in groups of four, as people type it."""
    return " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))


def new_recovery_code() -> str:
    """Sixteen letters and digits (80 bits) in groups of four, none of them easily mistaken for another."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))


def recovery_hash(staff_id: int, code: str) -> str:
    """What is kept of a recovery code; bound to its owner, so that a row moved to another account opens nothing."""
    plain = "".join(letter for letter in code.casefold() if letter.isalnum())
    return hashlib.sha256(f"{staff_id}:{plain}".encode()).hexdigest()
