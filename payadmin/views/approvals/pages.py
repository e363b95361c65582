"""The inbox of approvals: what waits for whom, one request in full, and its decision."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, flash, g, redirect, request
from flask_admin import expose
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from payadmin import step_up
from payadmin.actions import approvals
from payadmin.approvals import KINDS
from payadmin.db import db
from payadmin.kernel.errors import Conflict, NotFound, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.payments import Payment, Refund, VoidRequest
from payadmin.models.system import ActionRun
from payadmin.permissions import GRANTS, Permission
from payadmin.queries.approvals import count_to_decide, person_of, seen_by
from payadmin.views import lists, shell
from payadmin.views.approvals.filters import MINE, TO_DECIDE, KindFilter, QueueFilter
from payadmin.views.approvals.words import differences_of, effects_of, terms_of
from payadmin.views.base import PayAdminModelView
from payadmin.views.bulk import RowAction, bulk_action
from payadmin.views.columns import PAGE_OF, Column, Kind, enum_cell, money_text
from payadmin.views.fields import no_controls, put
from payadmin.views.filters import Filter
from payadmin.views.language import say
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.requests import request_url
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from sqlalchemy import Select

READ = Permission.APPROVALS_REQUEST_READ
MENU_MOST = 99
KEPT = "payadmin.approvals.counts"
MOST_KEPT = 500
S = ApprovalStatus
DECISIONS = {
    "approve": {"title": _("Approve"), "verb": _("Approve and do it"), "danger": False},
    "reject": {"title": _("Reject"), "verb": _("Reject"), "danger": True},
    "cancel": {"title": _("Cancel"), "verb": _("Cancel the request"), "danger": True},
}


class WordsForm(Form):
    """The words that go with an approval; nobody has to say why they agree."""

    reason = TextAreaField(
        "Note",
        [Length(max=approvals.REASON_LENGTH, message="Keep it within 500 characters."), no_controls],
        description="Kept in the audit trail. Not needed to approve.",
        render_kw={"rows": 2},
    )


class DecisionForm(WordsForm):
    """An approval on its own page, with the checker's code."""

    offer = HiddenField()
    code = StringField()


class NoForm(Form):
    """Why not: whoever rejects or cancels says it (MC5)."""

    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why."),
            Length(max=approvals.REASON_LENGTH, message="Keep it within 500 characters."),
            no_controls,
        ],
        description="Whoever asked reads it; it stays in the audit trail.",
        render_kw={"rows": 3},
    )


def _why_not(row: Any) -> str | None:
    """Why the person signed in cannot approve or reject a request."""
    maker = db.session.get(StaffUser, row.maker_id)
    return approvals.why_not_decide(current_actor(), me(), row, maker.person if maker is not None else None)


def me() -> int:
    """Which human being is signed in; asked once a request, however many rows want to know."""
    kept: tuple[int | None, int] | None = g.get("approvals_person")
    staff_id = current_actor().staff_id
    if kept is None or kept[0] != staff_id:
        kept = g.approvals_person = staff_id, person_of(db.session(), current_actor())
    return kept[1]


@page(menu="approvals")
class ApprovalsPage(PayAdminModelView):
    """What waits for a second person, and what became of everything that ever did."""

    model = ApprovalRequest
    notes = True
    slug = "approvals"
    heading = "Approvals inbox"
    plural = "Requests"
    singular = "Request"
    subtitle = "What one person asked for and another decides. Nothing here is done before it is approved."
    read = READ
    export = None
    column_list = ("title", "kind", "amount", "status", "maker_name", "created_at", "expires_at")
    column_filters = ("status", "maker_name", "amount", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    labels = {"created_at": "Asked"}
    tabs = (
        Tab("To decide", {"queue": (TO_DECIDE,)}),
        Tab("Mine, waiting", {"queue": (MINE,)}),
        Tab("Approved", {"status": ("APPLIED",)}),
        Tab("Rejected", {"status": ("REJECTED",)}),
        Tab("Out of date or failed", {"status": ("STALE", "FAILED")}),
        Tab("Cancelled or expired", {"status": ("CANCELLED", "EXPIRED")}),
    )
    phone = {"title": "m1", "amount": "m2", "status": "m3", "created_at": "m4"}
    list_also = ("status", "kind", "maker_id", "maker_person_id", "decided_by")
    list_template = "approvals/list.html"
    details_template = "approvals/details.html"
    detail_sections = {
        "On record": ("id", "use_case", "payload_hash", "target_table", "target_version", "created_at", "expires_at"),
    }
    needs = {"decide_view": READ}

    approve = bulk_action(
        "approve",
        "Approve…",
        permission=READ,
        icon="shield-check",
        form=WordsForm,
        eligible=_why_not,
        amount=lambda row: (row.amount_minor, row.unit) if row.unit else None,
        step_up=True,
    )(approvals.approve_in_run)

    def get_query(self) -> "Select[Any]":
        """One's own requests, and those of the kinds that one decides."""
        return seen_by(current_actor(), me())

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        queue = Column("queue", Text("Queue"), Kind.TEXT, ApprovalRequest.maker_person_id, {"readonly": True})
        yield "queue", QueueFilter(queue)
        yield "kind", KindFilter(self.columns["kind"])
        yield from super()._filters_of(table)

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """A kind by its label."""
        if column.key == "kind":
            return lambda row: say(kind_label(row.kind))
        return super().cell(column, names)

    def offers(self) -> Callable[[Any], dict[str, str] | None]:
        """What a row's menu shows greyed: what this person cannot decide."""
        actor, person = current_actor(), me()

        def off(row: Any) -> dict[str, str] | None:
            why = approvals.why_not_decide(actor, person, row)
            return {"approve": why} if why else None

        return off

    # --- deciding -----------------------------------------------------------------------------------------------------

    def _draft(self, action: RowAction, token: str, selection: Any, listed: str) -> ActionRun:
        kinds = db.session.scalars(selection.with_only_columns(ApprovalRequest.kind).distinct().limit(2)).all()
        if len(kinds) > 1:
            raise Conflict("Choose requests of one kind: each kind is decided by itself. Filter the list by its kind.")
        return super()._draft(action, token, selection, listed)

    @expose("/<int:row_id>/action/<action>/", methods=("GET", "POST"))
    def one_view(self, row_id: int, action: str) -> Any:
        """One request is decided at once, on its own page."""
        return self.decide_view(row_id, self.action_named(action).name)

    @expose("/<int:row_id>/decide/<any(approve,reject,cancel):decision>/", methods=("GET", "POST"))
    def decide_view(self, row_id: int, decision: str) -> Any:
        """Approve with a fresh code, or say no with a reason."""
        row = self.get_row(row_id)
        why_not = self._why_not_cancel(row) if decision == "cancel" else _why_not(row)
        given = request.form if request.method == "POST" else None
        form = DecisionForm(given) if decision == "approve" else NoForm(given)
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    decided = _decide(row_id, decision, form)
                except NotFound:
                    raise
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                    why_not = None
                else:
                    flash(decided.sentence, "success" if decided.status is not S.FAILED else "error")
                    return redirect(f"{self.address}{row_id}/", 303)
        row = self.get_row(row_id)
        if isinstance(form, DecisionForm):
            form.offer.data = step_up.offer(current_actor(), approvals.ACT, approvals.confirmed_facts(row))
        page = self.render(
            "approvals/decide.html",
            row=row,
            form=form,
            decision=decision,
            words=DECISIONS[decision],
            why_not=why_not if request.method == "GET" else None,
            problem=problem,
            terms=terms_of(row),
            is_invited=is_invited(row),
            back=f"{self.address}{row_id}/",
            title=f"{say(DECISIONS[decision]['title'])}: {row.title}",
        )
        return page, status

    def _why_not_cancel(self, row: ApprovalRequest) -> str | None:
        if not is_maker(row):
            return "Only whoever asked can cancel it."
        return approvals.why_over(row)

    # --- details ------------------------------------------------------------------------------------------------------

    def details_context(self, row: ApprovalRequest) -> dict[str, Any]:
        """What is asked for, by whom and why, what it does, and what can be done about it now."""
        mine = is_maker(row)
        return super().details_context(row) | {
            "related": [],
            "kind": kind_label(row.kind),
            "state": enum_cell,
            "money": money_text(row.amount_minor, row.unit) if row.amount_minor is not None and row.unit else None,
            "effects": effects_of(row),
            "terms": terms_of(row),
            "differences": differences_of(row),
            "target": target_of(row),
            "is_mine": mine,
            "why_not": _why_not(row),
            "is_waiting": row.status is S.PENDING,
            "deciders": deciders(row.kind),
            "is_invited": is_invited(row),
        }


def kind_label(kind: str) -> str:
    """What pages call a kind of request."""
    return Text(KINDS[kind].label) if kind in KINDS else kind


def deciders(kind: str) -> str:
    """The roles that decide requests of a kind, in words."""
    permission = KINDS[kind].permission if kind in KINDS else None
    roles = sorted(say(role.value) for role, granted in GRANTS.items() if permission in granted)
    return say(_(" or ")).join(roles) or say(_("nobody"))


def is_maker(row: ApprovalRequest) -> bool:
    """Whether the person signed in asked for this, with whichever of their accounts."""
    maker = db.session.get(StaffUser, row.maker_id)
    return me() in {row.maker_person_id, maker.person if maker is not None else 0}


def is_invited(row: ApprovalRequest) -> bool:
    """Whether the person signed in made the account that asks: no bar to deciding, but a thing to think about (T6)."""
    maker = db.session.get(StaffUser, row.maker_id)
    inviter = db.session.get(StaffUser, maker.parent_id) if maker is not None and maker.parent_id else None
    return inviter is not None and inviter.person == me()


def target_of(row: ApprovalRequest) -> tuple[str, str | None] | None:
    """What a request is about: its name and where it is seen; None for what does not exist yet, or any more."""
    model = approvals.model_of(row.target_table)
    found = db.session.get(model, row.target_id) if row.target_id is not None else None
    if found is None:
        return None
    if isinstance(found, Refund | VoidRequest):
        return str(found), _address(Payment, found.payment_id)
    return str(found), _address(model, found.id)


def _address(model: type[Any], row_id: int) -> str | None:
    seen = current_app.extensions[PAGE_OF].get(model)
    return f"{seen.address}{row_id}/" if seen is not None and seen.is_accessible() else None


def _decide(row_id: int, decision: str, form: Any) -> approvals.Decision:
    actor, reason = current_actor(), (form.reason.data or "").strip()
    match decision:
        case "approve":
            offer, code = form.offer.data or "", (form.code.data or "").strip()
            decided = approvals.approve_request(actor, row_id, reason=reason or None, offer=offer, code=code)
        case "reject":
            decided = approvals.reject_request(actor, row_id, reason=reason)
        case _:
            decided = approvals.cancel_request(actor, row_id, reason=reason)
    return decided


def menu_count() -> str:
    """How many requests wait for the person signed in, as the menu says it: remembered for a few seconds."""
    actor = current_actor()
    kept: dict[int | None, tuple[float, str]] = current_app.extensions.setdefault(KEPT, {})
    until, text = kept.get(actor.staff_id, (0.0, ""))
    if until > time.monotonic() and not current_app.testing:
        return text
    number = count_to_decide(db.session(), actor, most=MENU_MOST + 1)
    text = f"{MENU_MOST}+" if number > MENU_MOST else str(number or "")
    if len(kept) > MOST_KEPT:
        kept.clear()
    kept[actor.staff_id] = (time.monotonic() + lists.TAB_SECONDS, text)
    return text


def init_approvals(app: Flask) -> None:
    """Say in the menu how much waits, and let records lead to what waits about them."""
    app.jinja_env.globals["request_url"] = request_url
    app.extensions.setdefault(shell.COUNTS, {})["approvals"] = menu_count
