"""Payment files: what waits for the bank, one file of it, its release by a second person, and its way out by hand."""

from collections.abc import Callable
from typing import Any

from flask import Response, flash, redirect, request, url_for
from flask_admin import expose
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from payadmin import step_up
from payadmin.actions import banking
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.iso20022 import reason_words
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.banking import FileStatus, PaymentFile
from payadmin.queries.banking import MOST_PAYMENTS, lines_of, messages_of, waiting, waiting_requests
from payadmin.queries.redeem import why_not
from payadmin.views.banking.shown import request_url
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import enum_cell, money_text
from payadmin.views.fields import no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor

MAKE, RELEASE = banking.MAKE, banking.RELEASE
# What each state means, and what there is to do.
NEXT: dict[FileStatus, str] = {
    FileStatus.DRAFT: _("Nothing has left. Somebody other than its maker looks at it and releases it."),
    FileStatus.RELEASED: _("It may leave now, and is on its way to the bank."),
    FileStatus.UNKNOWN: _(
        "It was sent and no answer came. The bank is being asked, and takes a file with this name only once. Do not pay"
        " these requests in any other way."
    ),
    FileStatus.SENT: _("The bank has it and has not said yet what it thinks of it."),
    FileStatus.ACCEPTED: _("The bank pays. Each payment is settled when a statement shows it."),
    FileStatus.PARTLY_ACCEPTED: _(
        "The bank rejected some payments, each with its reason. Their requests failed: approve them again, or cancel"
        " them."
    ),
    FileStatus.REJECTED: _("The bank pays nothing of it. Its requests failed: approve them again, or cancel them."),
    FileStatus.DISCARDED: _("It was taken back before it left. Its requests wait for another file."),
}
BY_HAND = _("There is no connection to a bank: download the file, give it to the bank, then say so here.")
GIVEN = _("It was downloaded. Once the bank has it, say so here.")


class MakeForm(Form):
    """One form makes one file, of what was seen."""

    unit = HiddenField()
    key = HiddenField()
    seen_count = HiddenField()
    seen_total = HiddenField()


class CodeForm(Form):
    """A fresh code for what leaves."""

    seen_version = HiddenField()
    offer = HiddenField()
    code = StringField()


class ReasonForm(CodeForm):
    """The same with a reason for the trail."""

    reason = TextAreaField(
        "What the bank said",
        [InputRequired("Say why."), Length(max=200, message="Keep it within 200 characters."), no_controls],
        description="Kept in the audit trail.",
        render_kw={"rows": 2},
    )


@page(menu="payment-files")
class PaymentFilesPage(PayAdminModelView):
    """Every payment file, the latest first, and what waits for the next."""

    model = PaymentFile
    slug = "payment-files"
    plural = "Payment files"
    singular = "Payment file"
    subtitle = "Approved redeem requests on their way to the bank: one person makes a file, another releases it."
    create = edit = export = None
    column_list = ("message_id", "created_at", "payments", "amount", "status", "made_by", "released_by")
    column_filters = ("status", "amount", "made_by", "released_by", "created_at")
    column_sortable = ("created_at", "amount")
    default_sort = "-created_at"
    tabs = "status"
    phone = {"message_id": "m1", "amount": "m2", "created_at": "m3", "status": "m4"}
    find_by = ("message_id",)
    list_template = "banking/files.html"
    details_template = "banking/file.html"
    detail_sections = {
        "Payment file": ("message_id", "payments", "amount", "status", "payer_account", "execute_on", "sha256"),
        "Who and when": ("made_by", "created_at", "released_by", "released_at", "sent_at", "attempts", "by_hand"),
    }
    needs = {
        "make_view": MAKE,
        "discard_view": MAKE,
        "release_view": RELEASE,
        "download_view": RELEASE,
        "hand_over_view": RELEASE,
        "give_up_view": RELEASE,
    }

    def render(self, template: str, **kwargs: Any) -> str:
        """The list says what waits for the bank, to whoever may make a file of it."""
        may_make = current_actor().may(MAKE)
        kwargs.setdefault("waiting", _waiting() if may_make and template == self.list_template else [])
        return str(
            super().render(template, may_make=may_make, has_account=bool(current_settings().bank_iban), **kwargs)
        )

    def details_context(self, row: PaymentFile) -> dict[str, Any]:
        """Its payments, what the bank said, and what this person can do."""
        actor, session = current_actor(), db.session()
        lines = lines_of(session, row.id)
        is_out_by_hand = row.by_hand or (row.status is FileStatus.RELEASED and not current_settings().bank_url)
        words = say(NEXT[row.status])
        if row.status is FileStatus.RELEASED and is_out_by_hand:
            words = say(GIVEN if row.by_hand else BY_HAND)
        may_release = actor.may(RELEASE)
        return super().details_context(row) | {
            "related": [],
            "words": words,
            "tone": {"REJECTED": "bad", "PARTLY_ACCEPTED": "warn", "UNKNOWN": "warn", "DRAFT": "warn"}.get(
                row.status.name, "info"
            ),
            "reason": say(reason_words(row.reason_code)) if row.reason_code else None,
            "lines": [
                {
                    "reference": line.end_to_end_id,
                    "request": str(line.redeem_request),
                    "request_url": request_url(line.redeem_request_id),
                    "to": line.redeem_request.account_shown,
                    "amount": money_text(line.amount_minor, line.unit),
                    "status": enum_cell(line.status),
                    "reason": say(reason_words(line.reason_code)) if line.reason_code else None,
                    "code": line.reason_code,
                }
                for line in lines
            ],
            "messages": messages_of(session, row.id),
            "may_discard": actor.may(MAKE) and row.status is FileStatus.DRAFT,
            "may_release": may_release and row.status is FileStatus.DRAFT and row.made_by_id != actor.staff_id,
            "is_own": row.status is FileStatus.DRAFT and row.made_by_id == actor.staff_id,
            "may_download": may_release and is_out_by_hand and row.released_at is not None,
            "may_hand_over": may_release and row.status is FileStatus.RELEASED and is_out_by_hand,
            # The page stays as it is while the browser downloads: it speaks of the file as it is after that.
            "after_download": row.version if row.by_hand else row.version + 1,
            "may_give_up": may_release
            and row.released_by_id != actor.staff_id
            and banking.why_not_given_up(row, lines) is None,
        }

    # --- making -------------------------------------------------------------------------------------------------------

    @expose("/make/", methods=("GET", "POST"))
    def make_view(self) -> Any:
        """What a file of one currency would hold, and on a confirmed post the file."""
        form = MakeForm(request.form if request.method == "POST" else request.args)
        unit, status, problem = str(form.unit.data or "")[:12], 200, None
        if request.method == "POST":
            try:
                file = banking.make_file(
                    current_actor(), unit=unit, key=form.key.data or "",
                    seen=(row_id_of(form.seen_count.data or "") or 0, row_id_of(form.seen_total.data or "") or 0),
                )  # fmt: skip
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, problem = refusal.status, refusal.sentence
            else:
                flash("The file is made. Somebody else has to release it before it leaves.", "success")
                return redirect(f"{self.address}{file.id}/", 303)
        session = db.session()
        found = waiting_requests(session, unit)
        reasons = {each.id: why_not(session, each.wallet) for each in found}
        taken = [each for each in found if reasons[each.id] is None]
        total = sum(each.amount_minor for each in taken)
        shown = {
            "taken": [_request(each) for each in taken],
            "left": [_request(each) | {"why": say(str(reasons[each.id]))} for each in found if reasons[each.id]],
            "unit": unit,
            "count": len(taken),
            "total_minor": total,
            "total": money_text(total, unit) if taken else None,
            "is_full": len(found) == MOST_PAYMENTS,
            "key": form.key.data or banking.new_key(),
            "account": current_settings().bank_iban,
            "back": self.address,
            "problem": problem,
        }
        return self.render("banking/make.html", **shown), status

    @expose("/<int:row_id>/discard/", methods=("POST",))
    def discard_view(self, row_id: int) -> Any:
        """Take a draft back."""
        return self._done(row_id, banking.discard_file, _("Discarded. Its requests wait for another file."))

    # --- letting it leave ---------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/release/", methods=("GET", "POST"))
    def release_view(self, row_id: int) -> Any:
        """How many payments and how much leave, and a code."""
        form = CodeForm(request.form if request.method == "POST" else None)

        def act() -> None:
            banking.release_file(current_actor(), row_id, **_confirmed(form))

        return self._with_code(row_id, form, act, "banking/release.html", banking.RELEASE_ACT, Text("Released."))

    @expose("/<int:row_id>/give-up/", methods=("GET", "POST"))
    def give_up_view(self, row_id: int) -> Any:
        """Say that the bank pays nothing of it."""
        form = ReasonForm(request.form if request.method == "POST" else None)

        def act() -> None:
            banking.give_up_file(current_actor(), row_id, reason=str(form.reason.data), **_confirmed(form))

        return self._with_code(
            row_id, form, act, "banking/give_up.html", banking.GIVE_UP_ACT, Text("Its requests failed.")
        )

    @expose("/<int:row_id>/download/", methods=("POST",))
    def download_view(self, row_id: int) -> Any:
        """The file itself, for whoever gives it to the bank by hand."""
        self.get_row(row_id)
        try:
            name, content = banking.download_file(current_actor(), row_id)
        except Conflict as refusal:
            db.session.rollback()
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/", 303)
        answer = Response(content, content_type="application/xml; charset=utf-8")
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @expose("/<int:row_id>/hand-over/", methods=("POST",))
    def hand_over_view(self, row_id: int) -> Any:
        """Say that the bank has it."""
        return self._done(row_id, banking.hand_over_file, _("Noted: the bank has the file."))

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _done(self, row_id: int, act: Callable[..., Any], said: str) -> Any:
        self.get_row(row_id)
        try:
            act(current_actor(), row_id, version=row_id_of(request.form.get("version", "")) or 0)
        except Conflict as refusal:
            db.session.rollback()
            flash(refusal.sentence, "error")
        else:
            flash(said, "success")
        return redirect(f"{self.address}{row_id}/", 303)

    def _with_code(self, row_id: int, form: Any, act: Callable[[], None], template: str, name: str, said: str) -> Any:
        row = self.get_row(row_id)
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    act()
                except (Invalid, Conflict, Forbidden) as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    flash(said, "success")
                    return redirect(f"{self.address}{row_id}/", 303)
            row = self.get_row(row_id)
        form.seen_version.data = str(row.version)
        form.offer.data = step_up.offer(current_actor(), name, banking.release_facts(row))
        shown = {
            "row": row,
            "form": form,
            "problem": problem,
            "total": money_text(row.amount_minor, row.unit),
            "made_by": db.session.get_one(StaffUser, row.made_by_id).username,
            "is_draft": row.status is FileStatus.DRAFT,
            "by_hand": not current_settings().bank_url,
            "back": f"{self.address}{row_id}/",
        }
        return self.render(template, **shown), status


def _confirmed(form: Any) -> dict[str, Any]:
    return {
        "version": row_id_of(form.seen_version.data or "") or 0,
        "offer": form.offer.data or "",
        "code": (form.code.data or "").strip(),
    }


def _request(each: Any) -> dict[str, Any]:
    return {
        "request": str(each),
        "request_url": request_url(each.id),
        "to": each.account_shown,
        "amount": money_text(each.amount_minor, each.unit),
    }


def _waiting() -> list[dict[str, Any]]:
    return [
        {
            "unit": each.unit,
            "count": each.count,
            "total": money_text(each.amount_minor, each.unit),
            "url": url_for("payment_files.make_view", unit=each.unit),
        }
        for each in waiting(db.session())
    ]
