"""Coins: every wallet with what is in it, its statement, and its opening, closing and correction (S3:45, K-07)."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import flash, jsonify, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import Form, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import wallets
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import Text, _
from payadmin.models.ledger import LedgerAccount
from payadmin.models.parties import Customer, CustomerStatus
from payadmin.models.wallets import REASON_LENGTH, Wallet, WalletStatus
from payadmin.permissions import Permission
from payadmin.queries.wallets import Amounts, amounts_of, why_unusable
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import EMPTY, Column, Kind, masked, unit_scale
from payadmin.views.fields import LinkField, MoneyField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import begins_with, row_id_of
from payadmin.views.language import say
from payadmin.views.ledger.pages import statement_of
from payadmin.views.ledger.words import owner_names
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import business_users, found_organizations, organization_titles, unit_choices
from payadmin.views.wallets.shown import (
    LONGEST_SEARCH,
    MOST_FOUND,
    KeyField,
    found_wallets,
    owner_key,
)

WRITE, ADJUST, MOVE = Permission.WALLETS_WALLET_WRITE, Permission.WALLETS_WALLET_ADJUST, Permission.WALLETS_WALLET_MOVE
AMOUNTS = {"balance": _("Balance"), "held": _("Held"), "available": _("Available")}
PUT_IN, TAKE_OUT = "in", "out"


def _customer_titles(ids: set[int]) -> dict[int, str]:
    rows = db.session.execute(select(Customer.id, Customer.name, Customer.external_id).where(Customer.id.in_(ids)))
    show = masked("name")
    return {row.id: f"{show(row.name)} ({row.external_id})" for row in rows}


class WalletForm(Form):
    """Whose wallet, and in what."""

    organization = LinkField(
        "Organization",
        [Optional()],
        titles=organization_titles,
        address=lambda: url_for("coins.organizations_view"),
        description="Type the beginning of its name. A wallet belongs to an organization or to a customer.",
    )
    customer = LinkField(
        "Customer",
        [Optional()],
        titles=_customer_titles,
        address=lambda: url_for("coins.customers_view"),
        description="Type the beginning of the name or of the Customer ID.",
    )
    unit = SelectField("Currency", [InputRequired("Choose one.")])

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Offer the units that can be used."""
        self.unit.choices = unit_choices(blank=_("Choose one"))
        super().process(*args, **kwargs)


class AdjustForm(Form):
    """What is wrong with a wallet, and why."""

    direction = SelectField("Correction", [InputRequired("Choose one.")])
    amount = MoneyField("Amount", [InputRequired("This is needed.")])
    reason = StringField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="The second person reads it, and it stands beside the entry for good.",
    )
    key = KeyField()

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Offer both directions."""
        self.direction.choices = [(PUT_IN, _("Put in")), (TAKE_OUT, _("Take out"))]
        super().process(*args, **kwargs)


@page(menu="coins")
class CoinsPage(PayAdminModelView):
    """Every wallet of every owner."""

    model = Wallet
    slug = "coins"
    heading = "Coins"
    plural = "Wallets"
    singular = "Wallet"
    subtitle = "What organizations and customers have, in each currency. Every figure comes from the books."
    create = WRITE
    edit = None
    export = None
    column_list = ("number", "owner", "unit", "balance", "held", "available", "status", "created_at")
    column_filters = ("unit", "status", "organization", "customer", "number", "created_at")
    column_sortable = ("number", "created_at")
    default_sort = "-created_at"
    tabs = "status"
    find_by = ("number",)
    phone = {"number": "m1", "available": "m2", "owner": "m3", "status": "m4"}
    list_also = ("organization_id", "customer_id", "account_id", "unit")
    details_template = "wallets/wallet.html"
    detail_sections = {"Wallet": ("number", "organization", "customer", "unit", "status", "created_at", "updated_at")}
    needs = {
        "open_view": WRITE,
        "close_view": WRITE,
        "adjust_view": ADJUST,
        "organizations_view": WRITE,
        "customers_view": WRITE,
        "wallets_view": MOVE,
    }

    def _refresh_cache(self) -> None:
        # Columns that are asked of the books, not kept.
        fixed = {"readonly": True}
        self.columns["owner"] = Column("owner", _("Owner"), Kind.TEXT, Wallet.id, fixed)
        for key, label in AMOUNTS.items():
            self.columns[key] = Column(key, label, Kind.NUMBER, Wallet.id, fixed)
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also owners and amounts: a few look-ups for all rows together."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        keys = {column.key for column in shown}
        if "owner" in keys:
            names["owner"] = owner_names({owner_key(row) for row in rows})
        if keys & AMOUNTS.keys():
            amounts = amounts_of(db.session(), [_as_wallet(row) for row in rows])
            names |= dict.fromkeys(AMOUNTS, amounts)
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Owners by name, amounts in the wallet's unit."""
        if column.key == "owner":
            return lambda row: names.get(owner_key(row)) or EMPTY
        if column.key in AMOUNTS:
            return lambda row: ui.amount(
                getattr(names.get(row.id, Amounts()), f"{column.key}_minor"), row.unit, unit_scale(row.unit) or 0
            )
        return super().cell(column, names)

    def details_context(self, row: Wallet) -> dict[str, Any]:
        """What is in it, its statement, and what can be done with it."""
        session, actor = db.session(), current_actor()
        account = session.get_one(LedgerAccount, row.account_id)
        may_read = actor.may(Permission.LEDGER_ENTRY_READ)
        problem = why_unusable(session, row, pays=True)
        return super().details_context(row) | {
            "owner": owner_names([row.owner_key]).get(row.owner_key, ""),
            "owner_url": _owner_url(row),
            "amounts": amounts_of(session, [row])[row.id],
            "unit_scale": unit_scale(row.unit) or 0,
            "problem": say(problem) if problem is not None and row.status is not WalletStatus.CLOSED else None,
            "may_move": actor.may(MOVE),
            "may_write": actor.may(WRITE),
            "may_adjust": actor.may(ADJUST),
            "is_open": row.status is WalletStatus.OPEN,
            "is_closed": row.status is WalletStatus.CLOSED,
            "account_url": url_for("ledger_accounts.details_view", row_id=account.id) if may_read else None,
            **statement_of(account),
        }

    # --- acts ---------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Open a wallet."""
        form = WalletForm(request.form if request.method == "POST" else None)
        if request.method == "GET" and (owner := row_id_of(request.args.get("organization", ""))) is not None:
            form.organization.data = owner
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                wallet = wallets.open_wallet(
                    current_actor(),
                    unit=str(form.unit.data),
                    organization_id=form.organization.data,
                    customer_id=form.customer.data,
                )
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("The wallet is open.", "success")
                return redirect(f"{self.address}{wallet.id}/", 303)
        shown = {"fields": list(form), "sentence": sentence, "changed": []}
        return self.render(
            "wallets/new.html", form=form, title=Text("Open a wallet"), back=self.list_address(), **shown
        ), status

    @expose("/<int:row_id>/close/", methods=("POST",))
    def close_view(self, row_id: int) -> Response:
        """Close it."""
        self.get_row(row_id)
        try:
            wallets.close_wallet(current_actor(), row_id, version=row_id_of(request.form.get("version", "")) or 0)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The wallet is closed.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/<int:row_id>/open/", methods=("POST",))
    def open_view(self, row_id: int) -> Response:
        """Open it again."""
        row = self.get_row(row_id)
        try:
            wallets.open_wallet(
                current_actor(), unit=row.unit, organization_id=row.organization_id, customer_id=row.customer_id
            )
        except (Invalid, Conflict) as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The wallet is open.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/<int:row_id>/adjust/", methods=("GET", "POST"))
    def adjust_view(self, row_id: int) -> Any:
        """Ask for a correction; a second person decides."""
        row = self.get_row(row_id)
        form = AdjustForm(request.form if request.method == "POST" else None)
        form.amount.scale = unit_scale(row.unit) or 0
        if request.method == "POST":
            form.process(request.form)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            minor = int(form.amount.data or 0)
            try:
                wallets.adjust_wallet(
                    current_actor(),
                    row_id,
                    amount_minor=minor if form.direction.data == PUT_IN else -minor,
                    reason=str(form.reason.data),
                    key=str(form.key.data),
                )
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                return redirect(f"{self.address}{row_id}/", 303)
        shown = {"fields": list(form), "back": f"{self.address}{row_id}/", "sentence": sentence, "changed": []}
        title = _("Adjust wallet %(wallet)s", wallet=row.number)
        return self.render("wallets/adjust.html", form=form, title=title, row=row, **shown), status

    # --- look-ups -----------------------------------------------------------------------------------------------------

    @expose("/organizations/")
    def organizations_view(self) -> Response:
        """What the picker of organizations offers."""
        typed = _typed()
        return jsonify(found_organizations(typed, business_users()) if typed else [])

    @expose("/customers/")
    def customers_view(self) -> Response:
        """What the picker of customers offers."""
        typed = _typed()
        if not typed:
            return jsonify([])
        wanted = select(Customer.id).where(
            begins_with(Customer.name, typed) | begins_with(Customer.external_id, typed),
            Customer.status == CustomerStatus.ACTIVE,
        )
        ids = set(db.session.scalars(wanted.order_by(Customer.id).limit(MOST_FOUND)))
        return jsonify([{"id": row_id, "text": text} for row_id, text in _customer_titles(ids).items()])

    @expose("/wallets/")
    def wallets_view(self) -> Response:
        """What the picker of wallets offers."""
        return jsonify(found_wallets(_typed()))


def _typed() -> str:
    typed = request.args.get("q", "").strip()
    return typed if len(typed) <= LONGEST_SEARCH and typed.isprintable() else ""


def _as_wallet(row: Any) -> Wallet:
    return Wallet(
        id=row.id,
        organization_id=row.organization_id,
        customer_id=row.customer_id,
        account_id=row.account_id,
        unit=row.unit,
    )


def _owner_url(row: Wallet) -> str | None:
    actor = current_actor()
    if row.organization_id is not None:
        may = actor.may(Permission.PARTIES_ORGANIZATION_READ)
        return url_for("organizations.details_view", row_id=row.organization_id) if may else None
    may = actor.may(Permission.PARTIES_CUSTOMER_READ)
    return url_for("customers.details_view", row_id=row.customer_id) if may else None
