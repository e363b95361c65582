"""The policy table of approvals: from when on what needs a second person. No line that is on: nothing does."""

from typing import Any

from flask import flash, redirect, request
from flask_admin import expose
from sqlalchemy import select
from wtforms import BooleanField, Form, HiddenField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length

from payadmin.actions import approvals
from payadmin.approvals import KIND_OF_RULE, RULES
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import decimal_text, parse_minor
from payadmin.kernel.text import _
from payadmin.models.approvals import LONGEST_EXPIRY_HOURS, ApprovalPolicy
from payadmin.models.payments import Unit
from payadmin.permissions import Permission
from payadmin.views.approvals.pages import deciders
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, Kind, unit_scale
from payadmin.views.fields import NumberField, SelectField, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor

USUAL_HOURS = 72


class PolicyForm(Form):
    """One line of the table as people type it."""

    rule = SelectField("What needs a second person", [InputRequired("Choose one.")])
    unit = SelectField(
        "Currency", description="For refunds and voids: each currency has a line of its own. Otherwise leave it empty."
    )
    threshold = StringField(
        "From which amount on",
        [Length(max=40), no_controls],
        description="In that currency, such as 500.00; 0 means every one. Empty for what has no amount.",
        render_kw={"inputmode": "decimal", "autocomplete": "off"},
    )
    expires_hours = NumberField(
        "Hours to decide",
        [InputRequired("This is needed.")],
        description=_(
            "A request that nobody decides in this time expires. At most %(most)s.", most=LONGEST_EXPIRY_HOURS
        ),
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    is_on = BooleanField("In force")
    seen_version = HiddenField()


@page(menu="approval-policies")
class PoliciesPage(PayAdminModelView):
    """From when on an act needs a second person."""

    model = ApprovalPolicy
    slug = "approval-policies"
    plural = "Approval policies"
    singular = "Approval policy"
    subtitle = "What needs a second person, and from which amount on. What no line names is done at once."
    read = Permission.APPROVALS_POLICY_READ
    create = edit = Permission.APPROVALS_POLICY_WRITE
    export = None
    column_list = ("rule", "threshold", "is_on", "expires_hours", "who")
    column_filters = ("is_on",)
    column_sortable = ()
    default_sort = "-id"
    phone = {"rule": "m1", "threshold": "m2", "is_on": "m3"}
    list_also = ("rule",)
    list_template = "approvals/policies.html"
    detail_sections = {
        "Policy": ("rule", "threshold", "is_on", "expires_hours", "who", "created_at", "updated_at"),
    }

    def _refresh_cache(self) -> None:
        # A column that follows from the rule.
        self.columns["who"] = Column("who", _("Decided by"), Kind.TEXT, ApprovalPolicy.rule, {"readonly": True})
        super()._refresh_cache()

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Rules in words, and who decides what they send to the inbox."""
        match column.key:
            case "rule":
                return lambda row: rule_label(row.rule)
            case "who":
                return lambda row: deciders(KIND_OF_RULE[row.rule].name) if row.rule in KIND_OF_RULE else ""
        return super().cell(column, names)

    def describe(self, row: ApprovalPolicy) -> str:
        """The rule, with its currency."""
        return f"{rule_label(row.rule)} ({row.unit})" if row.unit else rule_label(row.rule)

    # --- forms --------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form of a new line."""
        form = self._form(request.form if request.method == "POST" else None, {"expires_hours": USUAL_HOURS})
        form.is_on.data = True if request.method == "GET" else form.is_on.data
        if request.method == "POST" and form.validate():
            try:
                policy_id = self._save(form, str(form.rule.data), form.unit.data or None)
            except (Invalid, Conflict) as refusal:
                return self._page(form, refusal)
            flash("Approval policy created.", "success")
            return redirect(f"{self.address}{policy_id}/")
        return self._page(form)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """The form of one line; its rule and currency stay."""
        row = self.get_row(row_id)
        form = self._form(request.form if request.method == "POST" else None, _typed(row), keeps=True)
        if request.method == "POST" and form.validate():
            try:
                self._save(form, row.rule, row.unit, row_id)
            except (Invalid, Conflict) as refusal:
                return self._page(form, refusal, self.get_row(row_id))
            flash("Saved.", "success")
            return redirect(f"{self.address}{row_id}/")
        return self._page(form, row=row)

    def _form(self, given: Any, typed: dict[str, Any], *, keeps: bool = False) -> PolicyForm:
        form = PolicyForm(given, data=typed)
        if keeps:
            del form.rule
            del form.unit
            if typed["threshold"] is None:
                del form.threshold
            return form
        form.rule.choices = [
            SelectChoice(value="", label=_("Choose one")),
            *(SelectChoice(value=rule.name, label=say(rule.label)) for rule in RULES.values()),
        ]
        units = db.session.scalars(select(Unit.code).order_by(Unit.code))
        form.unit.choices = [
            SelectChoice(value="", label=_("None")),
            *(SelectChoice(value=code, label=code) for code in units),
        ]
        return form

    def _save(self, form: PolicyForm, rule: str, unit: str | None, policy_id: int | None = None) -> int:
        saved: int = approvals.save_policy(
            current_actor(),
            rule=rule,
            unit=unit,
            threshold_minor=_threshold(form, unit),
            is_on=bool(form.is_on.data),
            expires_hours=int(form.expires_hours.data or 0),
            policy_id=policy_id,
            version=row_id_of(form.seen_version.data or ""),
        )
        return saved

    def _page(self, form: PolicyForm, refusal: Any = None, row: Any = None) -> Any:
        status, sentence, changed = 200 if request.method == "GET" else 422, None, []
        if refusal is not None:
            status, sentence = refusal.status, put(form, refusal)
            if "now" in refusal.data and row is not None:
                shown = [self.columns[key] for key in ("threshold", "is_on", "expires_hours")]
                changed = [(column.label, self.cell(column, {})(row)) for column in shown]
                form.seen_version.data, form.seen_version.raw_data = str(row.version), None
        page = self.render(
            "approvals/policy_form.html",
            form=form,
            fields=[field for field in form if field.name != "seen_version"],
            sentence=sentence,
            changed=changed,
            title=_("New approval policy") if row is None else self.describe(row),
            back=self.address if row is None else f"{self.address}{row.id}/",
        )
        return page, status


def rule_label(rule: str) -> str:
    """What pages call a rule."""
    return say(RULES[rule].label) if rule in RULES else rule


def _threshold(form: PolicyForm, unit: str | None) -> int | None:
    text = (form.threshold.data or "").strip() if "threshold" in form else ""
    if not text:
        return None
    if unit is None:
        raise Invalid("Choose the currency of this amount, or leave the amount empty.", field="unit")
    scale = unit_scale(unit)
    if scale is None:
        raise Invalid("There is no such currency.", field="unit")
    try:
        return parse_minor(text, scale, allow_zero=True)
    except Invalid as refusal:
        raise Invalid(refusal.sentence, field="threshold") from refusal


def _typed(row: ApprovalPolicy) -> dict[str, Any]:
    has_amount = row.threshold_minor is not None and row.unit is not None
    return {
        "threshold": decimal_text(row.threshold_minor, unit_scale(row.unit) or 0) if has_amount else None,  # type: ignore[arg-type]
        "expires_hours": row.expires_hours,
        "is_on": row.is_on,
        "seen_version": str(row.version),
    }
