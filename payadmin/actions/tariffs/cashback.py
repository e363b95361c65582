"""Cashback profiles: written, and given to merchants (S3:63). A Financial specialist proposes, the CFO decides."""

import datetime as dt
from typing import Any, Final

from sqlalchemy.exc import IntegrityError

from payadmin.actions.tariffs.approval import CASHBACK_GATE, PROFILE_GATE
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.tariffs import WHOLE_PPM, FundedBy, percent_text
from payadmin.kernel.text import _
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.tariffs import NAME_LENGTH, CashbackProfile
from payadmin.permissions import Permission
from payadmin.queries.tariffs import active_units
from payadmin.work import Work, use_case

PROPOSE: Final = Permission.CONTRACTS_CONTRACT_PROPOSE
STALE: Final = _("Somebody else changed this profile while you were editing it. Look at what changed, then save again.")
TAKEN: Final = _("There is a cashback profile of this name already.")


@use_case(PROPOSE, gate=PROFILE_GATE)
def save_profile(
    work: Work,
    *,
    name: str,
    unit: str,
    rate_ppm: int,
    cap_minor: int | None,
    cap_month_minor: int | None,
    funded_by: FundedBy,
    valid_from: dt.date,
    valid_to: dt.date | None,
    is_on: bool = True,
    profile_id: int | None = None,
    version: int | None = None,
) -> int:
    """Write a cashback profile, new (`profile_id` None) or changed; its id. Saving what it says changes nothing.

    Args:
        unit: the payments that it is for, and what is given back; that of a written profile stays.
        rate_ppm: the percentage in parts per million.
        cap_minor: the most for one payment; None: no cap.
        cap_month_minor: the most for one customer in a calendar month; None: no cap.
        valid_to: the last day; None: until it is switched off.
        version: what the form showed of the profile that is changed.

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: the name is taken, or somebody else changed the profile meanwhile (`data["now"]` is its version).
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    values: dict[str, Any] = {
        "name": " ".join(name.split()),
        "unit": unit,
        "rate_ppm": rate_ppm,
        "cap_minor": cap_minor,
        "cap_month_minor": cap_month_minor,
        "funded_by": funded_by,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "is_on": is_on,
    }
    _check(work, values)
    if work.exists(CashbackProfile.name == values["name"], CashbackProfile.id != (profile_id or 0)):
        raise Conflict(TAKEN, field="name")
    try:
        if profile_id is None:
            profile = work.add(CashbackProfile(**values))
            work.record(Event.CASHBACK_SAVED, profile, after=_told(values), profile=profile.name)
            return profile.id
        profile = work.get(CashbackProfile, profile_id, lock=True)
        if profile.unit != unit:
            raise Invalid("A profile keeps its currency. Switch it off and make another one.", field="unit")
        before = {key: getattr(profile, key) for key in values}
        if profile.version == version and before == values:
            return profile.id
        if not work.change(CashbackProfile, profile_id, when=(CashbackProfile.version == version,), **values):
            raise Conflict(STALE, now=profile.version)
    except IntegrityError as error:
        raise Conflict(TAKEN, field="name") from error
    profile = work.get(CashbackProfile, profile_id)
    work.record(Event.CASHBACK_SAVED, profile, before=_told(before), after=_told(values), profile=profile.name)
    return profile.id


@use_case(PROPOSE, about=Organization, gate=CASHBACK_GATE)
def assign_profile(work: Work, organization_id: int, *, profile_id: int | None, instead_of: int | None = None) -> None:
    """Give a merchant a cashback profile in the place of the one it has; None takes it away. The same changes nothing.

    Args:
        instead_of: the profile that whoever decided saw it have; None: whatever it has.

    Raises:
        Invalid: the organization is no merchant (S3:63).
        Conflict: it has another profile than was seen.
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    organization = work.get(Organization, organization_id, lock=True)
    if organization.kind is not OrganizationKind.MERCHANT:
        raise Invalid("Cashback profiles are for merchants.", field="organization")
    old = organization.cashback_profile_id
    if old == profile_id:
        return
    if instead_of is not None and old != instead_of:
        raise Conflict("This merchant has another profile by now. Look at what changed, then try again.")
    before = work.get(CashbackProfile, old).name if old is not None else None
    after = work.get(CashbackProfile, profile_id).name if profile_id is not None else None
    work.change(Organization, organization_id, cashback_profile_id=profile_id)
    work.record(
        Event.CASHBACK_ASSIGNED,
        work.get(Organization, organization_id),
        before={"cashback_profile": before},
        after={"cashback_profile": after},
        profile=after or before,
        organization=organization.name,
    )


def _told(values: dict[str, Any]) -> dict[str, object]:
    told = {"percentage" if key == "rate_ppm" else key: value for key, value in values.items()}
    return told | {"percentage": percent_text(values["rate_ppm"])}


def _check(work: Work, values: dict[str, Any]) -> None:
    name = values["name"]
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    if values["unit"] not in active_units(work.session):
        raise Invalid(_("%(unit)s is no unit that can be used.", unit=values["unit"]), field="unit")
    if not 0 < values["rate_ppm"] <= WHOLE_PPM:
        raise Invalid("Cashback is more than 0 and at most 100 percent.", field="rate_ppm")
    for field in ("cap_minor", "cap_month_minor"):
        if (cap := values[field]) is not None and not 0 < cap <= MAX_MINOR:
            raise Invalid("A cap is more than zero. Leave it empty for no cap.", field=field)
    most, month = values["cap_minor"], values["cap_month_minor"]
    if most is not None and month is not None and most > month:
        raise Invalid("The cap of one payment is above the cap of a month.", field="cap_minor")
    if values["valid_to"] is not None and values["valid_to"] < values["valid_from"]:
        raise Invalid("It would end before it begins.", field="valid_to")
