"""Watch rules and what they raised: written with the editor of conditions, replayed, switched on, looked at."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import flash, redirect, render_template, request
from flask_admin import expose
from sqlalchemy import and_, or_, select
from werkzeug.wrappers import Response
from wtforms import BooleanField, Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length

from payadmin.actions import risk
from payadmin.db import db, utcnow
from payadmin.kernel.conditions import Registry, words_of
from payadmin.kernel.errors import Conflict, Invalid, NotFound, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Mode, Payment
from payadmin.models.risk import (
    MOST_A_DAY,
    NAME_LENGTH,
    NOTE_LENGTH,
    BlockTarget,
    NoteStatus,
    TrialStatus,
    WatchDay,
    WatchNote,
    WatchRule,
    WatchStatus,
    WatchVersion,
)
from payadmin.permissions import Permission
from payadmin.queries.approvals import pending_about
from payadmin.queries.risk import block_in_force, known_of
from payadmin.queries.risk.watching import (
    conditions_of,
    latest_trial,
    set_aside,
    states_of,
    versions_of,
    watch_registry,
)
from payadmin.views import lists, periods, ui
from payadmin.views.base import HISTORY_LENGTH, PayAdminModelView
from payadmin.views.columns import Column, Kind, enum_cell, money_text, zone
from payadmin.views.conditions import EditorRow, as_json, mark, next_place, read_rows, rows_of
from payadmin.views.fields import NumberField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.risk.shown import address_of, known_words
from payadmin.views.security import current_actor

WRITE = Permission.FRAUD_WATCH_WRITE
USUAL_DAYS = 30
MOST_ASIDE = 200
NOTE_TONES = {NoteStatus.OPEN: "warn", NoteStatus.HARMLESS: "plain", NoteStatus.ACTED: "bad"}


class RuleForm(Form):
    """What of a rule is typed; its conditions are a list of rows beside it."""

    name = StringField("Name", [InputRequired("This is needed."), Length(max=NAME_LENGTH), no_controls, no_cards])
    most_a_day = NumberField(
        "Notes a day at most",
        [InputRequired("This is needed.")],
        default=100,
        description="Beyond that it only counts, and you are told once a day.",
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    blocks = BooleanField(
        "Block the payment too",
        description="It is then neither refunded nor voided. Switching that on takes a second person.",
    )
    seen_version = HiddenField()


class ReasonForm(Form):
    """Why a rule is switched on or off."""

    reason = StringField("Reason", [InputRequired("Say why."), Length(max=NOTE_LENGTH), no_controls, no_cards])


class DecideForm(Form):
    """What a note came to."""

    status = SelectField("What it came to", [InputRequired("Choose one.")])
    words = StringField("In words", [InputRequired("Say why."), Length(max=NOTE_LENGTH), no_controls, no_cards])

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Offer both outcomes; nothing becomes open again."""
        self.status.choices = [(each.name, Text(each.value)) for each in (NoteStatus.HARMLESS, NoteStatus.ACTED)]
        super().process(*args, **kwargs)


@page(menu="watch-rules")
class WatchRulesPage(PayAdminModelView):
    """Every rule, on or off."""

    model = WatchRule
    slug = "watch-rules"
    heading = "Watch rules"
    plural = "Watch rules"
    singular = "Watch rule"
    subtitle = "They are asked about every live payment after it was made, and raise a note."
    create = WRITE
    edit = WRITE
    delete = None
    export = None
    column_list = ("name", "state", "today", "created_at")
    column_filters = ("created_at",)
    column_sortable = ("name", "created_at")
    default_sort = "name"
    phone = {"name": "m1", "state": "m2", "today": "m3"}
    list_template = "risk/watch_rules.html"
    details_template = "risk/watch_rule.html"
    detail_sections = {}
    needs = {
        "aside_view": WRITE,
        "again_view": WRITE,
        "leave_view": WRITE,
        "condition_view": WRITE,
        "try_view": WRITE,
        "on_view": WRITE,
        "off_view": WRITE,
        "discard_view": WRITE,
    }

    def _refresh_cache(self) -> None:
        fixed = {"readonly": True}
        self.columns["state"] = Column("state", _("State"), Kind.TEXT, WatchRule.id, fixed)
        self.columns["today"] = Column("today", _("Raised today"), Kind.NUMBER, WatchRule.id, fixed)
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also whether rules are on, and what they raised today: a question each for all of them."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        keys, ids = {column.key for column in shown}, [row.id for row in rows]
        if "state" in keys:
            names["state"] = states_of(db.session(), ids)
        if "today" in keys:
            days = select(WatchDay.rule_id, WatchDay.raised, WatchDay.beyond)
            found = days.where(WatchDay.rule_id.in_(ids), WatchDay.day == lists.today().isoformat())
            names["today"] = {row.rule_id: (row.raised, row.beyond) for row in db.session.execute(found)}
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """States as badges; what was only counted in brackets."""
        if column.key == "state":
            return lambda row: _state(names.get(row.id, set()))
        if column.key == "today":
            return lambda row: _today(*names.get(row.id, (0, 0)))
        return super().cell(column, names)

    def history_of(self, row: WatchRule) -> Sequence[AuditEvent]:
        """What the trail says about the rule and its versions: most acts are about one of these."""
        versions = [str(each.id) for each in versions_of(db.session(), row.id)]
        of_rule = and_(AuditEvent.entity == "watch_rule", AuditEvent.entity_id == str(row.id))
        of_versions = and_(AuditEvent.entity == "watch_version", AuditEvent.entity_id.in_(versions))
        wanted = select(AuditEvent).where(or_(of_rule, of_versions)).order_by(AuditEvent.id.desc())
        return db.session.scalars(wanted.limit(HISTORY_LENGTH)).all()

    def details_context(self, row: WatchRule) -> dict[str, Any]:
        """The version that watches, the draft with its replay, and what was before."""
        session, registry = db.session(), watch_registry(db.session())
        versions = versions_of(session, row.id)
        active = next((each for each in versions if each.status is WatchStatus.ACTIVE), None)
        draft = next((each for each in versions if each.status is WatchStatus.DRAFT), None)
        trial = latest_trial(session, draft.id) if draft is not None else None
        fits = trial is not None and draft is not None and trial.as_of == draft.version
        shown = super().details_context(row)
        return shown | {
            "sections": [],
            "active": _version(active, registry),
            "draft": _version(draft, registry),
            "past": [_version(each, registry) for each in versions if each.status is WatchStatus.ARCHIVED][:10],
            "trial": trial if fits else None,
            "is_stale": trial is not None and not fits,
            "found": _found(trial.found) if trial is not None and fits else [],
            "is_ready": fits and trial is not None and trial.status is TrialStatus.DONE,
            "is_running": fits and trial is not None and trial.status is TrialStatus.RUNNING,
            "waiting": pending_about(session, "watch_version", draft.id) if draft is not None else [],
            "days": USUAL_DAYS,
            "state": _state({each.status for each in versions}),
        }

    # --- what could not be watched ------------------------------------------------------------------------------------

    @expose("/not-watched/")
    def aside_view(self) -> Any:
        """Payments about which no rule could be asked, each with what went wrong."""
        lines = [
            {
                "id": item.id,
                "title": payment.transaction_id,
                "url": address_of(BlockTarget.PAYMENT, payment.id),
                "at": item.failed_at,
                "error": item.error,
            }
            for item, payment in set_aside(db.session(), MOST_ASIDE)
        ]
        title, back = say(Text("Not watched")), self.list_address()
        return self.render("risk/not_watched.html", title=title, lines=lines, back=back)

    @expose("/not-watched/<int:row_id>/again/", methods=("POST",))
    def again_view(self, row_id: int) -> Response:
        """Have the rules asked again."""
        risk.watch_again(current_actor(), row_id)
        flash("Done.", "success")
        return redirect(f"{self.address}not-watched/", 303)

    @expose("/not-watched/<int:row_id>/leave/", methods=("GET", "POST"))
    def leave_view(self, row_id: int) -> Any:
        """Leave a payment out, with a reason."""
        form = ReasonForm(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        back = f"{self.address}not-watched/"
        if request.method == "POST" and form.validate():
            try:
                risk.leave_unwatched(current_actor(), row_id, reason=str(form.reason.data))
            except Invalid as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Done.", "success")
                return redirect(back, 303)
        shown = {"fields": list(form), "back": back, "sentence": sentence, "changed": []}
        hint = _("No rule is asked about this payment. It stands in the trail.")
        title, verb = say(Text("Leave out")), Text("Leave out")
        return self.render("wallets/reason.html", form=form, title=title, hint=hint, verb=verb, **shown), status

    # --- writing ------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Write a new rule."""
        return self._edit(None)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Write the next version of a rule, or its draft again."""
        return self._edit(self.get_row(row_id))

    @expose("/condition/")
    def condition_view(self) -> str:
        """One row of the editor anew, as its key and operator ask for it."""
        registry = watch_registry(db.session())
        rows = read_rows(request.args, registry, periods.usual(Mode.LIVE).unit)
        if not rows:
            raise NotFound("There is no such row.")
        return render_template("checkout/_condition.html", row=rows[0], registry=registry)

    def _edit(self, rule: WatchRule | None) -> Any:
        session = db.session()
        registry = watch_registry(session)
        versions = versions_of(session, rule.id) if rule is not None else []
        draft = next((each for each in versions if each.status is WatchStatus.DRAFT), None)
        base = draft or next((each for each in versions if each.status is WatchStatus.ACTIVE), None)
        if request.method == "GET":
            data: dict[str, Any] = {"name": rule.name if rule is not None else ""}
            conditions = [EditorRow(0)]
            if base is not None:
                data |= {"most_a_day": base.most_a_day, "blocks": base.blocks}
                conditions = rows_of(conditions_of(base), registry)
            data["seen_version"] = str(draft.version) if draft is not None else ""
            return self._form(rule, RuleForm(data=data), conditions, registry)
        form = RuleForm(request.form)
        conditions = read_rows(request.form, registry, periods.usual(Mode.LIVE).unit)
        if (place := request.form.get("remove-condition")) is not None:
            return self._form(rule, form, [each for each in conditions if str(each.place) != place], registry)
        if "add-condition" in request.form:
            return self._form(rule, form, [*conditions, EditorRow(next_place(conditions))], registry)
        if "again" in request.form:
            return self._form(rule, form, conditions, registry)
        raw = as_json(conditions, registry)
        if not form.validate() or raw is None:
            return self._form(rule, form, conditions, registry, status=422)
        try:
            rule_id = risk.save_watch(
                current_actor(),
                name=str(form.name.data),
                conditions=raw,
                most_a_day=int(form.most_a_day.data or 0),
                blocks=bool(form.blocks.data),
                rule_id=rule.id if rule is not None else None,
                version=row_id_of(form.seen_version.data or ""),
            )
        except (Invalid, Conflict) as refusal:
            db.session.rollback()
            rule = self.get_row(rule.id) if rule is not None else None
            return self._form(rule, form, conditions, registry, refusal=refusal, status=refusal.status)
        flash("The draft is saved. Replay it before you switch it on.", "success")
        return redirect(f"{self.address}{rule_id}/", 303)

    def _form(
        self,
        rule: WatchRule | None,
        form: RuleForm,
        conditions: list[EditorRow],
        registry: Registry,
        *,
        refusal: Refusal | None = None,
        status: int = 200,
    ) -> Any:
        sentence: str | None = None
        wrong: str | None = None
        if refusal is not None and refusal.field == "conditions":
            left = mark(conditions, refusal.data.get("problems", ()))
            wrong = left[0] if left else None if refusal.data.get("problems") else refusal.sentence
        elif refusal is not None:
            sentence = put(form, refusal)
        answer = self.render(
            "risk/watch_form.html",
            form=form,
            conditions=conditions,
            registry=registry,
            wrong_conditions=wrong,
            most=MOST_A_DAY,
            sentence=sentence,
            changed=[],
            title=say(Text("New watch rule")) if rule is None else rule.name,
            back=self.list_address() if rule is None else f"{self.address}{rule.id}/",
        )
        return answer, status

    # --- trying and switching -----------------------------------------------------------------------------------------

    @expose("/<int:row_id>/try/", methods=("POST",))
    def try_view(self, row_id: int) -> Response:
        """Replay the payments of the last days by the draft."""
        draft = self._draft_id(row_id)
        try:
            days = row_id_of(request.form.get("days", "")) or 0
            risk.start_trial(current_actor(), draft, days=days, zone=zone())
        except (Invalid, Conflict) as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The replay runs. It touches nothing.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    @expose("/<int:row_id>/on/", methods=("GET", "POST"))
    def on_view(self, row_id: int) -> Any:
        """Switch the draft on; one that blocks waits for a second person."""
        draft = db.session.get_one(WatchVersion, self._draft_id(row_id))
        act = risk.switch_on_blocking_watch if draft.blocks else risk.switch_on_watch
        draft_id = draft.id
        hint = (
            _("It raises notes and blocks payments from now on, when a second person has approved that.")
            if draft.blocks
            else _("It raises notes about live payments from now on. It blocks nothing.")
        )
        return self._reasoned(
            row_id, lambda reason: act(current_actor(), draft_id, reason=reason), Text("Switch on"), hint
        )

    @expose("/<int:row_id>/off/", methods=("GET", "POST"))
    def off_view(self, row_id: int) -> Any:
        """Switch a rule off."""
        hint = _("It raises nothing from now on. What it raised and blocked stays.")
        return self._reasoned(
            row_id,
            lambda reason: risk.switch_off_watch(current_actor(), row_id, reason=reason),
            Text("Switch off"),
            hint,
        )

    @expose("/<int:row_id>/discard/", methods=("POST",))
    def discard_view(self, row_id: int) -> Response:
        """Put the draft away."""
        try:
            risk.discard_watch(current_actor(), self._draft_id(row_id))
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        return redirect(f"{self.address}{row_id}/", 303)

    def _draft_id(self, row_id: int) -> int:
        self.get_row(row_id)
        wanted = select(WatchVersion.id).where(WatchVersion.rule_id == row_id, WatchVersion.status == WatchStatus.DRAFT)
        found = db.session.scalar(wanted)
        if found is None:
            raise NotFound("This rule has no draft.")
        return found

    def _reasoned(self, row_id: int, act: Any, verb: str, hint: str) -> Any:
        row = self.get_row(row_id)
        name = row.name
        form = ReasonForm(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                act(str(form.reason.data))
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Done.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        shown = {"fields": list(form), "back": f"{self.address}{row_id}/", "sentence": sentence, "changed": []}
        title = say(_("%(verb)s: %(name)s", verb=say(verb), name=name))
        return self.render("wallets/reason.html", form=form, title=title, hint=hint, verb=verb, **shown), status


@page(menu="watch-notes")
class WatchNotesPage(PayAdminModelView):
    """What rules raised: one line for each rule and payment."""

    model = WatchNote
    slug = "watch-notes"
    heading = "Watch notes"
    plural = "Watch notes"
    singular = "Watch note"
    subtitle = "Payments that a watch rule raised. Look at each, and say what it came to."
    create = None
    edit = None
    export = None
    column_list = ("id", "created_at", "rule", "payment", "customer", "amount", "status")
    column_filters = ("rule", "status", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "status"
    phone = {"payment": "m1", "amount": "m2", "rule": "m3", "status": "m4"}
    details_template = "risk/watch_note.html"
    detail_sections = {
        "Note": ("rule", "payment", "customer", "amount", "status", "created_at"),
        "Decision": ("decided_at", "decided_by", "words"),
    }
    needs = {"decide_view": WRITE}

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """What is still to be looked at stands out."""
        if column.key == "status":
            return lambda row: ui.badge(row.status.value, NOTE_TONES[row.status])
        return super().cell(column, names)

    def details_context(self, row: WatchNote) -> dict[str, Any]:
        """What the rule saw, and what is known of the customer."""
        session, registry = db.session(), watch_registry(db.session())
        version = session.get_one(WatchVersion, row.version_id)
        known = known_of(session, customer_id=row.customer_id)
        block = block_in_force(session, BlockTarget.PAYMENT, row.payment_id, utcnow())
        return (
            super().details_context(row)
            | known_words(known)
            | {
                "related": [],
                "words": [say(words_of(each, registry)) for each in conditions_of(version)],
                "seen": _seen(row, registry),
                "block": block,
                "is_open": row.status is NoteStatus.OPEN,
                "block_url": f"/blocks/set/?target=PAYMENT&row={row.payment_id}"
                if block is None and current_actor().may(Permission.FRAUD_BLOCK_WRITE)
                else None,
            }
        )

    @expose("/<int:row_id>/decide/", methods=("GET", "POST"))
    def decide_view(self, row_id: int) -> Any:
        """Say what a note came to."""
        self.get_row(row_id)
        form = DecideForm(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                risk.decide_note(
                    current_actor(), row_id, status=NoteStatus[str(form.status.data)], words=str(form.words.data)
                )
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Done.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        shown = {"fields": list(form), "back": f"{self.address}{row_id}/", "sentence": sentence, "changed": []}
        title = say(_("Note no. %(number)s", number=row_id))
        hint = _("It stands beside the note for good.")
        return self.render("wallets/reason.html", form=form, title=title, hint=hint, verb=Text("Save"), **shown), status


def _state(states: set[WatchStatus]) -> Any:
    if WatchStatus.ACTIVE in states:
        return ui.badge("On", "ok")
    return ui.badge("Draft", "info") if WatchStatus.DRAFT in states else ui.badge("Off", "plain")


def _today(raised: int, beyond: int) -> str:
    if not beyond:
        return str(raised)
    return say(_("%(raised)s, and %(beyond)s only counted", raised=raised, beyond=beyond))


def _version(version: WatchVersion | None, registry: Registry) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "row": version,
        "number": version.number,
        "words": [say(words_of(each, registry)) for each in conditions_of(version)],
        "most_a_day": version.most_a_day,
        "blocks": version.blocks,
        "badge": enum_cell(version.status),
    }


def _found(payment_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Payments that a replay would have raised, with what they were."""
    shown = list(payment_ids)[:10]
    rows = db.session.scalars(select(Payment).where(Payment.id.in_(shown)).order_by(Payment.created_at.desc()))
    return [
        {
            "title": row.transaction_id,
            "url": address_of(BlockTarget.PAYMENT, row.id),
            "at": row.created_at,
            "amount": money_text(row.amount_minor, row.unit),
            "state": enum_cell(row.status),
        }
        for row in rows
    ]


def _seen(row: WatchNote, registry: Registry) -> list[tuple[str, str]]:
    """The facts that the rule was told, as people read them."""
    found = []
    for name, value in row.facts.items():
        key = registry.keys.get(name)
        if key is None:
            continue
        if isinstance(value, list):
            words = money_text(int(value[0]), str(value[1]))
        else:
            words = say(key.choices.get(str(value), str(value))) if value != "None" else say(_("not known"))
        found.append((say(key.label), words))
    return found
