"""The columns of batch files: their names, which must be there, and the templates that show how cells are written."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from payadmin.kernel.sheets import csv_rows
from payadmin.kernel.text import _
from payadmin.kernel.xlsx import Guide, xlsx
from payadmin.models.batches import REFERENCE_LENGTH, BatchKind

CARD_NO: Final = "card_no"
KEY_COLUMN: Final = {
    BatchKind.REGISTRATION: "billing_number",
    BatchKind.SINGLE_PAYMENT: "invoice_number",
    BatchKind.MASS_PAYMENT: "reference",
}
# What may name the payee of a mass payment, the surest first.
PAYEE: Final = ("wallet", "customer_id", "email", "phone")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a template.

    Args:
        key: its name in the header.
        required: whether the column must be there and every cell of it filled.
        longest: how many characters a cell may have.
        identifies: a number that may look like a card number by chance, such as a billing number.
        examples: the cells of the template's two example rows; "@" stands for the next month's first working day.
        choices: the words that a drop-down offers.
    """

    key: str
    help: str
    required: bool = False
    longest: int = 64
    identifies: bool = False
    examples: tuple[str, str] = ("", "")
    choices: tuple[str, ...] = ()


COLUMNS: Final[dict[BatchKind, tuple[Column, ...]]] = {
    BatchKind.REGISTRATION: (
        Column(
            "customer_id", "An existing customer", required=True, identifies=True, examples=("C-000001", "C-000002")
        ),
        Column(
            "billing_number", "New for the merchant", required=True, identifies=True, examples=("BN-1001", "BN-1002")
        ),
        Column("customer_name", "If given, it must be the customer's", longest=200),
        Column("email", "If given, it must be the customer's", longest=254),
        Column("phone", "If given, it must be the customer's", longest=32),
        Column("amount", "Such as 1234.50", required=True, longest=40, examples=("19.90", "5")),
        Column("currency", "Three letters", required=True, longest=12, examples=("EUR", "EUR")),
        Column("card_token", "The stored card; needed for RECURRING", longest=128, examples=("tok_visa", "")),
        Column(
            "type",
            "RECURRING charges, REMINDER only tells",
            required=True,
            examples=("RECURRING", "REMINDER"),
            choices=("RECURRING", "REMINDER"),
        ),
        Column(
            "schedule",
            "DAY: weekdays; DATE: days of the month; FULL_DATE: single dates",
            required=True,
            examples=("DATE", "DAY"),
            choices=("DAY", "DATE", "FULL_DATE"),
        ),
        Column("days", "DATE: 1 to 28; DAY: MON to SUN", examples=("1; 15", "MON; THU")),
        Column("months", "1 to 12, or ALL", examples=("ALL", "3; 6; 9; 12")),
        Column("dates", "FULL_DATE: such as 2027-01-31; 2027-06-30", longest=4_500),
        Column("start_date", "Such as 2027-01-31", required=True, longest=32, examples=("@", "@")),
        Column("end_date", "Empty: without end", longest=32),
    ),
    BatchKind.SINGLE_PAYMENT: (
        Column(
            "billing_number", "Known for the merchant", required=True, identifies=True, examples=("BN-1001", "BN-1002")
        ),
        Column("customer_id", "Needed for a billing number that is new", identifies=True, examples=("", "C-000002")),
        Column(
            "invoice_number", "Used once", required=True, longest=60, identifies=True, examples=("INV-1001", "INV-1002")
        ),
        Column("amount", "Such as 1234.50", required=True, longest=40, examples=("1234.50", "80")),
        Column("currency", "Three letters", required=True, longest=12, examples=("EUR", "EUR")),
        Column(CARD_NO, "The card number; or fill in card_token", longest=32, examples=("4242 4242 4242 4242", "")),
        Column("card_token", "Its token at the provider, instead of card_no", longest=128, examples=("", "tok_visa")),
        Column("card_holder_name", "As on the card", longest=200, examples=("Ana Lopez", "Bo Chen")),
        Column("card_holder_phone", "Such as +44 7700 900123", longest=32),
        Column("execute_date", "Today or later, such as 2027-01-31", required=True, longest=32, examples=("@", "@")),
        Column("description", "Free text", longest=300, examples=("Two chairs", "")),
    ),
    BatchKind.MASS_PAYMENT: (
        Column(
            "wallet", "The payee's wallet; or name the customer", longest=24, identifies=True, examples=("W-000012", "")
        ),
        Column("customer_id", "The customer who is paid, into the wallet in this currency", identifies=True),
        Column("email", "Their e-mail, if only one customer has it", longest=254, examples=("", "ana@example.com")),
        Column("phone", "Their phone, if only one customer has it", longest=32),
        Column("amount", "Such as 1234.50", required=True, longest=40, examples=("1234.50", "80")),
        Column("currency", "The unit of both wallets", required=True, longest=12, examples=("EUR", "EUR")),
        Column(
            "reference",
            "Used once by who pays",
            required=True,
            longest=REFERENCE_LENGTH,
            identifies=True,
            examples=("2027-01/1001", "2027-01/1002"),
        ),
        Column("note", "Shown on the payment", longest=140, examples=("January", "")),
    ),
}


def column_key(label: str) -> str:
    """A header cell as a key: "Billing Number" and "billing-number" mean `billing_number`."""
    return "_".join(label.casefold().replace("-", " ").replace("_", " ").split())


def by_key(kind: BatchKind) -> dict[str, Column]:
    """The columns of a kind by their key."""
    return {column.key: column for column in COLUMNS[kind]}


def header_problems(kind: BatchKind, labels: Sequence[str]) -> list[dict[str, str]]:
    """What is wrong with a header: missing, unknown and repeated columns, each as {column, sentence}."""
    known, keys = by_key(kind), [column_key(label) for label in labels]
    problems = [
        {"column": column.key, "sentence": f"The column {column.key} is missing."}
        for column in COLUMNS[kind]
        if column.required and column.key not in keys
    ]
    if kind is BatchKind.SINGLE_PAYMENT and not {CARD_NO, "card_token"} & set(keys):
        problems.append({"column": CARD_NO, "sentence": _("A column card_no or card_token is missing.")})
    if kind is BatchKind.MASS_PAYMENT and not set(PAYEE) & set(keys):
        problems.append({"column": PAYEE[0], "sentence": _("A column wallet, customer_id, email or phone is missing.")})
    for place, (label, key) in enumerate(zip(labels, keys, strict=True)):
        if key not in known:
            sentence = f'"{label[:60]}" is not a column of this kind of file. Remove it or correct its name.'
            problems.append({"column": label[:60], "sentence": sentence})
        elif key in keys[:place]:
            problems.append({"column": key, "sentence": f"The column {key} stands there twice."})
    return problems


def template(kind: BatchKind, form: str, *, today: dt.date, units: Sequence[str]) -> bytes:
    """A template to fill in: header and two example rows; as a workbook also drop-downs and text cells.

    Args:
        form: "csv" or "xlsx".
        today: the business day; the examples run next month.
        units: the currencies that the drop-down offers.
    """
    day = (today.replace(day=28) + dt.timedelta(days=4)).replace(day=1).isoformat()
    columns = COLUMNS[kind]
    unit = "EUR" if "EUR" in units or not units else min(units)
    rows = [
        [_example(column.examples[place], day, unit) for column in columns] for place in range(len(columns[0].examples))
    ]
    head = [column.key for column in columns]
    if form == "csv":
        return ("\ufeff" + "".join(csv_rows(head, rows))).encode()
    choices = {column.key: column.choices for column in columns if column.choices} | {"currency": tuple(sorted(units))}
    guides = [
        Guide(column.help + (". Required." if column.required else "."), choices.get(column.key, ()))
        for column in columns
    ]
    widths = [max(14, min(len(column.key) + 6, 40)) for column in columns]
    return b"".join(xlsx(head, rows, widths, guides=guides))


def _example(cell: str, day: str, unit: str) -> str:
    return {"@": day, "EUR": unit}.get(cell, cell)
