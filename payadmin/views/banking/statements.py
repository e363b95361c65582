"""Bank statements: every line that the bank showed, what it settled, and what a person makes of the others."""

from typing import Any

from flask import flash, redirect, request, url_for
from flask_admin import expose
from wtforms import Form, HiddenField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length

from payadmin.actions import banking
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.iso20022 import MAX_BYTES, reason_words
from payadmin.kernel.text import Text, _
from payadmin.models.banking import BankLine, LineStatus, MessageKind, PaymentFileLine
from payadmin.queries.banking import candidates, latest_messages
from payadmin.views.banking.shown import request_url
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import enum_cell, money_text
from payadmin.views.fields import SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor

DECIDE = banking.DECIDE_LINES
TOO_LARGE = _("The file is too large: at most %(most)s MB are read.", most=MAX_BYTES // 2**20)


class MatchForm(Form):
    """Which payment it is, and how that is known."""

    payment = SelectField("Payment", [InputRequired("Choose one.")])
    reason = StringField(
        "How you know", [InputRequired("Say why."), Length(max=200), no_controls, no_cards],
        render_kw={"autocomplete": "off"},
    )  # fmt: skip
    seen_version = HiddenField()


class IgnoreForm(Form):
    """Why it has nothing to do with redeem requests."""

    reason = StringField(
        "Why it is not ours", [InputRequired("Say why."), Length(max=200), no_controls, no_cards],
        id="ignore-reason", render_kw={"autocomplete": "off"},
    )  # fmt: skip
    seen_version = HiddenField(id="ignore-version")


@page(menu="bank-statements")
class BankStatementsPage(PayAdminModelView):
    """Every line of our statements, the latest first."""

    model = BankLine
    slug = "bank-statements"
    heading = "Bank statements"
    plural = "Lines of statements"
    singular = "Line of a statement"
    subtitle = "What the bank booked on our account. What matches a payment settles it; the rest waits for a person."
    create = edit = export = None
    column_list = ("booked_on", "reference", "amount", "is_credit", "status", "mismatch", "statement_id", "number")
    column_filters = ("status", "is_credit", "booked_on", "amount", "reference", "statement_id", "created_at")
    column_sortable = ("created_at", "booked_on", "amount")
    default_sort = "-created_at"
    tabs = "status"
    phone = {"reference": "m1", "amount": "m2", "booked_on": "m3", "status": "m4"}
    list_template = "banking/lines.html"
    details_template = "banking/line.html"
    detail_sections = {
        "Line": (
            "statement_id", "number", "account", "booked_on", "value_date", "amount", "is_credit", "reference",
            "bank_reference", "party", "code",
        ),
        "What became of it": ("status", "mismatch", "problem", "decided_by", "decided_at", "note"),
    }  # fmt: skip
    needs = {"upload_view": DECIDE, "match_view": DECIDE, "ignore_view": DECIDE}

    def render(self, template: str, **kwargs: Any) -> str:
        """The list offers the upload to whoever may decide."""
        return str(super().render(template, may_decide=current_actor().may(DECIDE), **kwargs))

    def describe(self, row: BankLine) -> str:
        """A line by its place."""
        return str(row)

    def details_context(self, row: BankLine) -> dict[str, Any]:
        """What it settled, or what it could be."""
        return super().details_context(row) | self._about(row, MatchForm(), IgnoreForm())

    def _about(self, row: BankLine, match: MatchForm, ignore: IgnoreForm) -> dict[str, Any]:
        session = db.session()
        is_open = row.status is LineStatus.UNMATCHED and current_actor().may(DECIDE)
        found = candidates(session, row) if is_open else []
        match.payment.choices = [SelectChoice(value="", label=_("Choose one"))] + [
            SelectChoice(value=str(each.id), label=_described(each)) for each in found
        ]
        match.seen_version.data = ignore.seen_version.data = str(row.version)
        settled = session.get(PaymentFileLine, row.payment_line_id) if row.payment_line_id else None
        return {
            "related": [],
            "is_open": is_open,
            "has_candidates": bool(found),
            "match": match,
            "ignore": ignore,
            "match_url": f"{self.address}{row.id}/match/",
            "ignore_url": f"{self.address}{row.id}/ignore/",
            "settled": settled,
            "file_url": url_for("payment_files.details_view", row_id=settled.file_id) if settled else None,
            "request_url": request_url(settled.redeem_request_id) if settled else None,
            "reason": say(reason_words(row.code)) if row.code else None,
            "why": say(row.mismatch.value) if row.mismatch else None,
            "problem_words": row.problem,
            "sentence": None,
        }

    @expose("/<int:row_id>/match/", methods=("POST",))
    def match_view(self, row_id: int) -> Any:
        """Say which payment it is."""
        form = MatchForm(request.form)
        row = self.get_row(row_id)
        seen, sentence, status = row_id_of(form.seen_version.data or "") or 0, None, 422
        self._about(row, form, IgnoreForm())
        if form.validate():
            try:
                banking.match_line(
                    current_actor(), row_id, payment_line_id=row_id_of(form.payment.data or "") or 0,
                    note=str(form.reason.data), version=seen,
                )  # fmt: skip
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Matched, and booked.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        return self._shown_again(row_id, form, IgnoreForm(), sentence), status

    @expose("/<int:row_id>/ignore/", methods=("POST",))
    def ignore_view(self, row_id: int) -> Any:
        """Say that it is not ours."""
        form = IgnoreForm(request.form)
        self.get_row(row_id)
        seen, sentence, status = row_id_of(form.seen_version.data or "") or 0, None, 422
        if form.validate():
            try:
                banking.ignore_line(current_actor(), row_id, reason=str(form.reason.data), version=seen)
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Marked as not ours.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        return self._shown_again(row_id, MatchForm(), form, sentence), status

    def _shown_again(self, row_id: int, match: MatchForm, ignore: IgnoreForm, sentence: str | None) -> str:
        row = self.get_row(row_id)
        context = super().details_context(row) | self._about(row, match, ignore)
        return self.render(self.details_template, **(context | {"sentence": sentence}))

    @expose("/upload/", methods=("GET", "POST"))
    def upload_view(self) -> Any:
        """A status report or a statement that the bank gave to a person."""
        status = 200
        problem: str | None = None
        if request.method == "POST":
            status = 422
            file = request.files.get("file")
            content = file.read(MAX_BYTES + 1) if file is not None and file.filename else b""
            if not content:
                problem = Text("Choose a file.")
            elif len(content) > MAX_BYTES:
                problem = TOO_LARGE
            else:
                try:
                    message, is_new = banking.receive_message(current_actor(), content)
                except (Invalid, Conflict) as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, refusal.sentence
                else:
                    return self._taken(message, is_new=is_new)
        shown = {
            "messages": [(each, enum_cell(each.kind)) for each in latest_messages(db.session())],
            "problem": problem,
            "max_bytes": MAX_BYTES,
            "account": current_settings().bank_iban,
            "back": self.address,
        }
        return self.render("banking/upload.html", **shown), status

    def _taken(self, message: Any, *, is_new: bool) -> Any:
        if not is_new:
            flash("This file was here before. Nothing has changed.", "info")
        elif message.problem:
            flash(message.problem, "warning")
        else:
            flash("Read. What it says is being booked.", "success")
        if message.kind is MessageKind.STATUS_REPORT and message.file_id:
            return redirect(url_for("payment_files.details_view", row_id=message.file_id), 303)
        return redirect(self.address, 303)


def _described(each: PaymentFileLine) -> str:
    return f"{each.redeem_request} · {each.end_to_end_id} · {money_text(each.amount_minor, each.unit)}"
