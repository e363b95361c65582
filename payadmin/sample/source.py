"""The bundled files as rows, and the part of the story that spans rows: refunds and recurring series."""

import csv
import datetime as dt
import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from payadmin.kernel.credits import Credits

LAST_ROW: Final = 181_335
TELCO_CUSTOMERS: Final = 7_043
RECENT_FROM_ROW: Final = 160_800  # the short history begins here: about 20,000 payments
GB: Final = "GB"


class CardRow(NamedTuple):
    """One line of a card statement; `number` is its place in the file and its identity."""

    number: int
    day: str
    vat: str
    amount: str
    unit: str
    billed: str
    billed_unit: str
    merchant: str
    card: str
    category_code: str
    category: str
    centre_code: str
    centre: str
    directorate: str

    @property
    def minor(self) -> int:
        """The amount in minor units: every amount of the file has two decimals."""
        return minor_of(self.amount)


class Credit(NamedTuple):
    """Money given back: a negative row of the statement that belongs to an earlier payment."""

    number: int
    day: str
    minor: int


@dataclass(slots=True)
class Series:
    """One recurring agreement, as its first charge shows it."""

    number: int
    card: str = ""
    centre_code: str = ""
    merchant: str = ""
    minor: int = 0
    unit: str = ""
    first_day: str = ""


@dataclass(slots=True)
class Story:
    """What no single row knows."""

    payments: int = 0
    recent_payments: int = 0
    credits: dict[int, list[Credit]] = field(default_factory=lambda: defaultdict(list))
    unmatched_credits: int = 0
    series_of: dict[int, int] = field(default_factory=dict)
    series: dict[int, Series] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The real days on which one series was charged, in order."""

    series: int
    merchant: str
    amount: str
    unit: str
    days: tuple[dt.date, ...]


class TelcoRow(NamedTuple):
    """One customer of the telephone company that IBM made up; `number` is the row's place in the file."""

    number: int
    customer_id: str
    tenure: int
    contract: str
    is_paperless: bool
    method: str
    monthly: str
    has_left: bool

    @property
    def minor(self) -> int:
        """A month's charge in cents."""
        whole, _, cents = self.monthly.partition(".")
        return int(whole + cents.ljust(2, "0"))


class CardRange(NamedTuple):
    first6: str
    bank: str


def minor_of(amount: str) -> int:
    """Whole minor units of an amount with two decimals."""
    whole, _, cents = amount.partition(".")
    assert len(cents) == 2, amount  # noqa: PLR2004
    return int(whole + cents)


def card_rows() -> Iterator[CardRow]:
    """Every row of the statement, oldest first."""
    for number, cells in enumerate(_records("birmingham_purchase_cards"), 1):
        day, vat, amount, unit, billed, billed_unit, merchant, card, *rest = cells
        yield CardRow(number, day, vat, amount, unit, billed, billed_unit, merchant, card, *rest)


def read_story() -> Story:
    """Go through the statement once: find the payment behind every credit, and the rows of every series.

    A credit belongs to an earlier payment with the same card, merchant and currency; what finds none stays unmatched.
    """
    story = Story()
    expected, units = _expected_charges()
    credits_left = Credits()
    for row in card_rows():
        minor = row.minor
        payer = (row.card, row.merchant, row.unit)
        if minor < 0:
            _match(story, row, credits_left.credit(payer, -minor))
            continue
        story.payments += 1
        story.recent_payments += row.number >= RECENT_FROM_ROW
        credits_left.charge(payer, row.number, minor)
        waiting = expected.get((row.card, row.merchant, row.amount, row.day))
        if waiting and units[waiting[-1]] == row.unit:
            _join(story, row, waiting.pop())
    return story


def _match(story: Story, row: CardRow, payment: int | None) -> None:
    if payment is None:
        story.unmatched_credits += 1
    else:
        story.credits[payment].append(Credit(row.number, row.day, -row.minor))


def _join(story: Story, row: CardRow, number: int) -> None:
    story.series_of[row.number] = number
    if number not in story.series:
        story.series[number] = Series(number, row.card, row.centre_code, row.merchant, row.minor, row.unit, row.day)


def _expected_charges() -> tuple[dict[tuple[str, str, str, str], list[int]], dict[int, str]]:
    expected: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    units: dict[int, str] = {}
    for series, card, merchant, amount, unit, day in _records("birmingham_recurring_series"):
        expected[card, merchant, amount, day].append(int(series))
        units[int(series)] = unit
    return expected, units


def recurrences() -> list[Recurrence]:
    """The real recurring series with the days on which each was charged."""
    found: dict[int, list[dt.date]] = defaultdict(list)
    about: dict[int, tuple[str, str, str]] = {}
    for series, _, merchant, amount, unit, day in _records("birmingham_recurring_series"):
        found[int(series)].append(dt.date.fromisoformat(day))
        about[int(series)] = merchant, amount, unit
    return [Recurrence(series, *about[series], tuple(sorted(days))) for series, days in sorted(found.items())]


def telco_rows() -> Iterator[TelcoRow]:
    """Every customer of the made-up telephone company, in the order of the file."""
    for number, cells in enumerate(_records("ibm_telco_customers"), 1):
        customer_id, _, _, _, _, tenure, *_, contract, paperless, method, monthly, _, churn = cells
        yield TelcoRow(number, customer_id, int(tenure), contract, paperless == "Yes", method, monthly, churn == "Yes")


@cache
def card_ranges() -> dict[str, list[CardRange]]:
    """British card ranges by scheme, with the bank that issues them."""
    found: dict[str, list[CardRange]] = defaultdict(list)
    for first6, _, _, scheme, _, _, _, country, bank, *_ in _records("binlist_ranges"):
        if country == GB and bank and len(first6) == 6:  # noqa: PLR2004
            found[scheme].append(CardRange(first6, _bank(bank)))
    return dict(found)


@cache
def category_names() -> dict[str, str]:
    """What the merchant category codes mean."""
    return {code: name.partition(" (")[0].strip() for code, name, *_ in _records("mcc_codes")}


def _bank(printed: str) -> str:
    name = " ".join(
        word if word in {"HSBC", "MBNA", "TSB"} else word.lower() if word.lower() == "of" else word.capitalize()
        for word in printed.split()
    )
    return {
        "Nat West": "NatWest",
        "Natwest": "NatWest",
        "Lloydstsb": "Lloyds TSB",
        "Postoffice": "Post Office",
        "Cooperative": "Co-operative Bank",
        "Marks & Spencer Financial Services Ltd.": "M&S Bank",
        "Barclays Bank Plc": "Barclays",
        "MBNA Europe Bank Ltd": "MBNA",
    }.get(name, name)


def _records(name: str) -> Iterator[list[str]]:
    with (
        files(__package__).joinpath(f"{name}.csv.gz").open("rb") as packed,
        gzip.open(packed, "rt", encoding="utf-8", newline="") as text,
    ):
        reader = csv.reader(text)
        next(reader)
        yield from reader
