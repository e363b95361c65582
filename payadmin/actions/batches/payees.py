"""Checking rows of a mass payment: whom each pays, and what that costs, without a query per row."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin.actions.batches import cells as c
from payadmin.actions.batches.checking import EMPTY, HOLDS_CARD, TYPED, Reading, Waiting, pieces
from payadmin.actions.batches.columns import PAYEE, by_key
from payadmin.kernel.money import MAX_MINOR, Money
from payadmin.kernel.tariffs import commission
from payadmin.kernel.text import _
from payadmin.models.batches import BatchKind, RowStatus
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import Unit
from payadmin.models.wallets import TERMS_OF, Wallet, WalletKind, WalletStatus, WalletTransaction
from payadmin.queries.tariffs import Ruling, ruling
from payadmin.queries.wallets import scales_of, why_unusable

AMOUNT, CURRENCY, REFERENCE = "amount", "currency", "reference"
SEVERAL: Final = object()  # a name that stands for more than one customer


def payment_key(payer_id: int, reference: str) -> str:
    """What names a payment of a row: an organization uses a reference once, whatever file it stands in."""
    return f"mass:{payer_id}:{reference}"


class PayeeChecker:
    """Checks rows of one mass payment as of one moment."""

    def __init__(self, session: Session, *, payer_id: int, columns: Sequence[str], at: dt.datetime) -> None:
        self.session = session
        self.payer_id = payer_id
        self.columns = columns
        self.at = at
        self.known_columns = by_key(BatchKind.MASS_PAYMENT)
        self.scales = scales_of(session, session.scalars(select(Unit.code)))
        of_payer = select(Wallet).where(Wallet.organization_id == payer_id)
        self.own = {wallet.unit: wallet for wallet in session.scalars(of_payer)}
        self.unusable = {unit: why_unusable(session, wallet, pays=True) for unit, wallet in self.own.items()}
        self.rulings: dict[str, Ruling | None] = {}
        # What rows of this piece name: their wallets, by number and by customer, and the customers themselves.
        self.by_number: dict[str, Wallet] = {}
        self.by_customer: dict[tuple[int, str], Wallet] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.closed_owners: set[str] = set()
        self.used: set[str] = set()

    def check(self, rows: Sequence[Waiting]) -> list[dict[str, Any]]:
        """What is to be stored of each row: its typed values, its status, and what is wrong with which cell."""
        named = [dict(zip(self.columns, row.cells, strict=True)) for row in rows]
        self._look_up(named)
        return [self._row(row, cells) for row, cells in zip(rows, named, strict=True)]

    def _look_up(self, named: Sequence[Mapping[str, str]]) -> None:
        def every(column: str) -> set[str]:
            return {cells[column] for cells in named if cells.get(column)}

        of_customer = (Customer.id, Customer.external_id, Customer.email, Customer.phone, Customer.status)
        for column, attribute in (
            ("customer_id", Customer.external_id),
            ("email", Customer.email),
            ("phone", Customer.phone),
        ):
            found: dict[str, Any] = {}
            for some in pieces(every(column)):
                for row in self.session.execute(select(*of_customer).where(attribute.in_(some))):
                    name = getattr(row, attribute.key)
                    found[name] = SEVERAL if name in found else row
            self.customers[column] = found
        for some in pieces(every("wallet")):
            rows = self.session.scalars(select(Wallet).where(Wallet.number.in_(some)))
            self.by_number |= {wallet.number: wallet for wallet in rows}
        ids = {row.id for found in self.customers.values() for row in found.values() if row is not SEVERAL}
        for some_ids in pieces(ids):
            for wallet in self.session.scalars(select(Wallet).where(Wallet.customer_id.in_(some_ids))):
                self.by_customer[wallet.customer_id or 0, wallet.unit] = wallet
        self._look_up_owners()
        for some in pieces({payment_key(self.payer_id, each) for each in every("reference")}):
            self.used.update(self.session.scalars(select(WalletTransaction.key).where(WalletTransaction.key.in_(some))))

    def _look_up_owners(self) -> None:
        """Which owners of wallets that are named by their number are closed or blocked."""
        wallets = self.by_number.values()
        for some in pieces({each.organization_id for each in wallets if each.organization_id is not None}):
            closed = select(Organization.id).where(
                Organization.id.in_(some), Organization.status != OrganizationStatus.ACTIVE
            )
            self.closed_owners.update(f"organization:{each}" for each in self.session.scalars(closed))
        for some in pieces({each.customer_id for each in wallets if each.customer_id is not None}):
            blocked = select(Customer.id).where(Customer.id.in_(some), Customer.status != CustomerStatus.ACTIVE)
            self.closed_owners.update(f"customer:{each}" for each in self.session.scalars(blocked))

    def _row(self, row: Waiting, cells: Mapping[str, str]) -> dict[str, Any]:
        masked = row.facts.get("masked")
        values: dict[str, Any] = dict.fromkeys(TYPED) | {
            "row_number": row.number,
            "cells": row.cells,
            "masked": masked,
            "repeats_row": row.facts.get("repeats"),
            "card_fingerprint": None,
            "card_first6": None,
            "card_last4": None,
            "message": None,
        }
        reading = Reading(cells, values, dict.fromkeys(masked or (), HOLDS_CARD))
        self._check_form(reading)
        reading.take("currency", "unit", lambda text: c.unit_of(text, self.scales))
        if unit := values["unit"]:
            reading.take("amount", "amount_minor", lambda text: c.amount_of(text, unit, self.scales))
            self._check_payer(reading, unit)
        self._check_payee(reading, values["unit"])
        reading.take("reference", "reference", c.identifier_of)
        if reference := values["reference"]:
            if payment_key(self.payer_id, reference) in self.used:
                reading.say(REFERENCE, _("This reference was used already."))
            if values["repeats_row"]:
                reading.say(REFERENCE, f"This reference stands in row {values['repeats_row']} too.")
        reading.take("note", "description", c.note_of)
        if not reading.wrong:
            self._price(reading)
        wrong = reading.wrong
        values["status"] = RowStatus.INVALID if wrong else RowStatus.VALID
        order = {column: place for place, column in enumerate(self.columns)}
        values["errors"] = [
            {"column": column, "sentence": wrong[column]}
            for column in sorted(wrong, key=lambda column: order.get(column, len(order)))
        ] or None
        return values

    def _check_form(self, reading: Reading) -> None:
        for key, column in self.known_columns.items():
            text = reading.cells.get(key, "")
            if len(text) > column.longest:
                reading.say(key, f"This cell has {len(text):,} characters; at most {column.longest:,} are taken.")
            elif column.required and not text:
                reading.say(key, EMPTY)

    def _check_payer(self, reading: Reading, unit: str) -> None:
        if unit not in self.own:
            reading.say(CURRENCY, _("The organization that pays has no wallet in %(unit)s.", unit=unit))
        elif problem := self.unusable[unit]:
            reading.say(CURRENCY, problem)

    def _check_payee(self, reading: Reading, unit: str | None) -> None:
        """Find whom the row pays by whatever names them; if several cells do, they must mean the same."""
        given = [column for column in PAYEE if reading.cells.get(column)]
        if not given:
            reading.say(next((column for column in PAYEE if column in self.columns), PAYEE[0]), _("Say who is paid."))
            return
        named = [(column, self._named(reading, column, unit)) for column in given if column not in reading.wrong]
        found = [(column, wallet) for column, wallet in named if wallet is not None]
        if not found or len(found) < len(given):
            return
        (first, payee), *others = found
        for column, wallet in others:
            if wallet.id != payee.id:
                reading.say(column, _("This is somebody else than the other cells of the row name."))
        if unit is not None and payee.unit != unit:
            reading.say(CURRENCY, _("Wallet %(wallet)s holds %(unit)s.", wallet=payee.number, unit=payee.unit))
        elif problem := self._why_unpayable(payee):
            reading.say(first, problem)
        else:
            reading.values["payee_wallet_id"] = payee.id
            reading.values["customer_id"] = payee.customer_id

    def _why_unpayable(self, payee: Wallet) -> str | None:
        if payee.organization_id == self.payer_id:
            return _("This is the wallet that pays.")
        if payee.status is WalletStatus.CLOSED:
            return _("Wallet %(wallet)s is closed.", wallet=payee.number)
        if payee.owner_key in self.closed_owners:
            return _("The owner of wallet %(wallet)s is blocked or closed.", wallet=payee.number)
        return None

    def _named(self, reading: Reading, column: str, unit: str | None) -> Wallet | None:
        text = reading.cells[column]
        if column == "wallet":
            wallet = self.by_number.get(text)
            if wallet is None:
                reading.say(column, _("There is no wallet with this number."))
            return wallet
        customer = self.customers[column].get(text)
        if customer is None:
            words = {"email": _("No customer has this e-mail."), "phone": _("No customer has this phone.")}
            reading.say(column, words.get(column, _("There is no customer with this ID.")))
        elif customer is SEVERAL:
            reading.say(column, _("Several customers have it: fill in customer_id or wallet."))
        elif customer.status is not CustomerStatus.ACTIVE:
            reading.say(column, _("The customer is blocked."))
        elif unit is not None:
            wallet = self.by_customer.get((customer.id, unit))
            if wallet is None:
                reading.say(column, _("The customer has no wallet in %(unit)s. Open one first.", unit=unit))
            return wallet
        return None

    def _price(self, reading: Reading) -> None:
        """What leaves the wallet, by the contract in force; and a word where one payment alone is over the limit."""
        values = reading.values
        unit, amount = values["unit"], values["amount_minor"]
        if unit not in self.rulings:
            kind = TERMS_OF[WalletKind.MASS_PAYMENT]
            self.rulings[unit] = ruling(self.session, self.payer_id, kind, unit, self.at)
        ruled = self.rulings[unit]
        if ruled is None:
            values["paid_minor"] = amount
            return
        found = commission(ruled.term, amount)
        if found.payee_minor <= 0:
            reading.say(AMOUNT, _("The commission is as much as the amount: nothing would arrive."))
            return
        if found.payer_minor > MAX_MINOR:
            reading.say(AMOUNT, _("That is more than a wallet can hold."))
            return
        values["paid_minor"] = found.payer_minor
        limit = ruled.term.limit_single_minor
        if limit is not None and amount > limit:
            values["message"] = _(
                "It is over the limit of one payment, %(limit)s: it will wait for a decision.",
                limit=Money(limit, unit, self.scales[unit]),
            )
