"""Wallet transactions: every one of them with its journals, and the forms of transfers and exchanges."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from flask import current_app, flash, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import select
from wtforms import Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length

from payadmin.actions import wallets
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.money import MAX_SCALE
from payadmin.kernel.text import Text, _
from payadmin.models.wallets import (
    NOTE_LENGTH,
    REASON_LENGTH,
    LimitApplication,
    MoveStatus,
    Wallet,
    WalletKind,
    WalletTransaction,
)
from payadmin.permissions import Permission
from payadmin.queries.wallets import Plan, amounts_of, plan
from payadmin.views.base import PayAdminModelView, Related
from payadmin.views.columns import PAGE_OF, Column, enum_cell, money_text, unit_scale
from payadmin.views.fields import LinkField, MoneyField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.ledger.words import journals_about
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.wallets.origins import origin_of
from payadmin.views.wallets.shown import KeyField, version_titles, wallet_titles

READ, MOVE = Permission.WALLETS_WALLET_READ, Permission.WALLETS_WALLET_MOVE
ADJUST = Permission.WALLETS_WALLET_ADJUST


def _lookup() -> str:
    return url_for("coins.wallets_view")


class MoveForm(Form):
    """From where, to where, and how much."""

    from_wallet = LinkField(
        "From wallet",
        [InputRequired("Choose one.")],
        titles=wallet_titles,
        address=_lookup,
        description="Type the beginning of its number or of its owner's name.",
    )
    to_wallet = LinkField("To wallet", [InputRequired("Choose one.")], titles=wallet_titles, address=_lookup)
    amount = MoneyField(
        "Amount", [InputRequired("This is needed.")], description="In the currency of the wallet that it leaves."
    )
    note = StringField("Note", [Length(max=NOTE_LENGTH), no_controls, no_cards])
    key = KeyField()
    seen_paid = HiddenField()
    seen_received = HiddenField()

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Read the amount with the decimals of the wallet that it leaves."""
        self.amount.scale = self._scale  # type: ignore[assignment]
        super().process(*args, **kwargs)

    def _scale(self) -> int:
        wallet = db.session.get(Wallet, self.from_wallet.data) if self.from_wallet.data else None
        return MAX_SCALE if wallet is None else unit_scale(wallet.unit) or 0


class ReasonForm(Form):
    """Why something is undone."""

    reason = StringField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="It stands beside the entry for good.",
    )


@page(menu="wallet-transactions")
class WalletTransactionsPage(PayAdminModelView):
    """Everything that moved between wallets, the latest first."""

    model = WalletTransaction
    slug = "wallet-transactions"
    plural = "Wallet transactions"
    singular = "Wallet transaction"
    subtitle = "Transfers, exchanges and everything else that moved between wallets. What is over a limit is held."
    create = None
    edit = None
    export = Permission.WALLETS_WALLET_EXPORT
    column_list = (
        "id", "created_at", "kind", "from_wallet", "to_wallet", "amount", "commission", "received", "status",
    )  # fmt: skip
    column_filters = ("kind", "status", "from_wallet", "to_wallet", "amount", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "status"
    phone = {"kind": "m1", "amount": "m2", "from_wallet": "m3", "status": "m4"}
    list_template = "wallets/transactions.html"
    details_template = "wallets/transaction.html"
    detail_sections = {
        "Transaction": ("kind", "status", "from_wallet", "to_wallet", "note", "author", "created_at", "day"),
        "Amounts": (
            "amount", "commission", "paid", "received", "spread", "rate", "contract_version",
        ),
    }  # fmt: skip
    needs = {"transfer_view": MOVE, "exchange_view": MOVE, "reverse_view": ADJUST, "withdraw_view": MOVE}

    def render(self, template: str, **kwargs: Any) -> str:
        """The list offers orders to whoever may give them."""
        return str(super().render(template, may_move=current_actor().may(MOVE), **kwargs))

    def related_to(self, row: Any, link: Column) -> Related:
        """On the page of a wallet: what it paid, and what it received."""
        found = super().related_to(row, link)
        label = {"from_wallet": _("Paid by this wallet"), "to_wallet": _("Received by this wallet")}.get(link.key)
        return found if label is None else replace(found, label=say(label))

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Contract versions with the code of their contract."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        if any(column.key == "contract_version" for column in shown):
            names["contract_version"] = version_titles({row.contract_version_id for row in rows} - {None})
        return names

    def details_context(self, row: WalletTransaction) -> dict[str, Any]:
        """Its journals, and the application that it waits for."""
        session = db.session()
        found = session.scalars(select(LimitApplication).where(LimitApplication.transaction_id == row.id)).first()
        applications = current_app.extensions[PAGE_OF][LimitApplication]
        may_see = found is not None and applications.is_accessible()
        actor = current_actor()
        return super().details_context(row) | {
            "related": [],
            "journals": journals_about("wallet_transaction", row.id),
            "origin": origin_of(row),
            "scales": {unit: unit_scale(unit) or 0 for unit in (row.unit, row.to_unit)},
            "application": found,
            "application_url": f"{applications.address}{found.id}/" if may_see and found is not None else None,
            "rule": say(Text(found.rule.value).lower()) if found is not None else None,
            "state": enum_cell(found.status) if found is not None else None,
            "money": money_text,
            "may_reverse": actor.may(ADJUST) and row.status is MoveStatus.EXECUTED,
            "may_withdraw": actor.may(MOVE) and row.status is MoveStatus.HELD,
        }

    # --- orders -------------------------------------------------------------------------------------------------------

    @expose("/transfer/", methods=("GET", "POST"))
    def transfer_view(self) -> Any:
        """Order a transfer: what it costs is shown before it is confirmed."""
        return self._order(WalletKind.TRANSFER)

    @expose("/exchange/", methods=("GET", "POST"))
    def exchange_view(self) -> Any:
        """Order an exchange: its rate and what it costs are shown before it is confirmed."""
        return self._order(WalletKind.EXCHANGE)

    def _order(self, kind: WalletKind) -> Any:
        form = MoveForm(request.form if request.method == "POST" else None)
        if request.method == "GET":
            form.from_wallet.data = row_id_of(request.args.get("from", ""))
            form.to_wallet.data = row_id_of(request.args.get("to", ""))
        sentence: str | None = None
        status = 200
        shown: Plan | None = None
        if request.method == "POST" and "change" not in request.form:
            status = 422
            if form.validate():
                try:
                    if "confirm" in request.form:
                        return self._done(wallets, kind, form)
                    shown = self._planned(kind, form)
                except (Invalid, Conflict) as refusal:
                    db.session.rollback()
                    status, sentence = refusal.status, self._put(form, refusal)
                else:
                    status = 200
        back = self.list_address()
        if shown is not None:
            return self.render("wallets/confirm.html", form=form, back=back, kind=kind.name, **self._told(shown))
        title = Text("New transfer") if kind is WalletKind.TRANSFER else Text("New exchange")
        page_text = self.render(
            "wallets/order.html", form=form, fields=list(form), title=title, back=back, sentence=sentence, changed=[],
            kind=kind.name,
        )  # fmt: skip
        return page_text, status

    def _planned(self, kind: WalletKind, form: MoveForm) -> Plan:
        session = db.session()
        payer = session.get_one(Wallet, form.from_wallet.data)
        payee = session.get_one(Wallet, form.to_wallet.data)
        minor = int(form.amount.data or 0)
        return plan(session, kind=kind, payer=payer, payee=payee, amount_minor=minor, at=utcnow())

    def _done(self, acts: Any, kind: WalletKind, form: MoveForm) -> Any:
        act = acts.transfer if kind is WalletKind.TRANSFER else acts.exchange
        row = act(
            current_actor(),
            form.from_wallet.data,
            to_id=form.to_wallet.data,
            amount_minor=int(form.amount.data or 0),
            key=str(form.key.data),
            note=form.note.data or None,
            seen=(_minor(form.seen_paid.data), _minor(form.seen_received.data)),
        )
        if row.status is MoveStatus.HELD:
            flash("It is over a limit of the contract: the money is set aside until it is decided.", "warning")
        elif row.status is MoveStatus.EXECUTED:
            flash("Done: the money has moved.", "success")
        return redirect(f"{self.address}{row.id}/", 303)

    def _put(self, form: MoveForm, refusal: Refusal) -> str | None:
        field = {"from": "from_wallet", "to": "to_wallet"}.get(refusal.field or "", refusal.field)
        return put(form, refusal, field)

    def _told(self, shown: Plan) -> dict[str, Any]:
        session = db.session()
        titles = wallet_titles({shown.payer.id, shown.payee.id})
        available = amounts_of(session, [shown.payer])[shown.payer.id].available_minor
        over = shown.exceeded[0] if shown.exceeded else None
        return {
            "title": Text("Confirm the transfer")
            if shown.kind is WalletKind.TRANSFER
            else Text("Confirm the exchange"),
            "seen": {"seen_paid": shown.paid_minor, "seen_received": shown.received_minor},
            "payer": titles[shown.payer.id],
            "payee": titles[shown.payee.id],
            "paid": money_text(shown.paid_minor, shown.payer.unit),
            "received": money_text(shown.received_minor, shown.payee.unit),
            "available": money_text(available, shown.payer.unit),
            "is_poor": available < shown.paid_minor,
            "why": [say(step) for step in shown.why],
            "over": {
                "rule": say(Text(over.rule.value).lower()),
                "limit": money_text(over.limit_minor, shown.payer.unit),
                "actual": money_text(over.actual_minor, shown.payer.unit),
            }
            if over is not None
            else None,
        }

    # --- corrections --------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/reverse/", methods=("GET", "POST"))
    def reverse_view(self, row_id: int) -> Any:
        """Ask for a reversal; a second person decides."""

        def act(reason: str) -> None:
            wallets.reverse_transaction(current_actor(), row_id, reason=reason)

        hint = _("Nothing moves before a second person approves it. Then the exact opposite is booked, once.")
        return self._reasoned(row_id, act, _("Reverse no. %(number)s", number=row_id), hint, Text("Ask for it"))

    @expose("/<int:row_id>/withdraw/", methods=("GET", "POST"))
    def withdraw_view(self, row_id: int) -> Any:
        """Take back what waits for a decision."""

        def act(reason: str) -> None:
            found = db.session.scalars(
                select(LimitApplication.id).where(LimitApplication.transaction_id == row_id)
            ).first()
            wallets.withdraw_application(current_actor(), found or 0, reason=reason)

        hint = _("What was set aside goes back into the wallet at once.")
        return self._reasoned(row_id, act, _("Withdraw no. %(number)s", number=row_id), hint, Text("Withdraw"))

    def _reasoned(self, row_id: int, act: Any, title: str, hint: str, verb: str) -> Any:
        self.get_row(row_id)
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
        return self.render("wallets/reason.html", form=form, title=title, hint=hint, verb=verb, **shown), status


def _minor(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else -1  # noqa: PLR2004 - longer is no amount
