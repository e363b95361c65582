"""Versions of the checkout rules: begin a draft, import one, activate it, give it up."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import Table, func, insert, literal, select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.checkout.approval import ACTIVATION_GATE
from payadmin.audit import Event
from payadmin.kernel.checkout import Rule, differences
from payadmin.kernel.checkout_files import MOST_BYTES, FileProblem, read_rules, rules_text
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import Text, _, _n
from payadmin.models.checkout import CheckoutRule, CheckoutRuleset, RulesetStatus
from payadmin.permissions import Permission
from payadmin.queries.checkout import active_id, known, rules_of
from payadmin.work import Work, use_case

NOTE_LENGTH: Final = 300
MOST_DRAFTS: Final = 20
NAMED_MOST: Final = 50
WRITE = Permission.CHECKOUT_RULE_WRITE

_RULE = cast("Table", CheckoutRule.__table__)


@use_case(WRITE)
def start_draft(work: Work, *, base_id: int | None = None, note: str | None = None) -> CheckoutRuleset:
    """Begin a new version as a copy of another, of which nothing changes; of none, it is empty.

    Args:
        base_id: the version to copy: the active one to change it, an older one to go back to it.
        note: what it is for.

    Raises:
        NotFound: there is no such version.
        Conflict: too many drafts are open already.
    """
    draft = _new(work, note, work.get(CheckoutRuleset, base_id).id if base_id is not None else None)
    copied = 0
    if base_id is not None:
        names = ("name", "priority", "conditions", "methods", "is_on")
        rows = (
            select(
                literal(draft.id), *(_RULE.c[name] for name in names), literal(work.now), literal(work.now), literal(1)
            )
            .where(_RULE.c.ruleset_id == base_id)
            .order_by(_RULE.c.id)
        )
        columns = ("ruleset_id", *names, "created_at", "updated_at", "version")
        statement = insert(_RULE).from_select([_RULE.c[name] for name in columns], rows, include_defaults=False)
        work.session.execute(statement.execution_options(explained=True))
        copied = work.one(select(func.count()).where(CheckoutRule.ruleset_id == draft.id)) or 0
    work.record(
        Event.CHECKOUT_DRAFT_STARTED,
        draft,
        after={"note": draft.note, "based_on_id": base_id, "rules": copied},
        reason=draft.note,
        ruleset_id=draft.id,
    )
    return draft


@use_case(WRITE)
def import_draft(work: Work, *, text: str, note: str | None = None) -> CheckoutRuleset:
    """Make a draft of a file of rules; all of it, or nothing when anything in it is wrong.

    Args:
        text: the JSON, as it was exported or written by hand.

    Raises:
        Invalid: it has mistakes; `data["problems"]` says where each is and what it is.
        Conflict: too many drafts are open already.
    """
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise _unreadable([FileProblem("", _("The file is larger than %(most)s MB.", most=MOST_BYTES // 1_000_000))])
    rules, problems = read_rules(text, known(work.session))
    if problems:
        raise _unreadable(problems)
    draft = _new(work, note, None)
    if rules:
        work.session.execute(
            insert(_RULE).execution_options(explained=True), [_values(rule, draft.id, work.now) for rule in rules]
        )
    work.record(
        Event.CHECKOUT_DRAFT_IMPORTED,
        draft,
        after={"note": draft.note, "rules": len(rules), "digest": digest_of(rules)},
        reason=draft.note,
        ruleset_id=draft.id,
    )
    return draft


@use_case(WRITE, about=CheckoutRuleset)
def rename_draft(work: Work, ruleset_id: int, *, note: str | None) -> None:
    """Say what a draft is for; saying the same again records nothing.

    Raises:
        Conflict: it is no draft any more.
    """
    draft = open_draft(work, ruleset_id)
    wanted = _note(note)
    before = draft.note
    if wanted == before:
        return
    work.change(CheckoutRuleset, ruleset_id, note=wanted)
    work.record(
        Event.CHECKOUT_DRAFT_RENAMED, draft, before={"note": before}, after={"note": wanted}, ruleset_id=ruleset_id
    )


@use_case(WRITE, about=CheckoutRuleset)
def discard_draft(work: Work, ruleset_id: int) -> None:
    """Give up a draft: it is archived without ever having decided anything, and can be copied later.

    Raises:
        Conflict: it is no draft any more.
    """
    draft = open_draft(work, ruleset_id)
    work.change(CheckoutRuleset, ruleset_id, status=RulesetStatus.ARCHIVED, archived_at=work.now)
    work.record(
        Event.CHECKOUT_DRAFT_DISCARDED,
        draft,
        before={"status": RulesetStatus.DRAFT},
        after={"status": RulesetStatus.ARCHIVED},
        ruleset_id=ruleset_id,
    )


@use_case(WRITE, about=CheckoutRuleset, gate=ACTIVATION_GATE)
def activate_ruleset(
    work: Work, ruleset_id: int, *, version: int, replaces_id: int | None, reason: str | None = None
) -> CheckoutRuleset:
    """Let a draft decide from now on; the version that decided until now is archived. Done once.

    Args:
        version: the change of the draft that the form showed.
        replaces_id: the active version that the form compared it with; None when there was none.
        reason: why.

    Raises:
        Conflict: it is no draft any more or was changed since, another version became active meanwhile, or it has no
            rule that is on.
        NeedsApproval: an approval policy asks for a second person.
    """
    draft = open_draft(work, ruleset_id)
    if draft.version != version:
        raise Conflict(
            _("This draft was changed since you looked at it. Look at the differences again."), now=draft.version
        )
    before = rules_of(work.session, replaces_id)
    after = rules_of(work.session, ruleset_id)
    if not any(rule.is_on for rule in after):
        raise Conflict(_("Every rule of this draft is off, or it has none: every checkout would be offered nothing."))
    also = []
    if replaces_id is not None:
        also = [work.get(CheckoutRuleset, replaces_id, lock=True)]
        archived = {"status": RulesetStatus.ARCHIVED, "archived_at": work.now}
        is_active = CheckoutRuleset.status == RulesetStatus.ACTIVE
        if not work.change(CheckoutRuleset, replaces_id, when=(is_active,), **archived):
            raise _overtaken(work)
    elif active_id(work.session) is not None:
        raise _overtaken(work)
    digest = digest_of(after)
    try:
        work.change(
            CheckoutRuleset,
            ruleset_id,
            status=RulesetStatus.ACTIVE,
            activated_at=work.now,
            activated_by=work.actor.name,
            digest=digest,
        )
        work.session.flush()
    except IntegrityError as error:  # two first versions at the same moment
        raise Conflict(_MEANWHILE) from error
    work.record(
        Event.CHECKOUT_RULES_ACTIVATED,
        draft,
        also=also,
        before={"status": RulesetStatus.DRAFT, "active_version": replaces_id},
        after={"status": RulesetStatus.ACTIVE, "active_version": ruleset_id, "rules": len(after), "digest": digest}
        | _summary(before, after),
        reason=reason,
        ruleset_id=ruleset_id,
    )
    if also:
        work.record(
            Event.CHECKOUT_RULES_ARCHIVED,
            also[0],
            before={"status": RulesetStatus.ACTIVE},
            after={"status": RulesetStatus.ARCHIVED},
            ruleset_id=replaces_id,
        )
    return draft


_MEANWHILE: Final = Text("Another version became active meanwhile. Look at the differences from that one first.")


def open_draft(work: Work, ruleset_id: int, *, seen: int | None = None) -> CheckoutRuleset:
    """The draft, held until the end of the transaction: whoever writes one of its rules holds it first.

    Args:
        seen: the change of the draft that a form showed, where that matters.

    Raises:
        NotFound: there is no such version.
        Conflict: it is no draft any more, or was changed since.
    """
    draft = work.get(CheckoutRuleset, ruleset_id, lock=True)
    if draft.status is not RulesetStatus.DRAFT:
        raise Conflict(
            _(
                "Version %(number)s is %(status)s and is not changed any more. Start a draft from it.",
                number=draft.id,
                status=Text(draft.status.value).lower(),
            )
        )
    if seen is not None and draft.version != seen:
        raise Conflict(_("Somebody else changed this draft meanwhile. Look at its rules again."), now=draft.version)
    return draft


def touch(work: Work, ruleset_id: int) -> None:
    """Count one more change of a draft, so that what was compared or asked for before is known to be old."""
    work.change(CheckoutRuleset, ruleset_id)


def digest_of(rules: Sequence[Rule]) -> str:
    """The fingerprint of rules: two versions have the same exactly when their rules are the same."""
    return hashlib.sha256(rules_text(rules).encode()).hexdigest()


def _new(work: Work, note: str | None, base_id: int | None) -> CheckoutRuleset:
    open_ones = work.one(select(func.count()).where(CheckoutRuleset.status == RulesetStatus.DRAFT)) or 0
    if open_ones >= MOST_DRAFTS:
        raise Conflict(
            _("There are %(number)s drafts already. Activate or discard one of them first.", number=open_ones)
        )
    return work.add(CheckoutRuleset(note=_note(note), based_on_id=base_id, author_id=work.actor.staff_id))


def _note(note: str | None) -> str | None:
    text = " ".join((note or "").split())
    if len(text) > NOTE_LENGTH or not text.isprintable():
        raise Invalid(_("Say it in at most %(most)s characters.", most=NOTE_LENGTH), field="note")
    return text or None


def _values(rule: Rule, ruleset_id: int, now: Any) -> dict[str, Any]:
    return {
        "ruleset_id": ruleset_id,
        "name": rule.name,
        "priority": rule.priority,
        "conditions": [each.as_json() for each in rule.conditions],
        "methods": [pair.as_json() for pair in rule.methods],
        "is_on": rule.is_on,
        "created_at": now,
        "updated_at": now,
        "version": 1,
    }


def _unreadable(problems: Sequence[FileProblem]) -> Invalid:
    sentence = _n(
        "The file has a mistake. Nothing was imported.",
        "The file has %(number)s mistakes. Nothing was imported.",
        len(problems),
    )
    told = [{"place": each.place, "sentence": each.sentence} for each in problems]
    return Invalid(sentence, field="text", problems=told)


def _overtaken(work: Work) -> Conflict:
    return Conflict(_MEANWHILE, active_id=active_id(work.session))


def _summary(before: Sequence[Rule], after: Sequence[Rule]) -> dict[str, object]:
    """What activating changes, in the names of rules: what a second person and the trail read."""
    kinds: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    for each in differences(before, after):
        kind = "added" if each.before is None else "removed" if each.after is None else "changed"
        kinds[kind].append(each.name)
    return {
        kind: [*names[:NAMED_MOST], *(["…"] if len(names) > NAMED_MOST else [])]
        for kind, names in kinds.items()
        if names
    }
