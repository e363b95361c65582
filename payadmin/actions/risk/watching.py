"""Watch rules: written, tried on past payments, switched on, and asked about every payment once, after it was made.

Payments to be asked about stand in a journal that triggers write in the payment's own transaction. Taking a payment out
of it and writing what the rules raised is one transaction: whatever dies, nothing is lost and nothing raised twice.
"""

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError

from payadmin import audit
from payadmin.actions.risk.approval import BLOCKING_GATE, hold_target
from payadmin.actions.risk.blocks import FINAL_PAYMENTS, set_block
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.conditions import Fact, read_conditions
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer
from payadmin.models.payments import Mode, Payment
from payadmin.models.risk import (
    MOST_A_DAY,
    NAME_LENGTH,
    NOTE_LENGTH,
    SENTENCE_LENGTH,
    BlockReason,
    BlockTarget,
    NoteStatus,
    TrialStatus,
    WatchDay,
    WatchItem,
    WatchNote,
    WatchRule,
    WatchStatus,
    WatchTrial,
    WatchVersion,
)
from payadmin.models.system import NoticeKind
from payadmin.notices import notify, those_who_may
from payadmin.permissions import Permission
from payadmin.queries.blocks import payment_block
from payadmin.queries.risk.watching import (
    active_versions,
    all_hold,
    asked_by,
    conditions_of,
    facts_about,
    latest_trial,
    watch_registry,
)
from payadmin.work import Work, use_case

log = logging.getLogger(__name__)

WRITE: Final = Permission.FRAUD_WATCH_WRITE
AT_ONCE: Final = 100
TRIED_AT_ONCE: Final = 200
MOST_DAYS: Final = 366
FOUND_KEPT: Final = 50
MOST_FAILURES: Final = 3
SET_ASIDE: Final = _("The watch rules could not be asked about some payments. See Watch rules, Not watched.")
STALE: Final = _("Somebody else changed this rule meanwhile. Look at what changed, then try again.")
NO_DRAFT: Final = _("Only a draft can be changed, tried and switched on.")


# ---- writing -------------------------------------------------------------------------------------------------------


@use_case(WRITE)
def save_watch(
    work: Work,
    *,
    name: str,
    conditions: Sequence[Mapping[str, Any]],
    most_a_day: int,
    blocks: bool = False,
    rule_id: int | None = None,
    version: int | None = None,
) -> int:
    """Write the draft of a rule, a new one or the next version of one that watches already; the number of the rule.

    Args:
        conditions: as JSON has them; all of them must hold.
        most_a_day: how many notes it may raise on one day.
        blocks: whether it is to block payments by itself; a second person has to approve that when it is switched on.
        rule_id: the rule; None makes one.
        version: the version of the draft that the form showed; None: there was none.

    Raises:
        Invalid: no name, no conditions or wrong ones (`errors` says where), or a number out of range.
        Conflict: another rule has this name, or somebody else changed the draft meanwhile.
    """
    title = " ".join(mask_pan_in_text(name).split())
    if not title or len(title) > NAME_LENGTH or not title.isprintable():
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    if not 1 <= most_a_day <= MOST_A_DAY:
        raise Invalid(_("Write a number from 1 to %(most)s.", most=MOST_A_DAY), field="most_a_day")
    registry = watch_registry(work.session)
    read, problems = read_conditions(list(conditions), registry)
    if problems:
        raise Invalid("Some conditions cannot be read.", field="conditions", problems=problems)
    if not read:
        raise Invalid("A rule without conditions would raise every payment. Add one.", field="conditions")
    rule = _rule(work, rule_id, title)
    values = {"conditions": [each.as_json() for each in read], "most_a_day": most_a_day, "blocks": blocks}
    draft = _draft_of(work, rule.id)
    if (draft.version if draft is not None else None) != version:
        raise Conflict(STALE, now=draft.version if draft is not None else None)
    if draft is None:
        highest = work.one(select(func.max(WatchVersion.number)).where(WatchVersion.rule_id == rule.id)) or 0
        draft = work.add(WatchVersion(rule_id=rule.id, number=highest + 1, author_id=work.actor.staff_id, **values))
    elif not work.change(
        WatchVersion, draft.id, when=(WatchVersion.version == version,), author_id=work.actor.staff_id, **values
    ):
        raise Conflict(STALE)
    work.record(
        Event.RISK_WATCH_SAVED,
        work.get(WatchVersion, draft.id),
        also=[rule],
        after={"number": draft.number, **values},
        watch_rule=title,
    )
    return rule.id


@use_case(WRITE, about=WatchVersion)
def discard_watch(work: Work, version_id: int) -> None:
    """Put a draft away; it is kept, and never watches.

    Raises:
        Conflict: it is no draft any more.
    """
    draft = _taken(work, version_id)
    if not work.change(WatchVersion, draft.id, status=WatchStatus.ARCHIVED, archived_at=work.now):
        raise Conflict(NO_DRAFT)
    work.record(
        Event.RISK_WATCH_OFF,
        work.get(WatchVersion, draft.id),
        before={"status": WatchStatus.DRAFT},
        after={"status": WatchStatus.ARCHIVED},
    )


@use_case(WRITE, about=WatchVersion)
def switch_on_watch(work: Work, version_id: int, *, reason: str) -> None:
    """Let a draft watch from now on, in place of the version that did; it only raises notes.

    Raises:
        Invalid: no reason.
        Conflict: no draft, not tried as it is now, or it blocks: that takes `switch_on_blocking_watch`.
    """
    if work.get(WatchVersion, version_id).blocks:
        raise Conflict("This rule blocks payments, which a second person has to approve.")
    _switch_on(work, version_id, reason)


@use_case(WRITE, about=WatchVersion, gate=BLOCKING_GATE)
def switch_on_blocking_watch(work: Work, version_id: int, *, reason: str) -> None:
    """Let a draft watch and block from now on. A second person approves it, whatever the table of policies says.

    Raises:
        NeedsApproval: filed, and not done yet.
        Invalid: no reason.
        Conflict: no draft, not tried as it is now, or it does not block.
    """
    if not work.get(WatchVersion, version_id).blocks:
        raise Conflict("This rule blocks nothing, so nobody else has to approve it.")
    _switch_on(work, version_id, reason)


@use_case(WRITE, about=WatchRule)
def switch_off_watch(work: Work, rule_id: int, *, reason: str) -> None:
    """Let a rule watch no longer. What it raised, and what it blocked, stays.

    Raises:
        Invalid: no reason.
        Conflict: it is off already.
    """
    words = _words(reason)
    rule = work.get(WatchRule, rule_id, lock=True)
    active = _active_of(work, rule_id)
    if active is None or not work.change(WatchVersion, active.id, status=WatchStatus.ARCHIVED, archived_at=work.now):
        raise Conflict("This rule is off already.")
    work.record(
        Event.RISK_WATCH_OFF,
        work.get(WatchVersion, active.id),
        also=[rule],
        before={"status": WatchStatus.ACTIVE},
        after={"status": WatchStatus.ARCHIVED},
        reason=words,
        watch_rule=rule.name,
    )


def _switch_on(work: Work, version_id: int, reason: str) -> None:
    words = _words(reason)
    draft = _taken(work, version_id)
    trial = latest_trial(work.session, version_id)
    if trial is None or trial.status is not TrialStatus.DONE or trial.as_of != draft.version:
        raise Conflict("Replay past payments with this draft, as it is now, before you switch it on.")
    rule, before = work.get(WatchRule, draft.rule_id), _active_of(work, draft.rule_id)
    if before is not None and not work.change(
        WatchVersion, before.id, status=WatchStatus.ARCHIVED, archived_at=work.now
    ):
        raise Conflict(STALE)
    on = {"status": WatchStatus.ACTIVE, "activated_at": work.now, "activated_by": work.actor.name}
    if not work.change(WatchVersion, draft.id, when=(WatchVersion.version == draft.version,), **on):
        raise Conflict(STALE)
    also = [rule, *([work.get(WatchVersion, before.id)] if before is not None else [])]
    work.record(
        Event.RISK_WATCH_ON,
        work.get(WatchVersion, draft.id),
        also=also,
        before={"status": WatchStatus.DRAFT},
        after={"status": WatchStatus.ACTIVE, "number": draft.number, "blocks": draft.blocks},
        reason=words,
        watch_rule=rule.name,
    )


def _rule(work: Work, rule_id: int | None, name: str) -> WatchRule:
    taken = select(WatchRule.id).where(func.lower(WatchRule.name) == name.lower(), WatchRule.id != (rule_id or 0))
    if work.one(taken) is not None:
        raise Conflict("There is a rule with this name already.", field="name")
    if rule_id is None:
        try:
            with audit.undoable(work.session):
                return work.add(WatchRule(name=name))
        except IntegrityError as error:
            raise Conflict("There is a rule with this name already.", field="name") from error
    rule = work.get(WatchRule, rule_id, lock=True)
    if rule.name != name:
        work.change(WatchRule, rule_id, name=name)
    return work.get(WatchRule, rule_id)


def _taken(work: Work, version_id: int) -> WatchVersion:
    """A draft, held together with its rule."""
    seen = work.get(WatchVersion, version_id)
    work.get(WatchRule, seen.rule_id, lock=True)
    draft = work.get(WatchVersion, version_id, lock=True)
    if draft.status is not WatchStatus.DRAFT:
        raise Conflict(NO_DRAFT)
    return draft


def _draft_of(work: Work, rule_id: int) -> WatchVersion | None:
    found = select(WatchVersion).where(WatchVersion.rule_id == rule_id, WatchVersion.status == WatchStatus.DRAFT)
    row: WatchVersion | None = work.one(found.execution_options(populate_existing=True))
    return row


def _active_of(work: Work, rule_id: int) -> WatchVersion | None:
    found = select(WatchVersion).where(WatchVersion.rule_id == rule_id, WatchVersion.status == WatchStatus.ACTIVE)
    row: WatchVersion | None = work.one(found.execution_options(populate_existing=True))
    return row


# ---- trying --------------------------------------------------------------------------------------------------------


@use_case(WRITE, about=WatchVersion)
def start_trial(work: Work, version_id: int, *, days: int, zone: ZoneInfo) -> int:
    """Have workers ask the live payments of the last days by a draft, and touch nothing; the number of the replay.

    Asked again while one of the same draft runs, it answers with that one.

    Raises:
        Invalid: no number of days from 1 to 366.
        Conflict: it is no draft.
    """
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(_("Replay from 1 to %(most)s days.", most=MOST_DAYS), field="days")
    draft = _taken(work, version_id)
    running = latest_trial(work.session, version_id)
    if running is not None and running.status is TrialStatus.RUNNING and running.as_of == draft.version:
        return running.id
    first = work.now.astimezone(zone).date() - dt.timedelta(days=days - 1)
    trial = work.add(
        WatchTrial(
            version_id=version_id,
            as_of=draft.version,
            days=days,
            since=dt.datetime.combine(first, dt.time(), zone).astimezone(dt.UTC),
            until=work.now,
            requester_id=work.actor.staff_id,
        )
    )
    work.promise("try_watch_rule", trial_id=trial.id)
    return trial.id


@use_case(Permission.SYSTEM_JOB_RUN)
def try_some(work: Work, trial_id: int, *, limit: int = TRIED_AT_ONCE) -> bool:
    """Ask the next payments of a replay; whether more are left. What is found and the place reached are one write."""
    trial = work.get(WatchTrial, trial_id, lock=True)
    if trial.status is not TrialStatus.RUNNING:
        return False
    version = work.get(WatchVersion, trial.version_id)
    if version.version != trial.as_of and version.status is WatchStatus.DRAFT:
        _write_trial(work, trial, status=TrialStatus.FAILED, done_at=work.now)
        return False
    registry, conditions = watch_registry(work.session), conditions_of(version)
    names, zone = asked_by(conditions, registry), current_settings().zone
    wanted = (
        select(Payment, Customer)
        .join(Customer, Customer.id == Payment.customer_id)
        .where(Payment.mode == Mode.LIVE, Payment.created_at >= trial.since, Payment.created_at < trial.until)
    )
    if trial.cursor_at is not None:
        after = and_(Payment.created_at == trial.cursor_at, Payment.id > trial.cursor_id)
        wanted = wanted.where(Payment.created_at >= trial.cursor_at, or_(Payment.created_at > trial.cursor_at, after))
    rows = work.session.execute(wanted.order_by(Payment.created_at, Payment.id).limit(limit)).all()
    by_day, found, raised = dict(trial.by_day), list(trial.found), trial.raised
    for payment, customer in rows:
        if all_hold(conditions, facts_about(work.session, payment, customer, names), registry):
            raised += 1
            day = payment.created_at.astimezone(zone).date().isoformat()
            by_day[day] = by_day.get(day, 0) + 1
            found = [*found, payment.id][:FOUND_KEPT]
    values: dict[str, Any] = {
        "rows_done": trial.rows_done + len(rows),
        "raised": raised,
        "by_day": by_day,
        "most_on_a_day": max(by_day.values(), default=0),
        "found": found,
    }
    if rows:
        values |= {"cursor_at": rows[-1][0].created_at, "cursor_id": rows[-1][0].id}
    is_over = len(rows) < limit
    if is_over:
        values |= {"status": TrialStatus.DONE, "done_at": work.now}
    _write_trial(work, trial, **values)
    if is_over:
        work.record(
            Event.RISK_WATCH_TRIED, trial, after={"rows_done": values["rows_done"], "raised": raised}, trial_id=trial.id
        )
    return not is_over


def _write_trial(work: Work, trial: WatchTrial, **values: Any) -> None:
    changed = update(WatchTrial).where(WatchTrial.id == trial.id, WatchTrial.status == TrialStatus.RUNNING)
    work.session.execute(
        changed.values(version=WatchTrial.version + 1, updated_at=work.now, **values).execution_options(
            synchronize_session=False
        )
    )
    work.session.refresh(trial)


# ---- watching ------------------------------------------------------------------------------------------------------


@use_case(Permission.SYSTEM_JOB_RUN)
def watch_some(work: Work, *, limit: int = AT_ONCE) -> int:
    """Ask the rules that are on about the next payments of the journal; how many lines of it were looked at.

    Several workers may do it at once: each takes other lines. A line about which asking goes wrong keeps no other one:
    what it wrote is undone, it is asked about twice more, and then set aside for a person with what went wrong.
    """
    lines = select(WatchItem.id, WatchItem.payment_id, WatchItem.failures).where(WatchItem.failed_at.is_(None))
    taken = work.session.execute(lines.order_by(WatchItem.id).limit(limit).with_for_update(skip_locked=True)).all()
    if not taken:
        return 0
    registry = watch_registry(work.session)
    rules = [(version, conditions_of(version)) for version in active_versions(work.session)]
    names = frozenset().union(*(asked_by(conditions, registry) for _version, conditions in rules))
    wanted = select(Payment, Customer).join(Customer, Customer.id == Payment.customer_id)
    ids = {row.payment_id for row in taken}
    found = work.session.execute(wanted.where(Payment.id.in_(ids)).order_by(Payment.id)).all()
    hits: list[tuple[int, int, WatchVersion, Payment, dict[str, Fact | None]]] = []
    failed: dict[int, str] = {}
    for payment, customer in found:
        if payment.mode is not Mode.LIVE or not rules:
            continue
        payment_id = payment.id
        with _kept_apart(work, payment_id, failed):
            known = facts_about(work.session, payment, customer, names)
            for version, asks in rules:
                if all_hold(asks, known, registry):
                    seen = {name: known[name] for name in asked_by(asks, registry)}
                    hits.append((version.rule_id, payment_id, version, payment, seen))
    # Rule by rule: everybody counts in the same order, so nobody waits in a circle.
    for _rule_id, payment_id, version, payment, seen in sorted(hits, key=lambda hit: hit[:2]):
        with _kept_apart(work, payment_id, failed):
            _raise(work, version, payment, seen)
    done = delete(WatchItem).where(WatchItem.id.in_([row.id for row in taken if row.payment_id not in failed]))
    work.session.execute(done.execution_options(synchronize_session=False))
    for row in taken:
        if row.payment_id in failed:
            _set_aside(work, row.id, row.payment_id, row.failures + 1, failed[row.payment_id])
    return len(taken)


@contextmanager
def _kept_apart(work: Work, payment_id: int, failed: dict[int, str]) -> Iterator[None]:
    """What goes wrong about one payment is undone and noted, and everything else stays."""
    try:
        with audit.undoable(work.session):
            yield
    except OperationalError:
        raise  # the database is away, or wants all of it again
    except Exception as error:
        log.exception("payment %s could not be watched", payment_id)
        first = next(iter(str(error).splitlines()), "")
        failed[payment_id] = mask_pan_in_text(f"{type(error).__name__}: {first}")[:SENTENCE_LENGTH]


def _set_aside(work: Work, item_id: int, payment_id: int, failures: int, error: str) -> None:
    """Count that a line went wrong; the last time it stops being asked about, which is told once a day."""
    is_last = failures >= MOST_FAILURES
    values = {"failures": failures, "error": error, "failed_at": work.now if is_last else None}
    work.session.execute(_line(item_id, **values))
    if not is_last:
        return
    payment = work.get(Payment, payment_id)
    work.record(
        Event.RISK_WATCH_SET_ASIDE,
        payment,
        outcome="failed",
        reason=error,
        transaction_id=payment.transaction_id,
    )
    today = work.now.astimezone(current_settings().zone).date().isoformat()
    for staff_id in those_who_may(work.session, WRITE):
        notify(work.session, staff_id, NoticeKind.ATTENTION, SET_ASIDE, page="watch_rules", key=f"watch:failed:{today}")


@use_case(WRITE)
def watch_again(work: Work, item_id: int) -> None:
    """Have the rules asked again about a payment that was set aside; again changes nothing.

    Raises:
        NotFound: it is not set aside.
    """
    payment = _aside(work, item_id)
    work.session.execute(_line(item_id, failures=0, failed_at=None))
    work.record(Event.RISK_WATCH_AGAIN, payment, transaction_id=payment.transaction_id)


@use_case(WRITE)
def leave_unwatched(work: Work, item_id: int, *, reason: str) -> None:
    """Say that no rule is to be asked about a payment that was set aside.

    Raises:
        Invalid: no reason.
        NotFound: it is not set aside.
    """
    words = _words(reason)
    payment = _aside(work, item_id)
    gone = delete(WatchItem).where(WatchItem.id == item_id)
    work.session.execute(gone.execution_options(synchronize_session=False))
    work.record(Event.RISK_WATCH_LEFT_OUT, payment, reason=words, transaction_id=payment.transaction_id)


def _aside(work: Work, item_id: int) -> Payment:
    """The payment of a line that is set aside, the line held."""
    held = select(WatchItem.payment_id).where(WatchItem.id == item_id, WatchItem.failed_at.is_not(None))
    payment_id = work.session.scalar(held.with_for_update())
    if payment_id is None:
        raise NotFound("There is no such record.")
    return work.get(Payment, payment_id)


def _line(item_id: int, **values: Any) -> Any:
    changed = update(WatchItem).where(WatchItem.id == item_id).values(**values)
    return changed.execution_options(synchronize_session=False)


def _raise(work: Work, version: WatchVersion, payment: Payment, facts: Mapping[str, Fact | None]) -> None:
    """Write a note about a payment, unless there is one or the rule has raised enough for today."""
    if work.exists(WatchNote.rule_id == version.rule_id, WatchNote.payment_id == payment.id):
        return
    day = _day(work, version.rule_id)
    if day.raised >= version.most_a_day:
        _beyond(work, version, day)
        return
    note = _note(work, version, payment, facts)
    if note is None:
        return  # another worker was first
    work.session.execute(_count(day, raised=WatchDay.raised + 1))
    work.record(
        Event.RISK_NOTE_RAISED,
        note,
        after={"rule_id": version.rule_id, "version_id": version.id},
        transaction_id=payment.transaction_id,
        customer_id=payment.customer_id,
        watch_rule_id=version.rule_id,
    )
    if version.blocks:
        _block(work, version, payment.id)


def _note(work: Work, version: WatchVersion, payment: Payment, facts: Mapping[str, Fact | None]) -> WatchNote | None:
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = make(WatchNote).values(
        rule_id=version.rule_id,
        version_id=version.id,
        payment_id=payment.id,
        customer_id=payment.customer_id,
        amount_minor=payment.amount_minor,
        unit=payment.unit,
        facts={name: str(fact) if not isinstance(fact, tuple) else list(fact) for name, fact in facts.items()},
        status=NoteStatus.OPEN,
        created_at=work.now,
        updated_at=work.now,
        version=1,
    )
    made = row.on_conflict_do_nothing(index_elements=["rule_id", "payment_id"]).returning(WatchNote.id)
    note_id = work.session.scalar(made.execution_options(explained=True))
    return None if note_id is None else work.get(WatchNote, note_id)


def _block(work: Work, version: WatchVersion, payment_id: int) -> None:
    """What a second person approved that this rule may do: stop the payment, if there is anything left to stop."""
    payment = hold_target(work, BlockTarget.PAYMENT, payment_id)
    if payment.status in FINAL_PAYMENTS or payment_block(work.session, payment_id, now=work.now) is not None:
        return
    name = work.get(WatchRule, version.rule_id).name
    set_block(
        work,
        BlockTarget.PAYMENT,
        payment,
        reason_code=BlockReason.WATCH_RULE,
        note=f"{name}, {version.number}"[:NOTE_LENGTH],
        is_by_rule=True,
    )


def _day(work: Work, rule_id: int) -> WatchDay:
    """Today's count of a rule, held: no two workers raise its last note."""
    today = work.now.astimezone(current_settings().zone).date().isoformat()
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    fresh = make(WatchDay).values(rule_id=rule_id, day=today, raised=0, beyond=0)
    work.session.execute(fresh.on_conflict_do_nothing(index_elements=["rule_id", "day"]))
    found = select(WatchDay).where(WatchDay.rule_id == rule_id, WatchDay.day == today).with_for_update()
    return work.session.scalars(found.execution_options(populate_existing=True)).one()


def _count(day: WatchDay, **values: Any) -> Any:
    changed = update(WatchDay).where(WatchDay.rule_id == day.rule_id, WatchDay.day == day.day).values(**values)
    return changed.execution_options(synchronize_session=False)


def _beyond(work: Work, version: WatchVersion, day: WatchDay) -> None:
    """Only count what is too much; tell the specialists of it once a day."""
    first = day.beyond == 0
    rule_id, today = day.rule_id, day.day
    work.session.execute(_count(day, beyond=WatchDay.beyond + 1))
    if not first:
        return
    name = work.get(WatchRule, rule_id).name
    text = _(
        "The watch rule “%(name)s” has raised its %(most)s notes of today. More are counted, not raised.",
        name=name,
        most=version.most_a_day,
    )
    for staff_id in those_who_may(work.session, WRITE):
        notify(
            work.session, staff_id, NoticeKind.ATTENTION, text, page="watch_rules", row_id=rule_id,
            key=f"watch:{rule_id}:{today}",
        )  # fmt: skip


# ---- deciding ------------------------------------------------------------------------------------------------------


@use_case(WRITE, about=WatchNote)
def decide_note(work: Work, note_id: int, *, status: NoteStatus, words: str) -> None:
    """Say what a note came to: harmless, or acted upon; once.

    Raises:
        Invalid: no words.
        Conflict: somebody decided it already.
    """
    text = _words(words, "words")
    note = work.get(WatchNote, note_id, lock=True)
    if not work.change(WatchNote, note_id, status=status, decided_at=work.now, decided_by=work.actor.name, words=text):
        raise Conflict(_("This note is %(status)s already.", status=Text(note.status.value).lower()))
    work.record(
        Event.RISK_NOTE_DECIDED,
        work.get(WatchNote, note_id),
        before={"status": NoteStatus.OPEN},
        after={"status": status},
        reason=text,
        customer_id=note.customer_id,
    )


def _words(text: str, field: str = "reason") -> str:
    words = mask_pan_in_text(" ".join(text.split()))
    if not words or len(words) > NOTE_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=NOTE_LENGTH), field=field)
    return words
