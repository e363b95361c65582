"""The form that has a list exported again and again: how often, with which days, and who else is told."""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from wtforms import Form, HiddenField, SelectMultipleField, StringField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length

from payadmin import step_up
from payadmin.actions import exports
from payadmin.db import db
from payadmin.kernel.errors import Invalid, NotFound
from payadmin.kernel.periods import LAST_DAY, Period, Rhythm
from payadmin.kernel.schedules import WEEKDAYS
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.models.exports import ExportReader, ExportSchedule, FileKind
from payadmin.models.payments import Mode
from payadmin.permissions import Permission
from payadmin.views import lists
from payadmin.views.columns import masked, zone
from payadmin.views.fields import SelectField
from payadmin.views.filters import DayFilter
from payadmin.views.language import say, speech
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

if TYPE_CHECKING:
    from payadmin.views.exports import ExportPages

MOST_PEOPLE = 200
LONGEST_NUMBER = 10
CHANGE_ACT = "export_schedules.change"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_AS_IT_IS = ""


def _choices(pairs: Iterable[tuple[Any, str]]) -> list[Any]:
    return [SelectChoice(value=value, label=label) for value, label in pairs]


class ScheduleForm(Form):
    """What a schedule says. Which days can move along, and who can be told, depends on the list."""

    title = StringField("Name", [InputRequired("Give it a name."), Length(max=120, message="At most 120 characters.")])
    kind = SelectField("File", choices=_choices((kind.ending, kind.value) for kind in (FileKind.CSV, FileKind.XLSX)))
    days = SelectField("Days", description="Seen from the day of each run, in business time. Weeks begin on Monday.")
    rhythm = SelectField("Every", choices=_choices((rhythm.name, Text(rhythm.value).lower()) for rhythm in Rhythm))
    weekday = SelectField(
        "On", coerce=int, choices=_choices(enumerate(WEEKDAYS, 1)), description="For a file every week.", default=1
    )
    day = SelectField(
        "On day",
        coerce=int,
        choices=_choices((day, str(day)) for day in range(1, LAST_DAY + 1)),
        description="For a file every month.",
        default=1,
    )
    seen_version = HiddenField()
    at = StringField("At", [InputRequired("Write the time as 07:30.")], default="07:00", render_kw={"type": "time"})
    readers = SelectMultipleField("Also told, and allowed to fetch the file", coerce=int)
    offer = HiddenField()
    code = StringField()

    def validate_at(self, field: StringField) -> None:
        """A minute of the day."""
        if not _TIME.fullmatch(field.data or ""):
            msg = "Write the time as 07:30."
            raise ValidationError(msg)

    @property
    def minute(self) -> int:
        """The minute of the day."""
        hour, minute = (self.at.data or "").split(":")
        return int(hour) * 60 + int(minute)


def schedule_page(page: "ExportPages", asked: lists.Request) -> Any:
    """The form for the list that `asked` is; a post saves the schedule and shows it."""
    form = ScheduleForm(request.form if request.method == "POST" else None, title=_title(page))
    form.days.choices = _choices(_days(page, asked))
    form.readers.choices = _choices(_people(page.export_needs()))
    if request.method == "GET":
        form.days.data = next(
            (f"{key}:{Period.YESTERDAY.name}" for key in _day_filters(page) if key in asked.active), _AS_IT_IS
        )
        return _shown(page, asked, form, None)
    problem = None
    if form.validate():
        try:
            schedule = _save(page, asked, form)
        except Invalid as refusal:
            problem = refusal.sentence if refusal.field != "code" else None
            form.code.errors = [refusal.sentence] if refusal.field == "code" else []
        else:
            first = schedule.next_at
            assert first is not None
            flash(
                _(
                    "Saved. The first file is written on %(zone)s.",
                    zone=speech().moment(first.astimezone(zone())),
                ),
                "success",
            )
            return redirect(url_for("export_schedules.details_view", row_id=schedule.id), 303)
    return _shown(page, asked, form, problem), 422


def change_page(page: Any, row: ExportSchedule) -> Any:
    """The form that changes a schedule of one's own: its name, its kind, when it runs and who is told, not its list.

    Args:
        page: the page of schedules.
        row: the schedule, as far as the person may see it.

    Raises:
        NotFound: it is somebody else's.
    """
    if row.owner_id != current_actor().staff_id:
        raise NotFound("Only its owner can change a schedule: the files are written with the owner's rights.")
    subject = {"schedule": str(row.id)}
    form = ScheduleForm(request.form if request.method == "POST" else None)
    # The list stays as it is, and so do its days.
    del form.days
    form.readers.choices = _choices(_people(Permission(need) for need in row.needs))
    status, problem, back = 200, None, f"{page.address}{row.id}/"
    if request.method == "GET":
        told = select(ExportReader.staff_id).where(ExportReader.schedule_id == row.id)
        form.title.data, form.kind.data, form.rhythm.data = row.title, row.kind.ending, row.rhythm.name
        form.weekday.data, form.day.data = row.weekday or 1, row.day or 1
        form.at.data = f"{row.at_minute // 60:02}:{row.at_minute % 60:02}"
        form.readers.data = list(db.session.scalars(told))
        form.seen_version.data = str(row.version)
    else:
        status = 422
        if form.validate():
            try:
                _change(row.id, form, subject)
            except Invalid as refusal:
                db.session.rollback()
                problem = refusal.sentence if refusal.field != "code" else None
                form.code.errors = [refusal.sentence] if refusal.field == "code" else []
            else:
                flash("The schedule is changed.", "success")
                return redirect(back, 303)
    answer = render_template(
        "exports/schedule.html",
        admin_view=page,
        heading=_("Change a scheduled export"),
        form=form,
        problem=problem,
        code_error=" ".join(form.code.errors),
        offer=step_up.offer(current_actor(), CHANGE_ACT, subject),
        here=f"{back}change/",
        back=back,
        criteria=list(row.criteria.items()),
        columns=[key.replace("_", " ") for key in row.columns],
        zone_name=current_app.extensions["payadmin.settings"].business_tz,
    )
    return answer, status


def _change(schedule_id: int, form: ScheduleForm, subject: dict[str, str]) -> None:
    rhythm, seen = Rhythm[form.rhythm.data], form.seen_version.data or ""
    exports.change_schedule(
        current_actor(),
        schedule_id,
        version=int(seen) if seen.isascii() and seen.isdigit() and len(seen) < LONGEST_NUMBER else 0,
        title=form.title.data or "",
        kind=FileKind[form.kind.data.upper()],
        rhythm=rhythm,
        weekday=form.weekday.data if rhythm is Rhythm.WEEKLY else None,
        day=form.day.data if rhythm is Rhythm.MONTHLY else None,
        at_minute=form.minute,
        readers=form.readers.data or [],
        zone=zone(),
        confirm=lambda work: step_up.spend(
            work, form.offer.data or "", (form.code.data or "").strip(), CHANGE_ACT, subject
        ),
    )


def words_of(row: Any) -> str:
    """When a schedule runs, in words; reads only columns."""
    at = f"{row.at_minute // 60:02}:{row.at_minute % 60:02}"
    match row.rhythm:
        case Rhythm.WEEKLY:
            return _("%(weekday)ss at %(time)s", weekday=WEEKDAYS[row.weekday - 1], time=at)
        case Rhythm.MONTHLY:
            return _("Day %(day)s of each month at %(time)s", day=row.day, time=at)
    return _("Every day at %(time)s", time=at)


def _save(page: "ExportPages", asked: lists.Request, form: ScheduleForm) -> ExportSchedule:
    key, _, name = (form.days.data or "").partition(":")
    period = Period[name] if key else None
    rhythm = Rhythm[form.rhythm.data]
    said = dict(page.criteria(asked))
    if period is not None:
        said[page.shape.filters[key].label] = period.value
    without = ["size", *([key] if period else [])]
    act, subject = _act(page, asked)
    return exports.save_schedule(
        current_actor(),
        page.endpoint,
        title=form.title.data or "",
        page_title=page.heading_,
        needs=page.export_needs(),
        kind=FileKind[form.kind.data.upper()],
        list_args=asked.query_string(without=without)[1:],
        recorded=page.recorded(asked, without=without),
        criteria=said,
        columns=[column.key for column in page.exported_columns()],
        mode=Mode[current_mode()],
        period_on=key or None,
        period=period,
        rhythm=rhythm,
        weekday=form.weekday.data if rhythm is Rhythm.WEEKLY else None,
        day=form.day.data if rhythm is Rhythm.MONTHLY else None,
        at_minute=form.minute,
        readers=form.readers.data or [],
        zone=zone(),
        confirm=lambda work: step_up.spend(work, form.offer.data or "", (form.code.data or "").strip(), act, subject),
    )


def _shown(page: "ExportPages", asked: lists.Request, form: ScheduleForm, problem: str | None) -> str:
    act, subject = _act(page, asked)
    back = f"{page.address}{asked.query_string()}"
    return render_template(
        "exports/schedule.html",
        admin_view=page,
        heading=_("Schedule an export"),
        form=form,
        problem=problem,
        code_error=" ".join(form.code.errors),
        offer=step_up.offer(current_actor(), act, subject),
        here=f"{page.address}export/schedule/{asked.query_string()}",
        back=back,
        criteria=page.criteria(asked),
        columns=[column.label for column in page.exported_columns()],
        zone_name=current_app.extensions["payadmin.settings"].business_tz,
    )


def _act(page: "ExportPages", asked: lists.Request) -> tuple[str, dict[str, str]]:
    columns = ",".join(column.key for column in page.exported_columns())
    subject = {"list": asked.query_string(), "columns": columns, "scope": "; ".join(page.scope_words())}
    return f"{page.endpoint}.schedule", subject


def _title(page: "ExportPages") -> str:
    return page.heading_[:100]


def _day_filters(page: "ExportPages") -> list[str]:
    return [key for key, each in page.shape.filters.items() if isinstance(each, DayFilter)]


def _days(page: "ExportPages", asked: lists.Request) -> Iterator[tuple[str, str]]:
    dated = [page.shape.filters[key] for key in _day_filters(page)]
    fixed = [f"{say(each.label)} {asked.active[each.key].summary}" for each in dated if each.key in asked.active]
    yield (
        _AS_IT_IS,
        _("As the list is now (%(days)s)", days="; ".join(fixed)) if fixed else _("As the list is now (all days)"),
    )
    for each in dated:
        for period in Period:
            said = _("%(column)s: %(period)s", column=Text(each.label), period=Text(period.value).lower())
            yield f"{each.key}:{period.name}", said


def _people(of_list: Iterable[Permission]) -> Iterator[tuple[int, str]]:
    """Other people who could make this file themselves."""
    needs = {*of_list, Permission.EXPORTS_EXPORT_READ}
    living = select(StaffUser).where(StaffUser.status.in_((StaffStatus.ACTIVE, StaffStatus.INVITED)))
    show = masked("name")
    for staff in db.session.scalars(living.order_by(StaffUser.username).limit(MOST_PEOPLE)):
        if staff.id != current_actor().staff_id and needs <= staff.permissions:
            yield staff.id, f"{staff.username} ({show(staff.full_name)})"
