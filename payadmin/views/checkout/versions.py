"""Versions of the checkout rules: drafts being written, differences, activation, files in and out."""

from typing import Any

from flask import Response, flash, redirect, request, url_for
from flask_admin import expose
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.validators import Length

from payadmin.actions import checkout
from payadmin.actions.checkout.versions import NOTE_LENGTH
from payadmin.db import db
from payadmin.kernel.checkout import MOST_RULES, differences
from payadmin.kernel.checkout_files import MOST_BYTES, rules_text
from payadmin.kernel.errors import Conflict, Invalid, NotFound, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.checkout import CheckoutRuleset, RulesetStatus
from payadmin.queries.checkout import active_id, rule_counts, rules_of
from payadmin.views.base import PayAdminModelView
from payadmin.views.checkout.replays import DaysForm, latest_of, start_page
from payadmin.views.checkout.rules import READ, WRITE, test_page
from payadmin.views.checkout.shown import Shelf, as_numbers, status_badge, version_cell
from payadmin.views.checkout.trying import panel
from payadmin.views.columns import Column, Kind
from payadmin.views.fields import no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor

DIFFERENCES_SHOWN = 200
# A longer file is not shown again to be corrected in the form: a browser could not send it back as a text.
LONGEST_ECHO = 100_000


class NoteForm(Form):
    """What a draft is for."""

    note = StringField(
        "What it is for",
        [
            Length(max=NOTE_LENGTH, message=_("Say it in at most %(most)s characters.", most=NOTE_LENGTH)),
            no_controls,
            no_cards,
        ],
        render_kw={"autocomplete": "off"},
    )


class ImportForm(NoteForm):
    """A file of rules, or its text."""

    text = TextAreaField("Or paste the JSON", render_kw={"rows": 12, "spellcheck": "false", "class": "input mono"})


class ActivateForm(Form):
    """The confirmation: what was looked at, and why."""

    reason = StringField(
        "Reason",
        [
            Length(max=NOTE_LENGTH, message=_("Say it in at most %(most)s characters.", most=NOTE_LENGTH)),
            no_controls,
            no_cards,
        ],
        description="Kept in the audit trail.",
        render_kw={"autocomplete": "off"},
    )
    version = HiddenField()
    replaces = HiddenField()


@page(menu="")
class RulesetsPage(PayAdminModelView):
    """Every version there was, is and may be."""

    model = CheckoutRuleset
    slug = "checkout-versions"
    plural = "Versions"
    singular = "Version"
    heading = "Versions of the checkout rules"
    subtitle = "One version is active and decides. What was active before is kept as it was, and can be copied."
    read = READ
    create = edit = delete = export = None
    column_list = ("id", "status", "note", "rules", "author", "created_at", "activated_at", "activated_by")
    column_filters = ("status", "author", "created_at")
    column_sortable = ("created_at", "id")
    default_sort = "-id"
    labels = {"id": "Version"}
    phone = {"id": "m1", "status": "m2", "note": "m3", "created_at": "m4"}
    tabs = "status"
    list_also = ("status",)
    list_template = "checkout/versions.html"
    details_template = "checkout/version.html"
    detail_sections = {
        "Version": (
            "status", "note", "based_on_id", "author", "created_at", "activated_at", "activated_by", "archived_at",
            "digest",
        ),
    }  # fmt: skip
    needs = {
        "start_view": WRITE,
        "import_view": WRITE,
        "note_view": WRITE,
        "discard_view": WRITE,
        "move_view": WRITE,
        "activate_view": WRITE,
        "differences_view": READ,
        "test_view": READ,
        "download_view": READ,
        "replay_view": READ,
    }

    def _refresh_cache(self) -> None:
        as_numbers(self.columns, "based_on_id")
        # A column that is counted, not kept.
        self.columns["rules"] = Column("rules", "Rules", Kind.NUMBER, CheckoutRuleset.id, {"readonly": True})
        super()._refresh_cache()

    def names_for(self, shown: Any, rows: Any) -> dict[str, dict[Any, str]]:
        """Also how many rules each version has: one statement for all rows."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        if any(column.key == "rules" for column in shown):
            counted = rule_counts(db.session(), [row.id for row in rows])
            names["rules"] = {key: f"{number:,}" for key, number in counted.items()}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """The number as people call it, the status, the count."""
        match column.key:
            case "id":
                return lambda row: _("Version %(number)s", number=row.id)
            case "rules":
                return lambda row: names.get(row.id, "0")
            case "status":
                return status_badge
            case "based_on_id":
                return version_cell(column)
        return super().cell(column, names)

    def describe(self, row: Any) -> str:
        """Version and number."""
        return _("Version %(number)s", number=row.id)

    def may_write(self) -> bool:
        """Whether the person signed in may write rules."""
        return current_actor().may(WRITE)

    def details_context(self, row: CheckoutRuleset) -> dict[str, Any]:
        """The rules of the version, the test panel, and what can be done with it."""
        shelf = Shelf()
        board = shelf.board(row, row_id_of(request.args.get("page", "")) or 1)
        own = super().details_context(row)
        return own | {
            "related": [],
            "board": board,
            "may_write": self.may_write(),
            "ruleset": row,
            "ruleset_badge": status_badge(row),
            "here": f"{self.address}{row.id}/",
            "note_form": NoteForm(data={"note": row.note}),
            "days_form": DaysForm(data={"days": 30}),
            "replays": latest_of(row.id),
            **panel(shelf, board),
        }

    # --- beginning ----------------------------------------------------------------------------------------------------

    @expose("/start/", methods=("POST",))
    def start_view(self) -> Any:
        """Begin a draft as a copy of a version, or an empty one."""
        base = row_id_of(request.form.get("base", ""))
        try:
            draft = checkout.start_draft(current_actor(), base_id=base)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(self.address, 303)
        flash(_("This draft changes nothing until it is activated."), "success")
        return redirect(f"{self.address}{draft.id}/", 303)

    @expose("/import/", methods=("GET", "POST"))
    def import_view(self) -> Any:
        """A file of rules as a draft; with every mistake at its place when there is one, and the text as it was."""
        form = ImportForm(request.form if request.method == "POST" else None)
        status, problems, sentence = 200, [], None
        if request.method == "POST":
            status = 422
            text = self._uploaded() or form.text.data or ""
            form.text.data, form.text.raw_data = text if len(text) <= LONGEST_ECHO else "", None
            if not text.strip():
                form.text.errors = [_("Choose a file, or paste its text.")]
            elif form.validate():
                try:
                    draft = checkout.import_draft(current_actor(), text=text, note=form.note.data)
                except Refusal as refusal:
                    db.session.rollback()
                    status, problems = refusal.status, refusal.data.get("problems", [])
                    sentence = refusal.sentence if problems else put(form, refusal)
                else:
                    flash(_("Imported as a draft. It changes nothing until it is activated."), "success")
                    return redirect(f"{self.address}{draft.id}/", 303)
        answer = self.render(
            "checkout/import.html",
            form=form,
            problems=problems,
            sentence=sentence,
            most_rules=MOST_RULES,
            title=Text("Import rules"),
            changed=[],
            back=self.address,
        )
        return answer, status

    def _uploaded(self) -> str:
        file = request.files.get("file")
        if file is None or not file.filename:
            return ""
        data = file.read(MOST_BYTES + 1)
        return data.decode("utf-8-sig", errors="replace")

    # --- writing ------------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/note/", methods=("POST",))
    def note_view(self, row_id: int) -> Any:
        """Say what a draft is for."""
        self.get_row(row_id)
        form = NoteForm(request.form)
        if not form.validate():
            flash(form.note.errors[0], "error")
            return redirect(f"{self.address}{row_id}/", 303)
        try:
            checkout.rename_draft(current_actor(), row_id, note=form.note.data)
        except (Invalid, Conflict) as refusal:
            flash(refusal.sentence, "error")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/<int:row_id>/move/", methods=("POST",))
    def move_view(self, row_id: int) -> Any:
        """Give a rule another place: by its buttons, or where it was dropped."""
        self.get_row(row_id)
        place, _colon, rule = request.form.get("to", "").partition(":")
        page_shown = row_id_of(request.form.get("page", "")) or 1
        try:
            checkout.move_rule(
                current_actor(),
                row_id,
                rule_id=row_id_of(rule) or 0,
                place=row_id_of(place) or 1,
                version=row_id_of(request.form.get("version", "")) or 0,
            )
        except (Invalid, Conflict, NotFound) as refusal:
            flash(refusal.sentence, "error")
        shown = f"?page={page_shown}" if page_shown > 1 else ""
        return redirect(f"{self.address}{row_id}/{shown}#rules", 303)

    @expose("/<int:row_id>/discard/", methods=("POST",))
    def discard_view(self, row_id: int) -> Any:
        """Give up a draft."""
        self.get_row(row_id)
        try:
            checkout.discard_draft(current_actor(), row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/", 303)
        flash(_("The draft is archived. It never decided anything, and can still be copied."), "success")
        return redirect(self.address, 303)

    # --- looking ------------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/differences/")
    def differences_view(self, row_id: int) -> Any:
        """What this version has otherwise than another one: the active one, unless the address names it."""
        row = self.get_row(row_id)
        asked = row_id_of(request.args.get("with", ""))
        other = self.get_row(asked) if asked else self._other_than(row)
        return self.render(
            "checkout/differences.html",
            row=row,
            other=other,
            title=Text("Differences"),
            back=f"{self.address}{row_id}/",
            **self._compared(row, other),
        )

    def _other_than(self, row: CheckoutRuleset) -> CheckoutRuleset | None:
        found = active_id(db.session())
        if found == row.id:
            found = row.based_on_id
        return db.session.get(CheckoutRuleset, found) if found is not None else None

    def _compared(self, row: CheckoutRuleset, other: CheckoutRuleset | None) -> dict[str, Any]:
        shelf = Shelf()
        found = differences(rules_of(db.session(), other.id if other else None), rules_of(db.session(), row.id))
        return {
            "differences": [shelf.change(each) for each in found[:DIFFERENCES_SHOWN]],
            "more": max(len(found) - DIFFERENCES_SHOWN, 0),
            "count": len(found),
            "choices": self._choices(row),
        }

    def _choices(self, row: CheckoutRuleset) -> list[tuple[int, str]]:
        newest = self.get_query().where(CheckoutRuleset.id != row.id).order_by(CheckoutRuleset.id.desc()).limit(50)
        return [(each.id, f"{self.describe(each)} · {each.status.value}") for each in db.session.scalars(newest)]

    @expose("/<int:row_id>/test/")
    def test_view(self, row_id: int) -> Any:
        """What this version says of the payment that is entered."""
        address = f"{self.address}{row_id}/"
        return test_page(self, self.get_row(row_id), f"{address}test/", address)

    @expose("/<int:row_id>/rules.json")
    def download_view(self, row_id: int) -> Response:
        """The version as a file, to keep, to compare, or to import elsewhere."""
        row = self.get_row(row_id)
        text = rules_text(rules_of(db.session(), row.id), version=row.id, note=row.note)
        answer = Response(text, content_type="application/json; charset=utf-8")
        answer.headers["Content-Disposition"] = f'attachment; filename="checkout-rules-{row.id}.json"'
        return answer

    @expose("/<int:row_id>/replay/", methods=("POST",))
    def replay_view(self, row_id: int) -> Any:
        """Have the payments of the last days decided again."""
        return start_page(self.get_row(row_id), f"{self.address}{row_id}/")

    # --- activating ---------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/activate/", methods=("GET", "POST"))
    def activate_view(self, row_id: int) -> Any:
        """What activating would change, and on a post doing it."""
        row = self.get_row(row_id)
        form = ActivateForm(request.form if request.method == "POST" else None)
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    checkout.activate_ruleset(
                        current_actor(),
                        row_id,
                        version=row_id_of(form.version.data or "") or 0,
                        replaces_id=row_id_of(form.replaces.data or ""),
                        reason=(form.reason.data or "").strip() or None,
                    )
                except (Invalid, Conflict) as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    flash(_("Version %(number)s decides from now on.", number=row_id), "success")
                    return redirect(url_for("adaptive_checkout.index_view"), 303)
            row = self.get_row(row_id)
        other = db.session.get(CheckoutRuleset, found) if (found := active_id(db.session())) is not None else None
        form.version.data, form.version.raw_data = str(row.version), None
        form.replaces.data, form.replaces.raw_data = str(other.id) if other is not None else "", None
        board = Shelf().board(row, 1)
        answer = self.render(
            "checkout/activate.html",
            row=row,
            other=other,
            form=form,
            problem=problem,
            board=board,
            findings=board.rules.findings(board.known.enabled)[:DIFFERENCES_SHOWN],
            replays=latest_of(row_id)[:1],
            is_draft=row.status is RulesetStatus.DRAFT,
            title=Text("Activate"),
            back=f"{self.address}{row_id}/",
            **self._compared(row, other),
        )
        return answer, status
