"""Scheduled charges: every due date of every subscription, its attempts, and what staff decide about one of them."""

from dataclasses import replace
from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_admin import expose
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from payadmin.actions import subscriptions as recurring
from payadmin.db import db
from payadmin.kernel.errors import Invalid, NeedsApproval, NotFound, Refusal
from payadmin.kernel.text import _
from payadmin.models.batches import Batch, BatchRow
from payadmin.models.parties import Customer
from payadmin.models.payments import Payment, PaymentMethod
from payadmin.models.subscriptions import (
    IN_HAND,
    UNDECIDED,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    why_not_cancellable,
)
from payadmin.permissions import Permission
from payadmin.providers import Answer, provider_for
from payadmin.queries.subscriptions import BILLING_NUMBER, CUSTOMER_ID, with_orders
from payadmin.views import lists
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import enum_cell, masked, money_cell
from payadmin.views.dates import WRITE, ReasonForm
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.search import by_id, exact, prefix, through
from payadmin.views.security import current_actor

C = ChargeStatus
READ = Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ

# What staff decide about one charge, and the words of the form that asks for the reason.
NO_SUBSCRIPTION = "A file of single payments ordered this charge; it belongs to no subscription."
DECISIONS: dict[str, dict[str, str]] = {
    "declare-unpaid": {
        "title": _("Declare unpaid"),
        "verb": _("Declare unpaid"),
        "tone": "danger",
        "text": _(
            "You say that no money moved for this date, because the provider's support or dashboard told you so. "
            "The charge becomes Failed and is not tried again. If the provider captured it after all, the customer has "
            "paid for something that is shown here as unpaid."
        ),
        "done": _("The charge is declared unpaid."),
    },
    "book-as-paid": {
        "title": _("Book as paid"),
        "verb": _("Ask the provider and book it"),
        "tone": "primary",
        "text": _(
            "The provider is asked once more about this very charge. If it confirms that it took the money, a "
            "payment is booked with the amount and currency that it reports, also when they differ from what was "
            "planned here. If it does not confirm, nothing is booked. No money moves by this. A booked payment can "
            "be refunded."
        ),
        "done": _("The provider confirmed it, and the payment is booked."),
    },
    "looked-after": {
        "title": _("Mark as looked after"),
        "verb": _("Mark as looked after"),
        "tone": "primary",
        "text": _(
            "The difference leaves Needs attention. This moves no money and changes no status: refund or correct "
            "what is wrong first, then say here what was done."
        ),
        "done": _("The charge is marked as looked after."),
    },
}


@page(menu="scheduled-charges")
class ScheduledChargesPage(PayAdminModelView):
    """Every due date of every subscription (S2 calls it the execute date)."""

    model = ScheduledCharge
    slug = "scheduled-charges"
    plural = "Scheduled charges"
    singular = "Scheduled charge"
    subtitle = "Every execute date of every subscription: planned for the next 60 days, running, or over."
    create = None
    edit = None
    export = Permission.SUBSCRIPTIONS_SUBSCRIPTION_EXPORT
    column_list = ("due_date", "subscription", "invoice_number", "amount", "status", "attempts", "payment")
    column_filters = ("status", "due_date", "amount", "subscription", "needs_staff")
    column_sortable = ("due_date", "created_at", "invoice_number")
    default_sort = "-due_date"
    tabs = (
        Tab("Scheduled", {"status": ("SCHEDULED",)}),
        Tab("In hand", {"status": tuple(status.name for status in IN_HAND)}),
        Tab("Waiting to retry", {"status": ("RETRY_WAIT",)}),
        Tab("Succeeded", {"status": ("SUCCEEDED",)}),
        Tab("Failed", {"status": ("FAILED",)}),
        Tab("Missed", {"status": ("MISSED",)}),
        Tab("Cancelled", {"status": ("CANCELLED",)}),
    )
    labels = {"subscription": "Billing number"}
    phone = {"due_date": "m1", "amount": "m2", "status": "m3", "invoice_number": "m4"}
    search_lookups = (
        by_id(ScheduledCharge),
        prefix(ScheduledCharge.invoice_number),
        through(ScheduledCharge.subscription_id, prefix(Subscription.billing_number)),
        through(ScheduledCharge.subscription_id, exact(Subscription.subscription_id)),
        through(ScheduledCharge.batch_row_id, prefix(BatchRow.billing_number)),
    )
    find_by = ("invoice_number",)
    find_through = ((ChargeAttempt.reference, ChargeAttempt.scheduled_charge_id),)
    needs = {
        "progress_view": READ,
        "subscription_view": READ,
        "payment_view": Permission.PAYMENTS_PAYMENT_READ,
        "ask_view": WRITE,
        "decide_view": WRITE,
    }
    list_template = "scheduled/list.html"
    details_template = "scheduled/details.html"
    detail_sections = {"Record": ("next_attempt_at", "is_touched", "created_at", "updated_at")}

    def _refresh_cache(self) -> None:
        # Staff know subscriptions by their billing number, here and in the filter.
        self.columns["subscription"] = replace(self.columns["subscription"], told_by=Subscription.billing_number)
        super()._refresh_cache()

    def render(self, template: str, **kwargs: Any) -> str:
        """Every list can offer what is due today and what is coming."""
        if template == self.list_template:
            kwargs["today"] = lists.today()
        return super().render(template, **kwargs)

    def menu_actions(self) -> list[dict[str, Any]]:
        """Open the date, its subscription, its payment."""
        entries = super().menu_actions()
        url = f"{self.address}{{id}}/subscription/"
        entries.append({"name": "subscription", "label": "Go to subscription", "icon": "repeat", "url": url})
        if current_actor().may(Permission.PAYMENTS_PAYMENT_READ):
            url = f"{self.address}{{id}}/payment/"
            entries.append({"name": "payment", "label": "Go to payment", "icon": "credit-card", "url": url})
        return entries

    def offers(self) -> Any:
        """What a row's menu shows greyed, and why."""

        def refused(row: Any) -> dict[str, str]:
            found = {} if row.payment_id else {"payment": "No payment was made for this date."}
            return found if row.subscription_id else found | {"subscription": NO_SUBSCRIPTION}

        return refused

    list_also = ("payment_id", "subscription_id")

    @expose("/<int:row_id>/subscription/")
    def subscription_view(self, row_id: int) -> Response:
        """The subscription that this date belongs to; the date itself when a batch ordered it."""
        subscription_id = self.get_row(row_id).subscription_id
        if subscription_id is None:
            flash(NO_SUBSCRIPTION, "error")
            return redirect(self._details(row_id))
        return redirect(url_for("subscriptions.details_view", row_id=subscription_id))

    @expose("/<int:row_id>/payment/")
    def payment_view(self, row_id: int) -> Response:
        """The payment that was made for this date; the date itself while there is none."""
        payment_id = self.get_row(row_id).payment_id
        if payment_id is None:
            flash("No payment was made for this date.", "error")
            return redirect(self._details(row_id))
        return redirect(url_for("transactions.details_view", row_id=payment_id))

    @expose("/<int:row_id>/progress/")
    def progress_view(self, row_id: int) -> str:
        """Whether the charge is still in hand: the fragment that the details page polls."""
        row = self.get_row(row_id)
        return render_template("scheduled/_progress.html", charge=row, is_running=_is_running(row))

    # --- what staff decide --------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/ask/", methods=("POST",))
    def ask_view(self, row_id: int) -> Response:
        """Have the provider asked once more what became of the charge."""
        self.get_row(row_id)
        try:
            recurring.ask_again(current_actor(), row_id)
        except Refusal as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The provider is asked again. The answer appears here.", "success")
        return redirect(self._details(row_id), 303)

    @expose("/<int:row_id>/decide/<decision>/", methods=("GET", "POST"))
    def decide_view(self, row_id: int, decision: str) -> Any:
        """Declare a charge unpaid, book it as paid, or say that it was looked after: a reason, then it is done."""
        row = self.get_row(row_id)
        words = DECISIONS.get(decision)
        if words is None:
            raise NotFound("There is no such decision.")
        form = ReasonForm(request.form if request.method == "POST" else None)
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    _decide(decision, row, str(form.reason.data))
                except NeedsApproval:
                    raise
                except Invalid as refusal:
                    form.reason.errors = [*form.reason.errors, refusal.sentence]
                except Refusal as refusal:
                    status, problem = refusal.status, refusal.sentence
                else:
                    flash(words["done"], "success")
                    return redirect(self._details(row_id), 303)
                row = self.get_row(row_id)
        context = {"charge": row, "form": form, "problem": problem, "words": words, "back": self._details(row_id)}
        return self.render("scheduled/decide.html", money=money_cell, **context), status

    # --- details ------------------------------------------------------------------------------------------------------

    def details_context(self, row: ScheduledCharge) -> dict[str, Any]:
        """The date with its attempts, its subscription and its payment, and what can be done about it now."""
        actor = current_actor()
        order = db.session.execute(
            with_orders(
                select(
                    BILLING_NUMBER.label("billing_number"),
                    CUSTOMER_ID.label("customer_id"),
                    func.coalesce(Subscription.card_last4, BatchRow.card_last4).label("card_last4"),
                    func.coalesce(Subscription.method, Batch.method).label("method"),
                    Customer.name.label("customer"),
                    PaymentMethod.name.label("method_name"),
                    BatchRow.row_number,
                    Batch.file_name,
                ).select_from(ScheduledCharge)
            )
            .join(Batch, Batch.id == ScheduledCharge.batch_id, isouter=True)
            .join(Customer, Customer.id == CUSTOMER_ID)
            .join(
                PaymentMethod,
                PaymentMethod.code == func.coalesce(Subscription.method, Batch.method),
                isouter=True,
            )
            .where(ScheduledCharge.id == row.id)
        ).one()
        attempts = db.session.scalars(
            select(ChargeAttempt).where(ChargeAttempt.scheduled_charge_id == row.id).order_by(ChargeAttempt.seq.desc())
        ).all()
        payment = db.session.get(Payment, row.payment_id) if row.payment_id else None
        return super().details_context(row) | {
            "charge": row,
            "order": order,
            "customer": masked("name")(order.customer),
            "method": order.method_name or order.method,
            "attempt_rows": attempts,
            "payment": payment,
            "is_running": _is_running(row),
            "is_undecided": row.needs_staff and any(attempt.state in UNDECIDED for attempt in attempts),
            "is_bookable": recurring.is_bookable(row, attempts[0] if attempts else None),
            "why_not": why_not_cancellable(row),
            "may_write": actor.may(WRITE),
            "may_see_payment": actor.may(Permission.PAYMENTS_PAYMENT_READ),
            "may_see_customer": actor.may(Permission.PARTIES_CUSTOMER_READ),
            "money": money_cell,
            "state": enum_cell,
        }

    def describe(self, row: ScheduledCharge) -> str:
        """A date is called by its invoice number."""
        return row.invoice_number

    def _details(self, row_id: int) -> str:
        return url_for(f"{self.endpoint}.details_view", row_id=row_id)


def _is_running(row: ScheduledCharge) -> bool:
    """Whether something about the charge moves by itself; what waits for staff does not."""
    return row.status in IN_HAND and not row.needs_staff


def _decide(decision: str, charge: ScheduledCharge, reason: str) -> None:
    charge_id, version = charge.id, charge.version
    if decision == "declare-unpaid":
        recurring.declare_unpaid(current_actor(), charge_id, reason=reason)
    elif decision == "book-as-paid":
        recurring.book_as_paid(current_actor(), charge_id, version=version, answer=_asked_now(charge_id), reason=reason)
    else:
        recurring.close_finding(current_actor(), charge_id, reason=reason)


def _asked_now(charge_id: int) -> Answer | None:
    """What the provider says about the last attempt; nothing is held open while it thinks."""
    last = select(ChargeAttempt.provider, ChargeAttempt.reference).where(ChargeAttempt.scheduled_charge_id == charge_id)
    found = db.session.execute(last.order_by(ChargeAttempt.seq.desc()).limit(1)).first()
    db.session.rollback()
    if found is None:
        return None
    settings = current_app.extensions["payadmin.settings"]
    provider = provider_for(
        found.provider, simulator_url=settings.simulator_url, timeout_seconds=settings.provider_timeout_seconds
    )
    return provider.find_charge(found.reference)
