"""What the pages of cash share: who sees which desk, how receipts are numbered, and how customers are called."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import g, url_for
from markupsafe import Markup
from sqlalchemy import ColumnElement, Select, select, true
from sqlalchemy.orm import InstrumentedAttribute

from payadmin.db import db
from payadmin.kernel.masks import mask_email, mask_name, mask_phone
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer, Organization
from payadmin.models.treasury import CashDeskDay, DayStatus, DeskStatus
from payadmin.models.wallets import Wallet
from payadmin.permissions import Permission
from payadmin.queries.treasury.days import customers_behind, desks_where
from payadmin.views import ui
from payadmin.views.columns import label_of, unit_scale
from payadmin.views.language import say, speech

SHOWN_OF_A_WALLET = 3
DAY_TONES = {
    DayStatus.OPEN: "ok",
    DayStatus.CLOSE_REQUESTED: "warn",
    DayStatus.RETURNED: "bad",
    DayStatus.CLOSED: "plain",
}
DESK_TONES = {DeskStatus.ACTIVE: "ok", DeskStatus.LOCKED: "bad", DeskStatus.CLOSED: "plain"}
_LINE = Markup('<span class="cash-line">{}</span>')


def sees_every_desk() -> bool:
    """Whether the person signed in sees all desks; a cashier sees only the own one. Jobs see what they are told to."""
    actor = g.get("actor")
    return actor is None or actor.may(Permission.CASH_DESK_READ)


def of_own_desk(desk_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """The condition that a row belongs to a desk that the person signed in may see."""
    return true() if sees_every_desk() else desk_id.in_(desks_where(g.actor.staff_id))


def days_in_sight() -> "Select[Any]":
    """The days that the person signed in may see, as a part of other questions."""
    return select(CashDeskDay.id).where(of_own_desk(CashDeskDay.desk_id))


def day_badge(status: DayStatus | None) -> Markup:
    """Where the day of a desk stands; None: it has none."""
    return ui.badge("No day", "plain") if status is None else ui.badge(label_of(status), DAY_TONES[status])


def desk_badge(status: DeskStatus) -> Markup:
    """Where a desk stands."""
    return ui.badge(label_of(status), DESK_TONES[status])


def amounts_by_unit(amounts: Mapping[str, int]) -> Markup:
    """Amounts of several units below each other: they are never added up."""
    lines = [_LINE.format(ui.amount(minor, unit, unit_scale(unit) or 0)) for unit, minor in sorted(amounts.items())]
    return Markup("").join(lines) if lines else ui.NOTHING


def receipt_number(desk_code: str, day: dt.date, receipt: int) -> str:
    """How a receipt is called: the desk, the day, and its number of that day."""
    return f"{desk_code}-{day:%Y%m%d}-{receipt:04}"


def receipt_asked(text: str) -> tuple[str, dt.date, int] | None:
    """The desk, day and number that a receipt's name stands for; None: it is none."""
    code, _dash, rest = text.strip().rpartition("-")
    code, _dash, day = code.rpartition("-")
    if not code or len(day) != len("20260101") or not (day + rest).isascii() or not (day + rest).isdigit():
        return None
    try:
        return code, dt.date(int(day[:4]), int(day[4:6]), int(day[6:])), int(rest[:9])
    except ValueError:
        return None


def masked_wallet(number: str) -> str:
    """A wallet's number with its end alone, as receipts show it."""
    return f"···{number[-SHOWN_OF_A_WALLET:]}"


@dataclass(frozen=True)
class Known:
    """A customer as a cashier sees one: enough to recognise who stands at the desk, and no more."""

    id: int
    name: str
    external_id: str
    facts: str
    problem: str | None

    @property
    def title(self) -> str:
        """The masked name and the Customer ID."""
        return f"{self.name} ({self.external_id})"


def known(customer: Customer) -> Known:
    """A customer with name, phone and e-mail masked, for everybody at a desk."""
    facts = [mask(value) for mask, value in ((mask_phone, customer.phone), (mask_email, customer.email)) if value]
    facts.append(say(label_of(customer.identification)))
    blocked = say(_("This customer is blocked.")) if customer.status.name == "BLOCKED" else None
    return Known(customer.id, mask_name(customer.name), customer.external_id, " · ".join(facts), blocked)


def payees(wallet_ids: Iterable[int]) -> dict[int, Known]:
    """Whose wallets these are, by wallet: customers masked, organizations by name."""
    session, ids = db.session(), set(wallet_ids)
    found = {wallet_id: known(customer) for wallet_id, customer in customers_behind(session, ids).items()}
    others = (
        select(Wallet.id, Organization.id.label("organization_id"), Organization.name)
        .join(Organization, Organization.id == Wallet.organization_id)
        .where(Wallet.id.in_(ids))
    )
    for row in session.execute(others):
        number = say(_("Organization no. %(number)s", number=row.organization_id))
        found[row.id] = Known(row.organization_id, row.name, number, "", None)
    return found


def money_said(minor: int, unit: str) -> str:
    """An amount in the reader's language, with its unit."""
    return speech().money(minor, unit, unit_scale(unit) or 0)


def operation_url(operation_id: int) -> str:
    """Where an operation is seen."""
    return url_for("cash_operations.details_view", row_id=operation_id)


NO_DESK = Text("No cash desk is assigned to you. Ask an accountant to assign one.")
