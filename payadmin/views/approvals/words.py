"""What a request would do, in the words of the pages: before and after, amounts with their decimals, names of roles."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Enum as EnumColumn

from payadmin.db import Base
from payadmin.kernel.text import Text, _
from payadmin.models.approvals import ApprovalRequest
from payadmin.permissions import MENU, Role
from payadmin.views.changes import sentence
from payadmin.views.columns import label_of, money_text
from payadmin.views.language import say

NOTHING = "–"
MENU_LABELS = {item.key: item.label for section in MENU for item in section.items}
ROLES = {role.name: role.value for role in Role}
# Together they say which term of a contract is told about.
NAMING = ("transaction_type", "unit")
# What the trail calls a field that is no column of its row.
LABELS = {"amount_minor": _("Amount"), "roles": _("Roles"), "menu_access": _("Menu access")}


@dataclass(frozen=True)
class Line:
    """One field: what it is called, what it is now, and what it becomes."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Effect:
    """One thing that happens: its name, its fields, and whether anything was there before."""

    title: str
    lines: tuple[Line, ...]
    is_change: bool


def effects_of(request: ApprovalRequest) -> list[Effect]:
    """What approving does, as trying it has shown."""
    return [_effect(told, request.unit) for told in request.effects]


def terms_of(request: ApprovalRequest) -> str | None:
    """What a refund or void does to the money of its payment, in one sentence."""
    amount, unit, seen = request.amount_minor, request.unit, request.seen
    if amount is None or unit is None or request.target_table != "payment":
        return None
    taken, given = int(seen.get("captured_minor") or 0), int(seen.get("refunded_minor") or 0)
    if request.kind == "void":
        return _("The whole payment of %(amount)s is taken back before it is settled.", amount=money_text(amount, unit))
    left = taken - given - amount
    return _(
        "%(amount)s go back to the customer. Of %(taken)s taken, %(given)s had been given back before; %(left)s would "
        "be left.",
        amount=money_text(amount, unit),
        taken=money_text(taken, unit),
        given=money_text(given, unit),
        left=money_text(left, unit),
    )


def differences_of(request: ApprovalRequest) -> list[Line]:
    """What has changed between asking and deciding, for a request that is out of date."""
    if request.differences == []:
        return [Line(_("The record"), _("was there"), _("does not exist any more"))]
    return [
        _line(request.target_table, str(each["key"]), each["before"], each["after"], request.unit)
        for each in request.differences or ()
    ]


def _effect(told: Mapping[str, Any], unit: str | None) -> Effect:
    before, after = told.get("before") or {}, told.get("after") or {}
    units = after.get("unit") or before.get("unit") or unit
    keys = [key for key in {**before, **after} if key != "unit" or "amount_minor" not in {**before, **after}]
    # Of what was there before, only what becomes another value is told.
    changed = [key for key in keys if not before or before.get(key) != after.get(key)]
    names = [key for key in NAMING if key in keys and key not in changed]
    title = event_words(str(told["event"]))
    if names == list(NAMING):
        which = (say(_line(told.get("entity"), key, None, after[key], units).after) for key in names)
        title = f"{say(title)}: {' · '.join(which)}"
    lines = tuple(_line(told.get("entity"), key, before.get(key), after.get(key), units) for key in changed)
    return Effect(title, lines, bool(before))


def event_words(event: str) -> str:
    """The name of an event as a sentence: `payments.refund.requested` is “Refund requested”."""
    return sentence(" ".join(event.split(".")[1:]))


def _line(table: str | None, key: str, before: Any, after: Any, unit: str | None) -> Line:
    known = Base.metadata.tables.get(table or "")
    column = known.columns.get(key) if known is not None else None
    label = LABELS.get(key) or (column.info.get("label") if column is not None else None) or sentence(key)
    return Line(say(label), *(_shown(column, key, value, unit) for value in (before, after)))


def _shown(column: Any, key: str, value: Any, unit: str | None) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return Text("Yes" if value else "No")
    if key.endswith("_minor") and isinstance(value, int) and unit:
        return money_text(value, unit)
    if key in {"roles", "menu_access"} and isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(say(ROLES.get(str(item)) or MENU_LABELS.get(str(item)) or item) for item in value) or NOTHING
    if isinstance(value, str):
        return _member(column, value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        return ", ".join(str(item) for item in value) or NOTHING
    return str(value)


def _member(column: Any, value: str) -> str:
    kind = column.type.enum_class if column is not None and isinstance(column.type, EnumColumn) else None
    member = kind.__members__.get(value) if kind is not None else None
    return label_of(member) if member is not None else value
