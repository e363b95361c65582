"""The editor of conditions, for whichever room has a registry of them: rows as forms carry them, and facts to try.

A form has one hidden `c` for each row, and beside it `c-<row>-key`, `c-<row>-operator`, `c-<row>-value` and, for
amounts, `c-<row>-unit`. `macros/conditions.html` draws the rows, `conditions.js` asks the page for a row anew when its
key or operator changes; without JavaScript the form's own buttons do the same.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from payadmin.kernel.conditions import (
    MOST_CONDITIONS,
    OPERATOR_WORDS,
    SETS,
    Amount,
    Condition,
    Fact,
    Key,
    KeyKind,
    Operator,
    Problem,
    Registry,
    Wrong,
    read_fact,
)
from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import decimal_text, parse_minor
from payadmin.kernel.text import _

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

_NUMBER = re.compile(r"-?[0-9]{1,16}", re.ASCII)
_PLACE = re.compile(r"[0-9]{1,4}", re.ASCII)


@dataclass
class EditorRow:
    """One condition as somebody is writing it.

    Attributes:
        place: its number in the form.
        key: what it asks about; None until one is chosen.
        values: what was typed or ticked.
        unit: the currency of an amount.
        problems: part (key, operator, value) → what is wrong with it.
    """

    place: int
    key: Key | None = None
    operator: Operator | None = None
    values: list[str] = field(default_factory=list)
    unit: str = ""
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def is_set(self) -> bool:
        """Whether several values are asked for."""
        return self.operator in SETS

    @property
    def text(self) -> str:
        """What stands in a text input: one value, or several, a line each."""
        return ("\n" if self.is_set else "").join(self.values if self.is_set else self.values[:1])

    @property
    def widget(self) -> str:
        """How the value is asked for."""
        if self.key is None:
            return "none"
        match self.key.kind:
            case KeyKind.CHOICE:
                return "boxes" if self.is_set else "select"
            case KeyKind.MONEY:
                return "amount"
        return "lines" if self.is_set else self.key.kind.value

    @property
    def operators(self) -> list[tuple[str, str]]:
        """The operators that its key has, with their words."""
        found = self.key.operators if self.key is not None else ()
        return [(each.value, OPERATOR_WORDS[each]) for each in found]


def rows_of(conditions: Iterable[Condition], registry: Registry) -> list[EditorRow]:
    """Stored conditions, to be changed."""
    rows = []
    for place, condition in enumerate(conditions):
        value: Any = condition.value
        unit = ""
        if isinstance(value, Amount):
            unit = value.unit
            values = [decimal_text(value.minor, registry.scales.get(unit, 0))]
        else:
            values = [str(each) for each in value] if isinstance(value, tuple) else [str(value)]
        rows.append(EditorRow(place, registry.keys.get(condition.key), condition.operator, values, unit))
    return rows


def read_rows(form: "MultiDict[str, str]", registry: Registry, usual_unit: str = "") -> list[EditorRow]:
    """The rows of a form in their order; one more than there may be is enough to be refused.

    Args:
        usual_unit: the currency that is proposed where none was chosen yet.
    """
    places = [int(text) for text in form.getlist("c") if _PLACE.fullmatch(text)]
    return [_read_row(form, place, registry, usual_unit) for place in dict.fromkeys(places)][: MOST_CONDITIONS + 1]


def _read_row(form: "MultiDict[str, str]", place: int, registry: Registry, usual_unit: str) -> EditorRow:
    unit = form.get(f"c-{place}-unit") or usual_unit
    row = EditorRow(place, registry.keys.get(form.get(f"c-{place}-key", "")), unit=unit)
    if row.key is None:
        return row
    asked = form.get(f"c-{place}-operator", "")
    row.operator = next((each for each in row.key.operators if each.value == asked), row.key.operators[0])
    values = form.getlist(f"c-{place}-value")
    if row.widget == "lines":
        values = [line.strip() for value in values for line in value.splitlines()]
    # A choice that the new key does not have was chosen for the old one.
    known = row.key.choices if row.key.kind is KeyKind.CHOICE else None
    row.values = [value for value in values if value.strip() and (known is None or value in known)]
    return row


def as_json(rows: Sequence[EditorRow], registry: Registry) -> list[dict[str, Any]] | None:
    """The rows as conditions in JSON; None when one says too little, which is then noted at it."""
    read = [_as_json(row, registry) for row in rows]
    return None if any(each is None for each in read) else [each for each in read if each is not None]


def _as_json(row: EditorRow, registry: Registry) -> dict[str, Any] | None:
    if row.key is None or row.operator is None:
        row.problems["key"] = _("Choose what this condition asks about, or remove it.")
        return None
    try:
        if row.is_set:
            value: Any = [_typed(text, row.key, row.unit, registry) for text in row.values]
        else:
            value = _typed(row.values[0] if row.values else "", row.key, row.unit, registry)
    except Wrong as wrong:
        row.problems[wrong.part] = wrong.sentence
        return None
    return {"key": row.key.name, "operator": row.operator.value, "value": value}


def _typed(text: str, key: Key, unit: str, registry: Registry) -> Any:
    """One value as JSON has it.

    Raises:
        Wrong: nothing, or nothing of this kind, was typed.
    """
    if not text.strip():
        raise Wrong(_("Choose a value.") if key.kind is KeyKind.CHOICE else _("Enter a value."))
    match key.kind:
        case KeyKind.NUMBER:
            if not _NUMBER.fullmatch(text.strip()):
                raise Wrong(_("Write a whole number."))
            return int(text)
        case KeyKind.MONEY:
            if unit not in registry.scales:
                raise Wrong(_("Choose a currency."))
            try:
                return {"amount_minor": parse_minor(text, registry.scales[unit]), "unit": unit}
            except Invalid as refusal:
                raise Wrong(refusal.sentence) from refusal
    return text


def mark(rows: Sequence[EditorRow], problems: Iterable[Problem]) -> list[str]:
    """Put problems at the rows that they are about; what is about none of them is handed back."""
    left = []
    for place, sentence in problems:
        match place:
            case (int() as number, str() as part) if number < len(rows):
                rows[number].problems.setdefault(part, sentence)
            case (int() as number,) if number < len(rows):
                rows[number].problems.setdefault("key", sentence)
            case _:
                left.append(sentence)
    return left


def next_place(rows: Sequence[EditorRow]) -> int:
    """A number that no row of the form has."""
    return max((row.place for row in rows), default=-1) + 1


# --- facts ------------------------------------------------------------------------------------------------------------


def asked_facts(registry: Registry) -> list[Key]:
    """The keys whose facts somebody enters; the unit of an amount comes with the amount."""
    return [key for key in registry.keys.values() if not key.unit_of]


def read_facts(args: "MultiDict[str, str]", registry: Registry) -> tuple[dict[str, Fact | None], dict[str, str]]:
    """Facts as a form has them: `f-<key>`, and `f-<key>-unit` for amounts.

    Returns:
        The facts, and key → what is wrong with what was entered or left out.
    """
    facts: dict[str, Fact | None] = {}
    problems: dict[str, str] = {}
    for key in asked_facts(registry):
        text = args.get(f"f-{key.name}", "").strip()
        if not text:
            if key.always:
                problems[key.name] = _("This is needed.")
            continue
        try:
            facts[key.name] = read_fact(_typed(text, key, args.get(f"f-{key.name}-unit", ""), registry), key, registry)
        except Wrong as wrong:
            problems[key.name] = wrong.sentence
    return facts, problems


def fact_texts(facts: Mapping[str, Fact | None], registry: Registry) -> dict[str, str]:
    """Facts as a form shows them."""
    texts: dict[str, str] = {}
    for name, fact in facts.items():
        if isinstance(fact, Amount):
            texts[name] = decimal_text(fact.minor, registry.scales.get(fact.unit, 0))
            texts[f"{name}-unit"] = fact.unit
        elif fact is not None:
            texts[name] = str(fact)
    return texts
