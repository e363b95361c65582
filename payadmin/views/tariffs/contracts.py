"""Contracts: their versions, what a transaction would cost and why, and which organizations have them (S3:63)."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Final

from flask import flash, jsonify, redirect, render_template, request
from flask_admin import expose
from werkzeug.wrappers import Response

from payadmin.actions import tariffs
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid, NotFound, Refusal
from payadmin.kernel.money import parse_minor
from payadmin.kernel.tariffs import MOST_TERMS, Difference, Term, commission, differences, percent_text, told
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Organization
from payadmin.models.tariffs import NAME_LENGTH, Contract, ContractStatus, ContractVersion
from payadmin.permissions import Permission
from payadmin.queries.tariffs import count_users, in_force, terms_of, users_of, versions_of
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, Kind, money_text, unit_scale
from payadmin.views.fields import put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import business_users, found_organizations, organization_form
from payadmin.views.tariffs.terms import ContractForm, RenameForm, VersionForm

READ, PROPOSE = Permission.CONTRACTS_REQUEST_READ, Permission.CONTRACTS_CONTRACT_PROPOSE
USERS_SHOWN: Final = 50
VERSIONS_SHOWN: Final = 50
NOTHING: Final = "–"
# What a table of terms has, in this order: the field and its heading.
LINES: Final = (
    ("rate_ppm", "Percentage"),
    ("fixed_minor", "Fixed"),
    ("min_minor", "Minimum"),
    ("max_minor", "Maximum"),
    ("charged_to", "Paid by"),
    ("spread_ppm", "Spread"),
    ("limit_single_minor", "Limit of one"),
    ("limit_day_minor", "Limit of a day"),
    ("limit_month_minor", "Limit of a month"),
    ("returns_commission", "Returned with refunds"),
)


@page(menu="contracts")
class ContractsPage(PayAdminModelView):
    """Who pays what for which transaction, and how much may be moved."""

    model = Contract
    slug = "contracts"
    plural = "Contracts"
    singular = "Contract"
    subtitle = "Commissions and limits of business users for each kind of transaction, in versions."
    create = edit = PROPOSE
    export = None
    column_list = ("code", "name", "status", "last_number", "users", "created_at")
    column_filters = ("status", "created_at")
    column_sortable = ("code", "name", "created_at")
    default_sort = "code"
    tabs = "status"
    phone = {"code": "m1", "status": "m2", "name": "m3", "users": "m4"}
    find_by = ("code", "name")
    list_template = "tariffs/contracts.html"
    details_template = "tariffs/contract.html"
    detail_sections = {"Contract": ("code", "name", "status", "last_number", "created_at", "updated_at")}
    needs = {
        "version_view": PROPOSE,
        "withdraw_view": PROPOSE,
        "status_view": PROPOSE,
        "assign_view": PROPOSE,
        "remove_view": PROPOSE,
        "organizations_view": PROPOSE,
        "preview_view": READ,
        "compare_view": READ,
    }

    def _refresh_cache(self) -> None:
        # A column that is counted, not kept.
        self.columns["users"] = Column("users", _("Organizations"), Kind.NUMBER, Contract.id, {"readonly": True})
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Also how many organizations have each contract: one statement for all rows."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        if any(column.key == "users" for column in shown):
            found = count_users(db.session(), Organization.contract_id, [row.id for row in rows])
            names["users"] = {key: f"{number:,}" for key, number in found.items()}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """How many organizations there are, as a number."""
        if column.key == "users":
            return lambda row: names.get(row.id, "0")
        return super().cell(column, names)

    # --- one contract -------------------------------------------------------------------------------------------------

    def details_context(self, row: Contract) -> dict[str, Any]:
        """Its versions, what the one in force says, what that costs, and who has it."""
        session, now = db.session(), utcnow()
        versions = list(versions_of(session, row.id))
        current = in_force(session, row.id, now)
        shown = self._version_shown(versions, current)
        terms = [each.term for each in terms_of(session, [shown.id])[shown.id]] if shown is not None else []
        users = users_of(session, Organization.contract_id, row.id, USERS_SHOWN + 1)
        return super().details_context(row) | {
            "related": [],
            "versions": [(each, _state(each, current, now)) for each in versions[:VERSIONS_SHOWN]],
            "before_of": {each.number: _before(versions, each) for each in versions},
            "shown": shown,
            "shown_state": _state(shown, current, now) if shown is not None else None,
            "heads": [say(_heading(head)) for _name, head in LINES],
            "table": [_cells(term) for term in terms],
            "kinds": [(each.transaction_type.name, each.unit, _about(each)) for each in terms],
            "costs": _asked_costs(terms),
            "users": users[:USERS_SHOWN],
            "has_more": len(users) > USERS_SHOWN,
            "may_propose": self.may("edit"),
            "is_open": row.status is ContractStatus.ACTIVE,
            "proposes": _proposes(),
            "now": now,
        }

    def _version_shown(
        self, versions: Sequence[ContractVersion], current: ContractVersion | None
    ) -> ContractVersion | None:
        wanted = row_id_of(request.args.get("version", "") or "0")
        named = next((each for each in versions if each.number == wanted), None)
        coming = next((each for each in versions if each.withdrawn_at is None), None)
        return named or current or coming

    @expose("/<int:row_id>/preview/")
    def preview_view(self, row_id: int) -> str:
        """What an amount would cost, and why: the fragment that the page shows while somebody types."""
        row = self.get_row(row_id)
        versions = list(versions_of(db.session(), row.id))
        shown = self._version_shown(versions, in_force(db.session(), row.id, utcnow()))
        found = terms_of(db.session(), [shown.id])[shown.id] if shown is not None else []
        return render_template("tariffs/_costs.html", costs=_asked_costs([each.term for each in found]))

    @expose("/<int:row_id>/compare/")
    def compare_view(self, row_id: int) -> str:
        """Two versions side by side."""
        row = self.get_row(row_id)
        versions = list(versions_of(db.session(), row.id))
        left, right = self._version(versions, "a"), self._version(versions, "b")
        found = terms_of(db.session(), [left.id, right.id])
        lines = differences(*([each.term for each in found[version.id]] for version in (left, right)))
        shown: str = self.render(
            "tariffs/compare.html",
            row=row,
            left=left,
            right=right,
            versions=versions,
            lines=[_compared(each) for each in lines],
            title=_("Versions %(left)s and %(right)s", left=left.number, right=right.number),
            back=f"{self.address}{row.id}/",
        )
        return shown

    def _version(self, versions: Sequence[ContractVersion], name: str) -> ContractVersion:
        number = row_id_of(request.args.get(name, ""))
        found = next((each for each in versions if each.number == number), None)
        if found is None:
            raise NotFound("This contract has no such version.")
        return found

    # --- forms --------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """A new contract with its first version."""
        form = ContractForm(request.form if request.method == "POST" else None)

        def save() -> int:
            return int(
                tariffs.open_contract(
                    current_actor(),
                    code=str(form.code.data),
                    name=str(form.name.data),
                    terms=form.all_terms(),
                    valid_from=form.valid_from.moment,
                    note=form.note.data or None,
                )
            )

        return self._terms_page(form, save, Text("New contract"), self.address)

    @expose("/<int:row_id>/version/", methods=("GET", "POST"))
    def version_view(self, row_id: int) -> Any:
        """The next version, which begins as a copy of the one in force, or of the latest while none is."""
        row = self.get_row(row_id)
        if request.method == "POST":
            form = VersionForm(request.form)
        else:
            now = in_force(db.session(), row_id, utcnow())
            copied_of = now or next((each for each in versions_of(db.session(), row_id) if not each.withdrawn_at), None)
            terms = terms_of(db.session(), [copied_of.id])[copied_of.id] if copied_of is not None else []
            copied = [{each.name: getattr(term.term, each.name) for each in fields(Term)} for term in terms]
            form = VersionForm(data={"terms": copied, "seen_version": str(row.version)})

        def save() -> int:
            tariffs.add_version(
                current_actor(),
                row_id,
                terms=form.all_terms(),
                version=row_id_of(form.seen_version.data or "") or 0,
                valid_from=form.valid_from.moment,
                note=form.note.data or None,
            )
            return row_id

        title = _("New version of %(code)s", code=row.code)
        return self._terms_page(form, save, title, f"{self.address}{row_id}/")

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Its name; everything else is in versions."""
        row = self.get_row(row_id)
        shown = {"name": row.name, "seen_version": str(row.version)}
        form = RenameForm(request.form) if request.method == "POST" else RenameForm(data=shown)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            seen = row_id_of(form.seen_version.data or "") or 0
            try:
                tariffs.rename_contract(current_actor(), row_id, name=str(form.name.data), version=seen)
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
                if "now" in refusal.data:
                    form.seen_version.data, form.seen_version.raw_data = str(refusal.data["now"]), None
            else:
                flash("Saved.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        back = f"{self.address}{row_id}/"
        shown_page = self.render(
            "tariffs/rename.html", form=form, title=row.code, back=back, sentence=sentence, changed=[],
            proposes=_proposes(),
        )  # fmt: skip
        return shown_page, status

    @expose("/<int:row_id>/withdraw/<int:number>/", methods=("POST",))
    def withdraw_view(self, row_id: int, number: int) -> Response:
        """Take back a version that has not begun."""

        def act(seen: int) -> None:
            tariffs.withdraw_version(current_actor(), row_id, number=number, version=seen)

        return self._done(row_id, act, _("Version %(number)s is withdrawn.", number=number))

    @expose("/<int:row_id>/status/<any(close,open):act>/", methods=("POST",))
    def status_view(self, row_id: int, act: str) -> Response:
        """Close it, or open it again."""

        def change(seen: int) -> None:
            tariffs.set_contract_status(current_actor(), row_id, is_open=act == "open", version=seen)

        return self._done(row_id, change, Text("Open again.") if act == "open" else Text("Closed."))

    @expose("/<int:row_id>/organizations/new/", methods=("GET", "POST"))
    def assign_view(self, row_id: int) -> Any:
        """Give an organization this contract."""
        row = self.get_row(row_id)
        form = organization_form(self.endpoint)(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                tariffs.assign_contract(current_actor(), form["organization"].data, contract_id=row_id)
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("The organization has this contract now.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        shown = {"fields": list(form), "back": f"{self.address}{row_id}/", "sentence": sentence, "changed": []}
        title = _("Give an organization contract %(code)s", code=row.code)
        return self.render("tariffs/assign.html", form=form, title=title, **shown), status

    @expose("/<int:row_id>/organizations/<int:organization_id>/remove/", methods=("POST",))
    def remove_view(self, row_id: int, organization_id: int) -> Response:
        """Take the contract from an organization."""
        self.get_row(row_id)
        try:
            tariffs.assign_contract(current_actor(), organization_id, contract_id=None, instead_of=row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The organization has no contract now.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/organizations/")
    def organizations_view(self) -> Response:
        """What the picker offers for what was typed."""
        typed = request.args.get("q", "").strip()
        usable = typed and len(typed) <= NAME_LENGTH and typed.isprintable()
        return jsonify(found_organizations(typed, business_users()) if usable else [])

    def _done(self, row_id: int, act: Any, sentence: str) -> Response:
        self.get_row(row_id)
        try:
            act(row_id_of(request.form.get("version", "")) or 0)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash(sentence, "success")
        return redirect(f"{self.address}{row_id}/", 303)

    def _terms_page(self, form: VersionForm, save: Any, title: str, back: str) -> Any:
        sentence: str | None = None
        status = 200
        if request.method == "POST" and "more" in request.form:
            if len(form.terms) < MOST_TERMS:  # the form itself breaks beyond
                form.terms.append_entry()
        elif request.method == "POST":
            status = 422
            if form.validate():
                try:
                    contract_id = save()
                except (Invalid, Conflict) as refusal:
                    status, sentence = refusal.status, self._put(form, refusal)
                else:
                    flash("Saved.", "success")
                    return redirect(f"{self.address}{contract_id}/", 303)
        shown = {"form": form, "title": title, "back": back, "sentence": sentence, "changed": []}
        return self.render("tariffs/version_form.html", proposes=_proposes(), **shown), status

    def _put(self, form: VersionForm, refusal: Refusal) -> str | None:
        if "now" in refusal.data:
            form.seen_version.data, form.seen_version.raw_data = str(refusal.data["now"]), None
        return form.put(refusal)


def _proposes() -> bool:
    """Whether the person signed in proposes only, and the CFO decides."""
    return not current_actor().may(Permission.CONTRACTS_CONTRACT_WRITE)


def _state(version: ContractVersion, current: ContractVersion | None, now: Any) -> tuple[str, str]:
    """What a version is now: a word and its tone."""
    if version.withdrawn_at is not None:
        return "Withdrawn", "bad"
    if current is not None and version.id == current.id:
        return "In force", "ok"
    return ("Not yet in force", "info") if version.valid_from > now else ("Past", "plain")


def _before(versions: Sequence[ContractVersion], version: ContractVersion) -> int | None:
    """The version that one is usually compared with: the one written before it."""
    return next((each.number for each in versions if each.number < version.number), None)


def _about(term: Term) -> str:
    return say(_("%(kind)s in %(unit)s", kind=Text(term.transaction_type.value), unit=term.unit))


def _heading(head: str) -> Text:
    return Text(head)


def _shown(term: Term, name: str) -> str:
    value = getattr(term, name)
    if name.endswith("_ppm"):
        return percent_text(value)
    if name.endswith("_minor"):
        return money_text(value, term.unit) if value is not None else NOTHING
    if isinstance(value, bool):
        return say(Text("Yes" if value else "No"))
    return say(Text(value.value))


def _cells(term: Term) -> tuple[str, list[str]]:
    return _about(term), [_shown(term, name) for name, _head in LINES]


def _compared(each: Difference) -> dict[str, Any]:
    """One term of two versions, line by line."""
    word, tone = "Changed", "warn"
    if each.before is None:
        word, tone = "Added", "ok"
    elif each.after is None:
        word, tone = "Left out", "bad"
    elif not each.changed:
        word, tone = "The same", "plain"
    lines = [
        (
            say(_heading(head)),
            _shown(each.before, name) if each.before is not None else NOTHING,
            _shown(each.after, name) if each.after is not None else NOTHING,
            name in each.changed,
        )
        for name, head in LINES
    ]
    return {"about": _about(each.term), "word": word, "tone": tone, "lines": lines}


def _asked_costs(terms: Sequence[Term]) -> dict[str, Any] | None:
    """What the address asks for: an amount, by one of these terms."""
    kind, _sep, unit = request.args.get("term", "").partition(":")
    term = next((each for each in terms if (each.transaction_type.name, each.unit) == (kind, unit)), None)
    return _costs(term, request.args.get("amount", ""))


def _costs(term: Term | None, typed: str) -> dict[str, Any] | None:
    """What an amount costs by a term, step by step; None while nothing is typed."""
    if not typed.strip():
        return None
    if term is None:
        return {"problem": Text("Choose what is moved, and in which currency."), "steps": [], "commission": None}
    scale = unit_scale(term.unit) or 0
    try:
        minor = parse_minor(typed, scale)
    except Invalid as refusal:
        return {"problem": refusal.sentence, "steps": [], "commission": None}
    found = commission(term, minor)
    over = term.limit_single_minor is not None and minor > term.limit_single_minor
    steps = told(term, found, scale)
    if term.spread_ppm:
        steps.append(_("Of what is bought, %(percent)s is kept as the spread.", percent=percent_text(term.spread_ppm)))
    return {
        "problem": None,
        "steps": [say(step) for step in steps],
        "commission": money_text(found.minor, term.unit),
        "over": money_text(term.limit_single_minor, term.unit) if over and term.limit_single_minor else None,
    }
