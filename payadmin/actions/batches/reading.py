"""Reading a batch file: cells become text, card numbers leave at once, and what the file says gets a fingerprint.

A card number exists here only in memory, between the reading of its row and the provider's token; what is stored, and
what the content's fingerprint is made of, never holds one.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from payadmin.actions.batches.card_numbers import holds_card, holds_one_of, is_card, may_hold_card, without_cards
from payadmin.actions.batches.columns import CARD_NO, KEY_COLUMN, by_key, column_key, header_problems
from payadmin.kernel.cards import fingerprint
from payadmin.kernel.errors import Invalid
from payadmin.kernel.masks import card_number_digits, luhn_ok, mask_card
from payadmin.kernel.sheets import Value, content_hash, read_table, text_of
from payadmin.kernel.text import _
from payadmin.models.batches import BatchKind
from payadmin.providers import StoredCard

MAX_ROWS: Final = 100_000
ROWS_A_PART: Final = 1_000
LONGEST_KEPT: Final = 4_600
NOT_A_CARD: Final = _("This is not a valid card number; check its digits.")
_TYPED: Final = re.compile(r"[0-9]{13,19}", re.ASCII)
_NO_HEADER: Final = _("The first row holds data; it must name the columns. Put their names above it.")
# Lists of days, months and dates are long runs of digits; what is nothing else than that holds no card number.
_LISTS: Final = frozenset({"days", "months", "dates"})
_CALENDAR: Final = re.compile(
    r"(?:(?:0?[1-9]|[12][0-9]|3[01]|20[0-9]{2}-[01][0-9]-[0-3][0-9])(?:[;,|\s]+|$))+", re.ASCII
)
_DEFUSED: Final = ("=", "+", "-", "@")

StoreCards = Callable[[Sequence[str]], list[StoredCard] | None]


@dataclass(slots=True)
class SheetRow:
    """One row: its cells as text, in the file's order, and what is known beside them.

    `facts` may hold `masked` (columns whose card number was not kept), `repeats` (the first row with the same key),
    and `card`: {last4, first6, fingerprint, token} or {error}.
    """

    number: int
    cells: list[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def kept(self) -> list[Any]:
        """The row as it is stored until it is checked."""
        return [self.number, self.cells, self.facts or None]


@dataclass(slots=True)
class Sheet:
    """A whole file, read. `numbers` is what the provider is still to make tokens of: card number → its rows' facts."""

    columns: list[str]
    problems: list[dict[str, str]]
    rows: list[SheetRow]
    content_hash: str
    format: str
    notes: list[str]
    numbers: dict[str, list[dict[str, Any]]]

    def store_cards(self, store: StoreCards) -> None:
        """Exchange the card numbers for tokens and forget them.

        Raises:
            Invalid: the provider did not answer; nothing of the file is kept.
        """
        numbers = list(self.numbers)
        stored = store(numbers) if numbers else []
        if stored is None:
            raise Invalid("The payment provider cannot store cards at the moment. Upload the file again later.")
        for number, card in zip(numbers, stored, strict=True):
            for facts in self.numbers[number]:
                said = without_cards(card.message or NOT_A_CARD, {number})
                facts.update({"token": card.token} if card.token else {"error": said})
        self.numbers.clear()


def read_sheet(data: bytes, name: str, kind: BatchKind, keys: Sequence[bytes]) -> Sheet:
    """The rows of a file, without card numbers.

    Args:
        data: the file; its content, not its name, says whether it is CSV, XLSX or XLS.
        keys: the configured keys; the first makes the fingerprints of cards.

    Raises:
        Invalid: the file cannot be read for certain, holds no rows or begins with one; the sentence names row and
            column.
    """
    table = read_table(data, name, max_rows=MAX_ROWS)
    if any(holds_card(label) for label in table.header):
        raise Invalid(_NO_HEADER, row=1)
    columns = [column_key(label) if column_key(label) in by_key(kind) else label for label in table.header]
    reader = _Reader(kind, columns, keys)
    for number, values in table.rows:
        reader.read(number, values)
    digest = content_hash(reader.said_columns, map(reader.finish, reader.rows))
    if not reader.rows:
        raise Invalid("The file has a header but no rows.")
    return Sheet(
        columns=columns,
        problems=header_problems(kind, table.header),
        rows=reader.rows,
        content_hash=digest,
        format=table.kind.value,
        notes=list(table.notes),
        numbers=reader.numbers,
    )


def parts(rows: Sequence[SheetRow]) -> Iterator[list[list[Any]]]:
    """The rows in the pieces in which they wait for their check."""
    for first in range(0, len(rows), ROWS_A_PART):
        yield [row.kept() for row in rows[first : first + ROWS_A_PART]]


class _Reader:
    def __init__(self, kind: BatchKind, columns: Sequence[str], keys: Sequence[bytes]) -> None:
        known = by_key(kind)
        self.keys = keys
        self.card_place = columns.index(CARD_NO) if CARD_NO in columns and CARD_NO in known else None
        self.key_place = columns.index(KEY_COLUMN[kind]) if KEY_COLUMN[kind] in columns else None
        self.columns = columns
        # A column that is missing says no more and no less than an empty one.
        self.absent = [name for name in known if name not in columns]
        self.said_columns = [*columns, *self.absent]
        self.identifies = [name in known and known[name].identifies for name in columns]
        self.rows: list[SheetRow] = []
        self.numbers: dict[str, list[dict[str, Any]]] = {}
        self.first: dict[str, int] = {}

    def read(self, number: int, values: Sequence[Value]) -> None:
        """Take in one row, its card number apart."""
        row = SheetRow(number, [_text(value) for value in values])
        self._take_card(row)
        self.rows.append(row)

    def finish(self, row: SheetRow) -> list[Value]:
        """Clear a row of card numbers, once all of the file are known; its cells as the fingerprint is to see them."""
        cells = row.cells
        masked = []
        for place, cell in enumerate(cells):
            if place != self.card_place and may_hold_card(cell) and (shown := self._cleared(row, place)) != cell:
                cells[place] = shown
                masked.append(self.columns[place])
        if masked:
            row.facts["masked"] = masked
        if self.key_place is not None and (key := cells[self.key_place]):
            first = self.first.setdefault(key, row.number)
            if first != row.number:
                row.facts["repeats"] = first
        said: list[Value] = [*cells, *(None for _ in self.absent)]
        if self.card_place is not None and "card" in row.facts:
            said[self.card_place] = row.facts["card"].get("fingerprint", cells[self.card_place])
        return said

    def _cleared(self, row: SheetRow, place: int) -> str:
        cell = row.cells[place]
        if self.identifies[place]:
            # A billing number may look like a card by chance. Where it is one of the file's cards, or the row's card is
            # missing, columns were mixed up.
            has_card = "fingerprint" in row.facts.get("card", ())
            is_mixed_up = holds_one_of(cell, self.numbers) or (not has_card and is_card(cell))
            return mask_card(cell) if is_mixed_up else cell
        if self.columns[place] in _LISTS and _CALENDAR.fullmatch(cell):
            return cell
        return without_cards(cell, self.numbers)

    def _take_card(self, row: SheetRow) -> None:
        """Move the card number out of the row."""
        if self.card_place is None or not (typed := row.cells[self.card_place]):
            return
        digits = card_number_digits(typed) or _plain_number(typed)
        row.cells[self.card_place] = mask_card(typed) if any(mark.isdigit() for mark in typed) else typed[:40]
        if digits is None:
            row.facts["card"] = {"error": NOT_A_CARD}
            return
        facts = {"first6": digits[:6], "last4": digits[-4:], "fingerprint": fingerprint(self.keys, digits)}
        row.facts["card"] = facts
        self.numbers.setdefault(digits, []).append(facts)


def _plain_number(typed: str) -> str | None:
    """A number with a good check digit whose issuer we do not know: the provider decides."""
    digits = typed.replace(" ", "").replace("-", "")
    return digits if _TYPED.fullmatch(digits) and luhn_ok(digits) else None


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        value = value.date()
    text = " ".join((value if isinstance(value, str) else text_of(value)).split())
    if text[:1] == "'" and text[1:2] in _DEFUSED:
        text = text[1:]  # the apostrophe that keeps spreadsheets from running it is no part of what it says
    return text if len(text) <= LONGEST_KEPT else text[:LONGEST_KEPT] + "…"
