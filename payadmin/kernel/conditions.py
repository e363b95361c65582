"""Conditions: a typed registry of what can be asked, eight operators, and the words in which people read them (CR2).

A condition compares one fact with a value: `amount is more than 100.00 EUR`. Which facts there are, of which kind, and
which values they can take is a `Registry`; rooms bring their own (checkout rules, watch rules). What is stored and
imported is plain JSON, read by `read_conditions`, which says of every mistake where it is.

A fact that is not given satisfies no condition, not even “is not”: a rule never applies for want of an answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import MAX_MINOR, Money
from payadmin.kernel.text import Said, Tongue, _, one_line

MOST_CONDITIONS: Final = 20
MOST_VALUES: Final = 100
LONGEST_TEXT: Final = 64
LARGEST_NUMBER: Final = 10**15


class Operator(StrEnum):
    """The eight operators; the values are what rules say in files and over the API."""

    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    IN = "in"
    NOT_IN = "not_in"
    GREATER_THAN = "greater_than"
    GREATER_OR_EQUAL_THAN = "greater_or_equal_than"
    LESS_THAN = "less_than"
    LESS_OR_EQUAL_THAN = "less_or_equal_than"


O = Operator  # noqa: E741 - read in tables
SETS: Final = frozenset({O.IN, O.NOT_IN})
_EQUALITY: Final = (O.EQUAL, O.NOT_EQUAL)
_ORDER: Final = (O.GREATER_THAN, O.GREATER_OR_EQUAL_THAN, O.LESS_THAN, O.LESS_OR_EQUAL_THAN)


class KeyKind(StrEnum):
    """What kind of fact a key is; it decides which operators there are and what a value looks like."""

    CHOICE = "choice"
    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"


OPERATORS: Final[Mapping[KeyKind, tuple[Operator, ...]]] = {
    KeyKind.CHOICE: (*_EQUALITY, O.IN, O.NOT_IN),
    KeyKind.TEXT: (*_EQUALITY, O.IN, O.NOT_IN),
    KeyKind.NUMBER: tuple(Operator),
    KeyKind.MONEY: (*_EQUALITY, *_ORDER),
}
OPERATOR_WORDS: Final[Mapping[Operator, Said]] = {
    O.EQUAL: _("is"),
    O.NOT_EQUAL: _("is not"),
    O.IN: _("is one of"),
    O.NOT_IN: _("is none of"),
    O.GREATER_THAN: _("is more than"),
    O.GREATER_OR_EQUAL_THAN: _("is at least"),
    O.LESS_THAN: _("is less than"),
    O.LESS_OR_EQUAL_THAN: _("is at most"),
}


class Amount(NamedTuple):
    """An amount as a fact or a value: minor units of a unit. Amounts of two units are never compared."""

    minor: int
    unit: str


Value = str | int | Amount | tuple[str, ...] | tuple[int, ...]
Fact = str | int | Amount
Facts = Mapping[str, Fact | None]


@dataclass(frozen=True)
class Key:
    """One thing that can be asked.

    Attributes:
        name: what rules call it.
        label: what people read.
        kind: what its facts are.
        choices: for CHOICE, value → label.
        always: whether every fact to be judged has it; then “everything else” is known to be something.
        unit_of: for CHOICE, the MONEY key whose unit it is; its fact is read from there.
    """

    name: str
    label: str
    kind: KeyKind
    choices: Mapping[str, str] = field(default_factory=dict)
    always: bool = True
    unit_of: str = ""

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators that make sense for it."""
        return OPERATORS[self.kind]


@dataclass(frozen=True)
class Registry:
    """Every key that rules may ask about, and the decimals of every unit."""

    keys: Mapping[str, Key]
    scales: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, *keys: Key, scales: Mapping[str, int] | None = None) -> "Registry":
        """A registry of these keys."""
        return cls({key.name: key for key in keys}, scales or {})

    def fact(self, facts: Facts, name: str) -> Fact | None:
        """What `facts` say about a key; the unit of an amount is read from the amount."""
        key = self.keys[name]
        if not key.unit_of:
            return facts.get(name)
        amount = facts.get(key.unit_of)
        return amount.unit if isinstance(amount, Amount) else None


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison, checked against the registry; `value` is a tuple for the operators of sets."""

    key: str
    operator: Operator
    value: Value

    def holds(self, fact: Fact | None) -> bool:
        """Whether the fact satisfies it. This is the meaning; `payadmin.kernel.matching` is the same, but fast."""
        if fact is None:
            return False
        value: Any = self.value
        if isinstance(fact, Amount):
            # An amount in another currency is neither more nor less, and not “not equal” either.
            if not isinstance(value, Amount) or fact.unit != value.unit:
                return False
            fact, value = fact.minor, value.minor
        if isinstance(fact, str):
            fact, value = folded(fact), _folded(value)
        return _compare(self.operator, fact, value)

    def as_json(self) -> dict[str, Any]:
        """It as rules are stored and exported."""
        return {"key": self.key, "operator": self.operator.value, "value": _json_value(self.value)}


class Problem(NamedTuple):
    """One mistake: where it is, as a path of names and places, and what is wrong."""

    place: tuple[str | int, ...]
    sentence: str


class Wrong(Exception):
    """A value that does not fit; the sentence says what would."""

    def __init__(self, sentence: str, part: str = "value") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.part = part


def read_conditions(raw: object, registry: Registry) -> tuple[tuple[Condition, ...], list[Problem]]:
    """Conditions from JSON, with every mistake at its place: `(2, "value")` is the value of the third one."""
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return (), [Problem((), _("Conditions are a list."))]
    if len(raw) > MOST_CONDITIONS:
        return (), [Problem((), _("A rule has at most %(most)s conditions.", most=MOST_CONDITIONS))]
    read: list[Condition] = []
    problems: list[Problem] = []
    for place, item in enumerate(raw):
        try:
            condition = read_condition(item, registry)
        except Wrong as wrong:
            problems.append(Problem((place, wrong.part) if wrong.part else (place,), wrong.sentence))
            continue
        if condition in read:
            problems.append(Problem((place, "key"), _("This condition stands in the rule twice.")))
        read.append(condition)
    return tuple(read), problems


def read_condition(raw: object, registry: Registry) -> Condition:
    """One condition from JSON.

    Raises:
        Wrong: it names a key or an operator that there is not, or its value does not fit; `part` says which.
    """
    if not isinstance(raw, Mapping):
        raise Wrong(_("A condition has a key, an operator and a value."), "")
    if unknown := sorted(str(name) for name in raw.keys() - {"key", "operator", "value"}):
        raise Wrong(_("A condition has a key, an operator and a value, not “%(name)s”.", name=shown(unknown[0])), "")
    name = raw.get("key")
    key = registry.keys.get(name) if isinstance(name, str) else None
    if key is None:
        known = ", ".join(registry.keys)
        raise Wrong(_("“%(name)s” cannot be asked about. There is: %(known)s.", name=shown(name), known=known), "key")
    word = raw.get("operator")
    operator = next((each for each in Operator if each.value == word), None)
    if operator is None:
        known = ", ".join(each.value for each in key.operators)
        raise Wrong(_("“%(name)s” is no operator. There is: %(known)s.", name=shown(word), known=known), "operator")
    if operator not in key.operators:
        raise Wrong(
            _("%(key)s cannot be compared with “%(words)s”.", key=key.label, words=OPERATOR_WORDS[operator]), "operator"
        )
    return Condition(key.name, operator, _read_value(raw.get("value"), key, operator, registry))


def stored_condition(raw: Mapping[str, Any]) -> Condition:
    """A condition as it was stored, although its key or one of its choices may have gone since."""
    value = raw["value"]
    if isinstance(value, Mapping):
        value = Amount(int(value["amount_minor"]), str(value["unit"]))
    elif isinstance(value, list):
        value = tuple(value)
    return Condition(raw["key"], Operator(raw["operator"]), value)


def _read_value(raw: object, key: Key, operator: Operator, registry: Registry) -> Value:
    if operator not in SETS:
        if isinstance(raw, list | tuple):
            raise Wrong(_("Give one value, not a list. For several there is “is one of”."))
        return read_fact(raw, key, registry)
    if not isinstance(raw, list | tuple):
        raise Wrong(_("Give a list of values."))
    if not raw:
        raise Wrong(_("Choose at least one value: an empty set is satisfied by nothing, or by everything."))
    if len(raw) > MOST_VALUES:
        raise Wrong(_("Give at most %(most)s values.", most=MOST_VALUES))
    values: list[Any] = []
    for item in raw:
        value = read_fact(item, key, registry)
        if value in values:
            raise Wrong(_("“%(value)s” is in the list twice.", value=shown(value)))
        values.append(value)
    return tuple(values)


def read_fact(raw: object, key: Key, registry: Registry) -> Fact:
    """One value of a key from JSON: also how facts arrive from outside.

    Raises:
        Wrong: it is of another kind, or not one of the key's choices.
    """
    match key.kind:
        case KeyKind.CHOICE:
            if not isinstance(raw, str) or raw not in key.choices:
                known = ", ".join(key.choices)
                raise Wrong(
                    _(
                        "“%(value)s” is no value of %(key)s. There is: %(known)s.",
                        value=shown(raw),
                        key=key.label,
                        known=known,
                    )
                )
            return raw
        case KeyKind.TEXT:
            text = one_line(raw) if isinstance(raw, str) else ""
            if not isinstance(raw, str) or not text:
                raise Wrong(_("%(key)s is a text, and not an empty one.", key=key.label))
            if len(text) > LONGEST_TEXT:
                raise Wrong(_("%(key)s has at most %(most)s characters.", key=key.label, most=LONGEST_TEXT))
            if mask_pan_in_text(text) != text:
                raise Wrong(_("This holds a card number. Write its last four digits only."))
            return text
        case KeyKind.NUMBER:
            if type(raw) is not int:
                raise Wrong(_("%(key)s is a whole number, not “%(value)s”.", key=key.label, value=shown(raw)))
            if abs(raw) > LARGEST_NUMBER:
                raise Wrong(_("This number is too large."))
            return raw
    return _read_amount(raw, key, registry)


def _read_amount(raw: object, key: Key, registry: Registry) -> Amount:
    if isinstance(raw, Amount):
        minor, unit = raw
    elif isinstance(raw, Mapping) and raw.keys() == {"amount_minor", "unit"}:
        minor, unit = raw["amount_minor"], raw["unit"]
    else:
        raise Wrong(_("%(key)s needs amount_minor and unit, such as 10000 and EUR.", key=key.label))
    if not isinstance(unit, str) or unit not in registry.scales:
        raise Wrong(_("“%(unit)s” is not a known currency.", unit=shown(unit)))
    if type(minor) is not int:
        raise Wrong(_("amount_minor is a whole number of minor units, not “%(value)s”.", value=shown(minor)))
    if not 0 < minor <= MAX_MINOR:
        raise Wrong(_("The amount must be more than zero and not larger than any payment."))
    return Amount(minor, unit)


# --- words ------------------------------------------------------------------------------------------------------------


class Several(Said):
    """Several texts in one, each said in the reader's language: “Web, API”."""

    __slots__ = ("apart", "parts")

    parts: tuple[str, ...]
    apart: str

    def __new__(cls, parts: Iterable[str], apart: str = ", ") -> Self:
        listed = tuple(parts)
        self = super().__new__(cls, apart.join(listed))
        self.parts, self.apart = listed, apart
        return self

    def said(self, tongue: Tongue) -> str:
        return self.apart.join(part.said(tongue) if isinstance(part, Said) else part for part in self.parts)


def words_of(condition: Condition, registry: Registry) -> str:
    """The condition as a sentence: “Amount is more than 100.00 EUR”."""
    key = registry.keys.get(condition.key)
    label = key.label if key is not None else condition.key
    return Several((label, OPERATOR_WORDS[condition.operator], value_words(condition.value, key, registry)), " ")


def value_words(value: Value, key: Key | None, registry: Registry) -> str:
    """A value or a fact as people read it."""
    if isinstance(value, Amount):
        return Money(value.minor, value.unit, registry.scales.get(value.unit, 0)).__str__()
    if isinstance(value, tuple):
        return Several(value_words(each, key, registry) for each in value)
    if key is not None and key.kind is KeyKind.CHOICE:
        return key.choices.get(str(value), str(value))
    return f"{value:,}" if isinstance(value, int) else value


def folded(text: str) -> str:
    """A text as it is compared: capitals and spacing make no difference."""
    return " ".join(text.split()).casefold()


def shown(value: object) -> str:
    """What somebody wrote, short enough for a sentence."""
    text = one_line(str(value)) if value is not None else "nothing"
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004 - a sentence, not a rule


def _folded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(folded(each) for each in value)
    return folded(value)


def _json_value(value: Value) -> Any:
    if isinstance(value, Amount):
        return {"amount_minor": value.minor, "unit": value.unit}
    return list(value) if isinstance(value, tuple) else value


def _compare(operator: Operator, fact: Any, value: Any) -> bool:
    match operator:
        case Operator.EQUAL:
            return bool(fact == value)
        case Operator.NOT_EQUAL:
            return bool(fact != value)
        case Operator.IN:
            return fact in value
        case Operator.NOT_IN:
            return fact not in value
        case Operator.GREATER_THAN:
            return bool(fact > value)
        case Operator.GREATER_OR_EQUAL_THAN:
            return bool(fact >= value)
        case Operator.LESS_THAN:
            return bool(fact < value)
    return bool(fact <= value)
