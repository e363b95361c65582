"""Adaptive checkout: the rules that decide now, and each rule with its form (S0:141-145)."""

from collections.abc import Sequence
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_admin import expose
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import BooleanField, Form, HiddenField, StringField
from wtforms.validators import Length

from payadmin.actions import checkout
from payadmin.db import db
from payadmin.kernel.checkout import DEFAULT, Pair
from payadmin.kernel.checkout_files import NAME_LENGTH, read_rule
from payadmin.kernel.conditions import Problem
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import Text, _
from payadmin.models.audit import AuditEvent
from payadmin.models.checkout import CheckoutRule, CheckoutRuleset, RulesetStatus
from payadmin.models.payments import Mode
from payadmin.permissions import Permission
from payadmin.queries.checkout import active_ruleset, drafts, rule_of
from payadmin.views import periods
from payadmin.views.base import PayAdminModelView
from payadmin.views.checkout.shown import Shelf, as_numbers, status_badge, version_cell
from payadmin.views.checkout.trying import panel
from payadmin.views.columns import Column
from payadmin.views.conditions import EditorRow, as_json, mark, next_place, read_rows, rows_of
from payadmin.views.fields import NumberField, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor

READ, WRITE = Permission.CHECKOUT_RULE_READ, Permission.CHECKOUT_RULE_WRITE
DRAFTS_SHOWN = 5
VERSIONS_SHOWN = 20
HISTORY_READ = 200


class RuleForm(Form):
    """What of a rule is typed; its conditions and methods are lists of rows beside it."""

    id = StringField(
        "ID",
        [Length(max=NAME_LENGTH), no_controls],
        description="Its name among the rules: letters, digits, dots, hyphens and underscores.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    priority = NumberField(
        "Priority",
        description="The lowest number comes first. Leave it empty to put the rule after all others.",
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    is_on = BooleanField("On", default=True)
    seen_version = HiddenField()


@page(menu="adaptive-checkout")
class RulesPage(PayAdminModelView):
    """The rules that decide now, and the details and the form of every rule of every version."""

    model = CheckoutRule
    slug = "adaptive-checkout"
    plural = "Checkout rules"
    singular = "Checkout rule"
    heading = "Adaptive checkout"
    create = edit = delete = WRITE
    export = None  # a version is exported whole, as its JSON
    column_list = ("name", "priority", "conditions", "methods", "is_on", "ruleset_id")
    column_filters = ()
    column_sortable = ("name", "id")
    default_sort = "id"
    details_template = "checkout/rule.html"
    detail_sections = {"Rule": ("name", "priority", "is_on", "ruleset_id", "created_at", "updated_at")}
    needs = {
        "test_view": READ,
        "condition_view": READ,
        "copy_view": WRITE,
        "switch_view": WRITE,
    }

    def _refresh_cache(self) -> None:
        as_numbers(self.columns, "ruleset_id")
        super()._refresh_cache()

    @expose("/")
    def index_view(self) -> Any:
        """The active version: its rules in their order, what is suspicious, and a place to try them."""
        ruleset = active_ruleset(db.session())
        open_drafts = drafts(db.session(), DRAFTS_SHOWN)
        if ruleset is None:
            return self.render("checkout/overview.html", ruleset=None, drafts=open_drafts, may_write=self.may("edit"))
        shelf = Shelf()
        board = shelf.board(ruleset, row_id_of(request.args.get("page", "")) or 1)
        return self.render(
            "checkout/overview.html",
            ruleset=ruleset,
            board=board,
            drafts=open_drafts,
            may_write=self.may("edit"),
            here=self.address,
            **panel(shelf, board),
        )

    @expose("/test/")
    def test_view(self) -> Any:
        """What the active rules say of the payment that is entered: a page, or the fragment below the form."""
        ruleset = active_ruleset(db.session())
        if ruleset is None:
            raise NotFound("No version of the rules is active.")
        return test_page(self, ruleset, f"{self.address}test/", self.address)

    @expose("/condition/")
    def condition_view(self) -> str:
        """One row of the editor anew, as its key and operator ask for it."""
        registry = Shelf().registry
        rows = read_rows(request.args, registry, periods.usual(Mode.LIVE).unit)
        if not rows:
            raise NotFound("There is no such row.")
        return render_template("checkout/_condition.html", row=rows[0], registry=registry)

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Switched on or off in words."""
        if column.key == "priority":
            return lambda row: _("Last") if row.priority is None else f"{row.priority:,}"
        if column.key == "ruleset_id":
            return version_cell(column)
        return super().cell(column, names)

    def details_context(self, row: CheckoutRule) -> dict[str, Any]:
        """The rule in words, what is suspicious about it, and what it said in other versions."""
        ruleset = db.session.get_one(CheckoutRuleset, row.ruleset_id)
        shelf, rule = Shelf(), rule_of(row)
        board = shelf.board(ruleset, 1)
        is_open = board.is_open and self.may("edit")
        return super().details_context(row) | {
            "rule": rule,
            "ruleset": ruleset,
            "ruleset_badge": status_badge(ruleset),
            "words": shelf.words(rule),
            "offers": shelf.offered(rule.methods),
            "findings": [each for each in board.rules.findings(shelf.known.enabled) if each.rule == rule.name],
            "past": _past(shelf, row),
            "history": _history(row),
            "is_open": is_open,
            "edit_url": f"{self.address}{row.id}/edit/" if is_open else None,
            "delete_url": f"{self.address}{row.id}/delete/" if is_open else None,
            "back": _address_of(ruleset),
        }

    # --- the form -----------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form of a new rule of the draft that the address names."""
        draft = _draft(row_id_of(request.args.get("draft", "")) or 0)
        shelf = Shelf()
        form = RuleForm(request.form if request.method == "POST" else None)
        if request.args.get("default"):
            form.id.data, form.id.raw_data = DEFAULT, None
        conditions = read_rows(request.form, shelf.registry, periods.usual(Mode.LIVE).unit)
        pairs = _pairs_of(shelf)
        if request.method == "GET":
            conditions = [] if form.id.data == DEFAULT else [EditorRow(0)]
            return self._rule_page(draft, shelf, form, conditions, pairs)
        return self._save(draft, shelf, form, conditions, pairs, row=None)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """The form of one rule of a draft; a save over somebody else's is refused, and what was typed stays."""
        row = self.get_row(row_id)
        draft, shelf = _draft(row.ruleset_id), Shelf()
        if request.method == "GET":
            rule = rule_of(row)
            data = {"id": rule.name, "priority": rule.priority, "is_on": rule.is_on, "seen_version": str(row.version)}
            conditions = rows_of(rule.conditions, shelf.registry)
            return self._rule_page(draft, shelf, RuleForm(data=data), conditions, list(rule.methods), row=row)
        form = RuleForm(request.form)
        if row.name == DEFAULT:
            form.id.data, form.id.raw_data = DEFAULT, None
        conditions = read_rows(request.form, shelf.registry, periods.usual(Mode.LIVE).unit)
        return self._save(draft, shelf, form, conditions, _pairs_of(shelf), row=row)

    def _save(
        self,
        draft: CheckoutRuleset,
        shelf: Shelf,
        form: RuleForm,
        conditions: list[EditorRow],
        pairs: list[Pair],
        *,
        row: Any,
    ) -> Any:
        if (place := request.form.get("remove-condition")) is not None:
            conditions = [each for each in conditions if str(each.place) != place]
            return self._rule_page(draft, shelf, form, conditions, pairs, row=row)
        if "add-condition" in request.form:
            conditions = [*conditions, EditorRow(next_place(conditions))]
            return self._rule_page(draft, shelf, form, conditions, pairs, row=row)
        if "again" in request.form or (pairs_asked := _moved(shelf, pairs)) is not None:
            pairs = pairs if "again" in request.form else pairs_asked or []
            return self._rule_page(draft, shelf, form, conditions, pairs, row=row)
        raw = as_json(conditions, shelf.registry)
        if not form.validate() or raw is None:
            # What is wrong elsewhere is said at once, not one mistake after the other.
            refusal = _wrong_parts(form, pairs, shelf)
            return self._rule_page(draft, shelf, form, conditions, pairs, row=row, refusal=refusal, status=422)
        draft_id, row_id = draft.id, row.id if row is not None else None
        try:
            saved = checkout.save_rule(
                current_actor(),
                draft_id,
                name=str(form.id.data or ""),
                priority=form.priority.data,
                conditions=raw,
                methods=[pair.as_json() for pair in pairs],
                is_on=bool(form.is_on.data),
                rule_id=row_id,
                version=row_id_of(form.seen_version.data or ""),
            )
        except (Invalid, Conflict) as refusal:
            db.session.rollback()
            draft = db.session.get_one(CheckoutRuleset, draft_id)
            row = self.get_row(row_id) if row_id is not None else None
            return self._rule_page(draft, shelf, form, conditions, pairs, row=row, refusal=refusal)
        flash(_("Rule “%(name)s” saved.", name=saved.name), "success")
        return redirect(f"{_address_of_id(draft_id)}#rules", 303)

    def _rule_page(
        self,
        draft: CheckoutRuleset,
        shelf: Shelf,
        form: RuleForm,
        conditions: list[EditorRow],
        pairs: Sequence[Pair],
        *,
        row: Any = None,
        refusal: Any = None,
        status: int = 200,
    ) -> Any:
        sentence, wrong_methods, wrong_conditions = None, None, None
        if refusal is not None:
            status = refusal.status
            sentence, wrong_conditions, wrong_methods = _place_refusal(form, conditions, refusal)
            if "now" in refusal.data and row is not None:
                form.seen_version.data, form.seen_version.raw_data = str(row.version), None
        known = [(pair.code, name) for pair, name in shelf.names.items() if pair in shelf.known.enabled]
        answer = self.render(
            "checkout/rule_form.html",
            form=form,
            draft=draft,
            sentence=sentence,
            changed=[],
            conditions=conditions,
            wrong_conditions=wrong_conditions,
            wrong_methods=wrong_methods,
            registry=shelf.registry,
            pairs=[(pair.code, shelf.offered([pair])[0]) for pair in pairs],
            addable=[(code, name) for code, name in known if code not in {pair.code for pair in pairs}],
            is_default=form.id.data == DEFAULT,
            title=Text("New rule") if row is None else row.name,
            row=row,
            back=_address_of(draft) if row is None else f"{self.address}{row.id}/",
        )
        return answer, status

    # --- acts on one rule ---------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/copy/", methods=("POST",))
    def copy_view(self, row_id: int) -> Response:
        """Copy a rule to the end of its draft, off."""
        row = self.get_row(row_id)
        try:
            copied = checkout.copy_rule(current_actor(), row.ruleset_id, rule_id=row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/", 303)
        flash(_("Copied as “%(name)s”, which is off.", name=copied.name), "success")
        return redirect(f"{self.address}{copied.id}/edit/", 303)

    @expose("/<int:row_id>/switch/", methods=("POST",))
    def switch_view(self, row_id: int) -> Response:
        """Switch a rule of a draft on or off."""
        row = self.get_row(row_id)
        ruleset_id, is_on = row.ruleset_id, request.form.get("on") == "1"
        try:
            checkout.switch_rule(current_actor(), ruleset_id, rule_id=row_id, is_on=is_on)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        return redirect(f"{_address_of_id(ruleset_id)}#rules", 303)

    @expose("/<int:row_id>/delete/", methods=("POST",))
    def delete_view(self, row_id: int) -> Response:
        """Remove a rule from its draft."""
        row = self.get_row(row_id)
        ruleset_id, name = row.ruleset_id, row.name
        try:
            checkout.delete_rule(current_actor(), ruleset_id, rule_id=row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/", 303)
        flash(_("Rule “%(name)s” deleted.", name=name), "success")
        return redirect(f"{_address_of_id(ruleset_id)}#rules", 303)


def test_page(view: PayAdminModelView, ruleset: CheckoutRuleset, here: str, back: str) -> Any:
    """The test panel of a version as a page of its own, or what stands below its form."""
    shelf = Shelf()
    board = shelf.board(ruleset, 1)
    tried = panel(shelf, board)
    if request.headers.get("X-Partial"):
        return render_template("checkout/_verdict.html", **tried)
    return view.render("checkout/test.html", ruleset=ruleset, here=here, back=back, board=board, **tried)


def _draft(ruleset_id: int) -> CheckoutRuleset:
    found = db.session.get(CheckoutRuleset, ruleset_id) if ruleset_id else None
    if found is None:
        raise NotFound("There is no such version of the rules.")
    if found.status is not RulesetStatus.DRAFT:
        raise Conflict(
            _(
                "Version %(number)s is %(status)s and is not changed any more. Start a draft from it.",
                number=found.id,
                status=Text(found.status.value).lower(),
            )
        )
    return found


def _address_of(ruleset: CheckoutRuleset) -> str:
    return _address_of_id(ruleset.id)


def _address_of_id(ruleset_id: int) -> str:
    return url_for("checkout_versions.details_view", row_id=ruleset_id)


def _pairs_of(shelf: Shelf) -> list[Pair]:
    """The pairs of the form in their order; what nobody knows is refused when it is saved."""
    by_code = {pair.code: pair for pair in shelf.names}
    codes = list(dict.fromkeys(request.form.getlist("method")))
    return [by_code.get(code, Pair(*(code.partition(":")[::2]))) for code in codes]


def _moved(shelf: Shelf, pairs: list[Pair]) -> list[Pair] | None:
    """The pairs after one of the list's own buttons; None when none of them was used."""
    codes = [pair.code for pair in pairs]
    asked = {name: request.form.get(name, "") for name in ("method-up", "method-down", "method-remove")}
    if "method-add" in request.form:
        added = next((pair for pair in shelf.names if pair.code == request.form.get("method-new")), None)
        return pairs if added is None or added in pairs else [*pairs, added]
    if (code := asked["method-remove"]) in codes:
        return [pair for pair in pairs if pair.code != code]
    for name, step in (("method-up", -1), ("method-down", 1)):
        if (code := asked[name]) in codes:
            old = codes.index(code)
            new = min(max(old + step, 0), len(pairs) - 1)
            rest = [pair for pair in pairs if pair.code != code]
            return [*rest[:new], pairs[old], *rest[new:]]
    return None


def _place_refusal(
    form: RuleForm, conditions: list[EditorRow], refusal: Any
) -> tuple[str | None, str | None, str | None]:
    """Put each problem where it belongs; answer what is about the whole form, the conditions and the methods."""
    problems = [Problem(tuple(each["place"]), each["sentence"]) for each in refusal.data.get("problems", ())]
    if not problems:
        return put(form, refusal), None, None
    of_conditions = [Problem(each.place[1:], each.sentence) for each in problems if each.place[:1] == ("conditions",)]
    left = mark(conditions, of_conditions)
    methods = [each.sentence for each in problems if each.place[:1] == ("methods",)]
    whole = []
    for problem in problems:
        name = str(problem.place[0]) if problem.place else ""
        if name in {"conditions", "methods"}:
            continue
        if name in form:
            form[name].errors = [problem.sentence]
        else:
            whole.append(problem.sentence)
    return (whole[0] if whole else None), (left[0] if left else None), (methods[0] if methods else None)


def _wrong_parts(form: RuleForm, pairs: Sequence[Pair], shelf: Shelf) -> Invalid | None:
    """What is wrong with the parts of a rule beside its conditions, which cannot be read yet."""
    name, priority = (form.id.data or "").strip(), form.priority.data
    # A priority that is left out is found when the rule is saved.
    raw = {"id": name, "priority": priority if priority is not None or name == DEFAULT else 1}
    _rule, found = read_rule(raw | {"methods": [pair.as_json() for pair in pairs]}, shelf.known)
    problems = [each for each in found if each.place[0] != "conditions" and not form.errors.get(str(each.place[0]))]
    if not problems:
        return None
    told = [{"place": list(each.place), "sentence": each.sentence} for each in problems]
    return Invalid(problems[0].sentence, problems=told)


def _history(row: CheckoutRule) -> list[AuditEvent]:
    """What was done to this rule in its version: the trail keeps it with the version."""
    of_version = AuditEvent.entity == CheckoutRuleset.__tablename__, AuditEvent.entity_id == str(row.ruleset_id)
    newest = select(AuditEvent).where(*of_version).order_by(AuditEvent.id.desc()).limit(HISTORY_READ)
    return [each for each in db.session.scalars(newest) if (each.keys or {}).get("rule_id") == row.name]


def _past(shelf: Shelf, row: CheckoutRule) -> list[dict[str, Any]]:
    """What the rule of this name said in the newest versions: where it changed, from which version on."""
    found = (
        select(CheckoutRule, CheckoutRuleset)
        .join(CheckoutRuleset, CheckoutRuleset.id == CheckoutRule.ruleset_id)
        .where(CheckoutRule.name == row.name)
        .order_by(CheckoutRule.id.desc())
        .limit(VERSIONS_SHOWN)
    )
    past: list[dict[str, Any]] = []
    for each, ruleset in db.session.execute(found):
        rule = rule_of(each)
        past.append(
            {
                "id": each.id,
                "version": str(ruleset),
                "badge": status_badge(ruleset),
                "at": ruleset.activated_at or ruleset.created_at,
                "words": shelf.words(rule),
                "offers": shelf.offered(rule.methods),
                "priority": rule.priority,
                "is_on": rule.is_on,
                "is_this": each.id == row.id,
            }
        )
    return past
