"""Watch rules: tried before they are on, each payment asked once and none lost, never a block that nobody approved."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from payadmin.actions import risk
from payadmin.actions.risk import watching
from payadmin.db import db, utcnow
from payadmin.jobs.risk import keep_watch, try_watch_rule
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.parties import Customer, IdentificationStatus
from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.models.risk import (
    Block,
    NoteStatus,
    TrialStatus,
    WatchDay,
    WatchItem,
    WatchNote,
    WatchStatus,
    WatchTrial,
    WatchVersion,
)
from payadmin.models.system import StaffNotice
from payadmin.queries.risk.watching import calling_code, facts_about, set_aside
from payadmin.work import SYSTEM
from tests.risk.conftest import Watch
from tests.support.approvals import filed
from tests.support.crash import Crash
from tests.support.desk import trail
from tests.support.races import together

ZONE = ZoneInfo("UTC")
LARGE = [{"key": "amount", "operator": "greater_or_equal_than", "value": {"amount_minor": 100_00, "unit": "EUR"}}]


def draft(
    watch: Watch, conditions: list[dict[str, Any]] | None = None, name: str = "Large", **values: Any
) -> WatchVersion:
    """A draft of a rule."""
    watch.make.unit()
    watch.make.method()
    rule_id = risk.save_watch(watch.fraud, name=name, conditions=conditions or LARGE, **({"most_a_day": 100} | values))
    found = select(WatchVersion).where(WatchVersion.rule_id == rule_id, WatchVersion.status == WatchStatus.DRAFT)
    return db.session.scalars(found).one()


def tried(watch: Watch, version_id: int, days: int = 30) -> WatchTrial:
    """A replay of a draft, finished."""
    trial_id = risk.start_trial(watch.fraud, version_id, days=days, zone=ZONE)
    assert try_watch_rule(trial_id=trial_id) is None
    return watch.get(WatchTrial, trial_id)


def on(watch: Watch, conditions: list[dict[str, Any]] | None = None, **values: Any) -> int:
    """A rule that watches; its number."""
    version = draft(watch, conditions, **values)
    version_id, rule_id = version.id, version.rule_id
    tried(watch, version_id)
    risk.switch_on_watch(watch.fraud, version_id, reason="Tried")
    return rule_id


def notes(watch: Watch) -> list[int]:
    """The payments that were raised, in their order."""
    db.session.rollback()
    return list(db.session.scalars(select(WatchNote.payment_id).order_by(WatchNote.id)))


def test_a_rule_raises_each_payment_once_and_only_while_it_is_on(watch: Watch) -> None:
    watch.make.payment(amount_minor=200_00)
    rule_id = on(watch)
    large = watch.make.payment(amount_minor=100_00).id
    watch.make.payment(amount_minor=99_99)
    watch.make.payment(amount_minor=200_00, mode=Mode.TEST)
    watch.make.payment(amount_minor=200_00, unit="GBP")
    assert watch.count(WatchItem) == 4
    assert keep_watch() == 4
    assert (notes(watch), watch.count(WatchItem), keep_watch()) == ([large], 0, 0)
    with db.engine.begin() as connection:  # its status changes: it is asked again, and raised no second time
        connection.execute(update(Payment).where(Payment.id == large).values(status=PaymentStatus.FAILED))
    assert keep_watch() == 1
    assert notes(watch) == [large]
    risk.switch_off_watch(watch.fraud, rule_id, reason="Enough")
    watch.make.payment(amount_minor=300_00)
    assert watch.count(WatchItem) == 0
    assert watch.count(Block) == 0


def test_what_dies_in_the_middle_is_asked_again_whole(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    on(watch)
    wanted = [watch.make.payment(amount_minor=200_00).id for _ in range(3)]
    real, calls = watching._note, []

    def dies(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise Crash
        return real(*args)

    monkeypatch.setattr(watching, "_note", dies)
    with pytest.raises(Crash):
        risk.watch_some(SYSTEM)
    assert (notes(watch), watch.count(WatchItem)) == ([], 3)
    assert keep_watch() == 3
    assert notes(watch) == wanted


@pytest.mark.parametrize("place", ["facts_about", "_note"])
def test_a_payment_that_cannot_be_asked_about_is_set_aside_and_the_others_go_on(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whatever raises, in Python or in the database; nothing of it is lost, and a person decides."""
    on(watch)
    on(watch, name="Any amount", conditions=[{"key": "channel", "operator": "not_equal", "value": "CALL_CENTRE"}])
    wanted = [watch.make.payment(amount_minor=200_00).id for _ in range(4)]
    bad, worse = wanted[1:3]
    real = getattr(watching, place)

    def fails(first: Any, second: Any, *args: Any) -> Any:
        payment = second if place == "facts_about" else args[0]
        if payment.id == bad:
            raise RuntimeError("card 4111111111111111 is odd")
        if payment.id == worse:
            db.session.execute(text("SELECT no_such_column FROM payment"))
        return real(first, second, *args)

    with monkeypatch.context() as patched:
        patched.setattr(watching, place, fails)
        patched.setattr(watching, "OperationalError", Crash)  # which SQLite calls a column that is not there
        assert keep_watch() == 4 + 2 + 2
    good = [wanted[0], wanted[3]]
    assert sorted(notes(watch)) == sorted(good * 2)
    aside = set_aside(db.session(), 10)
    assert [(item.payment_id, item.failures) for item, _payment in aside] == [(bad, 3), (worse, 3)]
    assert aside[0][0].error == "RuntimeError: card 411111••••••1111 is odd"
    assert [entry.outcome for entry in trail(event="risk.watch_item.set_aside")] == ["failed"] * 2
    assert watch.count(StaffNotice) == 2, "two specialists, once a day"
    first, second = (item.id for item, _payment in aside)
    assert keep_watch() == 0, "they are not tried for ever"
    with pytest.raises(Invalid):
        risk.leave_unwatched(watch.fraud, second, reason=" ")
    with pytest.raises(Forbidden):
        risk.watch_again(watch.cfo, first)
    risk.leave_unwatched(watch.fraud, second, reason="Looked at by hand")
    risk.watch_again(watch.fraud, first)
    with pytest.raises(NotFound):
        risk.watch_again(watch.fraud, second)
    assert keep_watch() == 1
    assert sorted(notes(watch)) == sorted([*good, bad] * 2)
    assert watch.count(WatchItem) == 0


def test_many_workers_raise_each_payment_once(app: Flask, watch: Watch) -> None:
    on(watch)
    on(watch, name="Any amount", conditions=[{"key": "channel", "operator": "not_equal", "value": "CALL_CENTRE"}])
    wanted = [watch.make.payment(amount_minor=200_00).id for _ in range(12)]
    done, refused = together(app, *(lambda: sum(risk.watch_some(SYSTEM, limit=3) for _ in range(8)) for _ in range(4)))
    assert (sum(done), refused) == (12, [])
    assert sorted(notes(watch)) == sorted(wanted * 2)
    assert watch.count(WatchItem) == 0


def test_a_rule_that_raises_too_much_only_counts_and_tells_once(watch: Watch) -> None:
    rule_id = on(watch, most_a_day=2)
    for _ in range(5):
        watch.make.payment(amount_minor=200_00)
    keep_watch()
    watch.make.payment(amount_minor=200_00)
    keep_watch()
    assert len(notes(watch)) == 2
    day = db.session.scalars(select(WatchDay).where(WatchDay.rule_id == rule_id)).one()
    assert (day.raised, day.beyond) == (2, 4)
    told = db.session.scalars(select(StaffNotice).where(StaffNotice.page == "watch_rules")).all()
    assert {notice.staff_id for notice in told} == {watch.fraud.staff_id, watch.other.staff_id}
    assert len(told) == 2


def test_a_draft_is_tried_as_it_is_before_it_is_switched_on(watch: Watch) -> None:
    old = watch.make.payment(amount_minor=200_00, created_at=utcnow() - dt.timedelta(days=2)).id
    watch.make.payment(amount_minor=200_00, created_at=utcnow() - dt.timedelta(days=40))
    watch.make.payment(amount_minor=1_00)
    version = draft(watch)
    version_id, rule_id, seen = version.id, version.rule_id, version.version
    with pytest.raises(Conflict, match="Replay past payments"):
        risk.switch_on_watch(watch.fraud, version_id, reason="Now")
    trial = tried(watch, version_id)
    assert (trial.status, trial.rows_done, trial.raised, trial.found) == (TrialStatus.DONE, 2, 1, [old])
    assert watch.count(WatchNote) == 0
    risk.save_watch(watch.fraud, name="Large", conditions=LARGE, most_a_day=7, rule_id=rule_id, version=seen)
    with pytest.raises(Conflict, match="as it is now"):
        risk.switch_on_watch(watch.fraud, version_id, reason="Now")
    tried(watch, version_id)
    risk.switch_on_watch(watch.fraud, version_id, reason="Now")
    with pytest.raises(Conflict, match="meanwhile"):
        risk.save_watch(watch.fraud, name="Large", conditions=LARGE, most_a_day=7, rule_id=rule_id, version=seen)
    risk.save_watch(watch.fraud, name="Large", conditions=LARGE, most_a_day=8, rule_id=rule_id)
    found = select(WatchVersion.number, WatchVersion.status).where(WatchVersion.rule_id == rule_id)
    assert set(db.session.execute(found).all()) == {(1, WatchStatus.ACTIVE), (2, WatchStatus.DRAFT)}


def test_a_rule_blocks_only_when_a_second_person_approved_it(watch: Watch) -> None:
    version = draft(watch, blocks=True)
    version_id = version.id
    tried(watch, version_id)
    with pytest.raises(Conflict, match="second person"):
        risk.switch_on_watch(watch.fraud, version_id, reason="Now")
    request = filed(lambda: risk.switch_on_blocking_watch(watch.fraud, version_id, reason="Now"))
    large = watch.make.payment(amount_minor=200_00)
    assert keep_watch() == 0
    with pytest.raises(Forbidden):
        watch.approve(watch.fraud, request)
    watch.approve(watch.other, request)
    large = watch.make.payment(amount_minor=200_00).id
    failed = watch.make.payment(amount_minor=200_00, status=PaymentStatus.FAILED).id
    keep_watch()
    assert notes(watch) == [large, failed]
    [block] = db.session.scalars(select(Block)).all()
    assert (block.payment_id, block.is_by_rule) == (large, True)


@pytest.mark.parametrize("status", [IdentificationStatus.IN_REVIEW, IdentificationStatus.REJECTED])
def test_a_rule_learns_only_whether_somebody_is_identified(watch: Watch, status: IdentificationStatus) -> None:
    customer_id = watch.make.customer(identification=status).id
    payment = watch.get(Payment, watch.make.payment(customer_id=customer_id).id)
    customer = db.session.get_one(Customer, customer_id)
    assert facts_about(db.session(), payment, customer, ["identification"]) == {"identification": "UNIDENTIFIED"}
    with pytest.raises(Invalid, match="cannot be read"):
        risk.save_watch(
            watch.fraud, name="Curious", most_a_day=5,
            conditions=[{"key": "identification", "operator": "equal", "value": status.name}],
        )  # fmt: skip


def test_facts_are_those_of_the_moment_of_the_payment(watch: Watch) -> None:
    customer_id = watch.make.customer(phone="+39 333 1").id
    at = utcnow() - dt.timedelta(days=1)

    def pay(minutes: int, **values: Any) -> int:
        usual = {"customer_id": customer_id, "created_at": at + dt.timedelta(minutes=minutes), "amount_minor": 10_00}
        return watch.make.payment(**(usual | values)).id

    pay(-2_000, card_last4="1111")
    pay(-70, status=PaymentStatus.FAILED)
    pay(-30, unit="GBP", card_last4="2222")
    wanted = pay(0, card_last4="3333", card_holder_phone="+4915112345678")
    again = pay(1, card_last4="1111", card_holder_phone="+393331234567")
    names = ("payments_hour", "payments_day", "amount_day", "declines_day", "cards_day", "new_card", "country_differs")

    def facts(payment_id: int) -> dict[str, Any]:
        payment = watch.get(Payment, payment_id)
        return facts_about(db.session(), payment, db.session.get_one(Customer, payment.customer_id), names)

    found = facts(wanted)
    assert (found["payments_hour"], found["payments_day"], found["amount_day"]) == (2, 3, (20_00, "EUR"))
    assert (found["declines_day"], found["cards_day"], found["new_card"]) == (1, 2, "YES")
    assert found["country_differs"] is None  # the customer's number is too short to be one
    assert (facts(again)["new_card"], facts(again)["payments_hour"]) == ("NO", 3)


def number_of(key: str, number: int) -> list[dict[str, Any]]:
    return [{"key": key, "operator": "greater_or_equal_than", "value": number}]


def yes_to(key: str) -> list[dict[str, Any]]:
    return [{"key": key, "operator": "equal", "value": "YES"}]


@pytest.mark.parametrize(
    ("what", "conditions", "raised"),
    [
        ("velocity", number_of("payments_hour", 2), [3, 4]),
        ("amount", LARGE, [4]),
        ("new card", yes_to("new_card"), [0, 3, 4]),
        ("country mismatch", yes_to("country_differs"), [3]),
        ("many declines", number_of("declines_day", 2), [2, 3, 4]),
    ],
)
def test_each_kind_of_rule_is_proven_by_a_replay(
    watch: Watch, what: str, conditions: list[dict[str, Any]], raised: list[int]
) -> None:
    """A day of one customer: what each kind of rule finds in it, and nothing of the customer beside them."""
    at = utcnow() - dt.timedelta(days=1)
    someone = watch.make.customer(phone="+39 333 123 4567").id
    day: list[tuple[int, dict[str, Any]]] = [
        (-300, {"card_last4": "1111"}),
        (-200, {"card_last4": "1111", "status": PaymentStatus.FAILED}),
        (-5, {"card_last4": "1111", "status": PaymentStatus.FAILED, "card_holder_phone": "+393331234567"}),
        (-4, {"card_last4": "2222", "card_holder_phone": "+4915112345678"}),
        (-3, {"card_last4": "3333", "amount_minor": 100_00}),
    ]
    usual = {"customer_id": someone, "amount_minor": 10_00}
    made = [
        watch.make.payment(**(usual | {"created_at": at + dt.timedelta(minutes=minutes)} | values)).id
        for minutes, values in day
    ]
    others = [watch.make.payment(created_at=at, amount_minor=10_00).id for _number in range(3)]
    trial = tried(watch, draft(watch, conditions, name=what).id, days=3)
    assert sorted(trial.found) == [made[place] for place in raised]
    assert trial.rows_done == len(made) + len(others)
    assert watch.count(WatchNote) == watch.count(Block) == 0, "a replay raises and blocks nothing"


@pytest.mark.once
@pytest.mark.parametrize(
    ("phone", "code"),
    [("+1 202 555 0100", "1"), ("+393331234567", "39"), ("+353861234567", "353"), ("0039333", None), (None, None)],
)
def test_calling_codes(phone: str | None, code: str | None) -> None:
    assert calling_code(phone) == code


def test_what_makes_no_sense_is_refused(watch: Watch) -> None:
    for values, field in (
        ({"name": " "}, "name"),
        ({"most_a_day": 0}, "most_a_day"),
        ({"conditions": []}, "conditions"),
        ({"conditions": [{"key": "moon", "operator": "equal", "value": "full"}]}, "conditions"),
    ):
        usual = {"name": "Large", "conditions": LARGE, "most_a_day": 5}
        watch.make.unit()
        with pytest.raises(Invalid) as refusal:
            risk.save_watch(watch.fraud, **(usual | values))  # type: ignore[arg-type]
        assert refusal.value.field == field
    draft(watch)
    with pytest.raises(Conflict, match="this name"):
        draft(watch, name="LARGE")
    with pytest.raises(Forbidden):
        risk.save_watch(watch.admin, name="Other", conditions=LARGE, most_a_day=5)


def test_a_note_is_decided_once_with_words(watch: Watch) -> None:
    on(watch)
    watch.make.payment(amount_minor=200_00)
    keep_watch()
    note_id = db.session.scalars(select(WatchNote.id)).one()
    with pytest.raises(Invalid):
        risk.decide_note(watch.fraud, note_id, status=NoteStatus.HARMLESS, words=" ")
    risk.decide_note(watch.fraud, note_id, status=NoteStatus.HARMLESS, words="Known customer")
    with pytest.raises(Conflict, match="already"):
        risk.decide_note(watch.other, note_id, status=NoteStatus.ACTED, words="No")


def test_a_draft_that_is_discarded_never_watches(watch: Watch) -> None:
    version_id = draft(watch).id
    risk.discard_watch(watch.fraud, version_id)
    assert watch.get(WatchVersion, version_id).status is WatchStatus.ARCHIVED
    with pytest.raises(Conflict, match="Only a draft"):
        risk.discard_watch(watch.fraud, version_id)
    with pytest.raises(Conflict, match="Only a draft"):
        risk.start_trial(watch.fraud, version_id, days=3, zone=ZONE)
