"""The rules of a draft: what is refused and where, their order, and two people at once."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select

from payadmin.actions import checkout
from payadmin.actions.checkout.versions import _RULE
from payadmin.db import db, utcnow
from payadmin.kernel.checkout import MOST_RULES
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.checkout import CheckoutRule
from payadmin.queries.checkout import known, ready, registry_of
from tests.support.checkout import API, CARD, PAYPAL, WEB, WIRE, Counter, over
from tests.support.races import at_once


def refused(counter: Counter, draft_id: int, **values: Any) -> list[tuple[list[Any], str]]:
    """Where a rule is refused, and why."""
    given = {"name": "web", "priority": 10, "conditions": [WEB], "methods": [CARD]} | values
    with pytest.raises(Invalid) as caught:
        checkout.save_rule(counter.admin, draft_id, **given)
    return [(each["place"], each["sentence"]) for each in caught.value.data["problems"]]


def fill(draft_id: int, number: int) -> None:
    """Many rules, behind everybody's back."""
    now = utcnow()
    rows = [
        {
            "ruleset_id": draft_id,
            "name": f"r{place}",
            "priority": place,
            "conditions": [over(place)],
            "methods": [CARD],
            "is_on": True,
            "created_at": now,
            "updated_at": now,
            "version": 1,
        }
        for place in range(1, number + 1)
    ]
    db.session.rollback()
    db.session.connection(execution_options={"immediate": True})
    db.session.execute(insert(_RULE).execution_options(explained=True), rows)
    db.session.commit()


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"name": ""}, ["id"]),
        ({"name": "a b"}, ["id"]),
        ({"name": "<b>"}, ["id"]),
        ({"name": "x" * 65}, ["id"]),
        ({"name": "Default"}, ["id"]),
        ({"priority": 0}, ["priority"]),
        ({"priority": -1}, ["priority"]),
        ({"priority": 10**9}, ["priority"]),
        ({"conditions": []}, ["conditions"]),
        ({"conditions": [WEB, {"key": "colour", "operator": "equal", "value": "red"}]}, ["conditions", 1, "key"]),
        ({"conditions": [{"key": "channel", "operator": "in", "value": []}]}, ["conditions", 0, "value"]),
        ({"conditions": [{"key": "channel", "operator": "less_than", "value": "WEB"}]}, ["conditions", 0, "operator"]),
        ({"conditions": [over(5, "XXX")]}, ["conditions", 0, "value"]),
        ({"methods": []}, ["methods"]),
        ({"methods": [CARD, CARD]}, ["methods", 1]),
        ({"methods": [{"provider": "simulator", "method": "coins"}]}, ["methods", 0]),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_at_its_place(
    counter: Counter, values: dict[str, Any], place: list[Any]
) -> None:
    draft_id = counter.draft()
    assert place in [found for found, _ in refused(counter, draft_id, **values)]
    assert counter.order(draft_id) == []


def test_every_mistake_of_a_rule_is_told_at_once(counter: Counter) -> None:
    draft_id = counter.draft()
    told = refused(counter, draft_id, name="a b", priority=0, conditions=[{}], methods=[])
    assert [place[0] for place, _ in told] == ["id", "priority", "conditions", "methods"]


def test_a_disabled_pair_cannot_be_saved_and_stays_in_rules_that_have_it(counter: Counter) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10, (WEB,), (PAYPAL, CARD))
    counter.disable("simulator", "paypal")
    assert refused(counter, draft_id, name="api", methods=[CARD, PAYPAL]) == [
        (["methods", 1], "simulator:paypal is disabled. Enable it on Provider methods, or leave it out.")
    ]
    row = db.session.get_one(CheckoutRule, rule_id)
    assert row.methods == [PAYPAL, CARD]


def test_default_has_no_conditions_and_no_priority(counter: Counter) -> None:
    draft_id = counter.draft()
    assert refused(counter, draft_id, name="default", priority=None)[0][0] == ["conditions"]
    assert refused(counter, draft_id, name="default", conditions=[])[0][0] == ["priority"]
    counter.rule(draft_id, "default")
    with pytest.raises(Conflict) as caught:
        counter.rule(draft_id, "default")
    assert caught.value.field == "id"


def test_a_priority_that_is_taken_is_refused_with_a_free_one(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "web", 10)
    counter.rule(draft_id, "api", 11, (API,))
    with pytest.raises(Conflict, match=r"“web” has the priority 10\. The next free one is 12\.") as caught:
        counter.rule(draft_id, "other", 10)
    assert caught.value.field == "priority"


def test_a_rule_without_a_priority_comes_after_all_others(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "first")
    counter.rule(draft_id, "second", None, (API,))
    counter.rule(draft_id, "default")
    assert counter.order(draft_id) == [("first", 10), ("second", 20), ("default", None)]


def test_a_save_over_somebody_elses_is_refused(counter: Counter) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10)
    version = db.session.get_one(CheckoutRule, rule_id).version
    counter.rule(draft_id, "web", 10, (API,), rule_id=rule_id, version=version)
    with pytest.raises(Conflict, match="while you were editing") as caught:
        counter.rule(draft_id, "web", 10, (WEB,), (WIRE,), rule_id=rule_id, version=version)
    assert caught.value.data["now"] == version + 1
    assert db.session.get_one(CheckoutRule, rule_id).conditions == [API]


def test_saving_what_a_rule_says_already_records_nothing(counter: Counter) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10)
    before = counter.ruleset(draft_id).version
    counter.rule(draft_id, "web", 10, rule_id=rule_id, version=1)
    assert counter.ruleset(draft_id).version == before


def test_a_copy_is_off_and_at_the_end(counter: Counter) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10)
    counter.rule(draft_id, "default")
    assert checkout.copy_rule(counter.admin, draft_id, rule_id=rule_id).name == "web-copy"
    row = checkout.copy_rule(counter.admin, draft_id, rule_id=rule_id)
    assert (row.name, row.priority, row.is_on) == ("web-copy2", 30, False)
    with pytest.raises(Conflict, match="cannot be copied"):
        checkout.copy_rule(counter.admin, draft_id, rule_id=counter.id_of(draft_id, "default"))


def test_a_rule_is_switched_off_and_on_in_its_place(counter: Counter) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10)
    for is_on in (False, False, True):
        checkout.switch_rule(counter.admin, draft_id, rule_id=rule_id, is_on=is_on)
    events = select(AuditEvent.id).where(AuditEvent.event == "checkout.rule.switched")
    assert len(db.session.scalars(events).all()) == 2
    assert counter.order(draft_id) == [("web", 10)]


def test_a_rule_of_another_version_is_not_touched(counter: Counter) -> None:
    mine, theirs = counter.draft(), counter.draft()
    rule_id = counter.rule(theirs, "web", 10)
    for act in (
        lambda: checkout.delete_rule(counter.admin, mine, rule_id=rule_id),
        lambda: checkout.switch_rule(counter.admin, mine, rule_id=rule_id, is_on=False),
        lambda: checkout.copy_rule(counter.admin, mine, rule_id=rule_id),
        lambda: checkout.move_rule(
            counter.admin, mine, rule_id=rule_id, place=1, version=counter.ruleset(mine).version
        ),
    ):
        with pytest.raises(Conflict, match="another version"):
            act()
    with pytest.raises(NotFound):
        checkout.delete_rule(counter.admin, mine, rule_id=999)


@pytest.mark.parametrize(
    ("name", "place", "order"),
    [
        ("c", 1, "cabde"),
        ("a", 3, "bcade"),
        ("e", 2, "aebcd"),
        ("a", 99, "bcdea"),
        ("e", 0, "eabcd"),
        ("b", 2, "abcde"),
    ],
)
def test_a_rule_that_moves_takes_a_place_and_the_priorities_stay(
    counter: Counter, name: str, place: int, order: str
) -> None:
    draft_id = counter.draft()
    for letter, priority in zip("abcde", (1, 5, 7, 100, 2000), strict=True):
        counter.rule(draft_id, letter, priority, (over(priority),))
    counter.rule(draft_id, "default")
    version = counter.ruleset(draft_id).version
    now = checkout.move_rule(
        counter.admin, draft_id, rule_id=counter.id_of(draft_id, name), place=place, version=version
    )
    found = counter.order(draft_id)
    assert "".join(each for each, _ in found[:-1]) == order
    assert [priority for _, priority in found] == [1, 5, 7, 100, 2000, None]
    assert found[now - 1][0] == name


def test_default_is_always_last(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "web", 10)
    rule_id = counter.rule(draft_id, "default")
    with pytest.raises(Invalid, match="always last"):
        checkout.move_rule(counter.admin, draft_id, rule_id=rule_id, place=1, version=counter.ruleset(draft_id).version)


def test_of_two_people_who_move_rules_at_once_one_looks_again(counter: Counter, app: Flask) -> None:
    draft_id = counter.draft()
    ids = [counter.rule(draft_id, name, None, (over(place + 1),)) for place, name in enumerate("abcd")]
    version = counter.ruleset(draft_id).version
    db.session.rollback()
    answers = at_once(
        app,
        [
            lambda: checkout.move_rule(counter.admin, draft_id, rule_id=ids[0], place=4, version=version),
            lambda: checkout.move_rule(counter.admin, draft_id, rule_id=ids[3], place=1, version=version),
        ],
    )
    assert sorted(type(answer) for answer in answers if isinstance(answer, Exception)) == [Conflict]
    order = "".join(name for name, _ in counter.order(draft_id))
    assert order in {"bcda", "dabc"}


def test_of_two_people_who_take_a_priority_at_once_one_is_told(counter: Counter, app: Flask) -> None:
    draft_id = counter.draft()
    db.session.rollback()
    answers = at_once(
        app,
        [
            lambda: counter.rule(draft_id, "web", 10),
            lambda: counter.rule(draft_id, "api", 10, (API,)),
        ],
    )
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [Conflict]
    assert len(counter.order(draft_id)) == 1


def test_two_thousand_rules_are_moved_copied_and_judged_and_no_more_are_taken(counter: Counter) -> None:
    draft_id = counter.draft()
    fill(draft_id, MOST_RULES)
    with pytest.raises(Conflict, match="at most 2,000 rules"):
        counter.rule(draft_id, "one-more", 5000)
    last = counter.id_of(draft_id, f"r{MOST_RULES}")
    version = counter.ruleset(draft_id).version
    assert checkout.move_rule(counter.admin, draft_id, rule_id=last, place=1, version=version) == 1
    assert counter.order(draft_id)[0] == (f"r{MOST_RULES}", 1)
    copy = counter.draft(draft_id)
    assert len(counter.order(copy)) == MOST_RULES
    found = known(db.session())
    findings = ready(db.session(), draft_id, registry_of(db.session())).findings(found.enabled)
    # r1 applies to everything above 0.01, and so do all before it; only the first two places can ever decide.
    assert len(findings) == MOST_RULES - 2
    assert all(finding.is_dead for finding in findings)
