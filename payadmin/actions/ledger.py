"""The books: book what was recorded before them, check them, close a period. Posting itself is done by other rooms."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, literal, select

from payadmin import step_up
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.db import utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import _
from payadmin.ledger import checks
from payadmin.ledger.payments import follow, missing_payments
from payadmin.ledger.posting import first_open_day
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.ledger import (
    AccountingPeriod,
    LedgerCheck,
    LedgerClosing,
    LedgerTransaction,
    LedgerTurnover,
)
from payadmin.models.payments import Mode, OrderStatus, Payment, Refund, VoidRequest
from payadmin.models.wallets import ApplicationStatus, LimitApplication
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

CHECK_JOB = "check_ledger"
CLOSE_ACT = "ledger.close"
CHECK_EVERY = dt.timedelta(days=1)
REASON_LENGTH = 200
CHUNK = 500
_OPEN_ORDERS = (OrderStatus.REQUESTED, OrderStatus.QUEUED, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN)


@dataclass(frozen=True)
class Booked:
    """What one turn of the backfill did; `last_id` is where the next begins, None when nothing is left."""

    last_id: int | None
    payments: int = 0
    facts: int = 0


@use_case(Permission.SYSTEM_JOB_RUN)
def book_recorded(work: Work, *, after_id: int, limit: int = CHUNK) -> Booked:
    """Book payments that were recorded before there were books, with their refunds, voids and waiting approvals.

    A turn is one transaction; stopped anywhere, it is simply begun again, and books nothing twice.

    Args:
        after_id: the last payment of the turn before, to begin with 0.
        limit: the payments of one turn, which bound its memory.
    """
    wanted = missing_payments(after_id, limit).with_for_update(of=Payment, key_share=True)
    ids = list(work.session.scalars(wanted))
    if not ids:
        return Booked(None)
    facts = follow(work, ids)
    work.record(Event.LEDGER_BOOKED, payments=len(ids), facts=facts, first_payment=ids[0], last_payment=ids[-1])
    return Booked(ids[-1], len(ids), facts)


# ---- checks --------------------------------------------------------------------------------------------------------


@use_case(Permission.LEDGER_ENTRY_CHECK)
def start_check(work: Work, *, by_job: bool = True) -> int:
    """Begin to check the books, and have a worker do it; returns the number of the check.

    Args:
        by_job: False when the caller runs the checks itself, as the command does.

    Raises:
        Conflict: a check is going on already.
    """
    running = work.one(select(LedgerCheck).order_by(LedgerCheck.id.desc()))
    if by_job and running is not None and running.done_at is None and work.now - running.started_at < CHECK_EVERY:
        raise Conflict("The books are being checked already. The result will appear on this page.")
    return _begin(work, by_job=by_job)


@use_case(Permission.SYSTEM_JOB_RUN)
def check_books_daily(work: Work) -> None:
    """Have the books checked if nobody did for a day."""
    newest = work.one(select(LedgerCheck).order_by(LedgerCheck.id.desc()))
    if newest is None or work.now - newest.started_at >= CHECK_EVERY:
        _begin(work, by_job=True)


@use_case(Permission.SYSTEM_JOB_RUN, about=LedgerCheck)
def note_result(work: Work, check_id: int, *, results: Sequence[checks.Result]) -> None:
    """Keep what a check of the books found. A result is never replaced."""
    check = work.get(LedgerCheck, check_id, lock=True)
    if check.done_at is not None:
        return
    check.results = [each.plain() for each in results]
    check.broken = sum(each.broken for each in results)
    check.done_at = work.now
    outcome = "failed" if check.broken else "done"
    broken = ", ".join(each.number for each in results if each.broken) or None
    work.record(Event.LEDGER_CHECKED, check, outcome=outcome, broken=check.broken, invariants=broken)


def _begin(work: Work, *, by_job: bool) -> int:
    check = work.add(LedgerCheck(started_at=work.now, asked_by=work.actor.name))
    work.record(Event.LEDGER_CHECK_STARTED, check)
    if by_job:
        work.promise(CHECK_JOB, check_id=check.id)
    return check.id


# ---- closing -------------------------------------------------------------------------------------------------------


def closing_facts(last_day: dt.date) -> dict[str, object]:
    """What a code confirms: through which day the books are closed."""
    return {"through": last_day.isoformat()}


@use_case(Permission.LEDGER_ENTRY_CLOSE)
def close_period(work: Work, *, last_day: dt.date, reason: str, offer: str = "", code: str = "") -> AccountingPeriod:
    """Close the books through `last_day`, for good: nothing is posted into those days any more.

    The balances of that evening are kept, so that whatever is slipped in later shows (I9). Corrections go into the
    first open day, as reversals.

    Args:
        last_day: a day that is over; the period begins after the last closed one.
        reason: for the trail.
        offer: the step-up offer that the form carried (`step_up.offer(actor, CLOSE_ACT, closing_facts(last_day))`).
        code: the authenticator's code.

    Raises:
        Invalid: no reason, or a wrong code.
        Conflict: the books cannot be closed through that day; the sentence says everything that stands in the way.
    """
    text = mask_pan_in_text(reason.strip())
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    step_up.spend(work, offer, code, CLOSE_ACT, closing_facts(last_day))
    first_day = opening_day(work.session)
    today = work.now.astimezone(current_settings().zone).date()
    if last_day >= today:
        raise Conflict("Only days that are over can be closed.")
    if first_day is None:
        raise Conflict("There is nothing in the books yet.")
    if last_day < first_day:
        raise Conflict(_("The books are closed already up to %(day)s.", day=first_day - dt.timedelta(days=1)))
    posted = select(func.count()).where(LedgerTransaction.effective_on.between(first_day, last_day))
    # From here on nobody posts until the end: the database's trigger takes the lock of the books.
    period = work.add(
        AccountingPeriod(
            first_day=first_day,
            last_day=last_day,
            closed_by=work.actor.name,
            closed_by_id=work.actor.staff_id,
            reason=text,
            transactions=work.session.scalar(posted) or 0,
            created_at=work.now,
        )
    )
    if why := obstacles(work.session, last_day):
        raise Conflict(" ".join(why))
    minor = func.sum(LedgerTurnover.debit_minor - LedgerTurnover.credit_minor)
    balances = (
        select(literal(period.id), LedgerTurnover.account_id, minor)
        .where(LedgerTurnover.day <= last_day)
        .group_by(LedgerTurnover.account_id)
    )
    work.session.execute(insert(LedgerClosing).from_select(["period_id", "account_id", "balance_minor"], balances))
    work.record(
        Event.LEDGER_PERIOD_CLOSED,
        period,
        after={"first_day": first_day, "last_day": last_day, "transactions": period.transactions},
        reason=text,
    )
    return period


def opening_day(session: Any) -> dt.date | None:
    """The first day of the next period: after the last closed one, or that of the first transaction."""
    after = first_open_day(session)
    if after is not None:
        return after
    first: dt.date | None = session.scalar(select(func.min(LedgerTransaction.effective_on)))
    return first


def obstacles(session: Any, last_day: dt.date) -> list[str]:
    """Everything that keeps the books open through `last_day`, in sentences."""
    zone = current_settings().zone
    end = dt.datetime.combine(last_day + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)
    found: list[str] = []

    def count(*conditions: Any) -> int:
        return int(session.scalar(select(func.count()).where(*conditions)) or 0)

    live = select(Payment.id).where(Payment.mode == Mode.LIVE)
    if waiting := count(
        ApprovalRequest.status == ApprovalStatus.PENDING,
        ApprovalRequest.kind.in_(("refund", "void", "outcome", "wallet")),
        ApprovalRequest.created_at < end,
    ):
        found.append(_("%(number)s requests about money of these days wait for a decision.", number=waiting))
    if held := count(LimitApplication.status == ApplicationStatus.PENDING, LimitApplication.created_at < end):
        found.append(_("%(number)s transactions of these days are over a limit and wait for a decision.", number=held))
    on_their_way = sum(
        count(order.status.in_(_OPEN_ORDERS), order.created_at < end, order.payment_id.in_(live))
        for order in (Refund, VoidRequest)
    )
    if on_their_way:
        found.append(_("%(number)s refunds and voids of these days are still on their way.", number=on_their_way))
    known = select(LedgerTransaction.id).where(
        LedgerTransaction.business == "payment", LedgerTransaction.business_id == Payment.id
    )
    if unknown := count(
        Payment.mode == Mode.LIVE, Payment.captured_minor > 0, Payment.created_at < end, ~known.exists()
    ):
        found.append(
            _("%(number)s payments of these days are not booked yet: run payadmin ledger backfill.", number=unknown)
        )
    # Checking reads everything, so it is done before, not while everybody who books waits for the closing.
    newest = select(LedgerCheck).where(LedgerCheck.done_at.is_not(None)).order_by(LedgerCheck.id.desc()).limit(1)
    check: LedgerCheck | None = session.scalars(newest).first()
    if check is None or check.done_at is None or check.done_at < utcnow() - CHECK_EVERY:
        found.append(_("The books were not checked during the last day: check them on Ledger health first."))
    elif check.broken:
        broken = [str(each["number"]) for each in check.results or [] if each["broken"]]
        found.append(_("The books are not sound: %(invariants)s. See Ledger health.", invariants=", ".join(broken)))
    return found
