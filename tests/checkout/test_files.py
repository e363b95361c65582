"""Files of rules: what is exported is imported as it was; a file with a mistake is refused whole, at its place."""

import json
import time
from typing import Any

import pytest

from payadmin.actions import checkout
from payadmin.db import db
from payadmin.kernel.checkout_files import FORMAT, rules_text
from payadmin.kernel.errors import Invalid
from payadmin.queries.checkout import rules_of
from tests.support.checkout import API, CARD, PAYPAL, WEB, WIRE, Counter, over

GOOD: dict[str, Any] = {"id": "web", "priority": 1, "conditions": [dict(WEB)], "methods": [dict(CARD)]}


def refused(counter: Counter, text: str) -> list[tuple[str, str]]:
    """Where a file is refused, and why; nothing of it is kept."""
    with pytest.raises(Invalid, match="Nothing was imported") as caught:
        checkout.import_draft(counter.admin, text=text)
    return [(each["place"], each["sentence"]) for each in caught.value.data["problems"]]


def file_of(*rules: Any, **more: Any) -> str:
    return json.dumps({"format": FORMAT, "rules": list(rules)} | more)


def test_what_was_exported_is_imported_as_it_was(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "large", 5, (over(100_00), WEB), (WIRE, CARD))
    counter.rule(draft_id, "some", 7, ({"key": "channel", "operator": "in", "value": ["WEB", "API"]},), is_on=False)
    counter.rule(draft_id, "books", 9, ({"key": "product_category", "operator": "not_equal", "value": "Bücher"},))
    counter.rule(draft_id, "default", None, (), (PAYPAL,))
    rules = rules_of(db.session(), draft_id)
    text = rules_text(rules, version=draft_id, note="Christmas")
    copy = checkout.import_draft(counter.admin, text=text, note="Came back").id
    assert rules_of(db.session(), copy) == rules
    assert counter.ruleset(copy).note == "Came back"


def test_a_file_may_hold_no_rules(counter: Counter) -> None:
    draft_id = checkout.import_draft(counter.admin, text=rules_text([])).id
    assert counter.order(draft_id) == []


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("", "line 1, column 1", "not JSON"),
        ("{", "line 1, column 2", "not JSON"),
        ('{"format": 1,\n  oops}', "line 2, column 3", "not JSON"),
        ("[" * 100_000, "", "nested too deeply"),
        ("[]", "", "is an object"),
        ("null", "", "is an object"),
        ('{"format": "other", "rules": []}', "format", "no file of checkout rules"),
        (file_of(rules={}), "rules", "is a list"),
        ('{"format": 1, "format": 2}', "", "“format” stands twice"),
        ('{"format": NaN}', "", "“NaN” is not JSON"),
        ('{"format": 1.5}', "format", "no file of checkout rules"),
    ],
)
def test_what_is_no_file_of_rules_says_why(counter: Counter, text: str, place: str, told: str) -> None:
    found = refused(counter, text)
    assert [each for each, _ in found] == [place]
    assert told in found[0][1]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": 5}, "rules[1].id"),
        ({"priority": "1"}, "rules[1].priority"),
        ({"priority": True}, "rules[1].priority"),
        ({"priority": 1.5}, "rules[1].priority"),
        ({"id": 1.5}, "rules[1].id"),
        ({"on": 1.0}, "rules[1].on"),
        ({"conditions": [{"key": "amount", "operator": "equal", "value": 12.5}]}, "rules[1].conditions[0].value"),
        ({"conditions": [{"key": "channel", "operator": "equal", "value": 1.5}]}, "rules[1].conditions[0].value"),
        ({"conditions": [{"key": 1.5, "operator": 2.5, "value": 1}]}, "rules[1].conditions[0].key"),
        ({"methods": [{"provider": 1.5, "method": "card"}]}, "rules[1].methods[0]"),
        ({"conditions": []}, "rules[1].conditions"),
        ({"conditions": [API, {"key": "colour", "operator": "equal", "value": 1}]}, "rules[1].conditions[1].key"),
        ({"conditions": [{"key": "amount", "operator": "equal", "value": "10"}]}, "rules[1].conditions[0].value"),
        ({"conditions": [{"key": "channel", "operator": "in", "value": []}]}, "rules[1].conditions[0].value"),
        ({"conditions": {}}, "rules[1].conditions"),
        ({"methods": []}, "rules[1].methods"),
        ({"methods": [{"provider": "simulator"}]}, "rules[1].methods[0]"),
        ({"methods": [CARD, {"provider": "x", "method": "y"}]}, "rules[1].methods[1]"),
        ({"on": "yes"}, "rules[1].on"),
        ({"colour": "red"}, "rules[1].colour"),
        ({"id": "web"}, "rules[1].id"),
        ({"priority": 1}, "rules[1].priority"),
    ],
)
def test_a_mistake_in_a_file_is_told_at_its_place(counter: Counter, change: dict[str, Any], place: str) -> None:
    other = {"id": "api", "priority": 2, "conditions": [dict(API)], "methods": [dict(CARD)]} | change
    assert [each for each, _ in refused(counter, file_of(GOOD, other))] == [place]


def test_a_disabled_pair_in_a_file_is_told_at_its_place(counter: Counter) -> None:
    counter.disable("simulator", "card")
    assert refused(counter, file_of(GOOD))[0][0] == "rules[0].methods[0]"


def test_a_rule_that_is_no_rule_is_told(counter: Counter) -> None:
    assert refused(counter, file_of(GOOD, "x")) == [("rules[1]", "A rule is an object.")]


def test_ten_thousand_rules_are_refused_at_once_and_ten_thousand_mistakes_are_not_all_told(counter: Counter) -> None:
    found = refused(counter, file_of(*({"id": "x"} for _ in range(10_000))))
    assert found == [("rules", "The file has 10,000 rules; a version has at most 2,000.")]
    assert len(refused(counter, file_of(*({"id": "x y"} for _ in range(2_000))))) == 200


def test_a_file_that_is_too_large_is_refused_unread(counter: Counter) -> None:
    assert refused(counter, "x" * 4_000_001)[0][1] == "The file is larger than 4 MB."


def test_a_name_that_stands_twice_among_thousands_is_found_at_once(counter: Counter) -> None:
    names = ",".join(f'"n{number}": 0' for number in range(100_000))
    began = time.process_time()
    assert "“n7” stands twice" in refused(counter, f'{{{names}, "n7": 1}}')[0][1]
    assert time.process_time() - began < 5


def test_card_numbers_get_into_no_rule(counter: Counter) -> None:
    card = "4111 1111 1111 1111"
    words = {"key": "product_category", "operator": "in", "value": ["books", card]}
    assert refused(counter, file_of(GOOD | {"conditions": [words]})) == [
        ("rules[0].conditions[0].value", "This holds a card number. Write its last four digits only.")
    ]
    assert refused(counter, file_of(GOOD | {"id": card.replace(" ", "-")}))[0][0] == "rules[0].id"


def test_hostile_words_come_back_as_words(counter: Counter) -> None:
    found = refused(counter, file_of(GOOD | {"id": "<script>alert(1)</script>"}, {"\u202e\x00": 1}))
    assert all(sentence.isprintable() and place.isprintable() for place, sentence in found)
