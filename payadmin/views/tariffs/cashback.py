"""Cashback profiles: what customers of a merchant get back, how much at most, and from when until when (S3:63)."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import flash, jsonify, redirect, request
from flask_admin import expose
from werkzeug.wrappers import Response
from wtforms import BooleanField, DateField, Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import tariffs
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_SCALE
from payadmin.kernel.tariffs import FundedBy
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.tariffs import NAME_LENGTH, CashbackProfile
from payadmin.permissions import Permission
from payadmin.queries.tariffs import active_units, count_users, users_of
from payadmin.views import lists
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, Kind
from payadmin.views.fields import EnumField, MoneyField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import (
    PERCENT_HINT,
    PercentField,
    found_organizations,
    organization_form,
    percent_cell,
    unit_choices,
)

READ, PROPOSE = Permission.CONTRACTS_REQUEST_READ, Permission.CONTRACTS_CONTRACT_PROPOSE
USERS_SHOWN = 50


class ProfileForm(Form):
    """A cashback profile as people type it."""

    name = StringField("Name", [InputRequired("This is needed."), Length(max=NAME_LENGTH), no_controls, no_cards])
    unit = SelectField("Currency", [InputRequired("Choose one.")], description="Only payments in it give cashback.")
    rate_ppm = PercentField("Percentage", [InputRequired("This is needed.")], description=PERCENT_HINT)
    cap_minor = MoneyField("At most for one payment", [Optional()], description="Empty: no cap.")
    cap_month_minor = MoneyField("At most for one customer a month", [Optional()], description="Empty: no cap.")
    funded_by = EnumField("Paid for by", [InputRequired("Choose one.")], members=FundedBy)
    valid_from = DateField("Valid from", [InputRequired("This is needed.")])
    valid_to = DateField("Valid to", [Optional()], description="The last day. Empty: until it is switched off.")
    is_on = BooleanField("In force", default=True)
    seen_version = HiddenField()

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Read the amounts with the decimals of the unit that is chosen."""
        units = active_units(db.session())
        self.unit.choices = unit_choices(blank=_("Choose one"))
        for field in (self.cap_minor, self.cap_month_minor):
            field.scale = lambda: units.get(str(self.unit.data), MAX_SCALE)  # type: ignore[assignment]
        super().process(*args, **kwargs)


@page(menu="cashback")
class CashbackPage(PayAdminModelView):
    """What merchants give back to their customers."""

    model = CashbackProfile
    slug = "cashback-profiles"
    plural = "Cashback profiles"
    singular = "Cashback profile"
    subtitle = "What customers get back after a payment to a merchant that has the profile."
    create = edit = PROPOSE
    export = None
    column_list = ("name", "unit", "rate_ppm", "funded_by", "valid_from", "valid_to", "is_on", "users")
    column_filters = ("unit", "is_on", "funded_by")
    column_sortable = ("name",)
    default_sort = "name"
    phone = {"name": "m1", "rate_ppm": "m2", "is_on": "m3", "users": "m4"}
    find_by = ("name",)
    list_template = "tariffs/profiles.html"
    details_template = "tariffs/profile.html"
    detail_sections = {
        "Profile": (
            "name", "unit", "rate_ppm", "cap", "cap_month", "funded_by", "valid_from", "valid_to", "is_on",
            "created_at", "updated_at",
        ),
    }  # fmt: skip
    needs = {"assign_view": PROPOSE, "organizations_view": PROPOSE, "remove_view": PROPOSE}

    def _refresh_cache(self) -> None:
        # A column that is counted, not kept.
        self.columns["users"] = Column("users", _("Merchants"), Kind.NUMBER, CashbackProfile.id, {"readonly": True})
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Also how many merchants have each profile: one statement for all rows."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        if any(column.key == "users" for column in shown):
            found = count_users(db.session(), Organization.cashback_profile_id, [row.id for row in rows])
            names["users"] = {key: f"{number:,}" for key, number in found.items()}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Percentages and counts as people read them."""
        if column.key == "users":
            return lambda row: names.get(row.id, "0")
        if column.key == "rate_ppm":
            return percent_cell
        return super().cell(column, names)

    def details_context(self, row: CashbackProfile) -> dict[str, Any]:
        """The fields, and which merchants use it."""
        users = users_of(db.session(), Organization.cashback_profile_id, row.id, USERS_SHOWN + 1)
        return super().details_context(row) | {
            "related": [],
            "users": users[:USERS_SHOWN],
            "has_more": len(users) > USERS_SHOWN,
            "may_propose": self.may("edit"),
            "proposes": not current_actor().may(Permission.CONTRACTS_CONTRACT_WRITE),
        }

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form of a new profile."""
        first = {"valid_from": lists.today(), "is_on": True}
        form = ProfileForm(request.form) if request.method == "POST" else ProfileForm(data=first)
        return self._save_or_show(form, None)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """The form of one profile; a save over somebody else's is refused."""
        row = self.get_row(row_id)
        if request.method == "POST":
            return self._save_or_show(ProfileForm(request.form), row)
        return self._save_or_show(ProfileForm(data={**_typed(row), "seen_version": str(row.version)}), row)

    @expose("/<int:row_id>/merchants/new/", methods=("GET", "POST"))
    def assign_view(self, row_id: int) -> Any:
        """Give a merchant this profile."""
        row = self.get_row(row_id)
        form = organization_form(self.endpoint)(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                tariffs.assign_profile(current_actor(), form["organization"].data, profile_id=row_id)
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("The merchant has this profile now.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        title = _("Give a merchant %(name)s", name=row.name)
        shown = {"fields": list(form), "title": title, "back": f"{self.address}{row_id}/", "sentence": sentence}
        return self.render("tariffs/assign.html", form=form, changed=[], **shown), status

    @expose("/<int:row_id>/merchants/<int:organization_id>/remove/", methods=("POST",))
    def remove_view(self, row_id: int, organization_id: int) -> Response:
        """Take the profile from a merchant."""
        self.get_row(row_id)
        try:
            tariffs.assign_profile(current_actor(), organization_id, profile_id=None, instead_of=row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The merchant has no profile now.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/merchants/")
    def organizations_view(self) -> Response:
        """What the picker offers for what was typed."""
        typed = request.args.get("q", "").strip()
        usable = typed and len(typed) <= NAME_LENGTH and typed.isprintable()
        return jsonify(found_organizations(typed, (OrganizationKind.MERCHANT,)) if usable else [])

    def _save_or_show(self, form: ProfileForm, row: CashbackProfile | None) -> Any:
        back = self.address if row is None else f"{self.address}{row.id}/"
        sentence, status = None, 200 if request.method == "GET" else 422
        changed: list[tuple[str, Any]] = []
        if request.method == "POST" and form.validate():
            try:
                profile_id = self._save(form, row.id if row is not None else None)
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
                if "now" in refusal.data and row is not None:
                    row = self.get_row(row.id)
                    changed = self._differs(form, row)
                    form.seen_version.data, form.seen_version.raw_data = str(row.version), None
            else:
                flash("Saved.", "success")
                return redirect(f"{self.address}{profile_id}/", 303)
        fields = [field for field in form if field is not form.seen_version]
        shown = {"fields": fields, "title": Text("New cashback profile") if row is None else row.name, "back": back}
        proposes = not current_actor().may(Permission.CONTRACTS_CONTRACT_WRITE)
        page_shown = self.render(
            "tariffs/profile_form.html", form=form, sentence=sentence, changed=changed, proposes=proposes, **shown
        )
        return page_shown, status

    def _save(self, form: ProfileForm, profile_id: int | None) -> int:
        data = {name: value for name, value in form.data.items() if name != "seen_version"}
        seen = row_id_of(form.seen_version.data or "")
        saved: int = tariffs.save_profile(current_actor(), **data, profile_id=profile_id, version=seen)
        return saved

    def _differs(self, form: ProfileForm, row: CashbackProfile) -> list[tuple[str, Any]]:
        keys = {name: name.removesuffix("_minor") for name in _typed(row)}
        shown = [self.columns[keys[name]] for name, value in _typed(row).items() if form[name].data != value]
        return [(column.label, self.cell(column, {})(row)) for column in shown]


def _typed(row: CashbackProfile) -> dict[str, Any]:
    names = ("name", "unit", "rate_ppm", "cap_minor", "cap_month_minor", "funded_by", "valid_from", "valid_to", "is_on")
    return {name: getattr(row, name) for name in names}
