"""Checkout rules: which payment methods somebody at a checkout is offered, decided without a database (CR1-CR5, T16).

The rule with the lowest priority number comes first; the first one whose conditions all hold answers, else `default`
does, else nothing is offered. A disabled pair is left out of the answer; the rules after it are not asked instead.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from payadmin.kernel.conditions import Condition, Facts, Registry, words_of
from payadmin.kernel.matching import Effort, Matcher
from payadmin.kernel.text import _

DEFAULT: Final = "default"
MOST_RULES: Final = 2_000
MOST_PAIRS: Final = 50
LARGEST_PRIORITY: Final = 999_999
NAMED_MOST: Final = 3


class Pair(NamedTuple):
    """A payment method by a provider."""

    provider: str
    method: str

    @property
    def code(self) -> str:
        """It in one word, as forms carry it."""
        return f"{self.provider}:{self.method}"

    def as_json(self) -> dict[str, str]:
        """It as rules are stored and exported."""
        return {"provider": self.provider, "method": self.method}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: its own name among the rules of a version; `default` answers when no other does.
        priority: its place, the lowest first; None for `default`, which is always last.
        conditions: all of them must hold; only `default` has none.
        methods: what it offers, in this order.
        is_on: a rule that is off stays in its place and decides nothing.
    """

    name: str
    priority: int | None
    conditions: tuple[Condition, ...]
    methods: tuple[Pair, ...]
    is_on: bool = True

    @property
    def is_default(self) -> bool:
        """Whether it answers when no other does."""
        return self.name == DEFAULT

    def as_json(self) -> dict[str, Any]:
        """It as files and the trail have it."""
        shown: dict[str, Any] = {"id": self.name}
        if not self.is_default:
            shown |= {"priority": self.priority, "conditions": [each.as_json() for each in self.conditions]}
        return shown | {"on": self.is_on, "methods": [pair.as_json() for pair in self.methods]}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a checkout is answered: the rule, if any, and the methods that are enabled, in its order."""

    rule: Rule | None
    methods: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one rule judged: the conditions that failed (none: it matches), or that it is off."""

    rule: Rule
    failed: tuple[Condition, ...]

    @property
    def matches(self) -> bool:
        """Whether the rule applies."""
        return self.rule.is_on and not self.failed


@dataclass(frozen=True, slots=True)
class Finding:
    """What is suspicious about a rule, in words; `is_dead` when it can never decide anything."""

    rule: str
    sentence: str
    is_dead: bool = False


class RuleSet:
    """Rules made ready to decide: the same answers as asking them one by one, in a few look-ups."""

    def __init__(self, registry: Registry, rules: Iterable[Rule]) -> None:
        self.registry = registry
        self.rules = sorted(rules, key=in_order)
        self._live = [rule for rule in self.rules if rule.is_on]
        self._matcher = Matcher(registry, [rule.conditions for rule in self._live])

    @property
    def has_default(self) -> bool:
        """Whether there is an answer for every checkout."""
        return any(rule.is_default for rule in self._live)

    def rule_for(self, facts: Facts) -> Rule | None:
        """The rule that answers, or None."""
        place = self._matcher.first(facts)
        return None if place is None else self._live[place]

    def decide(self, facts: Facts, enabled: Container[Pair]) -> Decision:
        """What a checkout with these facts is offered."""
        rule = self.rule_for(facts)
        if rule is None:
            return Decision(None, ())
        return Decision(rule, tuple(pair for pair in rule.methods if pair in enabled))

    def explain(self, facts: Facts) -> list[Verdict]:
        """Every rule in order with the conditions that failed, asked one by one."""
        return [
            Verdict(
                rule,
                tuple(
                    each
                    for each in rule.conditions
                    if each.key not in self.registry.keys or not each.holds(self.registry.fact(facts, each.key))
                ),
            )
            for rule in self.rules
        ]

    def findings(self, enabled: Container[Pair]) -> list[Finding]:
        """What to look at before these rules are activated, in the order of the rules."""
        found = list(self._dead)
        dead = {finding.rule for finding in found}
        for rule in self._live:
            off = [pair for pair in rule.methods if pair not in enabled]
            if rule.name in dead or not off:
                continue
            if len(off) == len(rule.methods):
                found.append(
                    Finding(
                        rule.name, _("All its payment methods are disabled: whom it applies to is offered nothing.")
                    )
                )
            else:
                names = ", ".join(pair.code for pair in off)
                found.append(Finding(rule.name, _("Disabled and therefore not offered: %(names)s.", names=names)))
        order = {rule.name: place for place, rule in enumerate(self.rules)}
        return sorted(found, key=lambda finding: order[finding.rule])

    @cached_property
    def _dead(self) -> list[Finding]:
        """Rules that nothing can reach. They depend on the rules alone, so they are looked for once."""
        found, effort = [], Effort()
        for place, rule in enumerate(self._live):
            cover = self._matcher.cover(place, effort)
            if cover is None:
                continue
            if cover.never is not None:
                found.append(Finding(rule.name, self._never(rule, cover.never), is_dead=True))
                continue
            names = [self._live[each].name for each in cover.by]
            if cover.alone:
                sentence = _(
                    "Shadowed: “%(name)s” comes first and applies to everything that this rule does.", name=names[0]
                )
            elif len(names) <= NAMED_MOST:
                listed = ", ".join(f"“{name}”" for name in names)
                sentence = _("Shadowed: %(names)s come first and together leave nothing for this rule.", names=listed)
            else:
                sentence = _(
                    "Shadowed: %(number)s rules come first and together leave nothing for this rule.", number=len(names)
                )
            found.append(Finding(rule.name, sentence, is_dead=True))
        return found

    def _never(self, rule: Rule, line: str) -> str:
        gone = next((each.key for each in rule.conditions if each.key not in self.registry.keys), None)
        if gone is not None:
            return _("Unreachable: “%(key)s” cannot be asked about any more.", key=gone)
        mine = [each for each in rule.conditions if line in {each.key, self.registry.keys[each.key].unit_of}]
        if len(mine) == 1:
            return _("Unreachable: “%(condition)s” can never be.", condition=words_of(mine[0], self.registry))
        return _(
            "Unreachable: “%(one)s” and “%(other)s” can never both be.",
            one=words_of(mine[0], self.registry),
            other=words_of(mine[-1], self.registry),
        )


class Difference(NamedTuple):
    """One rule in two versions; None where it is missing."""

    name: str
    before: Rule | None
    after: Rule | None

    @property
    def parts(self) -> tuple[str, ...]:
        """What of it differs: priority, conditions, methods, on."""
        if self.before is None or self.after is None:
            return ()
        pairs = {
            "priority": (self.before.priority, self.after.priority),
            "conditions": (self.before.conditions, self.after.conditions),
            "methods": (self.before.methods, self.after.methods),
            "on": (self.before.is_on, self.after.is_on),
        }
        return tuple(part for part, (one, other) in pairs.items() if one != other)


def in_order(rule: Rule) -> tuple[bool, int, str]:
    """By priority, the lowest number first (T16); `default` last."""
    return rule.is_default, rule.priority or 0, rule.name


def differences(before: Sequence[Rule], after: Sequence[Rule]) -> list[Difference]:
    """The rules that two versions do not have in common, in the order of the later one; removed ones last."""
    old: Mapping[str, Rule] = {rule.name: rule for rule in before}
    new: Mapping[str, Rule] = {rule.name: rule for rule in after}
    changed = [Difference(rule.name, old.get(rule.name), rule) for rule in sorted(after, key=in_order)]
    removed = [Difference(rule.name, rule, None) for rule in sorted(before, key=in_order) if rule.name not in new]
    return [each for each in changed if each.before != each.after] + removed
