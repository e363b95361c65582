"""Redeem requests: the queue of the accountant, one request with all that is known about it, and its decision."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flask import flash, jsonify, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import or_, select
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from payadmin.actions import redeem
from payadmin.actions.redeem.requests import OWN, POOR
from payadmin.db import db, utcnow
from payadmin.kernel import iban
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.treasury import CashOperation
from payadmin.models.wallets import Wallet
from payadmin.permissions import Permission
from payadmin.queries.redeem import (
    APPROVABLE,
    checked_account,
    over_limit,
    plan_redeem,
    why_no_approval,
    why_no_cancel,
    why_not,
    why_not_customer,
)
from payadmin.queries.wallets import amounts_of
from payadmin.views.approvals.pages import me
from payadmin.views.base import PayAdminModelView
from payadmin.views.bulk import bulk_action
from payadmin.views.columns import EMPTY, Column, Kind, enum_cell, label_of, masked, money_text, unit_scale
from payadmin.views.fields import put
from payadmin.views.filters import Filter, row_id_of
from payadmin.views.language import say
from payadmin.views.ledger.words import journals_about
from payadmin.views.lists import Sort, Tab
from payadmin.views.redeem.words import (
    ApproveForm,
    CancelForm,
    CustomerFilter,
    RedeemForm,
    customer_of,
    customers_of,
    found_wallets,
)
from payadmin.views.registry import page
from payadmin.views.reveals import RevealForm
from payadmin.views.security import current_actor
from payadmin.views.wallets.shown import version_titles, wallet_titles

if TYPE_CHECKING:
    from sqlalchemy import Select

SUBMIT, DECIDE = Permission.CASH_REDEEM_SUBMIT, Permission.CASH_REDEEM_DECIDE
MOST_AT_ONCE = 100
QUEUE = Tab("To decide", {"status": tuple(status.name for status in APPROVABLE)})
R = RedeemStatus


def _why_no_approval(row: Any) -> str | None:
    """Why the person signed in cannot approve a request, or None (RD3)."""
    if (problem := why_no_approval(row.status)) is not None:
        return problem
    if row.submitted_by_id is not None:
        submitter = db.session.get(StaffUser, row.submitted_by_id)
        if submitter is not None and submitter.person == me():
            return Text(OWN)
    return why_not(db.session(), db.session.get_one(Wallet, row.wallet_id))


def _offered(row: Any) -> str | None:
    """The same for the menu of a row, as far as the row alone tells."""
    if (problem := why_no_approval(row.status)) is not None:
        return problem
    return Text(OWN) if row.submitted_by_id is not None and row.submitted_by_id == current_actor().staff_id else None


@page(menu="redeem-requests")
class RedeemRequestsPage(PayAdminModelView):
    """What customers want paid out, in cash or by the bank; what waits comes first, the oldest of it on top."""

    model = RedeemRequest
    slug = "redeem-requests"
    heading = "Redeem requests"
    plural = "Redeem requests"
    singular = "Redeem request"
    subtitle = (
        "Withdrawals of customers, at a cash desk or by bank transfer. The money is set aside from the beginning."
    )
    create = SUBMIT
    edit = None
    export = Permission.CASH_REDEEM_EXPORT
    column_list = ("id", "created_at", "customer", "wallet", "channel", "amount", "commission", "status")
    column_filters = ("status", "channel", "unit", "amount", "created_at", "wallet")
    column_sortable = ("created_at",)
    default_sort = "created_at"
    find_number = "R-"
    tabs = (
        QUEUE,
        Tab("Approved", {"status": ("APPROVED",)}),
        Tab("At the bank", {"status": ("SENT",)}),
        Tab("Paid", {"status": ("PAID",)}),
        Tab("Returned", {"status": ("RETURNED",)}),
        Tab("Cancelled", {"status": ("CANCELLED",)}),
    )
    phone = {"customer": "m1", "amount": "m2", "channel": "m3", "status": "m4"}
    list_also = ("status", "channel", "wallet_id", "submitted_by_id")
    details_template = "redeem/details.html"
    detail_sections = {
        "Request": (
            "channel",
            "wallet",
            "amount",
            "commission",
            "contract_version",
            "note",
            "submitted_by",
            "created_at",
        ),
        "Account": ("holder_name", "account_shown", "bank_code", "failure_code"),
        "Decision": ("status", "decided_by", "decided_at", "reason", "paid_at"),
    }
    needs = {
        "decide_view": DECIDE,
        "cancel_view": DECIDE,
        "account_view": DECIDE,
        "wallets_view": SUBMIT,
    }

    approve = bulk_action(
        "approve",
        "Approve…",
        permission=DECIDE,
        icon="check",
        eligible=_why_no_approval,
        offered=_offered,
        amount=lambda row: (row.amount_minor, row.unit),
        cap=MOST_AT_ONCE,
    )(redeem.approve_in_run)

    def _refresh_cache(self) -> None:
        # Whose it is, only its wallet knows.
        self.columns["customer"] = Column(
            "customer", _("Customer"), Kind.TEXT, RedeemRequest.wallet_id, {"readonly": True, "mask": "name"},
            worked_out=customer_of,
        )  # fmt: skip
        super()._refresh_cache()

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        yield from super()._filters_of(table)
        yield "customer", CustomerFilter()

    def get_query(self) -> "Select[Any]":
        """Every request for whoever decides; for a cashier those that they entered or paid themselves."""
        scope, actor = super().get_query(), current_actor()
        if actor.may(DECIDE):
            return scope
        paid = select(CashOperation.redeem_request_id).where(CashOperation.cashier_id == actor.staff_id)
        return scope.where(or_(RedeemRequest.submitted_by_id == actor.staff_id, RedeemRequest.id.in_(paid)))

    # --- the list -----------------------------------------------------------------------------------------------------

    def opening(self) -> MultiDict[str, str]:
        """The queue, the oldest first."""
        return MultiDict([("status", name) for name in QUEUE.args["status"]])

    def _tab(self, asked: Any, tab: Tab, count: str) -> tuple[str, str, str, bool]:
        """What waits is shown from the oldest on, everything else from the newest."""
        label, count, url, is_on = super()._tab(asked, tab, count)
        if tab.args != QUEUE.args:
            keys = {key for other in self.tab_list for key in other.args}
            newest = Sort(self.columns["created_at"], descending=True)
            url = f"{self.address}{asked.query_string(without=keys, sort=newest, **tab.args)}"
        return label, count, url, is_on

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Also customers and contract versions: one query for each, whatever the number of rows."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        keys = {column.key for column in shown}
        if "customer" in keys:
            names["customer"] = customers_of(row.wallet_id for row in rows)
        if "contract_version" in keys:
            names["contract_version"] = version_titles({row.contract_version_id for row in rows} - {None})
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """The customer of the wallet, by name and Customer ID."""
        if column.key == "customer":
            return lambda row: names.get(row.wallet_id) or EMPTY
        return super().cell(column, names)

    # --- one request --------------------------------------------------------------------------------------------------

    def details_context(self, row: RedeemRequest) -> dict[str, Any]:
        """Whose it is and whether it may be approved, what the books say, and what can be done."""
        session, actor = db.session(), current_actor()
        wallet = session.get_one(Wallet, row.wallet_id)
        customer = session.get_one(Customer, wallet.customer_id)
        waits = row.status in {*APPROVABLE, R.APPROVED}
        problem = why_not(session, wallet) if waits else None
        may_see = actor.may(Permission.PARTIES_CUSTOMER_READ)
        found = super().details_context(row)
        if row.channel is RedeemChannel.CASH_DESK:
            found["sections"] = [each for each in found["sections"] if each[0] != say("Account")]
        why_no = why_no_cancel(row.status)
        return found | {
            "customer": customer,
            "customer_name": masked("name")(customer.name),
            "customer_url": url_for("customers.details_view", row_id=customer.id) if may_see else None,
            "state": enum_cell,
            "problem": say(problem) if problem is not None else None,
            "may_decide": actor.may(DECIDE),
            "why_no_cancel": say(why_no) if why_no is not None else None,
            "whole": money_text(row.amount_minor + row.commission_minor, row.unit),
            "is_set_aside": row.status not in {R.PAID, R.RETURNED, R.CANCELLED},
            "journals": journals_about("redeem_request", row.id),
            "scales": {row.unit: unit_scale(row.unit) or 0},
            "may_reveal": actor.may(DECIDE) and row.account_sealed is not None,
        }

    # --- entering -----------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Enter a customer's request: what it costs is shown before it is confirmed."""
        form = RedeemForm(request.form if request.method == "POST" else None)
        if request.method == "GET":
            form.wallet.data = row_id_of(request.args.get("wallet", ""))
        sentence, status, shown = None, 200, None
        if request.method == "POST" and "change" not in request.form:
            status = 422
            if form.validate():
                try:
                    if "confirm" in request.form:
                        return self._submitted(form)
                    shown = self._planned(form)
                except (Invalid, Conflict) as refusal:
                    db.session.rollback()
                    status, sentence = refusal.status, put(form, refusal)
                else:
                    status = 200
        back = self.list_address()
        if shown is not None:
            return self.render("redeem/confirm.html", form=form, back=back, **shown)
        fields = [field for field in form if not field.name.startswith("seen_")]
        page_text = self.render(
            "redeem/new.html", form=form, fields=fields, title=Text("New redeem request"), back=back, changed=[],
            sentence=sentence,
        )  # fmt: skip
        return page_text, status

    def _planned(self, form: RedeemForm) -> dict[str, Any]:
        session = db.session()
        wallet = session.get_one(Wallet, form.wallet.data)
        where_to = form.where_to()
        to = checked_account(*where_to.values()) if where_to else None
        plan = plan_redeem(
            session, wallet=wallet, channel=form.way, asked_minor=int(form.amount.data or 0), at=utcnow()
        )
        if (problem := over_limit(session, plan)) is not None:
            raise Conflict(problem, field="amount")
        available = amounts_of(session, [wallet])[wallet.id].available_minor
        customer = session.get_one(Customer, wallet.customer_id)
        warning = why_not_customer(customer)
        return {
            "title": Text("Confirm the redeem request"),
            "seen": {"seen_whole": plan.whole_minor, "seen_amount": plan.amount_minor},
            "wallet": wallet_titles({wallet.id})[wallet.id],
            "channel": say(label_of(form.way)),
            "paid": money_text(plan.amount_minor, wallet.unit),
            "whole": money_text(plan.whole_minor, wallet.unit),
            # Nobody but whoever decides sees what is in a wallet: the picker finds those of every customer.
            "available": money_text(available, wallet.unit) if current_actor().may(DECIDE) else None,
            "is_poor": available < plan.whole_minor,
            "poor": Text(POOR),
            "to": (to[0], iban.grouped(to[1]), to[2]) if to is not None else None,
            "warning": say(warning) if warning is not None else None,
            "why": [say(step) for step in plan.why],
        }

    def _submitted(self, form: RedeemForm) -> Response:
        row = redeem.submit(
            current_actor(),
            form.wallet.data,
            amount_minor=int(form.amount.data or 0),
            channel=form.way,
            key=str(form.key.data),
            note=form.note.data or None,
            seen=(_minor(form.seen_whole.data), _minor(form.seen_amount.data)),
            **form.where_to(),
        )
        if row.status is R.SUBMITTED:
            flash("The request is entered, and its money is set aside.", "success")
        return redirect(f"{self.address}{row.id}/", 303)

    # --- deciding -----------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/action/<action>/", methods=("GET", "POST"))
    def one_view(self, row_id: int, action: str) -> Any:
        """One request is approved at once, on a page or in a dialog of its own."""
        self.action_named(action)
        return self.decide_view(row_id)

    @expose("/<int:row_id>/approve/", methods=("GET", "POST"))
    def decide_view(self, row_id: int) -> Any:
        """Say yes to what was seen."""

        def act(form: Any) -> None:
            redeem.approve(current_actor(), row_id, version=row_id_of(form.version.data or "") or 0)

        return self._decided(row_id, ApproveForm, act, _why_no_approval, "approve", _("The request is approved."))

    @expose("/<int:row_id>/cancel/", methods=("GET", "POST"))
    def cancel_view(self, row_id: int) -> Any:
        """Say no, with a reason; the money goes back at once."""

        def act(form: Any) -> None:
            version = row_id_of(form.version.data or "") or 0
            redeem.cancel(current_actor(), row_id, reason=str(form.reason.data), version=version)

        done = _("The request is cancelled, and the wallet has its money again.")
        return self._decided(row_id, CancelForm, act, lambda row: why_no_cancel(row.status), "cancel", done)

    def _decided(
        self,
        row_id: int,
        form_of: Any,
        act: Callable[[Any], None],
        why: Callable[[Any], str | None],
        decision: str,
        done: str,
    ) -> Any:
        row = self.get_row(row_id)
        form = form_of(request.form if request.method == "POST" else None)
        problem, status = None, 200
        reason = why(row) if request.method == "GET" else None
        if request.method == "GET":
            form.version.data = row.version
        elif not form.validate():
            status = 422
        else:
            try:
                act(form)
            except NotFound:
                raise
            except (Invalid, Conflict, Forbidden) as refusal:
                db.session.rollback()
                status, problem = refusal.status, put(form, refusal)
                row = self.get_row(row_id)
            else:
                flash(say(done), "success")
                return redirect(f"{self.address}{row_id}/", 303)
        text = self.render(
            "redeem/decide.html",
            row=row,
            form=form,
            decision=decision,
            why_not=say(reason) if reason is not None else None,
            problem=problem,
            customer=customers_of([row.wallet_id]).get(row.wallet_id, ""),
            amount=money_text(row.amount_minor, row.unit),
            whole=money_text(row.amount_minor + row.commission_minor, row.unit),
            channel=say(label_of(row.channel)),
            back=f"{self.address}{row_id}/",
            title=_("Approve redeem request no. %(number)s", number=row_id)
            if decision == "approve"
            else _("Cancel redeem request no. %(number)s", number=row_id),
        )
        return text, status

    @expose("/<int:row_id>/account/", methods=("GET", "POST"))
    def account_view(self, row_id: int) -> Any:
        """The account's whole number, once, for a reason that stands in the trail."""
        row = self.get_row(row_id)
        form, status, found, problem = RevealForm(request.form or None), 200, None, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    found = redeem.reveal_account(
                        current_actor(), row_id, reason=form.reason.data, note=form.note.data or ""
                    )
                    status = 200
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                row = self.get_row(row_id)
        text = self.render(
            "redeem/account.html",
            title=Text("Show the account"),
            row=row,
            form=form,
            found=found,
            problem=problem,
            back=f"{self.address}{row_id}/",
        )
        return text, status, {"Cache-Control": "no-store"}

    @expose("/wallets/")
    def wallets_view(self) -> Response:
        """What the picker of wallets offers."""
        return jsonify(found_wallets(request.args.get("q", "").strip()))


def _minor(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else -1  # noqa: PLR2004 - longer is no amount
