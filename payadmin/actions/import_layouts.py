"""What an import file may look like: columns become drafts of payments, and mistakes sentences with their place."""

import datetime as dt
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeVar

from payadmin.db import utcnow
from payadmin.kernel.credits import Credits
from payadmin.kernel.errors import Invalid
from payadmin.kernel.masks import card_number_digits
from payadmin.kernel.money import decimal_text, parse_minor
from payadmin.kernel.sheets import Value, text_of
from payadmin.kernel.xlsx import column_letters
from payadmin.models.payments import Channel, PaymentStatus, PaymentType

E = TypeVar("E", bound=Enum)
_S = PaymentStatus

TAKEN: Final = frozenset({_S.PAID, _S.PARTIALLY_REFUNDED, _S.TOTALLY_REFUNDED, _S.VOIDED, _S.CHARGED_BACK})
IMPORTABLE: Final = TAKEN | {_S.FAILED, _S.CANCELLED}
COUNCIL_METHOD: Final = "CARD"
COUNCIL_UNIT: Final = "GBP"
COUNCIL_SCALE: Final = 2
_NOON: Final = dt.time(12, tzinfo=dt.UTC)
_LAST4: Final = re.compile(r"[*x•]*([0-9]{4})", re.ASCII | re.IGNORECASE)
_EARLIEST: Final = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One cell that makes no sense, where a spreadsheet shows it."""

    row: int
    column: str
    sentence: str

    def __str__(self) -> str:
        return f"Row {self.row}, {self.column}: {self.sentence}"


@dataclass(slots=True)
class Draft:
    """A payment as a file tells it; parties are named, not yet looked up."""

    row: int
    values: dict[str, Any]
    merchant: str
    customer: dict[str, str | None]
    organization: str | None = None
    refunds: list[tuple[int, dt.datetime]] = field(default_factory=list)


@dataclass(slots=True)
class Sheet:
    """A whole file, understood."""

    layout: str
    drafts: list[Draft] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the template: its name, and under which other names our own exports write it."""

    key: str
    name: str
    required: bool = False
    longest: int = 64
    example: str = ""


TEMPLATE: Final = (
    Column("transaction_id", "Transaction ID", required=True, example="T-2026-000001"),
    Column("invoice_number", "Invoice number", example="INV-2026-000001"),
    Column("billing_number", "Billing number", example="BN-100001"),
    Column("created_at", "Date", required=True, example="2026-03-04 12:30:00"),
    Column("merchant", "Merchant", required=True, longest=200, example="Corner Shop"),
    Column("external_id", "Customer ID", required=True, example="C-0001"),
    Column("customer_name", "Customer name", longest=200, example="Ana Lopez"),
    Column("customer_email", "Customer e-mail", longest=254, example="ana@example.com"),
    Column("customer_phone", "Customer phone", longest=32, example="+44 7700 900123"),
    Column("amount_minor", "Amount", required=True, example="1234.50"),
    Column("unit", "Currency", required=True, longest=12, example="EUR"),
    Column("refunded_minor", "Refunded amount", example="0.00"),
    Column("status", "Status", example="Paid"),
    Column("method", "Method", required=True, longest=40, example="VISA"),
    Column("type", "Type", example="Direct"),
    Column("channel", "Channel", example="Web"),
    Column("description", "Description", longest=300, example="Two chairs"),
    Column("card_last4", "Card end", longest=30, example="1111"),
    Column("card_issuer", "Card issuer", longest=120, example="HSBC"),
    Column("approval_code", "Approval code", longest=40, example="A1B2C3"),
    Column("settled_at", "Settled", example="2026-03-06 02:00:00"),
)
_OTHER_NAMES: Final = {
    "created": "created_at",
    "created at": "created_at",
    "customer": "customer_name",
    "customer email": "customer_email",
    "settled at": "settled_at",
}
_COUNCIL: Final = ("trans date", "original gross amt", "merchant name", "card number")


def understand(
    header: Sequence[str],
    rows: Sequence[tuple[int, list[Value]]],
    scales: Mapping[str, int],
    *,
    step: Callable[[int], None],
) -> Sheet:
    """The payments of a file in one of the known layouts.

    Args:
        header: the names of the columns.
        rows: numbered rows, as `read_table` gives them.
        scales: the known currencies with their decimals.
        step: told after each row how many rows are done.

    Raises:
        Invalid: the columns are of no known layout.
    """
    names = [" ".join(name.casefold().replace("_", " ").split()) for name in header]
    if all(name in names for name in _COUNCIL):
        return _Council(names, step).read(rows)
    known = {column.name.casefold(): column.key for column in TEMPLATE}
    known |= {column.key.replace("_", " "): column.key for column in TEMPLATE} | _OTHER_NAMES
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in known:
            places.setdefault(known[name], place)
    if missing := [column.name for column in TEMPLATE if column.required and column.key not in places]:
        raise Invalid(
            f"The file lacks {'this column' if len(missing) == 1 else 'these columns'}: {', '.join(missing)}."
            f" The columns of a file of payments are: {', '.join(column.name for column in TEMPLATE)}."
        )
    return _Template(places, scales, step).read(rows)


class _Template:
    """Our own layout: what the template names and what our exports write."""

    def __init__(self, places: dict[str, int], scales: Mapping[str, int], step: Callable[[int], None]) -> None:
        self._places = places
        self._scales = scales
        self._step = step
        self._columns = {column.key: column for column in TEMPLATE}
        self._row: tuple[int, list[Value]] = (0, [])
        self._mistakes: list[Mistake] = []

    def read(self, rows: Sequence[tuple[int, list[Value]]]) -> Sheet:
        sheet = Sheet("template", mistakes=self._mistakes)
        for done, self._row in enumerate(rows, 1):
            before = len(self._mistakes)
            draft = self._draft()
            if len(self._mistakes) == before:
                sheet.drafts.append(draft)
            self._step(done)
        return sheet

    def _draft(self) -> Draft:
        unit = self._text("unit") or ""
        scale = self._scales.get(unit)
        if unit and scale is None:
            self._wrong("unit", f'"{unit}" is not a known currency; use three capital letters such as EUR.')
        amount = self._minor("amount_minor", scale or 0, allow_zero=False) if scale is not None else 0
        refunded = self._minor("refunded_minor", scale or 0, allow_zero=True) if scale is not None else 0
        created_at = self._moment("created_at") or _EARLIEST
        status = self._status(amount, refunded)
        transaction_id = self._text("transaction_id") or ""
        values: dict[str, Any] = {
            "transaction_id": transaction_id,
            "invoice_number": self._text("invoice_number") or transaction_id,
            "billing_number": self._text("billing_number"),
            "type": self._choice("type", PaymentType, PaymentType.DIRECT),
            "channel": self._choice("channel", Channel, Channel.WEB),
            "method": self._text("method"),
            "description": self._text("description"),
            "amount_minor": amount,
            "unit": unit,
            "status": status,
            "captured_minor": amount if status in TAKEN else 0,
            "refunded_minor": refunded,
            "settled_at": self._moment("settled_at"),
            "approval_code": self._text("approval_code"),
            "card_last4": self._last4(),
            "card_issuer": self._text("card_issuer"),
            "created_at": created_at,
            "updated_at": created_at,
        }
        external_id = self._text("external_id") or ""
        customer = {
            "external_id": external_id,
            "name": self._text("customer_name") or external_id,
            "email": self._text("customer_email"),
            "phone": self._text("customer_phone"),
        }
        refunds = [(refunded, created_at)] if refunded else []
        return Draft(self._row[0], values, self._text("merchant") or "", customer, refunds=refunds)

    def _status(self, amount: int, refunded: int) -> PaymentStatus:
        status = self._choice("status", PaymentStatus, _S.PAID)
        if status not in IMPORTABLE:
            self._wrong("status", f'a payment that is "{status.value}" is not finished, so it cannot be imported.')
        elif refunded > amount:
            self._wrong("refunded_minor", "more was refunded than paid.")
        elif refunded and status not in {_S.PAID, _S.PARTIALLY_REFUNDED, _S.TOTALLY_REFUNDED, _S.CHARGED_BACK}:
            self._wrong("refunded_minor", f'nothing can be refunded of a payment that is "{status.value}".')
        elif refunded and status is not _S.CHARGED_BACK:
            return _S.TOTALLY_REFUNDED if refunded == amount else _S.PARTIALLY_REFUNDED
        elif status in {_S.PARTIALLY_REFUNDED, _S.TOTALLY_REFUNDED} and not refunded:
            self._wrong("refunded_minor", f'say how much was refunded, because the status is "{status.value}".')
        return status

    def _cell(self, key: str) -> Value:
        return self._row[1][self._places[key]] if key in self._places else None

    def _text(self, key: str) -> str | None:
        column, text = self._columns[key], text_of(self._cell(key))
        if not text and column.required:
            self._wrong(key, "is empty.")
        if len(text) > column.longest:
            self._wrong(key, f"is longer than {column.longest} characters.")
        if card_number_digits(text):
            self._wrong(key, "holds a full card number; payadmin keeps none. Give the last four digits only.")
        return text or None

    def _minor(self, key: str, scale: int, *, allow_zero: bool) -> int:
        value = self._cell(key)
        if value is None and allow_zero:
            return 0
        text = _plain(value, scale)
        try:
            return parse_minor(text, scale, allow_zero=allow_zero)
        except Invalid as refused:
            self._wrong(key, refused.sentence)
            return 0

    def _moment(self, key: str) -> dt.datetime | None:
        value = self._cell(key)
        if value is None:
            if self._columns[key].required:
                self._wrong(key, "is empty.")
            return None
        try:
            return moment_of(value)
        except Invalid as refused:
            self._wrong(key, refused.sentence)
            return None

    def _choice(self, key: str, members: type[E], default: E) -> E:
        text = text_of(self._cell(key)).casefold().replace("_", " ")
        if not text:
            return default
        for member in members:
            if text in {str(member.value).casefold(), member.name.casefold().replace("_", " ")}:
                return member
        self._wrong(key, f'"{text[:40]}" is not one of {", ".join(str(member.value) for member in members)}.')
        return default

    def _last4(self) -> str | None:
        text = self._text("card_last4") or ""
        match = _LAST4.fullmatch(text.replace(" ", "").zfill(4)) if text else None
        if text and match is None and not card_number_digits(text):
            self._wrong("card_last4", "must be the last four digits of the card.")
        return match[1] if match else None

    def _wrong(self, key: str, sentence: str) -> None:
        column = self._columns[key].name
        if key in self._places:
            column = f"column {column_letters(self._places[key] + 1)} ({column})"
        self._mistakes.append(Mistake(self._row[0], column, sentence))


class _Council:
    """The monthly workbooks of Birmingham City Council: no IDs, credits as negative rows, cards cut to four digits."""

    def __init__(self, names: list[str], step: Callable[[int], None]) -> None:
        self._names = names
        self._step = step
        self._twins: Counter[str] = Counter()

    def read(self, rows: Sequence[tuple[int, list[Value]]]) -> Sheet:
        sheet = Sheet("Birmingham purchase cards")
        payments: dict[int, Draft] = {}
        credits_left = Credits()
        for done, (number, cells) in enumerate(sorted(rows, key=self._day), 1):
            try:
                draft, minor = self._draft(number, dict(zip(self._names, cells, strict=True)))
            except Invalid as refused:
                sheet.mistakes.append(Mistake(number, str(refused.field), refused.sentence))
                continue
            payer = (draft.values["card_last4"], draft.merchant, draft.values["unit"])
            if minor > 0:
                payments[number] = draft
                credits_left.charge(payer, number, minor)
            elif minor < 0 and (payment := credits_left.credit(payer, -minor)) is not None:
                payments[payment].refunds.append((-minor, draft.values["created_at"]))
            else:
                sheet.left_out += 1
            self._step(done)
        sheet.drafts = [_with_refunds(payments[number]) for number in sorted(payments)]
        sheet.mistakes.sort(key=lambda mistake: mistake.row)
        return sheet

    def _day(self, row: tuple[int, list[Value]]) -> str:
        return text_of(row[1][self._names.index("trans date")])

    def _draft(self, number: int, cells: dict[str, Value]) -> tuple[Draft, int]:
        def cell(name: str) -> str:
            return " ".join(text_of(cells.get(name)).split())

        created_at = moment_of(cells["trans date"], field="TRANS DATE")
        unit = cell("billing cur code") or COUNCIL_UNIT
        if unit != COUNCIL_UNIT:
            raise Invalid(f'"{unit}" is not {COUNCIL_UNIT}.', field="BILLING CUR CODE")
        text = _plain(cells["original gross amt"], COUNCIL_SCALE)
        sign = -1 if text.startswith("-") else 1
        try:
            minor = sign * parse_minor(text.removeprefix("-"), COUNCIL_SCALE, allow_zero=True)
        except Invalid as refused:
            raise Invalid(refused.sentence, field="ORIGINAL GROSS AMT") from None
        card = _LAST4.fullmatch(cell("card number").zfill(4))
        if card is None:
            raise Invalid("must be the last four digits of a card.", field="CARD NUMBER")
        merchant = cell("merchant name")
        if not merchant:
            raise Invalid("is empty.", field="MERCHANT NAME")
        centre = cell("trans cac code 2") or "NONE"
        facts = "\x1f".join(f"{name}={cell(name)}" for name in sorted(self._names))
        self._twins[facts] += 1  # several identical small purchases on one day are real, and stay several
        digest = hashlib.sha256(f"{facts}\x1f{self._twins[facts]}".encode()).hexdigest()[:16]
        what, place = cell("trans cac desc 1") or "Purchase", cell("trans cac desc 2")
        values = {
            "transaction_id": f"BCC-{digest}",
            "invoice_number": f"BCC-{digest}",
            "billing_number": None,
            "type": PaymentType.DIRECT,
            "channel": Channel.POINT_OF_SALE,
            "method": COUNCIL_METHOD,
            "description": (f"{what} for {place}" if place else what)[:300],
            "amount_minor": minor,
            "unit": unit,
            "status": _S.PAID,
            "captured_minor": minor,
            "refunded_minor": 0,
            "settled_at": created_at + dt.timedelta(days=2),
            "approval_code": None,
            "card_last4": card[1],
            "card_issuer": None,
            "created_at": created_at,
            "updated_at": created_at,
        }
        external_id = f"{centre}-{card[1]}"
        customer = {"external_id": external_id, "name": place or f"Card {card[1]}", "email": None, "phone": None}
        return Draft(number, values, merchant.title()[:200], customer, organization=cell("directorate") or None), minor


def _with_refunds(draft: Draft) -> Draft:
    if refunded := sum(minor for minor, _ in draft.refunds):
        draft.values["refunded_minor"] = refunded
        whole = refunded == draft.values["amount_minor"]
        draft.values["status"] = _S.TOTALLY_REFUNDED if whole else _S.PARTIALLY_REFUNDED
    return draft


def moment_of(value: Value, *, field: str | None = None) -> dt.datetime:
    """The aware moment a cell names; a day alone means its noon, and a time without a zone is UTC."""
    if isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, dt.date):
        moment = dt.datetime.combine(value, _NOON)
    else:
        text = text_of(value)
        try:
            moment = dt.datetime.fromisoformat(text if text.isascii() else "")
        except ValueError:
            sentence = f'"{text[:40]}" is not a date; write 2026-03-04 or 2026-03-04 12:30:00.'
            raise Invalid(sentence, field=field) from None
        if len(text) == 10:  # noqa: PLR2004  (a day alone: 2026-03-04)
            moment = dt.datetime.combine(moment.date(), _NOON)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    if not _EARLIEST <= moment <= utcnow() + dt.timedelta(days=1):
        raise Invalid(f"{moment.date()} is not a day on which a payment can have been made.", field=field)
    return moment


def _plain(value: Value, scale: int) -> str:
    """The typed text of an amount; a spreadsheet's number is written out with the decimals it needs."""
    if not isinstance(value, Decimal):
        return text_of(value)
    minor = value.scaleb(scale)
    return decimal_text(int(minor), scale) if minor == int(minor) else f"{value:f}"


def template_rows() -> Iterator[list[str]]:
    """The template as a file: its header, and one row that shows how cells are written."""
    yield [column.name for column in TEMPLATE]
    yield [column.example for column in TEMPLATE]
