"""What people are told of their exports: that the file waits, and where; never the file."""

from typing import Final

from sqlalchemy import select

from payadmin import texts
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.text import NumberText, Text, named, one_line
from payadmin.models.access import StaffUser
from payadmin.models.exports import Export, ExportReader, ExportSchedule, ExportStatus
from payadmin.models.payments import Notification
from payadmin.permissions import Permission
from payadmin.providers.mail import domain_of, is_address
from payadmin.work import Work

_READY_SUBJECT: Final = named("mail.export_ready.subject", "The export “%(title)s” is ready")
_READY: Final = named(
    "mail.export_ready.body",
    """\
Dear %(name)s,

the export "%(title)s" is ready: %(rows)s rows of %(list)s.

%(where)s
The file is kept until %(until)s. You will be asked to sign in.

%(company)s
""",
)
_FAILED_SUBJECT: Final = named("mail.export_failed.subject", "The export “%(title)s” could not be made")
_FAILED: Final = named(
    "mail.export_failed.body",
    """\
Dear %(name)s,

the export "%(title)s" of %(list)s could not be made:

%(reason)s

%(where)s
%(company)s
""",
)
_OPEN: Final = named("mail.export.open", "Open it here: %(link)s")
_OPEN_PAGE: Final = named("mail.export.open_page", "Open the page Exports in payadmin.")


def tell_requester(work: Work, export: Export, settings: Settings) -> None:
    """Promise a mail to whoever asked for one file, who has left the page long ago."""
    staff = work.get(StaffUser, export.requester_id)
    if staff.may_sign_in and is_address(staff.email):
        _promise(work, export, export.name, staff, settings)


def tell_readers(work: Work, export: Export, settings: Settings) -> None:
    """Promise a mail about a scheduled export's end to its owner and its readers, as far as they may still fetch it."""
    schedule = work.get(ExportSchedule, export.schedule_id)
    others = select(ExportReader.staff_id).where(ExportReader.schedule_id == schedule.id)
    people = select(StaffUser).where(StaffUser.id.in_({schedule.owner_id, *work.session.scalars(others)}))
    wanted = set(export.needs) | {str(Permission.EXPORTS_EXPORT_READ)}
    if export.is_personal:
        wanted.add(str(Permission.PARTIES_PERSONAL_READ))
    for staff in work.session.scalars(people.order_by(StaffUser.id)):
        is_owner = staff.id == schedule.owner_id
        may = staff.may_sign_in and wanted <= {str(permission) for permission in staff.permissions}
        if is_address(staff.email) and (may or (is_owner and staff.may_sign_in)):
            _promise(work, export, schedule.title, staff, settings)


def _promise(work: Work, export: Export, title: str, staff: StaffUser, settings: Settings) -> None:
    ready = export.status is ExportStatus.READY
    until = export.expires_at.astimezone(settings.zone) if export.expires_at else None
    address = f"{settings.public_url.rstrip('/')}/exports/{export.id}/" if settings.public_url else ""
    speech = texts.speech_of(work.session, staff.language)
    facts: dict[str, object] = {
        "name": one_line(staff.full_name),
        "title": one_line(title),
        "list": Text(one_line(export.page_title)),
        "where": _OPEN.of(link=address) if address else _OPEN_PAGE,
        "company": one_line(settings.company_name),
    }
    if ready:
        body = _READY.of(
            rows=NumberText(export.rows_done),
            until=f"{speech.long_day(until)}, {until:%H:%M}" if until else "",
            **facts,
        )
    else:
        body = _FAILED.of(reason=Text(one_line(export.reason or "")), **facts)
    subject = (_READY_SUBJECT if ready else _FAILED_SUBJECT).of(title=one_line(title)[:120])
    notification = work.add(
        Notification(
            recipient=staff.email,
            subject=speech.say(subject),
            body=speech.say(body),
            # One mail for a person and an export, whoever comes to promise it.
            message_id=f"<export-{export.id}-{staff.id}@{domain_of(settings.mail_from)}>",
            created_at=work.now,
        )
    )
    work.record(Event.NOTIFICATION_REQUESTED, notification, after={"recipient": notification.recipient})
    work.promise("send_notification", notification_id=notification.id)
