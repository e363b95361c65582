"""Codewords: five are compared in a quarter of an hour, however many ask at once (TK1)."""

import datetime as dt
import threading

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from payadmin.actions import support
from payadmin.db import db, utcnow
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.access import StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.support import CodewordTry
from payadmin.permissions import Role
from payadmin.queries.support import verified_until
from tests.support.conftest import WORD, Care
from tests.support.make import writing

SEEKERS, EACH = 8, 3


def tries(*conditions: object) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(CodewordTry).where(*conditions)) or 0


def wait_a_quarter() -> None:
    """Fifteen minutes go by."""
    writing()
    for row in db.session.scalars(select(CodewordTry)):
        row.at -= support.WITHIN
        row.until = row.until and row.until - support.WITHIN
    db.session.commit()


def test_of_many_who_guess_at_once_five_are_compared(care: Care, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads with connections of their own, as workers of several processes have; every comparison is counted."""
    customer_id = care.customer().id
    actors = [care.manager() for _number in range(SEEKERS)]
    compared, lock = [], threading.Lock()
    matches = codewords.matches

    def counted(*args: object) -> bool:
        with lock:
            compared.append(args)
        return matches(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(codewords, "matches", counted)
    barrier, outcomes = threading.Barrier(SEEKERS), []

    def guess(place: int) -> None:
        with app.app_context():
            barrier.wait()
            for turn in range(EACH):
                try:
                    found = support.compare_codeword(actors[place], customer_id, codeword=f"guess {place} {turn}")
                    outcome = found.is_right
                except Conflict:
                    outcome = None
                with lock:
                    outcomes.append(outcome)
            db.session.remove()

    threads = [threading.Thread(target=guess, args=(place,)) for place in range(SEEKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compared) == support.MOST_TRIES
    assert (outcomes.count(False), outcomes.count(None)) == (support.MOST_TRIES, SEEKERS * EACH - support.MOST_TRIES)
    assert tries() == support.MOST_TRIES
    logged = select(func.count()).where(AuditEvent.event == "support.codeword.compared")
    assert db.session.scalar(logged) == support.MOST_TRIES
    refused = select(func.count()).where(
        AuditEvent.event == "support.compare_codeword", AuditEvent.outcome == "refused"
    )
    assert db.session.scalar(refused) == SEEKERS * EACH - support.MOST_TRIES


def test_after_five_wrong_ones_the_right_one_is_not_compared_until_a_quarter_has_passed(care: Care) -> None:
    boss, customer_id = care.manager(), care.customer().id
    left = [support.compare_codeword(boss, customer_id, codeword="wrong one").left for _turn in range(5)]
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(Conflict):
        support.compare_codeword(care.manager(), customer_id, codeword=WORD)
    other = care.customer().id
    assert support.compare_codeword(boss, other, codeword=WORD).is_right, "another customer is not shut"
    wait_a_quarter()
    assert support.compare_codeword(boss, customer_id, codeword=" blue  HERON 7 ").is_right


def test_a_right_word_opens_this_customer_to_this_person_for_a_quarter_of_an_hour(care: Care) -> None:
    boss, other, customer_id = care.manager(), care.manager(), care.customer().id
    until = support.compare_codeword(boss, customer_id, codeword=WORD).until
    now = utcnow()
    assert until is not None
    assert dt.timedelta(minutes=14) < until - now <= support.LASTS
    session = db.session()
    assert verified_until(session, boss.staff_id, customer_id, now) == until
    assert verified_until(session, other.staff_id, customer_id, now) is None
    assert verified_until(session, boss.staff_id, care.customer().id, now) is None
    wait_a_quarter()
    assert verified_until(db.session(), boss.staff_id, customer_id, utcnow()) is None


def test_a_ticket_says_whether_the_codeword_was_said(care: Care) -> None:
    boss, customer = care.manager(), care.customer()
    assert not care.row(care.ticket(boss, customer)).codeword_verified
    support.compare_codeword(boss, customer.id, codeword=WORD)
    assert care.row(care.ticket(boss, customer)).codeword_verified


def test_nothing_said_and_no_codeword_are_no_tries(care: Care) -> None:
    boss, customer_id = care.manager(), care.customer().id
    with pytest.raises(Invalid):
        support.compare_codeword(boss, customer_id, codeword="  ")
    with pytest.raises(Conflict):
        support.compare_codeword(boss, care.customer(word=None).id, codeword=WORD)
    assert tries() == 0


def test_the_word_stands_nowhere(care: Care) -> None:
    boss, customer_id = care.manager(), care.customer().id
    support.compare_codeword(boss, customer_id, codeword="Purple Walrus")
    support.compare_codeword(boss, customer_id, codeword=WORD)
    support.set_codeword(boss, customer_id, codeword="Green Otter", reason="Said the old one.")
    db.session.rollback()
    for entry in db.session.scalars(select(AuditEvent)):
        said = f"{entry.before} {entry.after} {entry.keys} {entry.reason}".lower()
        assert not any(word in said for word in ("walrus", "heron", "otter"))
    kept = db.session.get_one(Customer, customer_id).codeword_digest
    assert kept is not None
    assert len(kept) == 64


def test_a_codeword_is_renewed_only_after_it_was_said(care: Care) -> None:
    boss, customer = care.manager(), care.customer()
    digest, customer_id = customer.codeword_digest, customer.id
    with pytest.raises(Conflict):
        support.set_codeword(boss, customer_id, codeword="Green Otter", reason="They asked.")
    support.compare_codeword(boss, customer_id, codeword=WORD)
    for word, reason, field in (("short", "They asked.", "codeword"), ("Green Otter", " ", "reason")):
        with pytest.raises(Invalid) as refused:
            support.set_codeword(boss, customer_id, codeword=word, reason=reason)
        assert refused.value.field == field
    db.session.rollback()
    assert db.session.get_one(Customer, customer_id, populate_existing=True).codeword_digest == digest
    support.set_codeword(boss, customer_id, codeword="Green Otter", reason="Said the old one.")
    assert support.compare_codeword(boss, customer_id, codeword="green otter").is_right
    first = care.customer(word=None).id
    support.set_codeword(boss, first, codeword=support.new_codeword(), reason="Showed a passport.")
    admin = care.person(Role.ADMIN)
    support.set_codeword(admin, customer_id, codeword="Red Panda 9", reason="Letter of the customer.")


def test_whoever_gave_the_codeword_sees_nothing_by_saying_it(care: Care) -> None:
    """It would open a customer to a member of staff whom the customer never spoke to."""
    boss, other = care.manager(), care.manager()
    human = db.session.get_one(StaffUser, boss.staff_id).person
    second = care.person(Role.SUPPORT_MANAGER, person_id=human)
    customer = care.customer(word=None)
    customer_id = customer.id
    support.set_codeword(boss, customer_id, codeword="Green Otter", reason="Showed a passport.")
    for own in (boss, second):
        verdict = support.compare_codeword(own, customer_id, codeword="Green Otter")
        assert (verdict.is_right, verdict.until) == (True, None)
        assert verified_until(db.session(), own.staff_id, customer_id, utcnow()) is None
    assert not care.row(care.ticket(boss, db.session.get_one(Customer, customer_id))).codeword_verified
    with pytest.raises(Conflict, match="present codeword first"):
        support.set_codeword(boss, customer_id, codeword="Purple Walrus", reason="They asked.")
    assert support.compare_codeword(other, customer_id, codeword="Green Otter").until is not None
    support.set_codeword(other, customer_id, codeword="Purple Walrus", reason="Said the old one.")
    wait_a_quarter()
    assert support.compare_codeword(boss, customer_id, codeword="Purple Walrus").until is not None, (
        "not theirs any more"
    )
    assert support.compare_codeword(other, customer_id, codeword="Purple Walrus").until is None


def test_made_codewords_are_usable_and_differ() -> None:
    made = {support.new_codeword() for _number in range(200)}
    assert len(made) == 200
    assert all(codewords.is_usable(word) for word in made)


def test_a_time_that_lies_ahead_cannot_be_kept_for_a_wrong_word(care: Care) -> None:
    boss, customer_id = care.manager(), care.customer().id
    support.compare_codeword(boss, customer_id, codeword="wrong one")
    writing()
    with pytest.raises(Exception, match="until_if_right"):
        db.session.execute(update(CodewordTry).values(until=utcnow()))
    db.session.rollback()
