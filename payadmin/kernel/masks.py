"""What is shown of personal and card data to people who need not see all of it, and never to a log."""

import contextlib
import logging
import re
from collections.abc import Callable
from typing import Any, Final

_DOTS: Final = "•••"
_SEPARATOR: Final = r"(?:%20|[ \u00a0\-+._])"
_DIGITS: Final = re.compile(rf"\d+(?:{_SEPARATOR}?\d+)*")
_GROUP: Final = re.compile(r"\d+")
_TYPED_CARD: Final = re.compile(r"[0-9](?:[ \u00a0-]?[0-9]){12,18}", re.ASCII)
_PHONE: Final = re.compile(r"\+\d{6,15}\*?", re.ASCII)
_SHORTEST_CARD, _LONGEST_CARD = 13, 19
_KNOWN_IIN: Final = re.compile(
    r"4|5[0-8]|6|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"  # Visa; Mastercard, Maestro; Discover, UnionPay; Mastercard
    r"|3[47]|3[0689]|35(?:2[89]|[3-8])|220[0-4]|9792"  # American Express; Diners; JCB; Mir; Troy
)


def mask_email(email: str) -> str:
    """The first letter and the domain: "a•••@example.com"."""
    name, at, domain = email.rpartition("@")
    return f"{name[:1]}{_DOTS}@{domain}" if at else f"{email[:1]}{_DOTS}" if email else ""


def mask_phone(phone: str) -> str:
    """The last two digits: "•••47"; a number too short to hide anything shows nothing."""
    digits = "".join(_GROUP.findall(phone))
    return f"{_DOTS}{digits[-2:]}" if len(digits) > 5 else _DOTS if phone else ""  # noqa: PLR2004


def mask_name(name: str) -> str:
    """The initials: "A••• L•••"."""
    return " ".join(f"{word[0]}{_DOTS}" for word in name.split())


def mask_card(number: str) -> str:
    """The last four digits: "•••1111"."""
    digits = "".join(_GROUP.findall(number))
    return f"{_DOTS}{digits[-4:]}" if len(digits) > 4 else number  # noqa: PLR2004  (the last four are not secret)


_MASKS: Final[dict[str, Callable[[str], str]]] = {
    "email": mask_email,
    "phone": mask_phone,
    "name": mask_name,
    "card": mask_card,
}


# Hexadecimal fingerprints and references: a stretch of their digits may pass for a card number by chance.
_DIGEST = re.compile(r"(?<![0-9A-Za-z])(?=(?:[0-9]*[a-f]){3})[0-9a-f]{20,}(?![0-9A-Za-z])")


def mask(kind: str, value: str) -> str:
    """The value as a column with that `mask` in its info shows it to people who need not see all of it."""
    return _MASKS[kind](value)


def mask_search(words: str) -> str:
    """What somebody looked for: e-mail addresses and phone numbers in it are masked, other words are not."""
    return " ".join(
        mask_email(word) if "@" in word else mask_phone(word) if _PHONE.fullmatch(word) else word
        for word in words.split()
    )


def luhn_ok(digits: str) -> bool:
    """Whether the last digit is the check digit of the ones before it."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004  (the rule of ISO/IEC 7812: cross sum)
    return bool(digits) and total % 10 == 0


def card_number_digits(text: str) -> str | None:
    """The digits of a full card number as typed or pasted, with or without spaces; None when it is not one."""
    typed = text.strip()
    if not _TYPED_CARD.fullmatch(typed):
        return None
    digits = "".join(_GROUP.findall(typed))
    return digits if _is_card(digits) else None


def mask_pan_in_text(text: str) -> str:
    """The text with every full card number cut to its first six and last four digits; fingerprints are left whole."""
    pieces, at = [], 0
    for digest in _DIGEST.finditer(text):
        pieces += [_DIGITS.sub(_mask_run, text[at : digest.start()]), digest[0]]
        at = digest.end()
    return "".join([*pieces, _DIGITS.sub(_mask_run, text[at:])])


def _is_card(digits: str) -> bool:
    return _SHORTEST_CARD <= len(digits) <= _LONGEST_CARD and bool(_KNOWN_IIN.match(digits)) and luhn_ok(digits)


def _mask_run(run: re.Match[str]) -> str:
    """A run may hold more than the card ("order 77 4111 1111 1111 1111"), so every span of whole groups is tried."""
    text = run[0]
    if len(text) < _SHORTEST_CARD:
        return text
    groups = list(_GROUP.finditer(text.replace("%20", "   ")))
    pieces, at, first = [], 0, 0
    while first < len(groups):
        digits, found = "", 0
        for last in range(first, len(groups)):
            digits += groups[last][0]
            if len(digits) > _LONGEST_CARD:
                break
            if _is_card(digits):
                found, card = last + 1, digits
        if found:
            pieces += [text[at : groups[first].start()], card[:6], "•" * (len(card) - 10), card[-4:]]
            at = groups[found - 1].end()
        first = found or first + 1
    return "".join([*pieces, text[at:]])


class PanFilter(logging.Filter):
    """Masks card numbers in what is logged: message, traceback and extra fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask_pan_in_text(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        for key, value in record.__dict__.items():
            if isinstance(value, str) and key != "msg":
                record.__dict__[key] = mask_pan_in_text(value)
        return True


def guard_logs() -> None:
    """Have every record of this process masked as it is made, whichever logger or handler it goes through."""
    made = logging.getLogRecordFactory()
    if getattr(made, "masks", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        with contextlib.suppress(TypeError, ValueError):  # arguments that do not fit are the handler's to report
            _MASKED.filter(record)
        return record

    factory.masks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


_MASKED: Final = PanFilter()
