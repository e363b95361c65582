"""The sale of a product: who pays, then what it costs and why, then one confirmation (S3:46)."""

from typing import Any, Final

from flask import flash, redirect, request, url_for
from wtforms import Form, HiddenField
from wtforms.validators import InputRequired

from payadmin.actions import products
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.models.parties import Organization
from payadmin.models.products import Product
from payadmin.models.wallets import MoveStatus, Wallet, WalletKind, WalletTransaction
from payadmin.queries.products import provider_wallet, why_unsellable
from payadmin.queries.wallets import Plan, amounts_of, plan
from payadmin.views import lists
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import money_text
from payadmin.views.fields import LinkField, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.security import current_actor
from payadmin.views.wallets.shown import KeyField, wallet_titles

LONGEST_NUMBER: Final = 19


class SaleForm(Form):
    """Who pays; the token makes one sale of a form that is sent twice."""

    wallet = LinkField(
        "Wallet that pays",
        [InputRequired("Choose one.")],
        titles=wallet_titles,
        address=lambda: url_for("products.wallets_view"),
        description="Type the beginning of its number or of its owner's name.",
    )
    key = KeyField()
    seen_paid = HiddenField()
    seen_received = HiddenField()


def sell_page(view: PayAdminModelView, product: Product) -> Any:
    """The form, the confirmation, and on a confirmed post the sale."""
    product_id, status, sentence = product.id, 200, None
    form = SaleForm(request.form if request.method == "POST" else None)
    if request.method == "GET":
        form.wallet.data = row_id_of(request.args.get("wallet", ""))
    shown: Plan | None = None
    if request.method == "POST" and "change" not in request.form:
        status = 422
        if form.validate():
            try:
                if "confirm" in request.form:
                    return _sold(product_id, form)
                shown = _planned(product, int(form.wallet.data or 0))
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                field = {"from": "wallet", "to": "wallet", "amount": "wallet"}.get(refusal.field or "", refusal.field)
                status, sentence = refusal.status, put(form, refusal, field)
            else:
                status = 200
    product = view.get_row(product_id)
    back = f"{view.address}{product_id}/"
    told = {"row": product, "form": form, "back": back, "price": money_text(product.price_minor, product.unit)}
    if shown is not None:
        return view.render("products/confirm.html", **told, **_told(shown))
    why_not = why_unsellable(product, db.session.get_one(Organization, product.provider_id), lists.today())
    page = view.render(
        "products/sell.html",
        **told,
        fields=[form.wallet, form.key],
        title=_("Sell %(product)s", product=product.name),
        sentence=sentence,
        why_not=why_not,
        changed=[],
    )
    return page, status


def _planned(product: Product, wallet_id: int) -> Plan:
    """What the sale would do.

    Raises:
        Conflict: it cannot be sold to this wallet now.
    """
    session = db.session()
    provider = session.get_one(Organization, product.provider_id)
    if (problem := why_unsellable(product, provider, lists.today())) is not None:
        raise Conflict(problem)
    payer, payee = session.get_one(Wallet, wallet_id), provider_wallet(session, provider.id, product.unit)
    if payee is None:
        raise Conflict(
            _("%(name)s has no open wallet in %(unit)s. Open one first.", name=provider.name, unit=product.unit)
        )
    return plan(session, kind=WalletKind.SALE, payer=payer, payee=payee, amount_minor=product.price_minor, at=utcnow())


def _sold(product_id: int, form: SaleForm) -> Any:
    sale = products.sell_product(
        current_actor(),
        product_id,
        wallet_id=int(form.wallet.data or 0),
        key=str(form.key.data),
        seen=(_minor(form.seen_paid.data), _minor(form.seen_received.data)),
    )
    sale_id, moved = sale.id, db.session.get_one(WalletTransaction, sale.transaction_id)
    if moved.status is MoveStatus.HELD:
        flash("It is over a limit of the contract: the money is set aside until it is decided.", "warning")
    elif moved.status is MoveStatus.EXECUTED:
        flash("Sold: the price has moved to the service provider.", "success")
    return redirect(url_for("product_sales.details_view", row_id=sale_id), 303)


def _told(shown: Plan) -> dict[str, Any]:
    titles = wallet_titles({shown.payer.id, shown.payee.id})
    available = amounts_of(db.session(), [shown.payer])[shown.payer.id].available_minor
    over = shown.exceeded[0] if shown.exceeded else None
    unit = shown.payer.unit
    return {
        "title": _("Confirm the sale"),
        "seen": {"seen_paid": shown.paid_minor, "seen_received": shown.received_minor},
        "payer": titles[shown.payer.id],
        "payee": titles[shown.payee.id],
        "paid": money_text(shown.paid_minor, unit),
        "received": money_text(shown.received_minor, unit),
        "available": money_text(available, unit),
        "is_poor": available < shown.paid_minor,
        "why": [say(step) for step in shown.why],
        "over": {
            "rule": say(over.rule.value),
            "limit": money_text(over.limit_minor, unit),
            "actual": money_text(over.actual_minor, unit),
        }
        if over is not None
        else None,
    }


def _minor(text: str | None) -> int:
    """An amount that the form carried; -1, which nothing costs, when it was tampered with."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else -1
