"""Many people at once, and a crash in the middle: exactly once or not at all (issue 5, Must show 2)."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from payadmin.actions.approvals import approve_request, cancel_request, reject_request
from payadmin.db import db
from payadmin.jobs.approvals import expire_requests
from payadmin.kernel.errors import Conflict, Forbidden, NeedsApproval, Refusal
from payadmin.models.approvals import ApprovalStatus
from payadmin.models.payments import OrderStatus, Payment, PaymentStatus, Refund
from payadmin.permissions import Permission, Role
from payadmin.work import Work, use_case
from tests.support.approvals import Room, asked_refund, filed, join
from tests.support.desk import Desk, trail
from tests.support.races import at_once

S = ApprovalStatus
ROUNDS = 5


@pytest.mark.parametrize("checkers", [2, 6])
def test_checkers_at_once_do_it_once(checkers: int, app: Flask, room: Room, desk: Desk) -> None:
    people = [room.person(Role.CFO) for _ in range(checkers)]
    for _ in range(ROUNDS):
        payment_id, request_id = asked_refund(room, desk)
        forms = [room.confirm(person, request_id) for person in people]
        said = at_once(
            app,
            [
                partial(approve_request, person, request_id, reason=None, **form)
                for person, form in zip(people, forms, strict=True)
            ],
        )
        lost = [answer for answer in said if isinstance(answer, Exception)]
        assert all(isinstance(answer, Conflict) for answer in lost), said
        assert (len(lost), desk.money(payment_id)) == (checkers - 1, ("PAID", 60_00, 0, "REFUND"))
        assert db.session.query(Refund).filter_by(payment_id=payment_id).count() == 1
        assert room.request(request_id).status is S.APPLIED
    assert len(trail(event="approvals.request.approved")) == ROUNDS


def test_approve_reject_cancel_and_expire_at_once_end_it_one_way(app: Flask, room: Room, desk: Desk) -> None:
    checker, other = room.person(Role.CFO), room.person(Role.ADMIN)
    for _ in range(ROUNDS * 2):
        maker = desk.operator()
        payment_id, request_id = asked_refund(room, desk, actor=maker)
        form = room.confirm(checker, request_id)
        said = at_once(
            app,
            [
                partial(approve_request, checker, request_id, reason=None, **form),
                partial(reject_request, other, request_id, reason="No"),
                partial(cancel_request, maker, request_id, reason="Mistake"),
                expire_requests,
            ],
        )
        assert sum(isinstance(answer, Conflict) for answer in said) == 2, said
        status, money = room.request(request_id).status, desk.money(payment_id)
        assert status in {S.APPLIED, S.REJECTED, S.CANCELLED}
        assert money == (("PAID", 60_00, 0, "REFUND") if status is S.APPLIED else ("PAID", 0, 0, None))


@use_case(Permission.PAYMENTS_PAYMENT_REFUND, about=Payment)
def charge_back(work: Work, payment_id: int) -> None:
    """What a provider's notice does to a payment, for the test."""
    payment = work.get(Payment, payment_id, lock=True)
    work.change(Payment, payment_id, status=PaymentStatus.CHARGED_BACK)
    from payadmin.audit import Event

    work.record(Event.NOTE_ADDED, payment)


def test_a_payment_that_changes_while_it_is_approved_is_done_or_out_of_date(app: Flask, room: Room, desk: Desk) -> None:
    checker, operator = room.person(Role.CFO), desk.operator()
    seen = set()
    for _ in range(ROUNDS * 3):
        payment_id, request_id = asked_refund(room, desk)
        form = room.confirm(checker, request_id)
        said = at_once(
            app,
            [
                partial(approve_request, checker, request_id, reason=None, **form),
                partial(charge_back, operator, payment_id),
            ],
        )
        assert not [answer for answer in said if isinstance(answer, Exception)], said
        status, money = room.request(request_id).status, desk.money(payment_id)
        seen.add(status)
        refunds = db.session.query(Refund).filter_by(payment_id=payment_id).count()
        if status is S.APPLIED:
            assert (money, refunds) == (("CHARGED_BACK", 60_00, 0, "REFUND"), 1)
        else:
            assert (status, money, refunds) == (S.STALE, ("CHARGED_BACK", 0, 0, None), 0)
    assert seen <= {S.APPLIED, S.STALE}


def test_the_same_person_with_two_accounts_at_once_never_approves(app: Flask, room: Room, desk: Desk) -> None:
    for _ in range(ROUNDS):
        maker = desk.operator()
        payment_id, request_id = asked_refund(room, desk, actor=maker)
        twins = [room.person(Role.CFO, same_as=maker) for _ in range(3)]
        forms = [room.confirm(twin, request_id) for twin in twins]
        said = at_once(
            app,
            [
                partial(approve_request, twin, request_id, reason=None, **form)
                for twin, form in zip(twins, forms, strict=True)
            ],
        )
        assert all(isinstance(answer, Forbidden) for answer in said), said
        assert desk.money(payment_id) == ("PAID", 60_00, 0, None)


def test_an_account_that_turns_out_to_be_the_makers_does_not_approve_either(room: Room, desk: Desk) -> None:
    maker, checker = desk.operator(), room.person(Role.CFO)
    _, request_id = asked_refund(room, desk, actor=maker)
    join(room, checker, maker)
    with pytest.raises(Forbidden, match="another of yours"):
        room.approve(checker, request_id)


def test_operators_at_once_file_one_request_for_a_payment(app: Flask, room: Room, desk: Desk) -> None:
    room.make.approval_policy()
    people = [desk.operator() for _ in range(6)]
    for _ in range(ROUNDS):
        payment_id = desk.make.payment().id
        forms = [desk.confirm(person, "payments.refund", payment_id) for person in people]
        said = at_once(
            app,
            [
                partial(desk.refund, payment_id, 60_00, actor=person, **form)
                for person, form in zip(people, forms, strict=True)
            ],
        )
        assert sum(isinstance(answer, NeedsApproval) for answer in said) == 1, said
        assert sum(isinstance(answer, Conflict) for answer in said) == 5, said
        assert desk.money(payment_id) == ("PAID", 60_00, 0, None)


def test_the_same_form_sent_by_many_hands_at_once_files_once(app: Flask, room: Room, desk: Desk) -> None:
    room.make.approval_policy()
    maker = desk.operator()
    payment_id = desk.make.payment().id
    form = desk.confirm(maker, "payments.refund", payment_id) | {"key": "double-click-again"}
    said = at_once(app, [partial(desk.refund, payment_id, 60_00, actor=maker, **form)] * 12)
    assert all(isinstance(answer, NeedsApproval) for answer in said), said
    assert len({answer.data["request_id"] for answer in said}) == 1
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)


def test_a_waiting_refund_and_a_void_at_once_never_both_happen(app: Flask, room: Room, desk: Desk) -> None:
    room.make.approval_policy()
    first, second = desk.operator(), desk.operator()
    for _ in range(ROUNDS):
        payment_id = desk.make.payment().id
        refund = desk.confirm(first, "payments.refund", payment_id)
        void = desk.confirm(second, "payments.void", payment_id)
        said = at_once(
            app,
            [
                partial(desk.refund, payment_id, 60_00, actor=first, **refund),
                partial(desk.void, payment_id, actor=second, **void),
            ],
        )
        waits = isinstance(said[0], NeedsApproval)
        assert isinstance(said[1 if waits else 0], Refusal), said
        assert desk.money(payment_id) == (("PAID", 60_00, 0, None) if waits else ("PAID", 0, 0, "VOID"))


@pytest.mark.parametrize("after", ["UPDATE payment", "INSERT INTO refund", "UPDATE approval_request"])
def test_a_crash_between_doing_and_saying_so_leaves_neither(after: str, room: Room, desk: Desk) -> None:
    """The process dies right after a statement of the approval: done by a child, so that nothing is cleaned up."""
    payment_id, request_id = asked_refund(room, desk)
    checker = room.person(Role.CFO)
    form = room.confirm(checker, request_id)
    db.session.remove()
    db.engine.dispose()
    child = os.fork()
    if child == 0:
        _die_after(after, partial(approve_request, checker, request_id, reason=None, **form))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    assert room.request(request_id).status is S.PENDING
    assert desk.money(payment_id) == ("PAID", 60_00, 0, None)
    assert db.session.query(Refund).count() == 0
    assert trail(event="approvals.request.approved") == []
    room.approve(checker, request_id)
    assert desk.money(payment_id) == ("PAID", 60_00, 0, "REFUND")


def _die_after(statement: str, act: Callable[[], Any]) -> None:
    def die(_connection: Any, _cursor: Any, ran: str, *_: Any) -> None:
        if ran.startswith(statement):
            os._exit(9)

    try:
        event.listen(db.engine, "after_cursor_execute", die)
        act()
    finally:
        os._exit(1)


def test_a_request_that_was_applied_is_settled_like_any_other_refund(room: Room, desk: Desk) -> None:
    payment_id, request_id = asked_refund(room, desk)
    room.approve(room.person(Role.CFO), request_id)
    desk.settle()
    assert desk.money(payment_id) == ("PARTIALLY_REFUNDED", 0, 60_00, None)
    assert db.session.query(Refund).one().status is OrderStatus.SUCCEEDED
    with pytest.raises(Conflict):
        room.approve(room.person(Role.CFO), request_id)


def test_a_request_about_the_policies_decided_at_once_changes_them_once(app: Flask, room: Room) -> None:
    policy = room.make.approval_policy("policy")
    maker, people = room.person(Role.CFO), [room.person(Role.ADMIN) for _ in range(4)]
    from payadmin.actions.approvals import save_policy

    request_id = filed(
        partial(
            save_policy,
            maker,
            rule="policy",
            unit=None,
            threshold_minor=None,
            is_on=False,
            expires_hours=72,
            policy_id=policy.id,
            version=policy.version,
        )
    )
    forms = [room.confirm(person, request_id) for person in people]
    said = at_once(
        app,
        [
            partial(approve_request, person, request_id, reason=None, **form)
            for person, form in zip(people, forms, strict=True)
        ],
    )
    assert sum(isinstance(answer, Conflict) for answer in said) == 3, said
    assert len(trail(event="approvals.policy.saved")) == 1
    db.session.refresh(policy)
    assert policy.is_on is False
