"""What cashiers did: every cash operation with its receipt; for a cashier, those of the own desk (K-50, CA7)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Response
from flask_admin import expose
from sqlalchemy import String, cast, select

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.masks import mask_name
from payadmin.kernel.receipt_pdf import ReceiptFacts, render_receipt
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Organization
from payadmin.models.treasury import CashDesk, CashDeskDay, CashKind, CashOperation
from payadmin.models.wallets import Wallet
from payadmin.permissions import Permission
from payadmin.queries.treasury.days import customers_behind
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import EMPTY, Column, Kind, unit_scale, zone
from payadmin.views.filters import MOST_OPTIONS, Active, Choice, Filter
from payadmin.views.language import say, speech
from payadmin.views.ledger.words import journals_about
from payadmin.views.registry import page
from payadmin.views.search import Lookup, by_id, exact, through
from payadmin.views.security import current_actor
from payadmin.views.treasury.shown import (
    days_in_sight,
    known,
    masked_wallet,
    money_said,
    of_own_desk,
    receipt_asked,
    receipt_number,
    sees_every_desk,
)

if TYPE_CHECKING:
    from sqlalchemy import Select

READ = Permission.CASH_DAY_READ


def _by_receipt(term: str) -> "Select[Any] | None":
    """The operation whose receipt is called so."""
    asked = receipt_asked(term)
    if asked is None:
        return None
    code, day, receipt = asked
    return (
        select(CashOperation.id)
        .join(CashDeskDay, CashDeskDay.id == CashOperation.day_id)
        .join(CashDesk, CashDesk.id == CashDeskDay.desk_id)
        .where(CashDesk.code == code, CashDeskDay.business_date == day, CashOperation.receipt == receipt)
    )


LOOKUPS: tuple[Lookup, ...] = (
    by_id(CashOperation),
    _by_receipt,
    through(CashOperation.wallet_id, exact(Wallet.number)),
)


def _receipt_alone(receipt: Any) -> Any:
    """The number within its day, as files hold it beside the desk."""
    return cast(receipt, String)


def _desk_name(day_id: Any) -> Any:
    named = select(CashDesk.name).join(CashDeskDay, CashDeskDay.desk_id == CashDesk.id)
    return named.where(CashDeskDay.id == day_id).scalar_subquery()


class DeskFilter(Filter):
    """At any of several desks; a cashier is offered the own one."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        """The condition for the chosen desks."""
        names = {choice.value: choice.label for choice in self.choices()}
        chosen = tuple(dict.fromkeys(values))
        for value in chosen:
            if value not in names:
                raise self.refuse(value)
        days = select(CashDeskDay.id).where(CashDeskDay.desk_id.in_([int(value) for value in chosen]))
        return Active(CashOperation.day_id.in_(days), ", ".join(names[value] for value in chosen), chosen, {})

    def choices(self) -> list[Choice]:
        """The desks that the person signed in may see, by name."""
        wanted = select(CashDesk.id, CashDesk.name).where(of_own_desk(CashDesk.id))
        rows = db.session.execute(wanted.order_by(CashDesk.name).limit(MOST_OPTIONS))
        return [Choice(str(row.id), row.name) for row in rows]


@page(menu="")
class CashOperationsPage(PayAdminModelView):
    """The history of cashiers' operations."""

    model = CashOperation
    slug = "cash-operations"
    plural = "Cash operations"
    singular = "Cash operation"
    subtitle = "What customers brought and took at the cash desks. Search by a receipt, or by a wallet's number."
    read = export = READ
    create = edit = delete = None
    column_list = ("number", "kind", "desk", "wallet", "amount", "commission", "cashier", "created_at")
    column_filters = ("kind", "unit", "amount", "cashier", "day", "wallet", "created_at")
    column_sortable = ("id", "created_at", "amount")
    default_sort = "-created_at"
    search_lookups = LOOKUPS
    tabs = "kind"
    phone = {"number": "m1", "amount": "m2", "kind": "m3", "created_at": "m4"}
    list_also = ("day_id", "receipt", "unit")
    details_template = "treasury/operation.html"
    detail_sections = {
        "Operation": ("number", "kind", "desk", "day", "cashier", "created_at", "wallet", "redeem_request", "note"),
        "Amounts": ("amount", "commission", "cash", "wallets_part", "contract_version"),
    }
    needs = {"receipt_view": READ}

    def _refresh_cache(self) -> None:
        # Two columns would have one key: the wallet, and the amount that is the wallet's part.
        self.columns["wallets_part"] = replace(self.columns["wallet"], key="wallets_part")
        fixed = {"readonly": True}
        self.columns["wallet"] = Column(
            "wallet", _("Wallet"), Kind.LINK, CashOperation.wallet_id, fixed, target=Wallet, target_attr=Wallet.id
        )
        self.columns["number"] = Column(
            "number", _("Receipt"), Kind.TEXT, CashOperation.receipt, fixed, worked_out=_receipt_alone
        )
        self.columns["desk"] = Column("desk", _("Desk"), Kind.TEXT, CashOperation.day_id, fixed, worked_out=_desk_name)
        super()._refresh_cache()

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        yield "desk", DeskFilter(self.columns["desk"])
        yield from super()._filters_of(table)

    def get_query(self) -> "Select[Any]":
        """All operations; for a cashier those of the own desk."""
        scope = super().get_query()
        return scope if sees_every_desk() else scope.where(CashOperation.day_id.in_(days_in_sight()))

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also the desk and the day behind each receipt: one look-up for all rows."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        if {"number", "desk"} & {column.key for column in shown}:
            names |= dict.fromkeys(("number", "desk"), _days({row.day_id for row in rows}))
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Receipts as they are called, desks by name."""
        if column.key == "number":
            return lambda row: _number(names.get(row.day_id), row.receipt)
        if column.key == "desk":
            return lambda row: names[row.day_id].name if row.day_id in names else EMPTY
        return super().cell(column, names)

    def describe(self, row: CashOperation) -> str:
        """An operation by its receipt."""
        return str(_number(_days({row.day_id}).get(row.day_id), row.receipt))

    def details_context(self, row: CashOperation) -> dict[str, Any]:
        """Who the customer was, masked, and what the books say."""
        people = customers_behind(db.session(), [row.wallet_id])
        return super().details_context(row) | {
            "related": [],
            "journals": journals_about("cash_operation", row.id),
            "scales": {row.unit: unit_scale(row.unit) or 0},
            "person": known(people[row.wallet_id]) if row.wallet_id in people else None,
            "cash": money_said(row.cash_minor, row.unit),
            "moved": money_said(row.wallet_minor, row.unit),
            "is_top_up": row.kind is CashKind.TOP_UP,
            "may_operate": current_actor().may(Permission.CASH_DAY_OPERATE),
        }

    @expose("/<int:row_id>/receipt/", methods=("POST",))
    def receipt_view(self, row_id: int) -> Response:
        """The receipt to print; from the second time on it says that it is a copy."""
        copies = treasury.print_receipt(current_actor(), row_id, scope=self.get_query())
        row = self.get_row(row_id)
        facts = _facts(row, copies)
        name = f"receipt-{facts.number}.pdf"
        return Response(
            render_receipt(facts),
            mimetype="application/pdf",
            headers={"Content-Disposition": f'inline; filename="{name}"'},
        )


def _days(ids: set[int]) -> dict[int, Any]:
    wanted = (
        select(CashDeskDay.id, CashDeskDay.business_date, CashDesk.code, CashDesk.name)
        .join(CashDesk, CashDesk.id == CashDeskDay.desk_id)
        .where(CashDeskDay.id.in_(ids))
    )
    return {row.id: row for row in db.session.execute(wanted)}


def _number(day: Any, receipt: int) -> Any:
    return EMPTY if day is None else receipt_number(day.code, day.business_date, receipt)


def _facts(row: CashOperation, copies: int) -> ReceiptFacts:
    session, tongue = db.session(), speech()
    day = session.get_one(CashDeskDay, row.day_id)
    desk = session.get_one(CashDesk, day.desk_id)
    customer = customers_behind(session, [row.wallet_id]).get(row.wallet_id)
    cashier = session.get_one(StaffUser, row.cashier_id)
    is_top_up = row.kind is CashKind.TOP_UP
    lines = [
        (_("Cash desk"), desk.name),
        (_("Cashier"), cashier.username),
        (_("Time"), tongue.moment(row.created_at.astimezone(zone()))),
        (_("Wallet"), masked_wallet(session.get_one(Wallet, row.wallet_id).number)),
    ]
    if customer is not None:
        lines.insert(3, (_("Customer"), f"{mask_name(customer.name)} ({customer.external_id})"))
    amounts = [
        (_("Reaches the wallet") if is_top_up else _("Leaves the wallet"), money_said(row.wallet_minor, row.unit)),
        (_("Commission"), money_said(row.commission_minor, row.unit)),
        (_("Cash received") if is_top_up else _("Cash paid"), money_said(row.cash_minor, row.unit)),
    ]
    return ReceiptFacts(
        number=receipt_number(desk.code, day.business_date, row.receipt),
        organization=session.get_one(Organization, desk.organization_id).name,
        title=say(Text(row.kind.value)),
        copy=say(_("COPY no. %(number)s", number=copies)) if copies else "",
        lines=tuple((say(label), value) for label, value in lines),
        amounts=tuple((say(label), value) for label, value in amounts),
        signatures=(say(_("Cashier's signature")), say(_("Customer's signature"))),
        foot=say(_("Keep this receipt. It is the proof of what you paid in or were paid.")),
    )
