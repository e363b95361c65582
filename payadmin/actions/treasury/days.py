"""The day of a cash desk: opened by a cashier, counted blind, then closed or returned by an accountant (CA1-CA6).

What a desk should hold is what the books say, asked for while the desk's row is held: nothing moves in it meanwhile.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func, select

from payadmin.actions.treasury.holding import (
    NOT_HERE,
    STALE,
    cashier_of,
    hold_day,
    hold_desk,
    hold_whole_day,
    is_here,
    lying_in,
    note_of,
    people,
    reason_of,
    refuse_unusable,
    tell,
    tell_those_who,
)
from payadmin.approvals import person_of
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.access import StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.system import NoticeKind
from payadmin.models.treasury import (
    CashDayUnit,
    CashDesk,
    CashDeskAssignment,
    CashDeskDay,
    CashOperation,
    DayStatus,
)
from payadmin.permissions import Permission
from payadmin.queries.treasury import count_field, units_of_day
from payadmin.work import Actor, Work, use_case

OPERATE: Final = Permission.CASH_DAY_OPERATE
DECIDE: Final = Permission.CASH_DAY_DECIDE
BUSINESS: Final = "cash_desk_day"
MOST_PIECES: Final = 1_000_000
Denominations = Mapping[str, Mapping[str, int]]


@use_case(OPERATE, about=CashDesk)
def open_day(work: Work, desk_id: int) -> CashDeskDay:
    """Open the day of a desk: cash may be taken and given from now on. It begins with what the books say (CA1).

    Its date is that of the moment in business time; it stays so over midnight and whatever clocks do. A receipt says
    desk, date and number: a second day of one date goes on with the numbers of the first (CA7).

    Raises:
        Conflict: the actor does not work at this desk, the desk or its organization cannot be used, or its day before
            is not closed; of two cashiers who open at once, one is told who was first.
    """
    staff = cashier_of(work)
    desk = hold_desk(work, desk_id)
    if not is_here(work, desk, staff.id):
        raise Conflict(NOT_HERE)
    refuse_unusable(work, desk)
    before = hold_day(work, desk)
    if before is not None:
        by = work.session.get_one(StaffUser, before.opened_by_id).username
        facts = {"by": by, "day": before.business_date}
        raise Conflict(
            _("The day of this desk is open already: %(by)s opened it.", **facts)
            if before.status is DayStatus.OPEN
            else _("The day of %(day)s is not closed yet: the accountant has to close it first.", **facts),
            there=before.id,
        )
    today = _today(work)
    numbered = select(func.max(CashDeskDay.last_receipt)).where(
        CashDeskDay.desk_id == desk.id, CashDeskDay.business_date == today
    )
    day = work.add(
        CashDeskDay(
            desk_id=desk.id,
            business_date=today,
            opened_at=work.now,
            opened_by_id=staff.id,
            last_receipt=work.session.scalar(numbered) or 0,
        )
    )
    opening = lying_in(work, desk)
    rows = [work.add(CashDayUnit(day_id=day.id, unit=unit, opening_minor=opening[unit])) for unit in sorted(opening)]
    facts = {"desk_id": desk.id, "business_date": day.business_date, "opening": opening}
    work.record(Event.CASH_DAY_OPENED, day, after=facts, also=rows, **_names(desk, day))
    return day


def request_close(
    actor: Actor,
    day_id: int,
    *,
    counts: Mapping[str, int],
    version: int,
    denominations: Denominations | None = None,
    note: str | None = None,
) -> CashDeskDay:
    """Count a day that is open or was returned, and ask the accountant to close it (CA4). Nothing is done in it after.

    Who works at the desk counts, or who opened the day, even when the desk was locked or their work there ended. What
    the books expect is worked out here and compared; it is told to nobody before the count is there. A count that
    differs without a note is told so once, and stands in the trail for the accountant. From then on, until the day is
    returned, a count needs a note whether it differs or not: trying does not tell what the books say.

    Args:
        counts: what was counted, in minor units, of exactly the units of this day (`queries.treasury.units_of_day`).
        denominations: for units that were counted by the piece, how many of each, by their minor units.
        note: what the cashier says about a difference; needed when there is one, and after one.
        version: what the form showed of the day; every operation raises it, so that nothing is counted that moved.

    Raises:
        Invalid: counts that are missing, unknown or make no sense (`data["fields"]` has the sentence of each field),
            or no note where one is needed (field "note").
        Conflict: the day is closed or counted already, it is not the actor's, or something happened in it meanwhile.
    """
    answer = count_day(actor, day_id, counts=counts, version=version, denominations=denominations, note=note)
    if isinstance(answer, Invalid):
        raise answer
    return answer


@use_case(OPERATE, about=CashDeskDay)
def count_day(
    work: Work,
    day_id: int,
    *,
    counts: Mapping[str, int],
    version: int,
    denominations: Denominations | None,
    note: str | None,
) -> CashDeskDay | Invalid:
    """Do what `request_close` says; the answer of a count without its note is given back, as the try has to stay."""
    staff = cashier_of(work)
    desk, day = hold_whole_day(work, day_id)
    if staff.id != day.opened_by_id and not is_here(work, desk, staff.id):
        raise Conflict(NOT_HERE)
    if day.status not in {DayStatus.OPEN, DayStatus.RETURNED}:
        raise Conflict("This day was counted already.")
    words = note_of(note)
    _refuse_stale(day, version)
    expected = _checked(work, desk, day, counts, denominations)
    if words is None:
        if _was_miscounted(work, day):
            raise Invalid("This till was counted before. Say in a note what you know.", field="note")
        if wrong := [unit for unit, minor in expected.items() if counts[unit] != minor]:
            facts = {"rounds": day.rounds, "counts": {unit: counts[unit] for unit in expected}}
            work.record(Event.CASH_DAY_MISCOUNTED, day, after=facts, outcome="refused", **_names(desk, day))
            return Invalid(
                _(
                    "What was counted differs from the books in %(units)s. Count again, or say in a note what you "
                    "know.",
                    units=", ".join(wrong),
                ),
                field="note",
            )
    return _count(work, desk, day, counts, expected, denominations, note=words)


@use_case(DECIDE, about=CashDeskDay)
def close_day(work: Work, day_id: int, *, version: int, reason: str | None = None) -> CashDeskDay:
    """Accept a count and close the day; what was too little or too much is booked now, once (CA5, J16, J17).

    Args:
        version: what the accountant looked at.

    Raises:
        Forbidden: the actor, with whichever account, opened the day or worked at its desk within it.
        Conflict: it is not counted, somebody else decided meanwhile, or money moved in the desk since the count:
            return it then.
    """
    words = reason_of(reason, is_needed=False)
    desk, day = hold_whole_day(work, day_id)
    _refuse_undecidable(day, version)
    _refuse_own(work, day)
    return _close(work, desk, day, words, is_forced=False)


@use_case(DECIDE, about=CashDeskDay)
def return_day(work: Work, day_id: int, *, reason: str, version: int) -> CashDeskDay:
    """Return a count to the cashier with a reason; the day can be counted again, and nothing else (CA5, CA2).

    Raises:
        Invalid: no reason.
        Forbidden: the actor, with whichever account, opened the day or worked at its desk within it.
        Conflict: it is not counted, or somebody else decided meanwhile.
    """
    words = reason_of(reason)
    desk, day = hold_whole_day(work, day_id)
    _refuse_undecidable(day, version)
    _refuse_own(work, day)
    told = {day.opened_by_id, day.close_requested_by_id or day.opened_by_id}
    decided = {"decided_at": work.now, "decided_by_id": work.actor.staff_id, "decision": words}
    _move(work, day, DayStatus.RETURNED, **decided)
    day = work.get(CashDeskDay, day_id)
    work.record(
        Event.CASH_DAY_RETURNED,
        day,
        before={"status": DayStatus.CLOSE_REQUESTED},
        after={"status": DayStatus.RETURNED},
        reason=words,
        **_names(desk, day),
    )
    for staff_id in sorted(told):
        title = f"The count of {desk.name}, {day.business_date}, was returned: {words}"
        tell(work, staff_id, day, title, key=f"returned:{day.rounds}", kind=NoticeKind.ATTENTION)
    return day


@use_case(DECIDE, about=CashDeskDay)
def force_close(work: Work, day_id: int, *, counts: Mapping[str, int], reason: str, version: int) -> CashDeskDay:
    """Count and close a day at once, because its cashier did not: it was left open, or nobody is there any more.

    Args:
        counts: as in `request_close`.
        reason: why; it stands beside the day for good.

    Raises:
        Invalid: no reason, or counts that are missing, unknown or make no sense.
        Forbidden: the actor, with whichever account, opened the day or worked at its desk within it.
        Conflict: it was counted already (close or return it), is closed, or something happened in it meanwhile.
    """
    words = reason_of(reason)
    person_of(work, work.actor.staff_id)
    desk, day = hold_whole_day(work, day_id)
    if day.status is DayStatus.CLOSE_REQUESTED:
        raise Conflict("This day was counted. Close it, or return it with a reason.")
    if day.status is DayStatus.CLOSED:
        raise Conflict("This day is closed already.")
    _refuse_stale(day, version)
    _refuse_own(work, day)
    expected = _checked(work, desk, day, counts, None)
    day = _count(work, desk, day, counts, expected, None, note=None)
    return _close(work, desk, day, words, is_forced=True)


@use_case(Permission.SYSTEM_JOB_RUN, about=CashDeskDay)
def alert_left_open(work: Work, day_id: int) -> bool:
    """Tell the accountants that a day is still open on a later date, once for each date; whether they were told now."""
    desk, day = hold_whole_day(work, day_id)
    today = _today(work)
    told_on = day.alerted_on or day.business_date
    if day.status is DayStatus.CLOSED or day.business_date >= today or told_on >= today:
        return False
    work.change(CashDeskDay, day.id, alerted_on=today)
    day = work.get(CashDeskDay, day.id)
    work.record(Event.CASH_DAY_LEFT_OPEN, day, after={"status": day.status, "alerted_on": today}, **_names(desk, day))
    title = f"The day of {desk.name}, {day.business_date}, is not closed: {day.status.value.lower()}."
    tell_those_who(work, DECIDE, day, title, key=f"left_open:{today.isoformat()}", kind=NoticeKind.ATTENTION)
    return True


# ---- counting ------------------------------------------------------------------------------------------------------


def _checked(
    work: Work, desk: CashDesk, day: CashDeskDay, counts: Mapping[str, int], denominations: Denominations | None
) -> dict[str, int]:
    """What the books expect of a held day, by unit, once the counts are sound."""
    units = units_of_day(work.session, day, desk)
    wrong: dict[str, str] = {}
    for unit in units:
        if unit not in counts:
            wrong[unit] = _("Count %(unit)s too; write 0 if there is none.", unit=unit)
    for unit in sorted(set(counts) - set(units)):
        wrong[unit] = _("This desk had no %(unit)s in this day.", unit=unit)
    for unit in units:
        if unit in counts and unit not in wrong and (problem := _problem(counts[unit])) is not None:
            wrong[unit] = problem
    for unit, pieces in (denominations or {}).items():
        if unit not in wrong and (problem := _problem_of_pieces(pieces, counts.get(unit))) is not None:
            wrong[unit] = problem
    if wrong:
        fields = {count_field(unit): sentence for unit, sentence in wrong.items()}
        first = next(iter(fields))
        raise Invalid(fields[first], field=first, fields=fields)
    lying = lying_in(work, desk)
    return {unit: lying.get(unit, 0) for unit in units}


def _was_miscounted(work: Work, day: CashDeskDay) -> bool:
    """Whether this day was told, since it was opened or returned, that a count differs."""
    told = select(AuditEvent.after).where(
        AuditEvent.entity == CashDeskDay.__tablename__,
        AuditEvent.entity_id == str(day.id),
        AuditEvent.event == str(Event.CASH_DAY_MISCOUNTED),
    )
    return any((facts or {}).get("rounds") == day.rounds for facts in work.session.scalars(told))


def _problem(minor: object) -> str | None:
    if type(minor) is not int or minor > MAX_MINOR:
        return _("This is no amount that can be counted.")
    return _("A count is not negative.") if minor < 0 else None


def _problem_of_pieces(pieces: Mapping[str, int], counted: int | None) -> str | None:
    """Why notes and coins are not what was counted; they are named by their minor units."""
    total = 0
    for piece, number in pieces.items():
        if not (piece.isascii() and piece.isdigit() and 0 < len(piece) <= len(str(MAX_MINOR)) and int(piece)):
            return _("There is no such note or coin.")
        if type(number) is not int or not 0 <= number <= MOST_PIECES:
            return _("Write how many pieces there are, as whole numbers.")
        total += int(piece) * number
    return None if total == counted else _("The notes and coins do not come to what was counted.")


def _count(
    work: Work,
    desk: CashDesk,
    day: CashDeskDay,
    counts: Mapping[str, int],
    expected: Mapping[str, int],
    denominations: Denominations | None,
    *,
    note: str | None,
) -> CashDeskDay:
    """Keep a sound count beside what the books expect, and have the day wait for a decision."""
    before, there = day.status, {row.unit: row for row in _units(work, day)}
    rows = []
    for unit, minor in expected.items():
        pieces = {piece: number for piece, number in (denominations or {}).get(unit, {}).items() if number}
        values: dict[str, Any] = {
            "expected_minor": minor,
            "counted_minor": counts[unit],
            "denominations": pieces or None,
        }
        if unit in there:
            work.change(CashDayUnit, there[unit].id, **values)
            rows.append(work.get(CashDayUnit, there[unit].id))
        else:
            rows.append(work.add(CashDayUnit(day_id=day.id, unit=unit, opening_minor=0, **values)))
    who = {"close_requested_at": work.now, "close_requested_by_id": work.actor.staff_id}
    _move(work, day, DayStatus.CLOSE_REQUESTED, rounds=day.rounds + 1, note=note, **who)
    day = work.get(CashDeskDay, day.id)
    facts = {"status": day.status, "rounds": day.rounds, "counts": {unit: counts[unit] for unit in expected}}
    work.record(
        Event.CASH_DAY_COUNTED, day, before={"status": before}, after=facts, reason=note, also=rows, **_names(desk, day)
    )
    if work.actor.may(OPERATE):
        title = _(
            "%(who)s counted %(desk)s, %(day)s: the day waits to be closed.",
            who=work.actor.name,
            desk=desk.name,
            day=day.business_date,
        )
        tell_those_who(work, DECIDE, day, title, key=f"counted:{day.rounds}", kind=NoticeKind.READY)
    return day


def _close(work: Work, desk: CashDesk, day: CashDeskDay, reason: str | None, *, is_forced: bool) -> CashDeskDay:
    """Book what was too little or too much of a counted day, and close it."""
    rows = _units(work, day)
    lying = lying_in(work, desk)
    if lying != {row.unit: row.expected_minor for row in rows if row.expected_minor}:
        raise Conflict("Money moved in this desk since it was counted. Return the day, so that it is counted again.")
    postings, differences = [], {}
    for row in rows:
        assert row.expected_minor is not None
        assert row.counted_minor is not None
        over = row.counted_minor - row.expected_minor
        if over:
            make = recipes.cash_over if over > 0 else recipes.cash_short
            recipe = make(unit=row.unit, desk=desk.code, amount=abs(over))
            postings.append(
                Posting(f"{BUSINESS}:{day.id}:{row.unit}", recipe, BUSINESS, day.id, day.business_date, memo=reason)
            )
            differences[row.unit] = over
    post(work, postings)
    decided = {"decided_at": work.now, "decided_by_id": work.actor.staff_id, "decision": reason}
    told = {day.opened_by_id, day.close_requested_by_id or day.opened_by_id} - {work.actor.staff_id}
    _move(work, day, DayStatus.CLOSED, is_forced=is_forced, **decided)
    day = work.get(CashDeskDay, day.id)
    work.record(
        Event.CASH_DAY_CLOSED,
        day,
        before={"status": DayStatus.CLOSE_REQUESTED},
        after={"status": DayStatus.CLOSED, "differences": differences, "is_forced": is_forced},
        reason=reason,
        **_names(desk, day),
    )
    for staff_id in sorted(each for each in told if each is not None):
        title = _("The day of %(desk)s, %(day)s, is closed.", desk=desk.name, day=day.business_date)
        tell(work, staff_id, day, title, key="closed", kind=NoticeKind.DONE)
    return day


# ---- the parts -----------------------------------------------------------------------------------------------------


def _units(work: Work, day: CashDeskDay) -> Sequence[CashDayUnit]:
    wanted = select(CashDayUnit).where(CashDayUnit.day_id == day.id).order_by(CashDayUnit.unit)
    return work.session.scalars(wanted.execution_options(populate_existing=True)).all()


def _move(work: Work, day: CashDeskDay, status: DayStatus, **values: Any) -> None:
    when = (CashDeskDay.version == day.version,)
    if not work.change(CashDeskDay, day.id, when=when, status=status, **values):
        raise Conflict(STALE)


def _refuse_stale(day: CashDeskDay, version: int) -> None:
    if day.version != version:
        raise Conflict(STALE, now=day.version)


def _refuse_undecidable(day: CashDeskDay, version: int) -> None:
    if day.status is DayStatus.CLOSED:
        raise Conflict("This day is closed already.")
    if day.status is not DayStatus.CLOSE_REQUESTED:
        raise Conflict("This day is not counted: its cashier has to ask for its closing first.")
    _refuse_stale(day, version)


def _refuse_own(work: Work, day: CashDeskDay) -> None:
    """Nobody decides about money that they handled themselves: two accounts of one person are one person (MC1).

    Whoever was assigned to the desk within the day could count it and had its cash before them.
    """
    worked = select(CashOperation.cashier_id).where(CashOperation.day_id == day.id)
    here = select(CashDeskAssignment.cashier_id).where(
        CashDeskAssignment.desk_id == day.desk_id,
        CashDeskAssignment.ends_at.is_(None) | (CashDeskAssignment.ends_at > day.opened_at),
    )
    accounts = (StaffUser.id == day.opened_by_id) | StaffUser.id.in_(worked) | StaffUser.id.in_(here)
    if person_of(work, work.actor.staff_id) in people(work, accounts):
        raise Forbidden("You worked in this day yourself. Somebody else has to decide about it.")


def _today(work: Work) -> dt.date:
    return work.now.astimezone(current_settings().zone).date()


def _names(desk: CashDesk, day: CashDeskDay) -> dict[str, Any]:
    """What staff find a day by in the trail."""
    return {"cash_desk": desk.code, "cash_day": day.id, "business_date": day.business_date}
