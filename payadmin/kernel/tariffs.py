"""Commissions and cashback in whole minor units: pure, exact, and told step by step (domain 4.1 M1, 5, 7.2).

Percentages are whole parts per million, so 2.5 % is 25,000 and nothing is ever a float. The percentage of an amount is
worked out exactly and rounded once, half to even; then the fixed part is added, then minimum and maximum hold. Cashback
is rounded down. `docs/tariffs.md` tells it with examples, and `tests/tariffs/golden/commissions.csv` in numbers.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import Money
from payadmin.kernel.text import Text, _

WHOLE_PPM: Final = 1_000_000  # 100 %
PERCENT_PPM: Final = 10_000
PERCENT_DECIMALS: Final = 4
MOST_TERMS: Final = 100
_PERCENT: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,20}))?", re.ASCII)


class TransactionType(StrEnum):
    """What contracts have terms for; the words are those of S3."""

    PAYMENT = "Payment"
    TOP_UP = "Cash top-up"
    CASH_WITHDRAWAL = "Cash withdrawal"
    BANK_WITHDRAWAL = "Bank withdrawal"
    TRANSFER = "Transfer"
    EXCHANGE = "Exchange"
    MASS_PAYMENT = "Mass payment"
    SALE = "Product sale"


class ChargedTo(StrEnum):
    """Who pays the commission: it is added to what the payer pays, or taken from what the payee gets."""

    PAYER = "Payer"
    PAYEE = "Payee"


class FundedBy(StrEnum):
    """Whose money cashback is."""

    SYSTEM = "The system"
    MERCHANT = "The merchant"


class Bound(StrEnum):
    """What held a commission where it is, if something did."""

    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class Term:
    """What a contract says about one kind of transaction in one unit.

    Attributes:
        rate_ppm: the percentage, in parts per million.
        fixed_minor: added to the percentage's part.
        min_minor: the least that a commission comes to; None: no minimum.
        max_minor: the most that it comes to; None: no maximum.
        charged_to: who pays it.
        returns_commission: whether a refund gives back its share of the commission.
        limit_single_minor, limit_day_minor, limit_month_minor: the most for one transaction, for a day, for a calendar
            month; None: no limit.
        spread_ppm: the part of what an exchange buys that is kept, besides the commission; other kinds have none.
    """

    transaction_type: TransactionType
    unit: str
    rate_ppm: int = 0
    fixed_minor: int = 0
    min_minor: int | None = None
    max_minor: int | None = None
    charged_to: ChargedTo = ChargedTo.PAYEE
    returns_commission: bool = False
    limit_single_minor: int | None = None
    limit_day_minor: int | None = None
    limit_month_minor: int | None = None
    spread_ppm: int = 0

    @property
    def key(self) -> tuple[TransactionType, str]:
        """What there is one term for."""
        return self.transaction_type, self.unit


@dataclass(frozen=True, slots=True)
class Commission:
    """What a transaction costs, and how it came to that.

    Attributes:
        exact: the percentage's part before rounding, in minor units.
        rounded_minor: the same, rounded half to even.
        before_bounds_minor: with the fixed part.
        bound: what changed that, if something did.
        minor: the commission.
        payer_minor: what leaves the payer.
        payee_minor: what reaches the payee.
    """

    amount_minor: int
    exact: Fraction
    rounded_minor: int
    before_bounds_minor: int
    bound: Bound | None
    minor: int
    payer_minor: int
    payee_minor: int


@dataclass(frozen=True, slots=True)
class Cashback:
    """What a profile gives back.

    Attributes:
        unit: payments in other units get nothing.
        cap_minor: the most for one payment; None: no cap.
        cap_month_minor: the most for one customer in a calendar month; None: no cap.
    """

    unit: str
    rate_ppm: int
    cap_minor: int | None = None
    cap_month_minor: int | None = None
    funded_by: FundedBy = FundedBy.SYSTEM


def half_even(number: Fraction) -> int:
    """The nearest whole number; of two that are equally near, the even one."""
    return round(number)


def commission(term: Term, amount_minor: int) -> Commission:
    """What `amount_minor` costs by `term`.

    A commission that the payee pays is never more than the amount.

    Args:
        amount_minor: what is moved, more than zero, in minor units of the term's unit.
    """
    exact = Fraction(amount_minor * term.rate_ppm, WHOLE_PPM)
    rounded = half_even(exact)
    before = rounded + term.fixed_minor
    found, bound = before, None
    if term.min_minor is not None and found < term.min_minor:
        found, bound = term.min_minor, Bound.MINIMUM
    if term.max_minor is not None and found > term.max_minor:
        found, bound = term.max_minor, Bound.MAXIMUM
    if term.charged_to is ChargedTo.PAYEE and found > amount_minor:
        found, bound = amount_minor, Bound.AMOUNT
    by_payer = found if term.charged_to is ChargedTo.PAYER else 0
    return Commission(
        amount_minor=amount_minor,
        exact=exact,
        rounded_minor=rounded,
        before_bounds_minor=before,
        bound=bound,
        minor=found,
        payer_minor=amount_minor + by_payer,
        payee_minor=amount_minor - (found - by_payer),
    )


def returned(commission_minor: int, *, amount_minor: int, refund_minor: int) -> int:
    """What of a commission goes back with one refund: its share of the amount, rounded down (domain 7.2).

    Args:
        commission_minor: what the payment cost.
        amount_minor: what the payment was.
        refund_minor: what is refunded.
    """
    return commission_minor * refund_minor // amount_minor


def spread_of(term: Term, bought_minor: int) -> int:
    """What of the amount that an exchange buys is kept, rounded half to even; it comes besides the commission."""
    return half_even(Fraction(bought_minor * term.spread_ppm, WHOLE_PPM))


def taken_back(cashback_minor: int, *, amount_minor: int, refunded_minor: int, refund_minor: int) -> int:
    """What of a cashback is taken back with a refund, rounded down; a total refund in parts takes back all of it.

    Args:
        cashback_minor: what the payment gave.
        amount_minor: what the payment was.
        refunded_minor: what had been refunded before.
        refund_minor: what is refunded now.
    """
    before = cashback_minor * refunded_minor // amount_minor
    return cashback_minor * (refunded_minor + refund_minor) // amount_minor - before


def cashback(profile: Cashback, *, unit: str, paid_minor: int, given_minor: int = 0) -> int:
    """What a customer gets back for a payment, rounded down; 0 for a payment in another unit.

    Args:
        paid_minor: what the customer paid.
        given_minor: what this customer got back by this profile in the same calendar month already.
    """
    if unit != profile.unit:
        return 0
    found = paid_minor * profile.rate_ppm // WHOLE_PPM
    if profile.cap_minor is not None:
        found = min(found, profile.cap_minor)
    if profile.cap_month_minor is not None:
        found = min(found, max(0, profile.cap_month_minor - given_minor))
    return found


# --- words ------------------------------------------------------------------------------------------------------------


def percent_text(ppm: int) -> str:
    """A percentage as people read it: 25,000 parts per million are “2.5%”."""
    whole, rest = divmod(ppm, PERCENT_PPM)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"


def parse_percent(typed: str) -> int:
    """The parts per million of a typed percentage such as “2.5” or “2.5%”.

    Raises:
        Invalid: not a number, more than four decimals, or more than 100.
    """
    shown = typed.strip().removesuffix("%").strip()
    match = _PERCENT.fullmatch(shown)
    if match is None or len(match[2] or "") > PERCENT_DECIMALS:
        raise Invalid("Write a percentage with up to four decimals, such as 2.5.")
    ppm = int(match[1] + (match[2] or "").ljust(PERCENT_DECIMALS, "0"))
    if ppm > WHOLE_PPM:
        raise Invalid("A percentage is at most 100.")
    return ppm


def exact_text(number: Fraction, scale: int) -> str:
    """An amount with all its digits, however small: what is rounded should be seen before it is."""
    exact = Decimal(number.numerator) / Decimal(number.denominator)
    return format(exact.scaleb(-scale), "f")


def told(term: Term, found: Commission, scale: int) -> list[str]:
    """How a commission came about, one sentence for each step."""

    def money(minor: int) -> str:
        return str(Money(minor, term.unit, scale))

    steps: list[str] = [
        _(
            "%(percent)s of %(amount)s is %(exact)s, rounded to %(rounded)s.",
            percent=percent_text(term.rate_ppm),
            amount=money(found.amount_minor),
            exact=exact_text(found.exact, scale),
            rounded=money(found.rounded_minor),
        )
        if found.exact != found.rounded_minor
        else _(
            "%(percent)s of %(amount)s is %(rounded)s.",
            percent=percent_text(term.rate_ppm),
            amount=money(found.amount_minor),
            rounded=money(found.rounded_minor),
        )
    ]
    if term.fixed_minor:
        steps.append(
            _(
                "With the fixed part of %(fixed)s it is %(sum)s.",
                fixed=money(term.fixed_minor),
                sum=money(found.before_bounds_minor),
            )
        )
    if found.bound is Bound.MINIMUM:
        steps.append(_("That is below the minimum, so it is %(least)s.", least=money(found.minor)))
    elif found.bound is Bound.MAXIMUM:
        steps.append(_("That is above the maximum, so it is %(most)s.", most=money(found.minor)))
    elif found.bound is Bound.AMOUNT:
        steps.append(_("A payee never pays more than the amount, so it is %(most)s.", most=money(found.minor)))
    facts = {"payer": money(found.payer_minor), "payee": money(found.payee_minor)}
    if term.transaction_type is TransactionType.EXCHANGE:  # payer and payee are one
        if term.charged_to is ChargedTo.PAYER:
            steps.append(_("It is paid on top: %(paid)s leave the wallet.", paid=facts["payer"]))
        else:
            steps.append(_("It is taken from the amount: %(rest)s are exchanged.", rest=facts["payee"]))
    elif term.charged_to is ChargedTo.PAYER:
        steps.append(_("The payer pays it: %(payer)s leave the payer, %(payee)s reach the payee.", **facts))
    else:
        steps.append(_("The payee pays it: %(payer)s leave the payer, %(payee)s reach the payee.", **facts))
    return steps


# --- several terms ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """What two versions say about one kind of transaction in one unit; None where one says nothing.

    Attributes:
        changed: the names of the fields of `Term` in which they differ.
    """

    before: Term | None
    after: Term | None
    changed: frozenset[str]

    @property
    def term(self) -> Term:
        """One of the two, for what it is about."""
        found = self.after or self.before
        assert found is not None
        return found


def differences(before: Iterable[Term], after: Iterable[Term]) -> list[Difference]:
    """Two versions side by side, one line for each kind of transaction and unit, in the order of both."""
    old: Mapping[Any, Term] = {term.key: term for term in before}
    new: Mapping[Any, Term] = {term.key: term for term in after}
    order = list(TransactionType)
    keys = sorted(old.keys() | new.keys(), key=lambda key: (order.index(key[0]), key[1]))
    names = [each.name for each in fields(Term)]
    found = []
    for key in keys:
        left, right = old.get(key), new.get(key)
        both = left is not None and right is not None
        changed = frozenset(name for name in names if both and getattr(left, name) != getattr(right, name))
        found.append(Difference(left, right, changed))
    return found


def check_terms(terms: Iterable[Term]) -> None:
    """Refuse terms that make no sense, by themselves or together.

    Raises:
        Invalid: with `data["position"]`, the place of the term that is wrong, and the field it is about.
    """
    seen: set[tuple[TransactionType, str]] = set()
    listed = list(terms)
    if not listed:
        raise Invalid("A version has at least one term.")
    if len(listed) > MOST_TERMS:
        raise Invalid(_("A version has at most %(most)s terms.", most=MOST_TERMS))
    for position, term in enumerate(listed):
        if term.key in seen:
            raise Invalid(
                _(
                    "There is a term for %(kind)s in %(unit)s already. Two would be valid at once.",
                    kind=Text(term.transaction_type.value).lower(),
                    unit=term.unit,
                ),
                field="unit",
                position=position,
            )
        seen.add(term.key)
        if problem := _problem(term):
            field, sentence = problem
            raise Invalid(sentence, field=field, position=position)


def _problem(term: Term) -> tuple[str, str] | None:
    if not 0 <= term.rate_ppm <= WHOLE_PPM:
        return "rate_ppm", Text("A percentage is from 0 to 100.")
    if not 0 <= term.spread_ppm < WHOLE_PPM:
        return "spread_ppm", Text("A spread is below 100 percent.")
    if term.spread_ppm and term.transaction_type is not TransactionType.EXCHANGE:
        return "spread_ppm", Text("Only an exchange has a spread. Leave it empty.")
    if term.fixed_minor < 0:
        return "fixed_minor", Text("A fixed part is not negative.")
    for name in ("min_minor", "max_minor"):
        if (value := getattr(term, name)) is not None and value < 0:
            return name, Text("A commission is not negative.")
    if term.min_minor is not None and term.max_minor is not None and term.min_minor > term.max_minor:
        return "min_minor", Text("The minimum is above the maximum.")
    if term.transaction_type is TransactionType.PAYMENT and term.charged_to is ChargedTo.PAYER:
        return "charged_to", Text("A payment's commission is taken from what the merchant gets. Choose the payee.")
    return _problem_of_limits(term)


def _problem_of_limits(term: Term) -> tuple[str, str] | None:
    limits = ("limit_single_minor", "limit_day_minor", "limit_month_minor")
    for name in limits:
        if (value := getattr(term, name)) is not None and value <= 0:
            return name, Text("A limit is more than zero. Leave it empty for no limit.")
    set_limits = [(name, getattr(term, name)) for name in limits if getattr(term, name) is not None]
    for (name, value), (_name, wider) in itertools.pairwise(set_limits):
        if value > wider:
            return name, Text("A limit of one is at most that of a day, and that of a day at most that of a month.")
    return None
