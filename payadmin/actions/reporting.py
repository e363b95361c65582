"""Keeping the figures: folding changes of payments into their days, and building all days anew."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final
from zoneinfo import ZoneInfo

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Invalid, NotFound
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.models.payments import Mode, Payment
from payadmin.models.reporting import MEASURES, BillingPeriod, PaymentChange, PaymentDay, Period, RollupState
from payadmin.permissions import Permission
from payadmin.queries import billing
from payadmin.queries.billing import Frame, frames_of
from payadmin.queries.reporting import (
    ONE_DAY,
    THE_STATE,
    Span,
    changes,
    counted,
    folded_days,
    known_days,
    moments,
    one_of,
    sliced,
    start_of,
)
from payadmin.work import Work, use_case

MOST_FOLDED: Final = 10_000
DAYS: Final = (1, 7, 30, 90)
EMBED: Final = "payadmin.embed"
# A rebuild goes through the payments in pieces: on SQLite everybody who writes waits for the end of one.
PIECE_DAYS: Final = 7


@use_case(Permission.SYSTEM_JOB_RUN)
def fold_changes(work: Work, *, zone: ZoneInfo, limit: int = MOST_FOLDED) -> int:
    """Add the oldest changes of the journal to the days they belong to, and take them out of the journal.

    Repetition is harmless: what was folded is gone. While somebody else folds or rebuilds, this does nothing.

    Args:
        zone: the business time zone. Days of another one are left alone until they are rebuilt.
        limit: how many changes at most.

    Returns:
        How many changes were folded.
    """
    state = _held_state(work)
    if state is None or state.zone != zone.key:
        return 0
    found = work.session.execute(select(PaymentChange.id, PaymentChange.at).order_by(PaymentChange.id).limit(limit))
    rows = found.all()
    if not rows:
        return 0
    days = {at.astimezone(zone).date() for _, at in rows}
    ids = [row_id for row_id, _ in rows]
    _add_to_days(work, sliced(changes(work.session, zone, Span(min(days), max(days)), ids=ids)))
    # Before the journal forgets them: what is folded of a number is what the payments say less what the journal says.
    for frames in billing.pieces(frames_of(days)):
        _add_to_periods(work, billing.folded(work.session, zone, frames, ids))
    work.session.execute(_unseen(delete(PaymentChange).where(one_of(work.session, PaymentChange.id, ids))))
    return len(ids)


@use_case(Permission.SYSTEM_JOB_RUN)
def begin_rebuild(work: Work, *, zone: ZoneInfo, afresh: bool = False) -> Span | None:
    """Order all days anew; `rebuild_days` does them. A rebuild for the same zone that is going on goes on.

    In the zone they are in, the days stay readable: each is replaced as a whole. For another zone they are emptied at
    once, and figures are counted from the payments until the last day is there.

    Args:
        zone: the business time zone.
        afresh: begin with the first day, whatever a rebuild that is going on has done.

    Returns:
        The days that are left to be built; None when there is nothing to build or somebody else is at it.
    """
    state = _held_state(work, make=True)
    if state is None:
        return None
    if state.building == zone.key and not afresh:
        return _days_left(state)
    if state.zone != zone.key:
        state.zone = None
        work.session.execute(_unseen(delete(PaymentDay)))
        work.session.execute(_unseen(delete(BillingPeriod)))
    state.building = zone.key
    known = [found for found in (known_days(work.session, zone), folded_days(work.session)) if found is not None]
    state.next_day = min((span.first for span in known), default=None)
    state.last_day = max((span.last for span in known), default=None)
    _forget_periods(work, before=state.next_day)
    _forget_periods(work, beyond=state.last_day)
    if state.next_day is None:
        state.zone, state.building = zone.key, None
        return None
    work.record(Event.REPORTING_ROLLUPS_REBUILT, zone=zone.key)
    return _days_left(state)


@use_case(Permission.SYSTEM_JOB_RUN)
def rebuild_days(work: Work, *, zone: ZoneInfo) -> Span | None:
    """Build the next few days of a rebuild from the payments.

    What the journal still holds of these days is taken away again: it will be folded as ever. Both are one statement,
    which sees a payment if and only if it sees its changes.

    Returns:
        The days that are left; None when all are there, or somebody else is at it.
    """
    state = _held_state(work)
    if state is None or state.building != zone.key or state.next_day is None or state.last_day is None:
        return None
    last = min(state.next_day + ONE_DAY * (PIECE_DAYS - 1), state.last_day)
    span = Span(state.next_day, last)
    work.session.execute(_unseen(delete(PaymentDay).where(PaymentDay.day.between(span.first, span.last))))
    session = work.session
    _add_to_days(work, sliced(counted(session, zone, span), changes(session, zone, span, sign=-1)))
    after = _next_with_payments(work, zone, last, state.last_day)
    if after is not None:
        skipped = PaymentDay.day > last, PaymentDay.day < after
    else:
        skipped = PaymentDay.day > last, PaymentDay.day <= state.last_day
    session.execute(_unseen(delete(PaymentDay).where(*skipped)))
    _forget_periods(work, beyond=last, before=after or state.last_day + ONE_DAY)
    _build_periods(work, zone, span if after is not None else [*span, state.last_day], after)
    if after is None:
        state.zone, state.building, state.next_day, state.last_day = zone.key, None, None, None
        return None
    state.next_day = after
    return _days_left(state)


@use_case(Permission.REPORTING_ANALYTICS_READ)
def share_analytics(work: Work, *, mode: Mode, days: int) -> str:
    """Make the token of a link by which another site may show Analytics, without any account (S0:159).

    It shows figures only: no list, no person. It ends after `days`, and at once when whoever made it is locked, leaves,
    or may no longer see Analytics.

    Args:
        mode: live or test payments.
        days: one of `DAYS`.

    Raises:
        Invalid: another number of days.
    """
    if days not in DAYS:
        raise Invalid("Choose for how many days the link shall work.", field="days")
    until = work.now + dt.timedelta(days=days)
    work.record(Event.REPORTING_ANALYTICS_SHARED, mode=mode.name, until=until.isoformat(timespec="minutes"))
    token = _embed_signer().dumps([work.actor.staff_id, mode.name, int(until.timestamp())])
    return token if isinstance(token, str) else token.decode()


def shared_mode(session: Session, token: str, now: dt.datetime) -> Mode:
    """Which payments the link with this token shows.

    Raises:
        NotFound: it was not made here, has ended, or its maker may not see Analytics any more: the same answer.
    """
    try:
        staff_id, mode, until = _embed_signer().loads(token)
        staff = session.get(StaffUser, staff_id)
        is_good = now.timestamp() < until and staff is not None and staff.status is StaffStatus.ACTIVE
        if is_good and staff is not None and Permission.REPORTING_ANALYTICS_READ in staff.permissions:
            return Mode[mode]
    except (BadSignature, ValueError, TypeError, KeyError):
        pass
    raise NotFound(
        "This link shows nothing. It has ended, or it is not complete. Ask whoever gave it to you for a new one."
    )


def _embed_signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_settings().secret_key, salt=EMBED)


def _next_with_payments(work: Work, zone: ZoneInfo, last: dt.date, end: dt.date) -> dt.date | None:
    """The first day after `last`, up to `end`, that has payments: years without any cost nothing."""
    start, stop = start_of(last + ONE_DAY, zone), moments(zone, Span(end, end))[1]
    later = select(Payment.created_at).where(Payment.created_at >= start, Payment.created_at < stop)
    found = [work.one(later.where(Payment.mode == mode).order_by(Payment.created_at)) for mode in Mode]
    days = [moment.astimezone(zone).date() for moment in found if moment is not None]
    return min(days) if days else None


def _held_state(work: Work, *, make: bool = False) -> RollupState | None:
    """The one row, held until the end of the transaction; None while another transaction holds it."""
    if make:
        dialect: Any = postgresql if work.session.get_bind().dialect.name == "postgresql" else sqlite
        work.session.execute(dialect.insert(RollupState).values(id=THE_STATE).on_conflict_do_nothing())
    held = select(RollupState).where(RollupState.id == THE_STATE).with_for_update(skip_locked=True)
    return work.session.scalars(held.execution_options(populate_existing=True)).one_or_none()


def _days_left(state: RollupState) -> Span | None:
    if state.next_day is None or state.last_day is None:
        return None
    return Span(state.next_day, state.last_day)


def _add_to_days(work: Work, rows: Any) -> None:
    """Add rows such as `sliced` makes to the days they belong to."""
    dialect: Any = postgresql if work.session.get_bind().dialect.name == "postgresql" else sqlite
    table: Any = PaymentDay.__table__
    added = dialect.insert(table).from_select([column.name for column in rows.selected_columns], rows)
    more = {name: table.c[name] + added.excluded[name] for name in MEASURES}
    work.session.execute(added.on_conflict_do_update(index_elements=list(table.primary_key), set_=more))


def _build_periods(work: Work, zone: ZoneInfo, days: Iterable[dt.date], after: dt.date | None) -> None:
    """Count the billing numbers of weeks and months anew, each whole, once the last of its days is built.

    Args:
        days: those that were built now.
        after: the next day to be built; a week or month that reaches it waits for it.
    """
    frames = [frame for frame in frames_of(days) if after is None or frame.span.last < after]
    for frame in frames:
        one = BillingPeriod.period == frame.period.name, BillingPeriod.first_day == frame.first
        work.session.execute(_unseen(delete(BillingPeriod).where(*one)))
    if frames:
        _add_to_periods(work, billing.built(zone, frames))


def _forget_periods(work: Work, *, beyond: dt.date | None = None, before: dt.date | None = None) -> None:
    """Take out weeks and months without any payment: those that begin after `beyond` and end before `before`."""
    for period in Period:
        where: list[Any] = [BillingPeriod.period == period.name]
        if beyond is not None:
            where.append(BillingPeriod.first_day > beyond)
        if before is not None:
            where.append(BillingPeriod.first_day < Frame.of(period, before).first)
        work.session.execute(_unseen(delete(BillingPeriod).where(*where)))


def _add_to_periods(work: Work, rows: Any) -> None:
    """Add numbers of weeks and months to those that are kept."""
    dialect: Any = postgresql if work.session.get_bind().dialect.name == "postgresql" else sqlite
    table: Any = BillingPeriod.__table__
    added = dialect.insert(table).from_select([column.name for column in rows.selected_columns], rows)
    more = {"numbers": table.c.numbers + added.excluded.numbers}
    work.session.execute(added.on_conflict_do_update(index_elements=list(table.primary_key), set_=more))


def _unseen(statement: Any) -> Any:
    """A statement on rows that no session holds."""
    return statement.execution_options(synchronize_session=False)
