"""The bell: one line to one member of staff, written in the transaction that it is about."""

import datetime as dt

from sqlalchemy import ScalarSelect, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from payadmin.db import utcnow
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.models.system import NoticeKind, StaffNotice
from payadmin.permissions import GRANTS, Permission

KEPT = 200
KEPT_DAYS = 90
MOST_COUNTED = 99
LONGEST = 200
# Those who were here last are told; whoever comes later sees what waits on its page.
MOST_TOLD = 25
_LOOKED_AT = 100


def notify(
    session: Session,
    staff_id: int | None,
    kind: NoticeKind,
    title: str,
    *,
    page: str | None = None,
    row_id: int | None = None,
    key: str | None = None,
) -> None:
    """Tell a member of staff something by the bell, in the caller's transaction: `notify(work.session, …)`.

    Nobody is told when the transaction is rolled back. The newest 200 notices of a person are kept, for 90 days.

    Args:
        session: the caller's session; nothing is committed here.
        staff_id: who is told; None (the system's own acts) tells nobody.
        kind: what it is about: it chooses the picture and the colour.
        title: one sentence, without personal data; cut at 200 characters.
        page: the endpoint of the page that it leads to, such as `exports`; None leads nowhere.
        row_id: the row of that page that is opened; None opens the page itself.
        key: the same key tells the same person once, however often the work behind it is repeated.
    """
    if staff_id is None:
        return
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    plain = mask_pan_in_text(" ".join(title.split()))[:LONGEST]
    told = make(StaffNotice).values(
        staff_id=staff_id, kind=kind, title=plain, page=page, row_id=row_id, key=key, created_at=utcnow()
    )
    session.execute(told.on_conflict_do_nothing())  # what it is told about must never fail because of the bell
    _forget_old(session, staff_id)


def those_who_may(session: Session, permission: Permission) -> list[int]:
    """The active members of staff with a permission, at most 25: those who were here last.

    In the order of their ids, so that two transactions that tell them never wait for each other in a circle.
    """
    roles = [role for role, granted in GRANTS.items() if permission in granted]
    holders = select(StaffRole.staff_id).where(StaffRole.role.in_(roles))
    asked = select(StaffUser).where(StaffUser.status == StaffStatus.ACTIVE, StaffUser.id.in_(holders))
    newest = asked.order_by(StaffUser.last_login_at.desc().nulls_last(), StaffUser.id).limit(_LOOKED_AT)
    able = [staff.id for staff in session.scalars(newest) if permission in staff.permissions]
    return sorted(able[:MOST_TOLD])


def staff_named(session: Session, username: str | None) -> int | None:
    """The id of a member of staff, for rows that keep only the name of who made them."""
    return None if username is None else session.scalar(select(StaffUser.id).where(StaffUser.username == username))


def _forget_old(session: Session, staff_id: int) -> None:
    """Keep the newest notices of one person. Rows that somebody else is deleting are left to them."""
    of_staff = select(StaffNotice.id).where(StaffNotice.staff_id == staff_id)
    beyond = of_staff.order_by(StaffNotice.created_at.desc(), StaffNotice.id.desc()).offset(KEPT).limit(KEPT)
    past = of_staff.where(StaffNotice.created_at < utcnow() - dt.timedelta(days=KEPT_DAYS)).limit(KEPT)
    old = {row_id for part in (beyond, past) for row_id in session.scalars(part.with_for_update(skip_locked=True))}
    if old:
        statement = delete(StaffNotice).where(StaffNotice.id.in_(old))
        session.execute(statement.execution_options(synchronize_session=False))


def unread_of(staff_id: int | None) -> "ScalarSelect[int]":
    """How many notices wait unread, counted up to 100 through the index of unread ones."""
    few = (
        select(literal(1).label("one"))
        .where(StaffNotice.staff_id == staff_id, StaffNotice.read_at.is_(None))
        .limit(MOST_COUNTED + 1)
    )
    return select(func.count()).select_from(few.subquery()).scalar_subquery()
