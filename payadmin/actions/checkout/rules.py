"""The rules of a draft: write, copy, order, switch and delete them, one at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import case, func, select, update
from sqlalchemy.exc import IntegrityError

from payadmin.actions.checkout.versions import WRITE, open_draft, touch
from payadmin.audit import Event
from payadmin.kernel.checkout import DEFAULT, LARGEST_PRIORITY, MOST_RULES, Rule
from payadmin.kernel.checkout_files import NAME_LENGTH, read_rule
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import NumberText, _
from payadmin.models.checkout import PARKED, CheckoutRule, CheckoutRuleset
from payadmin.queries.checkout import known, rule_of
from payadmin.work import Work, use_case

STEP: Final = 10
_AT_ONCE: Final = 500


@use_case(WRITE, about=CheckoutRuleset)
def save_rule(
    work: Work,
    ruleset_id: int,
    *,
    name: str,
    priority: int | None,
    conditions: Sequence[Mapping[str, Any]],
    methods: Sequence[Mapping[str, str]],
    is_on: bool = True,
    rule_id: int | None = None,
    version: int | None = None,
) -> CheckoutRule:
    """Write a rule of a draft, new (`rule_id` None) or changed.

    Args:
        priority: its place, the lowest first; None puts a new rule after all others (and is what `default` has).
        conditions: as JSON has them: key, operator, value.
        methods: what it offers, in this order: provider and method.
        version: what the form showed of the rule that is changed.

    Returns:
        The rule; saving what it already says changes and records nothing.

    Raises:
        Invalid: a part that makes no sense; `data["problems"]` has every one with its place, such as
            `["conditions", 0, "value"]`.
        Conflict: the ID or the priority is taken, the draft is full or no draft any more, or somebody else changed
            the rule meanwhile (`data["now"]` is its version).
    """
    draft = open_draft(work, ruleset_id)
    name = name.strip()
    if priority is None and name != DEFAULT:
        priority = _last(work, ruleset_id) + STEP
    raw = {"id": name, "priority": priority, "conditions": conditions, "methods": methods, "on": is_on}
    rule, problems = read_rule(raw, known(work.session))
    if problems or rule is None:
        told = [{"place": list(each.place), "sentence": each.sentence} for each in problems]
        first = problems[0]
        raise Invalid(first.sentence, field=str(first.place[0]) if first.place else None, problems=told)
    row = _of(work, ruleset_id, rule_id) if rule_id is not None else None
    before = None if row is None else rule_of(row)
    if before == rule:
        assert row is not None
        return row
    _refuse_taken(work, ruleset_id, rule, rule_id or 0)
    try:
        if row is None:
            row = _add(work, ruleset_id, rule)
        elif not work.change(CheckoutRule, row.id, when=(CheckoutRule.version == version,), **_columns(rule)):
            raise Conflict(_("Somebody else changed this rule while you were editing it."), now=row.version)
    except IntegrityError as error:
        raise Conflict(_("This priority was taken at this moment. Choose another one."), field="priority") from error
    _tell(work, Event.CHECKOUT_RULE_SAVED, draft, row, before=before, after=rule)
    return row


@use_case(WRITE, about=CheckoutRuleset)
def copy_rule(work: Work, ruleset_id: int, *, rule_id: int) -> CheckoutRule:
    """Copy a rule of a draft to the end of it, off, under a name of its own: what it decides is decided later.

    Raises:
        Conflict: it is `default`, or the draft is full or no draft any more.
    """
    draft = open_draft(work, ruleset_id)
    source = rule_of(_of(work, ruleset_id, rule_id))
    if source.is_default:
        raise Conflict(_("There is one “default”, so it cannot be copied."))
    stem = source.name[: NAME_LENGTH - 8]
    taken = set(work.session.scalars(select(CheckoutRule.name).where(CheckoutRule.ruleset_id == ruleset_id)))
    names = (f"{stem}-copy{'' if number == 1 else number}" for number in range(1, MOST_RULES + 2))
    name = next(each for each in names if each not in taken)
    rule = Rule(name, _last(work, ruleset_id) + STEP, source.conditions, source.methods, is_on=False)
    _refuse_taken(work, ruleset_id, rule, 0)
    row = _add(work, ruleset_id, rule)
    _tell(work, Event.CHECKOUT_RULE_SAVED, draft, row, before=None, after=rule)
    return row


@use_case(WRITE, about=CheckoutRuleset)
def switch_rule(work: Work, ruleset_id: int, *, rule_id: int, is_on: bool) -> None:
    """Switch a rule of a draft on or off; it keeps its place. Done twice it changes nothing more.

    Raises:
        Conflict: the draft is no draft any more.
    """
    draft = open_draft(work, ruleset_id)
    row = _of(work, ruleset_id, rule_id)
    if row.is_on is is_on:
        return
    work.change(CheckoutRule, rule_id, is_on=is_on)
    touch(work, ruleset_id)
    work.record(
        Event.CHECKOUT_RULE_SWITCHED,
        draft,
        also=[row],
        before={"rule": row.name, "is_on": not is_on},
        after={"rule": row.name, "is_on": is_on},
        rule_id=row.name,
        ruleset_id=ruleset_id,
    )


@use_case(WRITE, about=CheckoutRuleset)
def delete_rule(work: Work, ruleset_id: int, *, rule_id: int) -> None:
    """Remove a rule from a draft; versions that have it keep it.

    Raises:
        NotFound: it is gone already.
        Conflict: the draft is no draft any more.
    """
    draft = open_draft(work, ruleset_id)
    row = _of(work, ruleset_id, rule_id)
    _tell(work, Event.CHECKOUT_RULE_DELETED, draft, row, before=rule_of(row), after=None)
    work.session.delete(row)


@use_case(WRITE, about=CheckoutRuleset)
def move_rule(work: Work, ruleset_id: int, *, rule_id: int, place: int, version: int) -> int:
    """Give a rule of a draft another place; the rules in between move up or down by one.

    The priorities that there are stay the same; which rule has which changes.

    Args:
        place: the place it gets, 1 for the first; beyond the last one it is the last. `default` stays after all.
        version: the change of the draft whose order the actor saw.

    Returns:
        The place it has now.

    Raises:
        Invalid: `default` has no place to give.
        Conflict: the draft was changed meanwhile, or is no draft any more.
    """
    draft = open_draft(work, ruleset_id, seen=version)
    found = (
        select(CheckoutRule.id, CheckoutRule.name, CheckoutRule.priority)
        .where(CheckoutRule.ruleset_id == ruleset_id, CheckoutRule.priority.is_not(None))
        .order_by(CheckoutRule.priority)
    )
    rows = list(work.session.execute(found).all())
    old = next((index for index, row in enumerate(rows) if row.id == rule_id), None)
    if old is None:
        _of(work, ruleset_id, rule_id)
        raise Invalid(_("“default” is always last: it cannot be moved."))
    new = min(max(place, 1), len(rows)) - 1
    if new == old:
        return new + 1
    moved = rows[old]
    order = [*rows[:old], *rows[old + 1 :]]
    order.insert(new, moved)
    changed = {row.id: rows[index].priority for index, row in enumerate(order) if row.priority != rows[index].priority}
    _give_priorities(work, changed)
    touch(work, ruleset_id)
    work.record(
        Event.CHECKOUT_RULE_MOVED,
        draft,
        before={"rule": moved.name, "priority": moved.priority},
        after={"rule": moved.name, "priority": changed[moved.id], "rules_moved": len(changed)},
        rule_id=moved.name,
        ruleset_id=ruleset_id,
    )
    return new + 1


def _give_priorities(work: Work, priorities: Mapping[int, int]) -> None:
    """Exchange priorities: no two rules may have the same, not even on the way, so they are parked first."""
    ids = list(priorities)
    pieces = [ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE)]
    options = {"synchronize_session": False, "explained": True}
    for piece in pieces:
        parked = update(CheckoutRule).where(CheckoutRule.id.in_(piece))
        work.session.execute(parked.values(priority=CheckoutRule.priority + PARKED), execution_options=options)
    for piece in pieces:
        given = case({row_id: priorities[row_id] for row_id in piece}, value=CheckoutRule.id)
        values = {"priority": given, "version": CheckoutRule.version + 1, "updated_at": work.now}
        work.session.execute(
            update(CheckoutRule).where(CheckoutRule.id.in_(piece)).values(**values), execution_options=options
        )
    work.session.expire_all()


def _of(work: Work, ruleset_id: int, rule_id: int) -> CheckoutRule:
    row = work.get(CheckoutRule, rule_id)
    if row.ruleset_id != ruleset_id:
        raise Conflict(_("This rule belongs to another version."))
    return row


def _add(work: Work, ruleset_id: int, rule: Rule) -> CheckoutRule:
    number = work.one(select(func.count()).where(CheckoutRule.ruleset_id == ruleset_id)) or 0
    if number >= MOST_RULES:
        raise Conflict(
            _("A version has at most %(most)s rules. Delete one that is not needed first.", most=NumberText(MOST_RULES))
        )
    return work.add(CheckoutRule(ruleset_id=ruleset_id, **_columns(rule)))


def _columns(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "priority": rule.priority,
        "conditions": [each.as_json() for each in rule.conditions],
        "methods": [pair.as_json() for pair in rule.methods],
        "is_on": rule.is_on,
    }


def _last(work: Work, ruleset_id: int) -> int:
    return work.one(select(func.max(CheckoutRule.priority)).where(CheckoutRule.ruleset_id == ruleset_id)) or 0


def _refuse_taken(work: Work, ruleset_id: int, rule: Rule, own_id: int) -> None:
    mine = (CheckoutRule.ruleset_id == ruleset_id, CheckoutRule.id != own_id)
    if work.exists(CheckoutRule.name == rule.name, *mine):
        raise Conflict(_("There is a rule with the ID “%(name)s” already.", name=rule.name), field="id")
    if rule.priority is None:
        return
    if rule.priority > LARGEST_PRIORITY:
        raise Conflict(_("No priority is left after the last rule. Choose one."), field="priority")
    holder = work.one(select(CheckoutRule.name).where(CheckoutRule.priority == rule.priority, *mine))
    if holder is not None:
        raise Conflict(
            _(
                "“%(name)s” has the priority %(number)s. The next free one is %(free)s.",
                name=holder,
                number=rule.priority,
                free=_free(work, ruleset_id, rule.priority),
            ),
            field="priority",
        )


def _free(work: Work, ruleset_id: int, wanted: int) -> int:
    taken = select(CheckoutRule.priority).where(CheckoutRule.ruleset_id == ruleset_id, CheckoutRule.priority >= wanted)
    used = set(work.session.scalars(taken))
    return next(number for number in range(wanted, wanted + len(used) + 1) if number not in used)


def _tell(
    work: Work, event: Event, draft: CheckoutRuleset, row: CheckoutRule, *, before: Rule | None, after: Rule | None
) -> None:
    touch(work, draft.id)
    work.record(
        event,
        draft,
        also=[row],
        before=None if before is None else before.as_json(),
        after=None if after is None else after.as_json(),
        rule_id=row.name,
        ruleset_id=draft.id,
    )
