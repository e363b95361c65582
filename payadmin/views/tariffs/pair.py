"""One pair of units: its rates over time as a chart, and a conversion with the rate that was in force."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from payadmin.db import db, utcnow
from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import Money, parse_minor
from payadmin.kernel.rates import convert, rate_text
from payadmin.kernel.tariffs import half_even
from payadmin.kernel.text import _
from payadmin.models.payments import Mode
from payadmin.queries.tariffs import PIVOT, Quoted, active_units, latest_rate, quoted, rates_of_pair
from payadmin.views import lists
from payadmin.views.charts import Plot, Series, Shape, chart, read_with
from payadmin.views.columns import zone
from payadmin.views.filters import BadAddress, day_of, moment_of, row_id_of

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

DAY: Final = dt.timedelta(days=1)
MOST_DAYS: Final = 12_000
USUAL_DAYS: Final = 365
USUAL_QUOTE: Final = "USD"
CHART_DIGITS: Final = 6
SMALL_DIGITS: Final = 10
SMALL: Final = Fraction(1, 100)


@dataclass(frozen=True)
class Pair:
    """Which two units, whose rates, and from which day to which."""

    base: str
    quote: str
    office_id: int | None
    first: dt.date
    last: dt.date

    @property
    def args(self) -> dict[str, str]:
        """The arguments of the address that lead here again."""
        found = {"base": self.base, "quote": self.quote, "from": self.first.isoformat(), "to": self.last.isoformat()}
        return {**found, **({"office": str(self.office_id)} if self.office_id is not None else {})}


@dataclass(frozen=True)
class Converted:
    """What an amount is worth in the other unit.

    Attributes:
        legs: the rates that were used: pair, rate, since when, and whether it was turned round.
    """

    given: str
    result: str
    rate: str
    legs: Sequence[tuple[str, str, dt.datetime, bool]]
    is_older: bool


def read_pair(args: "MultiDict[str, str]", *, mode: Mode) -> Pair:  # noqa: ARG001 - rates have no mode
    """What the address asks for; the euro and the dollar for a year without anything.

    Raises:
        BadAddress: a unit that cannot be used, or days that make no sense.
    """
    units, today = active_units(db.session()), lists.today()
    base, quote = args.get("base") or PIVOT, args.get("quote") or USUAL_QUOTE
    for code in (base, quote):
        if code not in units:
            raise BadAddress(_("%(unit)s is no unit that can be used.", unit=code))
    if base == quote:
        raise BadAddress("Choose two units.")
    first, last = _day(args.get("from")), _day(args.get("to"))
    last = last or today
    first = first or last - USUAL_DAYS * DAY
    if first > last or (last - first).days > MOST_DAYS:
        raise BadAddress("The first day should be before the last one.")
    office = args.get("office") or ""
    office_id = row_id_of(office) if office else None
    if office and office_id is None:
        raise BadAddress("There is no such exchange office.")
    return Pair(base, quote, office_id, first, last)


def _day(typed: str | None) -> dt.date | None:
    return day_of(typed, _("Day")) if typed else None


read_with("exchange-rates", read_pair)


@chart(
    "exchange-rates",
    "Rate",
    about=_("What one unit cost in the other on each day that a rate was entered or published."),
    empty=_("There are no rates of this pair in these days. Choose other days, or import the ECB's file."),
)
def rate(asked: Pair) -> Plot:
    """The rate of a pair over time."""
    found = course(asked)
    small = bool(found) and min(each for _at, each in found) < SMALL
    digits = SMALL_DIGITS if small else CHART_DIGITS
    values = tuple(half_even(each * 10**digits) for _at, each in found)
    series = Series(f"{asked.base}/{asked.quote}", values, asked.quote, digits)
    return Plot(Shape.LINE, tuple(day for day, _each in found), (series,), from_zero=False)


def course(asked: Pair) -> list[tuple[dt.date, Fraction]]:
    """The rate at the end of each business day on which it changed; through the euro where a pair has none itself."""
    if (direct := _turned(asked, asked.base, asked.quote)) is not None:
        return sorted(direct.items())
    if PIVOT in {asked.base, asked.quote}:
        return []
    first, second = _turned(asked, asked.base, PIVOT), _turned(asked, PIVOT, asked.quote)
    if first is None or second is None:
        return []
    found: list[tuple[dt.date, Fraction]] = []
    one: Fraction | None = None
    other: Fraction | None = None
    for day in sorted(first.keys() | second.keys()):
        one, other = first.get(day, one), second.get(day, other)
        if one is not None and other is not None:
            found.append((day, one * other))
    return found


def _turned(asked: Pair, base: str, quote: str) -> dict[dt.date, Fraction] | None:
    """The rates of a pair by business day, whichever way round they were written, as `quoted` takes them."""
    begin, end = moment_of(asked.first), moment_of(asked.last + DAY)
    session, office_id = db.session(), asked.office_id
    found: list[tuple[dt.datetime, bool, Fraction]] = []
    for left, right, is_own in ((base, quote, True), (quote, base, False)):
        rows = list(rates_of_pair(session, left, right, begin, end, office_id=office_id))
        if (before := latest_rate(session, left, right, begin, office_id=office_id)) is not None:
            rows.append((before.valid_from, before.rate))
        found += [(at, is_own, Fraction(each) if is_own else 1 / Fraction(each)) for at, each in rows if at < end]
    # The last rate of a day counts; of two of one moment the pair's own, which stands behind the other.
    days = {max(asked.first, at.astimezone(zone()).date()): each for at, _is_own, each in sorted(found)}
    return days or None


def converted(asked: Pair, amount: str, day: dt.date | None) -> Converted:
    """An amount in the other unit, with the rate at the end of a business day, or now.

    Raises:
        Invalid: no amount, a day of the future, or no rate that is known.
    """
    units = active_units(db.session())
    scale, to_scale = units[asked.base], units[asked.quote]
    minor = parse_minor(amount, scale)
    now = utcnow()
    if day is not None and day > lists.today():
        raise Invalid("There are no rates of the future.", field="on")
    at = min(now, moment_of(day + DAY)) if day is not None else now
    found: Quoted | None = quoted(db.session(), asked.base, asked.quote, at, office_id=asked.office_id)
    if found is None:
        raise Invalid("No rate of this pair is known for that day.", field="on")
    result = Money(convert(minor, scale, found.rate, to_scale), asked.quote, to_scale)
    legs = [(str(each), rate_text(Fraction(each.rate)), each.valid_from, turned) for each, turned in found.legs]
    begun = moment_of(day if day is not None else lists.today())
    older = found.oldest is not None and found.oldest < begun
    return Converted(str(Money(minor, asked.base, scale)), str(result), rate_text(found.rate), legs, older)


def pair_context(pair: Pair, args: Any) -> dict[str, Any]:
    """What the template of a pair needs besides its chart."""
    typed, on = (args.get("amount") or "").strip(), (args.get("on") or "").strip()
    problem: str | None = None
    done: Converted | None = None
    if typed:
        try:
            done = converted(pair, typed, _day(on))
        except (Invalid, BadAddress) as refusal:
            problem = refusal.sentence
    return {"pair": pair, "typed": typed, "on": on, "done": done, "problem": problem}
