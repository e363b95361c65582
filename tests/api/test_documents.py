"""Strict JSON: one way to read a document, and every mistake at its place."""

import contextlib
import datetime as dt
import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payadmin.kernel.documents import (
    Malformed,
    a_day,
    a_flag,
    a_text,
    a_whole,
    list_of,
    one_of,
    optional,
    read_document,
    record,
)
from payadmin.kernel.errors import Invalid

pytestmark = pytest.mark.once


class Fruit(enum.Enum):
    APPLE = "Apple"
    PEAR = "Pear"


SHAPE = record(
    name=a_text(10),
    amount=a_whole(least=1),
    day=optional(a_day()),
    fresh=optional(a_flag(), default=True),
    fruits=optional(list_of(one_of(Fruit), most=2), default=()),
)
RIGHT = {"name": "Ana", "amount": 5}


def read(document: object) -> Any:
    return read_document(json.dumps(document).encode(), SHAPE)


def mistakes(document: object) -> list[str]:
    with pytest.raises(Invalid) as refused:
        read(document)
    return [pointer for pointer, _ in refused.value.data["errors"]]


def test_a_right_document_becomes_what_code_works_with() -> None:
    assert read(RIGHT) == {"name": "Ana", "amount": 5, "day": None, "fresh": True, "fruits": ()}
    full = RIGHT | {"day": "2026-02-28", "fresh": False, "fruits": ["PEAR"]}
    assert read(full) == RIGHT | {"day": dt.date(2026, 2, 28), "fresh": False, "fruits": [Fruit.PEAR]}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "#/name"),
        ({"name": "x" * 11}, "#/name"),
        ({"name": " Ana"}, "#/name"),
        ({"name": "A\nna"}, "#/name"),
        ({"name": "\ud800"}, "#/name"),
        ({"name": "\x00"}, "#/name"),
        ({"name": 5}, "#/name"),
        ({"amount": 0}, "#/amount"),
        ({"amount": -1}, "#/amount"),
        ({"amount": 2**63}, "#/amount"),
        ({"amount": "5"}, "#/amount"),
        ({"amount": True}, "#/amount"),
        ({"amount": None}, "#/amount"),
        ({"day": "2026-2-28"}, "#/day"),
        ({"day": "2026-02-30"}, "#/day"),
        ({"day": "20260228"}, "#/day"),
        ({"day": 20260228}, "#/day"),
        ({"fresh": "yes"}, "#/fresh"),
        ({"fruits": ["PLUM"]}, "#/fruits/0"),
        ({"fruits": ["PEAR", "PEAR", "PEAR"]}, "#/fruits"),
        ({"fruits": []}, "#/fruits"),
        ({"fruits": {}}, "#/fruits"),
        ({"more": 1}, "#/more"),
        ({"a/b~c": 1}, "#/a~1b~0c"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(change: dict[str, Any], pointer: str) -> None:
    assert mistakes(RIGHT | change) == [pointer]


def test_every_mistake_is_told_but_not_without_end() -> None:
    assert mistakes({}) == ["#/name", "#/amount"]
    assert mistakes([]) == ["#"]
    assert len(mistakes(RIGHT | {f"x{number}": 1 for number in range(500)})) == 50


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nothing",
        b"\xff\xfe",
        b'{"amount": 5.0}',
        b'{"amount": 1e3}',
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"name": "a", "name": "b"}',
        b'{"amount": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_could_be_read_in_two_ways_is_no_document(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_document(body, SHAPE)


def test_a_card_number_is_refused() -> None:
    with pytest.raises(Invalid):
        read_document(b'{"note": "4111111111111111"}', record(note=a_text(40)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_JSON | st.fixed_dictionaries({"name": _JSON, "amount": _JSON}, optional={"day": _JSON, "fruits": _JSON}))
def test_any_document_is_read_or_refused(document: Any) -> None:
    with contextlib.suppress(Invalid):
        assert set(read(document)) == set(SHAPE.schema["properties"])


def test_the_schema_says_what_is_read() -> None:
    assert SHAPE.schema["required"] == ["name", "amount"]
    assert SHAPE.schema["additionalProperties"] is False
    assert SHAPE.schema["properties"]["amount"] == {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
