"""What is held while cash moves, always in this order: desk, day, redeem request, wallet, accounts.

Whoever moves cash of a desk holds the desk's row first. So no two of them happen at once, what the books say that lies
in it stays true until the commit, and a day that is being closed sees every operation or refuses it (CA2).
"""

from typing import Final

from sqlalchemy import func, select

from payadmin.approvals import person_of
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Organization, OrganizationStatus
from payadmin.models.payments import Unit
from payadmin.models.system import NoticeKind
from payadmin.models.treasury import CashDesk, CashDeskAssignment, CashDeskDay, DayStatus, DeskStatus
from payadmin.models.wallets import NOTE_LENGTH, REASON_LENGTH
from payadmin.notices import notify, those_who_may
from payadmin.permissions import Permission
from payadmin.queries.treasury import assignment_of, balances, unclosed_day
from payadmin.work import Work

STALE: Final = _("Somebody else changed this cash day meanwhile. Look at what changed, then try again.")
NOT_HERE: Final = _("You are not assigned to this desk.")


def hold_desk(work: Work, desk_id: int) -> CashDesk:
    """A desk, held until the end of the transaction: nothing else moves cash of it meanwhile."""
    return work.get(CashDesk, desk_id, lock=True)


def hold_day(work: Work, desk: CashDesk) -> CashDeskDay | None:
    """The day of a held desk that is not closed, held too; None: it has none."""
    wanted = unclosed_day(desk.id).with_for_update(key_share=True).execution_options(populate_existing=True)
    return work.session.scalars(wanted).one_or_none()


def hold_whole_day(work: Work, day_id: int) -> tuple[CashDesk, CashDeskDay]:
    """A day by its number, with its desk, both held."""
    return hold_desk_of(work, CashDeskDay, day_id), work.get(CashDeskDay, day_id, lock=True)


def hold_desk_of(work: Work, model: type[CashDeskDay | CashDeskAssignment], row_id: int) -> CashDesk:
    """The desk of a row that is held after it; the row itself is not loaded, or it would be an old one by then.

    Raises:
        NotFound: there is no such row.
    """
    desk_id = work.one(select(model.desk_id).where(model.id == row_id)) if 0 < row_id < 2**63 else None
    if desk_id is None:
        raise NotFound("There is no such record.")
    return hold_desk(work, desk_id)


def cashier_of(work: Work) -> StaffUser:
    """The account of whoever acts.

    Raises:
        Forbidden: nobody acts (jobs and commands do not stand at a desk), or the account cannot sign in any more.
    """
    person_of(work, work.actor.staff_id)
    found = work.session.get_one(StaffUser, work.actor.staff_id)
    if not found.may_sign_in:
        raise Forbidden("This account is locked.")
    return found


def counter(work: Work) -> tuple[CashDesk, CashDeskDay]:
    """The desk at which the actor works and its open day, both held: where every operation happens (CA2).

    Raises:
        Conflict: the actor works at no desk, the desk is locked, there is no open day, or the day is being closed.
    """
    staff = cashier_of(work)
    seen = assignment_of(work.session, staff.id)
    if seen is None:
        raise Conflict("You are assigned to no desk. Ask the accountant.")
    desk = hold_desk(work, seen.desk_id)
    if not is_here(work, desk, staff.id):  # it ended while we waited
        raise Conflict(NOT_HERE)
    refuse_unusable(work, desk)
    day = hold_day(work, desk)
    if day is None:
        raise Conflict("The day of this desk is not open. Open it first.")
    if day.status is not DayStatus.OPEN:
        raise Conflict("The day of this desk is being closed: nothing more can be done in it.")
    return desk, day


def is_here(work: Work, desk: CashDesk, staff_id: int) -> bool:
    """Whether this cashier works at this held desk."""
    found = assignment_of(work.session, staff_id)
    return found is not None and found.desk_id == desk.id


def refuse_unusable(work: Work, desk: CashDesk) -> None:
    """Refuse work at a desk that is locked or closed, or whose organization is closed.

    Raises:
        Conflict: it is.
    """
    if desk.status is DeskStatus.LOCKED:
        raise Conflict(_("Desk %(desk)s is locked.", desk=desk.name))
    if desk.status is DeskStatus.CLOSED:
        raise Conflict(_("Desk %(desk)s is closed.", desk=desk.name))
    if work.get(Organization, desk.organization_id).status is not OrganizationStatus.ACTIVE:
        raise Conflict(_("The organization of desk %(desk)s is closed.", desk=desk.name))


def lying_in(work: Work, desk: CashDesk) -> dict[str, int]:
    """What lies in a held desk by unit, without units of which there is nothing."""
    return {unit: minor for unit, minor in balances(work.session, [desk])[desk.id].items() if minor}


def shown(work: Work, minor: int, unit: str) -> Money:
    """An amount as people read it."""
    return Money(minor, unit, work.one(select(Unit.scale).where(Unit.code == unit)))


def reason_of(reason: str | None, *, is_needed: bool = True, field: str = "reason") -> str | None:
    """Somebody's words, in one line.

    Raises:
        Invalid: none where they are needed, or too many.
    """
    words = mask_pan_in_text(" ".join((reason or "").split()))
    if (is_needed and not words) or len(words) > REASON_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field=field)
    return words or None


def note_of(note: str | None) -> str | None:
    """A note, in one line.

    Raises:
        Invalid: it is too long.
    """
    words = mask_pan_in_text(" ".join((note or "").split()))
    if len(words) > NOTE_LENGTH or not words.isprintable():
        raise Invalid(_("Write a note of at most %(most)s characters, on one line.", most=NOTE_LENGTH), field="note")
    return words or None


def tell(work: Work, staff_id: int, day: CashDeskDay, title: str, *, key: str, kind: NoticeKind) -> None:
    """Tell somebody about a day by the bell, once for a key; it leads to the day."""
    notify(work.session, staff_id, kind, title, page="cash_register_day", row_id=day.id, key=f"cash_day:{day.id}:{key}")


def tell_those_who(
    work: Work, permission: Permission, day: CashDeskDay, title: str, *, key: str, kind: NoticeKind
) -> None:
    """Tell the active members of staff with `permission` by the bell, at most 25, each once for a key."""
    for staff_id in those_who_may(work.session, permission):
        tell(work, staff_id, day, title, key=key, kind=kind)


def people(work: Work, *conditions: object) -> set[int]:
    """The human beings behind accounts (MC1)."""
    person = func.coalesce(StaffUser.person_id, StaffUser.id)
    return set(work.session.scalars(select(person).where(*conditions)))  # type: ignore[arg-type]
