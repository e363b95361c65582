"""Refunds and voids in the browser: the form of one payment, and S2's pages that search a payment to act on."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length, ValidationError

from payadmin import step_up
from payadmin.actions import payments
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, NeedsApproval, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer
from payadmin.models.payments import Mode, Payment, RefundReason, why_not_refundable, why_not_voidable
from payadmin.permissions import Permission
from payadmin.views.advance import refund_warning, void_warning
from payadmin.views.columns import enum_cell, label_of, masked, money_cell, money_text, unit_scale
from payadmin.views.fields import MoneyField, SelectField, no_controls, put
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

MOST_FOUND = 50
REASONS = [reason for reason in RefundReason if reason is not RefundReason.IMPORTED]

blueprint = Blueprint("orders", __name__)


class ReasonForm(Form):
    """Why money goes back: asked for one payment, and once for a bulk run."""

    reason = SelectField(
        "Reason",
        [InputRequired("Choose a reason.")],
        choices=[
            SelectChoice(value="", label=_("Choose a reason")),
            *(SelectChoice(value=reason.name, label=label_of(reason)) for reason in REASONS),
        ],
    )
    note = TextAreaField(
        "Internal note",
        [Length(max=2000, message="Keep the note within 2,000 characters.")],
        description="Kept in the audit trail; the customer does not see it. Required when the reason is Other.",
        render_kw={"rows": 2},
    )

    def validate_note(self, field: TextAreaField) -> None:
        """OTHER explains nothing by itself."""
        if self.reason.data == RefundReason.OTHER.name and not (field.data or "").strip():
            raise ValidationError(_("Say here what the other reason is."))


class OrderForm(ReasonForm):
    """The form of a void: a reason, and the key that makes a second post the same request."""

    key = HiddenField()
    offer = HiddenField()
    code = StringField()


class RefundForm(OrderForm):
    """The form of a refund: as a void, with an amount."""

    amount = MoneyField("Amount to refund", [InputRequired("Enter an amount.")])

    def process(  # type: ignore[override]  # the payment is always given
        self, formdata: Any = None, obj: Any = None, data: Any = None, **kwargs: Any
    ) -> None:
        """Read the amount with the decimals of the payment's unit; it starts with all that is left."""
        self.amount.scale = unit_scale(obj.unit) or 0
        super().process(formdata, None, {**(data or {}), "amount": obj.refundable_minor}, **kwargs)


class RowAmountForm(Form):
    """How much of one payment of a bulk run goes back: all that is left unless it is changed."""

    amount = MoneyField("Refund", [InputRequired("Enter an amount, or take the payment out of the selection.")])

    def process(  # type: ignore[override]  # the payment is always given
        self, formdata: Any = None, obj: Any = None, data: Any = None, **kwargs: Any
    ) -> None:
        """Start with what is left, in the decimals of the payment's unit."""
        most, scale = obj.refundable_minor, unit_scale(obj.unit) or 0
        self.amount.scale, self.amount.max_minor = scale, most
        self.amount.render_kw = {
            **(self.amount.render_kw or {}),
            "data-amt": "",
            "data-cur": obj.unit,
            "data-max": str(most),
            "data-exp": str(scale),
        }
        super().process(formdata, None, {**(data or {}), "amount": most}, **kwargs)


def refund_page(payment: Payment) -> Any:
    """The refund form of one payment; a post requests the refund, once per form however often it is sent."""
    if not current_actor().may(Permission.PAYMENTS_PAYMENT_REFUND):
        raise Forbidden("Your role does not allow refunds.")
    form = RefundForm(request.form if request.method == "POST" else None, obj=payment)

    def request_refund() -> str:
        refund = payments.request_refund(
            current_actor(),
            payment.id,
            amount_minor=int(form.amount.data or 0),
            unit=payment.unit,
            reason=RefundReason[form.reason.data],
            note=form.note.data,
            key=form.key.data or "",
            offer=form.offer.data or "",
            code=(form.code.data or "").strip(),
        )
        return _(
            "The refund of %(amount_minor)s is accepted and will be processed.",
            amount_minor=money_text(refund.amount_minor, refund.unit),
        )

    return _order_page(
        payment,
        form,
        kind="refund",
        act=payments.REFUND_ACT,
        why_not=why_not_refundable(payment),
        warning=refund_warning,
        send=request_refund,
    )


def void_page(payment: Payment) -> Any:
    """The void form of one payment; a post requests the void, once per form."""
    if not current_actor().may(Permission.PAYMENTS_PAYMENT_VOID):
        raise Forbidden("Your role does not allow voids.")
    form = OrderForm(request.form if request.method == "POST" else None)

    def request_void() -> str:
        payments.request_void(
            current_actor(),
            payment.id,
            reason=RefundReason[form.reason.data],
            note=form.note.data,
            key=form.key.data or "",
            offer=form.offer.data or "",
            code=(form.code.data or "").strip(),
        )
        return "The void is accepted and will be processed."

    return _order_page(
        payment,
        form,
        kind="void",
        act=payments.VOID_ACT,
        why_not=why_not_voidable(payment),
        warning=void_warning,
        send=request_void,
    )


def _order_page(
    payment: Payment,
    form: Any,
    *,
    kind: str,
    act: str,
    why_not: str | None,
    warning: Callable[[Payment], Text | None],
    send: Any,
) -> Any:
    payment_id, status, problem = payment.id, 200, None
    details = url_for("transactions.details_view", row_id=payment_id)
    # A form that was sent already is recognised by its key, so it is not judged by what it has itself changed.
    if request.method == "POST":
        if not _is_key(form.key.data):
            form.key.data = secrets.token_urlsafe(18)
        if form.validate():
            try:
                flash(send(), "success")
            except NeedsApproval as waiting:
                flash(waiting.sentence, "warning")
                return redirect(details, 303)
            except Refusal as refusal:
                db.session.rollback()
                status = refusal.status
                problem = put(form, refusal)
            else:
                return redirect(details, 303)
        else:
            status = 422
    else:
        form.key.data = secrets.token_urlsafe(18)
    payment = db.session.get_one(Payment, payment_id)
    form.offer.data = step_up.offer(current_actor(), act, payments.confirmed_facts(payment))
    page = render_template(
        "payments/order.html",
        payment=payment,
        kind=kind,
        form=form,
        problem=problem,
        why_not=why_not if request.method == "GET" else None,
        warning=warning(payment),
        scale=unit_scale(payment.unit) or 0,
        back=details,
        here=request.path,
    )
    return page, status


def _is_key(key: str | None) -> bool:
    return bool(key) and 16 <= len(str(key)) <= 64 and str(key).isascii() and str(key).isprintable()  # noqa: PLR2004


# ---- S2: search, then act ----------------------------------------------------------------------------------------


class SearchForm(Form):
    """S2's three keys; any of them may be left empty, not all."""

    billing_number = StringField("Billing number", [Length(max=64), no_controls])
    invoice_number = StringField("Invoice number", [Length(max=64), no_controls])
    approval_code = StringField("Approval code", [Length(max=40), no_controls])

    def given(self) -> dict[str, str]:
        """The keys that were filled in."""
        return {name: text for name, value in self.data.items() if (text := (value or "").strip())}


@blueprint.get("/void/")
def void_search() -> Any:
    """S2's Void page: find by billing number, invoice number or approval code; the Void icon stands in each row."""
    return _search_page("void", Permission.PAYMENTS_PAYMENT_VOID, why_not_voidable)


@blueprint.get("/refund/")
def refund_search() -> Any:
    """S2's Refund page: as Void, with the Refund icon."""
    return _search_page("refund", Permission.PAYMENTS_PAYMENT_REFUND, why_not_refundable)


def _search_page(kind: str, permission: Permission, why_not: Any) -> Any:
    if not current_actor().may(permission):
        raise Forbidden("Your role does not include this page.")
    form = SearchForm(request.args)
    given = form.given() if form.validate() else {}
    found: Sequence[Any] = _find(given) if given else ()
    return render_template(
        "payments/search.html",
        kind=kind,
        form=form,
        given=given,
        rows=[(payment, masked("name")(name), why_not(payment)) for payment, name in found[:MOST_FOUND]],
        more=len(found) > MOST_FOUND,
        limit=MOST_FOUND,
        money=money_cell,
        state=enum_cell,
    )


def _find(given: dict[str, str]) -> Sequence[Any]:
    statement = (
        select(Payment, Customer.name)
        .join(Customer, Customer.id == Payment.customer_id)
        .where(Payment.mode == Mode[current_mode()], *(getattr(Payment, key) == text for key, text in given.items()))
        .order_by(Payment.created_at.desc(), Payment.id.desc())
        .limit(MOST_FOUND + 1)
    )
    return db.session.execute(statement).all()


def init_orders(app: Flask) -> None:
    """Add S2's search pages to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"] |= {"void": "orders.void_search", "refund": "orders.refund_search"}
