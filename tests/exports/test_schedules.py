"""Scheduled exports: saved from a list, planned once by any number of schedulers, told by mail, stopped in time."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update

from payadmin.actions import exports
from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.jobs.exports import keep_exports
from payadmin.models.access import StaffRole, StaffUser
from payadmin.models.exports import ExportReader, ExportSchedule, ExportStatus, ScheduleStatus
from payadmin.models.payments import Notification
from payadmin.permissions import Role
from payadmin.work import SYSTEM
from tests.support.make import writing

PassTime = Callable[..., None]
LIST = "/transactions/export/schedule/?status=PAID"
ZONE = ZoneInfo("Europe/London")


def saved(room: Any, client: Any, address: str = LIST, **data: Any) -> ExportSchedule:
    """A schedule that the person has just saved: every day at 07:00, yesterday's payments."""
    given = {"title": "Paid yesterday", "kind": "csv", "days": "created_at:YESTERDAY", "rhythm": "DAILY"}
    answer = room.confirmed(client, address, **(given | {"weekday": "1", "day": "1", "at": "07:00"} | data))
    assert answer.status_code == 303, answer.text
    return schedule_of(int(answer.location.rstrip("/").rpartition("/")[2]))


def schedule_of(schedule_id: int) -> ExportSchedule:
    db.session.rollback()
    return db.session.get_one(ExportSchedule, schedule_id, populate_existing=True)


def fall_due(schedule: ExportSchedule, *, ago: dt.timedelta = dt.timedelta(minutes=1)) -> None:
    writing()
    statement = update(ExportSchedule).where(ExportSchedule.id == schedule.id).values(next_at=utcnow() - ago)
    db.session.execute(statement.execution_options(explained=True))
    db.session.commit()


def keep(room: Any) -> None:
    keep_exports(room.app.extensions["payadmin.settings"])
    db.session.rollback()


def mails() -> list[Notification]:
    db.session.rollback()
    return list(db.session.scalars(select(Notification).order_by(Notification.id)))


def test_a_schedule_is_saved_with_a_code_and_shows_its_next_run(room: Any) -> None:
    client = room.person()
    page = client.get(LIST).text
    assert "Created: last week" in page or "Date: last week" in page
    schedule = saved(room, client)
    assert (schedule.status, schedule.period_on, schedule.list_args) == (
        ScheduleStatus.ACTIVE,
        "created_at",
        "status=PAID",
    )
    local = schedule.next_at.astimezone(ZONE) if schedule.next_at else None
    assert local is not None
    assert (local.hour, local.minute) == (7, 0)
    assert utcnow() < local <= utcnow() + dt.timedelta(days=1)
    shown = client.get(f"/export-schedules/{schedule.id}/").text
    assert "Every day at 07:00" in shown
    assert "Every day at 07:00" in client.get("/export-schedules/").text
    [entry] = room.trail(Event.EXPORT_SCHEDULE_SAVED)
    assert entry.keys["filter"] == "status=PAID"


def test_without_the_code_or_with_nonsense_nothing_is_saved(room: Any) -> None:
    client = room.person()
    good = {"title": "x", "kind": "csv", "days": "", "rhythm": "DAILY", "weekday": "1", "day": "1", "at": "07:00"}
    wrong = [
        {"code": "000000"},
        {"at": "25:00"},
        {"title": ""},
        {"rhythm": "HOURLY"},
        {"day": "31"},
        {"days": "id:NOW"},
    ]
    for changed in wrong:
        assert room.confirmed(client, LIST, **(good | changed)).status_code == 422, changed
    assert db.session.query(ExportSchedule).count() == 0


def test_a_due_date_makes_one_file_with_the_days_that_are_past_by_then(room: Any) -> None:
    client = room.person()
    yesterday = utcnow() - dt.timedelta(days=1)
    room.make.payment(transaction_id="T-YESTERDAY", created_at=yesterday)
    schedule = saved(room, client)
    fall_due(schedule)
    keep(room)
    keep(room)
    [export] = room.exports()
    # One minute before now may still be yesterday, by the business clock.
    on = (utcnow() - dt.timedelta(minutes=1)).astimezone(ZONE).date()
    assert export.schedule_id == schedule.id
    assert export.due_on is not None
    assert abs((export.due_on - on).days) <= 1
    day = export.due_on - dt.timedelta(days=1)
    assert export.list_args == f"status=PAID&created_at={day}..{day}"
    room.work()
    assert room.export(export.id).status is ExportStatus.READY
    following = schedule_of(schedule.id).next_at
    assert following is not None
    assert following > utcnow()


def test_any_number_of_schedulers_plan_a_date_once(room: Any) -> None:
    schedule = saved(room, room.person())
    fall_due(schedule)
    found: list[int] = []

    def scheduler() -> None:
        with room.app.app_context():
            found.append(exports.plan_exports(SYSTEM, zone=ZONE))
            db.session.remove()

    threads = [threading.Thread(target=scheduler) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 0, 0, 0, 1]
    assert len(room.exports()) == 1


def test_a_date_that_comes_due_again_is_not_exported_twice(room: Any) -> None:
    schedule = saved(room, room.person())
    for _ in range(2):
        fall_due(schedule)
        keep(room)
    assert len(room.exports()) == 1


def test_after_an_outage_only_the_latest_date_is_made_up_for(room: Any) -> None:
    schedule = saved(room, room.person())
    fall_due(schedule, ago=dt.timedelta(days=9))
    keep(room)
    assert len(room.exports()) == 1


def test_owner_and_readers_get_a_link_and_never_the_file(room: Any) -> None:
    client, reader = room.person(), room.person(Role.CFO)
    assert "staff" in client.get(LIST).text
    schedule = saved(room, client, readers=[str(reader.staff_id)])
    assert db.session.query(ExportReader).count() == 1
    fall_due(schedule)
    keep(room)
    room.work()
    [export] = room.exports()
    assert len(mails()) == 2
    for mail in mails():
        assert f"https://pay.example.com/exports/{export.id}/" in mail.body
        assert "Paid yesterday" in mail.subject
        assert mail.payment_id is None
    assert reader.get(f"/exports/{export.id}/download/").status_code == 200
    assert room.person().get(f"/exports/{export.id}/").status_code == 404
    assert room.post(reader, f"/exports/{export.id}/discard/", "/account/").status_code == 404, "it is not theirs"


def test_only_who_may_export_the_list_can_be_a_reader(room: Any) -> None:
    client, agent = room.person(), room.person(Role.SUPPORT_AGENT)
    data = {"title": "x", "kind": "csv", "days": "", "rhythm": "DAILY", "weekday": "1", "day": "1", "at": "07:00"}
    answer = room.confirmed(client, LIST, **data, readers=[str(agent.staff_id)])
    assert answer.status_code == 422
    assert db.session.query(ExportSchedule).count() == 0


def test_an_owner_who_lost_the_right_gets_no_file_and_the_schedule_stops(room: Any) -> None:
    client = room.person()
    schedule = saved(room, client)
    fall_due(schedule)
    writing()
    lost = update(StaffRole).where(StaffRole.staff_id == client.staff_id).values(role=Role.SUPPORT_AGENT)
    db.session.execute(lost.execution_options(explained=True))
    db.session.commit()
    keep(room)
    room.work()
    [export] = room.exports()
    assert export.status is ExportStatus.FAILED
    schedule = schedule_of(schedule.id)
    assert (schedule.status, schedule.next_at) == (ScheduleStatus.PAUSED, None)
    assert "may no longer export" in (schedule.reason or "")
    [mail] = mails()
    assert "could not be made" in mail.subject


def test_a_schedule_ends_with_its_owners_way_to_the_exports_page(room: Any) -> None:
    client = room.person()
    schedule = saved(room, client)
    writing()
    statement = update(StaffUser).where(StaffUser.id == client.staff_id).values(menu_access=["transactions"])
    db.session.execute(statement.execution_options(explained=True))
    db.session.commit()
    fall_due(schedule)
    keep(room)
    room.work()
    assert schedule_of(schedule.id).status is ScheduleStatus.PAUSED
    assert [export.status for export in room.exports()] == [ExportStatus.FAILED]


def test_a_schedule_is_paused_resumed_and_deleted_by_its_owner_only(room: Any) -> None:
    client, stranger = room.person(), room.person()
    schedule = saved(room, client)
    page = f"/export-schedules/{schedule.id}/"
    for act in ("pause", "resume", "end"):
        assert room.post(stranger, f"{page}{act}/", "/account/").status_code == 404
    assert room.post(client, f"/export-schedules/{schedule.id}/pause/", page).status_code == 303
    assert schedule_of(schedule.id).status is ScheduleStatus.PAUSED
    keep(room)
    assert room.exports() == []
    assert room.post(client, f"/export-schedules/{schedule.id}/pause/", page).status_code == 409
    assert room.post(client, f"/export-schedules/{schedule.id}/resume/", page).status_code == 303
    assert schedule_of(schedule.id).next_at is not None
    assert room.post(client, f"/export-schedules/{schedule.id}/end/", page).status_code == 303
    assert schedule_of(schedule.id).status is ScheduleStatus.DELETED
    assert client.get(page).status_code == 404
    assert [len(room.trail(event)) for event in (
        Event.EXPORT_SCHEDULE_PAUSED, Event.EXPORT_SCHEDULE_RESUMED, Event.EXPORT_SCHEDULE_DELETED
    )] == [1, 1, 1]  # fmt: skip


def test_weekly_and_monthly_schedules_keep_their_day(room: Any) -> None:
    client = room.person()
    weekly = saved(room, client, rhythm="WEEKLY", weekday="5", days="created_at:LAST_WEEK")
    monthly = saved(room, client, rhythm="MONTHLY", day="28", days="created_at:LAST_MONTH")
    assert weekly.next_at is not None
    assert monthly.next_at is not None
    assert weekly.next_at.astimezone(ZONE).isoweekday() == 5
    assert monthly.next_at.astimezone(ZONE).day == 28
    assert "Fridays at 07:00" in client.get(f"/export-schedules/{weekly.id}/").text
    assert "Day 28 of each month" in client.get(f"/export-schedules/{monthly.id}/").text


def test_its_owner_changes_when_it_runs_and_who_is_told_and_nobody_else(room: Any) -> None:
    client, first, second = room.person(), room.person(Role.CFO), room.person(Role.CFO)
    schedule = saved(room, client, readers=[str(first.staff_id)])
    address = f"/export-schedules/{schedule.id}/change/"
    page = client.get(address).text
    assert 'value="Paid yesterday"' in page
    given = {"title": "Paid by Tuesday", "kind": "xlsx", "rhythm": "WEEKLY", "weekday": "2", "day": "1", "at": "08:15"}
    given |= {"seen_version": str(schedule.version), "readers": [str(second.staff_id)]}
    assert room.confirmed(client, address, **given, code="000000").status_code == 422
    assert schedule_of(schedule.id).title == "Paid yesterday"
    assert room.confirmed(client, address, **given).status_code == 303
    changed = schedule_of(schedule.id)
    assert (changed.title, changed.kind.name, changed.rhythm.name, changed.weekday, changed.at_minute) == (
        "Paid by Tuesday", "XLSX", "WEEKLY", 2, 8 * 60 + 15,
    )  # fmt: skip
    assert changed.next_at is not None
    assert changed.next_at.astimezone(ZONE).strftime("%A %H:%M") == "Tuesday 08:15"
    assert (changed.list_args, changed.columns, changed.period) == (
        schedule.list_args, schedule.columns, schedule.period,
    )  # fmt: skip
    assert list(db.session.scalars(select(ExportReader.staff_id))) == [second.staff_id]
    assert room.confirmed(client, address, **given).status_code == 409, "the form shows an older version"
    assert room.person(Role.ADMIN).get(address).status_code == 404, "the files are written with the owner's rights"
    *_, entry = room.trail(Event.EXPORT_SCHEDULE_SAVED)
    assert entry.after["readers"] == [second.staff_id]
