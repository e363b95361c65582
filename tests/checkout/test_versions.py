"""Versions: drafts are written, one is active, and what was active is never changed again."""

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from payadmin.actions import checkout
from payadmin.db import db
from payadmin.kernel.conditions import Amount
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NeedsApproval, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.checkout import CheckoutRuleset, RulesetStatus
from payadmin.permissions import Role
from payadmin.queries.checkout import active_id, offer_for, rules_of
from tests.support.approvals import Room
from tests.support.checkout import API, CARD, PAYPAL, WEB, WIRE, Counter, over
from tests.support.make import Make
from tests.support.races import at_once

OF_WEB = {"amount": Amount(50_00, "EUR"), "channel": "WEB"}


def methods(counter: Counter) -> list[str]:
    """What a checkout on the web over 50.00 EUR is offered."""
    offer = offer_for(db.session(), OF_WEB)
    db.session.rollback()
    return [pair.method for pair in offer.decision.methods]


def test_without_an_active_version_nothing_is_offered(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    assert offer_for(db.session(), OF_WEB).ruleset_id is None
    assert methods(counter) == []


def test_a_draft_decides_once_it_is_active_and_not_before(counter: Counter) -> None:
    first = counter.active(("default", (), (CARD,)))
    draft_id = counter.draft(first)
    counter.rule(draft_id, "web", 5, (WEB,), (PAYPAL, CARD))
    assert methods(counter) == ["card"]
    counter.activate(draft_id)
    assert methods(counter) == ["paypal", "card"]
    assert counter.ruleset(first).status is RulesetStatus.ARCHIVED
    assert active_id(db.session()) == draft_id


def test_the_lowest_priority_number_comes_first_and_default_last(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default", None, (), (WIRE,))
    counter.rule(draft_id, "late", 20, (WEB,), (CARD,))
    counter.rule(draft_id, "early", 10, (WEB,), (PAYPAL,))
    counter.activate(draft_id)
    assert methods(counter) == ["paypal"]


def test_a_pair_that_is_disabled_later_is_left_out_at_once(counter: Counter) -> None:
    counter.active(("web", (WEB,), (PAYPAL, CARD)), ("default", (), (WIRE,)))
    counter.disable("simulator", "paypal")
    assert methods(counter) == ["card"]
    counter.disable("simulator", "card")
    assert methods(counter) == [], "the rules after it are not asked instead"


def test_an_older_version_comes_back_as_a_draft_of_its_own(counter: Counter) -> None:
    first = counter.active(("web", (WEB,), (CARD,)), ("default", (), (WIRE,)))
    second = counter.draft()
    counter.rule(second, "default", None, (), (PAYPAL,))
    counter.activate(second)
    back = counter.draft(first)
    assert rules_of(db.session(), back) == rules_of(db.session(), first)
    counter.activate(back)
    assert methods(counter) == ["card"]
    assert counter.ruleset(back).digest == counter.ruleset(first).digest


def test_a_draft_that_was_changed_since_it_was_looked_at_is_not_activated(counter: Counter) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    seen = counter.ruleset(draft_id).version
    counter.rule(draft_id, "web", 10)
    with pytest.raises(Conflict, match="changed since you looked") as caught:
        counter.activate(draft_id, version=seen)
    assert caught.value.data["now"] == counter.ruleset(draft_id).version
    assert active_id(db.session()) is None


def test_a_draft_that_was_compared_with_another_version_is_not_activated(counter: Counter) -> None:
    first = counter.active(("default", (), (CARD,)))
    mine, theirs = counter.draft(first), counter.draft(first)
    counter.activate(theirs)
    with pytest.raises(Conflict, match="became active meanwhile"):
        counter.activate(mine, replaces_id=first)
    assert active_id(db.session()) == theirs
    counter.activate(mine, replaces_id=theirs)
    assert active_id(db.session()) == mine


def test_rules_that_decide_nothing_are_not_activated(counter: Counter) -> None:
    draft_id = counter.draft()
    with pytest.raises(Conflict, match="it has none"):
        counter.activate(draft_id)
    counter.rule(draft_id, "web", 10, is_on=False)
    with pytest.raises(Conflict, match="is off"):
        counter.activate(draft_id)


@pytest.mark.parametrize("with_active", [True, False])
def test_of_many_activations_at_once_one_wins(counter: Counter, app: Flask, with_active: bool) -> None:
    before = counter.active(("default", (), (WIRE,))) if with_active else None
    drafts = []
    for number in range(4):
        draft_id = counter.draft()
        counter.rule(draft_id, "default", None, (), (CARD,) if number % 2 else (PAYPAL,))
        drafts.append((draft_id, counter.ruleset(draft_id).version))
    db.session.rollback()

    def act(draft_id: int, version: int) -> object:
        return checkout.activate_ruleset(counter.admin, draft_id, version=version, replaces_id=before)

    answers = at_once(app, [lambda d=draft: act(*d) for draft in drafts])  # type: ignore[misc]
    won = [draft for draft, answer in zip(drafts, answers, strict=True) if not isinstance(answer, Exception)]
    lost = [answer for answer in answers if isinstance(answer, Exception)]
    assert len(won) == 1
    assert all(isinstance(answer, Conflict) for answer in lost), lost
    assert active_id(db.session()) == won[0][0]
    active = select(CheckoutRuleset.id).where(CheckoutRuleset.status == RulesetStatus.ACTIVE)
    assert db.session.scalars(active).all() == [won[0][0]]


def test_a_rule_is_never_written_into_a_version_while_it_becomes_active(counter: Counter, app: Flask) -> None:
    for _ in range(3):
        draft_id = counter.draft()
        counter.rule(draft_id, "default")
        seen, before = counter.ruleset(draft_id).version, active_id(db.session())
        db.session.rollback()
        answers = at_once(
            app,
            [
                lambda d=draft_id, v=seen, b=before: checkout.activate_ruleset(  # type: ignore[misc]
                    counter.admin, d, version=v, replaces_id=b
                ),
                lambda d=draft_id: counter.rule(d, "web", 10),  # type: ignore[misc]
            ],
        )
        assert sum(isinstance(answer, Conflict) for answer in answers) == 1, answers
        found = counter.ruleset(draft_id)
        names = [name for name, _ in counter.order(draft_id)]
        assert names == (["default"] if found.status is RulesetStatus.ACTIVE else ["web", "default"])


def test_a_discarded_draft_is_kept_and_can_be_copied(counter: Counter) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10)
    checkout.discard_draft(counter.admin, draft_id)
    assert counter.ruleset(draft_id).status is RulesetStatus.ARCHIVED
    for act in (
        lambda: checkout.discard_draft(counter.admin, draft_id),
        lambda: checkout.delete_rule(counter.admin, draft_id, rule_id=rule_id),
        lambda: checkout.rename_draft(counter.admin, draft_id, note="x"),
        lambda: counter.activate(draft_id),
    ):
        with pytest.raises(Conflict, match="Start a draft from it"):
            act()
    assert counter.order(counter.draft(draft_id)) == [("web", 10)]


def test_a_draft_says_what_it_is_for(counter: Counter) -> None:
    draft_id = counter.draft()
    checkout.rename_draft(counter.admin, draft_id, note="  Christmas   sale ")
    assert counter.ruleset(draft_id).note == "Christmas sale"
    with pytest.raises(Invalid) as caught:
        checkout.rename_draft(counter.admin, draft_id, note="x" * 301)
    assert caught.value.field == "note"


def test_there_is_an_end_to_drafts(counter: Counter) -> None:
    for _ in range(20):
        counter.draft()
    with pytest.raises(Conflict, match="20 drafts"):
        counter.draft()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM checkout_ruleset WHERE id = :id",
        "UPDATE checkout_ruleset SET status = 'DRAFT', activated_at = NULL, digest = NULL WHERE id = :id",
        "UPDATE checkout_ruleset SET note = 'other' WHERE id = :id",
        "UPDATE checkout_ruleset SET digest = 'other' WHERE id = :id",
        "UPDATE checkout_rule SET priority = 77 WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET ruleset_id = :draft WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET ruleset_id = :id WHERE ruleset_id = :draft",
        "DELETE FROM checkout_rule WHERE ruleset_id = :id",
    ],
)
def test_the_database_keeps_what_was_active(counter: Counter, statement: str) -> None:
    active = counter.active(("web", (WEB,), (CARD,)), ("default", (), (WIRE,)))
    draft_id = counter.draft()
    counter.rule(draft_id, "other", 5)
    before = counter.order(active)
    values = {"id": active} | ({"draft": draft_id} if ":draft" in statement else {})
    with pytest.raises(DatabaseError, match="never changed"):
        db.session.execute(text(statement), values)
    db.session.rollback()
    assert counter.order(active) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkout_rule SET priority = NULL WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET conditions = '[]' WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET priority = 0 WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET priority = 20 WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET name = 'api' WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_rule SET name = 'default' WHERE ruleset_id = :id AND name = 'web'",
        "UPDATE checkout_ruleset SET activated_at = created_at WHERE id = :id",
        "UPDATE checkout_ruleset SET status = 'ARCHIVED' WHERE id = :id",
    ],
)
def test_the_database_refuses_a_draft_that_makes_no_sense(counter: Counter, statement: str) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "web", 10)
    counter.rule(draft_id, "api", 20, (API,))
    with pytest.raises(DatabaseError):
        db.session.execute(text(statement), {"id": draft_id})
    db.session.rollback()


def test_activation_waits_for_a_second_person_where_a_policy_says_so(counter: Counter, app: Flask, make: Make) -> None:
    room = Room(app, make)
    first = counter.active(("default", (), (CARD,)))
    make.approval_policy("checkout_rules")
    draft_id = counter.draft(first)
    counter.rule(draft_id, "web", 5, (WEB,), (PAYPAL,))
    with pytest.raises(NeedsApproval) as caught:
        counter.activate(draft_id)
    request_id = caught.value.data["request_id"]
    assert active_id(db.session()) == first
    request = room.request(request_id)
    told = next(effect for effect in request.effects if effect["event"] == "checkout.rules.activated")
    assert told["after"]["added"] == ["web"]
    room.approve(room.person(Role.CFO), request_id)
    assert active_id(db.session()) == draft_id


def test_a_draft_that_changes_while_it_waits_makes_the_request_stale(counter: Counter, app: Flask, make: Make) -> None:
    room = Room(app, make)
    first = counter.active(("default", (), (CARD,)))
    make.approval_policy("checkout_rules")
    draft_id = counter.draft(first)
    with pytest.raises(NeedsApproval) as caught:
        counter.activate(draft_id)
    counter.rule(draft_id, "web", 5, (WEB,), (PAYPAL,))
    room.approve(room.person(Role.CFO), caught.value.data["request_id"])
    assert room.request(caught.value.data["request_id"]).status.name == "STALE"
    assert active_id(db.session()) == first


@pytest.mark.parametrize("role", [Role.CFO, Role.SUPPORT_MANAGER, Role.ANTI_FRAUD, Role.ISSUER])
def test_only_those_whose_role_writes_rules_do(counter: Counter, role: Role) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "default")
    with pytest.raises(Forbidden):
        counter.activate(draft_id, actor=counter.person(role))
    with pytest.raises(Forbidden):
        checkout.start_draft(counter.person(role))


def test_versions_that_there_are_not_are_not_found(counter: Counter) -> None:
    for number in (0, 77, 2**63):
        with pytest.raises(NotFound):
            checkout.start_draft(counter.admin, base_id=number)
        with pytest.raises(NotFound):
            checkout.activate_ruleset(counter.admin, number, version=1, replaces_id=None)


def test_the_trail_tells_what_became_active_and_what_changed(counter: Counter) -> None:
    first = counter.active(("web", (WEB,), (CARD,)), ("default", (), (CARD,)))
    draft_id = counter.draft(first)
    checkout.delete_rule(counter.admin, draft_id, rule_id=counter.id_of(draft_id, "web"))
    counter.rule(draft_id, "large", 50, (over(100_00),), (WIRE,))
    counter.activate(draft_id, reason="Wire for large ones")
    entry = db.session.scalars(
        select(AuditEvent).where(AuditEvent.event == "checkout.rules.activated").order_by(AuditEvent.id.desc())
    ).first()
    assert entry is not None
    assert entry.after is not None
    assert (entry.after["added"], entry.after["removed"]) == (["large"], ["web"])
    assert entry.reason == "Wire for large ones"
    assert entry.after["digest"] == counter.ruleset(draft_id).digest
