"""A person's word about a refund or void: the form that ends an order whose outcome nobody can find out (PY5)."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import select
from wtforms import Form, HiddenField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length

from payadmin import step_up
from payadmin.actions import payments
from payadmin.db import db
from payadmin.kernel.errors import Conflict, NeedsApproval, NotFound, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.payments import Payment
from payadmin.views.columns import unit_scale
from payadmin.views.fields import no_controls, put
from payadmin.views.security import current_actor

OUTCOMES = {
    "succeeded": _("It succeeded: the money went back to the customer"),
    "failed": _("It failed: no money moved"),
}


class OutcomeForm(Form):
    """What became of an order, and how that is known."""

    outcome = RadioField(
        "What became of it",
        [InputRequired("Say what became of it.")],
        choices=[SelectChoice(value=value, label=label) for value, label in OUTCOMES.items()],
    )
    reason = TextAreaField(
        "How you know",
        [InputRequired("Say how you know."), Length(max=200, message="Keep it within 200 characters."), no_controls],
        description="Kept in the audit trail: whom you asked at the provider, and when.",
        render_kw={"rows": 2},
    )
    offer = HiddenField()
    code = StringField()


def resolve_page(payment: Payment, kind: str, order_id: int) -> Any:
    """The form of one order of `payment`; a post ends the order, or asks a second person to."""
    model = payments.ORDERS[kind]
    order: Any = db.session.scalar(select(model).where(model.id == order_id, model.payment_id == payment.id))
    if order is None:
        raise NotFound("There is no such order.")
    if not payments.is_unresolved(order):
        raise Conflict("Nobody has to say what became of this order any more.")
    details = url_for("transactions.details_view", row_id=payment.id)
    form = OutcomeForm(request.form if request.method == "POST" else None)
    status, problem = 200, None
    if request.method == "POST":
        status = 422
        if form.validate():
            try:
                payments.resolve_order(
                    current_actor(),
                    order_id,
                    kind=kind,
                    succeeded=form.outcome.data == "succeeded",
                    reason=str(form.reason.data),
                    offer=form.offer.data or "",
                    code=(form.code.data or "").strip(),
                )
            except NeedsApproval as waiting:
                flash(waiting.sentence, "warning")
                return redirect(details, 303)
            except Refusal as refusal:
                db.session.rollback()
                status, problem = refusal.status, put(form, refusal)
            else:
                flash(Text("The refund is closed." if kind == "refund" else "The void is closed."), "success")
                return redirect(details, 303)
    form.offer.data = step_up.offer(current_actor(), payments.RESOLVE_ACT, payments.resolved_facts(kind, order_id))
    page = render_template(
        "payments/resolve.html",
        payment=db.session.get_one(Payment, payment.id),
        order=db.session.get_one(model, order_id),
        kind=kind,
        form=form,
        problem=problem,
        scale=unit_scale(payment.unit) or 0,
        back=details,
        here=request.path,
    )
    return page, status
