"""Issuers (units): currencies, e-money and bonus units, and which of them are used no more (S3:39-41)."""

from typing import Any

from flask import flash, redirect, request
from flask_admin import expose
from wtforms import Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length

from payadmin.actions import tariffs
from payadmin.actions.tariffs.units import NAME_LENGTH
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_SCALE, format_minor
from payadmin.kernel.text import Text, _
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.permissions import Permission
from payadmin.queries.tariffs import balances_in
from payadmin.views.base import PayAdminModelView
from payadmin.views.fields import EnumField, NumberField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import unit_choices

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
    needs = {"status_view": WRITE}

    def details_context(self, row: Unit) -> dict[str, Any]:
        """What is left of it, which is why it cannot be retired."""
        found = balances_in(db.session(), row.code, SHOWN + 1)
        return super().details_context(row) | {
            "related": [],
            "balances": [(code, format_minor(minor, row.scale)) for code, minor in found[:SHOWN]],
            "has_more": len(found) > SHOWN,
            "may_write": self.may("edit"),
            "is_retired": row.status is UnitStatus.RETIRED,
        }

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
