"""Which days a page of figures shows, of which unit: read from its address, refused with a sentence when senseless."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import func, select

from payadmin.db import db, utcnow
from payadmin.kernel.text import Text, _, day_text
from payadmin.models.payments import Mode, Payment, Unit
from payadmin.models.reporting import PaymentDay, Slice
from payadmin.queries.reporting import ONE_DAY, Span
from payadmin.views.columns import zone
from payadmin.views.figures import Asked
from payadmin.views.filters import BadAddress, clean, day_of
from payadmin.views.language import say

MOST_DAYS: Final = 3_660
USUAL: Final = "30d"
ARGUMENTS: Final = frozenset({"range", "from", "to", "unit", "net"})

# AN3. What each begins with, seen from today; each ends today.
PRESETS: Final[Mapping[str, Text]] = {
    "7d": _("7 days"),
    "30d": _("30 days"),
    "90d": _("90 days"),
    "mtd": _("MTD"),
    "ytd": _("YTD"),
}


@dataclass(frozen=True)
class Choice:
    """What the bar above the figures shows, and what its links keep."""

    asked: Asked
    preset: str
    units: Sequence[str]
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def pairs(self) -> dict[str, str]:
        """The address's arguments, in canonical form."""
        found = {"range": self.preset}
        if self.preset == "custom":
            found |= {"from": self.asked.span.first.isoformat(), "to": self.asked.span.last.isoformat()}
        found["unit"] = self.asked.unit
        return {**found, **({"net": "1"} if self.asked.net else {}), **self.kept}

    def query(self, **changes: str | None) -> str:
        """The end of the address with some arguments changed; None leaves one out."""
        pairs = {**self.pairs, **changes}
        if changes.get("range", "custom") != "custom":
            pairs |= {"from": None, "to": None}
        return f"?{urlencode({key: value for key, value in pairs.items() if value is not None})}"


def read(args: Any, *, mode: Mode, extra: frozenset[str] = frozenset()) -> Choice:
    """What the address asks for.

    Args:
        args: the address's arguments.
        mode: live or test payments.
        extra: arguments that somebody else reads; links keep them.

    Raises:
        BadAddress: an unknown argument, preset or unit; days that are none, reversed, in the future, or too many.
    """
    one: dict[str, str] = {}
    kept: dict[str, str] = {}
    for key, given in args.lists():
        values = clean(given) if key not in extra else given
        if key in extra:
            kept[key] = values[0]
            continue
        if key not in ARGUMENTS or len(values) > 1:
            raise BadAddress(_("This page knows no such argument: %(name)s.", name=key[:40]))
        if values:
            one[key] = values[0]
    if one.get("net", "1") != "1":
        raise BadAddress(_("“%(key)s” is either 1 or absent.", key="net"))
    today = utcnow().astimezone(zone()).date()
    preset = one.get("range", "custom" if {"from", "to"} & one.keys() else USUAL)
    span = span_of(preset, today) if preset in PRESETS else _custom(preset, one, today)
    unit, units = read_unit(one.get("unit"), mode)
    return Choice(Asked(mode, span, unit, units[unit], zone(), "net" in one), preset, tuple(sorted(units)), kept)


def read_unit(given: str | None, mode: Mode) -> tuple[str, dict[str, int]]:
    """The unit that is asked for, else the usual one; and those to choose from, with their decimals.

    Raises:
        BadAddress: there is no such unit.
    """
    units = units_in_use(mode)
    unit = given or usual_unit(mode, units)
    if unit not in units:
        scale = db.session.scalar(select(Unit.scale).where(Unit.code == unit))
        if scale is None and given:
            raise BadAddress(
                _(
                    "“%(unit)s” is not a known currency. Payments were made in: %(known)s.",
                    unit=unit[:12],
                    known=_list(units),
                )
            )
        units |= {unit: 2 if scale is None else scale}
    return unit, units


def _list(units: Mapping[str, int]) -> str:
    return ", ".join(units) or "–"


def usual(mode: Mode) -> Asked:
    """What a page shows that was asked for nothing: the last thirty days, in the unit of most payments."""
    units = units_in_use(mode)
    unit = usual_unit(mode, units)
    return Asked(mode, span_of(USUAL, utcnow().astimezone(zone()).date()), unit, units.get(unit, 2), zone())


def span_of(preset: str, today: dt.date) -> Span:
    """The days of a preset, up to today."""
    match preset:
        case "mtd":
            return Span(today.replace(day=1), today)
        case "ytd":
            return Span(today.replace(month=1, day=1), today)
    return Span(today - ONE_DAY * (int(preset.removesuffix("d")) - 1), today)


def _custom(preset: str, one: Mapping[str, str], today: dt.date) -> Span:
    if preset != "custom":
        raise BadAddress(_("There is no period called “%(name)s”.", name=preset[:40]))
    if not one.get("from"):
        raise BadAddress("Say with which day the period begins.")
    first, last = day_of(one["from"], say(_("From"))), day_of(one.get("to") or today.isoformat(), say(_("To")))
    if last < first:
        raise BadAddress(
            _(
                "The period begins on %(first)s, after its end on %(last)s. Swap the two days.",
                first=day_text(first),
                last=day_text(last),
            )
        )
    if first > today:
        raise BadAddress(
            _(
                "The period begins in the future. Today is %(today)s; begin with that day or earlier.",
                today=day_text(today),
            )
        )
    last = min(last, today)
    if (last - first).days >= MOST_DAYS:
        raise BadAddress("A period has ten years at most. Choose a shorter one.")
    return Span(first, last)


def units_in_use(mode: Mode) -> dict[str, int]:
    """The units that payments were made in, with their decimals: one look into an index for each known unit."""
    made = select(Payment.id).where(Payment.mode == mode, Payment.unit == Unit.code).exists()
    found = db.session.execute(select(Unit.code, Unit.scale).where(made).order_by(Unit.code))
    return {row.code: row.scale for row in found}


def latest_day(asked: Asked) -> dt.date | None:
    """The last day with payments like those asked for, as far as days have been folded: where to look instead."""
    found = select(func.max(PaymentDay.day)).where(
        PaymentDay.mode == asked.mode.name,
        PaymentDay.slice == Slice.ALL.name,
        PaymentDay.unit == asked.unit,
        PaymentDay.count > 0,
    )
    return db.session.scalar(found)


def usual_unit(mode: Mode, units: Mapping[str, int]) -> str:
    """The unit of most payments, as far as days have been folded; "EUR" where nobody has paid anything yet."""
    if len(units) <= 1:
        return next(iter(units), _any_unit())
    counted = (
        select(PaymentDay.unit)
        .where(PaymentDay.mode == mode.name, PaymentDay.slice == Slice.ALL.name, PaymentDay.unit.in_(list(units)))
        .group_by(PaymentDay.unit)
        .order_by(func.sum(PaymentDay.count).desc(), PaymentDay.unit)
        .limit(1)
    )
    return db.session.scalar(counted) or next(iter(units))


def _any_unit() -> str:
    return db.session.scalar(select(Unit.code).order_by(Unit.code).limit(1)) or "EUR"
