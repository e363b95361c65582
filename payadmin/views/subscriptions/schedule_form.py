"""The schedule editor that registering and Edit Date share, and its preview of the next dates (SC6)."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import current_app, render_template, request
from wtforms import BooleanField, DateField, Field, Form, RadioField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Optional

from payadmin.kernel.errors import Invalid
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind, check, next_dates, runs_per_year
from payadmin.kernel.text import _, day_text
from payadmin.models.subscriptions import Subscription
from payadmin.views import lists
from payadmin.views.columns import label_of
from payadmin.views.fields import FIRST_YEAR, LAST_YEAR, NumberField, SelectField, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say

SHOWN_DATES = 12
LONGEST_DATES = 8_000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SMALL = re.compile(r"[0-9]{1,2}", re.ASCII)


class DayField(DateField):
    """A calendar day of this or the next century."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read a day as browsers send it."""
        self.data = None
        if valuelist and valuelist[0].strip():
            self.data = _day_of(valuelist[0].strip())


class NumbersField(Field):
    """Several small numbers, each ticked; which of them make sense is for the schedule to say."""

    def process_data(self, value: Any) -> None:
        """Show the stored numbers."""
        self.data = tuple(value or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read every number that was ticked."""
        if any(not _SMALL.fullmatch(text) for text in valuelist):
            self.data = ()
            raise ValueError(_("Choose from what is offered."))
        self.data = tuple(sorted({int(text) for text in valuelist}))


class DatesField(TextAreaField):
    """Single dates, one a line or with commas between them."""

    data: Any

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "\n".join(day.isoformat() for day in self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read every date; the first that is none is named."""
        self.data = ()
        text = valuelist[0] if valuelist else ""
        if len(text) > LONGEST_DATES:
            raise ValueError(_("These are too many dates: use another kind of schedule."))
        self.data = tuple(sorted({_day_of(word) for word in re.split(r"[\s,;]+", text) if word}))


class ScheduleForm(Form):
    """When a subscription falls due. `schedule` is the rule once the form is valid.

    Args:
        formdata: what was posted.
        today: the business day, before which nothing can be planned.
        row: the subscription whose dates are edited; None for a new one.
    """

    kind = RadioField(
        "Kind of schedule",
        choices=[SelectChoice(value=kind.name, label=label_of(kind)) for kind in ScheduleKind],
        default=ScheduleKind.DATE.name,
        validate_choice=False,
    )
    weekdays = NumbersField("Days of the week")
    days = NumbersField("Days of the month")
    all_months = BooleanField("All months")
    months = NumbersField("Months")
    dates = DatesField("Dates")
    interval_count = NumberField("Every", [Optional()])
    interval_unit = SelectField(
        "Unit",
        choices=[
            SelectChoice(value=IntervalUnit.DAY.name, label=_("days")),
            SelectChoice(value=IntervalUnit.MONTH.name, label=_("months")),
        ],
        default=IntervalUnit.MONTH.name,
        validate_choice=False,
    )
    anchor = DayField("First run", [Optional()])
    start_date = DayField("Start date", [InputRequired("Enter the date from which it may run.")])
    expiration_date = DayField("Expiration date", [Optional()])

    def __init__(self, formdata: Any = None, *, today: dt.date, row: Subscription | None = None, **kw: Any) -> None:
        self.today, self.row = today, row
        self.schedule: Schedule | None = None
        super().__init__(formdata, **kw)

    def validate(self, extra_validators: Any = None) -> bool:
        """Check every field, then what they say together; each reason stands at the field to correct."""
        sound = super().validate(extra_validators)
        return self.judge() and bool(sound)

    def judge(self) -> bool:
        """Check only what the fields say together; also for a form that nobody has posted yet."""
        try:
            self.schedule = self._read()
            if self.start_date.data is not None and not self.expiration_date.errors:
                self._check(self.schedule, self.start_date.data)
        except Invalid as refusal:
            put(self, refusal)
            return False
        return self.start_date.data is not None

    def _read(self) -> Schedule:
        if self.kind.data not in ScheduleKind.__members__:
            raise Invalid("Choose one of the kinds.", field="kind")
        match kind := ScheduleKind[self.kind.data]:
            case ScheduleKind.DAY:
                return Schedule(kind, weekdays=self.weekdays.data, months=self._months())
            case ScheduleKind.DATE:
                return Schedule(kind, days=self.days.data, months=self._months())
            case ScheduleKind.FULL_DATE:
                return Schedule(kind, dates=self.dates.data)
        unit = IntervalUnit.__members__.get(self.interval_unit.data or "")
        return Schedule(kind, interval_unit=unit, interval_count=self.interval_count.data, anchor=self.anchor.data)

    def _months(self) -> tuple[int, ...]:
        return ALL_MONTHS if self.all_months.data else self.months.data

    @property
    def start(self) -> dt.date:
        """The start date of a valid form."""
        assert self.start_date.data is not None
        return self.start_date.data

    def _check(self, schedule: Schedule, start: dt.date) -> None:
        row = self.row
        if row is None and start < self.today:
            raise Invalid(
                _("The start date has passed: choose %(today)s or later.", today=self.today), field="start_date"
            )
        changed = row is None or schedule != row.schedule
        check(schedule, start=start, expiration=self.expiration_date.data, today=self.today, changed=changed)


def stored(row: Subscription) -> dict[str, Any]:
    """What the editor shows for a subscription as it is."""
    schedule = row.schedule
    bounds = {"start_date": row.start_date, "expiration_date": row.expiration_date}
    if schedule is None:
        return bounds | {"all_months": True}
    return bounds | {
        "kind": schedule.kind.name,
        "weekdays": schedule.weekdays,
        "days": schedule.days,
        # Ticked for a rule without months too, in case its kind is changed.
        "all_months": schedule.months in ((), ALL_MONTHS),
        "months": () if schedule.months == ALL_MONTHS else schedule.months,
        "dates": schedule.dates,
        "interval_count": schedule.interval_count,
        "interval_unit": schedule.interval_unit.name if schedule.interval_unit else IntervalUnit.MONTH.name,
        "anchor": schedule.anchor,
    }


# ---- the preview -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """What the editor shows beside itself: the rule in words and its next dates, or why there are none."""

    words: str = ""
    dates: tuple[dt.date, ...] = ()
    a_year: int = 0
    start: dt.date | None = None
    ends: bool = False
    problems: tuple[str, ...] = ()


def preview_of(form: ScheduleForm) -> Preview:
    """The next twelve dates of what is typed, and how often it runs in a year (SC6)."""
    posted = request.form if request.method == "POST" else None
    # A form of its own, so that looking at the next dates puts no errors into the one that is shown.
    alone = ScheduleForm(posted, today=form.today, row=form.row, data=form.data)
    sound = alone.validate() if posted is not None else alone.judge()
    if not sound or alone.schedule is None:
        said = [f"{say(field.label.text)}: {say(error)}" for field in alone for error in field.errors]
        return Preview(problems=tuple(said))
    start, until = max(alone.start, form.today), alone.expiration_date.data
    found = next_dates(alone.schedule, start - dt.timedelta(days=1), SHOWN_DATES, until=until)
    return Preview(
        words=str(alone.schedule),
        dates=tuple(found),
        a_year=runs_per_year(alone.schedule, start),
        start=start,
        ends=len(found) < SHOWN_DATES,
    )


def preview_page(get_row: Callable[[int], Subscription]) -> str:
    """The fragment that the editor asks for while somebody types."""
    row_id = row_id_of(request.args.get("row", ""))
    row = get_row(row_id) if row_id is not None else None
    form = ScheduleForm(request.form, today=lists.today(), row=row)
    return render_template("subscriptions/_preview.html", **preview_context(form))


def preview_context(form: ScheduleForm) -> dict[str, Any]:
    """What the preview's template reads."""
    return {
        "preview": preview_of(form),
        "zone_name": current_app.extensions["payadmin.settings"].business_tz,
        "day_text": day_text,
        "today": form.today,
    }


def wants_preview() -> bool:
    """Whether the form was posted by its Preview button: nothing is saved then."""
    return request.method == "POST" and "preview" in request.form


def _day_of(text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(_("“%(text)s” is not a date: write dates as 2026-12-31.", text=text[:20]))
    return day
