"""Scheduled exports: saved, paused, resumed, deleted, and planned by any number of schedulers, each date once."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select

from payadmin.actions.exports.files import AT_ONCE
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.periods import LAST_DAY, Period, Rhythm, first_due, last_due
from payadmin.kernel.text import Text, _, one_line
from payadmin.models.access import StaffUser
from payadmin.models.exports import Export, ExportReader, ExportSchedule, FileKind, ScheduleStatus
from payadmin.models.payments import Mode
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

MOST_SCHEDULES: Final = 20
MOST_READERS: Final = 50
MINUTES: Final = 24 * 60


@use_case(Permission.EXPORTS_EXPORT_READ)
def save_schedule(
    work: Work,
    page: str,
    /,
    *,
    title: str,
    page_title: str,
    needs: Sequence[Permission],
    kind: FileKind,
    list_args: str,
    recorded: str,
    criteria: Mapping[str, str],
    columns: Sequence[str],
    mode: Mode,
    period_on: str | None,
    period: Period | None,
    rhythm: Rhythm,
    weekday: int | None,
    day: int | None,
    at_minute: int,
    readers: Collection[int],
    zone: ZoneInfo,
    confirm: Callable[[Work], None],
) -> ExportSchedule:
    """Have a list exported again and again from now on.

    Args:
        page: the endpoint of the list's page.
        needs: the permissions that reading and exporting the list take.
        list_args: the list's address after the question mark, without the days that `period` stands for.
        recorded: `list_args` as the trail may keep it.
        period_on: the list's filter that `period` fills at each run; both or none.
        weekday: 1 (Monday) to 7, for a week's rhythm only.
        day: 1 to 28, for a month's rhythm only.
        at_minute: the minute of the business day at which it runs.
        readers: other people who are told of the files and may fetch them.
        confirm: called with the work in this transaction; it may refuse (step-up).

    Raises:
        Forbidden: the actor may not export this list.
        Invalid: what makes no sense, at its field.
        Conflict: the actor has as many schedules as one person may have.
    """
    if work.actor.staff_id is None or not all(work.actor.may(permission) for permission in needs):
        raise Forbidden("Your role does not allow this.")
    title = one_line(title)
    _check(title, rhythm, weekday, day, at_minute)
    if (period is None) != (period_on is None):
        raise Invalid("Choose the days and what they are the days of.", field="period")
    confirm(work)
    living = select(ExportSchedule.id).where(
        ExportSchedule.owner_id == work.actor.staff_id, ExportSchedule.status != ScheduleStatus.DELETED
    )
    if len(work.session.scalars(living.limit(MOST_SCHEDULES)).all()) >= MOST_SCHEDULES:
        raise Conflict(
            _("You have %(most_schedules)s scheduled exports. Delete one first.", most_schedules=MOST_SCHEDULES)
        )
    schedule = work.add(
        ExportSchedule(
            title=title,
            owner_id=work.actor.staff_id,
            page=page,
            page_title=page_title,
            needs=[str(permission) for permission in needs],
            kind=kind,
            list_args=list_args,
            criteria=dict(criteria),
            columns=list(columns),
            mode=mode,
            period_on=period_on,
            period=period,
            rhythm=rhythm,
            weekday=weekday,
            day=day,
            at_minute=at_minute,
            next_at=first_due(rhythm, weekday=weekday, day=day, at_minute=at_minute, after=work.now, zone=zone),
        )
    )
    told = _readers(work, readers, needs)
    for staff_id in told:
        work.add(ExportReader(schedule_id=schedule.id, staff_id=staff_id))
    work.record(Event.EXPORT_SCHEDULE_SAVED, schedule, page=page, filter=recorded, columns=columns, kind=kind.ending,
                rhythm=rhythm, period=period, readers=told)  # fmt: skip
    return schedule


@use_case(Permission.EXPORTS_EXPORT_READ, about=ExportSchedule)
def change_schedule(
    work: Work,
    schedule_id: int,
    /,
    *,
    version: int,
    title: str,
    kind: FileKind,
    rhythm: Rhythm,
    weekday: int | None,
    day: int | None,
    at_minute: int,
    readers: Collection[int],
    zone: ZoneInfo,
    confirm: Callable[[Work], None],
) -> None:
    """Say anew what a schedule's files are called, when they are made and who is told; the list stays as it is.

    Only its owner may: the files are written with the owner's rights.

    Args:
        version: the version that the form showed.
        readers: all the other people who are told from now on, and may fetch the files.
        confirm: called with the work in this transaction; it may refuse (step-up).

    Raises:
        NotFound: no such schedule, or somebody else's.
        Forbidden: the owner may not export this list any more.
        Invalid: what makes no sense, at its field.
        Conflict: it was changed or deleted meanwhile.
    """
    schedule = work.get(ExportSchedule, schedule_id)
    if schedule.owner_id != work.actor.staff_id:
        raise NotFound("There is no such schedule.")
    needs = [Permission(need) for need in schedule.needs]
    if not all(work.actor.may(permission) for permission in needs):
        raise Forbidden("Your role no longer allows this list to be exported.")
    title = one_line(title)
    _check(title, rhythm, weekday, day, at_minute)
    confirm(work)
    told = _readers(work, readers, needs)
    before = sorted(work.session.scalars(select(ExportReader.staff_id).where(ExportReader.schedule_id == schedule_id)))
    following = first_due(rhythm, weekday=weekday, day=day, at_minute=at_minute, after=work.now, zone=zone)
    if not work.change(
        ExportSchedule,
        schedule_id,
        when=[ExportSchedule.version == version, ExportSchedule.status != ScheduleStatus.DELETED],
        title=title,
        kind=kind,
        rhythm=rhythm,
        weekday=weekday,
        day=day,
        at_minute=at_minute,
        next_at=following if schedule.status is ScheduleStatus.ACTIVE else None,
    ):
        raise Conflict("This schedule was changed meanwhile. Look at it again.")
    work.session.execute(
        delete(ExportReader).where(ExportReader.schedule_id == schedule_id, ExportReader.staff_id.not_in(told))
    )
    for staff_id in sorted(set(told) - set(before)):
        work.add(ExportReader(schedule_id=schedule_id, staff_id=staff_id))
    work.record(Event.EXPORT_SCHEDULE_SAVED, schedule, before={"readers": before}, after={"readers": told},
                page=schedule.page, kind=kind.ending, rhythm=rhythm)  # fmt: skip


@use_case(Permission.EXPORTS_EXPORT_READ, about=ExportSchedule)
def pause_schedule(work: Work, schedule_id: int, /) -> None:
    """Make no files until it is resumed.

    Raises:
        NotFound: no such schedule, or somebody else's.
        Conflict: it is paused or deleted already.
    """
    schedule = _own(work, schedule_id)
    if not work.change(ExportSchedule, schedule_id, status=ScheduleStatus.PAUSED, next_at=None):
        raise Conflict(_("This schedule is %(status)s already.", status=Text(schedule.status.value).lower()))
    work.record(Event.EXPORT_SCHEDULE_PAUSED, schedule)


@use_case(Permission.EXPORTS_EXPORT_READ, about=ExportSchedule)
def resume_schedule(work: Work, schedule_id: int, /, *, zone: ZoneInfo) -> dt.datetime:
    """Make files again from the next date on; what fell due meanwhile is not made up for. The moment of the next run.

    Raises:
        NotFound: no such schedule, or somebody else's.
        Conflict: it is not paused.
    """
    schedule = _own(work, schedule_id)
    following = _next(schedule, work.now, zone)
    if not work.change(ExportSchedule, schedule_id, status=ScheduleStatus.ACTIVE, next_at=following, reason=None):
        raise Conflict(
            _("This schedule is %(status)s, so it cannot be resumed.", status=Text(schedule.status.value).lower())
        )
    work.record(Event.EXPORT_SCHEDULE_RESUMED, schedule)
    return following


@use_case(Permission.EXPORTS_EXPORT_READ, about=ExportSchedule)
def delete_schedule(work: Work, schedule_id: int, /) -> None:
    """End a schedule for good; its files stay until their time is over.

    Raises:
        NotFound: no such schedule, or somebody else's.
        Conflict: it is deleted already.
    """
    schedule = _own(work, schedule_id)
    if not work.change(ExportSchedule, schedule_id, status=ScheduleStatus.DELETED, next_at=None):
        raise Conflict("This schedule is deleted already.")
    work.record(Event.EXPORT_SCHEDULE_DELETED, schedule)


@use_case(Permission.SYSTEM_JOB_RUN)
def plan_exports(work: Work, *, zone: ZoneInfo) -> int:
    """Promise the files that are due; how many.

    Any number of schedulers may call it at once: the move of `next_at` decides who plans a date, and the unique pair of
    schedule and date stands behind it. After an outage only the latest date is made up for.
    """
    due = work.session.scalars(
        select(ExportSchedule)
        .where(ExportSchedule.status == ScheduleStatus.ACTIVE, ExportSchedule.next_at <= work.now)
        .order_by(ExportSchedule.next_at, ExportSchedule.id)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    planned = 0
    for schedule in due:
        latest = last_due(
            schedule.rhythm,
            weekday=schedule.weekday,
            day=schedule.day,
            at_minute=schedule.at_minute,
            until=work.now,
            zone=zone,
        )
        on = latest.astimezone(zone).date()
        following = _next(schedule, work.now, zone)
        won = work.change(
            ExportSchedule, schedule.id, when=[ExportSchedule.next_at == schedule.next_at], next_at=following
        )
        if not won:
            continue
        done = work.exists(Export.schedule_id == schedule.id, Export.due_on == on)
        export = None if done else _promise(work, schedule, on)
        if export is None:
            work.record(Event.EXPORT_REQUESTED, schedule, outcome="done", reason="This date has its file already.")
        else:
            planned += 1
            work.record(Event.EXPORT_REQUESTED, export, also=[schedule], page=schedule.page, kind=schedule.kind.ending,
                        columns=schedule.columns)  # fmt: skip
    return planned


def _promise(work: Work, schedule: ExportSchedule, on: dt.date) -> Export:
    args = schedule.list_args
    if schedule.period is not None and schedule.period_on is not None:
        first, last = schedule.period.days(on)
        pairs = [pair for pair in parse_qsl(args) if pair[0] != schedule.period_on]
        args = urlencode([*pairs, (schedule.period_on, f"{first}..{last}")])
    export = work.add(
        Export(
            requester_id=schedule.owner_id,
            page=schedule.page,
            page_title=schedule.page_title,
            needs=schedule.needs,
            kind=schedule.kind,
            name=f"{schedule.page.replace('_', '-')}-{on}.{schedule.kind.ending}",
            list_args=args,
            criteria=schedule.criteria,
            columns=schedule.columns,
            mode=schedule.mode,
            schedule_id=schedule.id,
            due_on=on,
        )
    )
    work.promise("write_export", export_id=export.id)
    return export


def _next(schedule: ExportSchedule, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    return first_due(
        schedule.rhythm,
        weekday=schedule.weekday,
        day=schedule.day,
        at_minute=schedule.at_minute,
        after=after,
        zone=zone,
    )


def _check(title: str, rhythm: Rhythm, weekday: int | None, day: int | None, at_minute: int) -> None:
    if not title or len(title) > 120:  # noqa: PLR2004 - the column's length
        raise Invalid("Give it a name of at most 120 characters.", field="title")
    if (rhythm is Rhythm.WEEKLY) != (weekday is not None) or not 1 <= (weekday or 1) <= 7:  # noqa: PLR2004 - a week
        raise Invalid("Choose the day of the week.", field="weekday")
    if (rhythm is Rhythm.MONTHLY) != (day is not None) or not 1 <= (1 if day is None else day) <= LAST_DAY:
        raise Invalid(
            _("Choose a day of the month from 1 to %(last_day)s, which every month has.", last_day=LAST_DAY),
            field="day",
        )
    if not 0 <= at_minute < MINUTES:
        raise Invalid("Write the time as 07:30.", field="at")


def _readers(work: Work, readers: Collection[int], needs: Sequence[Permission]) -> list[int]:
    """The other people to be told; only those who could make the file themselves."""
    wanted = sorted(set(readers) - {work.actor.staff_id})
    if len(wanted) > MOST_READERS:
        raise Invalid(
            _("At most %(most_readers)s people can be told of the files.", most_readers=MOST_READERS), field="readers"
        )
    people = {staff.id: staff for staff in work.session.scalars(select(StaffUser).where(StaffUser.id.in_(wanted)))}
    for staff_id in wanted:
        staff = people.get(staff_id)
        all_of_it = {*needs, Permission.EXPORTS_EXPORT_READ}
        if staff is None or not staff.may_sign_in or not all_of_it <= staff.permissions:
            raise Invalid("Only people who may export this list themselves can be told of its files.", field="readers")
    return wanted


def _own(work: Work, schedule_id: int) -> ExportSchedule:
    schedule = work.get(ExportSchedule, schedule_id)
    if schedule.owner_id != work.actor.staff_id and not work.actor.may(Permission.EXPORTS_EXPORT_MANAGE):
        raise NotFound("There is no such schedule.")
    return schedule
