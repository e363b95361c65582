"""Checkout rules as a JSON file: written whole, and read with every mistake at its place."""

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from payadmin.kernel.checkout import (
    DEFAULT,
    LARGEST_PRIORITY,
    MOST_PAIRS,
    MOST_RULES,
    Pair,
    Rule,
    in_order,
)
from payadmin.kernel.conditions import Problem, Registry, read_conditions, shown
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import NumberText, _

FORMAT: Final = "payadmin.checkout-rules.1"
MOST_BYTES: Final = 4_000_000
MOST_PROBLEMS: Final = 200
NAME_LENGTH: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class Known(NamedTuple):
    """What rules may say: what can be asked, and which pairs there are and are enabled."""

    registry: Registry
    pairs: Container[Pair]
    enabled: Container[Pair]


class FileProblem(NamedTuple):
    """One mistake in a file: where it is, and what is wrong."""

    place: str
    sentence: str


def rules_text(rules: Iterable[Rule], **about: Any) -> str:
    """The file of these rules: a rule a line, so that files can be compared.

    Args:
        about: further facts for its head, such as the version; they are ignored when it is read.
    """
    lines = [json.dumps(rule.as_json(), ensure_ascii=False) for rule in sorted(rules, key=in_order)]
    head = "".join(
        f"  {json.dumps(name)}: {json.dumps(value)},\n" for name, value in {"format": FORMAT, **about}.items()
    )
    body = ",\n".join(f"    {line}" for line in lines)
    return f'{{\n{head}  "rules": [\n{body}\n  ]\n}}\n' if lines else f'{{\n{head}  "rules": []\n}}\n'


def read_rules(text: str, known: Known) -> tuple[list[Rule], list[FileProblem]]:
    """The rules of a file; empty together with everything that is wrong, at most 200 mistakes."""
    try:
        # Numbers in rules are whole; another one is refused at its place, as what it is.
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=Decimal)
    except json.JSONDecodeError as error:
        return [], [
            FileProblem(_line(error.lineno, error.colno), _("This is not JSON: %(problem)s.", problem=error.msg))
        ]
    except RecursionError:
        return [], [FileProblem("", _("This is nested too deeply to be a file of rules."))]
    except ValueError as error:
        return [], [FileProblem("", str(error))]
    if (problem := _wrong_document(document)) is not None:
        return [], [problem]
    rules: list[Rule] = []
    problems: list[FileProblem] = []
    names: dict[str, int] = {}
    priorities: dict[int, int] = {}
    for place, item in enumerate(document["rules"]):
        rule, wrong = read_rule(item, known)
        if rule is not None:
            rules.append(rule)
            wrong = [*wrong, *_repeats(rule, place, names, priorities)]
        problems += [FileProblem(_path(place, each.place), each.sentence) for each in wrong]
        if len(problems) >= MOST_PROBLEMS:
            break
    return ([], problems[:MOST_PROBLEMS]) if problems else (rules, [])


def _wrong_document(document: object) -> FileProblem | None:
    """What is wrong with a file as a whole, if anything."""
    if not isinstance(document, dict):
        return FileProblem("", _("A file of rules is an object with “format” and “rules”."))
    if document.get("format") != FORMAT:
        sentence = _("This is no file of checkout rules: “format” must be %(format)s.", format=FORMAT)
        return FileProblem("format", sentence)
    raw = document.get("rules")
    if not isinstance(raw, list):
        return FileProblem("rules", _("“rules” is a list."))
    if len(raw) > MOST_RULES:
        sentence = _(
            "The file has %(number)s rules; a version has at most %(most)s.",
            number=NumberText(len(raw)),
            most=NumberText(MOST_RULES),
        )
        return FileProblem("rules", sentence)
    return None


def read_rule(raw: object, known: Known) -> tuple[Rule | None, list[Problem]]:
    """One rule from JSON with its mistakes; None when it is no rule at all."""
    if not isinstance(raw, Mapping):
        return None, [Problem((), _("A rule is an object."))]
    problems: list[Problem] = []
    fields = {"id", "priority", "conditions", "methods", "on"}
    problems += [Problem((str(name),), _("A rule has no such part.")) for name in raw if name not in fields]
    name = raw.get("id")
    if (sentence := wrong_name(name)) is not None:
        problems.append(Problem(("id",), sentence))
        name = ""
    is_default = name == DEFAULT
    priority = raw.get("priority")
    if (sentence := wrong_priority(priority, is_default=is_default)) is not None:
        problems.append(Problem(("priority",), sentence))
        priority = None
    conditions, wrong = read_conditions(raw.get("conditions", []), known.registry)
    problems += [Problem(("conditions", *each.place), each.sentence) for each in wrong]
    if not wrong and (sentence := wrong_count(len(conditions), is_default=is_default)) is not None:
        problems.append(Problem(("conditions",), sentence))
    methods, wrong = read_pairs(raw.get("methods"), known)
    problems += [Problem(("methods", *each.place), each.sentence) for each in wrong]
    is_on = raw.get("on", True)
    if not isinstance(is_on, bool):
        problems.append(Problem(("on",), _("“on” is true or false.")))
    return Rule(str(name), priority, conditions, methods, is_on is True), problems


def wrong_name(name: object) -> str | None:
    """What is wrong with a rule's name, if anything."""
    if not isinstance(name, str) or not name:
        return _("A rule needs an ID.")
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        return _("An ID has letters, digits, dots, hyphens and underscores, at most %(most)s.", most=NAME_LENGTH)
    if mask_pan_in_text(name) != name:
        return _("This holds a card number. Write its last four digits only.")
    if name != DEFAULT and name.lower() == DEFAULT:
        return _("The rule that answers when no other does is spelled “default”.")
    return None


def wrong_priority(priority: object, *, is_default: bool) -> str | None:
    """What is wrong with a rule's priority, if anything."""
    if is_default:
        return None if priority is None else _("“default” is always last: it has no priority.")
    if type(priority) is not int or not 1 <= priority <= LARGEST_PRIORITY:
        return _("A priority is a whole number from 1 to %(most)s.", most=NumberText(LARGEST_PRIORITY))
    return None


def wrong_count(conditions: int, *, is_default: bool) -> str | None:
    """What is wrong with how many conditions a rule has, if anything (CR3)."""
    if is_default and conditions:
        return _("“default” answers when no other rule does: it has no conditions.")
    if not is_default and not conditions:
        return _("Only “default” applies to everything. Give this rule at least one condition.")
    return None


def read_pairs(raw: object, known: Known) -> tuple[tuple[Pair, ...], list[Problem]]:
    """What a rule offers, from JSON."""
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return (), [Problem((), _("Methods are a list of providers and methods."))]
    if not raw:
        return (), [Problem((), _("A rule offers at least one payment method."))]
    if len(raw) > MOST_PAIRS:
        return (), [Problem((), _("A rule offers at most %(most)s payment methods.", most=MOST_PAIRS))]
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for place, item in enumerate(raw):
        if not isinstance(item, Mapping) or item.keys() != {"provider", "method"}:
            problems.append(Problem((place,), _("A pair has a provider and a method, and nothing else.")))
            continue
        pair = Pair(str(item["provider"]), str(item["method"]))
        if (sentence := wrong_pair(pair, pairs, known)) is not None:
            problems.append(Problem((place,), sentence))
        pairs.append(pair)
    return tuple(pairs), problems


def wrong_pair(pair: Pair, before: Container[Pair], known: Known) -> str | None:
    """What is wrong with one thing that a rule offers, if anything (CR5)."""
    if pair not in known.pairs:
        return _(
            "There is no method “%(method)s” of the provider “%(provider)s”.",
            method=shown(pair.method),
            provider=shown(pair.provider),
        )
    if pair not in known.enabled:
        return _("%(pair)s is disabled. Enable it on Provider methods, or leave it out.", pair=pair.code)
    return _("%(pair)s is in the list twice.", pair=pair.code) if pair in before else None


def _repeats(rule: Rule, place: int, names: dict[str, int], priorities: dict[int, int]) -> list[Problem]:
    found = []
    if rule.name and (first := names.setdefault(rule.name, place)) != place:
        found.append(Problem(("id",), _("rules[%(place)s] has the ID “%(name)s” too.", place=first, name=rule.name)))
    if rule.priority is not None and (first := priorities.setdefault(rule.priority, place)) != place:
        found.append(
            Problem(
                ("priority",), _("rules[%(place)s] has the priority %(number)s too.", place=first, number=rule.priority)
            )
        )
    return found


def _path(place: int, rest: Iterable[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in rest]
    return f"rules[{place}]{''.join(parts)}"


def _line(line: int, column: int) -> str:
    return _("line %(line)s, column %(column)s", line=line, column=column)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _value in pairs).most_common(1)[0][0]
        raise ValueError(
            _("“%(name)s” stands twice in one object, so it is not clear which one counts.", name=shown(twice))
        )
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(_("“%(name)s” is not JSON.", name=name))
