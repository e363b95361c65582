"""Phone numbers as they are looked for: digits alone, E.164 where a number says its country (TK2)."""

import re
from typing import Final

LONGEST_KEY: Final = 32
_TRUNK: Final = re.compile(r"\(\s*0\s*\)")  # the zero that is dialled only at home: +44 (0)20 …
_NOT_DIALLED: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
_DIGITS: Final = re.compile(r"\+?[0-9]+", re.ASCII)


def phone_key(text: str | None) -> str | None:
    """A number as it is kept for look-ups: "+" and digits (E.164), or the bare digits of one without a country.

    Args:
        text: as people write it: `+44 (0)7700 900-123`, `0044 7700 900123`, `07700 900123`.

    Returns:
        None for what is no number at all.
    """
    if not text:
        return None
    dialled = _NOT_DIALLED.sub("", _TRUNK.sub("", text.strip()))
    if not _DIGITS.fullmatch(dialled):
        return None
    if dialled.startswith("00"):
        dialled = f"+{dialled[2:]}"
    return dialled[:LONGEST_KEY] if len(dialled.lstrip("+")) > 0 else None


def spellings(text: str, country: str) -> tuple[str, ...]:
    """Every key under which a number, or its beginning, may be kept.

    Args:
        text: the number, as people write it.
        country: the calling code of numbers that say none, such as "44"; empty: only what is written.
    """
    key = phone_key(text)
    if key is None:
        return ()
    if country and key.startswith("0"):
        return (key, f"+{country}{key[1:]}")
    if country and key.startswith(f"+{country}") and len(key) > len(country) + 1:
        return (key, f"0{key[len(country) + 1 :]}")
    return (key,)
