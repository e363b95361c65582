"""Personal data of one record, shown for a while to somebody who usually sees it masked, for a reason they give."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import inspect, select
from wtforms import Form, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length

from payadmin.actions import reveals
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.system import Reveal
from payadmin.permissions import Permission
from payadmin.views.columns import REVEALED, masks_personal_data
from payadmin.views.fields import SelectField, no_controls
from payadmin.views.saved_views import SavedViewPages, is_personal
from payadmin.views.security import current_actor


@dataclass(frozen=True)
class Revealing:
    """What the details page says about personal data: where to ask for it, or how long it is still shown."""

    url: str
    hide_url: str
    until: dt.datetime | None

    @property
    def seconds(self) -> int:
        """How long it is still shown."""
        return max(0, int((self.until - utcnow()).total_seconds())) if self.until else 0


class RevealForm(Form):
    """Why somebody needs to see it."""

    reason = SelectField(
        "Why do you need to see it?",
        [InputRequired("Choose a reason.")],
        choices=[SelectChoice(value=reason, label=reason) for reason in ("", *reveals.REASONS)],
    )
    note = TextAreaField(
        "Say more",
        [Length(max=200, message="At most 200 characters."), no_controls],
        description="A ticket or a few words; needed for “Other”.",
    )


class RevealPages(SavedViewPages):
    """Reveal and hide on the details pages of records with personal data."""

    def shows_personal(self) -> bool:
        """Whether details here hold personal data: a masked column, or the name of a person that a column points to."""
        return any(is_personal(column) for column in self.columns.values())

    def revealing(self, row: Any) -> Revealing | None:
        """What to say above the details; None for who sees everything, may not ask, or where nothing is masked."""
        actor = current_actor()
        may = actor.may(Permission.PARTIES_PERSONAL_REVEAL) and masks_personal_data()
        if not may or not self.shows_personal():
            return None
        until = db.session.scalar(
            select(Reveal.until)
            .where(
                Reveal.staff_id == actor.staff_id,
                Reveal.entity == inspect(self.model).local_table.name,
                Reveal.entity_id == row.id,
                Reveal.until > utcnow(),
            )
            .order_by(Reveal.until.desc())
            .limit(1)
        )
        return Revealing(
            url_for(f"{self.endpoint}.reveal_view", row_id=row.id),
            url_for(f"{self.endpoint}.hide_view", row_id=row.id),
            until,
        )

    @contextlib.contextmanager
    def unmasked(self, revealing: Revealing | None) -> Iterator[None]:
        """Within it, nothing is masked, if the person signed in has revealed the record and the time is not over."""
        if revealing is None or not revealing.seconds:
            yield
            return
        request.environ[REVEALED] = True
        try:
            yield
        finally:
            request.environ.pop(REVEALED, None)

    @expose("/<int:row_id>/reveal/", methods=("GET", "POST"))
    def reveal_view(self, row_id: int) -> Any:
        """Ask for the reason; a post shows the personal data of this record for a few minutes."""
        row = self.get_row(row_id)
        details = url_for(f"{self.endpoint}.details_view", row_id=row_id)
        if not self.shows_personal():
            raise Conflict("Nothing on this page is masked.")
        form, status = RevealForm(request.form or None), 200
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    reveals.reveal_record(
                        current_actor(),
                        row_id,
                        scope=self.get_query(),
                        reason=form.reason.data,
                        note=form.note.data or "",
                    )
                except Invalid as refusal:
                    db.session.rollback()
                    form.note.errors = [refusal.sentence]
                else:
                    flash(
                        "Shown for a few minutes. Your reason is written into the trail.",
                        "success",
                    )
                    return redirect(details, 303)
        page = self.render(
            "admin/model/reveal.html",
            title="Show personal data",
            form=form,
            minutes=reveals.MINUTES,
            name=self.describe(row),
            back=details,
        )
        return page, status

    @expose("/<int:row_id>/hide/", methods=("POST",))
    def hide_view(self, row_id: int) -> Any:
        """End it before its time."""
        self.get_row(row_id)
        reveals.hide_record(current_actor(), row_id, scope=self.get_query())
        flash("Personal data is masked again.", "success")
        return redirect(url_for(f"{self.endpoint}.details_view", row_id=row_id), 303)
