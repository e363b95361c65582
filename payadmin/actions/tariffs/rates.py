"""Exchange rates: added by hand or from files, never changed. No second person decides (S3:83, T5)."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.exc import IntegrityError

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.rates import ECB_BASE, DayRates, OfficeRate, is_doubtful, published_at, rate_text
from payadmin.kernel.text import _
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.tariffs import NOTE_LENGTH, ExchangeRate, RateSource
from payadmin.permissions import Permission
from payadmin.queries.tariffs import active_units, latest_rate
from payadmin.work import Work, use_case

WRITE: Final = Permission.FX_RATE_WRITE
CHUNK: Final = 2_000
NAMED_MOST: Final = 5
TAKEN: Final = _(
    "There is a rate of this pair that begins at this moment already. Rates are never changed: begin later."
)
_RATE = cast("Table", ExchangeRate.__table__)


@dataclass(frozen=True)
class Imported:
    """What came of a file of rates.

    Attributes:
        added: rates that are new.
        known: rates that were there already, just so.
        different: days and pairs of which another rate is kept; it stays.
        unknown: currencies of the file that are no units here.
    """

    added: int
    known: int
    different: tuple[str, ...]
    unknown: tuple[str, ...]


@use_case(WRITE)
def add_rate(
    work: Work,
    *,
    base: str,
    quote: str,
    rate: Decimal,
    valid_from: dt.datetime | None = None,
    note: str | None = None,
    is_sure: bool = False,
    office_id: int | None = None,
) -> ExchangeRate:
    """Say what one `base` costs in `quote` from a moment on. It takes effect at once.

    Args:
        valid_from: since when; None: now. Never in the future.
        is_sure: whether somebody has looked at a rate that is far from the last one.
        office_id: the exchange office whose rate it is; None: the System's.

    Raises:
        Invalid: zero or less, from the future, a unit that cannot be used, or one unit twice.
        Conflict: there is a rate of that moment already; or it is far from the last one and nobody is sure
            (`data["ask"]` is the last rate).
    """
    begins = valid_from or work.now
    _check_pair(work, base, quote)
    if rate <= 0:
        raise Invalid("A rate is more than zero.", field="rate")
    if begins > work.now:
        raise Invalid("A rate cannot begin in the future. Enter it when it is in force.", field="valid_from")
    words = (note or "").strip() or None
    if words is not None and len(words) > NOTE_LENGTH:
        raise Invalid(_("Keep it within %(most)s characters.", most=NOTE_LENGTH), field="note")
    if office_id is not None:
        _check_office(work, office_id)
    last = latest_rate(work.session, base, quote, begins, office_id=office_id)
    if last is not None and last.valid_from == begins:
        raise Conflict(TAKEN, field="valid_from")
    if last is not None and is_doubtful(rate, last.rate) and not is_sure:
        told = rate_text(Fraction(last.rate))
        raise Conflict(
            _(
                "The last rate of this pair is %(last)s, far from this one. Look again, then say that you are sure.",
                last=told,
            ),
            field="rate",
            ask=told,
        )
    try:
        row = work.add(
            ExchangeRate(
                office_id=office_id,
                base=base,
                quote=quote,
                rate=rate,
                valid_from=begins,
                source=RateSource.STAFF if office_id is None else RateSource.OFFICE,
                author_id=work.actor.staff_id,
                note=words,
            )
        )
    except IntegrityError as error:
        raise Conflict(TAKEN, field="valid_from") from error
    before = {"rate": last.rate, "valid_from": last.valid_from} if last is not None else None
    after = {"rate": rate, "valid_from": begins, "base": base, "quote": quote}
    work.record(Event.RATE_ADDED, row, before=before, after=after, pair=f"{base}/{quote}")
    return row


@use_case(WRITE)
def import_ecb(work: Work, *, days: Sequence[DayRates], sha256: str, is_sure: bool = False) -> Imported:
    """Add the ECB's rates of these days as rates of the System; all of them or none. The same again changes nothing.

    Args:
        days: what its file says; each begins when the ECB publishes (16:00 in Frankfurt).
        sha256: of the file, for the trail.
        is_sure: whether somebody has looked at rates that are far from the ones before.

    Raises:
        Invalid: a rate that would begin in the future.
        Conflict: new rates are far from the ones before, and nobody is sure (`data["ask"]` names them).
    """
    units = active_units(work.session)
    late = _last_day(work, days, units)
    unknown = sorted({code for each in days for code in each.rates if code not in units})
    added, known, different = 0, 0, list[str]()
    ordered = sorted(days, key=lambda each: each.day)
    last: dict[str, Decimal] = {}
    far: list[str] = []
    for start in range(0, len(ordered), CHUNK):
        part = ordered[start : start + CHUNK]
        kept = _kept(work, published_at(part[0].day), published_at(part[-1].day))
        rows = []
        for each, code, rate in ((day, *pair) for day in part for pair in day.rates.items()):
            begins = published_at(each.day)
            there = kept.get((code, begins))
            if code in units and code != ECB_BASE and there is None:
                rows.append(_row(work, code, rate, begins))
                before = last[code] if code in last else _before(work, code, begins)
                if before is not None and is_doubtful(rate, before):
                    far.append(f"{each.day.isoformat()} {code} {format(rate, 'f')}")
            last[code] = rate if there is None else there
            known += there == rate
            if there is not None and there != rate:
                different.append(f"{each.day.isoformat()} {code}")
        if rows:
            work.session.execute(insert(_RATE).execution_options(explained=True), rows)
        added += len(rows)
    _ask(far, is_sure=is_sure)
    if added:
        work.record(
            Event.RATES_IMPORTED,
            after={"source": RateSource.ECB, "added": added, "known": known, "different": len(different)},
            first=ordered[0].day,
            last=late,
            sha256=sha256,
        )
    return Imported(added, known, tuple(different), tuple(unknown))


def _last_day(work: Work, days: Sequence[DayRates], units: Collection[str]) -> dt.date:
    """The last day of a file that makes sense."""
    if ECB_BASE not in units:
        raise Invalid("EUR is no unit that can be used, and the ECB's rates are what one euro costs.", field="file")
    if not days:
        raise Invalid("There is no day in this file.", field="file")
    late = max(each.day for each in days)
    if published_at(late) > work.now:
        told = _("The file has rates of the future: those of %(day)s begin at 16:00 in Frankfurt.", day=late.isoformat())
        raise Invalid(told, field="file")
    return late


def _before(work: Work, code: str, begins: dt.datetime) -> Decimal | None:
    """What one euro cost before the first day of a file that has the currency."""
    found = latest_rate(work.session, ECB_BASE, code, begins)
    return found.rate if found is not None else None


def _ask(far: Sequence[str], *, is_sure: bool) -> None:
    """Ask about rates that are far from the ones before, as the form of one rate does."""
    if far and not is_sure:
        named = ", ".join(far[:NAMED_MOST]) + (" …" if len(far) > NAMED_MOST else "")
        raise Conflict(
            _(
                "These rates are far from the ones before: %(rates)s. Look again, then say that you are sure.",
                rates=named,
            ),
            field="file",
            ask=named,
        )


def _row(work: Work, code: str, rate: Decimal, begins: dt.datetime) -> dict[str, Any]:
    return {
        "base": ECB_BASE,
        "quote": code,
        "rate": rate,
        "valid_from": begins,
        "source": RateSource.ECB,
        "author_id": work.actor.staff_id,
        "created_at": work.now,
        "updated_at": work.now,
        "version": 1,
    }


def _kept(work: Work, first: dt.datetime, last: dt.datetime) -> dict[tuple[str, dt.datetime], Decimal]:
    wanted = select(ExchangeRate.quote, ExchangeRate.valid_from, ExchangeRate.rate).where(
        ExchangeRate.office_id.is_(None),
        ExchangeRate.base == ECB_BASE,
        ExchangeRate.valid_from >= first,
        ExchangeRate.valid_from <= last,
    )
    return {(quote, begins): rate for quote, begins, rate in work.session.execute(wanted)}


def _check_pair(work: Work, base: str, quote: str) -> None:
    units = active_units(work.session)
    for field, code in (("base", base), ("quote", quote)):
        if code not in units:
            raise Invalid(_("%(unit)s is no unit that can be used.", unit=code), field=field)
    if base == quote:
        raise Invalid("Choose two units.", field="quote")


def _check_office(work: Work, office_id: int) -> None:
    if work.get(Organization, office_id).kind is not OrganizationKind.EXCHANGE_OFFICE:
        raise Invalid("This organization is no exchange office.", field="office")


@use_case(WRITE)
def import_office_rates(
    work: Work, *, office: str, rates: Sequence[OfficeRate], sha256: str, is_sure: bool = False
) -> int:
    """Add the rates of an exchange office, all or none; how many are new. The same file again changes nothing.

    Args:
        office: its name.
        sha256: of the file, for the trail.
        is_sure: whether somebody has looked at rates that are far from the ones before.

    Raises:
        NotFound: there is no exchange office of this name.
        Invalid: a line that makes no sense; the sentence names it.
        Conflict: another rate of the office is kept for the same pair and moment; or new rates are far from the ones
            before, and nobody is sure (`data["ask"]` names them).
    """
    found = work.one(select(Organization).where(Organization.name == office))
    if found is None or found.kind is not OrganizationKind.EXCHANGE_OFFICE:
        raise NotFound(_("There is no exchange office called %(name)s.", name=office))
    units = active_units(work.session)
    far: list[str] = []
    added = []
    for each in sorted(rates, key=lambda rate: rate.valid_from):
        if each.base not in units or each.quote not in units or each.base == each.quote:
            raise Invalid(_("Line %(line)s: choose two units that can be used.", line=each.line), field="file")
        if each.valid_from > work.now:
            raise Invalid(_("Line %(line)s: the rate begins in the future.", line=each.line), field="file")
        kept = latest_rate(work.session, each.base, each.quote, each.valid_from, office_id=found.id)
        if kept is None or kept.valid_from != each.valid_from:
            if kept is not None and is_doubtful(each.rate, kept.rate):
                far.append(f"{each.base}/{each.quote} {format(each.rate, 'f')}")
            added.append(
                work.add(
                    ExchangeRate(
                        office_id=found.id,
                        base=each.base,
                        quote=each.quote,
                        rate=each.rate,
                        valid_from=each.valid_from,
                        source=RateSource.OFFICE,
                        author_id=work.actor.staff_id,
                    )
                )
            )
        elif kept.rate != each.rate:
            raise Conflict(_("Line %(line)s: another rate is kept for this moment, and stays.", line=each.line))
    _ask(far, is_sure=is_sure)
    if added:
        after = {"source": RateSource.OFFICE, "office": office, "added": len(added)}
        work.record(Event.RATES_IMPORTED, found, also=added, after=after, sha256=sha256)
    return len(added)
