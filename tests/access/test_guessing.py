"""Guessing passwords and codes, alone and in parallel, against real threads and a real database."""

import datetime as dt
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from payadmin import guard, step_up
from payadmin.actions import access
from payadmin.actions.access import Browser, Ticket
from payadmin.db import db, utcnow
from payadmin.kernel import passwords, totp
from payadmin.kernel.errors import Forbidden, Invalid
from payadmin.models.access import LoginGuard, StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Permission, Role
from payadmin.work import Actor, Work, use_case
from tests.support.signin import PASSWORD, make_staff, secret_of

HERE = Browser(ip="127.0.0.1", agent="pytest")
STRANGER = access.stranger("127.0.0.1", "request-1")


def at_once(app: Flask, count: int, act: Callable[[int], object], *, threads: int = 8) -> list[object]:
    """`act(n)` from several threads that start together, each with a database session of its own."""
    start = threading.Barrier(min(count, threads))

    def run(number: int) -> object:
        if number < threads:
            start.wait()
        with app.app_context():
            try:
                return act(number)
            except Invalid as refusal:
                return refusal

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(count)))


def first_step(username: str, password: str, device: str | None = None) -> Ticket | None:
    return access.check_password(STRANGER, username=username, password=password, device=device)


def second_step(ticket: Ticket, code: str) -> access.Opened | None:
    return access.check_code(STRANGER, ticket.staff_id, ticket=ticket, code=code, browser=HERE)


def person(staff: StaffUser) -> Actor:
    return Actor(staff_id=staff.id, name=staff.username, roles=staff.roles, permissions=staff.permissions)


def test_of_forty_parallel_guesses_ten_are_checked(app: Flask, monkeypatch: pytest.MonkeyPatch):
    make_staff(Role.ADMIN, username="elena")
    checked = []
    matches = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda *given: checked.append(given) or matches(*given))
    assert at_once(app, 40, lambda number: first_step("elena", f"guess {number}")) == [None] * 40
    assert len(checked) == guard.TRIES
    assert db.session.query(AuditEvent).filter_by(event="access.sign_in.failed").count() == 40


def test_strangers_lock_out_strangers_and_never_the_owners_own_browser(app: Flask):
    make_staff(Role.ADMIN, username="elena")
    for number in range(100):
        assert first_step("elena", f"guess {number}", None) is None
    assert first_step("elena", PASSWORD) is None
    assert first_step("elena", PASSWORD, device="mine") is not None
    # The device's own counter is as short as the others.
    for number in range(10):
        first_step("elena", f"guess {number}", "mine")
    assert first_step("elena", PASSWORD, device="mine") is None


def test_the_pause_ends_after_thirty_minutes_or_when_a_manager_confirms_who_it_is(app: Flask):
    staff = make_staff(Role.SUPPORT_AGENT, username="elena")
    manager = person(make_staff(Role.SUPPORT_MANAGER))
    for _ in range(10):
        first_step("elena", "guess")
    assert first_step("elena", PASSWORD) is None
    access.unlock_staff(manager, staff.id, reason="Called back on the known number.")
    assert first_step("elena", PASSWORD) is not None
    for _ in range(10):
        first_step("elena", "guess")
    assert first_step("elena", PASSWORD) is None
    counter = db.session.query(LoginGuard).one()
    assert counter.until > utcnow() + dt.timedelta(minutes=29)
    counter.until = utcnow() - dt.timedelta(seconds=1)
    db.session.commit()
    assert first_step("elena", PASSWORD) is not None


def test_wrong_second_factors_use_up_tries_and_right_passwords_do_not_give_them_back(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    for _ in range(10):
        ticket = first_step("elena", PASSWORD)
        assert ticket is not None
        assert second_step(ticket, "000000") is None
    assert first_step("elena", PASSWORD) is None
    assert second_step(ticket, totp.code_at(secret_of(staff.id), utcnow())) is None


def test_of_fifty_parallel_uses_of_one_code_one_counts(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    code = totp.code_at(secret_of(staff.id), utcnow())
    tickets = [first_step("elena", PASSWORD, device=f"device {number}") for number in range(50)]
    results = at_once(app, 50, lambda number: second_step(tickets[number], code))
    assert sum(result is not None for result in results) == 1


@pytest.mark.parametrize("role", list(Role))
def test_no_role_gets_in_without_a_code(app: Flask, role: Role):
    make_staff(role, username="elena")
    ticket = first_step("elena", PASSWORD)
    assert ticket is not None
    for code in ("", "000000", "abcdef", "١٢٣٤٥٦", "1" * 40):
        assert second_step(ticket, code) is None
    assert access.enrol(STRANGER, ticket.staff_id, ticket=ticket, code="000000", browser=HERE) is None
    assert access.read_pending_secret(STRANGER, ticket.staff_id, epoch=ticket.epoch) is None


def test_the_time_of_a_refusal_does_not_tell_who_exists(app: Flask):
    known = [make_staff(Role.ADMIN).username for _ in range(3)]

    def took(username: str) -> float:
        began = time.thread_time()
        first_step(username, "wrong guess 1")
        return time.thread_time() - began

    took("warm up")
    pairs = [(took(known[turn % 3]), took(f"nobody{turn}")) for turn in range(24)]
    known_time, unknown_time = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert abs(known_time - unknown_time) < 0.2 * max(known_time, unknown_time)


# ------------------------------------------------------------------------------------------------ step-up


@use_case(Permission.ACCOUNT_SELF_EDIT)
def confirmed_act(work: Work, subject: object, *, offer: str, code: str) -> bool:
    step_up.spend(work, offer, code, "tests.act", subject)
    return True


SUBJECT = {"payments": [1, 2], "amounts": ["10.00 EUR", "5.00 EUR"]}


def test_of_twenty_parallel_confirmations_one_acts(app: Flask):
    staff = make_staff(Role.ADMIN)
    actor, code = person(staff), totp.code_at(secret_of(staff.id), utcnow())
    offer = step_up.offer(actor, "tests.act", SUBJECT)
    results = at_once(app, 20, lambda _: confirmed_act(actor, SUBJECT, offer=offer, code=code))
    assert results.count(True) == 1


def test_a_confirmation_counts_for_its_person_its_act_its_subject_and_once(app: Flask, monkeypatch: pytest.MonkeyPatch):
    staff, other = make_staff(Role.ADMIN), make_staff(Role.ADMIN)
    actor, secret = person(staff), secret_of(staff.id)
    offer = step_up.offer(actor, "tests.act", SUBJECT)
    now = utcnow()
    codes = [totp.code_at(secret, now + dt.timedelta(seconds=30 * step)) for step in (-1, 0, 1)]
    refused = (
        (actor, {**SUBJECT, "amounts": ["99.00 EUR", "5.00 EUR"]}, offer, codes[0]),
        (actor, SUBJECT, offer[:-2] + "xx", codes[0]),
        (actor, SUBJECT, "", codes[0]),
        (actor, SUBJECT, step_up.offer(actor, "tests.other", SUBJECT), codes[0]),
        (person(other), SUBJECT, offer, totp.code_at(secret_of(other.id), now)),
        (actor, SUBJECT, offer, "000000"),
    )
    for who, subject, given, code in refused:
        with pytest.raises(Invalid) as refusal:
            confirmed_act(who, subject, offer=given, code=code)
        assert refusal.value.field == "code"
    assert confirmed_act(actor, SUBJECT, offer=offer, code=codes[0])
    with pytest.raises(Invalid, match="already confirmed once"):
        confirmed_act(actor, SUBJECT, offer=offer, code=codes[1])
    fresh = step_up.offer(actor, "tests.act", SUBJECT)
    with pytest.raises(Invalid, match="wrong or was already used"):
        confirmed_act(actor, SUBJECT, offer=fresh, code=codes[0])
    monkeypatch.setattr(step_up, "OFFER_SECONDS", -1)
    with pytest.raises(Invalid, match="five minutes"):
        confirmed_act(actor, SUBJECT, offer=fresh, code=codes[1])


def test_the_code_of_the_sign_in_cannot_confirm_an_act(app: Flask):
    staff = make_staff(Role.ADMIN, username="elena")
    code = totp.code_at(secret_of(staff.id), utcnow())
    ticket = first_step("elena", PASSWORD)
    assert ticket is not None
    assert second_step(ticket, code) is not None
    offer = step_up.offer(person(staff), "tests.act", SUBJECT)
    with pytest.raises(Invalid, match="already used, at sign-in"):
        confirmed_act(person(staff), SUBJECT, offer=offer, code=code)


def test_a_refused_act_gives_the_code_and_the_offer_back(app: Flask):
    @use_case(Permission.ACCOUNT_SELF_EDIT)
    def act_that_fails(work: Work, *, offer: str, code: str) -> None:
        step_up.spend(work, offer, code, "tests.act", SUBJECT)
        raise Invalid("The world says no.")

    staff = make_staff(Role.ADMIN)
    actor, code = person(staff), totp.code_at(secret_of(staff.id), utcnow())
    offer = step_up.offer(actor, "tests.act", SUBJECT)
    with pytest.raises(Invalid, match="The world says no"):
        act_that_fails(actor, offer=offer, code=code)
    assert confirmed_act(actor, SUBJECT, offer=offer, code=code)


def test_ten_wrong_codes_pause_confirmations(app: Flask):
    staff = make_staff(Role.ADMIN)
    actor = person(staff)
    for _ in range(10):
        with pytest.raises(Invalid, match="wrong or was already used"):
            confirmed_act(actor, SUBJECT, offer=step_up.offer(actor, "tests.act", SUBJECT), code="000000")
    with pytest.raises(Invalid, match="Too many wrong codes"):
        confirmed_act(
            actor,
            SUBJECT,
            offer=step_up.offer(actor, "tests.act", SUBJECT),
            code=totp.code_at(secret_of(staff.id), utcnow()),
        )


def test_jobs_and_commands_cannot_confirm(app: Flask, make):
    with pytest.raises(Forbidden):
        confirmed_act(make.actor(Role.ADMIN), SUBJECT, offer="", code="000000")
