"""What people are told of their exports: that the file waits, and where; never the file."""

from string import Template
from typing import Final

from sqlalchemy import select

from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.kernel.text import one_line
from payadmin.models.access import StaffUser
from payadmin.models.exports import Export, ExportReader, ExportSchedule, ExportStatus
from payadmin.models.payments import Notification
from payadmin.permissions import Permission
from payadmin.providers.mail import domain_of, is_address
from payadmin.work import Work

_READY: Final = Template("""\
Dear $name,

the export "$title" is ready: $rows rows of $list.

$where
The file is kept until $until. You will be asked to sign in.

$company
""")
_FAILED: Final = Template("""\
Dear $name,

the export "$title" of $list could not be made:

$reason

$where
$company
""")


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
    facts = {
        "name": one_line(staff.full_name),
        "title": one_line(title),
        "list": one_line(export.page_title),
        "rows": f"{export.rows_done:,}",
        "reason": one_line(export.reason or ""),
        "where": f"Open it here: {address}" if address else "Open the page Exports in payadmin.",
        "until": f"{until.day} {until:%B %Y, %H:%M}" if until else "",
        "company": one_line(settings.company_name),
    }
    word = "is ready" if ready else "could not be made"
    notification = work.add(
        Notification(
            recipient=staff.email,
            subject=f"The export “{one_line(title)[:120]}” {word}",
            body=(_READY if ready else _FAILED).substitute(facts),
            # One mail for a person and an export, whoever comes to promise it.
            message_id=f"<export-{export.id}-{staff.id}@{domain_of(settings.mail_from)}>",
            created_at=work.now,
        )
    )
    work.record(Event.NOTIFICATION_REQUESTED, notification, after={"recipient": notification.recipient})
    work.promise("send_notification", notification_id=notification.id)
