"""The pages of acts on one subscription: a confirmation, and a refusal that keeps what was typed."""

from collections.abc import Callable
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import select

from payadmin.actions import subscriptions as recurring
from payadmin.db import db
from payadmin.kernel.errors import Refusal
from payadmin.kernel.text import _
from payadmin.models.audit import AuditEvent
from payadmin.models.subscriptions import Subscription
from payadmin.queries.subscriptions import plan_of
from payadmin.views import lists
from payadmin.views.columns import zone
from payadmin.views.fields import put
from payadmin.views.security import current_actor
from payadmin.views.subscriptions.act_forms import ActForm, PolicyForm
from payadmin.views.subscriptions.acts import NAMED, why_not
from payadmin.views.subscriptions.rows import status_cell
from payadmin.views.subscriptions.schedule_form import ScheduleForm, preview_context, stored, wants_preview

GetRow = Callable[[int], Subscription]


def way_back(row_id: int) -> str:
    """Where an act was started: Manage recurring with its search, or the subscription."""
    if request.values.get("via") == "manage":
        listed = request.values.get("list", "")
        return url_for("manage_recurring.search") + (f"?{listed}" if listed and listed.isprintable() else "")
    return url_for("subscriptions.details_view", row_id=row_id)


def act_page(get_row: GetRow, row_id: int, name: str) -> Any:
    """The confirmation of an act, and on a post the act itself, for the version that was looked at."""
    act, row = NAMED[name], get_row(row_id)
    assert act.send is not None
    assert act.effects is not None
    posted = request.method == "POST"
    form = act.form(request.form if posted else None)
    status, problem, back = 200, None, way_back(row_id)
    if posted and form.validate():
        try:
            flash(act.send(row, form), "success")
        except Refusal as refusal:
            db.session.rollback()
            status, problem = refusal.status, put(form, refusal)
        else:
            gone = name == "delete" and request.values.get("via") != "manage"
            return redirect(url_for("subscriptions.index_view") if gone else back, 303)
    elif posted:
        status = 422
    row = get_row(row_id)
    if isinstance(form, PolicyForm) and not posted:
        form.policy.data = str(row.retry_policy_id or "")
    page = render_template(
        "subscriptions/act.html",
        act=act,
        row=row,
        form=form,
        fields=[field for field in form if field.name != "version"],
        problem=problem,
        why_not=act.why_not(row),
        effects=list(act.effects(row, plan_of(db.session(), row.id, most=1 if name != "activate" else 400))),
        back=back,
        **_as_it_is(row, form, posted=posted),
    )
    return page, status


def edit_dates_page(get_row: GetRow, row_id: int) -> Any:
    """S2's Edit Date with its preview; a post saves the dates for the version that was looked at."""
    row, posted = get_row(row_id), request.method == "POST"
    form = DatesForm(request.form if posted else None, today=lists.today(), row=row, data=stored(row))
    status, problem, back = 200, None, way_back(row_id)
    if posted and not wants_preview():
        if form.validate() and form.schedule is not None:
            try:
                recurring.edit_schedule(
                    current_actor(),
                    row_id,
                    version=form.seen,
                    schedule=form.schedule,
                    start_date=form.start,
                    expiration_date=form.expiration_date.data,
                    zone=zone(),
                )
            except Refusal as refusal:
                db.session.rollback()
                status, problem = refusal.status, put(form, refusal)
            else:
                flash(_("The dates are saved and planned: %(schedule)s.", schedule=form.schedule), "success")
                return redirect(back, 303)
        else:
            status = 422
    row = get_row(row_id)
    page = render_template(
        "subscriptions/dates.html",
        act=NAMED["dates"],
        row=row,
        form=form,
        problem=problem,
        why_not=why_not(NAMED["dates"], row),
        back=back,
        **_as_it_is(row, form, posted=posted),
        **preview_context(form),
    )
    return page, status


class DatesForm(ScheduleForm, ActForm):
    """Edit Date: the schedule, and the version that was looked at."""


def _as_it_is(row: Subscription, form: ActForm, *, posted: bool) -> dict[str, Any]:
    """What to show when the row moved on meanwhile: how it is now and who changed it last.

    The form then carries the version that is shown, so that sending it again is a new, informed decision.
    """
    moved = posted and form.seen != row.version
    last = None
    if moved:
        about = (
            AuditEvent.entity == "subscription",
            AuditEvent.entity_id == str(row.id),
            AuditEvent.outcome == "done",
        )
        last = db.session.scalars(select(AuditEvent).where(*about).order_by(AuditEvent.id.desc()).limit(1)).first()
    form.version.raw_data, form.version.data = None, str(row.version)
    return {
        "moved": moved,
        "last": last,
        "status_word": status_cell(row),
        "way": {name: request.values[name] for name in ("via", "list") if request.values.get(name)},
    }
