"""Money as whole minor units with a unit code and its scale; nothing in this room ever touches a float."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import AmountText, _

MAX_MINOR: Final = 10**15
MAX_SCALE: Final = 8
_AMOUNT: Final = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]+))?", re.ASCII)
_LONGEST_AMOUNT: Final = 40
# Old payments keep the currency that they were made in; ISO 4217 lists it no more.
_WITHDRAWN: Final = {
    "ANG": 2, "BGN": 2, "BYR": 0, "CUC": 2, "CYP": 2, "EEK": 2, "GHC": 2, "HRK": 2, "LTL": 2, "LVL": 2, "MRO": 2,
    "MTL": 2, "MZM": 2, "ROL": 0, "SIT": 2, "SKK": 2, "SLL": 2, "STD": 2, "TRL": 0, "VEF": 2, "ZMK": 2, "ZWL": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one unit; only amounts of the same unit and scale can be added or compared."""

    minor: int
    unit: str
    scale: int

    def __str__(self) -> str:
        return AmountText(f"{format_minor(self.minor, self.scale)} {self.unit}", self.minor, self.unit, self.scale)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.unit, self.scale)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same_unit(other), self.unit, self.scale)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same_unit(other), self.unit, self.scale)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same_unit(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same_unit(other)

    def __gt__(self, other: "Money") -> bool:
        return self.minor > self._same_unit(other)

    def __ge__(self, other: "Money") -> bool:
        return self.minor >= self._same_unit(other)

    @property
    def decimal_text(self) -> str:
        """The plain number, as files and form fields want it: no grouping, no unit."""
        return decimal_text(self.minor, self.scale)

    def split(self, parts: int) -> "list[Money]":
        """Shares that sum exactly to the whole; the first ones carry the remainder."""
        return [Money(minor, self.unit, self.scale) for minor in split(self.minor, parts)]

    def _same_unit(self, other: "Money") -> int:
        if (self.unit, self.scale) != (other.unit, other.scale):
            raise Invalid(_("%(unit)s and %(unit2)s cannot be added or compared.", unit=self.unit, unit2=other.unit))
        return other.minor


def parse_minor(text: str, scale: int, *, max_minor: int = MAX_MINOR, allow_zero: bool = False) -> int:
    """The whole minor units of a typed amount such as "1,234.50"; refuses everything ambiguous, with a sentence."""
    typed = text.strip(" ")
    if not typed:
        raise Invalid("Enter an amount.")
    match = _AMOUNT.fullmatch(typed) if len(typed) <= _LONGEST_AMOUNT else None
    if match is None:
        raise Invalid(_("%(typed)s is not an amount. %(scale)s", typed=_shown(typed), scale=_example(scale)))
    whole, fraction = match[1].replace(",", ""), match[2] or ""
    if len(fraction) > scale:
        raise Invalid(_("%(typed)s has too many decimals. %(scale)s", typed=typed, scale=_example(scale)))
    minor = int(whole + fraction.ljust(scale, "0"))
    if minor > max_minor:
        raise Invalid(
            _("%(typed)s is too large: at most %(max_minor)s.", typed=typed, max_minor=format_minor(max_minor, scale))
        )
    if minor == 0 and not allow_zero:
        raise Invalid("The amount must be more than zero.")
    return minor


def format_minor(minor: int, scale: int) -> str:
    """The amount as people read it, grouped by thousands: "1,234.50"."""
    whole, fraction = divmod(abs(minor), 10**scale)
    return f"{'-' if minor < 0 else ''}{whole:,}{f'.{fraction:0{scale}d}' if scale else ''}"


def decimal_text(minor: int, scale: int) -> str:
    """The amount as files hold it: "1234.50"."""
    whole, fraction = divmod(abs(minor), 10**scale)
    return f"{'-' if minor < 0 else ''}{whole}{f'.{fraction:0{scale}d}' if scale else ''}"


@lru_cache(maxsize=1024)
def scale_of(code: str) -> int:
    """How many decimals ISO 4217 gives the currency; an unknown code, or one without minor units, is refused."""
    from iso4217 import Currency  # noqa: PLC0415  (it parses the ISO table when imported: 40 ms nobody else should pay)

    if code in _WITHDRAWN:
        return _WITHDRAWN[code]
    try:
        exponent = Currency(code).exponent
    except ValueError:
        raise Invalid(_("%(code)s is not a currency code. Use three letters such as EUR.", code=_shown(code))) from None
    if exponent is None:
        raise Invalid(_("%(code)s is not a currency that amounts can be charged in.", code=code))
    return int(exponent)


def split(minor: int, parts: int) -> list[int]:
    """Shares that differ by at most one minor unit and sum to the whole; the first ones carry the remainder."""
    if parts < 1:
        raise Invalid("An amount is split into one part or more.")
    share, rest = divmod(abs(minor), parts)
    sign = -1 if minor < 0 else 1
    return [sign * (share + (position < rest)) for position in range(parts)]


def _shown(typed: str) -> str:
    short = typed if len(typed) <= 20 else f"{typed[:20]}…"  # noqa: PLR2004  (a sentence, not a rule)
    return f'"{short}"' if short.isprintable() else ascii(short)


def _example(scale: int) -> str:
    if not scale:
        return _("Write whole units without decimals, such as 1,234.")
    example = format_minor(123450 * 10**scale // 100, scale)
    return _("Write digits with up to %(scale)s decimals, such as %(example)s.", scale=scale, example=example)
