"""What is said about rules before they are activated: shadowed, unreachable, disabled; and what differs in two."""

from typing import Any

import pytest

from payadmin.kernel.checkout import Pair, Rule, RuleSet, differences
from payadmin.kernel.conditions import Amount, Condition, Operator, Registry
from payadmin.kernel.matching import Cover, Effort, Matcher
from payadmin.queries.checkout import checkout_registry

pytestmark = pytest.mark.once

O = Operator  # noqa: E741 - read in tables
REGISTRY: Registry = checkout_registry({"EUR": 2, "USD": 2})
CARD, PAYPAL = Pair("simulator", "card"), Pair("simulator", "paypal")
WEB = Condition("channel", O.EQUAL, "WEB")
NOT_WEB = Condition("channel", O.NOT_EQUAL, "WEB")


def euros(operator: Operator, minor: int) -> Condition:
    return Condition("amount", operator, Amount(minor, "EUR"))


def found(*rules: tuple[str, tuple[Condition, ...]], enabled: tuple[Pair, ...] = (CARD, PAYPAL)) -> dict[str, str]:
    """Rule → what is said about it."""
    made = [
        Rule(name, None if name == "default" else place, conditions, (CARD, PAYPAL))
        for place, (name, conditions) in enumerate(rules, 1)
    ]
    return {each.rule: str(each.sentence) for each in RuleSet(REGISTRY, made).findings(enabled)}


def test_a_rule_behind_a_wider_one_is_shadowed_and_the_wider_one_is_named() -> None:
    told = found(("web", (WEB,)), ("web-large", (WEB, euros(O.GREATER_THAN, 100_00))), ("default", ()))
    assert told.keys() == {"web-large"}
    assert "“web” comes first" in told["web-large"]


def test_rules_that_only_together_leave_nothing_are_all_named() -> None:
    told = found(("web", (WEB,)), ("rest", (NOT_WEB,)), ("large", (euros(O.GREATER_THAN, 1),)), ("default", ()))
    assert told.keys() == {"large", "default"}
    assert "“web”, “rest” come first and together leave nothing" in told["large"]


def test_neighbouring_amounts_are_whole_so_what_lies_between_is_nothing() -> None:
    told = found(
        ("up", (euros(O.LESS_OR_EQUAL_THAN, 10_00),)),
        ("down", (euros(O.GREATER_OR_EQUAL_THAN, 10_01),)),
        ("euros", (Condition("currency", O.EQUAL, "EUR"),)),
    )
    assert told.keys() == {"euros"}


@pytest.mark.parametrize(
    "conditions",
    [
        (WEB, Condition("channel", O.EQUAL, "API")),
        (euros(O.GREATER_THAN, 100), euros(O.LESS_THAN, 101)),
        (euros(O.GREATER_THAN, 100), Condition("amount", O.GREATER_THAN, Amount(100, "USD"))),
        (euros(O.GREATER_THAN, 100), Condition("currency", O.EQUAL, "USD")),
        (euros(O.LESS_THAN, 1),),
        (Condition("channel", O.NOT_IN, ("WEB", "MOBILE_APP", "CALL_CENTRE", "POINT_OF_SALE", "API")),),
        (Condition("colour", O.EQUAL, "red"),),
    ],
)
def test_conditions_that_can_never_all_hold_make_a_rule_unreachable(conditions: tuple[Condition, ...]) -> None:
    told = found(("odd", conditions), ("default", ()))
    assert told["odd"].startswith("Unreachable")


def test_what_a_checkout_may_leave_out_is_never_taken_for_covered() -> None:
    merchant = Condition("user_type", O.EQUAL, "MERCHANT")
    other = Condition("user_type", O.NOT_EQUAL, "MERCHANT")
    assert found(("a", (merchant,)), ("b", (other,)), ("c", (WEB,)), ("default", ())) == {}


def test_rules_that_are_off_shadow_nothing_and_are_not_spoken_of() -> None:
    rules = [
        Rule("all-web", 1, (WEB,), (CARD,), is_on=False),
        Rule("web", 2, (WEB,), (CARD,)),
        Rule("again", 3, (WEB,), (CARD,), is_on=False),
    ]
    assert RuleSet(REGISTRY, rules).findings((CARD,)) == []


def test_disabled_pairs_are_told() -> None:
    told = found(("web", (WEB,)), ("default", ()), enabled=(CARD,))
    assert told == dict.fromkeys(("web", "default"), "Disabled and therefore not offered: simulator:paypal.")
    told = found(("web", (WEB,)), enabled=())
    assert "offered nothing" in told["web"]


def test_each_rule_is_explained_by_the_conditions_that_failed() -> None:
    facts: dict[str, Any] = {"amount": Amount(50_00, "EUR"), "channel": "API"}
    rules = [
        Rule("web-large", 1, (WEB, euros(O.GREATER_THAN, 100_00)), (CARD,)),
        Rule("books", 2, (Condition("product_category", O.EQUAL, "books"),), (CARD,)),
        Rule("default", None, (), (CARD,)),
    ]
    judged = {each.rule.name: [one.key for one in each.failed] for each in RuleSet(REGISTRY, rules).explain(facts)}
    assert judged == {"web-large": ["channel", "amount"], "books": ["product_category"], "default": []}


def test_differences_name_what_was_added_removed_and_changed_in_which_part() -> None:
    before = [Rule("a", 1, (WEB,), (CARD,)), Rule("b", 2, (NOT_WEB,), (CARD,)), Rule("same", 3, (WEB,), (CARD,))]
    after = [
        Rule("b", 1, (NOT_WEB,), (CARD, PAYPAL), is_on=False),
        Rule("same", 3, (WEB,), (CARD,)),
        Rule("c", 2, (WEB,), (CARD,)),
    ]
    told = [(each.name, each.before is None, each.after is None, each.parts) for each in differences(before, after)]
    assert told == [
        ("b", False, False, ("priority", "methods", "on")),
        ("c", True, False, ()),
        ("a", False, True, ()),
    ]


def test_what_is_looked_for_in_thousands_of_rules_and_words_has_an_end() -> None:
    everything, none = Effort(), Effort(cells=60_000, steps=1_000)
    rules = [
        (
            Condition("product_category", O.NOT_IN, tuple(f"word {place} {number}" for number in range(50))),
            euros(O.GREATER_THAN, place + 1),
        )
        for place in range(100)
    ]
    matcher = Matcher(REGISTRY, [*rules, (WEB,), (WEB, euros(O.EQUAL, 5))])
    assert matcher.cover(101, everything) == Cover(by=(100,), alone=True)
    before = everything.cells
    told = [matcher.cover(place, none) for place in range(102)]
    assert told[:2] == [matcher.cover(0), matcher.cover(1)]
    assert told[-1] is None
    assert before > 0
