"""Rules as pages show them: in words, with what is suspicious about each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import url_for
from markupsafe import Markup

from payadmin.db import db
from payadmin.kernel.checkout import Difference, Finding, Pair, Rule, RuleSet
from payadmin.kernel.checkout_files import Known
from payadmin.kernel.conditions import Registry, Several, words_of
from payadmin.kernel.text import Text, _
from payadmin.models.checkout import CheckoutRuleset, RulesetStatus
from payadmin.queries.checkout import known, pair_names, ready, rule_of, rule_rows
from payadmin.views import ui
from payadmin.views.columns import Column, Kind
from payadmin.views.language import say

RULES_A_PAGE = 100
_LINK = Markup('<a class="link" href="{}">{}</a>')
TONES = {RulesetStatus.DRAFT: "info", RulesetStatus.ACTIVE: "ok", RulesetStatus.ARCHIVED: "plain"}
PARTS = {
    "priority": Text("Priority"),
    "conditions": Text("Conditions"),
    "methods": Text("Offers"),
    "on": Text("State"),
}


@dataclass(frozen=True)
class Offered:
    """One pair that a rule offers, as people call it."""

    label: str
    is_enabled: bool


@dataclass(frozen=True)
class Line:
    """One rule of a list."""

    place: int
    row_id: int
    rule: Rule
    conditions: Sequence[str]
    offers: Sequence[Offered]
    findings: Sequence[Finding]

    @property
    def is_dead(self) -> bool:
        """Whether it can never decide anything."""
        return any(finding.is_dead for finding in self.findings)


@dataclass(frozen=True)
class Board:
    """All rules of a version, and the part of them that a page shows.

    Attributes:
        version: the change of the version that is shown.
        lines: the rules of this page.
        count: how many there are, and how many places there are to give.
        page, pages: which part is shown.
        dead: how many rules nothing reaches.
    """

    version: int
    lines: Sequence[Line]
    count: int
    places: int
    page: int
    pages: int
    dead: int
    has_default: bool
    is_open: bool
    rules: RuleSet
    known: Known


class Shelf:
    """What a page needs to put rules into words; read once a request."""

    def __init__(self) -> None:
        self.known = known(db.session())
        self.names = pair_names(db.session())

    @property
    def registry(self) -> Registry:
        """What rules may ask about."""
        return self.known.registry

    def offered(self, pairs: Iterable[Pair]) -> list[Offered]:
        """Pairs as people call them."""
        return [Offered(self.names.get(pair, pair.code), pair in self.known.enabled) for pair in pairs]

    def words(self, rule: Rule) -> list[str]:
        """The conditions of a rule in words."""
        return [words_of(each, self.registry) for each in rule.conditions]

    def board(self, ruleset: CheckoutRuleset, page: int) -> Board:
        """The rules of a version."""
        rows = rule_rows(db.session(), ruleset.id)
        rules = ready(db.session(), ruleset.id, self.registry)
        findings: dict[str, list[Finding]] = {}
        for finding in rules.findings(self.known.enabled):
            findings.setdefault(finding.rule, []).append(finding)
        pages = max(-(-len(rows) // RULES_A_PAGE), 1)
        page = min(max(page, 1), pages)
        first = (page - 1) * RULES_A_PAGE
        lines = []
        for place, row in enumerate(rows[first : first + RULES_A_PAGE], first + 1):
            rule = rule_of(row)
            found = findings.get(rule.name, ())
            lines.append(Line(place, row.id, rule, self.words(rule), self.offered(rule.methods), found))
        return Board(
            version=ruleset.version,
            lines=lines,
            count=len(rows),
            places=sum(row.priority is not None for row in rows),
            page=page,
            pages=pages,
            dead=sum(any(each.is_dead for each in found) for found in findings.values()),
            has_default=rules.has_default,
            is_open=ruleset.status is RulesetStatus.DRAFT,
            rules=rules,
            known=self.known,
        )

    def change(self, difference: Difference) -> dict[str, Any]:
        """One difference of two versions for a template: what it is, and each part before and after."""
        before, after = difference.before, difference.after
        if before is None or after is None:
            rule = after or before
            assert rule is not None
            kind, tone = (_("Added"), "ok") if before is None else (_("Removed"), "bad")
            return {"name": difference.name, "kind": kind, "tone": tone, "whole": self._parts(rule), "parts": []}
        old, new = self._parts(before), self._parts(after)
        parts = [(PARTS[part], old[part], new[part]) for part in difference.parts]
        return {"name": difference.name, "kind": _("Changed"), "tone": "warn", "whole": None, "parts": parts}

    def _parts(self, rule: Rule) -> dict[str, str]:
        nothing = _("Always, when no other rule applies")
        return {
            "priority": _("Last") if rule.priority is None else str(rule.priority),
            "conditions": Several(self.words(rule), "; ") if rule.conditions else nothing,
            "methods": Several((each.label for each in self.offered(rule.methods)), ", "),
            "on": _("On") if rule.is_on else _("Off"),
        }


def status_badge(ruleset: Any) -> Any:
    """Draft, active or archived, as a badge."""
    return ui.badge(ruleset.status.value, TONES[ruleset.status])


def version_cell(column: Column, nothing: str = "") -> Callable[[Any], Any]:
    """A cell that names a version and leads to it."""
    pattern = url_for("checkout_versions.details_view", row_id=0)[: -len("0/")]

    def cell(row: Any) -> Any:
        number = getattr(row, column.name)
        if number is None:
            return say(nothing) if nothing else ui.NOTHING
        return _LINK.format(f"{pattern}{number}/", say(_("Version %(number)s", number=number)))

    return cell


def as_numbers(columns: dict[str, Column], *keys: str) -> None:
    """Treat what points to versions and replays as plain numbers: their number is the only name they have."""
    for key in keys:
        columns[key] = replace(columns[key], kind=Kind.NUMBER, target=None, target_attr=None)
