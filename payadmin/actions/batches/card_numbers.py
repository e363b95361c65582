"""Card numbers where none belong: found in whatever text a file or a provider sends, and never kept."""

import re
from collections.abc import Container
from typing import Final

from payadmin.kernel.masks import card_number_digits, mask_card, mask_pan_in_text

SHORTEST: Final = 13
LONGEST: Final = 19
# Whatever stands between digits, three signs of it at most: "4242 / 4242 / …" is a card number, two sentences are not.
_RUN: Final = re.compile(r"\d(?:\D{0,3}\d){12,}")
_GROUP: Final = re.compile(r"\d+")


def may_hold_card(text: str) -> bool:
    """Whether there are digits enough for a card number; cheap, for cells by the million."""
    return len(text) >= SHORTEST and _RUN.search(text) is not None


def holds_card(text: str) -> bool:
    """Whether some groups of digits in a row make a card number, whatever stands between them."""
    return any(_of_whole_groups(run[0]) for run in _RUN.finditer(text))


def holds_one_of(text: str, numbers: Container[str]) -> bool:
    """Whether one of these card numbers stands in the digits of a text, even amid others."""
    for run in _RUN.finditer(text):
        digits = _digits(run[0])
        for length in range(SHORTEST, LONGEST + 1):
            if any(digits[at : at + length] in numbers for at in range(len(digits) - length + 1)):
                return True
    return False


def is_card(text: str) -> bool:
    """Whether a text is a card number and nothing else."""
    return not any(mark.isalpha() for mark in text) and card_number_digits(_digits(text)) is not None


def without_cards(text: str, numbers: Container[str] = ()) -> str:
    """The text without card numbers: shortened within it where that is certain, else the whole text to its end.

    Args:
        numbers: card numbers that are known to be there, found even amid other digits and from unknown issuers.
    """
    if not may_hold_card(text):
        return text
    shown = mask_pan_in_text(text)
    return mask_card(shown) if holds_card(shown) or holds_one_of(shown, numbers) else shown


def _of_whole_groups(run: str) -> bool:
    groups = [_digits(group) for group in _GROUP.findall(run)]
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > LONGEST:
                break
            if card_number_digits(digits):
                return True
    return False


def _digits(text: str) -> str:
    """The digits of a text, as ASCII: spreadsheets write them in other scripts too."""
    return "".join(str(int(mark)) for mark in text if mark.isdecimal())
