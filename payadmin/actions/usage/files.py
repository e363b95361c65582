"""Counts from a file: CSV, XLSX or XLS, all rows or none, and the same file again changes nothing."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from payadmin.actions.import_layouts import Mistake
from payadmin.actions.usage.counting import Counted, take_over
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.sheets import Value, read_table, text_of
from payadmin.kernel.text import NumberText, _
from payadmin.models.usage import CODE_LENGTH, LARGEST_COUNT, OPERATION_LENGTH, SOURCE_LENGTH
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

SHOWN_MISTAKES: Final = 20
USUAL_SOURCE: Final = "file"
_WHOLE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_DAY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]00:00:00)?", re.ASCII)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file."""

    key: str
    name: str
    longest: int = 0
    required: bool = True


COLUMNS: Final = (
    Column("service", "Client service", CODE_LENGTH),
    Column("operation", "Operation", OPERATION_LENGTH),
    Column("day", "Day"),
    Column("count", "Count"),
    Column("source", "Source", SOURCE_LENGTH, required=False),
)
_NAMES: Final = {column.key: column.name for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought in."""

    name: str
    created: int
    replaced: int
    unchanged: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        said = f"{self.name}: {self.created:,} counts are new, {self.replaced:,} were replaced,"
        return " ".join([f"{said} {self.unchanged:,} were there already.", *self.notes])


def import_usage(
    actor: Actor, data: bytes, *, name: str, zone: ZoneInfo, progress: Progress = lambda _done, _total: None
) -> Imported:
    """Take over the counts of a file: all of them, or none and the reasons.

    Args:
        data: the file; its content, not its name, says whether it is CSV, XLSX or XLS.
        zone: the business time zone, in which days begin.
        progress: told how many rows of how many were read.

    Raises:
        Forbidden: the actor may not.
        Invalid: the file or some of its cells make no sense; `data["mistakes"]` lists row, column and sentence.
    """
    if not actor.may(Permission.USAGE_COUNT_REPORT):
        raise Forbidden("Your role does not allow this.")
    # Read before the transaction begins: a large file must not hold up everybody who writes.
    table = read_table(data, name)
    places = _places(table.header)
    rows = list(table.rows)
    if not rows:
        raise Invalid("The file has a header but no rows.")
    entries: list[Counted] = []
    mistakes: list[Mistake] = []
    for done, (row, values) in enumerate(rows, 1):
        entry = _entry(row, {key: values[place] for key, place in places.items()}, mistakes)
        if entry is not None:
            entries.append(entry)
        if done % 500 == 0 or done == len(rows):
            progress(done, len(rows))
    if mistakes:
        raise _refusal(mistakes)
    return Imported(name, **store_usage_file(actor, entries, zone=zone), notes=table.notes)


@use_case(Permission.USAGE_COUNT_REPORT)
def store_usage_file(work: Work, entries: Sequence[Counted], *, zone: ZoneInfo) -> dict[str, int]:
    """Store the counts of rows that were read; how many were created, replaced and unchanged."""
    wrong, done = take_over(work, entries, zone)
    if wrong:
        raise _refusal([Mistake(each.place, _NAMES[each.field], each.sentence) for each in wrong])
    return done


def _places(header: Sequence[str]) -> dict[str, int]:
    """Where each column stands; their order does not matter, their names do."""
    names = [" ".join(label.split()).casefold().replace("_", " ") for label in header]
    known = {column.name.casefold(): column.key for column in COLUMNS}
    for label, name in zip(header, names, strict=True):
        if name not in known:
            raise Invalid(
                _(
                    '"%(label)s" is not a column of a file of usage. It has these: %(columns)s.',
                    label=label[:40],
                    columns=", ".join(column.name for column in COLUMNS),
                )
            )
        if names.count(name) > 1:
            raise Invalid(_("The column %(column)s stands there twice.", column=label[:40]))
    places = {known[name]: place for place, name in enumerate(names)}
    for column in COLUMNS:
        if column.required and column.key not in places:
            raise Invalid(_("The column %(column)s is missing.", column=column.name))
    return places


def _entry(row: int, cells: dict[str, Value], mistakes: list[Mistake]) -> Counted | None:
    made: dict[str, Any] = {"source": USUAL_SOURCE}
    before = len(mistakes)
    for column in COLUMNS:
        if column.key not in cells:
            continue
        value = cells[column.key]
        text = text_of(value).strip()
        if not text:
            if column.required:
                mistakes.append(Mistake(row, column.name, "This is needed."))
            continue
        try:
            match column.key:
                case "day":
                    made["day"] = _day(text)
                case "count":
                    made["count"] = _count(value, text)
                case _:
                    made[column.key] = _words(text, column.longest)
        except ValueError as error:
            mistakes.append(Mistake(row, column.name, str(error)))
    return Counted(place=row, **made) if len(mistakes) == before else None


def _words(text: str, longest: int) -> str:
    # The apostrophe that keeps spreadsheets from running a cell is no part of what it says.
    text = text[1:] if text[:1] == "'" and text[1:2] in "=+-@" else text
    if len(text) > longest:
        raise ValueError(_("At most %(most)s characters.", most=longest))
    if not text.isprintable() or mask_pan_in_text(text) != text:
        raise ValueError(_("This holds a card number, or characters that cannot be stored."))
    return text


def _day(text: str) -> dt.date:
    found = _DAY.fullmatch(text)
    try:
        day = dt.date.fromisoformat(found[1]) if found else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(_("“%(text)s” is not a day: write it as 2026-01-31.", text=text[:40]))
    return day


def _count(value: Value, text: str) -> int:
    if isinstance(value, Decimal) and value == value.to_integral_value() and abs(value) <= LARGEST_COUNT:
        text = str(int(value))
    if not _WHOLE.fullmatch(text) or int(text) > LARGEST_COUNT:
        raise ValueError(
            _("“%(text)s” is not a whole number from 0 to %(most)s.", text=text[:40], most=NumberText(LARGEST_COUNT))
        )
    return int(text)


def _refusal(mistakes: list[Mistake]) -> Invalid:
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes):,} mistakes"
    lines = [f"Nothing was imported: the file has {count}.", *map(str, mistakes[:SHOWN_MISTAKES])]
    if len(mistakes) > SHOWN_MISTAKES:
        lines.append(f"… and {len(mistakes) - SHOWN_MISTAKES:,} more.")
    listed = [{"row": one.row, "column": one.column, "sentence": one.sentence} for one in mistakes[:SHOWN_MISTAKES]]
    return Invalid("\n".join(lines), mistakes=listed, count=len(mistakes))
