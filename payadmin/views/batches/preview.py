"""The rows of a batch as its page shows them: cells in the file's order, what is wrong with each, what came of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import g
from sqlalchemy import Select, select

from payadmin.actions.batches import COLUMNS
from payadmin.actions.batches.columns import PAYEE
from payadmin.db import db
from payadmin.kernel.text import Text, _, _n
from payadmin.models.batches import Batch, BatchKind, BatchRow, BatchStatus, RowStatus
from payadmin.models.subscriptions import ScheduledCharge, Subscription
from payadmin.models.wallets import LimitApplication, MoveStatus, WalletTransaction
from payadmin.permissions import Permission
from payadmin.views.columns import label_of, masked, tone_of
from payadmin.views.filters import BadAddress

SIZE = 50
LARGEST_ROW = 2**31 - 1
PERSONAL = {
    "customer_name": "name",
    "email": "email",
    "phone": "phone",
    "card_holder_name": "name",
    "card_holder_phone": "phone",
}
HIDDEN = "•••"
KNOWN = frozenset(column.key for columns in COLUMNS.values() for column in columns)
# Customers, contracts and invoices go by these, and whoever may see a batch may see them.
NUMBERS = frozenset(column.key for columns in COLUMNS.values() for column in columns if column.identifies)
_QUOTE = re.compile(r'".*"')
# What a phone shows of a row beside its errors.
KEYS = frozenset({"billing_number", "invoice_number", "amount", "currency", "execute_date", "schedule", "reference"})
CONFIRMED = (BatchStatus.PROCESSING, BatchStatus.PROCESSED)
MOVED = {
    MoveStatus.EXECUTED: (_("Paid"), "ok"),
    MoveStatus.HELD: (_("Waits for a decision"), "warn"),
    MoveStatus.RELEASED: (_("Given back"), "plain"),
    MoveStatus.REVERSED: (_("Reversed"), "plain"),
}
TONES = {RowStatus.VALID: "ok", RowStatus.INVALID: "bad", RowStatus.DONE: "ok", RowStatus.REFUSED: "bad"}


@dataclass(frozen=True)
class Asked:
    """Which rows an address asks for.

    Attributes:
        only: "errors" or "refused" rows; empty for all.
        after, before: the row number next to which the page begins or ends; 0 is nowhere.
    """

    only: str = ""
    after: int = 0
    before: int = 0

    def query_string(self, **changes: Any) -> str:
        """The end of an address that asks for this, with some of it changed."""
        values = {"only": self.only, "after": self.after, "before": self.before} | changes
        given = urlencode({key: value for key, value in values.items() if value})
        return f"?{given}" if given else ""


def read(args: Mapping[str, str]) -> Asked:
    """What the arguments of an address ask for.

    Raises:
        BadAddress: an unknown argument or a value that makes no sense.
    """
    unknown = args.keys() - {"only", "after", "before", "row", "list"}
    only = args.get("only", "")
    if unknown or only not in {"", "errors", "refused"}:
        raise BadAddress("The rows of a batch know no such argument.")
    numbers = {key: _row_number(args[key]) for key in ("after", "before", "row") if args.get(key)}
    if len(numbers) > 1:
        raise BadAddress("Only one place in the rows can be asked for.")
    after = numbers["row"] - 1 if "row" in numbers else numbers.get("after", 0)
    return Asked(only, after, numbers.get("before", 0))


def _row_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= LARGEST_ROW):  # noqa: PLR2004 - digits of 2**31
        raise BadAddress("Write the number of a row, such as 120.")
    return int(text)


@dataclass(frozen=True)
class Head:
    """One column of the file: its name, and what is wrong with the column itself."""

    key: str
    label: str
    css: str
    wrong: str | None


@dataclass(frozen=True)
class Cell:
    """One cell as it was written, and what is wrong with it."""

    head: Head
    text: str
    wrong: str | None


@dataclass(frozen=True)
class Line:
    """One row, ready to be shown.

    Attributes:
        word, tone: its status.
        said: what is to be said of the row as a whole.
        charge_id, subscription_id, payment_id, move_id: what was made of it.
    """

    number: int
    word: str
    tone: str
    said: Sequence[str]
    is_wrong: bool
    cells: Sequence[Cell]
    charge_id: int | None = None
    subscription_id: int | None = None
    payment_id: int | None = None
    move_id: int | None = None


@dataclass(frozen=True)
class Page:
    """Some rows of a batch, and the row numbers at which the neighbouring pages begin and end."""

    heads: Sequence[Head]
    lines: Sequence[Line]
    before: int | None
    after: int | None


def fetch(batch: Batch, asked: Asked) -> Page:
    """One page of rows by their row number, however far down: one statement through one index."""
    statement = _statement(batch, asked)
    number = BatchRow.row_number
    if asked.before:
        statement = statement.where(number < asked.before).order_by(number.desc())
    else:
        statement = statement.where(number > asked.after).order_by(number)
    rows: Sequence[Any] = db.session.execute(statement.limit(SIZE + 1)).all()
    more, rows = len(rows) > SIZE, rows[:SIZE]
    if asked.before:
        if not more:
            return fetch(batch, Asked(asked.only))
        rows = rows[::-1]
    heads = heads_of(batch)
    lines = [_line(batch, *found) for found in _with_cells(heads, rows)]
    return Page(
        heads=heads,
        lines=lines,
        before=rows[0].row_number if rows and (asked.before or asked.after) else None,
        after=rows[-1].row_number if rows and (asked.before or more) else None,
    )


def _statement(batch: Batch, asked: Asked) -> "Select[Any]":
    columns: tuple[Any, ...] = (BatchRow.row_number, BatchRow.status, BatchRow.cells, BatchRow.errors, BatchRow.message)
    where = [BatchRow.batch_id == batch.id]
    if asked.only:
        # Invalid rows are left out all at once, so it is always one status, and the index has them in order.
        left_out = RowStatus.SKIPPED if batch.status in CONFIRMED else RowStatus.INVALID
        where.append(BatchRow.status == (left_out if asked.only == "errors" else RowStatus.REFUSED))
    if batch.status not in CONFIRMED:
        return select(*columns).where(*where)
    if batch.kind is BatchKind.REGISTRATION:
        made: Any = Subscription.id.label("subscription_id")
        return select(*columns, made).outerjoin(Subscription, Subscription.batch_row_id == BatchRow.id).where(*where)
    if batch.kind is BatchKind.MASS_PAYMENT:
        paid: tuple[Any, ...] = (
            WalletTransaction.id.label("move_id"),
            WalletTransaction.status.label("move_status"),
            LimitApplication.id.label("application_id"),
            LimitApplication.rule.label("limit_rule"),
        )
        return (
            select(*columns, *paid)
            .outerjoin(WalletTransaction, WalletTransaction.id == BatchRow.transaction_id)
            .outerjoin(LimitApplication, LimitApplication.transaction_id == WalletTransaction.id)
            .where(*where)
        )
    charge = ScheduledCharge
    ordered: tuple[Any, ...] = (
        charge.id.label("charge_id"),
        charge.status.label("charge_status"),
        charge.message.label("charge_message"),
        charge.payment_id,
    )
    return select(*columns, *ordered).outerjoin(charge, charge.batch_row_id == BatchRow.id).where(*where)


def heads_of(batch: Batch) -> list[Head]:
    """The columns of the file in its order, with the problems of columns that stand there."""
    wrong = {problem["column"]: problem["sentence"] for problem in batch.problems or ()}
    known = {column.key for column in COLUMNS[batch.kind]}
    keys = KEYS | set(PAYEE) if batch.kind is BatchKind.MASS_PAYMENT else KEYS
    return [
        Head(
            key,
            key.replace("_", " ").capitalize().replace(" id", " ID") if key in known else key,
            " ".join(filter(None, ("right num" if key == "amount" else "", "key" if key in keys else ""))),
            wrong.get(key),
        )
        for key in batch.columns
    ]


class Shown:
    """How the rows of a file are shown: whole, or without personal data to those who may not read it.

    What stands in a column that is none of ours, or in a cell that does not make sense there, may be anything, so they
    see nothing of it.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        actor = g.get("actor")
        self._all = actor is not None and actor.may(Permission.PARTIES_PERSONAL_READ)
        self._columns = columns
        self._masks = [masked(PERSONAL.get(key)) if self._all or key in KNOWN else _hidden for key in columns]

    def cells(self, cells: Sequence[str], errors: Sequence[Mapping[str, str]] = ()) -> list[str]:
        """The cells of a row, of which these are wrong."""
        texts = [show(text) if text else "" for show, text in zip(self._masks, cells, strict=True)]
        if self._all:
            return texts
        unclear = {error["column"] for error in errors} - NUMBERS
        return [
            _hidden(text) if text and key in unclear else text for key, text in zip(self._columns, texts, strict=True)
        ]

    def errors(self, errors: Sequence[Mapping[str, str]] | None) -> list[dict[str, str]]:
        """What is wrong with the cells of a row; a sentence that begins with the cell says the rest of it."""
        found = [dict(error) for error in errors or ()]
        for error in () if self._all else found:
            error["sentence"] = _QUOTE.sub(f'"{HIDDEN}"', error["sentence"])
        return found


def _hidden(_text: str) -> str:
    return HIDDEN


def _with_cells(heads: Sequence[Head], rows: Sequence[Any]) -> Iterator[tuple[Any, list[Cell], list[dict[str, str]]]]:
    shown = Shown([head.key for head in heads])
    for row in rows:
        errors = shown.errors(row.errors)
        wrong = {error["column"]: error["sentence"] for error in errors}
        texts = zip(heads, shown.cells(row.cells, row.errors or ()), strict=True)
        yield row, [Cell(head, text, wrong.get(head.key)) for head, text in texts], errors


def _line(batch: Batch, row: Any, cells: Sequence[Cell], errors: Sequence[Mapping[str, str]]) -> Line:
    here = {cell.head.key for cell in cells}
    # What is wrong with a column that the file does not have has no cell to stand in.
    said = [error["sentence"] for error in errors if error["column"] not in here]
    word, tone = label_of(row.status), TONES.get(row.status, "plain")
    if row.message:
        said.append(row.message)
    charge_status = getattr(row, "charge_status", None)
    if row.status is RowStatus.INVALID and row.errors:
        word = _n("%(number)s error", "%(number)s errors", len(row.errors))
    elif row.status is RowStatus.VALID and batch.status is BatchStatus.PROCESSING:
        word, tone = _("Waiting"), "plain"
    elif charge_status is not None:
        word, tone = label_of(charge_status), tone_of(charge_status)
        if row.charge_message:
            said.append(row.charge_message)
    elif getattr(row, "subscription_id", None):
        word = _("Registered")
    elif getattr(row, "move_id", None):
        word, tone = MOVED[row.move_status]
        if row.application_id is not None:
            said.append(
                _(
                    "Over the %(rule)s: application no. %(number)s.",
                    rule=Text(row.limit_rule.value).lower(),
                    number=row.application_id,
                )
            )
    return Line(
        number=row.row_number,
        word=word,
        tone=tone,
        said=said,
        is_wrong=row.status in (RowStatus.INVALID, RowStatus.SKIPPED, RowStatus.REFUSED),
        cells=cells,
        charge_id=getattr(row, "charge_id", None),
        subscription_id=getattr(row, "subscription_id", None),
        payment_id=getattr(row, "payment_id", None),
        move_id=getattr(row, "move_id", None),
    )
