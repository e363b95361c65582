"""Conditions: what they mean, what is refused and where, and that the fast way of deciding means the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payadmin.kernel.conditions import (
    MOST_VALUES,
    OPERATORS,
    SETS,
    Amount,
    Condition,
    Key,
    KeyKind,
    Operator,
    Registry,
    read_conditions,
    words_of,
)
from payadmin.kernel.matching import Matcher

pytestmark = pytest.mark.once

UNITS = {"EUR": 2, "JPY": 0}
REGISTRY = Registry.of(
    Key("amount", "Amount", KeyKind.MONEY),
    Key("currency", "Currency", KeyKind.CHOICE, {"EUR": "EUR", "JPY": "JPY"}, unit_of="amount"),
    Key("channel", "Channel", KeyKind.CHOICE, {"WEB": "Web", "API": "API", "POS": "Point of sale"}),
    Key("category", "Category", KeyKind.TEXT, always=False),
    Key("tries", "Tries", KeyKind.NUMBER, always=False),
    scales=UNITS,
)
O = Operator  # noqa: E741

AMOUNTS = st.builds(Amount, st.integers(1, 6), st.sampled_from(["EUR", "JPY"]))
VALUES = {
    "amount": AMOUNTS,
    "currency": st.sampled_from(["EUR", "JPY"]),
    "channel": st.sampled_from(["WEB", "API", "POS"]),
    "category": st.sampled_from(["books", "Toys", "food"]),
    "tries": st.integers(-2, 3),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(sorted(VALUES)))
    operator = draw(st.sampled_from(OPERATORS[REGISTRY.keys[name].kind]))
    if operator in SETS:
        return Condition(name, operator, tuple(draw(st.lists(VALUES[name], min_size=1, max_size=3, unique=True))))
    return Condition(name, operator, draw(VALUES[name]))


RULES = st.lists(st.lists(conditions(), max_size=3), max_size=6)
FACTS = st.fixed_dictionaries(
    {
        "amount": st.builds(Amount, st.integers(1, 8), st.sampled_from(["EUR", "JPY"])),
        "channel": st.sampled_from(["WEB", "API", "POS"]),
        "category": st.sampled_from([None, "books", "TOYS", "pets"]),
        "tries": st.one_of(st.none(), st.integers(-4, 5)),
    }
)


def naive(rules: list[list[Condition]], facts: dict[str, object]) -> int | None:
    for place, rule in enumerate(rules):
        if all(each.holds(REGISTRY.fact(facts, each.key)) for each in rule):  # type: ignore[arg-type]
            return place
    return None


@settings(max_examples=400, deadline=None)
@given(RULES, st.lists(FACTS, min_size=1, max_size=6))
def test_the_fast_way_decides_like_asking_one_by_one(
    rules: list[list[Condition]], every: list[dict[str, object]]
) -> None:
    matcher = Matcher(REGISTRY, rules)
    for facts in every:
        assert matcher.first(facts) == naive(rules, facts)  # type: ignore[arg-type]


def everything() -> list[dict[str, object]]:
    """Facts that stand for all there can be with the values above."""
    return [
        {"amount": Amount(minor, unit), "channel": channel, "category": category, "tries": tries}
        for minor in range(1, 8)
        for unit in UNITS
        for channel in ("WEB", "API", "POS")
        for category in (None, "books", "toys", "food", "other")
        for tries in (None, *range(-3, 5))
    ]


EVERYTHING = everything()


@settings(max_examples=80, deadline=None)
@given(RULES)
def test_a_rule_is_called_unreachable_exactly_when_nothing_reaches_it(rules: list[list[Condition]]) -> None:
    matcher = Matcher(REGISTRY, rules)
    reached = {matcher.first(facts) for facts in EVERYTHING}  # type: ignore[arg-type]
    for place in range(len(rules)):
        assert (matcher.cover(place) is None) == (place in reached)


def test_an_amount_in_another_currency_satisfies_nothing() -> None:
    hundred = Amount(100_00, "EUR")
    for operator in OPERATORS[KeyKind.MONEY]:
        assert not Condition("amount", operator, hundred).holds(Amount(100_00, "JPY"))


def test_a_fact_that_is_not_given_satisfies_nothing_not_even_is_not() -> None:
    assert not Condition("category", O.NOT_EQUAL, "books").holds(None)
    assert not Condition("category", O.NOT_IN, ("books",)).holds(None)


def test_capitals_and_spaces_of_texts_make_no_difference() -> None:
    assert Condition("category", O.EQUAL, "Books and  Toys").holds("books AND toys")


def test_a_condition_reads_as_a_sentence() -> None:
    assert (
        words_of(Condition("amount", O.GREATER_THAN, Amount(123450, "EUR")), REGISTRY)
        == "Amount is more than 1,234.50 EUR"
    )
    assert words_of(Condition("channel", O.IN, ("WEB", "POS")), REGISTRY) == "Channel is one of Web, Point of sale"


def test_what_is_read_back_is_what_was_written() -> None:
    written = (
        Condition("amount", O.LESS_THAN, Amount(5, "JPY")),
        Condition("channel", O.NOT_IN, ("WEB",)),
        Condition("tries", O.GREATER_OR_EQUAL_THAN, 3),
    )
    assert read_conditions([each.as_json() for each in written], REGISTRY) == (written, [])


@pytest.mark.parametrize(
    ("raw", "part", "told"),
    [
        ("channel is Web", None, "A condition has a key"),
        ({"key": "colour", "operator": "equal", "value": "red"}, "key", "cannot be asked about"),
        ({"key": ["channel"], "operator": "equal", "value": "WEB"}, "key", "cannot be asked about"),
        ({"key": "channel", "operator": "like", "value": "WEB"}, "operator", "is no operator"),
        ({"key": "channel", "operator": "less_than", "value": "WEB"}, "operator", "cannot be compared"),
        ({"key": "amount", "operator": "in", "value": []}, "operator", "cannot be compared"),
        ({"key": "channel", "operator": "equal", "value": "Web"}, "value", "is no value of Channel"),
        ({"key": "channel", "operator": "equal", "value": 1}, "value", "is no value of Channel"),
        ({"key": "channel", "operator": "equal", "value": ["WEB"]}, "value", "not a list"),
        ({"key": "channel", "operator": "in", "value": "WEB"}, "value", "Give a list"),
        ({"key": "channel", "operator": "in", "value": []}, "value", "at least one value"),
        ({"key": "channel", "operator": "in", "value": ["WEB", "WEB"]}, "value", "twice"),
        ({"key": "category", "operator": "in", "value": ["x"] * (MOST_VALUES + 1)}, "value", "at most"),
        ({"key": "category", "operator": "equal", "value": " "}, "value", "not an empty one"),
        ({"key": "category", "operator": "equal", "value": "x" * 65}, "value", "at most 64"),
        ({"key": "tries", "operator": "equal", "value": "3"}, "value", "whole number"),
        ({"key": "tries", "operator": "equal", "value": True}, "value", "whole number"),
        ({"key": "tries", "operator": "equal", "value": 10**40}, "value", "too large"),
        ({"key": "amount", "operator": "equal", "value": 100}, "value", "amount_minor and unit"),
        (
            {"key": "amount", "operator": "equal", "value": {"amount_minor": 1.5, "unit": "EUR"}},
            "value",
            "whole number",
        ),
        (
            {"key": "amount", "operator": "equal", "value": {"amount_minor": 0, "unit": "EUR"}},
            "value",
            "more than zero",
        ),
        (
            {"key": "amount", "operator": "equal", "value": {"amount_minor": 1, "unit": "XXX"}},
            "value",
            "known currency",
        ),
        ({"key": "channel", "operator": "equal", "value": "WEB", "colour": 1}, None, "not “colour”"),
    ],
)
def test_a_mistake_is_told_at_its_place(raw: object, part: str | None, told: str) -> None:
    _, problems = read_conditions([{"key": "channel", "operator": "equal", "value": "API"}, raw], REGISTRY)
    assert len(problems) == 1
    assert problems[0].place == ((1,) if part is None else (1, part))
    assert told in problems[0].sentence


def test_a_condition_that_stands_twice_is_refused() -> None:
    same = {"key": "channel", "operator": "equal", "value": "API"}
    _, problems = read_conditions([same, same], REGISTRY)
    assert [problem.place for problem in problems] == [(1, "key")]


def test_conditions_that_are_no_list_or_too_many_are_refused_as_a_whole() -> None:
    for raw in ({}, "x", None, 3, [{}] * 21):
        read, problems = read_conditions(raw, REGISTRY)
        assert read == ()
        assert [problem.place for problem in problems] == [()]
