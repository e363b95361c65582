"""Cash desks: opened, changed, locked and closed by the CFO and accountants, who also say which cashier works where."""

import re
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.treasury.holding import hold_day, hold_desk, hold_desk_of, lying_in, reason_of
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Organization, OrganizationStatus
from payadmin.models.treasury import (
    CODE_LENGTH,
    CashDesk,
    CashDeskAssignment,
    DeskStatus,
    SystemOperation,
    SystemStatus,
)
from payadmin.permissions import Permission
from payadmin.queries.treasury import assignment_of
from payadmin.work import Work, use_case

WRITE: Final = Permission.CASH_DESK_WRITE
STALE: Final = _("Somebody else changed this desk meanwhile. Look at what changed, then try again.")
NAME_LENGTH: Final = 120
_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]*", re.ASCII)


@use_case(WRITE)
def create_desk(work: Work, *, code: str, name: str, organization_id: int) -> CashDesk:
    """Set up a cash desk (S3:104).

    Args:
        code: what the books and receipts call it, for good: capital letters, digits, dots, dashes.
        organization_id: whose desk it is.

    Raises:
        Invalid: a code or a name that makes no sense.
        Conflict: there is such a desk already, or the organization is closed.
    """
    word = code.strip()
    if not _CODE.fullmatch(word) or len(word) > CODE_LENGTH:
        raise Invalid("A code has capital letters, digits, dots and dashes, such as CENTRE-1.", field="code")
    called = _named(name)
    organization = _organization(work, organization_id)
    if work.exists(CashDesk.code == word):
        raise Conflict("There is a desk with this code already.", field="code")
    _refuse_name(work, called, 0)
    try:
        desk = work.add(CashDesk(code=word, name=called, organization_id=organization.id))
    except IntegrityError as error:  # somebody was faster by a moment
        raise Conflict("There is a desk with this code or name already.", field="code") from error
    facts = {"code": word, "name": called, "organization_id": organization.id}
    work.record(Event.CASH_DESK_OPENED, desk, after=facts, cash_desk=word)
    return desk


@use_case(WRITE, about=CashDesk)
def change_desk(work: Work, desk_id: int, *, name: str, organization_id: int, version: int) -> None:
    """Call a desk something else, or give it to another organization; the same values change nothing.

    Raises:
        Invalid: a name that makes no sense.
        Conflict: another desk has the name, the organization is closed, the desk is closed, it changes hands while
            its day is not closed, or somebody else changed it meanwhile.
    """
    called = _named(name)
    desk = hold_desk(work, desk_id)
    before: dict[str, object] = {"name": desk.name, "organization_id": desk.organization_id}
    after: dict[str, object] = {"name": called, "organization_id": organization_id}
    if desk.version == version and before == after:
        return
    if desk.status is DeskStatus.CLOSED:
        raise Conflict(_("Desk %(desk)s is closed.", desk=desk.name))
    if organization_id != desk.organization_id:
        _organization(work, organization_id)
        if hold_day(work, desk) is not None:
            raise Conflict("The day of this desk is not closed. Close it first.", field="organization")
    _refuse_name(work, called, desk_id)
    try:
        won = work.change(
            CashDesk, desk_id, when=(CashDesk.version == version,), name=called, organization_id=organization_id
        )
    except IntegrityError as error:  # somebody was faster by a moment
        raise Conflict("There is a desk with this name already.", field="name") from error
    if not won:
        raise Conflict(STALE, now=desk.version)
    desk = work.get(CashDesk, desk_id)
    work.record(Event.CASH_DESK_CHANGED, desk, before=before, after=after, cash_desk=desk.code)


@use_case(WRITE, about=CashDesk)
def lock_desk(work: Work, desk_id: int, *, reason: str, version: int) -> None:
    """Lock a desk: nothing more is done at it and no day is opened. An open day can still be counted and closed.

    Raises:
        Invalid: no reason.
        Conflict: it is not active, or somebody else changed it meanwhile.
    """
    words = reason_of(reason)
    _move(work, desk_id, DeskStatus.LOCKED, Event.CASH_DESK_LOCKED, version, words)


@use_case(WRITE, about=CashDesk)
def unlock_desk(work: Work, desk_id: int, *, version: int) -> None:
    """Let a locked desk work again.

    Raises:
        Conflict: it is not locked, or somebody else changed it meanwhile.
    """
    _move(work, desk_id, DeskStatus.ACTIVE, Event.CASH_DESK_UNLOCKED, version, None)


@use_case(WRITE, about=CashDesk)
def close_desk(work: Work, desk_id: int, *, version: int) -> None:
    """Close a desk for good; its cashiers' assignments end. Its days and its entries stay.

    Raises:
        Conflict: its day is not closed, money lies in it, a system operation of it waits for the CFO, it is closed
            already, or somebody else changed it meanwhile.
    """
    desk = hold_desk(work, desk_id)
    if hold_day(work, desk) is not None:
        raise Conflict("The day of this desk is not closed. Close it first.")
    if lying_in(work, desk):
        raise Conflict("There is money in this desk. Collect it first: only an empty desk can be closed.")
    if work.exists(SystemOperation.desk_id == desk_id, SystemOperation.status == SystemStatus.INITIATED):
        raise Conflict("A system operation of this desk waits for the CFO. It can be closed when that is decided.")
    _move(work, desk_id, DeskStatus.CLOSED, Event.CASH_DESK_CLOSED, version, None)
    here = select(CashDeskAssignment).where(CashDeskAssignment.desk_id == desk_id, CashDeskAssignment.ends_at.is_(None))
    for row in work.session.scalars(here.order_by(CashDeskAssignment.id)).all():
        _end(work, desk, row)


@use_case(WRITE, about=CashDesk)
def assign(work: Work, desk_id: int, *, cashier_id: int) -> CashDeskAssignment:
    """Let a cashier work at a desk from now on. A desk may have several; a cashier works at one (field "cashier").

    Raises:
        Conflict: the desk is not active, the account cannot sign in or is no cashier's, or the cashier works at a desk
            already.
    """
    desk = hold_desk(work, desk_id)
    if desk.status is not DeskStatus.ACTIVE:
        raise Conflict("Cashiers are assigned to active desks only.")
    cashier = work.get(StaffUser, cashier_id, lock=True)  # whoever assigns the same cashier elsewhere waits here
    if not cashier.may_sign_in:
        raise Conflict("This account is locked.", field="cashier")
    if Permission.CASH_DAY_OPERATE not in cashier.permissions:
        raise Conflict("This person is no cashier. Give them the role first.", field="cashier")
    there = assignment_of(work.session, cashier_id)
    if there is not None:
        where = work.get(CashDesk, there.desk_id).name
        raise Conflict(
            _("%(cashier)s works at %(desk)s already. End that first.", cashier=cashier.username, desk=where),
            field="cashier",
        )
    row = work.add(CashDeskAssignment(desk_id=desk_id, cashier_id=cashier_id, begins_at=work.now))
    facts = {"desk_id": desk_id, "cashier_id": cashier_id, "begins_at": work.now}
    work.record(Event.CASH_ASSIGNMENT_BEGUN, row, after=facts, cash_desk=desk.code, cashier=cashier.username)
    return row


@use_case(WRITE, about=CashDeskAssignment)
def end_assignment(work: Work, assignment_id: int) -> None:
    """End a cashier's work at a desk: no more operations. A day that they opened can still be counted by them.

    Raises:
        Conflict: it ended already.
    """
    desk = hold_desk_of(work, CashDeskAssignment, assignment_id)
    _end(work, desk, work.get(CashDeskAssignment, assignment_id, lock=True))


def _end(work: Work, desk: CashDesk, row: CashDeskAssignment) -> None:
    ends_at = max(work.now, row.begins_at)
    if not work.change(CashDeskAssignment, row.id, when=(CashDeskAssignment.ends_at.is_(None),), ends_at=ends_at):
        raise Conflict("This assignment ended already.")
    work.record(
        Event.CASH_ASSIGNMENT_ENDED,
        work.get(CashDeskAssignment, row.id),
        before={"ends_at": None},
        after={"ends_at": ends_at},
        cash_desk=desk.code,
        cashier=work.get(StaffUser, row.cashier_id).username,
    )


def _move(work: Work, desk_id: int, status: DeskStatus, event: Event, version: int, reason: str | None) -> None:
    desk = hold_desk(work, desk_id)
    before = desk.status
    if not work.change(CashDesk, desk_id, when=(CashDesk.version == version,), status=status):
        raise Conflict(STALE, now=desk.version)
    desk = work.get(CashDesk, desk_id)
    work.record(event, desk, before={"status": before}, after={"status": status}, reason=reason, cash_desk=desk.code)


def _named(name: str) -> str:
    words = " ".join(name.split())
    if not words or len(words) > NAME_LENGTH or not words.isprintable():
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    return words


def _refuse_name(work: Work, name: str, desk_id: int) -> None:
    if work.exists(CashDesk.name == name, CashDesk.id != desk_id):
        raise Conflict("There is a desk with this name already.", field="name")


def _organization(work: Work, organization_id: int) -> Organization:
    found = work.get(Organization, organization_id)
    if found.status is not OrganizationStatus.ACTIVE:
        raise Conflict("The organization is closed.", field="organization")
    return found
