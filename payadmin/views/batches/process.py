"""The confirmation of a batch: what will happen to how many rows, what is left out, and one code (T15)."""

from typing import Any

from flask import flash, redirect, render_template, request
from sqlalchemy import func, select
from wtforms import Form, HiddenField, StringField

from payadmin import step_up
from payadmin.actions.batches import PROCESS_ACT, process_batch, process_subject
from payadmin.actions.batches.paying import covers, why_not_covered
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Refusal
from payadmin.kernel.text import NumberText, _, _n
from payadmin.models.batches import Batch, BatchKind, BatchRow, RowStatus
from payadmin.models.parties import Organization
from payadmin.views import lists
from payadmin.views.columns import money_cell, zone
from payadmin.views.fields import put
from payadmin.views.filters import row_id_of
from payadmin.views.security import current_actor


class ProcessForm(Form):
    """What the form showed, and the code."""

    version = HiddenField()
    valid = HiddenField()
    skipped = HiddenField()
    offer = HiddenField()
    code = StringField()


def act_words(batch: Batch) -> str:
    """What the button does, with its numbers: a registration says what it leaves out."""
    if batch.kind is BatchKind.SINGLE_PAYMENT:
        return _n("Process %(number)s payment", "Process %(number)s payments", batch.rows_valid)
    if batch.kind is BatchKind.MASS_PAYMENT:
        return _n("Pay %(number)s row", "Pay %(number)s rows", batch.rows_valid)
    if batch.rows_invalid:
        valid, invalid = NumberText(batch.rows_valid), NumberText(batch.rows_invalid)
        return _("Process %(valid)s valid, skip %(invalid)s invalid", valid=valid, invalid=invalid)
    return _n("Process %(number)s registration", "Process %(number)s registrations", batch.rows_valid)


def process_page(batch: Batch, list_address: str) -> Any:
    """The confirmation; a post confirms the batch once, with the counts that the form showed."""
    batch_id, status, problem, is_overtaken = batch.id, 200, None, False
    back = f"{list_address}{batch_id}/"
    form = ProcessForm(request.form if request.method == "POST" else None)
    if request.method == "POST":
        said = {name: _whole(form[name].data) for name in ("version", "valid", "skipped")}
        try:
            process_batch(
                current_actor(),
                batch_id,
                **said,
                zone=zone(),
                offer=form.offer.data or "",
                code=(form.code.data or "").strip(),
            )
        except Refusal as refusal:
            db.session.rollback()
            status, problem = refusal.status, put(form, refusal)
            is_overtaken = isinstance(refusal, Conflict)
        else:
            flash("The batch is confirmed. Outcomes arrive row by row.", "success")
            return redirect(back, 303)
    batch = db.session.get_one(Batch, batch_id, populate_existing=True)
    for name, value in {"version": batch.version, "valid": batch.rows_valid, "skipped": batch.rows_invalid}.items():
        form[name].data = str(value)
    why_not = batch.why_not_processable
    shown = covers(db.session(), batch) if batch.kind is BatchKind.MASS_PAYMENT and why_not is None else []
    why_not = why_not or why_not_covered(shown)
    if why_not is None:
        form.offer.data = step_up.offer(current_actor(), PROCESS_ACT, process_subject(batch))
    page = render_template(
        "batches/process.html",
        batch=batch,
        merchant=db.session.scalar(select(Organization.name).where(Organization.id == batch.merchant_id)),
        form=form,
        problem=problem,
        why_not=why_not,
        is_overtaken=is_overtaken and why_not is None,
        act_words=act_words(batch),
        totals=[
            (unit, sums["valid_rows"], money_cell(sums["valid_minor"], unit))
            for unit, sums in sorted(batch.totals.items())
            if sums["valid_rows"]
        ],
        now=_due_now(batch) if why_not is None else 0,
        covers=shown,
        address=back,
        back=back,
    )
    return page, status


def _due_now(batch: Batch) -> int:
    """How many rows run at once: those whose day is today, or all of them where rows have no day."""
    if batch.kind is BatchKind.MASS_PAYMENT:
        return int(batch.rows_valid)
    day = BatchRow.execute_date if batch.kind is BatchKind.SINGLE_PAYMENT else BatchRow.start_date
    rows = select(func.count()).select_from(BatchRow)
    due = rows.where(BatchRow.batch_id == batch.id, BatchRow.status == RowStatus.VALID, day <= lists.today())
    return db.session.scalar(due) or 0


def _whole(text: str | None) -> int:
    """A number that the form carried; -1, which nothing has, when it was tampered with."""
    return 0 if text == "0" else row_id_of(text or "") or -1
