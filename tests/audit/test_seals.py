"""The seal on the trail: it covers what was committed without making writers wait, and every touch of it shows."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select, text

from payadmin.actions import audit as acts
from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.db import db, make_engine, utcnow
from payadmin.jobs import runner
from payadmin.jobs.audit import keep_seals, verify_trail
from payadmin.kernel import seals
from payadmin.kernel.errors import Conflict
from payadmin.models.audit import APPEND_ONLY, AuditCheck, AuditEvent, AuditKey, AuditSeal
from payadmin.permissions import Permission
from payadmin.queries.audit import Progress, Verification
from payadmin.work import SYSTEM, Work, use_case
from tests.support.desk import trail


def write(number: int, **keys: Any) -> None:
    """Let something happen `number` times."""
    for place in range(number):
        told = {"invoice_number": f"INV-{place:04}", **keys}

        def happen(work: Work, told: dict[str, Any] = told) -> None:
            work.record(Event.INVOICES_DOWNLOADED, before={"a": 1}, after={"a": "é€"}, reason="why", **told)

        use_case(Permission.SYSTEM_JOB_RUN)(happen)(SYSTEM)


def verify(settings: Settings, *, kept: str = "") -> Progress:
    """Walk through the whole trail."""
    db.session.rollback()
    walk = Verification(db.session(), seal_keys(settings), Progress())
    assert walk.run()
    if kept:
        walk.compare_head(kept)
    db.session.rollback()
    return walk.progress


def seal_keys(settings: Settings) -> tuple[bytes, ...]:
    return seals.seal_keys(settings.totp_keys)


def kinds(found: Progress) -> list[tuple[str, str]]:
    return [(each["kind"], each["what"]) for each in found.breaks]


@pytest.fixture
def tamper(app: Flask, dialect: str) -> Callable[..., None]:
    """Do with the rows what only the owner of the database can: the triggers are away meanwhile."""

    def act(*statements: str) -> None:
        db.session.rollback()
        with db.engine.begin() as connection:
            for table in APPEND_ONLY:
                if dialect == "postgresql":
                    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
                else:
                    for verb in ("update", "delete"):
                        connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
            for statement in statements:
                connection.execute(text(statement))

    return act


COPY = (
    "INSERT INTO audit_event (id, at, actor_id, actor_name, roles, ip, request_id, event, outcome, entity, entity_id, "
    "before, after, keys, reason, signature) SELECT {id}, at, actor_id, {name}, roles, ip, request_id, event, outcome, "
    "entity, entity_id, before, after, keys, reason, {signature} FROM audit_event WHERE id = 4"
)
FORGED = COPY.format(id="{id}", name="'mallory'", signature="NULL")
COPIED = COPY.format(id="{id}", name="actor_name", signature="signature")


def test_a_trail_that_nobody_touched_is_whole(app: Flask, settings: Settings) -> None:
    write(12)
    assert keep_seals(settings) == 12
    write(3)
    found = verify(settings)
    assert (found.broken, found.events, found.unsealed, found.seal_id) == (0, 12, 3, 1)
    assert keep_seals(settings) == 3
    assert keep_seals(settings) == 0
    assert verify(settings).seal_id == 2


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE audit_event SET reason = 'nicer' WHERE id = 4"], [("changed", "Event 4")]),
        (["UPDATE audit_event SET at = '2020-01-01 00:00:00' WHERE id = 4"], [("changed", "Event 4")]),
        (["UPDATE audit_event SET keys = NULL WHERE id = 4"], [("changed", "Event 4")]),
        (["UPDATE audit_event SET signature = NULL WHERE id = 4"], [("changed", "Event 4")]),
        (["DELETE FROM audit_event WHERE id = 4"], [("gone", "Event 4")]),
        (["DELETE FROM audit_event WHERE id >= 11"], [("gone", "Event 11"), ("gone", "Event 12")]),
        (["DELETE FROM audit_event"], [("gone", f"Event {number}") for number in range(1, 13)]),
        (
            [f"UPDATE audit_event SET id = {a} WHERE id = {b}" for a, b in ((-9, 4), (4, 5), (5, -9))],
            [("moved", "Event 4"), ("moved", "Event 5")],
        ),
        ([FORGED.format(id=13)], [("forged", "Event 13")]),
        ([FORGED.format(id=-1)], [("inserted", "Event -1")]),
        ([COPIED.format(id=13)], [("copied", "Event 13")]),
        (["UPDATE audit_seal SET root = 'x' WHERE id = 1"], [("seal", "Seal 1")]),
        (["UPDATE audit_seal SET leaves = leaves, last_id = 11 WHERE id = 1"], [("seal", "Seal 1")]),
    ],
    ids=[
        "edit",
        "date",
        "keys",
        "signature",
        "delete",
        "end",
        "all",
        "swap",
        "forge",
        "before",
        "copy",
        "seal",
        "range",
    ],
)
def test_what_was_done_to_the_rows_is_found_and_the_event_is_named(
    settings: Settings, tamper: Callable[..., None], statements: list[str], found: list[tuple[str, str]]
) -> None:
    write(12)
    keep_seals(settings)
    tamper(*statements)
    assert set(found) <= set(kinds(verify(settings)))
    named = [each for each in verify(settings).breaks if each["what"] == found[0][1]]
    assert named[0]["sentence"].startswith(found[0][1])


def test_a_seal_taken_out_of_the_middle_is_missed(settings: Settings, tamper: Callable[..., None]) -> None:
    for _ in range(3):
        write(4)
        keep_seals(settings)
    tamper("DELETE FROM audit_seal WHERE id = 2", "DELETE FROM audit_event WHERE id BETWEEN 5 AND 8")
    assert ("seals", "Seals 2 to 2") in kinds(verify(settings))


def test_a_new_seal_needs_the_key(settings: Settings, tamper: Callable[..., None]) -> None:
    write(4)
    keep_seals(settings)
    tamper("UPDATE audit_event SET reason = 'nicer' WHERE id = 2", "DELETE FROM audit_seal")
    acts.seal_events(SYSTEM, keys=seals.seal_keys([b"x" * 32]))
    assert {"seal", "forged"} == {kind for kind, _ in kinds(verify(settings))}


def test_cutting_off_the_end_with_its_seals_is_found_with_the_head_that_was_kept(
    settings: Settings, tamper: Callable[..., None]
) -> None:
    write(4)
    keep_seals(settings)
    write(4)
    keep_seals(settings)
    kept = verify(settings).head
    tamper("DELETE FROM audit_seal WHERE id = 2", "DELETE FROM audit_event WHERE id > 4")
    assert verify(settings).broken == 0
    write(4)
    keep_seals(settings)
    assert kinds(verify(settings, kept=kept)) == [("cut", "Seal 2")]
    assert kinds(verify(settings, kept="77:aa")) == [("cut", "Seal 77")]
    assert verify(settings, kept=verify(settings).head).broken == 0


@pytest.mark.parametrize(
    "cut",
    [
        ("DELETE FROM audit_seal WHERE id = 2", "DELETE FROM audit_event WHERE id > 4"),
        # All seals go, and what is left passes for events from before events were signed.
        ("DELETE FROM audit_seal", "UPDATE audit_event SET signature = NULL, reason = 'nicer'"),
    ],
    ids=["end", "adopted anew"],
)
def test_an_end_that_was_verified_once_is_missed_when_it_is_cut_off(
    cut: tuple[str, ...], settings: Settings, tamper: Callable[..., None]
) -> None:
    for _ in range(2):
        write(4)
        keep_seals(settings)
    found, check_id = verify(settings), acts.start_check(SYSTEM, by_job=False)
    acts.note_check(SYSTEM, check_id, progress=found, done=True)
    assert verify(settings).broken == 0
    tamper(*cut)
    write(4)
    keep_seals(settings)
    assert ("lost", "Seal 2") in kinds(verify(settings))


def test_events_from_before_signing_are_adopted_once_and_never_again(app: Flask, settings: Settings) -> None:
    old = {"at": utcnow(), "actor_name": "system", "event": "old.act.done"}
    engine = make_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(insert(AuditEvent.__table__), [old, old, old])
    write(2)
    assert verify(settings).broken == 0
    keep_seals(settings)
    found = verify(settings)
    assert (found.broken, found.adopted, found.seal_id) == (0, 3, 2)
    with engine.begin() as connection:
        connection.execute(insert(AuditEvent.__table__), [old])
    engine.dispose()
    assert kinds(verify(settings)) == [("forged", "Event 6")]
    keep_seals(settings)
    assert kinds(verify(settings)) == [("forged", "Event 6")]


def test_a_new_key_signs_and_the_old_one_still_proves(app: Flask, settings: Settings) -> None:
    write(3)
    keep_seals(settings)
    keys = seals.seal_keys([b"n" * 32, *settings.totp_keys])
    write(1)
    acts.seal_events(SYSTEM, keys=keys)
    walk = Verification(db.session(), keys, Progress())
    assert walk.run()
    assert walk.progress.broken == 0
    assert verify(settings).broken > 0


def test_what_was_committed_late_is_sealed_late_and_what_was_undone_leaves_a_gap(
    app: Flask, settings: Settings, dialect: str
) -> None:
    if dialect == "sqlite":
        pytest.skip("one writer at a time: nothing is late")
    key = seal_keys(settings)[0]
    slow = db.engine.connect()
    row = {"at": utcnow(), "actor_name": "slow", "event": "slow.act.done", "roles": "", "outcome": "done"}
    slow.execute(insert(AuditEvent.__table__), [row])
    write(2)
    keep_seals(settings)
    assert verify(settings).broken == 0
    [first] = db.session.scalars(select(AuditSeal)).all()
    assert [(a, b) for a, b, _ in first.gaps()] == [(1, 1)]
    db.session.rollback()
    slow.commit()
    slow.close()
    assert verify(settings).broken == 0, "it waits for its seal"
    assert acts.seal_events(SYSTEM, keys=[key]) == 1
    assert verify(settings).events == 3
    assert verify(settings).broken == 0
    second = db.session.get(AuditSeal, 2)
    assert second is not None
    assert (second.late, second.gaps()) == ([1], [])


def test_an_event_in_an_old_gap_was_inserted(settings: Settings, tamper: Callable[..., None]) -> None:
    write(3)
    tamper("DELETE FROM audit_event WHERE id = 2")
    keep_seals(settings)
    write(1)
    key = seal_keys(settings)[0]
    values: dict[str, Any] = {"at": utcnow(), "actor_name": "x", "roles": "", "event": "a.b.c", "outcome": "done"}
    with db.engine.begin() as connection:
        connection.execute(
            insert(AuditEvent.__table__), [values | {"id": 2, "signature": seals.sign(key, seals.content(values))}]
        )
    assert verify(settings).broken == 0, "for an hour it may be late"
    last = db.session.get_one(AuditSeal, 1)
    assert seals.without(last.gaps(), (), older_than=int(utcnow().timestamp()) + 1) == []
    walk = Verification(db.session(), seal_keys(settings), Progress())
    walk.open = []
    assert walk.run()
    assert kinds(walk.progress) == [("inserted", "Event 2")]


def test_writers_never_wait_for_the_sealer_and_every_event_is_sealed(app: Flask, settings: Settings) -> None:
    stop = threading.Event()

    def writer() -> None:
        with app.app_context():
            for _ in range(25):
                write(1)
            db.session.remove()

    def sealer() -> None:
        with app.app_context():
            while not stop.is_set():
                keep_seals(settings)
                db.session.remove()
                stop.wait(0.01)

    db.session.rollback()
    crew = [threading.Thread(target=writer) for _ in range(4)]
    second = threading.Thread(target=sealer)
    second.start()
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    stop.set()
    second.join()
    keep_seals(settings)
    found = verify(settings)
    assert (found.broken, found.events, found.unsealed) == (0, 100, 0)


def test_acts_that_one_transaction_writes_together_are_signed_each(app: Flask, settings: Settings) -> None:
    def several(work: Work) -> None:
        for number in range(5):
            work.record(Event.INVOICES_DOWNLOADED, invoice_number=f"A-{number}")
        rows = [(number, {"billing_number": f"B-{number}"}) for number in range(1, 4)]
        work.record_each(Event.CHARGES_PLANNED, AuditKey, rows)

    use_case(Permission.SYSTEM_JOB_RUN)(several)(SYSTEM)
    assert all(entry.signature for entry in trail())
    assert keep_seals(settings) == 8
    assert verify(settings).broken == 0


@pytest.mark.once
def test_ranges_of_missing_numbers_fit_together() -> None:
    missing = seals.ranges(1, 10, [2, 3, 7], since=5)
    assert missing == [(1, 1, 5), (4, 6, 5), (8, 10, 5)]
    assert list(seals.present(1, 10, missing)) == [2, 3, 7]
    assert list(seals.present(11, 12, missing)) == [11, 12]
    assert seals.without(missing, [5, 8], older_than=5) == [(1, 1, 5), (4, 4, 5), (6, 6, 5), (9, 10, 5)]
    assert seals.without(missing, [], older_than=6) == []
    assert seals.ranges(1, 10**9, [5], since=0) == [(1, 4, 0), (6, 10**9, 0)]


def test_events_that_wait_long_for_their_seal_say_that_the_scheduler_is_gone(app: Flask, settings: Settings) -> None:
    write(1)
    later = {"at": utcnow() + dt.timedelta(minutes=11), "actor_name": "x", "event": "a.b.c"}
    with db.engine.begin() as connection:
        connection.execute(insert(AuditEvent.__table__), [later])
    assert kinds(verify(settings)) == [("late", "Event 1")]


def test_keys_are_found_through_their_own_table(app: Flask) -> None:
    write(2, transaction_id="T-77", rows=3, nothing=None, many=["a"], long="x" * 101, empty="")
    found = db.session.execute(select(AuditKey.value, AuditKey.name, AuditKey.event_id).order_by(AuditKey.event_id))
    assert {tuple(row) for row in found} == {
        (value, name, event)
        for event, invoice in ((1, "INV-0000"), (2, "INV-0001"))
        for value, name in (("T-77", "transaction_id"), ("3", "rows"), (invoice, "invoice_number"))
    }


def test_a_worker_verifies_and_the_result_goes_into_the_trail(app: Flask, settings: Settings) -> None:
    write(5)
    keep_seals(settings)
    acts.check_daily(SYSTEM)
    acts.check_daily(SYSTEM)
    with pytest.raises(Conflict):
        acts.start_check(SYSTEM)
    db.session.rollback()
    runner.drain()
    db.session.rollback()
    verify_trail(check_id=1)  # told twice, it finds that all is done
    [check] = db.session.scalars(select(AuditCheck)).all()
    assert (check.broken, check.seal_id, check.events, check.asked_by) == (0, 1, 5, "system")
    assert check.done_at is not None
    [entry] = trail(event=Event.TRAIL_CHECKED)
    assert entry.keys is not None
    assert entry.keys["events"] == 5


def test_a_result_is_never_replaced(app: Flask, settings: Settings) -> None:
    write(2)
    keep_seals(settings)
    check_id = acts.start_check(SYSTEM, by_job=False)
    acts.note_check(SYSTEM, check_id, progress=Progress(events=2, broken=1), done=True)
    acts.note_check(SYSTEM, check_id, progress=Progress(events=2), done=True)
    db.session.rollback()
    assert db.session.get_one(AuditCheck, check_id).broken == 1
    assert [entry.outcome for entry in trail(event=Event.TRAIL_CHECKED)] == ["failed"]
