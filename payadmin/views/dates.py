"""Acts on chosen execute dates: the choice is frozen, confirmed on one page, done in one go, its outcome kept."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import Select, select
from werkzeug.wrappers import Response
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length

from payadmin import step_up
from payadmin.actions import runs
from payadmin.actions import subscriptions as recurring
from payadmin.actions.subscriptions import Chosen
from payadmin.db import db
from payadmin.kernel.errors import Invalid, NotFound, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.text import NumberText, Text, _, _n
from payadmin.models.parties import Customer
from payadmin.models.subscriptions import ScheduledCharge, Subscription, why_not_cancellable
from payadmin.models.system import ActionItem, ActionRun, RunState
from payadmin.permissions import Permission
from payadmin.queries.subscriptions import BILLING_NUMBER, CUSTOMER_ID, with_orders
from payadmin.views.bulk import LONGEST_CHOICE, chosen_ids
from payadmin.views.columns import enum_cell, masked, money_cell, unit_scale
from payadmin.views.fields import no_cards, no_controls, put
from payadmin.views.filters import BadAddress
from payadmin.views.security import current_actor
from payadmin.work import Actor

WRITE = Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE

Dates = Sequence[Any]  # rows of `SHOWN`


class ConfirmForm(Form):
    """What the confirmation of an act on chosen dates asks for."""

    offer = HiddenField()
    code = StringField()


class ReasonForm(ConfirmForm):
    """As `ConfirmForm`, with the reason that the trail keeps."""

    reason = TextAreaField(
        "Reason",
        [
            DataRequired("Say why."),
            Length(
                max=recurring.REASON_LENGTH,
                message=_(
                    "Keep the reason within %(reason_length)s characters.", reason_length=recurring.REASON_LENGTH
                ),
            ),
            no_controls,
            no_cards,
        ],
        description="Kept in the audit trail of every date; the customer does not see it.",
        render_kw={"rows": 2, "maxlength": recurring.REASON_LENGTH},
    )


@dataclass(frozen=True)
class Act:
    """Something that staff do with several execute dates at once.

    Attributes:
        name: its word in addresses.
        page: the endpoint of the list it starts from and leads back to; `place` is that of its confirmation.
        ask: what the confirmation says that is about to happen, for one date and for several.
        outcome: what the outcome says, for one date and for several.
        none: what is said when nothing was chosen.
        done: the badge of a row that was done; `keep` is what the way out says.
        use_case: what does it, as the trail names it.
        says: what happens and what does not, in the words of the confirmation.
        why_not: the chosen dates, oldest first → what is left out and why.
        do: does it: (actor, ids, form) → what became of each.
        form: what is asked; a form without `reason` asks none.
        step_up: an authenticator code confirms it.
    """

    name: str
    page: str
    place: str
    ask: Callable[[int], str]
    outcome: Callable[[int, int], str]
    none: str
    done: str
    keep: str
    icon: str
    use_case: str
    says: tuple[str, ...]
    why_not: Callable[[Dates], Mapping[int, str]]
    do: Callable[[Actor, list[int], Any], Chosen]
    form: type[ConfirmForm] = ReasonForm
    step_up: bool = False
    danger: bool = True

    def title(self, number: int) -> str:
        """What is about to happen, with its number: “Cancel 3 execute dates”."""
        return self.ask(number)


def choose(act: Act) -> Response:
    """Freeze the dates that were ticked on the list, and go to the confirmation."""
    actor = current_actor()
    listed = request.form.get("list", "")
    if not listed.isprintable():
        raise BadAddress("The list's address holds control characters.")
    ids = chosen_ids(recurring.MOST_AT_ONCE)
    if not ids:
        flash(act.none, "error")
        return redirect(_back(act, listed), 303)
    token = secrets.token_urlsafe(18)
    rows: Select[Any] = select(ScheduledCharge).where(ScheduledCharge.id.in_(ids))
    columns: tuple[Any, ...] = (ScheduledCharge.id, ScheduledCharge.invoice_number)
    runs.draft_run(
        actor,
        token,
        permission=WRITE,
        page=act.page,
        action=act.name,
        handler=act.use_case,
        selection=rows.with_only_columns(*columns),
        cap=recurring.MOST_AT_ONCE,
        chosen=mask_pan_in_text(listed[:LONGEST_CHOICE]) or None,
    )
    return redirect(url_for(act.place, token=token, **_named(act)), 303)


def confirm(act: Act, token: str) -> Any:
    """The confirmation of a choice, or its outcome once it is done; a post does it."""
    run = _run(act, token)
    if run.state is RunState.DONE:
        return redirect(request.path, 303) if request.method == "POST" else _outcome(act, run)
    ids = list(db.session.scalars(select(ActionItem.row_id).where(ActionItem.run_id == run.id)))
    form = act.form(request.form if request.method == "POST" else None)
    if request.method == "GET":
        return _confirmation(act, run, ids, form)
    if not form.validate():
        return _confirmation(act, run, ids, form), 422
    run_id = run.id
    try:
        chosen = act.do(current_actor(), ids, form)
    except Invalid as refusal:
        run = _run(act, token)
        if run.state is RunState.DONE:  # the same form, sent twice: the first one did it
            return redirect(request.path, 303)
        return _confirmation(act, run, ids, form, put(form, refusal)), refusal.status
    reason = form.data.get("reason")
    runs.close_run(
        current_actor(),
        run_id,
        permission=WRITE,
        answers={"reason": reason} if reason else {},
        refused=chosen.refused,
    )
    return redirect(request.path, 303)


def find_dates(ids: Sequence[int]) -> Dates:
    """The chosen dates with what the pages show of them, oldest first."""
    return db.session.execute(
        shown().where(ScheduledCharge.id.in_(ids)).order_by(ScheduledCharge.due_date, ScheduledCharge.id)
    ).all()


SHOWN = (
    ScheduledCharge.id,
    ScheduledCharge.due_date,
    ScheduledCharge.invoice_number,
    ScheduledCharge.status,
    ScheduledCharge.amount_minor,
    ScheduledCharge.unit,
    ScheduledCharge.message,
    ScheduledCharge.subscription_id,
    ScheduledCharge.batch_id,
    BILLING_NUMBER.label("billing_number"),
    Subscription.status.label("subscription_status"),
    Subscription.purpose,
    Customer.name.label("customer"),
)


def shown() -> "Select[Any]":
    """Execute dates with what the pages show of them."""
    return with_orders(select(*SHOWN).select_from(ScheduledCharge)).join(Customer, Customer.id == CUSTOMER_ID)


def cells() -> dict[str, Any]:
    """How the templates of execute dates show names, amounts and states."""
    return {"name": masked("name"), "money": money_cell, "state": enum_cell}


def _run(act: Act, token: str) -> ActionRun:
    run = db.session.scalar(
        select(ActionRun).where(ActionRun.token == token, ActionRun.page == act.page, ActionRun.action == act.name)
    )
    if run is None or run.actor_id != current_actor().staff_id:
        raise NotFound("There is no such choice. Choose again from the list.")
    return run


def _confirmation(act: Act, run: ActionRun, ids: list[int], form: Any, problem: str | None = None) -> str:
    rows = find_dates(ids)
    left_out = act.why_not(rows)
    able = [row for row in rows if row.id not in left_out]
    if act.step_up:
        form.offer.data = step_up.offer(current_actor(), recurring.CANCEL_ACT, recurring.cancel_subject(ids))
    return render_template(
        "scheduled/confirm.html",
        act=act,
        title=act.title(len(able) or len(rows)),
        rows=rows,
        able=able,
        left_out=left_out,
        totals=_totals(able),
        form=form,
        problem=problem,
        back=_back(act, run.chosen or ""),
        **cells(),
    )


def _outcome(act: Act, run: ActionRun) -> str:
    items = db.session.scalars(select(ActionItem).where(ActionItem.run_id == run.id).order_by(ActionItem.id)).all()
    refused = {item.row_id: item.sentence for item in items if item.sentence}
    number = len(items) - len(refused)
    return render_template(
        "scheduled/outcome.html",
        act=act,
        run=run,
        title=act.outcome(number, len(items)),
        rows=find_dates([item.row_id for item in items]),
        refused=refused,
        number=number,
        back=_back(act, run.chosen or ""),
        **cells(),
    )


def _back(act: Act, listed: str) -> str:
    return f"{url_for(act.page)}?{listed}" if listed else url_for(act.page)


def _named(act: Act) -> dict[str, Any]:
    return {"act": act.name} if act.place.endswith(".act_page") else {}


def _totals(rows: Dates) -> list[tuple[str, int, Money]]:
    """How many dates and how much money, for each currency by itself."""
    totals: dict[str, tuple[int, Money]] = {}
    for row in rows:
        count, total = totals.get(row.unit, (0, Money(0, row.unit, unit_scale(row.unit) or 0)))
        totals[row.unit] = (count + 1, total + Money(row.amount_minor, row.unit, total.scale))
    return [(unit, count, total) for unit, (count, total) in sorted(totals.items())]


# --- the acts ---------------------------------------------------------------------------------------------------------


def _cancel(actor: Actor, ids: list[int], form: Any) -> Chosen:
    offer, code = form.offer.data or "", (form.code.data or "").strip()
    return recurring.cancel_scheduled(actor, charge_ids=ids, reason=form.reason.data, offer=offer, code=code)


def _charge(actor: Actor, ids: list[int], _form: Any) -> Chosen:
    return recurring.catch_up(actor, charge_ids=ids)


def _let_go(actor: Actor, ids: list[int], form: Any) -> Chosen:
    outcome = Chosen()
    for charge_id in ids:
        try:
            recurring.let_go(actor, charge_id, reason=form.reason.data)
        except Refusal as refusal:
            outcome.refused[charge_id] = refusal.sentence
        else:
            outcome.done.append(charge_id)
    return outcome


def _not_cancellable(rows: Dates) -> dict[int, str]:
    return {row.id: why for row in rows if (why := why_not_cancellable(row))}


def _not_caught_up(rows: Dates) -> dict[int, str]:
    taken: dict[int, int] = {}
    found: dict[int, str] = {}
    for row in rows:
        count = taken.get(row.subscription_id, 0)
        why = recurring.why_not_caught_up(row.status, row.subscription_status, row.purpose, taken=count)
        if why is None:
            taken[row.subscription_id] = count + (row.subscription_id is not None)
        else:
            found[row.id] = why
    return found


def _not_missed(rows: Dates) -> dict[int, str]:
    return {
        row.id: _("It is %(status)s, not missed.", status=Text(row.status.value).lower())
        for row in rows
        if row.status.name != "MISSED"
    }


CANCEL = Act(
    name="cancel",
    page="cancel_scheduled.search",
    place="cancel_scheduled.confirm",
    ask=lambda number: _n("Cancel %(number)s execute date", "Cancel %(number)s execute dates", number),
    outcome=lambda done, number: _n(
        "Cancelled: %(done)s of %(number)s execute date",
        "Cancelled: %(done)s of %(number)s execute dates",
        number,
        done=NumberText(done),
    ),
    none=_("Choose at least one execute date first."),
    done=_("Cancelled"),
    keep=_("Keep them"),
    icon="trash",
    use_case="subscriptions.cancel_scheduled",
    says=(
        _("These dates are not charged, and no reminder is sent for them."),
        _("They stay cancelled: a later change of the schedule does not bring them back."),
        _("All other dates of these subscriptions go on as planned."),
        _("A date that is already being charged when you confirm finishes. The result says so, date by date."),
    ),
    why_not=_not_cancellable,
    do=_cancel,
    step_up=True,
)
CHARGE = Act(
    name="charge",
    page="attention.index",
    place="attention.act_page",
    ask=lambda number: _n("Charge %(number)s missed date", "Charge %(number)s missed dates", number),
    outcome=lambda done, number: _n(
        "Being charged: %(done)s of %(number)s missed date",
        "Being charged: %(done)s of %(number)s missed dates",
        number,
        done=NumberText(done),
    ),
    none=_("Choose at least one missed date first."),
    done=_("Being charged"),
    keep=_("Not now"),
    icon="credit-card",
    use_case="subscriptions.catch_up",
    says=(
        _("Each date is charged once, with its own amount, as soon as a worker is free."),
        _(
            "Oldest first, and at most %(most)s dates of a subscription at a time: never a burst.",
            most=recurring.CATCH_UP_MOST,
        ),
        _("The others stay missed. Charge them later, or let them go."),
        _("What became of each charge appears on its own page."),
    ),
    why_not=_not_caught_up,
    do=_charge,
    form=ConfirmForm,
    danger=False,
)
LET_GO = Act(
    name="let-go",
    page="attention.index",
    place="attention.act_page",
    ask=lambda number: _n("Let go of %(number)s missed date", "Let go of %(number)s missed dates", number),
    outcome=lambda done, number: _n(
        "Let go: %(done)s of %(number)s missed date",
        "Let go: %(done)s of %(number)s missed dates",
        number,
        done=NumberText(done),
    ),
    none=_("Choose at least one missed date first."),
    done=_("Let go"),
    keep=_("Not now"),
    icon="ban",
    use_case="subscriptions.let_go",
    says=(
        _("These dates are never charged and leave the list of what needs attention."),
        _("All other dates of these subscriptions go on as planned."),
    ),
    why_not=_not_missed,
    do=_let_go,
)
