"""Notices of the bell: read by whom they are for."""

from sqlalchemy import update

from payadmin.kernel.errors import NotFound
from payadmin.models.system import StaffNotice
from payadmin.permissions import Permission
from payadmin.work import Work, use_case


@use_case(Permission.HOME_PAGE_READ, about=StaffNotice)
def read_notice(work: Work, notice_id: int, /) -> None:
    """Mark one's own notice as read; a second time changes nothing.

    Raises:
        NotFound: no such notice of theirs.
    """
    notice = work.get(StaffNotice, notice_id)
    if notice.staff_id != work.actor.staff_id:
        raise NotFound("There is no such notice.")
    if notice.read_at is None:
        notice.read_at = work.now


@use_case(Permission.HOME_PAGE_READ)
def read_all_notices(work: Work, newest_id: int, /) -> None:
    """Mark one's own notices as read, as far as they were seen.

    Args:
        newest_id: the newest that the page showed; what came later stays unread.
    """
    work.session.execute(
        update(StaffNotice)
        .where(StaffNotice.staff_id == work.actor.staff_id, StaffNotice.read_at.is_(None), StaffNotice.id <= newest_id)
        .values(read_at=work.now)
        .execution_options(synchronize_session=False)
    )
