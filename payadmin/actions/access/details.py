"""What an account says of its owner: plain values that make sense, and one entry in the trail for what changes."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from payadmin.actions.access import letters
from payadmin.actions.access.links import end_links
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _, one_line
from payadmin.models.access import StaffUser
from payadmin.models.parties import Organization
from payadmin.permissions import MENU_KEYS
from payadmin.providers.mail import is_address
from payadmin.work import Work

USERNAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
WRONG_USERNAME: Final = _("Use 2 to 64 letters, digits, dots, dashes or underscores.")
LONGEST_NAME: Final = 120
_MOBILE = re.compile(r"\+?[0-9](?:[ ()./-]*[0-9]){6,14}", re.ASCII)


def change_details(work: Work, staff: StaffUser, values: Mapping[str, Any]) -> None:
    """Write what differs, with one entry in the trail; nothing that differs writes nothing."""
    before = {key: getattr(staff, key) for key, value in values.items() if getattr(staff, key) != value}
    after = {key: values[key] for key in before}
    if not after:
        return
    old = staff.email
    # A temporary password that went to the wrong mailbox must not open the account from there.
    void: dict[str, Any] = {"password_hash": None} if "email" in after and staff.must_change_password else {}
    work.change(StaffUser, staff.id, **after, **void)
    work.record(Event.ACCESS_STAFF_CHANGED, staff, before=before, after=after, username=staff.username)
    if "email" in after:
        end_links(work, staff.id)
        for address in (old, staff.email):
            letters.write(work, staff, "address_changed", to=address, address=staff.email)


def plain_name(text: str) -> str:
    """A person's name in one line.

    Raises:
        Invalid: empty or too long; `field` is "full_name".
    """
    name = one_line(text)
    if not name or len(name) > LONGEST_NAME:
        raise Invalid("Give a name of at most 120 characters.", field="full_name")
    return name


def plain_email(work: Work, text: str, *, but: StaffUser | None = None) -> str:
    """An address that mail can be sent to and that no other account has.

    Raises:
        Invalid: it is none; `field` is "email".
        Conflict: another account has it; `field` is "email".
    """
    address = text.strip().lower()
    if not is_address(address):
        raise Invalid("This is not an e-mail address.", field="email")
    if work.exists(StaffUser.email == address, StaffUser.id != (but.id if but else 0)):
        raise Conflict("Another account has this e-mail address.", field="email")
    return address


def plain_mobile(text: str | None) -> str | None:
    """A mobile number as it is kept: its digits, with the plus if there is one.

    Raises:
        Invalid: it is none; `field` is "mobile".
    """
    number = (text or "").strip()
    if not number:
        return None
    if not _MOBILE.fullmatch(number):
        raise Invalid("This is not a mobile number, such as +44 7700 900123.", field="mobile")
    return ("+" if number.startswith("+") else "") + "".join(sign for sign in number if sign.isdigit())


def organization_of(work: Work, organization_id: int | None) -> int | None:
    """The organization, if there is one with this id.

    Raises:
        Invalid: there is none; `field` is "organization_id".
    """
    if organization_id is None:
        return None
    if not 0 < organization_id < 2**63 or not work.exists(Organization.id == organization_id):
        raise Invalid("There is no such organization.", field="organization_id")
    return organization_id


def check_menu(keys: Iterable[str]) -> None:
    """Refuse menu entries that do not exist; `field` is "menu_access"."""
    if unknown := set(keys) - MENU_KEYS:
        raise Invalid(_("There is no menu entry %(unknown)s.", unknown=min(unknown)[:60]), field="menu_access")


def details_seen(staff: StaffUser) -> str:
    """What the form of an account's data showed, as one mark: a sign-in moves the row's version, but not this."""
    return _mark([staff.full_name, staff.email, staff.mobile, staff.organization_id, staff.manager_id])


def rights_seen(staff: StaffUser) -> str:
    """What the form of an account's rights showed, as one mark."""
    return _mark([sorted(role.name for role in staff.roles), sorted(staff.menu_access), staff.manager_id])


def _mark(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
