"""When roles and menus of staff need a second person: whoever gives them, by whichever page."""

import hashlib
from collections.abc import Mapping
from typing import Any

from payadmin.approvals import ApprovalGate, Ask, Target
from payadmin.models.access import StaffUser
from payadmin.permissions import Role
from payadmin.work import Work


def _account(arguments: Mapping[str, Any]) -> Target:
    return Target(StaffUser, arguments["staff_id"])


def _new_account(arguments: Mapping[str, Any]) -> Target:
    return Target(StaffUser, None, str(arguments["username"]).strip().lower())


def _change_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    """Only a change of roles or menus is asked about; an act that changes neither passes."""
    staff = work.get(StaffUser, arguments["staff_id"])
    words = []
    if "roles" in arguments and _roles(arguments) != staff.roles:
        words.append(", ".join(sorted(_roles(arguments))) or "no roles")
    if "menu_access" in arguments and set(arguments["menu_access"]) != set(staff.menu_access):
        words.append("another menu")
    title = f"Give {staff.username} {' and '.join(words)}"
    return Ask(title, {"access": 0} if words else {})


def _new_asks(_work: Work, arguments: Mapping[str, Any]) -> Ask:
    roles = ", ".join(sorted(_roles(arguments))) or "no roles"
    return Ask(f"Invite {str(arguments['username']).strip().lower()} as {roles}", {"access": 0})


def _roles(arguments: Mapping[str, Any]) -> frozenset[str]:
    """The roles that an act gives, whether it was given members or their names."""
    return frozenset(Role.__members__.get(str(role), role) for role in arguments["roles"])


def _file(arguments: Mapping[str, Any]) -> Target:
    names = " ".join(sorted(line["username"] for _, line in arguments["lines"]))
    return Target(StaffUser, None, f"file {hashlib.sha256(names.encode()).hexdigest()[:32]}")


def _file_asks(_work: Work, arguments: Mapping[str, Any]) -> Ask:
    names = [line["username"] for _, line in arguments["lines"]]
    return Ask(f"Invite {len(names)} people: {', '.join(names)}", {"access": 0})


# For every use case that takes `staff_id` and gives `roles`, `menu_access`, or both.
STAFF_GATE = ApprovalGate("access", _account, _change_asks, secret=frozenset({"offer", "code"}))
FILE_GATE = ApprovalGate("access", _file, _file_asks, secret=frozenset({"nonces", "hashes"}))
NEW_STAFF_GATE = ApprovalGate("access", _new_account, _new_asks, secret=frozenset({"nonce", "password_hash"}))
