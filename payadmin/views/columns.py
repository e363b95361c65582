"""What pages know about a model's columns: kind, label, how a value looks in a cell and in a file."""

import datetime as dt
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app, g, has_request_context, request
from markupsafe import Markup
from sqlalchemy import JSON, Boolean, Date, DateTime, Enum, Integer, Numeric, Select, String, Uuid, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Mapper

from payadmin.db import Base, UtcDateTime, db
from payadmin.kernel import masks
from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import Money, scale_of
from payadmin.kernel.text import Text, _, day_text
from payadmin.permissions import Permission
from payadmin.texts import Speech
from payadmin.views import ui
from payadmin.views.language import say, speech

PAGE_OF = "payadmin.page_of"
REVEALED = "payadmin.revealed"
EMPTY = ui.NOTHING
TITLES = ("name", "title", "reference", "transaction_id", "number", "code", "external_id", "username", "subject")
LONGEST_CELL = 80


class Kind(StrEnum):
    TEXT = "text"
    CODE = "code"
    NUMBER = "number"
    MONEY = "money"
    ENUM = "enum"
    FLAG = "flag"
    MOMENT = "moment"
    DAY = "day"
    JSON = "json"
    LINK = "link"
    UUID = "uuid"


@dataclass(frozen=True, eq=False)
class Column:
    """One attribute of a model as every page sees it. Its label is English in code and in files, translated on pages.

    `key` names it in URLs and forms: the relationship's name where there is one, else the attribute's. `attr` is always
    the column itself, for a link the foreign key.

    `worked_out` is for what is not kept but asked of other tables: it makes the value from that of `attr`, for files.
    On screens, `names_for` and `cell` of the page show it.
    """

    key: str
    label: str
    kind: Kind
    attr: InstrumentedAttribute[Any]
    info: Mapping[str, Any] = field(default_factory=dict)
    unit_key: str | None = None
    members: type[enum.Enum] | None = None
    target: "type[Base] | None" = None
    target_attr: InstrumentedAttribute[Any] | None = None
    told_by: InstrumentedAttribute[Any] | None = None
    worked_out: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The attribute's own key, as rows hold it."""
        return str(self.attr.key)

    @property
    def nullable(self) -> bool:
        return bool(self.attr.property.columns[0].nullable)

    @property
    def secret(self) -> bool:
        return bool(self.info.get("secret"))

    @property
    def readonly(self) -> bool:
        return bool(self.info.get("readonly")) or bool(self.attr.property.columns[0].primary_key)

    @property
    def title_attr(self) -> InstrumentedAttribute[Any] | None:
        """What stands for the target (links only): `told_by`, else its name."""
        return self.told_by or (title_attr(self.target) if self.target else None)


def columns_of(model: type[Base], labels: Mapping[str, str] | None = None) -> dict[str, Column]:
    """Every column of `model` by the key that pages use, in the order of the table."""
    mapper: Mapper[Any] = inspect(model)
    relations = {
        next(iter(relation.local_columns)): relation.key
        for relation in mapper.relationships
        if relation.direction.name == "MANYTOONE" and len(relation.local_columns) == 1
    }
    found = (_column(mapper, prop.key, relations, labels or {}) for prop in mapper.column_attrs)
    return {column.key: column for column in found}


def _column(mapper: Mapper[Any], name: str, relations: Mapping[Any, str], labels: Mapping[str, str]) -> Column:
    attr = getattr(mapper.class_, name)
    source = mapper.column_attrs[name].columns[0]
    kind, key, target, target_attr = _kind(source), name, None, None
    # A key of several columns stands behind the column's own.
    foreign = min(
        source.foreign_keys, key=lambda each: len(each.constraint.columns) if each.constraint else 1, default=None
    )
    if foreign is not None:
        remote = next((m for m in mapper.registry.mappers if m.local_table is foreign.column.table), None)
        if remote is not None:
            target, target_attr = (
                remote.class_,
                getattr(remote.class_, remote.get_property_by_column(foreign.column).key),
            )
            if foreign.column.primary_key:
                kind, key = Kind.LINK, relations.get(source, name)
            else:
                kind = Kind.CODE
    if kind is Kind.MONEY:
        key = name.removesuffix("_minor")
    label = labels.get(key) or source.info.get("label") or key.removesuffix("_id").replace("_", " ").capitalize()
    return Column(
        key=key,
        label=Text(label),
        kind=kind,
        attr=attr,
        info=source.info,
        unit_key=source.info.get("money"),
        members=source.type.enum_class if isinstance(source.type, Enum) else None,
        target=target,
        target_attr=target_attr,
    )


def _kind(column: Any) -> Kind:
    if column.info.get("money"):
        return Kind.MONEY
    kinds: tuple[tuple[Any, Kind], ...] = (
        (Enum, Kind.ENUM),
        (Boolean, Kind.FLAG),
        ((UtcDateTime, DateTime), Kind.MOMENT),
        (Date, Kind.DAY),
        ((Integer, Numeric), Kind.NUMBER),
        (JSON, Kind.JSON),
        (Uuid, Kind.UUID),
        (String, Kind.TEXT),
    )
    return next((kind for types, kind in kinds if isinstance(column.type, types)), Kind.TEXT)


def title_attr(model: type[Base]) -> InstrumentedAttribute[Any] | None:
    """The attribute that names a row of `model`: `__title__`, or the first of the usual names."""
    keys = inspect(model).column_attrs.keys()
    named = getattr(model, "__title__", None)
    return next((getattr(model, key) for key in ((named,) if named else TITLES) if key in keys), None)


def scope_of(column: Column) -> "Select[Any]":
    """The rows that `column` points to and the person signed in may know of: those of the target's own page."""
    page = current_app.extensions[PAGE_OF].get(column.target)
    scope: Select[Any] = select(column.target) if page is None else page.get_query()  # type: ignore[arg-type]
    return scope


def titles_of(column: Column, ids: set[Any]) -> dict[Any, str]:
    """The names of the rows in scope that `column` points to: one query, whatever their number."""
    title = column.title_attr
    if not ids or column.target is None or column.target_attr is None:
        return {}
    if title is None:
        return {row_id: say(_("No. %(number)s", number=row_id)) for row_id in ids}
    show = masked(title.property.columns[0].info.get("mask"))
    scope = scope_of(column).where(column.target_attr.in_(ids))
    found = db.session.execute(scope.with_only_columns(column.target_attr, title, maintain_column_froms=True))
    return {row_id: show(name) for row_id, name in found}


def masked(mask: str | None) -> Callable[[Any], str]:
    """How a value is shown: as it is, or with the middle hidden from those who may not read personal data.

    On the details page of a record that they have revealed nothing is hidden from them for a while (`views/reveals`).
    """
    if mask is None or not masks_personal_data() or (has_request_context() and REVEALED in request.environ):
        return str
    return lambda value: masks.mask(mask, str(value))


def masks_personal_data() -> bool:
    """Whether the person signed in (nobody, in a job of the system's) sees personal data masked."""
    actor = g.get("actor")
    return actor is None or not actor.may(Permission.PARTIES_PERSONAL_READ)


def is_hidden(attr: InstrumentedAttribute[Any]) -> bool:
    """Whether the column is masked for the person signed in: then nothing about it may be found out by trying.

    A prefix, a range or an order would tell what the mask hides, letter by letter; only a whole value may be asked for.
    """
    return bool(attr.property.columns[0].info.get("mask")) and masks_personal_data()


def zone() -> ZoneInfo:
    """The business time zone."""
    found: ZoneInfo = current_app.extensions["payadmin.settings"].zone
    return found


def unit_scale(code: str) -> int | None:
    """The decimals of a unit: the table of units first (it knows bonus points too), then ISO 4217."""
    from payadmin.models.payments import Unit  # noqa: PLC0415 - only pages that show money need the room

    cache: dict[str, int] = current_app.extensions.setdefault("payadmin.unit_scales", {})
    if code not in cache:
        cache.update({row.code: row.scale for row in db.session.execute(select(Unit.code, Unit.scale))})
    if code in cache:
        return cache[code]
    try:
        return scale_of(code)
    except Invalid:
        return None


def label_of(member: enum.Enum) -> str:
    """What screens call an enum member: its value, unless that is only a code."""
    text = str(member.value)
    return Text(text if text != member.name and not text.isupper() else text.replace("_", " ").capitalize())


def tone_of(member: enum.Enum) -> str:
    """The tone of a member's badge; the word says the same, so colour never carries meaning alone."""
    return _TONES.get(member.name, "plain")


_TONES = (
    dict.fromkeys(
        ("PAID", "ACTIVE", "SUCCEEDED", "DONE", "SENT", "DELIVERED", "APPROVED", "APPLIED", "CONFIRMED"), "ok"
    )
    | dict.fromkeys(("PENDING", "UNKNOWN", "SUBMITTED", "RETRY_WAIT", "PARTIALLY_REFUNDED", "PENDING_APPROVAL"), "warn")
    | dict.fromkeys(("MISSED", "MANUAL", "STALE", "HELD", "INITIATED"), "warn")
    | dict.fromkeys(("OPEN", "EXECUTED"), "ok")
    | dict.fromkeys(("EXECUTION_FAILED",), "bad")
    | dict.fromkeys(("FAILED", "DECLINED", "CHARGED_BACK", "BLOCKED", "DEAD", "REJECTED", "LOCKED"), "bad")
    | dict.fromkeys(("CREATED", "AUTHORIZED", "QUEUED", "REQUESTED", "RUNNING", "DUE", "TOTALLY_REFUNDED"), "info")
    | dict.fromkeys(("ENQUEUED", "PROCESSING", "SENDING"), "info")
    | {"IN_PROGRESS": "info", "WAITING_CUSTOMER": "plain", "REOPENED": "warn", "RESOLVED": "ok"}
    | {"URGENT": "bad", "HIGH": "warn"}
    | {"MATCHED": "ok", "ACCEPTED": "ok", "UNMATCHED": "warn", "PARTLY_ACCEPTED": "warn", "RETURNED": "bad"}
)


def enum_cell(member: enum.Enum) -> Any:
    """A state is a badge; a choice among equals, such as a channel, is plain text."""
    is_state = any(other.name in _TONES for other in type(member))
    return ui.badge(label_of(member), tone_of(member)) if is_state else say(label_of(member))


def renderer(column: Column, names: Mapping[Any, str], links: str | None) -> Callable[[Any], Any]:
    """A function from a row to what the cell shows; everything that does not change from row to row is done here.

    Args:
        column: what is shown.
        names: for a link or a code, the names of the rows it points to.
        links: for a link, where they live (`/customers/{}/`), or None when the reader may not open them.
    """
    name = column.name
    match column.kind:
        case Kind.MONEY:
            unit_key, scales, tongue = str(column.unit_key), Scales(), speech()
            return lambda row: money_cell(getattr(row, name), getattr(row, unit_key), scales, tongue)
        case Kind.ENUM:
            words = {member: enum_cell(member) for member in column.members or ()}
            return lambda row: words.get(getattr(row, name), EMPTY)
        case Kind.FLAG:
            flags = {True: ui.badge("Yes", "ok"), False: ui.badge("No", "plain")}
            return lambda row: flags.get(getattr(row, name), EMPTY)
        case Kind.MOMENT:
            when = ui.moment_writer(zone(), speech())
            return lambda row: when(getattr(row, name))
        case Kind.DAY:
            return lambda row: day_cell(getattr(row, name))
        case Kind.LINK:
            return lambda row: link_cell(getattr(row, name), names, links)
        case Kind.CODE:
            return lambda row: names.get(getattr(row, name), getattr(row, name)) or EMPTY
        case Kind.JSON:
            return lambda row: json_text(getattr(row, name)) or EMPTY
    return _plain(name, masked(column.info.get("mask")))


def _plain(name: str, show: Callable[[Any], str]) -> Callable[[Any], Any]:
    """Text as it is, cut where a cell ends."""

    def plain(row: Any) -> Any:
        value = getattr(row, name)
        if value is None or value == "":
            return EMPTY
        text = show(value)
        return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"

    return plain


class Scales(dict[str, int | None]):
    """The decimals of units, each looked up once."""

    def __missing__(self, unit: str) -> int | None:
        self[unit] = unit_scale(unit)
        return self[unit]


_LONG = Markup('<span class="long">{}</span>')
_LINES = Markup('<span class="long mono">{}</span>')


def whole(column: Column, cell: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`cell` for a details page: text that a list would cut is shown to its end, with its lines."""
    if column.kind is not Kind.TEXT:
        return cell
    name, show = column.name, masked(column.info.get("mask"))

    def full(row: Any) -> Any:
        value = getattr(row, name)
        if not isinstance(value, str) or len(value) <= LONGEST_CELL:
            return cell(row)
        return (_LINES if "\n" in value else _LONG).format(show(value))

    return full


def money_cell(minor: int | None, unit: str | None, scales: Scales | None = None, tongue: Speech | None = None) -> Any:
    """An amount as cells show it; an unknown unit is said, never guessed."""
    if minor is None or unit is None:
        return EMPTY
    scale = unit_scale(unit) if scales is None else scales[unit]
    return say(money_text(minor, unit)) if scale is None else ui.amount(minor, unit, scale, tongue)


def money_text(minor: int, unit: str) -> str:
    """An amount in a sentence."""
    scale = unit_scale(unit)
    if scale is None:
        return _("%(minor)s minor units of %(unit)s", minor=minor, unit=unit)
    return str(Money(minor, unit, scale))


_JOIN = Markup("").join
_LINK = (Markup('<a class="link" href="'), Markup('">'), Markup("</a>"))


def link_cell(value: int | None, names: Mapping[int, str], links: str | None) -> Any:
    """A related row by name."""
    if value is None:
        return EMPTY
    name = names.get(value) or say(_("No. %(number)s", number=value))
    return _JOIN((_LINK[0], links.format(value), _LINK[1], name, _LINK[2])) if links else name


def json_text(value: Any) -> str:
    """A structured value as one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {json_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(json_text(item) for item in value)
    return "" if value is None else str(value)


_DAY = Markup('<time datetime="{}">{}</time>')


def day_cell(day: dt.date | None) -> Any:
    """A business day."""
    return EMPTY if day is None else _DAY.format(day.isoformat(), say(day_text(day)))
