"""Checking rows of a batch: each cell by itself, and all of them against what is known, without a query per row."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from payadmin.actions.batches import cells as c
from payadmin.actions.batches.columns import CARD_NO, by_key
from payadmin.kernel.errors import Invalid
from payadmin.kernel.text import _
from payadmin.models.batches import BatchKind, RowStatus
from payadmin.models.parties import Customer, CustomerStatus
from payadmin.models.payments import Payment, Unit
from payadmin.models.subscriptions import Purpose, ScheduledCharge, Subscription, schedule_values

HOLDS_CARD: Final = _("This cell holds a full card number, which was not kept. Take it out of the file.")
EMPTY: Final = _("This cell is empty.")
_AT_ONCE: Final = 500

S = TypeVar("S", str, int)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row to be checked: its number, its cells in the file's order, and what is known beside them."""

    number: int
    cells: list[str]
    facts: Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    """What the database knows about the identifiers that some rows name."""

    scales: dict[str, int] = field(default_factory=dict)
    customers: dict[str, Any] = field(default_factory=dict)
    # billing number → customer; None: it stands for more than one.
    billing: dict[str, int | None] = field(default_factory=dict)
    invoices: set[str] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)


class Checker:
    """Checks rows of one batch as of one business day."""

    def __init__(
        self, session: Session, *, kind: BatchKind, merchant_id: int, columns: Sequence[str], today: dt.date
    ) -> None:
        self.session = session
        self.kind = kind
        self.merchant_id = merchant_id
        self.columns = columns
        self.today = today
        self.known_columns = by_key(kind)
        self.scales: dict[str, int] = dict(session.execute(select(Unit.code, Unit.scale)).all())

    def check(self, rows: Sequence[Waiting]) -> list[dict[str, Any]]:
        """What is to be stored of each row: its typed values, its status, and what is wrong with which cell."""
        named = [dict(zip(self.columns, row.cells, strict=True)) for row in rows]
        known = self._look_up(named)
        return [self._row(row, cells, known) for row, cells in zip(rows, named, strict=True)]

    def _look_up(self, named: Sequence[Mapping[str, str]]) -> _Known:
        def every(column: str) -> set[str]:
            return {cells[column] for cells in named if cells.get(column)}

        known = _Known(scales=self.scales)
        of_customer = (
            Customer.id,
            Customer.external_id,
            Customer.name,
            Customer.email,
            Customer.phone,
            Customer.status,
        )
        for some in pieces(every("customer_id")):
            found = self.session.execute(select(*of_customer).where(Customer.external_id.in_(some)))
            known.customers |= {row.external_id: row for row in found}
        numbers = every("billing_number")
        if self.kind is BatchKind.SINGLE_PAYMENT:
            known.billing |= self._paid_before(numbers)
            for column in (ScheduledCharge.invoice_number, Payment.invoice_number):
                for some in pieces(every("invoice_number")):
                    known.invoices.update(self.session.scalars(select(column).where(column.in_(some))))
        for some in pieces(numbers):
            registered = select(Subscription.billing_number, Subscription.customer_id).where(
                Subscription.merchant_id == self.merchant_id, Subscription.billing_number.in_(some)
            )
            known.billing |= dict(self.session.execute(registered).all())
        owners = sorted({owner for owner in known.billing.values() if owner is not None})
        for first in range(0, len(owners), _AT_ONCE):
            some_owners = Customer.id.in_(owners[first : first + _AT_ONCE])
            blocked = select(Customer.id).where(some_owners, Customer.status != CustomerStatus.ACTIVE)
            known.blocked.update(self.session.scalars(blocked))
        return known

    def _paid_before(self, numbers: set[str]) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for some in pieces(numbers):
            payers = (
                select(Payment.billing_number, func.min(Payment.customer_id), func.max(Payment.customer_id))
                .where(Payment.billing_number.in_(some), Payment.merchant_id == self.merchant_id)
                .group_by(Payment.billing_number)
            )
            for number, first, last in self.session.execute(payers).all():
                if number is not None:
                    found[number] = first if first == last else None
        return found

    def _row(self, row: Waiting, cells: Mapping[str, str], known: _Known) -> dict[str, Any]:
        card: Mapping[str, Any] = row.facts.get("card") or {}
        masked = row.facts.get("masked")
        values: dict[str, Any] = dict.fromkeys(TYPED) | {
            "row_number": row.number,
            "cells": row.cells,
            "masked": masked,
            "repeats_row": row.facts.get("repeats"),
            "card_fingerprint": card.get("fingerprint"),
            "card_first6": card.get("first6"),
            "card_last4": card.get("last4"),
        }
        reading = Reading(cells, values, dict.fromkeys(masked or (), HOLDS_CARD))
        self._check_form(reading)
        reading.take("currency", "unit", lambda text: c.unit_of(text, known.scales))
        if unit := values["unit"]:
            reading.take("amount", "amount_minor", lambda text: c.amount_of(text, unit, known.scales))
        reading.take("billing_number", "billing_number", c.identifier_of)
        if self.kind is BatchKind.REGISTRATION:
            self._check_registration(reading, known)
        else:
            self._check_payment(reading, known, card)
        wrong = reading.wrong
        values["status"] = RowStatus.INVALID if wrong else RowStatus.VALID
        order = {column: place for place, column in enumerate(self.columns)}
        values["errors"] = [
            {"column": column, "sentence": wrong[column]}
            for column in sorted(wrong, key=lambda column: order.get(column, len(order)))
        ] or None
        return values

    def _check_form(self, reading: "Reading") -> None:
        for key, column in self.known_columns.items():
            text = reading.cells.get(key, "")
            if len(text) > column.longest:
                reading.say(key, f"This cell has {len(text):,} characters; at most {column.longest:,} are taken.")
            elif column.required and not text:
                reading.say(key, EMPTY)

    def _check_registration(self, reading: "Reading", known: _Known) -> None:
        values, cells = reading.values, reading.cells
        self._check_customer(reading, known)
        number = values["billing_number"]
        if number and number in known.billing:
            reading.say("billing_number", _("This billing number is registered already."))
        if number and values["repeats_row"]:
            reading.say("billing_number", f"This billing number stands in row {values['repeats_row']} too.")
        reading.take("card_token", "card_token", c.token_of)
        reading.take("type", "purpose", c.purpose_of)
        if values["purpose"] is Purpose.RECURRING and not cells.get("card_token"):
            reading.say("card_token", "A recurring charge needs a stored card.")
        reading.take("start_date", "start_date", lambda text: c.date_of(text, today=self.today, past="start on"))
        reading.take("end_date", "end_date", c.far_date_of)
        schedule, wrong = c.schedule_of(cells, start=values["start_date"], end=values["end_date"], today=self.today)
        for column, sentence in wrong:
            reading.say(column, sentence)
        values["schedule"] = schedule and _as_json(schedule_values(schedule))

    def _check_payment(self, reading: "Reading", known: _Known, card: Mapping[str, Any]) -> None:
        values, cells = reading.values, reading.cells
        self._check_customer(reading, known)
        number, customer_id = values["billing_number"], values["customer_id"]
        if number and number in known.billing:
            owner = known.billing[number]
            if customer_id is None and not cells.get("customer_id"):
                if owner is None:
                    reading.say("billing_number", _("Several customers paid under this number: fill in customer_id."))
                values["customer_id"] = owner
                if owner in known.blocked:
                    reading.say("billing_number", _("The customer is blocked."))
            elif customer_id is not None and owner is not None and customer_id != owner:
                reading.say("customer_id", _("The billing number belongs to another customer."))
        elif number and not cells.get("customer_id"):
            reading.say("billing_number", _("This billing number is not known: register it, or fill in customer_id."))
        reading.take("invoice_number", "invoice_number", c.invoice_number_of)
        if (invoice := values["invoice_number"]) and invoice in known.invoices:
            reading.say("invoice_number", _("This invoice number was used already."))
        if invoice and values["repeats_row"]:
            reading.say("invoice_number", f"This invoice number stands in row {values['repeats_row']} too.")
        self._check_card(reading, card)
        reading.take("card_holder_name", "card_holder_name", str)
        reading.take("card_holder_phone", "card_holder_phone", c.phone_of)
        reading.take("description", "description", str)
        reading.take(
            "execute_date", "execute_date", lambda text: c.date_of(text, today=self.today, past="execute it on")
        )

    def _check_customer(self, reading: "Reading", known: _Known) -> None:
        external_id = reading.cells.get("customer_id")
        if not external_id:
            return
        customer = known.customers.get(external_id)
        if customer is None:
            reading.say("customer_id", _("There is no customer with this ID."))
            return
        reading.values["customer_id"] = customer.id
        if customer.status is not CustomerStatus.ACTIVE:
            reading.say("customer_id", _("The customer is blocked."))
        for column, theirs, compared in (
            ("customer_name", customer.name, _folded),
            ("email", customer.email, _folded),
            ("phone", customer.phone, _digits),
        ):
            said = reading.cells.get(column)
            if said and compared(said) != compared(theirs or ""):
                reading.say(column, _("The customer has another one here. Correct the file or the customer."))

    def _check_card(self, reading: "Reading", card: Mapping[str, Any]) -> None:
        number, token = reading.cells.get(CARD_NO, ""), reading.cells.get("card_token", "")
        if number and token:
            reading.say(CARD_NO, _("Fill in the card number or the card token, not both."))
        elif number:
            if "token" in card:
                reading.values["card_token"] = card["token"]
            else:
                reading.say(CARD_NO, card.get("error", _("This is not a valid card number; check its digits.")))
        elif token:
            reading.take("card_token", "card_token", c.token_of)
        else:
            reading.say(CARD_NO if CARD_NO in self.columns else "card_token", _("Fill in the card or its token."))


class Reading:
    """One row being checked; a cell is said to be wrong once, by the first sentence about it."""

    def __init__(self, cells: Mapping[str, str], values: dict[str, Any], wrong: dict[str, str]) -> None:
        self.cells = cells
        self.values = values
        self.wrong = wrong

    def say(self, column: str, sentence: str) -> None:
        """Remember what is wrong with a cell."""
        self.wrong.setdefault(column, sentence)

    def take(self, column: str, key: str, reader: Callable[[str], Any]) -> None:
        """Read a filled cell into a typed value."""
        text = self.cells.get(column)
        if not text or column in self.wrong:
            return
        try:
            self.values[key] = reader(text)
        except Invalid as refusal:
            self.say(column, refusal.sentence)


TYPED: Final = (
    "customer_id", "billing_number", "invoice_number", "amount_minor", "unit", "card_token", "card_holder_name",
    "card_holder_phone", "execute_date", "description", "purpose", "schedule", "start_date", "end_date", "reference",
    "payee_wallet_id", "paid_minor",
)  # fmt: skip


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Schedule columns as JSON holds them; `processing` turns the kind back."""
    return {key: value.name if key == "schedule_kind" else value for key, value in values.items() if value is not None}


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _digits(text: str) -> str:
    return "".join(mark for mark in text if mark.isdigit())


def pieces(wanted: Iterable[S]) -> Iterator[list[S]]:
    """What is asked for, in lists that one statement takes."""
    rest = iter(sorted(wanted))
    while piece := list(islice(rest, _AT_ONCE)):
        yield piece
