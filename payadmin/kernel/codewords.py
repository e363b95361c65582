"""Codewords: what a customer says at a desk or on the phone so that staff know whom they serve (S3:97, S3:166).

Only a keyed digest of a codeword is kept: whoever has the database but not the keys can neither read nor guess one, and
a desk can still find the customer to whom it belongs.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from typing import Final

SHORTEST: Final = 6
LONGEST: Final = 64
_PURPOSE: Final = b"payadmin codeword "


def normalised(word: str) -> str:
    """A codeword as it is compared: case, width and spaces around and within words do not count."""
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


def is_usable(word: str) -> bool:
    """Whether a codeword is long enough to be kept and short enough to be said."""
    return SHORTEST <= len(normalised(word)) <= LONGEST and normalised(word).isprintable()


def digests(keys: Sequence[bytes], word: str) -> list[str]:
    """The digest of a codeword under each configured key; the first is the one to keep."""
    said = normalised(word).encode()
    return [hmac.new(key, _PURPOSE + said, hashlib.sha256).hexdigest() for key in keys]


def matches(keys: Sequence[bytes], word: str, kept: str | None) -> bool:
    """Whether `word` is the codeword that `kept` stands for; takes as long for every wrong one, and for none kept."""
    found = False
    for digest in digests(keys, word):
        found |= hmac.compare_digest(digest, kept or "-" * 64)
    return found and kept is not None
