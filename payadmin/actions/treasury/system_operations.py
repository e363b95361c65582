"""System operations: cash between the bank, money in transit and desks (S3:118-121, CA9, CA10).

An accountant initiates one; nothing moves. A CFO confirms it, and only then it is booked, by J13, J14 or J15, if what
it takes is still there. Who initiated never confirms, with whichever account (MC1).
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.treasury.holding import hold_day, hold_desk, note_of, reason_of, shown
from payadmin.approvals import person_of
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.chart import Account, cash_desk
from payadmin.ledger.posting import Posting, available, post
from payadmin.ledger.recipes import Recipe
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.models.system import NoticeKind
from payadmin.models.treasury import (
    CashDesk,
    CashDeskAssignment,
    CashDeskDay,
    CashSource,
    DayStatus,
    DeskStatus,
    SystemKind,
    SystemOperation,
    SystemStatus,
)
from payadmin.models.wallets import KEY_LENGTH, REASON_LENGTH
from payadmin.notices import notify
from payadmin.permissions import GRANTS, Permission
from payadmin.work import Work, use_case

INITIATE: Final = Permission.CASH_OPERATION_INITIATE
CONFIRM: Final = Permission.CASH_OPERATION_CONFIRM
BUSINESS: Final = "system_operation"
PAGE: Final = "system_operations"
MOST_TOLD: Final = 25
OWN: Final = _("You initiated this yourself, with this account or another of yours. Somebody else has to decide it.")
STALE: Final = _("Somebody else changed this operation meanwhile. Look at it again, then decide.")
_S = SystemStatus
_BEING_COUNTED: Final = frozenset({DayStatus.CLOSE_REQUESTED, DayStatus.RETURNED})
_EVENTS: Final = {
    _S.CONFIRMED: Event.SYSTEM_OPERATION_CONFIRMED,
    _S.REJECTED: Event.SYSTEM_OPERATION_REJECTED,
    _S.CANCELLED: Event.SYSTEM_OPERATION_CANCELLED,
    _S.STALE: Event.SYSTEM_OPERATION_OUT_OF_DATE,
}


@use_case(INITIATE)
def initiate(
    work: Work,
    *,
    kind: SystemKind,
    unit: str,
    amount_minor: int,
    key: str,
    desk_id: int | None = None,
    source: CashSource | None = None,
    note: str | None = None,
) -> SystemOperation:
    """Ask for cash to be moved; nothing moves before a CFO confirms it (S3:118-121, CA9).

    Args:
        kind: CASH_INPUT from `source` into transit, CASH_COLLECTION from a desk into transit, INVESTMENT from transit
            into a desk.
        amount_minor: minor units of `unit`, above zero.
        key: names the order; the same order that comes again answers with what it made.
        desk_id: the desk of a collection or an investment; a cash input has none.
        source: where a cash input comes from; others have none.

    Raises:
        Invalid: no amount, no desk, no source, or a note that is too long; at its field.
        Conflict: the desk is closed, or locked for an investment; the unit was retired or is no currency; less is
            there than is asked for; or the key stands for another order.
    """
    words = note_of(note)
    _check(kind, amount_minor, key, desk_id, source)
    desk = hold_desk(work, desk_id) if desk_id is not None else None
    asked = (kind, unit, amount_minor, desk_id, source, None)
    if (before := _same(work, key, asked)) is not None:
        return before
    _refuse_unit(work, unit)
    row = SystemOperation(
        key=key,
        kind=kind,
        source=source,
        desk_id=desk_id,
        unit=unit,
        amount_minor=amount_minor,
        note=words,
        initiated_by_id=_staff(work),
    )
    _refuse_desk(row, desk, is_reversal=False)
    if (problem := _why_poor(work, row, desk, None)) is not None:
        raise Conflict(problem, field="amount")
    return _file(work, row, desk, Event.SYSTEM_OPERATION_INITIATED, asked)


@use_case(INITIATE, about=SystemOperation)
def reverse(work: Work, operation_id: int, *, reason: str, key: str) -> SystemOperation:
    """Ask for a confirmed operation to be taken back, once: a new operation, which a CFO confirms as any other.

    Args:
        reason: why; the CFO reads it.
        key: names this order; the same order that comes again answers with what it made.

    Raises:
        Invalid: no reason.
        Conflict: it is not confirmed, takes something back itself, is taken back already or about to be, or the money
            is not there any more.
    """
    words = reason_of(reason)
    _check_key(key)
    seen = work.get(SystemOperation, operation_id)
    desk = hold_desk(work, seen.desk_id) if seen.desk_id is not None else None
    target = work.get(SystemOperation, operation_id, lock=True)
    asked = (target.kind, target.unit, target.amount_minor, target.desk_id, target.source, target.id)
    if (before := _same(work, key, asked)) is not None:
        return before
    if target.reverses_id is not None:
        raise Conflict("This takes back another operation. Initiate a new one instead.")
    if target.status is not _S.CONFIRMED:
        raise Conflict(_("Only a confirmed operation can be taken back: %(operation)s is not.", operation=target))
    live = (SystemOperation.reverses_id == target.id, SystemOperation.status.in_((_S.INITIATED, _S.CONFIRMED)))
    if work.exists(*live):
        raise Conflict("Somebody has asked for it to be taken back already.")
    row = SystemOperation(
        key=key,
        kind=target.kind,
        source=target.source,
        desk_id=target.desk_id,
        unit=target.unit,
        amount_minor=target.amount_minor,
        note=words,
        initiated_by_id=_staff(work),
        reverses_id=target.id,
    )
    _refuse_desk(row, desk, is_reversal=True)
    if (problem := _why_poor(work, row, desk, target)) is not None:
        raise Conflict(problem)
    return _file(work, row, desk, Event.SYSTEM_OPERATION_INITIATED, asked)


@use_case(CONFIRM, about=SystemOperation)
def confirm(work: Work, operation_id: int, *, version: int, reason: str | None = None) -> SystemOperation:
    """Book an operation, now, in the day of its desk that is open (CA6, CA9).

    What it takes is looked at again, under the locks of the books. If it is not there any more, nothing is booked and
    the operation is STALE, with the reason. Whoever confirmed it already is answered with it.

    Args:
        version: the version that was looked at.
        reason: words that go with it, if any.

    Returns:
        The operation: CONFIRMED, or STALE.

    Raises:
        Forbidden: the same person initiated it.
        Conflict: it does not wait (any more); its desk is being counted, is closed, or is locked for an investment; or
            what it takes back was taken back by another.
    """
    words = reason_of(reason, is_needed=False)
    row, desk, day, target = _held(work, operation_id)
    mine = row.decided_by_id == work.actor.staff_id
    if mine and (row.status is _S.CONFIRMED or (row.status is _S.STALE and row.version == version + 1)):
        return row
    _refuse_over(work, row, version)
    _refuse_own(work, row)
    if day is not None and day.status in _BEING_COUNTED:
        raise Conflict(
            _(
                "Desk %(desk)s is being counted: what moves now would make the count wrong. Confirm it when the day is "
                "closed.",
                desk=desk,
            )
        )
    _refuse_unit(work, row.unit)
    _refuse_desk(row, desk, is_reversal=target is not None)
    if target is not None and target.status is not _S.CONFIRMED:
        raise Conflict(_("Only a confirmed operation can be taken back: %(operation)s is not.", operation=target))
    if (problem := _why_poor(work, row, desk, target, is_kept=True)) is not None:
        _change(work, row, _S.STALE, str(problem)[:REASON_LENGTH])
        return _told(work, row, desk, _S.STALE, str(problem))
    reverses = f"{BUSINESS}:{target.id}" if target is not None else None
    posting = Posting(
        f"{BUSINESS}:{row.id}",
        _recipe(row, desk, target),
        BUSINESS,
        row.id,
        _business_day(work.now),
        memo=row.note,
        reverses=reverses,
    )
    _change(work, row, _S.CONFIRMED, words, day_id=day.id if day is not None else None)
    if day is not None:
        # Whoever counts has not seen this: the count is asked for again.
        work.change(CashDeskDay, day.id)
        day = work.get(CashDeskDay, day.id)
    if target is not None:
        _take_back(work, target, row)
    post(work, [posting])
    return _told(work, row, desk, _S.CONFIRMED, words, also=[day] if day is not None else [])


@use_case(CONFIRM, about=SystemOperation)
def reject(work: Work, operation_id: int, *, reason: str, version: int) -> SystemOperation:
    """Say no to an operation, with a reason; nothing is booked. Whoever rejected it already is answered with it.

    Raises:
        Forbidden: the same person initiated it.
        Invalid: no reason.
        Conflict: it does not wait (any more).
    """
    words = reason_of(reason)
    row, desk, _day, _target = _held(work, operation_id)
    if row.status is _S.REJECTED and row.decided_by_id == work.actor.staff_id:
        return row
    _refuse_over(work, row, version)
    _refuse_own(work, row)
    _change(work, row, _S.REJECTED, words)
    return _told(work, row, desk, _S.REJECTED, words)


@use_case(INITIATE, about=SystemOperation)
def cancel(work: Work, operation_id: int, *, reason: str, version: int) -> SystemOperation:
    """Take an operation back before it is decided, or put one that is out of date away. Nothing was booked.

    Any accountant may: whoever initiated it may not be here. Whoever cancelled it already is answered with it.

    Raises:
        Invalid: no reason.
        Conflict: it is decided already.
    """
    words = reason_of(reason)
    row, desk, _day, _target = _held(work, operation_id)
    if row.status is _S.CANCELLED and row.decided_by_id == work.actor.staff_id:
        return row
    if row.status is not _S.STALE:
        _refuse_over(work, row, version)
    elif row.version != version:
        raise Conflict(STALE)
    _change(work, row, _S.CANCELLED, words)
    return _told(work, row, desk, _S.CANCELLED, words)


@use_case(Permission.CASH_DAY_OPERATE, about=SystemOperation)
def acknowledge(work: Work, operation_id: int) -> SystemOperation:
    """Say that the cash came to the own desk, or left it; once, by a cashier who works there now (CA9).

    Whoever said so already is answered with it.

    Raises:
        Forbidden: it does not concern the desk at which the actor works.
        Conflict: it was not confirmed, or another cashier has acknowledged it.
    """
    row = work.get(SystemOperation, operation_id)
    at = (CashDeskAssignment.cashier_id == work.actor.staff_id, CashDeskAssignment.ends_at.is_(None))
    if row.desk_id is None or not work.exists(*at, CashDeskAssignment.desk_id == row.desk_id):
        raise Forbidden("This does not concern the desk at which you work.")
    row = work.get(SystemOperation, operation_id, lock=True)
    if row.acknowledged_by_id is not None:
        if row.acknowledged_by_id == work.actor.staff_id:
            return row
        raise Conflict("Another cashier has acknowledged this already.")
    if row.status not in {_S.CONFIRMED, _S.REVERSED}:
        raise Conflict("Only what was confirmed can be acknowledged: nothing has moved yet.")
    mine = {"acknowledged_at": work.now, "acknowledged_by_id": _staff(work)}
    if not work.change(SystemOperation, row.id, when=(SystemOperation.acknowledged_by_id.is_(None),), **mine):
        raise Conflict("Another cashier has acknowledged this already.")
    row = work.get(SystemOperation, row.id)
    work.record(Event.SYSTEM_OPERATION_ACKNOWLEDGED, row, after=mine, system_operation=row.id)
    return row


# ---- what is asked for ---------------------------------------------------------------------------------------------


def _check(kind: SystemKind, amount_minor: int, key: str, desk_id: int | None, source: CashSource | None) -> None:
    _check_key(key)
    if not 0 < amount_minor <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    is_input = kind is SystemKind.CASH_INPUT
    if is_input and source is None:
        raise Invalid("Choose where the cash comes from.", field="source")
    if not is_input and desk_id is None:
        raise Invalid("Choose a desk.", field="desk")
    if (desk_id is not None) is is_input or (source is not None) is not is_input:
        raise Invalid("A cash input has a source and no desk; what concerns a desk has a desk and no source.")


def _check_key(key: str) -> None:
    if not key or len(key) > KEY_LENGTH:
        raise Invalid("This form is out of date. Open it again.")


def _same(work: Work, key: str, asked: tuple[Any, ...]) -> SystemOperation | None:
    found: SystemOperation | None = work.one(select(SystemOperation).where(SystemOperation.key == key))
    if found is None:
        return None
    what = (found.kind, found.unit, found.amount_minor, found.desk_id, found.source, found.reverses_id)
    if what != asked:
        raise Conflict("This form was used for another operation already. Open it again.")
    return found


def _file(
    work: Work, row: SystemOperation, desk: CashDesk | None, event: Event, asked: tuple[Any, ...]
) -> SystemOperation:
    try:
        with work.session.begin_nested():
            work.add(row)
    except IntegrityError as error:
        # Without a desk nothing is locked: the same form may have come twice at once.
        if (before := _same(work, row.key, asked)) is not None:
            return before
        raise Conflict("Somebody has asked for it to be taken back already.") from error
    work.record(event, row, after=_facts(row), **_names(row, desk))
    title = _title(row, desk)
    for staff_id in _deciders(work):
        notify(
            work.session,
            staff_id,
            NoticeKind.APPROVAL,
            f"{work.actor.name} asks you to confirm: {title}.",
            page=PAGE,
            row_id=row.id,
            key=f"system_operation:{row.id}:asked",
        )
    return row


def _facts(row: SystemOperation) -> dict[str, object]:
    columns = ("kind", "source", "desk_id", "unit", "amount_minor", "note", "reverses_id")
    return {name: getattr(row, name) for name in columns}


def _names(row: SystemOperation, desk: CashDesk | None) -> dict[str, Any]:
    names: dict[str, Any] = {"system_operation": row.id}
    return names | ({"cash_desk": desk.code} if desk is not None else {})


# ---- what is decided -----------------------------------------------------------------------------------------------


def _held(
    work: Work, operation_id: int
) -> tuple[SystemOperation, CashDesk | None, CashDeskDay | None, SystemOperation | None]:
    """An operation with everything that it moves, held in the order of the room: desk, day, operations."""
    seen = work.get(SystemOperation, operation_id)
    desk, day = None, None
    if seen.desk_id is not None:
        desk = hold_desk(work, seen.desk_id)
        day = hold_day(work, desk)
    # What is taken back is older, so it is held first.
    target = work.get(SystemOperation, seen.reverses_id, lock=True) if seen.reverses_id is not None else None
    return work.get(SystemOperation, operation_id, lock=True), desk, day, target


def _refuse_over(work: Work, row: SystemOperation, version: int) -> None:
    if row.status is not _S.INITIATED:
        by = work.session.get(StaffUser, row.decided_by_id) if row.decided_by_id is not None else None
        raise Conflict(
            _("It is %(status)s already, by %(name)s.", status=row.status.lower(), name=by.username if by else "–")
        )
    if row.version != version:
        raise Conflict(STALE)


def _refuse_own(work: Work, row: SystemOperation) -> None:
    """Two accounts of one person are one person (MC1); the database compares the accounts once more."""
    if person_of(work, work.actor.staff_id) == person_of(work, row.initiated_by_id):
        raise Forbidden(OWN)


def _refuse_desk(row: SystemOperation, desk: CashDesk | None, *, is_reversal: bool) -> None:
    if desk is None:
        return
    if desk.status is DeskStatus.CLOSED:
        raise Conflict(_("Desk %(desk)s is closed.", desk=desk), field="desk")
    comes = (row.kind is SystemKind.INVESTMENT) is not is_reversal
    if comes and desk.status is DeskStatus.LOCKED:
        raise Conflict(_("Desk %(desk)s is locked: cash can only be collected from it.", desk=desk), field="desk")


def _refuse_unit(work: Work, unit: str) -> None:
    """The unit is a currency that is used, and stays so until the end of the transaction."""
    found = work.session.scalars(select(Unit).where(Unit.code == unit).with_for_update(read=True)).first()
    if found is None or found.status is not UnitStatus.ACTIVE:
        raise Conflict(_("%(unit)s is no currency that can be used.", unit=unit), field="unit")
    if found.kind is not UnitKind.FIAT:
        raise Conflict(_("%(unit)s is no currency: there is no cash of it.", unit=unit), field="unit")


def _recipe(row: SystemOperation, desk: CashDesk | None, target: SystemOperation | None) -> Recipe:
    unit, amount = row.unit, row.amount_minor
    if row.kind is SystemKind.CASH_INPUT:
        made = recipes.cash_input(unit=unit, amount=amount, from_owner=row.source is CashSource.OWNER)
    else:
        assert desk is not None
        make = recipes.investment if row.kind is SystemKind.INVESTMENT else recipes.cash_collection
        made = make(unit=unit, desk=desk.code, amount=amount)
    return made if target is None else made.reversed()


def _why_poor(
    work: Work,
    row: SystemOperation,
    desk: CashDesk | None,
    target: SystemOperation | None,
    *,
    is_kept: bool = False,
) -> str | None:
    """Why what an operation takes is not there, under the locks of the books; None when it is.

    The bank and the owner are not asked: what they can give stands in no books of ours.

    Args:
        is_kept: the words stay beside the operation, where the cashiers of its desk read them. What the books say
            that lies there is not in them: they count it blind (CA4).
    """
    recipe = _recipe(row, desk, target)
    source: Account = next(leg.account for leg in recipe.legs if leg.minor < 0)
    if source.number not in {"1110", "1120"}:
        return None
    # `available` speaks of wallets, which we owe; cash we have.
    found = -available(work.session, [source], among=[leg.account for leg in recipe.legs])[source]
    if found >= row.amount_minor:
        return None
    if is_kept and desk is not None and source == cash_desk(desk.code, row.unit):
        return _("There is not enough %(unit)s in this desk.", unit=row.unit)
    amounts = {"there": shown(work, found, row.unit), "needed": shown(work, row.amount_minor, row.unit)}
    if desk is not None and source == cash_desk(desk.code, row.unit):
        return _("Desk %(desk)s holds %(there)s, and %(needed)s would leave it.", desk=desk, **amounts)
    return _("%(there)s is in transit, and %(needed)s would leave it.", **amounts)


def _change(work: Work, row: SystemOperation, status: SystemStatus, words: str | None, **values: Any) -> None:
    decided = {"decided_at": work.now, "decided_by_id": _staff(work), "reason": words}
    when = (SystemOperation.version == row.version,)
    if not work.change(SystemOperation, row.id, when=when, status=status, **decided, **values):
        raise Conflict(STALE)


def _take_back(work: Work, target: SystemOperation, row: SystemOperation) -> None:
    if not work.change(SystemOperation, target.id, status=_S.REVERSED):
        raise Conflict(_("Only a confirmed operation can be taken back: %(operation)s is not.", operation=target))
    work.record(
        Event.SYSTEM_OPERATION_REVERSED,
        work.get(SystemOperation, target.id),
        before={"status": _S.CONFIRMED},
        after={"status": _S.REVERSED},
        reason=row.note,
        system_operation=target.id,
        taken_back_by=row.id,
    )


def _told(
    work: Work,
    row: SystemOperation,
    desk: CashDesk | None,
    status: SystemStatus,
    words: str | None,
    *,
    also: Iterable[object] = (),
) -> SystemOperation:
    """Write the decision into the trail, and tell whoever initiated, and the cashiers of the desk when cash moves."""
    row = work.get(SystemOperation, row.id)
    work.record(
        _EVENTS[status],
        row,
        after={"status": status, "day_id": row.day_id},
        reason=words,
        outcome="failed" if status is _S.STALE else "done",
        also=also,
        **_names(row, desk),
    )
    title, key = _title(row, desk), f"system_operation:{row.id}:{status.name.lower()}"
    kind = NoticeKind.FAILED if status is _S.STALE else NoticeKind.APPROVAL
    told: dict[str, Any] = {"page": PAGE, "row_id": row.id, "key": key}
    if row.initiated_by_id != work.actor.staff_id:
        sentence = f"{status.value}, by {work.actor.name}: {title}."
        notify(work.session, row.initiated_by_id, kind, sentence, **told)
    if status is _S.CONFIRMED and desk is not None:
        for cashier_id in _cashiers(work, desk.id):
            notify(work.session, cashier_id, NoticeKind.ATTENTION, f"Acknowledge it: {title}.", **told)
    return row


# ---- people and words ----------------------------------------------------------------------------------------------


def _staff(work: Work) -> int:
    if work.actor.staff_id is None:
        raise Forbidden("Only a person can move cash.")
    return work.actor.staff_id


def _deciders(work: Work) -> list[int]:
    """Who may confirm, but for all accounts of whoever asks; the last to be here first, no more than 25."""
    roles = [role for role, granted in GRANTS.items() if CONFIRM in granted]
    asker = person_of(work, work.actor.staff_id)
    able = (
        select(StaffUser.id)
        .where(
            StaffUser.status == StaffStatus.ACTIVE,
            StaffUser.id.in_(select(StaffRole.staff_id).where(StaffRole.role.in_(roles))),
            func.coalesce(StaffUser.person_id, StaffUser.id) != asker,
        )
        .order_by(StaffUser.last_login_at.desc().nulls_last(), StaffUser.id)
    )
    return sorted(work.session.scalars(able.limit(MOST_TOLD)))


def _cashiers(work: Work, desk_id: int) -> Iterable[int]:
    at_it = (CashDeskAssignment.desk_id == desk_id, CashDeskAssignment.ends_at.is_(None))
    return work.session.scalars(
        select(CashDeskAssignment.cashier_id).where(*at_it).order_by(CashDeskAssignment.cashier_id).limit(MOST_TOLD)
    ).all()


def _title(row: SystemOperation, desk: CashDesk | None) -> str:
    """An operation in a line of the bell: no amounts, which whoever may look finds behind it."""
    what = f"{row.kind.value} no. {row.id}" if desk is None else f"{row.kind.value} no. {row.id}, desk {desk.code}"
    return f"{what} (takes back no. {row.reverses_id})" if row.reverses_id is not None else what


def _business_day(at: dt.datetime) -> dt.date:
    """The day of a moment in business time."""
    return at.astimezone(current_settings().zone).date()
