"""Strict JSON: what a program may send, said once as a shape, which reads a document and is its JSON Schema.

No floats anywhere (money is whole minor units), no unknown and no repeated names, no text that a database or a page
could not hold. Every mistake is found, each with the JSON pointer of its place.
"""

import datetime as dt
import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.masks import mask_pan_in_text

LARGEST_WHOLE: Final = 2**63 - 1
MOST_MISTAKES: Final = 50
_LONGEST_ECHO: Final = 40
_MISSING: Final = object()


class Malformed(Refusal):
    """The bytes are no JSON document, or one that could be read in two ways."""

    code = "malformed"
    status = 400


@dataclass
class Mistakes:
    """What is wrong with a document: the place of each mistake and a sentence."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, pointer: str, sentence: str) -> Any:
        """Note a mistake; after a few dozen, reading on tells nobody more. Nothing stands for the value then."""
        if len(self.found) < MOST_MISTAKES:
            self.found.append((pointer, sentence))
        return None


@dataclass(frozen=True)
class Shape:
    """What stands at one place of a document.

    Attributes:
        read: takes the value, its pointer and the mistakes; gives what the code works with.
        schema: the same as JSON Schema.
        default: what stands for an absent value; `required` ones have none.
    """

    read: Callable[[Any, str, Mistakes], Any]
    schema: Mapping[str, Any]
    default: Any = _MISSING

    @property
    def is_required(self) -> bool:
        """Whether a document without it is refused."""
        return self.default is _MISSING


def read_document(data: bytes, shape: Shape) -> Any:
    """The document in `data`, as `shape` says.

    Raises:
        Malformed: no JSON in UTF-8, a float, a repeated name, or nested beyond reason.
        Invalid: JSON of another shape; `data["errors"]` holds pointers and sentences.
    """
    value = _parsed(data)
    mistakes = Mistakes()
    made = shape.read(value, "#", mistakes)
    if mistakes.found:
        raise Invalid("The document is not as it should be. Nothing was changed.", errors=mistakes.found)
    return made


def optional(shape: Shape, default: Any = None) -> Shape:
    """The same, or absent or null: then it is `default`."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        return default if value is None else shape.read(value, at, mistakes)

    return Shape(read, {"anyOf": [shape.schema, {"type": "null"}]}, default)


def record(**fields: Shape) -> Shape:
    """An object with exactly these names."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        if not isinstance(value, dict):
            return mistakes.add(at, "Write an object here, { … }.")
        for name in value.keys() - fields.keys():
            mistakes.add(f"{at}/{_escaped(name)}", "This name is not known here.")
        made = {}
        for name, shape in fields.items():
            if name in value:
                made[name] = shape.read(value[name], f"{at}/{name}", mistakes)
            elif shape.is_required:
                mistakes.add(f"{at}/{name}", "This is needed.")
            else:
                made[name] = shape.default
        return made

    schema = {
        "type": "object",
        "properties": {name: shape.schema for name, shape in fields.items()},
        "required": [name for name, shape in fields.items() if shape.is_required],
        "additionalProperties": False,
    }
    return Shape(read, schema)


def list_of(shape: Shape, *, least: int = 1, most: int = 1000) -> Shape:
    """Several of the same."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        if not isinstance(value, list):
            return mistakes.add(at, "Write a list here, [ … ].")
        if not least <= len(value) <= most:
            return mistakes.add(at, f"Give from {least:,} to {most:,} of them; these are {len(value):,}.")
        return [shape.read(each, f"{at}/{place}", mistakes) for place, each in enumerate(value)]

    return Shape(read, {"type": "array", "items": shape.schema, "minItems": least, "maxItems": most})


def a_text(longest: int, *, least: int = 1) -> Shape:
    """One visible line of text, without blanks around it and without card numbers."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        if not isinstance(value, str):
            return mistakes.add(at, "Write a text here, in quotes.")
        if not least <= len(value) <= longest:
            return mistakes.add(at, f"Write from {least} to {longest} characters.")
        if not value.isprintable() or value != value.strip():
            return mistakes.add(at, "Write visible characters in one line, without blanks around them.")
        if mask_pan_in_text(value) != value:
            return mistakes.add(at, "This holds a card number.")
        return value

    return Shape(read, {"type": "string", "minLength": least, "maxLength": longest})


def a_whole(least: int = 0, most: int = LARGEST_WHOLE) -> Shape:
    """A whole number; amounts of money are one, in minor units."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return mistakes.add(at, "Write a whole number here, without quotes.")
        if not least <= value <= most:
            return mistakes.add(at, f"Write a number from {least:,} to {most:,}.")
        return value

    return Shape(read, {"type": "integer", "minimum": least, "maximum": most})


def a_flag() -> Shape:
    """Yes or no."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        return value if isinstance(value, bool) else mistakes.add(at, "Write true or false here.")

    return Shape(read, {"type": "boolean"})


def a_day() -> Shape:
    """A day, `2026-12-05`."""

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        try:
            day = dt.date.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            day = None
        if day is None or day.isoformat() != value:
            return mistakes.add(at, "Write a day of the calendar as 2026-12-05, in quotes.")
        return day

    return Shape(read, {"type": "string", "format": "date"})


def one_of(members: type[enum.Enum]) -> Shape:
    """One of an enum's members, by name."""
    names = [member.name for member in members]

    def read(value: Any, at: str, mistakes: Mistakes) -> Any:
        if not isinstance(value, str) or value not in names:
            return mistakes.add(at, f"Write one of {', '.join(names)}.")
        return members[value]

    return Shape(read, {"type": "string", "enum": names})


def _parsed(data: bytes) -> Any:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    try:
        return json.loads(text, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_pairs)
    except RecursionError:
        raise Malformed("The body is nested too deep.") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except ValueError:  # digits beyond what Python reads
        raise Malformed("The body holds a number that is too long.") from None


def _no_float(text: str) -> NoReturn:
    raise Malformed(f"The body holds {text[:_LONGEST_ECHO]}. Numbers are whole here; money is in minor units.")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Malformed("The body gives the same name twice in one object.")
    return made


def _escaped(name: str) -> str:
    """A name as a JSON pointer holds it; what somebody sent is not repeated at length."""
    shown = "".join(char if char.isprintable() else "?" for char in name[:_LONGEST_ECHO])
    return shown.replace("~", "~0").replace("/", "~1")
