"""Issuers (units): currencies, e-money and bonus units, and which of them are used no more (S3:39-41)."""

import secrets
from typing import Any

from flask import flash, jsonify, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import tariffs, wallets
from payadmin.actions.tariffs.units import NAME_LENGTH
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_SCALE, format_minor
from payadmin.kernel.text import Text, _
from payadmin.ledger.chart import Account
from payadmin.models.ledger import LedgerAccount
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.models.wallets import NOTE_LENGTH
from payadmin.permissions import Permission
from payadmin.queries.tariffs import balances_in
from payadmin.views.base import PayAdminModelView
from payadmin.views.fields import EnumField, LinkField, MoneyField, NumberField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import (
    business_users,
    customer_titles,
    found_customers,
    found_organizations,
    organization_titles,
    unit_choices,
)

WRITE = Permission.WALLETS_UNIT_WRITE
SHOWN = 10


class NameForm(Form):
    """What a unit is called."""

    name = StringField("Name", [InputRequired("This is needed."), Length(max=NAME_LENGTH), no_controls, no_cards])
    seen_version = HiddenField()


class UnitForm(NameForm):
    """A new unit."""

    kind = EnumField("Kind", [InputRequired("Choose one.")], members=UnitKind, blank=True)
    code = StringField(
        "Code",
        [InputRequired("This is needed."), Length(max=12), no_controls],
        description="Of a currency, its code in ISO 4217. Of anything else, one that ISO does not use.",
        render_kw={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"},
    )
    scale = NumberField(
        "Decimals",
        description=_("From 0 to %(most)s. Those of a currency come from ISO 4217. They never change.", most=MAX_SCALE),
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    reference = SelectField(
        "Stands for", description="E-money with a reference is worth a unit of it; leave it empty for one without."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reference.choices = unit_choices(blank=_("Nothing"))


def bonus_form(endpoint: str, scale: int) -> type[Form]:
    """A form that asks whose wallet, how much and why."""

    class BonusForm(Form):
        """Bonus units that are issued or redeemed."""

        organization = LinkField(
            "Organization",
            [Optional()],
            titles=organization_titles,
            address=lambda: url_for(f"{endpoint}.organizations_view"),
            description="Whose wallet. Type the beginning of its name, or choose a customer.",
        )
        customer = LinkField(
            "Customer",
            [Optional()],
            titles=customer_titles,
            address=lambda: url_for(f"{endpoint}.customers_view"),
            description="Type the beginning of the Customer ID.",
        )
        amount = MoneyField("Amount", [InputRequired("This is needed.")], scale=scale)
        reason = StringField(
            "Reason",
            [InputRequired("This is needed."), Length(max=NOTE_LENGTH), no_controls, no_cards],
            description="It stands beside the transaction for good.",
        )
        key = HiddenField()

    return BonusForm


@page(menu="units")
class UnitsPage(PayAdminModelView):
    """Everything that amounts can be in."""

    model = Unit
    slug = "units"
    plural = "Units"
    singular = "Unit"
    heading = "Issuers (units)"
    subtitle = "Currencies, e-money and bonus units. A unit is never deleted; one that nobody has left can be retired."
    create = WRITE
    edit = WRITE
    export = None
    column_list = ("code", "name", "kind", "scale", "reference_unit", "status")
    column_filters = ("kind", "status")
    column_sortable = ("code",)
    default_sort = "code"
    tabs = "status"
    phone = {"code": "m1", "status": "m2", "name": "m3", "kind": "m4"}
    list_also = ("status",)
    details_template = "tariffs/unit.html"
    detail_sections = {
        "Unit": ("code", "name", "kind", "scale", "reference_unit", "status", "created_at", "updated_at")
    }
    needs = {"status_view": WRITE, "bonus_view": WRITE, "organizations_view": WRITE, "customers_view": WRITE}

    def details_context(self, row: Unit) -> dict[str, Any]:
        """What is left of it, which is why it cannot be retired."""
        session = db.session()
        found = balances_in(session, row.code, SHOWN + 1)
        issuance = Account("9020", row.code).code
        books = self._accounts([code for code, _minor in found] + [issuance])
        return super().details_context(row) | {
            "related": [],
            "balances": [(code, format_minor(minor, row.scale), books.get(code)) for code, minor in found[:SHOWN]],
            "has_more": len(found) > SHOWN,
            "may_write": self.may("edit"),
            "is_retired": row.status is UnitStatus.RETIRED,
            "is_bonus": row.kind is UnitKind.BONUS,
            "issuance": books.get(issuance),
        }

    def _accounts(self, codes: list[str]) -> dict[str, str]:
        """The addresses of accounts in the books, for whoever may look into them."""
        if not current_actor().may(Permission.LEDGER_ENTRY_READ):
            return {}
        rows = db.session.execute(select(LedgerAccount.id, LedgerAccount.code).where(LedgerAccount.code.in_(codes)))
        return {row.code: url_for("ledger_accounts.details_view", row_id=row.id) for row in rows}

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form of a new unit."""
        form = UnitForm(request.form if request.method == "POST" else None)
        refusal = None
        if request.method == "POST" and form.validate():
            try:
                unit_id = tariffs.add_unit(
                    current_actor(),
                    code=str(form.code.data),
                    name=str(form.name.data),
                    kind=form.kind.data,
                    scale=form.scale.data,
                    reference=form.reference.data or None,
                )
            except (Invalid, Conflict) as problem:
                refusal = problem
            else:
                flash("Unit added.", "success")
                return redirect(f"{self.address}{unit_id}/", 303)
        fields = (form.kind, form.code, form.name, form.scale, form.reference)
        return self._unit_page(form, fields, Text("New unit"), self.address, refusal)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Its name is all that can be changed."""
        row = self.get_row(row_id)
        shown = {"name": row.name, "seen_version": str(row.version)}
        form = NameForm(request.form) if request.method == "POST" else NameForm(data=shown)
        refusal = None
        if request.method == "POST" and form.validate():
            seen = row_id_of(form.seen_version.data or "") or 0
            try:
                tariffs.rename_unit(current_actor(), row_id, name=str(form.name.data), version=seen)
            except (Invalid, Conflict) as problem:
                refusal = problem
            else:
                flash("Saved.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        return self._unit_page(form, (form.name,), row.code, f"{self.address}{row_id}/", refusal)

    @expose("/<int:row_id>/status/<any(retire,restore):act>/", methods=("POST",))
    def status_view(self, row_id: int, act: str) -> Any:
        """Retire it, or use it again."""
        self.get_row(row_id)
        seen = row_id_of(request.form.get("version", "")) or 0
        try:
            tariffs.set_unit_status(current_actor(), row_id, is_active=act == "restore", version=seen)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("In use again." if act == "restore" else "Retired.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/<int:row_id>/<any(issue,redeem):act>/", methods=("GET", "POST"))
    def bonus_view(self, row_id: int, act: str) -> Any:
        """Bring bonus units into being on a wallet, or take them out of the world."""
        row = self.get_row(row_id)
        form = bonus_form(self.endpoint, row.scale)(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            book = wallets.issue_bonus if act == "issue" else wallets.redeem_bonus
            try:
                book(
                    current_actor(),
                    row_id,
                    amount_minor=form["amount"].data,
                    reason=str(form["reason"].data),
                    key=str(form["key"].data or ""),
                    organization_id=form["organization"].data,
                    customer_id=form["customer"].data,
                )
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Issued." if act == "issue" else "Redeemed.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        if not form["key"].data:
            form["key"].data = secrets.token_urlsafe(18)
        title = _("Issue %(unit)s", unit=row.code) if act == "issue" else _("Redeem %(unit)s", unit=row.code)
        fields = [form[name] for name in ("organization", "customer", "amount", "reason")]
        shown = {"fields": fields, "title": title, "back": f"{self.address}{row_id}/", "sentence": sentence}
        return self.render("tariffs/bonus.html", form=form, changed=[], act=act, unit=row, **shown), status

    @expose("/organizations/")
    def organizations_view(self) -> Response:
        """What the picker of organizations offers for what was typed."""
        typed = request.args.get("q", "").strip()
        usable = typed and len(typed) <= NAME_LENGTH and typed.isprintable()
        return jsonify(found_organizations(typed, business_users()) if usable else [])

    @expose("/customers/")
    def customers_view(self) -> Response:
        """What the picker of customers offers for what was typed."""
        typed = request.args.get("q", "").strip()
        usable = typed and len(typed) <= NAME_LENGTH and typed.isprintable()
        return jsonify(found_customers(typed) if usable else [])

    def _unit_page(self, form: NameForm, fields: Any, title: str, back: str, refusal: Any) -> Any:
        status = 200 if request.method == "GET" else 422
        sentence = None
        if refusal is not None:
            status, sentence = refusal.status, put(form, refusal)
            if "now" in refusal.data:
                form.seen_version.data, form.seen_version.raw_data = str(refusal.data["now"]), None
        return self.render(
            "admin/model/_form.html", form=form, fields=fields, title=title, back=back, sentence=sentence, changed=[]
        ), status
