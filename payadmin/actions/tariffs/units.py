"""Units: currencies, e-money and bonus units; added, renamed, retired when nothing is left of them (S3:39-41, T1)."""

import re
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_SCALE, format_minor, scale_of
from payadmin.kernel.text import _, listed
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.permissions import Permission
from payadmin.queries.tariffs import active_units, balances_in
from payadmin.work import Work, use_case

WRITE: Final = Permission.WALLETS_UNIT_WRITE
NAME_LENGTH: Final = 100
NAMED_MOST: Final = 3
STALE: Final = _("Somebody else changed this unit while you were editing it. Look at what changed, then try again.")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9]{1,11}", re.ASCII)


@use_case(WRITE)
def add_unit(
    work: Work, *, code: str, name: str, kind: UnitKind, scale: int | None = None, reference: str | None = None
) -> int:
    """Make a unit; its id. Its code, kind and decimals never change: amounts are kept in its smallest part.

    Args:
        code: of a currency, that of ISO 4217; of anything else, one that ISO does not use.
        scale: its decimals; of a currency, those of ISO 4217, whatever is asked for.
        reference: the unit that e-money stands for; None for e-money without a reference, and for all else.

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: there is such a unit already.
    """
    shown, words = code.strip().upper(), " ".join(name.split())
    if not _CODE.fullmatch(shown):
        raise Invalid("A code has 2 to 12 capital letters and digits and begins with a letter.", field="code")
    if not words or len(words) > NAME_LENGTH or not words.isprintable():
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    decimals = _scale(shown, kind, scale)
    if reference is not None and kind is not UnitKind.E_MONEY:
        raise Invalid("Only e-money stands for another unit.", field="reference")
    if reference is not None and reference not in active_units(work.session):
        raise Invalid(_("%(unit)s is no unit that can be used.", unit=reference), field="reference")
    if work.exists(Unit.code == shown):
        raise Conflict("There is a unit with this code already.", field="code")
    try:
        unit = work.add(Unit(code=shown, name=words, kind=kind, scale=decimals, reference_unit=reference))
    except IntegrityError as error:
        raise Conflict("There is a unit with this code already.", field="code") from error
    after = {"code": shown, "name": words, "kind": kind, "scale": decimals, "reference_unit": reference}
    work.record(Event.UNIT_ADDED, unit, after=after, unit=shown)
    return unit.id


@use_case(WRITE, about=Unit)
def rename_unit(work: Work, unit_id: int, *, name: str, version: int) -> None:
    """Call a unit something else; the same name changes nothing.

    Raises:
        Conflict: somebody else changed it meanwhile (`data["now"]` is its version).
    """
    words = " ".join(name.split())
    if not words or len(words) > NAME_LENGTH or not words.isprintable():
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    unit = work.get(Unit, unit_id, lock=True)
    before = unit.name
    if unit.version == version and before == words:
        return
    if not work.change(Unit, unit_id, when=(Unit.version == version,), name=words):
        raise Conflict(STALE, now=unit.version)
    work.record(
        Event.UNIT_RENAMED, work.get(Unit, unit_id), before={"name": before}, after={"name": words}, unit=unit.code
    )


@use_case(WRITE, about=Unit)
def set_unit_status(work: Work, unit_id: int, *, is_active: bool, version: int) -> None:
    """Retire a unit of which no account has any left, or use it again. Entries and balances stay in the books.

    A retired unit is in no choice: new contracts, rates, profiles and wallets cannot have it.

    Raises:
        Conflict: accounts have a balance in it (the sentence names some), e-money that is used stands for it, it is so
            already, or somebody else changed it meanwhile.
    """
    unit = work.get(Unit, unit_id, lock=True)
    before, after = unit.status, UnitStatus.ACTIVE if is_active else UnitStatus.RETIRED
    if unit.version != version or before is after:
        raise Conflict(STALE, now=unit.version)
    if not is_active:
        _refuse_used(work, unit)
    if not work.change(Unit, unit_id, when=(Unit.version == version,), status=after):
        raise Conflict(STALE, now=unit.version)
    event = Event.UNIT_RESTORED if is_active else Event.UNIT_RETIRED
    work.record(event, work.get(Unit, unit_id), before={"status": before}, after={"status": after}, unit=unit.code)


def _scale(code: str, kind: UnitKind, scale: int | None) -> int:
    try:
        official: int | None = scale_of(code)
    except Invalid:
        official = None
    if kind is UnitKind.FIAT:
        if official is None:
            raise Invalid("ISO 4217 knows no currency with this code.", field="code")
        return official
    if official is not None:
        raise Invalid("This is the code of a currency. Choose another one.", field="code")
    if scale is None or not 0 <= scale <= MAX_SCALE:
        raise Invalid(_("Choose from 0 to %(most)s decimals.", most=MAX_SCALE), field="scale")
    return scale


def _refuse_used(work: Work, unit: Unit) -> None:
    stands = work.one(select(Unit.code).where(Unit.reference_unit == unit.code, Unit.status == UnitStatus.ACTIVE))
    if stands is not None:
        raise Conflict(_("%(unit)s stands for it. Retire that first.", unit=stands))
    found = balances_in(work.session, unit.code, NAMED_MOST + 1)
    if not found:
        return
    named = listed([f"{code} ({format_minor(minor, unit.scale)})" for code, minor in found[:NAMED_MOST]])
    if len(found) > NAMED_MOST:
        raise Conflict(_("Accounts have a balance in it, such as %(accounts)s.", accounts=named))
    raise Conflict(_("Accounts have a balance in it: %(accounts)s.", accounts=named))
