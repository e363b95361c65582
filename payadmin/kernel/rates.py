"""Exchange rates: reading them, the file of the ECB, and converting amounts exactly (domain 4.1 M3)."""

import csv
import datetime as dt
import gzip
import io
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from payadmin.kernel.errors import Invalid
from payadmin.kernel.tariffs import half_even
from payadmin.kernel.text import _

WHOLE_DIGITS: Final = 15
DECIMALS: Final = 12
# A rate that is this many times the last one, or that part of it, is asked about: it is a slip more often than news.
DOUBTFUL: Final = 2
ECB_BASE: Final = "EUR"
# The ECB publishes its rates at about this time of each of its working days.
ECB_TIME: Final = dt.time(16, 0)
ECB_ZONE: Final = ZoneInfo("Europe/Berlin")
MOST_BYTES: Final = 20_000_000
MOST_ROWS: Final = 50_000
OFFICE_COLUMNS: Final = ("base", "quote", "rate", "valid_from")
MOST_OFFICE_ROWS: Final = 5_000
EARLIEST_YEAR, LATEST_YEAR = 1900, 9000
_RATE: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_CODE: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_ABSENT: Final = frozenset({"", "N/A", "-"})


@dataclass(frozen=True, slots=True)
class DayRates:
    """What the ECB published on one day: what one euro cost in each currency."""

    day: dt.date
    rates: dict[str, Decimal]


def parse_rate(typed: str) -> Decimal:
    """A rate as people type it, such as “1.0842” or “17,310.5”; exact, and more than zero.

    Raises:
        Invalid: not a plain number, zero, or more digits than are kept.
    """
    match = _RATE.fullmatch(typed.strip().replace(",", "")) if len(typed) <= WHOLE_DIGITS + DECIMALS + 10 else None
    if match is None:
        raise Invalid("Write a rate as a plain number, such as 1.0842.")
    whole, decimals = match[1].lstrip("0"), (match[2] or "").rstrip("0")
    if len(whole) > WHOLE_DIGITS or len(decimals) > DECIMALS:
        raise Invalid(
            _("A rate has at most %(whole)s digits and %(most)s decimals.", whole=WHOLE_DIGITS, most=DECIMALS)
        )
    rate = Decimal(f"{whole or '0'}.{decimals}" if decimals else whole or "0")
    if not rate:
        raise Invalid("A rate is more than zero.")
    return rate


def is_doubtful(rate: Decimal, last: Decimal) -> bool:
    """Whether a rate is so far from the last one that it should be asked about."""
    return rate > last * DOUBTFUL or rate * DOUBTFUL < last


def convert(minor: int, scale: int, rate: Fraction, to_scale: int) -> int:
    """An amount in another unit, rounded half to even to that unit's decimals.

    Args:
        minor: the amount in minor units of the unit that is given up.
        scale: that unit's decimals.
        rate: what one of it costs in the other.
        to_scale: the other unit's decimals.
    """
    return half_even(minor * rate * Fraction(10) ** (to_scale - scale))


def bought_for(minor: int, scale: int, rate: Fraction, to_scale: int) -> int:
    """What is bought for an amount, as in `convert` but rounded down: no way there and back may make money."""
    return math.floor(minor * rate * Fraction(10) ** (to_scale - scale))


def rate_text(rate: Fraction, digits: int = DECIMALS) -> str:
    """A rate as people read it: up to `digits` decimals, and no zeros at the end."""
    number = half_even(rate * 10**digits)
    whole, rest = divmod(number, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def published_at(day: dt.date) -> dt.datetime:
    """When the ECB's rates of a day begin to be in force."""
    return dt.datetime.combine(day, ECB_TIME, ECB_ZONE).astimezone(dt.UTC)


def unpacked(data: bytes) -> str:
    """The text of an uploaded rates file: CSV, compressed by gzip, or in a zip archive as the ECB offers it.

    Raises:
        Invalid: it is none of these, or too large.
    """
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(MOST_BYTES + 1)
        elif data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
                if len(names) != 1:
                    raise Invalid("The archive should hold one CSV file.", field="file")
                with archive.open(names[0]) as packed:
                    data = packed.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise Invalid("The file is too large to hold exchange rates.", field="file")
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise Invalid("This file cannot be read. Use the ECB's eurofxref-hist as CSV or zip.", field="file") from error


def read_ecb(text: str) -> Iterator[DayRates]:
    """Every day of the ECB's file of euro reference rates; what it does not quote on a day is left out.

    Raises:
        Invalid: it is not that file, or a line makes no sense; the sentence names the line.
    """
    lines = _rows(text)
    head = [name.strip() for name in next(lines, [])]
    codes = head[1:-1] if head and not head[-1] else head[1:]
    known = bool(codes) and head[0] == "Date" and all(_CODE.fullmatch(code) for code in codes)
    if not known or len(set(codes)) != len(codes):
        raise Invalid("This is not the ECB's file: its first line should be Date and currency codes.", field="file")
    seen: set[dt.date] = set()
    for number, line in enumerate(lines, 2):
        if not any(line):
            continue
        if number > MOST_ROWS:
            raise Invalid("The file has too many lines.", field="file")
        found = _day(line, codes, number)
        if found.day in seen:
            raise Invalid(_("Line %(line)s: the day is in the file twice.", line=number), field="file")
        seen.add(found.day)
        yield found


def _rows(text: str) -> Iterator[list[str]]:
    """The rows of a CSV file; what no reader of CSV can take is refused with a sentence."""
    try:
        yield from csv.reader(io.StringIO(text))
    except csv.Error as error:
        raise Invalid("This file cannot be read as CSV.", field="file") from error


def _day(line: list[str], codes: list[str], number: int) -> DayRates:
    try:
        day = dt.date.fromisoformat(line[0].strip())
    except ValueError:
        raise Invalid(
            _("Line %(line)s does not begin with a day such as 2026-10-30.", line=number), field="file"
        ) from None
    if len(line) < len(codes) + 1:
        raise Invalid(_("Line %(line)s is shorter than the first line.", line=number), field="file")
    rates: dict[str, Decimal] = {}
    for code, value in zip(codes, line[1:], strict=False):
        if value.strip() in _ABSENT:
            continue
        try:
            rates[code] = parse_rate(value)
        except Invalid as problem:
            told = _("Line %(line)s, %(code)s: %(problem)s", line=number, code=code, problem=problem.sentence)
            raise Invalid(told, field="file") from None
    return DayRates(day, rates)


@dataclass(frozen=True, slots=True)
class OfficeRate:
    """One line of an exchange office's file."""

    line: int
    base: str
    quote: str
    rate: Decimal
    valid_from: dt.datetime


def read_office(text: str, zone: ZoneInfo) -> Iterator[OfficeRate]:
    """Every line of a file with the columns base, quote, rate and valid_from (a moment, of `zone` unless it says).

    Raises:
        Invalid: it has other columns, or a line makes no sense; the sentence names the line.
    """
    lines = _rows(text)
    head = [name.strip() for name in next(lines, [])]
    if sorted(head) != sorted(OFFICE_COLUMNS):
        raise Invalid("The file should have the columns base, quote, rate and valid_from.", field="file")
    for number, cells in enumerate(lines, 2):
        if not any(cells):
            continue
        if number > MOST_OFFICE_ROWS:
            raise Invalid("The file has too many lines.", field="file")
        line = {name: cell.strip() for name, cell in zip(head, cells, strict=False)}
        found = _office_rate(number, line, zone) if len(cells) == len(head) else None
        if found is None:
            told = _("Line %(line)s needs a rate and a moment such as 2026-10-30T09:00.", line=number)
            raise Invalid(told, field="file")
        yield found


def _office_rate(number: int, line: dict[str, str], zone: ZoneInfo) -> OfficeRate | None:
    """What a line says; None where that is no rate or no moment."""
    try:
        moment, rate = dt.datetime.fromisoformat(line["valid_from"]), parse_rate(line["rate"])
    except (ValueError, Invalid):
        return None
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return OfficeRate(number, line["base"], line["quote"], rate, aware)
