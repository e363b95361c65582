"""Applications for operations: what waits because it is over a limit, and the decision about it (S3:150-152, K-70)."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import flash, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import Select, and_, or_, select
from wtforms import Form, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import wallets
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.money import parse_minor
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer
from payadmin.models.payments import Unit
from payadmin.models.risk import BlockTarget
from payadmin.models.wallets import (
    REASON_LENGTH,
    ApplicationStatus,
    LimitApplication,
    MoveStatus,
    Wallet,
    WalletTransaction,
)
from payadmin.permissions import Permission
from payadmin.queries.risk import block_in_force, known_of
from payadmin.queries.wallets import amounts_of, why_unusable
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, Kind, money_text, unit_scale
from payadmin.views.fields import no_cards, no_controls, put
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.risk.shown import known_words
from payadmin.views.search import by_id, exact, through
from payadmin.views.security import current_actor
from payadmin.views.wallets.shown import wallet_titles

DECIDE = Permission.FRAUD_APPLICATION_DECIDE
LONGEST_AMOUNT = 40
# What is told of each outcome, and how loudly.
TOLD = {
    ApplicationStatus.EXECUTED: (_("Approved: the money has moved."), "success"),
    ApplicationStatus.EXECUTION_FAILED: (
        _("Approved, but it could not be executed: the money went back. The page says why."),
        "warning",
    ),
    ApplicationStatus.EXPIRED: (_("Its time was over already: the money went back."), "warning"),
    ApplicationStatus.REJECTED: (_("Rejected: the money went back."), "success"),
}


def by_amount(term: str) -> "Select[Any] | None":
    """Applications whose transaction has exactly this amount: “100.00” in any unit, “100.00 EUR” in one (K-70, T22)."""
    number, _blank, wanted = term.strip().partition(" ")
    if not number or len(term) > LONGEST_AMOUNT:
        return None
    same = []
    for code, scale in db.session.execute(select(Unit.code, Unit.scale)):
        if wanted and code.casefold() != wanted.strip().casefold():
            continue
        try:
            minor = parse_minor(number, scale)
        except Invalid:
            continue
        same.append(and_(WalletTransaction.unit == code, WalletTransaction.amount_minor == minor))
    if not same:
        return None
    found = select(WalletTransaction.id).where(or_(*same))
    return select(LimitApplication.id).where(LimitApplication.transaction_id.in_(found))


class ApproveForm(Form):
    """Words beside an approval, which needs none."""

    reason = StringField(
        "Remark", [Optional(), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="It stands beside the decision for good.",
    )  # fmt: skip


class RejectForm(Form):
    """Why not."""

    reason = StringField(
        "Reason", [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="It stands beside the decision for good.",
    )  # fmt: skip


@page(menu="applications")
class ApplicationsPage(PayAdminModelView):
    """Every transaction that was over a limit, and what became of it."""

    model = LimitApplication
    slug = "applications"
    heading = "Applications for operations"
    plural = "Applications"
    singular = "Application"
    subtitle = (
        "Transactions over a limit of their contract. The money is set aside until somebody decides, for 72 hours. "
        "Search by application number, e-mail address or exact amount."
    )
    create = None
    edit = None
    export = None
    column_list = (
        "id", "created_at", "transaction", "moved", "rule", "limit", "actual", "excess", "status", "expires_at",
    )  # fmt: skip
    column_filters = ("status", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "status"
    search_lookups = (
        by_id(LimitApplication),
        *(
            through(
                LimitApplication.transaction_id,
                through(side, through(Wallet.customer_id, exact(Customer.email_key, fold=str.casefold))),
            )
            for side in (WalletTransaction.from_wallet_id, WalletTransaction.to_wallet_id)
        ),
        through(
            LimitApplication.transaction_id,
            through(WalletTransaction.author_id, exact(StaffUser.email, fold=str.lower)),
        ),
        by_amount,
    )
    phone = {"rule": "m1", "moved": "m2", "created_at": "m3", "status": "m4"}
    list_also = ("transaction_id",)
    details_template = "risk/application.html"
    detail_sections = {
        "Application": (
            "transaction", "moved", "rule", "limit", "counted", "actual", "excess", "status", "created_at",
            "expires_at",
        ),
        "Decision": ("decided_at", "decided_by", "reason", "failure"),
    }  # fmt: skip
    needs = {"approve_view": DECIDE, "reject_view": DECIDE}

    def _refresh_cache(self) -> None:
        # The amount stands in the transaction.
        fixed = {"readonly": True}
        self.columns["moved"] = Column("moved", _("Amount"), Kind.NUMBER, LimitApplication.id, fixed)
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also what each would move: one look-up for all of them."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        if any(column.key == "moved" for column in shown):
            ids = {row.transaction_id for row in rows}
            wanted = select(WalletTransaction.id, WalletTransaction.amount_minor, WalletTransaction.unit)
            found = db.session.execute(wanted.where(WalletTransaction.id.in_(ids)))
            names["moved"] = {row.id: (row.amount_minor, row.unit) for row in found}
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """What would be moved, in its unit."""
        if column.key != "moved":
            return super().cell(column, names)

        def moved(row: Any) -> Any:
            minor, unit = names.get(row.transaction_id, (None, ""))
            return ui.amount(minor, unit, unit_scale(unit) or 0 if unit else 0)

        return moved

    def details_context(self, row: LimitApplication) -> dict[str, Any]:
        """What is decided about, why it might fail, and what is known of who ordered it."""
        session, now = db.session(), utcnow()
        move, payer, payee = _parts(row)
        known = known_of(session, customer_id=payer.customer_id, organization_id=payer.organization_id)
        waits = row.status is ApplicationStatus.PENDING
        problem = None
        if waits:
            problem = why_unusable(session, payer, pays=True) or why_unusable(session, payee, pays=False)
        titles = wallet_titles({payer.id, payee.id})
        return (
            super().details_context(row)
            | known_words(known)
            | {
                "related": [],
                "move": move,
                "payer": titles.get(payer.id, payer.number),
                "payee": titles.get(payee.id, payee.number),
                "rule": say(Text(row.rule.value)).lower(),
                "paid": money_text(move.paid_minor, move.unit),
                "available": money_text(amounts_of(session, [payer])[payer.id].available_minor, payer.unit),
                "limit": money_text(row.limit_minor, row.unit),
                "actual": money_text(row.actual_minor, row.unit),
                "excess": money_text(row.excess_minor, row.unit),
                "amount_words": money_text(move.amount_minor, move.unit),
                "problem": say(problem) if problem is not None else None,
                "move_block": block_in_force(session, BlockTarget.WALLET_TRANSACTION, move.id, now),
                "waits": waits,
                "is_late": waits and row.expires_at <= now,
                "block_url": url_for("blocks.set_view", target="WALLET_TRANSACTION", row=move.id)
                if current_actor().may(Permission.FRAUD_BLOCK_WRITE) and move.status is not MoveStatus.RELEASED
                else None,
            }
        )

    # --- deciding -----------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/approve/", methods=("GET", "POST"))
    def approve_view(self, row_id: int) -> Any:
        """Confirm that it is executed, once, at this moment."""
        form = ApproveForm(request.form if request.method == "POST" else None)

        def act() -> ApplicationStatus:
            return wallets.approve_application(current_actor(), row_id, reason=form.reason.data or None)

        return self._decide(row_id, form, act, is_approval=True)

    @expose("/<int:row_id>/reject/", methods=("GET", "POST"))
    def reject_view(self, row_id: int) -> Any:
        """Say no, with a reason."""
        form = RejectForm(request.form if request.method == "POST" else None)

        def act() -> ApplicationStatus:
            return wallets.reject_application(current_actor(), row_id, reason=str(form.reason.data))

        return self._decide(row_id, form, act, is_approval=False)

    def _decide(self, row_id: int, form: Form, act: Any, *, is_approval: bool) -> Any:
        self.get_row(row_id)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                done = act()
            except (Invalid, Conflict, Forbidden) as refusal:
                db.session.rollback()
                if self.get_row(row_id).status is not ApplicationStatus.PENDING:
                    # The first of two clicks, or a colleague, has decided: its page says what became of it.
                    flash(refusal.sentence, "warning")
                    return redirect(f"{self.address}{row_id}/", 303)
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash(*TOLD[done])
                return redirect(f"{self.address}{row_id}/", 303)
        row = self.get_row(row_id)
        move, payer, payee = _parts(row)
        titles = wallet_titles({payer.id, payee.id})
        title = (
            _("Approve application no. %(number)s", number=row_id)
            if is_approval
            else _("Reject application no. %(number)s", number=row_id)
        )
        page_text = self.render(
            "risk/decide.html", form=form, fields=list(form), title=say(title), back=f"{self.address}{row_id}/",
            sentence=sentence, changed=[], is_approval=is_approval, paid=money_text(move.paid_minor, move.unit),
            received=money_text(move.received_minor, move.to_unit), payer=titles.get(payer.id, payer.number),
            payee=titles.get(payee.id, payee.number), waits=row.status is ApplicationStatus.PENDING,
        )  # fmt: skip
        return page_text, status


def _parts(row: LimitApplication) -> tuple[WalletTransaction, Wallet, Wallet]:
    session = db.session()
    move = session.get_one(WalletTransaction, row.transaction_id)
    return move, session.get_one(Wallet, move.from_wallet_id), session.get_one(Wallet, move.to_wallet_id)
