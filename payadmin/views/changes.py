"""What the trail holds, in the words of staff: activities, records, and what changed from what to what."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask import Flask, current_app, g, url_for
from markupsafe import Markup
from sqlalchemy import inspect, select

from payadmin.db import Base, db
from payadmin.kernel.text import Text, _, day_text
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Permission
from payadmin.views import ui
from payadmin.views.columns import PAGE_OF, Column, Kind, columns_of, json_text, label_of, money_text, unit_scale, zone

NOTHING = "–"
HIDDEN = _("hidden")
_ABBREVIATIONS = {"Id": "ID", "Ip": "IP", "Sha256": "SHA-256", "Url": "URL", "Csv": "CSV"}
_LINK = Markup('<a class="link" href="{}">{}</a>')
# Facts of acts that are minor units by their unit, such as what was counted at a cash desk.
_AMOUNTS_BY_UNIT = frozenset({"opening", "counts", "differences"})
_OUTCOMES = {"done": (_("Done"), "ok"), "refused": (_("Refused"), "warn"), "failed": (_("Failed"), "bad")}


@dataclass(frozen=True)
class Change:
    """One field of a record: what it was and what it became."""

    label: str
    before: str
    after: str


def init_changes(app: Flask) -> None:
    """Give the templates their words for the trail."""
    app.jinja_env.globals.update(act_words=act_words, act_changes=act_changes, acts_of=acts_of)


def act_words(event: str) -> str:
    """An activity as people say it: “Refund requested”. Acts that were refused have the name of what was asked for."""
    thing, happened = ["", *event.split(".")][-2:]
    known = event.count(".") > 1
    return sentence(f"{thing} {happened}" if known else happened)


def sentence(name: str) -> str:
    """A name of the code as words."""
    return re.sub(r"[_.\s]+", " ", name).strip().capitalize()


def label(key: str) -> str:
    """The name of an identifier as words."""
    words = sentence(key)
    return " ".join(_ABBREVIATIONS.get(word.capitalize(), word) for word in words.split(" "))


def outcome_badge(outcome: str) -> Markup:
    """How an act ended."""
    word, tone = _OUTCOMES.get(outcome, (sentence(outcome), "plain"))
    return ui.badge(word, tone)


@cache
def model_of(table: str) -> type[Base] | None:
    """The model whose rows are kept in `table`."""
    return next((mapper.class_ for mapper in Base.registry.mappers if mapper.local_table.description == table), None)


@cache
def _columns(model: type[Base]) -> Mapping[str, Column]:
    return {column.name: column for column in columns_of(model).values()}


def record_words(entity: str | None, entity_id: str | None) -> str:
    """A record as people call it: “Payment 17”."""
    return NOTHING if entity is None else f"{sentence(entity)} {entity_id or ''}".strip()


def record_cell(entity: str | None, entity_id: str | None) -> Any:
    """The record with a link to its page, if the reader may open that."""
    model = model_of(entity) if entity else None
    page = current_app.extensions[PAGE_OF].get(model)
    words = record_words(entity, entity_id)
    if page is None or not page.is_accessible() or not (entity_id or "").isdigit() or model is AuditEvent:
        return words
    return _LINK.format(f"{page.address}{entity_id}/", words)


def acts_of(row: Any) -> str | None:
    """The address of everything the trail says about a record, for those who may read it."""
    actor = g.get("actor")
    if actor is None or not actor.may(Permission.AUDIT_EVENT_READ):
        return None
    return url_for("user_actions.index_view", record=f"{inspect(type(row)).local_table.name}:{row.id}")


def keys_text(keys: Mapping[str, Any] | None) -> str:
    """The identifiers of an act in one line."""
    return " · ".join(f"{label(key)} {json_text(value)}" for key, value in (keys or {}).items())


def act_changes(entry: AuditEvent) -> list[Change]:
    """What an act changed, field by field, in the order of the record's form."""
    before, after = entry.before or {}, entry.after or {}
    model = model_of(entry.entity) if entry.entity else None
    columns = _columns(model) if model is not None else {}
    order = [*(name for name in columns if name in before or name in after)]
    order += [name for name in {**before, **after} if name not in columns]
    return list(_changes(entry, order, columns, before, after))


def _changes(
    entry: AuditEvent,
    order: list[str],
    columns: Mapping[str, Column],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Iterator[Change]:
    for name in order:
        column = columns.get(name)
        if column is not None and column.secret:
            yield Change(column.label, HIDDEN, _("changed") if name in after else HIDDEN)
            continue
        texts = []
        for values in (before, after):
            unit = None
            if column is not None and column.kind is Kind.MONEY and values.get(name) is not None:
                unit = values.get(str(column.unit_key)) or after.get(str(column.unit_key)) or _unit_of(entry, column)
            value = values.get(name)
            if column is None and name in _AMOUNTS_BY_UNIT and isinstance(value, dict):
                texts.append(_amounts_text(value))
            else:
                texts.append(text_of(column, value, unit))
        yield Change(column.label if column is not None else label(name), *texts)


def _amounts_text(amounts: Mapping[str, Any]) -> str:
    """Minor units by their unit, each as an amount; anything else as it is."""
    if not all(isinstance(minor, int) and unit_scale(unit) is not None for unit, minor in amounts.items()):
        return json_text(amounts)
    return ", ".join(money_text(minor, unit) for unit, minor in amounts.items()) or NOTHING


def text_of(column: Column | None, value: Any, unit: str | None) -> str:
    """One value of the trail's JSON as people read it."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return Text("Yes" if value else "No")
    if column is None or not isinstance(value, int | str):
        return json_text(value) or NOTHING
    try:
        match column.kind:
            case Kind.MONEY:
                return money_text(int(value), unit) if unit else _("%(minor)s minor units", minor=value)
            case Kind.ENUM if column.members is not None:
                return label_of(column.members[str(value)])
            case Kind.MOMENT:
                return f"{dt.datetime.fromisoformat(str(value)).astimezone(zone()):%d %b %Y, %H:%M}"
            case Kind.DAY:
                return day_text(dt.date.fromisoformat(str(value)))
            case Kind.LINK:
                return _("No. %(number)s", number=value)
    except (KeyError, ValueError):
        return str(value)  # a member or a form of it that has gone since
    return str(value)


def _unit_of(entry: AuditEvent, column: Column) -> str | None:
    """The unit of the record itself, which never changes."""
    kept: dict[tuple[str | None, str | None], str | None] = g.setdefault("units_of_records", {})
    place = (entry.entity, entry.entity_id)
    if place not in kept:
        model: Any = column.attr.class_
        unit: Any = getattr(model, str(column.unit_key))
        known = (entry.entity_id or "").isdigit()
        kept[place] = db.session.scalar(select(unit).where(model.id == int(entry.entity_id or 0))) if known else None
    return kept[place]
