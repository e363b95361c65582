"""Replays: the payments of some days decided again, by the old rules and by the new ones, piece by piece."""

import datetime as dt
from collections import Counter
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Table, and_, func, insert, or_, select, update

from payadmin.audit import Event
from payadmin.kernel.checkout import Pair, RuleSet
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import NumberText, Text, _
from payadmin.models.checkout import CheckoutChange, CheckoutReplay, CheckoutRuleset, ReplayStatus, RulesetStatus
from payadmin.models.payments import Mode, Payment
from payadmin.models.system import NoticeKind
from payadmin.notices import notify
from payadmin.permissions import Permission
from payadmin.queries.checkout import active_id, enabled_pairs, facts_of, payment_facts, ready, registry_of
from payadmin.work import Work, use_case

# Ten years: what a replay reads does not depend on it, only how long it takes.
MOST_DAYS: Final = 3_660
# Every payment is counted; this many are kept to be looked at.
LISTED_MOST: Final = 10_000
AT_ONCE: Final = 5_000
OPEN = (ReplayStatus.QUEUED, ReplayStatus.RUNNING)
# Becoming active, and then archived, counts as a change of a version and leaves its rules as they were.
_OWN_MOVES: Final = {RulesetStatus.DRAFT: 0, RulesetStatus.ACTIVE: 1, RulesetStatus.ARCHIVED: 2}

_CHANGE = cast("Table", CheckoutChange.__table__)


@use_case(Permission.CHECKOUT_RULE_READ, about=CheckoutRuleset)
def start_replay(
    work: Work, ruleset_id: int, *, days: int, zone: ZoneInfo, mode: Mode = Mode.LIVE, against_id: int | None = None
) -> CheckoutReplay:
    """Have workers decide the payments of the last days again: by this version, and by the one it is compared with.

    Asked again while the same replay is open, it answers with that one.

    Args:
        days: how many business days back, today included.
        zone: where a business day begins.
        mode: live or test payments.
        against_id: the version to compare with; None takes the active one, or that before it for the active one itself.

    Raises:
        Invalid: no number of days from 1 to 3,660.
        Conflict: there is nothing to compare with.
    """
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(_("Replay from 1 to %(most)s days.", most=NumberText(MOST_DAYS)), field="days")
    ruleset = work.get(CheckoutRuleset, ruleset_id)
    old_id = _compared_with(work, ruleset, against_id)
    same = (
        CheckoutReplay.ruleset_id == ruleset_id,
        CheckoutReplay.status.in_(OPEN),
        CheckoutReplay.days == days,
        CheckoutReplay.mode == mode,
        CheckoutReplay.ruleset_version == ruleset.version,
        CheckoutReplay.against_id.is_(None) if old_id is None else CheckoutReplay.against_id == old_id,
    )
    if (running := work.one(select(CheckoutReplay).where(*same))) is not None:
        return cast("CheckoutReplay", running)
    first = work.now.astimezone(zone).date() - dt.timedelta(days=days - 1)
    replay = work.add(
        CheckoutReplay(
            ruleset_id=ruleset_id,
            against_id=old_id,
            ruleset_version=ruleset.version,
            mode=mode,
            days=days,
            since=dt.datetime.combine(first, dt.time(), zone).astimezone(dt.UTC),
            until=work.now,
            pairs=[pair.as_json() for pair in sorted(enabled_pairs(work.session))],
            requester_id=work.actor.staff_id,
        )
    )
    work.record(
        Event.CHECKOUT_REPLAY_STARTED,
        replay,
        after={"days": days, "compared_with": old_id, "mode": mode},
        ruleset_id=ruleset_id,
        replay_id=replay.id,
    )
    work.promise("replay_checkout", replay_id=replay.id)
    return replay


@use_case(Permission.CHECKOUT_RULE_READ, about=CheckoutReplay)
def cancel_replay(work: Work, replay_id: int) -> None:
    """Stop a replay; what it has found so far stays.

    Raises:
        Conflict: it is over already.
    """
    replay = work.get(CheckoutReplay, replay_id, lock=True)
    if not _write(work, replay, status=ReplayStatus.CANCELLED, done_at=work.now):
        raise Conflict(_("This replay is %(status)s.", status=Text(replay.status.value).lower()))
    _record_end(work, replay, Event.CHECKOUT_REPLAY_CANCELLED)


@use_case(Permission.SYSTEM_JOB_RUN)
def replay_some(work: Work, replay_id: int, *, limit: int = AT_ONCE) -> bool:
    """Decide the next payments of a replay again; whether more are left.

    What is found, the counts and the place reached are written in one transaction, so a worker that dies loses nothing
    and counts nothing twice. No more than `limit` payments are in memory.
    """
    replay = work.get(CheckoutReplay, replay_id, lock=True)
    if replay.status not in OPEN:
        return False
    ruleset = work.get(CheckoutRuleset, replay.ruleset_id)
    if ruleset.version - replay.ruleset_version > _OWN_MOVES[ruleset.status]:
        reason = _("The draft was changed while it was replayed. Start the replay again.")
        _write(work, replay, status=ReplayStatus.FAILED, reason=reason, done_at=work.now)
        _record_end(work, replay, Event.CHECKOUT_REPLAY_FINISHED)
        return False
    values: dict[str, Any] = {}
    if replay.status is ReplayStatus.QUEUED:
        values = {"status": ReplayStatus.RUNNING, "rows_total": work.one(select(func.count()).where(*_scope(replay)))}
    rows = work.session.execute(_next_payments(replay, limit)).all()
    values |= _decide_again(work, replay, rows)
    is_over = len(rows) < limit
    if is_over:
        values |= {"status": ReplayStatus.DONE, "done_at": work.now}
    _write(work, replay, **values)
    if is_over:
        _finish(work, replay)
    return not is_over


def _write(work: Work, replay: CheckoutReplay, **values: Any) -> bool:
    """Change a replay that is not over; whether it was so still. How far it is stands in no trail, how it ends does."""
    changed = (
        update(CheckoutReplay)
        .where(CheckoutReplay.id == replay.id, CheckoutReplay.status.in_(OPEN))
        .values(version=CheckoutReplay.version + 1, updated_at=work.now, **values)
    )
    result = work.session.execute(changed.execution_options(synchronize_session=False))
    work.session.refresh(replay)
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def _compared_with(work: Work, ruleset: CheckoutRuleset, against_id: int | None) -> int | None:
    if against_id is not None:
        found = work.get(CheckoutRuleset, against_id).id
        if found == ruleset.id:
            raise Conflict(_("Choose another version to compare with."))
        return found
    now = active_id(work.session)
    if now != ruleset.id:
        return now
    if ruleset.based_on_id is None:
        raise Conflict(_("This version decides now, and there is none before it to compare with."))
    return ruleset.based_on_id


def _scope(replay: CheckoutReplay) -> tuple[Any, ...]:
    return Payment.mode == replay.mode, Payment.created_at >= replay.since, Payment.created_at < replay.until


def _next_payments(replay: CheckoutReplay, limit: int) -> Any:
    found = payment_facts().where(*_scope(replay))
    if replay.cursor_at is not None:
        after = and_(Payment.created_at == replay.cursor_at, Payment.id > replay.cursor_id)
        found = found.where(Payment.created_at >= replay.cursor_at, or_(Payment.created_at > replay.cursor_at, after))
    return found.order_by(Payment.created_at, Payment.id).limit(limit)


def _decide_again(work: Work, replay: CheckoutReplay, rows: Any) -> dict[str, Any]:
    """Judge these payments by both versions, keep what differs, and answer the new counts."""
    if not rows:
        return {}
    registry = registry_of(work.session)
    old = RuleSet(registry, ()) if replay.against_id is None else ready(work.session, replay.against_id, registry)
    new = ready(work.session, replay.ruleset_id, registry)
    enabled = frozenset(Pair(each["provider"], each["method"]) for each in replay.pairs)
    moves: Counter[tuple[str | None, str | None]] = Counter(
        {(before, after): number for before, after, number in replay.moves}
    )
    room = max(LISTED_MOST - replay.changed, 0)
    found: list[dict[str, Any]] = []
    changed = lost = 0
    for row in rows:
        facts = facts_of(row)
        before, after = old.decide(facts, enabled), new.decide(facts, enabled)
        if before.methods == after.methods:
            continue
        pair = Pair(row.provider, row.method)
        is_lost = pair in before.methods and pair not in after.methods
        names = (before.rule.name if before.rule else None, after.rule.name if after.rule else None)
        moves[names] += 1
        changed += 1
        lost += is_lost
        if len(found) < room:
            found.append(
                {
                    "replay_id": replay.id,
                    "payment_id": row.id,
                    "amount_minor": row.amount_minor,
                    "unit": row.unit,
                    "paid_by": pair.code,
                    "old_rule": names[0],
                    "new_rule": names[1],
                    "old_methods": [each.code for each in before.methods],
                    "new_methods": [each.code for each in after.methods],
                    "is_lost": is_lost,
                    "created_at": work.now,
                    "updated_at": work.now,
                    "version": 1,
                }
            )
    if found:
        work.session.execute(insert(_CHANGE), found)
    return {
        "rows_done": replay.rows_done + len(rows),
        "changed": replay.changed + changed,
        "lost": replay.lost + lost,
        "moves": [[before, after, number] for (before, after), number in moves.most_common()],
        "cursor_at": rows[-1].created_at,
        "cursor_id": rows[-1].id,
    }


def _finish(work: Work, replay: CheckoutReplay) -> None:
    _record_end(work, replay, Event.CHECKOUT_REPLAY_FINISHED)
    if replay.requester_id is not None:
        text = _(
            "Replay %(number)s has finished: %(changed)s of %(rows)s payments would be offered something else.",
            number=replay.id,
            changed=NumberText(replay.changed),
            rows=NumberText(replay.rows_done),
        )
        kind = NoticeKind.ATTENTION if replay.lost else NoticeKind.DONE
        notify(work.session, replay.requester_id, kind, text, page="checkout_replays", row_id=replay.id)


def _record_end(work: Work, replay: CheckoutReplay, event: Event) -> None:
    counted = {"rows_done": replay.rows_done, "changed": replay.changed, "lost": replay.lost}
    after = {"status": replay.status, **counted}
    work.record(event, replay, after=after, ruleset_id=replay.ruleset_id, replay_id=replay.id)
